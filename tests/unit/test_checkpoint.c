/* Checkpoints made by hand: entries that say what cannot be, with right digests, are refused by file and offset; blocks
 * that do not fit are passed over. Large ones, whose blocks fail to be written. And hf_repair, which tries a log from
 * each of them. */
#include "tests/support/failing_memory.c"

#include "tests/support/made_log.c"

#include "engine/checkpoint.h"
#include "wal/error.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define U(value) ((unsigned long long)(value))

static void receive_one(made_log *log, uint64_t version) {
    made_chunk(log, 1, version == 1);
    if (version == 1) {
        MADE_NAME(log, SESSION, 1, "one");
        MADE_NAME(log, SKU, 1, "a");
    }
    MADE(log, RECEIVE, .id = id_of(version), MADE_LINES({1, 1, 0, version}));
    made_commit(log);
}

/* A log of two epochs, each of which receives one unit of SKU 1. */
static void begin(world *w) {
    made_world(w);
    receive_one(&w->log, 1);
    receive_one(&w->log, 2);
}

static int open_result(world *w) { return hf_open_on(w->log.files, w->log.directory, &w->options, &w->engine); }

static void open_engine(world *w) {
    MUST(open_result(w));
    MUST(hf_session_open(w->engine, "one", &w->session));
}

static void close_engine(world *w) {
    hf_session_close(w->session);
    MUST(hf_close(w->engine));
    w->engine = NULL;
}

static void end(world *w) {
    cr_expect_eq(hf_simulated_held(w->disk), 0, "handles are left open");
    hf_simulated_free(w->disk);
}

static int64_t on_hand(world *w, const char *name) {
    hf_sku *sku;
    hf_stock stock;
    MUST(hf_sku_find(w->session, name, strlen(name), &sku));
    MUST(hf_sku_read(w->session, sku, &stock));
    return stock.on_hand;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static const uint64_t too_late = HF_MAX_TIME_MS + 1, no_version = UINT64_C(1) << HF_VERSION_BITS,
                      too_many = HF_COUNTER_MASK + 1;

typedef struct written {
    uint8_t bytes[400];
    size_t length;
} written;

static written entry_of_sku(uint64_t number, uint8_t length, uint64_t units, uint64_t reserved, uint64_t version) {
    written e = {.length = 0};
    uint8_t *at = hf_put_number(e.bytes, number);
    *at++ = length;
    memset(at, 'a', length);
    at = hf_put_number(hf_put_number(hf_put_number(at + length, units), reserved), version);
    e.length = (size_t)(at - e.bytes);
    return e;
}

static written entry_of_session(uint64_t number, uint8_t length) {
    written e = {.length = 0};
    uint8_t *at = hf_put_number(e.bytes, number);
    *at++ = length;
    memset(at, 's', length);
    e.length = (size_t)(hf_put_number(at + length, 3) - e.bytes);
    return e;
}

typedef struct life {
    uint8_t state;
    uint64_t step, when, first, version, count, sku, quantity;
} life;

static const life good_life = {HF_SLOT_LIVE, MADE_STEP(1), HARNESS_EPOCH_MS + 5, HARNESS_EPOCH_MS + 5, 1, 1, 1, 1};

static written entry_of_id(life l) {
    written e = {.length = 0};
    hf_id id = id_of(50);
    memcpy(e.bytes, id.bytes, sizeof id.bytes);
    uint8_t *at = e.bytes + sizeof id.bytes;
    *at++ = l.state;
    const uint64_t numbers[] = {l.step, l.when, l.first, l.version, 7, l.count, l.sku, l.quantity};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        at = hf_put_number(at, numbers[i]);
    }
    e.length = (size_t)(at - e.bytes);
    return e;
}

/* A checkpoint of SKU 1 ("a": 9 units, version 2), and of one more block with this written; replay starts behind the
 * log. */
