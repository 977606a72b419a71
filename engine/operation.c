/* Operations: what receive, adjust, count, purchase, reserve, confirm, cancel and extend do. docs/OPERATIONS.md says it in words.
 *
 * Guarantees
 *   A  An operation is one read-side section; whatever may wait (room in the ring, a SKU that must be made, reservations that are
 *      due) is done before it, and the section begun anew.
 *   B  Taking operations decide last: claim the id, take line by line, then decide. Releasing ones decide first.
 *   C  An error, or HF_OUTCOME_IN_PROGRESS: nothing was changed.
 *
 * The path of one hf_reserve, from top to bottom:
 *
 *      hf_submit -> check -> resolve (names to SKUs) -> prepare (ring room, a slot, hint room)
 *      section {  begin_life: look at the stock -> claim the id in the index -> hint -> take the lines -> LIVE, record  }
 *
 * Edges
 *   R1  the state word: compare-and-swap or the claimer's store -> load. Carries the slot's fields; and, as W1 for counters, sees to
 *       it that who builds on a decision reads an epoch not below the decision's.
 *   R2  a slot's field: the claimer's store -> a reader's load, who then meets the claimed word (reservation.h).
 */
#include <assert.h>
#include <sched.h>

#include "expiry.h"
#include "retention.h"
#include "stock.h"
#include "wal/error.h"

/* What an operation needs before it can go on. */
typedef enum hf_verdict {
    HF_DONE,
    HF_WANTS_ROOM,     /* call->room bytes of the ring */
    HF_WANTS_SKU,      /* the SKU of its only line must be made */
    HF_WANTS_SETTLING, /* whatever is due must be expired before it may be refused */
    HF_WANTS_HINT,     /* room for a hint of call->slot */
} hf_verdict;

typedef struct hf_call {
    hf_session *session;
    const hf_op *op;
    hf_reply *reply;
    uint64_t hash; /* of the id */
    uint64_t now_ms;
    uint64_t room;
    uint64_t if_version; /* 0: whatever it is */
    uint64_t settled_ms; /* refusals are right as of this time; 0: not settled yet */
    uint32_t slot;       /* being made, or meant */
    uint32_t line_count; /* of session->lines */
    uint32_t unknown;    /* index of a line whose SKU is unknown; UINT32_MAX: none */
    bool has_slot;
    int error; /* with HF_DONE: why nothing was done */
} hf_call;

static bool begins(hf_op_type type) { return type <= HF_OP_RESERVE; }
static bool makes_skus(hf_op_type type) { return type == HF_OP_RECEIVE || type == HF_OP_COUNT; }

/* ---- checking the arguments ------------------------------------------------------------------------------------------ */

static int check_line(const hf_op *op, const hf_line *line, size_t index) {
    bool good = op->type == HF_OP_ADJUST  ? line->quantity != 0 && line->quantity >= -HF_MAX_QUANTITY
                : op->type == HF_OP_COUNT ? line->quantity >= 0
                                          : line->quantity > 0;
    if (!good || line->quantity > HF_MAX_QUANTITY) {
        return hf_fail(HF_EINVAL, "%s: line %zu has quantity %lld: expected %s, %lld at most", hf_op_text(op->type), index,
                       (long long)line->quantity,
                       op->type == HF_OP_ADJUST  ? "one that is not 0"
                       : op->type == HF_OP_COUNT ? "0 or more"
                                                 : "1 or more",
                       (long long)HF_MAX_QUANTITY);
    }
    if (!line->sku && (!line->name || line->name_length == 0 || line->name_length > HF_MAX_SKU_NAME)) {
        return hf_fail(HF_EINVAL, "%s: line %zu has a SKU's name of %zu bytes: expected 1 to %u", hf_op_text(op->type),
                       index, line->name_length, HF_MAX_SKU_NAME);
    }
    return HF_SUCCESS;
}

static int check(const hf_op *op) {
    if (op->type < HF_OP_RECEIVE || op->type >= HF_OP_TYPE_END) {
        return hf_fail(HF_EINVAL, "operation type %d: expected %d to %d", (int)op->type, HF_OP_RECEIVE, HF_OP_TYPE_END - 1);
    }
    bool has_ttl = op->type == HF_OP_RESERVE || op->type == HF_OP_EXTEND;
    if (has_ttl && (op->ttl_ms == 0 || op->ttl_ms > HF_MAX_TTL_MS)) {
        return hf_fail(HF_EINVAL, "%s: ttl_ms is %llu: expected 1 to %llu", hf_op_text(op->type),
                       (unsigned long long)op->ttl_ms, (unsigned long long)HF_MAX_TTL_MS);
    }
    if (!begins(op->type)) {
        return HF_SUCCESS;
    }
    size_t most = op->type >= HF_OP_PURCHASE ? HF_MAX_LINES : 1;
    if (op->line_count == 0 || op->line_count > most || !op->lines) {
        return hf_fail(HF_EINVAL, "%s: %zu lines: expected 1 to %zu", hf_op_text(op->type), op->line_count, most);
    }
    for (size_t i = 0; i < op->line_count; i++) {
        int error = check_line(op, &op->lines[i], i);
        if (error) {
            return error;
        }
    }
    return HF_SUCCESS;
}

/* ---- resolving lines -------------------------------------------------------------------------------------------------- */

static hf_sku *find_sku(const hf_session *session, const hf_line *line) {
    if (line->sku) {
        return line->sku;
    }
    const hf_skus *skus = &session->engine->skus;
    return hf_skus_find(skus, hf_skus_hash(skus, line->name, line->name_length), line->name, line->name_length);
}

/* The place of the SKU among the lines so far, in a table of 2^n places that is at most half full; its own if it is new. */
static uint16_t *place_of(hf_session *session, const hf_sku *sku, uint32_t mask) {
    uint32_t i = hf_sku_line(&session->engine->skus, sku) * UINT32_C(2654435761) & mask;
    while (session->places[i] != 0 && session->lines[session->places[i] - 1].sku != sku) {
        i = (i + 1) & mask;
    }
    return &session->places[i];
}

