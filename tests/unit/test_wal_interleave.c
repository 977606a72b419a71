/* A reader and a writer, interleaved by hand: between any two calls that the reader makes of the disk, a writer comes,
 * does its work, and stays or goes or dies. Whatever the moment, the reader sees committed epochs, each once and in
 * order, and no error but that a segment is no longer kept. */
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/error.h"

static const uint8_t zeros[300000];

typedef struct writer {
    hf_wal *wal; /* NULL: none is there */
    kit_list committed;
    uint64_t epoch;
} writer;

static void writer_opens(writer *w, hf_simulated *disk) {
    hf_wal_found found;
    int error = kit_open(disk, NULL, &w->wal, NULL, &found);
    if (error == HF_ECORRUPT) { /* its beginning was released */
        hf_wal_position position = {.epoch = w->epoch, .generation = 3};
        error = kit_open(disk, &position, &w->wal, NULL, &found);
    }
    CHECK(error == HF_SUCCESS, "%s", hf_error_detail());
    w->epoch = found.highest_seen;
}

static void writer_appends(writer *w, unsigned epochs, size_t length) {
    for (unsigned i = 0; i < epochs; i++) {
        CHECK(kit_append(w->wal, ++w->epoch, length) == HF_SUCCESS, "%s", hf_error_detail());
        w->committed.epochs[w->committed.count] = w->epoch;
        w->committed.lengths[w->committed.count++] = length;
    }
}

/* Dies with an epoch half written, over two more segments. */
static void writer_dies(writer *w) {
    w->epoch++;
    CHECK(hf_wal_begin(w->wal, w->epoch, kit_time(w->epoch), 1) == HF_SUCCESS, "%s", hf_error_detail());
    CHECK(hf_wal_put(w->wal, zeros, sizeof zeros) == HF_SUCCESS, "%s", hf_error_detail());
    hf_wal_close(w->wal);
    w->wal = NULL;
}

static void writer_goes(writer *w) {
    hf_wal_close(w->wal);
    w->wal = NULL;
}

/* ---- what happens in between ------------------------------------------------------------------------------------- */

static void comes(writer *w, hf_simulated *disk) {
    writer_opens(w, disk);
    writer_appends(w, 6, 50000);
}

static void comes_and_goes(writer *w, hf_simulated *disk) {
    comes(w, disk);
    writer_goes(w);
}

static void comes_and_dies(writer *w, hf_simulated *disk) {
    comes(w, disk);
    writer_dies(w);
}

static void looks_in(writer *w, hf_simulated *disk) {
    writer_opens(w, disk);
    writer_goes(w);
}

static void many_come(writer *w, hf_simulated *disk) {
    comes_and_dies(w, disk);
    comes_and_goes(w, disk);
    writer_opens(w, disk);
    writer_appends(w, 1, 10);
}

static void goes_on(writer *w, hf_simulated *disk) {
    (void)disk;
    writer_appends(w, 6, 50000);
}

static void goes_on_and_dies(writer *w, hf_simulated *disk) {
    goes_on(w, disk);
    writer_dies(w);
}

static void goes_on_and_comes_again(writer *w, hf_simulated *disk) {
    goes_on_and_dies(w, disk);
    comes(w, disk);
}

static void lets_go(writer *w, hf_simulated *disk) {
    goes_on(w, disk);
    CHECK(hf_wal_release(w->wal, 3) == HF_SUCCESS, "%s", hf_error_detail());
    (void)disk;
}

static void lets_go_of_long_epochs(writer *w, hf_simulated *disk) {
    (void)disk;
    writer_appends(w, 2, 140000);
    CHECK(hf_wal_release(w->wal, hf_wal_generation(w->wal)) == HF_SUCCESS, "%s", hf_error_detail());
}

static void comes_and_lets_go(writer *w, hf_simulated *disk) {
    comes(w, disk);
    CHECK(hf_wal_release(w->wal, hf_wal_generation(w->wal)) == HF_SUCCESS, "%s", hf_error_detail());
}

typedef struct scene {
    const char *name;
    void (*happens)(writer *w, hf_simulated *disk);
    bool writer_is_there, torn; /* to begin with */
    bool releases;
    bool long_last; /* the last epoch there is stands in four segments */
} scene;

static const scene scenes[] = {
    {"comes", comes, false, false, false, false},
    {"comes, torn", comes, false, true, false, false},
    {"comes and goes", comes_and_goes, false, false, false, false},
    {"comes and goes, torn", comes_and_goes, false, true, false, false},
    {"comes and dies", comes_and_dies, false, false, false, false},
    {"comes and dies, torn", comes_and_dies, false, true, false, false},
    {"looks in", looks_in, false, false, false, false},
    {"looks in, torn", looks_in, false, true, false, false},
    {"many come", many_come, false, true, false, false},
    {"goes on", goes_on, true, false, false, false},
    {"goes on and dies", goes_on_and_dies, true, false, false, false},
    {"goes on and comes again", goes_on_and_comes_again, true, false, false, false},
    {"comes and lets go", comes_and_lets_go, false, false, true, true},
    {"lets go", lets_go, true, false, true, false},
    {"lets go of long epochs", lets_go_of_long_epochs, true, false, true, false},
};

/* ---- the stage --------------------------------------------------------------------------------------------------- */

