/* The engine: opening and closing, its threads, one turn without them, waiting, and gauges.
 *
 * Opening a directory:
 *      lock -> newest whole checkpoint -> log behind it -> counters and wheels -> recovery mark, undecided operations -> seal
 *
 * Threads, where the options want them:
 *      log writer      seals one epoch after another (seal.c)
 *      ticker          every millisecond: the clock, what is due, what may be forgotten, the index's growth
 *      housekeeper     spare segments, checkpoints: whatever waits for a disk and must not hold up the other two
 *
 * Edges
 *   O3  the turn of hf_poll: `poll_busy` set to 0 -> exchanged for 1. Carries what the last turn did outside of locks.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint.h"
#include "expiry.h"
#include "replay.h"
#include "retention.h"
#include "seal.h"
#include "wal/error.h"

/* ---- options ----------------------------------------------------------------------------------------------------------------- */

#define KNOWN_FLAGS ((uint32_t)(HF_NO_THREADS | HF_NONBLOCKING | HF_READ_ONLY | HF_VOLATILE | HF_MUST_EXIST))
#define SEGMENT_LEAST (UINT64_C(1) << 20)
#define SEGMENT_MOST (UINT64_C(1) << 30)
#define RESERVATIONS_MOST (UINT64_C(1) << 31)
#define BLOCKS_MOST (UINT64_C(1) << 28)

void hf_options_init(hf_options *options) {
    *options = (hf_options){
        .shards = 4,
        .expected_skus = 65536,
        .expected_reservations = 65536,
        .max_reservations = UINT64_C(1) << 30,
        .retention_ms = UINT64_C(24) * 3600 * 1000,
        .segment_bytes = UINT64_C(64) << 20,
        .ring_bytes = 1u << 20,
        .checkpoint_bytes = UINT64_C(1) << 30,
    };
}

/* 0 stands for the default wherever there is one; what is beyond use is brought down to it. */
static hf_options with_defaults(const hf_options *given) {
    hf_options defaults, options;
    hf_options_init(&defaults);
    options = given ? *given : defaults;
#define DEFAULT(field) options.field = options.field ? options.field : defaults.field
    DEFAULT(shards);
    DEFAULT(expected_skus);
    DEFAULT(expected_reservations);
    DEFAULT(max_reservations);
    DEFAULT(retention_ms);
    DEFAULT(segment_bytes);
    DEFAULT(ring_bytes);
    DEFAULT(checkpoint_bytes);
#undef DEFAULT
#define AT_MOST(field, most) options.field = options.field < (most) ? options.field : (most)
    AT_MOST(max_reservations, RESERVATIONS_MOST);
    AT_MOST(expected_reservations, options.max_reservations);
    AT_MOST(expected_skus, HF_MAX_SKUS / 2);
    AT_MOST(retention_ms, HF_MAX_TIME_MS);
#undef AT_MOST
    return options;
}

static bool is_power_of_two(uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

static int check_options(const hf_options *o) {
    if (o->flags & ~KNOWN_FLAGS) {
        return hf_fail(HF_EINVAL, "flags is 0x%x: expected no other bits than 0x%x", o->flags, KNOWN_FLAGS);
    }
    if (!is_power_of_two(o->shards) || o->shards > HF_MAX_SHARDS) {
        return hf_fail(HF_EINVAL, "shards is %u: expected a power of two, at most %u", o->shards, HF_MAX_SHARDS);
    }
    if (o->segment_bytes < SEGMENT_LEAST || o->segment_bytes > SEGMENT_MOST || o->segment_bytes % 4096 != 0) {
        return hf_fail(HF_EINVAL, "segment_bytes is %" PRIu64 ": expected a multiple of 4096, %" PRIu64 " to %" PRIu64,
                       o->segment_bytes, SEGMENT_LEAST, SEGMENT_MOST);
    }
    if (!is_power_of_two(o->ring_bytes) || o->ring_bytes < HF_RING_MIN || o->ring_bytes > HF_RING_MAX) {
        return hf_fail(HF_EINVAL, "ring_bytes is %u: expected a power of two, %u to %u", o->ring_bytes, HF_RING_MIN,
                       HF_RING_MAX);
    }
    if (o->batch_delay_us > 1000000) {
        return hf_fail(HF_EINVAL, "batch_delay_us is %u: expected at most 1000000", o->batch_delay_us);
    }
    return HF_SUCCESS;
}

/* ---- who may call ------------------------------------------------------------------------------------------------------------- */

uint64_t hf_fork_count;

static void count_fork(void) { hf_store_relaxed(&hf_fork_count, hf_fork_count + 1); /* relaxed: the child has one thread */ }

static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_fork); }

