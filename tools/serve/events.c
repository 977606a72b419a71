/* HF.EVENTS. The contract is in events.h; docs/GATEWAY.md says what an event holds. */
#include "events.h"

#include "job.h"
#include "number.h"
#include "shared.h"
#include "worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_BYTES = 128 << 10,
    SLICE_LIMIT = 8 << 20, /* one event with 4,096 long names fits */
    SLICE_RECORDS = 4096,  /* looked at, whether or not they are wanted */
    SECOND_NS = 1000000000,
    LOOK_NS = 250000000, /* how long a read that does not block goes through what is not wanted */
    COUNT_LEAST = 1,
    COUNT_MOST = 100000,
    COUNT_DEFAULT = 1000,
};

typedef struct hf_feed {
    hf_job job;
    const char *directory;
    hf_engine *engine;
    access_user viewer; /* its prefixes are the server's */
    int protocol;
    bool pushes, stopped, is_cut;
    hf_text prefix; /* a copy */
    uint64_t wanted, block_ms;
    uint64_t started_ns; /* of the request at hand */
    uint64_t told_ns;    /* when its position was last told by a push */

    /* The reader. */
    hf_log *log;                 /* NULL: to be opened at `epoch` */
    uint64_t epoch, index;       /* of the next event */
    uint64_t at_epoch, at_index; /* of the record that the reader comes to next, once it is open */
    uint64_t seen;               /* everything up to this epoch was looked at */
    uint64_t tried;              /* the durable epoch when the reader was last asked */
    bool moved;                  /* it then came further */
    bool at_end;                 /* it then came to the end of what is durable */
    bool is_there;               /* it has come to where it was asked to begin */

    /* The slice. */
    hf_output slice;
    uint64_t events; /* in it */
    int error;
    char why[256];
} hf_feed;

/* ---- one event --------------------------------------------------------------------------------------------------- */

static const char *event_name(const hf_record *record) {
    if (record->parts & HF_PART_GIVE)
        return "returned";
    bool decided = !(record->parts & HF_PART_OPEN); /* what takes decides last */
    switch (record->type) {
    case HF_RECORD_RECEIVE:
        return "received";
    case HF_RECORD_ADJUST:
        return "adjusted";
    case HF_RECORD_COUNT:
        return "counted";
    case HF_RECORD_PURCHASE:
        return decided ? "purchased" : "purchasing";
    case HF_RECORD_RESERVE:
        return decided ? "reserved" : "reserving";
    case HF_RECORD_CONFIRM:
        return decided ? "confirmed" : "confirming";
    case HF_RECORD_CONFIRM_LATE:
        return decided ? "confirmed_late" : "confirming_late";
    case HF_RECORD_CANCEL:
        return "cancelled";
    case HF_RECORD_EXTEND:
        return "extended";
    case HF_RECORD_EXPIRE:
        return "expired";
    default:
        return NULL; /* nothing that happened to stock */
    }
}

static const char *part_name(const hf_record *record) {
    bool open = record->parts & HF_PART_OPEN, continued = record->parts & HF_PART_CONTINUED;
    return open ? continued ? "middle" : "first" : continued ? "last" : "whole";
}

static bool begins_with(const hf_record_line *line, hf_text prefix) {
    return prefix.length == 0 ||
           (line->name && line->name_length >= prefix.length && memcmp(line->name, prefix.bytes, prefix.length) == 0);
}

static bool is_wanted_line(const hf_feed *feed, const hf_record_line *line) {
    return begins_with(line, feed->prefix) &&
           (feed->viewer.prefix_count == 0 ||
            (line->name && access_may_see(&feed->viewer, line->name, line->name_length)));
}

static uint32_t wanted_lines(const hf_feed *feed, const hf_record *record) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->line_count; i++)
        count += is_wanted_line(feed, &record->lines[i]);
    return count;
}

static void write_line(reply_writer *writer, const hf_record_line *line) {
    reply_array(writer, 5);
    if (line->name)
        reply_bulk(writer, line->name, line->name_length);
    else
        reply_null(writer);
    reply_integer(writer, line->quantity);
    reply_integer(writer, line->on_hand_change);
    reply_integer(writer, line->reserved_change);
    reply_integer(writer, (int64_t)line->version);
}

static void write_position(reply_writer *writer, uint64_t epoch, uint64_t index) {
    char text[48];
    reply_bulk(writer, text, (size_t)snprintf(text, sizeof text, "%" PRIu64 "-%" PRIu64, epoch, index));
}