typedef struct stage {
    const scene *scene;
    hf_simulated *disk;
    writer writer;
    uint64_t calls, at; /* of the reader; when the scene begins */
    bool done;
} stage;

static void watch(void *context, hf_simulated *disk) {
    stage *s = context;
    if (!s->done && ++s->calls == s->at) {
        s->done = true;
        s->scene->happens(&s->writer, disk);
    }
}

static void set_up(stage *s, const scene *of, uint64_t at) {
    *s = (stage){.scene = of, .disk = hf_simulated_new(), .at = at};
    writer_opens(&s->writer, s->disk);
    writer_appends(&s->writer, 3, 20000);
    writer_appends(&s->writer, 1, of->long_last ? 300000 : 20000);
    if (of->torn) {
        writer_dies(&s->writer);
    } else if (!of->writer_is_there) {
        writer_goes(&s->writer);
    }
}

static void take_down(stage *s) {
    hf_wal_close(s->writer.wal);
    hf_simulated_free(s->disk);
}

static int drain(hf_follow *follow, kit_list *list) {
    hf_wal_epoch epoch;
    int result;
    while ((result = hf_follow_next(follow, &epoch)) == 1) {
        kit_collect(list, &epoch);
    }
    return result;
}

/* One follower from its opening on; false once the scene no longer begins. `late`: only from the end of the log on. */
static bool follow_through(const scene *of, uint64_t at, bool late) {
    static kit_list list;
    static stage s;
    hf_follow *follow = NULL;
    list = (kit_list){.count = 0};
    set_up(&s, of, at);
    if (late) {
        CHECK(hf_follow_open(KIT_DIRECTORY, hf_simulated_files(s.disk), 0, &follow) == HF_SUCCESS, "%s",
              hf_error_detail());
        CHECK(drain(follow, &list) == 0 && list.count == 4, "the beginning: %s", hf_error_detail());
    }
    hf_simulated_watch(s.disk, HF_CALLS | HF_WATCH_BEFORE | HF_WATCH_AFTER, watch, &s);
    int result = late ? HF_SUCCESS : hf_follow_open(KIT_DIRECTORY, hf_simulated_files(s.disk), 0, &follow);
    CHECK(result == HF_SUCCESS, "%s, at call %d: %s", of->name, (int)at, hf_error_detail());
    bool began_late = list.count == 0 && of->releases; /* then it may begin behind what was released */
    result = drain(follow, &list);
    hf_simulated_watch(s.disk, 0, NULL, NULL);
    result = result == 0 ? drain(follow, &list) : result;
    CHECK(result == 0 || (of->releases && result == HF_ENOTFOUND), "%s, at call %d: %s: %s", of->name, (int)at,
          hf_error_name(result), hf_error_detail());
    kit_list *due = &s.writer.committed;
    if (began_late && list.count > 0 && list.epochs[0] > 1) {
        size_t skipped = (size_t)(list.epochs[0] - 1);
        memmove(due->epochs, due->epochs + skipped, (due->count - skipped) * sizeof due->epochs[0]);
        memmove(due->lengths, due->lengths + skipped, (due->count - skipped) * sizeof due->lengths[0]);
        due->count -= skipped;
    }
    CHECK(kit_is_prefix(&list, due), "%s, at call %d: other epochs than were committed", of->name, (int)at);
    bool nothing_whole = of->releases && !late && list.count == 0; /* of what is kept */
    CHECK(result != 0 || list.count == due->count || nothing_whole, "%s, at call %d: %zu epochs of %zu", of->name,
          (int)at, list.count, due->count);
    hf_follow_close(follow);
    bool began = s.done;
    take_down(&s);
    return began;
}

Test(wal_interleave, a_follower_sees_what_is_committed_whenever_a_writer_comes) {
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        for (int late = 0; late < 2; late++) {
            uint64_t at = 1;
            while (follow_through(&scenes[i], at, late)) {
                at++;
            }
            CHECK(at > 2, "%s: only %d calls", scenes[i].name, (int)at);
        }
    }
}

static bool look_once(const scene *of, uint64_t at) {
    static kit_list list;
    static stage s;
    hf_wal_found found;
    set_up(&s, of, at);
    size_t before = s.writer.committed.count;
    hf_simulated_watch(s.disk, HF_CALLS | HF_WATCH_BEFORE | HF_WATCH_AFTER, watch, &s);
    int result = kit_open_read_only(s.disk, NULL, &list, &found);
    hf_simulated_watch(s.disk, 0, NULL, NULL);
    CHECK(result == HF_SUCCESS || (of->releases && result == HF_ENOTFOUND), "%s, at call %d: %s: %s", of->name, (int)at,
          hf_error_name(result), hf_error_detail());
    CHECK(kit_is_prefix(&list, &s.writer.committed), "%s, at call %d: other epochs", of->name, (int)at);
    CHECK(result != HF_SUCCESS || list.count >= before, "%s, at call %d: %zu epochs of %zu", of->name, (int)at,
          list.count, before);
    bool began = s.done;
    take_down(&s);
    return began;
}

Test(wal_interleave, a_read_only_open_sees_what_was_committed_whenever_a_writer_comes) {
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        uint64_t at = 1;
        while (look_once(&scenes[i], at)) {
            at++;
        }
        CHECK(at > 10, "%s: only %d calls", scenes[i].name, (int)at);
    }
}
