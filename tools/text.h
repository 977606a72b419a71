/* Ids, names, times and numbers as text: what the commands that read a log print, and take back on their command line.
 *
 * Guarantees
 *   A  What is printed for an id or a name is what --id and --sku take.
 *   B  A line printed is one line: control characters and backslashes of names and ids are shown as \xNN, in JSON as
 *      JSON does.
 */
#ifndef HF_TEXT_H
#define HF_TEXT_H

#include <holdfast/holdfast.h>

#include <stdio.h>

/* ---- from the command line --------------------------------------------------------------------------------------- */

/* \xNN (two lower-case hexadecimal digits) becomes that byte; all else stays. `bytes` has room for strlen(text).
 * Returns how many there are. */
size_t hf_read_shown(const char *text, uint8_t *bytes);
/* An id as it is printed: 32 lower-case hexadecimal digits are its bytes, all else is text as for hf_id_from_text. */
bool hf_parse_id(const char *text, hf_id *id);
/* The number that an order flow's `user` becomes (docs/OPERATIONS.md). */
uint64_t hf_parse_user(const char *text);
/* Milliseconds since 1970, or 2026-01-31T12:00:00Z with or without .mmm, or the day alone. */
bool hf_parse_time(const char *text, uint64_t *time_ms);

/* ---- printing ---------------------------------------------------------------------------------------------------- */

#define HF_TIME_TEXT 32u
/* 2026-01-31T12:00:00.000Z */
const char *hf_format_time(uint64_t time_ms, char text[HF_TIME_TEXT]);

/* Buffered text, for millions of lines. Trouble shows in ferror(out) after hf_put_flush. */
typedef struct hf_writer {
    FILE *out;
    size_t used;
    uint64_t day; /* of the date in `date`, plus 1 */
    char date[16];
    char buffer[1 << 16];
} hf_writer;

void hf_put_begin(hf_writer *writer, FILE *out);
void hf_put_flush(hf_writer *writer);
void hf_put(hf_writer *writer, const void *bytes, size_t length);
void hf_put_text(hf_writer *writer, const char *text);
void hf_put_u64(hf_writer *writer, uint64_t number);
void hf_put_i64(hf_writer *writer, int64_t number);
void hf_put_change(hf_writer *writer, int64_t number); /* with its sign */
void hf_put_time(hf_writer *writer, uint64_t time_ms);
void hf_put_shown(hf_writer *writer, const void *bytes, size_t length); /* guarantee B */
void hf_put_json(hf_writer *writer, const void *bytes, size_t length);  /* a JSON string */
void hf_put_id(hf_writer *writer, hf_id id);
void hf_put_json_id(hf_writer *writer, hf_id id);

#endif
