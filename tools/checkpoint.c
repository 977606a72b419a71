/* holdfast checkpoint: the state of now beside the log, so that the next open need not replay what is older. */
#include "options.h"
#include "tool.h"

#include <inttypes.h>

static const char help[] =
    "usage: holdfast checkpoint --dir D\n"
    "\n"
    "Opens directory D for writing, takes a checkpoint and lets go of log that neither it nor the one before\n"
    "needs. The logical clock stays where it is: nothing expires and no id is forgotten because of it.\n"
    "\n"
    "exit status: 0 fine; 1 no such directory, or it is damaged; 2 wrong usage; 3 system trouble, or D is in use\n";

int hf_command_checkpoint(int argc, char **argv) {
    const char *directory = NULL;
    const hf_option options[] = {{"dir", .text = &directory, .is_required = true}, {0}};
    int exit_code = hf_read_options(argc, argv, help, options, false);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_opened opened;
    exit_code = hf_open_directory(&opened, directory, 0);
    if (exit_code)
        return exit_code;
    int error = hf_checkpoint(opened.engine);
    if (error)
        return hf_close_directory(&opened, hf_tell_error(error, "taking the checkpoint"));
    hf_stats stats;
    hf_stats_read(opened.engine, &stats);
    printf("checkpoint taken: %" PRIu64 " SKUs, %" PRIu64 " ids, %" PRIu64 " live reservations; replay would start at "
           "epoch %" PRIu64 " of %" PRIu64 ", %" PRIu64 " segments kept\n",
           stats.skus, stats.ids, stats.live, stats.checkpoint_epoch, stats.durable, stats.segments);
    return hf_close_directory(&opened, hf_finish_output(HF_EXIT_FINE));
}
