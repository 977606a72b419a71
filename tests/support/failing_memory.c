/* Memory that runs out where a test wants it: the n-th allocation from now fails, once or from then on. To be included
 * first, in a program whose allocations the linker sends here (tests/CMakeLists.txt); what the program itself
 * allocates, and what it includes behind this, never fails. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MEMORY_HEAP = 1, MEMORY_MAPS = 2 };

static volatile struct { /* volatile: a compiler knows that malloc does not look at it */
    uint64_t seen, from, times;
    unsigned kinds;
} missing;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *was, size_t bytes);
void *__real_reallocarray(void *was, size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_mprotect(void *at, size_t bytes, int protection);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *was, size_t bytes);
void *__wrap_reallocarray(void *was, size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *at, size_t bytes, int protection);

static bool memory_fails(unsigned kind) {
    if ((missing.kinds & kind) == 0) {
        return false;
    }
    missing.seen++;
    bool fails = missing.seen >= missing.from && missing.seen - missing.from < missing.times;
    errno = fails ? ENOMEM : errno;
    return fails;
}

void *__wrap_malloc(size_t bytes) { return memory_fails(MEMORY_HEAP) ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) {
    return memory_fails(MEMORY_HEAP) ? NULL : __real_calloc(count, bytes);
}
void *__wrap_realloc(void *was, size_t bytes) { return memory_fails(MEMORY_HEAP) ? NULL : __real_realloc(was, bytes); }
void *__wrap_reallocarray(void *was, size_t count, size_t bytes) {
    return memory_fails(MEMORY_HEAP) ? NULL : __real_reallocarray(was, count, bytes);
}
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return memory_fails(MEMORY_HEAP) ? NULL : __real_aligned_alloc(alignment, bytes);
}
char *__wrap_strdup(const char *text) { return memory_fails(MEMORY_HEAP) ? NULL : __real_strdup(text); }
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    return memory_fails(MEMORY_MAPS) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}
int __wrap_mprotect(void *at, size_t bytes, int protection) {
    return memory_fails(MEMORY_MAPS) ? -1 : __real_mprotect(at, bytes, protection);
}

/* Of the allocations of these kinds the n-th from now fails, and the `times` - 1 after it. */
static void memory_fail(unsigned kinds, uint64_t n, uint64_t times) {
    missing.seen = 0;
    missing.from = n;
    missing.times = times;
    missing.kinds = kinds;
}

/* None from now on; whether one has. */
static bool memory_failed(void) {
    missing.kinds = 0;
    return missing.seen >= missing.from;
}

#define malloc __real_malloc
#define calloc __real_calloc
#define realloc __real_realloc
#undef strdup
#define strdup __real_strdup
