/* hf_log_*: following a directory's durable records. */
#include "fixture.h"

#include "audit.h"

/* The next record that is of an operation; NULL: none for now. */
static const hf_record *next_operation(hf_log *log) {
    static hf_record record;
    int more;
    while ((more = hf_log_next(log, &record)) > 0) {
        if (record.type < HF_RECORD_NOTE) {
            return &record;
        }
    }
    cr_assert_eq(more, 0, "%s: %s", hf_error_name(more), hf_error_detail());
    return NULL;
}

static hf_log *open_log(const fixture *f, uint64_t from_epoch) {
    hf_log *log = NULL;
    MUST(hf_log_open(f->directory, from_epoch, &log));
    return log;
}

Test(log, hands_out_what_is_durable_as_it_becomes_so) {
    fixture f;
    fixture_begin(&f);
    hf_log *log = open_log(&f, 0);
    hf_reply in = receive(&f, "in", "sku", 10);
    cr_expect_null(next_operation(log), "a record before it was durable");
    MUST(hf_poll(f.engine));
    const hf_record *record = next_operation(log);
    cr_assert(record);
    hf_id id = id_of("in");
    cr_expect_eq(record->type, HF_RECORD_RECEIVE);
    cr_expect_eq(memcmp(&record->id, &id, sizeof id), 0);
    cr_expect_eq(record->epoch, in.ticket);
    cr_expect_eq(record->time_ms, HARNESS_EPOCH_MS);
    cr_assert_eq(record->line_count, 1u);
    cr_expect(record->lines[0].name_length == 3 && memcmp(record->lines[0].name, "sku", 3) == 0);
    cr_expect(record->lines[0].on_hand_change == 10 && record->lines[0].reserved_change == 0);
    cr_expect(record->lines[0].quantity == 10 && record->lines[0].version == 1);
    cr_expect_null(next_operation(log));
    cr_expect_geq(hf_log_epoch(log), in.ticket);
    hf_reply reserved = reserve(&f, "r", "sku", 3, 100);
    MUST(hf_poll(f.engine));
    record = next_operation(log);
    cr_assert(record);
    cr_expect_eq(record->type, HF_RECORD_RESERVE);
    cr_expect_eq(record->deadline_ms, reserved.deadline_ms);
    cr_expect_eq(record->user, 42u);
    cr_expect(record->lines[0].on_hand_change == 0 && record->lines[0].reserved_change == 3);
    uint64_t step = record->step;
    fixture_pass(&f, 100);
    MUST(hf_poll(f.engine));
    record = next_operation(log);
    cr_assert(record, "no expiry in the log");
    cr_expect_eq(record->type, HF_RECORD_EXPIRE);
    cr_expect_gt(record->step, step);
    cr_expect_eq(record->lines[0].reserved_change, -3);
    hf_log_close(log);
    fixture_end(&f);
}

Test(log, every_operation_has_its_record) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    MUST(hf_adjust(f.session, id_of("adjust"), line_of("sku", -1), &reply));
    MUST(hf_count(f.session, id_of("count"), line_of("sku", 20), &reply));
    purchase(&f, "p", "sku", 2);
    reserve(&f, "a", "sku", 1, 100);
    reserve(&f, "b", "sku", 1, 100);
    reserve(&f, "c", "sku", 1, 10);
    MUST(hf_extend(f.session, id_of("a"), 200, &reply));
    confirm(&f, "a");
    cancel(&f, "b");
    fixture_pass(&f, 10);
    EXPECT_OUTCOME(confirm(&f, "c"), HF_OUTCOME_CONFIRMED_LATE);
    MUST(hf_poll(f.engine));
    audit *all = audit_log(f.directory, true);
    static const uint64_t expected[HF_RECORD_TYPE_END] = {
        [HF_RECORD_RECEIVE] = 1, [HF_RECORD_ADJUST] = 1,       [HF_RECORD_COUNT] = 1,  [HF_RECORD_PURCHASE] = 1,
        [HF_RECORD_RESERVE] = 3, [HF_RECORD_CONFIRM] = 1,      [HF_RECORD_CANCEL] = 1, [HF_RECORD_EXTEND] = 1,
        [HF_RECORD_EXPIRE] = 1,  [HF_RECORD_CONFIRM_LATE] = 1, [HF_RECORD_SKU] = 1,
    };
    for (int type = 1; type < HF_RECORD_TYPE_END; type++) {
        if (expected[type]) {
            cr_expect_eq(all->records[type], expected[type], "%llu records %s", (unsigned long long)all->records[type],
                         hf_record_text((hf_record_type)type));
        }
    }
    const audit_sku *sku = audit_find(all, "sku", 3);
    cr_assert(sku);
    cr_expect_eq(sku->version, stock_of(&f, "sku").version);
    cr_expect(sku->on_hand == 16 && sku->reserved == 0);
    audit_free(all);
    fixture_end(&f);
}

