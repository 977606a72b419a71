/* The slow model by itself, on examples worked by hand: whoever judges is judged first. */
#include <criterion/criterion.h>

#include "tests/support/model.h"

enum { A, B, C };

static model_reply apply(model *m, hf_op_type type, uint32_t order, uint32_t sku, int64_t quantity, uint64_t ttl_ms) {
    model_line line = {sku, quantity};
    model_op op = {.type = type, .order = order, .lines = &line, .line_count = 1, .ttl_ms = ttl_ms};
    return model_apply(m, &op);
}

static hf_outcome ask(model *m, hf_op_type type, uint32_t order, uint32_t sku, int64_t quantity, uint64_t ttl_ms) {
    hf_outcome outcome = apply(m, type, order, sku, quantity, ttl_ms).outcome;
    const char *wrong = model_is_valid(m);
    cr_expect_null(wrong, "%s", wrong);
    return outcome;
}

static void expect(const model *m, uint32_t sku, int64_t on_hand, int64_t reserved, uint64_t version) {
    cr_expect(m->skus[sku].on_hand == on_hand && m->skus[sku].reserved == reserved && m->skus[sku].version == version,
              "on_hand %lld reserved %lld version %llu", (long long)m->skus[sku].on_hand,
              (long long)m->skus[sku].reserved, (unsigned long long)m->skus[sku].version);
}

Test(model, every_outcome_of_the_order_flow) {
    model *m = model_new(3, 20, 1000, 100);
    cr_expect_eq(ask(m, HF_OP_PURCHASE, 0, A, 1, 0), HF_OUTCOME_UNKNOWN_SKU);
    cr_expect_eq(ask(m, HF_OP_ADJUST, 0, A, 1, 0), HF_OUTCOME_UNKNOWN_SKU);
    cr_expect_eq(ask(m, HF_OP_RECEIVE, 0, A, 5, 0), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_RECEIVE, 0, A, 5, 0), HF_OUTCOME_DUPLICATE);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 0, 0, 0, 0), HF_OUTCOME_NOT_FOUND);
    cr_expect_eq(ask(m, HF_OP_RESERVE, 1, A, 6, 10), HF_OUTCOME_OUT_OF_STOCK);
    cr_expect_eq(ask(m, HF_OP_RESERVE, 1, A, 4, 10), HF_OUTCOME_OK);
    expect(m, A, 5, 4, 2);
    cr_expect_eq(ask(m, HF_OP_ADJUST, 2, A, -2, 0), HF_OUTCOME_OUT_OF_STOCK);
    cr_expect_eq(ask(m, HF_OP_COUNT, 3, A, 3, 0), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 1, 0, 0, 0), HF_OUTCOME_OUT_OF_STOCK); /* 3 there, 4 wanted: stays live */
    cr_expect_eq(m->orders[1].state, HF_STATE_LIVE);
    cr_expect_eq(ask(m, HF_OP_ADJUST, 4, A, 2, 0), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 1, 0, 0, 0), HF_OUTCOME_OK);
    expect(m, A, 1, 0, 5);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 1, 0, 0, 0), HF_OUTCOME_ALREADY);
    cr_expect_eq(ask(m, HF_OP_CANCEL, 1, 0, 0, 0), HF_OUTCOME_CONFLICT);
    cr_expect_eq(ask(m, HF_OP_EXTEND, 1, 0, 0, 9), HF_OUTCOME_CONFLICT);
    cr_expect_eq(ask(m, HF_OP_RESERVE, 5, A, 1, 10), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_CANCEL, 5, 0, 0, 0), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_CANCEL, 5, 0, 0, 0), HF_OUTCOME_ALREADY);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 5, 0, 0, 0), HF_OUTCOME_CONFLICT);
    cr_expect_eq(ask(m, HF_OP_PURCHASE, 6, A, 1, 0), HF_OUTCOME_OK);
    expect(m, A, 0, 0, 8);
    model_free(m);
}

