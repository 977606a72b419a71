/* The command table, looking commands up, and COMMAND. The contract is in command.h. */
#include "command.h"

#include "connection.h"
#include "worker.h"

#include <string.h>

#define X(name, handler, arity, flags, first, last, step, class, group, syntax, summary)                               \
    {name, handler, arity, flags, first, last, step, class, group, syntax, summary, COMMAND_##handler},
const hf_command command_table[COMMANDS] = {COMMAND_MAP(X)};
#undef X

/* ---- look-up: a hash of the name in small letters ---------------------------------------------------------------- */

enum { HASH_SLOTS = 256, NAME_BYTES = 32 };
_Static_assert(COMMANDS * 2 <= HASH_SLOTS && COMMANDS < 255, "the look-up table is at most half full");

static uint8_t slots[HASH_SLOTS]; /* number + 1; written before there are threads */

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte; }

static uint32_t hash_name(const uint8_t *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (name[i] | 0x20u)) * 16777619u;
    return hash ^ hash >> 15;
}

void command_table_init(void) {
    for (unsigned i = 0; i < COMMANDS; i++) {
        const char *name = command_table[i].name;
        uint32_t at = hash_name((const uint8_t *)name, strlen(name));
        while (slots[at % HASH_SLOTS])
            at++;
        slots[at % HASH_SLOTS] = (uint8_t)(i + 1);
    }
}

static bool same_name(const char *name, hf_text asked) {
    uint32_t i = 0;
    while (i < asked.length && name[i] && lower(asked.bytes[i]) == (uint8_t)name[i])
        i++;
    return i == asked.length && !name[i];
}

const hf_command *command_find(hf_text name) {
    /* Mostly it is the command of before, spelt as before. */
    static _Thread_local struct {
        const hf_command *command;
        uint32_t length;
        uint8_t name[NAME_BYTES];
    } last;
    if (name.length == 0 || name.length > NAME_BYTES)
        return NULL;
    if (name.length == last.length && memcmp(name.bytes, last.name, name.length) == 0)
        return last.command;
    for (uint32_t at = hash_name(name.bytes, name.length); slots[at % HASH_SLOTS]; at++) {
        const hf_command *command = &command_table[slots[at % HASH_SLOTS] - 1];
        if (same_name(command->name, name)) {
            last.command = command;
            last.length = name.length;
            memcpy(last.name, name.bytes, name.length);
            return command;
        }
    }
    return NULL;
}

bool text_is(hf_text argument, const char *word) {
    uint32_t i = 0;
    while (i < argument.length && word[i] && lower(argument.bytes[i]) == lower((uint8_t)word[i]))
        i++;
    return i == argument.length && !word[i];
}

bool command_arity_fits(const hf_command *command, uint32_t count) {
    return command->arity < 0 ? count >= (uint32_t)-command->arity : count == (uint32_t)command->arity;
}

bool command_each_key(const hf_command *command, const command_request *request,
                      void (*visit)(void *context, uint32_t index), void *context) {
    if (!command_arity_fits(command, request->count))
        return false;
    uint32_t first = (uint32_t)command->first;
    if ((command->flags & COMMAND_MOVABLE_KEYS) && text_is(argument_of(request, first), "USER"))
        first += 2;
    uint32_t last = command->last < 0 ? request->count - (uint32_t)-command->last : (uint32_t)command->last;
    if (command->step == 2 && (request->count <= first || (request->count - first) % 2 != 0))
        return false;
    for (uint32_t i = first; command->step && i <= last && i < request->count; i += (uint32_t)command->step)
        visit(context, i);
    return true;
}

/* ---- COMMAND ----------------------------------------------------------------------------------------------------- */

static const struct {
    unsigned class;
    const char *category;
} categories[] = {
    {CLASS_READ, "@read"}, {CLASS_WRITE, "@write"}, {CLASS_ADMIN, "@admin"}, {CLASS_CONNECTION, "@connection"}};

static const char *category_of(const hf_command *command) {
    unsigned i = 0;
    while (categories[i].class != command->class)
        i++;
    return categories[i].category;
}

static void reply_flags(reply_writer *writer, const hf_command *command) {
    const char *flags[6];
    unsigned count = 0;
    if (command->class == CLASS_READ && command->first)
        flags[count++] = "readonly";
    if (command->class == CLASS_WRITE)
        flags[count++] = "write";
    if (command->class == CLASS_ADMIN)
        flags[count++] = "admin";
    if (command->flags & COMMAND_BEFORE_LOGIN)
        flags[count++] = "no_auth";
    if (command->flags & COMMAND_MOVABLE_KEYS)
        flags[count++] = "movablekeys";
    if (command->flags & COMMAND_BLOCKING)
        flags[count++] = "blocking";
    reply_set(writer, count);
    for (unsigned i = 0; i < count; i++)
        reply_simple(writer, flags[i]);
}

