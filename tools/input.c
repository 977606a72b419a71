/* Plain, zstd and xz files as one stream of bytes: see input.h for what is guaranteed. */
#include "input.h"

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define RAW_BYTES ((size_t)256 * 1024)
#define XZ_MEMORY ((uint64_t)256 * 1024 * 1024)

enum form { UNKNOWN, PLAIN, ZSTD, XZ };

struct hf_input {
    const char *path;
    int fd;
    int open_errno;
    bool waits; /* a pipe or terminal: poll before read, so that a signal is noticed */
    bool ended; /* the file, not the stream */
    enum form form;
    uint64_t consumed, size;
    size_t raw_begin, raw_end;
    ZSTD_DCtx *zstd;
    bool frame_open; /* zstd: between frames only is an end */
    bool any_frame;
    lzma_stream xz;
    bool xz_ended;
    int exit_code;
    char problem[256];
    char raw[RAW_BYTES];
};

static ssize_t fail(hf_input *input, int exit_code, const char *problem) {
    input->exit_code = exit_code;
    snprintf(input->problem, sizeof input->problem, "%s", problem);
    return HF_INPUT_FAILED;
}

hf_input *hf_input_open(const char *path) {
    hf_input *input = calloc(1, sizeof *input);
    if (!input)
        return NULL;
    input->path = path;
    input->xz = (lzma_stream)LZMA_STREAM_INIT;
    input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (input->fd < 0 || fstat(input->fd, &status) != 0)
        input->open_errno = errno;
    else if (S_ISREG(status.st_mode))
        input->size = (uint64_t)status.st_size;
    else
        input->waits = true;
    if (input->size)
        posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return input;
}

void hf_input_close(hf_input *input) {
    if (!input)
        return;
    ZSTD_freeDCtx(input->zstd);
    lzma_end(&input->xz);
    if (input->fd > STDIN_FILENO)
        close(input->fd);
    free(input);
}

const char *hf_input_problem(const hf_input *input) { return input->problem; }
int hf_input_exit_code(const hf_input *input) { return input->exit_code; }
uint64_t hf_input_consumed(const hf_input *input) { return input->consumed; }
uint64_t hf_input_size(const hf_input *input) { return input->size; }

/* Bytes of the file itself: how many, 0 at its end, or an error. */
static ssize_t read_file(hf_input *input, char *bytes, size_t room) {
    for (;;) {
        if (hf_stop_signal)
            return HF_INPUT_INTERRUPTED;
        struct pollfd wait = {.fd = input->fd, .events = POLLIN};
        if (input->waits && poll(&wait, 1, -1) < 0 && errno == EINTR)
            continue;
        ssize_t got = read(input->fd, bytes, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(input, HF_EXIT_SYSTEM, strerror(errno));
        input->consumed += (uint64_t)got;
        input->ended = got == 0;
        return got;
    }
}

/* Refills the raw buffer if it is empty. 1: there are bytes; 0: the file's end. */
static ssize_t need_raw(hf_input *input) {
    if (input->raw_begin < input->raw_end)
        return 1;
    if (input->ended)
        return 0;
    ssize_t got = read_file(input, input->raw, RAW_BYTES);
    if (got < 0)
        return got;
    input->raw_begin = 0;
    input->raw_end = (size_t)got;
    return got > 0;
}

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && memcmp(path + length - tail, ending, tail) == 0;
}

static bool starts_with(const hf_input *input, const char *magic, size_t length) {
    return input->raw_end >= length && memcmp(input->raw, magic, length) == 0;
}

