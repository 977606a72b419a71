/* One client's connection: bytes in, requests, orders, replies, bytes out. It lives on one worker's thread.
 *
 * Guarantees
 *   A  Requests are carried out in the order they came, and answered in that order.
 *   B  What one read brings is one batch of orders, as far as no other command stands between them.
 *   C  Memory is bounded by settings: a request and one read of input, output_limit_bytes of output; before a login by
 *      little of either.
 *   D  Whatever keeps a request from being carried out now (a full log ring, the throttle, unsent output, a job in
 *      another thread) pauses the connection: it is not read, and its bytes wait, unparsed, where they are.
 *
 *     read -> worker's buffer --parse--> requests --> batch of orders --hf_submit--> replies --> output, with tickets
 *                  |  what is left over                    |  log ring full                           |  durable
 *                  '-> the connection's own input          '-> back to the bytes, paused              '-> sent
 */
#ifndef SERVE_CONNECTION_H
#define SERVE_CONNECTION_H

#include "access.h"
#include "command.h"
#include "errors.h"
#include "output.h"
#include "reply.h"

#include <holdfast/holdfast.h>
#include <openssl/ssl.h>
#include <uv.h>

enum connection_pause {
    PAUSE_RING = 1u << 0,     /* the log ring is full: until the durable epoch moves */
    PAUSE_THROTTLE = 1u << 1, /* until the timer */
    PAUSE_OUTPUT = 1u << 2,   /* until enough was sent */
    PAUSE_JOB = 1u << 3,      /* a command is under way in another thread, or waits for events */
    PAUSE_RETRY = 1u << 4,    /* the engine said ask again: until the timer */
};

enum { CONNECTION_NAME = 127, CONNECTION_ADDRESS = 63, CONNECTION_LIBRARY = 63 };

/* X(name, text): why a connection ended; each has a counter. */
#define CONNECTION_END_MAP(X)                                                                                          \
    X(CLIENT, "client")                                                                                                \
    X(QUIT, "quit")                                                                                                    \
    X(ERROR, "error")                                                                                                  \
    X(PROTOCOL, "protocol_error")                                                                                      \
    X(SLOW, "slow_reader")                                                                                             \
    X(OUTPUT, "output_limit")                                                                                          \
    X(IDLE, "idle")                                                                                                    \
    X(HEARTBEAT, "heartbeat")                                                                                          \
    X(LOGIN, "login_timeout")                                                                                          \
    X(FAILURES, "login_failures")                                                                                      \
    X(TLS, "tls")                                                                                                      \
    X(KILLED, "killed")                                                                                                \
    X(MEMORY, "memory")                                                                                                \
    X(STOP, "stop")

#define X(name, text) END_##name,
typedef enum connection_end { CONNECTION_END_MAP(X) CONNECTION_ENDS } connection_end;
#undef X
const char *connection_end_text(connection_end end);

/* What CLIENT LIST on other threads shows of a connection (registry.h says what guards it). */
typedef struct client_card {
    struct client_card *previous, *next;
    uint64_t id;
    uint32_t worker;
    uint64_t opened_ms;
    char address[CONNECTION_ADDRESS + 1], local[CONNECTION_ADDRESS + 1];
    char name[CONNECTION_NAME + 1];
    char library[CONNECTION_LIBRARY + 1], library_version[CONNECTION_LIBRARY + 1];
    char user[ACCESS_NAME + 1];
    char session[HF_MAX_SESSION_NAME + 1];
    uint64_t last_ms, commands, output_bytes, protocol; /* counters of the owner's */
} client_card;

typedef struct hf_throttle {
    uint64_t per_second; /* 0: none */
    uint64_t burst;
    uint64_t tokens_ns; /* what is saved up, as time: one order costs 1 s / per_second */
    uint64_t filled_ns; /* when it was last added to */
    bool refuses;
} hf_throttle;

struct cancel_set;
struct hf_feed;
struct hf_job;
struct named_session;
struct hf_worker;

