/* The log over a simulated disk: what was committed is there after any crash at any operation, and nothing is half
 * there. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/atomic.h"
#include "wal/batch.h"
#include "wal/error.h"
#include "wal/segment.h"

#include <errno.h>
#include <pthread.h>

/* ---- crashes ----------------------------------------------------------------------------------------------------- */

/* What a run tried and what it was told. */
typedef struct run {
    kit_list tried;
    size_t committed; /* of `tried`, from its start */
} run;

static size_t random_length(uint64_t *state) {
    static const size_t most[] = {1, 200, 4000, 30000, 100000, 300000};
    return (size_t)kit_below(state, most[kit_below(state, 6)]);
}

static int append_counted(hf_wal *wal, uint64_t epoch, size_t length, run *r) {
    r->tried.epochs[r->tried.count] = epoch;
    r->tried.lengths[r->tried.count++] = length;
    int error = kit_append(wal, epoch, length);
    r->committed = error == HF_SUCCESS ? r->tried.count : r->committed;
    return error;
}

/* The same operations for the same seed: `epochs` epochs of any length, numbers that skip, spares now and then. */
static void append_some(hf_wal *wal, uint64_t after, unsigned epochs, uint64_t *state, run *r) {
    uint64_t epoch = after;
    int error = HF_SUCCESS;
    for (unsigned i = 0; i < epochs && error == HF_SUCCESS; i++) {
        epoch += 1 + (kit_below(state, 4) == 0) * kit_below(state, 5);
        if (kit_below(state, 3) == 0) {
            (void)hf_wal_prepare(wal, 1 + (unsigned)kit_below(state, 2));
        }
        error = append_counted(wal, epoch, random_length(state), r);
        if (kit_below(state, 8) == 0) {
            hf_wal_mark_durable(wal, ++epoch);
        }
    }
}

static void run_script(hf_simulated *disk, uint64_t seed, unsigned epochs, run *r) {
    *r = (run){.committed = 0};
    hf_wal *wal;
    hf_wal_found found;
    if (kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS) {
        append_some(wal, found.highest_seen, epochs, &seed, r);
    }
    hf_wal_close(wal);
}

/* Opens what a crash left, and checks it against what the run was told; goes on writing, and opens again. */
static void check_image(hf_simulated *image, const run *r, uint64_t seed, const char *what) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    int error = kit_open_read_only(image, NULL, &list, &found);
    CHECK(error == HF_SUCCESS || (error == HF_ENOTFOUND && r->committed == 0), "%s: read-only: %s", what,
          hf_error_detail());
    CHECK(error != HF_SUCCESS || (kit_is_prefix(&list, &r->tried) && list.count >= r->committed), "%s: read-only",
          what);
    error = kit_open(image, NULL, &wal, &list, &found);
    CHECK(error == HF_SUCCESS, "%s: %s: %s", what, hf_error_name(error), hf_error_detail());
    CHECK(kit_is_prefix(&list, &r->tried), "%s: not a prefix: %zu of %zu", what, list.count, r->tried.count);
    CHECK(list.count >= r->committed, "%s: %zu epochs of %zu committed ones", what, list.count, r->committed);
    CHECK(list.count <= r->committed + 1, "%s: %zu epochs, %zu committed", what, list.count, r->committed);
    CHECK(found.last_epoch == (list.count ? list.epochs[list.count - 1] : 0), "%s: last epoch", what);
    CHECK(found.highest_seen >= found.last_epoch, "%s: highest seen", what);

    run more = {.tried = list, .committed = list.count};
    append_some(wal, found.highest_seen, 4, &seed, &more);
    CHECK(more.committed == list.count + 4, "%s: appending: %s", what, hf_error_detail());
    hf_wal_close(wal);
    hf_simulated *later = hf_simulated_crash(image, HF_CRASH_DROP, seed);
    error = kit_open(later, NULL, &wal, &list, &found);
    CHECK(error == HF_SUCCESS, "%s: again: %s", what, hf_error_detail());
    CHECK(list.count == more.tried.count && kit_is_prefix(&list, &more.tried), "%s: again: %zu of %zu", what,
          list.count, more.tried.count);
    hf_wal_close(wal);
    hf_simulated_free(later);
}

/* A crash in the middle of recovery, at every of its operations, then recovery again. */
static void crash_recovery(hf_simulated *image, const run *r, uint64_t seed, const char *what) {
    for (uint64_t k = 1;; k++) {
        hf_simulated *again = hf_simulated_crash(image, HF_CRASH_DROP, seed);
        hf_simulated_fail(again, k, UINT64_MAX, -EIO);
        hf_wal *wal;
        int error = kit_open(again, NULL, &wal, NULL, NULL);
        hf_wal_close(wal);
        hf_simulated *left = hf_simulated_crash(again, HF_CRASH_MIX, seed * 31 + k);
        char where[160];
        snprintf(where, sizeof where, "%s, recovery cut at operation %llu", what, (unsigned long long)k);
        check_image(left, r, seed, where);
        hf_simulated_free(left);
        hf_simulated_free(again);
        if (error == HF_SUCCESS) {
            return;
        }
    }
}

static void crash_everywhere(uint64_t seed, unsigned epochs) {
    run r;
    for (uint64_t k = 1;; k++) {
        hf_simulated *disk = hf_simulated_new();
        hf_simulated_fail(disk, k, UINT64_MAX, -EIO);
        run_script(disk, seed, epochs, &r);
        for (int n = 0; n < 4; n++) {
            static const hf_crash kinds[] = {HF_CRASH_DROP, HF_CRASH_KEEP, HF_CRASH_MIX, HF_CRASH_MIX};
            hf_simulated *image = hf_simulated_crash(disk, kinds[n], seed + k * 16 + (uint64_t)n);
            char what[120];
            snprintf(what, sizeof what, "seed %llu, crash at operation %llu, image %d", (unsigned long long)seed,
                     (unsigned long long)k, n);
            if (n == 3) {
                crash_recovery(image, &r, seed + k, what);
            }
            check_image(image, &r, seed + k, what);
            hf_simulated_free(image);
        }
        bool complete = hf_simulated_operations(disk) < k;
        hf_simulated_free(disk);
        if (complete) {
            CHECK(r.committed == epochs, "the script runs through without a fault");
            return;
        }
    }
}

Test(log, every_crash_leaves_a_prefix_with_all_that_was_committed) {
    uint64_t seed = kit_seed(20240607);
    for (uint64_t i = 0; i < 6; i++) {
        crash_everywhere(seed + i * 1000003, 5);
    }
}

/* ---- a log that just works --------------------------------------------------------------------------------------- */

