/* The durable page: how a running writer tells readers, of any process, how far its log is durable.
 *
 * Guarantees
 *   A  `committed` and `durable` never say more than was synced. They may say less after a power loss, since the page
 *      itself is never synced. No epoch that is begun later has a number that `durable` has reached.
 *   B  A reader bounds itself by the page only while somebody holds the directory's lock: without a writer nobody keeps
 *      the page up to date, and nobody writes the log either.
 *   C  A page that was copied along with its directory vouches for nothing: the log was copied at another instant. It
 *      is told by the file's identity, which the page holds.
 *
 * 4,096 bytes in the file `durable`, mapped shared, little-endian; all that matters lies in one sector:
 *   offset  size
 *        0     8  magic "HFDURABL"
 *        8     8  format version, 1
 *       16    16  log UUID
 *       32     8  durable: every epoch up to it is durable; the empty ones, for which nothing was written, included
 *       40     8  committed: the highest durable epoch that has a batch
 *       48     8  process id of the writer
 *       56     8  identity of this file (its inode number)
 */
#ifndef HF_PAGE_H
#define HF_PAGE_H

#include "file.h"

#define HF_PAGE_BYTES 4096u

typedef struct hf_page {
    const hf_files *files;
    const char *directory; /* readers: the caller's, lives as long as this */
    int file;              /* -1: none */
    int lock_file;         /* readers: the directory's LOCK, to ask whether it is held; -1: none */
    uint8_t *memory;       /* NULL: there is no page, or it cannot be mapped */
    uint64_t identity;
} hf_page;

/* The writer's: made if missing. Without a page (HF_SUCCESS, memory NULL) where files cannot be mapped. What the page
 * said of this log stays until more is durable. HF_EIO. */
int hf_page_open_writer(hf_page *page, const hf_files *files, const char *directory, const uint8_t uuid[16]);
/* To be called after a sync only. Never lowers. */
void hf_page_publish(hf_page *page, uint64_t committed, uint64_t durable);

/* A reader's; neither the page nor LOCK need exist yet. */
void hf_page_open_reader(hf_page *page, const hf_files *files, const char *directory);
/* Whether somebody has the directory for writing. */
bool hf_page_locked(hf_page *page);
/* Readers: the page may be another file now. */
void hf_page_renew(hf_page *page);
/* The highest epoch with a batch that the page knows durable in the log `uuid`; 0 if it says nothing of that log.
 * `uuid` NULL: of any log. */
uint64_t hf_page_committed(hf_page *page, const uint8_t *uuid);
/* The same of the highest durable epoch, with a batch or without. */
uint64_t hf_page_durable(hf_page *page, const uint8_t *uuid);

void hf_page_close(hf_page *page);

#endif
