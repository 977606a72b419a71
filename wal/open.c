/* Opening a log: the lock, reading back, cutting, and getting ready to append. The contract is in log.h.
 *
 *     list -> no gap? -> sync, drop the page cache -> scan (recover.h) -> cut -> what is empty behind: spares -> append
 */
#include "log.h"

#include "atomic.h"
#include "error.h"
#include "recover.h"
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- the lock ---------------------------------------------------------------------------------------------------- */

static void format_path(const hf_wal *wal, char path[HF_PATH_ROOM], const char *name) {
    snprintf(path, HF_PATH_ROOM, "%s/%s", wal->directory, name);
}

static int take_lock(hf_wal *wal) {
    char path[HF_PATH_ROOM], process[24] = "";
    format_path(wal, path, "LOCK");
    wal->lock_file = wal->files->open(wal->files->context, path, HF_OPEN_LOCK);
    if (wal->lock_file < 0) {
        return hf_fail_system(wal->lock_file, "cannot open %s", path);
    }
    int error = wal->files->lock(wal->files->context, wal->lock_file);
    if (error == -EAGAIN) {
        ssize_t n = hf_file_read_all(wal->files, wal->lock_file, process, sizeof process - 1, 0);
        process[n > 0 ? strcspn(process, " \n") : 0] = 0;
        return hf_fail(HF_EBUSY, "%s is locked by process %s", path, process);
    }
    if (error != 0) {
        return hf_fail_system(error, "cannot lock %s", path);
    }
    /* For people only: a short or failed write is no reason not to open. */
    int length = snprintf(process, sizeof process, "%-20ld\n", (long)getpid());
    (void)!wal->files->write(wal->files->context, wal->lock_file, process, (size_t)length, 0);
    return HF_SUCCESS;
}

static int remove_temporary(void *visitor, const char *name) {
    const hf_wal *wal = visitor;
    size_t length = strlen(name);
    char path[HF_PATH_ROOM];
    if (length < 4 || strcmp(name + length - 4, ".tmp") != 0) {
        return 0;
    }
    format_path(wal, path, name);
    int error = wal->files->remove(wal->files->context, path);
    return error == -ENOENT ? 0 : error;
}

/* The new directory's own name has to survive, too. */
static int make_directory(const hf_wal *wal) {
    int error = wal->files->make_directory(wal->files->context, wal->directory);
    if (error != 0) {
        return hf_fail_system(error, "cannot make directory %s", wal->directory);
    }
    char parent[HF_PATH_ROOM];
    snprintf(parent, sizeof parent, "%s", wal->directory);
    for (size_t end = strlen(parent); end > 1 && parent[end - 1] == '/'; end--) {
        parent[end - 1] = 0;
    }
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        snprintf(parent, sizeof parent, ".");
    } else {
        slash[slash == parent ? 1 : 0] = 0;
    }
    error = wal->files->sync_directory(wal->files->context, parent);
    /* Who may not read the parent did not make a directory in it. */
    return error == 0 || error == -EACCES || error == -EPERM
               ? HF_SUCCESS
               : hf_fail_system(error, "cannot sync directory %s, the parent of %s", parent, wal->directory);
}

/* The UUID of the first segment that can say it; the open checks them all. */
static int read_uuid(hf_wal *wal, const hf_listing *listing) {
    hf_segment segment;
    hf_segment_init(&segment, wal->files);
    int error = HF_ECORRUPT;
    for (size_t i = 0; i < listing->segments.count && error != HF_SUCCESS && error != HF_EIO && error != HF_ENOMEM;
         i++) {
        error = hf_segment_open(&segment, wal->directory, "segment", listing->segments.items[i], NULL, wal->uuid);
    }
    hf_segment_free(&segment);
    return error == HF_EIO || error == HF_ENOMEM ? error : HF_SUCCESS;
}

