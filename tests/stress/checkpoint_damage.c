/* A checkpoint cut at every byte and each of its bits flipped; forged ones with right digests.
 *
 * Guarantees checked
 *   A  Where the checkpoint before it is whole, or the log goes back to its beginning, the directory opens with the same state: to the
 *      version, the deadline, the position.
 *   B  Where there is nothing else, it does not open: HF_ECORRUPT, and the detail names the checkpoint and the offset.
 *   C  A forged checkpoint is refused or read, and nothing dies of it. One of another format version is HF_EVERSION, and nothing falls
 *      back past it.
 *   D  Read-only sees the same, and changes nothing.
 *
 * HF_ROUNDS=1: each bit beside the whole log, too.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/harness.h"

#include "engine/engine.h"
#include "wal/batch.h"
#include "wal/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define DIRECTORY "disk/engine"
#define U(value) ((unsigned long long)(value))
enum { SKUS = 3, IDS = 8, LINES = 2, PATH = 64 };

/* What is left beside the damaged checkpoint. */
#define BESIDE_MAP(X)                                                                                                  \
    X(OLDER, "the one before it")                                                                                      \
    X(WHOLE_LOG, "the whole log")                                                                                      \
    X(NOTHING, "nothing")
enum beside {
#define X(name, text) name,
    BESIDE_MAP(X)
#undef X
        BESIDES
};

static const char *const beside_texts[] = {
#define X(name, text) text,
    BESIDE_MAP(X)
#undef X
};

static uint64_t seed;
static crash_disk *bases[BESIDES];
static char newest[PATH], older[PATH];
static uint8_t *whole; /* the newest checkpoint */
static size_t whole_length;
static char *expected; /* the state */
static harness_clock clock_of_all;

static hf_id id_of(uint64_t number) { return harness_id(4, number); }

/* ---- engines and their states ---------------------------------------------------------------------------------------------------- */

static int open_engine(crash_disk *disk, uint32_t flags, hf_engine **engine) {
    hf_options options;
    harness_options(&options, flags | HF_NO_THREADS, &clock_of_all);
    options.expected_skus = options.expected_reservations = 1;
    options.max_reservations = 1 << 16;
    options.ring_bytes = 512u << 10;
    options.shards = 1;
    return hf_open_on(crash_disk_files(disk), DIRECTORY, &options, engine);
}

/* SKUs, live reservations, every id's state, and the position of the session. */
static char *state_of(hf_engine *engine, bool named) {
    hf_session *session;
    char *text, *all;
    MUST(hf_session_open(engine, named ? "damage" : NULL, &session));
    CHECK(asprintf(&text, "%s", "") >= 0, "out of memory");
    for (unsigned i = 0; i < IDS; i++) {
        hf_reservation found = {0};
        char *longer;
        int error = hf_reservation_read(session, id_of(i), &found, NULL, 0);
        CHECK(asprintf(&longer, "%sid %u %s %s version %llu ended %llu\n", text, i, hf_error_name(error), hf_state_text(found.state),
                       U(found.version), U(found.ended_ms)) > 0,
              "out of memory");
        free(text);
        text = longer;
    }
    char *state = harness_state(session);
    CHECK(asprintf(&all, "%s%sposition %llu\n", state, text, named ? U(hf_session_position(session)) : 0) > 0, "out of memory");
    hf_session_close(session);
    free(state);
    free(text);
    return all;
}

/* ---- the stage ------------------------------------------------------------------------------------------------------------------- */

static uint64_t next_position;

static void operate(hf_session *session, hf_op op) {
    static const char *const names[SKUS] = {"a", "sku-b", "a SKU whose name is longer than its line, c"};
    hf_line lines[LINES];
    hf_reply reply;
    for (unsigned i = 0; i < LINES; i++) {
        const char *name = names[(op.user + i) % SKUS];
        lines[i] = (hf_line){.name = name, .name_length = strlen(name), .quantity = op.type == HF_OP_RECEIVE ? 20 : 1};
    }
    op.lines = lines;
    op.position = ++next_position;
    MUST(hf_submit(session, &op, 1, &reply, NULL));
    CHECK(!reply.error && reply.outcome == HF_OUTCOME_OK, "%s: %s", hf_op_text(op.type), hf_outcome_text(reply.outcome));
}

static void reserve(hf_session *session, uint64_t id, size_t lines, uint64_t ttl_ms) {
    operate(session, (hf_op){.type = HF_OP_RESERVE, .id = id_of(id), .line_count = lines, .ttl_ms = ttl_ms, .user = id});
}

