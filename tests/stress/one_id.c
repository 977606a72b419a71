/* Eight threads at one id: confirm against cancel against extend against expiry, thousands of times.
 *
 * Guarantees checked
 *   A  Exactly one ending wins: never two successes of confirm and cancel, and every other answer tells of the one
 *      that won.
 *   B  Units leave or return exactly once, in exactly as many steps as the answers and the final state make.
 *   C  A confirmation of an expired reservation says so; a reservation whose deadline was moved in time does not
 *      expire.
 *
 * The clock is the test's: in most rounds one thread moves it to the deadline while the others are at it.
 */
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <pthread.h>
#include <stdio.h>

#define THREADS 8u
#define TTL_MS 10u

typedef struct table {
    hf_engine *engine;
    harness_clock clock;
    pthread_barrier_t gate;
    uint64_t rounds;
    bool moves_clock; /* written by the first thread between two gates */
} table;

typedef struct player {
    table *table;
    unsigned number;
    uint64_t random;
    hf_op_type role; /* 0: the one who moves the clock */
    hf_op_type type; /* the role, or 0 in a round that it sits out */
    hf_outcome outcome;
    uint64_t deadline_ms;
} player;

static player players[THREADS];
static uint64_t endings[HF_STATE_END], lates;

static void play(player *p, hf_session *session, uint64_t round) {
    hf_id id = harness_id(1, round);
    hf_reply reply = {0};
    for (uint64_t spin = harness_below(&p->random, 3000); spin > 0; spin--) {
        hf_cpu_relax();
    }
    if (p->role == 0) {
        if (p->table->moves_clock) {
            harness_clock_set(&p->table->clock, harness_clock_read(&p->table->clock) + TTL_MS);
            hf_refresh_clock(p->table->engine);
        }
        return;
    }
    p->type = harness_chance(&p->random, 50) ? p->role : (hf_op_type)0;
    if (p->type == 0) {
        return;
    }
    ASK(reply, p->type == HF_OP_CONFIRM  ? hf_confirm(session, id, &reply)
               : p->type == HF_OP_CANCEL ? hf_cancel(session, id, &reply)
                                         : hf_extend(session, id, TTL_MS, &reply));
    p->outcome = reply.outcome;
    p->deadline_ms = reply.deadline_ms;
}

static unsigned count_of(hf_op_type type, hf_outcome outcome) {
    unsigned count = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        count += players[i].type == type && players[i].outcome == outcome;
    }
    return count;
}

/* Every answer must be possible with the end that was reached. */
static void judge_answers(uint64_t round, hf_state end, bool moved) {
    unsigned confirms = count_of(HF_OP_CONFIRM, HF_OUTCOME_OK),
             late = count_of(HF_OP_CONFIRM, HF_OUTCOME_CONFIRMED_LATE);
    unsigned cancels = count_of(HF_OP_CANCEL, HF_OUTCOME_OK);
    CHECK(confirms + late + cancels <= 1, "round %llu: %u confirms, %u late, %u cancels won", (unsigned long long)round,
          confirms, late, cancels);
    CHECK((end == HF_STATE_CONFIRMED) == (confirms + late == 1), "round %llu: %s, %u confirms won",
          (unsigned long long)round, hf_state_text(end), confirms + late);
    CHECK((end == HF_STATE_CANCELLED) == (cancels == 1), "round %llu: %s, %u cancels won", (unsigned long long)round,
          hf_state_text(end), cancels);
    for (unsigned i = 0; i < THREADS; i++) {
        bool extended = players[i].type == HF_OP_EXTEND && players[i].outcome == HF_OUTCOME_OK &&
                        players[i].deadline_ms > harness_clock_read(&players[i].table->clock);
        CHECK(!extended || (end != HF_STATE_EXPIRED && late == 0), "round %llu: extended to %llu, and expired",
              (unsigned long long)round, (unsigned long long)players[i].deadline_ms);
    }
    CHECK(late == 0 || moved, "round %llu: late, and the clock stood still", (unsigned long long)round);
    for (unsigned i = 0; i < THREADS; i++) {
        const player *p = &players[i];
        bool right = p->type == 0 || p->outcome == HF_OUTCOME_OK || p->outcome == HF_OUTCOME_CONFIRMED_LATE;
        if (p->type == HF_OP_CONFIRM) {
            right = right || (p->outcome == HF_OUTCOME_ALREADY && end == HF_STATE_CONFIRMED) ||
                    (p->outcome == HF_OUTCOME_CONFLICT && end == HF_STATE_CANCELLED);
        } else if (p->type == HF_OP_CANCEL) {
            right =
                right || (p->outcome == HF_OUTCOME_CONFLICT && end == HF_STATE_CONFIRMED) ||
                (p->outcome == HF_OUTCOME_ALREADY && (end == HF_STATE_CANCELLED || late || end == HF_STATE_EXPIRED));
        } else if (p->type == HF_OP_EXTEND) {
            right = right || (p->outcome == HF_OUTCOME_CONFLICT && end != HF_STATE_LIVE);
        }
        CHECK(right, "round %llu: %s was answered %s, the end is %s", (unsigned long long)round, hf_op_text(p->type),
              hf_outcome_text(p->outcome), hf_state_text(end));
    }
}

