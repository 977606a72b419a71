/* What a restart keeps: state, first facts, retention; checkpoints and the segments they let go of. */
#include "fixture.h"

Test(restart, state_and_first_facts_are_kept) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    hf_reply reserved = reserve(&f, "r", "sku", 2, 500), bought = purchase(&f, "p", "sku", 1);
    reserve(&f, "c", "sku", 1, 500);
    cancel(&f, "c");
    reserve(&f, "x", "sku", 1, 50);
    fixture_pass(&f, 50);
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1) {
            MUST(hf_checkpoint(f.engine));
        }
        fixture_reopen(&f);
        EXPECT_STOCK(&f, "sku", 9, 2, 7);
        hf_reply again = reserve(&f, "r", "sku", 2, 9999);
        EXPECT_OUTCOME(again, HF_OUTCOME_DUPLICATE);
        cr_expect_eq(again.version, reserved.version, "round %u: version %llu", round,
                     (unsigned long long)again.version);
        cr_expect_eq(again.deadline_ms, reserved.deadline_ms, "round %u", round);
        again = purchase(&f, "p", "sku", 1);
        EXPECT_OUTCOME(again, HF_OUTCOME_DUPLICATE);
        cr_expect_eq(again.version, bought.version, "round %u: version %llu", round, (unsigned long long)again.version);
        EXPECT_OUTCOME(receive(&f, "in", "sku", 10), HF_OUTCOME_DUPLICATE);
        EXPECT_OUTCOME(confirm(&f, "c"), HF_OUTCOME_CONFLICT);
        EXPECT_OUTCOME(cancel(&f, "x"), HF_OUTCOME_ALREADY);
    }
    EXPECT_OUTCOME(confirm(&f, "x"), HF_OUTCOME_CONFIRMED_LATE);
    EXPECT_OUTCOME(confirm(&f, "r"), HF_OUTCOME_OK);
    fixture_reopen(&f);
    EXPECT_STOCK(&f, "sku", 6, 0, 9);
    fixture_end(&f);
}

Test(restart, deadlines_go_on_and_the_clock_never_goes_back) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 3);
    reserve(&f, "short", "sku", 1, 100);
    reserve(&f, "long", "sku", 1, 10000);
    fixture_pass(&f, 60);
    receive(&f, "later", "sku", 1); /* logged at + 60 */
    fixture_close(&f);
    harness_clock_set(&f.clock, HARNESS_EPOCH_MS - 1000000);
    fixture_open(&f);
    cr_expect_geq(hf_refresh_clock(f.engine), HARNESS_EPOCH_MS + 60);
    EXPECT_STOCK(&f, "sku", 4, 2, 4);
    fixture_close(&f);
    harness_clock_set(&f.clock, HARNESS_EPOCH_MS + 100);
    fixture_open(&f);
    EXPECT_STOCK(&f, "sku", 4, 1, 5); /* expired while nobody had it open */
    fixture_end(&f);
}

Test(restart, an_id_is_remembered_for_the_retention_and_not_for_ever) {
    fixture f;
    fixture_begin(&f);
    fixture_close(&f);
    f.options.retention_ms = 1000;
    fixture_open(&f);
    receive(&f, "in", "sku", 1000);
    purchase(&f, "p", "sku", 1);
    reserve(&f, "live", "sku", 1, 1000000);
    fixture_pass(&f, 999);
    MUST(hf_poll(f.engine));
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_DUPLICATE);
    fixture_reopen(&f);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_DUPLICATE);
    fixture_pass(&f, 5000);
    MUST(hf_poll(f.engine));
    MUST(hf_poll(f.engine));
    EXPECT_OUTCOME(confirm(&f, "p"), HF_OUTCOME_NOT_FOUND);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_OK);
    cr_expect_eq(stats_of(&f).ids, 2u, "%llu ids", (unsigned long long)stats_of(&f).ids);
    EXPECT_OUTCOME(cancel(&f, "live"), HF_OUTCOME_OK);
    fixture_reopen(&f);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_DUPLICATE);
    EXPECT_STOCK(&f, "sku", 998, 0, 5);
    fixture_end(&f);
}

