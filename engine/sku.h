/* The SKU table: name -> the SKU's cache line.
 *
 * Guarantees
 *   A  A SKU is one cache line, which never moves and never goes: callers may keep the pointer.
 *   B  Finding takes no lock and waits for nobody. Making one locks its shard.
 *   C  A name is made once: whoever finds a SKU sees its name, its number and its counter.
 *
 * Open addressing with linear probing over whole lines: a look-up that hits costs one cache line, the one it wants. A shard that
 * is full is continued by a further level of twice the size; the levels are probed from the first on, which holds all SKUs where
 * the expected number was given.
 *
 *     hash  -> shard -> level 0: | line | line |      | line | ...      a line: { counter word | hash | number | name }
 *                       level 1: |      | line | ...                    number 0: nobody, and the end of a probe
 */
#ifndef HF_SKU_H
#define HF_SKU_H

#include <holdfast/holdfast.h>

#include <pthread.h>

#include "counter.h"
#include "pool.h"

#define HF_MAX_SKUS (UINT64_C(1) << 28) /* lines of the table, and the highest number of a SKU; HF_ESKUS */
#define HF_SKU_INLINE 27u               /* a longer name lies elsewhere */

struct hf_sku {
    hf_word128 word; /* counter.h */
    uint64_t counted; /* version of the last stock count that a further step was made on (stock.h) */
    uint64_t hash;
    uint32_t number; /* in this log, from 1; 0: no SKU here */
    uint8_t name_length;
    char name[HF_SKU_INLINE]; /* or, 8-byte aligned within, a pointer to it */
};
_Static_assert(sizeof(hf_sku) == HF_CACHE_LINE && sizeof(hf_sku) == HF_POOL_CELL, "one SKU, one cache line");
_Static_assert(offsetof(hf_sku, word) == 0 && offsetof(hf_sku, counted) == 16 && offsetof(hf_sku, name) == 37, "the word leads, the name fills the line");

enum { HF_SKU_LEVELS = 28 };

typedef struct hf_sku_level {
    uint32_t first; /* line */
    uint32_t lines; /* 0: no such level yet */
} hf_sku_level;

typedef struct hf_sku_shard {
    hf_sku_level levels[HF_SKU_LEVELS];
    pthread_mutex_t mutex; /* for making SKUs, and what follows */
    uint64_t used;         /* lines of the last level */
    char *names;           /* where the next long name goes */
    size_t names_left;
    struct hf_name_block *blocks;
} hf_sku_shard;

typedef struct hf_skus {
    hf_pool lines;
    hf_sku_shard *shards;
    uint32_t shard_bits;
    uint64_t seed;
    uint32_t next_number; /* of the next SKU; written under no shard's lock */
    uint64_t count;       /* gauge */
    uint64_t slots;       /* gauge: lines, used or not */
    uint64_t name_bytes;  /* gauge: of long names */
} hf_skus;

/* HF_ENOMEM */
int hf_skus_open(hf_skus *skus, uint32_t shards, uint64_t expected, uint64_t seed);
void hf_skus_close(hf_skus *skus);

uint64_t hf_skus_hash(const hf_skus *skus, const void *name, size_t length);
/* Where the SKU is, if it is in its shard's first level at the first probe: for prefetching. */
const hf_sku *hf_skus_home(const hf_skus *skus, uint64_t hash);
/* NULL: there is none. */
hf_sku *hf_skus_find(const hf_skus *skus, uint64_t hash, const void *name, size_t length);

/* Finds or makes. `number` 0: the next free one; else that one (replay). `announce` (may be NULL) is told the number before
 * anybody can find the SKU, inside a section that ends when they can. Outside a section. HF_ESKUS HF_ENOMEM. */
int hf_skus_make(hf_skus *skus, uint64_t hash, const void *name, size_t length, uint32_t number,
                 void (*announce)(void *context, uint32_t number), void *context, hf_sku **sku);

static inline hf_sku *hf_sku_at(const hf_skus *skus, uint32_t line) { return hf_pool_cell(&skus->lines, line); }
static inline uint32_t hf_sku_line(const hf_skus *skus, const hf_sku *sku) {
    return (uint32_t)((uint64_t)((const uint8_t *)sku - skus->lines.cells) / HF_POOL_CELL);
}
/* The SKU of a line, or NULL if that is nobody's; for walks over 0..hf_pool_used(). */
hf_sku *hf_sku_of_line(const hf_skus *skus, uint32_t line);

uint64_t hf_skus_levels(const hf_skus *skus);

#endif
