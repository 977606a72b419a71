/* Replay. The contract is in replay.h.
 *
 * Within an epoch, chunks come in any order. Steps of SKUs commute, so they are added up as they come. Ids do not wait either, but
 * for a record that is met before the one that begins its life: that is put aside until the epoch's end.
 */
#include "replay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "expiry.h"
#include "numbered.h"
#include "retention.h"
#include "seal.h"
#include "stock.h"
#include "wal/batch.h"
#include "wal/error.h"

typedef struct hf_sum {
    hf_sku *sku; /* NULL: that number was not named yet */
    uint64_t base;    /* the checkpoint's version */
    uint64_t steps;   /* above it */
    uint64_t highest; /* version seen */
    uint64_t counted; /* the highest that was a stock count's */
    int64_t on_hand, reserved;
} hf_sum;

/* An operation of which a later part is still to come. */
typedef struct hf_open_operation {
    uint32_t session;
    hf_record_type type;
    hf_id id;
    uint64_t step;
    hf_step *lines; /* taking: taken and not given back. Releasing: still to be released */
    uint32_t line_count, line_room;
} hf_open_operation;

/* What a record says of an id. */
typedef struct hf_change {
    hf_record_type type;
    uint32_t session;
    bool open; /* more of its operation is to come */
    hf_id id;
    uint64_t step, time_ms, deadline_ms, version;
} hf_change;

struct hf_replay {
    hf_engine *engine;
    uint64_t epoch; /* at hand */
    hf_numbered sums; /* hf_sum */
    hf_open_operation *open;
    size_t open_count, open_room;
    hf_change *aside;
    size_t aside_count, aside_room;
    uint64_t ids; /* held, for the index to grow */
    hf_session_name *last_name;
    hf_step steps[HF_MAX_LINES];
};

static int corrupt(const hf_replay *replay, const char *what) {
    return hf_fail(HF_ECORRUPT, "%s, epoch %" PRIu64 ": %s", replay->engine->directory, replay->epoch, what);
}

/* The array with room for `count` elements, new ones zero; NULL: no memory. */
static void *make_room(void *array, size_t *room, size_t count, size_t size) {
    if (count <= *room) {
        return array;
    }
    size_t wanted = *room * 2 > count ? *room * 2 : count + 64;
    char *more = reallocarray(array, wanted, size);
    if (!more) {
        (void)hf_fail(HF_ENOMEM, "no memory to replay the log");
        return NULL;
    }
    memset(more + *room * size, 0, (wanted - *room) * size);
    *room = wanted;
    return more;
}

int hf_replay_begin(hf_engine *engine, hf_replay **replay) {
    *replay = calloc(1, sizeof **replay);
    if (!*replay) {
        return hf_fail(HF_ENOMEM, "no memory to replay the log");
    }
    (*replay)->engine = engine;
    (*replay)->sums.element = sizeof(hf_sum);
    return HF_SUCCESS;
}

void hf_replay_free(hf_replay *replay) {
    if (!replay) {
        return;
    }
    for (size_t i = 0; i < replay->open_room; i++) {
        free(replay->open[i].lines);
    }
    free(replay->open);
    hf_numbered_free(&replay->sums);
    free(replay->aside);
    free(replay);
}

/* ---- SKUs -------------------------------------------------------------------------------------------------------------- */

static int name_sku(hf_replay *replay, uint32_t number, const void *name, size_t length) {
    hf_skus *skus = &replay->engine->skus;
    hf_sum *sum = hf_numbered_make(&replay->sums, number);
    if (!sum) {
        return HF_ENOMEM;
    }
    hf_sku *sku;
    int error = hf_skus_make(skus, hf_skus_hash(skus, name, length), name, length, number, NULL, NULL, &sku);
    if (!error && (sku->number != number || (sum->sku && sum->sku != sku))) {
        error = corrupt(replay, "one SKU has two numbers, or one number two SKUs");
    }
    if (!error) {
        sum->sku = sku;
    }
    return error;
}

/* NULL: no SKU was named so. */
static hf_sum *sum_of(const hf_replay *replay, uint32_t number) {
    hf_sum *sum = hf_numbered_at(&replay->sums, number);
    return sum && sum->sku ? sum : NULL;
}

