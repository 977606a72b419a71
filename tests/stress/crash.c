/* kill -9 of a process that reserves, confirms and cancels; then its directory is opened and held against what it told.
 *
 * Guarantees checked, after every kill
 *   A  Every acknowledged fact (hf_wait had returned) is there, exactly once.
 *   B  All or nothing and conservation: received = on_hand + confirmed, reserved = live, over every id that was ever tried.
 *   C  A second recovery changes nothing, and a read-only look before the first one sees the same state.
 *   D  The log's chains have no gap, over all the lives of the process (where no checkpoint let go of any of it).
 *
 * Half of the kills come in a checkpoint or in a rotation: the process kills itself before or after a file operation of one. The others
 * come from outside, at any time. The clock of the openings is the log's own, so that nothing expires between two looks. Segments are
 * small, so that they change several times in a life; a directory serves some lives, then there is a fresh one.
 *
 *     child: intent -> pipe, operation, ..., hf_wait, acknowledgement -> pipe        parent: reads, kills, opens, judges
 *
 * 300 kills, or HF_ROUNDS (the long mode: 10,000).
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include "engine/engine.h"
#include "wal/state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKUS 20u
#define WORKERS 2u
#define GROUP 12u /* operations a wait */
#define STOCK 1000000
enum { KILLS = 300, LIVES = 8 /* of a directory */ };

/* Where a life ends. */
#define END_MAP(X)                                                                                                     \
    X(OUTSIDE, "at any time")                                                                                          \
    X(CHECKPOINT, "in a checkpoint")                                                                                   \
    X(ROTATION, "in a rotation")
enum end {
#define X(name, text) name,
    END_MAP(X)
#undef X
        ENDS
};

/* What the child tells: first that it will try, later that it is durable. A line or two of one unit each. */
typedef struct fact {
    uint32_t round;
    uint32_t worker;
    uint32_t number;
    uint8_t skus[2];
    uint8_t type; /* hf_op_type */
    uint8_t acknowledged;
} fact;

/* What the parent knows of an id. */
typedef struct entry {
    fact tried;                                                       /* the reserve */
    bool reserved, confirm_tried, cancel_tried, confirmed, cancelled; /* acknowledged, but for the tried */
} entry;

typedef struct ledger {
    entry *entries;
    size_t count, room;
    uint64_t acknowledged;
} ledger;

typedef struct child {
    hf_engine *engine;
    int pipe;
    uint32_t round;
    uint32_t worker;
    uint64_t random;
} child;

static char names[SKUS][8]; /* written before the first child */

static hf_id id_of(const fact *f) { return harness_id((uint64_t)f->round << 8 | f->worker, f->number); }

/* ---- the file operation at which the child kills itself ----------------------------------------------------------------------- */

/* Shared with the parent. */
typedef struct plan {
    enum end end;
    uint32_t left; /* operations of that kind until then */
    bool after;
    uint32_t died; /* it did kill itself */
} plan;

static plan *planned;
enum { FILES = 1024 };
static uint8_t kinds[FILES]; /* of each handle, an enum end */

static enum end kind_of(const char *path) {
    const char *name = strrchr(path, '/');
    return strstr(name, "checkpoint") ? CHECKPOINT : strstr(name, "spare") ? ROTATION : OUTSIDE;
}

static void die_at(enum end kind, bool after) {
    if (kind == planned->end && kind != OUTSIDE && after == planned->after &&
        hf_fetch_add_acq_rel(&planned->left, UINT32_MAX) == 1) { /* minus one; the last is one thread's */
        planned->died = 1;
        kill(getpid(), SIGKILL);
        pause();
    }
}

/* Makes `call`, and dies before or after it if the plan says so. */
#define OPERATE(kind, call)                                                                                            \
    die_at(kind, false);                                                                                               \
    int result = call;                                                                                                 \
    die_at(kind, true);                                                                                                \
    return result

