/* holdfast stat: every gauge of the engine, as it stands after reading the directory. */
#include "options.h"
#include "tool.h"

#include <inttypes.h>

static const char help[] =
    "usage: holdfast stat --dir D [--json]\n"
    "\n"
    "Prints every gauge of the engine over directory D, read without changing it; D may be in use. Gauges that\n"
    "count since the open (epochs_written, fsyncs, expired, ...) are those of this reading, not of a running\n"
    "gateway.\n"
    "\n"
    "  --json    an object of name: number\n"
    "\n"
    "exit status: 0 fine; 1 no such directory, or it is damaged; 2 wrong usage; 3 system trouble\n";

static void print_table(const hf_stats *stats) {
#define X(name, unit, meaning) printf("%-18s %20" PRIu64 "  %-12s  %s\n", #name, stats->name, unit, meaning);
    HF_STATS_MAP(X)
#undef X
}

static void print_json(const hf_stats *stats) {
    const char *between = "{\n ";
#define X(name, unit, meaning)                                                                                         \
    printf("%s\"" #name "\": %" PRIu64, between, stats->name);                                                         \
    between = ",\n ";
    HF_STATS_MAP(X)
#undef X
    puts("\n}");
}

int hf_command_stat(int argc, char **argv) {
    const char *directory = NULL;
    bool json = false;
    const hf_option options[] = {{"dir", .text = &directory, .is_required = true}, {"json", .flag = &json}, {0}};
    int exit_code = hf_read_options(argc, argv, help, options, false);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_opened opened;
    exit_code = hf_open_directory(&opened, directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    hf_stats stats;
    hf_stats_read(opened.engine, &stats);
    if (json)
        print_json(&stats);
    else
        print_table(&stats);
    return hf_close_directory(&opened, hf_finish_output(HF_EXIT_FINE));
}
