/* The timing wheel: hints of when to look at a slot again. Hierarchical, O(1) to add and to take out.
 *
 * Guarantees
 *   A  An entry added for time t is handed out by the first hf_wheel_take whose `now` >= t, never before t.
 *   B  hf_wheel_add and one entry of hf_wheel_take are O(1) amortised: an entry moves down at most once per level; a
 *      far one is looked at once more for each 2^40 ms that begin before its own.
 *   C  Time may jump by any distance: empty stretches are skipped by bitmap, not walked.
 *   D  An entry whose sequence number is no longer its slot's is dead: it is dropped when met; when more than half of
 *      the entries (and at least HF_WHEEL_COMPACT_MIN) are known dead, hf_wheel_compact drops them all. A caller that
 *      compacts whenever hf_wheel_wants_compaction says so keeps the memory within twice the live entries plus
 *      HF_WHEEL_SLACK_BYTES.
 *   E  Only hf_wheel_new and hf_wheel_add allocate; an add that fails has changed nothing. Taking and compacting cannot
 *      fail.
 *
 * Not thread-safe: whoever owns the shard (shard.h) is the only one inside. Memory comes from malloc in slabs of
 * chunks, is kept for reuse while the entries may need it, and goes back slab by slab.
 *
 *     level      0              1          2         3         4         far
 *     buckets    256            256        256       256       256       1
 *     of         1 ms           256 ms     65.5 s    4.7 h     49.7 d    whatever differs above bit 40
 *
 * Five levels reach 2^40 ms = 34.8 years. The far ones are sorted in when the first of them comes within reach.
 */
#ifndef HF_WHEEL_H
#define HF_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_WHEEL_COMPACT_MIN 4096u
#define HF_WHEEL_SLACK_BYTES (UINT64_C(1) << 20) /* a chunk begun in each bucket, and what slabs round up to */

typedef struct hf_wheel_entry {
    uint64_t time_ms;
    uint32_t slot;
    uint32_t sequence; /* of the slot's hints; an older one is dead */
} hf_wheel_entry;
_Static_assert(sizeof(hf_wheel_entry) == 16, "four entries a cache line");

typedef struct hf_wheel hf_wheel;

/* NULL: out of memory. Times before `now_ms` are due at once. */
hf_wheel *hf_wheel_new(uint64_t now_ms);
void hf_wheel_free(hf_wheel *wheel);

/* false: out of memory, nothing added. */
bool hf_wheel_add(hf_wheel *wheel, hf_wheel_entry entry);

/* Takes out up to `room` entries that are due at `now_ms` (a `now_ms` in the past counts as the newest seen); returns
 * how many. Fewer than `room`: nothing else is due. Order among the due ones is not promised. */
size_t hf_wheel_take(hf_wheel *wheel, uint64_t now_ms, hf_wheel_entry *due, size_t room);

/* A time before which nothing is due: exact to the granularity of the level the next entry is on, never late. 0:
 * something is due already (added late, or left by a take that was out of room). UINT64_MAX: empty. */
uint64_t hf_wheel_next(const hf_wheel *wheel);

/* One entry inside has become dead. */
void hf_wheel_count_dead(hf_wheel *wheel);
/* An entry that was taken out turned out to be one of those counted dead (or to be counted soon: the order is free). */
void hf_wheel_met_dead(hf_wheel *wheel);
bool hf_wheel_wants_compaction(const hf_wheel *wheel);
/* Drops every entry for which `dead` says so. `lines`: where `dead` reads the cache line number entry.slot, which is fetched
 * ahead of time; NULL: nowhere. */
void hf_wheel_compact(hf_wheel *wheel, bool (*dead)(void *context, hf_wheel_entry entry), void *context,
                      const void *lines);

typedef struct hf_wheel_gauges {
    uint64_t entries, dead, compactions, bytes;
    uint64_t moves;  /* entries sorted into a lower level, since the start */
    uint64_t opened; /* buckets whose time came, since the start */
} hf_wheel_gauges;
void hf_wheel_gauges_read(const hf_wheel *wheel, hf_wheel_gauges *gauges);

/* Checks every invariant; false with `why` set. For tests. */
bool hf_wheel_is_valid(const hf_wheel *wheel, const char **why);
/* aligned_alloc and free, unless a test puts ones that count and fail in their place. */
extern void *(*hf_wheel_allocate)(size_t alignment, size_t bytes);
extern void (*hf_wheel_release)(void *memory);

#endif
