/* The engine against the slow model: seeded random flows, one thread, the host's clock.
 *
 * Guarantees, each checked over many worlds (a world is one seed: its SKUs, ids, options and moments)
 *   A  Every reply's error, outcome, version, deadline, state and refused line are the model's.
 *   B  Every SKU, every id and both iterations are the model's at random moments: in the midst, after hf_checkpoint,
 *      after a close and an open with other options.
 *   C  A copy of the directory at any moment opens as the model was at the last seal, with the caller's position of
 *      then.
 *   D  Every ticket is durable after the next hf_poll.
 *   E  The log, replayed by the reader alone, gives the same totals and gapless chains.
 *
 * HF_SEED=n HF_ROUNDS=1 runs one world again. Few SKUs and ids on purpose: collisions are the point.
 */
#include "tests/support/model.h"
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 48u
#define TIME_END (HARNESS_EPOCH_MS + UINT64_C(60) * 366 * 24 * 3600 * 1000)
#define U(value) ((unsigned long long)(value))

typedef struct name {
    uint8_t bytes[HF_MAX_SKU_NAME + 1]; /* one more, so that a name too long can be tried */
    size_t length;
} name;

enum { WORLDS_LEAST = 20, WORLDS_MOST = 1000 };

typedef struct tally {
    uint64_t outcomes[HF_OUTCOME_COUNT];
    uint64_t worlds, crashes, reopens, checkpoints, compared, audited_steps, waited_for_room;
} tally;

typedef struct world {
    uint64_t random;
    uint64_t step;
    harness_clock clock;
    hf_options options;
    char directory[HARNESS_PATH];
    hf_engine *engine;
    hf_session *flow;  /* bears a name and positions */
    hf_session *other; /* neither */
    model *model;
    model *durable; /* as of the last seal */
    uint64_t position, durable_position, next_position;
    uint64_t ticket; /* the highest answered */
    bool log_is_whole;
    bool is_volatile;
    name *names;
    hf_sku **handles;
    hf_id *ids;
    tally *tally;
} world;

/* One operation twice: for the engine and for the model. */
typedef struct draft {
    hf_op call;
    model_op op;
    model_line *lines;
    hf_line *call_lines;
    bool is_malformed;
} draft;

/* ---- opening, closing, sealing ----------------------------------------------------------------------------------- */

static uint64_t below(world *w, uint64_t limit) { return harness_below(&w->random, limit); }
static bool chance(world *w, unsigned percent) { return harness_chance(&w->random, percent); }

static void choose_options(world *w, hf_options *options) {
    static const uint32_t shards[] = {1, 2, 4, 16, 64};
    static const uint64_t sizes[] = {1, 16, 1000, 0};
    hf_options_init(options);
    options->flags = HF_NO_THREADS | (w->is_volatile ? HF_VOLATILE : 0u);
    options->shards = shards[below(w, 5)];
    options->expected_skus = sizes[below(w, 4)];
    options->expected_reservations = sizes[below(w, 4)];
    options->retention_ms = w->model->retention_ms;
    options->segment_bytes = (1u + below(w, 2)) << 20;
    options->ring_bytes = 512u << 10;
    options->clock = harness_clock_read;
    options->clock_context = &w->clock;
}

static void open_engine(world *w) {
    memset(w->handles, 0, w->model->sku_count * sizeof *w->handles);
    MUST(hf_open(w->is_volatile ? NULL : w->directory, &w->options, &w->engine));
    MUST(hf_session_open(w->engine, "flow", &w->flow));
    MUST(hf_session_open(w->engine, NULL, &w->other));
    CHECK(hf_session_position(w->flow) == w->position, "position %llu, expected %llu", U(hf_session_position(w->flow)),
          U(w->position));
}

static void close_engine(world *w) {
    hf_session_close(w->flow);
    hf_session_close(w->other);
    MUST(hf_close(w->engine));
}

/* What was done before is durable now. */
static void sealed(world *w) {
    model_free(w->durable);
    w->durable = model_copy(w->model);
    w->durable_position = w->position;
    CHECK(hf_durable(w->engine) >= w->ticket, "ticket %llu is not durable (%llu) after a seal", U(w->ticket),
          U(hf_durable(w->engine)));
}

static void refresh_clock(world *w) {
    uint64_t now = hf_refresh_clock(w->engine), raw = harness_clock_read(&w->clock);
    uint64_t expected = raw > w->model->now_ms ? raw : w->model->now_ms;
    CHECK(now == expected, "the logical clock is %llu, expected %llu", U(now), U(expected));
    model_advance(w->model, now);
}

static void poll_engine(world *w) {
    if (chance(w, 20)) {
        MUST(hf_wait(w->engine, w->ticket, UINT64_MAX));
        refresh_clock(w);
        MUST(hf_poll(w->engine)); /* a wait for what is durable already need not do anything */
    } else {
        MUST(hf_poll(w->engine));
        refresh_clock(w);
    }
    model_settle(w->model);
    sealed(w);
}

