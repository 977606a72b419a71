/* The log's readers under a fuzzer: recovery, the read-only look, the follower, and repair.
 *
 * The input is a list of steps that build a directory on a disk in memory (crash_disk.h). A batch is well made and
 * chained unless a step says otherwise, and digests are repaired where one asks for it, so that the fuzzer gets behind them:
 *
 *     step, 3 bits     0, 1, 2  a batch: [flags] epoch delta, payload length, bytes; one field may be another
 *                      3        the next segment       4  bytes over what is there; digests repaired or not
 *                      5        another file           6  pages left out       7  this segment is cut
 *
 * What must hold for any directory: no crash, no handle left open; epochs ascend; a recovery finds what a read-only look
 * finds, or both refuse, by a word, and then nothing was changed; the follower gives the same; a second recovery too; what is
 * appended afterwards is there; what a repair says it has mended opens. */
#include "tests/fuzz/kit.h"
#include "tests/support/crash_disk.h"
#include "wal/batch.h"
#include "wal/log.h"
#include "wal/repair.h"
#include "wal/segment.h"

enum { SEGMENT = 128 << 10, SEGMENTS = 4, EPOCHS = 128, FILL = 64 };
#define DIRECTORY "/log"
#define NOT_LAST 8u
#define OTHER_FIELD 16u
#define BAD_PAYLOAD 32u
#define REPAIR_BATCH 8u
#define REPAIR_PAGE 16u

/* ---- building ------------------------------------------------------------------------------------------------------- */

typedef struct builder {
    crash_disk *disk;
    uint8_t segment[SEGMENT];
    size_t length, offset;
    uint64_t generation;
    hf_batch_header last;
    unsigned segments;
} builder;

static const uint8_t uuid[16] = {'a', ' ', 'l', 'o', 'g'};

static void begin_segment(builder *b, uint64_t generation) {
    memset(b->segment, 0, sizeof b->segment);
    hf_segment_header header = {.generation = generation, .bytes = SEGMENT};
    memcpy(header.uuid, uuid, 16);
    hf_segment_encode(&header, b->segment);
    b->generation = generation;
    b->length = SEGMENT;
    b->offset = HF_SEGMENT_PAGE;
}

static void end_segment(builder *b) {
    char path[HF_PATH_ROOM];
    hf_segment_path(path, DIRECTORY, "segment", b->generation, "");
    crash_disk_write(b->disk, path, b->segment, b->length);
    b->segments++;
}

/* One of the header's fields says what the input says. */
static void set_field(uint8_t *header, unsigned field, uint64_t value) {
    static const struct {
        uint8_t at, bytes;
    } fields[] = {{8, 2}, {10, 2}, {12, 4}, {16, 1}, {32, 8}, {40, 8}, {48, 8}, {56, 8}, {64, 4}, {68, 4}, {72, 8}, {80, 8}, {88, 8},
                  {96, 1}, {112, 1}, {128, 8}};
    size_t which = field % (sizeof fields / sizeof fields[0]);
    uint8_t bytes[8];
    hf_put64(bytes, value);
    memcpy(header + fields[which].at, bytes, fields[which].bytes);
}

