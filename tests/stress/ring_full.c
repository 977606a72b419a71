/* A log ring that fills up.
 *
 * Guarantees checked
 *   A  HF_NONBLOCKING: HF_EAGAIN appears, changes nothing, and the same operation succeeds later; none is lost or
 *      doubled.
 *   B  Blocking: nobody is told HF_EAGAIN, and everybody finishes.
 *   C  HF_NO_THREADS: HF_EAGAIN until hf_poll. hf_submit says how many were tried.
 */
#include "tests/support/audit.h"
#include "tests/support/harness.h"

#include "engine/engine.h"
#include "wal/atomic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SKUS 1000u
#define BASKETS 300u
#define THREADS 3u

typedef struct filler {
    hf_engine *engine;
    unsigned number;
    bool may_be_told;
    uint64_t told; /* HF_EAGAIN */
    hf_line lines[SKUS];
    char names[SKUS][8];
} filler;

/* While it is shut no sync ends, so nothing leaves the rings, however slow the fillers are. */
static uint32_t gate_is_shut;

static void wait_at_gate(void) {
    while (hf_load_acquire(&gate_is_shut)) { /* edge: from open_gate, for an end only */
        usleep(1000);
    }
}
static void open_gate(void) { hf_store_release(&gate_is_shut, 0u); } /* edge: to wait_at_gate */

static int sync_at_gate(void *context, int file) {
    wait_at_gate();
    return hf_files_system()->sync(context, file);
}

static const hf_files *files_at_gate(void) {
    static hf_files files;
    files = *hf_files_system();
    files.sync = sync_at_gate;
    return &files;
}

static void name_lines(filler *f) {
    for (unsigned i = 0; i < SKUS; i++) {
        snprintf(f->names[i], sizeof f->names[i], "%06u", i);
        f->lines[i] = (hf_line){.name = f->names[i], .name_length = 6, .quantity = 1};
    }
}

/* A basket of every SKU: tens of kilobytes of log. */
static void run(void *context) {
    filler *f = context;
    hf_session *session;
    MUST(hf_session_open(f->engine, NULL, &session));
    for (unsigned i = 0; i < BASKETS; i++) {
        hf_reply reply;
        hf_id id = harness_id(f->number, i);
        int error;
        do {
            error = i % 2 == 0 ? hf_reserve(session, id, f->lines, SKUS, HF_MAX_TTL_MS, 0, &reply)
                               : hf_purchase(session, id, f->lines, SKUS, &reply);
            CHECK(error == HF_SUCCESS || (error == HF_EAGAIN && f->may_be_told), "%s", hf_error_name(error));
            CHECK(error == reply.error, "returned %s, replied %s", hf_error_name(error), hf_error_name(reply.error));
            if (error == HF_EAGAIN) {
                f->told++;
                open_gate();
            }
        } while (error == HF_EAGAIN || reply.outcome == HF_OUTCOME_IN_PROGRESS);
        CHECK(reply.outcome == HF_OUTCOME_OK, "basket %u: %s", i, hf_outcome_text(reply.outcome));
    }
    open_gate(); /* also if nobody was told, which main complains of */
    hf_session_close(session);
}

static bool visit(void *context, hf_sku *sku, const hf_stock *stock) {
    unsigned baskets = *(unsigned *)context;
    (void)sku;
    CHECK(stock->on_hand == 100000 - baskets / 2 && stock->reserved == baskets / 2 && stock->version == baskets + 1,
          "on_hand %lld reserved %lld version %llu after %u baskets", (long long)stock->on_hand,
          (long long)stock->reserved, (unsigned long long)stock->version, baskets);
    return true;
}

static void judge(const char *directory, hf_engine *engine, unsigned baskets) {
    hf_session *session;
    MUST(hf_session_open(engine, NULL, &session));
    MUST(hf_sku_each(session, visit, &baskets));
    MUST(hf_poll(engine));
    audit_compare(directory, session);
    hf_session_close(session);
}

