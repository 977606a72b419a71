/* What is counted, and how it is shown: INFO and Prometheus.
 *
 * Guarantees
 *   A  A counter is written by the worker that owns it and read by anybody, without a lock.
 *   B  A histogram's buckets are powers of two, four to each: a quantile is told at most a fifth too high, never too
 *      low.
 */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include "command.h"
#include "connection.h"
#include "errors.h"

#include <stdio.h>

enum { HISTOGRAM_FIRST = 12, HISTOGRAM_LAST = 36, HISTOGRAM_BUCKETS = (HISTOGRAM_LAST - HISTOGRAM_FIRST) * 4 + 1 };

/* Times from 2^12 ns (4 us) to 2^36 ns (69 s); bucket 0 is all below, the last all above. */
typedef struct hf_histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count, sum_ns;
} hf_histogram;

/* X(field, help): counters of a worker. */
#define WORKER_COUNTER_MAP(X)                                                                                          \
    X(requests, "requests carried out")                                                                                \
    X(batches, "batches submitted to the engine")                                                                      \
    X(orders, "orders submitted to the engine")                                                                        \
    X(reads, "reads from sockets")                                                                                     \
    X(writes, "writes to sockets")                                                                                     \
    X(bytes_in, "bytes read")                                                                                          \
    X(bytes_out, "bytes written")                                                                                      \
    X(throttled, "times a connection was made to wait by its throttle")                                                \
    X(ring_full, "times a connection had to wait for room in a log ring")                                              \
    X(output_full, "times a connection was not read for its unsent output")                                            \
    X(asked_again, "times the engine was asked again because something was in progress")                               \
    X(events, "events fed")                                                                                            \
    X(cancelled_on_disconnect, "reservations cancelled because their connection ended")

#define X(field, help) uint64_t field;
typedef struct worker_counters {
    WORKER_COUNTER_MAP(X)
    uint64_t commands[COMMANDS];
    uint64_t outcomes[HF_OUTCOME_COUNT];
    uint64_t errors[GATEWAY_ERRORS];
    uint64_t ends[CONNECTION_ENDS];
    hf_histogram acknowledged; /* from the read that brought a request to the release of its reply */
} worker_counters;
#undef X

struct hf_server;

void histogram_add(hf_histogram *histogram, uint64_t ns, uint64_t count);
/* The sum of all workers' counters. */
void metrics_collect(const struct hf_server *server, worker_counters *sum);
/* An upper bound of the q-quantile, in nanoseconds; 0: nothing was counted. */
uint64_t histogram_quantile(const hf_histogram *histogram, double q);
/* Everything in Prometheus' text format. */
void metrics_write(const struct hf_server *server, FILE *out);

#endif