static void add_batch(builder *b, unsigned step, fuzz_input *input) {
    uint64_t delta = fuzz_number(input, 1);
    size_t length = (size_t)fuzz_number(input, 2), given;
    bool goes_on = b->last.sequence > 0 && !(b->last.flags & HF_BATCH_LAST);
    if (b->offset + hf_batch_size(length) > SEGMENT)
        return;
    uint8_t *at = b->segment + b->offset, *payload = at + HF_BATCH_HEADER;
    memset(payload, (int)delta, length);
    const uint8_t *bytes = fuzz_bytes(input, length < FILL ? length : FILL, &given);
    memcpy(payload, bytes, given);
    hf_batch_header header = {.flags = step & NOT_LAST ? 0 : HF_BATCH_LAST, .term = 1, .generation = b->generation,
                              .epoch = b->last.epoch + (goes_on ? 0 : 1 + delta),
                              .durable = goes_on ? b->last.durable : b->last.epoch, .part = goes_on ? b->last.part + 1 : 0, .payload_length = length,
                              .time_ms = b->last.time_ms + delta, .sequence = b->last.sequence + 1, .before = b->last.link,
                              .payload = hf_digest_of(payload, length)};
    memcpy(header.uuid, uuid, 16);
    header.payload.bytes[3] ^= step & BAD_PAYLOAD ? 1 : 0;
    hf_batch_encode(&header, at);
    if (step & OTHER_FIELD) {
        unsigned field = (unsigned)fuzz_number(input, 1);
        set_field(at, field, fuzz_number(input, 8));
        header.link = hf_digest_of(at, HF_BATCH_HEADER - 16);
        memcpy(at + HF_BATCH_HEADER - 16, header.link.bytes, 16);
        uint64_t epoch = hf_get64(at + 48); /* of which what comes next can be made well */
        header.epoch = epoch > header.durable && epoch < HF_BATCH_MAX_NUMBER / 2 ? epoch : header.epoch;
        header.sequence = hf_get64(at + 88) < HF_BATCH_MAX_NUMBER / 2 ? hf_get64(at + 88) : header.sequence;
    }
    b->last = header;
    b->offset += hf_batch_size(length);
}

static void repair_digests(builder *b, size_t at, unsigned step) {
    uint8_t *batch = b->segment + at / HF_BATCH_ALIGN * HF_BATCH_ALIGN;
    if (step & REPAIR_BATCH) {
        uint64_t length = hf_get64(batch + 72);
        size_t room = SEGMENT - (size_t)(batch - b->segment) - HF_BATCH_HEADER;
        hf_digest digest = hf_digest_of(batch + HF_BATCH_HEADER, length < room ? (size_t)length : room);
        memcpy(batch + 112, digest.bytes, 16);
        digest = hf_digest_of(batch, HF_BATCH_HEADER - 16);
        memcpy(batch + HF_BATCH_HEADER - 16, digest.bytes, 16);
    }
    if (step & REPAIR_PAGE) {
        hf_digest digest = hf_digest_of(b->segment, HF_SEGMENT_PAGE - 16);
        memcpy(b->segment + HF_SEGMENT_PAGE - 16, digest.bytes, 16);
    }
}

static void overwrite(builder *b, unsigned step, fuzz_input *input) {
    size_t at = (size_t)fuzz_number(input, 3) % (SEGMENT - 32), length;
    const uint8_t *bytes = fuzz_bytes(input, 1 + (size_t)fuzz_number(input, 1) % 32, &length);
    memcpy(b->segment + at, bytes, length);
    repair_digests(b, at, step);
}

/* The durable page must name its own file to be believed. */
static void own_page(builder *b, const char *path, uint8_t page[4096]) {
    const hf_files *files = crash_disk_files(b->disk);
    uint64_t identity = 0;
    crash_disk_write(b->disk, path, page, 4096);
    int file = files->open(files->context, path, HF_OPEN_WRITE);
    files->identity(files->context, file, &identity);
    memcpy(page, "HFDURABL", 8);
    hf_put64(page + 8, 1);
    memcpy(page + 16, uuid, 16);
    hf_put64(page + 56, identity);
    hf_file_write_all(files, file, page, 4096, 0);
    files->sync(files->context, file);
    files->close(files->context, file);
}

static void add_file(builder *b, unsigned step, fuzz_input *input) {
    static const char *const names[] = {"durable",
                                        "LOCK",
                                        "spare-0000000000000002",
                                        "spare-0000000000000003",
                                        "segment-0000000000000005",
                                        "segment-0000000000000000",
                                        "checkpoint-0000000000000002",
                                        "cut-00000001-00001000-1",
                                        "segment-000000000000000a.tmp",
                                        "Segment-1"};
    size_t which = (size_t)fuzz_number(input, 1) % (sizeof names / sizeof names[0]), length;
    const uint8_t *bytes = fuzz_bytes(input, (size_t)fuzz_number(input, 1), &length);
    char path[128];
    snprintf(path, sizeof path, DIRECTORY "/%s", names[which]);
    uint8_t page[4096] = {0};
    memcpy(page, bytes, length);
    if (which == 0 && !(step & 8)) {
        memmove(page + 32, page, 16);
        own_page(b, path, page);
    } else {
        crash_disk_write(b->disk, path, step & 16 ? page : bytes, step & 16 ? sizeof page : length);
    }
}

