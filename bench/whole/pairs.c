/* Pairs: throughput of reserve + confirm (or cancel, or expire) by sessions at full speed.
 *
 * Each thread keeps its part of the live reservations in a table. A pair picks a place at random, ends the reservation
 * that is there, and makes one of a SKU picked at random in its place, so the live set stays as large as it is.
 *
 *     settings of support/shop.h, and
 *     threads=N live=N zipf=EXPONENT lines=N (of a reservation)
 *     by=handle | name     how lines say their SKU
 *     batch=N              operations of one hf_submit, half of them reserves; 0: single calls
 *     end=confirm | cancel | mixed (7 of 10 confirmed, 2 cancelled, 1 left to expire) | expire (all of them)
 *     ttl=MS               of reservations that are left to expire
 *     in_flight=N          operations of a thread that may be answered and not yet durable: then only durable ones are
 *                          counted; 0: each is counted when it is answered
 *     warm=S               seconds before each turn's clock runs
 */
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/flights.h"
#include "../support/picks.h"
#include "../support/shop.h"
#include "../support/turns.h"

enum { MOST_LINES = 64, OPERATIONS_A_LOOK = 256 };
enum end { CONFIRM, CANCEL, MIXED, EXPIRE };

static struct plan {
    shop shop;
    unsigned threads, lines, batch;
    uint64_t live; /* of a thread */
    double zipf, warm;
    bool by_name;
    enum end end;
    uint64_t ttl_ms, in_flight;
} plan;

typedef struct worker {
    hf_session *session;
    picks picks;
    uint64_t *table; /* numbers of the live reservations' ids */
    uint64_t next;
    uint32_t kind;
    uint64_t issued, retries, refused; /* in this turn, warming up included */
    flights flights;
    char names[MOST_LINES][SHOP_NAME];
    /* a batch: */
    hf_op operations[OPERATIONS_A_LOOK];
    hf_reply replies[OPERATIONS_A_LOOK];
    hf_line lines[OPERATIONS_A_LOOK][MOST_LINES];
} worker;

static void fill_line(worker *w, hf_line *line, unsigned index, uint32_t sku) {
    if (plan.by_name) {
        sku_name(sku, w->names[index]);
        *line = (hf_line){.name = w->names[index], .name_length = SHOP_NAME, .quantity = 1};
    } else {
        *line = (hf_line){.sku = plan.shop.handles[sku], .quantity = 1};
    }
}

static inline void fill_lines(worker *w, hf_line *lines, uint32_t sku) {
    fill_line(w, &lines[0], 0, sku);
    for (unsigned i = 1; i < plan.lines; i++) {
        fill_line(w, &lines[i], i, picks_choose(&w->picks).sku);
    }
}

static inline pick next_pick(worker *w) {
    pick later, now = picks_take(&w->picks, &later);
    hf_prefetch_write(&w->table[later.position]);
    hf_prefetch_read(&plan.shop.handles[later.sku]);
    return now;
}

/* What ends the next reservation; EXPIRE: nothing. */
static inline enum end next_end(worker *w) {
    if (plan.end != MIXED) {
        return plan.end;
    }
    unsigned of_ten = (unsigned)(w->next % 10);
    return of_ten < 7 ? CONFIRM : of_ten < 9 ? CANCEL : EXPIRE;
}

/* Whether to ask again. Where reservations are left to expire, one may have ended by itself: then it is counted. */
static inline bool look_at(worker *w, int error, const hf_reply *reply, const char *what) {
    if (plan.end >= MIXED && error == HF_SUCCESS && reply->outcome != HF_OUTCOME_IN_PROGRESS &&
        reply->outcome != HF_OUTCOME_OK) {
        w->refused++;
        return false;
    }
    bool again = must_ok(error, reply, what);
    w->retries += again;
    return again;
}

static inline void reserve(worker *w, uint64_t number, uint32_t sku) {
    hf_line lines[MOST_LINES];
    hf_reply reply;
    fill_lines(w, lines, sku);
    while (look_at(w, hf_reserve(w->session, id_of(number, w->kind), lines, plan.lines, plan.ttl_ms, number, &reply),
                   &reply, "hf_reserve")) {
    }
    flights_add(&w->flights, plan.shop.engine, reply.ticket);
}