int hf_engine_check(const hf_engine *engine) {
    if (__builtin_expect(hf_load_relaxed(&hf_fork_count) != engine->fork_count, 0)) { /* relaxed: this process's own */
        return hf_fail(HF_EFORK, "the engine belongs to the process that opened it, this is a child of it");
    }
    return HF_SUCCESS;
}

int hf_engine_refuse_write(const hf_engine *engine) {
    int error = hf_engine_check(engine);
    if (!error && engine->is_read_only) {
        error = hf_fail(HF_EREADONLY, "the engine was opened read-only");
    }
    return error ? error : hf_health(engine);
}

int hf_health(const hf_engine *engine) {
    if (hf_load_acquire(&engine->poisoned)) { /* edge F1 */
        hf_error_keep(engine->poison);
        return HF_EPOISONED;
    }
    return HF_SUCCESS;
}

/* ---- the clock ------------------------------------------------------------------------------------------------------------------ */

static uint64_t wall_clock(void *context) {
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t hf_refresh_clock(hf_engine *engine) {
    uint64_t (*clock)(void *) = engine->options.clock ? engine->options.clock : wall_clock;
    uint64_t now_ms = clock(engine->options.clock_context);
    /* Relaxed: a number; with the barrier it is edge D1's: what is looked at for this time is looked at after it was set. */
    now_ms = hf_raise_relaxed(&engine->now_ms, now_ms < HF_MAX_TIME_MS ? now_ms : HF_MAX_TIME_MS);
    hf_barrier_after_cas(); /* edge D1 */
    return now_ms;
}

/* ---- what the threads do ---------------------------------------------------------------------------------------------------------- */

/* The index keeps up with the ids. */
static void grow_index(hf_engine *engine, size_t buckets) {
    hf_index_grow_if_needed(engine->index, hf_pool_used(&engine->slots));
    if (!engine->migrating) {
        hf_index_gauges gauges;
        hf_index_gauges_read(engine->index, &gauges);
        engine->migrating = gauges.levels > 1;
    }
    if (engine->migrating) {
        engine->migrating = hf_index_migrate(engine->index, buckets);
    }
}

/* Expires what is due; a full ring is sealed and gone on with, where `seals` lets it. */
static int expire_due(hf_engine *engine, bool seals) {
    int error;
    while ((error = hf_settle(engine->keeper, hf_engine_now(engine))) == HF_EAGAIN && seals) {
        error = hf_seal(engine, true);
        if (error) {
            return error;
        }
    }
    return error == HF_EBUSY || error == HF_EAGAIN ? HF_SUCCESS : error;
}

static void sleep_us(long microseconds) {
    struct timespec time = {.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000};
    (void)nanosleep(&time, NULL);
}

static bool is_stopping(hf_engine *engine) {
    pthread_mutex_lock(&engine->waiters_mutex);
    bool stopping = engine->stopping;
    pthread_mutex_unlock(&engine->waiters_mutex);
    return stopping;
}

enum { TICK_US = 1000, IDLE_MS = 100, MIGRATE_BUCKETS = 256, GRACE_TICKS = 20 };

static void *run_ticker(void *context) {
    hf_engine *engine = context;
    hf_section_register();
    for (unsigned tick = 0; !is_stopping(engine); tick++) {
        uint64_t now_ms = hf_refresh_clock(engine);
        pthread_mutex_lock(&engine->keeper_mutex);
        if (hf_load_relaxed(&engine->poisoned) == 0) { /* relaxed: a step more or less */
            (void)expire_due(engine, false);
        }
        bool waits = hf_forget_for_others(engine->keeper, now_ms, IDLE_MS);
        grow_index(engine, MIGRATE_BUCKETS);
        pthread_mutex_unlock(&engine->keeper_mutex);
        if (waits && tick % GRACE_TICKS == 0) {
            hf_grace_turn(engine); /* nothing may be sealed for long, and then nobody else does it */
        }
        sleep_us(TICK_US);
    }
    hf_section_unregister();
    return NULL;
}

/* A checkpoint by itself, once enough log has been written since the last. */
static void checkpoint_when_due(hf_engine *engine) {
    hf_wal_gauges gauges;
    hf_wal_gauges_read(engine->wal, &gauges);
    if (gauges.bytes - engine->checkpoint_log_bytes >= engine->options.checkpoint_bytes) {
        int error = hf_checkpoint(engine);
        if (error != HF_EBUSY) { /* a failure is tried again after as much log; the log itself is whole */
            engine->checkpoint_log_bytes = gauges.bytes;
        }
    }
}

enum { HOUSEKEEPING_US = 2000, SPARES = 2 };

static void *run_housekeeper(void *context) {
    hf_engine *engine = context;
    hf_section_register();
    while (!is_stopping(engine)) {
        if (hf_wal_spares(engine->wal) < SPARES) {
            (void)hf_wal_prepare(engine->wal, SPARES); /* else the log writer makes one, and tells */
        }
        checkpoint_when_due(engine);
        sleep_us(HOUSEKEEPING_US);
    }
    hf_section_unregister();
    return NULL;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), hf_engine *engine) {
    int error = pthread_create(thread, NULL, run, engine);
    return error ? hf_fail(HF_ENOMEM, "cannot start a thread: %s", strerror(error)) : HF_SUCCESS;
}

