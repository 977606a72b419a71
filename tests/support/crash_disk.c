/* The disk of crash_disk.h.
 *
 * A file is two arrays of page pointers, `now` and `synced`; a page that both point to is clean. Whoever writes to a page that has
 * more than one reference gets a copy of his own first.
 */
#include "crash_disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { PAGE = 4096, SECTOR = 512, SECTORS = PAGE / SECTOR, HANDLES = 64, FAILED = 16, FAILED_ROOM = 120 };

typedef struct page {
    unsigned references;
    _Alignas(max_align_t) uint8_t bytes[PAGE]; /* what is mapped is read and written by words */
} page;

typedef struct node {
    unsigned references; /* names now, durable names, handles, mappings, pending changes */
    uint64_t number;
    uint64_t length, synced_length;
    page **now, **synced; /* NULL: zeros */
    uint8_t *lost;        /* of each page: its last sync failed */
    size_t pages;
    int locked_by; /* handle + 1; 0: nobody */
    bool mapped;   /* its first page stays where it is, and may change at any time */
} node;

typedef struct entry {
    char *path;
    node *file;
} entry;

typedef struct names {
    entry *items;
    size_t count, room;
} names;

/* A change of names since the directory's last sync: `path` is now `file` (NULL: gone). A rename is one change. */
typedef struct change {
    char *path, *gone; /* gone: the name that a rename took away, or NULL */
    node *file;
} change;

typedef struct handle {
    node *file;
    bool writable;
    char *path;
} handle;

struct crash_disk {
    hf_files files;
    names now, durable;
    change *changes;
    size_t change_count, change_room;
    handle handles[HANDLES];
    uint64_t next_number;
    unsigned maps;
    void (*watch)(void *context, const char *call, const char *path);
    void *watch_context;
    uint64_t calls, fail_from, fail_to;
    int fail_errno;
    char failed[FAILED][FAILED_ROOM];
    unsigned failed_count;
};

/* One for all disks: they share pages. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *must(void *memory) {
    if (!memory) {
        fprintf(stderr, "crash_disk: out of memory\n");
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

/* ---- pages and files --------------------------------------------------------------------------------------------------------- */

static page *page_copy(const page *from) {
    page *made = must(malloc(sizeof *made));
    if (from) {
        memcpy(made->bytes, from->bytes, PAGE);
    } else {
        memset(made->bytes, 0, PAGE);
    }
    made->references = 1;
    return made;
}

static page *page_share(page *p) {
    if (p) {
        p->references++;
    }
    return p;
}

static void page_drop(page *p) {
    if (p && --p->references == 0) {
        free(p);
    }
}

static node *node_new(crash_disk *disk) {
    node *file = must(calloc(1, sizeof *file));
    file->number = ++disk->next_number;
    return file;
}

static void node_drop(node *file) {
    if (!file || --file->references > 0) {
        return;
    }
    for (size_t i = 0; i < file->pages; i++) {
        page_drop(file->now[i]);
        page_drop(file->synced[i]);
    }
    free(file->now);
    free(file->synced);
    free(file->lost);
    free(file);
}

static void *grow(void *memory, size_t from, size_t to, size_t size) {
    char *bigger = must(reallocarray(memory, to, size));
    memset(bigger + from * size, 0, (to - from) * size);
    return bigger;
}

static void node_reserve(node *file, uint64_t length) {
    size_t pages = (size_t)((length + PAGE - 1) / PAGE);
    if (pages > file->pages) {
        pages = pages < 2 * file->pages ? 2 * file->pages : pages;
        file->now = grow(file->now, file->pages, pages, sizeof *file->now);
        file->synced = grow(file->synced, file->pages, pages, sizeof *file->synced);
        file->lost = grow(file->lost, file->pages, pages, sizeof *file->lost);
        file->pages = pages;
    }
}

static bool is_dirty(const node *file, size_t i) { return file->now[i] != file->synced[i] || (file->mapped && i == 0); }

/* A page that only this file's `now` has. A mapped one always is. */
static page *own_page(node *file, size_t i) {
    page *p = file->now[i];
    if (!p || p->references > 1) {
        file->now[i] = page_copy(p);
        page_drop(p);
    }
    return file->now[i];
}

static const uint8_t *page_bytes(const page *p) {
    static const uint8_t zeros[PAGE];
    return p ? p->bytes : zeros;
}