/* Of a line whose step was taken, or whose SKU was looked for: it was named. */
static hf_sku *sku_of(const hf_replay *replay, uint32_t number) {
    const hf_sum *sum = sum_of(replay, number);
    assert(sum);
    return sum->sku;
}

int hf_replay_sku(hf_replay *replay, uint32_t number, const void *name, size_t length, hf_counter counter) {
    int error = name_sku(replay, number, name, length);
    if (!error) {
        hf_sum *sum = sum_of(replay, number);
        *sum = (hf_sum){.sku = sum->sku,
                        .base = counter.version,
                        .highest = counter.version,
                        .on_hand = counter.on_hand,
                        .reserved = counter.reserved};
    }
    return error;
}

static int add_steps(hf_replay *replay, const hf_entry *entry) {
    for (uint32_t i = 0; i < entry->step_count; i++) {
        const hf_step *step = &entry->steps[i];
        int64_t on_hand, reserved;
        hf_sum *sum = sum_of(replay, step->sku);
        if (!sum) {
            return corrupt(replay, "a step of a SKU that was never named");
        }
        if (entry->type == HF_RECORD_COUNT && step->version > sum->counted) {
            sum->counted = step->version;
        }
        if (step->version <= sum->base) {
            continue; /* the checkpoint has it */
        }
        hf_record_change(entry, step, &on_hand, &reserved);
        sum->on_hand += on_hand;
        sum->reserved += reserved;
        sum->highest = step->version > sum->highest ? step->version : sum->highest;
        sum->steps++;
    }
    return HF_SUCCESS;
}

static int finish_sku(const hf_replay *replay, const hf_sum *sum) {
    hf_counter counter = {sum->on_hand, sum->reserved, sum->highest, false};
    size_t length;
    const char *name = hf_sku_name(sum->sku, &length);
    if (sum->highest != sum->base + sum->steps) {
        return hf_fail(HF_ECORRUPT,
                       "%s, up to epoch %" PRIu64 ": SKU %.*s has %" PRIu64 " steps above version %" PRIu64
                       ", and the highest leads to version %" PRIu64 ": expected no gap and no repeat",
                       replay->engine->directory, replay->epoch, (int)length, name, sum->steps, sum->base, sum->highest);
    }
    if (!hf_counter_is_valid(counter)) {
        return hf_fail(HF_ECORRUPT,
                       "%s, up to epoch %" PRIu64 ": SKU %.*s comes to on_hand %" PRId64 ", reserved %" PRId64
                       ": expected both from 0 to %llu",
                       replay->engine->directory, replay->epoch, (int)length, name, sum->on_hand, sum->reserved,
                       (unsigned long long)HF_COUNTER_MASK);
    }
    hf_store_relaxed(&sum->sku->counted, sum->counted); /* edge W2 */
    hf_store128_release(&sum->sku->word, hf_counter_word(counter)); /* edge W1 */
    return HF_SUCCESS;
}

/* ---- ids ----------------------------------------------------------------------------------------------------------------- */

static uint32_t find_slot(const hf_replay *replay, hf_id id) {
    hf_section_enter();
    uint32_t number = hf_index_find(replay->engine->index, hf_id_hash(replay->engine, id), &id);
    hf_section_leave();
    return number;
}

/* The index in one table again. */
static void grow_index(hf_replay *replay) {
    hf_index_grow_if_needed(replay->engine->index, ++replay->ids);
    while (replay->ids % 1024 == 0 && hf_index_migrate(replay->engine->index, 1 << 16)) {
    }
}

static int new_slot(hf_replay *replay, hf_id id, uint32_t *number) {
    hf_engine *engine = replay->engine;
    hf_session *keeper = engine->keeper;
    uint32_t existing;
    if (!hf_pool_cache_has(&keeper->slots, 1) && !hf_pool_refill(&engine->slots, &keeper->slots, &engine->grace)) {
        return hf_pool_is_spent(&engine->slots, 1)
                   ? hf_fail(HF_EIDS, "max_reservations is %" PRIu64 ", and %s holds more ids than that",
                             engine->options.max_reservations, engine->directory)
                   : hf_fail(HF_ENOMEM, "no memory for the ids in %s", engine->directory);
    }
    grow_index(replay);
    *number = hf_pool_get(&engine->slots, &keeper->slots);
    hf_slot_at(engine, *number)->id = id;
    hf_section_enter();
    enum hf_index_result result = hf_index_insert(engine->index, hf_id_hash(engine, id), &id, *number, &existing);
    hf_section_leave();
    return result == HF_INDEX_INSERTED ? HF_SUCCESS : hf_fail(HF_ENOMEM, "no memory for the id index");
}

