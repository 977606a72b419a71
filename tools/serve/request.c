/* The request parser. The contract is in request.h. */
#include "request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_DIGITS = 10 }; /* of a count or a length, sign not counted */
enum { PLAIN_BYTES = 6 };    /* of the shortest argument: "$0", two line ends */

const char *request_error_text(request_error error) {
    switch (error) {
#define X(name, sentence)                                                                                              \
    case REQUEST_ERROR_##name:                                                                                         \
        return sentence;
        REQUEST_ERROR_MAP(X)
#undef X
    default:
        return "no error";
    }
}

void request_init(request_parser *parser) {
    *parser = (request_parser){.capacity = REQUEST_OWN_ARGUMENTS};
    parser->arguments = parser->own_arguments;
}

void request_free(request_parser *parser) {
    if (parser->arguments != parser->own_arguments)
        free(parser->arguments);
    parser->arguments = parser->own_arguments;
    parser->capacity = REQUEST_OWN_ARGUMENTS;
}

void request_next(request_parser *parser) {
    if (parser->arguments != parser->own_arguments)
        request_free(parser);
    parser->count = parser->expected = parser->scanned = parser->awaited = 0;
    parser->in_argument = false;
    parser->error = REQUEST_NO_ERROR;
}

static request_result bad(request_parser *parser, request_error error) {
    parser->error = error;
    return REQUEST_BAD;
}

static bool add_argument(request_parser *parser, uint32_t offset, uint32_t length) {
    if (parser->count == parser->capacity) {
        uint32_t capacity = parser->capacity * 4;
        bool own = parser->arguments == parser->own_arguments;
        request_argument *larger = realloc(own ? NULL : parser->arguments, capacity * sizeof *larger);
        if (!larger)
            return false;
        if (own)
            memcpy(larger, parser->own_arguments, sizeof parser->own_arguments);
        parser->arguments = larger;
        parser->capacity = capacity;
    }
    parser->arguments[parser->count++] = (request_argument){offset, length};
    return true;
}

/* ---- inline commands, by the quoting rules of Redis -------------------------------------------------------------- */

static bool is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r') || byte == 0; }
static bool ends_word(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == 0; }

static int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The byte that an escape in double quotes stands for; *at is moved behind it. */
static uint8_t unescape(const uint8_t *line, size_t length, size_t *at) {
    uint8_t letter = line[*at];
    if (letter == 'x' && *at + 2 < length && hex_digit(line[*at + 1]) >= 0 && hex_digit(line[*at + 2]) >= 0) {
        uint8_t byte = (uint8_t)(hex_digit(line[*at + 1]) << 4 | hex_digit(line[*at + 2]));
        *at += 3;
        return byte;
    }
    *at += 1;
    switch (letter) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return letter;
    }
}

/* A quoted part, its opening quote at *at, written to line[*to...]. False: it does not end, or something other than a
 * blank follows it. */
static bool read_quoted(uint8_t *line, size_t length, size_t *at, size_t *to) {
    uint8_t quote = line[(*at)++];
    while (*at < length && line[*at] != quote) {
        if (quote == '"' && line[*at] == '\\' && *at + 1 < length) {
            ++*at;
            line[(*to)++] = unescape(line, length, at);
        } else if (quote == '\'' && line[*at] == '\\' && *at + 1 < length && line[*at + 1] == '\'') {
            line[(*to)++] = '\'';
            *at += 2;
        } else {
            line[(*to)++] = line[(*at)++];
        }
    }
    if (*at >= length)
        return false;
    ++*at;
    return *at >= length || is_blank(line[*at]);
}

