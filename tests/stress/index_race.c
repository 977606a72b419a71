/* The id index under threads: guarantees A, B and E of engine/index.h and index.c, while tables grow, shrink and
 * migrate all the time.
 *
 *   contest   All workers insert the same ids at the same instant. Each id has one winner, and all are told its slot.
 *             The ids stay ("permanent") and are looked up from then on by everybody: a miss is a failure.
 *   ownership Workers insert, hold and remove ids out of a small set. Whoever inserted an id owns it until it removes
 *             it, so the index is a lock: two owners at once, an owner who does not find its slot, or a slot met after
 *             its removal is a failure. Removed slots are used again for other ids after one grace period, refused ones
 *             at once, so that ThreadSanitizer sees a callback on a slot that is no longer the index's.
 *   the end   All is moved into one table, and counted.
 *
 * HF_SEED=n repeats the random choices (not the schedule). Fingerprints have 2 bits, so that the callbacks are busy,
 * and the callbacks yield now and then, in the middle of operations. */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/index.h"
#include "wal/atomic.h"
#include "wal/section.h"

#if defined(HF_TSAN)
enum { MOST_ROUNDS = 60, STEPS = 40000 };
#else
enum { MOST_ROUNDS = 150, STEPS = 400000 };
#endif
enum {
    STEPS_MOST = 100 * STEPS,
    WORKERS = 6,
    BATCH = 32, /* ids of a contest round */
    PERMANENT = MOST_ROUNDS * BATCH,
    OWNED = 400, /* ids that are inserted and removed; their numbers follow the permanent ones */
    IDS = PERMANENT + OWNED,
    OWN_SLOTS = 128, /* of a worker, besides one for each contest it may win */
    WORKER_SLOTS = PERMANENT + OWN_SLOTS,
    SLOTS = WORKERS * WORKER_SLOTS,
    HOLD = 24, /* ids a worker owns at a time, at most */
};

typedef struct key {
    uint64_t id, other;
} key;

static hf_index *index_;
static key key_of[SLOTS];             /* plain: the index's edges must order them */
static uint32_t permanent[PERMANENT]; /* slot + 1 once known to all */
static uint32_t told[WORKERS][BATCH];
static uint8_t won[WORKERS][BATCH];
static unsigned owner[OWNED];
static uint64_t contested; /* permanent ids so far */
static bool stop;
static unsigned rounds; /* of the contest in this life of the index */
static pthread_barrier_t barrier;
static uint64_t seed;

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t random;
    uint32_t free[WORKER_SLOTS], limbo[WORKER_SLOTS];
    unsigned free_count, limbo_count;
    struct {
        unsigned id;
        uint32_t slot;
    } held[HOLD];
    unsigned held_count;
    uint64_t inserted, refused;
};
static struct worker workers[WORKERS];
static uint64_t renewals, migrations, deepest;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "index_race: HF_SEED=%" PRIu64 ": ", seed);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _Exit(1);
}

static uint64_t mixed(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
static uint64_t random_next(uint64_t *state) { return mixed(*state += UINT64_C(0x9e3779b97f4a7c15)); }

static uint64_t hash_of(uint64_t id) {
    uint64_t good = mixed(id + 1);
    return (good & UINT32_MAX) | (good >> 62 << 32);
}

static void perturb(void) {
    static _Thread_local uint64_t calls;
    if (mixed(++calls) % 256 == 0) {
        sched_yield();
    }
}

static bool same(void *context, uint32_t slot, const void *wanted) {
    (void)context;
    perturb();
    return memcmp(&key_of[slot], wanted, sizeof(key)) == 0;
}
static uint64_t hash_of_slot(void *context, uint32_t slot) {
    (void)context;
    uint64_t hash = hash_of(key_of[slot].id);
    perturb();
    return hash;
}

static uint32_t find(unsigned id) {
    key wanted = {id, ~(uint64_t)id};
    return hf_index_find(index_, hash_of(id), &wanted);
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

/* Outside a section. */
static uint32_t slot_take(struct worker *worker) {
    if (worker->free_count == 0) {
        hf_grace_period(); /* one is enough: hf_index_remove */
        memcpy(worker->free, worker->limbo, sizeof(uint32_t) * worker->limbo_count);
        worker->free_count = worker->limbo_count;
        worker->limbo_count = 0;
        for (unsigned i = 0; i < worker->free_count; i++) {
            key_of[worker->free[i]] = (key){UINT64_MAX, worker->number};
        }
    }
    return worker->free[--worker->free_count];
}

/* Inserts with a slot of the worker's; returns whether it won, and the id's slot. */
static bool insert(struct worker *worker, unsigned id, uint32_t *slot) {
    uint32_t own = slot_take(worker), existing = HF_INDEX_NONE;
    key wanted = {id, ~(uint64_t)id};
    key_of[own] = wanted;
    hf_section_enter();
    enum hf_index_result result = hf_index_insert(index_, hash_of(id), &wanted, own, &existing);
    if (result == HF_INDEX_EXISTS && key_of[existing].id != id) {
        fail("id %u is told slot %u, which has id %" PRIu64, id, existing, key_of[existing].id);
    }
    hf_section_leave();
    if (result == HF_INDEX_NO_MEMORY) {
        fail("out of memory at id %u", id);
    }
    if (result == HF_INDEX_INSERTED) {
        worker->inserted++;
        *slot = own;
        return true;
    }
    worker->refused++;
    key_of[own] = (key){UINT64_MAX, 0}; /* nobody has seen it */
    worker->free[worker->free_count++] = own;
    *slot = existing;
    return false;
}

static void check_permanent(uint64_t *state) {
    uint64_t known = hf_load_acquire(&contested); /* orders permanent[]: stored by main between barriers */
    if (known == 0) {
        return;
    }
    unsigned id = (unsigned)(random_next(state) % known);
    hf_section_enter();
    uint32_t slot = find(id);
    hf_section_leave();
    if (slot + 1 != permanent[id]) {
        fail("permanent id %u, slot %u: found %u", id, permanent[id] - 1, slot);
    }
}

/* ---- the contest ------------------------------------------------------------------------------------------------- */

/* One worker, between two barriers, judges the round. */
static void judge_round(unsigned round) {
    for (unsigned i = 0; i < BATCH; i++) {
        unsigned winners = 0;
        for (unsigned w = 0; w < WORKERS; w++) {
            winners += won[w][i];
            if (told[w][i] != told[0][i]) {
                fail("id %u: workers are told slots %u and %u", round * BATCH + i, told[0][i], told[w][i]);
            }
        }
        if (winners != 1) {
            fail("id %u has %u winners", round * BATCH + i, winners);
        }
        permanent[round * BATCH + i] = told[0][i] + 1;
    }
    hf_store_release(&contested, (uint64_t)(round + 1) * BATCH); /* to check_permanent */
}

static void contest(struct worker *worker) {
    for (unsigned round = 0; round < rounds; round++) {
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < BATCH; i++) {
            won[worker->number][i] = insert(worker, round * BATCH + i, &told[worker->number][i]);
        }
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            judge_round(round);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            check_permanent(&worker->random);
        }
    }
}

