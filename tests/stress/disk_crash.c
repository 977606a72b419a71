/* A power loss at every boundary of the disk, under a whole engine.
 *
 * A random flow (tests/support/flow.h) runs on a disk in memory. Before each call that changes the disk, images of it are made as a
 * power loss may leave them: synced only, everything, all there are where they are few, random ones else. On each an engine is
 * opened and held against the model.
 *
 * Guarantees checked, on every image
 *   A  It opens. Its state is that of the last durable epoch, or of one that was just being sealed: SKUs with their versions, ids,
 *      lines, deadlines, users, the caller's position; nothing below zero, reserved = what live reservations hold.
 *   B  A second recovery changes nothing; nor does one after a crash within the first, or within a checkpoint after it, at any
 *      boundary, nor one after a crash within that.
 *   C  The engine goes on from there: now and then the world moves to an image.
 *
 * Worlds are run until 20,000 images were judged, or HF_ROUNDS. HF_SEED=n HF_ROUNDS=1 runs one world again.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/flow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(value) ((unsigned long long)(value))
enum { IMAGES = 20000, WORLDS_MOST = 60, STEPS = 300, FEW_CODES = 27, DEPTH = 2 };

/* X(name, text) */
#define COUNT_MAP(X)                                                                                                   \
    X(images, "images")                                                                                                \
    X(boundaries, "boundaries")                                                                                        \
    X(in_rotation, "of them while a segment is changed or made")                                                       \
    X(in_checkpoint, "while a checkpoint is taken")                                                                    \
    X(exhausted, "boundaries with all images there are")                                                               \
    X(sealing, "images with the epoch that was being sealed")                                                          \
    X(cut, "with a torn tail")                                                                                         \
    X(undone, "with operations undecided or half released")                                                            \
    X(nested, "crashes within a recovery or a checkpoint after it")                                                    \
    X(nested_twice, "within that")                                                                                     \
    X(second, "second recoveries")                                                                                     \
    X(moves, "worlds moved to an image")

typedef struct counts {
#define X(name, text) uint64_t name;
    COUNT_MAP(X)
#undef X
} counts;

typedef struct world {
    flow flow;
    crash_disk *disk;
    uint64_t random; /* of the images, apart from the flow's */
    counts *counts;
} world;

/* A recovery that is watched, to crash within. */
typedef struct watched {
    world *w;
    crash_disk *disk;
    unsigned mark, depth;
    uint64_t now_ms;
    unsigned one_in; /* boundaries */
} watched;

static pthread_mutex_t judging = PTHREAD_MUTEX_INITIALIZER;

static uint64_t below(world *w, uint64_t limit) { return harness_below(&w->random, limit); }

/* ---- recovering ------------------------------------------------------------------------------------------------------------------ */

/* Opens an engine on the image; its clock stands at `now_ms`. */
static hf_engine *recover(world *w, crash_disk *image, harness_clock *clock, uint64_t now_ms) {
    hf_options options;
    hf_engine *engine;
    harness_clock_set(clock, now_ms);
    flow_options(&w->random, w->flow.model, clock, &options);
    int error = hf_open_on(crash_disk_files(image), FLOW_DIRECTORY, &options, &engine);
    CHECK(error == HF_SUCCESS, "an image does not open: %s", hf_error_name(error));
    return engine;
}

/* Which mark the engine is at. */
static unsigned which_mark(const world *w, hf_engine *engine) {
    char first[400] = "";
    for (unsigned i = 0; i < w->flow.mark_count; i++) {
        const char *wrong = flow_may_leave(&w->flow, i) ? flow_difference(&w->flow.marks[i], engine) : "is superseded";
        if (!wrong) {
            return i;
        }
        size_t length = strlen(first);
        snprintf(first + length, sizeof first - length, " [mark %u, epoch %llu: %s]", i, U(w->flow.marks[i].epoch), wrong);
    }
    CHECK(false, "an image is at no epoch there was:%s", first);
    return 0;
}

