/* The recovery table and the scan that asks it: recover.h. */
#include "recover.h"

#include "error.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Exactly one row matches any finding; docs/DURABILITY.md has the same table for users. */
const hf_recovery_row hf_recovery_table[] = {
    /* The usual end: the log stopped between epochs, everything behind is as it was prepared. */
    {"clean end", HF_HEADER_NONE, HF_ANY, HF_ANY, HF_NO, HF_NO, HF_DECIDE_END, "the log ends"},
    /* The crash came between two parts of a long epoch, or kept none of the last one: an epoch is whole or nothing. */
    {"epoch unfinished", HF_HEADER_NONE, HF_ANY, HF_ANY, HF_YES, HF_NO, HF_DECIDE_CUT,
     "the epoch's last part is missing"},
    /* Zeros, but a checkpoint or a later segment says there was more: a write was lost or a file is an old one. */
    {"end too early", HF_HEADER_NONE, HF_ANY, HF_ANY, HF_ANY, HF_YES, HF_DECIDE_REFUSE,
     "the log ends here, but more of it was durable"},
    /* The sector with the header was not written before the crash, others of the same epoch were. */
    {"header not written", HF_HEADER_LOST, HF_ANY, HF_ANY, HF_ANY, HF_NO, HF_DECIDE_CUT,
     "the batch's header is missing"},
    /* The same, but a later epoch was begun, so this one had been synced. */
    {"header lost", HF_HEADER_LOST, HF_ANY, HF_ANY, HF_ANY, HF_YES, HF_DECIDE_REFUSE, "a durable batch is missing"},
    /* What recovery is for. Whole, right, and bound to its predecessor by digest: evidence could add nothing. */
    {"next batch", HF_HEADER_VALID, HF_YES, HF_YES, HF_ANY, HF_ANY, HF_DECIDE_ACCEPT, "the next batch"},
    /* The header reached the disk, not all of the payload did. */
    {"payload torn", HF_HEADER_VALID, HF_NO, HF_YES, HF_ANY, HF_NO, HF_DECIDE_CUT, "the batch is not whole"},
    /* The same, but it had been synced: the bytes changed afterwards. */
    {"payload damaged", HF_HEADER_VALID, HF_NO, HF_YES, HF_ANY, HF_YES, HF_DECIDE_REFUSE, "a durable batch is damaged"},
    /* A valid header in the wrong place. Cut tails are zeroed before anything is written again, so no crash leaves one:
     * something is missing, repeated or swapped. */
    {"out of sequence", HF_HEADER_VALID, HF_ANY, HF_NO, HF_ANY, HF_ANY, HF_DECIDE_REFUSE,
     "the batch does not continue the log: one is missing, repeated or in another's place"},
    /* Segments are made of zeros, never of other segments: no crash puts another log's or segment's batch here. */
    {"foreign batch", HF_HEADER_FOREIGN, HF_ANY, HF_ANY, HF_ANY, HF_ANY, HF_DECIDE_REFUSE,
     "a batch of another log or segment stands here"},
    /* Cutting what a newer version wrote would lose it. */
    {"newer format", HF_HEADER_NEWER, HF_ANY, HF_ANY, HF_ANY, HF_ANY, HF_DECIDE_VERSION,
     "a batch of another format version stands here"},
    /* Half a header: its sector was being written. */
    {"header torn", HF_HEADER_GARBAGE, HF_ANY, HF_ANY, HF_ANY, HF_NO, HF_DECIDE_CUT, "the batch's header is not whole"},
    /* The same, but it had been synced. */
    {"header damaged", HF_HEADER_GARBAGE, HF_ANY, HF_ANY, HF_ANY, HF_YES, HF_DECIDE_REFUSE,
     "a durable batch's header is damaged"},
};
const size_t hf_recovery_rows = sizeof hf_recovery_table / sizeof hf_recovery_table[0];

static bool matches(hf_match match, bool found) { return match == HF_ANY || (match == HF_YES) == found; }

const hf_recovery_row *hf_recovery_decide(const hf_finding *finding) {
    for (size_t i = 0; i < hf_recovery_rows; i++) { /* uncovered: its end, as one row always matches */
        const hf_recovery_row *row = &hf_recovery_table[i];
        if (row->header == finding->header && matches(row->payload, finding->payload) &&
            matches(row->chained, finding->chained) && matches(row->begun, finding->begun) &&
            matches(row->evidence, finding->evidence)) {
            return row;
        }
    }
    abort(); /* uncovered: the table is exhaustive, test_recover.c tries every finding */
}

