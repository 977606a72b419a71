/* Holdfast: a lock-free in-memory inventory engine with a write-ahead log.
 *
 * It answers one question without ever lying: may this buyer have these units? Stock counters change by atomic
 * compare-and-swap, reservations expire by themselves, every change is in a log that a restart replays.
 *
 * Conventions, stated once
 *   Units      Quantities are whole units, 1..HF_MAX_QUANTITY. Times are milliseconds since 1970-01-01T00:00:00Z on the
 *              engine's logical clock, which never goes back, also not over a restart. Lengths are bytes.
 *   Names      A SKU's name is 1..HF_MAX_SKU_NAME bytes of any value; it need not end in a zero byte.
 *   Results    A function that can fail returns int: HF_SUCCESS (0), or a negative HF_E... code; hf_error_detail() then
 *              has a sentence that says what, where and what was expected. What an operation *answered* (there was no
 *              stock, that id was used before) is no error but an outcome, in hf_reply.
 *   Ownership  What you pass in stays yours and is not needed after the call. What the engine gives by pointer stays the
 *              engine's; each such function says how long it lives.
 *   Threads    hf_engine functions may be called from any thread. An hf_session belongs to the thread that opened it.
 *              Holdfast registers that thread with liburcu's "memb" flavour unless the program did so already.
 *   NULL       No pointer may be NULL unless the function says so.
 *   fork       A child process must not use an engine of its parent: every call answers HF_EFORK.
 *   Tickets    Every reply carries a ticket: the epoch with which what it tells becomes durable. Until hf_durable() has
 *              reached the ticket, a power loss may undo it; from then on nothing can. A ticket belongs to the engine that
 *              gave it: after the next hf_open ask anew, by id or by the session's position.
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(HF_BUILDING)
#define HF_API __attribute__((visibility("default")))
#else
#define HF_API
#endif
#define HF_CHECK_RESULT __attribute__((warn_unused_result))

#define HF_VERSION_MAJOR 0
#define HF_VERSION_MINOR 1
#define HF_VERSION_PATCH 0

/* ---- limits, each with its error ---------------------------------------------------------------------------------- */

#define HF_MAX_SKU_NAME 255u                      /* bytes; HF_EINVAL */
#define HF_MAX_SESSION_NAME 63u                   /* bytes; HF_EINVAL */
#define HF_MAX_LINES 4096u                        /* lines of one reservation or purchase; HF_EINVAL */
#define HF_MAX_QUANTITY ((INT64_C(1) << 39) - 1)  /* units of one SKU, on hand or reserved; HF_EINVAL or HF_ERANGE */
#define HF_MAX_TTL_MS (UINT64_C(2) * 366 * 24 * 3600 * 1000) /* two years; HF_EINVAL */
#define HF_MAX_TIME_MS ((UINT64_C(1) << 42) - 1)  /* the logical clock stops here, in the year 2109 */
#define HF_MAX_SHARDS 64u
#define HF_MAX_SESSIONS 1024u                     /* open at once; HF_ESESSIONS */

/* ---- errors and outcomes ------------------------------------------------------------------------------------------ */

/* X(name, code, sentence): HF_ENAME = code. */
#define HF_ERROR_MAP(X)                                                                                                \
    X(EINVAL, -1, "an argument is wrong")                                                                              \
    X(ENOMEM, -2, "out of memory")                                                                                     \
    X(EIO, -3, "the operating system refused a file operation")                                                        \
    X(EBUSY, -4, "it is in use by somebody else")                                                                      \
    X(ECORRUPT, -5, "a file of the log is damaged before its durable end")                                             \
    X(EVERSION, -6, "written in a format that this version does not read")                                             \
    X(EPOISONED, -7, "the log could not be written: the engine answers reads only")                                    \
    X(EAGAIN, -8, "the log ring is full: call again once the log writer has caught up")                                \
    X(ETIMEDOUT, -9, "the time given for waiting is over")                                                             \
    X(EFORK, -10, "the engine belongs to the parent process")                                                          \
    X(EREADONLY, -11, "the engine was opened read-only")                                                               \
    X(ERANGE, -12, "a counter would leave its range")                                                                  \
    X(EIDS, -13, "no more ids can be remembered: raise max_reservations or lower retention_ms")                        \
    X(ESKUS, -14, "no more SKUs can be named")                                                                         \
    X(ESESSIONS, -15, "too many sessions are open")                                                                    \
    X(ECPU, -16, "this processor lacks 16-byte atomic loads or compare-and-swap")                                      \
    X(ENOTFOUND, -17, "there is no such thing")                                                                        \
    X(ECLOSED, -18, "the engine is closing")

