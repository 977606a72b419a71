/* Records: the golden file, round trips, and a decoder that believes nothing: it refuses a record that is cut short at
 * any byte and every number beyond its bound, and never reads behind the end: what it decodes lies right in front of a
 * page that may not be touched.
 *
 * HF_GOLDEN=1 prints the golden file's lines as they would be now. HF_SEED=n repeats the random tests. */
#include "engine/record.h"

#include "engine/reservation.h"
#include "engine/ring.h"
#include "engine/sku.h"
#include "tests/support/golden.c"
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"

#include <sys/mman.h>

enum { GUARDED = 1 << 20, PAGE = 4096, GOLDEN_ROOM = 4096 };
#define START_MS UINT64_C(1700000000123)

/* ---- memory with an end ------------------------------------------------------------------------------------------ */

/* `length` bytes right in front of a page that may not be touched; the same memory at each call with the same `which`.
 */
static uint8_t *at_the_end(unsigned which, size_t length) {
    static uint8_t *ends[2];
    if (ends[which] == NULL) {
        uint8_t *memory = mmap(NULL, GUARDED + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED && mprotect(memory + GUARDED, PAGE, PROT_NONE) == 0, "no guarded memory");
        ends[which] = memory + GUARDED;
    }
    CHECK(length <= GUARDED, "%zu bytes are too many", length);
    return ends[which] - length;
}

static hf_step *steps_room(void) { return (hf_step *)(void *)at_the_end(1, HF_MAX_LINES * sizeof(hf_step)); }

/* A chunk's records, copied to the end of memory. */
static hf_chunk chunk_of(const uint8_t *records, size_t length) {
    uint8_t *at = at_the_end(0, length);
    memcpy(at, records, length);
    return (hf_chunk){.at = at, .end = at + length};
}

/* ---- the golden records: one of each type without any flag, and one with every flag that it may have ------------- */

static const hf_step few[] = {{1, 1, 0, 1}, {300, HF_MAX_QUANTITY, 0, (UINT64_C(1) << 47) - 1}};
static const hf_step adjusted[] = {{1, 64, 0, 2}, {HF_MAX_SKUS, -HF_MAX_QUANTITY, 0, 128}};
static const hf_step counted[] = {{1, 0, -HF_MAX_QUANTITY, 3}, {2, HF_MAX_QUANTITY, HF_MAX_QUANTITY, 4}};
/* All of it given back; what was taken of on_hand was counted since, in the late confirmation's case. */
static const hf_step given[] = {{1, 1, 0, 1}, {300, HF_MAX_QUANTITY, HF_MAX_QUANTITY, (UINT64_C(1) << 47) - 1}};
static const uint32_t parts_of[HF_RECORD_TYPE_END] = {
    [HF_RECORD_RECEIVE] = HF_PART_OPEN,
    [HF_RECORD_ADJUST] = HF_PART_CONTINUED,
    [HF_RECORD_COUNT] = HF_PART_OPEN | HF_PART_CONTINUED,
    [HF_RECORD_PURCHASE] = HF_PART_GIVE | HF_PART_CONTINUED,
    [HF_RECORD_RESERVE] = HF_PART_OPEN | HF_PART_CONTINUED | HF_PART_GIVE | HF_PART_RECOVERY,
    [HF_RECORD_CONFIRM] = HF_PART_GIVE | HF_PART_RECOVERY,
    [HF_RECORD_CANCEL] = HF_PART_RECOVERY,
    [HF_RECORD_CONFIRM_LATE] = HF_PART_GIVE | HF_PART_OPEN,
    [HF_RECORD_EXPIRE] = HF_PART_OPEN,
};

static bool takes_lines(hf_record_type type) {
    return (type >= HF_RECORD_RECEIVE && type <= HF_RECORD_CANCEL) || type == HF_RECORD_CONFIRM_LATE ||
           type == HF_RECORD_EXPIRE;
}

static hf_entry plain_entry(hf_record_type type, uint64_t time_ms) {
    static char name[HF_MAX_SKU_NAME];
    hf_entry record = {.type = type, .time_ms = time_ms};
    if (type <= HF_RECORD_NOTE) {
        for (uint8_t i = 0; i < 16; i++) {
            record.id.bytes[i] = (uint8_t)((unsigned)type << 4 | i);
        }
    }
    if (takes_lines(type)) {
        record.steps = type == HF_RECORD_ADJUST ? adjusted : type == HF_RECORD_COUNT ? counted : few;
        record.step_count = 2;
    }
    if (type >= HF_RECORD_CONFIRM && type <= HF_RECORD_EXPIRE) {
        record.step = time_ms << HF_STEP_BITS | 2;
    }
    if (type == HF_RECORD_NOTE) {
        record.outcome = HF_OUTCOME_VERSION_MISMATCH;
    }
    if (type == HF_RECORD_SKU || type == HF_RECORD_SESSION) {
        memset(name, 'n', sizeof name);
        record.name = name;
        record.name_length = 1;
    }
    record.ttl_ms = type == HF_RECORD_RESERVE || type == HF_RECORD_EXTEND ? 900000 : 0;
    record.number = type >= HF_RECORD_SKU;
    return record;
}

