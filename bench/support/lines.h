/* Bare cache lines, as an engine must have at least: a 16-byte word that changes by compare-and-swap, and little else.
 */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include "wal/atomic.h"

typedef struct bare_line {
    hf_word128 word;
    uint32_t sku;
    char pad[HF_CACHE_LINE - sizeof(hf_word128) - sizeof(uint32_t) - 12];
} __attribute__((aligned(HF_CACHE_LINE))) bare_line;
_Static_assert(sizeof(bare_line) == HF_CACHE_LINE, "one cache line");

/* One step. The orders in the names are what an engine pays; no edge depends on them here. */
static inline void line_step(bare_line *line, uint64_t lo, uint64_t hi) {
    hf_word128 seen = hf_load128_acquire(&line->word);
    while (!hf_cas128_acq_rel(&line->word, &seen, (hf_word128){seen.lo + lo, seen.hi + hi})) {
    }
}

#endif
