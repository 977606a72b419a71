/* Clocks that jump: an hour and more both ways, frozen, and back across a restart or a power loss.
 *
 * A schedule is a random walk of the wall clock with reservations, extensions, confirmations, reads and restarts in between, against a
 * ledger of deadlines. An engine without threads on a disk in memory; some schedules with threads, whose ticker reads the same clock.
 *
 * Guarantees checked, at every step
 *   A  The logical clock never goes back while an engine is open, and is never behind a logged time after a restart.
 *   B  Nothing expires early: what is expired, or confirmed late, has a deadline that the logical clock has reached.
 *   C  Nothing lives past its deadline: it is not read as live, not confirmed as live, and its units are available again.
 *   D  Nothing expires twice: units add up, and the log holds one expiry of an id at most.
 *   E  Deadlines survive restarts to the millisecond.
 *
 * HF_SEED=n HF_ROUNDS=1 runs one schedule again.
 */
#include "tests/support/crash_disk.h"
#include "tests/support/harness.h"

#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY "disk/engine"
#define U(value) ((unsigned long long)(value))
#define HOUR UINT64_C(3600000)
enum { SCHEDULES = 1500, STEPS = 80, PLACES = 24, STOCK = 60, THREADED = 40 /* one schedule in so many */ };

typedef struct place {
    bool used;
    uint32_t number; /* of the id */
    int64_t quantity;
    uint64_t deadline_ms;
    hf_state state; /* LIVE, CONFIRMED, CANCELLED, EXPIRED; a live one may be due, and not looked at yet */
} place;

typedef struct counts {
    uint64_t forward, back, frozen, restarts, restarts_back, power_losses, reserved, extended, expired, late, revived;
} counts;

typedef struct schedule {
    uint64_t random;
    crash_disk *disk;
    harness_clock clock;
    bool threads;
    hf_engine *engine;
    hf_session *session;
    uint64_t now_ms;    /* the logical clock as last seen */
    uint64_t logged_ms; /* the highest time that is durable */
    uint32_t next;
    int64_t on_hand;
    place places[PLACES];
    counts *counts;
} schedule;

static uint64_t below(schedule *s, uint64_t limit) { return harness_below(&s->random, limit); }
/* Something was done at this time, and will be in the log once it is closed or polled. */
static void note_time(schedule *s) { s->logged_ms = s->now_ms; }
static bool chance(schedule *s, unsigned percent) { return harness_chance(&s->random, percent); }
static hf_id id_of(uint32_t number) { return harness_id(5, number); }

/* ---- the clock ------------------------------------------------------------------------------------------------------------------- */

/* Makes the engine look at the wall clock. */
static void look_at_clock(schedule *s) {
    uint64_t wall = harness_clock_read(&s->clock), now = hf_refresh_clock(s->engine);
    CHECK(now == (wall > s->now_ms ? wall : s->now_ms), "the logical clock is %llu, it was %llu, and the wall clock is %llu", U(now),
          U(s->now_ms), U(wall));
    s->now_ms = now;
}

static uint64_t some_deadline(schedule *s) {
    const place *p = &s->places[below(s, PLACES)];
    return p->used ? p->deadline_ms : s->now_ms;
}

static void move_clock(schedule *s) {
    uint64_t wall = harness_clock_read(&s->clock);
    switch (below(s, 8)) {
    case 0:
        wall += HOUR;
        s->counts->forward++;
        break;
    case 1:
        wall -= HOUR;
        s->counts->back++;
        break;
    case 2:
        wall = s->now_ms + below(s, 3 * HOUR);
        s->counts->forward++;
        break;
    case 3:
        wall = s->now_ms - below(s, 3 * HOUR);
        s->counts->back++;
        break;
    case 4:
    case 5:
        wall = some_deadline(s) + below(s, 3) - 1;
        break;
    case 6:
        wall += below(s, 50);
        break;
    default:
        s->counts->frozen++;
        break;
    }
    harness_clock_set(&s->clock, wall);
    look_at_clock(s);
}

/* ---- the ledger ------------------------------------------------------------------------------------------------------------------ */

/* The engine has expired whatever is due: it said so, or was polled. */
static void settle(schedule *s) {
    for (unsigned i = 0; i < PLACES; i++) {
        place *p = &s->places[i];
        if (p->used && p->state == HF_STATE_LIVE && p->deadline_ms <= s->now_ms) {
            p->state = HF_STATE_EXPIRED;
            s->counts->expired++;
        }
    }
}

static int64_t held(const schedule *s) {
    int64_t units = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        const place *p = &s->places[i];
        units += p->used && p->state == HF_STATE_LIVE && p->deadline_ms > s->now_ms ? p->quantity : 0;
    }
    return units;
}

