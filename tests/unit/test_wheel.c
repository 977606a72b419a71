/* The timing wheel against a plain array: random adds, takes, deaths and compactions, edge times, memory that runs out,
 * and what it promises about work and memory, counted.
 *
 * HF_SEED=n runs the random test with that seed alone. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wheel.h"

static void fail(int line, const char *what, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
static void fail(int line, const char *what, const char *format, ...) {
    char found[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found, sizeof found, format, arguments);
    va_end(arguments);
    cr_assert_fail("line %d: %s: %s", line, what, found);
    abort();
}

/* Criterion reports each passed assertion to its parent process: too slow for loops. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__LINE__, #condition, __VA_ARGS__);                                                                   \
    } while (0)

#define NEAR_2024 UINT64_C(1704067200000)
#define YEAR (UINT64_C(366) * 24 * 3600 * 1000)

/* ---- memory that runs out when told ------------------------------------------------------------------------------ */

static uint64_t allocations, bytes_out;
static int64_t allocations_left = -1; /* until they fail, for good; -1: they never do */

static void *allocate(size_t alignment, size_t bytes) {
    allocations++;
    if (allocations_left == 0)
        return NULL;
    if (allocations_left > 0)
        allocations_left--;
    char *memory = aligned_alloc(alignment, bytes + 64);
    memcpy(memory, &bytes, sizeof bytes);
    bytes_out += bytes;
    return memory + 64;
}

static void release(void *memory) {
    size_t bytes;
    memcpy(&bytes, (char *)memory - 64, sizeof bytes);
    bytes_out -= bytes;
    free((char *)memory - 64);
}

static void set_up(void) {
    allocations = 0;
    allocations_left = -1;
    hf_wheel_allocate = allocate;
    hf_wheel_release = release;
}

static void tear_down(void) { CHECK(bytes_out == 0, "%" PRIu64 " bytes were never given back", bytes_out); }

TestSuite(wheel, .init = set_up, .fini = tear_down);

/* ---- the model --------------------------------------------------------------------------------------------------- */

enum { MODEL_ROOM = 1 << 16, INSIDE_MOST = 4000 };

typedef struct model {
    hf_wheel *wheel;
    uint64_t seed, random;
    uint64_t now;              /* the newest time a take was given */
    bool settled;              /* the last take was not out of room: nothing is between position and now */
    uint64_t time[MODEL_ROOM]; /* of each slot number ever used */
    uint32_t sequence[MODEL_ROOM];
    bool dead[MODEL_ROOM];
    uint32_t where[MODEL_ROOM]; /* index in `inside`; UINT32_MAX: not in the wheel */
    uint32_t slots;
    uint32_t inside[MODEL_ROOM];
    uint32_t count;
    uint64_t dead_inside, uncounted; /* uncounted: died, and the wheel is told later */
    uint64_t compactions;
} model;