/* ---- reading, and comparing the whole state ---------------------------------------------------------------------- */

/* Everything that waited in the ring is written, and whatever was due has been expired. */
static void make_room(world *w) {
    MUST(hf_poll(w->engine));
    refresh_clock(w);
    model_settle(w->model);
    sealed(w);
    w->tally->waited_for_room++;
}

/* Calls that may answer HF_EAGAIN (an expiry found the ring full) are made again after a poll. */
#define WITH_ROOM(w, result, call)                                                                                     \
    for (unsigned tries = 0; ((result) = (call)) == HF_EAGAIN; tries++) {                                              \
        CHECK(tries < 100, "still HF_EAGAIN after %u polls", tries);                                                   \
        make_room(w);                                                                                                  \
    }

static void compare_sku(world *w, uint32_t number) {
    model_sku *expected = &w->model->skus[number];
    const name *n = &w->names[number];
    hf_stock found;
    hf_sku *sku = NULL;
    int error = hf_sku_find(w->other, n->bytes, n->length, &sku);
    CHECK(error == (expected->exists ? HF_SUCCESS : HF_ENOTFOUND), "SKU %u: %s, the model says %s", number,
          hf_error_name(error), expected->exists ? "it exists" : "there is none");
    if (!expected->exists) {
        return;
    }
    CHECK(!w->handles[number] || w->handles[number] == sku, "SKU %u has two handles", number);
    w->handles[number] = sku;
    WITH_ROOM(w, error, hf_sku_read(w->other, sku, &found));
    CHECK(error == HF_SUCCESS, "SKU %u: %s", number, hf_error_name(error));
    expected->version += expected->due;
    expected->due = 0;
    CHECK(found.on_hand == expected->on_hand && found.reserved == expected->reserved &&
              found.version == expected->version && found.available == found.on_hand - found.reserved,
          "SKU %u: on_hand %lld reserved %lld available %lld version %llu, expected %lld %lld version %llu", number,
          (long long)found.on_hand, (long long)found.reserved, (long long)found.available, U(found.version),
          (long long)expected->on_hand, (long long)expected->reserved, U(expected->version));
    w->ticket = found.ticket > w->ticket ? found.ticket : w->ticket;
}

static void compare_lines(world *w, uint32_t number, const hf_reservation_line *found, uint32_t count) {
    const model_order *expected = &w->model->orders[number];
    CHECK(count == expected->line_count, "order %u: %u lines, expected %u", number, count, expected->line_count);
    for (uint32_t i = 0; i < count; i++) {
        size_t length;
        const void *bytes = hf_sku_name(found[i].sku, &length);
        bool same = false;
        for (uint32_t k = 0; k < count && !same; k++) {
            const name *n = &w->names[expected->lines[k].sku];
            same = n->length == length && memcmp(n->bytes, bytes, length) == 0 &&
                   expected->lines[k].quantity == found[i].quantity;
        }
        CHECK(same, "order %u: line %u with quantity %lld is not the model's", number, i, (long long)found[i].quantity);
    }
}

static void compare_known_order(world *w, uint32_t number, const hf_reservation *found,
                                const hf_reservation_line *lines) {
    const model_order *expected = &w->model->orders[number];
    bool live = expected->state == HF_STATE_LIVE, expired = expected->state == HF_STATE_EXPIRED;
    CHECK(found->state == expected->state, "order %u is %s, expected %s", number, hf_state_text(found->state),
          hf_state_text(expected->state));
    CHECK(found->deadline_ms == (live ? expected->deadline_ms : 0), "order %u: deadline %llu, expected %llu", number,
          U(found->deadline_ms), U(live ? expected->deadline_ms : 0));
    bool ended_right = expired ? found->ended_ms >= expected->ended_ms && found->ended_ms <= w->model->now_ms
                               : found->ended_ms == (live ? 0 : expected->ended_ms);
    CHECK(ended_right, "order %u (%s): ended %llu, expected %llu", number, hf_state_text(found->state),
          U(found->ended_ms), U(live ? 0 : expected->ended_ms));
    CHECK(found->version >= expected->first_version_low && found->version <= expected->first_version_high,
          "order %u: version %llu, expected %llu", number, U(found->version), U(expected->first_version_low));
    CHECK(!live || found->user == expected->user, "order %u: user %llu, expected %llu", number, U(found->user),
          U(expected->user));
    if (live || expired) {
        compare_lines(w, number, lines, found->line_count);
    }
}

