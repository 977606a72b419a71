/* What the gateway answers to a bad request: the first word of each error, in one place. An outcome such as
 * out_of_stock is no error. Each prefix has a counter (metrics: holdfast_gateway_errors_total).
 *
 * X(name, prefix, when)
 */
#ifndef SERVE_ERRORS_H
#define SERVE_ERRORS_H

#define GATEWAY_ERROR_MAP(X)                                                                                           \
    X(GENERAL, "ERR", "unknown command, wrong number of arguments, syntax, protocol error")                            \
    X(NOAUTH, "NOAUTH", "a command before a login, where one is needed")                                               \
    X(WRONGPASS, "WRONGPASS", "no such user, or not that password")                                                    \
    X(NOPERM, "NOPERM", "the user may not use this command, or not this SKU")                                          \
    X(NOPROTO, "NOPROTO", "HELLO with a protocol that is neither 2 nor 3")                                             \
    X(ARGUMENT, "HFARG", "an id, SKU, quantity, time or option is not as it must be")                                  \
    X(LIMIT, "HFLIMIT", "a limit, which the error names, is reached")                                                  \
    X(RANGE, "HFRANGE", "a counter of the SKU would leave its range")                                                  \
    X(KILLED, "HFKILLED", "the kill switch is on: no new reserve or purchase")                                         \
    X(THROTTLED, "HFTHROTTLED", "this connection sends more orders than its throttle lets through")                    \
    X(BUSY, "HFBUSY", "that session name is open on another connection")                                               \
    X(SEQUENCE, "HFSEQ", "the sequence number is not above the last one applied")                                      \
    X(GONE, "HFGONE", "that epoch is no longer kept")                                                                  \
    X(LOG, "HFLOG", "the log cannot be read")                                                                          \
    X(POISONED, "HFPOISONED", "the log could not be written: nothing more is acknowledged, reads are served")          \
    X(STOPPING, "HFSTOPPING", "the server is stopping")                                                                \
    X(ENGINE, "HFENGINE", "the engine refused for another reason, which the error names")

#define X(name, prefix, when) GATEWAY_##name,
typedef enum gateway_error { GATEWAY_ERROR_MAP(X) GATEWAY_ERRORS } gateway_error;
#undef X

const char *gateway_error_prefix(gateway_error error);
/* The gateway's error for an error of the engine. */
gateway_error gateway_error_of(int engine_error);

#endif
