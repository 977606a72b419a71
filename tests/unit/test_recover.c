/* The recovery table: exhaustive, safe, and each row reached by a file that was made for it. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"
#include "wal/recover.h"

#include <string.h>

/* ---- the table by itself ----------------------------------------------------------------------------------------- */

static bool fits(hf_match match, bool found) { return match == HF_ANY || (match == HF_YES) == found; }

Test(recover, exactly_one_row_matches_each_finding_and_none_is_unsafe) {
    for (int i = 0; i < HF_HEADER_KINDS * 16; i++) {
        hf_finding f = {(hf_header_kind)(i / 16), i & 1, i & 2, i & 4, i & 8};
        unsigned matching = 0;
        for (size_t n = 0; n < hf_recovery_rows; n++) {
            const hf_recovery_row *row = &hf_recovery_table[n];
            matching += row->header == f.header && fits(row->payload, f.payload) && fits(row->chained, f.chained) &&
                        fits(row->begun, f.begun) && fits(row->evidence, f.evidence);
        }
        CHECK(matching == 1, "finding %d: %u rows", i, matching);
        hf_decision d = hf_recovery_decide(&f)->decision;
        bool good = f.header == HF_HEADER_VALID && f.payload && f.chained;
        CHECK((d == HF_DECIDE_ACCEPT) == good, "finding %d: only a whole chained batch is accepted", i);
        CHECK(!f.evidence || good || d == HF_DECIDE_REFUSE || d == HF_DECIDE_VERSION, "finding %d: durable data cut",
              i);
        CHECK(d != HF_DECIDE_END || (f.header == HF_HEADER_NONE && !f.begun), "finding %d: not a clean end", i);
        CHECK(d != HF_DECIDE_CUT || f.header != HF_HEADER_FOREIGN, "finding %d: no crash leaves this", i);
    }
}

/* ---- files made by hand ------------------------------------------------------------------------------------------ */

/* Writes segments batch by batch, with whatever is to be wrong about them. */
typedef struct author {
    hf_simulated *disk;
    uint8_t uuid[16];
    uint64_t generation, offset, sequence, durable;
    hf_digest link;
} author;

static void begin_segment(author *a, uint64_t generation) {
    static uint8_t bytes[KIT_SEGMENT];
    hf_segment_header header = {.generation = generation, .bytes = KIT_SEGMENT};
    memcpy(header.uuid, a->uuid, 16);
    hf_segment_encode(&header, bytes);
    const hf_files *files = hf_simulated_files(a->disk);
    int file = files->open(files->context, kit_segment(generation), HF_OPEN_CREATE);
    CHECK(file >= 0, "a segment");
    files->close(files->context, file);
    CHECK(hf_simulated_poke(a->disk, kit_segment(generation), 0, bytes, sizeof bytes), "a segment");
    a->generation = generation;
    a->offset = HF_SEGMENT_PAGE;
}

static author begin_log(uint64_t generation) {
    author a = {.disk = hf_simulated_new()};
    memset(a.uuid, 0x5a, sizeof a.uuid);
    begin_segment(&a, generation);
    return a;
}

/* The next batch, as the log would write it; returns its offset. */
static uint64_t put_batch(author *a, uint64_t epoch, uint32_t part, bool last, size_t length) {
    static uint8_t bytes[KIT_SEGMENT];
    memset(bytes, 0, sizeof bytes);
    kit_fill(bytes + HF_BATCH_HEADER, epoch, length);
    hf_batch_header header = {.flags = last,
                              .term = 1,
                              .generation = a->generation,
                              .epoch = epoch,
                              .durable = a->durable,
                              .part = part,
                              .payload_length = length,
                              .time_ms = kit_time(epoch),
                              .sequence = ++a->sequence,
                              .before = a->link};
    memcpy(header.uuid, a->uuid, 16);
    header.payload = hf_digest_of(bytes + HF_BATCH_HEADER, length);
    hf_batch_encode(&header, bytes);
    uint64_t offset = a->offset;
    hf_simulated_poke(a->disk, kit_segment(a->generation), offset, bytes, (size_t)hf_batch_size(length));
    a->offset += hf_batch_size(length);
    a->link = header.link;
    a->durable = last ? epoch : a->durable;
    return offset;
}

