/* A simulated disk under the table of wal/file.h: faults where a test wants them, and crash images.
 *
 * Guarantees
 *   A  What was synced is in every crash image. Of what was not, each 512-byte sector is kept, dropped or garbled, each
 * name change is kept or not (in their order, as a journal does), by a seeded choice: a failing seed fails again. B  A
 * failed sync loses what it was to write: it still can be read, later syncs say success and do not write it (as Linux
 * does), drop_cache shows what the disk holds. C  Any thread may call it. A name that was removed or replaced stays
 * readable through handles that are open.
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
    HF_CRASH_KEEP, /* all is kept: a process that was killed (what is not synced still is not; names count as synced) */
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

/* Operations that change something: write, sync, truncate, rename, remove, sync_directory, and an open that makes a
 * file. */
uint64_t hf_simulated_operations(const hf_simulated *disk);
/* The n-th from now (1: the next) and the `times` - 1 after it fail with `negative_errno` and do nothing; a write may
 * have written half, a failed sync loses what was to be synced. n = 0: none. */
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

#endif
