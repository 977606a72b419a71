/* Latency of reserves and confirms, one session.
 *
 * Turns
 *   run S        open loop: operations are due at `rate`, evenly; each is timed from when it was due, however late it
 * was sent, so whatever stands still for a while delays all that was due meanwhile, as it would delay callers closed S
 * one in flight: the next is sent once the one before is durable; timed from when it was sent burst        open loop
 * while `pending` reservations fall due in one millisecond, until all have expired checkpoint   open loop during a
 * checkpoint, until it is done
 *
 *     settings of support/shop.h, and
 *     live=N rate=N               operations a second
 *     ack=once | durable          an operation is over when it is answered, or when that is durable
 *     pending=N                   0: the engine's clock is the system's
 */
#include "../support/crew.h"
#include "../support/histogram.h"
#include "../support/picks.h"
#include "../support/shop.h"
#include "../support/turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE = 1 << 20, BURST_TTL_MS = 60000 };

static struct plan {
    shop shop;
    hf_session *session;
    picks picks;
    uint64_t *table, live, next, pending, retries;
    double rate;
    bool durable;
    struct waiting { /* answered, not yet durable */
        uint64_t ticket, due_ns;
    } * queue;
    uint64_t first, end;
    histogram times;
} plan;

/* ---- the engine's clock: stands still while the burst is made, then jumps ---------------------------------------- */

static struct { uint64_t offset_ms, frozen_ms; /* frozen_ms 0: it goes */ } clock_state;

static uint64_t system_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static uint64_t bench_clock(void *context) {
    (void)context;
    uint64_t frozen = hf_load_relaxed(&clock_state.frozen_ms); /* relaxed: a number is all the message */
    return frozen ? frozen : system_ms() + hf_load_relaxed(&clock_state.offset_ms); /* relaxed: as above */
}

static void clock_freeze(void) {
    hf_store_relaxed(&clock_state.frozen_ms, bench_clock(NULL)); /* relaxed: see bench_clock */
}

static void clock_jump(uint64_t ms) {
    uint64_t to = hf_load_relaxed(&clock_state.frozen_ms) + ms; /* relaxed: only this thread changes it */
    hf_store_relaxed(&clock_state.offset_ms, to - system_ms()); /* relaxed: see bench_clock */
    hf_store_relaxed(&clock_state.frozen_ms, 0);                /* relaxed: a moment later is soon enough */
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static uint64_t reserve(uint64_t number, uint32_t kind, uint32_t sku, uint64_t ttl_ms) {
    hf_line line = {.sku = plan.shop.handles[sku], .quantity = 1};
    hf_reply reply;
    while (must_ok(hf_reserve(plan.session, id_of(number, kind), &line, 1, ttl_ms, 0, &reply), &reply, "hf_reserve")) {
        plan.retries++;
    }
    return reply.ticket;
}

static uint64_t confirm(uint64_t number) {
    hf_reply reply;
    while (must_ok(hf_confirm(plan.session, id_of(number, 1), &reply), &reply, "hf_confirm")) {
        plan.retries++;
    }
    return reply.ticket;
}

/* Confirms and reserves take turns; the ticket. */
static uint64_t one_operation(uint64_t number) {
    static uint32_t position, sku;
    if (number % 2 == 0) {
        pick later, now = picks_take(&plan.picks, &later);
        position = now.position;
        sku = now.sku;
        return confirm(plan.table[position]);
    }
    plan.table[position] = plan.next;
    return reserve(plan.next++, 1, sku, SHOP_TTL_MS);
}

/* ---- the loops --------------------------------------------------------------------------------------------------- */

static void land(void) {
    uint64_t durable = hf_durable(plan.shop.engine);
    if (plan.first == plan.end || plan.queue[plan.first % QUEUE].ticket > durable) {
        return;
    }
    uint64_t now = now_ns();
    for (; plan.first != plan.end && plan.queue[plan.first % QUEUE].ticket <= durable; plan.first++) {
        histogram_add(&plan.times, now - plan.queue[plan.first % QUEUE].due_ns);
    }
}

static void send_one(uint64_t number, uint64_t due_ns) {
    uint64_t ticket = one_operation(number);
    if (!plan.durable) {
        histogram_add(&plan.times, now_ns() - due_ns);
        return;
    }
    if (plan.end - plan.first == QUEUE) {
        die("%d operations wait to be durable: the rate is above what this machine can do", QUEUE);
    }
    plan.queue[plan.end++ % QUEUE] = (struct waiting){ticket, due_ns};
}

/* The reserve that belongs to a last confirm, so that the next turn finds every reservation of the table. */
static void finish_pair(uint64_t sent) {
    if (sent % 2) {
        one_operation(sent);
    }
}

/* Until crew_flag is up, or (seconds > 0) for so long. */
static double open_loop(double seconds) {
    uint64_t start = now_ns(), sent = 0;
    double period = 1e9 / plan.rate;
    for (uint64_t now = start; seconds > 0 ? now < start + (uint64_t)(seconds * 1e9) : !crew_is_over();
         now = now_ns()) {
        uint64_t due = start + (uint64_t)((double)sent * period);
        if (now >= due) {
            send_one(sent++, due);
        }
        land();
    }
    double took = seconds_since(start);
    finish_pair(sent);
    while (plan.first != plan.end) {
        must(hf_wait(plan.shop.engine, plan.queue[plan.first % QUEUE].ticket, UINT64_MAX), "hf_wait");
        land();
    }
    return took;
}

static double closed_loop(double seconds) {
    uint64_t start = now_ns(), sent = 0;
    for (uint64_t now = start; now < start + (uint64_t)(seconds * 1e9);) {
        uint64_t ticket = one_operation(sent++);
        must(hf_wait(plan.shop.engine, ticket, UINT64_MAX), "hf_wait");
        uint64_t then = now_ns();
        histogram_add(&plan.times, then - now);
        now = then;
    }
    double took = seconds_since(start);
    finish_pair(sent);
    return took;
}

/* ---- what goes on meanwhile -------------------------------------------------------------------------------------- */

static void raise_flag(void) { hf_store_relaxed(&crew_flag.over, 1); /* relaxed: see crew_is_over */ }

static void *watch_expiry(void *wanted_pointer) {
    uint64_t wanted = *(uint64_t *)wanted_pointer;
    hf_stats stats;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        hf_stats_read(plan.shop.engine, &stats);
    } while (stats.expired < wanted);
    raise_flag();
    return NULL;
}

