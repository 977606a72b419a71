/* The id index, one thread at a time: against a plain array, with hashes that collide, with memory that runs out, and
 * with other operations carried out in the middle of one (from its callbacks), which gives each race of
 * engine/index.c's proofs by hand.
 *
 * HF_SEED=n runs the random test with that seed alone. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/index.h"
#include "wal/error.h"
#include "wal/section.h"

/* Criterion reports each passed assertion to its parent process: too slow for loops. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail_at(__LINE__, #condition, " " __VA_ARGS__);                                                            \
        }                                                                                                              \
    } while (0)

__attribute__((format(printf, 3, 4))) static void fail_at(int line, const char *condition, const char *format, ...) {
    char words[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    cr_assert_fail("line %d: %s%s", line, condition, words);
}

/* ---- memory that runs out when told ------------------------------------------------------------------------------ */

static long maps_left = -1; /* mappings until one fails; -1: none fails */
static bool maps_stay_failed;
static int64_t mapped; /* bytes mapped less bytes unmapped */

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
    if (maps_left == 0) {
        maps_left = maps_stay_failed ? 0 : -1;
        errno = ENOMEM;
        return MAP_FAILED;
    }
    maps_left -= maps_left > 0;
    mapped += (int64_t)((length + 4095) & ~4095ul);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

int munmap(void *address, size_t length) {
    mapped -= (int64_t)((length + 4095) & ~4095ul);
    return (int)syscall(SYS_munmap, address, length);
}

/* ---- a world of ids and slots ------------------------------------------------------------------------------------ */

enum { IDS = 4096, SLOTS = 4096, NONE = -1 };

typedef struct key {
    uint64_t id, other;
} key;

struct world {
    hf_index *index;
    key key_of[SLOTS];
    bool in_index[SLOTS]; /* from before its insertion to after its removal */
    int slot_of[IDS];     /* the model: NONE or the slot */
    uint32_t free[SLOTS];
    unsigned free_count, held;
    unsigned hash_kind;
    unsigned wrong_calls;                                /* callbacks on slots that were never shown to the index */
    void (*on_same)(struct world *world, uint32_t slot); /* once */
    void (*on_hash)(struct world *world, uint32_t slot); /* once */
};

