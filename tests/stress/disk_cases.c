/* Moments between a checkpoint, the seal and an operation that are too rare to be met by chance, made one by one.
 *
 * An engine without threads runs on a disk in memory. What comes in between is carried out from where the engine calls out: a write
 * of the disk (between two blocks of a checkpoint's scan), a step of an operation (hf_part_step), a retired cell. Each case ends in
 * a power loss, after which the engine opens as it was when it last was durable.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/harness.h"

#include "engine/engine.h"
#include "engine/expiry.h"
#include "engine/seal.h"
#include "wal/state.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "disk/engine"

typedef struct stage {
    crash_disk *disk;
    harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    unsigned blocks; /* of the checkpoint that is being written */
    void (*at_block)(struct stage *s, unsigned block); /* before the block is written; from 1 */
} stage;

/* ---- the stage ------------------------------------------------------------------------------------------------------------------- */

static void open_stage(stage *s, const char *name) {
    MUST(hf_open_on(crash_disk_files(s->disk), DIRECTORY, &s->options, &s->engine));
    MUST(hf_session_open(s->engine, name, &s->session));
}

static void begin(stage *s, uint64_t retention_ms) {
    *s = (stage){.disk = crash_disk_new()};
    harness_clock_set(&s->clock, HARNESS_EPOCH_MS);
    harness_options(&s->options, HF_NO_THREADS, &s->clock);
    s->options.retention_ms = retention_ms;
    s->options.ring_bytes = 512u << 10;
    s->options.max_reservations = 1 << 20;
    open_stage(s, "stage");
}

static void end(stage *s) {
    hf_session_close(s->session);
    (void)!hf_close(s->engine);
    crash_disk_free(s->disk);
}

static void watch(void *context, const char *call, const char *path) {
    stage *s = context;
    const char *suffix = "/checkpoint.tmp";
    size_t length = strlen(path), tail = strlen(suffix);
    if (strcmp(call, "write") == 0 && length > tail && strcmp(path + length - tail, suffix) == 0 && s->at_block) {
        s->at_block(s, ++s->blocks);
    }
}

/* Takes a checkpoint; `at_block` comes in between. */
static void checkpoint(stage *s, void (*at_block)(stage *s, unsigned block)) {
    s->blocks = 0;
    s->at_block = at_block;
    crash_disk_watch(s->disk, watch, s);
    MUST(hf_checkpoint(s->engine));
    crash_disk_watch(s->disk, NULL, NULL);
}

static hf_line line_of(const char *name, int64_t quantity) {
    return (hf_line){.name = name, .name_length = strlen(name), .quantity = quantity};
}

static void receive(stage *s, uint64_t id, const char *name, int64_t quantity) {
    hf_reply reply;
    int error;
    while ((error = hf_receive(s->session, harness_id(1, id), line_of(name, quantity), &reply)) == HF_EAGAIN) {
        MUST(hf_poll(s->engine));
    }
    CHECK(error == HF_SUCCESS && reply.outcome == HF_OUTCOME_OK, "receive: %s, %s", hf_error_name(error),
          hf_outcome_text(reply.outcome));
}

/* `count` SKUs, named sku-0 ..., `quantity` units of each. */
static void stock_up(stage *s, unsigned count, int64_t quantity) {
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "sku-%u", i);
        receive(s, UINT64_C(1) << 40 | i, name, quantity);
    }
}

static void reserve(stage *s, uint64_t id, unsigned count, uint64_t ttl_ms) {
    hf_line lines[64];
    char names[64][16];
    hf_reply reply;
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "sku-%u", i);
        lines[i] = line_of(names[i], 1);
    }
    MUST(hf_reserve(s->session, harness_id(2, id), lines, count, ttl_ms, 7, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "reserve: %s", hf_outcome_text(reply.outcome));
}

/* The engine on `image` is as the one before, and goes on in its place if that is gone. */
static void expect_state(stage *s, crash_disk *image, const char *name, const char *before, uint64_t position) {
    s->disk = image;
    open_stage(s, name);
    char *after = harness_state(s->session);
    CHECK(strcmp(before, after) == 0, "before:\n%safter:\n%s", before, after);
    CHECK(hf_session_position(s->session) == position, "position %llu, expected %llu",
          (unsigned long long)hf_session_position(s->session), (unsigned long long)position);
    free(after);
}

