/* What the test programs share: seeds, directories, an injected clock, and a failure that says how to run it again.
 *
 * Guarantees
 *   A  Every random choice comes from one seed: HF_SEED in the environment, else the time. A failure prints it.
 *   B  Directories are fresh ones under $TMPDIR (else /tmp). After a failure they are left for examination.
 *   C  harness_clock_* may be used from any thread.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <holdfast/holdfast.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HARNESS_PATH 512

/* The seed of this run; 0 is never one. Also makes standard output line-buffered. */
uint64_t harness_begin(const char *program);
/* What a failure prints as the seed to run again; programs of many rounds set it for each. */
void harness_seed_is(uint64_t seed);
/* HF_ROUNDS, else `otherwise`. */
uint64_t harness_rounds(uint64_t otherwise);
double harness_seconds(void);
/* `seconds`, times HF_TIME if that is set: sanitized builds are given a part of the time. */
double harness_time(double seconds);

/* Prints where, what, the calling thread's last error and the seed; ends the process with status 1. Any thread. */
void harness_fail(const char *file, int line, const char *what, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));
/* CHECK(condition, "what was found", ...) */
#define CHECK(condition, ...) ((condition) ? (void)0 : harness_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))
/* A call that must answer HF_SUCCESS. */
#define MUST(call) harness_must((call), __FILE__, __LINE__, #call)
/* The same, made again for as long as it answers HF_EAGAIN: somebody else is at work on what it needs. */
#define MUST_AT_LAST(call)                                                                                             \
    do {                                                                                                               \
        int must_error;                                                                                                \
        while ((must_error = (call)) == HF_EAGAIN) {                                                                   \
        }                                                                                                              \
        harness_must(must_error, __FILE__, __LINE__, #call);                                                           \
    } while (0)
/* An operation that must answer HF_SUCCESS, asked again for as long as its outcome is in_progress. */
#define ASK(reply, call)                                                                                               \
    do {                                                                                                               \
        harness_must((call), __FILE__, __LINE__, #call);                                                               \
    } while ((reply).outcome == HF_OUTCOME_IN_PROGRESS)
void harness_must(int error, const char *file, int line, const char *what);

/* SplitMix64. */
uint64_t harness_next(uint64_t *state);
uint64_t harness_below(uint64_t *state, uint64_t limit);
/* True `percent` times of a hundred. */
bool harness_chance(uint64_t *state, unsigned percent);

/* An id that holds the two numbers and is no packed text. */
hf_id harness_id(uint64_t a, uint64_t b);

void harness_directory(char path[HARNESS_PATH]);
void harness_remove(const char *path);
/* Copies the files of `from` into a fresh directory, whose path goes to `to`. `from` may be written meanwhile: whatever
 * was there when the call began is in the copy, and nothing is in it without what was written before it. Checkpoints
 * must not be taken meanwhile. */
void harness_copy(const char *from, char to[HARNESS_PATH]);
/* One line a file: name, size, modification time, digest of the contents; sorted. The caller frees it. */
char *harness_listing(const char *path);
/* How many files begin with `prefix`. */
size_t harness_count(const char *path, const char *prefix);

typedef struct harness_clock {
    uint64_t now_ms;
} harness_clock;
#define HARNESS_EPOCH_MS UINT64_C(1700000000000)
void harness_clock_set(harness_clock *clock, uint64_t now_ms);
uint64_t harness_clock_read(void *clock); /* an hf_options.clock */

/* Options that tests begin with: `flags`, segments of 1 MiB, no checkpoints by themselves, and the clock if there is
 * one. */
void harness_options(hf_options *options, uint32_t flags, harness_clock *clock);

/* Runs `run` on `count` threads, the i-th with contexts + i * size, all let go at once; returns when all have ended. */
void harness_threads(unsigned count, void (*run)(void *context), void *contexts, size_t size);

/* Every SKU and every live reservation as text, sorted; the caller frees it. */
char *harness_state(hf_session *session);

#endif
