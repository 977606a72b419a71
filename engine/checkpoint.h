/* Checkpoints: the state beside the log, written while traffic runs.
 *
 * Guarantees
 *   A  A file named checkpoint-... is whole, and everything in it is durable in the log: it was synced and renamed only after the
 *      epoch of its scan's end was durable.
 *   B  Replaying the log from its epoch on, over what it holds, leads to the same state as the whole log.
 *   C  The one before it stays, with its log, as a fallback; older ones and their segments go.
 *
 *      seal e, grace period -> replay starts at e + 1 -> scan while others work -> grace period -> their epoch durable -> rename
 *                              words and slots are each of one instant, not all of the same
 *
 * A file (little-endian; numbers as in record.h):
 *      header, 128 bytes    0 magic "HFCHECK\n" | 8 version, 2 bytes, 1 | 10 zero, 6 | 16 log UUID | 32 first epoch to replay
 *                           40 segment where that is looked for | 48 epoch that the log must reach | 56 logical clock
 *                           64 term | 72 next session number, 4 | 76 zero, 36 | 112 XXH3-128 of bytes 0..111
 *      blocks               0 kind, 4: 1 SKUs, 2 ids, 3 sessions, 4 end | 4 length, 4 | 8 entries, 8
 *                           16 XXH3-128 of bytes 0..15, of the digest before it (first: of the UUID), and of the payload | payload
 *      end                  its entries are those of all blocks before it; no payload; nothing follows
 *      SKU                  number | name length, 1 | name | on_hand | reserved | version
 *      id                   id, 16 | state, 1 | step | when_ms | first deadline_ms | version | user | lines: count, { SKU, quantity }
 *      session              number | name length, 1 | name | position
 */
#ifndef HF_CHECKPOINT_H
#define HF_CHECKPOINT_H

#include "engine.h"
#include "replay.h"

enum { HF_CHECKPOINT_TEXT = 256 };

typedef struct hf_checkpoint_header {
    hf_wal_position position;
    uint64_t now_ms;
    uint64_t term;
    uint32_t next_session;
} hf_checkpoint_header;

/* Loads the newest checkpoint that is whole into `replay`, which is fresh. *header is all zero where there is none. A damaged one is
 * passed over; whether the log can do without is the log's to say, and `passed_over` then says what was wrong with it ("": none was).
 * HF_ECORRUPT HF_EVERSION HF_EIO HF_ENOMEM. */
int hf_checkpoint_load(hf_engine *engine, hf_replay *replay, hf_checkpoint_header *header,
                       char passed_over[HF_CHECKPOINT_TEXT]);

/* Writes one. HF_EIO: nothing was changed. HF_EPOISONED. */
int hf_checkpoint_write(hf_engine *engine);

/* For a repair: where each whole checkpoint of the log `uuid` lets a replay start, the newest first. `visit` answers HF_SUCCESS, or
 * ends the walk. HF_EVERSION HF_EIO HF_ENOMEM. */
int hf_checkpoint_each(const hf_files *files, const char *directory, const uint8_t uuid[16],
                       int (*visit)(void *context, const hf_wal_position *position), void *context);

/* For a reader of the log: the SKUs that the newest whole checkpoint names, and the epoch from which the log names the others; 0: there
 * is no checkpoint. */
int hf_checkpoint_names(const hf_files *files, const char *directory, uint64_t *epoch,
                        int (*visit)(void *context, uint32_t number, const void *name, size_t length), void *context);

#endif
