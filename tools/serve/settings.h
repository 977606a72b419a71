/* The settings of `holdfast serve`: one table gives flags, lines of the config file, --help and CONFIG GET.
 *
 * Guarantees
 *   A  A value is checked where it is read, and refused with where it stands (file and line, or flag), what was found
 *      and what was expected.
 *   B  Flags go before the file, whatever their order. A list (listen) given by flags replaces the file's.
 *   C  A password never stands in a flag, in CONFIG GET or in the log: only in a file of its own, or as a salted
 *      hash.
 */
#ifndef SERVE_SETTINGS_H
#define SERVE_SETTINGS_H

#include "access.h"

#include <holdfast/holdfast.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#undef unix /* gcc's old name for the system is a setting's here */

enum { SETTINGS_LIST = 8 };

typedef struct settings_list {
    char *items[SETTINGS_LIST];
    uint32_t count;
} settings_list;

#define SETTINGS_GIB (UINT64_C(1) << 30)

/* TEXT(field, value, help)   SWITCH(field, otherwise, help)   LIST(field, value, help)   CHOICE(field, words, help):
 * the first word is the default   NUMBER(field, otherwise, least, most, help)   HEADING(text): of --help A field's name
 * with '-' for '_' is its name for people. */
#define SETTINGS_MAP(HEADING, TEXT, LIST, NUMBER, SWITCH, CHOICE)                                                      \
    HEADING("where")                                                                                                   \
    TEXT(dir, "D", "the engine's directory, made if it is missing; must be given")                                     \
    LIST(listen, "HOST:PORT", "where to accept connections; may be repeated; 127.0.0.1:7400 if nothing is said")       \
    TEXT(unix, "PATH", "accept connections at this Unix socket too")                                                   \
    LIST(tls_listen, "HOST:PORT", "where to accept TLS connections; may be repeated")                                  \
    TEXT(metrics_listen, "HOST:PORT", "serve Prometheus metrics at /metrics, and /health, over HTTP")                  \
    SWITCH(metrics_anywhere, false, "metrics-listen may be an address that others reach; they need no password")       \
    NUMBER(threads, 0, 0, 64, "I/O threads, each with an engine session; 0: half the processors")                      \
    HEADING("who")                                                                                                     \
    TEXT(password_file, "FILE", "its first line is the password of the user \"default\", who may do everything")       \
    TEXT(tls_certificate, "FILE", "the server's certificate and those that vouch for it, PEM")                         \
    TEXT(tls_key, "FILE", "its private key, PEM")                                                                      \
    TEXT(tls_client_ca, "FILE", "certificates that vouch for clients, PEM")                                            \
    CHOICE(tls_clients, "none|optional|required", "client certificates")                                               \
    SWITCH(tls_name_is_user, false, "a client certificate's common name logs in as the user of that name")             \
    NUMBER(login_timeout_ms, 10000, 100, 3600000, "a connection has to have logged in, or finished its TLS handshake") \
    NUMBER(max_login_failures, 5, 1, 1000, "a connection is closed after so many")                                     \
    HEADING("limits")                                                                                                  \
    NUMBER(max_connections, 10000, 1, 1000000, "connections at once; more are told so and closed")                     \
    NUMBER(max_before_login, 1000, 1, 1000000, "of those, connections that have not logged in")                        \
    NUMBER(max_request_bytes, 2097152, 16384, 67108864, "a request with everything around it")                         \
    NUMBER(max_arguments, 8300, 16, 1000000, "arguments of a request; an order with 4096 lines has 8197")              \
    NUMBER(max_argument_bytes, 65536, 512, 1048576, "one argument")                                                    \
    NUMBER(max_inline_bytes, 65536, 512, 1048576, "an inline command")                                                 \
    NUMBER(output_pause_bytes, 1048576, 16384, SETTINGS_GIB,                                                           \
           "replies not yet sent of one connection, beyond which it is no longer read")                                \
    NUMBER(output_limit_bytes, 16777216, 65536, 4 * SETTINGS_GIB, "the same, beyond which it is closed")               \
    NUMBER(slow_reader_ms, 10000, 100, 3600000, "a connection is closed that takes nothing for so long")               \
    NUMBER(idle_timeout_ms, 0, 0, 604800000, "a connection is closed that sends nothing for so long; 0: never")        \
    NUMBER(throttle_per_second, 0, 0, 1000000000, "orders of one connection; 0: any number")                           \
    NUMBER(throttle_burst, 0, 0, 1000000000, "orders it may send at once; 0: as many as in a tenth of a second")       \
    CHOICE(throttle_mode, "queue|refuse", "what happens to orders beyond it")                                          \
    NUMBER(max_named_sessions, 256, 1, 960, "HF.SESSION: open at once; each has a log ring of ring-bytes")             \
    NUMBER(max_feeds, 64, 1, 10000, "connections with an open HF.EVENTS feed, each with a reader of the log")          \
    NUMBER(max_cancel_ids, 65536, 1, 16777216, "reservations of a connection with HF.CANCELONDISCONNECT")              \
    NUMBER(drain_ms, 10000, 0, 600000, "how long a stop waits for replies to become durable and be taken")             \
    HEADING("log lines")                                                                                               \
    CHOICE(log_level, "info|debug|warning|error", "the least that is written")                                         \
    CHOICE(log_format, "logfmt|json", "one line each")                                                                 \
    TEXT(log_file, "FILE", "append to this file instead of standard error")                                            \
    HEADING("the engine (include/holdfast/holdfast.h, hf_options); 0: its default")                                    \
    NUMBER(shards, 0, 0, HF_MAX_SHARDS, "SKU table parts and timing wheels, a power of two")                           \
    NUMBER(expected_skus, 0, 0, UINT64_C(1) << 32, "sizes the SKU table")                                              \
    NUMBER(expected_reservations, 0, 0, UINT64_C(1) << 32, "sizes the id index")                                       \
    NUMBER(max_reservations, 0, 0, UINT64_C(1) << 32, "ids held at once, live and remembered")                         \
    NUMBER(retention_ms, 0, 0, HF_MAX_TIME_MS, "how long an id is remembered after its end")                           \
    NUMBER(segment_bytes, 0, 0, SETTINGS_GIB, "one log file")                                                          \
    NUMBER(ring_bytes, 0, 0, 268435456, "a session's log ring, a power of two")                                        \
    NUMBER(batch_delay_us, 100, 0, 1000000, "how long the log writer waits for company")                               \
    NUMBER(checkpoint_bytes, 0, 0, UINT64_MAX, "a checkpoint after so many bytes of log")

