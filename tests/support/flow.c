/* The random flow of flow.h. */
#include "flow.h"

#include "engine/seal.h"
#include "wal/state.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(value) ((unsigned long long)(value))
#define TIME_END (HARNESS_EPOCH_MS + UINT64_C(50) * 366 * 24 * 3600 * 1000)

static uint64_t below(flow *f, uint64_t limit) { return harness_below(&f->random, limit); }
static bool chance(flow *f, unsigned percent) { return harness_chance(&f->random, percent); }

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

/* Of every fifth SKU too long to lie in its line. */
static size_t sku_name(uint32_t number, char name[HF_MAX_SKU_NAME + 1]) {
    return (size_t)snprintf(name, HF_MAX_SKU_NAME + 1, number % 5 == 4 ? "a SKU whose name is longer than its line, %u" : "sku-%u",
                            number);
}

static hf_id order_id(uint32_t number) {
    char text[40];
    int length = snprintf(text, sizeof text, number % 3 == 0 ? "order-%u" : "a-longer-order-number-%u", number);
    return hf_id_from_text(text, (size_t)length);
}

/* ---- marks --------------------------------------------------------------------------------------------------------------------- */

static void forget_marks(flow *f, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        model_free(f->marks[i].model);
    }
}

/* The model now, as what a seal of the open epoch is to leave. `ahead` epochs later than the open one. */
static void mark_sealing(flow *f, const model *m, uint64_t position, uint64_t ahead) {
    f->marks[f->mark_count++] = (flow_mark){model_copy(m), position, f->engine->epoch + ahead, position};
}

/* The last mark is durable. */
static void sealed(flow *f) {
    unsigned last = f->mark_count - 1;
    forget_marks(f, 0, last);
    f->marks[0] = f->marks[last];
    f->mark_count = 1;
    CHECK(hf_durable(f->engine) >= f->marks[0].epoch, "epoch %llu is not durable after its seal", U(f->marks[0].epoch));
}

bool flow_may_leave(const flow *f, unsigned i) {
    return i + 1 == f->mark_count || !f->engine || hf_durable(f->engine) < f->marks[i + 1].epoch;
}

/* ---- opening and closing --------------------------------------------------------------------------------------------------------- */

void flow_options(uint64_t *random, const model *m, harness_clock *clock, hf_options *options) {
    static const uint32_t shards[] = {1, 2, 4};
    harness_options(options, HF_NO_THREADS, clock);
    options->shards = shards[harness_below(random, 3)];
    options->expected_skus = 1 + harness_below(random, 40);
    options->expected_reservations = 1 + harness_below(random, 40);
    options->max_reservations = 1 << 16;
    options->retention_ms = m->retention_ms;
    options->ring_bytes = 512u << 10;
}

static void open_sessions(flow *f) {
    MUST(hf_session_open(f->engine, "flow", &f->session));
    MUST(hf_session_open(f->engine, NULL, &f->other));
    /* Smaller segments than options allow: so that they change now and then. */
    f->engine->wal->spares.next.bytes = HF_SEGMENT_MIN;
    f->ticket = 0;
}

void flow_open(flow *f) {
    if (harness_clock_read(&f->clock) < f->model->now_ms) {
        harness_clock_set(&f->clock, f->model->now_ms); /* what was not logged need not be known */
    }
    flow_options(&f->random, f->model, &f->clock, &f->options);
    MUST(hf_open_on(f->files, FLOW_DIRECTORY, &f->options, &f->engine));
    open_sessions(f);
    model_advance(f->model, hf_refresh_clock(f->engine));
    f->marks[0].epoch = hf_durable(f->engine);
    CHECK(hf_session_position(f->session) == f->position, "position %llu, expected %llu", U(hf_session_position(f->session)),
          U(f->position));
}

