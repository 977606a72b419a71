/* Checking every SKU's chain of steps: chains.h. */
#include "chains.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *hf_chains_name(const hf_chains *chains, uint32_t place) {
    const char *name = place < chains->ledger->sku_room ? chains->ledger->skus[place].name : NULL;
    return name ? name : "(name not kept)";
}

uint32_t hf_chains_number(const hf_chains *chains, uint32_t place) {
    return place < chains->ledger->sku_room ? chains->ledger->skus[place].number : 0;
}

static void *room_for(hf_chains *chains, void *array, size_t *room, size_t size, size_t count) {
    if (count <= *room)
        return array;
    size_t grown = *room * 2 > count ? *room * 2 : count + 1023;
    char *bytes = reallocarray(array, grown, size);
    if (!bytes) {
        chains->out_of_memory = true;
        return array;
    }
    memset(bytes + *room * size, 0, (grown - *room) * size);
    *room = grown;
    return bytes;
}

static hf_chain *chain_of(hf_chains *chains, uint32_t place) {
    if (place >= chains->room)
        chains->chains = room_for(chains, chains->chains, &chains->room, sizeof *chains->chains, (size_t)place + 1);
    return place < chains->room ? &chains->chains[place] : NULL;
}

/* ---- a step in its place ----------------------------------------------------------------------------------------- */

static bool takes(const hf_step *step) {
    return !step->gives &&
           (step->type == HF_RECORD_PURCHASE || step->type == HF_RECORD_RESERVE ||
            step->type == HF_RECORD_CONFIRM_LATE || (step->type == HF_RECORD_ADJUST && step->on_hand_change < 0));
}

/* A chain from version 1: its sums are what there was. */
static void check_values(const hf_chains *chains, const hf_chain *chain, const hf_step *step) {
    if (chain->on_hand < 0 || chain->reserved < 0)
        hf_find(chains->findings,
                "epoch %" PRIu64 ": SKU %u %s: %s at version %" PRIu64 " leads to on_hand %" PRId64
                ", reserved %" PRId64 ", expected neither below 0",
                chains->epoch, hf_chains_number(chains, step->sku), hf_chains_name(chains, step->sku), hf_record_text(step->type), step->version,
                chain->on_hand, chain->reserved);
    else if (takes(step) && chain->on_hand < chain->reserved)
        hf_find(chains->findings,
                "epoch %" PRIu64 ": SKU %u %s: oversold: %s at version %" PRIu64 " leads to on_hand %" PRId64
                ", reserved %" PRId64,
                chains->epoch, hf_chains_number(chains, step->sku), hf_chains_name(chains, step->sku), hf_record_text(step->type), step->version,
                chain->on_hand, chain->reserved);
    if (step->type == HF_RECORD_COUNT && !step->gives && chain->on_hand != step->quantity)
        hf_find(chains->findings,
                "epoch %" PRIu64 ": SKU %u %s: the count at version %" PRIu64 " found %" PRId64
                ", but its change leads to on_hand %" PRId64,
                chains->epoch, hf_chains_number(chains, step->sku), hf_chains_name(chains, step->sku), step->version, step->quantity,
                chain->on_hand);
}

static void lower(hf_low *low, int64_t value, uint64_t version) {
    if (low->version == 0 || value < low->value)
        *low = (hf_low){value, version};
}

static void apply(hf_chains *chains, hf_chain *chain, const hf_step *step) {
    if (chain->first == 0)
        chain->first = step->version;
    chain->last = step->version;
    chain->on_hand += step->on_hand_change;
    chain->reserved += step->reserved_change;
    if (chain->first == 1) {
        check_values(chains, chain, step);
        return;
    }
    lower(&chain->on_hand_low, chain->on_hand, step->version);
    lower(&chain->reserved_low, chain->reserved, step->version);
    if (takes(step))
        lower(&chain->available_low, chain->on_hand - chain->reserved, step->version);
}

/* ---- the order of steps ------------------------------------------------------------------------------------------ */