static void node_write(node *file, const uint8_t *data, size_t length, uint64_t offset) {
    static const uint8_t zeros[PAGE];
    node_reserve(file, offset + length);
    for (size_t done = 0; done < length;) {
        size_t i = (size_t)((offset + done) / PAGE), at = (size_t)((offset + done) % PAGE);
        size_t n = PAGE - at < length - done ? PAGE - at : length - done;
        /* Zeros over zeros change nothing: a new segment stays free of memory. */
        if (file->now[i] || memcmp(data + done, zeros, n) != 0) {
            memcpy(own_page(file, i)->bytes + at, data + done, n);
            file->lost[i] = 0;
        }
        done += n;
    }
    file->length = offset + length > file->length ? offset + length : file->length;
}

static void node_read(const node *file, uint8_t *data, size_t length, uint64_t offset) {
    for (size_t done = 0; done < length;) {
        size_t i = (size_t)((offset + done) / PAGE), at = (size_t)((offset + done) % PAGE);
        size_t n = PAGE - at < length - done ? PAGE - at : length - done;
        memcpy(data + done, page_bytes(i < file->pages ? file->now[i] : NULL) + at, n);
        done += n;
    }
}

static void node_truncate(node *file, uint64_t length) {
    node_reserve(file, length);
    for (size_t i = (size_t)(length / PAGE); length < file->length && i < file->pages; i++) {
        size_t from = i == length / PAGE ? (size_t)(length % PAGE) : 0;
        if (file->now[i]) {
            memset(own_page(file, i)->bytes + from, 0, PAGE - from);
        }
    }
    file->length = length;
}

static void node_sync(node *file, bool fails) {
    for (size_t i = 0; i < file->pages; i++) {
        if (!is_dirty(file, i)) {
            continue;
        }
        if (fails) {
            file->lost[i] = 1;
        } else if (!file->lost[i]) {
            page_drop(file->synced[i]);
            file->synced[i] = file->mapped && i == 0 ? page_copy(file->now[i]) : page_share(file->now[i]);
        }
    }
    file->synced_length = fails ? file->synced_length : file->length;
}

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

static entry *find(names *all, const char *path) {
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].path, path) == 0) {
            return &all->items[i];
        }
    }
    return NULL;
}

/* `path` is `file` from now on; NULL: it is gone. */
static void set_name(names *all, const char *path, node *file) {
    entry *e = find(all, path);
    if (file) {
        file->references++;
    }
    if (e) {
        node_drop(e->file);
        e->file = file;
        if (!file) {
            free(e->path);
            *e = all->items[--all->count];
        }
    } else if (file) {
        if (all->count == all->room) {
            all->room = all->room ? 2 * all->room : 16;
            all->items = must(reallocarray(all->items, all->room, sizeof *all->items));
        }
        all->items[all->count++] = (entry){must(strdup(path)), file};
    }
}

static void free_names(names *all) {
    for (size_t i = 0; i < all->count; i++) {
        free(all->items[i].path);
        node_drop(all->items[i].file);
    }
    free(all->items);
}

static void apply(names *all, const change *c) {
    if (c->gone) {
        set_name(all, c->gone, NULL);
    }
    set_name(all, c->path, c->file);
}

static void free_change(change *c) {
    free(c->path);
    free(c->gone);
    node_drop(c->file);
}

static void change_name(crash_disk *disk, const char *path, const char *gone, node *file) {
    if (disk->change_count == disk->change_room) {
        disk->change_room = disk->change_room ? 2 * disk->change_room : 16;
        disk->changes = must(reallocarray(disk->changes, disk->change_room, sizeof *disk->changes));
    }
    change *c = &disk->changes[disk->change_count++];
    *c = (change){must(strdup(path)), gone ? must(strdup(gone)) : NULL, file};
    if (file) {
        file->references++;
    }
    apply(&disk->now, c);
}

/* ---- calls of the table ---------------------------------------------------------------------------------------------------------- */

/* Counts a call; the error it is to fail with, or 0. *is_short: it shall do only half. */
static int count_call(crash_disk *disk, const char *call, const char *path, bool *is_short) {
    disk->calls++;
    bool fails = disk->calls >= disk->fail_from && disk->calls < disk->fail_to;
    if (fails && disk->failed_count < FAILED) {
        snprintf(disk->failed[disk->failed_count++], FAILED_ROOM, "%s %s", call, path);
    }
    *is_short = fails;
    return fails ? disk->fail_errno : 0;
}

