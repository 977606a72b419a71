/* Threads that receive the same new SKUs at the same time, into a table that begins tiny.
 *
 * Guarantees checked
 *   A  Each SKU is made once: every thread is given the same handle, and no unit or version is lost.
 *   B  A SKU that was made is found at every later moment, also while the table grows.
 *   C  hf_sku_each visits each exactly once; what nobody made is not found.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4u
#define SKUS 6000u

typedef struct maker {
    hf_engine *engine;
    unsigned number;
    uint64_t random;
    hf_sku **handles;
} maker;

/* Short ones lie in the SKU's line, long ones out of it. */
static size_t name_of(unsigned number, char name[HF_MAX_SKU_NAME]) {
    size_t length = number % 5 == 0 ? 20 + number % (HF_MAX_SKU_NAME - 20) : 8;
    memset(name, 'x', length);
    char digits[9];
    snprintf(digits, sizeof digits, "%08u", number);
    memcpy(name + length - 8, digits, 8);
    return length;
}

static void run(void *context) {
    maker *m = context;
    hf_session *session;
    MUST(hf_session_open(m->engine, NULL, &session));
    for (unsigned i = 0; i < SKUS; i++) {
        char name[HF_MAX_SKU_NAME];
        hf_reply reply;
        hf_sku *again;
        size_t length = name_of(i, name);
        hf_line line = {.name = name, .name_length = length, .quantity = 1};
        ASK(reply, hf_receive(session, harness_id(m->number, i), line, &reply));
        CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
        MUST(hf_sku_find(session, name, length, &m->handles[i]));
        unsigned earlier = (unsigned)harness_below(&m->random, i + 1);
        length = name_of(earlier, name);
        MUST(hf_sku_find(session, name, length, &again));
        CHECK(again == m->handles[earlier], "SKU %u has two handles", earlier);
        name[length - 1] = 'n';
        CHECK(hf_sku_find(session, name, length, &again) == HF_ENOTFOUND, "a SKU that nobody made was found");
    }
    hf_session_close(session);
}

typedef struct census {
    unsigned seen[SKUS];
    unsigned count;
} census;

static bool visit(void *context, hf_sku *sku, const hf_stock *stock) {
    census *all = context;
    size_t length;
    const char *name = hf_sku_name(sku, &length);
    char digits[9] = {0};
    memcpy(digits, name + length - 8, 8);
    unsigned number = (unsigned)atoi(digits);
    CHECK(number < SKUS && all->seen[number]++ == 0, "SKU %u is visited twice", number);
    CHECK(stock->on_hand == THREADS && stock->version == THREADS && stock->reserved == 0,
          "SKU %u: on_hand %lld version %llu, expected %u", number, (long long)stock->on_hand,
          (unsigned long long)stock->version, THREADS);
    all->count++;
    return true;
}

static void judge(hf_engine *engine, const char *when) {
    static census all;
    hf_session *session;
    hf_stats stats;
    memset(&all, 0, sizeof all);
    MUST(hf_session_open(engine, NULL, &session));
    MUST(hf_sku_each(session, visit, &all));
    hf_stats_read(engine, &stats);
    CHECK(all.count == SKUS && stats.skus == SKUS, "%s: %u SKUs visited, %llu by the gauge, expected %u", when,
          all.count, (unsigned long long)stats.skus, SKUS);
    hf_session_close(session);
}

int main(void) {
    char directory[HARNESS_PATH];
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    hf_stats stats;
    maker makers[THREADS];
    uint64_t seed = harness_begin("new_skus");
    harness_directory(directory);
    harness_options(&options, 0, NULL);
    options.expected_skus = 1;
    options.expected_reservations = 1;
    MUST(hf_open(directory, &options, &engine));
    for (unsigned i = 0; i < THREADS; i++) {
        makers[i] =
            (maker){.engine = engine, .number = i, .random = seed + i, .handles = calloc(SKUS, sizeof(hf_sku *))};
        CHECK(makers[i].handles, "out of memory");
    }
    harness_threads(THREADS, run, makers, sizeof makers[0]);
    for (unsigned i = 1; i < THREADS; i++) {
        CHECK(memcmp(makers[0].handles, makers[i].handles, SKUS * sizeof(hf_sku *)) == 0,
              "threads have different handles");
    }
    judge(engine, "after the threads");
    hf_stats_read(engine, &stats);
    MUST(hf_close(engine));
    MUST(hf_open(directory, &options, &engine));
    judge(engine, "after a restart");
    MUST(hf_session_open(engine, NULL, &session));
    uint64_t steps = audit_compare(directory, session);
    hf_session_close(session);
    MUST(hf_close(engine));
    harness_remove(directory);
    for (unsigned i = 0; i < THREADS; i++) {
        free(makers[i].handles);
    }
    printf("new_skus: %u SKUs made by %u threads at once, table of %llu levels, %llu steps audited\n", SKUS, THREADS,
           (unsigned long long)stats.sku_levels, (unsigned long long)steps);
    return 0;
}
