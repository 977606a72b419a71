/* Listening sockets: addresses as people write them, and accepting. */
#ifndef SERVE_LISTEN_H
#define SERVE_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { LISTEN_SOCKETS = 8 };

typedef struct listen_address {
    struct sockaddr_storage address;
    socklen_t length;
    bool is_loopback; /* a Unix socket is, too */
} listen_address;

/* "HOST:PORT": an IPv4 address, an IPv6 one in brackets, localhost, or * for every address; port 0: any that is free.
 */
bool listen_parse(listen_address *address, const char *text, char *why, size_t room);
/* Bound, not yet listening. -1: `why`. */
int listen_bind(const listen_address *address, char *why, size_t room);
int listen_bind_unix(const char *path, char *why, size_t room);
/* "127.0.0.1:7400" of a bound socket. */
void listen_describe(int fd, char *text, size_t room);

#endif