static void flip(author *a, uint64_t offset) {
    uint8_t byte = hf_simulated_bytes(a->disk, kit_segment(a->generation), NULL)[offset] ^ 0x10;
    hf_simulated_poke(a->disk, kit_segment(a->generation), offset, &byte, 1);
}

static void blank(author *a, uint64_t offset, size_t length) {
    static const uint8_t zeros[KIT_SEGMENT];
    hf_simulated_poke(a->disk, kit_segment(a->generation), offset, zeros, length);
}

/* ---- a file a row ------------------------------------------------------------------------------------------------ */

/* Epochs 1, 2, 3 of one batch each, then what the case is about; answers the result that is due. */
static uint64_t three(author *a) {
    put_batch(a, 1, 0, true, 100);
    put_batch(a, 2, 0, true, 9000);
    return put_batch(a, 3, 0, true, 9000);
}

static int clean_end(author *a) { return three(a), 0; }

static int ends_too_early(author *a) { return three(a), HF_ECORRUPT; }

static int clean_end_at_the_last_page(author *a) {
    put_batch(a, 1, 0, true, KIT_SEGMENT - HF_SEGMENT_PAGE - HF_BATCH_HEADER);
    return 0;
}

static int clean_end_with_prepared_segment(author *a) {
    three(a);
    begin_segment(a, a->generation + 1);
    return 0;
}

static int unfinished(author *a) {
    three(a);
    put_batch(a, 7, 0, false, 500);
    put_batch(a, 7, 1, false, 500);
    return 0;
}

static int unfinished_over_segments(author *a) {
    three(a);
    put_batch(a, 7, 0, false, 500);
    begin_segment(a, a->generation + 1);
    put_batch(a, 7, 1, false, 500);
    return 0;
}

static int lost_segment_content(author *a) {
    uint64_t second = three(a);
    blank(a, second - 12288, (size_t)(a->offset - second + 12288));
    begin_segment(a, a->generation + 1);
    begin_segment(a, a->generation + 1);
    put_batch(a, 4, 0, true, 10);
    return HF_ECORRUPT;
}

static int header_not_written(author *a) {
    uint64_t third = three(a);
    blank(a, third, 512);
    return 0;
}

static int first_header_not_written_of_parts(author *a) {
    three(a);
    blank(a, put_batch(a, 7, 0, false, 500), 4096);
    put_batch(a, 7, 1, true, 500); /* knows nothing durable but epoch 3 */
    return 0;
}

static int header_lost(author *a) {
    uint64_t third = three(a);
    put_batch(a, 4, 0, true, 10);
    blank(a, third, 512);
    return HF_ECORRUPT;
}

static int payload_torn(author *a) {
    flip(a, three(a) + 5000);
    return 0;
}

static int padding_torn(author *a) {
    uint64_t third = three(a);
    flip(a, third + HF_BATCH_HEADER + 9000);
    return 0;
}

static int payload_torn_of_a_part(author *a) {
    three(a);
    put_batch(a, 7, 0, false, 500);
    flip(a, put_batch(a, 7, 1, false, 9000) + 7000);
    put_batch(a, 7, 2, true, 500);
    return 0;
}

static int payload_damaged(author *a) {
    uint64_t third = three(a);
    put_batch(a, 4, 0, false, 10); /* its `durable` is 3 */
    flip(a, third + 5000);
    return HF_ECORRUPT;
}

static int payload_damaged_before_a_segment(author *a) {
    put_batch(a, 1, 0, true, 100);
    flip(a, put_batch(a, 2, 0, false, 9000) + 8000);
    begin_segment(a, a->generation + 1);
    put_batch(a, 2, 1, true, 100); /* the first part was synced before this was written */
    return HF_ECORRUPT;
}

static int sequence_skipped(author *a) {
    three(a);
    a->sequence++;
    put_batch(a, 4, 0, true, 10);
    return HF_ECORRUPT;
}

static int link_wrong(author *a) {
    three(a);
    a->link.bytes[3] ^= 1;
    put_batch(a, 4, 0, true, 10);
    return HF_ECORRUPT;
}

