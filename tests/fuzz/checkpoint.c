/* The checkpoint reader under a fuzzer: the input is a checkpoint's header and the payloads of its blocks, beside a log that a
 * real engine wrote; the digests are made here, so that every entry is looked at.
 *
 *     flags, 1 byte      1 a field of the header is another: which, 1 byte; its value, 8
 *                        2 the end counts wrong    4 the file is named for another epoch    8 the end is missing
 *                        16 replay starts at the log's beginning, so that its steps fall on what the checkpoint says
 *     blocks             kind, 1 | entries, 1 | length, 2 | payload
 *
 * What must hold for any checkpoint: no crash, nothing left open; the engine opens, or refuses by a word; if it opens, no counter
 * is out of range, a checkpoint of its own can be written, and what is opened from that is the same. */
#include "engine/checkpoint.h"
#include "tests/fuzz/kit.h"
#include "tests/support/crash_disk.h"
#include "wal/batch.h"
#include "wal/segment.h"

#define DIRECTORY "/stock"
enum { ROOM = 1 << 16 };

static crash_disk *base;
static uint8_t uuid[16];
static uint64_t last_epoch;

static uint64_t clock_at(void *context) {
    (void)context;
    return 5000;
}

static int open_engine(crash_disk *disk, uint32_t flags, hf_engine **engine) {
    hf_options options;
    hf_options_init(&options);
    options.flags = HF_NO_THREADS | flags;
    options.shards = 1;
    options.expected_skus = options.expected_reservations = 16;
    options.max_reservations = 1 << 12;
    options.segment_bytes = 1 << 20;
    options.ring_bytes = 512 << 10;
    options.checkpoint_bytes = UINT64_MAX;
    options.clock = clock_at;
    return hf_open_on(crash_disk_files(disk), DIRECTORY, &options, engine);
}

static hf_id id_of(uint8_t n) {
    hf_id id = {{n, 1, 2, 3}};
    return id;
}

static void must(int error) { DEMAND(error == HF_SUCCESS, "%s: %s", hf_error_name(error), hf_error_detail()); }

/* The log beside which the checkpoints stand: three epochs. */
static void make_base(void) {
    hf_engine *engine;
    hf_session *session;
    hf_reply reply;
    hf_line line = {.name = "apple", .name_length = 5, .quantity = 10};
    hf_op op = {.type = HF_OP_RECEIVE, .id = id_of(1), .lines = &line, .line_count = 1, .ttl_ms = 60000};
    base = crash_disk_new();
    must(open_engine(base, 0, &engine));
    must(hf_session_open(engine, "w", &session));
    for (uint8_t i = 1; i <= 3; i++) {
        must(hf_submit(session, &op, 1, &reply, NULL));
        must(reply.error);
        op.type = HF_OP_RESERVE;
        op.id = id_of(i + 1);
        op.position = i;
        line.quantity = 2;
        must(hf_poll(engine));
    }
    must(hf_confirm(session, id_of(2), &reply));
    must(hf_poll(engine));
    last_epoch = hf_wal_committed(engine->wal);
    memcpy(uuid, hf_wal_uuid(engine->wal), 16);
    hf_session_close(session);
    must(hf_close(engine));
}

/* ---- the file ------------------------------------------------------------------------------------------------------- */

static size_t put_block(uint8_t *at, uint32_t kind, uint64_t entries, const uint8_t *payload, size_t length, hf_digest *chain) {
    hf_put32(at, kind);
    hf_put32(at + 4, (uint32_t)length);
    hf_put64(at + 8, entries);
    memcpy(at + 16, chain->bytes, 16);
    if (length > 0)
        memcpy(at + 32, payload, length);
    *chain = hf_digest_of(at, 32 + length);
    memcpy(at + 16, chain->bytes, 16);
    return 32 + length;
}

static uint64_t put_header(uint8_t *at, unsigned flags, fuzz_input *input) {
    static const struct {
        uint8_t at, bytes;
    } fields[] = {{8, 2}, {10, 6}, {16, 8}, {32, 8}, {40, 8}, {48, 8}, {56, 8}, {64, 8}, {72, 4}, {76, 8}};
    memcpy(at, "HFCHECK\n", 8);
    at[8] = 1;
    memcpy(at + 16, uuid, 16);
    hf_put64(at + 32, flags & 16 ? 1 : last_epoch + 1);
    hf_put64(at + 40, 1);
    hf_put64(at + 48, last_epoch);
    hf_put64(at + 56, 5000);
    hf_put64(at + 64, 1);
    hf_put32(at + 72, 9);
    if (flags & 1) {
        size_t which = (size_t)fuzz_number(input, 1) % (sizeof fields / sizeof fields[0]);
        uint8_t value[8];
        hf_put64(value, fuzz_number(input, 8));
        memcpy(at + fields[which].at, value, fields[which].bytes);
    }
    hf_digest digest = hf_digest_of(at, 112);
    memcpy(at + 112, digest.bytes, 16);
    return hf_get64(at + 32) + (flags & 4 ? 1 : 0);
}