static handle *at(crash_disk *disk, int file) {
    return file >= 0 && file < HANDLES && disk->handles[file].file ? &disk->handles[file] : NULL;
}

static const char *path_of(crash_disk *disk, int file) {
    const handle *h = at(disk, file);
    return h ? h->path : "?";
}

/* Begins a call: tells the watcher of one that changes something, and holds the lock from then on. */
static crash_disk *enter(void *context, const char *call, const char *path, bool changes, int *error, bool *is_short) {
    crash_disk *disk = context;
    if (changes && disk->watch) {
        disk->watch(disk->watch_context, call, path);
    }
    pthread_mutex_lock(&mutex);
    *error = count_call(disk, call, path, is_short);
    return disk;
}

#define ENTER(call, path, changes)                                                                                     \
    int error;                                                                                                         \
    bool is_short;                                                                                                     \
    crash_disk *disk = enter(context, call, path, changes, &error, &is_short);                                         \
    (void)is_short
#define LEAVE(result)                                                                                                  \
    pthread_mutex_unlock(&mutex);                                                                                      \
    return (result)

static int open_locked(crash_disk *disk, const char *path, enum hf_open_mode mode) {
    entry *e = find(&disk->now, path);
    bool makes = mode == HF_OPEN_CREATE || (mode == HF_OPEN_LOCK && !e);
    if (!e && !makes) {
        return -ENOENT;
    }
    node *file = e && !makes ? e->file : node_new(disk);
    if (makes) {
        change_name(disk, path, NULL, file); /* emptying an old file: its bytes are gone only with the name */
    }
    for (int i = 0; i < HANDLES; i++) {
        if (!disk->handles[i].file) {
            disk->handles[i] = (handle){file, mode != HF_OPEN_READ, must(strdup(path))};
            file->references++;
            return i;
        }
    }
    return -EMFILE;
}

static int disk_open(void *context, const char *path, enum hf_open_mode mode) {
    ENTER("open", path, mode == HF_OPEN_CREATE || mode == HF_OPEN_LOCK);
    int result = error ? error : open_locked(disk, path, mode);
    LEAVE(result);
}

static int disk_close(void *context, int file) {
    ENTER("close", path_of(context, file), false);
    handle *h = at(disk, file);
    if (h) {
        h->file->locked_by = h->file->locked_by == file + 1 ? 0 : h->file->locked_by;
        node_drop(h->file);
        free(h->path);
        *h = (handle){0};
    } else {
        error = -EBADF;
    }
    LEAVE(error);
}

static ssize_t disk_read(void *context, int file, void *data, size_t length, uint64_t offset) {
    ENTER("read", path_of(context, file), false);
    handle *h = at(disk, file);
    ssize_t result = !h ? -EBADF : error;
    if (result == 0) {
        uint64_t there = offset < h->file->length ? h->file->length - offset : 0;
        size_t n = length < there ? length : (size_t)there;
        node_read(h->file, data, n, offset);
        result = (ssize_t)n;
    }
    LEAVE(result);
}

static ssize_t disk_write(void *context, int file, const void *data, size_t length, uint64_t offset) {
    ENTER("write", path_of(context, file), true);
    handle *h = at(disk, file);
    ssize_t result = -EBADF;
    if (h && h->writable) {
        size_t n = is_short && length > 1 ? length / 2 : length;
        node_write(h->file, data, n, offset);
        result = error ? error : (ssize_t)n;
    }
    LEAVE(result);
}

static int disk_sync(void *context, int file) {
    ENTER("sync", path_of(context, file), true);
    handle *h = at(disk, file);
    if (h) {
        node_sync(h->file, error != 0);
    } else {
        error = -EBADF;
    }
    LEAVE(error);
}

static int disk_size(void *context, int file, uint64_t *bytes) {
    ENTER("size", path_of(context, file), false);
    handle *h = at(disk, file);
    *bytes = h ? h->file->length : 0;
    LEAVE(h ? error : -EBADF);
}

static int disk_truncate(void *context, int file, uint64_t bytes) {
    ENTER("truncate", path_of(context, file), true);
    handle *h = at(disk, file);
    if (!h || !h->writable) {
        error = -EBADF;
    } else if (!error) {
        node_truncate(h->file, bytes);
    }
    LEAVE(error);
}

static int disk_rename(void *context, const char *from, const char *to) {
    ENTER("rename", to, true);
    entry *e = find(&disk->now, from);
    error = error ? error : e ? 0 : -ENOENT;
    if (!error) {
        change_name(disk, to, from, e->file);
    }
    LEAVE(error);
}

