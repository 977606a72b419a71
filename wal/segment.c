/* Making, naming and reading segments: segment.h has the layout. */
#include "segment.h"

#include "error.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERSION = 1,
    DIGEST_AT = 4080,
    ZEROS = 1 << 20,      /* written at once */
    SYNC_EVERY = 4 << 20, /* so that a log beside it never waits for a whole segment's zeros */
    WINDOW = 256 << 10,
};

static const char magic[8] = "HFSEGMT\n";
const char hf_segment_other_version[] = "it is of another format version";

/* ---- the header page --------------------------------------------------------------------------------------------- */

bool hf_segment_size_allowed(uint64_t bytes) {
    return bytes >= HF_SEGMENT_MIN && bytes <= HF_SEGMENT_MAX && bytes % HF_BATCH_ALIGN == 0;
}

void hf_segment_encode(const hf_segment_header *header, uint8_t page[HF_SEGMENT_PAGE]) {
    assert(hf_segment_size_allowed(header->bytes) && header->generation > 0);
    memset(page, 0, HF_SEGMENT_PAGE);
    memcpy(page, magic, 8);
    hf_put32(page + 8, VERSION);
    memcpy(page + 16, header->uuid, 16);
    hf_put64(page + 32, header->generation);
    hf_put64(page + 40, header->bytes);
    hf_digest digest = hf_digest_of(page, DIGEST_AT);
    memcpy(page + DIGEST_AT, digest.bytes, sizeof digest.bytes);
}

const char *hf_segment_decode(const uint8_t page[HF_SEGMENT_PAGE], hf_segment_header *header) {
    if (memcmp(page, magic, 8) != 0) {
        return "it does not begin like a segment";
    }
    /* The digest before the version: a flipped bit must not pass for a newer format. */
    hf_digest digest = hf_digest_of(page, DIGEST_AT);
    if (memcmp(digest.bytes, page + DIGEST_AT, sizeof digest.bytes) != 0) {
        return "its header page's digest is wrong";
    }
    if ((hf_get32(page + 8) & 0xffff) != VERSION) {
        return hf_segment_other_version;
    }
    memcpy(header->uuid, page + 16, 16);
    header->generation = hf_get64(page + 32);
    header->bytes = hf_get64(page + 40);
    if (!hf_is_zero(page + 10, 6) || !hf_is_zero(page + 48, DIGEST_AT - 48)) {
        return "reserved bytes of its header page are set";
    }
    return hf_segment_size_allowed(header->bytes) ? NULL : "its header page names a size that no segment has";
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

void hf_segment_path(char path[HF_PATH_ROOM], const char *directory, const char *prefix, uint64_t generation,
                     const char *suffix) {
    int length = snprintf(path, HF_PATH_ROOM, "%s/%s-%016" PRIx64 "%s", directory, prefix, generation, suffix);
    assert(length > 0 && length < (int)HF_PATH_ROOM);
    (void)length;
}

/* "<prefix>-<16 lower-case hexadecimal digits>", from 1 */
static bool parse_name(const char *name, const char *prefix, uint64_t *generation) {
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0 || name[length] != '-') {
        return false;
    }
    name += length + 1;
    *generation = 0;
    for (int i = 0; i < 16; i++) {
        static const char hexadecimal[] = "0123456789abcdef";
        const char *found = name[i] ? strchr(hexadecimal, name[i]) : NULL;
        if (found == NULL) {
            return false;
        }
        *generation = *generation << 4 | (uint64_t)(found - hexadecimal);
    }
    return name[16] == 0 && *generation > 0;
}

/* The names that are looked for, and the list of each. */
typedef struct visit {
    const char *const *prefixes;
    hf_generations *lists;
    size_t count;
} visit;

static int add_generation(hf_generations *list, uint64_t generation) {
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        uint64_t *items = realloc(list->items, room * sizeof *items);
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = generation;
    return 0;
}

static int visit_name(void *visitor, const char *name) {
    const visit *wanted = visitor;
    uint64_t generation;
    for (size_t i = 0; i < wanted->count; i++) {
        if (parse_name(name, wanted->prefixes[i], &generation)) {
            return add_generation(&wanted->lists[i], generation);
        }
    }
    return 0;
}

