#include "turns.h"

#include "bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool turn_next(turn *next) {
    char line[64];
    if (!fgets(line, sizeof line, stdin)) {
        return false;
    }
    next->seconds = 0;
    if (sscanf(line, "%15s %lf", next->verb, &next->seconds) < 1 || !(next->seconds >= 0 && next->seconds < 3600)) {
        die("a turn is \"VERB SECONDS\", not: %s", line);
    }
    return true;
}

bool turn_is(const turn *t, const char *verb) { return strcmp(t->verb, verb) == 0; }

static bool first_field;

static void begin_field(const char *name) {
    printf("%s\"%s\": ", first_field ? "" : ", ", name);
    first_field = false;
}

void report_begin(void) {
    putchar('{');
    first_field = true;
}

void report_number(const char *name, double value) {
    begin_field(name);
    if (isfinite(value)) {
        printf("%.9g", value);
    } else {
        fputs("null", stdout);
    }
}

void report_count(const char *name, uint64_t value) {
    begin_field(name);
    printf("%" PRIu64, value);
}

void report_raw(const char *name, const char *json) {
    begin_field(name);
    fputs(json, stdout);
}

void report_text(const char *name, const char *text) {
    begin_field(name);
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            printf("\\%c", *text);
        } else if ((unsigned char)*text < 0x20) {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

void report_end(void) {
    puts("}");
    fflush(stdout);
}
