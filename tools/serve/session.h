/* Named sessions: a client's sequence numbers, kept by the engine with the orders they belong to.
 *
 * Guarantees
 *   A  What HF.SESSION tells as `last` is durable: after any crash it is told that number or a higher one.
 *   B  A name is open on one connection at a time. Names of different users are different names.
 *   C  Each order of a connection with a named session takes the next number, or the one that HF.SEQ gave, which is
 *      above the last one.
 */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

#include "connection.h"

typedef struct named_session {
    struct named_session *next;
    char name[HF_MAX_SESSION_NAME + 1]; /* as the engine knows it: USER:NAME */
    uint64_t connection;                /* its id */
    hf_session *session;
} named_session;

/* Closes the connection's named session, if it has one. */
void session_leave(hf_connection *connection);

#endif