/* Reads one id. What was remembered long enough may be there or not: the model then follows the engine. */
static void compare_order(world *w, uint32_t number) {
    static hf_reservation_line lines[HF_MAX_LINES];
    hf_reservation found;
    int error;
    WITH_ROOM(w, error, hf_reservation_read(w->other, w->ids[number], &found, lines, HF_MAX_LINES));
    if (model_may_forget(w->model, number)) {
        model_forget(w->model, number, error == HF_ENOTFOUND);
    }
    bool known = model_knows(w->model, number);
    CHECK(error == (known ? HF_SUCCESS : HF_ENOTFOUND), "order %u: %s, the model says %s", number, hf_error_name(error),
          hf_state_text(known ? w->model->orders[number].state : HF_STATE_UNKNOWN));
    if (known) {
        CHECK(memcmp(&found.id, &w->ids[number], sizeof(hf_id)) == 0, "order %u: another id", number);
        compare_known_order(w, number, &found, lines);
        w->ticket = found.ticket > w->ticket ? found.ticket : w->ticket;
    }
}

typedef struct visit {
    world *w;
    uint32_t count;
    uint32_t stop;
} visit;

static bool visit_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    visit *v = context;
    size_t length;
    const void *bytes = hf_sku_name(sku, &length);
    for (uint32_t i = 0; i < v->w->model->sku_count; i++) {
        if (v->w->names[i].length == length && memcmp(v->w->names[i].bytes, bytes, length) == 0) {
            CHECK(v->w->model->skus[i].exists && v->w->model->skus[i].on_hand == stock->on_hand, "SKU %u", i);
            return ++v->count != v->stop;
        }
    }
    CHECK(false, "hf_sku_each visits a SKU that nobody made");
    return false;
}

static bool visit_order(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    visit *v = context;
    for (uint32_t i = 0; i < v->w->model->order_count; i++) {
        if (memcmp(&v->w->ids[i], &found->id, sizeof(hf_id)) == 0) {
            CHECK(model_knows(v->w->model, i) && v->w->model->orders[i].state == HF_STATE_LIVE, "order %u is %s", i,
                  hf_state_text(v->w->model->orders[i].state));
            compare_known_order(v->w, i, found, lines);
            return ++v->count != v->stop;
        }
    }
    CHECK(false, "hf_reservation_each visits an id that nobody used");
    return false;
}

static void compare_iterations(world *w) {
    uint32_t skus = 0, live = 0;
    for (uint32_t i = 0; i < w->model->sku_count; i++) {
        skus += w->model->skus[i].exists;
    }
    for (uint32_t i = 0; i < w->model->order_count; i++) {
        live += w->model->orders[i].state == HF_STATE_LIVE;
    }
    visit seen_skus = {w, 0, UINT32_MAX}, seen_live = {w, 0, UINT32_MAX}, first = {w, 0, 1};
    MUST(hf_sku_each(w->other, visit_sku, &seen_skus));
    MUST(hf_reservation_each(w->other, visit_order, &seen_live));
    MUST(hf_sku_each(w->other, visit_sku, &first));
    hf_stats stats;
    hf_stats_read(w->engine, &stats);
    CHECK(seen_skus.count == skus && stats.skus == skus, "%u SKUs visited, %llu by the gauge, expected %u",
          seen_skus.count, U(stats.skus), skus);
    CHECK(seen_live.count == live && stats.live == live, "%u live visited, %llu by the gauge, expected %u",
          seen_live.count, U(stats.live), live);
    CHECK(first.count == (skus ? 1 : 0), "an iteration that was told to stop went on");
}

static void compare_world(world *w) {
    for (uint32_t i = 0; i < w->model->sku_count; i++) {
        compare_sku(w, i);
    }
    for (uint32_t i = 0; i < w->model->order_count; i++) {
        compare_order(w, i);
    }
    compare_iterations(w);
    CHECK(hf_session_position(w->flow) == w->position, "position %llu, expected %llu", U(hf_session_position(w->flow)),
          U(w->position));
    const char *wrong = model_is_valid(w->model);
    CHECK(!wrong, "the model itself: %s", wrong);
    w->tally->compared++;
}

/* ---- drafting operations ----------------------------------------------------------------------------------------- */

static hf_op_type choose_type(world *w) {
    static const uint8_t weights[] = {12, 8, 4, 12, 28, 16, 10, 10}; /* in the order of hf_op_type, from 1 */
    uint64_t left = below(w, 100);
    unsigned type = 0;
    while (left >= weights[type]) {
        left -= weights[type++];
    }
    return (hf_op_type)(type + 1);
}

/* An id whose answer is certain; it lies in what the operation would find most interesting, mostly. */
static bool choose_order(world *w, hf_op_type type, uint32_t *order) {
    for (unsigned tries = 0; tries < 30; tries++) {
        uint32_t number = (uint32_t)below(w, w->model->order_count);
        hf_state state = model_knows(w->model, number) ? w->model->orders[number].state : HF_STATE_UNKNOWN;
        bool interesting =
            type < HF_OP_CONFIRM ? state == HF_STATE_UNKNOWN : state == HF_STATE_LIVE || state == HF_STATE_EXPIRED;
        if (!interesting && tries < 20 && chance(w, 80)) {
            continue;
        }
        if (model_may_forget(w->model, number)) {
            compare_order(w, number); /* the model learns whether it is forgotten */
            if (model_knows(w->model, number)) {
                continue; /* it may be forgotten at any moment now */
            }
        }
        *order = number;
        return true;
    }
    return false;
}

