/* Replay of logs made by hand: what no engine would have written is refused, and the words name the directory and the
 * epoch; what an engine writes seldom is read right; and the n-th allocation of an open fails, for every n. */
#include "tests/support/failing_memory.c"

#include "tests/support/made_log.c"

#include "engine/replay.h"
#include "wal/error.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* SKUs 1 to 3, of which sessions 1 ("one") and 2 ("two") have received 100 each, in an epoch of its own. */
static void begin(world *w) {
    made_world(w);
    w->options.ring_bytes = HF_RING_MIN;
    made_chunk(&w->log, 1, true);
    MADE_NAME(&w->log, SESSION, 1, "one");
    MADE_NAME(&w->log, SESSION, 2, "two");
    MADE_NAME(&w->log, SKU, 1, "a");
    MADE_NAME(&w->log, SKU, 2, "b");
    MADE_NAME(&w->log, SKU, 3, "c, whose name is so long that it has no room in its line");
    for (uint32_t sku = 1; sku <= 3; sku++) {
        MADE(&w->log, RECEIVE, .id = id_of(100 + sku), MADE_LINES({sku, 100, 0, 1}));
    }
    made_commit(&w->log);
}

static int open_result(world *w) { return hf_open_on(w->log.files, DIRECTORY, &w->options, &w->engine); }

static void open_engine(world *w) {
    made_close(&w->log);
    MUST(open_result(w));
    MUST(hf_session_open(w->engine, "one", &w->session));
}

/* Opened again: what recovery wrote is read, and nothing is left to be undone. */
static void reopen(world *w) {
    hf_stats stats;
    hf_session_close(w->session);
    MUST(hf_close(w->engine));
    MUST(open_result(w));
    MUST(hf_session_open(w->engine, "one", &w->session));
    hf_stats_read(w->engine, &stats);
    cr_expect_eq(stats.undone, 0, "recovery left something open");
}

/* What must hold then as well as now. */
#define REOPENED(w) for (int opened = 0; opened < 2; opened++, opened == 1 ? reopen(w) : (void)0)

static void end(world *w) {
    if (w->engine) {
        hf_session_close(w->session);
        MUST(hf_close(w->engine));
    }
    cr_expect_eq(hf_simulated_held(w->disk), 0, "handles are left open");
    hf_simulated_free(w->disk);
}

static void expect_stock(world *w, const char *name, int64_t on_hand, int64_t reserved) {
    hf_sku *sku;
    hf_stock stock;
    MUST(hf_sku_find(w->session, name, strlen(name), &sku));
    MUST(hf_sku_read(w->session, sku, &stock));
    cr_expect(stock.on_hand == on_hand && stock.reserved == reserved,
              "%s: on_hand %lld reserved %lld, expected %lld %lld", name, (long long)stock.on_hand,
              (long long)stock.reserved, (long long)on_hand, (long long)reserved);
}

static void expect_state(world *w, hf_id id, hf_state state) {
    hf_reservation found = {0};
    int error = hf_reservation_read(w->session, id, &found, NULL, 0);
    cr_expect(error == (state == HF_STATE_UNKNOWN ? HF_ENOTFOUND : HF_SUCCESS) && found.state == state,
              "%s, %s, expected %s", hf_error_name(error), hf_state_text(found.state), hf_state_text(state));
}

static uint64_t undone(const world *w) {
    hf_stats stats;
    hf_stats_read(w->engine, &stats);
    return stats.undone;
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static hf_step lines_of_one[HF_MAX_LINES];

/* Lines of one unit of SKU 1, from version `first` on. */
static const hf_step *fill_many(uint64_t first) {
    for (uint32_t i = 0; i < HF_MAX_LINES; i++) {
        lines_of_one[i] = (hf_step){1, 1, 0, first + i};
    }
    return lines_of_one;
}

static void a_step_of_no_sku(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(1), MADE_LINES({4, 1, 0, 1})); /* near those that there are */
}

static void a_step_of_no_sku_far_off(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RESERVE, .id = id_of(1), .ttl_ms = 1000, MADE_LINES({1, 1, 0, 2}, {100000, 1, 0, 1}));
}

