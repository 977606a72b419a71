/* HF.STOCK, HF.RESERVATION, DBSIZE: what is, as of now; a reply waits until what it tells is durable. */
#include "number.h"
#include "worker.h"

#include <stdlib.h>

enum { READ_AGAIN = 50 };

/* Once the log has failed nothing more becomes durable, and reads are served as they are. */
static void raise_ticket(hf_connection *connection, uint64_t ticket) {
    if (ticket > connection->reply_ticket && !connection->worker->poisoned)
        connection->reply_ticket = ticket;
}

static void reply_stock(hf_connection *connection, hf_text sku, const hf_stock *stock) {
    reply_writer *writer = &connection->writer;
    reply_map(writer, 6);
    reply_text(writer, "sku");
    reply_bulk(writer, sku.bytes, sku.length);
    reply_text(writer, "on_hand");
    reply_integer(writer, stock->on_hand);
    reply_text(writer, "reserved");
    reply_integer(writer, stock->reserved);
    reply_text(writer, "available");
    reply_integer(writer, stock->available);
    reply_text(writer, "version");
    reply_integer(writer, (int64_t)stock->version);
    reply_text(writer, "ticket");
    reply_integer(writer, (int64_t)stock->ticket);
    raise_ticket(connection, stock->ticket);
}

/* Asks a few times while another thread is expiring what the SKU has due. */
static int read_sku(hf_session *session, hf_text sku, hf_stock *stock) {
    hf_sku *handle;
    int error = hf_sku_find(session, sku.bytes, sku.length, &handle);
    if (error)
        return error;
    error = HF_EAGAIN;
    for (unsigned i = 0; error == HF_EAGAIN && i < READ_AGAIN; i++)
        error = hf_sku_read(session, handle, stock);
    return error;
}

command_result read_stock(hf_connection *connection, const command_request *request) {
    hf_session *session = connection_session(connection);
    for (uint32_t i = 1; i < request->count; i++) {
        hf_text sku = argument_of(request, i);
        if (sku.length == 0 || sku.length > HF_MAX_SKU_NAME)
            return connection_refuse(connection, GATEWAY_ARGUMENT,
                                     "sku (argument %u): %u bytes found, expected 1 to %u", i, sku.length,
                                     HF_MAX_SKU_NAME);
        if (!access_may_see(connection->user, sku.bytes, sku.length))
            return connection_refuse(connection, GATEWAY_NOPERM, "sku (argument %u): not one of this user's prefixes",
                                     i);
    }
    reply_array(&connection->writer, request->count - 1);
    for (uint32_t i = 1; i < request->count; i++) {
        hf_stock stock;
        hf_text sku = argument_of(request, i);
        int error = read_sku(session, sku, &stock);
        if (error == HF_SUCCESS) {
            reply_stock(connection, sku, &stock);
        } else if (error == HF_ENOTFOUND) {
            reply_null(&connection->writer);
        } else if (error == HF_EAGAIN) {
            output_cut(&connection->out, connection->reply_start);
            connection_pause_for(connection, PAUSE_RETRY, 1);
            return COMMAND_LATER;
        } else {
            output_cut(&connection->out, connection->reply_start);
            return connection_refuse(connection, gateway_error_of(error), "%s", hf_error_text(error));
        }
    }
    return COMMAND_DONE;
}

static bool may_see_lines(const hf_connection *connection, const hf_reservation_line *lines, uint32_t count) {
    for (uint32_t i = 0; connection->user->prefix_count && i < count; i++) {
        size_t length;
        const void *name = hf_sku_name(lines[i].sku, &length);
        if (!access_may_see(connection->user, name, length))
            return false;
    }
    return true;
}

static void reply_reservation(hf_connection *connection, hf_text id, const hf_reservation *reservation,
                              const hf_reservation_line *lines) {
    reply_writer *writer = &connection->writer;
    reply_map(writer, 8);
    reply_text(writer, "id");
    reply_bulk(writer, id.bytes, id.length);
    reply_text(writer, "state");
    reply_text(writer, hf_state_text(reservation->state));
    reply_text(writer, "deadline");
    reply_integer(writer, (int64_t)reservation->deadline_ms);
    reply_text(writer, "ended");
    reply_integer(writer, (int64_t)reservation->ended_ms);
    reply_text(writer, "user");
    reply_unsigned(writer, reservation->user);
    reply_text(writer, "version");
    reply_integer(writer, (int64_t)reservation->version);
    reply_text(writer, "ticket");
    reply_integer(writer, (int64_t)reservation->ticket);
    reply_text(writer, "lines");
    reply_array(writer, reservation->line_count);
    for (uint32_t i = 0; i < reservation->line_count; i++) {
        size_t length;
        const void *name = hf_sku_name(lines[i].sku, &length);
        reply_array(writer, 2);
        reply_bulk(writer, name, length);
        reply_integer(writer, lines[i].quantity);
    }
    raise_ticket(connection, reservation->ticket);
}

command_result read_reservation(hf_connection *connection, const command_request *request) {
    hf_text text = argument_of(request, 1);
    hf_id id;
    if (!id_read(text, &id))
        return connection_refuse(connection, GATEWAY_ARGUMENT, "id: %u bytes found, expected 1 to %d", text.length,
                                 ID_BYTES);
    hf_reservation reservation;
    hf_reservation_line *lines = malloc(HF_MAX_LINES * sizeof *lines);
    int error = lines ? HF_EAGAIN : HF_ENOMEM;
    for (unsigned i = 0; error == HF_EAGAIN && i < READ_AGAIN; i++)
        error = hf_reservation_read(connection_session(connection), id, &reservation, lines, HF_MAX_LINES);
    command_result result = COMMAND_DONE;
    if (error == HF_ENOTFOUND || (!error && !may_see_lines(connection, lines, reservation.line_count))) {
        reply_null(&connection->writer);
    } else if (error == HF_EAGAIN) {
        connection_pause_for(connection, PAUSE_RETRY, 1);
        result = COMMAND_LATER;
    } else if (error) {
        result = connection_refuse(connection, gateway_error_of(error), "%s", hf_error_text(error));
    } else {
        reply_reservation(connection, text, &reservation, lines);
    }
    free(lines);
    return result;
}

command_result dbsize_command(hf_connection *connection, const command_request *request) {
    (void)request;
    hf_stats stats;
    hf_stats_read(connection->worker->server->engine, &stats);
    reply_integer(&connection->writer, (int64_t)stats.skus);
    return COMMAND_DONE;
}
