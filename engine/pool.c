/* Pools of cells. The contract is in pool.h.
 *
 * Edges
 *   P1  a magazine: pushed (CAS of the stack) -> popped (CAS). Carries the cells' contents and chains.
 *   P2  a grace period's end: `ended` stored -> loaded by hf_pool_settle. With G1 it carries the last reads of retired cells.
 *   P3  memory: `backed` stored -> loaded by whoever hands out cells below it. They may be touched.
 *   D2  a retirement against a grace period. Retirer: take the cell out of sight; barrier; load `begun`. Grace period: count `begun`;
 *       wait. One that the retirer did not see begun begins after the cell was out of sight: no section in it can find the cell.
 */
#include "pool.h"

#include <holdfast/holdfast.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "wal/error.h"

#define HUGE_PAGE (UINT64_C(2) << 20)
#define KEEP_MOST 16384u /* ready cells that a cache keeps to itself: what a busy session turns over in a millisecond or two */

static pthread_mutex_t growth = PTHREAD_MUTEX_INITIALIZER; /* one pool grows at a time */

static hf_pool_link *link_of(const hf_pool *pool, uint32_t number) { return hf_pool_cell(pool, number); }

/* Of so many cells, those for which huge pages are asked. The first step beyond what was expected comes in small ones: a peak that
 * needed a few cells more leaves a few of those behind. */
static uint64_t huge_cells(const hf_pool *pool, uint64_t cells) {
    bool is_first_step = cells > pool->expected && cells <= pool->expected + HF_POOL_STEP;
    return is_first_step ? pool->expected : cells;
}

/* Gives memory to cells up to `wanted`. */
static bool back(hf_pool *pool, uint64_t wanted) {
    bool done = true;
    pthread_mutex_lock(&growth);
    uint64_t backed = hf_load_relaxed(&pool->backed); /* relaxed: written under the lock that we hold */
    uint64_t cells = (wanted + HF_POOL_STEP - 1) / HF_POOL_STEP * HF_POOL_STEP;
    if (cells > backed) {
        uint8_t *from = pool->cells + backed * HF_POOL_CELL;
        done = mprotect(from, (cells - backed) * HF_POOL_CELL, PROT_READ | PROT_WRITE) == 0;
        if (done) {
            pool->expected = backed > 0 ? pool->expected : cells;
            uint64_t small = huge_cells(pool, backed), huge = huge_cells(pool, cells);
            if (huge > small) {
                (void)madvise(pool->cells + small * HF_POOL_CELL, (huge - small) * HF_POOL_CELL, MADV_HUGEPAGE); /* works without */
            }
            hf_store_release(&pool->backed, cells); /* edge P3 */
        } else {
            (void)hf_fail_system(-errno, "no memory for %llu more cells",
                                 (unsigned long long)(cells - backed));
        }
    }
    pthread_mutex_unlock(&growth);
    return done;
}

int hf_pool_open(hf_pool *pool, uint64_t limit, uint64_t expected) {
    uint64_t cells = (limit + HF_POOL_STEP - 1) / HF_POOL_STEP * HF_POOL_STEP;
    *pool = (hf_pool){.limit = limit, .reserved = cells * HF_POOL_CELL + HUGE_PAGE};
    pool->keep = limit / 64 < KEEP_MOST ? (uint32_t)(limit / 64) : KEEP_MOST;
    void *range = mmap(NULL, pool->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) {
        return hf_fail_system(-ENOMEM, "no address space for %llu cells", (unsigned long long)cells);
    }
    /* Huge pages begin at their own multiples; the few pages before stay unused. */
    uint64_t ahead = (HUGE_PAGE - (uintptr_t)range % HUGE_PAGE) % HUGE_PAGE;
    if (ahead > 0) {
        (void)munmap(range, ahead);
    }
    pool->cells = (uint8_t *)range + ahead;
    pool->reserved -= ahead;
    if (!back(pool, expected < limit ? expected : limit)) {
        hf_pool_close(pool);
        return HF_ENOMEM;
    }
    return HF_SUCCESS;
}