static void stop_threads(hf_engine *engine) {
    pthread_mutex_lock(&engine->waiters_mutex);
    engine->stopping = true;
    pthread_cond_signal(&engine->work_wanted);
    pthread_mutex_unlock(&engine->waiters_mutex);
    pthread_t *threads[] = {&engine->housekeeper, &engine->ticker, &engine->log_writer};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        if (*threads[i]) {
            pthread_join(*threads[i], NULL);
            *threads[i] = 0;
        }
    }
}

static int start_threads(hf_engine *engine) {
    if (!engine->has_threads) {
        return HF_SUCCESS;
    }
    int error = start_thread(&engine->log_writer, hf_log_writer_run, engine);
    error = error ? error : start_thread(&engine->ticker, run_ticker, engine);
    return error || engine->is_volatile ? error : start_thread(&engine->housekeeper, run_housekeeper, engine);
}

/* ---- the same without threads -------------------------------------------------------------------------------------------------------- */

static int poll_once(hf_engine *engine) {
    uint64_t now_ms = hf_refresh_clock(engine);
    pthread_mutex_lock(&engine->keeper_mutex);
    int error = expire_due(engine, true);
    (void)hf_forget_for_others(engine->keeper, now_ms, 0);
    error = error ? error : hf_seal(engine, true);
    (void)hf_forget_for_others(engine->keeper, now_ms, 0); /* the seal's grace period has passed */
    grow_index(engine, SIZE_MAX);
    pthread_mutex_unlock(&engine->keeper_mutex);
    return error;
}

int hf_poll(hf_engine *engine) {
    int error = hf_engine_check_writable(engine);
    if (error) {
        return error;
    }
    if (hf_exchange_acquire(&engine->poll_busy, 1u)) { /* edge O3 */
        return hf_fail(HF_EBUSY, "another thread is in hf_poll");
    }
    hf_section_register();
    error = poll_once(engine);
    hf_section_unregister();
    hf_store_release(&engine->poll_busy, 0u); /* edge O3 */
    return error;
}

int hf_checkpoint(hf_engine *engine) {
    int error = hf_engine_check_writable(engine);
    if (!error && engine->is_volatile) {
        error = hf_fail(HF_EINVAL, "a volatile engine has no log to take a checkpoint beside");
    }
    if (error) {
        return error;
    }
    if (pthread_mutex_trylock(&engine->checkpoint_mutex) != 0) {
        return hf_fail(HF_EBUSY, "a checkpoint is under way");
    }
    hf_section_register();
    error = hf_checkpoint_write(engine);
    hf_section_unregister();
    pthread_mutex_unlock(&engine->checkpoint_mutex);
    return error;
}

/* ---- durability ---------------------------------------------------------------------------------------------------------------------- */

uint64_t hf_durable(const hf_engine *engine) { return hf_load_acquire(&engine->durable); /* edge E2 */ }

int hf_event_fd(const hf_engine *engine) { return engine->event_fd; }

