/* The log reader: durable epochs as records that say what each step did. The contract is in holdfast.h.
 *
 * One epoch at a time: names first, since a record may use one that stands in a chunk behind it, then chunk by chunk. The newest
 * checkpoint has the names from before it; those between it and the epoch that is asked for are picked up on the way there.
 *
 *     checkpoint            from_epoch
 *     names      | names      | names, records -->
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "counter.h"
#include "numbered.h"
#include "record.h"
#include "wal/error.h"

enum { TRIES = 8 }; /* to find a checkpoint and the log behind it, while more are taken */

typedef struct hf_log_name {
    char *name; /* NULL: not known */
    uint32_t length;
} hf_log_name;

struct hf_log {
    hf_follow *follow;
    char *directory;
    hf_numbered names; /* hf_log_name */
    uint8_t *payload; /* of the epoch at hand */
    size_t room;
    int failed;    /* a call has, and left records out */
    uint64_t from; /* epochs below it are read for their names only */
    uint64_t epoch;
    uint64_t whole; /* handed out up to here */
    const uint8_t *at, *end; /* where the next chunk begins */
    hf_chunk chunk;
    hf_step steps[HF_MAX_LINES];
    hf_record_line lines[HF_MAX_LINES];
};

static int malformed(const hf_log *log) {
    return hf_fail(HF_ECORRUPT, "%s, epoch %" PRIu64 ": a record is malformed, though its digest is right", log->directory,
                   log->epoch);
}

static int keep_name(void *context, uint32_t number, const void *name, size_t length) {
    hf_log *log = context;
    hf_log_name *kept = hf_numbered_make(&log->names, number);
    if (!kept) {
        return HF_ENOMEM;
    }
    if (kept->name) {
        return HF_SUCCESS;
    }
    kept->name = malloc(length + 1);
    if (!kept->name) {
        return hf_fail(HF_ENOMEM, "no memory for the names of SKUs");
    }
    memcpy(kept->name, name, length);
    kept->name[length] = 0;
    kept->length = (uint32_t)length;
    return HF_SUCCESS;
}

/* ---- epochs -------------------------------------------------------------------------------------------------------------------- */

static int take_names(hf_log *log, hf_chunk chunk) {
    hf_entry entry;
    int more, error = HF_SUCCESS;
    while (!error && (more = hf_record_decode(&chunk, &entry, log->steps)) > 0) {
        if (entry.type == HF_RECORD_SKU) {
            error = keep_name(log, entry.number, entry.name, entry.name_length);
        }
    }
    return error ? error : more < 0 ? malformed(log) : HF_SUCCESS;
}

static int take_all_names(hf_log *log) {
    int error = HF_SUCCESS;
    for (const uint8_t *at = log->at; at < log->end && !error;) {
        hf_chunk chunk;
        at = hf_chunk_open(at, log->end, &chunk);
        error = !at ? malformed(log) : chunk.names ? take_names(log, chunk) : HF_SUCCESS;
    }
    return error;
}

/* Makes a copy of the epoch the one at hand: the follower's memory lives until its next call only, and so it may be asked at once. */
static int take_epoch(hf_log *log, const hf_wal_epoch *epoch) {
    if (epoch->length > log->room) {
        uint8_t *more = realloc(log->payload, epoch->length);
        if (!more) {
            return hf_fail(HF_ENOMEM, "no memory for an epoch of %zu bytes", epoch->length);
        }
        log->payload = more;
        log->room = epoch->length;
    }
    if (epoch->length > 0) {
        memcpy(log->payload, epoch->payload, epoch->length);
    }
    log->epoch = epoch->epoch;
    log->at = log->payload;
    log->end = log->payload + epoch->length;
    return take_all_names(log);
}

/* ---- records --------------------------------------------------------------------------------------------------------------------- */

static void show_line(hf_log *log, const hf_entry *entry, uint32_t i) {
    const hf_step *step = &entry->steps[i];
    const hf_log_name *name = hf_numbered_at(&log->names, step->sku);
    hf_record_line *line = &log->lines[i];
    *line = (hf_record_line){.sku = step->sku,
                             .name = name ? name->name : NULL,
                             .name_length = name ? name->length : 0,
                             .quantity = step->quantity,
                             .version = step->version};
    hf_record_change(entry, step, &line->on_hand_change, &line->reserved_change);
}

static void show(hf_log *log, const hf_entry *entry, hf_record *record) {
    for (uint32_t i = 0; i < entry->step_count; i++) {
        show_line(log, entry, i);
    }
    bool has_deadline = entry->type == HF_RECORD_RESERVE || entry->type == HF_RECORD_EXTEND;
    *record = (hf_record){.type = entry->type,
                          .parts = entry->parts,
                          .epoch = log->epoch,
                          .time_ms = entry->time_ms,
                          .session = log->chunk.session,
                          .outcome = entry->outcome,
                          .position = entry->position,
                          .id = entry->id,
                          .step = hf_record_begins(entry->type) ? hf_first_step(entry->time_ms) : entry->step,
                          .deadline_ms = has_deadline ? hf_deadline(entry->time_ms, entry->ttl_ms) : 0,
                          .user = entry->user,
                          .lines = entry->step_count > 0 ? log->lines : NULL,
                          .line_count = entry->step_count,
                          .name = entry->name,
                          .name_length = entry->name_length,
                          .number = entry->number};
}

