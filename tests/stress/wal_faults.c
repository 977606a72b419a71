/* Every call fails: the n-th call of each kind that the log makes of the disk, and the n-th piece of memory it asks
 * for, once and from then on, with n raised until a run is clean.
 *
 * Guarantees, whatever fails
 *   A  No crash, no hang; an error has its code and fresh words. What was not damaged is never called damaged.
 *   B  A failed write or sync of the log is its last act: every later call answers HF_EPOISONED, and makes no further
 *      call of the disk.
 *   C  Nothing is left behind: no open file, no mapping, no memory (AddressSanitizer looks at that), no lock.
 *   D  When nothing fails any more, the log opens again, at once and after a power loss, with every committed epoch.
 *      What a failed sync dropped stays dropped, though the next sync says success.
 *   E  What a reader told before or after, is durable.
 *
 * Kinds of failure: EIO, ENOSPC, EINTR, and half of what was asked, for reads and writes; once, and for ever.
 *
 * The library's memory comes through tests/support/failing_memory.c; that of the simulated disk and of this program does
 * not. */
#include "tests/support/failing_memory.c"

#define KIT_PLAIN
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/atomic.h"
#include "wal/error.h"

#if defined(HF_TSAN)
enum { STRIDE = 47 }; /* every so many n */
#elif defined(KIT_SLOW)
enum { STRIDE = 5 };
#else
enum { STRIDE = 1 };
#endif

/* ---- a log to begin with, and what is known of it ---------------------------------------------------------------- */

typedef struct world {
    const char *name;
    hf_simulated *disk;
    kit_list tried;
    size_t committed; /* of `tried` */
    size_t told;      /* of `tried`, by a reader */
    size_t first;     /* of `tried` that a replay from `position` gives */
    hf_wal_position position;
    uint64_t next;
    bool fails; /* something did */
} world;

