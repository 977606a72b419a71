#include "peer.h"

#include "../support/crew.h"
#include "../support/picks.h"
#include "../support/turns.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { MOST_BATCH = 1 << 16, AT_ONCE = 500 };

static struct plan {
    const peer *peer;
    uint64_t skus, live; /* live: of a thread */
    unsigned threads, batch;
} plan;

struct worker {
    void *connection;
    picks picks;
    uint64_t *table;
    uint64_t next;
    uint64_t confirmed;
    peer_pair pairs[MOST_BATCH];
};

static void fill_batch(struct worker *w, unsigned count, uint64_t first) {
    for (unsigned i = 0; i < count; i++) {
        pick later, now = picks_take(&w->picks, &later);
        bool filling = first != PEER_NONE;
        uint64_t *place = &w->table[filling ? first + i : now.position];
        w->pairs[i] = (peer_pair){.old = filling ? PEER_NONE : *place, .number = w->next, .sku = now.sku};
        *place = w->next++;
    }
}

static void prepare(member *self, void *context) {
    (void)context;
    struct worker *w = bench_memory(sizeof *w);
    self->own = w;
    w->table = bench_memory(plan.live * sizeof *w->table);
    w->next = (uint64_t)self->number << 40;
    w->connection = plan.peer->connect(self->number);
    picks_begin(&w->picks, self->number, plan.skus, plan.live, 0);
    /* One thread after another: large transactions that meet at SKUs in any order would deadlock. */
    static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&filling);
    for (uint64_t first = 0; first < plan.live; first += AT_ONCE) {
        unsigned count = plan.live - first < AT_ONCE ? (unsigned)(plan.live - first) : AT_ONCE;
        fill_batch(w, count, first);
        plan.peer->pairs(w->connection, w->pairs, count);
    }
    pthread_mutex_unlock(&filling);
}

static void work(member *self, void *context) {
    (void)context;
    struct worker *w = self->own;
    uint64_t start = now_ns();
    self->done = 0;
    do {
        fill_batch(w, plan.batch, PEER_NONE);
        plan.peer->pairs(w->connection, w->pairs, plan.batch);
        self->done += plan.batch;
        self->seconds = seconds_since(start);
    } while (!crew_is_over());
    w->confirmed += self->done;
}

static void finish(member *self, void *context) {
    (void)context;
    plan.peer->disconnect(((struct worker *)self->own)->connection);
}

static void check(crew *team) {
    peer_totals found = plan.peer->totals();
    int64_t confirmed = 0;
    for (unsigned i = 0; i < plan.threads; i++) {
        confirmed += (int64_t)((struct worker *)crew_member(team, i)->own)->confirmed;
    }
    int64_t on_hand = (int64_t)plan.skus * PEER_STOCK - confirmed, reserved = (int64_t)(plan.live * plan.threads);
    if (found.on_hand != on_hand || found.reserved != reserved) {
        die("on hand %" PRId64 ", reserved %" PRId64 ": expected %" PRId64 ", %" PRId64, found.on_hand, found.reserved,
            on_hand, reserved);
    }
    report_begin();
    report_count("confirmed", (uint64_t)confirmed);
    report_end();
}

int peer_main(const peer *chosen, int count, char **arguments) {
    settings_read(count, arguments);
    plan.peer = chosen;
    plan.skus = setting_count("skus", 10000);
    plan.threads = (unsigned)setting_count("threads", 1);
    plan.batch = (unsigned)setting_count("batch", 1);
    uint64_t live = setting_count("live", 10000);
    if (plan.threads == 0 || plan.batch == 0 || plan.batch > MOST_BATCH || live < plan.threads) {
        die("expected threads 1 or more, batch 1..%d, live at least threads", MOST_BATCH);
    }
    plan.live = live / plan.threads;
    chosen->begin(plan.skus);
    settings_done();
    crew *team = crew_start(&(crew_plan){plan.threads, NULL, prepare, work, finish});
    report_begin();
    report_text("what", chosen->name);
    report_end();
    for (turn t; turn_next(&t);) {
        if (turn_is(&t, "check")) {
            check(team);
            continue;
        }
        crew_run(team, t.seconds);
        report_begin();
        report_number("pairs_per_second", crew_rate(team));
        report_number("operations_per_second", 2 * crew_rate(team));
        report_end();
    }
    crew_end(team);
    chosen->end();
    return 0;
}