static void read_stock(schedule *s) {
    hf_sku *sku;
    hf_stock stock;
    MUST(hf_sku_find(s->session, "sku", 3, &sku));
    MUST_AT_LAST(hf_sku_read(s->session, sku, &stock));
    settle(s);
    CHECK(stock.on_hand == s->on_hand && stock.reserved == held(s), "on_hand %lld reserved %lld, expected %lld %lld",
          (long long)stock.on_hand, (long long)stock.reserved, (long long)s->on_hand, (long long)held(s));
}

static void read_place(schedule *s, place *p) {
    hf_reservation found;
    MUST_AT_LAST(hf_reservation_read(s->session, id_of(p->number), &found, NULL, 0));
    bool due = p->state == HF_STATE_LIVE && p->deadline_ms <= s->now_ms;
    hf_state expected = due ? HF_STATE_EXPIRED : p->state;
    CHECK(found.state == expected, "%s with deadline %llu at %llu, expected %s", hf_state_text(found.state), U(p->deadline_ms),
          U(s->now_ms), hf_state_text(expected));
    CHECK(expected != HF_STATE_LIVE || found.deadline_ms == p->deadline_ms, "deadline %llu, expected %llu", U(found.deadline_ms),
          U(p->deadline_ms));
    CHECK(expected != HF_STATE_EXPIRED || found.ended_ms >= p->deadline_ms, "expired at %llu, deadline %llu", U(found.ended_ms),
          U(p->deadline_ms));
    if (due) {
        settle(s);
    }
}

static void read_all(schedule *s) {
    read_stock(s);
    for (unsigned i = 0; i < PLACES; i++) {
        if (s->places[i].used) {
            read_place(s, &s->places[i]);
        }
    }
}

/* ---- operations ------------------------------------------------------------------------------------------------------------------ */

static uint64_t some_ttl(schedule *s) {
    return chance(s, 50) ? 1 + below(s, 100) : chance(s, 50) ? HOUR + below(s, 3) - 1 : 1 + below(s, 4 * HOUR);
}

static void reserve(schedule *s, place *p) {
    hf_reply reply;
    hf_line line = {.name = "sku", .name_length = 3, .quantity = 1 + (int64_t)below(s, 6)};
    uint64_t ttl = some_ttl(s);
    bool fits = s->on_hand - held(s) >= line.quantity;
    ASK(reply, hf_reserve(s->session, id_of(s->next), &line, 1, ttl, 0, &reply));
    CHECK(reply.outcome == (fits ? HF_OUTCOME_OK : HF_OUTCOME_OUT_OF_STOCK), "%s: %lld on hand, %lld held, %lld wanted",
          hf_outcome_text(reply.outcome), (long long)s->on_hand, (long long)held(s), (long long)line.quantity);
    if (fits) {
        CHECK(reply.deadline_ms == s->now_ms + ttl, "deadline %llu, expected %llu", U(reply.deadline_ms), U(s->now_ms + ttl));
        *p = (place){true, s->next++, line.quantity, reply.deadline_ms, HF_STATE_LIVE};
        s->counts->reserved++;
        note_time(s);
    } else {
        settle(s); /* a refusal for want of units expires what is due first */
    }
}

static void extend(schedule *s, place *p) {
    hf_reply reply;
    uint64_t ttl = some_ttl(s);
    bool live = p->state == HF_STATE_LIVE && p->deadline_ms > s->now_ms;
    ASK(reply, hf_extend(s->session, id_of(p->number), ttl, &reply));
    CHECK(reply.outcome == (live ? HF_OUTCOME_OK : HF_OUTCOME_CONFLICT), "extend at %llu, deadline %llu: %s", U(s->now_ms),
          U(p->deadline_ms), hf_outcome_text(reply.outcome));
    p->deadline_ms = live ? s->now_ms + ttl : p->deadline_ms;
    s->counts->extended += live;
    CHECK(!live || reply.deadline_ms == p->deadline_ms, "deadline %llu, expected %llu", U(reply.deadline_ms), U(p->deadline_ms));
    if (!live && p->state == HF_STATE_LIVE) {
        p->state = HF_STATE_EXPIRED;
        s->counts->expired++;
    }
}

