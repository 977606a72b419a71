/* A thread stops between two of its instructions, any two from its first step on; meanwhile an epoch is sealed, or a checkpoint
 * taken, and then the power fails.
 *
 * Guarantees checked, for each stop
 *   A  Once all is durable, a power loss leaves what the engine had: SKUs with their versions, ids, lines, the caller's position.
 *   B  Before that it leaves the operation done or not done, never half.
 * Where a stop lies within a read-side section, the grace period that waits for it lets the thread go on: the epoch has turned there.
 *
 *      thread    -----------------| n-th instruction              |----------> rest of the operation
 *      main                       seal, or checkpoint, or the rest of a checkpoint's scan          power loss
 *
 * HF_SEED=n HF_ROUNDS=1 makes one stop again; HF_ROUNDS=n makes n.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/harness.h"
#include "tests/support/single_step.h"

#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY "disk/engine"
#define SECONDS 11.0
#define TTL UINT64_C(100000)
enum { SKUS = 14, TEXT = 4096 };

/* Ids of what the stage is set with: live ones of 1, 8 and 14 lines, an expired one of 8. */
enum { LIVE_1 = 1, LIVE_8, LIVE_14, EXPIRED_8, NEW, IDS };

/* When the thread is let run to its stop. */
#define WHEN_MAP(X)                                                                                                    \
    X(BEFORE_SEAL, "a seal")                                                                                           \
    X(BEFORE_CHECKPOINT, "a checkpoint")                                                                               \
    X(AFTER_SKUS, "the rest of a checkpoint whose SKUs are scanned")                                                   \
    X(AFTER_IDS, "the rest of a checkpoint whose ids are scanned")
enum when {
#define X(name, text) name,
    WHEN_MAP(X)
#undef X
        WHENS
};

typedef struct scenario {
    const char *name;
    hf_op op; /* its lines are the first of all, or what `run` says */
    void (*run)(hf_session *session);
    uint64_t instructions; /* counted once */
} scenario;

typedef struct trial {
    scenario *scenario;
    enum when when;
    uint64_t at;
    crash_disk *disk;
    harness_clock clock;
    hf_engine *engine;
    pthread_t thread;
    unsigned blocks;
    uint64_t position;    /* of the thread's session, when it is done */
    uint32_t is_stopped, may_go_on, is_done;
    uint64_t stopped_at_epoch;
    bool stopped_within; /* a section */
} trial;

static crash_disk *base; /* as every trial begins */
static char sku_names[SKUS][16];
static hf_line all_lines[SKUS];

static hf_id id_of(unsigned number) { return harness_id(3, number); }

/* ---- where the steps begin --------------------------------------------------------------------------------------------------------- */

void __real_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step);
void __wrap_hf_part_step(hf_part *part, uint64_t epoch, hf_step step) {
    single_step_begin();
    __real_hf_part_step(part, epoch, step);
}

void __real_hf_ring_append(hf_ring *ring, uint64_t epoch, const hf_entry *entry);
void __wrap_hf_ring_append(hf_ring *ring, uint64_t epoch, const hf_entry *entry);
void __wrap_hf_ring_append(hf_ring *ring, uint64_t epoch, const hf_entry *entry) {
    single_step_begin();
    __real_hf_ring_append(ring, epoch, entry);
}

/* ---- what the thread does -------------------------------------------------------------------------------------------------------- */

static void submit(hf_session *session, hf_op op) {
    hf_reply reply;
    op.lines = op.lines ? op.lines : all_lines;
    op.position = 77;
    MUST(hf_submit(session, &op, 1, &reply, NULL));
}

static void receive_new(hf_session *session) {
    hf_line line = {.name = "a SKU that there was not, of a long name", .name_length = 40, .quantity = 5};
    submit(session, (hf_op){.type = HF_OP_RECEIVE, .id = id_of(NEW), .lines = &line, .line_count = 1});
}

static void refused(hf_session *session) {
    hf_line line = {.name = sku_names[0], .name_length = strlen(sku_names[0]), .quantity = 1000};
    submit(session, (hf_op){.type = HF_OP_PURCHASE, .id = id_of(NEW), .lines = &line, .line_count = 1});
}

