/* Encoding and decoding of the batch header: batch.h has the layout and the validity rule. */
#include "batch.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

static const char magic[8] = "HFBATCH\n";
enum { VERSION = 1 };

const char hf_batch_other_version[] = "it is of another format version";

hf_digest hf_digest_of(const void *data, size_t length) {
    hf_digest digest;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
    memcpy(digest.bytes, canonical.digest, sizeof digest.bytes);
    return digest;
}

bool hf_digest_equal(const hf_digest *a, const hf_digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool hf_is_zero(const uint8_t *data, size_t length) {
    /* Equal to itself shifted by one, from a zero: one memcmp instead of a loop over bytes. */
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

uint64_t hf_batch_size(uint64_t payload_length) {
    return (HF_BATCH_HEADER + payload_length + HF_BATCH_ALIGN - 1) / HF_BATCH_ALIGN * HF_BATCH_ALIGN;
}

void hf_batch_encode(hf_batch_header *header, uint8_t bytes[HF_BATCH_HEADER]) {
    assert(header->durable < header->epoch && header->payload_length <= HF_BATCH_MAX_PAYLOAD);
    assert((header->flags & ~HF_BATCH_LAST) == 0 && header->sequence > 0);
    assert(header->epoch <= HF_BATCH_MAX_NUMBER && header->sequence <= HF_BATCH_MAX_NUMBER);
    memset(bytes, 0, HF_BATCH_HEADER);
    memcpy(bytes, magic, 8);
    hf_put32(bytes + 8, VERSION | HF_BATCH_HEADER << 16);
    hf_put32(bytes + 12, header->flags);
    memcpy(bytes + 16, header->uuid, 16);
    hf_put64(bytes + 32, header->term);
    hf_put64(bytes + 40, header->generation);
    hf_put64(bytes + 48, header->epoch);
    hf_put64(bytes + 56, header->durable);
    hf_put32(bytes + 64, header->part);
    hf_put64(bytes + 72, header->payload_length);
    hf_put64(bytes + 80, header->time_ms);
    hf_put64(bytes + 88, header->sequence);
    memcpy(bytes + 96, header->before.bytes, 16);
    memcpy(bytes + 112, header->payload.bytes, 16);
    header->link = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, header->link.bytes, 16);
}

/* The bounds of the validity rule; what is said in batch.h about UUID, generation and room is the caller's. */
static const char *check_bounds(const uint8_t *bytes, const hf_batch_header *header) {
    if (hf_get32(bytes + 8) >> 16 != HF_BATCH_HEADER) {
        return "its header size is wrong";
    }
    if ((header->flags & ~HF_BATCH_LAST) != 0 || !hf_is_zero(bytes + 68, 4) || !hf_is_zero(bytes + 128, 16)) {
        return "reserved bytes or flags of its header are set";
    }
    if (header->payload_length > HF_BATCH_MAX_PAYLOAD) {
        return "its payload is longer than a batch may be";
    }
    if (header->durable >= header->epoch) {
        return "it calls itself durable before it was written";
    }
    if (header->epoch > HF_BATCH_MAX_NUMBER) {
        return "its epoch is higher than any may be";
    }
    if (header->sequence == 0 || header->sequence > HF_BATCH_MAX_NUMBER) {
        return "its sequence number is out of bounds";
    }
    return NULL;
}

const char *hf_batch_decode(const uint8_t bytes[HF_BATCH_HEADER], hf_batch_header *header) {
    if (memcmp(bytes, magic, 8) != 0) {
        return "it does not begin like a batch";
    }
    /* The digest before the version: a flipped bit must not pass for a newer format. */
    header->link = hf_digest_of(bytes, 144);
    if (memcmp(header->link.bytes, bytes + 144, 16) != 0) {
        return "its header's digest is wrong";
    }
    if ((hf_get32(bytes + 8) & 0xffff) != VERSION) {
        return hf_batch_other_version;
    }
    header->flags = hf_get32(bytes + 12);
    memcpy(header->uuid, bytes + 16, 16);
    header->term = hf_get64(bytes + 32);
    header->generation = hf_get64(bytes + 40);
    header->epoch = hf_get64(bytes + 48);
    header->durable = hf_get64(bytes + 56);
    header->part = hf_get32(bytes + 64);
    header->payload_length = hf_get64(bytes + 72);
    header->time_ms = hf_get64(bytes + 80);
    header->sequence = hf_get64(bytes + 88);
    memcpy(header->before.bytes, bytes + 96, 16);
    memcpy(header->payload.bytes, bytes + 112, 16);
    return check_bounds(bytes, header);
}
