/* Following a log: what is committed comes once, in order, whoever writes and however often; nothing else ever does. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"
#include "wal/segment.h"

#include <errno.h>

static hf_follow *follow_from(hf_simulated *disk, uint64_t epoch) {
    hf_follow *follow = NULL;
    int error = hf_follow_open(KIT_DIRECTORY, hf_simulated_files(disk), epoch, &follow);
    CHECK(error == HF_SUCCESS, "%s", hf_error_detail());
    return follow;
}

/* Takes all there is for now. */
static int drain(hf_follow *follow, kit_list *list) {
    hf_wal_epoch epoch;
    int result;
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
        kit_collect(list, &epoch);
    }
    return result;
}

static hf_wal *open_log(hf_simulated *disk) {
    hf_wal *wal;
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    return wal;
}

static void append(hf_wal *wal, uint64_t first, uint64_t last, size_t length) {
    for (uint64_t epoch = first; epoch <= last; epoch++) {
        CHECK(kit_append(wal, epoch, length) == HF_SUCCESS, "%s", hf_error_detail());
    }
}

static const uint8_t zeros[300000];

Test(follow, a_follower_beside_the_writer_sees_what_is_committed) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    hf_follow *follow = follow_from(disk, 0);
    static kit_list list;
    hf_wal_epoch epoch;
    CHECK(hf_follow_next(follow, &epoch) == 0 && hf_follow_next(follow, &epoch) == 0, "nothing yet");
    for (uint64_t e = 1; e <= 40; e++) {
        if (e % 4 == 0) { /* all that is released has been followed */
            CHECK(hf_wal_release(wal, hf_wal_generation(wal)) == HF_SUCCESS, "%s", hf_error_detail());
        }
        CHECK(hf_wal_begin(wal, 2 * e, kit_time(2 * e), 3) == HF_SUCCESS, "%s", hf_error_detail());
        size_t length = 5000 * (e % 13) + (e % 10 == 0 ? 200000 : 0);
        uint8_t *bytes = malloc(length + 1);
        kit_fill(bytes, 2 * e, length);
        CHECK(hf_wal_put(wal, bytes, length) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(drain(follow, &list) == 0 && list.count == e - 1, "not before it is committed");
        CHECK(hf_wal_commit(wal) == HF_SUCCESS, "%s", hf_error_detail());
        free(bytes);
        if (e % 3 == 0) {
            hf_wal_mark_durable(wal, 2 * e + 1); /* has nothing to be followed */
        }
        CHECK(hf_follow_next(follow, &epoch) == 1 && epoch.epoch == 2 * e && epoch.term == 3, "%s", hf_error_detail());
        CHECK(epoch.generation <= hf_wal_generation(wal) && epoch.length == length, "its facts");
        kit_collect(&list, &epoch);
        CHECK(hf_follow_next(follow, &epoch) == 0, "once");
    }
    CHECK(!list.bad && hf_wal_generation(wal) > 10, "over many segments");
    hf_follow_close(follow);
    hf_follow_close(NULL);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(follow, it_starts_at_any_epoch_that_is_kept) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    for (uint64_t epoch = 10; epoch <= 400; epoch += 10) {
        append(wal, epoch, epoch, 20000 + epoch * 30);
    }
    for (int released = 0; released < 2; released++) {
        unsigned refused = 0;
        for (uint64_t from = 0; from <= 420; from++) {
            hf_follow *follow;
            static kit_list list;
            list = (kit_list){.count = 0};
            int error = hf_follow_open(KIT_DIRECTORY, hf_simulated_files(disk), from, &follow);
            if (error == HF_ENOTFOUND) {
                CHECK(released && from > 0 && strstr(hf_error_detail(), "no longer kept"), "%s", hf_error_detail());
                refused++;
                continue;
            }
            CHECK(error == HF_SUCCESS, "%s", hf_error_detail());
            CHECK(drain(follow, &list) == 0 && !list.bad, "from %d: %s", (int)from, hf_error_detail());
            uint64_t first = from <= 10 ? 10 : (from + 9) / 10 * 10;
            if (released && from == 0) {
                CHECK(list.epochs[0] > 10 && list.epochs[list.count - 1] == 400, "the oldest kept whole");
            } else {
                CHECK(list.count == (first <= 400 ? (400 - first) / 10 + 1 : 0), "from %d", (int)from);
                CHECK(list.count == 0 || list.epochs[0] == first, "from %d", (int)from);
            }
            hf_follow_close(follow);
        }
        CHECK((refused > 50 && refused < 400) == released, "%u starts are no longer kept", refused);
        CHECK(hf_wal_release(wal, hf_wal_generation(wal) / 2) == HF_SUCCESS, "%s", hf_error_detail());
    }
    /* From beyond the end: waits for it. */
    hf_follow *follow = follow_from(disk, 415);
    hf_wal_epoch epoch;
    CHECK(hf_follow_next(follow, &epoch) == 0, "not yet");
    append(wal, 410, 410, 100);
    CHECK(hf_follow_next(follow, &epoch) == 0, "not that one");
    append(wal, 420, 420, 100);
    CHECK(hf_follow_next(follow, &epoch) == 1 && epoch.epoch == 420, "this one");
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* Epochs longer than a segment: a segment may begin with a later part, of an epoch before the wanted one or of the
 * wanted one. */
Test(follow, it_starts_at_any_epoch_though_segments_begin_within_one) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    for (uint64_t epoch = 10; epoch <= 100; epoch += 10) {
        append(wal, epoch, epoch, epoch % 20 ? 3000 : 290000);
    }
    CHECK(hf_wal_generation(wal) > 10, "many segments");
    for (uint64_t first = 1; first < 9; first++) { /* the oldest that is kept */
        CHECK(hf_wal_release(wal, first) == HF_SUCCESS, "%s", hf_error_detail());
        for (uint64_t from = 0; from <= 110; from++) {
            hf_follow *follow;
            static kit_list list;
            list = (kit_list){.count = 0};
            int error = hf_follow_open(KIT_DIRECTORY, hf_simulated_files(disk), from, &follow);
            CHECK(error == HF_SUCCESS || (first > 1 && from > 0 && error == HF_ENOTFOUND), "from %d: %s", (int)from,
                  hf_error_detail());
            if (error == HF_SUCCESS) {
                CHECK(drain(follow, &list) == 0 && !list.bad, "from %d: %s", (int)from, hf_error_detail());
                CHECK(list.count == 0 ? from > 100 : list.epochs[list.count - 1] == 100, "from %d", (int)from);
                CHECK(from == 0 || list.count == 0 || list.epochs[0] == (from + 9) / 10 * 10, "from %d", (int)from);
            }
            hf_follow_close(follow);
        }
    }
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* The page says more than stands in the log, now that a reader has come to its end: something is lost, or was never
 * there. */
Test(follow, what_the_page_knows_must_be_there) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    append(wal, 1, 3, 1000);
    hf_wal_close(wal);
    hf_follow *follow = follow_from(disk, 0);
    static kit_list list;
    list = (kit_list){.count = 0};
    CHECK(drain(follow, &list) == 0 && drain(follow, &list) == 0 && list.count == 3, "%s", hf_error_detail());
    uint8_t *page = hf_simulated_bytes(disk, KIT_DIRECTORY "/durable", NULL);
    hf_put64(page + 40, 4);
    CHECK(drain(follow, &list) == HF_ECORRUPT && strstr(hf_error_detail(), "epoch 4"), "%s", hf_error_detail());
    hf_follow_close(follow);
    hf_simulated_free(disk);
}