static int epoch_repeated(author *a) {
    three(a);
    a->durable = 2;
    put_batch(a, 3, 0, true, 10);
    return HF_ECORRUPT;
}

static int part_skipped(author *a) {
    three(a);
    put_batch(a, 4, 0, false, 10);
    put_batch(a, 4, 2, true, 10);
    return HF_ECORRUPT;
}

static int part_without_a_first(author *a) {
    three(a);
    put_batch(a, 4, 1, true, 10);
    return HF_ECORRUPT;
}

static int other_epoch_in_an_open_one(author *a) {
    three(a);
    put_batch(a, 4, 0, false, 10);
    put_batch(a, 5, 0, true, 10);
    return HF_ECORRUPT;
}

static int unchained_and_torn(author *a) {
    three(a);
    a->sequence += 3;
    flip(a, put_batch(a, 4, 0, true, 5000) + 4500);
    return HF_ECORRUPT;
}

static int log_begins_late(author *a) {
    a->sequence = 1;
    put_batch(a, 2, 0, true, 10);
    return HF_ECORRUPT;
}

static int log_begins_in_second_segment(author *a) {
    begin_segment(a, 2);
    put_batch(a, 1, 0, true, 10);
    return HF_ECORRUPT;
}

static int other_uuid(author *a) {
    three(a);
    a->uuid[0] ^= 1;
    put_batch(a, 4, 0, true, 10);
    a->uuid[0] ^= 1;
    return HF_ECORRUPT;
}

static int older_generation(author *a) {
    three(a);
    uint64_t from = put_batch(a, 4, 0, true, 10);
    uint8_t page[4096];
    memcpy(page, hf_simulated_bytes(a->disk, kit_segment(1), NULL) + from, sizeof page);
    begin_segment(a, 2);
    hf_simulated_poke(a->disk, kit_segment(2), HF_SEGMENT_PAGE, page, sizeof page);
    return HF_ECORRUPT;
}

static int newer(author *a) {
    three(a);
    uint64_t offset = put_batch(a, 4, 0, true, 10);
    uint8_t *bytes = hf_simulated_bytes(a->disk, kit_segment(1), NULL) + offset;
    bytes[8] = 2;
    hf_digest digest = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, digest.bytes, 16);
    return HF_EVERSION;
}

static int header_torn(author *a) {
    flip(a, three(a) + 50);
    return 0;
}

static int payload_beyond_the_segment(author *a) {
    put_batch(a, 1, 0, true, 100);
    uint64_t offset = put_batch(a, 2, 0, true, 100);
    uint8_t *bytes = hf_simulated_bytes(a->disk, kit_segment(1), NULL) + offset;
    hf_put64(bytes + 72, KIT_SEGMENT);
    hf_digest digest = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, digest.bytes, 16);
    return 0;
}

/* Whoever believed it would find no epoch above it to go on with. */
static int number_beyond_all(author *a) {
    three(a);
    uint64_t offset = put_batch(a, 4, 0, true, 100);
    uint8_t *bytes = hf_simulated_bytes(a->disk, kit_segment(1), NULL) + offset;
    hf_put64(bytes + 48, UINT64_MAX);
    hf_digest digest = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, digest.bytes, 16);
    return 0;
}

static int prepared_segment_with_garbage(author *a) {
    three(a);
    begin_segment(a, 2);
    hf_simulated_poke(a->disk, kit_segment(2), HF_SEGMENT_PAGE, "garbage", 7);
    return 0;
}

static int header_damaged(author *a) {
    uint64_t third = three(a);
    put_batch(a, 4, 0, true, 10);
    flip(a, third + 50);
    return HF_ECORRUPT;
}

static int first_header_damaged(author *a) {
    uint64_t first = put_batch(a, 1, 0, true, 100);
    put_batch(a, 2, 0, true, 100);
    flip(a, first + 50);
    return HF_ECORRUPT;
}

typedef struct row_case {
    const char *name;
    int (*make)(author *a);
    const char *row;
    uint64_t whole;      /* the last epoch that is accepted */
    uint64_t generation; /* where it ends; 0: not looked at */
    uint64_t durable;    /* what a checkpoint knows */
} row_case;

