/* What the subcommands of `holdfast` share: exit codes, how trouble is told, how a directory is opened.
 *
 * Guarantees
 *   A  The command never moves a directory's logical clock but by an order flow's own times: every engine it opens gets
 *      an injected clock, so nothing expires because somebody looked.
 *   B  It never makes an engine forget an id: the retention it opens with is longer than the logical clock lasts.
 */
#ifndef HF_TOOL_H
#define HF_TOOL_H

#include <holdfast/holdfast.h>

#include <signal.h>
#include <stdio.h>

enum {
    HF_EXIT_FINE = 0,
    HF_EXIT_DATA = 1,   /* the data or the directory is not as it should be */
    HF_EXIT_USAGE = 2,  /* the command line is wrong */
    HF_EXIT_SYSTEM = 3, /* the system refused: disk, memory, permissions, somebody else has the directory */
};

/* The subcommands; argv[0] is the subcommand's name. Each returns an exit code. */
int hf_command_run(int argc, char **argv);
int hf_command_stock(int argc, char **argv);
int hf_command_stat(int argc, char **argv);
int hf_command_verify(int argc, char **argv);
int hf_command_checkpoint(int argc, char **argv);
int hf_command_demo(int argc, char **argv);
int hf_command_serve(int argc, char **argv);
int hf_command_top(int argc, char **argv);
int hf_command_dump(int argc, char **argv);
int hf_command_replay(int argc, char **argv);
int hf_command_history(int argc, char **argv);
int hf_command_repair(int argc, char **argv);

/* Prints "holdfast: " and the sentence to stderr, and returns `exit_code`. */
int hf_tell(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failed engine call: "holdfast: what: detail (HF_E...)"; the exit code follows from the error. */
int hf_tell_error(int error, const char *what);
/* A wrong command line: the sentence, where to find help, HF_EXIT_USAGE. */
int hf_tell_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The whole of stdout is written, or it is told why not. Returns `exit_code`, or HF_EXIT_SYSTEM. */
int hf_finish_output(int exit_code);

/* A whole decimal number from `least` to `most`. */
bool hf_parse_count(const char *text, uint64_t least, uint64_t most, uint64_t *value);

/* Options as guarantees A and B want them; the clock stands at *now, or at 0 (the restored time) where now is NULL. */
void hf_tool_options(hf_options *options, uint32_t flags, const uint64_t *now);

/* An engine opened to look, or to write without working, and an unnamed session of it. */
typedef struct hf_opened {
    hf_engine *engine;
    hf_session *session;
} hf_opened;
/* Opens `directory`, which must hold an engine. HF_EXIT_FINE, or it was told why not and nothing is open. */
int hf_open_directory(hf_opened *opened, const char *directory, uint32_t flags);
/* Returns `exit_code`, or what closing failed with. */
int hf_close_directory(hf_opened *opened, int exit_code);

/* The signal (SIGINT, SIGTERM) that asked to stop, once hf_catch_signals was called; 0: none. */
extern volatile sig_atomic_t hf_stop_signal;
void hf_catch_signals(void);

/* ---- text forms of stock (stock.c) ------------------------------------------------------------------------------- */

/* Every SKU as `sku,on_hand,reserved`, sorted by the bytes of sku, header line first. HF_EXIT_FINE, or it was told why
 * not; whether `out` took it all is the caller's to check. */
int hf_stock_write_csv(hf_session *session, FILE *out);
/* How many bytes at `text` are one whole, shortest-form UTF-8 character; 0: none. */
size_t hf_utf8_length(const uint8_t *text, size_t length);
/* `length` bytes as a JSON string: UTF-8 as it is, what JSON wants escaped, and bytes that are no UTF-8 as \u00XX each.
 * */
void hf_write_json_string(FILE *out, const void *text, size_t length);

#endif
