/* Records: what an operation did, as bytes of the log.
 *
 * Guarantees
 *   A  A decoder believes nothing: every length and number is bounded before it is used, and what cannot be is refused.
 *   B  A chunk, which is what one session did in one epoch, can be decoded by itself.
 *   C  Records carry changes, never results; a count carries the new on_hand and the change, what is given back the change of on_hand,
 *      which is none where a count came in between. So those of one epoch may be added up in any order.
 *
 *   chunk    | session, 4 bytes | length, 31 bits; 1 bit: it names SKUs or sessions | records ... |
 *   record   | type : 4, flags : 4 | [parts] | [time] | [position] | body |
 *              flags  ONE 0x10: one line, and no count of lines;  PARTS 0x20: a byte of HF_PART_..., and if GIVE is among
 *                     them a byte of hf_outcome;  TIME 0x40: a number, ms since the record before (the first: since 1970);
 *                     POSITION 0x80: a signed number, since the position before (the first: since 0)
 *   body     receive, adjust, count, purchase    id | lines
 *            reserve                             id | ttl_ms | user | lines
 *            confirm, confirm_late, cancel, expire    id | step | lines
 *            extend                              id | step | ttl_ms
 *            note                                outcome, 1 byte | id
 *            sku, session                        number | name length, 1 byte | name
 *            recovery                            term
 *   lines    [count] and for each: SKU's number | quantity (adjust: signed) | version | count, or GIVE: change of on_hand, signed
 *   step     signed number: time - (step >> 18) | number: step & (2^18 - 1)
 *   number   LEB128: seven bits a byte, low ones first, at most ten bytes; signed: zigzag. An id is its 16 bytes.
 */
#ifndef HF_RECORD_H
#define HF_RECORD_H

#include "counter.h"

#define HF_CHUNK_HEADER 8u
#define HF_MAX_SESSION_NUMBER (UINT32_MAX - 1) /* each opening without a name takes one, for good; HF_ESESSIONS */
#define HF_CHUNK_NAMES (UINT32_C(1) << 31)

/* The most bytes of a record without its lines, and of a line. */
#define HF_RECORD_HEAD_MAX 320u
#define HF_RECORD_LINE_MAX 24u

/* One step of one SKU, as logged. */
typedef struct hf_step {
    uint32_t sku;     /* number */
    int64_t quantity; /* count: the new on_hand */
    int64_t change;   /* of on_hand, where type and quantity do not tell: by a count or what is given back; else 0 */
    uint64_t version; /* after the step */
} hf_step;

/* A record before it is encoded, or decoded. What a type does not use is 0. */
typedef struct hf_entry {
    hf_record_type type;
    uint32_t parts;
    hf_outcome outcome;
    uint64_t time_ms;
    uint64_t position;
    hf_id id;
    uint64_t step; /* 60 bits, reservation.h */
    uint64_t ttl_ms;
    uint64_t user;
    uint32_t number; /* sku, session: its number; recovery: the term */
    const void *name;
    uint32_t name_length;
    const hf_step *steps;
    uint32_t step_count;
} hf_entry;

/* What carries over from record to record of a chunk; zero at its beginning. */
typedef struct hf_record_context {
    uint64_t time_ms;
    uint64_t position;
} hf_record_context;

/* Writes the record, which has room for HF_RECORD_HEAD_MAX + step_count * HF_RECORD_LINE_MAX bytes; returns its end. */
uint8_t *hf_record_encode(uint8_t *at, const hf_entry *entry, hf_record_context *context);

typedef struct hf_chunk {
    uint32_t session;
    bool names;
    const uint8_t *at, *end;
    hf_record_context context;
} hf_chunk;

void hf_chunk_header(uint8_t header[HF_CHUNK_HEADER], uint32_t session, uint64_t length, bool names);
/* The chunk that begins at `at`; returns where the next one begins, NULL if it is malformed. */
const uint8_t *hf_chunk_open(const uint8_t *at, const uint8_t *end, hf_chunk *chunk);
/* 1: the next record is in *entry, whose steps are in `steps` (room for HF_MAX_LINES); its pointers live as long as the
 * chunk. 0: there is no more. -1: malformed. */
int hf_record_decode(hf_chunk *chunk, hf_entry *entry, hf_step *steps);

/* Whether its lines say by how much on_hand changed. */
static inline bool hf_record_has_change(hf_record_type type, uint32_t parts) {
    return type == HF_RECORD_COUNT || parts & HF_PART_GIVE;
}
/* What the step did to the two numbers. */
static inline void hf_record_change(const hf_entry *entry, const hf_step *step, int64_t *on_hand, int64_t *reserved) {
    hf_counter_change(entry->type, step->quantity, entry->parts & HF_PART_GIVE, on_hand, reserved);
    *on_hand = hf_record_has_change(entry->type, entry->parts) ? step->change : *on_hand;
}
/* Whether a record of this type begins the life of an id. */
static inline bool hf_record_begins(hf_record_type type) { return type >= HF_RECORD_RECEIVE && type <= HF_RECORD_RESERVE; }
/* Whether its operation decides first, and its lines follow. */
static inline bool hf_record_releases(hf_record_type type) {
    return type == HF_RECORD_CANCEL || type == HF_RECORD_EXPIRE;
}

#endif
