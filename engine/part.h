/* The record in the making: collects an operation's steps, and splits it where the epoch turns.
 *
 * Guarantees
 *   A  Every compare-and-swap is logged with the epoch that was read for it: steps that straddle epoch e and e + 1 become one
 *      record (part) tagged e and one tagged e + 1.
 *   B  Parts are appended within the section of the operation. Room for all of them was made sure of before it.
 *
 *      begin | step e | step e | step e+1 | step e+1 | end
 *            [ part 1: OPEN  ] [ part 2: CONTINUED        ]      nearly always: one record, neither
 *
 * The decision of a taking operation goes with its last step: it depends on nothing that is newer. A releasing one decides first
 * (hf_part_decide), with the epoch read for that. Without a log only the epoch is kept, for the ticket.
 */
#ifndef HF_PART_H
#define HF_PART_H

#include <assert.h>

#include "record.h"
#include "ring.h"

typedef struct hf_part {
    hf_entry head;  /* of the operation; parts, steps and outcome are each record's own */
    uint64_t epoch; /* of the steps collected */
    hf_ring *ring;  /* NULL: there is no log */
    uint64_t records; /* appended, since ever */
    uint32_t count;
    uint32_t give;  /* HF_PART_GIVE once it gives back */
    bool begun;     /* an earlier part was appended */
    bool pending;   /* a step or a decision is collected */
    hf_step *steps; /* HF_MAX_LINES */
} hf_part;

/* Appends what was collected as one record. */
void hf_part_append(hf_part *part, uint32_t parts, hf_outcome outcome, uint64_t position);

static inline void hf_part_begin(hf_part *part, hf_record_type type, const hf_id *id, uint64_t time_ms, uint64_t step) {
    part->epoch = 0;
    part->count = part->give = 0;
    part->begun = part->pending = false;
    part->head.type = type;
    part->head.parts = 0;
    part->head.id = *id;
    part->head.time_ms = time_ms;
    part->head.step = step;
}

/* Makes `epoch` the one of what is collected: a releasing operation has decided with it. */
static inline void hf_part_decide(hf_part *part, uint64_t epoch) {
    assert(epoch >= part->epoch);
    if (__builtin_expect(part->pending && epoch != part->epoch, 0)) {
        hf_part_append(part, HF_PART_OPEN, HF_OUTCOME_OK, 0);
    }
    part->epoch = epoch;
    part->pending = true;
}

/* Not inlined: tests come in between an operation's steps here. */
void hf_part_step(hf_part *part, uint64_t epoch, hf_step step);

/* What follows gives back what was taken. */
static inline void hf_part_give_back(hf_part *part) {
    assert(part->pending);
    hf_part_append(part, HF_PART_OPEN, HF_OUTCOME_OK, 0);
    part->give = HF_PART_GIVE;
}

/* Appends the last part; `outcome` is told where it gave back. Returns the ticket. */
static inline uint64_t hf_part_end(hf_part *part, hf_outcome outcome, uint64_t position) {
    assert(part->pending);
    hf_part_append(part, 0, outcome, position);
    return part->epoch;
}

#endif
