/* Memory that runs out where a test wants it, and a count of what was not given back. To be included first, in a program
 * whose allocations the linker sends here (tests/CMakeLists.txt); what the program itself allocates, and what it includes
 * behind this, never fails and is not counted.
 *
 *     memory_fail(kinds, n, times)      of these kinds the n-th from now fails, and the `times` - 1 after it
 *     memory_failed()                   none from now on; whether one has
 *     watched.blocks, watched.mapped      what is allocated and mapped; watched.ours: not now, others of the test do it */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MEMORY_HEAP = 1, MEMORY_MAPS = 2 };

static volatile struct { /* volatile: a compiler knows that malloc and free do not look at it */
    unsigned kinds;      /* that are counted, and fail */
    bool ours;
    uint64_t calls, from, times;
    int64_t blocks, mapped; /* bytes */
} watched;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *was, size_t bytes);
void *__real_reallocarray(void *was, size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
void __real_free(void *block);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __real_mprotect(void *at, size_t bytes, int protection);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *was, size_t bytes);
void *__wrap_reallocarray(void *was, size_t count, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_mprotect(void *at, size_t bytes, int protection);

static bool memory_fails(unsigned kind) {
    if ((watched.kinds & kind) == 0) {
        return false;
    }
    watched.calls++;
    bool fails = watched.calls >= watched.from && watched.calls - watched.from < watched.times;
    errno = fails ? ENOMEM : errno;
    return fails;
}

static bool no_heap(void) { return memory_fails(MEMORY_HEAP); }

static void *memory_gave(void *block) {
    watched.blocks += block != NULL && !watched.ours;
    return block;
}

static int64_t whole_pages(size_t bytes) { return (int64_t)((bytes + 4095) / 4096 * 4096); }

void *__wrap_malloc(size_t bytes) { return no_heap() ? NULL : memory_gave(__real_malloc(bytes)); }
void *__wrap_calloc(size_t count, size_t bytes) { return no_heap() ? NULL : memory_gave(__real_calloc(count, bytes)); }
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return no_heap() ? NULL : memory_gave(__real_aligned_alloc(alignment, bytes));
}
char *__wrap_strdup(const char *text) { return no_heap() ? NULL : memory_gave(__real_strdup(text)); }

void *__wrap_realloc(void *was, size_t bytes) {
    return no_heap() ? NULL : was ? __real_realloc(was, bytes) : memory_gave(__real_realloc(was, bytes));
}

void *__wrap_reallocarray(void *was, size_t count, size_t bytes) {
    return no_heap() ? NULL : was ? __real_reallocarray(was, count, bytes) : memory_gave(__real_reallocarray(was, count, bytes));
}

void __wrap_free(void *block) {
    watched.blocks -= block != NULL && !watched.ours;
    __real_free(block);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    void *mapped = memory_fails(MEMORY_MAPS) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
    watched.mapped += mapped == MAP_FAILED ? 0 : whole_pages(bytes);
    return mapped;
}

int __wrap_munmap(void *at, size_t bytes) {
    watched.mapped -= whole_pages(bytes);
    return __real_munmap(at, bytes);
}

int __wrap_mprotect(void *at, size_t bytes, int protection) {
    return memory_fails(MEMORY_MAPS) ? -1 : __real_mprotect(at, bytes, protection);
}

static void memory_fail(unsigned kinds, uint64_t n, uint64_t times) {
    watched.calls = 0;
    watched.from = n;
    watched.times = times;
    watched.kinds = kinds;
}

static bool memory_failed(void) {
    watched.kinds = 0;
    return watched.calls >= watched.from;
}

#define malloc __real_malloc
#define calloc __real_calloc
#define realloc __real_realloc
#undef strdup
#define strdup __real_strdup
#define free __real_free