void flow_close(flow *f) {
    hf_session_close(f->session);
    hf_session_close(f->other);
    mark_sealing(f, f->model, f->position, 0);
    MUST(hf_close(f->engine));
    f->engine = NULL;
    forget_marks(f, 0, 1);
    f->marks[0] = f->marks[1];
    f->mark_count = 1;
}

/* A log of small segments from the first on. */
static void make_log(flow *f) {
    hf_wal *wal;
    hf_wal_found found;
    hf_wal_options options = {.files = f->files, .segment_bytes = HF_SEGMENT_MIN};
    MUST(hf_wal_lock(FLOW_DIRECTORY, &options, false, &wal));
    MUST(hf_wal_open(wal, &(hf_wal_position){0}, NULL, NULL, &found));
    hf_wal_close(wal);
}

void flow_begin(flow *f, uint64_t seed, const hf_files *files) {
    static const uint32_t skus[] = {2, 6, 12, 30}, orders[] = {4, 30, 60};
    static const uint64_t retentions[] = {1, 50, 2000, 24 * 3600 * 1000};
    *f = (flow){.random = seed, .files = files};
    f->most_lines = chance(f, 50) ? 6 : FLOW_LINES;
    harness_clock_set(&f->clock, HARNESS_EPOCH_MS + below(f, 1000));
    uint32_t sku_count = skus[below(f, 4)], order_count = orders[below(f, 3)];
    f->model = model_new(sku_count, order_count, harness_clock_read(&f->clock), retentions[below(f, 4)]);
    f->marks[0] = (flow_mark){model_copy(f->model), 0, 0, 0};
    f->mark_count = 1;
    make_log(f);
    flow_open(f);
}