static void two_numbers_of_a_sku(made_log *log) {
    made_chunk(log, 1, true);
    MADE_NAME(log, SKU, 4, "a");
    MADE_NAME(log, SKU, 5, "d"); /* not looked at any more */
}

static void two_skus_of_a_number(made_log *log) {
    made_chunk(log, 1, true);
    MADE_NAME(log, SKU, 1, "another");
}

static void two_numbers_of_a_session(made_log *log) {
    made_chunk(log, 1, true);
    MADE_NAME(log, SESSION, 7, "one");
}

static void a_zero_in_a_session_name(made_log *log) {
    made_chunk(log, 1, true);
    MADE(log, SESSION, .number = 7, .name = "a\0b", .name_length = 3);
}

static void no_line(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(1), .step_count = 0);
}

static void a_part_of_nothing(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, PURCHASE, .id = id_of(1), .parts = HF_PART_CONTINUED, MADE_LINES({1, 1, 0, 2}));
    MADE(log, RECEIVE, .id = id_of(2), MADE_LINES({1, 1, 0, 3}));
    made_chunk(log, 2, false); /* not looked at any more */
    MADE(log, RECEIVE, .id = id_of(3), MADE_LINES({1, 1, 0, 4}));
}

/* Begun by another session, with another id, or as another operation. */
static void a_part_of_another(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, PURCHASE, .id = id_of(1), .parts = HF_PART_OPEN, MADE_LINES({1, 1, 0, 2}));
    made_chunk(log, 2, false);
    MADE(log, PURCHASE, .id = id_of(1), .parts = HF_PART_CONTINUED, MADE_LINES({1, 1, 0, 3}));
}

static void a_part_of_another_id(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, PURCHASE, .id = id_of(1), .parts = HF_PART_OPEN, MADE_LINES({1, 1, 0, 2}));
    MADE(log, PURCHASE, .id = id_of(2), .parts = HF_PART_CONTINUED, MADE_LINES({1, 1, 0, 3}));
}

static void too_many_lines(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(1), MADE_LINES({1, 10000, 0, 2}));
    MADE(log, RESERVE, .id = id_of(2), .ttl_ms = 1000, .parts = HF_PART_OPEN, MADE_LINES({1, 1, 0, 3}));
    MADE(log, RESERVE, .id = id_of(2), .ttl_ms = 1000, .parts = HF_PART_CONTINUED, .steps = fill_many(4),
         .step_count = HF_MAX_LINES);
}

static void a_change_of_what_has_ended(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, CANCEL, .id = id_of(101), .step = MADE_STEP(2), MADE_LINES({1, 1, 0, 2}));
}

/* Told before the ids themselves: found at the epoch's end only, and the second is not looked at. */
static void changes_of_what_will_have_ended(made_log *log) {
    made_chunk(log, 1, false);
    for (uint64_t i = 1; i <= 2; i++) {
        MADE(log, EXTEND, .id = id_of(i), .step = MADE_STEP(2), .ttl_ms = 1000);
    }
    made_chunk(log, 2, false);
    for (uint64_t i = 1; i <= 2; i++) {
        MADE(log, RECEIVE, .id = id_of(i), MADE_LINES({1, 1, 0, 1 + i}));
    }
}

static void a_gap_of_versions(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(1), MADE_LINES({1, 1, 0, 3}));
}

static void less_than_nothing(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, PURCHASE, .id = id_of(1), MADE_LINES({1, 101, 0, 2}));
}

static void the_end_of_a_chunk_behind_the_epoch(made_log *log) {
    static const uint8_t head[HF_CHUNK_HEADER] = {1, 0, 0, 0, 50, 0, 0, 0};
    made_bytes(log, head, sizeof head);
}

static void a_chunk_of_no_length(made_log *log) {
    static const uint8_t head[HF_CHUNK_HEADER] = {1};
    made_bytes(log, head, sizeof head);
}