static uint64_t mixed(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t hash_of(const struct world *world, uint64_t id) {
    uint64_t good = mixed(id + 1);
    switch (world->hash_kind) {
    case 0:
        return good;
    case 1: /* all fingerprints the same */
        return good & UINT32_MAX;
    case 2: /* 8 buckets in a table of any size, 4 fingerprints */
        return (good & 7) | (good >> 62 << 32);
    default: /* all the same */
        return UINT64_C(0x2a0000002a) << 2;
    }
}

static bool same(void *context, uint32_t slot, const void *wanted) {
    struct world *world = context;
    world->wrong_calls += !world->in_index[slot];
    void (*hook)(struct world *, uint32_t) = world->on_same;
    if (hook != NULL) {
        world->on_same = NULL;
        hook(world, slot);
    }
    return memcmp(&world->key_of[slot], wanted, sizeof(key)) == 0;
}

static uint64_t hash_of_slot(void *context, uint32_t slot) {
    struct world *world = context;
    world->wrong_calls += !world->in_index[slot];
    uint64_t hash = hash_of(world, world->key_of[slot].id);
    void (*hook)(struct world *, uint32_t) = world->on_hash;
    if (hook != NULL) {
        world->on_hash = NULL;
        hook(world, slot);
    }
    return hash;
}

static key key_for(uint64_t id) { return (key){id, ~id}; }

static void world_begin(struct world *world, uint64_t expected, unsigned hash_kind) {
    memset(world, 0, sizeof *world);
    world->hash_kind = hash_kind;
    for (unsigned i = 0; i < IDS; i++) {
        world->slot_of[i] = NONE;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        world->free[i] = SLOTS - 1 - i;
    }
    world->free_count = SLOTS;
    world->index = hf_index_new(expected, same, hash_of_slot, world);
    hf_section_register();
}

static void world_end(struct world *world) {
    CHECK(world->wrong_calls == 0);
    hf_index_free(world->index);
    hf_section_unregister();
}

/* The three operations, inside a section already, each compared with the model. */
static enum hf_index_result insert_inside(struct world *world, unsigned id) {
    uint32_t slot = world->free[--world->free_count], existing = HF_INDEX_NONE;
    key wanted = key_for(id);
    world->key_of[slot] = wanted;
    world->in_index[slot] = true;
    enum hf_index_result result = hf_index_insert(world->index, hash_of(world, id), &wanted, slot, &existing);
    if (result == HF_INDEX_INSERTED) {
        CHECK(world->slot_of[id] == NONE, "id %u: inserted twice", id);
        world->slot_of[id] = (int)slot;
        world->held++;
        return result;
    }
    CHECK(result == HF_INDEX_NO_MEMORY || world->slot_of[id] == (int)existing, "id %u: told %u", id, existing);
    world->in_index[slot] = false;
    world->key_of[slot] = (key){UINT64_MAX, 0}; /* the slot is the caller's again at once */
    world->free[world->free_count++] = slot;
    return result;
}

static void find_inside(struct world *world, unsigned id) {
    key wanted = key_for(id);
    uint32_t slot = hf_index_find(world->index, hash_of(world, id), &wanted);
    CHECK(world->slot_of[id] == (slot == HF_INDEX_NONE ? NONE : (int)slot), "id %u: found %u, is %d", id, slot,
          world->slot_of[id]);
}

static void remove_inside(struct world *world, unsigned id) {
    int slot = world->slot_of[id];
    uint64_t hash = hash_of(world, id);
    if (slot == NONE) {
        CHECK(!hf_index_remove(world->index, hash, world->free[0]));
        return;
    }
    CHECK(hf_index_remove(world->index, hash, (uint32_t)slot), "id %u, slot %d", id, slot);
    CHECK(!hf_index_remove(world->index, hash, (uint32_t)slot), "id %u, slot %d: twice", id, slot);
    world->slot_of[id] = NONE;
    world->held--;
}

static enum hf_index_result insert(struct world *world, unsigned id) {
    hf_section_enter();
    enum hf_index_result result = insert_inside(world, id);
    hf_section_leave();
    return result;
}

static void find(struct world *world, unsigned id) {
    hf_section_enter();
    hf_index_prefetch(world->index, hash_of(world, id));
    find_inside(world, id);
    hf_section_leave();
}

static void take(struct world *world, unsigned id) {
    hf_section_enter();
    int slot = world->slot_of[id];
    remove_inside(world, id);
    hf_section_leave();
    if (slot != NONE) { /* no section is open: the slot is free for another id */
        world->in_index[slot] = false;
        world->key_of[slot] = (key){UINT64_MAX, 1};
        world->free[world->free_count++] = (uint32_t)slot;
    }
}

static void check_all(struct world *world, unsigned ids) {
    for (unsigned id = 0; id < ids; id++) {
        find(world, id);
    }
    uint64_t held = 0;
    CHECK(hf_index_is_valid(world->index, &held));
    CHECK(held == world->held, "%lu in the index, %u in the model", (unsigned long)held, world->held);
}

static void migrate_wholly(struct world *world) {
    while (hf_index_migrate(world->index, 1000)) {
    }
    hf_index_gauges gauges;
    hf_index_gauges_read(world->index, &gauges);
    CHECK(gauges.levels == 1);
}

static uint64_t levels_of(const struct world *world) {
    hf_index_gauges gauges;
    hf_index_gauges_read(world->index, &gauges);
    return gauges.levels;
}

static uint64_t bytes_of(const struct world *world) {
    hf_index_gauges gauges;
    hf_index_gauges_read(world->index, &gauges);
    return gauges.bytes;
}

/* The first id from `from` on whose bucket is `number` in a table of mask + 1 buckets. */
static unsigned next_id_in_bucket(const struct world *world, unsigned from, uint64_t mask, uint64_t number) {
    while ((hash_of(world, from) & mask) != number) {
        from++;
    }
    return from;
}

static struct world shared; /* too large for a stack */

/* ---- at random, next to the model -------------------------------------------------------------------------------- */

static uint64_t random_next(uint64_t *state) { return mixed(*state += UINT64_C(0x9e3779b97f4a7c15)); }

static void random_run(uint64_t seed) {
    static const unsigned ids_for_kind[] = {2000, 600, 64, 20};
    uint64_t state = seed;
    unsigned kind = (unsigned)(seed % 4), ids = ids_for_kind[kind], deepest = 0;
    struct world *world = &shared;
    world_begin(world, 1 + random_next(&state) % 100, kind);
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t dice = random_next(&state);
        unsigned id = (unsigned)((dice >> 32) % ids), what = (unsigned)dice % 1000;
        bool rising = step / 2500 % 2 == 0; /* more insertions for a while, then more removals */
        if (what < (rising ? 500u : 250u)) {
            enum hf_index_result expected = world->slot_of[id] == NONE ? HF_INDEX_INSERTED : HF_INDEX_EXISTS;
            CHECK(insert(world, id) == expected, "id %u", id);
        } else if (what < 700) {
            take(world, id);
        } else if (what < 900) {
            find(world, id);
        } else if (what < 990) {
            (void)hf_index_migrate(world->index, 1 + (dice >> 16) % 3);
        } else if (what < 995) {
            hf_index_grow_if_needed(world->index, world->held);
        } else if (what < 998) {
            CHECK(levels_of(world) > 20 || hf_index_renew(world->index, 1 + (dice >> 16) % ids));
        } else {
            check_all(world, ids);
        }
        deepest = levels_of(world) > deepest ? (unsigned)levels_of(world) : deepest;
    }
    CHECK(deepest >= 2, "the run saw no growth");
    check_all(world, ids);
    migrate_wholly(world);
    check_all(world, ids);
    world_end(world);
    CHECK(mapped == 0, "%ld bytes are still mapped", (long)mapped);
}

