/* The last units, while the clock jumps over the deadlines that hold them.
 *
 * Guarantees checked
 *   A  out_of_stock is never answered while units of reservations that are due could serve: in each round all units
 *      are held by reservations that are due since the jump, and four threads that want all of them get all of them.
 *   B  A round's expiries give every unit back once: reserved is never above on_hand and, once due is past, exactly
 *      what the round took.
 *   C  An expired reservation is confirmed late, or refused: never as live.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <pthread.h>
#include <stdio.h>

#define TAKERS 4u
#define UNITS 64u /* of the one SKU; a multiple of TAKERS */
#define SECONDS 3.0
#define PAY_LATE 3u /* every so many rounds; there are so many at least */

typedef struct table {
    hf_engine *engine;
    harness_clock clock;
    pthread_barrier_t gate;
    uint64_t rounds;
    bool last; /* written by the first taker between two gates */
} table;

typedef struct taker {
    table *table;
    unsigned number;
    uint64_t random;
} taker;

static const hf_line one_unit = {.name = "last", .name_length = 4, .quantity = 1};

/* Takes this thread's share, one unit a reservation; every one must be had. */
static void take_share(taker *t, hf_session *session, uint64_t round) {
    for (unsigned i = 0; i < UNITS / TAKERS; i++) {
        hf_reply reply;
        ASK(reply, hf_reserve(session, harness_id(round, t->number * UNITS + i), &one_unit, 1,
                              1 + harness_below(&t->random, 50), 0, &reply));
        CHECK(reply.outcome == HF_OUTCOME_OK, "round %llu: %s, and %u units of due reservations were there",
              (unsigned long long)round, hf_outcome_text(reply.outcome), UNITS);
    }
}

