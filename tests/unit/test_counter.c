/* The counter word: packing, bounds, and what each record does to it. */
#include <criterion/criterion.h>

#include "engine/counter.h"
#include "tests/support/harness.h"

static hf_counter counter_of(int64_t on_hand, int64_t reserved, uint64_t version) {
    return (hf_counter){.on_hand = on_hand, .reserved = reserved, .version = version};
}

static void expect_round_trip(int64_t on_hand, int64_t reserved, uint64_t version) {
    for (int counted = 0; counted < 2; counted++) {
        hf_counter back = hf_counter_of(hf_counter_word((hf_counter){on_hand, reserved, version, counted}));
        cr_expect(back.on_hand == on_hand && back.reserved == reserved && back.version == version && back.counted == counted,
                  "%lld %lld %llu %d came back as %lld %lld %llu %d", (long long)on_hand, (long long)reserved,
                  (unsigned long long)version, counted, (long long)back.on_hand, (long long)back.reserved,
                  (unsigned long long)back.version, back.counted);
    }
}

Test(counter, every_field_keeps_its_bits) {
    uint64_t random = harness_begin("counter"), last_version = HF_MAX_VERSION + (UINT64_C(1) << 39);
    int64_t last = (INT64_C(1) << 40) - 1;
    expect_round_trip(0, 0, 0);
    expect_round_trip(HF_MAX_QUANTITY, 0, 0);
    expect_round_trip(0, HF_MAX_QUANTITY, 0);
    expect_round_trip(0, 0, last_version);
    expect_round_trip(HF_MAX_QUANTITY, HF_MAX_QUANTITY, last_version);
    expect_round_trip(last, 0, last_version);
    expect_round_trip(0, last, last_version);
    for (unsigned bit = 0; bit < 39; bit++) {
        expect_round_trip(INT64_C(1) << bit, HF_MAX_QUANTITY ^ (INT64_C(1) << bit), UINT64_C(1) << bit);
    }
    for (unsigned i = 0; i < 100000; i++) {
        expect_round_trip((int64_t)harness_below(&random, (uint64_t)HF_MAX_QUANTITY + 1),
                          (int64_t)harness_below(&random, (uint64_t)HF_MAX_QUANTITY + 1),
                          harness_below(&random, last_version + 1));
    }
}

Test(counter, a_version_step_alone_changes_the_word) {
    hf_word128 a = hf_counter_word(counter_of(5, 2, 7)), b = hf_counter_word(counter_of(5, 2, 8));
    cr_expect(a.lo == b.lo && a.hi != b.hi);
}

Test(counter, what_is_valid) {
    cr_expect(hf_counter_is_valid(counter_of(0, 0, 0)));
    cr_expect(hf_counter_is_valid(counter_of(0, 3, 1))); /* a count below what is reserved */
    cr_expect(hf_counter_is_valid(counter_of(HF_MAX_QUANTITY + 1, 0, 1))); /* given back after a receipt */
    cr_expect(!hf_counter_is_valid(counter_of(-1, 0, 1)));
    cr_expect(!hf_counter_is_valid(counter_of(0, -1, 1)));
    cr_expect(!hf_counter_is_valid(counter_of(INT64_C(1) << 40, 0, 1)));
    cr_expect(!hf_counter_is_valid(counter_of(0, INT64_C(1) << 40, 1)));
    cr_expect(!hf_counter_is_valid(counter_of(0, 0, UINT64_C(1) << 47)));
    cr_expect_eq(hf_counter_available(counter_of(1, 3, 1)), -2);
}

Test(counter, what_each_record_does_and_gives_back) {
    static const struct {
        hf_record_type type;
        int64_t on_hand, reserved;
    } all[] = {
        {HF_RECORD_RECEIVE, 3, 0},  {HF_RECORD_ADJUST, 3, 0},  {HF_RECORD_PURCHASE, -3, 0}, {HF_RECORD_RESERVE, 0, 3},
        {HF_RECORD_CONFIRM, -3, -3}, {HF_RECORD_CANCEL, 0, -3}, {HF_RECORD_EXPIRE, 0, -3},   {HF_RECORD_CONFIRM_LATE, -3, 0},
        {HF_RECORD_NOTE, 0, 0},     {HF_RECORD_EXTEND, 0, 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int64_t on_hand, reserved, back_on_hand, back_reserved;
        hf_counter_change(all[i].type, 3, false, &on_hand, &reserved);
        hf_counter_change(all[i].type, 3, true, &back_on_hand, &back_reserved);
        cr_expect(on_hand == all[i].on_hand && reserved == all[i].reserved, "%s", hf_record_text(all[i].type));
        cr_expect(back_on_hand == -on_hand && back_reserved == -reserved, "%s given back", hf_record_text(all[i].type));
    }
}