static void mean(hf_session *session, hf_op_type type, uint64_t id) {
    operate(session, (hf_op){.type = type, .id = id_of(id), .ttl_ms = 90000});
}

static void receive(hf_session *session, uint64_t id, uint64_t sku) {
    operate(session, (hf_op){.type = HF_OP_RECEIVE, .id = harness_id(5, id), .line_count = 1, .user = sku});
}

/* The segment changes. */
static void fill_segment(hf_engine *engine) {
    uint64_t generation = hf_wal_generation(engine->wal);
    engine->wal->spares.next.bytes = HF_SEGMENT_MIN;
    for (uint64_t polls = 0; hf_wal_generation(engine->wal) == generation; polls++) {
        hf_session *session;
        MUST(hf_session_open(engine, "damage", &session));
        mean(session, HF_OP_EXTEND, 0);
        hf_session_close(session);
        MUST(hf_poll(engine));
    }
}

static void note_checkpoint(void *context, const char *path) {
    (void)context;
    if (strstr(path, "/checkpoint-")) {
        memcpy(older, newest, PATH);
        if (strcmp(path, newest) > 0 || !newest[0]) {
            snprintf(newest, PATH, "%s", path);
        } else {
            snprintf(older, PATH, "%s", path);
        }
    }
}

/* Ids of every kind, some before the first checkpoint, some between the two, some behind them. */
static void play(hf_engine *engine, unsigned act) {
    hf_session *session;
    MUST(hf_session_open(engine, "damage", &session));
    if (act == 0) {
        for (unsigned i = 0; i < SKUS; i++) {
            receive(session, i, i);
        }
        for (unsigned i = 0; i < IDS - 2; i++) {
            reserve(session, i, 1 + i % LINES, i == 3 ? 1000 : 90000);
        }
        mean(session, HF_OP_CONFIRM, 1);
    } else if (act == 1) {
        mean(session, HF_OP_CANCEL, 2);
        reserve(session, IDS - 2, 2, 90000);
    } else {
        mean(session, HF_OP_CONFIRM, 4);
        reserve(session, IDS - 1, 1, 90000);
    }
    hf_session_close(session);
    MUST(hf_poll(engine));
}

static void set_stage(void) {
    hf_engine *engine;
    crash_disk *disk = crash_disk_new();
    harness_clock_set(&clock_of_all, HARNESS_EPOCH_MS);
    MUST(open_engine(disk, 0, &engine));
    play(engine, 0);
    MUST(hf_checkpoint(engine));
    harness_clock_set(&clock_of_all, HARNESS_EPOCH_MS + 2000); /* one expires */
    MUST(hf_poll(engine));
    play(engine, 1);
    MUST(hf_checkpoint(engine));
    play(engine, 2);
    expected = state_of(engine, true);
    MUST(hf_close(engine));
    crash_disk_each(disk, note_checkpoint, NULL);
    CHECK(newest[0] && older[0], "no two checkpoints");
    bases[OLDER] = crash_disk_killed(disk);
    crash_disk_remove(disk, older);
    bases[WHOLE_LOG] = disk;
}

/* The same without the log's beginning: segments change before each checkpoint. */
static void set_stage_without_log(void) {
    hf_engine *engine;
    crash_disk *disk = crash_disk_killed(bases[OLDER]);
    MUST(open_engine(disk, 0, &engine));
    for (unsigned i = 0; i < 3; i++) {
        fill_segment(engine);
        MUST(hf_checkpoint(engine));
    }
    MUST(hf_close(engine));
    memset(newest, 0, PATH);
    memset(older, 0, PATH);
    crash_disk_each(disk, note_checkpoint, NULL);
    crash_disk_remove(disk, older);
    bases[NOTHING] = disk;
}

/* ---- damage ---------------------------------------------------------------------------------------------------------------------- */

static void expect_same(crash_disk *disk, uint32_t flags, const char *what) {
    hf_engine *engine;
    int error = open_engine(disk, flags, &engine);
    CHECK(error == HF_SUCCESS, "%s: %s", what, hf_error_name(error));
    char *state = state_of(engine, !(flags & HF_READ_ONLY)), *end = strstr(expected, "position ");
    size_t length = flags & HF_READ_ONLY ? (size_t)(end - expected) : strlen(expected);
    CHECK(strncmp(state, expected, length) == 0, "%s: found\n%sexpected\n%s", what, state, expected);
    free(state);
    MUST(hf_close(engine));
}

