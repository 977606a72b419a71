/* The log's directory: its names, and the one way in which they are synced.
 *
 * Guarantees
 *   A  After a sync that succeeded, every name that was changed before it is durable.
 *   B  After one that failed, on whatever thread, none ever succeeds again: what a failed sync lost is known to
 *      nobody, and the system tells of it once. Were another thread's sync to come next, it would hear "success" for
 *      names that are gone.
 */
#ifndef HF_DIRECTORY_H
#define HF_DIRECTORY_H

#include "file.h"

#include <pthread.h>

typedef struct hf_directory {
    const hf_files *files;
    const char *path;      /* the owner's */
    pthread_mutex_t mutex; /* held over the sync: its failure must be known before another begins */
    bool lost;
} hf_directory;

void hf_directory_init(hf_directory *directory, const hf_files *files, const char *path);
/* 0 or a negative errno. Any thread. */
int hf_directory_sync(hf_directory *directory);
bool hf_directory_is_lost(hf_directory *directory);
void hf_directory_destroy(hf_directory *directory);

#endif
