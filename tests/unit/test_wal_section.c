/* Sections: registration is counted and leaves a thread alone that the program registered. Atomics: what is more than
 * one instruction. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/section.h"

#include <pthread.h>
#include <urcu/static/urcu-memb.h> /* urcu_memb_reader */

static bool is_registered(void) { return URCU_TLS(urcu_memb_reader).registered; }

Test(wal_section, registration_is_counted) {
    CHECK(!is_registered(), "not yet");
    hf_section_register();
    hf_section_register();
    CHECK(is_registered() && !hf_section_inside(), "registered");
    hf_section_enter();
    CHECK(hf_section_inside(), "inside");
    hf_section_leave();
    hf_section_unregister();
    CHECK(is_registered(), "one session is left");
    hf_section_unregister();
    CHECK(!is_registered(), "none is left");
    hf_grace_period();
}

Test(wal_section, a_thread_that_the_program_registered_is_left_alone) {
    urcu_memb_register_thread();
    for (int i = 0; i < 2; i++) {
        hf_section_register();
        hf_section_unregister();
        CHECK(is_registered(), "still the program's");
    }
    urcu_memb_unregister_thread();
    hf_section_register();
    CHECK(is_registered(), "ours now");
    hf_section_unregister();
    CHECK(!is_registered(), "and undone");
}

/* ---- atomics ----------------------------------------------------------------------------------------------------- */

Test(wal_section, raising_never_lowers) {
    uint64_t v = 5;
    CHECK(hf_raise_relaxed(&v, 9) == 9 && v == 9, "raised");
    CHECK(hf_raise_relaxed(&v, 3) == 9 && v == 9, "not lowered");
    CHECK(hf_raise_relaxed(&v, 9) == 9 && v == 9, "the same");
}

static uint64_t raised;

static void *raise_often(void *context) {
    (void)context;
    for (uint64_t i = 1; i <= 200000; i++) {
        hf_raise_relaxed(&raised, i);
    }
    return NULL;
}

Test(wal_section, raising_from_two_threads_ends_at_the_highest) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&threads[i], NULL, raise_often, NULL) == 0, "a thread");
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(raised == 200000, "%llu", (unsigned long long)raised);
}

Test(wal_section, sixteen_bytes_change_as_one) {
    hf_word128 word = {1, 2}, expected = {1, 3};
    CHECK(hf_cpu_check(), "this processor can");
    CHECK(!hf_cas128_acq_rel(&word, &expected, (hf_word128){7, 8}) && expected.lo == 1 && expected.hi == 2, "found");
    CHECK(hf_cas128_acq_rel(&word, &expected, (hf_word128){7, 8}), "swapped");
    hf_word128 seen = hf_load128_acquire(&word);
    CHECK(seen.lo == 7 && seen.hi == 8, "loaded");
    hf_store128_release(&word, (hf_word128){UINT64_MAX, 5});
    seen = hf_load128_acquire(&word);
    CHECK(seen.lo == UINT64_MAX && seen.hi == 5 && hf_join128(seen) >> 64 == 5, "stored");
    CHECK(hf_split128(hf_join128(seen)).hi == 5, "split");
}