Test(restart, memory_of_ids_is_bounded_by_the_retention) {
    fixture f;
    uint64_t highest = 0, memory = 0;
    fixture_begin(&f);
    fixture_close(&f);
    f.options.retention_ms = 100;
    f.options.expected_reservations = 16;
    fixture_open(&f);
    for (uint64_t i = 0; i < 60000; i++) {
        hf_reply reply;
        MUST(hf_receive(f.session, harness_id(1, i), line_of("sku", 1), &reply));
        if (i % 10 == 0) {
            fixture_pass(&f, 1); /* some 1000 ids within the retention */
            MUST(hf_poll(f.engine));
        }
        hf_stats stats = stats_of(&f);
        highest = stats.ids > highest ? stats.ids : highest;
        memory = i == 20000 ? stats.memory_bytes : memory;
    }
    cr_expect_geq(highest, 990u, "%llu ids held", (unsigned long long)highest); /* ten a millisecond */
    cr_expect_lt(highest, 1100u, "%llu ids held", (unsigned long long)highest);
    cr_expect_leq(stats_of(&f).memory_bytes, memory + memory / 4, "memory grew from %llu to %llu",
                  (unsigned long long)memory, (unsigned long long)stats_of(&f).memory_bytes);
    cr_expect_geq(stats_of(&f).forgotten, 60000u - 1100u);
    fixture_end(&f);
}

/* What comes in a millisecond must go in about one, or ids pile up; but no turn may take long, since the clock stands meanwhile. */
Test(restart, what_expires_at_once_is_forgotten_in_large_steps) {
    enum { AT_ONCE = 40000, A_TURN = 16384, TURNS_OF_A_POLL = 2 };
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    fixture_close(&f);
    f.options.retention_ms = 100;
    fixture_open(&f);
    receive(&f, "in", "sku", AT_ONCE);
    hf_line line = line_of("sku", 1);
    for (uint64_t i = 0; i < AT_ONCE; i++) {
        MUST(hf_reserve(f.session, harness_id(1, i), &line, 1, 50, 0, &reply));
        EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    }
    fixture_pass(&f, 50);
    MUST(hf_poll(f.engine));
    cr_expect_eq(stats_of(&f).expired, (uint64_t)AT_ONCE);
    fixture_pass(&f, 100);
    MUST(hf_poll(f.engine));
    uint64_t forgotten = stats_of(&f).forgotten;
    cr_expect_geq(forgotten, (uint64_t)A_TURN);
    cr_expect_leq(forgotten, (uint64_t)TURNS_OF_A_POLL * A_TURN + 1); /* and the receipt, of another list */
    MUST(hf_poll(f.engine));
    cr_expect_geq(stats_of(&f).forgotten, (uint64_t)AT_ONCE);
    fixture_end(&f);
}

static void write_much(fixture *f, uint64_t from, uint64_t count) {
    for (uint64_t i = from; i < from + count; i++) {
        hf_reply reply;
        hf_line line = line_of("sku", 1);
        MUST(hf_receive(f->session, harness_id(3, i), line, &reply));
        MUST(hf_poll(f->engine)); /* an epoch each: a page of log */
    }
}

Test(restart, checkpoints_let_old_segments_go) {
    fixture f;
    fixture_begin(&f);
    write_much(&f, 0, 600); /* more than two segments of 256 pages */
    size_t before = harness_count(f.directory, "segment-");
    cr_expect_geq(before, 3u, "%zu segments", before);
    MUST(hf_checkpoint(f.engine));
    write_much(&f, 600, 300);
    MUST(hf_checkpoint(f.engine));
    write_much(&f, 900, 10);
    MUST(hf_checkpoint(f.engine));
    hf_stats stats = stats_of(&f);
    cr_expect_eq(stats.checkpoints, 3u);
    cr_expect_gt(stats.checkpoint_epoch, 0u);
    cr_expect_lt(harness_count(f.directory, "segment-"), before, "%zu segments were left",
                 harness_count(f.directory, "segment-"));
    cr_expect_leq(harness_count(f.directory, "checkpoint-"), 2u);
    write_much(&f, 910, 5);
    fixture_reopen(&f);
    EXPECT_STOCK(&f, "sku", 915, 0, 915);
    EXPECT_OUTCOME(submit(&f, (hf_op){.type = HF_OP_RECEIVE,
                                      .id = harness_id(3, 0),
                                      .lines = &(hf_line){.name = "sku", .name_length = 3, .quantity = 1},
                                      .line_count = 1}),
                   HF_OUTCOME_DUPLICATE);
    cr_expect_lt(stats_of(&f).replayed_epochs, 100u, "%llu epochs replayed",
                 (unsigned long long)stats_of(&f).replayed_epochs);
    fixture_end(&f);
}

