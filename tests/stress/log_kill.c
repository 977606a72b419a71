/* A process that writes a log is killed with -9 at any moment, again and again; another follows it from the start.
 * Every epoch the writer called committed is there afterwards, and the follower has seen exactly what a replay sees. */
#include "wal/error.h"
#include "wal/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 60, LONGEST = 400000, MOST = 100000 };

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "log_kill: line %d: %s: %s (HF_SEED=%llu, %s)\n", __LINE__, #condition, hf_error_detail(), \
                    (unsigned long long)seed, directory);                                                              \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static char directory[] = "/tmp/holdfast-log-kill-XXXXXX";
static uint64_t seed, state;
static uint64_t seen[MOST], replayed[MOST];
static size_t seen_count, replayed_count;

static uint64_t next_random(void) {
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t length_of(uint64_t epoch) { return (size_t)(epoch * 104729 % (epoch % 16 ? 5000 : LONGEST)); }

static int replay(void *context, const hf_wal_epoch *epoch) {
    (void)context;
    MUST(replayed_count < MOST && epoch->length == length_of(epoch->epoch));
    for (size_t i = 0; i < epoch->length; i += 61) {
        MUST(epoch->payload[i] == (uint8_t)(epoch->epoch * 31 + i));
    }
    replayed[replayed_count++] = epoch->epoch;
    return 0;
}

static hf_wal *open_log(hf_wal_found *found) {
    hf_wal_options options = {.files = hf_files_system(), .segment_bytes = 256 << 10};
    static const hf_wal_position beginning;
    hf_wal *wal;
    replayed_count = 0;
    MUST(hf_wal_lock(directory, &options, false, &wal) == 0);
    MUST(hf_wal_open(wal, &beginning, replay, NULL, found) == 0);
    return wal;
}

/* Writes for ever; tells through the pipe what is committed. */
static void write_until_killed(int pipe_end) {
    static uint8_t bytes[LONGEST];
    hf_wal_found found;
    hf_wal *wal = open_log(&found);
    for (uint64_t epoch = found.highest_seen + 1;; epoch++) {
        for (size_t i = 0; i < length_of(epoch); i++) {
            bytes[i] = (uint8_t)(epoch * 31 + i);
        }
        MUST(hf_wal_begin(wal, epoch, epoch, 1) == 0 && hf_wal_put(wal, bytes, length_of(epoch)) == 0);
        MUST(hf_wal_commit(wal) == 0);
        MUST(write(pipe_end, &epoch, sizeof epoch) == (ssize_t)sizeof epoch);
        MUST(epoch % 5 != 0 || hf_wal_prepare(wal, 1) >= 0);
    }
}

static void drain(hf_follow *follow) {
    hf_wal_epoch epoch;
    int result;
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
        MUST(seen_count < MOST);
        seen[seen_count++] = epoch.epoch;
    }
    MUST(result == 0);
}

/* One writer's life; the last epoch it called committed. */
static uint64_t one_writer(hf_follow **follow) {
    int ends[2];
    uint64_t committed = 0, told;
    MUST(pipe(ends) == 0);
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        close(ends[0]);
        write_until_killed(ends[1]);
    }
    close(ends[1]);
    uint64_t wanted = next_random() % 60;
    for (uint64_t n = 0; n < wanted && read(ends[0], &told, sizeof told) == (ssize_t)sizeof told; n++) {
        committed = told;
        if (*follow == NULL) {
            MUST(hf_follow_open(directory, NULL, 0, follow) == 0);
        }
        drain(*follow);
    }
    usleep((useconds_t)(next_random() % 3000));
    kill(child, SIGKILL);
    int status;
    MUST(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(ends[0], &told, sizeof told) == (ssize_t)sizeof told) {
        committed = told;
    }
    close(ends[0]);
    return committed;
}

int main(void) {
    const char *text = getenv("HF_SEED");
    seed = state = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)getpid() * 1000003;
    hf_follow *follow = NULL;
    uint64_t cut = 0;
    char command[128];
    MUST(mkdtemp(directory) != NULL);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t committed = one_writer(&follow);
        hf_wal_found found;
        if (follow != NULL) {
            drain(follow);
        }
        hf_wal *wal = open_log(&found);
        MUST(found.last_epoch >= committed);
        cut += found.cut_bytes > 0;
        hf_wal_close(wal);
        if (follow != NULL) {
            drain(follow);
            MUST(seen_count == replayed_count && memcmp(seen, replayed, seen_count * sizeof seen[0]) == 0);
        }
    }
    MUST(follow != NULL && seen_count > 100);
    hf_follow_close(follow);
    printf("log_kill: %d writers killed, %zu epochs, %llu torn tails cut (HF_SEED=%llu)\n", ROUNDS, seen_count,
           (unsigned long long)cut, (unsigned long long)seed);
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : 1;
}
