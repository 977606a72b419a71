/* Numbers of the log and of checkpoints as bytes: LEB128, seven bits a byte, the low ones first; signed ones zigzag.
 *
 * Guarantees
 *   A  A reader is bounded by `end` at every byte, and takes nothing that is no number of 64 bits: at most ten bytes, of which the
 *      tenth is 0 or 1. Otherwise *good is cleared, 0 answered, and *at left where it was.
 */
#ifndef HF_NUMBER_H
#define HF_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#define HF_NUMBER_MAX 10u /* bytes */

/* Has room for HF_NUMBER_MAX bytes; returns the number's end. */
static inline uint8_t *hf_put_number(uint8_t *at, uint64_t number) {
    while (number >= 0x80) {
        *at++ = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    *at++ = (uint8_t)number;
    return at;
}

static inline uint8_t *hf_put_signed(uint8_t *at, int64_t number) {
    return hf_put_number(at, (uint64_t)number << 1 ^ (uint64_t)(number >> 63));
}

static inline uint64_t hf_get_number(const uint8_t **at, const uint8_t *end, bool *good) {
    uint64_t number = 0;
    const uint8_t *p = *at;
    for (unsigned shift = 0; p < end; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1) { /* the tenth is the last in any case: what is no more than 1 ends the number */
            break;
        }
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *at = p;
            return number;
        }
    }
    *good = false;
    return 0;
}

static inline int64_t hf_get_signed(const uint8_t **at, const uint8_t *end, bool *good) {
    uint64_t number = hf_get_number(at, end, good);
    return (int64_t)(number >> 1 ^ (0 - (number & 1)));
}

#endif
