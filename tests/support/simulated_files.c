/* The simulated disk of simulated_files.h. Simple, not fast: arrays and one mutex. */
#include "simulated_files.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, MAX_NAMES = 256, MAX_HANDLES = 256 };

typedef struct node {
    unsigned references; /* names now, durable names, handles, pending changes */
    uint64_t number;
    size_t length, synced_length;
    uint8_t *current, *synced; /* `room` bytes each, zero behind their lengths */
    uint8_t *lost;             /* a flag a sector: its last sync failed */
    size_t room;
    int locked_by; /* handle + 1; 0: nobody */
    unsigned maps;
    struct node *left; /* its copy in the image that is being made */
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

/* Calls to be counted, and those of them that fail. */
typedef struct fault {
    unsigned calls; /* HF_CALL_... */
    uint64_t seen;  /* of them, since this was set */
    uint64_t from, times;
    int result;
} fault;

struct hf_simulated {
    pthread_mutex_t mutex;
    hf_files files;
    entry now[MAX_NAMES], durable[MAX_NAMES];
    change *changes;
    unsigned change_count, change_room;
    node *handles[MAX_HANDLES];
    bool writable[MAX_HANDLES];
    uint64_t operations, next_number, limit;
    fault fault;
    bool short_writes;
    unsigned watched; /* HF_CALL_... and HF_WATCH_... */
    hf_watch watch;
    void *watcher;
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

static void forget_changes(hf_simulated *disk) {
    for (unsigned i = 0; i < disk->change_count; i++) {
        free_change(&disk->changes[i]);
    }
    disk->change_count = 0;
}

static void change_name(hf_simulated *disk, const char *path, const char *gone, node *file) {
    if (disk->change_count == disk->change_room) {
        disk->change_room = disk->change_room * 2 + 16;
        disk->changes = must(realloc(disk->changes, disk->change_room * sizeof disk->changes[0]));
    }
    change *c = &disk->changes[disk->change_count++];
    *c = (change){.path = must(strdup(path)), .gone = gone ? must(strdup(gone)) : NULL, .file = file};
    if (file != NULL) {
        file->references++;
    }
    apply(disk->now, c);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Counts a call; the error it is to fail with, HF_SHORT, or 0. */
static int count_call(hf_simulated *disk, unsigned call) {
    fault *f = &disk->fault;
    disk->operations += (call & HF_CALLS_THAT_CHANGE) != 0;
    if ((f->calls & call) == 0) {
        return 0;
    }
    f->seen++;
    return f->from > 0 && f->seen >= f->from && f->seen - f->from < f->times ? f->result : 0;
}

static node *at_handle(hf_simulated *disk, int handle) {
    return handle >= 0 && handle < MAX_HANDLES ? disk->handles[handle] : NULL;
}

static void look(hf_simulated *disk, unsigned call, unsigned when) {
    if ((disk->watched & call) != 0 && (disk->watched & when) != 0) {
        disk->watch(disk->watcher, disk);
    }
}

/* Begins a call of this kind, and ends it. */
#define LOCKED(call)                                                                                                   \
    hf_simulated *disk = context;                                                                                      \
    look(disk, (call), HF_WATCH_BEFORE);                                                                               \
    pthread_mutex_lock(&disk->mutex)
#define UNLOCKED(call, result)                                                                                         \
    pthread_mutex_unlock(&disk->mutex);                                                                                \
    look(disk, (call), HF_WATCH_AFTER);                                                                                \
    return (result)

static int open_locked(hf_simulated *disk, const char *path, enum hf_open_mode mode) {
    entry *e = find(disk->now, path);
    bool makes = mode == HF_OPEN_CREATE || (mode == HF_OPEN_LOCK && e == NULL);
    int error = count_call(disk, makes ? HF_CALL_MAKE : HF_CALL_OPEN);
    if (error != 0) {
        return error;
    }
    if (e == NULL && !makes) {
        return -ENOENT;
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
    LOCKED(HF_CALL_MAKE | HF_CALL_OPEN);
    int result = open_locked(disk, path, mode);
    UNLOCKED(HF_CALL_MAKE | HF_CALL_OPEN, result);
}

static int simulated_close(void *context, int handle) {
    LOCKED(HF_CALL_CLOSE);
    node *file = at_handle(disk, handle);
    if (file != NULL) {
        file->locked_by = file->locked_by == handle + 1 ? 0 : file->locked_by;
        disk->handles[handle] = NULL;
        node_drop(file);
    }
    int error = count_call(disk, HF_CALL_CLOSE);
    UNLOCKED(HF_CALL_CLOSE, file == NULL ? -EBADF : error);
}

static ssize_t simulated_read(void *context, int handle, void *data, size_t length, uint64_t offset) {
    LOCKED(HF_CALL_READ);
    const node *file = at_handle(disk, handle);
    ssize_t result = file == NULL ? -EBADF : count_call(disk, HF_CALL_READ);
    if (result >= 0) {
        length = result == HF_SHORT && length > 1 ? length / 2 : length;
        size_t there = offset < file->length ? file->length - (size_t)offset : 0;
        result = (ssize_t)(length < there ? length : there);
        if (result > 0) {
            memcpy(data, file->current + offset, (size_t)result);
        }
    }
    UNLOCKED(HF_CALL_READ, result);
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
    int error = count_call(disk, HF_CALL_WRITE);
    if (error >= 0 && offset + length > file->length && bytes_of(disk) + offset + length - file->length > disk->limit) {
        return -ENOSPC;
    }
    size_t written = (error != 0 || disk->short_writes) && length > 1 ? length / 2 : length;
    put(file, data, written, (size_t)offset);
    return error < 0 ? error : (ssize_t)written;
}

static ssize_t simulated_write(void *context, int handle, const void *data, size_t length, uint64_t offset) {
    LOCKED(HF_CALL_WRITE);
    ssize_t result = write_locked(disk, handle, data, length, offset);
    UNLOCKED(HF_CALL_WRITE, result);
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
    LOCKED(HF_CALL_SYNC);
    node *file = at_handle(disk, handle);
    int error = file == NULL ? -EBADF : count_call(disk, HF_CALL_SYNC);
    if (file != NULL) {
        sync_node(file, error != 0);
    }
    UNLOCKED(HF_CALL_SYNC, error);
}

static int simulated_size(void *context, int handle, uint64_t *bytes) {
    LOCKED(HF_CALL_SIZE);
    const node *file = at_handle(disk, handle);
    int error = file == NULL ? -EBADF : count_call(disk, HF_CALL_SIZE);
    *bytes = error == 0 ? file->length : 0;
    UNLOCKED(HF_CALL_SIZE, error);
}

static int simulated_truncate(void *context, int handle, uint64_t bytes) {
    LOCKED(HF_CALL_TRUNCATE);
    node *file = at_handle(disk, handle);
    int error = file == NULL || !disk->writable[handle] ? -EBADF : count_call(disk, HF_CALL_TRUNCATE);
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
    UNLOCKED(HF_CALL_TRUNCATE, error);
}

static int simulated_rename(void *context, const char *from, const char *to) {
    LOCKED(HF_CALL_RENAME);
    entry *e = find(disk->now, from);
    int error = e == NULL ? -ENOENT : count_call(disk, HF_CALL_RENAME);
    if (error == 0) {
        change_name(disk, to, from, e->file);
    }
    UNLOCKED(HF_CALL_RENAME, error);
}

static int simulated_remove(void *context, const char *path) {
    LOCKED(HF_CALL_REMOVE);
    int error = find(disk->now, path) == NULL ? -ENOENT : count_call(disk, HF_CALL_REMOVE);
    if (error == 0) {
        change_name(disk, path, NULL, NULL);
    }
    UNLOCKED(HF_CALL_REMOVE, error);
}

static int simulated_make_directory(void *context, const char *path) {
    (void)path;
    LOCKED(HF_CALL_MAKE_DIRECTORY);
    int error = count_call(disk, HF_CALL_MAKE_DIRECTORY);
    UNLOCKED(HF_CALL_MAKE_DIRECTORY, error);
}

/* Every directory at once: the order of changes is the journal's, which has one order for all. */
static int simulated_sync_directory(void *context, const char *path) {
    (void)path;
    LOCKED(HF_CALL_SYNC_DIRECTORY);
    int error = count_call(disk, HF_CALL_SYNC_DIRECTORY);
    for (unsigned i = 0; error == 0 && i < disk->change_count; i++) {
        apply(disk->durable, &disk->changes[i]);
    }
    forget_changes(disk); /* failed: they are seen as before, and no later sync makes them durable */
    UNLOCKED(HF_CALL_SYNC_DIRECTORY, error);
}

static int simulated_list(void *context, const char *directory, int (*visit)(void *visitor, const char *name),
                          void *visitor) {
    char *names[MAX_NAMES];
    unsigned count = 0;
    size_t length = strlen(directory);
    LOCKED(HF_CALL_LIST);
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        const char *path = disk->now[i].path;
        if (path != NULL && strncmp(path, directory, length) == 0 && path[length] == '/' &&
            strchr(path + length + 1, '/') == NULL) {
            names[count++] = must(strdup(path + length + 1));
        }
    }
    int result = count_call(disk, HF_CALL_LIST);
    pthread_mutex_unlock(&disk->mutex);
    look(disk, HF_CALL_LIST, HF_WATCH_AFTER);
    for (unsigned i = 0; i < count; i++) {
        result = result == 0 ? visit(visitor, names[i]) : result;
        free(names[i]);
    }
    return result;
}

static int simulated_lock(void *context, int handle) {
    LOCKED(HF_CALL_LOCK);
    node *file = at_handle(disk, handle);
    int result = file == NULL ? -EBADF : count_call(disk, HF_CALL_LOCK);
    result = result == 0 && file->locked_by != 0 && file->locked_by != handle + 1 ? -EAGAIN : result;
    if (result == 0) {
        file->locked_by = handle + 1;
    }
    UNLOCKED(HF_CALL_LOCK, result);
}

static int simulated_locked(void *context, int handle) {
    LOCKED(HF_CALL_LOCK);
    const node *file = at_handle(disk, handle);
    int result = file == NULL ? -EBADF : count_call(disk, HF_CALL_LOCK);
    result = result == 0 ? file->locked_by != 0 && file->locked_by != handle + 1 : result;
    UNLOCKED(HF_CALL_LOCK, result);
}

static void *simulated_map(void *context, int handle, size_t length, bool write) {
    (void)write;
    LOCKED(HF_CALL_MAP);
    node *file = at_handle(disk, handle);
    void *memory = NULL;
    if (file != NULL && length <= file->length && count_call(disk, HF_CALL_MAP) == 0) {
        file->maps++;
        file->references++;
        memory = file->current;
    }
    UNLOCKED(HF_CALL_MAP, memory);
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
    LOCKED(HF_CALL_MAP);
    node *file = mapped_at(disk, memory);
    if (file != NULL) {
        file->maps--;
        node_drop(file);
    }
    pthread_mutex_unlock(&disk->mutex);
}

static int simulated_drop_cache(void *context, int handle) {
    LOCKED(HF_CALL_DROP_CACHE);
    node *file = at_handle(disk, handle);
    int error = file == NULL ? -EBADF : count_call(disk, HF_CALL_DROP_CACHE);
    for (size_t at = 0; error == 0 && at < file->room; at += SECTOR) {
        if (file->lost[at / SECTOR]) {
            memcpy(file->current + at, file->synced + at, SECTOR);
            file->lost[at / SECTOR] = 0;
        }
    }
    UNLOCKED(HF_CALL_DROP_CACHE, error);
}

static int simulated_identity(void *context, int handle, uint64_t *number) {
    LOCKED(HF_CALL_IDENTITY);
    const node *file = at_handle(disk, handle);
    int error = file == NULL ? -EBADF : count_call(disk, HF_CALL_IDENTITY);
    *number = error == 0 ? file->number : 0;
    UNLOCKED(HF_CALL_IDENTITY, error);
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
    forget_changes(disk);
    free(disk->changes);
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        node_drop(disk->handles[i]);
    }
    pthread_mutex_destroy(&disk->mutex);
    free(disk);
}

const hf_files *hf_simulated_files(hf_simulated *disk) { return &disk->files; }

/* ---- crash images ------------------------------------------------------------------------------------------------ */

/* How a power loss decides. */
typedef struct fate {
    const hf_fate *sectors; /* NULL: by `state` */
    size_t next;
    uint64_t state;
} fate;

static hf_fate decide(fate *f) {
    if (f->sectors != NULL) {
        return f->sectors[f->next++];
    }
    uint64_t choice = random_next(&f->state) % 16; /* garbled: one in sixteen */
    return choice < 10 ? HF_SECTOR_KEPT : choice < 15 ? HF_SECTOR_DROPPED : HF_SECTOR_GARBLED;
}

static bool is_unsynced(const node *file, size_t at) {
    return !file->lost[at / SECTOR] && memcmp(file->current + at, file->synced + at, SECTOR) != 0;
}

static node *node_copy(hf_simulated *image, const node *file) {
    node *left = must(calloc(1, sizeof *left));
    left->number = file->number;
    left->length = file->length;
    left->synced_length = file->synced_length;
    node_reserve(left, file->room);
    if (file->room > 0) {
        memcpy(left->current, file->current, file->room);
        memcpy(left->synced, file->synced, file->room);
        memcpy(left->lost, file->lost, file->room / SECTOR);
    }
    image->next_number = image->next_number > left->number ? image->next_number : left->number;
    return left;
}

/* After a power loss: what is left, is left on the disk. `f` NULL: only what was synced. */
static node *node_left(hf_simulated *image, const node *file, fate *f) {
    node *left = node_copy(image, file);
    for (size_t at = 0; at < file->room; at += SECTOR) {
        hf_fate how = f != NULL && is_unsynced(file, at) ? decide(f) : HF_SECTOR_DROPPED;
        for (size_t i = 0; how == HF_SECTOR_GARBLED && i < SECTOR; i += 8) {
            uint64_t garbage = random_next(&f->state);
            memcpy(left->synced + at + i, &garbage, 8);
        }
        if (how == HF_SECTOR_KEPT) {
            memcpy(left->synced + at, file->current + at, SECTOR);
        }
    }
    left->length = f != NULL && random_next(&f->state) % 2 == 0 ? file->length : file->synced_length;
    left->synced_length = left->length;
    if (left->room > 0) {
        memset(left->synced + left->length, 0, left->room - left->length);
        memcpy(left->current, left->synced, left->room);
        memset(left->lost, 0, left->room / SECTOR);
    }
    return left;
}

/* The names that are left if the first `kept` changes since the last sync are. */
static void names_left(const hf_simulated *disk, unsigned kept, entry names[MAX_NAMES]) {
    memset(names, 0, MAX_NAMES * sizeof names[0]);
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (disk->durable[i].path != NULL) {
            set_name(names, disk->durable[i].path, disk->durable[i].file);
        }
    }
    for (unsigned i = 0; i < kept; i++) {
        apply(names, &disk->changes[i]);
    }
}

static void forget_names(entry names[MAX_NAMES]) {
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (names[i].path != NULL) {
            node_drop(names[i].file);
            free(names[i].path);
        }
    }
}

