/* The reservation: one cache line for each id that the engine holds, live or remembered.
 *
 * Guarantees
 *   A  What became of an id is decided by its state word alone, by one compare-and-swap or, where the word is claimed, by the
 *      claimer's store. Each change is a step, and steps only grow: also over the lives of an id that was forgotten and is used
 *      again, since a life begins at { time of its first step, ms | 1 } and makes far fewer than 2^18 steps a millisecond.
 *   B  While the word is claimed (a state that ends in -ing), the other fields belong to the claimer. A reader that finds the same
 *      word before and after has read fields that belong together.
 *   C  Line count, lines, quantity, user and first answer are the same from the first to the last state of a life; once it is
 *      confirmed or cancelled it has no lines any more.
 *
 *     reserve   PENDING ----> LIVE --> CONFIRMING -> CONFIRMED
 *                              |  \--> EXTENDING --> LIVE
 *                              |   \-> CANCELLING -> CANCELLED      the first arrow decides, the second says that the
 *                              '-----> EXPIRING ---> EXPIRED        units are back
 *                                                      '---> REVIVING -> CONFIRMED (or EXPIRED again)
 *     purchase  PENDING -> CONFIRMED       receive, adjust, count   PENDING -> APPLIED       forgotten: an ended one -> FREE
 */
#ifndef HF_RESERVATION_H
#define HF_RESERVATION_H

#include <holdfast/holdfast.h>

#include <string.h>

#include "pool.h"

typedef enum hf_slot_state {
    HF_SLOT_FREE, /* nobody's, or forgotten and on the way out */
    HF_SLOT_PENDING,
    HF_SLOT_LIVE,
    HF_SLOT_CONFIRMING,
    HF_SLOT_EXTENDING,
    HF_SLOT_CANCELLING,
    HF_SLOT_EXPIRING,
    HF_SLOT_REVIVING,
    HF_SLOT_CONFIRMED,
    HF_SLOT_CANCELLED,
    HF_SLOT_EXPIRED,
    HF_SLOT_APPLIED,
} hf_slot_state;

#define HF_SLOT_STATE_BITS 4u
#define HF_STEP_BITS 18u /* of a step, below its milliseconds */
#define HF_TIME_BITS 42u
#define HF_TIME_MASK ((UINT64_C(1) << HF_TIME_BITS) - 1)
_Static_assert(HF_TIME_MASK == HF_MAX_TIME_MS, "a time fits");

typedef struct hf_slot {
    hf_id id;
    uint64_t word;  /* { step : 60 | state : 4 } */
    uint64_t user;  /* the caller's */
    uint64_t when;  /* { quantity, low : 22 | while live the deadline, then the end, ms : 42 } */
    uint64_t first; /* { quantity, high : 18 | 4 unused | deadline as first answered, ms : 42 } */
    uint64_t facts; /* { line count : 16 | version as first answered : 48 } */
    uint32_t line;  /* one line: the SKU's; more: the first block of lines */
    uint32_t next;  /* the ended one after this; a free cell's chain */
} hf_slot;
_Static_assert(sizeof(hf_slot) == HF_CACHE_LINE && sizeof(hf_slot) == HF_POOL_CELL, "one reservation, one cache line");
_Static_assert(offsetof(hf_slot, word) == 16 && offsetof(hf_slot, next) == 60, "the pool's chain does not touch the word");

/* The lines of a reservation that has more than one: six to a block. */
enum { HF_BLOCK_LINES = 6 };
typedef struct hf_block {
    uint32_t sku[HF_BLOCK_LINES];
    uint8_t quantity[HF_BLOCK_LINES][5];
    uint8_t unused[2];
    uint32_t next_magazine; /* the pool's */
    uint32_t next;          /* block; HF_POOL_NONE: the last */
} hf_block;
_Static_assert(sizeof(hf_block) == HF_POOL_CELL && offsetof(hf_block, next) == 60, "one block, one cell");

