/* Reading a log from end to end, with a progress bar. */
#ifndef HF_READ_H
#define HF_READ_H

#include <holdfast/holdfast.h>

typedef bool (*hf_visit_record)(void *context, const hf_record *record);

/* Calls `visit` for each durable record of the epochs from..to (0: from the oldest kept; UINT64_MAX: to the end that
 * there is when it comes there), until it returns false. HF_SUCCESS, or an error of hf_log_open and hf_log_next. `end`
 * (may be NULL): the epoch up to which everything was handed out. */
int hf_each_record(const char *directory, uint64_t from, uint64_t to, hf_visit_record visit, void *context,
                   uint64_t *end);
/* Tells it, and returns the exit code. */
int hf_tell_reading(int error, const char *directory);

/* Whether the log is kept from its very first record. HF_SUCCESS, or why it cannot be read at all. */
int hf_is_log_whole(const char *directory, bool *is_whole);

#endif
