/* Steps that cannot fail. The contract is in stock.h.
 *
 * Edges
 *   W1  the counter word: compare-and-swap -> load. Each step sees the one before it, so the epoch that it reads afterwards is not
 *       below that one's: a dependency never points to a later epoch.
 *   W2  the version of a stock count: noted before a step on it -> loaded after the word of such a step. Relaxed: W1 carries it.
 */
#include "stock.h"

/* Whether on_hand was counted between the step `since` and this word, which is built on it. */
static bool was_counted(const hf_sku *sku, hf_counter counter, uint64_t since) {
    uint64_t counted = counter.counted ? counter.version : hf_load_relaxed(&sku->counted); /* edge W2 */
    return counted > since;
}

/* A step that cannot fail. on_hand stays where it was counted since, and at the end of its field: beyond 2^40 units. */
static uint64_t put_back(hf_session *session, hf_sku *sku, int64_t quantity, int64_t on_hand, int64_t reserved, uint64_t since) {
    hf_word128 word = hf_load128_acquire(&sku->word); /* edge W1 */
    for (;;) {
        hf_counter before = hf_counter_of(word);
        bool stays = was_counted(sku, before, since) || before.on_hand + on_hand > (int64_t)HF_COUNTER_MASK;
        int64_t change = stays ? 0 : on_hand;
        hf_counter after = {before.on_hand + change, before.reserved + reserved, before.version + 1, false};
        uint64_t epoch = hf_engine_epoch(session->engine); /* after the load, before the compare-and-swap */
        if (hf_stock_step(sku, &word, before, after)) {
            hf_part_step(&session->part, epoch, (hf_step){sku->number, quantity, change, after.version});
            return after.version;
        }
    }
}

uint64_t hf_stock_release_line(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity) {
    int64_t on_hand, reserved;
    hf_counter_change(type, quantity, false, &on_hand, &reserved);
    assert(on_hand == 0); /* or the record would have to tell */
    return put_back(session, sku, quantity, on_hand, reserved, UINT64_MAX);
}

uint64_t hf_stock_give_back(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity, uint64_t since) {
    int64_t on_hand, reserved;
    hf_counter_change(type, quantity, true, &on_hand, &reserved);
    return put_back(session, sku, quantity, on_hand, reserved, since);
}

uint64_t hf_stock_release(hf_session *session, hf_record_type type, const hf_slot *slot) {
    hf_line_walk walk = hf_lines_of(session->engine, slot);
    hf_sku *sku;
    int64_t quantity;
    uint64_t version = 0;
    while (hf_next_line(&walk, &sku, &quantity)) {
        version = hf_stock_release_line(session, type, sku, quantity);
    }
    return version;
}