static int open_killing(void *context, const char *path, enum hf_open_mode mode) {
    die_at(kind_of(path), false);
    int file = hf_files_system()->open(context, path, mode);
    if (file >= 0 && file < FILES) {
        hf_store_relaxed(&kinds[file], (uint8_t)kind_of(path)); /* relaxed: only who opened it uses it */
    }
    die_at(kind_of(path), true);
    return file;
}

static enum end kind_at(int file) {
    return file >= 0 && file < FILES ? (enum end)hf_load_relaxed(&kinds[file]) : OUTSIDE; /* relaxed: the same */
}

static ssize_t write_killing(void *context, int file, const void *data, size_t length, uint64_t offset) {
    die_at(kind_at(file), false);
    ssize_t result = hf_files_system()->write(context, file, data, length, offset);
    die_at(kind_at(file), true);
    return result;
}

static int sync_killing(void *context, int file) { OPERATE(kind_at(file), hf_files_system()->sync(context, file)); }

/* A spare that is taken into use, or a checkpoint that gets its name. */
static int rename_killing(void *context, const char *from, const char *to) {
    OPERATE(kind_of(from), hf_files_system()->rename(context, from, to));
}

/* A checkpoint's doing: older ones go, and segments that are needed no more. */
static int remove_killing(void *context, const char *path) {
    OPERATE(CHECKPOINT, hf_files_system()->remove(context, path));
}

static const hf_files *files_killing(void) {
    static hf_files files;
    files = *hf_files_system();
    files.open = open_killing;
    files.write = write_killing;
    files.sync = sync_killing;
    files.rename = rename_killing;
    files.remove = remove_killing;
    return &files;
}

/* ---- the child --------------------------------------------------------------------------------------------------- */

static void tell(const child *c, const fact *f) {
    if (write(c->pipe, f, sizeof *f) != sizeof *f) { /* below PIPE_BUF: whole or not at all */
        _exit(3);
    }
}

