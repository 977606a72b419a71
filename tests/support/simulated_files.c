/* The simulated disk of simulated_files.h. Simple, not fast: arrays and one mutex. */
#include "simulated_files.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, MAX_NAMES = 256, MAX_HANDLES = 256, MAX_CHANGES = 4096 };

typedef struct node {
    unsigned references; /* names now, durable names, handles, pending changes */
    uint64_t number;
    size_t length, synced_length;
    uint8_t *current, *synced; /* `room` bytes each, zero behind their lengths */
    uint8_t *lost;             /* a flag a sector: its last sync failed */
    size_t room;
    int locked_by; /* handle + 1; 0: nobody */
    unsigned maps;
} node;

typedef struct entry {
    char *path;
    node *file;
} entry;

/* A change of names since the directory's last sync: `path` is now `file` (NULL: gone). A rename is one change. */
typedef struct change {
    char *path, *gone; /* gone: the name a rename took away, or NULL */
    node *file;
} change;

struct hf_simulated {
    pthread_mutex_t mutex;
    hf_files files;
    entry now[MAX_NAMES], durable[MAX_NAMES];
    change changes[MAX_CHANGES];
    unsigned change_count;
    node *handles[MAX_HANDLES];
    bool writable[MAX_HANDLES];
    uint64_t operations, fail_from, fail_to, next_number, limit;
    int fail_errno;
    bool short_writes;
};

static void *must(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static uint64_t random_next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- nodes and names --------------------------------------------------------------------------------------------- */

static node *node_new(hf_simulated *disk) {
    node *file = must(calloc(1, sizeof *file));
    file->number = ++disk->next_number;
    return file;
}

static void node_drop(node *file) {
    if (file != NULL && --file->references == 0) {
        free(file->current);
        free(file->synced);
        free(file->lost);
        free(file);
    }
}

static void *grow(void *memory, size_t from, size_t to) {
    uint8_t *bigger = must(realloc(memory, to));
    memset(bigger + from, 0, to - from);
    return bigger;
}

static void node_reserve(node *file, size_t length) {
    size_t room = (length + 4095) / 4096 * 4096;
    if (room <= file->room) {
        return;
    }
    if (file->maps > 0) {
        abort(); /* the mapping would dangle */
    }
    room = room < file->room * 2 ? file->room * 2 : room;
    file->current = grow(file->current, file->room, room);
    file->synced = grow(file->synced, file->room, room);
    file->lost = grow(file->lost, file->room / SECTOR, room / SECTOR);
    file->room = room;
}

static entry *find(entry *names, const char *path) {
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (names[i].path != NULL && strcmp(names[i].path, path) == 0) {
            return &names[i];
        }
    }
    return NULL;
}

static void set_name(entry *names, const char *path, node *file) {
    entry *e = find(names, path);
    for (unsigned i = 0; e == NULL && file != NULL; i++) {
        if (i == MAX_NAMES) {
            abort();
        }
        if (names[i].path == NULL) {
            e = &names[i];
            e->path = must(strdup(path));
        }
    }
    if (e == NULL) {
        return;
    }
    node *before = e->file;
    e->file = file;
    if (file != NULL) {
        file->references++;
    } else {
        free(e->path);
        e->path = NULL;
    }
    node_drop(before);
}

static void apply(entry *names, const change *c) {
    if (c->gone != NULL) {
        set_name(names, c->gone, NULL);
    }
    set_name(names, c->path, c->file);
}

static void free_change(change *c) {
    free(c->path);
    free(c->gone);
    node_drop(c->file);
}

