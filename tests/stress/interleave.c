/* Few threads, every schedule with few switches: built with -DHF_PERTURB=ON only.
 *
 * A scene is a set-up and two or three short scripts, an operation or so each. It is played again and again on a fresh
 * engine over a simulated disk, each time with another schedule: first one actor is interrupted at its 1st, 2nd, 3rd
 * ... atomic while the others run to their ends; then in the scene's own order, if it has one, the first switch at each
 * atomic; then with two and three switches, at random places, for as long as there is time.
 *
 * Guarantees checked, after every run
 *   A  Units are conserved: on_hand of every SKU is what the answers add up to, reserved is the sum of what is live.
 *   B  Exactly once: of one id at most one operation is ok; `duplicate` only where one is. A life in the engine is
 *      one that was answered.
 *   C  A crash at the end keeps exactly the epochs that were durable: units and ids are what the answers with those
 *      tickets add up to. A restart from all of it finds the same stock, the same live reservations, the same ids,
 *      the same position.
 *   D  Once the clock has passed every deadline and the engine was polled, nothing is reserved.
 *
 * The last scene makes up its scripts by chance. HF_SCENE=name plays one scene, and with HF_PLAN="A17 B40" one schedule
 * of it, as a failure prints them; HF_ROUNDS=n plays n times as long.
 */
#include "tests/support/harness.h"
#include "tests/support/schedule.h"
#include "tests/support/simulated_files.h"

#include "engine/engine.h"
#include "engine/expiry.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define U(value) ((unsigned long long)(value))
#define RETENTION UINT64_C(1000)
#define SECONDS 10.0 /* for switches by chance, all scenes together, and half as much for scenes by chance */

#define TO_THE_END (UINT32_C(1) << 30)

enum { ACTORS = 3, MOVES = 12, DEEDS = 32, IDS = 26, MANY = 4096 };

typedef enum kind {
    END,
    RECEIVE,     /* id, lines */
    PURCHASE,    /* id, lines */
    RESERVE,     /* id, lines, number: ttl */
    CONFIRM,     /* id */
    CANCEL,      /* id */
    EXTEND,      /* id, number: ttl */
    RESERVE_ALL, /* id, number: ttl. One of each of MANY SKUs */
    RECEIVE_ALL, /* nine of each */
    FORGET,      /* an operation that is of no consequence, but forgets what of its session's is due */
    CLOCK,       /* number: ms */
    SETTLE,      /* expires what is due */
    POLL,
    CHECKPOINT,
    GROW,   /* the id index into another table, and the old one away */
    SUBMIT, /* two operations of no consequence in one call */
    READ,   /* every SKU; id */
    CROWD,  /* set-up: wheels so full of dead hints that the next settling compacts them */
    FILL,   /* set-up: little room is left in the first actor's ring */
} kind;

typedef struct move {
    kind kind;
    char id;           /* 'a'.. */
    const char *lines; /* "s1t2": a SKU is a letter; its quantity one digit */
    uint64_t number;
} move;

typedef struct scene {
    const char *name;
    move before[MOVES]; /* by the director. Stock first */
    move acts[ACTORS][MOVES];
    unsigned actors;
    bool cold;         /* the actors' sessions have no cells at hand */
    bool named;        /* the actors' sessions are, and keep positions */
    const char *turns; /* may be NULL: an order that is tried above others, "A?C!": A for some points, C to its end */
} scene;

/* What was asked and answered. */
typedef struct deed {
    hf_op_type type;
    char id;
    hf_line lines[4];
    size_t count; /* MANY: one of each */
    uint64_t position;
    hf_reply reply;
} deed;

typedef struct stage {
    const scene *scene;
    hf_simulated *disk;
    hf_engine *engine;
    hf_options options;
    harness_clock clock;
    hf_session *director;
    hf_session *sessions[ACTORS];
    deed deeds[ACTORS + 1][DEEDS]; /* the director's last */
    unsigned count[ACTORS + 1];
    char names[2][32]; /* of SKUs '1' and '2', whose lines in the table collide */
    schedule plan;
} stage;

static hf_line many[MANY];
static char many_names[MANY][8];