static int lock_for_writing(hf_wal *wal, bool must_exist) {
    hf_listing listing = {{0}, {0}};
    int error = HF_SUCCESS;
    if (must_exist) {
        error = hf_listing_read(wal->files, wal->directory, &listing);
        if (error == HF_SUCCESS && listing.segments.count == 0) {
            error = hf_fail(HF_ENOTFOUND, "there is no log in %s", wal->directory);
        }
        hf_listing_free(&listing);
    } else {
        error = make_directory(wal);
    }
    error = error != HF_SUCCESS ? error : take_lock(wal);
    if (error != HF_SUCCESS) {
        return error;
    }
    int result = wal->files->list(wal->files->context, wal->directory, remove_temporary, wal);
    return result == 0 ? HF_SUCCESS : hf_fail_system(result, "cannot remove what is half made in %s", wal->directory);
}

static hf_wal *make_wal(const char *directory, const hf_wal_options *options) {
    hf_wal *wal = calloc(1, sizeof *wal);
    if (wal == NULL || (wal->directory = strdup(directory)) == NULL) {
        free(wal);
        return NULL;
    }
    wal->options = *options;
    wal->files = options->files;
    wal->lock_file = wal->file = -1;
    wal->page = (hf_page){.files = wal->files, .file = -1, .lock_file = -1};
    hf_directory_init(&wal->names, wal->files, wal->directory);
    hf_spares_init(&wal->spares, &wal->names);
    pthread_mutex_init(&wal->release_mutex, NULL);
    pthread_mutex_init(&wal->poison_mutex, NULL);
    return wal;
}

int hf_wal_lock(const char *directory, const hf_wal_options *options, bool must_exist, hf_wal **wal) {
    *wal = NULL;
    if (directory[0] == 0 || strlen(directory) > HF_DIRECTORY_MAX) {
        return hf_fail(HF_EINVAL, "a directory's name has 1 to %u bytes", HF_DIRECTORY_MAX);
    }
    if (!options->read_only && !hf_segment_size_allowed(options->segment_bytes)) {
        return hf_fail(HF_EINVAL, "segment_bytes is %" PRIu64 ": expected a multiple of %u, %" PRIu64 " to %" PRIu64,
                       options->segment_bytes, HF_BATCH_ALIGN, HF_SEGMENT_MIN, HF_SEGMENT_MAX);
    }
    hf_wal *made = make_wal(directory, options);
    if (made == NULL) {
        return hf_fail(HF_ENOMEM, "no memory to open the log in %s", directory);
    }
    hf_listing listing = {{0}, {0}};
    int error = options->read_only ? HF_SUCCESS : lock_for_writing(made, must_exist);
    error = error != HF_SUCCESS ? error : hf_listing_read(made->files, directory, &listing);
    error = error != HF_SUCCESS ? error : read_uuid(made, &listing);
    hf_listing_free(&listing);
    if (error != HF_SUCCESS) {
        hf_wal_close(made);
        return error;
    }
    *wal = made;
    return HF_SUCCESS;
}

void hf_wal_close(hf_wal *wal) {
    if (wal == NULL) {
        return;
    }
    if (wal->file >= 0) {
        wal->files->close(wal->files->context, wal->file);
    }
    hf_page_close(&wal->page);
    /* The lock last: whoever gets it finds nobody at work. */
    if (wal->lock_file >= 0) {
        wal->files->close(wal->files->context, wal->lock_file);
    }
    hf_spares_destroy(&wal->spares);
    hf_directory_destroy(&wal->names);
    pthread_mutex_destroy(&wal->release_mutex);
    pthread_mutex_destroy(&wal->poison_mutex);
    free(wal->staging);
    free(wal->directory);
    free(wal);
}

/* ---- what lies there --------------------------------------------------------------------------------------------- */

int hf_wal_explain(const hf_files *files, const char *directory, uint64_t generation, uint64_t reached, int error) {
    if (error != HF_ECORRUPT && error != HF_ENOTFOUND) {
        return error;
    }
    hf_listing listing;
    int listed = hf_listing_read(files, directory, &listing);
    bool released = listed == HF_SUCCESS && listing.segments.count > 0 && listing.segments.items[0] > generation;
    hf_listing_free(&listing);
    if (released) {
        return hf_fail(HF_ENOTFOUND, "%s/segment-%016" PRIx64 " is no longer kept; read up to epoch %" PRIu64,
                       directory, generation, reached);
    }
    return listed != HF_SUCCESS ? listed : error;
}

