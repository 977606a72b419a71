/* An I/O thread. The contract is in worker.h. */
#include "worker.h"

#include "cancel.h"
#include "events.h"
#include "journal.h"
#include "shared.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SWEEP_MS = 100 };

/* ---- messages from other threads --------------------------------------------------------------------------------- */

bool worker_post(hf_worker *worker, worker_message message) {
    pthread_mutex_lock(&worker->inbox_mutex);
    if (worker->has_ended) {
        pthread_mutex_unlock(&worker->inbox_mutex);
        return false;
    }
    if (worker->inbox_count == worker->inbox_capacity) {
        size_t capacity = worker->inbox_capacity ? worker->inbox_capacity * 2 : 64;
        worker_message *larger = realloc(worker->inbox, capacity * sizeof *larger);
        if (!larger) {
            pthread_mutex_unlock(&worker->inbox_mutex);
            return false;
        }
        worker->inbox = larger;
        worker->inbox_capacity = capacity;
    }
    worker->inbox[worker->inbox_count++] = message;
    uv_async_send(&worker->wake);
    pthread_mutex_unlock(&worker->inbox_mutex);
    return true;
}

static void kill_connection(hf_worker *worker, uint64_t id) {
    hf_connection *connection = worker->connections;
    while (connection && connection->card.id != id)
        connection = connection->next;
    if (connection)
        connection_close(connection, END_KILLED);
}

static void begin_drain(hf_worker *worker, uint64_t ms) {
    worker->draining = true;
    worker->drain_until_ns = uv_hrtime() + ms * 1000000;
    for (hf_connection *connection = worker->connections; connection; connection = connection->next)
        connection_drain(connection);
}

static void take_message(hf_worker *worker, const worker_message *message) {
    bool tls = message->type == MESSAGE_TLS_SOCKET;
    switch (message->type) {
    case MESSAGE_SOCKET:
    case MESSAGE_TLS_SOCKET:
        if (connection_open(worker, message->fd, message->id, tls) && worker->draining)
            connection_drain(worker->connections);
        break;
    case MESSAGE_KILL:
        kill_connection(worker, message->id);
        break;
    case MESSAGE_DRAIN:
        begin_drain(worker, message->id);
        break;
    }
}

static void on_wake(uv_async_t *wake) {
    hf_worker *worker = wake->data;
    pthread_mutex_lock(&worker->inbox_mutex);
    worker_message *messages = worker->inbox;
    size_t count = worker->inbox_count;
    worker->inbox = NULL;
    worker->inbox_count = worker->inbox_capacity = 0;
    pthread_mutex_unlock(&worker->inbox_mutex);
    for (size_t i = 0; i < count; i++)
        take_message(worker, &messages[i]);
    free(messages);
}

/* ---- the end of a turn ------------------------------------------------------------------------------------------- */

/* Goes through those that want to know that the durable epoch moved, and keeps those that still do. */
static void tell_waiting(hf_worker *worker, bool moved) {
    hf_connection *list = worker->waiting;
    worker->waiting = NULL;
    while (list) {
        hf_connection *connection = list;
        list = connection->next_waiting;
        if (moved && !connection->closed) {
            connection_release(connection, worker->durable);
            connection_resume(connection, PAUSE_RING);
            events_go_on(connection, false);
        }
        connection->is_waiting = connection_wants_durable(connection);
        if (connection->is_waiting) {
            connection->next_waiting = worker->waiting;
            worker->waiting = connection;
        }
    }
}

/* Whether the durable epoch moved: then what waited for it goes on. */
static bool look_at_durable(hf_worker *worker) {
    uint64_t durable = hf_durable(worker->server->engine);
    if (durable == worker->durable)
        return false;
    worker->durable = durable;
    worker->turn_ns = uv_hrtime();
    tell_waiting(worker, true);
    return true;
}

static void send_dirty(hf_worker *worker) {
    while (worker->dirty) {
        hf_connection *connection = worker->dirty;
        worker->dirty = connection->next_dirty;
        connection->is_dirty = false;
        connection_end_turn(connection);
        if (!connection->is_waiting && connection_wants_durable(connection)) {
            connection->is_waiting = true;
            connection->next_waiting = worker->waiting;
            worker->waiting = connection;
        }
    }
}

void worker_release(hf_worker *worker) {
    if (look_at_durable(worker))
        send_dirty(worker);
}

static bool is_done(const hf_worker *worker) {
    return worker->draining && !worker->connections && !worker->jobs && !worker->cancel_work;
}

static void finish_turn(hf_worker *worker) {
    worker->turn_ns = uv_hrtime();
    (void)look_at_durable(worker);
    send_dirty(worker);
    if (worker->closed_some) { /* before libuv lets go of them */
        worker->closed_some = false;
        tell_waiting(worker, false);
    }
    if (is_done(worker))
        uv_stop(&worker->loop);
}

static void on_prepare(uv_prepare_t *prepare) { finish_turn(prepare->data); }
static void on_check(uv_check_t *check) { finish_turn(check->data); }

static void on_busy(uv_idle_t *busy) {
    hf_worker *worker = busy->data;
    if (!cancel_work_go_on(worker))
        uv_idle_stop(busy); /* the sweep goes on with what is left */
}

void worker_keep_busy(hf_worker *worker) { uv_idle_start(&worker->busy, on_busy); }