/* X(name, value, text): what an operation answered. The texts are those of the order-flow format. */
#define HF_OUTCOME_MAP(X)                                                                                              \
    X(OK, 0, "ok")                                                                                                     \
    X(CONFIRMED_LATE, 1, "confirmed_late")                                                                             \
    X(DUPLICATE, 2, "duplicate")                                                                                       \
    X(ALREADY, 3, "already")                                                                                           \
    X(OUT_OF_STOCK, 4, "out_of_stock")                                                                                 \
    X(UNKNOWN_SKU, 5, "unknown_sku")                                                                                   \
    X(NOT_FOUND, 6, "not_found")                                                                                       \
    X(CONFLICT, 7, "conflict")                                                                                         \
    X(IN_PROGRESS, 8, "in_progress")                                                                                   \
    X(VERSION_MISMATCH, 9, "version_mismatch")

/* X(name, value, text): what an operation is. */
#define HF_OP_MAP(X)                                                                                                   \
    X(RECEIVE, 1, "receive")                                                                                           \
    X(ADJUST, 2, "adjust")                                                                                             \
    X(COUNT, 3, "count")                                                                                               \
    X(PURCHASE, 4, "purchase")                                                                                         \
    X(RESERVE, 5, "reserve")                                                                                           \
    X(CONFIRM, 6, "confirm")                                                                                           \
    X(CANCEL, 7, "cancel")                                                                                             \
    X(EXTEND, 8, "extend")

/* X(name, value, text): the life of an id as a caller sees it. APPLIED: a receive, adjust or count. */
#define HF_STATE_MAP(X)                                                                                                \
    X(UNKNOWN, 0, "unknown")                                                                                           \
    X(LIVE, 1, "live")                                                                                                 \
    X(CONFIRMED, 2, "confirmed")                                                                                       \
    X(CANCELLED, 3, "cancelled")                                                                                       \
    X(EXPIRED, 4, "expired")                                                                                           \
    X(APPLIED, 5, "applied")                                                                                           \
    X(UNDECIDED, 6, "undecided")

#define HF_SUCCESS 0
#define HF_X(name, code, text) HF_##name = (code),
typedef enum hf_error { HF_ERROR_MAP(HF_X) } hf_error;
#undef HF_X
#define HF_X(name, value, text) HF_OUTCOME_##name = (value),
typedef enum hf_outcome { HF_OUTCOME_MAP(HF_X) HF_OUTCOME_COUNT } hf_outcome;
#undef HF_X
#define HF_X(name, value, text) HF_OP_##name = (value),
typedef enum hf_op_type { HF_OP_MAP(HF_X) HF_OP_TYPE_END } hf_op_type;
#undef HF_X
#define HF_X(name, value, text) HF_STATE_##name = (value),
typedef enum hf_state { HF_STATE_MAP(HF_X) HF_STATE_END } hf_state;
#undef HF_X

/* "HF_EINVAL" and the like; "HF_SUCCESS" for 0; "unknown error" for anything else. Never NULL, lives for ever. */
HF_API const char *hf_error_name(int error);
/* The sentence of HF_ERROR_MAP. Never NULL, lives for ever. */
HF_API const char *hf_error_text(int error);
/* What the last failed call on this thread found: what, where, what was expected. Lives until the next failing call on
 * this thread; "" if none failed yet. */
HF_API const char *hf_error_detail(void);
/* The words of the maps above; "?" for a value that is none of theirs. Never NULL, live for ever. */
HF_API const char *hf_outcome_text(hf_outcome outcome);
HF_API const char *hf_op_text(hf_op_type type);
HF_API const char *hf_state_text(hf_state state);
/* "0.1.0" */
HF_API const char *hf_version(void);

