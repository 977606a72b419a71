/* Stock: the steps of counter words, and the lines they come from.
 *
 * Guarantees
 *   A  A step is one compare-and-swap, its epoch was read after the load and before it, and it is logged with that epoch.
 *   B  Taking fails or takes; releasing cannot fail.
 */
#ifndef HF_STOCK_H
#define HF_STOCK_H

#include <assert.h>

#include "engine.h"

/* The lines of a slot, one after another. Inside a section; the slot's word says whether they may be believed. */
typedef struct hf_line_walk {
    const hf_engine *engine;
    const hf_slot *slot;
    const hf_block *block;
    uint32_t left;
    unsigned at;
} hf_line_walk;

static inline hf_line_walk hf_lines_of(const hf_engine *engine, const hf_slot *slot) {
    uint32_t count = hf_slot_line_count(slot);
    return (hf_line_walk){engine, slot, count > 1 ? hf_pool_cell(&engine->blocks, slot->line) : NULL, count, 0};
}

static inline bool hf_next_line(hf_line_walk *walk, hf_sku **sku, int64_t *quantity) {
    if (walk->left == 0) {
        return false;
    }
    walk->left--;
    if (!walk->block) {
        *sku = hf_sku_at(&walk->engine->skus, walk->slot->line);
        *quantity = hf_slot_quantity(walk->slot);
        return true;
    }
    if (walk->at == HF_BLOCK_LINES) {
        uint32_t next = hf_load_relaxed(&walk->block->next); /* relaxed: fixed while the slot's word stands */
        if (next == HF_POOL_NONE) {
            return false; /* the slot's lines were let go while we walk: its word will tell */
        }
        walk->block = hf_pool_cell(&walk->engine->blocks, next);
        walk->at = 0;
    }
    *sku = hf_sku_at(&walk->engine->skus, walk->block->sku[walk->at]);
    *quantity = hf_block_quantity(walk->block, walk->at++);
    return true;
}

typedef enum hf_step_result {
    HF_STEP_DONE,
    HF_STEP_SHORT,   /* not that many units */
    HF_STEP_UNKNOWN, /* the SKU was never received */
    HF_STEP_VERSION, /* not at the version wanted */
    HF_STEP_RANGE,   /* a counter would leave its range */
} hf_step_result;

/* Made anew for a type that is known where it is called: most of what a step does then goes away. */
#define HF_FOR_ITS_TYPE static inline __attribute__((always_inline))

/* What a step of that type would lead to, or why it cannot be. */
HF_FOR_ITS_TYPE hf_step_result hf_stock_apply(hf_record_type type, int64_t quantity, uint64_t if_version,
                                              hf_counter *counter) {
    bool creates = type == HF_RECORD_RECEIVE || type == HF_RECORD_COUNT;
    if (counter->version == 0 && !creates) {
        return HF_STEP_UNKNOWN;
    }
    if (if_version && counter->version != if_version) {
        return HF_STEP_VERSION;
    }
    int64_t on_hand, reserved, available = hf_counter_available(*counter);
    hf_counter_change(type, quantity, false, &on_hand, &reserved);
    switch (type) {
    case HF_RECORD_ADJUST:
        if (quantity < 0 && available < -quantity) {
            return HF_STEP_SHORT;
        }
        break;
    case HF_RECORD_PURCHASE:
    case HF_RECORD_RESERVE:
    case HF_RECORD_CONFIRM_LATE:
        if (available < quantity) {
            return HF_STEP_SHORT;
        }
        break;
    case HF_RECORD_CONFIRM:
        if (counter->on_hand < quantity) {
            return HF_STEP_SHORT;
        }
        break;
    case HF_RECORD_COUNT:
        on_hand = quantity - counter->on_hand;
        break;
    default:
        break;
    }
    if (counter->on_hand + on_hand > HF_MAX_QUANTITY || counter->version >= HF_MAX_VERSION) {
        return HF_STEP_RANGE;
    }
    *counter = (hf_counter){counter->on_hand + on_hand, counter->reserved + reserved, counter->version + 1,
                            type == HF_RECORD_COUNT};
    return HF_STEP_DONE;
}

/* The one place where a counter word changes. A stock count is noted in its line before any further step is made on it: whoever
 * gives back then learns of every count that its word was built on, from the word or from the line. */
static inline bool hf_stock_step(hf_sku *sku, hf_word128 *word, hf_counter before, hf_counter after) {
    assert(after.version == before.version + 1);
    if (__builtin_expect(before.counted, 0)) {
        (void)hf_raise_relaxed(&sku->counted, before.version); /* edge W2 */
    }
    return __builtin_expect(hf_cas128_acq_rel(&sku->word, word, hf_counter_word(after)), 1); /* edge W1 */
}

/* Takes a line; *counter is what the SKU has after it, or had where it could not be. Its first load is an acquire of W1's other
 * end: what was written to the word before is seen. */
HF_FOR_ITS_TYPE hf_step_result hf_stock_take(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity,
                                             uint64_t if_version, hf_counter *counter) {
    hf_word128 word = hf_load128_acquire(&sku->word); /* edge W1 */
    for (;;) {
        hf_counter before = *counter = hf_counter_of(word);
        hf_step_result result = hf_stock_apply(type, quantity, if_version, counter);
        if (result != HF_STEP_DONE) {
            return result;
        }
        uint64_t epoch = hf_engine_epoch(session->engine); /* after the load, before the compare-and-swap */
        if (hf_stock_step(sku, &word, before, *counter)) {
            int64_t change = type == HF_RECORD_COUNT ? counter->on_hand - before.on_hand : 0;
            hf_part_step(&session->part, epoch, (hf_step){sku->number, quantity, change, counter->version});
            return HF_STEP_DONE;
        }
    }
}

/* Releases a line of an operation that was decided; returns the version after it. */
uint64_t hf_stock_release_line(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity);
/* Releases every line of a slot that was decided to be cancelled or expired; returns the version of the last. */
uint64_t hf_stock_release(hf_session *session, hf_record_type type, const hf_slot *slot);
/* Gives back a line that the step with version `since` had taken, of an operation that came to nothing. Where on_hand was counted
 * since, it stays: the units are among those that were found, or are not there. */
uint64_t hf_stock_give_back(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity, uint64_t since);

#endif
