/* Repairing a log: repair.h has what is promised.
 *
 * From every place where a replay may start the log is read as an open would read it, up to the damage. The start from
 * which it reaches furthest stays, and is cut behind the last whole epoch:
 *
 *     checkpoint A          checkpoint B       damage        checkpoint C (needs what lies behind the damage)
 *     | epochs ................................# . . . . . . . . . . . . |
 *                           ^ start            ^ cut: all of this kept aside, and C
 *
 * The order of the work makes it safe to be interrupted (guarantee C):
 *     1  what was read is synced: a damage that only the page cache has is none, and the other way round
 *     2  a note of the highest epoch that anybody names, in a cut-... file as any open looks for it
 *     3  later segments are renamed to cut-..., the latest first, each rename synced
 *     4  the tail of the segment with the end is cut (cut.c)
 *     5  checkpoints that reach further than the log does now are renamed to aside-...
 *     6  the durable page, which names a lost epoch, is removed
 * Before 3 nothing that an open looks at has changed. From there until 5 or 6 the rest of the damage, a checkpoint or
 * the page says that something is missing, so it is refused; where nothing does, it is a torn tail, and the open cuts
 * it just as this would have done.
 */
#include "repair.h"

#include "error.h"
#include "recover.h"
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far a replay from one start comes. */
typedef struct reach {
    int error;   /* why no further: HF_SUCCESS, HF_ECORRUPT (`damage` says more), or something that no cut can mend */
    bool usable; /* cut here, the log opens from this start */
    uint64_t epoch, time_ms;     /* the last whole one */
    uint64_t generation, offset; /* right behind it */
    char damage[512];
} reach;

typedef struct repair {
    hf_wal *wal;
    const hf_files *files;
    const hf_repair_start *starts;
    size_t start_count;
    reach *reaches; /* one for each start */
    size_t best;    /* the start that stays */
    hf_generations segments;
    uint64_t committed;     /* by the durable page */
    uint64_t highest_named; /* by a checkpoint or the page */
    hf_repair_report *report;
    hf_batch_header lost; /* the batch before, in a survey; epoch 0: it is not whole */
} repair;

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t first_generation(const hf_wal_position *position) {
    return position->generation > 0 ? position->generation : 1;
}

/* ---- how far the log reaches ------------------------------------------------------------------------------------- */

/* A scan from `position` to where it ends or refuses. What it ends with, and in *scan where. */
static int walk(const repair *r, const hf_wal_position *position, hf_scan *scan) {
    int error = hf_scan_begin(scan, r->files, r->wal->directory, r->wal->uuid, position, NULL);
    scan->vouched = max64(scan->vouched, r->committed);
    while (error == HF_SUCCESS) {
        int result = hf_scan_next(scan);
        if (result != 1) {
            return result;
        }
    }
    return error;
}

/* The last batch before a segment that has none of its own yet: the next one is chained to it (find_chain in open.c).
 */
static hf_batch_header last_before(const repair *r, uint64_t generation) {
    hf_wal_position position = {.epoch = UINT64_MAX, .generation = generation - 1};
    hf_scan scan;
    (void)walk(r, &position, &scan); /* it may well end at the damage */
    hf_scan_end(&scan);
    return scan.whole;
}

/* Where the log is cut there must be no gap between what it holds and what the checkpoint needs of it: an older
 * checkpoint, and whoever reads the log, would go over that gap without knowing. */
static void find_reach(const repair *r, const hf_wal_position *position, reach *to) {
    *to = (reach){.generation = first_generation(position)};
    int gap = hf_wal_check_gaps(&r->segments, r->wal->directory, to->generation);
    if (gap != HF_SUCCESS) {
        snprintf(to->damage, sizeof to->damage, "%s", hf_error_detail());
    }
    hf_scan scan;
    to->error = walk(r, position, &scan);
    if (to->error == HF_ECORRUPT) {
        snprintf(to->damage, sizeof to->damage, "%s", hf_error_detail()); /* before the gap, if there is one, too */
    } else if (gap != HF_SUCCESS && (to->error == HF_SUCCESS || to->error == HF_ENOTFOUND)) {
        to->error = HF_ECORRUPT;
    }
    hf_batch_header last = scan.whole;
    bool begun = scan.segment.file >= 0, needs_chain = last.sequence == 0 && scan.end_generation > 1;
    to->generation = scan.end_generation;
    to->offset = scan.end_offset;
    hf_scan_end(&scan);
    if (needs_chain) {
        last = last_before(r, to->generation);
    }
    to->epoch = last.epoch;
    to->time_ms = last.time_ms;
    to->usable = begun && (last.sequence > 0 || !needs_chain) && to->epoch >= position->durable;
    if (to->error == HF_SUCCESS && !to->usable) {
        to->error = HF_ECORRUPT;
        snprintf(to->damage, sizeof to->damage, "%s: the batch to which segment %" PRIu64 " is chained is missing",
                 r->wal->directory, to->generation);
    }
}

