/* The structured log. The contract is in journal.h. */
#include "journal.h"

#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, QUEUE_BYTES = 256 << 10 };

static struct {
    pthread_mutex_t mutex; /* guards the queue */
    char queue[QUEUE_BYTES];
    size_t used;
    uint64_t lost, lost_told;
    void (*wake)(void *context);
    void *wake_context;

    int file;
    const char *path;
    bool json;
    journal_level least;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .file = STDERR_FILENO, .least = JOURNAL_INFO};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* ---- one line ---------------------------------------------------------------------------------------------------- */

typedef struct journal_line {
    char bytes[LINE_BYTES];
    size_t length;
} journal_line;

static void put(journal_line *line, const char *bytes, size_t length) {
    size_t room = sizeof line->bytes - 4 - line->length; /* for the end of the line */
    length = length < room ? length : room;
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
}

static void put_escaped(journal_line *line, const char *value) {
    for (; *value; value++) {
        unsigned char byte = (unsigned char)*value;
        char escape[8];
        if (byte == '"' || byte == '\\')
            put(line, (char[]){'\\', (char)byte}, 2);
        else if (byte < ' ' || byte >= 127)
            put(line, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", byte));
        else
            put(line, value, 1);
    }
}

/* What logfmt needs no quotes for. */
static bool is_plain(const char *value) {
    bool plain = *value != 0;
    for (; plain && *value; value++)
        plain = *value > ' ' && *value < 127 && *value != '=' && *value != '"' && *value != '\\';
    return plain;
}

static void put_pair(journal_line *line, const char *key, const char *value) {
    bool first = line->length == 0;
    if (state.json) {
        put(line, first ? "{\"" : ",\"", 2);
        put(line, key, strlen(key));
        put(line, "\":\"", 3);
        put_escaped(line, value);
        put(line, "\"", 1);
        return;
    }
    if (!first)
        put(line, " ", 1);
    put(line, key, strlen(key));
    put(line, "=", 1);
    bool plain = is_plain(value);
    if (!plain)
        put(line, "\"", 1);
    put_escaped(line, value);
    if (!plain)
        put(line, "\"", 1);
}

static void put_time(journal_line *line) {
    struct timespec now;
    struct tm parts;
    char text[40], whole[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(whole, sizeof whole, "%s.%03ldZ", text, now.tv_nsec / 1000000);
    put_pair(line, "time", whole);
}

static void end(journal_line *line) {
    if (state.json)
        line->bytes[line->length++] = '}';
    line->bytes[line->length++] = '\n';
}

const char *journal_number(uint64_t number) {
    static _Thread_local char buffers[8][24];
    static _Thread_local unsigned next;
    char *buffer = buffers[next++ % 8];
    snprintf(buffer, sizeof buffers[0], "%" PRIu64, number);
    return buffer;
}

void journal(journal_level level, const char *event, ...) {
    if (level < state.least)
        return;
    journal_line line = {.length = 0};
    put_time(&line);
    put_pair(&line, "level", level_names[level]);
    put_pair(&line, "event", event);
    va_list pairs;
    va_start(pairs, event);
    for (const char *key; (key = va_arg(pairs, const char *));)
        put_pair(&line, key, va_arg(pairs, const char *));
    va_end(pairs);
    end(&line);
    pthread_mutex_lock(&state.mutex);
    bool fits = state.used + line.length <= QUEUE_BYTES;
    if (fits) {
        memcpy(state.queue + state.used, line.bytes, line.length);
        state.used += line.length;
    } else {
        counter_add_relaxed(&state.lost, 1); /* relaxed: under the mutex for writers */
    }
    void (*wake)(void *) = state.wake;
    void *context = state.wake_context;
    pthread_mutex_unlock(&state.mutex);
    if (wake)
        wake(context);
    else
        journal_write(); /* before the server runs there is only one thread */
}

uint64_t journal_lost(void) { return counter_read_relaxed(&state.lost); }

/* ---- the file ---------------------------------------------------------------------------------------------------- */

bool journal_open(const hf_settings *settings) {
    static const journal_level levels[] = {JOURNAL_INFO, JOURNAL_DEBUG, JOURNAL_WARNING, JOURNAL_ERROR};
    state.least = levels[settings->log_level];
    state.json = settings->log_format == LOG_JSON;
    state.path = settings->log_file;
    if (!state.path)
        return true;
    state.file = open(state.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (state.file >= 0)
        return true;
    state.file = STDERR_FILENO;
    return false;
}

void journal_reopen(void) {
    int file = state.path ? open(state.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640) : -1;
    if (file < 0)
        return;
    close(state.file);
    state.file = file;
}

void journal_wake_with(void (*wake)(void *context), void *context) {
    pthread_mutex_lock(&state.mutex);
    state.wake = wake;
    state.wake_context = context;
    pthread_mutex_unlock(&state.mutex);
}

static void write_all(const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(state.file, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nobody left to tell */
        bytes += written;
        length -= (size_t)written;
    }
}

void journal_write(void) {
    static char copy[QUEUE_BYTES];
    pthread_mutex_lock(&state.mutex);
    size_t length = state.used;
    memcpy(copy, state.queue, length);
    state.used = 0;
    uint64_t lost = state.lost, told = state.lost_told;
    state.lost_told = lost;
    pthread_mutex_unlock(&state.mutex);
    write_all(copy, length);
    if (lost > told) {
        journal_line line = {.length = 0};
        put_time(&line);
        put_pair(&line, "level", "warning");
        put_pair(&line, "event", "log_lines_lost");
        put_pair(&line, "lines", journal_number(lost - told));
        end(&line);
        write_all(line.bytes, line.length);
    }
}

void journal_close(void) {
    journal_wake_with(NULL, NULL);
    journal_write();
    if (state.file != STDERR_FILENO)
        close(state.file);
    state.file = STDERR_FILENO;
}
