/* The limit of a restart: reading a checkpoint's file from the disk and touching as many cache lines as its SKUs and
 * reservations have, in no order, in memory that is new.
 *     file=F lines=N
 */
#include "../support/bench.h"
#include "../support/lines.h"
#include "../support/random.h"
#include "../support/turns.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 1 << 20, HUGE_PAGE = 2 << 20 };

static uint64_t lines;

static void touch(bare_line *memory, uint64_t from, uint64_t to, uint64_t *state) {
    for (uint64_t i = from; i < to; i++) {
        bare_line *line = &memory[random_below(state, lines)];
        hf_store_relaxed(&line->word.lo, i); /* relaxed: one thread */
    }
}

static double take_turn(const char *path, uint8_t *piece) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    if (size <= 0 || fsync(file) != 0) {
        die("cannot read %s: %s", path, strerror(errno));
    }
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t start = now_ns(), state = 1;
    size_t bytes = (lines * sizeof(bare_line) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uint8_t *memory = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("no memory: %zu bytes", bytes);
    }
    bare_line *first = (void *)(((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    madvise(first, bytes, MADV_HUGEPAGE);
    uint64_t touched = 0;
    off_t at = 0;
    for (ssize_t n; (n = pread(file, piece, PIECE, at)) > 0; at += n) {
        uint64_t until = (uint64_t)((unsigned __int128)lines * (uint64_t)(at + n) / (uint64_t)size);
        touch(first, touched, until, &state);
        touched = until;
    }
    double seconds = seconds_since(start);
    if (at != size) {
        die("%s: read %lld bytes of %lld", path, (long long)at, (long long)size);
    }
    munmap(memory, bytes + HUGE_PAGE);
    close(file);
    return seconds;
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    const char *path = setting_text("file", NULL);
    lines = setting_count("lines", 0);
    settings_done();
    if (!path || lines == 0) {
        die("expected file=F and lines=N");
    }
    uint8_t *piece = bench_memory(PIECE);
    report_begin();
    report_text("what", "read and touch");
    report_end();
    for (turn t; turn_next(&t);) {
        double seconds = take_turn(path, piece);
        report_begin();
        report_number("seconds", seconds);
        report_end();
    }
    return 0;
}
