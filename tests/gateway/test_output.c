/* Output and replies: order, holding back, bounds; and that hiredis reads back what was written. */
#include <criterion/criterion.h>

#include "harness.h"
#include "tools/serve/number.h"
#include "tools/serve/output.h"
#include "tools/serve/reply.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

static uint64_t released_replies;
static void note(void *context, const output_mark *mark) {
    (void)context;
    released_replies += mark->replies;
}

static void put(hf_output *out, const char *text) {
    size_t length = strlen(text);
    uint8_t *room = output_room(out, length);
    cr_assert(room);
    memcpy(room, text, length);
    output_add(out, length);
}

static void expect_sendable(hf_output *out, const char *text) {
    cr_expect_eq(output_sendable(out), strlen(text), "%zu bytes may be sent, expected '%s'", output_sendable(out),
                 text);
    cr_expect_eq(memcmp(output_bytes(out), text, strlen(text)), 0);
}

Test(output, nothing_leaves_before_its_ticket_and_order_stays) {
    hf_output out;
    output_init(&out, 4096);
    put(&out, "a");
    cr_expect(output_mark_replies(&out, 5, 5, 0, 1));
    put(&out, "b");
    cr_expect_not(output_mark_replies(&out, 7, 5, 0, 1));
    put(&out, "c"); /* durable already, but behind b */
    cr_expect_not(output_mark_replies(&out, 0, 5, 0, 1));
    put(&out, "d");
    cr_expect_not(output_mark_replies(&out, 9, 5, 0, 2));
    expect_sendable(&out, "a");
    output_release(&out, 6, note, NULL);
    expect_sendable(&out, "a");
    output_release(&out, 7, note, NULL);
    expect_sendable(&out, "abc");
    output_sent(&out, 2);
    expect_sendable(&out, "c");
    output_release(&out, 9, note, NULL);
    expect_sendable(&out, "cd");
    output_free(&out);
}

Test(output, more_marks_than_there_is_room_for_hold_longer_never_shorter) {
    hf_output out;
    output_init(&out, 1 << 20);
    released_replies = 0;
    for (uint64_t ticket = 1; ticket <= 100; ticket++) {
        put(&out, "x");
        output_mark_replies(&out, ticket, 0, 0, 1);
    }
    for (uint64_t durable = 1; durable <= 100; durable++) {
        output_release(&out, durable, note, NULL);
        cr_expect_leq(output_sendable(&out), durable);
    }
    cr_expect_eq(output_sendable(&out), 100u);
    cr_expect_eq(released_replies, 100u);
    output_free(&out);
}

Test(output, beyond_the_limit_nothing_is_added) {
    hf_output out;
    output_init(&out, 100);
    char text[61];
    memset(text, 'x', 60);
    text[60] = 0;
    put(&out, text);
    cr_expect_null(output_room(&out, 41));
    cr_expect(out.overflowed);
    cr_expect_eq(output_size(&out), 60u);
    output_free(&out);
}

Test(output, what_is_held_can_be_taken_back_and_counted) {
    hf_output out;
    output_init(&out, 4096);
    put(&out, "sent");
    output_mark_replies(&out, 1, 1, 0, 1);
    put(&out, "held");
    output_mark_replies(&out, 2, 1, 0, 3);
    put(&out, "more");
    output_mark_replies(&out, 3, 1, 0, 4);
    cr_expect_eq(output_refuse_held(&out), 7u);
    expect_sendable(&out, "sent");
    cr_expect_eq(output_held(&out), 0u);
    output_free(&out);
}

Test(output, a_model_at_random) {
    uint64_t seed = harness_begin("gateway_test_output");
    for (unsigned round = 0; round < harness_rounds(300); round++) {
        hf_output out;
        char model[1 << 16];
        size_t written = 0, sent = 0, releasable = 0;
        output_init(&out, sizeof model);
        for (unsigned step = 0; step < 300; step++) {
            size_t length = 1 + harness_below(&seed, 200);
            uint8_t *room = output_room(&out, length);
            cr_assert(room);
            for (size_t i = 0; i < length; i++)
                room[i] = (uint8_t)(model[written + i] = (char)harness_next(&seed));
            output_add(&out, length);
            written += length;
            if (harness_chance(&seed, 60)) {
                output_mark_replies(&out, 0, 0, 0, 1);
                releasable = written;
            }
            size_t some = harness_below(&seed, output_sendable(&out) + 1);
            cr_assert_eq(output_sendable(&out), releasable - sent);
            cr_assert_eq(memcmp(output_bytes(&out), model + sent, some), 0);
            output_sent(&out, some);
            sent += some;
            if (harness_chance(&seed, 10) && output_size(&out) == 0)
                output_shrink(&out);
        }
        output_free(&out);
    }
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

static redisReply *read_back(hf_output *out) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    cr_assert_eq(redisReaderFeed(reader, (const char *)output_bytes(out), output_size(out)), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK, "%s", reader->errstr);
    cr_assert(reply, "not whole");
    void *more = NULL;
    cr_assert_eq(redisReaderGetReply(reader, &more), REDIS_OK);
    cr_assert_null(more, "more than one reply");
    redisReaderFree(reader);
    return reply;
}

