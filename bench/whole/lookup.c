/* Looking a SKU up by its name, and reading its stock by its handle.
 *     what=find          hf_sku_find of SKUs in random order
 *         =read          hf_sku_read by handle in random order
 *         =bare_find     the limit of a find: XXH3 of the name, and one line in which the name is compared
 *         =bare_read     the limit of a read: one line
 *     settings of support/shop.h
 */
#include "../support/lines.h"
#include "../support/random.h"
#include "../support/shop.h"
#include "../support/turns.h"

#include <string.h>
#include <xxhash.h>

enum { AT_ONCE = 256 };
enum what { FIND, READ, BARE_FIND, BARE_READ, WHATS };
static const char *const names[WHATS] = {"find", "read", "bare_find", "bare_read"};

static shop s;
static hf_session *session;
static bare_line *lines;
static uint64_t state, seen, retries;

static void look(enum what what) {
    char name[SHOP_NAME];
    uint64_t number = random_below(&state, s.skus);
    if (what == FIND) {
        hf_sku *sku;
        sku_name(number, name);
        must(hf_sku_find(session, name, sizeof name, &sku), "hf_sku_find");
        seen += (uintptr_t)sku;
    } else if (what == READ) {
        hf_stock stock;
        int error;
        while ((error = hf_sku_read(session, s.handles[number], &stock)) == HF_EAGAIN) {
            retries++; /* another thread is just expiring what is due */
        }
        must(error, "hf_sku_read");
        seen += stock.version;
    } else if (what == BARE_FIND) {
        sku_name(number, name);
        const bare_line *line = &lines[random_scale(XXH3_64bits(name, sizeof name), s.skus)];
        seen += (uint64_t)(memcmp(line->pad, name, sizeof name) != 0) + hf_load128_acquire(&line->word).lo;
    } else {
        seen += hf_load128_acquire(&lines[number].word).hi;
    }
}

static void take_turn(enum what what, double wanted) {
    uint64_t start = now_ns(), done = 0;
    double seconds;
    do {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            look(what);
        }
        done += AT_ONCE;
        seconds = seconds_since(start);
    } while (seconds < wanted);
    report_begin();
    report_number("ns", seconds * 1e9 / (double)done);
    report_count("seen", seen & 1);
    report_count("retries", retries);
    report_end();
}

int main(int count, char **arguments) {
    hf_options options;
    settings_read(count, arguments);
    const char *text = setting_text("what", "find");
    enum what what = 0;
    while (what < WHATS && strcmp(text, names[what]) != 0) {
        what++;
    }
    shop_settings(&options, 1);
    (void)setting_text("dir", NULL);
    settings_done();
    if (what == WHATS) {
        die("what=%s: expected find, read, bare_find or bare_read", text);
    }
    if (what < BARE_FIND) {
        shop_open(&s, &options, NULL);
        must(hf_session_open(s.engine, NULL, &session), "hf_session_open");
    } else {
        s.skus = options.expected_skus;
        lines = bench_memory(s.skus * sizeof *lines);
    }
    report_begin();
    report_text("what", text);
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(what, t.seconds);
    }
    if (session) {
        hf_session_close(session);
        shop_close(&s, true);
    }
    return 0;
}
