/* A crew: threads that wait for a turn, all work until they are told to stop, and wait again. What a member opens in
 * `prepare` (a session, a connection) belongs to its own thread. */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdbool.h>

#include "wal/atomic.h"

typedef struct crew crew;

typedef struct member {
    crew *crew;
    unsigned number; /* from 0 */
    void *own;       /* the program's */
    /* what `work` found: */
    uint64_t done;
    double seconds;
    double processor_seconds; /* of its thread, where `work` says so */
} member;

typedef struct crew_plan {
    unsigned count;
    void *context;
    void (*prepare)(member *self, void *context); /* may be NULL */
    void (*work)(member *self, void *context);    /* until crew_is_over; sets done and seconds */
    void (*finish)(member *self, void *context);  /* may be NULL */
} crew_plan;

/* Returns once every member is prepared. */
crew *crew_start(const crew_plan *plan);
/* Lets all work for so long, and waits for them. */
void crew_run(crew *team, double seconds);
member *crew_member(crew *team, unsigned number);
/* Sums over the members: of done, and of done / seconds. */
uint64_t crew_done(crew *team);
double crew_rate(crew *team);
/* Processor time of all members for each of done. */
double crew_processor_ns(crew *team);
void crew_end(crew *team);

extern struct crew_flag {
    _Alignas(2 * HF_CACHE_LINE) int over;
    char pad[2 * HF_CACHE_LINE - sizeof(int)];
} crew_flag;
/* relaxed: a moment later is soon enough, and what was counted goes through the crew's mutex */
static inline bool crew_is_over(void) { return hf_load_relaxed(&crew_flag.over) != 0; }

#endif
