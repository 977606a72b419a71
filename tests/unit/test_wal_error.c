/* The words of errors and of the public maps, and the detail of a thread's last failure. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"

#include <errno.h>
#include <pthread.h>

Test(wal_error, every_code_has_its_name_and_its_sentence) {
#define X(name, code, text)                                                                                            \
    CHECK(strcmp(hf_error_name(HF_##name), "HF_" #name) == 0 && strcmp(hf_error_text(code), text) == 0, #name);
    HF_ERROR_MAP(X)
#undef X
    CHECK(strcmp(hf_error_name(HF_SUCCESS), "HF_SUCCESS") == 0 && strcmp(hf_error_text(HF_SUCCESS), "success") == 0,
          "0");
    CHECK(strcmp(hf_error_name(1), "unknown error") == 0 && strcmp(hf_error_text(-999), "unknown error") == 0,
          "others");
}

Test(wal_error, every_value_of_a_map_has_its_word) {
#define X(name, value, text) CHECK(strcmp(hf_outcome_text((hf_outcome)(value)), text) == 0, #name);
    HF_OUTCOME_MAP(X)
#undef X
#define X(name, value, text) CHECK(strcmp(hf_op_text((hf_op_type)(value)), text) == 0, #name);
    HF_OP_MAP(X)
#undef X
#define X(name, value, text) CHECK(strcmp(hf_state_text((hf_state)(value)), text) == 0, #name);
    HF_STATE_MAP(X)
#undef X
#define X(name, value, text) CHECK(strcmp(hf_record_text((hf_record_type)(value)), text) == 0, #name);
    HF_RECORD_MAP(X)
#undef X
    CHECK(strcmp(hf_outcome_text(HF_OUTCOME_COUNT), "?") == 0 && strcmp(hf_op_text((hf_op_type)0), "?") == 0, "others");
    CHECK(strcmp(hf_state_text(HF_STATE_END), "?") == 0 && strcmp(hf_record_text((hf_record_type)0), "?") == 0,
          "others");
    CHECK(strcmp(hf_version(), "0.1.0") == 0, "%s", hf_version());
}

static void *look_at_detail(void *context) {
    (void)context;
    return hf_error_detail()[0] == 0 ? context : NULL;
}

Test(wal_error, the_detail_is_of_the_thread_and_bounded) {
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK(hf_fail(HF_EINVAL, "%s", longest) == HF_EINVAL && strlen(hf_error_detail()) == 511, "cut");
    CHECK(hf_fail_system(-ENOSPC, "%s", longest) == HF_EIO && strlen(hf_error_detail()) == 511, "cut");
    CHECK(hf_fail_system(-ENOMEM, "at %d", 7) == HF_ENOMEM &&
              strcmp(hf_error_detail(), "at 7: Cannot allocate memory") == 0,
          "%s", hf_error_detail());
    hf_error_keep("another's words");
    CHECK(strcmp(hf_error_detail(), "another's words") == 0, "%s", hf_error_detail());
    pthread_t thread;
    int mark;
    void *answer;
    CHECK(pthread_create(&thread, NULL, look_at_detail, &mark) == 0 && pthread_join(thread, &answer) == 0, "a thread");
    CHECK(answer == &mark, "not another thread's");
}