static hf_engine *open_stocked(const char *directory, uint32_t flags, filler *f) {
    hf_options options;
    hf_engine *engine;
    hf_session *session;
    hf_reply reply;
    harness_options(&options, flags, NULL);
    options.ring_bytes = 512u << 10;
    MUST(hf_open_on(files_at_gate(), directory, &options, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    for (unsigned i = 0; i < SKUS; i++) {
        hf_line line = f->lines[i];
        line.quantity = 100000;
        int error;
        while ((error = hf_receive(session, harness_id(77, i), line, &reply)) == HF_EAGAIN) {
            MUST(hf_poll(engine));
        }
        MUST(error);
    }
    hf_session_close(session);
    return engine;
}

static uint64_t with_threads(uint32_t flags) {
    char directory[HARNESS_PATH];
    filler *fillers = calloc(THREADS, sizeof *fillers);
    uint64_t told = 0;
    CHECK(fillers, "out of memory");
    harness_directory(directory);
    for (unsigned i = 0; i < THREADS; i++) {
        name_lines(&fillers[i]);
    }
    hf_engine *engine = open_stocked(directory, flags, &fillers[0]);
    for (unsigned i = 0; i < THREADS; i++) {
        fillers[i].engine = engine;
        fillers[i].number = i;
        fillers[i].may_be_told = flags & HF_NONBLOCKING;
    }
    hf_store_release(&gate_is_shut, flags & HF_NONBLOCKING ? 1u : 0u); /* edge: to wait_at_gate */
    harness_threads(THREADS, run, fillers, sizeof fillers[0]);
    for (unsigned i = 0; i < THREADS; i++) {
        told += fillers[i].told;
    }
    judge(directory, engine, THREADS * BASKETS);
    MUST(hf_close(engine));
    harness_remove(directory);
    free(fillers);
    return told;
}

/* All in one hf_submit; after each stop nothing of what was not tried may be seen. */
static uint64_t with_poll(void) {
    char directory[HARNESS_PATH];
    filler *f = calloc(1, sizeof *f);
    hf_op *ops = calloc(BASKETS, sizeof *ops);
    hf_reply *replies = calloc(BASKETS, sizeof *replies);
    hf_session *session;
    uint64_t told = 0;
    CHECK(f && ops && replies, "out of memory");
    harness_directory(directory);
    name_lines(f);
    hf_engine *engine = open_stocked(directory, HF_NO_THREADS, f);
    MUST(hf_session_open(engine, NULL, &session));
    for (unsigned i = 0; i < BASKETS; i++) {
        ops[i] = (hf_op){
            .type = HF_OP_RESERVE, .id = harness_id(1, i), .lines = f->lines, .line_count = SKUS, .ttl_ms = 1 << 30};
        ops[i].type = i % 2 == 0 ? HF_OP_RESERVE : HF_OP_PURCHASE;
    }
    for (unsigned from = 0, idle = 0; from < BASKETS;) {
        size_t done = 0;
        int error = hf_submit(session, ops + from, BASKETS - from, replies + from, &done);
        CHECK(error == (done == BASKETS - from ? HF_SUCCESS : HF_EAGAIN), "%s, %zu done", hf_error_name(error), done);
        for (unsigned i = from; i < from + done; i++) {
            CHECK(replies[i].error == HF_SUCCESS && replies[i].outcome == HF_OUTCOME_OK, "basket %u: %s %s", i,
                  hf_error_name(replies[i].error), hf_outcome_text(replies[i].outcome));
        }
        from += (unsigned)done;
        idle = done ? 0 : idle + 1;
        CHECK(idle < 3, "hf_poll makes no room");
        if (error) {
            hf_stock stock;
            hf_sku *sku;
            MUST(hf_sku_find(session, "000000", 6, &sku));
            MUST(hf_sku_read(session, sku, &stock));
            CHECK(stock.version == from + 1, "version %llu after %u baskets", (unsigned long long)stock.version, from);
            told++;
            MUST(hf_poll(engine));
        }
    }
    hf_session_close(session);
    judge(directory, engine, BASKETS);
    MUST(hf_close(engine));
    harness_remove(directory);
    free(f);
    free(ops);
    free(replies);
    return told;
}

int main(void) {
    (void)harness_begin("ring_full");
    uint64_t nonblocking = with_threads(HF_NONBLOCKING), polled = with_poll();
    CHECK(nonblocking > 0 && polled > 0, "the ring was never full: %llu, %llu", (unsigned long long)nonblocking,
          (unsigned long long)polled);
    CHECK(with_threads(0) == 0, "a blocking session was told HF_EAGAIN");
    printf("ring_full: %llu times full without blocking, %llu times until polled; blocking sessions finished\n",
           (unsigned long long)nonblocking, (unsigned long long)polled);
    return 0;
}
