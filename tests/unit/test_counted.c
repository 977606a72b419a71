/* A stock count in the midst of an operation that comes to nothing: what was counted stands, and nothing is added to it. */
#include <criterion/criterion.h>

#include "engine/engine.h"
#include "engine/stock.h"
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include <pthread.h>
#include <string.h>

static hf_engine *engine;

typedef struct fixture {
    char directory[HARNESS_PATH];
    harness_clock clock;
    hf_options options;
    hf_session *session;
    hf_sku *sku;
} fixture;

static void open_engine(fixture *f) {
    MUST(hf_open(f->directory, &f->options, &engine));
    MUST(hf_session_open(engine, NULL, &f->session));
}

static void begin(fixture *f) {
    hf_reply reply;
    memset(f, 0, sizeof *f);
    harness_directory(f->directory);
    harness_clock_set(&f->clock, HARNESS_EPOCH_MS);
    harness_options(&f->options, HF_NO_THREADS, &f->clock);
    open_engine(f);
    MUST(hf_receive(f->session, harness_id(1, 1), (hf_line){.name = "sku", .name_length = 3, .quantity = 10}, &reply));
    MUST(hf_sku_find(f->session, "sku", 3, &f->sku));
}

static void *count_twelve(void *context) {
    fixture *f = context;
    hf_session *other;
    hf_reply reply;
    MUST(hf_session_open(engine, NULL, &other));
    MUST(hf_count(other, harness_id(1, 2), (hf_line){.sku = f->sku, .quantity = 12}, &reply));
    hf_session_close(other);
    return NULL;
}

static void *receive_two(void *context) {
    fixture *f = context;
    hf_session *other;
    hf_reply reply;
    MUST(hf_session_open(engine, NULL, &other));
    MUST(hf_receive(other, harness_id(1, 3), (hf_line){.sku = f->sku, .quantity = 2}, &reply));
    hf_session_close(other);
    return NULL;
}

static void meanwhile(fixture *f, void *(*what)(void *)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, what, f) == 0, "a thread");
    pthread_join(thread, NULL);
}

/* Takes three units as the first line of an operation; returns the version of that step. */
static uint64_t take_three(fixture *f, hf_record_type type) {
    hf_counter counter;
    hf_id id = harness_id(9, 1);
    hf_part_begin(&f->session->part, type, &id, HARNESS_EPOCH_MS, 5);
    CHECK(hf_stock_take(f->session, type, f->sku, 3, 0, &counter) == HF_STEP_DONE, "the first line");
    return counter.version;
}

static void expect_stock(fixture *f, int64_t on_hand, int64_t reserved) {
    hf_stock stock;
    hf_sku *sku;
    MUST(hf_sku_find(f->session, "sku", 3, &sku));
    MUST(hf_sku_read(f->session, sku, &stock));
    cr_expect(stock.on_hand == on_hand && stock.reserved == reserved, "on_hand %lld reserved %lld, expected %lld %lld",
              (long long)stock.on_hand, (long long)stock.reserved, (long long)on_hand, (long long)reserved);
}

/* The second line is gone: what was taken is given back, after what another did in between. */
static void undo(fixture *f, hf_record_type type, void *(*between)(void *), void *(*after)(void *)) {
    hf_section_enter();
    uint64_t version = take_three(f, type);
    meanwhile(f, between);
    if (after) {
        meanwhile(f, after);
    }
    hf_part_give_back(&f->session->part);
    (void)hf_stock_give_back(f->session, type, f->sku, 3, version);
    (void)hf_part_end(&f->session->part, HF_OUTCOME_OUT_OF_STOCK, 0);
    hf_section_leave();
}

static void end(fixture *f, int64_t on_hand, int64_t reserved) {
    expect_stock(f, on_hand, reserved);
    MUST(hf_poll(engine));
    audit_compare(f->directory, f->session);
    hf_session_close(f->session);
    MUST(hf_close(engine));
    open_engine(f);
    expect_stock(f, on_hand, reserved);
    audit_compare(f->directory, f->session);
    hf_session_close(f->session);
    MUST(hf_close(engine));
    harness_remove(f->directory);
}

Test(counted, a_purchase_undone_after_a_count_adds_nothing_to_it) {
    fixture f;
    begin(&f);
    undo(&f, HF_RECORD_PURCHASE, count_twelve, NULL);
    end(&f, 12, 0);
}

Test(counted, and_neither_after_further_steps) {
    fixture f;
    begin(&f);
    undo(&f, HF_RECORD_PURCHASE, count_twelve, receive_two);
    end(&f, 14, 0);
}

Test(counted, without_a_count_all_comes_back) {
    fixture f;
    begin(&f);
    undo(&f, HF_RECORD_PURCHASE, receive_two, NULL);
    end(&f, 12, 0);
}

Test(counted, a_count_before_the_taking_changes_nothing) {
    fixture f;
    begin(&f);
    meanwhile(&f, count_twelve);
    undo(&f, HF_RECORD_PURCHASE, receive_two, NULL);
    end(&f, 14, 0);
}

Test(counted, a_confirmation_undone_gives_back_what_was_reserved_but_not_what_was_counted) {
    fixture f;
    hf_reply reply;
    begin(&f);
    hf_line line = {.sku = f.sku, .quantity = 3};
    MUST(hf_reserve(f.session, harness_id(1, 4), &line, 1, 1000, 0, &reply));
    undo(&f, HF_RECORD_CONFIRM, count_twelve, NULL);
    expect_stock(&f, 12, 3);
    MUST(hf_cancel(f.session, harness_id(1, 4), &reply));
    end(&f, 12, 0);
}

/* A crash leaves the purchase undecided; the count was in the same epoch, or in the next. */
static void crash_undecided(bool next_epoch) {
    fixture f, copy;
    begin(&f);
    hf_section_enter();
    (void)take_three(&f, HF_RECORD_PURCHASE);
    hf_part_append(&f.session->part, HF_PART_OPEN, HF_OUTCOME_OK, 0);
    hf_section_leave();
    if (next_epoch) {
        MUST(hf_poll(engine));
    }
    meanwhile(&f, count_twelve);
    MUST(hf_poll(engine));
    copy = f;
    harness_copy(f.directory, copy.directory);
    hf_session_close(f.session);
    MUST(hf_close(engine));
    harness_remove(f.directory);
    copy.options.clock_context = &copy.clock;
    open_engine(&copy);
    hf_stats stats;
    hf_stats_read(engine, &stats);
    cr_expect_eq(stats.undone, 1u);
    end(&copy, 12, 0);
}

Test(counted, recovery_adds_nothing_to_a_count_of_the_same_epoch) { crash_undecided(false); }
Test(counted, recovery_adds_nothing_to_a_count_of_a_later_epoch) { crash_undecided(true); }