/* Lines with names found and SKUs that repeat summed, in the order of their first. */
static void resolve(hf_call *call) {
    hf_session *session = call->session;
    const hf_op *op = call->op;
    call->unknown = UINT32_MAX;
    if (op->line_count == 1) {
        session->lines[0] = (hf_wanted){.sku = find_sku(session, &op->lines[0]), .quantity = op->lines[0].quantity};
        call->line_count = 1;
        call->unknown = session->lines[0].sku ? UINT32_MAX : 0;
        return;
    }
    uint32_t places = 16;
    while (places < 2 * op->line_count) {
        places *= 2;
    }
    memset(session->places, 0, places * sizeof *session->places);
    call->line_count = 0;
    for (uint32_t i = 0; i < op->line_count; i++) {
        hf_sku *sku = find_sku(session, &op->lines[i]);
        if (!sku) {
            call->unknown = call->unknown == UINT32_MAX ? i : call->unknown;
            continue;
        }
        uint16_t *place = place_of(session, sku, places - 1);
        if (*place == 0) {
            session->lines[call->line_count] = (hf_wanted){.sku = sku, .given = i};
            *place = (uint16_t)++call->line_count;
        }
        session->lines[*place - 1].quantity += op->lines[i].quantity;
    }
}

/* ---- answers ---------------------------------------------------------------------------------------------------------- */

/* The number of the caller's operation, where its session keeps it. */
static uint64_t position_of(const hf_call *call) { return call->session->name ? call->op->position : 0; }

/* An answer that changes nothing. Its ticket is the open epoch, read after what it tells of. A position makes it a record, since
 * the caller relies on being given it back. */
static hf_verdict answer(hf_call *call, hf_outcome outcome, hf_state state) {
    hf_session *session = call->session;
    hf_reply *reply = call->reply;
    uint64_t epoch = hf_engine_epoch(session->engine);
    reply->outcome = outcome;
    reply->state = state;
    reply->ticket = epoch;
    if (outcome != HF_OUTCOME_IN_PROGRESS && position_of(call) != 0 && session->logs) {
        hf_entry note = {.type = HF_RECORD_NOTE,
                         .id = call->op->id,
                         .time_ms = call->now_ms,
                         .outcome = outcome,
                         .position = position_of(call)};
        hf_ring_append(&session->ring, epoch, &note);
        hf_store_relaxed(&session->part.records, session->part.records + 1); /* relaxed: a gauge */
    }
    hf_store_relaxed(&session->asked, epoch); /* edge A1 */
    return HF_DONE;
}

static hf_verdict fail(hf_call *call, int error) {
    call->error = error;
    return HF_DONE;
}

/* Whether what was due had been expired before this attempt began: only then may it end with out_of_stock. */
static bool was_settled(const hf_call *call) { return call->settled_ms >= call->now_ms; }

/* Ends the operation whose line `index` could not be taken from a SKU that has *counter. */
static hf_verdict refuse(hf_call *call, hf_step_result why, uint32_t given, const hf_counter *counter, hf_state state) {
    hf_reply *reply = call->reply;
    const hf_op *op = call->op;
    reply->line = given;
    reply->version = counter->version;
    switch (why) {
    case HF_STEP_UNKNOWN:
        reply->version = 0;
        return answer(call, HF_OUTCOME_UNKNOWN_SKU, state);
    case HF_STEP_VERSION:
        reply->line = 0;
        return answer(call, HF_OUTCOME_VERSION_MISMATCH, state);
    case HF_STEP_SHORT:
        return answer(call, HF_OUTCOME_OUT_OF_STOCK, state);
    default:
        return fail(call, hf_fail(HF_ERANGE, "%s: on_hand %lld, quantity %lld, version %llu: the counter would leave its range "
                                             "(on_hand at most %lld)",
                                  hf_op_text(op->type), (long long)counter->on_hand,
                                  (long long)(begins(op->type) ? op->lines[given].quantity : call->session->lines[given].quantity),
                                  (unsigned long long)counter->version, (long long)HF_MAX_QUANTITY));
    }
}

/* ---- the reservation that is meant ------------------------------------------------------------------------------------- */

/* The state in which an id is to be answered: one that is due is expired first. `*word` is what it was read from. */
static hf_verdict current_state(hf_call *call, hf_slot_state *state, uint64_t *word) {
    hf_session *session = call->session;
    hf_slot *slot = hf_slot_at(session->engine, call->slot);
    for (;;) {
        *word = hf_load_acquire(&slot->word); /* edge R1 */
        *state = hf_slot_state_of(*word);
        /* Whoever made the last step had seen the clock at its time: what ends a life must not be told as before its beginning. */
        uint64_t begun_ms = hf_slot_step_of(*word) >> HF_STEP_BITS;
        call->now_ms = call->now_ms > begun_ms ? call->now_ms : begun_ms;
        if (*state != HF_SLOT_LIVE) {
            return HF_DONE;
        }
        if (hf_slot_when(slot) > call->now_ms) {
            if (__builtin_expect(hf_load_relaxed(&slot->word) == *word, 1)) { /* relaxed: edge R2. Else it may be when it ended */
                return HF_DONE;
            }
            continue;
        }
        uint64_t room = 2 * hf_record_need(hf_slot_line_count(slot));
        if (session->logs && !hf_ring_room(&session->ring, room)) {
            call->room = room;
            return HF_WANTS_ROOM;
        }
        if (hf_expire(session, call->slot, *word, call->now_ms)) {
            hf_hint_died(session, call->slot);
        }
    }
}