static hf_entry full_entry(hf_record_type type, uint64_t time_ms) {
    static uint8_t sku_name[HF_MAX_SKU_NAME];
    static const uint64_t positions[] = {5, 300, 299, UINT64_MAX, 1};
    hf_entry record = plain_entry(type, time_ms);
    record.position = positions[type % 5];
    record.parts = parts_of[type];
    if (record.parts & HF_PART_GIVE) {
        record.outcome = type == HF_RECORD_RESERVE ? HF_OUTCOME_IN_PROGRESS : HF_OUTCOME_OUT_OF_STOCK;
    }
    if (type == HF_RECORD_PURCHASE || type == HF_RECORD_CONFIRM) {
        record.steps = given;
    }
    if (record.step_count > 0) {
        record.steps++;
        record.step_count = 1;
    }
    if (record.step) {
        /* An old reservation's last step; and one whose millisecond is after the record's. */
        record.step = type == HF_RECORD_CANCEL ? (time_ms + 70) << HF_STEP_BITS | 1
                                               : (time_ms - 86400000) << HF_STEP_BITS | ((1u << HF_STEP_BITS) - 1);
    }
    record.ttl_ms = record.ttl_ms ? HF_MAX_TTL_MS : 0;
    record.user = type == HF_RECORD_RESERVE ? UINT64_MAX : 0;
    for (unsigned i = 0; i < HF_MAX_SKU_NAME; i++) {
        sku_name[i] = (uint8_t)i; /* any bytes at all */
    }
    if (type == HF_RECORD_SKU) {
        record.name = sku_name;
        record.name_length = HF_MAX_SKU_NAME;
        record.number = HF_MAX_SKUS;
    } else if (type == HF_RECORD_SESSION) {
        record.name_length = HF_MAX_SESSION_NAME;
        record.number = UINT32_MAX - 1;
    } else if (type == HF_RECORD_RECOVERY) {
        record.number = UINT32_MAX;
    }
    return record;
}

/* The n-th record of the golden file's first chunk; false: there are no more. The plain one of a type has the time of
 * the record before it, hence no time; the first of all is of 1970. */
static bool golden_entry(unsigned n, hf_entry *record) {
    unsigned types = HF_RECORD_TYPE_END - 1;
    if (n < 2 * types) {
        hf_record_type type = (hf_record_type)(n / 2 + 1);
        uint64_t time_ms = n % 2 == 1 ? START_MS + (n >> 1) * 100 : n == 0 ? 0 : START_MS + (n / 2 - 1) * 100;
        *record = n % 2 == 1 ? full_entry(type, time_ms) : plain_entry(type, time_ms);
        return true;
    }
    /* A release that was decided when the epoch turned: no line yet. */
    *record = plain_entry(HF_RECORD_CANCEL, HF_MAX_TIME_MS);
    record->parts = HF_PART_OPEN;
    record->steps = NULL;
    record->step_count = 0;
    return n == 2 * types;
}

/* Lines of the golden file, where they are asked for: to make it anew after a change of the format on purpose. */
static void print(FILE *to, const char *what, const uint8_t *bytes, const uint8_t *from, const uint8_t *end) {
    if (to != NULL) {
        fprintf(to, "# %s", what);
        for (const uint8_t *at = from; at < end; at++) {
            if ((at - from) % 16 == 0) {
                fprintf(to, "\n%04tx:", at - bytes);
            }
            fprintf(to, " %02x", *at);
        }
        fprintf(to, "\n");
    }
}