void flow_end(flow *f) {
    forget_marks(f, 0, f->mark_count);
    model_free(f->model);
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------------- */

static char difference[400];

static const char *differs(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *differs(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(difference, sizeof difference, format, arguments);
    va_end(arguments);
    return difference;
}

static const char *compare_sku(const model *m, uint32_t number, hf_session *session) {
    const model_sku *expected = &m->skus[number];
    char name[HF_MAX_SKU_NAME + 1];
    size_t length = sku_name(number, name);
    hf_stock found;
    hf_sku *sku;
    int error = hf_sku_find(session, name, length, &sku);
    if (error != (expected->exists ? HF_SUCCESS : HF_ENOTFOUND)) {
        return differs("SKU %u: %s, expected that it %s", number, hf_error_name(error), expected->exists ? "exists" : "does not exist");
    }
    error = expected->exists ? hf_sku_read(session, sku, &found) : HF_SUCCESS;
    if (error) {
        return differs("SKU %u: %s", number, hf_error_name(error));
    }
    if (expected->exists && (found.on_hand != expected->on_hand || found.reserved != expected->reserved ||
                             found.version != expected->version + expected->due)) {
        return differs("SKU %u: on_hand %lld reserved %lld version %llu, expected %lld %lld %llu", number, (long long)found.on_hand,
                       (long long)found.reserved, U(found.version), (long long)expected->on_hand, (long long)expected->reserved,
                       U(expected->version + expected->due));
    }
    return NULL;
}

static const char *compare_lines(const model_order *expected, uint32_t number, const hf_reservation_line *found, uint32_t count) {
    char name[HF_MAX_SKU_NAME + 1];
    if (count != expected->line_count) {
        return differs("order %u: %u lines, expected %u", number, count, expected->line_count);
    }
    for (uint32_t i = 0; i < count; i++) { /* an engine keeps them as they were given */
        size_t length, said = sku_name(expected->lines[i].sku, name);
        const void *bytes = hf_sku_name(found[i].sku, &length);
        if (said != length || memcmp(name, bytes, length) != 0 || expected->lines[i].quantity != found[i].quantity) {
            return differs("order %u: line %u with quantity %lld, expected SKU %u, %lld", number, i, (long long)found[i].quantity,
                           expected->lines[i].sku, (long long)expected->lines[i].quantity);
        }
    }
    return NULL;
}

static const char *compare_known(const model *m, uint32_t number, const hf_reservation *found, const hf_reservation_line *lines) {
    const model_order *expected = &m->orders[number];
    bool live = expected->state == HF_STATE_LIVE, expired = expected->state == HF_STATE_EXPIRED;
    bool ended_right = expired ? found->ended_ms >= expected->ended_ms && found->ended_ms <= m->now_ms
                               : found->ended_ms == (live ? 0 : expected->ended_ms);
    if (found->state != expected->state || found->deadline_ms != (live ? expected->deadline_ms : 0) || !ended_right) {
        return differs("order %u: %s, deadline %llu, ended %llu, expected %s, %llu, %llu", number, hf_state_text(found->state),
                       U(found->deadline_ms), U(found->ended_ms), hf_state_text(expected->state), U(expected->deadline_ms),
                       U(expected->ended_ms));
    }
    if (found->version < expected->first_version_low || found->version > expected->first_version_high ||
        (live && found->user != expected->user)) {
        return differs("order %u: version %llu user %llu, expected %llu, %llu", number, U(found->version), U(found->user),
                       U(expected->first_version_low), U(expected->user));
    }
    return live || expired ? compare_lines(expected, number, lines, found->line_count) : NULL;
}

/* What has been remembered long enough may be there or not. One that an engine had forgotten before a late confirmation of it was
 * replayed has lost its first answer, so what was remembered long enough is not compared further. */
static const char *compare_order(const model *m, uint32_t number, hf_session *session) {
    hf_reservation_line lines[FLOW_LINES];
    hf_reservation found;
    int error = hf_reservation_read(session, order_id(number), &found, lines, FLOW_LINES);
    bool known = m->orders[number].state != HF_STATE_UNKNOWN;
    bool may_be_forgotten = model_may_forget(m, number) || m->orders[number].forgotten;
    if (error == HF_ENOTFOUND && (!known || may_be_forgotten)) {
        return NULL;
    }
    if (error || !known) {
        return differs("order %u: %s, expected %s", number, hf_error_name(error), hf_state_text(m->orders[number].state));
    }
    return compare_known(m, number, &found, lines);
}

typedef struct holdings {
    hf_session *session;
    uint64_t live, skus;
    int64_t units, reserved;
    bool good;
} holdings;

static bool add_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    holdings *h = context;
    (void)sku;
    h->skus++;
    h->reserved += stock->reserved;
    h->good = h->good && stock->on_hand >= 0 && stock->reserved >= 0 && stock->available == stock->on_hand - stock->reserved;
    return true;
}

static bool add_live(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    holdings *h = context;
    h->live++;
    for (uint32_t i = 0; i < found->line_count; i++) {
        h->units += lines[i].quantity;
    }
    return true;
}

/* What must be so whatever the model says: nothing below zero, and what is reserved is what live reservations hold. */
static const char *check_invariants(hf_engine *engine, hf_session *session) {
    holdings h = {.session = session, .good = true};
    hf_stats stats;
    MUST(hf_sku_each(session, add_sku, &h));
    MUST(hf_reservation_each(session, add_live, &h));
    hf_stats_read(engine, &stats);
    if (!h.good || h.units != h.reserved || stats.live != h.live || stats.skus < h.skus) {
        return differs("%s; live reservations hold %lld, reserved is %lld; %llu live, gauge %llu; %llu SKUs, gauge %llu",
                       h.good ? "counters are right" : "a counter is below zero", (long long)h.units, (long long)h.reserved,
                       U(h.live), U(stats.live), U(h.skus), U(stats.skus));
    }
    return NULL;
}

static const char *compare_all(const flow_mark *mark, model *m, hf_engine *engine) {
    hf_session *session;
    const char *wrong = NULL;
    MUST(hf_session_open(engine, "flow", &session));
    model_advance(m, hf_refresh_clock(engine));
    if (hf_session_position(session) != mark->position && hf_session_position(session) != mark->or_position) {
        wrong = differs("position %llu, expected %llu", U(hf_session_position(session)), U(mark->position));
    }
    for (uint32_t i = 0; i < m->sku_count && !wrong; i++) {
        wrong = compare_sku(m, i, session);
    }
    for (uint32_t i = 0; i < m->order_count && !wrong; i++) {
        wrong = compare_order(m, i, session);
    }
    wrong = wrong ? wrong : check_invariants(engine, session);
    hf_session_close(session);
    return wrong;
}

const char *flow_difference(const flow_mark *mark, hf_engine *engine) {
    model *m = model_copy(mark->model);
    const char *wrong = compare_all(mark, m, engine);
    model_free(m);
    return wrong;
}

void flow_move(flow *f, const hf_files *files) {
    hf_session_close(f->session);
    hf_session_close(f->other);
    (void)!hf_close(f->engine);
    f->engine = NULL;
    f->files = files;
    flow_options(&f->random, f->model, &f->clock, &f->options);
    if (harness_clock_read(&f->clock) < f->model->now_ms) {
        harness_clock_set(&f->clock, f->model->now_ms);
    }
    MUST(hf_open_on(f->files, FLOW_DIRECTORY, &f->options, &f->engine));
    const char *wrong = flow_difference(&f->marks[0], f->engine);
    CHECK(!wrong, "%s", wrong);
    open_sessions(f);
    f->position = hf_session_position(f->session); /* one of the mark's */
    model_free(f->model);
    f->model = model_copy(f->marks[0].model);
    model_advance(f->model, hf_refresh_clock(f->engine));
    f->marks[0].epoch = hf_durable(f->engine);
}

/* ---- the turn of an epoch in the midst of an operation ------------------------------------------------------------------------- */

/* At most one is armed. The steps are counted of one session only. */
static struct turn {
    flow *f;
    hf_session *session;
    unsigned at;    /* step after which the epoch turns; 0: it does not */
    unsigned cut_in; /* step after which `cut` is carried out by f->other; 0: it is not */
    unsigned steps;
    hf_op cut;
    hf_line cut_line;
    bool takes_checkpoint, turned, cut_done;
    pthread_t thread;
} turn;

static bool spins; /* somebody waits inside a section: no grace period will end */

static void *run_turn(void *context) {
    struct turn *t = context;
    hf_section_register();
    MUST(t->takes_checkpoint ? hf_checkpoint(t->f->engine) : hf_seal(t->f->engine, true));
    hf_section_unregister();
    return NULL;
}

static void turn_now(struct turn *t, uint64_t epoch) {
    t->turned = true;
    hf_store_release(&spins, true); /* to flow_may_look */
    CHECK(pthread_create(&t->thread, NULL, run_turn, t) == 0, "no thread");
    while (hf_engine_epoch(t->f->engine) <= epoch) {
    }
    hf_store_release(&spins, false); /* to flow_may_look */
}

static void cut_in_now(struct turn *t) {
    hf_reply reply;
    t->cut_done = true;
    t->cut.lines = &t->cut_line;
    MUST(hf_submit(t->f->other, &t->cut, 1, &reply, NULL));
    CHECK(reply.outcome == HF_OUTCOME_OK, "cut in: %s", hf_outcome_text(reply.outcome));
}

void __real_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step) {
    __real_hf_part_step(part, epoch, step);
    if (!turn.f || part != &turn.session->part) {
        return;
    }
    turn.steps++;
    if (turn.steps == turn.at) {
        turn_now(&turn, epoch);
    }
    if (turn.steps == turn.cut_in) {
        cut_in_now(&turn);
    }
}