/* ---- the durable epoch ------------------------------------------------------------------------------------------- */

static void look_at_health(hf_worker *worker) {
    if (worker->poisoned || hf_health(worker->server->engine) == HF_SUCCESS)
        return;
    worker->poisoned = true;
    for (hf_connection *connection = worker->connections; connection; connection = connection->next)
        if (!connection->closed)
            connection_refuse_held(connection);
}

/* The engine's eventfd is never read: each write to it is an edge for the set of every worker. The end of the turn
 * looks at the epoch itself. */
static void on_durable(uv_poll_t *poll, int status, int events) {
    hf_worker *worker = poll->data;
    struct epoll_event edge;
    (void)status;
    (void)events;
    (void)!epoll_wait(worker->durable_set, &edge, 1, 0);
    look_at_health(worker);
}

static void on_sweep(uv_timer_t *sweep) {
    hf_worker *worker = sweep->data;
    uint64_t now_ns = worker->turn_ns = uv_hrtime();
    bool late = worker->draining && now_ns > worker->drain_until_ns;
    look_at_health(worker);
    for (hf_connection *connection = worker->connections, *next; connection; connection = next) {
        next = connection->next;
        if (late)
            connection_close(connection, END_STOP);
        else
            connection_sweep(connection, now_ns);
    }
    if (late && !worker->connections) {
        while (cancel_work_go_on(worker)) { /* as far as there is room: no turn comes after this */
        }
        cancel_work_free(worker);
    }
    if (worker->cancel_work)
        worker_keep_busy(worker);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool watch_durable(hf_worker *worker) {
    worker->durable_set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event edge = {.events = EPOLLIN | EPOLLET};
    if (worker->durable_set < 0 ||
        epoll_ctl(worker->durable_set, EPOLL_CTL_ADD, hf_event_fd(worker->server->engine), &edge) != 0)
        return false;
    uv_poll_init(&worker->loop, &worker->durable_poll, worker->durable_set);
    worker->durable_poll.data = worker;
    uv_poll_start(&worker->durable_poll, UV_READABLE, on_durable);
    return true;
}

static void start_handles(hf_worker *worker) {
    uv_prepare_init(&worker->loop, &worker->prepare);
    uv_check_init(&worker->loop, &worker->check);
    uv_timer_init(&worker->loop, &worker->sweep);
    uv_idle_init(&worker->loop, &worker->busy);
    worker->prepare.data = worker->check.data = worker->sweep.data = worker->busy.data = worker;
    uv_prepare_start(&worker->prepare, on_prepare);
    uv_check_start(&worker->check, on_check);
    uv_timer_start(&worker->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void *run(void *context) {
    hf_worker *worker = context;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the main thread's */
    worker->error = hf_session_open(worker->server->engine, NULL, &worker->session);
    if (worker->error == HF_SUCCESS) {
        start_handles(worker);
        if (!watch_durable(worker))
            worker->error = HF_EIO;
        worker->durable = hf_durable(worker->server->engine);
    }
    sem_post(&worker->ready);
    if (worker->error == HF_SUCCESS)
        uv_run(&worker->loop, UV_RUN_DEFAULT);
    pthread_mutex_lock(&worker->inbox_mutex);
    worker->has_ended = true; /* nobody wakes it from here on */
    pthread_mutex_unlock(&worker->inbox_mutex);
    uv_walk(&worker->loop, close_handle, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    hf_session_close(worker->session);
    server_worker_ended(worker->server);
    return NULL;
}

static void set_limits(hf_worker *worker) {
    const hf_settings *settings = worker->server->settings;
    worker->limits = (request_limits){.arguments = (uint32_t)settings->max_arguments,
                                      .argument_bytes = (uint32_t)settings->max_argument_bytes,
                                      .inline_bytes = (uint32_t)settings->max_inline_bytes,
                                      .request_bytes = (uint32_t)settings->max_request_bytes};
}

bool worker_start(hf_worker *worker, hf_server *server, uint32_t number) {
    worker->server = server;
    worker->number = number;
    worker->durable_set = -1;
    set_limits(worker);
    pthread_mutex_init(&worker->inbox_mutex, NULL);
    sem_init(&worker->ready, 0, 0);
    worker->buffer = malloc(WORKER_BUFFER);
    if (!worker->buffer || uv_loop_init(&worker->loop) != 0) {
        worker->error = HF_ENOMEM;
        return false;
    }
    uv_async_init(&worker->loop, &worker->wake, on_wake);
    worker->wake.data = worker;
    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        worker->error = HF_ENOMEM;
        return false;
    }
    worker->started = true;
    while (sem_wait(&worker->ready) != 0) {
    }
    return worker->error == HF_SUCCESS;
}

void worker_join(hf_worker *worker) {
    if (worker->started)
        pthread_join(worker->thread, NULL);
    if (worker->durable_set >= 0)
        close(worker->durable_set);
    for (size_t i = 0; i < worker->inbox_count; i++)
        if (worker->inbox[i].type == MESSAGE_SOCKET || worker->inbox[i].type == MESSAGE_TLS_SOCKET)
            close(worker->inbox[i].fd);
    free(worker->inbox);
    free(worker->buffer);
    uv_loop_close(&worker->loop);
    pthread_mutex_destroy(&worker->inbox_mutex);
    sem_destroy(&worker->ready);
}