static int compare_generations(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int read_names(const hf_files *files, const char *directory, visit *wanted) {
    int result = files->list(files->context, directory, visit_name, wanted);
    if (result == -ENOENT) {
        return hf_fail(HF_ENOTFOUND, "there is no directory %s", directory);
    }
    if (result != 0) {
        return hf_fail_system(result, "cannot list directory %s", directory);
    }
    for (size_t i = 0; i < wanted->count; i++) {
        if (wanted->lists[i].count > 1) {
            qsort(wanted->lists[i].items, wanted->lists[i].count, sizeof(uint64_t), compare_generations);
        }
    }
    return HF_SUCCESS;
}

int hf_generations_read(const hf_files *files, const char *directory, const char *prefix, hf_generations *list) {
    *list = (hf_generations){0};
    return read_names(files, directory, &(visit){.prefixes = &prefix, .lists = list, .count = 1});
}

int hf_listing_read(const hf_files *files, const char *directory, hf_listing *listing) {
    static const char *const prefixes[] = {"segment", "spare"};
    hf_generations lists[2] = {{0}, {0}};
    int error = read_names(files, directory, &(visit){.prefixes = prefixes, .lists = lists, .count = 2});
    *listing = (hf_listing){.segments = lists[0], .spares = lists[1]};
    return error;
}

void hf_listing_free(hf_listing *listing) {
    free(listing->segments.items);
    free(listing->spares.items);
    *listing = (hf_listing){{0}, {0}};
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* 0, a negative errno, or 1: gave up. */
static int fill_segment(const hf_files *files, int file, const hf_segment_header *header,
                        bool (*give_up)(const void *context), const void *context, uint8_t *zeros) {
    uint64_t unsynced = 0;
    hf_segment_encode(header, zeros);
    for (uint64_t at = 0; at < header->bytes;) {
        if (give_up != NULL && give_up(context)) {
            return 1;
        }
        size_t length = header->bytes - at < ZEROS ? (size_t)(header->bytes - at) : ZEROS;
        int error = hf_file_write_all(files, file, zeros, length, at);
        if (error != 0) {
            return error;
        }
        memset(zeros, 0, at == 0 ? HF_SEGMENT_PAGE : 0);
        at += length;
        unsynced += length;
        if (unsynced >= SYNC_EVERY || at == header->bytes) {
            error = files->sync(files->context, file);
            if (error != 0) {
                return error;
            }
            unsynced = 0;
        }
    }
    return 0;
}

int hf_segment_make(const hf_files *files, const char *directory, const hf_segment_header *header,
                    bool (*give_up)(const void *context), const void *context) {
    char temporary[HF_PATH_ROOM], path[HF_PATH_ROOM];
    hf_segment_path(temporary, directory, "spare", header->generation, ".tmp");
    hf_segment_path(path, directory, "spare", header->generation, "");
    uint8_t *zeros = calloc(1, ZEROS);
    if (zeros == NULL) {
        return hf_fail(HF_ENOMEM, "no memory to prepare %s", path);
    }
    int file = files->open(files->context, temporary, HF_OPEN_CREATE);
    int error = file;
    if (file >= 0) {
        error = fill_segment(files, file, header, give_up, context, zeros);
        int closed = files->close(files->context, file);
        error = error == 0 ? closed : error;
    }
    free(zeros);
    if (error == 0) {
        error = files->rename(files->context, temporary, path);
    }
    if (error != 0) {
        files->remove(files->context, temporary);
    }
    if (error > 0) {
        return hf_fail(HF_EPOISONED, "gave up preparing %s: the log is poisoned or closing", path);
    }
    return error < 0 ? hf_fail_system(error, "cannot prepare %s, %" PRIu64 " bytes", path, header->bytes) : HF_SUCCESS;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

void hf_segment_init(hf_segment *segment, const hf_files *files) {
    *segment = (hf_segment){.files = files, .file = -1};
}

/* Compares the page with what the name and the log promise. */
static int check_page(hf_segment *segment, const uint8_t *uuid, uint8_t *found) {
    const uint8_t *page;
    uint64_t size;
    int error = segment->files->size(segment->files->context, segment->file, &size);
    if (error != 0) {
        return hf_fail_system(error, "cannot tell the size of %s", segment->path);
    }
    if (size < HF_SEGMENT_MIN) {
        return hf_fail(HF_ECORRUPT, "%s is %" PRIu64 " bytes long: shorter than any segment", segment->path, size);
    }
    segment->bytes = size;
    error = hf_segment_read(segment, 0, HF_SEGMENT_PAGE, &page);
    if (error != HF_SUCCESS) {
        return error;
    }
    hf_segment_header header;
    const char *wrong = hf_segment_decode(page, &header);
    if (wrong != NULL) {
        return hf_fail(wrong == hf_segment_other_version ? HF_EVERSION : HF_ECORRUPT,
                       "%s, offset 0: %s; expected segment format %d", segment->path, wrong, VERSION);
    }
    if (header.generation != segment->generation) {
        return hf_fail(HF_ECORRUPT, "%s, offset 32: its header page says generation %" PRIu64 ", its name %" PRIu64,
                       segment->path, header.generation, segment->generation);
    }
    if (uuid != NULL && memcmp(uuid, header.uuid, 16) != 0) {
        return hf_fail(HF_ECORRUPT, "%s, offset 16: it belongs to another log: its UUID is not that of the others",
                       segment->path);
    }
    if (header.bytes != size) {
        return hf_fail(HF_ECORRUPT, "%s is %" PRIu64 " bytes long; expected %" PRIu64 " as its header page says",
                       segment->path, size, header.bytes);
    }
    if (found != NULL) {
        memcpy(found, header.uuid, 16);
    }
    return HF_SUCCESS;
}

int hf_segment_open(hf_segment *segment, const char *directory, const char *prefix, uint64_t generation,
                    const uint8_t *uuid, uint8_t *found) {
    hf_segment_close(segment);
    hf_segment_path(segment->path, directory, prefix, generation, "");
    int file = segment->files->open(segment->files->context, segment->path, HF_OPEN_READ);
    if (file == -ENOENT) {
        return hf_fail(HF_ENOTFOUND, "there is no %s", segment->path);
    }
    if (file < 0) {
        return hf_fail_system(file, "cannot open %s", segment->path);
    }
    segment->file = file;
    segment->generation = generation;
    int error = check_page(segment, uuid, found);
    if (error != HF_SUCCESS) {
        hf_segment_close(segment);
    }
    return error;
}

static int fill_window(hf_segment *segment, uint64_t offset, size_t length) {
    if (length > segment->room) {
        uint8_t *window = realloc(segment->window, length);
        if (window == NULL) {
            return hf_fail(HF_ENOMEM, "no memory to read %zu bytes of %s", length, segment->path);
        }
        segment->window = window;
        segment->room = length;
    }
    segment->held = 0;
    ssize_t n = hf_file_read_all(segment->files, segment->file, segment->window, length, offset);
    if (n < 0) {
        return hf_fail_system((int)n, "cannot read %zu bytes of %s at offset %" PRIu64, length, segment->path, offset);
    }
    if ((size_t)n < length) {
        return hf_fail(HF_EIO, "%s ends at offset %" PRIu64 "; expected %" PRIu64 " bytes", segment->path,
                       offset + (uint64_t)n, segment->bytes);
    }
    segment->held_offset = offset;
    segment->held = length;
    return HF_SUCCESS;
}

int hf_segment_read(hf_segment *segment, uint64_t offset, size_t length, const uint8_t **data) {
    assert(offset <= segment->bytes && length <= segment->bytes - offset);
    uint64_t held_end = segment->held_offset + segment->held;
    if (segment->held == 0 || offset < segment->held_offset || offset + length > held_end) {
        uint64_t left = segment->bytes - offset;
        size_t wanted = length > WINDOW ? length : left < WINDOW ? (size_t)left : WINDOW;
        int error = fill_window(segment, offset, wanted);
        if (error != HF_SUCCESS) {
            return error;
        }
    }
    *data = segment->window + (offset - segment->held_offset);
    return HF_SUCCESS;
}

void hf_segment_forget(hf_segment *segment) { segment->held = 0; }

int hf_segment_content_end(hf_segment *segment, uint64_t from, uint64_t *end) {
    *end = from;
    for (uint64_t at = from; at < segment->bytes; at += HF_BATCH_ALIGN) {
        const uint8_t *page;
        size_t length = segment->bytes - at < HF_BATCH_ALIGN ? (size_t)(segment->bytes - at) : HF_BATCH_ALIGN;
        int error = hf_segment_read(segment, at, length, &page);
        if (error != HF_SUCCESS) {
            return error;
        }
        if (!hf_is_zero(page, length)) {
            while (page[length - 1] == 0) {
                length--;
            }
            *end = at + length;
        }
    }
    return HF_SUCCESS;
}

void hf_segment_close(hf_segment *segment) {
    if (segment->file >= 0) {
        segment->files->close(segment->files->context, segment->file);
        segment->file = -1;
    }
    segment->held = 0;
}

void hf_segment_free(hf_segment *segment) {
    hf_segment_close(segment);
    free(segment->window);
    segment->window = NULL;
    segment->room = 0;
}
