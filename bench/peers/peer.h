/* A peer: another store that does the same reserve + confirm, so that it can stand beside Holdfast in one run.
 *
 * The work, the same for every peer and for bench_whole_pairs
 *   SKUs with on_hand and reserved; `live` live reservations. A pair confirms one of them picked at random (on_hand -=
 * 1, reserved
 *   -= 1, it is marked confirmed) and makes a new one of a SKU picked at random (only where on_hand - reserved >= 1;
 * reserved += 1, a row is inserted). SKUs and reservations are named by 64-bit numbers in rising order: the best case
 * of every peer's index.
 *
 * Guarantees
 *   A  A pair counts only once its peer has said that it is durable (for the peers in memory: done).
 *   B  Any answer but success ends the program. The turn `check` compares the units on hand and reserved with the
 *      pairs done.
 *
 *     skus=N live=N
 *     threads=N      connections, or threads in the peer
 *     batch=N        pairs of one transaction, or of one pipeline
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "../support/bench.h"

#define PEER_STOCK INT64_C(1000000000)

typedef struct peer_pair {
    uint64_t old;    /* the reservation to confirm; PEER_NONE: none, the live set is being made */
    uint64_t number; /* of the new reservation */
    uint32_t sku;    /* of the new reservation */
} peer_pair;
#define PEER_NONE UINT64_MAX

typedef struct peer_totals {
    int64_t on_hand, reserved;
} peer_totals;

typedef struct peer {
    const char *name;
    /* In the main thread, before and after all else; `skus` SKUs with PEER_STOCK units. Reads settings of its own. */
    void (*begin)(uint64_t skus);
    void (*end)(void);
    /* In each thread. The connection is passed on. */
    void *(*connect)(unsigned thread);
    void (*disconnect)(void *connection);
    /* Returns once all pairs are durable. */
    void (*pairs)(void *connection, const peer_pair *pairs, unsigned count);
    peer_totals (*totals)(void); /* in the main thread; nothing else goes on */
} peer;

int peer_main(const peer *chosen, int count, char **arguments);

#endif