static uint64_t random_number(model *m) { /* SplitMix64 */
    uint64_t x = m->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t below(model *m, uint64_t limit) { return random_number(m) % limit; }

static uint64_t later(uint64_t time, uint64_t by) { return time > UINT64_MAX - by ? UINT64_MAX : time + by; }

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

static model *model_new(uint64_t seed, uint64_t now) {
    model *m = calloc(1, sizeof *m);
    m->seed = m->random = seed;
    m->now = now;
    m->settled = true;
    m->wheel = hf_wheel_new(now);
    CHECK(m->wheel, "no wheel");
    return m;
}

static void model_free(model *m) {
    hf_wheel_free(m->wheel);
    free(m);
}

/* What the wheel was told to hold, if it takes it. */
static bool model_add(model *m, uint64_t time) {
    uint32_t slot = m->slots;
    CHECK(slot < MODEL_ROOM, "the test needs more room");
    uint32_t sequence = (uint32_t)random_number(m);
    if (!hf_wheel_add(m->wheel, (hf_wheel_entry){time, slot, sequence}))
        return false;
    m->slots++;
    m->time[slot] = time;
    m->sequence[slot] = sequence;
    m->where[slot] = m->count;
    m->inside[m->count++] = slot;
    return true;
}

static void model_remove(model *m, uint32_t slot) {
    uint32_t hole = m->where[slot], last = m->inside[--m->count];
    m->inside[hole] = last;
    m->where[last] = hole;
    m->where[slot] = UINT32_MAX;
    m->dead_inside -= m->dead[slot];
}

static void model_know(model *m, hf_wheel_entry entry) {
    CHECK(entry.slot < m->slots && m->where[entry.slot] != UINT32_MAX, "seed %" PRIu64 ": slot %u is not inside",
          m->seed, entry.slot);
    CHECK(m->time[entry.slot] == entry.time_ms && m->sequence[entry.slot] == entry.sequence,
          "seed %" PRIu64 ": slot %u came out changed", m->seed, entry.slot);
}

static uint64_t model_due(const model *m) {
    uint64_t due = 0;
    for (uint32_t i = 0; i < m->count; i++)
        due += m->time[m->inside[i]] <= m->now;
    return due;
}

static size_t model_take(model *m, uint64_t now, size_t room) {
    static hf_wheel_entry out[MODEL_ROOM];
    m->now = m->now > now ? m->now : now;
    size_t taken = hf_wheel_take(m->wheel, now, out, room);
    CHECK(taken <= room, "seed %" PRIu64 ": %zu of %zu", m->seed, taken, room);
    for (size_t i = 0; i < taken; i++) {
        model_know(m, out[i]);
        CHECK(out[i].time_ms <= m->now, "seed %" PRIu64 ": handed out %" PRIu64 " ms early", m->seed,
              out[i].time_ms - m->now);
        if (m->dead[out[i].slot])
            hf_wheel_met_dead(m->wheel);
        model_remove(m, out[i].slot);
    }
    m->settled = taken < room;
    uint64_t due = model_due(m);
    CHECK(taken == room || due == 0, "seed %" PRIu64 ": %" PRIu64 " due ones not handed out at %" PRIu64, m->seed, due,
          m->now);
    return taken;
}

static void model_kill(model *m, uint32_t slot, bool count_now) {
    m->dead[slot] = true;
    m->dead_inside++;
    if (count_now)
        hf_wheel_count_dead(m->wheel);
    else
        m->uncounted++;
}

static bool model_is_dead(void *context, hf_wheel_entry entry) {
    model *m = context;
    model_know(m, entry);
    return m->dead[entry.slot];
}

static void model_compact(model *m) {
    hf_wheel_compact(m->wheel, model_is_dead, m, NULL);
    m->compactions++;
    for (uint32_t i = m->count; i-- > 0;)
        if (m->dead[m->inside[i]])
            model_remove(m, m->inside[i]);
    CHECK(!hf_wheel_wants_compaction(m->wheel), "seed %" PRIu64 ": not content with a compaction", m->seed);
}

/* hf_wheel_next is the beginning of the bucket that the earliest time is in. */
static void model_check_next(const model *m) {
    uint64_t first = UINT64_MAX, next = hf_wheel_next(m->wheel);
    for (uint32_t i = 0; i < m->count; i++)
        first = min(first, m->time[m->inside[i]]);
    CHECK(next <= first, "seed %" PRIu64 ": next %" PRIu64 " is later than %" PRIu64, m->seed, next, first);
    if (m->count == 0)
        CHECK(next == UINT64_MAX, "seed %" PRIu64 ": next %" PRIu64 " of an empty wheel", m->seed, next);
    else if (m->settled && first <= m->now)
        CHECK(next == 0, "seed %" PRIu64 ": next %" PRIu64 " with something due", m->seed, next);
    else if (m->settled) {
        uint64_t bucket = 1;
        while (bucket < UINT64_C(1) << 40 && first / bucket / 256 != m->now / bucket / 256)
            bucket *= 256;
        CHECK(next == first / bucket * bucket, "seed %" PRIu64 ": next %" PRIu64 " for %" PRIu64 " at %" PRIu64,
              m->seed, next, first, m->now);
    }
}

static void model_check(const model *m) {
    const char *why;
    CHECK(hf_wheel_is_valid(m->wheel, &why), "seed %" PRIu64 ": %s", m->seed, why);
    hf_wheel_gauges gauges;
    hf_wheel_gauges_read(m->wheel, &gauges);
    CHECK(gauges.entries == m->count, "seed %" PRIu64 ": %" PRIu64 " entries, not %u", m->seed, gauges.entries,
          m->count);
    uint64_t told = m->dead_inside > m->uncounted ? m->dead_inside - m->uncounted : 0;
    CHECK(gauges.dead == told, "seed %" PRIu64 ": %" PRIu64 " dead, not %" PRIu64, m->seed, gauges.dead, told);
    CHECK(gauges.compactions == m->compactions, "seed %" PRIu64, m->seed);
    CHECK(gauges.bytes == bytes_out, "seed %" PRIu64 ": %" PRIu64 " bytes, not %" PRIu64, m->seed, gauges.bytes,
          bytes_out);
    model_check_next(m);
}

/* ---- random histories -------------------------------------------------------------------------------------------- */

/* A time around `now` with every distance about as likely on each scale, and boundaries more likely than chance. */
static uint64_t some_time(model *m) {
    uint64_t now = m->now;
    switch (below(m, 10)) {
    case 0:
        return now - min(now, random_number(m) >> below(m, 64));
    case 1:
        return later(now, below(m, 3));
    case 2:
        return later(now, below(m, 600));
    case 3:
    case 4: { /* the end of a bucket, of a level, of all levels, give or take one */
        uint64_t size = UINT64_C(1) << (8 * (1 + below(m, 5)));
        uint64_t edge = later(now / size * size, size * (1 + below(m, 3)));
        return later(edge - 1, below(m, 3));
    }
    case 5:
        return below(m, 8) ? later(now, YEAR * 2) : UINT64_MAX - below(m, 2);
    default:
        return later(now, random_number(m) >> (22 + below(m, 42)));
    }
}

static void some_adds(model *m) {
    uint64_t time = some_time(m);
    bool same = below(m, 3) == 0;
    for (uint64_t n = 1 + below(m, below(m, 4) ? 8 : 200); n > 0 && m->count < INSIDE_MOST && m->slots < MODEL_ROOM;
         n--) {
        CHECK(model_add(m, time), "seed %" PRIu64, m->seed);
        if (!same)
            time = some_time(m);
    }
}

static void some_take(model *m) {
    static const size_t rooms[] = {0, 1, 2, 7, 30, 31, 32, 62, 1000, MODEL_ROOM};
    uint64_t now = some_time(m);
    if (now >= UINT64_MAX - 1 && below(m, 8)) /* the end of time ends the interesting part */
        now = m->now;
    if (below(m, 4) == 0)
        now = hf_wheel_next(m->wheel) == UINT64_MAX ? now : hf_wheel_next(m->wheel);
    model_take(m, now, rooms[below(m, sizeof rooms / sizeof *rooms)]);
}

static void some_deaths(model *m) {
    for (uint64_t n = below(m, 60); n > 0 && m->count > 0; n--) {
        uint32_t slot = m->inside[below(m, m->count)];
        if (!m->dead[slot])
            model_kill(m, slot, below(m, 4) != 0);
    }
    if (below(m, 3) == 0)
        for (; m->uncounted > 0; m->uncounted--)
            hf_wheel_count_dead(m->wheel);
}

static void random_history(uint64_t seed) {
    static const uint64_t starts[] = {0,
                                      1,
                                      255,
                                      65535,
                                      NEAR_2024,
                                      NEAR_2024,
                                      (UINT64_C(1) << 40) - 1,
                                      (UINT64_C(2) << 40) - 300,
                                      UINT64_MAX - 100000};
    model *m = model_new(seed, starts[seed % (sizeof starts / sizeof *starts)]);
    unsigned takes = 5 + (unsigned)below(m, 40); /* of a hundred: some histories pile up, some stay short */
    for (unsigned step = 0; step < 400; step++) {
        unsigned what = (unsigned)below(m, 100);
        if (what < takes)
            some_take(m);
        else if (what < 80)
            some_adds(m);
        else if (what < 97)
            some_deaths(m);
        else
            model_compact(m);
        model_check(m);
    }
    while (m->count > 0) /* nothing was lost */
        CHECK(model_take(m, UINT64_MAX, 100) > 0, "seed %" PRIu64 ": %u never came out", seed, m->count);
    model_check(m);
    CHECK(bytes_out < 160 * 1024, "seed %" PRIu64 ": an empty wheel keeps %" PRIu64 " bytes", seed, bytes_out);
    model_free(m);
}

Test(wheel, random_histories_match_an_array) {
    const char *given = getenv("HF_SEED");
    if (given) {
        random_history(strtoull(given, NULL, 0));
        return;
    }
    for (uint64_t seed = 1; seed <= 600; seed++)
        random_history(seed);
}

/* ---- edges ------------------------------------------------------------------------------------------------------- */

/* Guarantee A to the millisecond, for each time around each boundary as seen from each time around each boundary. */
Test(wheel, each_boundary_is_exact) {
    static const uint64_t bases[] = {0, NEAR_2024, (UINT64_C(7) << 40) - 2};
    for (size_t base = 0; base < sizeof bases / sizeof *bases; base++) {
        for (unsigned i = 0; i < 6 * 3; i++) {
            for (unsigned j = 0; j < 6 * 3; j++) {
                uint64_t start = bases[base] + (UINT64_C(1) << (8 * (i / 3))) - 1 + i % 3;
                uint64_t time = start + (UINT64_C(1) << (8 * (j / 3))) - 1 + j % 3;
                model *m = model_new(i * 100 + j, start);
                CHECK(model_add(m, time), "add");
                CHECK(model_add(m, time), "add");
                model_check(m);
                CHECK(model_take(m, start, 9) == (time == start ? 2 : 0), "start %" PRIu64 ", time %" PRIu64, start,
                      time);
                if (time > start) {
                    CHECK(model_take(m, time - 1, 9) == 0, "start %" PRIu64 ", time %" PRIu64 ": early", start, time);
                    model_check(m);
                    CHECK(model_take(m, time, 9) == 2, "start %" PRIu64 ", time %" PRIu64 ": late", start, time);
                }
                model_check(m);
                model_free(m);
            }
        }
    }
}

Test(wheel, the_past_is_due_at_once_and_time_never_goes_back) {
    model *m = model_new(1, NEAR_2024);
    CHECK(model_add(m, 0), "add");
    CHECK(model_add(m, NEAR_2024), "add");
    CHECK(model_add(m, NEAR_2024 + 10), "add");
    CHECK(hf_wheel_next(m->wheel) == 0, "something is due");
    CHECK(model_take(m, 5, 9) == 2, "a time in the past counts as the newest seen");
    CHECK(hf_wheel_next(m->wheel) == NEAR_2024 + 10, "exact on level 0");
    CHECK(model_take(m, NEAR_2024 + 20, 9) == 1, "it is due");
    CHECK(model_add(m, NEAR_2024 + 20), "add");
    CHECK(model_take(m, 0, 9) == 1, "the newest seen is +20");
    model_free(m);
}

Test(wheel, an_entry_for_never_stays) {
    model *m = model_new(1, NEAR_2024);
    CHECK(model_add(m, UINT64_MAX), "add");
    CHECK(model_take(m, UINT64_MAX - 1, 9) == 0, "never is not yet");
    model_check(m);
    CHECK(model_take(m, UINT64_MAX, 9) == 1, "at the end of time it is due like any other");
    model_check(m);
    model_free(m);
}

/* Room runs out in the middle of a bucket; meanwhile more come in, due already, later in the same jump, and later
 * still. */
Test(wheel, slices_go_on_where_they_stopped) {
    model *m = model_new(1, NEAR_2024);
    for (unsigned i = 0; i < 1000; i++)
        CHECK(model_add(m, NEAR_2024 + 5000 + (i & 1) * 7000), "add");
    uint64_t out = 0;
    for (unsigned slice = 0; slice < 40; slice++) {
        out += model_take(m, NEAR_2024 + 20000, 7);
        model_check(m);
        CHECK(model_add(m, NEAR_2024 + slice), "add");         /* long due */
        CHECK(model_add(m, NEAR_2024 + 15000 + slice), "add"); /* due, though the wheel may not be there yet */
        CHECK(model_add(m, NEAR_2024 + 30000), "add");         /* not due */
        model_check(m);
    }
    CHECK(out == 280, "%" PRIu64, out);
    CHECK(model_take(m, NEAR_2024, 5000) == 1000 + 80 - 280, "all that is due");
    CHECK(m->count == 40, "%u", m->count);
    model_free(m);
}

Test(wheel, no_room_takes_nothing) {
    model *m = model_new(1, NEAR_2024);
    CHECK(model_add(m, NEAR_2024 + 1), "add");
    CHECK(model_take(m, NEAR_2024 + 1, 0) == 0, "no room");
    CHECK(model_take(m, 0, 1) == 1, "but time was seen");
    model_free(m);
}

Test(wheel, freeing_nothing_is_allowed) { hf_wheel_free(NULL); }

/* ---- work, counted ----------------------------------------------------------------------------------------------- */

static hf_wheel_gauges gauges_of(const hf_wheel *wheel) {
    hf_wheel_gauges gauges;
    hf_wheel_gauges_read(wheel, &gauges);
    return gauges;
}

/* Guarantee C. */
Test(wheel, a_jump_of_years_opens_only_what_holds_entries) {
    model *m = model_new(1, NEAR_2024);
    CHECK(model_take(m, NEAR_2024 + YEAR, 9) == 0, "empty");
    CHECK(gauges_of(m->wheel).opened == 0, "an empty stretch was walked");
    CHECK(model_add(m, NEAR_2024 + 3 * YEAR), "add");
    CHECK(model_take(m, NEAR_2024 + 3 * YEAR - 1, 9) == 0, "early");
    CHECK(model_take(m, NEAR_2024 + 9 * YEAR, 9) == 1, "due");
    CHECK(gauges_of(m->wheel).opened <= 5, "%" PRIu64 " buckets for one entry", gauges_of(m->wheel).opened);
    CHECK(gauges_of(m->wheel).moves <= 5, "%" PRIu64 " moves of one entry", gauges_of(m->wheel).moves);
    model_free(m);
}

/* Guarantee B: whatever steps time takes, an entry moves once per level at most, and once for each 2^40 ms it waits. */
Test(wheel, an_entry_moves_at_most_once_per_level) {
    static hf_wheel_entry out[64];
    enum { ENTRIES = 200000 };
    for (unsigned scale = 8; scale <= 44; scale += 6) {
        hf_wheel *wheel = hf_wheel_new(NEAR_2024);
        model m = {.random = scale};
        for (uint32_t i = 0; i < ENTRIES; i++)
            CHECK(hf_wheel_add(wheel, (hf_wheel_entry){NEAR_2024 + below(&m, UINT64_C(1) << scale), i, 0}), "add");
        uint64_t came = 0, takes = 0, next;
        while ((next = hf_wheel_next(wheel)) != UINT64_MAX) { /* the smallest steps that a caller led by `next` takes */
            came += hf_wheel_take(wheel, next, out, 64);
            takes++;
        }
        hf_wheel_gauges gauges = gauges_of(wheel);
        CHECK(came == ENTRIES, "scale %u: %" PRIu64, scale, came);
        uint64_t waits = scale > 40 ? UINT64_C(1) << (scale - 40) : 0;
        CHECK(gauges.moves <= (4 + waits) * ENTRIES, "scale %u: %" PRIu64 " moves", scale, gauges.moves);
        CHECK(gauges.opened <= 6 * (uint64_t)ENTRIES, "scale %u: %" PRIu64 " buckets", scale, gauges.opened);
        CHECK(takes <= gauges.opened + ENTRIES / 64 + 1, "scale %u: %" PRIu64 " takes", scale, takes);
        hf_wheel_free(wheel);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

typedef struct crowd {
    hf_wheel *wheel;
    model random;
    uint8_t *dead; /* by slot */
    uint64_t asked;
} crowd;

static bool crowd_is_dead(void *context, hf_wheel_entry entry) {
    crowd *c = context;
    c->asked++;
    return c->dead[entry.slot];
}

static void crowd_keep_promise(crowd *c) {
    if (hf_wheel_wants_compaction(c->wheel)) {
        hf_wheel_compact(c->wheel, crowd_is_dead, c, c->dead);
        CHECK(!hf_wheel_wants_compaction(c->wheel), "not content with a compaction");
    }
    hf_wheel_gauges gauges = gauges_of(c->wheel);
    uint64_t bound = 2 * (gauges.entries - gauges.dead) * sizeof(hf_wheel_entry) + HF_WHEEL_SLACK_BYTES;
    CHECK(gauges.bytes <= bound, "%" PRIu64 " bytes for %" PRIu64 " entries, %" PRIu64 " of them dead", gauges.bytes,
          gauges.entries, gauges.dead);
}

/* Guarantee D where it is hardest: everything is cancelled long before its deadline. */
Test(wheel, cancelled_reservations_hold_no_memory) {
    enum { ENTRIES = 1000000, LIVE = 20000 };
    crowd c = {.wheel = hf_wheel_new(NEAR_2024), .random = {.random = 7}, .dead = calloc(ENTRIES, 1)};
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint64_t ttl = 1 + below(&c.random, 24 * 3600 * 1000);
        CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + ttl, i, 0}), "add");
        if (i >= LIVE) {
            c.dead[i - LIVE] = 1;
            hf_wheel_count_dead(c.wheel);
        }
        crowd_keep_promise(&c);
    }
    hf_wheel_gauges gauges = gauges_of(c.wheel);
    CHECK(gauges.entries - gauges.dead == LIVE, "%" PRIu64 " live", gauges.entries - gauges.dead);
    CHECK(c.asked <= 3 * (uint64_t)ENTRIES, "compactions looked at %" PRIu64 " entries", c.asked);
    const char *why;
    CHECK(hf_wheel_is_valid(c.wheel, &why), "%s", why);
    hf_wheel_free(c.wheel);
    free(c.dead);
}

