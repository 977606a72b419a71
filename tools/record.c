/* A record as a line: record.h. */
#include "record.h"

/* X(bit, text) */
#define PARTS(X)                                                                                                       \
    X(HF_PART_OPEN, "open")                                                                                            \
    X(HF_PART_CONTINUED, "continued")                                                                                  \
    X(HF_PART_GIVE, "give")                                                                                            \
    X(HF_PART_RECOVERY, "recovery")

static bool has_outcome(const hf_record *record) {
    return record->type == HF_RECORD_NOTE || (record->parts & HF_PART_GIVE && !(record->parts & HF_PART_OPEN));
}

static bool is_operation(const hf_record *record) { return record->type <= HF_RECORD_NOTE; }

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void put_number(hf_writer *out, const char *before, uint64_t number) {
    if (number) {
        hf_put_text(out, before);
        hf_put_u64(out, number);
    }
}

static void put_line_text(hf_writer *out, const hf_record_line *line) {
    hf_put(out, "; ", 2);
    if (line->name)
        hf_put_shown(out, line->name, line->name_length);
    else
        put_number(out, "SKU number ", line->sku);
    hf_put(out, " ", 1);
    hf_put_i64(out, line->quantity);
    if (line->on_hand_change) {
        hf_put_text(out, " on_hand");
        hf_put_change(out, line->on_hand_change);
    }
    if (line->reserved_change) {
        hf_put_text(out, " reserved");
        hf_put_change(out, line->reserved_change);
    }
    put_number(out, " version ", line->version);
}

void hf_put_record_text(hf_writer *out, const hf_record *record) {
    hf_put_u64(out, record->epoch);
    hf_put(out, " ", 1);
    hf_put_time(out, record->time_ms);
    hf_put(out, " ", 1);
    hf_put_text(out, hf_record_text(record->type));
    if (is_operation(record)) {
        hf_put(out, " ", 1);
        hf_put_id(out, record->id);
    }
    if (record->name) {
        hf_put(out, " ", 1);
        hf_put_shown(out, record->name, record->name_length);
    }
    put_number(out, record->type == HF_RECORD_RECOVERY ? " term " : " number ", record->number);
#define X(bit, text)                                                                                                   \
    if (record->parts & (bit))                                                                                         \
        hf_put_text(out, " " text);
    PARTS(X)
#undef X
    if (has_outcome(record)) {
        hf_put(out, " ", 1);
        hf_put_text(out, hf_outcome_text(record->outcome));
    }
    put_number(out, " session ", record->session);
    put_number(out, " position ", record->position);
    put_number(out, " step ", record->step);
    put_number(out, " user ", record->user);
    if (record->deadline_ms) {
        hf_put_text(out, " deadline ");
        hf_put_time(out, record->deadline_ms);
    }
    for (uint32_t i = 0; i < record->line_count; i++)
        put_line_text(out, &record->lines[i]);
    hf_put(out, "\n", 1);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_parts_json(hf_writer *out, uint32_t parts) {
    const char *between = ",\"parts\":[\"";
#define X(bit, text)                                                                                                   \
    if (parts & (bit)) {                                                                                               \
        hf_put_text(out, between);                                                                                     \
        hf_put_text(out, text "\"");                                                                                   \
        between = ",\"";                                                                                               \
    }
    PARTS(X)
#undef X
    if (parts)
        hf_put(out, "]", 1);
}

static void put_line_json(hf_writer *out, const hf_record_line *line) {
    hf_put_text(out, "{\"sku\":");
    if (line->name)
        hf_put_json(out, line->name, line->name_length);
    else
        hf_put_text(out, "null");
    hf_put_text(out, ",\"number\":");
    hf_put_u64(out, line->sku);
    hf_put_text(out, ",\"quantity\":");
    hf_put_i64(out, line->quantity);
    hf_put_text(out, ",\"on_hand_change\":");
    hf_put_i64(out, line->on_hand_change);
    hf_put_text(out, ",\"reserved_change\":");
    hf_put_i64(out, line->reserved_change);
    hf_put_text(out, ",\"version\":");
    hf_put_u64(out, line->version);
    hf_put(out, "}", 1);
}

static void put_lines_json(hf_writer *out, const hf_record *record) {
    hf_put_text(out, ",\"lines\":[");
    for (uint32_t i = 0; i < record->line_count; i++) {
        if (i)
            hf_put(out, ",", 1);
        put_line_json(out, &record->lines[i]);
    }
    hf_put(out, "]", 1);
}

void hf_put_record_json(hf_writer *out, const hf_record *record) {
    hf_put_text(out, "{\"epoch\":");
    hf_put_u64(out, record->epoch);
    hf_put_text(out, ",\"time_ms\":");
    hf_put_u64(out, record->time_ms);
    hf_put_text(out, ",\"type\":\"");
    hf_put_text(out, hf_record_text(record->type));
    hf_put_text(out, "\",\"session\":");
    hf_put_u64(out, record->session);
    put_parts_json(out, record->parts);
    if (is_operation(record)) {
        hf_put_text(out, ",\"id\":");
        hf_put_json_id(out, record->id);
    }
    if (record->name) {
        hf_put_text(out, ",\"name\":");
        hf_put_json(out, record->name, record->name_length);
    }
    put_number(out, record->type == HF_RECORD_RECOVERY ? ",\"term\":" : ",\"number\":", record->number);
    if (has_outcome(record)) {
        hf_put_text(out, ",\"outcome\":\"");
        hf_put_text(out, hf_outcome_text(record->outcome));
        hf_put(out, "\"", 1);
    }
    put_number(out, ",\"position\":", record->position);
    put_number(out, ",\"step\":", record->step);
    put_number(out, ",\"deadline_ms\":", record->deadline_ms);
    if (record->type == HF_RECORD_RESERVE) {
        hf_put_text(out, ",\"user\":");
        hf_put_u64(out, record->user);
    }
    if (record->line_count)
        put_lines_json(out, record);
    hf_put(out, "}\n", 2);
}