/* Answers an operation whose id is known already. */
static hf_verdict answer_known(hf_call *call) {
    hf_slot_state state;
    uint64_t word;
    const hf_slot *slot = hf_slot_at(call->session->engine, call->slot);
    hf_verdict verdict = current_state(call, &state, &word);
    if (verdict != HF_DONE) {
        return verdict;
    }
    if (state == HF_SLOT_PENDING) {
        return answer(call, HF_OUTCOME_IN_PROGRESS, HF_STATE_UNDECIDED);
    }
    if (state == HF_SLOT_FREE) {
        return HF_WANTS_ROOM; /* refused or forgotten since it was found: begin anew */
    }
    call->reply->version = hf_slot_version(slot);
    call->reply->deadline_ms = hf_slot_first_deadline(slot);
    return answer(call, HF_OUTCOME_DUPLICATE, hf_slot_public_state(state));
}

/* Whether the id is held; call->slot is then its slot. A slot that is just being forgotten is helped out of the index. */
static bool find_id(hf_call *call) {
    hf_engine *engine = call->session->engine;
    for (;;) {
        uint32_t number = hf_index_find(engine->index, call->hash, &call->op->id);
        if (number == HF_INDEX_NONE) {
            return false;
        }
        uint64_t word = hf_load_acquire(&hf_slot_at(engine, number)->word); /* edge R1 */
        if (hf_slot_state_of(word) != HF_SLOT_FREE) {
            call->slot = number;
            return true;
        }
        (void)hf_index_remove(engine->index, call->hash, number);
    }
}

/* ---- operations that begin the life of an id --------------------------------------------------------------------------- */

static hf_record_type record_of(hf_op_type type) { return (hf_record_type)type; }
_Static_assert((int)HF_RECORD_RECEIVE == (int)HF_OP_RECEIVE && (int)HF_RECORD_EXTEND == (int)HF_OP_EXTEND, "the same numbers");

/* Where there are more lines than one: blocks for them, which were made sure of. */
static uint32_t write_blocks(hf_session *session, uint32_t count) {
    hf_engine *engine = session->engine;
    uint32_t first = HF_POOL_NONE;
    for (uint32_t end = count; end > 0;) {
        uint32_t from = (end - 1) / HF_BLOCK_LINES * HF_BLOCK_LINES, number = hf_pool_get(&engine->blocks, &session->blocks);
        hf_block *block = hf_pool_cell(&engine->blocks, number);
        for (uint32_t i = from; i < end; i++) {
            hf_block_set(block, i - from, hf_sku_line(&engine->skus, session->lines[i].sku), session->lines[i].quantity);
        }
        hf_store_relaxed(&block->next, first); /* relaxed: published with the slot */
        first = number;
        end = from;
    }
    return first;
}

/* Fills the slot, which nobody else sees yet; its step is the one before its first. */
static void write_slot(hf_call *call) {
    hf_session *session = call->session;
    hf_engine *engine = session->engine;
    const hf_op *op = call->op;
    hf_slot *slot = hf_slot_at(engine, call->slot);
    bool lasts = op->type == HF_OP_RESERVE;
    uint64_t deadline = lasts ? hf_deadline(call->now_ms, op->ttl_ms) : 0;
    bool single = call->line_count == 1;
    slot->id = op->id;
    slot->user = lasts ? op->user : 0;
    uint32_t line = !lasts   ? HF_POOL_NONE
                    : single ? hf_sku_line(&engine->skus, session->lines[0].sku)
                             : write_blocks(session, call->line_count);
    /* Relaxed: a pop_magazine that comes too late may still read it as a link; its compare-and-swap then fails. */
    hf_store_relaxed(&slot->line, line);
    hf_slot_set_times(slot, lasts ? deadline : call->now_ms, deadline, lasts && single ? session->lines[0].quantity : 0);
    hf_slot_set_facts(slot, 0, lasts ? call->line_count : 0);
    /* Edge R1: to hints that still name this slot from an earlier life. */
    hf_store_release(&slot->word, hf_slot_word(hf_first_step(call->now_ms) - 1, HF_SLOT_PENDING));
    call->reply->deadline_ms = deadline;
}

/* The slot was filled, but nobody ever saw it. */
static void unwrite_slot(hf_call *call) {
    hf_slot *slot = hf_slot_at(call->session->engine, call->slot);
    hf_retire_lines(call->session, slot);
    hf_store_release(&slot->word, hf_slot_word(0, HF_SLOT_FREE)); /* edge R1, to hints that still name it */
    call->reply->deadline_ms = 0;
}

/* Gives the first `count` lines back; the operation ends with `outcome`. */
static void give_back(hf_call *call, hf_record_type type, uint32_t count, hf_outcome outcome, uint64_t position) {
    if (count == 0) {
        return;
    }
    hf_part_give_back(&call->session->part);
    for (uint32_t i = 0; i < count; i++) {
        const hf_wanted *line = &call->session->lines[i];
        (void)hf_stock_give_back(call->session, type, line->sku, line->quantity, line->version);
    }
    call->reply->ticket = hf_part_end(&call->session->part, outcome, position);
}

/* A claim that came to nothing: the id is free again, and the slot once nobody can be reading it. */
static void unclaim(hf_call *call) {
    hf_session *session = call->session;
    hf_engine *engine = session->engine;
    hf_slot *slot = hf_slot_at(engine, call->slot);
    uint64_t word = hf_load_relaxed(&slot->word); /* relaxed: our own claim */
    hf_store_release(&slot->word, hf_slot_word(hf_slot_step_of(word), HF_SLOT_FREE)); /* edge R1 */
    (void)hf_index_remove(engine->index, call->hash, call->slot);
    hf_retire_lines(session, slot);
    hf_pool_retire(&engine->slots, &session->slots, call->slot);
    if (call->op->type == HF_OP_RESERVE) {
        hf_hint_died(session, call->slot);
    }
    call->has_slot = false;
}

