/* The orders: from a request's arguments to an operation of the batch.
 *
 * Guarantees
 *   A  A bad request is refused with what, where and what was expected, and nothing of it reaches the engine.
 *   B  An order that cannot be taken now (no room in the batch's submission, throttle) is taken later, whole.
 *   C  A user with SKU prefixes changes nothing outside of them: by a SKU's name, or by an id whose lines have others.
 */
#include "cancel.h"
#include "number.h"
#include "shared.h"
#include "throttle.h"
#include "worker.h"

#include <inttypes.h>

/* An order that is being read: its lines lie in the batch already, but do not belong to it yet. */
typedef struct hf_order {
    hf_op op;
    hf_line *lines;
} hf_order;

/* Makes room for an order with so many lines. False: *result is what becomes of the request. */
static bool begin(hf_connection *connection, size_t lines, hf_order *order, command_result *result) {
    hf_batch *batch = &connection->worker->batch;
    if (lines > HF_MAX_LINES) {
        *result =
            connection_refuse(connection, GATEWAY_LIMIT, "lines: %zu found, expected at most %u", lines, HF_MAX_LINES);
        return false;
    }
    if (!batch_has_room(batch, lines) && !batch_submit(connection)) {
        *result = COMMAND_LATER;
        return false;
    }
    order->op = (hf_op){0};
    order->lines = batch->lines + batch->line_count;
    return true;
}

/* The request is well formed: the order becomes part of the batch, if the throttle lets it. */
static command_result add(hf_connection *connection, hf_order *order) {
    hf_worker *worker = connection->worker;
    hf_batch *batch = &worker->batch;
    uint64_t wait_ns = throttle_take(&connection->throttle, worker->read_ns);
    if (wait_ns && connection->throttle.refuses)
        return connection_refuse(connection, GATEWAY_THROTTLED, "more than %" PRIu64 " orders a second",
                                 connection->throttle.per_second);
    if (wait_ns) {
        counter_add_relaxed(&worker->counters.throttled, 1); /* relaxed: a figure */
        connection_pause_for(connection, PAUSE_THROTTLE, wait_ns / 1000000 + 1);
        return COMMAND_LATER;
    }
    if (connection->named)
        order->op.position = ++connection->sequence;
    order->op.lines = order->lines;
    batch->at[batch->count] = worker->request_at;
    batch->ops[batch->count++] = order->op;
    batch->line_count += (uint32_t)order->op.line_count;
    return COMMAND_DONE;
}

static bool read_id(hf_connection *connection, const command_request *request, hf_order *order,
                    command_result *result) {
    hf_text id = argument_of(request, 1);
    if (id_read(id, &order->op.id))
        return true;
    *result =
        connection_refuse(connection, GATEWAY_ARGUMENT, "id: %u bytes found, expected 1 to %d", id.length, ID_BYTES);
    return false;
}

/* The SKU at argument `at` and the quantity behind it. */
static bool read_line(hf_connection *connection, const command_request *request, uint32_t at, int64_t least,
                      hf_order *order, command_result *result) {
    hf_text sku = argument_of(request, at), quantity = argument_of(request, at + 1);
    hf_line *line = &order->lines[order->op.line_count++];
    *line = (hf_line){.name = sku.bytes, .name_length = sku.length};
    if (sku.length == 0 || sku.length > HF_MAX_SKU_NAME) {
        *result = connection_refuse(connection, GATEWAY_ARGUMENT, "sku (argument %u): %u bytes found, expected 1 to %u",
                                    at, sku.length, HF_MAX_SKU_NAME);
        return false;
    }
    if (!access_may_see(connection->user, sku.bytes, sku.length)) {
        *result =
            connection_refuse(connection, GATEWAY_NOPERM, "sku (argument %u): not one of this user's prefixes", at);
        return false;
    }
    if (!number_read_signed(quantity, least, HF_MAX_QUANTITY, &line->quantity) || (least < 0 && line->quantity == 0)) {
        *result = connection_refuse(connection, GATEWAY_ARGUMENT,
                                    "quantity (argument %u): expected a whole number from %" PRId64 " to %" PRId64 "%s",
                                    at + 1, least, (int64_t)HF_MAX_QUANTITY, least < 0 ? ", not 0" : "");
        return false;
    }
    return true;
}

static bool read_ttl(hf_connection *connection, const command_request *request, hf_order *order,
                     command_result *result) {
    if (number_read(argument_of(request, 2), 1, HF_MAX_TTL_MS, &order->op.ttl_ms))
        return true;
    *result = connection_refuse(connection, GATEWAY_ARGUMENT, "ttl_ms: expected a whole number from 1 to %" PRIu64,
                                (uint64_t)HF_MAX_TTL_MS);
    return false;
}

/* ---- one line: receive, adjust, count ---------------------------------------------------------------------------- */

static command_result order_of_one(hf_connection *connection, const command_request *request, hf_op_type type,
                                   int64_t least) {
    hf_order order;
    command_result result;
    if (!begin(connection, 1, &order, &result))
        return result;
    order.op.type = type;
    if (!read_id(connection, request, &order, &result) || !read_line(connection, request, 2, least, &order, &result))
        return result;
    if (request->count != 4 &&
        (request->count != 6 || !text_is(argument_of(request, 4), "IFVERSION") ||
         !number_read(argument_of(request, 5), 1, (UINT64_C(1) << 48) - 1, &order.op.if_version)))
        return connection_refuse(connection, GATEWAY_ARGUMENT,
                                 "behind the quantity: expected nothing, or IFVERSION and a version from 1");
    return add(connection, &order);
}

