/* The record in the making. The contract is in part.h. */
#include "part.h"

void hf_part_append(hf_part *part, uint32_t parts, hf_outcome outcome, uint64_t position) {
    if (part->ring) {
        hf_entry *entry = &part->head;
        uint32_t recovery = entry->parts;
        entry->parts = recovery | parts | part->give | (part->begun ? HF_PART_CONTINUED : 0u);
        entry->outcome = outcome;
        entry->position = position;
        entry->steps = part->steps;
        entry->step_count = part->count;
        hf_ring_append(part->ring, part->epoch, entry);
        entry->parts = recovery;
    }
    hf_store_relaxed(&part->records, part->records + 1); /* relaxed: a gauge */
    part->begun = true;
    part->pending = false;
    part->count = 0;
}

void hf_part_step(hf_part *part, uint64_t epoch, hf_step step) {
    hf_part_decide(part, epoch);
    assert(part->count < HF_MAX_LINES);
    part->steps[part->count++] = step;
}