static void build(builder *b, fuzz_input *input) {
    begin_segment(b, 1);
    while (fuzz_left(input) > 0) {
        unsigned step = (unsigned)fuzz_number(input, 1);
        switch (step & 7) {
        case 3:
            end_segment(b);
            if (b->segments == SEGMENTS)
                return;
            begin_segment(b, b->generation + 1 + (step & 8 ? fuzz_number(input, 1) : 0));
            break;
        case 4:
            overwrite(b, step, input);
            break;
        case 5:
            add_file(b, step, input);
            break;
        case 6:
            b->offset += HF_BATCH_ALIGN * (size_t)(step >> 3);
            b->offset = b->offset > SEGMENT ? SEGMENT : b->offset;
            break;
        case 7:
            b->length = (size_t)fuzz_number(input, 3) % (SEGMENT + 1);
            break;
        default:
            add_batch(b, step, input);
        }
    }
    end_segment(b);
}

/* ---- judging -------------------------------------------------------------------------------------------------------- */

typedef struct story {
    size_t count;
    uint64_t last, digest[EPOCHS]; /* one for each epoch: of its number, time, term and payload */
} story;

static int collect(void *context, const hf_wal_epoch *epoch) {
    story *s = context;
    DEMAND(s->count == 0 || epoch->epoch > s->last, "epoch %llu behind %llu", (unsigned long long)epoch->epoch,
           (unsigned long long)s->last);
    DEMAND(s->count < EPOCHS, "more epochs than there can be");
    hf_digest digest = hf_digest_of(epoch->payload, epoch->length);
    s->last = epoch->epoch;
    s->digest[s->count++] =
        hf_get64(digest.bytes) ^ epoch->epoch * 3 ^ epoch->time_ms * 5 ^ epoch->term * 7 ^ epoch->generation * 11;
    return 0;
}

static bool same(const story *a, const story *b, size_t count) {
    return a->count >= count && b->count >= count && memcmp(a->digest, b->digest, count * sizeof a->digest[0]) == 0;
}

static int open_log(crash_disk *disk, bool read_only, hf_wal **wal, story *s, hf_wal_found *found) {
    hf_wal_options options = {crash_disk_files(disk), SEGMENT, read_only};
    hf_wal_position position = {0, 0, 0};
    *s = (story){.count = 0};
    int error = hf_wal_lock(DIRECTORY, &options, false, wal);
    DEMAND(!error, "lock: %s", hf_error_name(error));
    error = hf_wal_open(*wal, &position, collect, s, found);
    DEMAND(!error || hf_error_detail()[0], "%s without a word", hf_error_name(error));
    DEMAND(error != HF_EIO && error != HF_ENOMEM && error != HF_EBUSY, "%s: %s", hf_error_name(error), hf_error_detail());
    return error;
}

static int look(crash_disk *disk, story *s) {
    hf_wal *wal;
    hf_wal_found found;
    int error = open_log(disk, true, &wal, s, &found);
    hf_wal_close(wal);
    return error;
}

static int follow(crash_disk *disk, story *s) {
    hf_follow *f;
    hf_wal_epoch epoch;
    *s = (story){.count = 0};
    int error = hf_follow_open(DIRECTORY, crash_disk_files(disk), 0, &f);
    if (error)
        return error;
    while ((error = hf_follow_next(f, &epoch)) == 1)
        collect(s, &epoch);
    hf_follow_close(f);
    return error;
}

