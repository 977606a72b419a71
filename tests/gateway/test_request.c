/* The request parser, with hiredis as its oracle: what hiredis formats is parsed back to the same arguments, however it
 * is cut; and inline commands are split as hiredis' own copy of Redis' rules splits them. */
#include <criterion/criterion.h>

#include "harness.h"
#include "tools/serve/request.h"

#include <hiredis/hiredis.h>
#include <hiredis/sds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const request_limits wide = {
    .arguments = 10000, .argument_bytes = 1 << 20, .inline_bytes = 1 << 16, .request_bytes = 4 << 20};

/* Bytes in memory of exactly their size, so that AddressSanitizer sees a look beyond them. */
static uint8_t *exact(const void *bytes, size_t length) {
    uint8_t *copy = malloc(length + !length);
    cr_assert(copy);
    memcpy(copy, bytes, length);
    return copy;
}

static void expect_arguments(const request_parser *parser, const uint8_t *bytes, int count, const char **words,
                             const size_t *lengths) {
    cr_assert_eq(parser->count, (uint32_t)count, "%u arguments, expected %d", parser->count, count);
    for (int i = 0; i < count; i++) {
        const request_argument *argument = &parser->arguments[i];
        cr_assert_eq(argument->length, lengths[i], "argument %d: %u bytes, expected %zu", i, argument->length,
                     lengths[i]);
        cr_assert_eq(memcmp(bytes + argument->offset, words[i], lengths[i]), 0, "argument %d", i);
    }
}

/* A request of random words, some empty, some with line ends in them. */
typedef struct words {
    int count;
    char *bytes[64];
    size_t lengths[64];
} words;

static void make_words(words *made, uint64_t *seed) {
    made->count = 1 + (int)harness_below(seed, harness_chance(seed, 5) ? 60 : 8);
    for (int i = 0; i < made->count; i++) {
        made->lengths[i] = harness_below(seed, harness_chance(seed, 3) ? 3000 : 30);
        made->bytes[i] = malloc(made->lengths[i] + 1);
        for (size_t k = 0; k < made->lengths[i]; k++)
            made->bytes[i][k] = "ab\r\n$*:0 9\0\xff"[harness_below(seed, 12)];
    }
}

static void free_words(words *made) {
    for (int i = 0; i < made->count; i++)
        free(made->bytes[i]);
}

/* Parses bytes[0..length) given in pieces that end at cuts[0..cut_count) and at length. */
static request_result parse_cut(request_parser *parser, const uint8_t *bytes, size_t length, const size_t *cuts,
                                size_t cut_count) {
    request_result result = REQUEST_MORE;
    for (size_t i = 0; i <= cut_count; i++) {
        size_t end = i < cut_count ? cuts[i] : length;
        uint8_t *piece = exact(bytes, end);
        result = request_parse(parser, &wide, piece, end);
        free(piece);
        if (result == REQUEST_MORE) {
            cr_assert_gt(parser->awaited, end, "it awaits %u bytes, and %zu are there", parser->awaited, end);
            cr_assert_leq(parser->awaited, length, "it awaits %u bytes of %zu", parser->awaited, length);
        }
        if (result != REQUEST_MORE)
            cr_assert_eq(i, cut_count, "an answer at byte %zu of %zu", end, length);
    }
    return result;
}

Test(request, hiredis_formats_and_every_cut_gives_the_same) {
    uint64_t seed = harness_begin("gateway_test_request");
    request_parser parser;
    request_init(&parser);
    for (unsigned round = 0; round < harness_rounds(150); round++) {
        words made;
        char *formatted;
        make_words(&made, &seed);
        long long length = redisFormatCommandArgv(&formatted, made.count, (const char **)made.bytes, made.lengths);
        cr_assert_gt(length, 0);
        size_t step = (size_t)length > 400 ? 1 + (size_t)length / 97 : 1; /* long ones: not at every byte */
        for (size_t cut = 0; cut < (size_t)length; cut += step) {
            cr_assert_eq(parse_cut(&parser, (uint8_t *)formatted, (size_t)length, &cut, 1), REQUEST_READY, "cut at %zu",
                         cut);
            cr_assert_eq(parser.scanned, (uint32_t)length);
            expect_arguments(&parser, (uint8_t *)formatted, made.count, (const char **)made.bytes, made.lengths);
            request_next(&parser);
        }
        free(formatted);
        free_words(&made);
    }
    request_free(&parser);
}