/* The durable page has no digest: what can be no epoch was never told. */
static void name_epoch(repair *r, uint64_t epoch) {
    r->highest_named = max64(r->highest_named, epoch <= HF_BATCH_MAX_NUMBER ? epoch : 0);
}

/* Reads the log from every start. The best is the one that reaches furthest; of several, the newest. */
static int find_reaches(repair *r) {
    hf_page page;
    hf_page_open_reader(&page, r->files, r->wal->directory);
    r->committed = hf_page_committed(&page, r->wal->uuid);
    hf_page_close(&page);
    name_epoch(r, r->committed);
    r->best = r->start_count;
    for (size_t i = 0; i < r->start_count; i++) {
        reach *to = &r->reaches[i];
        find_reach(r, &r->starts[i].position, to);
        if (to->error != HF_SUCCESS && to->error != HF_ECORRUPT) {
            return to->error;
        }
        name_epoch(r, r->starts[i].position.durable);
        if (to->usable && (r->best == r->start_count || to->epoch > r->reaches[r->best].epoch)) {
            r->best = i;
        }
        if (i == 0 && to->error == HF_SUCCESS) {
            return HF_SUCCESS; /* what an open would do works */
        }
    }
    return HF_SUCCESS;
}

/* ---- what would be lost ------------------------------------------------------------------------------------------ */

/* Whether the payload behind a header is there and right. HF_ENOMEM is as good as not. */
static bool is_whole(const repair *r, int file, uint64_t at, const hf_batch_header *header) {
    size_t length = (size_t)header->payload_length;
    uint8_t *payload = malloc(length + 1);
    ssize_t n = payload != NULL ? hf_file_read_all(r->files, file, payload, length, at + HF_BATCH_HEADER) : -1;
    hf_digest digest = n == (ssize_t)length ? hf_digest_of(payload, length) : (hf_digest){{0}};
    free(payload);
    return n == (ssize_t)length && hf_digest_equal(&digest, &header->payload);
}

/* A batch that is lost: its epoch can be read if each of its parts can. */
static void note_lost(repair *r, int file, uint64_t at, const hf_batch_header *header) {
    r->report->lost_epoch = max64(r->report->lost_epoch, header->epoch);
    r->report->lost_time_ms = max64(r->report->lost_time_ms, header->time_ms);
    bool goes_on = header->part == 0 || (r->lost.epoch == header->epoch && r->lost.part + 1 == header->part);
    r->lost = *header;
    if (!goes_on || header->epoch <= r->report->kept_epoch || !is_whole(r, file, at, header)) {
        r->lost.epoch = 0;
    } else if ((header->flags & HF_BATCH_LAST) != 0) {
        r->report->readable_epochs++;
    }
}

/* Looks at every header from `offset` on, whatever the file's header page says. */
static int survey(repair *r, const char *path, uint64_t offset) {
    uint64_t size = 0;
    int file = r->files->open(r->files->context, path, HF_OPEN_READ);
    int error = file < 0 ? file : r->files->size(r->files->context, file, &size);
    for (uint64_t at = offset; error == 0 && at + HF_BATCH_HEADER <= size; at += HF_BATCH_ALIGN) {
        uint8_t bytes[HF_BATCH_HEADER];
        hf_batch_header header;
        ssize_t n = hf_file_read_all(r->files, file, bytes, sizeof bytes, at);
        error = n < 0 ? (int)n : 0;
        if (n == (ssize_t)sizeof bytes && hf_batch_decode(bytes, &header) == NULL &&
            memcmp(header.uuid, r->wal->uuid, 16) == 0) {
            note_lost(r, file, at, &header);
        }
    }
    if (file >= 0) {
        r->files->close(r->files->context, file);
    }
    r->report->cut_bytes += size > offset ? size - offset : 0;
    return error == 0 ? HF_SUCCESS : hf_fail_system(error, "cannot read %s, to see what would be lost", path);
}

/* Of the segment with the end only what is not zero is cut. */
static int survey_end(repair *r, const reach *to) {
    hf_segment segment;
    uint64_t end = to->offset;
    hf_segment_init(&segment, r->files);
    int error = hf_segment_open(&segment, r->wal->directory, "segment", to->generation, r->wal->uuid, NULL);
    error = error != HF_SUCCESS ? error : hf_segment_content_end(&segment, to->offset, &end);
    error = error != HF_SUCCESS ? error : survey(r, segment.path, to->offset);
    r->report->cut_bytes = end - to->offset;
    hf_segment_free(&segment);
    return error;
}

