/* The slow model. */
#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
    if (!memory) {
        abort();
    }
    return memory;
}

model *model_new(uint32_t skus, uint32_t orders, uint64_t now_ms, uint64_t retention_ms) {
    model *m = must(calloc(1, sizeof *m));
    *m = (model){.now_ms = now_ms, .retention_ms = retention_ms, .sku_count = skus, .order_count = orders};
    m->skus = must(calloc(skus, sizeof *m->skus));
    m->orders = must(calloc(orders, sizeof *m->orders));
    return m;
}

static model_line *copy_lines(const model_line *lines, uint32_t count) {
    if (count == 0) {
        return NULL;
    }
    model_line *copy = must(malloc(count * sizeof *copy));
    memcpy(copy, lines, count * sizeof *copy);
    return copy;
}

model *model_copy(const model *from) {
    model *m = model_new(from->sku_count, from->order_count, from->now_ms, from->retention_ms);
    memcpy(m->skus, from->skus, m->sku_count * sizeof *m->skus);
    memcpy(m->orders, from->orders, m->order_count * sizeof *m->orders);
    for (uint32_t i = 0; i < m->order_count; i++) {
        m->orders[i].lines = copy_lines(from->orders[i].lines, from->orders[i].line_count);
    }
    return m;
}

void model_free(model *m) {
    for (uint32_t i = 0; m && i < m->order_count; i++) {
        free(m->orders[i].lines);
    }
    if (m) {
        free(m->skus);
        free(m->orders);
    }
    free(m);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void expire(model *m, model_order *order) {
    for (uint32_t i = 0; i < order->line_count; i++) {
        model_sku *sku = &m->skus[order->lines[i].sku];
        sku->reserved -= order->lines[i].quantity;
        sku->due++;
    }
    order->state = HF_STATE_EXPIRED;
    order->ended_ms = order->deadline_ms;
}

void model_advance(model *m, uint64_t now_ms) {
    m->now_ms = now_ms > m->now_ms ? now_ms : m->now_ms;
    for (uint32_t i = 0; i < m->order_count; i++) {
        if (m->orders[i].state == HF_STATE_LIVE && m->orders[i].deadline_ms <= m->now_ms) {
            expire(m, &m->orders[i]);
        }
    }
}

void model_settle(model *m) {
    for (uint32_t i = 0; i < m->sku_count; i++) {
        m->skus[i].version += m->skus[i].due;
        m->skus[i].due = 0;
    }
}

static bool has_ended(const model_order *order) {
    return order->state != HF_STATE_UNKNOWN && order->state != HF_STATE_LIVE;
}

bool model_may_forget(const model *m, uint32_t order) {
    return has_ended(&m->orders[order]) && m->now_ms - m->orders[order].ended_ms >= m->retention_ms;
}

void model_forget(model *m, uint32_t order, bool forgotten) {
    assert(!forgotten || model_may_forget(m, order));
    m->orders[order].forgotten = forgotten;
}

bool model_knows(const model *m, uint32_t order) {
    return m->orders[order].state != HF_STATE_UNKNOWN && !m->orders[order].forgotten;
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

static model_reply answer(hf_outcome outcome, hf_state state) {
    return (model_reply){.outcome = outcome, .state = state};
}

/* The reply bears the version of this SKU as it is now. */
static model_reply with_sku(const model *m, model_reply reply, uint32_t number, bool stepped) {
    const model_sku *sku = &m->skus[number];
    reply.stepped = stepped;
    reply.sku = number;
    reply.version_low = sku->version;
    reply.version_high = sku->version + sku->due;
    return reply;
}

/* One of an order's lines, as a place to read the version after a step. Where the last line given repeats an earlier
 * SKU, its step and the last distinct SKU's are both "the last": the reply may bear either. */
static model_reply with_order(const model *m, model_reply reply, const model_order *order) {
    reply = with_sku(m, reply, order->last, true);
    const model_sku *other = &m->skus[order->lines[order->line_count - 1].sku];
    if (other != &m->skus[order->last]) {
        reply.stepped = false; /* which one it was is not to be told from the version */
        uint64_t low = other->version, high = other->version + other->due;
        reply.version_low = low < reply.version_low ? low : reply.version_low;
        reply.version_high = high > reply.version_high ? high : reply.version_high;
    }
    return reply;
}

void model_fix_version(model *m, const model_reply *reply, uint64_t version) {
    if (reply->stepped) {
        model_sku *sku = &m->skus[reply->sku];
        sku->due = sku->version + sku->due - version;
        sku->version = version;
    }
}

static model_reply duplicate(const model_order *order) {
    model_reply reply = answer(HF_OUTCOME_DUPLICATE, order->state);
    reply.version_low = order->first_version_low;
    reply.version_high = order->first_version_high;
    reply.deadline_ms = order->first_deadline_ms;
    return reply;
}

/* ---- operations that name SKUs ----------------------------------------------------------------------------------- */

/* Lines with repeated SKUs summed, in the order of their first. `seen` is found by walking: slow, and plain. */
static model_line *sum_lines(const model_op *op, uint32_t sku_count, uint32_t *count) {
    model_line *lines = must(malloc(op->line_count * sizeof *lines));
    uint32_t *place = must(calloc(sku_count, sizeof *place)); /* of each SKU among the lines, from 1 */
    *count = 0;
    for (uint32_t i = 0; i < op->line_count; i++) {
        uint32_t sku = op->lines[i].sku;
        if (place[sku] == 0) {
            lines[*count] = (model_line){sku, 0};
            place[sku] = ++*count;
        }
        lines[place[sku] - 1].quantity += op->lines[i].quantity;
    }
    free(place);
    return lines;
}

static bool takes(const model_op *op) { return op->type == HF_OP_PURCHASE || op->type == HF_OP_RESERVE; }

static bool short_of(const model *m, const model_op *op, const model_line *line) {
    const model_sku *sku = &m->skus[line->sku];
    if (op->type == HF_OP_ADJUST && line->quantity < 0) {
        return sku->on_hand - sku->reserved < -line->quantity;
    }
    return takes(op) && sku->on_hand - sku->reserved < line->quantity;
}

bool model_line_refused(const model *m, const model_op *op, hf_outcome outcome, uint32_t sku) {
    uint32_t count;
    model_line *lines = sum_lines(op, m->sku_count, &count);
    bool refused = false;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].sku == sku) {
            refused = outcome == HF_OUTCOME_UNKNOWN_SKU ? !m->skus[sku].exists : short_of(m, op, &lines[i]);
        }
    }
    free(lines);
    return refused;
}