/* Takes every line of session->lines, or none. HF_STEP_DONE, or why line *failed could not be had. */
HF_FOR_ITS_TYPE hf_step_result take_lines(hf_call *call, hf_record_type type, hf_counter *counter, uint32_t *failed) {
    hf_session *session = call->session;
    hf_step_result result = HF_STEP_DONE;
    for (*failed = 0; *failed < call->line_count; ++*failed) {
        hf_wanted *line = &session->lines[*failed];
        result = hf_stock_take(session, type, line->sku, line->quantity, call->if_version, counter);
        if (result != HF_STEP_DONE) {
            break;
        }
        line->version = counter->version;
    }
    return result;
}

/* Decides a life that was begun: every line is taken. */
static hf_verdict decide_life(hf_call *call, uint64_t version) {
    hf_session *session = call->session;
    hf_slot *slot = hf_slot_at(session->engine, call->slot);
    hf_op_type type = call->op->type;
    hf_slot_state state = type == HF_OP_RESERVE    ? HF_SLOT_LIVE
                          : type == HF_OP_PURCHASE ? HF_SLOT_CONFIRMED
                                                   : HF_SLOT_APPLIED;
    uint64_t word = hf_slot_word(hf_first_step(call->now_ms), state);
    hf_slot_set_facts(slot, version, hf_slot_line_count(slot));
    call->reply->ticket = hf_part_end(&session->part, HF_OUTCOME_OK, position_of(call));
    call->reply->version = version;
    call->reply->outcome = HF_OUTCOME_OK;
    call->reply->state = hf_slot_public_state(state);
    hf_tally(session, ids_begun);
    if (state != HF_SLOT_LIVE) {
        hf_store_release(&slot->word, word); /* edge R1 */
        hf_remember(session, call->slot, call->now_ms);
        return HF_DONE;
    }
    hf_tally(session, live_begun);
    hf_barrier_after_cas(); /* edge D1: the hint was pushed before the lines were taken, and the clock is read after it */
    uint64_t now_ms = hf_engine_now(session->engine);
    hf_store_release(&slot->word, word); /* edge R1 */
    if (__builtin_expect(call->reply->deadline_ms <= now_ms, 0) && hf_expire(session, call->slot, word, now_ms)) {
        hf_hint_died(session, call->slot); /* the clock passed its deadline while it was made */
    }
    return HF_DONE;
}

/* Why a look at the counters says that the lines cannot be taken; HF_STEP_DONE where they may. Most refusals of a flash sale end
 * here, by plain loads, and own no line. */
HF_FOR_ITS_TYPE hf_step_result look(const hf_call *call, hf_record_type type, hf_counter *counter, uint32_t *index) {
    const hf_session *session = call->session;
    hf_step_result found = HF_STEP_DONE;
    for (uint32_t i = 0; i < call->line_count; i++) {
        hf_counter before = hf_counter_of(hf_load128_acquire(&session->lines[i].sku->word)), after = before; /* edge W1 */
        hf_step_result result = hf_stock_apply(type, session->lines[i].quantity, call->if_version, &after);
        if (result == HF_STEP_UNKNOWN || (result != HF_STEP_DONE && found == HF_STEP_DONE)) {
            found = result; /* unknown_sku goes before out_of_stock */
            *counter = before;
            *index = i;
        }
        if (result == HF_STEP_UNKNOWN) {
            break;
        }
    }
    return found;
}

/* The same, for those that begin a life. */
static hf_step_result look_first(const hf_call *call, hf_counter *counter, uint32_t *index) {
    return call->op->type == HF_OP_RESERVE ? look(call, HF_RECORD_RESERVE, counter, index)
                                           : look(call, record_of(call->op->type), counter, index);
}

static hf_step_result take_first(hf_call *call, hf_counter *counter, uint32_t *failed) {
    return call->op->type == HF_OP_RESERVE ? take_lines(call, HF_RECORD_RESERVE, counter, failed)
                                           : take_lines(call, record_of(call->op->type), counter, failed);
}

/* The operation cannot be, unless its id is known. */
static hf_verdict refuse_life(hf_call *call, hf_step_result why, uint32_t given, const hf_counter *counter) {
    uint32_t reserved_slot = call->slot;
    if (find_id(call)) {
        return answer_known(call);
    }
    call->slot = reserved_slot;
    if (why == HF_STEP_SHORT && !was_settled(call)) {
        return HF_WANTS_SETTLING;
    }
    return refuse(call, why, given, counter, HF_STATE_UNKNOWN);
}

/* A line was gone between the look and the taking. */
static hf_verdict undo_life(hf_call *call, hf_step_result why, uint32_t failed, const hf_counter *counter) {
    bool again = why == HF_STEP_SHORT && !was_settled(call);
    hf_outcome outcome = why == HF_STEP_SHORT     ? HF_OUTCOME_OUT_OF_STOCK
                         : why == HF_STEP_VERSION ? HF_OUTCOME_VERSION_MISMATCH
                                                  : HF_OUTCOME_UNKNOWN_SKU;
    give_back(call, record_of(call->op->type), failed, outcome, 0);
    unclaim(call);
    call->reply->deadline_ms = 0;
    return again ? HF_WANTS_SETTLING
                 : refuse(call, why, call->session->lines[failed].given, counter, HF_STATE_UNKNOWN);
}

/* Why there was no slot to be had. */
static int no_slot(const hf_engine *engine) {
    return hf_pool_is_spent(&engine->slots, 1)
               ? hf_fail(HF_EIDS, "max_reservations is %llu, and all of them are live or remembered",
                         (unsigned long long)engine->options.max_reservations)
               : hf_fail(HF_ENOMEM, "no memory for more ids");
}