Test(log, epochs_of_every_size_come_back) {
    /* Around the sizes at which a part, a page or a segment is full. */
    static const size_t lengths[] = {0,      1,      3935,         3936,   3937,  122880 - 160, 122880 - 161,
                                     1,      126816, 126816,       126817, 61000, 61280,        61281,
                                     400000, 0,      126976 - 160, 0,      65536, 65376,        700000,
                                     4096};
    hf_simulated *disk = hf_simulated_new();
    hf_simulated_short_writes(disk, true);
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    run r = {.committed = 0};
    CHECK(kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(found.is_new && found.last_epoch == 0 && found.highest_seen == 0 && found.term == 0, "a new log");
    uint64_t payload = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        CHECK(append_counted(wal, 3 + 2 * i, lengths[i], &r) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_wal_committed(wal) == 3 + 2 * i, "committed");
        payload += lengths[i];
        hf_wal *second;
        hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_DROP, 0);
        CHECK(kit_open(image, NULL, &second, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(list.count == i + 1 && kit_is_prefix(&list, &r.tried), "after %zu epochs: %zu", i + 1, list.count);
        CHECK(found.cut_bytes == 0 && !found.is_new && found.epochs == i + 1 && found.term == 1, "nothing is cut");
        CHECK(found.last_time_ms == kit_time(3 + 2 * i) && found.highest_seen == 3 + 2 * i, "last epoch");
        hf_wal_close(second);
        hf_simulated_free(image);
    }
    hf_wal_gauges gauges;
    hf_wal_gauges_read(wal, &gauges);
    CHECK(gauges.payload == payload && gauges.epochs == r.committed && gauges.bytes > payload, "gauges");
    CHECK(gauges.segments == kit_files(disk, "segment-") && gauges.segments == hf_wal_generation(wal), "segments");
    CHECK(gauges.syncs >= gauges.epochs && gauges.syncs < gauges.epochs + gauges.segments,
          "one sync an epoch, one a turn");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(log, a_batch_that_fits_is_one_write_and_one_sync) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (uint64_t epoch = 1; epoch <= 10; epoch++) {
        uint64_t before = hf_simulated_operations(disk);
        CHECK(kit_append(wal, epoch, 5000) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_simulated_operations(disk) == before + 2, "a write and a sync");
    }
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(log, durable_in_a_header_is_the_epoch_committed_before) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_append(wal, 5, 10) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_mark_durable(wal, 7); /* has no batch, so no header may speak of it */
    CHECK(kit_append(wal, 9, 10) == HF_SUCCESS, "%s", hf_error_detail());
    const uint8_t *bytes = hf_simulated_bytes(disk, kit_segment(1), NULL);
    hf_batch_header first, second;
    CHECK(hf_batch_decode(bytes + 4096, &first) == NULL && hf_batch_decode(bytes + 8192, &second) == NULL, "headers");
    CHECK(first.durable == 0 && second.durable == 5 && first.sequence == 1 && second.sequence == 2,
          "durable, sequence");
    CHECK(hf_digest_equal(&second.before, &first.link), "the chain");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(log, wrong_use_is_refused) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal, *second;
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = KIT_SEGMENT - 1};
    char longest[5000];
    memset(longest, 'd', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_EINVAL, "a segment is whole pages");
    options.segment_bytes = KIT_SEGMENT;
    CHECK(hf_wal_lock("", &options, false, &wal) == HF_EINVAL, "no directory");
    CHECK(hf_wal_lock(longest, &options, false, &wal) == HF_EINVAL, "a longer name than there may be");
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, true, &wal) == HF_ENOTFOUND, "must exist");
    CHECK(kit_files(disk, "") == 0, "and nothing was made");
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_begin(wal, 1, 1, 1) == HF_EINVAL, "not open");
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &second) == HF_EBUSY && second == NULL, "one at a time");
    CHECK(strstr(hf_error_detail(), "/log/LOCK") != NULL, "%s", hf_error_detail());
    hf_wal_close(wal);
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_put(wal, "x", 1) == HF_EINVAL && hf_wal_commit(wal) == HF_EINVAL, "no epoch has begun");
    CHECK(hf_wal_begin(wal, 4, 1, 1) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_begin(wal, 5, 1, 1) == HF_EINVAL, "epoch 4 is open");
    CHECK(hf_wal_commit(wal) == HF_SUCCESS && hf_wal_begin(wal, 4, 1, 1) == HF_EINVAL, "epochs rise");
    CHECK(hf_wal_begin(wal, HF_BATCH_MAX_NUMBER + 1, 1, 1) == HF_EINVAL, "to a limit");
    CHECK(strstr(hf_error_detail(), "4611686018427387904") != NULL, "%s", hf_error_detail());
    hf_wal_close(wal);
    hf_wal_close(NULL);
    hf_simulated_free(disk);
}

static int count_name(void *context, const char *name) {
    *(unsigned *)context += strlen(name) == 255;
    return 0;
}

/* The longest name of a directory leaves room for the longest name in it: no path is ever cut short. */
Test(log, the_longest_names_fit) {
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    hf_wal_options options = {.files = files, .segment_bytes = KIT_SEGMENT};
    char directory[HF_DIRECTORY_MAX + 2], path[HF_DIRECTORY_MAX + 300], name[256];
    memset(directory, 'd', sizeof directory);
    directory[0] = '/';
    directory[HF_DIRECTORY_MAX + 1] = 0;
    hf_wal *wal;
    CHECK(hf_wal_lock(directory, &options, false, &wal) == HF_EINVAL, "one byte too long");
    directory[HF_DIRECTORY_MAX] = 0;
    memset(name, 'n', sizeof name);
    memcpy(name + 251, ".tmp", 5);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    files->close(files->context, files->open(files->context, path, HF_OPEN_CREATE));
    CHECK(hf_wal_lock(directory, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    unsigned left = 0;
    files->list(files->context, directory, count_name, &left);
    CHECK(left == 0, "the half made file is removed");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

static void remove_first(void *context, hf_simulated *disk) {
    (void)context;
    hf_simulated_remove(disk, "/log/a.tmp");
}

Test(log, the_lock_works_where_directories_are_odd) {
    static const char *const directories[] = {"log", "/log/", "/log", "/a/log//", "/"};
    static const int refusals[] = {0, -EACCES, -EPERM}; /* of whoever may not read the parent */
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = KIT_SEGMENT};
        hf_wal *wal;
        hf_simulated_fault(disk, HF_CALL_SYNC_DIRECTORY, refusals[i % 3] != 0, 1, refusals[i % 3]);
        CHECK(hf_wal_lock(directories[i], &options, false, &wal) == HF_SUCCESS, "%s: %s", directories[i],
              hf_error_detail());
        hf_wal_gauges gauges;
        hf_wal_gauges_read(wal, &gauges);
        CHECK(gauges.segments == 0 && hf_wal_generation(wal) == 0, "nothing is open yet");
        hf_wal_close(wal);
        hf_simulated_free(disk);
    }
}

Test(log, the_lock_passes_over_what_does_not_matter) {
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    hf_wal_options options = {.files = files, .segment_bytes = KIT_SEGMENT};
    hf_wal *wal, *second;
    int lock = files->open(files->context, KIT_DIRECTORY "/LOCK", HF_OPEN_LOCK);
    CHECK(files->lock(files->context, lock) == 0, "somebody who left no number");
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &second) == HF_EBUSY, "%s", hf_error_detail());
    files->close(files->context, lock);
    hf_simulated_fault(disk, HF_CALL_WRITE, 1, 1, -ENOSPC); /* the process's number, for people */
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &second) == HF_EBUSY, "%s", hf_error_detail());
    hf_wal_close(wal);
    files->close(files->context, files->open(files->context, "/log/a.tmp", HF_OPEN_CREATE));
    hf_simulated_watch(disk, HF_CALL_REMOVE | HF_WATCH_BEFORE, remove_first, NULL); /* somebody else was faster */
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    hf_simulated_watch(disk, 0, NULL, NULL);
    hf_simulated_fault(disk, HF_CALL_LIST, 1, 1, -EIO);
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, true, &wal) == HF_EIO, "whether there is a log");
    CHECK(strstr(hf_error_detail(), "cannot list directory /log") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);
}