/* What is due is expired by whoever reads. */
static void read_due(hf_session *session) {
    hf_sku *sku;
    hf_stock stock;
    MUST(hf_sku_find(session, sku_names[0], strlen(sku_names[0]), &sku));
    MUST_AT_LAST(hf_sku_read(session, sku, &stock));
}

static scenario scenarios[] = {
    {"receive", {.type = HF_OP_RECEIVE, .id = {{NEW}}, .line_count = 1}, NULL, 0},
    {"receive of a new SKU", {0}, receive_new, 0},
    {"count", {.type = HF_OP_COUNT, .id = {{NEW}}, .line_count = 1}, NULL, 0},
    {"purchase of 8 lines", {.type = HF_OP_PURCHASE, .id = {{NEW}}, .line_count = 8}, NULL, 0},
    {"a refused purchase", {0}, refused, 0},
    {"reserve of 1 line", {.type = HF_OP_RESERVE, .id = {{NEW}}, .line_count = 1, .ttl_ms = TTL}, NULL, 0},
    {"reserve of 8 lines", {.type = HF_OP_RESERVE, .id = {{NEW}}, .line_count = 8, .ttl_ms = TTL}, NULL, 0},
    {"confirm of 1 line", {.type = HF_OP_CONFIRM, .id = {{LIVE_1}}}, NULL, 0},
    {"confirm of 14 lines", {.type = HF_OP_CONFIRM, .id = {{LIVE_14}}}, NULL, 0},
    {"late confirm of 8 lines", {.type = HF_OP_CONFIRM, .id = {{EXPIRED_8}}}, NULL, 0},
    {"cancel of 14 lines", {.type = HF_OP_CANCEL, .id = {{LIVE_14}}}, NULL, 0},
    {"extend", {.type = HF_OP_EXTEND, .id = {{LIVE_1}}, .ttl_ms = 2 * TTL}, NULL, 0},
    {"a read that expires 8 lines", {0}, read_due, 0},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static bool expires(const trial *t) { return t->scenario->run == read_due; }

typedef struct work {
    trial *trial;
    hf_session *session;
} work;

static void run(void *context) {
    work *w = context;
    const scenario *s = w->trial->scenario;
    if (s->run) {
        s->run(w->session);
    } else {
        hf_op op = s->op;
        op.id = id_of(op.id.bytes[0]); /* the table has numbers */
        submit(w->session, op);
    }
}

/* On the thread, within an instruction: lets main go on until it is done, or waits for this very thread. */
static void stop(void *context) {
    trial *t = context;
    double until = harness_seconds() + 0.2; /* or longer than that: it may want a lock that this thread has */
    t->stopped_within = hf_section_inside();
    t->stopped_at_epoch = hf_engine_epoch(t->engine);
    hf_store_release(&t->is_stopped, 1u); /* to wait_for_stop */
    while (!hf_load_acquire(&t->may_go_on)) { /* from go_on */
        if (t->stopped_within && hf_engine_epoch(t->engine) > t->stopped_at_epoch) {
            return;
        }
        if (harness_seconds() > until) {
            return;
        }
        sched_yield();
    }
}

static void *thread(void *context) {
    trial *t = context;
    work w = {.trial = t};
    MUST(hf_session_open(t->engine, "worker", &w.session));
    uint64_t count = single_step(run, &w, t->at, stop, t);
    t->scenario->instructions = t->at == 0 ? count : t->scenario->instructions;
    t->position = hf_session_position(w.session);
    hf_session_close(w.session);
    hf_store_release(&t->is_done, 1u); /* to wait_for_stop */
    return NULL;
}

static void start_thread(trial *t) {
    CHECK(pthread_create(&t->thread, NULL, thread, t) == 0, "no thread");
    while (!hf_load_acquire(&t->is_stopped) && !hf_load_acquire(&t->is_done)) { /* from stop, thread */
        sched_yield();
    }
}

static void end_thread(trial *t) {
    hf_store_release(&t->may_go_on, 1u); /* to stop */
    CHECK(pthread_join(t->thread, NULL) == 0, "no join");
}

/* ---- states ---------------------------------------------------------------------------------------------------------------------- */

/* Everything there is, the versions as an option; and what id there is in which state. */
static char *state_of(hf_session *session, bool versions) {
    char *text = calloc(1, TEXT), *all = harness_state(session), *at = text;
    CHECK(text && strlen(all) < TEXT - 1000, "out of memory");
    for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
        char *version = strstr(line, " version ");
        size_t digits = version ? 9 + strspn(version + 9, "0123456789") : 0;
        at += sprintf(at, "%.*s%s\n", (int)(version ? version - line : (long)strlen(line)), line,
                      versions ? (version ? version : "") : version ? version + digits : "");
    }
    for (unsigned i = LIVE_1; i < IDS; i++) {
        hf_reservation found;
        int error = hf_reservation_read(session, id_of(i), &found, NULL, 0);
        at += sprintf(at, "id %u %s lines %u\n", i, error ? hf_error_name(error) : hf_state_text(found.state),
                      error ? 0 : found.line_count);
    }
    free(all);
    return text;
}

