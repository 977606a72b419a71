/* A simulated disk under the table of wal/file.h: faults where a test wants them, and crash images.
 *
 * Guarantees
 *   A  What was synced is in every crash image. Of what was not, each 512-byte sector is kept, dropped or garbled, each
 *      name change is kept or not (in their order, as a journal does), by a seeded or a given choice: a failing seed fails
 *      again.
 *   B  A failed sync loses what it was to write: it still can be read, later syncs say success and do not write it (as
 *      Linux does), drop_cache shows what the disk holds. A failed sync of a directory loses its changes of names likewise.
 *   C  Any thread may call it. A name that was removed or replaced stays readable through handles that are open.
 *
 *        write              sync                     crash image
 *      ---------> current ---------> synced        = synced + some sectors of current
 *      names:     now       ------> durable        = durable names + the first n changes since
 */
#ifndef HF_SIMULATED_FILES_H
#define HF_SIMULATED_FILES_H

#include "wal/file.h"

typedef struct hf_simulated hf_simulated;

typedef enum hf_crash {
    HF_CRASH_KEEP, /* all is kept: a process that was killed (what is not synced still is not, and a later crash shows it) */
    HF_CRASH_DROP, /* only what was synced */
    HF_CRASH_MIX,  /* each sector and name change by choice */
} hf_crash;

/* An empty disk; every directory exists from the start. Aborts where memory runs out, as all of this does. */
hf_simulated *hf_simulated_new(void);
void hf_simulated_free(hf_simulated *disk);
/* Lives as long as the disk. */
const hf_files *hf_simulated_files(hf_simulated *disk);

/* What a disk holds after a power loss now; `disk` itself goes on. No handle is open and no lock held in the image. */
hf_simulated *hf_simulated_crash(hf_simulated *disk, hf_crash crash, uint64_t seed);

/* The same by hand: the first `changes` changes of names since the directory's last sync are kept, and each sector that no
 * sync has covered meets its fate, in a fixed order. The seed is that of garbage and of files' lengths. */
typedef enum hf_fate { HF_SECTOR_DROPPED, HF_SECTOR_KEPT, HF_SECTOR_GARBLED } hf_fate;
unsigned hf_simulated_changes(hf_simulated *disk);
/* How many such sectors the files have that are named if so many changes are kept. */
size_t hf_simulated_unsynced(hf_simulated *disk, unsigned changes);
hf_simulated *hf_simulated_crash_as(hf_simulated *disk, unsigned changes, const hf_fate *sectors, uint64_t seed);

enum {
    HF_CALL_MAKE = 1 << 0, /* an open that makes a file */
    HF_CALL_OPEN = 1 << 1, /* any other */
    HF_CALL_CLOSE = 1 << 2,
    HF_CALL_READ = 1 << 3,
    HF_CALL_WRITE = 1 << 4,
    HF_CALL_SYNC = 1 << 5,
    HF_CALL_SIZE = 1 << 6,
    HF_CALL_TRUNCATE = 1 << 7,
    HF_CALL_RENAME = 1 << 8,
    HF_CALL_REMOVE = 1 << 9,
    HF_CALL_MAKE_DIRECTORY = 1 << 10,
    HF_CALL_SYNC_DIRECTORY = 1 << 11,
    HF_CALL_LIST = 1 << 12,
    HF_CALL_LOCK = 1 << 13, /* and locked */
    HF_CALL_MAP = 1 << 14,
    HF_CALL_DROP_CACHE = 1 << 15,
    HF_CALL_IDENTITY = 1 << 16,
    HF_CALL_KINDS = 17,
    HF_CALLS = (1 << HF_CALL_KINDS) - 1,
    HF_CALLS_THAT_CHANGE = HF_CALL_MAKE | HF_CALL_WRITE | HF_CALL_SYNC | HF_CALL_TRUNCATE | HF_CALL_RENAME | HF_CALL_REMOVE |
                           HF_CALL_SYNC_DIRECTORY,
    HF_SHORT = 1, /* a fault of read and write: half of what was asked, at least one byte */
};
/* `watch` is called before or after each call of these kinds, or both, on the thread that makes it; it may call the disk.
 * calls = 0: no more. */
enum { HF_WATCH_BEFORE = 1 << 30, HF_WATCH_AFTER = 1 << 29 };
typedef void (*hf_watch)(void *context, hf_simulated *disk);
void hf_simulated_watch(hf_simulated *disk, unsigned calls, hf_watch watch, void *context);

/* Of the calls of these kinds, the n-th from now (1: the next) and the `times` - 1 after it answer `result`, a negative
 * errno or HF_SHORT, and do nothing; but a write may have written half, a failed sync loses what was to be synced, and a
 * file is closed. n = 0: none. There is one such fault at a time. */
void hf_simulated_fault(hf_simulated *disk, unsigned calls, uint64_t n, uint64_t times, int result);
/* How many calls of these kinds there were since. */
uint64_t hf_simulated_calls(const hf_simulated *disk);

/* Handles that are open, and mappings: what nobody gave back. */
unsigned hf_simulated_held(hf_simulated *disk);

/* Calls that change something. */
uint64_t hf_simulated_operations(const hf_simulated *disk);
/* A fault of them all. */
void hf_simulated_fail(hf_simulated *disk, uint64_t n, uint64_t times, int negative_errno);
/* Writes may be short (`on`): half of what was asked, at least one byte. */
void hf_simulated_short_writes(hf_simulated *disk, bool on);
/* Total bytes of all files beyond which a write that makes a file longer is -ENOSPC; UINT64_MAX: no limit. */
void hf_simulated_limit(hf_simulated *disk, uint64_t bytes);

/* For tests that construct files: past all faults, at once synced. NULL or false: there is no such file. */
uint8_t *hf_simulated_bytes(hf_simulated *disk, const char *path, size_t *length);
bool hf_simulated_poke(hf_simulated *disk, const char *path, uint64_t offset, const void *data, size_t length);
bool hf_simulated_copy(hf_simulated *disk, const char *from, const char *to);
bool hf_simulated_remove(hf_simulated *disk, const char *path);
/* The path of a file that is not the same in both, its name (without directory) not among `left_out`, a list that ends in
 * NULL; NULL: there is none. */
const char *hf_simulated_differ(hf_simulated *a, hf_simulated *b, const char *const *left_out);

#endif
