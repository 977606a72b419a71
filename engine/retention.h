/* Retention: ids that have ended are remembered, and forgotten when their time has come.
 *
 * Guarantees
 *   A  An id is remembered for retention_ms after its end at least, and a late confirmation counts as an end.
 *   B  Forgetting is work of constant size: no search, no sweep. A session forgets what it ended itself, a few with each
 *      operation; the keeper takes over from sessions that do nothing.
 *   C  A forgotten slot is used again only after a grace period.
 */
#ifndef HF_RETENTION_H
#define HF_RETENTION_H

#include "engine.h"

void hf_remembered_init(hf_remembered *remembered);
/* The slot has ended at `ended_ms`. Inside a section. */
void hf_remember(hf_session *session, uint32_t slot, uint64_t ended_ms);

void hf_forget_some(hf_session *session, uint64_t now_ms);
/* Forgets a few of the session's own, if any are due. Inside a section. */
static inline void hf_forget_due(hf_session *session, uint64_t now_ms) {
    if (__builtin_expect(now_ms >= hf_load_relaxed(&session->remembered.due), 0)) { /* relaxed: this thread's */
        hf_forget_some(session, now_ms);
    }
}

/* Puts what the session remembers into the order of its ends, in which it is forgotten; before the engine has any other thread.
 * HF_ENOMEM */
int hf_remembered_sort(hf_session *session);

/* The keeper's turn, outside a section: takes over lists that have been due for `idle_ms`, and forgets what is due of those
 * taken over before, up to 16,384 of each. Returns whether it waits for a grace period. */
bool hf_forget_for_others(hf_session *keeper, uint64_t now_ms, uint64_t idle_ms);

/* Gives the blocks of a slot's further lines back, with a grace period. */
void hf_retire_lines(hf_session *session, const hf_slot *slot);

#endif