/* Reads enough of the beginning to know the form, and makes the decoder ready. */
static ssize_t recognise(hf_input *input) {
    if (input->open_errno)
        return fail(input, input->open_errno == ENOENT ? HF_EXIT_DATA : HF_EXIT_SYSTEM, strerror(input->open_errno));
    while (input->raw_end < 6 && !input->ended) {
        ssize_t got = read_file(input, input->raw + input->raw_end, RAW_BYTES - input->raw_end);
        if (got < 0)
            return got;
        input->raw_end += (size_t)got;
    }
    if (starts_with(input, "\x28\xb5\x2f\xfd", 4) || ends_in(input->path, ".zst"))
        input->form = ZSTD;
    else if (starts_with(input,
                         "\xfd"
                         "7zXZ\0",
                         6) ||
             ends_in(input->path, ".xz"))
        input->form = XZ;
    else
        input->form = PLAIN;
    if (input->form == ZSTD && !(input->zstd = ZSTD_createDCtx()))
        return fail(input, HF_EXIT_SYSTEM, "out of memory for zstd");
    if (input->form == XZ && lzma_stream_decoder(&input->xz, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK)
        return fail(input, HF_EXIT_SYSTEM, "out of memory for xz");
    return 1;
}

static ssize_t read_plain(hf_input *input, char *bytes, size_t room) {
    if (input->raw_begin == input->raw_end)
        return input->ended ? 0 : read_file(input, bytes, room);
    size_t length = input->raw_end - input->raw_begin;
    length = length < room ? length : room;
    memcpy(bytes, input->raw + input->raw_begin, length);
    input->raw_begin += length;
    return (ssize_t)length;
}

static ssize_t read_zstd(hf_input *input, char *bytes, size_t room) {
    ZSTD_outBuffer out = {.dst = bytes, .size = room};
    while (out.pos == 0) {
        ssize_t more = need_raw(input);
        if (more < 0)
            return more;
        ZSTD_inBuffer in = {.src = input->raw, .size = input->raw_end, .pos = input->raw_begin};
        size_t result = ZSTD_decompressStream(input->zstd, &out, &in);
        if (ZSTD_isError(result)) {
            snprintf(input->problem, sizeof input->problem, "the zstd stream is damaged: %s",
                     ZSTD_getErrorName(result));
            input->exit_code = HF_EXIT_DATA;
            return HF_INPUT_FAILED;
        }
        input->raw_begin = in.pos;
        if (more || out.pos)
            input->frame_open = result != 0;
        input->any_frame |= more != 0;
        if (!more && out.pos == 0) /* the decoder holds nothing back any more either */
            break;
    }
    if (out.pos == 0 && (input->frame_open || !input->any_frame))
        return fail(input, HF_EXIT_DATA, "the zstd stream is cut short: the file ends within a frame");
    return (ssize_t)out.pos;
}

static ssize_t read_xz(hf_input *input, char *bytes, size_t room) {
    input->xz.next_out = (uint8_t *)bytes;
    input->xz.avail_out = room;
    while (input->xz.avail_out == room && !input->xz_ended) {
        ssize_t more = need_raw(input);
        if (more < 0)
            return more;
        input->xz.next_in = (const uint8_t *)input->raw + input->raw_begin;
        input->xz.avail_in = input->raw_end - input->raw_begin;
        lzma_ret result = lzma_code(&input->xz, more ? LZMA_RUN : LZMA_FINISH);
        input->raw_begin = input->raw_end - input->xz.avail_in;
        input->xz_ended = result == LZMA_STREAM_END;
        if (result == LZMA_MEMLIMIT_ERROR || result == LZMA_MEM_ERROR)
            return fail(input, HF_EXIT_SYSTEM, "the xz stream needs more than 256 MiB of memory");
        if (result == LZMA_BUF_ERROR && !more)
            return fail(input, HF_EXIT_DATA, "the xz stream is cut short: the file ends within it");
        if (result != LZMA_OK && result != LZMA_STREAM_END && result != LZMA_BUF_ERROR)
            return fail(input, HF_EXIT_DATA, "the xz stream is damaged");
    }
    return (ssize_t)(room - input->xz.avail_out);
}

ssize_t hf_input_read(hf_input *input, char *bytes, size_t room) {
    if (input->form == UNKNOWN) {
        ssize_t known = recognise(input);
        if (known < 0)
            return known;
    }
    switch (input->form) {
    case ZSTD:
        return read_zstd(input, bytes, room);
    case XZ:
        return read_xz(input, bytes, room);
    default:
        return read_plain(input, bytes, room);
    }
}