static void put_checkpoint(crash_disk *disk, fuzz_input *input) {
    static uint8_t bytes[ROOM];
    memset(bytes, 0, 128);
    unsigned flags = (unsigned)fuzz_number(input, 1);
    uint64_t epoch = put_header(bytes, flags, input), all = 0;
    size_t at = 128, length;
    hf_digest chain = hf_digest_of(bytes + 16, 16);
    while (fuzz_left(input) > 0 && at < ROOM / 2) {
        uint32_t kind = (uint32_t)fuzz_number(input, 1);
        uint64_t entries = fuzz_number(input, 1);
        const uint8_t *payload = fuzz_bytes(input, (size_t)fuzz_number(input, 2), &length);
        at += put_block(bytes + at, kind, entries, payload, length, &chain);
        all += entries;
    }
    if (!(flags & 8))
        at += put_block(bytes + at, 4, all + (flags & 2 ? 1 : 0), NULL, 0, &chain);
    char path[HF_PATH_ROOM];
    hf_segment_path(path, DIRECTORY, "checkpoint", epoch, "");
    crash_disk_write(disk, path, bytes, at);
}

/* ---- judging -------------------------------------------------------------------------------------------------------- */

static bool add_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    size_t length;
    const void *name = hf_sku_name(sku, &length);
    DEMAND(length >= 1 && length <= HF_MAX_SKU_NAME, "a name of %zu", length);
    DEMAND(stock->on_hand >= 0 && stock->on_hand >> 40 == 0, "on_hand %lld", (long long)stock->on_hand);
    DEMAND(stock->reserved >= 0 && stock->reserved >> 40 == 0, "reserved %lld", (long long)stock->reserved);
    hf_digest digest = hf_digest_of(name, length);
    *(uint64_t *)context += (hf_get64(digest.bytes) | 1) * ((uint64_t)stock->on_hand * 3 + (uint64_t)stock->reserved * 5 + stock->version * 7);
    return true;
}

static bool add_life(void *context, const hf_reservation *r, const hf_reservation_line *lines) {
    hf_digest digest = hf_digest_of(&r->id, sizeof r->id);
    uint64_t sum = r->deadline_ms * 3 + r->user * 5 + r->version * 7 + r->line_count;
    DEMAND(r->state == HF_STATE_LIVE && r->line_count <= HF_MAX_LINES, "a life");
    for (uint32_t i = 0; i < r->line_count; i++) {
        DEMAND(lines[i].quantity >= 1 && lines[i].quantity <= HF_MAX_QUANTITY, "a line");
        sum += (uint64_t)lines[i].quantity * (i + 11);
    }
    *(uint64_t *)context += (hf_get64(digest.bytes) | 1) * sum;
    return true;
}

/* What an engine holds; closes it. */
static uint64_t take_state(hf_engine *engine, bool checkpoint) {
    hf_session *session;
    uint64_t state = 0;
    must(hf_session_open(engine, NULL, &session));
    must(hf_sku_each(session, add_sku, &state));
    must(hf_reservation_each(session, add_life, &state));
    hf_session_close(session);
    if (checkpoint)
        must(hf_checkpoint(engine));
    must(hf_close(engine));
    return state;
}

static int position_is_one(void *context, const hf_wal_position *position) {
    (void)context;
    return position->epoch > 0 ? HF_SUCCESS : HF_EINVAL;
}

static int name_is_bounded(void *context, uint32_t number, const void *name, size_t length) {
    (void)context;
    return number > 0 && name && length >= 1 && length <= HF_MAX_SKU_NAME ? HF_SUCCESS : HF_EINVAL;
}

static void judge(crash_disk *disk) {
    hf_engine *engine;
    int error = hf_checkpoint_each(crash_disk_files(disk), DIRECTORY, uuid, position_is_one, NULL);
    DEMAND(!error || error == HF_EVERSION, "each: %d", error);
    uint64_t epoch;
    error = hf_checkpoint_names(crash_disk_files(disk), DIRECTORY, &epoch, name_is_bounded, NULL);
    DEMAND(!error || error == HF_EVERSION, "names: %d", error);
    error = open_engine(disk, 0, &engine);
    if (!error) {
        uint64_t state = take_state(engine, true);
        must(open_engine(disk, 0, &engine));
        DEMAND(take_state(engine, false) == state, "opened from its own checkpoint, it is another");
    } else {
        DEMAND(error == HF_ECORRUPT || error == HF_EVERSION || error == HF_EIDS || error == HF_ESKUS, "%s: %s",
               hf_error_name(error), hf_error_detail());
        DEMAND(hf_error_detail()[0], "refused without a word");
    }
    DEMAND(crash_disk_open_handles(disk) == 0, "handles are left open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!base)
        make_base();
    crash_disk *disk = crash_disk_image(base, 0);
    fuzz_input input = {data, data + size};
    put_checkpoint(disk, &input);
    judge(disk);
    crash_disk_free(disk);
    return 0;
}