static size_t write_golden(uint8_t bytes[GOLDEN_ROOM], FILE *to) {
    hf_entry record;
    hf_record_context context = {0}, second = {0};
    uint8_t *at = bytes + HF_CHUNK_HEADER;
    for (unsigned n = 0; golden_entry(n, &record); n++) {
        uint8_t *end = hf_record_encode(at, &record, &context);
        print(to, hf_record_text(record.type), bytes, at, end);
        at = end;
    }
    hf_chunk_header(bytes, 0x01020304, (uint64_t)(at - bytes) - HF_CHUNK_HEADER, true);
    print(to, "the first chunk", bytes, bytes, bytes + HF_CHUNK_HEADER);
    uint8_t *next = at;
    record = full_entry(HF_RECORD_NOTE, START_MS);
    at = hf_record_encode(at + HF_CHUNK_HEADER, &record, &second);
    hf_chunk_header(next, 0, (uint64_t)(at - next) - HF_CHUNK_HEADER, false);
    print(to, "the second chunk", bytes, next, at);
    CHECK(at - bytes <= GOLDEN_ROOM, "the golden records are too long");
    return (size_t)(at - bytes);
}

/* What a type does not have is 0 in both. */
static bool same(const hf_entry *a, const hf_entry *b) {
    if (a->type != b->type || a->parts != b->parts || a->outcome != b->outcome || a->time_ms != b->time_ms ||
        a->position != b->position || memcmp(&a->id, &b->id, sizeof a->id) != 0 || a->step != b->step ||
        a->ttl_ms != b->ttl_ms || a->user != b->user || a->number != b->number || a->name_length != b->name_length ||
        a->step_count != b->step_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->step_count; i++) {
        const hf_step *x = &a->steps[i], *y = &b->steps[i];
        if (x->sku != y->sku || x->quantity != y->quantity || x->change != y->change || x->version != y->version) {
            return false;
        }
    }
    return a->name_length == 0 || memcmp(a->name, b->name, a->name_length) == 0;
}

Test(record, the_golden_records_are_what_is_written) {
    uint8_t golden[GOLDEN_ROOM], bytes[GOLDEN_ROOM] = {0};
    (void)write_golden(bytes, getenv("HF_GOLDEN") ? stderr : NULL);
    CHECK(golden_read("records.hex", golden, sizeof golden), "tests/golden/records.hex");
    for (size_t i = 0; i < sizeof golden; i++) {
        CHECK(golden[i] == bytes[i], "byte %zx is %02x, expected %02x: the format changed, raise the batch's version",
              i, bytes[i], golden[i]);
    }
}

Test(record, the_golden_records_are_read_back) {
    uint8_t golden[GOLDEN_ROOM], bytes[GOLDEN_ROOM];
    size_t length = write_golden(bytes, NULL);
    CHECK(golden_read("records.hex", golden, sizeof golden), "tests/golden/records.hex");
    uint8_t *from = at_the_end(0, length);
    memcpy(from, golden, length);
    hf_chunk chunk;
    hf_entry record, expected;
    const uint8_t *next = hf_chunk_open(from, from + length, &chunk);
    CHECK(next != NULL && chunk.session == 0x01020304 && chunk.names, "the first chunk");
    for (unsigned n = 0; golden_entry(n, &expected); n++) {
        CHECK(hf_record_decode(&chunk, &record, steps_room()) == 1 && same(&record, &expected), "record %u", n);
    }
    CHECK(hf_record_decode(&chunk, &record, steps_room()) == 0, "the chunk's end");
    next = hf_chunk_open(next, from + length, &chunk);
    expected = full_entry(HF_RECORD_NOTE, START_MS);
    CHECK(next == from + length && chunk.session == 0 && !chunk.names, "the second chunk");
    CHECK(hf_record_decode(&chunk, &record, steps_room()) == 1 && same(&record, &expected), "its record");
    CHECK(hf_record_decode(&chunk, &record, steps_room()) == 0, "its end");
}

/* ---- cut short --------------------------------------------------------------------------------------------------- */

Test(record, a_record_cut_short_anywhere_is_refused) {
    uint8_t bytes[GOLDEN_ROOM];
    hf_entry record, back;
    for (unsigned n = 0; golden_entry(n, &record); n++) {
        hf_record_context context = {0};
        size_t length = (size_t)(hf_record_encode(bytes, &record, &context) - bytes);
        for (size_t cut = 1; cut <= length; cut++) {
            hf_chunk chunk = chunk_of(bytes, cut);
            CHECK(hf_record_decode(&chunk, &back, steps_room()) == (cut == length ? 1 : -1),
                  "record %u of %zu bytes, cut to %zu", n, length, cut);
        }
    }
}