/* Splits line[0..length); what a quoted argument becomes is never longer than it was. */
static request_result split_inline(request_parser *parser, const request_limits *limits, uint8_t *line, size_t length) {
    size_t at = 0;
    for (;;) {
        while (at < length && is_blank(line[at]))
            at++;
        if (at >= length)
            return REQUEST_READY;
        size_t from = at, to = at;
        bool ended = false; /* a closing quote ends a word */
        while (!ended && at < length && !ends_word(line[at])) {
            ended = line[at] == '"' || line[at] == '\'';
            if (!ended)
                line[to++] = line[at++];
            else if (!read_quoted(line, length, &at, &to))
                return bad(parser, REQUEST_ERROR_UNBALANCED_QUOTES);
        }
        if (parser->count == limits->arguments)
            return bad(parser, REQUEST_ERROR_TOO_MANY_ARGUMENTS);
        if (to - from > limits->argument_bytes)
            return bad(parser, REQUEST_ERROR_ARGUMENT_TOO_LONG);
        if (!add_argument(parser, (uint32_t)from, (uint32_t)(to - from)))
            return bad(parser, REQUEST_ERROR_NO_MEMORY);
    }
}

static request_result parse_inline(request_parser *parser, const request_limits *limits, uint8_t *bytes,
                                   size_t length) {
    size_t room = length < limits->inline_bytes ? length : limits->inline_bytes;
    size_t from = parser->scanned < room ? parser->scanned : room;
    uint8_t *end = room > from ? memchr(bytes + from, '\n', room - from) : NULL;
    if (!end) {
        if (length >= limits->inline_bytes)
            return bad(parser, REQUEST_ERROR_INLINE_TOO_LONG);
        parser->scanned = (uint32_t)room;
        parser->awaited = (uint32_t)room + 1;
        return REQUEST_MORE;
    }
    size_t line = (size_t)(end - bytes);
    parser->scanned = (uint32_t)line + 1;
    if (line > 0 && bytes[line - 1] == '\r')
        line--;
    return split_inline(parser, limits, bytes, line);
}

/* ---- arrays of bulk strings -------------------------------------------------------------------------------------- */

/* A number and its line end at bytes[parser->scanned + 1...], behind '*' or '$'. READY: *number, and scanned is behind
 * the line; MORE; or BAD: it is none. A number below 0 is given as -1. */
static request_result read_number(request_parser *parser, const uint8_t *bytes, size_t length, int64_t *number) {
    const uint8_t *at = bytes + parser->scanned + 1, *end = bytes + length;
    bool negative = at < end && *at == '-';
    at += negative;
    int64_t value = 0;
    const uint8_t *digits = at;
    while (at < end && *at >= '0' && *at <= '9' && at - digits < NUMBER_DIGITS)
        value = value * 10 + (*at++ - '0');
    if (at < end && (at == digits || *at != '\r'))
        return REQUEST_BAD;
    if (at + 1 < end && at[1] != '\n')
        return REQUEST_BAD;
    if (at + 1 >= end) {
        parser->awaited = (uint32_t)(length + (at < end ? 1 : 2));
        return REQUEST_MORE;
    }
    *number = negative ? -1 : value;
    parser->scanned = (uint32_t)(at + 2 - bytes);
    return REQUEST_READY;
}

/* The line "*N". A count of 0 or below is an empty request, as in Redis. */
static request_result read_count(request_parser *parser, const request_limits *limits, const uint8_t *bytes,
                                 size_t length) {
    int64_t count;
    request_result result = read_number(parser, bytes, length, &count);
    if (result == REQUEST_BAD)
        return bad(parser, REQUEST_ERROR_BAD_COUNT);
    if (result == REQUEST_MORE)
        return REQUEST_MORE;
    if (count > (int64_t)limits->arguments)
        return bad(parser, REQUEST_ERROR_TOO_MANY_ARGUMENTS);
    parser->expected = count > 0 ? (uint32_t)count : 0;
    return REQUEST_READY;
}

