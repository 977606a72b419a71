/* Checkpoints. The contract and the format are in checkpoint.h. */
#include "checkpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "number.h"
#include "retention.h"
#include "seal.h"
#include "stock.h"
#include "wal/batch.h"
#include "wal/error.h"
#include "wal/segment.h"

enum {
    HEADER = 128,
    BLOCK_HEAD = 32,
    BLOCK_ROOM = 1 << 20,                              /* payload after which a block is written */
    ENTRY_MAX = 160 + 2 * (int)HF_NUMBER_MAX * (int)HF_MAX_LINES + 256, /* the longest entry */
    BLOCK_MAX = BLOCK_ROOM + ENTRY_MAX,
    VERSION = 1,
    SLOTS_A_SECTION = 256,
};

enum block_kind { BLOCK_SKUS = 1, BLOCK_IDS, BLOCK_SESSIONS, BLOCK_END };

static const char magic[8] = "HFCHECK\n";

/* ---- bytes --------------------------------------------------------------------------------------------------------------- */

typedef struct hf_bytes {
    const uint8_t *at, *end;
    bool good;
} hf_bytes;

static uint64_t get_number(hf_bytes *bytes) { return hf_get_number(&bytes->at, bytes->end, &bytes->good); }

static const uint8_t *get_bytes(hf_bytes *bytes, size_t length) {
    if ((size_t)(bytes->end - bytes->at) < length) {
        bytes->good = false;
        bytes->at = bytes->end;
        return NULL;
    }
    const uint8_t *at = bytes->at;
    bytes->at += length;
    return at;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

typedef struct hf_writer {
    hf_engine *engine;
    const hf_files *files;
    int file;
    char path[HF_PATH_ROOM + 8]; /* the temporary one */
    uint64_t offset;
    hf_digest chain;
    enum block_kind kind;
    uint8_t *block; /* BLOCK_HEAD + BLOCK_MAX */
    size_t length;
    uint64_t entries, all_entries;
} hf_writer;

static int write_out(hf_writer *writer, const void *data, size_t length) {
    int error = hf_file_write_all(writer->files, writer->file, data, length, writer->offset);
    writer->offset += length;
    return error ? hf_fail_system(error, "cannot write %s", writer->path) : HF_SUCCESS;
}

static int write_block(hf_writer *writer) {
    uint8_t *head = writer->block;
    hf_put32(head, writer->kind);
    hf_put32(head + 4, (uint32_t)writer->length);
    hf_put64(head + 8, writer->entries);
    memcpy(head + 16, writer->chain.bytes, 16);
    /* The digest covers the one before it, which stands in its place while it is made. */
    writer->chain = hf_digest_of(head, BLOCK_HEAD + writer->length);
    memcpy(head + 16, writer->chain.bytes, 16);
    int error = write_out(writer, head, BLOCK_HEAD + writer->length);
    writer->all_entries += writer->entries;
    writer->entries = 0;
    writer->length = 0;
    return error;
}

static int flush(hf_writer *writer, bool even_small) {
    return writer->length > 0 && (even_small || writer->length >= BLOCK_ROOM) ? write_block(writer) : HF_SUCCESS;
}

static uint8_t *entry_begin(hf_writer *writer) { return writer->block + BLOCK_HEAD + writer->length; }

/* Writes nothing out: the caller sees to the room for the next one. */
static void entry_add(hf_writer *writer, const uint8_t *end) {
    writer->length = (size_t)(end - writer->block) - BLOCK_HEAD;
    assert(writer->length <= BLOCK_MAX);
    writer->entries++;
}

static int entry_end(hf_writer *writer, const uint8_t *end) {
    entry_add(writer, end);
    return flush(writer, false);
}

static uint8_t *put_name(uint8_t *at, uint32_t number, const void *name, size_t length) {
    at = hf_put_number(at, number);
    *at++ = (uint8_t)length;
    memcpy(at, name, length);
    return at + length;
}

static int write_skus(hf_writer *writer) {
    const hf_skus *skus = &writer->engine->skus;
    uint64_t lines = hf_pool_used(&skus->lines);
    int error = HF_SUCCESS;
    writer->kind = BLOCK_SKUS;
    for (uint64_t i = 0; i < lines && !error; i++) {
        const hf_sku *sku = hf_sku_of_line(skus, (uint32_t)i);
        if (!sku) {
            continue;
        }
        size_t length;
        const void *name = hf_sku_name(sku, &length);
        hf_counter counter = hf_counter_of(hf_load128_acquire(&sku->word)); /* edge W1: one instant of it */
        uint8_t *at = put_name(entry_begin(writer), sku->number, name, length);
        at = hf_put_number(at, (uint64_t)counter.on_hand);
        at = hf_put_number(at, (uint64_t)counter.reserved);
        error = entry_end(writer, hf_put_number(at, counter.version));
    }
    return error ? error : flush(writer, true);
}

/* The state that a claimed slot had before it was claimed; FREE: it has none that is durable before its record is. */
static hf_slot_state settled_state(hf_slot_state state) {
    switch (state) {
    case HF_SLOT_CONFIRMING:
    case HF_SLOT_EXTENDING:
    case HF_SLOT_CANCELLING:
    case HF_SLOT_EXPIRING:
        return HF_SLOT_LIVE;
    case HF_SLOT_REVIVING:
        return HF_SLOT_EXPIRED;
    case HF_SLOT_PENDING:
        return HF_SLOT_FREE;
    default:
        return state;
    }
}

/* Writes a slot's entry as of the word `word`; returns its end. NULL: its claimer lets its lines go just now (he retires blocks, whose
 * chain is then another). */
static uint8_t *put_slot(hf_writer *writer, const hf_slot *slot, uint64_t word) {
    hf_slot_state state = hf_slot_state_of(word), settled = settled_state(state);
    uint64_t step = hf_slot_step_of(word) - (state != settled); /* the claim's step comes with its record */
    uint8_t *at = entry_begin(writer);
    memcpy(at, slot->id.bytes, sizeof slot->id.bytes);
    at += sizeof slot->id.bytes;
    *at++ = (uint8_t)settled;
    at = hf_put_number(at, step);
    at = hf_put_number(at, hf_slot_when(slot));
    at = hf_put_number(at, hf_slot_first_deadline(slot));
    at = hf_put_number(at, hf_slot_version(slot));
    at = hf_put_number(at, slot->user);
    hf_line_walk walk = hf_lines_of(writer->engine, slot);
    uint32_t missing = walk.left;
    at = hf_put_number(at, missing);
    hf_sku *sku;
    for (int64_t quantity; hf_next_line(&walk, &sku, &quantity); missing--) {
        at = hf_put_number(at, sku->number);
        at = hf_put_number(at, (uint64_t)quantity);
    }
    return missing == 0 ? at : NULL;
}

/* One slot, read as it stands still; inside a section. What is being changed all the time is as good before as after: the record of
 * the change is in the log behind the replay's start, so a claimed one is written as it was before it. */
static void write_slot(hf_writer *writer, const hf_slot *slot) {
    for (;;) {
        uint64_t word = hf_load_acquire(&slot->word); /* edge R1 */
        if (settled_state(hf_slot_state_of(word)) == HF_SLOT_FREE) {
            return;
        }
        const uint8_t *end = put_slot(writer, slot, word);
        if (end && hf_load_relaxed(&slot->word) == word) { /* relaxed: the fields' acquire loads keep it behind them */
            entry_add(writer, end);
            return;
        }
    }
}

static int write_slots(hf_writer *writer) {
    const hf_engine *engine = writer->engine;
    uint64_t used = hf_pool_used(&engine->slots);
    int error = HF_SUCCESS;
    writer->kind = BLOCK_IDS;
    for (uint64_t i = 0; i < used && !error;) {
        uint64_t end = i + SLOTS_A_SECTION < used ? i + SLOTS_A_SECTION : used;
        hf_section_enter();
        while (i < end && writer->length < BLOCK_ROOM - ENTRY_MAX) { /* a block is written outside */
            write_slot(writer, hf_slot_at(engine, (uint32_t)i++));
        }
        hf_section_leave();
        if (writer->length >= BLOCK_ROOM - ENTRY_MAX) {
            error = flush(writer, true);
        }
    }
    return error ? error : flush(writer, true);
}

static int write_sessions(hf_writer *writer) {
    hf_engine *engine = writer->engine;
    int error = HF_SUCCESS;
    writer->kind = BLOCK_SESSIONS;
    pthread_mutex_lock(&engine->sessions_mutex);
    for (const hf_session_name *name = engine->names; name && !error; name = name->next) {
        uint8_t *at = put_name(entry_begin(writer), name->number, name->name, strlen(name->name));
        error = entry_end(writer, hf_put_number(at, hf_load_relaxed(&name->position))); /* relaxed: edge N2 */
    }
    pthread_mutex_unlock(&engine->sessions_mutex);
    return error ? error : flush(writer, true);
}

static int write_end(hf_writer *writer) {
    writer->kind = BLOCK_END;
    writer->entries = writer->all_entries;
    return write_block(writer);
}

/* The header is known only once the scan is done and durable; it is written in its place then. The blocks' chain begins with the
 * UUID, so that no block of another log can follow. */
static int write_header(hf_writer *writer, const hf_checkpoint_header *header) {
    uint8_t bytes[HEADER] = {0};
    memcpy(bytes, magic, sizeof magic);
    hf_put32(bytes + 8, VERSION);
    memcpy(bytes + 16, hf_wal_uuid(writer->engine->wal), 16);
    hf_put64(bytes + 32, header->position.epoch);
    hf_put64(bytes + 40, header->position.generation);
    hf_put64(bytes + 48, header->position.durable);
    hf_put64(bytes + 56, header->now_ms);
    hf_put64(bytes + 64, header->term);
    hf_put32(bytes + 72, header->next_session);
    hf_digest digest = hf_digest_of(bytes, HEADER - 16);
    memcpy(bytes + HEADER - 16, digest.bytes, 16);
    uint64_t end = writer->offset;
    writer->offset = 0;
    int error = write_out(writer, bytes, sizeof bytes);
    writer->offset = end;
    return error;
}

static hf_digest first_link(const uint8_t uuid[16]) { return hf_digest_of(uuid, 16); }

static int write_all(hf_writer *writer, hf_checkpoint_header *header) {
    hf_engine *engine = writer->engine;
    /* Everything up to the epoch sealed here is in memory, whole: replay starts behind it. */
    header->position.generation = hf_wal_generation(engine->wal);
    int error = hf_seal(engine, true);
    header->position.epoch = hf_durable(engine) + 1;
    writer->chain = first_link(hf_wal_uuid(engine->wal));
    writer->offset = HEADER;
    error = error ? error : write_skus(writer);
    error = error ? error : write_slots(writer);
    error = error ? error : write_sessions(writer);
    error = error ? error : write_end(writer);
    /* What the scan saw was done by now: one more grace period, and its epoch must be durable. */
    error = error ? error : hf_seal(engine, true);
    header->position.durable = hf_wal_committed(engine->wal);
    header->now_ms = hf_engine_now(engine);
    header->term = engine->term;
    pthread_mutex_lock(&engine->sessions_mutex);
    header->next_session = engine->next_session;
    pthread_mutex_unlock(&engine->sessions_mutex);
    error = error ? error : write_header(writer, header);
    int synced = error ? 0 : writer->files->sync(writer->files->context, writer->file);
    return synced ? hf_fail_system(synced, "cannot sync %s", writer->path) : error;
}

/* ---- the files ------------------------------------------------------------------------------------------------------------- */

static const char prefix[] = "checkpoint";

static void checkpoint_path(char path[HF_PATH_ROOM], const char *directory, uint64_t epoch) {
    hf_segment_path(path, directory, prefix, epoch, "");
}

/* Keeps those from epoch `oldest` on, that of the checkpoint before this one: it was whole when it was written or loaded. What later
 * epochs are named by is not counted on, it may be damaged or another log's. A leftover harms nobody, so a failure is not told. */
static void remove_older(hf_engine *engine, uint64_t oldest) {
    const hf_files *files = engine->files;
    hf_generations epochs;
    if (hf_generations_read(files, engine->directory, prefix, &epochs) == HF_SUCCESS) {
        for (size_t i = 0; i < epochs.count && epochs.items[i] < oldest; i++) {
            char path[HF_PATH_ROOM];
            checkpoint_path(path, engine->directory, epochs.items[i]);
            files->remove(files->context, path);
        }
    }
    free(epochs.items);
}

static int publish(hf_writer *writer, const hf_checkpoint_header *header) {
    hf_engine *engine = writer->engine;
    char path[HF_PATH_ROOM];
    checkpoint_path(path, engine->directory, header->position.epoch);
    int error = writer->files->rename(writer->files->context, writer->path, path);
    return error ? hf_fail_system(error, "cannot rename %s to %s", writer->path, path) : hf_wal_sync_directory(engine->wal);
}

/* Under checkpoint_mutex. */
static int write_checkpoint(hf_engine *engine, hf_writer *writer) {
    hf_checkpoint_header header = {{0}, 0, 0, 0};
    snprintf(writer->path, sizeof writer->path, "%s/checkpoint.tmp", engine->directory);
    writer->file = writer->files->open(writer->files->context, writer->path, HF_OPEN_CREATE);
    if (writer->file < 0) {
        return hf_fail_system(writer->file, "cannot make %s", writer->path);
    }
    int error = write_all(writer, &header);
    int closed = writer->files->close(writer->files->context, writer->file);
    error = error ? error : closed ? hf_fail_system(closed, "cannot close %s", writer->path) : publish(writer, &header);
    if (error) {
        writer->files->remove(writer->files->context, writer->path);
        return error;
    }
    uint64_t before = engine->checkpoint_generation, oldest = engine->checkpoint_epoch;
    hf_store_relaxed(&engine->checkpoint_epoch, header.position.epoch); /* relaxed, all three: gauges */
    hf_store_relaxed(&engine->checkpoints, engine->checkpoints + 1);
    engine->checkpoint_generation = header.position.generation;
    remove_older(engine, oldest);
    /* The one before needs its log as long as it is kept. Segments that cannot be removed now are tried again the next time. */
    return before > 0 ? hf_wal_release(engine->wal, before) : HF_SUCCESS;
}

int hf_checkpoint_write(hf_engine *engine) {
    hf_writer *writer = calloc(1, sizeof *writer);
    uint8_t *block = writer ? malloc(BLOCK_HEAD + BLOCK_MAX) : NULL;
    if (!block) {
        free(writer);
        return hf_fail(HF_ENOMEM, "no memory to write a checkpoint");
    }
    writer->engine = engine;
    writer->files = engine->files;
    writer->block = block;
    int error = write_checkpoint(engine, writer);
    free(block);
    free(writer);
    return error;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

typedef struct hf_reader {
    const hf_files *files;
    int file;
    char path[HF_PATH_ROOM];
    uint64_t size, offset;
    hf_digest chain;
    uint8_t *block; /* BLOCK_HEAD + BLOCK_MAX */
    enum block_kind kind;
    uint64_t entries, all_entries;
    uint8_t uuid[16];
    char passed_over[HF_CHECKPOINT_TEXT]; /* the newest that was, and why */
} hf_reader;

static int damaged(const hf_reader *reader, const char *what) {
    return hf_fail(HF_ECORRUPT, "%s, offset %" PRIu64 ": %s", reader->path, reader->offset, what);
}

static int read_at(hf_reader *reader, void *data, size_t length, uint64_t offset) {
    ssize_t got = hf_file_read_all(reader->files, reader->file, data, length, offset);
    return got < 0                  ? hf_fail_system((int)got, "cannot read %s", reader->path)
           : (size_t)got == length ? HF_SUCCESS
                                    : damaged(reader, "it ends too early");
}

/* Where a log can be: one that goes on from there has room above it. (An epoch of 0 is in no checkpoint's name.) */
static bool is_position(const hf_wal_position *position) {
    const uint64_t most = HF_BATCH_MAX_NUMBER / 2;
    return position->epoch <= most && position->generation > 0 && position->generation <= most && position->durable <= most;
}

static int read_header(hf_reader *reader, hf_checkpoint_header *header) {
    uint8_t bytes[HEADER];
    int error = reader->files->size(reader->files->context, reader->file, &reader->size);
    error = error ? hf_fail_system(error, "cannot read %s", reader->path) : read_at(reader, bytes, HEADER, 0);
    if (error) {
        return error;
    }
    hf_digest digest = hf_digest_of(bytes, HEADER - 16);
    if (memcmp(bytes, magic, sizeof magic) != 0 || memcmp(bytes + HEADER - 16, digest.bytes, 16) != 0) {
        return damaged(reader, "its header is not that of a checkpoint, or its digest is wrong");
    }
    if (hf_get32(bytes + 8) != VERSION) {
        return hf_fail(HF_EVERSION, "%s: it is of another format version", reader->path);
    }
    if (!hf_is_zero(bytes + 12, 4) || !hf_is_zero(bytes + 76, 36)) {
        return damaged(reader, "reserved bytes of its header are set");
    }
    memcpy(reader->uuid, bytes + 16, 16);
    *header = (hf_checkpoint_header){{hf_get64(bytes + 32), hf_get64(bytes + 40), hf_get64(bytes + 48)},
                                     hf_get64(bytes + 56), hf_get64(bytes + 64), hf_get32(bytes + 72)};
    if (!is_position(&header->position) || header->now_ms > HF_MAX_TIME_MS) {
        return damaged(reader, "its header says what cannot be");
    }
    reader->offset = HEADER;
    reader->chain = first_link(reader->uuid);
    reader->all_entries = 0;
    return HF_SUCCESS;
}

/* The next block, checked. Its payload is *payload. */
static int read_block(hf_reader *reader, hf_bytes *payload) {
    uint8_t *head = reader->block;
    int error = read_at(reader, head, BLOCK_HEAD, reader->offset);
    if (error) {
        return error;
    }
    uint32_t length = hf_get32(head + 4);
    reader->kind = (enum block_kind)hf_get32(head);
    reader->entries = hf_get64(head + 8);
    if (length > BLOCK_MAX || reader->kind < BLOCK_SKUS || reader->kind > BLOCK_END) {
        return damaged(reader, "a block's kind or length is wrong");
    }
    error = read_at(reader, head + BLOCK_HEAD, length, reader->offset + BLOCK_HEAD);
    if (error) {
        return error;
    }
    hf_digest said;
    memcpy(said.bytes, head + 16, 16);
    memcpy(head + 16, reader->chain.bytes, 16);
    hf_digest found = hf_digest_of(head, BLOCK_HEAD + length);
    if (!hf_digest_equal(&said, &found)) {
        return damaged(reader, "a block's digest is wrong");
    }
    reader->chain = found;
    reader->offset += BLOCK_HEAD + length;
    if (reader->kind == BLOCK_END && (reader->entries != reader->all_entries || length > 0 || reader->offset != reader->size)) {
        return damaged(reader, "its end does not fit what came before it");
    }
    reader->all_entries += reader->kind == BLOCK_END ? 0 : reader->entries;
    *payload = (hf_bytes){head + BLOCK_HEAD, head + BLOCK_HEAD + length, true};
    return HF_SUCCESS;
}

/* Reads the whole file once and believes nothing of it: HF_SUCCESS if every block is right. */
static int check_file(hf_reader *reader, hf_checkpoint_header *header) {
    hf_bytes payload;
    int error = read_header(reader, header);
    do {
        error = error ? error : read_block(reader, &payload);
    } while (!error && reader->kind != BLOCK_END);
    return error;
}

static int open_file(hf_reader *reader, const char *directory, uint64_t epoch) {
    checkpoint_path(reader->path, directory, epoch);
    reader->file = reader->files->open(reader->files->context, reader->path, HF_OPEN_READ);
    return reader->file < 0 ? hf_fail_system(reader->file, "cannot open %s", reader->path) : HF_SUCCESS;
}

static void close_file(hf_reader *reader) {
    if (reader->file >= 0) {
        reader->files->close(reader->files->context, reader->file);
    }
    reader->file = -1;
}

/* The file of an epoch, checked as a whole. 1: it is good, and of the log `uuid` if that is not NULL. 0: passed over, and closed. */
static int open_good(hf_reader *reader, const char *directory, uint64_t epoch, const uint8_t *uuid,
                     hf_checkpoint_header *header) {
    int bad = open_file(reader, directory, epoch);
    bad = bad ? bad : check_file(reader, header);
    if (!bad && header->position.epoch == epoch && (!uuid || memcmp(reader->uuid, uuid, 16) == 0)) {
        return 1;
    }
    close_file(reader);
    if (bad && !reader->passed_over[0]) {
        snprintf(reader->passed_over, sizeof reader->passed_over, "%s", hf_error_detail());
    }
    return bad == HF_ENOMEM || bad == HF_EVERSION ? bad : 0;
}

/* Opens the newest that is whole, and of this log if `uuid` is not NULL. reader->file is -1 if there is none. A damaged one is passed
 * over: the one before it. */
static int open_newest(hf_reader *reader, const char *directory, const uint8_t *uuid, hf_checkpoint_header *header) {
    hf_generations epochs;
    int error = hf_generations_read(reader->files, directory, prefix, &epochs), good = 0;
    for (size_t i = epochs.count; i > 0 && !error && good != 1; i--) {
        good = open_good(reader, directory, epochs.items[i - 1], uuid, header);
        error = good < 0 ? good : HF_SUCCESS;
    }
    free(epochs.items);
    return error;
}

static int reader_begin(hf_reader *reader, const hf_files *files) {
    *reader = (hf_reader){.files = files, .file = -1, .block = malloc(BLOCK_HEAD + BLOCK_MAX)};
    return reader->block ? HF_SUCCESS : hf_fail(HF_ENOMEM, "no memory to read a checkpoint");
}

static void reader_end(hf_reader *reader) {
    close_file(reader);
    free(reader->block);
}

/* ---- entries ----------------------------------------------------------------------------------------------------------------- */

typedef struct hf_named {
    uint32_t number;
    const void *name;
    uint8_t length;
} hf_named;

static void get_named(hf_bytes *bytes, hf_named *named, uint64_t highest, uint8_t longest) {
    uint64_t number = get_number(bytes);
    const uint8_t *length = get_bytes(bytes, 1);
    named->length = length ? *length : 0;
    named->name = get_bytes(bytes, named->length);
    named->number = (uint32_t)number;
    bytes->good = bytes->good && number > 0 && number <= highest && named->length > 0 && named->length <= longest;
}

static int take_sku(hf_replay *replay, hf_bytes *bytes) {
    hf_named named;
    get_named(bytes, &named, HF_MAX_SKUS, HF_MAX_SKU_NAME);
    hf_counter counter = {0};
    counter.on_hand = (int64_t)get_number(bytes);
    counter.reserved = (int64_t)get_number(bytes);
    counter.version = get_number(bytes);
    bytes->good = bytes->good && hf_counter_is_valid(counter);
    return bytes->good ? hf_replay_sku(replay, named.number, named.name, named.length, counter) : HF_SUCCESS;
}

static int take_id(hf_replay *replay, hf_bytes *bytes, hf_step *lines) {
    hf_replay_life life = {.lines = lines};
    const uint8_t *id = get_bytes(bytes, sizeof life.id.bytes), *state = get_bytes(bytes, 1);
    life.step = get_number(bytes);
    life.when_ms = get_number(bytes);
    life.first_deadline_ms = get_number(bytes);
    life.version = get_number(bytes);
    life.user = get_number(bytes);
    uint64_t count = get_number(bytes);
    if (!bytes->good || count > HF_MAX_LINES) {
        bytes->good = false;
        return HF_SUCCESS;
    }
    memcpy(life.id.bytes, id, sizeof life.id.bytes);
    life.state = (hf_slot_state)*state;
    life.line_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sku = get_number(bytes), quantity = get_number(bytes);
        bytes->good = bytes->good && sku > 0 && sku <= HF_MAX_SKUS && quantity > 0 && quantity <= HF_MAX_QUANTITY;
        lines[i] = (hf_step){.sku = (uint32_t)sku, .quantity = (int64_t)quantity};
    }
    bool may_be = life.state == HF_SLOT_LIVE || (hf_slot_has_ended(life.state) && life.state <= HF_SLOT_APPLIED);
    bytes->good = bytes->good && may_be && life.step >> 60 == 0 && life.when_ms <= HF_MAX_TIME_MS &&
                  life.first_deadline_ms <= HF_MAX_TIME_MS && life.version >> HF_VERSION_BITS == 0;
    return bytes->good ? hf_replay_life_add(replay, &life) : HF_SUCCESS;
}

static int take_session(hf_replay *replay, hf_bytes *bytes) {
    hf_named named;
    get_named(bytes, &named, HF_MAX_SESSION_NUMBER, HF_MAX_SESSION_NAME);
    uint64_t position = get_number(bytes);
    return bytes->good ? hf_replay_session(replay, named.number, named.name, named.length, position) : HF_SUCCESS;
}

static int take_block(hf_reader *reader, hf_replay *replay, hf_bytes *payload, hf_step *lines) {
    int error = HF_SUCCESS;
    for (uint64_t i = 0; i < reader->entries && !error && payload->good; i++) {
        error = reader->kind == BLOCK_SKUS  ? take_sku(replay, payload)
                : reader->kind == BLOCK_IDS ? take_id(replay, payload, lines)
                                            : take_session(replay, payload);
    }
    return error                                              ? error
           : payload->good && payload->at == payload->end ? HF_SUCCESS
                                                              : damaged(reader, "an entry says what cannot be");
}

static int take_all(hf_reader *reader, hf_replay *replay, hf_checkpoint_header *header) {
    hf_step *lines = malloc(HF_MAX_LINES * sizeof *lines);
    if (!lines) {
        return hf_fail(HF_ENOMEM, "no memory to read a checkpoint");
    }
    hf_bytes payload;
    int error = read_header(reader, header);
    while (!error && (error = read_block(reader, &payload)) == HF_SUCCESS && reader->kind != BLOCK_END) {
        error = take_block(reader, replay, &payload, lines);
    }
    free(lines);
    return error;
}

int hf_checkpoint_load(hf_engine *engine, hf_replay *replay, hf_checkpoint_header *header,
                       char passed_over[HF_CHECKPOINT_TEXT]) {
    hf_reader reader;
    *header = (hf_checkpoint_header){{0}, 0, 0, 0};
    int error = reader_begin(&reader, engine->files);
    error = error ? error : open_newest(&reader, engine->directory, hf_wal_uuid(engine->wal), header);
    if (!error && reader.file >= 0) {
        error = take_all(&reader, replay, header);
        error = error ? error : hf_remembered_sort(engine->keeper);
    } else {
        *header = (hf_checkpoint_header){{0}, 0, 0, 0};
    }
    memcpy(passed_over, reader.passed_over, sizeof reader.passed_over);
    reader_end(&reader);
    return error;
}

int hf_checkpoint_each(const hf_files *files, const char *directory, const uint8_t uuid[16],
                       int (*visit)(void *context, const hf_wal_position *position), void *context) {
    hf_reader reader;
    hf_generations epochs = {0};
    int error = reader_begin(&reader, files);
    error = error ? error : hf_generations_read(files, directory, prefix, &epochs);
    for (size_t i = epochs.count; i > 0 && !error; i--) {
        hf_checkpoint_header header;
        int good = open_good(&reader, directory, epochs.items[i - 1], uuid, &header);
        error = good == 1 ? visit(context, &header.position) : good;
        close_file(&reader);
    }
    free(epochs.items);
    reader_end(&reader);
    return error;
}

int hf_checkpoint_names(const hf_files *files, const char *directory, uint64_t *epoch,
                        int (*visit)(void *context, uint32_t number, const void *name, size_t length), void *context) {
    hf_reader reader;
    hf_checkpoint_header header;
    int error = reader_begin(&reader, files);
    error = error ? error : open_newest(&reader, directory, NULL, &header);
    hf_bytes payload;
    bool any = !error && reader.file >= 0;
    error = any ? read_header(&reader, &header) : error;
    *epoch = any && !error ? header.position.epoch : 0;
    while (any && !error && (error = read_block(&reader, &payload)) == HF_SUCCESS && reader.kind == BLOCK_SKUS) {
        for (uint64_t i = 0; i < reader.entries && payload.good && !error; i++) {
            hf_named named;
            get_named(&payload, &named, HF_MAX_SKUS, HF_MAX_SKU_NAME);
            for (int skip = 0; skip < 3; skip++) {
                (void)get_number(&payload);
            }
            error = payload.good ? visit(context, named.number, named.name, named.length) : HF_SUCCESS;
        }
    }
    reader_end(&reader);
    return error;
}