static void write_event(hf_feed *feed, reply_writer *writer, const hf_record *record, uint32_t lines) {
    char id[33];
    size_t id_length = hf_id_to_text(record->id, id);
    if (feed->pushes) {
        reply_push(writer, 2);
        reply_text(writer, "hf.event");
    }
    reply_map(writer, 8);
    reply_text(writer, "at");
    write_position(writer, feed->at_epoch, feed->at_index);
    reply_text(writer, "event");
    reply_text(writer, event_name(record));
    reply_text(writer, "part");
    reply_text(writer, part_name(record));
    reply_text(writer, "time");
    reply_integer(writer, (int64_t)record->time_ms);
    reply_text(writer, "id");
    reply_bulk(writer, id, id_length);
    reply_text(writer, "deadline");
    reply_integer(writer, (int64_t)record->deadline_ms);
    reply_text(writer, "user");
    reply_unsigned(writer, record->user);
    reply_text(writer, "lines");
    reply_array(writer, lines);
    for (uint32_t i = 0; i < record->line_count; i++)
        if (is_wanted_line(feed, &record->lines[i]))
            write_line(writer, &record->lines[i]);
}

/* ---- reading a slice, in a job's thread -------------------------------------------------------------------------- */

static void fail(hf_feed *feed, int error) {
    feed->error = error;
    snprintf(feed->why, sizeof feed->why, "%s", *hf_error_detail() ? hf_error_detail() : hf_error_text(error));
    hf_log_close(feed->log);
    feed->log = NULL;
}

/* The reader reads names of SKUs from the newest checkpoint on, all in one call. Begun there, it is read in slices: others
 * wait for the pool's threads too, and so does a stop. */
static bool open_log(hf_feed *feed) {
    hf_stats stats;
    hf_stats_read(feed->engine, &stats);
    uint64_t from = stats.checkpoint_epoch < feed->epoch ? stats.checkpoint_epoch : feed->epoch;
    int error = hf_log_open(feed->directory, from, &feed->log);
    if (error) {
        fail(feed, error);
        return false;
    }
    feed->at_epoch = feed->at_index = 0;
    return true;
}

/* One record: its place, and its event where it is wanted. */
static void take_record(hf_feed *feed, reply_writer *writer, const hf_record *record) {
    if (record->epoch != feed->at_epoch) {
        feed->at_epoch = record->epoch;
        feed->at_index = 0;
    }
    bool is_new = record->epoch > feed->epoch || (record->epoch == feed->epoch && feed->at_index >= feed->index);
    if (is_new) {
        feed->is_there = true;
        bool filtered = feed->prefix.length || feed->viewer.prefix_count;
        uint32_t lines = event_name(record) ? wanted_lines(feed, record) : 0;
        if (event_name(record) && (lines || !filtered)) {
            write_event(feed, writer, record, lines);
            feed->events++;
        }
        feed->epoch = feed->at_epoch;
        feed->index = feed->at_index + 1;
    }
    feed->at_index++;
}

static void read_slice(hf_job *job) {
    hf_feed *feed = (struct hf_feed *)job;
    reply_writer writer = {.out = &feed->slice, .protocol = feed->protocol};
    feed->moved = true;
    feed->at_end = false;
    if (!feed->log && !open_log(feed))
        return;
    for (unsigned records = 0; records < SLICE_RECORDS; records++) {
        hf_record record;
        if (output_size(&feed->slice) >= SLICE_BYTES || (!feed->pushes && feed->events >= feed->wanted))
            return;
        int more = hf_log_next(feed->log, &record);
        if (more < 0) {
            fail(feed, more);
            return;
        }
        if (more == 0) {
            uint64_t whole = hf_log_epoch(feed->log);
            if (whole >= feed->epoch) { /* nothing more can come of that epoch */
                feed->epoch = whole + 1;
                feed->index = 0;
            }
            feed->at_end = feed->is_there = true;
            feed->moved = whole > feed->seen;
            feed->seen = whole;
            return;
        }
        take_record(feed, &writer, &record);
    }
}

/* ---- the slice to the connection --------------------------------------------------------------------------------- */

static void free_feed(hf_feed *feed) {
    hf_log_close(feed->log);
    output_free(&feed->slice);
    free((void *)(uintptr_t)feed->prefix.bytes);
    free(feed);
}

