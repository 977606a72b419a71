/* What the tests of the log share: seeded epochs, a log opened over a simulated disk, and what a replay gave.
 *
 * An epoch's payload is a function of its number and length, so that a replayed one is checked against nothing but
 * itself. With KIT_PLAIN, for a program without Criterion: a failed check ends it with status 1.
 */
#ifndef LOG_KIT_H
#define LOG_KIT_H

#include "simulated_files.h"
#include "wal/log.h"

#if !defined(KIT_PLAIN)
#include <criterion/criterion.h>
#endif
#include <stdio.h>

/* CHECK(condition, "what was found", ...). Criterion reports each passed assertion to its parent: too slow for loops.
 */
#define CHECK(condition, ...) ((condition) ? (void)0 : kit_fail(__LINE__, #condition, __VA_ARGS__))
void kit_fail(int line, const char *condition, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));

#define KIT_DIRECTORY "/log"
#define KIT_SEGMENT (UINT64_C(128) << 10)
/* Of new segments; KIT_SEGMENT but where a test sets it. */
extern uint64_t kit_segment_bytes;

/* HF_SEED, else `otherwise`; printed, so that a failure can be run again. */
uint64_t kit_seed(uint64_t otherwise);
/* HF_ROUNDS, else `otherwise`; a tenth of that where sanitizers make everything slow. At least 1. */
uint64_t kit_rounds(uint64_t otherwise);
/* SplitMix64. */
uint64_t kit_next(uint64_t *state);
uint64_t kit_below(uint64_t *state, uint64_t limit);

void kit_fill(uint8_t *bytes, uint64_t epoch, size_t length);
uint64_t kit_time(uint64_t epoch);

#define KIT_EPOCHS 512
typedef struct kit_list {
    size_t count;
    uint64_t epochs[KIT_EPOCHS];
    size_t lengths[KIT_EPOCHS];
    bool bad; /* an epoch's bytes or time are not what was written */
} kit_list;
/* An hf_wal_replay with a kit_list. */
int kit_collect(void *list, const hf_wal_epoch *epoch);
/* Whether `list` is the first list->count of `all`, whole. */
bool kit_is_prefix(const kit_list *list, const kit_list *all);
/* Whether `list` is the first list->count of those of `all` from number `from` on, whole. */
bool kit_continues(const kit_list *list, const kit_list *all, size_t from);

/* Locks and opens. *wal is NULL after an error. `list` may be NULL. */
int kit_open(hf_simulated *disk, const hf_wal_position *position, hf_wal **wal, kit_list *list, hf_wal_found *found);
int kit_open_read_only(hf_simulated *disk, const hf_wal_position *position, kit_list *list, hf_wal_found *found);
/* Begins, puts in pieces, commits. */
int kit_append(hf_wal *wal, uint64_t epoch, size_t length);

/* "/log/segment-..."; lives for three more calls. */
const char *kit_segment(uint64_t generation);
/* How many files begin so. */
unsigned kit_files(hf_simulated *disk, const char *prefix);

#endif
