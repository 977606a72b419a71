/* File access: the one narrow table through which Holdfast touches a disk, so that tests can put a simulated one under it.
 *
 * Functions return 0 or a positive result, or a negative errno; they never set errno for the caller. Paths are whole
 * (directory included). Handles are ints that only the table's own functions understand.
 */
#ifndef HF_FILE_H
#define HF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum hf_open_mode {
    HF_OPEN_READ,   /* must exist */
    HF_OPEN_WRITE,  /* must exist; read and write */
    HF_OPEN_LOG,    /* the same, past the page cache where that can be had: for whole blocks, from memory aligned as they are */
    HF_OPEN_CREATE, /* read and write; made, or emptied if it exists */
    HF_OPEN_LOCK,   /* read and write; made if missing, never emptied */
};

typedef struct hf_files {
    void *context;
    int (*open)(void *context, const char *path, enum hf_open_mode mode);
    int (*close)(void *context, int file);
    ssize_t (*read)(void *context, int file, void *data, size_t length, uint64_t offset);         /* may be short; 0: the end */
    ssize_t (*write)(void *context, int file, const void *data, size_t length, uint64_t offset);  /* may be short */
    int (*sync)(void *context, int file);                                                         /* fdatasync */
    int (*size)(void *context, int file, uint64_t *bytes);
    int (*truncate)(void *context, int file, uint64_t bytes);
    int (*rename)(void *context, const char *from, const char *to);
    int (*remove)(void *context, const char *path);
    int (*make_directory)(void *context, const char *path);                                       /* 0 also if it exists */
    int (*sync_directory)(void *context, const char *path);
    /* Calls `visit` for every name but . and .. in no order; what it answers other than 0 ends the listing and is returned. */
    int (*list)(void *context, const char *directory, int (*visit)(void *visitor, const char *name), void *visitor);
    int (*lock)(void *context, int file);                             /* exclusive, not waiting: -EAGAIN if it is taken */
    int (*locked)(void *context, int file);                           /* 1: another open of that file has the lock; 0: none */
    void *(*map)(void *context, int file, size_t length, bool write); /* shared mapping; NULL: cannot (not an error) */
    void (*unmap)(void *context, void *memory, size_t length);
    int (*drop_cache)(void *context, int file);                       /* later reads see what the disk holds, where that can
                                                                         be had; what is not synced stays. Advice only */
    int (*identity)(void *context, int file, uint64_t *number);       /* a file and its copy have different ones */
} hf_files;

/* The operating system's files. Never NULL, lives for ever. */
const hf_files *hf_files_system(void);

/* An interrupted call is made again, but after so many in a row its answer is -EINTR. */
#define HF_INTERRUPTS_MAX 1000

/* Writes all or fails: short writes and EINTR are continued, 0 written is -EIO. */
int hf_file_write_all(const hf_files *files, int file, const void *data, size_t length, uint64_t offset);
/* Reads exactly `length` bytes; returns how many there were (fewer only at the file's end), or a negative errno. */
ssize_t hf_file_read_all(const hf_files *files, int file, void *data, size_t length, uint64_t offset);

#endif