static hf_simulated *power_loss(hf_simulated *disk, unsigned kept, fate *f) {
    hf_simulated *image = hf_simulated_new();
    entry names[MAX_NAMES];
    names_left(disk, kept, names);
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (names[i].path != NULL) {
            node *left = node_left(image, names[i].file, f);
            set_name(image->now, names[i].path, left);
            set_name(image->durable, names[i].path, left);
        }
    }
    forget_names(names);
    return image;
}

static node *copy_once(hf_simulated *image, node *file) {
    if (file != NULL && file->left == NULL) {
        file->left = node_copy(image, file);
    }
    return file != NULL ? file->left : NULL;
}

/* A killed process: everything is seen as before, and what was not durable still is not. */
static hf_simulated *killed(hf_simulated *disk) {
    hf_simulated *image = hf_simulated_new();
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (disk->now[i].path != NULL) {
            set_name(image->now, disk->now[i].path, copy_once(image, disk->now[i].file));
        }
        if (disk->durable[i].path != NULL) {
            set_name(image->durable, disk->durable[i].path, copy_once(image, disk->durable[i].file));
        }
    }
    image->change_count = image->change_room = disk->change_count;
    image->changes = disk->change_count > 0 ? must(calloc(disk->change_count, sizeof image->changes[0])) : NULL;
    for (unsigned i = 0; i < disk->change_count; i++) {
        const change *c = &disk->changes[i];
        image->changes[i] = (change){must(strdup(c->path)), c->gone ? must(strdup(c->gone)) : NULL, NULL};
        if (c->file != NULL) {
            image->changes[i].file = copy_once(image, c->file);
            image->changes[i].file->references++;
        }
    }
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        if (disk->now[i].path != NULL) {
            disk->now[i].file->left = NULL;
        }
        if (disk->durable[i].path != NULL) {
            disk->durable[i].file->left = NULL;
        }
    }
    for (unsigned i = 0; i < disk->change_count; i++) {
        if (disk->changes[i].file != NULL) {
            disk->changes[i].file->left = NULL;
        }
    }
    return image;
}