static int disk_remove(void *context, const char *path) {
    ENTER("remove", path, true);
    error = error ? error : find(&disk->now, path) ? 0 : -ENOENT;
    if (!error) {
        change_name(disk, path, NULL, NULL);
    }
    LEAVE(error);
}

static int disk_make_directory(void *context, const char *path) {
    ENTER("make_directory", path, false);
    (void)disk;
    LEAVE(error);
}

/* Every directory at once: the order of changes is the journal's, which has one order for all. */
static int disk_sync_directory(void *context, const char *path) {
    ENTER("sync_directory", path, true);
    for (size_t i = 0; !error && i < disk->change_count; i++) {
        apply(&disk->durable, &disk->changes[i]);
        free_change(&disk->changes[i]);
    }
    disk->change_count = error ? disk->change_count : 0;
    LEAVE(error);
}

static int disk_list(void *context, const char *directory, int (*visit)(void *visitor, const char *name), void *visitor) {
    ENTER("list", directory, false);
    size_t length = strlen(directory), count = 0;
    char **found = must(calloc(disk->now.count + 1, sizeof *found));
    for (size_t i = 0; i < disk->now.count; i++) {
        const char *path = disk->now.items[i].path;
        if (strncmp(path, directory, length) == 0 && path[length] == '/' && !strchr(path + length + 1, '/')) {
            found[count++] = must(strdup(path + length + 1));
        }
    }
    pthread_mutex_unlock(&mutex);
    for (size_t i = 0; i < count; i++) {
        error = error ? error : visit(visitor, found[i]);
        free(found[i]);
    }
    free(found);
    return error;
}

static int disk_lock(void *context, int file) {
    ENTER("lock", path_of(context, file), false);
    handle *h = at(disk, file);
    error = error ? error : !h ? -EBADF : h->file->locked_by && h->file->locked_by != file + 1 ? -EAGAIN : 0;
    if (!error) {
        h->file->locked_by = file + 1;
    }
    LEAVE(error);
}

static int disk_locked(void *context, int file) {
    crash_disk *disk = context;
    pthread_mutex_lock(&mutex);
    const handle *h = at(disk, file);
    int result = !h ? -EBADF : h->file->locked_by != 0 && h->file->locked_by != file + 1;
    LEAVE(result);
}

static void *disk_map(void *context, int file, size_t length, bool write) {
    (void)write;
    ENTER("map", path_of(context, file), false);
    handle *h = at(disk, file);
    void *memory = NULL;
    if (!error && h && length <= PAGE && length <= h->file->length) {
        memory = own_page(h->file, 0)->bytes;
        h->file->mapped = true;
        h->file->references++;
        disk->maps++;
    }
    LEAVE(memory);
}

static node *mapped_in(names *all, const void *memory) {
    for (size_t i = 0; i < all->count; i++) {
        node *file = all->items[i].file;
        if (file->pages > 0 && file->now[0] && file->now[0]->bytes == memory) {
            return file;
        }
    }
    return NULL;
}

/* The file of a mapping keeps its name here. It stays `mapped`: others may have it, too. */
static void disk_unmap(void *context, void *memory, size_t length) {
    (void)length;
    crash_disk *disk = context;
    pthread_mutex_lock(&mutex);
    node *file = mapped_in(&disk->now, memory);
    if (file) {
        disk->maps--;
        node_drop(file);
    }
    pthread_mutex_unlock(&mutex);
}

static int disk_drop_cache(void *context, int file) {
    crash_disk *disk = context;
    pthread_mutex_lock(&mutex);
    const handle *h = at(disk, file);
    for (size_t i = 0; h && i < h->file->pages; i++) {
        if (h->file->lost[i]) {
            page_drop(h->file->now[i]);
            h->file->now[i] = page_share(h->file->synced[i]);
            h->file->lost[i] = 0;
        }
    }
    LEAVE(h ? 0 : -EBADF);
}

static int disk_identity(void *context, int file, uint64_t *number) {
    ENTER("identity", path_of(context, file), false);
    const handle *h = at(disk, file);
    *number = h ? h->file->number : 0;
    LEAVE(h ? error : -EBADF);
}

/* ---- the disk --------------------------------------------------------------------------------------------------------------------- */

/* Engines on images are many, small and short-lived: most of their time would go into the zeros of huge pages. */
static void use_small_pages(void) { (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); }