static int by_sku_and_version(const void *left, const void *right) {
    const hf_step *a = left, *b = right;
    if (a->sku != b->sku)
        return a->sku < b->sku ? -1 : 1;
    return (a->version > b->version) - (a->version < b->version);
}

static void apply_waiting(hf_chains *chains, const hf_step *step) {
    hf_chain *chain = chain_of(chains, step->sku);
    if (!chain)
        return;
    bool may_begin = chain->last == 0 && !chains->is_whole;
    if (step->version != chain->last + 1 && !may_begin)
        hf_find(chains->findings,
                "epoch %" PRIu64 ": SKU %u %s: version %" PRIu64 " follows version %" PRIu64
                ", expected no gap and no repeat",
                chains->epoch, hf_chains_number(chains, step->sku), hf_chains_name(chains, step->sku), step->version, chain->last);
    apply(chains, chain, step);
}

void hf_chains_end_epoch(hf_chains *chains) {
    if (chains->waiting_count > 1)
        qsort(chains->waiting, chains->waiting_count, sizeof *chains->waiting, by_sku_and_version);
    for (size_t i = 0; i < chains->waiting_count; i++)
        apply_waiting(chains, &chains->waiting[i]);
    chains->waiting_count = 0;
}

static void take_step(hf_chains *chains, const hf_step *step) {
    hf_chain *chain = chain_of(chains, step->sku);
    if (!chain)
        return;
    if (step->version == chain->last + 1 && (chain->last || chains->is_whole)) {
        apply(chains, chain, step);
        return;
    }
    chains->waiting =
        room_for(chains, chains->waiting, &chains->waiting_room, sizeof *chains->waiting, chains->waiting_count + 1);
    if (chains->waiting_count < chains->waiting_room)
        chains->waiting[chains->waiting_count++] = *step;
}

void hf_chains_take(hf_chains *chains, const hf_record *record) {
    if (record->epoch < chains->epoch)
        hf_find(chains->findings, "epoch %" PRIu64 " follows epoch %" PRIu64 ", expected epochs never to decrease",
                record->epoch, chains->epoch);
    if (record->epoch != chains->epoch)
        hf_chains_end_epoch(chains);
    chains->epoch = record->epoch;
    for (uint32_t i = 0; i < record->line_count; i++) {
        const hf_record_line *line = &record->lines[i];
        const hf_step step = {.sku = hf_ledger_place(chains->ledger, line->sku),
                              .type = (uint8_t)record->type,
                              .gives = (record->parts & HF_PART_GIVE) != 0,
                              .version = line->version,
                              .quantity = line->quantity,
                              .on_hand_change = line->on_hand_change,
                              .reserved_change = line->reserved_change};
        take_step(chains, &step);
    }
}

/* ---- chains from a later version --------------------------------------------------------------------------------- */

static void judge(hf_chains *chains, uint32_t place, const hf_low *low, int64_t beginning, const char *what) {
    if (low->version && beginning + low->value < 0)
        hf_find(chains->findings, "SKU %u %s: version %" PRIu64 " leads to %s %" PRId64 ", expected none below 0",
                hf_chains_number(chains, place), hf_chains_name(chains, place), low->version, what, beginning + low->value);
}

void hf_chains_judge(hf_chains *chains, uint32_t place, int64_t on_hand, int64_t reserved) {
    const hf_chain *chain = &chains->chains[place];
    int64_t on_hand_before = on_hand - chain->on_hand, reserved_before = reserved - chain->reserved;
    judge(chains, place, &chain->on_hand_low, on_hand_before, "on_hand");
    judge(chains, place, &chain->reserved_low, reserved_before, "reserved");
    judge(chains, place, &chain->available_low, on_hand_before - reserved_before, "oversold: available");
}

void hf_chains_free(hf_chains *chains) {
    free(chains->chains);
    free(chains->waiting);
    chains->chains = NULL;
    chains->waiting = NULL;
}
