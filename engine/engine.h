/* The engine's state and who owns what of it. Everything an operation needs hangs here.
 *
 *   hf_engine   what all threads read: the open epoch, the clock, the poison; tables; the registry of sessions
 *   hf_session  one thread's: log ring, hints, caches of cells, scratch. Never freed before hf_close, used again when closed
 *   keeper      the engine's own session (number 0): it expires, forgets and recovers. One thread at a time, under keeper_mutex
 *
 * Locks, none of them on the path of an operation, taken in this order: checkpoint_mutex > sessions_mutex > keeper_mutex >
 * seal_mutex > waiters_mutex. A SKU shard's mutex (which may take the pools' growth), the index's and those of wal/ are taken last.
 */
#ifndef HF_ENGINE_H
#define HF_ENGINE_H

#include <holdfast/holdfast.h>

#include <pthread.h>

#include "index.h"
#include "part.h"
#include "pool.h"
#include "reservation.h"
#include "ring.h"
#include "sku.h"
#include "wal/log.h"
#include "wal/section.h"
#include "wheel.h"

#define HF_SESSION_STRUCTS (2u * HF_MAX_SESSIONS) /* open ones, and closed ones whose last records are not taken yet */

/* ---- hints: which slots to look at, and when ---------------------------------------------------------------------- */

enum { HF_HINTS = 4096 };

/* A session's way into a shard's wheel. One producer, the session; one consumer, the shard's owner. Hints stay here until one of
 * them may be due or there is no more room: most reservations end before that, and never get into the wheel. */
typedef struct hf_hints {
    hf_wheel_entry *entries; /* HF_HINTS */
    uint64_t tail __attribute__((aligned(HF_CACHE_LINE)));
    uint64_t head_seen;
    uint64_t earliest; /* no hint here is for an earlier time */
    uint64_t dead;     /* hints of the shard, wherever they are, that this session made meaningless */
    uint64_t head __attribute__((aligned(HF_CACHE_LINE)));
} hf_hints;

/* A timing wheel and what belongs to it. All but the first two is the owner's. */
typedef struct hf_shard {
    uint32_t owned;      /* 1: somebody is at it */
    uint64_t settled_ms; /* whatever was due at or before it has been expired */
    hf_wheel *wheel;
    hf_wheel_entry *later; /* due, but claimed by an operation under way: to be looked at again */
    uint32_t later_count;
    uint32_t later_room;
    uint64_t dropped; /* dead hints that never got into the wheel */
    uint64_t told;    /* dead hints that the wheel was told of */
    hf_wheel_gauges gauges; /* as the owner left them */
} __attribute__((aligned(HF_CACHE_LINE))) hf_shard;

/* ---- what has ended and is remembered ----------------------------------------------------------------------------- */

/* A session's ended slots, oldest first. Its thread appends to and takes from list[which], inside sections. The keeper turns
 * `which`, and owns the other list once a grace period has passed. */
typedef struct hf_remembered {
    hf_pool_chain list[2];
    uint64_t due;    /* when the first of list[which] may be forgotten; UINT64_MAX: it is empty */
    uint32_t seen;   /* the session's last look at `which` */
    uint32_t which;  /* the keeper's to turn */
    bool turned;     /* the keeper's: it waits for the grace period */
    uint64_t turned_at;
    uint64_t first_hash;  /* of the id of list[which]'s first, once it was looked at ahead; 0: not known */
    hf_pool_chain stolen; /* the keeper's */
} hf_remembered;

/* ---- sessions ------------------------------------------------------------------------------------------------------ */

/* A name that was ever given to a session, and how far its caller was. Lives until hf_close. */
typedef struct hf_session_name {
    struct hf_session_name *next;
    char name[HF_MAX_SESSION_NAME + 1];
    uint32_t number;
    bool is_open;
    uint64_t position;
} hf_session_name;

/* A line of an operation, resolved. */
typedef struct hf_wanted {
    hf_sku *sku;
    int64_t quantity;
    uint32_t given; /* index of the caller's line */
    uint64_t version; /* once it is taken: of that step */
} hf_wanted;

/* X(name): counted by the session, added up by hf_stats_read. */
#define HF_SESSION_COUNT_MAP(X) X(ids_begun) X(ids_forgotten) X(live_begun) X(live_ended) X(expired)

struct hf_session {
    hf_engine *engine;
    hf_session_name *name; /* NULL: none */
    uint32_t number;       /* in the log; 0: the keeper */
    bool is_open;
    bool logs; /* there is a log */
    uint64_t random;
    hf_hints *hints; /* one for each shard */
    hf_pool_cache slots, blocks;
    hf_remembered remembered;
    hf_part part;
    hf_wanted *lines; /* HF_MAX_LINES */
    uint16_t *places; /* 2 * HF_MAX_LINES, to find lines that repeat a SKU */
#define X(name) uint64_t name;
    HF_SESSION_COUNT_MAP(X)
#undef X
    uint64_t asked __attribute__((aligned(HF_CACHE_LINE))); /* the highest ticket given for what wrote no record */
    uint64_t position;
    hf_ring ring;
    void *memory; /* all of it */
    size_t memory_bytes;
};

/* Only its own thread changes a session's count: no read-modify-write. */
#define hf_tally(session, name)                                                                                        \
    hf_store_relaxed(&(session)->name, hf_load_relaxed(&(session)->name) + 1) /* relaxed: a gauge */

