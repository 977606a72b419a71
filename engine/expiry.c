/* Expiry. The contract is in expiry.h.
 *
 *     reserve, extend                      the shard's owner for the moment: the ticker, or any session in need
 *     push hint ---> hints (per session) ---> wheel ---> due ---> live, and its deadline is the hint's: expire
 *                                               ^                 claimed: later.   anything else: dead, dropped
 *                                               '--- later
 *
 * Edges
 *   H1  hints: `tail` stored -> loaded by the shard's owner. Carries the entries.
 *   H2  room for hints: `head` stored -> loaded by the session.
 *   O1  a shard: `owned` set to 0 -> exchanged for 1. Carries the wheel and all else of the owner's.
 *   O2  settled: `settled_ms` stored -> loaded. Carries the expiries' steps: what is read after it has them.
 *   D1  a hint against the clock. Pusher: store the hint; compare-and-swap (or a barrier); load the clock. Settler: raise the clock (a
 *       compare-and-swap); load the hints. At least one of them sees the other's store. So a reservation whose deadline the clock
 *       has passed while it was made is either found by the settler, or expired by its maker before anybody is answered.
 */
#include "expiry.h"

#include <assert.h>
#include <stdlib.h>

#include "retention.h"
#include "stock.h"
#include "wal/error.h"

enum { SLICE = 64, AT_ONCE = 256, AHEAD = 8 };

int hf_shards_open(hf_engine *engine) {
    uint32_t count = engine->shard_mask + 1;
    engine->shards = aligned_alloc(HF_CACHE_LINE, count * sizeof *engine->shards);
    if (!engine->shards) {
        return hf_fail(HF_ENOMEM, "no memory for %u shards", count);
    }
    memset(engine->shards, 0, count * sizeof *engine->shards);
    for (uint32_t i = 0; i < count; i++) {
        engine->shards[i].wheel = hf_wheel_new(hf_engine_now(engine));
        if (!engine->shards[i].wheel) {
            return hf_fail(HF_ENOMEM, "no memory for a timing wheel");
        }
    }
    return HF_SUCCESS;
}

void hf_shards_close(hf_engine *engine) {
    for (uint32_t i = 0; engine->shards && i <= engine->shard_mask; i++) {
        hf_wheel_free(engine->shards[i].wheel);
        free(engine->shards[i].later);
    }
    free(engine->shards);
}

/* ---- hints, the session's end ------------------------------------------------------------------------------------- */

static hf_hints *hints_of(hf_session *session, uint32_t slot) {
    return &session->hints[slot / HF_POOL_MAGAZINE & session->engine->shard_mask];
}

bool hf_hint_room(hf_session *session, uint32_t slot) {
    hf_hints *hints = hints_of(session, slot);
    if (__builtin_expect(hints->tail - hints->head_seen < HF_HINTS, 1)) {
        return true;
    }
    hints->head_seen = hf_load_acquire(&hints->head); /* edge H2 */
    return hints->tail - hints->head_seen < HF_HINTS;
}

void hf_hint_push(hf_session *session, uint32_t slot, uint64_t time_ms) {
    hf_hints *hints = hints_of(session, slot);
    assert(hints->tail - hints->head_seen < HF_HINTS);
    hints->entries[hints->tail % HF_HINTS] = (hf_wheel_entry){.time_ms = time_ms, .slot = slot};
    bool none = hf_load_relaxed(&hints->head) == hints->tail; /* relaxed: too low an `earliest` only costs a look */
    if (none || time_ms < hints->earliest) {
        hf_store_relaxed(&hints->earliest, time_ms); /* relaxed: edge H1 carries it */
    }
    hf_store_release(&hints->tail, hints->tail + 1); /* edges H1 and D1 (the pusher's store) */
}

void hf_hint_died(hf_session *session, uint32_t slot) {
    hf_hints *hints = hints_of(session, slot);
    hf_store_relaxed(&hints->dead, hf_load_relaxed(&hints->dead) + 1); /* relaxed: only the number counts */
}

/* ---- hints, the owner's end --------------------------------------------------------------------------------------- */

/* Whether a hint means nothing any more. The slot is read as it comes: alive is what is alive now or may be in a moment. */
static bool is_dead(void *context, hf_wheel_entry entry) {
    const hf_slot *slot = hf_slot_at(context, entry.slot);
    hf_slot_state state = hf_slot_state_of(hf_load_acquire(&slot->word)); /* edge R1 */
    bool may_live = state == HF_SLOT_LIVE || hf_slot_is_claimed(state);
    return !may_live || (state == HF_SLOT_LIVE && hf_slot_when(slot) != entry.time_ms);
}