Test(reply, hiredis_reads_back_what_resp2_writes) {
    hf_output out;
    output_init(&out, 1 << 20);
    reply_writer writer = {.out = &out, .protocol = 2};
    reply_map(&writer, 5);
    reply_text(&writer, "text");
    reply_bulk(&writer, "a\r\nb\0c", 6);
    reply_text(&writer, "number");
    reply_integer(&writer, INT64_MIN);
    reply_simple(&writer, "simple\r\nline");
    reply_null(&writer);
    reply_error(&writer, "ERR one\r\n-two %s", "three");
    reply_unsigned(&writer, UINT64_MAX);
    reply_verbatim(&writer, "verbatim", 8);
    reply_array(&writer, 0);
    redisReply *reply = read_back(&out);
    cr_assert_eq(reply->type, REDIS_REPLY_ARRAY);
    cr_assert_eq(reply->elements, 10u);
    cr_expect_eq(reply->element[1]->len, 6);
    cr_expect_eq(memcmp(reply->element[1]->str, "a\r\nb\0c", 6), 0);
    cr_expect_eq(reply->element[3]->integer, INT64_MIN);
    cr_expect_str_eq(reply->element[4]->str, "simple  line");
    cr_expect_eq(reply->element[5]->type, REDIS_REPLY_NIL);
    cr_expect_eq(reply->element[6]->type, REDIS_REPLY_ERROR);
    cr_expect_str_eq(reply->element[6]->str, "ERR one  -two three");
    cr_expect_str_eq(reply->element[7]->str, "18446744073709551615");
    cr_expect_str_eq(reply->element[8]->str, "verbatim");
    cr_expect_eq(reply->element[9]->elements, 0u);
    freeReplyObject(reply);
    output_free(&out);
}

Test(reply, numbers_of_every_length) {
    uint64_t number = 0;
    for (unsigned i = 0; i < 20; i++) {
        for (uint64_t near = number > 2 ? number - 2 : 0; near <= number + 2; near++) {
            uint8_t digits[20];
            char expected[24];
            size_t length = reply_digits(digits, near);
            snprintf(expected, sizeof expected, "%llu", (unsigned long long)near);
            cr_expect_eq(length, strlen(expected));
            cr_expect_eq(memcmp(digits, expected, length), 0, "%s", expected);
        }
        number = number ? number * 10 : 1;
    }
}

/* ---- numbers, ids, users ----------------------------------------------------------------------------------------- */

static hf_text text_of(const char *bytes) { return (hf_text){(const uint8_t *)bytes, (uint32_t)strlen(bytes)}; }

Test(number, whole_decimal_and_within_bounds) {
    static const struct {
        const char *digits;
        bool good;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"7", true, 7},
        {"-7", true, -7},
        {"007", true, 7},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"1 ", false, 0},
        {" 1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"0x1", false, 0},
        {"1000", true, 1000},
        {"1001", false, 0},
        {"-1001", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;
        bool good = number_read_signed(text_of(cases[i].digits), -1000, 1000, &value);
        cr_expect_eq(good, cases[i].good, "'%s'", cases[i].digits);
        if (good && cases[i].good)
            cr_expect_eq(value, cases[i].value, "'%s'", cases[i].digits);
    }
}

Test(number, a_user_is_its_digits_or_eight_bytes_of_its_id) {
    cr_expect_eq(user_number(text_of("18446744073709551615")), UINT64_MAX);
    cr_expect_eq(user_number(text_of("42")), 42u);
    cr_expect_eq(user_number(text_of("")), 0u);
    cr_expect_eq(user_number(text_of("bob")), (uint64_t)'b' | (uint64_t)'o' << 8 | (uint64_t)'b' << 16);
    hf_id id = hf_id_from_text("18446744073709551616", 20);
    uint64_t first;
    memcpy(&first, id.bytes, 8);
    cr_expect_eq(user_number(text_of("18446744073709551616")), first);
}