/* ---- ids ---------------------------------------------------------------------------------------------------------- */

/* Every change is named by the caller with 128 bits: a UUID, or hf_id_from_text() of a string. Whoever repeats an id is
 * answered HF_OUTCOME_DUPLICATE with the first answer's facts. */
typedef struct hf_id {
    uint8_t bytes[16];
} hf_id;

/* The id of a string of any length. Up to 15 bytes the string is packed into the id as it is (so distinct strings have
 * distinct ids, and hf_id_to_text gives the string back); a longer one is its XXH3-128 hash with four bits set to mark
 * it. Do not mix with UUIDs of your own in one engine unless their last byte stays below 0xE0. */
HF_API hf_id hf_id_from_text(const void *text, size_t length);
/* Writes the packed string if the id holds one, else 32 hexadecimal digits; always ends in a zero byte. `text` has room
 * for 33 bytes. Returns the length. */
HF_API size_t hf_id_to_text(hf_id id, char text[33]);

/* ---- the engine --------------------------------------------------------------------------------------------------- */

typedef struct hf_engine hf_engine;
typedef struct hf_session hf_session;
typedef struct hf_sku hf_sku; /* a resolved SKU; valid until hf_close */

enum {
    HF_NO_THREADS = 1u << 0,  /* no background threads: the host drives expiry and the log through hf_poll */
    HF_NONBLOCKING = 1u << 1, /* a full log ring answers HF_EAGAIN instead of waiting (always so with HF_NO_THREADS) */
    HF_READ_ONLY = 1u << 2,   /* change nothing: read the durable state of a directory, also of one that is in use */
    HF_VOLATILE = 1u << 3,    /* no log at all; the directory is ignored and may be NULL. Tickets become "durable" with
                                 their epoch's seal, and survive nothing */
    HF_MUST_EXIST = 1u << 4,  /* HF_ENOTFOUND if the directory holds no engine yet, instead of making one */
};

/* Fill with hf_options_init, then change what you want. 0 means the default wherever a default is named. */
typedef struct hf_options {
    uint32_t flags;                 /* HF_NO_THREADS | ... */
    uint32_t shards;                /* SKU table parts and timing wheels, 1..HF_MAX_SHARDS, a power of two; 4 */
    uint64_t expected_skus;         /* sizes the SKU table; more is allowed, and costs a probe per doubling; 65,536 */
    uint64_t expected_reservations; /* sizes the id index: live ones and those remembered; more is allowed; 65,536 */
    uint64_t max_reservations;      /* ids held at once, live and remembered; beyond: HF_EIDS; 2^30 */
    uint64_t retention_ms;          /* how long an id is remembered after its end, at least; 24 hours. At least 1 */
    uint64_t segment_bytes;         /* one log file, 1 MiB..1 GiB, a multiple of 4,096; 64 MiB */
    uint32_t ring_bytes;            /* a session's log ring, 512 KiB..256 MiB, a power of two; 1 MiB */
    uint32_t batch_delay_us;        /* how long the log writer waits for company before it seals, 0..1,000,000; 0 */
    uint64_t checkpoint_bytes;      /* a checkpoint by itself after so many bytes of log; UINT64_MAX: never; 1 GiB.
                                       Taken by a background thread, so never with HF_NO_THREADS */
    uint64_t (*clock)(void *context); /* the wall clock, ms since 1970; NULL: CLOCK_REALTIME. May jump as it likes: the
                                         logical clock is the highest value seen. Called by background threads, by
                                         hf_poll and by hf_refresh_clock, never on the hot path */
    void *clock_context;
} hf_options;

HF_API void hf_options_init(hf_options *options);

/* Opens `directory` (made if missing, unless HF_MUST_EXIST), replays its log and is ready. `options` NULL: defaults.
 * Success promises: the state is that of an epoch-closed prefix of what was done before, which holds everything that was
 * ever durable; it is durable now; nobody else has the directory.
 * HF_EINVAL HF_ENOMEM HF_EIO; HF_EBUSY: another process or engine has it; HF_ECORRUPT: damage before the durable end,
 * the detail names file, offset and epoch; HF_EVERSION; HF_ECPU; HF_ENOTFOUND with HF_MUST_EXIST or HF_READ_ONLY. */
