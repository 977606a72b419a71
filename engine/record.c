/* Encoding and decoding of records. The format is in record.h. */
#include "record.h"

#include <assert.h>
#include <string.h>

#include "number.h"
#include "reservation.h"
#include "sku.h"
#include "wal/batch.h"

enum {
    FLAG_ONE = 0x10,
    FLAG_PARTS = 0x20,
    FLAG_TIME = 0x40,
    FLAG_POSITION = 0x80,
    PARTS_ALL = HF_PART_OPEN | HF_PART_CONTINUED | HF_PART_GIVE | HF_PART_RECOVERY,
};
_Static_assert(HF_RECORD_TYPE_END <= 16, "a type has four bits");

static bool has_id(hf_record_type type) { return type <= HF_RECORD_NOTE; } /* they come first; nobody asks of type 0 */
static bool has_step(hf_record_type type) { return type >= HF_RECORD_CONFIRM && type <= HF_RECORD_EXPIRE; }
static bool has_lines(hf_record_type type) {
    return has_id(type) && type != HF_RECORD_EXTEND && type != HF_RECORD_NOTE;
}
static bool has_ttl(hf_record_type type) { return type == HF_RECORD_RESERVE || type == HF_RECORD_EXTEND; }
static bool has_name(hf_record_type type) { return type == HF_RECORD_SKU || type == HF_RECORD_SESSION; }

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static inline uint8_t *put_step(uint8_t *at, uint64_t step, uint64_t time_ms) {
    at = hf_put_signed(at, (int64_t)(time_ms - (step >> HF_STEP_BITS)));
    return hf_put_number(at, step & ((1u << HF_STEP_BITS) - 1));
}

static uint8_t *put_lines(uint8_t *at, const hf_entry *entry) {
    if (entry->step_count != 1) {
        at = hf_put_number(at, entry->step_count);
    }
    for (uint32_t i = 0; i < entry->step_count; i++) {
        const hf_step *step = &entry->steps[i];
        at = hf_put_number(at, step->sku);
        at = entry->type == HF_RECORD_ADJUST ? hf_put_signed(at, step->quantity) : hf_put_number(at, (uint64_t)step->quantity);
        at = hf_put_number(at, step->version);
        if (hf_record_has_change(entry->type, entry->parts)) {
            at = hf_put_signed(at, step->change);
        }
    }
    return at;
}

static uint8_t *put_name(uint8_t *at, const hf_entry *entry) {
    at = hf_put_number(at, entry->number);
    *at++ = (uint8_t)entry->name_length;
    memcpy(at, entry->name, entry->name_length);
    return at + entry->name_length;
}

static uint8_t *put_body(uint8_t *at, const hf_entry *entry) {
    hf_record_type type = entry->type;
    if (type == HF_RECORD_NOTE) {
        *at++ = (uint8_t)entry->outcome;
    }
    if (has_id(type)) {
        memcpy(at, entry->id.bytes, sizeof entry->id.bytes);
        at += sizeof entry->id.bytes;
    }
    if (has_step(type)) {
        at = put_step(at, entry->step, entry->time_ms);
    }
    if (has_ttl(type)) {
        at = hf_put_number(at, entry->ttl_ms);
    }
    if (type == HF_RECORD_RESERVE) {
        at = hf_put_number(at, entry->user);
    }
    if (has_lines(type)) {
        return put_lines(at, entry);
    }
    if (has_name(type)) {
        return put_name(at, entry);
    }
    return type == HF_RECORD_RECOVERY ? hf_put_number(at, entry->number) : at;
}

