/* holdfast run: an order flow into a directory, durably, on the flow's own clock.
 *
 * Guarantees
 *   A  Exactly once: each operation bears the number of its last row as its position, which the engine keeps with it. A
 *      run after a crash skips what lies at or below the durable position, and answers go on where they were.
 *   B  The outcomes file is at or ahead of the log (outcomes.h), so that at the end it is the same, byte for byte,
 *      whether or not the run was ever killed.
 *   C  The engine's clock is the time of the operation at hand, never that of a row not yet carried out, never the
 *      wall's.
 *   D  A bad row ends the run; every operation before it is durable, nothing of its own operation is done.
 *
 *     rows -> operation -> engine (memory) -> outcome (memory)
 *                             every --batch rows:  1. outcomes to disk    2. hf_poll: the epoch to disk
 */
#include "flow.h"
#include "options.h"
#include "outcomes.h"
#include "progress.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: holdfast run --dir D FLOW [--outcomes O.csv] [--stock S.csv]\n"
    "                    [--checkpoint-every ROWS] [--batch ROWS]\n"
    "\n"
    "Runs the order flow FLOW (plain, .zst or .xz; - for standard input) into directory D, which is made if it is\n"
    "missing. Time is the flow's own. Run again after a crash or a stop, it goes on after the last durable\n"
    "operation.\n"
    "\n"
    "  --outcomes O.csv         row,outcome of each operation; after a crash it goes on without a gap or a repeat\n"
    "  --stock S.csv            sku,on_hand,reserved of every SKU, when the flow is done\n"
    "  --checkpoint-every ROWS  a checkpoint each time so many rows are done, so that a restart replays less\n"
    "  --batch ROWS             rows to one durable epoch, about; 32768\n"
    "\n"
    "exit status: 0 the flow is done; 1 a bad row (file, row and what is wrong are told; everything before it is\n"
    "done and durable), or the directory or O.csv is not of this flow; 2 wrong usage; 3 system trouble; 130, 143\n"
    "stopped by SIGINT, SIGTERM after making durable what was done\n";

#define SESSION "flow"
#define RING_BYTES (4u << 20)
#define SEGMENT_BYTES (UINT64_C(16) << 20)

typedef struct hf_run {
    const char *directory, *flow_path, *outcomes_path, *stock_path;
    uint64_t checkpoint_every, batch;

    hf_flow *flow;
    hf_engine *engine;
    hf_session *session;
    hf_outcomes *outcomes; /* NULL: not wanted */
    hf_progress progress;

    uint64_t now;           /* what the engine's clock reads */
    uint64_t position;      /* the last row that earlier runs did */
    uint64_t done;          /* the last row done */
    uint64_t durable;       /* the last row that is durable */
    uint64_t checkpoint_at; /* rows up to here are in a checkpoint */
    uint64_t operations, skipped;
    uint64_t counts[HF_OP_TYPE_END][HF_OUTCOME_COUNT];
} hf_run;

static int read_command_line(hf_run *run, int argc, char **argv) {
    static const char rows[] = "a number of rows, 1 or more";
    *run = (hf_run){.batch = 32768};
    const hf_option options[] = {
        {"dir", .text = &run->directory, .is_required = true},
        {"outcomes", .text = &run->outcomes_path},
        {"stock", .text = &run->stock_path},
        {"checkpoint-every", .number = &run->checkpoint_every, .least = 1, .most = UINT64_MAX, .expected = rows},
        {"batch", .number = &run->batch, .least = 1, .most = UINT64_C(1) << 40, .expected = rows},
        {0},
    };
    int exit_code = hf_read_options(argc, argv, help, options, true);
    if (exit_code)
        return exit_code;
    if (optind + 1 != argc)
        return hf_tell_usage("run", optind == argc ? "run: the flow is missing" : "run: one flow was expected");
    run->flow_path = argv[optind];
    return HF_EXIT_FINE;
}

static int open_all(hf_run *run) {
    run->flow = hf_flow_open(run->flow_path);
    if (!run->flow)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    hf_options options;
    hf_tool_options(&options, HF_NO_THREADS, &run->now);
    options.ring_bytes = RING_BYTES;
    options.segment_bytes = SEGMENT_BYTES;
    int error = hf_open(run->directory, &options, &run->engine);
    if (!error)
        error = hf_session_open(run->engine, SESSION, &run->session);
    if (error)
        return hf_tell_error(error, run->directory);
    run->position = run->done = run->durable = run->checkpoint_at = hf_session_position(run->session);
    if (!run->outcomes_path)
        return HF_EXIT_FINE;
    return hf_outcomes_open(run->outcomes_path, run->position > 0, &run->outcomes);
}

/* Where outcomes of operations done could not be written, the engine is left to the end of the process, as by a crash:
 * closing it would make the log durable beyond the outcomes file. */
