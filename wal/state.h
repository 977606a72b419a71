/* The log's state, shared by the files that open it (open.c) and append to it (log.c), and by nobody else. */
#ifndef HF_STATE_H
#define HF_STATE_H

#include "directory.h"
#include "log.h"
#include "page.h"
#include "segment.h"
#include "spare.h"

#include <pthread.h>

enum { HF_STAGING = 4 << 20 }; /* bytes of the largest batch that is written: header, payload and padding */

struct hf_wal {
    hf_wal_options options;
    const hf_files *files;
    char *directory;
    int lock_file; /* -1: none */
    bool is_open;
    uint8_t uuid[16];
    hf_page page;
    hf_directory names; /* of any thread */

    /* Of the appending thread. offset <= bytes; both multiples of HF_BATCH_ALIGN. */
    int file; /* of the open segment; -1: none */
    uint64_t bytes, offset;
    char path[HF_PATH_ROOM];
    bool dirty;        /* the open segment has bytes that no sync has covered */
    uint64_t sequence; /* of the last batch */
    hf_digest link;
    uint8_t *staging; /* HF_STAGING bytes: room for a header, then the payload of the part that fills */
    size_t staged;    /* payload bytes in it */
    bool in_epoch;
    hf_batch_header part; /* of the open epoch: the next part to be written */

    /* Of any thread. Each is a number by itself, written by the appending thread (poisoned: by any, with its text). */
    uint64_t generation;           /* of the open segment */
    uint64_t committed;            /* the highest epoch committed */
    uint64_t committed_generation; /* the segment with the last committed batch */
    hf_wal_gauges gauges;
    pthread_mutex_t poison_mutex; /* guards the text while it is written: the first failure is the one that is told */
    int poisoned;
    char poison[512];

    hf_spares spares;
    pthread_mutex_t release_mutex; /* guards first_generation */
    uint64_t first_generation;     /* the oldest segment kept */
};

/* Opens the segment `generation` for appending at `offset`; what was open before is closed. HF_... of hf_segment_open.
 */
int hf_wal_use_segment(hf_wal *wal, uint64_t generation, uint64_t offset);
/* Takes the next spare into use as the open segment, made on the spot if none is ready. Poisons nothing by itself. */
int hf_wal_next_segment(hf_wal *wal);

/* What HF_ECORRUPT or HF_ENOTFOUND, just kept, means to a reader: HF_ENOTFOUND, if the oldest segment kept is later than
 * `generation` (the writer let go of it while it was read, up to epoch `reached`); else as before. HF_EIO HF_ENOMEM: nobody
 * can tell. */
int hf_wal_explain(const hf_files *files, const char *directory, uint64_t generation, uint64_t reached, int error);
/* Whether the segments, of which there are some, have no gap from `first` on: HF_ECORRUPT names the first that is missing. */
int hf_wal_check_gaps(const hf_generations *segments, const char *directory, uint64_t first);

#endif
