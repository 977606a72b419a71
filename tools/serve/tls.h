/* TLS: the server's certificate, and clients' by choice. OpenSSL works on the connection's socket itself. */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include "connection.h"
#include "settings.h"

/* NULL: `why` says what is wrong with the files. */
SSL_CTX *tls_open(const hf_settings *settings, char *why, size_t room);
bool tls_begin(hf_connection *connection);
typedef enum tls_step { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED } tls_step;
tls_step tls_shake(hf_connection *connection);
/* Like recv and send: bytes; 0 for the end; -1 with errno, EAGAIN where it would block. */
ssize_t tls_read(hf_connection *connection, void *bytes, size_t room);
ssize_t tls_write(hf_connection *connection, const void *bytes, size_t length);
bool tls_has_bytes(const hf_connection *connection);
void tls_end(hf_connection *connection);
/* The common name of the client's certificate, which was verified. False: there is none, or it is no user's name. */
bool tls_client_name(const hf_connection *connection, char name[ACCESS_NAME + 1]);

#endif
