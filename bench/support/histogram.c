#include "histogram.h"

#include "turns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SUB = 1 << HISTOGRAM_BITS };

void histogram_clear(histogram *h) { memset(h, 0, sizeof *h); }

/* Values below SUB have a bucket each; above, SUB buckets for each power of two. */
static unsigned bucket_of(uint64_t ns) {
    if (ns < SUB) {
        return (unsigned)ns;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
    unsigned bucket = ((shift + 1) << HISTOGRAM_BITS) + (unsigned)((ns >> shift) - SUB);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static double middle_of(unsigned bucket) {
    if (bucket < SUB) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
    return ldexp((double)(bucket % SUB + SUB) + 0.5, (int)shift);
}

void histogram_add(histogram *h, uint64_t ns) {
    h->buckets[bucket_of(ns)]++;
    h->count++;
    h->most = ns > h->most ? ns : h->most;
}

double histogram_at(const histogram *h, double part) {
    uint64_t wanted = (uint64_t)ceil(part * (double)h->count), seen = 0;
    wanted = wanted ? wanted : 1;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS && h->count; bucket++) {
        seen += h->buckets[bucket];
        if (seen >= wanted) {
            double value = middle_of(bucket);
            return value < (double)h->most ? value : (double)h->most;
        }
    }
    return (double)h->most;
}

void report_histogram(const histogram *h) {
    static const double percents[] = {0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999};
    char curve[1024];
    size_t used = 0;
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
        used += (size_t)snprintf(curve + used, sizeof curve - used, "%s[%g, %.3f]", i ? ", " : "[", percents[i],
                                 histogram_at(h, percents[i] / 100) / 1000);
    }
    snprintf(curve + used, sizeof curve - used, "]");
    report_count("samples", h->count);
    report_number("p50_us", histogram_at(h, 0.5) / 1000);
    report_number("p99_us", histogram_at(h, 0.99) / 1000);
    report_number("p999_us", histogram_at(h, 0.999) / 1000);
    report_number("max_us", (double)h->most / 1000);
    report_raw("curve", curve);
}