static void change_name(hf_simulated *disk, const char *path, const char *gone, node *file) {
    if (disk->change_count == MAX_CHANGES) {
        abort();
    }
    change *c = &disk->changes[disk->change_count++];
    *c = (change){.path = must(strdup(path)), .gone = gone ? must(strdup(gone)) : NULL, .file = file};
    if (file != NULL) {
        file->references++;
    }
    apply(disk->now, c);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Counts an operation; the error it is to fail with, or 0. */
static int count_operation(hf_simulated *disk) {
    disk->operations++;
    return disk->operations >= disk->fail_from && disk->operations < disk->fail_to ? disk->fail_errno : 0;
}

static node *at_handle(hf_simulated *disk, int handle) {
    return handle >= 0 && handle < MAX_HANDLES ? disk->handles[handle] : NULL;
}

#define LOCKED(context)                                                                                                \
    hf_simulated *disk = (context);                                                                                    \
    pthread_mutex_lock(&disk->mutex)
#define UNLOCKED(result)                                                                                               \
    pthread_mutex_unlock(&disk->mutex);                                                                                \
    return (result)

static int open_locked(hf_simulated *disk, const char *path, enum hf_open_mode mode) {
    entry *e = find(disk->now, path);
    bool makes = mode == HF_OPEN_CREATE || (mode == HF_OPEN_LOCK && e == NULL);
    if (e == NULL && !makes) {
        return -ENOENT;
    }
    int error = makes ? count_operation(disk) : 0;
    if (error != 0) {
        return error;
    }
    node *file = e != NULL && !makes ? e->file : node_new(disk);
    if (makes) {
        /* Emptying an old file is modelled as a new one under its name: its bytes are gone only with the name. */
        change_name(disk, path, NULL, file);
    }
    for (int handle = 0; handle < MAX_HANDLES; handle++) {
        if (disk->handles[handle] == NULL) {
            disk->handles[handle] = file;
            disk->writable[handle] = mode != HF_OPEN_READ;
            file->references++;
            return handle;
        }
    }
    return -EMFILE;
}

static int simulated_open(void *context, const char *path, enum hf_open_mode mode) {
    LOCKED(context);
    int result = open_locked(disk, path, mode);
    UNLOCKED(result);
}

static int simulated_close(void *context, int handle) {
    LOCKED(context);
    node *file = at_handle(disk, handle);
    if (file != NULL) {
        file->locked_by = file->locked_by == handle + 1 ? 0 : file->locked_by;
        disk->handles[handle] = NULL;
        node_drop(file);
    }
    UNLOCKED(file == NULL ? -EBADF : 0);
}

static ssize_t simulated_read(void *context, int handle, void *data, size_t length, uint64_t offset) {
    LOCKED(context);
    const node *file = at_handle(disk, handle);
    ssize_t result = -EBADF;
    if (file != NULL) {
        size_t there = offset < file->length ? file->length - (size_t)offset : 0;
        result = (ssize_t)(length < there ? length : there);
        if (result > 0) {
            memcpy(data, file->current + offset, (size_t)result);
        }
    }
    UNLOCKED(result);
}

static uint64_t bytes_of(const hf_simulated *disk) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        bytes += disk->now[i].path != NULL ? disk->now[i].file->length : 0;
    }
    return bytes;
}

static void put(node *file, const void *data, size_t length, size_t offset) {
    if (length == 0) {
        return;
    }
    node_reserve(file, offset + length);
    memcpy(file->current + offset, data, length);
    memset(file->lost + offset / SECTOR, 0, (offset + length - 1) / SECTOR - offset / SECTOR + 1);
    file->length = offset + length > file->length ? offset + length : file->length;
}

static ssize_t write_locked(hf_simulated *disk, int handle, const void *data, size_t length, uint64_t offset) {
    node *file = at_handle(disk, handle);
    if (file == NULL || !disk->writable[handle]) {
        return -EBADF;
    }
    int error = count_operation(disk);
    if (error == 0 && offset + length > file->length && bytes_of(disk) + offset + length - file->length > disk->limit) {
        return -ENOSPC;
    }
    size_t written = (error != 0 || disk->short_writes) && length > 1 ? length / 2 : length;
    put(file, data, written, (size_t)offset);
    return error != 0 ? error : (ssize_t)written;
}

static ssize_t simulated_write(void *context, int handle, const void *data, size_t length, uint64_t offset) {
    LOCKED(context);
    ssize_t result = write_locked(disk, handle, data, length, offset);
    UNLOCKED(result);
}