Test(index, agrees_with_a_plain_array_at_random) {
    const char *fixed = getenv("HF_SEED");
    uint64_t first = fixed ? strtoull(fixed, NULL, 0) : 1, last = fixed ? first : 60;
    hf_section_register(); /* once, so that liburcu's own mappings are not counted below */
    mapped = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        fprintf(stderr, "index: HF_SEED=%lu\n", (unsigned long)seed); /* the last one printed is the one that failed */
        random_run(seed);
    }
    hf_section_unregister();
}

/* ---- collisions, overflow lines, growth -------------------------------------------------------------------------- */

Test(index, ids_of_one_hash_fill_table_after_table) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    for (unsigned id = 0; id < 110; id++) {
        CHECK(levels_of(world) == (id + 21) / 22 + (id == 0));
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
        CHECK(insert(world, id) == HF_INDEX_EXISTS);
    }
    check_all(world, 111);
    for (unsigned id = 0; id < 110; id += 2) { /* from every table, also from closed buckets */
        take(world, id);
        find(world, id);
    }
    check_all(world, 111);
    for (unsigned id = 0; id < 110; id += 22) { /* in again: only the newest table takes any */
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    for (unsigned i = 0; i < 3; i++) { /* the oldest table's 11 go where there is room */
        (void)hf_index_migrate(world->index, 2);
        check_all(world, 111);
    }
    world_end(world);
}

static void never(struct world *world, uint32_t slot) { world->wrong_calls += slot < SLOTS; }

/* It guesses by the bucket's own line: right where that holds the id, and it asks nobody. */
Test(index, a_glance_tells_the_slot_from_the_bucket_alone) {
    struct world *world = &shared;
    world_begin(world, 4 * IDS, 0);
    for (unsigned id = 0; id < IDS; id++) {
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    world->on_same = never;
    hf_section_enter();
    unsigned told = 0;
    for (unsigned id = 0; id < IDS; id++) {
        uint32_t slot = hf_index_glance(world->index, hash_of(world, id));
        CHECK(slot == HF_INDEX_NONE || slot == (uint32_t)world->slot_of[id]);
        told += slot != HF_INDEX_NONE;
    }
    CHECK(told > IDS * 99 / 100 && hf_index_glance(world->index, hash_of(world, IDS)) == HF_INDEX_NONE);
    hf_section_leave();
    world->on_same = NULL;
    for (unsigned id = 0; id < IDS; id++) {
        take(world, id);
    }
    hf_section_enter();
    CHECK(hf_index_glance(world->index, hash_of(world, 1)) == HF_INDEX_NONE);
    hf_section_leave();
    world_end(world);
}

Test(index, twenty_two_ids_fit_a_bucket_and_places_are_used_again) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned id = 0; id < 22; id++) {
            CHECK(insert(world, id) == HF_INDEX_INSERTED);
        }
        check_all(world, 23);
        for (unsigned id = 0; id < 22; id++) {
            take(world, (id * 7 + round) % 22);
        }
    }
    CHECK(levels_of(world) == 1);
    world_end(world);
}

