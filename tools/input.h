/* Bytes of a file, plain or compressed, in a stream.
 *
 * Guarantees
 *   A  Memory is bounded, whatever the file holds: one buffer, and what zstd or xz needs for a window (at most 256
 *      MiB).
 *   B  The form is told by the first bytes, or else by the name's ending (.zst, .xz); all else is plain.
 *   C  The end of a compressed stream that is cut short is an error, never an end.
 */
#ifndef HF_INPUT_H
#define HF_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct hf_input hf_input;

enum {
    HF_INPUT_INTERRUPTED = -1, /* a caught signal came while waiting for bytes */
    HF_INPUT_FAILED = -2,      /* hf_input_problem has a sentence, hf_input_exit_code the exit code */
};

/* `path` "-" is standard input. NULL: out of memory. A file that cannot be opened fails at the first read. */
hf_input *hf_input_open(const char *path);
/* Up to `room` bytes to `bytes`: how many; 0 at the end; or one of the above. */
ssize_t hf_input_read(hf_input *input, char *bytes, size_t room);
const char *hf_input_problem(const hf_input *input);
int hf_input_exit_code(const hf_input *input);
/* How much of the file was read, and its size; 0 where it has none (a pipe). */
uint64_t hf_input_consumed(const hf_input *input);
uint64_t hf_input_size(const hf_input *input);
void hf_input_close(hf_input *input);

#endif
