/* The SKU table. The contract is in sku.h.
 *
 * Edges
 *   S1  a SKU is published: `number` stored -> loaded by a probe. Carries name, hash and counter.
 *   S2  a level is published: `lines` stored -> loaded by a look-up. Carries `first` and the zeroed lines.
 */
#include "sku.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "wal/error.h"
#include "wal/section.h"

enum { NAME_BLOCK = 1 << 16 };
#define MIN_LINES 16u

struct hf_name_block {
    struct hf_name_block *next;
    char names[];
};

/* ---- where a line is --------------------------------------------------------------------------------------------- */

uint64_t hf_skus_hash(const hf_skus *skus, const void *name, size_t length) {
    return XXH3_64bits_withSeed(name, length, skus->seed);
}

static hf_sku_shard *shard_of(const hf_skus *skus, uint64_t hash) {
    return &skus->shards[skus->shard_bits ? hash >> (64 - skus->shard_bits) : 0];
}

/* The first line to probe: the hash's other bits, scaled to the level's size. */
static uint32_t home_of(const hf_skus *skus, uint64_t hash, uint32_t lines) {
    return (uint32_t)((hash << skus->shard_bits >> 32) * lines >> 32);
}

static const char *name_of(const hf_sku *sku) {
    if (sku->name_length <= HF_SKU_INLINE) {
        return sku->name;
    }
    const char *elsewhere;
    memcpy(&elsewhere, sku->name + 3, sizeof elsewhere); /* 37 + 3 = 40: aligned */
    return elsewhere;
}

static bool is_named(const hf_sku *sku, uint64_t hash, const void *name, size_t length) {
    return sku->hash == hash && sku->name_length == length && memcmp(name_of(sku), name, length) == 0;
}

static uint32_t lines_of(const hf_sku_level *level) { return hf_load_acquire(&level->lines); } /* edge S2 */

/* The SKU of that name, or NULL: *end is then the line where the probe ended, which was free (and may be another's as soon as this
 * has returned, but for who holds the shard's lock). A level is never full. */
static inline hf_sku *probe(const hf_skus *skus, const hf_sku_level *level, uint32_t lines, uint64_t hash, const void *name,
                            size_t length, hf_sku **end) {
    for (uint32_t i = home_of(skus, hash, lines);; i = i + 1 < lines ? i + 1 : 0) {
        hf_sku *sku = hf_sku_at(skus, level->first + i);
        if (hf_load_acquire(&sku->number) == 0) { /* edge S1 */
            *end = sku;
            return NULL;
        }
        if (is_named(sku, hash, name, length)) {
            return sku;
        }
    }
}

hf_sku *hf_skus_find(const hf_skus *skus, uint64_t hash, const void *name, size_t length) {
    const hf_sku_shard *shard = shard_of(skus, hash);
    uint32_t lines;
    for (unsigned i = 0; i < HF_SKU_LEVELS && (lines = lines_of(&shard->levels[i])) != 0; i++) {
        hf_sku *end, *sku = probe(skus, &shard->levels[i], lines, hash, name, length, &end);
        if (sku) {
            return sku;
        }
    }
    return NULL;
}

const hf_sku *hf_skus_home(const hf_skus *skus, uint64_t hash) {
    const hf_sku_level *level = &shard_of(skus, hash)->levels[0];
    return hf_sku_at(skus, level->first + home_of(skus, hash, lines_of(level)));
}

hf_sku *hf_sku_of_line(const hf_skus *skus, uint32_t line) {
    hf_sku *sku = hf_sku_at(skus, line);
    return hf_load_acquire(&sku->number) != 0 ? sku : NULL; /* edge S1 */
}

