/* holdfast repair: a directory that no longer opens is cut back to before its damage, if told; else it is said what
 * that would lose. The work is hf_repair's. */
#include "options.h"
#include "text.h"
#include "tool.h"

#include <inttypes.h>
#include <string.h>

static const char help[] =
    "usage: holdfast repair --dir D [--cut] [--json]\n"
    "\n"
    "For a directory that is refused because a file of its log is damaged. Says what is damaged, what would stay and\n"
    "what would be lost if the log was cut back to the last whole epoch before the damage. Changes nothing, unless\n"
    "told by --cut. A copy of the damaged file from before is better than any cut.\n"
    "\n"
    "  --cut   cut it. What is lost was durable once: orders that were acknowledged. It is kept in D, as cut-... and\n"
    "          aside-..., and is not read again. D is then opened for writing, to see that it opens\n"
    "  --json  an object\n"
    "\n"
    "exit status: 0 it opens, or it was cut and opens; 1 it is damaged, and was not cut, or cannot be; 2 wrong usage;\n"
    "3 system trouble, or D is in use\n";

typedef struct hf_mending {
    const char *directory;
    bool cut, json;
    hf_repair_report report;
} hf_mending;

static int read_command_line(hf_mending *mending, int argc, char **argv) {
    const hf_option options[] = {
        {"dir", .text = &mending->directory, .is_required = true},
        {"cut", .flag = &mending->cut},
        {"json", .flag = &mending->json},
        {0},
    };
    return hf_read_options(argc, argv, help, options, false);
}

static const char *when(uint64_t time_ms, char text[HF_TIME_TEXT]) {
    return time_ms ? hf_format_time(time_ms, text) : "no time known";
}

static void print_words(const hf_mending *mending) {
    const hf_repair_report *report = &mending->report;
    char text[HF_TIME_TEXT];
    if (!report->damaged) {
        printf("nothing to repair: it opens\n");
        return;
    }
    printf("damage: %s\n", report->damage);
    if (report->kept_epoch)
        printf("stays: every epoch up to %" PRIu64 " (%s)\n", report->kept_epoch, when(report->kept_time_ms, text));
    else
        printf("stays: nothing\n");
    if (report->start_epoch)
        printf("replay starts at the checkpoint of epoch %" PRIu64 "\n", report->start_epoch);
    else
        printf("replay starts at the log's beginning\n");
    if (report->lost_epoch > report->kept_epoch)
        printf("lost: epochs %" PRIu64 " to %" PRIu64 " (%s); %" PRIu64 " of them stand whole behind the damage\n",
               report->kept_epoch + 1, report->lost_epoch, when(report->lost_time_ms, text), report->readable_epochs);
    printf("kept aside: %" PRIu64 " bytes of segments in cut-..., %" PRIu64 " checkpoints in aside-...\n",
           report->cut_bytes, report->checkpoints);
    if (!report->cut)
        printf("nothing was changed: holdfast repair --dir %s --cut would do it\n", mending->directory);
}

static void print_json(const hf_mending *mending) {
    const hf_repair_report *report = &mending->report;
    printf("{\"damaged\": %s,\n \"cut\": %s,\n \"damage\": ", report->damaged ? "true" : "false",
           report->cut ? "true" : "false");
    hf_write_json_string(stdout, report->damage, strlen(report->damage));
    printf(",\n \"kept_epoch\": %" PRIu64 ",\n \"kept_time_ms\": %" PRIu64 ",\n \"lost_epoch\": %" PRIu64
           ",\n \"lost_time_ms\": %" PRIu64 ",\n \"readable_epochs\": %" PRIu64 ",\n \"cut_bytes\": %" PRIu64
           ",\n \"checkpoints\": %" PRIu64 ",\n \"start_epoch\": %" PRIu64 "}\n",
           report->kept_epoch, report->kept_time_ms, report->lost_epoch, report->lost_time_ms, report->readable_epochs,
           report->cut_bytes, report->checkpoints, report->start_epoch);
}

/* The proof of a cut; the open for writing also marks that the log goes on above all that was lost. And without a cut:
 * damage that lies in what records mean, behind right digests, is seen by an open alone, and is not for a cut to mend.
 */
static int prove(const hf_mending *mending) {
    hf_opened opened;
    bool was_cut = mending->report.cut;
    int exit_code = hf_open_directory(&opened, mending->directory, was_cut ? 0 : HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    hf_stats stats;
    hf_stats_read(opened.engine, &stats);
    if (was_cut && !mending->json)
        printf("it opens: %" PRIu64 " SKUs, %" PRIu64 " live reservations, %" PRIu64
               " operations given back or completed\n",
               stats.skus, stats.live, stats.undone);
    return hf_close_directory(&opened, HF_EXIT_FINE);
}

int hf_command_repair(int argc, char **argv) {
    hf_mending mending = {0};
    int exit_code = read_command_line(&mending, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    int error = hf_repair(mending.directory, mending.cut ? HF_REPAIR_CUT : 0, &mending.report);
    if (error)
        return hf_tell_error(error, mending.directory);
    if (!mending.report.damaged)
        exit_code = prove(&mending);
    if (exit_code)
        return exit_code;
    (mending.json ? print_json : print_words)(&mending);
    if (mending.report.cut)
        exit_code = prove(&mending);
    else
        exit_code = mending.report.damaged ? HF_EXIT_DATA : HF_EXIT_FINE;
    return hf_finish_output(exit_code);
}