Test(record, a_chunk_cut_short_anywhere_is_refused) {
    uint8_t bytes[GOLDEN_ROOM];
    size_t length = write_golden(bytes, NULL), first = HF_CHUNK_HEADER + (hf_get32(bytes + 4) & ~HF_CHUNK_NAMES);
    for (size_t cut = 0; cut < length; cut++) {
        hf_chunk chunk;
        uint8_t *from = at_the_end(0, cut), *end = from + cut;
        memcpy(from, bytes, cut);
        const uint8_t *next = hf_chunk_open(from, end, &chunk);
        CHECK((next == NULL) == (cut < first), "cut to %zu", cut);
        CHECK(next == NULL || (next == from + first && hf_chunk_open(next, end, &chunk) == NULL), "cut to %zu", cut);
    }
    uint8_t empty[HF_CHUNK_HEADER] = {1};
    hf_chunk chunk;
    CHECK(hf_chunk_open(empty, empty + sizeof empty, &chunk) == NULL, "a chunk of no record");
    hf_put32(empty + 4, HF_CHUNK_NAMES);
    CHECK(hf_chunk_open(empty, empty + sizeof empty, &chunk) == NULL, "a chunk of names, with none");
}

/* ---- numbers out of bounds: records made here, byte by byte ------------------------------------------------------ */

typedef struct forged {
    uint8_t bytes[128 + 8 * HF_MAX_LINES];
    size_t length;
} forged;

static void byte(forged *f, unsigned value) { f->bytes[f->length++] = (uint8_t)value; }
static void number(forged *f, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        byte(f, (unsigned)(value & 0x7f) | 0x80);
    }
    byte(f, (unsigned)value);
}
static void zigzag(forged *f, int64_t value) {
    number(f, value < 0 ? ((uint64_t) - (value + 1)) * 2 + 1 : (uint64_t)value * 2);
}
static void zeros(forged *f, unsigned count) {
    while (count-- > 0) {
        byte(f, 0);
    }
}

static int judge(const forged *f) {
    hf_chunk chunk = chunk_of(f->bytes, f->length);
    hf_entry record;
    return hf_record_decode(&chunk, &record, steps_room());
}

enum { ONE = 0x10, PARTS = 0x20, TIME = 0x40, POSITION = 0x80 };

/* A record of `type` with one line. */
static int judge_line(hf_record_type type, uint64_t sku, int64_t quantity, uint64_t version, int64_t by) {
    forged f = {.length = 0};
    byte(&f, ONE | (unsigned)type);
    zeros(&f, 16);
    if (type > HF_RECORD_RESERVE) {
        zeros(&f, 2); /* step */
    } else if (type == HF_RECORD_RESERVE) {
        number(&f, 1); /* ttl_ms */
        number(&f, 0); /* user */
    }
    number(&f, sku);
    if (type == HF_RECORD_ADJUST) {
        zigzag(&f, quantity);
    } else {
        number(&f, (uint64_t)quantity);
    }
    number(&f, version);
    if (type == HF_RECORD_COUNT) {
        zigzag(&f, by);
    }
    return judge(&f);
}

Test(record, a_line_out_of_bounds_is_refused) {
    for (int n = 1; n < HF_RECORD_TYPE_END; n++) {
        hf_record_type type = (hf_record_type)n;
        if (!takes_lines(type)) {
            continue;
        }
        bool signs = type == HF_RECORD_ADJUST, counts = type == HF_RECORD_COUNT;
        const struct {
            uint64_t sku;
            int64_t quantity;
            uint64_t version;
            int64_t change;
            bool good;
        } lines[] = {
            {1, 1, 1, 0, true},
            {0, 1, 1, 0, false},
            {HF_MAX_SKUS, 1, 1, 0, true},
            {HF_MAX_SKUS + 1, 1, 1, 0, false},
            {UINT64_C(1) << 32 | 1, 1, 1, 0, false},
            {1, HF_MAX_QUANTITY, 1, 0, true},
            {1, HF_MAX_QUANTITY + 1, 1, 0, false},
            {1, INT64_MAX, 1, 0, false},
            {1, 0, 1, 0, counts},
            {1, -1, 1, 0, signs},
            {1, -HF_MAX_QUANTITY, 1, 0, signs},
            {1, -HF_MAX_QUANTITY - 1, 1, 0, false},
            {1, INT64_MIN, 1, 0, false},
            {1, 1, 0, 0, false},
            {1, 1, (UINT64_C(1) << 47) - 1, 0, true},
            {1, 1, UINT64_C(1) << 47, 0, false},
            {1, 1, UINT64_MAX, 0, false},
            {1, 1, 1, HF_MAX_QUANTITY, true},
            {1, 1, 1, 1 - (INT64_C(1) << 40), true}, /* what had been given back may have been beyond HF_MAX_QUANTITY */
            {1, 1, 1, HF_MAX_QUANTITY + 1, !counts},
            {1, 1, 1, -(INT64_C(1) << 40), !counts},
            {1, 1, 1, INT64_MIN, !counts},
        };
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            int found = judge_line(type, lines[i].sku, lines[i].quantity, lines[i].version, lines[i].change);
            CHECK(found == (lines[i].good ? 1 : -1), "%s, line %zu: %d", hf_record_text(type), i, found);
        }
    }
}

