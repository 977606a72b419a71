/* The state as of an epoch: past.h. */
#include "past.h"

#include "ids.h"
#include "read.h"
#include "text.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A reading of the log up to an epoch and, backwards, on from there. */
typedef struct reading {
    const char *directory;
    hf_past *past;
    hf_ledger ledger;
    uint64_t to_epoch;
    bool is_behind;      /* the epoch was passed */
    hf_ledger_sum *sums; /* as of the epoch, for the places below sum_count */
    size_t sum_count;
    uint64_t unresolved; /* as of the epoch */
    bool out_of_memory;
} reading;

static int memory_trouble(void) { return hf_tell(HF_EXIT_SYSTEM, "out of memory"); }

/* ---- reservations ------------------------------------------------------------------------------------------------ */

static hf_past_claim *add_claim(reading *r, hf_id id, uint32_t line_count) {
    hf_past *past = r->past;
    if (past->claim_count == past->claim_room) {
        size_t room = past->claim_room ? past->claim_room * 2 : 1024;
        hf_past_claim *grown = reallocarray(past->claims, room, sizeof *grown);
        if (!grown) {
            r->out_of_memory = true;
            return NULL;
        }
        past->claims = grown;
        past->claim_room = room;
    }
    hf_past_line *lines = calloc(line_count + 1, sizeof *lines);
    if (!lines) {
        r->out_of_memory = true;
        return NULL;
    }
    hf_past_claim *added = &past->claims[past->claim_count++];
    *added = (hf_past_claim){.id = id, .line_count = line_count, .lines = lines};
    return added;
}

static hf_past_claim *add_from_ledger(reading *r, const hf_claim *claim) {
    hf_past_claim *added = add_claim(r, claim->id, claim->line_count);
    const hf_ledger_line *lines = hf_claim_lines(claim);
    for (uint32_t i = 0; added && i < claim->line_count; i++)
        added->lines[i] = (hf_past_line){.sku = lines[i].sku, .quantity = lines[i].quantity};
    return added;
}

/* What is live in the ledger; with those known only from an extend, for their deadlines. */
static void snap_claims(reading *r) {
    for (size_t i = 0; i < r->ledger.claim_room; i++) {
        const hf_claim *claim = &r->ledger.claims[i];
        if (claim->state != HF_CLAIM_LIVE && claim->state != HF_CLAIM_EXTENDED)
            continue;
        hf_past_claim *added = add_from_ledger(r, claim);
        if (!added)
            return;
        added->deadline_ms = claim->deadline_ms;
        added->has_deadline = true;
        added->user = claim->state == HF_CLAIM_LIVE ? claim->user : 0;
        added->has_user = claim->state == HF_CLAIM_LIVE;
    }
}

static int by_id(const void *left, const void *right) {
    return memcmp(((const hf_past_claim *)left)->id.bytes, ((const hf_past_claim *)right)->id.bytes, 16);
}

static void sort_claims(hf_past *past) {
    if (past->claim_count)
        qsort(past->claims, past->claim_count, sizeof *past->claims, by_id);
}

/* ---- up to the epoch --------------------------------------------------------------------------------------------- */

/* The end of the epoch that was asked for. */
static void snap(reading *r) {
    hf_ledger_end_epoch(&r->ledger);
    r->past->epoch = r->ledger.epoch;
    r->past->time_ms = r->ledger.time_ms;
    r->past->undecided = r->ledger.open_count;
    r->sum_count = r->ledger.sku_room;
    r->sums = calloc(r->sum_count + 1, sizeof *r->sums);
    if (!r->sums) {
        r->out_of_memory = true;
        return;
    }
    hf_ledger_sums(&r->ledger, r->sums);
    r->unresolved = r->ledger.unresolved;
    snap_claims(r);
}

static bool take(void *context, const hf_record *record) {
    reading *r = context;
    if (r->to_epoch == HF_BEFORE_KEPT)
        r->to_epoch = record->epoch - 1;
    if (!r->is_behind && record->epoch > r->to_epoch) {
        snap(r);
        r->is_behind = true;
        if (r->ledger.records == 0) { /* the epoch is the one before the first kept */
            r->past->epoch = r->to_epoch;
            r->past->time_ms = record->time_ms;
        }
    }
    hf_ledger_take(&r->ledger, record);
    return !r->out_of_memory && !r->ledger.out_of_memory;
}

