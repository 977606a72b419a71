/* Golden files: lines of "offset: bytes" in hexadecimal; what no line names is zero; # begins a comment. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads tests/golden/<name>, beside this file's directory. */
static bool golden_read(const char *name, uint8_t *bytes, size_t room) {
    char path[1024], line[1024];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/../golden/%s", (int)(slash - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    memset(bytes, 0, room);
    bool good = true;
    while (good && fgets(line, sizeof line, file) != NULL) {
        char *at = line, *end;
        if (line[0] == '#' || line[0] == '\n') {
            continue;
        }
        size_t offset = strtoul(at, &end, 16);
        good = *end == ':';
        for (at = end + 1; good; at = end) {
            unsigned long byte = strtoul(at, &end, 16);
            if (end == at) {
                break;
            }
            good = offset < room && byte < 256;
            if (good) {
                bytes[offset++] = (uint8_t)byte;
            }
        }
    }
    fclose(file);
    return good;
}
