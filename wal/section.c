/* Registration of threads with liburcu, counted, so that a thread may hold several sessions. */
#include "section.h"

#include <urcu/static/urcu-memb.h> /* urcu_memb_reader */

#if defined(HF_TSAN)
char hf_section_edge_left, hf_section_edge_entered;

/* liburcu wakes a grace period by a futex word that it writes without an atomic ThreadSanitizer knows. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "race:urcu_common_wake_up_gp\nrace:urcu_memb_synchronize_rcu\n"; }
#endif

static _Thread_local unsigned registrations;     /* sessions of this thread */
static _Thread_local bool registered_by_program; /* then it is not ours to undo */

void hf_section_register(void) {
    if (registrations++ == 0) {
        registered_by_program = URCU_TLS(urcu_memb_reader).registered;
        if (!registered_by_program) {
            urcu_memb_register_thread();
        }
    }
}

void hf_section_unregister(void) {
    if (--registrations == 0 && !registered_by_program) {
        urcu_memb_unregister_thread();
    }
}