/* Reads the whole log up to `last`, and takes the state as of to_epoch on the way. */
static int read_up_to(reading *r, uint64_t last, uint64_t *end) {
    int error = hf_each_record(r->directory, 1, last, take, r, end);
    if (error)
        return hf_tell_reading(error, r->directory);
    if (!r->is_behind)
        snap(r);
    hf_ledger_end_epoch(&r->ledger);
    return r->out_of_memory || r->ledger.out_of_memory ? memory_trouble() : HF_EXIT_FINE;
}

static int not_durable(const reading *r, uint64_t end) {
    return hf_tell(HF_EXIT_DATA, "%s: epoch %" PRIu64 " is not there yet: the log is durable up to epoch %" PRIu64,
                   r->directory, r->to_epoch, end);
}

static int half_done(const reading *r, uint64_t epoch) {
    return hf_tell(HF_EXIT_DATA,
                   "%s: an operation is half done at epoch %" PRIu64 ", and its beginning is no longer kept: choose "
                   "another epoch",
                   r->directory, epoch);
}

/* ---- forwards: the log is kept from its first record ------------------------------------------------------------- */

static int take_skus(reading *r) {
    hf_past *past = r->past;
    past->skus = calloc(r->sum_count + 1, sizeof *past->skus);
    if (!past->skus)
        return memory_trouble();
    past->sku_count = r->sum_count;
    for (size_t place = 0; place < r->sum_count; place++) {
        hf_ledger_sku *from = &r->ledger.skus[place];
        const hf_ledger_sum *sum = &r->sums[place];
        if (sum->steps == 0)
            continue;
        if (!from->name)
            return hf_tell(HF_EXIT_DATA, "%s: SKU number %" PRIu32 " has no name in the log", r->directory, from->number);
        past->skus[place] = (hf_past_sku){from->name, from->name_length, sum->on_hand, sum->reserved, sum->steps};
        from->name = NULL;
    }
    return HF_EXIT_FINE;
}

static int read_forwards(reading *r) {
    uint64_t end;
    int exit_code = read_up_to(r, r->to_epoch, &end);
    if (exit_code == HF_EXIT_FINE && r->to_epoch != UINT64_MAX && end < r->to_epoch)
        exit_code = not_durable(r, end);
    if (exit_code == HF_EXIT_FINE && r->unresolved)
        exit_code = half_done(r, r->past->epoch);
    return exit_code == HF_EXIT_FINE ? take_skus(r) : exit_code;
}

/* ---- backwards: from the engine's state at the end --------------------------------------------------------------- */

typedef struct handle {
    const hf_sku *sku;
    size_t index;
} handle;

typedef struct rewinding {
    reading *r;
    hf_opened opened;
    handle *handles; /* of past->skus, by address */
    size_t sku_room, handle_count;
    size_t *index_of; /* past->skus, by the ledger's place; SIZE_MAX: none */
    bool has_unnamed; /* a SKU that stepped is not known by name */
    size_t snapped;   /* of past->claims: these are the ledger's, sorted */
} rewinding;

static bool collect_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    rewinding *w = context;
    hf_past *past = w->r->past;
    if (past->sku_count == w->sku_room) {
        size_t room = w->sku_room ? w->sku_room * 2 : 4096;
        hf_past_sku *skus = reallocarray(past->skus, room, sizeof *skus);
        past->skus = skus ? skus : past->skus;
        handle *handles = skus ? reallocarray(w->handles, room, sizeof *handles) : NULL;
        w->handles = handles ? handles : w->handles;
        if (!handles) {
            w->r->out_of_memory = true;
            return false;
        }
        w->sku_room = room;
    }
    size_t length;
    const void *name = hf_sku_name(sku, &length);
    char *copy = malloc(length + 1);
    if (!copy) {
        w->r->out_of_memory = true;
        return false;
    }
    memcpy(copy, name, length);
    copy[length] = 0;
    w->handles[past->sku_count] = (handle){sku, past->sku_count};
    past->skus[past->sku_count++] = (hf_past_sku){copy, length, stock->on_hand, stock->reserved, stock->version};
    return true;
}

static int by_address(const void *left, const void *right) {
    uintptr_t a = (uintptr_t)((const handle *)left)->sku, b = (uintptr_t)((const handle *)right)->sku;
    return (a > b) - (a < b);
}