/* ---- what stands at a position ----------------------------------------------------------------------------------- */

/* A position and what was found there. */
typedef struct spot {
    hf_segment *segment;
    uint64_t offset;
    hf_finding finding;
    hf_batch_header header; /* where the finding's header is valid */
    const char *wrong;      /* what is wrong with it, or NULL */
} spot;

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t place_of(const spot *s) { return s->segment->generation << 32 | s->offset; }

/* Every epoch up to it is in the log that was read, or below where this scan is to start. */
static uint64_t reached(const hf_scan *scan) {
    return max64(scan->whole.epoch, scan->position.epoch > 0 ? scan->position.epoch - 1 : 0);
}

static uint64_t start_generation(const hf_wal_position *position) {
    return position->generation > 0 ? position->generation : 1;
}

/* The rule of batch.h. The first batch that is read has nothing to be compared with, unless it is the log's first; but
 * it must be where the scan starts. */
static bool is_chained(const hf_scan *scan, const hf_batch_header *next) {
    const hf_batch_header *last = &scan->last;
    if (last->sequence == 0) {
        static const hf_digest none;
        bool is_first = next->sequence == 1 && next->part == 0 && hf_digest_equal(&next->before, &none);
        return next->generation == start_generation(&scan->position) && (next->generation == 1) == is_first;
    }
    if (next->sequence != last->sequence + 1 || !hf_digest_equal(&next->before, &last->link)) {
        return false;
    }
    return scan->begun ? next->epoch == last->epoch && next->part == last->part + 1
                       : next->epoch > last->epoch && next->part == 0;
}

/* A header of this log in this segment, whatever its payload. */
static bool is_own(const hf_scan *scan, const hf_segment *segment, const hf_batch_header *header) {
    return memcmp(header->uuid, scan->uuid, 16) == 0 && header->generation == segment->generation;
}

/* Reads the header at a position. Zeros are HF_HEADER_NONE for the moment: nobody has looked behind them. */
static int inspect(const hf_scan *scan, hf_segment *segment, uint64_t offset, spot *found) {
    *found = (spot){.segment = segment, .offset = offset, .finding = {.header = HF_HEADER_NONE, .begun = scan->begun}};
    const uint8_t *bytes;
    if (segment->bytes - offset < HF_BATCH_ALIGN) {
        return HF_SUCCESS;
    }
    int error = hf_segment_read(segment, offset, HF_BATCH_ALIGN, &bytes);
    if (error != HF_SUCCESS || hf_is_zero(bytes, HF_BATCH_HEADER)) {
        return error;
    }
    found->wrong = hf_batch_decode(bytes, &found->header);
    if (found->wrong != NULL) {
        found->finding.header = found->wrong == hf_batch_other_version ? HF_HEADER_NEWER : HF_HEADER_GARBAGE;
    } else if (!is_own(scan, segment, &found->header)) {
        found->finding.header = HF_HEADER_FOREIGN;
    } else if (hf_batch_size(found->header.payload_length) > segment->bytes - offset) {
        found->finding.header = HF_HEADER_GARBAGE;
        found->wrong = "its payload does not fit its segment";
    } else {
        found->finding.header = HF_HEADER_VALID;
        found->finding.chained = is_chained(scan, &found->header);
    }
    return HF_SUCCESS;
}

/* Checks the payload behind a valid header; *payload is in the segment's window. */
static int inspect_payload(spot *found, const uint8_t **payload) {
    uint64_t length = found->header.payload_length, size = hf_batch_size(length);
    const uint8_t *bytes;
    int error = hf_segment_read(found->segment, found->offset, (size_t)size, &bytes);
    if (error != HF_SUCCESS) {
        return error;
    }
    *payload = bytes + HF_BATCH_HEADER;
    hf_digest digest = hf_digest_of(*payload, (size_t)length);
    bool padded = hf_is_zero(*payload + length, (size_t)(size - HF_BATCH_HEADER - length));
    found->finding.payload = padded && hf_digest_equal(&digest, &found->header.payload);
    found->wrong = found->finding.payload ? NULL : padded ? "its payload's digest is wrong" : "its padding is not zero";
    return HF_SUCCESS;
}

