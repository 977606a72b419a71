/* Ids: of text, as text, and their hash.
 *
 * A text of up to 15 bytes is packed: its bytes, zeros, and 0xE0 + length as the last byte. A longer one is its XXH3-128 with 0xF in
 * the upper half of the last byte. Lengths 0..15 give 0xE0..0xEF, so the two never meet. */
#include <stdio.h>
#include <string.h>

#include "engine.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PACKED = 0xE0, HASHED = 0xF0, TEXT_MAX = 15 };

hf_id hf_id_from_text(const void *text, size_t length) {
    hf_id id = {{0}};
    if (length <= TEXT_MAX) {
        if (length > 0) {
            memcpy(id.bytes, text, length);
        }
        id.bytes[TEXT_MAX] = (uint8_t)(PACKED + length);
        return id;
    }
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(text, length));
    memcpy(id.bytes, digest.digest, sizeof id.bytes);
    id.bytes[TEXT_MAX] |= HASHED;
    return id;
}

/* A packed text has zeros behind its end, and no zero byte within where it shall be printed as it is. */
static bool is_packed(const hf_id *id, size_t *length) {
    if (id->bytes[TEXT_MAX] < PACKED || id->bytes[TEXT_MAX] >= HASHED) {
        return false;
    }
    *length = id->bytes[TEXT_MAX] - PACKED;
    for (size_t i = 0; i < TEXT_MAX; i++) {
        if ((id->bytes[i] == 0) != (i >= *length)) {
            return false;
        }
    }
    return true;
}

size_t hf_id_to_text(hf_id id, char text[33]) {
    size_t length;
    if (is_packed(&id, &length)) {
        memcpy(text, id.bytes, length);
        text[length] = 0;
        return length;
    }
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        snprintf(text + 2 * i, 3, "%02x", id.bytes[i]);
    }
    return 32;
}

uint64_t hf_id_hash(const hf_engine *engine, hf_id id) {
    return XXH3_64bits_withSeed(id.bytes, sizeof id.bytes, engine->seed);
}