/* ---- the engine ---------------------------------------------------------------------------------------------------- */

struct hf_engine {
    /* Read by every operation, written some thousand times a second at most. */
    uint64_t epoch __attribute__((aligned(HF_CACHE_LINE))); /* the open one */
    uint64_t now_ms;                                        /* the logical clock */
    uint64_t durable;
    uint32_t poisoned;

    /* Fixed by hf_open. */
    hf_options options __attribute__((aligned(HF_CACHE_LINE)));
    char *directory; /* NULL: volatile */
    hf_wal *wal;     /* NULL: volatile */
    const hf_files *files;
    uint64_t fork_count;
    bool is_volatile, is_read_only, has_threads;
    uint64_t seed; /* of the hashes: ids and names come from outside */
    uint64_t term;
    hf_skus skus;
    hf_pool slots, blocks;
    hf_index *index;
    hf_shard *shards;
    uint32_t shard_mask;
    int event_fd;

    /* Sessions. */
    pthread_mutex_t sessions_mutex;
    hf_session *sessions[HF_SESSION_STRUCTS];
    uint32_t session_count; /* structs there are; only grows */
    uint32_t sessions_open;
    hf_session_name *names;
    uint32_t next_session;
    hf_session *keeper;
    pthread_mutex_t keeper_mutex;
    bool migrating; /* the keeper's: the id index has more than one table */

    /* The seal. */
    pthread_mutex_t seal_mutex; /* one seal at a time */
    hf_grace grace;
    pthread_mutex_t waiters_mutex; /* for the two conditions */
    pthread_cond_t durable_moved;  /* the durable epoch, or the poison */
    pthread_cond_t work_wanted;    /* to the log writer: a ticket is waited for, or it shall stop */
    uint64_t records_written;      /* gauge, of the last seal */
    uint64_t wanted;               /* the highest ticket waited for */
    uint32_t waiters;
    bool stopping;
    char poison[512]; /* why; written before `poisoned` */

    /* Checkpoints. */
    pthread_mutex_t checkpoint_mutex;
    uint64_t checkpoint_epoch, checkpoint_generation; /* of the last one */
    uint64_t checkpoint_log_bytes;                    /* log written when it was taken */
    uint64_t checkpoints;

    /* Threads. */
    pthread_t log_writer, ticker, housekeeper;
    uint32_t poll_busy;

    /* Gauges of the open. */
    uint64_t replayed_records, replayed_epochs, replay_ms, cut_bytes, undone;
};

/* ---- small things that everybody needs ------------------------------------------------------------------------------ */

extern uint64_t hf_fork_count; /* children of this process: raised in each child */

/* HF_SUCCESS, or HF_EFORK; and for what changes something HF_EREADONLY, HF_EPOISONED. */
int hf_engine_check(const hf_engine *engine);
int hf_engine_refuse_write(const hf_engine *engine); /* the reason why hf_engine_check_writable does not answer HF_SUCCESS */
static inline int hf_engine_check_writable(const hf_engine *engine) {
    bool good = hf_load_relaxed(&hf_fork_count) == engine->fork_count && /* relaxed: this process's own */
                !engine->is_read_only && hf_load_acquire(&engine->poisoned) == 0; /* edge F1 */
    return __builtin_expect(good, 1) ? HF_SUCCESS : hf_engine_refuse_write(engine);
}

/* The logical clock. That it does not go back is coherence; acquire, so that a settler's loads come after it (edge D1). */
static inline uint64_t hf_engine_now(const hf_engine *engine) { return hf_load_acquire(&engine->now_ms); }

/* The open epoch. After the load of what the answer builds on, before the compare-and-swap: acquire keeps it there.
 * Edge E1: from hf_seal's store. */
static inline uint64_t hf_engine_epoch(const hf_engine *engine) { return hf_load_acquire(&engine->epoch); }

static inline hf_slot *hf_slot_at(const hf_engine *engine, uint32_t number) {
    return hf_pool_cell(&engine->slots, number);
}
static inline hf_shard *hf_shard_of(const hf_engine *engine, uint32_t slot) {
    return &engine->shards[slot / HF_POOL_MAGAZINE & engine->shard_mask];
}
uint64_t hf_id_hash(const hf_engine *engine, hf_id id);

static inline uint64_t hf_deadline(uint64_t now_ms, uint64_t ttl_ms) {
    uint64_t deadline = now_ms + ttl_ms;
    return deadline < HF_MAX_TIME_MS ? deadline : HF_MAX_TIME_MS;
}

/* hf_open on files other than the system's: for tests. */
int hf_open_on(const hf_files *files, const char *directory, const hf_options *options, hf_engine **engine);

/* ---- sessions: session.c --------------------------------------------------------------------------------------------- */

/* A session without a name for the engine itself. */
int hf_session_new(hf_engine *engine, hf_session **session);
void hf_sessions_free(hf_engine *engine);
/* The name's entry, made if it is missing (with the number, or the next free one where that is 0). HF_ENOMEM HF_ESESSIONS. */
int hf_session_name_of(hf_engine *engine, const void *name, size_t length, uint32_t number, hf_session_name **entry, bool *made);
/* Makes sure of ring room before a section. HF_EAGAIN HF_EPOISONED; waits only where the options let it. */
int hf_session_room(hf_session *session, uint64_t bytes);

#endif
