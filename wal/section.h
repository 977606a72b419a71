/* Read-side sections and grace periods (RCU), over liburcu's "memb" flavour.
 *
 * Guarantees
 *   A  hf_grace_period() returns only after every section that was open when it was called has been left. Whatever such a
 *      section did happens before the return (edge G1: hf_section_leave -> hf_grace_period).
 *   B  Whatever happened before hf_grace_period() was called is seen by every section entered after its return (edge G2).
 *   C  Entering and leaving cost no shared write and no system call.
 *
 * Rules: no waiting of any kind inside a section; never call hf_grace_period() inside one; sections do not nest.
 *
 * ThreadSanitizer cannot see liburcu's barriers: in its builds the two edges are told to it by hand, and liburcu's own
 * accesses, which are volatile rather than atomic, stay in the library, where it does not see them.
 */
#ifndef HF_SECTION_H
#define HF_SECTION_H

#include "atomic.h"

#if !defined(HF_TSAN)
#define URCU_INLINE_SMALL_FUNCTIONS
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-memb.h>

#if defined(HF_TSAN)
void __tsan_acquire(void *);
void __tsan_release(void *);
extern char hf_section_edge_left, hf_section_edge_entered;
#define HF_TSAN_ACQUIRE(p) __tsan_acquire(p)
#define HF_TSAN_RELEASE(p) __tsan_release(p)
#else
#define HF_TSAN_ACQUIRE(p) ((void)0)
#define HF_TSAN_RELEASE(p) ((void)0)
#endif

static inline void hf_section_enter(void) {
    urcu_memb_read_lock();
    HF_TSAN_ACQUIRE(&hf_section_edge_entered); /* edge G2, from hf_grace_period */
}

static inline void hf_section_leave(void) {
    HF_TSAN_RELEASE(&hf_section_edge_left); /* edge G1, to hf_grace_period */
    urcu_memb_read_unlock();
}

/* Whether this thread is inside a section: for assertions. */
static inline bool hf_section_inside(void) { return urcu_memb_read_ongoing() != 0; }

static inline void hf_grace_period(void) {
    HF_TSAN_RELEASE(&hf_section_edge_entered); /* edge G2, to hf_section_enter */
    urcu_memb_synchronize_rcu();
    HF_TSAN_ACQUIRE(&hf_section_edge_left); /* edge G1, from hf_section_leave */
}

/* Counted registration of the calling thread; a thread that the program registered itself is left alone. */
void hf_section_register(void);
void hf_section_unregister(void);

#endif
