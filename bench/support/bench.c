#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *bench_name = "bench";

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", bench_name);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void *need(void *memory) {
    if (!memory) {
        die("out of memory");
    }
    return memory;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

enum { MOST_SETTINGS = 40 };
static struct setting {
    const char *name;
    size_t length;
    const char *value;
    bool asked;
} given[MOST_SETTINGS];
static size_t given_count;

void settings_read(int count, char **arguments) {
    bench_name = strrchr(arguments[0], '/') ? strrchr(arguments[0], '/') + 1 : arguments[0];
    for (int i = 1; i < count; i++) {
        const char *equals = strchr(arguments[i], '=');
        if (!equals || given_count == MOST_SETTINGS) {
            die("\"%s\": expected NAME=VALUE, %d at most", arguments[i], MOST_SETTINGS);
        }
        given[given_count++] = (struct setting){arguments[i], (size_t)(equals - arguments[i]), equals + 1, false};
    }
}

const char *setting_text(const char *name, const char *otherwise) {
    for (size_t i = 0; i < given_count; i++) {
        if (strlen(name) == given[i].length && memcmp(name, given[i].name, given[i].length) == 0) {
            given[i].asked = true;
            return given[i].value;
        }
    }
    return otherwise;
}

double setting_number(const char *name, double otherwise) {
    const char *text = setting_text(name, NULL);
    if (!text) {
        return otherwise;
    }
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0)) {
        die("%s=%s: expected a number, 0 or more", name, text);
    }
    return value;
}

uint64_t setting_count(const char *name, uint64_t otherwise) {
    const char *text = setting_text(name, NULL);
    if (!text) {
        return otherwise;
    }
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end || errno || *text == '-') {
        die("%s=%s: expected a whole number", name, text);
    }
    return value;
}

void settings_done(void) {
    for (size_t i = 0; i < given_count; i++) {
        if (!given[i].asked) {
            die("\"%s\": no such setting", given[i].name);
        }
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

enum { HUGE_PAGE = 2 << 20 };

static size_t whole_pages(size_t bytes) { return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE; }

void *bench_memory(size_t bytes) {
    size_t whole = whole_pages(bytes);
    uint8_t *mapped = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        die("no memory: %zu bytes", whole);
    }
    size_t before = (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    if (before) {
        munmap(mapped, before);
    }
    munmap(mapped + before + whole, HUGE_PAGE - before);
    madvise(mapped + before, whole, MADV_HUGEPAGE); /* advice: where it is refused, small pages do */
    memset(mapped + before, 0, whole);
    return mapped + before;
}

void bench_memory_free(void *memory, size_t bytes) {
    if (memory) {
        munmap(memory, whole_pages(bytes));
    }
}

uint64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total, resident;
    if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2) {
        die("cannot read /proc/self/statm");
    }
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