HF_API int hf_open(const char *directory, const hf_options *options, hf_engine **engine) HF_CHECK_RESULT;

/* Makes everything durable and gives all memory back. HF_EBUSY: sessions are still open, and nothing was done. Any other
 * error (HF_EPOISONED, HF_EFORK): what was not durable may be lost, but the engine is gone. `engine` may be NULL. */
HF_API int hf_close(hf_engine *engine);

/* Writes a checkpoint: the state of an instant, so that a restart need not replay older log, and lets go of segments that
 * neither it nor the checkpoint before it needs. Traffic goes on. Blocks the caller for the scan and for fsyncs; with
 * HF_NO_THREADS it seals epochs itself. HF_EBUSY: one is under way. HF_EIO: the old checkpoints are still good.
 * HF_EPOISONED HF_EREADONLY HF_EFORK HF_EINVAL (volatile). */
HF_API int hf_checkpoint(hf_engine *engine) HF_CHECK_RESULT;

/* Reads the clock now, moves the logical clock up to it, and returns the logical clock. For hosts with a clock of their own
 * that want an operation to see its newest value. Any thread. */
HF_API uint64_t hf_refresh_clock(hf_engine *engine);

/* One turn of everything that background threads would do: refresh the clock, expire what is due, forget what has been
 * remembered long enough, and make durable all that was done before the call. For HF_NO_THREADS (and of no harm else).
 * One thread at a time: HF_EBUSY. HF_EPOISONED HF_EREADONLY HF_EFORK. */
HF_API int hf_poll(hf_engine *engine) HF_CHECK_RESULT;

/* ---- durability --------------------------------------------------------------------------------------------------- */

/* The durable epoch: every reply whose ticket is not above it is safe from anything. Lock-free. */
HF_API uint64_t hf_durable(const hf_engine *engine);
/* Blocks until `ticket` is durable, `timeout_ms` at most (UINT64_MAX: for ever). Never call it while you hold what the
 * log's progress needs (with HF_NO_THREADS it drives hf_poll itself). HF_ETIMEDOUT HF_EPOISONED HF_EFORK. */
HF_API int hf_wait(hf_engine *engine, uint64_t ticket, uint64_t timeout_ms) HF_CHECK_RESULT;
/* An eventfd that becomes readable whenever the durable epoch advances or the engine is poisoned; read 8 bytes to reset
 * it, then look at hf_durable. The engine's: do not close it. */
HF_API int hf_event_fd(const hf_engine *engine);
/* HF_SUCCESS, or HF_EPOISONED once a write or fsync failed; hf_error_detail then says which file and why. */
HF_API int hf_health(const hf_engine *engine);

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

/* One thread's way into the engine. `name` may be NULL; a named session keeps the caller's position: the highest
 * hf_op.position among its operations that were applied or answered, durable with them, and given back by
 * hf_session_position after a restart. One open session a name.
 * HF_EINVAL HF_ENOMEM HF_ESESSIONS HF_EREADONLY(named) HF_EPOISONED HF_EFORK; HF_EBUSY: that name is open. */
HF_API int hf_session_open(hf_engine *engine, const char *name, hf_session **session) HF_CHECK_RESULT;
/* By the thread that opened it. NULL is allowed. */
HF_API void hf_session_close(hf_session *session);
/* The highest position known for this session's name; 0 if none. */
HF_API uint64_t hf_session_position(const hf_session *session);

/* ---- operations --------------------------------------------------------------------------------------------------- */

/* A SKU and a quantity. The SKU by handle, or (sku NULL) by name. The quantity is > 0, but for adjust (!= 0) and count
 * (>= 0). */
typedef struct hf_line {
    hf_sku *sku;
    const void *name;
    size_t name_length;
    int64_t quantity;
} hf_line;