/* Why the operation cannot be; outcome ok where it can. */
static model_reply refusal(model *m, const model_op *op, const model_line *lines, uint32_t count) {
    bool creates = op->type == HF_OP_RECEIVE || op->type == HF_OP_COUNT;
    for (uint32_t i = 0; i < count; i++) {
        if (!m->skus[lines[i].sku].exists && !creates) {
            return answer(HF_OUTCOME_UNKNOWN_SKU, HF_STATE_UNKNOWN);
        }
    }
    if (op->if_version && m->skus[lines[0].sku].version != op->if_version) {
        return with_sku(m, answer(HF_OUTCOME_VERSION_MISMATCH, HF_STATE_UNKNOWN), lines[0].sku, false);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (short_of(m, op, &lines[i])) {
            model_settle(m); /* out_of_stock is answered only once what is due was expired */
            return with_sku(m, answer(HF_OUTCOME_OUT_OF_STOCK, HF_STATE_UNKNOWN), lines[i].sku, false);
        }
    }
    bool adds = op->type == HF_OP_RECEIVE || op->type == HF_OP_ADJUST;
    model_reply reply = answer(HF_OUTCOME_OK, HF_STATE_UNKNOWN);
    reply.error = adds && m->skus[lines[0].sku].on_hand + lines[0].quantity > HF_MAX_QUANTITY ? HF_ERANGE : HF_SUCCESS;
    return reply;
}

static void step(model *m, hf_op_type type, const model_line *line) {
    model_sku *sku = &m->skus[line->sku];
    sku->exists = true;
    sku->version++;
    switch (type) {
    case HF_OP_RECEIVE:
    case HF_OP_ADJUST:
        sku->on_hand += line->quantity;
        break;
    case HF_OP_COUNT:
        sku->on_hand = line->quantity;
        break;
    case HF_OP_PURCHASE:
        sku->on_hand -= line->quantity;
        break;
    default:
        sku->reserved += line->quantity;
        break;
    }
}

static model_reply apply_first(model *m, const model_op *op) {
    model_order *order = &m->orders[op->order];
    if (model_knows(m, op->order)) {
        return duplicate(order);
    }
    uint32_t count;
    model_line *lines = sum_lines(op, m->sku_count, &count);
    model_reply reply = refusal(m, op, lines, count);
    if (reply.error || reply.outcome != HF_OUTCOME_OK) {
        free(lines);
        return reply;
    }
    for (uint32_t i = 0; i < count; i++) {
        step(m, op->type, &lines[i]);
    }
    free(order->lines);
    *order = (model_order){.lines = lines, .line_count = count, .last = op->lines[op->line_count - 1].sku};
    order->state = op->type == HF_OP_RESERVE    ? HF_STATE_LIVE
                   : op->type == HF_OP_PURCHASE ? HF_STATE_CONFIRMED
                                                : HF_STATE_APPLIED;
    order->ended_ms = m->now_ms;
    if (op->type == HF_OP_RESERVE) {
        order->user = op->user;
        order->deadline_ms = order->first_deadline_ms = m->now_ms + op->ttl_ms;
    }
    reply = with_order(m, answer(HF_OUTCOME_OK, order->state), order);
    reply.deadline_ms = order->deadline_ms;
    order->first_version_low = reply.version_low;
    order->first_version_high = reply.version_high;
    return reply;
}