Test(index, grows_at_three_quarters_and_halves_when_renewed) {
    struct world *world = &shared;
    world_begin(world, 1024, 0); /* 256 buckets, 1536 places of their own */
    uint64_t bytes = bytes_of(world);
    hf_index_grow_if_needed(world->index, 1152);
    CHECK(levels_of(world) == 1 && bytes_of(world) == bytes);
    for (unsigned id = 0; id < 1000; id++) {
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    hf_index_grow_if_needed(world->index, 1153);
    hf_index_grow_if_needed(world->index, 1153);
    CHECK(levels_of(world) == 2);
    migrate_wholly(world);
    CHECK(bytes_of(world) > bytes + bytes / 2);
    check_all(world, 1001);
    for (unsigned id = 300; id < 1000; id++) {
        take(world, id);
    }
    CHECK(hf_index_renew(world->index, 300));
    CHECK(levels_of(world) == 2);
    migrate_wholly(world);
    check_all(world, 1001);
    CHECK(bytes_of(world) < bytes);
    hf_index_grow_if_needed(world->index, 100 * 1000); /* by as much as is needed at once */
    migrate_wholly(world);
    hf_index_grow_if_needed(world->index, 100 * 1000);
    CHECK(levels_of(world) == 1);
    check_all(world, 1001);
    world_end(world);
}

/* Bursts into one bucket after another link all overflow lines, though few ids are held at a time: the table must be
 * replaced by one of its size, not of twice. */
Test(index, overflow_lines_that_ran_low_are_renewed_at_the_same_size) {
    struct world *world = &shared;
    world_begin(world, 256, 0); /* 64 buckets, 72 lines */
    uint64_t bytes = bytes_of(world);
    unsigned renewals = 0;
    for (unsigned round = 0; round < 20 * 64; round++) {
        unsigned burst[15], id = 0;
        for (unsigned i = 0; i < 15; i++, id++) {
            burst[i] = id = next_id_in_bucket(world, id, 63, round % 64);
            CHECK(insert(world, id) == HF_INDEX_INSERTED);
        }
        hf_index_grow_if_needed(world->index, world->held);
        renewals += levels_of(world) > 1;
        for (unsigned i = 0; i < 15; i++) {
            take(world, burst[i]);
        }
        migrate_wholly(world);
        CHECK(bytes_of(world) == bytes, "round %u: %lu bytes", round, (unsigned long)bytes_of(world));
    }
    CHECK(renewals >= 20 && renewals <= 60, "%u", renewals);
    world_end(world);
}

Test(index, a_large_one_lies_in_huge_pages_and_is_given_back) {
    struct world *world = &shared;
    hf_section_register();
    mapped = 0;
    world_begin(world, 1 << 20, 0);
    hf_index_gauges gauges;
    hf_index_gauges_read(world->index, &gauges);
    CHECK(gauges.levels == 1 && gauges.entries == 262144u * 6 + (262144u + 32768) * 8);
    CHECK((int64_t)((gauges.bytes + 4095) & ~4095ul) == mapped);
    uint64_t lines = (262144u + 262144u + 32768) * 64;
    CHECK(gauges.bytes >= lines && gauges.bytes <= lines + 2 * 4096); /* what does not fill a huge page is not rounded up to one */
    for (unsigned id = 0; id < IDS; id++) {
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    check_all(world, IDS);
    world_end(world);
    CHECK(mapped == 0);
    hf_section_unregister();
}

/* ---- limits and memory that runs out ----------------------------------------------------------------------------- */

Test(index, more_ids_than_a_slot_number_can_tell_apart_are_refused) {
    CHECK(hf_index_new(UINT64_MAX, same, hash_of_slot, NULL) == NULL);
    CHECK(strstr(hf_error_detail(), "at most") != NULL);
}

Test(index, the_forty_first_table_is_refused) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    for (unsigned i = 1; i < 40; i++) {
        CHECK(hf_index_renew(world->index, 1));
    }
    CHECK(!hf_index_renew(world->index, 1));
    CHECK(strstr(hf_error_detail(), "table number 41") != NULL);
    for (unsigned id = 0; id < 22; id++) {
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    CHECK(insert(world, 22) == HF_INDEX_NO_MEMORY);
    CHECK(insert(world, 3) == HF_INDEX_EXISTS);
    check_all(world, 23);
    CHECK(hf_index_migrate(world->index, 4)); /* one table fewer: room for another */
    CHECK(insert(world, 22) == HF_INDEX_INSERTED);
    check_all(world, 23);
    world_end(world);
}

/* A life of the index in which the mapping number `failing` fails once. Returns whether it came to that. */
static bool life_with_failure(long failing) {
    struct world *world = &shared;
    maps_left = failing;
    world_begin(world, 1, 1);
    if (world->index == NULL) {
        CHECK(maps_left == -1 && strstr(hf_error_detail(), "Cannot allocate memory") != NULL);
        hf_section_unregister();
        return true;
    }
    for (unsigned id = 0; id < 400; id++) {
        enum hf_index_result result = insert(world, id);
        if (result == HF_INDEX_NO_MEMORY) {
            CHECK(strstr(hf_error_detail(), "cannot map") != NULL);
            check_all(world, 401);
            result = insert(world, id);
        }
        CHECK(result == HF_INDEX_INSERTED);
        if (id % 50 == 49) {
            hf_index_grow_if_needed(world->index, world->held);
        }
    }
    check_all(world, 401);
    if (!hf_index_renew(world->index, 1)) { /* far too small: migration has to make larger ones */
        CHECK(hf_index_renew(world->index, 1));
    }
    migrate_wholly(world);
    check_all(world, 401);
    bool failed = maps_left == -1;
    maps_left = -1;
    world_end(world);
    return failed;
}

Test(index, each_failing_allocation_is_survived) {
    hf_section_register();
    mapped = 0;
    long failing = 0;
    while (life_with_failure(failing)) {
        CHECK(mapped == 0, "mapping %ld: %ld bytes are left", failing, (long)mapped);
        failing++;
    }
    CHECK(failing > 8, "only %ld mappings were made", failing);
    hf_section_unregister();
}

Test(index, migration_without_memory_loses_nothing_and_goes_on_later) {
    struct world *world = &shared;
    world_begin(world, 400, 0);
    for (unsigned id = 0; id < 400; id++) {
        CHECK(insert(world, id) == HF_INDEX_INSERTED);
    }
    CHECK(hf_index_renew(world->index, 1));
    maps_left = 0;
    maps_stay_failed = true;
    for (unsigned i = 0; i < 10; i++) {
        CHECK(hf_index_migrate(world->index, 1000));
        check_all(world, 401);
    }
    unsigned refused = 0;
    for (unsigned id = 400; id < 800; id++) {
        refused += insert(world, id) == HF_INDEX_NO_MEMORY;
    }
    CHECK(refused > 300);
    hf_index_grow_if_needed(world->index, 5000);
    CHECK(levels_of(world) == 2);
    maps_stay_failed = false;
    maps_left = -1;
    check_all(world, 800);
    migrate_wholly(world);
    check_all(world, 800);
    world_end(world);
}

/* ---- races by hand: other operations in the middle of one -------------------------------------------------------- */

enum { OTHER = 7, MEANT = 8 }; /* ids; with hash kind 3 a scan for MEANT meets OTHER first */

static void insert_meant(struct world *world, uint32_t slot) {
    (void)slot;
    CHECK(insert_inside(world, MEANT) == HF_INDEX_INSERTED);
}
static void add_table_then_insert_meant(struct world *world, uint32_t slot) {
    CHECK(hf_index_renew(world->index, 1));
    insert_meant(world, slot);
}
static void add_two_tables_then_insert_meant(struct world *world, uint32_t slot) {
    CHECK(hf_index_renew(world->index, 64));
    add_table_then_insert_meant(world, slot);
}
static void insert_meant_then_add_table_then_insert_more(struct world *world, uint32_t slot) {
    insert_meant(world, slot);
    CHECK(hf_index_renew(world->index, 64));
    CHECK(insert_inside(world, 9) == HF_INDEX_INSERTED);
}

static void insertion_meets(void (*meanwhile)(struct world *, uint32_t), enum hf_index_result expected) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    world->on_same = meanwhile;
    CHECK(insert(world, MEANT) == expected);
    CHECK(world->on_same == NULL);
    check_all(world, 20);
    migrate_wholly(world);
    check_all(world, 20);
    world_end(world);
}

Test(index, an_insertion_overtaken_in_its_bucket_is_told) { insertion_meets(insert_meant, HF_INDEX_EXISTS); }
Test(index, an_insertion_overtaken_in_the_next_table_is_told) {
    insertion_meets(add_table_then_insert_meant, HF_INDEX_EXISTS);
}
Test(index, an_insertion_overtaken_two_tables_on_is_told) {
    insertion_meets(add_two_tables_then_insert_meant, HF_INDEX_EXISTS);
}
Test(index, an_insertion_overtaken_and_then_closed_out_is_told) {
    insertion_meets(insert_meant_then_add_table_then_insert_more, HF_INDEX_EXISTS);
}

static void add_table(struct world *world, uint32_t slot) {
    (void)slot;
    CHECK(hf_index_renew(world->index, 1));
}
Test(index, an_insertion_into_a_table_just_succeeded_counts) { insertion_meets(add_table, HF_INDEX_INSERTED); }

static void add_table_and_close(struct world *world, uint32_t slot) {
    add_table(world, slot);
    CHECK(insert_inside(world, 9) == HF_INDEX_INSERTED);
}
Test(index, an_insertion_closed_out_goes_to_the_next_table) { insertion_meets(add_table_and_close, HF_INDEX_INSERTED); }

/* A scan for MEANT meets OTHER; meanwhile MEANT goes and its place is used by an id of the same fingerprint. */
static void replace_meant(struct world *world, uint32_t slot) {
    (void)slot;
    remove_inside(world, MEANT);
    CHECK(insert_inside(world, 9) == HF_INDEX_INSERTED);
}
Test(index, a_lookup_whose_place_is_used_again_is_not_fooled) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    world->on_same = replace_meant;
    find(world, MEANT);
    find(world, 9);
    world_end(world);
}

