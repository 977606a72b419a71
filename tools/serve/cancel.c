/* Cancelling in bulk. The contract is in cancel.h. */
#include "cancel.h"

#include "job.h"
#include "number.h"
#include "shared.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

/* ---- the set of a connection's ids: open addressing, at most half full ------------------------------------------- */

struct cancel_set {
    hf_id *ids; /* all zero: free */
    uint32_t count, slots;
    bool lost; /* an id could not be kept for want of memory: told by refusing the next reserve */
};

static const hf_id no_id;

static bool is_free(const hf_id *id) { return memcmp(id, &no_id, sizeof no_id) == 0; }

static uint32_t home_of(const cancel_set *set, const hf_id *id) {
    uint64_t parts[2];
    memcpy(parts, id, sizeof parts);
    uint64_t hash = (parts[0] ^ parts[1] * UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(hash >> 32) & (set->slots - 1);
}

cancel_set *cancel_set_new(void) { return calloc(1, sizeof(cancel_set)); }

void cancel_set_free(cancel_set *set) {
    if (set)
        free(set->ids);
    free(set);
}

static hf_id *place_of(const cancel_set *set, const hf_id *id) {
    uint32_t at = home_of(set, id);
    while (!is_free(&set->ids[at]) && memcmp(&set->ids[at], id, sizeof *id) != 0)
        at = (at + 1) & (set->slots - 1);
    return &set->ids[at];
}

static bool grow(cancel_set *set) {
    cancel_set larger = {.slots = set->slots ? set->slots * 2 : 64};
    larger.ids = calloc(larger.slots, sizeof *larger.ids);
    if (!larger.ids)
        return false;
    for (uint32_t i = 0; i < set->slots; i++)
        if (!is_free(&set->ids[i]))
            *place_of(&larger, &set->ids[i]) = set->ids[i];
    larger.count = set->count;
    free(set->ids);
    *set = larger;
    return true;
}

static void add(cancel_set *set, const hf_id *id) {
    if (set->count * 2 >= set->slots && !grow(set)) {
        set->lost = true;
        return;
    }
    hf_id *place = place_of(set, id);
    if (is_free(place)) {
        *place = *id;
        set->count++;
    }
}

/* Takes an id out and moves those behind it up, so that no look-up meets a gap before what it looks for. */
static void drop(cancel_set *set, const hf_id *id) {
    if (set->slots == 0)
        return;
    hf_id *place = place_of(set, id);
    if (is_free(place))
        return;
    set->count--;
    uint32_t gap = (uint32_t)(place - set->ids), mask = set->slots - 1;
    for (uint32_t at = (gap + 1) & mask; !is_free(&set->ids[at]); at = (at + 1) & mask) {
        if (((at - home_of(set, &set->ids[at])) & mask) >= ((at - gap) & mask)) {
            set->ids[gap] = set->ids[at];
            gap = at;
        }
    }
    set->ids[gap] = no_id;
}

void cancel_set_note(cancel_set *set, const hf_op *op, const hf_reply *reply) {
    if (op->type == HF_OP_RESERVE && reply->state == HF_STATE_LIVE)
        add(set, &op->id);
    else if ((op->type == HF_OP_CONFIRM || op->type == HF_OP_CANCEL) && reply->state != HF_STATE_LIVE)
        drop(set, &op->id);
}

/* Forgets what has ended. */
static void prune(hf_connection *connection, cancel_set *set) {
    hf_id *kept = malloc(set->count * sizeof *kept + 1);
    uint32_t count = 0;
    if (!kept)
        return;
    for (uint32_t i = 0; i < set->slots; i++) {
        hf_reservation found;
        if (is_free(&set->ids[i]))
            continue;
        int error = hf_reservation_read(connection_session(connection), set->ids[i], &found, NULL, 0);
        if (error == HF_EAGAIN || (error == HF_SUCCESS && found.state == HF_STATE_LIVE))
            kept[count++] = set->ids[i];
    }
    memset(set->ids, 0, set->slots * sizeof *set->ids);
    set->count = 0;
    for (uint32_t i = 0; i < count; i++)
        add(set, &kept[i]);
    free(kept);
}

bool cancel_set_has_room(hf_connection *connection) {
    cancel_set *set = connection->cancels;
    uint64_t most = connection->worker->server->settings->max_cancel_ids;
    if (set->lost)
        return false;
    if (set->count + connection->worker->batch.count >= most)
        prune(connection, set);
    return set->count + connection->worker->batch.count < most;
}

/* ---- when a connection ends -------------------------------------------------------------------------------------- */

typedef struct cancel_work {
    struct cancel_work *next;
    cancel_set *set;
    uint32_t at;
} cancel_work;

void cancel_on_disconnect(hf_connection *connection) {
    cancel_set *set = connection->cancels;
    hf_worker *worker = connection->worker;
    connection->cancels = NULL;
    cancel_work *work = set && set->count ? malloc(sizeof *work) : NULL;
    if (!work) {
        cancel_set_free(set);
        return;
    }
    *work = (cancel_work){.next = worker->cancel_work, .set = set};
    worker->cancel_work = work;
    worker_keep_busy(worker);
}

static void end_work(hf_worker *worker) {
    cancel_work *work = worker->cancel_work;
    worker->cancel_work = work->next;
    cancel_set_free(work->set);
    free(work);
}

bool cancel_work_go_on(hf_worker *worker) {
    cancel_work *work = worker->cancel_work;
    if (!work)
        return false;
    hf_op *ops = worker->batch.ops;
    uint32_t count = 0, from = work->at;
    uint32_t slots_of[BATCH_ORDERS];
    for (; work->at < work->set->slots && count < BATCH_ORDERS; work->at++) {
        if (is_free(&work->set->ids[work->at]))
            continue;
        slots_of[count] = work->at;
        ops[count++] = (hf_op){.type = HF_OP_CANCEL, .id = work->set->ids[work->at]};
    }
    size_t done = 0;
    int error = count ? hf_submit(worker->session, ops, count, worker->batch.replies, &done) : HF_SUCCESS;
    for (size_t i = 0; i < done; i++) {
        const hf_reply *reply = &worker->batch.replies[i];
        if (reply->error == HF_EAGAIN || (reply->error == HF_SUCCESS && reply->outcome == HF_OUTCOME_IN_PROGRESS)) {
            done = i;
            break;
        }
        if (reply->error == HF_SUCCESS && reply->outcome == HF_OUTCOME_OK)
            counter_add_relaxed(&worker->counters.cancelled_on_disconnect, 1); /* relaxed: a figure */
    }
    if (error && error != HF_EAGAIN) { /* poisoned: nothing can be cancelled any more */
        end_work(worker);
    } else if (done < count) {
        work->at = slots_of[done];
        return work->at != from || done > 0;
    } else if (work->at == work->set->slots) {
        end_work(worker);
    }
    return worker->cancel_work != NULL;
}

void cancel_work_free(hf_worker *worker) {
    while (worker->cancel_work)
        end_work(worker);
}

command_result cancel_on_disconnect_command(hf_connection *connection, const command_request *request) {
    if (request->count == 2 && text_is(argument_of(request, 1), "ON")) {
        if (!connection->cancels && !(connection->cancels = cancel_set_new()))
            return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    } else if (request->count == 2 && text_is(argument_of(request, 1), "OFF")) {
        cancel_set_free(connection->cancels);
        connection->cancels = NULL;
    } else if (request->count != 1) {
        return connection_refuse(connection, GATEWAY_ARGUMENT, "HF.CANCELONDISCONNECT: expected ON or OFF");
    }
    reply_writer *writer = &connection->writer;
    reply_map(writer, 2);
    reply_text(writer, "cancel_on_disconnect");
    reply_text(writer, connection->cancels ? "on" : "off");
    reply_text(writer, "reservations");
    reply_integer(writer, connection->cancels ? connection->cancels->count : 0);
    return COMMAND_DONE;
}

/* ---- HF.CANCELUSER ----------------------------------------------------------------------------------------------- */

typedef struct cancel_user_job {
    hf_job job;
    hf_engine *engine;
    const access_user *asker; /* may cancel only what he may see */
    uint64_t user;
    hf_id *ids;
    size_t count, room;
    int error;
    uint64_t cancelled, ticket;
} cancel_user_job;

static bool may_cancel(const access_user *asker, const hf_reservation *reservation, const hf_reservation_line *lines) {
    for (uint32_t i = 0; asker->prefix_count && i < reservation->line_count; i++) {
        size_t length;
        const void *name = hf_sku_name(lines[i].sku, &length);
        if (!access_may_see(asker, name, length))
            return false;
    }
    return true;
}

static bool collect(void *context, const hf_reservation *reservation, const hf_reservation_line *lines) {
    cancel_user_job *work = context;
    if (reservation->user != work->user || !may_cancel(work->asker, reservation, lines))
        return true;
    if (work->count == work->room) {
        work->room = work->room ? work->room * 2 : 256;
        hf_id *larger = realloc(work->ids, work->room * sizeof *larger);
        if (!larger) {
            work->error = HF_ENOMEM;
            return false;
        }
        work->ids = larger;
    }
    work->ids[work->count++] = reservation->id;
    return true;
}

enum { SLICE = 256, TRIES = 1000 };

/* Cancels ids[from...) and returns how many were tried. */
static size_t cancel_slice(cancel_user_job *work, hf_session *session, size_t from) {
    hf_op ops[SLICE];
    hf_reply replies[SLICE];
    size_t count = work->count - from < SLICE ? work->count - from : SLICE, done = 0;
    for (size_t i = 0; i < count; i++)
        ops[i] = (hf_op){.type = HF_OP_CANCEL, .id = work->ids[from + i]};
    int error = hf_submit(session, ops, count, replies, &done);
    if (error && error != HF_EAGAIN)
        work->error = error;
    for (size_t i = 0; i < done && !work->error; i++) {
        if (replies[i].error == HF_EAGAIN || (!replies[i].error && replies[i].outcome == HF_OUTCOME_IN_PROGRESS))
            return i;
        work->error = replies[i].error;
        work->cancelled += !replies[i].error && replies[i].outcome == HF_OUTCOME_OK;
        if (!replies[i].error && replies[i].ticket > work->ticket)
            work->ticket = replies[i].ticket;
    }
    return done;
}

static void run_cancel_user(hf_job *job) {
    cancel_user_job *work = (cancel_user_job *)job;
    hf_session *session;
    work->error = hf_session_open(work->engine, NULL, &session);
    if (work->error)
        return;
    int error = hf_reservation_each(session, collect, work);
    work->error = work->error ? work->error : error;
    unsigned tries = 0;
    for (size_t at = 0; !work->error && at < work->count;) {
        size_t done = cancel_slice(work, session, at);
        at += done;
        tries = done ? 0 : tries + 1;
        if (tries > TRIES)
            work->error = HF_EAGAIN;
        if (done == 0 && !work->error) /* another thread is at it, or the ring is full: this thread may wait */
            (void)!hf_wait(work->engine, hf_durable(work->engine) + 1, 1);
    }
    hf_session_close(session);
}

static void end_cancel_user(hf_job *job, hf_connection *connection) {
    cancel_user_job *work = (cancel_user_job *)job;
    if (connection) {
        connection_reply_begin(connection);
        if (work->error) {
            connection_refuse(connection, gateway_error_of(work->error), "%s; cancelled so far: %llu",
                              hf_error_text(work->error), (unsigned long long)work->cancelled);
        } else {
            reply_writer *writer = &connection->writer;
            reply_map(writer, 3);
            reply_text(writer, "found");
            reply_integer(writer, (int64_t)work->count);
            reply_text(writer, "cancelled");
            reply_integer(writer, (int64_t)work->cancelled);
            reply_text(writer, "ticket");
            reply_integer(writer, (int64_t)work->ticket);
            connection->reply_ticket = work->ticket;
        }
        connection_reply_end(connection);
    }
    free(work->ids);
    free(work);
}

command_result cancel_user_command(hf_connection *connection, const command_request *request) {
    hf_text user = argument_of(request, 1);
    if (user.length == 0 || user.length > USER_BYTES)
        return connection_refuse(connection, GATEWAY_ARGUMENT, "user: %u bytes found, expected 1 to %d", user.length,
                                 USER_BYTES);
    cancel_user_job *work = malloc(sizeof *work);
    if (!work)
        return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    *work = (cancel_user_job){
        .engine = connection->worker->server->engine, .asker = connection->user, .user = user_number(user)};
    job_start(connection, &work->job, run_cancel_user, end_cancel_user);
    return COMMAND_DONE;
}