hf_simulated *hf_simulated_crash(hf_simulated *disk, hf_crash crash, uint64_t seed) {
    fate f = {.state = seed};
    pthread_mutex_lock(&disk->mutex);
    unsigned kept = crash == HF_CRASH_MIX ? (unsigned)(random_next(&f.state) % (disk->change_count + 1)) : 0;
    hf_simulated *image =
        crash == HF_CRASH_KEEP ? killed(disk) : power_loss(disk, kept, kept == 0 && crash == HF_CRASH_DROP ? NULL : &f);
    pthread_mutex_unlock(&disk->mutex);
    return image;
}

unsigned hf_simulated_changes(hf_simulated *disk) { return disk->change_count; }

size_t hf_simulated_unsynced(hf_simulated *disk, unsigned changes) {
    entry names[MAX_NAMES];
    size_t count = 0;
    pthread_mutex_lock(&disk->mutex);
    names_left(disk, changes, names);
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        for (size_t at = 0; names[i].path != NULL && at < names[i].file->room; at += SECTOR) {
            count += is_unsynced(names[i].file, at);
        }
    }
    forget_names(names);
    pthread_mutex_unlock(&disk->mutex);
    return count;
}

hf_simulated *hf_simulated_crash_as(hf_simulated *disk, unsigned changes, const hf_fate *sectors, uint64_t seed) {
    fate f = {.sectors = sectors, .state = seed};
    pthread_mutex_lock(&disk->mutex);
    hf_simulated *image = power_loss(disk, changes, &f);
    pthread_mutex_unlock(&disk->mutex);
    return image;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

unsigned hf_simulated_held(hf_simulated *disk) {
    unsigned held = 0;
    pthread_mutex_lock(&disk->mutex);
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        held += disk->handles[i] != NULL;
    }
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        held += disk->now[i].path != NULL ? disk->now[i].file->maps : 0;
    }
    pthread_mutex_unlock(&disk->mutex);
    return held;
}

