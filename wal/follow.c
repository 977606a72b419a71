/* Following a log: the recovery scan, beside a writer. The contract is in log.h; what a reader may believe is in
 * page.h. */
#include "log.h"

#include "error.h"
#include "recover.h"
#include "state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS = 8 }; /* a directory that is listed while its writer rotates and releases may look odd for a moment */

struct hf_follow {
    const hf_files *files;
    char *directory;
    hf_page page;
    hf_scan scan;
};

/* Where to start reading: the latest segment that surely begins at or before the wanted epoch. Too early costs reading;
 * so a first batch that nobody vouches for does not count, as the next writer might cut it. */
static int choose_start(hf_follow *follow, const hf_generations *segments, uint64_t from, uint8_t uuid[16],
                        uint64_t *start) {
    hf_segment segment;
    hf_segment_init(&segment, follow->files);
    int error = hf_segment_open(&segment, follow->directory, "segment", segments->items[0], NULL, uuid);
    uint64_t vouched = error == HF_SUCCESS ? hf_page_committed(&follow->page, uuid) : 0;
    *start = segments->items[0];
    for (size_t i = 0; error == HF_SUCCESS && i < segments->count; i++) {
        const uint8_t *bytes;
        hf_batch_header first;
        error = hf_segment_open(&segment, follow->directory, "segment", segments->items[i], uuid, NULL);
        error = error != HF_SUCCESS ? error : hf_segment_read(&segment, HF_SEGMENT_PAGE, HF_BATCH_ALIGN, &bytes);
        if (error != HF_SUCCESS || hf_batch_decode(bytes, &first) != NULL) {
            break;
        }
        bool begins_before = first.epoch < from || (first.epoch == from && first.part == 0);
        bool lost = from > 0 && (first.part == 0 ? first.durable >= from : first.epoch >= from);
        if (i == 0 && lost) {
            error = hf_fail(HF_ENOTFOUND, "epoch %" PRIu64 " is no longer kept in %s: its log begins at epoch %" PRIu64,
                            from, follow->directory, first.epoch);
        } else if (i > 0 && (!begins_before || first.epoch > vouched)) {
            break;
        } else {
            *start = segments->items[i];
        }
    }
    hf_segment_free(&segment);
    return error;
}

static int try_open(hf_follow *follow, uint64_t from) {
    hf_listing listing;
    uint8_t uuid[16] = {0};
    uint64_t start = 0;
    int error = hf_listing_read(follow->files, follow->directory, &listing);
    if (error == HF_SUCCESS && listing.segments.count == 0) {
        error = hf_fail(HF_ENOTFOUND, "there is no log in %s", follow->directory);
    }
    error = error != HF_SUCCESS ? error : choose_start(follow, &listing.segments, from, uuid, &start);
    error = error != HF_SUCCESS ? error : hf_wal_check_gaps(&listing.segments, follow->directory, start);
    hf_listing_free(&listing);
    if (error == HF_SUCCESS) {
        hf_wal_position position = {.epoch = from, .generation = start};
        error = hf_scan_begin(&follow->scan, follow->files, follow->directory, uuid, &position, &follow->page);
    }
    return error;
}

int hf_follow_open(const char *directory, const hf_files *files, uint64_t from_epoch, hf_follow **follow) {
    *follow = NULL;
    if (directory[0] == 0 || strlen(directory) > HF_DIRECTORY_MAX) {
        return hf_fail(HF_EINVAL, "a directory's name has 1 to %u bytes", HF_DIRECTORY_MAX);
    }
    hf_follow *made = calloc(1, sizeof *made);
    if (made == NULL || (made->directory = strdup(directory)) == NULL) {
        free(made);
        return hf_fail(HF_ENOMEM, "no memory to read the log in %s", directory);
    }
    made->files = files != NULL ? files : hf_files_system();
    hf_page_open_reader(&made->page, made->files, made->directory);
    hf_segment_init(&made->scan.segment, made->files);
    hf_segment_init(&made->scan.ahead, made->files);
    int error = HF_ENOTFOUND;
    for (int attempt = 0; attempt < ATTEMPTS && (error == HF_ENOTFOUND || error == HF_ECORRUPT); attempt++) {
        hf_scan_end(&made->scan);
        error = try_open(made, from_epoch);
    }
    if (error != HF_SUCCESS) {
        hf_follow_close(made);
        return error;
    }
    *follow = made;
    return HF_SUCCESS;
}

int hf_follow_next(hf_follow *follow, hf_wal_epoch *epoch) {
    hf_scan *scan = &follow->scan;
    int result = hf_scan_next(scan);
    if (result == 1) {
        *epoch = scan->epoch;
    }
    return hf_wal_explain(follow->files, follow->directory, scan->segment.generation + 1, scan->whole.epoch, result);
}

void hf_follow_close(hf_follow *follow) {
    if (follow == NULL) {
        return;
    }
    hf_scan_end(&follow->scan);
    hf_page_close(&follow->page);
    free(follow->directory);
    free(follow);
}
