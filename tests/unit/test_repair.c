/* Repair: damage of every kind, at every batch, is cut back to the last whole epoch before it; nothing is deleted, and
 * a crash at any point of the work loses nothing of that. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"
#include "wal/repair.h"
#include "wal/segment.h"

#include <string.h>

enum { EPOCHS = 40 };

#if defined(KIT_SLOW)
enum { STRIDE = 7 }; /* of the calls that fail, every so many */
#else
enum { STRIDE = 1 };
#endif

/* A log of some segments, and where each epoch's first batch stands. */
typedef struct sample {
    hf_simulated *disk;
    kit_list all;
    uint64_t generation[EPOCHS + 2], offset[EPOCHS + 2];
    uint64_t newest; /* segment with a batch */
} sample;

static void locate(sample *s) {
    for (uint64_t generation = 1;; generation++) {
        size_t length;
        const uint8_t *bytes = hf_simulated_bytes(s->disk, kit_segment(generation), &length);
        hf_batch_header header;
        if (bytes == NULL) {
            return;
        }
        for (uint64_t at = HF_SEGMENT_PAGE; at < length && hf_batch_decode(bytes + at, &header) == NULL;
             at += hf_batch_size(header.payload_length)) {
            s->newest = generation;
            if (header.part == 0) {
                s->generation[header.epoch] = generation;
                s->offset[header.epoch] = at;
            }
        }
    }
}

/* Epochs 1..EPOCHS; some are longer than the room that is left in a segment, so they have parts. */
static sample make_sample(void) {
    sample s = {.disk = hf_simulated_new()};
    hf_wal *wal;
    CHECK(kit_open(s.disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        size_t length = epoch % 9 == 0 ? 90000 : epoch % 4 == 0 ? 20000 : 3000;
        CHECK(kit_append(wal, epoch, length) == HF_SUCCESS, "%s", hf_error_detail());
        s.all.epochs[s.all.count] = epoch;
        s.all.lengths[s.all.count++] = length;
    }
    hf_wal_close(wal);
    locate(&s);
    CHECK(s.newest >= 4, "only %llu segments", (unsigned long long)s.newest);
    return s;
}

static void flip(hf_simulated *disk, uint64_t generation, uint64_t offset) {
    uint8_t byte = hf_simulated_bytes(disk, kit_segment(generation), NULL)[offset] ^ 0x20;
    hf_simulated_poke(disk, kit_segment(generation), offset, &byte, 1);
}

static int repair_with(hf_simulated *disk, bool cut, const hf_repair_start *starts, size_t count,
                       hf_repair_report *report) {
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = KIT_SEGMENT, .read_only = !cut};
    hf_wal *wal;
    int error = hf_wal_lock(KIT_DIRECTORY, &options, true, &wal);
    error = error != HF_SUCCESS ? error : hf_wal_repair(wal, starts, count, report);
    hf_wal_close(wal);
    return error;
}

static const hf_repair_start beginning = {.name = NULL};

static int repair_log(hf_simulated *disk, bool cut, hf_repair_report *report) {
    return repair_with(disk, cut, &beginning, 1, report);
}

static int open_result(hf_simulated *disk, kit_list *list, hf_wal_found *found) {
    hf_wal *wal;
    int error = kit_open(disk, NULL, &wal, list, found);
    hf_wal_close(wal);
    return error;
}

/* The log is all->epochs up to `kept`, goes on above everything that ever was, and is a good one. */
static void check_kept(hf_simulated *disk, const kit_list *all, uint64_t kept, uint64_t highest) {
    kit_list list;
    hf_wal_found found;
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_is_prefix(&list, all) && list.count == kept, "%zu epochs, expected %llu", list.count,
          (unsigned long long)kept);
    CHECK(found.highest_seen >= highest, "goes on above %llu, expected %llu", (unsigned long long)found.highest_seen,
          (unsigned long long)highest);
    CHECK(kit_append(wal, found.highest_seen + 1, 500) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(wal);
    CHECK(open_result(disk, &list, NULL) == HF_SUCCESS && list.count == kept + 1 && !list.bad, "the log goes on");
    hf_repair_report report;
    CHECK(repair_log(disk, false, &report) == HF_SUCCESS && !report.damaged, "damage is left: %s", report.damage);
}

/* ---- what is cut, and what is kept aside ------------------------------------------------------------------------- */