#define SETTINGS_NOTHING(...)
#define SETTINGS_TEXT_FIELD(field, ...) char *field;
#define SETTINGS_LIST_FIELD(field, ...) settings_list field;
#define SETTINGS_NUMBER_FIELD(field, ...) uint64_t field;
#define SETTINGS_SWITCH_FIELD(field, ...) bool field;
#define SETTINGS_CHOICE_FIELD(field, ...) unsigned field;

typedef struct hf_settings {
    SETTINGS_MAP(SETTINGS_NOTHING, SETTINGS_TEXT_FIELD, SETTINGS_LIST_FIELD, SETTINGS_NUMBER_FIELD,
                 SETTINGS_SWITCH_FIELD, SETTINGS_CHOICE_FIELD)
    access_users users; /* `user` lines of the config file */
    char *config;       /* the file they came from */
} hf_settings;

enum { TLS_CLIENTS_NONE, TLS_CLIENTS_OPTIONAL, TLS_CLIENTS_REQUIRED };
enum { THROTTLE_QUEUES, THROTTLE_REFUSES };
enum { LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum { LOG_LOGFMT, LOG_JSON };

typedef struct settings_problem {
    char text[512];
} settings_problem;

void settings_init(hf_settings *settings);
void settings_free(hf_settings *settings);
/* Reads flags and the file they name. 0: fine; 1: help was asked for; 2: problem->text says what is wrong with the
 * flags or the file. */
int settings_read(hf_settings *settings, int argc, char **argv, settings_problem *problem);
void settings_print_help(FILE *out);

/* For CONFIG GET: the i-th setting, from 0. False: there are no more. */
bool settings_show(const hf_settings *settings, unsigned index, const char **name, char *value, size_t room);

#endif
