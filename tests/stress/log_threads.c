/* One log, many threads, the system's files: a writer, a thread that prepares and releases, one that reads gauges, and
 * two followers, who must see every committed epoch once, in order, and never one that is not committed. */
#include "wal/atomic.h"
#include "wal/error.h"
#include "wal/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EPOCHS = 3000, LONGEST = 60000, KEPT = 6 };

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "log_threads: line %d: %s: %s\n", __LINE__, #condition, hf_error_detail());                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static char directory[] = "/tmp/holdfast-log-threads-XXXXXX";
static hf_wal *wal;
/* All relaxed: each number is all its message. */
static uint64_t started, slowest[2]; /* epochs: begun, and followed by each follower */
static bool stopped;

static size_t length_of(uint64_t epoch) { return (size_t)(epoch * 7919 % (epoch % 10 ? 3000 : LONGEST)); }

static void *prepare(void *context) {
    (void)context;
    while (!hf_load_relaxed(&stopped)) {
        MUST(hf_wal_prepare(wal, 2) >= 0);
        uint64_t generation = hf_wal_generation(wal);
        MUST(generation < KEPT || hf_wal_release(wal, generation - KEPT + 1) == 0);
    }
    return NULL;
}

static void *gauge(void *context) {
    hf_wal_gauges before = {0}, now;
    (void)context;
    while (!hf_load_relaxed(&stopped)) {
        hf_wal_gauges_read(wal, &now);
        MUST(now.bytes >= before.bytes && now.epochs >= before.epochs && now.syncs >= before.syncs && now.segments > 0);
        MUST(hf_wal_committed(wal) <= EPOCHS && hf_wal_spares(wal) <= 4);
        before = now;
        usleep(1000);
    }
    return NULL;
}

static void *follow(void *context) {
    uint64_t *at = context, expected = 1;
    hf_follow *follower;
    hf_wal_epoch epoch;
    MUST(hf_follow_open(directory, NULL, 0, &follower) == 0);
    while (expected <= EPOCHS) {
        int result = hf_follow_next(follower, &epoch);
        MUST(result == 0 || result == 1);
        if (result == 0) {
            usleep(200);
            continue;
        }
        MUST(epoch.epoch == expected && epoch.length == length_of(expected));
        MUST(epoch.epoch <= hf_load_relaxed(&started));
        for (size_t i = 0; i < epoch.length; i += 997) {
            MUST(epoch.payload[i] == (uint8_t)expected);
        }
        hf_store_relaxed(at, expected++);
    }
    hf_follow_close(follower);
    return NULL;
}

/* The writer, held back so that no follower loses the segment it needs. */
static void write_all(void) {
    static uint8_t bytes[LONGEST];
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        while (epoch > 40 + hf_load_relaxed(&slowest[0]) || epoch > 40 + hf_load_relaxed(&slowest[1])) {
            usleep(100);
        }
        memset(bytes, (int)(epoch & 0xff), sizeof bytes);
        hf_store_relaxed(&started, epoch);
        MUST(hf_wal_begin(wal, epoch, epoch, 1) == 0);
        MUST(hf_wal_put(wal, bytes, length_of(epoch)) == 0);
        MUST(hf_wal_commit(wal) == 0);
    }
}

int main(void) {
    hf_wal_options options = {.files = hf_files_system(), .segment_bytes = 256 << 10};
    static const hf_wal_position beginning;
    hf_wal_found found;
    pthread_t threads[4];
    char command[128];
    MUST(mkdtemp(directory) != NULL);
    MUST(hf_wal_lock(directory, &options, false, &wal) == 0);
    MUST(hf_wal_open(wal, &beginning, NULL, NULL, &found) == 0 && found.is_new);
    MUST(pthread_create(&threads[0], NULL, prepare, NULL) == 0);
    MUST(pthread_create(&threads[1], NULL, gauge, NULL) == 0);
    MUST(pthread_create(&threads[2], NULL, follow, &slowest[0]) == 0);
    MUST(pthread_create(&threads[3], NULL, follow, &slowest[1]) == 0);
    write_all();
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    hf_store_relaxed(&stopped, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("log_threads: %d epochs, %llu segments, each epoch seen once by two followers\n", EPOCHS,
           (unsigned long long)hf_wal_generation(wal));
    hf_wal_close(wal);
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : 1;
}