/* Opens the image and tells what it holds, and the position. */
static char *open_image(crash_disk *image, const trial *t, bool versions, uint64_t *position) {
    harness_clock clock = t->clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    harness_options(&options, HF_NO_THREADS, &clock);
    options.ring_bytes = 512u << 10;
    options.max_reservations = 1 << 16;
    MUST(hf_open_on(crash_disk_files(image), DIRECTORY, &options, &engine));
    MUST(hf_session_open(engine, "worker", &session));
    char *text = state_of(session, versions);
    *position = hf_session_position(session);
    hf_session_close(session);
    MUST(hf_close(engine));
    crash_disk_free(image);
    return text;
}

/* ---- a trial --------------------------------------------------------------------------------------------------------------------- */

static void watch(void *context, const char *call, const char *path) {
    trial *t = context;
    if (strcmp(call, "write") == 0 && strstr(path, "/checkpoint.tmp")) {
        t->blocks++;
        if (t->blocks == (t->when == AFTER_SKUS ? 1 : 2)) {
            start_thread(t);
        }
    }
}

static const char *when_text(enum when when) {
    static const char *const texts[] = {
#define X(name, text) text,
        WHEN_MAP(X)
#undef X
    };
    return texts[when];
}

/* The thread runs to its stop, main does its part, the thread ends. */
static void meet(trial *t) {
    if (t->when == BEFORE_SEAL || t->when == BEFORE_CHECKPOINT) {
        start_thread(t);
        MUST(t->when == BEFORE_SEAL ? hf_poll(t->engine) : hf_checkpoint(t->engine));
    } else {
        crash_disk_watch(t->disk, watch, t);
        MUST(hf_checkpoint(t->engine));
        crash_disk_watch(t->disk, NULL, NULL);
    }
    end_thread(t);
}

static void judge(trial *t, hf_session *session, const char *before) {
    uint64_t position;
    char what[200];
    snprintf(what, sizeof what, "%s, stopped after instruction %llu (%s a section) for %s", t->scenario->name,
             (unsigned long long)t->at, t->stopped_within ? "within" : "outside", when_text(t->when));
    crash_disk *early = crash_disk_image(t->disk, 0);
    MUST(hf_poll(t->engine));
    char *after = state_of(session, true), *after_plain = state_of(session, false);
    char *found = open_image(crash_disk_image(t->disk, 0), t, true, &position);
    CHECK(strcmp(found, after) == 0, "%s; the engine has:\n%safter the power loss:\n%s", what, after, found);
    CHECK(position == t->position, "%s: position %llu, expected %llu", what, (unsigned long long)position,
          (unsigned long long)t->position);
    free(found);
    found = open_image(early, t, false, &position);
    bool done = strcmp(found, after_plain) == 0, not_done = strcmp(found, before) == 0;
    CHECK(done || not_done, "%s: half done:\n%sbefore:\n%safter:\n%s", what, found, before, after_plain);
    free(found);
    free(after);
    free(after_plain);
}