crash_disk *crash_disk_new(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_small_pages);
    crash_disk *disk = must(calloc(1, sizeof *disk));
    disk->files = (hf_files){
        .context = disk,
        .open = disk_open,
        .close = disk_close,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .size = disk_size,
        .truncate = disk_truncate,
        .rename = disk_rename,
        .remove = disk_remove,
        .make_directory = disk_make_directory,
        .sync_directory = disk_sync_directory,
        .list = disk_list,
        .lock = disk_lock,
        .locked = disk_locked,
        .map = disk_map,
        .unmap = disk_unmap,
        .drop_cache = disk_drop_cache,
        .identity = disk_identity,
    };
    return disk;
}

void crash_disk_free(crash_disk *disk) {
    if (!disk) {
        return;
    }
    pthread_mutex_lock(&mutex);
    free_names(&disk->now);
    free_names(&disk->durable);
    for (size_t i = 0; i < disk->change_count; i++) {
        free_change(&disk->changes[i]);
    }
    for (int i = 0; i < HANDLES; i++) {
        node_drop(disk->handles[i].file);
        free(disk->handles[i].path);
    }
    pthread_mutex_unlock(&mutex);
    free(disk->changes);
    free(disk);
}

const hf_files *crash_disk_files(crash_disk *disk) { return &disk->files; }

/* ---- images ------------------------------------------------------------------------------------------------------------------------ */

/* Where the choices of an image come from: a code, digit by digit; or a seed. */
typedef struct chooser {
    bool keeps_all, is_random;
    uint64_t code, seed;
    uint64_t codes; /* how many there are */
} chooser;

enum choice { DROPPED, KEPT, GARBLED };

static uint64_t choose(chooser *c, uint64_t limit, uint64_t all) {
    c->codes = c->codes > UINT64_MAX / limit ? UINT64_MAX : c->codes * limit;
    if (c->keeps_all) {
        return all;
    }
    if (c->is_random) {
        return random_next(&c->seed) % limit;
    }
    uint64_t digit = c->code % limit;
    c->code /= limit;
    return digit;
}

static enum choice choose_sector(chooser *c) {
    if (!c->is_random) {
        return (enum choice)choose(c, 3, KEPT);
    }
    uint64_t die = random_next(&c->seed) % 16;
    return die < 10 ? KEPT : die < 15 ? DROPPED : GARBLED;
}

/* A page of which some sectors reached the disk. A lost one's did not. */
static page *image_page(const node *file, size_t i, chooser *c) {
    const uint8_t *now = page_bytes(file->now[i]), *synced = page_bytes(file->synced[i]);
    page *made = page_copy(file->synced[i]);
    for (size_t sector = 0; sector < PAGE && (!file->lost[i] || c->keeps_all); sector += SECTOR) {
        if (memcmp(now + sector, synced + sector, SECTOR) == 0) {
            continue;
        }
        enum choice choice = choose_sector(c);
        if (choice == KEPT) {
            memcpy(made->bytes + sector, now + sector, SECTOR);
        }
        uint64_t noise = (uint64_t)i << 20 | sector;
        for (size_t at_byte = 0; choice == GARBLED && at_byte < SECTOR; at_byte += 8) {
            uint64_t garbage = random_next(&noise);
            memcpy(made->bytes + sector + at_byte, &garbage, 8);
        }
    }
    return made;
}

static node *image_node(crash_disk *image, const node *file, chooser *c) {
    node *left = must(calloc(1, sizeof *left));
    left->number = file->number;
    left->length = file->length == file->synced_length || choose(c, 2, 1) ? file->length : file->synced_length;
    node_reserve(left, (uint64_t)file->pages * PAGE);
    for (size_t i = 0; i < file->pages; i++) {
        left->now[i] = is_dirty(file, i) ? image_page(file, i, c) : page_share(file->now[i]);
        left->synced[i] = page_share(c->keeps_all ? file->synced[i] : left->now[i]);
        left->lost[i] = c->keeps_all ? file->lost[i] : 0;
    }
    left->synced_length = c->keeps_all ? file->synced_length : left->length;
    image->next_number = image->next_number > left->number ? image->next_number : left->number;
    return left;
}

/* What there was of a name that is not in the image any more must not come back with its next length: nodes are cut to size. */
static void trim(node *file) {
    uint64_t length = file->length;
    file->length = (uint64_t)file->pages * PAGE;
    node_truncate(file, length);
    for (size_t i = 0; i < file->pages; i++) {
        if (file->now[i] != file->synced[i]) {
            page_drop(file->synced[i]);
            file->synced[i] = page_share(file->now[i]);
        }
    }
}