Test(log, begins_at_any_epoch) {
    fixture f;
    uint64_t tickets[20];
    fixture_begin(&f);
    for (unsigned i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%u", i);
        tickets[i] = receive(&f, id, "sku", 1 + (int64_t)i).ticket;
        MUST(hf_poll(f.engine));
    }
    for (unsigned i = 0; i < 20; i++) {
        hf_log *log = open_log(&f, tickets[i]);
        for (unsigned k = i; k < 20; k++) {
            const hf_record *record = next_operation(log);
            cr_assert(record, "from %u: nothing at %u", i, k);
            cr_expect_eq(record->lines[0].quantity, 1 + (int64_t)k);
        }
        cr_expect_null(next_operation(log));
        hf_log_close(log);
    }
    hf_log *log = open_log(&f, tickets[19] + 1); /* what comes */
    cr_expect_null(next_operation(log));
    receive(&f, "new", "sku", 77);
    MUST(hf_poll(f.engine));
    const hf_record *record = next_operation(log);
    cr_assert(record);
    cr_expect_eq(record->lines[0].quantity, 77);
    hf_log_close(log);
    fixture_end(&f);
}

/* Named behind the newest checkpoint, and before the epoch that is asked for; or with no checkpoint at all. */
Test(log, names_are_known_wherever_reading_begins) {
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        fixture f;
        fixture_begin(&f);
        receive(&f, "a", "early", 10);
        MUST(hf_poll(f.engine));
        if (checkpoint) {
            MUST(hf_checkpoint(f.engine));
        }
        receive(&f, "b", "late", 10);
        MUST(hf_poll(f.engine));
        uint64_t before = hf_durable(f.engine);
        hf_log *ahead = open_log(&f, before + 1);
        cr_expect_geq(hf_log_epoch(ahead), before, "what lies before is not waited for");
        cr_expect_null(next_operation(ahead));
        cr_expect_eq(hf_log_epoch(ahead), before);
        uint64_t epoch = purchase(&f, "p", "late", 1).ticket;
        cr_expect_gt(epoch, before);
        MUST(hf_poll(f.engine));
        hf_log *behind = open_log(&f, epoch);
        hf_log *logs[] = {ahead, behind};
        for (int i = 0; i < 2; i++) {
            const hf_record *record = next_operation(logs[i]);
            cr_assert(record && record->epoch == epoch, "the first record is not of the epoch that was asked for");
            cr_assert_not_null(record->lines[0].name, "%s a checkpoint", checkpoint ? "with" : "without");
            cr_expect(record->lines[0].name_length == 4 && memcmp(record->lines[0].name, "late", 4) == 0);
            cr_expect_null(next_operation(logs[i]));
            hf_log_close(logs[i]);
        }
        fixture_end(&f);
    }
}