static void bytes_behind_the_last_chunk(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(1), MADE_LINES({1, 1, 0, 2}));
    made_commit(log);
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(2), MADE_LINES({1, 1, 0, 3}));
    made_chunk(log, 1, false); /* its end is written over, */
    log->in_chunk = false;     /* and it has not even a head */
    log->length = log->chunk + HF_CHUNK_HEADER - 1;
    memset(log->bytes + log->chunk, 1, HF_CHUNK_HEADER - 1);
    hf_chunk_header(log->bytes, 1, log->chunk - HF_CHUNK_HEADER, false);
}

static void a_record_of_no_type(made_log *log) {
    made_chunk(log, 1, false);
    made_bytes(log, "", 1);
}

static void a_record_of_no_type_among_names(made_log *log) {
    made_chunk(log, 1, true);
    MADE_NAME(log, SKU, 4, "d");
    made_bytes(log, "", 1);
}

/* It never ends, so no reservation would come of it. */
static void an_open_operation_of_too_many_lines(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(8), MADE_LINES({1, 100000, 0, 2}));
    MADE(log, PURCHASE, .id = id_of(9), .parts = HF_PART_OPEN, .steps = fill_many(3), .step_count = HF_MAX_LINES);
    MADE(log, PURCHASE, .id = id_of(9), .parts = HF_PART_OPEN | HF_PART_CONTINUED, .steps = fill_many(3 + HF_MAX_LINES),
         .step_count = 1);
}

/* Sold was what an operation had brought that is to be undone. */
static void an_open_operation_whose_units_are_gone(made_log *log) {
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(8), .parts = HF_PART_OPEN, MADE_LINES({1, 5, 0, 2}));
    made_chunk(log, 2, false);
    MADE(log, PURCHASE, .id = id_of(9), MADE_LINES({1, 105, 0, 3}));
}

static void a_session_beyond_all(made_log *log) {
    made_chunk(log, UINT32_MAX, false);
    MADE(log, RECEIVE, .id = id_of(8), MADE_LINES({1, 1, 0, 2}));
}

static const struct refusal {
    const char *name;
    void (*make)(made_log *log); /* the epoch that is refused, the last one */
    const char *words;
} refusals[] = {
#define X(function, words) {#function, function, words},
    // clang-format off
    X(a_step_of_no_sku, "a step of a SKU that was never named")
    X(a_step_of_no_sku_far_off, "a step of a SKU that was never named")
    X(two_numbers_of_a_sku, "one SKU has two numbers, or one number two SKUs")
    X(two_skus_of_a_number, "one SKU has two numbers, or one number two SKUs")
    X(two_numbers_of_a_session, "one session has two numbers")
    X(a_zero_in_a_session_name, "a session's name has a zero byte")
    X(no_line, "an operation without a line")
    X(a_part_of_nothing, "a record goes on with an operation that did not begin")
    X(a_part_of_another, "a record goes on with an operation that did not begin")
    X(a_part_of_another_id, "a record goes on with an operation that did not begin")
    X(too_many_lines, "too many lines")
    X(a_change_of_what_has_ended, "an id that has ended is changed")
    X(changes_of_what_will_have_ended, "an id that has ended is changed")
    X(a_gap_of_versions, "expected no gap and no repeat")
    X(less_than_nothing, "on_hand -1, reserved 0")
    X(the_end_of_a_chunk_behind_the_epoch, "a chunk is malformed")
    X(a_chunk_of_no_length, "a chunk is malformed")
    X(bytes_behind_the_last_chunk, "a chunk is malformed")
    X(a_record_of_no_type, "a record is malformed")
    X(a_record_of_no_type_among_names, "a record is malformed")
    X(an_open_operation_of_too_many_lines, "too many lines")
    X(an_open_operation_whose_units_are_gone, "an operation that was left open has taken what was not there")
    X(a_session_beyond_all, "a chunk is malformed")
    // clang-format on
#undef X
};

static void expect_refusal(const struct refusal *refusal) {
    world w;
    char epoch[40];
    begin(&w);
    refusal->make(&w.log);
    snprintf(epoch, sizeof epoch, "epoch %llu:", (unsigned long long)w.log.epoch);
    made_commit(&w.log);
    made_close(&w.log);
    int error = open_result(&w);
    const char *detail = hf_error_detail();
    cr_expect(error == HF_ECORRUPT && w.engine == NULL, "%s: %s", refusal->name, hf_error_name(error));
    cr_expect(strstr(detail, DIRECTORY) && strstr(detail, epoch) && strstr(detail, refusal->words),
              "%s: \"%s\", expected %s %s", refusal->name, detail, epoch, refusal->words);
    end(&w);
}