static const row_case cases[] = {
    {"clean end", clean_end, "clean end", 3, 1, 0},
    {"clean end, no room", clean_end_at_the_last_page, "clean end", 1, 1, 0},
    {"clean end, next one prepared", clean_end_with_prepared_segment, "clean end", 3, 1, 0},
    {"a checkpoint knows more", ends_too_early, "end too early", 3, 0, 4},
    {"a checkpoint knows as much", clean_end, "clean end", 3, 1, 3},
    {"no last part", unfinished, "epoch unfinished", 3, 1, 0},
    {"no last part, two segments", unfinished_over_segments, "epoch unfinished", 3, 1, 0},
    {"zeroed segments", lost_segment_content, "header lost", 1, 0, 0},
    {"header's sector missing", header_not_written, "header not written", 2, 1, 0},
    {"first part's header missing", first_header_not_written_of_parts, "header not written", 3, 1, 0},
    {"durable header's sector missing", header_lost, "header lost", 2, 0, 0},
    {"torn payload", payload_torn, "payload torn", 2, 1, 0},
    {"torn padding", padding_torn, "payload torn", 2, 1, 0},
    {"torn part", payload_torn_of_a_part, "payload torn", 3, 1, 0},
    {"damaged payload", payload_damaged, "payload damaged", 2, 0, 0},
    {"damaged part before a segment", payload_damaged_before_a_segment, "payload damaged", 1, 0, 0},
    {"sequence skipped", sequence_skipped, "out of sequence", 3, 0, 0},
    {"wrong link", link_wrong, "out of sequence", 3, 0, 0},
    {"epoch repeated", epoch_repeated, "out of sequence", 3, 0, 0},
    {"part skipped", part_skipped, "out of sequence", 3, 0, 0},
    {"part without a first", part_without_a_first, "out of sequence", 3, 0, 0},
    {"epoch within an epoch", other_epoch_in_an_open_one, "out of sequence", 3, 0, 0},
    {"unchained and torn", unchained_and_torn, "out of sequence", 3, 0, 0},
    {"begins with sequence 2", log_begins_late, "out of sequence", 0, 0, 0},
    {"begins in segment 2", log_begins_in_second_segment, "out of sequence", 0, 0, 0},
    {"other UUID", other_uuid, "foreign batch", 3, 0, 0},
    {"older generation", older_generation, "foreign batch", 4, 0, 0},
    {"newer version", newer, "newer format", 3, 0, 0},
    {"torn header", header_torn, "header torn", 2, 1, 0},
    {"length out of bounds", payload_beyond_the_segment, "header torn", 1, 1, 0},
    {"epoch out of bounds", number_beyond_all, "header torn", 3, 1, 0},
    {"prepared segment with garbage", prepared_segment_with_garbage, "header torn", 3, 1, 0},
    {"damaged header", header_damaged, "header damaged", 2, 0, 0},
    {"damaged first header", first_header_damaged, "header damaged", 0, 0, 0},
};

static int walk(hf_scan *scan, const author *a, const hf_wal_position *position, kit_list *list) {
    *list = (kit_list){.count = 0};
    int result = hf_scan_begin(scan, hf_simulated_files(a->disk), KIT_DIRECTORY, a->uuid, position, NULL);
    while (result == HF_SUCCESS && (result = hf_scan_next(scan)) == 1) {
        kit_collect(list, &scan->epoch);
        result = HF_SUCCESS;
    }
    return result;
}

Test(recover, every_row_has_its_file) {
    bool reached_rows[32] = {false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const row_case *c = &cases[i];
        author a = begin_log(1);
        int due = c->make(&a);
        hf_scan scan;
        kit_list list;
        hf_wal_position position = {.epoch = c->durable > 0, .generation = 1, .durable = c->durable};
        int result = walk(&scan, &a, &position, &list);
        CHECK(result == due, "%s: %s, %s", c->name, hf_error_name(result), hf_error_detail());
        CHECK(scan.row != NULL && strcmp(scan.row->name, c->row) == 0, "%s: row %s", c->name, scan.row->name);
        CHECK(scan.whole.epoch == c->whole, "%s: epoch %d", c->name, (int)scan.whole.epoch);
        CHECK(c->generation == 0 || scan.end_generation == c->generation, "%s: where it ends", c->name);
        CHECK(due == 0 || (strstr(hf_error_detail(), "/log/segment-") && strstr(hf_error_detail(), "offset ") &&
                           strstr(hf_error_detail(), "epoch ") && strstr(hf_error_detail(), scan.row->why)),
              "%s: %s", c->name, hf_error_detail());
        reached_rows[scan.row - hf_recovery_table] = true;
        hf_scan_end(&scan);
        hf_simulated_free(a.disk);
    }
    for (size_t n = 0; n < hf_recovery_rows; n++) {
        CHECK(reached_rows[n] || hf_recovery_table[n].decision == HF_DECIDE_ACCEPT, "no file for row \"%s\"",
              hf_recovery_table[n].name);
    }
}

