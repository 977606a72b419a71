/* A busy directory, for whoever reads it meanwhile: threads that reserve several lines at once, confirm, cancel,
 * extend, let expire, count; small segments; checkpoints all the time, so that old log goes.
 *
 *     stress_busy                                 a second in a directory of its own, which is then audited
 *     stress_busy DIRECTORY SECONDS [SKUS [MS]]   for the scripts in tests/cli, which also kill it; a checkpoint each
 *                                                 MS, 0: none
 */
#include "harness.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 3, LINES = 6, RECENT = 64, REST_EVERY = 32 }; /* operations: whoever reads wants the processor, too */

static struct {
    hf_engine *engine;
    uint64_t seed, skus, operations;
    double until;
    uint64_t checkpoint_ms; /* between two; 0: none */
} busy;

static void in_stock(hf_session *session, uint64_t number, uint64_t sku, int64_t quantity, bool count) {
    char name[32];
    hf_reply reply;
    hf_line line = {
        .name = name, .name_length = (size_t)snprintf(name, sizeof name, "sku-%" PRIu64, sku), .quantity = quantity};
    ASK(reply, count ? hf_count(session, harness_id(number, 1), line, &reply)
                     : hf_receive(session, harness_id(number, 1), line, &reply));
}

static size_t some_lines(uint64_t *random, hf_line lines[LINES], char names[LINES][32]) {
    size_t count = 1 + harness_below(random, LINES);
    for (size_t i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(names[i], 32, "sku-%" PRIu64, harness_below(random, busy.skus));
        lines[i] =
            (hf_line){.name = names[i], .name_length = length, .quantity = 1 + (int64_t)harness_below(random, 3)};
    }
    return count;
}

static void one(hf_session *session, uint64_t *random, uint64_t thread, uint64_t turn, hf_id recent[RECENT]) {
    hf_line lines[LINES];
    char names[LINES][32];
    hf_reply reply;
    hf_id *place = &recent[harness_below(random, RECENT)];
    uint64_t number = thread << 48 | turn, what = harness_below(random, 100);
    size_t count = some_lines(random, lines, names);
    if (what < 45) {
        uint64_t ttl = harness_chance(random, 60) ? 1 + harness_below(random, 30) : 60000;
        ASK(reply, hf_reserve(session, harness_id(number, 2), lines, count, ttl, thread, &reply));
        *place = harness_id(number, 2);
    } else if (what < 60) {
        ASK(reply, hf_confirm(session, *place, &reply));
    } else if (what < 75) {
        ASK(reply, hf_cancel(session, *place, &reply));
    } else if (what < 80) {
        ASK(reply, hf_extend(session, *place, 1 + harness_below(random, 40), &reply));
    } else if (what < 90) {
        ASK(reply, hf_purchase(session, harness_id(number, 3), lines, count, &reply));
    } else {
        in_stock(session, number, harness_below(random, busy.skus), (int64_t)harness_below(random, 40) + 1, what >= 98);
    }
}

static void work(void *context) {
    uint64_t thread = *(uint64_t *)context, random = busy.seed + thread * 77, turn = 0;
    hf_id recent[RECENT] = {{{0}}};
    hf_session *session;
    MUST(hf_session_open(busy.engine, NULL, &session));
    for (; harness_seconds() < busy.until; turn++) {
        one(session, &random, thread, turn, recent);
        if (turn % REST_EVERY == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        }
    }
    hf_session_close(session);
    __atomic_fetch_add(&busy.operations, turn, __ATOMIC_RELAXED);
}

static void *take_checkpoints(void *context) {
    (void)context;
    while (busy.checkpoint_ms && harness_seconds() < busy.until) {
        for (uint64_t i = 0; i < busy.checkpoint_ms && harness_seconds() < busy.until; i++) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        MUST(hf_checkpoint(busy.engine));
    }
    return NULL;
}

static void run(const char *directory, double seconds) {
    hf_options options;
    hf_session *session;
    pthread_t checkpoints;
    uint64_t threads[THREADS];
    harness_options(&options, 0, NULL);
    options.retention_ms = 500;
    MUST(hf_open(directory, &options, &busy.engine));
    MUST(hf_session_open(busy.engine, NULL, &session));
    hf_stats stats;
    hf_stats_read(busy.engine, &stats);
    for (uint64_t i = 0; i < busy.skus; i++) {
        in_stock(session, stats.term << 52 | i, i, 1000, false);
    }
    hf_session_close(session);
    busy.until = harness_seconds() + seconds;
    puts("running");
    fflush(stdout);
    CHECK(pthread_create(&checkpoints, NULL, take_checkpoints, NULL) == 0, "a thread");
    for (uint64_t i = 0; i < THREADS; i++) {
        threads[i] = stats.term * THREADS + i;
    }
    harness_threads(THREADS, work, threads, sizeof threads[0]);
    pthread_join(checkpoints, NULL);
    MUST(hf_close(busy.engine));
}

/* Opens it again, read-only, and adds up. */
static bool add_up(void *context, const hf_reservation *reservation, const hf_reservation_line *lines) {
    for (uint32_t i = 0; i < reservation->line_count; i++) {
        *(int64_t *)context += lines[i].quantity;
    }
    return true;
}
static bool add_reserved(void *context, hf_sku *sku, const hf_stock *stock) {
    (void)sku;
    *(int64_t *)context += stock->reserved;
    return true;
}

static uint64_t still(void *context) {
    (void)context;
    return 0;
}

int main(int argc, char **argv) {
    busy.seed = harness_begin("busy");
    busy.skus = argc > 3 ? strtoull(argv[3], NULL, 10) : 40;
    busy.checkpoint_ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 300;
    if (argc > 2) {
        run(argv[1], strtod(argv[2], NULL));
        return 0;
    }
    char directory[HARNESS_PATH];
    hf_options options;
    hf_session *session;
    int64_t live = 0, reserved = 0;
    harness_directory(directory);
    run(directory, 1);
    harness_options(&options, HF_READ_ONLY, NULL);
    options.clock = still;
    MUST(hf_open(directory, &options, &busy.engine));
    MUST(hf_session_open(busy.engine, NULL, &session));
    MUST(hf_reservation_each(session, add_up, &live));
    MUST(hf_sku_each(session, add_reserved, &reserved));
    CHECK(live == reserved, "live reservations have %" PRId64 " units, SKUs %" PRId64 " reserved", live, reserved);
    hf_session_close(session);
    MUST(hf_close(busy.engine));
    harness_remove(directory);
    printf("busy: %" PRIu64 " operations\n", busy.operations);
    return 0;
}
