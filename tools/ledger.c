/* The ledger: ledger.h. */
#include "ledger.h"

#include "ids.h"

#include <stdlib.h>
#include <string.h>

/* The array with room for `count`, new elements zero; NULL and out_of_memory. */
static void *make_room(hf_ledger *ledger, void *array, size_t *room, size_t size, size_t count) {
    if (count <= *room)
        return array;
    size_t grown = *room * 2 > count ? *room * 2 : count + 63;
    char *bytes = reallocarray(array, grown, size);
    if (!bytes) {
        ledger->out_of_memory = true;
        return array;
    }
    memset(bytes + *room * size, 0, (grown - *room) * size);
    *room = grown;
    return bytes;
}

void hf_ledger_init(hf_ledger *ledger) { *ledger = (hf_ledger){0}; }

/* ---- SKUs -------------------------------------------------------------------------------------------------------- */

/* Where the number's place is kept, or would be. */
static uint32_t *find_number(const hf_ledger *ledger, uint32_t number) {
    size_t at = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (ledger->place_room - 1);
    while (ledger->places[at] != 0 && ledger->skus[ledger->places[at]].number != number)
        at = (at + 1) & (ledger->place_room - 1);
    return &ledger->places[at];
}

/* A table of twice the size; the places stay. */
static bool grow_places(hf_ledger *ledger) {
    size_t room = ledger->place_room ? ledger->place_room * 2 : 1024;
    uint32_t *places = calloc(room, sizeof *places);
    if (!places)
        return false;
    free(ledger->places);
    ledger->places = places;
    ledger->place_room = room;
    for (uint32_t place = 1; place <= ledger->sku_count; place++)
        *find_number(ledger, ledger->skus[place].number) = place;
    return true;
}

uint32_t hf_ledger_place(hf_ledger *ledger, uint32_t number) {
    uint32_t *kept = ledger->place_room ? find_number(ledger, number) : NULL;
    if (kept && *kept != 0)
        return *kept;
    size_t place = ledger->sku_count + 1;
    if (2 * place > ledger->place_room) {
        if (!grow_places(ledger)) {
            ledger->out_of_memory = true;
            return 0;
        }
        kept = find_number(ledger, number);
    }
    ledger->skus = make_room(ledger, ledger->skus, &ledger->sku_room, sizeof *ledger->skus, place + 1);
    if (place >= ledger->sku_room)
        return 0;
    ledger->sku_count = place;
    ledger->skus[place].number = number;
    return *kept = (uint32_t)place;
}

static hf_ledger_sku *sku_of(hf_ledger *ledger, uint32_t number) {
    uint32_t place = hf_ledger_place(ledger, number);
    return place ? &ledger->skus[place] : NULL;
}

static void name_sku(hf_ledger *ledger, hf_ledger_sku *sku, const void *name, uint32_t length) {
    if (sku->name || !name)
        return;
    sku->name = malloc((size_t)length + 1);
    if (!sku->name) {
        ledger->out_of_memory = true;
        return;
    }
    memcpy(sku->name, name, length);
    sku->name[length] = 0;
    sku->name_length = length;
}

static void step_sku(hf_ledger *ledger, const hf_record_line *line, bool counts) {
    hf_ledger_sku *sku = sku_of(ledger, line->sku);
    if (!sku)
        return;
    if (!sku->name)
        name_sku(ledger, sku, line->name, line->name_length);
    sku->on_hand += line->on_hand_change;
    sku->reserved += line->reserved_change;
    sku->steps++;
    if (line->version > sku->version)
        sku->version = line->version;
    if (counts && line->version > sku->counted)
        sku->counted = line->version;
    ledger->steps++;
}

/* ---- the table of reservations ----------------------------------------------------------------------------------- */

/* Where the id is, or would be. */
static hf_claim *find_place(const hf_ledger *ledger, const hf_id *id) {
    size_t at = (size_t)hf_id_hash(id) & (ledger->claim_room - 1);
    while (ledger->claims[at].state != HF_CLAIM_FREE && !hf_id_equal(&ledger->claims[at].id, id))
        at = (at + 1) & (ledger->claim_room - 1);
    return &ledger->claims[at];
}

static hf_claim *find_claim(const hf_ledger *ledger, const hf_id *id) {
    hf_claim *place = ledger->claim_room ? find_place(ledger, id) : NULL;
    return place && place->state != HF_CLAIM_FREE ? place : NULL;
}