static void expect_refused(crash_disk *disk, const char *what) {
    hf_engine *engine;
    int error = open_engine(disk, 0, &engine);
    CHECK(error == HF_ECORRUPT, "%s: %s", what, hf_error_name(error));
    CHECK(strstr(hf_error_detail(), newest + strlen(DIRECTORY)) && strstr(hf_error_detail(), "offset"),
          "%s: the detail does not name the checkpoint and an offset", what);
}

static void expect(enum beside beside, const uint8_t *bytes, size_t length, const char *what) {
    crash_disk *disk = crash_disk_killed(bases[beside]);
    crash_disk_write(disk, newest, bytes, length);
    if (beside == NOTHING) {
        expect_refused(disk, what);
    } else {
        if (length % 16 == 0) {
            uint64_t calls = crash_disk_calls(disk);
            expect_same(disk, HF_READ_ONLY, what);
            CHECK(crash_disk_calls(disk) > calls, "nothing was read");
        }
        expect_same(disk, 0, what);
    }
    crash_disk_free(disk);
}

static uint64_t cut_everywhere(enum beside beside) {
    char what[100];
    for (size_t length = 0; length < whole_length; length++) {
        snprintf(what, sizeof what, "cut at byte %zu of %zu, beside %s", length, whole_length, beside_texts[beside]);
        expect(beside, whole, length, what);
    }
    return whole_length;
}

/* Each bit; `one` of each byte, where the same was done beside another. */
static uint64_t flip_everywhere(enum beside beside, bool one) {
    char what[100];
    uint64_t flipped = 0;
    for (size_t bit = one ? harness_below(&seed, 8) : 0; bit < 8 * whole_length; bit += one ? 8 : 1, flipped++) {
        snprintf(what, sizeof what, "bit %zu of byte %zu of %zu flipped, beside %s", bit % 8, bit / 8, whole_length, beside_texts[beside]);
        whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
        expect(beside, whole, whole_length, what);
        whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return flipped;
}

/* Longer than it should be, too. */
static void lengthen(enum beside beside) {
    uint8_t *longer = calloc(1, whole_length + 40);
    CHECK(longer, "out of memory");
    memcpy(longer, whole, whole_length);
    for (size_t more = 1; more <= 40; more++) {
        expect(beside, longer, whole_length + more, "bytes behind its end");
    }
    free(longer);
}

static void read_newest(enum beside beside) {
    free(whole);
    CHECK(crash_disk_read(bases[beside], newest, &whole, &whole_length), "no %s", newest);
}

static void damage(void) {
    for (unsigned i = 0; i < BESIDES; i++) {
        enum beside beside = (enum beside)i;
        if (beside == NOTHING) {
            set_stage_without_log();
        }
        read_newest(beside);
        uint64_t cuts = cut_everywhere(beside), flips = flip_everywhere(beside, beside == WHOLE_LOG && !harness_rounds(0));
        lengthen(beside);
        printf("checkpoint_damage: %llu cuts, %llu flipped bits beside %s: %s\n", U(cuts), U(flips), beside_texts[beside],
               beside == NOTHING ? "each refused, by file and offset" : "each opens with the same state");
    }
}

/* ---- forgeries ------------------------------------------------------------------------------------------------------------------- */

enum { HEADER = 128, BLOCK = 32 };

/* Makes every digest right again. */
static void sign(uint8_t *bytes, size_t length) {
    hf_digest digest = hf_digest_of(bytes, HEADER - 16), chain = hf_digest_of(bytes + 16, 16);
    memcpy(bytes + HEADER - 16, digest.bytes, 16);
    for (size_t at = HEADER; length - at >= BLOCK;) {
        uint64_t payload = hf_get32(bytes + at + 4);
        if (payload > length - at - BLOCK) {
            return;
        }
        memcpy(bytes + at + 16, chain.bytes, 16);
        chain = hf_digest_of(bytes + at, BLOCK + (size_t)payload);
        memcpy(bytes + at + 16, chain.bytes, 16);
        at += BLOCK + (size_t)payload;
    }
}

/* Opens or not; what opens is read, and closed. */
static int survive(const uint8_t *bytes, size_t length) {
    hf_engine *engine;
    crash_disk *disk = crash_disk_killed(bases[OLDER]);
    crash_disk_write(disk, newest, bytes, length);
    int error = open_engine(disk, 0, &engine);
    if (!error) {
        free(state_of(engine, true));
        MUST(hf_close(engine));
    }
    CHECK(crash_disk_open_handles(disk) == 0, "handles are left open");
    crash_disk_free(disk);
    return error;
}

/* Each byte of header, block heads and payload set to what it should not be. */
static void forge(void) {
    static const uint8_t values[] = {0, 1, 2, 0x7f};
    uint8_t *forged = malloc(whole_length);
    uint64_t made = 0, refused = 0, versions = 0;
    CHECK(forged, "out of memory");
    for (size_t at = 0; at < whole_length; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(forged, whole, whole_length);
            forged[at] = values[i];
            sign(forged, whole_length);
            int error = survive(forged, whole_length);
            made++;
            refused += error != HF_SUCCESS;
            versions += error == HF_EVERSION;
            CHECK(error == HF_SUCCESS || error == HF_ECORRUPT || error == HF_EVERSION || error == HF_ENOMEM, "byte %zu set to %u: %s", at,
                  values[i], hf_error_name(error));
            CHECK((error == HF_EVERSION) == (at >= 8 && at < 12 && forged[at] != whole[at]), "byte %zu set to %u: %s", at, values[i],
                  hf_error_name(error));
        }
    }
    free(forged);
    printf("checkpoint_damage: %llu forged with right digests: %llu refused, %llu of them as of another version\n", U(made), U(refused),
           U(versions));
}

