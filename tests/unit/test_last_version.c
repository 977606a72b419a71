/* A SKU whose versions are used up: whatever takes is refused with HF_ERANGE, whatever gives back still goes. */
#include <criterion/criterion.h>

#include "engine/engine.h"
#include "tests/support/harness.h"

typedef struct world {
    hf_engine *engine;
    hf_session *session;
    hf_sku *sku;
    hf_reply reply;
} world;

static hf_line units(const world *w, int64_t quantity) { return (hf_line){.sku = w->sku, .quantity = quantity}; }

/* Nine units, of which id 2 has two and id 3 one; and no version is left. */
static void open_world(world *w) {
    hf_options options;
    harness_options(&options, HF_VOLATILE | HF_NO_THREADS, NULL);
    cr_assert_eq(hf_open(NULL, &options, &w->engine), HF_SUCCESS);
    cr_assert_eq(hf_session_open(w->engine, NULL, &w->session), HF_SUCCESS);
    hf_line first = {.name = "s", .name_length = 1, .quantity = 9};
    cr_assert_eq(hf_receive(w->session, harness_id(0, 1), first, &w->reply), HF_SUCCESS);
    cr_assert_eq(hf_sku_find(w->session, "s", 1, &w->sku), HF_SUCCESS);
    hf_line two = units(w, 2), one = units(w, 1);
    cr_assert_eq(hf_reserve(w->session, harness_id(0, 2), &two, 1, 100000, 0, &w->reply), HF_SUCCESS);
    cr_assert_eq(hf_reserve(w->session, harness_id(0, 3), &one, 1, 100000, 0, &w->reply), HF_SUCCESS);
    hf_counter counter = hf_counter_of(w->sku->word);
    counter.version = HF_MAX_VERSION;
    w->sku->word = hf_counter_word(counter);
}

static void close_world(world *w) {
    hf_session_close(w->session);
    cr_assert_eq(hf_close(w->engine), HF_SUCCESS);
}

Test(last_version, taking_is_refused_and_names_the_version) {
    world w;
    open_world(&w);
    hf_line one = units(&w, 1);
    cr_expect_eq(hf_purchase(w.session, harness_id(0, 4), &one, 1, &w.reply), HF_ERANGE);
    cr_expect_eq(hf_receive(w.session, harness_id(0, 5), one, &w.reply), HF_ERANGE);
    cr_expect(strstr(hf_error_detail(), "version 139637976727552"), "%s", hf_error_detail());
    close_world(&w);
}

Test(last_version, a_confirm_is_refused_and_its_reservation_stays_live) {
    world w;
    hf_reservation found;
    open_world(&w);
    cr_expect_eq(hf_confirm(w.session, harness_id(0, 2), &w.reply), HF_ERANGE);
    cr_expect_eq(hf_reservation_read(w.session, harness_id(0, 2), &found, NULL, 0), HF_SUCCESS);
    cr_expect_eq(found.state, HF_STATE_LIVE);
    close_world(&w);
}

Test(last_version, a_cancel_still_goes) {
    world w;
    hf_stock stock;
    open_world(&w);
    cr_expect_eq(hf_cancel(w.session, harness_id(0, 3), &w.reply), HF_SUCCESS);
    cr_expect_eq(w.reply.version, HF_MAX_VERSION + 1);
    cr_expect_eq(hf_sku_read(w.session, w.sku, &stock), HF_SUCCESS);
    cr_expect_eq(stock.reserved, 2);
    close_world(&w);
}