/* The power fails when all is durable, once with all that was not synced on the disk, once with none of it. */
static void lose_power(stage *s, const char *name) {
    MUST(hf_poll(s->engine));
    char *before = harness_state(s->session);
    uint64_t position = hf_session_position(s->session);
    stage all = *s;
    crash_disk *none = crash_disk_image(s->disk, 0);
    expect_state(&all, crash_disk_killed(s->disk), name, before, position);
    end(&all);
    end(s);
    expect_state(s, none, name, before, position);
    free(before);
}

/* ---- an id is forgotten and used again while a checkpoint scans ------------------------------------------------------------------ */

enum { MANY_IDS = 30000 }; /* more than fit a block */

static void use_again(stage *s, unsigned block) {
    if (block == 2) { /* the first of ids: what it holds was scanned */
        harness_clock_set(&s->clock, harness_clock_read(&s->clock) + 1000);
        MUST(hf_poll(s->engine));
        receive(s, 0, "sku", 1);
    }
}

/* Its old life and its new one are both in the checkpoint. */
static void an_id_used_again(void) {
    stage s;
    begin(&s, 10);
    for (unsigned i = 0; i < MANY_IDS; i++) {
        receive(&s, i, "sku", 1);
    }
    MUST(hf_poll(s.engine));
    checkpoint(&s, use_again);
    CHECK(s.blocks >= 5, "%u blocks: the ids fit one", s.blocks);
    lose_power(&s, "stage");
    hf_reply reply;
    MUST(hf_receive(s.session, harness_id(1, 0), line_of("sku", 1), &reply));
    CHECK(reply.outcome == HF_OUTCOME_DUPLICATE && reply.version == MANY_IDS + 1, "%s, version %llu",
          hf_outcome_text(reply.outcome), (unsigned long long)reply.version);
    end(&s);
}

/* ---- a reservation's lines are let go while a checkpoint reads them ---------------------------------------------------------------- */

static struct {
    const hf_pool *pool; /* NULL: nobody is stopped */
    sem_t stopped, go_on;
} retiring;

void __real_hf_pool_retire(const hf_pool *pool, hf_pool_cache *cache, uint32_t number);
void __wrap_hf_pool_retire(const hf_pool *pool, hf_pool_cache *cache, uint32_t number);
void __wrap_hf_pool_retire(const hf_pool *pool, hf_pool_cache *cache, uint32_t number) {
    __real_hf_pool_retire(pool, cache, number);
    if (pool == retiring.pool) {
        retiring.pool = NULL;
        sem_post(&retiring.stopped);
        struct timespec until; /* no longer than that: the scan may wait for us */
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        (void)sem_timedwait(&retiring.go_on, &until);
    }
}

