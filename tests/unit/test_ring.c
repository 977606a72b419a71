/* The log ring: tags, the stretch of an epoch, room, and the overhang at its end. */
#include <criterion/criterion.h>

#include "engine/part.h"
#include "engine/ring.h"
#include "tests/support/harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct taken {
    uint8_t *bytes;
    size_t length, room;
    int error; /* to answer */
} taken;

static int put(void *context, const void *data, size_t length) {
    taken *t = context;
    if (t->error) {
        return t->error;
    }
    if (t->length + length > t->room) {
        t->room = 2 * (t->length + length);
        t->bytes = realloc(t->bytes, t->room);
        cr_assert(t->bytes);
    }
    memcpy(t->bytes + t->length, data, length);
    t->length += length;
    return 0;
}

static hf_entry receive_of(uint64_t number, const hf_step *steps, uint32_t count) {
    hf_entry entry = {.type = HF_RECORD_PURCHASE, .time_ms = HARNESS_EPOCH_MS + number, .steps = steps, .step_count = count};
    memcpy(entry.id.bytes, &number, sizeof number);
    return entry;
}

/* Takes epoch `epoch` and checks that it is the records from..to, and nothing else. */
static void expect_taken(hf_ring *ring, uint64_t epoch, uint64_t from, uint64_t to) {
    taken t = {0};
    bool any;
    cr_assert_eq(hf_ring_take(ring, epoch, 5, put, &t, &any), 0);
    cr_assert_eq(any, to > from);
    if (!any) {
        return;
    }
    hf_chunk chunk;
    hf_entry entry;
    static hf_step steps[HF_MAX_LINES];
    cr_assert_eq(hf_chunk_open(t.bytes, t.bytes + t.length, &chunk), t.bytes + t.length, "one chunk");
    cr_assert_eq(chunk.session, 5u);
    for (uint64_t i = from; i < to; i++) {
        uint64_t number;
        cr_assert_eq(hf_record_decode(&chunk, &entry, steps), 1, "record %llu", (unsigned long long)i);
        memcpy(&number, entry.id.bytes, sizeof number);
        cr_assert(number == i && entry.time_ms == HARNESS_EPOCH_MS + i, "record %llu is %llu", (unsigned long long)i,
                  (unsigned long long)number);
    }
    cr_assert_eq(hf_record_decode(&chunk, &entry, steps), 0);
    free(t.bytes);
}

Test(ring, an_epoch_is_taken_whole_and_nothing_of_the_next) {
    hf_ring ring;
    hf_step step = {.sku = 1, .quantity = 1, .version = 1};
    MUST(hf_ring_open(&ring, HF_RING_MIN));
    uint64_t next = 0, random = harness_begin("ring");
    for (uint64_t epoch = 1; epoch < 3000; epoch++) {
        uint64_t from = next, middle = from + harness_below(&random, 40), to = middle + harness_below(&random, 40);
        for (; next < to; next++) {
            hf_entry entry = receive_of(next, &step, 1);
            cr_assert(hf_ring_room(&ring, HF_RECORD_FEW));
            hf_ring_append(&ring, next < middle ? epoch : epoch + 1, &entry);
        }
        expect_taken(&ring, epoch, from, middle);
        expect_taken(&ring, epoch + 1, middle, to); /* the next epoch begins with those */
        epoch++;
        cr_assert_eq(hf_ring_used(&ring), 0u);
    }
    hf_ring_close(&ring);
}