static void make_checkpoint(world *w, uint32_t kind, const written *e) {
    made_checkpoint c;
    written sku = entry_of_sku(1, 1, 9, 1, 2);
    made_checkpoint_begin(&c);
    made_block(&c, MADE_SKUS);
    made_entry(&c, sku.bytes, sku.length);
    made_block(&c, kind);
    made_entry(&c, e->bytes, e->length);
    made_end(&c);
    made_checkpoint_write(&c, &w->log, (hf_wal_position){w->log.epoch, 1, w->log.epoch - 1}, 1);
}

static void expect_refused(const char *name, uint32_t kind, written e) {
    world w;
    begin(&w);
    make_checkpoint(&w, kind, &e);
    made_close(&w.log);
    int error = open_result(&w);
    cr_expect(error == HF_ECORRUPT && !w.engine, "%s: %s", name, hf_error_name(error));
    cr_expect(strstr(hf_error_detail(), DIRECTORY "/checkpoint-0000000000000003, offset ") &&
                  strstr(hf_error_detail(), "an entry says what cannot be"),
              "%s: %s", name, hf_error_detail());
    end(&w);
}

static void expect_read(const char *name, uint32_t kind, written e) {
    world w;
    begin(&w);
    make_checkpoint(&w, kind, &e);
    made_close(&w.log);
    open_engine(&w);
    cr_expect(on_hand(&w, "a") == 9 && w.engine->checkpoint_epoch == 3, "%s: the checkpoint was not read", name);
    close_engine(&w);
    end(&w);
}

static written cut(written e, size_t length) {
    e.length = length;
    return e;
}

Test(checkpoint, refuses_a_sku_that_cannot_be) {
    expect_read("a good one", MADE_SKUS, entry_of_sku(2, 2, 1, 0, 1));
    expect_refused("no name length", MADE_SKUS, cut(entry_of_sku(2, 2, 1, 0, 1), 1));
    expect_refused("half a name", MADE_SKUS, cut(entry_of_sku(2, 9, 1, 0, 1), 5));
    expect_refused("no version", MADE_SKUS, cut(entry_of_sku(2, 2, 1, 0, 1), 6));
    expect_refused("number 0", MADE_SKUS, entry_of_sku(0, 2, 1, 0, 1));
    expect_refused("a number beyond all", MADE_SKUS, entry_of_sku(HF_MAX_SKUS + 1, 2, 1, 0, 1));
    expect_refused("a name of no length", MADE_SKUS, entry_of_sku(2, 0, 1, 0, 1));
    expect_refused("too many units", MADE_SKUS, entry_of_sku(2, 2, too_many, 0, 1));
    expect_refused("too many reserved", MADE_SKUS, entry_of_sku(2, 2, 1, too_many, 1));
    expect_refused("a version beyond all", MADE_SKUS, entry_of_sku(2, 2, 1, 0, no_version));
    written longer = entry_of_sku(2, 2, 1, 0, 1);
    expect_refused("a byte more", MADE_SKUS, cut(longer, longer.length + 1));
}

Test(checkpoint, refuses_a_session_that_cannot_be) {
    expect_read("a good one", MADE_SESSIONS, entry_of_session(UINT32_MAX - 2, HF_MAX_SESSION_NAME));
    expect_refused("half of it", MADE_SESSIONS, cut(entry_of_session(4, 9), 6));
    expect_refused("number 0", MADE_SESSIONS, entry_of_session(0, 9));
    expect_refused("a number beyond all", MADE_SESSIONS, entry_of_session(UINT32_MAX, 9));
    expect_refused("a number that is cut to a good one", MADE_SESSIONS, entry_of_session((UINT64_C(1) << 32) + 4, 9));
    expect_refused("a name too long", MADE_SESSIONS, entry_of_session(4, HF_MAX_SESSION_NAME + 1));
}

#define LIFE(field, value)                                                                                             \
    ({                                                                                                                 \
        life l = good_life;                                                                                            \
        l.field = (value);                                                                                             \
        entry_of_id(l);                                                                                                \
    })

