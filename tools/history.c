/* holdfast history: every step of one SKU, with what it led to, and a picture of it; or the life of one id.
 *
 * Guarantees
 *   A  Steps of a SKU are in the order of their versions, records of an id in the order of their steps; within an epoch
 *      the log has them in any order.
 *   B  Counters after each step are right, also where the log does not begin with the SKU's first step: then they begin
 *      with the state before the first epoch kept (past.h).
 *   C  Memory is that of one epoch; and of the state, where B needs it.
 */
#include "ids.h"
#include "past.h"
#include "picture.h"
#include "read.h"
#include "record.h"
#include "select.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: holdfast history --dir D --sku S [--svg F.svg] [--json] [--from-epoch E] [--to-epoch E]\n"
    "                        [--from-time T] [--to-time T]\n"
    "       holdfast history --dir D {--id I | --id-text TEXT} [--json]\n"
    "\n"
    "Each step of SKU S: version, time, what it was, on_hand, reserved and available after it, and the id. Or each\n"
    "record of an id, and how it stands. Changes nothing; D may be in use.\n"
    "\n"
    "  --svg F.svg     a picture of available, reserved and on_hand over time\n"
    "  --json          an object a line\n"
    "  --from-epoch E  not before epoch E; --to-epoch E: not after it\n"
    "  --from-time T   not before T, as 2026-01-31T12:00:00.000Z or in ms since 1970; --to-time T: not after it\n"
    "  --id I          written as it is printed\n"
    "  --id-text TEXT  an id that was made of TEXT and prints as 32 digits\n"
    "\n"
    "exit status: 0 fine; 1 no such directory, SKU or id, or it is damaged; 2 wrong usage; 3 system trouble\n";

/* One step of the SKU. */
typedef struct hf_event {
    uint64_t version, epoch, time_ms;
    hf_record_type type;
    uint32_t parts;
    hf_id id;
    int64_t on_hand_change, reserved_change;
} hf_event;

/* A record of the id, as a line of text. */
typedef struct hf_entry {
    uint64_t step; /* 0: none, it tells what was answered */
    uint64_t time_ms;
    uint32_t session;
    uint64_t behind; /* which step it is, or follows */
    size_t order;    /* in the log */
    char *text;
} hf_entry;

typedef struct hf_history {
    const char *directory, *svg_path;
    bool json;
    hf_selection selection;
    hf_writer *out;
    hf_picture *picture;
    bool out_of_memory;

    uint64_t first_epoch; /* kept */
    uint64_t epoch;       /* at hand */
    hf_event *events;     /* of it */
    hf_entry *entries;
    size_t count, room;
    uint64_t done;    /* steps or records met, selected or not */
    uint64_t version; /* of the last step */
    int64_t on_hand, reserved;

    hf_record_type last_type; /* --id: of the record with the highest step */
    uint32_t last_parts;
    uint64_t last_step, deadline_ms;
} hf_history;

static int read_command_line(hf_history *history, int argc, char **argv) {
    hf_select_init(&history->selection);
    const hf_option options[] = {
        {"dir", .text = &history->directory, .is_required = true},
        {"svg", .text = &history->svg_path},
        {"json", .flag = &history->json},
        HF_SELECT_OPTIONS(&history->selection),
        {0},
    };
    int exit_code = hf_read_options(argc, argv, help, options, false);
    if (exit_code)
        return exit_code;
    if (history->selection.has_sku == history->selection.has_id)
        return hf_tell_usage("history", "history: expected either --sku or --id");
    if (history->svg_path && !history->selection.has_sku)
        return hf_tell_usage("history", "history: --svg is a picture of a --sku");
    return HF_EXIT_FINE;
}

static int memory_trouble(void) { return hf_tell(HF_EXIT_SYSTEM, "out of memory"); }

/* Room for one more element of the epoch at hand. */
static bool has_room(hf_history *history, void **array, size_t size) {
    if (history->count < history->room)
        return true;
    size_t room = history->room ? history->room * 2 : 256;
    void *grown = reallocarray(*array, room, size);
    if (!grown) {
        history->out_of_memory = true;
        return false;
    }
    *array = grown;
    history->room = room;
    return true;
}

static const char *how(uint32_t parts) { return parts & HF_PART_GIVE ? " (given back)" : ""; }

