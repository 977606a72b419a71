/* An operation whose steps lie in two epochs, and a checkpoint that begins between them. */
#include <criterion/criterion.h>

#include "engine/part.h"
#include "engine/stock.h"
#include "harness.h"

#include <pthread.h>
#include <string.h>

static hf_engine *engine;
static int checkpoint_error;

static void *take_checkpoint(void *ignored) {
    (void)ignored;
    checkpoint_error = hf_checkpoint(engine); /* its seal waits for the operation's section */
    return NULL;
}

static hf_sku *receive(hf_session *session, uint64_t id, const char *name) {
    hf_reply reply;
    hf_sku *sku;
    MUST(hf_receive(session, harness_id(id, 1), (hf_line){.name = name, .name_length = strlen(name), .quantity = 10},
                    &reply));
    MUST(hf_sku_find(session, name, strlen(name), &sku));
    return sku;
}

/* A purchase of one each, with the turn of the epoch after its first step. */
static void purchase_over_a_seal(hf_session *session, hf_sku *first, hf_sku *second) {
    pthread_t thread;
    hf_counter counter;
    hf_section_enter();
    uint64_t epoch = hf_engine_epoch(engine);
    hf_id id = harness_id(9, 1);
    hf_part_begin(&session->part, HF_RECORD_PURCHASE, &id, HARNESS_EPOCH_MS, 0);
    CHECK(hf_stock_take(session, HF_RECORD_PURCHASE, first, 1, 0, &counter) == HF_STEP_DONE, "the first step");
    CHECK(pthread_create(&thread, NULL, take_checkpoint, NULL) == 0, "a thread");
    while (hf_engine_epoch(engine) == epoch) {
    }
    CHECK(hf_stock_take(session, HF_RECORD_PURCHASE, second, 1, 0, &counter) == HF_STEP_DONE, "the second step");
    CHECK(hf_part_end(&session->part, HF_OUTCOME_OK, 0) == epoch + 1, "the second step is of the next epoch");
    hf_section_leave();
    pthread_join(thread, NULL);
}

Test(straddle, a_checkpoint_between_two_parts_of_an_operation_can_be_recovered_from) {
    char directory[HARNESS_PATH];
    harness_clock clock;
    hf_options options;
    hf_session *session;
    hf_stats stats;
    harness_directory(directory);
    harness_clock_set(&clock, HARNESS_EPOCH_MS);
    harness_options(&options, HF_NO_THREADS, &clock);
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    hf_sku *first = receive(session, 1, "first"), *second = receive(session, 2, "second");
    purchase_over_a_seal(session, first, second);
    cr_assert_eq(checkpoint_error, HF_SUCCESS);
    hf_session_close(session);
    MUST(hf_close(engine));

    MUST(hf_open(directory, &options, &engine)); /* from the checkpoint, whose first epoch has the second part alone */
    hf_stats_read(engine, &stats);
    cr_expect_gt(stats.checkpoint_epoch, 0u);
    cr_expect_eq(stats.undone, 0u);
    MUST(hf_session_open(engine, NULL, &session));
    static const char *const names[2] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        hf_sku *sku;
        hf_stock stock;
        MUST(hf_sku_find(session, names[i], strlen(names[i]), &sku));
        MUST(hf_sku_read(session, sku, &stock));
        cr_expect(stock.on_hand == 9 && stock.reserved == 0 && stock.version == 2, "%s: on_hand %lld, version %llu",
                  names[i], (long long)stock.on_hand, (unsigned long long)stock.version);
    }
    hf_session_close(session);
    MUST(hf_close(engine));
    harness_remove(directory);
}
