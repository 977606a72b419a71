/* Schedule perturbation: perturb.h. */
#include "perturb.h"

#if defined(HF_PERTURB)

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "atomic.h"

/* Of so many calls one does it. Spins bring two threads that meet at a line into every order; a yield or a sleep leaves
 * a thread behind in the midst of an operation. */
enum { SPINS = 8, YIELDS = 64, SLEEPS = 4096, SPIN_MOST = 256, SLEEP_NS = 50000 };

void (*hf_perturb_ask)(void);

static uint64_t threads;
static _Thread_local uint64_t state;

static uint64_t next(void) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static void seed(void) {
    const char *text = getenv("HF_PERTURB_SEED");
    state = 1; /* so that this very access does not come here again */
    uint64_t number = hf_fetch_add_relaxed(&threads, UINT64_C(1)) + 1; /* relaxed: only the number counts */
    state =
        (text ? strtoull(text, NULL, 0) + 1 : 1) * UINT64_C(0x9e3779b97f4a7c15) + number * UINT64_C(0xbf58476d1ce4e5b9);
    state += state == 0;
}

void hf_perturb(void) {
    if (hf_perturb_ask) {
        hf_perturb_ask();
        return;
    }
    if (state == 0) {
        seed();
    }
    uint64_t die = next();
    if (die % SLEEPS == 0) {
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    } else if (die % YIELDS == 0) {
        sched_yield();
    } else if (die % SPINS == 0) {
        for (volatile uint64_t i = (die >> 16) % SPIN_MOST; i > 0; i--) {
        }
    }
}

#endif