/* The same files through the whole open: what is cut stays cut, what is refused is left as it was. */
Test(recover, what_the_table_says_is_done) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const row_case *c = &cases[i];
        author a = begin_log(1);
        int due = c->make(&a);
        hf_wal *wal;
        hf_wal_found found;
        uint64_t before = hf_simulated_operations(a.disk);
        hf_wal_position position = {.epoch = c->durable > 0, .generation = 1, .durable = c->durable};
        int error = kit_open(a.disk, &position, &wal, NULL, &found);
        CHECK(error == due, "%s: %s, %s", c->name, hf_error_name(error), hf_error_detail());
        if (due != 0) {
            /* LOCK made and written, and syncs: of the parent, the directory, and up to three segments */
            CHECK(hf_simulated_operations(a.disk) <= before + 7 && kit_files(a.disk, "cut-") == 0, "%s: touched",
                  c->name);
        } else {
            bool clean = strcmp(c->row, "clean end") == 0;
            CHECK(found.last_epoch == c->whole && (found.cut_bytes == 0) == clean, "%s: cut", c->name);
            CHECK((kit_files(a.disk, "cut-") == 0) == clean, "%s: kept aside", c->name);
            CHECK(kit_append(wal, 100, 70000) == HF_SUCCESS, "%s: %s", c->name, hf_error_detail());
            hf_wal_close(wal);
            CHECK(kit_open(a.disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s: %s", c->name, hf_error_detail());
            CHECK(found.last_epoch == 100 && found.cut_bytes == 0, "%s: clean afterwards", c->name);
        }
        hf_wal_close(wal);
        hf_simulated_free(a.disk);
    }
}

Test(recover, only_the_names_of_copies_are_theirs) {
    static const char *const others[] = {"cut-",
                                         "cut-00000001",
                                         "cut-00000001-00001000",
                                         "cut-00000001-00001000-",
                                         "cut--1-2-x",
                                         "cut-00000001-00001000-1.bak",
                                         "cutlery",
                                         "segment-0000000000000001"};
    uint64_t generation = 0;
    CHECK(hf_is_cut_name("cut-00000001-00001000-1", &generation) && generation == 1, "a copy");
    CHECK(hf_is_cut_name("cut-123456789a-3ffff000-17", &generation) && generation == 0x123456789a, "a later one");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK(!hf_is_cut_name(others[i], &generation), "%s", others[i]);
    }
}

/* ---- scans that start within the log ----------------------------------------------------------------------------- */

/* Segment 2 of a log whose segment 1 is gone: epoch 4's later part, then epochs 5, 6, 7. */
static author second_segment(uint64_t offsets[4]) {
    author a = begin_log(2);
    a.sequence = 17;
    a.durable = 3;
    a.link.bytes[0] = 1;
    offsets[0] = put_batch(&a, 4, 1, true, 100);
    for (uint64_t epoch = 5; epoch <= 7; epoch++) {
        offsets[epoch - 4] = put_batch(&a, epoch, 0, true, 5000);
    }
    return a;
}