/* Entries leave one here, one there: what stays is spread thinly over all slabs. */
Test(wheel, survivors_spread_thinly_are_gathered) {
    enum { ENTRIES = 600000 };
    static hf_wheel_entry out[4096];
    crowd c = {.wheel = hf_wheel_new(NEAR_2024), .random = {.random = 8}, .dead = calloc(ENTRIES, 1)};
    for (uint32_t i = 0; i < ENTRIES; i++)
        CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + below(&c.random, 3600 * 1000), i, 0}), "add");
    uint64_t full = gauges_of(c.wheel).bytes;
    CHECK(full < ENTRIES * sizeof(hf_wheel_entry) * 11 / 10 + HF_WHEEL_SLACK_BYTES, "%" PRIu64 " bytes", full);
    for (uint64_t now = NEAR_2024; now < NEAR_2024 + 3600 * 1000; now += 10 * 1000) {
        while (hf_wheel_take(c.wheel, now, out, 4096) == 4096)
            crowd_keep_promise(&c);
        crowd_keep_promise(&c);
    }
    hf_wheel_gauges gauges = gauges_of(c.wheel);
    CHECK(gauges.entries > 0, "the last ten seconds are still there");
    CHECK(gauges.bytes < HF_WHEEL_SLACK_BYTES, "%" PRIu64 " bytes of %" PRIu64, gauges.bytes, full);
    CHECK(c.asked < 2 * (uint64_t)ENTRIES, "compactions looked at %" PRIu64 " entries", c.asked);
    const char *why;
    CHECK(hf_wheel_is_valid(c.wheel, &why), "%s", why);
    hf_wheel_free(c.wheel);
    free(c.dead);
}

