/* /metrics and /health over HTTP/1.1, on an address of their own, by the main thread.
 *
 * Bounded: HTTP_CONNECTIONS at once, HTTP_REQUEST bytes of a request, HTTP_SECONDS for all of it; one request each. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "server.h"

#include <uv.h>

enum { HTTP_CONNECTIONS = 16, HTTP_REQUEST = 4096, HTTP_SECONDS = 5 };

/* Begins to listen at a bound socket. 0, or libuv's error. */
int http_start(uv_loop_t *loop, const hf_server *server, int fd);
void http_stop(void);

#endif