static uint32_t choose_line_count(world *w) {
    if (chance(w, 60)) {
        return 1;
    }
    if (w->model->sku_count > 1000 && chance(w, 10)) {
        return chance(w, 30) ? HF_MAX_LINES : 1 + (uint32_t)below(w, HF_MAX_LINES);
    }
    return 1 + (uint32_t)below(w, 10);
}

static int64_t choose_quantity(world *w, hf_op_type type) {
    int64_t quantity = 1 + (int64_t)below(w, type == HF_OP_RECEIVE ? 12 : 4);
    if (type == HF_OP_COUNT) {
        quantity = (int64_t)below(w, 20);
    }
    if (chance(w, 2)) {
        quantity = chance(w, 50) ? HF_MAX_QUANTITY : HF_MAX_QUANTITY - (int64_t)below(w, 20);
    } else if (chance(w, 5)) {
        quantity = 1 + (int64_t)below(w, 60);
    }
    return type == HF_OP_ADJUST && chance(w, 60) ? -quantity : quantity;
}

static uint64_t choose_ttl(world *w) {
    switch (below(w, 8)) {
    case 0:
        return 1;
    case 1:
        return HF_MAX_TTL_MS - below(w, 2);
    case 2:
        return 1 + below(w, 3600 * 1000);
    default:
        return 1 + below(w, 100);
    }
}

/* By handle where one is known, or by name. */
static hf_line call_line(world *w, const model_line *line) {
    hf_sku *handle = chance(w, 50) ? w->handles[line->sku] : NULL;
    if (handle) {
        return (hf_line){.sku = handle, .quantity = line->quantity};
    }
    return (hf_line){
        .name = w->names[line->sku].bytes, .name_length = w->names[line->sku].length, .quantity = line->quantity};
}

static void draft_lines(world *w, draft *d) {
    bool many = d->op.type == HF_OP_PURCHASE || d->op.type == HF_OP_RESERVE;
    uint32_t count = many ? choose_line_count(w) : 1;
    uint32_t common = w->model->sku_count > 50 && count < 50 ? 50 : w->model->sku_count;
    d->lines = calloc(count, sizeof *d->lines);
    d->call_lines = calloc(count, sizeof *d->call_lines);
    CHECK(d->lines && d->call_lines, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        d->lines[i] = (model_line){(uint32_t)below(w, common), count == 1 ? choose_quantity(w, d->op.type) : 1};
        d->lines[i].quantity += count > 1 && count < 100 && chance(w, 30);
        d->call_lines[i] = call_line(w, &d->lines[i]);
    }
    d->op.lines = d->lines;
    d->op.line_count = count;
    d->call.lines = d->call_lines;
    d->call.line_count = count;
}

/* Where steps may still be due the version is not certain, and neither is the answer. */
static void draft_if_version(world *w, draft *d) {
    const model_sku *sku = &w->model->skus[d->lines[0].sku];
    bool certain = sku->exists && sku->due == 0 && llabs(d->lines[0].quantity) < HF_MAX_QUANTITY / 2;
    if (d->op.line_count == 1 && certain && sku->version > 1 && chance(w, 20)) {
        d->op.if_version = chance(w, 60) ? sku->version : sku->version + below(w, 3) - 1;
        d->call.if_version = d->op.if_version;
    }
}

/* One of the ways to be refused with HF_EINVAL. */
static void malform(world *w, draft *d) {
    bool lines = d->op.type < HF_OP_CONFIRM, ttl = d->op.type == HF_OP_RESERVE || d->op.type == HF_OP_EXTEND;
    hf_line *line = d->call_lines;
    switch (below(w, 8)) {
    case 0:
        d->call.type = HF_OP_TYPE_END;
        break;
    case 1:
        d->call.type = (hf_op_type)0;
        break;
    case 2:
        d->call.line_count = lines ? 0 : d->call.line_count;
        break;
    case 3:
        d->call.ttl_ms = ttl ? 0 : d->call.ttl_ms;
        break;
    case 4:
        d->call.ttl_ms = ttl ? HF_MAX_TTL_MS + 1 : d->call.ttl_ms;
        break;
    case 5:
        if (lines) {
            line->quantity = d->op.type == HF_OP_COUNT ? -1 : 0;
        }
        break;
    case 6:
        if (lines) {
            *line = (hf_line){
                .name = w->names[0].bytes, .name_length = chance(w, 50) ? 0 : HF_MAX_SKU_NAME + 1, .quantity = 1};
        }
        break;
    default:
        if (lines) {
            line->quantity = d->op.type == HF_OP_ADJUST ? -HF_MAX_QUANTITY - 1 : HF_MAX_QUANTITY + 1;
        }
        break;
    }
    bool changed =
        d->call.type != d->op.type || d->call.ttl_ms != d->op.ttl_ms || d->call.line_count != d->op.line_count ||
        (lines &&
         (line->quantity != d->lines->quantity || (!line->sku && line->name_length != w->names[d->lines->sku].length)));
    d->is_malformed = changed;
}

