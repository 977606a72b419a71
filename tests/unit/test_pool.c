/* Pools: numbers, magazines, limits, and the grace period between a cell's retirement and its next use. */
#include <criterion/criterion.h>

#include "engine/pool.h"
#include "tests/support/harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    hf_pool pool;
    hf_pool_cache cache;
    hf_grace grace;
} fixture;

static void begin(fixture *f, uint64_t limit) {
    memset(f, 0, sizeof *f);
    cr_assert_eq(hf_pool_open(&f->pool, limit, 1), HF_SUCCESS);
    hf_pool_cache_init(&f->cache);
}

static void pass_grace(fixture *f) {
    f->grace.begun++;
    f->grace.ended = f->grace.begun;
}

/* A cell, or HF_POOL_NONE. */
static uint32_t get(fixture *f) {
    if (!hf_pool_cache_has(&f->cache, 1) && !hf_pool_refill(&f->pool, &f->cache, &f->grace)) {
        return HF_POOL_NONE;
    }
    return hf_pool_get(&f->pool, &f->cache);
}

Test(pool, cells_are_zero_aligned_and_handed_out_once) {
    fixture f;
    begin(&f, 10000);
    uint8_t *seen = calloc(20000, 1);
    for (unsigned i = 0; i < 5000; i++) {
        uint32_t number = get(&f);
        cr_assert_lt(number, 20000u);
        cr_assert_eq(seen[number]++, 0, "cell %u twice", number);
        const uint8_t *cell = hf_pool_cell(&f.pool, number);
        cr_assert_eq((uintptr_t)cell % HF_POOL_CELL, 0u);
        for (unsigned k = 0; k < 56; k++) { /* the last eight bytes are the chain's */
            cr_assert_eq(cell[k], 0);
        }
        cr_assert_lt(number, hf_pool_used(&f.pool));
    }
    free(seen);
    hf_pool_close(&f.pool);
}

Test(pool, the_limit_holds_and_ungetting_makes_room) {
    fixture f;
    begin(&f, 100);
    unsigned count = 0;
    uint32_t number = HF_POOL_NONE, next;
    while ((next = get(&f)) != HF_POOL_NONE) {
        number = next;
        count++;
    }
    cr_expect_eq(count, 128u, "%u cells of a limit of 100, rounded up to magazines", count);
    hf_pool_unget(&f.pool, &f.cache, number);
    cr_expect_eq(get(&f), number);
    cr_expect_eq(get(&f), HF_POOL_NONE);
    hf_pool_close(&f.pool);
}

Test(pool, a_retired_cell_waits_for_a_grace_period_that_began_after_it) {
    fixture f;
    begin(&f, 64);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_neq(get(&f), HF_POOL_NONE);
    }
    f.grace.begun++; /* one is under way when the cell is retired: it does not count */
    hf_pool_retire(&f.pool, &f.cache, 7);
    cr_expect_eq(get(&f), HF_POOL_NONE);
    f.grace.ended = f.grace.begun;
    cr_expect_eq(get(&f), HF_POOL_NONE);
    f.grace.begun++;
    cr_expect_eq(get(&f), HF_POOL_NONE, "before the end of the grace period");
    f.grace.ended = f.grace.begun;
    cr_expect_eq(get(&f), 7u);
    hf_pool_close(&f.pool);
}

Test(pool, what_one_cache_gives_away_another_gets) {
    fixture f;
    hf_pool_cache other;
    begin(&f, 128);
    hf_pool_cache_init(&other);
    for (unsigned i = 0; i < 128; i++) {
        cr_assert_neq(get(&f), HF_POOL_NONE);
    }
    cr_expect(!hf_pool_refill(&f.pool, &other, &f.grace));
    for (uint32_t i = 0; i < 100; i++) {
        hf_pool_retire(&f.pool, &f.cache, i);
    }
    hf_pool_settle(&f.pool, &f.cache, &f.grace, true);
    pass_grace(&f);
    hf_pool_settle(&f.pool, &f.cache, &f.grace, true);
    unsigned got = 0;
    uint8_t seen[128] = {0};
    while (hf_pool_cache_has(&other, 1) || hf_pool_refill(&f.pool, &other, &f.grace)) {
        uint32_t number = hf_pool_get(&f.pool, &other);
        cr_assert(number < 100 && seen[number]++ == 0, "cell %u", number);
        got++;
    }
    cr_expect_eq(got, 100u);
    hf_pool_close(&f.pool);
}

Test(pool, chains_keep_their_order) {
    fixture f;
    begin(&f, 1000);
    hf_pool_chain a = hf_pool_no_cells, b = hf_pool_no_cells;
    for (uint32_t i = 0; i < 6; i++) {
        (void)get(&f);
        hf_pool_append(&f.pool, i < 3 ? &a : &b, i);
    }
    hf_pool_append_all(&f.pool, &a, &b);
    cr_expect(a.count == 6 && b.count == 0);
    for (uint32_t i = 0; i < 6; i++) {
        cr_expect_eq(hf_pool_pop(&f.pool, &a), i);
    }
    hf_pool_append(&f.pool, &b, 4);
    hf_pool_append_all(&f.pool, &a, &b);
    cr_expect(a.count == 1 && a.first == 4 && a.last == 4);
    hf_pool_close(&f.pool);
}

Test(pool, runs_are_consecutive_and_end_at_the_limit) {
    fixture f;
    uint32_t first;
    begin(&f, 300000);
    cr_assert(hf_pool_take_run(&f.pool, 200000, &first) && first == 0);
    ((uint8_t *)hf_pool_cell(&f.pool, 199999))[0] = 1; /* it has memory */
    cr_assert(hf_pool_take_run(&f.pool, 100000, &first) && first == 200000);
    cr_expect(!hf_pool_take_run(&f.pool, 1, &first));
    cr_expect_geq(hf_pool_bytes(&f.pool), UINT64_C(300000) * HF_POOL_CELL);
    hf_pool_close(&f.pool);
}
