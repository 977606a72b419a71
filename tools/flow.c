/* The order-flow reader: see flow.h for what is guaranteed.
 *
 * Bytes come into one large buffer; a row is split where it lies, by one look at each byte:
 *
 *     1291191900000,reserve,536365,85123A,6,900000,17850\n
 *     |---------- key -----------|
 *
 * The key, everything up to the third comma, is what rows of one operation share byte for byte: a row that begins with
 * the key of the operation before it is its next line, and nothing of the key is looked at again. A name is copied out
 * of the buffer as its line is added, since the buffer moves on before the operation is whole.
 */
#include "flow.h"

#include "input.h"
#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)1 << 20)
#define LINE_ROOM (2 * HF_MAX_LINES) /* repeats are merged when it is full, so merging is paid for by as many rows */
#define KEY_BYTES (HF_FLOW_ID_BYTES + 64)

enum field { TIME, OP, ID, SKU, QUANTITY, TTL, USER, FIELDS };

static const char *const field_names[FIELDS] = {"time_ms", "op", "id", "sku", "quantity", "ttl_ms", "user"};

/* What each operation uses, and the least quantity it takes. A purchase may say who bought: real flows do, though
 * nothing is kept of it. */
static const struct rule {
    bool lines, many, ttl, user;
    int64_t least;
} rules[HF_OP_TYPE_END] = {
    [HF_OP_RECEIVE] = {.lines = true, .least = 1},
    [HF_OP_ADJUST] = {.lines = true, .least = -HF_MAX_QUANTITY},
    [HF_OP_COUNT] = {.lines = true, .least = 0},
    [HF_OP_PURCHASE] = {.lines = true, .many = true, .user = true, .least = 1},
    [HF_OP_RESERVE] = {.lines = true, .many = true, .ttl = true, .user = true, .least = 1},
    [HF_OP_EXTEND] = {.ttl = true},
};

/* One row where it lies in the buffer. Field i is start[i] .. start[i + 1] - 2, without its comma. */
typedef struct hf_flow_row {
    const char *start[FIELDS + 1];
    size_t key_length; /* up to and with the third comma; 0: the row has not as many */
} hf_flow_row;

struct hf_flow {
    const char *path;
    hf_input *input;
    size_t begin, end; /* what of the buffer is not yet read */
    bool input_ended;
    bool header_read;
    uint64_t rows;
    uint64_t empty_row; /* the first empty line; an error as soon as another row follows */
    uint64_t last_time;

    hf_flow_row row; /* read ahead of the operation handed out */
    int row_result;  /* HF_FLOW_OPERATION: `row` is there; else why not */
    bool row_waits;  /* `row` and `row_result` are still to be used */

    hf_flow_operation operation;
    char key[KEY_BYTES];
    size_t key_length;
    hf_line lines[LINE_ROOM];
    char *names; /* room for the names of LINE_ROOM lines, and for a second copy while repeats are merged */
    char *spare_names;
    size_t names_used;

    int exit_code;
    char problem[768];
    char buffer[BUFFER_BYTES];
};

hf_flow *hf_flow_open(const char *path) {
    hf_flow *flow = malloc(sizeof *flow);
    if (!flow)
        return NULL;
    memset(flow, 0, offsetof(hf_flow, lines));
    flow->exit_code = HF_EXIT_FINE;
    flow->problem[0] = 0;
    flow->path = strcmp(path, "-") == 0 ? "standard input" : path;
    flow->names = malloc((size_t)LINE_ROOM * HF_MAX_SKU_NAME);
    flow->spare_names = malloc((size_t)LINE_ROOM * HF_MAX_SKU_NAME);
    flow->input = hf_input_open(path);
    if (flow->names && flow->spare_names && flow->input)
        return flow;
    hf_flow_close(flow);
    return NULL;
}

void hf_flow_close(hf_flow *flow) {
    if (!flow)
        return;
    hf_input_close(flow->input);
    free(flow->names);
    free(flow->spare_names);
    free(flow);
}