/* The slot of an insertion that lost is never compared: it is its caller's again. */
static void lose_an_insertion(struct world *world, uint32_t slot) {
    (void)slot;
    remove_inside(world, MEANT);
    world->on_same = insert_meant; /* in the middle of this one */
    CHECK(insert_inside(world, MEANT) == HF_INDEX_EXISTS);
}
Test(index, a_lookup_never_compares_a_slot_whose_insertion_lost) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    world->on_same = lose_an_insertion;
    find(world, MEANT);
    check_all(world, 20);
    world_end(world);
}

/* A look-up holds the header of before while its bucket moves; another thread migrates, since this one is in its
 * section. */
static void *migrate_a_little(void *argument) {
    struct world *world = argument;
    hf_section_register();
    bool more = hf_index_migrate(world->index, 1); /* bucket 0 of 4: no table is dropped, so no grace period */
    hf_section_unregister();
    return more ? world : NULL;
}
static void move_the_bucket(struct world *world, uint32_t slot) {
    (void)slot;
    pthread_t thread;
    void *more = NULL;
    CHECK(hf_index_renew(world->index, 1));
    CHECK(pthread_create(&thread, NULL, migrate_a_little, world) == 0);
    CHECK(pthread_join(thread, &more) == 0 && more == world);
}
Test(index, a_lookup_follows_its_id_to_the_next_table) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK((hash_of(world, MEANT) & 3) == 0);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    world->on_same = move_the_bucket;
    find(world, MEANT);
    check_all(world, 20);
    take(world, MEANT); /* the copy, with the word of the original still standing */
    check_all(world, 20);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    migrate_wholly(world);
    check_all(world, 20);
    world_end(world);
}
Test(index, an_insertion_finds_its_id_in_the_next_table) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    world->on_same = move_the_bucket;
    CHECK(insert(world, MEANT) == HF_INDEX_EXISTS);
    check_all(world, 20);
    world_end(world);
}

