/* Submitting orders and answering them. The contract is in batch.h; docs/GATEWAY.md says what a reply holds. */
#include "batch.h"

#include "cancel.h"
#include "shared.h"
#include "throttle.h"
#include "worker.h"

#include <assert.h>
#include <sched.h>

enum { ASK_AGAIN = 200 }; /* times in_progress is asked again: what it waits for takes microseconds */

/* ---- the reply --------------------------------------------------------------------------------------------------- */

/* RESP3: a map. RESP2: its values, in the same order: what most clients parse is short that way, and an order's reply
 * is what a gateway writes most. `ok` and `confirmed_late` have four fields; what was refused or repeated has two more.
 *
 *     outcome, ticket, version, deadline [, state, line]
 *
 * The head is what is known when the outcome is. */
typedef struct reply_head {
    uint8_t length;
    char bytes[63];
} reply_head;

static bool is_plain(hf_outcome outcome) { return outcome == HF_OUTCOME_OK || outcome == HF_OUTCOME_CONFIRMED_LATE; }

static reply_head make_head(int protocol, hf_outcome outcome) {
    reply_head head;
    unsigned fields = is_plain(outcome) ? 4 : 6;
    int length = snprintf(head.bytes, sizeof head.bytes,
                          protocol < 3 ? "*%u\r\n+%s\r\n" : "%%%u\r\n+outcome\r\n+%s\r\n+ticket\r\n", fields,
                          hf_outcome_text(outcome));
    assert(length > 0 && (size_t)length < sizeof head.bytes);
    head.length = (uint8_t)length;
    return head;
}

static const reply_head *head_of(int protocol, hf_outcome outcome) {
    static _Thread_local reply_head heads[2][HF_OUTCOME_COUNT];
    reply_head *head = &heads[protocol == 3][outcome];
    if (head->length == 0)
        *head = make_head(protocol, outcome);
    return head;
}

/* A number as it was written last: of a ticket or a deadline, which most orders share with the one before. */
typedef struct written_number {
    uint64_t number;
    uint8_t length; /* 0: none yet */
    uint8_t bytes[23];
} written_number;

static uint8_t *put_again(uint8_t *to, written_number *written, uint64_t number) {
    if (written->number != number || !written->length) {
        written->number = number;
        written->length = (uint8_t)(reply_put_integer(written->bytes, number) - written->bytes);
    }
    memcpy(to, written->bytes, sizeof written->bytes); /* a fixed length is the cheapest */
    return to + written->length;
}

enum { REPLY_BYTES = 64 + 4 * 24 + 80 };

static void write_reply(reply_writer *writer, const hf_reply *reply) {
    uint8_t *room = output_room(writer->out, REPLY_BYTES);
    bool named = writer->protocol >= 3;
    static _Thread_local written_number ticket, deadline;
    if (!room)
        return;
    const reply_head *head = head_of(writer->protocol, reply->outcome);
    memcpy(room, head->bytes, sizeof head->bytes);
    uint8_t *to = room + head->length;
    to = put_again(to, &ticket, reply->ticket);
    to = named ? REPLY_PUT(to, "+version\r\n") : to;
    to = reply_put_integer(to, reply->version);
    to = named ? REPLY_PUT(to, "+deadline\r\n") : to;
    to = put_again(to, &deadline, reply->deadline_ms);
    if (!is_plain(reply->outcome)) {
        const char *state = hf_state_text(reply->state);
        to = named ? REPLY_PUT(to, "+state\r\n") : to;
        to = REPLY_PUT(to, "+");
        to = reply_put(to, state, strlen(state));
        to = named ? REPLY_PUT(to, "\r\n+line\r\n") : REPLY_PUT(to, "\r\n");
        to = reply_put_integer(to, reply->line);
    }
    assert(to - room <= REPLY_BYTES);
    output_add(writer->out, (size_t)(to - room));
}

/* ---- submitting -------------------------------------------------------------------------------------------------- */

static bool is_named_later(const hf_batch *batch, uint32_t index, uint32_t done) {
    for (uint32_t i = index + 1; i < done; i++)
        if (memcmp(&batch->ops[i].id, &batch->ops[index].id, sizeof(hf_id)) == 0)
            return true;
    return false;
}

