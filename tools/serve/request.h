/* The request parser: RESP arrays of bulk strings, and inline commands, out of bytes that come in pieces.
 *
 * Guarantees
 *   A  Zero copy: an argument is an offset and a length into the caller's bytes. (Only an inline command with quotes
 *      is rewritten, where it lies.)
 *   B  Incremental: however the bytes are cut, the requests are the same; no byte is looked at twice but for at most
 *      one unfinished line.
 *   C  Bounded: nothing is believed before it is compared with a limit; each limit has its own error, and an error is
 *      found as soon as the bytes that make it one are there. Memory: 8 bytes for each announced argument that has
 *      come.
 *   D  It never reads beyond `length`.
 *
 *     *3\r\n $8\r\n HF.STOCK\r\n $5\r\n apple\r\n ...          apple 5 "with spaces"\r\n
 *     |      |      |                                          an inline command: any first byte but '*'
 *     |      |      arguments[0] = {offset, 8}
 *     |      length of the argument that is awaited
 *     arguments that are awaited
 */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct request_argument {
    uint32_t offset; /* from the request's first byte */
    uint32_t length;
} request_argument;

typedef struct request_limits {
    uint32_t arguments;      /* of one request */
    uint32_t argument_bytes; /* one argument */
    uint32_t inline_bytes;   /* an inline command with its line end */
    uint32_t request_bytes;  /* a whole request */
} request_limits;

/* X(name, sentence): what a client is told, after "ERR Protocol error: ", before its connection is closed. */
#define REQUEST_ERROR_MAP(X)                                                                                           \
    X(BAD_COUNT, "the number of arguments is no number of at most 10 digits and a line end")                           \
    X(TOO_MANY_ARGUMENTS, "more arguments than max-arguments, or than may come before a login")                        \
    X(NO_ARGUMENT, "expected '$' at the start of an argument")                                                         \
    X(BAD_LENGTH, "the length of an argument is no number of at most 10 digits and a line end")                        \
    X(ARGUMENT_TOO_LONG, "an argument longer than max-argument-bytes, or than may come before a login")                \
    X(NO_LINE_END, "expected a line end after an argument")                                                            \
    X(INLINE_TOO_LONG, "an inline command longer than max-inline-bytes")                                               \
    X(UNBALANCED_QUOTES, "unbalanced quotes in an inline command")                                                     \
    X(REQUEST_TOO_LONG, "a request longer than max-request-bytes, or than may come before a login")                    \
    X(NO_MEMORY, "no memory for the arguments of a request")

#define X(name, sentence) REQUEST_ERROR_##name,
typedef enum request_error { REQUEST_NO_ERROR, REQUEST_ERROR_MAP(X) REQUEST_ERRORS } request_error;
#undef X
const char *request_error_text(request_error error);

typedef enum request_result { REQUEST_READY, REQUEST_MORE, REQUEST_BAD } request_result;

enum { REQUEST_OWN_ARGUMENTS = 16 };

typedef struct request_parser {
    request_argument *arguments; /* own_arguments, or a larger array of its own */
    uint32_t count;              /* of them, known so far; all of the request's once it is READY */
    uint32_t capacity;
    uint32_t expected; /* arguments announced; 0: not known yet */
    uint32_t scanned;  /* bytes that need not be looked at again; READY: the request's length */
    uint32_t awaited;  /* bytes the request is known to have at least */
    bool in_argument;  /* the argument's length is known, its bytes have not all come */
    request_error error;
    request_argument own_arguments[REQUEST_OWN_ARGUMENTS];
} request_parser;

void request_init(request_parser *parser);
void request_free(request_parser *parser);

/* `bytes` begins with the request's first byte: the same ones as in the call before, perhaps elsewhere, and more of
 * them. READY: arguments[0..count) and scanned; count is 0 for an empty request, which is not answered. MORE:  the
 * request goes on behind `length`; call again with more of it (awaited says how much there will be at least). BAD:
 * error says why. The connection cannot go on: nobody knows where the next request begins. */
request_result request_parse(request_parser *parser, const request_limits *limits, uint8_t *bytes, size_t length);

/* Forgets the request: the next call of request_parse begins a new one, or the same one anew. */
void request_next(request_parser *parser);

#endif
