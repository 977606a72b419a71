/* Sessions that come and go while checkpoints are taken, over several lives of a directory.
 *
 * Guarantees checked
 *   A  A number in the log is one session's alone, also after restarts from a checkpoint.
 *   B  A named session that is opened anew, by whatever thread and also after a restart, finds the position that it was
 *      closed with.
 *   C  A checkpoint may be taken at any moment of a session's life.
 */
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <stdio.h>
#include <stdlib.h>

#define LIVES 3u
#define NAMELESS 2u
#define CHECKPOINTS 6u /* a life */
#define OPENINGS 10000u /* by a worker and life, at most */
#define NUMBERS (LIVES * NAMELESS * OPENINGS + 16)

typedef struct life {
    hf_engine *engine;
    uint64_t number;
    uint32_t is_over;
    uint64_t position; /* of the named session */
} life;

typedef struct part {
    life *life;
    unsigned number; /* NAMELESS: the named one's; NAMELESS + 1: the one that takes checkpoints */
    uint64_t random;
    uint64_t openings;
} part;

static uint64_t receive(hf_session *session, hf_id id, uint64_t position) {
    hf_reply reply;
    hf_line line = {.name = "sku", .name_length = 3, .quantity = 1};
    hf_op op = {.type = HF_OP_RECEIVE, .id = id, .lines = &line, .line_count = 1, .position = position};
    do {
        MUST(hf_submit(session, &op, 1, &reply, NULL));
        MUST(reply.error);
    } while (reply.outcome == HF_OUTCOME_IN_PROGRESS);
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    return reply.ticket;
}

/* Each comes at least once, however soon the checkpoints are taken. */
static bool goes_on(const part *p) {
    return p->openings == 0 ||
           (p->openings < OPENINGS && !hf_load_acquire(&p->life->is_over)); /* edge: the store of take_checkpoints */
}

static void come_and_go(part *p) {
    for (; goes_on(p); p->openings++) {
        hf_session *session;
        MUST(hf_session_open(p->life->engine, NULL, &session));
        (void)receive(session, harness_id(p->life->number * NAMELESS + p->number, p->openings), 0);
        hf_session_close(session);
    }
}

static void go_on(part *p) {
    for (; goes_on(p); p->openings++) {
        hf_session *session;
        MUST(hf_session_open(p->life->engine, "gateway", &session));
        uint64_t found = hf_session_position(session);
        CHECK(found == p->life->position, "position %llu, expected %llu", (unsigned long long)found,
              (unsigned long long)p->life->position);
        uint64_t ticket = receive(session, harness_id(UINT64_MAX, found), found + 1);
        p->life->position = found + 1;
        if (harness_chance(&p->random, 5)) {
            MUST(hf_wait(p->life->engine, ticket, UINT64_MAX));
        }
        hf_session_close(session);
    }
}

static void take_checkpoints(part *p) {
    for (unsigned i = 0; i < CHECKPOINTS; i++) {
        MUST(hf_checkpoint(p->life->engine));
    }
    hf_store_release(&p->life->is_over, 1u); /* edge: to goes_on */
}

static void run(void *context) {
    part *p = context;
    if (p->number > NAMELESS) {
        take_checkpoints(p);
    } else if (p->number < NAMELESS) {
        come_and_go(p);
    } else {
        go_on(p);
    }
}

/* Every number has one operation, but for the named session's. Only the log that is kept can be looked at. */
static uint64_t judge_numbers(const char *directory) {
    static uint32_t operations[NUMBERS];
    hf_log *log;
    hf_record record;
    uint64_t named = 0, seen = 0;
    int more;
    MUST(hf_log_open(directory, 0, &log));
    while ((more = hf_log_next(log, &record)) > 0) {
        if (record.type == HF_RECORD_RECEIVE) {
            CHECK(record.session > 0 && record.session < NUMBERS, "session %u", record.session);
            CHECK(operations[record.session] == 0 || record.position > 0, "session %u is two", record.session);
            CHECK(record.position == 0 || named == 0 || named == record.session, "the named one is %u and %llu",
                  record.session, (unsigned long long)named);
            named = record.position ? record.session : named;
            operations[record.session]++;
            seen++;
        }
    }
    CHECK(more == 0, "%s", hf_error_detail());
    hf_log_close(log);
    return seen;
}

int main(void) {
    uint64_t seed = harness_begin("come_and_go"), position = 0, openings = 0;
    char directory[HARNESS_PATH];
    hf_options options;
    harness_directory(directory);
    harness_options(&options, 0, NULL);
    for (uint64_t number = 0; number < LIVES; number++) {
        life now = {.number = number, .position = position};
        part parts[NAMELESS + 2];
        MUST(hf_open(directory, &options, &now.engine));
        for (unsigned i = 0; i < NAMELESS + 2; i++) {
            parts[i] = (part){&now, i, seed + i, 0};
        }
        harness_threads(NAMELESS + 2, run, parts, sizeof parts[0]);
        MUST(hf_close(now.engine));
        position = now.position; /* hf_close makes everything durable */
        for (unsigned i = 0; i <= NAMELESS; i++) {
            openings += parts[i].openings;
        }
    }
    uint64_t seen = judge_numbers(directory);
    harness_remove(directory);
    printf("come_and_go: %llu sessions, %llu operations still in the log, %u checkpoints\n",
           (unsigned long long)openings, (unsigned long long)seen, LIVES * CHECKPOINTS);
    return 0;
}
