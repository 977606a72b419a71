/* What the subcommands share: telling trouble, opening directories. */
#include "tool.h"

#include "copy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t hf_stop_signal;

static void on_signal(int number) { hf_stop_signal = number; }

void hf_catch_signals(void) {
    /* SA_RESTART: the log's writes must not meet EINTR; whoever waits for input uses poll, which is never restarted. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void tell(const char *format, va_list arguments) {
    fflush(stdout);
    fputs("holdfast: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int hf_tell(int exit_code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
    return exit_code;
}

int hf_tell_usage(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try: holdfast %s --help\n", command);
    return HF_EXIT_USAGE;
}

static int exit_code_of(int error) {
    switch (error) {
    case HF_ECORRUPT:
    case HF_EVERSION:
    case HF_ENOTFOUND:
    case HF_EINVAL:
    case HF_ERANGE:
        return HF_EXIT_DATA;
    default:
        return HF_EXIT_SYSTEM;
    }
}

int hf_tell_error(int error, const char *what) {
    const char *detail = hf_error_detail();
    return hf_tell(exit_code_of(error), "%s: %s (%s)", what, *detail ? detail : hf_error_text(error),
                   hf_error_name(error));
}

int hf_finish_output(int exit_code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    return hf_tell(HF_EXIT_SYSTEM, "standard output: %s", strerror(errno));
}

bool hf_parse_count(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || *end || number < least || number > most)
        return false;
    *value = number;
    return true;
}

static uint64_t read_clock(void *context) { return context ? *(const uint64_t *)context : 0; }

void hf_tool_options(hf_options *options, uint32_t flags, const uint64_t *now) {
    hf_options_init(options);
    options->flags = flags;
    options->retention_ms = HF_MAX_TIME_MS;
    options->clock = read_clock;
    options->clock_context = (void *)(uintptr_t)now;
}

enum { ATTEMPTS = 20 };

int hf_open_directory(hf_opened *opened, const char *directory, uint32_t flags) {
    *opened = (hf_opened){0};
    hf_options options;
    hf_tool_options(&options, flags | HF_NO_THREADS | HF_MUST_EXIST, NULL);
    int error = hf_open(directory, &options, &opened->engine);
    /* A writer that takes checkpoints lets go of log while it is read: what is missing is no damage then. */
    for (int i = 0; i < ATTEMPTS && (error == HF_ENOTFOUND || error == HF_ECORRUPT) && (flags & HF_READ_ONLY) &&
                    hf_is_in_use(directory);
         i++)
        error = hf_open(directory, &options, &opened->engine);
    if (error)
        return hf_tell_error(error, directory);
    error = hf_session_open(opened->engine, NULL, &opened->session);
    if (error)
        return hf_close_directory(opened, hf_tell_error(error, directory));
    return HF_EXIT_FINE;
}

int hf_close_directory(hf_opened *opened, int exit_code) {
    hf_session_close(opened->session);
    int error = hf_close(opened->engine);
    *opened = (hf_opened){0};
    if (error && exit_code == HF_EXIT_FINE)
        return hf_tell_error(error, "closing");
    return exit_code;
}
