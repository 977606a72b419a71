/* Histories. The contract is in history.h.
 *
 *     events, by thread        { asked, answered, [called, returned], clock around it }
 *     log                      -> deeds: whole operations, their parts joined    -> by id, by step: chains of ids
 *                              -> steps: one version of one SKU each             -> by SKU, by version: chains of SKUs
 *
 * Real time. Each link i of a chain happened between called[i] and returned[i]. There are instants for all in the
 * chain's order if and only if no link was called after a later one had returned: low[i], the latest call up to i, is
 * not above returned[i]. What tells of the chain as it was behind link i fits if low[i] <= its return, and its call <=
 * high[i + 1], the earliest return from there on.
 */
#include "history.h"

#include "harness.h"
#include "wal/atomic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define U(value) ((unsigned long long)(value))
#define NOBODY UINT32_MAX

enum { READ_SKU = HF_OP_TYPE_END, READ_ID, SKUS = 256, NAME = 32 };

typedef struct line {
    uint32_t sku;
    int64_t quantity;
} line;

typedef struct event {
    uint64_t called, returned; /* ns */
    uint64_t clock_before,
        clock_after; /* the logical clock had reached the one before the call, and not passed the other */
    uint64_t version, deadline_ms, ticket, if_version, ttl_ms;
    int64_t on_hand, reserved; /* READ_SKU */
    hf_id id;
    uint32_t first_line, line_count; /* of the thread's, as summed */
    uint32_t refused_line;           /* index of the caller's line, as summed */
    uint32_t deed;
    uint16_t thread;
    uint8_t kind, outcome, state;
} event;

typedef struct step {
    uint64_t version, epoch;
    int64_t quantity, on_hand_change, reserved_change;
    int64_t on_hand, reserved; /* after it */
    uint32_t sku, deed;
    bool give;
} step;

/* A whole operation in the log. */
typedef struct deed {
    hf_id id;
    uint64_t step, time_ms, deadline_ms;
    uint64_t first_epoch, last_epoch;
    hf_record_type type;
    uint32_t session, parts;
    uint32_t first_step, step_count; /* of by_deed */
    uint32_t event;
    bool open, given_back;
} deed;

/* A chain's windows, with one more place than links. */
typedef struct windows {
    uint64_t *low, *high;
} windows;

struct history_thread {
    history *all;
    hf_session *session;
    event *events;
    line *lines;
    size_t count, room, line_count, line_room;
    uint16_t number;
    uint32_t session_number; /* in the log */
};

typedef struct sku_chain {
    char name[NAME];
    uint32_t number; /* in the log */
    uint32_t first, count;
    windows times;
} sku_chain;

typedef struct id_chain {
    hf_id id;
    uint32_t first, count; /* of by_id */
    windows times;
} id_chain;

typedef struct tick {
    uint64_t clock_ms, before; /* ns at which the clock was about to be set */
} tick;