/* One operation. What a type does not use is ignored; zero-initialise it. */
typedef struct hf_op {
    hf_op_type type;
    hf_id id;             /* of this operation; for confirm, cancel, extend: of the reservation meant */
    const hf_line *lines; /* receive, adjust, count: one; purchase, reserve: 1..HF_MAX_LINES */
    size_t line_count;
    uint64_t ttl_ms;      /* reserve, extend: 1..HF_MAX_TTL_MS */
    uint64_t user;        /* reserve: any number of the caller's, kept with the reservation */
    uint64_t if_version;  /* operations of one line: only if the SKU is still at this version; 0: always */
    uint64_t position;    /* the caller's sequence number, kept with a named session; 0: none. Never decreasing */
} hf_op;

typedef struct hf_reply {
    int error;            /* HF_SUCCESS, or why the operation was not carried out; then the rest means nothing */
    hf_outcome outcome;
    uint64_t ticket;      /* durable when hf_durable() >= ticket; also for answers that changed nothing */
    uint64_t version;     /* of the SKU, right after this operation's step on its (last) line; 0 where there was none.
                             duplicate: as first answered. out_of_stock, version_mismatch: as found */
    uint64_t deadline_ms; /* reserve, extend: when the reservation expires. duplicate: as first answered. Else 0 */
    uint32_t line;        /* unknown_sku, out_of_stock: the index of a line that was refused */
    hf_state state;       /* of the id after this operation */
} hf_reply;

/* What each does and answers is stated in docs/OPERATIONS.md; in short:
 *   receive   on_hand += quantity; makes the SKU if it is new
 *   adjust    on_hand += quantity (either sign); a negative one only where available
 *   count     on_hand  = quantity, reservations untouched; makes the SKU if it is new
 *   purchase  on_hand -= quantity for every line or none
 *   reserve   reserved += quantity for every line or none, until now + ttl_ms
 *   confirm   a live reservation's units leave; an expired one takes them afresh (confirmed_late) or is out_of_stock
 *   cancel    a live reservation's units return
 *   extend    a live reservation's deadline becomes now + ttl_ms
 * Lock-free on SKUs that exist: no lock, no allocation, no system call, no waiting; the one exception is a full log ring,
 * which waits for the log writer, or answers HF_EAGAIN with HF_NONBLOCKING. HF_OUTCOME_IN_PROGRESS: another thread is at
 * this id, or is just now expiring reservations whose units this operation may need: ask again.
 * On HF_SUCCESS the operation has taken effect in memory at one instant between call and return and cannot be seen half
 * done by replies; it is durable with reply->ticket.
 * Any error: nothing was changed. HF_EINVAL HF_EPOISONED HF_EREADONLY HF_EFORK HF_EAGAIN HF_EIDS HF_ESKUS HF_ENOMEM (a new
 * SKU, a growing table); HF_ERANGE: a counter would exceed HF_MAX_QUANTITY. The error is also in reply->error. */
HF_API int hf_receive(hf_session *session, hf_id id, hf_line line, hf_reply *reply);
HF_API int hf_adjust(hf_session *session, hf_id id, hf_line line, hf_reply *reply);
HF_API int hf_count(hf_session *session, hf_id id, hf_line line, hf_reply *reply);
HF_API int hf_purchase(hf_session *session, hf_id id, const hf_line *lines, size_t line_count, hf_reply *reply);
HF_API int hf_reserve(hf_session *session, hf_id id, const hf_line *lines, size_t line_count, uint64_t ttl_ms,
                      uint64_t user, hf_reply *reply);
HF_API int hf_confirm(hf_session *session, hf_id id, hf_reply *reply);
HF_API int hf_cancel(hf_session *session, hf_id id, hf_reply *reply);
HF_API int hf_extend(hf_session *session, hf_id id, uint64_t ttl_ms, hf_reply *reply);

/* Carries out ops[0], ops[1], ... in this order, each as if called alone, with their memory prefetched together. Each has
 * its own reply. `*done` (may be NULL) is how many were tried: all, unless a full ring stopped the rest, which is HF_EAGAIN.
 * An operation's own error stands in its reply and does not stop the others. HF_EINVAL HF_EPOISONED HF_EFORK HF_EREADONLY:
 * nothing was tried. */
