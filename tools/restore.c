/* A past state as a new directory: made through the engine as anybody would, so that it opens as any other.
 *
 * Guarantees
 *   A  Stock and live reservations are those of the past: id, lines, deadline, user. Nothing else is carried over: no
 *      versions, no ids of what has ended (so no duplicate is known), no positions of sessions.
 *   B  The directory appears whole, or not at all: it is made as DIR.tmp and renamed.
 *   C  Its clock stands at the past's time; before the first deadline, where an expiry was overdue then.
 *
 * Each SKU is counted in, the reservations are made, then what a count had put below its reserved units is counted
 * down.
 */
#include "copy.h"
#include "past.h"
#include "progress.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct restoring {
    const hf_past *past;
    char *path; /* where it is made */
    uint64_t now, done;
    hf_opened opened;
    hf_sku **skus; /* by index */
    hf_progress progress;
} restoring;

/* An id of this operation's own, that no order flow has. */
static hf_id own_id(const char *what, size_t number) {
    char text[64];
    int length = snprintf(text, sizeof text, "holdfast replay into: %s %zu", what, number);
    return hf_id_from_text(text, (size_t)length);
}

static int carry_out(restoring *r, const hf_op *op) {
    hf_reply reply;
    int error = hf_submit(r->opened.session, op, 1, &reply, NULL);
    if (error == HF_EAGAIN && (error = hf_poll(r->opened.engine)) == HF_SUCCESS)
        error = hf_submit(r->opened.session, op, 1, &reply, NULL);
    error = error ? error : reply.error;
    if (error)
        return hf_tell_error(error, r->path);
    if (reply.outcome != HF_OUTCOME_OK) {
        char id[33];
        hf_id_to_text(op->id, id);
        return hf_tell(HF_EXIT_DATA, "%s: %s %s was answered %s", r->path, hf_op_text(op->type), id,
                       hf_outcome_text(reply.outcome));
    }
    r->done++;
    hf_progress_show(&r->progress, r->done, r->past->sku_count + r->past->claim_count, r->done, "operations");
    return HF_EXIT_FINE;
}

static int count_in(restoring *r) {
    int exit_code = HF_EXIT_FINE;
    for (size_t i = 0; i < r->past->sku_count && !exit_code; i++) {
        const hf_past_sku *sku = &r->past->skus[i];
        hf_line line = {.name = sku->name,
                        .name_length = sku->length,
                        .quantity = sku->on_hand > sku->reserved ? sku->on_hand : sku->reserved};
        hf_op op = {.type = HF_OP_COUNT, .id = own_id("count", i), .lines = &line, .line_count = 1};
        exit_code = carry_out(r, &op);
        if (!exit_code && hf_sku_find(r->opened.session, sku->name, sku->length, &r->skus[i]))
            exit_code = hf_tell_error(HF_ENOTFOUND, r->path);
    }
    return exit_code;
}

static int reserve_all(restoring *r) {
    static hf_line lines[HF_MAX_LINES];
    int exit_code = HF_EXIT_FINE;
    for (size_t i = 0; i < r->past->claim_count && !exit_code; i++) {
        const hf_past_claim *claim = &r->past->claims[i];
        for (uint32_t k = 0; k < claim->line_count && k < HF_MAX_LINES; k++)
            lines[k] = (hf_line){.sku = r->skus[claim->lines[k].sku], .quantity = claim->lines[k].quantity};
        hf_op op = {.type = HF_OP_RESERVE,
                    .id = claim->id,
                    .lines = lines,
                    .line_count = claim->line_count,
                    .ttl_ms = claim->deadline_ms - r->now,
                    .user = claim->user};
        exit_code = carry_out(r, &op);
    }
    return exit_code;
}

static int count_down(restoring *r) {
    int exit_code = HF_EXIT_FINE;
    for (size_t i = 0; i < r->past->sku_count && !exit_code; i++) {
        const hf_past_sku *sku = &r->past->skus[i];
        hf_line line = {.sku = r->skus[i], .quantity = sku->on_hand};
        hf_op op = {.type = HF_OP_COUNT, .id = own_id("count down", i), .lines = &line, .line_count = 1};
        if (sku->on_hand < sku->reserved)
            exit_code = carry_out(r, &op);
    }
    return exit_code;
}

static int fill(restoring *r) {
    hf_options options;
    hf_tool_options(&options, HF_NO_THREADS, &r->now);
    options.expected_skus = r->past->sku_count ? r->past->sku_count : 1;
    options.expected_reservations = r->past->sku_count + r->past->claim_count + 1;
    int error = hf_open(r->path, &options, &r->opened.engine);
    error = error ? error : hf_session_open(r->opened.engine, NULL, &r->opened.session);
    if (error)
        return hf_close_directory(&r->opened, hf_tell_error(error, r->path));
    int exit_code = count_in(r);
    exit_code = exit_code ? exit_code : reserve_all(r);
    exit_code = exit_code ? exit_code : count_down(r);
    return hf_close_directory(&r->opened, exit_code);
}

/* ---- the directory ----------------------------------------------------------------------------------------------- */

static bool is_there(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0 || errno != ENOENT;
}

static int sync_parent(const char *path) {
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && fsync(fd) == 0;
    int exit_code = synced ? HF_EXIT_FINE : hf_tell(HF_EXIT_SYSTEM, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(copy);
    return exit_code;
}

static uint64_t first_clock(const hf_past *past) {
    uint64_t now = past->time_ms;
    for (size_t i = 0; i < past->claim_count; i++)
        if (past->claims[i].deadline_ms <= now)
            now = past->claims[i].deadline_ms ? past->claims[i].deadline_ms - 1 : 0;
    return now;
}

int hf_past_restore(const hf_past *past, const char *directory) {
    restoring r = {.past = past, .now = first_clock(past)};
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    if (is_there(directory))
        return hf_tell(HF_EXIT_DATA, "%s: it is there already; expected a name that is free", directory);
    r.skus = calloc(past->sku_count + 1, sizeof *r.skus);
    if (!r.skus || asprintf(&r.path, "%.*s.tmp", (int)length, directory) < 0) {
        free(r.skus);
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    }
    if (is_there(r.path)) {
        int exit_code = hf_tell(HF_EXIT_DATA,
                                "%s: it is there already, left by a run that was cut off, perhaps: remove it", r.path);
        free(r.path);
        free(r.skus);
        return exit_code;
    }
    hf_progress_begin(&r.progress);
    int exit_code = fill(&r);
    hf_progress_end(&r.progress);
    if (!exit_code && rename(r.path, directory) != 0)
        exit_code = hf_tell(HF_EXIT_SYSTEM, "%s: %s", directory, strerror(errno));
    exit_code = exit_code ? exit_code : sync_parent(directory);
    if (exit_code)
        hf_remove_directory(r.path);
    free(r.path);
    free(r.skus);
    return exit_code;
}
