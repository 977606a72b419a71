/* The reply writer: RESP2 and RESP3 into a connection's output.
 *
 * Guarantees
 *   A  What RESP2 lacks is written as RESP2 clients know it: a map as an array of twice the length, a push as an
 *      array, a null as a null bulk string, a text as a bulk string.
 *   B  Text in errors and simple strings never breaks the frame: line ends in it become blanks.
 *   C  Where the output is full nothing of a piece is written, and output->overflowed is set: the connection is
 *      closed.
 */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "output.h"

#include <string.h>

typedef struct reply_writer {
    hf_output *out;
    int protocol; /* 2 or 3 */
} reply_writer;

void reply_raw(reply_writer *writer, const void *bytes, size_t length);
void reply_simple(reply_writer *writer, const char *text);
/* "-TEXT". The text begins with the error's prefix. */
void reply_error(reply_writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(reply_writer *writer, int64_t number);
void reply_bulk(reply_writer *writer, const void *bytes, size_t length);
void reply_text(reply_writer *writer, const char *text); /* a bulk string of a C string */
void reply_verbatim(reply_writer *writer, const char *text, size_t length);
void reply_null(reply_writer *writer);
void reply_null_array(reply_writer *writer);
void reply_array(reply_writer *writer, size_t count);
void reply_map(reply_writer *writer, size_t pairs);
void reply_set(reply_writer *writer, size_t count);
void reply_push(reply_writer *writer, size_t count);
/* A number without a sign that may not fit an integer: as a bulk string of its digits. */
void reply_unsigned(reply_writer *writer, uint64_t number);

/* Writes the digits of `number`, at most 20, and returns how many. */
size_t reply_digits(uint8_t *to, uint64_t number);

/* Pieces of a reply that is written in one go, into room that was made for all of it. */
static inline uint8_t *reply_put(uint8_t *to, const void *bytes, size_t length) {
    memcpy(to, bytes, length);
    return to + length;
}
#define REPLY_PUT(to, literal) reply_put((to), (literal), sizeof(literal) - 1)
static inline uint8_t *reply_put_integer(uint8_t *to, uint64_t number) {
    *to++ = ':';
    to += reply_digits(to, number);
    return REPLY_PUT(to, "\r\n");
}

#endif