uint64_t hf_simulated_operations(const hf_simulated *disk) { return disk->operations; }

void hf_simulated_fault(hf_simulated *disk, unsigned calls, uint64_t n, uint64_t times, int result) {
    pthread_mutex_lock(&disk->mutex);
    disk->fault = (fault){.calls = calls, .from = n, .times = times, .result = result};
    pthread_mutex_unlock(&disk->mutex);
}

void hf_simulated_fail(hf_simulated *disk, uint64_t n, uint64_t times, int negative_errno) {
    hf_simulated_fault(disk, HF_CALLS_THAT_CHANGE, n, times, negative_errno);
}

uint64_t hf_simulated_calls(const hf_simulated *disk) { return disk->fault.seen; }

void hf_simulated_watch(hf_simulated *disk, unsigned calls, hf_watch watch, void *context) {
    disk->watched = calls;
    disk->watch = watch;
    disk->watcher = context;
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

static bool is_left_out(const char *path, const char *const *left_out) {
    const char *name = strrchr(path, '/') + 1;
    for (; left_out != NULL && *left_out != NULL; left_out++) {
        if (strcmp(name, *left_out) == 0) {
            return true;
        }
    }
    return false;
}

static const char *first_missing(hf_simulated *a, hf_simulated *b, const char *const *left_out) {
    for (unsigned i = 0; i < MAX_NAMES; i++) {
        const entry *e = &a->now[i];
        if (e->path == NULL || is_left_out(e->path, left_out)) {
            continue;
        }
        const entry *other = find(b->now, e->path);
        if (other == NULL || other->file->length != e->file->length ||
            (e->file->length > 0 && memcmp(other->file->current, e->file->current, e->file->length) != 0)) {
            return e->path;
        }
    }
    return NULL;
}

const char *hf_simulated_differ(hf_simulated *a, hf_simulated *b, const char *const *left_out) {
    const char *path = first_missing(a, b, left_out);
    return path != NULL ? path : first_missing(b, a, left_out);
}

bool hf_simulated_remove(hf_simulated *disk, const char *path) {
    bool found = find(disk->now, path) != NULL;
    set_name(disk->now, path, NULL);
    set_name(disk->durable, path, NULL);
    return found;
}
