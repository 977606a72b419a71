/* The structured log: one line each, logfmt or JSON, written by a thread that may wait for the disk.
 *
 * Guarantees
 *   A  journal() never blocks on a file: lines go into a bounded queue that the main thread writes out. What does not
 *      fit is counted and told in the next line that does.
 *   B  A value is escaped: nothing a client sends can begin a line of its own. Passwords are never passed here.
 *
 *     time=2026-01-31T12:00:00.123Z level=info event=listening address=127.0.0.1:7400
 */
#ifndef SERVE_JOURNAL_H
#define SERVE_JOURNAL_H

#include "settings.h"

#include <stdbool.h>

typedef enum journal_level { JOURNAL_DEBUG, JOURNAL_INFO, JOURNAL_WARNING, JOURNAL_ERROR } journal_level;

/* Opens the file, if there is one. False: it cannot be opened, and errno says why. `wake` is called (from any thread)
 * when there is something to write. */
bool journal_open(const hf_settings *settings);
void journal_wake_with(void (*wake)(void *context), void *context);
void journal_close(void);

/* Pairs of a key and a value, both text, ended by NULL: journal(JOURNAL_INFO, "listening", "address", text, NULL). */
void journal(journal_level level, const char *event, ...) __attribute__((sentinel));
/* Writes out what is queued. One thread at a time. */
void journal_write(void);
/* Reopens the file (after a rotation). */
void journal_reopen(void);
uint64_t journal_lost(void);

/* A number as text, in one of a few buffers of the thread, for the call at hand. */
const char *journal_number(uint64_t number);

#endif