static void empty_slice(hf_feed *feed) {
    feed->slice.released = feed->slice.end;
    output_sent(&feed->slice, output_size(&feed->slice));
    feed->events = 0;
}

static void drop(hf_connection *connection, hf_feed *feed) {
    tally_take_relaxed(&connection->worker->server->feeds, 1); /* relaxed: a gauge */
    connection->feed = NULL;
    free_feed(feed);
}

static gateway_error error_of(int error) { return error == HF_ENOTFOUND ? GATEWAY_GONE : GATEWAY_LOG; }

/* The reply of a read: what was found, and where to go on. */
static void reply_found(hf_connection *connection, hf_feed *feed) {
    connection_reply_begin(connection);
    if (feed->error && feed->events == 0) {
        connection_refuse(connection, error_of(feed->error), "%s", feed->why);
    } else {
        reply_writer *writer = &connection->writer;
        reply_map(writer, 2);
        reply_text(writer, "next");
        write_position(writer, feed->epoch, feed->index);
        reply_text(writer, "events");
        reply_array(writer, feed->events);
        reply_raw(writer, output_bytes(&feed->slice), output_size(&feed->slice));
    }
    connection_reply_end(connection);
    counter_add_relaxed(&connection->worker->counters.events, feed->events); /* relaxed: a figure */
    feed->error = 0;
    empty_slice(feed);
}

/* A feed that pushes tells how far it is, now and then, when nothing it passes is wanted: whoever resumes need not
 * begin at its last event. */
static void push_position(hf_connection *connection, hf_feed *feed) {
    uint64_t now = uv_hrtime();
    if (now - feed->told_ns < SECOND_NS)
        return;
    feed->told_ns = now;
    reply_push(&connection->writer, 2);
    reply_text(&connection->writer, "hf.position");
    write_position(&connection->writer, feed->epoch, feed->index);
    connection_push_end(connection);
}

static void push_end(hf_connection *connection, gateway_error error, const char *text) {
    char why[320];
    snprintf(why, sizeof why, "%s %s", gateway_error_prefix(error), text);
    reply_push(&connection->writer, 2);
    reply_text(&connection->writer, "hf.end");
    reply_text(&connection->writer, why);
    connection_push_end(connection);
}

static void push_found(hf_connection *connection, hf_feed *feed) {
    if (feed->events) {
        reply_raw(&connection->writer, output_bytes(&feed->slice), output_size(&feed->slice));
        feed->told_ns = uv_hrtime();
        connection_push_end(connection);
        counter_add_relaxed(&connection->worker->counters.events, feed->events); /* relaxed: a figure */
    } else if (!feed->error) {
        push_position(connection, feed);
    }
    empty_slice(feed);
    if (feed->error)
        push_end(connection, error_of(feed->error), feed->why);
}

/* Nothing more is pushed, not even what is found by now: what comes first is gone. */
static void end_cut(hf_connection *connection, hf_feed *feed) {
    push_end(connection, GATEWAY_POISONED, "events were not sent: ask on from behind the last that came");
    drop(connection, feed);
}

static bool blocks_on(const hf_feed *feed) {
    return feed->block_ms != UINT64_MAX &&
           (feed->block_ms == 0 || uv_hrtime() - feed->started_ns < feed->block_ms * 1000000);
}

/* Whether a read is answered with what there is: nothing, perhaps, and a place to go on from. */
static bool is_enough(const hf_connection *connection, const hf_feed *feed) {
    if (feed->events || feed->error || connection->worker->draining)
        return true;
    bool looked_long = feed->is_there && uv_hrtime() - feed->started_ns > LOOK_NS;
    return (feed->at_end || looked_long) && !blocks_on(feed);
}

static void end_slice(hf_job *job, hf_connection *connection) {
    hf_feed *feed = (struct hf_feed *)job;
    if (!connection || connection->closed) {
        free_feed(feed); /* events_stop has left it to us */
        return;
    }
    if (feed->slice.overflowed && !feed->error) {
        feed->error = HF_ENOMEM;
        snprintf(feed->why, sizeof feed->why, "an event does not fit into memory");
    }
    if (feed->is_cut && !feed->stopped) {
        end_cut(connection, feed);
    } else if (feed->pushes) {
        if (!feed->stopped)
            push_found(connection, feed);
        if (feed->error || feed->stopped)
            drop(connection, feed);
        else
            events_go_on(connection, false);
    } else if (is_enough(connection, feed)) {
        uv_timer_stop(&connection->timer);
        feed->block_ms = UINT64_MAX;
        reply_found(connection, feed);
        feed->started_ns = 0;
    } else {
        events_go_on(connection, false);
    }
}

