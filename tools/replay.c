/* holdfast replay: the state as it was, as a table, CSV, JSON, or a new directory. How it is had: past.h. */
#include "options.h"
#include "past.h"
#include "text.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: holdfast replay --dir D [--to-epoch E | --to-time T] [--json]\n"
    "                       [--stock S.csv] [--reservations R.csv] [--into DIR]\n"
    "\n"
    "The stock and the live reservations of directory D as they were at the end of an epoch, or at a time. Changes\n"
    "nothing in D, which may be in use. What a crash would have cut off there is given back or completed, as an\n"
    "open would do.\n"
    "\n"
    "  --to-epoch E          as of epoch E; without it, and without --to-time, as of now\n"
    "  --to-time T           as of the last epoch up to which nothing is later than T, which is written as\n"
    "                        2026-01-31T12:00:00.000Z or in ms since 1970\n"
    "  --json                an object with skus and reservations\n"
    "  --stock S.csv         sku,on_hand,reserved; - for standard output\n"
    "  --reservations R.csv  id,user,deadline_ms,sku,quantity, a row for each line; - for standard output\n"
    "  --into DIR            makes DIR, a directory of its own with that stock and those reservations. It has no\n"
    "                        history: versions begin anew, ids of what has ended and positions are not known\n"
    "\n"
    "exit status: 0 fine; 1 no such directory or epoch, or it is damaged; 2 wrong usage; 3 system trouble\n";

typedef struct hf_replay {
    const char *directory, *stock_path, *reservations_path, *into;
    uint64_t to_epoch, to_ms;
    bool json;
    hf_past past;
} hf_replay;

static int read_command_line(hf_replay *replay, int argc, char **argv) {
    *replay = (hf_replay){.to_epoch = UINT64_MAX, .to_ms = UINT64_MAX};
    const hf_option options[] = {
        {"dir", .text = &replay->directory, .is_required = true},
        {"to-epoch", .number = &replay->to_epoch, .most = HF_BEFORE_KEPT - 1, .expected = HF_EXPECTED_EPOCH},
        {"to-time", .read = hf_read_time, .into = &replay->to_ms},
        {"json", .flag = &replay->json},
        {"stock", .text = &replay->stock_path},
        {"reservations", .text = &replay->reservations_path},
        {"into", .text = &replay->into},
        {0},
    };
    int exit_code = hf_read_options(argc, argv, help, options, false);
    if (!exit_code && replay->to_epoch != UINT64_MAX && replay->to_ms != UINT64_MAX)
        return hf_tell_usage("replay", "replay: either --to-epoch or --to-time");
    return exit_code;
}

/* ---- forms ------------------------------------------------------------------------------------------------------- */

static void put_stock_csv(const hf_past *past, hf_writer *out) {
    hf_put_text(out, "sku,on_hand,reserved\n");
    for (size_t i = 0; i < past->sku_count; i++) {
        const hf_past_sku *sku = &past->skus[i];
        hf_put(out, sku->name, sku->length);
        hf_put(out, ",", 1);
        hf_put_i64(out, sku->on_hand);
        hf_put(out, ",", 1);
        hf_put_i64(out, sku->reserved);
        hf_put(out, "\n", 1);
    }
}

static void put_line_csv(const hf_past *past, const hf_past_claim *claim, const hf_past_line *line, hf_writer *out) {
    char id[33];
    hf_put(out, id, hf_id_to_text(claim->id, id));
    hf_put(out, ",", 1);
    if (claim->has_user)
        hf_put_u64(out, claim->user);
    hf_put(out, ",", 1);
    if (claim->has_deadline)
        hf_put_u64(out, claim->deadline_ms);
    hf_put(out, ",", 1);
    hf_put(out, past->skus[line->sku].name, past->skus[line->sku].length);
    hf_put(out, ",", 1);
    hf_put_i64(out, line->quantity);
    hf_put(out, "\n", 1);
}

static void put_reservations_csv(const hf_past *past, hf_writer *out) {
    hf_put_text(out, "id,user,deadline_ms,sku,quantity\n");
    for (size_t i = 0; i < past->claim_count; i++)
        for (uint32_t k = 0; k < past->claims[i].line_count; k++)
            put_line_csv(past, &past->claims[i], &past->claims[i].lines[k], out);
}

static void put_number(hf_writer *out, const char *before, bool is_known, uint64_t number) {
    hf_put_text(out, before);
    if (is_known)
        hf_put_u64(out, number);
    else
        hf_put_text(out, "null");
}

static void put_sku_json(const hf_past_sku *sku, hf_writer *out) {
    hf_put_text(out, "{\"sku\":");
    hf_put_json(out, sku->name, sku->length);
    hf_put_text(out, ",\"on_hand\":");
    hf_put_i64(out, sku->on_hand);
    hf_put_text(out, ",\"reserved\":");
    hf_put_i64(out, sku->reserved);
    hf_put_text(out, ",\"available\":");
    hf_put_i64(out, sku->on_hand - sku->reserved);
    put_number(out, ",\"version\":", true, sku->version);
    hf_put(out, "}", 1);
}