const void *hf_sku_name(const hf_sku *sku, size_t *length) {
    *length = sku->name_length;
    return name_of(sku);
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

/* Adds a level. Under the shard's lock, or before anybody else has the table. */
static int add_level(hf_skus *skus, hf_sku_shard *shard, unsigned number, uint64_t lines) {
    uint32_t first;
    if (number == HF_SKU_LEVELS || !hf_pool_take_run(&skus->lines, lines, &first)) {
        if (number < HF_SKU_LEVELS && !hf_pool_is_spent(&skus->lines, lines)) {
            return hf_fail(HF_ENOMEM, "no memory for %llu more lines of the SKU table", (unsigned long long)lines);
        }
        /* relaxed: a gauge */
        return hf_fail(HF_ESKUS, "the SKU table has %llu lines and cannot grow by %llu: at most %llu",
                       (unsigned long long)hf_load_relaxed(&skus->slots), (unsigned long long)lines,
                       (unsigned long long)HF_MAX_SKUS);
    }
    shard->levels[number].first = first;
    hf_store_release(&shard->levels[number].lines, (uint32_t)lines); /* edge S2 */
    hf_fetch_add_relaxed(&skus->slots, lines);                       /* relaxed: a gauge */
    shard->used = 0;
    return HF_SUCCESS;
}

/* Sized so that the expected SKUs fill it by 70 %; three quarters are the most a level takes. */
static uint64_t lines_for(uint64_t expected, uint32_t shards) {
    uint64_t lines = (expected + shards - 1) / shards * 10 / 7 + MIN_LINES;
    return lines < HF_MAX_SKUS / shards ? lines : HF_MAX_SKUS / shards;
}

int hf_skus_open(hf_skus *skus, uint32_t shards, uint64_t expected, uint64_t seed) {
    *skus = (hf_skus){.seed = seed, .next_number = 1};
    while (1u << skus->shard_bits < shards) {
        skus->shard_bits++;
    }
    skus->shards = calloc(shards, sizeof *skus->shards);
    if (!skus->shards) {
        return hf_fail(HF_ENOMEM, "no memory for %u shards of the SKU table", shards);
    }
    uint64_t lines = lines_for(expected, shards);
    int error = hf_pool_open(&skus->lines, HF_MAX_SKUS, lines * shards);
    for (uint32_t i = 0; i < shards; i++) {
        pthread_mutex_init(&skus->shards[i].mutex, NULL);
        error = error ? error : add_level(skus, &skus->shards[i], 0, lines);
    }
    if (error) {
        hf_skus_close(skus);
    }
    return error;
}

void hf_skus_close(hf_skus *skus) {
    for (uint32_t i = 0; skus->shards && i < 1u << skus->shard_bits; i++) {
        pthread_mutex_destroy(&skus->shards[i].mutex);
        for (struct hf_name_block *block = skus->shards[i].blocks, *next; block; block = next) {
            next = block->next;
            free(block);
        }
    }
    free(skus->shards);
    hf_pool_close(&skus->lines);
    *skus = (hf_skus){0};
}

/* ---- making one -------------------------------------------------------------------------------------------------- */

/* A lasting copy of a long name. Under the shard's lock. */
static const char *keep_name(hf_skus *skus, hf_sku_shard *shard, const void *name, size_t length) {
    if (shard->names_left < length) {
        struct hf_name_block *block = malloc(sizeof *block + NAME_BLOCK);
        if (!block) {
            return NULL;
        }
        block->next = shard->blocks;
        shard->blocks = block;
        shard->names = block->names;
        shard->names_left = NAME_BLOCK;
        hf_fetch_add_relaxed(&skus->name_bytes, (uint64_t)(sizeof *block + NAME_BLOCK)); /* relaxed: a gauge */
    }
    char *copy = shard->names;
    memcpy(copy, name, length);
    shard->names += length;
    shard->names_left -= length;
    return copy;
}

static bool write_name(hf_skus *skus, hf_sku_shard *shard, hf_sku *sku, const void *name, size_t length) {
    sku->name_length = (uint8_t)length;
    if (length <= HF_SKU_INLINE) {
        memcpy(sku->name, name, length);
        return true;
    }
    const char *elsewhere = keep_name(skus, shard, name, length);
    memcpy(sku->name + 3, &elsewhere, sizeof elsewhere);
    return elsewhere != NULL;
}

/* A free line for the name, in the last level or a new one. */
static int find_room(hf_skus *skus, hf_sku_shard *shard, uint64_t hash, const void *name, size_t length, hf_sku **sku) {
    unsigned last = 0;
    while (last + 1 < HF_SKU_LEVELS && lines_of(&shard->levels[last + 1]) != 0) {
        last++;
    }
    uint32_t lines = lines_of(&shard->levels[last]);
    if (shard->used >= (uint64_t)lines * 3 / 4) {
        int error = add_level(skus, shard, ++last, (uint64_t)lines * 2);
        if (error) {
            return error;
        }
        lines *= 2;
    }
    (void)probe(skus, &shard->levels[last], lines, hash, name, length, sku); /* it is not there: *sku is the end */
    return HF_SUCCESS;
}

/* The next number, or the one that is given; 0: all are used. One that was taken and then not used is nobody's. */
static uint32_t take_number(hf_skus *skus, uint32_t number) {
    if (number == 0) {
        uint32_t next = hf_load_relaxed(&skus->next_number); /* relaxed, and the CAS too: only the number counts */
        while (next <= HF_MAX_SKUS && !hf_cas_relaxed(&skus->next_number, &next, next + 1)) {
        }
        return next <= HF_MAX_SKUS ? next : 0;
    }
    if (number >= skus->next_number) {
        skus->next_number = number + 1; /* replay: one thread */
    }
    return number;
}

/* Under the shard's lock; the name is not there. */
static int make(hf_skus *skus, hf_sku_shard *shard, uint64_t hash, const void *name, size_t length, uint32_t number,
                void (*announce)(void *, uint32_t), void *context, hf_sku **made) {
    hf_sku *sku = NULL;
    int error = find_room(skus, shard, hash, name, length, &sku);
    if (error) {
        return error;
    }
    number = take_number(skus, number);
    if (number == 0) {
        return hf_fail(HF_ESKUS, "the numbers of SKUs are used up: at most %llu", (unsigned long long)HF_MAX_SKUS);
    }
    if (!write_name(skus, shard, sku, name, length)) {
        return hf_fail(HF_ENOMEM, "no memory for a SKU's name of %zu bytes", length);
    }
    sku->hash = hash;
    /* One section for both: a checkpoint whose replay starts behind the announcement finds the SKU. */
    hf_section_enter();
    if (announce) {
        announce(context, number);
    }
    hf_store_release(&sku->number, number); /* edge S1 */
    hf_section_leave();
    shard->used++;
    hf_fetch_add_relaxed(&skus->count, UINT64_C(1)); /* relaxed: a gauge */
    *made = sku;
    return HF_SUCCESS;
}

int hf_skus_make(hf_skus *skus, uint64_t hash, const void *name, size_t length, uint32_t number,
                 void (*announce)(void *context, uint32_t number), void *context, hf_sku **sku) {
    hf_sku_shard *shard = shard_of(skus, hash);
    int error = HF_SUCCESS;
    pthread_mutex_lock(&shard->mutex);
    *sku = hf_skus_find(skus, hash, name, length);
    if (!*sku) {
        error = make(skus, shard, hash, name, length, number, announce, context, sku);
    }
    pthread_mutex_unlock(&shard->mutex);
    return error;
}

uint64_t hf_skus_levels(const hf_skus *skus) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < 1u << skus->shard_bits; i++) {
        uint64_t levels = 0;
        while (levels < HF_SKU_LEVELS && lines_of(&skus->shards[i].levels[levels]) != 0) {
            levels++;
        }
        most = levels > most ? levels : most;
    }
    return most;
}
