/* CLIENT: what concerns connections. */
#include "number.h"
#include "shared.h"
#include "worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- CLIENT LIST and INFO: lines as Redis writes them ------------------------------------------------------------ */

typedef struct hf_listing {
    char *bytes;
    size_t length, room;
    uint64_t now_ms;
    bool failed;
} hf_listing;

enum { CARD_BYTES = 1024 };

static void list_card(void *context, const client_card *card) {
    hf_listing *list = context;
    if (list->room - list->length < CARD_BYTES) {
        size_t room = list->room ? list->room * 2 : 16 * CARD_BYTES;
        char *larger = list->failed ? NULL : realloc(list->bytes, room);
        if (!larger) {
            list->failed = true;
            return;
        }
        list->bytes = larger;
        list->room = room;
    }
    uint64_t last = counter_read_relaxed(&card->last_ms); /* relaxed: figures */
    list->length += (size_t)snprintf(
        list->bytes + list->length, CARD_BYTES,
        "id=%" PRIu64 " addr=%s laddr=%s name=%s age=%" PRIu64 " idle=%" PRIu64 " flags=N db=0 omem=%" PRIu64
        " tot-cmds=%" PRIu64 " user=%s resp=%" PRIu64 " lib-name=%s lib-ver=%s io-thread=%u session=%s\n",
        card->id, card->address, card->local, card->name, (list->now_ms - card->opened_ms) / 1000,
        list->now_ms > last ? (list->now_ms - last) / 1000 : 0, counter_read_relaxed(&card->output_bytes),
        counter_read_relaxed(&card->commands), card->user, counter_read_relaxed(&card->protocol), card->library,
        card->library_version, card->worker, card->session);
}

static command_result reply_list(hf_connection *connection, hf_listing *list) {
    command_result result = COMMAND_DONE;
    if (list->failed)
        result = connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    else
        reply_verbatim(&connection->writer, list->bytes ? list->bytes : "", list->length);
    free(list->bytes);
    return result;
}

static command_result client_list(hf_connection *connection) {
    hf_listing list = {.now_ms = wall_ms()};
    if (!(connection->user->classes & CLASS_ADMIN))
        return connection_refuse(connection, GATEWAY_NOPERM, "CLIENT LIST is for users with the class admin");
    registry_each(&connection->worker->server->registry, list_card, &list);
    return reply_list(connection, &list);
}