Test(request, byte_by_byte) {
    uint64_t seed = harness_begin("gateway_test_request");
    request_parser parser;
    request_init(&parser);
    for (unsigned round = 0; round < 100; round++) {
        words made;
        char *formatted;
        make_words(&made, &seed);
        size_t length = (size_t)redisFormatCommandArgv(&formatted, made.count, (const char **)made.bytes, made.lengths);
        for (size_t end = 0; end < length; end++) {
            request_result result = request_parse(&parser, &wide, (uint8_t *)formatted, end);
            cr_assert_eq(result, REQUEST_MORE, "at byte %zu of %zu", end, length);
        }
        cr_assert_eq(request_parse(&parser, &wide, (uint8_t *)formatted, length), REQUEST_READY);
        expect_arguments(&parser, (uint8_t *)formatted, made.count, (const char **)made.bytes, made.lengths);
        request_next(&parser);
        free(formatted);
        free_words(&made);
    }
    request_free(&parser);
}

Test(request, many_in_one_buffer) {
    request_parser parser;
    uint8_t bytes[] = "*1\r\n$4\r\nPING\r\n*0\r\nECHO \"a b\"\r\n\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n";
    static const uint32_t counts[] = {1, 0, 2, 0, 0, 2};
    size_t at = 0;
    request_init(&parser);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(request_parse(&parser, &wide, bytes + at, sizeof bytes - 1 - at), REQUEST_READY, "request %u", i);
        cr_expect_eq(parser.count, counts[i], "request %u has %u arguments", i, parser.count);
        at += parser.scanned;
        request_next(&parser);
    }
    cr_expect_eq(at, sizeof bytes - 1);
    request_free(&parser);
}

/* ---- inline ------------------------------------------------------------------------------------------------------ */

static void compare_inline(const char *line) {
    int count = 0;
    sds *expected = sdssplitargs(line, &count);
    size_t length = strlen(line);
    uint8_t *bytes = malloc(length + 2);
    memcpy(bytes, line, length);
    memcpy(bytes + length, "\r\n", 2);
    request_parser parser;
    request_init(&parser);
    request_result result = request_parse(&parser, &wide, bytes, length + 2);
    if (!expected) {
        cr_assert_eq(result, REQUEST_BAD, "'%s' was taken", line);
        cr_assert_eq(parser.error, REQUEST_ERROR_UNBALANCED_QUOTES, "'%s'", line);
    } else {
        size_t lengths[256];
        cr_assert_eq(result, REQUEST_READY, "'%s' was refused: %s", line, request_error_text(parser.error));
        for (int i = 0; i < count && i < 256; i++)
            lengths[i] = sdslen(expected[i]);
        expect_arguments(&parser, bytes, count, (const char **)expected, lengths);
        cr_assert_eq(parser.scanned, length + 2);
    }
    if (expected)
        sdsfreesplitres(expected, count);
    request_free(&parser);
    free(bytes);
}

