/* Linearizability: what threads were answered, judged exactly against the log (tests/support/history.h says what is
 * checked).
 *
 * Worlds differ by seed in threads, SKUs, ids, baskets, batches and how much there is of everything; few SKUs and ids,
 * so that all meet. Five of six have the shape of another stress program, whose own judge looks at sums and states only.
 * A thread moves the injected clock on, so that reservations expire and ids are forgotten and used again while others
 * are at them.
 *
 * Guarantees checked
 *   A  Each world's history could have been: history_judge has nothing against it. A million operations or more in
 *      all, unless this machine needs longer than SECONDS for them.
 *   B  At its end the engine has what the log's steps add up to, also after a restart.
 *   C  The judge can tell: a history spoilt in each of its ways is rejected.
 *
 * HF_ROUNDS=n makes it n times as long; with HF_SEED and HF_ROUNDS=1 it begins with the world that failed.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"
#include "tests/support/history.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(value) ((unsigned long long)(value))

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { OPERATIONS = 30000 };
#else
enum { OPERATIONS = 180000 };
#endif
#define SECONDS 15.0
#define WAYS 16u /* to spoil a history, at least; a world of few SKUs and ids may not have what some of them need */

enum { THREADS_MOST = 6, SKUS_MOST = 24, LINES_MOST = 6, BATCH_MOST = 8 };

typedef enum shape {
    ANY,
    ONE_SKU,     /* as one_sku.c */
    BASKETS,     /* many_skus.c */
    ONE_ID,      /* one_id.c */
    DUE_AT_ONCE, /* expiry_race.c */
    RINGS_FULL,  /* ring_full.c */
    SHAPES,
} shape;

static const char *const shape_texts[SHAPES] = {"any", "one SKU", "baskets", "one id", "due at once", "rings full"};

typedef struct world {
    uint64_t random;
    shape shape;
    unsigned threads, skus, ids, lines, batch, tick_every;
    uint64_t ttl_ms, retention_ms, tick_ms;
    int64_t stock;
    hf_options options;
    char directory[HARNESS_PATH], names[SKUS_MOST][16];
    harness_clock clock;
    hf_engine *engine;
    history *history;
    pthread_mutex_t clock_mutex; /* of who moves it */
} world;

typedef struct worker {
    world *world;
    unsigned number;
    uint64_t random;
    uint64_t operations;
} worker;

/* ---- a world ----------------------------------------------------------------------------------------------------- */

static uint64_t between(world *w, uint64_t low, uint64_t high) {
    return low + harness_below(&w->random, high - low + 1);
}

/* By the seed, so that a world that failed comes again. */
static shape shape_of(uint64_t seed) { return (shape)(seed % SHAPES); }

static void give_shape(world *w) {
    switch (w->shape) {
    case ONE_SKU:
        w->skus = w->lines = 1;
        break;
    case BASKETS:
        w->skus = SKUS_MOST;
        w->lines = LINES_MOST;
        break;
    case ONE_ID:
        w->ids = 1;
        break;
    case DUE_AT_ONCE: /* whatever is live when the clock jumps is due */
        w->tick_ms = w->ttl_ms * 2;
        break;
    case RINGS_FULL: /* HF_RING_MIN: few batches of such baskets */
        w->batch = BATCH_MOST;
        w->lines = LINES_MOST;
        w->ids = 2000;
        break;
    default:
        break;
    }
}

static void make_world(world *w, uint64_t seed) {
    *w = (world){.random = seed, .shape = shape_of(seed)};
    w->threads = (unsigned)between(w, 2, THREADS_MOST);
    w->skus = (unsigned)between(w, 1, harness_chance(&w->random, 50) ? 3 : SKUS_MOST);
    w->ids = (unsigned)between(w, 8, harness_chance(&w->random, 50) ? 40 : 2000);
    w->lines = (unsigned)between(w, 1, LINES_MOST);
    w->batch = harness_chance(&w->random, 50) ? 1 : (unsigned)between(w, 2, BATCH_MOST);
    w->ttl_ms = between(w, 2, 60);
    w->retention_ms = between(w, 1, harness_chance(&w->random, 50) ? 20 : 200);
    w->tick_ms = between(w, 2, harness_chance(&w->random, 50) ? 10 : 60);
    w->stock = (int64_t)between(w, 2, 60);
    give_shape(w);
    w->tick_every = w->ids / 8 / w->batch + 2; /* submissions: lives come and go as fast as there are ids for them */
    harness_directory(w->directory);
    harness_clock_set(&w->clock, HARNESS_EPOCH_MS);
    harness_options(&w->options, harness_chance(&w->random, 30) ? HF_NONBLOCKING : 0u, &w->clock);
    w->options.shards = 1u << between(w, 0, 4);
    w->options.retention_ms = w->retention_ms;
    w->options.ring_bytes = 512u << 10;
    w->options.expected_skus = w->options.expected_reservations = 64;
    for (unsigned i = 0; i < w->skus; i++) {
        snprintf(w->names[i], sizeof w->names[i], "sku-%u", i);
    }
}