void hf_pool_close(hf_pool *pool) {
    if (pool->cells) {
        (void)munmap(pool->cells, pool->reserved);
    }
    *pool = (hf_pool){0};
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

const hf_pool_chain hf_pool_no_cells = {HF_POOL_NONE, HF_POOL_NONE, 0};

void hf_pool_cache_init(hf_pool_cache *cache) {
    *cache = (hf_pool_cache){.ready = hf_pool_no_cells, .young = hf_pool_no_cells, .old = hf_pool_no_cells};
}

void hf_pool_append(const hf_pool *pool, hf_pool_chain *chain, uint32_t number) {
    hf_store_relaxed(&link_of(pool, number)->next, HF_POOL_NONE); /* relaxed: this thread's chain */
    if (chain->count++ == 0) {
        chain->first = number;
    } else {
        hf_store_relaxed(&link_of(pool, chain->last)->next, number); /* relaxed: the same */
    }
    chain->last = number;
}

static void prepend_all(const hf_pool *pool, hf_pool_chain *chain, hf_pool_chain *more) {
    if (more->count == 0) {
        return;
    }
    if (chain->count > 0) {
        hf_store_relaxed(&link_of(pool, more->last)->next, chain->first); /* relaxed: this thread's chain */
        more->last = chain->last;
    }
    more->count += chain->count;
    *chain = *more;
    *more = hf_pool_no_cells;
}

void hf_pool_append_all(const hf_pool *pool, hf_pool_chain *chain, hf_pool_chain *more) {
    hf_pool_chain both = *chain;
    prepend_all(pool, more, &both);
    *chain = *more;
    *more = hf_pool_no_cells;
}

uint32_t hf_pool_pop(const hf_pool *pool, hf_pool_chain *chain) {
    assert(chain->count > 0);
    uint32_t number = chain->first;
    chain->first = hf_load_relaxed(&link_of(pool, number)->next); /* relaxed: this thread's chain */
    chain->count--;
    return number;
}

void hf_pool_unget(const hf_pool *pool, hf_pool_cache *cache, uint32_t number) {
    hf_pool_chain one = hf_pool_no_cells;
    hf_pool_append(pool, &one, number);
    prepend_all(pool, &cache->ready, &one);
}

void hf_pool_retire(const hf_pool *pool, hf_pool_cache *cache, uint32_t number) { hf_pool_append(pool, &cache->young, number); }

/* ---- the stack of magazines -------------------------------------------------------------------------------------- */

static void push_magazine(hf_pool *pool, uint32_t first) {
    hf_word128 top = hf_load128_acquire(&pool->stack); /* edge P1 */
    do {
        hf_store_relaxed(&link_of(pool, first)->next_magazine, (uint32_t)top.lo); /* relaxed: edge P1 carries it */
    } while (!hf_cas128_acq_rel(&pool->stack, &top, (hf_word128){first + UINT64_C(1), top.hi + 1})); /* edge P1 */
}

/* The first cell of a magazine, or HF_POOL_NONE. */
static uint32_t pop_magazine(hf_pool *pool) {
    hf_word128 top = hf_load128_acquire(&pool->stack); /* edge P1 */
    while (top.lo != 0) {
        uint32_t first = (uint32_t)top.lo - 1;
        /* Relaxed: if somebody has taken it meanwhile this is rubbish, and the CAS fails by the count of changes. */
        uint64_t next = hf_load_relaxed(&link_of(pool, first)->next_magazine);
        if (hf_cas128_acq_rel(&pool->stack, &top, (hf_word128){next, top.hi + 1})) { /* edge P1 */
            return first;
        }
    }
    return HF_POOL_NONE;
}

/* Cells never used before, in sequence. */
static bool take_fresh(hf_pool *pool, hf_pool_cache *cache) {
    uint64_t limit = (pool->limit + HF_POOL_MAGAZINE - 1) / HF_POOL_MAGAZINE * HF_POOL_MAGAZINE;
    uint64_t from = hf_load_relaxed(&pool->fresh); /* relaxed, and the CAS too: only the number counts */
    do {
        if (from >= limit) {
            return false;
        }
        if (from + HF_POOL_MAGAZINE > hf_load_acquire(&pool->backed) && /* edge P3 */
            !back(pool, from + HF_POOL_MAGAZINE)) {
            return false;
        }
    } while (!hf_cas_relaxed(&pool->fresh, &from, from + HF_POOL_MAGAZINE));
    for (uint32_t i = 0; i < HF_POOL_MAGAZINE; i++) {
        hf_pool_append(pool, &cache->ready, (uint32_t)from + i);
    }
    return true;
}

bool hf_pool_take_run(hf_pool *pool, uint64_t count, uint32_t *first) {
    uint64_t from = hf_load_relaxed(&pool->fresh); /* relaxed, and the CAS too: only the number counts */
    do {
        if (count > pool->limit || from > pool->limit - count) {
            return false;
        }
        if (from + count > hf_load_acquire(&pool->backed) && !back(pool, from + count)) { /* edge P3 */
            return false;
        }
    } while (!hf_cas_relaxed(&pool->fresh, &from, from + count));
    *first = (uint32_t)from;
    return true;
}

bool hf_pool_refill(hf_pool *pool, hf_pool_cache *cache, const hf_grace *grace) {
    uint32_t before = cache->ready.count;
    hf_pool_settle(pool, cache, grace, false);
    if (cache->ready.count > before) {
        return true;
    }
    uint32_t first = pop_magazine(pool);
    if (first == HF_POOL_NONE) {
        return take_fresh(pool, cache);
    }
    for (uint32_t number = first, next; number != HF_POOL_NONE; number = next) {
        next = hf_load_relaxed(&link_of(pool, number)->next); /* relaxed: edge P1 carried it */
        hf_pool_append(pool, &cache->ready, number);
    }
    return true;
}

/* Cuts up to a magazine off the ready cells, for others. */
static void give_away(hf_pool *pool, hf_pool_cache *cache) {
    hf_pool_chain magazine = hf_pool_no_cells;
    while (cache->ready.count > 0 && magazine.count < HF_POOL_MAGAZINE) {
        hf_pool_append(pool, &magazine, hf_pool_get(pool, cache));
    }
    push_magazine(pool, magazine.first);
}

void hf_pool_settle(hf_pool *pool, hf_pool_cache *cache, const hf_grace *grace, bool all) {
    if (cache->old.count > 0 && hf_load_acquire(&grace->ended) > cache->old_since) { /* edge P2 */
        prepend_all(pool, &cache->ready, &cache->old);
    }
    if (cache->old.count == 0 && cache->young.count > 0) {
        cache->old = cache->young;
        cache->young = hf_pool_no_cells;
        hf_barrier_after_cas(); /* edge D2: the removals' compare-and-swaps, then this load */
        cache->old_since = hf_load_acquire(&grace->begun); /* edge D2 */
    }
    while (cache->ready.count > (all ? 0 : pool->keep)) {
        give_away(pool, cache);
    }
}

bool hf_pool_is_spent(const hf_pool *pool, uint64_t wanted) { return hf_pool_used(pool) + wanted > pool->limit; }

uint64_t hf_pool_used(const hf_pool *pool) {
    /* No edge: cells below it have memory, since mprotect had returned before it was raised. */
    return hf_load_acquire(&pool->fresh);
}
uint64_t hf_pool_bytes(const hf_pool *pool) {
    return hf_load_relaxed(&pool->backed) * HF_POOL_CELL; /* relaxed: a gauge */
}