/* Another thread's part in what follows. */
typedef struct meddler {
    hf_wal *wal;
    bool done;
    int answer;
} meddler;

/* ---- the poison -------------------------------------------------------------------------------------------------- */

Test(log, any_failed_operation_is_the_last) {
    uint64_t seed = kit_seed(77);
    for (uint64_t k = 1;; k++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal;
        hf_wal_found found;
        uint64_t state = seed;
        run r = {.committed = 0};
        CHECK(kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
        hf_simulated_fail(disk, k, 1, k % 2 ? -EIO : -ENOSPC);
        uint64_t before = hf_simulated_operations(disk);
        int error = HF_SUCCESS;
        for (uint64_t epoch = 1; epoch <= 6 && error == HF_SUCCESS; epoch++) {
            error = append_counted(wal, epoch, random_length(&state), &r);
        }
        if (error == HF_SUCCESS) {
            CHECK(hf_simulated_operations(disk) < before + k, "no fault was hidden");
            hf_wal_close(wal);
            hf_simulated_free(disk);
            CHECK(k > 10, "some operations were tried");
            return;
        }
        char detail[512];
        snprintf(detail, sizeof detail, "%s", hf_error_detail());
        CHECK(error == HF_EPOISONED && strstr(detail, "segment") && strstr(detail, "offset") && strstr(detail, "epoch"),
              "%s", detail);
        uint64_t at_failure = hf_simulated_operations(disk);
        CHECK(hf_wal_begin(wal, 100, 1, 1) == HF_EPOISONED && hf_wal_put(wal, "x", 1) == HF_EPOISONED, "poisoned");
        CHECK(hf_wal_commit(wal) == HF_EPOISONED && hf_wal_prepare(wal, 9) == HF_EPOISONED, "poisoned");
        CHECK(hf_wal_release(wal, 9) == HF_EPOISONED && strcmp(hf_error_detail(), detail) == 0, "poisoned");
        CHECK(hf_wal_committed(wal) == (r.committed ? r.tried.epochs[r.committed - 1] : 0), "not committed");
        CHECK(hf_simulated_operations(disk) == at_failure, "nothing is tried after the failure");
        hf_wal_close(wal);
        for (int n = 0; n < 3; n++) {
            hf_simulated *image = hf_simulated_crash(disk, (hf_crash)n, seed + k);
            check_image(image, &r, seed, "after a failed operation");
            hf_simulated_free(image);
        }
        hf_simulated_free(disk);
    }
}

Test(log, preparing_fails_without_harm) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    run r = {.committed = 0};
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (uint64_t k = 1; k <= 4; k++) { /* open, write, sync, rename */
        hf_simulated_fail(disk, k, 1, -EIO);
        CHECK(hf_wal_prepare(wal, 1) == HF_EIO && hf_wal_spares(wal) == 0, "operation %d", (int)k);
        CHECK(strstr(hf_error_detail(), "/log/spare-0000000000000002") != NULL, "%s", hf_error_detail());
        CHECK(append_counted(wal, k, 100, &r) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(kit_files(disk, "spare-") == 0, "what is half made is removed");
    }
    CHECK(hf_wal_prepare(wal, 2) == 2 && hf_wal_prepare(wal, 2) == 0 && hf_wal_spares(wal) == 2, "%s",
          hf_error_detail());
    CHECK(append_counted(wal, 10, 300000, &r) == HF_SUCCESS && hf_wal_spares(wal) == 0, "%s", hf_error_detail());
    hf_wal_close(wal);
    check_image(disk, &r, 1, "after preparing failed");
    hf_simulated_free(disk);
}

static void poison_in_between(void *context, hf_simulated *disk) {
    meddler *m = context;
    if (!m->done) {
        m->done = true;
        hf_simulated_fault(disk, HF_CALL_WRITE, 1, 1, -EIO);
        m->answer = kit_append(m->wal, 1, 100);
    }
}

Test(log, preparing_ends_when_the_log_is_poisoned) {
    hf_simulated *disk = hf_simulated_new();
    meddler m = {.wal = NULL};
    CHECK(kit_open(disk, NULL, &m.wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    hf_simulated_watch(disk, HF_CALL_RENAME | HF_WATCH_AFTER, poison_in_between, &m);
    CHECK(hf_wal_prepare(m.wal, 5) == HF_EPOISONED && m.answer == HF_EPOISONED, "%s", hf_error_detail());
    CHECK(hf_wal_spares(m.wal) == 1, "the one that was nearly made");
    hf_wal_close(m.wal);
    hf_simulated_free(disk);
}

Test(log, a_full_disk_poisons_and_opens_again_with_room) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    kit_list list;
    run r = {.committed = 0};
    hf_simulated_limit(disk, 50000);
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_EIO, "no room for a segment");
    CHECK(strstr(hf_error_detail(), "spare-0000000000000001") && strstr(hf_error_detail(), "No space left"), "%s",
          hf_error_detail());
    hf_simulated_limit(disk, 2 * KIT_SEGMENT + 8192);
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    uint64_t epoch = 1;
    while (append_counted(wal, epoch, 30000, &r) == HF_SUCCESS) {
        epoch++;
    }
    CHECK(epoch > 4 && strstr(hf_error_detail(), "No space left") != NULL, "%s", hf_error_detail());
    hf_wal_close(wal);
    CHECK(kit_open(disk, NULL, &wal, &list, NULL) == HF_SUCCESS, "full, yet it opens: %s", hf_error_detail());
    CHECK(list.count == r.committed && kit_append(wal, epoch + 1, 30000) == HF_EPOISONED, "still full");
    hf_wal_close(wal);
    hf_simulated_limit(disk, UINT64_MAX);
    check_image(disk, &r, 1, "with room again");
    hf_simulated_free(disk);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Another thread's part, between two steps of the appending one: it prepares a segment, and cannot sync the directory.
 */
static void prepare_in_between(void *context, hf_simulated *disk) {
    meddler *m = context;
    if (!m->done && hf_simulated_bytes(disk, kit_segment(2), NULL) != NULL) {
        m->done = true;
        hf_simulated_fault(disk, HF_CALL_SYNC_DIRECTORY, 1, 1, -EIO);
        m->answer = hf_wal_prepare(m->wal, 1);
    }
}

/* The system tells of a failed sync once. The thread that prepares hears of it; the next sync, the appending thread's,
 * would be told "success" though the name of the segment it is about to use was lost. */
Test(log, a_directory_that_could_not_be_synced_poisons_whoever_heard_of_it) {
    hf_simulated *disk = hf_simulated_new();
    meddler m = {.wal = NULL};
    run r = {.committed = 0};
    CHECK(kit_open(disk, NULL, &m.wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_prepare(m.wal, 1) == 1, "%s", hf_error_detail());
    hf_simulated_watch(disk, HF_CALL_RENAME | HF_WATCH_AFTER, prepare_in_between, &m);
    int error = HF_SUCCESS;
    for (uint64_t epoch = 1; epoch < 20 && error == HF_SUCCESS; epoch++) {
        error = append_counted(m.wal, epoch, 30000, &r);
    }
    hf_simulated_watch(disk, 0, NULL, NULL);
    bool told = strstr(hf_error_detail(), "cannot sync directory /log") != NULL;
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_DROP, 0);
    check_image(image, &r, 1, "names that were lost");
    hf_simulated_free(image);
    CHECK(m.done && m.answer == HF_EPOISONED && error == HF_EPOISONED && told, "the first failure is told");
    hf_wal_close(m.wal);
    hf_simulated_free(disk);
}

Test(log, whoever_changes_names_syncs_them_through_the_log) {
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    files->close(files->context, files->open(files->context, KIT_DIRECTORY "/checkpoint-1", HF_OPEN_CREATE));
    CHECK(hf_wal_sync_directory(wal) == HF_SUCCESS && hf_simulated_changes(disk) == 0, "%s", hf_error_detail());
    hf_simulated_fault(disk, HF_CALL_SYNC_DIRECTORY, 1, 1, -EIO);
    CHECK(hf_wal_sync_directory(wal) == HF_EPOISONED && hf_wal_begin(wal, 1, 1, 1) == HF_EPOISONED, "poisoned");
    CHECK(hf_wal_sync_directory(wal) == HF_EPOISONED && hf_simulated_calls(disk) == 1, "not tried again");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* A killed process had made a checkpoint, or a segment, whose name it had not synced. What the next one reads, and
 * builds on, must not go with the next power loss. */
Test(log, names_that_are_found_are_durable_after_the_open) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS && kit_append(wal, 1, 1) == HF_SUCCESS, "a log");
    hf_wal_close(wal);
    const hf_files *files = hf_simulated_files(disk);
    files->close(files->context, files->open(files->context, KIT_DIRECTORY "/checkpoint-1", HF_OPEN_CREATE));
    CHECK(hf_simulated_changes(disk) > 0, "not durable yet");
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_DROP, 0);
    CHECK(kit_files(image, "checkpoint-1") == 1, "durable");
    hf_simulated_free(image);
    hf_wal_close(wal);
    hf_simulated_fault(disk, HF_CALL_SYNC_DIRECTORY, 2, 1, -EIO); /* the first is the parent's */
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_EIO, "a directory that cannot be synced is not believed");
    CHECK(strstr(hf_error_detail(), "cannot sync directory /log") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);
}