static struct timespec deadline_of(uint64_t timeout_ms) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t seconds = timeout_ms / 1000 < 1000000000 ? timeout_ms / 1000 : 1000000000;
    time.tv_sec += (time_t)seconds;
    time.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

static bool is_past(const struct timespec *time) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > time->tv_sec || (now.tv_sec == time->tv_sec && now.tv_nsec >= time->tv_nsec);
}

static int timed_out(const hf_engine *engine, uint64_t ticket) {
    return hf_fail(HF_ETIMEDOUT, "epoch %" PRIu64 " is not durable yet: %" PRIu64 " is", ticket, hf_durable(engine));
}

static int wait_polling(hf_engine *engine, uint64_t ticket, const struct timespec *until) {
    while (hf_durable(engine) < ticket) {
        int error = hf_poll(engine);
        if (error && error != HF_EBUSY) {
            return error;
        }
        if (hf_durable(engine) < ticket && is_past(until)) {
            return timed_out(engine, ticket);
        }
    }
    return HF_SUCCESS;
}

/* Sleeps until the log writer tells. Under waiters_mutex. */
static int wait_sleeping(hf_engine *engine, uint64_t ticket, const struct timespec *until) {
    while (hf_durable(engine) < ticket) {
        int error = hf_health(engine);
        if (error) {
            return error;
        }
        uint64_t epoch = hf_engine_epoch(engine), wanted = ticket < epoch ? ticket : epoch;
        if (wanted > engine->wanted) {
            hf_store_relaxed(&engine->wanted, wanted); /* relaxed: under the mutex, and looked at again and again */
            pthread_cond_signal(&engine->work_wanted);
        }
        if (pthread_cond_timedwait(&engine->durable_moved, &engine->waiters_mutex, until) == ETIMEDOUT) {
            return hf_durable(engine) >= ticket ? HF_SUCCESS : timed_out(engine, ticket);
        }
    }
    return HF_SUCCESS;
}

int hf_wait(hf_engine *engine, uint64_t ticket, uint64_t timeout_ms) {
    int error = hf_engine_check(engine);
    if (error || hf_durable(engine) >= ticket) {
        return error;
    }
    struct timespec until = deadline_of(timeout_ms);
    if (!engine->has_threads) {
        return engine->is_read_only ? timed_out(engine, ticket) : wait_polling(engine, ticket, &until);
    }
    pthread_mutex_lock(&engine->waiters_mutex);
    engine->waiters++;
    error = wait_sleeping(engine, ticket, &until);
    engine->waiters--;
    pthread_mutex_unlock(&engine->waiters_mutex);
    return error;
}

/* ---- opening -------------------------------------------------------------------------------------------------------------------------- */

static bool same_id(void *context, uint32_t slot, const void *key) {
    const hf_engine *engine = context;
    return memcmp(&hf_slot_at(engine, slot)->id, key, sizeof(hf_id)) == 0;
}

static uint64_t hash_of_slot(void *context, uint32_t slot) {
    const hf_engine *engine = context;
    return hf_id_hash(engine, hf_slot_at(engine, slot)->id);
}

static void init_conditions(hf_engine *engine) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->durable_moved, &monotonic);
    pthread_cond_init(&engine->work_wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&engine->sessions_mutex, NULL);
    pthread_mutex_init(&engine->keeper_mutex, NULL);
    pthread_mutex_init(&engine->seal_mutex, NULL);
    pthread_mutex_init(&engine->waiters_mutex, NULL);
    pthread_mutex_init(&engine->checkpoint_mutex, NULL);
}

static void destroy_conditions(hf_engine *engine) {
    pthread_cond_destroy(&engine->durable_moved);
    pthread_cond_destroy(&engine->work_wanted);
    pthread_mutex_destroy(&engine->sessions_mutex);
    pthread_mutex_destroy(&engine->keeper_mutex);
    pthread_mutex_destroy(&engine->seal_mutex);
    pthread_mutex_destroy(&engine->waiters_mutex);
    pthread_mutex_destroy(&engine->checkpoint_mutex);
}