/* The same by deaths alone: the compaction frees much more than it fills. With times in order it empties one slab after
 * another, and what lives would begin a new one each time. */
static void massacre(bool in_order) {
    enum { ENTRIES = 400000, OUT = 4096 };
    static hf_wheel_entry out[OUT];
    crowd c = {.wheel = hf_wheel_new(NEAR_2024), .random = {.random = 9}, .dead = calloc(ENTRIES, 1)};
    uint64_t living = 0, came = 0;
    for (uint32_t i = 0; i < ENTRIES; i++)
        CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + (in_order ? 9 * i : below(&c.random, 3600000)), i, 0}),
              "add");
    for (uint32_t i = 0; i < ENTRIES; i++) {
        c.dead[i] = below(&c.random, 40) != 0;
        living += !c.dead[i];
        if (c.dead[i])
            hf_wheel_count_dead(c.wheel);
    }
    CHECK(hf_wheel_wants_compaction(c.wheel), "most are dead");
    crowd_keep_promise(&c);
    const char *why;
    CHECK(hf_wheel_is_valid(c.wheel, &why), "%s", why);
    for (size_t taken = OUT; taken == OUT; came += taken) {
        taken = hf_wheel_take(c.wheel, NEAR_2024 + 3600 * 1000, out, OUT);
        for (size_t i = 0; i < taken; i++) {
            CHECK(c.dead[out[i].slot] == 0, "slot %u is dead, or came twice", out[i].slot);
            c.dead[out[i].slot] = 1;
        }
    }
    CHECK(came == living, "%" PRIu64 " of %" PRIu64 " came", came, living);
    hf_wheel_free(c.wheel);
    free(c.dead);
}

