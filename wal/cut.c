/* Cutting a torn tail: what is behind the last whole epoch is kept aside, then made zeros again.
 *
 * The order is what makes it safe to be interrupted:
 *     1  for the latest segment first, down to the one where the log ends:
 *     2      copy its tail to a temporary file, sync, rename to cut-..., sync the directory
 *     3      zero the tail, sync
 * A crash within 2 leaves a *.tmp that the next open removes. A crash within 3 leaves any mixture of tail and zeros,
 * behind which every segment is zero: the table calls that a torn tail again. In any other order, a first part that is
 * zeroed before a later segment is would look like a durable batch that was lost.
 */
#include "recover.h"

#include "error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 256 << 10 };

bool hf_is_cut_name(const char *name, uint64_t *generation) {
    uint64_t offset;
    unsigned n;
    int end = 0;
    return sscanf(name, "cut-%16" SCNx64 "-%16" SCNx64 "-%u%n", generation, &offset, &n, &end) == 3 && name[end] == 0;
}

/* An interrupted cut leaves an earlier copy of the same bytes. */
int hf_cut_path(const hf_files *files, const char *directory, uint64_t generation, uint64_t offset,
                char path[HF_PATH_ROOM]) {
    for (unsigned n = 1;; n++) {
        snprintf(path, HF_PATH_ROOM, "%s/cut-%08" PRIx64 "-%08" PRIx64 "-%u", directory, generation, offset, n);
        int file = files->open(files->context, path, HF_OPEN_READ);
        if (file < 0) {
            return file == -ENOENT ? HF_SUCCESS : hf_fail_system(file, "cannot look for %s", path);
        }
        files->close(files->context, file);
    }
}

/* Copies [offset, end) of the segment to an open file, and syncs and closes it. */
static int copy_tail(hf_segment *segment, uint64_t offset, uint64_t end, int file, const char *path) {
    const hf_files *files = segment->files;
    int error = HF_SUCCESS, result = 0;
    for (uint64_t at = offset; error == HF_SUCCESS && result == 0 && at < end; at += CHUNK) {
        const uint8_t *bytes;
        size_t length = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        error = hf_segment_read(segment, at, length, &bytes);
        result = error == HF_SUCCESS ? hf_file_write_all(files, file, bytes, length, at - offset) : 0;
    }
    result = error == HF_SUCCESS && result == 0 ? files->sync(files->context, file) : result;
    int closed = files->close(files->context, file);
    result = result == 0 ? closed : result;
    if (error != HF_SUCCESS || result == 0) {
        return error;
    }
    return hf_fail_system(result, "cannot write %s, to keep what is cut from the log", path);
}

static int keep_aside(const hf_scan *scan, hf_segment *segment, uint64_t offset, uint64_t end) {
    const hf_files *files = scan->files;
    char path[HF_PATH_ROOM], temporary[HF_PATH_ROOM + 8];
    int error = hf_cut_path(files, scan->directory, segment->generation, offset, path);
    if (error != HF_SUCCESS) {
        return error;
    }
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int file = files->open(files->context, temporary, HF_OPEN_CREATE);
    if (file < 0) {
        return hf_fail_system(file, "cannot make %s, to keep what is cut from the log", temporary);
    }
    error = copy_tail(segment, offset, end, file, path);
    int result = error == HF_SUCCESS ? files->rename(files->context, temporary, path) : 0;
    if (error != HF_SUCCESS || result != 0) {
        files->remove(files->context, temporary);
    }
    if (error == HF_SUCCESS && result == 0) {
        result = files->sync_directory(files->context, scan->directory);
    }
    return result == 0 ? error : hf_fail_system(result, "cannot name %s, to keep what is cut from the log", path);
}

static int zero_tail(const hf_segment *segment, uint64_t offset, uint64_t end) {
    const hf_files *files = segment->files;
    uint8_t *zeros = calloc(1, CHUNK);
    if (zeros == NULL) {
        return hf_fail(HF_ENOMEM, "no memory to cut %s", segment->path);
    }
    int file = files->open(files->context, segment->path, HF_OPEN_WRITE);
    int error = file < 0 ? file : 0;
    for (uint64_t at = offset; error == 0 && at < end; at += CHUNK) {
        error = hf_file_write_all(files, file, zeros, end - at < CHUNK ? (size_t)(end - at) : CHUNK, at);
    }
    free(zeros);
    if (file >= 0) {
        /* Not retried: a failed sync may have lost the zeros, and the open fails with it. */
        error = error == 0 ? files->sync(files->context, file) : error;
        files->close(files->context, file);
    }
    return error == 0 ? HF_SUCCESS : hf_fail_system(error, "cannot cut %s at offset %" PRIu64, segment->path, offset);
}

static int cut_segment(const hf_scan *scan, hf_segment *segment, uint64_t generation, uint64_t offset,
                       uint64_t *cut_bytes) {
    uint64_t end = offset;
    int error = hf_segment_open(segment, scan->directory, "segment", generation, scan->uuid, NULL);
    if (error == HF_SUCCESS) {
        error = hf_segment_content_end(segment, offset, &end);
    }
    if (error != HF_SUCCESS || end == offset) {
        return error;
    }
    error = keep_aside(scan, segment, offset, end);
    if (error == HF_SUCCESS) {
        error = zero_tail(segment, offset, end);
    }
    *cut_bytes += error == HF_SUCCESS ? end - offset : 0;
    return error;
}

int hf_cut(hf_scan *scan, uint64_t newest, uint64_t *cut_bytes) {
    hf_segment segment;
    hf_segment_init(&segment, scan->files);
    int error = HF_SUCCESS;
    for (uint64_t generation = newest; error == HF_SUCCESS && generation >= scan->end_generation; generation--) {
        uint64_t offset = generation == scan->end_generation ? scan->end_offset : HF_SEGMENT_PAGE;
        error = cut_segment(scan, &segment, generation, offset, cut_bytes);
    }
    hf_segment_free(&segment);
    return error;
}
