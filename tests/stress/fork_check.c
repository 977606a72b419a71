/* A child process and the engine of its parent.
 *
 * Guarantees checked
 *   A  In the child every call that takes the engine or a session answers HF_EFORK, and none of them harms the
 *      parent.
 *   B  The directory is the parent's: an open in the child, or a second one in the parent, is HF_EBUSY. Read-only
 *      opens.
 *   C  The parent goes on, before and after the child's end, with background threads and without.
 */
#include "tests/support/harness.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct parent {
    char directory[HARNESS_PATH];
    hf_engine *engine;
    hf_session *session;
    hf_sku *sku;
    hf_options options;
} parent;

static bool no_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    (void)sku;
    (void)stock;
    *(bool *)context = true;
    return true;
}

static bool no_reservation(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    (void)found;
    (void)lines;
    *(bool *)context = true;
    return true;
}

#define FORKED(call) CHECK((call) == HF_EFORK, "not HF_EFORK")

static void try_operations(parent *p) {
    hf_reply reply;
    size_t done;
    hf_line line = {.sku = p->sku, .quantity = 1};
    hf_op op = {.type = HF_OP_RECEIVE, .id = harness_id(5, 5), .lines = &line, .line_count = 1};
    FORKED(hf_receive(p->session, harness_id(5, 1), line, &reply));
    CHECK(reply.error == HF_EFORK, "the reply says %s", hf_error_name(reply.error));
    FORKED(hf_adjust(p->session, harness_id(5, 2), line, &reply));
    FORKED(hf_count(p->session, harness_id(5, 3), line, &reply));
    FORKED(hf_purchase(p->session, harness_id(5, 4), &line, 1, &reply));
    FORKED(hf_reserve(p->session, harness_id(5, 6), &line, 1, 10, 0, &reply));
    FORKED(hf_confirm(p->session, harness_id(1, 1), &reply));
    FORKED(hf_cancel(p->session, harness_id(1, 1), &reply));
    FORKED(hf_extend(p->session, harness_id(1, 1), 10, &reply));
    FORKED(hf_submit(p->session, &op, 1, &reply, &done));
}

static void try_the_rest(parent *p) {
    hf_sku *sku;
    hf_stock stock;
    hf_reservation found;
    hf_session *session;
    bool visited = false;
    FORKED(hf_sku_find(p->session, "sku", 3, &sku));
    FORKED(hf_sku_read(p->session, p->sku, &stock));
    FORKED(hf_sku_each(p->session, no_sku, &visited));
    FORKED(hf_reservation_read(p->session, harness_id(1, 1), &found, NULL, 0));
    FORKED(hf_reservation_each(p->session, no_reservation, &visited));
    CHECK(!visited, "an iteration went on in the child");
    FORKED(hf_session_open(p->engine, NULL, &session));
    FORKED(hf_poll(p->engine));
    FORKED(hf_checkpoint(p->engine));
    FORKED(hf_wait(p->engine, UINT64_MAX, 10));
}

/* In the child. */
static void live_as_child(parent *p) {
    hf_engine *engine;
    hf_options options = p->options;
    try_operations(p);
    try_the_rest(p);
    CHECK(hf_open(p->directory, &options, &engine) == HF_EBUSY, "the child opened the parent's directory");
    FORKED(hf_close(p->engine));
    CHECK(hf_open(p->directory, &options, &engine) == HF_EBUSY, "closing in the child released the parent's lock");
    options.flags = HF_NO_THREADS | HF_READ_ONLY;
    MUST(hf_open(p->directory, &options, &engine));
    MUST(hf_close(engine));
    fflush(stdout);
    _exit(0);
}

static void work(parent *p, uint64_t number) {
    hf_reply reply;
    hf_line line = {.name = "sku", .name_length = 3, .quantity = 1};
    ASK(reply, hf_receive(p->session, harness_id(0, number), line, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    MUST(hf_wait(p->engine, reply.ticket, UINT64_MAX));
}

static void with(uint32_t flags) {
    parent p;
    hf_engine *second;
    hf_stock stock;
    int status;
    harness_directory(p.directory);
    harness_options(&p.options, flags, NULL);
    MUST(hf_open(p.directory, &p.options, &p.engine));
    MUST(hf_session_open(p.engine, "parent", &p.session));
    work(&p, 1);
    MUST(hf_sku_find(p.session, "sku", 3, &p.sku));
    CHECK(hf_open(p.directory, &p.options, &second) == HF_EBUSY, "one process opened a directory twice");
    for (uint64_t round = 0; round < 3; round++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            live_as_child(&p);
        }
        CHECK(child > 0, "no child");
        for (uint64_t i = 0; i < 20; i++) {
            work(&p, 100 + round * 100 + i);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "the child failed: %d", status);
        work(&p, 2 + round);
    }
    MUST_AT_LAST(hf_sku_read(p.session, p.sku, &stock));
    CHECK(stock.on_hand == 64 && stock.version == 64, "on_hand %lld version %llu", (long long)stock.on_hand,
          (unsigned long long)stock.version);
    hf_session_close(p.session);
    MUST(hf_close(p.engine));
    MUST(hf_open(p.directory, &p.options, &p.engine));
    MUST(hf_close(p.engine));
    harness_remove(p.directory);
}

int main(void) {
    (void)harness_begin("fork_check");
    with(HF_NO_THREADS);
    with(0);
    printf("fork_check: 6 children refused everywhere, their parents went on\n");
    return 0;
}
