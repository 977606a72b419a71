/* Retention. The contract is in retention.h.
 *
 *     ended ---> session's list[which] ---> forgotten by the session itself
 *                       | the session is idle: the keeper turns `which`, a grace period passes
 *                       v
 *                    stolen ---> forgotten by the keeper
 *
 * Edges
 *   T1  `which` turned by the keeper -> loaded by the session, inside a section. With G1 (the grace period) it gives the other
 *       list to the keeper; a list that comes back to the session was emptied before the turn.
 */
#include "retention.h"

#include <assert.h>
#include <stdlib.h>

#include "wal/error.h"

enum {
    AT_ONCE = 4,
    SLICE = 256,
    SLICES = 64, /* of a list in the keeper's turn: a few milliseconds, for which the clock stands */
};

void hf_remembered_init(hf_remembered *remembered) {
    *remembered = (hf_remembered){
        .list = {hf_pool_no_cells, hf_pool_no_cells}, .stolen = hf_pool_no_cells, .due = UINT64_MAX};
}

void hf_retire_lines(hf_session *session, const hf_slot *slot) {
    hf_pool *blocks = &session->engine->blocks;
    if (hf_slot_line_count(slot) <= 1) {
        return;
    }
    for (uint32_t number = slot->line, next; number != HF_POOL_NONE; number = next) {
        const hf_block *block = hf_pool_cell(blocks, number);
        next = hf_load_relaxed(&block->next); /* relaxed: the claimer's */
        hf_pool_retire(blocks, &session->blocks, number);
    }
}

/* The list that is the session's now. Inside a section. */
static hf_pool_chain *own_list(hf_remembered *remembered) {
    uint32_t which = hf_load_acquire(&remembered->which); /* edge T1 */
    if (which != remembered->seen) {
        remembered->seen = which;
        hf_store_relaxed(&remembered->due, UINT64_MAX); /* relaxed: a hint to the keeper */
        remembered->first_hash = 0;
        assert(remembered->list[which].count == 0);
    }
    return &remembered->list[which];
}

void hf_remember(hf_session *session, uint32_t slot, uint64_t ended_ms) {
    hf_remembered *remembered = &session->remembered;
    hf_pool_chain *list = own_list(remembered);
    hf_pool_append(&session->engine->slots, list, slot);
    if (list->count == 1) {
        uint64_t due = ended_ms + session->engine->options.retention_ms;
        hf_store_relaxed(&remembered->due, due); /* relaxed: a hint to the keeper */
    }
}

/* false: it is being confirmed late, or was meanwhile, and is to be remembered on. */
static bool forget(hf_session *session, uint32_t number, uint64_t hash, uint64_t now_ms) {
    hf_engine *engine = session->engine;
    hf_slot *slot = hf_slot_at(engine, number);
    uint64_t word = hf_load_acquire(&slot->word); /* edge R1 */
    if (hf_slot_state_of(word) == HF_SLOT_FREE) { /* replay let it go */
        hf_pool_retire(&engine->slots, &session->slots, number);
        return true;
    }
    if (!hf_slot_has_ended(hf_slot_state_of(word)) || hf_slot_when(slot) + engine->options.retention_ms > now_ms) {
        return false;
    }
    uint64_t gone = hf_slot_word(hf_slot_step_of(word), HF_SLOT_FREE);
    if (hf_slot_state_of(word) != HF_SLOT_EXPIRED) {
        hf_store_release(&slot->word, gone); /* edge R1: these states are final, nobody else changes the word */
    } else if (!hf_cas_acq_rel(&slot->word, &word, gone)) { /* edge R1 */
        return false;
    }
    (void)hf_index_remove(engine->index, hash ? hash : hf_id_hash(engine, slot->id), number);
    hf_retire_lines(session, slot);
    hf_pool_retire(&engine->slots, &session->slots, number);
    hf_tally(session, ids_forgotten);
    return true;
}

/* Brings in what forgetting a list's first will touch: its bucket, and the slot after it. Returns its hash. */
static uint64_t look_ahead(const hf_engine *engine, const hf_pool_chain *list) {
    if (list->count == 0) {
        return 0;
    }
    const hf_slot *slot = hf_slot_at(engine, list->first);
    uint64_t hash = hf_id_hash(engine, slot->id);
    uint32_t next = hf_load_relaxed(&slot->next); /* relaxed: this thread's chain */
    hf_index_prefetch(engine->index, hash);
    hf_prefetch_write(next != HF_POOL_NONE ? hf_slot_at(engine, next) : slot);
    return hash;
}

/* Forgets up to `most` of a list; what must stay goes to its end. *ahead (may be NULL) is the first's hash, or 0. */
static void forget_from(hf_session *session, hf_pool_chain *list, uint64_t now_ms, unsigned most, uint64_t *ahead) {
    const hf_engine *engine = session->engine;
    for (; most > 0 && list->count > 0; most--) {
        uint32_t number = list->first;
        const hf_slot *slot = hf_slot_at(engine, number);
        if (hf_slot_when(slot) + engine->options.retention_ms > now_ms) {
            return;
        }
        (void)hf_pool_pop(&engine->slots, list);
        uint64_t hash = ahead ? *ahead : 0;
        if (ahead) {
            *ahead = look_ahead(engine, list);
        }
        if (!forget(session, number, hash, now_ms)) {
            hf_pool_append(&engine->slots, list, number);
        }
    }
}