Test(recover, a_scan_may_start_within_an_epoch_that_it_does_not_want) {
    uint64_t offsets[4];
    author a = second_segment(offsets);
    hf_scan scan;
    kit_list list;
    for (uint64_t epoch = 5; epoch <= 9; epoch++) {
        hf_wal_position position = {.epoch = epoch, .generation = 2};
        CHECK(walk(&scan, &a, &position, &list) == 0, "%s", hf_error_detail());
        CHECK(list.count == (epoch < 8 ? 8 - epoch : 0) && !list.bad && scan.whole.epoch == 7, "from %d", (int)epoch);
        hf_scan_end(&scan);
    }
    hf_wal_position early = {.epoch = 4, .generation = 2};
    CHECK(walk(&scan, &a, &early, &list) == HF_ECORRUPT, "epoch 4 began in segment 1");
    CHECK(strstr(hf_error_detail(), "earlier segment is missing") != NULL, "%s", hf_error_detail());
    hf_scan_end(&scan);
    hf_simulated_free(a.disk);
}

/* Damage to the first batch of a scan: was it durable? */
Test(recover, damage_where_a_scan_starts) {
    static const struct {
        uint64_t epoch;                 /* of the position */
        unsigned damaged, blanked_from; /* batches of second_segment */
        int due;
    } starts[] = {
        {5, 0, 4, HF_ECORRUPT}, /* epochs 5.. begin behind it */
        {5, 0, 1, 0},           /* nothing behind it: no evidence in the log (a checkpoint's is the next test) */
        {5, 1, 4, HF_ECORRUPT}, {5, 1, 2, 0}, {7, 1, 4, HF_ECORRUPT}, {7, 3, 4, 0}, {5, 3, 4, 0},
    };
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        uint64_t offsets[5];
        author a = second_segment(offsets);
        offsets[4] = a.offset;
        hf_wal_position position = {.epoch = starts[i].epoch, .generation = 2};
        hf_scan scan;
        kit_list list;
        blank(&a, offsets[starts[i].blanked_from], (size_t)(a.offset - offsets[starts[i].blanked_from]));
        flip(&a, offsets[starts[i].damaged] + 20);
        int result = walk(&scan, &a, &position, &list);
        CHECK(result == starts[i].due, "%zu: %s, %s", i, hf_error_name(result), hf_error_detail());
        hf_scan_end(&scan);
        position.durable = 7;
        CHECK(walk(&scan, &a, &position, &list) == HF_ECORRUPT, "%zu: a checkpoint says so", i);
        hf_scan_end(&scan);
        hf_simulated_free(a.disk);
    }
}

/* The first batch of the segment is torn, later parts of its epoch are not: that is no evidence, what they know durable
 * is the epoch before. */
Test(recover, a_torn_first_part_where_a_scan_starts_is_cut) {
    author a = begin_log(2);
    a.sequence = 17;
    a.durable = 4;
    uint64_t first = put_batch(&a, 5, 0, false, 5000);
    put_batch(&a, 5, 1, true, 5000);
    hf_wal_position position = {.epoch = 5, .generation = 2};
    hf_scan scan;
    kit_list list;
    flip(&a, first + 20);
    CHECK(walk(&scan, &a, &position, &list) == 0 && list.count == 0, "%s", hf_error_detail());
    CHECK(strcmp(scan.row->name, "header torn") == 0 && scan.highest_seen == 5, "cut, and seen");
    hf_scan_end(&scan);
    flip(&a, first + 20);
    flip(&a, first + 2000);
    CHECK(walk(&scan, &a, &position, &list) == 0 && strcmp(scan.row->name, "payload torn") == 0, "%s",
          hf_error_detail());
    hf_scan_end(&scan);
    position.epoch = 4; /* then epoch 4 is missing, and was durable */
    CHECK(walk(&scan, &a, &position, &list) == HF_ECORRUPT, "a durable epoch is missing before it");
    hf_scan_end(&scan);
    hf_simulated_free(a.disk);
}

Test(recover, a_scan_that_starts_nowhere_says_so) {
    author a = begin_log(3);
    hf_wal_position position = {.epoch = 5, .generation = 4};
    hf_scan scan;
    kit_list list;
    CHECK(walk(&scan, &a, &position, &list) == HF_ENOTFOUND, "no such segment");
    hf_scan_end(&scan);
    position = (hf_wal_position){.epoch = 5, .generation = 3};
    CHECK(walk(&scan, &a, &position, &list) == 0 && list.count == 0 && scan.end_offset == HF_SEGMENT_PAGE, "empty");
    hf_scan_end(&scan);
    hf_simulated_free(a.disk);
}
