/* The batch header: round trips, the validity rule clause by clause, and the golden file. */
#include "tests/support/golden.c"
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/batch.h"

#include <string.h>

static hf_batch_header random_header(uint64_t *state) {
    hf_batch_header h = {
        .flags = (uint32_t)kit_below(state, 2), .term = kit_next(state), .generation = kit_next(state)};
    h.durable = kit_below(state, HF_BATCH_MAX_NUMBER) >> kit_below(state, 62);
    h.epoch = h.durable + 1 + kit_below(state, HF_BATCH_MAX_NUMBER - h.durable);
    h.part = (uint32_t)kit_next(state);
    h.payload_length = kit_below(state, HF_BATCH_MAX_PAYLOAD + 1);
    h.time_ms = kit_next(state);
    h.sequence = kit_below(state, HF_BATCH_MAX_NUMBER) | 1;
    uint8_t *bytes[] = {h.uuid, h.before.bytes, h.payload.bytes};
    for (int i = 0; i < 3; i++) {
        for (int n = 0; n < 16; n++) {
            bytes[i][n] = (uint8_t)kit_next(state);
        }
    }
    return h;
}

static bool same(const hf_batch_header *a, const hf_batch_header *b) {
    return a->flags == b->flags && memcmp(a->uuid, b->uuid, 16) == 0 && a->term == b->term &&
           a->generation == b->generation && a->epoch == b->epoch && a->durable == b->durable && a->part == b->part &&
           a->payload_length == b->payload_length && a->time_ms == b->time_ms && a->sequence == b->sequence &&
           hf_digest_equal(&a->before, &b->before) && hf_digest_equal(&a->payload, &b->payload) &&
           hf_digest_equal(&a->link, &b->link);
}

Test(batch, what_is_encoded_is_decoded) {
    uint64_t state = kit_seed(5);
    for (int i = 0; i < 20000; i++) {
        hf_batch_header h = random_header(&state), back;
        uint8_t bytes[HF_BATCH_HEADER];
        hf_batch_encode(&h, bytes);
        const char *wrong = hf_batch_decode(bytes, &back);
        CHECK(wrong == NULL && same(&h, &back), "%s", wrong ? wrong : "other fields");
    }
}

Test(batch, any_flipped_bit_is_noticed) {
    uint64_t state = kit_seed(6);
    hf_batch_header h = random_header(&state), back;
    uint8_t bytes[HF_BATCH_HEADER];
    hf_batch_encode(&h, bytes);
    for (int bit = 0; bit < (int)HF_BATCH_HEADER * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const char *wrong = hf_batch_decode(bytes, &back);
        CHECK(wrong != NULL && wrong != hf_batch_other_version, "bit %d", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(hf_batch_decode(bytes, &back) == NULL, "as before");
}

/* A header that somebody wrote on purpose, digest and all: each bound holds by itself. */
static const char *decode_changed(size_t at, const void *value, size_t length) {
    uint64_t state = 7;
    hf_batch_header h = random_header(&state);
    h.epoch = 9;
    h.durable = 8;
    uint8_t bytes[HF_BATCH_HEADER];
    hf_batch_encode(&h, bytes);
    memcpy(bytes + at, value, length);
    hf_digest digest = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, digest.bytes, 16);
    return hf_batch_decode(bytes, &h);
}

Test(batch, each_clause_of_the_validity_rule_holds) {
    static const struct {
        size_t at, length;
        uint64_t value;
        const char *wrong;
    } changes[] = {
        {0, 1, 'h', "does not begin like a batch"},
        {10, 2, 161, "header size"},
        {12, 4, 2, "reserved"},
        {56, 8, 9, "durable"},
        {68, 4, 1, "reserved"},
        {71, 1, 1, "reserved"},
        {72, 8, HF_BATCH_MAX_PAYLOAD + 1, "longer"},
        {72, 8, UINT64_MAX, "longer"},
        {88, 8, 0, "sequence"},
        {88, 8, HF_BATCH_MAX_NUMBER + 1, "sequence"},
        {88, 8, UINT64_MAX, "sequence"},
        {48, 8, HF_BATCH_MAX_NUMBER + 1, "epoch"},
        {48, 8, UINT64_MAX, "epoch"},
        {128, 1, 1, "reserved"},
        {143, 1, 1, "reserved"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        uint8_t bytes[8];
        hf_put64(bytes, changes[i].value);
        const char *wrong = decode_changed(changes[i].at, bytes, changes[i].length);
        CHECK(wrong != NULL && strstr(wrong, changes[i].wrong) != NULL, "%zu: %s", i, wrong ? wrong : "valid");
    }
    uint16_t version = 2;
    CHECK(decode_changed(8, &version, 2) == hf_batch_other_version, "another version");
    uint64_t most = HF_BATCH_MAX_PAYLOAD;
    CHECK(decode_changed(72, &most, 8) == NULL, "the longest payload");
    most = HF_BATCH_MAX_NUMBER;
    CHECK(decode_changed(48, &most, 8) == NULL && decode_changed(88, &most, 8) == NULL, "the highest numbers");
}

Test(batch, sizes_are_whole_pages) {
    CHECK(hf_batch_size(0) == 4096 && hf_batch_size(3936) == 4096 && hf_batch_size(3937) == 8192, "sizes");
    CHECK(hf_batch_size(HF_BATCH_MAX_PAYLOAD) == HF_BATCH_MAX_PAYLOAD + 4096, "the largest");
    uint8_t bytes[100] = {0};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        CHECK(!hf_is_zero(bytes, sizeof bytes) && hf_is_zero(bytes, i), "byte %zu", i);
        bytes[i] = 0;
    }
    CHECK(hf_is_zero(bytes, sizeof bytes) && hf_is_zero(bytes, 0), "zeros");
}

Test(batch, the_golden_batch_is_what_is_written_and_read) {
    static const char payload[] = "Holdfast: may this buyer have these units?";
    uint8_t bytes[HF_BATCH_ALIGN] = {0};
    memcpy(bytes + HF_BATCH_HEADER, payload, sizeof payload);
    hf_batch_header h = {.flags = HF_BATCH_LAST,
                         .uuid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                         .term = 3,
                         .generation = 0x0102030405060708,
                         .epoch = 0x1112131415161718,
                         .durable = 0x1112131415161717,
                         .part = 0x21222324,
                         .payload_length = sizeof payload,
                         .time_ms = 1700000000123,
                         .sequence = 0x3132333435363738,
                         .payload = hf_digest_of(payload, sizeof payload)},
                    back;
    memset(h.before.bytes, 0xee, sizeof h.before.bytes);
    hf_batch_encode(&h, bytes);
    uint8_t golden[HF_BATCH_ALIGN];
    CHECK(golden_read("batch.hex", golden, sizeof golden), "tests/golden/batch.hex");
    CHECK(memcmp(golden, bytes, sizeof golden) == 0, "the format changed: raise its version");
    CHECK(hf_batch_decode(golden, &back) == NULL && same(&h, &back), "read back");
}
