/* The n-th allocation fails, for every n.
 *
 * malloc and its family, mmap and mprotect of the library go through tests/support/failing_memory.c: while a task
 * runs, the n-th of them fails, n raised until none does; once, and for good.
 *
 * Guarantees checked, for each task and n
 *   A  The library answers HF_ENOMEM with a detail, or does without. It does not die of it. Where the log itself has no memory to go
 *      on in a new segment, the engine is poisoned, and opens again.
 *   B  A task that was refused has changed nothing: every SKU, every live reservation, the id that it was about. Made again, it works.
 *   C  Nothing is left over: what was allocated and mapped is what it was, once all is closed.
 *   D  A directory whose open was refused opens.
 */
#include "tests/support/failing_memory.c"

#include "tests/support/harness.h"

#include <stdio.h>

#define U(value) ((unsigned long long)(value))

/* ---- tasks ----------------------------------------------------------------------------------------------------------------------- */

/* What every task begins with: an engine that is about to grow wherever it is touched, on a copy of a directory. */
typedef struct stage {
    char directory[HARNESS_PATH];
    harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
} stage;

enum { LINES = 40 };

static const char long_name[] = "a name of a SKU that is too long for its line of the table, so it lies elsewhere";

static void set_options(stage *s) {
    harness_clock_set(&s->clock, HARNESS_EPOCH_MS);
    harness_options(&s->options, HF_NO_THREADS, &s->clock);
    s->options.expected_skus = s->options.expected_reservations = 1;
    s->options.max_reservations = 1 << 20;
    s->options.ring_bytes = 512u << 10;
}

static int open_engine(stage *s) {
    int error = hf_open(s->directory, &s->options, &s->engine);
    return error;
}

static int open_anew(stage *s) { return open_engine(s); }

static int open_session(stage *s) {
    hf_session *session;
    int error = hf_session_open(s->engine, "a session of a new name", &session);
    if (!error) {
        hf_session_close(session);
    }
    return error;
}

static int submit(stage *s, const hf_op *op) {
    hf_reply reply;
    int error = hf_submit(s->session, op, 1, &reply, NULL);
    return error ? error : reply.error;
}

static int receive_new_sku(stage *s) {
    hf_line line = {.name = long_name, .name_length = sizeof long_name - 1, .quantity = 3};
    return submit(s, &(hf_op){.type = HF_OP_RECEIVE, .id = harness_id(7, 0), .lines = &line, .line_count = 1});
}

/* An operation that a poll makes room for in the ring. */
static int submit_polling(stage *s, const hf_op *op) {
    int error;
    while ((error = submit(s, op)) == HF_EAGAIN && (error = hf_poll(s->engine)) == HF_SUCCESS) {
    }
    return error;
}

enum { SOME = 3000, MANY = 70000 }; /* more than the index, or than pools have memory for at first */

/* The table, which is for few, needs further levels. */
static int receive_skus(stage *s, unsigned count) {
    int error = HF_SUCCESS;
    for (unsigned i = 0; i < count && !error; i++) {
        char name[20];
        hf_line line = {.name = name, .name_length = (size_t)snprintf(name, sizeof name, "many-%u", i), .quantity = 1};
        error = submit_polling(s, &(hf_op){.type = HF_OP_RECEIVE, .id = harness_id(8, i), .lines = &line, .line_count = 1});
    }
    return error;
}

/* Slots, the index and the wheels grow. */
static int reserve_ids(stage *s, unsigned count) {
    hf_line line = {.name = "sku-0", .name_length = 5, .quantity = 1};
    int error = HF_SUCCESS;
    for (unsigned i = 0; i < count && !error; i++) {
        hf_op op = {.type = HF_OP_RESERVE, .id = harness_id(9, i), .lines = &line, .line_count = 1, .ttl_ms = 1 + i, .user = 1};
        error = submit_polling(s, &op);
    }
    return error;
}

/* Blocks of lines do. */
static int reserve_many_lines(stage *s) {
    static hf_line lines[LINES];
    static char names[LINES][12];
    int error = HF_SUCCESS;
    for (unsigned i = 0; i < LINES; i++) {
        lines[i] = (hf_line){.name = names[i], .name_length = (size_t)snprintf(names[i], 12, "sku-%u", i), .quantity = 1};
    }
    for (unsigned i = 0; i < MANY / 6 && !error; i++) { /* seven blocks each */
        hf_op op = {.type = HF_OP_RESERVE, .id = harness_id(7, i), .lines = lines, .line_count = LINES, .ttl_ms = 1000000};
        error = submit_polling(s, &op);
    }
    return error;
}

