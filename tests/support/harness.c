/* Seeds, directories, clock and failure of the test programs. */
#include "harness.h"

#include "wal/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *program_name = "test";
static uint64_t program_seed;
static bool one_round; /* the seed is that of one round of many */

static uint64_t environment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t harness_begin(const char *program) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    setvbuf(stdout, NULL, _IOLBF, 0);
    program_name = program;
    program_seed = environment("HF_SEED", (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec);
    program_seed += program_seed == 0;
    return program_seed;
}

void harness_seed_is(uint64_t seed) {
    program_seed = seed;
    one_round = true;
}

uint64_t harness_rounds(uint64_t otherwise) { return environment("HF_ROUNDS", otherwise); }

double harness_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double harness_time(double seconds) {
    const char *text = getenv("HF_TIME");
    double factor = text && *text ? strtod(text, NULL) : 1;
    return factor > 0 ? seconds * factor : seconds;
}

void harness_fail(const char *file, int line, const char *what, const char *format, ...) {
    printf("%s: FAILED at %s:%d: %s\n  ", program_name, file, line, what);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n  last error: %s\n  run again with HF_SEED=%llu%s\n", hf_error_detail(), (unsigned long long)program_seed,
           one_round ? " HF_ROUNDS=1" : "");
    fflush(stdout);
    _exit(1);
}

void harness_must(int error, const char *file, int line, const char *what) {
    if (error != HF_SUCCESS) {
        harness_fail(file, line, what, "answered %s", hf_error_name(error));
    }
}

uint64_t harness_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t harness_below(uint64_t *state, uint64_t limit) { return harness_next(state) % limit; }

bool harness_chance(uint64_t *state, unsigned percent) { return harness_below(state, 100) < percent; }

hf_id harness_id(uint64_t a, uint64_t b) {
    hf_id id;
    memcpy(id.bytes, &b, 8);
    memcpy(id.bytes + 8, &a, 8);
    id.bytes[15] &= 0x7f; /* below 0xE0: no packed text */
    return id;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

static void join(char path[HARNESS_PATH], const char *directory, const char *name) {
    CHECK(snprintf(path, HARNESS_PATH, "%s/%s", directory, name) < HARNESS_PATH, "the path of %s is too long", name);
}

void harness_directory(char path[HARNESS_PATH]) {
    const char *parent = getenv("TMPDIR");
    join(path, parent && *parent ? parent : "/tmp", "holdfast-test-XXXXXX");
    CHECK(mkdtemp(path), "%s: %s", path, strerror(errno));
}

/* Calls `visit` for each file of a directory; a directory that is not there has none. */
static void each_file(const char *directory, void (*visit)(void *context, const char *path, const char *name),
                      void *context) {
    DIR *listing = opendir(directory);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char path[HARNESS_PATH];
            join(path, directory, entry->d_name);
            visit(context, path, entry->d_name);
        }
    }
    if (listing) {
        closedir(listing);
    }
}

static void remove_file(void *context, const char *path, const char *name) {
    (void)context;
    (void)name;
    unlink(path);
}

void harness_remove(const char *path) {
    each_file(path, remove_file, NULL);
    rmdir(path);
}

/* Page by page from the end: a log is written forwards, so a page copied later is never older than those behind it. */
static void copy_file(const char *path, const char *target) {
    char data[4096];
    struct stat status;
    int in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return; /* removed since the listing */
    }
    int out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(out >= 0, "%s: %s", target, strerror(errno));
    CHECK(fstat(in, &status) == 0, "%s: %s", path, strerror(errno));
    CHECK(ftruncate(out, status.st_size) == 0, "%s: %s", target, strerror(errno));
    for (off_t page = (status.st_size + 4095) / 4096; page-- > 0;) {
        ssize_t n = pread(in, data, sizeof data, page * 4096);
        CHECK(n >= 0 && pwrite(out, data, (size_t)n, page * 4096) == n, "%s: %s", target, strerror(errno));
    }
    close(in);
    close(out);
}

typedef struct name_list {
    char names[256][256];
    size_t count;
} name_list;

static void list_name(void *context, const char *path, const char *name) {
    name_list *list = context;
    (void)path;
    CHECK(list->count < 256, "too many files");
    snprintf(list->names[list->count++], sizeof list->names[0], "%s", name);
}

/* The page of the durable epoch first, then the newest segments: so none claims more than the copy holds. */
static int copy_order(const void *a, const void *b) {
    bool first = strcmp(a, "durable") == 0, second = strcmp(b, "durable") == 0;
    return first || second ? second - first : strcmp(b, a);
}

void harness_copy(const char *from, char to[HARNESS_PATH]) {
    name_list *list = calloc(1, sizeof *list);
    CHECK(list, "out of memory");
    harness_directory(to);
    each_file(from, list_name, list);
    qsort(list->names, list->count, sizeof list->names[0], copy_order);
    for (size_t i = 0; i < list->count; i++) {
        char path[HARNESS_PATH], target[HARNESS_PATH];
        join(path, from, list->names[i]);
        join(target, to, list->names[i]);
        copy_file(path, target);
    }
    free(list);
}

static uint64_t file_digest(const char *path) {
    static unsigned char data[1 << 16];
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    int file = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n; file >= 0 && (n = read(file, data, sizeof data)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            digest = (digest ^ data[i]) * 0x100000001b3u;
        }
    }
    if (file >= 0) {
        close(file);
    }
    return digest;
}