const hf_claim *hf_ledger_find(const hf_ledger *ledger, hf_id id) { return find_claim(ledger, &id); }

static bool grow_claims(hf_ledger *ledger) {
    hf_claim *old = ledger->claims;
    size_t room = ledger->claim_room;
    hf_claim *grown = calloc(room ? room * 2 : 4096, sizeof *grown);
    if (!grown) {
        ledger->out_of_memory = true;
        return false;
    }
    ledger->claims = grown;
    ledger->claim_room = room ? room * 2 : 4096;
    for (size_t i = 0; i < room; i++)
        if (old[i].state != HF_CLAIM_FREE)
            *find_place(ledger, &old[i].id) = old[i];
    free(old);
    return true;
}

/* The entry of an id; a new one has no state yet, and is only kept if it gets one. NULL: out of memory. */
static hf_claim *claim_of(hf_ledger *ledger, const hf_id *id) {
    if (ledger->claim_count * 5 >= ledger->claim_room * 3 && !grow_claims(ledger))
        return NULL;
    hf_claim *place = find_place(ledger, id);
    if (place->state == HF_CLAIM_FREE)
        *place = (hf_claim){.id = *id};
    return place;
}

static void set_state(hf_ledger *ledger, hf_claim *claim, hf_claim_state state) {
    ledger->claim_count += claim->state == HF_CLAIM_FREE;
    ledger->live -= claim->state == HF_CLAIM_LIVE;
    ledger->live += state == HF_CLAIM_LIVE;
    claim->state = (uint8_t)state;
}

static void free_lines(hf_claim *claim) {
    if (claim->line_count > 1)
        free(claim->lines.many);
    claim->line_count = 0;
}

/* Moves back what was displaced, so that every chain of probes stays without a hole. */
static void remove_claim(hf_ledger *ledger, hf_claim *claim) {
    size_t mask = ledger->claim_room - 1, hole = (size_t)(claim - ledger->claims);
    ledger->live -= claim->state == HF_CLAIM_LIVE;
    free_lines(claim);
    for (size_t at = (hole + 1) & mask; ledger->claims[at].state != HF_CLAIM_FREE; at = (at + 1) & mask) {
        size_t home = (size_t)hf_id_hash(&ledger->claims[at].id) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            ledger->claims[hole] = ledger->claims[at];
            hole = at;
        }
    }
    ledger->claims[hole] = (hf_claim){0};
    ledger->claim_count--;
}

/* Room for `count` lines; false: out of memory. */
static hf_ledger_line *make_lines(hf_ledger *ledger, hf_claim *claim, size_t count) {
    free_lines(claim);
    hf_ledger_line *lines = count > 1 ? calloc(count, sizeof *lines) : &claim->lines.one;
    if (!lines) {
        ledger->out_of_memory = true;
        return NULL;
    }
    if (count > 1)
        claim->lines.many = lines;
    claim->line_count = (uint32_t)count;
    return lines;
}

static void take_lines(hf_ledger *ledger, hf_claim *claim, const hf_record *record) {
    hf_ledger_line *lines = make_lines(ledger, claim, record->line_count);
    for (uint32_t i = 0; lines && i < record->line_count; i++)
        lines[i] = (hf_ledger_line){.sku = hf_ledger_place(ledger, record->lines[i].sku), .quantity = record->lines[i].quantity};
}

static void take_effects(hf_ledger *ledger, hf_claim *claim, const hf_open_operation *open) {
    hf_ledger_line *lines = make_lines(ledger, claim, open->effect_count);
    for (size_t i = 0; lines && i < open->effect_count; i++) {
        int64_t change = open->effects[i].reserved;
        lines[i] = (hf_ledger_line){.sku = open->effects[i].sku, .quantity = change < 0 ? -change : change};
    }
}

/* ---- what decides about a reservation ---------------------------------------------------------------------------- */

/* A life begins here; in this epoch its end may have been met already, or the life behind it. `open` NULL: one record.
 */