static crash_disk *make_image(crash_disk *disk, chooser *c) {
    crash_disk *image = crash_disk_new();
    pthread_mutex_lock(&mutex);
    names kept = {0};
    for (size_t i = 0; i < disk->durable.count; i++) {
        set_name(&kept, disk->durable.items[i].path, disk->durable.items[i].file);
    }
    uint64_t changes = choose(c, disk->change_count + 1, disk->change_count);
    for (size_t i = 0; i < changes; i++) {
        apply(&kept, &disk->changes[i]);
    }
    for (size_t i = 0; i < kept.count; i++) {
        node *left = image_node(image, kept.items[i].file, c);
        if (!c->keeps_all && left->length < (uint64_t)left->pages * PAGE) {
            trim(left);
        }
        set_name(&image->now, kept.items[i].path, left);
        set_name(&image->durable, kept.items[i].path, left);
    }
    free_names(&kept);
    pthread_mutex_unlock(&mutex);
    return image;
}

uint64_t crash_disk_codes(crash_disk *disk) {
    chooser c = {.keeps_all = true, .codes = 1};
    crash_disk_free(make_image(disk, &c));
    return c.codes;
}

crash_disk *crash_disk_image(crash_disk *disk, uint64_t code) {
    chooser c = {.code = code, .codes = 1};
    return make_image(disk, &c);
}

crash_disk *crash_disk_random_image(crash_disk *disk, uint64_t seed) {
    chooser c = {.is_random = true, .seed = seed, .codes = 1};
    return make_image(disk, &c);
}

crash_disk *crash_disk_killed(crash_disk *disk) {
    chooser c = {.keeps_all = true, .codes = 1};
    return make_image(disk, &c);
}

/* ---- watching, failing, damaging ----------------------------------------------------------------------------------------------------- */

void crash_disk_watch(crash_disk *disk, void (*watch)(void *context, const char *call, const char *path), void *context) {
    disk->watch = watch;
    disk->watch_context = context;
}

uint64_t crash_disk_calls(const crash_disk *disk) { return disk->calls; }

void crash_disk_fail(crash_disk *disk, uint64_t n, uint64_t times, int negative_errno) {
    pthread_mutex_lock(&mutex);
    disk->fail_from = n > 0 ? disk->calls + n : 0;
    disk->fail_to = n == 0 ? 0 : times > UINT64_MAX - disk->fail_from ? UINT64_MAX : disk->fail_from + times;
    disk->fail_errno = negative_errno;
    disk->failed_count = 0;
    pthread_mutex_unlock(&mutex);
}

const char *crash_disk_failed(const crash_disk *disk, unsigned n) { return n < disk->failed_count ? disk->failed[n] : NULL; }

unsigned crash_disk_open_handles(const crash_disk *disk) {
    unsigned open = disk->maps;
    for (int i = 0; i < HANDLES; i++) {
        open += disk->handles[i].file != NULL;
    }
    return open;
}

bool crash_disk_read(crash_disk *disk, const char *path, uint8_t **bytes, size_t *length) {
    pthread_mutex_lock(&mutex);
    const entry *e = find(&disk->now, path);
    if (e) {
        *length = (size_t)e->file->length;
        *bytes = must(malloc(*length + 1));
        node_read(e->file, *bytes, *length, 0);
    }
    pthread_mutex_unlock(&mutex);
    return e != NULL;
}

void crash_disk_write(crash_disk *disk, const char *path, const void *bytes, size_t length) {
    pthread_mutex_lock(&mutex);
    node *file = node_new(disk);
    if (length > 0) {
        node_write(file, bytes, length, 0);
    }
    node_sync(file, false);
    set_name(&disk->now, path, file);
    set_name(&disk->durable, path, file);
    pthread_mutex_unlock(&mutex);
}

void crash_disk_remove(crash_disk *disk, const char *path) {
    pthread_mutex_lock(&mutex);
    set_name(&disk->now, path, NULL);
    set_name(&disk->durable, path, NULL);
    pthread_mutex_unlock(&mutex);
}

void crash_disk_each(crash_disk *disk, void (*visit)(void *context, const char *path), void *context) {
    for (size_t i = 0; i < disk->now.count; i++) {
        visit(context, disk->now.items[i].path);
    }
}