static bool make_draft(world *w, draft *d) {
    *d = (draft){.op.type = choose_type(w)};
    if (!choose_order(w, d->op.type, &d->op.order)) {
        return false;
    }
    d->call.type = d->op.type;
    d->call.id = w->ids[d->op.order];
    if (d->op.type < HF_OP_CONFIRM) {
        draft_lines(w, d);
        draft_if_version(w, d);
    }
    if (d->op.type == HF_OP_RESERVE || d->op.type == HF_OP_EXTEND) {
        d->call.ttl_ms = d->op.ttl_ms = choose_ttl(w);
        d->call.user = d->op.user = harness_next(&w->random);
    }
    if (chance(w, 70)) {
        d->call.position = ++w->next_position;
    }
    if (chance(w, 2)) {
        malform(w, d);
    }
    return true;
}

static void free_draft(draft *d) {
    free(d->lines);
    free(d->call_lines);
}

/* ---- judging a reply --------------------------------------------------------------------------------------------- */

static const char *describe(const world *w, const draft *d) {
    static char text[200];
    snprintf(text, sizeof text, "step %llu: %s of order %u, %u lines (first: SKU %u, %lld), ttl %llu, if_version %llu",
             U(w->step), hf_op_text(d->op.type), d->op.order, d->op.line_count, d->lines ? d->lines[0].sku : 0,
             d->lines ? (long long)d->lines[0].quantity : 0, U(d->op.ttl_ms), U(d->op.if_version));
    return text;
}

/* A refusal for want of units bears the version of the SKU that it names. */
static void judge_out_of_stock(world *w, const draft *d, const hf_reply *reply, model_reply *expected) {
    const model_order *order = &w->model->orders[d->op.order];
    bool of_order = d->op.type == HF_OP_CONFIRM;
    uint32_t count = of_order ? order->line_count : d->op.line_count;
    CHECK(reply->line < count, "%s: line %u of %u", describe(w, d), reply->line, count);
    if (!of_order) {
        uint32_t sku = d->lines[reply->line].sku;
        CHECK(model_line_refused(w->model, &d->op, HF_OUTCOME_OUT_OF_STOCK, sku), "%s: line %u was not the one short",
              describe(w, d), reply->line);
        expected->version_low = w->model->skus[sku].version;
        expected->version_high = expected->version_low + w->model->skus[sku].due;
        return;
    }
    for (uint32_t i = 0; i < count; i++) { /* in whatever order the engine keeps them */
        const model_sku *sku = &w->model->skus[order->lines[i].sku];
        if (reply->version >= sku->version && reply->version <= sku->version + sku->due) {
            expected->version_low = expected->version_high = reply->version;
        }
    }
}

static void judge(world *w, const draft *d, const hf_reply *reply) {
    if (d->is_malformed) {
        CHECK(reply->error == HF_EINVAL, "%s: malformed, and %s", describe(w, d), hf_error_name(reply->error));
        return;
    }
    model_reply expected = model_apply(w->model, &d->op);
    CHECK(reply->error == expected.error, "%s: %s, expected %s", describe(w, d), hf_error_name(reply->error),
          hf_error_name(expected.error));
    if (expected.error) {
        return;
    }
    CHECK(reply->outcome == expected.outcome, "%s: %s, expected %s", describe(w, d), hf_outcome_text(reply->outcome),
          hf_outcome_text(expected.outcome));
    if (expected.outcome == HF_OUTCOME_OUT_OF_STOCK) {
        judge_out_of_stock(w, d, reply, &expected);
    } else if (expected.outcome == HF_OUTCOME_UNKNOWN_SKU) {
        CHECK(reply->line < d->op.line_count, "%s: line %u", describe(w, d), reply->line);
        CHECK(model_line_refused(w->model, &d->op, expected.outcome, d->lines[reply->line].sku), "%s: line %u is known",
              describe(w, d), reply->line);
    }
    CHECK(reply->version >= expected.version_low && reply->version <= expected.version_high,
          "%s: %s with version %llu, expected %llu..%llu", describe(w, d), hf_outcome_text(reply->outcome),
          U(reply->version), U(expected.version_low), U(expected.version_high));
    CHECK(reply->deadline_ms == expected.deadline_ms, "%s: %s with deadline %llu, expected %llu", describe(w, d),
          hf_outcome_text(reply->outcome), U(reply->deadline_ms), U(expected.deadline_ms));
    CHECK(reply->state == expected.state, "%s: %s with state %s, expected %s", describe(w, d),
          hf_outcome_text(reply->outcome), hf_state_text(reply->state), hf_state_text(expected.state));
    model_fix_version(w->model, &expected, reply->version);
    if (d->op.type < HF_OP_CONFIRM && expected.outcome == HF_OUTCOME_OK) {
        w->model->orders[d->op.order].first_version_low = w->model->orders[d->op.order].first_version_high =
            reply->version;
    }
    w->ticket = reply->ticket > w->ticket ? reply->ticket : w->ticket;
    w->tally->outcomes[expected.outcome]++;
}

