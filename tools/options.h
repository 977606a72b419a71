/* The command line of a subcommand, read by a table of its options.
 *
 * Guarantees
 *   A  An option that there is not, one without its value, a value that is not as expected, a word too many, and a
 *      required option that is missing are told with what was found, and are HF_EXIT_USAGE.
 *   B  --help and -h are known to every subcommand, and print its help.
 */
#ifndef HF_OPTIONS_H
#define HF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define HF_OPTIONS_MOST 16u

/* An option, and where its value goes: exactly one of flag, text, number and read is set. */
typedef struct hf_option {
    const char *name;  /* NULL ends the table */
    bool *flag;        /* it takes no value, and sets this */
    const char **text; /* its value as it is */
    bool is_required;  /* of a text: NULL at the end is told */
    uint64_t *number;  /* a whole number from `least` to `most`; any other is told with what was `expected` */
    uint64_t least, most;
    const char *expected;
    int (*read)(const char *command, const char *value, void *into); /* HF_EXIT_FINE, or it was told what is wrong */
    void *into;
} hf_option;

/* HF_EXIT_FINE: go on; -1: help was printed; else an exit code. Where a subcommand takes words, options may stand
 * behind them, and they begin at argv[optind]. */
int hf_read_options(int argc, char **argv, const char *help, const hf_option *options, bool takes_words);

/* For `expected`, and for `read`: what several subcommands take. */
#define HF_EXPECTED_EPOCH "an epoch, a number"
int hf_read_time(const char *command, const char *value, void *time_ms);

#endif