static command_result client_info(hf_connection *connection) {
    hf_listing list = {.now_ms = wall_ms()};
    list_card(&list, &connection->card); /* its own thread: nobody else writes it */
    return reply_list(connection, &list);
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static command_result client_set_info(hf_connection *connection, hf_text attribute, hf_text value) {
    hf_registry *registry = &connection->worker->server->registry;
    for (uint32_t i = 0; i < value.length; i++)
        if (value.bytes[i] < '!' || value.bytes[i] > '~')
            return connection_refuse(connection, GATEWAY_GENERAL,
                                     "SETINFO: values cannot contain spaces, newlines or special characters.");
    if (text_is(attribute, "LIB-NAME"))
        registry_set_text(registry, connection->card.library, sizeof connection->card.library, value.bytes,
                          value.length);
    else if (text_is(attribute, "LIB-VER"))
        registry_set_text(registry, connection->card.library_version, sizeof connection->card.library_version,
                          value.bytes, value.length);
    else
        return connection_refuse(connection, GATEWAY_GENERAL, "Unrecognized option '%.*s'",
                                 (int)(attribute.length < 64 ? attribute.length : 64), (const char *)attribute.bytes);
    reply_simple(&connection->writer, "OK");
    return COMMAND_DONE;
}

static command_result client_reply(hf_connection *connection, hf_text mode) {
    if (text_is(mode, "ON")) {
        connection->reply_mode = REPLY_ON;
        reply_simple(&connection->writer, "OK");
    } else if (text_is(mode, "OFF")) {
        connection->reply_mode = REPLY_OFF;
    } else if (text_is(mode, "SKIP")) {
        if (connection->reply_mode != REPLY_OFF)
            connection->reply_mode = REPLY_SKIP_NEXT;
    } else {
        return connection_refuse(connection, GATEWAY_GENERAL, "CLIENT REPLY: expected ON, OFF or SKIP");
    }
    return COMMAND_DONE;
}

static command_result client_kill(hf_connection *connection, hf_text number) {
    hf_server *server = connection->worker->server;
    uint64_t id;
    if (!(connection->user->classes & CLASS_ADMIN))
        return connection_refuse(connection, GATEWAY_NOPERM, "CLIENT KILL is for users with the class admin");
    if (!number_read(number, 1, UINT64_MAX, &id))
        return connection_refuse(connection, GATEWAY_GENERAL, "client-id should be greater than 0");
    int owner = registry_worker_of(&server->registry, id);
    bool posted = owner >= 0 && worker_post(&server->workers[owner], (worker_message){.type = MESSAGE_KILL, .id = id});
    reply_integer(&connection->writer, posted);
    return COMMAND_DONE;
}

static void client_help(hf_connection *connection) {
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> ...]. Subcommands are:",
        "ID, GETNAME, SETNAME name, SETINFO LIB-NAME|LIB-VER value, INFO, LIST, KILL ID id,",
        "NO-EVICT ON|OFF, NO-TOUCH ON|OFF, REPLY ON|OFF|SKIP, HELP",
    };
    enum { LINES = sizeof lines / sizeof lines[0] };
    reply_array(&connection->writer, LINES);
    for (unsigned i = 0; i < LINES; i++)
        reply_simple(&connection->writer, lines[i]);
}

static command_result client_name(hf_connection *connection, hf_text what, const command_request *request) {
    reply_writer *writer = &connection->writer;
    if (text_is(what, "GETNAME")) {
        if (connection->card.name[0])
            reply_text(writer, connection->card.name);
        else
            reply_null(writer);
        return COMMAND_DONE;
    }
    if (!connection_set_name(connection, argument_of(request, 2)))
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "Client names cannot contain spaces, newlines or special characters.");
    reply_simple(writer, "OK");
    return COMMAND_DONE;
}

command_result client_command(hf_connection *connection, const command_request *request) {
    hf_text what = argument_of(request, 1);
    uint32_t count = request->count;
    if (text_is(what, "ID") && count == 2) {
        reply_integer(&connection->writer, (int64_t)connection->card.id);
    } else if ((text_is(what, "GETNAME") && count == 2) || (text_is(what, "SETNAME") && count == 3)) {
        return client_name(connection, what, request);
    } else if (text_is(what, "SETINFO") && count == 4) {
        return client_set_info(connection, argument_of(request, 2), argument_of(request, 3));
    } else if (text_is(what, "INFO") && count == 2) {
        return client_info(connection);
    } else if (text_is(what, "LIST") && count == 2) {
        return client_list(connection);
    } else if (text_is(what, "KILL") && count == 4 && text_is(argument_of(request, 2), "ID")) {
        return client_kill(connection, argument_of(request, 3));
    } else if (text_is(what, "REPLY") && count == 3) {
        return client_reply(connection, argument_of(request, 2));
    } else if ((text_is(what, "NO-EVICT") || text_is(what, "NO-TOUCH")) && count == 3 &&
               (text_is(argument_of(request, 2), "ON") || text_is(argument_of(request, 2), "OFF"))) {
        reply_simple(&connection->writer, "OK"); /* no connection is ever evicted, nothing is ever touched */
    } else if (text_is(what, "HELP") && count == 2) {
        client_help(connection);
    } else {
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
                                 (int)(what.length < 64 ? what.length : 64), (const char *)what.bytes);
    }
    return COMMAND_DONE;
}