static int receive_some(stage *s) { return receive_skus(s, SOME); }
static int receive_many(stage *s) { return receive_skus(s, MANY); }
static int reserve_some(stage *s) { return reserve_ids(s, SOME); }
static int reserve_many(stage *s) { return reserve_ids(s, MANY); }

static int take_checkpoint(stage *s) { return hf_checkpoint(s->engine); }

/* Read on after a call that was refused: it is refused again, or nothing is left out. */
static int read_log(stage *s) {
    hf_record record;
    hf_log *log;
    uint64_t last[LINES + 1] = {0}; /* version, by SKU */
    int refused = HF_SUCCESS, error = hf_log_open(s->directory, 0, &log);
    if (error) {
        return error;
    }
    for (int again = 0; again < 2; again++) {
        while ((error = hf_log_next(log, &record)) > 0) {
            for (uint32_t i = 0; i < record.line_count; i++) {
                const hf_record_line *line = &record.lines[i];
                CHECK(line->sku <= LINES && line->version == last[line->sku] + 1 && line->name, "SKU %u: version %llu follows %llu",
                      line->sku, U(line->version), U(last[line->sku]));
                last[line->sku] = line->version;
            }
        }
        refused = refused ? refused : error;
    }
    hf_log_close(log);
    return refused;
}

static int read_only(stage *s) {
    hf_options options = s->options;
    hf_engine *engine;
    options.flags = HF_READ_ONLY;
    int error = hf_open(s->directory, &options, &engine);
    if (!error) {
        MUST(hf_close(engine));
    }
    return error;
}

static bool see_one(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    (void)context;
    (void)found;
    (void)lines;
    return true;
}

static int walk_reservations(stage *s) { return hf_reservation_each(s->session, see_one, NULL); }

typedef struct task {
    const char *name;
    int (*run)(stage *s);
    bool opens; /* the task is the open itself */
    bool many;  /* many operations: what was done before the refusal stays */
    bool seals;
    bool maps; /* only mmap and mprotect fail */
} task;

static const task tasks[] = {
    {"hf_open of a new directory", open_anew, true, false, false, false},
    {"hf_open of a directory with log and checkpoint", open_engine, true, false, false, false},
    {"hf_session_open", open_session, false, false, false, false},
    {"receive of a new SKU", receive_new_sku, false, false, false, false},
    {"receives of 3,000 new SKUs", receive_some, false, true, true, false},
    {"receives of 70,000 new SKUs", receive_many, false, true, true, true},
    {"3,000 reserves", reserve_some, false, true, true, false},
    {"70,000 reserves", reserve_many, false, true, true, true},
    {"11,666 reserves of 40 lines", reserve_many_lines, false, true, true, true},
    {"hf_checkpoint", take_checkpoint, false, false, true, false},
    {"hf_log_open and hf_log_next", read_log, false, false, false, false},
    {"hf_open read-only", read_only, false, false, false, false},
    {"hf_reservation_each", walk_reservations, false, false, false, false},
};

/* ---- running a task -------------------------------------------------------------------------------------------------------------- */

static char base[HARNESS_PATH]; /* a directory with stock, reservations and a checkpoint */

static void make_base(void) {
    stage s;
    harness_directory(base);
    memcpy(s.directory, base, sizeof base);
    set_options(&s);
    MUST(open_engine(&s));
    MUST(hf_session_open(s.engine, "base", &s.session));
    for (unsigned i = 0; i < LINES; i++) {
        char name[12];
        hf_reply reply;
        hf_line line = {.name = name, .name_length = (size_t)snprintf(name, sizeof name, "sku-%u", i), .quantity = 100000};
        MUST(hf_receive(s.session, harness_id(1, i), line, &reply));
        line.quantity = 1;
        MUST(hf_reserve(s.session, harness_id(3, i), &line, 1, i % 2 ? 3000 : 1000000, i, &reply));
        if (i == LINES / 2) {
            MUST(hf_checkpoint(s.engine));
        }
    }
    hf_session_close(s.session);
    MUST(hf_close(s.engine));
}

static char *state_of(hf_session *session) {
    watched.ours = true;
    char *text = harness_state(session);
    watched.ours = false;
    return text;
}

typedef struct totals {
    uint64_t skus, versions, live;
    int64_t on_hand, reserved, units;
} totals;

static bool add_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    totals *t = context;
    (void)sku;
    t->skus++;
    t->versions += stock->version;
    t->on_hand += stock->on_hand;
    t->reserved += stock->reserved;
    return true;
}

static bool add_live(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    totals *t = context;
    t->live++;
    for (uint32_t i = 0; i < found->line_count; i++) {
        t->units += lines[i].quantity;
    }
    return true;
}