static void sync_node(node *file, bool fails) {
    for (size_t at = 0; at < file->room; at += SECTOR) {
        if (fails) {
            file->lost[at / SECTOR] |= memcmp(file->current + at, file->synced + at, SECTOR) != 0;
        } else if (!file->lost[at / SECTOR]) {
            memcpy(file->synced + at, file->current + at, SECTOR);
        }
    }
    file->synced_length = fails ? file->synced_length : file->length;
}

static int simulated_sync(void *context, int handle) {
    LOCKED(context);
    node *file = at_handle(disk, handle);
    int error = file == NULL ? -EBADF : count_operation(disk);
    if (file != NULL) {
        sync_node(file, error != 0);
    }
    UNLOCKED(error);
}

static int simulated_size(void *context, int handle, uint64_t *bytes) {
    LOCKED(context);
    const node *file = at_handle(disk, handle);
    *bytes = file != NULL ? file->length : 0;
    UNLOCKED(file != NULL ? 0 : -EBADF);
}

static int simulated_truncate(void *context, int handle, uint64_t bytes) {
    LOCKED(context);
    node *file = at_handle(disk, handle);
    int error = file == NULL || !disk->writable[handle] ? -EBADF : count_operation(disk);
    if (error == 0 && bytes > file->length && bytes_of(disk) + bytes - file->length > disk->limit) {
        error = -ENOSPC;
    }
    if (error == 0) {
        node_reserve(file, (size_t)bytes);
        if (bytes < file->length) {
            memset(file->current + bytes, 0, file->length - (size_t)bytes);
        }
        file->length = (size_t)bytes;
    }
    UNLOCKED(error);
}

static int simulated_rename(void *context, const char *from, const char *to) {
    LOCKED(context);
    entry *e = find(disk->now, from);
    int error = e == NULL ? -ENOENT : count_operation(disk);
    if (error == 0) {
        change_name(disk, to, from, e->file);
    }
    UNLOCKED(error);
}

static int simulated_remove(void *context, const char *path) {
    LOCKED(context);
    int error = find(disk->now, path) == NULL ? -ENOENT : count_operation(disk);
    if (error == 0) {
        change_name(disk, path, NULL, NULL);
    }
    UNLOCKED(error);
}

static int simulated_make_directory(void *context, const char *path) {
    (void)context;
    (void)path;
    return 0;
}

/* Every directory at once: the order of changes is the journal's, which has one order for all. */
static int simulated_sync_directory(void *context, const char *path) {
    (void)path;
    LOCKED(context);
    int error = count_operation(disk);
    for (unsigned i = 0; error == 0 && i < disk->change_count; i++) {
        apply(disk->durable, &disk->changes[i]);
        free_change(&disk->changes[i]);
    }
    disk->change_count = error == 0 ? 0 : disk->change_count;
    UNLOCKED(error);
}

static int simulated_list(void *context, const char *directory, int (*visit)(void *visitor, const char *name),
                          void *visitor) {
    char *names[MAX_NAMES];
    unsigned count = 0;
    size_t length = strlen(directory);
    LOCKED(context);
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        const char *path = disk->now[i].path;
        if (path != NULL && strncmp(path, directory, length) == 0 && path[length] == '/' &&
            strchr(path + length + 1, '/') == NULL) {
            names[count++] = must(strdup(path + length + 1));
        }
    }
    pthread_mutex_unlock(&disk->mutex);
    int result = 0;
    for (unsigned i = 0; i < count; i++) {
        result = result == 0 ? visit(visitor, names[i]) : result;
        free(names[i]);
    }
    return result;
}

static int simulated_lock(void *context, int handle) {
    LOCKED(context);
    node *file = at_handle(disk, handle);
    int result = file == NULL ? -EBADF : file->locked_by != 0 && file->locked_by != handle + 1 ? -EAGAIN : 0;
    if (result == 0) {
        file->locked_by = handle + 1;
    }
    UNLOCKED(result);
}

static int simulated_locked(void *context, int handle) {
    LOCKED(context);
    const node *file = at_handle(disk, handle);
    int result = file == NULL ? -EBADF : file->locked_by != 0 && file->locked_by != handle + 1;
    UNLOCKED(result);
}

