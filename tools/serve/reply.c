/* The reply writer. The contract is in reply.h. */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                  "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                  "8081828384858687888990919293949596979899";

size_t reply_digits(uint8_t *to, uint64_t number) {
    uint8_t text[20];
    size_t at = sizeof text;
    while (number >= 100) {
        uint64_t rest = number / 100;
        at -= 2;
        memcpy(text + at, digit_pairs + 2 * (number - rest * 100), 2);
        number = rest;
    }
    if (number >= 10) {
        at -= 2;
        memcpy(text + at, digit_pairs + 2 * number, 2);
    } else {
        text[--at] = (uint8_t)('0' + number);
    }
    memcpy(to, text + at, sizeof text - at);
    return sizeof text - at;
}

void reply_raw(reply_writer *writer, const void *bytes, size_t length) {
    uint8_t *room = output_room(writer->out, length);
    if (!room || length == 0)
        return;
    memcpy(room, bytes, length);
    output_add(writer->out, length);
}

/* `type`, the digits of `number` and a line end. */
static void put_header(reply_writer *writer, char type, uint64_t number) {
    uint8_t line[24] = {(uint8_t)type};
    size_t length = 1 + reply_digits(line + 1, number);
    line[length++] = '\r';
    line[length++] = '\n';
    reply_raw(writer, line, length);
}

static void put_line(reply_writer *writer, char type, const char *text, size_t length) {
    uint8_t *room = output_room(writer->out, length + 3);
    if (!room)
        return;
    room[0] = (uint8_t)type;
    for (size_t i = 0; i < length; i++)
        room[1 + i] = (uint8_t)(text[i] == '\r' || text[i] == '\n' ? ' ' : text[i]);
    memcpy(room + 1 + length, "\r\n", 2);
    output_add(writer->out, length + 3);
}

void reply_simple(reply_writer *writer, const char *text) { put_line(writer, '+', text, strlen(text)); }

void reply_error(reply_writer *writer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t most = sizeof text - 1;
    put_line(writer, '-', text, length < 0 ? 0 : (size_t)length < most ? (size_t)length : most);
}

void reply_integer(reply_writer *writer, int64_t number) {
    uint8_t line[24] = {':'};
    size_t length = 1;
    if (number < 0)
        line[length++] = '-';
    length += reply_digits(line + length, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
    line[length++] = '\r';
    line[length++] = '\n';
    reply_raw(writer, line, length);
}

void reply_bulk(reply_writer *writer, const void *bytes, size_t length) {
    uint8_t *room = output_room(writer->out, length + 26);
    if (!room)
        return;
    uint8_t *to = room;
    *to++ = '$';
    to += reply_digits(to, length);
    to = REPLY_PUT(to, "\r\n");
    if (length)
        to = reply_put(to, bytes, length);
    to = REPLY_PUT(to, "\r\n");
    output_add(writer->out, (size_t)(to - room));
}

void reply_text(reply_writer *writer, const char *text) { reply_bulk(writer, text, strlen(text)); }

void reply_unsigned(reply_writer *writer, uint64_t number) {
    uint8_t digits[20];
    reply_bulk(writer, digits, reply_digits(digits, number));
}

void reply_verbatim(reply_writer *writer, const char *text, size_t length) {
    if (writer->protocol < 3) {
        reply_bulk(writer, text, length);
        return;
    }
    put_header(writer, '=', length + 4);
    reply_raw(writer, "txt:", 4);
    reply_raw(writer, text, length);
    reply_raw(writer, "\r\n", 2);
}

void reply_null(reply_writer *writer) {
    if (writer->protocol < 3)
        reply_raw(writer, "$-1\r\n", 5);
    else
        reply_raw(writer, "_\r\n", 3);
}

void reply_null_array(reply_writer *writer) {
    if (writer->protocol < 3)
        reply_raw(writer, "*-1\r\n", 5);
    else
        reply_raw(writer, "_\r\n", 3);
}

void reply_array(reply_writer *writer, size_t count) { put_header(writer, '*', count); }

void reply_map(reply_writer *writer, size_t pairs) {
    if (writer->protocol < 3)
        put_header(writer, '*', pairs * 2);
    else
        put_header(writer, '%', pairs);
}

void reply_set(reply_writer *writer, size_t count) { put_header(writer, writer->protocol < 3 ? '*' : '~', count); }

void reply_push(reply_writer *writer, size_t count) { put_header(writer, writer->protocol < 3 ? '*' : '>', count); }