/* Blocks for lines that name SKUs by number. */
static int write_lines(hf_replay *replay, hf_slot *slot, const hf_step *lines, uint32_t count) {
    hf_engine *engine = replay->engine;
    hf_pool_cache *cache = &engine->keeper->blocks;
    slot->line = count == 1 ? hf_sku_line(&engine->skus, sku_of(replay, lines[0].sku)) : HF_POOL_NONE;
    for (uint32_t end = count > 1 ? count : 0; end > 0;) {
        if (!hf_pool_cache_has(cache, 1) && !hf_pool_refill(&engine->blocks, cache, &engine->grace)) {
            return hf_fail(HF_ENOMEM, "no memory for the lines of a reservation");
        }
        uint32_t from = (end - 1) / HF_BLOCK_LINES * HF_BLOCK_LINES, number = hf_pool_get(&engine->blocks, cache);
        hf_block *block = hf_pool_cell(&engine->blocks, number);
        for (uint32_t i = from; i < end; i++) {
            hf_block_set(block, i - from, hf_sku_line(&engine->skus, sku_of(replay, lines[i].sku)), lines[i].quantity);
        }
        block->next = slot->line;
        slot->line = number;
        end = from;
    }
    return HF_SUCCESS;
}

/* Lets an older life of an id go, which the engine had forgotten before it used the id again. */
static void drop_life(hf_replay *replay, uint32_t number) {
    hf_engine *engine = replay->engine;
    hf_slot *slot = hf_slot_at(engine, number);
    uint64_t word = slot->word;
    hf_section_enter();
    (void)hf_index_remove(engine->index, hf_id_hash(engine, slot->id), number);
    hf_section_leave();
    hf_retire_lines(engine->keeper, slot);
    hf_store_release(&slot->word, hf_slot_word(hf_slot_step_of(word), HF_SLOT_FREE)); /* edge R1 */
    if (!hf_slot_has_ended(hf_slot_state_of(word))) { /* else it is remembered, and retired when its turn comes */
        hf_pool_retire(&engine->slots, &engine->keeper->slots, number);
    }
    replay->ids--;
}

/* Makes the life, whose lines are of SKUs that were named; `older` is the slot of one before it of the same id, or HF_INDEX_NONE. */
static int add_life(hf_replay *replay, uint32_t older, const hf_replay_life *life) {
    hf_engine *engine = replay->engine;
    uint32_t number = HF_INDEX_NONE;
    if (older != HF_INDEX_NONE) {
        drop_life(replay, older);
    }
    int error = new_slot(replay, life->id, &number);
    if (error) {
        return error;
    }
    hf_slot *slot = hf_slot_at(engine, number);
    bool single = life->line_count == 1;
    slot->user = life->user;
    hf_slot_set_times(slot, life->when_ms, life->first_deadline_ms, single ? life->lines[0].quantity : 0);
    hf_slot_set_facts(slot, life->version, life->line_count);
    error = write_lines(replay, slot, life->lines, life->line_count);
    hf_store_release(&slot->word, hf_slot_word(life->step, life->state)); /* edge R1 */
    if (!error && hf_slot_has_ended(life->state)) {
        hf_remember(engine->keeper, number, life->when_ms);
    }
    return error;
}

/* An id that was forgotten and used again while the scan went by stands there twice: its later life counts. And one may hold units of
 * a SKU that was made behind the scan of the SKUs: then it was begun behind the replay's start, and the log has it. */
int hf_replay_life_add(hf_replay *replay, const hf_replay_life *life) {
    uint32_t other = find_slot(replay, life->id);
    if (other != HF_INDEX_NONE && hf_slot_step_of(hf_slot_at(replay->engine, other)->word) >= life->step) {
        return HF_SUCCESS;
    }
    for (uint32_t i = 0; i < life->line_count; i++) {
        if (!sum_of(replay, life->lines[i].sku)) {
            return HF_SUCCESS;
        }
    }
    return add_life(replay, other, life);
}

