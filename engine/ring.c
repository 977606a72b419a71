/* The log ring. The contract is in ring.h.
 *
 * Edges
 *   L1  records: `tail` stored by hf_ring_append -> loaded by hf_ring_take. Carries the bytes and the marks.
 *   L2  room: `head` stored by hf_ring_take -> loaded by hf_ring_room. The bytes were copied.
 *   L3  a mark: its `epoch` stored by hf_ring_append -> loaded by hf_ring_take, which may meet the mark of the epoch that is filling
 *       before it meets its records. Carries where that epoch begins.
 */
#include "ring.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "wal/error.h"

int hf_ring_open(hf_ring *ring, uint64_t size) {
    assert(size >= HF_RING_MIN && (size & (size - 1)) == 0);
    void *bytes = mmap(NULL, size + HF_RECORD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        return hf_fail(HF_ENOMEM, "no memory for a log ring of %llu bytes", (unsigned long long)size);
    }
    *ring = (hf_ring){.bytes = bytes, .size = size};
    return HF_SUCCESS;
}

void hf_ring_close(hf_ring *ring) {
    if (ring->bytes) {
        (void)munmap(ring->bytes, ring->size + HF_RECORD_MAX);
    }
    ring->bytes = NULL;
}

/* ---- the producer ------------------------------------------------------------------------------------------------ */

bool hf_ring_room(hf_ring *ring, uint64_t bytes) {
    if (__builtin_expect(ring->tail + bytes - ring->head_seen <= ring->size, 1)) {
        return true;
    }
    ring->head_seen = hf_load_acquire(&ring->head); /* edge L2 */
    return ring->tail + bytes - ring->head_seen <= ring->size;
}

/* The first record of an epoch: a chunk begins. */
static void begin_epoch(hf_ring *ring, uint64_t epoch) {
    hf_ring_mark *mark = &ring->marks[epoch % 4];
    hf_store_relaxed(&mark->from, ring->tail); /* relaxed, both: edge L3 carries them */
    hf_store_relaxed(&mark->names, 0u);
    hf_store_release(&mark->epoch, epoch); /* edge L3 */
    ring->context = (hf_record_context){0};
    ring->epoch = epoch;
}

void hf_ring_append(hf_ring *ring, uint64_t epoch, const hf_entry *entry) {
    assert(epoch >= ring->epoch);
    if (__builtin_expect(epoch != ring->epoch, 0)) {
        begin_epoch(ring, epoch);
    }
    uint64_t at = ring->tail & (ring->size - 1);
    uint8_t *from = ring->bytes + at;
    uint64_t length = (uint64_t)(hf_record_encode(from, entry, &ring->context) - from);
    assert(ring->tail + length - ring->head_seen <= ring->size && length <= HF_RECORD_MAX);
    if (__builtin_expect(at + length > ring->size, 0)) {
        memcpy(ring->bytes, ring->bytes + ring->size, at + length - ring->size);
    }
    if (entry->type == HF_RECORD_SKU || entry->type == HF_RECORD_SESSION) {
        hf_store_relaxed(&ring->marks[epoch % 4].names, 1u); /* relaxed: edge L1 carries it */
    }
    hf_store_release(&ring->tail, ring->tail + length); /* edge L1, to hf_ring_take */
}

/* ---- the consumer ------------------------------------------------------------------------------------------------ */

uint64_t hf_ring_used(const hf_ring *ring) {
    uint64_t head = hf_load_acquire(&ring->head); /* edge L2: the tail is not older than it */
    return hf_load_acquire(&ring->tail) - head;   /* edge L1 */
}

int hf_ring_take(hf_ring *ring, uint64_t epoch, uint32_t number, int (*put)(void *, const void *, size_t), void *context,
                 bool *any) {
    uint64_t head = hf_load_relaxed(&ring->head), end = hf_load_acquire(&ring->tail); /* relaxed: our own; edge L1 */
    const hf_ring_mark *next = &ring->marks[(epoch + 1) % 4], *own = &ring->marks[epoch % 4];
    if (hf_load_acquire(&next->epoch) == epoch + 1) { /* edge L3 */
        uint64_t from = hf_load_relaxed(&next->from); /* relaxed: edge L3 carried it */
        end = from < end ? from : end;
    }
    *any = end > head;
    if (!*any) {
        return 0;
    }
    assert(hf_load_relaxed(&own->epoch) == epoch && hf_load_relaxed(&own->from) == head); /* relaxed: edge L1 carried both */
    uint8_t header[HF_CHUNK_HEADER];
    hf_chunk_header(header, number, end - head, hf_load_relaxed(&own->names) != 0); /* relaxed: edge L1 */
    uint64_t at = head & (ring->size - 1), length = end - head;
    uint64_t whole = length < ring->size - at ? length : ring->size - at;
    int error = put(context, header, sizeof header);
    error = error ? error : put(context, ring->bytes + at, whole);
    if (!error && whole < length) {
        error = put(context, ring->bytes, length - whole);
    }
    hf_store_release(&ring->head, end); /* edge L2, to hf_ring_room */
    return error;
}