/* Sums of everything, where there is much. */
static totals totals_of(hf_session *session) {
    totals t = {0};
    MUST(hf_sku_each(session, add_sku, &t));
    MUST(hf_reservation_each(session, add_live, &t));
    CHECK(t.reserved == t.units, "reserved is %lld, live reservations hold %lld", (long long)t.reserved, (long long)t.units);
    return t;
}

/* The task with the failures armed, or without (n is 0). */
static int run(const task *t, stage *s, uint64_t n, uint64_t times, bool *failed) {
    memory_fail(n == 0 ? 0 : t->maps ? MEMORY_MAPS : MEMORY_MAPS | MEMORY_HEAP, n, times);
    int error = t->run(s);
    *failed = memory_failed() && n > 0;
    bool may_poison = t->seals && error == HF_EPOISONED && strstr(hf_error_detail(), "no memory");
    CHECK(error == HF_SUCCESS || ((error == HF_ENOMEM || may_poison) && *failed), "%s answers %s in %llu allocations", t->name,
          hf_error_name(error), U(watched.calls));
    CHECK(!error || hf_error_detail()[0], "%s: no detail", t->name);
    return error;
}

static void open_stage(stage *s) {
    MUST(open_engine(s));
    MUST(hf_session_open(s->engine, NULL, &s->session));
}

static void close_stage(stage *s) {
    bool poisoned = hf_health(s->engine) == HF_EPOISONED;
    hf_session_close(s->session);
    int error = hf_close(s->engine);
    CHECK(error == (poisoned ? HF_EPOISONED : HF_SUCCESS), "hf_close answers %s", hf_error_name(error));
}

/* Refused, it has changed nothing; and then it works. */
static void try_again(const task *t, stage *s, const char *before) {
    if (!t->many) {
        char *after = state_of(s->session);
        hf_reservation found;
        CHECK(strcmp(before, after) == 0, "%s was refused, and changed\n%sto\n%s", t->name, before, after);
        CHECK(hf_reservation_read(s->session, harness_id(7, 0), &found, NULL, 0) == HF_ENOTFOUND, "%s was refused, and its id is known",
              t->name);
        free(after);
    }
    if (hf_health(s->engine) == HF_EPOISONED) {
        close_stage(s);
        open_stage(s);
    }
    bool failed;
    MUST(run(t, s, 0, 0, &failed));
}

/* Once with the n-th allocation failing. false: none failed. */
static bool once(const task *t, uint64_t n, uint64_t times, uint64_t *refused) {
    stage s = {0};
    int64_t blocks = watched.blocks, mapped = watched.mapped;
    harness_copy(base, s.directory);
    if (t->run == open_anew) {
        harness_remove(s.directory);
    }
    set_options(&s);
    char *before = NULL;
    if (!t->opens) {
        open_stage(&s);
        before = state_of(s.session);
    }
    bool failed, again;
    int error = run(t, &s, n, times, &failed);
    *refused += error != HF_SUCCESS;
    if (error && t->opens) {
        CHECK(watched.blocks == blocks && watched.mapped == mapped, "%s was refused; %lld blocks and %lld mapped bytes are left", t->name,
              (long long)(watched.blocks - blocks), (long long)(watched.mapped - mapped));
        MUST(run(t, &s, 0, 0, &again));
    } else if (error) {
        try_again(t, &s, before);
    }
    if (t->opens) {
        MUST(hf_session_open(s.engine, NULL, &s.session));
    }
    MUST(hf_poll(s.engine));
    totals whole = totals_of(s.session);
    close_stage(&s);
    open_stage(&s);
    totals recovered = totals_of(s.session);
    CHECK(memcmp(&whole, &recovered, sizeof whole) == 0, "%s, allocation %llu: opened again, it is another", t->name, U(n));
    free(before);
    close_stage(&s);
    harness_remove(s.directory);
    CHECK(watched.blocks == blocks && watched.mapped == mapped, "%s, allocation %llu: %lld blocks and %lld mapped bytes are left", t->name,
          U(n), (long long)(watched.blocks - blocks), (long long)(watched.mapped - mapped));
    return failed;
}

static void every_allocation(const task *t) {
    static const uint64_t times[] = {1, UINT64_MAX};
    uint64_t runs = 0, refused = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t n = 1;
        while (once(t, n, times[i], &refused)) {
            n++;
        }
        runs += n;
    }
    CHECK(runs > 2, "%s allocates nothing", t->name);
    printf("faults_memory: %s: %llu runs, %llu refused\n", t->name, U(runs), U(refused));
}

int main(int count, char **arguments) {
    (void)harness_begin("faults_memory");
    (void)setenv("TMPDIR", "/dev/shm", 0); /* what is asked for here is memory, not a disk */
    make_base();
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        if (count < 2 || strstr(tasks[i].name, arguments[1])) {
            every_allocation(&tasks[i]);
        }
    }
    harness_remove(base);
    return 0;
}