/* A purchase's one line of 7 units that is given back, with what it says of on_hand. */
static int judge_given(hf_record_type type, int64_t quantity, int64_t by) {
    forged f = {.length = 0};
    byte(&f, ONE | PARTS | (unsigned)type), byte(&f, HF_PART_GIVE), byte(&f, HF_OUTCOME_OUT_OF_STOCK);
    zeros(&f, 16 + (type >= HF_RECORD_RESERVE ? 2 : 0)); /* a step; or ttl and user */
    number(&f, 1), number(&f, (uint64_t)quantity), number(&f, 1), zigzag(&f, by);
    return judge(&f);
}

Test(record, all_that_was_taken_is_given_back_or_nothing) {
    static const hf_record_type takes[] = {HF_RECORD_PURCHASE, HF_RECORD_CONFIRM, HF_RECORD_CONFIRM_LATE};
    for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
        for (int64_t by = -9; by < 10; by++) {
            CHECK(judge_given(takes[i], 7, by) == (by == 0 || by == 7 ? 1 : -1), "%s: %lld of 7",
                  hf_record_text(takes[i]), (long long)by);
        }
        CHECK(judge_given(takes[i], 7, INT64_MIN) == -1 && judge_given(takes[i], 7, INT64_MAX) == -1, "far out");
    }
    for (int64_t by = -9; by < 10; by++) {
        CHECK(judge_given(HF_RECORD_RESERVE, 7, by) == (by == 0 ? 1 : -1), "reserve: %lld", (long long)by);
    }
}

static int judge_count(uint64_t said, unsigned there) {
    forged f = {.length = 0};
    byte(&f, HF_RECORD_RECEIVE);
    zeros(&f, 16);
    number(&f, said);
    for (unsigned i = 0; i < there; i++) {
        byte(&f, 1), byte(&f, 1), byte(&f, 1);
    }
    return judge(&f);
}

Test(record, a_count_of_lines_out_of_bounds_is_refused) {
    CHECK(judge_count(0, 0) == 1 && judge_count(2, 2) == 1, "few");
    CHECK(judge_count(HF_MAX_LINES, HF_MAX_LINES) == 1, "the most");
    CHECK(judge_count(HF_MAX_LINES + 1, HF_MAX_LINES + 1) == -1, "one more");
    CHECK(judge_count(UINT32_MAX, 9) == -1 && judge_count(UINT64_MAX, 9) == -1, "far more");
}

/* A record of a type and its flags, with what follows. */
static int judge_head(unsigned head, const uint8_t *bytes, size_t length) {
    forged f = {.length = 0};
    byte(&f, head);
    memcpy(f.bytes + f.length, bytes, length);
    f.length += length;
    return judge(&f);
}

Test(record, types_flags_and_parts_that_cannot_be_are_refused) {
    uint8_t rest[64] = {1, 1, 1, 1};
    for (unsigned type = 0; type < 16; type++) {
        bool lines = takes_lines((hf_record_type)type);
        if (type == 0 || type >= HF_RECORD_TYPE_END) {
            CHECK(judge_head(type, rest, sizeof rest) == -1, "type %u", type);
        }
        if (!lines) {
            CHECK(judge_head(ONE | type, rest, sizeof rest) == -1, "type %u with one line", type);
            CHECK(judge_head(PARTS | type, rest, sizeof rest) == -1, "type %u with parts", type);
        }
        for (unsigned parts = 0; lines && parts < 256; parts++) {
            forged f = {.length = 0};
            byte(&f, PARTS | type);
            byte(&f, parts);
            if (parts & HF_PART_GIVE) {
                byte(&f, HF_OUTCOME_OUT_OF_STOCK);
            }
            zeros(&f, 16);
            zeros(&f, type >= HF_RECORD_RESERVE ? 2 : 0); /* a step; or ttl and user */
            byte(&f, 0);                                  /* lines */
            CHECK(judge(&f) == (parts > 0 && parts < 16 ? 1 : -1), "type %u with parts %u", type, parts);
        }
    }
}

static int judge_outcome(hf_record_type type, unsigned outcome) {
    forged f = {.length = 0};
    if (type == HF_RECORD_NOTE) {
        byte(&f, HF_RECORD_NOTE), byte(&f, outcome), zeros(&f, 16);
    } else {
        byte(&f, PARTS | (unsigned)type), byte(&f, HF_PART_GIVE), byte(&f, outcome), zeros(&f, 17);
    }
    return judge(&f);
}

