/* A pool of 64-byte cells that are named by number: SKUs, reservations, and the blocks that hold their further lines.
 *
 * Guarantees
 *   A  A cell has one address for ever; its number is an index. Cells were zero before their first use.
 *   B  Getting and giving cells takes no lock and no system call, but where a pool has to grow (once per HF_POOL_STEP).
 *   C  A cell that was retired is handed out again only after a whole grace period: who found it inside a read-side section
 *      may go on reading it there.
 *
 * A pool is a range of addresses, reserved at once and backed by memory as it grows. Each session has a cache of its own:
 * fresh cells come to it in sequence, HF_POOL_MAGAZINE at a time, and retired ones come back to it; what is too many goes
 * through a stack of magazines to others.
 *
 *     fresh ---> magazine ---> cache.ready ---> in use ---> cache.young --grace period--> cache.ready
 *                   ^------------- too many --------------------------------------------------'
 */
#ifndef HF_POOL_H
#define HF_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wal/atomic.h"

#define HF_POOL_CELL 64u
#define HF_POOL_MAGAZINE 64u
#define HF_POOL_STEP (UINT64_C(1) << 16) /* cells by which a pool grows: 4 MiB */
#define HF_POOL_NONE UINT32_MAX

/* Where a free cell keeps its chain: the next of the magazine, and, in a magazine's first cell, the next magazine. */
typedef struct hf_pool_link {
    uint8_t other[56];
    uint32_t next_magazine;
    uint32_t next;
} hf_pool_link;
_Static_assert(sizeof(hf_pool_link) == HF_POOL_CELL && offsetof(hf_pool_link, next) == 60, "a cell's last eight bytes");

typedef struct hf_pool {
    uint8_t *cells;
    uint64_t limit;    /* cells there may be */
    uint64_t reserved; /* bytes of address space */
    uint64_t expected; /* cells that had memory from the beginning */
    uint32_t keep;     /* ready cells that a cache keeps */
    hf_word128 stack __attribute__((aligned(HF_CACHE_LINE))); /* { first cell of the first magazine + 1, changes } */
    uint64_t fresh;                                           /* cells from here on were never handed out */
    uint64_t backed;                                          /* cells that have memory */
} hf_pool;

typedef struct hf_pool_chain {
    uint32_t first, last, count;
} hf_pool_chain;

/* One thread's. */
typedef struct hf_pool_cache {
    hf_pool_chain ready, young, old;
    uint64_t old_since; /* grace periods begun when `old` was closed */
} hf_pool_cache;

/* Grace periods, counted by whoever carries them out. */
typedef struct hf_grace {
    uint64_t begun, ended;
} hf_grace;

/* HF_ENOMEM. `limit` cells at most; memory for `expected` is asked for at once. */
int hf_pool_open(hf_pool *pool, uint64_t limit, uint64_t expected);
void hf_pool_close(hf_pool *pool);

static inline void *hf_pool_cell(const hf_pool *pool, uint32_t number) {
    return pool->cells + (uint64_t)number * HF_POOL_CELL;
}

/* `count` cells in a row, never used before, for good. false: the limit is reached, or there is no memory. */
bool hf_pool_take_run(hf_pool *pool, uint64_t count, uint32_t *first);

void hf_pool_cache_init(hf_pool_cache *cache);
/* Fills the cache; false: the pool's limit is reached, or there is no memory (hf_error_detail). */
bool hf_pool_refill(hf_pool *pool, hf_pool_cache *cache, const hf_grace *grace);

static inline bool hf_pool_cache_has(const hf_pool_cache *cache, uint32_t count) { return cache->ready.count >= count; }

/* A ready cell; the caller made sure that there is one. */
static inline uint32_t hf_pool_get(const hf_pool *pool, hf_pool_cache *cache) {
    const hf_pool_link *link = hf_pool_cell(pool, cache->ready.first);
    uint32_t number = cache->ready.first;
    cache->ready.first = hf_load_relaxed(&link->next); /* relaxed: this thread's chain */
    cache->ready.count--;
    hf_prefetch_write(hf_pool_cell(pool, cache->ready.count > 0 ? cache->ready.first : number)); /* for the next */
    return number;
}

/* Chains of cells, by their `next`; one thread's at a time. */
extern const hf_pool_chain hf_pool_no_cells;
void hf_pool_append(const hf_pool *pool, hf_pool_chain *chain, uint32_t number);
void hf_pool_append_all(const hf_pool *pool, hf_pool_chain *chain, hf_pool_chain *more); /* empties `more` */
uint32_t hf_pool_pop(const hf_pool *pool, hf_pool_chain *chain);                         /* the first of a chain that has one */

/* A cell that nobody else ever saw: ready at once. */
void hf_pool_unget(const hf_pool *pool, hf_pool_cache *cache, uint32_t number);
/* A cell that others may still be reading. */
void hf_pool_retire(const hf_pool *pool, hf_pool_cache *cache, uint32_t number);
/* Cells whose grace period is over become ready, and what is too many goes to the stack; `all`: everything that is ready. */
void hf_pool_settle(hf_pool *pool, hf_pool_cache *cache, const hf_grace *grace, bool all);

/* Whether a refill or a run that failed did so for the pool's limit, and not for want of memory. */
bool hf_pool_is_spent(const hf_pool *pool, uint64_t wanted);

/* Cells ever handed out: every number in use is below it. */
uint64_t hf_pool_used(const hf_pool *pool);
uint64_t hf_pool_bytes(const hf_pool *pool);

#endif
