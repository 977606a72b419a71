/* Tickets, waiting, and the event fd, from several threads.
 *
 * Guarantees checked
 *   A  hf_wait returns only once hf_durable has reached the ticket; hf_durable never goes back.
 *   B  The event fd becomes readable for an event loop that sleeps in poll(2), and the loop then sees progress.
 *   C  Whatever a ticket said was durable is in a copy of the directory that is begun afterwards.
 */
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITERS 2u
#define OPERATIONS 40000u
#define COPIES 5u
#define SECONDS 3.0
#define LATEST 60.0 /* the event loop, for its first event */

typedef struct fact {
    uint64_t ticket;
    hf_state state;
} fact;

typedef struct table {
    hf_engine *engine;
    char directory[HARNESS_PATH];
    uint32_t writers_left;
    uint64_t durable_at_first; /* before the writers */
    uint64_t wakes, advances;
    uint64_t copy_durable[COPIES]; /* read before the copy was begun */
    char copies[COPIES][HARNESS_PATH];
} table;

typedef struct part {
    table *table;
    unsigned number; /* WRITERS: the event loop; WRITERS + 1: the copier */
    uint64_t random;
    fact *facts; /* of reservation i of this writer */
    unsigned count;
    uint64_t waits;
} part;

static void write_on(part *p) {
    hf_session *session;
    double until = harness_seconds() + SECONDS;
    uint64_t durable = 0;
    MUST(hf_session_open(p->table->engine, NULL, &session));
    for (; p->count < OPERATIONS && harness_seconds() < until; p->count++) {
        hf_reply reply;
        hf_line line = {.name = "sku", .name_length = 3, .quantity = 1};
        ASK(reply, hf_reserve(session, harness_id(p->number, p->count), &line, 1, HF_MAX_TTL_MS, 0, &reply));
        CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
        p->facts[p->count] = (fact){reply.ticket, HF_STATE_LIVE};
        if (p->count == 0 || harness_chance(&p->random, 2)) {
            MUST(hf_wait(p->table->engine, reply.ticket, UINT64_MAX));
            CHECK(hf_durable(p->table->engine) >= reply.ticket, "ticket %llu, durable %llu after the wait",
                  (unsigned long long)reply.ticket, (unsigned long long)hf_durable(p->table->engine));
            p->waits++;
        }
        uint64_t now = hf_durable(p->table->engine);
        CHECK(now >= durable, "durable %llu after %llu", (unsigned long long)now, (unsigned long long)durable);
        durable = now;
    }
    hf_session_close(session);
    (void)hf_fetch_add_acq_rel(&p->table->writers_left, UINT32_MAX); /* edge: to the loads of the other two */
}

/* An event loop: sleeps until the fd is readable. What the writers waited for has made it so, even if it comes late. */
static void wait_for_events(part *p) {
    uint64_t durable = p->table->durable_at_first;
    struct pollfd event = {.fd = hf_event_fd(p->table->engine), .events = POLLIN};
    double until = harness_seconds() + LATEST;
    while (hf_load_acquire(&p->table->writers_left) /* edge: the writers' subtraction */
           || (p->table->advances == 0 && harness_seconds() < until)) {
        if (poll(&event, 1, 50) > 0) {
            uint64_t count;
            ssize_t length = read(event.fd, &count, sizeof count);
            uint64_t now = hf_durable(p->table->engine);
            CHECK(length == 8 && count > 0, "read %zd bytes of the event fd", length);
            CHECK(now >= durable, "durable %llu after %llu", (unsigned long long)now, (unsigned long long)durable);
            p->table->advances += now > durable;
            p->table->wakes++;
            durable = now;
        }
    }
}

