/* Atomics: the only place where memory orders and processor-bound code are written.
 *
 * Guarantees
 *   A  Each operation's memory order is in its name. There is no sequentially consistent one: every edge that Holdfast
 *      needs is a release paired with an acquire, or a grace period (section.h). docs/CONCURRENCY.md lists all edges.
 *      Two pairs of threads must not both miss the other's store (edges D1, D2): hf_barrier_after_cas, behind a
 *      compare-and-swap that is made anyway, or hf_full_barrier keeps that thread's earlier stores before its later loads.
 *   B  Every use carries a comment that names its edge ("edge E1, to ...") or says why none is needed ("relaxed: ...").
 *   C  16-byte words load, store and compare-and-swap as one. On x86-64 the load is one MOVDQA, which Intel and AMD
 *      promise to be atomic on processors with AVX (Intel SDM vol. 3A, 9.1.1; hf_cpu_check refuses others), so a refusal
 *      reads a counter without owning its line.
 *
 * ThreadSanitizer knows neither the assembly nor fences: in its builds all goes through compiler builtins.
 * -DHF_PERTURB: hf_perturb() before each of them, to shake up schedules (perturb.h). Else it is nothing.
 */
#ifndef HF_ATOMIC_H
#define HF_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "perturb.h"

#define HF_CACHE_LINE 64

#if defined(__SANITIZE_THREAD__)
#define HF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HF_TSAN 1
#endif
#endif

#define hf_load_relaxed(p) (hf_perturb(), __atomic_load_n((p), __ATOMIC_RELAXED))
#define hf_load_acquire(p) (hf_perturb(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define hf_store_relaxed(p, v) (hf_perturb(), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define hf_store_release(p, v) (hf_perturb(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define hf_exchange_acquire(p, v) (hf_perturb(), __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define hf_exchange_acq_rel(p, v) (hf_perturb(), __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define hf_fetch_add_relaxed(p, v) (hf_perturb(), __atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define hf_fetch_add_acq_rel(p, v) (hf_perturb(), __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
#define hf_fetch_or_acq_rel(p, v) (hf_perturb(), __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL))
#define hf_fetch_and_acq_rel(p, v) (hf_perturb(), __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL))

/* Strong compare-and-swap; on failure *expected is what was found, loaded with acquire. */
#define hf_cas_acq_rel(p, expected, desired)                                                                           \
    (hf_perturb(), __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define hf_cas_relaxed(p, expected, desired)                                                                           \
    (hf_perturb(), __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))

/* Raises *p to at least v. Relaxed: used for gauges and clocks, whose value is all the message. Returns the value after. */
static inline uint64_t hf_raise_relaxed(uint64_t *p, uint64_t v) {
    uint64_t seen = hf_load_relaxed(p); /* relaxed: the CAS decides */
    while (seen < v && !hf_cas_relaxed(p, &seen, v)) { /* uncovered: again, where another thread was faster */
    }
    return seen < v ? v : seen;
}

/* Two 8-byte halves that change as one. */
typedef struct hf_word128 {
    uint64_t lo;
    uint64_t hi;
} __attribute__((aligned(16))) hf_word128;
_Static_assert(sizeof(hf_word128) == 16, "one 16-byte word");

typedef unsigned __int128 hf_uint128;

static inline hf_uint128 hf_join128(hf_word128 w) { return ((hf_uint128)w.hi << 64) | w.lo; }
static inline hf_word128 hf_split128(hf_uint128 v) { return (hf_word128){(uint64_t)v, (uint64_t)(v >> 64)}; }

/* ---- bound to the processor ---------------------------------------------------------------------------------------- */

#if defined(HF_TSAN)