/* ---- carrying out operations ------------------------------------------------------------------------------------- */

/* By the operation's own function; what only hf_submit takes is left out of the draft. */
static int call_alone(hf_session *session, const hf_op *op, hf_reply *reply) {
    switch (op->type) {
    case HF_OP_RECEIVE:
        return hf_receive(session, op->id, op->lines[0], reply);
    case HF_OP_ADJUST:
        return hf_adjust(session, op->id, op->lines[0], reply);
    case HF_OP_COUNT:
        return hf_count(session, op->id, op->lines[0], reply);
    case HF_OP_PURCHASE:
        return hf_purchase(session, op->id, op->lines, op->line_count, reply);
    case HF_OP_RESERVE:
        return hf_reserve(session, op->id, op->lines, op->line_count, op->ttl_ms, op->user, reply);
    case HF_OP_CONFIRM:
        return hf_confirm(session, op->id, reply);
    case HF_OP_CANCEL:
        return hf_cancel(session, op->id, reply);
    default:
        return hf_extend(session, op->id, op->ttl_ms, reply);
    }
}

static void one_operation(world *w) {
    draft d;
    hf_reply reply;
    int error;
    if (!make_draft(w, &d)) {
        return;
    }
    bool plain = d.call.type == d.op.type && d.op.if_version == 0 &&
                 (d.op.type > HF_OP_COUNT || d.call.line_count == 1) && d.op.type != HF_OP_TYPE_END;
    if (plain) {
        d.call.position = 0;
        WITH_ROOM(w, error, call_alone(w->other, &d.call, &reply));
        CHECK(error == reply.error, "%s: returned %s, replied %s", describe(w, &d), hf_error_name(error),
              hf_error_name(reply.error));
        judge(w, &d, &reply);
    }
    free_draft(&d);
}

/* Hands ops to hf_submit; where the ring stops it, the rest goes after a poll. */
static void submit_all(world *w, const draft *drafts, const hf_op *ops, uint32_t count) {
    hf_reply replies[BATCH_MAX];
    for (uint32_t from = 0, idle = 0; from < count;) {
        size_t done = SIZE_MAX;
        memset(replies, 0xa5, sizeof replies);
        int error = hf_submit(w->flow, ops + from, count - from, replies, &done);
        CHECK(error == (done < count - from ? HF_EAGAIN : HF_SUCCESS), "step %llu: %s with %zu of %u done", U(w->step),
              hf_error_name(error), done, count - from);
        for (uint32_t i = 0; i < done; i++) {
            judge(w, &drafts[from + i], &replies[i]);
            if (replies[i].error == HF_SUCCESS && ops[from + i].position > w->position) {
                w->position = ops[from + i].position;
            }
        }
        from += (uint32_t)done;
        idle = done ? 0 : idle + 1;
        CHECK(idle < 100, "step %llu: HF_EAGAIN for ever", U(w->step));
        if (from < count) {
            make_room(w);
        }
    }
}