static inline hf_slot_state hf_slot_state_of(uint64_t word) { return (hf_slot_state)(word & 15); }
static inline uint64_t hf_slot_step_of(uint64_t word) { return word >> HF_SLOT_STATE_BITS; }
static inline uint64_t hf_slot_word(uint64_t step, hf_slot_state state) {
    return step << HF_SLOT_STATE_BITS | (uint64_t)state;
}
static inline uint64_t hf_first_step(uint64_t now_ms) { return now_ms << HF_STEP_BITS | 1; }

/* Ended and remembered: nothing but a late confirmation or being forgotten happens to it any more. */
static inline bool hf_slot_has_ended(hf_slot_state state) { return state >= HF_SLOT_CONFIRMED; }
static inline bool hf_slot_is_claimed(hf_slot_state state) {
    return state == HF_SLOT_PENDING || (state >= HF_SLOT_CONFIRMING && state <= HF_SLOT_REVIVING);
}

/* What a caller is told of a state; UNDECIDED for a claimed one. */
static inline hf_state hf_slot_public_state(hf_slot_state state) {
    switch (state) {
    case HF_SLOT_LIVE:
        return HF_STATE_LIVE;
    case HF_SLOT_CONFIRMED:
        return HF_STATE_CONFIRMED;
    case HF_SLOT_CANCELLED:
        return HF_STATE_CANCELLED;
    case HF_SLOT_EXPIRED:
        return HF_STATE_EXPIRED;
    case HF_SLOT_APPLIED:
        return HF_STATE_APPLIED;
    case HF_SLOT_FREE:
        return HF_STATE_UNKNOWN;
    default:
        return HF_STATE_UNDECIDED;
    }
}

/* ---- the packed fields. Loads are acquire and stores release (edge R2), so that a reader who meets a claimer's field meets the
 * claimed word after it, and does not believe what it read. */

static inline uint64_t hf_slot_when(const hf_slot *slot) {
    return hf_load_acquire(&slot->when) & HF_TIME_MASK; /* edge R2 */
}
static inline void hf_slot_set_when(hf_slot *slot, uint64_t time_ms) {
    uint64_t quantity = hf_load_relaxed(&slot->when) & ~HF_TIME_MASK; /* relaxed: the claimer's own field */
    hf_store_release(&slot->when, quantity | time_ms);               /* edge R2 */
}
static inline uint64_t hf_slot_first_deadline(const hf_slot *slot) {
    return hf_load_acquire(&slot->first) & HF_TIME_MASK; /* edge R2 */
}
static inline uint64_t hf_slot_version(const hf_slot *slot) {
    return hf_load_acquire(&slot->facts) & ((UINT64_C(1) << 48) - 1); /* edge R2 */
}
static inline uint32_t hf_slot_line_count(const hf_slot *slot) {
    return (uint32_t)(hf_load_acquire(&slot->facts) >> 48); /* edge R2 */
}
static inline int64_t hf_slot_quantity(const hf_slot *slot) { /* of the only line */
    uint64_t low = hf_load_acquire(&slot->when) >> HF_TIME_BITS, high = hf_load_acquire(&slot->first) >> 46; /* edge R2 */
    return (int64_t)(high << 22 | low);
}
static inline void hf_slot_set_facts(hf_slot *slot, uint64_t version, uint32_t line_count) {
    hf_store_release(&slot->facts, version | (uint64_t)line_count << 48); /* edge R2 */
}
/* Before the slot is published. */
static inline void hf_slot_set_times(hf_slot *slot, uint64_t when, uint64_t first_deadline, int64_t quantity) {
    uint64_t q = (uint64_t)quantity;
    hf_store_release(&slot->when, when | q << HF_TIME_BITS);              /* edge R2 */
    hf_store_release(&slot->first, first_deadline | q >> 22 << 46);       /* edge R2 */
}

static inline int64_t hf_block_quantity(const hf_block *block, unsigned i) {
    uint64_t quantity = 0;
    memcpy(&quantity, block->quantity[i], 5);
    return (int64_t)quantity;
}
static inline void hf_block_set(hf_block *block, unsigned i, uint32_t sku, int64_t quantity) {
    block->sku[i] = sku;
    memcpy(block->quantity[i], &quantity, 5);
}

#endif
