/* Sessions' numbers: each opening without a name takes one for good, and the last that a log may hold is the last. */
#include <criterion/criterion.h>

#include "engine/engine.h"
#include "tests/support/harness.h"

Test(session, numbers_end_with_the_last_that_a_log_may_hold) {
    hf_engine *engine;
    hf_session *known, *last, *more;
    hf_options options;
    harness_options(&options, HF_VOLATILE | HF_NO_THREADS, NULL);
    MUST(hf_open(NULL, &options, &engine));
    MUST(hf_session_open(engine, "known", &known));
    hf_session_close(known);
    engine->next_session = HF_MAX_SESSION_NUMBER;
    MUST(hf_session_open(engine, NULL, &last));
    cr_expect_eq(last->number, HF_MAX_SESSION_NUMBER);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(hf_session_open(engine, NULL, &more), HF_ESESSIONS);
        cr_expect(strstr(hf_error_detail(), "used up"), "%s", hf_error_detail());
        cr_expect_eq(hf_session_open(engine, "new", &more), HF_ESESSIONS);
    }
    MUST(hf_session_open(engine, "known", &known)); /* it has its number */
    hf_session_close(known);
    hf_session_close(last);
    MUST(hf_close(engine));
}
