/* The durable page, both sides: page.h has the layout and the rules.
 *
 * Edge X1: hf_page_publish (release of `committed`) -> read_number (acquire), also between processes: a reader that
 *     sees an epoch committed sees its bytes in the log.
 * Edge X2: hf_page_open_writer, of a page that becomes this log's (release of its UUID) -> is_of (acquire): a reader
 *     that finds the page to be its log's does not find another log's numbers in it.
 */
#include "page.h"

#include "atomic.h"
#include "batch.h"
#include "error.h"
#include "segment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { UUID_AT = 16, DURABLE_AT = 32, COMMITTED_AT = 40, PROCESS_AT = 48, IDENTITY_AT = 56 };
static const char magic[16] = "HFDURABL\1";

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the page's numbers are shared as they are");

static uint64_t *field(const hf_page *page, size_t offset) { return (uint64_t *)(void *)(page->memory + offset); }

static void page_path(char path[HF_PATH_ROOM], const char *directory, const char *name) {
    snprintf(path, HF_PATH_ROOM, "%s/%s", directory, name);
}

static bool is_of(const hf_page *page, const uint8_t *uuid) {
    if (memcmp(page->memory, magic, sizeof magic) != 0) {
        return false;
    }
    /* edge X2, from hf_page_open_writer */
    uint64_t low = hf_load_acquire(field(page, UUID_AT)), high = hf_load_acquire(field(page, UUID_AT + 8));
    return uuid == NULL || ((low ^ hf_get64(uuid)) | (high ^ hf_get64(uuid + 8))) == 0;
}

int hf_page_open_writer(hf_page *page, const hf_files *files, const char *directory, const uint8_t uuid[16]) {
    *page = (hf_page){.files = files, .file = -1, .lock_file = -1};
    char path[HF_PATH_ROOM];
    page_path(path, directory, "durable");
    int file = files->open(files->context, path, HF_OPEN_LOCK);
    if (file < 0) {
        return hf_fail_system(file, "cannot open %s", path);
    }
    page->file = file;
    int error = files->truncate(files->context, file, HF_PAGE_BYTES);
    error = error != 0 ? error : files->identity(files->context, file, &page->identity);
    if (error == 0) {
        /* Written once through the file, so that a full disk is an error here and not a signal at the mapping. */
        uint8_t first[64];
        ssize_t n = hf_file_read_all(files, file, first, sizeof first, 0);
        error = n < 0 ? (int)n : hf_file_write_all(files, file, first, sizeof first, 0);
    }
    if (error != 0) {
        hf_page_close(page);
        return hf_fail_system(error, "cannot make %s", path);
    }
    page->memory = files->map(files->context, file, HF_PAGE_BYTES, true);
    if (page->memory == NULL) {
        return HF_SUCCESS;
    }
    if (!is_of(page, uuid) || *field(page, IDENTITY_AT) != page->identity) {
        /* Readers may have it mapped: it is nobody's while it is made this log's. */
        hf_store_release(field(page, IDENTITY_AT), 0);  /* edge X2, to read_number */
        hf_store_release(field(page, COMMITTED_AT), 0); /* edge X1 */
        hf_store_release(field(page, DURABLE_AT), 0);   /* edge X1 */
        hf_store_release(field(page, UUID_AT), hf_get64(uuid)); /* edge X2, to is_of, both */
        hf_store_release(field(page, UUID_AT + 8), hf_get64(uuid + 8));
        memcpy(page->memory, magic, sizeof magic);
        hf_store_release(field(page, IDENTITY_AT), page->identity); /* edge X2, to read_number */
    }
    *field(page, PROCESS_AT) = (uint64_t)getpid();
    return HF_SUCCESS;
}

void hf_page_publish(hf_page *page, uint64_t committed, uint64_t durable) {
    if (page->memory == NULL) {
        return;
    }
    /* relaxed loads: this thread alone writes the page */
    if (hf_load_relaxed(field(page, COMMITTED_AT)) < committed) {
        hf_store_release(field(page, COMMITTED_AT), committed); /* edge X1, to read_number */
    }
    if (hf_load_relaxed(field(page, DURABLE_AT)) < durable) {
        hf_store_release(field(page, DURABLE_AT), durable); /* edge X1, to programs that read the page by themselves */
    }
}

/* What was not there before may be there now. */
static void open_for_reading(hf_page *page) {
    char path[HF_PATH_ROOM];
    uint64_t size = 0;
    page_path(path, page->directory, "durable");
    page->file = page->files->open(page->files->context, path, HF_OPEN_READ);
    if (page->file >= 0 && page->files->size(page->files->context, page->file, &size) == 0 && size >= HF_PAGE_BYTES &&
        page->files->identity(page->files->context, page->file, &page->identity) == 0) {
        page->memory = page->files->map(page->files->context, page->file, HF_PAGE_BYTES, false);
    }
    if (page->memory == NULL && page->file >= 0) {
        page->files->close(page->files->context, page->file);
        page->file = -1;
    }
}

void hf_page_open_reader(hf_page *page, const hf_files *files, const char *directory) {
    *page = (hf_page){.files = files, .directory = directory, .file = -1, .lock_file = -1};
}

bool hf_page_locked(hf_page *page) {
    if (page->lock_file < 0) {
        char path[HF_PATH_ROOM];
        page_path(path, page->directory, "LOCK");
        page->lock_file = page->files->open(page->files->context, path, HF_OPEN_READ);
    }
    /* A lock that cannot be asked for counts as held, the cautious side; but for one that does not exist. */
    return page->lock_file < 0 ? page->lock_file != -ENOENT
                               : page->files->locked(page->files->context, page->lock_file) != 0;
}

static uint64_t read_number(hf_page *page, const uint8_t *uuid, size_t offset) {
    if (page->memory == NULL) {
        open_for_reading(page);
    }
    /* Edge X2. */
    if (page->memory == NULL || !is_of(page, uuid) || hf_load_acquire(field(page, IDENTITY_AT)) != page->identity) {
        return 0;
    }
    return hf_load_acquire(field(page, offset)); /* edge X1, from hf_page_publish */
}

uint64_t hf_page_committed(hf_page *page, const uint8_t *uuid) { return read_number(page, uuid, COMMITTED_AT); }
uint64_t hf_page_durable(hf_page *page, const uint8_t *uuid) { return read_number(page, uuid, DURABLE_AT); }

void hf_page_renew(hf_page *page) {
    if (page->memory != NULL) {
        page->files->unmap(page->files->context, page->memory, HF_PAGE_BYTES);
        page->memory = NULL;
    }
    if (page->file >= 0) {
        page->files->close(page->files->context, page->file);
        page->file = -1;
    }
}

void hf_page_close(hf_page *page) {
    hf_page_renew(page);
    if (page->lock_file >= 0) {
        page->files->close(page->files->context, page->lock_file);
        page->lock_file = -1;
    }
}