Test(record, an_outcome_that_is_none_is_refused) {
    for (unsigned outcome = 0; outcome < 256; outcome++) {
        int expected = outcome < HF_OUTCOME_COUNT ? 1 : -1;
        CHECK(judge_outcome(HF_RECORD_NOTE, outcome) == expected, "note %u", outcome);
        CHECK(judge_outcome(HF_RECORD_PURCHASE, outcome) == expected, "give-back %u", outcome);
    }
}

/* Two notes: the second one's time and position are counted from the first one's. */
static int judge_second(unsigned flags, uint64_t time_ms, uint64_t more_ms, int64_t position, int64_t more) {
    forged f = {.length = 0};
    byte(&f, TIME | POSITION | HF_RECORD_NOTE), number(&f, time_ms), zigzag(&f, position), zeros(&f, 17);
    byte(&f, flags | HF_RECORD_NOTE);
    if (flags & TIME) {
        number(&f, more_ms);
    }
    if (flags & POSITION) {
        zigzag(&f, more);
    }
    zeros(&f, 17);
    hf_chunk chunk = chunk_of(f.bytes, f.length);
    hf_entry record;
    int first = hf_record_decode(&chunk, &record, steps_room());
    return first == 1 ? hf_record_decode(&chunk, &record, steps_room()) : first;
}

Test(record, times_and_positions_out_of_bounds_are_refused) {
    CHECK(judge_second(TIME, HF_MAX_TIME_MS, 0, 1, 0) == 1, "the last millisecond");
    CHECK(judge_second(TIME, HF_MAX_TIME_MS - 5, 5, 1, 0) == 1, "up to the last millisecond");
    CHECK(judge_second(TIME, HF_MAX_TIME_MS + 1, 0, 1, 0) == -1, "a time beyond it");
    CHECK(judge_second(TIME, UINT64_MAX, 0, 1, 0) == -1, "a time far beyond it");
    CHECK(judge_second(TIME, HF_MAX_TIME_MS - 5, 6, 1, 0) == -1, "a sum beyond it");
    CHECK(judge_second(TIME, 5, UINT64_MAX, 1, 0) == -1, "a sum that wraps");
    CHECK(judge_second(POSITION, 1, 0, 7, -6) == 1, "a position that goes back");
    CHECK(judge_second(POSITION, 1, 0, 7, -7) == -1, "a position that goes back to none");
    CHECK(judge_second(0, 1, 0, 0, 0) == -1, "no position, said to be one");
    CHECK(judge_second(POSITION, 1, 0, -1, 1) == -1, "a position that wraps to none");
}

static int judge_step(uint64_t time_ms, int64_t age, uint64_t low) {
    forged f = {.length = 0};
    byte(&f, TIME | HF_RECORD_EXTEND), number(&f, time_ms), zeros(&f, 16), zigzag(&f, age), number(&f, low),
        number(&f, 1);
    return judge(&f);
}

Test(record, steps_out_of_bounds_are_refused) {
    CHECK(judge_step(5, 5, 0) == 1 && judge_step(5, 6, 0) == -1, "a step before 1970");
    CHECK(judge_step(5, -(int64_t)HF_MAX_TIME_MS + 5, 0) == 1, "the last millisecond");
    CHECK(judge_step(5, -(int64_t)HF_MAX_TIME_MS + 4, 0) == -1, "one after the last millisecond");
    CHECK(judge_step(5, INT64_MIN, 0) == -1 && judge_step(5, INT64_MAX, 0) == -1, "far away");
    CHECK(judge_step(5, 0, (1u << HF_STEP_BITS) - 1) == 1, "the last step of a millisecond");
    CHECK(judge_step(5, 0, 1u << HF_STEP_BITS) == -1 && judge_step(5, 0, UINT64_MAX) == -1, "one more");
}

static int judge_ttl(hf_record_type type, uint64_t ttl_ms) {
    forged f = {.length = 0};
    byte(&f, (unsigned)type), zeros(&f, 16);
    if (type == HF_RECORD_EXTEND) {
        zeros(&f, 2), number(&f, ttl_ms);
    } else {
        number(&f, ttl_ms), number(&f, UINT64_MAX), byte(&f, 0);
    }
    return judge(&f);
}