/* The line "$N" of the next argument, whose place is then known. */
static request_result read_length(request_parser *parser, const request_limits *limits, const uint8_t *bytes,
                                  size_t length) {
    if (parser->scanned >= length) {
        parser->awaited = parser->scanned + 4;
        return REQUEST_MORE;
    }
    if (bytes[parser->scanned] != '$')
        return bad(parser, REQUEST_ERROR_NO_ARGUMENT);
    int64_t argument;
    request_result result = read_number(parser, bytes, length, &argument);
    if (result == REQUEST_BAD || (result == REQUEST_READY && argument < 0))
        return bad(parser, REQUEST_ERROR_BAD_LENGTH);
    if (result == REQUEST_MORE)
        return REQUEST_MORE;
    if (argument > (int64_t)limits->argument_bytes)
        return bad(parser, REQUEST_ERROR_ARGUMENT_TOO_LONG);
    if ((uint64_t)parser->scanned + (uint64_t)argument + 2 > limits->request_bytes)
        return bad(parser, REQUEST_ERROR_REQUEST_TOO_LONG);
    if (!add_argument(parser, parser->scanned, (uint32_t)argument))
        return bad(parser, REQUEST_ERROR_NO_MEMORY);
    parser->in_argument = true;
    return REQUEST_READY;
}

/* The bytes of the argument added last, and the line end behind them. */
static request_result read_argument(request_parser *parser, const uint8_t *bytes, size_t length) {
    const request_argument *argument = &parser->arguments[parser->count - 1];
    size_t end = (size_t)argument->offset + argument->length;
    if ((end < length && bytes[end] != '\r') || (end + 1 < length && bytes[end + 1] != '\n'))
        return bad(parser, REQUEST_ERROR_NO_LINE_END);
    if (end + 2 > length) {
        parser->awaited = (uint32_t)end + 2;
        return REQUEST_MORE;
    }
    parser->scanned = (uint32_t)end + 2;
    parser->in_argument = false;
    return REQUEST_READY;
}

static unsigned digit_of(uint8_t byte) { return byte - (unsigned)'0'; } /* above 9: it is none */

/* Takes the next arguments as far as they are what they mostly are: whole, of one or two digits' length, within every
 * limit, and with a place kept for them. At whatever is not, it stops, and the functions above say what it is. */
static void take_plain_arguments(request_parser *parser, const request_limits *limits, const uint8_t *bytes,
                                 size_t length) {
    size_t at = parser->scanned;
    size_t most = length < limits->request_bytes ? length : limits->request_bytes;
    uint32_t count = parser->count, room = parser->expected < parser->capacity ? parser->expected : parser->capacity;
    while (count < room && at + PLAIN_BYTES <= most && bytes[at] == '$') {
        unsigned size = digit_of(bytes[at + 1]), second = digit_of(bytes[at + 2]);
        if (size > 9)
            break;
        size = second <= 9 ? size * 10 + second : size;
        size_t line = at + 2 + (second <= 9), from = line + 2, end = from + size;
        if (size > limits->argument_bytes || end + 2 > most || bytes[line] != '\r' || bytes[line + 1] != '\n' ||
            bytes[end] != '\r' || bytes[end + 1] != '\n')
            break;
        parser->arguments[count++] = (request_argument){(uint32_t)from, size};
        at = end + 2;
    }
    parser->count = count;
    parser->scanned = (uint32_t)at;
}

static request_result parse_array(request_parser *parser, const request_limits *limits, const uint8_t *bytes,
                                  size_t length) {
    request_result result = REQUEST_READY;
    if (parser->scanned == 0) {
        result = read_count(parser, limits, bytes, length);
        if (result != REQUEST_READY)
            return result;
    }
    if (!parser->in_argument)
        take_plain_arguments(parser, limits, bytes, length);
    while (result == REQUEST_READY && (parser->count < parser->expected || parser->in_argument))
        result =
            parser->in_argument ? read_argument(parser, bytes, length) : read_length(parser, limits, bytes, length);
    return result;
}

request_result request_parse(request_parser *parser, const request_limits *limits, uint8_t *bytes, size_t length) {
    assert(limits->request_bytes < UINT32_MAX / 2 && parser->error == REQUEST_NO_ERROR);
    if (length == 0) {
        parser->awaited = 1;
        return REQUEST_MORE;
    }
    request_result result =
        bytes[0] == '*' ? parse_array(parser, limits, bytes, length) : parse_inline(parser, limits, bytes, length);
    if (result == REQUEST_MORE && length >= limits->request_bytes)
        return bad(parser, REQUEST_ERROR_REQUEST_TOO_LONG);
    return result;
}