static char what[200];
#define MUST(condition, ...)                                                                                           \
    ((condition) ? (void)0 : (fprintf(stderr, "%s: ", what), kit_fail(__LINE__, #condition, __VA_ARGS__)))

static void try_epoch(world *w, size_t length) {
    w->tried.epochs[w->tried.count] = w->next++;
    w->tried.lengths[w->tried.count++] = length;
}

static void must_append(world *w, hf_wal *wal, size_t length) {
    try_epoch(w, length);
    MUST(kit_append(wal, w->next - 1, length) == HF_SUCCESS, "%s", hf_error_detail());
    w->committed = w->tried.count;
}

static const uint8_t bytes_[300000];

/* Epochs, then one that is left half written over three segments; a cut file, a spare, something half made. */
static void make_torn(world *w) {
    hf_wal *wal;
    for (int round = 0; round < 2; round++) {
        hf_wal_found found;
        MUST(kit_open(w->disk, NULL, &wal, NULL, &found) == HF_SUCCESS, "%s", hf_error_detail());
        w->next = found.highest_seen + 1;
        must_append(w, wal, 3000);
        must_append(w, wal, round == 0 ? 90000 : 500);
        w->next++;
        MUST(hf_wal_begin(wal, w->next, 1, 1) == HF_SUCCESS && hf_wal_put(wal, bytes_, sizeof bytes_) == HF_SUCCESS,
             "%s", hf_error_detail());
        MUST(hf_wal_prepare(wal, 1) >= 0, "%s", hf_error_detail());
        hf_wal_close(wal);
    }
    w->next += 2;
    const hf_files *files = hf_simulated_files(w->disk);
    files->close(files->context, files->open(files->context, KIT_DIRECTORY "/checkpoint-1.tmp", HF_OPEN_CREATE));
    files->close(files->context, files->open(files->context, KIT_DIRECTORY "/spare-00000000000000ff", HF_OPEN_CREATE));
}

/* A checkpoint points at a segment in which nothing stands yet: the chain goes on from the one before. */
static void make_chained(world *w) {
    hf_wal *wal;
    MUST(kit_open(w->disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    must_append(w, wal, 70000);
    must_append(w, wal, 20000);
    MUST(hf_wal_begin(wal, ++w->next, 1, 1) == HF_SUCCESS && hf_wal_put(wal, bytes_, 40000) == HF_SUCCESS, "%s",
         hf_error_detail());
    MUST(hf_wal_generation(wal) == 2, "a new segment");
    hf_wal_close(wal);
    w->next++;
    w->position = (hf_wal_position){.epoch = w->next, .generation = 2};
    w->first = w->tried.count;
}

static void make_nothing(world *w) { (void)w; }

/* A torn epoch longer than what is read or copied at once; nobody vouches for the one before it. */
static void make_long(world *w) {
    hf_wal *wal;
    kit_segment_bytes = 768 << 10;
    MUST(kit_open(w->disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    must_append(w, wal, 300000);
    MUST(hf_wal_begin(wal, w->next, 1, 1) == HF_SUCCESS, "%s", hf_error_detail());
    for (int i = 0; i < 3; i++) {
        MUST(hf_wal_put(wal, bytes_, sizeof bytes_) == HF_SUCCESS, "%s", hf_error_detail());
    }
    hf_wal_close(wal);
    kit_segment_bytes = KIT_SEGMENT;
    hf_simulated_remove(w->disk, KIT_DIRECTORY "/durable");
    w->next += 2;
}

/* A segment that was taken into use and not yet written, behind one with much room left, and a stray byte far behind.
 */
static void make_roomy(world *w) {
    hf_wal *wal;
    kit_segment_bytes = 768 << 10;
    MUST(kit_open(w->disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    must_append(w, wal, 3000);
    MUST(hf_wal_prepare(wal, 1) == 1, "%s", hf_error_detail());
    hf_wal_close(wal);
    kit_segment_bytes = KIT_SEGMENT;
    const hf_files *files = hf_simulated_files(w->disk);
    MUST(files->rename(files->context, "/log/spare-0000000000000002", kit_segment(2)) == 0, "rename");
    MUST(hf_simulated_poke(w->disk, kit_segment(1), (768 << 10) - 100, "x", 1), "poke");
}

static void make_world(world *w, const char *name, void (*make)(world *w)) {
    *w = (world){.name = name, .disk = hf_simulated_new(), .next = 1};
    snprintf(what, sizeof what, "%s", name);
    make(w);
    MUST(hf_simulated_held(w->disk) == 0, "held");
    /* As a power loss leaves it, so that no call of the run is needed to make it durable. */
    hf_simulated *left = hf_simulated_crash(w->disk, HF_CRASH_MIX, 1);
    hf_simulated *whole = hf_simulated_crash(w->disk, HF_CRASH_KEEP, 1);
    hf_simulated_free(left);
    hf_simulated_free(w->disk);
    w->disk = whole;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* Takes note of an answer. */
static bool good(world *w, int result) {
    if (result >= 0) {
        return true;
    }
    w->fails = true;
    MUST(hf_error_detail()[0] != 0, "an error without words: %s", hf_error_name(result));
    MUST(result == HF_EIO || result == HF_ENOMEM || result == HF_EPOISONED, "%s: %s", hf_error_name(result),
         hf_error_detail());
    hf_error_keep("");
    return false;
}

/* After a failed commit: the log does nothing any more. */
static void must_be_poisoned(world *w, hf_wal *wal, int error) {
    MUST(error == HF_EPOISONED, "%s", hf_error_name(error));
    uint64_t before = hf_simulated_operations(w->disk);
    MUST(hf_wal_begin(wal, w->next + 5, 1, 1) == HF_EPOISONED && hf_wal_put(wal, "x", 1) == HF_EPOISONED, "begin, put");
    MUST(hf_wal_commit(wal) == HF_EPOISONED && hf_wal_prepare(wal, 9) == HF_EPOISONED, "commit, prepare");
    MUST(hf_wal_release(wal, 9) == HF_EPOISONED && hf_wal_sync_directory(wal) == HF_EPOISONED, "release, sync");
    hf_wal_mark_durable(wal, w->next + 5);
    MUST(hf_simulated_operations(w->disk) == before, "a call after the failure");
    hf_error_keep("");
}

static bool append(world *w, hf_wal *wal, size_t length) {
    try_epoch(w, length);
    int error = kit_append(wal, w->next - 1, length);
    if (error != HF_SUCCESS) {
        good(w, error);
        must_be_poisoned(w, wal, error);
        return false;
    }
    w->committed = w->tried.count;
    return true;
}

/* A piece of everything. Failures that poison nothing are passed over. */
static void write_some(world *w, hf_wal *wal) {
    static const size_t lengths[] = {500, 60000, 200000, 0, 9000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        if (!append(w, wal, lengths[i])) {
            return;
        }
        if (i == 1 && !good(w, hf_wal_prepare(wal, 2)) && hf_wal_begin(wal, 1, 1, 1) == HF_EPOISONED) {
            must_be_poisoned(w, wal, HF_EPOISONED);
            return;
        }
        if (i == 3 && w->position.epoch == 0) {
            hf_wal_mark_durable(wal, w->next++);
            w->first = w->tried.count - 1;
            w->position = (hf_wal_position){.epoch = w->tried.epochs[w->first],
                                            .generation = hf_wal_generation(wal),
                                            .durable = hf_wal_committed(wal)};
            good(w, hf_wal_release(wal, w->position.generation));
        }
        if (i == 3 && !good(w, hf_wal_sync_directory(wal))) {
            must_be_poisoned(w, wal, HF_EPOISONED);
            return;
        }
    }
}

/* What a reader tells is what was tried, and is there for ever. */
static void take_note(world *w, const kit_list *list, size_t first) {
    MUST(kit_continues(list, &w->tried, first), "a reader saw other epochs");
    w->told = first + list->count > w->told ? first + list->count : w->told;
}

/* A follower that is asked again after a failure goes on where it was. */
static void follow_some(world *w) {
    hf_follow *follow = NULL;
    hf_wal_epoch epoch;
    kit_list list = {.count = 0};
    int error = HF_SUCCESS, failures = 0;
    do {
        error = hf_follow_open(KIT_DIRECTORY, hf_simulated_files(w->disk), w->tried.epochs[w->first], &follow);
    } while (error != HF_SUCCESS && !good(w, error) && ++failures < 3);
    while (follow != NULL && (error = hf_follow_next(follow, &epoch)) != 0 && failures < 3) {
        if (good(w, error)) {
            kit_collect(&list, &epoch);
        } else {
            failures++;
        }
    }
    take_note(w, &list, w->first);
    hf_follow_close(follow);
}

static void read_some(world *w) {
    kit_list list;
    int error = kit_open_read_only(w->disk, &w->position, &list, NULL);
    good(w, error);
    take_note(w, &list, w->first);
    follow_some(w);
}

static bool has_log(const world *w) { return w->tried.count > w->first; }

static void run(world *w) {
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    hf_error_keep("");
    if (has_log(w)) {
        read_some(w);
    }
    MUST(hf_simulated_held(w->disk) == 0, "%u are held by readers", hf_simulated_held(w->disk));
    int error = kit_open(w->disk, &w->position, &wal, &list, &found);
    MUST(kit_continues(&list, &w->tried, w->first), "other epochs");
    if (good(w, error)) {
        w->next = found.highest_seen + 1;
        write_some(w, wal);
    }
    hf_wal_close(wal);
    MUST(hf_simulated_held(w->disk) == 0, "%u files and mappings are still held", hf_simulated_held(w->disk));
    if (w->committed > w->first) {
        read_some(w);
    }
    MUST(hf_simulated_held(w->disk) == 0, "%u are held by readers", hf_simulated_held(w->disk));
}

static struct { uint64_t runs, failed, memory; } counted;

/* Nothing fails any more. */
static void check_left(const world *w, hf_crash crash) {
    hf_simulated *image = hf_simulated_crash(w->disk, crash, 77);
    size_t due = (w->told > w->committed ? w->told : w->committed) - w->first;
    hf_wal *wal;
    hf_wal_found found;
    kit_list list;
    MUST(kit_open(image, &w->position, &wal, &list, &found) == HF_SUCCESS, "afterwards, crash %d: %s", crash,
         hf_error_detail());
    MUST(kit_continues(&list, &w->tried, w->first), "afterwards, crash %d: other epochs", crash);
    MUST(list.count >= due, "afterwards, crash %d: %zu epochs of %zu", crash, list.count, due);
    MUST(kit_append(wal, found.highest_seen + 1, counted.runs % 8 == 0 ? 150000 : 3000) == HF_SUCCESS, "%s",
         hf_error_detail());
    hf_simulated *later = hf_simulated_crash(image, HF_CRASH_DROP, 0);
    hf_wal_close(wal);
    size_t before = list.count;
    MUST(kit_open(later, &w->position, &wal, &list, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    MUST(list.count == before + 1, "afterwards, crash %d: it did not go on", crash);
    hf_wal_close(wal);
    hf_simulated_free(later);
    hf_simulated_free(image);
}

/* ---- everything fails in turn ------------------------------------------------------------------------------------ */

static world copy_world(const world *from) {
    world w = *from;
    w.disk = hf_simulated_crash(from->disk, HF_CRASH_KEEP, 0);
    return w;
}

static void end_run(world *w) {
    hf_simulated_fault(w->disk, 0, 0, 0, 0);
    watched.kinds = 0;
    check_left(w, HF_CRASH_KEEP);
    check_left(w, counted.runs % 2 == 0 ? HF_CRASH_DROP : HF_CRASH_MIX);
    counted.runs++;
    counted.failed += w->fails;
    hf_simulated_free(w->disk);
}

/* False once the run no longer comes to the n-th call. */
static bool fail_call(const world *from, unsigned kind, uint64_t n, bool for_ever, int result) {
    world w = copy_world(from);
    snprintf(what, sizeof what, "%s: call %llu of kind %u answers %d%s", from->name, (unsigned long long)n, kind,
             result, for_ever ? " and all after it" : "");
    hf_simulated_fault(w.disk, 1u << kind, n, for_ever ? UINT64_MAX : 1, result);
    run(&w);
    bool reached = hf_simulated_calls(w.disk) >= n;
    MUST(reached || !w.fails, "a failure without one: %s", hf_error_detail());
    end_run(&w);
    return reached;
}

static void fail_calls(const world *from, unsigned kinds) {
    static const int results[] = {-EIO, -ENOSPC, -EINTR, HF_SHORT};
    for (unsigned kind = 0; kind < HF_CALL_KINDS; kind++) {
        if ((kinds & 1u << kind) == 0) {
            continue;
        }
        bool moves_bytes = ((1u << kind) & (HF_CALL_READ | HF_CALL_WRITE)) != 0;
        for (size_t r = 0; r < (moves_bytes ? 4 : 3); r++) {
            for (int for_ever = 0; for_ever < 2; for_ever++) {
                uint64_t n = 1;
                while (fail_call(from, kind, n, for_ever, results[r])) {
                    n += STRIDE;
                }
            }
        }
    }
}

static bool fail_memory(const world *from, uint64_t n, bool for_ever) {
    world w = copy_world(from);
    snprintf(what, sizeof what, "%s: allocation %llu fails%s", from->name, (unsigned long long)n,
             for_ever ? " and all after it" : "");
    memory_fail(MEMORY_HEAP, n, for_ever ? UINT64_MAX : 1);
    run(&w);
    bool reached = memory_failed();
    MUST(reached == w.fails, "memory was missing, and nobody said so");
    end_run(&w);
    counted.memory++;
    return reached;
}

int main(void) {
    static const struct {
        const char *name;
        void (*make)(world *w);
        unsigned kinds;
    } worlds[] = {{"a new log", make_nothing, HF_CALLS},
                  {"a torn log", make_torn, HF_CALLS},
                  {"an empty last segment", make_chained, HF_CALLS},
                  {"a long torn epoch", make_long, HF_CALL_READ},
                  {"a stray byte", make_roomy, HF_CALL_READ}};
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++) {
        static world w;
        make_world(&w, worlds[i].name, worlds[i].make);
        fail_calls(&w, worlds[i].kinds);
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            uint64_t n = 1;
            while (fail_memory(&w, n, for_ever)) {
                n += STRIDE;
            }
        }
        hf_simulated_free(w.disk);
    }
    printf("wal_faults: %llu runs, in %llu of them somebody was told of a failure; %llu of them lacked memory; every "
           "n-th is tried, n = %d\n",
           (unsigned long long)counted.runs, (unsigned long long)counted.failed, (unsigned long long)counted.memory,
           STRIDE);
    return 0;
}