static void *confirm(void *context) {
    stage *s = context;
    hf_session *session;
    hf_reply reply;
    MUST(hf_session_open(s->engine, NULL, &session));
    MUST(hf_confirm(session, harness_id(2, 0), &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "confirm: %s", hf_outcome_text(reply.outcome));
    hf_session_close(session);
    return NULL;
}

static pthread_t confirmer;

static void confirm_slowly(stage *s, unsigned block) {
    if (block == 1) { /* SKUs are scanned, ids are not */
        retiring.pool = &s->engine->blocks;
        CHECK(pthread_create(&confirmer, NULL, confirm, s) == 0, "no thread");
        sem_wait(&retiring.stopped);
    } else if (block == 2) {
        sem_post(&retiring.go_on);
        CHECK(pthread_join(confirmer, NULL) == 0, "no join");
    }
}

static void lines_let_go(void) {
    stage s;
    begin(&s, 1000000);
    sem_init(&retiring.stopped, 0, 0);
    sem_init(&retiring.go_on, 0, 0);
    stock_up(&s, 14, 10);
    reserve(&s, 0, 14, 1000); /* three blocks of lines */
    reserve(&s, 1, 14, 1000);
    MUST(hf_poll(s.engine));
    checkpoint(&s, confirm_slowly);
    lose_power(&s, "stage");
    end(&s);
}

/* ---- the epoch turns in the midst of an operation ---------------------------------------------------------------------------------- */

/* Operations that begin within others: many_large_operations. */
enum { LARGE = 40 };

static struct {
    stage *stage; /* NULL: no operations begin within others */
    hf_session *sessions[LARGE];
    hf_line *lines;
    unsigned begun;
} nest;

static void begin_within(void);

static struct {
    stage *stage; /* NULL: it does not */
    bool takes_checkpoint;
    pthread_t thread;
} turn;

static void *run_turn(void *context) {
    hf_engine *engine = context;
    hf_section_register();
    MUST(turn.takes_checkpoint ? hf_checkpoint(engine) : hf_seal(engine, true));
    hf_section_unregister();
    return NULL;
}

void __real_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step) {
    __real_hf_part_step(part, epoch, step);
    if (nest.stage && part->count == HF_MAX_LINES - 1) {
        begin_within();
    }
    if (turn.stage) {
        hf_engine *engine = turn.stage->engine;
        turn.stage = NULL;
        CHECK(pthread_create(&turn.thread, NULL, run_turn, engine) == 0, "no thread");
        while (hf_engine_epoch(engine) <= epoch) {
        }
    }
}

/* The epoch turns after the operation's first step. */
static void operate_turning(stage *s, hf_session *session, hf_op_type type, uint64_t id, bool takes_checkpoint) {
    hf_line lines[] = {line_of("sku-0", 1), line_of("sku-1", 1)};
    hf_op op = {.type = type, .id = harness_id(2, id), .lines = lines, .line_count = 2, .ttl_ms = 1000};
    hf_reply reply;
    turn.stage = s;
    turn.takes_checkpoint = takes_checkpoint;
    MUST(hf_submit(session, &op, 1, &reply, NULL));
    CHECK(reply.outcome == HF_OUTCOME_OK && !turn.stage, "%s", hf_outcome_text(reply.outcome));
    CHECK(pthread_join(turn.thread, NULL) == 0, "no join");
}

/* Its first part lies before the replay's start. */
static void a_checkpoint_within(void) {
    static const hf_op_type types[] = {HF_OP_PURCHASE, HF_OP_RESERVE, HF_OP_CONFIRM, HF_OP_CANCEL};
    for (unsigned i = 0; i < 4; i++) {
        stage s;
        begin(&s, 1000000);
        stock_up(&s, 2, 10);
        if (types[i] > HF_OP_RESERVE) {
            reserve(&s, 0, 2, 1000);
        }
        MUST(hf_poll(s.engine));
        operate_turning(&s, s.session, types[i], 0, true);
        lose_power(&s, "stage");
        end(&s);
    }
}

/* One name, opened again while its last operation's second part waits in the ring: two operations of one session are open at once,
 * and the later one comes first in its epoch. */
static void one_name_two_operations(void) {
    stage s;
    hf_session *earlier, *session;
    begin(&s, 1000000);
    stock_up(&s, 2, 10);
    reserve(&s, 1, 2, 1000);
    MUST(hf_session_open(s.engine, NULL, &earlier));
    MUST(hf_session_open(s.engine, "twice", &session));
    hf_session_close(earlier); /* its place is taken by the next */
    MUST(hf_poll(s.engine));
    operate_turning(&s, session, HF_OP_RESERVE, 0, false);
    hf_session_close(session);
    MUST(hf_session_open(s.engine, "twice", &session));
    operate_turning(&s, session, HF_OP_CANCEL, 1, false);
    hf_session_close(session);
    lose_power(&s, "stage");
    end(&s);
}

/* ---- many large operations are open at once ------------------------------------------------------------------------------------------ */

