/* A picture of counters over time, as SVG that needs nothing beside it.
 *
 * Guarantees
 *   A  Memory is fixed: time is divided into slices, which widen as it goes on; a slice keeps each counter's least,
 *      greatest and last value. Where no slice holds more than one step, the lines are exact.
 *   B  Every value that a counter had is under ink.
 */
#ifndef HF_PICTURE_H
#define HF_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HF_PICTURE_SLICES 2048u
#define HF_PICTURE_SERIES 3u

typedef struct hf_slice {
    bool is_used;
    uint64_t first_ms;
    int64_t least[HF_PICTURE_SERIES], greatest[HF_PICTURE_SERIES], last[HF_PICTURE_SERIES];
} hf_slice;

typedef struct hf_picture {
    bool has_begun;
    uint64_t from_ms, to_ms, width_ms; /* of a slice */
    uint64_t steps;
    hf_slice slices[HF_PICTURE_SLICES];
} hf_picture;

void hf_picture_begin(hf_picture *picture);
/* The values from `time_ms` on: on_hand, reserved, available. Times go up; one that does not counts as the one before.
 */
void hf_picture_add(hf_picture *picture, uint64_t time_ms, const int64_t values[HF_PICTURE_SERIES]);
/* Draws it; whether `out` took it all is the caller's to check. */
void hf_picture_write(const hf_picture *picture, const void *name, size_t length, FILE *out);

#endif
