/* Syncing the log's directory: directory.h. */
#include "directory.h"

#include <errno.h>

void hf_directory_init(hf_directory *directory, const hf_files *files, const char *path) {
    *directory = (hf_directory){.files = files, .path = path};
    pthread_mutex_init(&directory->mutex, NULL);
}

int hf_directory_sync(hf_directory *directory) {
    pthread_mutex_lock(&directory->mutex);
    int error = -EIO;
    if (!directory->lost) {
        error = directory->files->sync_directory(directory->files->context, directory->path);
        directory->lost = error != 0;
    }
    pthread_mutex_unlock(&directory->mutex);
    return error;
}

bool hf_directory_is_lost(hf_directory *directory) {
    pthread_mutex_lock(&directory->mutex);
    bool lost = directory->lost;
    pthread_mutex_unlock(&directory->mutex);
    return lost;
}

void hf_directory_destroy(hf_directory *directory) { pthread_mutex_destroy(&directory->mutex); }