Test(replay, refuses_what_no_engine_writes_by_directory_and_epoch) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        expect_refusal(&refusals[i]);
    }
}

/* Fewer ids are allowed than there are: said, and nothing is lost by it. */
Test(replay, more_ids_than_max_reservations) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    for (uint64_t i = 0; i < 200; i++) {
        MADE(&w.log, RECEIVE, .id = id_of(1000 + i), MADE_LINES({1, 1, 0, 2 + i}));
    }
    made_commit(&w.log);
    made_close(&w.log);
    w.options.max_reservations = 128;
    cr_expect_eq(open_result(&w), HF_EIDS);
    cr_expect(strstr(hf_error_detail(), "max_reservations is 128") && strstr(hf_error_detail(), DIRECTORY), "%s",
              hf_error_detail());
    w.options.max_reservations = 1 << 20;
    MUST(open_result(&w));
    MUST(hf_session_open(w.engine, "one", &w.session));
    expect_stock(&w, "a", 300, 0);
    end(&w);
}

/* ---- what is read ------------------------------------------------------------------------------------------------ */

/* Positions of sessions that take turns, one of them without a name; and numbers that do not come in order. */
Test(replay, positions_go_to_the_session_that_told_them) {
    world w;
    hf_session *two, *late, *next;
    begin(&w);
    made_chunk(&w.log, 9, true);
    MADE_NAME(&w.log, SESSION, 9, "nine");
    MADE_NAME(&w.log, SESSION, 5, "five, named later");
    MADE(&w.log, RECEIVE, .id = id_of(1), .position = 70, MADE_LINES({1, 1, 0, 2}));
    made_chunk(&w.log, 1, false);
    MADE(&w.log, RECEIVE, .id = id_of(2), .position = 11, MADE_LINES({1, 1, 0, 3}));
    MADE(&w.log, RECEIVE, .id = id_of(3), .position = 10, MADE_LINES({1, 1, 0, 4})); /* not back */
    made_chunk(&w.log, 2, false);
    MADE(&w.log, RECEIVE, .id = id_of(4), .position = 22, MADE_LINES({1, 1, 0, 5}));
    made_chunk(&w.log, 77, false);
    MADE(&w.log, RECEIVE, .id = id_of(5), .position = 99, MADE_LINES({1, 1, 0, 6}));
    made_commit(&w.log);
    open_engine(&w);
    MUST(hf_session_open(w.engine, "two", &two));
    MUST(hf_session_open(w.engine, "nine", &late));
    MUST(hf_session_open(w.engine, "new", &next));
    cr_expect_eq(hf_session_position(w.session), 11u);
    cr_expect_eq(hf_session_position(two), 22u);
    cr_expect_eq(hf_session_position(late), 70u);
    cr_expect(next->number > 77, "number %u was used before", next->number);
    expect_stock(&w, "a", 105, 0);
    hf_session_close(two);
    hf_session_close(late);
    hf_session_close(next);
    end(&w);
}

/* The engine forgets by its clock, replay by the log's: a late confirmation may be of an id that replay does not know
 * any more. */
Test(replay, remembers_a_late_confirmation_of_an_id_it_had_forgotten) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, CONFIRM_LATE, .id = id_of(1), .step = MADE_STEP(3), MADE_LINES({1, 4, 0, 2}));
    MADE(&w.log, EXPIRE, .id = id_of(2), .step = MADE_STEP(2)); /* of which there is nothing to remember */
    made_commit(&w.log);
    open_engine(&w);
    REOPENED(&w) {
        expect_state(&w, id_of(1), HF_STATE_CONFIRMED);
        expect_state(&w, id_of(2), HF_STATE_UNKNOWN);
        expect_stock(&w, "a", 96, 0);
    }
    end(&w);
}

