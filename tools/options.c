/* Reading a command line: options.h. */
#include "options.h"

#include "text.h"
#include "tool.h"

#include <assert.h>
#include <getopt.h>

enum { FIRST_LETTER = 256 }; /* above every character that getopt_long says something by */

static int take_value(const hf_option *option, const char *command, const char *value) {
    if (option->read)
        return option->read(command, value, option->into);
    if (option->flag)
        *option->flag = true;
    else if (option->text)
        *option->text = value;
    else if (!hf_parse_count(value, option->least, option->most, option->number))
        return hf_tell_usage(command, "%s: expected %s", value, option->expected);
    return HF_EXIT_FINE;
}

int hf_read_options(int argc, char **argv, const char *help, const hf_option *options, bool takes_words) {
    struct option known[HF_OPTIONS_MOST + 2] = {{"help", no_argument, NULL, 'h'}};
    const char *command = argv[0];
    for (int i = 0; options[i].name; i++) {
        assert(i < (int)HF_OPTIONS_MOST);
        known[i + 1] =
            (struct option){options[i].name, options[i].flag ? no_argument : required_argument, NULL, FIRST_LETTER + i};
    }
    opterr = 0;
    for (int letter; (letter = getopt_long(argc, argv, takes_words ? ":h" : "+:h", known, NULL)) != -1;) {
        if (letter == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (letter == ':')
            return hf_tell_usage(command, "%s: it wants a value", argv[optind - 1]);
        if (letter < FIRST_LETTER)
            return hf_tell_usage(command, "%s: no such option of %s", argv[optind - 1], command);
        int exit_code = take_value(&options[letter - FIRST_LETTER], command, optarg);
        if (exit_code)
            return exit_code;
    }
    if (optind < argc && !takes_words)
        return hf_tell_usage(command, "%s: nothing more was expected", argv[optind]);
    for (int i = 0; options[i].name; i++)
        if (options[i].is_required && !*options[i].text)
            return hf_tell_usage(command, "%s: --%s is missing", command, options[i].name);
    return HF_EXIT_FINE;
}

int hf_read_time(const char *command, const char *value, void *time_ms) {
    return hf_parse_time(value, time_ms)
               ? HF_EXIT_FINE
               : hf_tell_usage(command, "%s: expected a time, as 2026-01-31T12:00:00.000Z or in ms since 1970", value);
}