static hf_verdict begin_life(hf_call *call) {
    hf_session *session = call->session;
    hf_engine *engine = session->engine;
    const hf_op *op = call->op;
    hf_record_type type = record_of(op->type);
    hf_counter counter = {0};
    uint32_t index = 0, existing;
    if (call->unknown != UINT32_MAX) {
        if (makes_skus(op->type) && call->if_version == 0) {
            return find_id(call) ? answer_known(call) : HF_WANTS_SKU;
        }
        hf_step_result why = makes_skus(op->type) ? HF_STEP_VERSION : HF_STEP_UNKNOWN;
        return refuse_life(call, why, call->unknown, &counter);
    }
    hf_step_result why = look_first(call, &counter, &index);
    if (why == HF_STEP_SHORT && !was_settled(call) && hf_is_settled(engine, call->now_ms)) {
        call->settled_ms = call->now_ms; /* by others, it may be after our look: look again */
        why = look_first(call, &counter, &index);
    }
    if (__builtin_expect(why != HF_STEP_DONE, 0)) {
        return refuse_life(call, why, session->lines[index].given, &counter);
    }
    if (__builtin_expect(!call->has_slot, 0)) {
        return find_id(call) ? answer_known(call) : fail(call, no_slot(engine));
    }
    write_slot(call);
    switch (hf_index_insert(engine->index, call->hash, &op->id, call->slot, &existing)) {
    case HF_INDEX_NO_MEMORY:
        unwrite_slot(call);
        return fail(call, hf_fail(HF_ENOMEM, "no memory for the id index to grow"));
    case HF_INDEX_EXISTS:
        unwrite_slot(call);
        return find_id(call) ? answer_known(call) : HF_WANTS_ROOM; /* forgotten meanwhile: begin anew */
    default:
        break;
    }
    (void)hf_pool_get(&engine->slots, &session->slots); /* it is ours from now on */
    if (op->type == HF_OP_RESERVE) {
        hf_hint_push(session, call->slot, call->reply->deadline_ms);
    }
    if (__builtin_expect(hf_engine_now(engine) >= call->now_ms + engine->options.retention_ms, 0)) {
        unclaim(call); /* so old a time may lie before the end of an earlier life of this id: its steps would not grow */
        call->settled_ms = 0;
        call->reply->deadline_ms = 0;
        return HF_WANTS_ROOM;
    }
    hf_part_begin(&session->part, type, &op->id, call->now_ms, 0);
    session->part.head.ttl_ms = op->ttl_ms;
    session->part.head.user = op->user;
    why = take_first(call, &counter, &index);
    return __builtin_expect(why == HF_STEP_DONE, 1) ? decide_life(call, counter.version)
                                                    : undo_life(call, why, index, &counter);
}

/* ---- confirm ---------------------------------------------------------------------------------------------------------- */

/* The slot's lines as session->lines. */
static void load_lines(hf_call *call, const hf_slot *slot) {
    hf_session *session = call->session;
    hf_line_walk walk = hf_lines_of(session->engine, slot);
    uint32_t count = 0;
    for (hf_wanted *line = session->lines; hf_next_line(&walk, &line->sku, &line->quantity); line++) {
        line->given = count++;
    }
    call->line_count = count;
}

/* The claimed slot's word becomes one of an end. It has no lines any more. */
static inline void end_life(hf_call *call, hf_slot *slot, uint64_t word, bool has_expired) {
    hf_session *session = call->session;
    hf_slot_set_when(slot, call->now_ms);
    hf_retire_lines(session, slot);
    hf_slot_set_facts(slot, hf_slot_version(slot), 0);
    hf_store_release(&slot->word, word); /* edge R1 */
    if (!has_expired) {                  /* else it is on somebody's list since then */
        hf_tally(session, live_ended);
        hf_hint_died(session, call->slot);
        hf_remember(session, call->slot, call->now_ms);
    }
}

/* Every unit is taken: the reservation is confirmed. */
static hf_verdict decide_confirm(hf_call *call, hf_slot *slot, uint64_t step, bool late, uint64_t version) {
    hf_session *session = call->session;
    hf_reply *reply = call->reply;
    reply->ticket = hf_part_end(&session->part, HF_OUTCOME_OK, position_of(call));
    reply->version = version;
    reply->outcome = late ? HF_OUTCOME_CONFIRMED_LATE : HF_OUTCOME_OK;
    reply->state = HF_STATE_CONFIRMED;
    end_life(call, slot, hf_slot_word(step, HF_SLOT_CONFIRMED), late);
    return HF_DONE;
}

/* Confirms from `word`, live or expired. */
static hf_verdict take_reserved(hf_call *call, uint64_t word, bool *moved) {
    hf_session *session = call->session;
    hf_slot *slot = hf_slot_at(session->engine, call->slot);
    hf_slot_state before = hf_slot_state_of(word);
    bool late = before == HF_SLOT_EXPIRED;
    hf_record_type type = late ? HF_RECORD_CONFIRM_LATE : HF_RECORD_CONFIRM;
    uint64_t step = hf_slot_step_of(word) + 1;
    hf_slot_state claimed = late ? HF_SLOT_REVIVING : HF_SLOT_CONFIRMING;
    *moved = !hf_cas_acq_rel(&slot->word, &word, hf_slot_word(step, claimed)); /* edge R1 */
    if (__builtin_expect(*moved, 0)) {
        return HF_DONE;
    }
    load_lines(call, slot);
    hf_part_begin(&session->part, type, &slot->id, call->now_ms, step);
    hf_counter counter;
    uint32_t failed;
    hf_step_result why = call->line_count > 1 ? look(call, type, &counter, &failed) : HF_STEP_DONE;
    uint32_t taken = 0;
    if (why == HF_STEP_DONE) {
        why = late ? take_lines(call, HF_RECORD_CONFIRM_LATE, &counter, &failed)
                   : take_lines(call, HF_RECORD_CONFIRM, &counter, &failed);
        taken = failed;
    }
    if (__builtin_expect(why == HF_STEP_DONE, 1)) {
        return decide_confirm(call, slot, step, late, counter.version);
    }
    bool again = late && why == HF_STEP_SHORT && !was_settled(call);
    give_back(call, type, taken, HF_OUTCOME_OUT_OF_STOCK, 0);
    hf_store_release(&slot->word, hf_slot_word(step, before)); /* edge R1 */
    return again ? HF_WANTS_SETTLING : refuse(call, why, failed, &counter, hf_slot_public_state(before));
}