/* ---- a SKU ------------------------------------------------------------------------------------------------------- */

static void put_event_text(hf_writer *out, const hf_event *event, int64_t on_hand, int64_t reserved) {
    char text[160], when[HF_TIME_TEXT], what[40];
    snprintf(what, sizeof what, "%s%s", hf_record_text(event->type), how(event->parts));
    snprintf(text, sizeof text, "%12" PRIu64 "  %s  %-25s %13" PRId64 " %13" PRId64 " %13" PRId64 "  ", event->version,
             hf_format_time(event->time_ms, when), what, on_hand, reserved, on_hand - reserved);
    hf_put_text(out, text);
    hf_put_id(out, event->id);
    hf_put(out, "\n", 1);
}

static void put_member(hf_writer *out, const char *before, int64_t number) {
    hf_put_text(out, before);
    hf_put_i64(out, number);
}

static void put_event_json(hf_writer *out, const hf_event *event, int64_t on_hand, int64_t reserved) {
    put_member(out, "{\"version\":", (int64_t)event->version);
    put_member(out, ",\"epoch\":", (int64_t)event->epoch);
    put_member(out, ",\"time_ms\":", (int64_t)event->time_ms);
    hf_put_text(out, ",\"what\":\"");
    hf_put_text(out, hf_record_text(event->type));
    hf_put_text(out, event->parts & HF_PART_GIVE ? "\",\"given_back\":true,\"id\":" : "\",\"id\":");
    hf_put_json_id(out, event->id);
    put_member(out, ",\"on_hand_change\":", event->on_hand_change);
    put_member(out, ",\"reserved_change\":", event->reserved_change);
    put_member(out, ",\"on_hand\":", on_hand);
    put_member(out, ",\"reserved\":", reserved);
    put_member(out, ",\"available\":", on_hand - reserved);
    hf_put(out, "}\n", 2);
}

static bool is_in_range(const hf_selection *selection, const hf_event *event) {
    return event->epoch >= selection->from_epoch && event->epoch <= selection->to_epoch &&
           event->time_ms >= selection->from_ms && event->time_ms <= selection->to_ms;
}

static void put_event(hf_history *history, const hf_event *event) {
    history->on_hand += event->on_hand_change;
    history->reserved += event->reserved_change;
    history->version = event->version;
    history->done++;
    if (!is_in_range(&history->selection, event))
        return;
    (history->json ? put_event_json : put_event_text)(history->out, event, history->on_hand, history->reserved);
    const int64_t values[] = {history->on_hand, history->reserved, history->on_hand - history->reserved};
    if (history->picture)
        hf_picture_add(history->picture, event->time_ms, values);
}

static int by_version(const void *left, const void *right) {
    const hf_event *a = left, *b = right;
    return (a->version > b->version) - (a->version < b->version);
}

static void end_events(hf_history *history) {
    if (history->count > 1)
        qsort(history->events, history->count, sizeof *history->events, by_version);
    for (size_t i = 0; i < history->count; i++)
        put_event(history, &history->events[i]);
    history->count = 0;
}

static bool take_step(void *context, const hf_record *record) {
    hf_history *history = context;
    if (record->epoch != history->epoch)
        end_events(history);
    history->epoch = record->epoch;
    for (uint32_t i = 0; i < record->line_count; i++) {
        const hf_record_line *line = &record->lines[i];
        if (!hf_is_sku(line, history->selection.sku, history->selection.sku_length))
            continue;
        if (!has_room(history, (void **)&history->events, sizeof *history->events))
            return false;
        history->events[history->count++] =
            (hf_event){line->version, record->epoch, record->time_ms,      record->type,
                       record->parts, record->id,    line->on_hand_change, line->reserved_change};
    }
    return true;
}

/* Guarantee B: where the log was let go of, what the counters were before the first epoch kept. */
static int find_beginning(hf_history *history) {
    bool is_whole;
    int error = hf_is_log_whole(history->directory, &is_whole);
    if (error)
        return hf_tell_error(error, history->directory);
    if (is_whole)
        return HF_EXIT_FINE;
    hf_past past;
    int exit_code = hf_past_read(history->directory, HF_BEFORE_KEPT, UINT64_MAX, &past);
    history->first_epoch = past.epoch + 1;
    for (size_t i = 0; i < past.sku_count && !exit_code; i++) {
        const hf_past_sku *sku = &past.skus[i];
        if (sku->length == history->selection.sku_length &&
            memcmp(sku->name, history->selection.sku, sku->length) == 0) {
            history->on_hand = sku->on_hand;
            history->reserved = sku->reserved;
            history->version = sku->version;
        }
    }
    hf_past_free(&past);
    return exit_code;
}