static int fill_report(repair *r) {
    const reach *to = &r->reaches[r->best];
    hf_repair_report *report = r->report;
    report->damaged = true;
    report->kept_epoch = to->epoch;
    report->kept_time_ms = to->time_ms;
    report->start_epoch = r->starts[r->best].position.epoch;
    snprintf(report->damage, sizeof report->damage, "%s", r->reaches[0].damage);
    for (size_t i = 0; i < r->best; i++) {
        report->checkpoints += r->starts[i].name != NULL;
    }
    int error = survey_end(r, to);
    for (size_t i = 0; error == HF_SUCCESS && i < r->segments.count; i++) {
        if (r->segments.items[i] > to->generation) {
            char path[HF_PATH_ROOM];
            hf_segment_path(path, r->wal->directory, "segment", r->segments.items[i], "");
            error = survey(r, path, 0);
        }
    }
    report->lost_epoch = max64(report->lost_epoch, max64(r->highest_named, to->epoch));
    return error;
}

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

/* 1: what the page cache holds and what the disk holds are made one. */
static int settle(const repair *r) {
    for (size_t i = 0; i < r->segments.count; i++) {
        char path[HF_PATH_ROOM];
        hf_segment_path(path, r->wal->directory, "segment", r->segments.items[i], "");
        int file = r->files->open(r->files->context, path, HF_OPEN_READ);
        int error = file < 0 ? file : r->files->sync(r->files->context, file); /* not retried: nothing was changed */
        if (file >= 0) {
            r->files->drop_cache(r->files->context, file);
            r->files->close(r->files->context, file);
        }
        if (error != 0) {
            return hf_fail_system(error, "cannot sync %s before reading it", path);
        }
    }
    return HF_SUCCESS;
}