/* ---- operations that mean a reservation -------------------------------------------------------------------------- */

static model_reply take_units(model *m, model_order *order, bool late) {
    for (uint32_t i = 0; i < order->line_count; i++) {
        const model_sku *sku = &m->skus[order->lines[i].sku];
        int64_t there = late ? sku->on_hand - sku->reserved : sku->on_hand;
        if (there < order->lines[i].quantity) {
            if (late) {
                model_settle(m); /* on_hand does not depend on what is due, available does */
            }
            return with_sku(m, answer(HF_OUTCOME_OUT_OF_STOCK, order->state), order->lines[i].sku, false);
        }
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        model_sku *sku = &m->skus[order->lines[i].sku];
        sku->on_hand -= order->lines[i].quantity;
        sku->reserved -= late ? 0 : order->lines[i].quantity;
        sku->version++;
    }
    order->state = HF_STATE_CONFIRMED;
    order->ended_ms = m->now_ms;
    return with_order(m, answer(late ? HF_OUTCOME_CONFIRMED_LATE : HF_OUTCOME_OK, HF_STATE_CONFIRMED), order);
}

static model_reply confirm(model *m, model_order *order) {
    switch (order->state) {
    case HF_STATE_LIVE:
        return take_units(m, order, false);
    case HF_STATE_EXPIRED:
        return take_units(m, order, true);
    case HF_STATE_CONFIRMED:
        return answer(HF_OUTCOME_ALREADY, HF_STATE_CONFIRMED);
    default:
        return answer(HF_OUTCOME_CONFLICT, order->state);
    }
}

static model_reply cancel(model *m, model_order *order) {
    if (order->state != HF_STATE_LIVE) {
        return answer(order->state == HF_STATE_CONFIRMED ? HF_OUTCOME_CONFLICT : HF_OUTCOME_ALREADY, order->state);
    }
    for (uint32_t i = 0; i < order->line_count; i++) {
        m->skus[order->lines[i].sku].reserved -= order->lines[i].quantity;
        m->skus[order->lines[i].sku].version++;
    }
    order->state = HF_STATE_CANCELLED;
    order->ended_ms = m->now_ms;
    return with_order(m, answer(HF_OUTCOME_OK, HF_STATE_CANCELLED), order);
}

static model_reply extend(model *m, model_order *order, uint64_t ttl_ms) {
    if (order->state != HF_STATE_LIVE) {
        return answer(HF_OUTCOME_CONFLICT, order->state);
    }
    order->deadline_ms = m->now_ms + ttl_ms;
    model_reply reply = answer(HF_OUTCOME_OK, HF_STATE_LIVE);
    reply.deadline_ms = order->deadline_ms;
    return reply;
}

model_reply model_apply(model *m, const model_op *op) {
    model_order *order = &m->orders[op->order];
    model_advance(m, m->now_ms);
    if (op->type < HF_OP_CONFIRM) {
        return apply_first(m, op);
    }
    if (!model_knows(m, op->order) || order->state == HF_STATE_APPLIED) {
        return answer(HF_OUTCOME_NOT_FOUND, model_knows(m, op->order) ? order->state : HF_STATE_UNKNOWN);
    }
    switch (op->type) {
    case HF_OP_CONFIRM:
        return confirm(m, order);
    case HF_OP_CANCEL:
        return cancel(m, order);
    default:
        return extend(m, order, op->ttl_ms);
    }
}

/* ---- invariants -------------------------------------------------------------------------------------------------- */

const char *model_is_valid(const model *m) {
    const char *wrong = NULL;
    int64_t *held = must(calloc(m->sku_count, sizeof *held));
    for (uint32_t i = 0; i < m->order_count; i++) {
        const model_order *order = &m->orders[i];
        for (uint32_t k = 0; order->state == HF_STATE_LIVE && k < order->line_count; k++) {
            held[order->lines[k].sku] += order->lines[k].quantity;
        }
        wrong = order->state == HF_STATE_LIVE && order->deadline_ms <= m->now_ms ? "live after its deadline" : wrong;
    }
    for (uint32_t i = 0; i < m->sku_count; i++) {
        const model_sku *sku = &m->skus[i];
        wrong = sku->reserved != held[i] ? "reserved is not what live reservations hold" : wrong;
        wrong = sku->on_hand < 0 || sku->on_hand > HF_MAX_QUANTITY ? "on_hand is out of range" : wrong;
    }
    free(held);
    return wrong;
}