typedef struct hf_connection {
    struct hf_worker *worker;
    struct hf_connection *previous, *next; /* all of the worker's */
    struct hf_connection *next_dirty, *next_waiting;
    bool is_dirty, is_waiting;

    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    int polled;  /* the events that poll is started for */
    int handles; /* open ones; freed at 0 */
    SSL *tls;
    bool handshaking, send_blocked;

    client_card card;
    const access_user *user;           /* NULL: not logged in */
    const access_user *certified_user; /* by the client's certificate; NULL: none */
    uint32_t login_failures;
    bool counted_before_login;

    unsigned paused;
    uint64_t ring_full_at; /* the durable epoch when it was paused for the log ring */
    bool ending;           /* close once everything is sent */
    bool input_ended;      /* the client sends nothing more */
    bool closed;
    connection_end end;

    request_parser parser;
    bool request_ready; /* the parser holds a whole request that is to be carried out again */
    uint8_t *input;     /* what has been read and not been carried out, while it is not in the worker's buffer */
    uint32_t input_length, input_capacity;

    hf_output out;
    reply_writer writer;
    uint64_t reply_start;  /* position of the reply being written */
    uint64_t reply_ticket; /* it waits for this epoch */
    bool reply_open;       /* between connection_reply_begin and _end */
    enum { REPLY_ON, REPLY_OFF, REPLY_SKIP, REPLY_SKIP_NEXT } reply_mode;
    bool acknowledge_now;

    struct named_session *named; /* NULL: the worker's session */
    uint64_t sequence;           /* of the last order given one */
    struct cancel_set *cancels;  /* NULL: its reservations outlive it */
    hf_throttle throttle;
    uint64_t last_ticket; /* the highest a reply had */

    uint64_t received_ns, progress_ns; /* received_ns: something, or the end of a pause */
    uint64_t login_from_ns;            /* when the time for a login began */
    uint64_t heartbeat_ns, pushed_ns;
    struct hf_feed *feed; /* NULL: none */
    struct hf_job *job;   /* NULL: none under way */
} hf_connection;

/* Takes over a socket that was accepted. False: no memory; the socket is closed. */
bool connection_open(struct hf_worker *worker, int fd, uint64_t id, bool tls);
void connection_close(hf_connection *connection, connection_end end);

/* Carries on once `reason` to pause is gone. */
void connection_resume(hf_connection *connection, unsigned reason);
void connection_pause_for(hf_connection *connection, unsigned reason, uint64_t milliseconds);
/* Releases what is durable; sends what may be sent. */
void connection_release(hf_connection *connection, uint64_t durable);
void connection_send(hf_connection *connection);
void connection_end_turn(hf_connection *connection);
/* Held replies, a full ring or a feed make it want to know when the durable epoch moves. */
bool connection_wants_durable(const hf_connection *connection);
/* Every now and then: limits of time. */
void connection_sweep(hf_connection *connection, uint64_t now_ns);
/* The server stops: nothing more is read; what is held is sent once it is durable, then the connection ends. */
void connection_drain(hf_connection *connection);
/* Something may be sent, or the events to wait for may have changed: seen to at the end of the loop's turn. */
void connection_touch(hf_connection *connection);
void connection_watch(hf_connection *connection);

/* Around a reply that is written outside of a request (a job that ended). */
void connection_reply_begin(hf_connection *connection);
void connection_reply_end(hf_connection *connection);
/* A push is no reply. */
void connection_push_end(hf_connection *connection);

/* Answers with an error. For handlers: `return connection_refuse(...)`. */
command_result connection_refuse(hf_connection *connection, gateway_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* CLIENT REPLY: whether the reply at hand is swallowed. Once for each reply. */
static inline bool connection_take_silence(hf_connection *connection) {
    bool silent = connection->reply_mode != REPLY_ON;
    if (connection->reply_mode == REPLY_SKIP)
        connection->reply_mode = REPLY_ON;
    else if (connection->reply_mode == REPLY_SKIP_NEXT)
        connection->reply_mode = REPLY_SKIP;
    return silent;
}

hf_session *connection_session(const hf_connection *connection);
void connection_login(hf_connection *connection, const access_user *user);
/* False: it is too long, or has bytes that are no letters, digits or signs. */
bool connection_set_name(hf_connection *connection, hf_text name);
/* As a new connection is; the connection's user too. */
void connection_reset(hf_connection *connection);
/* The log failed: what is held back is never going to be acknowledged. */
void connection_refuse_held(hf_connection *connection);

#endif