/* Of one session and type: told apart by id, and by step. */
Test(replay, undoes_each_of_a_session_s_open_operations) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, PURCHASE, .id = id_of(1), .parts = HF_PART_OPEN, MADE_LINES({1, 10, 0, 2}));
    MADE(&w.log, PURCHASE, .id = id_of(2), .parts = HF_PART_OPEN, MADE_LINES({1, 20, 0, 3}));
    MADE(&w.log, PURCHASE, .id = id_of(2), .parts = HF_PART_CONTINUED, MADE_LINES({2, 5, 0, 2}));
    MADE(&w.log, RESERVE, .id = id_of(3), .ttl_ms = 100000, MADE_LINES({3, 7, 0, 2}, {2, 1, 0, 3}));
    MADE(&w.log, CONFIRM, .id = id_of(3), .step = MADE_STEP(2), .parts = HF_PART_OPEN, MADE_LINES({3, 7, 0, 3}));
    MADE(&w.log, CONFIRM, .id = id_of(3), .step = MADE_STEP(3), .parts = HF_PART_OPEN, MADE_LINES({2, 1, 0, 4}));
    MADE(&w.log, CONFIRM, .id = id_of(3), .step = MADE_STEP(3), .parts = HF_PART_CONTINUED | HF_PART_GIVE,
         .outcome = HF_OUTCOME_OUT_OF_STOCK, MADE_LINES({2, 1, 1, 5}));
    made_commit(&w.log);
    open_engine(&w);
    cr_expect_eq(undone(&w), 2u); /* the first purchase, and the confirmation of the second step */
    REOPENED(&w) {
        expect_stock(&w, "a", 80, 0);
        expect_stock(&w, "b", 95, 1);
        expect_stock(&w, "c, whose name is so long that it has no room in its line", 100, 7);
        expect_state(&w, id_of(1), HF_STATE_UNKNOWN);
        expect_state(&w, id_of(2), HF_STATE_CONFIRMED);
        expect_state(&w, id_of(3), HF_STATE_LIVE);
    }
    end(&w);
}

/* A release that was cut off owes each line of its reservation, also two of one SKU. */
Test(replay, completes_a_release_of_two_lines_of_one_sku) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, RESERVE, .id = id_of(1), .ttl_ms = 100000, MADE_LINES({1, 3, 0, 2}, {1, 4, 0, 3}));
    MADE(&w.log, CANCEL, .id = id_of(1), .step = MADE_STEP(2), .parts = HF_PART_OPEN, .step_count = 0);
    made_commit(&w.log);
    open_engine(&w);
    cr_expect_eq(undone(&w), 1u);
    REOPENED(&w) {
        expect_stock(&w, "a", 100, 0);
        expect_state(&w, id_of(1), HF_STATE_CANCELLED);
    }
    end(&w);
}

/* All of a release stands before its reservation, in chunks of one epoch: nothing is owed when the two meet. */
Test(replay, a_whole_release_told_before_its_reservation_owes_nothing) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, CANCEL, .id = id_of(1), .step = MADE_STEP(2), .parts = HF_PART_OPEN, MADE_LINES({1, 3, 0, 3}));
    MADE(&w.log, CANCEL, .id = id_of(1), .step = MADE_STEP(2), .parts = HF_PART_CONTINUED, MADE_LINES({2, 1, 0, 3}));
    made_chunk(&w.log, 2, false);
    MADE(&w.log, RESERVE, .id = id_of(1), .ttl_ms = 100000, MADE_LINES({1, 3, 0, 2}, {2, 1, 0, 2}));
    made_commit(&w.log);
    open_engine(&w);
    cr_expect_eq(undone(&w), 0u);
    REOPENED(&w) {
        expect_stock(&w, "a", 100, 0);
        expect_stock(&w, "b", 100, 0);
        expect_state(&w, id_of(1), HF_STATE_CANCELLED);
    }
    end(&w);
}