static size_t index_of_handle(const rewinding *w, const hf_sku *sku) {
    handle key = {.sku = sku};
    const handle *found = bsearch(&key, w->handles, w->r->past->sku_count, sizeof key, by_address);
    return found ? found->index : SIZE_MAX;
}

static int collect_skus(rewinding *w) {
    int error = hf_sku_each(w->opened.session, collect_sku, w);
    if (error)
        return hf_tell_error(error, w->r->directory);
    if (w->r->past->sku_count)
        qsort(w->handles, w->r->past->sku_count, sizeof *w->handles, by_address);
    return w->r->out_of_memory ? memory_trouble() : HF_EXIT_FINE;
}

/* Which of past->skus each SKU of the ledger is. */
static int match_skus(rewinding *w) {
    const hf_ledger *ledger = &w->r->ledger;
    w->index_of = calloc(ledger->sku_room + 1, sizeof *w->index_of);
    if (!w->index_of)
        return memory_trouble();
    for (size_t place = 0; place < ledger->sku_room; place++) {
        const hf_ledger_sku *sku = &ledger->skus[place];
        hf_sku *found = NULL;
        w->index_of[place] = SIZE_MAX;
        if (sku->name && hf_sku_find(w->opened.session, sku->name, sku->name_length, &found) == HF_SUCCESS)
            w->index_of[place] = index_of_handle(w, found);
        w->has_unnamed |= w->index_of[place] == SIZE_MAX && sku->steps > 0;
    }
    return w->has_unnamed ? hf_tell(HF_EXIT_DATA,
                                    "%s: the log steps SKUs whose names are no longer kept: their stock of then cannot "
                                    "be told",
                                    w->r->directory)
                          : HF_EXIT_FINE;
}

/* Takes from the state at the end what the log did after the epoch, and what recovery does at either. */
static int rewind_skus(rewinding *w) {
    reading *r = w->r;
    size_t count = r->ledger.sku_room;
    hf_ledger_sum *last = calloc(count + 1, sizeof *last);
    if (!last)
        return memory_trouble();
    hf_ledger_sums(&r->ledger, last);
    for (size_t place = 0; place < count; place++) {
        if (w->index_of[place] == SIZE_MAX)
            continue;
        static const hf_ledger_sum none;
        hf_past_sku *sku = &r->past->skus[w->index_of[place]];
        const hf_ledger_sum *then = place < r->sum_count ? &r->sums[place] : &none;
        sku->on_hand -= last[place].on_hand - then->on_hand;
        sku->reserved -= last[place].reserved - then->reserved;
        sku->version -= last[place].steps - then->steps;
    }
    free(last);
    return r->ledger.unresolved ? half_done(r, r->ledger.epoch) : HF_EXIT_FINE;
}

/* A reservation made before what is kept, and ended: if after the epoch, it was live. */
static void take_unborn(void *context, const hf_claim *claim) {
    rewinding *w = context;
    if (!w->r->is_behind)
        return;
    hf_past_claim *added = add_from_ledger(w->r, claim);
    if (added)
        added->deadline_ms = claim->ended_ms;
}

/* One that is live at the end, and was made before what is kept. */
static bool take_live(void *context, const hf_reservation *reservation, const hf_reservation_line *lines) {
    rewinding *w = context;
    const hf_claim *known = hf_ledger_find(&w->r->ledger, reservation->id);
    if (known && known->is_born)
        return true; /* the snapshot has it, or it was made after the epoch */
    hf_past_claim *added = add_claim(w->r, reservation->id, reservation->line_count);
    if (!added)
        return false;
    added->user = reservation->user;
    added->has_user = true;
    added->deadline_ms = reservation->deadline_ms;
    added->has_deadline = !known; /* else it was extended, perhaps after the epoch */
    for (uint32_t i = 0; i < reservation->line_count; i++)
        added->lines[i] = (hf_past_line){index_of_handle(w, lines[i].sku), lines[i].quantity};
    return true;
}

static const hf_past_claim *find_snapped(const rewinding *w, hf_id id) {
    hf_past_claim key = {.id = id};
    return w->snapped ? bsearch(&key, w->r->past->claims, w->snapped, sizeof key, by_id) : NULL;
}

/* The ledger's lines bear places; what came from the engine has indices already. */
static void index_lines(const rewinding *w, hf_past_claim *claim) {
    for (uint32_t i = 0; i < claim->line_count; i++)
        claim->lines[i].sku = claim->lines[i].sku < w->r->ledger.sku_room ? w->index_of[claim->lines[i].sku] : SIZE_MAX;
}

