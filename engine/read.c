/* Reads: one SKU, one id, and walks over all of them.
 *
 * A slot is read without claiming it: its word, its fields, its word again. The same word twice: the fields belong together
 * (edges R1, R2 in operation.c). Visitors are called outside of sections, on copies.
 */
#include <stdlib.h>

#include "expiry.h"
#include "stock.h"
#include "wal/error.h"

static int check_name(const void *name, size_t length) {
    return name && length > 0 && length <= HF_MAX_SKU_NAME
               ? HF_SUCCESS
               : hf_fail(HF_EINVAL, "a SKU's name of %zu bytes: expected 1 to %u", length, HF_MAX_SKU_NAME);
}

int hf_sku_find(hf_session *session, const void *name, size_t length, hf_sku **sku) {
    int error = hf_engine_check(session->engine);
    error = error ? error : check_name(name, length);
    if (error) {
        return error;
    }
    const hf_skus *skus = &session->engine->skus;
    *sku = hf_skus_find(skus, hf_skus_hash(skus, name, length), name, length);
    /* One that was made for an operation that never came to be has no version. */
    if (!*sku || hf_counter_of(hf_load128_acquire(&(*sku)->word)).version == 0) { /* edge W1 */
        return hf_fail(HF_ENOTFOUND, "there is no SKU \"%.*s\"", (int)length, (const char *)name);
    }
    return HF_SUCCESS;
}

static hf_stock stock_of(hf_session *session, const hf_sku *sku) {
    hf_counter counter = hf_counter_of(hf_load128_acquire(&sku->word)); /* edge W1 */
    hf_stock stock = {.on_hand = counter.on_hand,
                      .reserved = counter.reserved,
                      .available = hf_counter_available(counter),
                      .version = counter.version,
                      .ticket = hf_engine_epoch(session->engine)};
    hf_store_relaxed(&session->asked, stock.ticket); /* edge A1 */
    return stock;
}

/* Expires what is due, where this engine may write. */
static int settle(hf_session *session) {
    hf_engine *engine = session->engine;
    if (engine->is_read_only || hf_load_relaxed(&engine->poisoned)) { /* relaxed: expiring after it would do no harm */
        return HF_SUCCESS;
    }
    uint64_t now_ms = hf_engine_now(engine);
    if (hf_is_settled(engine, now_ms)) {
        return HF_SUCCESS;
    }
    int error = hf_settle_for(session, now_ms);
    return error == HF_EBUSY ? hf_fail(HF_EAGAIN, "another thread is expiring what is due") : error;
}

int hf_sku_read(hf_session *session, const hf_sku *sku, hf_stock *stock) {
    int error = hf_engine_check(session->engine);
    error = error ? error : settle(session);
    if (!error) {
        *stock = stock_of(session, sku);
    }
    return error;
}

int hf_sku_each(hf_session *session, bool (*visit)(void *context, hf_sku *sku, const hf_stock *stock), void *context) {
    int error = hf_engine_check(session->engine);
    if (error) {
        return error;
    }
    (void)settle(session); /* as far as that can be had now: each SKU is right by itself */
    const hf_skus *skus = &session->engine->skus;
    uint64_t lines = hf_pool_used(&skus->lines);
    for (uint64_t i = 0; i < lines; i++) {
        hf_sku *sku = hf_sku_of_line(skus, (uint32_t)i);
        if (!sku) {
            continue;
        }
        hf_stock stock = stock_of(session, sku);
        if (stock.version > 0 && !visit(context, sku, &stock)) {
            return HF_SUCCESS;
        }
    }
    return HF_SUCCESS;
}

/* ---- reservations --------------------------------------------------------------------------------------------------- */

