/* What each operation answers, and every limit of its arguments. */
#include "fixture.h"

static hf_line *many_lines(size_t count) {
    hf_line *lines = calloc(count, sizeof *lines);
    cr_assert(lines);
    for (size_t i = 0; i < count; i++) {
        lines[i] = line_of("sku", 1);
    }
    return lines;
}

Test(operations, life_of_a_reservation) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    reply = reserve(&f, "a", "sku", 4, 1000);
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    cr_expect_eq(reply.deadline_ms, HARNESS_EPOCH_MS + 1000);
    cr_expect_eq(reply.state, HF_STATE_LIVE);
    cr_expect_eq(reply.version, 2u);
    EXPECT_STOCK(&f, "sku", 10, 4, 2);
    reply = reserve(&f, "b", "sku", 7, 1000);
    EXPECT_OUTCOME(reply, HF_OUTCOME_OUT_OF_STOCK);
    cr_expect_eq(reply.version, 2u, "version as found: %llu", (unsigned long long)reply.version);
    cr_expect_eq(reply.state, HF_STATE_UNKNOWN);
    EXPECT_OUTCOME(confirm(&f, "a"), HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 6, 0, 3);
    EXPECT_OUTCOME(confirm(&f, "a"), HF_OUTCOME_ALREADY);
    EXPECT_OUTCOME(cancel(&f, "a"), HF_OUTCOME_CONFLICT);
    EXPECT_OUTCOME(reserve(&f, "b", "sku", 6, 1000), HF_OUTCOME_OK); /* a refused id may be tried again */
    EXPECT_OUTCOME(cancel(&f, "b"), HF_OUTCOME_OK);
    EXPECT_OUTCOME(cancel(&f, "b"), HF_OUTCOME_ALREADY);
    EXPECT_OUTCOME(confirm(&f, "b"), HF_OUTCOME_CONFLICT);
    EXPECT_OUTCOME(confirm(&f, "nobody"), HF_OUTCOME_NOT_FOUND);
    EXPECT_OUTCOME(cancel(&f, "in"), HF_OUTCOME_NOT_FOUND);
    EXPECT_STOCK(&f, "sku", 6, 0, 5);
    fixture_end(&f);
}

Test(operations, expiry_is_exact_to_the_millisecond) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 5);
    reserve(&f, "a", "sku", 5, 100);
    fixture_pass(&f, 99);
    EXPECT_OUTCOME(reserve(&f, "b", "sku", 1, 100), HF_OUTCOME_OUT_OF_STOCK);
    fixture_pass(&f, 1);
    EXPECT_OUTCOME(reserve(&f, "b", "sku", 3, 100), HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 5, 3, 4); /* receive, reserve, expiry, reserve */
    hf_reply reply = confirm(&f, "a");
    EXPECT_OUTCOME(reply, HF_OUTCOME_OUT_OF_STOCK); /* late payment: 2 are left of 5 */
    cr_expect_eq(reply.state, HF_STATE_EXPIRED);
    EXPECT_OUTCOME(cancel(&f, "a"), HF_OUTCOME_ALREADY);
    EXPECT_OUTCOME(cancel(&f, "b"), HF_OUTCOME_OK);
    EXPECT_OUTCOME(confirm(&f, "a"), HF_OUTCOME_CONFIRMED_LATE);
    EXPECT_STOCK(&f, "sku", 0, 0, 6);
    fixture_end(&f);
}

