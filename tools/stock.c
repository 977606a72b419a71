/* holdfast stock: what is there, SKU by SKU, in three forms. */
#include "options.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: holdfast stock --dir D [--sku S] [--csv | --json]\n"
    "\n"
    "Prints the durable stock of directory D, every SKU, sorted by the bytes of its name. Changes nothing; D may\n"
    "be in use. The stock is that of the last time in the log: nothing expires because you look.\n"
    "\n"
    "  --sku S   only this SKU\n"
    "  --csv     sku,on_hand,reserved with a header line, as a run's --stock writes it; names as they are\n"
    "  --json    an array of {sku, on_hand, reserved, available, version}. A byte of a name that is no UTF-8 is\n"
    "            written \\u00XX, so each byte that is wrong shows as one character\n"
    "\n"
    "exit status: 0 fine; 1 no such directory or SKU, or the directory is damaged; 2 wrong usage; 3 system\n"
    "trouble\n";

typedef struct hf_stock_row {
    const void *name;
    size_t length;
    hf_stock stock;
} hf_stock_row;

typedef struct hf_stock_rows {
    hf_stock_row *row;
    size_t count, room;
    bool out_of_memory;
} hf_stock_rows;

static bool collect(void *context, hf_sku *sku, const hf_stock *stock) {
    hf_stock_rows *rows = context;
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 4096;
        hf_stock_row *grown = realloc(rows->row, room * sizeof *grown);
        if (!grown) {
            rows->out_of_memory = true;
            return false;
        }
        rows->row = grown;
        rows->room = room;
    }
    hf_stock_row *row = &rows->row[rows->count++];
    row->name = hf_sku_name(sku, &row->length);
    row->stock = *stock;
    return true;
}

static int by_bytes(const void *left, const void *right) {
    const hf_stock_row *a = left, *b = right;
    int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int collect_sorted(hf_session *session, hf_stock_rows *rows) {
    int error = hf_sku_each(session, collect, rows);
    if (error)
        return hf_tell_error(error, "reading the stock");
    if (rows->out_of_memory)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    if (rows->count)
        qsort(rows->row, rows->count, sizeof *rows->row, by_bytes);
    return HF_EXIT_FINE;
}

static void print_csv(const hf_stock_rows *rows, FILE *out) {
    fputs("sku,on_hand,reserved\n", out);
    for (size_t i = 0; i < rows->count; i++) {
        fwrite(rows->row[i].name, 1, rows->row[i].length, out);
        fprintf(out, ",%" PRId64 ",%" PRId64 "\n", rows->row[i].stock.on_hand, rows->row[i].stock.reserved);
    }
}

int hf_stock_write_csv(hf_session *session, FILE *out) {
    hf_stock_rows rows = {0};
    int exit_code = collect_sorted(session, &rows);
    if (exit_code == HF_EXIT_FINE)
        print_csv(&rows, out);
    free(rows.row);
    return exit_code;
}

size_t hf_utf8_length(const uint8_t *text, size_t length) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : text[0] >> 3 == 30 ? 4 : 0;
    if (count <= 1 || count > length)
        return count == 1;
    uint32_t point = text[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    bool is_surrogate = point >= 0xd800 && point < 0xe000;
    return point >= least[count] && point < 0x110000 && !is_surrogate ? count : 0;
}

void hf_write_json_string(FILE *out, const void *bytes, size_t length) {
    const uint8_t *text = bytes;
    fputc('"', out);
    for (size_t at = 0; at < length;) {
        size_t count = hf_utf8_length(text + at, length - at);
        if (count == 0 || text[at] < 0x20 || text[at] == 0x7f)
            fprintf(out, "\\u%04x", text[at]);
        else if (text[at] == '"' || text[at] == '\\')
            fprintf(out, "\\%c", text[at]);
        else
            fwrite(text + at, 1, count, out);
        at += count ? count : 1;
    }
    fputc('"', out);
}

static void print_json(const hf_stock_rows *rows) {
    fputs("[", stdout);
    for (size_t i = 0; i < rows->count; i++) {
        const hf_stock_row *row = &rows->row[i];
        fputs(i ? ",\n {\"sku\":" : "\n {\"sku\":", stdout);
        hf_write_json_string(stdout, row->name, row->length);
        printf(",\"on_hand\":%" PRId64 ",\"reserved\":%" PRId64 ",\"available\":%" PRId64 ",\"version\":%" PRIu64 "}",
               row->stock.on_hand, row->stock.reserved, row->stock.available, row->stock.version);
    }
    fputs(rows->count ? "\n]\n" : "]\n", stdout);
}

static void print_table(const hf_stock_rows *rows) {
    printf("%14s %14s %14s %12s  %s\n", "on_hand", "reserved", "available", "version", "sku");
    for (size_t i = 0; i < rows->count; i++) {
        const hf_stock_row *row = &rows->row[i];
        printf("%14" PRId64 " %14" PRId64 " %14" PRId64 " %12" PRIu64 "  ", row->stock.on_hand, row->stock.reserved,
               row->stock.available, row->stock.version);
        for (size_t at = 0; at < row->length; at++) {
            uint8_t byte = ((const uint8_t *)row->name)[at];
            fputc(byte < 32 || byte == 127 ? '?' : byte, stdout);
        }
        fputc('\n', stdout);
    }
}

static int collect_one(hf_session *session, const char *name, hf_stock_rows *rows) {
    hf_sku *sku;
    int error = hf_sku_find(session, name, strlen(name), &sku);
    if (error == HF_ENOTFOUND)
        return hf_tell(HF_EXIT_DATA, "there is no SKU %s", name);
    hf_stock stock;
    if (!error)
        error = hf_sku_read(session, sku, &stock);
    if (error)
        return hf_tell_error(error, name);
    return collect(rows, sku, &stock) ? HF_EXIT_FINE : hf_tell(HF_EXIT_SYSTEM, "out of memory");
}

int hf_command_stock(int argc, char **argv) {
    const char *directory = NULL, *sku = NULL;
    bool csv = false, json = false;
    const hf_option options[] = {
        {"dir", .text = &directory, .is_required = true},
        {"sku", .text = &sku},
        {"csv", .flag = &csv},
        {"json", .flag = &json},
        {0},
    };
    int exit_code = hf_read_options(argc, argv, help, options, false);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    if (json && csv)
        return hf_tell_usage("stock", "stock: either --csv or --json");
    hf_opened opened;
    exit_code = hf_open_directory(&opened, directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    hf_stock_rows rows = {0};
    exit_code = sku ? collect_one(opened.session, sku, &rows) : collect_sorted(opened.session, &rows);
    if (exit_code == HF_EXIT_FINE) {
        if (csv)
            print_csv(&rows, stdout);
        else if (json)
            print_json(&rows);
        else
            print_table(&rows);
        exit_code = hf_finish_output(exit_code);
    }
    free(rows.row);
    return hf_close_directory(&opened, exit_code);
}