Test(checkpoint, refuses_an_id_that_cannot_be) {
    expect_read("a good one", MADE_IDS, entry_of_id(good_life));
    expect_read("of a SKU that is made behind the scan", MADE_IDS, LIFE(sku, 77));
    expect_refused("half an id", MADE_IDS, cut(entry_of_id(good_life), 9));
    expect_refused("half of its numbers", MADE_IDS, cut(entry_of_id(good_life), 30));
    expect_refused("half of its lines", MADE_IDS, LIFE(count, 2));
    expect_refused("too many lines", MADE_IDS, LIFE(count, HF_MAX_LINES + 1));
    expect_refused("SKU 0", MADE_IDS, LIFE(sku, 0));
    expect_refused("a SKU beyond all", MADE_IDS, LIFE(sku, UINT32_MAX));
    expect_refused("no units", MADE_IDS, LIFE(quantity, 0));
    expect_refused("too many units", MADE_IDS, LIFE(quantity, (uint64_t)HF_MAX_QUANTITY + 1));
    expect_refused("a free slot", MADE_IDS, LIFE(state, HF_SLOT_FREE));
    expect_refused("a claimed slot", MADE_IDS, LIFE(state, HF_SLOT_CONFIRMING));
    expect_refused("a state beyond all", MADE_IDS, LIFE(state, HF_SLOT_APPLIED + 1));
    expect_refused("a step of 61 bits", MADE_IDS, LIFE(step, UINT64_C(1) << 60));
    expect_refused("a time beyond all", MADE_IDS, LIFE(when, too_late));
    expect_refused("a deadline beyond all", MADE_IDS, LIFE(first, too_late));
    expect_refused("a version beyond all", MADE_IDS, LIFE(version, no_version));
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static void an_end_of_other_entries(made_checkpoint *c) { hf_put64(c->bytes + c->block + 8, 2); }
static void an_end_with_a_payload(made_checkpoint *c) {
    hf_put32(c->bytes + c->block + 4, 1);
    c->bytes[c->length++] = 0;
}
static void a_byte_behind_the_end(made_checkpoint *c) {
    made_block(c, MADE_END); /* a whole block of it */
    hf_put64(c->bytes + c->block + 8, 1);
}
static void no_end(made_checkpoint *c) { c->length = c->block; }
static void a_block_of_no_kind(made_checkpoint *c) { hf_put32(c->bytes + c->block, 0); }
static void a_block_beyond_all_kinds(made_checkpoint *c) { hf_put32(c->bytes + c->block, MADE_END + 1); }

/* Passed over: the log goes back to its beginning, and is read from there. */
Test(checkpoint, passes_over_one_whose_blocks_do_not_fit) {
    static void (*const breaks[])(made_checkpoint * c) = {an_end_of_other_entries, an_end_with_a_payload,
                                                          a_byte_behind_the_end,   no_end,
                                                          a_block_of_no_kind,      a_block_beyond_all_kinds};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        world w;
        made_checkpoint c;
        written sku = entry_of_sku(1, 1, 9, 1, 2);
        begin(&w);
        made_checkpoint_begin(&c);
        made_block(&c, MADE_SKUS);
        made_entry(&c, sku.bytes, sku.length);
        made_end(&c);
        breaks[i](&c);
        made_checkpoint_write(&c, &w.log, (hf_wal_position){w.log.epoch, 1, w.log.epoch - 1}, 1);
        made_close(&w.log);
        open_engine(&w);
        cr_expect(on_hand(&w, "a") == 2 && w.engine->checkpoint_epoch == 0, "%zu: it was believed", i);
        close_engine(&w);
        end(&w);
    }
}

/* ---- walking over them ------------------------------------------------------------------------------------------- */

typedef struct seen {
    uint64_t epochs[40];
    size_t count, stop_at; /* the visit of that number, from 1, answers HF_ESKUS */
} seen;

static int see_position(void *context, const hf_wal_position *position) {
    seen *s = context;
    s->epochs[s->count++] = position->epoch;
    return s->count == s->stop_at ? HF_ESKUS : HF_SUCCESS;
}

static int see_name(void *context, uint32_t number, const void *name, size_t length) {
    (void)name;
    CHECK(length > 0, "SKU %u has no name", number);
    seen *s = context;
    s->epochs[s->count++] = number;
    return s->count == s->stop_at ? HF_ESKUS : HF_SUCCESS;
}

