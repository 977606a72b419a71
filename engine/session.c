/* Sessions: opening, closing, names and positions, and waiting for room in the log ring.
 *
 * Edges
 *   N1  a session's struct is published: `session_count` stored -> loaded by whoever walks over all sessions.
 *   N2  a position: stored by its session -> loaded by a checkpoint or a later session of that name. It is read with a ticket
 *       that is made durable after it (checkpoint.c), or under sessions_mutex.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine.h"
#include "expiry.h"
#include "retention.h"
#include "seal.h"
#include "wal/error.h"

/* ---- structs ----------------------------------------------------------------------------------------------------- */

static size_t aligned(size_t bytes) { return (bytes + 4095) & ~(size_t)4095; }

/* One mapping for all of a session but its ring; pages that are never touched cost nothing. */
static int allocate(hf_session *session) {
    uint32_t shards = session->engine->shard_mask + 1;
    size_t hints = aligned(shards * sizeof(hf_hints)), entries = aligned(shards * HF_HINTS * sizeof(hf_wheel_entry));
    size_t steps = aligned(HF_MAX_LINES * sizeof(hf_step)), lines = aligned(HF_MAX_LINES * sizeof(hf_wanted));
    size_t places = aligned(2 * HF_MAX_LINES * sizeof(uint16_t));
    session->memory_bytes = hints + entries + steps + lines + places;
    uint8_t *at = mmap(NULL, session->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return hf_fail(HF_ENOMEM, "no memory for a session: %zu bytes", session->memory_bytes);
    }
    session->memory = at;
    session->hints = (hf_hints *)(void *)at;
    for (uint32_t i = 0; i < shards; i++) {
        session->hints[i].entries = (hf_wheel_entry *)(void *)(at + hints) + (size_t)i * HF_HINTS;
    }
    session->part.steps = (hf_step *)(void *)(at + hints + entries);
    session->lines = (hf_wanted *)(void *)(at + hints + entries + steps);
    session->places = (uint16_t *)(void *)(at + hints + entries + steps + lines);
    return HF_SUCCESS;
}

static void free_struct(hf_session *session) {
    if (session->memory) {
        (void)munmap(session->memory, session->memory_bytes);
    }
    hf_ring_close(&session->ring);
    free(session);
}

/* A new struct, in the registry's next place. Under sessions_mutex, or before the engine has any other thread. */
int hf_session_new(hf_engine *engine, hf_session **made) {
    if (engine->session_count == HF_SESSION_STRUCTS) {
        return hf_fail(HF_ESESSIONS, "%u sessions, and those just closed, are the most", HF_MAX_SESSIONS);
    }
    hf_session *session = aligned_alloc(HF_CACHE_LINE, sizeof *session);
    if (!session) {
        return hf_fail(HF_ENOMEM, "no memory for a session");
    }
    *session = (hf_session){.engine = engine, .logs = engine->wal != NULL && !engine->is_read_only};
    hf_pool_cache_init(&session->slots);
    hf_pool_cache_init(&session->blocks);
    hf_remembered_init(&session->remembered);
    int error = allocate(session);
    if (!error && session->logs) {
        error = hf_ring_open(&session->ring, engine->options.ring_bytes);
        session->part.ring = &session->ring;
    }
    if (error) {
        free_struct(session);
        return error;
    }
    engine->sessions[engine->session_count] = session;
    hf_store_release(&engine->session_count, engine->session_count + 1); /* edge N1 */
    *made = session;
    return HF_SUCCESS;
}