/* ---- cancel ---------------------------------------------------------------------------------------------------------------- */

/* Cancels from `word`, live: decides, then releases. */
static hf_verdict release_reserved(hf_call *call, uint64_t word, bool *moved) {
    hf_session *session = call->session;
    hf_slot *slot = hf_slot_at(session->engine, call->slot);
    hf_reply *reply = call->reply;
    uint64_t step = hf_slot_step_of(word) + 1, epoch = hf_engine_epoch(session->engine);
    *moved = !hf_cas_acq_rel(&slot->word, &word, hf_slot_word(step, HF_SLOT_CANCELLING)); /* edge R1 */
    if (__builtin_expect(*moved, 0)) {
        return HF_DONE;
    }
    hf_part_begin(&session->part, HF_RECORD_CANCEL, &slot->id, call->now_ms, step);
    hf_part_decide(&session->part, epoch);
    reply->version = hf_stock_release(session, HF_RECORD_CANCEL, slot);
    reply->ticket = hf_part_end(&session->part, HF_OUTCOME_OK, position_of(call));
    reply->outcome = HF_OUTCOME_OK;
    reply->state = HF_STATE_CANCELLED;
    end_life(call, slot, hf_slot_word(step, HF_SLOT_CANCELLED), false);
    return HF_DONE;
}

/* ---- extend ---------------------------------------------------------------------------------------------------------------- */

/* Moves the deadline from `word`, live. */
static hf_verdict move_deadline(hf_call *call, uint64_t word, bool *moved) {
    hf_session *session = call->session;
    hf_slot *slot = hf_slot_at(session->engine, call->slot);
    hf_reply *reply = call->reply;
    uint64_t step = hf_slot_step_of(word) + 1, deadline = hf_deadline(call->now_ms, call->op->ttl_ms);
    *moved = !hf_cas_acq_rel(&slot->word, &word, hf_slot_word(step, HF_SLOT_EXTENDING)); /* edge R1 */
    if (__builtin_expect(*moved, 0)) {
        return HF_DONE;
    }
    hf_hint_died(session, call->slot); /* the one of the deadline before */
    hf_hint_push(session, call->slot, deadline); /* behind the claim: until then it would look dead */
    hf_full_barrier(); /* edge D1 */
    uint64_t now_ms = hf_engine_now(session->engine);
    hf_slot_set_when(slot, deadline);
    hf_part_begin(&session->part, HF_RECORD_EXTEND, &slot->id, call->now_ms, step);
    session->part.head.ttl_ms = deadline - call->now_ms;
    hf_part_decide(&session->part, hf_engine_epoch(session->engine)); /* after the claim's load, before the store that decides */
    reply->ticket = hf_part_end(&session->part, HF_OUTCOME_OK, position_of(call));
    reply->outcome = HF_OUTCOME_OK;
    reply->state = HF_STATE_LIVE;
    reply->deadline_ms = deadline;
    word = hf_slot_word(step, HF_SLOT_LIVE);
    hf_store_release(&slot->word, word); /* edge R1 */
    if (__builtin_expect(deadline <= now_ms, 0) && hf_expire(session, call->slot, word, now_ms)) {
        hf_hint_died(session, call->slot);
    }
    return HF_DONE;
}

/* ---- confirm, cancel, extend: whichever it is ---------------------------------------------------------------------------- */

/* Whether an ended id need not be remembered any more. A late payment for it is answered as if it was forgotten: replay may have
 * forgotten it, whose clock is that of the records before, and with it what it was first answered. */
static bool is_overdue(const hf_call *call, const hf_slot *slot) {
    return hf_slot_when(slot) + call->session->engine->options.retention_ms <= call->now_ms;
}

/* From a state that the operation does not lead out of. */
static hf_verdict answer_ended(hf_call *call, hf_slot_state state) {
    hf_op_type type = call->op->type;
    bool already = false;
    switch (state) {
    case HF_SLOT_CONFIRMED:
        already = type == HF_OP_CONFIRM;
        break;
    case HF_SLOT_CANCELLED:
        already = type == HF_OP_CANCEL;
        break;
    case HF_SLOT_EXPIRED:
        if (type == HF_OP_CONFIRM) {
            return answer(call, HF_OUTCOME_NOT_FOUND, HF_STATE_UNKNOWN); /* overdue */
        }
        already = type == HF_OP_CANCEL;
        break;
    case HF_SLOT_APPLIED:
    case HF_SLOT_FREE:
        return answer(call, HF_OUTCOME_NOT_FOUND, hf_slot_public_state(state));
    default:
        return answer(call, HF_OUTCOME_IN_PROGRESS, HF_STATE_UNDECIDED);
    }
    return answer(call, already ? HF_OUTCOME_ALREADY : HF_OUTCOME_CONFLICT, hf_slot_public_state(state));
}

/* What it may have to write, of its own, and of an expiry where it is extended and due again at once. */
static hf_verdict want_room(hf_call *call, const hf_slot *slot) {
    hf_session *session = call->session;
    if (call->op->type == HF_OP_EXTEND && !hf_hint_room(session, call->slot)) {
        return HF_WANTS_HINT;
    }
    call->room = hf_record_need(hf_slot_line_count(slot));
    return session->logs && !hf_ring_room(&session->ring, call->room) ? HF_WANTS_ROOM : HF_DONE;
}