static void batch_of_operations(world *w) {
    draft drafts[BATCH_MAX];
    hf_op ops[BATCH_MAX];
    uint32_t wanted = chance(w, 30) ? 1 : 1 + (uint32_t)below(w, BATCH_MAX), count = 0;
    while (count < wanted && make_draft(w, &drafts[count])) {
        ops[count] = drafts[count].call;
        count++;
    }
    if (count) {
        submit_all(w, drafts, ops, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        free_draft(&drafts[i]);
    }
}

/* ---- time, crashes and the rest ---------------------------------------------------------------------------------- */

/* Where the clock goes next: nowhere, a little, to the edge of a deadline, far, or back. */
static uint64_t choose_time(world *w) {
    uint64_t now = w->model->now_ms;
    const model_order *order = &w->model->orders[below(w, w->model->order_count)];
    switch (below(w, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return order->state == HF_STATE_LIVE ? order->deadline_ms + below(w, 3) - 1 : now + 1;
    case 4:
        return order->state > HF_STATE_LIVE ? order->ended_ms + w->model->retention_ms + below(w, 3) - 1 : now;
    case 5:
        return now - below(w, 5000);
    case 6:
        return now + below(w, 3600 * 1000);
    case 7:
        return chance(w, 10) ? now + below(w, HF_MAX_TTL_MS) : now;
    default:
        return now + below(w, 60);
    }
}

static void pass_time(world *w) {
    uint64_t time = choose_time(w);
    if (time < TIME_END) {
        harness_clock_set(&w->clock, time);
    }
    if (chance(w, 80)) {
        refresh_clock(w);
    }
}

/* A clock that has gone back is set right before a restart: what was not logged before it need not be known after it,
 * and the highest time seen may be such. */
static void settle_before_restart(world *w) {
    if (harness_clock_read(&w->clock) < w->model->now_ms) {
        harness_clock_set(&w->clock, w->model->now_ms);
    }
}

static void take_over_clock(world *w) {
    uint64_t now = hf_refresh_clock(w->engine);
    CHECK(now >= harness_clock_read(&w->clock), "the logical clock is behind the wall clock");
    w->model->now_ms = now < w->model->now_ms ? now : w->model->now_ms;
    model_advance(w->model, now);
}

static void reopen(world *w) {
    if (w->is_volatile) {
        return;
    }
    settle_before_restart(w);
    close_engine(w);
    choose_options(w, &w->options);
    open_engine(w);
    take_over_clock(w);
    w->ticket = 0;
    sealed(w);
    compare_world(w);
    w->tally->reopens++;
}

/* Opens a copy of the directory as it is now, which must be as at the last seal; the world may go on in the copy. */
static void crash(world *w) {
    char copy[HARNESS_PATH];
    if (w->is_volatile) {
        return;
    }
    settle_before_restart(w);
    harness_copy(w->directory, copy);
    bool go_on_there = chance(w, 40);
    world before = *w;
    w->handles = calloc(w->model->sku_count, sizeof *w->handles);
    CHECK(w->handles, "out of memory");
    memcpy(w->directory, copy, sizeof copy);
    w->model = model_copy(w->durable);
    w->durable = model_copy(w->durable);
    w->position = w->durable_position;
    w->ticket = 0;
    choose_options(w, &w->options);
    open_engine(w);
    take_over_clock(w);
    sealed(w);
    compare_world(w);
    if (chance(w, 30)) {
        MUST(hf_checkpoint(w->engine));
        w->log_is_whole = false;
    }
    world *leave = go_on_there ? &before : w;
    close_engine(leave);
    model_free(leave->model);
    model_free(leave->durable);
    free(leave->handles);
    harness_remove(leave->directory);
    uint64_t random = w->random, next = w->next_position;
    if (!go_on_there) {
        *w = before;
    }
    w->random = random;
    w->next_position = next;
    w->tally->crashes++;
}

static void checkpoint(world *w) {
    if (w->is_volatile) {
        CHECK(hf_checkpoint(w->engine) == HF_EINVAL, "a checkpoint of a volatile engine");
        return;
    }
    MUST(hf_checkpoint(w->engine));
    poll_engine(w);
    w->log_is_whole = false;
    w->tally->checkpoints++;
}

static void reopen_session(world *w) {
    hf_session *second;
    CHECK(hf_session_open(w->engine, "flow", &second) == HF_EBUSY, "one name, two sessions");
    hf_session_close(w->flow);
    MUST(hf_session_open(w->engine, "flow", &w->flow));
    CHECK(hf_session_position(w->flow) == w->position, "position %llu, expected %llu", U(hf_session_position(w->flow)),
          U(w->position));
}

static void one_step(world *w) {
    uint64_t die = below(w, 1000);
    if (die < 600) {
        one_operation(w);
    } else if (die < 720) {
        batch_of_operations(w);
    } else if (die < 880) {
        pass_time(w);
    } else if (die < 920) {
        poll_engine(w);
    } else if (die < 950) {
        compare_order(w, (uint32_t)below(w, w->model->order_count));
    } else if (die < 980) {
        compare_sku(w, (uint32_t)below(w, w->model->sku_count));
    } else if (die < 985) {
        compare_world(w);
    } else if (die < 988) {
        checkpoint(w);
    } else if (die < 991) {
        reopen(w);
    } else if (die < 996) {
        crash(w);
    } else {
        reopen_session(w);
    }
}

/* ---- worlds ------------------------------------------------------------------------------------------------------ */

static void make_names(world *w) {
    for (uint32_t i = 0; i < w->model->sku_count; i++) {
        name *n = &w->names[i];
        n->length = i == 0 ? 1 : chance(w, 10) ? HF_MAX_SKU_NAME : 2 + below(w, chance(w, 20) ? 254 : 14);
        for (size_t k = 0; k < sizeof n->bytes; k++) {
            n->bytes[k] = (uint8_t)below(w, 256);
        }
        n->bytes[0] = (uint8_t)i;
        n->bytes[1] = (uint8_t)(i >> 8);
    }
    for (uint32_t i = 0; i < w->model->order_count; i++) {
        char text[40];
        int length = snprintf(text, sizeof text, i % 3 == 0 ? "order-%u" : "a-longer-order-number-%u", i);
        w->ids[i] = chance(w, 60) ? hf_id_from_text(text, (size_t)length) : harness_id(w->random, i);
    }
}

static void make_world(world *w, uint64_t seed, tally *t) {
    static const uint32_t skus[] = {1, 2, 5, 12, 40, 40, 5000}, orders[] = {3, 60, 600, 2000};
    static const uint64_t retentions[] = {1, 50, 2000, 24 * 3600 * 1000};
    *w = (world){.random = seed, .tally = t, .log_is_whole = true};
    uint32_t sku_count = skus[below(w, 7)], order_count = orders[below(w, 4)];
    w->is_volatile = chance(w, 10);
    harness_clock_set(&w->clock, HARNESS_EPOCH_MS + below(w, 1000));
    w->model = model_new(sku_count, order_count, harness_clock_read(&w->clock), retentions[below(w, 4)]);
    w->durable = model_copy(w->model);
    w->names = calloc(sku_count, sizeof *w->names);
    w->handles = calloc(sku_count, sizeof *w->handles);
    w->ids = calloc(order_count, sizeof *w->ids);
    CHECK(w->names && w->handles && w->ids, "out of memory");
    make_names(w);
    harness_directory(w->directory);
    choose_options(w, &w->options);
    open_engine(w);
}

/* A world of thousands of SKUs begins with all of them received, else hardly a basket would be taken. */
static void stock_up(world *w) {
    for (uint32_t i = 0; w->model->sku_count > 1000 && i < w->model->sku_count; i++) {
        hf_reply reply;
        int error;
        hf_line line = {.name = w->names[i].bytes, .name_length = w->names[i].length, .quantity = 40};
        hf_id id = harness_id(UINT64_MAX, i);
        WITH_ROOM(w, error, hf_receive(w->other, id, line, &reply));
        CHECK(error == HF_SUCCESS && reply.outcome == HF_OUTCOME_OK, "receive of SKU %u: %s", i, hf_error_name(error));
        w->model->skus[i] = (model_sku){.exists = true, .on_hand = 40, .version = 1};
    }
}

static void end_world(world *w) {
    compare_world(w);
    poll_engine(w);
    if (w->log_is_whole && !w->is_volatile) {
        w->tally->audited_steps += audit_compare(w->directory, w->other);
    }
    close_engine(w);
    harness_remove(w->directory);
    model_free(w->model);
    model_free(w->durable);
    free(w->names);
    free(w->handles);
    free(w->ids);
    w->tally->worlds++;
}

/* An answer that no operation was given yet; HF_OUTCOME_COUNT: there is none. (in_progress wants another thread.) */
static int never_answered(const tally *t) {
    int i = 0;
    while (i < HF_OUTCOME_COUNT && (t->outcomes[i] || i == HF_OUTCOME_IN_PROGRESS)) {
        i++;
    }
    return i;
}

/* Whether there is to be one more world: for so long, and until every answer was given, but not for ever. */
static bool goes_on(const tally *t, double until) {
    bool lacks = t->worlds < WORLDS_LEAST || (t->worlds < WORLDS_MOST && never_answered(t) < HF_OUTCOME_COUNT);
    return lacks || harness_seconds() < until;
}

int main(void) {
    uint64_t first = harness_begin("model"), rounds = harness_rounds(0);
    double until = harness_seconds() + harness_time(12);
    static world w;
    tally t = {0};
    for (uint64_t seed = first; rounds ? seed < first + rounds : goes_on(&t, until); seed++) {
        harness_seed_is(seed);
        make_world(&w, seed, &t);
        stock_up(&w);
        for (w.step = 0; w.step < 600; w.step++) {
            one_step(&w);
        }
        end_world(&w);
    }
    printf("model: %llu worlds from seed %llu: %llu crashes, %llu reopens, %llu checkpoints, %llu whole comparisons, "
           "%llu steps audited, ring full %llu times: all as the model\nmodel:",
           U(t.worlds), U(first), U(t.crashes), U(t.reopens), U(t.checkpoints), U(t.compared), U(t.audited_steps),
           U(t.waited_for_room));
    for (int i = 0; i < HF_OUTCOME_COUNT; i++) {
        printf(" %llu %s", U(t.outcomes[i]), hf_outcome_text((hf_outcome)i));
    }
    printf("\n");
    CHECK(rounds || never_answered(&t) == HF_OUTCOME_COUNT, "no operation was ever answered %s",
          hf_outcome_text((hf_outcome)never_answered(&t)));
    return 0;
}