/* Live: its units leave. Expired: they are taken afresh, if they are there. */
static void confirm(schedule *s, place *p) {
    hf_reply reply;
    bool was_live = p->state == HF_STATE_LIVE, live = was_live && p->deadline_ms > s->now_ms;
    bool fits = live || s->on_hand - held(s) >= p->quantity;
    hf_outcome expected = p->state == HF_STATE_CONFIRMED   ? HF_OUTCOME_ALREADY
                          : p->state == HF_STATE_CANCELLED ? HF_OUTCOME_CONFLICT
                          : !fits                          ? HF_OUTCOME_OUT_OF_STOCK
                          : live                           ? HF_OUTCOME_OK
                                                           : HF_OUTCOME_CONFIRMED_LATE;
    ASK(reply, hf_confirm(s->session, id_of(p->number), &reply));
    CHECK(reply.outcome == expected, "confirm at %llu, deadline %llu: %s, expected %s", U(s->now_ms), U(p->deadline_ms),
          hf_outcome_text(reply.outcome), hf_outcome_text(expected));
    if (was_live && !live) {
        p->state = HF_STATE_EXPIRED;
        s->counts->expired++;
    }
    if (expected == HF_OUTCOME_OK || expected == HF_OUTCOME_CONFIRMED_LATE) {
        s->on_hand -= p->quantity;
        p->state = HF_STATE_CONFIRMED;
        s->counts->late += expected == HF_OUTCOME_CONFIRMED_LATE;
    } else if (expected == HF_OUTCOME_OUT_OF_STOCK) {
        settle(s);
    }
}

static void cancel(schedule *s, place *p) {
    hf_reply reply;
    bool was_live = p->state == HF_STATE_LIVE, live = was_live && p->deadline_ms > s->now_ms;
    hf_outcome expected = live                             ? HF_OUTCOME_OK
                          : p->state == HF_STATE_CONFIRMED ? HF_OUTCOME_CONFLICT
                                                           : HF_OUTCOME_ALREADY;
    ASK(reply, hf_cancel(s->session, id_of(p->number), &reply));
    CHECK(reply.outcome == expected, "cancel at %llu, deadline %llu: %s, expected %s", U(s->now_ms), U(p->deadline_ms),
          hf_outcome_text(reply.outcome), hf_outcome_text(expected));
    p->state = live ? HF_STATE_CANCELLED : was_live ? HF_STATE_EXPIRED : p->state;
    s->counts->expired += was_live && !live;
}

static void receive(schedule *s, int64_t quantity) {
    hf_reply reply;
    hf_line line = {.name = "sku", .name_length = 3, .quantity = quantity};
    ASK(reply, hf_receive(s->session, harness_id(6, s->next++), line, &reply));
    CHECK(reply.outcome == HF_OUTCOME_OK, "%s", hf_outcome_text(reply.outcome));
    s->on_hand += quantity;
    note_time(s);
}

/* ---- restarts -------------------------------------------------------------------------------------------------------------------- */

static void open_engine(schedule *s) {
    hf_options options;
    harness_options(&options, s->threads ? 0 : HF_NO_THREADS, &s->clock);
    options.max_reservations = 1 << 16;
    options.retention_ms = HF_MAX_TIME_MS; /* clocks that jump by hours come to a day: forgetting is not what is judged here */
    options.ring_bytes = 512u << 10;
    MUST(hf_open_on(crash_disk_files(s->disk), DIRECTORY, &options, &s->engine));
    MUST(hf_session_open(s->engine, NULL, &s->session));
}

/* Everything done is durable, and what was due at that time is expired. */
static void make_durable(schedule *s) {
    MUST(hf_poll(s->engine));
    s->now_ms = hf_refresh_clock(s->engine);
    settle(s);
}

/* What was live, due or not, is live by the new clock, or was expired by the old one before it was closed. */
static void take_over(schedule *s) {
    uint64_t before = s->now_ms, wall = harness_clock_read(&s->clock);
    s->now_ms = hf_refresh_clock(s->engine);
    CHECK(s->now_ms >= wall && s->now_ms >= s->logged_ms && s->now_ms <= (wall > before ? wall : before),
          "the logical clock is %llu after a restart: the wall clock is %llu, %llu was logged, %llu was seen", U(s->now_ms), U(wall),
          U(s->logged_ms), U(before));
    for (unsigned i = 0; i < PLACES; i++) {
        place *p = &s->places[i];
        hf_reservation found;
        if (!p->used || p->state != HF_STATE_LIVE || p->deadline_ms > before) {
            continue;
        }
        MUST_AT_LAST(hf_reservation_read(s->session, id_of(p->number), &found, NULL, 0));
        bool revived = found.state == HF_STATE_LIVE && p->deadline_ms > s->now_ms;
        CHECK(revived || found.state == HF_STATE_EXPIRED, "%s at %llu, deadline %llu", hf_state_text(found.state), U(s->now_ms),
              U(p->deadline_ms));
        p->state = found.state;
        s->counts->revived += revived;
        s->counts->expired += !revived;
    }
}

/* Closes, or loses power after all was durable; the wall clock may be another then. Time may have gone on unlogged: what is due
 * since lives again where the clock goes back. */
