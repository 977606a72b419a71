/* A histogram of latencies: buckets that are 1/64 of their value wide, so a percentile is right to 1.6 %, from 1 ns to
 * 18 min. The greatest value is kept exactly. One thread. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 6, HISTOGRAM_BUCKETS = 36 << HISTOGRAM_BITS };

typedef struct histogram {
    uint64_t count, most;
    uint32_t buckets[HISTOGRAM_BUCKETS];
} histogram;

void histogram_clear(histogram *h);
void histogram_add(histogram *h, uint64_t ns);
/* The middle of the bucket that holds this part (0..1) of all values; 0 without any. */
double histogram_at(const histogram *h, double part);
/* Fields p50_us, p99_us, p999_us, max_us, samples, and `curve`: pairs of [percentile, us] to plot. */
void report_histogram(const histogram *h);

#endif