/* ---- forged entries ------------------------------------------------------------------------------------------------------------ */

/* A checkpoint that says of one more SKU what `entry` says, with right digests. */
static int survive_sku(const uint8_t *entry, size_t length) {
    CHECK(whole[HEADER] == 1, "the first block is not of SKUs");
    size_t end = HEADER + BLOCK + hf_get32(whole + HEADER + 4), last = whole_length - BLOCK + length;
    uint8_t *forged = malloc(whole_length + length);
    CHECK(forged, "out of memory");
    memcpy(forged, whole, end);
    memcpy(forged + end, entry, length);
    memcpy(forged + end + length, whole + end, whole_length - end);
    hf_put32(forged + HEADER + 4, hf_get32(whole + HEADER + 4) + (uint32_t)length);
    hf_put64(forged + HEADER + 8, hf_get64(whole + HEADER + 8) + 1);
    hf_put64(forged + last + 8, hf_get64(forged + last + 8) + 1);
    sign(forged, whole_length + length);
    int error = survive(forged, whole_length + length);
    free(forged);
    return error;
}

/* Numbers of ten bytes end with the 64th bit. */
static void forge_numbers(void) {
    for (uint8_t last = 0; last < 0x80; last++) {
        uint8_t entry[] = {77, 1, 'x', 1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, last};
        entry[5] |= last == 0; /* version 1, in one byte as in ten */
        int error = survive_sku(entry, sizeof entry);
        CHECK(error == (last == 0 ? HF_SUCCESS : HF_ECORRUPT), "a version of ten bytes, the last one %u: %s", last, hf_error_name(error));
    }
    printf("checkpoint_damage: a number is bounded by 64 bits\n");
}

static long memory_kib(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return usage.ru_maxrss;
}

/* The highest number of a SKU costs no memory for those below it, and is the last that is given. */
static void forge_highest(void) {
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        long before = memory_kib();
        uint8_t entry[] = {(uint8_t)(0x80 | beyond), 0x80, 0x80, 0x80, 1, 1, 'x', 1, 0, 1};
        int error = survive_sku(entry, sizeof entry);
        CHECK(error == (beyond ? HF_ECORRUPT : HF_SUCCESS), "the number 2^28 + %u: %s", beyond, hf_error_name(error));
        CHECK(memory_kib() - before < 128 << 10, "%ld KiB for one SKU", memory_kib() - before);
    }
    printf("checkpoint_damage: a SKU's number is bounded, and costs what one SKU does\n");
}

int main(void) {
    seed = harness_begin("checkpoint_damage");
    set_stage();
    damage();
    memset(newest, 0, PATH);
    crash_disk_each(bases[OLDER], note_checkpoint, NULL);
    read_newest(OLDER);
    forge();
    forge_numbers();
    forge_highest();
    for (unsigned i = 0; i < BESIDES; i++) {
        crash_disk_free(bases[i]);
    }
    free(whole);
    free(expected);
    return 0;
}