Test(repair, leaves_a_good_log_and_a_torn_tail_alone) {
    sample s = make_sample();
    hf_repair_report report;
    CHECK(repair_log(s.disk, true, &report) == HF_SUCCESS && !report.damaged && !report.cut, "%s", report.damage);
    flip(s.disk, s.generation[EPOCHS], s.offset[EPOCHS] + HF_BATCH_HEADER);
    CHECK(hf_simulated_remove(s.disk, KIT_DIRECTORY "/durable"), "the page, which names the last epoch durable");
    hf_simulated *torn = hf_simulated_crash(s.disk, HF_CRASH_KEEP, 1);
    CHECK(repair_log(torn, true, &report) == HF_SUCCESS && !report.damaged && !report.cut, "%s", report.damage);
    CHECK(kit_files(torn, "cut-") == 0, "a repair cut a torn tail: that is the open's to do");
    check_kept(torn, &s.all, EPOCHS - 1, EPOCHS);
    hf_simulated_free(torn);
    hf_simulated_free(s.disk);
}

/* Found by tests/fuzz/log.c: there is no epoch to note, and a note of epoch 0 cannot be made. */
Test(repair, mends_a_log_without_an_epoch) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_prepare(wal, 1) == 1, "%s", hf_error_detail());
    hf_wal_close(wal);
    const hf_files *files = hf_simulated_files(disk);
    CHECK(files->rename(files->context, KIT_DIRECTORY "/spare-0000000000000002", kit_segment(3)) == 0, "rename");
    hf_repair_report report;
    CHECK(open_result(disk, NULL, NULL) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(repair_log(disk, true, &report) == HF_SUCCESS && report.damaged && report.cut, "%s", hf_error_detail());
    CHECK(report.kept_epoch == 0 && report.lost_epoch == 0, "epochs %llu", (unsigned long long)report.lost_epoch);
    check_kept(disk, &(kit_list){.count = 0}, 0, 0);
    hf_simulated_free(disk);
}