static void *simulated_map(void *context, int handle, size_t length, bool write) {
    (void)write;
    LOCKED(context);
    node *file = at_handle(disk, handle);
    void *memory = NULL;
    if (file != NULL && length <= file->length) {
        file->maps++;
        file->references++;
        memory = file->current;
    }
    UNLOCKED(memory);
}

static node *mapped_at(const hf_simulated *disk, const void *memory) {
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (disk->now[i].path != NULL && disk->now[i].file->current == memory) {
            return disk->now[i].file;
        }
    }
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        if (disk->handles[i] != NULL && disk->handles[i]->current == memory) {
            return disk->handles[i];
        }
    }
    return NULL;
}

static void simulated_unmap(void *context, void *memory, size_t length) {
    (void)length;
    LOCKED(context);
    node *file = mapped_at(disk, memory);
    if (file != NULL) {
        file->maps--;
        node_drop(file);
    }
    pthread_mutex_unlock(&disk->mutex);
}

static int simulated_drop_cache(void *context, int handle) {
    LOCKED(context);
    node *file = at_handle(disk, handle);
    for (size_t at = 0; file != NULL && at < file->room; at += SECTOR) {
        if (file->lost[at / SECTOR]) {
            memcpy(file->current + at, file->synced + at, SECTOR);
            file->lost[at / SECTOR] = 0;
        }
    }
    UNLOCKED(file == NULL ? -EBADF : 0);
}

static int simulated_identity(void *context, int handle, uint64_t *number) {
    LOCKED(context);
    const node *file = at_handle(disk, handle);
    *number = file != NULL ? file->number : 0;
    UNLOCKED(file != NULL ? 0 : -EBADF);
}

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

hf_simulated *hf_simulated_new(void) {
    hf_simulated *disk = must(calloc(1, sizeof *disk));
    pthread_mutex_init(&disk->mutex, NULL);
    disk->limit = UINT64_MAX;
    disk->files = (hf_files){
        .context = disk,
        .open = simulated_open,
        .close = simulated_close,
        .read = simulated_read,
        .write = simulated_write,
        .sync = simulated_sync,
        .size = simulated_size,
        .truncate = simulated_truncate,
        .rename = simulated_rename,
        .remove = simulated_remove,
        .make_directory = simulated_make_directory,
        .sync_directory = simulated_sync_directory,
        .list = simulated_list,
        .lock = simulated_lock,
        .locked = simulated_locked,
        .map = simulated_map,
        .unmap = simulated_unmap,
        .drop_cache = simulated_drop_cache,
        .identity = simulated_identity,
    };
    return disk;
}

void hf_simulated_free(hf_simulated *disk) {
    if (disk == NULL) {
        return;
    }
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        node_drop(disk->now[i].path != NULL ? disk->now[i].file : NULL);
        node_drop(disk->durable[i].path != NULL ? disk->durable[i].file : NULL);
        free(disk->now[i].path);
        free(disk->durable[i].path);
    }
    for (unsigned i = 0; i < disk->change_count; i++) {
        free_change(&disk->changes[i]);
    }
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        node_drop(disk->handles[i]);
    }
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

const hf_files *hf_simulated_files(hf_simulated *disk) { return &disk->files; }