static void restart(schedule *s) {
    bool loses_power = chance(s, 40), polls = loses_power || chance(s, 50);
    if (polls) {
        make_durable(s);
    }
    if (chance(s, 25)) {
        harness_clock_set(&s->clock, s->now_ms + below(s, 2 * HOUR));
        look_at_clock(s);
    }
    crash_disk *image = loses_power ? crash_disk_random_image(s->disk, harness_next(&s->random)) : NULL;
    hf_session_close(s->session);
    MUST(hf_close(s->engine));
    if (image) {
        crash_disk_free(s->disk);
        s->disk = image;
    }
    uint64_t wall = harness_clock_read(&s->clock);
    if (chance(s, 60)) {
        wall = chance(s, 50) ? wall - below(s, 2 * HOUR) : wall + below(s, 2 * HOUR);
    }
    s->counts->restarts++;
    s->counts->restarts_back += wall < s->now_ms;
    s->counts->power_losses += loses_power;
    harness_clock_set(&s->clock, wall);
    open_engine(s);
    take_over(s);
    read_all(s);
}

/* ---- the log ---------------------------------------------------------------------------------------------------------------------- */

/* Expiries of each id in the log, which no checkpoint let go of. */
static void count_expiries(schedule *s) {
    hf_follow *follow;
    hf_wal_epoch epoch;
    static hf_step steps[HF_MAX_LINES];
    uint8_t *expiries = calloc(s->next + 1, 1);
    CHECK(expiries, "out of memory");
    MUST(hf_follow_open(DIRECTORY, crash_disk_files(s->disk), 0, &follow));
    while (hf_follow_next(follow, &epoch) == 1) {
        const uint8_t *at = epoch.payload, *end = at + epoch.length;
        while (at && at < end) {
            hf_chunk chunk;
            hf_entry entry;
            at = hf_chunk_open(at, end, &chunk);
            while (at && hf_record_decode(&chunk, &entry, steps) > 0) {
                bool expires = entry.type == HF_RECORD_EXPIRE && !(entry.parts & HF_PART_CONTINUED); /* else: its other part */
                for (uint32_t i = 0; expires && i < s->next; i++) {
                    hf_id id = id_of(i);
                    expiries[i] = (uint8_t)(expiries[i] + (memcmp(&id, &entry.id, sizeof id) == 0));
                    CHECK(expiries[i] < 2, "id %u expired twice", i);
                }
            }
        }
    }
    hf_follow_close(follow);
    free(expiries);
}

/* ---- schedules -------------------------------------------------------------------------------------------------------------------- */

static void one_step(schedule *s) {
    place *p = &s->places[below(s, PLACES)];
    uint64_t die = below(s, 100);
    if (die < 30) {
        move_clock(s);
    } else if (!p->used || (p->state != HF_STATE_LIVE && chance(s, 50))) {
        reserve(s, p);
    } else if (die < 45) {
        confirm(s, p);
    } else if (die < 50) {
        cancel(s, p);
    } else if (die < 60) {
        extend(s, p);
    } else if (die < 75) {
        read_place(s, p);
    } else if (die < 85) {
        read_stock(s);
    } else if (die < 88) {
        receive(s, 1 + (int64_t)below(s, 10));
    } else if (die < 95) {
        make_durable(s);
    } else {
        restart(s);
    }
}

static void run_schedule(uint64_t seed, counts *all) {
    schedule s = {.random = seed, .disk = crash_disk_new(), .counts = all};
    s.threads = below(&s, THREADED) == 0;
    harness_clock_set(&s.clock, HARNESS_EPOCH_MS);
    open_engine(&s);
    look_at_clock(&s);
    receive(&s, STOCK);
    for (unsigned step = 0; step < STEPS; step++) {
        one_step(&s);
    }
    read_all(&s);
    make_durable(&s);
    restart(&s);
    make_durable(&s);
    count_expiries(&s);
    hf_session_close(s.session);
    MUST(hf_close(s.engine));
    crash_disk_free(s.disk);
}

int main(void) {
    uint64_t first = harness_begin("clocks"), rounds = harness_rounds(SCHEDULES);
    double begun = harness_seconds();
    counts all = {0};
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        harness_seed_is(seed);
        run_schedule(seed, &all);
    }
    printf("clocks: %llu schedules from seed %llu in %.1f s: %llu jumps ahead, %llu back, %llu times frozen; %llu restarts, %llu of "
           "them back in time, %llu by power loss; %llu reservations, %llu extended, %llu expired, %llu confirmed late, %llu due ones "
           "live again behind a restart back in time: none early, none twice, none past its deadline\n",
           U(rounds), U(first), harness_seconds() - begun, U(all.forward), U(all.back), U(all.frozen), U(all.restarts),
           U(all.restarts_back), U(all.power_losses), U(all.reserved), U(all.extended), U(all.expired), U(all.late), U(all.revived));
    CHECK(rounds < 100 || (all.restarts_back && all.late && all.revived && all.extended), "something never happened");
    return 0;
}