/* Two inserters of MEANT. The first has found no next table and stands in its scan when there is one; the second
 * searches the older table, and stands in that scan, when the first goes on to its end. */
static struct {
    pthread_t thread;
    sem_t stands, go_on;
    enum hf_index_result result;
} first;

static void stand_until_told(struct world *world, uint32_t slot) {
    (void)world, (void)slot;
    sem_post(&first.stands);
    while (sem_wait(&first.go_on) != 0) {
    }
}
static void *insert_first(void *argument) {
    struct world *world = argument;
    key wanted = key_for(MEANT);
    uint32_t existing;
    hf_section_register();
    hf_section_enter();
    first.result = hf_index_insert(world->index, hash_of(world, MEANT), &wanted, 99, &existing);
    hf_section_leave();
    hf_section_unregister();
    return NULL;
}
static void let_the_first_finish(struct world *world, uint32_t slot) {
    (void)world, (void)slot;
    sem_post(&first.go_on);
    pthread_join(first.thread, NULL);
}
Test(index, an_insertion_closes_the_older_bucket_before_it_searches_it) {
    struct world *world = &shared;
    world_begin(world, 1, 3);
    CHECK(insert(world, OTHER) == HF_INDEX_INSERTED);
    world->key_of[99] = key_for(MEANT);
    world->in_index[99] = true;
    sem_init(&first.stands, 0, 0);
    sem_init(&first.go_on, 0, 0);
    world->on_same = stand_until_told;
    CHECK(pthread_create(&first.thread, NULL, insert_first, world) == 0);
    while (sem_wait(&first.stands) != 0) {
    }
    CHECK(hf_index_renew(world->index, 1));
    world->on_same = let_the_first_finish;
    key wanted = key_for(MEANT);
    uint32_t existing = HF_INDEX_NONE;
    world->key_of[98] = wanted;
    world->in_index[98] = true;
    hf_section_enter();
    enum hf_index_result second = hf_index_insert(world->index, hash_of(world, MEANT), &wanted, 98, &existing);
    hf_section_leave();
    CHECK(first.result == HF_INDEX_INSERTED && second == HF_INDEX_EXISTS && existing == 99);
    world->slot_of[MEANT] = 99;
    world->held++;
    check_all(world, 20);
    world_end(world);
}