command_result order_receive(hf_connection *connection, const command_request *request) {
    return order_of_one(connection, request, HF_OP_RECEIVE, 1);
}
command_result order_adjust(hf_connection *connection, const command_request *request) {
    return order_of_one(connection, request, HF_OP_ADJUST, -HF_MAX_QUANTITY);
}
command_result order_count(hf_connection *connection, const command_request *request) {
    return order_of_one(connection, request, HF_OP_COUNT, 0);
}

/* ---- many lines: purchase, reserve ------------------------------------------------------------------------------- */

/* The lines from argument `from` to the end. */
static bool read_lines(hf_connection *connection, const command_request *request, uint32_t from, hf_order *order,
                       command_result *result) {
    if (request->count <= from || (request->count - from) % 2 != 0) {
        *result = connection_refuse(connection, GATEWAY_ARGUMENT,
                                    "lines: expected a quantity for each SKU, and at least one");
        return false;
    }
    for (uint32_t at = from; at < request->count; at += 2)
        if (!read_line(connection, request, at, 1, order, result))
            return false;
    return true;
}

static bool is_killed(hf_connection *connection, command_result *result) {
    if (!flag_is_set_acquire(&connection->worker->server->killed)) /* acquire: whoever set it had answered before */
        return false;
    *result = connection_refuse(connection, GATEWAY_KILLED, "the kill switch is on: no new reserve or purchase");
    return true;
}

command_result order_purchase(hf_connection *connection, const command_request *request) {
    hf_order order;
    command_result result;
    if (is_killed(connection, &result) || !begin(connection, (request->count - 2) / 2, &order, &result))
        return result;
    order.op.type = HF_OP_PURCHASE;
    if (!read_id(connection, request, &order, &result) || !read_lines(connection, request, 2, &order, &result))
        return result;
    return add(connection, &order);
}

command_result order_reserve(hf_connection *connection, const command_request *request) {
    hf_order order;
    command_result result;
    if (is_killed(connection, &result) || !begin(connection, (request->count - 3) / 2, &order, &result))
        return result;
    order.op.type = HF_OP_RESERVE;
    uint32_t from = 3;
    if (text_is(argument_of(request, 3), "USER")) {
        hf_text user = argument_of(request, 4);
        if (user.length > USER_BYTES)
            return connection_refuse(connection, GATEWAY_ARGUMENT, "user: %u bytes found, expected at most %d",
                                     user.length, USER_BYTES);
        order.op.user = user_number(user);
        from = 5;
    }
    if (!read_id(connection, request, &order, &result) || !read_ttl(connection, request, &order, &result) ||
        !read_lines(connection, request, from, &order, &result))
        return result;
    if (connection->cancels && !cancel_set_has_room(connection))
        return connection_refuse(connection, GATEWAY_LIMIT,
                                 "max-cancel-ids: this connection has %" PRIu64
                                 " live reservations to be cancelled when it ends, no more are kept",
                                 connection->worker->server->settings->max_cancel_ids);
    return add(connection, &order);
}

/* ---- by id: confirm, cancel, extend ------------------------------------------------------------------------------ */

enum { SEEN_LINES = 16 };

/* Guarantee C, for a user with prefixes: every line of the reservation is within them. An id that is not there is
 * refused too, so that none can come to be between this look and the operation. */
static bool may_change(hf_connection *connection, hf_id id, command_result *result) {
    hf_session *session = connection_session(connection);
    hf_reservation_line few[SEEN_LINES], *lines = few, *many = NULL;
    hf_reservation reservation;
    if (!batch_submit(connection)) {
        *result = COMMAND_LATER;
        return false;
    }
    int error = hf_reservation_read(session, id, &reservation, lines, SEEN_LINES);
    if (!error && reservation.line_count > SEEN_LINES) {
        many = malloc(HF_MAX_LINES * sizeof *many);
        error = many ? hf_reservation_read(session, id, &reservation, many, HF_MAX_LINES) : HF_ENOMEM;
        lines = many;
    }
    bool may = !error;
    for (uint32_t i = 0; may && i < reservation.line_count; i++) {
        size_t length;
        const void *name = hf_sku_name(lines[i].sku, &length);
        may = access_may_see(connection->user, name, length);
    }
    free(many);
    if (error == HF_EAGAIN) {
        connection_pause_for(connection, PAUSE_RETRY, 1);
        *result = COMMAND_LATER;
    } else if (!may) {
        *result = connection_refuse(connection, GATEWAY_NOPERM, "id: no reservation of SKUs with this user's prefixes");
    }
    return may;
}

static command_result order_by_id(hf_connection *connection, const command_request *request, hf_op_type type) {
    hf_order order;
    command_result result;
    if (!begin(connection, 0, &order, &result))
        return result;
    order.op.type = type;
    if (!read_id(connection, request, &order, &result) ||
        (type == HF_OP_EXTEND && !read_ttl(connection, request, &order, &result)) ||
        (connection->user->prefix_count && !may_change(connection, order.op.id, &result)))
        return result;
    return add(connection, &order);
}

command_result order_confirm(hf_connection *connection, const command_request *request) {
    return order_by_id(connection, request, HF_OP_CONFIRM);
}
command_result order_cancel(hf_connection *connection, const command_request *request) {
    return order_by_id(connection, request, HF_OP_CANCEL);
}
command_result order_extend(hf_connection *connection, const command_request *request) {
    return order_by_id(connection, request, HF_OP_EXTEND);
}