/* The position in question: where the scan is, or, if this segment holds only zeros from there, the start of the next
 * one. */
static int find_spot(hf_scan *scan, spot *found) {
    int error = inspect(scan, &scan->segment, scan->offset, found);
    if (error != HF_SUCCESS || found->finding.header != HF_HEADER_NONE) {
        return error;
    }
    error = hf_segment_open(&scan->ahead, scan->directory, "segment", scan->segment.generation + 1, scan->uuid, NULL);
    if (error != HF_SUCCESS) {
        return error == HF_ENOTFOUND ? HF_SUCCESS : error;
    }
    uint64_t end;
    error = hf_segment_content_end(&scan->segment, scan->offset, &end);
    if (error != HF_SUCCESS || end > scan->offset) {
        return error;
    }
    return inspect(scan, &scan->ahead, HF_SEGMENT_PAGE, found);
}

/* ---- what stands behind it --------------------------------------------------------------------------------------- */

/* Everything from a position on, for what it tells about that position. */
typedef struct behind {
    bool content; /* there are bytes that are not zero, the position's own header page left out */
    bool evidence;
    bool known;      /* `before` is */
    uint64_t before; /* the last epoch before the position */
    char who[160];   /* vouches for it */
} behind;

static void note_evidence(behind *b, const hf_segment *segment, uint64_t offset, const char *says) {
    if (!b->evidence) {
        snprintf(b->who, sizeof b->who, "%s at segment-%016" PRIx64 ", offset %" PRIu64, says, segment->generation,
                 offset);
    }
    b->evidence = true;
}

/* A valid header behind the position, or at it. */
static void note_header(hf_scan *scan, const spot *found, const hf_segment *segment, uint64_t offset,
                        const hf_batch_header *header, behind *b) {
    scan->highest_seen = max64(scan->highest_seen, header->epoch);
    if (segment->generation != found->segment->generation) {
        note_evidence(b, segment, offset, "a batch in a later segment stands");
        return;
    }
    if (!b->known) {
        /* Nothing was accepted yet. An epoch's part 0 is written when all before it are durable; a later part's
         * `durable` is the epoch before its own, which may be the one at the position. */
        if (header->part == 0 && offset != found->offset) {
            note_evidence(b, segment, offset, "a later epoch begins");
        }
        b->before = header->durable;
        b->known = true;
    }
    uint64_t position = scan->position.epoch;
    if (header->durable > b->before || (scan->last.sequence == 0 && position > 0 && header->durable >= position)) {
        note_evidence(b, segment, offset, "a batch that knew it durable stands");
    }
}

static int look_through(hf_scan *scan, const spot *found, hf_segment *segment, uint64_t from, behind *b) {
    for (uint64_t at = from; segment->bytes - at >= HF_BATCH_ALIGN; at += HF_BATCH_ALIGN) {
        const uint8_t *page;
        hf_batch_header header;
        int error = hf_segment_read(segment, at, HF_BATCH_ALIGN, &page);
        if (error != HF_SUCCESS) {
            return error;
        }
        if (hf_is_zero(page, HF_BATCH_ALIGN)) {
            continue;
        }
        b->content = true;
        if (hf_batch_decode(page, &header) == NULL && is_own(scan, segment, &header)) {
            note_header(scan, found, segment, at, &header, b);
        }
    }
    return HF_SUCCESS;
}

static int look_through_later(hf_scan *scan, const spot *found, behind *b) {
    hf_segment later;
    hf_segment_init(&later, scan->files);
    int error = HF_SUCCESS;
    for (uint64_t generation = found->segment->generation + 1; error == HF_SUCCESS; generation++) {
        error = hf_segment_open(&later, scan->directory, "segment", generation, scan->uuid, NULL);
        if (error == HF_SUCCESS) {
            error = look_through(scan, found, &later, HF_SEGMENT_PAGE, b);
        }
    }
    hf_segment_free(&later);
    return error == HF_ENOTFOUND ? HF_SUCCESS : error;
}