/* Takes up to `most` hints of one session into the wheel, but for the dead. */
static bool drain(const hf_engine *engine, hf_shard *shard, hf_hints *hints, uint64_t most) {
    uint64_t head = hf_load_relaxed(&hints->head); /* relaxed: the owner's; edge O1 carried it */
    uint64_t tail = hf_load_acquire(&hints->tail); /* edges H1 and D1 (the settler's load) */
    bool room = true;
    for (; head != tail && room && most > 0; most--) {
        hf_wheel_entry entry = hints->entries[head % HF_HINTS];
        if (tail - head > AHEAD) { /* what lies behind the tail is just being written */
            hf_prefetch_read(hf_slot_at(engine, hints->entries[(head + AHEAD) % HF_HINTS].slot));
        }
        if (is_dead((void *)(uintptr_t)engine, entry)) {
            shard->dropped++;
        } else {
            room = hf_wheel_add(shard->wheel, entry);
        }
        head += room;
    }
    hf_store_release(&hints->head, head); /* edge H2 */
    return room;
}

/* Takes the hints of every session of which one may be due. And tells the wheel of those dead that must be in it: all that ever
 * died, less what was dropped on the way, less what is still on the way. */
static bool drain_due(hf_engine *engine, hf_shard *shard, uint64_t now_ms) {
    uint32_t count = hf_load_acquire(&engine->session_count); /* edge N1 */
    uint64_t dead = 0, on_the_way = 0;
    bool room = true;
    for (uint32_t i = 0; i < count && room; i++) {
        hf_hints *hints = &engine->sessions[i]->hints[shard - engine->shards];
        uint64_t here = hf_load_acquire(&hints->tail) - hf_load_relaxed(&hints->head); /* edges H1 and D1; relaxed: the owner's */
        if (here > 0 && hf_load_relaxed(&hints->earliest) <= now_ms) { /* relaxed: edge H1 carried it */
            room = drain(engine, shard, hints, UINT64_MAX);
            here = hf_load_relaxed(&hints->tail) - hf_load_relaxed(&hints->head); /* relaxed: only the number counts */
        }
        on_the_way += here;
        dead += hf_load_relaxed(&hints->dead); /* relaxed: the same */
    }
    for (; dead > shard->told + shard->dropped + on_the_way; shard->told++) {
        hf_wheel_count_dead(shard->wheel);
    }
    return room;
}

static bool own(hf_shard *shard) {
    return hf_load_relaxed(&shard->owned) == 0 && /* relaxed: a glance, that does not take the line */
           hf_exchange_acquire(&shard->owned, 1u) == 0; /* edge O1 */
}

static void disown(hf_shard *shard) {
    hf_wheel_gauges gauges;
    hf_wheel_gauges_read(shard->wheel, &gauges);
    hf_store_relaxed(&shard->gauges.entries, gauges.entries); /* relaxed, all: gauges */
    hf_store_relaxed(&shard->gauges.dead, gauges.dead);
    hf_store_relaxed(&shard->gauges.compactions, gauges.compactions);
    hf_store_relaxed(&shard->gauges.bytes, gauges.bytes);
    hf_store_release(&shard->owned, 0u); /* edge O1 */
}

int hf_hint_make_room(hf_session *session, uint32_t slot) {
    hf_shard *shard = hf_shard_of(session->engine, slot);
    if (!own(shard)) {
        return HF_EBUSY;
    }
    bool room = drain(session->engine, shard, hints_of(session, slot), AT_ONCE);
    disown(shard);
    return room ? HF_SUCCESS : hf_fail(HF_ENOMEM, "no memory for a timing wheel's entries");
}

/* ---- expiring ------------------------------------------------------------------------------------------------------ */

bool hf_expire(hf_session *session, uint32_t number, uint64_t word, uint64_t now_ms) {
    hf_engine *engine = session->engine;
    hf_slot *slot = hf_slot_at(engine, number);
    uint64_t step = hf_slot_step_of(word) + 1, epoch = hf_engine_epoch(engine);
    if (!hf_cas_acq_rel(&slot->word, &word, hf_slot_word(step, HF_SLOT_EXPIRING))) { /* edge R1 */
        return false;
    }
    hf_part_begin(&session->part, HF_RECORD_EXPIRE, &slot->id, now_ms, step);
    hf_part_decide(&session->part, epoch);
    (void)hf_stock_release(session, HF_RECORD_EXPIRE, slot);
    (void)hf_part_end(&session->part, HF_OUTCOME_OK, 0);
    hf_slot_set_when(slot, now_ms);
    hf_store_release(&slot->word, hf_slot_word(step, HF_SLOT_EXPIRED)); /* edge R1 */
    hf_remember(session, number, now_ms);
    hf_tally(session, expired);
    hf_tally(session, live_ended);
    return true;
}

/* The hint's slot is due, but an operation has claimed it. Each operation claims one slot, so they are few. Of two times of one slot
 * either may be its deadline in a moment. */
static bool keep_for_later(hf_shard *shard, hf_wheel_entry entry) {
    for (uint32_t i = 0; i < shard->later_count; i++) {
        if (shard->later[i].slot == entry.slot && shard->later[i].time_ms == entry.time_ms) {
            return true;
        }
    }
    if (shard->later_count == shard->later_room) {
        uint32_t room = shard->later_room ? 2 * shard->later_room : 16;
        hf_wheel_entry *more = realloc(shard->later, room * sizeof *more);
        if (!more) {
            return false;
        }
        shard->later = more;
        shard->later_room = room;
    }
    shard->later[shard->later_count++] = entry;
    return true;
}