typedef struct listing {
    char lines[256][256];
    size_t count;
} listing;

static void list_file(void *context, const char *path, const char *name) {
    listing *all = context;
    struct stat status;
    CHECK(all->count < 256, "too many files");
    CHECK(stat(path, &status) == 0, "%s: %s", path, strerror(errno));
    snprintf(all->lines[all->count++], sizeof all->lines[0], "%.100s %lld bytes %lld.%09ld %016llx", name,
             (long long)status.st_size, (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
             (unsigned long long)file_digest(path));
}

static int compare_lines(const void *a, const void *b) { return strcmp(a, b); }

char *harness_listing(const char *path) {
    listing *all = calloc(1, sizeof *all);
    char *text = calloc(257, 256);
    CHECK(all && text, "out of memory");
    each_file(path, list_file, all);
    qsort(all->lines, all->count, sizeof all->lines[0], compare_lines);
    for (size_t i = 0, used = 0; i < all->count; i++) {
        used += (size_t)sprintf(text + used, "%s\n", all->lines[i]);
    }
    free(all);
    return text;
}

typedef struct prefix_count {
    const char *prefix;
    size_t count;
} prefix_count;

static void count_file(void *context, const char *path, const char *name) {
    prefix_count *wanted = context;
    (void)path;
    wanted->count += strncmp(name, wanted->prefix, strlen(wanted->prefix)) == 0;
}

size_t harness_count(const char *path, const char *prefix) {
    prefix_count wanted = {prefix, 0};
    each_file(path, count_file, &wanted);
    return wanted.count;
}

/* ---- clock ------------------------------------------------------------------------------------------------------- */

/* relaxed, both: the value is all the message */
void harness_clock_set(harness_clock *clock, uint64_t now_ms) { hf_store_relaxed(&clock->now_ms, now_ms); }
uint64_t harness_clock_read(void *clock) { return hf_load_relaxed(&((harness_clock *)clock)->now_ms); }

/* ---- engines ----------------------------------------------------------------------------------------------------- */

void harness_options(hf_options *options, uint32_t flags, harness_clock *clock) {
    hf_options_init(options);
    options->flags = flags;
    options->segment_bytes = 1u << 20;
    options->checkpoint_bytes = UINT64_MAX;
    options->clock = clock ? harness_clock_read : NULL;
    options->clock_context = clock;
}

typedef struct crew {
    pthread_barrier_t start;
    void (*run)(void *context);
} crew;

typedef struct hand {
    crew *crew;
    void *context;
    pthread_t thread;
} hand;

static void *work(void *context) {
    hand *h = context;
    pthread_barrier_wait(&h->crew->start);
    h->crew->run(h->context);
    return NULL;
}

void harness_threads(unsigned count, void (*run)(void *context), void *contexts, size_t size) {
    crew c = {.run = run};
    hand *hands = calloc(count, sizeof *hands);
    CHECK(hands && pthread_barrier_init(&c.start, NULL, count) == 0, "no threads");
    for (unsigned i = 0; i < count; i++) {
        hands[i] = (hand){.crew = &c, .context = (char *)contexts + i * size};
        CHECK(pthread_create(&hands[i].thread, NULL, work, &hands[i]) == 0, "no threads");
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(hands[i].thread, NULL);
    }
    pthread_barrier_destroy(&c.start);
    free(hands);
}

typedef struct state_text {
    char **lines;
    size_t count, room;
} state_text;

static void add_line(state_text *text, char *line) {
    if (text->count == text->room) {
        text->room = text->room ? 2 * text->room : 64;
        text->lines = realloc(text->lines, text->room * sizeof *text->lines);
        CHECK(text->lines, "out of memory");
    }
    text->lines[text->count++] = line;
}

static bool describe_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    size_t length;
    const char *name = hf_sku_name(sku, &length);
    char *line;
    CHECK(asprintf(&line, "sku %.*s on_hand %lld reserved %lld version %llu\n", (int)length, name,
                   (long long)stock->on_hand, (long long)stock->reserved, (unsigned long long)stock->version) > 0,
          "out of memory");
    add_line(context, line);
    return true;
}

static bool describe_reservation(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    char id[33], *line;
    long long units = 0;
    hf_id_to_text(found->id, id);
    for (uint32_t i = 0; i < found->line_count; i++) {
        units += lines[i].quantity;
    }
    CHECK(asprintf(&line, "live %s deadline %llu version %llu user %llu lines %u units %lld\n", id,
                   (unsigned long long)found->deadline_ms, (unsigned long long)found->version,
                   (unsigned long long)found->user, found->line_count, units) > 0,
          "out of memory");
    add_line(context, line);
    return true;
}

static int compare_pointed(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

char *harness_state(hf_session *session) {
    state_text text = {0};
    MUST(hf_sku_each(session, describe_sku, &text));
    MUST(hf_reservation_each(session, describe_reservation, &text));
    qsort(text.lines, text.count, sizeof *text.lines, compare_pointed);
    size_t length = 1;
    for (size_t i = 0; i < text.count; i++) {
        length += strlen(text.lines[i]);
    }
    char *all = calloc(1, length), *end = all;
    CHECK(all, "out of memory");
    for (size_t i = 0; i < text.count; i++) {
        end = stpcpy(end, text.lines[i]);
        free(text.lines[i]);
    }
    free(text.lines);
    return all;
}
