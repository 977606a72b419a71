/* The record in the making. The contract is in part.h. */
#include "part.h"

#include <assert.h>

#include "engine.h"

void hf_part_begin(hf_session *session, const hf_entry *head) {
    hf_part *part = &session->part;
    part->head = *head;
    part->epoch = 0;
    part->begun = part->pending = false;
    part->give = 0;
    part->count = 0;
}

/* Appends what was collected as one record. */
static void append(hf_session *session, uint32_t parts, hf_outcome outcome, uint64_t position) {
    hf_part *part = &session->part;
    if (session->logs) {
        hf_entry *entry = &part->head;
        entry->parts |= parts | part->give | (part->begun ? HF_PART_CONTINUED : 0);
        entry->outcome = outcome;
        entry->position = position;
        entry->steps = part->steps;
        entry->step_count = part->count;
        hf_ring_append(&session->ring, part->epoch, entry);
        entry->parts &= HF_PART_RECOVERY;
    }
    hf_tally(session, records);
    part->begun = true;
    part->pending = false;
    part->count = 0;
}

/* Makes `epoch` the one of what is collected. */
static inline void turn_to(hf_session *session, uint64_t epoch) {
    hf_part *part = &session->part;
    assert(epoch >= part->epoch);
    if (__builtin_expect(part->pending && epoch != part->epoch, 0)) {
        append(session, HF_PART_OPEN, HF_OUTCOME_OK, 0);
    }
    part->epoch = epoch;
    part->pending = true;
}

void hf_part_step(hf_session *session, uint64_t epoch, hf_step step) {
    hf_part *part = &session->part;
    turn_to(session, epoch);
    assert(part->count < HF_MAX_LINES);
    part->steps[part->count++] = step;
}

void hf_part_decide(hf_session *session, uint64_t epoch) { turn_to(session, epoch); }

void hf_part_give_back(hf_session *session) {
    assert(session->part.pending);
    append(session, HF_PART_OPEN, HF_OUTCOME_OK, 0);
    session->part.give = HF_PART_GIVE;
}

uint64_t hf_part_end(hf_session *session, hf_outcome outcome, uint64_t position) {
    assert(session->part.pending);
    append(session, 0, outcome, position);
    return session->part.epoch;
}