static void *take_checkpoint(void *unused) {
    (void)unused;
    must(hf_checkpoint(plan.shop.engine), "hf_checkpoint");
    raise_flag();
    return NULL;
}

static double loop_beside(void *(*other)(void *), void *context) {
    pthread_t thread;
    hf_store_relaxed(&crew_flag.over, 0); /* relaxed: the thread's start carries it */
    if (pthread_create(&thread, NULL, other, context) != 0) {
        die("cannot start a thread");
    }
    double took = open_loop(0);
    pthread_join(thread, NULL);
    return took;
}

static double burst(void) {
    static uint64_t made;
    hf_stats stats;
    clock_freeze();
    hf_refresh_clock(plan.shop.engine);
    for (uint64_t i = 0; i < plan.pending; i++) {
        reserve(made++, 2, (uint32_t)random_below(&plan.picks.state, plan.shop.skus), BURST_TTL_MS);
    }
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    hf_stats_read(plan.shop.engine, &stats);
    uint64_t wanted = stats.expired + plan.pending;
    clock_jump(BURST_TTL_MS);
    return loop_beside(watch_expiry, &wanted);
}

static void take_turn(const turn *t) {
    histogram_clear(&plan.times);
    plan.retries = 0;
    double took = 0;
    if (turn_is(t, "run")) {
        took = open_loop(t->seconds);
    } else if (turn_is(t, "closed")) {
        took = closed_loop(t->seconds);
    } else if (turn_is(t, "burst") && plan.pending) {
        took = burst();
    } else if (turn_is(t, "checkpoint")) {
        took = loop_beside(take_checkpoint, NULL);
    } else {
        die("no turn \"%s\" with these settings", t->verb);
    }
    report_begin();
    report_number("seconds", took);
    report_number("rate", plan.rate);
    report_count("retries", plan.retries);
    report_histogram(&plan.times);
    report_end();
}

static void set_up(void) {
    hf_options options;
    plan.live = setting_count("live", 10000);
    plan.rate = setting_number("rate", 100000);
    plan.pending = setting_count("pending", 0);
    plan.durable = strcmp(setting_text("ack", "once"), "durable") == 0;
    shop_settings(&options, plan.live + 2 * plan.pending);
    (void)setting_text("dir", NULL);
    settings_done();
    if (plan.pending) {
        options.clock = bench_clock;
    }
    shop_open(&plan.shop, &options, NULL);
    must(hf_session_open(plan.shop.engine, NULL, &plan.session), "hf_session_open");
    plan.queue = bench_memory(QUEUE * sizeof *plan.queue);
    plan.table = bench_memory(plan.live * sizeof *plan.table);
    picks_begin(&plan.picks, 1, plan.shop.skus, plan.live, 0);
    for (uint64_t i = 0; i < plan.live; i++) {
        plan.table[i] = plan.next;
        reserve(plan.next++, 1, picks_choose(&plan.picks).sku, SHOP_TTL_MS);
    }
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    set_up();
    report_begin();
    report_text("what", "holdfast latency");
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(&t);
    }
    hf_session_close(plan.session);
    shop_close(&plan.shop, true);
    return 0;
}
