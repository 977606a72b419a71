#include "picks.h"

#include "bench.h"

#include <math.h>
#include <string.h>

/* Draws by "Quickly Generating Billion-Record Synthetic Databases" (Gray et al., SIGMOD 1994), as YCSB does. */
static void draw_zipf(uint32_t *draws, uint64_t *state, uint64_t skus, double exponent) {
    double zeta = 0, zeta_two = 1 + pow(0.5, exponent);
    for (uint64_t rank = 1; rank <= skus; rank++) {
        zeta += pow((double)rank, -exponent);
    }
    double alpha = 1 / (1 - exponent);
    double eta = (1 - pow(2.0 / (double)skus, 1 - exponent)) / (1 - zeta_two / zeta);
    for (size_t i = 0; i < PICKS_DRAWS; i++) {
        double u = random_unit(state), uz = u * zeta;
        uint64_t rank = uz < 1 ? 0 : uz < zeta_two ? 1 : (uint64_t)((double)skus * pow(eta * u - eta + 1, alpha));
        rank = rank < skus ? rank : skus - 1;
        draws[i] = (uint32_t)random_scale(random_mix(rank * UINT64_C(0x9e3779b97f4a7c15)), skus);
    }
}

void picks_begin(picks *p, uint64_t seed, uint64_t skus, uint64_t live, double zipf) {
    if (skus == 0 || live == 0 || skus > UINT32_MAX || live > UINT32_MAX || zipf == 1) {
        die("expected 1..2^32-1 SKUs and live reservations, and an exponent that is not 1");
    }
    memset(p, 0, sizeof *p);
    p->state = random_mix(seed + 1);
    p->skus = skus;
    p->live = live;
    if (zipf > 0 && skus > 2) {
        uint32_t *draws = bench_memory(PICKS_DRAWS * sizeof *draws);
        draw_zipf(draws, &p->state, skus, zipf);
        p->draws = draws;
    }
    for (size_t i = 0; i < PICKS_AHEAD; i++) {
        p->ahead[i] = picks_choose(p);
    }
}

void picks_end(picks *p) {
    bench_memory_free((void *)(uintptr_t)p->draws, PICKS_DRAWS * sizeof *p->draws);
    p->draws = NULL;
}
