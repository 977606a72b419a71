/* Appending: staging, writing, syncing, rotating, and the poison. The contract is in log.h.
 *
 *      hf_wal_put            full part: pwrite, no sync          hf_wal_commit: pwrite, ONE fdatasync
 *      ---------> staging -----------------------------> segment ------------------------------------> durable page
 *                                                          | no room: sync it, take a spare into use
 *
 * Edge F2: the poison's text (release of `poisoned`) -> whoever sees it set (acquire).
 */
#include "log.h"

#include "atomic.h"
#include "error.h"
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With less room than this left, a segment is left rather than an epoch split once more. */
enum { ROOM_WORTH_USING = 64 << 10 };
_Static_assert(HF_SEGMENT_MIN - HF_SEGMENT_PAGE >= ROOM_WORTH_USING + HF_BATCH_ALIGN,
               "what was staged fits a new segment");

/* ---- the poison -------------------------------------------------------------------------------------------------- */

static int check_poison(const hf_wal *wal) {
    if (hf_load_acquire(&wal->poisoned)) { /* edge F2, from poison */
        hf_error_keep(wal->poison);
        return HF_EPOISONED;
    }
    return HF_SUCCESS;
}

/* The failure whose sentence was just kept is the log's last act. Any thread; the first to fail is heard. */
static int poison(hf_wal *wal) {
    pthread_mutex_lock(&wal->poison_mutex);
    if (!hf_load_relaxed(&wal->poisoned)) { /* relaxed: the mutex is the edge */
        snprintf(wal->poison, sizeof wal->poison, "%s", hf_error_detail());
        hf_store_release(&wal->poisoned, 1); /* edge F2, to check_poison */
    }
    pthread_mutex_unlock(&wal->poison_mutex);
    hf_spares_stop(&wal->spares);
    return check_poison(wal);
}

static int check_writable(const hf_wal *wal) {
    if (wal->options.read_only) {
        return hf_fail(HF_EREADONLY, "the log in %s was opened read-only", wal->directory);
    }
    return wal->is_open ? check_poison(wal) : hf_fail(HF_EINVAL, "the log in %s is not open", wal->directory);
}

/* ---- gauges: written by the appending thread alone, read by any -------------------------------------------------- */

static void add_gauge(uint64_t *gauge, uint64_t n) {
    hf_store_relaxed(gauge, hf_load_relaxed(gauge) + n); /* relaxed: a number is all the message; one writer */
}

void hf_wal_gauges_read(const hf_wal *wal, hf_wal_gauges *gauges) {
    /* relaxed, all: each is right by itself */
    gauges->bytes = hf_load_relaxed(&wal->gauges.bytes);
    gauges->payload = hf_load_relaxed(&wal->gauges.payload);
    gauges->epochs = hf_load_relaxed(&wal->gauges.epochs);
    gauges->syncs = hf_load_relaxed(&wal->gauges.syncs);
    hf_wal *shared = (hf_wal *)(uintptr_t)wal;
    pthread_mutex_lock(&shared->release_mutex);
    uint64_t first = wal->first_generation;
    pthread_mutex_unlock(&shared->release_mutex);
    uint64_t open = hf_wal_generation(wal);
    gauges->segments = (open > 0 ? open - first + 1 : 0) + hf_spares_ready(&shared->spares);
}

uint64_t hf_wal_generation(const hf_wal *wal) {
    return hf_load_relaxed(&wal->generation); /* relaxed: only ever grows, and a lower answer is a safe one */
}

uint64_t hf_wal_committed(const hf_wal *wal) {
    return hf_load_relaxed(&wal->committed); /* relaxed: what it names is on disk before it is stored */
}

const uint8_t *hf_wal_uuid(const hf_wal *wal) { return wal->uuid; }

/* ---- segments ---------------------------------------------------------------------------------------------------- */

int hf_wal_use_segment(hf_wal *wal, uint64_t generation, uint64_t offset) {
    hf_segment segment;
    hf_segment_init(&segment, wal->files);
    int error = hf_segment_open(&segment, wal->directory, "segment", generation, wal->uuid, NULL);
    int file = -1;
    if (error == HF_SUCCESS) {
        file = wal->files->open(wal->files->context, segment.path, HF_OPEN_LOG);
        error = file < 0 ? hf_fail_system(file, "cannot open %s for writing", segment.path) : HF_SUCCESS;
    }
    if (error == HF_SUCCESS) {
        if (wal->file >= 0) {
            wal->files->close(wal->files->context, wal->file);
        }
        wal->file = file;
        wal->bytes = segment.bytes;
        wal->offset = offset;
        memcpy(wal->path, segment.path, sizeof wal->path);
        hf_store_relaxed(&wal->generation, generation); /* relaxed: see hf_wal_generation */
    }
    hf_segment_free(&segment);
    return error;
}

