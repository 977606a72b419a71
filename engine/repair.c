/* hf_repair: the log's repair (wal/repair.h), with every place where a replay may start: the checkpoints that are
 * whole, and the log's beginning. */
#include "wal/repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint.h"
#include "engine.h"
#include "wal/error.h"

enum { STARTS = 16, NAME = 32 }; /* an engine keeps two checkpoints, and for a moment three */

typedef struct hf_starts {
    hf_repair_start starts[STARTS];
    char names[STARTS][NAME];
    size_t count;
} hf_starts;

static int add_start(void *context, const hf_wal_position *position) {
    hf_starts *all = context;
    if (all->count == STARTS - 1) {
        return HF_SUCCESS; /* the newest were first */
    }
    snprintf(all->names[all->count], NAME, "checkpoint-%016" PRIx64, position->epoch);
    all->starts[all->count] = (hf_repair_start){*position, all->names[all->count]};
    all->count++;
    return HF_SUCCESS;
}

int hf_repair(const char *directory, uint32_t flags, hf_repair_report *report) {
    *report = (hf_repair_report){0};
    if (flags & ~(uint32_t)HF_REPAIR_CUT) {
        return hf_fail(HF_EINVAL, "flags is %#" PRIx32 ": expected HF_REPAIR_CUT or 0", flags);
    }
    hf_options defaults;
    hf_options_init(&defaults);
    hf_wal_options options = {
        .files = hf_files_system(), .segment_bytes = defaults.segment_bytes, .read_only = !(flags & HF_REPAIR_CUT)};
    hf_wal *wal;
    int error = hf_wal_lock(directory, &options, true, &wal);
    if (error) {
        return error;
    }
    hf_starts all = {.count = 0};
    error = hf_checkpoint_each(options.files, directory, hf_wal_uuid(wal), add_start, &all);
    all.starts[all.count++] = (hf_repair_start){.name = NULL};
    error = error ? error : hf_wal_repair(wal, all.starts, all.count, report);
    hf_wal_close(wal);
    return error;
}