static int write_picture(const hf_history *history) {
    FILE *file = fopen(history->svg_path, "we");
    if (!file)
        return hf_tell(HF_EXIT_SYSTEM, "%s: %s", history->svg_path, strerror(errno));
    hf_picture_write(history->picture, history->selection.sku, history->selection.sku_length, file);
    bool failed = ferror(file);
    failed |= fclose(file) != 0;
    return failed ? hf_tell(HF_EXIT_SYSTEM, "%s: %s", history->svg_path, strerror(errno)) : HF_EXIT_FINE;
}

static void put_heading(const hf_history *history) {
    char text[200];
    if (history->version) {
        snprintf(text, sizeof text,
                 "The log that is kept begins behind version %" PRIu64 ": on_hand %" PRId64 ", reserved %" PRId64 ".\n",
                 history->version, history->on_hand, history->reserved);
        hf_put_text(history->out, text);
    }
    snprintf(text, sizeof text, "%12s  %-24s  %-25s %13s %13s %13s  %s\n", "version", "time", "what", "on_hand",
             "reserved", "available", "id");
    hf_put_text(history->out, text);
}

static int tell_sku(hf_history *history) {
    int exit_code = find_beginning(history);
    if (exit_code)
        return exit_code;
    if (!history->json)
        put_heading(history);
    /* Counters need all that is kept, whatever is asked for. */
    int error =
        hf_each_record(history->directory, history->first_epoch, history->selection.to_epoch, take_step, history, NULL);
    if (error)
        return hf_tell_reading(error, history->directory);
    end_events(history);
    if (history->out_of_memory)
        return memory_trouble();
    if (history->version == 0)
        return hf_tell(HF_EXIT_DATA, "there is no step of that SKU in the log of %s", history->directory);
    return history->svg_path ? write_picture(history) : HF_EXIT_FINE;
}

/* ---- an id ------------------------------------------------------------------------------------------------------- */

static int by_step(const void *left, const void *right) {
    const hf_entry *a = left, *b = right;
    if (a->behind != b->behind)
        return a->behind < b->behind ? -1 : 1;
    if ((a->step == 0) != (b->step == 0))
        return a->step == 0 ? 1 : -1;
    return (a->order > b->order) - (a->order < b->order);
}

/* An answer has no step of its own: it goes behind the last step before it, in its session or by time. `entries` begins
 * with the `steps` that have one. */
static void place_answer(hf_entry *answer, const hf_entry *entries, size_t steps) {
    for (size_t i = 0; i < steps; i++) {
        bool is_before = entries[i].session == answer->session ? entries[i].order < answer->order
                                                               : entries[i].time_ms <= answer->time_ms;
        if (is_before && entries[i].step > answer->behind)
            answer->behind = entries[i].step;
    }
}

static void place_answers(hf_entry *entries, size_t count) {
    size_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        entries[i].behind = entries[i].step;
        if (entries[i].step) {
            hf_entry swap = entries[steps];
            entries[steps++] = entries[i];
            entries[i] = swap;
        }
    }
    for (size_t i = steps; i < count; i++)
        place_answer(&entries[i], entries, steps);
}

static void end_entries(hf_history *history) {
    place_answers(history->entries, history->count);
    if (history->count > 1)
        qsort(history->entries, history->count, sizeof *history->entries, by_step);
    for (size_t i = 0; i < history->count; i++) {
        hf_put_text(history->out, history->entries[i].text);
        free(history->entries[i].text);
    }
    history->count = 0;
}

/* The record as a line in memory of its own. */
static char *keep_line(hf_history *history, const hf_record *record) {
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    hf_writer *writer = memory ? malloc(sizeof *writer) : NULL;
    if (writer) {
        hf_put_begin(writer, memory);
        (history->json ? hf_put_record_json : hf_put_record_text)(writer, record);
        hf_put_flush(writer);
    }
    free(writer);
    bool failed = !memory || !writer || ferror(memory);
    if (memory)
        failed |= fclose(memory) != 0;
    if (!failed)
        return text;
    free(text);
    history->out_of_memory = true;
    return NULL;
}