int hf_wal_next_segment(hf_wal *wal) {
    uint64_t generation;
    int error = hf_spares_take(&wal->spares, &generation);
    if (error != HF_SUCCESS) {
        return error;
    }
    char spare[HF_PATH_ROOM], segment[HF_PATH_ROOM];
    hf_segment_path(spare, wal->directory, "spare", generation, "");
    hf_segment_path(segment, wal->directory, "segment", generation, "");
    error = wal->files->rename(wal->files->context, spare, segment);
    if (error == 0) {
        /* Before any batch is in it: a name that could be lost must not hold a durable one. */
        error = hf_directory_sync(&wal->names);
    }
    if (error != 0) {
        return hf_fail_system(error, "cannot take %s into use", segment);
    }
    return hf_wal_use_segment(wal, generation, HF_SEGMENT_PAGE);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int sync_segment(hf_wal *wal) {
    /* Once, whatever it answers. After a failed fsync Linux calls the pages clean though the disk never got them, and a
     * second call would say success: "fsyncgate", 2018. The only honest way on is to stop, and to read back from the
     * disk at the next open. */
    int error = wal->files->sync(wal->files->context, wal->file);
    if (error != 0) {
        hf_fail_system(error, "cannot sync %s, offset %" PRIu64 ", epoch %" PRIu64, wal->path, wal->offset,
                       wal->part.epoch);
        return poison(wal);
    }
    wal->dirty = false;
    add_gauge(&wal->gauges.syncs, 1);
    return HF_SUCCESS;
}

/* Writes what is staged as one batch, in one write. */
static int write_part(hf_wal *wal, bool last) {
    uint64_t size = hf_batch_size(wal->staged);
    assert(size <= wal->bytes - wal->offset && size <= HF_STAGING);
    hf_batch_header *part = &wal->part;
    part->flags = last ? HF_BATCH_LAST : 0;
    part->generation = hf_wal_generation(wal);
    part->payload_length = wal->staged;
    part->payload = hf_digest_of(wal->staging + HF_BATCH_HEADER, wal->staged);
    part->sequence = wal->sequence + 1;
    part->before = wal->link;
    hf_batch_encode(part, wal->staging);
    memset(wal->staging + HF_BATCH_HEADER + wal->staged, 0, (size_t)size - HF_BATCH_HEADER - wal->staged);

    wal->dirty = true;
    int error = hf_file_write_all(wal->files, wal->file, wal->staging, (size_t)size, wal->offset);
    if (error != 0) {
        hf_fail_system(error, "cannot write %s, offset %" PRIu64 ", epoch %" PRIu64, wal->path, wal->offset,
                       part->epoch);
        return poison(wal);
    }
    wal->offset += size;
    wal->sequence = part->sequence;
    wal->link = part->link;
    add_gauge(&wal->gauges.bytes, size);
    add_gauge(&wal->gauges.payload, wal->staged);
    part->part++;
    wal->staged = 0;
    return HF_SUCCESS;
}

/* Goes on in the next segment; what is staged goes along. The recovery table counts on the sync: whatever stands in a
 * later segment is evidence that this one was durable. */
static int rotate(hf_wal *wal) {
    int error = wal->dirty ? sync_segment(wal) : HF_SUCCESS;
    if (error != HF_SUCCESS) {
        return error;
    }
    if (hf_wal_next_segment(wal) != HF_SUCCESS) {
        char why[400];
        snprintf(why, sizeof why, "%s", hf_error_detail());
        hf_fail(HF_EPOISONED, "no room in the log after segment %" PRIx64 ", offset %" PRIu64 ", epoch %" PRIu64 ": %s",
                hf_wal_generation(wal), wal->offset, wal->part.epoch, why);
        return poison(wal);
    }
    return HF_SUCCESS;
}

/* How much payload the part that fills may have. */
static size_t part_capacity(const hf_wal *wal) {
    uint64_t room = wal->bytes - wal->offset;
    uint64_t size = room < HF_STAGING ? room : HF_STAGING;
    return size < HF_BATCH_HEADER ? 0 : (size_t)size - HF_BATCH_HEADER;
}

int hf_wal_begin(hf_wal *wal, uint64_t epoch, uint64_t time_ms, uint64_t term) {
    int error = check_writable(wal);
    if (error != HF_SUCCESS) {
        return error;
    }
    if (wal->in_epoch) {
        return hf_fail(HF_EINVAL, "epoch %" PRIu64 " cannot begin: epoch %" PRIu64 " is open", epoch, wal->part.epoch);
    }
    if (epoch <= wal->part.epoch || epoch > HF_BATCH_MAX_NUMBER) {
        return hf_fail(HF_EINVAL, "epoch %" PRIu64 " cannot begin: expected one above %" PRIu64 ", up to %" PRIu64,
                       epoch, wal->part.epoch, HF_BATCH_MAX_NUMBER);
    }
    wal->part = (hf_batch_header){.term = term, .epoch = epoch, .time_ms = time_ms, .durable = hf_wal_committed(wal)};
    memcpy(wal->part.uuid, wal->uuid, sizeof wal->uuid);
    wal->staged = 0;
    wal->in_epoch = true;
    return HF_SUCCESS;
}

int hf_wal_put(hf_wal *wal, const void *data, size_t length) {
    int error = check_writable(wal);
    if (error == HF_SUCCESS && !wal->in_epoch) {
        error = hf_fail(HF_EINVAL, "no epoch has begun");
    }
    const uint8_t *from = data;
    while (error == HF_SUCCESS && length > 0) {
        size_t capacity = part_capacity(wal);
        if (wal->staged < capacity) {
            size_t n = length < capacity - wal->staged ? length : capacity - wal->staged;
            memcpy(wal->staging + HF_BATCH_HEADER + wal->staged, from, n);
            wal->staged += n;
            from += n;
            length -= n;
        } else if (wal->bytes - wal->offset < ROOM_WORTH_USING) {
            error = rotate(wal);
        } else {
            error = write_part(wal, false);
        }
    }
    return error;
}

int hf_wal_commit(hf_wal *wal) {
    int error = check_writable(wal);
    if (error == HF_SUCCESS && !wal->in_epoch) {
        error = hf_fail(HF_EINVAL, "no epoch has begun");
    }
    if (error == HF_SUCCESS && hf_batch_size(wal->staged) > wal->bytes - wal->offset) {
        error = rotate(wal);
    }
    if (error == HF_SUCCESS) {
        error = write_part(wal, true);
    }
    if (error == HF_SUCCESS) {
        error = sync_segment(wal);
    }
    if (error != HF_SUCCESS) {
        return error;
    }
    wal->in_epoch = false;
    hf_store_relaxed(&wal->committed, wal->part.epoch); /* relaxed: see hf_wal_committed */
    /* relaxed: hf_wal_release may as well see the one before, and keeps more */
    hf_store_relaxed(&wal->committed_generation, wal->part.generation);
    add_gauge(&wal->gauges.epochs, 1);
    hf_page_publish(&wal->page, wal->part.epoch, wal->part.epoch);
    return HF_SUCCESS;
}

void hf_wal_mark_durable(hf_wal *wal, uint64_t epoch) {
    if (check_writable(wal) == HF_SUCCESS) {
        hf_page_publish(&wal->page, 0, epoch);
    }
}

/* ---- spares, release --------------------------------------------------------------------------------------------- */

int hf_wal_prepare(hf_wal *wal, unsigned wanted) {
    int error = check_writable(wal);
    if (error != HF_SUCCESS) {
        return error;
    }
    int result = hf_spares_prepare(&wal->spares, wanted);
    return result < 0 && hf_directory_is_lost(&wal->names) ? poison(wal) : result;
}

int hf_wal_sync_directory(hf_wal *wal) {
    int error = check_writable(wal);
    if (error != HF_SUCCESS) {
        return error;
    }
    int result = hf_directory_sync(&wal->names);
    if (result != 0) {
        hf_fail_system(result, "cannot sync directory %s", wal->directory);
        return poison(wal);
    }
    return HF_SUCCESS;
}

unsigned hf_wal_spares(hf_wal *wal) { return hf_spares_ready(&wal->spares); }

int hf_wal_release(hf_wal *wal, uint64_t generation) {
    int error = check_writable(wal);
    if (error != HF_SUCCESS) {
        return error;
    }
    /* relaxed: an older answer keeps more */
    uint64_t kept = hf_load_relaxed(&wal->committed_generation);
    uint64_t end = generation < kept ? generation : kept;
    pthread_mutex_lock(&wal->release_mutex);
    /* The oldest first, so that what is left has no gap whenever this is interrupted. */
    while (error == HF_SUCCESS && wal->first_generation < end) {
        char path[HF_PATH_ROOM];
        hf_segment_path(path, wal->directory, "segment", wal->first_generation, "");
        int result = wal->files->remove(wal->files->context, path);
        if (result != 0 && result != -ENOENT) {
            error = hf_fail_system(result, "cannot remove %s", path);
        } else {
            wal->first_generation++;
        }
    }
    pthread_mutex_unlock(&wal->release_mutex);
    return error;
}
