/* Every call of the file table fails in turn, under a whole engine; and a file system that is really full.
 *
 * A script (a new log, operations, polls, rotation, two checkpoints, close, open, more) runs on a disk in memory; its n-th call
 * fails, n raised until a run has none that does: with EIO or ENOSPC, once and for good; with EINTR; writes that are short.
 *
 * Guarantees checked, for each run
 *   A  A call of the library that fails says so with a documented error, and its detail names the file.
 *   B  After a failed write or sync nothing is acknowledged any more, and reads are served.
 *   C  No handle, mapping or lock is left over.
 *   D  Without faults the directory opens again, in the same process and after a power loss; what was acknowledged is there, what is
 *      there is a prefix of what was done, and the engine goes on. Also where a sync lost what it was to write.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/harness.h"

#include "engine/engine.h"
#include "wal/state.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "disk/engine"
#define U(value) ((unsigned long long)(value))

/* What the script did: operations are numbered from 0, each receives one unit under its number. */
typedef struct script {
    const hf_files *files;
    const char *directory;
    crash_disk *disk; /* NULL: the files are the system's */
    harness_clock clock;
    hf_engine *engine;
    hf_session *session;
    uint64_t tried, acknowledged;
    uint64_t segment_bytes;
    int error; /* the first that the library answered */
    const char *call;
} script;

typedef struct counts {
    uint64_t runs, answered, borne, poisoned, lost_syncs;
} counts;

/* ---- the script ------------------------------------------------------------------------------------------------------------------ */

/* Whether the last failure's sentence names the file of a failed "call dir/name", or of what "name.tmp" was to become. */
static bool names_file(const crash_disk *disk) {
    const char *failed;
    bool names = false;
    for (unsigned n = 0; (failed = crash_disk_failed(disk, n)) != NULL && !names; n++) {
        const char *slash = strrchr(failed, '/'), *name = slash ? slash + 1 : strchr(failed, ' ') + 1, *end = strstr(name, ".tmp");
        char file[120];
        snprintf(file, sizeof file, "%.*s", end ? (int)(end - name) : (int)strlen(name), name);
        names = strstr(hf_error_detail(), file) != NULL;
    }
    return names;
}

/* Whether the call succeeded; the first error is kept and judged. */
static bool good(script *s, const char *call, int error) {
    if (error && !s->error) {
        s->error = error;
        s->call = call;
        bool documented = error == HF_EIO || (error == HF_EPOISONED && strcmp(call, "hf_open") != 0);
        CHECK(documented, "%s answers %s", call, hf_error_name(error));
        CHECK(!s->disk || names_file(s->disk), "%s answers %s, and does not name the file: \"%s\" failed", call,
              hf_error_name(error), crash_disk_failed(s->disk, 0));
    }
    return !error;
}

static bool script_open(script *s) {
    hf_options options;
    harness_options(&options, HF_NO_THREADS, &s->clock);
    options.expected_skus = options.expected_reservations = 1;
    options.max_reservations = 1 << 21;
    options.ring_bytes = 512u << 10;
    if (!good(s, "hf_open", hf_open_on(s->files, s->directory, &options, &s->engine))) {
        CHECK(!s->engine, "an engine that did not open");
        return false;
    }
    if (s->segment_bytes) {
        s->engine->wal->spares.next.bytes = s->segment_bytes;
    }
    MUST(hf_session_open(s->engine, "script", &s->session));
    return true;
}

static bool script_close(script *s) {
    hf_session_close(s->session);
    s->session = NULL;
    bool closed = good(s, "hf_close", hf_close(s->engine));
    s->engine = NULL;
    s->acknowledged = closed ? s->tried : s->acknowledged;
    return closed;
}