/* ---- what the threads do ----------------------------------------------------------------------------------------- */

static hf_id any_id(worker *w) { return harness_id(5, harness_below(&w->random, w->world->ids)); }

static hf_line any_line(worker *w, int64_t most) {
    const char *name = w->world->names[harness_below(&w->random, w->world->skus)];
    return (hf_line){
        .name = name, .name_length = strlen(name), .quantity = 1 + (int64_t)harness_below(&w->random, (uint64_t)most)};
}

/* Which operation, in parts of 64; stock comes in about as fast as it leaves. */
static hf_op_type any_type(worker *w) {
    static const uint8_t until[] = {
        [HF_OP_RECEIVE] = 7,  [HF_OP_ADJUST] = 10,  [HF_OP_COUNT] = 11,  [HF_OP_PURCHASE] = 18,
        [HF_OP_RESERVE] = 38, [HF_OP_CONFIRM] = 47, [HF_OP_CANCEL] = 56, [HF_OP_EXTEND] = 64};
    uint64_t die = harness_below(&w->random, 64);
    unsigned type = HF_OP_RECEIVE;
    while (die >= until[type]) {
        type++;
    }
    return (hf_op_type)type;
}

static void draft(worker *w, hf_op *op, hf_line lines[LINES_MOST]) {
    *op = (hf_op){.type = any_type(w), .id = any_id(w), .lines = lines, .line_count = 1, .position = ++w->operations};
    bool many = op->type == HF_OP_PURCHASE || op->type == HF_OP_RESERVE;
    op->line_count = many ? 1 + harness_below(&w->random, w->world->lines) : op->type < HF_OP_CONFIRM ? 1 : 0;
    op->ttl_ms = 1 + harness_below(&w->random, w->world->ttl_ms);
    for (size_t i = 0; i < op->line_count; i++) {
        lines[i] = any_line(w, op->type == HF_OP_RECEIVE ? 6 : 3);
    }
    if (op->type == HF_OP_COUNT) {
        lines[0].quantity = (int64_t)harness_below(&w->random, (uint64_t)w->world->stock);
    } else if (op->type == HF_OP_ADJUST && harness_chance(&w->random, 50)) {
        lines[0].quantity = -lines[0].quantity;
    }
    op->if_version = harness_chance(&w->random, 3) ? 1 + harness_below(&w->random, w->operations) : 0;
}

static void move_clock(worker *w) {
    world *at = w->world;
    if (pthread_mutex_trylock(&at->clock_mutex) == 0) {
        history_clock_on(at->history, at->engine, &at->clock.now_ms, 1 + harness_below(&w->random, at->tick_ms));
        pthread_mutex_unlock(&at->clock_mutex);
    }
}