static int open_tables(hf_engine *engine) {
    const hf_options *options = &engine->options;
    engine->shard_mask = options->shards - 1;
    if (getrandom(&engine->seed, sizeof engine->seed, 0) != sizeof engine->seed) {
        return hf_fail_system(-errno, "cannot get a random seed");
    }
    int error = hf_skus_open(&engine->skus, options->shards, options->expected_skus, engine->seed);
    error = error ? error : hf_pool_open(&engine->slots, options->max_reservations, options->expected_reservations);
    error = error ? error : hf_pool_open(&engine->blocks, BLOCKS_MOST, 1);
    error = error ? error : hf_shards_open(engine);
    if (!error) {
        engine->index = hf_index_new(options->expected_reservations, same_id, hash_of_slot, engine);
        error = engine->index ? HF_SUCCESS : HF_ENOMEM;
    }
    if (!error) {
        engine->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        error = engine->event_fd < 0 ? hf_fail_system(-errno, "cannot make an eventfd") : HF_SUCCESS;
    }
    return error ? error : hf_session_new(engine, &engine->keeper);
}

/* Everything but the threads, which are stopped. */
static void free_engine(hf_engine *engine) {
    hf_sessions_free(engine);
    if (engine->event_fd >= 0) {
        close(engine->event_fd);
    }
    if (engine->index) {
        hf_index_free(engine->index);
    }
    hf_shards_close(engine);
    hf_pool_close(&engine->slots);
    hf_pool_close(&engine->blocks);
    hf_skus_close(&engine->skus);
    hf_wal_close(engine->wal);
    destroy_conditions(engine);
    free(engine->directory);
    free(engine);
}

/* Reads the directory back. */
static int replay_directory(hf_engine *engine, hf_replay *replay, hf_wal_found *found) {
    hf_checkpoint_header header;
    char passed_over[HF_CHECKPOINT_TEXT];
    uint64_t start_ms = wall_clock(NULL);
    int error = hf_checkpoint_load(engine, replay, &header, passed_over);
    if (error) {
        return error;
    }
    engine->now_ms = header.now_ms;
    engine->next_session = header.next_session > engine->next_session ? header.next_session : engine->next_session;
    engine->checkpoint_epoch = header.position.epoch;
    engine->checkpoint_generation = header.position.generation;
    error = hf_wal_open(engine->wal, &header.position, hf_replay_epoch, replay, found);
    if (error == HF_ECORRUPT && passed_over[0]) {
        char without[HF_CHECKPOINT_TEXT];
        snprintf(without, sizeof without, "%s", hf_error_detail());
        error = hf_fail(HF_ECORRUPT, "%s; and without it: %s", passed_over, without);
    }
    error = error ? error : hf_replay_finish(replay);
    engine->cut_bytes = found->cut_bytes;
    engine->replay_ms = wall_clock(NULL) - start_ms;
    return error;
}

/* What recovery has to say goes into one epoch, and so into the keeper's ring at once: a larger one where many sessions left large
 * operations open. */
static int fit_ring(hf_engine *engine, const hf_replay *replay) {
    hf_ring *ring = &engine->keeper->ring;
    uint64_t room = HF_RECORD_FEW + hf_replay_room(replay), size = ring->size;
    while (size < room) {
        size *= 2;
    }
    if (size == ring->size) {
        return HF_SUCCESS;
    }
    hf_ring_close(ring);
    return hf_ring_open(ring, size);
}

/* The first records of this term, and what recovery has to say; then all of it is made durable. */
static int begin_term(hf_engine *engine, hf_replay *replay, const hf_wal_found *found) {
    uint64_t last = found->highest_seen > found->last_epoch ? found->highest_seen : found->last_epoch;
    last = last + 1 > engine->checkpoint_epoch ? last : engine->checkpoint_epoch;
    engine->epoch = last + 1;
    engine->durable = last;
    if (engine->is_read_only) {
        engine->term = found->term;
        engine->epoch = found->last_epoch + 1;
        engine->durable = found->last_epoch;
        return hf_replay_resolve(replay);
    }
    engine->term = found->term + 1;
    int error = fit_ring(engine, replay);
    if (error) {
        return error;
    }
    hf_section_enter();
    hf_entry mark = {.type = HF_RECORD_RECOVERY, .time_ms = engine->now_ms, .number = (uint32_t)engine->term};
    hf_ring_append(&engine->keeper->ring, hf_engine_epoch(engine), &mark);
    hf_section_leave();
    error = hf_replay_resolve(replay);
    error = error ? error : hf_seal(engine, true);
    return error == HF_EPOISONED ? HF_EIO : error; /* nobody has this engine that could be poisoned */
}

