/* What clients send by themselves: HELLO, AUTH, PING, ECHO, QUIT, RESET, SELECT. */
#include "events.h"
#include "number.h"
#include "shared.h"
#include "worker.h"

static bool log_in(hf_connection *connection, hf_text name, hf_text password) {
    const access_users *users = &connection->worker->server->settings->users;
    const access_user *user = access_find(users, name.bytes, name.length);
    if (access_password_fits(user, password.bytes, password.length)) {
        connection_login(connection, user);
        return true;
    }
    connection->login_failures++;
    return false;
}

static command_result refuse_login(hf_connection *connection) {
    if (connection->login_failures >= connection->worker->server->settings->max_login_failures) {
        connection->ending = true;
        connection->end = END_FAILURES;
    }
    return connection_refuse(connection, GATEWAY_WRONGPASS, "invalid username-password pair or user is disabled.");
}

command_result auth_command(hf_connection *connection, const command_request *request) {
    static const hf_text default_name = {(const uint8_t *)"default", 7};
    if (request->count > 3)
        return connection_refuse(connection, GATEWAY_GENERAL, "AUTH: expected a password, or a user and a password");
    hf_text name = request->count == 3 ? argument_of(request, 1) : default_name;
    if (request->count == 2 && connection->worker->server->default_user)
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "AUTH <password> called without any password configured for the default user. Are you "
                                 "sure your configuration is correct?");
    if (!log_in(connection, name, argument_of(request, request->count - 1)))
        return refuse_login(connection);
    reply_simple(&connection->writer, "OK");
    return COMMAND_DONE;
}

static void reply_hello(hf_connection *connection) {
    reply_writer *writer = &connection->writer;
    reply_map(writer, 7);
    reply_text(writer, "server");
    reply_text(writer, "holdfast");
    reply_text(writer, "version");
    reply_text(writer, hf_version());
    reply_text(writer, "proto");
    reply_integer(writer, writer->protocol);
    reply_text(writer, "id");
    reply_integer(writer, (int64_t)connection->card.id);
    reply_text(writer, "mode");
    reply_text(writer, "standalone");
    reply_text(writer, "role");
    reply_text(writer, "master");
    reply_text(writer, "modules");
    reply_array(writer, 0);
}

/* All options are read before any is carried out, so that a refused HELLO changes nothing but the login it contained.
 */
command_result hello_command(hf_connection *connection, const command_request *request) {
    uint64_t protocol = (uint64_t)connection->writer.protocol;
    hf_text user = {0}, password = {0}, name = {0};
    bool has_login = false, has_name = false;
    if (request->count > 1 && !number_read(argument_of(request, 1), 2, 3, &protocol))
        return connection_refuse(connection, GATEWAY_NOPROTO, "unsupported protocol version");
    for (uint32_t i = 2; i < request->count; i++) {
        hf_text word = argument_of(request, i);
        if (text_is(word, "AUTH") && i + 2 < request->count) {
            user = argument_of(request, i + 1);
            password = argument_of(request, i + 2);
            has_login = true;
            i += 2;
        } else if (text_is(word, "SETNAME") && i + 1 < request->count) {
            name = argument_of(request, ++i);
            has_name = true;
        } else {
            return connection_refuse(connection, GATEWAY_GENERAL, "Syntax error in HELLO option '%.*s'",
                                     (int)(word.length < 64 ? word.length : 64), (const char *)word.bytes);
        }
    }
    if (has_login && !log_in(connection, user, password))
        return refuse_login(connection);
    if (!connection->user)
        return connection_refuse(
            connection, GATEWAY_NOAUTH,
            "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
            "AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
            "protocol version at the same time");
    if (has_name && !connection_set_name(connection, name))
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "Client names cannot contain spaces, newlines or special characters.");
    if (protocol < 3)
        events_stop_pushes(connection);
    connection->writer.protocol = (int)protocol;
    counter_set_relaxed(&connection->card.protocol, protocol); /* relaxed: shown by CLIENT LIST */
    reply_hello(connection);
    return COMMAND_DONE;
}

command_result ping_command(hf_connection *connection, const command_request *request) {
    if (request->count > 2)
        return connection_refuse(connection, GATEWAY_GENERAL, "wrong number of arguments for 'ping' command");
    hf_text message = request->count == 2 ? argument_of(request, 1) : (hf_text){0};
    if (request->count == 2)
        reply_bulk(&connection->writer, message.bytes, message.length);
    else
        reply_simple(&connection->writer, "PONG");
    return COMMAND_DONE;
}

command_result echo_command(hf_connection *connection, const command_request *request) {
    hf_text message = argument_of(request, 1);
    reply_bulk(&connection->writer, message.bytes, message.length);
    return COMMAND_DONE;
}

command_result quit_command(hf_connection *connection, const command_request *request) {
    (void)request;
    reply_simple(&connection->writer, "OK");
    connection->ending = true;
    connection->end = END_QUIT;
    return COMMAND_DONE;
}

command_result reset_command(hf_connection *connection, const command_request *request) {
    (void)request;
    connection_reset(connection);
    reply_simple(&connection->writer, "RESET");
    return COMMAND_DONE;
}

command_result select_command(hf_connection *connection, const command_request *request) {
    uint64_t database;
    if (!number_read(argument_of(request, 1), 0, INT64_MAX, &database))
        return connection_refuse(connection, GATEWAY_GENERAL, "value is not an integer or out of range");
    if (database != 0)
        return connection_refuse(connection, GATEWAY_GENERAL, "DB index is out of range");
    reply_simple(&connection->writer, "OK");
    return COMMAND_DONE;
}
