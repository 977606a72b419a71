/* A disk in memory under the table of wal/file.h, made for whole engines: tens of thousands of crash images, and faults at every
 * call. (simulated_files.h is the plainer one, made for the log alone.)
 *
 * Guarantees
 *   A  What was synced is in every image. Of what was not, each 512-byte sector that differs is kept, dropped or garbled; a file
 *      that grew has its old length or its new one; of the changes of names since the directory's sync, the first n are kept, as a
 *      journal does. One image is one code, and all codes below crash_disk_codes() are all images.
 *   B  Pages are shared between a disk and its images until somebody writes: an image costs what differs, not what there is.
 *   C  `watch` is called before every call that changes what a crash may leave: there the test sees each boundary, and may make
 *      images and open engines on them.
 *   D  The n-th call of the table, of whatever kind, fails where a test wants it. A failed write has written half. A failed sync
 *      loses what it was to write: it still can be read, later syncs say success and do not write it (as Linux does), until
 *      drop_cache shows what the disk holds.
 *   E  Any thread may call it.
 *
 *        write             sync                      image
 *      ---------> now ---------------> synced       synced + some sectors of now
 *      names:     now -- directory --> durable      durable names + the first n changes since
 */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include "wal/file.h"

typedef struct crash_disk crash_disk;

/* An empty disk; every directory exists from the start. Ends the program where memory runs out, as all of this does. */
crash_disk *crash_disk_new(void);
void crash_disk_free(crash_disk *disk);
const hf_files *crash_disk_files(crash_disk *disk);

/* How many different images a power loss may leave now; UINT64_MAX: that many or more. */
uint64_t crash_disk_codes(crash_disk *disk);
/* The image of that code. 0: only what was synced. No handle is open in it and no lock held. */
crash_disk *crash_disk_image(crash_disk *disk, uint64_t code);
/* One of them by a seeded choice that keeps more than it drops, and garbles little. */
crash_disk *crash_disk_random_image(crash_disk *disk, uint64_t seed);
/* Everything there is, as a killed process leaves it: what is not synced is not, and may be lost later. */
crash_disk *crash_disk_killed(crash_disk *disk);

/* Before each call that changes something: write, sync, truncate, rename, remove, sync_directory, an open that makes a file. */
void crash_disk_watch(crash_disk *disk, void (*watch)(void *context, const char *call, const char *path), void *context);

/* Calls so far that may fail: all of the table but unmap, locked and drop_cache, which answer no error. */
uint64_t crash_disk_calls(const crash_disk *disk);
/* The n-th from now (1: the next) and the `times` - 1 after it fail. `negative_errno` 0: a write is short, all else succeeds. n = 0:
 * none from now on. */
void crash_disk_fail(crash_disk *disk, uint64_t n, uint64_t times, int negative_errno);
/* What the n-th failed call since crash_disk_fail was and where, from 0: "write dir/segment-..."; NULL: no more failed, or more than
 * are kept. */
const char *crash_disk_failed(const crash_disk *disk, unsigned n);
/* Handles that are open, and mappings. */
unsigned crash_disk_open_handles(const crash_disk *disk);

/* For tests that damage files: past all faults, at once synced. */
bool crash_disk_read(crash_disk *disk, const char *path, uint8_t **bytes, size_t *length); /* false: no such file; else to be freed */
void crash_disk_write(crash_disk *disk, const char *path, const void *bytes, size_t length); /* made, or replaced whole */
void crash_disk_remove(crash_disk *disk, const char *path);
/* Calls `visit` for every path there is. */
void crash_disk_each(crash_disk *disk, void (*visit)(void *context, const char *path), void *context);

#endif
