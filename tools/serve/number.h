/* Numbers, ids and users out of a request's bytes. */
#ifndef SERVE_NUMBER_H
#define SERVE_NUMBER_H

#include "command.h"

#include <holdfast/holdfast.h>

enum { ID_BYTES = 64, USER_BYTES = 255 };

/* A whole decimal number from `least` to `most`. */
bool number_read(hf_text digits, uint64_t least, uint64_t most, uint64_t *number);
/* The same with a sign. */
bool number_read_signed(hf_text digits, int64_t least, int64_t most, int64_t *number);
/* 1 to ID_BYTES bytes. */
bool id_read(hf_text bytes, hf_id *id);
/* What is kept of a user: itself if it is decimal digits below 2^64, else the first 8 bytes of its id
 * (docs/OPERATIONS.md). */
uint64_t user_number(hf_text user);

#endif