/* The last one comes after the writers, who have waited for some facts at least. */
static void copy_now_and_then(part *p) {
    for (unsigned i = 0; i < COPIES; i++) {
        do {
            usleep((useconds_t)(SECONDS * 1e6 / (COPIES + 1)));
        } while (i == COPIES - 1 && hf_load_acquire(&p->table->writers_left)); /* edge: the writers' subtraction */
        p->table->copy_durable[i] = hf_durable(p->table->engine);
        harness_copy(p->table->directory, p->table->copies[i]);
    }
}

static void run(void *context) {
    part *p = context;
    if (p->number < WRITERS) {
        write_on(p);
    } else if (p->number == WRITERS) {
        wait_for_events(p);
    } else {
        copy_now_and_then(p);
    }
}

/* Every fact whose ticket was durable before the copy must be in it. */
static uint64_t judge_copy(const char *copy, uint64_t durable, const part *parts) {
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    uint64_t durable_facts = 0;
    harness_options(&options, HF_NO_THREADS, NULL);
    MUST(hf_open(copy, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < parts[w].count; i++) {
            hf_reservation found;
            if (parts[w].facts[i].ticket <= durable) {
                int error = hf_reservation_read(session, harness_id(w, i), &found, NULL, 0);
                CHECK(error == HF_SUCCESS && found.state == HF_STATE_LIVE,
                      "reservation %u of writer %u, ticket %llu, durable %llu: %s in the copy", i, w,
                      (unsigned long long)parts[w].facts[i].ticket, (unsigned long long)durable, hf_error_name(error));
                durable_facts++;
            }
        }
    }
    hf_session_close(session);
    MUST(hf_close(engine));
    harness_remove(copy);
    return durable_facts;
}

static void wait_for_nothing(hf_engine *engine) {
    hf_stats stats;
    hf_stats_read(engine, &stats);
    CHECK(hf_wait(engine, stats.epoch + 1000000, 20) == HF_ETIMEDOUT, "waited for an epoch that is far away");
    MUST(hf_wait(engine, 0, 0));
    MUST(hf_wait(engine, hf_durable(engine), 0));
    MUST(hf_health(engine));
}

int main(void) {
    static table t;
    hf_options options;
    hf_session *session;
    hf_reply reply;
    part parts[WRITERS + 2];
    uint64_t seed = harness_begin("durable"), facts = 0, waits = 0, durable_facts = 0;
    t.writers_left = WRITERS;
    harness_directory(t.directory);
    harness_options(&options, 0, NULL);
    MUST(hf_open(t.directory, &options, &t.engine));
    MUST(hf_session_open(t.engine, NULL, &session));
    MUST(hf_receive(session, harness_id(99, 0), (hf_line){.name = "sku", .name_length = 3, .quantity = 1 << 20},
                    &reply));
    hf_session_close(session);
    t.durable_at_first = hf_durable(t.engine);
    for (unsigned i = 0; i < WRITERS + 2; i++) {
        parts[i] = (part){.table = &t, .number = i, .random = seed + i, .facts = calloc(OPERATIONS, sizeof(fact))};
        CHECK(parts[i].facts, "out of memory");
    }
    harness_threads(WRITERS + 2, run, parts, sizeof parts[0]);
    wait_for_nothing(t.engine);
    MUST(hf_close(t.engine));
    for (unsigned i = 0; i < COPIES; i++) {
        durable_facts += judge_copy(t.copies[i], t.copy_durable[i], parts);
    }
    for (unsigned i = 0; i < WRITERS + 2; i++) {
        facts += parts[i].count;
        waits += parts[i].waits;
        free(parts[i].facts);
    }
    CHECK(t.advances > 0 && waits > 0 && durable_facts > 0, "nothing was seen: %llu advances, %llu waits",
          (unsigned long long)t.advances, (unsigned long long)waits);
    harness_remove(t.directory);
    printf("durable: %llu reservations, %llu waited for; %llu wakes by the event fd; %llu durable facts found in %u "
           "copies\n",
           (unsigned long long)facts, (unsigned long long)waits, (unsigned long long)t.wakes,
           (unsigned long long)durable_facts, COPIES);
    return 0;
}
