/* The log: a directory's segments, as one sequence of epochs. Opening reads it back through the recovery table (recover.h),
 * then it is appended to, an epoch at a time. Knows bytes and files, no SKU. One thread at a time, but where "any thread" is said.
 *
 * Guarantees
 *   A  hf_wal_commit returned 0: the epoch is on disk, whole, and every one before it.
 *   B  Any failed write or sync is the log's last act: every later call answers HF_EPOISONED, nothing is retried, no sync is
 *      issued after one that failed.
 *   C  What is appended lands only in sectors that hold no durable byte.
 *
 * A directory:
 *     LOCK                        exclusive lock of the writer, and its process id
 *     durable                     4,096 bytes shared with readers: UUID and durable epoch of a running writer
 *     segment-0000000000000001    header page, then batches, then zeros; generations (hexadecimal) without a gap
 *     spare-0000000000000002      the next segments, prepared ahead: real zeros, made under a temporary name and renamed
 *     checkpoint-00000000000000e5 a checkpoint from which replay starts at that epoch (hexadecimal)
 *     cut-00000002-00003000-1     what a recovery cut off: generation, offset, and a number
 *     *.tmp                       being made; removed by the next open
 */
#ifndef HF_LOG_H
#define HF_LOG_H

#include "batch.h"
#include "file.h"

typedef struct hf_wal hf_wal;

typedef struct hf_wal_options {
    const hf_files *files;
    uint64_t segment_bytes; /* for new segments; existing ones say their own size in their header */
    bool read_only;         /* change nothing: no lock, no cut; the durable prefix of a directory that may be in use. Where no
                               writer vouches for the last epoch, it is synced before it is told */
} hf_wal_options;

/* Where in the log a replay starts: given by a checkpoint, all zero for the log's beginning. */
typedef struct hf_wal_position {
    uint64_t epoch;      /* the first epoch to replay */
    uint64_t generation; /* the segment that holds the first batch with that epoch or above, or will */
    uint64_t durable;    /* the log must reach this epoch: the checkpoint holds effects of everything up to it */
} hf_wal_position;

/* One epoch, read back whole. Memory is the log's and lives for the call it is given to. */
typedef struct hf_wal_epoch {
    uint64_t epoch;
    uint64_t time_ms;
    uint64_t term;
    uint64_t generation; /* of its first batch */
    const uint8_t *payload;
    size_t length;
} hf_wal_epoch;

typedef struct hf_wal_found {
    uint64_t last_epoch;   /* of the log as it stands now, cut; position.epoch - 1 if none */
    uint64_t highest_seen; /* of any header seen with this log's UUID, cut ones included, and of what was ever marked durable:
                              go on strictly above it */
    uint64_t last_time_ms;
    uint64_t term;         /* of the last batch; 0 for a new log */
    uint64_t epochs;       /* replayed */
    uint64_t cut_bytes;
    bool is_new;           /* the directory held no log */
} hf_wal_found;

/* Called for each epoch >= position.epoch, in order. A negative result ends the open with it. */
typedef int (*hf_wal_replay)(void *context, const hf_wal_epoch *epoch);

/* Locks `directory`, so that checkpoints may be read before hf_wal_open. Makes the directory unless must_exist. Removes what
 * was left half made (*.tmp). HF_EBUSY HF_EIO HF_ENOTFOUND. For read_only: only checks that the directory is there. */
int hf_wal_lock(const char *directory, const hf_wal_options *options, bool must_exist, hf_wal **wal);

/* Reads the log back from `position` and makes it ready to append. Syncs what it reads, and reads it from the disk (a page
 * cache may hold what no disk does); cuts a torn tail and keeps the cut aside. HF_ECORRUPT HF_EVERSION HF_EIO HF_ENOMEM;
 * read_only: HF_ENOTFOUND if there is no log, or its writer has let go of position.generation. */
int hf_wal_open(hf_wal *wal, const hf_wal_position *position, hf_wal_replay replay, void *context, hf_wal_found *found);

/* The log's UUID (made with a new log); checkpoints bear it. */
const uint8_t *hf_wal_uuid(const hf_wal *wal);

/* Begins an epoch, higher than any before. Bytes put are copied; a long epoch is written in parts as it fills. */
int hf_wal_begin(hf_wal *wal, uint64_t epoch, uint64_t time_ms, uint64_t term);
int hf_wal_put(hf_wal *wal, const void *data, size_t length);
/* Writes the last part and syncs. After 0 the epoch is durable, and readers of the `durable` page are told. */
int hf_wal_commit(hf_wal *wal);

/* Tells readers that `epoch` is durable though nothing was written for it (an empty one). */
void hf_wal_mark_durable(hf_wal *wal, uint64_t epoch);

/* Prepares spare segments until `wanted` lie ready; returns how many were made, or an error, which poisons nothing but where
 * it is a failed sync of the directory. May be called by another thread than the appending one. */
int hf_wal_prepare(hf_wal *wal, unsigned wanted);
/* Makes every change of names in the directory durable: the only way to do so while the log is open (a failed sync that
 * nobody told the appending thread of might have lost a segment's name). HF_EPOISONED HF_EREADONLY. Any thread. */
int hf_wal_sync_directory(hf_wal *wal);
/* How many spare segments lie ready. Any thread. */
unsigned hf_wal_spares(hf_wal *wal);

/* The highest epoch that was committed here or found at the open: what a checkpoint may demand of the log as its
 * position.durable (an epoch that was only marked durable has no batch that could be found). Any thread. */
uint64_t hf_wal_committed(const hf_wal *wal);

/* Where an epoch that is not yet written will be found at the earliest: the open segment. Any thread. */
uint64_t hf_wal_generation(const hf_wal *wal);
/* Lets go of every segment whose generation is below `generation`; but for the one with the last committed batch, to which
 * the next is chained. HF_EIO HF_EREADONLY HF_EPOISONED. Any thread. */
int hf_wal_release(hf_wal *wal, uint64_t generation);

typedef struct hf_wal_gauges {
    uint64_t bytes, payload, epochs, syncs, segments;
} hf_wal_gauges;
void hf_wal_gauges_read(const hf_wal *wal, hf_wal_gauges *gauges); /* any thread */

/* Closes files and lock and frees `wal`; NULL is allowed. Commits nothing. */
void hf_wal_close(hf_wal *wal);

/* ---- following a log that somebody may be writing ------------------------------------------------------------------ */

typedef struct hf_follow hf_follow;

/* Reads from the first epoch >= from_epoch; 0: from the oldest kept whole. `files` NULL: the system's. HF_ENOTFOUND HF_EIO HF_ENOMEM HF_ECORRUPT HF_EVERSION. */
int hf_follow_open(const char *directory, const hf_files *files, uint64_t from_epoch, hf_follow **follow);
/* 1: *epoch is the next durable epoch, until the next call; 0: none yet; negative: as hf_log_next of holdfast.h. Whatever it
 * answered, it may be called again, and leaves nothing out. */
int hf_follow_next(hf_follow *follow, hf_wal_epoch *epoch);
void hf_follow_close(hf_follow *follow);

#endif