/* The name of a new log's first segment was lost by a sync that failed; the next open's succeeds. */
Test(log, a_log_that_could_not_be_made_is_made_anew) {
    for (uint64_t k = 1; k <= 4; k++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal;
        run r = {.committed = 0};
        hf_simulated_fault(disk, HF_CALL_SYNC_DIRECTORY, k, 1, -EIO);
        int error = kit_open(disk, NULL, &wal, NULL, NULL);
        CHECK((error == HF_EIO) == (k <= 3), "%d: %s", (int)k,
              hf_error_detail()); /* the parent, the spare, the segment */
        if (error != HF_SUCCESS) {
            CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
        }
        CHECK(append_counted(wal, 1, 100, &r) == HF_SUCCESS, "%s", hf_error_detail());
        hf_wal_close(wal);
        hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_DROP, 0);
        check_image(image, &r, 1, "a log made at the second try");
        hf_simulated_free(image);
        hf_simulated_free(disk);
    }
}

/* ---- positions and releasing ------------------------------------------------------------------------------------- */

/* A log of many segments: epoch numbers 10, 20, ... */
static hf_wal *long_log(hf_simulated *disk, unsigned epochs, run *r, hf_wal_position *positions) {
    hf_wal *wal;
    *r = (run){.committed = 0};
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (unsigned i = 0; i < epochs; i++) {
        if (positions != NULL) {
            positions[i] = (hf_wal_position){.epoch = 10 * i + 5, .generation = hf_wal_generation(wal)};
        }
        CHECK(append_counted(wal, 10 * (i + 1), 20000 + 3000 * (i % 7), r) == HF_SUCCESS, "%s", hf_error_detail());
    }
    return wal;
}

Test(log, replay_starts_at_a_position_and_older_segments_may_go) {
    enum { EPOCHS = 40 };
    for (unsigned from = 0; from < EPOCHS; from++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal_position positions[EPOCHS];
        run r;
        hf_wal_found found;
        kit_list list;
        hf_wal *wal = long_log(disk, EPOCHS, &r, positions);
        hf_wal_position *position = &positions[from];
        position->durable = 10 * (from + 1);
        CHECK(hf_wal_release(wal, position->generation) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(kit_files(disk, "segment-") == hf_wal_generation(wal) - position->generation + 1, "released");
        hf_wal_gauges gauges;
        hf_wal_gauges_read(wal, &gauges);
        CHECK(gauges.segments == kit_files(disk, "segment-"), "gauge");
        hf_wal_close(wal);
        CHECK(kit_open(disk, position, &wal, &list, &found) == HF_SUCCESS, "from %u: %s", from, hf_error_detail());
        CHECK(list.count == EPOCHS - from && list.epochs[0] == 10 * (from + 1) && !list.bad, "from %u", from);
        CHECK(kit_append(wal, 1000, 100) == HF_SUCCESS, "%s", hf_error_detail());
        hf_wal_close(wal);
        if (position->generation > 1) {
            CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_ECORRUPT, "the beginning is gone");
            CHECK(strstr(hf_error_detail(), "segment-0000000000000001 is missing") != NULL, "%s", hf_error_detail());
            hf_wal_position early = {.epoch = 1, .generation = position->generation};
            CHECK(kit_open(disk, &early, &wal, NULL, NULL) == HF_ECORRUPT, "epochs before the first are gone");
            CHECK(strstr(hf_error_detail(), "earlier segment is missing") != NULL, "%s", hf_error_detail());
        }
        hf_simulated_free(disk);
    }
}

