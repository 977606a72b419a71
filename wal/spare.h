/* The pool of spare segments: made ahead by one thread, taken by another.
 *
 * Guarantees
 *   A  Spares follow the open segment without a gap: with generation g open and n ready, they are g+1 .. g+n.
 *   B  Whoever takes one waits for nothing where one is ready; otherwise for one segment to be made, by whom it may be.
 *   C  A spare that could not be made harms nothing but the caller; but for a failed sync of the directory (directory.h).
 */
#ifndef HF_SPARE_H
#define HF_SPARE_H

#include "directory.h"
#include "segment.h"

#include <pthread.h>

typedef struct hf_spares {
    pthread_mutex_t mutex; /* guards what follows; never held over file access */
    pthread_cond_t made;
    hf_segment_header next; /* its UUID and size; its generation is the open segment's */
    unsigned ready;
    bool making;  /* somebody makes next.generation + ready + 1 */
    bool stopped; /* no more: poisoned or closing */
    hf_directory *directory; /* the log's */
} hf_spares;

void hf_spares_init(hf_spares *spares, hf_directory *directory);
/* `open` describes the open segment (generation 0: none yet) and how large new ones shall be; `ready` spares lie there.
 */
void hf_spares_start(hf_spares *spares, const hf_segment_header *open, unsigned ready);
/* Makes spares until `wanted` are ready. How many were made, or HF_EIO HF_ENOMEM HF_EPOISONED. Any thread. */
int hf_spares_prepare(hf_spares *spares, unsigned wanted);
/* Takes the first, made on the spot if there is none: *generation is then the open one. As hf_spares_prepare. */
int hf_spares_take(hf_spares *spares, uint64_t *generation);
unsigned hf_spares_ready(hf_spares *spares);
/* Whoever is making one gives up soon. */
void hf_spares_stop(hf_spares *spares);
void hf_spares_destroy(hf_spares *spares);

#endif