int hf_wal_check_gaps(const hf_generations *segments, const char *directory, uint64_t first) {
    assert(segments->count > 0);
    uint64_t expected = first, newest = segments->items[segments->count - 1];
    for (size_t i = 0; i < segments->count; i++) {
        if (segments->items[i] < first) {
            continue;
        }
        if (segments->items[i] != expected) {
            break;
        }
        expected++;
    }
    if (expected > first && expected > newest) {
        return HF_SUCCESS;
    }
    return hf_fail(HF_ECORRUPT,
                   "%s/segment-%016" PRIx64 " is missing: the log needs every segment from generation %" PRIu64
                   " to %" PRIu64,
                   directory, expected, first, max64(first, newest));
}

/* Names first: a killed process may have left segments and checkpoints whose names are not durable yet. */
static int settle_names(hf_wal *wal) {
    int result = hf_directory_sync(&wal->names);
    return result == 0 ? HF_SUCCESS
                       : hf_fail_system(result, "cannot sync directory %s before reading it", wal->directory);
}

/* What this process finds in its page cache may never have reached the disk: a failed fsync leaves pages that are
 * called clean and are not. So everything is synced, and the segments that may hold unsynced batches are read from the
 * disk: from the last back to the first one that has a batch; those before it were synced when it was begun. */
static int settle(hf_wal *wal, const hf_generations *segments, uint64_t first) {
    hf_segment segment;
    hf_segment_init(&segment, wal->files);
    bool tail = true;
    int error = settle_names(wal);
    for (size_t i = segments->count; error == HF_SUCCESS && i > 0 && segments->items[i - 1] >= first; i--) {
        error = hf_segment_open(&segment, wal->directory, "segment", segments->items[i - 1], wal->uuid, NULL);
        if (error != HF_SUCCESS) {
            break;
        }
        int result = wal->files->sync(wal->files->context, segment.file);
        if (result != 0) {
            error = hf_fail_system(result, "cannot sync %s before reading it", segment.path);
            break;
        }
        if (tail) {
            wal->files->drop_cache(wal->files->context, segment.file);
            hf_segment_forget(&segment);
            const uint8_t *bytes;
            hf_batch_header header;
            error = hf_segment_read(&segment, HF_SEGMENT_PAGE, HF_BATCH_ALIGN, &bytes);
            tail = error != HF_SUCCESS || hf_batch_decode(bytes, &header) != NULL;
        }
    }
    hf_segment_free(&segment);
    return error;
}

/* The epochs of headers in cut tails: a second recovery after an interrupted one no longer sees them in the log. */
static int see_cut_file(const hf_wal *wal, const char *path, uint64_t *highest) {
    int file = wal->files->open(wal->files->context, path, HF_OPEN_READ);
    if (file < 0) {
        return hf_fail_system(file, "cannot open %s", path);
    }
    uint8_t bytes[HF_BATCH_HEADER];
    hf_batch_header header;
    ssize_t n = sizeof bytes;
    for (uint64_t at = 0; n == (ssize_t)sizeof bytes; at += HF_BATCH_ALIGN) {
        n = hf_file_read_all(wal->files, file, bytes, sizeof bytes, at);
        if (n == (ssize_t)sizeof bytes && hf_batch_decode(bytes, &header) == NULL &&
            memcmp(header.uuid, wal->uuid, 16) == 0) {
            *highest = max64(*highest, header.epoch);
        }
    }
    wal->files->close(wal->files->context, file);
    return n < 0 ? hf_fail_system((int)n, "cannot read %s", path) : HF_SUCCESS;
}

typedef struct cut_visit {
    const hf_wal *wal;
    uint64_t from; /* generations below it can hold no higher epoch than the log */
    uint64_t highest;
    int error;
} cut_visit;

static int visit_cut_file(void *visitor, const char *name) {
    cut_visit *visit = visitor;
    char path[HF_PATH_ROOM];
    uint64_t generation;
    if (!hf_is_cut_name(name, &generation) || generation < visit->from) {
        return 0;
    }
    format_path(visit->wal, path, name);
    visit->error = see_cut_file(visit->wal, path, &visit->highest);
    return visit->error != HF_SUCCESS;
}

