/* A client's connection. The contract is in connection.h. */
#include "connection.h"

#include "cancel.h"
#include "events.h"
#include "job.h"
#include "journal.h"
#include "session.h"
#include "shared.h"
#include "throttle.h"
#include "tls.h"
#include "worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_LEAST = 16 << 10, OUTPUT_BEFORE_LOGIN = 16 << 10, NOT_YET_KNOWN = 256, SHRINK_MS = 1000 };

/* Before a login little is believed: the largest thing to say is HELLO 3 AUTH user password SETNAME name. */
static const request_limits limits_before_login = {
    .arguments = 10, .argument_bytes = 1024, .inline_bytes = 4096, .request_bytes = 8192};

const char *connection_end_text(connection_end end) {
    static const char *const texts[] = {
#define X(name, text) text,
        CONNECTION_END_MAP(X)
#undef X
    };
    return end < CONNECTION_ENDS ? texts[end] : "?";
}

hf_session *connection_session(const hf_connection *connection) {
    return connection->named ? connection->named->session : connection->worker->session;
}

/* ---- watching ---------------------------------------------------------------------------------------------------- */

static void on_event(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

void connection_touch(hf_connection *connection) {
    hf_worker *worker = connection->worker;
    if (connection->is_dirty || connection->closed)
        return;
    connection->is_dirty = true;
    connection->next_dirty = worker->dirty;
    worker->dirty = connection;
}

void connection_watch(hf_connection *connection) {
    int events = 0;
    if (connection->closed)
        return;
    if (!connection->paused && !connection->input_ended && !connection->ending)
        events |= UV_READABLE;
    if (connection_waits_for_events(connection) && !connection->input_ended && !connection->ending)
        events |= UV_DISCONNECT; /* who waits for ever; other jobs end by themselves, and are answered */
    if (connection->send_blocked)
        events |= UV_WRITABLE;
    if (events == connection->polled)
        return;
    connection->polled = events;
    if (events)
        uv_poll_start(&connection->poll, events, on_event);
    else
        uv_poll_stop(&connection->poll);
}

void connection_pause_for(hf_connection *connection, unsigned reason, uint64_t milliseconds) {
    connection->paused |= reason;
    uv_update_time(&connection->worker->loop);
    uv_timer_start(&connection->timer, on_timer, milliseconds, 0);
}

static void on_timer(uv_timer_t *timer) {
    hf_connection *connection = timer->data;
    connection->worker->read_ns = uv_hrtime();
    if (connection_waits_for_events(connection))
        events_time_out(connection);
    else
        connection_resume(connection, PAUSE_THROTTLE | PAUSE_RETRY);
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

void connection_reply_begin(hf_connection *connection) {
    connection->reply_open = true;
    connection->reply_start = connection->out.end;
    connection->reply_ticket = 0;
}

static void refuse_undurable(hf_connection *connection) {
    counter_add_relaxed(&connection->worker->counters.errors[GATEWAY_POISONED], 1); /* relaxed: a figure */
    reply_error(&connection->writer, "%s the log could not be written: whether this was done is known after a restart",
                gateway_error_prefix(GATEWAY_POISONED));
}

void connection_reply_end(hf_connection *connection) {
    bool later = (connection->paused & PAUSE_JOB) && connection->out.end == connection->reply_start;
    connection->reply_open = false;
    if (later && connection->worker->loop_is_in_request)
        return; /* the job's end writes it */
    if (connection_take_silence(connection)) {
        output_cut(&connection->out, connection->reply_start);
        return;
    }
    if (connection->out.end == connection->reply_start)
        return;
    hf_worker *worker = connection->worker;
    uint64_t ticket = connection->reply_ticket;
    if (ticket > connection->last_ticket)
        connection->last_ticket = ticket;
    if (connection->acknowledge_now)
        ticket = 0;
    if (worker->poisoned && ticket > hf_durable(worker->server->engine)) { /* it never will be */
        output_cut(&connection->out, connection->reply_start);
        refuse_undurable(connection);
        ticket = 0;
    }
    output_mark_replies(&connection->out, ticket, worker->durable, worker->read_ns, 1);
    connection_touch(connection);
}

void connection_push_end(hf_connection *connection) {
    output_mark_replies(&connection->out, 0, connection->worker->durable, connection->worker->read_ns, 0);
    connection->pushed_ns = uv_hrtime();
    connection_touch(connection);
}

command_result connection_refuse(hf_connection *connection, gateway_error error, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!connection->reply_open) {
        if (!batch_submit(connection))
            return COMMAND_LATER;
        connection_reply_begin(connection);
    }
    counter_add_relaxed(&connection->worker->counters.errors[error], 1); /* relaxed: a figure */
    reply_error(&connection->writer, "%s %s", gateway_error_prefix(error), text);
    return COMMAND_DONE;
}

void connection_refuse_held(hf_connection *connection) {
    uint32_t replies = output_refuse_held(&connection->out);
    bool any = replies > 0;
    for (; replies > 0; replies--)
        refuse_undurable(connection);
    output_mark_replies(&connection->out, 0, connection->worker->durable, uv_hrtime(), 0);
    if (any)
        events_cut(connection);
    connection_resume(connection, PAUSE_RING);
    connection_touch(connection);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static command_result refuse_unknown(hf_connection *connection, const command_request *request) {
    hf_text name = argument_of(request, 0), first = request->count > 1 ? argument_of(request, 1) : (hf_text){0};
    if (text_is(name, "POST") || text_is(name, "HOST:")) { /* a browser that somebody sent here */
        connection->ending = true;
        connection->end = END_PROTOCOL;
        return connection_refuse(connection, GATEWAY_GENERAL, "this is no HTTP server");
    }
    return connection_refuse(connection, GATEWAY_GENERAL, "unknown command '%.*s', with args beginning with: %s%.*s%s",
                             (int)(name.length < 64 ? name.length : 64), (const char *)name.bytes,
                             first.length ? "'" : "", (int)(first.length < 64 ? first.length : 64),
                             first.length ? (const char *)first.bytes : "", first.length ? "'" : "");
}

/* Whether the command may be carried out. False: *result is what becomes of the request. */
static bool is_allowed(hf_connection *connection, const hf_command *command, const command_request *request,
                       command_result *result) {
    if (!command)
        *result = refuse_unknown(connection, request);
    else if (!command_arity_fits(command, request->count))
        *result =
            connection_refuse(connection, GATEWAY_GENERAL, "wrong number of arguments for '%s' command", command->name);
    else if (!connection->user && !(command->flags & COMMAND_BEFORE_LOGIN))
        *result = connection_refuse(connection, GATEWAY_NOAUTH, "Authentication required.");
    else if (command->class != CLASS_CONNECTION && !(connection->user->classes & command->class))
        *result = connection_refuse(connection, GATEWAY_NOPERM, "this user has no permissions to run the '%s' command",
                                    command->name);
    else
        return true;
    return false;
}

static command_result carry_out(hf_connection *connection, const command_request *request) {
    hf_worker *worker = connection->worker;
    const hf_command *command = command_find(argument_of(request, 0));
    command_result result;
    if (is_allowed(connection, command, request, &result)) {
        if (!(command->flags & COMMAND_IS_ORDER)) {
            if (!batch_submit(connection))
                return COMMAND_LATER;
            if ((command->flags & COMMAND_STARTS_JOB) && connection->job) {
                connection_pause_for(connection, PAUSE_RETRY, 1);
                return COMMAND_LATER;
            }
            connection_reply_begin(connection);
        }
        result = command->handler(connection, request);
        if (result == COMMAND_DONE) {
            counter_add_relaxed(&connection->card.commands, 1); /* relaxed: figures */
            counter_add_relaxed(&worker->counters.commands[command->number], 1);
            counter_add_relaxed(&worker->counters.requests, 1);
        }
    }
    if (result == COMMAND_LATER)
        connection->reply_open = false;
    else if (connection->reply_open)
        connection_reply_end(connection);
    return result;
}

static void end_by_protocol(hf_connection *connection) {
    connection->ending = true;
    connection->end = END_PROTOCOL;
    if (!batch_submit(connection))
        return; /* the orders before it are read again first, then this */
    connection_reply_begin(connection);
    connection_refuse(connection, GATEWAY_GENERAL, "Protocol error: %s", request_error_text(connection->parser.error));
    connection_reply_end(connection);
}

/* Beyond so much unsent output it is not read. */
static uint64_t output_pause_of(const hf_connection *connection) {
    return connection->user ? connection->worker->server->settings->output_pause_bytes : OUTPUT_BEFORE_LOGIN;
}

static void pause_if_full(hf_connection *connection) {
    if (output_size(&connection->out) <= output_pause_of(connection))
        return;
    connection->paused |= PAUSE_OUTPUT;
    counter_add_relaxed(&connection->worker->counters.output_full, 1); /* relaxed: a figure */
}

/* Orders from `at` on are to be read again once there is room in the log ring. */
static void wait_for_ring(hf_connection *connection) {
    connection->paused |= PAUSE_RING;
    connection->ring_full_at = connection->worker->durable;
    counter_add_relaxed(&connection->worker->counters.ring_full, 1); /* relaxed: a figure */
    connection_touch(connection);
}

static const request_limits *limits_of(const hf_connection *connection) {
    return connection->user ? &connection->worker->limits : &limits_before_login;
}

/* Carries out one request, which begins at bytes[at]. Returns where the next begins; `at` or less where it could not be
 * carried out now, or is not whole. */
static size_t process_one(hf_connection *connection, uint8_t *bytes, size_t at, size_t length, bool *stopped) {
    request_parser *parser = &connection->parser;
    hf_worker *worker = connection->worker;
    if (!connection->request_ready) {
        /* An inline request is rewritten where it lies, so it must not be read again for the sake of an order before
         * it. */
        if (bytes[at] != '*' && !batch_submit(connection)) {
            *stopped = true;
            return at;
        }
        request_result found = request_parse(parser, limits_of(connection), bytes + at, length - at);
        if (found != REQUEST_READY) {
            *stopped = true;
            if (found == REQUEST_BAD)
                end_by_protocol(connection);
            return found == REQUEST_BAD ? length : at;
        }
    }
    connection->request_ready = false;
    size_t next = at + parser->scanned;
    command_request request = {bytes + at, parser->arguments, parser->count};
    worker->request_at = at;
    command_result result = request.count ? carry_out(connection, &request) : COMMAND_DONE;
    if (result == COMMAND_DONE && bytes[at] != '*' && !batch_submit(connection)) {
        worker->batch.again_at = SIZE_MAX; /* it was alone in its batch, and stays parsed */
        wait_for_ring(connection);
        result = COMMAND_LATER;
    }
    if (result == COMMAND_LATER) {
        *stopped = true;
        connection->request_ready = true;
        return at;
    }
    request_next(parser);
    return next;
}

/* Carries out what there is. Returns how many bytes are done with. */
static size_t process(hf_connection *connection, uint8_t *bytes, size_t length) {
    hf_worker *worker = connection->worker;
    size_t at = 0;
    bool stopped = false;
    worker->loop_is_in_request = true;
    worker->batch.again_at = SIZE_MAX;
    while (!stopped && at < length && !connection->paused && !connection->ending) {
        at = process_one(connection, bytes, at, length, &stopped);
        pause_if_full(connection);
    }
    if (!batch_submit(connection) || worker->batch.again_at != SIZE_MAX) {
        /* Somewhere on the way the ring was full. */
        at = worker->batch.again_at;
        connection->request_ready = false;
        request_next(&connection->parser);
        connection->ending = connection->ending && connection->end != END_PROTOCOL;
        wait_for_ring(connection);
    }
    worker->loop_is_in_request = false;
    connection_touch(connection);
    return at;
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

static bool make_input_room(hf_connection *connection, size_t room) {
    if (connection->input_capacity - connection->input_length >= room)
        return true;
    size_t capacity = (size_t)connection->input_length + room;
    uint8_t *larger = capacity > UINT32_MAX ? NULL : realloc(connection->input, capacity);
    if (!larger)
        return false;
    connection->input = larger;
    connection->input_capacity = (uint32_t)capacity;
    return true;
}

static void drop_input(hf_connection *connection) {
    free(connection->input);
    connection->input = NULL;
    connection->input_length = connection->input_capacity = 0;
}

/* What of bytes[0..length) is not done with becomes the connection's own input. */
static bool keep_input(hf_connection *connection, const uint8_t *bytes, size_t length) {
    if (length == 0)
        return true;
    if (!make_input_room(connection, length + NOT_YET_KNOWN))
        return false;
    memcpy(connection->input, bytes, length);
    connection->input_length = (uint32_t)length;
    return true;
}

/* Carries out what the connection's own input holds. */
static void process_input(hf_connection *connection) {
    size_t done = process(connection, connection->input, connection->input_length);
    connection->input_length -= (uint32_t)done;
    if (connection->input_length == 0)
        drop_input(connection);
    else if (done)
        memmove(connection->input, connection->input + done, connection->input_length);
}

static ssize_t receive(hf_connection *connection, void *bytes, size_t room) {
    hf_worker *worker = connection->worker;
    ssize_t length = connection->tls ? tls_read(connection, bytes, room) : recv(connection->fd, bytes, room, 0);
    worker->read_ns = uv_hrtime();
    if (length > 0) {
        connection->received_ns = worker->read_ns;
        counter_add_relaxed(&worker->counters.reads, 1); /* relaxed: figures */
        counter_add_relaxed(&worker->counters.bytes_in, (uint64_t)length);
        counter_set_relaxed(&connection->card.last_ms,
                            worker->server->started_ms + (worker->read_ns - worker->server->started_ns) / 1000000);
    }
    return length;
}

/* One read, and what it brings. False: there was nothing, or the connection is closed. */
static bool read_once(hf_connection *connection) {
    hf_worker *worker = connection->worker;
    ssize_t length;
    if (connection->input_length) {
        const request_parser *parser = &connection->parser;
        size_t known = parser->awaited > connection->input_length ? parser->awaited - connection->input_length : 0;
        if (!make_input_room(connection, known > READ_LEAST ? known : READ_LEAST)) {
            connection_close(connection, END_MEMORY);
            return false;
        }
        length = receive(connection, connection->input + connection->input_length,
                         connection->input_capacity - connection->input_length);
        if (length > 0) {
            connection->input_length += (uint32_t)length;
            process_input(connection);
        }
    } else {
        length = receive(connection, worker->buffer, connection->user ? WORKER_BUFFER : READ_LEAST);
        if (length > 0) {
            size_t done = process(connection, worker->buffer, (size_t)length);
            if (!keep_input(connection, worker->buffer + done, (size_t)length - done)) {
                connection_close(connection, END_MEMORY);
                return false;
            }
        }
    }
    if (length == 0)
        connection->input_ended = true;
    else if (length < 0 && errno != EAGAIN && errno != EINTR)
        connection_close(connection, END_ERROR);
    connection_touch(connection);
    return length > 0;
}

static bool may_read(const hf_connection *connection) {
    return !connection->closed && !connection->paused && !connection->input_ended && !connection->ending;
}

static void read_all(hf_connection *connection) {
    /* OpenSSL may hold bytes that no event will tell of. */
    while (may_read(connection) && read_once(connection) && tls_has_bytes(connection)) {
    }
}

void connection_resume(hf_connection *connection, unsigned reason) {
    if (connection->closed || !(connection->paused & reason))
        return;
    connection->paused &= ~reason;
    connection_touch(connection);
    if (connection->paused || connection->ending)
        return;
    connection->received_ns = uv_hrtime(); /* it was not heard, which is no silence of its own */
    if (connection->input_length)
        process_input(connection);
    if (tls_has_bytes(connection))
        read_all(connection);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void note_release(void *context, const output_mark *mark) {
    hf_connection *connection = context;
    hf_worker *worker = connection->worker;
    if (mark->replies && worker->turn_ns > mark->since_ns)
        histogram_add(&worker->counters.acknowledged, worker->turn_ns - mark->since_ns, mark->replies);
}

void connection_release(hf_connection *connection, uint64_t durable) {
    output_release(&connection->out, durable, note_release, connection);
    if (output_sendable(&connection->out))
        connection_touch(connection);
}

void connection_send(hf_connection *connection) {
    hf_output *out = &connection->out;
    hf_worker *worker = connection->worker;
    if (connection->handshaking || connection->send_blocked || connection->closed)
        return;
    while (output_sendable(out)) {
        ssize_t sent = connection->tls ? tls_write(connection, output_bytes(out), output_sendable(out))
                                       : send(connection->fd, output_bytes(out), output_sendable(out), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0) {
            connection->send_blocked = true;
            if (errno != EAGAIN)
                connection_close(connection, END_ERROR);
            break;
        }
        connection->progress_ns = worker->turn_ns;
        counter_add_relaxed(&worker->counters.writes, 1); /* relaxed: figures */
        counter_add_relaxed(&worker->counters.bytes_out, (uint64_t)sent);
        output_sent(out, (size_t)sent);
    }
}

void connection_end_turn(hf_connection *connection) {
    if (connection->closed)
        return;
    if (connection->out.overflowed) {
        connection_close(connection, END_OUTPUT);
        return;
    }
    /* What was marked in this turn may be durable by now, and nobody else would tell. */
    output_release(&connection->out, connection->worker->durable, note_release, connection);
    connection_send(connection);
    if (connection->closed)
        return;
    counter_set_relaxed(&connection->card.output_bytes, output_size(&connection->out)); /* relaxed: a gauge */
    if ((connection->paused & PAUSE_OUTPUT) && output_size(&connection->out) <= output_pause_of(connection) / 2)
        connection_resume(connection, PAUSE_OUTPUT);
    if (connection->worker->durable != connection->ring_full_at)
        connection_resume(connection, PAUSE_RING); /* it moved before this connection was among those that are told */
    if (connection->feed)
        events_go_on(connection, false);
    if (connection->input_ended && !connection->ending && !connection->paused) {
        connection->ending = true;
        connection->end = END_CLIENT;
    }
    if (connection->ending && output_size(&connection->out) == 0 && !(connection->paused & PAUSE_JOB))
        connection_close(connection, connection->end);
    else
        connection_watch(connection);
}

bool connection_wants_durable(const hf_connection *connection) {
    return !connection->closed && (connection->out.mark_count || (connection->paused & PAUSE_RING) || connection->feed);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void shake_hands(hf_connection *connection) {
    char name[ACCESS_NAME + 1];
    switch (tls_shake(connection)) {
    case TLS_WANTS_READ:
        connection->send_blocked = false;
        break;
    case TLS_WANTS_WRITE:
        connection->send_blocked = true;
        break;
    case TLS_FAILED:
        connection_close(connection, END_TLS);
        break;
    default:
        connection->handshaking = connection->send_blocked = false;
        const hf_server *server = connection->worker->server;
        const access_user *user = server->settings->tls_name_is_user && tls_client_name(connection, name)
                                      ? access_find(&server->settings->users, name, strlen(name))
                                      : NULL;
        user = user ? user : server->default_user;
        if (user)
            connection_login(connection, user);
        connection->certified_user = user;
        read_all(connection);
    }
}

static void on_event(uv_poll_t *poll, int status, int events) {
    hf_connection *connection = poll->data;
    if (connection->closed)
        return;
    connection_touch(connection);
    if (status < 0) {
        connection->polled = 0;
        connection_close(connection, connection->handshaking ? END_TLS : END_ERROR);
        return;
    }
    if (connection->handshaking) {
        shake_hands(connection);
        return;
    }
    if (events & UV_WRITABLE)
        connection->send_blocked = false;
    if ((events & UV_READABLE) && may_read(connection))
        read_all(connection);
    if ((events & UV_DISCONNECT) && !connection->closed && connection_waits_for_events(connection))
        connection_close(connection, END_CLIENT);
    worker_release(connection->worker);
}

/* ---- login, reset ------------------------------------------------------------------------------------------------ */

static void count_before_login(hf_connection *connection, bool counts) {
    if (connection->counted_before_login == counts)
        return;
    connection->counted_before_login = counts;
    uint64_t *tally = &connection->worker->server->before_login;
    counts ? tally_add_relaxed(tally, 1) : tally_take_relaxed(tally, 1); /* relaxed: a gauge */
}

void connection_login(hf_connection *connection, const access_user *user) {
    if (connection->user != user) {
        session_leave(connection); /* its name belongs to the user of before */
        events_stop(connection);
    }
    if (connection->user && !user)
        connection->login_from_ns = uv_hrtime(); /* RESET: as a new connection */
    connection->user = user;
    count_before_login(connection, user == NULL);
    const char *name = user ? user->name : "";
    registry_set_text(&connection->worker->server->registry, connection->card.user, sizeof connection->card.user, name,
                      strlen(name));
    throttle_reset(connection);
}

bool connection_set_name(hf_connection *connection, hf_text name) {
    for (uint32_t i = 0; i < name.length; i++)
        if (name.bytes[i] < '!' || name.bytes[i] > '~')
            return false;
    if (name.length > CONNECTION_NAME)
        return false;
    registry_set_text(&connection->worker->server->registry, connection->card.name, sizeof connection->card.name,
                      name.bytes, name.length);
    return true;
}

void connection_reset(hf_connection *connection) {
    events_stop(connection);
    session_leave(connection);
    cancel_set_free(connection->cancels);
    connection->cancels = NULL;
    connection->acknowledge_now = false;
    connection->reply_mode = REPLY_ON;
    connection->writer.protocol = 2;
    counter_set_relaxed(&connection->card.protocol, 2); /* relaxed: shown by CLIENT LIST */
    connection->heartbeat_ns = 0;
    connection->sequence = 0;
    registry_set_text(&connection->worker->server->registry, connection->card.name, sizeof connection->card.name, "",
                      0);
    const access_user *user =
        connection->certified_user ? connection->certified_user : connection->worker->server->default_user;
    connection_login(connection, user);
}

/* ---- limits of time ---------------------------------------------------------------------------------------------- */

static bool is_past(uint64_t now_ns, uint64_t since_ns, uint64_t ms) {
    return now_ns > since_ns && now_ns - since_ns > ms * 1000000;
}

static void push_heartbeat(hf_connection *connection, uint64_t now_ns) {
    if (connection->writer.protocol < 3 || now_ns - connection->pushed_ns < connection->heartbeat_ns)
        return;
    reply_push(&connection->writer, 2);
    reply_text(&connection->writer, "hf.heartbeat");
    reply_integer(&connection->writer, (int64_t)connection->worker->durable);
    connection_push_end(connection);
}

void connection_sweep(hf_connection *connection, uint64_t now_ns) {
    const hf_settings *settings = connection->worker->server->settings;
    if (connection->closed)
        return;
    if ((!connection->user || connection->handshaking) &&
        is_past(now_ns, connection->login_from_ns, settings->login_timeout_ms)) {
        connection_close(connection, END_LOGIN);
    } else if (connection->send_blocked && is_past(now_ns, connection->progress_ns, settings->slow_reader_ms)) {
        connection_close(connection, END_SLOW);
    } else if (connection->heartbeat_ns && !connection->paused &&
               is_past(now_ns, connection->received_ns, connection->heartbeat_ns * 2 / 1000000)) {
        connection_close(connection, END_HEARTBEAT);
    } else if (settings->idle_timeout_ms && !connection->paused && !connection->out.mark_count &&
               !(connection->feed && connection->writer.protocol == 3) &&
               is_past(now_ns, connection->received_ns, settings->idle_timeout_ms)) {
        connection_close(connection, END_IDLE);
    } else {
        if (connection->heartbeat_ns)
            push_heartbeat(connection, now_ns);
        if (connection->feed)
            events_go_on(connection, true);
        connection_resume(connection, PAUSE_RING);
        if (is_past(now_ns, connection->received_ns, SHRINK_MS))
            output_shrink(&connection->out);
    }
}

void connection_drain(hf_connection *connection) {
    if (connection->closed || connection->ending)
        return;
    connection->ending = true;
    connection->end = END_STOP;
    if (connection_waits_for_events(connection))
        events_time_out(connection);
    connection_touch(connection);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void describe_address(char text[CONNECTION_ADDRESS + 1], const struct sockaddr_storage *address) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, CONNECTION_ADDRESS + 1, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(text, CONNECTION_ADDRESS + 1, "[%s]:%u", host, ntohs(in->sin6_port));
    } else {
        snprintf(text, CONNECTION_ADDRESS + 1, "unix:0");
    }
}

static void fill_card(hf_connection *connection, uint64_t id) {
    struct sockaddr_storage address = {0}, local = {0};
    socklen_t length = sizeof address, local_length = sizeof local;
    client_card *card = &connection->card;
    getpeername(connection->fd, (struct sockaddr *)&address, &length);
    getsockname(connection->fd, (struct sockaddr *)&local, &local_length);
    describe_address(card->address, &address);
    describe_address(card->local, &local);
    card->id = id;
    card->worker = connection->worker->number;
    card->protocol = 2;
    card->opened_ms = connection->worker->server->started_ms +
                      (connection->login_from_ns - connection->worker->server->started_ns) / 1000000;
    card->last_ms = card->opened_ms;
}

static void set_socket_options(int fd) {
    /* Those of TCP fail on a Unix socket, where they are not needed. A peer that vanished is found within a minute and
     * a half. */
    int on = 1, idle_s = 60, interval_s = 10, probes = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static hf_connection *make_connection(hf_worker *worker, int fd) {
    hf_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->worker = worker;
    connection->fd = fd;
    connection->login_from_ns = connection->received_ns = connection->progress_ns = uv_hrtime();
    request_init(&connection->parser);
    output_init(&connection->out, worker->server->settings->output_limit_bytes);
    connection->writer = (reply_writer){.out = &connection->out, .protocol = 2};
    if (uv_poll_init(&worker->loop, &connection->poll, fd) != 0) {
        free(connection);
        return NULL;
    }
    uv_timer_init(&worker->loop, &connection->timer);
    connection->poll.data = connection->timer.data = connection;
    connection->handles = 2;
    return connection;
}

bool connection_open(hf_worker *worker, int fd, uint64_t id, bool tls) {
    hf_server *server = worker->server;
    set_socket_options(fd);
    hf_connection *connection = make_connection(worker, fd);
    if (!connection) {
        close(fd);
        tally_take_relaxed(&server->connections, 1); /* relaxed: gauges */
        tally_take_relaxed(&server->before_login, server_wants_login(server, tls));
        return false;
    }
    connection->next = worker->connections;
    if (worker->connections)
        worker->connections->previous = connection;
    worker->connections = connection;
    fill_card(connection, id);
    registry_add(&server->registry, &connection->card);
    connection->counted_before_login = server_wants_login(server, tls); /* by whoever accepted it */
    if (tls) {
        connection->handshaking = true;
        if (!tls_begin(connection)) {
            connection_close(connection, END_MEMORY);
            return false;
        }
    } else if (server->default_user) {
        connection_login(connection, server->default_user);
    }
    journal(JOURNAL_DEBUG, "connected", "id", journal_number(id), "address", connection->card.address, "tls",
            tls ? "yes" : "no", NULL);
    connection_touch(connection);
    return true;
}

static void on_closed(uv_handle_t *handle) {
    hf_connection *connection = handle->data;
    if (--connection->handles > 0)
        return;
    close(connection->fd);
    free(connection);
}

static void leave_lists(hf_connection *connection) {
    hf_worker *worker = connection->worker;
    *(connection->previous ? &connection->previous->next : &worker->connections) = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    registry_remove(&worker->server->registry, &connection->card);
}

void connection_close(hf_connection *connection, connection_end end) {
    hf_worker *worker = connection->worker;
    if (connection->closed)
        return;
    connection->closed = worker->closed_some = true;
    counter_add_relaxed(&worker->counters.ends[end], 1); /* relaxed: a figure */
    journal(end == END_CLIENT || end == END_QUIT || end == END_STOP ? JOURNAL_DEBUG : JOURNAL_INFO, "connection_closed",
            "id", journal_number(connection->card.id), "address", connection->card.address, "name",
            connection->card.name, "user", connection->card.user, "reason", connection_end_text(end), NULL);
    events_stop(connection);
    if (connection->job) {
        connection->job->connection = NULL;
        connection->job = NULL;
    }
    cancel_on_disconnect(connection);
    session_leave(connection);
    count_before_login(connection, false);
    tls_end(connection);
    leave_lists(connection);
    tally_take_relaxed(&worker->server->connections, 1); /* relaxed: a gauge */
    drop_input(connection);
    request_free(&connection->parser);
    output_free(&connection->out);
    uv_poll_stop(&connection->poll);
    uv_timer_stop(&connection->timer);
    shutdown(connection->fd, SHUT_RDWR);
    uv_close((uv_handle_t *)&connection->poll, on_closed);
    uv_close((uv_handle_t *)&connection->timer, on_closed);
}