bool flow_may_look(void) { return !hf_load_acquire(&spins); } /* from turn_now */

static void end_turn(void) {
    if (turn.turned) {
        CHECK(pthread_join(turn.thread, NULL) == 0, "no join");
        turn.f->turns++;
        turn.f->turned_checkpoints += turn.takes_checkpoint;
    }
    turn.f = NULL;
}

/* ---- operations ------------------------------------------------------------------------------------------------------------------ */

/* One operation twice: for the engine and for the model. */
typedef struct draft {
    model_op op;
    model_line lines[FLOW_LINES];
    hf_op call;
    hf_line call_lines[FLOW_LINES];
    char names[FLOW_LINES][HF_MAX_SKU_NAME + 1];
} draft;

static hf_op_type choose_type(flow *f) {
    static const uint8_t weights[] = {14, 6, 4, 12, 30, 14, 10, 10}; /* in the order of hf_op_type, from 1 */
    uint64_t left = below(f, 100);
    unsigned type = 0;
    while (left >= weights[type]) {
        left -= weights[type++];
    }
    return (hf_op_type)(type + 1);
}

/* Whether what the engine answers of this id is certain. The model learns what is forgotten. */
static bool is_certain(flow *f, uint32_t order) {
    hf_reservation found;
    if (!model_may_forget(f->model, order)) {
        return true;
    }
    int error = hf_reservation_read(f->other, order_id(order), &found, NULL, 0);
    CHECK(error == HF_SUCCESS || error == HF_ENOTFOUND, "order %u: %s", order, hf_error_name(error));
    model_forget(f->model, order, error == HF_ENOTFOUND);
    return error == HF_ENOTFOUND; /* else it may be forgotten at any moment */
}