/* ---- operations left open ------------------------------------------------------------------------------------------------- */

/* A session's name may be opened again while the last record of its last operation still waits in a ring: two of its operations may
 * be open at once. */
static hf_open_operation *find_open(hf_replay *replay, uint32_t session, hf_record_type type, hf_id id, uint64_t step) {
    for (size_t i = 0; i < replay->open_count; i++) {
        hf_open_operation *open = &replay->open[i];
        if (open->session == session && open->type == type && open->step == step &&
            memcmp(&open->id, &id, sizeof id) == 0) {
            return open;
        }
    }
    return NULL;
}

static hf_open_operation *find_open_of(hf_replay *replay, uint32_t session, const hf_entry *entry) {
    return find_open(replay, session, entry->type, entry->id, entry->step);
}

static void close_open(hf_replay *replay, hf_open_operation *open) {
    hf_open_operation last = replay->open[replay->open_count - 1];
    replay->open[replay->open_count - 1] = *open; /* its lines' memory stays, for the next */
    *open = last;
    replay->open_count--;
}

static hf_open_operation *begin_open(hf_replay *replay, uint32_t session, const hf_entry *entry) {
    hf_open_operation *all = make_room(replay->open, &replay->open_room, replay->open_count + 1, sizeof *all);
    if (!all) {
        return NULL;
    }
    replay->open = all;
    hf_open_operation *open = &all[replay->open_count++];
    open->session = session;
    open->type = entry->type;
    open->id = entry->id;
    open->step = entry->step;
    open->line_count = 0;
    return open;
}

static int add_line(hf_open_operation *open, uint32_t sku, int64_t quantity, uint64_t version) {
    size_t room = open->line_room;
    hf_step *lines = make_room(open->lines, &room, (size_t)open->line_count + 1, sizeof *lines);
    if (!lines) {
        return HF_ENOMEM;
    }
    open->lines = lines;
    open->line_room = (uint32_t)room;
    lines[open->line_count++] = (hf_step){.sku = sku, .quantity = quantity, .version = version};
    return HF_SUCCESS;
}

/* The line is no longer owed. Where it is not among them yet (a release's lines come with its reservation), that is noted: a line
 * of quantity 0, against which the line that comes is set off. */
static int take_off(hf_open_operation *open, uint32_t sku) {
    for (uint32_t i = 0; i < open->line_count; i++) {
        if (open->lines[i].sku == sku && open->lines[i].quantity > 0) {
            open->lines[i] = open->lines[--open->line_count];
            return HF_SUCCESS;
        }
    }
    return add_line(open, sku, 0, 0);
}

static int owe_line(hf_open_operation *open, uint32_t sku, int64_t quantity) {
    for (uint32_t i = 0; i < open->line_count; i++) {
        if (open->lines[i].sku == sku && open->lines[i].quantity == 0) {
            open->lines[i] = open->lines[--open->line_count];
            return HF_SUCCESS;
        }
    }
    return add_line(open, sku, quantity, 0);
}

/* A part that is not its operation's only one; *open has every line up to it. */
static int take_part(hf_replay *replay, uint32_t session, const hf_entry *entry, hf_open_operation **open) {
    bool first = !(entry->parts & HF_PART_CONTINUED);
    *open = first ? begin_open(replay, session, entry) : find_open_of(replay, session, entry);
    if (!*open) {
        return first ? HF_ENOMEM : corrupt(replay, "a record goes on with an operation that did not begin");
    }
    bool takes = !hf_record_releases(entry->type) && !(entry->parts & HF_PART_GIVE);
    int error = HF_SUCCESS;
    for (uint32_t i = 0; i < entry->step_count && !error; i++) {
        const hf_step *step = &entry->steps[i];
        error = takes ? add_line(*open, step->sku, step->quantity, step->version) : take_off(*open, step->sku);
    }
    return !error && (*open)->line_count > HF_MAX_LINES ? corrupt(replay, "too many lines") : error;
}

