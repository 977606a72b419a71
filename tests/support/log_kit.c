/* See log_kit.h. */
#include "log_kit.h"

#include "wal/error.h"
#include "wal/segment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void kit_fail(int line, const char *condition, const char *format, ...) {
    char words[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
#if defined(KIT_PLAIN)
    fprintf(stderr, "line %d: %s: %s\n", line, condition, words);
    _exit(1);
#else
    cr_assert_fail("line %d: %s: %s", line, condition, words);
    abort();
#endif
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIT_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KIT_SLOW 1
#endif
#endif

uint64_t kit_rounds(uint64_t otherwise) {
    const char *text = getenv("HF_ROUNDS");
#if defined(KIT_SLOW)
    otherwise = otherwise / 10 + 1;
#endif
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t kit_seed(uint64_t otherwise) {
    const char *text = getenv("HF_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : otherwise;
    fprintf(stderr, "HF_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

uint64_t kit_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t kit_below(uint64_t *state, uint64_t limit) { return kit_next(state) % limit; }

void kit_fill(uint8_t *bytes, uint64_t epoch, size_t length) {
    uint64_t state = epoch * 1000003 + length;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = kit_next(&state);
        memcpy(bytes + i, &word, length - i < 8 ? length - i : 8);
    }
}

uint64_t kit_time(uint64_t epoch) { return 1000 + epoch * 7; }

int kit_collect(void *context, const hf_wal_epoch *epoch) {
    kit_list *list = context;
    uint8_t *expected = malloc(epoch->length + 1);
    if (expected == NULL || list->count == KIT_EPOCHS) {
        abort();
    }
    kit_fill(expected, epoch->epoch, epoch->length);
    if (epoch->length > 0) {
        list->bad |= memcmp(expected, epoch->payload, epoch->length) != 0;
    }
    list->bad |= epoch->time_ms != kit_time(epoch->epoch) || epoch->term == 0;
    list->epochs[list->count] = epoch->epoch;
    list->lengths[list->count++] = epoch->length;
    free(expected);
    return 0;
}

bool kit_is_prefix(const kit_list *list, const kit_list *all) { return kit_continues(list, all, 0); }

bool kit_continues(const kit_list *list, const kit_list *all, size_t from) {
    return !list->bad && from + list->count <= all->count &&
           memcmp(list->epochs, all->epochs + from, list->count * sizeof list->epochs[0]) == 0 &&
           memcmp(list->lengths, all->lengths + from, list->count * sizeof list->lengths[0]) == 0;
}

uint64_t kit_segment_bytes = KIT_SEGMENT;

static int open_with(hf_simulated *disk, bool read_only, const hf_wal_position *position, hf_wal **wal, kit_list *list,
                     hf_wal_found *found) {
    static const hf_wal_position beginning = {0, 0, 0};
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = kit_segment_bytes, .read_only = read_only};
    hf_wal_found ignored;
    if (list != NULL) {
        *list = (kit_list){.count = 0};
    }
    int error = hf_wal_lock(KIT_DIRECTORY, &options, false, wal);
    if (error == HF_SUCCESS) {
        error = hf_wal_open(*wal, position != NULL ? position : &beginning, list != NULL ? kit_collect : NULL, list,
                            found != NULL ? found : &ignored);
    }
    if (error != HF_SUCCESS) {
        hf_wal_close(*wal);
        *wal = NULL;
    }
    return error;
}

int kit_open(hf_simulated *disk, const hf_wal_position *position, hf_wal **wal, kit_list *list, hf_wal_found *found) {
    return open_with(disk, false, position, wal, list, found);
}

int kit_open_read_only(hf_simulated *disk, const hf_wal_position *position, kit_list *list, hf_wal_found *found) {
    hf_wal *wal;
    int error = open_with(disk, true, position, &wal, list, found);
    hf_wal_close(wal);
    return error;
}

int kit_append(hf_wal *wal, uint64_t epoch, size_t length) {
    uint8_t *bytes = malloc(length + 1);
    if (bytes == NULL) {
        abort();
    }
    kit_fill(bytes, epoch, length);
    int error = hf_wal_begin(wal, epoch, kit_time(epoch), 1);
    size_t done = 0;
    for (size_t piece = 1; error == HF_SUCCESS && done < length; piece = piece * 3 + 40) {
        size_t n = length - done < piece ? length - done : piece;
        error = hf_wal_put(wal, bytes + done, n);
        done += n;
    }
    free(bytes);
    return error != HF_SUCCESS ? error : hf_wal_commit(wal);
}

const char *kit_segment(uint64_t generation) {
    static char paths[4][HF_PATH_ROOM];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    hf_segment_path(path, KIT_DIRECTORY, "segment", generation, "");
    return path;
}

typedef struct prefix_count {
    const char *prefix;
    unsigned count;
} prefix_count;

static int count_prefix(void *context, const char *name) {
    prefix_count *count = context;
    count->count += strncmp(name, count->prefix, strlen(count->prefix)) == 0;
    return 0;
}

unsigned kit_files(hf_simulated *disk, const char *prefix) {
    const hf_files *files = hf_simulated_files(disk);
    prefix_count count = {.prefix = prefix};
    files->list(files->context, KIT_DIRECTORY, count_prefix, &count);
    return count.count;
}
