/* The pool of spare segments: spare.h. */
#include "spare.h"

#include "error.h"

#include <inttypes.h>

void hf_spares_init(hf_spares *spares, hf_directory *directory) {
    *spares = (hf_spares){.directory = directory};
    pthread_mutex_init(&spares->mutex, NULL);
    pthread_cond_init(&spares->made, NULL);
}

void hf_spares_start(hf_spares *spares, const hf_segment_header *open, unsigned ready) {
    pthread_mutex_lock(&spares->mutex);
    spares->next = *open;
    spares->ready = ready;
    pthread_mutex_unlock(&spares->mutex);
}

static bool is_stopped(const void *context) {
    hf_spares *spares = (hf_spares *)(uintptr_t)context;
    pthread_mutex_lock(&spares->mutex);
    bool stopped = spares->stopped;
    pthread_mutex_unlock(&spares->mutex);
    return stopped;
}

static int make_durable(hf_spares *spares, const hf_segment_header *header) {
    hf_directory *directory = spares->directory;
    int error = hf_segment_make(directory->files, directory->path, header, is_stopped, spares);
    if (error != HF_SUCCESS) {
        return error;
    }
    int result = hf_directory_sync(directory);
    return result == 0 ? HF_SUCCESS
                       : hf_fail_system(result, "cannot sync directory %s for %s/spare-%016" PRIx64, directory->path,
                                        directory->path, header->generation);
}

/* Called with the mutex held, and `ready` below `wanted`: makes one, or waits until another thread has. 1: made here;
 * 0: by another, or not; negative: an error. */
static int make_one(hf_spares *spares) {
    if (spares->stopped) {
        return hf_fail(HF_EPOISONED, "no segments are prepared: the log is poisoned or closing");
    }
    if (spares->making) {
        pthread_cond_wait(&spares->made, &spares->mutex);
        return 0;
    }
    /* A rotation meanwhile moves the open generation up and `ready` down: the sum, the one made, stays. */
    hf_segment_header header = spares->next;
    header.generation += spares->ready + 1;
    spares->making = true;
    pthread_mutex_unlock(&spares->mutex);
    int error = make_durable(spares, &header);
    pthread_mutex_lock(&spares->mutex);
    spares->making = false;
    spares->ready += error == HF_SUCCESS;
    pthread_cond_broadcast(&spares->made);
    return error == HF_SUCCESS ? 1 : error;
}

int hf_spares_prepare(hf_spares *spares, unsigned wanted) {
    int made = 0, result = 0;
    pthread_mutex_lock(&spares->mutex);
    while (result >= 0 && spares->ready < wanted) {
        result = make_one(spares);
        made += result == 1;
    }
    pthread_mutex_unlock(&spares->mutex);
    return result < 0 ? result : made;
}

int hf_spares_take(hf_spares *spares, uint64_t *generation) {
    int result = 0;
    pthread_mutex_lock(&spares->mutex);
    while (result >= 0 && spares->ready == 0) {
        result = make_one(spares);
    }
    if (result >= 0) {
        spares->ready--;
        *generation = ++spares->next.generation;
    }
    pthread_mutex_unlock(&spares->mutex);
    return result < 0 ? result : HF_SUCCESS;
}

unsigned hf_spares_ready(hf_spares *spares) {
    pthread_mutex_lock(&spares->mutex);
    unsigned ready = spares->ready;
    pthread_mutex_unlock(&spares->mutex);
    return ready;
}

void hf_spares_stop(hf_spares *spares) {
    pthread_mutex_lock(&spares->mutex);
    spares->stopped = true;
    pthread_mutex_unlock(&spares->mutex);
}

void hf_spares_destroy(hf_spares *spares) {
    pthread_cond_destroy(&spares->made);
    pthread_mutex_destroy(&spares->mutex);
}