/* 2: a header without a payload. Whoever opens the log later looks for epochs in cut-... (see_cut_file in open.c). */
static int write_note(const repair *r, const char *path, uint64_t epoch) {
    assert(epoch > 0 && epoch <= HF_BATCH_MAX_NUMBER); /* by hf_batch_decode and name_epoch */
    uint8_t bytes[HF_BATCH_ALIGN] = {0};
    hf_batch_header header = {.flags = HF_BATCH_LAST,
                              .generation = r->reaches[r->best].generation,
                              .epoch = epoch,
                              .durable = epoch - 1,
                              .sequence = HF_BATCH_MAX_NUMBER,
                              .payload = hf_digest_of(bytes, 0)};
    memcpy(header.uuid, r->wal->uuid, sizeof header.uuid);
    hf_batch_encode(&header, bytes);
    char temporary[HF_PATH_ROOM + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int file = r->files->open(r->files->context, temporary, HF_OPEN_CREATE);
    int error = file < 0 ? file : hf_file_write_all(r->files, file, bytes, sizeof bytes, 0);
    if (file >= 0) {
        error = error == 0 ? r->files->sync(r->files->context, file) : error;
        int closed = r->files->close(r->files->context, file);
        error = error == 0 ? closed : error;
    }
    error = error == 0 ? r->files->rename(r->files->context, temporary, path) : error;
    error = error == 0 ? r->files->sync_directory(r->files->context, r->wal->directory) : error;
    return error == 0 ? HF_SUCCESS : hf_fail_system(error, "cannot write %s", path);
}

static int note_highest(const repair *r) {
    const reach *to = &r->reaches[r->best];
    char path[HF_PATH_ROOM];
    if (r->report->lost_epoch == 0) {
        return HF_SUCCESS; /* nobody was ever told of an epoch */
    }
    int error = hf_cut_path(r->files, r->wal->directory, to->generation, to->offset, path);
    return error != HF_SUCCESS ? error : write_note(r, path, r->report->lost_epoch);
}

static int rename_aside(const repair *r, const char *from, const char *to) {
    int error = r->files->rename(r->files->context, from, to);
    error = error == 0 ? r->files->sync_directory(r->files->context, r->wal->directory) : error;
    return error == 0 ? HF_SUCCESS : hf_fail_system(error, "cannot rename %s to %s", from, to);
}

/* 3: whole, as they are: their header pages may be what is damaged. */
static int set_segments_aside(const repair *r) {
    int error = HF_SUCCESS;
    for (size_t i = r->segments.count; error == HF_SUCCESS && i > 0; i--) { /* uncovered: breaks at the one it keeps */
        uint64_t generation = r->segments.items[i - 1];
        if (generation <= r->reaches[r->best].generation) {
            break;
        }
        char from[HF_PATH_ROOM], to[HF_PATH_ROOM];
        hf_segment_path(from, r->wal->directory, "segment", generation, "");
        error = hf_cut_path(r->files, r->wal->directory, generation, 0, to);
        error = error != HF_SUCCESS ? error : rename_aside(r, from, to);
    }
    return error;
}

/* 4: the copy first, then the zeros. */
static int cut_end(const repair *r) {
    const reach *to = &r->reaches[r->best];
    uint64_t ignored = 0;
    hf_scan scan = {
        .files = r->files, .directory = r->wal->directory, .end_generation = to->generation, .end_offset = to->offset};
    memcpy(scan.uuid, r->wal->uuid, sizeof scan.uuid);
    return hf_cut(&scan, to->generation, &ignored);
}

/* 5: those that are newer than the start that stays: from none of them does the log reach as far. */
static int set_checkpoints_aside(const repair *r) {
    int error = HF_SUCCESS;
    for (size_t i = 0; error == HF_SUCCESS && i < r->best; i++) {
        const char *name = r->starts[i].name;
        char from[HF_PATH_ROOM], to[HF_PATH_ROOM];
        assert(name != NULL && strlen(name) < 64); /* nothing is older than the beginning */
        snprintf(from, sizeof from, "%s/%s", r->wal->directory, name);
        for (unsigned n = 1;; n++) {
            snprintf(to, sizeof to, "%s/aside-%s-%u", r->wal->directory, name, n);
            int file = r->files->open(r->files->context, to, HF_OPEN_READ);
            if (file < 0) {
                break;
            }
            r->files->close(r->files->context, file);
        }
        error = rename_aside(r, from, to);
    }
    return error;
}

/* 6 */
static int remove_page(const repair *r) {
    char path[HF_PATH_ROOM];
    snprintf(path, sizeof path, "%s/durable", r->wal->directory);
    int error = r->files->remove(r->files->context, path);
    error = error == -ENOENT ? 0 : error;
    error = error == 0 ? r->files->sync_directory(r->files->context, r->wal->directory) : error;
    return error == 0 ? HF_SUCCESS : hf_fail_system(error, "cannot remove %s", path);
}

static int cut(const repair *r) {
    int error = note_highest(r);
    error = error != HF_SUCCESS ? error : set_segments_aside(r);
    error = error != HF_SUCCESS ? error : cut_end(r);
    error = error != HF_SUCCESS ? error : set_checkpoints_aside(r);
    error = error != HF_SUCCESS ? error : remove_page(r);
    r->report->cut = error == HF_SUCCESS;
    return error;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static int check_writer(const repair *r) {
    hf_page page;
    hf_page_open_reader(&page, r->files, r->wal->directory);
    bool locked = hf_page_locked(&page);
    hf_page_close(&page);
    return locked ? hf_fail(HF_EBUSY, "%s is in use: somebody has it open for writing", r->wal->directory) : HF_SUCCESS;
}

static int no_cut_helps(const repair *r) {
    const char *damage = r->start_count > 0 ? r->reaches[0].damage : "no checkpoint is whole";
    char kept[512];
    snprintf(kept, sizeof kept, "%s", damage);
    return hf_fail(HF_ECORRUPT,
                   "no cut helps: what is left of the log in %s reaches no checkpoint, nor back to its beginning; %s",
                   r->wal->directory, kept);
}

int hf_wal_repair(hf_wal *wal, const hf_repair_start *starts, size_t count, hf_repair_report *report) {
    *report = (hf_repair_report){0};
    repair r = {.wal = wal, .files = wal->files, .starts = starts, .start_count = count, .report = report};
    hf_listing listing;
    int error = hf_listing_read(wal->files, wal->directory, &listing);
    r.segments = listing.segments;
    r.reaches = calloc(count + 1, sizeof *r.reaches);
    if (error == HF_SUCCESS && r.reaches == NULL) {
        error = hf_fail(HF_ENOMEM, "no memory to look at %s", wal->directory);
    }
    if (error == HF_SUCCESS && r.segments.count == 0) {
        error = hf_fail(HF_ENOTFOUND, "there is no log in %s", wal->directory);
    }
    bool reports_only = wal->options.read_only;
    if (error == HF_SUCCESS) {
        error = reports_only ? check_writer(&r) : settle(&r);
    }
    error = error != HF_SUCCESS ? error : find_reaches(&r);
    bool damaged = error == HF_SUCCESS && (count == 0 || r.reaches[0].error != HF_SUCCESS);
    if (damaged) {
        error = r.best == count ? no_cut_helps(&r) : fill_report(&r);
        error = error != HF_SUCCESS || reports_only ? error : cut(&r);
    }
    free(r.reaches);
    hf_listing_free(&listing);
    return error;
}