Test(operations, extend_moves_the_deadline_either_way) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "in", "sku", 2);
    reserve(&f, "a", "sku", 1, 100);
    reserve(&f, "b", "sku", 1, 100);
    MUST(hf_extend(f.session, id_of("a"), 500, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    cr_expect_eq(reply.deadline_ms, HARNESS_EPOCH_MS + 500);
    MUST(hf_extend(f.session, id_of("b"), 10, &reply));
    cr_expect_eq(reply.deadline_ms, HARNESS_EPOCH_MS + 10);
    fixture_pass(&f, 10);
    EXPECT_STOCK(&f, "sku", 2, 1, 4);
    MUST(hf_extend(f.session, id_of("b"), 10, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_CONFLICT);
    fixture_pass(&f, 489);
    EXPECT_STOCK(&f, "sku", 2, 1, 4);
    EXPECT_OUTCOME(confirm(&f, "a"), HF_OUTCOME_OK);
    MUST(hf_extend(f.session, id_of("none"), 10, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_NOT_FOUND);
    fixture_end(&f);
}

Test(operations, adjust_and_count) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "in", "sku", 5);
    reserve(&f, "a", "sku", 3, 1000);
    MUST(hf_adjust(f.session, id_of("x"), line_of("sku", -3), &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OUT_OF_STOCK);
    MUST(hf_adjust(f.session, id_of("x"), line_of("sku", -2), &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    cr_expect_eq(reply.state, HF_STATE_APPLIED);
    MUST(hf_adjust(f.session, id_of("y"), line_of("nobody", 2), &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_UNKNOWN_SKU);
    MUST(hf_count(f.session, id_of("c"), line_of("sku", 1), &reply)); /* below what is reserved */
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 1, 3, 4);
    EXPECT_OUTCOME(confirm(&f, "a"), HF_OUTCOME_OUT_OF_STOCK);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_OUT_OF_STOCK);
    MUST(hf_count(f.session, id_of("d"), line_of("new", 0), &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "new", 0, 0, 1);
    fixture_end(&f);
}

Test(operations, lines_that_repeat_a_sku_are_summed_and_it_is_all_or_nothing) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "1", "a", 5);
    receive(&f, "2", "b", 5);
    hf_line lines[] = {line_of("a", 3), line_of("b", 2), line_of("a", 3)};
    MUST(hf_reserve(f.session, id_of("r"), lines, 3, 1000, 0, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OUT_OF_STOCK);
    cr_expect(reply.line == 0 || reply.line == 2, "line %u", reply.line);
    EXPECT_STOCK(&f, "a", 5, 0, 1);
    EXPECT_STOCK(&f, "b", 5, 0, 1);
    lines[2].quantity = 2;
    MUST(hf_reserve(f.session, id_of("r"), lines, 3, 1000, 0, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "a", 5, 5, 2);
    EXPECT_STOCK(&f, "b", 5, 2, 2);
    lines[1] = line_of("nobody", 9);
    MUST(hf_purchase(f.session, id_of("p"), lines, 3, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_UNKNOWN_SKU); /* goes before out_of_stock */
    cr_expect_eq(reply.line, 1u);
    fixture_end(&f);
}

Test(operations, names_of_every_length) {
    fixture f;
    char name[HF_MAX_SKU_NAME + 1];
    hf_reply reply;
    hf_sku *sku;
    fixture_begin(&f);
    memset(name, 0xff, sizeof name);
    for (size_t length = 1; length <= HF_MAX_SKU_NAME; length++) {
        size_t back;
        hf_line line = {.name = name, .name_length = length, .quantity = (int64_t)length};
        MUST(hf_receive(f.session, harness_id(1, length), line, &reply));
        MUST(hf_sku_find(f.session, name, length, &sku));
        cr_assert(memcmp(hf_sku_name(sku, &back), name, length) == 0 && back == length, "%zu bytes", length);
    }
    EXPECT_ERROR(
        hf_receive(f.session, harness_id(2, 0), (hf_line){.name = name, .name_length = 0, .quantity = 1}, &reply),
        HF_EINVAL);
    EXPECT_ERROR(
        hf_receive(f.session, harness_id(2, 0), (hf_line){.name = name, .name_length = 256, .quantity = 1}, &reply),
        HF_EINVAL);
    EXPECT_ERROR(hf_sku_find(f.session, name, 0, &sku), HF_EINVAL);
    EXPECT_ERROR(hf_sku_find(f.session, name, 256, &sku), HF_EINVAL);
    name[0] = 0;
    EXPECT_ERROR(hf_sku_find(f.session, name, 1, &sku), HF_ENOTFOUND);
    cr_expect_eq(stats_of(&f).skus, HF_MAX_SKU_NAME);
    fixture_reopen(&f);
    name[0] = (char)0xff;
    for (size_t length = 1; length <= HF_MAX_SKU_NAME; length++) {
        hf_stock stock;
        MUST(hf_sku_find(f.session, name, length, &sku));
        MUST(hf_sku_read(f.session, sku, &stock));
        cr_assert_eq(stock.on_hand, (int64_t)length);
    }
    fixture_end(&f);
}

Test(operations, one_to_4096_lines) {
    fixture f;
    hf_reply reply;
    hf_line *lines = many_lines(HF_MAX_LINES + 1);
    fixture_begin(&f);
    receive(&f, "in", "sku", 10000);
    EXPECT_ERROR(hf_reserve(f.session, id_of("r"), lines, 0, 10, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_purchase(f.session, id_of("p"), lines, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_reserve(f.session, id_of("r"), lines, HF_MAX_LINES + 1, 10, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_purchase(f.session, id_of("p"), lines, HF_MAX_LINES + 1, &reply), HF_EINVAL);
    cr_expect_eq(reply.error, HF_EINVAL);
    MUST(hf_reserve(f.session, id_of("r"), lines, HF_MAX_LINES, 10, 0, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    MUST(hf_purchase(f.session, id_of("p"), lines, HF_MAX_LINES, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 10000 - 4096, 4096, 3);
    fixture_end(&f);
    free(lines);
}

Test(operations, quantities_and_their_limits) {
    fixture f;
    hf_reply reply;
    hf_line zero = line_of("sku", 0), negative = line_of("sku", -1), huge = line_of("sku", HF_MAX_QUANTITY + 1);
    fixture_begin(&f);
    receive(&f, "in", "sku", HF_MAX_QUANTITY);
    EXPECT_ERROR(hf_receive(f.session, id_of("x"), zero, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_receive(f.session, id_of("x"), negative, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_receive(f.session, id_of("x"), huge, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_adjust(f.session, id_of("x"), zero, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_adjust(f.session, id_of("x"), huge, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_adjust(f.session, id_of("x"), line_of("sku", -HF_MAX_QUANTITY - 1), &reply), HF_EINVAL);
    EXPECT_ERROR(hf_adjust(f.session, id_of("x"), line_of("sku", INT64_MIN), &reply), HF_EINVAL);
    EXPECT_ERROR(hf_count(f.session, id_of("x"), negative, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_count(f.session, id_of("x"), huge, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_purchase(f.session, id_of("x"), &zero, 1, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_reserve(f.session, id_of("x"), &negative, 1, 10, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_reserve(f.session, id_of("x"), &huge, 1, 10, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_receive(f.session, id_of("x"), line_of("sku", 1), &reply), HF_ERANGE);
    EXPECT_ERROR(hf_adjust(f.session, id_of("x"), line_of("sku", 1), &reply), HF_ERANGE);
    EXPECT_STOCK(&f, "sku", HF_MAX_QUANTITY, 0, 1);
    EXPECT_OUTCOME(reserve(&f, "x", "sku", HF_MAX_QUANTITY, 10), HF_OUTCOME_OK); /* no error remembered the id */
    EXPECT_STOCK(&f, "sku", HF_MAX_QUANTITY, HF_MAX_QUANTITY, 2);
    EXPECT_OUTCOME(confirm(&f, "x"), HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 0, 0, 3);
    fixture_end(&f);
}

Test(operations, a_sum_of_lines_beyond_all_limits_takes_nothing) {
    fixture f;
    hf_reply reply;
    hf_line *lines = many_lines(HF_MAX_LINES);
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    for (size_t i = 0; i < HF_MAX_LINES; i++) {
        lines[i].quantity = HF_MAX_QUANTITY;
    }
    int error = hf_reserve(f.session, id_of("r"), lines, HF_MAX_LINES, 10, 0, &reply);
    cr_expect(error == HF_EINVAL || error == HF_ERANGE || reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "%s, %s",
              hf_error_name(error), hf_outcome_text(reply.outcome));
    EXPECT_STOCK(&f, "sku", 10, 0, 1);
    fixture_end(&f);
    free(lines);
}

Test(operations, ttl_limits) {
    fixture f;
    hf_reply reply;
    hf_line line = line_of("sku", 1);
    fixture_begin(&f);
    receive(&f, "in", "sku", 2);
    EXPECT_ERROR(hf_reserve(f.session, id_of("r"), &line, 1, 0, 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_reserve(f.session, id_of("r"), &line, 1, HF_MAX_TTL_MS + 1, 0, &reply), HF_EINVAL);
    MUST(hf_reserve(f.session, id_of("r"), &line, 1, HF_MAX_TTL_MS, 0, &reply));
    cr_expect_eq(reply.deadline_ms, HARNESS_EPOCH_MS + HF_MAX_TTL_MS);
    EXPECT_ERROR(hf_extend(f.session, id_of("r"), 0, &reply), HF_EINVAL);
    EXPECT_ERROR(hf_extend(f.session, id_of("r"), HF_MAX_TTL_MS + 1, &reply), HF_EINVAL);
    fixture_pass(&f, HF_MAX_TTL_MS - 1);
    EXPECT_STOCK(&f, "sku", 2, 1, 2);
    fixture_pass(&f, 1);
    EXPECT_STOCK(&f, "sku", 2, 0, 3);
    fixture_end(&f);
}

Test(operations, duplicates_answer_with_the_first_facts) {
    fixture f;
    fixture_begin(&f);
    hf_reply first = receive(&f, "in", "sku", 10);
    hf_reply reserved = reserve(&f, "r", "sku", 2, 100);
    purchase(&f, "p", "sku", 1);
    hf_reply again = receive(&f, "in", "sku", 99);
    EXPECT_OUTCOME(again, HF_OUTCOME_DUPLICATE);
    cr_expect_eq(again.version, first.version);
    cr_expect_eq(again.state, HF_STATE_APPLIED);
    EXPECT_OUTCOME(receive(&f, "in", "never-made", 1), HF_OUTCOME_DUPLICATE);
    hf_sku *sku;
    EXPECT_ERROR(hf_sku_find(f.session, "never-made", 10, &sku), HF_ENOTFOUND);
    again = reserve(&f, "r", "nobody", 1, 5000); /* before unknown_sku */
    EXPECT_OUTCOME(again, HF_OUTCOME_DUPLICATE);
    cr_expect_eq(again.version, reserved.version);
    cr_expect_eq(again.deadline_ms, reserved.deadline_ms);
    cr_expect_eq(again.state, HF_STATE_LIVE);
    EXPECT_OUTCOME(purchase(&f, "r", "sku", 1), HF_OUTCOME_DUPLICATE); /* one id space */
    confirm(&f, "r");
    again = reserve(&f, "r", "sku", 1, 100);
    EXPECT_OUTCOME(again, HF_OUTCOME_DUPLICATE);
    cr_expect_eq(again.state, HF_STATE_CONFIRMED);
    cr_expect_eq(again.version, reserved.version);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_DUPLICATE);
    EXPECT_OUTCOME(cancel(&f, "p"), HF_OUTCOME_CONFLICT);
    EXPECT_OUTCOME(confirm(&f, "p"), HF_OUTCOME_ALREADY);
    EXPECT_STOCK(&f, "sku", 7, 0, 4);
    fixture_end(&f);
}

Test(operations, if_version) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    hf_line line = line_of("sku", 1);
    hf_op op = {.type = HF_OP_ADJUST, .id = id_of("a"), .lines = &line, .line_count = 1, .if_version = 2};
    hf_reply reply = submit(&f, op);
    EXPECT_OUTCOME(reply, HF_OUTCOME_VERSION_MISMATCH);
    cr_expect_eq(reply.version, 1u);
    EXPECT_STOCK(&f, "sku", 10, 0, 1);
    static const hf_op_type types[] = {HF_OP_ADJUST, HF_OP_RECEIVE, HF_OP_PURCHASE, HF_OP_RESERVE, HF_OP_COUNT};
    for (uint64_t i = 0; i < 5; i++) {
        op = (hf_op){.type = types[i], .id = harness_id(1, i), .lines = &line, .line_count = 1, .ttl_ms = 10};
        op.if_version = i + 2;
        EXPECT_OUTCOME(submit(&f, op), HF_OUTCOME_VERSION_MISMATCH);
        op.if_version = i + 1;
        reply = submit(&f, op);
        EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
        cr_expect_eq(reply.version, i + 2, "%s: version %llu", hf_op_text(types[i]), (unsigned long long)reply.version);
    }
    fixture_end(&f);
}

Test(operations, submit_carries_out_in_order_and_an_error_stops_nobody) {
    fixture f;
    hf_line line = line_of("sku", 2), bad = line_of("sku", 0);
    hf_op ops[] = {
        {.type = HF_OP_RECEIVE, .id = id_of("in"), .lines = &line, .line_count = 1},
        {.type = HF_OP_RESERVE, .id = id_of("r"), .lines = &line, .line_count = 1, .ttl_ms = 10},
        {.type = HF_OP_RECEIVE, .id = id_of("bad"), .lines = &bad, .line_count = 1},
        {.type = HF_OP_CONFIRM, .id = id_of("r")},
        {.type = HF_OP_CONFIRM, .id = id_of("r")},
        {.type = (hf_op_type)77, .id = id_of("r")},
        {.type = HF_OP_PURCHASE, .id = id_of("p"), .lines = &line, .line_count = 1},
    };
    hf_reply replies[7];
    size_t done = 0;
    fixture_begin(&f);
    MUST(hf_submit(f.session, ops, 7, replies, &done));
    cr_expect_eq(done, 7u);
    EXPECT_OUTCOME(replies[0], HF_OUTCOME_OK);
    EXPECT_OUTCOME(replies[1], HF_OUTCOME_OK);
    cr_expect_eq(replies[2].error, HF_EINVAL);
    EXPECT_OUTCOME(replies[3], HF_OUTCOME_OK);
    EXPECT_OUTCOME(replies[4], HF_OUTCOME_ALREADY);
    cr_expect_eq(replies[5].error, HF_EINVAL);
    EXPECT_OUTCOME(replies[6], HF_OUTCOME_OUT_OF_STOCK);
    EXPECT_STOCK(&f, "sku", 0, 0, 3);
    done = 9;
    MUST(hf_submit(f.session, ops, 0, replies, &done));
    cr_expect_eq(done, 0u);
    fixture_end(&f);
}

Test(operations, ids_are_bounded_by_max_reservations) {
    fixture f;
    hf_reply reply;
    unsigned count = 0;
    fixture_begin(&f);
    fixture_close(&f);
    f.options.max_reservations = 100;
    f.options.expected_reservations = 10;
    f.options.retention_ms = 1000;
    fixture_open(&f);
    int error = HF_SUCCESS;
    while (count < 100000 &&
           (error = hf_receive(f.session, harness_id(1, count), line_of("sku", 1), &reply)) == HF_SUCCESS) {
        count++;
    }
    cr_assert_eq(error, HF_EIDS, "%s after %u", hf_error_name(error), count);
    cr_expect(count >= 100 && count < 10000, "%u ids with max_reservations 100", count);
    cr_expect_eq(reply.error, HF_EIDS);
    EXPECT_STOCK(&f, "sku", count, 0, count);
    EXPECT_OUTCOME(confirm(&f, "none"), HF_OUTCOME_NOT_FOUND);
    fixture_pass(&f, 1000000);
    MUST(hf_poll(f.engine));
    MUST(hf_poll(f.engine));
    MUST(hf_receive(f.session, harness_id(2, 0), line_of("sku", 1), &reply)); /* what was forgotten makes room */
    fixture_end(&f);
}

Test(operations, handles_and_names_mean_the_same) {
    fixture f;
    hf_sku *sku, *again;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    MUST(hf_sku_find(f.session, "sku", 3, &sku));
    hf_line lines[] = {{.sku = sku, .quantity = 2}, line_of("sku", 3)};
    MUST(hf_reserve(f.session, id_of("r"), lines, 2, 10, 0, &reply));
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    EXPECT_STOCK(&f, "sku", 10, 5, 2);
    MUST(hf_sku_find(f.session, "sku", 3, &again));
    cr_expect_eq(sku, again);
    fixture_end(&f);
}
