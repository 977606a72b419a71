/* Segments: the header page, names, making, and reading within bounds. */
#include "tests/support/golden.c"
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"
#include "wal/segment.h"

#include <errno.h>
#include <string.h>

static const hf_segment_header example = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 0xe5, KIT_SEGMENT};

Test(segment, the_golden_page_is_what_is_written_and_read) {
    uint8_t page[HF_SEGMENT_PAGE], golden[HF_SEGMENT_PAGE];
    hf_segment_header back;
    hf_segment_encode(&example, page);
    CHECK(golden_read("segment_page.hex", golden, sizeof golden), "tests/golden/segment_page.hex");
    CHECK(memcmp(page, golden, sizeof page) == 0, "the format changed: raise its version");
    CHECK(hf_segment_decode(golden, &back) == NULL && memcmp(&back, &example, sizeof back) == 0, "read back");
}

Test(segment, any_flipped_bit_of_the_page_is_noticed) {
    uint8_t page[HF_SEGMENT_PAGE];
    hf_segment_header back;
    hf_segment_encode(&example, page);
    for (size_t bit = 0; bit < HF_SEGMENT_PAGE * 8; bit += bit < 800 ? 1 : 37) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const char *wrong = hf_segment_decode(page, &back);
        CHECK(wrong != NULL && wrong != hf_segment_other_version, "bit %zu", bit);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static const char *decode_changed(size_t at, uint64_t value, size_t length) {
    uint8_t page[HF_SEGMENT_PAGE], bytes[8];
    hf_segment_header back;
    hf_segment_encode(&example, page);
    hf_put64(bytes, value);
    memcpy(page + at, bytes, length);
    hf_digest digest = hf_digest_of(page, 4080);
    memcpy(page + 4080, digest.bytes, 16);
    return hf_segment_decode(page, &back);
}

Test(segment, a_page_written_on_purpose_is_still_bounded) {
    static const uint64_t sizes[] = {0,         4096, HF_SEGMENT_MIN - 4096, HF_SEGMENT_MIN + 1, HF_SEGMENT_MAX + 4096,
                                     UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *wrong = decode_changed(40, sizes[i], 8);
        CHECK(wrong != NULL && strstr(wrong, "size") != NULL, "size %llu", (unsigned long long)sizes[i]);
    }
    CHECK(decode_changed(40, HF_SEGMENT_MIN, 8) == NULL && decode_changed(40, HF_SEGMENT_MAX, 8) == NULL, "bounds");
    CHECK(decode_changed(8, 2, 2) == hf_segment_other_version, "another version");
    CHECK(strstr(decode_changed(12, 1, 1), "reserved") && strstr(decode_changed(4079, 1, 1), "reserved"), "reserved");
}

Test(segment, one_is_made_under_a_temporary_name_and_is_zeros) {
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    hf_segment segment;
    uint64_t end;
    CHECK(hf_segment_make(files, KIT_DIRECTORY, &example, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(kit_files(disk, "") == 1 && kit_files(disk, "spare-00000000000000e5") == 1, "one file");
    CHECK(files->sync_directory(files->context, KIT_DIRECTORY) == 0, "its name is the caller's to sync");
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_DROP, 0);
    hf_segment_init(&segment, hf_simulated_files(image));
    CHECK(hf_segment_open(&segment, KIT_DIRECTORY, "spare", 0xe5, example.uuid, NULL) == HF_SUCCESS, "durable: %s",
          hf_error_detail());
    CHECK(segment.bytes == KIT_SEGMENT, "its size");
    CHECK(hf_segment_content_end(&segment, HF_SEGMENT_PAGE, &end) == HF_SUCCESS && end == HF_SEGMENT_PAGE, "zeros");
    hf_segment_free(&segment);
    hf_simulated_free(image);
    hf_simulated_free(disk);
}

static bool always(const void *context) { return context == NULL; }

Test(segment, making_one_that_fails_leaves_nothing_behind) {
    for (uint64_t k = 1; k <= 4; k++) { /* open, write, sync, rename */
        hf_simulated *disk = hf_simulated_new();
        const hf_files *files = hf_simulated_files(disk);
        hf_simulated_fail(disk, k, 1, -ENOSPC);
        CHECK(hf_segment_make(files, KIT_DIRECTORY, &example, NULL, NULL) == HF_EIO, "operation %d", (int)k);
        CHECK(strstr(hf_error_detail(), "/log/spare-00000000000000e5") != NULL, "%s", hf_error_detail());
        CHECK(kit_files(disk, "") == 0, "operation %d", (int)k);
        CHECK(hf_segment_make(files, KIT_DIRECTORY, &example, always, NULL) == HF_EPOISONED, "told to give up");
        CHECK(kit_files(disk, "") == 0, "given up");
        hf_simulated_free(disk);
    }
}

/* No crash while one is made leaves a file under the final name that is not whole. */
Test(segment, a_crash_while_making_leaves_no_half_segment) {
    uint64_t seed = kit_seed(31);
    hf_segment_header header = example;
    header.bytes = 9 << 20; /* several writes and syncs */
    for (uint64_t k = 1;; k++) {
        hf_simulated *disk = hf_simulated_new();
        hf_simulated_fail(disk, k, UINT64_MAX, -EIO);
        const hf_files *files = hf_simulated_files(disk);
        int error = hf_segment_make(files, KIT_DIRECTORY, &header, NULL, NULL);
        error = error != HF_SUCCESS ? error : files->sync_directory(files->context, KIT_DIRECTORY);
        for (int n = 0; n < 3; n++) {
            hf_simulated *image = hf_simulated_crash(disk, (hf_crash)n, seed + k);
            hf_segment segment;
            uint64_t end;
            hf_segment_init(&segment, hf_simulated_files(image));
            int opened = hf_segment_open(&segment, KIT_DIRECTORY, "spare", 0xe5, header.uuid, NULL);
            CHECK(opened == HF_ENOTFOUND || opened == HF_SUCCESS, "%s", hf_error_detail());
            CHECK(error != HF_SUCCESS || opened == HF_SUCCESS, "made, and gone");
            CHECK(opened != HF_SUCCESS ||
                      (hf_segment_content_end(&segment, HF_SEGMENT_PAGE, &end) == HF_SUCCESS && end == HF_SEGMENT_PAGE),
                  "not zeros");
            hf_segment_free(&segment);
            hf_simulated_free(image);
        }
        hf_simulated_free(disk);
        if (error == HF_SUCCESS) {
            CHECK(k > 10, "%d operations", (int)k);
            return;
        }
    }
}

Test(segment, reading_moves_its_window_and_knows_where_content_ends) {
    hf_simulated *disk = hf_simulated_new();
    hf_segment_header header = example;
    header.bytes = 2 << 20;
    CHECK(hf_segment_make(hf_simulated_files(disk), KIT_DIRECTORY, &header, NULL, NULL) == HF_SUCCESS, "%s",
          hf_error_detail());
    uint64_t state = kit_seed(12), end;
    hf_segment segment;
    uint8_t *content = hf_simulated_bytes(disk, "/log/spare-00000000000000e5", NULL);
    kit_fill(content + 4096, 1, 1 << 20);
    content[4096 + (1 << 20) - 1] = 7;
    hf_segment_init(&segment, hf_simulated_files(disk));
    CHECK(hf_segment_open(&segment, KIT_DIRECTORY, "spare", 0xe5, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (int i = 0; i < 3000; i++) {
        uint64_t at = kit_below(&state, header.bytes);
        size_t length = (size_t)kit_below(&state, i % 100 ? 9000 : header.bytes);
        length = length > header.bytes - at ? (size_t)(header.bytes - at) : length;
        const uint8_t *bytes;
        CHECK(hf_segment_read(&segment, at, length, &bytes) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(length == 0 || memcmp(bytes, content + at, length) == 0, "at %d", (int)at);
    }
    CHECK(hf_segment_content_end(&segment, 4096, &end) == HF_SUCCESS && end == 4096 + (1 << 20), "content ends");
    CHECK(hf_segment_content_end(&segment, end, &end) == HF_SUCCESS && end == 4096 + (1 << 20), "nothing behind");
    hf_segment_free(&segment);
    hf_simulated_free(disk);
}

static void cut_short(void *context, hf_simulated *disk) {
    const hf_files *files = hf_simulated_files(disk);
    int *done = context;
    if ((*done)++ == 0) {
        int file = files->open(files->context, "/log/spare-00000000000000e5", HF_OPEN_WRITE);
        CHECK(files->truncate(files->context, file, 100) == 0, "truncate");
        files->close(files->context, file);
    }
}

/* Between the question how long it is and the reading. */
Test(segment, one_that_becomes_shorter_is_an_error) {
    hf_simulated *disk = hf_simulated_new();
    hf_segment segment;
    int done = 0;
    CHECK(hf_segment_make(hf_simulated_files(disk), KIT_DIRECTORY, &example, NULL, NULL) == HF_SUCCESS, "%s",
          hf_error_detail());
    hf_segment_init(&segment, hf_simulated_files(disk));
    hf_simulated_watch(disk, HF_CALL_SIZE | HF_WATCH_AFTER, cut_short, &done);
    CHECK(hf_segment_open(&segment, KIT_DIRECTORY, "spare", 0xe5, NULL, NULL) == HF_EIO && done > 0, "shorter");
    CHECK(strstr(hf_error_detail(), "ends at offset 100; expected 131072") != NULL, "%s", hf_error_detail());
    hf_segment_free(&segment);
    hf_simulated_free(disk);
}

Test(segment, many_are_listed) {
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    for (uint64_t generation = 200; generation > 0; generation--) {
        files->close(files->context, files->open(files->context, kit_segment(generation), HF_OPEN_CREATE));
    }
    hf_listing listing;
    CHECK(hf_listing_read(files, KIT_DIRECTORY, &listing) == HF_SUCCESS && listing.segments.count == 200, "%s",
          hf_error_detail());
    for (uint64_t generation = 1; generation <= 200; generation++) {
        CHECK(listing.segments.items[generation - 1] == generation, "in order");
    }
    hf_listing_free(&listing);
    hf_simulated_free(disk);
}

Test(segment, only_exact_names_are_listed) {
    static const char *const names[] = {
        "segment-0000000000000002",
        "segment-0000000000000001",
        "segment-000000000000000A",
        "segment-00000000000000001",
        "segment-1",
        "segment-0000000000000000", /* found by tests/fuzz/log.c: a follower began there, a recovery did not */
        "spare-0000000000000000",
        "spare-00000000000000e5",
        "spare-00000000000000e6.tmp",
        "cut-00000007-00001000-1",
        "cut-",
        "segment",
        "checkpoint-0000000000000001",
        "LOCK",
    };
    hf_simulated *disk = hf_simulated_new();
    const hf_files *files = hf_simulated_files(disk);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", KIT_DIRECTORY, names[i]);
        files->close(files->context, files->open(files->context, path, HF_OPEN_CREATE));
    }
    hf_listing listing;
    CHECK(hf_listing_read(files, KIT_DIRECTORY, &listing) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(listing.segments.count == 2 && listing.segments.items[0] == 1 && listing.segments.items[1] == 2, "segments");
    CHECK(listing.spares.count == 1 && listing.spares.items[0] == 0xe5, "spares");
    hf_listing_free(&listing);
    hf_simulated_free(disk);
    CHECK(hf_listing_read(hf_files_system(), "/nonexistent/holdfast", &listing) == HF_ENOTFOUND, "no directory");
    hf_listing_free(&listing);
}
