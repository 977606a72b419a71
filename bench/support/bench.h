/* What every benchmark program shares: giving up, the clock, settings of the form NAME=VALUE, memory on huge pages.
 *
 * Guarantees
 *   A  A setting that no program asked for is refused, not ignored.
 *   B  Memory from bench_memory is zero, resident, aligned to 2 MiB, and was asked to be on huge pages: what is
 *      measured later is neither the first touch of a page nor, where the kernel grants them, a walk of small pages'
 *      tables.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

extern const char *bench_name; /* of this program, for messages */

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* NULL is out of memory. */
void *need(void *memory);

static inline uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}
static inline double seconds_since(uint64_t start_ns) { return (double)(now_ns() - start_ns) * 1e-9; }

/* Processor time of the calling thread: what others take of the machine is not in it. For loops that wait for nothing.
 */
static inline uint64_t thread_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void settings_read(int count, char **arguments);
uint64_t setting_count(const char *name, uint64_t otherwise);
double setting_number(const char *name, double otherwise);
const char *setting_text(const char *name, const char *otherwise);
/* To be called once all were asked for. */
void settings_done(void);

void *bench_memory(size_t bytes);
void bench_memory_free(void *memory, size_t bytes);
/* Resident bytes of this process. */
uint64_t resident_bytes(void);

#endif
