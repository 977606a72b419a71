/* holdfast dump: the records of a log, as text or JSON, a line each; those that were asked for; as they come, if told.
 *
 * Guarantees
 *   A  Every durable record that was asked for, once, in the order of the log: epoch by epoch, within one epoch session
 *      by session.
 *   B  Memory is that of the largest epoch (and of select.h).
 */
#include "progress.h"
#include "select.h"
#include "text.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: holdfast dump --dir D [--json] [--follow] [--from-epoch E] [--to-epoch E]\n"
    "                     [--from-time T] [--to-time T] [--sku S] [--id I | --id-text TEXT] [--user U]\n"
    "\n"
    "Prints the durable records of directory D, one a line, in the order of the log. Changes nothing; D may be in\n"
    "use. Where several things are asked for, all must hold.\n"
    "\n"
    "  --json          an object a line\n"
    "  --follow        at the end wait for more, until SIGINT or SIGTERM\n"
    "  --from-epoch E  not before epoch E; --to-epoch E: not after it\n"
    "  --from-time T   not before T, as 2026-01-31T12:00:00.000Z or in ms since 1970; --to-time T: not after it\n"
    "  --sku S         records that step SKU S, or make it\n"
    "  --id I          records of this id, written as it is printed\n"
    "  --id-text TEXT  the same, for an id that was made of TEXT and prints as 32 digits\n"
    "  --user U        records of the reservations of user U whose reserve is kept\n"
    "\n"
    "exit status: 0 fine; 1 no such directory, or it is damaged, or epoch E is no longer kept; 2 wrong usage; 3\n"
    "system trouble\n";

typedef struct hf_dump {
    const char *directory;
    bool json, follow;
    hf_selection selection;
    hf_log *log;
    hf_writer *out;
    hf_progress progress;
    uint64_t records;
} hf_dump;

/* X(bit, text) */
#define PARTS(X)                                                                                                       \
    X(HF_PART_OPEN, "open")                                                                                            \
    X(HF_PART_CONTINUED, "continued")                                                                                  \
    X(HF_PART_GIVE, "give")                                                                                            \
    X(HF_PART_RECOVERY, "recovery")

static bool has_outcome(const hf_record *record) {
    return record->type == HF_RECORD_NOTE || (record->parts & HF_PART_GIVE && !(record->parts & HF_PART_OPEN));
}

static bool is_operation(const hf_record *record) { return record->type <= HF_RECORD_NOTE; }

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void put_number(hf_writer *out, const char *before, uint64_t number) {
    if (number) {
        hf_put_text(out, before);
        hf_put_u64(out, number);
    }
}

static void put_line_text(hf_writer *out, const hf_record_line *line) {
    hf_put(out, "; ", 2);
    if (line->name)
        hf_put_shown(out, line->name, line->name_length);
    else
        put_number(out, "SKU number ", line->sku);
    hf_put(out, " ", 1);
    hf_put_i64(out, line->quantity);
    if (line->on_hand_change) {
        hf_put_text(out, " on_hand");
        hf_put_change(out, line->on_hand_change);
    }
    if (line->reserved_change) {
        hf_put_text(out, " reserved");
        hf_put_change(out, line->reserved_change);
    }
    put_number(out, " version ", line->version);
}