/* Mostly one on which the operation does something. */
static bool choose_order(flow *f, hf_op_type type, uint32_t *order) {
    for (unsigned tries = 0; tries < 20; tries++) {
        uint32_t number = (uint32_t)below(f, f->model->order_count);
        bool known = model_knows(f->model, number);
        hf_state state = known ? f->model->orders[number].state : HF_STATE_UNKNOWN;
        bool fits = type < HF_OP_CONFIRM ? !known : state == HF_STATE_LIVE || state == HF_STATE_EXPIRED;
        if ((fits || tries > 12 || chance(f, 10)) && is_certain(f, number)) {
            *order = number;
            return true;
        }
    }
    return false;
}

static int64_t choose_quantity(flow *f, hf_op_type type) {
    int64_t quantity = 1 + (int64_t)below(f, type == HF_OP_RECEIVE ? 30 : 4);
    quantity = type == HF_OP_COUNT ? (int64_t)below(f, 25) : quantity;
    return type == HF_OP_ADJUST && chance(f, 60) ? -quantity : quantity;
}

static void draft_lines(flow *f, draft *d) {
    bool many = d->op.type == HF_OP_PURCHASE || d->op.type == HF_OP_RESERVE;
    d->op.line_count = many && chance(f, 60) ? 1 + (uint32_t)below(f, f->most_lines) : 1;
    for (uint32_t i = 0; i < d->op.line_count; i++) {
        d->lines[i] = (model_line){(uint32_t)below(f, f->model->sku_count), choose_quantity(f, d->op.type)};
        size_t length = sku_name(d->lines[i].sku, d->names[i]);
        d->call_lines[i] = (hf_line){.name = d->names[i], .name_length = length, .quantity = d->lines[i].quantity};
    }
    d->op.lines = d->lines;
    d->call.lines = d->call_lines;
    d->call.line_count = d->op.line_count;
}

static bool make_draft(flow *f, draft *d, hf_op_type type) {
    d->op = (model_op){.type = type};
    d->call = (hf_op){.type = type};
    if (!choose_order(f, type, &d->op.order)) {
        return false;
    }
    d->call.id = order_id(d->op.order);
    if (type < HF_OP_CONFIRM) {
        draft_lines(f, d);
    }
    d->call.ttl_ms = d->op.ttl_ms = chance(f, 10) ? 1 + below(f, HF_MAX_TTL_MS) : 1 + below(f, 400);
    d->call.user = d->op.user = harness_next(&f->random);
    d->call.position = chance(f, 70) ? ++f->next_position : 0;
    return true;
}