/* Read-only has no ring to write it to, and sees the same. */
Test(replay, undoes_for_a_reader_too) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, PURCHASE, .id = id_of(1), .parts = HF_PART_OPEN, MADE_LINES({1, 10, 0, 2}));
    made_commit(&w.log);
    made_close(&w.log);
    w.options.flags |= HF_READ_ONLY;
    MUST(open_result(&w));
    MUST(hf_session_open(w.engine, NULL, &w.session));
    cr_expect_eq(undone(&w), 1u);
    expect_stock(&w, "a", 100, 0);
    expect_state(&w, id_of(1), HF_STATE_UNKNOWN);
    end(&w);
}

/* Told of an id that is not there, with a SKU twice: nothing is owed, and nothing dies of it. */
Test(replay, a_release_of_nothing_owes_nothing) {
    world w;
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, RESERVE, .id = id_of(1), .ttl_ms = 100000, MADE_LINES({1, 3, 0, 2}, {2, 1, 0, 2}));
    MADE(&w.log, CANCEL, .id = id_of(2), .step = MADE_STEP(2), .parts = HF_PART_OPEN,
         MADE_LINES({1, 1, 0, 3}, {2, 1, 0, 3}));
    MADE(&w.log, CANCEL, .id = id_of(2), .step = MADE_STEP(2), .parts = HF_PART_OPEN | HF_PART_CONTINUED,
         MADE_LINES({1, 1, 0, 4}));
    made_commit(&w.log);
    open_engine(&w);
    cr_expect_eq(undone(&w), 1u);
    REOPENED(&w) {
        expect_stock(&w, "a", 100, 1); /* as the steps say */
        expect_stock(&w, "b", 100, 0);
    }
    end(&w);
}

/* ---- beside a checkpoint ----------------------------------------------------------------------------------------- */

/* A checkpoint of SKU "a" with 50 units, version 9, from which replay starts at the epoch in the making. */
static void make_checkpoint(world *w) {
    static const uint8_t sku[] = {1, 1, 'a', 50, 0, 9};
    made_checkpoint c;
    made_checkpoint_begin(&c);
    made_block(&c, MADE_SKUS);
    made_entry(&c, sku, sizeof sku);
    made_end(&c);
    made_checkpoint_write(&c, &w->log, (hf_wal_position){w->log.epoch, 1, w->log.epoch - 1}, 1);
}

/* In its first epoch a part without a beginning is one that the checkpoint has; one whose beginning is there is not. */
Test(replay, what_began_before_the_checkpoint_is_in_it) {
    world w;
    begin(&w);
    make_checkpoint(&w);
    made_chunk(&w.log, 1, true);
    MADE_NAME(&w.log, SKU, 1, "a"); /* made while the checkpoint's scan went by: both name it */
    MADE(&w.log, PURCHASE, .id = id_of(1), .parts = HF_PART_CONTINUED,
         MADE_LINES({1, 30, 0, 9})); /* the checkpoint has it */
    MADE(&w.log, PURCHASE, .id = id_of(2), .parts = HF_PART_OPEN, MADE_LINES({1, 3, 0, 10}));
    MADE(&w.log, PURCHASE, .id = id_of(2), .parts = HF_PART_CONTINUED, MADE_LINES({1, 2, 0, 11}));
    made_chunk(&w.log, 0, false); /* what recovery gives back goes on with nothing that must be there */
    MADE(&w.log, PURCHASE, .id = id_of(3), .parts = HF_PART_CONTINUED | HF_PART_GIVE | HF_PART_RECOVERY,
         .outcome = HF_OUTCOME_IN_PROGRESS, MADE_LINES({1, 1, 1, 12}));
    made_commit(&w.log);
    open_engine(&w);
    cr_expect_eq(undone(&w), 0u);
    REOPENED(&w) {
        expect_stock(&w, "a", 46, 0);
        expect_state(&w, id_of(1), HF_STATE_UNKNOWN);
        expect_state(&w, id_of(2), HF_STATE_CONFIRMED);
    }
    end(&w);
}

Test(replay, in_a_later_epoch_it_must_have_begun) {
    world w;
    begin(&w);
    make_checkpoint(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, RECEIVE, .id = id_of(1), MADE_LINES({1, 1, 0, 10}));
    made_commit(&w.log);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, PURCHASE, .id = id_of(2), .parts = HF_PART_CONTINUED, MADE_LINES({1, 3, 0, 11}));
    made_commit(&w.log);
    made_close(&w.log);
    cr_expect_eq(open_result(&w), HF_ECORRUPT);
    cr_expect(strstr(hf_error_detail(), "epoch 3: a record goes on with an operation that did not begin"), "%s",
              hf_error_detail());
    end(&w);
}

