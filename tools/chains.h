/* Every SKU's chain of steps, checked as a log is read.
 *
 * Guarantees
 *   A  Versions are gapless and without a repeat, from 1 where the log is kept from its first record, else from the
 *      first that is kept.
 *   B  After no step is on_hand or reserved below zero, and no step that takes units (purchase, reserve, late
 *      confirm, adjust downwards) leaves less than nothing available. Where the chain does not begin with version 1,
 *      the lowest points are kept, and judged once the state at the end is known.
 *   C  A count's change is the difference between what it counted and what was there.
 *
 * Steps of one SKU stand in one epoch in any order: those that do not follow at once wait for the end of their epoch,
 * and are sorted. Memory is that of the SKUs and of the largest epoch.
 */
#ifndef HF_CHAINS_H
#define HF_CHAINS_H

#include "findings.h"
#include "ledger.h"

/* A lowest value, relative to the chain's beginning, and the version that led to it. */
typedef struct hf_low {
    int64_t value;
    uint64_t version;
} hf_low;

typedef struct hf_chain {
    uint64_t first, last; /* versions; 0: no step */
    int64_t on_hand, reserved;
    hf_low on_hand_low, reserved_low, available_low; /* the last: after steps that take */
} hf_chain;

typedef struct hf_step {
    uint32_t sku; /* place in the ledger */
    uint8_t type;
    bool gives;
    uint64_t version;
    int64_t quantity, on_hand_change, reserved_change;
} hf_step;

typedef struct hf_chains {
    bool is_whole;           /* the log is kept from its first record */
    hf_ledger *ledger; /* for places and names */
    hf_findings *findings;
    hf_chain *chains; /* by place */
    size_t room;
    hf_step *waiting;
    size_t waiting_count, waiting_room;
    uint64_t epoch;
    bool out_of_memory;
} hf_chains;

/* Records in the order of the log, each after the ledger took it. */
void hf_chains_take(hf_chains *chains, const hf_record *record);
void hf_chains_end_epoch(hf_chains *chains);
/* Guarantee B for a chain that does not begin with version 1: the SKU at `place` is at `on_hand` and `reserved` after its last
 * step. */
void hf_chains_judge(hf_chains *chains, uint32_t place, int64_t on_hand, int64_t reserved);
/* For messages. */
const char *hf_chains_name(const hf_chains *chains, uint32_t place);
uint32_t hf_chains_number(const hf_chains *chains, uint32_t place);
void hf_chains_free(hf_chains *chains);

#endif
