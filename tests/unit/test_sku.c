/* The SKU table: names of every length, levels, numbers, announcements. */
#include <criterion/criterion.h>

#include "engine/sku.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hf_sku *make(hf_skus *skus, const void *name, size_t length, uint32_t number) {
    hf_sku *sku = NULL;
    MUST(hf_skus_make(skus, hf_skus_hash(skus, name, length), name, length, number, NULL, NULL, &sku));
    return sku;
}

static hf_sku *find(const hf_skus *skus, const void *name, size_t length) {
    return hf_skus_find(skus, hf_skus_hash(skus, name, length), name, length);
}

Test(sku, tables_of_every_size_keep_every_name) {
    static const uint64_t expected[] = {1, 100, 100000};
    static const uint32_t shards[] = {1, 4, 64};
    for (unsigned round = 0; round < 9; round++) {
        hf_skus skus;
        MUST(hf_skus_open(&skus, shards[round % 3], expected[round / 3], 4711 + round));
        hf_sku **made = calloc(20000, sizeof *made);
        char name[HF_MAX_SKU_NAME];
        memset(name, 'n', sizeof name);
        for (unsigned i = 0; i < 20000; i++) {
            size_t length = 10 + i % (HF_MAX_SKU_NAME - 9);
            snprintf(name, 11, "%010u", i);
            name[10] = 'n';
            cr_assert_null(find(&skus, name, length));
            made[i] = make(&skus, name, length, 0);
            cr_assert_eq(made[i]->number, i + 1, "numbers are dense");
            cr_assert_eq(make(&skus, name, length, 0), made[i], "made twice");
        }
        for (unsigned i = 0; i < 20000; i++) {
            size_t length = 10 + i % (HF_MAX_SKU_NAME - 9), back;
            snprintf(name, 11, "%010u", i);
            name[10] = 'n';
            cr_assert_eq(find(&skus, name, length), made[i], "SKU %u was lost or moved", i);
            const void *bytes = hf_sku_name(made[i], &back);
            cr_assert(back == length && memcmp(bytes, name, length) == 0);
            cr_assert_eq(hf_sku_at(&skus, hf_sku_line(&skus, made[i])), made[i]);
        }
        cr_expect_eq(skus.count, 20000u);
        cr_expect(round / 3 == 2 ? hf_skus_levels(&skus) == 1 : hf_skus_levels(&skus) > 1, "%llu levels",
                  (unsigned long long)hf_skus_levels(&skus));
        free(made);
        hf_skus_close(&skus);
    }
}

Test(sku, names_that_differ_by_a_byte_or_a_length_are_others) {
    hf_skus skus;
    MUST(hf_skus_open(&skus, 1, 10, 1));
    hf_sku *a = make(&skus, "a\0b", 3, 0), *b = make(&skus, "a\0c", 3, 0), *c = make(&skus, "a", 1, 0);
    cr_expect(a != b && b != c && a != c);
    cr_expect_eq(find(&skus, "a\0b", 3), a);
    cr_expect_null(find(&skus, "a\0", 2));
    hf_skus_close(&skus);
}

Test(sku, numbers_end_with_the_last_that_a_log_may_hold) {
    hf_skus skus;
    hf_sku *sku;
    MUST(hf_skus_open(&skus, 4, 10, 1));
    cr_expect_eq(make(&skus, "replayed", 8, HF_MAX_SKUS - 1)->number, HF_MAX_SKUS - 1);
    cr_expect_eq(make(&skus, "last", 4, 0)->number, HF_MAX_SKUS);
    for (unsigned i = 0; i < 3; i++) {
        int error = hf_skus_make(&skus, hf_skus_hash(&skus, "more", 4), "more", 4, 0, NULL, NULL, &sku);
        cr_expect_eq(error, HF_ESKUS, "%s", hf_error_name(error));
        cr_expect_null(find(&skus, "more", 4));
    }
    cr_expect_eq(make(&skus, "last", 4, 0)->number, HF_MAX_SKUS, "found still");
    hf_skus_close(&skus);
}

static void note_number(void *context, uint32_t number) { *(uint32_t *)context = number; }

Test(sku, a_number_may_be_given_and_is_announced_before_the_name_is_found) {
    hf_skus skus;
    hf_sku *sku;
    uint32_t announced = 0;
    MUST(hf_skus_open(&skus, 4, 10, 1));
    cr_expect_eq(make(&skus, "replayed", 8, 17)->number, 17u);
    MUST(hf_skus_make(&skus, hf_skus_hash(&skus, "new", 3), "new", 3, 0, note_number, &announced, &sku));
    cr_expect(announced == 18 && sku->number == 18, "numbers go on above those given: %u", announced);
    announced = 0;
    MUST(hf_skus_make(&skus, hf_skus_hash(&skus, "new", 3), "new", 3, 0, note_number, &announced, &sku));
    cr_expect_eq(announced, 0u, "announced again");
    hf_skus_close(&skus);
}

Test(sku, a_table_that_cannot_grow_says_so) {
    hf_skus skus;
    hf_sku *sku;
    char name[16];
    int error = HF_SUCCESS;
    MUST(hf_skus_open(&skus, 1, 1, 1));
    skus.lines.limit = 100; /* as if all lines that may be were nearly used */
    unsigned count = 0;
    for (; count < 1000 && !error; count++) {
        size_t length = (size_t)snprintf(name, sizeof name, "sku-%u", count);
        error = hf_skus_make(&skus, hf_skus_hash(&skus, name, length), name, length, 0, NULL, NULL, &sku);
    }
    cr_expect_eq(error, HF_ESKUS, "%s after %u", hf_error_name(error), count);
    for (unsigned i = 0; i + 1 < count; i++) {
        size_t length = (size_t)snprintf(name, sizeof name, "sku-%u", i);
        cr_assert_not_null(find(&skus, name, length), "%s was lost", name);
    }
    hf_skus_close(&skus);
}