Test(wheel, survivors_of_a_massacre_are_gathered) { massacre(false); }
Test(wheel, survivors_of_a_massacre_in_order_are_gathered) { massacre(true); }

/* Counts from other threads come in any order, and one too many must not lead to compaction after compaction. */
Test(wheel, too_many_deaths_counted_heal_with_a_compaction) {
    crowd c = {.wheel = hf_wheel_new(NEAR_2024), .dead = calloc(HF_WHEEL_COMPACT_MIN * 2, 1)};
    for (uint32_t i = 0; i < HF_WHEEL_COMPACT_MIN * 2 - 1; i++)
        CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + 5, i, 0}), "add");
    for (uint32_t i = 0; i < HF_WHEEL_COMPACT_MIN; i++) {
        CHECK(!hf_wheel_wants_compaction(c.wheel), "at %u", i);
        hf_wheel_count_dead(c.wheel);
    }
    CHECK(hf_wheel_wants_compaction(c.wheel), "more than half are said to be dead");
    hf_wheel_compact(c.wheel, crowd_is_dead, &c, NULL);
    CHECK(!hf_wheel_wants_compaction(c.wheel) && gauges_of(c.wheel).dead == 0, "none of them was");
    CHECK(gauges_of(c.wheel).entries == HF_WHEEL_COMPACT_MIN * 2 - 1, "all are there");
    hf_wheel_met_dead(c.wheel);
    hf_wheel_count_dead(c.wheel);
    CHECK(gauges_of(c.wheel).dead == 0, "met first, counted later");
    hf_wheel_free(c.wheel);
    free(c.dead);
}

