/* Reading a log from end to end: read.h. */
#include "read.h"

#include "progress.h"
#include "tool.h"

enum { SHOW_EVERY = 4096 };

int hf_each_record(const char *directory, uint64_t from, uint64_t to, hf_visit_record visit, void *context,
                   uint64_t *end) {
    hf_log *log;
    int result = hf_log_open(directory, from, &log);
    if (result)
        return result;
    hf_record record;
    hf_progress progress;
    uint64_t count = 0, first = 0;
    hf_progress_begin(&progress);
    while ((result = hf_log_next(log, &record)) == 1 && record.epoch <= to && visit(context, &record)) {
        if (count == 0)
            first = record.epoch;
        if (++count % SHOW_EVERY == 0)
            hf_progress_show(&progress, record.epoch - first, to == UINT64_MAX ? 0 : to - first, count, "records");
    }
    hf_progress_end(&progress);
    if (end) /* epochs in which nothing was done are not in the log: what comes behind them says that they were */
        *end = result == 1 && record.epoch > to ? to : hf_log_epoch(log);
    hf_log_close(log);
    return result < 0 ? result : HF_SUCCESS;
}

int hf_tell_reading(int error, const char *directory) {
    if (error == HF_ENOTFOUND)
        return hf_tell(HF_EXIT_SYSTEM, "%s: its writer has just let go of log that was still to be read: try again",
                       directory);
    return hf_tell_error(error, directory);
}

int hf_is_log_whole(const char *directory, bool *is_whole) {
    hf_log *log;
    int error = hf_log_open(directory, 1, &log);
    *is_whole = error == HF_SUCCESS;
    if (error == HF_ENOTFOUND)
        error = hf_log_open(directory, 0, &log);
    if (error == HF_SUCCESS)
        hf_log_close(log);
    return error;
}
