/* The outcomes file of a run: see outcomes.h for what is guaranteed.
 *
 *     | header | lines of done operations | lines the log does not know, perhaps a torn one |
 *              checked one by one         ^ cut here, then appended to
 *
 * One buffer serves both halves of its life: first what is read and checked, then what is to be written.
 */
#include "outcomes.h"

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "row,outcome\n"
#define HEADER_BYTES (sizeof HEADER - 1)
#define BUFFER_BYTES ((size_t)1 << 20)
#define LINE_BYTES 64u /* more than any line has */

struct hf_outcomes {
    const char *path;
    int fd;
    uint64_t checked; /* bytes of the file that belong to operations done before, header included */
    uint64_t lines;
    size_t begin, end;
    char buffer[BUFFER_BYTES];
};

static int system_trouble(const hf_outcomes *outcomes, const char *what) {
    return hf_tell(HF_EXIT_SYSTEM, "%s: %s: %s", outcomes->path, what, strerror(errno));
}

/* Syncs the directory that names the file, so that the name survives a power loss with it. */
static int sync_parent(const hf_outcomes *outcomes) {
    char *copy = strdup(outcomes->path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool synced = fd >= 0 && fsync(fd) == 0;
    int exit_code = synced ? HF_EXIT_FINE : system_trouble(outcomes, "syncing its directory");
    if (fd >= 0)
        close(fd);
    free(copy);
    return exit_code;
}

/* Makes sure that a whole line, or all there is, lies in the buffer. */
static int fill(hf_outcomes *outcomes) {
    if (outcomes->end - outcomes->begin >= LINE_BYTES)
        return HF_EXIT_FINE;
    memmove(outcomes->buffer, outcomes->buffer + outcomes->begin, outcomes->end - outcomes->begin);
    outcomes->end -= outcomes->begin;
    outcomes->begin = 0;
    for (;;) {
        ssize_t got = read(outcomes->fd, outcomes->buffer + outcomes->end, BUFFER_BYTES - outcomes->end);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_trouble(outcomes, "reading");
        outcomes->end += (size_t)got;
        if (got == 0 || outcomes->end >= LINE_BYTES)
            return HF_EXIT_FINE;
    }
}

static int check_header(hf_outcomes *outcomes, bool must_exist) {
    int exit_code = fill(outcomes);
    if (exit_code)
        return exit_code;
    size_t there = outcomes->end < HEADER_BYTES ? outcomes->end : HEADER_BYTES;
    if (memcmp(outcomes->buffer, HEADER, there) != 0 || (must_exist && there < HEADER_BYTES))
        return hf_tell(HF_EXIT_DATA, "%s: no outcomes file, expected the line row,outcome first; nothing was changed",
                       outcomes->path);
    if (there == HEADER_BYTES)
        outcomes->checked = HEADER_BYTES;
    outcomes->begin = there;
    return HF_EXIT_FINE;
}

int hf_outcomes_open(const char *path, bool must_exist, hf_outcomes **result) {
    hf_outcomes *outcomes = malloc(sizeof *outcomes);
    if (!outcomes)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    memset(outcomes, 0, offsetof(hf_outcomes, buffer));
    outcomes->path = path;
    outcomes->fd = open(path, O_RDWR | O_CLOEXEC | (must_exist ? 0 : O_CREAT), 0666);
    int exit_code;
    if (outcomes->fd < 0 && must_exist && errno == ENOENT)
        exit_code = hf_tell(HF_EXIT_DATA,
                            "%s: it is missing, but the directory says that rows are done: their outcomes are in the "
                            "file that the earlier run wrote; nothing was changed",
                            path);
    else if (outcomes->fd < 0)
        exit_code = system_trouble(outcomes, "opening");
    else
        exit_code = check_header(outcomes, must_exist);
    *result = outcomes;
    if (exit_code) {
        hf_outcomes_close(outcomes);
        *result = NULL;
    }
    return exit_code;
}

void hf_outcomes_close(hf_outcomes *outcomes) {
    if (!outcomes)
        return;
    if (outcomes->fd >= 0)
        close(outcomes->fd);
    free(outcomes);
}

/* "ROW,WORD" with a word that is an outcome's. */
static bool is_line_of(const char *line, size_t length, uint64_t row) {
    char number[24];
    size_t used = (size_t)snprintf(number, sizeof number, "%" PRIu64 ",", row);
    if (length <= used || memcmp(line, number, used) != 0)
        return false;
    for (hf_outcome outcome = HF_OUTCOME_OK; outcome < HF_OUTCOME_COUNT; outcome++) {
        const char *text = hf_outcome_text(outcome);
        if (length - used == strlen(text) && memcmp(line + used, text, length - used) == 0)
            return true;
    }
    return false;
}

int hf_outcomes_check(hf_outcomes *outcomes, uint64_t row) {
    int exit_code = fill(outcomes);
    if (exit_code)
        return exit_code;
    const char *line = outcomes->buffer + outcomes->begin;
    const char *newline = memchr(line, '\n', outcomes->end - outcomes->begin);
    outcomes->lines++;
    if (!newline)
        return hf_tell(HF_EXIT_DATA,
                       "%s: it ends before the operation of row %" PRIu64
                       ", which the directory says is done: expected "
                       "the file that the earlier run wrote; nothing was changed",
                       outcomes->path, row);
    size_t length = (size_t)(newline - line);
    if (!is_line_of(line, length, row))
        return hf_tell(HF_EXIT_DATA,
                       "%s: line %" PRIu64 " is no outcome of row %" PRIu64
                       ", which stands there in the flow: expected "
                       "the file that the earlier run of this flow wrote; nothing was changed",
                       outcomes->path, outcomes->lines + 1, row);
    outcomes->begin += length + 1;
    outcomes->checked += length + 1;
    return HF_EXIT_FINE;
}

static int write_out(hf_outcomes *outcomes) {
    while (outcomes->begin < outcomes->end) {
        ssize_t put = write(outcomes->fd, outcomes->buffer + outcomes->begin, outcomes->end - outcomes->begin);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return system_trouble(outcomes, "writing");
        outcomes->begin += (size_t)put;
    }
    outcomes->begin = outcomes->end = 0;
    return HF_EXIT_FINE;
}

int hf_outcomes_go_on(hf_outcomes *outcomes) {
    if (ftruncate(outcomes->fd, (off_t)outcomes->checked) != 0 ||
        lseek(outcomes->fd, (off_t)outcomes->checked, SEEK_SET) < 0)
        return system_trouble(outcomes, "cutting back");
    outcomes->begin = outcomes->end = 0;
    if (outcomes->checked == 0) {
        memcpy(outcomes->buffer, HEADER, HEADER_BYTES);
        outcomes->end = HEADER_BYTES;
    }
    int exit_code = hf_outcomes_sync(outcomes);
    return exit_code ? exit_code : sync_parent(outcomes);
}

int hf_outcomes_add(hf_outcomes *outcomes, uint64_t row, hf_outcome outcome) {
    if (BUFFER_BYTES - outcomes->end < LINE_BYTES) {
        int exit_code = write_out(outcomes);
        if (exit_code)
            return exit_code;
    }
    char digits[20], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + row % 10);
    while (row /= 10);
    size_t count = (size_t)(digits + sizeof digits - first);
    char *out = outcomes->buffer + outcomes->end;
    memcpy(out, first, count);
    out[count] = ',';
    const char *text = hf_outcome_text(outcome);
    size_t length = strlen(text);
    memcpy(out + count + 1, text, length);
    out[count + 1 + length] = '\n';
    outcomes->end += count + length + 2;
    return HF_EXIT_FINE;
}

int hf_outcomes_sync(hf_outcomes *outcomes) {
    int exit_code = write_out(outcomes);
    if (exit_code)
        return exit_code;
    return fdatasync(outcomes->fd) == 0 ? HF_EXIT_FINE : system_trouble(outcomes, "syncing");
}