static inline void end_reservation(worker *w, uint64_t number, enum end end) {
    hf_reply reply;
    hf_id id = id_of(number, w->kind);
    while (look_at(w, end == CONFIRM ? hf_confirm(w->session, id, &reply) : hf_cancel(w->session, id, &reply), &reply,
                   "hf_confirm or hf_cancel")) {
    }
    flights_add(&w->flights, plan.shop.engine, reply.ticket);
}

static inline void one_pair(worker *w) {
    pick now = next_pick(w);
    enum end end = next_end(w);
    if (end != EXPIRE) {
        end_reservation(w, w->table[now.position], end);
    }
    reserve(w, w->next, now.sku);
    w->table[now.position] = w->next++;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static void fill_batch(worker *w) {
    for (unsigned i = 0; i < plan.batch; i += 2) {
        pick now = next_pick(w);
        w->operations[i] = (hf_op){.type = next_end(w) == CONFIRM ? HF_OP_CONFIRM : HF_OP_CANCEL,
                                   .id = id_of(w->table[now.position], w->kind)};
        fill_lines(w, w->lines[i], now.sku);
        w->operations[i + 1] = (hf_op){.type = HF_OP_RESERVE,
                                       .id = id_of(w->next, w->kind),
                                       .lines = w->lines[i],
                                       .line_count = plan.lines,
                                       .ttl_ms = plan.ttl_ms,
                                       .user = w->next};
        w->table[now.position] = w->next++;
    }
}

static void one_batch(worker *w) {
    fill_batch(w);
    for (size_t at = 0, done; at < plan.batch; at += done) {
        int error = hf_submit(w->session, w->operations + at, plan.batch - at, w->replies + at, &done);
        if (error != HF_EAGAIN) {
            must(error, "hf_submit");
        }
        w->retries += error == HF_EAGAIN;
        for (size_t i = at; i < at + done; i++) {
            if (must_ok(w->replies[i].error, &w->replies[i], "hf_submit")) {
                die("hf_submit answered \"ask again\" to one operation among others");
            }
            flights_add(&w->flights, plan.shop.engine, w->replies[i].ticket);
        }
    }
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static void fill_table(worker *w) {
    for (uint64_t i = 0; i < plan.live; i++) {
        reserve(w, w->next, picks_choose(&w->picks).sku);
        w->table[i] = w->next++;
    }
}

static void prepare(member *self, void *context) {
    (void)context;
    worker *w = bench_memory(sizeof *w);
    self->own = w;
    w->kind = self->number + 1;
    w->table = bench_memory(plan.live * sizeof *w->table);
    w->flights.limit = plan.in_flight;
    must(hf_session_open(plan.shop.engine, NULL, &w->session), "hf_session_open");
    picks_begin(&w->picks, self->number, plan.shop.skus, plan.live, plan.zipf);
    fill_table(w);
}

/* Until the time is over, or (seconds 0) until the turn is. */
static void run_for(member *self, worker *w, double seconds) {
    w->flights.landed = 0;
    uint64_t start = now_ns(), own_start = thread_ns();
    do {
        for (unsigned i = 0; i < OPERATIONS_A_LOOK; i += plan.batch ? plan.batch : 2) {
            if (plan.batch) {
                one_batch(w);
            } else {
                one_pair(w);
            }
        }
        w->issued += OPERATIONS_A_LOOK;
        self->seconds = seconds_since(start);
    } while (seconds > 0 ? self->seconds < seconds : !crew_is_over());
    flights_land(&w->flights, hf_durable(plan.shop.engine));
    self->seconds = seconds_since(start);
    self->processor_seconds = (double)(thread_ns() - own_start) * 1e-9;
    self->done = w->flights.landed;
}

static void work(member *self, void *context) {
    (void)context;
    worker *w = self->own;
    if (plan.end == MIXED) {
        fill_table(w); /* those of the turn before have expired */
    }
    run_for(self, w, plan.warm > 0 ? plan.warm : 1e-9);
    flights_wait(&w->flights, plan.shop.engine, 1);
    run_for(self, w, 0);
    flights_wait(&w->flights, plan.shop.engine, 1);
}

static void finish(member *self, void *context) {
    (void)context;
    worker *w = self->own;
    hf_session_close(w->session);
}

static enum end end_of(const char *text) {
    static const char *const names[] = {"confirm", "cancel", "mixed", "expire"};
    for (enum end end = CONFIRM; end <= EXPIRE; end++) {
        if (strcmp(text, names[end]) == 0) {
            return end;
        }
    }
    die("end=%s: expected confirm, cancel, mixed or expire", text);
}

static void read_plan(hf_options *options) {
    plan.threads = (unsigned)setting_count("threads", 1);
    uint64_t live = setting_count("live", 10000);
    plan.live = live / (plan.threads ? plan.threads : 1);
    plan.zipf = setting_number("zipf", 0);
    plan.lines = (unsigned)setting_count("lines", 1);
    plan.by_name = strcmp(setting_text("by", "handle"), "name") == 0;
    plan.batch = (unsigned)setting_count("batch", 0);
    plan.end = end_of(setting_text("end", "confirm"));
    plan.ttl_ms = setting_count("ttl", plan.end == MIXED ? 200 : plan.end == EXPIRE ? 5 : SHOP_TTL_MS);
    plan.in_flight = setting_count("in_flight", 0);
    plan.warm = setting_number("warm", 0.1);
    if (plan.threads == 0 || plan.threads > 64 || plan.lines == 0 || plan.lines > MOST_LINES ||
        plan.batch > OPERATIONS_A_LOOK || plan.batch == 1 || (plan.batch & (plan.batch - 1)) ||
        plan.in_flight > FLIGHTS_ROOM || plan.live == 0) {
        die("expected threads 1..64, lines 1..%d, batch a power of two and at most %d, in_flight at most %d, live at "
            "least threads",
            MOST_LINES, OPERATIONS_A_LOOK, FLIGHTS_ROOM);
    }
    if (plan.batch && (plan.by_name || plan.end >= MIXED)) {
        die("batch: only with by=handle and end=confirm or cancel");
    }
    shop_settings(options, live);
}

static void report(crew *team, const hf_stats *before, const hf_stats *after) {
    uint64_t issued = 0, retries = 0, refused = 0;
    for (unsigned i = 0; i < plan.threads; i++) {
        worker *w = crew_member(team, i)->own;
        issued += w->issued;
        retries += w->retries;
        refused += w->refused;
        w->issued = w->retries = w->refused = 0;
    }
    report_begin();
    report_number("operations_per_second", crew_rate(team));
    report_number("ns_per_pair", 2e9 / crew_rate(team) * plan.threads);
    report_number("cpu_ns_per_pair", 2 * crew_processor_ns(team));
    report_number("log_bytes_per_pair", (double)(after->log_bytes - before->log_bytes) * 2 / (double)issued);
    report_number("record_bytes_per_pair", (double)(after->log_payload - before->log_payload) * 2 / (double)issued);
    report_count("fsyncs", after->fsyncs - before->fsyncs);
    report_count("epochs", after->epochs_written - before->epochs_written);
    report_count("epochs_turned", after->epoch - before->epoch);
    report_count("expired", after->expired - before->expired);
    report_count("live", after->live);
    report_count("ids", after->ids);
    report_count("id_slots", after->id_slots);
    report_count("wheel_entries", after->wheel_entries);
    report_count("memory_bytes", after->memory_bytes);
    report_count("retries", retries);
    report_count("refused", refused);
    report_end();
}

int main(int count, char **arguments) {
    hf_options options;
    settings_read(count, arguments);
    read_plan(&options);
    (void)setting_text("dir", NULL);
    settings_done();
    shop_open(&plan.shop, &options, NULL);
    crew *team = crew_start(&(crew_plan){plan.threads, NULL, prepare, work, finish});
    report_begin();
    report_text("what", "holdfast");
    report_text("version", hf_version());
    report_end();
    for (turn t; turn_next(&t);) {
        hf_stats before, after;
        hf_stats_read(plan.shop.engine, &before);
        crew_run(team, t.seconds + plan.warm);
        hf_stats_read(plan.shop.engine, &after);
        report(team, &before, &after);
    }
    crew_end(team);
    shop_close(&plan.shop, true);
    return 0;
}