/* What a release still owes: its reservation's lines, less those that the record has. */
static int owe_lines(hf_replay *replay, const hf_slot *slot, const hf_change *change) {
    hf_open_operation *open = find_open(replay, change->session, change->type, change->id, change->step);
    hf_line_walk walk = hf_lines_of(replay->engine, slot);
    hf_sku *sku;
    int64_t quantity;
    int error = HF_SUCCESS;
    while (open && !error && hf_next_line(&walk, &sku, &quantity)) {
        error = owe_line(open, sku->number, quantity);
    }
    return error;
}

/* ---- records ---------------------------------------------------------------------------------------------------------------- */

static void keep_position(hf_replay *replay, uint32_t session, uint64_t position) {
    hf_session_name *name = replay->last_name;
    if (!name || name->number != session) {
        for (name = replay->engine->names; name && name->number != session; name = name->next) {
        }
        replay->last_name = name;
    }
    if (name && position > name->position) {
        name->position = position;
    }
}

int hf_replay_session(hf_replay *replay, uint32_t number, const void *name, size_t length, uint64_t position) {
    bool made;
    if (memchr(name, 0, length)) {
        return corrupt(replay, "a session's name has a zero byte");
    }
    hf_session_name *entry;
    int error = hf_session_name_of(replay->engine, name, length, number, &entry, &made);
    if (error) {
        return error;
    }
    if (entry->number != number) {
        return corrupt(replay, "one session has two numbers");
    }
    entry->position = position > entry->position ? position : entry->position;
    if (number >= replay->engine->next_session) {
        replay->engine->next_session = number + 1;
    }
    return HF_SUCCESS;
}

/* The record that decides the beginning of a life: the lines of earlier parts come first. */
static int begin_life(hf_replay *replay, const hf_entry *entry, const hf_open_operation *open) {
    uint64_t step = hf_first_step(entry->time_ms);
    uint32_t number = find_slot(replay, entry->id);
    if (number != HF_INDEX_NONE && hf_slot_step_of(hf_slot_at(replay->engine, number)->word) >= step) {
        return HF_SUCCESS; /* the checkpoint has this life */
    }
    if (entry->step_count == 0) {
        return corrupt(replay, "an operation without a line");
    }
    bool lasts = entry->type == HF_RECORD_RESERVE;
    uint64_t deadline = lasts ? hf_deadline(entry->time_ms, entry->ttl_ms) : 0;
    hf_replay_life life = {.id = entry->id,
                           .state = lasts                                ? HF_SLOT_LIVE
                                    : entry->type == HF_RECORD_PURCHASE ? HF_SLOT_CONFIRMED
                                                                        : HF_SLOT_APPLIED,
                           .step = step,
                           .when_ms = lasts ? deadline : entry->time_ms,
                           .first_deadline_ms = deadline,
                           .version = entry->steps[entry->step_count - 1].version,
                           .user = entry->user,
                           .lines = open ? open->lines : entry->steps,
                           .line_count = !lasts ? 0 : open ? open->line_count : entry->step_count};
    assert(life.line_count <= HF_MAX_LINES); /* by take_part, or by the record's own bound */
    return add_life(replay, number, &life);
}

/* A late confirmation of an id that replay forgot before the engine did: it is remembered from its end on. */
static int remember_anew(hf_replay *replay, const hf_change *change) {
    hf_replay_life life = {.id = change->id,
                           .state = HF_SLOT_CONFIRMED,
                           .step = change->step,
                           .when_ms = change->time_ms,
                           .version = change->version};
    return change->type == HF_RECORD_CONFIRM_LATE ? add_life(replay, HF_INDEX_NONE, &life) : HF_SUCCESS;
}