static uint64_t first_due(const hf_engine *engine, const hf_pool_chain *list) {
    return list->count == 0 ? UINT64_MAX : hf_slot_when(hf_slot_at(engine, list->first)) + engine->options.retention_ms;
}

void hf_forget_some(hf_session *session, uint64_t now_ms) {
    hf_pool_chain *list = own_list(&session->remembered);
    forget_from(session, list, now_ms, AT_ONCE, &session->remembered.first_hash);
    hf_store_relaxed(&session->remembered.due, first_due(session->engine, list)); /* relaxed: a hint to the keeper */
}

/* Forgets what is due of a list, slice by slice; where one must stay, the rest waits for the next turn. Outside a section. */
static void forget_slices(hf_session *keeper, hf_pool_chain *list, uint64_t now_ms, uint64_t *ahead) {
    bool more = list->count > 0;
    for (unsigned i = 0; i < SLICES && more; i++) {
        uint32_t before = list->count;
        hf_section_enter();
        forget_from(keeper, list, now_ms, SLICE, ahead);
        hf_section_leave();
        more = before - list->count == SLICE;
    }
}

/* One session's lists, by the keeper. */
static bool take_over(hf_session *keeper, hf_session *session, uint64_t now_ms, uint64_t idle_ms) {
    hf_engine *engine = keeper->engine;
    hf_remembered *remembered = &session->remembered;
    if (remembered->turned && hf_load_acquire(&engine->grace.ended) > remembered->turned_at) { /* edge P2 */
        hf_pool_append_all(&engine->slots, &remembered->stolen, &remembered->list[1 - remembered->which]);
        remembered->turned = false;
    }
    uint64_t due = hf_load_relaxed(&remembered->due); /* relaxed: a hint; the session's own last words */
    if (session != keeper && !remembered->turned && due != UINT64_MAX && due + idle_ms <= now_ms) {
        hf_store_release(&remembered->which, 1 - remembered->which); /* edge T1 */
        hf_barrier_after_cas(); /* edge D2: the turn, then the count of grace periods, where adding 0 is the barrier */
        remembered->turned = true;
        remembered->turned_at = hf_fetch_add_acq_rel(&engine->grace.begun, UINT64_C(0)); /* edge D2 */
    }
    forget_slices(keeper, &remembered->stolen, now_ms, NULL);
    return remembered->turned;
}

bool hf_forget_for_others(hf_session *keeper, uint64_t now_ms, uint64_t idle_ms) {
    hf_engine *engine = keeper->engine;
    uint32_t count = hf_load_acquire(&engine->session_count); /* edge N1 */
    bool waits = false;
    for (uint32_t i = 0; i < count; i++) {
        waits |= take_over(keeper, engine->sessions[i], now_ms, idle_ms);
    }
    hf_pool_chain *own = own_list(&keeper->remembered); /* nobody turns the keeper's */
    forget_slices(keeper, own, now_ms, &keeper->remembered.first_hash);
    hf_store_relaxed(&keeper->remembered.due, first_due(engine, own)); /* relaxed: the keeper's own */
    hf_pool_settle(&engine->slots, &keeper->slots, &engine->grace, true);
    hf_pool_settle(&engine->blocks, &keeper->blocks, &engine->grace, true);
    return waits || keeper->slots.young.count > 0 || keeper->slots.old.count > 0;
}

/* ---- what a checkpoint told of ---------------------------------------------------------------------------------------------- */

typedef struct hf_ended {
    uint64_t when_ms;
    uint32_t slot;
} hf_ended;

static int by_end(const void *left, const void *right) {
    const hf_ended *a = left, *b = right;
    return (a->when_ms > b->when_ms) - (a->when_ms < b->when_ms);
}

int hf_remembered_sort(hf_session *session) {
    const hf_pool *slots = &session->engine->slots;
    hf_pool_chain *list = own_list(&session->remembered);
    uint32_t count = list->count;
    hf_ended *ended = count > 0 ? reallocarray(NULL, count, sizeof *ended) : NULL;
    if (count > 0 && !ended) {
        return hf_fail(HF_ENOMEM, "no memory to sort %u ids", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = hf_pool_pop(slots, list);
        ended[i] = (hf_ended){hf_slot_when(hf_slot_at(session->engine, slot)), slot};
    }
    if (count > 0) {
        qsort(ended, count, sizeof *ended, by_end);
    }
    for (uint32_t i = 0; i < count; i++) {
        hf_pool_append(slots, list, ended[i].slot);
    }
    free(ended);
    session->remembered.first_hash = 0; /* another is the first now */
    hf_store_relaxed(&session->remembered.due, first_due(session->engine, list)); /* relaxed: a hint to the keeper */
    return HF_SUCCESS;
}