Test(wheel, few_dead_are_no_reason) {
    crowd c = {.wheel = hf_wheel_new(NEAR_2024), .dead = calloc(HF_WHEEL_COMPACT_MIN, 1)};
    for (uint32_t i = 0; i < HF_WHEEL_COMPACT_MIN - 1; i++) {
        CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + 5, i, 0}), "add");
        hf_wheel_count_dead(c.wheel);
        CHECK(!hf_wheel_wants_compaction(c.wheel), "%u dead", i + 1);
    }
    CHECK(hf_wheel_add(c.wheel, (hf_wheel_entry){NEAR_2024 + 5, 0, 0}), "add");
    hf_wheel_count_dead(c.wheel);
    CHECK(hf_wheel_wants_compaction(c.wheel), "all %u are dead", HF_WHEEL_COMPACT_MIN);
    hf_wheel_free(c.wheel);
    free(c.dead);
}

/* ---- memory that runs out ---------------------------------------------------------------------------------------- */

Test(wheel, no_memory_for_a_wheel) {
    for (allocations_left = 0; allocations_left < 2; allocations_left++) {
        int64_t left = allocations_left;
        CHECK(!hf_wheel_new(0), "%d allocations were enough", (int)left);
        allocations_left = left;
    }
    hf_wheel *wheel = hf_wheel_new(0);
    CHECK(wheel, "two are enough");
    hf_wheel_free(wheel);
}

