/* Ids as keys of tables. */
#ifndef HF_IDS_H
#define HF_IDS_H

#include <holdfast/holdfast.h>

#include <string.h>

/* A multiplication folded onto itself: ids of packed text differ in few bits. */
static inline uint64_t hf_id_hash(const hf_id *id) {
    uint64_t low, high;
    memcpy(&low, id->bytes, 8);
    memcpy(&high, id->bytes + 8, 8);
    __uint128_t product = (__uint128_t)(low ^ UINT64_C(0x9e3779b97f4a7c15)) * (high ^ UINT64_C(0xbf58476d1ce4e5b9));
    uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
    return folded ^ folded >> 32;
}

static inline bool hf_id_equal(const hf_id *a, const hf_id *b) { return memcmp(a, b, sizeof *a) == 0; }

#endif