static int open_directory(hf_engine *engine) {
    hf_replay *replay;
    hf_wal_found found = {0};
    int error = hf_replay_begin(engine, &replay);
    error = error ? error : replay_directory(engine, replay, &found);
    error = error ? error : begin_term(engine, replay, &found);
    hf_replay_free(replay);
    return error;
}

static int lock_directory(hf_engine *engine) {
    bool must_exist = engine->options.flags & (HF_MUST_EXIST | HF_READ_ONLY);
    hf_wal_options wal_options = {.files = engine->files,
                                  .segment_bytes = engine->options.segment_bytes,
                                  .read_only = engine->is_read_only};
    return hf_wal_lock(engine->directory, &wal_options, must_exist, &engine->wal);
}

static int open_all(hf_engine *engine) {
    int error = engine->is_volatile ? HF_SUCCESS : lock_directory(engine);
    error = error ? error : open_tables(engine);
    if (error) {
        return error;
    }
    hf_section_register();
    if (engine->is_volatile) {
        engine->epoch = 2;
        engine->durable = 1;
        engine->term = 1;
    } else {
        error = open_directory(engine);
    }
    hf_section_unregister();
    hf_refresh_clock(engine);
    return error ? error : start_threads(engine);
}

static int make_engine(const hf_files *files, const char *directory, const hf_options *options, hf_engine **made) {
    hf_engine *engine = aligned_alloc(HF_CACHE_LINE, (sizeof *engine + HF_CACHE_LINE - 1) / HF_CACHE_LINE * HF_CACHE_LINE);
    if (!engine) {
        return hf_fail(HF_ENOMEM, "no memory for an engine");
    }
    *engine = (hf_engine){.options = *options, .files = files, .event_fd = -1, .next_session = 1};
    engine->fork_count = hf_load_relaxed(&hf_fork_count); /* relaxed: this process's own */
    engine->is_volatile = options->flags & HF_VOLATILE;
    engine->is_read_only = options->flags & HF_READ_ONLY && !engine->is_volatile;
    engine->has_threads = !(options->flags & HF_NO_THREADS) && !engine->is_read_only;
    init_conditions(engine);
    if (!engine->is_volatile && !(engine->directory = strdup(directory))) {
        free_engine(engine);
        return hf_fail(HF_ENOMEM, "no memory for an engine");
    }
    *made = engine;
    return HF_SUCCESS;
}

enum { ATTEMPTS = 5 }; /* read-only, beside a writer that takes checkpoints and lets segments go */

int hf_open_on(const hf_files *files, const char *directory, const hf_options *given, hf_engine **engine) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *engine = NULL;
    hf_options options = with_defaults(given);
    int error = check_options(&options);
    if (!error && !hf_cpu_check()) {
        error = hf_fail(HF_ECPU, "this processor lacks AVX or cmpxchg16b");
    }
    if (!error && !directory && !(options.flags & HF_VOLATILE)) {
        error = hf_fail(HF_EINVAL, "directory is NULL: expected a path, or HF_VOLATILE");
    }
    pthread_once(&once, watch_forks);
    bool again = !error;
    for (int attempt = 0; again && attempt < ATTEMPTS; attempt++) {
        hf_engine *made = NULL;
        error = make_engine(files, directory, &options, &made);
        if (error) {
            return error;
        }
        error = open_all(made);
        if (!error) {
            *engine = made;
            return HF_SUCCESS;
        }
        again = made->is_read_only && (error == HF_ENOTFOUND || error == HF_ECORRUPT);
        stop_threads(made);
        free_engine(made);
    }
    return error;
}

int hf_open(const char *directory, const hf_options *options, hf_engine **engine) {
    return hf_open_on(hf_files_system(), directory, options, engine);
}

int hf_close(hf_engine *engine) {
    if (!engine) {
        return HF_SUCCESS;
    }
    int error = hf_engine_check(engine);
    if (error) {
        return error; /* in a child: the parent's memory and files are let alone */
    }
    pthread_mutex_lock(&engine->sessions_mutex);
    uint32_t open = engine->sessions_open;
    pthread_mutex_unlock(&engine->sessions_mutex);
    if (open > 0) {
        return hf_fail(HF_EBUSY, "%u sessions are still open", open);
    }
    stop_threads(engine);
    hf_section_register();
    error = hf_health(engine);
    error = error || engine->is_read_only ? error : hf_seal(engine, false);
    hf_section_unregister();
    free_engine(engine);
    return error;
}