/* ---- where it begins ---------------------------------------------------------------------------------------------------------------- */

/* Goes back to where the checkpoint's names end, if that lies before. *gone: it is no longer kept. */
static int go_back(hf_log *log, uint64_t named, bool *gone) {
    *gone = false;
    if (log->from == 0 || (named > 0 && named >= log->from)) {
        return HF_SUCCESS;
    }
    hf_follow *back;
    int error = hf_follow_open(log->directory, hf_files_system(), named, &back);
    *gone = error == HF_ENOTFOUND;
    if (error == HF_SUCCESS) {
        hf_follow_close(log->follow);
        log->follow = back;
    }
    return *gone ? HF_SUCCESS : error;
}

/* Begins anew, with the newest checkpoint's names. Checkpoints that are taken meanwhile let log go: then with a newer one. If it is
 * never there, on from where it was to be, without the names between. */
static int follow(hf_log *log) {
    const hf_files *files = hf_files_system();
    bool gone = true;
    int error = HF_SUCCESS;
    for (int i = 0; i < TRIES && gone && !error; i++) {
        uint64_t named = 0;
        hf_follow_close(log->follow);
        log->follow = NULL;
        error = hf_follow_open(log->directory, files, log->from, &log->follow);
        error = error ? error : hf_checkpoint_names(files, log->directory, &named, keep_name, log);
        error = error ? error : go_back(log, named, &gone);
    }
    return error;
}

/* The next epoch, or what hf_follow_next says. */
static int next_epoch(hf_log *log, hf_wal_epoch *epoch) {
    int result = log->follow ? HF_SUCCESS : follow(log); /* it was not there the last time */
    result = result ? result : hf_follow_next(log->follow, epoch);
    for (int i = 0; i < TRIES && result == HF_ENOTFOUND && log->epoch < log->from; i++) {
        result = follow(log); /* what was read for its names is gone, what is asked for is not */
        result = result ? result : hf_follow_next(log->follow, epoch);
    }
    return result;
}

/* ---- the next record ----------------------------------------------------------------------------------------------------------------- */

/* No call goes on behind what could not be read. */
static int fail_for_good(hf_log *log, int error) {
    log->failed = error;
    return error;
}

int hf_log_next(hf_log *log, hf_record *record) {
    if (log->failed) {
        return hf_fail(log->failed, "%s, epoch %" PRIu64 ": an earlier call could not read on", log->directory, log->epoch);
    }
    for (;;) {
        hf_entry entry;
        int more = hf_record_decode(&log->chunk, &entry, log->steps);
        if (more != 0) {
            if (more > 0) {
                show(log, &entry, record);
            }
            return more > 0 ? 1 : fail_for_good(log, malformed(log));
        }
        if (log->at < log->end) {
            log->at = hf_chunk_open(log->at, log->end, &log->chunk);
            if (!log->at) {
                return fail_for_good(log, malformed(log));
            }
            continue;
        }
        log->whole = log->epoch > log->whole ? log->epoch : log->whole;
        hf_wal_epoch epoch = {0};
        int result = next_epoch(log, &epoch);
        if (result != 1) {
            return result;
        }
        result = take_epoch(log, &epoch);
        if (result) {
            return fail_for_good(log, result);
        }
        if (log->epoch < log->from) {
            log->at = log->end;
        }
    }
}

uint64_t hf_log_epoch(const hf_log *log) { return log->whole; }

int hf_log_open(const char *directory, uint64_t from_epoch, hf_log **log) {
    *log = NULL;
    hf_log *made = calloc(1, sizeof *made);
    if (!made || !(made->directory = strdup(directory))) {
        free(made);
        return hf_fail(HF_ENOMEM, "no memory to read the log in %s", directory);
    }
    made->names.element = sizeof(hf_log_name);
    made->from = from_epoch;
    made->whole = from_epoch > 0 ? from_epoch - 1 : 0;
    int error = follow(made);
    if (error) {
        hf_log_close(made);
        return error;
    }
    *log = made;
    return HF_SUCCESS;
}

void hf_log_close(hf_log *log) {
    if (!log) {
        return;
    }
    hf_follow_close(log->follow);
    hf_log_name *name;
    for (uint32_t number = 0; (name = hf_numbered_next(&log->names, &number)) != NULL; number++) {
        free(name->name);
    }
    hf_numbered_free(&log->names);
    free(log->payload);
    free(log->directory);
    free(log);
}