static void run_trial(scenario *s, enum when when, uint64_t at) {
    trial t = {.scenario = s, .when = when, .at = at, .disk = crash_disk_killed(base)};
    hf_options options;
    hf_session *session;
    harness_clock_set(&t.clock, HARNESS_EPOCH_MS + 2000);
    harness_options(&options, HF_NO_THREADS, &t.clock);
    options.ring_bytes = 512u << 10;
    options.max_reservations = 1 << 16;
    MUST(hf_open_on(crash_disk_files(t.disk), DIRECTORY, &options, &t.engine));
    MUST(hf_session_open(t.engine, NULL, &session));
    if (expires(&t)) { /* the thread's clock stands behind the deadline of LIVE_8, the state before is as without it */
        harness_clock_set(&t.clock, HARNESS_EPOCH_MS + 20000);
        (void)hf_refresh_clock(t.engine);
    }
    uint64_t position;
    char *before = open_image(crash_disk_image(t.disk, 0), &t, false, &position);
    meet(&t);
    if (at > 0) {
        judge(&t, session, before);
    }
    free(before);
    hf_session_close(session);
    MUST(hf_close(t.engine));
    crash_disk_free(t.disk);
}

/* ---- the stage, and main --------------------------------------------------------------------------------------------------------- */

static void reserve(hf_session *session, unsigned id, unsigned lines, uint64_t ttl_ms) {
    hf_reply reply;
    MUST(hf_reserve(session, id_of(id), all_lines, lines, ttl_ms, id, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
}

static void set_stage(void) {
    harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    base = crash_disk_new();
    harness_clock_set(&clock, HARNESS_EPOCH_MS);
    harness_options(&options, HF_NO_THREADS, &clock);
    MUST(hf_open_on(crash_disk_files(base), DIRECTORY, &options, &engine));
    MUST(hf_session_open(engine, "worker", &session));
    for (unsigned i = 0; i < SKUS; i++) {
        hf_reply reply;
        snprintf(sku_names[i], sizeof sku_names[i], "sku-%u", i);
        all_lines[i] = (hf_line){.name = sku_names[i], .name_length = strlen(sku_names[i]), .quantity = 100};
        MUST(hf_receive(session, harness_id(4, i), all_lines[i], &reply));
        all_lines[i].quantity = 1;
    }
    reserve(session, LIVE_1, 1, TTL);
    reserve(session, LIVE_8, 8, 10000);
    reserve(session, LIVE_14, 14, TTL);
    reserve(session, EXPIRED_8, 8, 1000);
    MUST(hf_checkpoint(engine));
    harness_clock_set(&clock, HARNESS_EPOCH_MS + 2000);
    MUST(hf_poll(engine));
    hf_session_close(session);
    MUST(hf_close(engine));
}

int main(void) {
    uint64_t first = harness_begin("disk_steps"), rounds = harness_rounds(0), trials = 0, total = 0;
    double begun = harness_seconds();
    if (!single_step_can()) {
        printf("disk_steps: no single steps here: not x86-64, or built with ThreadSanitizer\n");
        return 77;
    }
    set_stage();
    for (unsigned i = 0; i < SCENARIOS; i++) {
        run_trial(&scenarios[i], BEFORE_SEAL, 0);
        CHECK(scenarios[i].instructions > 0, "%s: no step was hooked", scenarios[i].name);
        total += scenarios[i].instructions;
    }
    for (; rounds ? trials < rounds : trials < SCENARIOS || harness_seconds() < begun + harness_time(SECONDS); trials++) {
        uint64_t random = first + trials;
        harness_seed_is(first + trials);
        (void)harness_next(&random);
        scenario *s = &scenarios[harness_below(&random, SCENARIOS)];
        enum when when = (enum when)harness_below(&random, WHENS);
        run_trial(s, when, 1 + harness_below(&random, s->instructions));
    }
    printf("disk_steps: %llu stops from seed %llu, in %d operations of %llu instructions together, %d ways each, in %.1f s: none half "
           "done, none lost\n",
           (unsigned long long)trials, (unsigned long long)first, SCENARIOS, (unsigned long long)total, WHENS,
           harness_seconds() - begun);
    crash_disk_free(base);
    return 0;
}