/* ---- gauges ------------------------------------------------------------------------------------------------------------------------------- */

/* Sums of what sessions count, and the fullest ring. */
static void read_sessions(const hf_engine *engine, hf_stats *stats) {
    uint64_t begun = 0, forgotten = 0, live = 0;
    uint32_t count = hf_load_acquire(&engine->session_count); /* edge N1 */
    for (uint32_t i = 0; i < count; i++) {
        const hf_session *session = engine->sessions[i];
        begun += hf_load_relaxed(&session->ids_begun); /* relaxed, all: gauges */
        forgotten += hf_load_relaxed(&session->ids_forgotten);
        live += hf_load_relaxed(&session->live_begun) - hf_load_relaxed(&session->live_ended);
        stats->expired += hf_load_relaxed(&session->expired);
        uint64_t used = hf_ring_used(&session->ring);
        stats->ring_used = used > stats->ring_used ? used : stats->ring_used;
        stats->memory_bytes += session->memory_bytes + session->ring.size;
    }
    stats->ids = begun > forgotten ? begun - forgotten : 0;
    stats->live = live <= INT64_MAX ? live : 0;
    stats->forgotten = forgotten;
}

static void read_shards(const hf_engine *engine, hf_stats *stats) {
    for (uint32_t i = 0; i <= engine->shard_mask; i++) {
        const hf_shard *shard = &engine->shards[i];
        stats->wheel_entries += hf_load_relaxed(&shard->gauges.entries); /* relaxed, all: gauges */
        stats->wheel_dead += hf_load_relaxed(&shard->gauges.dead);
        stats->wheel_compactions += hf_load_relaxed(&shard->gauges.compactions);
        stats->memory_bytes += hf_load_relaxed(&shard->gauges.bytes);
        uint64_t settled = hf_load_relaxed(&shard->settled_ms);
        uint64_t lag = settled > 0 && settled < stats->now_ms ? stats->now_ms - settled : 0;
        stats->wheel_lag_ms = lag > stats->wheel_lag_ms ? lag : stats->wheel_lag_ms;
    }
}

static void read_log(const hf_engine *engine, hf_stats *stats) {
    if (!engine->wal || engine->is_read_only) {
        return;
    }
    hf_wal_gauges gauges;
    hf_wal_gauges_read(engine->wal, &gauges);
    stats->epochs_written = gauges.epochs;
    stats->log_bytes = gauges.bytes;
    stats->log_payload = gauges.payload;
    stats->fsyncs = gauges.syncs;
    stats->segments = gauges.segments;
}

void hf_stats_read(const hf_engine *engine, hf_stats *stats) {
    hf_index_gauges index;
    *stats = (hf_stats){
        .epoch = hf_load_relaxed(&engine->epoch), /* relaxed, all: gauges */
        .durable = hf_load_relaxed(&engine->durable),
        .term = engine->term,
        .now_ms = hf_engine_now(engine),
        .skus = hf_load_relaxed(&engine->skus.count),
        .sku_slots = hf_load_relaxed(&engine->skus.slots),
        .sku_levels = hf_skus_levels(&engine->skus),
        .sessions = hf_load_relaxed(&engine->sessions_open),
        .ring_size = engine->options.ring_bytes,
        .checkpoints = hf_load_relaxed(&engine->checkpoints),
        .checkpoint_epoch = hf_load_relaxed(&engine->checkpoint_epoch),
        .records = hf_load_relaxed(&engine->records_written),
        .replayed_records = engine->replayed_records,
        .replayed_epochs = engine->replayed_epochs,
        .replay_ms = engine->replay_ms,
        .cut_bytes = engine->cut_bytes,
        .undone = engine->undone,
    };
    hf_index_gauges_read(engine->index, &index);
    stats->id_slots = index.entries;
    stats->id_levels = index.levels;
    stats->memory_bytes = index.bytes + hf_pool_bytes(&engine->skus.lines) + hf_load_relaxed(&engine->skus.name_bytes) +
                          hf_pool_bytes(&engine->slots) + hf_pool_bytes(&engine->blocks);
    read_sessions(engine, stats);
    read_shards(engine, stats);
    read_log(engine, stats);
}