static bool operate(script *s, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        hf_reply reply;
        hf_line line = {.name = "sku", .name_length = 3, .quantity = 1};
        hf_op op = {.type = HF_OP_RECEIVE, .id = harness_id(1, s->tried), .lines = &line, .line_count = 1, .position = s->tried + 1};
        int error = hf_submit(s->session, &op, 1, &reply, NULL);
        if (!good(s, "hf_submit", error)) {
            return false;
        }
        CHECK(!reply.error && reply.outcome == HF_OUTCOME_OK, "%s, %s", hf_error_name(reply.error), hf_outcome_text(reply.outcome));
        s->tried++;
    }
    return true;
}

static bool seal(script *s) {
    uint64_t durable = hf_durable(s->engine);
    bool polled = good(s, "hf_poll", hf_poll(s->engine));
    CHECK(polled || hf_durable(s->engine) == durable, "a poll that failed acknowledges");
    s->acknowledged = polled ? s->tried : s->acknowledged;
    return polled;
}

/* A checkpoint that fails with HF_EIO harms nothing: the script goes on. */
static bool checkpoint(script *s) {
    int error = hf_checkpoint(s->engine);
    (void)good(s, "hf_checkpoint", error);
    s->acknowledged = error ? s->acknowledged : s->tried;
    return error != HF_EPOISONED;
}

static bool some_epochs(script *s, unsigned epochs) {
    bool goes_on = true;
    for (unsigned i = 0; i < epochs && goes_on; i++) {
        goes_on = operate(s, 2) && seal(s);
    }
    return goes_on;
}

/* What a poisoned engine still does. */
static void expect_poisoned(script *s) {
    hf_reply reply;
    hf_sku *sku;
    hf_stock stock;
    hf_line line = {.name = "sku", .name_length = 3, .quantity = 1};
    uint64_t durable = hf_durable(s->engine);
    CHECK(hf_health(s->engine) == HF_EPOISONED && hf_poll(s->engine) == HF_EPOISONED && hf_checkpoint(s->engine) == HF_EPOISONED &&
              hf_receive(s->session, harness_id(9, 9), line, &reply) == HF_EPOISONED,
          "a poisoned engine goes on");
    CHECK(hf_durable(s->engine) == durable, "a poisoned engine acknowledges");
    if (s->tried > 0) {
        MUST(hf_sku_find(s->session, "sku", 3, &sku));
        MUST(hf_sku_read(s->session, sku, &stock));
        CHECK(stock.on_hand == (int64_t)s->tried, "a poisoned engine reads %lld, expected %llu", (long long)stock.on_hand, U(s->tried));
    }
}

/* Two ways to read beside the engine: neither harms it. */
static bool read_beside(script *s) {
    hf_follow *follow;
    hf_wal_epoch epoch;
    hf_options options;
    hf_engine *reader;
    int error = hf_follow_open(s->directory, s->files, 0, &follow), more = 0;
    while (!error && (more = hf_follow_next(follow, &epoch)) > 0) {
    }
    (void)(good(s, "hf_follow_open", error) && good(s, "hf_follow_next", more));
    if (!error) {
        hf_follow_close(follow);
    }
    harness_options(&options, HF_READ_ONLY, &s->clock);
    if (good(s, "hf_open read-only", hf_open_on(s->files, s->directory, &options, &reader))) {
        MUST(hf_close(reader));
    }
    return true;
}

/* Everything once, as far as it goes. */
static void run_script(script *s) {
    bool goes_on = script_open(s) && some_epochs(s, 5) && checkpoint(s) && some_epochs(s, 30) && checkpoint(s) && some_epochs(s, 3) &&
                   read_beside(s);
    if (s->engine) {
        if (hf_health(s->engine) == HF_EPOISONED) {
            expect_poisoned(s);
        }
        goes_on = script_close(s) && goes_on;
    }
    if (goes_on && script_open(s)) {
        (void)(some_epochs(s, 3) && operate(s, 1)); /* the last is for the close to make durable */
        (void)script_close(s);
    }
}

/* ---- afterwards ------------------------------------------------------------------------------------------------------------------ */