static void run(void *context) {
    worker *w = context;
    world *at = w->world;
    history_thread *own = history_open(at->history, w->number, at->engine);
    while (!history_is_full(own)) {
        hf_line lines[BATCH_MOST][LINES_MOST];
        hf_op ops[BATCH_MOST];
        hf_reply replies[BATCH_MOST];
        for (unsigned i = 0; i < at->batch; i++) {
            draft(w, &ops[i], lines[i]);
        }
        (void)history_submit(own, ops, at->batch, replies);
        if (harness_chance(&w->random, 10)) {
            history_read_sku(own, at->names[harness_below(&w->random, at->skus)]);
            history_read_id(own, any_id(w));
        }
        if (harness_below(&w->random, at->tick_every) == 0) {
            move_clock(w);
        }
    }
    history_close(own);
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static bool spoilt[64]; /* in this way, and rejected */

/* The ways to spoil a history that none before had what is needed for. */
static void judge_spoilt(history *all, uint64_t *random) {
    const char *name = "";
    for (unsigned way = 0; name; way++) {
        CHECK(way < sizeof spoilt, "more ways than there is room for");
        if (!spoilt[way] && history_spoil(all, way, random, &name)) {
            CHECK(history_judge(all), "a history is not rejected: %s", name);
            history_mend(all);
            CHECK(!history_judge(all), "mended, it is rejected: %s: %s", name, history_judge(all));
            spoilt[way] = true;
        }
    }
}

static unsigned spoilt_ways(void) {
    unsigned ways = 0;
    for (size_t i = 0; i < sizeof spoilt; i++) {
        ways += spoilt[i];
    }
    return ways;
}

static void judge(world *w) {
    hf_session *session;
    history_figures figures;
    MUST(hf_session_open(w->engine, NULL, &session));
    MUST(hf_poll(w->engine));
    audit_compare(w->directory, session);
    char *before = harness_state(session);
    hf_session_close(session);
    MUST(hf_close(w->engine));
    history_load(w->history, w->directory, w->retention_ms);
    const char *why = history_judge(w->history);
    CHECK(!why, "%s", why);
    history_count(w->history, &figures);
    MUST(hf_open(w->directory, &w->options, &w->engine));
    MUST(hf_session_open(w->engine, NULL, &session));
    char *after = harness_state(session);
    CHECK(strcmp(before, after) == 0, "before the restart\n%s  and after it\n%s", before, after);
    hf_session_close(session);
    MUST(hf_close(w->engine));
    free(before);
    free(after);
    printf("linear: %s: %u threads, %u SKUs, %u ids: %llu events, %llu steps, %llu lives, %llu expired, %llu given back, "
           "%llu straddled;",
           shape_texts[w->shape], w->threads, w->skus, w->ids, U(figures.events), U(figures.steps), U(figures.lives), U(figures.expiries),
           U(figures.given_back), U(figures.straddled));
    for (unsigned i = 0; i < HF_OUTCOME_COUNT; i++) {
        printf(" %s %llu", hf_outcome_text((hf_outcome)i), U(figures.outcomes[i]));
    }
    printf("\n");
}

static uint64_t play(uint64_t seed) {
    static world w;
    worker workers[THREADS_MOST];
    history_figures figures;
    harness_seed_is(seed);
    make_world(&w, seed);
    w.history = history_new(w.threads, OPERATIONS / w.threads + 64);
    for (unsigned i = 0; i < w.skus; i++) {
        history_sku(w.history, w.names[i]);
    }
    MUST(hf_open(w.directory, &w.options, &w.engine));
    history_clock_on(w.history, w.engine, &w.clock.now_ms, 1);
    for (unsigned i = 0; i < w.threads; i++) {
        workers[i] = (worker){.world = &w, .number = i, .random = harness_next(&w.random)};
    }
    pthread_mutex_init(&w.clock_mutex, NULL);
    harness_threads(w.threads, run, workers, sizeof workers[0]);
    pthread_mutex_destroy(&w.clock_mutex);
    judge(&w);
    history_count(w.history, &figures);
    if (spoilt_ways() < WAYS) {
        judge_spoilt(w.history, &w.random);
    }
    history_free(w.history);
    harness_remove(w.directory);
    return figures.events;
}

int main(void) {
    uint64_t seed = harness_begin("linear"), rounds = harness_rounds(1), events = 0;
    double until = harness_seconds() + SECONDS * (double)rounds;
    for (uint64_t i = 0; i < SHAPES * rounds && (i < SHAPES || spoilt_ways() < WAYS || harness_seconds() < until); i++) {
        events += play(seed);
        shape next = (shape)((shape_of(seed) + 1) % SHAPES);
        seed = harness_next(&seed) / (2 * SHAPES) * SHAPES + next;
    }
    printf("linear: %llu events, each history could have been; spoilt in %u ways, rejected each time\n", U(events), spoilt_ways());
    CHECK(spoilt_ways() >= WAYS, "few ways to spoil a history were found: %u", spoilt_ways());
    return 0;
}
