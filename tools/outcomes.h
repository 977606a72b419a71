/* The outcomes file of a run: `row,outcome`, a line for each operation, kept in step with the log.
 *
 * Guarantees
 *   A  The file on disk is at or ahead of the log: hf_outcomes_sync stands before every call that makes an epoch
 *      durable. So after a crash nothing has to be made up: what is too much is cut.
 *   B  A run that goes on checks the file against the flow, line by line, before anything is changed. A file that lacks
 *      what the log says is done, or that is not this flow's, is an error, and stays as it is.
 *   C  A file that is no outcomes file is never overwritten.
 */
#ifndef HF_OUTCOMES_H
#define HF_OUTCOMES_H

#include <holdfast/holdfast.h>

typedef struct hf_outcomes hf_outcomes;

/* Opens or makes `path`. All of these: an exit code; other than HF_EXIT_FINE it was told why. `must_exist`: rows were
 * done before, so their outcomes must be there. */
int hf_outcomes_open(const char *path, bool must_exist, hf_outcomes **outcomes);
/* The operation that begins with `row` was done in an earlier run: the next line must be its own. */
int hf_outcomes_check(hf_outcomes *outcomes, uint64_t row);
/* Everything done before has been checked: cuts off what follows. */
int hf_outcomes_go_on(hf_outcomes *outcomes);
int hf_outcomes_add(hf_outcomes *outcomes, uint64_t row, hf_outcome outcome);
/* Everything added is on disk. */
int hf_outcomes_sync(hf_outcomes *outcomes);
/* Writes nothing more; NULL is allowed. */
void hf_outcomes_close(hf_outcomes *outcomes);

#endif