/* Opens without faults: the prefix that is there, and what is left of the script. */
static void expect_prefix(script *s, const char *when) {
    hf_sku *sku;
    hf_stock stock = {0};
    script after = *s;
    after.error = HF_SUCCESS;
    CHECK(script_open(&after), "%s: it does not open again", when);
    if (hf_sku_find(after.session, "sku", 3, &sku) == HF_SUCCESS) {
        MUST(hf_sku_read(after.session, sku, &stock));
    }
    uint64_t there = (uint64_t)stock.on_hand;
    CHECK(there >= s->acknowledged && there <= s->tried, "%s: %llu operations are there, %llu were acknowledged, %llu done", when,
          U(there), U(s->acknowledged), U(s->tried));
    CHECK(hf_session_position(after.session) == there, "%s: position %llu", when, U(hf_session_position(after.session)));
    for (uint64_t i = 0; i < s->tried; i++) {
        hf_reservation found;
        int error = hf_reservation_read(after.session, harness_id(1, i), &found, NULL, 0);
        CHECK(error == (i < there ? HF_SUCCESS : HF_ENOTFOUND), "%s: id %llu of %llu: %s", when, U(i), U(there), hf_error_name(error));
    }
    after.tried = there;
    CHECK(some_epochs(&after, 2) && checkpoint(&after) && script_close(&after) && !after.error, "%s: it does not go on", when);
}

static void judge(script *s, bool is_short, counts *all) {
    const char *failed = crash_disk_failed(s->disk, 0);
    all->runs++;
    all->answered += s->error != HF_SUCCESS;
    all->borne += s->error == HF_SUCCESS && failed;
    all->poisoned += s->error == HF_EPOISONED;
    all->lost_syncs += failed && !is_short && strncmp(failed, "sync ", 5) == 0;
    CHECK(crash_disk_open_handles(s->disk) == 0, "%u handles or mappings are left open", crash_disk_open_handles(s->disk));
    crash_disk *lost = crash_disk_image(s->disk, 0);
    crash_disk_fail(s->disk, 0, 0, 0);
    expect_prefix(s, "in the same process");
    script image = *s;
    image.disk = lost;
    image.files = crash_disk_files(lost);
    expect_prefix(&image, "after a power loss");
    crash_disk_free(lost);
}

/* ---- faults ---------------------------------------------------------------------------------------------------------------------- */

typedef struct kind {
    const char *name;
    int error; /* 0: short */
    uint64_t times;
} kind;

static const kind kinds[] = {
    {"EIO once", -EIO, 1},       {"EIO for good", -EIO, UINT64_MAX}, {"ENOSPC once", -ENOSPC, 1}, {"ENOSPC for good", -ENOSPC, UINT64_MAX},
    {"EINTR once", -EINTR, 1},   {"short once", 0, 1},               {"short for good", 0, UINT64_MAX},
};

/* One run; false: no call failed. */
static bool run_with(const kind *k, uint64_t n, counts *all) {
    script s = {.directory = DIRECTORY, .segment_bytes = HF_SEGMENT_MIN, .disk = crash_disk_new()};
    s.files = crash_disk_files(s.disk);
    harness_clock_set(&s.clock, HARNESS_EPOCH_MS);
    crash_disk_fail(s.disk, n, k->times, k->error);
    run_script(&s);
    bool failed = crash_disk_failed(s.disk, 0) != NULL;
    CHECK(failed || !s.error, "%s answers %s though nothing failed", s.call, hf_error_name(s.error));
    CHECK(k->error || !s.error, "%s answers %s where writes are short", s.call, hf_error_name(s.error));
    judge(&s, k->error == 0, all);
    crash_disk_free(s.disk);
    return failed;
}

