/* The command table: every command the gateway knows, once. COMMAND and its subcommands, the permissions, HELP and
 * docs/GATEWAY.md's check all come from it.
 *
 * X(name, handler, arity, flags, first, last, step, class, group, syntax, summary)
 *   arity      as Redis counts: with the command's name; negative: at least so many
 *   first...   positions of SKUs among the arguments: first, last (negative: from the end), step. first 0: none
 *   class      what a user must be allowed: CONNECTION needs nothing
 */
#ifndef SERVE_COMMAND_H
#define SERVE_COMMAND_H

#include "request.h"

enum command_class {
    CLASS_READ = 1u << 0,
    CLASS_WRITE = 1u << 1,
    CLASS_ADMIN = 1u << 2,
    CLASS_CONNECTION = 1u << 3,
};

enum command_flag {
    COMMAND_IS_ORDER = 1u << 0,     /* becomes an engine operation of a batch, and counts for throttle and sequence */
    COMMAND_BEFORE_LOGIN = 1u << 1, /* allowed before a login */
    COMMAND_MOVABLE_KEYS = 1u << 2, /* an option may shift the SKUs */
    COMMAND_BLOCKING = 1u << 3,     /* may keep its connection waiting */
    COMMAND_STARTS_JOB = 1u << 4,   /* goes to another thread: one such at a time for a connection */
};

#define COMMAND_MAP(X)                                                                                                 \
    X("hf.receive", order_receive, -4, COMMAND_IS_ORDER, 2, 2, 1, CLASS_WRITE, "holdfast",                             \
      "id sku quantity [IFVERSION version]", "Adds units to a SKU, which is made if it is new.")                       \
    X("hf.adjust", order_adjust, -4, COMMAND_IS_ORDER, 2, 2, 1, CLASS_WRITE, "holdfast",                               \
      "id sku quantity [IFVERSION version]",                                                                           \
      "Corrects a SKU's units on hand, up or down; down only what is available.")                                      \
    X("hf.count", order_count, -4, COMMAND_IS_ORDER, 2, 2, 1, CLASS_WRITE, "holdfast",                                 \
      "id sku quantity [IFVERSION version]", "Sets a SKU's units on hand to what was counted.")                        \
    X("hf.purchase", order_purchase, -4, COMMAND_IS_ORDER, 2, -2, 2, CLASS_WRITE, "holdfast",                          \
      "id sku quantity [sku quantity ...]", "Takes units of one or more SKUs, all or nothing.")                        \
    X("hf.reserve", order_reserve, -5, COMMAND_IS_ORDER | COMMAND_MOVABLE_KEYS, 3, -2, 2, CLASS_WRITE, "holdfast",     \
      "id ttl_ms [USER user] sku quantity [sku quantity ...]",                                                         \
      "Reserves units of one or more SKUs for a time, all or nothing.")                                                \
    X("hf.confirm", order_confirm, 2, COMMAND_IS_ORDER, 0, 0, 0, CLASS_WRITE, "holdfast", "id",                        \
      "Confirms a reservation: its units leave.")                                                                      \
    X("hf.cancel", order_cancel, 2, COMMAND_IS_ORDER, 0, 0, 0, CLASS_WRITE, "holdfast", "id",                          \
      "Cancels a reservation: its units return.")                                                                      \
    X("hf.extend", order_extend, 3, COMMAND_IS_ORDER, 0, 0, 0, CLASS_WRITE, "holdfast", "id ttl_ms",                   \
      "Sets a live reservation's deadline to now + ttl_ms.")                                                           \
    X("hf.stock", read_stock, -2, 0, 1, -1, 1, CLASS_READ, "holdfast", "sku [sku ...]",                                \
      "Gives the counters of each SKU named.")                                                                         \
    X("hf.reservation", read_reservation, 2, 0, 0, 0, 0, CLASS_READ, "holdfast", "id",                                 \
      "Gives state, deadline, user and lines of an id.")                                                               \
    X("hf.events", events_command, -2, COMMAND_BLOCKING, 0, 0, 0, CLASS_READ, "holdfast",                              \
      "FROM epoch [COUNT n] [BLOCK ms] [SKU prefix] [PUSH] | STOP",                                                    \
      "Gives what happened from an epoch on, durable facts only, as a reply or as pushes.")                            \
    X("hf.session", session_command, -1, 0, 0, 0, 0, CLASS_WRITE, "holdfast", "[name [TAKEOVER]]",                     \
      "Opens a named session for this connection and tells the last sequence number applied.")                         \
    X("hf.seq", sequence_command, 2, 0, 0, 0, 0, CLASS_WRITE, "holdfast", "number",                                    \
      "Gives the next order this sequence number.")                                                                    \
    X("hf.ack", ack_command, 2, 0, 0, 0, 0, CLASS_CONNECTION, "holdfast", "DURABLE | NOW",                             \
      "Says whether this connection's replies wait until they are durable.")                                           \
    X("hf.kill", kill_command, -1, COMMAND_STARTS_JOB, 0, 0, 0, CLASS_ADMIN, "holdfast", "[ON | OFF]",                 \
      "The kill switch: no new reserve or purchase while it is on.")                                                   \
    X("hf.canceluser", cancel_user_command, 2, COMMAND_BLOCKING | COMMAND_STARTS_JOB, 0, 0, 0, CLASS_WRITE,            \
      "holdfast", "user", "Cancels every live reservation of a user.")                                                 \
    X("hf.cancelondisconnect", cancel_on_disconnect_command, -1, 0, 0, 0, 0, CLASS_WRITE, "holdfast", "[ON | OFF]",    \
      "Says whether this connection's live reservations are cancelled when it ends.")                                  \
    X("hf.throttle", throttle_command, -1, 0, 0, 0, 0, CLASS_CONNECTION, "holdfast",                                   \
      "[orders_per_second [BURST n] [REFUSE | QUEUE]]", "Tells or tightens this connection's throttle.")               \
    X("hf.heartbeat", heartbeat_command, -1, 0, 0, 0, 0, CLASS_CONNECTION, "holdfast", "[ms]",                         \
      "Ends this connection when nothing comes from it for twice as long; pushes heartbeats with RESP3.")              \
    X("hello", hello_command, -1, COMMAND_BEFORE_LOGIN, 0, 0, 0, CLASS_CONNECTION, "connection",                       \
      "[2 | 3 [AUTH user password] [SETNAME name]]", "Chooses the protocol, and logs in.")                             \
    X("auth", auth_command, -2, COMMAND_BEFORE_LOGIN, 0, 0, 0, CLASS_CONNECTION, "connection", "[user] password",      \
      "Logs in.")                                                                                                      \
    X("ping", ping_command, -1, 0, 0, 0, 0, CLASS_CONNECTION, "connection", "[message]", "Answers.")                   \
    X("echo", echo_command, 2, 0, 0, 0, 0, CLASS_CONNECTION, "connection", "message", "Answers with the message.")     \
    X("quit", quit_command, -1, COMMAND_BEFORE_LOGIN, 0, 0, 0, CLASS_CONNECTION, "connection", "",                     \
      "Ends the connection once everything is answered.")                                                              \
    X("reset", reset_command, 1, COMMAND_BEFORE_LOGIN, 0, 0, 0, CLASS_CONNECTION, "connection", "",                    \
      "Makes the connection as if it were new.")                                                                       \
    X("select", select_command, 2, 0, 0, 0, 0, CLASS_CONNECTION, "connection", "0", "There is one database, 0.")       \
    X("client", client_command, -2, 0, 0, 0, 0, CLASS_CONNECTION, "connection",                                        \
      "ID | GETNAME | SETNAME name | SETINFO attribute value | INFO | LIST | KILL ID id | NO-EVICT on | NO-TOUCH on "  \
      "| "                                                                                                             \
      "REPLY mode | HELP",                                                                                             \
      "Tells and sets what concerns connections.")                                                                     \
    X("info", info_command, -1, 0, 0, 0, 0, CLASS_READ, "server", "[section ...]", "Tells how the server is.")         \
    X("command", command_command, -1, 0, 0, 0, 0, CLASS_CONNECTION, "server",                                          \
      "[COUNT | DOCS [name ...] | INFO [name ...] | LIST | GETKEYS command ...]", "Tells about commands.")             \
    X("config", config_command, -2, 0, 0, 0, 0, CLASS_ADMIN, "server", "GET pattern [pattern ...]",                    \
      "Tells the settings.")                                                                                           \
    X("dbsize", dbsize_command, 1, 0, 0, 0, 0, CLASS_READ, "server", "", "The number of SKUs.")                        \
    X("role", role_command, 1, 0, 0, 0, 0, CLASS_READ, "server", "", "A master without replicas.")