static inline hf_word128 hf_load128_acquire(const hf_word128 *p) {
    hf_perturb();
    return hf_split128(__atomic_load_n((const hf_uint128 *)(const void *)p, __ATOMIC_ACQUIRE));
}
static inline void hf_store128_release(hf_word128 *p, hf_word128 v) {
    hf_perturb();
    __atomic_store_n((hf_uint128 *)(void *)p, hf_join128(v), __ATOMIC_RELEASE);
}
static inline bool hf_cas128_acq_rel(hf_word128 *p, hf_word128 *expected, hf_word128 desired) {
    hf_perturb();
    hf_uint128 found = hf_join128(*expected);
    bool done = __atomic_compare_exchange_n((hf_uint128 *)(void *)p, &found, hf_join128(desired), false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE);
    *expected = hf_split128(found);
    return done;
}
static inline void hf_cpu_relax(void) {}
static inline void hf_barrier_after_cas(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
static inline void hf_full_barrier(void) {
    uint32_t word = 0;
    (void)__atomic_exchange_n(&word, 1, __ATOMIC_SEQ_CST);
}

#elif defined(__x86_64__)

#include <emmintrin.h>

/* x86 keeps loads in order with loads and stores, and stores with stores: a plain access is an acquire or a release once
 * the compiler is kept from moving others across it, which the "memory" clobber does. */
static inline hf_word128 hf_load128_acquire(const hf_word128 *p) {
    hf_perturb();
    __m128i v;
    hf_word128 w;
    __asm__ volatile("movdqa %1, %0" : "=x"(v) : "m"(*p) : "memory");
    w.lo = (uint64_t)_mm_cvtsi128_si64(v);
    w.hi = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v));
    return w;
}
static inline void hf_store128_release(hf_word128 *p, hf_word128 w) {
    hf_perturb();
    __m128i v = _mm_set_epi64x((long long)w.hi, (long long)w.lo);
    __asm__ volatile("movdqa %1, %0" : "=m"(*p) : "x"(v) : "memory");
}
static inline bool hf_cas128_acq_rel(hf_word128 *p, hf_word128 *expected, hf_word128 desired) {
    hf_perturb();
    bool done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*p), "+a"(expected->lo), "+d"(expected->hi)
                     : "b"(desired.lo), "c"(desired.hi)
                     : "memory");
    return done;
}
static inline void hf_cpu_relax(void) { __builtin_ia32_pause(); }
/* A locked instruction keeps earlier stores before later loads (Intel SDM vol. 3A, 8.2.3.9): only the compiler is held. */
static inline void hf_barrier_after_cas(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
static inline void hf_full_barrier(void) { __asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc"); }

#elif defined(__aarch64__)

/* LDAXP/STLXP: a pair is only known to be read as one once a store-exclusive of the same pair succeeded (Arm ARM B2.2.1
 * without FEAT_LSE2), so a load writes back what it read. */
static inline bool hf_cas128_acq_rel(hf_word128 *p, hf_word128 *expected, hf_word128 desired) {
    hf_perturb();
    uint64_t lo, hi;
    uint32_t failed;
    do {
        __asm__ volatile("ldaxp %0, %1, %2" : "=&r"(lo), "=&r"(hi) : "Q"(*p) : "memory");
        bool same = lo == expected->lo && hi == expected->hi;
        uint64_t put_lo = same ? desired.lo : lo, put_hi = same ? desired.hi : hi;
        __asm__ volatile("stlxp %w0, %2, %3, %1" : "=&r"(failed), "=Q"(*p) : "r"(put_lo), "r"(put_hi) : "memory");
    } while (failed);
    bool done = lo == expected->lo && hi == expected->hi;
    expected->lo = lo;
    expected->hi = hi;
    return done;
}
static inline hf_word128 hf_load128_acquire(const hf_word128 *p) {
    hf_perturb();
    hf_word128 seen = {0, 0};
    (void)hf_cas128_acq_rel((hf_word128 *)(uintptr_t)p, &seen, seen);
    return seen;
}
static inline void hf_store128_release(hf_word128 *p, hf_word128 w) {
    hf_perturb();
    hf_word128 seen = {p->lo, p->hi};
    while (!hf_cas128_acq_rel(p, &seen, w)) {
    }
}
static inline void hf_cpu_relax(void) { __asm__ volatile("yield" ::: "memory"); }
static inline void hf_barrier_after_cas(void) { __asm__ volatile("dmb ish" ::: "memory"); }
static inline void hf_full_barrier(void) { __asm__ volatile("dmb ish" ::: "memory"); }

#else
#error "Holdfast needs 16-byte atomics: add this processor to wal/atomic.h"
#endif

/* True where guarantee C holds on the processor this runs on. */
static inline bool hf_cpu_check(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    __builtin_cpu_init();
    /* By hand: clang before 15 does not know the name of bit_CMPXCHG16B. */
    bool asked = __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d); /* uncovered: on an older processor */
    return asked && (c & bit_CMPXCHG16B) != 0; /* uncovered: the same */
#else
    return true;
#endif
}

static inline void hf_prefetch_write(const void *p) { __builtin_prefetch(p, 1, 3); }
static inline void hf_prefetch_read(const void *p) { __builtin_prefetch(p, 0, 3); }

#endif
