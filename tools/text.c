/* Text forms: text.h. */
#include "text.h"

#include "tool.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#define DAY_MS UINT64_C(86400000)

/* ---- from the command line --------------------------------------------------------------------------------------- */

static int hexadecimal(char digit) {
    return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static uint8_t byte_of(const char digits[2]) {
    return (uint8_t)((unsigned)hexadecimal(digits[0]) << 4 | (unsigned)hexadecimal(digits[1]));
}

size_t hf_read_shown(const char *text, uint8_t *bytes) {
    size_t length = 0;
    for (; *text; text++) {
        bool is_byte = text[0] == '\\' && text[1] == 'x' && hexadecimal(text[2]) >= 0 && hexadecimal(text[3]) >= 0;
        bytes[length++] = is_byte ? byte_of(text + 2) : (uint8_t)*text;
        text += is_byte ? 3 : 0;
    }
    return length;
}

bool hf_parse_id(const char *text, hf_id *id) {
    if (strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32) {
        for (unsigned i = 0; i < 16; i++)
            id->bytes[i] = byte_of(text + 2 * i);
        return true;
    }
    uint8_t bytes[4096];
    if (!*text || strlen(text) > sizeof bytes)
        return false;
    *id = hf_id_from_text(bytes, hf_read_shown(text, bytes));
    return true;
}

uint64_t hf_parse_user(const char *text) {
    uint64_t user = 0;
    if (!*text || hf_parse_count(text, 0, UINT64_MAX, &user))
        return user;
    hf_id id = hf_id_from_text(text, strlen(text));
    for (unsigned i = 0; i < 8; i++)
        user |= (uint64_t)id.bytes[i] << (8 * i);
    return user;
}

bool hf_parse_time(const char *text, uint64_t *time_ms) {
    if (hf_parse_count(text, 0, HF_MAX_TIME_MS, time_ms))
        return true;
    struct tm date = {0};
    unsigned milliseconds = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &date);
    if (rest && *rest) {
        rest = strptime(rest, "T%H:%M:%S", &date);
        if (rest && rest[0] == '.' && isdigit((unsigned char)rest[1]) && isdigit((unsigned char)rest[2]) &&
            isdigit((unsigned char)rest[3])) {
            milliseconds = (unsigned)((rest[1] - '0') * 100 + (rest[2] - '0') * 10 + (rest[3] - '0'));
            rest += 4;
        }
        if (rest && strcmp(rest, "Z") != 0)
            rest = NULL;
    }
    time_t seconds = rest ? timegm(&date) : -1;
    if (seconds < 0)
        return false;
    *time_ms = (uint64_t)seconds * 1000 + milliseconds;
    return *time_ms <= HF_MAX_TIME_MS;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static void format_date(uint64_t day, char text[16]) {
    time_t seconds = (time_t)(day * (DAY_MS / 1000));
    struct tm date;
    gmtime_r(&seconds, &date);
    strftime(text, 16, "%Y-%m-%dT", &date);
}

static void two_digits(char *at, uint64_t number) {
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
}

/* hh:mm:ss.mmmZ of a day: 13 bytes. */
static void format_clock(uint64_t ms, char text[14]) {
    memcpy(text, "hh:mm:ss.mmmZ", 14);
    two_digits(text, ms / 3600000);
    two_digits(text + 3, ms / 60000 % 60);
    two_digits(text + 6, ms / 1000 % 60);
    text[9] = (char)('0' + ms / 100 % 10);
    two_digits(text + 10, ms % 100);
}

const char *hf_format_time(uint64_t time_ms, char text[HF_TIME_TEXT]) {
    char date[16];
    format_date(time_ms / DAY_MS, date);
    size_t length = strlen(date);
    memcpy(text, date, length);
    format_clock(time_ms % DAY_MS, text + length);
    return text;
}

void hf_put_begin(hf_writer *writer, FILE *out) {
    writer->out = out;
    writer->used = 0;
    writer->day = 0;
}

void hf_put_flush(hf_writer *writer) {
    fwrite(writer->buffer, 1, writer->used, writer->out);
    writer->used = 0;
}

void hf_put(hf_writer *writer, const void *bytes, size_t length) {
    if (length > sizeof writer->buffer - writer->used) {
        hf_put_flush(writer);
        if (length > sizeof writer->buffer) {
            fwrite(bytes, 1, length, writer->out);
            return;
        }
    }
    memcpy(writer->buffer + writer->used, bytes, length);
    writer->used += length;
}

void hf_put_text(hf_writer *writer, const char *text) { hf_put(writer, text, strlen(text)); }

void hf_put_u64(hf_writer *writer, uint64_t number) {
    char digits[20];
    unsigned at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    hf_put(writer, digits + at, sizeof digits - at);
}

void hf_put_i64(hf_writer *writer, int64_t number) {
    if (number < 0)
        hf_put(writer, "-", 1);
    hf_put_u64(writer, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void hf_put_change(hf_writer *writer, int64_t number) {
    if (number >= 0)
        hf_put(writer, "+", 1);
    hf_put_i64(writer, number);
}

void hf_put_time(hf_writer *writer, uint64_t time_ms) {
    char clock[14];
    if (writer->day != time_ms / DAY_MS + 1) {
        format_date(time_ms / DAY_MS, writer->date);
        writer->day = time_ms / DAY_MS + 1;
    }
    hf_put_text(writer, writer->date);
    format_clock(time_ms % DAY_MS, clock);
    hf_put(writer, clock, 13);
}

void hf_put_shown(hf_writer *writer, const void *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *text = bytes;
    for (size_t i = 0; i < length; i++) {
        if (text[i] >= 0x20 && text[i] != 0x7f && text[i] != '\\') {
            hf_put(writer, text + i, 1);
        } else {
            const char shown[4] = {'\\', 'x', digits[text[i] >> 4], digits[text[i] & 15]};
            hf_put(writer, shown, sizeof shown);
        }
    }
}

void hf_put_json(hf_writer *writer, const void *bytes, size_t length) {
    const uint8_t *text = bytes;
    bool is_plain = true;
    for (size_t i = 0; i < length; i++)
        is_plain &= text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';
    if (is_plain) {
        hf_put(writer, "\"", 1);
        hf_put(writer, bytes, length);
        hf_put(writer, "\"", 1);
    } else {
        hf_put_flush(writer);
        hf_write_json_string(writer->out, bytes, length);
    }
}

void hf_put_id(hf_writer *writer, hf_id id) {
    char text[33];
    hf_put_shown(writer, text, hf_id_to_text(id, text));
}

void hf_put_json_id(hf_writer *writer, hf_id id) {
    char text[33];
    hf_put_json(writer, text, hf_id_to_text(id, text));
}