static void make_small(made_log *log, uint64_t epoch, uint32_t version) {
    made_checkpoint c;
    written sku = entry_of_sku(1, 1, epoch - 1, 0, epoch - 1);
    made_checkpoint_begin(&c);
    made_block(&c, MADE_SKUS);
    made_entry(&c, sku.bytes, sku.length);
    made_end(&c);
    made_checkpoint_write(&c, log, (hf_wal_position){epoch, 1, epoch - 1}, version);
}

Test(checkpoint, each_is_visited_the_newest_first) {
    world w;
    uint8_t uuid[16];
    begin(&w);
    make_small(&w.log, 2, 1);
    make_small(&w.log, 3, 1);
    memcpy(uuid, hf_wal_uuid(w.log.wal), sizeof uuid);
    seen s = {.count = 0};
    MUST(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s));
    cr_expect(s.count == 2 && s.epochs[0] == 3 && s.epochs[1] == 2, "%zu positions", s.count);
    s = (seen){.stop_at = 1};
    cr_expect_eq(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s), HF_ESKUS);
    cr_expect_eq(s.count, 1u);
    uint8_t other[16] = {1};
    s = (seen){.count = 0};
    MUST(hf_checkpoint_each(w.log.files, DIRECTORY, other, see_position, &s));
    cr_expect_eq(s.count, 0u, "another log's were visited");
    hf_simulated_fault(w.disk, HF_CALL_LIST, 1, 1, -EIO);
    cr_expect_eq(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s), HF_EIO);
    cr_expect(strstr(hf_error_detail(), DIRECTORY), "%s", hf_error_detail());
    hf_simulated_fault(w.disk, HF_CALL_OPEN, 1, 1, -ENOMEM);
    cr_expect_eq(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s), HF_ENOMEM);
    cr_expect(strstr(hf_error_detail(), "checkpoint-0000000000000003"), "%s", hf_error_detail());
    hf_simulated_fault(w.disk, 0, 0, 0, 0);
    memory_fail(MEMORY_HEAP, 1, 1);
    cr_expect_eq(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s), HF_ENOMEM);
    cr_expect(memory_failed());
    make_small(&w.log, 4, 2);
    cr_expect_eq(hf_checkpoint_each(w.log.files, DIRECTORY, uuid, see_position, &s), HF_EVERSION);
    cr_expect(s.count == 0 && strstr(hf_error_detail(), "checkpoint-0000000000000004"), "%s", hf_error_detail());
    made_close(&w.log);
    end(&w);
}

/* With a right digest, it is passed over: the log by itself is whole. */
Test(checkpoint, a_position_that_no_log_can_have_is_not_believed) {
    const uint64_t beyond = HF_BATCH_MAX_NUMBER / 2 + 1;
    const hf_wal_position positions[] = {{3, 0, 2}, {3, beyond, 2}, {3, 1, beyond}, {beyond, 1, 2}};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        world w;
        begin(&w);
        made_checkpoint c;
        made_checkpoint_begin(&c);
        made_end(&c);
        made_checkpoint_write(&c, &w.log, positions[i], 1);
        made_close(&w.log);
        open_engine(&w);
        cr_expect_eq(w.engine->checkpoint_epoch, 0u, "position %zu", i);
        close_engine(&w);
        end(&w);
    }
}

/* One block of two SKUs, newer than the other checkpoint. */
static void make_two(made_log *log, const written *first, const written *second) {
    made_checkpoint c;
    made_checkpoint_begin(&c);
    made_block(&c, MADE_SKUS);
    made_entry(&c, first->bytes, first->length);
    made_entry(&c, second->bytes, second->length);
    made_end(&c);
    made_checkpoint_write(&c, log, (hf_wal_position){log->epoch + 1, 1, 1}, 1);
}

static int names(world *w, seen *s) {
    uint64_t epoch;
    return hf_checkpoint_names(w->log.files, DIRECTORY, &epoch, see_name, s);
}

