/* The limit of a reserve + confirm: two compare-and-swaps on SKU lines and two on reservation lines, and nothing else.
 *
 *     table of live reservations    a pair picks a place in it at random, confirms the reservation there, and makes a
 *     [ . . . . . . . . . . . ]     new one of a SKU picked at random, which takes the place
 *           |
 *           v  line of the reservation (knows its SKU) -> line of the SKU
 *
 * A confirmed reservation's line is used again SPARE pairs later: about what a retention of 1 ms holds.
 *     skus=N live=N
 *     batch=N     operations (two a pair) whose lines are prefetched together; 0: one after another, no prefetch
 *     warm=S      seconds before each turn's clock runs
 */
#include "../support/bench.h"
#include "../support/crew.h"
#include "../support/lines.h"
#include "../support/picks.h"
#include "../support/turns.h"

enum { SPARE = 4096, MOST_BATCH = 1024, PAIRS_A_LOOK = 256 };

static struct limit {
    bare_line *skus, *reservations;
    uint32_t *table; /* lines of the live reservations */
    uint32_t spare[SPARE];
    unsigned next_spare;
    picks picks;
    unsigned batch; /* pairs */
    double warm;
} limit;

typedef struct pair {
    uint32_t sku, old_sku, line, old_line;
} pair;

static inline pair choose(void) {
    pick later, now = picks_take(&limit.picks, &later);
    hf_prefetch_write(&limit.table[later.position]);
    uint32_t *spare = &limit.spare[limit.next_spare++ % SPARE];
    pair chosen = {.sku = now.sku, .line = *spare, .old_line = limit.table[now.position]};
    *spare = chosen.old_line;
    limit.table[now.position] = chosen.line;
    return chosen;
}

static inline void apply(const pair *p) {
    line_step(&limit.reservations[p->old_line], 1, 1); /* confirmed */
    line_step(&limit.skus[p->old_sku], 0, 1);          /* on_hand - 1, reserved - 1 */
    line_step(&limit.skus[p->sku], 1, 1);              /* reserved + 1 */
    limit.reservations[p->line].sku = p->sku;
    line_step(&limit.reservations[p->line], 1, 1); /* live */
}

static void one_pair(void) {
    pair p = choose();
    p.old_sku = limit.reservations[p.old_line].sku;
    apply(&p);
}

static void one_batch(void) {
    pair pairs[MOST_BATCH];
    for (unsigned i = 0; i < limit.batch; i++) {
        pairs[i] = choose();
        hf_prefetch_write(&limit.reservations[pairs[i].old_line]);
        hf_prefetch_write(&limit.reservations[pairs[i].line]);
        hf_prefetch_write(&limit.skus[pairs[i].sku]);
    }
    for (unsigned i = 0; i < limit.batch; i++) {
        pairs[i].old_sku = limit.reservations[pairs[i].old_line].sku;
        hf_prefetch_write(&limit.skus[pairs[i].old_sku]);
    }
    for (unsigned i = 0; i < limit.batch; i++) {
        apply(&pairs[i]);
    }
}

static void run_for(member *self, double seconds) {
    uint64_t start = now_ns(), own_start = thread_ns();
    self->done = 0;
    do {
        for (unsigned i = 0; i < PAIRS_A_LOOK; i += limit.batch ? limit.batch : 1) {
            if (limit.batch) {
                one_batch();
            } else {
                one_pair();
            }
            self->done += limit.batch ? limit.batch : 1;
        }
        self->seconds = seconds_since(start);
    } while (seconds > 0 ? self->seconds < seconds : !crew_is_over());
    self->processor_seconds = (double)(thread_ns() - own_start) * 1e-9;
}

static void work(member *self, void *context) {
    (void)context;
    run_for(self, limit.warm > 0 ? limit.warm : 1e-9);
    run_for(self, 0);
}

static void set_up(void) {
    uint64_t skus = setting_count("skus", 10000), live = setting_count("live", 10000);
    limit.batch = (unsigned)setting_count("batch", 0) / 2;
    limit.warm = setting_number("warm", 0.1);
    if (limit.batch > MOST_BATCH || live > UINT32_MAX - SPARE) {
        die("batch: at most %d operations; live: at most 2^32 - %d", 2 * MOST_BATCH, SPARE + 1);
    }
    limit.skus = bench_memory(skus * sizeof *limit.skus);
    limit.reservations = bench_memory((live + SPARE) * sizeof *limit.reservations);
    limit.table = bench_memory(live * sizeof *limit.table);
    picks_begin(&limit.picks, 1, skus, live, setting_number("zipf", 0));
    for (uint64_t i = 0; i < live; i++) {
        limit.table[i] = (uint32_t)i;
        limit.reservations[i].sku = (uint32_t)random_below(&limit.picks.state, skus);
    }
    for (uint32_t i = 0; i < SPARE; i++) {
        limit.spare[i] = (uint32_t)live + i;
    }
    settings_done();
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    set_up();
    crew *team = crew_start(&(crew_plan){.count = 1, .work = work});
    report_begin();
    report_text("what", "bare lines");
    report_end();
    for (turn t; turn_next(&t);) {
        crew_run(team, t.seconds + limit.warm);
        report_begin();
        report_number("pairs_per_second", crew_rate(team));
        report_number("operations_per_second", 2 * crew_rate(team));
        report_number("ns_per_pair", 1e9 / crew_rate(team));
        report_number("cpu_ns_per_pair", crew_processor_ns(team));
        report_end();
    }
    crew_end(team);
    return 0;
}