Test(record, ttls_out_of_bounds_are_refused) {
    static const hf_record_type types[] = {HF_RECORD_RESERVE, HF_RECORD_EXTEND};
    for (int i = 0; i < 2; i++) {
        CHECK(judge_ttl(types[i], HF_MAX_TTL_MS) == 1, "the longest");
        CHECK(judge_ttl(types[i], HF_MAX_TTL_MS + 1) == -1 && judge_ttl(types[i], UINT64_MAX) == -1, "one longer");
    }
}

static int judge_name(hf_record_type type, uint64_t named, unsigned said, unsigned there) {
    forged f = {.length = 0};
    byte(&f, (unsigned)type), number(&f, named), byte(&f, said);
    for (unsigned i = 0; i < there; i++) {
        byte(&f, 'n');
    }
    return judge(&f);
}

Test(record, names_and_terms_out_of_bounds_are_refused) {
    CHECK(judge_name(HF_RECORD_SKU, 1, 255, 255) == 1 && judge_name(HF_RECORD_SKU, 1, 255, 254) == -1, "the longest");
    CHECK(judge_name(HF_RECORD_SESSION, 1, 63, 63) == 1 && judge_name(HF_RECORD_SESSION, 1, 64, 64) == -1,
          "a session's");
    static const hf_record_type types[] = {HF_RECORD_SKU, HF_RECORD_SESSION};
    for (int i = 0; i < 2; i++) {
        CHECK(judge_name(types[i], 1, 0, 0) == -1, "no name");
        CHECK(judge_name(types[i], 0, 1, 1) == -1, "number 0");
        uint64_t last = i == 0 ? HF_MAX_SKUS : UINT32_MAX - 1;
        CHECK(judge_name(types[i], last, 1, 1) == 1, "the last number");
        CHECK(judge_name(types[i], last + 1, 1, 1) == -1 && judge_name(types[i], UINT64_C(1) << 32 | 1, 1, 1) == -1,
              "beyond");
    }
    static const struct {
        uint64_t term;
        int expected;
    } terms[] = {{0, -1}, {1, 1}, {UINT32_MAX, 1}, {UINT64_C(1) << 32, -1}, {UINT64_MAX, -1}};
    for (size_t i = 0; i < sizeof terms / sizeof terms[0]; i++) {
        forged f = {.length = 0};
        byte(&f, HF_RECORD_RECOVERY), number(&f, terms[i].term);
        CHECK(judge(&f) == terms[i].expected, "term %zu", i);
    }
}

Test(record, a_number_that_does_not_end_is_refused) {
    uint8_t rest[24];
    memset(rest, 0xff, sizeof rest);
    CHECK(judge_head(HF_RECORD_RECOVERY, rest, sizeof rest) == -1, "no end");
    for (unsigned last = 0; last < 128; last++) {
        forged f = {.length = 0};
        byte(&f, HF_RECORD_RESERVE), zeros(&f, 16), number(&f, 1);
        for (int i = 0; i < 9; i++) {
            byte(&f, 0x80);
        }
        byte(&f, last), byte(&f, 0);
        CHECK(judge(&f) == (last <= 1 ? 1 : -1), "a user of ten bytes, the last one %u", last);
    }
}

/* ---- at random --------------------------------------------------------------------------------------------------- */

static hf_entry random_entry(uint64_t *state, hf_step *steps, hf_record_context context) {
    hf_record_type type = (hf_record_type)(1 + kit_below(state, HF_RECORD_TYPE_END - 1));
    hf_entry record = plain_entry(type, context.time_ms + (kit_below(state, 3) ? 0 : kit_below(state, 1 << 20)));
    record.position = kit_below(state, 2) ? kit_next(state) >> kit_below(state, 64) : 0;
    if (record.step_count > 0) {
        record.step_count = (uint32_t)kit_below(state, 9);
        record.parts = (uint32_t)kit_below(state, 16);
        record.outcome = record.parts & HF_PART_GIVE ? (hf_outcome)kit_below(state, HF_OUTCOME_COUNT) : HF_OUTCOME_OK;
        for (uint32_t i = 0; i < record.step_count; i++) {
            int64_t quantity = 1 + (int64_t)kit_below(state, (uint64_t)HF_MAX_QUANTITY >> kit_below(state, 39));
            bool counts = type == HF_RECORD_COUNT, gives = record.parts & HF_PART_GIVE && kit_below(state, 2);
            int64_t on_hand, reserved;
            quantity = type == HF_RECORD_ADJUST && kit_below(state, 2) ? -quantity : quantity;
            hf_counter_change(type, quantity, true, &on_hand, &reserved);
            steps[i] = (hf_step){1 + (uint32_t)kit_below(state, HF_MAX_SKUS), quantity,
                                 counts  ? quantity - (int64_t)kit_below(state, (uint64_t)HF_MAX_QUANTITY)
                                 : gives ? on_hand
                                         : 0,
                                 1 + kit_below(state, ((UINT64_C(1) << 47) - 1) >> kit_below(state, 47))};
        }
        record.steps = steps;
    }
    if (record.step) {
        record.step = kit_below(state, record.time_ms + 1) << HF_STEP_BITS | kit_below(state, 1 << HF_STEP_BITS);
    }
    record.ttl_ms = record.ttl_ms ? 1 + kit_below(state, HF_MAX_TTL_MS) : 0;
    record.user = type == HF_RECORD_RESERVE ? kit_next(state) >> kit_below(state, 64) : 0;
    return record;
}

