/* Metrics over HTTP. The contract is in http.h. */
#include "http.h"

#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct hf_exchange {
    struct hf_exchange *previous, *next;
    uv_tcp_t socket;
    uv_timer_t timer;
    uv_write_t write;
    unsigned handles;
    size_t received;
    char request[HTTP_REQUEST];
    char *answer;
} hf_exchange;

static struct {
    uv_tcp_t listener;
    const hf_server *server;
    hf_exchange *first;
    unsigned exchanges;
    bool listens;
} state;

static void on_closed(uv_handle_t *handle) {
    hf_exchange *exchange = handle->data;
    if (--exchange->handles > 0)
        return;
    state.exchanges--;
    *(exchange->previous ? &exchange->previous->next : &state.first) = exchange->next;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    free(exchange->answer);
    free(exchange);
}

static void close_exchange(hf_exchange *exchange) {
    if (uv_is_closing((uv_handle_t *)&exchange->socket))
        return;
    uv_close((uv_handle_t *)&exchange->socket, on_closed);
    uv_close((uv_handle_t *)&exchange->timer, on_closed);
}

static void on_time_out(uv_timer_t *timer) { close_exchange(timer->data); }

static void on_written(uv_write_t *write, int status) {
    (void)status;
    close_exchange(write->data);
}

static void answer(hf_exchange *exchange, const char *status, const char *type, const char *body, size_t length,
                   bool no_body) {
    int size = asprintf(&exchange->answer,
                        "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
                        status, type, length, no_body ? 0 : (int)length, body);
    if (size < 0) {
        exchange->answer = NULL;
        close_exchange(exchange);
        return;
    }
    uv_buf_t buffer = uv_buf_init(exchange->answer, (unsigned)size);
    exchange->write.data = exchange;
    if (uv_write(&exchange->write, (uv_stream_t *)&exchange->socket, &buffer, 1, on_written) != 0)
        close_exchange(exchange);
}

static void answer_metrics(hf_exchange *exchange, bool no_body) {
    char *bytes = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&bytes, &length);
    if (!out) {
        close_exchange(exchange);
        return;
    }
    metrics_write(state.server, out);
    fclose(out);
    answer(exchange, "200 OK", "text/plain; version=0.0.4; charset=utf-8", bytes, length, no_body);
    free(bytes);
}

/* Whether the request line is METHOD and the path, with or without a query. */
static bool asks(const char *request, const char *method, const char *path) {
    size_t length = strlen(method), path_length = strlen(path);
    return strncmp(request, method, length) == 0 && request[length] == ' ' &&
           strncmp(request + length + 1, path, path_length) == 0 && strchr(" ?\r", request[length + 1 + path_length]);
}

static void route(hf_exchange *exchange) {
    bool head = strncmp(exchange->request, "HEAD ", 5) == 0;
    const char *method = head ? "HEAD" : "GET";
    if (asks(exchange->request, method, "/metrics")) {
        answer_metrics(exchange, head);
    } else if (asks(exchange->request, method, "/health")) {
        if (hf_health(state.server->engine) == HF_SUCCESS)
            answer(exchange, "200 OK", "text/plain", "ok\n", 3, head);
        else
            answer(exchange, "503 Service Unavailable", "text/plain", "poisoned\n", 9, head);
    } else {
        answer(exchange, "404 Not Found", "text/plain", "/metrics or /health\n", 20, head);
    }
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer) {
    (void)wanted;
    hf_exchange *exchange = handle->data;
    *buffer = uv_buf_init(exchange->request + exchange->received, (unsigned)(HTTP_REQUEST - 1 - exchange->received));
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer) {
    (void)buffer;
    hf_exchange *exchange = stream->data;
    if (length <= 0) {
        if (length < 0)
            close_exchange(exchange);
        return;
    }
    exchange->received += (size_t)length;
    exchange->request[exchange->received] = 0;
    if (strstr(exchange->request, "\r\n\r\n")) {
        uv_read_stop(stream);
        route(exchange);
    } else if (exchange->received == HTTP_REQUEST - 1) {
        close_exchange(exchange);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    hf_exchange *exchange = status == 0 ? calloc(1, sizeof *exchange) : NULL;
    if (!exchange)
        return;
    uv_tcp_init(listener->loop, &exchange->socket);
    uv_timer_init(listener->loop, &exchange->timer);
    exchange->socket.data = exchange->timer.data = exchange;
    exchange->handles = 2;
    state.exchanges++;
    exchange->next = state.first;
    if (state.first)
        state.first->previous = exchange;
    state.first = exchange;
    if (uv_accept(listener, (uv_stream_t *)&exchange->socket) != 0 || state.exchanges > HTTP_CONNECTIONS) {
        close_exchange(exchange);
        return;
    }
    uv_timer_start(&exchange->timer, on_time_out, HTTP_SECONDS * 1000, 0);
    uv_read_start((uv_stream_t *)&exchange->socket, on_room, on_read);
}

int http_start(uv_loop_t *loop, const hf_server *server, int fd) {
    state.server = server;
    uv_tcp_init(loop, &state.listener);
    state.listens = true;
    int error = uv_tcp_open(&state.listener, fd);
    return error ? error : uv_listen((uv_stream_t *)&state.listener, HTTP_CONNECTIONS, on_connection);
}

void http_stop(void) {
    for (hf_exchange *exchange = state.first; exchange; exchange = exchange->next)
        close_exchange(exchange);
    if (state.listens && !uv_is_closing((uv_handle_t *)&state.listener))
        uv_close((uv_handle_t *)&state.listener, NULL);
}