static int set_state(hf_replay *replay, uint32_t number, const hf_change *change) {
    hf_session *keeper = replay->engine->keeper;
    hf_slot *slot = hf_slot_at(replay->engine, number);
    bool listed = hf_slot_has_ended(hf_slot_state_of(slot->word));
    hf_slot_state state = change->type == HF_RECORD_EXTEND   ? HF_SLOT_LIVE
                          : change->type == HF_RECORD_EXPIRE ? HF_SLOT_EXPIRED
                          : change->type == HF_RECORD_CANCEL ? HF_SLOT_CANCELLED
                                                             : HF_SLOT_CONFIRMED;
    if (listed && state != HF_SLOT_CONFIRMED) {
        return corrupt(replay, "an id that has ended is changed");
    }
    int error = change->open ? owe_lines(replay, slot, change) : HF_SUCCESS;
    hf_slot_set_when(slot, state == HF_SLOT_LIVE ? change->deadline_ms : change->time_ms);
    if (state == HF_SLOT_CONFIRMED || state == HF_SLOT_CANCELLED) {
        hf_retire_lines(keeper, slot);
        hf_slot_set_facts(slot, hf_slot_version(slot), 0);
    }
    hf_store_release(&slot->word, hf_slot_word(change->step, state)); /* edge R1 */
    if (!listed && state != HF_SLOT_LIVE) {
        hf_remember(keeper, number, change->time_ms);
    }
    return error;
}

/* Whether the slot's life is the one that the change is of: both began in the same millisecond, but for lives of many steps. */
static bool same_life(const hf_slot *slot, uint64_t step) {
    return hf_slot_step_of(slot->word) >> HF_STEP_BITS == step >> HF_STEP_BITS;
}

/* `again`: it is the epoch's end, and what is not there now will not come. */
static int change_id(hf_replay *replay, const hf_change *change, bool again) {
    uint32_t number = find_slot(replay, change->id);
    const hf_slot *slot = number == HF_INDEX_NONE ? NULL : hf_slot_at(replay->engine, number);
    if (!again && (!slot || !same_life(slot, change->step))) {
        hf_change *aside = make_room(replay->aside, &replay->aside_room, replay->aside_count + 1, sizeof *aside);
        if (!aside) {
            return HF_ENOMEM;
        }
        replay->aside = aside;
        aside[replay->aside_count++] = *change;
        return HF_SUCCESS;
    }
    if (!slot) {
        return remember_anew(replay, change);
    }
    return hf_slot_step_of(slot->word) >= change->step ? HF_SUCCESS : set_state(replay, number, change);
}

static hf_change change_of(const hf_entry *entry, uint32_t session) {
    return (hf_change){.type = entry->type,
                       .session = session,
                       .open = entry->parts & HF_PART_OPEN,
                       .id = entry->id,
                       .step = entry->step,
                       .time_ms = entry->time_ms,
                       .deadline_ms = hf_deadline(entry->time_ms, entry->ttl_ms),
                       .version = entry->step_count > 0 ? entry->steps[entry->step_count - 1].version : 0};
}

/* Whether the record goes on with an operation that began in the epoch before the checkpoint's first. The grace period between the
 * two waited for it, and the scan came after: the checkpoint has all of it. */
static bool began_before_checkpoint(hf_replay *replay, uint32_t session, const hf_entry *entry) {
    return entry->parts & HF_PART_CONTINUED && !(entry->parts & HF_PART_RECOVERY) &&
           replay->epoch == replay->engine->checkpoint_epoch && !find_open_of(replay, session, entry);
}

/* What an operation's record says, its steps apart. */
static int take_operation(hf_replay *replay, uint32_t session, const hf_entry *entry) {
    if (began_before_checkpoint(replay, session, entry)) {
        return HF_SUCCESS;
    }
    hf_open_operation *open = NULL;
    bool first = !(entry->parts & HF_PART_CONTINUED), last = !(entry->parts & HF_PART_OPEN);
    bool recovers = entry->parts & HF_PART_RECOVERY;
    int error = !recovers && !(first && last) ? take_part(replay, session, entry, &open) : HF_SUCCESS;
    bool decides = hf_record_releases(entry->type) ? first : last && !(entry->parts & HF_PART_GIVE);
    if (!error && decides && !recovers) {
        hf_change change = change_of(entry, session);
        error = hf_record_begins(entry->type) ? begin_life(replay, entry, open) : change_id(replay, &change, false);
    }
    if (!error && open && last) {
        close_open(replay, open);
    }
    return error;
}