static void every_call_fails(void) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        counts all = {0};
        uint64_t n = 1;
        while (run_with(&kinds[i], n, &all)) {
            n++;
        }
        CHECK(n > 200, "a run of %llu calls only", U(n));
        printf("faults: %s: %llu runs, %llu answered with an error (%llu poisoned), %llu borne, %llu lost syncs\n", kinds[i].name,
               U(all.runs), U(all.answered), U(all.poisoned), U(all.borne), U(all.lost_syncs));
    }
}

/* ---- a full file system ---------------------------------------------------------------------------------------------------------- */

enum { FULL_MIB = 64, FILLER_MIB = 48 };

/* ext4 in a file, or tmpfs, mounted where nobody else sees it. NULL, or why not. */
static const char *mount_small(const char *directory, const char *image) {
    char *command;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return strerror(errno);
    }
    CHECK(asprintf(&command, "(truncate -s %dM '%s' && mkfs.ext4 -q -F '%s' && mount -o loop '%s' '%s') 2>/dev/null", FULL_MIB, image,
                   image, image, directory) > 0,
          "out of memory");
    int status = system(command);
    free(command);
    if (status == 0) {
        printf("faults: ext4 of %d MiB\n", FULL_MIB);
        return NULL;
    }
    char size[32];
    snprintf(size, sizeof size, "size=%dm", FULL_MIB);
    if (mount("tmpfs", directory, "tmpfs", 0, size) == 0) {
        printf("faults: tmpfs of %d MiB (no ext4 to be had)\n", FULL_MIB);
        return NULL;
    }
    return strerror(errno);
}

static void write_filler(const char *path) {
    static char block[1 << 20];
    FILE *file = fopen(path, "w");
    CHECK(file, "%s: %s", path, strerror(errno));
    memset(block, 'x', sizeof block);
    for (unsigned i = 0; i < FILLER_MIB; i++) {
        CHECK(fwrite(block, 1, sizeof block, file) == sizeof block, "the filler does not fit");
    }
    CHECK(fclose(file) == 0, "the filler does not fit");
}

/* Writes until the disk is full; what was acknowledged must be there once there is room. */
static void fill_once(script *s) {
    uint64_t before = s->tried;
    s->error = HF_SUCCESS;
    CHECK(script_open(s), "it does not open");
    for (bool goes_on = true; goes_on;) {
        goes_on = operate(s, 10000) && seal(s);
    }
    CHECK(s->error == HF_EPOISONED && strstr(hf_error_detail(), strerror(ENOSPC)), "%s: expected that no space is left",
          hf_error_name(s->error));
    expect_poisoned(s);
    (void)script_close(s);
    CHECK(s->acknowledged > before, "nothing was acknowledged");
}

static void a_full_file_system(void) {
    char directory[HARNESS_PATH], image[HARNESS_PATH + 8], filler[HARNESS_PATH + 8], engine[HARNESS_PATH + 8];
    harness_directory(directory);
    snprintf(image, sizeof image, "%s.ext4", directory);
    snprintf(filler, sizeof filler, "%s/filler", directory);
    snprintf(engine, sizeof engine, "%s/engine", directory);
    const char *why = mount_small(directory, image);
    if (why) {
        printf("SKIPPED: the full file system: cannot mount one here: %s\n", why);
        harness_remove(directory);
        unlink(image);
        return;
    }
    script s = {.files = hf_files_system(), .directory = engine};
    harness_clock_set(&s.clock, HARNESS_EPOCH_MS);
    write_filler(filler);
    fill_once(&s);
    uint64_t first = s.acknowledged;
    CHECK(unlink(filler) == 0, "%s", strerror(errno));
    s.error = HF_SUCCESS;
    expect_prefix(&s, "after room was made");
    printf("faults: a full file system: %llu operations acknowledged before it was, all there once %d MiB were freed\n", U(first),
           FILLER_MIB);
    harness_remove(engine);
    (void)umount2(directory, MNT_DETACH);
    harness_remove(directory);
    unlink(image);
}

int main(void) {
    (void)harness_begin("faults");
    every_call_fails();
    a_full_file_system();
    return 0;
}
