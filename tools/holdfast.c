/* The command `holdfast`: picks the subcommand. */
#include "tool.h"

#include <string.h>

static const struct command {
    const char *name, *summary;
    int (*carry_out)(int argc, char **argv);
} commands[] = {
    {"serve", "serve a directory to clients that speak RESP: the order gateway", hf_command_serve},
    {"top", "watch a gateway at work", hf_command_top},
    {"run", "run an order flow into a directory, durably, on the flow's own clock", hf_command_run},
    {"stock", "print the stock of a directory", hf_command_stock},
    {"stat", "print the engine's gauges over a directory", hf_command_stat},
    {"verify", "check a directory's log, chains and sums", hf_command_verify},
    {"dump", "print a log's records, also as they come", hf_command_dump},
    {"replay", "the state as it was at an epoch or a time", hf_command_replay},
    {"history", "every step of one SKU, or of one id", hf_command_history},
    {"repair", "cut a damaged log back to before the damage, when told", hf_command_repair},
    {"checkpoint", "write a checkpoint and let go of old log", hf_command_checkpoint},
    {"demo", "write a generated order flow, a flash sale", hf_command_demo},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out) {
    fputs("usage: holdfast COMMAND ...\n\n", out);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputs("\nholdfast COMMAND --help says more; holdfast --version says which this is.\n"
          "\n"
          "exit status, of every command\n"
          "  0  fine\n"
          "  1  the data or the directory is not as it should be\n"
          "  2  wrong usage\n"
          "  3  system trouble: disk, memory, permissions, or the directory is in use\n"
          "  130, 143  stopped by SIGINT, SIGTERM (run); serve stops in order, and that is fine\n",
          out);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (unsigned i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].carry_out(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0) {
        printf("holdfast %s\n", hf_version());
        return hf_finish_output(HF_EXIT_FINE);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return hf_finish_output(HF_EXIT_FINE);
    }
    if (*name)
        fprintf(stderr, "holdfast: %s: no such command\n\n", name);
    print_help(stderr);
    return HF_EXIT_USAGE;
}
