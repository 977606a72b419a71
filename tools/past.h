/* The state of a directory as of an epoch, from its log.
 *
 * Guarantees
 *   A  It is what an open would have come to if the log ended with that epoch: operations not decided there are given
 *      back or completed.
 *   B  A state that cannot be had is refused: an epoch before what is kept, one that is not durable, or one at which
 *      something is not known. What is told of a reservation is right or marked as not known.
 *   C  Memory is that of the state, twice where the log does not begin with its first record.
 *
 * From a log that is kept from its first record the state is what the records up to the epoch add up to. Else it is had
 * backwards, from the state at the end:
 *
 *     first kept ............ E ............ durable            the engine's state, read-only: at `durable`
 *     |---- ledger: x --------|---- y -------|                  counters at E = engine's - (x + y) + x
 *
 * A reservation that is live at E has its reserve in x, or else, made before all of this, it ends in y (and its end
 * says its lines) or is live at the end.
 */
#ifndef HF_PAST_H
#define HF_PAST_H

#include "ledger.h"

typedef struct hf_past_sku {
    char *name;
    size_t length;
    int64_t on_hand, reserved;
    uint64_t version;
} hf_past_sku;

typedef struct hf_past_line {
    size_t sku; /* index */
    int64_t quantity;
} hf_past_line;

typedef struct hf_past_claim {
    hf_id id;
    uint64_t deadline_ms;
    uint64_t user;
    bool has_deadline; /* false: deadline_ms is the last time at which it is known to have been live */
    bool has_user;
    uint32_t line_count;
    hf_past_line *lines;
} hf_past_claim;

typedef struct hf_past {
    uint64_t epoch;    /* with records; at or before the one that was asked for */
    uint64_t time_ms;  /* the latest of a record up to there */
    hf_past_sku *skus; /* by the bytes of their names */
    size_t sku_count;
    hf_past_claim *claims; /* by the bytes of their ids */
    size_t claim_count, claim_room;
    uint64_t undecided; /* operations given back or completed */
    bool is_backwards;
} hf_past;

/* As `to_epoch`: the state before the first epoch that is kept, whichever that is when it is read. Only where the log
 * does not begin with its first record. */
#define HF_BEFORE_KEPT (UINT64_MAX - 1)

/* The state as of `to_epoch` (UINT64_MAX: the end), or as of the last epoch up to which no record is later than
 * `to_ms`. HF_EXIT_FINE, or it was told why not. To be freed in any case. */
int hf_past_read(const char *directory, uint64_t to_epoch, uint64_t to_ms, hf_past *past);
void hf_past_free(hf_past *past);

/* As a new directory, made through the engine: see restore.c. HF_EXIT_FINE, or it was told why not. */
int hf_past_restore(const hf_past *past, const char *directory);

#endif
