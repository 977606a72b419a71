/* Copying and comparing directories: copy.h. */
#include "copy.h"

#include "tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 };

static int trouble(const char *directory, const char *name) {
    return hf_tell(HF_EXIT_SYSTEM, "%s/%s: %s", directory, name, strerror(errno));
}

bool hf_is_in_use(const char *directory) {
    char *path;
    if (asprintf(&path, "%s/LOCK", directory) < 0)
        return false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    free(path);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool is_locked = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return is_locked;
}

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), wanted = strlen(end);
    return length >= wanted && strcmp(name + length - wanted, end) == 0;
}

static bool is_wanted(const char *name) {
    return name[0] != '.' && strcmp(name, "LOCK") != 0 && strcmp(name, "durable") != 0 && !ends_with(name, ".tmp");
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static bool copy_bytes(int from, int to, char *buffer) {
    for (;;) {
        ssize_t n = read(from, buffer, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        if (!write_all(to, buffer, (size_t)n))
            return false;
    }
}

static bool copy_file(int from_directory, int to_directory, const char *name, char *buffer) {
    int from = openat(from_directory, name, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1 : openat(to_directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool copied = to >= 0 && copy_bytes(from, to, buffer);
    if (to >= 0)
        copied &= close(to) == 0;
    if (from >= 0)
        close(from);
    return copied;
}

int hf_copy_directory(const char *from, const char *to) {
    DIR *names = opendir(from);
    if (!names)
        return hf_tell(HF_EXIT_SYSTEM, "%s: %s", from, strerror(errno));
    char *buffer = malloc(CHUNK);
    int target = buffer && mkdir(to, 0777) == 0 ? open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int exit_code = target < 0 ? hf_tell(HF_EXIT_SYSTEM, "%s: %s", to, strerror(errno)) : HF_EXIT_FINE;
    for (struct dirent *entry; !exit_code && (entry = readdir(names));)
        if (is_wanted(entry->d_name) && !copy_file(dirfd(names), target, entry->d_name, buffer))
            exit_code = trouble(to, entry->d_name);
    if (target >= 0)
        close(target);
    closedir(names);
    free(buffer);
    return exit_code;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* Fills as much of the buffer as the file has. */
static ssize_t read_chunk(int fd, char *buffer) {
    size_t have = 0;
    while (have < CHUNK) {
        ssize_t n = read(fd, buffer + have, CHUNK - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* Where two files differ; -1: nowhere; -2: one could not be read. */
static int64_t first_difference(int one, int other, char *buffers) {
    for (int64_t at = 0;;) {
        ssize_t n = read_chunk(one, buffers), m = read_chunk(other, buffers + CHUNK);
        if (n < 0 || m < 0)
            return -2;
        ssize_t both = n < m ? n : m;
        for (ssize_t i = 0; i < both; i++)
            if (buffers[i] != buffers[CHUNK + i])
                return at + i;
        if (n != m)
            return at + both;
        if (n == 0)
            return -1;
        at += n;
    }
}

static int compare_file(hf_findings *findings, const char *one, const char *other, const char *name, char *buffers) {
    char *paths[2] = {NULL, NULL};
    if (asprintf(&paths[0], "%s/%s", one, name) < 0 || asprintf(&paths[1], "%s/%s", other, name) < 0) {
        free(paths[0]);
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    }
    int first = open(paths[0], O_RDONLY | O_CLOEXEC), second = open(paths[1], O_RDONLY | O_CLOEXEC);
    int64_t differs = first < 0 ? -2 : second < 0 ? 0 : first_difference(first, second, buffers);
    if (second < 0 && errno != ENOENT)
        differs = -2;
    int exit_code = differs == -2 ? trouble(one, name) : HF_EXIT_FINE;
    if (differs >= 0)
        hf_find(findings, "two recoveries differ: %s and %s, from byte %" PRId64 " on", paths[0], paths[1], differs);
    if (first >= 0)
        close(first);
    if (second >= 0)
        close(second);
    free(paths[0]);
    free(paths[1]);
    return exit_code;
}

static bool is_segment(const char *name) { return strncmp(name, "segment-", 8) == 0; }

static int count_segments(const char *directory) {
    DIR *names = opendir(directory);
    int count = 0;
    for (struct dirent *entry; names && (entry = readdir(names));)
        count += is_segment(entry->d_name);
    if (names)
        closedir(names);
    return count;
}

int hf_compare_segments(hf_findings *findings, const char *one, const char *other) {
    DIR *names = opendir(one);
    char *buffers = malloc(2 * CHUNK);
    int exit_code = names && buffers ? HF_EXIT_FINE : hf_tell(HF_EXIT_SYSTEM, "%s: %s", one, strerror(errno));
    int count = 0;
    for (struct dirent *entry; !exit_code && (entry = readdir(names));) {
        if (is_segment(entry->d_name)) {
            exit_code = compare_file(findings, one, other, entry->d_name, buffers);
            count++;
        }
    }
    if (!exit_code && count != count_segments(other))
        hf_find(findings, "two recoveries differ: %s has %d segments, %s another number", one, count, other);
    if (names)
        closedir(names);
    free(buffers);
    return exit_code;
}

void hf_remove_directory(const char *path) {
    DIR *names = opendir(path);
    for (struct dirent *entry; names && (entry = readdir(names));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(names), entry->d_name, 0);
    if (names)
        closedir(names);
    rmdir(path);
}