/* `highest` grows to the highest epoch that a tail from segment `from` or later had. */
static int see_cut_files(const hf_wal *wal, uint64_t from, uint64_t *highest) {
    cut_visit visit = {.wal = wal, .from = from};
    int result = wal->files->list(wal->files->context, wal->directory, visit_cut_file, &visit);
    *highest = max64(*highest, visit.highest);
    return result < 0 ? hf_fail_system(result, "cannot list directory %s", wal->directory) : visit.error;
}

/* ---- reading back ------------------------------------------------------------------------------------------------ */

static int replay_all(hf_scan *scan, hf_wal_replay replay, void *context, hf_wal_found *found) {
    int result;
    while ((result = hf_scan_next(scan)) == 1) {
        int error = replay == NULL ? 0 : replay(context, &scan->epoch);
        if (error < 0) {
            return error;
        }
        found->epochs++;
    }
    return result;
}

static void report(const hf_scan *scan, const hf_wal_position *position, hf_wal_found *found) {
    found->last_epoch = max64(scan->whole.epoch, position->epoch > 0 ? position->epoch - 1 : 0);
    found->last_time_ms = scan->whole.time_ms;
    found->term = scan->whole.term;
    found->highest_seen = max64(found->highest_seen, max64(scan->highest_seen, found->last_epoch));
}

/* A reader may come while the writer lets go of what it wants to read: that is not damage. Only with a writer: without
 * one, a log whose first segment is missing is damaged. */
static int explain_reader(hf_wal *wal, int error, uint64_t wanted, uint64_t reached) {
    return hf_page_locked(&wal->page) ? hf_wal_explain(wal->files, wal->directory, wanted, reached, error) : error;
}

static int read_only_open(hf_wal *wal, const hf_wal_position *position, hf_wal_replay replay, void *context,
                          hf_wal_found *found) {
    uint64_t first = position->generation > 0 ? position->generation : 1;
    hf_listing listing;
    hf_scan scan = {.files = NULL};
    hf_page_open_reader(&wal->page, wal->files, wal->directory);
    int error = hf_listing_read(wal->files, wal->directory, &listing);
    if (error == HF_SUCCESS && listing.segments.count == 0) {
        error = hf_fail(HF_ENOTFOUND, "there is no log in %s", wal->directory);
    } else if (error == HF_SUCCESS) {
        error = hf_wal_check_gaps(&listing.segments, wal->directory, first);
    }
    hf_listing_free(&listing);
    if (error != HF_SUCCESS) {
        return explain_reader(wal, error, first, 0);
    }
    error = hf_scan_begin(&scan, wal->files, wal->directory, wal->uuid, position, &wal->page);
    error = error != HF_SUCCESS ? error : replay_all(&scan, replay, context, found);
    if (error == HF_SUCCESS) {
        report(&scan, position, found);
    } else {
        error = explain_reader(wal, error, scan.segment.generation + 1, scan.whole.epoch);
    }
    hf_scan_end(&scan);
    return error;
}

/* A segment with no batch in it is chained to the one before: which release keeps for this. */
static int find_chain(hf_wal *wal, hf_scan *scan, hf_wal_found *found) {
    hf_wal_position position = {.epoch = UINT64_MAX, .generation = scan->end_generation - 1};
    hf_wal_found ignored = {0};
    hf_scan earlier;
    int error = hf_scan_begin(&earlier, wal->files, wal->directory, wal->uuid, &position, NULL);
    error = error != HF_SUCCESS ? error : replay_all(&earlier, NULL, NULL, &ignored);
    if (error == HF_ENOTFOUND || (error == HF_SUCCESS && earlier.whole.sequence == 0)) {
        error = hf_fail(HF_ECORRUPT,
                        "%s/segment-%016" PRIx64 " is missing or empty: it had the batch to which the next is chained",
                        wal->directory, position.generation);
    }
    if (error == HF_SUCCESS) {
        scan->whole = earlier.whole;
        found->highest_seen = max64(found->highest_seen, earlier.highest_seen);
    }
    hf_scan_end(&earlier);
    return error;
}