static void reply_info(reply_writer *writer, const hf_command *command) {
    reply_array(writer, 10);
    reply_text(writer, command->name);
    reply_integer(writer, command->arity);
    reply_flags(writer, command);
    reply_integer(writer, command->first);
    reply_integer(writer, command->last);
    reply_integer(writer, command->step);
    reply_set(writer, 1);
    reply_simple(writer, category_of(command));
    for (int i = 0; i < 3; i++)
        reply_array(writer, 0); /* tips, key specifications, subcommands */
}

static void reply_docs(reply_writer *writer, const hf_command *command) {
    reply_text(writer, command->name);
    reply_map(writer, 4);
    reply_text(writer, "summary");
    reply_text(writer, command->summary);
    reply_text(writer, "since");
    reply_text(writer, hf_version());
    reply_text(writer, "group");
    reply_text(writer, command->group);
    reply_text(writer, "syntax");
    reply_text(writer, command->syntax);
}

/* Those named from argument `from` on, or all. */
static void reply_commands(hf_connection *connection, const command_request *request, uint32_t from, bool docs) {
    reply_writer *writer = &connection->writer;
    if (from >= request->count) {
        docs ? reply_map(writer, COMMANDS) : reply_array(writer, COMMANDS);
        for (unsigned i = 0; i < COMMANDS; i++)
            docs ? reply_docs(writer, &command_table[i]) : reply_info(writer, &command_table[i]);
        return;
    }
    uint32_t found = 0;
    for (uint32_t i = from; i < request->count; i++)
        found += command_find(argument_of(request, i)) != NULL;
    docs ? reply_map(writer, found) : reply_array(writer, request->count - from);
    for (uint32_t i = from; i < request->count; i++) {
        const hf_command *command = command_find(argument_of(request, i));
        if (docs && command)
            reply_docs(writer, command);
        else if (!docs)
            command ? reply_info(writer, command) : reply_null_array(writer);
    }
}

typedef struct key_list {
    reply_writer *writer;
    const command_request *request;
    uint32_t count;
} key_list;

static void count_key(void *context, uint32_t index) {
    (void)index;
    ((key_list *)context)->count++;
}

static void reply_key(void *context, uint32_t index) {
    key_list *list = context;
    hf_text key = argument_of(list->request, index);
    reply_bulk(list->writer, key.bytes, key.length);
}

static command_result reply_keys(hf_connection *connection, const command_request *request) {
    command_request inner = {request->bytes, request->arguments + 2, request->count - 2};
    const hf_command *command = command_find(argument_of(&inner, 0));
    if (!command)
        return connection_refuse(connection, GATEWAY_GENERAL, "Invalid command specified");
    if (command->first == 0)
        return connection_refuse(connection, GATEWAY_GENERAL, "The command has no key arguments");
    key_list list = {&connection->writer, &inner, 0};
    if (!command_each_key(command, &inner, count_key, &list))
        return connection_refuse(connection, GATEWAY_GENERAL, "Invalid number of arguments specified for command");
    reply_array(&connection->writer, list.count);
    command_each_key(command, &inner, reply_key, &list);
    return COMMAND_DONE;
}

command_result command_command(hf_connection *connection, const command_request *request) {
    hf_text what = request->count > 1 ? argument_of(request, 1) : (hf_text){0};
    if (request->count == 1) {
        reply_commands(connection, request, 1, false);
    } else if (text_is(what, "COUNT") && request->count == 2) {
        reply_integer(&connection->writer, COMMANDS);
    } else if (text_is(what, "INFO")) {
        reply_commands(connection, request, 2, false);
    } else if (text_is(what, "DOCS")) {
        reply_commands(connection, request, 2, true);
    } else if (text_is(what, "LIST") && request->count == 2) {
        reply_array(&connection->writer, COMMANDS);
        for (unsigned i = 0; i < COMMANDS; i++)
            reply_text(&connection->writer, command_table[i].name);
    } else if (text_is(what, "GETKEYS") && request->count > 2) {
        return reply_keys(connection, request);
    } else {
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "COMMAND: expected COUNT, DOCS, INFO, LIST or GETKEYS with what each takes");
    }
    return COMMAND_DONE;
}