static void put_claim_json(const hf_past *past, const hf_past_claim *claim, hf_writer *out) {
    hf_put_text(out, "{\"id\":");
    hf_put_json_id(out, claim->id);
    put_number(out, ",\"user\":", claim->has_user, claim->user);
    put_number(out, ",\"deadline_ms\":", claim->has_deadline, claim->deadline_ms);
    for (uint32_t k = 0; k < claim->line_count; k++) {
        const hf_past_sku *sku = &past->skus[claim->lines[k].sku];
        hf_put_text(out, k ? ",{\"sku\":" : ",\"lines\":[{\"sku\":");
        hf_put_json(out, sku->name, sku->length);
        hf_put_text(out, ",\"quantity\":");
        hf_put_i64(out, claim->lines[k].quantity);
        hf_put(out, "}", 1);
    }
    hf_put_text(out, "]}");
}

static void put_json(const hf_past *past, hf_writer *out) {
    put_number(out, "{\"epoch\":", true, past->epoch);
    put_number(out, ",\n \"time_ms\":", true, past->time_ms);
    put_number(out, ",\n \"undecided\":", true, past->undecided);
    hf_put_text(out, ",\n \"skus\":[");
    for (size_t i = 0; i < past->sku_count; i++) {
        hf_put_text(out, i ? ",\n  " : "\n  ");
        put_sku_json(&past->skus[i], out);
    }
    hf_put_text(out, "],\n \"reservations\":[");
    for (size_t i = 0; i < past->claim_count; i++) {
        hf_put_text(out, i ? ",\n  " : "\n  ");
        put_claim_json(past, &past->claims[i], out);
    }
    hf_put_text(out, "]}\n");
}

static void put_summary(const hf_past *past, hf_writer *out) {
    uint64_t units = 0, unknown = 0;
    for (size_t i = 0; i < past->claim_count; i++) {
        unknown += !past->claims[i].has_deadline || !past->claims[i].has_user;
        for (uint32_t k = 0; k < past->claims[i].line_count; k++)
            units += (uint64_t)past->claims[i].lines[k].quantity;
    }
    char text[256], when[HF_TIME_TEXT];
    snprintf(text, sizeof text, "epoch %" PRIu64 ", %s: %zu SKUs, %zu live reservations of %" PRIu64 " units\n",
             past->epoch, hf_format_time(past->time_ms, when), past->sku_count, past->claim_count, units);
    hf_put_text(out, text);
    if (past->undecided) {
        snprintf(text, sizeof text, "%" PRIu64 " operations were not decided there: given back or completed\n",
                 past->undecided);
        hf_put_text(out, text);
    }
    if (unknown) {
        snprintf(text, sizeof text,
                 "%" PRIu64 " of the reservations were made before what is kept: their user or deadline is not known\n",
                 unknown);
        hf_put_text(out, text);
    }
}

static void put_table(const hf_past *past, hf_writer *out) {
    char text[256];
    put_summary(past, out);
    snprintf(text, sizeof text, "%14s %14s %14s %12s  %s\n", "on_hand", "reserved", "available", "version", "sku");
    hf_put_text(out, text);
    for (size_t i = 0; i < past->sku_count; i++) {
        const hf_past_sku *sku = &past->skus[i];
        snprintf(text, sizeof text, "%14" PRId64 " %14" PRId64 " %14" PRId64 " %12" PRIu64 "  ", sku->on_hand,
                 sku->reserved, sku->on_hand - sku->reserved, sku->version);
        hf_put_text(out, text);
        hf_put_shown(out, sku->name, sku->length);
        hf_put(out, "\n", 1);
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int write_file(const hf_past *past, const char *path, void (*put)(const hf_past *past, hf_writer *out),
                      hf_writer *writer) {
    bool is_output = strcmp(path, "-") == 0;
    FILE *file = is_output ? stdout : fopen(path, "we");
    if (!file)
        return hf_tell(HF_EXIT_SYSTEM, "%s: %s", path, strerror(errno));
    hf_put_begin(writer, file);
    put(past, writer);
    hf_put_flush(writer);
    if (is_output)
        return hf_finish_output(HF_EXIT_FINE);
    bool failed = ferror(file);
    failed |= fclose(file) != 0;
    return failed ? hf_tell(HF_EXIT_SYSTEM, "%s: %s", path, strerror(errno)) : HF_EXIT_FINE;
}

static int write_all(const hf_replay *replay, hf_writer *writer) {
    const hf_past *past = &replay->past;
    int exit_code = HF_EXIT_FINE;
    if (replay->stock_path)
        exit_code = write_file(past, replay->stock_path, put_stock_csv, writer);
    if (!exit_code && replay->reservations_path)
        exit_code = write_file(past, replay->reservations_path, put_reservations_csv, writer);
    if (!exit_code && replay->into)
        exit_code = hf_past_restore(past, replay->into);
    if (exit_code)
        return exit_code;
    if (replay->json)
        return write_file(past, "-", put_json, writer);
    if (replay->into)
        return write_file(past, "-", put_summary, writer);
    return replay->stock_path || replay->reservations_path ? HF_EXIT_FINE : write_file(past, "-", put_table, writer);
}

int hf_command_replay(int argc, char **argv) {
    hf_replay replay;
    int exit_code = read_command_line(&replay, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_writer *writer = malloc(sizeof *writer);
    if (!writer)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    exit_code = hf_past_read(replay.directory, replay.to_epoch, replay.to_ms, &replay.past);
    if (exit_code == HF_EXIT_FINE)
        exit_code = write_all(&replay, writer);
    hf_past_free(&replay.past);
    free(writer);
    return exit_code;
}
