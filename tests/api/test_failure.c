/* Fail-stop and damage: a log that cannot be written, a full disk, a byte that changed. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

/* From now on no file may be written, or may be again. */
static void forbid_writing(bool forbid) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = forbid ? 0 : limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Every call of a poisoned engine: changes are refused, reads are served. */
static void expect_poisoned(fixture *f, uint64_t ticket) {
    hf_reply reply;
    hf_session *session;
    hf_line line = line_of("sku", 1);
    hf_op op = {.type = HF_OP_RECEIVE, .id = id_of("n"), .lines = &line, .line_count = 1};
    EXPECT_ERROR(hf_poll(f->engine), HF_EPOISONED);
    EXPECT_ERROR(hf_health(f->engine), HF_EPOISONED);
    cr_expect_neq(hf_error_detail()[0], 0, "no detail");
    EXPECT_ERROR(hf_receive(f->session, id_of("n"), line, &reply), HF_EPOISONED);
    cr_expect_eq(reply.error, HF_EPOISONED);
    EXPECT_ERROR(hf_adjust(f->session, id_of("n"), line, &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_count(f->session, id_of("n"), line, &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_purchase(f->session, id_of("n"), &line, 1, &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_reserve(f->session, id_of("n"), &line, 1, 10, 0, &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_confirm(f->session, id_of("r"), &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_cancel(f->session, id_of("r"), &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_extend(f->session, id_of("r"), 10, &reply), HF_EPOISONED);
    EXPECT_ERROR(hf_submit(f->session, &op, 1, &reply, NULL), HF_EPOISONED);
    EXPECT_ERROR(hf_checkpoint(f->engine), HF_EPOISONED);
    EXPECT_ERROR(hf_session_open(f->engine, NULL, &session), HF_EPOISONED);
    EXPECT_ERROR(hf_wait(f->engine, ticket, 1000), HF_EPOISONED);
    cr_expect_lt(hf_durable(f->engine), ticket, "acknowledged what was never written");
}

static void close_poisoned(fixture *f) {
    hf_session_close(f->session);
    EXPECT_ERROR(hf_close(f->engine), HF_EPOISONED);
}

Test(failure, a_failed_write_poisons_and_reads_are_still_served) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    reserve(&f, "r", "sku", 4, 100000);
    MUST(hf_poll(f.engine));
    uint64_t ticket = purchase(&f, "p", "sku", 1).ticket;
    forbid_writing(true);
    EXPECT_ERROR(hf_poll(f.engine), HF_EPOISONED);
    cr_expect(strstr(hf_error_detail(), "segment-"), "the detail names no file: %s", hf_error_detail());
    forbid_writing(false); /* too late: nothing is tried again */
    expect_poisoned(&f, ticket);
    EXPECT_STOCK(&f, "sku", 9, 4, 3);
    hf_reservation found;
    MUST(hf_reservation_read(f.session, id_of("r"), &found, NULL, 0));
    cr_expect_eq(found.state, HF_STATE_LIVE);
    close_poisoned(&f);
    fixture_open(&f);
    EXPECT_STOCK(&f, "sku", 10, 4, 2);
    EXPECT_OUTCOME(purchase(&f, "p", "sku", 1), HF_OUTCOME_OK);
    fixture_end(&f);
}

Test(failure, background_threads_stop_and_wake_whoever_waits) {
    fixture f;
    fixture_begin(&f);
    fixture_close(&f);
    f.options.flags = 0;
    fixture_open(&f);
    hf_reply first = receive(&f, "in", "sku", 10);
    MUST(hf_wait(f.engine, first.ticket, UINT64_MAX));
    MUST(hf_health(f.engine));
    forbid_writing(true);
    hf_reply reply;
    int error = hf_receive(f.session, id_of("x"), line_of("sku", 1), &reply);
    cr_assert_eq(error, HF_SUCCESS, "%s", hf_error_name(error));
    EXPECT_ERROR(hf_wait(f.engine, reply.ticket, UINT64_MAX), HF_EPOISONED);
    forbid_writing(false);
    expect_poisoned(&f, reply.ticket);
    uint64_t events;
    int flags = fcntl(hf_event_fd(f.engine), F_GETFL);
    fcntl(hf_event_fd(f.engine), F_SETFL, flags | O_NONBLOCK);
    cr_expect_eq(read(hf_event_fd(f.engine), &events, sizeof events), 8, "the event fd did not tell");
    close_poisoned(&f);
    f.options.flags = HF_NO_THREADS;
    fixture_open(&f);
    EXPECT_STOCK(&f, "sku", 10, 0, 1);
    fixture_end(&f);
}

Test(failure, a_checkpoint_that_fails_harms_nothing) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    MUST(hf_poll(f.engine));
    MUST(hf_checkpoint(f.engine));
    MUST(hf_poll(f.engine));
    forbid_writing(true);
    int error = hf_checkpoint(f.engine);
    forbid_writing(false);
    cr_expect(error == HF_EIO || error == HF_EPOISONED, "%s", hf_error_name(error));
    if (error == HF_EIO) { /* only the checkpoint's own file was refused */
        EXPECT_OUTCOME(receive(&f, "more", "sku", 1), HF_OUTCOME_OK);
        fixture_close(&f);
    } else {
        close_poisoned(&f);
    }
    fixture_open(&f);
    EXPECT_STOCK(&f, "sku", error == HF_EIO ? 11 : 10, 0, error == HF_EIO ? 2 : 1);
    fixture_end(&f);
}

/* A disk of its own, if this user may make one. */
static bool mount_small(const char *directory, const char *size) {
    if (mount("tmpfs", directory, "tmpfs", 0, size) != 0) {
        fprintf(stderr, "failure: SKIPPED the full disk: cannot mount a tmpfs here: %s\n", strerror(errno));
        return false;
    }
    return true;
}

Test(failure, a_full_disk_poisons_and_opens_again_once_there_is_room) {
    fixture f = {0};
    uint64_t acknowledged = 0, tried = 0;
    hf_reply reply;
    int error = HF_SUCCESS;
    harness_directory(f.directory);
    harness_clock_set(&f.clock, HARNESS_EPOCH_MS);
    harness_options(&f.options, HF_NO_THREADS, &f.clock);
    if (!mount_small(f.directory, "size=5m")) {
        harness_remove(f.directory);
        return;
    }
    fixture_open(&f);
    while (error == HF_SUCCESS && tried < 10000) { /* a page of log each */
        error = hf_receive(f.session, harness_id(1, tried), line_of("sku", 1), &reply);
        tried += error == HF_SUCCESS;
        error = error ? error : hf_poll(f.engine);
        acknowledged += error == HF_SUCCESS;
    }
    cr_expect_eq(error, HF_EPOISONED, "%s after %llu", hf_error_name(error), (unsigned long long)tried);
    cr_expect_gt(acknowledged, 200u, "%llu were acknowledged", (unsigned long long)acknowledged);
    expect_poisoned(&f, reply.ticket);
    close_poisoned(&f);
    cr_assert_eq(mount("tmpfs", f.directory, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    fixture_open(&f);
    hf_stock stock = stock_of(&f, "sku");
    cr_expect(stock.on_hand >= (int64_t)acknowledged && stock.on_hand <= (int64_t)tried, "%lld of %llu..%llu",
              (long long)stock.on_hand, (unsigned long long)acknowledged, (unsigned long long)tried);
    EXPECT_OUTCOME(receive(&f, "new", "sku", 1), HF_OUTCOME_OK);
    MUST(hf_poll(f.engine));
    fixture_close(&f);
    cr_expect_eq(umount(f.directory), 0);
    rmdir(f.directory);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void segment_path(const fixture *f, char path[HARNESS_PATH + 64]) {
    snprintf(path, HARNESS_PATH + 64, "%s/segment-0000000000000001", f->directory);
}

/* The offset of the n-th batch, from 0, or of the last: batches begin at pages with their magic. */
static long find_batch(const char *path, unsigned number) {
    char magic[8];
    long found = -1;
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s", path);
    for (long offset = 0; fseek(file, offset, SEEK_SET) == 0 && fread(magic, 8, 1, file) == 1; offset += 4096) {
        if (memcmp(magic, "HFBATCH\n", 8) == 0) {
            found = offset;
            if (number-- == 0) {
                break;
            }
        }
    }
    fclose(file);
    cr_assert_geq(found, 0, "no batch in %s", path);
    return found;
}

static void flip_bit(const char *path, long offset) {
    FILE *file = fopen(path, "r+");
    cr_assert(file && fseek(file, offset, SEEK_SET) == 0);
    int byte = fgetc(file);
    cr_assert(byte != EOF && fseek(file, offset, SEEK_SET) == 0);
    cr_assert(fputc(byte ^ 4, file) != EOF && fclose(file) == 0);
}

static void write_epochs(fixture *f, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        hf_reply reply;
        MUST(hf_receive(f->session, harness_id(1, i), line_of("sku", 1), &reply));
        MUST(hf_poll(f->engine));
    }
}

/* Opens, which must fail and say where; then the same of a read-only open and of the log reader. */
static void expect_corrupt(fixture *f, long offset) {
    hf_engine *engine;
    hf_log *log = NULL;
    hf_record record;
    char digits[32];
    snprintf(digits, sizeof digits, "%ld", offset);
    for (unsigned round = 0; round < 2; round++) {
        hf_options options = f->options;
        options.flags |= round ? HF_READ_ONLY : 0u;
        EXPECT_ERROR(hf_open(f->directory, &options, &engine), HF_ECORRUPT);
        cr_expect(strstr(hf_error_detail(), "segment-0000000000000001"), "no file in: %s", hf_error_detail());
        cr_expect(strstr(hf_error_detail(), digits), "no offset %s in: %s", digits, hf_error_detail());
        cr_expect(strstr(hf_error_detail(), "epoch"), "no epoch in: %s", hf_error_detail());
    }
    int error = hf_log_open(f->directory, 0, &log);
    while (error >= 0 && (error = hf_log_next(log, &record)) > 0) {
    }
    cr_expect_eq(error, HF_ECORRUPT, "the log reader: %s", hf_error_name(error));
    cr_expect(strstr(hf_error_detail(), "segment-0000000000000001"), "no file in: %s", hf_error_detail());
    if (log) {
        hf_log_close(log);
    }
}

Test(failure, a_changed_byte_before_the_durable_end_is_told_with_its_place) {
    for (unsigned part = 0; part < 3; part++) { /* in the header, in the payload, in the padding */
        static const long within[] = {50, 170, 4000};
        fixture f;
        char path[HARNESS_PATH + 64];
        fixture_begin(&f);
        write_epochs(&f, 10);
        fixture_close(&f);
        segment_path(&f, path);
        long offset = find_batch(path, 4);
        flip_bit(path, offset + within[part]);
        char *before = harness_listing(f.directory);
        expect_corrupt(&f, offset);
        char *after = harness_listing(f.directory);
        cr_expect(strstr(after, "segment-0000000000000001") && strlen(before) == strlen(after),
                  "a damaged directory was changed:\n%s---\n%s", before, after);
        flip_bit(path, offset + within[part]); /* made good again, it opens */
        fixture_open(&f);
        EXPECT_STOCK(&f, "sku", 10, 0, 10);
        fixture_end(&f);
        free(before);
        free(after);
    }
}

Test(failure, a_torn_tail_is_cut_and_kept_aside) {
    fixture f, copy;
    char path[HARNESS_PATH + 64];
    fixture_begin(&f);
    write_epochs(&f, 10);
    copy = f;
    harness_copy(f.directory, copy.directory); /* a crash: nothing was closed */
    fixture_end(&f);
    segment_path(&copy, path);
    long end = find_batch(path, UINT_MAX);
    FILE *file = fopen(path, "r+"); /* half a batch: its header's magic and some rubbish */
    cr_assert(file && fseek(file, end + 4096, SEEK_SET) == 0);
    cr_assert(fwrite("HFBATCH\n and then the power went", 32, 1, file) == 1 && fclose(file) == 0);
    copy.options.clock_context = &copy.clock;
    fixture_open(&copy);
    EXPECT_STOCK(&copy, "sku", 10, 0, 10);
    cr_expect_gt(stats_of(&copy).cut_bytes, 0u);
    cr_expect_eq(harness_count(copy.directory, "cut-"), 1u);
    fixture_reopen(&copy);
    EXPECT_STOCK(&copy, "sku", 10, 0, 10);
    cr_expect_eq(stats_of(&copy).cut_bytes, 0u);
    fixture_end(&copy);
}
