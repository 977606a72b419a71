/* The batch: what one epoch (or one part of a long one) looks like on disk.
 *
 *   offset  size
 *        0     8  magic "HFBATCH\n"
 *        8     2  format version, 1
 *       10     2  header size, 160
 *       12     4  flags: bit 0 = last part of its epoch
 *       16    16  log UUID
 *       32     8  term: how often the log was opened for writing
 *       40     8  generation of the segment that holds it
 *       48     8  epoch
 *       56     8  epoch known durable when this was written; always below `epoch`
 *       64     4  part, from 0
 *       68     4  zero
 *       72     8  payload length in bytes, 0..HF_BATCH_MAX_PAYLOAD
 *       80     8  logical clock at the seal, ms
 *       88     8  sequence number: one more than the batch before, over the whole log, from 1
 *       96    16  link of the batch before it (all zero for sequence 1)
 *      112    16  XXH3-128 of the payload, canonical form
 *      128    16  zero, reserved
 *      144    16  XXH3-128 of bytes 0..143, canonical form: the header's digest, and this batch's link in the chain
 *      160        payload, then zeros up to a multiple of 4,096
 *
 * All little-endian. A batch begins at a multiple of 4,096: no sector of a durable batch is ever written again, so a torn
 * write cannot reach back into what was acknowledged.
 *
 * A header is valid if and only if: magic, version and size are right, its digest is right, the UUID and the generation are
 * those of the segment, the payload length is bounded and fits the segment, durable < epoch, epoch and sequence are bounded,
 * reserved bytes are zero.
 * A batch is valid if and only if its header is and the payload's digest is right and the padding is zero.
 * It is chained if and only if sequence = previous + 1 and link-before = the previous batch's link, and
 * (part = 0 and epoch > the previous epoch and the previous was a last part) or (part = previous part + 1 and the same epoch).
 */
#ifndef HF_BATCH_H
#define HF_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_BATCH_ALIGN 4096u
#define HF_BATCH_HEADER 160u
#define HF_BATCH_MAX_PAYLOAD (UINT64_C(64) << 20)
#define HF_BATCH_MAX_NUMBER (UINT64_C(1) << 62) /* of an epoch, and of a sequence: there is always one above it */
#define HF_BATCH_LAST 1u

typedef struct hf_digest {
    uint8_t bytes[16];
} hf_digest;

typedef struct hf_batch_header {
    uint32_t flags;
    uint8_t uuid[16];
    uint64_t term;
    uint64_t generation;
    uint64_t epoch;
    uint64_t durable;
    uint32_t part;
    uint64_t payload_length;
    uint64_t time_ms;
    uint64_t sequence;
    hf_digest before;
    hf_digest payload;
    hf_digest link;
} hf_batch_header;

hf_digest hf_digest_of(const void *data, size_t length);
bool hf_digest_equal(const hf_digest *a, const hf_digest *b);

/* Bytes on disk of a batch with that much payload: header, payload, padding. */
uint64_t hf_batch_size(uint64_t payload_length);

/* Writes the 160 bytes of `header` to `bytes` and sets header->link. */
void hf_batch_encode(hf_batch_header *header, uint8_t bytes[HF_BATCH_HEADER]);

/* Reads a header that nothing is believed of; NULL if it is valid by itself (magic, version, digest, bounds), else what is
 * wrong in a few words. UUID and generation are the caller's to compare. */
const char *hf_batch_decode(const uint8_t bytes[HF_BATCH_HEADER], hf_batch_header *header);
/* What hf_batch_decode answers, by this very pointer, for a header that is whole but of another format version. */
extern const char hf_batch_other_version[];

/* Little-endian numbers in bytes, for the formats of this layer. */
static inline void hf_put32(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline void hf_put64(uint8_t *at, uint64_t v) {
    for (int i = 0; i < 8; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint32_t hf_get32(const uint8_t *at) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        v |= (uint32_t)at[i] << (8 * i);
    }
    return v;
}
static inline uint64_t hf_get64(const uint8_t *at) { return hf_get32(at) | (uint64_t)hf_get32(at + 4) << 32; }

/* Whether `length` bytes are all zero. */
bool hf_is_zero(const uint8_t *data, size_t length);

#endif