Test(request, inline_commands_by_the_rules_of_redis) {
    static const char *const lines[] = {
        "PING",
        "  set a  b ",
        "a \"b c\" d",
        "a 'b c' d",
        "\"\\x41\\x4g\\n\\r\\t\\b\\a\\q\\\\\"",
        "'it\\'s'",
        "'a\\nb'",
        "\"open",
        "'open",
        "\"a\"b",
        "'a'b",
        "a\"b c\"",
        "a'b'",
        "\"\"",
        "''",
        "\"\" ''",
        "a\tb\vc\fd",
        "\"\\",
        "\"\\x",
        "\"\\\"",
        "\"a\"\tb",
        "\\x41",
        "a\\",
        "'\\",
        "",
        " ",
        "\"\\xff\\xFF\\x00z\"",
    };
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        compare_inline(lines[i]);
}

Test(request, inline_commands_at_random) {
    uint64_t seed = harness_begin("gateway_test_request");
    for (unsigned round = 0; round < harness_rounds(20000); round++) {
        char line[40];
        size_t length = harness_below(&seed, sizeof line);
        for (size_t i = 0; i < length; i++)
            line[i] = "ab \t\"'\\xn4F\v"[harness_below(&seed, 12)];
        line[length] = 0;
        if (line[0] != '*')
            compare_inline(line);
    }
}

Test(request, an_inline_command_at_every_cut) {
    static const char line[] = "HF.RESERVE \"basket 1\" 60000 'app\\'le' 2\n";
    static const char *const expected[] = {"HF.RESERVE", "basket 1", "60000", "app'le", "2"};
    size_t lengths[5];
    for (int i = 0; i < 5; i++)
        lengths[i] = strlen(expected[i]);
    for (size_t cut = 0; cut < sizeof line - 1; cut++) {
        request_parser parser;
        uint8_t *first = exact(line, cut), *whole = exact(line, sizeof line - 1);
        request_init(&parser);
        cr_assert_eq(request_parse(&parser, &wide, first, cut), REQUEST_MORE);
        cr_assert_eq(request_parse(&parser, &wide, whole, sizeof line - 1), REQUEST_READY);
        expect_arguments(&parser, whole, 5, (const char **)(uintptr_t)expected, lengths);
        free(first);
        free(whole);
        request_free(&parser);
    }
}

/* ---- limits, and what is none ------------------------------------------------------------------------------------ */

static const request_limits narrow = {.arguments = 4, .argument_bytes = 8, .inline_bytes = 32, .request_bytes = 48};

Test(request, each_limit_has_its_error) {
    static const struct {
        const char *bytes;
        request_error error;
    } cases[] = {
        {"*5\r\n", REQUEST_ERROR_TOO_MANY_ARGUMENTS},
        {"*99999999999\r\n", REQUEST_ERROR_BAD_COUNT},
        {"*4294967297\r\n", REQUEST_ERROR_TOO_MANY_ARGUMENTS},
        {"*x\r\n", REQUEST_ERROR_BAD_COUNT},
        {"*\r\n", REQUEST_ERROR_BAD_COUNT},
        {"*1\n", REQUEST_ERROR_BAD_COUNT},
        {"*1\rx", REQUEST_ERROR_BAD_COUNT},
        {"*1 \r\n", REQUEST_ERROR_BAD_COUNT},
        {"*1\r\n:1\r\n", REQUEST_ERROR_NO_ARGUMENT},
        {"*1\r\n$-1\r\n", REQUEST_ERROR_BAD_LENGTH},
        {"*1\r\n$9x\r\n", REQUEST_ERROR_BAD_LENGTH},
        {"*1\r\n$9\r\n", REQUEST_ERROR_ARGUMENT_TOO_LONG},
        {"*1\r\n$4294967300\r\n", REQUEST_ERROR_ARGUMENT_TOO_LONG},
        {"*1\r\n$1\r\nabc", REQUEST_ERROR_NO_LINE_END},
        {"*1\r\n$1\r\na\rb", REQUEST_ERROR_NO_LINE_END},
        {"*4\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n$8\r\n", REQUEST_ERROR_REQUEST_TOO_LONG},
        {"a b c d e\r\n", REQUEST_ERROR_TOO_MANY_ARGUMENTS},
        {"123456789\r\n", REQUEST_ERROR_ARGUMENT_TOO_LONG},
        {"aaaa bbbb cccc dddd aaaa bbbb cc", REQUEST_ERROR_INLINE_TOO_LONG},
        {"'a\r\n", REQUEST_ERROR_UNBALANCED_QUOTES},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = strlen(cases[i].bytes);
        for (size_t cut = 0; cut <= length; cut++) { /* the same error, however it is cut */
            request_parser parser;
            uint8_t *bytes = exact(cases[i].bytes, length);
            request_init(&parser);
            request_result result = request_parse(&parser, &narrow, bytes, cut);
            if (result == REQUEST_MORE)
                result = request_parse(&parser, &narrow, bytes, length);
            cr_expect_eq(result, REQUEST_BAD, "case %u is taken", i);
            cr_expect_eq(parser.error, cases[i].error, "case %u, cut at %zu: %s", i, cut,
                         request_error_text(parser.error));
            request_free(&parser);
            free(bytes);
        }
    }
}

