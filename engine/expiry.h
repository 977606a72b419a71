/* Expiry: deadlines into the shards' wheels, and what is due out of them.
 *
 * Guarantees
 *   A  hf_settle(now) returned HF_SUCCESS: every reservation that was live with a deadline <= now is expired and its units are
 *      back, but for operations that began before the clock stood at `now` and have not returned yet.
 *   B  A hint is pushed before its reservation can be seen as live, and is met at or after its time.
 *   C  Nobody waits for a shard: who finds it owned goes away with HF_EBUSY.
 *   D  A burst is expired in slices: between two of them the owner is in no section.
 */
#ifndef HF_EXPIRY_H
#define HF_EXPIRY_H

#include "engine.h"

int hf_shards_open(hf_engine *engine);
void hf_shards_close(hf_engine *engine);

/* Whether a hint of that slot can be pushed. */
bool hf_hint_room(hf_session *session, uint32_t slot);
/* Moves the session's hints of that slot's shard on into the wheel. HF_SUCCESS HF_EBUSY HF_ENOMEM */
int hf_hint_make_room(hf_session *session, uint32_t slot);
/* Says when to look at the slot, which is claimed by now. Then a full barrier, and a look at the clock (edge D1). */
void hf_hint_push(hf_session *session, uint32_t slot, uint64_t time_ms);
/* A hint pushed for that slot, by whomever, means nothing any more. */
void hf_hint_died(hf_session *session, uint32_t slot);

/* Expires the reservation if its word still is `word`, live: decides, gives the units back, logs. Inside a section, with ring
 * room for its lines. */
bool hf_expire(hf_session *session, uint32_t slot, uint64_t word, uint64_t now_ms);

/* Whether guarantee A holds for `now` already. */
bool hf_is_settled(const hf_engine *engine, uint64_t now_ms);
/* Expires whatever is due. Outside a section. HF_SUCCESS; HF_EBUSY: somebody else is at it, or an operation under way holds
 * what is due; HF_EAGAIN: no ring room; HF_ENOMEM. */
int hf_settle(hf_session *session, uint64_t now_ms);
/* The same, waiting for ring room where the options let a session wait. */
int hf_settle_for(hf_session *session, uint64_t now_ms);

#endif
