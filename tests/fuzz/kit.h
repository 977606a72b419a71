/* What the fuzz targets share: the input as a stream of small numbers, and a demand that ends the program. */
#ifndef FUZZ_KIT_H
#define FUZZ_KIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEMAND(condition, ...)                                                                                         \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fputc('\n', stderr);                                                                                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Behind its end there are zeros. */
typedef struct fuzz_input {
    const uint8_t *at, *end;
} fuzz_input;

static inline size_t fuzz_left(const fuzz_input *input) { return (size_t)(input->end - input->at); }

/* `bytes` of it, little-endian. */
static inline uint64_t fuzz_number(fuzz_input *input, unsigned bytes) {
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes && input->at < input->end; i++)
        number |= (uint64_t)*input->at++ << 8 * i;
    return number;
}

/* Up to `most` bytes; how many there are goes to *length. */
static inline const uint8_t *fuzz_bytes(fuzz_input *input, size_t most, size_t *length) {
    const uint8_t *at = input->at;
    *length = fuzz_left(input) < most ? fuzz_left(input) : most;
    input->at += *length;
    return at;
}

#endif