Test(log, the_log_must_reach_what_a_checkpoint_knows_durable) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal *wal = long_log(disk, 3, &r, NULL);
    hf_wal_close(wal);
    hf_wal_position position = {.epoch = 5, .generation = 1, .durable = 31};
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "it ends at 30");
    CHECK(strstr(hf_error_detail(), kit_segment(1)) && strstr(hf_error_detail(), "epoch 31"), "%s", hf_error_detail());
    position.durable = 30;
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    position = (hf_wal_position){.epoch = 40, .generation = 1, .durable = 39}; /* holds all of the log already */
    hf_wal_found found;
    CHECK(kit_open(disk, &position, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(found.epochs == 0 && found.last_epoch == 39 && found.highest_seen == 39, "nothing to replay");
    CHECK(kit_append(wal, 39, 1) == HF_EINVAL && kit_append(wal, 40, 1) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    position.generation = 2;
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "there is no segment 2");
    hf_simulated_free(disk);
}

/* The checkpoint points at the segment that was just opened, whose only batch was torn: the chain goes on from the one
 * before. */
Test(log, a_log_whose_last_segment_is_empty_goes_on) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    kit_list list;
    hf_wal_found found;
    hf_wal *wal = long_log(disk, 4, &r, NULL);
    uint64_t generation = hf_wal_generation(wal);
    while (hf_wal_generation(wal) == generation) { /* until the last commit's epoch begins in a new segment */
        r.committed = r.tried.count;
        CHECK(append_counted(wal, 10 * (r.tried.count + 1), 20000, &r) == HF_SUCCESS, "%s", hf_error_detail());
    }
    hf_wal_position position = {.epoch = r.tried.epochs[r.committed], .generation = generation + 1};
    CHECK(hf_wal_release(wal, generation + 1) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    size_t length;
    uint8_t *bytes = hf_simulated_bytes(disk, kit_segment(generation + 1), &length);
    memset(bytes + 4096, 0, length - 4096); /* the torn batch; its first part, if any, is in the segment before */
    hf_simulated_remove(disk, KIT_DIRECTORY "/durable");
    CHECK(!hf_simulated_bytes(disk, kit_segment(generation), NULL), "the segment before was released");
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "nothing to chain to");
    CHECK(strstr(hf_error_detail(), "chained") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);

    /* A checkpoint is of a later epoch than 900, whose last part is lost: its first part in the segment before would
     * stand in the way of whatever is chained to the epoch before it. */
    disk = hf_simulated_new();
    wal = long_log(disk, 2, &r, NULL);
    static const uint8_t long_epoch[120000];
    CHECK(hf_wal_begin(wal, 900, 1, 1) == HF_SUCCESS && hf_wal_put(wal, long_epoch, sizeof long_epoch) == HF_SUCCESS &&
              hf_wal_commit(wal) == HF_SUCCESS && hf_wal_generation(wal) == 2,
          "%s", hf_error_detail());
    hf_wal_close(wal);
    bytes = hf_simulated_bytes(disk, kit_segment(2), &length);
    memset(bytes + 4096, 0, length - 4096);
    position = (hf_wal_position){.epoch = 1000, .generation = 2, .durable = 900};
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "epoch 900 was durable, and is not whole");
    CHECK(strstr(hf_error_detail(), kit_segment(2)) && strstr(hf_error_detail(), "epoch 900"), "%s", hf_error_detail());
    hf_simulated_free(disk);

    /* Release itself keeps the segment of the last committed batch. An epoch moves on to a new segment before its first
     * byte is written, and a checkpoint points there. */
    disk = hf_simulated_new();
    wal = long_log(disk, 4, &r, NULL);
    static const uint8_t zeros[30000];
    CHECK(hf_wal_generation(wal) == 1 && hf_wal_begin(wal, 900, 1, 1) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_put(wal, zeros, sizeof zeros) == HF_SUCCESS && hf_wal_generation(wal) == 2, "it does not fit");
    CHECK(hf_wal_release(wal, 2) == HF_SUCCESS && kit_files(disk, "segment-") == 2, "the last committed batch is kept");
    hf_wal_close(wal);
    position = (hf_wal_position){.epoch = 1000, .generation = 2};
    CHECK(kit_open(disk, &position, &wal, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(list.count == 0 && found.last_epoch == 999 && found.last_time_ms == kit_time(40) && found.term == 1,
          "nothing");
    CHECK(append_counted(wal, 1000, 70000, &r) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    CHECK(kit_open(disk, NULL, &wal, &list, &found) == HF_SUCCESS, "one chain: %s", hf_error_detail());
    CHECK(list.count == 5 && kit_is_prefix(&list, &r.tried), "all of it");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* A position for which there is no log, or none yet. */
Test(log, a_position_needs_its_log) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    hf_wal_found found;
    hf_wal_position position = {.epoch = 5, .generation = 1};
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "every segment is missing");
    CHECK(strstr(hf_error_detail(), "segment-0000000000000001 is missing") != NULL, "%s", hf_error_detail());
    position = (hf_wal_position){.durable = 7};
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "every segment is missing");
    CHECK(strstr(hf_error_detail(), "epoch 7") != NULL, "%s", hf_error_detail());
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    position = (hf_wal_position){.epoch = 5, .generation = 1}; /* a checkpoint before anything was logged */
    CHECK(kit_open(disk, &position, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(found.last_epoch == 4 && found.epochs == 0 && kit_append(wal, 5, 100) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    CHECK(kit_open(disk, &position, &wal, NULL, &found) == HF_SUCCESS && found.epochs == 1, "%s", hf_error_detail());
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* Two segments without a batch at the end: no writer leaves them, and there is nothing to chain to. */
Test(log, two_empty_segments_behind_a_checkpoint_are_refused) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal *wal = long_log(disk, 2, &r, NULL);
    CHECK(hf_wal_prepare(wal, 2) == 2, "%s", hf_error_detail());
    hf_wal_close(wal);
    const hf_files *files = hf_simulated_files(disk);
    CHECK(files->rename(files->context, "/log/spare-0000000000000002", kit_segment(2)) == 0, "rename");
    CHECK(files->rename(files->context, "/log/spare-0000000000000003", kit_segment(3)) == 0, "rename");
    hf_wal_position position = {.epoch = 100, .generation = 3};
    CHECK(kit_open(disk, &position, &wal, NULL, NULL) == HF_ECORRUPT, "an empty segment before the empty one");
    CHECK(strstr(hf_error_detail(), "segment-0000000000000002 is missing or empty") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);
}

Test(log, a_segment_that_is_gone_is_released) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal *wal = long_log(disk, 20, &r, NULL);
    uint64_t generation = hf_wal_generation(wal);
    hf_simulated_remove(disk, kit_segment(2));
    CHECK(hf_wal_release(wal, generation) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_files(disk, "segment-") == 1, "%u are left", kit_files(disk, "segment-"));
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void expect_refusal(hf_simulated *disk, const char *file, const char *words) {
    hf_wal *wal;
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    int error = kit_open(image, NULL, &wal, NULL, NULL);
    CHECK(error == HF_ECORRUPT, "%s, %s", hf_error_name(error), hf_error_detail());
    CHECK(strstr(hf_error_detail(), file) && strstr(hf_error_detail(), words), "%s", hf_error_detail());
    CHECK(kit_open_read_only(image, NULL, NULL, NULL) == HF_ECORRUPT, "read-only: %s", hf_error_detail());
    CHECK(kit_files(image, "cut-") == 0, "nothing was cut");
    hf_simulated_free(image);
}

static hf_simulated *five_segments(void) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal_close(long_log(disk, 20, &r, NULL));
    hf_simulated_remove(disk, KIT_DIRECTORY "/durable"); /* its word is not needed for any of this */
    CHECK(kit_files(disk, "segment-") >= 5, "a long log");
    return disk;
}

Test(log, missing_swapped_repeated_and_foreign_segments_are_refused) {
    hf_simulated *disk = five_segments();
    hf_simulated_remove(disk, kit_segment(1));
    expect_refusal(disk, "segment-0000000000000001 is missing", "");
    hf_simulated_free(disk);

    disk = five_segments();
    hf_simulated_remove(disk, kit_segment(3));
    expect_refusal(disk, "segment-0000000000000003 is missing", "");
    hf_simulated_copy(disk, kit_segment(2), kit_segment(3));
    expect_refusal(disk, "segment-0000000000000003", "generation 2, its name 3");
    hf_simulated_free(disk);

    disk = five_segments();
    hf_simulated_copy(disk, kit_segment(2), "/log/x");
    hf_simulated_copy(disk, kit_segment(4), kit_segment(2));
    hf_simulated_copy(disk, "/log/x", kit_segment(4));
    expect_refusal(disk, "segment-000000000000000", "its header page says");
    hf_simulated_free(disk);

    disk = five_segments();
    hf_simulated *other = five_segments();
    size_t length;
    const uint8_t *bytes = hf_simulated_bytes(other, kit_segment(3), &length);
    hf_simulated_poke(disk, kit_segment(3), 0, bytes, length);
    expect_refusal(disk, "segment-0000000000000003", "another log");
    /* ... and with a header page that is right: its batches are not. */
    hf_simulated *third = five_segments();
    bytes = hf_simulated_bytes(other, kit_segment(3), &length);
    hf_simulated_poke(third, kit_segment(3), 4096, bytes + 4096, length - 4096);
    expect_refusal(third, "segment-0000000000000003, offset 4096", "another log or segment");
    hf_simulated_free(third);
    hf_simulated_free(other);
    hf_simulated_free(disk);
}

Test(log, a_truncated_or_overwritten_segment_is_refused) {
    hf_simulated *disk = five_segments();
    const hf_files *files = hf_simulated_files(disk);
    int file = files->open(files->context, kit_segment(2), HF_OPEN_WRITE);
    CHECK(files->truncate(files->context, file, KIT_SEGMENT + 4096) == 0, "truncate");
    expect_refusal(disk, "segment-0000000000000002", "expected 131072");
    CHECK(files->truncate(files->context, file, 100) == 0, "truncate");
    expect_refusal(disk, "segment-0000000000000002", "shorter than any segment");
    files->close(files->context, file);
    hf_simulated_free(disk);

    disk = five_segments();
    hf_simulated_poke(disk, kit_segment(5), 5, "x", 1);
    expect_refusal(disk, "segment-0000000000000005", "does not begin like a segment");
    hf_simulated_free(disk);

    static const uint8_t zeros[KIT_SEGMENT];
    for (uint64_t generation = 1; generation <= 4; generation++) { /* a whole segment that lost its writes */
        disk = five_segments();
        hf_simulated_poke(disk, kit_segment(generation), 4096, zeros, KIT_SEGMENT - 4096);
        expect_refusal(disk, "segment-000000000000000", "epoch");
        hf_simulated_free(disk);
    }
}

/* Any byte of the log flipped: never other data, never a lost epoch but the very last one, for which nobody vouches. */
Test(log, a_flipped_byte_is_told_or_was_the_last_epoch) {
    uint64_t state = kit_seed(4711);
    run r;
    hf_simulated *disk = hf_simulated_new();
    hf_wal_close(long_log(disk, 12, &r, NULL));
    hf_simulated *bare = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    hf_simulated_remove(bare, KIT_DIRECTORY "/durable");
    unsigned refused = 0, cut = 0;
    for (int i = 0; i < 1500; i++) {
        const char *path = kit_segment(1 + kit_below(&state, kit_files(disk, "segment-")));
        uint64_t at = kit_below(&state, i % 2 ? KIT_SEGMENT : 4096 * 4);
        hf_simulated *image = hf_simulated_crash(i % 4 < 2 ? disk : bare, HF_CRASH_KEEP, 0);
        uint8_t byte = hf_simulated_bytes(image, path, NULL)[at];
        byte ^= (uint8_t)(1 << kit_below(&state, 8));
        hf_simulated_poke(image, path, at, &byte, 1);
        hf_wal *wal;
        hf_wal_found found;
        kit_list list;
        int error = kit_open(image, NULL, &wal, &list, &found);
        CHECK(kit_is_prefix(&list, &r.tried), "never other data");
        CHECK(error == HF_SUCCESS || (error == HF_ECORRUPT && strstr(hf_error_detail(), "offset")), "%s",
              hf_error_detail());
        CHECK(error == HF_ECORRUPT || list.count + (i % 4 >= 2) >= r.committed,
              "only the last, and only unvouched: %zu", list.count);
        CHECK(error == HF_ECORRUPT || list.count == r.committed || found.cut_bytes > 0, "what is cut is told");
        refused += error == HF_ECORRUPT;
        cut += error == HF_SUCCESS && found.cut_bytes > 0;
        hf_wal_close(wal);
        hf_simulated_free(image);
    }
    CHECK(refused > 300 && cut > 20, "both happened: %u refused, %u cut", refused, cut);
    hf_simulated_free(bare);
    hf_simulated_free(disk);
}

/* The last epoch has no later header to vouch for it; the durable page has, until the directory is copied. */
Test(log, the_durable_page_vouches_for_the_last_epoch) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal *wal;
    hf_wal_found found;
    hf_wal_close(long_log(disk, 3, &r, NULL));
    uint8_t *bytes = hf_simulated_bytes(disk, kit_segment(1), NULL);
    uint64_t last = 4096 + hf_batch_size(20000) + hf_batch_size(23000);
    bytes[last + 5000] ^= 1;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_ECORRUPT, "a durable epoch is damaged");
    CHECK(strstr(hf_error_detail(), "epoch 30") && strstr(hf_error_detail(), "durable page"), "%s", hf_error_detail());
    hf_simulated_copy(disk, KIT_DIRECTORY "/durable", KIT_DIRECTORY "/x");
    hf_simulated_copy(disk, KIT_DIRECTORY "/x", KIT_DIRECTORY "/durable");
    CHECK(kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "a copied page proves nothing: %s",
          hf_error_detail());
    CHECK(found.last_epoch == 20 && found.highest_seen == 30 && found.cut_bytes > 20000, "cut");
    CHECK(kit_files(disk, "cut-00000001-") == 1, "and kept aside");
    hf_wal_close(wal);
    for (uint64_t generation = 1; kit_files(disk, "segment-") > 0; generation++) {
        hf_simulated_remove(disk, kit_segment(generation));
    }
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_ECORRUPT, "the page knows that there was a log");
    CHECK(strstr(hf_error_detail(), "epoch 20") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);
}