static uint64_t reserve(hf_session *session, const fact *f) {
    hf_reply reply;
    hf_line lines[2];
    for (unsigned i = 0; i < 2; i++) {
        lines[i] = (hf_line){.name = names[f->skus[i]], .name_length = 6, .quantity = 1};
    }
    ASK(reply, hf_reserve(session, id_of(f), lines, 2, HF_MAX_TTL_MS, f->number, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    return reply.ticket;
}

static uint64_t end(hf_session *session, const fact *f) {
    hf_reply reply;
    ASK(reply, f->type == HF_OP_CONFIRM ? hf_confirm(session, id_of(f), &reply) : hf_cancel(session, id_of(f), &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    return reply.ticket;
}

static void *work(void *context) {
    child *c = context;
    hf_session *session;
    MUST(hf_session_open(c->engine, NULL, &session));
    for (uint32_t number = 0;;) {
        fact group[2 * GROUP];
        size_t count = 0;
        uint64_t ticket = 0;
        for (unsigned i = 0; i < GROUP; i++, number++) {
            fact f = {.round = c->round, .worker = c->worker, .number = number, .type = HF_OP_RESERVE};
            f.skus[0] = (uint8_t)harness_below(&c->random, SKUS);
            f.skus[1] = (uint8_t)harness_below(&c->random, SKUS);
            tell(c, &f);
            ticket = reserve(session, &f);
            group[count++] = f;
            if (harness_chance(&c->random, 60)) {
                f.type = harness_chance(&c->random, 50) ? HF_OP_CONFIRM : HF_OP_CANCEL;
                tell(c, &f);
                ticket = end(session, &f);
                group[count++] = f;
            }
        }
        MUST(hf_wait(c->engine, ticket, UINT64_MAX));
        for (size_t i = 0; i < count; i++) {
            group[i].acknowledged = 1;
            tell(c, &group[i]);
        }
    }
    return NULL;
}

static void *take_checkpoints(void *context) {
    child *c = context;
    for (;;) {
        MUST(hf_checkpoint(c->engine));
    }
    return NULL;
}

static void live(const char *directory, int pipe, uint32_t round, bool checkpoints, uint64_t seed) {
    child children[WORKERS + 1];
    pthread_t threads[WORKERS + 1];
    hf_engine *engine;
    hf_options options;
    harness_options(&options, 0, NULL);
    options.shards = 2;
    options.max_reservations = 1 << 20;
    MUST(hf_open_on(files_killing(), directory, &options, &engine));
    pthread_mutex_lock(&engine->wal->spares.mutex);
    engine->wal->spares.next.bytes = HF_SEGMENT_MIN;
    pthread_mutex_unlock(&engine->wal->spares.mutex);
    for (unsigned i = 0; i < WORKERS + checkpoints; i++) {
        children[i] = (child){engine, pipe, round, i, seed + i};
        if (pthread_create(&threads[i], NULL, i < WORKERS ? work : take_checkpoints, &children[i]) != 0) {
            _exit(4);
        }
    }
    for (;;) {
        pause();
    }
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

static entry *entry_of(ledger *l, const fact *f) {
    bool is_new = f->type == HF_OP_RESERVE && !f->acknowledged;
    for (size_t i = l->count; !is_new && i-- > 0;) { /* the newest are asked for */
        const fact *t = &l->entries[i].tried;
        if (t->round == f->round && t->worker == f->worker && t->number == f->number) {
            return &l->entries[i];
        }
    }
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 1024;
        l->entries = realloc(l->entries, l->room * sizeof *l->entries);
        CHECK(l->entries, "out of memory");
    }
    l->entries[l->count] = (entry){.tried = *f};
    return &l->entries[l->count++];
}

static void note(ledger *l, const fact *f) {
    entry *e = entry_of(l, f);
    bool ack = f->acknowledged;
    l->acknowledged += ack;
    e->reserved |= ack && f->type == HF_OP_RESERVE;
    e->confirmed |= ack && f->type == HF_OP_CONFIRM;
    e->cancelled |= ack && f->type == HF_OP_CANCEL;
    e->confirm_tried |= f->type == HF_OP_CONFIRM;
    e->cancel_tried |= f->type == HF_OP_CANCEL;
}

/* Reads what the child tells until `until`, or until it is dead and the pipe is empty. */
static void listen(ledger *l, int pipe, double until) {
    fact facts[256];
    for (ssize_t n; harness_seconds() < until && (n = read(pipe, facts, sizeof facts)) != 0;) {
        if (n < 0) {
            CHECK(errno == EAGAIN, "pipe: %s", strerror(errno));
            usleep(500);
            continue;
        }
        CHECK((size_t)n % sizeof facts[0] == 0, "a torn fact");
        for (size_t i = 0; i < (size_t)n / sizeof facts[0]; i++) {
            note(l, &facts[i]);
        }
    }
}

/* The state that an id may be in by what is known of it; adds its units. */
static void judge_entry(hf_session *session, const entry *e, int64_t confirmed[SKUS], int64_t live_units[SKUS]) {
    hf_reservation found = {0};
    hf_reservation_line lines[2];
    int error = hf_reservation_read(session, id_of(&e->tried), &found, lines, 2);
    CHECK(error == HF_SUCCESS || (error == HF_ENOTFOUND && !e->reserved), "an acknowledged reservation: %s",
          hf_error_name(error));
    bool possible = error == HF_ENOTFOUND || (found.state == HF_STATE_LIVE && !e->confirmed && !e->cancelled) ||
                    (found.state == HF_STATE_CONFIRMED && e->confirm_tried) ||
                    (found.state == HF_STATE_CANCELLED && e->cancel_tried);
    CHECK(possible, "round %u worker %u number %u: %s (confirm %s, cancel %s)", e->tried.round, e->tried.worker,
          e->tried.number, hf_state_text(found.state), e->confirmed ? "acknowledged" : "not",
          e->cancelled ? "acknowledged" : "not");
    for (unsigned i = 0; error == HF_SUCCESS && i < 2; i++) {
        confirmed[e->tried.skus[i]] += found.state == HF_STATE_CONFIRMED;
        live_units[e->tried.skus[i]] += found.state == HF_STATE_LIVE;
    }
    CHECK(error || found.state != HF_STATE_LIVE || found.user == e->tried.number, "user %llu",
          (unsigned long long)found.user);
}

static void judge_stock(hf_session *session, const int64_t confirmed[SKUS], const int64_t live_units[SKUS]) {
    for (unsigned i = 0; i < SKUS; i++) {
        hf_sku *sku;
        hf_stock stock;
        MUST(hf_sku_find(session, names[i], 6, &sku));
        MUST(hf_sku_read(session, sku, &stock));
        CHECK(stock.on_hand == STOCK - confirmed[i] && stock.reserved == live_units[i],
              "%s: on_hand %lld reserved %lld, expected %lld %lld", names[i], (long long)stock.on_hand,
              (long long)stock.reserved, (long long)(STOCK - confirmed[i]), (long long)live_units[i]);
    }
}

/* Opens with a clock that stands before the log's, lets `look` see, closes; the state as text. */
static char *state_of(const char *directory, uint32_t flags, const ledger *l, bool audits) {
    static harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    int64_t confirmed[SKUS] = {0}, live_units[SKUS] = {0};
    harness_clock_set(&clock, HARNESS_EPOCH_MS);
    harness_options(&options, flags | HF_NO_THREADS | HF_MUST_EXIST, &clock);
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    for (size_t i = 0; i < l->count; i++) {
        judge_entry(session, &l->entries[i], confirmed, live_units);
    }
    judge_stock(session, confirmed, live_units);
    char *state = harness_state(session);
    if (audits) {
        MUST(hf_poll(engine));
        audit_compare(directory, session);
    }
    hf_session_close(session);
    MUST(hf_close(engine));
    return state;
}

static void judge_directory(const char *directory, const ledger *l, bool whole_log) {
    char *before = state_of(directory, HF_READ_ONLY, l, false);
    char *first = state_of(directory, 0, l, whole_log);
    char *second = state_of(directory, 0, l, false);
    char *after = state_of(directory, HF_READ_ONLY, l, false);
    CHECK(strcmp(first, second) == 0, "a second recovery changed the state:\n%s---\n%s", first, second);
    CHECK(strcmp(before, first) == 0, "the first recovery is not what read-only saw:\n%s---\n%s", before, first);
    CHECK(strcmp(first, after) == 0, "read-only sees another state:\n%s---\n%s", first, after);
    free(before);
    free(first);
    free(second);
    free(after);
}

/* A log of small segments from the first on. */
static void make_log(const char *directory) {
    hf_wal *wal;
    hf_wal_found found;
    hf_wal_options options = {.files = hf_files_system(), .segment_bytes = HF_SEGMENT_MIN};
    MUST(hf_wal_lock(directory, &options, false, &wal));
    MUST(hf_wal_open(wal, &(hf_wal_position){0}, NULL, NULL, &found));
    hf_wal_close(wal);
}

static void stock_up(const char *directory) {
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    make_log(directory);
    harness_options(&options, HF_NO_THREADS, NULL);
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    for (unsigned i = 0; i < SKUS; i++) {
        hf_reply reply;
        hf_line line = {.name = names[i], .name_length = 6, .quantity = STOCK};
        MUST(hf_receive(session, harness_id(UINT64_C(1) << 50, i), line, &reply));
    }
    hf_session_close(session);
    MUST(hf_close(engine));
}

/* ---- lives ------------------------------------------------------------------------------------------------------------------------ */

/* A directory and what is known of it. */
typedef struct place {
    char directory[HARNESS_PATH];
    ledger ledger;
    bool checkpoints;
    unsigned lives;
} place;

typedef struct counts {
    uint64_t kills[ENDS], tried, acknowledged, places;
} counts;

static void begin_place(place *p, bool checkpoints) {
    *p = (place){.checkpoints = checkpoints};
    harness_directory(p->directory);
    stock_up(p->directory);
}

static void end_place(place *p, counts *all) {
    all->tried += p->ledger.count;
    all->acknowledged += p->ledger.acknowledged;
    all->places++;
    harness_remove(p->directory);
    free(p->ledger.entries);
}

/* One life of the child. */
static void one_life(place *p, uint32_t round, enum end end, uint64_t *random, counts *all) {
    int ends[2], status;
    CHECK(pipe2(ends, O_CLOEXEC) == 0, "%s", strerror(errno));
    *planned = (plan){.end = end, .left = 1 + (uint32_t)harness_below(random, 30), .after = harness_chance(random, 50)};
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0, "%s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        live(p->directory, ends[1], round, p->checkpoints, harness_next(random));
    }
    close(ends[1]);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0, "%s", strerror(errno));
    /* One that is to kill itself is given time for it. */
    double life = end == OUTSIDE ? 0.003 + (double)harness_below(random, 60) / 1000 : 60;
    listen(&p->ledger, ends[0], harness_seconds() + life);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, &status, 0) == pid, "%s", strerror(errno));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself: %d", status);
    listen(&p->ledger, ends[0], harness_seconds() + 10);
    close(ends[0]);
    (void)harness_next(random);
    all->kills[planned->died ? end : OUTSIDE]++;
    p->lives++;
}