/* Whatever stands in a digit's place, with as many bytes behind it as its code would make, should it pass for one. */
Test(request, a_length_has_digits_only) {
    static const char *const before[] = {"*1\r\n$", "*1\r\n$1", "*2\r\n$1\r\na\r\n$"};
    for (unsigned i = 0; i < sizeof before / sizeof before[0]; i++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t bytes[512];
            unsigned digit = (uint8_t)(byte - '0'), size = digit + (i == 1 ? 10 : 0);
            size_t at = strlen(before[i]);
            if (digit <= 9 || byte == '-' || byte == '\r')
                continue;
            memcpy(bytes, before[i], at);
            bytes[at++] = (uint8_t)byte;
            memcpy(bytes + at, "\r\n", 2);
            memset(bytes + at + 2, 'x', size);
            memcpy(bytes + at + 2 + size, "\r\n", 2);
            request_parser parser;
            request_init(&parser);
            cr_expect_eq(request_parse(&parser, &wide, bytes, at + 4 + size), REQUEST_BAD, "byte %u is a digit", byte);
            cr_expect_eq(parser.error, REQUEST_ERROR_BAD_LENGTH, "byte %u: %s", byte, request_error_text(parser.error));
            request_free(&parser);
        }
    }
}

Test(request, what_is_announced_is_not_allocated) {
    request_parser parser;
    uint8_t bytes[] = "*9999\r\n";
    request_init(&parser);
    cr_assert_eq(request_parse(&parser, &wide, bytes, sizeof bytes - 1), REQUEST_MORE);
    cr_expect_eq(parser.capacity, (uint32_t)REQUEST_OWN_ARGUMENTS);
    request_free(&parser);
}

Test(request, as_many_arguments_as_the_largest_order) {
    enum { ARGUMENTS = 2 * 4096 + 5 };
    request_parser parser;
    char *bytes = malloc(ARGUMENTS * 16);
    size_t length = (size_t)sprintf(bytes, "*%d\r\n", ARGUMENTS);
    for (int i = 0; i < ARGUMENTS; i++)
        length += (size_t)sprintf(bytes + length, "$4\r\n%04d\r\n", i);
    request_init(&parser);
    for (size_t end = 0; end < length; end += 1000)
        cr_assert_eq(request_parse(&parser, &wide, (uint8_t *)bytes, end), REQUEST_MORE);
    cr_assert_eq(request_parse(&parser, &wide, (uint8_t *)bytes, length), REQUEST_READY);
    cr_assert_eq(parser.count, (uint32_t)ARGUMENTS);
    cr_expect_eq(memcmp(bytes + parser.arguments[ARGUMENTS - 1].offset, "8196", 4), 0);
    request_next(&parser);
    cr_expect_eq(parser.capacity, (uint32_t)REQUEST_OWN_ARGUMENTS, "its array is given back");
    request_free(&parser);
    free(bytes);
}