Test(model, expiry_and_late_payment) {
    model *m = model_new(3, 20, 1000, 100);
    ask(m, HF_OP_RECEIVE, 0, A, 2, 0);
    ask(m, HF_OP_RESERVE, 1, A, 2, 10);
    model_advance(m, 1009);
    cr_expect_eq(m->orders[1].state, HF_STATE_LIVE);
    model_advance(m, 1010);
    cr_expect_eq(m->orders[1].state, HF_STATE_EXPIRED);
    expect(m, A, 2, 0, 2);
    cr_expect_eq(m->skus[A].due, 1u, "the expiry's step may still be to come");
    model_reply reply = apply(m, HF_OP_RESERVE, 2, A, 1, 50);
    cr_expect(reply.version_low == 3 && reply.version_high == 4);
    model_fix_version(m, &reply, 4); /* it has come */
    cr_expect(m->skus[A].version == 4 && m->skus[A].due == 0);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 1, 0, 0, 0), HF_OUTCOME_OUT_OF_STOCK);
    cr_expect_eq(ask(m, HF_OP_EXTEND, 2, 0, 0, 1000), HF_OUTCOME_OK);
    model_advance(m, 1100);
    cr_expect_eq(ask(m, HF_OP_CANCEL, 2, 0, 0, 0), HF_OUTCOME_OK);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 1, 0, 0, 0), HF_OUTCOME_CONFIRMED_LATE);
    expect(m, A, 0, 0, 6);
    model_free(m);
}

Test(model, several_lines_are_all_or_nothing_and_repeats_are_summed) {
    model *m = model_new(3, 20, 1000, 100);
    ask(m, HF_OP_RECEIVE, 0, A, 5, 0);
    ask(m, HF_OP_RECEIVE, 1, B, 5, 0);
    model_line lines[] = {{A, 3}, {B, 1}, {A, 3}};
    model_op op = {.type = HF_OP_RESERVE, .order = 2, .lines = lines, .line_count = 3, .ttl_ms = 10};
    cr_expect_eq(model_apply(m, &op).outcome, HF_OUTCOME_OUT_OF_STOCK);
    cr_expect(model_line_refused(m, &op, HF_OUTCOME_OUT_OF_STOCK, A) &&
              !model_line_refused(m, &op, HF_OUTCOME_OUT_OF_STOCK, B));
    lines[1].sku = C;
    cr_expect_eq(model_apply(m, &op).outcome, HF_OUTCOME_UNKNOWN_SKU);
    lines[1].sku = B;
    lines[0].quantity = 2;
    cr_expect_eq(model_apply(m, &op).outcome, HF_OUTCOME_OK);
    expect(m, A, 5, 5, 2);
    expect(m, B, 5, 1, 2);
    model *copy = model_copy(m);
    cr_expect_eq(ask(m, HF_OP_CONFIRM, 2, 0, 0, 0), HF_OUTCOME_OK);
    expect(m, A, 0, 0, 3);
    expect(copy, A, 5, 5, 2);
    cr_expect_eq(ask(copy, HF_OP_CANCEL, 2, 0, 0, 0), HF_OUTCOME_OK);
    model_free(copy);
    model_free(m);
}

Test(model, retention) {
    model *m = model_new(3, 20, 1000, 100);
    ask(m, HF_OP_RECEIVE, 0, A, 5, 0);
    model_advance(m, 1099);
    cr_expect(!model_may_forget(m, 0));
    model_advance(m, 1100);
    cr_expect(model_may_forget(m, 0));
    cr_expect_eq(ask(m, HF_OP_RECEIVE, 0, A, 5, 0), HF_OUTCOME_DUPLICATE);
    model_forget(m, 0, true);
    cr_expect(!model_knows(m, 0));
    cr_expect_eq(ask(m, HF_OP_RECEIVE, 0, A, 5, 0), HF_OUTCOME_OK);
    cr_expect(!model_may_forget(m, 0));
    model_free(m);
}

Test(model, versions_asked_for_and_ranges) {
    model *m = model_new(3, 20, 1000, 100);
    ask(m, HF_OP_RECEIVE, 0, A, 5, 0);
    model_line line = {A, 1};
    model_op op = {.type = HF_OP_PURCHASE, .order = 1, .lines = &line, .line_count = 1, .if_version = 2};
    cr_expect_eq(model_apply(m, &op).outcome, HF_OUTCOME_VERSION_MISMATCH);
    op.if_version = 1;
    cr_expect_eq(model_apply(m, &op).outcome, HF_OUTCOME_OK);
    cr_expect_eq(apply(m, HF_OP_RECEIVE, 2, A, HF_MAX_QUANTITY, 0).error, HF_ERANGE);
    expect(m, A, 4, 0, 2);
    cr_expect(!model_knows(m, 2));
    model_free(m);
}