static void begin_claim(hf_ledger *ledger, const hf_record *record, const hf_open_operation *open) {
    hf_claim *claim = claim_of(ledger, &record->id);
    bool is_newest = claim && (claim->state == HF_CLAIM_FREE || record->step > claim->step);
    if (!claim || (claim->state == HF_CLAIM_LIVE && !is_newest))
        return;
    if (open)
        take_effects(ledger, claim, open);
    else
        take_lines(ledger, claim, record);
    claim->is_born = true;
    if (is_newest) {
        claim->step = record->step;
        claim->deadline_ms = open ? open->deadline_ms : record->deadline_ms;
    }
    if (is_newest || claim->state != HF_CLAIM_ENDED) {
        claim->user = open ? open->user : record->user;
        set_state(ledger, claim, HF_CLAIM_LIVE);
    }
}

static void extend_claim(hf_ledger *ledger, const hf_record *record) {
    hf_claim *claim = claim_of(ledger, &record->id);
    if (!claim || claim->state == HF_CLAIM_ENDED || (claim->state != HF_CLAIM_FREE && record->step < claim->step))
        return;
    claim->step = record->step;
    claim->deadline_ms = record->deadline_ms;
    if (claim->state == HF_CLAIM_FREE)
        set_state(ledger, claim, HF_CLAIM_EXTENDED);
}

static void end_claim(hf_ledger *ledger, const hf_record *record, const hf_open_operation *open) {
    hf_claim *claim = claim_of(ledger, &record->id);
    if (!claim || claim->state == HF_CLAIM_ENDED || (claim->state != HF_CLAIM_FREE && record->step < claim->step))
        return;
    if (claim->line_count == 0 && open)
        take_effects(ledger, claim, open);
    else if (claim->line_count == 0)
        take_lines(ledger, claim, record);
    set_state(ledger, claim, HF_CLAIM_ENDED);
    claim->step = record->step;
    claim->ended_ms = record->time_ms;
    ledger->ended =
        make_room(ledger, ledger->ended, &ledger->ended_room, sizeof *ledger->ended, ledger->ended_count + 1);
    if (ledger->ended_count < ledger->ended_room)
        ledger->ended[ledger->ended_count++] = record->id;
}

/* A late confirm is of a reservation that an expire ended before. */
static void decide(hf_ledger *ledger, const hf_record *record, const hf_open_operation *open) {
    switch (record->type) {
    case HF_RECORD_RESERVE:
        begin_claim(ledger, record, open);
        break;
    case HF_RECORD_EXTEND:
        extend_claim(ledger, record);
        break;
    case HF_RECORD_CONFIRM:
    case HF_RECORD_CANCEL:
    case HF_RECORD_EXPIRE:
        end_claim(ledger, record, open);
        break;
    default:
        break;
    }
}

/* ---- operations in parts ----------------------------------------------------------------------------------------- */

/* The operation at an id. Within an epoch another may be met before its predecessor's last part; at its end there is
 * one. */
static hf_open_operation *find_open(const hf_ledger *ledger, const hf_id *id) {
    for (size_t i = 0; i < ledger->open_count; i++)
        if (hf_id_equal(&ledger->open[i].id, id))
            return &ledger->open[i];
    return NULL;
}

static hf_open_operation *find_session(const hf_ledger *ledger, uint32_t session) {
    for (size_t i = 0; i < ledger->open_count; i++)
        if (ledger->open[i].session == session)
            return &ledger->open[i];
    return NULL;
}

static hf_open_operation *begin_open(hf_ledger *ledger, const hf_record *record) {
    ledger->open = make_room(ledger, ledger->open, &ledger->open_room, sizeof *ledger->open, ledger->open_count + 1);
    if (ledger->open_count == ledger->open_room)
        return NULL;
    hf_open_operation *open = &ledger->open[ledger->open_count++];
    *open =
        (hf_open_operation){.session = record->session, .id = record->id, .type = record->type, .epoch = record->epoch};
    return open;
}

static void close_open(hf_ledger *ledger, hf_open_operation *open) {
    free(open->effects);
    *open = ledger->open[--ledger->open_count];
    ledger->open[ledger->open_count] = (hf_open_operation){0};
}

