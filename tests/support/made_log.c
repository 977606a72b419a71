/* Logs and checkpoints made by hand: epochs of any records, and checkpoints of any entries, all with right digests, for
 * an engine to read back. What no engine would write, recovery must refuse. To be included. */
#include "engine/engine.h"
#include "engine/record.h"
#include "tests/support/harness.h"
#include "tests/support/simulated_files.c"
#include "wal/batch.h"
#include "wal/segment.h"

#include "engine/number.h"

#include <stdlib.h>
#include <string.h>

/* ---- a log ------------------------------------------------------------------------------------------------------- */

enum { MADE_ROOM = 16 << 20 };

typedef struct made_log {
    const hf_files *files;
    char directory[HARNESS_PATH];
    hf_wal *wal;
    uint8_t *bytes; /* of the epoch in the making: MADE_ROOM */
    size_t length, chunk;
    bool in_chunk, names;
    uint32_t session;
    hf_record_context context;
    uint64_t epoch; /* in the making */
} made_log;

static int made_ignore(void *context, const hf_wal_epoch *epoch) {
    made_log *log = context;
    log->epoch = epoch->epoch;
    return 0;
}

/* A new log, or one to go on with. */
static void made_open(made_log *log, const hf_files *files, const char *directory) {
    hf_wal_found found;
    hf_wal_options options = {.files = files, .segment_bytes = 1 << 20};
    *log = (made_log){.files = files, .bytes = malloc(MADE_ROOM)};
    CHECK(log->bytes, "out of memory");
    memcpy(log->directory, directory, strlen(directory) + 1);
    MUST(hf_wal_lock(directory, &options, false, &log->wal));
    MUST(hf_wal_open(log->wal, &(hf_wal_position){0, 0, 0}, made_ignore, log, &found));
    log->epoch = found.highest_seen + 1;
}

static void made_end_chunk(made_log *log) {
    if (log->in_chunk) {
        hf_chunk_header(log->bytes + log->chunk, log->session, log->length - log->chunk - HF_CHUNK_HEADER, log->names);
    }
    log->in_chunk = false;
}

/* What follows was done by this session. */
static void made_chunk(made_log *log, uint32_t session, bool names) {
    made_end_chunk(log);
    log->chunk = log->length;
    log->length += HF_CHUNK_HEADER;
    log->in_chunk = true;
    log->names = names;
    log->session = session;
    log->context = (hf_record_context){0, 0};
}

static void made_record(made_log *log, hf_entry record) {
    CHECK(log->length + HF_RECORD_HEAD_MAX + (size_t)record.step_count * HF_RECORD_LINE_MAX <= MADE_ROOM,
          "an epoch too long");
    record.time_ms = record.time_ms ? record.time_ms : HARNESS_EPOCH_MS;
    log->length = (size_t)(hf_record_encode(log->bytes + log->length, &record, &log->context) - log->bytes);
}

/* Of a chunk, or between two. */
__attribute__((unused)) static void made_bytes(made_log *log, const void *bytes, size_t length) {
    memcpy(log->bytes + log->length, bytes, length);
    log->length += length;
}

/* The epoch is written; the next one begins. */
static void made_commit(made_log *log) {
    made_end_chunk(log);
    MUST(hf_wal_begin(log->wal, log->epoch++, HARNESS_EPOCH_MS, 1));
    MUST(hf_wal_put(log->wal, log->bytes, log->length));
    MUST(hf_wal_commit(log->wal));
    log->length = 0;
}