HF_API int hf_submit(hf_session *session, const hf_op *ops, size_t count, hf_reply *replies, size_t *done);

/* ---- reads: lock-free, and still served by a poisoned engine ------------------------------------------------------- */

typedef struct hf_stock {
    int64_t on_hand;
    int64_t reserved;
    int64_t available; /* on_hand - reserved; below 0 after a count below what is reserved */
    uint64_t version;  /* steps since the SKU was made */
    uint64_t ticket;   /* what was read is durable with this epoch */
} hf_stock;

/* The handle of a SKU; valid until hf_close. HF_ENOTFOUND HF_EINVAL HF_EFORK. */
HF_API int hf_sku_find(hf_session *session, const void *name, size_t length, hf_sku **sku);
/* The name's bytes, the engine's; valid until hf_close. */
HF_API const void *hf_sku_name(const hf_sku *sku, size_t *length);
/* All four numbers of one instant. What is due by now has been expired before. HF_EFORK; HF_EAGAIN: due reservations are
 * just being expired by another thread (ask again), or the ring is full. */
HF_API int hf_sku_read(hf_session *session, const hf_sku *sku, hf_stock *stock);
/* Calls `visit` for each SKU there was at the call, in no order, until it returns false. `visit` may use the session. */
HF_API int hf_sku_each(hf_session *session, bool (*visit)(void *context, hf_sku *sku, const hf_stock *stock),
                       void *context);

typedef struct hf_reservation {
    hf_id id;
    hf_state state;
    uint64_t deadline_ms; /* while live, else 0 */
    uint64_t ended_ms;    /* once ended, else 0 */
    uint64_t user;
    uint64_t version;     /* as first answered */
    uint32_t line_count;  /* lines it has in the engine: 0 once confirmed or cancelled */
    uint64_t ticket;
} hf_reservation;

typedef struct hf_reservation_line {
    hf_sku *sku;
    int64_t quantity;
} hf_reservation_line;

/* One id of one instant: a reservation, or a purchase, receive, adjust, count (APPLIED). Up to `room` lines go to `lines`
 * (may be NULL with room 0). HF_ENOTFOUND HF_EFORK; HF_EAGAIN: it is changing just now, ask again. */
HF_API int hf_reservation_read(hf_session *session, hf_id id, hf_reservation *reservation, hf_reservation_line *lines,
                               size_t room);
/* Calls `visit` for each live reservation, in no order, until it returns false. Those that begin or end meanwhile may be
 * there or not. `visit` may use the session; `lines` live for the call. HF_ENOMEM HF_EFORK. */
HF_API int hf_reservation_each(hf_session *session,
                               bool (*visit)(void *context, const hf_reservation *reservation,
                                             const hf_reservation_line *lines),
                               void *context);

/* ---- gauges ------------------------------------------------------------------------------------------------------- */