static void judge(flow *f, const draft *d, const hf_reply *reply) {
    model_reply expected = model_apply(f->model, &d->op);
    CHECK(reply->error == expected.error, "%s of order %u: %s, expected %s", hf_op_text(d->op.type), d->op.order,
          hf_error_name(reply->error), hf_error_name(expected.error));
    if (reply->error) {
        return;
    }
    CHECK(reply->outcome == expected.outcome && reply->state == expected.state && reply->deadline_ms == expected.deadline_ms,
          "%s of order %u: %s, %s, deadline %llu, expected %s, %s, %llu", hf_op_text(d->op.type), d->op.order,
          hf_outcome_text(reply->outcome), hf_state_text(reply->state), U(reply->deadline_ms), hf_outcome_text(expected.outcome),
          hf_state_text(expected.state), U(expected.deadline_ms));
    bool stepped = reply->outcome == HF_OUTCOME_OK || reply->outcome == HF_OUTCOME_CONFIRMED_LATE;
    if (stepped) {
        CHECK(reply->version >= expected.version_low && reply->version <= expected.version_high,
              "%s of order %u: version %llu, expected %llu..%llu", hf_op_text(d->op.type), d->op.order, U(reply->version),
              U(expected.version_low), U(expected.version_high));
        model_fix_version(f->model, &expected, reply->version);
    }
    if (d->op.type < HF_OP_CONFIRM && reply->outcome == HF_OUTCOME_OK) {
        model_order *order = &f->model->orders[d->op.order];
        order->first_version_low = order->first_version_high = reply->version;
    }
    f->ticket = reply->ticket > f->ticket ? reply->ticket : f->ticket;
    f->position = d->call.position > f->position ? d->call.position : f->position;
    f->operations++;
}

/* Carries out and judges; a full ring is polled empty. */
static void carry_out(flow *f, const draft *d) {
    hf_reply reply;
    for (unsigned tries = 0; hf_submit(f->session, &d->call, 1, &reply, NULL) == HF_EAGAIN; tries++) {
        CHECK(tries < 3, "HF_EAGAIN after a poll");
        flow_poll(f);
    }
    judge(f, d, &reply);
}

static void one_operation(flow *f) {
    draft d;
    if (make_draft(f, &d, choose_type(f))) {
        carry_out(f, &d);
    }
}

/* ---- operations in whose midst the epoch turns -------------------------------------------------------------------------------- */

/* A drafted operation of several SKUs that the model carries out, and what it makes of the model. */
typedef struct plan {
    draft d;
    model *after;
    const model_line *lines; /* distinct, in the order in which they are taken */
    uint32_t count;
    bool releases;
} plan;

static bool make_plan(flow *f, plan *p) {
    static const hf_op_type types[] = {HF_OP_PURCHASE, HF_OP_RESERVE, HF_OP_RESERVE, HF_OP_CONFIRM, HF_OP_CONFIRM, HF_OP_CANCEL};
    for (unsigned tries = 0; tries < 30; tries++) {
        if (!make_draft(f, &p->d, types[below(f, 6)])) {
            continue;
        }
        p->after = model_copy(f->model);
        model_reply reply = model_apply(p->after, &p->d.op);
        const model_order *order = &p->after->orders[p->d.op.order];
        bool done = !reply.error && (reply.outcome == HF_OUTCOME_OK || reply.outcome == HF_OUTCOME_CONFIRMED_LATE);
        if (done && order->line_count > 1) {
            p->lines = order->lines;
            p->count = order->line_count;
            p->releases = p->d.op.type == HF_OP_CANCEL;
            return true;
        }
        model_free(p->after);
    }
    return false;
}