/* What is read for names only may be let go meanwhile; what was asked for was not. */
Test(log, checkpoints_that_are_taken_meanwhile_do_no_harm) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "a", "early", 10);
    MUST(hf_poll(f.engine));
    MUST(hf_checkpoint(f.engine));
    receive(&f, "b", "late", 10);
    for (unsigned i = 0; i < 900; i++) { /* an epoch each: more than three segments */
        hf_reply reply;
        MUST(hf_receive(f.session, harness_id(1, i), line_of("early", 1), &reply));
        MUST(hf_poll(f.engine));
    }
    hf_log *log = open_log(&f, hf_durable(f.engine) + 1);
    MUST(hf_checkpoint(f.engine));
    MUST(hf_checkpoint(f.engine));
    MUST(hf_checkpoint(f.engine));
    uint64_t epoch = purchase(&f, "p", "late", 1).ticket;
    MUST(hf_poll(f.engine));
    const hf_record *record = next_operation(log);
    cr_assert(record && record->epoch == epoch);
    cr_assert(record->lines[0].name && record->lines[0].name_length == 4 && memcmp(record->lines[0].name, "late", 4) == 0);
    hf_log_close(log);
    fixture_end(&f);
}

Test(log, follows_over_segments_and_restarts) {
    fixture f;
    unsigned seen = 0;
    fixture_begin(&f);
    hf_log *log = open_log(&f, 0);
    for (unsigned i = 0; i < 700; i++) { /* an epoch each: nearly three segments */
        hf_reply reply;
        MUST(hf_receive(f.session, harness_id(1, i), line_of("sku", 1 + (int64_t)i), &reply));
        MUST(hf_poll(f.engine));
        if (i % 150 == 149) {
            fixture_reopen(&f);
        }
        for (const hf_record *record; i % 7 == 0 && (record = next_operation(log)); seen++) {
            cr_assert_eq(record->lines[0].quantity, 1 + (int64_t)seen);
        }
    }
    for (const hf_record *record; (record = next_operation(log)); seen++) {
        cr_assert_eq(record->lines[0].quantity, 1 + (int64_t)seen);
    }
    cr_expect_eq(seen, 700u);
    hf_log_close(log);
    fixture_end(&f);
}

Test(log, notes_carry_what_was_answered) {
    fixture f;
    hf_line line = line_of("nobody", 1);
    bool noted = false;
    hf_record record;
    fixture_begin(&f);
    hf_session_close(f.session);
    MUST(hf_session_open(f.engine, "file", &f.session));
    hf_op op = {.type = HF_OP_PURCHASE, .id = id_of("p"), .lines = &line, .line_count = 1, .position = 9};
    EXPECT_OUTCOME(submit(&f, op), HF_OUTCOME_UNKNOWN_SKU);
    MUST(hf_poll(f.engine));
    hf_log *log = open_log(&f, 0);
    while (hf_log_next(log, &record) > 0) {
        if (record.type == HF_RECORD_NOTE) {
            noted = true;
            cr_expect_eq(record.position, 9u);
            cr_expect_eq(record.outcome, HF_OUTCOME_UNKNOWN_SKU);
        }
    }
    cr_expect(noted, "a refusal with a position left no note");
    hf_log_close(log);
    fixture_end(&f);
}

Test(log, errors) {
    fixture f;
    hf_log *log;
    fixture_begin(&f);
    EXPECT_ERROR(hf_log_open("/nonexistent-directory", 0, &log), HF_ENOTFOUND);
    char empty[HARNESS_PATH];
    harness_directory(empty);
    EXPECT_ERROR(hf_log_open(empty, 0, &log), HF_ENOTFOUND);
    harness_remove(empty);
    for (unsigned i = 0; i < 600; i++) {
        hf_reply reply;
        MUST(hf_receive(f.session, harness_id(1, i), line_of("sku", 1), &reply));
        MUST(hf_poll(f.engine));
        if (i % 290 == 289) {
            MUST(hf_checkpoint(f.engine));
        }
    }
    MUST(hf_checkpoint(f.engine));
    MUST(hf_checkpoint(f.engine));
    EXPECT_ERROR(hf_log_open(f.directory, 2, &log), HF_ENOTFOUND); /* no longer kept */
    MUST(hf_log_open(f.directory, 0, &log));                       /* the oldest kept */
    hf_record record;
    cr_expect_gt(hf_log_next(log, &record), 0);
    cr_expect_gt(record.epoch, 2u);
    hf_log_close(log);
    fixture_end(&f);
}