/* Reads the log back and cuts its tail; wal's chain is then that of the last whole epoch. */
static int recover(hf_wal *wal, hf_scan *scan, const hf_wal_position *position, hf_wal_replay replay, void *context,
                   uint64_t newest, hf_wal_found *found) {
    hf_page page;
    hf_page_open_reader(&page, wal->files, wal->directory);
    uint64_t committed = hf_page_committed(&page, wal->uuid);
    found->highest_seen = hf_page_durable(&page, wal->uuid);
    hf_page_close(&page);
    int error = hf_scan_begin(scan, wal->files, wal->directory, wal->uuid, position, NULL);
    scan->vouched = max64(scan->vouched, committed);
    error = error != HF_SUCCESS ? error : replay_all(scan, replay, context, found);
    error = error != HF_SUCCESS ? error : hf_cut(scan, newest, &found->cut_bytes);
    if (error == HF_SUCCESS && scan->whole.sequence == 0 && scan->end_generation > 1) {
        error = find_chain(wal, scan, found);
    }
    error = error != HF_SUCCESS ? error : see_cut_files(wal, scan->end_generation, &found->highest_seen);
    report(scan, position, found);
    wal->sequence = scan->whole.sequence;
    wal->link = scan->whole.link;
    hf_store_relaxed(&wal->committed, scan->whole.epoch);                 /* relaxed: nobody else has the log yet */
    hf_store_relaxed(&wal->committed_generation, scan->whole.generation); /* relaxed: the same */
    return error;
}

/* ---- getting ready to append ------------------------------------------------------------------------------------- */

/* Segments behind the end are empty now: they become spares again, the last first, so that no gap shows. */
static int retire_behind(hf_wal *wal, uint64_t end, uint64_t newest) {
    char segment[HF_PATH_ROOM], spare[HF_PATH_ROOM];
    int error = 0;
    for (uint64_t generation = newest; error == 0 && generation > end; generation--) {
        hf_segment_path(segment, wal->directory, "segment", generation, "");
        hf_segment_path(spare, wal->directory, "spare", generation, "");
        error = wal->files->rename(wal->files->context, segment, spare);
    }
    if (error == 0 && newest > end) {
        error = hf_directory_sync(&wal->names);
    }
    return error == 0 ? HF_SUCCESS
                      : hf_fail_system(error, "cannot make the empty segments of %s spare", wal->directory);
}

/* 1: the spare is wanted and good; 0: it was removed (one that cannot be read, too); or HF_EIO HF_ENOMEM. */
static int keep_or_remove(const hf_wal *wal, hf_segment *segment, uint64_t generation, bool wanted) {
    if (wanted) {
        int error = hf_segment_open(segment, wal->directory, "spare", generation, wal->uuid, NULL);
        if (error == HF_SUCCESS || error == HF_ENOMEM) {
            return error == HF_SUCCESS ? 1 : error;
        }
    }
    char path[HF_PATH_ROOM];
    hf_segment_path(path, wal->directory, "spare", generation, "");
    int result = wal->files->remove(wal->files->context, path);
    return result == 0 ? 0 : hf_fail_system(result, "cannot remove %s", path);
}

/* Counts the spares that follow `open` and are good; removes the others. */
static int count_spares(const hf_wal *wal, uint64_t open, unsigned *ready) {
    hf_listing listing;
    hf_segment segment;
    hf_segment_init(&segment, wal->files);
    int result = hf_listing_read(wal->files, wal->directory, &listing);
    *ready = 0;
    for (size_t i = 0; result >= 0 && i < listing.spares.count; i++) {
        uint64_t generation = listing.spares.items[i];
        result = keep_or_remove(wal, &segment, generation, generation == open + *ready + 1);
        *ready += result == 1;
    }
    hf_segment_free(&segment);
    hf_listing_free(&listing);
    return result < 0 ? result : HF_SUCCESS;
}

static int start_spares(hf_wal *wal, uint64_t open) {
    unsigned ready;
    int error = count_spares(wal, open, &ready);
    hf_segment_header header = {.generation = open, .bytes = wal->options.segment_bytes};
    memcpy(header.uuid, wal->uuid, sizeof header.uuid);
    hf_spares_start(&wal->spares, &header, ready);
    return error;
}

