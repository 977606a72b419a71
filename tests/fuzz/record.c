/* The record decoder under a fuzzer: the input is a payload, one chunk after another.
 *
 * What must hold for any bytes: nothing is read beyond them (AddressSanitizer; they lie in memory of just that size);
 * what is decoded keeps the bounds of docs/LOG_FORMAT.md; it is encoded and decoded again to the same. */
#include "engine/record.h"
#include "engine/sku.h"
#include "tests/fuzz/kit.h"

static hf_step steps[HF_MAX_LINES], again[HF_MAX_LINES];
static uint8_t encoded[HF_RECORD_HEAD_MAX + HF_MAX_LINES * HF_RECORD_LINE_MAX];

static void check_bounds(const hf_entry *entry) {
    DEMAND(entry->type >= HF_RECORD_RECEIVE && entry->type < HF_RECORD_TYPE_END, "type %d", (int)entry->type);
    DEMAND(entry->time_ms <= HF_MAX_TIME_MS && entry->ttl_ms <= HF_MAX_TTL_MS, "a time");
    DEMAND(entry->step >> 60 == 0 && entry->step_count <= HF_MAX_LINES, "a step, or %u lines", entry->step_count);
    DEMAND(entry->name_length <= HF_MAX_SKU_NAME && (entry->name || !entry->name_length), "a name");
    for (uint32_t i = 0; i < entry->step_count; i++) {
        const hf_step *s = &entry->steps[i];
        DEMAND(s->sku >= 1 && s->sku <= HF_MAX_SKUS, "SKU %u", s->sku);
        DEMAND(s->quantity <= HF_MAX_QUANTITY && s->quantity >= -HF_MAX_QUANTITY, "a quantity");
        DEMAND(s->change <= HF_MAX_QUANTITY && s->change > -(INT64_C(1) << 40), "a change");
        DEMAND(s->version >= 1 && s->version >> 47 == 0, "a version");
    }
}

static void check_same(const hf_entry *a, const hf_entry *b) {
    DEMAND(a->type == b->type && a->parts == b->parts && a->outcome == b->outcome && a->time_ms == b->time_ms &&
               a->position == b->position && a->step == b->step && a->ttl_ms == b->ttl_ms && a->user == b->user &&
               a->number == b->number && a->name_length == b->name_length && a->step_count == b->step_count,
           "encoded and decoded, type %d is another record", (int)a->type);
    DEMAND(memcmp(&a->id, &b->id, sizeof a->id) == 0, "an id");
    DEMAND(!a->name_length || memcmp(a->name, b->name, a->name_length) == 0, "a name");
    for (uint32_t i = 0; i < a->step_count; i++) {
        const hf_step *s = &a->steps[i], *t = &b->steps[i];
        DEMAND(s->sku == t->sku && s->quantity == t->quantity && s->change == t->change && s->version == t->version,
               "line %u", i);
    }
}

static void check_encoding(const hf_entry *entry, hf_record_context before) {
    hf_record_context context = before;
    hf_chunk chunk = {.at = encoded, .end = hf_record_encode(encoded, entry, &context), .context = before, .names = true};
    hf_entry other;
    DEMAND(hf_record_decode(&chunk, &other, again) == 1 && chunk.at == chunk.end, "what was encoded is refused");
    check_same(entry, &other);
}

static void decode_chunk(hf_chunk *chunk) {
    hf_entry entry;
    for (;;) {
        hf_record_context before = chunk->context;
        const uint8_t *at = chunk->at;
        int result = hf_record_decode(chunk, &entry, steps);
        if (result != 1) {
            DEMAND(result == -1 || chunk->at == chunk->end, "the end before the end");
            return;
        }
        DEMAND(chunk->at > at && chunk->at <= chunk->end, "a record of no length");
        check_bounds(&entry);
        check_encoding(&entry, before);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_chunk chunk;
    const uint8_t *at = data, *end = data + size;
    /* As the log has them: chunks with their headers. */
    while (at && at < end) {
        const uint8_t *next = hf_chunk_open(at, end, &chunk);
        DEMAND(!next || (next > at && next <= end), "a chunk beyond its payload");
        if (next)
            decode_chunk(&chunk);
        at = next;
    }
    /* And as if all were one chunk's records. */
    chunk = (hf_chunk){.session = 1, .names = size & 1, .at = data, .end = end};
    decode_chunk(&chunk);
    return 0;
}