static void add_effect(hf_ledger *ledger, hf_open_operation *open, const hf_record_line *line, bool gives) {
    size_t i = 0;
    uint32_t sku = hf_ledger_place(ledger, line->sku);
    while (i < open->effect_count && open->effects[i].sku != sku)
        i++;
    open->effects = make_room(ledger, open->effects, &open->effect_room, sizeof *open->effects, i + 1);
    if (i >= open->effect_room)
        return;
    if (i == open->effect_count)
        open->effects[open->effect_count++] = (hf_effect){.sku = sku};
    hf_effect *effect = &open->effects[i];
    effect->on_hand += line->on_hand_change;
    effect->reserved += line->reserved_change;
    effect->owed += gives ? -line->quantity : line->quantity;
    effect->version = gives ? effect->version : line->version;
}

static bool decides_first(hf_record_type type) {
    return type != HF_RECORD_RESERVE && type != HF_RECORD_PURCHASE && type != HF_RECORD_CONFIRM &&
           type != HF_RECORD_CONFIRM_LATE;
}

/* What a recovery did about an operation that its term found open: steps, and nothing is decided by them. */
static void take_recovery(hf_ledger *ledger, const hf_record *record) {
    hf_open_operation *open = find_open(ledger, &record->id);
    if (!open || !open->is_resolving) {
        ledger->headless++;
        return;
    }
    for (uint32_t i = 0; i < record->line_count; i++)
        add_effect(ledger, open, &record->lines[i], record->parts & HF_PART_GIVE);
}

