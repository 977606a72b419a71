/* holdfast demo: an order flow made up by rule, a flash sale. One SKU that everybody wants and that runs out again and
 * again, some beside it; buyers who confirm, cancel, walk away, ask for more time, pay late, and send things twice. The
 * same seed and number of rows give the same bytes, on every machine. */
#include "options.h"
#include "tool.h"

#include <inttypes.h>

static const char help[] =
    "usage: holdfast demo [--rows N] [--seed S]\n"
    "\n"
    "Writes a generated order flow to standard output: a flash sale with one hot SKU, expiries, late payments,\n"
    "cancellations and repeats. The same N and S give the same bytes.\n"
    "\n"
    "  --rows N  data rows, 1 to 10,000,000,000; 1,000,000\n"
    "  --seed S  1\n"
    "\n"
    "exit status: 0 fine; 2 wrong usage; 3 standard output could not be written\n";

#define RECENT 2048u /* reservations that later rows may still mean */
#define SKUS 200u
#define START_MS UINT64_C(1767261600000)

typedef struct hf_demo {
    uint64_t random, now, rows_left, number, restock_at;
    uint64_t recent[RECENT];
} hf_demo;

/* SplitMix64. */
static uint64_t draw(hf_demo *demo, uint64_t below) {
    uint64_t z = demo->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

static const char *sku_name(uint64_t index, char text[32]) {
    if (index == 0)
        return "HOT-1";
    snprintf(text, 32, "SKU-%04" PRIu64, index);
    return text;
}

static void row(hf_demo *demo, const char *op, char kind, uint64_t number, const char *sku, const char *rest) {
    printf("%" PRIu64 ",%s,%c-%" PRIu64 ",%s,%s\n", demo->now, op, kind, number, sku, rest);
    demo->rows_left--;
}

static void stock_in(hf_demo *demo, uint64_t sku, uint64_t quantity) {
    char name[32], rest[32];
    snprintf(rest, sizeof rest, "%" PRIu64 ",,", quantity);
    row(demo, "receive", 'd', ++demo->number, sku_name(sku, name), rest);
}

/* A reservation of one line, mostly of the hot SKU, now and then of several. */
static void reserve(hf_demo *demo) {
    static const uint64_t ttls[4] = {2000, 5000, 15000, 60000};
    uint64_t number = ++demo->number, buyer = draw(demo, 100000), ttl = ttls[draw(demo, 4)];
    uint64_t lines = draw(demo, 12) == 0 ? 2 + draw(demo, 6) : 1;
    demo->recent[number % RECENT] = number;
    for (uint64_t i = 0; i < lines && demo->rows_left; i++) {
        char name[32], rest[64];
        uint64_t sku = draw(demo, 100) < 70 && i == 0 ? 0 : draw(demo, SKUS);
        snprintf(rest, sizeof rest, "%" PRIu64 ",%" PRIu64 ",u%" PRIu64, 1 + draw(demo, 3), ttl, buyer);
        row(demo, "reserve", 'r', number, sku_name(sku, name), rest);
    }
}

/* A reservation made lately: mostly one of the last few, sometimes an old one, which is then long expired. */
static uint64_t recent(hf_demo *demo) {
    uint64_t back = draw(demo, 4) ? draw(demo, 64) : draw(demo, RECENT - 1);
    uint64_t number = demo->number > back ? demo->number - back : demo->number;
    uint64_t known = demo->recent[number % RECENT];
    return known ? known : demo->number;
}

static void correct_stock(hf_demo *demo) {
    char name[32], rest[32];
    uint64_t sku = 1 + draw(demo, SKUS + 4); /* some that were never received */
    if (draw(demo, 2)) {
        snprintf(rest, sizeof rest, "%d,,", (int)draw(demo, 30) - 40);
        row(demo, "adjust", 'd', ++demo->number, sku_name(sku, name), rest);
    } else {
        snprintf(rest, sizeof rest, "%" PRIu64 ",,", draw(demo, 500));
        row(demo, "count", 'd', ++demo->number, sku_name(sku, name), rest);
    }
}

static void purchase(hf_demo *demo) {
    char name[32];
    row(demo, "purchase", 'p', ++demo->number, sku_name(draw(demo, SKUS), name), draw(demo, 2) ? "1,," : "2,,");
}

/* Somebody's network sent it twice: the id was used before. */
static void repeat(hf_demo *demo) {
    char name[32];
    row(demo, "reserve", 'r', recent(demo), sku_name(draw(demo, SKUS), name), "1,5000,u7");
}

static void one_step(hf_demo *demo) {
    demo->now += draw(demo, 4);
    uint64_t what = draw(demo, 100);
    if (demo->number >= demo->restock_at) {
        demo->restock_at = demo->number + 4000;
        stock_in(demo, 0, 1500);
    } else if (what < 55) {
        reserve(demo);
    } else if (what < 78) {
        row(demo, "confirm", 'r', recent(demo), "", ",,");
    } else if (what < 87) {
        row(demo, "cancel", 'r', recent(demo), "", ",,");
    } else if (what < 91) {
        row(demo, "extend", 'r', recent(demo), "", ",10000,");
    } else if (what < 94) {
        repeat(demo);
    } else if (what < 98) {
        purchase(demo);
    } else if (what < 99) {
        stock_in(demo, draw(demo, SKUS), 1 + draw(demo, 200));
    } else {
        correct_stock(demo);
    }
}

static int read_command_line(hf_demo *demo, int argc, char **argv) {
    const hf_option options[] = {
        {"rows", .number = &demo->rows_left, .least = 1, .most = UINT64_C(10000000000),
         .expected = "a number of rows, 1 to 10000000000"},
        {"seed", .number = &demo->random, .most = UINT64_MAX, .expected = "a number"},
        {0},
    };
    return hf_read_options(argc, argv, help, options, false);
}

int hf_command_demo(int argc, char **argv) {
    hf_demo demo = {.now = START_MS, .rows_left = 1000000, .random = 1};
    int exit_code = read_command_line(&demo, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    puts("time_ms,op,id,sku,quantity,ttl_ms,user");
    for (uint64_t sku = 0; sku < SKUS && demo.rows_left; sku++)
        stock_in(&demo, sku, sku ? 100 + draw(&demo, 900) : 2000);
    demo.restock_at = demo.number + 4000;
    while (demo.rows_left && !ferror(stdout))
        one_step(&demo);
    return hf_finish_output(HF_EXIT_FINE);
}
