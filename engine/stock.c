/* Steps that cannot fail. The contract is in stock.h.
 *
 * Edges
 *   W1  the counter word: compare-and-swap -> load. Each step sees the one before it, so the epoch that it reads afterwards is not
 *       below that one's: a dependency never points to a later epoch.
 */
#include "stock.h"

uint64_t hf_stock_return(hf_session *session, hf_record_type type, hf_sku *sku, int64_t quantity, bool give) {
    int64_t on_hand, reserved;
    hf_counter_change(type, quantity, give, &on_hand, &reserved);
    hf_word128 word = hf_load128_acquire(&sku->word); /* edge W1 */
    for (;;) {
        hf_counter counter = hf_counter_of(word);
        counter = (hf_counter){counter.on_hand + on_hand, counter.reserved + reserved, counter.version + 1};
        uint64_t epoch = hf_engine_epoch(session->engine);
        if (hf_cas128_acq_rel(&sku->word, &word, hf_counter_word(counter))) { /* edge W1 */
            hf_part_step(&session->part, epoch, (hf_step){sku->number, quantity, 0, counter.version});
            return counter.version;
        }
    }
}

uint64_t hf_stock_release(hf_session *session, hf_record_type type, const hf_slot *slot) {
    hf_line_walk walk = hf_lines_of(session->engine, slot);
    hf_sku *sku;
    int64_t quantity;
    uint64_t version = 0;
    while (hf_next_line(&walk, &sku, &quantity)) {
        version = hf_stock_return(session, type, sku, quantity, false);
    }
    return version;
}