struct history {
    history_thread *threads;
    unsigned thread_count;
    sku_chain skus[SKUS];
    uint32_t sku_count;
    uint64_t reached, set; /* the injected clock: the engine's for certain, and at most */
    tick *ticks;
    size_t tick_count, tick_room;
    /* of the log */
    uint64_t retention_ms;
    deed *deeds;
    step *steps;
    size_t deed_count, deed_room, step_count, step_room;
    uint32_t *by_sku, *by_deed, *by_id;
    id_chain *ids;
    size_t id_count;
    char why[1024];
    /* what was spoilt */
    event *spoilt_event, *second_event;
    event saved_event, saved_second;
    step *spoilt_step;
    step saved_step;
    deed *spoilt_deed;
    deed saved_deed;
};

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *must(void *memory) {
    CHECK(memory, "out of memory");
    return memory;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

history *history_new(unsigned threads, size_t events) {
    history *all = must(calloc(1, sizeof *all));
    all->threads = must(calloc(threads, sizeof *all->threads));
    all->thread_count = threads;
    for (unsigned i = 0; i < threads; i++) {
        history_thread *thread = &all->threads[i];
        *thread = (history_thread){.all = all, .room = events, .line_room = 6 * events + 4096, .number = (uint16_t)i};
        thread->events = must(calloc(events, sizeof *thread->events));
        thread->lines = must(calloc(thread->line_room, sizeof *thread->lines));
    }
    return all;
}

static void free_windows(windows *times) {
    free(times->low);
    free(times->high);
    *times = (windows){0};
}

static void free_chains(history *all) {
    for (uint32_t i = 0; i < all->sku_count; i++) {
        free_windows(&all->skus[i].times);
    }
    for (size_t i = 0; i < all->id_count; i++) {
        free_windows(&all->ids[i].times);
    }
    free(all->ids);
    free(all->by_sku);
    free(all->by_deed);
    free(all->by_id);
    all->ids = NULL;
    all->by_sku = all->by_deed = all->by_id = NULL;
    all->id_count = 0;
}

void history_free(history *all) {
    free_chains(all);
    for (unsigned i = 0; i < all->thread_count; i++) {
        free(all->threads[i].events);
        free(all->threads[i].lines);
    }
    free(all->threads);
    free(all->ticks);
    free(all->deeds);
    free(all->steps);
    free(all);
}

void history_sku(history *all, const char *name) {
    CHECK(all->sku_count < SKUS && strlen(name) < NAME, "too many SKUs, or too long a name: %s", name);
    snprintf(all->skus[all->sku_count++].name, NAME, "%s", name);
}

history_thread *history_open(history *all, unsigned number, hf_engine *engine) {
    char name[16];
    snprintf(name, sizeof name, "history-%u", number);
    MUST(hf_session_open(engine, name, &all->threads[number].session));
    return &all->threads[number];
}

void history_close(history_thread *thread) { hf_session_close(thread->session); }
hf_session *history_session(const history_thread *thread) { return thread->session; }
bool history_is_full(const history_thread *thread) {
    return thread->count + 64 > thread->room || thread->line_count + 64 > thread->line_room;
}

void history_clock_on(history *all, hf_engine *engine, uint64_t *clock_ms, uint64_t ms) {
    uint64_t now = hf_load_relaxed(clock_ms) + ms; /* relaxed: this thread's */
    if (all->tick_count == all->tick_room) {
        all->tick_room = all->tick_room ? 2 * all->tick_room : 1024;
        all->ticks = must(realloc(all->ticks, all->tick_room * sizeof *all->ticks));
    }
    all->ticks[all->tick_count++] = (tick){now, nanoseconds()};
    hf_store_release(&all->set, now); /* before anybody can be answered by it */
    hf_store_release(clock_ms, now);
    hf_refresh_clock(engine);
    hf_store_release(&all->reached, now);
}

static uint32_t sku_named(const history *all, const void *name, size_t length) {
    for (uint32_t i = 0; i < all->sku_count; i++) {
        if (strlen(all->skus[i].name) == length && memcmp(all->skus[i].name, name, length) == 0) {
            return i;
        }
    }
    CHECK(false, "SKU %.*s is none of the history's", (int)length, (const char *)name);
    return NOBODY;
}

/* The operation's lines, those of one SKU summed, in the order of their first. */
static void keep_lines(history_thread *thread, event *e, const hf_op *op, const hf_reply *reply) {
    e->first_line = (uint32_t)thread->line_count;
    for (size_t i = 0; i < op->line_count; i++) {
        uint32_t sku = sku_named(thread->all, op->lines[i].name, op->lines[i].name_length), k = 0;
        line *own = &thread->lines[e->first_line];
        while (k < e->line_count && own[k].sku != sku) {
            k++;
        }
        if (k == e->line_count) {
            own[e->line_count++] = (line){sku, 0};
        }
        own[k].quantity += op->lines[i].quantity;
        e->refused_line = i == reply->line ? k : e->refused_line;
    }
    thread->line_count += e->line_count;
}

static void keep(history_thread *thread, const event *window, const hf_op *op, const hf_reply *reply) {
    CHECK(thread->count < thread->room, "too many events");
    event *e = &thread->events[thread->count++];
    *e = *window;
    e->kind = (uint8_t)op->type;
    e->id = op->id;
    e->outcome = (uint8_t)reply->outcome;
    e->state = (uint8_t)reply->state;
    e->version = reply->version;
    e->deadline_ms = reply->deadline_ms;
    e->ticket = reply->ticket;
    e->if_version = op->line_count == 1 ? op->if_version : 0;
    e->ttl_ms = op->ttl_ms;
    e->deed = NOBODY;
    e->refused_line = reply->line;
    if (op->type <= HF_OP_RESERVE) {
        keep_lines(thread, e, op, reply);
    }
}

static event open_window(history_thread *thread) {
    uint64_t reached = hf_load_acquire(&thread->all->reached);
    return (event){.thread = thread->number, .clock_before = reached, .called = nanoseconds()};
}

static void close_window(history_thread *thread, event *window) {
    window->returned = nanoseconds();
    window->clock_after = hf_load_acquire(&thread->all->set);
}

int history_submit(history_thread *thread, const hf_op *ops, size_t count, hf_reply *replies) {
    size_t done = 0;
    event window = open_window(thread);
    int error = hf_submit(thread->session, ops, count, replies, &done);
    close_window(thread, &window);
    for (size_t i = 0; i < done; i++) {
        CHECK(replies[i].error == HF_SUCCESS || replies[i].error == HF_EAGAIN, "%s: %s", hf_op_text(ops[i].type),
              hf_error_name(replies[i].error));
        if (replies[i].error == HF_SUCCESS) {
            keep(thread, &window, &ops[i], &replies[i]);
        }
    }
    return error;
}

void history_read_sku(history_thread *thread, const char *name) {
    hf_sku *sku;
    hf_stock stock;
    event window = open_window(thread);
    if (hf_sku_find(thread->session, name, strlen(name), &sku) != HF_SUCCESS ||
        hf_sku_read(thread->session, sku, &stock) != HF_SUCCESS) {
        return;
    }
    close_window(thread, &window);
    event *e = &thread->events[thread->count++];
    *e = window;
    e->kind = READ_SKU;
    e->version = stock.version;
    e->ticket = stock.ticket;
    e->on_hand = stock.on_hand;
    e->reserved = stock.reserved;
    e->deed = NOBODY;
    e->first_line = (uint32_t)thread->line_count++;
    thread->lines[e->first_line] = (line){sku_named(thread->all, name, strlen(name)), 0};
}

void history_read_id(history_thread *thread, hf_id id) {
    hf_reservation found = {0};
    event window = open_window(thread);
    int error = hf_reservation_read(thread->session, id, &found, NULL, 0);
    if (error == HF_EAGAIN) {
        return;
    }
    CHECK(error == HF_SUCCESS || error == HF_ENOTFOUND, "hf_reservation_read: %s", hf_error_name(error));
    found.state = error == HF_SUCCESS ? found.state : HF_STATE_UNKNOWN;
    close_window(thread, &window);
    event *e = &thread->events[thread->count++];
    *e = window;
    e->kind = READ_ID;
    e->id = id;
    e->outcome = error == HF_SUCCESS ? HF_OUTCOME_DUPLICATE : HF_OUTCOME_NOT_FOUND;
    e->state = (uint8_t)found.state;
    e->version = found.version;
    e->deadline_ms = found.state == HF_STATE_LIVE ? found.deadline_ms : found.ended_ms;
    e->ticket = error == HF_SUCCESS ? found.ticket : UINT64_MAX;
    e->deed = NOBODY;
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

/* The line's SKU. Its name may stand in the log behind its first step; the reader knows it all the same. */
static uint32_t sku_of(history *all, const hf_record_line *from) {
    for (uint32_t i = 0; i < all->sku_count; i++) {
        if (all->skus[i].number == from->sku) {
            return i;
        }
    }
    CHECK(from->name, "SKU number %u has no name", from->sku);
    uint32_t sku = sku_named(all, from->name, from->name_length);
    CHECK(all->skus[sku].number == 0, "SKU %s has two numbers", all->skus[sku].name);
    all->skus[sku].number = from->sku;
    return sku;
}

typedef struct loading {
    uint32_t *open; /* by session: the deed that goes on, or NOBODY */
    size_t room;
} loading;

static uint32_t *open_of(loading *l, uint32_t session) {
    if (session >= l->room) {
        size_t room = session + 64;
        l->open = must(realloc(l->open, room * sizeof *l->open));
        for (; l->room < room; l->room++) {
            l->open[l->room] = NOBODY;
        }
    }
    return &l->open[session];
}

static deed *deed_of(history *all, loading *l, const hf_record *record) {
    uint32_t *open = open_of(l, record->session);
    bool goes_on = record->parts & HF_PART_CONTINUED;
    CHECK(goes_on == (*open != NOBODY), "session %u: a part that %s", record->session,
          goes_on ? "goes on with nothing" : "is missing");
    if (!goes_on) {
        if (all->deed_count == all->deed_room) {
            all->deed_room = all->deed_room ? 2 * all->deed_room : 1 << 16;
            all->deeds = must(realloc(all->deeds, all->deed_room * sizeof *all->deeds));
        }
        *open = (uint32_t)all->deed_count;
        all->deeds[all->deed_count++] = (deed){.id = record->id,
                                               .type = record->type,
                                               .step = record->step,
                                               .time_ms = record->time_ms,
                                               .deadline_ms = record->deadline_ms,
                                               .first_epoch = record->epoch,
                                               .session = record->session,
                                               .event = NOBODY};
    }
    deed *d = &all->deeds[*open];
    CHECK(d->type == record->type && memcmp(&d->id, &record->id, sizeof d->id) == 0, "a part of another operation");
    d->last_epoch = record->epoch;
    d->parts++;
    d->given_back |= record->parts & HF_PART_GIVE;
    return d;
}

static void take_record(history *all, loading *l, const hf_record *record) {
    if (record->type == HF_RECORD_SESSION) {
        char name[HF_MAX_SESSION_NAME + 1];
        unsigned number;
        snprintf(name, sizeof name, "%.*s", (int)record->name_length, (const char *)record->name);
        if (sscanf(name, "history-%u", &number) == 1 && number < all->thread_count) {
            all->threads[number].session_number = record->number;
        }
    }
    if (record->type > HF_RECORD_EXPIRE) {
        return;
    }
    deed *d = deed_of(all, l, record);
    for (uint32_t i = 0; i < record->line_count; i++) {
        const hf_record_line *from = &record->lines[i];
        if (all->step_count == all->step_room) {
            all->step_room = all->step_room ? 2 * all->step_room : 1 << 16;
            all->steps = must(realloc(all->steps, all->step_room * sizeof *all->steps));
        }
        all->steps[all->step_count++] = (step){.version = from->version,
                                               .epoch = record->epoch,
                                               .quantity = from->quantity,
                                               .on_hand_change = from->on_hand_change,
                                               .reserved_change = from->reserved_change,
                                               .sku = sku_of(all, from),
                                               .deed = (uint32_t)(d - all->deeds),
                                               .give = record->parts & HF_PART_GIVE};
    }
    if (!(record->parts & HF_PART_OPEN)) {
        *open_of(l, record->session) = NOBODY;
    }
}

void history_load(history *all, const char *directory, uint64_t retention_ms) {
    hf_log *log;
    hf_record record;
    loading l = {0};
    int more;
    all->retention_ms = retention_ms;
    MUST(hf_log_open(directory, 0, &log));
    while ((more = hf_log_next(log, &record)) > 0) {
        take_record(all, &l, &record);
    }
    CHECK(more == 0, "hf_log_next answered %s", hf_error_name(more));
    for (size_t i = 0; i < l.room; i++) {
        CHECK(l.open[i] == NOBODY, "an operation of session %zu has no end", i);
    }
    hf_log_close(log);
    free(l.open);
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static int compare_sku_steps(const void *left, const void *right, void *context) {
    const history *all = context;
    const step *a = &all->steps[*(const uint32_t *)left], *b = &all->steps[*(const uint32_t *)right];
    return a->sku != b->sku ? (a->sku > b->sku) - (a->sku < b->sku)
                            : (a->version > b->version) - (a->version < b->version);
}

static int compare_deed_steps(const void *left, const void *right, void *context) {
    const history *all = context;
    uint32_t i = *(const uint32_t *)left, k = *(const uint32_t *)right;
    const step *a = &all->steps[i], *b = &all->steps[k];
    return a->deed != b->deed ? (a->deed > b->deed) - (a->deed < b->deed) : (i > k) - (i < k);
}

static int compare_ids(const void *left, const void *right, void *context) {
    const history *all = context;
    const deed *a = &all->deeds[*(const uint32_t *)left], *b = &all->deeds[*(const uint32_t *)right];
    int order = memcmp(&a->id, &b->id, sizeof a->id);
    return order ? order : (a->step > b->step) - (a->step < b->step);
}

static uint32_t *sorted(history *all, size_t count, int (*compare)(const void *, const void *, void *)) {
    uint32_t *index = must(malloc((count + 1) * sizeof *index));
    for (size_t i = 0; i < count; i++) {
        index[i] = (uint32_t)i;
    }
    qsort_r(index, count, sizeof *index, compare, all);
    return index;
}

/* Sorts everything into chains. What was given back decided nothing, and is in no id's. */
static void link_chains(history *all) {
    free_chains(all);
    all->by_sku = sorted(all, all->step_count, compare_sku_steps);
    all->by_deed = sorted(all, all->step_count, compare_deed_steps);
    all->by_id = sorted(all, all->deed_count, compare_ids);
    for (uint32_t i = 0; i < all->sku_count; i++) {
        all->skus[i].first = all->skus[i].count = 0;
    }
    for (size_t i = all->step_count; i-- > 0;) {
        sku_chain *chain = &all->skus[all->steps[all->by_sku[i]].sku];
        chain->first = (uint32_t)i;
        chain->count++;
    }
    for (size_t i = 0; i < all->deed_count; i++) {
        all->deeds[i].first_step = all->deeds[i].step_count = 0;
        all->deeds[i].event = NOBODY;
    }
    for (size_t i = all->step_count; i-- > 0;) {
        deed *d = &all->deeds[all->steps[all->by_deed[i]].deed];
        d->first_step = (uint32_t)i;
        d->step_count++;
    }
    size_t kept = 0;
    all->ids = must(calloc(all->deed_count + 1, sizeof *all->ids));
    for (size_t i = 0; i < all->deed_count; i++) {
        const deed *d = &all->deeds[all->by_id[i]];
        if (d->given_back) {
            continue;
        }
        if (all->id_count == 0 || memcmp(&all->ids[all->id_count - 1].id, &d->id, sizeof d->id) != 0) {
            all->ids[all->id_count++] = (id_chain){.id = d->id, .first = (uint32_t)kept};
        }
        all->by_id[kept++] = all->by_id[i];
        all->ids[all->id_count - 1].count++;
    }
}

static id_chain *chain_of(const history *all, hf_id id) {
    size_t low = 0, high = all->id_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = memcmp(&all->ids[middle].id, &id, sizeof id);
        if (order == 0) {
            return &all->ids[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* The i-th step of a SKU (its version i + 1), or deed of an id. */
static step *step_at(const history *all, const sku_chain *chain, uint64_t i) {
    return &all->steps[all->by_sku[chain->first + i]];
}
static deed *deed_at(const history *all, const id_chain *chain, uint32_t i) {
    return &all->deeds[all->by_id[chain->first + i]];
}
/* The i-th step of a deed. */
static const step *part_at(const history *all, const deed *d, uint32_t i) {
    return &all->steps[all->by_deed[d->first_step + i]];
}
static const event *event_of(const history *all, uint32_t number) {
    const history_thread *thread = &all->threads[number >> 26];
    return &thread->events[number & ((1u << 26) - 1)];
}
static uint32_t number_of(const history_thread *thread, const event *e) {
    return (uint32_t)thread->number << 26 | (uint32_t)(e - thread->events);
}

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool wrong(history *all, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(all->why, sizeof all->why, format, arguments);
    va_end(arguments);
    return false;
}

/* An event as text; lives until the next call. */
static const char *tell(const history *all, const event *e) {
    static char text[256];
    char id[33];
    hf_id_to_text(e->id, id);
    const char *kind = e->kind == READ_SKU  ? "read of a SKU"
                       : e->kind == READ_ID ? "read"
                                            : hf_op_text((hf_op_type)e->kind);
    snprintf(text, sizeof text,
             "thread %u, event %zu: %s of %s answered %s (%s) version %llu deadline %llu ticket %llu", e->thread,
             (size_t)(e - all->threads[e->thread].events), kind, id, hf_outcome_text((hf_outcome)e->outcome),
             hf_state_text((hf_state)e->state), U(e->version), U(e->deadline_ms), U(e->ticket));
    return text;
}

/* ---- A: SKUs ----------------------------------------------------------------------------------------------------- */

/* Whether the step was to be had of what there was before it. */
static bool may_step(const deed *d, const step *s, int64_t on_hand, int64_t reserved) {
    int64_t q = s->quantity, available = on_hand - reserved;
    if (s->give) {
        return true;
    }
    switch (d->type) {
    case HF_RECORD_ADJUST:
        return q >= 0 || available >= -q;
    case HF_RECORD_COUNT:
        return on_hand + s->on_hand_change == q;
    case HF_RECORD_PURCHASE:
    case HF_RECORD_RESERVE:
    case HF_RECORD_CONFIRM_LATE:
        return available >= q;
    case HF_RECORD_CONFIRM:
        return on_hand >= q && reserved >= q;
    case HF_RECORD_CANCEL:
    case HF_RECORD_EXPIRE:
        return reserved >= q;
    default:
        return true;
    }
}

static bool judge_sku(history *all, const sku_chain *chain) {
    int64_t on_hand = 0, reserved = 0;
    uint64_t epoch = 0;
    for (uint32_t i = 0; i < chain->count; i++) {
        step *s = step_at(all, chain, i);
        const deed *d = &all->deeds[s->deed];
        if (s->version != i + UINT64_C(1)) {
            return wrong(all, "SKU %s: version %llu in the log, expected %u", chain->name, U(s->version), i + 1);
        }
        if (s->epoch < epoch) {
            return wrong(all, "SKU %s: version %llu is of epoch %llu, the one before it of %llu", chain->name,
                         U(s->version), U(s->epoch), U(epoch));
        }
        if (!may_step(d, s, on_hand, reserved)) {
            return wrong(all, "SKU %s: %s of %lld makes version %llu of on_hand %lld reserved %lld", chain->name,
                         hf_record_text(d->type), (long long)s->quantity, U(s->version), (long long)on_hand,
                         (long long)reserved);
        }
        s->on_hand = on_hand += s->on_hand_change;
        s->reserved = reserved += s->reserved_change;
        epoch = s->epoch;
        if (on_hand < 0 || reserved < 0) {
            return wrong(all, "SKU %s: on_hand %lld reserved %lld at version %llu", chain->name, (long long)on_hand,
                         (long long)reserved, U(s->version));
        }
    }
    return true;
}

/* ---- B: owners --------------------------------------------------------------------------------------------------- */

static bool is_begin(const event *e) { return e->kind <= HF_OP_RESERVE; }
static bool has_deed(const event *e) {
    return e->kind < HF_OP_TYPE_END && (e->outcome == HF_OUTCOME_OK || e->outcome == HF_OUTCOME_CONFIRMED_LATE);
}

static hf_record_type type_of(const event *e) {
    return e->outcome == HF_OUTCOME_CONFIRMED_LATE ? HF_RECORD_CONFIRM_LATE : (hf_record_type)e->kind;
}

/* The version of a deed's last line; 0: it has none. */
static uint64_t last_version(const history *all, const deed *d) {
    return d->step_count > 0 ? part_at(all, d, d->step_count - 1)->version : 0;
}

static bool fits(const history *all, const event *e, const deed *d) {
    return d->event == NOBODY && d->type == type_of(e) && memcmp(&d->id, &e->id, sizeof d->id) == 0 && !d->given_back &&
           d->session == all->threads[e->thread].session_number && d->last_epoch == e->ticket &&
           last_version(all, d) == (e->kind == HF_OP_EXTEND ? 0 : e->version) &&
           (e->kind != HF_OP_EXTEND || d->deadline_ms == e->deadline_ms);
}

/* Epochs do not fall along a chain of an id (C), so those of the ticket's epoch stand together. */
static deed *find_deed(history *all, const event *e) {
    const id_chain *chain = chain_of(all, e->id);
    uint32_t low = 0, high = chain ? chain->count : 0, count = high;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        bool before = deed_at(all, chain, middle)->last_epoch < e->ticket;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    for (; low < count && deed_at(all, chain, low)->last_epoch == e->ticket; low++) {
        if (fits(all, e, deed_at(all, chain, low))) {
            return deed_at(all, chain, low);
        }
    }
    return NULL;
}

static bool judge_lines(history *all, const event *e, const deed *d) {
    const line *asked = &all->threads[e->thread].lines[e->first_line];
    if (e->line_count != d->step_count) {
        return wrong(all, "%s: %u lines were asked for, %u are logged", tell(all, e), e->line_count, d->step_count);
    }
    for (uint32_t i = 0; i < e->line_count; i++) {
        const step *s = part_at(all, d, i);
        if (s->sku != asked[i].sku || s->quantity != asked[i].quantity) {
            return wrong(all, "%s: line %u is not what is logged", tell(all, e), i);
        }
    }
    return true;
}

/* A deed of what was answered: with its lines, its time, its deadline. */
static bool own_deed(history *all, history_thread *thread, event *e) {
    deed *d = find_deed(all, e);
    if (!d) {
        return wrong(all, "%s: no operation in the log is this one", tell(all, e));
    }
    d->event = number_of(thread, e);
    e->deed = (uint32_t)(d - all->deeds);
    if (d->time_ms < e->clock_before || d->time_ms > e->clock_after) {
        return wrong(all, "%s: its time is %llu, the clock stood from %llu to %llu", tell(all, e), U(d->time_ms),
                     U(e->clock_before), U(e->clock_after));
    }
    bool lasts = e->kind == HF_OP_RESERVE || e->kind == HF_OP_EXTEND;
    if (lasts && (d->deadline_ms != d->time_ms + e->ttl_ms || e->deadline_ms != d->deadline_ms)) {
        return wrong(all, "%s: its deadline is logged as %llu", tell(all, e), U(d->deadline_ms));
    }
    return !is_begin(e) || judge_lines(all, e, d);
}

/* Whether a stock count lies between the two steps. */
static bool counted_between(const history *all, const step *took, const step *gave) {
    const sku_chain *chain = &all->skus[took->sku];
    for (uint64_t version = took->version + 1; version < gave->version; version++) {
        if (all->deeds[step_at(all, chain, version - 1)->deed].type == HF_RECORD_COUNT) {
            return true;
        }
    }
    return false;
}

/* What was taken, and then given back, in the same order; but to on_hand nothing if that was counted meanwhile. */
static bool judge_give_back(history *all, const deed *d) {
    uint32_t half = d->step_count / 2;
    for (uint32_t i = 0; i < half; i++) {
        const step *took = part_at(all, d, i), *gave = part_at(all, d, half + i);
        if (took->give || !gave->give || took->sku != gave->sku || took->quantity != gave->quantity) {
            return wrong(all, "a %s that was refused does not give back what it took", hf_record_text(d->type));
        }
        if (gave->reserved_change != -took->reserved_change ||
            gave->on_hand_change != (counted_between(all, took, gave) ? 0 : -took->on_hand_change)) {
            return wrong(all, "a %s that was refused took on_hand %lld reserved %lld at version %llu and gave %lld %lld at %llu",
                         hf_record_text(d->type), (long long)took->on_hand_change, (long long)took->reserved_change,
                         U(took->version), (long long)gave->on_hand_change, (long long)gave->reserved_change, U(gave->version));
        }
    }
    return d->step_count % 2 == 0 || wrong(all, "a %s that was refused keeps a line", hf_record_text(d->type));
}

static bool judge_owners(history *all) {
    for (unsigned t = 0; t < all->thread_count; t++) {
        history_thread *thread = &all->threads[t];
        for (size_t i = 0; i < thread->count; i++) {
            if (has_deed(&thread->events[i]) && !own_deed(all, thread, &thread->events[i])) {
                return false;
            }
        }
    }
    for (size_t i = 0; i < all->deed_count; i++) {
        const deed *d = &all->deeds[i];
        if (d->given_back ? !judge_give_back(all, d) : d->type != HF_RECORD_EXPIRE && d->event == NOBODY) {
            return d->given_back ? false
                                 : wrong(all, "the log has a %s of session %u in epoch %llu that nobody was answered",
                                         hf_record_text(d->type), d->session, U(d->last_epoch));
        }
    }
    return true;
}

/* ---- C: ids ------------------------------------------------------------------------------------------------------ */

static bool begins(const deed *d) { return d->type <= HF_RECORD_RESERVE; }

static hf_state state_after(const deed *d) {
    switch (d->type) {
    case HF_RECORD_RESERVE:
    case HF_RECORD_EXTEND:
        return HF_STATE_LIVE;
    case HF_RECORD_CANCEL:
        return HF_STATE_CANCELLED;
    case HF_RECORD_EXPIRE:
        return HF_STATE_EXPIRED;
    case HF_RECORD_RECEIVE:
    case HF_RECORD_ADJUST:
    case HF_RECORD_COUNT:
        return HF_STATE_APPLIED;
    default:
        return HF_STATE_CONFIRMED;
    }
}

/* Whether deed `d` may follow on `before` (NULL: it is the first), while a live one's deadline is `deadline_ms`. */
static bool may_follow(history *all, const deed *before, const deed *d, uint64_t deadline_ms) {
    hf_state state = before ? state_after(before) : HF_STATE_UNKNOWN;
    if (before && (d->step <= before->step || d->first_epoch < before->last_epoch)) {
        return wrong(all, "step %llu in epoch %llu comes behind step %llu in epoch %llu", U(d->step), U(d->first_epoch),
                     U(before->step), U(before->last_epoch));
    }
    if (begins(d)) { /* an earlier life was over, and forgotten */
        const event *e = d->event == NOBODY ? NULL : event_of(all, d->event);
        bool over = !before || (state != HF_STATE_LIVE && e && before->time_ms + all->retention_ms <= e->clock_after);
        return over || wrong(all, "a life begins before the one before was to be forgotten");
    }
    bool wants_live = d->type != HF_RECORD_CONFIRM_LATE;
    if (state != (wants_live ? HF_STATE_LIVE : HF_STATE_EXPIRED)) {
        return wrong(all, "a %s of what is %s", hf_record_text(d->type), hf_state_text(state));
    }
    bool in_time = !wants_live || (d->type == HF_RECORD_EXPIRE ? d->time_ms >= deadline_ms : d->time_ms < deadline_ms);
    return in_time ||
           wrong(all, "a %s at %llu, the deadline is %llu", hf_record_text(d->type), U(d->time_ms), U(deadline_ms));
}

static bool judge_id(history *all, const id_chain *chain) {
    uint64_t deadline_ms = 0;
    char what[sizeof all->why], id[33];
    for (uint32_t i = 0; i < chain->count; i++) {
        const deed *d = deed_at(all, chain, i);
        if (!may_follow(all, i ? deed_at(all, chain, i - 1) : NULL, d, deadline_ms)) {
            snprintf(what, sizeof what, "%s", all->why);
            hf_id_to_text(chain->id, id);
            return wrong(all, "id %s, operation %u: %s", id, i, what);
        }
        deadline_ms = d->deadline_ms ? d->deadline_ms : deadline_ms;
    }
    return true;
}

/* ---- E: real time ------------------------------------------------------------------------------------------------ */

/* When the clock was first about to be set to `ms` or beyond. */
static uint64_t earliest(const history *all, uint64_t ms) {
    size_t low = 0, high = all->tick_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        bool before = all->ticks[middle].clock_ms < ms;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    return low < all->tick_count ? all->ticks[low].before : UINT64_MAX;
}

/* When a deed happened. Of expiries and give-backs it is only known what the clock says. */
static uint64_t called_of(const history *all, const deed *d) {
    return d->event != NOBODY            ? event_of(all, d->event)->called
           : d->type == HF_RECORD_EXPIRE ? earliest(all, d->time_ms)
                                         : 0;
}
static uint64_t returned_of(const history *all, const deed *d) {
    return d->event != NOBODY ? event_of(all, d->event)->returned : UINT64_MAX;
}

static void make_windows(windows *times, uint32_t count) {
    free_windows(times);
    times->low = must(calloc(count + 1, sizeof *times->low));
    times->high = must(calloc(count + 1, sizeof *times->high));
    times->high[count] = UINT64_MAX;
}

/* low[i]: the latest call of the first i links; high[i]: the earliest return from the i-th on. */
static bool line_up(windows *times, uint32_t count, const deed *(*link)(const history *, const void *, uint32_t),
                    const history *all, const void *chain, uint32_t *bad) {
    make_windows(times, count);
    for (uint32_t i = count; i-- > 0;) {
        uint64_t returned = returned_of(all, link(all, chain, i));
        times->high[i] = returned < times->high[i + 1] ? returned : times->high[i + 1];
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t called = called_of(all, link(all, chain, i));
        times->low[i + 1] = called > times->low[i] ? called : times->low[i];
        if (times->low[i + 1] > times->high[i]) {
            *bad = i;
            return false;
        }
    }
    return true;
}

static const deed *sku_link(const history *all, const void *chain, uint32_t i) {
    return &all->deeds[step_at(all, chain, i)->deed];
}
static const deed *id_link(const history *all, const void *chain, uint32_t i) { return deed_at(all, chain, i); }

static bool judge_time(history *all) {
    uint32_t bad;
    for (uint32_t i = 0; i < all->sku_count; i++) {
        if (!line_up(&all->skus[i].times, all->skus[i].count, sku_link, all, &all->skus[i], &bad)) {
            return wrong(all, "SKU %s: version %u was made before what had returned before it was called",
                         all->skus[i].name, bad + 1);
        }
    }
    for (size_t i = 0; i < all->id_count; i++) {
        if (!line_up(&all->ids[i].times, all->ids[i].count, id_link, all, &all->ids[i], &bad)) {
            char id[33];
            hf_id_to_text(all->ids[i].id, id);
            return wrong(all, "id %s: operation %u comes before what had returned before it was called", id, bad);
        }
    }
    return true;
}

/* Whether an event can tell of the chain as it was behind its first `place` links. */
static bool in_time(const windows *times, uint64_t place, const event *e) {
    return times->low[place] <= e->returned && e->called <= times->high[place];
}

/* ---- D: answers that changed nothing ----------------------------------------------------------------------------- */

/* What a SKU was at a version that an event tells of: right by time, and its ticket covers it. */
static const step *told_version(history *all, const event *e, uint32_t sku) {
    const sku_chain *chain = &all->skus[sku];
    if (e->version == 0 || e->version > chain->count) {
        wrong(all, "%s: SKU %s has versions 1 to %u", tell(all, e), chain->name, chain->count);
        return NULL;
    }
    const step *s = step_at(all, chain, e->version - 1);
    if (!in_time(&chain->times, e->version, e)) {
        wrong(all, "%s: SKU %s was not at that version then", tell(all, e), chain->name);
        return NULL;
    }
    if (e->ticket < s->epoch) {
        wrong(all, "%s: that version is of epoch %llu", tell(all, e), U(s->epoch));
        return NULL;
    }
    return s;
}

static bool judge_read_sku(history *all, const event *e) {
    const step *s = told_version(all, e, all->threads[e->thread].lines[e->first_line].sku);
    return s && ((s->on_hand == e->on_hand && s->reserved == e->reserved) ||
                 wrong(all, "%s: on_hand %lld reserved %lld, at that version %lld %lld", tell(all, e),
                       (long long)e->on_hand, (long long)e->reserved, (long long)s->on_hand, (long long)s->reserved));
}

static bool judge_refusal(history *all, const event *e) {
    const line *l =
        &all->threads[e->thread].lines[e->first_line + (e->outcome == HF_OUTCOME_OUT_OF_STOCK ? e->refused_line : 0)];
    if (e->outcome == HF_OUTCOME_UNKNOWN_SKU) { /* no step of it had returned */
        l = &all->threads[e->thread].lines[e->first_line + e->refused_line];
        return in_time(&all->skus[l->sku].times, 0, e) ||
               wrong(all, "%s: SKU %s is known", tell(all, e), all->skus[l->sku].name);
    }
    if (e->outcome == HF_OUTCOME_VERSION_MISMATCH && e->version == 0) { /* it did not exist */
        return in_time(&all->skus[l->sku].times, 0, e) ||
               wrong(all, "%s: SKU %s has a version", tell(all, e), all->skus[l->sku].name);
    }
    const step *s = told_version(all, e, l->sku);
    if (!s) {
        return false;
    }
    if (e->outcome == HF_OUTCOME_VERSION_MISMATCH) {
        return (e->if_version && e->if_version != e->version) ||
               wrong(all, "%s: version %llu was asked for", tell(all, e), U(e->if_version));
    }
    int64_t wanted = e->kind == HF_OP_ADJUST ? -l->quantity : l->quantity;
    return s->on_hand - s->reserved < wanted || wrong(all, "%s: %lld were wanted of %lld available", tell(all, e),
                                                      (long long)wanted, (long long)(s->on_hand - s->reserved));
}

/* The begin of the life that the deed before `place` is of. */
static const deed *life_of(const history *all, const id_chain *chain, uint32_t place) {
    while (place > 0 && !begins(deed_at(all, chain, place - 1))) {
        place--;
    }
    return place > 0 ? deed_at(all, chain, place - 1) : NULL;
}

static uint64_t deadline_at(const history *all, const id_chain *chain, uint32_t place) {
    for (; place > 0; place--) {
        const deed *d = deed_at(all, chain, place - 1);
        if (d->deadline_ms || begins(d)) {
            return d->deadline_ms;
        }
    }
    return 0;
}

/* A confirm's out_of_stock: of the line it names there were too few. */
static bool confirm_was_short(history *all, const event *e, const id_chain *chain, uint32_t place) {
    const deed *life = life_of(all, chain, place);
    if (!life || e->refused_line >= life->step_count) {
        return false;
    }
    const step *l = part_at(all, life, e->refused_line), *s = told_version(all, e, l->sku);
    return s && (e->state == HF_STATE_LIVE ? s->on_hand : s->on_hand - s->reserved) < l->quantity;
}

/* Whether an answer about an id is true of it behind the first `place` deeds of its chain. */
static bool is_true_at(history *all, const event *e, const id_chain *chain, uint32_t place) {
    const deed *last = place > 0 ? deed_at(all, chain, place - 1) : NULL;
    hf_state state = last ? state_after(last) : HF_STATE_UNKNOWN;
    bool ended = last && state != HF_STATE_LIVE;
    bool may_be_forgotten = ended && last->time_ms + all->retention_ms <= e->clock_after;
    bool too_late = state == HF_STATE_LIVE && deadline_at(all, chain, place) <= e->clock_before;
    bool same = state == (hf_state)e->state && !too_late && last && e->ticket >= last->last_epoch;
    const deed *life = life_of(all, chain, place);
    switch (e->outcome) {
    case HF_OUTCOME_DUPLICATE:
        if (!life || last_version(all, life) != e->version || e->ticket < life->last_epoch) {
            return false;
        }
        if (e->kind == READ_ID) {
            return same && e->deadline_ms == (state == HF_STATE_LIVE ? deadline_at(all, chain, place) : last->time_ms);
        }
        return life->deadline_ms == e->deadline_ms && (same || e->state == HF_STATE_UNDECIDED);
    case HF_OUTCOME_ALREADY:
        return same && (e->kind == HF_OP_CONFIRM ? state == HF_STATE_CONFIRMED
                                                 : state == HF_STATE_CANCELLED || state == HF_STATE_EXPIRED);
    case HF_OUTCOME_CONFLICT:
        return same && (e->kind == HF_OP_CONFIRM  ? state == HF_STATE_CANCELLED
                        : e->kind == HF_OP_CANCEL ? state == HF_STATE_CONFIRMED
                                                  : ended && state != HF_STATE_APPLIED);
    case HF_OUTCOME_NOT_FOUND:
        return e->state == HF_STATE_UNKNOWN ? state == HF_STATE_UNKNOWN || may_be_forgotten
                                            : same && state == HF_STATE_APPLIED;
    default: /* refused */
        return is_begin(e) ? state == HF_STATE_UNKNOWN || may_be_forgotten
                           : same && (state == HF_STATE_LIVE || state == HF_STATE_EXPIRED) &&
                                 confirm_was_short(all, e, chain, place);
    }
}

/* A few operations of an id, from the one before `place` on, as text; lives until the next call. */
static const char *tell_chain(const history *all, const id_chain *chain, uint32_t place) {
    static char text[320];
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = place > 0 ? place - 1 : 0; i < chain->count && i < place + 2; i++) {
        const deed *d = deed_at(all, chain, i);
        int length = snprintf(text + used, sizeof text - used, "%s at %llu until %llu, version %llu, epoch %llu; ",
                              hf_record_text(d->type), U(d->time_ms), U(d->deadline_ms), U(last_version(all, d)),
                              U(d->last_epoch));
        used += length > 0 && used + (size_t)length < sizeof text ? (size_t)length : 0;
    }
    return text;
}

/* An answer about an id: true of some place in its chain, at a time within the call. */
static bool judge_about_id(history *all, const event *e) {
    static const id_chain nothing;
    static uint64_t zero[1], ever[1] = {UINT64_MAX};
    const id_chain *chain = chain_of(all, e->id);
    const windows *times = chain ? &chain->times : &(windows){zero, ever};
    uint32_t count = chain ? chain->count : 0, from = 0, to = count;
    chain = chain ? chain : &nothing;
    while (from < to) { /* the first place whose high is not below the call */
        uint32_t middle = (from + to) / 2;
        bool early = times->high[middle] < e->called;
        from = early ? middle + 1 : from;
        to = early ? to : middle;
    }
    all->why[0] = 0;
    for (uint32_t place = from; place <= count && times->low[place] <= e->returned; place++) {
        if (in_time(times, place, e) && is_true_at(all, e, chain, place)) {
            return true;
        }
    }
    return wrong(all, "%s, the clock at %llu: the id was never so then: %s", tell(all, e), U(e->clock_before),
                 tell_chain(all, chain, from));
}

static bool judge_answer(history *all, const event *e) {
    if (e->kind == READ_SKU) {
        return judge_read_sku(all, e);
    }
    if (has_deed(e) || e->outcome == HF_OUTCOME_IN_PROGRESS) {
        return true;
    }
    bool refused = is_begin(e) && e->outcome != HF_OUTCOME_DUPLICATE;
    return (!refused || judge_refusal(all, e)) && judge_about_id(all, e);
}

static bool judge_answers(history *all) {
    for (unsigned t = 0; t < all->thread_count; t++) {
        for (size_t i = 0; i < all->threads[t].count; i++) {
            if (!judge_answer(all, &all->threads[t].events[i])) {
                return false;
            }
        }
    }
    return true;
}

/* ---- F: exact expiry --------------------------------------------------------------------------------------------- */

typedef struct holder {
    uint32_t begun; /* deed */
    uint64_t deadline_ms;
    uint64_t settled; /* ns: what had been asked of it had returned */
} holder;

/* The refusals of a SKU by version: an event's number for each, sorted. */
typedef struct refusal {
    uint64_t version;
    const event *event;
} refusal;

static int compare_refusals(const void *left, const void *right) {
    const refusal *a = left, *b = right;
    return (a->version > b->version) - (a->version < b->version);
}

static size_t refusals_of(const history *all, uint32_t sku, refusal **found) {
    size_t count = 0, room = 1024;
    *found = must(malloc(room * sizeof **found));
    for (unsigned t = 0; t < all->thread_count; t++) {
        const history_thread *thread = &all->threads[t];
        for (size_t i = 0; i < thread->count; i++) {
            const event *e = &thread->events[i];
            if (!is_begin(e) || e->outcome != HF_OUTCOME_OUT_OF_STOCK ||
                thread->lines[e->first_line + e->refused_line].sku != sku) {
                continue;
            }
            if (count == room) {
                room *= 2;
                *found = must(realloc(*found, room * sizeof **found));
            }
            (*found)[count++] = (refusal){e->version, e};
        }
    }
    qsort(*found, count, sizeof **found, compare_refusals);
    return count;
}

/* The place of a deed in its chain, whose steps grow (C). */
static uint32_t place_of(const history *all, const id_chain *chain, const deed *d) {
    uint32_t low = 0, high = chain->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        bool before = deed_at(all, chain, middle)->step < d->step;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    return low;
}

/* Of a reservation that was left to expire: its last deadline, and when its last operation had returned. false: it was
 * not. */
static bool was_left(const history *all, const deed *begun, holder *h) {
    const id_chain *chain = chain_of(all, begun->id);
    *h = (holder){(uint32_t)(begun - all->deeds), 0, 0};
    for (uint32_t i = place_of(all, chain, begun); i < chain->count; i++) {
        const deed *d = deed_at(all, chain, i);
        if (d->type == HF_RECORD_EXPIRE) {
            return true;
        }
        if (d != begun && d->type != HF_RECORD_EXTEND) {
            return false;
        }
        uint64_t returned = returned_of(all, d);
        h->deadline_ms = d->deadline_ms;
        h->settled = returned > h->settled ? returned : h->settled;
    }
    return false;
}

typedef struct holders {
    holder *items;
    size_t count, room;
} holders;

static void follow_holders(const history *all, holders *held, const step *s) {
    const deed *d = &all->deeds[s->deed];
    holder h;
    if (d->type == HF_RECORD_RESERVE && !d->given_back && was_left(all, d, &h)) {
        if (held->count == held->room) {
            held->room = held->room ? 2 * held->room : 64;
            held->items = must(realloc(held->items, held->room * sizeof *held->items));
        }
        held->items[held->count++] = h;
    }
    for (size_t i = 0; d->type == HF_RECORD_EXPIRE && i < held->count; i++) {
        if (memcmp(&all->deeds[held->items[i].begun].id, &d->id, sizeof d->id) == 0) {
            held->items[i] = held->items[--held->count];
            return;
        }
    }
}

static bool judge_overdue(history *all, const refusal *r, const holders *held) {
    for (size_t i = 0; i < held->count; i++) {
        const holder *h = &held->items[i];
        if (h->deadline_ms <= r->event->clock_before && h->settled < r->event->called) {
            return wrong(all, "%s: a reservation holds units of it whose deadline was %llu, the clock stood at %llu",
                         tell(all, r->event), U(h->deadline_ms), U(r->event->clock_before));
        }
    }
    return true;
}

static bool judge_expiry(history *all) {
    bool good = true;
    for (uint32_t sku = 0; sku < all->sku_count && good; sku++) {
        const sku_chain *chain = &all->skus[sku];
        refusal *refused;
        holders held = {0};
        size_t count = refusals_of(all, sku, &refused), at = 0;
        for (uint32_t i = 0; i < chain->count && good; i++) {
            follow_holders(all, &held, step_at(all, chain, i));
            for (; at < count && refused[at].version == i + 1 && good; at++) {
                good = judge_overdue(all, &refused[at], &held);
            }
        }
        free(held.items);
        free(refused);
    }
    return good;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

const char *history_judge(history *all) {
    link_chains(all);
    bool good = true;
    for (uint32_t i = 0; i < all->sku_count && good; i++) {
        good = judge_sku(all, &all->skus[i]);
    }
    good = good && judge_owners(all);
    for (size_t i = 0; i < all->id_count && good; i++) {
        good = judge_id(all, &all->ids[i]);
    }
    good = good && judge_time(all) && judge_answers(all) && judge_expiry(all);
    return good ? NULL : all->why;
}

void history_count(const history *all, history_figures *figures) {
    *figures = (history_figures){.steps = all->step_count, .deeds = all->deed_count, .ids = all->id_count};
    for (unsigned t = 0; t < all->thread_count; t++) {
        figures->events += all->threads[t].count;
        for (size_t i = 0; i < all->threads[t].count; i++) {
            const event *e = &all->threads[t].events[i];
            figures->outcomes[e->outcome] += e->kind < HF_OP_TYPE_END;
        }
    }
    for (size_t i = 0; i < all->deed_count; i++) {
        const deed *d = &all->deeds[i];
        figures->expiries += d->type == HF_RECORD_EXPIRE;
        figures->given_back += d->given_back;
        figures->straddled += d->first_epoch != d->last_epoch;
        figures->lives += begins(d) && !d->given_back;
    }
}

/* ---- spoiling ---------------------------------------------------------------------------------------------------- */

/* What a way of spoiling may pick: all of one kind, by chance. */
static event *any_event(history *all, uint64_t *random) {
    history_thread *thread = &all->threads[harness_below(random, all->thread_count)];
    return thread->count ? &thread->events[harness_below(random, thread->count)] : NULL;
}
static step *any_step(history *all, uint64_t *random) { return &all->steps[harness_below(random, all->step_count)]; }
static deed *any_deed(history *all, uint64_t *random) { return &all->deeds[harness_below(random, all->deed_count)]; }

static event *spoil_event(history *all, event *e) {
    all->spoilt_event = e;
    all->saved_event = *e;
    return e;
}
static step *spoil_step(history *all, step *s) {
    all->spoilt_step = s;
    all->saved_step = *s;
    return s;
}
static deed *spoil_deed(history *all, deed *d) {
    all->spoilt_deed = d;
    all->saved_deed = *d;
    return d;
}

static bool is_steady(history *all, const event *e) { /* only one state of the id fits by time */
    const id_chain *chain = chain_of(all, e->id);
    unsigned places = 0;
    for (uint32_t i = 0; chain && i <= chain->count; i++) {
        places += in_time(&chain->times, i, e);
    }
    return places == 1;
}

static uint64_t deadline_before(const history *all, const deed *d) {
    const id_chain *chain = chain_of(all, d->id);
    return deadline_at(all, chain, place_of(all, chain, d));
}

/* Each tries once, by chance; true: it did. */
static bool spoil_version(history *all, uint64_t *random) {
    step *s = any_step(all, random);
    spoil_step(all, s)->version++;
    return true;
}
static bool spoil_quantity(history *all, uint64_t *random) {
    step *s = any_step(all, random);
    const deed *d = &all->deeds[s->deed];
    return begins(d) && d->type != HF_RECORD_COUNT && !s->give && (spoil_step(all, s)->quantity++, true);
}
static bool spoil_give(history *all, uint64_t *random) {
    step *s = any_step(all, random);
    return s->give && (spoil_step(all, s)->quantity++, true);
}
static bool spoil_given(history *all, uint64_t *random) {
    step *s = any_step(all, random);
    return s->give && s->on_hand_change != 0 && (spoil_step(all, s)->on_hand_change++, true);
}
static bool spoil_epoch(history *all, uint64_t *random) {
    step *s = any_step(all, random);
    return s->version > 1 && (spoil_step(all, s)->epoch = 0, true);
}
static bool spoil_order(history *all, uint64_t *random) { /* called once the owner of the next version had returned */
    event *e = any_event(all, random);
    if (!e || !has_deed(e) || e->kind == HF_OP_EXTEND) {
        return false;
    }
    const step *s = part_at(all, &all->deeds[e->deed], 0);
    const sku_chain *chain = &all->skus[s->sku];
    const deed *next = s->version < chain->count ? &all->deeds[step_at(all, chain, s->version)->deed] : NULL;
    if (!next || next->event == NOBODY || next->event == number_of(&all->threads[e->thread], e)) {
        return false;
    }
    spoil_event(all, e)->called = event_of(all, next->event)->returned + 1;
    e->returned = e->called + 1;
    return true;
}
static bool spoil_answer(history *all, uint64_t *random) { /* ok, of what was refused */
    event *e = any_event(all, random);
    return e && is_begin(e) && e->outcome == HF_OUTCOME_OUT_OF_STOCK &&
           (spoil_event(all, e)->outcome = HF_OUTCOME_OK, true);
}
static bool spoil_owner(history *all, uint64_t *random) { /* in_progress, of what was done */
    event *e = any_event(all, random);
    return e && has_deed(e) && (spoil_event(all, e)->outcome = HF_OUTCOME_IN_PROGRESS, true);
}
static bool spoil_pair(history *all, uint64_t *random) { /* two answers bear each other's versions */
    event *e = any_event(all, random), *f = any_event(all, random);
    if (!e || !f || !has_deed(e) || !has_deed(f) || e->version == f->version || e->kind == HF_OP_EXTEND ||
        f->kind == HF_OP_EXTEND) {
        return false;
    }
    all->second_event = f;
    all->saved_second = *f;
    spoil_event(all, e)->version = f->version;
    f->version = all->saved_event.version;
    return true;
}
static bool spoil_refusal(history *all, uint64_t *random) { /* of a version that had enough */
    event *e = any_event(all, random);
    if (!e || !is_begin(e) || e->outcome != HF_OUTCOME_OUT_OF_STOCK || e->kind == HF_OP_ADJUST) {
        return false;
    }
    const line *l = &all->threads[e->thread].lines[e->first_line + e->refused_line];
    const step *s = step_at(all, &all->skus[l->sku], harness_below(random, all->skus[l->sku].count));
    return s->on_hand - s->reserved >= l->quantity && (spoil_event(all, e)->version = s->version, true);
}
static bool spoil_late_confirm(history *all, uint64_t *random) { /* as live, at its deadline */
    deed *d = any_deed(all, random);
    return d->type == HF_RECORD_CONFIRM && !d->given_back &&
           (spoil_deed(all, d)->time_ms = deadline_before(all, d), d->time_ms != all->saved_deed.time_ms);
}
static bool spoil_early_expiry(history *all, uint64_t *random) {
    deed *d = any_deed(all, random);
    return d->type == HF_RECORD_EXPIRE && (spoil_deed(all, d)->time_ms = deadline_before(all, d) - 1, true);
}
static bool spoil_step_order(history *all, uint64_t *random) { /* two operations of an id with one step */
    deed *d = any_deed(all, random);
    const id_chain *chain = d->given_back ? NULL : chain_of(all, d->id);
    uint32_t place = chain ? place_of(all, chain, d) : 0;
    return place > 0 && (spoil_deed(all, d)->step = deed_at(all, chain, place - 1)->step, true);
}
static bool spoil_ending(history *all, uint64_t *random) { /* it was ended before, too */
    deed *d = any_deed(all, random);
    return d->type == HF_RECORD_EXTEND && (spoil_deed(all, d)->type = HF_RECORD_EXPIRE, true);
}
static bool spoil_facts(history *all, uint64_t *random) {
    event *e = any_event(all, random);
    return e && is_begin(e) && e->outcome == HF_OUTCOME_DUPLICATE && (spoil_event(all, e)->version++, true);
}
static bool spoil_state(history *all, uint64_t *random) {
    event *e = any_event(all, random);
    return e && e->outcome == HF_OUTCOME_ALREADY && e->kind == HF_OP_CANCEL && is_steady(all, e) &&
           (spoil_event(all, e)->state = e->state == HF_STATE_EXPIRED ? HF_STATE_CANCELLED : HF_STATE_EXPIRED, true);
}
static bool spoil_known(history *all, uint64_t *random) { /* not_found, of what is remembered */
    event *e = any_event(all, random);
    const id_chain *chain = e && e->outcome == HF_OUTCOME_ALREADY && is_steady(all, e) ? chain_of(all, e->id) : NULL;
    uint32_t place = 0;
    while (chain && !in_time(&chain->times, place, e)) {
        place++;
    }
    if (!chain || deed_at(all, chain, place - 1)->time_ms + all->retention_ms <= e->clock_before) {
        return false;
    }
    spoil_event(all, e)->outcome = HF_OUTCOME_NOT_FOUND;
    e->state = HF_STATE_UNKNOWN;
    e->clock_after = e->clock_before;
    return true;
}
static bool spoil_ticket(history *all, uint64_t *random) {
    event *e = any_event(all, random);
    return e && (e->kind == READ_SKU || e->outcome == HF_OUTCOME_DUPLICATE) && (spoil_event(all, e)->ticket = 0, true);
}
static bool spoil_read(history *all, uint64_t *random) {
    event *e = any_event(all, random);
    return e && e->kind == READ_SKU && (spoil_event(all, e)->reserved++, true);
}
static bool spoil_expiry(history *all, uint64_t *random) { /* out_of_stock over overdue units */
    event *e = any_event(all, random);
    if (!e || !is_begin(e) || e->outcome != HF_OUTCOME_OUT_OF_STOCK) {
        return false;
    }
    const sku_chain *chain = &all->skus[all->threads[e->thread].lines[e->first_line + e->refused_line].sku];
    for (uint64_t i = e->version; i < chain->count && i < e->version + 50; i++) {
        const deed *d = &all->deeds[step_at(all, chain, i)->deed];
        holder h;
        if (d->type != HF_RECORD_EXPIRE) {
            continue;
        }
        const id_chain *ids = chain_of(all, d->id);
        const deed *begun = life_of(all, ids, place_of(all, ids, d));
        uint64_t from = part_at(all, begun, 0)->version;
        if (begun->step_count == 1 && from <= e->version && was_left(all, begun, &h) && h.settled < e->called) {
            spoil_event(all, e)->clock_before = h.deadline_ms;
            return true;
        }
    }
    return false;
}
static bool spoil_memory(history *all, uint64_t *random) { /* a second life, too early */
    event *e = any_event(all, random);
    if (!e || !is_begin(e) || !has_deed(e)) {
        return false;
    }
    const id_chain *chain = chain_of(all, e->id);
    uint32_t place = place_of(all, chain, &all->deeds[e->deed]);
    if (place == 0) {
        return false;
    }
    spoil_event(all, e)->clock_after = deed_at(all, chain, place - 1)->time_ms + all->retention_ms - 1;
    return true;
}

static const struct {
    const char *name;
    bool (*spoil)(history *all, uint64_t *random);
} ways[] = {
    {"a version is there twice and one is missing", spoil_version},
    {"more was taken than asked for", spoil_quantity},
    {"more was given back than taken", spoil_give},
    {"to on_hand more was given back than taken", spoil_given},
    {"a step of an epoch before the step before", spoil_epoch},
    {"called after a later version's owner had returned", spoil_order},
    {"ok, of what is not in the log", spoil_answer},
    {"in the log, and nobody was answered", spoil_owner},
    {"two answers with each other's versions", spoil_pair},
    {"out_of_stock of a version that had enough", spoil_refusal},
    {"confirmed as live at the deadline", spoil_late_confirm},
    {"expired before the deadline", spoil_early_expiry},
    {"two operations of an id with one step", spoil_step_order},
    {"ended twice", spoil_ending},
    {"a duplicate with other facts", spoil_facts},
    {"already something else", spoil_state},
    {"not found, and remembered", spoil_known},
    {"a ticket below what it tells of", spoil_ticket},
    {"a read of numbers that never were", spoil_read},
    {"out_of_stock over units that were due", spoil_expiry},
    {"a second life before the first was forgotten", spoil_memory},
};

bool history_spoil(history *all, unsigned number, uint64_t *random, const char **name) {
    *name = NULL;
    if (number >= sizeof ways / sizeof ways[0]) {
        return false;
    }
    *name = ways[number].name;
    for (unsigned tries = 0; tries < 1000000; tries++) {
        if (ways[number].spoil(all, random)) {
            return true;
        }
        history_mend(all);
    }
    return false;
}

void history_mend(history *all) {
    if (all->second_event) {
        *all->second_event = all->saved_second;
    }
    if (all->spoilt_event) {
        *all->spoilt_event = all->saved_event;
    }
    if (all->spoilt_step) {
        *all->spoilt_step = all->saved_step;
    }
    if (all->spoilt_deed) {
        *all->spoilt_deed = all->saved_deed;
    }
    all->second_event = all->spoilt_event = NULL;
    all->spoilt_step = NULL;
    all->spoilt_deed = NULL;
}
