/* Random numbers that cost next to nothing beside what is measured: SplitMix64, and a range by multiplication. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

static inline uint64_t random_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t random_next(uint64_t *state) { return random_mix(*state += UINT64_C(0x9e3779b97f4a7c15)); }

/* A number of 0..limit-1 from 64 random bits. */
static inline uint64_t random_scale(uint64_t bits, uint64_t limit) {
    return (uint64_t)(((unsigned __int128)bits * limit) >> 64);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit) { return random_scale(random_next(state), limit); }

/* In (0, 1]. */
static inline double random_unit(uint64_t *state) { return (double)((random_next(state) >> 11) + 1) * 0x1p-53; }

#endif
