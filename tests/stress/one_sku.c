/* Many threads on one SKU.
 *
 * Guarantees checked
 *   A  Never oversold: a reader sees on_hand >= reserved >= 0 at every moment, and versions that never go back.
 *   B  Conservation: received = on_hand + confirmed + purchased; reserved = what is still live.
 *   C  Every step is one version of its own: without expiries the replies' versions are exactly 1..final; with them
 *      no two replies bear the same one, and the log's chain has no gap.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 4u
#define OPERATIONS 15000u
#define SECONDS 3.0

typedef struct shared {
    hf_engine *engine;
    uint32_t workers_left; /* the reader goes on until it is 0 */
    uint64_t ttl_ms;
    uint64_t phase;
} shared;

typedef struct worker {
    shared *all;
    unsigned number; /* WORKERS: the reader */
    uint64_t random;
    int64_t received, sold;
    uint64_t operations, refused;
    uint64_t *versions;
    size_t version_count;
    hf_id open[64]; /* reserved, not yet ended by this worker */
    int64_t open_units[64];
    unsigned open_count;
} worker;

static void stepped(worker *w, const hf_reply *reply) {
    w->versions[w->version_count++] = reply->version;
    CHECK(reply->version > 0, "a step without a version");
}

static void end_one(worker *w, hf_session *session) {
    hf_reply reply;
    unsigned which = (unsigned)harness_below(&w->random, w->open_count);
    hf_id id = w->open[which];
    bool confirm = harness_chance(&w->random, 40);
    if (confirm) {
        ASK(reply, hf_confirm(session, id, &reply));
    } else {
        ASK(reply, hf_cancel(session, id, &reply));
    }
    bool late = reply.outcome == HF_OUTCOME_CONFIRMED_LATE, ok = reply.outcome == HF_OUTCOME_OK;
    bool expired = w->all->ttl_ms < 1000 &&
                   (confirm ? late || reply.outcome == HF_OUTCOME_OUT_OF_STOCK : reply.outcome == HF_OUTCOME_ALREADY);
    CHECK(ok || expired, "%s of a live reservation: %s", confirm ? "confirm" : "cancel",
          hf_outcome_text(reply.outcome));
    if (ok || late) {
        stepped(w, &reply);
        w->sold += confirm ? w->open_units[which] : 0;
    }
    w->open[which] = w->open[--w->open_count];
    w->open_units[which] = w->open_units[w->open_count];
}

static void begin_one(worker *w, hf_session *session, uint64_t number) {
    hf_reply reply;
    hf_id id = harness_id(w->all->phase << 8 | w->number, number);
    hf_line line = {.name = "one", .name_length = 3, .quantity = 1 + (int64_t)harness_below(&w->random, 3)};
    uint64_t die = harness_below(&w->random, 10);
    if (die == 0) {
        ASK(reply, hf_receive(session, id, line, &reply));
        w->received += line.quantity;
    } else if (die < 3) {
        ASK(reply, hf_purchase(session, id, &line, 1, &reply));
        w->sold += reply.outcome == HF_OUTCOME_OK ? line.quantity : 0;
    } else {
        ASK(reply, hf_reserve(session, id, &line, 1, w->all->ttl_ms, 7, &reply));
        if (reply.outcome == HF_OUTCOME_OK) {
            w->open[w->open_count] = id;
            w->open_units[w->open_count++] = line.quantity;
        }
    }
    if (reply.outcome == HF_OUTCOME_OK) {
        stepped(w, &reply);
    } else {
        CHECK(reply.outcome == HF_OUTCOME_OUT_OF_STOCK, "%s", hf_outcome_text(reply.outcome));
        w->refused++;
    }
}

static void read_on(worker *w, hf_session *session) {
    hf_sku *sku;
    hf_stock stock = {0};
    uint64_t version = 0;
    MUST(hf_sku_find(session, "one", 3, &sku));
    while (hf_load_acquire(&w->all->workers_left)) { /* edge: the workers' last subtraction, for an end only */
        int error = hf_sku_read(session, sku, &stock);
        CHECK(error == HF_SUCCESS || error == HF_EAGAIN, "%s", hf_error_name(error));
        CHECK(error || (stock.reserved >= 0 && stock.on_hand >= stock.reserved && stock.version >= version &&
                        stock.available == stock.on_hand - stock.reserved),
              "on_hand %lld reserved %lld version %llu after %llu", (long long)stock.on_hand, (long long)stock.reserved,
              (unsigned long long)stock.version, (unsigned long long)version);
        version = stock.version;
        w->operations++;
    }
}