/* One hint whose time has come; inside a section. HF_SUCCESS; HF_EAGAIN: no ring room for its lines; HF_ENOMEM. */
static int meet(hf_session *session, hf_shard *shard, hf_wheel_entry entry, uint64_t now_ms) {
    hf_slot *slot = hf_slot_at(session->engine, entry.slot);
    for (;;) {
        uint64_t word = hf_load_acquire(&slot->word); /* edge R1 */
        hf_slot_state state = hf_slot_state_of(word);
        bool mine = hf_slot_when(slot) == entry.time_ms;
        if (state == HF_SLOT_LIVE && mine) {
            uint64_t room = hf_record_need(hf_slot_line_count(slot));
            if (session->logs && !hf_ring_room(&session->ring, room)) {
                return HF_EAGAIN;
            }
            /* The wheel goes by the highest clock that it was shown, which may be above this settler's; and what a session logs never
             * goes back in time. */
            uint64_t logged_ms = session->part.head.time_ms, at_ms = now_ms > entry.time_ms ? now_ms : entry.time_ms;
            if (hf_expire(session, entry.slot, word, at_ms > logged_ms ? at_ms : logged_ms)) {
                return HF_SUCCESS;
            }
        } else if (hf_slot_is_claimed(state) && state != HF_SLOT_REVIVING) { /* its deadline may be ours in a moment */
            return keep_for_later(shard, entry) ? HF_SUCCESS : HF_ENOMEM;
        } else {
            hf_wheel_met_dead(shard->wheel);
            return HF_SUCCESS;
        }
    }
}

/* Expires up to a slice of what is due. Returns how many hints were met; *error: why no more. */
static size_t expire_slice(hf_session *session, hf_shard *shard, uint64_t now_ms, int *error) {
    hf_wheel_entry due[SLICE];
    size_t count = hf_wheel_take(shard->wheel, now_ms, due, SLICE), met = 0;
    for (size_t i = 0; i < count; i++) {
        hf_prefetch_write(hf_slot_at(session->engine, due[i].slot));
    }
    hf_section_enter();
    while (met < count && (*error = meet(session, shard, due[met], now_ms)) == HF_SUCCESS) {
        met++;
    }
    hf_section_leave();
    for (size_t i = met; i < count; i++) {
        /* The wheel had room for it a moment ago and does not give room back before it is full again (its guarantee E). */
        (void)hf_wheel_add(shard->wheel, due[i]);
    }
    return count;
}

/* The owner's whole work up to `now`. */
static int tend(hf_session *session, hf_shard *shard, uint64_t now_ms) {
    hf_engine *engine = session->engine;
    int error = drain_due(engine, shard, now_ms) ? HF_SUCCESS : HF_ENOMEM;
    while (shard->later_count > 0 && hf_wheel_add(shard->wheel, shard->later[shard->later_count - 1])) {
        shard->later_count--;
    }
    while (!error && expire_slice(session, shard, now_ms, &error) == SLICE) {
    }
    if (hf_wheel_wants_compaction(shard->wheel)) {
        hf_wheel_compact(shard->wheel, is_dead, engine, hf_slot_at(engine, 0));
    }
    if (!error && shard->later_count == 0 && now_ms > shard->settled_ms) {
        hf_store_release(&shard->settled_ms, now_ms); /* edge O2 */
    }
    return error ? error : shard->later_count == 0 ? HF_SUCCESS : HF_EBUSY;
}

bool hf_is_settled(const hf_engine *engine, uint64_t now_ms) {
    for (uint32_t i = 0; i <= engine->shard_mask; i++) {
        if (hf_load_acquire(&engine->shards[i].settled_ms) < now_ms) { /* edge O2 */
            return false;
        }
    }
    return true;
}

int hf_settle(hf_session *session, uint64_t now_ms) {
    hf_engine *engine = session->engine;
    int result = HF_SUCCESS;
    for (uint32_t i = 0; i <= engine->shard_mask; i++) {
        hf_shard *shard = &engine->shards[(i + session->number) & engine->shard_mask];
        if (hf_load_acquire(&shard->settled_ms) >= now_ms) { /* edge O2 */
            continue;
        }
        int error = HF_EBUSY;
        if (own(shard)) {
            error = tend(session, shard, now_ms);
            disown(shard);
        }
        result = result && result != HF_EBUSY ? result : error ? error : result;
    }
    return result;
}

int hf_settle_for(hf_session *session, uint64_t now_ms) {
    int error;
    while ((error = hf_settle(session, now_ms)) == HF_EAGAIN) {
        error = hf_session_room(session, HF_RECORD_MAX); /* enough for any one reservation */
        if (error) {
            return error;
        }
    }
    return error;
}
