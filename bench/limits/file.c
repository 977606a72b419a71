/* The limit of a checkpoint: a new file of so many bytes, written in pieces of 1 MiB, synced once.
 *     dir=D bytes=N
 */
#include "../support/bench.h"
#include "../support/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static double write_file(const char *directory, uint64_t bytes, const uint8_t *piece) {
    char path[4096];
    snprintf(path, sizeof path, "%s/limit_file.XXXXXX", directory);
    uint64_t start = now_ns();
    int file = mkstemp(path);
    bool good = file >= 0;
    for (uint64_t at = 0; good && at < bytes; at += PIECE) {
        size_t length = bytes - at < PIECE ? (size_t)(bytes - at) : PIECE;
        good = write(file, piece, length) == (ssize_t)length;
    }
    good = good && fsync(file) == 0;
    double seconds = seconds_since(start);
    if (!good) {
        die("cannot write %s: %s", path, strerror(errno));
    }
    close(file);
    unlink(path);
    return seconds;
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    const char *directory = setting_text("dir", "/tmp");
    uint64_t bytes = setting_count("bytes", 64 << 20);
    settings_done();
    uint8_t *piece = bench_memory(PIECE);
    memset(piece, 0x5a, PIECE);
    report_begin();
    report_text("what", "a file written and synced");
    report_end();
    for (turn t; turn_next(&t);) {
        double seconds = write_file(directory, bytes, piece);
        report_begin();
        report_number("seconds", seconds);
        report_number("bytes_per_second", (double)bytes / seconds);
        report_end();
    }
    return 0;
}