/* ---- ownership --------------------------------------------------------------------------------------------------- */

static void acquire(struct worker *worker, unsigned number) {
    unsigned id = PERMANENT + number;
    uint32_t slot;
    if (!insert(worker, id, &slot)) {
        return;
    }
    /* Relaxed, so that the order of owners is the index's doing. */
    unsigned before = hf_load_relaxed(&owner[number]);
    if (before != 0) {
        fail("id %u is won by worker %u and still owned by %u", id, worker->number, before - 1);
    }
    hf_store_relaxed(&owner[number], worker->number + 1);
    worker->held[worker->held_count].id = id;
    worker->held[worker->held_count++].slot = slot;
}

static void give_up(struct worker *worker, unsigned which) {
    unsigned id = worker->held[which].id;
    uint32_t slot = worker->held[which].slot;
    worker->held[which] = worker->held[--worker->held_count];
    if (hf_load_relaxed(&owner[id - PERMANENT]) != worker->number + 1) {
        fail("id %u of worker %u was taken over", id, worker->number);
    }
    hf_store_relaxed(&owner[id - PERMANENT], 0); /* relaxed: as in acquire */
    hf_section_enter();
    uint32_t found = find(id);
    bool removed = hf_index_remove(index_, hash_of(id), slot);
    uint32_t after = find(id);
    bool again = hf_index_remove(index_, hash_of(id), slot);
    hf_section_leave();
    if (found != slot || !removed || after == slot || again) {
        fail("id %u, slot %u: found %u, %s, then %u%s", id, slot, found, removed ? "removed" : "not removed", after,
             again ? ", removed again" : "");
    }
    worker->limbo[worker->limbo_count++] = slot;
}

static void look_at_held(struct worker *worker, unsigned which) {
    unsigned id = worker->held[which].id;
    hf_section_enter();
    uint32_t found = find(id);
    hf_section_leave();
    if (found != worker->held[which].slot) {
        fail("held id %u, slot %u: found %u", id, worker->held[which].slot, found);
    }
}

/* Tables came and went, and ids moved between them. Relaxed: counts. */
static bool met_races(void) {
    return hf_load_relaxed(&renewals) > 0 && hf_load_relaxed(&migrations) > 0 && hf_load_relaxed(&deepest) >= 2;
}

