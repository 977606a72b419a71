/* Numbers, ids and users out of a request's bytes. */
#include "number.h"

bool number_read(hf_text digits, uint64_t least, uint64_t most, uint64_t *number) {
    uint64_t value = 0;
    if (digits.length == 0 || digits.length > 20)
        return false;
    for (uint32_t i = 0; i < digits.length; i++) {
        uint8_t digit = (uint8_t)(digits.bytes[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *number = value;
    return value >= least && value <= most;
}

bool number_read_signed(hf_text digits, int64_t least, int64_t most, int64_t *number) {
    bool negative = digits.length > 0 && digits.bytes[0] == '-';
    uint64_t value;
    digits.bytes += negative;
    digits.length -= negative;
    if (!number_read(digits, 0, INT64_MAX, &value))
        return false;
    *number = negative ? -(int64_t)value : (int64_t)value;
    return *number >= least && *number <= most;
}

bool id_read(hf_text bytes, hf_id *id) {
    if (bytes.length == 0 || bytes.length > ID_BYTES)
        return false;
    *id = hf_id_from_text(bytes.bytes, bytes.length);
    return true;
}

uint64_t user_number(hf_text user) {
    uint64_t number = 0;
    if (user.length == 0 || number_read(user, 0, UINT64_MAX, &number))
        return number;
    hf_id id = hf_id_from_text(user.bytes, user.length);
    number = 0;
    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)id.bytes[i] << (8 * i);
    return number;
}
