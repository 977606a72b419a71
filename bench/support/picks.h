/* Picks: which SKU a reserve takes and which live reservation a confirm ends, chosen ahead of time.
 *
 * Both sides of a comparison choose by this code, so what choosing costs is in both. The choice is made PICKS_AHEAD
 * pairs before it is used, so that the benchmark's own tables are in the cache by then and their misses are not taken
 * for the engine's; what the engine touches is left to the engine.
 *
 * SKUs are uniform, or Zipf-distributed (exponent 0.99 and the like), the ranks scattered over all SKUs: draws from a
 * table of PICKS_DRAWS made before the clock runs, since a draw costs more than a compare-and-swap.
 */
#ifndef BENCH_PICKS_H
#define BENCH_PICKS_H

#include "random.h"

#include <stddef.h>

enum { PICKS_AHEAD = 32, PICKS_DRAWS = 1 << 20 };

typedef struct pick {
    uint32_t sku;
    uint32_t position; /* in the table of live reservations */
} pick;

typedef struct picks {
    uint64_t state;
    uint64_t skus, live;
    const uint32_t *draws; /* PICKS_DRAWS of SKUs; NULL: uniform */
    size_t next_draw;
    size_t next;
    pick ahead[PICKS_AHEAD];
} picks;

/* `zipf` 0: uniform; else its exponent. Each seed has its own order. */
void picks_begin(picks *p, uint64_t seed, uint64_t skus, uint64_t live, double zipf);
void picks_end(picks *p);

static inline pick picks_choose(picks *p) {
    uint64_t bits = random_next(&p->state);
    /* live is 2^32 at most: the low half of the bits chooses among them, all bits among the SKUs */
    pick chosen = {.position = (uint32_t)(((bits & 0xffffffff) * p->live) >> 32)};
    if (p->draws) {
        chosen.sku = p->draws[p->next_draw++ % PICKS_DRAWS];
    } else {
        chosen.sku = (uint32_t)random_scale(bits, p->skus);
    }
    return chosen;
}

/* The pick for now; *later is the one that was just put into the queue, whose table entries are to be prefetched. */
static inline pick picks_take(picks *p, pick *later) {
    pick *place = &p->ahead[p->next++ % PICKS_AHEAD];
    pick now = *place;
    *place = picks_choose(p);
    *later = *place;
    return now;
}

#endif