static hf_verdict change_life(hf_call *call) {
    const hf_slot *slot = hf_slot_at(call->session->engine, call->slot);
    hf_op_type type = call->op->type;
    hf_verdict verdict;
    bool moved; /* the word is another by now: look again */
    do {
        hf_slot_state state;
        uint64_t word;
        verdict = current_state(call, &state, &word);
        if (verdict != HF_DONE) {
            return verdict;
        }
        bool late = type == HF_OP_CONFIRM && state == HF_SLOT_EXPIRED && !is_overdue(call, slot);
        if (state != HF_SLOT_LIVE && !late) {
            return answer_ended(call, state);
        }
        verdict = want_room(call, slot);
        if (verdict != HF_DONE) {
            return verdict;
        }
        verdict = type == HF_OP_CONFIRM  ? take_reserved(call, word, &moved)
                  : type == HF_OP_CANCEL ? release_reserved(call, word, &moved)
                                         : move_deadline(call, word, &moved);
    } while (verdict == HF_DONE && moved);
    return verdict;
}

/* ---- one operation ------------------------------------------------------------------------------------------------------ */

static hf_verdict carry_out(hf_call *call) {
    if (begins(call->op->type)) {
        return begin_life(call);
    }
    if (!find_id(call)) {
        return answer(call, HF_OUTCOME_NOT_FOUND, HF_STATE_UNKNOWN);
    }
    return change_life(call);
}

/* Room for a hint of `slot`. Waits for a shard's owner only where waiting is allowed. */
static int hint_room(hf_session *session, uint32_t slot) {
    const hf_engine *engine = session->engine;
    while (!hf_hint_room(session, slot)) {
        int error = hf_hint_make_room(session, slot);
        if (error == HF_EBUSY && (!engine->has_threads || engine->options.flags & HF_NONBLOCKING)) {
            return hf_fail(HF_EAGAIN, "another thread is at the timing wheel that this operation needs");
        }
        if (error && error != HF_EBUSY) {
            return error;
        }
        if (error) {
            (void)sched_yield();
        }
    }
    return HF_SUCCESS;
}

/* A slot, and blocks where there are several lines. Without a slot the operation may still be answered, if its id is known. */
static int prepare_slot(hf_call *call) {
    hf_session *session = call->session;
    hf_engine *engine = session->engine;
    if (__builtin_expect(!hf_pool_cache_has(&session->slots, 1), 0)) {
        (void)hf_pool_refill(&engine->slots, &session->slots, &engine->grace);
        hf_index_grow_if_needed(engine->index, hf_pool_used(&engine->slots));
    }
    call->has_slot = hf_pool_cache_has(&session->slots, 1);
    if (!call->has_slot) {
        return HF_SUCCESS;
    }
    call->slot = session->slots.ready.first;
    if (call->op->type != HF_OP_RESERVE) {
        return HF_SUCCESS;
    }
    uint32_t blocks = call->line_count > 1 ? (call->line_count + HF_BLOCK_LINES - 1) / HF_BLOCK_LINES : 0;
    while (!hf_pool_cache_has(&session->blocks, blocks)) {
        if (!hf_pool_refill(&engine->blocks, &session->blocks, &engine->grace)) {
            return hf_fail(HF_ENOMEM, "no memory for the lines of a reservation");
        }
    }
    return hint_room(session, call->slot);
}

static int prepare(hf_call *call) {
    int error = hf_session_room(call->session, call->room);
    return error || !begins(call->op->type) ? error : prepare_slot(call);
}

/* Inside a section. */
static void announce_sku(void *context, uint32_t number) {
    hf_call *call = context;
    hf_session *session = call->session;
    if (!session->logs) {
        return;
    }
    const hf_line *line = &call->op->lines[0];
    hf_entry entry = {.type = HF_RECORD_SKU,
                      .time_ms = hf_engine_now(session->engine),
                      .number = number,
                      .name = line->name,
                      .name_length = (uint32_t)line->name_length};
    hf_ring_append(&session->ring, hf_engine_epoch(session->engine), &entry);
}

/* Does what the section could not. HF_SUCCESS: try again. */
static int satisfy(hf_call *call, hf_verdict verdict) {
    hf_session *session = call->session;
    hf_skus *skus = &session->engine->skus;
    const hf_line *line = call->op->lines;
    switch (verdict) {
    case HF_WANTS_SKU:
        call->unknown = UINT32_MAX;
        return hf_skus_make(skus, hf_skus_hash(skus, line->name, line->name_length), line->name, line->name_length, 0,
                            announce_sku, call, &session->lines[0].sku);
    case HF_WANTS_SETTLING:
        call->settled_ms = call->now_ms;
        return hf_settle_for(session, call->now_ms);
    case HF_WANTS_HINT:
        return hint_room(session, call->slot);
    default:
        return HF_SUCCESS; /* prepare sees to the ring */
    }
}

/* The position is kept before the section of the record that bears it is left: a checkpoint whose replay starts behind that record
 * then finds it with the session's name. */
static inline void keep_position(const hf_call *call) {
    hf_session *session = call->session;
    if (!call->error && call->reply->outcome != HF_OUTCOME_IN_PROGRESS && position_of(call) > session->position) {
        session->position = position_of(call);
        hf_store_relaxed(&session->name->position, session->position); /* edge N2 */
    }
}

/* Carries out one well-formed operation. */
static int operate(hf_session *session, const hf_op *op, uint64_t hash, hf_reply *reply) {
    hf_call call = {.session = session, .op = op, .reply = reply, .hash = hash, .room = HF_RECORD_FEW};
    hf_index_prefetch(session->engine->index, hash); /* needed last, and as far away as the SKU */
    if (begins(op->type)) {
        resolve(&call);
        hf_prefetch_write(session->lines[0].sku);
        call.room = hf_record_need(call.line_count);
        call.if_version = op->line_count == 1 ? op->if_version : 0;
    }
    int error = HF_SUCCESS;
    for (hf_verdict verdict = HF_WANTS_ROOM; !error && verdict != HF_DONE;) {
        error = prepare(&call);
        if (error) {
            break;
        }
        hf_section_enter();
        uint64_t now_ms = hf_engine_now(session->engine);
        hf_forget_due(session, now_ms);
        /* Once whatever was due has been expired, the refusal stands as of that time. */
        call.now_ms = call.settled_ms ? call.settled_ms : now_ms;
        verdict = carry_out(&call);
        if (verdict == HF_DONE) {
            keep_position(&call);
        }
        hf_section_leave();
        error = verdict == HF_DONE ? call.error : satisfy(&call, verdict);
        if (session->part.head.time_ms > call.settled_ms) {
            call.settled_ms = 0; /* an expiry was logged by a later clock: this operation's time must not be before it */
        }
        if (error == HF_EBUSY) { /* somebody else is at what is due */
            *reply = (hf_reply){.outcome = HF_OUTCOME_IN_PROGRESS, .state = HF_STATE_UNDECIDED};
            reply->ticket = hf_engine_epoch(session->engine);
            return HF_SUCCESS;
        }
    }
    if (!session->logs && !error) {
        hf_store_relaxed(&session->asked, reply->ticket); /* edge A1: without a log there is no record to be found */
    }
    return reply->error = error;
}

