/* Power losses and kills of the log, at every operation of the disk, over a simulated one.
 *
 * Guarantees, of every image that a crash may leave
 *   A  Every committed epoch is there, whole, and nothing behind it but at most the one that was being committed.
 *   B  A second recovery changes no byte of any file, and finds the same.
 *   C  A read-only look before the recovery sees what the recovery keeps.
 *   D  The log goes on, and what it goes on with survives the next power loss.
 *
 * A script of commits, rotations, preparations, checkpoints, releases, kills, power losses and reopenings runs over a
 * disk. After each operation that changes something, images are made and checked:
 *
 *   names      each prefix of the changes of names that no sync has covered (their order is the journal's)
 *   sectors    n of 512 bytes that no sync has covered, each kept, dropped or garbled:
 *                n <= 5       all 3^n
 *                6 <= n <= 12 all 2^n of kept and dropped where n = 6 + seed % 7, else a seeded sample of the 3^n
 *                n > 12       a seeded sample
 *   a kill     everything is still seen, and what is not synced still is not
 *
 * Of some images the recovery is itself crashed at each of its operations, and of some of those images again.
 *
 * HF_SEED=n is the first script's; HF_ROUNDS=n scripts follow one another, each with the next seed. A failure names the
 * seed: HF_SEED=that HF_ROUNDS=1 runs it again. HF_EXHAUSTIVE=1: all 3^n up to n = 12 (half a million an operation). */
#define KIT_PLAIN
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/atomic.h"
#include "wal/error.h"

#if defined(HF_TSAN)
enum { STEPS = 2 }; /* there is one thread: nothing for ThreadSanitizer to see but that it runs */
#else
enum { STEPS = 14 };
#endif
enum {
    SCRIPTS = 8,
    FEW = 5,    /* unsynced sectors up to which all 3^n are tried */
    MOST = 12,  /* and the most of which all 2^n are */
    SAMPLE = 6, /* images where not all are tried */
    DEPTH = 3,  /* a crash, a crash in its recovery, a crash in that one's */
};

/* What the log was told and said, and where a replay of it starts. */
typedef struct world {
    hf_simulated *disk;
    hf_wal *wal;
    kit_list tried;
    size_t committed;         /* of `tried`, from its start */
    hf_wal_position position; /* of the last checkpoint */
    size_t first;             /* of `tried` that a replay from there gives */
    uint64_t next_epoch;
    uint64_t seed, state;
    uint64_t operation; /* of the script */
    bool quiet;         /* no images */
} world;

static struct { uint64_t images[DEPTH], all_of_three, all_of_two, samples, operations; } counted;
static bool exhaustive;
static uint64_t script; /* its seed */

