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
 * (hf_part_decide), with the epoch read for that.
 */
#ifndef HF_PART_H
#define HF_PART_H

#include "record.h"

typedef struct hf_part {
    hf_entry head;  /* of the operation; parts, steps and outcome are each record's own */
    uint64_t epoch; /* of the steps collected */
    bool begun;     /* an earlier part was appended */
    bool pending;   /* a step or a decision is collected */
    uint32_t give;  /* HF_PART_GIVE once it gives back */
    uint32_t count;
    hf_step *steps; /* HF_MAX_LINES */
} hf_part;

void hf_part_begin(hf_session *session, const hf_entry *head);
void hf_part_step(hf_session *session, uint64_t epoch, hf_step step);
void hf_part_decide(hf_session *session, uint64_t epoch);
/* What follows gives back what was taken. */
void hf_part_give_back(hf_session *session);
/* Appends the last part; `outcome` is told where it gave back. Returns the ticket. */
uint64_t hf_part_end(hf_session *session, hf_outcome outcome, uint64_t position);

#endif
