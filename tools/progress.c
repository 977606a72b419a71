/* The progress bar: drawn over itself on one line of stderr, ten times a second at most, first after one second. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_NS UINT64_C(1000000000)
#define EVERY_NS UINT64_C(100000000)
#define WIDTH 40u

uint64_t hf_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void hf_progress_begin(hf_progress *progress) {
    *progress = (hf_progress){.is_terminal = isatty(STDERR_FILENO) == 1, .started_ns = hf_monotonic_ns()};
}

void hf_progress_show(hf_progress *progress, uint64_t done, uint64_t whole, uint64_t count, const char *unit) {
    if (!progress->is_terminal)
        return;
    uint64_t now = hf_monotonic_ns();
    if (now - progress->started_ns < FIRST_NS || now - progress->drawn_ns < EVERY_NS)
        return;
    progress->drawn_ns = now;
    progress->drawn = true;
    double seconds = (double)(now - progress->started_ns) / 1e9;
    char bar[WIDTH + 1] = "";
    unsigned percent = whole ? (unsigned)(done >= whole ? 100 : done * 100 / whole) : 0;
    if (whole) {
        unsigned filled = percent * WIDTH / 100;
        memset(bar, '#', filled);
        memset(bar + filled, '.', WIDTH - filled);
        bar[WIDTH] = 0;
        fprintf(stderr, "\r[%s] %3u %%  %" PRIu64 " %s  %.0f s\033[K", bar, percent, count, unit, seconds);
    } else {
        fprintf(stderr, "\r%" PRIu64 " %s  %.0f s\033[K", count, unit, seconds);
    }
    fflush(stderr);
}

void hf_progress_end(hf_progress *progress) {
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}