static int take_record(hf_replay *replay, uint32_t session, const hf_entry *entry) {
    replay->engine->replayed_records++;
    if (entry->position) {
        keep_position(replay, session, entry->position);
    }
    switch (entry->type) {
    case HF_RECORD_SKU: /* taken before the others of the epoch */
    case HF_RECORD_SESSION:
    case HF_RECORD_NOTE:
        return HF_SUCCESS;
    case HF_RECORD_RECOVERY: /* what its term found open is resolved by records beside it */
        replay->open_count = 0;
        return HF_SUCCESS;
    default:
        break;
    }
    int error = add_steps(replay, entry);
    return error ? error : take_operation(replay, session, entry);
}

/* ---- epochs ------------------------------------------------------------------------------------------------------------------- */

/* Names first: a record may use one that stands in a chunk behind it. */
static int take_names(hf_replay *replay, hf_chunk chunk) {
    hf_entry entry;
    int more, error = HF_SUCCESS;
    while (!error && (more = hf_record_decode(&chunk, &entry, replay->steps)) > 0) {
        if (entry.type == HF_RECORD_SKU) {
            error = name_sku(replay, entry.number, entry.name, entry.name_length);
        } else if (entry.type == HF_RECORD_SESSION) {
            error = hf_replay_session(replay, entry.number, entry.name, entry.name_length, 0);
        }
    }
    return error ? error : more < 0 ? corrupt(replay, "a record is malformed") : HF_SUCCESS;
}

static int take_chunk(hf_replay *replay, hf_chunk chunk) {
    hf_engine *engine = replay->engine;
    hf_entry entry;
    int more, error = HF_SUCCESS;
    if (chunk.session >= engine->next_session) {
        engine->next_session = chunk.session + 1;
    }
    while (!error && (more = hf_record_decode(&chunk, &entry, replay->steps)) > 0) {
        error = take_record(replay, chunk.session, &entry);
    }
    (void)hf_raise_relaxed(&engine->now_ms, chunk.context.time_ms); /* relaxed: nobody else has this engine yet */
    return error ? error : more < 0 ? corrupt(replay, "a record is malformed") : HF_SUCCESS;
}

static int by_step(const void *left, const void *right) {
    const hf_change *a = left, *b = right;
    return (a->step > b->step) - (a->step < b->step);
}

static int end_epoch(hf_replay *replay) {
    hf_engine *engine = replay->engine;
    int error = HF_SUCCESS;
    if (replay->aside_count > 1) {
        qsort(replay->aside, replay->aside_count, sizeof *replay->aside, by_step);
    }
    for (size_t i = 0; i < replay->aside_count && !error; i++) {
        error = change_id(replay, &replay->aside[i], true);
    }
    replay->aside_count = 0;
    /* Nobody else has this engine yet: grace periods are free. */
    hf_store_release(&engine->grace.begun, engine->grace.begun + 1); /* edge P2 */
    hf_store_release(&engine->grace.ended, engine->grace.begun);     /* edge P2 */
    (void)hf_forget_for_others(engine->keeper, engine->now_ms, 0);
    return error;
}

static int each_chunk(hf_replay *replay, const hf_wal_epoch *epoch, bool names) {
    const uint8_t *at = epoch->payload, *end = at + epoch->length;
    int error = HF_SUCCESS;
    while (at < end && !error) {
        hf_chunk chunk;
        at = hf_chunk_open(at, end, &chunk);
        if (!at) {
            return corrupt(replay, "a chunk is malformed");
        }
        if (!names || chunk.names) {
            error = names ? take_names(replay, chunk) : take_chunk(replay, chunk);
        }
    }
    return error;
}

