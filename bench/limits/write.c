/* The limit of durability: bytes written and synced, one write after another, over a file of zeros that is there already.
 *     dir=D bytes=N       a file in D is made and removed
 *     how=fdatasync       pwrite, fdatasync
 *        =dsync           pwritev2 with RWF_DSYNC
 *        =direct          the same, past the page cache (O_DIRECT)
 *     file_bytes=N        over which the writes go in order, again and again
 */
#include "../support/bench.h"
#include "../support/histogram.h"
#include "../support/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct limit {
    char path[4096];
    int file;
    uint8_t *data;
    size_t bytes, file_bytes, offset;
    bool fdatasync;
} limit;

static void must(long result, const char *what) {
    if (result < 0) {
        die("cannot %s %s: %s", what, limit.path, strerror(errno));
    }
}

static void make_file(const char *directory, bool direct) {
    snprintf(limit.path, sizeof limit.path, "%s/limit_write.XXXXXX", directory);
    int file = mkstemp(limit.path);
    must(file, "make");
    limit.data = bench_memory(limit.bytes > 1 << 20 ? limit.bytes : 1 << 20);
    for (size_t at = 0; at < limit.file_bytes; at += 1 << 20) {
        must(write(file, limit.data, 1 << 20), "write zeros to");
    }
    must(fsync(file), "sync");
    must(close(file), "close");
    limit.file = open(limit.path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
    must(limit.file, "open");
    memset(limit.data, 0x5a, limit.bytes);
}

static void write_once(void) {
    struct iovec piece = {limit.data, limit.bytes};
    if (limit.offset + limit.bytes > limit.file_bytes) {
        limit.offset = 0;
    }
    ssize_t written = pwritev2(limit.file, &piece, 1, (off_t)limit.offset, limit.fdatasync ? 0 : RWF_DSYNC);
    must(written == (ssize_t)limit.bytes ? 0 : -1, "write");
    if (limit.fdatasync) {
        must(fdatasync(limit.file), "sync");
    }
    limit.offset += limit.bytes;
}

static void take_turn(double seconds) {
    static histogram times;
    histogram_clear(&times);
    uint64_t start = now_ns(), before = start, now = start;
    do {
        write_once();
        now = now_ns();
        histogram_add(&times, now - before);
        before = now;
    } while ((double)(now - start) * 1e-9 < seconds);
    report_begin();
    report_number("writes_per_second", (double)times.count / ((double)(now - start) * 1e-9));
    report_number("bytes_per_second", (double)(times.count * limit.bytes) / ((double)(now - start) * 1e-9));
    report_histogram(&times);
    report_end();
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    const char *directory = setting_text("dir", "/tmp"), *how = setting_text("how", "fdatasync");
    limit.bytes = setting_count("bytes", 4096);
    limit.file_bytes = (setting_count("file_bytes", 64 << 20) + limit.bytes + (1 << 20) - 1) >> 20 << 20;
    settings_done();
    bool direct = strcmp(how, "direct") == 0;
    limit.fdatasync = strcmp(how, "fdatasync") == 0;
    if (!direct && !limit.fdatasync && strcmp(how, "dsync") != 0) {
        die("how=%s: expected fdatasync, dsync or direct", how);
    }
    make_file(directory, direct);
    report_begin();
    report_text("what", how);
    report_count("bytes", limit.bytes);
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(t.seconds);
    }
    must(unlink(limit.path), "remove");
    return 0;
}