/* A writer whose page cannot be mapped has nothing but the checkpoint to tell. */
Test(follow, beside_a_writer_without_a_page_nothing_is_told_that_nobody_vouches_for) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal;
    kit_list list;
    hf_wal_found found;
    hf_simulated_fault(disk, HF_CALL_MAP, 1, UINT64_MAX, -EIO);
    CHECK(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (uint64_t epoch = 10; epoch <= 40; epoch += 10) {
        append(wal, epoch, epoch, 1000);
    }
    CHECK(kit_open_read_only(disk, NULL, &list, &found) == HF_SUCCESS && list.count == 0, "%s", hf_error_detail());
    hf_wal_position position = {.epoch = 1, .generation = 1, .durable = 25};
    CHECK(kit_open_read_only(disk, &position, &list, &found) == HF_SUCCESS && list.count == 2, "%zu", list.count);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* The last batch fills its segment to the end: there is nothing behind it to look at. */
Test(follow, a_log_that_ends_where_its_segment_ends) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    append(wal, 1, 1, 70000);
    append(wal, 2, 2, KIT_SEGMENT - HF_SEGMENT_PAGE - hf_batch_size(70000) - HF_BATCH_HEADER);
    CHECK(hf_wal_generation(wal) == 1, "one segment");
    hf_wal_close(wal);
    hf_simulated_remove(disk, KIT_DIRECTORY "/durable");
    hf_follow *follow = follow_from(disk, 0);
    static kit_list list;
    list = (kit_list){.count = 0};
    for (int i = 0; i < 3; i++) {
        CHECK(drain(follow, &list) == 0 && list.count == 2 && !list.bad, "%s", hf_error_detail());
    }
    wal = open_log(disk);
    append(wal, 3, 3, 100);
    CHECK(drain(follow, &list) == 0 && list.count == 3, "it goes on in the next");
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(follow, a_segment_that_was_released_is_told_apart_from_damage) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    append(wal, 1, 4, 30000);
    hf_follow *follow = follow_from(disk, 0);
    hf_wal_epoch epoch;
    CHECK(hf_follow_next(follow, &epoch) == 1, "%s", hf_error_detail());
    append(wal, 5, 30, 30000);
    CHECK(hf_wal_release(wal, hf_wal_generation(wal)) == HF_SUCCESS, "%s", hf_error_detail());
    uint64_t last = 1;
    int result;
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
        CHECK(epoch.epoch == ++last, "the open segment is still read");
    }
    CHECK(result == HF_ENOTFOUND && last >= 3 && last < 10, "%s: %s", hf_error_name(result), hf_error_detail());
    CHECK(strstr(hf_error_detail(), "segment-0000000000000002 is no longer kept") != NULL, "%s", hf_error_detail());
    hf_simulated_fault(disk, HF_CALL_LIST, 1, 1, -EIO);
    CHECK(hf_follow_next(follow, &epoch) == HF_EIO, "whether it is kept: %s", hf_error_detail());
    CHECK(hf_follow_next(follow, &epoch) == HF_ENOTFOUND, "as before: %s", hf_error_detail());
    hf_follow_close(follow);

    uint8_t *bytes = hf_simulated_bytes(disk, kit_segment(hf_wal_generation(wal)), NULL);
    bytes[HF_SEGMENT_PAGE + 1000] ^= 1;
    follow = follow_from(disk, 0);
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
    }
    CHECK(result == HF_ECORRUPT && strstr(hf_error_detail(), "offset 4096, epoch"), "%s: %s", hf_error_name(result),
          hf_error_detail());
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* Somebody empties the directory: that is not a writer that let go of a segment. */
Test(follow, a_log_that_is_gone_is_missed) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    append(wal, 1, 2, 30000);
    hf_follow *follow = follow_from(disk, 0);
    hf_wal_epoch epoch;
    CHECK(hf_follow_next(follow, &epoch) == 1, "%s", hf_error_detail());
    append(wal, 3, 20, 30000);
    for (uint64_t generation = 1; generation <= hf_wal_generation(wal); generation++) {
        hf_simulated_remove(disk, kit_segment(generation));
    }
    int result;
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
    }
    CHECK(result == HF_ECORRUPT && strstr(hf_error_detail(), "more of it was durable"), "%s", hf_error_detail());
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(follow, without_a_log_there_is_nothing) {
    hf_simulated *disk = hf_simulated_new();
    hf_follow *follow;
    CHECK(hf_follow_open(KIT_DIRECTORY, hf_simulated_files(disk), 0, &follow) == HF_ENOTFOUND && !follow, "none");
    CHECK(hf_follow_open("", hf_simulated_files(disk), 0, &follow) == HF_EINVAL, "no name");
    char longest[HF_DIRECTORY_MAX + 2];
    memset(longest, 'd', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK(hf_follow_open(longest, hf_simulated_files(disk), 0, &follow) == HF_EINVAL,
          "a longer name than there may be");
    CHECK(hf_follow_open("/nonexistent/holdfast", NULL, 0, &follow) == HF_ENOTFOUND, "the system's files");
    hf_wal *wal = open_log(disk);
    append(wal, 1, 20, 30000);
    hf_wal_close(wal);
    hf_simulated_remove(disk, kit_segment(3));
    CHECK(hf_follow_open(KIT_DIRECTORY, hf_simulated_files(disk), 0, &follow) == HF_ECORRUPT, "a gap");
    CHECK(strstr(hf_error_detail(), "segment-0000000000000003 is missing") != NULL, "%s", hf_error_detail());
    hf_simulated_free(disk);
}

/* A killed writer's open epoch lies there in parts, over several segments; the next writer cuts it and goes on. */
Test(follow, a_torn_tail_is_waited_at_until_the_next_writer_has_cut_it) {
    for (int page = 0; page < 2; page++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal = open_log(disk);
        append(wal, 1, 3, 1000);
        hf_follow *follow = follow_from(disk, 0);
        static kit_list list;
        list = (kit_list){.count = 0};
        CHECK(hf_wal_begin(wal, 4, kit_time(4), 1) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(hf_wal_put(wal, zeros, sizeof zeros) == HF_SUCCESS && hf_wal_generation(wal) == 3, "%s",
              hf_error_detail());
        hf_wal_close(wal);
        if (page) {
            hf_simulated_remove(disk, KIT_DIRECTORY "/durable");
        }
        for (int i = 0; i < 3; i++) {
            CHECK(drain(follow, &list) == 0 && list.count == 3, "without a writer: %s", hf_error_detail());
        }
        wal = open_log(disk);
        CHECK(drain(follow, &list) == 0 && list.count == 3, "with the next one: %s", hf_error_detail());
        append(wal, 5, 14, 40000);
        CHECK(drain(follow, &list) == 0 && list.count == 13 && !list.bad, "it goes on: %zu, %s", list.count,
              hf_error_detail());
        hf_follow_close(follow);
        hf_wal_close(wal);
        hf_simulated_free(disk);
    }
}

/* Writers come, commit, fail to sync, leave epochs half done, and go; one follower sees exactly what the last replay
 * sees. */
static void many_writers(uint64_t seed) {
    hf_simulated *disk = hf_simulated_new();
    static kit_list seen, replayed;
    seen = (kit_list){.count = 0};
    hf_wal *wal = open_log(disk);
    hf_follow *follow = follow_from(disk, 0);
    uint64_t state = seed;
    for (int writer = 0; writer < 12; writer++) {
        hf_wal_found found = {.highest_seen = 0};
        hf_wal_close(wal);
        CHECK(drain(follow, &seen) == 0, "seed %llu: %s", (unsigned long long)seed, hf_error_detail());
        CHECK(kit_open(disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
        uint64_t epoch = found.highest_seen;
        int error = HF_SUCCESS;
        hf_simulated_fail(disk, kit_below(&state, 40), 1, -EIO);
        for (uint64_t i = kit_below(&state, 8); i > 0 && error == HF_SUCCESS; i--) {
            error = kit_append(wal, ++epoch, (size_t)kit_below(&state, 60000));
            if (kit_below(&state, 2)) {
                CHECK(drain(follow, &seen) == 0, "seed %llu: %s", (unsigned long long)seed, hf_error_detail());
            }
        }
        if (error == HF_SUCCESS && kit_below(&state, 2)) {
            epoch++;
            error = hf_wal_begin(wal, epoch, kit_time(epoch), 1);
            error = error != HF_SUCCESS ? error : hf_wal_put(wal, zeros, (size_t)kit_below(&state, sizeof zeros));
        }
        hf_simulated_fail(disk, 0, 0, 0);
    }
    hf_wal_close(wal);
    CHECK(drain(follow, &seen) == 0, "seed %llu: %s", (unsigned long long)seed, hf_error_detail());
    CHECK(kit_open(disk, NULL, &wal, &replayed, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(drain(follow, &seen) == 0 && seen.count == replayed.count && kit_is_prefix(&seen, &replayed),
          "seed %llu: %zu epochs followed, %zu replayed", (unsigned long long)seed, seen.count, replayed.count);
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

Test(follow, one_follower_of_many_writers_sees_what_a_replay_sees) {
    uint64_t seed = kit_seed(99);
    for (uint64_t i = 0; i < 150; i++) {
        many_writers(seed + i);
    }
}

/* A directory that was copied has a page that no longer speaks of it: a reader waits for the new writer's word. */
Test(follow, a_copied_page_is_not_believed) {
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_log(disk);
    append(wal, 1, 3, 1000);
    hf_wal_close(wal);
    hf_simulated_copy(disk, KIT_DIRECTORY "/durable", KIT_DIRECTORY "/x");
    hf_simulated_copy(disk, KIT_DIRECTORY "/x", KIT_DIRECTORY "/durable");
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = KIT_SEGMENT};
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, true, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    hf_follow *follow = follow_from(disk, 0);
    hf_wal_epoch epoch;
    CHECK(hf_follow_next(follow, &epoch) == 0, "somebody has the lock, and says nothing yet");
    static const hf_wal_position beginning;
    hf_wal_found found;
    CHECK(hf_wal_open(wal, &beginning, NULL, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_follow_next(follow, &epoch) == 1 && epoch.epoch == 1, "%s", hf_error_detail());
    hf_follow_close(follow);
    hf_wal_close(wal);
    hf_simulated_free(disk);
}

/* ---- what no disk has -------------------------------------------------------------------------------------------- */

static hf_wal *open_large(hf_simulated *disk) {
    hf_wal_options options = {.files = hf_simulated_files(disk), .segment_bytes = 8 << 20};
    static const hf_wal_position beginning;
    hf_wal_found found;
    hf_wal *wal;
    CHECK(hf_wal_lock(KIT_DIRECTORY, &options, false, &wal) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_open(wal, &beginning, NULL, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    return wal;
}

/* A long epoch's two parts stand in one segment; the sync failed, and of the two the disk has only the second. That one
 * vouches for all before its epoch, but not for the first part. */
Test(follow, a_part_does_not_vouch_for_the_one_before_it) {
    enum { LENGTH = 5 << 20 };
    hf_simulated *disk = hf_simulated_new();
    hf_wal *wal = open_large(disk);
    uint8_t *bytes = malloc(LENGTH);
    CHECK(bytes != NULL, "memory");
    kit_fill(bytes, 2, LENGTH);
    append(wal, 1, 1, 1000);
    CHECK(hf_wal_begin(wal, 2, kit_time(2), 1) == HF_SUCCESS && hf_wal_put(wal, bytes, LENGTH) == HF_SUCCESS, "%s",
          hf_error_detail());
    free(bytes);
    hf_simulated_fault(disk, HF_CALL_SYNC, 1, 1, -EIO);
    CHECK(hf_wal_commit(wal) == HF_EPOISONED, "the sync fails");
    hf_wal_close(wal);
    uint64_t first = HF_SEGMENT_PAGE + hf_batch_size(1000), second = first + (4 << 20);
    uint8_t *log = hf_simulated_bytes(disk, kit_segment(1), NULL);
    hf_batch_header header;
    CHECK(hf_batch_decode(log + first, &header) == NULL && header.part == 0 && header.epoch == 2, "part 0");
    CHECK(hf_batch_decode(log + second, &header) == NULL && header.part == 1 && header.flags == HF_BATCH_LAST,
          "part 1");
    hf_simulated_poke(disk, kit_segment(1), second, log + second, (size_t)hf_batch_size(header.payload_length));

    hf_follow *follow = follow_from(disk, 0);
    static kit_list list;
    list = (kit_list){.count = 0};
    CHECK(drain(follow, &list) == 0 && list.count == 1, "%zu epochs, and the disk has one", list.count);
    hf_follow_close(follow);
    hf_simulated_free(disk);
}

/* Stands for a process that is killed between a write and its sync. */
typedef struct killing {
    hf_simulated *left;
    uint64_t writes;
} killing;

static void kill_after_write(void *context, hf_simulated *disk) {
    killing *k = context;
    if (--k->writes == 0) {
        k->left = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    }
}

/* The epoch is in the page cache only. Whoever reads it must not tell of it before a power loss can no longer undo it.
 */
Test(follow, a_killed_writers_last_epoch_is_durable_before_it_is_told) {
    for (int read_only = 0; read_only < 2; read_only++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal = open_log(disk);
        static kit_list list;
        list = (kit_list){.count = 0};
        append(wal, 1, 3, 1000);
        killing k = {.writes = 1};
        hf_simulated_watch(disk, HF_CALL_WRITE | HF_WATCH_AFTER, kill_after_write, &k);
        append(wal, 4, 4, 1000);
        hf_wal_close(wal);
        hf_simulated_free(disk);
        hf_follow *follow = NULL;
        if (read_only) {
            CHECK(kit_open_read_only(k.left, NULL, &list, NULL) == HF_SUCCESS, "%s", hf_error_detail());
        } else {
            follow = follow_from(k.left, 0);
            CHECK(drain(follow, &list) == 0, "%s", hf_error_detail());
        }
        CHECK(list.count == 4 && !list.bad, "%zu epochs", list.count);
        disk = hf_simulated_crash(k.left, HF_CRASH_DROP, 0);
        kit_list after;
        CHECK(kit_open(disk, NULL, &wal, &after, NULL) == HF_SUCCESS, "%s", hf_error_detail());
        CHECK(after.count == list.count, "%zu epochs were told, %zu are durable", list.count, after.count);
        hf_wal_close(wal);
        hf_follow_close(follow);
        hf_simulated_free(disk);
        hf_simulated_free(k.left);
    }
}

/* If that sync fails, nothing is told that the disk does not have. */
Test(follow, what_cannot_be_synced_is_not_told) {
    static const int errors[] = {-EIO, -EINVAL, -EROFS}; /* the last two: a file system that has nothing to sync */
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        hf_simulated *disk = hf_simulated_new();
        hf_wal *wal = open_log(disk);
        static kit_list list;
        list = (kit_list){.count = 0};
        append(wal, 1, 3, 1000);
        killing k = {.writes = 1};
        hf_simulated_watch(disk, HF_CALL_WRITE | HF_WATCH_AFTER, kill_after_write, &k);
        append(wal, 4, 4, 1000);
        hf_wal_close(wal);
        hf_simulated_free(disk);
        hf_follow *follow = follow_from(k.left, 0);
        hf_simulated_fault(k.left, HF_CALL_SYNC, 1, 1, errors[i]);
        int result = drain(follow, &list);
        CHECK(result == (errors[i] == -EIO ? HF_EIO : 0) && list.count == 3, "%zu epochs, %s", list.count,
              hf_error_detail());
        CHECK(result == 0 || strstr(hf_error_detail(), "segment-0000000000000001"), "%s", hf_error_detail());
        CHECK(drain(follow, &list) == 0 && list.count == 3, "nor later: %zu epochs", list.count);
        hf_follow_close(follow);
        hf_simulated_free(k.left);
    }
}
