/* Named sessions: HF.SESSION and HF.SEQ. The contract is in session.h. */
#include "session.h"

#include "number.h"
#include "shared.h"
#include "worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the names that are open, under names_mutex ------------------------------------------------------------------ */

typedef enum claim { CLAIMED, CLAIM_BUSY, CLAIM_FULL } claim;

/* Puts `made` among the open names, unless its name is there: then *holder is whose it is. */
static claim claim_name(hf_server *server, named_session *made, uint64_t *holder) {
    claim result = CLAIMED;
    uint64_t open = 0;
    pthread_mutex_lock(&server->names_mutex);
    for (const named_session *other = server->names; other; other = other->next, open++) {
        if (strcmp(other->name, made->name) == 0) {
            *holder = other->connection;
            result = CLAIM_BUSY;
        }
    }
    if (result == CLAIMED && open >= server->settings->max_named_sessions)
        result = CLAIM_FULL;
    if (result == CLAIMED) {
        made->next = server->names;
        server->names = made;
        tally_add_relaxed(&server->named_sessions, 1); /* relaxed: a gauge */
    }
    pthread_mutex_unlock(&server->names_mutex);
    return result;
}

/* `ticket` is what the last order of the name waits for: nobody is told its number before that is durable. */
static void give_name_back(hf_server *server, named_session *named, uint64_t ticket) {
    pthread_mutex_lock(&server->names_mutex);
    named_session **at = &server->names;
    while (*at != named)
        at = &(*at)->next;
    *at = named->next;
    tally_take_relaxed(&server->named_sessions, 1);            /* relaxed: a gauge */
    if (ticket > counter_read_relaxed(&server->closed_ticket)) /* relaxed: under the mutex */
        counter_set_relaxed(&server->closed_ticket, ticket);
    pthread_mutex_unlock(&server->names_mutex);
    free(named);
}

void session_leave(hf_connection *connection) {
    named_session *named = connection->named;
    if (!named)
        return;
    connection->named = NULL;
    hf_server *server = connection->worker->server;
    hf_session_close(named->session); /* before the name is free for others */
    give_name_back(server, named, connection->last_ticket);
    registry_set_text(&server->registry, connection->card.session, sizeof connection->card.session, "", 0);
}

/* ---- HF.SESSION -------------------------------------------------------------------------------------------------- */

/* `last` is the engine's: not every number that was given to an order is kept (an error is not). */
static void tell(hf_connection *connection) {
    reply_writer *writer = &connection->writer;
    if (!connection->named) {
        reply_null(writer);
        return;
    }
    const char *name = strchr(connection->named->name, ':') + 1;
    reply_map(writer, 2);
    reply_text(writer, "session");
    reply_text(writer, name);
    reply_text(writer, "last");
    reply_integer(writer, (int64_t)hf_session_position(connection->named->session));
}

static command_result refuse_busy(hf_connection *connection, uint64_t holder, bool take_over) {
    hf_server *server = connection->worker->server;
    int owner = take_over ? registry_worker_of(&server->registry, holder) : -1;
    if (owner >= 0)
        worker_post(&server->workers[owner], (worker_message){.type = MESSAGE_KILL, .id = holder});
    return connection_refuse(connection, GATEWAY_BUSY, "the session is open on connection %" PRIu64 "%s", holder,
                             take_over ? ", which is being closed: ask again" : ": close that one, or add TAKEOVER");
}

/* The name as the engine is to know it. */
static bool make_name(const hf_connection *connection, hf_text name, char made[HF_MAX_SESSION_NAME + 1]) {
    size_t user = strlen(connection->user->name);
    if (name.length == 0 || user + 1 + name.length > HF_MAX_SESSION_NAME || memchr(name.bytes, 0, name.length))
        return false;
    memcpy(made, connection->user->name, user);
    made[user] = ':';
    memcpy(made + user + 1, name.bytes, name.length);
    made[user + 1 + name.length] = 0;
    return true;
}

static command_result open_session(hf_connection *connection, named_session *made) {
    hf_server *server = connection->worker->server;
    made->connection = connection->card.id;
    int error = hf_session_open(server->engine, made->name, &made->session);
    if (error) {
        give_name_back(server, made, 0);
        return connection_refuse(connection, gateway_error_of(error), "%s", hf_error_text(error));
    }
    connection->named = made;
    connection->sequence = hf_session_position(made->session);
    connection->reply_ticket =
        counter_read_relaxed(&server->closed_ticket); /* relaxed: the mutex of claim_name ordered it */
    registry_set_text(&server->registry, connection->card.session, sizeof connection->card.session, made->name,
                      strlen(made->name));
    tell(connection);
    return COMMAND_DONE;
}

command_result session_command(hf_connection *connection, const command_request *request) {
    bool take_over = request->count == 3 && text_is(argument_of(request, 2), "TAKEOVER");
    if (request->count == 1) {
        connection->reply_ticket = connection->last_ticket;
        tell(connection);
        return COMMAND_DONE;
    }
    if (request->count > 3 || (request->count == 3 && !take_over))
        return connection_refuse(connection, GATEWAY_ARGUMENT, "HF.SESSION: expected a name, and perhaps TAKEOVER");
    named_session *made = calloc(1, sizeof *made);
    if (!made)
        return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    made->connection = connection->card.id;
    if (!make_name(connection, argument_of(request, 1), made->name)) {
        free(made);
        return connection_refuse(connection, GATEWAY_ARGUMENT, "session: expected 1 to %zu bytes, none of them zero",
                                 HF_MAX_SESSION_NAME - 1 - strlen(connection->user->name));
    }
    session_leave(connection);
    uint64_t holder = 0;
    switch (claim_name(connection->worker->server, made, &holder)) {
    case CLAIMED:
        return open_session(connection, made);
    case CLAIM_BUSY:
        free(made);
        return refuse_busy(connection, holder, take_over);
    default:
        free(made);
        return connection_refuse(connection, GATEWAY_LIMIT, "max-named-sessions: %" PRIu64 " are open",
                                 connection->worker->server->settings->max_named_sessions);
    }
}

command_result sequence_command(hf_connection *connection, const command_request *request) {
    uint64_t number;
    if (!connection->named)
        return connection_refuse(connection, GATEWAY_SEQUENCE, "there is no named session: HF.SESSION opens one");
    if (!number_read(argument_of(request, 1), 1, INT64_MAX, &number))
        return connection_refuse(connection, GATEWAY_ARGUMENT, "number: expected a whole number from 1");
    if (number <= connection->sequence)
        return connection_refuse(connection, GATEWAY_SEQUENCE,
                                 "%" PRIu64 " found, expected more than %" PRIu64 ", the last one of this session",
                                 number, connection->sequence);
    connection->sequence = number - 1;
    reply_simple(&connection->writer, "OK");
    return COMMAND_DONE;
}
