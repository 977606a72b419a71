/* The request parser under a fuzzer. The first byte chooses the limits, the second how the rest is cut into pieces.
 *
 * What must hold for any bytes: however they are cut, the same requests with the same arguments come out, and the same
 * error in the same place; nothing is looked at beyond what was given (AddressSanitizer); what is awaited is more than
 * what is there. Built with clang's libFuzzer, or (-DREPLAY) as a program that runs the files it is given. */
#include "tools/serve/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const request_limits choices[] = {
    {.arguments = 8, .argument_bytes = 64, .inline_bytes = 128, .request_bytes = 512},
    {.arguments = 10000, .argument_bytes = 1 << 16, .inline_bytes = 1 << 16, .request_bytes = 1 << 20},
};

static void demand(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* What came out of a stream: a digest of every argument, in order, and how it ended. */
typedef struct outcome {
    uint64_t digest;
    size_t requests, consumed;
    request_error error;
} outcome;

static void mix(outcome *out, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        out->digest = (out->digest ^ bytes[i]) * UINT64_C(0x100000001B3);
    out->digest = (out->digest ^ length) * UINT64_C(0x9E3779B97F4A7C15);
}

static void take(outcome *out, const request_parser *parser, const uint8_t *request) {
    for (uint32_t i = 0; i < parser->count; i++) {
        const request_argument *argument = &parser->arguments[i];
        demand((size_t)argument->offset + argument->length <= parser->scanned, "an argument beyond its request");
        mix(out, request + argument->offset, argument->length);
    }
    mix(out, (const uint8_t *)&parser->count, sizeof parser->count);
    out->requests++;
    out->consumed += parser->scanned;
}

/* Feeds bytes[0..length) in pieces of `piece` bytes, each time in memory of just that size. */
static outcome run(const request_limits *limits, const uint8_t *bytes, size_t length, size_t piece) {
    outcome out = {0};
    request_parser parser;
    request_init(&parser);
    uint8_t *held = NULL; /* what is not consumed yet */
    size_t held_length = 0;
    for (size_t fed = 0; fed < length && !out.error;) {
        size_t more = length - fed < piece ? length - fed : piece;
        uint8_t *larger = malloc(held_length + more);
        if (held_length)
            memcpy(larger, held, held_length);
        memcpy(larger + held_length, bytes + fed, more);
        free(held);
        held = larger;
        held_length += more;
        fed += more;
        size_t at = 0;
        request_result result;
        while ((result = request_parse(&parser, limits, held + at, held_length - at)) == REQUEST_READY) {
            demand(parser.scanned > 0 && parser.scanned <= held_length - at, "a request longer than what was given");
            take(&out, &parser, held + at);
            at += parser.scanned;
            request_next(&parser);
            if (at == held_length)
                break;
        }
        if (result == REQUEST_BAD)
            out.error = parser.error;
        if (result == REQUEST_MORE)
            demand(parser.awaited > held_length - at, "it awaits no more than there is");
        held_length -= at;
        memmove(held, held + at, held_length);
    }
    free(held);
    request_free(&parser);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    const request_limits *limits = &choices[data[0] & 1];
    size_t piece = 1 + data[1] % 37;
    outcome whole = run(limits, data + 2, size - 2, size), cut = run(limits, data + 2, size - 2, piece),
            single = run(limits, data + 2, size - 2, 1);
    demand(whole.digest == cut.digest && whole.requests == cut.requests && whole.error == cut.error &&
               whole.consumed == cut.consumed,
           "cut in pieces something else comes out");
    demand(whole.digest == single.digest && whole.requests == single.requests && whole.error == single.error,
           "byte by byte something else comes out");
    return 0;
}

#ifdef REPLAY
int main(int argc, char **argv) {
    static uint8_t bytes[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            perror(argv[i]);
            return 1;
        }
        LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, file));
        fclose(file);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
#endif