/* X(name, unit, meaning): one uint64_t of hf_stats each. */
#define HF_STATS_MAP(X)                                                                                                \
    X(epoch, "epochs", "the open epoch")                                                                               \
    X(durable, "epochs", "the durable epoch")                                                                          \
    X(term, "terms", "how often this log was opened for writing")                                                      \
    X(now_ms, "ms", "the logical clock")                                                                               \
    X(skus, "SKUs", "SKUs known")                                                                                      \
    X(sku_slots, "lines", "lines of the SKU table, used or not")                                                       \
    X(sku_levels, "levels", "tables a lookup may have to probe in the fullest shard")                                  \
    X(ids, "ids", "ids held: live reservations and remembered ones")                                                   \
    X(live, "reservations", "live reservations")                                                                       \
    X(id_slots, "entries", "entries of the id index, used or not")                                                     \
    X(id_levels, "levels", "tables the id index is spread over; above 1 while it grows")                               \
    X(wheel_entries, "entries", "entries of the timing wheels")                                                        \
    X(wheel_dead, "entries", "of those, entries known dead")                                                           \
    X(wheel_compactions, "times", "wheels compacted")                                                                  \
    X(wheel_lag_ms, "ms", "how far the slowest wheel is behind the clock")                                             \
    X(sessions, "sessions", "sessions open")                                                                           \
    X(ring_used, "bytes", "bytes waiting in the fullest log ring")                                                     \
    X(ring_size, "bytes", "bytes of one log ring")                                                                     \
    X(epochs_written, "epochs", "epochs written since the open")                                                       \
    X(log_bytes, "bytes", "bytes of log written since the open, padding included")                                     \
    X(log_payload, "bytes", "of those, records")                                                                       \
    X(records, "records", "records written since the open")                                                            \
    X(fsyncs, "times", "fsyncs of the log since the open")                                                             \
    X(segments, "files", "segments of the log, spare ones included")                                                   \
    X(checkpoints, "times", "checkpoints taken since the open")                                                        \
    X(checkpoint_epoch, "epochs", "where replay would start now; 0: at the log's beginning")                           \
    X(expired, "reservations", "reservations expired since the open")                                                  \
    X(forgotten, "ids", "ids forgotten since the open")                                                                \
    X(replayed_records, "records", "records replayed by the open")                                                     \
    X(replayed_epochs, "epochs", "epochs replayed by the open")                                                        \
    X(replay_ms, "ms", "time the open took to replay")                                                                 \
    X(cut_bytes, "bytes", "bytes of torn tail the open cut and kept aside")                                            \
    X(undone, "operations", "undecided operations the open gave back or completed")                                    \
    X(memory_bytes, "bytes", "memory mapped for SKUs, ids, reservations, wheels and rings")

#define HF_X(name, unit, meaning) uint64_t name;
typedef struct hf_stats {
    HF_STATS_MAP(HF_X)
} hf_stats;
#undef HF_X

/* Gauges of about now; each is right by itself, not all of one instant. Any thread. */
HF_API void hf_stats_read(const hf_engine *engine, hf_stats *stats);

/* ---- the log reader ----------------------------------------------------------------------------------------------- */

/* Reads the durable records of a directory, also while an engine (of this or another process) writes it. Changes nothing. */
typedef struct hf_log hf_log;

/* X(name, value, text) */
#define HF_RECORD_MAP(X)                                                                                               \
    X(RECEIVE, 1, "receive")                                                                                           \
    X(ADJUST, 2, "adjust")                                                                                             \
    X(COUNT, 3, "count")                                                                                               \
    X(PURCHASE, 4, "purchase")                                                                                         \
    X(RESERVE, 5, "reserve")                                                                                           \
    X(CONFIRM, 6, "confirm")                                                                                           \
    X(CANCEL, 7, "cancel")                                                                                             \
    X(EXTEND, 8, "extend")                                                                                             \
    X(CONFIRM_LATE, 9, "confirm_late")                                                                                 \
    X(EXPIRE, 10, "expire")                                                                                            \
    X(NOTE, 11, "note")                                                                                                \
    X(SKU, 12, "sku")                                                                                                  \
    X(SESSION, 13, "session")                                                                                          \
    X(RECOVERY, 14, "recovery")

#define HF_X(name, value, text) HF_RECORD_##name = (value),
typedef enum hf_record_type { HF_RECORD_MAP(HF_X) HF_RECORD_TYPE_END } hf_record_type;
#undef HF_X
HF_API const char *hf_record_text(hf_record_type type);

enum {
    HF_PART_OPEN = 1u << 0,      /* the operation goes on in the next record of its session */
    HF_PART_CONTINUED = 1u << 1, /* it began in an earlier record */
    HF_PART_GIVE = 1u << 2,      /* these lines give back what the operation had taken: it was refused, or never decided */
    HF_PART_RECOVERY = 1u << 3,  /* written by recovery for an operation that a crash cut off */
};

/* One step of one SKU's chain of versions. */
typedef struct hf_record_line {
    uint32_t sku;            /* the SKU's number in this log, from 1 */
    uint32_t name_length;
    const void *name;        /* NULL where the reader does not know it (its creation lies before the first record kept) */
    int64_t quantity;        /* the line's quantity; for adjust signed, for count the new on_hand */
    int64_t on_hand_change;  /* what the step did */
    int64_t reserved_change;
    uint64_t version;        /* the SKU's version after the step */
} hf_record_line;