static void note_state(hf_history *history, const hf_record *record) {
    if (record->type == HF_RECORD_NOTE || record->step < history->last_step)
        return;
    history->last_step = record->step;
    history->last_type = record->type;
    history->last_parts = record->parts;
    if (record->deadline_ms)
        history->deadline_ms = record->deadline_ms;
}

static bool take_entry(void *context, const hf_record *record) {
    hf_history *history = context;
    if (record->epoch != history->epoch)
        end_entries(history);
    history->epoch = record->epoch;
    if (record->type > HF_RECORD_NOTE || !hf_id_equal(&record->id, &history->selection.id))
        return true;
    history->done++;
    if (hf_select_record(&history->selection, record) != 1)
        return true;
    char *text = keep_line(history, record);
    if (!text || !has_room(history, (void **)&history->entries, sizeof *history->entries)) {
        free(text);
        return false;
    }
    history->entries[history->count] = (hf_entry){.step = record->step,
                                                  .time_ms = record->time_ms,
                                                  .session = record->session,
                                                  .order = history->count,
                                                  .text = text};
    history->count++;
    note_state(history, record);
    return true;
}

/* How it stands by its last record. */
static void put_state(const hf_history *history) {
    static const char *const states[HF_RECORD_TYPE_END] = {
        [HF_RECORD_RECEIVE] = "applied",  [HF_RECORD_ADJUST] = "applied", [HF_RECORD_COUNT] = "applied",
        [HF_RECORD_PURCHASE] = "sold",    [HF_RECORD_RESERVE] = "live",   [HF_RECORD_CONFIRM] = "confirmed",
        [HF_RECORD_CANCEL] = "cancelled", [HF_RECORD_EXTEND] = "live",    [HF_RECORD_CONFIRM_LATE] = "confirmed late",
        [HF_RECORD_EXPIRE] = "expired",
    };
    char text[120], when[HF_TIME_TEXT];
    const char *state = states[history->last_type];
    if (!state)
        return;
    bool is_taking = history->last_type != HF_RECORD_CANCEL && history->last_type != HF_RECORD_EXPIRE;
    if (history->last_parts & HF_PART_OPEN && is_taking)
        snprintf(text, sizeof text, "not decided yet: %s\n", hf_record_text(history->last_type));
    else if (history->last_parts & HF_PART_GIVE)
        snprintf(text, sizeof text, "refused, and given back: %s\n", hf_record_text(history->last_type));
    else if (strcmp(state, "live") == 0)
        snprintf(text, sizeof text, "live until %s\n", hf_format_time(history->deadline_ms, when));
    else
        snprintf(text, sizeof text, "%s\n", state);
    hf_put_text(history->out, text);
}

static int tell_id(hf_history *history) {
    int error = hf_each_record(history->directory, 0, history->selection.to_epoch, take_entry, history, NULL);
    if (error)
        return hf_tell_reading(error, history->directory);
    end_entries(history);
    if (history->out_of_memory)
        return memory_trouble();
    if (history->done == 0)
        return hf_tell(HF_EXIT_DATA, "there is no record of that id in the log of %s", history->directory);
    if (!history->json)
        put_state(history);
    return HF_EXIT_FINE;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

int hf_command_history(int argc, char **argv) {
    hf_history history = {0};
    int exit_code = read_command_line(&history, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    history.out = malloc(sizeof *history.out);
    history.picture = history.svg_path ? malloc(sizeof *history.picture) : NULL;
    if (!history.out || (history.svg_path && !history.picture)) {
        exit_code = memory_trouble();
    } else {
        hf_put_begin(history.out, stdout);
        if (history.picture)
            hf_picture_begin(history.picture);
        exit_code = history.selection.has_sku ? tell_sku(&history) : tell_id(&history);
        hf_put_flush(history.out);
        exit_code = hf_finish_output(exit_code);
    }
    free(history.out);
    free(history.picture);
    free(history.events);
    free(history.entries);
    return exit_code;
}