/* A file that another process keeps writing zeros' worth of interrupts to: EINTR is continued, not for ever. */
Test(log, interrupts_are_continued_but_not_for_ever) {
    static const unsigned calls[] = {HF_CALL_WRITE, HF_CALL_READ};
    for (size_t i = 0; i < 2; i++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal;
        run r = {.committed = 0};
        CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
        hf_simulated_fault(disk, calls[i], 1, 5, -EINTR);
        CHECK(append_counted(wal, 1, 200000, &r) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_simulated_calls(disk) > 5, "it was interrupted");
        hf_simulated_fault(disk, calls[i], 1, UINT64_MAX, -EINTR);
        CHECK(append_counted(wal, 2, 200000, &r) == HF_EPOISONED, "interrupted for ever");
        CHECK(strstr(hf_error_detail(), "Interrupted") != NULL, "%s", hf_error_detail());
        hf_wal_close(wal);
        hf_simulated_fault(disk, 0, 0, 0, 0);
        check_image(disk, &r, 1, "after interrupts");
        hf_simulated_free(disk);
    }
}

/* What was marked durable without a batch was told to whoever reads the page: no later epoch may have that number. */
Test(log, an_epoch_that_was_marked_durable_is_never_used_again) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    hf_wal_found found;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_append(wal, 5, 10) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_mark_durable(wal, 150);
    hf_wal_close(wal);
    CHECK(kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(found.last_epoch == 5 && found.highest_seen == 150, "%llu", (unsigned long long)found.highest_seen);
    CHECK(kit_append(wal, 150, 10) == HF_EINVAL && kit_append(wal, 151, 10) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* A cut tail that cannot be read may hold the highest epoch that was ever seen. */
Test(log, a_cut_tail_that_cannot_be_read_is_no_reason_to_forget_it) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    hf_wal_found found;
    static const uint8_t zeros[10000];
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_append(wal, 5, 10) == HF_SUCCESS && hf_wal_begin(wal, 9, 1, 1) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_put(wal, zeros, sizeof zeros) == HF_SUCCESS, "%s", hf_error_detail());
    hf_simulated_fault(disk, HF_CALL_SYNC, 1, 1, -EIO);
    CHECK(hf_wal_commit(wal) == HF_EPOISONED, "not committed");
    hf_wal_close(wal);
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    uint8_t torn = 1;
    hf_simulated_poke(image, kit_segment(1), HF_SEGMENT_PAGE + 4096,
                      hf_simulated_bytes(disk, kit_segment(1), NULL) + HF_SEGMENT_PAGE + 4096, 512);
    hf_simulated_poke(image, kit_segment(1), HF_SEGMENT_PAGE + 4096 + 700, &torn, 1);
    CHECK(kit_open(image, NULL, &wal, NULL, &found) == HF_SUCCESS && found.highest_seen == 9, "%s", hf_error_detail());
    CHECK(kit_files(image, "cut-") == 1, "cut");
    hf_wal_close(wal);
    CHECK(kit_open(image, NULL, &wal, NULL, &found) == HF_SUCCESS && found.highest_seen == 9, "seen in the cut file");
    hf_wal_close(wal);
    unsigned refused = 0;
    for (uint64_t k = 1; k < 100; k++) {
        hf_simulated_fault(image, HF_CALL_READ, k, 1, -EIO);
        hf_error_keep("");
        int error = kit_open(image, NULL, &wal, NULL, &found);
        CHECK(error == HF_SUCCESS ? found.highest_seen == 9 : error == HF_EIO && strstr(hf_error_detail(), "/log"),
              "read %d: %s: %s", (int)k, hf_error_name(error), hf_error_detail());
        refused += error != HF_SUCCESS;
        hf_wal_close(wal);
    }
    CHECK(refused >= 3, "%u", refused);
    hf_simulated_free(image);
    hf_simulated_free(disk);
}