static void made_close(made_log *log) {
    hf_wal_close(log->wal);
    free(log->bytes);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

#define MADE_STEP(n) (HARNESS_EPOCH_MS << HF_STEP_BITS | (n)) /* of a life that began at the beginning: 1 */
#define MADE_LINES(...)                                                                                                \
    .steps = (const hf_step[]){__VA_ARGS__}, .step_count = sizeof((const hf_step[]){__VA_ARGS__}) / sizeof(hf_step)
/* MADE(log, TYPE, .field = ...) */
#define MADE(log, kind, ...) made_record((log), (hf_entry){.type = HF_RECORD_##kind, __VA_ARGS__})
#define MADE_NAME(log, kind, its_number, its_name)                                                                     \
    MADE(log, kind, .number = (its_number), .name = (its_name), .name_length = (uint32_t)strlen(its_name))

/* ---- a checkpoint ------------------------------------------------------------------------------------------------ */

enum { MADE_HEADER = 128, MADE_BLOCK = 32, MADE_SKUS = 1, MADE_IDS, MADE_SESSIONS, MADE_END };

typedef struct made_checkpoint {
    uint8_t *bytes; /* MADE_ROOM */
    size_t length, block;
    uint64_t entries; /* of all blocks */
} made_checkpoint;

static void made_block(made_checkpoint *c, uint32_t kind) {
    c->block = c->length;
    memset(c->bytes + c->block, 0, MADE_BLOCK);
    hf_put32(c->bytes + c->block, kind);
    c->length += MADE_BLOCK;
}

static void made_checkpoint_begin(made_checkpoint *c) {
    *c = (made_checkpoint){.bytes = malloc(MADE_ROOM), .length = MADE_HEADER};
    CHECK(c->bytes, "out of memory");
    memset(c->bytes, 0, MADE_HEADER);
}

/* One more entry of the block, whatever it says. */
static void made_entry(made_checkpoint *c, const void *bytes, size_t length) {
    memcpy(c->bytes + c->length, bytes, length);
    c->length += length;
    c->entries++;
    hf_put32(c->bytes + c->block + 4, (uint32_t)(c->length - c->block - MADE_BLOCK));
    hf_put64(c->bytes + c->block + 8, hf_get64(c->bytes + c->block + 8) + 1);
}

static void made_end(made_checkpoint *c) {
    made_block(c, MADE_END);
    hf_put64(c->bytes + c->block + 8, c->entries);
}

static void made_sign(made_checkpoint *c) {
    hf_digest digest = hf_digest_of(c->bytes, MADE_HEADER - 16), chain = hf_digest_of(c->bytes + 16, 16);
    memcpy(c->bytes + MADE_HEADER - 16, digest.bytes, 16);
    for (size_t at = MADE_HEADER; at < c->length;) {
        size_t length = MADE_BLOCK + hf_get32(c->bytes + at + 4);
        memcpy(c->bytes + at + 16, chain.bytes, 16);
        chain = hf_digest_of(c->bytes + at, length);
        memcpy(c->bytes + at + 16, chain.bytes, 16);
        at += length;
    }
}

/* The file, named by the epoch at which a replay starts. Frees `c`. */
static void made_checkpoint_write(made_checkpoint *c, const made_log *log, hf_wal_position position, uint32_t version) {
    char path[HF_PATH_ROOM];
    memcpy(c->bytes, "HFCHECK\n", 8);
    hf_put32(c->bytes + 8, version);
    memcpy(c->bytes + 16, hf_wal_uuid(log->wal), 16);
    hf_put64(c->bytes + 32, position.epoch);
    hf_put64(c->bytes + 40, position.generation);
    hf_put64(c->bytes + 48, position.durable);
    hf_put64(c->bytes + 56, HARNESS_EPOCH_MS);
    hf_put64(c->bytes + 64, 1);
    hf_put32(c->bytes + 72, 9);
    made_sign(c);
    hf_segment_path(path, log->directory, "checkpoint", position.epoch, "");
    int file = log->files->open(log->files->context, path, HF_OPEN_CREATE);
    CHECK(file >= 0 && hf_file_write_all(log->files, file, c->bytes, c->length, 0) == 0, "%s", path);
    CHECK(log->files->sync(log->files->context, file) == 0 && log->files->close(log->files->context, file) == 0, "%s",
          path);
    CHECK(log->files->sync_directory(log->files->context, log->directory) == 0, "%s", path);
    free(c->bytes);
}

/* ---- a world ----------------------------------------------------------------------------------------------------- */

#define DIRECTORY "/log"

/* A log in the making on a disk in memory, and the engine that is to open it. */
typedef struct world {
    hf_simulated *disk;
    made_log log;
    harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
} world;

static hf_id id_of(uint64_t number) { return harness_id(4, number); }

/* Of a small engine without threads. */
static void made_options(world *w) {
    harness_clock_set(&w->clock, HARNESS_EPOCH_MS);
    harness_options(&w->options, HF_NO_THREADS, &w->clock);
    w->options.expected_skus = w->options.expected_reservations = 1;
    w->options.max_reservations = 1 << 20;
    w->options.shards = 1;
}

static void made_world(world *w) {
    memset(w, 0, sizeof *w);
    w->disk = hf_simulated_new();
    made_options(w);
    made_open(&w->log, hf_simulated_files(w->disk), DIRECTORY);
}