/* Of every file's name and bytes, but for those that any open may write. */
static void add_digest(void *context, const char *path) {
    uint64_t *sum = ((void **)context)[1];
    uint8_t *bytes;
    size_t length;
    if (strstr(path, "LOCK") || strstr(path, "durable") || strstr(path, ".tmp") ||
        !crash_disk_read(((void **)context)[0], path, &bytes, &length))
        return;
    hf_digest digest = hf_digest_of(bytes, length), name = hf_digest_of(path, strlen(path));
    *sum += hf_get64(digest.bytes) * (hf_get64(name.bytes) | 1);
    free(bytes);
}

static uint64_t digest_of_disk(crash_disk *disk) {
    uint64_t sum = 0;
    crash_disk_each(disk, add_digest, (void *[]){disk, &sum});
    return sum;
}

/* After a recovery: an epoch more, and all is there again. */
static void go_on(crash_disk *disk, hf_wal *wal, const hf_wal_found *found, const story *before) {
    story after;
    hf_wal *again;
    hf_wal_found found_again;
    bool room = found->highest_seen < HF_BATCH_MAX_NUMBER && found->last_time_ms <= HF_MAX_TIME_MS &&
                found->epochs < EPOCHS - 1;
    if (room) {
        int error = hf_wal_begin(wal, found->highest_seen + 1, found->last_time_ms, found->term + 1);
        error = error ? error : hf_wal_put(wal, "more", 4);
        error = error ? error : hf_wal_commit(wal);
        DEMAND(!error, "going on: %s", hf_error_detail());
    }
    hf_wal_close(wal);
    int error = open_log(disk, false, &again, &after, &found_again);
    DEMAND(!error, "a second recovery: %s", hf_error_detail());
    DEMAND(after.count == before->count + room && same(&after, before, before->count), "a second recovery finds others");
    hf_wal_close(again);
}

static void mend(crash_disk *disk) {
    hf_wal_options options = {crash_disk_files(disk), SEGMENT, false};
    hf_repair_start start = {.name = NULL};
    hf_repair_report report = {0};
    hf_wal *wal;
    DEMAND(!hf_wal_lock(DIRECTORY, &options, true, &wal), "lock");
    int error = hf_wal_repair(wal, &start, 1, &report);
    hf_wal_close(wal);
    DEMAND(!error || error == HF_ECORRUPT || error == HF_EVERSION, "repair: %s", hf_error_detail());
    if (!error) {
        story s;
        hf_wal_found found;
        DEMAND(report.damaged && report.cut, "it is not damaged, or was not cut");
        error = open_log(disk, false, &wal, &s, &found);
        DEMAND(!error, "repaired, and does not open: %s", hf_error_detail());
        go_on(disk, wal, &found, &s);
    }
}

static void judge(crash_disk *disk) {
    story seen, followed, recovered;
    hf_wal *wal;
    hf_wal_found found;
    int looked = look(disk, &seen), following = follow(disk, &followed);
    if (!looked)
        DEMAND(!following && followed.count == seen.count && same(&followed, &seen, seen.count),
               "the follower has %zu epochs (%d, %s) and a look %zu", followed.count, following, hf_error_detail(), seen.count);
    uint64_t before = digest_of_disk(disk);
    int error = open_log(disk, false, &wal, &recovered, &found);
    if (looked == HF_ENOTFOUND) {
        DEMAND(!error && found.is_new, "no log, and yet %s", hf_error_detail());
    } else {
        DEMAND(error == looked, "a look says %d, a recovery %d: %s", looked, error, hf_error_detail());
        DEMAND(error || (seen.count == recovered.count && same(&seen, &recovered, seen.count)), "others than seen");
    }
    if (!error) {
        go_on(disk, wal, &found, &recovered);
    } else {
        hf_wal_close(wal);
        DEMAND(digest_of_disk(disk) == before, "refused, and changed");
        if (error == HF_ECORRUPT)
            mend(disk);
    }
    DEMAND(crash_disk_open_handles(disk) == 0, "handles are left open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static builder b;
    fuzz_input input = {data, data + size};
    b = (builder){.disk = crash_disk_new()};
    build(&b, &input);
    judge(b.disk);
    crash_disk_free(b.disk);
    return 0;
}
