/* An I/O thread: a loop, an engine session, and the connections that were handed to it.
 *
 * Guarantees
 *   A  It never waits but for events: not for a disk, not for another thread's progress. (A full log ring is an
 *      answer: the engine is opened with HF_NONBLOCKING.)
 *   B  A turn of the loop sends for a connection once, and once more for each epoch that becomes durable meanwhile.
 *   C  It learns that the durable epoch moved from the engine's eventfd, which every worker watches edge-triggered
 *      through an epoll set of its own, so that one event wakes all of them.
 *
 *     one turn:  timers | wait | reads: parse, submit, reply to memory | durable? release | send
 */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include "batch.h"
#include "connection.h"
#include "metrics.h"
#include "server.h"

#include <pthread.h>
#include <semaphore.h>

enum { WORKER_BUFFER = 256 << 10 };

typedef enum worker_message_type {
    MESSAGE_SOCKET,
    MESSAGE_TLS_SOCKET,
    MESSAGE_KILL,
    MESSAGE_DRAIN
} worker_message_type;

typedef struct worker_message {
    worker_message_type type;
    int fd;
    uint64_t id; /* of the connection; MESSAGE_DRAIN: how many milliseconds it may take */
} worker_message;

struct cancel_work;

typedef struct hf_worker {
    hf_server *server;
    uint32_t number;
    pthread_t thread;
    bool started;
    sem_t ready; /* the thread has begun, or failed with `error` */
    int error;

    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t sweep;
    uv_idle_t busy; /* active while there is work left that needs no event */
    uv_poll_t durable_poll;
    int durable_set; /* an epoll set with the engine's eventfd */

    pthread_mutex_t inbox_mutex; /* guards the next four, and waking */
    bool has_ended;
    worker_message *inbox;
    size_t inbox_count, inbox_capacity;

    hf_session *session;
    uint64_t durable; /* as last looked at */
    bool poisoned, draining;
    bool closed_some; /* connections, since lists were last cleaned of them */
    uint64_t drain_until_ns;
    hf_connection *connections, *dirty, *waiting;
    uint32_t jobs; /* under way in other threads */
    struct cancel_work *cancel_work;

    uint8_t *buffer;
    request_limits limits;
    uint64_t read_ns, turn_ns; /* when what is being processed was read; when replies were last released */
    size_t request_at;         /* where the request at hand begins in what is being processed */
    bool loop_is_in_request;   /* requests are being carried out, as against jobs that end */
    hf_batch batch;
    worker_counters counters;
} hf_worker;

/* Starts the thread, which opens its session. False: worker->error says why not. */
bool worker_start(hf_worker *worker, hf_server *server, uint32_t number);
/* From any thread. False: no memory, or it has ended. */
bool worker_post(hf_worker *worker, worker_message message);
/* Between two connections of a turn: what became durable meanwhile is released and sent, so that its clients work while
 * the others are read. */
void worker_release(hf_worker *worker);
/* There is work that needs no event: the loop does not wait until it is done. */
void worker_keep_busy(hf_worker *worker);
/* Waits until it has drained (MESSAGE_DRAIN), and gives everything back. */
void worker_join(hf_worker *worker);

#endif