static int close_all(hf_run *run, int exit_code) {
    int error = HF_SUCCESS;
    if (!run->outcomes || run->durable == run->done) {
        hf_session_close(run->session);
        error = hf_close(run->engine);
    }
    hf_outcomes_close(run->outcomes);
    hf_flow_close(run->flow);
    return error && exit_code == HF_EXIT_FINE ? hf_tell_error(error, run->directory) : exit_code;
}

/* ---- durability -------------------------------------------------------------------------------------------------- */

/* Guarantee B: this order, and no other call of the engine that makes an epoch durable without it. */
static int make_durable(hf_run *run) {
    int exit_code = run->outcomes ? hf_outcomes_sync(run->outcomes) : HF_EXIT_FINE;
    if (exit_code)
        return exit_code;
    int error = hf_poll(run->engine);
    if (error)
        return hf_tell_error(error, run->directory);
    run->durable = run->done;
    hf_progress_show(&run->progress, hf_flow_consumed(run->flow), hf_flow_size(run->flow), run->done, "rows");
    return HF_EXIT_FINE;
}

static int end_batch(hf_run *run) {
    int exit_code = make_durable(run);
    if (exit_code || !run->checkpoint_every || run->done - run->checkpoint_at < run->checkpoint_every)
        return exit_code;
    int error = hf_checkpoint(run->engine);
    if (error)
        return hf_tell_error(error, "taking a checkpoint");
    run->checkpoint_at = run->done;
    return HF_EXIT_FINE;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

/* An operation that the durable position covers: only checked against the outcomes file. */
static int skip(hf_run *run, const hf_flow_operation *operation) {
    run->skipped++;
    if (operation->last_row > run->position)
        return hf_tell(HF_EXIT_DATA,
                       "%s: row %" PRIu64 ": its operation goes on to row %" PRIu64
                       ", but %s says that rows up to %" PRIu64
                       " are done: expected the flow of the earlier run; nothing was changed",
                       run->flow_path, operation->first_row, operation->last_row, run->directory, run->position);
    return run->outcomes ? hf_outcomes_check(run->outcomes, operation->first_row) : HF_EXIT_FINE;
}

/* One operation into the engine, making room in its log ring where that is full. */
static int submit(hf_run *run, const hf_flow_operation *operation, hf_reply *reply) {
    hf_op op = operation->op;
    op.position = operation->last_row;
    int error = hf_submit(run->session, &op, 1, reply, NULL);
    if (error == HF_EAGAIN || (!error && reply->error == HF_EAGAIN)) {
        int exit_code = make_durable(run);
        if (exit_code)
            return exit_code;
        error = hf_submit(run->session, &op, 1, reply, NULL);
    }
    if (!error)
        error = reply->error;
    if (!error)
        return HF_EXIT_FINE;
    char where[512];
    snprintf(where, sizeof where, "%.400s: row %" PRIu64, run->flow_path, operation->first_row);
    return hf_tell_error(error, where);
}

static int carry_out(hf_run *run, const hf_flow_operation *operation) {
    if (operation->time_ms != run->now || run->operations == 0) {
        run->now = operation->time_ms;
        hf_refresh_clock(run->engine);
    }
    hf_reply reply;
    int exit_code = submit(run, operation, &reply);
    if (exit_code)
        return exit_code;
    run->operations++;
    run->counts[operation->op.type][reply.outcome]++;
    run->done = operation->last_row;
    if (run->outcomes)
        exit_code = hf_outcomes_add(run->outcomes, operation->first_row, reply.outcome);
    if (exit_code == HF_EXIT_FINE && run->done - run->durable >= run->batch)
        exit_code = end_batch(run);
    return exit_code;
}

/* The operations that are done already. HF_FLOW_OPERATION: *operation is the first that is not; else the flow's end or
 * error; or, with *exit_code set, nothing can be done. */
static int skip_done(hf_run *run, const hf_flow_operation **operation, int *exit_code) {
    int result;
    while ((result = hf_flow_next(run->flow, operation)) == HF_FLOW_OPERATION &&
           (*operation)->first_row <= run->position && !hf_stop_signal)
        if ((*exit_code = skip(run, *operation)) != HF_EXIT_FINE)
            return HF_FLOW_FAILED;
    if (result == HF_FLOW_END && hf_flow_rows(run->flow) < run->position)
        *exit_code =
            hf_tell(HF_EXIT_DATA,
                    "%s: it has %" PRIu64 " rows, but %s says that rows up to %" PRIu64 " are done: expected the "
                    "flow of the earlier run; nothing was changed",
                    run->flow_path, hf_flow_rows(run->flow), run->directory, run->position);
    return hf_stop_signal ? HF_FLOW_INTERRUPTED : result;
}

static int run_flow(hf_run *run) {
    const hf_flow_operation *operation;
    int exit_code = HF_EXIT_FINE;
    int result = skip_done(run, &operation, &exit_code);
    if (exit_code == HF_EXIT_FINE && result == HF_FLOW_FAILED && hf_flow_rows(run->flow) <= run->position)
        exit_code = hf_tell(hf_flow_exit_code(run->flow), "%s", hf_flow_problem(run->flow));
    if (exit_code || (result == HF_FLOW_INTERRUPTED && run->position > 0))
        return exit_code ? exit_code : 128 + hf_stop_signal;
    if (run->outcomes)
        exit_code = hf_outcomes_go_on(run->outcomes);
    while (exit_code == HF_EXIT_FINE && result == HF_FLOW_OPERATION && !hf_stop_signal) {
        exit_code = carry_out(run, operation);
        if (exit_code == HF_EXIT_FINE)
            result = hf_flow_next(run->flow, &operation);
    }
    if (exit_code == HF_EXIT_SYSTEM)
        return exit_code;
    int last = make_durable(run);
    hf_progress_end(&run->progress);
    if (last || exit_code)
        return last ? last : exit_code;
    if (result == HF_FLOW_FAILED)
        return hf_tell(hf_flow_exit_code(run->flow), "%s", hf_flow_problem(run->flow));
    return hf_stop_signal ? 128 + hf_stop_signal : HF_EXIT_FINE;
}

/* ---- what it leaves ---------------------------------------------------------------------------------------------- */

/* Whole or not at all: a temporary file beside it, synced, then renamed. */
static int write_stock(hf_run *run) {
    char *temporary;
    if (asprintf(&temporary, "%s.tmp", run->stock_path) < 0)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    FILE *out = fopen(temporary, "we");
    int exit_code = out ? hf_stock_write_csv(run->session, out) : HF_EXIT_FINE;
    bool written = out && exit_code == HF_EXIT_FINE && fflush(out) == 0 && fsync(fileno(out)) == 0;
    int saved = errno;
    if (out && fclose(out) != 0)
        written = false;
    if (written && rename(temporary, run->stock_path) != 0) {
        saved = errno;
        written = false;
    }
    if (!written && exit_code == HF_EXIT_FINE)
        exit_code = hf_tell(HF_EXIT_SYSTEM, "%s: %s", run->stock_path, strerror(saved));
    if (!written && out)
        unlink(temporary);
    free(temporary);
    return exit_code;
}

static void print_counts(const hf_run *run) {
    for (hf_op_type type = HF_OP_RECEIVE; type < HF_OP_TYPE_END; type++)
        for (hf_outcome outcome = HF_OUTCOME_OK; outcome < HF_OUTCOME_COUNT; outcome++)
            if (run->counts[type][outcome])
                printf("  %-9s %-17s %12" PRIu64 "\n", hf_op_text(type), hf_outcome_text(outcome),
                       run->counts[type][outcome]);
}

static void print_summary(const hf_run *run, const hf_stats *stats, double seconds, int exit_code) {
    uint64_t rows = run->done - run->position;
    if (run->position)
        printf("%s after row %" PRIu64 " (%" PRIu64 " operations were done before)\n",
               rows ? "went on" : "nothing was left to do", run->position, run->skipped);
    printf("rows %" PRIu64 ", operations %" PRIu64 "\n", rows, run->operations);
    print_counts(run);
    printf("seconds %.3f, rows/s %.0f\n", seconds, seconds > 0 ? (double)rows / seconds : 0.0);
    printf("epochs %" PRIu64 ", fsyncs %" PRIu64 ", log bytes %" PRIu64 ", expired %" PRIu64 ", live %" PRIu64
           ", SKUs %" PRIu64 "\n",
           stats->epochs_written, stats->fsyncs, stats->log_bytes, stats->expired, stats->live, stats->skus);
    if (exit_code > 128)
        printf("stopped by signal %d: rows up to %" PRIu64 " are durable; run the same command again to go on\n",
               exit_code - 128, run->done);
}

int hf_command_run(int argc, char **argv) {
    static hf_run run; /* static: what close_all leaves open stays reachable */
    int exit_code = read_command_line(&run, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_catch_signals();
    hf_progress_begin(&run.progress);
    hf_stats stats = {0};
    exit_code = open_all(&run);
    bool opened = exit_code == HF_EXIT_FINE;
    if (opened)
        exit_code = run_flow(&run);
    hf_progress_end(&run.progress);
    if (exit_code == HF_EXIT_FINE && run.stock_path)
        exit_code = write_stock(&run);
    if (opened)
        hf_stats_read(run.engine, &stats);
    exit_code = close_all(&run, exit_code);
    double seconds = (double)(hf_monotonic_ns() - run.progress.started_ns) / 1e9;
    if (opened)
        print_summary(&run, &stats, seconds, exit_code);
    return hf_finish_output(exit_code);
}
