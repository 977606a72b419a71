/* A really full file system of 64 MiB: the log is written until there is no room, which poisons it; what was committed
 * stays readable; the directory opens again once there is room, with every committed epoch, and goes on. The room that
 * is left at first differs from round to round, so that it ends at a segment, a copy of a cut tail, the durable page,
 * the lock.
 *
 * Needs root, for a mount in a mount namespace of its own; skipped where that is refused. HF_SEED=n, HF_ROUNDS=n. */
#define KIT_PLAIN
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { ROUNDS = 60, SEGMENT = 1 << 20 };

static char place[] = "/tmp/holdfast-full-XXXXXX", directory[64], filler[64];
static uint64_t seed, state;
static kit_list committed;
static unsigned refused_opens, torn;

#define MUST(condition, ...)                                                                                           \
    ((condition)                                                                                                       \
         ? (void)0                                                                                                     \
         : (fprintf(stderr, "HF_SEED=%llu: ", (unsigned long long)seed), kit_fail(__LINE__, #condition, __VA_ARGS__)))

/* NULL, or why not. */
static const char *mount_small(void) {
    static char why[200];
    const char *step = "unshare";
    int result = unshare(CLONE_NEWNS);
    if (result == 0) {
        step = "making mounts private";
        result = mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    }
    if (result == 0) {
        step = "mount";
        result = mount("none", place, "tmpfs", 0, "size=64m");
    }
    if (result == 0) {
        return NULL;
    }
    snprintf(why, sizeof why, "no file system of its own: %s: %s", step, strerror(errno));
    return why;
}

static uint64_t room(void) {
    struct statvfs facts;
    MUST(statvfs(place, &facts) == 0, "statvfs");
    return (uint64_t)facts.f_bfree * facts.f_bsize;
}

/* Takes all room but `left` bytes. */
static void fill(uint64_t left) {
    int file = open(filler, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    static const uint8_t bytes[4096];
    MUST(file >= 0, "%s: %s", filler, strerror(errno));
    while (room() > left && write(file, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
    close(file);
}

static int open_log(bool read_only, hf_wal **wal, kit_list *list, hf_wal_found *found) {
    hf_wal_options options = {.files = hf_files_system(), .segment_bytes = SEGMENT, .read_only = read_only};
    static const hf_wal_position beginning;
    *list = (kit_list){.count = 0};
    int error = hf_wal_lock(directory, &options, false, wal);
    error = error != HF_SUCCESS ? error : hf_wal_open(*wal, &beginning, kit_collect, list, found);
    if (error != HF_SUCCESS) {
        hf_wal_close(*wal);
        *wal = NULL;
    }
    return error;
}

/* All that was committed is there, and nothing else. */
static void must_read(void) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    int error = open_log(true, &wal, &list, &found);
    MUST(error == HF_SUCCESS || (error == HF_ENOTFOUND && committed.count == 0), "read-only: %s", hf_error_detail());
    MUST(list.count == committed.count && kit_is_prefix(&list, &committed), "%zu epochs of %zu", list.count,
         committed.count);
    hf_wal_close(wal);
}

static int append(hf_wal *wal, uint64_t epoch) {
    size_t length = (size_t)kit_below(&state, kit_below(&state, 8) == 0 ? 1800000 : 90000);
    int error = kit_append(wal, epoch, length);
    if (error == HF_SUCCESS) {
        committed.epochs[committed.count] = epoch;
        committed.lengths[committed.count++] = length;
    }
    return error;
}

/* Writes until there is no room. */
static void write_until_full(hf_wal *wal, uint64_t epoch) {
    int error = HF_SUCCESS;
    while (error == HF_SUCCESS && committed.count < KIT_EPOCHS - 8) {
        int prepared = kit_below(&state, 4) == 0 ? hf_wal_prepare(wal, 1) : 0;
        MUST(prepared >= 0 || prepared == HF_EIO, "%s: %s", hf_error_name(prepared), hf_error_detail());
        error = append(wal, epoch++);
    }
    MUST(error == HF_EPOISONED && strstr(hf_error_detail(), "No space left"), "%s: %s", hf_error_name(error),
         hf_error_detail());
    MUST(hf_wal_begin(wal, epoch + 1, 1, 1) == HF_EPOISONED && hf_wal_prepare(wal, 3) == HF_EPOISONED, "poisoned");
}

static void one_round(void) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    committed = (kit_list){.count = 0};
    MUST(mkdir(directory, 0700) == 0, "%s", strerror(errno));
    fill(kit_below(&state, kit_below(&state, 2) ? 20000 : 12 << 20));
    int error = open_log(false, &wal, &list, &found);
    MUST(error == HF_SUCCESS || (error == HF_EIO && strstr(hf_error_detail(), "No space left")), "%s: %s",
         hf_error_name(error), hf_error_detail());
    if (error == HF_SUCCESS) {
        write_until_full(wal, 1);
        must_read();
        hf_wal_close(wal);
    }
    must_read();
    /* Still full, to the last page: it opens if nothing has to be made for that, and is refused with a reason if not.
     */
    fill(0);
    error = open_log(false, &wal, &list, &found);
    MUST(error == HF_SUCCESS || (error == HF_EIO && strstr(hf_error_detail(), "No space left")), "%s: %s",
         hf_error_name(error), hf_error_detail());
    refused_opens += error != HF_SUCCESS;
    hf_wal_close(wal);
    must_read();
    MUST(unlink(filler) == 0, "%s", strerror(errno));
    MUST(open_log(false, &wal, &list, &found) == HF_SUCCESS, "with room again: %s", hf_error_detail());
    MUST(list.count == committed.count && kit_is_prefix(&list, &committed), "%zu epochs of %zu", list.count,
         committed.count);
    torn += found.cut_bytes > 0;
    MUST(append(wal, found.highest_seen + 1) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    must_read();
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", directory);
    MUST(system(command) == 0, "%s", command);
}

int main(void) {
    uint64_t rounds = kit_rounds(ROUNDS);
    if (mkdtemp(place) == NULL) {
        perror(place);
        return 1;
    }
    snprintf(directory, sizeof directory, "%s/log", place);
    snprintf(filler, sizeof filler, "%s/filler", place);
    const char *why = mount_small();
    if (why != NULL) {
        rmdir(place);
        puts(why);
        return 77;
    }
    uint64_t first = kit_seed(1);
    for (uint64_t i = 0; i < rounds; i++) {
        seed = state = first + i;
        one_round();
    }
    printf("wal_full_disk: filled, freed and reopened %llu times; %u opens refused for want of room, %u torn tails cut "
           "(HF_SEED=%llu)\n",
           (unsigned long long)rounds, refused_opens, torn, (unsigned long long)first);
    umount(place);
    rmdir(place);
    return 0;
}