/* ---- room in the ring -------------------------------------------------------------------------------------------- */

/* The open makes the ring fit; who does not, is told. */
Test(replay, resolving_says_that_the_ring_is_too_small) {
    world w;
    hf_replay *replay;
    enum { OPEN = 16 };
    begin(&w);
    open_engine(&w);
    made_log log = {.bytes = malloc(MADE_ROOM)};
    for (uint32_t i = 0; i < OPEN; i++) {
        made_chunk(&log, 10 + i, i == 0);
        if (i == 0) {
            MADE_NAME(&log, SKU, 1, "a");
            MADE(&log, RECEIVE, .id = id_of(99), MADE_LINES({1, 10000000, 0, 1}));
        }
        MADE(&log, PURCHASE, .id = id_of(i), .parts = HF_PART_OPEN, .steps = fill_many(2 + (uint64_t)i * HF_MAX_LINES),
             .step_count = HF_MAX_LINES);
    }
    made_end_chunk(&log);
    MUST(hf_replay_begin(w.engine, &replay));
    MUST(hf_replay_epoch(replay, &(hf_wal_epoch){.epoch = 7, .payload = log.bytes, .length = log.length}));
    MUST(hf_replay_finish(replay));
    cr_expect_gt(hf_replay_room(replay), w.engine->keeper->ring.size);
    cr_expect_eq(hf_replay_resolve(replay), HF_ENOMEM);
    cr_expect(strstr(hf_error_detail(), "ring_bytes is") && strstr(hf_error_detail(), "what recovery has to write"),
              "%s", hf_error_detail());
    hf_replay_free(replay);
    free(log.bytes);
    end(&w);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Whatever replay keeps in memory of its own: SKUs of long names and far numbers, operations left open, changes put
 * aside, blocks. */
static void make_everything(world *w) {
    made_log *log = &w->log;
    char name[100];
    made_chunk(log, 1, true);
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "a SKU with a name that is too long for its line of the table, number %u", i);
        MADE_NAME(log, SKU, 1000 * i + 10, name);
    }
    MADE(log, RESERVE, .id = id_of(1), .ttl_ms = 1000000, MADE_LINES({1, 1, 0, 2}, {2, 1, 0, 2}, {3, 1, 0, 2}));
    MADE(log, RESERVE, .id = id_of(2), .ttl_ms = 1000000, MADE_LINES({1, 1, 0, 3}, {2, 1, 0, 3}, {3, 1, 0, 3}));
    MADE(log, CANCEL, .id = id_of(1), .step = MADE_STEP(2), .parts = HF_PART_OPEN, .step_count = 0);
    MADE(log, PURCHASE, .id = id_of(3), .parts = HF_PART_OPEN, MADE_LINES({1, 1, 0, 4}, {2, 1, 0, 4}));
    MADE(log, CANCEL, .id = id_of(2), .step = MADE_STEP(2), .parts = HF_PART_OPEN,
         MADE_LINES({1, 1, 0, 5}, {2, 1, 0, 5}));
    MADE(log, EXTEND, .id = id_of(5), .step = MADE_STEP(2), .ttl_ms = 5000000);
    MADE(log, EXTEND, .id = id_of(6), .step = MADE_STEP(2), .ttl_ms = 5000000);
    made_chunk(log, 2, false);
    MADE(log, RESERVE, .id = id_of(5), .ttl_ms = 1000000, MADE_LINES({1, 1, 0, 6}));
    MADE(log, RESERVE, .id = id_of(6), .ttl_ms = 1000000, MADE_LINES({1, 1, 0, 7}));
    made_commit(log);
}

/* As many ids and blocks of lines as one step of the pools' growth has room for, and more; live ones, for the wheels.
 */