/* Memory ends after the n-th allocation, for each n, and stays out while the entries that are in spread over as many
 * buckets as they can: each add says so and changes nothing, and all that was in comes out. */
Test(wheel, memory_may_end_at_any_allocation) {
    for (int64_t n = 2; n < 24; n++) {
        allocations_left = n;
        model *m = model_new((uint64_t)n, NEAR_2024);
        unsigned refused = 0;
        while (refused < 300) {
            uint64_t entries = m->count;
            /* many chunks' worth in buckets that will open into many: the worst that sorting in can need */
            bool added =
                model_add(m, NEAR_2024 + (UINT64_C(1) << (8 * below(m, 5))) * (1 + below(m, 255)) + below(m, 256));
            refused += !added;
            CHECK(m->count == entries + added, "n %d", (int)n);
            if (!added && refused % 50 == 1)
                model_check(m);
        }
        CHECK(m->count > 0 || n == 2, "n %d", (int)n);
        uint64_t asked = allocations;
        for (unsigned i = 0; i < 40; i++) {
            if (m->count > 0 && !m->dead[m->inside[0]])
                model_kill(m, m->inside[0], true);
            model_take(m, m->now + (random_number(m) >> (24 + below(m, 40))), 1 + below(m, 50));
            if (i % 16 == 0)
                model_compact(m);
            model_check(m);
        }
        while (m->count > 0)
            CHECK(model_take(m, UINT64_MAX, 1000) > 0, "n %d: lost", (int)n);
        model_check(m);
        CHECK(allocations == asked, "n %d: taking or compacting allocated", (int)n);
        CHECK(model_add(m, UINT64_MAX), "n %d: what came out made room", (int)n);
        model_free(m);
    }
}