/* A reservation as it stands, up to `room` lines of it. false: it changed meanwhile, or is being changed. Inside a section. */
static bool look(const hf_engine *engine, const hf_slot *slot, hf_reservation *found, hf_reservation_line *lines,
                 size_t room) {
    uint64_t word = hf_load_acquire(&slot->word); /* edge R1 */
    hf_slot_state state = hf_slot_state_of(word);
    if (hf_slot_is_claimed(state)) {
        return false;
    }
    bool ended = hf_slot_has_ended(state);
    uint64_t when = hf_slot_when(slot);
    *found = (hf_reservation){.id = slot->id,
                              .state = hf_slot_public_state(state),
                              .deadline_ms = ended ? 0 : when,
                              .ended_ms = ended ? when : 0,
                              .user = slot->user,
                              .version = hf_slot_version(slot),
                              .line_count = hf_slot_line_count(slot)};
    hf_line_walk walk = hf_lines_of(engine, slot);
    for (size_t i = 0; i < room && hf_next_line(&walk, &lines[i].sku, &lines[i].quantity); i++) {
    }
    /* Acquire loads above keep this one behind them. Relaxed: equality is all that counts. */
    return hf_load_relaxed(&slot->word) == word;
}

static bool is_due(const hf_engine *engine, const hf_reservation *found) {
    return found->state == HF_STATE_LIVE && !engine->is_read_only && found->deadline_ms <= hf_engine_now(engine);
}

int hf_reservation_read(hf_session *session, hf_id id, hf_reservation *reservation, hf_reservation_line *lines, size_t room) {
    hf_engine *engine = session->engine;
    int error = hf_engine_check(engine);
    for (int again = 0; !error && again < 2; again++) {
        hf_section_enter();
        uint32_t number = hf_index_find(engine->index, hf_id_hash(engine, id), &id);
        bool steady = number != HF_INDEX_NONE && look(engine, hf_slot_at(engine, number), reservation, lines, room);
        uint64_t ticket = hf_engine_epoch(engine);
        hf_section_leave();
        if (number == HF_INDEX_NONE || (steady && reservation->state == HF_STATE_UNKNOWN)) {
            return hf_fail(HF_ENOTFOUND, "no such id is live or remembered");
        }
        if (!steady) {
            return hf_fail(HF_EAGAIN, "this id is just changing");
        }
        reservation->ticket = ticket;
        hf_store_relaxed(&session->asked, ticket); /* edge A1 */
        if (!is_due(engine, reservation) || hf_load_relaxed(&engine->poisoned)) { /* relaxed: as in settle */
            return HF_SUCCESS;
        }
        error = settle(session);
    }
    return error ? error : hf_fail(HF_EAGAIN, "this id is just changing");
}

/* One slot of a walk: a copy of what is live in it. */
static bool copy_live(hf_session *session, uint32_t number, hf_reservation *found, hf_reservation_line *lines) {
    const hf_engine *engine = session->engine;
    const hf_slot *slot = hf_slot_at(engine, number);
    bool steady = false;
    hf_section_enter();
    for (int tries = 0; tries < 100 && !steady; tries++) {
        hf_slot_state state = hf_slot_state_of(hf_load_acquire(&slot->word)); /* edge R1 */
        if (state != HF_SLOT_LIVE && state != HF_SLOT_EXTENDING && state != HF_SLOT_CONFIRMING) {
            break;
        }
        steady = look(engine, slot, found, lines, HF_MAX_LINES);
    }
    found->ticket = hf_engine_epoch(engine);
    hf_section_leave();
    return steady && found->state == HF_STATE_LIVE && !is_due(engine, found);
}

int hf_reservation_each(hf_session *session,
                        bool (*visit)(void *context, const hf_reservation *reservation, const hf_reservation_line *lines),
                        void *context) {
    int error = hf_engine_check(session->engine);
    if (error) {
        return error;
    }
    hf_reservation_line *lines = malloc(HF_MAX_LINES * sizeof *lines);
    if (!lines) {
        return hf_fail(HF_ENOMEM, "no memory for the lines of a reservation");
    }
    (void)settle(session);
    uint64_t slots = hf_pool_used(&session->engine->slots);
    for (uint64_t i = 0; i < slots; i++) {
        hf_reservation found;
        if (copy_live(session, (uint32_t)i, &found, lines)) {
            hf_store_relaxed(&session->asked, found.ticket); /* edge A1 */
            if (!visit(context, &found, lines)) {
                break;
            }
        }
    }
    free(lines);
    return HF_SUCCESS;
}