/* ---- going on ---------------------------------------------------------------------------------------------------- */

static bool is_asked(const hf_feed *feed) { return feed->pushes || feed->started_ns != 0; }

bool connection_waits_for_events(const hf_connection *connection) {
    return connection->feed && !connection->feed->pushes && connection->feed->started_ns != 0;
}

static void start_slice(hf_connection *connection, hf_feed *feed) {
    feed->tried = connection->worker->durable;
    job_start_beside(connection, &feed->job, read_slice, end_slice);
}

void events_go_on(hf_connection *connection, bool in_any_case) {
    hf_feed *feed = connection->feed;
    if (!feed || connection->job || connection->closed || !is_asked(feed) || (connection->paused & PAUSE_RETRY))
        return;
    uint64_t durable = connection->worker->durable;
    bool is_behind = feed->seen < durable;
    bool is_worth =
        feed->moved || feed->tried < durable || in_any_case; /* the reader may see the epoch a moment later */
    bool has_room = output_size(&connection->out) < connection->worker->server->settings->output_pause_bytes;
    if (is_behind && is_worth && has_room)
        start_slice(connection, feed);
}

void events_time_out(hf_connection *connection) {
    hf_feed *feed = connection->feed;
    if (!connection_waits_for_events(connection))
        return;
    feed->block_ms = UINT64_MAX; /* a job under way ends it */
    if (connection->job)
        return;
    reply_found(connection, feed);
    feed->started_ns = 0;
    connection_resume(connection, PAUSE_JOB);
}

void events_stop(hf_connection *connection) {
    hf_feed *feed = connection->feed;
    if (!feed)
        return;
    feed->stopped = true;
    if (connection->job == &feed->job) {
        if (connection->closed) {                                      /* the job's end frees it */
            tally_take_relaxed(&connection->worker->server->feeds, 1); /* relaxed: a gauge */
            connection->feed = NULL;
        }
        return;
    }
    drop(connection, feed);
}

void events_cut(hf_connection *connection) {
    hf_feed *feed = connection->feed;
    if (!feed || !feed->pushes || feed->stopped)
        return;
    feed->is_cut = true;
    if (connection->job != &feed->job)
        end_cut(connection, feed);
}