Test(record, what_is_encoded_is_decoded_and_fits_its_room) {
    uint64_t state = kit_seed(11);
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[8 * (HF_RECORD_HEAD_MAX + 8 * HF_RECORD_LINE_MAX)], *at = bytes;
        hf_step steps[8][8];
        hf_entry records[8], back;
        hf_record_context context = {0};
        for (int i = 0; i < 8; i++) {
            records[i] = random_entry(&state, steps[i], context);
            uint8_t *end = hf_record_encode(at, &records[i], &context);
            CHECK(end - at <= (ptrdiff_t)(HF_RECORD_HEAD_MAX + records[i].step_count * HF_RECORD_LINE_MAX),
                  "%s of %td bytes", hf_record_text(records[i].type), end - at);
            at = end;
        }
        hf_chunk chunk = chunk_of(bytes, (size_t)(at - bytes));
        for (int i = 0; i < 8; i++) {
            CHECK(hf_record_decode(&chunk, &back, steps_room()) == 1 && same(&back, &records[i]), "round %d, record %d",
                  round, i);
        }
        CHECK(hf_record_decode(&chunk, &back, steps_room()) == 0, "round %d, the end", round);
    }
}

/* Whatever a decoder accepts is within its bounds. */
static bool is_bounded(const hf_entry *record) {
    bool good = record->type > 0 && record->type < HF_RECORD_TYPE_END && record->time_ms <= HF_MAX_TIME_MS &&
                record->ttl_ms <= HF_MAX_TTL_MS && (unsigned)record->outcome < HF_OUTCOME_COUNT && record->parts < 16 &&
                record->step >> 60 == 0 && record->step_count <= HF_MAX_LINES && record->name_length <= HF_MAX_SKU_NAME;
    for (uint32_t i = 0; good && i < record->step_count; i++) {
        const hf_step *step = &record->steps[i];
        int64_t least = record->type == HF_RECORD_ADJUST ? -HF_MAX_QUANTITY : record->type == HF_RECORD_COUNT ? 0 : 1;
        int64_t on_hand, reserved;
        hf_counter_change(record->type, step->quantity, true, &on_hand, &reserved);
        bool by = record->type == HF_RECORD_COUNT     ? step->change > -(INT64_C(1) << 40) && step->change <= HF_MAX_QUANTITY
                      : record->parts & HF_PART_GIVE ? step->change == on_hand || step->change == 0
                                                          : step->change == 0;
        good = step->sku > 0 && step->sku <= HF_MAX_SKUS && step->quantity >= least &&
               step->quantity <= HF_MAX_QUANTITY && (step->quantity != 0 || record->type == HF_RECORD_COUNT) &&
               step->version > 0 && step->version >> 47 == 0 && by;
    }
    return good;
}

Test(record, bytes_that_were_changed_are_refused_or_harmless) {
    uint64_t state = kit_seed(12);
    uint8_t golden[GOLDEN_ROOM], bytes[GOLDEN_ROOM];
    size_t length = write_golden(golden, NULL);
    for (int round = 0; round < 40000; round++) {
        memcpy(bytes, golden, length);
        for (uint64_t changes = 1 + kit_below(&state, 4); changes > 0; changes--) {
            bytes[kit_below(&state, length)] = (uint8_t)kit_next(&state);
        }
        size_t from = HF_CHUNK_HEADER + kit_below(&state, length - HF_CHUNK_HEADER);
        from = kit_below(&state, 2) ? HF_CHUNK_HEADER : from;
        hf_chunk chunk = chunk_of(bytes + from, length - from);
        hf_entry record;
        for (int more; (more = hf_record_decode(&chunk, &record, steps_room())) != 0;) {
            CHECK(more == 1 || more == -1, "round %d: %d", round, more);
            if (more < 0) {
                break;
            }
            CHECK(is_bounded(&record), "round %d: %s", round, hf_record_text(record.type));
        }
    }
}