/* Two versions more for each of the first `count` lines: taken and given back. */
static void give_back(model *m, const plan *p, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        m->skus[p->lines[i].sku].version += 2;
    }
}

static void mark_given_back(flow *f, const model *m, const plan *p, uint32_t count, uint64_t ahead) {
    model *left = model_copy(m);
    give_back(left, p, count);
    mark_sealing(f, left, f->position, ahead);
    model_free(left);
}

/* Which marks the turn leaves behind durable: all with a checkpoint, which seals once more; else all but what is of epoch e + 1. */
static void run_plan(flow *f, plan *p, hf_reply *reply) {
    turn.f = f;
    turn.session = f->session;
    MUST(hf_submit(f->session, &p->d.call, 1, reply, NULL));
    end_turn();
}

/* The operation goes through. */
static void turn_within(flow *f, plan *p) {
    hf_reply reply;
    uint64_t position = p->d.call.position > f->position ? p->d.call.position : f->position;
    turn.at = 1 + (unsigned)below(f, p->count - 1);
    if (p->releases) {
        mark_sealing(f, p->after, f->position, 0);
    } else {
        mark_given_back(f, f->model, p, turn.at, 0);
    }
    if (turn.takes_checkpoint) {
        mark_sealing(f, p->after, position, 1);
    }
    run_plan(f, p, &reply);
    CHECK(turn.turned, "no step was hooked: is the program linked with --wrap=hf_part_step?");
    judge(f, &p->d, &reply);
    sealed(f);
}

/* What another session does to line `j` when the operation has begun: there is nothing left of it to be taken. */
static void plan_cut(flow *f, const plan *p, uint32_t j) {
    static uint64_t cuts;
    uint32_t number = p->lines[j].sku;
    const model_sku *sku = &f->model->skus[number];
    static char name[HF_MAX_SKU_NAME + 1];
    bool counts = p->d.op.type == HF_OP_CONFIRM && f->model->orders[p->d.op.order].state == HF_STATE_LIVE;
    turn.cut_line = (hf_line){.name = name, .name_length = sku_name(number, name)};
    turn.cut_line.quantity = counts ? 0 : sku->reserved - sku->on_hand;
    turn.cut = (hf_op){.type = counts ? HF_OP_COUNT : HF_OP_ADJUST, .id = harness_id(UINT64_C(1) << 55, ++cuts), .line_count = 1};
}

static void apply_cut(model *m, uint32_t number, bool counts) {
    model_sku *sku = &m->skus[number];
    sku->on_hand = counts ? 0 : sku->reserved;
    sku->version++;
}

/* The operation finds line `j` gone, and gives back. */
static void turn_and_undo(flow *f, plan *p) {
    hf_reply reply;
    uint32_t j = 1 + (uint32_t)below(f, p->count - 1); /* lines before it are taken */
    plan_cut(f, p, j);
    bool counts = turn.cut.type == HF_OP_COUNT;
    turn.cut_in = 1 + (unsigned)below(f, j);
    turn.at = (unsigned)below(f, 2 * j); /* 0: the epoch does not turn */
    model *cut = model_copy(f->model);
    apply_cut(cut, p->lines[j].sku, counts);
    if (turn.at > 0) {
        mark_given_back(f, turn.cut_in < turn.at ? cut : f->model, p, turn.at < j ? turn.at : j, 0);
    }
    if (turn.at > 0 && turn.takes_checkpoint) {
        uint64_t before = f->position;
        f->position = p->d.call.position > before ? p->d.call.position : before;
        mark_given_back(f, cut, p, j, 1);
        f->marks[f->mark_count - 1].or_position = before;
        f->position = before;
    }
    model_free(cut);
    run_plan(f, p, &reply);
    CHECK(turn.cut_done && turn.turned == (turn.at > 0), "no step was hooked");
    apply_cut(f->model, p->lines[j].sku, counts);
    judge(f, &p->d, &reply);
    CHECK(reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "%s", hf_outcome_text(reply.outcome));
    give_back(f->model, p, j);
    if (turn.at > 0) {
        sealed(f);
    }
    f->undone++;
}