static void ask_again(hf_worker *worker, hf_session *session, uint32_t index, uint32_t done) {
    hf_batch *batch = &worker->batch;
    hf_reply *reply = &batch->replies[index];
    if (is_named_later(batch, index, done))
        return;
    for (unsigned i = 0; i < ASK_AGAIN && reply->outcome == HF_OUTCOME_IN_PROGRESS; i++) {
        hf_reply again;
        counter_add_relaxed(&worker->counters.asked_again, 1); /* relaxed: a figure */
        if (hf_submit(session, &batch->ops[index], 1, &again, NULL) || again.error)
            return; /* in_progress it is */
        *reply = again;
        if (i % 16 == 15)
            sched_yield();
    }
}

/* How many orders have an answer. */
static uint32_t submit(hf_worker *worker, hf_session *session) {
    hf_batch *batch = &worker->batch;
    size_t done = 0;
    int error = hf_submit(session, batch->ops, batch->count, batch->replies, &done);
    if (error && error != HF_EAGAIN) { /* nothing was tried */
        for (uint32_t i = 0; i < batch->count; i++)
            batch->replies[i] = (hf_reply){.error = error};
        return batch->count;
    }
    while (done > 0 && batch->replies[done - 1].error == HF_EAGAIN)
        done--;
    for (uint32_t i = 0; i < done; i++)
        if (batch->replies[i].error == HF_SUCCESS && batch->replies[i].outcome == HF_OUTCOME_IN_PROGRESS)
            ask_again(worker, session, i, (uint32_t)done);
    counter_add_relaxed(&worker->counters.batches, 1); /* relaxed: figures, as those below */
    counter_add_relaxed(&worker->counters.orders, done);
    return (uint32_t)done;
}

static void write_error(hf_connection *connection, int error) {
    gateway_error kind = gateway_error_of(error);
    counter_add_relaxed(&connection->worker->counters.errors[kind], 1);
    reply_error(&connection->writer, "%s %s", gateway_error_prefix(kind), hf_error_text(error));
}

/* Writes the replies of the first `done` orders. The ticket that all of them wait for. */
static uint64_t answer(hf_connection *connection, uint32_t done, uint32_t *replies) {
    hf_worker *worker = connection->worker;
    hf_batch *batch = &worker->batch;
    uint64_t ticket = 0;
    *replies = 0;
    for (uint32_t i = 0; i < done; i++) {
        const hf_reply *reply = &batch->replies[i];
        bool silent = connection_take_silence(connection);
        *replies += !silent;
        if (reply->error) {
            if (!silent)
                write_error(connection, reply->error);
            continue;
        }
        ticket = reply->ticket > ticket ? reply->ticket : ticket;
        counter_add_relaxed(&worker->counters.outcomes[reply->outcome], 1);
        if (connection->cancels)
            cancel_set_note(connection->cancels, &batch->ops[i], reply);
        if (!silent)
            write_reply(&connection->writer, reply);
    }
    return ticket;
}

/* What orders that were not tried had taken goes back. */
static void take_back(hf_connection *connection, uint32_t done) {
    hf_batch *batch = &connection->worker->batch;
    batch->again_at = batch->at[done];
    throttle_give_back(&connection->throttle, batch->count - done);
    if (connection->named)
        connection->sequence = batch->ops[done].position - 1;
}

bool batch_submit(hf_connection *connection) {
    hf_worker *worker = connection->worker;
    hf_batch *batch = &worker->batch;
    if (batch->count == 0)
        return true;
    uint32_t replies, done = submit(worker, connection_session(connection));
    uint64_t ticket = answer(connection, done, &replies);
    if (ticket > connection->last_ticket)
        connection->last_ticket = ticket;
    if (replies > 0)
        output_mark_replies(&connection->out, connection->acknowledge_now ? 0 : ticket, worker->durable,
                            worker->read_ns, replies);
    connection_touch(connection);
    bool whole = done == batch->count;
    if (!whole)
        take_back(connection, done);
    batch->count = batch->line_count = 0;
    return whole;
}