static int start_appending(hf_wal *wal, uint64_t highest_seen) {
    wal->staging = aligned_alloc(HF_BATCH_ALIGN, HF_STAGING);
    if (wal->staging == NULL) {
        return hf_fail(HF_ENOMEM, "no memory for the %d bytes in which batches are put together", HF_STAGING);
    }
    wal->part.epoch = highest_seen;
    int error = hf_page_open_writer(&wal->page, wal->files, wal->directory, wal->uuid);
    if (error == HF_SUCCESS) {
        hf_page_publish(&wal->page, hf_wal_committed(wal), hf_wal_committed(wal));
        wal->is_open = true;
    }
    return error;
}

/* Takes segment 1 into use. */
static int begin_log(hf_wal *wal, uint64_t highest_seen) {
    int error = start_spares(wal, 0);
    error = error != HF_SUCCESS ? error : hf_wal_next_segment(wal);
    wal->first_generation = 1;
    return error != HF_SUCCESS ? error : start_appending(wal, highest_seen);
}

static int make_new_log(hf_wal *wal, const hf_wal_position *position, hf_wal_found *found) {
    hf_page page;
    hf_page_open_reader(&page, wal->files, wal->directory);
    uint64_t committed = max64(hf_page_committed(&page, NULL), position->durable);
    hf_page_close(&page);
    if (position->generation > 0 || committed > 0) {
        return hf_fail(HF_ECORRUPT,
                       "%s/segment-%016" PRIx64 " is missing, as is every segment: epoch %" PRIu64
                       " of the log was durable",
                       wal->directory, max64(position->generation, 1), committed);
    }
    if (getrandom(wal->uuid, sizeof wal->uuid, 0) != (ssize_t)sizeof wal->uuid) {
        return hf_fail_system(-errno, "no random bytes for the UUID of a new log");
    }
    found->is_new = true;
    return begin_log(wal, 0); /* an interrupted making left spares of another UUID: they go */
}

static int open_old_log(hf_wal *wal, const hf_listing *listing, const hf_wal_position *position, hf_wal_replay replay,
                        void *context, hf_wal_found *found) {
    const hf_generations *segments = &listing->segments;
    uint64_t first = position->generation > 0 ? position->generation : 1;
    uint64_t newest = segments->items[segments->count - 1];
    hf_scan scan = {.files = NULL};
    int error = hf_wal_check_gaps(segments, wal->directory, first);
    error = error != HF_SUCCESS ? error : settle(wal, segments, first);
    if (error != HF_SUCCESS) {
        return error;
    }
    error = recover(wal, &scan, position, replay, context, newest, found);
    uint64_t end = scan.end_generation, offset = scan.end_offset;
    hf_scan_end(&scan);
    if (error == HF_SUCCESS && wal->sequence == 0 && position->generation == 0) {
        /* Nothing was ever written, and nobody knows whether a sync of segment 1's name failed: it is given anew. */
        error = retire_behind(wal, 0, newest);
        return error != HF_SUCCESS ? error : begin_log(wal, found->highest_seen);
    }
    error = error != HF_SUCCESS ? error : retire_behind(wal, end, newest);
    error = error != HF_SUCCESS ? error : hf_wal_use_segment(wal, end, offset);
    error = error != HF_SUCCESS ? error : start_spares(wal, end);
    wal->first_generation = segments->items[0];
    return error != HF_SUCCESS ? error : start_appending(wal, found->highest_seen);
}

int hf_wal_open(hf_wal *wal, const hf_wal_position *position, hf_wal_replay replay, void *context,
                hf_wal_found *found) {
    *found = (hf_wal_found){0};
    assert(!wal->is_open);
    if (wal->options.read_only) {
        return read_only_open(wal, position, replay, context, found);
    }
    hf_listing listing;
    int error = hf_listing_read(wal->files, wal->directory, &listing);
    if (error == HF_SUCCESS) {
        error = listing.segments.count == 0 ? make_new_log(wal, position, found)
                                            : open_old_log(wal, &listing, position, replay, context, found);
    }
    hf_listing_free(&listing);
    return error;
}