typedef struct hf_record {
    hf_record_type type;
    uint32_t parts;          /* HF_PART_... */
    uint64_t epoch;
    uint64_t time_ms;        /* logical clock of the operation */
    uint32_t session;        /* number of the session; 0: the engine itself */
    hf_outcome outcome;      /* note: what was answered; the last part of a given-back operation: the refusal */
    uint64_t position;       /* 0: none */
    hf_id id;                /* operations; all zero for sku, session, recovery */
    uint64_t step;           /* the reservation's own chain: higher is later. 0 where there is none */
    uint64_t deadline_ms;    /* reserve, extend */
    uint64_t user;           /* reserve */
    const hf_record_line *lines;
    uint32_t line_count;
    const void *name;        /* sku, session: the name */
    uint32_t name_length;
    uint32_t number;         /* sku, session: the number; recovery: the term */
} hf_record;

/* Opens the log of `directory` for reading, from the first record whose epoch is >= `from_epoch` (0: from the oldest kept). What
 * lies between the newest checkpoint and that epoch is read too, by the first hf_log_next, for the names of SKUs.
 * HF_ENOTFOUND: no log there, or that epoch is no longer kept; HF_EIO HF_ENOMEM HF_ECORRUPT HF_EVERSION. */
HF_API int hf_log_open(const char *directory, uint64_t from_epoch, hf_log **log) HF_CHECK_RESULT;
/* 1: *record is the next durable record; its pointers live until the next call. 0: no more for now; call again later.
 * Negative: HF_ECORRUPT (the detail names file, offset and epoch) HF_EIO HF_ENOMEM; HF_ENOTFOUND: the writer has let go of
 * the segment that comes next, start again from a newer epoch. Epochs never decrease; within one epoch, sessions follow
 * one another, and a SKU's steps are in the order of their versions only after sorting. */
HF_API int hf_log_next(hf_log *log, hf_record *record);
/* The epoch up to which everything has been handed out whole. */
HF_API uint64_t hf_log_epoch(const hf_log *log);
HF_API void hf_log_close(hf_log *log);

/* ---- repair ------------------------------------------------------------------------------------------------------- */

enum {
    HF_REPAIR_CUT = 1u << 0, /* do it; without it nothing is changed, the report says what would be */
};

/* What a repair finds, and loses. */
typedef struct hf_repair_report {
    bool damaged;             /* hf_open refuses the directory. false: there is nothing to repair, and the rest is 0 */
    bool cut;                 /* this call cut it */
    uint64_t kept_epoch;      /* the last epoch that stays */
    uint64_t kept_time_ms;    /* its time; 0: not known */
    uint64_t lost_epoch;      /* the highest epoch that is known to have been: kept_epoch + 1 up to it are lost */
    uint64_t lost_time_ms;    /* the latest time found behind the cut; 0: none */
    uint64_t readable_epochs; /* of the lost ones, those that stand whole behind the damage */
    uint64_t cut_bytes;       /* of segments, kept aside in cut-... */
    uint64_t checkpoints;     /* newer than what stays, kept aside as aside-... */
    uint64_t start_epoch;     /* where replay starts then; 0: at the log's beginning */
    char damage[512];         /* why hf_open refuses: file, offset, epoch */
} hf_repair_report;

/* For a directory that hf_open refuses with HF_ECORRUPT: cuts its log back to the last whole epoch before the damage.
 * That loses operations that were durable, so nothing does it by itself. What is cut is kept in the directory. A crash in
 * its midst is answered by the same call again. hf_open afterwards goes on above every epoch that was ever named.
 * HF_SUCCESS: see the report. HF_ECORRUPT: no cut helps: what is left of the log reaches none of its checkpoints, nor
 * back to its beginning. HF_EBUSY: somebody has it. HF_EVERSION HF_ENOTFOUND HF_EIO HF_ENOMEM HF_EINVAL. */
HF_API int hf_repair(const char *directory, uint32_t flags, hf_repair_report *report) HF_CHECK_RESULT;

#ifdef __cplusplus
}
#endif

#endif
