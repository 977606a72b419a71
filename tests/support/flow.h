/* A random flow: an engine without threads on files of the test's own, beside the slow model; and what a crash may leave of it.
 *
 * Guarantees
 *   A  Every reply is checked against the model as it comes.
 *   B  At every moment the states that a crash may leave are known: that of the last durable epoch, and those of epochs that are
 *      just being sealed. flow_judge says whether an engine is in one of them.
 *   C  An epoch may be made to turn between any two steps of an operation, and another session to come between them, by
 *      flow_step's own choice: deterministically, by a hook at hf_part_step (the program is linked with --wrap=hf_part_step).
 *
 * What an operation that straddles epochs e and e + 1 is worth to a log that ends with e:
 *      taking      nothing, but for two versions of each SKU that it took in e: recovery gives back
 *      releasing   everything: recovery completes it
 */
#ifndef FLOW_H
#define FLOW_H

#include "harness.h"
#include "model.h"

#include "engine/engine.h"

#define FLOW_DIRECTORY "disk/engine"
enum { FLOW_LINES = 24 };

/* A state that a crash may leave. */
typedef struct flow_mark {
    model *model;
    uint64_t position;
    uint64_t epoch; /* the last one in it */
    uint64_t or_position; /* or this one: a refusal that was looked at twice may be noted an epoch later */
} flow_mark;

/* X(name): what a flow counts. */
#define FLOW_COUNT_MAP(X) X(operations) X(polls) X(checkpoints) X(reopens) X(turns) X(turned_checkpoints) X(undone)

typedef struct flow {
    uint64_t random;
    harness_clock clock;
    hf_options options;
    const hf_files *files;
    hf_engine *engine;
    hf_session *session; /* bears the name "flow" and positions */
    hf_session *other;   /* neither */
    model *model;
    uint64_t position, next_position;
    uint64_t ticket;     /* the highest answered */
    flow_mark marks[3];  /* the durable one, and what is being sealed after it; ascending epochs */
    unsigned mark_count;
    uint32_t most_lines; /* of an operation */
#define X(name) uint64_t name;
    FLOW_COUNT_MAP(X)
#undef X
} flow;

/* A new world on empty files, by its seed; opens the engine. */
void flow_begin(flow *f, uint64_t seed, const hf_files *files);
void flow_end(flow *f); /* the engine is closed */
/* Random options for an opening; the clock is the caller's. */
void flow_options(uint64_t *random, const model *m, harness_clock *clock, hf_options *options);
void flow_open(flow *f);
void flow_close(flow *f);
/* Opens on other files, which hold what a crash left: the world goes on from the mark that is found there. */
void flow_move(flow *f, const hf_files *files);

/* One step: an operation, time, a poll, a checkpoint, ... */
void flow_step(flow *f);
/* Makes all that was done durable. */
void flow_poll(flow *f);

/* Whether a watcher of the disk may open engines now: not while an operation waits for its epoch to turn, since grace periods are
 * those of all engines. */
bool flow_may_look(void);
/* Whether a crash now may leave mark `i`. */
bool flow_may_leave(const flow *f, unsigned i);
/* NULL: the engine is as the mark says, at the engine's time, and keeps every invariant; else the first difference. `session` is
 * one of it. Any thread, one at a time. */
const char *flow_difference(const flow_mark *mark, hf_engine *engine);

#endif