Test(log, a_directory_that_cannot_be_listed_says_so) {
    unsigned refused = 0;
    for (uint64_t k = 1; k < 10; k++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal;
        CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
        hf_wal_close(wal);
        hf_simulated_fault(disk, HF_CALL_LIST, k, 1, -EIO);
        hf_error_keep("");
        int error = kit_open(disk, NULL, &wal, NULL, NULL);
        CHECK(error == HF_SUCCESS || (error == HF_EIO && (strstr(hf_error_detail(), "list directory /log") ||
                                                          strstr(hf_error_detail(), "half made in /log"))),
              "listing %d: %s", (int)k, hf_error_detail());
        refused += error != HF_SUCCESS;
        hf_wal_close(wal);
        hf_simulated_free(disk);
    }
    CHECK(refused >= 5, "%u", refused);
}

/* ---- what a cut leaves ------------------------------------------------------------------------------------------- */

Test(log, what_is_cut_is_kept_aside_byte_by_byte) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal *wal = long_log(disk, 2, &r, NULL);
    CHECK(hf_wal_begin(wal, 50, kit_time(50), 1) == HF_SUCCESS, "%s", hf_error_detail());
    uint8_t *payload = malloc(300000);
    CHECK(payload != NULL, "memory");
    memset(payload, 0xab, 300000);
    CHECK(hf_wal_put(wal, payload, 300000) == HF_SUCCESS, "%s", hf_error_detail());
    free(payload);
    uint64_t newest = hf_wal_generation(wal);
    CHECK(newest == 3, "parts of the open epoch are in three segments");
    hf_wal_close(wal);
    size_t length, kept;
    uint64_t end = 4096 + hf_batch_size(20000) + hf_batch_size(23000);
    uint8_t *before = malloc(KIT_SEGMENT);
    memcpy(before, hf_simulated_bytes(disk, kit_segment(1), &length), KIT_SEGMENT);
    hf_wal_found found;
    kit_list list;
    CHECK(kit_open(disk, NULL, &wal, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(list.count == 2 && found.last_epoch == 20 && found.highest_seen == 50, "an epoch is whole or nothing");
    const uint8_t *cut = hf_simulated_bytes(disk, "/log/cut-00000001-0000c000-1", &kept);
    CHECK(end == 0xc000 && cut != NULL && memcmp(cut, before + end, kept) == 0, "kept aside");
    CHECK(hf_is_zero(before + end + kept, KIT_SEGMENT - end - kept), "to the last byte");
    CHECK(kit_files(disk, "cut-00000002-00001000-1") == 1, "the second segment's part, too");
    CHECK(hf_is_zero(hf_simulated_bytes(disk, kit_segment(1), NULL) + end, KIT_SEGMENT - end), "zeros again");
    CHECK(kit_files(disk, "segment-") == 1 && hf_wal_spares(wal) == 2, "empty segments are spares");
    CHECK(hf_wal_generation(wal) == 1 && kit_append(wal, 50, 1) == HF_EINVAL, "epoch 50 was seen");
    CHECK(kit_append(wal, 51, 300000) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    free(before);
    CHECK(kit_open(disk, NULL, &wal, &list, &found) == HF_SUCCESS && found.cut_bytes == 0, "%s", hf_error_detail());
    CHECK(list.count == 3 && list.epochs[2] == 51, "it goes on");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* ---- read-only --------------------------------------------------------------------------------------------------- */

Test(log, read_only_changes_nothing_and_sees_what_is_durable) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    kit_list list;
    hf_wal_found found;
    CHECK(kit_open_read_only(disk, NULL, &list, &found) == HF_ENOTFOUND, "no log yet");
    hf_wal *wal = long_log(disk, 9, &r, NULL);
    CHECK(hf_wal_begin(wal, 500, kit_time(500), 1) == HF_SUCCESS, "%s", hf_error_detail());
    static const uint8_t zeros[200000];
    CHECK(hf_wal_put(wal, zeros, sizeof zeros) == HF_SUCCESS, "%s", hf_error_detail());
    hf_simulated_fault(disk, HF_CALLS_THAT_CHANGE, 0, 0, 0); /* to count them */
    CHECK(kit_open_read_only(disk, NULL, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(list.count == 9 && kit_is_prefix(&list, &r.tried) && found.last_epoch == 90, "beside the writer");
    CHECK(hf_simulated_calls(disk) == 0, "beside a writer, the syncs are its own");
    hf_simulated_fault(disk, HF_CALLS_THAT_CHANGE & ~HF_CALL_SYNC, 0, 0, 0);
    hf_simulated *damaged = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    hf_simulated_bytes(damaged, kit_segment(1), NULL)[5000] ^= 1;
    const hf_files *files = hf_simulated_files(damaged);
    int lock = files->open(files->context, KIT_DIRECTORY "/LOCK", HF_OPEN_LOCK);
    CHECK(files->lock(files->context, lock) == 0, "a writer is there");
    CHECK(kit_open_read_only(damaged, NULL, &list, &found) == HF_ECORRUPT, "damage stays damage beside a writer");
    hf_simulated_fault(damaged, HF_CALL_LIST, 2, 1, -EIO);
    CHECK(kit_open_read_only(damaged, NULL, &list, &found) == HF_EIO, "nor is an error damage");
    hf_simulated_fault(damaged, HF_CALL_LIST, 3, 1, -EIO);
    CHECK(kit_open_read_only(damaged, NULL, &list, &found) == HF_EIO, "whether the writer let go of it");
    files->close(files->context, lock);
    hf_simulated_free(damaged);
    hf_wal_close(wal);
    CHECK(kit_open_read_only(disk, NULL, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(list.count == 9 && found.cut_bytes == 0, "with a torn tail");
    CHECK(hf_simulated_calls(disk) == 0, "nothing was changed");
    hf_wal_options options = {.files = hf_simulated_files(disk), .read_only = true};
    static const hf_wal_position beginning;
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_open(wal, &beginning, NULL, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_begin(wal, 1000, 1, 1) == HF_EREADONLY && hf_wal_release(wal, 2) == HF_EREADONLY, "read-only");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

static int stop_at_three(void *context, const hf_wal_epoch *epoch) {
    unsigned *count = context;
    (void)epoch;
    return ++*count == 3 ? -77 : 0;
}

Test(log, a_replay_that_refuses_ends_the_open) {
    hf_simulated *disk = hf_simulated_new();
    run r;
    hf_wal_close(long_log(disk, 9, &r, NULL));
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = KIT_SEGMENT};
    static const hf_wal_position beginning;
    hf_wal *wal;
    hf_wal_found found;
    unsigned count = 0;
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, true, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(!hf_is_zero(hf_wal_uuid(wal), 16), "the UUID is known before the open");
    CHECK(hf_wal_open(wal, &beginning, stop_at_three, &count, &found) == -77 && count == 3, "its own code comes back");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* ---- a thread that prepares -------------------------------------------------------------------------------------- */

typedef struct preparer {
    hf_wal *wal;
    int stop, failed;
} preparer;

static void *prepare_always(void *context) {
    preparer *p = context;
    while (!hf_load_relaxed(&p->stop)) {
        p->failed |= hf_wal_prepare(p->wal, 2) < 0;
        p->failed |= hf_wal_release(p->wal, hf_wal_generation(p->wal)) < 0;
    }
    return NULL;
}

Test(log, segments_are_prepared_and_released_by_another_thread) {
    hf_simulated *disk = hf_simulated_new();
    preparer p = {.wal = NULL};
    pthread_t thread;
    int error = HF_SUCCESS;
    CHECK(kit_open(disk, NULL, &p.wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(pthread_create(&thread, NULL, prepare_always, &p) == 0, "a thread");
    for (uint64_t epoch = 1; epoch <= 300 && error == HF_SUCCESS; epoch++) {
        error = kit_append(p.wal, epoch, 30000);
    }
    hf_store_relaxed(&p.stop, 1);
    pthread_join(thread, NULL);
    CHECK(error == HF_SUCCESS && !p.failed, "%s", hf_error_detail());
    uint64_t generation = hf_wal_generation(p.wal);
    hf_wal_close(p.wal);
    CHECK(generation > 60, "many segments");
    hf_wal_position position = {.epoch = 299, .generation = generation, .durable = 300};
    kit_list list;
    CHECK(kit_open(disk, &position, &p.wal, &list, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(list.epochs[list.count - 1] == 300 && !list.bad, "the last epoch");
    hf_wal_close(p.wal);
    hf_simulated_free(disk);
}