void events_stop_pushes(hf_connection *connection) {
    if (connection->feed && connection->feed->pushes)
        events_stop(connection);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

typedef struct hf_question {
    uint64_t epoch, index, count, block_ms;
    hf_text prefix;
    bool pushes;
} hf_question;

/* "EPOCH", "EPOCH-INDEX", or "$": what comes from now on. */
static bool read_position(hf_connection *connection, hf_text from, hf_question *asked) {
    const uint8_t *dash = from.length ? memchr(from.bytes, '-', from.length) : NULL;
    hf_text epoch = from, index = {0};
    if (from.length == 1 && from.bytes[0] == '$') {
        asked->epoch = hf_durable(connection->worker->server->engine) + 1;
        return true;
    }
    if (dash) {
        epoch.length = (uint32_t)(dash - from.bytes);
        index = (hf_text){dash + 1, from.length - epoch.length - 1};
    }
    return number_read(epoch, 0, INT64_MAX, &asked->epoch) &&
           (!dash || number_read(index, 0, INT64_MAX, &asked->index));
}

static const char *read_option(hf_text word, hf_text value, hf_question *asked) {
    if (text_is(word, "COUNT"))
        return number_read(value, COUNT_LEAST, COUNT_MOST, &asked->count)
                   ? NULL
                   : "COUNT: expected a whole number from 1 to 100000";
    if (text_is(word, "BLOCK"))
        return number_read(value, 0, 86400000, &asked->block_ms)
                   ? NULL
                   : "BLOCK: expected milliseconds from 0 (for ever) to 86400000";
    if (!text_is(word, "SKU"))
        return "expected COUNT, BLOCK, SKU or PUSH";
    asked->prefix = value;
    return value.length > 0 && value.length <= HF_MAX_SKU_NAME ? NULL : "SKU: expected 1 to 255 bytes";
}

static const char *read_question(hf_connection *connection, const command_request *request, hf_question *asked) {
    *asked = (hf_question){.count = COUNT_DEFAULT, .block_ms = UINT64_MAX};
    const char *problem = NULL;
    if (request->count < 3 || !text_is(argument_of(request, 1), "FROM"))
        return "expected FROM and an epoch, or STOP";
    if (!read_position(connection, argument_of(request, 2), asked))
        return "FROM: expected an epoch, EPOCH-INDEX as `next` and `at` tell it, or $";
    for (uint32_t i = 3; !problem && i < request->count; i++) {
        hf_text word = argument_of(request, i);
        if (text_is(word, "PUSH"))
            asked->pushes = true;
        else if (i + 1 == request->count)
            problem = "expected a value behind the last option";
        else
            problem = read_option(word, argument_of(request, ++i), asked);
    }
    if (!problem && asked->pushes && asked->block_ms != UINT64_MAX)
        problem = "BLOCK is for reading, not for PUSH";
    return problem;
}

static hf_feed *make_feed(hf_connection *connection, const hf_question *asked) {
    hf_feed *feed = calloc(1, sizeof *feed);
    uint8_t *prefix = malloc(asked->prefix.length + 1);
    if (!feed || !prefix) {
        free(feed);
        free(prefix);
        return NULL;
    }
    if (asked->prefix.length)
        memcpy(prefix, asked->prefix.bytes, asked->prefix.length);
    feed->prefix = (hf_text){prefix, asked->prefix.length};
    feed->directory = connection->worker->server->settings->dir;
    feed->engine = connection->worker->server->engine;
    feed->viewer = *connection->user;
    feed->epoch = asked->epoch;
    feed->index = asked->index;
    feed->pushes = asked->pushes;
    output_init(&feed->slice, SLICE_LIMIT);
    return feed;
}

/* A read that goes on where the one before stopped uses its reader, which need not look for the place again. */
static bool goes_on(const hf_connection *connection, const hf_question *asked) {
    const hf_feed *feed = connection->feed;
    return feed && !feed->pushes && !asked->pushes && feed->epoch == asked->epoch && feed->index == asked->index &&
           strcmp(feed->viewer.name, connection->user->name) == 0 && feed->prefix.length == asked->prefix.length &&
           (asked->prefix.length == 0 || memcmp(feed->prefix.bytes, asked->prefix.bytes, asked->prefix.length) == 0);
}

static command_result begin(hf_connection *connection, const hf_question *asked) {
    hf_server *server = connection->worker->server;
    if (!goes_on(connection, asked)) {
        events_stop(connection);
        if (tally_add_relaxed(&server->feeds, 1) > server->settings->max_feeds) { /* relaxed: a gauge */
            tally_take_relaxed(&server->feeds, 1);
            return connection_refuse(connection, GATEWAY_LIMIT, "max-feeds: %" PRIu64 " are open",
                                     server->settings->max_feeds);
        }
        connection->feed = make_feed(connection, asked);
        if (!connection->feed) {
            tally_take_relaxed(&server->feeds, 1);
            return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
        }
    }
    hf_feed *feed = connection->feed;
    feed->wanted = asked->count;
    feed->block_ms = asked->block_ms;
    feed->started_ns = uv_hrtime();
    feed->protocol = connection->writer.protocol;
    if (feed->pushes) {
        reply_simple(&connection->writer, "OK");
        start_slice(connection, feed);
        return COMMAND_DONE;
    }
    connection->paused |= PAUSE_JOB;
    if (asked->block_ms != UINT64_MAX && asked->block_ms > 0)
        connection_pause_for(connection, PAUSE_JOB, asked->block_ms);
    start_slice(connection, feed);
    return COMMAND_DONE;
}

command_result events_command(hf_connection *connection, const command_request *request) {
    hf_question asked;
    bool feeding = connection->feed && connection->feed->pushes;
    if (request->count == 2 && text_is(argument_of(request, 1), "STOP")) {
        events_stop(connection);
        reply_simple(&connection->writer, "OK");
        return COMMAND_DONE;
    }
    if (connection->job) { /* of a feed that was stopped */
        connection_pause_for(connection, PAUSE_RETRY, 1);
        return COMMAND_LATER;
    }
    const char *problem = read_question(connection, request, &asked);
    if (!problem && feeding)
        problem = "events are being pushed already: STOP first";
    if (!problem && asked.pushes && connection->writer.protocol < 3)
        problem = "PUSH needs RESP3: HELLO 3 first; without, read with BLOCK";
    if (problem)
        return connection_refuse(connection, GATEWAY_ARGUMENT, "HF.EVENTS: %s", problem);
    return begin(connection, &asked);
}