/* Alone: the units are all taken; one of the round before is past. */
static void check_alone(hf_session *session, hf_sku *sku, uint64_t round) {
    hf_reply reply;
    hf_stock stock;
    MUST_AT_LAST(hf_sku_read(session, sku, &stock));
    CHECK(stock.on_hand == UNITS && stock.reserved == UNITS,
          "round %llu: on_hand %lld reserved %lld, expected %u of each", (unsigned long long)round,
          (long long)stock.on_hand, (long long)stock.reserved, UNITS);
    ASK(reply, hf_reserve(session, harness_id(round, 9999), &one_unit, 1, 1, 0, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "round %llu: one unit too many", (unsigned long long)round);
    if (round > 1) {
        ASK(reply, hf_confirm(session, harness_id(round - 1, 1), &reply));
        CHECK(reply.outcome == HF_OUTCOME_OUT_OF_STOCK && reply.state == HF_STATE_EXPIRED,
              "round %llu: late payment: %s, %s", (unsigned long long)round, hf_outcome_text(reply.outcome),
              hf_state_text(reply.state));
    }
}

static void jump(taker *t) {
    harness_clock_set(&t->table->clock,
                      harness_clock_read(&t->table->clock) + 51); /* beyond every deadline of the round */
    hf_refresh_clock(t->table->engine);
}

/* One late payment that can be had, and the unit received anew. */
static void pay_late(hf_session *session, uint64_t round) {
    hf_reply reply;
    ASK(reply, hf_confirm(session, harness_id(round, 0), &reply));
    CHECK(reply.outcome == HF_OUTCOME_CONFIRMED_LATE, "round %llu: %s", (unsigned long long)round,
          hf_outcome_text(reply.outcome));
    ASK(reply, hf_receive(session, harness_id(round, 8888), one_unit, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "round %llu: %s", (unsigned long long)round, hf_outcome_text(reply.outcome));
}

static void run(void *context) {
    taker *t = context;
    hf_session *session;
    hf_sku *sku;
    double until = harness_seconds() + harness_time(SECONDS);
    MUST(hf_session_open(t->table->engine, NULL, &session));
    MUST(hf_sku_find(session, "last", 4, &sku));
    for (uint64_t round = 1; !t->table->last; round++) {
        pthread_barrier_wait(&t->table->gate);
        take_share(t, session, round);
        pthread_barrier_wait(&t->table->gate);
        if (t->number == 0) {
            check_alone(session, sku, round);
            jump(t);
            if (round % PAY_LATE == 0) {
                pay_late(session, round);
            }
            t->table->rounds = round;
            t->table->last = round >= PAY_LATE && harness_seconds() > until;
        }
        pthread_barrier_wait(&t->table->gate);
    }
    hf_session_close(session);
}

/* Nothing waits between the jumps and the takers here: whoever is refused must have been refused rightly at some
 * moment, so only the sums are judged. */
static void roam(void *context) {
    taker *t = context;
    hf_session *session;
    hf_sku *sku;
    MUST(hf_session_open(t->table->engine, NULL, &session));
    MUST(hf_sku_find(session, "last", 4, &sku));
    for (uint64_t i = 0; i < 4000; i++) {
        hf_reply reply;
        hf_stock stock;
        if (t->number == 0 && i % 8 == 0) {
            harness_clock_set(&t->table->clock, harness_clock_read(&t->table->clock) + harness_below(&t->random, 30));
            hf_refresh_clock(t->table->engine);
        }
        ASK(reply, hf_reserve(session, harness_id(UINT64_C(1) << 40 | t->number, i), &one_unit, 1,
                              1 + harness_below(&t->random, 20), 0, &reply));
        int error = hf_sku_read(session, sku, &stock);
        CHECK(error == HF_EAGAIN || (error == HF_SUCCESS && stock.reserved >= 0 && stock.reserved <= stock.on_hand),
              "%s: on_hand %lld reserved %lld", hf_error_name(error), (long long)stock.on_hand,
              (long long)stock.reserved);
    }
    hf_session_close(session);
}

static void judge_end(table *t, const char *directory) {
    hf_session *session;
    hf_sku *sku;
    hf_stock stock;
    harness_clock_set(&t->clock, harness_clock_read(&t->clock) + 1000);
    hf_refresh_clock(t->engine);
    MUST(hf_session_open(t->engine, NULL, &session));
    MUST(hf_sku_find(session, "last", 4, &sku));
    MUST_AT_LAST(hf_sku_read(session, sku, &stock));
    CHECK(stock.reserved == 0 && stock.on_hand == UNITS, "on_hand %lld reserved %lld", (long long)stock.on_hand,
          (long long)stock.reserved);
    MUST(hf_wait(t->engine, stock.ticket, UINT64_MAX));
    uint64_t steps = audit_compare(directory, session);
    hf_session_close(session);
    printf("expiry_race: %llu rounds of %u last units, every one served; %llu steps audited\n",
           (unsigned long long)t->rounds, UNITS, (unsigned long long)steps);
}

int main(void) {
    char directory[HARNESS_PATH];
    hf_options options;
    hf_session *session;
    hf_reply reply;
    table t = {0};
    taker takers[TAKERS];
    uint64_t seed = harness_begin("expiry_race");
    harness_directory(directory);
    harness_clock_set(&t.clock, HARNESS_EPOCH_MS);
    harness_options(&options, 0, &t.clock);
    options.retention_ms = 1000; /* ids go while the others come */
    MUST(hf_open(directory, &options, &t.engine));
    MUST(hf_session_open(t.engine, NULL, &session));
    MUST(hf_receive(session, harness_id(0, 0), (hf_line){.name = "last", .name_length = 4, .quantity = UNITS}, &reply));
    hf_session_close(session);
    pthread_barrier_init(&t.gate, NULL, TAKERS);
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i] = (taker){.table = &t, .number = i, .random = seed + i};
    }
    harness_threads(TAKERS, run, takers, sizeof takers[0]);
    harness_threads(TAKERS, roam, takers, sizeof takers[0]);
    pthread_barrier_destroy(&t.gate);
    judge_end(&t, directory);
    MUST(hf_close(t.engine));
    harness_remove(directory);
    return 0;
}
