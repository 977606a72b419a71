/* The words of the public maps, and the per-thread detail of the last failure. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char detail[512];

int hf_fail(int error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return error;
}

int hf_fail_system(int negative_errno, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    size_t used = strlen(detail);
    char words[128];
    snprintf(detail + used, sizeof detail - used, ": %s", strerror_r(-negative_errno, words, sizeof words));
    return negative_errno == -ENOMEM ? HF_ENOMEM : HF_EIO;
}

void hf_error_keep(const char *text) { snprintf(detail, sizeof detail, "%s", text); }

const char *hf_error_detail(void) { return detail; }

const char *hf_error_name(int error) {
    switch (error) {
    case HF_SUCCESS:
        return "HF_SUCCESS";
#define X(name, code, text)                                                                                            \
    case code:                                                                                                         \
        return "HF_" #name;
        HF_ERROR_MAP(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *hf_error_text(int error) {
    switch (error) {
    case HF_SUCCESS:
        return "success";
#define X(name, code, text)                                                                                            \
    case code:                                                                                                         \
        return text;
        HF_ERROR_MAP(X)
#undef X
    default:
        return "unknown error";
    }
}

#define X(name, value, text)                                                                                           \
    case value:                                                                                                        \
        return text;
#define WORDS(function, type, map)                                                                                     \
    const char *function(type value) {                                                                                 \
        switch ((int)value) { map(X) default : return "?"; }                                                           \
    }
WORDS(hf_outcome_text, hf_outcome, HF_OUTCOME_MAP)
WORDS(hf_op_text, hf_op_type, HF_OP_MAP)
WORDS(hf_state_text, hf_state, HF_STATE_MAP)
WORDS(hf_record_text, hf_record_type, HF_RECORD_MAP)

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
const char *hf_version(void) { return TEXT(HF_VERSION_MAJOR) "." TEXT(HF_VERSION_MINOR) "." TEXT(HF_VERSION_PATCH); }
