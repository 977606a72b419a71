/* A progress bar on a terminal, for what takes longer than a second. Where stderr is no terminal there is none. */
#ifndef HF_PROGRESS_H
#define HF_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hf_progress {
    bool is_terminal, drawn;
    uint64_t started_ns, drawn_ns;
} hf_progress;

void hf_progress_begin(hf_progress *progress);
/* `done` of `whole` (0: not known how much there is), and what to count in words: "1234567 rows". Cheap to call often.
 * */
void hf_progress_show(hf_progress *progress, uint64_t done, uint64_t whole, uint64_t count, const char *unit);
/* Takes the bar away. */
void hf_progress_end(hf_progress *progress);

uint64_t hf_monotonic_ns(void);

#endif