/* The sectors of `file` as the crash leaves them. */
static node *crash_node(hf_simulated *image, const node *file, hf_crash crash, uint64_t *state) {
    node *left = must(calloc(1, sizeof *left));
    left->number = file->number;
    bool longer = crash == HF_CRASH_KEEP || (crash == HF_CRASH_MIX && random_next(state) % 2 == 0);
    left->length = longer ? file->length : file->synced_length;
    node_reserve(left, file->room);
    for (size_t at = 0; at < file->room; at += SECTOR) {
        bool kept = memcmp(file->current + at, file->synced + at, SECTOR) == 0;
        bool lost = file->lost[at / SECTOR] && crash != HF_CRASH_KEEP;
        uint64_t choice = kept || lost || crash != HF_CRASH_MIX ? 0 : random_next(state) % 16;
        bool takes_current = kept || (!lost && (crash == HF_CRASH_KEEP || (crash == HF_CRASH_MIX && choice < 10)));
        memcpy(left->current + at, (takes_current ? file->current : file->synced) + at, SECTOR);
        for (size_t i = 0; choice == 15 && i < SECTOR; i += 8) { /* garbled: one in sixteen */
            uint64_t garbage = random_next(state);
            memcpy(left->current + at + i, &garbage, 8);
        }
    }
    if (left->length < left->room) {
        memset(left->current + left->length, 0, left->room - left->length);
    }
    if (left->room > 0) {
        memcpy(left->synced, left->current, left->room);
    }
    if (crash == HF_CRASH_KEEP && left->room > 0) {
        /* A killed process: what a failed sync lost is still shown, and still is not on the disk. */
        memcpy(left->synced, file->synced, left->room);
        memcpy(left->lost, file->lost, left->room / SECTOR);
    }
    left->synced_length = crash == HF_CRASH_KEEP ? file->synced_length : left->length;
    image->next_number = image->next_number > left->number ? image->next_number : left->number;
    return left;
}

hf_simulated *hf_simulated_crash(hf_simulated *disk, hf_crash crash, uint64_t seed) {
    hf_simulated *image = hf_simulated_new();
    uint64_t state = seed;
    pthread_mutex_lock(&disk->mutex);
    entry names[MAX_NAMES] = {{NULL, NULL}};
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (disk->durable[i].path != NULL) {
            set_name(names, disk->durable[i].path, disk->durable[i].file);
        }
    }
    unsigned kept = crash == HF_CRASH_KEEP   ? disk->change_count
                    : crash == HF_CRASH_DROP ? 0
                                             : (unsigned)(random_next(&state) % (disk->change_count + 1));
    for (unsigned i = 0; i < kept; i++) {
        apply(names, &disk->changes[i]);
    }
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (names[i].path != NULL) {
            node *left = crash_node(image, names[i].file, crash, &state);
            set_name(image->now, names[i].path, left);
            set_name(image->durable, names[i].path, left);
            node_drop(names[i].file);
            free(names[i].path);
        }
    }
    pthread_mutex_unlock(&disk->mutex);
    return image;
}

uint64_t hf_simulated_operations(const hf_simulated *disk) { return disk->operations; }

void hf_simulated_fail(hf_simulated *disk, uint64_t n, uint64_t times, int negative_errno) {
    pthread_mutex_lock(&disk->mutex);
    disk->fail_from = n > 0 ? disk->operations + n : 0;
    disk->fail_to = n == 0 ? 0 : times > UINT64_MAX - disk->fail_from ? UINT64_MAX : disk->fail_from + times;
    disk->fail_errno = negative_errno;
    pthread_mutex_unlock(&disk->mutex);
}

void hf_simulated_short_writes(hf_simulated *disk, bool on) { disk->short_writes = on; }
void hf_simulated_limit(hf_simulated *disk, uint64_t bytes) { disk->limit = bytes; }

uint8_t *hf_simulated_bytes(hf_simulated *disk, const char *path, size_t *length) {
    entry *e = find(disk->now, path);
    if (e != NULL && length != NULL) {
        *length = e->file->length;
    }
    return e != NULL ? e->file->current : NULL;
}

bool hf_simulated_poke(hf_simulated *disk, const char *path, uint64_t offset, const void *data, size_t length) {
    entry *e = find(disk->now, path);
    if (e != NULL) {
        put(e->file, data, length, (size_t)offset);
        sync_node(e->file, false);
    }
    return e != NULL;
}

bool hf_simulated_copy(hf_simulated *disk, const char *from, const char *to) {
    entry *e = find(disk->now, from);
    if (e != NULL) {
        node *copy = node_new(disk);
        put(copy, e->file->current, e->file->length, 0);
        sync_node(copy, false);
        set_name(disk->now, to, copy);
        set_name(disk->durable, to, copy);
    }
    return e != NULL;
}

bool hf_simulated_remove(hf_simulated *disk, const char *path) {
    bool found = find(disk->now, path) != NULL;
    set_name(disk->now, path, NULL);
    set_name(disk->durable, path, NULL);
    return found;
}