static void make_many(world *w) {
    made_log *log = &w->log;
    uint64_t version = 2;
    made_chunk(log, 1, false);
    MADE(log, RECEIVE, .id = id_of(99), MADE_LINES({1, 10000000, 0, version}));
    for (uint64_t i = 0; i < HF_POOL_STEP + 1000; i++) {
        MADE(log, RESERVE, .id = id_of(1000 + i), .ttl_ms = 1000000 + i, MADE_LINES({1, 1, 0, ++version}));
    }
    made_commit(log);
    made_chunk(log, 2, false);
    for (uint64_t i = 0; i * (HF_MAX_LINES / HF_BLOCK_LINES) < HF_POOL_STEP + 1000; i++) {
        MADE(log, RESERVE, .id = id_of(i), .ttl_ms = 1000000, .steps = fill_many(version + 1),
             .step_count = HF_MAX_LINES);
        version += HF_MAX_LINES;
    }
    made_commit(log);
}

/* The n-th allocation of an open fails, for each n: said, nothing is left over, and then it opens. */
static void lack_memory(void (*make)(world *w), unsigned kinds, uint64_t least) {
    world w;
    uint64_t refused = 0;
    bool failed = true;
    begin(&w);
    make(&w);
    made_close(&w.log);
    for (uint64_t n = 1; failed; n++) {
        hf_simulated *disk = hf_simulated_crash(w.disk, HF_CRASH_KEEP, 1);
        w.log.files = hf_simulated_files(disk);
        memory_fail(kinds, n, n % 2 ? 1 : UINT64_MAX);
        int error = open_result(&w);
        failed = memory_failed();
        refused += error != HF_SUCCESS;
        CHECK(error == HF_SUCCESS || (error == HF_ENOMEM && failed && hf_error_detail()[0]), "allocation %llu: %s",
              (unsigned long long)n, hf_error_name(error));
        MUST(hf_close(w.engine));
        CHECK(hf_simulated_held(disk) == 0, "allocation %llu: handles are left open", (unsigned long long)n);
        hf_simulated_free(disk);
    }
    cr_expect_geq(refused, least, "only %llu opens were refused", (unsigned long long)refused);
    w.log.files = hf_simulated_files(w.disk);
    MUST(open_result(&w));
    MUST(hf_session_open(w.engine, "one", &w.session));
    end(&w);
}

Test(replay, says_when_memory_is_missing) { lack_memory(make_everything, MEMORY_HEAP, 20); }
Test(replay, says_when_memory_for_ids_and_lines_is_missing) { lack_memory(make_many, MEMORY_MAPS, 5); }
Test(replay, says_when_memory_for_many_is_missing) { lack_memory(make_many, MEMORY_HEAP, 5); }

/* ---- the log's reader -------------------------------------------------------------------------------------------- */

/* What could not be read is not gone round: the second call says what the first did. */
Test(replay, a_reader_stops_for_good_where_a_chunk_is_malformed) {
    char directory[HARNESS_PATH];
    made_log made;
    hf_log *log;
    hf_record record;
    harness_directory(directory);
    made_open(&made, hf_files_system(), directory);
    made_chunk(&made, 1, true);
    MADE_NAME(&made, SKU, 1, "a");
    MADE(&made, RECEIVE, .id = id_of(1), MADE_LINES({1, 1, 0, 1}));
    made_commit(&made);
    made_chunk(&made, 1, false);
    MADE(&made, RECEIVE, .id = id_of(2), MADE_LINES({1, 1, 0, 2}));
    made_end_chunk(&made);
    made_bytes(&made, "\1\0\0\0\377\0\0\0", 8); /* a chunk that says it is longer than what is left */
    made_commit(&made);
    made_close(&made);
    MUST(hf_log_open(directory, 0, &log));
    cr_expect_eq(hf_log_next(log, &record), 1);
    cr_expect_eq(hf_log_next(log, &record), 1);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(hf_log_next(log, &record), HF_ECORRUPT, "call %d", i);
        cr_expect(strstr(hf_error_detail(), directory) && strstr(hf_error_detail(), "epoch 2:"), "%s", hf_error_detail());
    }
    hf_log_close(log);
    harness_remove(directory);
}
