/* Replay: from a checkpoint and the epochs behind it to the state they add up to.
 *
 * Guarantees
 *   A  Nothing decides but what is logged: no clock, no order of sessions within an epoch. A SKU's steps are added up, each exactly
 *      once; the last step of an id says how it stands.
 *   B  A step applies only where its version is above the checkpoint's, which was taken while traffic ran.
 *   C  A SKU's versions have no gap, no counter is out of range; else HF_ECORRUPT says which.
 *   D  What a crash left undecided is given back, and what it left half released is completed, by hf_replay_resolve: in steps that
 *      are logged like any other. Until then nothing is.
 *
 *      checkpoint -> SKUs, ids, names        per SKU: { base version, steps, sums }
 *      epoch, epoch, ... -> steps -> sums    per id: its slot                           finish -> counters, wheels -> resolve
 *                        -> ids              per session: the operation left open
 */
#ifndef HF_REPLAY_H
#define HF_REPLAY_H

#include "engine.h"

typedef struct hf_replay hf_replay;

/* An id as a checkpoint tells of it. Lines name SKUs by number. */
typedef struct hf_replay_life {
    hf_id id;
    hf_slot_state state; /* LIVE or an ended one */
    uint64_t step, when_ms, first_deadline_ms, version, user;
    const hf_step *lines; /* sku and quantity count */
    uint32_t line_count;
} hf_replay_life;

/* HF_ENOMEM */
int hf_replay_begin(hf_engine *engine, hf_replay **replay);
/* All: HF_ECORRUPT HF_ENOMEM HF_ESKUS HF_EIDS. */
int hf_replay_sku(hf_replay *replay, uint32_t number, const void *name, size_t length, hf_counter counter);
int hf_replay_life_add(hf_replay *replay, const hf_replay_life *life);
int hf_replay_session(hf_replay *replay, uint32_t number, const void *name, size_t length, uint64_t position);
/* An hf_wal_replay. */
int hf_replay_epoch(void *replay, const hf_wal_epoch *epoch);
int hf_replay_finish(hf_replay *replay);
/* Bytes of the keeper's ring that hf_replay_resolve may want. */
uint64_t hf_replay_room(const hf_replay *replay);
/* After the recovery mark, and in one epoch with it. Outside a section. HF_ENOMEM: the ring has not as much room. */
int hf_replay_resolve(hf_replay *replay);
void hf_replay_free(hf_replay *replay);

#endif
