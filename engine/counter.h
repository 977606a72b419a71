/* The counter word: what a SKU has, in one 16-byte word.
 *
 * Guarantees
 *   A  The word changes only by compare-and-swap, and every change is one step of the version: the versions of a SKU are
 *      a chain without a gap, a word never comes back (no ABA), and a reader sees all three numbers of one instant.
 *   B  on_hand and reserved are never negative. No operation takes them beyond HF_MAX_QUANTITY; what is given back may, where others
 *      received meanwhile. A stock count may leave on_hand below reserved, so available may be negative; nothing is taken then.
 *
 *     bit  0            40           80                  127
 *          | on_hand     | reserved   | version          |c|      c: the step that led here was a stock count (sku.h)
 */
#ifndef HF_COUNTER_H
#define HF_COUNTER_H

#include <holdfast/holdfast.h>

#include <assert.h>

#include "wal/atomic.h"

#define HF_COUNTER_BITS 40u
#define HF_COUNTER_MASK ((UINT64_C(1) << HF_COUNTER_BITS) - 1)
#define HF_VERSION_BITS 47u
/* Taking steps stop here (HF_ERANGE); the 2^40 versions above it are left for steps that may not fail. */
#define HF_MAX_VERSION ((UINT64_C(1) << HF_VERSION_BITS) - (UINT64_C(1) << 40))

typedef struct hf_counter {
    int64_t on_hand;
    int64_t reserved;
    uint64_t version;
    bool counted; /* this version is a stock count's */
} hf_counter;

static inline hf_counter hf_counter_of(hf_word128 word) {
    return (hf_counter){
        .on_hand = (int64_t)(word.lo & HF_COUNTER_MASK),
        .reserved = (int64_t)(word.lo >> HF_COUNTER_BITS | (word.hi & 0xffff) << 24),
        .version = word.hi << 1 >> 17,
        .counted = word.hi >> 63,
    };
}

/* Versions above HF_MAX_VERSION are for steps that cannot fail: half of them. */
static inline bool hf_counter_is_valid(hf_counter counter) {
    return (uint64_t)counter.on_hand <= HF_COUNTER_MASK && (uint64_t)counter.reserved <= HF_COUNTER_MASK &&
           counter.version <= HF_MAX_VERSION + (UINT64_C(1) << 39);
}

static inline hf_word128 hf_counter_word(hf_counter counter) {
    assert(hf_counter_is_valid(counter));
    uint64_t on_hand = (uint64_t)counter.on_hand, reserved = (uint64_t)counter.reserved;
    return (hf_word128){.lo = on_hand | reserved << HF_COUNTER_BITS,
                        .hi = reserved >> 24 | counter.version << 16 | (uint64_t)counter.counted << 63};
}

static inline int64_t hf_counter_available(hf_counter counter) { return counter.on_hand - counter.reserved; }

/* What one step does to the two numbers, by the record that tells of it. `give`: the step gives back what that operation
 * had taken. A count's change is the caller's to know. */
static inline void hf_counter_change(hf_record_type type, int64_t quantity, bool give, int64_t *on_hand,
                                     int64_t *reserved) {
    int64_t q = give ? -quantity : quantity;
    *on_hand = *reserved = 0;
    switch (type) {
    case HF_RECORD_RECEIVE:
    case HF_RECORD_ADJUST:
        *on_hand = q;
        break;
    case HF_RECORD_PURCHASE:
    case HF_RECORD_CONFIRM_LATE:
        *on_hand = -q;
        break;
    case HF_RECORD_RESERVE:
        *reserved = q;
        break;
    case HF_RECORD_CONFIRM:
        *on_hand = *reserved = -q;
        break;
    case HF_RECORD_CANCEL:
    case HF_RECORD_EXPIRE:
        *reserved = -q;
        break;
    default:
        break;
    }
}

#endif
