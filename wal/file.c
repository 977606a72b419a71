/* The operating system's files behind the table of file.h.
 *
 * Guarantees
 *   A  No function retries a sync, and none hides an error of one: what a failed sync has lost is known to nobody.
 *   B  Locks belong to the open file, not to the process (F_OFD_SETLK): a second open in the same process conflicts,
 *      and closing some other handle of the file does not give the lock away.
 */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_with(const char *path, int flags) {
    for (int i = 0; i < HF_INTERRUPTS_MAX; i++) {
        int file = open(path, flags | O_CLOEXEC, 0666);
        if (file >= 0 || errno != EINTR) {
            return file < 0 ? -errno : file;
        }
    }
    return -EINTR;
}

static int system_open(void *context, const char *path, enum hf_open_mode mode) {
    (void)context;
    static const int flags[] = {
        [HF_OPEN_READ] = O_RDONLY,
        [HF_OPEN_WRITE] = O_RDWR,
        [HF_OPEN_LOG] = O_RDWR | O_DIRECT,
        [HF_OPEN_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
        [HF_OPEN_LOCK] = O_RDWR | O_CREAT,
    };
    int file = open_with(path, flags[mode]);
    if (file == -EINVAL && mode == HF_OPEN_LOG) { /* a file system with no way past the page cache */
        file = open_with(path, O_RDWR);
    }
    return file;
}

static int system_close(void *context, int file) {
    (void)context;
    /* Never again after EINTR: Linux has given the descriptor back by then. */
    return close(file) != 0 && errno != EINTR ? -errno : 0;
}

static ssize_t system_read(void *context, int file, void *data, size_t length, uint64_t offset) {
    (void)context;
    ssize_t n = pread(file, data, length, (off_t)offset);
    return n < 0 ? -errno : n;
}

/* Whether the file was written past the page cache; from here on it is not. */
static bool leave_direct(int file) {
    int flags = fcntl(file, F_GETFL);
    bool direct = flags >= 0 && (flags & O_DIRECT) != 0;
    if (direct) {
        (void)fcntl(file, F_SETFL, flags & ~O_DIRECT); /* else the next write is refused as this one was */
    }
    return direct;
}

static ssize_t system_write(void *context, int file, const void *data, size_t length, uint64_t offset) {
    (void)context;
    ssize_t n = pwrite(file, data, length, (off_t)offset);
    if (n < 0 && errno == EINVAL && leave_direct(file)) { /* larger blocks than ours, or what a short write has left */
        n = pwrite(file, data, length, (off_t)offset);
    }
    return n < 0 ? -errno : n;
}

static int system_sync(void *context, int file) {
    (void)context;
    return fdatasync(file) != 0 ? -errno : 0;
}

static int system_size(void *context, int file, uint64_t *bytes) {
    (void)context;
    struct stat facts;
    if (fstat(file, &facts) != 0) {
        return -errno;
    }
    *bytes = (uint64_t)facts.st_size;
    return 0;
}

static int system_truncate(void *context, int file, uint64_t bytes) {
    (void)context;
    return ftruncate(file, (off_t)bytes) != 0 ? -errno : 0;
}

static int system_rename(void *context, const char *from, const char *to) {
    (void)context;
    return rename(from, to) != 0 ? -errno : 0;
}

static int system_remove(void *context, const char *path) {
    (void)context;
    return unlink(path) != 0 ? -errno : 0;
}

static int system_make_directory(void *context, const char *path) {
    (void)context;
    return mkdir(path, 0777) != 0 && errno != EEXIST ? -errno : 0;
}

static int system_sync_directory(void *context, const char *path) {
    (void)context;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -errno;
    }
    int result = fsync(directory) != 0 ? -errno : 0;
    close(directory);
    return result;
}

static int system_list(void *context, const char *directory, int (*visit)(void *visitor, const char *name),
                       void *visitor) {
    (void)context;
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return -errno;
    }
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(listing);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = visit(visitor, entry->d_name);
        }
    }
    closedir(listing);
    return result;
}

static int system_lock(void *context, int file) {
    (void)context;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    return errno == EACCES ? -EAGAIN : -errno;
}

static int system_locked(void *context, int file) {
    (void)context;
    /* Asking for a read lock: it conflicts with a writer's, and a handle opened for reading may ask. */
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_OFD_GETLK, &lock) != 0 ? -errno : lock.l_type != F_UNLCK;
}

static void *system_map(void *context, int file, size_t length, bool write) {
    (void)context;
    void *memory = mmap(NULL, length, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void system_unmap(void *context, void *memory, size_t length) {
    (void)context;
    munmap(memory, length);
}

static int system_drop_cache(void *context, int file) {
    (void)context;
    return -posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static int system_identity(void *context, int file, uint64_t *number) {
    (void)context;
    struct stat facts;
    if (fstat(file, &facts) != 0) {
        return -errno;
    }
    *number = (uint64_t)facts.st_ino;
    return 0;
}

const hf_files *hf_files_system(void) {
    static const hf_files files = {
        .open = system_open,
        .close = system_close,
        .read = system_read,
        .write = system_write,
        .sync = system_sync,
        .size = system_size,
        .truncate = system_truncate,
        .rename = system_rename,
        .remove = system_remove,
        .make_directory = system_make_directory,
        .sync_directory = system_sync_directory,
        .list = system_list,
        .lock = system_lock,
        .locked = system_locked,
        .map = system_map,
        .unmap = system_unmap,
        .drop_cache = system_drop_cache,
        .identity = system_identity,
    };
    return &files;
}

int hf_file_write_all(const hf_files *files, int file, const void *data, size_t length, uint64_t offset) {
    size_t done = 0;
    int interrupts = 0;
    while (done < length) {
        ssize_t n = files->write(files->context, file, (const char *)data + done, length - done, offset + done);
        if (n == -EINTR && ++interrupts < HF_INTERRUPTS_MAX) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? -EIO : (int)n;
        }
        done += (size_t)n;
        interrupts = 0;
    }
    return 0;
}

ssize_t hf_file_read_all(const hf_files *files, int file, void *data, size_t length, uint64_t offset) {
    size_t done = 0;
    int interrupts = 0;
    while (done < length) {
        ssize_t n = files->read(files->context, file, (char *)data + done, length - done, offset + done);
        if (n == -EINTR && ++interrupts < HF_INTERRUPTS_MAX) {
            continue;
        }
        if (n < 0) {
            return n;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
        interrupts = 0;
    }
    return (ssize_t)done;
}