int main(void) {
    static const enum end wanted[] = {OUTSIDE, CHECKPOINT, ROTATION, OUTSIDE, ROTATION, CHECKPOINT};
    static const bool checkpoints[] = {false, true, false, true, true, true};
    uint64_t random = harness_begin("crash"), rounds = harness_rounds((uint64_t)harness_time(KILLS));
    double begun = harness_seconds();
    place places[2];
    counts all = {0};
    planned = mmap(NULL, sizeof *planned, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(planned != MAP_FAILED, "no shared memory");
    for (unsigned i = 0; i < SKUS; i++) {
        snprintf(names[i], sizeof names[i], "sku-%02u", i);
    }
    begin_place(&places[0], false);
    begin_place(&places[1], true);
    for (uint32_t round = 0; round < rounds; round++) {
        place *p = &places[checkpoints[round % 6]];
        one_life(p, round, wanted[round % 6], &random, &all);
        judge_directory(p->directory, &p->ledger, !p->checkpoints && p->lives == LIVES);
        if (p->lives == LIVES) {
            bool again = p->checkpoints;
            end_place(p, &all);
            begin_place(p, again);
        }
    }
    end_place(&places[0], &all);
    end_place(&places[1], &all);
    CHECK(rounds < 6 || (all.acknowledged && all.kills[CHECKPOINT] && all.kills[ROTATION]),
          "%llu facts acknowledged, %llu kills in a checkpoint, %llu in a rotation", (unsigned long long)all.acknowledged,
          (unsigned long long)all.kills[CHECKPOINT], (unsigned long long)all.kills[ROTATION]);
    printf("crash: %llu kills in %.0f s, %llu at any time, %llu in a checkpoint, %llu in a rotation, in %llu directories: %llu "
           "reservations tried, %llu facts acknowledged: all there, once\n",
           (unsigned long long)rounds, harness_seconds() - begun, (unsigned long long)all.kills[OUTSIDE],
           (unsigned long long)all.kills[CHECKPOINT], (unsigned long long)all.kills[ROTATION], (unsigned long long)all.places,
           (unsigned long long)all.tried, (unsigned long long)all.acknowledged);
    return 0;
}