/* Completes a finding that is not accepted at first sight: is there evidence, and are zeros the end? */
static int look_behind(hf_scan *scan, spot *found, behind *b) {
    *b = (behind){.known = scan->last.sequence > 0,
                  .before = scan->whole.sequence > 0 ? scan->whole.epoch : scan->last.durable};
    if (scan->vouched > reached(scan)) {
        b->evidence = true;
        snprintf(b->who, sizeof b->who, "epoch %" PRIu64 " was durable, says a checkpoint or the durable page",
                 scan->vouched);
    } else if (scan->begun && scan->last.epoch < scan->position.epoch) {
        b->evidence = true;
        snprintf(b->who, sizeof b->who, "a checkpoint was taken after it");
    }
    int error = look_through(scan, found, found->segment, found->offset, b);
    if (error == HF_SUCCESS) {
        error = look_through_later(scan, found, b);
    }
    found->finding.evidence = b->evidence;
    if (found->finding.header == HF_HEADER_NONE && b->content) {
        found->finding.header = HF_HEADER_LOST;
    }
    return error;
}

static int refuse(const hf_scan *scan, const spot *found, const behind *b) {
    const hf_recovery_row *row = scan->row;
    uint64_t epoch = found->finding.header == HF_HEADER_VALID ? found->header.epoch
                     : scan->begun                            ? scan->last.epoch
                                                              : reached(scan) + 1;
    return hf_fail(row->decision == HF_DECIDE_VERSION ? HF_EVERSION : HF_ECORRUPT,
                   "%s, offset %" PRIu64 ", epoch %" PRIu64 ": %s%s%s%s%s", found->segment->path, found->offset, epoch,
                   row->why, found->wrong ? ": " : "", found->wrong ? found->wrong : "", b->evidence ? "; " : "",
                   b->who);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

/* The first batch of a scan must not lie behind where the replay is to start. */
static int check_first(const hf_scan *scan, const spot *found) {
    const hf_batch_header *first = &found->header;
    uint64_t start = scan->position.epoch;
    if (start > 0 && (first->part == 0 ? first->durable >= start : first->epoch >= start)) {
        return hf_fail(HF_ECORRUPT,
                       "%s, offset %" PRIu64 ", epoch %" PRIu64 ": the log begins here; expected epoch %" PRIu64
                       ": an earlier segment is missing",
                       found->segment->path, found->offset, first->epoch, start);
    }
    return HF_SUCCESS;
}

static int keep_payload(hf_scan *scan, const uint8_t *payload, size_t length) {
    size_t needed = scan->epoch.length + length;
    if (needed > scan->room) {
        size_t room = needed > scan->room * 2 ? needed : scan->room * 2;
        uint8_t *bigger = realloc(scan->payload, room);
        if (bigger == NULL) {
            return hf_fail(HF_ENOMEM, "no memory for the %zu bytes of epoch %" PRIu64, needed, scan->epoch.epoch);
        }
        scan->payload = bigger;
        scan->room = room;
    }
    if (length > 0) {
        memcpy(scan->payload + scan->epoch.length, payload, length);
    }
    scan->epoch.length = needed;
    scan->epoch.payload = scan->payload;
    return HF_SUCCESS;
}

static void swap_segments(hf_segment *a, hf_segment *b) {
    hf_segment swap = *a;
    *a = *b;
    *b = swap;
}

enum { GO_ON = 2 }; /* of what follows: hf_scan_next is not done yet */

/* Takes the batch at `found`. 1: its epoch is whole, and wanted; else GO_ON, or an error. */
static int accept(hf_scan *scan, spot *found, const uint8_t *payload) {
    const hf_batch_header *header = &found->header;
    int error = scan->last.sequence == 0 ? check_first(scan, found) : HF_SUCCESS;
    if (error != HF_SUCCESS) {
        return error;
    }
    if (!scan->begun) {
        scan->unwanted = header->part > 0 || header->epoch < scan->position.epoch;
        scan->epoch = (hf_wal_epoch){.epoch = header->epoch, .generation = header->generation};
    }
    if (!scan->unwanted) {
        error = keep_payload(scan, payload, (size_t)header->payload_length);
        if (error != HF_SUCCESS) {
            return error;
        }
    }
    scan->epoch.time_ms = header->time_ms;
    scan->epoch.term = header->term;
    if (found->segment == &scan->ahead) {
        swap_segments(&scan->segment, &scan->ahead);
        hf_segment_close(&scan->ahead);
    }
    scan->offset = found->offset + hf_batch_size(header->payload_length);
    scan->last = *header;
    scan->highest_seen = max64(scan->highest_seen, header->epoch);
    scan->begun = (header->flags & HF_BATCH_LAST) == 0;
    if (scan->begun) {
        return GO_ON;
    }
    scan->whole = *header;
    scan->end_generation = scan->segment.generation;
    scan->end_offset = scan->offset;
    return scan->unwanted ? GO_ON : 1;
}

/* ---- a reader beside a writer ------------------------------------------------------------------------------------ */

/* Asks again how far a running writer's log may be believed. True if what was read before may be out of date. */
static bool refresh_bound(hf_scan *scan) {
    bool locked = hf_page_locked(scan->page);
    if (locked && scan->bound == UINT64_MAX) {
        hf_page_renew(scan->page); /* a new writer, perhaps with a new page */
    }
    uint64_t committed = hf_page_committed(scan->page, scan->uuid);
    uint64_t checkpoint = scan->position.durable;
    uint64_t bound = locked ? max64(committed, checkpoint) : UINT64_MAX;
    uint64_t vouched = max64(committed, checkpoint);
    bool changed = bound != scan->bound || vouched != scan->vouched;
    scan->bound = bound;
    scan->vouched = vouched;
    return changed;
}

/* Back to behind the last whole epoch: the next writer may cut what was read of the one after it. */
static int rewind_scan(hf_scan *scan) {
    hf_segment_close(&scan->ahead);
    scan->last = scan->whole;
    scan->begun = false;
    scan->offset = scan->end_offset;
    if (scan->segment.generation != scan->end_generation || scan->segment.file < 0) {
        return hf_segment_open(&scan->segment, scan->directory, "segment", scan->end_generation, scan->uuid, NULL);
    }
    hf_segment_forget(&scan->segment);
    return HF_SUCCESS;
}

static int read_again(hf_scan *scan) {
    int error = rewind_scan(scan);
    return error != HF_SUCCESS ? error : GO_ON;
}

/* Whether the batch behind `found` is there, continues it, and knows its epoch durable. (Another part of the same epoch
 * vouches only for what is before that epoch.) */
static bool is_continued(spot *found) {
    hf_segment *segment = found->segment;
    uint64_t next = found->offset + hf_batch_size(found->header.payload_length);
    const uint8_t *bytes;
    hf_batch_header header;
    if (segment->bytes - next < HF_BATCH_ALIGN ||
        hf_segment_read(segment, next, HF_BATCH_ALIGN, &bytes) != HF_SUCCESS) {
        return false;
    }
    return hf_batch_decode(bytes, &header) == NULL && header.sequence == found->header.sequence + 1 &&
           header.durable >= found->header.epoch && hf_digest_equal(&header.before, &found->header.link);
}

/* Where nobody vouches for a batch but its own bytes, they must be the disk's. A writer that was killed leaves pages in
 * the cache that are not synced yet, and a power loss would undo what a reader told; one whose sync failed leaves some
 * that no disk ever gets, and the next writer will not see them. GO_ON: read it again. */
static int settle_tail(hf_scan *scan, spot *found) {
    if (scan->page == NULL || scan->bound != UINT64_MAX || found->finding.header != HF_HEADER_VALID ||
        found->header.epoch <= scan->vouched || is_continued(found) || found->segment->generation <= scan->settled) {
        return 0;
    }
    if (refresh_bound(scan)) { /* a writer is at work by now: the syncs are its own */
        return read_again(scan);
    }
    scan->settled = found->segment->generation;
    int error = scan->files->sync(scan->files->context, found->segment->file);
    scan->files->drop_cache(scan->files->context, found->segment->file);
    hf_segment_forget(found->segment);
    /* The last two: a file system on which nothing is written. */
    if (error != 0 && error != -EINVAL && error != -EROFS) {
        return hf_fail_system(error, "cannot sync %s before reading its end", found->segment->path);
    }
    return read_again(scan);
}

/* Of the page at the position; all zero where there is none. */
static int digest_page(const spot *found, hf_digest *digest) {
    const uint8_t *bytes;
    *digest = (hf_digest){{0}};
    if (found->segment->bytes == found->offset) {
        return HF_SUCCESS;
    }
    int error = hf_segment_read(found->segment, found->offset, HF_BATCH_ALIGN, &bytes);
    if (error == HF_SUCCESS) {
        *digest = hf_digest_of(bytes, HF_BATCH_ALIGN);
    }
    return error;
}

/* 1: a reader looked behind this very end before, and nothing has changed: it would read the rest of the segment at
 * every call. 0, or an error. */
static int is_quiet(const hf_scan *scan, const spot *found, hf_digest *page) {
    int error = digest_page(found, page);
    if (error != HF_SUCCESS) {
        return error;
    }
    return scan->quiet == place_of(found) && hf_digest_equal(page, &scan->quiet_page) && scan->vouched <= reached(scan);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

int hf_scan_begin(hf_scan *scan, const hf_files *files, const char *directory, const uint8_t uuid[16],
                  const hf_wal_position *position, hf_page *page) {
    *scan = (hf_scan){.files = files, .directory = directory, .position = *position, .page = page, .bound = UINT64_MAX};
    memcpy(scan->uuid, uuid, 16);
    hf_segment_init(&scan->segment, files);
    hf_segment_init(&scan->ahead, files);
    scan->end_generation = start_generation(position);
    scan->offset = scan->end_offset = HF_SEGMENT_PAGE;
    scan->vouched = position->durable;
    if (page != NULL) {
        refresh_bound(scan); /* before any byte is read */
    }
    return hf_segment_open(&scan->segment, directory, "segment", scan->end_generation, uuid, NULL);
}

/* A writer may have come since the position was read, and have written there and behind it: then what was read of the
 * position is older than the evidence. Whoever refuses has read it once more since. */
static bool must_doubt(hf_scan *scan, const spot *found) {
    if (scan->page == NULL || scan->doubted == place_of(found)) {
        return false;
    }
    scan->doubted = place_of(found);
    return true;
}

/* What is not accepted at first sight: the end (0), a refusal, or GO_ON: read it again. */
static int end_or_refuse(hf_scan *scan, spot *found) {
    hf_digest page;
    int quiet = scan->page != NULL ? is_quiet(scan, found, &page) : 0;
    if (quiet != 0) {
        return quiet < 0 ? quiet : rewind_scan(scan);
    }
    behind b;
    int error = look_behind(scan, found, &b);
    if (error != HF_SUCCESS) {
        return error;
    }
    scan->row = hf_recovery_decide(&found->finding);
    assert(scan->row->decision != HF_DECIDE_ACCEPT);
    if (scan->row->decision != HF_DECIDE_END && scan->row->decision != HF_DECIDE_CUT) {
        return must_doubt(scan, found) ? read_again(scan) : refuse(scan, found, &b);
    }
    if (scan->page == NULL) {
        return 0;
    }
    scan->quiet = place_of(found);
    scan->quiet_page = page;
    return rewind_scan(scan);
}

/* Looks at the position in question, and at its payload where it may be believed. 0; GO_ON: read it again; or an error.
 */
static int examine(hf_scan *scan, spot *found, const uint8_t **payload) {
    int error = find_spot(scan, found);
    error = error != HF_SUCCESS ? error : settle_tail(scan, found);
    if (error == HF_SUCCESS && found->finding.header == HF_HEADER_VALID && found->header.epoch <= scan->bound) {
        error = inspect_payload(found, payload);
    }
    /* Without a writer all is believed that is whole; but was there still none when this was read? */
    if (error == HF_SUCCESS && scan->page != NULL && scan->bound == UINT64_MAX && refresh_bound(scan)) {
        return read_again(scan);
    }
    return error;
}

static int step(hf_scan *scan) {
    spot found;
    const uint8_t *payload = NULL;
    int error = examine(scan, &found, &payload);
    if (error != HF_SUCCESS) {
        return error;
    }
    if (found.finding.header == HF_HEADER_VALID && found.finding.chained && found.header.epoch > scan->bound) {
        return rewind_scan(scan);
    }
    if (hf_recovery_decide(&found.finding)->decision != HF_DECIDE_ACCEPT) {
        return end_or_refuse(scan, &found);
    }
    return accept(scan, &found, payload);
}

int hf_scan_next(hf_scan *scan) {
    int result = scan->failed ? read_again(scan) : GO_ON;
    scan->row = NULL;
    scan->doubted = scan->settled = 0;
    while (result == GO_ON) {
        if (scan->whole.epoch < scan->bound) {
            result = step(scan);
        } else {
            result = refresh_bound(scan) ? read_again(scan) : 0;
        }
    }
    scan->failed = result < 0;
    return result;
}

void hf_scan_end(hf_scan *scan) {
    hf_segment_free(&scan->segment);
    hf_segment_free(&scan->ahead);
    free(scan->payload);
    scan->payload = NULL;
}
