/* Baskets of 1 to 10 lines out of 50 SKUs, from several threads.
 *
 * Guarantees checked
 *   A  All or nothing: each SKU's on_hand and reserved are what the baskets that were answered ok make of it, and no
 *      other.
 *   B  Never oversold: neither goes below zero in any step of the log.
 *   C  The log, replayed by its reader alone, has gapless versions and the same totals; so has the state after a
 *      restart.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 4u
#define SKUS 50u
#define BASKETS 8000u
#define LINES 10u
#define SECONDS 4.0

typedef struct basket {
    hf_id id;
    uint32_t count;
    uint8_t skus[LINES]; /* may repeat */
    uint8_t units[LINES];
    bool taken;
    hf_state expected; /* by this worker's own answers; LIVE may have expired */
} basket;

typedef struct worker {
    hf_engine *engine;
    unsigned number;
    uint64_t random;
    basket *baskets;
    uint32_t count;
    uint64_t refused;
    int64_t received[SKUS];
} worker;

static const char *sku_name(unsigned number) {
    static const char names[SKUS][8] = {
#define ROW(tens)                                                                                                      \
    {tens "0"}, {tens "1"}, {tens "2"}, {tens "3"}, {tens "4"}, {tens "5"}, {tens "6"}, {tens "7"}, {tens "8"},        \
        {tens "9"}
        ROW("sku-0"), ROW("sku-1"), ROW("sku-2"), ROW("sku-3"), ROW("sku-4")};
#undef ROW
    return names[number];
}

static void fill_basket(worker *w, basket *b, hf_line lines[LINES]) {
    b->id = harness_id(w->number, w->count);
    b->count = 1 + (uint32_t)harness_below(&w->random, LINES);
    for (uint32_t i = 0; i < b->count; i++) {
        b->skus[i] = (uint8_t)harness_below(&w->random, SKUS);
        b->units[i] = (uint8_t)(1 + harness_below(&w->random, 3));
        lines[i] = (hf_line){.name = sku_name(b->skus[i]), .name_length = 6, .quantity = b->units[i]};
    }
}

static void take(worker *w, hf_session *session) {
    basket *b = &w->baskets[w->count++];
    hf_line lines[LINES];
    hf_reply reply;
    fill_basket(w, b, lines);
    bool purchase = harness_chance(&w->random, 20);
    uint64_t ttl = harness_chance(&w->random, 30) ? 1 + harness_below(&w->random, 20) : 3600 * 1000;
    if (purchase) {
        ASK(reply, hf_purchase(session, b->id, lines, b->count, &reply));
    } else {
        ASK(reply, hf_reserve(session, b->id, lines, b->count, ttl, w->number, &reply));
    }
    b->taken = reply.outcome == HF_OUTCOME_OK;
    b->expected = purchase ? HF_STATE_CONFIRMED : HF_STATE_LIVE;
    w->refused += !b->taken;
    CHECK(b->taken || reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "%s", hf_outcome_text(reply.outcome));
}

/* Confirms or cancels one of the last baskets. */
static void end(worker *w, hf_session *session) {
    uint32_t back = 1 + (uint32_t)harness_below(&w->random, w->count < 100 ? w->count : 100);
    basket *b = &w->baskets[w->count - back];
    hf_reply reply;
    if (!b->taken || b->expected != HF_STATE_LIVE) {
        return;
    }
    if (harness_chance(&w->random, 40)) {
        ASK(reply, hf_confirm(session, b->id, &reply));
        bool ok = reply.outcome == HF_OUTCOME_OK || reply.outcome == HF_OUTCOME_CONFIRMED_LATE;
        CHECK(ok || reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "confirm: %s", hf_outcome_text(reply.outcome));
        b->expected = ok ? HF_STATE_CONFIRMED : HF_STATE_LIVE;
    } else {
        ASK(reply, hf_cancel(session, b->id, &reply));
        CHECK(reply.outcome == HF_OUTCOME_OK || reply.outcome == HF_OUTCOME_ALREADY, "cancel: %s",
              hf_outcome_text(reply.outcome));
        b->expected = reply.outcome == HF_OUTCOME_OK ? HF_STATE_CANCELLED : HF_STATE_EXPIRED;
    }
}

