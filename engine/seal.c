/* The epoch seal. The contract is in seal.h.
 *
 * Edges
 *   E1  the open epoch: `epoch` stored -> loaded by an operation. A section that begins after the seal's grace period has begun
 *       sees it (G2), whatever the processor.
 *   E2  the durable epoch: `durable` stored -> loaded. What it names is on disk.
 *   F1  the poison: its text, then `poisoned` stored -> loaded.
 *   A1  an answer without a record: `asked` stored -> loaded by hf_seal_wanted. Relaxed: a seal more or less is harmless, and the
 *       log writer looks again within a millisecond.
 */
#include "seal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "wal/error.h"

/* ---- who waits ---------------------------------------------------------------------------------------------------- */

/* The durable epoch moved, or never will again. */
static void tell_waiters(hf_engine *engine) {
    pthread_mutex_lock(&engine->waiters_mutex);
    if (engine->waiters > 0) {
        pthread_cond_broadcast(&engine->durable_moved);
    }
    pthread_mutex_unlock(&engine->waiters_mutex);
    uint64_t one = 1;
    ssize_t written = write(engine->event_fd, &one, sizeof one); /* full only if nobody reads it, and then it is readable */
    (void)written;
}

static int poison(hf_engine *engine) {
    snprintf(engine->poison, sizeof engine->poison, "%s", hf_error_detail());
    hf_store_release(&engine->poisoned, 1u); /* edge F1 */
    tell_waiters(engine);
    return HF_EPOISONED;
}

/* ---- the seal ------------------------------------------------------------------------------------------------------ */

typedef struct hf_sealing {
    hf_engine *engine;
    uint64_t epoch;
    bool begun;
} hf_sealing;

/* Puts a piece of a chunk into the batch, which begins with the first. */
static int put(void *context, const void *data, size_t length) {
    hf_sealing *sealing = context;
    hf_engine *engine = sealing->engine;
    if (!sealing->begun) {
        int error = hf_wal_begin(engine->wal, sealing->epoch, hf_engine_now(engine), engine->term);
        if (error) {
            return error;
        }
        sealing->begun = true;
    }
    return hf_wal_put(engine->wal, data, length);
}

static void grace_period(hf_engine *engine) {
    hf_fetch_add_acq_rel(&engine->grace.begun, UINT64_C(1)); /* edge D2, to hf_pool_settle and take_over */
    hf_grace_period();
    hf_store_release(&engine->grace.ended, hf_load_relaxed(&engine->grace.begun)); /* edge P2; relaxed: only sealers add, one at a time */
}

/* Writes what the rings hold of the epoch. */
static int write_epoch(hf_engine *engine, uint64_t epoch) {
    hf_sealing sealing = {.engine = engine, .epoch = epoch};
    uint64_t records = 0;
    uint32_t count = hf_load_acquire(&engine->session_count); /* edge N1 */
    for (uint32_t i = 0; i < count; i++) {
        hf_session *session = engine->sessions[i];
        bool any;
        uint32_t number = hf_load_relaxed(&session->number); /* relaxed: what is tagged `epoch` was done before G1 */
        int error = hf_ring_take(&session->ring, epoch, number, put, &sealing, &any);
        if (error) {
            return error;
        }
        records += hf_load_relaxed(&session->part.records); /* relaxed: a gauge, which may be some of the next epoch ahead */
    }
    hf_store_relaxed(&engine->records_written, records); /* relaxed: a gauge */
    if (sealing.begun) {
        return hf_wal_commit(engine->wal);
    }
    hf_wal_mark_durable(engine->wal, epoch);
    return HF_SUCCESS;
}

static int seal(hf_engine *engine) {
    if (hf_load_relaxed(&engine->poisoned)) { /* relaxed: set by sealers only, under the mutex that we hold */
        hf_error_keep(engine->poison);
        return HF_EPOISONED;
    }
    uint64_t epoch = engine->epoch;
    hf_store_release(&engine->epoch, epoch + 1); /* edge E1 */
    grace_period(engine);
    if (engine->wal && write_epoch(engine, epoch) != HF_SUCCESS) {
        return poison(engine);
    }
    hf_store_release(&engine->durable, epoch); /* edge E2 */
    tell_waiters(engine);
    return HF_SUCCESS;
}

bool hf_seal_wanted(hf_engine *engine) {
    uint64_t epoch = hf_load_relaxed(&engine->epoch); /* relaxed: a look, repeated soon */
    if (hf_load_relaxed(&engine->wanted) >= epoch) {  /* relaxed: the same */
        return true;
    }
    uint32_t count = hf_load_acquire(&engine->session_count); /* edge N1 */
    for (uint32_t i = 0; i < count; i++) {
        const hf_session *session = engine->sessions[i];
        if (hf_load_relaxed(&session->asked) >= epoch || hf_ring_used(&session->ring) > 0) { /* edge A1 */
            return true;
        }
    }
    return false;
}

int hf_seal(hf_engine *engine, bool even_empty) {
    pthread_mutex_lock(&engine->seal_mutex);
    int error = even_empty || hf_seal_wanted(engine) ? seal(engine) : HF_SUCCESS;
    pthread_mutex_unlock(&engine->seal_mutex);
    return error;
}

void hf_grace_turn(hf_engine *engine) {
    pthread_mutex_lock(&engine->seal_mutex);
    grace_period(engine);
    pthread_mutex_unlock(&engine->seal_mutex);
}

/* ---- the log writer ------------------------------------------------------------------------------------------------ */

enum {
    NAP_BUSY_US = 50,  /* between looks, while there was work lately */
    NAP_IDLE_US = 1000,
    LATELY = 2000,     /* looks without work until it is idle: a tenth of a second */
    VOLATILE_US = 500, /* between seals that cost no sync */
};

void hf_wake_log_writer(hf_engine *engine) {
    pthread_mutex_lock(&engine->waiters_mutex);
    pthread_cond_signal(&engine->work_wanted);
    pthread_mutex_unlock(&engine->waiters_mutex);
}

/* Sleeps until somebody waits for a ticket, or for a nap: sessions never make a system call to wake it. */
static void nap(hf_engine *engine, long microseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += microseconds * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&engine->waiters_mutex);
    if (!engine->stopping && hf_load_relaxed(&engine->wanted) < hf_load_relaxed(&engine->epoch)) { /* relaxed: under the mutex */
        pthread_cond_timedwait(&engine->work_wanted, &engine->waiters_mutex, &until);
    }
    pthread_mutex_unlock(&engine->waiters_mutex);
}

static bool stopping(hf_engine *engine) {
    pthread_mutex_lock(&engine->waiters_mutex);
    bool stop = engine->stopping;
    pthread_mutex_unlock(&engine->waiters_mutex);
    return stop;
}

static void pause_for(long microseconds) {
    struct timespec time = {.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000};
    (void)nanosleep(&time, NULL);
}

void *hf_log_writer_run(void *context) {
    hf_engine *engine = context;
    unsigned idle = 0;
    hf_section_register();
    while (!stopping(engine) && hf_load_relaxed(&engine->poisoned) == 0) { /* relaxed: its own */
        if (!hf_seal_wanted(engine)) {
            idle += idle < LATELY;
            nap(engine, idle < LATELY ? NAP_BUSY_US : NAP_IDLE_US);
            continue;
        }
        idle = 0;
        if (engine->options.batch_delay_us > 0) {
            pause_for(engine->options.batch_delay_us);
        } else if (engine->is_volatile) {
            pause_for(VOLATILE_US);
        }
        (void)hf_seal(engine, true); /* a failure is in the poison */
    }
    hf_section_unregister();
    return NULL;
}