#define X(name, handler, ...) COMMAND_##handler,
typedef enum command_number { COMMAND_MAP(X) COMMANDS } command_number;
#undef X

struct hf_connection;

/* What a handler is given: one request, whose bytes live until the batch it is in was submitted. */
typedef struct command_request {
    uint8_t *bytes;
    const request_argument *arguments;
    uint32_t count;
} command_request;

typedef struct hf_text {
    const uint8_t *bytes;
    uint32_t length;
} hf_text;

static inline hf_text argument_of(const command_request *request, uint32_t index) {
    const request_argument *argument = &request->arguments[index];
    return (hf_text){request->bytes + argument->offset, argument->length};
}
/* The same, letters of either case. `word` is in upper case. */
bool text_is(hf_text argument, const char *word);

/* What became of a request. */
typedef enum command_result {
    COMMAND_DONE,  /* answered, or part of the batch */
    COMMAND_LATER, /* not carried out: the connection is paused, and the request is to be given again */
} command_result;

typedef struct hf_command {
    const char *name;
    command_result (*handler)(struct hf_connection *connection, const command_request *request);
    int arity;
    unsigned flags;
    int first, last, step;
    unsigned class;
    const char *group, *syntax, *summary;
    command_number number;
} hf_command;

extern const hf_command command_table[COMMANDS];

void command_table_init(void);
/* NULL: there is no such command. */
const hf_command *command_find(hf_text name);
bool command_arity_fits(const hf_command *command, uint32_t count);
/* The SKUs of a request to `command`: calls `visit` with the index of each argument that is one. False: the request is
 * not well formed. */
bool command_each_key(const hf_command *command, const command_request *request,
                      void (*visit)(void *context, uint32_t index), void *context);

#define X(name, handler, ...) command_result handler(struct hf_connection *connection, const command_request *request);
COMMAND_MAP(X)
#undef X

#endif
