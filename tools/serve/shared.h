/* What threads of the server share without a lock: counters and flags. The memory order is in the name.
 *
 *   counter   written by its one owner, read by anybody who shows figures: the number is all the message (relaxed)
 *   tally     written by any thread, otherwise the same (relaxed)
 *   flag      set release, read acquire: who sees it set sees what was written before
 */
#ifndef SERVE_SHARED_H
#define SERVE_SHARED_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t counter_read_relaxed(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
static inline void counter_set_relaxed(uint64_t *counter, uint64_t value) {
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}
/* By the counter's owner alone. */
static inline void counter_add_relaxed(uint64_t *counter, uint64_t n) {
    counter_set_relaxed(counter, counter_read_relaxed(counter) + n);
}
/* By any thread. Returns the value after. */
static inline uint64_t tally_add_relaxed(uint64_t *tally, uint64_t n) {
    return __atomic_add_fetch(tally, n, __ATOMIC_RELAXED);
}
static inline uint64_t tally_take_relaxed(uint64_t *tally, uint64_t n) {
    return __atomic_sub_fetch(tally, n, __ATOMIC_RELAXED);
}
static inline bool flag_is_set_acquire(const bool *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static inline void flag_set_release(bool *flag, bool value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }

#endif