uint8_t *hf_record_encode(uint8_t *at, const hf_entry *entry, hf_record_context *context) {
    assert(entry->time_ms >= context->time_ms && entry->time_ms <= HF_MAX_TIME_MS);
    uint8_t *flags = at++;
    unsigned set = 0;
    if (has_lines(entry->type) && entry->step_count == 1) {
        set |= FLAG_ONE;
    }
    if (entry->parts) {
        set |= FLAG_PARTS;
        *at++ = (uint8_t)entry->parts;
        if (entry->parts & HF_PART_GIVE) {
            *at++ = (uint8_t)entry->outcome;
        }
    }
    if (entry->time_ms != context->time_ms) {
        set |= FLAG_TIME;
        at = hf_put_number(at, entry->time_ms - context->time_ms);
        context->time_ms = entry->time_ms;
    }
    if (entry->position) {
        set |= FLAG_POSITION;
        at = hf_put_signed(at, (int64_t)(entry->position - context->position));
        context->position = entry->position;
    }
    *flags = (uint8_t)(set | (unsigned)entry->type);
    return put_body(at, entry);
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

static uint8_t get_byte(const uint8_t **at, const uint8_t *end, bool *good) {
    if (*at == end) {
        *good = false;
        return 0;
    }
    return *(*at)++;
}

static void get_id(hf_chunk *chunk, hf_entry *entry, bool *good) {
    if (chunk->end - chunk->at < (ptrdiff_t)sizeof entry->id.bytes) {
        *good = false;
        return;
    }
    memcpy(entry->id.bytes, chunk->at, sizeof entry->id.bytes);
    chunk->at += sizeof entry->id.bytes;
}

static void get_step(hf_chunk *chunk, hf_entry *entry, bool *good) {
    uint64_t age = (uint64_t)hf_get_signed(&chunk->at, chunk->end, good);
    uint64_t low = hf_get_number(&chunk->at, chunk->end, good);
    uint64_t time = entry->time_ms - age;
    *good = *good && time <= HF_MAX_TIME_MS && low >> HF_STEP_BITS == 0;
    entry->step = time << HF_STEP_BITS | low;
}

/* A count's change may be anything that leads from one on_hand to another. Given back is all that was taken of it, or nothing. */
static bool is_change(const hf_entry *entry, const hf_step *step) {
    int64_t on_hand, reserved;
    if (entry->type == HF_RECORD_COUNT) {
        return step->change >= -(int64_t)HF_COUNTER_MASK && step->change <= HF_MAX_QUANTITY;
    }
    hf_counter_change(entry->type, step->quantity, entry->parts & HF_PART_GIVE, &on_hand, &reserved);
    return step->change == 0 || step->change == on_hand;
}

static void get_lines(hf_chunk *chunk, hf_entry *entry, hf_step *steps, bool one, bool *good) {
    uint64_t count = one ? 1 : hf_get_number(&chunk->at, chunk->end, good);
    if (!*good || count > HF_MAX_LINES) {
        *good = false;
        return;
    }
    int64_t least = entry->type == HF_RECORD_ADJUST ? -HF_MAX_QUANTITY : 0;
    for (uint64_t i = 0; i < count && *good; i++) {
        uint64_t sku = hf_get_number(&chunk->at, chunk->end, good);
        steps[i].quantity = entry->type == HF_RECORD_ADJUST ? hf_get_signed(&chunk->at, chunk->end, good)
                                                            : (int64_t)hf_get_number(&chunk->at, chunk->end, good);
        steps[i].version = hf_get_number(&chunk->at, chunk->end, good);
        bool has_change = hf_record_has_change(entry->type, entry->parts);
        steps[i].change = has_change ? hf_get_signed(&chunk->at, chunk->end, good) : 0;
        bool quantity = steps[i].quantity >= least && steps[i].quantity <= HF_MAX_QUANTITY &&
                        (steps[i].quantity != 0 || entry->type == HF_RECORD_COUNT);
        *good = *good && sku > 0 && sku <= HF_MAX_SKUS && quantity && steps[i].version > 0 && steps[i].version >> HF_VERSION_BITS == 0 &&
                is_change(entry, &steps[i]);
        steps[i].sku = (uint32_t)sku;
    }
    entry->steps = steps;
    entry->step_count = (uint32_t)count;
}

static void get_name(hf_chunk *chunk, hf_entry *entry, bool *good) {
    uint64_t number = hf_get_number(&chunk->at, chunk->end, good);
    uint8_t length = get_byte(&chunk->at, chunk->end, good);
    bool session = entry->type == HF_RECORD_SESSION;
    uint64_t highest = session ? HF_MAX_SESSION_NUMBER : HF_MAX_SKUS;
    uint8_t longest = session ? HF_MAX_SESSION_NAME : HF_MAX_SKU_NAME;
    *good = *good && number > 0 && number <= highest && length > 0 && length <= longest && chunk->end - chunk->at >= length;
    if (*good) {
        entry->number = (uint32_t)number;
        entry->name = chunk->at;
        entry->name_length = length;
        chunk->at += length;
    }
}

static void get_body(hf_chunk *chunk, hf_entry *entry, hf_step *steps, bool one, bool *good) {
    hf_record_type type = entry->type;
    if (type == HF_RECORD_NOTE) {
        entry->outcome = (hf_outcome)get_byte(&chunk->at, chunk->end, good);
    }
    if (has_id(type)) {
        get_id(chunk, entry, good);
    }
    if (has_step(type)) {
        get_step(chunk, entry, good);
    }
    if (has_ttl(type)) {
        entry->ttl_ms = hf_get_number(&chunk->at, chunk->end, good);
    }
    if (type == HF_RECORD_RESERVE) {
        entry->user = hf_get_number(&chunk->at, chunk->end, good);
    }
    if (has_lines(type)) {
        get_lines(chunk, entry, steps, one, good);
    } else if (has_name(type)) {
        get_name(chunk, entry, good);
    } else if (type == HF_RECORD_RECOVERY) {
        uint64_t term = hf_get_number(&chunk->at, chunk->end, good);
        *good = *good && term > 0 && term <= UINT32_MAX;
        entry->number = (uint32_t)term;
    }
    *good = *good && entry->ttl_ms <= HF_MAX_TTL_MS && (unsigned)entry->outcome < HF_OUTCOME_COUNT;
}

int hf_record_decode(hf_chunk *chunk, hf_entry *entry, hf_step *steps) {
    if (chunk->at == chunk->end) {
        return 0;
    }
    bool good = true;
    unsigned flags = get_byte(&chunk->at, chunk->end, &good);
    *entry = (hf_entry){.type = (hf_record_type)(flags & 15)};
    bool one = flags & FLAG_ONE;
    if (entry->type == 0 || entry->type >= HF_RECORD_TYPE_END || (one && !has_lines(entry->type))) {
        return -1;
    }
    if (flags & FLAG_PARTS) {
        entry->parts = get_byte(&chunk->at, chunk->end, &good);
        if (entry->parts & HF_PART_GIVE) {
            entry->outcome = (hf_outcome)get_byte(&chunk->at, chunk->end, &good);
        }
        good = good && entry->parts != 0 && (entry->parts & ~(unsigned)PARTS_ALL) == 0 && has_lines(entry->type);
    }
    uint64_t later = flags & FLAG_TIME ? hf_get_number(&chunk->at, chunk->end, &good) : 0;
    good = good && later <= HF_MAX_TIME_MS - chunk->context.time_ms;
    if (flags & FLAG_POSITION) {
        chunk->context.position += (uint64_t)hf_get_signed(&chunk->at, chunk->end, &good);
        entry->position = chunk->context.position;
        good = good && entry->position != 0;
    }
    if (!good) {
        return -1;
    }
    entry->time_ms = chunk->context.time_ms += later;
    get_body(chunk, entry, steps, one, &good);
    return good ? 1 : -1;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

void hf_chunk_header(uint8_t header[HF_CHUNK_HEADER], uint32_t session, uint64_t length, bool names) {
    assert(length > 0 && length < HF_CHUNK_NAMES);
    hf_put32(header, session);
    hf_put32(header + 4, (uint32_t)length | (names ? HF_CHUNK_NAMES : 0));
}

const uint8_t *hf_chunk_open(const uint8_t *at, const uint8_t *end, hf_chunk *chunk) {
    if (end - at < (ptrdiff_t)HF_CHUNK_HEADER) {
        return NULL;
    }
    uint32_t length = hf_get32(at + 4);
    *chunk = (hf_chunk){.session = hf_get32(at), .names = length & HF_CHUNK_NAMES, .at = at + HF_CHUNK_HEADER};
    length &= ~HF_CHUNK_NAMES;
    if (length == 0 || length > (size_t)(end - chunk->at) || chunk->session > HF_MAX_SESSION_NUMBER) {
        return NULL;
    }
    return chunk->end = chunk->at + length;
}
