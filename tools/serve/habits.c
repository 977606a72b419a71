/* Habits of an order gateway that are small: HF.ACK, HF.KILL, HF.HEARTBEAT. */
#include "job.h"
#include "journal.h"
#include "number.h"
#include "shared.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

command_result ack_command(hf_connection *connection, const command_request *request) {
    hf_text when = argument_of(request, 1);
    if (!text_is(when, "DURABLE") && !text_is(when, "NOW"))
        return connection_refuse(connection, GATEWAY_ARGUMENT, "HF.ACK: expected DURABLE or NOW");
    connection->acknowledge_now = text_is(when, "NOW");
    reply_simple(&connection->writer, "OK");
    return COMMAND_DONE;
}

/* ---- the kill switch: set at once, answered when a restart would find it ----------------------------------------- */

typedef struct kill_job {
    hf_job job;
    hf_server *server;
    bool on;
    int error; /* errno */
} kill_job;

/* One after another, so that the file and the flag end up the same. */
static void run_kill(hf_job *job) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    kill_job *work = (kill_job *)job;
    pthread_mutex_lock(&mutex);
    work->error = server_kill_keep(work->server, work->on);
    if (!work->error)
        flag_set_release(&work->server->killed, work->on);
    pthread_mutex_unlock(&mutex);
}

static void tell(hf_connection *connection, bool on) {
    reply_map(&connection->writer, 1);
    reply_text(&connection->writer, "kill");
    reply_text(&connection->writer, on ? "on" : "off");
}

static void end_kill(hf_job *job, hf_connection *connection) {
    kill_job *work = (kill_job *)job;
    hf_server *server = work->server;
    journal(JOURNAL_WARNING, "kill_switch", "state", work->on ? "on" : "off", "user",
            connection ? connection->card.user : "?", "kept", work->error ? strerror(work->error) : "yes", NULL);
    if (connection) {
        connection_reply_begin(connection);
        if (work->error)
            connection_refuse(connection, GATEWAY_ENGINE,
                              "the kill switch is %s, but a restart would not find it so: %s",
                              flag_is_set_acquire(&server->killed) ? "on" : "off", strerror(work->error));
        else
            tell(connection, work->on);
        connection_reply_end(connection);
    }
    free(work);
}

command_result kill_command(hf_connection *connection, const command_request *request) {
    hf_server *server = connection->worker->server;
    bool on = request->count == 2 && text_is(argument_of(request, 1), "ON");
    if (request->count == 1) {
        tell(connection, flag_is_set_acquire(&server->killed));
        return COMMAND_DONE;
    }
    if (request->count > 2 || (!on && !text_is(argument_of(request, 1), "OFF")))
        return connection_refuse(connection, GATEWAY_ARGUMENT, "HF.KILL: expected ON or OFF");
    kill_job *work = malloc(sizeof *work);
    if (!work)
        return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    *work = (kill_job){.server = server, .on = on};
    if (on)
        flag_set_release(&server->killed, true); /* at once, on all threads; off is in force once it is kept */
    job_start(connection, &work->job, run_kill, end_kill);
    return COMMAND_DONE;
}

command_result heartbeat_command(hf_connection *connection, const command_request *request) {
    uint64_t ms = connection->heartbeat_ns / 1000000;
    if (request->count > 2 || (request->count == 2 && !number_read(argument_of(request, 1), 0, 3600000, &ms)) ||
        (request->count == 2 && ms != 0 && ms < 100))
        return connection_refuse(connection, GATEWAY_ARGUMENT,
                                 "HF.HEARTBEAT: expected 0, or milliseconds from 100 to 3600000");
    connection->heartbeat_ns = ms * 1000000;
    connection->pushed_ns = connection->worker->read_ns;
    reply_map(&connection->writer, 1);
    reply_text(&connection->writer, "heartbeat_ms");
    reply_integer(&connection->writer, (int64_t)ms);
    return COMMAND_DONE;
}