static void take_part(hf_ledger *ledger, const hf_record *record) {
    hf_open_operation *open = find_session(ledger, record->session);
    bool is_first = !(record->parts & HF_PART_CONTINUED), is_last = !(record->parts & HF_PART_OPEN);
    bool gives = record->parts & HF_PART_GIVE, is_other = open && (is_first || !hf_id_equal(&open->id, &record->id));
    ledger->doubled += is_other;
    if (is_other)
        close_open(ledger, open);
    bool was_open = open && !is_other;
    ledger->headless += !is_first && !was_open;
    if (!was_open)
        open = begin_open(ledger, record);
    if (!open)
        return;
    open->is_headless |= !is_first && !was_open;
    for (uint32_t i = 0; i < record->line_count; i++)
        add_effect(ledger, open, &record->lines[i], gives);
    open->deadline_ms = record->deadline_ms ? record->deadline_ms : open->deadline_ms;
    open->user = record->user ? record->user : open->user;
    if (decides_first(record->type) ? !was_open : is_last && !gives)
        decide(ledger, record, open);
    hf_claim *claim = is_last ? find_claim(ledger, &record->id) : NULL;
    if (claim && !claim->is_born && claim->state == HF_CLAIM_ENDED)
        take_effects(ledger, claim, open); /* of every part, now that they are there */
    if (is_last)
        close_open(ledger, open);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

void hf_ledger_take(hf_ledger *ledger, const hf_record *record) {
    if (record->epoch != ledger->epoch) {
        hf_ledger_end_epoch(ledger);
        ledger->epoch = record->epoch;
    }
    ledger->records++;
    if (record->time_ms > ledger->time_ms)
        ledger->time_ms = record->time_ms;
    for (uint32_t i = 0; i < record->line_count; i++)
        step_sku(ledger, &record->lines[i], record->type == HF_RECORD_COUNT);
    if (record->type == HF_RECORD_SKU) {
        hf_ledger_sku *sku = sku_of(ledger, record->number);
        if (sku) {
            name_sku(ledger, sku, record->name, record->name_length);
            sku->is_born = true;
        }
    } else if (record->type == HF_RECORD_RECOVERY) {
        for (size_t i = 0; i < ledger->open_count; i++)
            ledger->open[i].is_resolving = true;
    } else if (record->type != HF_RECORD_NOTE) {
        if (record->parts & HF_PART_RECOVERY)
            take_recovery(ledger, record);
        else if (record->parts)
            take_part(ledger, record);
        else
            decide(ledger, record, NULL);
    }
}

/* ---- guarantee B ------------------------------------------------------------------------------------------------- */

static void give_back(const hf_ledger *ledger, const hf_open_operation *open, hf_ledger_sum *sums) {
    for (size_t i = 0; i < open->effect_count; i++) {
        const hf_effect *effect = &open->effects[i];
        if (effect->sku < ledger->sku_room && effect->owed) {
            bool was_counted = ledger->skus[effect->sku].counted > effect->version;
            sums[effect->sku].on_hand -= was_counted ? 0 : effect->on_hand;
            sums[effect->sku].reserved -= effect->reserved;
            sums[effect->sku].steps++;
        }
    }
}

static int64_t given_back(const hf_open_operation *open, uint32_t sku) {
    for (size_t i = 0; i < open->effect_count; i++)
        if (open->effects[i].sku == sku)
            return -open->effects[i].reserved;
    return 0;
}

static void complete(hf_ledger *ledger, const hf_open_operation *open, hf_ledger_sum *sums) {
    const hf_claim *claim = find_claim(ledger, &open->id);
    if (!claim || !claim->is_born) {
        ledger->unresolved += open->type == HF_RECORD_CANCEL || open->type == HF_RECORD_EXPIRE;
        return;
    }
    const hf_ledger_line *lines = hf_claim_lines(claim);
    for (uint32_t i = 0; i < claim->line_count; i++) {
        int64_t left = lines[i].quantity - given_back(open, lines[i].sku);
        if (left && lines[i].sku < ledger->sku_room) {
            sums[lines[i].sku].reserved -= left;
            sums[lines[i].sku].steps++;
        }
    }
}

void hf_ledger_sums(hf_ledger *ledger, hf_ledger_sum *sums) {
    ledger->unresolved = 0;
    for (size_t i = 0; i < ledger->sku_room; i++)
        sums[i] = (hf_ledger_sum){ledger->skus[i].on_hand, ledger->skus[i].reserved, ledger->skus[i].steps};
    for (size_t i = 0; i < ledger->open_count; i++) {
        if (decides_first(ledger->open[i].type))
            complete(ledger, &ledger->open[i], sums);
        else
            give_back(ledger, &ledger->open[i], sums);
        ledger->unresolved += ledger->open[i].is_headless;
    }
}

/* ---- the end of an epoch ----------------------------------------------------------------------------------------- */

/* Whether nothing is left to be given back, or to be completed. */
static bool is_settled(const hf_ledger *ledger, const hf_open_operation *open) {
    if (!decides_first(open->type)) {
        for (size_t i = 0; i < open->effect_count; i++)
            if (open->effects[i].owed)
                return false;
        return true;
    }
    const hf_claim *claim = find_claim(ledger, &open->id);
    const hf_ledger_line *lines = claim ? hf_claim_lines(claim) : NULL;
    for (uint32_t i = 0; claim && claim->is_born && i < claim->line_count; i++)
        if (lines[i].quantity != given_back(open, lines[i].sku))
            return false;
    return true;
}

static void close_resolved(hf_ledger *ledger) {
    for (size_t i = 0; i < ledger->open_count;) {
        hf_open_operation *open = &ledger->open[i];
        if (!open->is_resolving) {
            i++;
            continue;
        }
        if (!open->is_headless && !is_settled(ledger, open)) {
            ledger->unsettled++;
            ledger->unsettled_id = open->id;
        }
        hf_claim *claim = find_claim(ledger, &open->id);
        if (claim && !claim->is_born && claim->state == HF_CLAIM_ENDED)
            take_effects(ledger, claim, open);
        close_open(ledger, open);
    }
}

void hf_ledger_end_epoch(hf_ledger *ledger) {
    size_t kept = 0;
    close_resolved(ledger);
    for (size_t i = 0; i < ledger->ended_count; i++) {
        hf_claim *claim = find_claim(ledger, &ledger->ended[i]);
        if (!claim || claim->state != HF_CLAIM_ENDED)
            continue;
        if (find_open(ledger, &claim->id)) { /* its lines are wanted until its last unit is back */
            ledger->ended[kept++] = claim->id;
            continue;
        }
        if (!claim->is_born && ledger->unborn_ended)
            ledger->unborn_ended(ledger->context, claim);
        remove_claim(ledger, claim);
    }
    ledger->ended_count = kept;
}

void hf_ledger_free(hf_ledger *ledger) {
    for (size_t i = 0; i < ledger->sku_room; i++)
        free(ledger->skus[i].name);
    for (size_t i = 0; i < ledger->claim_room; i++)
        if (ledger->claims[i].state != HF_CLAIM_FREE)
            free_lines(&ledger->claims[i]);
    for (size_t i = 0; i < ledger->open_count; i++)
        free(ledger->open[i].effects);
    free(ledger->skus);
    free(ledger->places);
    free(ledger->claims);
    free(ledger->ended);
    free(ledger->open);
    *ledger = (hf_ledger){0};
}