static void restock(worker *w, hf_session *session) {
    unsigned sku = (unsigned)harness_below(&w->random, SKUS);
    hf_reply reply;
    hf_line line = {.name = sku_name(sku), .name_length = 6, .quantity = 10};
    ASK(reply, hf_receive(session, harness_id(1000 + w->number, harness_next(&w->random)), line, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "receive: %s", hf_outcome_text(reply.outcome));
    w->received[sku] += line.quantity;
}

static void run(void *context) {
    worker *w = context;
    hf_session *session;
    MUST(hf_session_open(w->engine, NULL, &session));
    double until = harness_seconds() + harness_time(SECONDS);
    while (w->count < BASKETS && harness_seconds() < until) {
        take(w, session);
        end(w, session);
        if (harness_chance(&w->random, 60)) {
            restock(w, session);
        }
    }
    hf_session_close(session);
}

static void add_basket(const basket *b, hf_state state, int64_t on_hand[SKUS], int64_t reserved[SKUS]) {
    for (uint32_t i = 0; i < b->count; i++) {
        on_hand[b->skus[i]] -= state == HF_STATE_CONFIRMED ? b->units[i] : 0;
        reserved[b->skus[i]] += state == HF_STATE_LIVE ? b->units[i] : 0;
    }
}

/* What the workers were told, basket by basket, against the SKUs. */
static void judge(hf_session *session, worker *workers) {
    int64_t on_hand[SKUS] = {0}, reserved[SKUS] = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned k = 0; k < SKUS; k++) {
            on_hand[k] += workers[i].received[k];
        }
        for (uint32_t k = 0; k < workers[i].count; k++) {
            basket *b = &workers[i].baskets[k];
            hf_reservation found;
            int error;
            while ((error = hf_reservation_read(session, b->id, &found, NULL, 0)) == HF_EAGAIN) {
            }
            CHECK(error == (b->taken ? HF_SUCCESS : HF_ENOTFOUND), "a basket %s: %s", b->taken ? "taken" : "refused",
                  hf_error_name(error));
            if (b->taken) {
                bool expired = b->expected == HF_STATE_LIVE && found.state == HF_STATE_EXPIRED;
                CHECK(expired || found.state == b->expected, "a basket is %s, expected %s", hf_state_text(found.state),
                      hf_state_text(b->expected));
                add_basket(b, found.state, on_hand, reserved);
            }
        }
    }
    for (unsigned k = 0; k < SKUS; k++) {
        hf_sku *sku;
        hf_stock stock;
        MUST(hf_sku_find(session, sku_name(k), 6, &sku));
        MUST_AT_LAST(hf_sku_read(session, sku, &stock));
        CHECK(stock.on_hand == on_hand[k] && stock.reserved == reserved[k],
              "%s: on_hand %lld reserved %lld, expected %lld %lld", sku_name(k), (long long)stock.on_hand,
              (long long)stock.reserved, (long long)on_hand[k], (long long)reserved[k]);
    }
}

int main(void) {
    char directory[HARNESS_PATH];
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    worker workers[WORKERS] = {0};
    uint64_t seed = harness_begin("many_skus"), baskets = 0, refused = 0;
    harness_directory(directory);
    harness_options(&options, 0, NULL);
    options.expected_reservations = 64;
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    for (unsigned k = 0; k < SKUS; k++) {
        hf_reply reply;
        hf_line line = {.name = sku_name(k), .name_length = 6, .quantity = 30};
        MUST(hf_receive(session, harness_id(999, k), line, &reply));
        workers[0].received[k] = 30;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].engine = engine;
        workers[i].number = i;
        workers[i].random = seed + i;
        workers[i].baskets = calloc(BASKETS, sizeof(basket));
        CHECK(workers[i].baskets, "out of memory");
    }
    harness_threads(WORKERS, run, workers, sizeof workers[0]);
    uint64_t last = hf_refresh_clock(engine) + 21; /* every short deadline is behind it */
    while (hf_refresh_clock(engine) < last) {
    }
    judge(session, workers);
    hf_session_close(session);
    MUST(hf_close(engine));
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    judge(session, workers);
    uint64_t steps = audit_compare(directory, session);
    hf_session_close(session);
    MUST(hf_close(engine));
    harness_remove(directory);
    for (unsigned i = 0; i < WORKERS; i++) {
        baskets += workers[i].count;
        refused += workers[i].refused;
        free(workers[i].baskets);
    }
    printf("many_skus: %llu baskets (%llu refused), %llu steps in the log, the same after a restart\n",
           (unsigned long long)baskets, (unsigned long long)refused, (unsigned long long)steps);
    return 0;
}
