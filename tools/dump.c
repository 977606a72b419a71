/* holdfast dump: the records of a log, as text or JSON, a line each; those that were asked for; as they come, if told.
 *
 * Guarantees
 *   A  Every durable record that was asked for, once, in the order of the log: epoch by epoch, within one epoch session
 *      by session.
 *   B  Memory is that of the largest epoch (and of select.h).
 */
#include "progress.h"
#include "read.h"
#include "record.h"
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

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int read_command_line(hf_dump *dump, int argc, char **argv) {
    hf_select_init(&dump->selection);
    const hf_option options[] = {
        {"dir", .text = &dump->directory, .is_required = true},
        {"json", .flag = &dump->json},
        {"follow", .flag = &dump->follow},
        HF_SELECT_OPTIONS(&dump->selection),
        {"user", .read = hf_select_user, .into = &dump->selection},
        {0},
    };
    return hf_read_options(argc, argv, help, options, false);
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
            return hf_tell_reading(selected, dump->directory);
        if (result == 0)
            break;
        dump->records++;
        if (selected)
            (dump->json ? hf_put_record_json : hf_put_record_text)(dump->out, &record);
        if (dump->records % 4096 == 0)
            hf_progress_show(&dump->progress, 0, 0, dump->records, "records");
    }
    return HF_EXIT_FINE;
}

static int open_log(hf_dump *dump) {
    int error = hf_log_open(dump->directory, dump->selection.from_epoch, &dump->log);
    return error ? error : hf_select_begin(&dump->selection, dump->directory);
}

static int dump_log(hf_dump *dump) {
    int error = open_log(dump);
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
