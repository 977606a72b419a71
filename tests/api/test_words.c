/* Names of errors, outcomes, states and records; ids as text. */
#include "fixture.h"

Test(words, every_code_has_a_name_and_a_sentence) {
    cr_assert_str_eq(hf_error_name(HF_SUCCESS), "HF_SUCCESS");
    cr_assert_str_eq(hf_error_name(12345), "unknown error");
    cr_assert_str_eq(hf_error_text(12345), "unknown error");
#define X(name, code, text)                                                                                            \
    cr_expect_str_eq(hf_error_name(code), "HF_" #name);                                                                \
    cr_expect_str_eq(hf_error_text(code), text);                                                                       \
    cr_expect_lt(code, 0);
    HF_ERROR_MAP(X)
#undef X
#define X(name, value, text) cr_expect_str_eq(hf_outcome_text(HF_OUTCOME_##name), text);
    HF_OUTCOME_MAP(X)
#undef X
#define X(name, value, text) cr_expect_str_eq(hf_op_text(HF_OP_##name), text);
    HF_OP_MAP(X)
#undef X
#define X(name, value, text) cr_expect_str_eq(hf_state_text(HF_STATE_##name), text);
    HF_STATE_MAP(X)
#undef X
#define X(name, value, text) cr_expect_str_eq(hf_record_text(HF_RECORD_##name), text);
    HF_RECORD_MAP(X)
#undef X
}

Test(words, strange_values_have_a_word_too) {
    cr_expect_str_eq(hf_outcome_text((hf_outcome)999), "?");
    cr_expect_str_eq(hf_op_text((hf_op_type)0), "?");
    cr_expect_str_eq(hf_state_text((hf_state)999), "?");
    cr_expect_str_eq(hf_record_text((hf_record_type)0), "?");
}

Test(words, version_is_that_of_the_header) {
    char expected[32];
    snprintf(expected, sizeof expected, "%u.%u.%u", HF_VERSION_MAJOR, HF_VERSION_MINOR, HF_VERSION_PATCH);
    cr_assert_str_eq(hf_version(), expected);
}

Test(ids, up_to_15_bytes_are_kept_and_given_back) {
    static const char text[] = "order-123456789";
    for (size_t length = 0; length <= 15; length++) {
        char back[33];
        hf_id id = hf_id_from_text(text, length);
        cr_expect_eq(hf_id_to_text(id, back), length, "%zu bytes", length);
        cr_expect(strncmp(back, text, length) == 0 && back[length] == 0, "%zu bytes: %s", length, back);
        cr_expect_geq(id.bytes[15], 0xE0);
    }
}

Test(ids, distinct_strings_have_distinct_ids) {
    hf_id ids[64];
    for (unsigned i = 0; i < 64; i++) {
        static const char text[64] = "\0\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        ids[i] = hf_id_from_text(text, i); /* zero bytes too: "" and "\0" are not the same */
        for (unsigned k = 0; k < i; k++) {
            cr_expect_neq(memcmp(&ids[i], &ids[k], sizeof ids[i]), 0, "lengths %u and %u", i, k);
        }
    }
}

Test(ids, longer_ones_are_32_hexadecimal_digits) {
    char back[33];
    hf_id id = hf_id_from_text("a string of more than fifteen bytes", 35);
    cr_assert_eq(hf_id_to_text(id, back), 32u);
    cr_assert_eq(strspn(back, "0123456789abcdef"), 32u, "%s", back);
    for (unsigned i = 0; i < 16; i++) { /* a UUID: digits in the order of its bytes */
        id.bytes[i] = (uint8_t)(i * 7);
    }
    cr_assert_eq(hf_id_to_text(id, back), 32u);
    cr_assert_str_eq(back, "00070e151c232a31383f464d545b6269");
}