/* Found by tests/fuzz/log.c: the page has no digest. What is above every epoch that can be is no epoch that was told. */
Test(repair, does_not_note_what_can_be_no_epoch) {
    sample s = make_sample();
    uint8_t most[8];
    memset(most, 0xff, sizeof most);
    hf_simulated_poke(s.disk, KIT_DIRECTORY "/durable", 40, most, sizeof most); /* committed */
    hf_repair_report report;
    CHECK(open_result(s.disk, NULL, NULL) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(repair_log(s.disk, true, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    CHECK(report.kept_epoch == EPOCHS && report.lost_epoch == EPOCHS, "lost %llu", (unsigned long long)report.lost_epoch);
    check_kept(s.disk, &s.all, EPOCHS, EPOCHS);
    hf_simulated_free(s.disk);
}

static void expect_bytes(hf_simulated *disk, const char *name, const uint8_t *bytes, size_t length) {
    char path[HF_PATH_ROOM];
    size_t found;
    snprintf(path, sizeof path, "%s/%s", KIT_DIRECTORY, name);
    const uint8_t *is = hf_simulated_bytes(disk, path, &found);
    CHECK(is != NULL && found <= length && memcmp(is, bytes, found) == 0 && hf_is_zero(bytes + found, length - found),
          "%s does not hold what was cut", name);
}

/* Every byte that was cut of `before` lies in a file aside; the newest segment is a spare without a batch. */
static void check_aside(hf_simulated *disk, hf_simulated *before, uint64_t newest, uint64_t generation,
                        uint64_t offset) {
    char name[64];
    size_t length;
    const uint8_t *bytes = hf_simulated_bytes(before, kit_segment(generation), &length);
    unsigned number = 1 + kit_files(before, "cut-");
    snprintf(name, sizeof name, "cut-%08llx-%08llx-%u", (unsigned long long)generation, (unsigned long long)offset,
             number + 1); /* the first is the note */
    if (!hf_is_zero(bytes + offset, length - offset)) {
        expect_bytes(disk, name, bytes + offset, length - offset);
    }
    for (uint64_t later = generation + 1; later <= newest; later++) {
        bytes = hf_simulated_bytes(before, kit_segment(later), &length);
        if (bytes != NULL) {
            snprintf(name, sizeof name, "cut-%08llx-00000000-1", (unsigned long long)later);
            expect_bytes(disk, name, bytes, length);
        }
    }
}

/* Behind the last whole epoch before `epoch`. */
static void end_before(const sample *s, uint64_t epoch, uint64_t *generation, uint64_t *offset) {
    *generation = s->generation[epoch];
    *offset = s->offset[epoch];
    if (*offset == HF_SEGMENT_PAGE && *generation > 1) { /* the end is that of the segment before */
        size_t length;
        hf_batch_header header;
        *generation -= 1;
        const uint8_t *bytes = hf_simulated_bytes(s->disk, kit_segment(*generation), &length);
        for (*offset = HF_SEGMENT_PAGE; *offset < length && hf_batch_decode(bytes + *offset, &header) == NULL;) {
            *offset += hf_batch_size(header.payload_length);
        }
    }
}

static void damage_epoch(const sample *s, uint64_t epoch, uint64_t into) {
    hf_simulated *disk = hf_simulated_crash(s->disk, HF_CRASH_KEEP, 1);
    hf_repair_report before, report;
    uint64_t generation, offset;
    flip(disk, s->generation[epoch], s->offset[epoch] + into);
    hf_simulated *damaged = hf_simulated_crash(disk, HF_CRASH_KEEP, 1);
    CHECK(repair_log(disk, false, &before) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(before.damaged && !before.cut && before.kept_epoch == epoch - 1, "epoch %llu is damaged: %llu are kept",
          (unsigned long long)epoch, (unsigned long long)before.kept_epoch);
    CHECK(before.kept_time_ms == (epoch > 1 ? kit_time(epoch - 1) : 0) && before.lost_epoch == EPOCHS &&
              (before.lost_time_ms == kit_time(EPOCHS) || epoch == EPOCHS),
          "times and epochs of what is lost");
    CHECK(before.readable_epochs == EPOCHS - epoch, "%llu epochs can be read behind epoch %llu",
          (unsigned long long)before.readable_epochs, (unsigned long long)epoch);
    CHECK(strstr(before.damage, "segment-") && strstr(before.damage, "offset"), "%s", before.damage);
    CHECK(kit_files(disk, "cut-") == 0, "a report changed something");
    CHECK(repair_log(disk, true, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    report.cut = false;
    CHECK(memcmp(&report, &before, sizeof report) == 0, "the report was another one");
    end_before(s, epoch, &generation, &offset);
    check_aside(disk, damaged, s->newest, generation, offset);
    check_kept(disk, &s->all, epoch - 1, EPOCHS);
    hf_simulated_free(damaged);
    hf_simulated_free(disk);
}

Test(repair, cuts_before_any_damaged_batch) {
    sample s = make_sample();
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) { /* the last is known durable by the page */
        damage_epoch(&s, epoch, 3);                      /* the magic */
        damage_epoch(&s, epoch, 48);                     /* the epoch */
        damage_epoch(&s, epoch, HF_BATCH_HEADER + 1000); /* the payload */
    }
    hf_simulated_free(s.disk);
}

static void damage_segment(const sample *s, uint64_t generation, void (*damage)(hf_simulated *disk, uint64_t)) {
    hf_simulated *disk = hf_simulated_crash(s->disk, HF_CRASH_KEEP, 1);
    hf_repair_report report;
    uint64_t kept = 0;
    while (s->generation[kept + 1] < generation) { /* epochs may reach into this segment: their last part is lost */
        kept++;
    }
    damage(disk, generation);
    hf_simulated *damaged = hf_simulated_crash(disk, HF_CRASH_KEEP, 1);
    CHECK(open_result(damaged, NULL, NULL) == HF_ECORRUPT, "segment %llu: %s", (unsigned long long)generation,
          hf_error_detail());
    CHECK(repair_log(disk, true, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    CHECK(report.kept_epoch == kept || report.kept_epoch + 1 == kept, "segment %llu: %llu kept, expected %llu",
          (unsigned long long)generation, (unsigned long long)report.kept_epoch, (unsigned long long)kept);
    check_kept(disk, &s->all, report.kept_epoch, EPOCHS);
    hf_simulated_free(damaged);
    hf_simulated_free(disk);
}

static void flip_page(hf_simulated *disk, uint64_t generation) { flip(disk, generation, 20); }
static void remove_segment(hf_simulated *disk, uint64_t generation) {
    hf_simulated_remove(disk, kit_segment(generation));
}
static void replace_by_first(hf_simulated *disk, uint64_t generation) {
    hf_simulated_copy(disk, kit_segment(1), kit_segment(generation));
}
static void shorten(hf_simulated *disk, uint64_t generation) {
    const hf_files *files = hf_simulated_files(disk);
    int file = files->open(files->context, kit_segment(generation), HF_OPEN_WRITE);
    CHECK(files->truncate(files->context, file, 8192) == 0, "truncate");
    files->close(files->context, file);
}

Test(repair, cuts_before_a_segment_that_is_no_segment_of_the_log) {
    sample s = make_sample();
    for (uint64_t generation = 2; generation <= s.newest; generation++) {
        damage_segment(&s, generation, flip_page);
        damage_segment(&s, generation, replace_by_first);
        damage_segment(&s, generation, shorten);
        if (generation < s.newest) {
            damage_segment(&s, generation, remove_segment);
        }
    }
    hf_simulated_free(s.disk);
}

Test(repair, says_when_no_cut_helps) {
    hf_repair_report report;
    sample s = make_sample();
    flip_page(s.disk, 1);
    CHECK(repair_log(s.disk, true, &report) == HF_ECORRUPT, "no beginning");
    CHECK(strstr(hf_error_detail(), "no cut helps") && strstr(hf_error_detail(), "segment-"), "%s", hf_error_detail());
    CHECK(repair_with(s.disk, true, NULL, 0, &report) == HF_ECORRUPT, "no start at all");
    CHECK(kit_files(s.disk, "cut-") == 0, "something was cut");
    remove_segment(s.disk, 1);
    CHECK(repair_log(s.disk, true, &report) == HF_ECORRUPT, "no beginning");
    for (uint64_t generation = 2; hf_simulated_remove(s.disk, kit_segment(generation)); generation++) {
    }
    CHECK(repair_log(s.disk, false, &report) == HF_ENOTFOUND, "no log at all: %s", hf_error_detail());
    hf_simulated_free(s.disk);
}

/* The batch there is of the next format version. */
static void write_as_newer(hf_simulated *disk, uint64_t generation, uint64_t offset) {
    uint8_t *bytes = hf_simulated_bytes(disk, kit_segment(generation), NULL) + offset;
    uint8_t changed[HF_BATCH_HEADER];
    memcpy(changed, bytes, sizeof changed);
    changed[8] = 2;
    hf_digest digest = hf_digest_of(changed, 144);
    memcpy(changed + 144, digest.bytes, 16);
    hf_simulated_poke(disk, kit_segment(generation), offset, changed, sizeof changed);
}

Test(repair, never_cuts_what_a_newer_version_wrote) {
    hf_repair_report report;
    sample s = make_sample();
    write_as_newer(s.disk, s.generation[5], s.offset[5]);
    CHECK(repair_log(s.disk, true, &report) == HF_EVERSION, "%s", hf_error_detail());
    CHECK(kit_files(s.disk, "cut-") == 0, "something was cut");
    hf_simulated_free(s.disk);
}

Test(repair, reports_nothing_of_a_directory_in_use) {
    hf_repair_report report;
    hf_wal *wal;
    sample s = make_sample();
    CHECK(kit_open(s.disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(repair_log(s.disk, false, &report) == HF_EBUSY, "a report beside a writer");
    CHECK(repair_log(s.disk, true, &report) == HF_EBUSY, "a repair beside a writer");
    hf_wal_close(wal);
    hf_simulated_free(s.disk);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

static void make_file(hf_simulated *disk, const char *path) {
    const hf_files *files = hf_simulated_files(disk);
    int file = files->open(files->context, path, HF_OPEN_CREATE);
    CHECK(file >= 0 && files->sync_directory(files->context, KIT_DIRECTORY) == 0, "%s", path);
    files->close(files->context, file);
}

/* A checkpoint that replays from epoch `from` and holds effects up to `durable`; the one before it; the beginning. */
static void damage_with_checkpoints(const sample *s, uint64_t epoch, uint64_t from, uint64_t durable) {
    const hf_repair_start starts[3] = {
        {.position = {.epoch = from, .generation = s->generation[from], .durable = durable}, .name = "checkpoint-c"},
        {.position = {.epoch = from - 9, .generation = s->generation[from - 9], .durable = from - 6},
         .name = "checkpoint-b"},
        {.name = NULL}};
    hf_simulated *disk = hf_simulated_crash(s->disk, HF_CRASH_KEEP, 1);
    hf_repair_report report;
    kit_list list;
    hf_wal *wal;
    make_file(disk, KIT_DIRECTORY "/checkpoint-c");
    make_file(disk, KIT_DIRECTORY "/checkpoint-b");
    flip(disk, s->generation[epoch], s->offset[epoch] + 3);
    CHECK(repair_with(disk, true, starts, 3, &report) == HF_SUCCESS, "epoch %llu, checkpoint %llu..%llu: %s",
          (unsigned long long)epoch, (unsigned long long)from, (unsigned long long)durable, hf_error_detail());
    if (s->generation[epoch] < s->generation[from]) {
        CHECK(!report.damaged, "epoch %llu is read by no open", (unsigned long long)epoch);
        hf_simulated_free(disk);
        return;
    }
    size_t best = epoch > durable ? 0 : epoch > from - 6 ? 1 : 2;
    if (best == 1 && s->generation[epoch] < s->generation[from - 9]) {
        best = 2;
    }
    CHECK(report.cut && report.kept_epoch == epoch - 1, "epoch %llu: %llu kept", (unsigned long long)epoch,
          (unsigned long long)report.kept_epoch);
    CHECK(report.checkpoints == best && report.start_epoch == starts[best].position.epoch,
          "epoch %llu: replay starts at %llu", (unsigned long long)epoch, (unsigned long long)report.start_epoch);
    CHECK(kit_files(disk, "checkpoint-") == 2 - best && kit_files(disk, "aside-checkpoint-") == best,
          "checkpoints aside");
    int error = kit_open(disk, &starts[best].position, &wal, &list, NULL);
    CHECK(error == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(!list.bad && (list.count == 0 || list.epochs[list.count - 1] == epoch - 1), "the log from the checkpoint");
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(repair, keeps_the_newest_checkpoint_that_the_log_still_reaches) {
    sample s = make_sample();
    for (uint64_t epoch = 1; epoch < EPOCHS; epoch++) {
        for (uint64_t from = 12; from < EPOCHS - 2; from += 5) {
            damage_with_checkpoints(&s, epoch, from, from - 1);
            damage_with_checkpoints(&s, epoch, from, from + 2);
        }
    }
    hf_simulated_free(s.disk);
}

Test(repair, goes_on_above_an_epoch_that_only_a_checkpoint_names) {
    hf_repair_report report;
    sample s = make_sample();
    const hf_repair_start starts[2] = {
        {.position = {.epoch = 20, .generation = s.generation[20], .durable = EPOCHS + 7}, .name = "checkpoint-c"},
        {.name = NULL}};
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-c");
    CHECK(repair_with(s.disk, true, starts, 2, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    CHECK(report.kept_epoch == EPOCHS && report.lost_epoch == EPOCHS + 7 && report.readable_epochs == 0,
          "up to epoch %llu", (unsigned long long)report.lost_epoch);
    check_kept(s.disk, &s.all, EPOCHS, EPOCHS + 7);
    hf_simulated_free(s.disk);
}

/* What checkpoints say of segments may be nonsense, with right digests: the start that reaches furthest is taken. */
Test(repair, takes_an_older_checkpoint_that_reaches_further) {
    hf_repair_report report;
    kit_list list;
    hf_wal *wal;
    sample s = make_sample();
    const hf_repair_start starts[3] = {
        {.position = {.epoch = 30, .generation = 1}, .name = "checkpoint-c"}, /* whose segment is a later one */
        {.position = {.epoch = 20, .generation = s.generation[20], .durable = 20}, .name = "checkpoint-b"},
        {.name = NULL}};
    CHECK(s.generation[20] > s.generation[2], "they stand in one segment");
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-c");
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-b");
    flip(s.disk, s.generation[2], s.offset[2] + 3);
    CHECK(repair_with(s.disk, true, starts, 3, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    CHECK(report.kept_epoch == EPOCHS && report.start_epoch == 20 && report.checkpoints == 1, "up to %llu, from %llu",
          (unsigned long long)report.kept_epoch, (unsigned long long)report.start_epoch);
    CHECK(kit_open(s.disk, &starts[1].position, &wal, &list, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(!list.bad && list.count == EPOCHS - 19 && list.epochs[0] == 20, "%zu epochs", list.count);
    hf_wal_close(wal);
    hf_simulated_free(s.disk);
}

/* A name that is taken already is not taken again. */
Test(repair, keeps_what_an_earlier_repair_kept) {
    hf_repair_report report;
    sample s = make_sample();
    const hf_repair_start starts[2] = {
        {.position = {.epoch = 20, .generation = s.generation[20], .durable = 25}, .name = "checkpoint-c"}, {.name = NULL}};
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-c");
    make_file(s.disk, KIT_DIRECTORY "/aside-checkpoint-c-1");
    flip(s.disk, s.generation[22], s.offset[22] + 3);
    CHECK(repair_with(s.disk, true, starts, 2, &report) == HF_SUCCESS && report.cut, "%s", hf_error_detail());
    CHECK(kit_files(s.disk, "aside-checkpoint-c-1") == 1 && kit_files(s.disk, "aside-checkpoint-c-2") == 1 &&
              kit_files(s.disk, "checkpoint-c") == 0,
          "checkpoints aside");
    check_kept(s.disk, &s.all, 21, EPOCHS);
    hf_simulated_free(s.disk);
}

/* Nothing stands in the segment of the checkpoint yet, and the one before it, to which the next batch is chained, is gone. */
Test(repair, says_that_the_batch_before_is_missing) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    hf_repair_report report;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_append(wal, 1, 500) == HF_SUCCESS && hf_wal_prepare(wal, 1) == 1, "%s", hf_error_detail());
    hf_wal_close(wal);
    const hf_files *files = hf_simulated_files(disk);
    CHECK(files->rename(files->context, KIT_DIRECTORY "/spare-0000000000000002", kit_segment(2)) == 0, "rename");
    CHECK(hf_simulated_remove(disk, kit_segment(1)) && hf_simulated_remove(disk, KIT_DIRECTORY "/durable"), "removed");
    const hf_repair_start start = {.position = {.epoch = 2, .generation = 2, .durable = 1}, .name = "checkpoint-c"};
    CHECK(kit_open(disk, &start.position, &wal, NULL, NULL) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(repair_with(disk, false, &start, 1, &report) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(strstr(hf_error_detail(), "no cut helps"), "%s", hf_error_detail());
    const hf_repair_start lenient = {.position = {.epoch = 2, .generation = 2}, .name = "checkpoint-c"};
    CHECK(kit_open(disk, &lenient.position, &wal, NULL, NULL) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(repair_with(disk, true, &lenient, 1, &report) == HF_ECORRUPT, "%s", hf_error_detail());
    CHECK(strstr(hf_error_detail(), KIT_DIRECTORY ": the batch to which segment 2 is chained is missing"), "%s", hf_error_detail());
    CHECK(kit_files(disk, "cut-") == 0 && kit_files(disk, "segment-") == 1, "something was changed");
    hf_simulated_free(disk);
}

/* A segment is missing behind what a newer version wrote: that it is a newer one's counts more. */
Test(repair, never_cuts_what_a_newer_version_wrote_before_a_gap) {
    hf_repair_report report;
    sample s = make_sample();
    write_as_newer(s.disk, s.generation[5], s.offset[5]);
    remove_segment(s.disk, s.newest - 1);
    CHECK(repair_log(s.disk, true, &report) == HF_EVERSION, "%s", hf_error_detail());
    CHECK(strstr(hf_error_detail(), kit_segment(s.generation[5])), "%s", hf_error_detail());
    CHECK(kit_files(s.disk, "cut-") == 0, "something was cut");
    hf_simulated_free(s.disk);
}

/* ---- what is lost, in parts -------------------------------------------------------------------------------------- */

enum { LONG = 4, LAST = 7 };

/* Of epochs 1 to LAST two are longer than two segments. */
static sample make_long_sample(void) {
    sample s = {.disk = hf_simulated_new()};
    hf_wal *wal;
    CHECK(kit_open(s.disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (uint64_t epoch = 1; epoch <= LAST; epoch++) {
        size_t length = epoch == LONG || epoch == LAST - 1 ? 300000 : 3000;
        CHECK(kit_append(wal, epoch, length) == HF_SUCCESS, "%s", hf_error_detail());
        s.all.epochs[s.all.count] = epoch;
        s.all.lengths[s.all.count++] = length;
    }
    hf_wal_close(wal);
    locate(&s);
    CHECK(s.generation[LONG + 1] >= s.generation[LONG] + 2, "it has two parts only");
    return s;
}

/* Epoch 2 is damaged; of the LAST - 2 behind it so many can be read. */
static void expect_readable(sample *s, uint64_t readable, const char *name) {
    hf_repair_report report;
    flip(s->disk, s->generation[2], s->offset[2] + 3);
    CHECK(repair_log(s->disk, true, &report) == HF_SUCCESS && report.cut, "%s: %s", name, hf_error_detail());
    CHECK(report.kept_epoch == 1 && report.lost_epoch == LAST, "%s: %llu kept", name, (unsigned long long)report.kept_epoch);
    CHECK(report.readable_epochs == readable, "%s: %llu can be read, expected %llu", name,
          (unsigned long long)report.readable_epochs, (unsigned long long)readable);
    check_kept(s->disk, &s->all, 1, LAST);
    hf_simulated_free(s->disk);
}

Test(repair, counts_an_epoch_of_which_each_part_can_be_read) {
    sample s = make_long_sample();
    expect_readable(&s, LAST - 2, "nothing else");
    s = make_long_sample();
    flip(s.disk, s.generation[LONG], s.offset[LONG] + 3);
    expect_readable(&s, LAST - 3, "the first part's header");
    s = make_long_sample();
    flip(s.disk, s.generation[LONG], s.offset[LONG] + HF_BATCH_HEADER);
    expect_readable(&s, LAST - 3, "the first part's payload");
    s = make_long_sample();
    flip(s.disk, s.generation[LONG] + 1, HF_SEGMENT_PAGE + 3);
    expect_readable(&s, LAST - 3, "the second part's header");
    s = make_long_sample();
    flip(s.disk, s.generation[LONG] + 1, HF_SEGMENT_PAGE + HF_BATCH_HEADER + 77);
    expect_readable(&s, LAST - 3, "the second part's payload");
}

/* What an earlier log left in a segment is nobody's loss. */
Test(repair, does_not_count_a_batch_of_another_log) {
    sample s = make_long_sample();
    uint8_t changed[HF_BATCH_HEADER];
    memcpy(changed, hf_simulated_bytes(s.disk, kit_segment(s.generation[3]), NULL) + s.offset[3], sizeof changed);
    changed[16] ^= 1; /* UUID */
    hf_digest digest = hf_digest_of(changed, 144);
    memcpy(changed + 144, digest.bytes, 16);
    hf_simulated_poke(s.disk, kit_segment(s.generation[3]), s.offset[3], changed, sizeof changed);
    expect_readable(&s, LAST - 3, "another log's batch");
}

/* ---- crashes and faults in its midst ----------------------------------------------------------------------------- */

/* Repaired again, or opened where what is left is a torn tail: in either case the epochs before the damage. */
static void finish_after_crash(hf_simulated *image, const sample *s, uint64_t kept, uint64_t n) {
    hf_repair_report report;
    CHECK(repair_log(image, true, &report) == HF_SUCCESS, "operation %llu: %s", (unsigned long long)n,
          hf_error_detail());
    CHECK(!report.damaged || report.kept_epoch == kept, "operation %llu: %llu kept, expected %llu",
          (unsigned long long)n, (unsigned long long)report.kept_epoch, (unsigned long long)kept);
    check_kept(image, &s->all, kept, EPOCHS);
}

static void crash_at_each_operation(const sample *s, uint64_t epoch, uint64_t seed) {
    for (uint64_t n = 1;; n++) {
        hf_simulated *disk = hf_simulated_crash(s->disk, HF_CRASH_KEEP, 1);
        hf_repair_report report;
        flip(disk, s->generation[epoch], s->offset[epoch] + 3);
        hf_simulated_fail(disk, n, UINT64_MAX, -EIO);
        int error = repair_log(disk, true, &report);
        hf_simulated_fail(disk, 0, 0, 0);
        CHECK(error == HF_EIO || (error == HF_SUCCESS && report.cut), "operation %llu: %s", (unsigned long long)n,
              hf_error_detail());
        static const hf_crash crashes[4] = {HF_CRASH_KEEP, HF_CRASH_DROP, HF_CRASH_MIX, HF_CRASH_MIX};
        for (unsigned i = 0; i < 4; i++) {
            hf_simulated *image = hf_simulated_crash(disk, crashes[i], kit_next(&seed));
            /* A second crash, within the second repair. */
            hf_simulated_fail(image, 1 + kit_below(&seed, 20), UINT64_MAX, -EIO);
            (void)repair_log(image, true, &report);
            hf_simulated_fail(image, 0, 0, 0);
            hf_simulated *nested = hf_simulated_crash(image, HF_CRASH_MIX, kit_next(&seed));
            finish_after_crash(nested, s, epoch - 1, n);
            hf_simulated_free(nested);
            hf_simulated_free(image);
        }
        finish_after_crash(disk, s, epoch - 1, n); /* the same process, after the trouble is over */
        hf_simulated_free(disk);
        if (error == HF_SUCCESS) {
            CHECK(n > 8, "only %llu operations", (unsigned long long)n);
            return;
        }
    }
}

Test(repair, survives_a_crash_at_each_operation) {
    uint64_t seed = kit_seed(20260101);
    sample s = make_sample();
    static const uint64_t epochs[] = {1, 2, 9, 10, 14, 20, 27, 31, EPOCHS - 1};
    for (size_t i = 0; i < sizeof epochs / sizeof epochs[0]; i++) {
        crash_at_each_operation(&s, epochs[i], kit_next(&seed));
    }
    hf_simulated_free(s.disk);
}

/* Each call of the disk fails once, or from then on: said, and the same call again finishes the work. */
static void fail_each_call(bool cut, uint64_t times) {
    sample s = make_sample();
    uint64_t refused = 0;
    bool failed = true;
    const hf_repair_start starts[3] = {
        {.position = {.epoch = 30, .generation = s.generation[30], .durable = 32}, .name = "checkpoint-c"},
        {.position = {.epoch = 20, .generation = s.generation[20], .durable = 22}, .name = "checkpoint-b"},
        {.name = NULL}};
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-c");
    make_file(s.disk, KIT_DIRECTORY "/checkpoint-b");
    flip(s.disk, s.generation[5], s.offset[5] + 3);
    for (uint64_t generation = s.generation[5] + 1; generation <= s.newest; generation++) { /* no checkpoint without it */
        flip(s.disk, generation, HF_SEGMENT_PAGE + 3);
    }
    for (uint64_t n = 1; failed; n += STRIDE) {
        hf_simulated *disk = hf_simulated_crash(s.disk, HF_CRASH_KEEP, 1);
        hf_repair_report report;
        hf_simulated_fault(disk, HF_CALLS, n, times, -EIO);
        int error = repair_with(disk, cut, starts, 3, &report);
        failed = hf_simulated_calls(disk) >= n;
        hf_simulated_fault(disk, 0, 0, 0, 0);
        refused += error != HF_SUCCESS;
        bool told = error == HF_EIO || (error == HF_EBUSY && !cut); /* a lock that cannot be asked for counts as held */
        CHECK(error == HF_SUCCESS || (told && failed && strstr(hf_error_detail(), KIT_DIRECTORY)), "call %llu: %s, %s", (unsigned long long)n, hf_error_name(error), hf_error_detail());
        CHECK(error != HF_SUCCESS || (report.damaged && report.kept_epoch == 4 && report.cut == cut), "call %llu", (unsigned long long)n);
        CHECK(cut || kit_files(disk, "cut-") + kit_files(disk, "aside-") == 0, "call %llu: a report changed something", (unsigned long long)n);
        CHECK(hf_simulated_held(disk) == 0, "call %llu: handles are left open", (unsigned long long)n);
        const hf_repair_start *left = starts; /* checkpoints that are not aside yet */
        while (left->name != NULL && kit_files(disk, left->name) == 0) {
            left++;
        }
        CHECK(repair_with(disk, true, left, (size_t)(starts + 3 - left), &report) == HF_SUCCESS, "call %llu: %s", (unsigned long long)n,
              hf_error_detail());
        check_kept(disk, &s.all, 4, EPOCHS);
        hf_simulated_free(disk);
    }
    CHECK(refused > 20, "only %llu calls failed", (unsigned long long)refused);
    hf_simulated_free(s.disk);
}

Test(repair, says_when_a_call_of_a_report_fails) { fail_each_call(false, 1); }
Test(repair, says_when_a_call_of_a_report_and_all_behind_it_fail) { fail_each_call(false, UINT64_MAX); }
Test(repair, says_when_a_call_fails) { fail_each_call(true, 1); }
Test(repair, says_when_a_call_and_all_behind_it_fail) { fail_each_call(true, UINT64_MAX); }

/* ---- any damage -------------------------------------------------------------------------------------------------- */

/* It says damaged if and only if an open refuses, and then mends it. */
Test(repair, agrees_with_the_open_about_any_byte) {
    uint64_t seed = kit_seed(7);
    sample s = make_sample();
    for (unsigned round = 0; round < 400; round++) {
        hf_simulated *disk = hf_simulated_crash(s.disk, HF_CRASH_KEEP, 1);
        hf_repair_report report;
        for (uint64_t i = 1 + kit_below(&seed, 3); i > 0; i--) {
            uint64_t offset = kit_below(&seed, 2) ? kit_below(&seed, KIT_SEGMENT)
                                                  : kit_below(&seed, 32) * HF_BATCH_ALIGN + kit_below(&seed, 160);
            flip(disk, 1 + kit_below(&seed, s.newest), offset);
        }
        hf_simulated *copy = hf_simulated_crash(disk, HF_CRASH_KEEP, 1);
        int opened = open_result(copy, NULL, NULL), error = repair_log(disk, false, &report);
        CHECK(opened == HF_SUCCESS || opened == HF_ECORRUPT, "%s", hf_error_detail());
        CHECK(report.damaged == (opened == HF_ECORRUPT) || error == HF_ECORRUPT, "round %u: open says %s, repair %s",
              round, hf_error_name(opened), report.damaged ? "damaged" : "good");
        CHECK(error == HF_SUCCESS || strstr(hf_error_detail(), "no cut helps"), "%s", hf_error_detail());
        if (error == HF_SUCCESS && report.damaged) {
            CHECK(repair_log(disk, true, &report) == HF_SUCCESS, "%s", hf_error_detail());
            check_kept(disk, &s.all, report.kept_epoch, report.lost_epoch);
        }
        hf_simulated_free(copy);
        hf_simulated_free(disk);
    }
    hf_simulated_free(s.disk);
}