int hf_replay_epoch(void *context, const hf_wal_epoch *epoch) {
    hf_replay *replay = context;
    replay->epoch = epoch->epoch;
    replay->engine->replayed_epochs++;
    replay->engine->checkpoint_log_bytes -= hf_batch_size(epoch->length); /* below 0: written since the checkpoint, before this open */
    int error = each_chunk(replay, epoch, true);
    error = error ? error : each_chunk(replay, epoch, false);
    error = error ? error : end_epoch(replay);
    (void)hf_raise_relaxed(&replay->engine->now_ms, epoch->time_ms); /* relaxed: the same */
    return error;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------- */

/* Live reservations into the wheels; and the gauges of ids begin anew. */
static int finish_slots(hf_engine *engine) {
    hf_session *keeper = engine->keeper;
    uint64_t used = hf_pool_used(&engine->slots);
    keeper->ids_begun = keeper->ids_forgotten = keeper->live_begun = keeper->live_ended = 0;
    for (uint64_t i = 0; i < used; i++) {
        const hf_slot *slot = hf_slot_at(engine, (uint32_t)i);
        hf_slot_state state = hf_slot_state_of(slot->word);
        keeper->ids_begun += state != HF_SLOT_FREE;
        keeper->live_begun += state == HF_SLOT_LIVE;
        hf_wheel_entry hint = {.time_ms = hf_slot_when(slot), .slot = (uint32_t)i};
        if (state == HF_SLOT_LIVE && !hf_wheel_add(hf_shard_of(engine, hint.slot)->wheel, hint)) {
            return hf_fail(HF_ENOMEM, "no memory for a timing wheel's entries");
        }
    }
    return HF_SUCCESS;
}

int hf_replay_finish(hf_replay *replay) {
    int error = HF_SUCCESS;
    hf_sum *sum;
    for (uint32_t number = 0; !error && (sum = hf_numbered_next(&replay->sums, &number)) != NULL; number++) {
        error = sum->sku ? finish_sku(replay, sum) : HF_SUCCESS;
    }
    while (hf_index_migrate(replay->engine->index, 1 << 16)) {
    }
    return error ? error : finish_slots(replay->engine);
}

/* Whether the SKU has what is to be taken from it again: else the log says of an open operation what was not. */
static bool can_resolve(const hf_replay *replay, const hf_open_operation *open, const hf_step *line) {
    hf_counter counter = hf_counter_of(hf_load128_acquire(&sku_of(replay, line->sku)->word)); /* edge W1 */
    int64_t on_hand, reserved;
    hf_counter_change(open->type, line->quantity, !hf_record_releases(open->type), &on_hand, &reserved);
    counter.reserved += reserved;
    counter.on_hand += on_hand < 0 ? on_hand : 0; /* upwards it stops by itself */
    counter.version++;
    return hf_counter_is_valid(counter);
}

/* Gives back what an undecided operation had taken, or completes a decided release. */
static int resolve(hf_replay *replay, const hf_open_operation *open) {
    hf_engine *engine = replay->engine;
    hf_session *keeper = engine->keeper;
    bool give = !hf_record_releases(open->type), any = false;
    if (keeper->logs && !hf_ring_room(&keeper->ring, hf_record_need(open->line_count))) {
        return hf_fail(HF_ENOMEM, "ring_bytes is %u: too small for what recovery has to write", engine->options.ring_bytes);
    }
    for (uint32_t i = 0; i < open->line_count; i++) {
        if (open->lines[i].quantity > 0 && !can_resolve(replay, open, &open->lines[i])) {
            return corrupt(replay, "an operation that was left open has taken what was not there");
        }
    }
    hf_section_enter();
    hf_part_begin(&keeper->part, open->type, &open->id, hf_engine_now(engine), open->step);
    keeper->part.head.parts = HF_PART_RECOVERY;
    keeper->part.give = give ? HF_PART_GIVE : 0;
    for (uint32_t i = 0; i < open->line_count; i++) {
        const hf_step *line = &open->lines[i];
        if (line->quantity > 0) {
            hf_sku *sku = sku_of(replay, line->sku);
            (void)(give ? hf_stock_give_back(keeper, open->type, sku, line->quantity, line->version)
                        : hf_stock_release_line(keeper, open->type, sku, line->quantity));
            any = true;
        }
    }
    if (any) {
        (void)hf_part_end(&keeper->part, HF_OUTCOME_IN_PROGRESS, 0);
    }
    hf_section_leave();
    engine->undone++;
    return HF_SUCCESS;
}

uint64_t hf_replay_room(const hf_replay *replay) {
    uint64_t room = 0;
    for (size_t i = 0; i < replay->open_count; i++) {
        room += hf_record_need(replay->open[i].line_count);
    }
    return room;
}

int hf_replay_resolve(hf_replay *replay) {
    int error = HF_SUCCESS;
    for (size_t i = 0; i < replay->open_count && !error; i++) {
        error = resolve(replay, &replay->open[i]);
    }
    return error;
}