/* How to play it again. */
static const char *where(const stage *s) {
    static char text[256];
    snprintf(text, sizeof text, "HF_SCENE=%s HF_PLAN=\"%s\"", s->scene->name, schedule_text(&s->plan));
    return text;
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

static hf_id id_of(char letter) { return harness_id(7, (uint64_t)(uint8_t)letter); }

static const char *name_of(stage *s, char letter) {
    static const char names[] = "s\0t\0n";
    return letter == '1' || letter == '2' ? s->names[letter - '1']
           : letter == 's'                ? names
           : letter == 't'                ? names + 2
                                          : names + 4;
}

/* Remembers what an operation was answered. */
static void keep(stage *s, unsigned who, const hf_op *op, char id, const hf_reply *reply) {
    CHECK(s->count[who] < DEEDS, "too many deeds");
    deed *d = &s->deeds[who][s->count[who]++];
    *d = (deed){.type = op->type, .id = id, .count = op->line_count, .position = op->position, .reply = *reply};
    for (size_t i = 0; i < op->line_count && i < 4; i++) {
        d->lines[i] = op->lines[i];
    }
}

static void operate(stage *s, unsigned who, hf_session *session, hf_op op, char id) {
    hf_reply reply = {0};
    if (s->scene->named && who < ACTORS) {
        op.position = s->count[who] + 1;
    }
    op.id = id_of(id);
    int error = hf_submit(session, &op, 1, &reply, NULL);
    CHECK(error == HF_SUCCESS || error == HF_EAGAIN, "%s: %s", hf_op_text(op.type), hf_error_name(error));
    CHECK(reply.error == HF_SUCCESS || reply.error == HF_EAGAIN, "%s: %s", hf_op_text(op.type),
          hf_error_name(reply.error));
    if (reply.error == HF_SUCCESS && reply.outcome != HF_OUTCOME_IN_PROGRESS) {
        keep(s, who, &op, id, &reply);
    }
}

static void with_lines(stage *s, unsigned who, hf_session *session, hf_op_type type, const move *m) {
    hf_line lines[4];
    size_t count = 0;
    for (const char *at = m->lines; *at; at += 2, count++) {
        const char *name = name_of(s, at[0]);
        lines[count] = (hf_line){.name = name, .name_length = strlen(name), .quantity = at[1] - '0'};
    }
    operate(s, who, session, (hf_op){.type = type, .lines = lines, .line_count = count, .ttl_ms = m->number, .user = 7},
            m->id);
}

static void clock_on(stage *s, uint64_t ms) {
    harness_clock_set(&s->clock, harness_clock_read(&s->clock) + ms);
    hf_refresh_clock(s->engine);
}

/* Two names of which the second is found where the first is looked for. */
static void find_twins(stage *s) {
    const hf_skus *skus = &s->engine->skus;
    snprintf(s->names[0], sizeof s->names[0], "twin");
    const hf_sku *home = hf_skus_home(skus, hf_skus_hash(skus, "twin", 4));
    for (unsigned i = 0;; i++) {
        int length = snprintf(s->names[1], sizeof s->names[1], "twin-%u", i);
        if (hf_skus_home(skus, hf_skus_hash(skus, s->names[1], (size_t)length)) == home) {
            return;
        }
    }
}

static void crowd(stage *s) {
    for (uint32_t i = 0; i <= s->engine->shard_mask; i++) {
        for (unsigned k = 0; k < 2 * HF_WHEEL_COMPACT_MIN; k++) {
            CHECK(
                hf_wheel_add(s->engine->shards[i].wheel, (hf_wheel_entry){.time_ms = HARNESS_EPOCH_MS * 2, .slot = 0}),
                "out of memory");
            hf_wheel_count_dead(s->engine->shards[i].wheel);
        }
    }
}

/* Leaves room in the ring for an operation of few lines, and no more. */
static void fill(stage *s) {
    hf_ring *ring = &s->sessions[0]->ring;
    hf_entry note = {.type = HF_RECORD_NOTE, .time_ms = HARNESS_EPOCH_MS, .outcome = HF_OUTCOME_NOT_FOUND};
    hf_section_enter();
    while (hf_ring_room(ring, 2 * HF_RECORD_FEW)) {
        hf_ring_append(ring, hf_engine_epoch(s->engine), &note);
    }
    hf_section_leave();
}

static void receive_all(stage *s, hf_session *session) {
    for (unsigned i = 0; i < MANY; i++) {
        hf_reply reply;
        hf_line line = {.name = many[i].name, .name_length = many[i].name_length, .quantity = 9};
        while (hf_receive(session, harness_id(8, i), line, &reply) == HF_EAGAIN) {
            MUST(hf_poll(s->engine));
        }
        CHECK(reply.error == HF_SUCCESS, "%s", hf_error_name(reply.error));
    }
}

static void read_all(stage *s, hf_session *session, char id) {
    static const char letters[] = "st12n";
    for (const char *at = letters; *at; at++) {
        hf_sku *sku;
        hf_stock stock;
        const char *name = name_of(s, *at);
        if (hf_sku_find(session, name, strlen(name), &sku) == HF_SUCCESS &&
            hf_sku_read(session, sku, &stock) == HF_SUCCESS) {
            CHECK(stock.reserved >= 0 && stock.on_hand >= stock.reserved, "%s: on_hand %lld reserved %lld", name,
                  (long long)stock.on_hand, (long long)stock.reserved);
        }
    }
    hf_reservation found;
    hf_reservation_line lines[4];
    if (id && hf_reservation_read(session, id_of(id), &found, lines, 4) == HF_SUCCESS) {
        CHECK(found.state != HF_STATE_LIVE || found.line_count > 0, "a live reservation without a line");
    }
}

static void grow(stage *s) {
    hf_section_register();
    pthread_mutex_lock(&s->engine->keeper_mutex); /* one thread at a time migrates */
    CHECK(hf_index_renew(s->engine->index, 64), "out of memory");
    while (hf_index_migrate(s->engine->index, 1 << 16)) {
    }
    pthread_mutex_unlock(&s->engine->keeper_mutex);
    hf_section_unregister();
}

static void submit_two(hf_session *session) {
    hf_op ops[2] = {{.type = HF_OP_CANCEL, .id = id_of('y')}, {.type = HF_OP_CANCEL, .id = id_of('z')}};
    hf_reply replies[2];
    MUST(hf_submit(session, ops, 2, replies, NULL));
}

static void make_move(stage *s, unsigned who, hf_session *session, const move *m) {
    int error = HF_SUCCESS;
    switch (m->kind) {
    case RECEIVE:
        with_lines(s, who, session, HF_OP_RECEIVE, m);
        break;
    case PURCHASE:
        with_lines(s, who, session, HF_OP_PURCHASE, m);
        break;
    case RESERVE:
        with_lines(s, who, session, HF_OP_RESERVE, m);
        break;
    case RESERVE_ALL:
        operate(s, who, session, (hf_op){.type = HF_OP_RESERVE, .lines = many, .line_count = MANY, .ttl_ms = m->number},
                m->id);
        break;
    case RECEIVE_ALL:
        receive_all(s, session);
        break;
    case CONFIRM:
        operate(s, who, session, (hf_op){.type = HF_OP_CONFIRM}, m->id);
        break;
    case CANCEL:
        operate(s, who, session, (hf_op){.type = HF_OP_CANCEL}, m->id);
        break;
    case FORGET:
        operate(s, who, session, (hf_op){.type = HF_OP_CANCEL}, 'z');
        break;
    case EXTEND:
        operate(s, who, session, (hf_op){.type = HF_OP_EXTEND, .ttl_ms = m->number}, m->id);
        break;
    case CLOCK:
        clock_on(s, m->number);
        break;
    case SETTLE:
        error = hf_settle(session, hf_engine_now(s->engine));
        break;
    case POLL:
        error = hf_poll(s->engine);
        break;
    case CHECKPOINT:
        error = hf_checkpoint(s->engine);
        break;
    case GROW:
        grow(s);
        break;
    case SUBMIT:
        submit_two(session);
        break;
    case READ:
        read_all(s, session, m->id);
        break;
    case CROWD:
        crowd(s);
        break;
    default:
        break;
    }
    CHECK(error == HF_SUCCESS || error == HF_EBUSY || error == HF_EAGAIN, "move %d: %s", (int)m->kind,
          hf_error_name(error));
}

/* ---- the actors -------------------------------------------------------------------------------------------------- */

typedef struct role {
    stage *stage;
    unsigned number;
} role;

static void enter(void *context) {
    role *r = context;
    char name[] = "actor-0";
    name[6] = (char)('A' + r->number);
    MUST(hf_session_open(r->stage->engine, r->stage->scene->named ? name : NULL, &r->stage->sessions[r->number]));
    if (!r->stage->scene->cold) { /* cells at hand: fewer atomics to try that are no scene's subject */
        hf_session *session = r->stage->sessions[r->number];
        CHECK(hf_pool_refill(&r->stage->engine->slots, &session->slots, &r->stage->engine->grace) &&
                  hf_pool_refill(&r->stage->engine->blocks, &session->blocks, &r->stage->engine->grace),
              "out of memory");
    }
    for (unsigned i = 0; r->number == 0 && i < MOVES; i++) {
        if (r->stage->scene->before[i].kind == FILL) {
            fill(r->stage);
        }
    }
}

static void act(void *context) {
    role *r = context;
    const move *moves = r->stage->scene->acts[r->number];
    for (unsigned i = 0; i < MOVES && moves[i].kind != END; i++) {
        make_move(r->stage, r->number, r->stage->sessions[r->number], &moves[i]);
    }
}

static void leave(void *context) {
    role *r = context;
    hf_session_close(r->stage->sessions[r->number]);
}

/* ---- the scenes -------------------------------------------------------------------------------------------------- */

#define STOCK                                                                                                          \
    {RECEIVE, 'A', "s3", 0}, { RECEIVE, 'B', "t3", 0 }
#define SCENES(X)                                                                                                      \
    X({.name = "last-unit",                                                                                            \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s2t2", 50}}, {{RESERVE, 'b', "t2s2", 50}}}})                                          \
    X({.name = "confirm-cancel",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 50}},                                                                  \
       .acts = {{{CONFIRM, 'a', 0, 0}}, {{CANCEL, 'a', 0, 0}}}})                                                       \
    X({.name = "confirm-expire",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 50}},                                                                  \
       .acts = {{{CONFIRM, 'a', 0, 0}}, {{CLOCK, 0, 0, 60}, {SETTLE, 0, 0, 0}, {READ, 'a', 0, 0}}}})                   \
    X({.name = "cancel-expire",                                                                                        \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 50}},                                                                  \
       .acts = {{{CANCEL, 'a', 0, 0}}, {{CLOCK, 0, 0, 60}, {SETTLE, 0, 0, 0}, {READ, 'a', 0, 0}}}})                    \
    X({.name = "extend-expire",                                                                                        \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 50}},                                                                  \
       .acts = {{{EXTEND, 'a', 0, 20}}, {{CLOCK, 0, 0, 60}, {SETTLE, 0, 0, 0}, {READ, 'a', 0, 0}}}})                   \
    X({.name = "extend-later",                                                                                         \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 20}},                                                                  \
       .acts = {{{EXTEND, 'a', 0, 50}}, {{CLOCK, 0, 0, 60}, {SETTLE, 0, 0, 0}, {READ, 'a', 0, 0}}}})                   \
    X({.name = "extend-compact",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t2", 50}, {CROWD, 0, 0, 0}},                                                \
       .acts = {{{EXTEND, 'a', 0, 500}}, {{CLOCK, 0, 0, 1}, {SETTLE, 0, 0, 0}}}})                                      \
    X({.name = "extend-full",                                                                                          \
       .actors = 2,                                                                                                    \
       .before = {{RECEIVE_ALL, 0, 0, 0}, {RESERVE_ALL, 'a', 0, 50}, {FILL, 0, 0, 0}},                                 \
       .acts = {{{EXTEND, 'a', 0, 1}}, {{CLOCK, 0, 0, 5}}}})                                                           \
    X({.name = "reserve-expire",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s1t2", 20}}, {{CLOCK, 0, 0, 60}, {SETTLE, 0, 0, 0}, {PURCHASE, 'b', "s3", 0}}}})      \
    X({.name = "late-confirm",                                                                                         \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s2t2", 5}, {CLOCK, 0, 0, 9}, {POLL, 0, 0, 0}},                                \
       .acts = {{{CONFIRM, 'a', 0, 0}}, {{PURCHASE, 'b', "t2", 0}}}})                                                  \
    X({.name = "same-id",                                                                                              \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s1t1", 50}}, {{RESERVE, 'a', "t2", 50}, {CANCEL, 'a', 0, 0}}}})                       \
    X({.name = "submit-grow", .actors = 2, .before = {STOCK}, .acts = {{{SUBMIT, 0, 0, 0}}, {{GROW, 0, 0, 0}}}})       \
    X({.name = "refused-id",                                                                                           \
       .turns = "A?C!B?A!",                                                                                            \
       .actors = 3,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s2t3", 50}}, {{RESERVE, 'a', "s1", 50}}, {{PURCHASE, 'b', "t1", 0}}}})                \
    X({.name = "stale-time",                                                                                           \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s1", 50}},                                                                            \
                {{CLOCK, 0, 0, 1},                                                                                     \
                 {RESERVE, 'a', "t1", 50},                                                                             \
                 {CANCEL, 'a', 0, 0},                                                                                  \
                 {CLOCK, 0, 0, RETENTION + 1},                                                                         \
                 {FORGET, 0, 0, 0}}}})                                                                                 \
    X({.name = "forget-late",                                                                                          \
       .turns = "B?A?B!A!",                                                                                            \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t1", 5}, {CLOCK, 0, 0, 9}, {POLL, 0, 0, 0}, {CLOCK, 0, 0, RETENTION - 1}},  \
       .acts = {{{CONFIRM, 'a', 0, 0}}, {{CLOCK, 0, 0, 1}, {POLL, 0, 0, 0}, {POLL, 0, 0, 0}}}})                        \
    X({.name = "forgotten-late",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t1", 5}, {CLOCK, 0, 0, 9}, {POLL, 0, 0, 0}, {CLOCK, 0, 0, RETENTION}},      \
       .acts = {{{CONFIRM, 'a', 0, 0}}, {{POLL, 0, 0, 0}}}})                                                           \
    X({.name = "forget-receive",                                                                                       \
       .turns = "B?A?B!A!",                                                                                            \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RECEIVE, 'e', "s1", 0}, {CLOCK, 0, 0, RETENTION}},                                           \
       .acts = {{{RECEIVE, 'e', "n5", 0}}, {{POLL, 0, 0, 0}}}})                                                        \
    X({.name = "new-skus",                                                                                             \
       .actors = 2,                                                                                                    \
       .acts = {{{RECEIVE, 'a', "12", 0}, {RESERVE, 'c', "11", 50}},                                                   \
                {{RECEIVE, 'b', "25", 0}, {PURCHASE, 'd', "22", 0}}}})                                                 \
    X({.name = "check-new-sku",                                                                                        \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{CHECKPOINT, 0, 0, 0}}, {{RECEIVE, 'c', "n5", 0}, {RESERVE, 'd', "n2s1", 500}}}})                     \
    X({.name = "check-straddle",                                                                                       \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{CHECKPOINT, 0, 0, 0}}, {{RESERVE, 'd', "t2s1", 500}, {EXTEND, 'd', 0, 600}}}})                       \
    X({.name = "check-end",                                                                                            \
       .actors = 2,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1t1", 500}, {RESERVE, 'b', "s1t1", 5}},                                      \
       .acts = {{{CHECKPOINT, 0, 0, 0}}, {{CANCEL, 'a', 0, 0}, {CLOCK, 0, 0, 6}, {CONFIRM, 'b', 0, 0}}}})              \
    X({.name = "check-reuse",                                                                                          \
       .turns = "B?A?B!A!",                                                                                            \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{CHECKPOINT, 0, 0, 0}},                                                                               \
                {{RESERVE, 'a', "s1", 50},                                                                             \
                 {CANCEL, 'a', 0, 0},                                                                                  \
                 {CLOCK, 0, 0, RETENTION},                                                                             \
                 {FORGET, 0, 0, 0},                                                                                    \
                 {RESERVE, 'a', "t1", 50}}}})                                                                          \
    X({.name = "check-position",                                                                                       \
       .named = true,                                                                                                  \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{CHECKPOINT, 0, 0, 0}},                                                                               \
                {{PURCHASE, 'd', "s9", 0}, {CANCEL, 'd', 0, 0}, {RESERVE, 'd', "s1t1", 500}}}})                        \
    /* C turns the epoch and waits for A, which is between load and compare-and-swap; B comes first. */                   \
    X({.name = "take-behind",                                                                                          \
       .turns = "A?C!B!A!",                                                                                            \
       .actors = 3,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s1", 50}}, {{RESERVE, 'b', "s1", 50}}, {{POLL, 0, 0, 0}}}})                           \
    X({.name = "release-behind",                                                                                       \
       .turns = "A?C!B!A!",                                                                                            \
       .actors = 3,                                                                                                    \
       .before = {STOCK, {RESERVE, 'a', "s1", 50}},                                                                    \
       .acts = {{{CANCEL, 'a', 0, 0}}, {{RESERVE, 'b', "s1", 50}}, {{POLL, 0, 0, 0}}}})                                \
    X({.name = "straddle",                                                                                             \
       .actors = 2,                                                                                                    \
       .before = {STOCK},                                                                                              \
       .acts = {{{RESERVE, 'a', "s1t1", 50}, {CANCEL, 'a', 0, 0}}, {{POLL, 0, 0, 0}, {POLL, 0, 0, 0}}}})

static const scene scenes[] = {
#define X(...) __VA_ARGS__,
    SCENES(X)
#undef X
};

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static void open_engine(stage *s, hf_simulated *disk, hf_engine **engine) {
    int error = hf_open_on(hf_simulated_files(disk), "/log", &s->options, engine);
    CHECK(error == HF_SUCCESS, "%s: it does not open: %s", where(s), hf_error_name(error));
}

static void begin_stage(stage *s, const scene *which) {
    *s = (stage){.scene = which, .disk = hf_simulated_new()};
    harness_clock_set(&s->clock, HARNESS_EPOCH_MS);
    harness_options(&s->options, HF_NO_THREADS, &s->clock);
    s->options.shards = 1;
    s->options.expected_skus = s->options.expected_reservations = 64;
    s->options.max_reservations = 1 << 20;
    s->options.retention_ms = RETENTION;
    s->options.ring_bytes = 512u << 10;
    open_engine(s, s->disk, &s->engine);
    MUST(hf_session_open(s->engine, NULL, &s->director));
    find_twins(s);
    for (unsigned i = 0; i < MOVES && which->before[i].kind != END; i++) {
        make_move(s, ACTORS, s->director, &which->before[i]);
    }
}

/* ---- the judges -------------------------------------------------------------------------------------------------- */

static const deed *next_deed(const stage *s, unsigned *who, unsigned *index) {
    while (*who <= ACTORS && *index >= s->count[*who]) {
        ++*who;
        *index = 0;
    }
    return *who <= ACTORS ? &s->deeds[*who][(*index)++] : NULL;
}
#define EACH_DEED(s, d)                                                                                                \
    unsigned who_ = 0, index_ = 0;                                                                                     \
    for (const deed *d; (d = next_deed((s), &who_, &index_));)

static bool applied(const deed *d) {
    return d->reply.outcome == HF_OUTCOME_OK || d->reply.outcome == HF_OUTCOME_CONFIRMED_LATE;
}

static const deed *reserve_of(const stage *s, char id) {
    EACH_DEED(s, d) {
        if (d->type == HF_OP_RESERVE && d->id == id && applied(d)) {
            return d;
        }
    }
    return NULL;
}

/* What an operation took out of, or put into, on_hand of a SKU. */
static int64_t moved(const stage *s, const deed *d, const void *name, size_t length) {
    if (!applied(d)) {
        return 0;
    }
    int64_t sign = d->type == HF_OP_RECEIVE                                ? 1
                   : d->type == HF_OP_PURCHASE || d->type == HF_OP_CONFIRM ? -1
                                                                           : 0,
            sum = 0;
    const deed *of = d->type == HF_OP_CONFIRM ? reserve_of(s, d->id) : d;
    for (size_t i = 0; sign && of && i < of->count && i < 4; i++) {
        if (of->lines[i].name_length == length && memcmp(of->lines[i].name, name, length) == 0) {
            sum += sign * of->lines[i].quantity;
        }
    }
    return sum;
}

typedef struct tally {
    stage *stage;
    uint64_t durable; /* deeds with a ticket above it did not happen */
    const char *when;
    hf_session *session;
} tally;

typedef struct live_sum {
    const hf_sku *sku;
    int64_t units;
} live_sum;

static bool add_live(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    live_sum *sum = context;
    for (uint32_t i = 0; i < found->line_count; i++) {
        sum->units += lines[i].sku == sum->sku ? lines[i].quantity : 0;
    }
    return true;
}

static bool judge_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    tally *t = context;
    size_t length;
    const char *name = hf_sku_name(sku, &length);
    if (length == 4 && name[0] == '#') {
        return true;
    }
    int64_t on_hand = 0;
    EACH_DEED(t->stage, d) { on_hand += d->reply.ticket <= t->durable ? moved(t->stage, d, name, length) : 0; }
    CHECK(stock->on_hand == on_hand, "%s, %s: SKU %.*s has on_hand %lld, the answers add up to %lld", where(t->stage),
          t->when, (int)length, name, (long long)stock->on_hand, (long long)on_hand);
    live_sum sum = {sku, 0};
    MUST(hf_reservation_each(t->session, add_live, &sum));
    CHECK(stock->reserved == sum.units, "%s, %s: SKU %.*s has reserved %lld, %lld are live", where(t->stage), t->when,
          (int)length, name, (long long)stock->reserved, (long long)sum.units);
    return true;
}

static void judge_units(stage *s, hf_engine *engine, uint64_t durable, const char *when) {
    tally t = {.stage = s, .durable = durable, .when = when};
    MUST(hf_session_open(engine, NULL, &t.session));
    MUST(hf_sku_each(t.session, judge_sku, &t));
    hf_session_close(t.session);
}

static void judge_ids(stage *s) {
    for (char id = 'a'; id < 'a' + IDS; id++) {
        unsigned begun = 0, duplicates = 0;
        EACH_DEED(s, d) {
            if (d->id == id && d->type <= HF_OP_RESERVE) {
                begun += d->reply.outcome == HF_OUTCOME_OK;
                duplicates += d->reply.outcome == HF_OUTCOME_DUPLICATE;
            }
        }
        CHECK(begun <= 1 || harness_clock_read(&s->clock) >= HARNESS_EPOCH_MS + RETENTION, "%s: id %c was ok %u times",
              where(s), id, begun);
        CHECK(begun > 0 || duplicates == 0, "%s: id %c is a duplicate of nothing", where(s), id);
    }
    EACH_DEED(s, d) { /* nobody asked for a version */
        CHECK(d->reply.outcome != HF_OUTCOME_VERSION_MISMATCH, "%s: %s of id %c: version_mismatch", where(s),
              hf_op_text(d->type), d->id);
    }
}

/* After a crash: of the ids that were begun, exactly those are known whose tickets were durable. */
static void judge_known(stage *s, hf_engine *engine, uint64_t durable) {
    hf_session *session;
    if (harness_clock_read(&s->clock) >= HARNESS_EPOCH_MS + RETENTION) {
        return; /* ids may have been forgotten, and used again */
    }
    MUST(hf_session_open(engine, NULL, &session));
    EACH_DEED(s, d) {
        hf_reservation found;
        if (d->type > HF_OP_RESERVE || d->reply.outcome != HF_OUTCOME_OK) {
            continue;
        }
        int error = hf_reservation_read(session, id_of(d->id), &found, NULL, 0);
        CHECK(error == (d->reply.ticket <= durable ? HF_SUCCESS : HF_ENOTFOUND),
              "%s: id %c, ticket %llu, durable %llu, after a crash: %s", where(s), d->id, U(d->reply.ticket),
              U(durable), hf_error_name(error));
    }
    hf_session_close(session);
}

/* Every id as text. */
static char *ids_text(stage *s, hf_engine *engine) {
    hf_session *session;
    char *text = calloc(IDS, 160), *end = text;
    CHECK(text, "out of memory");
    MUST(hf_session_open(engine, NULL, &session));
    for (char id = 'a'; id < 'a' + IDS; id++) {
        hf_reservation found;
        hf_reservation_line lines[4];
        int error = hf_reservation_read(session, id_of(id), &found, lines, 4);
        bool ended = error == HF_SUCCESS && found.state != HF_STATE_LIVE;
        if (error || (ended && found.ended_ms + RETENTION <= harness_clock_read(&s->clock))) {
            continue; /* it may be forgotten in one, and not yet in the other */
        }
        end += sprintf(end, "%c %s deadline %llu ended %llu user %llu version %llu lines %u\n", id,
                       hf_state_text(found.state), U(found.deadline_ms), U(found.ended_ms), U(found.user),
                       U(found.version), found.line_count);
    }
    hf_session_close(session);
    return text;
}

static char *state_text(hf_engine *engine) {
    hf_session *session;
    MUST(hf_session_open(engine, NULL, &session));
    char *text = harness_state(session);
    hf_session_close(session);
    return text;
}

static void judge_positions(stage *s, hf_engine *engine) {
    for (unsigned i = 0; s->scene->named && i < s->scene->actors; i++) {
        hf_session *session;
        char name[] = "actor-A";
        name[6] = (char)('A' + i);
        MUST(hf_session_open(engine, name, &session));
        uint64_t position = s->count[i] ? s->deeds[i][s->count[i] - 1].position : 0;
        CHECK(hf_session_position(session) == position, "%s: %s is at position %llu, expected %llu", where(s), name,
              U(hf_session_position(session)), U(position));
        hf_session_close(session);
    }
}

/* What a restart finds on an image of the disk. */
static void judge_image(stage *s, uint64_t durable, const char *state, const char *ids, const char *when) {
    hf_simulated *image = hf_simulated_crash(s->disk, HF_CRASH_DROP, 1);
    hf_engine *engine;
    open_engine(s, image, &engine);
    judge_units(s, engine, durable, when);
    if (state) {
        char *now = state_text(engine), *now_ids = ids_text(s, engine);
        CHECK(strcmp(state, now) == 0, "%s: before the restart\n%s  and after it\n%s", where(s), state, now);
        CHECK(strcmp(ids, now_ids) == 0, "%s: ids before the restart\n%s  and after it\n%s", where(s), ids, now_ids);
        judge_positions(s, engine);
        free(now);
        free(now_ids);
    } else {
        judge_known(s, engine, durable);
    }
    MUST(hf_close(engine));
    hf_simulated_free(image);
}

static void judge_end(stage *s) {
    hf_stats stats;
    clock_on(s, HF_MAX_TTL_MS / 2);
    MUST(hf_poll(s->engine));
    hf_stats_read(s->engine, &stats);
    char *state = state_text(s->engine);
    CHECK(stats.live == 0 && !strstr(state, "live "), "%s: the clock is past every deadline, and there is\n%s",
          where(s), state);
    free(state);
    judge_units(s, s->engine, UINT64_MAX, "past every deadline");
}

static void judge(stage *s) {
    judge_ids(s);
    judge_image(s, hf_durable(s->engine), NULL, NULL, "after a crash");
    MUST(hf_poll(s->engine));
    judge_units(s, s->engine, UINT64_MAX, "at the end");
    char *state = state_text(s->engine), *ids = ids_text(s, s->engine);
    judge_image(s, UINT64_MAX, state, ids, "after a restart");
    free(state);
    free(ids);
    judge_end(s);
}

/* ---- schedules --------------------------------------------------------------------------------------------------- */

static uint64_t runs, points, seed_now;
static char now_playing[256];

/* An assertion, or a fault: says which schedule it was. */
static void on_crash(int number) {
    ssize_t ignored = write(STDOUT_FILENO, now_playing, strlen(now_playing));
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

/* One run. Returns how many turns of the plan were used up. */
static uint32_t play(const scene *which, const schedule *plan, uint64_t *longest) {
    static stage s;
    role roles[ACTORS];
    schedule_actor actors[ACTORS];
    uint32_t used;
    begin_stage(&s, which);
    s.plan = *plan;
    snprintf(now_playing, sizeof now_playing, "interleave: it crashed with HF_SEED=%llu HF_SCENE=%s HF_PLAN=\"%s\"\n",
             U(seed_now), which->name, schedule_text(plan));
    for (unsigned i = 0; i < ACTORS; i++) {
        roles[i] = (role){&s, i};
        actors[i] = (schedule_actor){.enter = enter, .act = act, .leave = leave, .context = &roles[i]};
    }
    schedule_run(actors, plan, &used);
    for (unsigned i = 0; i < ACTORS; i++) {
        points += actors[i].points;
        if (longest) {
            longest[i] = actors[i].points;
        }
    }
    judge(&s);
    hf_session_close(s.director);
    MUST(hf_close(s.engine));
    hf_simulated_free(s.disk);
    runs++;
    return used;
}

enum { PLACES = 512, SWEEPS = 3 };

/* Each actor interrupted once, everywhere; or at so many places, where it is a long one. */
static void play_single(const scene *which) {
    uint64_t longest[ACTORS];
    (void)play(which, &(schedule){.count = 0}, longest);
    for (uint32_t actor = 0; actor < which->actors; actor++) {
        schedule plan = {.turns = {{actor, 1}}, .count = 1};
        while (play(which, &plan, NULL) == 1) {
            plan.turns[0].points += 1 + (uint32_t)(longest[actor] / PLACES);
        }
    }
}

/* In the order of the scene: the first turn ends at `place`, others by chance. */
static schedule plan_in_order(const scene *which, uint64_t *random, const uint64_t *longest, uint64_t place) {
    schedule plan = {.count = 0};
    for (const char *at = which->turns; *at; at += 2, place = UINT64_MAX) {
        uint32_t actor = (uint32_t)(*at - 'A');
        uint64_t here = place < UINT64_MAX ? place : harness_below(random, longest[actor] + 1);
        plan.turns[plan.count++] = (schedule_turn){actor, at[1] == '!' ? TO_THE_END : 1 + (uint32_t)here};
    }
    return plan;
}

/* The first turn of the scene's order ends everywhere; several times, where more of it is left to chance. */
static void play_in_order(const scene *which, uint64_t *random) {
    uint64_t longest[ACTORS];
    (void)play(which, &(schedule){.count = 0}, longest);
    uint64_t places = longest[which->turns[0] - 'A'] + 1;
    for (unsigned sweep = 0; sweep < (strchr(which->turns + 2, '?') ? SWEEPS : 1); sweep++) {
        for (uint64_t place = 0; place < places; place += 1 + places / PLACES) {
            schedule plan = plan_in_order(which, random, longest, place);
            (void)play(which, &plan, NULL);
        }
    }
}

static schedule plan_by_chance(const scene *which, uint64_t *random, const uint64_t *longest) {
    schedule plan = {.count = 2 + (uint32_t)harness_below(random, which->actors)};
    for (uint32_t i = 0, last = ACTORS; i < plan.count; i++) {
        uint32_t actor = (uint32_t)harness_below(random, which->actors);
        actor = actor == last ? (actor + 1) % which->actors : actor;
        bool whole = harness_chance(random, 25);
        plan.turns[i] =
            (schedule_turn){actor, whole ? TO_THE_END : 1 + (uint32_t)harness_below(random, longest[actor] + 1)};
        last = actor;
    }
    return plan;
}

static void play_random(const scene *which, uint64_t *random, double until) {
    uint64_t longest[ACTORS];
    (void)play(which, &(schedule){.count = 0}, longest);
    while (harness_seconds() < until) {
        schedule plan = plan_by_chance(which, random, longest);
        (void)play(which, &plan, NULL);
    }
}

/* ---- a scene by chance ----------------------------------------------------------------------------------------- */

static move move_by_chance(uint64_t *random) {
    static const kind kinds[] = {RESERVE, RESERVE, RESERVE, PURCHASE, RECEIVE, CONFIRM, CONFIRM, CANCEL,     EXTEND,
                                 EXTEND,  CLOCK,   CLOCK,   SETTLE,   POLL,    READ,    SUBMIT,  CHECKPOINT, GROW};
    static const char *const lines[] = {"s1", "t2", "s1t1", "t2s1", "s3", "n1", "s2n1", "15", "21", "12s1"};
    move m = {.kind = kinds[harness_below(random, sizeof kinds / sizeof kinds[0])]};
    m.id = (char)('a' + harness_below(random, 3));
    m.lines = lines[harness_below(random, m.kind == RECEIVE ? 2 : 10)];
    m.number = m.kind == CLOCK ? 1 + harness_below(random, 30) : 1 + harness_below(random, 40);
    if (m.kind == RECEIVE) { /* of one line, an id of its own and now and then a new SKU */
        static const char *const received[] = {"s1", "t2", "n4", "15", "25"};
        m.lines = received[harness_below(random, 5)];
        m.id = (char)('d' + harness_below(random, 20));
    }
    return m;
}

static scene scene_by_chance(uint64_t *random) {
    scene made = {.name = "any", .actors = 2 + (unsigned)harness_below(random, 2), .before = {STOCK}};
    made.cold = harness_chance(random, 20);
    made.named = harness_chance(random, 20);
    for (unsigned i = 2; i < 5; i++) {
        made.before[i] = move_by_chance(random);
    }
    for (unsigned actor = 0; actor < made.actors; actor++) {
        for (uint64_t i = 0, count = 1 + harness_below(random, 3); i < count; i++) {
            made.acts[actor][i] = move_by_chance(random);
        }
    }
    return made;
}

/* Each round is a scene, and schedules of it, from a seed of its own. */
static void play_any(uint64_t seed, double until) {
    uint64_t before = runs, rounds = 0;
    do {
        uint64_t random = seed;
        scene made = scene_by_chance(&random);
        uint64_t longest[ACTORS];
        harness_seed_is(seed_now = seed);
        (void)play(&made, &(schedule){.count = 0}, longest);
        for (int i = 0; i < 8; i++) {
            schedule plan = plan_by_chance(&made, &random, longest);
            (void)play(&made, &plan, NULL);
        }
        seed = harness_next(&seed);
        rounds++;
    } while (harness_seconds() < until);
    printf("interleave: any: %llu scenes by chance, %llu schedules\n", U(rounds), U(runs - before));
}

static schedule plan_of(const char *text) {
    schedule plan = {.count = 0};
    for (int length; plan.count < SCHEDULE_TURNS; plan.count++, text += length) {
        char actor;
        unsigned after;
        if (sscanf(text, " %c%u%n", &actor, &after, &length) != 2) {
            break;
        }
        plan.turns[plan.count] = (schedule_turn){(uint32_t)(actor - 'A'), after};
    }
    return plan;
}

static void name_many(void) {
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(many_names[i], sizeof many_names[i], "#%03x", i);
        many[i] = (hf_line){.name = many_names[i], .name_length = 4, .quantity = 1};
    }
}

int main(void) {
    uint64_t random = seed_now = harness_begin("interleave");
    const char *only = getenv("HF_SCENE"), *plan = getenv("HF_PLAN");
    size_t count = sizeof scenes / sizeof scenes[0];
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0,
                0); /* thousands of small engines: huge pages would be cleared for nothing */
    name_many();
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    schedule_open(ACTORS);
    for (size_t i = 0; i < count; i++) {
        double from = harness_seconds();
        uint64_t runs_before = runs;
        if (only && strcmp(only, scenes[i].name) != 0) {
            continue;
        }
        if (plan) {
            schedule one = plan_of(plan);
            (void)play(&scenes[i], &one, NULL);
            continue;
        }
        play_single(&scenes[i]);
        if (scenes[i].turns) {
            play_in_order(&scenes[i], &random);
        }
        play_random(&scenes[i], &random, harness_seconds() + (double)harness_rounds(1) * harness_time(SECONDS) / (double)count);
        printf("interleave: %-16s %llu schedules, %.1f s\n", scenes[i].name, U(runs - runs_before),
               harness_seconds() - from);
    }
    if (!only || strcmp(only, "any") == 0) {
        play_any(random, harness_rounds(0) == 1 ? 0 : harness_seconds() + (double)harness_rounds(1) * SECONDS / 2);
    }
    schedule_close();
    printf("interleave: %llu schedules, %llu atomics\n", U(runs), U(points));
    return 0;
}