static void put_text(hf_writer *out, const hf_record *record) {
    hf_put_u64(out, record->epoch);
    hf_put(out, " ", 1);
    hf_put_time(out, record->time_ms);
    hf_put(out, " ", 1);
    hf_put_text(out, hf_record_text(record->type));
    if (is_operation(record)) {
        hf_put(out, " ", 1);
        hf_put_id(out, record->id);
    }
    if (record->name) {
        hf_put(out, " ", 1);
        hf_put_shown(out, record->name, record->name_length);
    }
    put_number(out, record->type == HF_RECORD_RECOVERY ? " term " : " number ", record->number);
#define X(bit, text)                                                                                                   \
    if (record->parts & (bit))                                                                                         \
        hf_put_text(out, " " text);
    PARTS(X)
#undef X
    if (has_outcome(record)) {
        hf_put(out, " ", 1);
        hf_put_text(out, hf_outcome_text(record->outcome));
    }
    put_number(out, " session ", record->session);
    put_number(out, " position ", record->position);
    put_number(out, " step ", record->step);
    put_number(out, " user ", record->user);
    if (record->deadline_ms) {
        hf_put_text(out, " deadline ");
        hf_put_time(out, record->deadline_ms);
    }
    for (uint32_t i = 0; i < record->line_count; i++)
        put_line_text(out, &record->lines[i]);
    hf_put(out, "\n", 1);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_parts_json(hf_writer *out, uint32_t parts) {
    const char *between = ",\"parts\":[\"";
#define X(bit, text)                                                                                                   \
    if (parts & (bit)) {                                                                                               \
        hf_put_text(out, between);                                                                                     \
        hf_put_text(out, text "\"");                                                                                   \
        between = ",\"";                                                                                               \
    }
    PARTS(X)
#undef X
    if (parts)
        hf_put(out, "]", 1);
}

static void put_line_json(hf_writer *out, const hf_record_line *line) {
    hf_put_text(out, "{\"sku\":");
    if (line->name)
        hf_put_json(out, line->name, line->name_length);
    else
        hf_put_text(out, "null");
    hf_put_text(out, ",\"number\":");
    hf_put_u64(out, line->sku);
    hf_put_text(out, ",\"quantity\":");
    hf_put_i64(out, line->quantity);
    hf_put_text(out, ",\"on_hand_change\":");
    hf_put_i64(out, line->on_hand_change);
    hf_put_text(out, ",\"reserved_change\":");
    hf_put_i64(out, line->reserved_change);
    hf_put_text(out, ",\"version\":");
    hf_put_u64(out, line->version);
    hf_put(out, "}", 1);
}

static void put_lines_json(hf_writer *out, const hf_record *record) {
    hf_put_text(out, ",\"lines\":[");
    for (uint32_t i = 0; i < record->line_count; i++) {
        if (i)
            hf_put(out, ",", 1);
        put_line_json(out, &record->lines[i]);
    }
    hf_put(out, "]", 1);
}

static void put_json(hf_writer *out, const hf_record *record) {
    hf_put_text(out, "{\"epoch\":");
    hf_put_u64(out, record->epoch);
    hf_put_text(out, ",\"time_ms\":");
    hf_put_u64(out, record->time_ms);
    hf_put_text(out, ",\"type\":\"");
    hf_put_text(out, hf_record_text(record->type));
    hf_put_text(out, "\",\"session\":");
    hf_put_u64(out, record->session);
    put_parts_json(out, record->parts);
    if (is_operation(record)) {
        hf_put_text(out, ",\"id\":");
        hf_put_json_id(out, record->id);
    }
    if (record->name) {
        hf_put_text(out, ",\"name\":");
        hf_put_json(out, record->name, record->name_length);
    }
    put_number(out, record->type == HF_RECORD_RECOVERY ? ",\"term\":" : ",\"number\":", record->number);
    if (has_outcome(record)) {
        hf_put_text(out, ",\"outcome\":\"");
        hf_put_text(out, hf_outcome_text(record->outcome));
        hf_put(out, "\"", 1);
    }
    put_number(out, ",\"position\":", record->position);
    put_number(out, ",\"step\":", record->step);
    put_number(out, ",\"deadline_ms\":", record->deadline_ms);
    if (record->type == HF_RECORD_RESERVE) {
        hf_put_text(out, ",\"user\":");
        hf_put_u64(out, record->user);
    }
    if (record->line_count)
        put_lines_json(out, record);
    hf_put(out, "}\n", 2);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int read_command_line(hf_dump *dump, int argc, char **argv) {
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},
        {"follow", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        HF_SELECT_OPTIONS,
        {0},
    };
    hf_select_init(&dump->selection);
    opterr = 0;
    for (int letter; (letter = getopt_long(argc, argv, "+:h", options, NULL)) != -1;) {
        int exit_code =
            letter == '?' || letter == ':' ? -1 : hf_select_option(&dump->selection, "dump", letter, optarg);
        if (letter == 'h') {
            fputs(help, stdout);
            return -1;
        } else if (letter == 'd') {
            dump->directory = optarg;
        } else if (letter == 'j') {
            dump->json = true;
        } else if (letter == 'f') {
            dump->follow = true;
        } else if (letter == ':') {
            return hf_tell_usage("dump", "%s: it wants a value", argv[optind - 1]);
        } else if (exit_code == -1) {
            return hf_tell_usage("dump", "%s: no such option of dump", argv[optind - 1]);
        } else if (exit_code != HF_EXIT_FINE) {
            return exit_code;
        }
    }
    if (optind < argc)
        return hf_tell_usage("dump", "%s: nothing more was expected", argv[optind]);
    return dump->directory ? HF_EXIT_FINE : hf_tell_usage("dump", "dump: --dir is missing");
}

/* The end for now: false if it is the end. What was printed is to be seen before the wait. */
static bool wait_for_more(hf_dump *dump) {
    hf_put_flush(dump->out);
    fflush(stdout);
    if (!dump->follow || hf_log_epoch(dump->log) >= dump->selection.to_epoch)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); /* SIGINT ends it */
    return true;
}

static int trouble(const hf_dump *dump, int error) {
    if (error == HF_ENOTFOUND && dump->records)
        return hf_tell(HF_EXIT_SYSTEM, "%s: its writer has let go of log that was still to be read: start again",
                       dump->directory);
    return hf_tell_error(error, dump->directory);
}

static int print_records(hf_dump *dump) {
    hf_record record;
    while (!hf_stop_signal && !ferror(stdout)) {
        int result = hf_log_next(dump->log, &record);
        if (result == 0 && wait_for_more(dump))
            continue;
        if (result == 1 && record.epoch > dump->selection.to_epoch)
            break;
        int selected = result == 1 ? hf_select_record(&dump->selection, &record) : result;
        if (selected < 0)
            return trouble(dump, selected);
        if (result == 0)
            break;
        dump->records++;
        if (selected)
            (dump->json ? put_json : put_text)(dump->out, &record);
        if (dump->records % 4096 == 0)
            hf_progress_show(&dump->progress, 0, 0, dump->records, "records");
    }
    return HF_EXIT_FINE;
}

static int dump_log(hf_dump *dump) {
    int error = hf_log_open(dump->directory, dump->selection.from_epoch, &dump->log);
    error = error ? error : hf_select_begin(&dump->selection, dump->directory);
    if (error)
        return hf_tell_error(error, dump->directory);
    hf_progress_begin(&dump->progress);
    dump->progress.is_terminal &= !dump->follow && isatty(STDOUT_FILENO) != 1;
    int exit_code = print_records(dump);
    hf_progress_end(&dump->progress);
    hf_put_flush(dump->out);
    return hf_finish_output(exit_code);
}

int hf_command_dump(int argc, char **argv) {
    hf_dump dump = {0};
    int exit_code = read_command_line(&dump, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    dump.out = malloc(sizeof *dump.out);
    if (!dump.out)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    hf_put_begin(dump.out, stdout);
    if (dump.follow)
        hf_catch_signals();
    exit_code = dump_log(&dump);
    if (dump.log)
        hf_log_close(dump.log);
    hf_select_end(&dump.selection);
    free(dump.out);
    return exit_code;
}