/* However long the threads that renew and migrate are kept waiting, they have been at it before this ends. */
static void own_and_release(struct worker *worker) {
    worker->free_count = OWN_SLOTS; /* few, so that each is soon used again */
    for (unsigned step = 0; step < STEPS || (step < STEPS_MOST && !met_races()); step++) {
        uint64_t dice = random_next(&worker->random);
        unsigned which = worker->held_count ? (unsigned)((dice >> 8) % worker->held_count) : 0;
        switch (dice % 4) {
        case 0:
        case 1:
            if (worker->held_count < HOLD) {
                acquire(worker, (unsigned)((dice >> 8) % OWNED));
                break;
            } /* fall through */
        case 2:
            if (worker->held_count > 0) {
                give_up(worker, which);
            }
            break;
        default:
            if (worker->held_count > 0) {
                look_at_held(worker, which);
            }
            check_permanent(&worker->random);
        }
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *work(void *argument) {
    struct worker *worker = argument;
    hf_section_register();
    contest(worker);
    own_and_release(worker);
    hf_section_unregister();
    return NULL;
}

/* The next table, larger or smaller, as long as there are few: so each bucket moves often. */
static void renew_now_and_then(uint64_t *random) {
    hf_index_gauges gauges;
    hf_index_gauges_read(index_, &gauges);
    hf_raise_relaxed(&deepest, gauges.levels); /* relaxed: a count */
    uint64_t dice = random_next(random), ids = hf_load_acquire(&contested) + 1;
    if (gauges.levels >= 4) {
        return;
    }
    if (dice % 4 != 0) {
        hf_index_grow_if_needed(index_, ids);
    } else if (!hf_index_renew(index_, (dice >> 8) % (2 * ids))) {
        fail("out of memory");
    } else {
        hf_fetch_add_relaxed(&renewals, 1); /* relaxed: a count */
    }
}

static void *look_up(void *argument) {
    uint64_t random = seed ^ 77;
    (void)argument;
    hf_section_register();
    while (!hf_load_relaxed(&stop)) { /* relaxed: only the value counts */
        for (unsigned i = 0; i < 100; i++) {
            check_permanent(&random);
        }
        renew_now_and_then(&random); /* while the other thread migrates */
    }
    hf_section_unregister();
    return NULL;
}

static void *migrate(void *argument) {
    uint64_t random = seed ^ 99;
    (void)argument;
    hf_section_register();
    while (!hf_load_relaxed(&stop)) { /* relaxed: only the value counts */
        renew_now_and_then(&random);
        if (hf_index_migrate(index_, 1 + random_next(&random) % 64)) {
            hf_fetch_add_relaxed(&migrations, 1); /* relaxed: a count */
        }
    }
    hf_section_unregister();
    return NULL;
}

static void worker_begin(struct worker *worker, unsigned number) {
    memset(worker, 0, sizeof *worker);
    worker->number = number;
    worker->random = mixed(seed + number);
    for (unsigned i = 0; i < WORKER_SLOTS; i++) {
        worker->free[worker->free_count++] = number * WORKER_SLOTS + i;
    }
}

static void check_count(uint64_t expected, const char *when) {
    uint64_t held;
    if (!hf_index_is_valid(index_, &held)) {
        fail("%s: a rule of the index is broken", when);
    }
    if (held != expected) {
        fail("%s: %" PRIu64 " ids in the index, %" PRIu64 " were left in", when, held, expected);
    }
}

static void life(void) {
    memset(owner, 0, sizeof owner);
    contested = 0;
    stop = false;
    index_ = hf_index_new(1, same, hash_of_slot, NULL);
    if (index_ == NULL) {
        fail("out of memory");
    }
    pthread_barrier_init(&barrier, NULL, WORKERS);
    pthread_t reader, migrator;
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_begin(&workers[i], i);
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    pthread_create(&reader, NULL, look_up, NULL);
    pthread_create(&migrator, NULL, migrate, NULL);
    uint64_t held = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        held += workers[i].held_count;
    }
    hf_store_relaxed(&stop, true); /* relaxed: only the value counts */
    pthread_join(reader, NULL);
    pthread_join(migrator, NULL);
    check_count(rounds * BATCH + held, "after the threads");
    while (hf_index_migrate(index_, 1000)) {
    }
    check_count(rounds * BATCH + held, "after the last migration");
    for (unsigned i = 0; i < WORKERS; i++) {
        while (workers[i].held_count > 0) {
            give_up(&workers[i], 0);
        }
    }
    check_count(rounds * BATCH, "after the last removals");
    uint64_t random = seed;
    for (unsigned i = 0; i < rounds * BATCH; i++) {
        check_permanent(&random);
    }
    pthread_barrier_destroy(&barrier);
    hf_index_free(index_);
}

int main(void) {
    const char *fixed = getenv("HF_SEED");
    uint64_t first = fixed ? strtoull(fixed, NULL, 0) : (uint64_t)time(NULL);
    hf_section_register();
    for (unsigned i = 0; i < 3; i++) { /* three indexes, each from a table of 4 buckets on */
        seed = first + i;
        /* With few permanent ids, migration mostly moves what is just inserted and removed. */
        rounds = i == 0 ? MOST_ROUNDS : 4;
        uint64_t inserted = 0, refused = 0;
        renewals = migrations = deepest = 0;
        life();
        for (unsigned w = 0; w < WORKERS; w++) {
            inserted += workers[w].inserted;
            refused += workers[w].refused;
        }
        printf("index_race: HF_SEED=%" PRIu64 ": %" PRIu64 " insertions won and %" PRIu64 " lost, %" PRIu64
               " tables renewed, %" PRIu64 " turns of migration, up to %" PRIu64 " tables\n",
               seed, inserted, refused, renewals, migrations, deepest);
        if (refused == 0 || !met_races()) {
            fail("the run met no race worth the name");
        }
    }
    hf_section_unregister();
    return 0;
}
