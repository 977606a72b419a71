/* Flights: operations of one session that were answered but are not durable yet, oldest first, and how many there may
 * be.
 *
 * Tickets of a session never decrease, so operations with the same ticket are one entry. An operation counts as done
 * only when hf_durable has reached its ticket.
 */
#ifndef BENCH_FLIGHTS_H
#define BENCH_FLIGHTS_H

#include "shop.h"

enum { FLIGHTS_ROOM = 1 << 16 };

typedef struct flights {
    uint64_t limit; /* 0: operations count at once */
    uint64_t under_way, landed;
    uint64_t first, end;
    struct flight {
        uint64_t ticket, operations;
    } items[FLIGHTS_ROOM];
} flights;

static inline void flights_land(flights *f, uint64_t durable) {
    while (f->first != f->end && f->items[f->first % FLIGHTS_ROOM].ticket <= durable) {
        uint64_t operations = f->items[f->first++ % FLIGHTS_ROOM].operations;
        f->under_way -= operations;
        f->landed += operations;
    }
}

/* Waits until fewer than `limit` are under way. */
static inline void flights_wait(flights *f, hf_engine *engine, uint64_t limit) {
    while (f->under_way >= limit) {
        flights_land(f, hf_durable(engine));
        if (f->under_way >= limit) {
            must(hf_wait(engine, f->items[f->first % FLIGHTS_ROOM].ticket, UINT64_MAX), "hf_wait");
        }
    }
}

static inline void flights_add(flights *f, hf_engine *engine, uint64_t ticket) {
    if (!f->limit) {
        f->landed++;
        return;
    }
    struct flight *last = &f->items[(f->end - 1) % FLIGHTS_ROOM];
    if (f->first != f->end && last->ticket == ticket) {
        last->operations++;
    } else {
        f->items[f->end++ % FLIGHTS_ROOM] = (struct flight){ticket, 1};
    }
    if (++f->under_way >= f->limit) {
        flights_wait(f, engine, f->limit);
    }
}

#endif
