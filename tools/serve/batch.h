/* The orders that one read brought, on their way into the engine together.
 *
 * Guarantees
 *   A  Orders are submitted in the order they were added; each has exactly one reply, in that order.
 *   B  Names of SKUs stay where they were read: the bytes must stay until batch_submit.
 *   C  Where the log ring is full, orders that were not tried leave no trace: `again_at` says where in what was read
 *      the first of them begins, to be read again later.
 *   D  `in_progress` (another thread is at that id, or is just expiring units) is asked again a few times before it
 *      is answered, as long as no later order of the batch names the same id.
 */
#ifndef SERVE_BATCH_H
#define SERVE_BATCH_H

#include <holdfast/holdfast.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_connection;

enum { BATCH_ORDERS = 256, BATCH_LINES = 2 * HF_MAX_LINES };

typedef struct hf_batch {
    uint32_t count, line_count;
    size_t again_at;
    size_t at[BATCH_ORDERS]; /* where each order's request begins */
    hf_op ops[BATCH_ORDERS];
    hf_reply replies[BATCH_ORDERS];
    hf_line lines[BATCH_LINES];
} hf_batch;

/* Whether an order with so many lines fits. */
static inline bool batch_has_room(const hf_batch *batch, size_t lines) {
    return batch->count < BATCH_ORDERS && batch->line_count + lines <= BATCH_LINES;
}

/* Submits and answers everything in the worker's batch, which is of `connection`. False: the log ring was full, and
 * again_at is where to go on. Afterwards the batch is empty. */
bool batch_submit(struct hf_connection *connection);

#endif
