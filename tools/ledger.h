/* The ledger: stock and live reservations as the records of a log say, kept without the engine. A second way to the
 * same state, to compare with and to stop at any epoch.
 *
 * Guarantees
 *   A  At the end of every epoch it is what the records up to there add up to, in whatever order they stand within an
 *      epoch: counters by their changes, a reservation by its highest step.
 *   B  hf_ledger_sums adds what recovery would do to operations that are not decided there: taking ones are given back
 *      (but for on_hand, where it was counted since), releasing ones completed.
 *   C  Memory is that of SKUs, live reservations and one epoch's ended ones. A SKU has a place here, from 1 in the order
 *      in which they were met: its number in the log may be anything that a file says.
 *   D  Where the log does not begin with its first record, counters are relative to the beginning, and a reservation
 *      whose reserve is not kept is known only from its end, or without lines from an extend.
 *
 * An operation over two epochs has a record in each (parts). Until the last, what it did to counters is kept with it:
 *     reserve A, B open | reserve C          -> live with A, B, C
 *     reserve A, B open | reserve gives A, B -> never was
 *     cancel A open     | cancel B           -> ended at the first, B's units come back at the second
 *     reserve A, B open | recovery mark, reserve gives A, B back by recovery -> never was
 */
#ifndef HF_LEDGER_H
#define HF_LEDGER_H

#include <holdfast/holdfast.h>

typedef struct hf_ledger_sku {
    char *name; /* NULL: not known. Ends in a zero byte, too */
    uint32_t name_length;
    uint32_t number; /* in the log */
    bool is_born; /* its making is in the log */
    int64_t on_hand, reserved;
    uint64_t steps;
    uint64_t version; /* after the last step; 0: none */
    uint64_t counted; /* after the last stock count; 0: none */
} hf_ledger_sku;

typedef struct hf_ledger_line {
    uint32_t sku; /* place */
    int64_t quantity;
} hf_ledger_line;

typedef enum hf_claim_state {
    HF_CLAIM_FREE, /* no entry */
    HF_CLAIM_LIVE,
    HF_CLAIM_EXTENDED, /* live, but known only from an extend: no lines, no user */
    HF_CLAIM_ENDED,    /* until the end of the epoch */
} hf_claim_state;

/* A reservation. */
typedef struct hf_claim {
    hf_id id;
    uint64_t step;
    uint64_t deadline_ms; /* 0: not known */
    union {
        uint64_t user;
        uint64_t ended_ms; /* HF_CLAIM_ENDED */
    };
    union {
        hf_ledger_line one;
        hf_ledger_line *many; /* more than one */
    } lines;
    uint32_t line_count;
    uint8_t state;
    bool is_born; /* its reserve is in the log */
} hf_claim;

static inline const hf_ledger_line *hf_claim_lines(const hf_claim *claim) {
    return claim->line_count > 1 ? claim->lines.many : &claim->lines.one;
}

/* What an operation that is not decided yet has done to one SKU. */
typedef struct hf_effect {
    uint32_t sku; /* place */
    int64_t owed; /* of a taking one: units that were not given back yet */
    uint64_t version; /* after it was taken */
    int64_t on_hand, reserved;
} hf_effect;

typedef struct hf_open_operation {
    uint32_t session; /* which has one at a time */
    hf_id id;
    hf_record_type type;
    bool is_headless;  /* its first part is not kept */
    bool is_resolving; /* a recovery mark was met: what it still owes comes with records of the same epoch */
    uint64_t epoch;    /* of the first part */
    uint64_t step, deadline_ms, user;
    hf_effect *effects;
    size_t effect_count, effect_room;
} hf_open_operation;

/* A SKU's counters with undecided operations given back or completed. */
typedef struct hf_ledger_sum {
    int64_t on_hand, reserved;
    uint64_t steps;
} hf_ledger_sum;

typedef struct hf_ledger {
    hf_ledger_sku *skus; /* by place; [0] is none */
    size_t sku_count, sku_room;
    uint32_t *places; /* by number: open addressing, linear probing; 0: free */
    size_t place_room;
    hf_claim *claims; /* open addressing, linear probing */
    size_t claim_count, claim_room;
    uint64_t live; /* HF_CLAIM_LIVE */
    hf_id *ended;  /* in this epoch */
    size_t ended_count, ended_room;
    hf_open_operation *open;
    size_t open_count, open_room;
    uint64_t epoch, time_ms, records, steps;
    uint64_t headless;   /* operations whose first part is not there */
    uint64_t doubled;    /* operations begun while one with their id was open */
    uint64_t unsettled;  /* operations that a recovery should have given back or completed, and did not, or not right */
    hf_id unsettled_id;  /* of the last of them */
    uint64_t unresolved; /* hf_ledger_sums: operations whose beginning or reserve, which it would need, is not kept */
    bool out_of_memory;  /* then nothing else holds */

    /* Called for a reservation that ended in the epoch that just ended and whose reserve is not in the log. May be
     * NULL. */
    void (*unborn_ended)(void *context, const hf_claim *claim);
    void *context;
} hf_ledger;

void hf_ledger_init(hf_ledger *ledger);
/* Records in the order of the log. Ends the epoch before, where a new one begins. */
void hf_ledger_take(hf_ledger *ledger, const hf_record *record);
void hf_ledger_end_epoch(hf_ledger *ledger);
/* The place of the SKU with this number, which is made if there is none; 0: out of memory. */
uint32_t hf_ledger_place(hf_ledger *ledger, uint32_t number);
/* Guarantee B, at the end of an epoch: sums[place] for each place below sku_room. */
void hf_ledger_sums(hf_ledger *ledger, hf_ledger_sum *sums);
/* NULL: no entry. */
const hf_claim *hf_ledger_find(const hf_ledger *ledger, hf_id id);
void hf_ledger_free(hf_ledger *ledger);

#endif