void hf_sessions_free(hf_engine *engine) {
    for (uint32_t i = 0; i < engine->session_count; i++) {
        free_struct(engine->sessions[i]);
    }
    for (hf_session_name *name = engine->names, *next; name; name = next) {
        next = name->next;
        free(name);
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The next number of a session. Under sessions_mutex, or in replay. */
static int take_number(hf_engine *engine, uint32_t *number) {
    if (engine->next_session > HF_MAX_SESSION_NUMBER) {
        return hf_fail(HF_ESESSIONS, "the numbers of sessions are used up: at most %u", HF_MAX_SESSION_NUMBER);
    }
    *number = engine->next_session++;
    return HF_SUCCESS;
}

int hf_session_name_of(hf_engine *engine, const void *bytes, size_t length, uint32_t number, hf_session_name **entry, bool *made) {
    *made = false;
    for (hf_session_name *name = engine->names; name; name = name->next) {
        if (strlen(name->name) == length && memcmp(name->name, bytes, length) == 0) {
            *entry = name;
            return HF_SUCCESS;
        }
    }
    int error = number ? HF_SUCCESS : take_number(engine, &number);
    hf_session_name *name = error ? NULL : calloc(1, sizeof *name);
    if (!name) {
        return error ? error : hf_fail(HF_ENOMEM, "no memory for a session's name");
    }
    memcpy(name->name, bytes, length);
    name->number = number;
    name->next = engine->names;
    engine->names = *entry = name;
    *made = true;
    return HF_SUCCESS;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* A closed struct whose last records were taken, or a new one. Under sessions_mutex. */
static int find_struct(hf_engine *engine, hf_session **found) {
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < engine->session_count; i++) {
            hf_session *session = engine->sessions[i];
            if (!session->is_open && session != engine->keeper && hf_ring_used(&session->ring) == 0) {
                *found = session;
                return HF_SUCCESS;
            }
        }
        if (engine->session_count < HF_SESSION_STRUCTS) {
            return hf_session_new(engine, found);
        }
        int error = hf_seal(engine, true); /* takes what closed sessions left */
        if (error) {
            return error;
        }
    }
    return hf_fail(HF_ESESSIONS, "%u sessions are the most", HF_MAX_SESSIONS);
}

/* Logs the name of a session that was never open before. */
static int announce(hf_session *session) {
    if (!session->logs) {
        return HF_SUCCESS;
    }
    int error = hf_session_room(session, HF_RECORD_HEAD_MAX);
    if (error) {
        return error;
    }
    hf_section_enter();
    hf_entry entry = {.type = HF_RECORD_SESSION,
                      .time_ms = hf_engine_now(session->engine),
                      .number = session->number,
                      .name = session->name->name,
                      .name_length = (uint32_t)strlen(session->name->name)};
    hf_ring_append(&session->ring, hf_engine_epoch(session->engine), &entry);
    hf_section_leave();
    return HF_SUCCESS;
}

static int open_named(hf_engine *engine, hf_session *session, const char *name) {
    bool made;
    hf_session_name *entry;
    int error = hf_session_name_of(engine, name, strlen(name), 0, &entry, &made);
    if (error) {
        return error;
    }
    if (entry->is_open) {
        return hf_fail(HF_EBUSY, "session \"%s\" is open already", name);
    }
    hf_store_relaxed(&session->number, entry->number); /* relaxed: the log writer reads it behind G1 */
    session->name = entry;
    session->position = hf_load_relaxed(&entry->position); /* relaxed: edge N2 is the mutex */
    error = made ? announce(session) : HF_SUCCESS;
    if (error) {
        session->name = NULL; /* the name stays without a record: never open, it is announced the next time */
        engine->names = entry->next;
        free(entry);
        return error;
    }
    entry->is_open = true;
    return HF_SUCCESS;
}

static int open_struct(hf_engine *engine, const char *name, hf_session **made) {
    if (engine->sessions_open == HF_MAX_SESSIONS) {
        return hf_fail(HF_ESESSIONS, "%u sessions are open: no more are allowed", HF_MAX_SESSIONS);
    }
    hf_session *session;
    int error = find_struct(engine, &session);
    if (error) {
        return error;
    }
    session->name = NULL;
    session->position = 0;
    if (name) {
        error = open_named(engine, session, name);
    } else {
        uint32_t number = 0;
        error = take_number(engine, &number);
        hf_store_relaxed(&session->number, number); /* relaxed: the log writer reads it behind G1 */
    }
    if (error) {
        return error;
    }
    session->is_open = true;
    hf_store_relaxed(&engine->sessions_open, engine->sessions_open + 1); /* relaxed: a gauge to others */
    *made = session;
    return HF_SUCCESS;
}

int hf_session_open(hf_engine *engine, const char *name, hf_session **session) {
    int error = hf_engine_check(engine);
    if (!error && hf_load_acquire(&engine->poisoned)) { /* edge F1 */
        error = hf_engine_check_writable(engine);
    }
    if (!error && name && engine->is_read_only) {
        error = hf_fail(HF_EREADONLY, "a session with a name (\"%.63s\") of an engine that was opened read-only", name);
    }
    if (!error && name && (name[0] == 0 || strlen(name) > HF_MAX_SESSION_NAME)) {
        error = hf_fail(HF_EINVAL, "a session's name has %zu bytes: expected 1 to %u", strlen(name), HF_MAX_SESSION_NAME);
    }
    if (error) {
        return error;
    }
    hf_section_register();
    pthread_mutex_lock(&engine->sessions_mutex);
    error = open_struct(engine, name, session);
    pthread_mutex_unlock(&engine->sessions_mutex);
    if (error) {
        hf_section_unregister();
    }
    return error;
}

void hf_session_close(hf_session *session) {
    if (!session || hf_engine_check(session->engine) != HF_SUCCESS) {
        return;
    }
    hf_engine *engine = session->engine;
    pthread_mutex_lock(&engine->sessions_mutex);
    hf_pool_settle(&engine->slots, &session->slots, &engine->grace, true);
    hf_pool_settle(&engine->blocks, &session->blocks, &engine->grace, true);
    if (session->name) {
        session->name->is_open = false;
        session->name = NULL;
    }
    session->is_open = false;
    hf_store_relaxed(&engine->sessions_open, engine->sessions_open - 1); /* relaxed: a gauge to others */
    pthread_mutex_unlock(&engine->sessions_mutex);
    hf_section_unregister();
}

uint64_t hf_session_position(const hf_session *session) { return session->position; }

/* ---- room -------------------------------------------------------------------------------------------------------- */

int hf_session_room(hf_session *session, uint64_t bytes) {
    if (!session->logs || hf_ring_room(&session->ring, bytes)) {
        return HF_SUCCESS;
    }
    hf_engine *engine = session->engine;
    bool waits = engine->has_threads && !(engine->options.flags & HF_NONBLOCKING);
    while (!hf_ring_room(&session->ring, bytes)) {
        if (hf_load_acquire(&engine->poisoned)) { /* edge F1 */
            return hf_engine_check_writable(engine);
        }
        if (!waits) {
            return hf_fail(HF_EAGAIN, "the session's log ring of %u bytes is full", engine->options.ring_bytes);
        }
        hf_wake_log_writer(engine);
        (void)sched_yield();
    }
    return HF_SUCCESS;
}