enum { ANY = 99 }; /* a mark: what a killed process left need not be on the disk, until a recovery has synced it */

static void expect(const world *w, unsigned mark, hf_engine *engine, const char *when) {
    const char *wrong = mark == ANY ? NULL : flow_difference(&w->flow.marks[mark], engine);
    CHECK(!wrong, "%s: %s", when, wrong);
    if (mark == ANY) {
        (void)which_mark(w, engine);
    }
}

static void watch_recovery(void *context, const char *call, const char *path);

/* A recovery at whose boundaries there are crashes, each with a recovery of its own; and a checkpoint after it. */
static void recover_watched(world *w, crash_disk *image, unsigned mark, unsigned depth, uint64_t now_ms, bool checkpoint) {
    harness_clock clock;
    watched self = {w, image, mark, depth, now_ms, depth == 1 ? 2 : 4};
    crash_disk_watch(image, watch_recovery, &self);
    hf_engine *engine = recover(w, image, &clock, now_ms);
    expect(w, mark, engine, "a recovery that was watched");
    if (checkpoint) {
        MUST(hf_checkpoint(engine));
    }
    crash_disk_watch(image, NULL, NULL);
    MUST(hf_close(engine));
}

static void watch_recovery(void *context, const char *call, const char *path) {
    watched *at = context;
    world *w = at->w;
    (void)call;
    (void)path;
    if (below(w, at->one_in) != 0) {
        return;
    }
    crash_disk *image = crash_disk_random_image(at->disk, harness_next(&w->random));
    w->counts->images++;
    w->counts->nested += at->depth == 1;
    w->counts->nested_twice += at->depth == 2;
    if (at->depth < DEPTH && below(w, 3) == 0) {
        recover_watched(w, image, at->mark, at->depth + 1, at->now_ms, below(w, 4) == 0);
    } else {
        harness_clock clock;
        hf_engine *engine = recover(w, image, &clock, at->now_ms);
        expect(w, at->mark, engine, "after a crash within a recovery");
        MUST(hf_close(engine));
    }
    crash_disk_free(image);
}

/* ---- judging --------------------------------------------------------------------------------------------------------------------- */

static void recover_again(world *w, crash_disk *image, unsigned mark, uint64_t now_ms) {
    harness_clock clock;
    hf_engine *engine = recover(w, image, &clock, now_ms);
    expect(w, mark, engine, "a second recovery");
    MUST(hf_close(engine));
    w->counts->second++;
}

static void judge(world *w, crash_disk *image, bool is_killed) {
    harness_clock clock;
    hf_stats stats;
    uint64_t now_ms = w->flow.model->now_ms + (below(w, 4) == 0 ? below(w, 500) : 0);
    bool nests = below(w, 16) == 0;
    crash_disk *untouched = nests ? crash_disk_killed(image) : NULL;
    hf_engine *engine = recover(w, image, &clock, now_ms);
    hf_stats_read(engine, &stats);
    unsigned mark = which_mark(w, engine);
    w->counts->images++;
    w->counts->sealing += mark > 0;
    w->counts->cut += stats.cut_bytes > 0;
    w->counts->undone += stats.undone > 0;
    if (below(w, 4) == 0) { /* killed at once, or closed */
        crash_disk *killed = crash_disk_random_image(image, harness_next(&w->random));
        recover_again(w, killed, mark, now_ms);
        crash_disk_free(killed);
    }
    MUST(hf_close(engine));
    if (below(w, 8) == 0) {
        recover_again(w, image, mark, now_ms);
    }
    if (nests) {
        recover_watched(w, untouched, is_killed ? ANY : mark, 1, now_ms, below(w, 2) == 0);
        crash_disk_free(untouched);
    }
}

static void judge_code(world *w, uint64_t code) {
    crash_disk *image = crash_disk_image(w->disk, code);
    judge(w, image, false);
    crash_disk_free(image);
}

