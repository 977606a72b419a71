/* Deterministic schedules: real threads of which one runs at a time, and a list that says who goes on at which atomic.
 *
 * Guarantees
 *   A  In a build with -DHF_PERTURB=ON, of the actors only one runs; it is taken off only at a hf_perturb(), that is
 *      before an atomic operation, where the schedule says so. The same schedule gives the same run.
 *   B  An actor that waits for another (a mutex, a grace period) does not hold up the run: once it is seen asleep its
 *      turn is over, and the plan goes on with the next. So it is with one that spins for very long.
 *
 *     schedule   { A: 17 points, B: 40 points }    A ----17----|            |---- to its end
 *                                                  B           |-----40-----|                ---- to its end
 *
 * Few switches find most races: two threads that need k switches in the right places are met by trying every place.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

enum { SCHEDULE_ACTORS = 4, SCHEDULE_TURNS = 8 };

typedef struct schedule_turn {
    uint32_t actor;
    uint32_t points; /* after so many it is taken off */
} schedule_turn;

typedef struct schedule {
    schedule_turn turns[SCHEDULE_TURNS];
    uint32_t count; /* behind the last turn the others go on to their ends, then its actor */
} schedule;

typedef struct schedule_actor {
    void (*enter)(void *context); /* before, one actor after another, without a schedule. May be NULL */
    void (*act)(void *context);
    void (*leave)(void *context); /* after all have acted, as `enter` */
    void *context;
    uint64_t points; /* out: atomics it met in `act` */
} schedule_actor;

/* Starts the threads, which live until schedule_close. One at a time. */
void schedule_open(unsigned actors);
void schedule_close(void);
/* Runs them. *used (may be NULL): how many of the first turns were used up, before their actor came to its end. */
void schedule_run(schedule_actor *actors, const schedule *plan, uint32_t *used);
/* "A17 B40", for messages; lives until the next call. */
const char *schedule_text(const schedule *plan);

#endif