/* Each begins within the one before, at its last step but one; the last turns the epoch. */
static void begin_within(void) {
    hf_reply reply;
    if (nest.begun == LARGE) {
        turn.stage = nest.stage;
        nest.stage = NULL;
        return;
    }
    hf_session *session = nest.sessions[nest.begun];
    MUST(hf_purchase(session, harness_id(8, ++nest.begun), nest.lines, HF_MAX_LINES, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
}

/* More than a ring of recovery's own holds as it is. */
static void many_large_operations(void) {
    stage s;
    begin(&s, 1000000);
    stock_up(&s, HF_MAX_LINES, 100);
    char(*names)[16] = calloc(HF_MAX_LINES, sizeof *names);
    nest.lines = calloc(HF_MAX_LINES, sizeof *nest.lines);
    CHECK(names && nest.lines, "out of memory");
    for (unsigned i = 0; i < HF_MAX_LINES; i++) {
        snprintf(names[i], sizeof names[i], "sku-%u", i);
        nest.lines[i] = line_of(names[i], 1);
    }
    for (unsigned i = 0; i < LARGE; i++) {
        MUST(hf_session_open(s.engine, NULL, &nest.sessions[i]));
    }
    MUST(hf_poll(s.engine));
    uint64_t durable = hf_durable(s.engine);
    nest.begun = 0;
    nest.stage = &s;
    begin_within();
    CHECK(pthread_join(turn.thread, NULL) == 0 && hf_durable(s.engine) == durable + 1, "the epoch did not turn once");
    crash_disk *image = crash_disk_image(s.disk, 0);
    for (unsigned i = 0; i < LARGE; i++) {
        hf_session_close(nest.sessions[i]);
    }
    end(&s);
    s.disk = image;
    open_stage(&s, "stage");
    hf_stats stats;
    hf_stats_read(s.engine, &stats);
    CHECK(stats.undone == LARGE, "%llu operations undone", (unsigned long long)stats.undone);
    for (unsigned i = 0; i < HF_MAX_LINES; i++) {
        hf_sku *sku;
        hf_stock stock;
        MUST(hf_sku_find(s.session, names[i], strlen(names[i]), &sku));
        MUST(hf_sku_read(s.session, sku, &stock));
        CHECK(stock.on_hand == 100 && stock.reserved == 0, "%s: on_hand %lld", names[i], (long long)stock.on_hand);
    }
    lose_power(&s, "stage");
    free(names);
    free(nest.lines);
    end(&s);
}

/* ---- a deadline passes while it is being extended, and the ring is all but full ------------------------------------------------------ */

static stage *passing; /* NULL: time stands still */

void __real_hf_hint_died(hf_session *session, uint32_t slot);
void __wrap_hf_hint_died(hf_session *session, uint32_t slot);
void __wrap_hf_hint_died(hf_session *session, uint32_t slot) {
    __real_hf_hint_died(session, slot);
    if (passing) {
        harness_clock_set(&passing->clock, harness_clock_read(&passing->clock) + 5);
        (void)hf_refresh_clock(passing->engine);
        passing = NULL;
    }
}

static uint64_t room_of(const hf_session *session) { return session->ring.size - hf_ring_used(&session->ring); }

static void an_extension_too_late(void) {
    enum { LINES = 3000 };
    stage s;
    hf_reply reply;
    begin(&s, 1000000);
    s.engine->options.retention_ms = 1000000;
    stock_up(&s, LINES, 10);
    hf_line *lines = calloc(LINES, sizeof *lines);
    char(*names)[16] = calloc(LINES, sizeof *names);
    for (unsigned i = 0; i < LINES; i++) {
        snprintf(names[i], sizeof names[i], "sku-%u", i);
        lines[i] = line_of(names[i], 1);
    }
    MUST(hf_poll(s.engine));
    MUST(hf_reserve(s.session, harness_id(2, 0), lines, LINES, 1000, 7, &reply));
    MUST(hf_poll(s.engine));
    for (uint64_t i = 0; room_of(s.session) > HF_RECORD_FEW + 100; i++) {
        receive(&s, i, "sku-0", 1);
    }
    passing = &s;
    int error = hf_extend(s.session, harness_id(2, 0), 1, &reply);
    CHECK(error == HF_EAGAIN, "%s: expected that it asks for room", hf_error_name(error));
    passing = NULL;
    MUST(hf_poll(s.engine));
    passing = &s;
    MUST(hf_extend(s.session, harness_id(2, 0), 1, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    lose_power(&s, "stage");
    free(lines);
    free(names);
    end(&s);
}

/* ---- checkpoints that are not ours, or not whole ------------------------------------------------------------------------------------- */

/* Enough log for the segment to change. */
static void fill_segment(stage *s) {
    static uint64_t next = UINT64_C(1) << 41;
    uint64_t generation = hf_wal_generation(s->engine->wal);
    while (hf_wal_generation(s->engine->wal) == generation) {
        receive(s, next++, "sku", 1);
    }
    MUST(hf_poll(s->engine));
}

typedef struct found {
    char paths[8][64];
    unsigned count;
} found;

static void find_checkpoint(void *context, const char *path) {
    found *all = context;
    if (strstr(path, "/checkpoint-")) {
        snprintf(all->paths[all->count++], sizeof all->paths[0], "%s", path);
    }
}

static int by_path(const void *a, const void *b) { return strcmp(a, b); }

/* Ascending epochs. */
static void find_checkpoints(crash_disk *disk, found *all) {
    *all = (found){.count = 0};
    crash_disk_each(disk, find_checkpoint, all);
    qsort(all->paths, all->count, sizeof all->paths[0], by_path);
}

/* Files of another log with later epochs lie there: ours are kept all the same, and with them what they need. */
static void checkpoints_of_another_log(void) {
    stage other, s;
    found all;
    begin(&other, 1000000);
    for (unsigned i = 0; i < 200; i++) {
        receive(&other, i, "sku", 1);
        MUST(hf_poll(other.engine));
    }
    begin(&s, 1000000);
    for (unsigned i = 0; i < 2; i++) {
        checkpoint(&other, NULL);
    }
    find_checkpoints(other.disk, &all);
    for (unsigned i = 0; i < all.count; i++) {
        uint8_t *bytes;
        size_t length;
        CHECK(crash_disk_read(other.disk, all.paths[i], &bytes, &length), "no %s", all.paths[i]);
        crash_disk_write(s.disk, all.paths[i], bytes, length);
        free(bytes);
    }
    for (unsigned i = 0; i < 3; i++) {
        fill_segment(&s);
        checkpoint(&s, NULL);
    }
    lose_power(&s, "stage");
    end(&s);
    end(&other);
}

static void damage(crash_disk *disk, const char *path) {
    uint8_t *bytes;
    size_t length;
    CHECK(crash_disk_read(disk, path, &bytes, &length), "no %s", path);
    bytes[length / 2] ^= 1;
    crash_disk_write(disk, path, bytes, length);
    free(bytes);
}

/* The newest is damaged, the engine opens from the one before it and takes another: that must not cost the whole one. */
static void a_damaged_checkpoint_is_no_fallback(void) {
    stage s;
    found all;
    begin(&s, 1000000);
    for (unsigned i = 0; i < 2; i++) {
        fill_segment(&s);
        checkpoint(&s, NULL);
    }
    find_checkpoints(s.disk, &all);
    damage(s.disk, all.paths[all.count - 1]);
    lose_power(&s, "stage");
    fill_segment(&s);
    checkpoint(&s, NULL);
    find_checkpoints(s.disk, &all);
    damage(s.disk, all.paths[all.count - 1]);
    lose_power(&s, "stage");
    end(&s);
}

/* ---- what is remembered, after a restart --------------------------------------------------------------------------------------------- */

/* A checkpoint tells of ids in the order of their slots, not of their ends: who ended first is forgotten first all the same. */
static void forgotten_in_order(void) {
    enum { RETENTION = 10000 };
    stage s;
    hf_reply reply;
    hf_reservation id;
    begin(&s, RETENTION);
    stock_up(&s, 2, 10);
    reserve(&s, 0, 2, 1000000); /* its slot comes first, its end last */
    receive(&s, 1, "sku", 1);
    MUST(hf_poll(s.engine));
    harness_clock_set(&s.clock, harness_clock_read(&s.clock) + RETENTION - 1);
    MUST(hf_poll(s.engine));
    MUST(hf_cancel(s.session, harness_id(2, 0), &reply));
    checkpoint(&s, NULL);
    lose_power(&s, "stage");
    harness_clock_set(&s.clock, harness_clock_read(&s.clock) + 2);
    MUST(hf_poll(s.engine));
    MUST(hf_poll(s.engine));
    CHECK(hf_reservation_read(s.session, harness_id(1, 1), &id, NULL, 0) == HF_ENOTFOUND,
          "an id whose retention is over is still remembered");
    MUST(hf_reservation_read(s.session, harness_id(2, 0), &id, NULL, 0));
    end(&s);
}

/* ---- a checkpoint by itself, over restarts ------------------------------------------------------------------------------------------- */

/* No life writes as much log as a checkpoint is due after, all of them together do. What is waited for is few operations, so that
 * a life writes what it is to write, however they are sealed. */
static void checkpoints_of_short_lives(void) {
    stage s;
    hf_stats stats = {0};
    begin(&s, 1000000);
    end(&s);
    s.disk = crash_disk_new();
    s.options.flags = 0;
    s.options.checkpoint_bytes = 256 << 10;
    for (unsigned life = 0, id = 0; life < 10 && stats.checkpoint_epoch == 0; life++) {
        open_stage(&s, NULL); /* which tells of a checkpoint that the life before was too short to see the end of */
        do {
            for (unsigned i = 0; i < 10; i++) {
                receive(&s, id++, "sku", 1);
            }
            hf_stats_read(s.engine, &stats);
            MUST(hf_wait(s.engine, stats.epoch, UINT64_MAX));
        } while (stats.log_bytes < s.options.checkpoint_bytes / 4);
        double until = harness_seconds() + (life < 9 ? 0.05 : 60); /* the housekeeper looks every 2 ms */
        do {
            usleep(1000);
            hf_stats_read(s.engine, &stats);
        } while (stats.checkpoint_epoch == 0 && harness_seconds() < until);
        CHECK(stats.log_bytes < s.options.checkpoint_bytes, "one life writes %llu bytes", (unsigned long long)stats.log_bytes);
        hf_session_close(s.session);
        MUST(hf_close(s.engine));
    }
    CHECK(stats.checkpoint_epoch > 0, "ten lives, and no checkpoint");
    crash_disk_free(s.disk);
}

/* ---- the log goes on while a checkpoint scans ------------------------------------------------------------------------------------------ */

static void fill_at_first_block(stage *s, unsigned block) {
    if (block == 1) {
        fill_segment(s);
        fill_segment(s);
    }
}

/* Epochs of the scan's time stand in the segment that was open before it: replay begins there, not where the log is by then. */
static void the_log_goes_on_while_a_checkpoint_scans(void) {
    stage s;
    begin(&s, 1000000);
    receive(&s, 1, "first", 1);
    checkpoint(&s, fill_at_first_block);
    lose_power(&s, "stage");
    end(&s);
}

/* ---- main ------------------------------------------------------------------------------------------------------------------------ */

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"a checkpoint within an operation", a_checkpoint_within},
        {"an id used again while a checkpoint scans", an_id_used_again},
        {"lines let go while a checkpoint reads them", lines_let_go},
        {"one name, two operations open", one_name_two_operations},
        {"many large operations open", many_large_operations},
        {"an extension that comes too late, without room in the ring", an_extension_too_late},
        {"checkpoints of another log", checkpoints_of_another_log},
        {"a damaged checkpoint is no fallback", a_damaged_checkpoint_is_no_fallback},
        {"ids forgotten in the order of their ends", forgotten_in_order},
        {"checkpoints of short lives", checkpoints_of_short_lives},
        {"the log goes on while a checkpoint scans", the_log_goes_on_while_a_checkpoint_scans},
    };
    (void)harness_begin("disk_cases");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (count < 2 || strstr(cases[i].name, arguments[1])) {
            cases[i].run();
            printf("disk_cases: %s\n", cases[i].name);
        }
    }
    return 0;
}