static void run(void *context) {
    worker *w = context;
    hf_session *session;
    MUST(hf_session_open(w->all->engine, NULL, &session));
    if (w->number == WORKERS) {
        read_on(w, session);
    } else {
        double until = harness_seconds() + harness_time(SECONDS);
        for (; w->operations < OPERATIONS && harness_seconds() < until; w->operations++) {
            if (w->open_count == 64 || (w->open_count && harness_chance(&w->random, 50))) {
                end_one(w, session);
            } else {
                begin_one(w, session, w->operations);
            }
        }
        (void)hf_fetch_add_acq_rel(&w->all->workers_left, UINT32_MAX); /* edge: to the reader's load */
    }
    hf_session_close(session);
}

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static size_t judge_versions(worker *workers, uint64_t final, bool exact) {
    size_t count = 1;
    uint64_t *versions = calloc(1 + WORKERS * OPERATIONS, sizeof *versions);
    CHECK(versions, "out of memory");
    versions[0] = 1; /* the first receive's */
    for (unsigned i = 0; i < WORKERS; i++) {
        memcpy(versions + count, workers[i].versions, workers[i].version_count * sizeof *versions);
        count += workers[i].version_count;
    }
    qsort(versions, count, sizeof *versions, by_value);
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || versions[i] != versions[i - 1], "version %llu was answered twice",
              (unsigned long long)versions[i]);
        CHECK(!exact || versions[i] == i + 1, "version %zu is nobody's", i + 1);
    }
    CHECK(versions[count - 1] <= final, "version %llu of %llu", (unsigned long long)versions[count - 1],
          (unsigned long long) final);
    CHECK(!exact || count == final, "%zu steps answered, the SKU is at version %llu", count,
          (unsigned long long) final);
    free(versions);
    return count;
}

/* What the workers left open is live, or has expired. */
static int64_t live_units(hf_session *session, worker *workers) {
    int64_t units = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned k = 0; k < workers[i].open_count; k++) {
            hf_reservation found;
            MUST_AT_LAST(hf_reservation_read(session, workers[i].open[k], &found, NULL, 0));
            CHECK(found.state == HF_STATE_LIVE || (found.state == HF_STATE_EXPIRED && workers[i].all->ttl_ms < 1000),
                  "a reservation that nobody ended is %s", hf_state_text(found.state));
            units += found.state == HF_STATE_LIVE ? workers[i].open_units[k] : 0;
        }
    }
    return units;
}

static void judge(hf_engine *engine, const char *directory, worker *workers, bool exact) {
    hf_session *session;
    hf_sku *sku;
    hf_stock stock;
    int64_t received = 500, sold = 0;
    MUST(hf_session_open(engine, NULL, &session));
    while (!exact &&
           live_units(session, workers) > 0) { /* the shortly lived: until none can expire between two looks */
        hf_refresh_clock(engine);
    }
    MUST(hf_sku_find(session, "one", 3, &sku));
    MUST_AT_LAST(hf_sku_read(session, sku, &stock));
    uint64_t operations = 0, refused = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        received += workers[i].received;
        sold += workers[i].sold;
        operations += workers[i].operations;
        refused += workers[i].refused;
    }
    CHECK(received == stock.on_hand + sold, "received %lld, on_hand %lld, sold %lld", (long long)received,
          (long long)stock.on_hand, (long long)sold);
    int64_t live = live_units(session, workers);
    CHECK(stock.reserved == live, "reserved %lld, live %lld", (long long)stock.reserved, (long long)live);
    size_t steps = judge_versions(workers, stock.version, exact);
    MUST(hf_wait(engine, stock.ticket, UINT64_MAX));
    uint64_t audited = audit_compare(directory, session);
    printf("one_sku: %s expiries: %llu operations (%llu refused), %llu reads, %zu answered steps, %llu in the log\n",
           exact ? "without" : "with", (unsigned long long)operations, (unsigned long long)refused,
           (unsigned long long)workers[WORKERS].operations, steps, (unsigned long long)audited);
    hf_session_close(session);
}

static void phase(uint64_t seed, uint64_t ttl_ms) {
    char directory[HARNESS_PATH];
    hf_options options;
    hf_session *session;
    hf_reply reply;
    shared all = {.workers_left = WORKERS, .ttl_ms = ttl_ms, .phase = 1};
    worker workers[WORKERS + 1] = {0};
    harness_directory(directory);
    harness_options(&options, 0, NULL);
    MUST(hf_open(directory, &options, &all.engine));
    MUST(hf_session_open(all.engine, NULL, &session));
    MUST(hf_receive(session, harness_id(9, 9), (hf_line){.name = "one", .name_length = 3, .quantity = 500}, &reply));
    hf_session_close(session);
    for (unsigned i = 0; i <= WORKERS; i++) {
        workers[i] = (worker){.all = &all, .number = i, .random = seed + i};
        workers[i].versions = calloc(OPERATIONS, sizeof(uint64_t));
        CHECK(workers[i].versions, "out of memory");
    }
    harness_threads(WORKERS + 1, run, workers, sizeof workers[0]);
    judge(all.engine, directory, workers, ttl_ms >= 1000);
    for (unsigned i = 0; i <= WORKERS; i++) {
        free(workers[i].versions);
    }
    MUST(hf_close(all.engine));
    harness_remove(directory);
}

int main(void) {
    uint64_t seed = harness_begin("one_sku");
    phase(seed, 3600 * 1000);
    phase(seed, 3);
    return 0;
}
