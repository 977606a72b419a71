/* The log ring of a session: encoded records on their way to the log writer. One producer, one consumer.
 *
 * Guarantees
 *   A  Records are tagged with an epoch, and tags never fall: all records of an epoch are one stretch.
 *   B  After the grace period that seals epoch e, hf_ring_take(e) finds every record tagged e, whole, and none tagged e + 1.
 *   C  The producer makes sure of room before its read-side section (hf_ring_room), and never waits.
 *
 *        head                        mark of e+1           tail
 *     ---|== records tagged e =======|== tagged e+1 ========|--- free --------
 *
 * The epoch turns only once the one before was taken, so at most two are in a ring, and a mark for each of four is plenty.
 * A record is written in one piece: behind the ring's end there is room for the longest, whose overhang is then copied to
 * the ring's beginning.
 */
#ifndef HF_RING_H
#define HF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "wal/atomic.h"

/* Room that is made sure of for an operation of few lines, one of due reservations met on the way included. */
#define HF_RING_FEW_LINES 8u
#define HF_RECORD_FEW (4u * HF_RING_FEW_LINES * HF_RECORD_LINE_MAX + 8u * HF_RECORD_HEAD_MAX)
/* The most that one operation writes: every line taken and given back, in as many parts as there can be. */
#define HF_RECORD_MAX (2u * HF_MAX_LINES * HF_RECORD_LINE_MAX + HF_RECORD_FEW)
static inline uint64_t hf_record_need(uint32_t lines) {
    return HF_RECORD_FEW + (lines > HF_RING_FEW_LINES ? 2 * (uint64_t)lines * HF_RECORD_LINE_MAX : 0);
}
#define HF_RING_MIN (512u << 10)
#define HF_RING_MAX (256u << 20)
_Static_assert(HF_RING_MIN > HF_RECORD_MAX, "the longest operation fits the smallest ring");

typedef struct hf_ring_mark {
    uint64_t epoch;
    uint64_t from;
    uint32_t names; /* the epoch's records name SKUs or sessions */
} hf_ring_mark;

typedef struct hf_ring {
    uint8_t *bytes; /* size, and HF_RECORD_MAX behind it */
    uint64_t size;  /* a power of two */
    /* The producer's. Positions only grow; a byte of position p lies at p % size. */
    uint64_t tail __attribute__((aligned(HF_CACHE_LINE)));
    uint64_t head_seen;
    uint64_t epoch; /* of the last record */
    hf_record_context context;
    hf_ring_mark marks[4]; /* of epoch e: marks[e % 4] */
    /* The consumer's. */
    uint64_t head __attribute__((aligned(HF_CACHE_LINE)));
} hf_ring;

/* HF_ENOMEM */
int hf_ring_open(hf_ring *ring, uint64_t size);
void hf_ring_close(hf_ring *ring);

/* Whether `bytes` may be appended. The producer's. */
bool hf_ring_room(hf_ring *ring, uint64_t bytes);
/* Appends a record tagged `epoch`. Inside the section in which `epoch` was read. */
void hf_ring_append(hf_ring *ring, uint64_t epoch, const hf_entry *entry);

/* Bytes not yet taken. Any thread. */
uint64_t hf_ring_used(const hf_ring *ring);

/* Gives the records tagged `epoch` to `put`, as a chunk of session `number`, and frees their room. The consumer's, after the
 * seal's grace period. 0, or what `put` answered. */
int hf_ring_take(hf_ring *ring, uint64_t epoch, uint32_t number, int (*put)(void *context, const void *data, size_t length),
                 void *context, bool *any);

#endif