/* ---- the public calls ---------------------------------------------------------------------------------------------------- */

static int submit_one(hf_session *session, const hf_op *op, hf_reply *reply) {
    *reply = (hf_reply){0};
    int error = hf_engine_check_writable(session->engine);
    error = error ? error : check(op);
    return error ? (reply->error = error) : operate(session, op, hf_id_hash(session->engine, op->id), reply);
}

int hf_receive(hf_session *session, hf_id id, hf_line line, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_RECEIVE, .id = id, .lines = &line, .line_count = 1}, reply);
}

int hf_adjust(hf_session *session, hf_id id, hf_line line, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_ADJUST, .id = id, .lines = &line, .line_count = 1}, reply);
}

int hf_count(hf_session *session, hf_id id, hf_line line, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_COUNT, .id = id, .lines = &line, .line_count = 1}, reply);
}

int hf_purchase(hf_session *session, hf_id id, const hf_line *lines, size_t line_count, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_PURCHASE, .id = id, .lines = lines, .line_count = line_count}, reply);
}

int hf_reserve(hf_session *session, hf_id id, const hf_line *lines, size_t line_count, uint64_t ttl_ms, uint64_t user,
               hf_reply *reply) {
    hf_op op = {
        .type = HF_OP_RESERVE, .id = id, .lines = lines, .line_count = line_count, .ttl_ms = ttl_ms, .user = user};
    return submit_one(session, &op, reply);
}

int hf_confirm(hf_session *session, hf_id id, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_CONFIRM, .id = id}, reply);
}

int hf_cancel(hf_session *session, hf_id id, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_CANCEL, .id = id}, reply);
}

int hf_extend(hf_session *session, hf_id id, uint64_t ttl_ms, hf_reply *reply) {
    return submit_one(session, &(hf_op){.type = HF_OP_EXTEND, .id = id, .ttl_ms = ttl_ms}, reply);
}

/* ---- batches -------------------------------------------------------------------------------------------------------------- */

enum { GROUP = 32 }; /* operations whose memory is fetched together */

/* What an operation will write first: its id's bucket, and the SKU of its first lines. */
static void prefetch_first(hf_session *session, const hf_op *op, uint64_t hash) {
    const hf_engine *engine = session->engine;
    hf_index_prefetch(engine->index, hash);
    if (!begins(op->type)) {
        return;
    }
    for (size_t i = 0; i < op->line_count && i < GROUP; i++) {
        const hf_line *line = &op->lines[i];
        hf_prefetch_write(line->sku ? line->sku
                                    : hf_skus_home(&engine->skus, hf_skus_hash(&engine->skus, line->name, line->name_length)));
    }
}

/* Brings the group's memory in, in three passes: buckets, the reservations that they name, the SKUs that those name. */
static void prefetch_group(hf_session *session, const hf_op *ops, size_t count, uint64_t hashes[GROUP]) {
    const hf_engine *engine = session->engine;
    uint32_t slots[GROUP];
    for (size_t i = 0; i < count; i++) {
        hashes[i] = hf_id_hash(engine, ops[i].id);
        if (check(&ops[i]) == HF_SUCCESS) {
            prefetch_first(session, &ops[i], hashes[i]);
        }
    }
    hf_section_enter();
    for (size_t i = 0; i < count; i++) {
        slots[i] = hf_index_glance(engine->index, hashes[i]); /* by its fingerprint: whose id it is will be seen when it is here */
        if (slots[i] != HF_INDEX_NONE) {
            hf_prefetch_write(hf_slot_at(engine, slots[i]));
        }
    }
    for (size_t i = 0; i < count; i++) {
        const hf_slot *slot = slots[i] != HF_INDEX_NONE ? hf_slot_at(engine, slots[i]) : NULL;
        if (slot && hf_slot_line_count(slot) == 1) {
            hf_prefetch_write(hf_sku_at(&engine->skus, hf_load_relaxed(&slot->line))); /* relaxed: a guess */
        }
    }
    hf_section_leave();
}

int hf_submit(hf_session *session, const hf_op *ops, size_t count, hf_reply *replies, size_t *done) {
    uint64_t hashes[GROUP];
    size_t tried = 0;
    int error = hf_engine_check_writable(session->engine);
    for (; !error && tried < count; tried++) {
        const hf_op *op = &ops[tried];
        size_t place = tried % GROUP;
        if (count == 1) {
            hashes[0] = hf_id_hash(session->engine, op->id);
        } else if (place == 0) {
            prefetch_group(session, op, count - tried < GROUP ? count - tried : GROUP, hashes);
        }
        hf_reply *reply = &replies[tried];
        *reply = (hf_reply){0};
        reply->error = check(op);
        if (!reply->error && operate(session, op, hashes[place], reply) == HF_EAGAIN) {
            error = HF_EAGAIN;
            break;
        }
    }
    if (error && count > 0 && tried < count) {
        replies[tried].error = error;
    }
    if (done) {
        *done = tried;
    }
    return error;
}