Test(checkpoint, names_are_told_as_far_as_they_can_be) {
    world w;
    begin(&w);
    seen s = {.count = 0};
    MUST(names(&w, &s)); /* there is none */
    written good = entry_of_sku(2, 2, 1, 0, 1), bad = entry_of_sku(0, 2, 1, 0, 1);
    make_checkpoint(&w, MADE_SKUS, &good);
    MUST(names(&w, &s));
    cr_expect(s.count == 2 && s.epochs[0] == 1 && s.epochs[1] == 2, "%zu names", s.count);
    s = (seen){.stop_at = 1};
    cr_expect_eq(names(&w, &s), HF_ESKUS);
    /* Each read of it fails in turn: of the check, after which there is no checkpoint, and of the reading. */
    uint64_t told = 0, refused = 0;
    for (uint64_t n = 1;; n++) {
        s = (seen){.count = 0};
        hf_simulated_fault(w.disk, HF_CALL_READ | HF_CALL_SIZE, n, UINT64_MAX, -EIO);
        int error = names(&w, &s);
        bool failed = hf_simulated_calls(w.disk) >= n;
        cr_expect(error == HF_SUCCESS || (error == HF_EIO && strstr(hf_error_detail(), "checkpoint-0000000000000003")),
                  "read %llu: %s, %s", U(n), hf_error_name(error), hf_error_detail());
        refused += error != HF_SUCCESS;
        told += s.count;
        if (!failed) {
            break;
        }
    }
    hf_simulated_fault(w.disk, 0, 0, 0, 0);
    cr_expect(refused > 2 && told > 2, "%llu refused", U(refused));
    memory_fail(MEMORY_HEAP, 1, 1);
    cr_expect_eq(names(&w, &s), HF_ENOMEM);
    cr_expect(memory_failed());
    make_two(&w.log, &good, &good);
    s = (seen){.stop_at = 1};
    cr_expect_eq(names(&w, &s), HF_ESKUS);
    cr_expect_eq(s.count, 1u);
    make_two(&w.log, &bad, &good);
    s = (seen){.count = 0};
    MUST(names(&w, &s));
    cr_expect_eq(s.count, 0u, "what cannot be was told, or what stands behind it");
    made_close(&w.log);
    end(&w);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

enum { LARGE_SKUS = 4600, LARGE_IDS = 26000, LARGE_SESSIONS = 16500 }; /* more than a block's room of each */

static void make_large(made_log *log) {
    char name[HF_MAX_SKU_NAME];
    memset(name, 'n', sizeof name);
    made_chunk(log, 1, true);
    for (uint32_t i = 0; i < LARGE_SKUS; i++) {
        snprintf(name, 20, "sku-%u", i);
        MADE(log, SKU, .number = 10 + i, .name = name, .name_length = sizeof name);
    }
    MADE(log, RECEIVE, .id = id_of(9), MADE_LINES({1, 100000, 0, 3}));
    for (uint32_t i = 0; i < LARGE_IDS; i++) {
        MADE(log, RESERVE, .id = id_of(1000 + i), .ttl_ms = 1000000, .user = UINT64_MAX, MADE_LINES({1, 1, 0, 4 + i}));
    }
    made_commit(log);
}

/* As if so many names had ever been given. */
static void add_names(hf_engine *engine) {
    for (uint32_t i = 0; i < LARGE_SESSIONS; i++) {
        hf_session_name *name = calloc(1, sizeof *name);
        CHECK(name, "out of memory");
        memset(name->name, 'n', HF_MAX_SESSION_NAME);
        name->name[snprintf(name->name, 20, "session-%u", i)] = '-';
        name->number = 100 + i;
        name->next = engine->names;
        engine->names = name;
    }
    engine->next_session = 100 + LARGE_SESSIONS;
}

static unsigned count_checkpoints(hf_simulated *disk) {
    unsigned count = 0;
    for (uint64_t epoch = 1; epoch < 100; epoch++) {
        char path[HF_PATH_ROOM];
        hf_segment_path(path, DIRECTORY, "checkpoint", epoch, "");
        count += hf_simulated_bytes(disk, path, NULL) != NULL;
    }
    return count;
}

/* HF_EIO: nothing was changed, and the engine goes on. */
Test(checkpoint, a_write_of_each_of_its_blocks_fails) {
    world w;
    uint64_t n = 1;
    int error;
    begin(&w);
    make_large(&w.log);
    made_close(&w.log);
    open_engine(&w);
    add_names(w.engine);
    for (;; n++) {
        hf_simulated_fault(w.disk, HF_CALL_WRITE, n, 1, -EIO);
        error = hf_checkpoint(w.engine);
        bool failed = hf_simulated_calls(w.disk) >= n;
        hf_simulated_fault(w.disk, 0, 0, 0, 0);
        if (!failed) {
            break;
        }
        cr_expect(error == HF_EIO && strstr(hf_error_detail(), DIRECTORY "/checkpoint.tmp"), "write %llu: %s", U(n),
                  hf_error_detail());
        cr_expect(count_checkpoints(w.disk) == 0 && hf_health(w.engine) == HF_SUCCESS, "write %llu changed something",
                  U(n));
    }
    cr_expect_eq(error, HF_SUCCESS);
    cr_expect_geq(n, 9u, "it has two blocks of each kind, an end and a header");
    cr_expect_eq(count_checkpoints(w.disk), 1u);
    close_engine(&w);
    open_engine(&w);
    cr_expect(w.engine->checkpoint_epoch > 0 && w.engine->next_session >= 100 + LARGE_SESSIONS, "it was not read");
    hf_stats stats;
    hf_stats_read(w.engine, &stats);
    cr_expect(stats.skus == 1 + LARGE_SKUS && on_hand(&w, "a") == 100002, "%llu SKUs", U(stats.skus));
    close_engine(&w);
    end(&w);
}

/* The seal before the scan: what is not durable may not be in it. */
Test(checkpoint, none_where_the_log_cannot_be_written) {
    world w;
    hf_reply reply;
    begin(&w);
    made_close(&w.log);
    open_engine(&w);
    MUST(hf_receive(w.session, id_of(9), (hf_line){.name = "a", .name_length = 1, .quantity = 1}, &reply));
    hf_simulated_fault(w.disk, HF_CALL_SYNC, 1, 1, -EIO);
    cr_expect_eq(hf_checkpoint(w.engine), HF_EPOISONED);
    cr_expect(strstr(hf_error_detail(), DIRECTORY "/segment-"), "%s", hf_error_detail());
    hf_simulated_fault(w.disk, 0, 0, 0, 0);
    cr_expect_eq(count_checkpoints(w.disk), 0u);
    cr_expect_eq(hf_simulated_bytes(w.disk, DIRECTORY "/checkpoint.tmp", NULL), NULL, "it is left half made");
    hf_session_close(w.session);
    cr_expect_eq(hf_close(w.engine), HF_EPOISONED);
    open_engine(&w);
    close_engine(&w);
    end(&w);
}

/* Each id is being changed while the scan goes by: it is written as it was before, or not at all where it was not yet.
 */
Test(checkpoint, a_claimed_id_is_written_as_it_was_before) {
    static const struct {
        hf_slot_state claimed;
        hf_state before;
    } claims[] = {{HF_SLOT_CONFIRMING, HF_STATE_LIVE},  {HF_SLOT_EXTENDING, HF_STATE_LIVE},
                  {HF_SLOT_CANCELLING, HF_STATE_LIVE},  {HF_SLOT_EXPIRING, HF_STATE_LIVE},
                  {HF_SLOT_REVIVING, HF_STATE_EXPIRED}, {HF_SLOT_PENDING, HF_STATE_UNKNOWN}};
    enum { CLAIMS = sizeof claims / sizeof claims[0] };
    world w;
    uint64_t words[CLAIMS];
    hf_slot *slots[CLAIMS];
    begin(&w);
    made_chunk(&w.log, 1, false);
    MADE(&w.log, RECEIVE, .id = id_of(9), MADE_LINES({1, 100, 0, 3}));
    for (uint64_t i = 0; i < CLAIMS; i++) {
        MADE(&w.log, RESERVE, .id = id_of(20 + i), .ttl_ms = 1000000, MADE_LINES({1, 1, 0, 4 + i}));
    }
    made_commit(&w.log);
    made_close(&w.log);
    open_engine(&w);
    for (uint64_t i = 0; i < CLAIMS; i++) {
        hf_id id = id_of(20 + i);
        hf_section_enter();
        uint32_t number = hf_index_find(w.engine->index, hf_id_hash(w.engine, id), &id);
        hf_section_leave();
        slots[i] = hf_slot_at(w.engine, number);
        words[i] = slots[i]->word;
        slots[i]->word = hf_slot_word(hf_slot_step_of(words[i]) + 1, claims[i].claimed);
    }
    MUST(hf_checkpoint(w.engine));
    hf_simulated *image = hf_simulated_crash(w.disk, HF_CRASH_DROP, 1);
    for (uint64_t i = 0; i < CLAIMS; i++) {
        slots[i]->word = words[i];
    }
    close_engine(&w);
    w.log.files = hf_simulated_files(image);
    open_engine(&w);
    cr_expect_gt(w.engine->checkpoint_epoch, 0);
    for (uint64_t i = 0; i < CLAIMS; i++) {
        hf_reservation found = {0};
        int error = hf_reservation_read(w.session, id_of(20 + i), &found, NULL, 0);
        cr_expect(found.state == claims[i].before && (error == HF_SUCCESS) == (claims[i].before != HF_STATE_UNKNOWN),
                  "claim %d: %s, %s", (int)claims[i].claimed, hf_error_name(error), hf_state_text(found.state));
    }
    close_engine(&w);
    hf_simulated_free(image);
    end(&w);
}

static void remove_all(void *context, hf_simulated *disk) {
    (void)context;
    for (uint64_t epoch = 1; epoch < 100; epoch++) {
        char path[HF_PATH_ROOM];
        hf_segment_path(path, DIRECTORY, "checkpoint", epoch, "");
        (void)hf_simulated_remove(disk, path);
    }
}

/* Somebody removes it as soon as it is there: the next one is written all the same. */
Test(checkpoint, one_that_vanishes_at_once) {
    world w;
    begin(&w);
    made_close(&w.log);
    open_engine(&w);
    hf_simulated_watch(w.disk, HF_CALL_LIST | HF_WATCH_BEFORE, remove_all, NULL);
    MUST(hf_checkpoint(w.engine));
    hf_simulated_watch(w.disk, 0, NULL, NULL);
    cr_expect_eq(count_checkpoints(w.disk), 0u);
    MUST(hf_checkpoint(w.engine));
    cr_expect_eq(count_checkpoints(w.disk), 1u);
    close_engine(&w);
    open_engine(&w);
    cr_expect_eq(on_hand(&w, "a"), 2);
    close_engine(&w);
    end(&w);
}

/* ---- hf_repair --------------------------------------------------------------------------------------------------- */

enum { EPOCHS = 20, DAMAGED = 10 };

/* A directory of the system's: EPOCHS epochs, each of one unit and in a page of its own, and a checkpoint behind each.
 */
static void begin_directory(world *w) {
    char directory[HARNESS_PATH];
    memset(w, 0, sizeof *w);
    made_options(w);
    harness_directory(directory);
    made_open(&w->log, hf_files_system(), directory);
    for (uint64_t i = 1; i <= EPOCHS; i++) {
        receive_one(&w->log, i);
        make_small(&w->log, w->log.epoch, 1);
    }
}

static void damage(const world *w, uint64_t offset) {
    char path[HF_PATH_ROOM];
    uint8_t byte;
    hf_segment_path(path, w->log.directory, "segment", 1, "");
    int file = w->log.files->open(NULL, path, HF_OPEN_WRITE);
    CHECK(file >= 0 && w->log.files->read(NULL, file, &byte, 1, offset) == 1, "%s", path);
    byte ^= 0x20;
    CHECK(w->log.files->write(NULL, file, &byte, 1, offset) == 1 && w->log.files->close(NULL, file) == 0, "%s", path);
}

Test(checkpoint, repair_refuses_what_it_cannot_do) {
    world w;
    hf_repair_report report;
    char nowhere[HARNESS_PATH + 10];
    begin_directory(&w);
    cr_expect_eq(hf_repair(w.log.directory, HF_REPAIR_CUT | 2, &report), HF_EINVAL);
    cr_expect(strstr(hf_error_detail(), "flags is 0x3"), "%s", hf_error_detail());
    snprintf(nowhere, sizeof nowhere, "%s/nowhere", w.log.directory);
    cr_expect_eq(hf_repair(nowhere, 0, &report), HF_ENOTFOUND);
    cr_expect_eq(hf_repair(nowhere, HF_REPAIR_CUT, &report), HF_ENOTFOUND);
    cr_expect(strstr(hf_error_detail(), nowhere), "%s", hf_error_detail());
    cr_expect_eq(hf_repair(w.log.directory, HF_REPAIR_CUT, &report), HF_EBUSY);
    make_small(&w.log, EPOCHS + 2, 2);
    made_close(&w.log);
    cr_expect_eq(hf_repair(w.log.directory, HF_REPAIR_CUT, &report), HF_EVERSION);
    cr_expect(strstr(hf_error_detail(), "checkpoint-0000000000000016"), "%s", hf_error_detail());
    cr_expect(!report.damaged && !report.cut);
    harness_remove(w.log.directory);
}

/* More checkpoints than it looks at: of the newest ones, those go aside that need more than is left. */
Test(checkpoint, repair_takes_the_newest_checkpoint_that_the_log_reaches) {
    world w;
    hf_repair_report report, before;
    begin_directory(&w);
    made_close(&w.log);
    MUST(hf_repair(w.log.directory, HF_REPAIR_CUT, &report));
    cr_expect(!report.damaged && !report.cut, "%s", report.damage);
    damage(&w, DAMAGED * HF_BATCH_ALIGN + HF_BATCH_HEADER);
    cr_expect_eq(open_result(&w), HF_ECORRUPT);
    /* Memory that is missing is said, or only what could be read is not known. */
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        memory_fail(MEMORY_HEAP, n, 1);
        int error = hf_repair(w.log.directory, 0, &report);
        failed = memory_failed();
        CHECK((error == HF_ENOMEM && failed && hf_error_detail()[0]) || (error == HF_SUCCESS && report.damaged),
              "allocation %llu: %s", U(n), hf_error_name(error));
        cr_expect(error || report.readable_epochs == EPOCHS - DAMAGED ||
                      (failed && report.readable_epochs + 1 == EPOCHS - DAMAGED),
                  "%llu epochs can be read", U(report.readable_epochs));
    }
    MUST(hf_repair(w.log.directory, 0, &before));
    MUST(hf_repair(w.log.directory, HF_REPAIR_CUT, &report));
    cr_expect(report.cut && report.kept_epoch == DAMAGED - 1 && report.lost_epoch == EPOCHS, "up to %llu",
              U(report.kept_epoch));
    cr_expect(report.start_epoch == DAMAGED && report.checkpoints == EPOCHS + 1 - DAMAGED, "%llu checkpoints",
              U(report.checkpoints));
    report.cut = false;
    cr_expect(memcmp(&report, &before, sizeof report) == 0, "the report said something else");
    cr_expect_eq(harness_count(w.log.directory, "aside-checkpoint-"), EPOCHS + 1 - DAMAGED);
    cr_expect_eq(harness_count(w.log.directory, "checkpoint-"), DAMAGED - 1);
    open_engine(&w);
    cr_expect(on_hand(&w, "a") == DAMAGED - 1 && w.engine->checkpoint_epoch == DAMAGED, "%lld units",
              (long long)on_hand(&w, "a"));
    close_engine(&w);
    harness_remove(w.log.directory);
}