static void turned_operation(flow *f) {
    plan p;
    flow_poll(f); /* nothing is due, nothing is in a ring */
    if (!make_plan(f, &p)) {
        return;
    }
    turn = (struct turn){.takes_checkpoint = chance(f, 25)};
    if (p.releases || chance(f, 60)) {
        turn_within(f, &p);
    } else {
        turn_and_undo(f, &p);
    }
    model_free(p.after);
}

/* ---- everything else --------------------------------------------------------------------------------------------------------------- */

void flow_poll(flow *f) {
    bool turns = chance(f, 15);
    uint64_t clock = harness_clock_read(&f->clock);
    model_advance(f->model, clock);
    mark_sealing(f, f->model, f->position, 0);
    if (turns) { /* in the midst of an expiry, if there is one */
        mark_sealing(f, f->model, f->position, 1);
        turn = (struct turn){.f = f,
                             .session = f->engine->keeper,
                             .at = 1 + (unsigned)below(f, 5),
                             .takes_checkpoint = chance(f, 25)};
    }
    MUST(hf_poll(f->engine));
    if (turns) {
        bool turned = turn.turned;
        end_turn();
        if (!turned) {
            model_free(f->marks[--f->mark_count].model);
        }
    }
    model_settle(f->model);
    sealed(f);
    CHECK(hf_durable(f->engine) >= f->ticket, "ticket %llu is not durable after a poll", U(f->ticket));
    f->polls++;
}

static void checkpoint(flow *f) {
    mark_sealing(f, f->model, f->position, 0);
    MUST(hf_checkpoint(f->engine));
    sealed(f);
    f->checkpoints++;
}

/* Where the clock goes next: nowhere, a little, to the edge of a deadline, far, or back. */
static uint64_t choose_time(flow *f) {
    uint64_t now = f->model->now_ms;
    const model_order *order = &f->model->orders[below(f, f->model->order_count)];
    switch (below(f, 10)) {
    case 0:
    case 1:
    case 2:
        return order->state == HF_STATE_LIVE ? order->deadline_ms + below(f, 3) - 1 : now + 1;
    case 3:
        return now - below(f, 3600 * 1000);
    case 4:
        return chance(f, 5) ? now + below(f, HF_MAX_TTL_MS) : now + below(f, 5000);
    default:
        return now + below(f, 60);
    }
}

static void pass_time(flow *f) {
    uint64_t time = choose_time(f);
    if (time < TIME_END) {
        harness_clock_set(&f->clock, time);
    }
    if (chance(f, 80)) {
        model_advance(f->model, hf_refresh_clock(f->engine));
    }
}

static void reopen(flow *f) {
    flow_close(f);
    flow_open(f);
    f->reopens++;
}

static void reopen_session(flow *f) {
    hf_session_close(f->session);
    MUST(hf_session_open(f->engine, "flow", &f->session));
    CHECK(hf_session_position(f->session) == f->position, "position %llu, expected %llu", U(hf_session_position(f->session)),
          U(f->position));
}

void flow_step(flow *f) {
    uint64_t die = below(f, 1000);
    if (die < 650) {
        one_operation(f);
    } else if (die < 760) {
        pass_time(f);
    } else if (die < 880) {
        flow_poll(f);
    } else if (die < 960) {
        turned_operation(f);
    } else if (die < 975) {
        checkpoint(f);
    } else if (die < 985) {
        (void)hf_wal_prepare(f->engine->wal, 1 + (unsigned)below(f, 2));
    } else if (die < 993) {
        reopen_session(f);
    } else {
        reopen(f);
    }
}