/* A boundary of the flow's own disk. */
static void watch_flow(void *context, const char *call, const char *path) {
    world *w = context;
    if (!flow_may_look()) {
        return;
    }
    pthread_mutex_lock(&judging);
    w->counts->boundaries++;
    w->counts->in_rotation += strstr(path, "/spare-") || (strcmp(call, "rename") == 0 && strstr(path, "/segment-"));
    w->counts->in_checkpoint += strstr(path, "/checkpoint") != NULL;
    uint64_t codes = crash_disk_codes(w->disk);
    bool all = codes <= FEW_CODES && below(w, 4) == 0;
    w->counts->exhausted += all;
    for (uint64_t code = 0; all && code < codes; code++) {
        judge_code(w, code);
    }
    for (unsigned i = 0; !all && i < 2; i++) {
        uint64_t die = below(w, 8);
        crash_disk *image = die == 0   ? crash_disk_image(w->disk, 0)
                            : die == 1 ? crash_disk_killed(w->disk)
                                       : crash_disk_random_image(w->disk, harness_next(&w->random));
        judge(w, image, die == 1);
        crash_disk_free(image);
    }
    pthread_mutex_unlock(&judging);
}

/* ---- worlds ---------------------------------------------------------------------------------------------------------------------- */

/* The world goes on where a power loss left it. */
static void move(world *w) {
    crash_disk *image = crash_disk_random_image(w->disk, harness_next(&w->random));
    crash_disk_watch(w->disk, NULL, NULL);
    flow_move(&w->flow, crash_disk_files(image));
    crash_disk_free(w->disk);
    w->disk = image;
    crash_disk_watch(w->disk, watch_flow, w);
    w->counts->moves++;
}

static void add_flow(flow *sum, const flow *f) {
#define X(name) sum->name += f->name;
    FLOW_COUNT_MAP(X)
#undef X
}

static void run_world(uint64_t seed, counts *all, flow *sum) {
    world w = {.disk = crash_disk_new(), .random = seed ^ UINT64_C(0x5851f42d4c957f2d), .counts = all};
    flow_begin(&w.flow, seed, crash_disk_files(w.disk));
    crash_disk_watch(w.disk, watch_flow, &w);
    for (unsigned step = 0; step < STEPS; step++) {
        flow_step(&w.flow);
        if (below(&w, 60) == 0) {
            move(&w);
        }
    }
    flow_close(&w.flow);
    crash_disk_watch(w.disk, NULL, NULL);
    judge_code(&w, 0);
    add_flow(sum, &w.flow);
    CHECK(crash_disk_open_handles(w.disk) == 0, "%u handles are still open", crash_disk_open_handles(w.disk));
    flow_end(&w.flow);
    crash_disk_free(w.disk);
}

/* What was never met, or NULL. */
static const char *lacking(const counts *all, const flow *sum) {
    const char *what = NULL;
#define X(name, text) what = all->name == 0 ? text : what;
    COUNT_MAP(X)
#undef X
#define X(name) what = sum->name == 0 ? #name : what;
    FLOW_COUNT_MAP(X)
#undef X
    return what;
}

int main(void) {
    uint64_t first = harness_begin("disk_crash"), rounds = harness_rounds(0), seed = first;
    uint64_t wanted = rounds ? rounds : (uint64_t)harness_time(IMAGES);
    double begun = harness_seconds();
    counts all = {0};
    static flow sum;
    for (; all.images < wanted || (!rounds && lacking(&all, &sum) && seed < first + WORLDS_MOST); seed++) {
        harness_seed_is(seed);
        run_world(seed, &all, &sum);
    }
    printf("disk_crash: %llu worlds from seed %llu in %.1f s:", U(seed - first), U(first), harness_seconds() - begun);
#define X(name, text) printf(" %llu " text ",", U(all.name));
    COUNT_MAP(X)
#undef X
    printf("\ndisk_crash:");
#define X(name) printf(" %llu " #name ",", U(sum.name));
    FLOW_COUNT_MAP(X)
#undef X
    printf(" every image as the model\n");
    CHECK(rounds || !lacking(&all, &sum), "never met: %s", lacking(&all, &sum));
    return 0;
}