/* The SKU before the round, its reserve included, against now. */
static void judge_round(hf_session *session, hf_sku *sku, uint64_t round, const hf_stock *before, bool moved) {
    hf_stock after;
    hf_reservation found;
    MUST_AT_LAST(hf_sku_read(session, sku, &after));
    MUST_AT_LAST(hf_reservation_read(session, harness_id(1, round), &found, NULL, 0));
    judge_answers(round, found.state, moved);
    bool late = count_of(HF_OP_CONFIRM, HF_OUTCOME_CONFIRMED_LATE) == 1, live = found.state == HF_STATE_LIVE;
    int64_t left = found.state == HF_STATE_CONFIRMED ? 2 : 0;
    uint64_t steps = live ? 0 : late ? 2 : 1;
    CHECK(after.on_hand == before->on_hand - left && after.reserved == (live ? 2 : 0),
          "round %llu: on_hand %lld reserved %lld", (unsigned long long)round, (long long)after.on_hand,
          (long long)after.reserved);
    CHECK(after.version == before->version + steps, "round %llu: %llu steps, expected %llu", (unsigned long long)round,
          (unsigned long long)(after.version - before->version), (unsigned long long)steps);
    endings[found.state]++;
    lates += late;
    if (live) {
        hf_reply reply;
        MUST(hf_cancel(session, harness_id(1, round), &reply));
        CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    }
}

static void begin_round(hf_session *session, hf_sku *sku, uint64_t round, hf_stock *before) {
    hf_reply reply;
    hf_line line = {.sku = sku, .quantity = 2};
    hf_refresh_clock(players[0].table->engine);
    ASK(reply, hf_reserve(session, harness_id(1, round), &line, 1, TTL_MS, 0, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "round %llu: %s", (unsigned long long)round, hf_outcome_text(reply.outcome));
    MUST_AT_LAST(hf_sku_read(session, sku, before));
}

static void run(void *context) {
    player *p = context;
    table *t = p->table;
    hf_session *session;
    hf_sku *sku = NULL;
    hf_stock before = {0};
    MUST(hf_session_open(t->engine, NULL, &session));
    if (p->number == 0) {
        hf_reply reply;
        MUST(hf_receive(session, harness_id(0, 0), (hf_line){.name = "sku", .name_length = 3, .quantity = 1 << 20},
                        &reply));
        MUST(hf_sku_find(session, "sku", 3, &sku));
    }
    for (uint64_t round = 1; round <= t->rounds; round++) {
        if (p->number == 0) {
            begin_round(session, sku, round, &before);
            t->moves_clock = harness_chance(&p->random, 70);
        }
        pthread_barrier_wait(&t->gate);
        play(p, session, round);
        pthread_barrier_wait(&t->gate);
        if (p->number == 0) {
            judge_round(session, sku, round, &before, t->moves_clock);
        }
    }
    hf_session_close(session);
}

int main(void) {
    static const hf_op_type roles[THREADS] = {(hf_op_type)0, HF_OP_CONFIRM, HF_OP_CANCEL,  HF_OP_EXTEND,
                                              HF_OP_CONFIRM, HF_OP_CANCEL,  HF_OP_CONFIRM, HF_OP_EXTEND};
    char directory[HARNESS_PATH];
    hf_options options;
    table t = {0};
    uint64_t seed = harness_begin("one_id");
    t.rounds = harness_rounds(4000);
    harness_clock_set(&t.clock, HARNESS_EPOCH_MS);
    harness_directory(directory);
    harness_options(&options, 0, &t.clock);
    MUST(hf_open(directory, &options, &t.engine));
    pthread_barrier_init(&t.gate, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        players[i] = (player){.table = &t, .number = i, .random = seed + i, .role = roles[i]};
    }
    harness_threads(THREADS, run, players, sizeof players[0]);
    pthread_barrier_destroy(&t.gate);
    MUST(hf_close(t.engine));
    harness_remove(directory);
    CHECK(endings[HF_STATE_CONFIRMED] && endings[HF_STATE_CANCELLED], "one side never won");
    printf(
        "one_id: %llu rounds of 8 threads: %llu confirmed (%llu late), %llu cancelled, %llu expired, %llu left live\n",
        (unsigned long long)t.rounds, (unsigned long long)endings[HF_STATE_CONFIRMED], (unsigned long long)lates,
        (unsigned long long)endings[HF_STATE_CANCELLED], (unsigned long long)endings[HF_STATE_EXPIRED],
        (unsigned long long)endings[HF_STATE_LIVE]);
    return 0;
}