#define MUST(condition, ...)                                                                                           \
    ((condition) ? (void)0                                                                                             \
                 : (fprintf(stderr, "HF_SEED=%llu HF_ROUNDS=1, operation %llu: ", (unsigned long long)script,          \
                            (unsigned long long)at_operation),                                                         \
                    kit_fail(__LINE__, #condition, __VA_ARGS__)))
static uint64_t at_operation;

/* ---- an image is checked ----------------------------------------------------------------------------------------- */

static void crash_recovery(hf_simulated *disk, const world *w, unsigned depth, uint64_t seed);

/* What the recovery found is what was committed, and at most the one epoch more that was being committed. */
static void check_found(const world *w, const kit_list *list, const hf_wal_found *found) {
    size_t due = w->committed - w->first;
    MUST(kit_continues(list, &w->tried, w->first), "%zu epochs that are not those that were tried", list->count);
    MUST(list->count >= due, "%zu epochs of %zu committed ones", list->count, due);
    MUST(list->count <= due + 1, "%zu epochs, %zu were committed", list->count, due);
    uint64_t below = w->position.epoch > 0 ? w->position.epoch - 1 : 0;
    uint64_t last = list->count > 0 ? list->epochs[list->count - 1] : below;
    MUST(found->last_epoch == last, "last epoch %llu", (unsigned long long)found->last_epoch);
    MUST(found->highest_seen >= last && found->highest_seen < w->next_epoch + 8, "highest seen");
}

static void check_again(hf_simulated *image, const world *w, const kit_list *first) {
    static const char *const left_out[] = {"LOCK", "durable", NULL};
    hf_simulated *before = hf_simulated_crash(image, HF_CRASH_KEEP, 0);
    hf_wal *wal;
    hf_wal_found found;
    kit_list second;
    MUST(kit_open(image, &w->position, &wal, &second, &found) == HF_SUCCESS, "again: %s", hf_error_detail());
    MUST(found.cut_bytes == 0 && second.count == first->count && kit_is_prefix(&second, first), "another state");
    hf_wal_close(wal);
    const char *differs = hf_simulated_differ(before, image, left_out);
    MUST(differs == NULL, "a second recovery changed %s", differs);
    hf_simulated_free(before);
}

/* Perhaps over another power loss, and perhaps into the segments that the recovery made spare again. */
static void check_going_on(hf_simulated *image, const world *w, const kit_list *list, uint64_t seed) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list after;
    uint64_t state = seed;
    hf_simulated *disk = hf_simulated_crash(image, kit_below(&state, 2) ? HF_CRASH_DROP : HF_CRASH_MIX, seed);
    MUST(kit_open(disk, &w->position, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
    MUST(found.cut_bytes == 0, "a tail that was cut is there again after a power loss");
    for (uint64_t i = 1; i <= 3; i++) {
        size_t length = (size_t)kit_below(&state, kit_below(&state, 4) == 0 ? 150000 : 9000);
        MUST(kit_append(wal, found.highest_seen + i, length) == HF_SUCCESS, "%s", hf_error_detail());
    }
    hf_simulated *later = hf_simulated_crash(disk, HF_CRASH_DROP, seed);
    hf_wal_close(wal);
    MUST(kit_open(later, &w->position, &wal, &after, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    MUST(after.count == list->count + 3 && kit_is_prefix(list, &after), "%zu epochs and 3 more gave %zu", list->count,
         after.count);
    hf_wal_close(wal);
    hf_simulated_free(later);
    hf_simulated_free(disk);
}

static void check_image(hf_simulated *image, const world *w, unsigned depth, uint64_t seed, bool was_killed) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list seen, list;
    uint64_t dice = seed * 31 + depth;
    counted.images[depth]++;
    /* A read-only look syncs what nobody vouches for; after a kill that would change the image. */
    int looked = was_killed ? HF_ENOTFOUND : kit_open_read_only(image, &w->position, &seen, NULL);
    MUST(looked == HF_SUCCESS || (looked == HF_ENOTFOUND && (was_killed || w->committed == 0)), "read-only: %s",
         hf_error_detail());
    bool nest = depth + 1 < DEPTH && kit_below(&dice, depth == 0 ? 60 : 400) == 0;
    hf_simulated *before = nest ? hf_simulated_crash(image, HF_CRASH_KEEP, 0) : NULL;
    int error = kit_open(image, &w->position, &wal, &list, &found);
    MUST(error == HF_SUCCESS, "%s: %s", hf_error_name(error), hf_error_detail());
    hf_wal_close(wal);
    check_found(w, &list, &found);
    MUST(looked != HF_SUCCESS || (seen.count == list.count && kit_is_prefix(&seen, &list)),
         "a read-only look saw %zu epochs, the recovery kept %zu", seen.count, list.count);
    check_again(image, w, &list);
    if (kit_below(&dice, 8) == 0) {
        check_going_on(image, w, &list, kit_next(&dice));
    }
    if (nest && (found.cut_bytes > 0 || kit_below(&dice, 8) == 0)) {
        crash_recovery(before, w, depth + 1, kit_next(&dice));
    }
    hf_simulated_free(before);
}

/* ---- images are made --------------------------------------------------------------------------------------------- */

static void crash_as(hf_simulated *disk, const world *w, unsigned depth, unsigned changes, const hf_fate *fates,
                     uint64_t seed) {
    hf_simulated *image = hf_simulated_crash_as(disk, changes, fates, seed);
    check_image(image, w, depth, seed, false);
    hf_simulated_free(image);
}

/* The number's digits to this base are the sectors' fates. */
static void set_fates(hf_fate *fates, size_t n, uint64_t number, unsigned base) {
    for (size_t i = 0; i < n; i++) {
        fates[i] = (hf_fate)(number % base);
        number /= base;
    }
}

static uint64_t power(uint64_t base, size_t n) {
    uint64_t result = 1;
    for (size_t i = 0; i < n; i++) {
        result *= base;
    }
    return result;
}

static void crash_with_names(hf_simulated *disk, const world *w, unsigned changes, uint64_t *state) {
    size_t n = hf_simulated_unsynced(disk, changes);
    hf_fate *fates = malloc((n + 1) * sizeof fates[0]);
    MUST(fates != NULL, "memory");
    bool three = n <= FEW || (exhaustive && n <= MOST);
    bool two = !three && n <= MOST && n == 6 + w->seed % 7;
    uint64_t images = three ? power(3, n) : two ? power(2, n) : 0;
    for (uint64_t i = 0; i < images; i++) {
        set_fates(fates, n, i, three ? 3 : 2);
        crash_as(disk, w, 0, changes, fates, kit_next(state));
    }
    for (uint64_t i = 0; !three && i < SAMPLE + 2; i++) {
        for (size_t s = 0; s < n; s++) { /* the first two: all dropped, all kept */
            uint64_t choice = kit_below(state, 16);
            fates[s] = i < 2         ? (hf_fate)i
                       : choice < 9  ? HF_SECTOR_KEPT
                       : choice < 15 ? HF_SECTOR_DROPPED
                                     : HF_SECTOR_GARBLED;
        }
        crash_as(disk, w, 0, changes, fates, kit_next(state));
    }
    counted.all_of_three += three;
    counted.all_of_two += two;
    counted.samples += !three && !two;
    free(fates);
}

/* After each operation of the script. */
static void watch_script(void *context, hf_simulated *disk) {
    world *w = context;
    w->operation++;
    if (w->quiet) {
        return;
    }
    at_operation = w->operation;
    counted.operations++;
    uint64_t state = w->seed * 1000003 + w->operation;
    for (unsigned changes = 0; changes <= hf_simulated_changes(disk); changes++) {
        crash_with_names(disk, w, changes, &state);
    }
    hf_simulated *image = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    check_image(image, w, 0, kit_next(&state), true);
    hf_simulated_free(image);
}

typedef struct recovery_watch {
    const world *w;
    unsigned depth;
    uint64_t state;
} recovery_watch;

/* After each operation of a recovery. */
static void watch_recovery(void *context, hf_simulated *disk) {
    recovery_watch *r = context;
    static const hf_crash kinds[] = {HF_CRASH_DROP, HF_CRASH_KEEP, HF_CRASH_MIX, HF_CRASH_MIX};
    for (int i = 0; i < 4; i++) {
        uint64_t seed = kit_next(&r->state);
        hf_simulated *image = hf_simulated_crash(disk, kinds[i], seed);
        check_image(image, r->w, r->depth, seed, kinds[i] == HF_CRASH_KEEP);
        hf_simulated_free(image);
    }
}

static void crash_recovery(hf_simulated *disk, const world *w, unsigned depth, uint64_t seed) {
    recovery_watch r = {.w = w, .depth = depth, .state = seed};
    hf_wal *wal;
    hf_simulated_watch(disk, HF_CALLS_THAT_CHANGE | HF_WATCH_AFTER, watch_recovery, &r);
    MUST(kit_open(disk, &w->position, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    hf_simulated_watch(disk, 0, NULL, NULL);
    hf_wal_close(wal);
}

/* ---- the script -------------------------------------------------------------------------------------------------- */

static void take_disk(world *w, hf_simulated *disk) {
    hf_wal_close(w->wal);
    w->wal = NULL;
    hf_simulated_free(w->disk);
    w->disk = disk;
    hf_simulated_watch(disk, HF_CALLS_THAT_CHANGE | HF_WATCH_AFTER, watch_script, w);
}

/* The log as it is found is what was tried and committed, from here on. */
static void open_world(world *w) {
    hf_wal_found found;
    kit_list list;
    MUST(kit_open(w->disk, &w->position, &w->wal, &list, &found) == HF_SUCCESS, "%s", hf_error_detail());
    check_found(w, &list, &found);
    w->tried.count = w->committed = w->first + list.count;
    w->next_epoch = found.highest_seen + 1;
}

static size_t length_of_epoch(uint64_t *state) {
    static const size_t most[] = {1, 350, 800, 2500, 5800, 5800, 30000, 150000, 270000};
    return (size_t)kit_below(state, most[kit_below(state, sizeof most / sizeof most[0])]);
}

static void append(world *w) {
    w->next_epoch += kit_below(&w->state, 4) == 0 ? kit_below(&w->state, 5) : 0;
    size_t length = length_of_epoch(&w->state);
    w->tried.epochs[w->tried.count] = w->next_epoch;
    w->tried.lengths[w->tried.count++] = length;
    MUST(kit_append(w->wal, w->next_epoch++, length) == HF_SUCCESS, "%s", hf_error_detail());
    w->committed = w->tried.count;
}

/* A checkpoint that is durable at once: what is replayed from now on starts at it, and older segments may go. */
static void checkpoint(world *w) {
    hf_wal_position position = {.epoch = w->next_epoch, .generation = hf_wal_generation(w->wal)};
    size_t first = w->tried.count;
    append(w);
    position.durable = hf_wal_committed(w->wal);
    w->position = position;
    w->first = first;
    MUST(hf_wal_release(w->wal, position.generation) == HF_SUCCESS, "%s", hf_error_detail());
}

static void step(world *w) {
    uint64_t dice = kit_below(&w->state, 20);
    if (dice < 11) {
        append(w);
    } else if (dice < 13) {
        MUST(hf_wal_prepare(w->wal, 1 + (unsigned)kit_below(&w->state, 2)) >= 0, "%s", hf_error_detail());
    } else if (dice < 14) {
        hf_wal_mark_durable(w->wal, w->next_epoch++);
    } else if (dice < 16) {
        checkpoint(w);
    } else if (dice < 17) {
        hf_wal_close(w->wal);
        w->wal = NULL;
        open_world(w);
    } else {
        hf_crash kind = dice < 19 ? HF_CRASH_KEEP : HF_CRASH_MIX;
        take_disk(w, hf_simulated_crash(w->disk, kind, kit_next(&w->state)));
        open_world(w);
    }
}

static void run_script(uint64_t seed) {
    static world w;
    w = (world){.seed = seed, .state = seed, .next_epoch = 1};
    script = seed;
    take_disk(&w, hf_simulated_new());
    open_world(&w);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
    }
    hf_simulated_watch(w.disk, 0, NULL, NULL);
    hf_wal_close(w.wal);
    hf_simulated_free(w.disk);
}

int main(void) {
    uint64_t seed = kit_seed(1), rounds = kit_rounds(SCRIPTS);
    exhaustive = getenv("HF_EXHAUSTIVE") != NULL;
    for (uint64_t i = 0; i < rounds; i++) {
        run_script(seed + i);
    }
    printf(
        "wal_crash: %llu images: %llu at %llu operations of %llu scripts, %llu of crashes in their recoveries, %llu of "
        "crashes in those ones'; all 3^n at %llu places, all 2^n at %llu, a sample at %llu (HF_SEED=%llu)\n",
        (unsigned long long)(counted.images[0] + counted.images[1] + counted.images[2]),
        (unsigned long long)counted.images[0], (unsigned long long)counted.operations, (unsigned long long)rounds,
        (unsigned long long)counted.images[1], (unsigned long long)counted.images[2],
        (unsigned long long)counted.all_of_three, (unsigned long long)counted.all_of_two,
        (unsigned long long)counted.samples, (unsigned long long)seed);
    return 0;
}
