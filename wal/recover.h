/* Recovery: what is believed of a log that a crash may have cut off anywhere.
 *
 * Guarantees
 *   A  What is accepted is a prefix of whole epochs, each chained to the one before.
 *   B  That prefix holds every epoch that anything vouches for. Where it cannot, the answer is a refusal that names file,
 *      offset and epoch.
 *   C  What is neither accepted nor vouched for, and looks as a crash leaves it, is a torn tail and is cut.
 *   D  Memory is bounded by the largest epoch.
 *
 * The decision is a table: what stands at the position where the next batch should begin, against what vouches for it.
 * "Evidence" is that something after this position was durable, so that this position must have been, too:
 *   - a valid header behind it, here or in a later segment, whose `durable` is above the last whole epoch;
 *   - any valid header in a later segment: a segment is synced before the next one is written;
 *   - a checkpoint, or the durable page, that says so.
 */
#ifndef HF_RECOVER_H
#define HF_RECOVER_H

#include "log.h"
#include "page.h"
#include "segment.h"

typedef enum hf_header_kind {
    HF_HEADER_NONE,    /* zeros, or no room; and nothing but zeros behind it in this segment and in later ones */
    HF_HEADER_LOST,    /* zeros, but not all behind it is */
    HF_HEADER_VALID,   /* a header of this log in this segment */
    HF_HEADER_FOREIGN, /* a valid header of another log or of another generation */
    HF_HEADER_NEWER,   /* a whole header of another format version */
    HF_HEADER_GARBAGE, /* anything else */
    HF_HEADER_KINDS
} hf_header_kind;

typedef enum hf_decision {
    HF_DECIDE_ACCEPT,
    HF_DECIDE_END,     /* the clean end of the log */
    HF_DECIDE_CUT,     /* a torn tail: everything from the last whole epoch on is kept aside and zeroed */
    HF_DECIDE_REFUSE,  /* damage: HF_ECORRUPT */
    HF_DECIDE_VERSION, /* HF_EVERSION */
} hf_decision;

/* What was found at a position. `payload` and `chained` mean something for a valid header only. */
typedef struct hf_finding {
    hf_header_kind header;
    bool payload; /* the payload's digest is right and the padding is zero */
    bool chained; /* it continues the log */
    bool begun;   /* the epoch before it has not had its last part */
    bool evidence;
} hf_finding;

typedef enum hf_match { HF_NO, HF_YES, HF_ANY } hf_match;

typedef struct hf_recovery_row {
    const char *name; /* as in docs/DURABILITY.md */
    hf_header_kind header;
    hf_match payload, chained, begun, evidence;
    hf_decision decision;
    const char *why; /* completes "<file>, offset <n>, epoch <n>: ..." */
} hf_recovery_row;

extern const hf_recovery_row hf_recovery_table[];
extern const size_t hf_recovery_rows;

/* The one row that matches. Never NULL. */
const hf_recovery_row *hf_recovery_decide(const hf_finding *finding);

/* ---- the scan ---------------------------------------------------------------------------------------------------- */

/* A walk over the log, an epoch at a time, which may be asked again after it came to the end. */
typedef struct hf_scan {
    const hf_files *files;
    const char *directory; /* the caller's */
    uint8_t uuid[16];
    hf_wal_position position;
    hf_page *page;    /* a reader's: a writer may be at work. NULL: this process is the writer */
    uint64_t bound;   /* epochs above it are not believed yet */
    uint64_t vouched; /* durable for certain, says a checkpoint or the page; 0: nobody says anything */

    hf_segment segment; /* at which the scan is */
    hf_segment ahead;   /* the next one, entered once its first batch is accepted */
    uint64_t offset;
    hf_batch_header last;                /* accepted batch; sequence 0: none yet */
    bool begun;                          /* `last` is not the last part of its epoch */
    bool unwanted;                       /* the epoch of `last` began before this scan did */
    hf_batch_header whole;               /* the last part of the last whole epoch; sequence 0: none yet */
    uint64_t end_generation, end_offset; /* right behind it */
    uint64_t highest_seen;
    const hf_recovery_row *row;              /* by which hf_scan_next came to the end or refused; NULL: by the bound */
    /* A reader's. Positions are generation << 32 | offset, 0: none. */
    uint64_t quiet;       /* this end was looked behind already, when its page ... */
    hf_digest quiet_page; /* ... was this */
    uint64_t settled;     /* up to this segment, tails were synced in this call */
    uint64_t doubted;     /* what stands here was about to be refused in this call */
    bool failed;          /* the last call did: the next begins again behind the last whole epoch */

    hf_wal_epoch epoch;
    uint8_t *payload;
    size_t room;
} hf_scan;

/* Begins at position->generation (1 if 0). `page` NULL: no writer but this process. HF_ENOTFOUND: the segment is not
 * there. */
int hf_scan_begin(hf_scan *scan, const hf_files *files, const char *directory, const uint8_t uuid[16],
                  const hf_wal_position *position, hf_page *page);
/* 1: scan->epoch is the next whole epoch >= position.epoch, until the next call; 0: the end, for now; else HF_ECORRUPT
 * HF_EVERSION HF_EIO HF_ENOMEM HF_ENOTFOUND, and it may be called again: nothing is left out. */
int hf_scan_next(hf_scan *scan);
void hf_scan_end(hf_scan *scan);

/* Keeps aside and zeroes all that is not zero behind the scan's last whole epoch, up to segment `newest`. Safe to
 * repeat after a crash at any point: the copies are synced before anything is zeroed, and later segments are zeroed
 * before earlier ones, so that what remains always looks like a torn tail. HF_EIO HF_ENOMEM. */
int hf_cut(hf_scan *scan, uint64_t newest, uint64_t *cut_bytes);
/* Whether a file's name is that of such a copy; then also the segment's generation. */
bool hf_is_cut_name(const char *name, uint64_t *generation);
/* The first name for what is cut of a segment from `offset` on that is not taken yet. HF_EIO. */
int hf_cut_path(const hf_files *files, const char *directory, uint64_t generation, uint64_t offset,
                char path[HF_PATH_ROOM]);

#endif