/* Deadlines that an extend before the epoch says; then the entries that are nothing but that go. */
static int merge_extended(rewinding *w) {
    hf_past *past = w->r->past;
    for (size_t i = w->snapped; i < past->claim_count; i++) {
        const hf_past_claim *extended = find_snapped(w, past->claims[i].id);
        if (extended && extended->line_count == 0) {
            past->claims[i].deadline_ms = extended->deadline_ms;
            past->claims[i].has_deadline = true;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < past->claim_count; i++) {
        if (past->claims[i].line_count == 0)
            free(past->claims[i].lines);
        else
            past->claims[kept++] = past->claims[i];
    }
    past->claim_count = kept;
    return w->r->out_of_memory ? memory_trouble() : HF_EXIT_FINE;
}

static bool take_and_sort(void *context, const hf_record *record) {
    rewinding *w = context;
    bool was_behind = w->r->is_behind, goes_on = take(w->r, record);
    if (w->r->is_behind && !was_behind) {
        sort_claims(w->r->past);
        w->snapped = w->r->past->claim_count;
    }
    return goes_on;
}

static int read_back(rewinding *w, uint64_t durable) {
    reading *r = w->r;
    r->ledger.unborn_ended = take_unborn;
    r->ledger.context = w;
    int error = hf_each_record(r->directory, 0, durable, take_and_sort, w, NULL);
    if (error)
        return hf_tell_reading(error, r->directory);
    if (!r->is_behind) {
        snap(r);
        sort_claims(r->past);
        w->snapped = r->past->claim_count;
        r->is_behind = true;
    }
    hf_ledger_end_epoch(&r->ledger);
    if (r->out_of_memory || r->ledger.out_of_memory)
        return memory_trouble();
    return r->unresolved ? half_done(r, r->past->epoch) : HF_EXIT_FINE;
}

static int check_kept(const reading *r, uint64_t durable) {
    if (r->to_epoch == UINT64_MAX || r->to_epoch == HF_BEFORE_KEPT)
        return HF_EXIT_FINE;
    if (r->to_epoch > durable)
        return not_durable(r, durable);
    hf_log *log;
    int error = hf_log_open(r->directory, r->to_epoch + 1, &log);
    if (error)
        return hf_tell_error(error, "the state as of that epoch cannot be had any more");
    hf_log_close(log);
    return HF_EXIT_FINE;
}

static int rewind_state(rewinding *w) {
    hf_stats stats;
    hf_stats_read(w->opened.engine, &stats);
    int exit_code = check_kept(w->r, stats.durable);
    exit_code = exit_code ? exit_code : read_back(w, stats.durable);
    exit_code = exit_code ? exit_code : collect_skus(w);
    exit_code = exit_code ? exit_code : match_skus(w);
    exit_code = exit_code ? exit_code : rewind_skus(w);
    if (exit_code)
        return exit_code;
    for (size_t i = 0; i < w->r->past->claim_count; i++)
        index_lines(w, &w->r->past->claims[i]);
    int error = hf_reservation_each(w->opened.session, take_live, w);
    return error ? hf_tell_error(error, w->r->directory) : merge_extended(w);
}

static int read_backwards(reading *r) {
    rewinding w = {.r = r};
    int exit_code = hf_open_directory(&w.opened, r->directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    r->past->is_backwards = true;
    exit_code = rewind_state(&w);
    free(w.handles);
    free(w.index_of);
    return hf_close_directory(&w.opened, exit_code);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

typedef struct arrangement {
    hf_past_sku sku;
    size_t was;
} arrangement;

static int by_name(const void *left, const void *right) {
    const hf_past_sku *a = &((const arrangement *)left)->sku, *b = &((const arrangement *)right)->sku;
    int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Drops SKUs without a step, sorts by name, and has the lines follow. */
static int arrange(hf_past *past) {
    arrangement *order = calloc(past->sku_count + 1, sizeof *order);
    size_t *now = calloc(past->sku_count + 1, sizeof *now), kept = 0;
    for (size_t i = 0; order && now && i < past->sku_count; i++) {
        now[i] = SIZE_MAX;
        if (past->skus[i].version)
            order[kept++] = (arrangement){past->skus[i], i};
        else
            free(past->skus[i].name);
    }
    if (order && now && kept)
        qsort(order, kept, sizeof *order, by_name);
    for (size_t i = 0; order && now && i < kept; i++) {
        past->skus[i] = order[i].sku;
        now[order[i].was] = i;
    }
    bool is_sound = order && now;
    for (size_t i = 0; is_sound && i < past->claim_count; i++)
        for (uint32_t k = 0; k < past->claims[i].line_count; k++)
            if (past->claims[i].lines[k].sku < past->sku_count)
                past->claims[i].lines[k].sku = now[past->claims[i].lines[k].sku];
    if (is_sound)
        past->sku_count = kept;
    free(order);
    free(now);
    sort_claims(past);
    return is_sound ? HF_EXIT_FINE : memory_trouble();
}

/* A state that does not add up is not shown: something was read wrongly, or the log is damaged in its meaning. */
static int check(const hf_past *past, const char *directory) {
    int64_t *live = calloc(past->sku_count + 1, sizeof *live);
    if (!live)
        return memory_trouble();
    int exit_code = HF_EXIT_FINE;
    for (size_t i = 0; i < past->claim_count && !exit_code; i++) {
        const hf_past_claim *claim = &past->claims[i];
        for (uint32_t k = 0; k < claim->line_count && !exit_code; k++) {
            if (claim->lines[k].sku < past->sku_count)
                live[claim->lines[k].sku] += claim->lines[k].quantity;
            else
                exit_code = hf_tell(HF_EXIT_DATA, "%s: a live reservation names a SKU that has no step", directory);
        }
    }
    for (size_t i = 0; i < past->sku_count && !exit_code; i++)
        if (live[i] != past->skus[i].reserved)
            exit_code = hf_tell(HF_EXIT_DATA,
                                "%s: as of epoch %" PRIu64 " %" PRId64 " units of SKU %s are reserved, but live "
                                "reservations add up to %" PRId64 "; see holdfast verify",
                                directory, past->epoch, past->skus[i].reserved, past->skus[i].name, live[i]);
    free(live);
    return exit_code;
}

typedef struct time_search {
    uint64_t to_ms, open, found; /* the epoch at hand; the last one before it */
    bool is_over, any;
} time_search;

static bool search_time(void *context, const hf_record *record) {
    time_search *search = context;
    if (!search->any || record->epoch != search->open) {
        search->found = search->any ? search->open : 0;
        search->open = record->epoch;
        search->any = true;
    }
    search->is_over = record->time_ms > search->to_ms;
    return !search->is_over;
}

/* The last epoch up to which no record is later than to_ms. */
static int find_epoch(const char *directory, uint64_t to_ms, uint64_t *epoch) {
    time_search search = {.to_ms = to_ms};
    int error = hf_each_record(directory, 0, UINT64_MAX, search_time, &search, NULL);
    char text[HF_TIME_TEXT];
    if (error)
        return hf_tell_reading(error, directory);
    *epoch = search.is_over ? search.found : search.open;
    if (*epoch == 0)
        return hf_tell(HF_EXIT_DATA, "%s: the log that is kept begins after %s", directory,
                       hf_format_time(to_ms, text));
    return HF_EXIT_FINE;
}

int hf_past_read(const char *directory, uint64_t to_epoch, uint64_t to_ms, hf_past *past) {
    *past = (hf_past){0};
    reading r = {.directory = directory, .past = past, .to_epoch = to_epoch};
    bool is_whole;
    int error = hf_is_log_whole(directory, &is_whole);
    if (error)
        return hf_tell_error(error, directory);
    int exit_code = to_ms != UINT64_MAX ? find_epoch(directory, to_ms, &r.to_epoch) : HF_EXIT_FINE;
    if (exit_code)
        return exit_code;
    hf_ledger_init(&r.ledger);
    exit_code = is_whole ? read_forwards(&r) : read_backwards(&r);
    hf_ledger_free(&r.ledger);
    free(r.sums);
    exit_code = exit_code ? exit_code : arrange(past);
    return exit_code ? exit_code : check(past, directory);
}

void hf_past_free(hf_past *past) {
    for (size_t i = 0; i < past->sku_count; i++)
        free(past->skus[i].name);
    for (size_t i = 0; i < past->claim_count; i++)
        free(past->claims[i].lines);
    free(past->skus);
    free(past->claims);
    *past = (hf_past){0};
}
