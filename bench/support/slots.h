/* Slots: what stands for reservations where a timing wheel and a heap are compared, a cache line each.
 *
 * A cancel has its own reservation's line in the cache already, whatever keeps the deadlines: so the lines of those
 * that are to be cancelled are fetched ahead of time, on both sides. Lines of others are not.
 */
#ifndef BENCH_SLOTS_H
#define BENCH_SLOTS_H

#include "bench.h"
#include "random.h"
#include "wal/atomic.h"

enum { SLOTS_AHEAD = 32, SLOTS_SPAN_MS = 3600 * 1000 };

typedef struct slot {
    uint32_t number; /* the wheel's sequence number, or the heap's place */
    char pad[HF_CACHE_LINE - sizeof(uint32_t)];
} slot;

typedef struct slots {
    slot *lines;
    uint64_t count, state, next;
    uint32_t ahead[SLOTS_AHEAD];
} slots;

static inline void slots_begin(slots *s, uint64_t count) {
    if (count < 10 || count >= UINT32_MAX) {
        die("expected pending 10..2^32-2");
    }
    *s = (slots){.lines = bench_memory(count * sizeof *s->lines), .count = count, .state = 1};
}

/* A deadline uniform over an hour, in ms from its beginning. */
static inline uint64_t slots_deadline(slots *s) { return random_below(&s->state, SLOTS_SPAN_MS); }

/* The slot to be cancelled now. */
static inline uint32_t slots_pick(slots *s) {
    uint32_t *place = &s->ahead[s->next++ % SLOTS_AHEAD], now = *place;
    *place = (uint32_t)random_below(&s->state, s->count);
    hf_prefetch_write(&s->lines[*place]);
    return now;
}

#endif