Test(restart, the_checkpoint_before_is_a_fallback) {
    fixture f;
    fixture_begin(&f);
    write_much(&f, 0, 20);
    MUST(hf_checkpoint(f.engine));
    write_much(&f, 20, 300); /* into the next segment: the one that the older checkpoint needs must stay */
    uint64_t older = stats_of(&f).checkpoint_epoch;
    MUST(hf_checkpoint(f.engine));
    uint64_t newer = stats_of(&f).checkpoint_epoch;
    cr_assert_gt(newer, older);
    write_much(&f, 320, 5);
    fixture_close(&f);
    char path[HARNESS_PATH + 64];
    snprintf(path, sizeof path, "%s/checkpoint-%016llx", f.directory, (unsigned long long)newer);
    FILE *file = fopen(path, "r+");
    cr_assert(file, "%s is not there", path);
    fseek(file, 200, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, 200, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    fixture_open(&f);
    EXPECT_STOCK(&f, "sku", 325, 0, 325);
    fixture_end(&f);
}

/* Within an epoch the log has the first session's records first: what ends a reservation comes before its beginning. */
Test(restart, an_end_that_stands_before_its_beginning) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    MUST(hf_poll(f.engine));
    hf_session *second;
    MUST(hf_session_open(f.engine, NULL, &second));
    hf_line line = line_of("sku", 2);
    hf_reply reply;
    MUST(hf_reserve(second, id_of("confirmed"), &line, 1, 1000, 7, &reply));
    EXPECT_OUTCOME(confirm(&f, "confirmed"), HF_OUTCOME_OK);
    MUST(hf_reserve(second, id_of("cancelled"), &line, 1, 1000, 7, &reply));
    EXPECT_OUTCOME(cancel(&f, "cancelled"), HF_OUTCOME_OK);
    hf_session_close(second);
    fixture_reopen(&f);
    EXPECT_STOCK(&f, "sku", 8, 0, 5);
    cr_expect_eq(stats_of(&f).live, 0u);
    EXPECT_OUTCOME(cancel(&f, "confirmed"), HF_OUTCOME_CONFLICT);
    EXPECT_OUTCOME(confirm(&f, "cancelled"), HF_OUTCOME_CONFLICT);
    fixture_end(&f);
}

Test(restart, many_reservations_and_tables_of_another_size) {
    fixture f;
    fixture_begin(&f);
    hf_reply reply;
    receive(&f, "in", "sku", 100000);
    for (uint64_t i = 0; i < 20000; i++) {
        hf_line line = line_of("sku", 1);
        int error;
        while ((error = hf_reserve(f.session, harness_id(1, i), &line, 1, 1000 + i, i, &reply)) == HF_EAGAIN) {
            MUST(hf_poll(f.engine));
        }
        MUST(error);
    }
    for (unsigned round = 0; round < 2; round++) {
        fixture_close(&f);
        f.options.shards = round ? 1 : 16;
        f.options.expected_reservations = 1;
        fixture_open(&f);
        cr_expect_eq(stats_of(&f).live, 20000u);
        EXPECT_STOCK(&f, "sku", 100000, 20000, 20001);
    }
    fixture_pass(&f, 1000 + 9999);
    MUST(hf_poll(f.engine));
    EXPECT_STOCK(&f, "sku", 100000, 10000, 30001);
    fixture_end(&f);
}