const char *hf_flow_problem(const hf_flow *flow) { return flow->problem; }
int hf_flow_exit_code(const hf_flow *flow) { return flow->exit_code; }
uint64_t hf_flow_rows(const hf_flow *flow) { return flow->rows; }
uint64_t hf_flow_consumed(const hf_flow *flow) { return hf_input_consumed(flow->input); }
uint64_t hf_flow_size(const hf_flow *flow) { return hf_input_size(flow->input); }

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

static int bad_row(hf_flow *flow, uint64_t number, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int bad_row(hf_flow *flow, uint64_t number, const char *format, ...) {
    int used = snprintf(flow->problem, sizeof flow->problem, "%.*s: row %" PRIu64 ": ", 300, flow->path, number);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(flow->problem + used, sizeof flow->problem - (size_t)used, format, arguments);
    va_end(arguments);
    flow->exit_code = HF_EXIT_DATA;
    return HF_FLOW_FAILED;
}

static int bad_file(hf_flow *flow, int exit_code, const char *problem) {
    snprintf(flow->problem, sizeof flow->problem, "%.*s: %s", 300, flow->path, problem);
    flow->exit_code = exit_code;
    return HF_FLOW_FAILED;
}

static size_t length_of(const hf_flow_row *row, enum field field) {
    return (size_t)(row->start[field + 1] - row->start[field]) - 1;
}

/* A field's beginning, for a sentence: short, and printable whatever it holds. */
static const char *quote(const hf_flow_row *row, enum field field, char text[44]) {
    size_t length = length_of(row, field), shown = length < 36 ? length : 36;
    char *out = text;
    *out++ = '\'';
    for (size_t i = 0; i < shown; i++) {
        unsigned char byte = (unsigned char)row->start[field][i];
        *out++ = byte < 32 || byte == 127 ? '?' : (char)byte;
    }
    if (shown < length) {
        memcpy(out, "...", 3);
        out += 3;
    }
    memcpy(out, "'", 2);
    return text;
}

static int bad_field(hf_flow *flow, enum field field, const char *expected) {
    char text[44];
    if (length_of(&flow->row, field) == 0)
        return bad_row(flow, flow->rows, "%s is empty, expected %s", field_names[field], expected);
    return bad_row(flow, flow->rows, "%s is %s, expected %s", field_names[field], quote(&flow->row, field, text),
                   expected);
}

/* ---- bytes to rows ----------------------------------------------------------------------------------------------- */

/* More bytes behind those that are there, which move to the front. 1: some came; 0: the end; or an error. */
static int refill(hf_flow *flow) {
    if (flow->input_ended)
        return 0;
    memmove(flow->buffer, flow->buffer + flow->begin, flow->end - flow->begin);
    flow->end -= flow->begin;
    flow->begin = 0;
    ssize_t got = hf_input_read(flow->input, flow->buffer + flow->end, BUFFER_BYTES - flow->end);
    if (got == HF_INPUT_INTERRUPTED)
        return HF_FLOW_INTERRUPTED;
    if (got < 0)
        return bad_file(flow, hf_input_exit_code(flow->input), hf_input_problem(flow->input));
    flow->end += (size_t)got;
    flow->input_ended = got == 0;
    return got > 0;
}

/* The next line, without its line end: 1 and its bounds, 0 at the end, or an error. The last line may lack its end. */
static int next_line(hf_flow *flow, const char **line, const char **line_end) {
    for (size_t searched = 0;;) {
        const char *from = flow->buffer + flow->begin;
        size_t length = flow->end - flow->begin;
        const char *newline = length > searched ? memchr(from + searched, '\n', length - searched) : NULL;
        size_t line_length = newline ? (size_t)(newline - from) : length;
        if (line_length > HF_FLOW_ROW_BYTES)
            return bad_row(flow, flow->rows + 1, "longer than %u bytes", HF_FLOW_ROW_BYTES);
        int more = newline ? 0 : refill(flow);
        if (more < 0)
            return more;
        if (!more && !newline && length == 0)
            return 0;
        if (!more) {
            *line = from;
            *line_end = from + line_length;
            flow->begin += line_length + (newline ? 1 : 0);
            return 1;
        }
        searched = length;
    }
}

static int read_header(hf_flow *flow) {
    const char *line, *end;
    int result = next_line(flow, &line, &end);
    if (result < 0)
        return result;
    size_t length = result ? (size_t)(end - line) : 0;
    if (length != strlen(HF_FLOW_HEADER) || memcmp(line, HF_FLOW_HEADER, length) != 0) {
        flow->problem[0] = 0;
        return bad_file(flow, HF_EXIT_DATA, "row 0: no order flow, expected the header line " HF_FLOW_HEADER);
    }
    flow->header_read = true;
    return 1;
}

/* 1: a comma; 2: a byte that no field may hold. */
static const uint8_t byte_kind[256] = {[','] = 1, ['"'] = 2, ['\r'] = 2, ['\0'] = 2};

static int bad_byte(hf_flow *flow, char byte) {
    if (byte == '\r')
        return bad_row(flow, flow->rows, "a carriage return, expected line ends of a line feed alone");
    if (byte == '"')
        return bad_row(flow, flow->rows, "a quote, expected fields without quoting");
    return bad_row(flow, flow->rows, "a zero byte, expected text");
}

static int split(hf_flow *flow, const char *line, const char *end) {
    hf_flow_row *row = &flow->row;
    unsigned field = 0;
    row->key_length = 0;
    row->start[0] = line;
    for (const char *at = line; at < end; at++) {
        uint8_t kind = byte_kind[(uint8_t)*at];
        if (kind == 0)
            continue;
        if (kind == 2)
            return bad_byte(flow, *at);
        field++;
        if (field < FIELDS)
            row->start[field] = at + 1;
        if (field == SKU)
            row->key_length = (size_t)(at + 1 - line);
    }
    if (field != FIELDS - 1)
        return bad_row(flow, flow->rows, "%u fields, expected %u: " HF_FLOW_HEADER, field + 1, (unsigned)FIELDS);
    row->start[FIELDS] = end + 1;
    return HF_FLOW_OPERATION;
}

/* Splits the next row into flow->row. HF_FLOW_OPERATION, HF_FLOW_END, or an error. */
static int read_row(hf_flow *flow) {
    flow->row.key_length = 0;
    for (;;) {
        const char *line, *end;
        int result = next_line(flow, &line, &end);
        if (result == 0 && flow->empty_row)
            flow->rows = flow->empty_row - 1;
        if (result <= 0)
            return result;
        flow->rows++;
        if (line != end && flow->empty_row)
            return bad_row(flow, flow->empty_row, "an empty line, expected %u fields: " HF_FLOW_HEADER, FIELDS);
        if (line != end)
            return split(flow, line, end);
        if (!flow->empty_row)
            flow->empty_row = flow->rows; /* harmless at the very end, where it counts as no row */
    }
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static bool parse_number(const char *text, size_t length, uint64_t *value) {
    uint64_t number = 0;
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

static int read_time(hf_flow *flow) {
    uint64_t time;
    if (!parse_number(flow->row.start[TIME], length_of(&flow->row, TIME), &time) || time > HF_MAX_TIME_MS)
        return bad_field(flow, TIME, "milliseconds since 1970, 0 to 4398046511103");
    if (time < flow->last_time)
        return bad_row(flow, flow->rows,
                       "time_ms goes back from %" PRIu64 " to %" PRIu64 ", expected it never to decrease",
                       flow->last_time, time);
    flow->last_time = flow->operation.time_ms = time;
    return HF_FLOW_OPERATION;
}

static int read_op(hf_flow *flow) {
    const char *text = flow->row.start[OP];
    size_t length = length_of(&flow->row, OP);
#define X(name, value, word)                                                                                           \
    if (length == sizeof word - 1 && memcmp(text, word, sizeof word - 1) == 0) {                                       \
        flow->operation.op.type = HF_OP_##name;                                                                        \
        return HF_FLOW_OPERATION;                                                                                      \
    }
    HF_OP_MAP(X)
#undef X
    return bad_field(flow, OP, "receive, adjust, count, purchase, reserve, confirm, cancel or extend");
}

static int read_id(hf_flow *flow) {
    size_t length = length_of(&flow->row, ID);
    if (length == 0 || length > HF_FLOW_ID_BYTES)
        return bad_field(flow, ID, "1 to 64 bytes");
    flow->operation.op.id = hf_id_from_text(flow->row.start[ID], length);
    return HF_FLOW_OPERATION;
}

static int read_ttl(hf_flow *flow) {
    uint64_t ttl;
    if (!parse_number(flow->row.start[TTL], length_of(&flow->row, TTL), &ttl) || ttl == 0 || ttl > HF_MAX_TTL_MS)
        return bad_field(flow, TTL, "milliseconds, 1 to 63244800000");
    if (flow->operation.first_row == flow->rows)
        flow->operation.op.ttl_ms = ttl;
    return HF_FLOW_OPERATION;
}

static void read_user(hf_flow *flow) {
    const char *text = flow->row.start[USER];
    size_t length = length_of(&flow->row, USER);
    uint64_t *user = &flow->operation.op.user;
    if (flow->operation.first_row != flow->rows || length == 0 || parse_number(text, length, user))
        return;
    hf_id id = hf_id_from_text(text, length);
    *user = 0;
    for (unsigned i = 0; i < 8; i++)
        *user |= (uint64_t)id.bytes[i] << (8 * i);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static int by_name(const void *left, const void *right) {
    const hf_line *a = left, *b = right;
    size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, shorter);
    return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

static int copy_name(hf_flow *flow, hf_line *line, const char *name, size_t length) {
    memcpy(flow->names + flow->names_used, name, length);
    line->name = flow->names + flow->names_used;
    line->name_length = length;
    flow->names_used += length;
    return HF_FLOW_OPERATION;
}

/* Sums lines that name one SKU, so that an operation may have more rows than HF_MAX_LINES, if not more SKUs. */
static int merge_lines(hf_flow *flow) {
    size_t count = flow->operation.op.line_count, kept = 0;
    qsort(flow->lines, count, sizeof *flow->lines, by_name);
    char *old_names = flow->names;
    flow->names = flow->spare_names;
    flow->spare_names = old_names;
    flow->names_used = 0;
    for (size_t i = 0; i < count; i++) {
        hf_line *line = &flow->lines[i];
        if (kept && by_name(&flow->lines[kept - 1], line) == 0) {
            flow->lines[kept - 1].quantity += line->quantity;
            if (flow->lines[kept - 1].quantity > HF_MAX_QUANTITY)
                return bad_row(flow, flow->operation.first_row,
                               "the quantities of a SKU in this operation add up to more than %" PRId64,
                               (int64_t)HF_MAX_QUANTITY);
            continue;
        }
        hf_line *slot = &flow->lines[kept++];
        slot->quantity = line->quantity;
        copy_name(flow, slot, line->name, line->name_length);
    }
    flow->operation.op.line_count = kept;
    if (kept > HF_MAX_LINES)
        return bad_row(flow, flow->operation.first_row, "an operation of more than %u different SKUs", HF_MAX_LINES);
    return HF_FLOW_OPERATION;
}

static int add_line(hf_flow *flow, const struct rule *rule) {
    const hf_flow_row *row = &flow->row;
    size_t length = length_of(row, SKU);
    if (length == 0 || length > HF_MAX_SKU_NAME)
        return bad_field(flow, SKU, "1 to 255 bytes");
    const char *digits = row->start[QUANTITY];
    size_t digit_count = length_of(row, QUANTITY);
    bool negative = rule->least < 0 && digit_count && *digits == '-';
    uint64_t size;
    if (!parse_number(digits + negative, digit_count - negative, &size) || size > (uint64_t)HF_MAX_QUANTITY ||
        (int64_t)size < rule->least || (rule->least < 0 && size == 0))
        return bad_field(flow, QUANTITY,
                         rule->least > 0    ? "a whole number, 1 to 549755813887"
                         : rule->least == 0 ? "a whole number, 0 to 549755813887"
                                            : "a whole number that is not 0, -549755813887 to 549755813887");
    if (flow->operation.op.line_count == LINE_ROOM) {
        int merged = merge_lines(flow);
        if (merged < 0)
            return merged;
    }
    hf_line *line = &flow->lines[flow->operation.op.line_count++];
    line->sku = NULL;
    line->quantity = negative ? -(int64_t)size : (int64_t)size;
    return copy_name(flow, line, row->start[SKU], length);
}

static int must_be_empty(hf_flow *flow, enum field field) {
    if (length_of(&flow->row, field) == 0)
        return HF_FLOW_OPERATION;
    char text[44];
    return bad_row(flow, flow->rows, "%s is %s, expected it empty: %s does not use it", field_names[field],
                   quote(&flow->row, field, text), hf_op_text(flow->operation.op.type));
}

/* The fields behind the key: those of every row of an operation. */
static int read_rest(hf_flow *flow) {
    const struct rule *rule = &rules[flow->operation.op.type];
    int result = HF_FLOW_OPERATION;
    if (rule->lines)
        result = add_line(flow, rule);
    else if ((result = must_be_empty(flow, SKU)) > 0)
        result = must_be_empty(flow, QUANTITY);
    if (result > 0)
        result = rule->ttl ? read_ttl(flow) : must_be_empty(flow, TTL);
    if (result > 0 && !rule->user)
        result = must_be_empty(flow, USER);
    else if (result > 0)
        read_user(flow);
    return result;
}

/* ---- rows to operations ------------------------------------------------------------------------------------------ */

static int begin_operation(hf_flow *flow) {
    flow->operation = (hf_flow_operation){.first_row = flow->rows, .op.lines = flow->lines};
    flow->names_used = 0;
    int result = read_time(flow);
    if (result > 0)
        result = read_op(flow);
    if (result > 0)
        result = read_id(flow);
    if (result > 0)
        result = read_rest(flow);
    if (result < 0)
        return result;
    if (flow->row.key_length > KEY_BYTES)
        return bad_field(flow, TIME, "milliseconds since 1970 without so many zeros");
    flow->key_length = flow->row.key_length;
    memcpy(flow->key, flow->row.start[0], flow->key_length);
    return HF_FLOW_OPERATION;
}

static bool is_of_operation(const hf_flow *flow) {
    return flow->row.key_length == flow->key_length && memcmp(flow->row.start[0], flow->key, flow->key_length) == 0;
}

/* Adds every row that goes on with the operation, up to the first that does not, which waits. */
static int gather_lines(hf_flow *flow) {
    for (;;) {
        flow->row_result = read_row(flow);
        flow->row_waits = true;
        if (flow->row_result == HF_FLOW_END)
            return HF_FLOW_OPERATION;
        if (flow->row_result < 0 && flow->row.key_length == 0)
            return flow->row_result; /* it may have been a line of this operation */
        if (!is_of_operation(flow))
            return HF_FLOW_OPERATION;
        if (flow->row_result < 0)
            return flow->row_result;
        int result = read_rest(flow);
        if (result < 0)
            return flow->row_result = result;
        flow->operation.last_row = flow->rows;
        flow->row_waits = false;
    }
}

int hf_flow_next(hf_flow *flow, const hf_flow_operation **operation) {
    int result = flow->header_read ? 1 : flow->row_result < 0 ? flow->row_result : read_header(flow);
    if (result > 0 && !flow->row_waits)
        flow->row_result = read_row(flow);
    if (result > 0)
        result = flow->row_result;
    flow->row_waits = true; /* an end or an error stays */
    if (result == HF_FLOW_OPERATION)
        result = begin_operation(flow);
    flow->row_result = result;
    if (result != HF_FLOW_OPERATION)
        return result;
    flow->row_waits = false;
    flow->operation.last_row = flow->rows;
    if (rules[flow->operation.op.type].many)
        result = gather_lines(flow);
    if (result > 0 && flow->operation.op.line_count > HF_MAX_LINES && (result = merge_lines(flow)) < 0)
        flow->row_result = result;
    *operation = &flow->operation;
    return result;
}