Test(ring, is_full_before_it_overwrites_and_goes_round_whole) {
    hf_ring ring;
    hf_step *steps = calloc(HF_MAX_LINES, sizeof *steps);
    MUST(hf_ring_open(&ring, HF_RING_MIN));
    for (uint32_t i = 0; i < HF_MAX_LINES; i++) {
        steps[i] = (hf_step){.sku = i + 1, .quantity = HF_MAX_QUANTITY, .version = (UINT64_C(1) << 47) - 1};
    }
    uint64_t next = 0;
    for (uint64_t epoch = 1; epoch < 100; epoch++) {
        uint64_t from = next;
        uint32_t lines = 1 + (uint32_t)(epoch * 337 % HF_MAX_LINES);
        while (hf_ring_room(&ring, hf_record_need(lines))) {
            hf_entry entry = receive_of(next++, steps, lines);
            hf_ring_append(&ring, epoch, &entry);
            cr_assert_leq(hf_ring_used(&ring), ring.size);
        }
        cr_assert_gt(next, from, "no room in an empty ring for %u lines", lines);
        expect_taken(&ring, epoch, from, next);
    }
    free(steps);
    hf_ring_close(&ring);
}

Test(ring, tells_of_names_and_of_a_put_that_fails) {
    hf_ring ring;
    taken t = {0};
    bool any;
    hf_chunk chunk;
    MUST(hf_ring_open(&ring, HF_RING_MIN));
    hf_entry entry = {.type = HF_RECORD_SKU, .number = 1, .name = "x", .name_length = 1, .time_ms = 1};
    hf_ring_append(&ring, 7, &entry);
    cr_assert_eq(hf_ring_take(&ring, 7, 1, put, &t, &any), 0);
    cr_assert_not_null(hf_chunk_open(t.bytes, t.bytes + t.length, &chunk));
    cr_expect(chunk.names);
    entry = (hf_entry){.type = HF_RECORD_NOTE, .time_ms = 1};
    hf_ring_append(&ring, 8, &entry);
    t.error = HF_EPOISONED;
    cr_expect_eq(hf_ring_take(&ring, 8, 1, put, &t, &any), HF_EPOISONED);
    free(t.bytes);
    hf_ring_close(&ring);
}

/* The record in the making: steps of two epochs become two records, and only the last bears the position. */
Test(ring, a_part_is_split_where_the_epoch_turns) {
    hf_ring ring;
    hf_step room[8];
    hf_part part = {.ring = &ring, .steps = room};
    taken t = {0};
    bool any;
    hf_chunk chunk;
    hf_entry entry;
    hf_id id = harness_id(1, 2);
    MUST(hf_ring_open(&ring, HF_RING_MIN));
    hf_part_begin(&part, HF_RECORD_PURCHASE, &id, HARNESS_EPOCH_MS, 0);
    hf_part_step(&part, 3, (hf_step){.sku = 1, .quantity = 2, .version = 5});
    hf_part_step(&part, 3, (hf_step){.sku = 2, .quantity = 2, .version = 6});
    hf_part_step(&part, 4, (hf_step){.sku = 3, .quantity = 2, .version = 7});
    cr_expect_eq(hf_part_end(&part, HF_OUTCOME_OK, 99), 4u);
    cr_assert_eq(hf_ring_take(&ring, 3, 1, put, &t, &any), 0);
    cr_assert_not_null(hf_chunk_open(t.bytes, t.bytes + t.length, &chunk));
    static hf_step decoded[HF_MAX_LINES];
    cr_assert_eq(hf_record_decode(&chunk, &entry, decoded), 1);
    cr_expect(entry.parts == HF_PART_OPEN && entry.step_count == 2 && entry.position == 0);
    cr_expect_eq(hf_record_decode(&chunk, &entry, decoded), 0);
    t.length = 0;
    cr_assert_eq(hf_ring_take(&ring, 4, 1, put, &t, &any), 0);
    cr_assert_not_null(hf_chunk_open(t.bytes, t.bytes + t.length, &chunk));
    cr_assert_eq(hf_record_decode(&chunk, &entry, decoded), 1);
    cr_expect(entry.parts == HF_PART_CONTINUED && entry.step_count == 1 && entry.position == 99);
    cr_expect(memcmp(&entry.id, &id, sizeof id) == 0 && entry.steps[0].version == 7);
    free(t.bytes);
    hf_ring_close(&ring);
}