/* Migration asks for an entry's hash after it has read the entry and before it copies it. */
static void migration_meets(unsigned hash_kind, void (*meanwhile)(struct world *, uint32_t)) {
    struct world *world = &shared;
    world_begin(world, 1, hash_kind);
    CHECK(insert(world, MEANT) == HF_INDEX_INSERTED);
    CHECK(hf_index_renew(world->index, 1));
    world->on_hash = meanwhile;
    (void)hf_index_migrate(world->index, 4);
    CHECK(world->on_hash == NULL);
    check_all(world, 200);
    migrate_wholly(world);
    check_all(world, 200);
    world_end(world);
}

static void remove_meant(struct world *world, uint32_t slot) {
    (void)slot;
    remove_inside(world, MEANT);
}
static void remove_and_insert_meant(struct world *world, uint32_t slot) {
    remove_meant(world, slot);
    insert_meant(world, slot);
}
static void add_table_and_replace_meant(struct world *world, uint32_t slot) {
    add_table(world, slot);
    remove_and_insert_meant(world, slot);
}
static void fill_the_next_table(struct world *world, uint32_t slot) {
    (void)slot;
    uint64_t bucket = hash_of(world, MEANT) & 3;
    unsigned id = MEANT;
    for (unsigned i = 0; i < 22; i++) {
        id = next_id_in_bucket(world, id + 1, 3, bucket);
        CHECK(insert_inside(world, id) == HF_INDEX_INSERTED);
    }
    find_inside(world, MEANT);
}

Test(index, migration_does_not_revive_a_removed_id) { migration_meets(3, remove_meant); }
Test(index, migration_does_not_double_an_id_inserted_again) { migration_meets(3, remove_and_insert_meant); }
Test(index, migration_and_a_third_table) { migration_meets(3, add_table_and_replace_meant); }
Test(index, migration_goes_on_to_a_third_table) { migration_meets(3, add_table); }
Test(index, migration_makes_a_table_when_the_next_is_full) { migration_meets(0, fill_the_next_table); }

Test(index, prefetch_and_removal_of_what_was_never_there) {
    struct world *world = &shared;
    world_begin(world, 1, 0);
    take(world, 5);
    find(world, 5);
    CHECK(insert(world, 5) == HF_INDEX_INSERTED);
    hf_section_enter();
    CHECK(!hf_index_remove(world->index, hash_of(world, 6), (uint32_t)world->slot_of[5]));
    hf_section_leave();
    check_all(world, 10);
    CHECK(!hf_index_migrate(world->index, 1)); /* nothing to do */
    world_end(world);
}
