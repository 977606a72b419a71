/* Comparing states: compare.h. */
#include "compare.h"

#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct comparison {
    hf_findings *findings;
    const char *const *names;
    hf_session *other;
    uint64_t skus, claims;      /* of the one that is walked through */
    hf_reservation_line *lines; /* HF_MAX_LINES: the other's */
    int error;

    hf_ledger *ledger; /* the other, if it is one */
    hf_ledger_sum *sums;
    hf_sku **handles; /* of the session's engine, by the ledger's place */
} comparison;

/* ---- an engine against an engine --------------------------------------------------------------------------------- */

static bool compare_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    comparison *c = context;
    size_t length;
    const char *name = hf_sku_name(sku, &length);
    hf_sku *found;
    hf_stock other = {0};
    c->skus++;
    c->error = hf_sku_find(c->other, name, length, &found);
    c->error = c->error ? c->error : hf_sku_read(c->other, found, &other);
    bool is_missing = c->error == HF_ENOTFOUND;
    if (is_missing)
        c->error = HF_SUCCESS;
    if (c->error)
        return false;
    if (is_missing)
        hf_find(c->findings, "SKU %.*s: %s has it, %s does not", (int)length, name, c->names[0], c->names[1]);
    else if (stock->on_hand != other.on_hand || stock->reserved != other.reserved || stock->version != other.version)
        hf_find(c->findings,
                "SKU %.*s: %s has on_hand %" PRId64 ", reserved %" PRId64 ", version %" PRIu64 "; %s has %" PRId64
                ", %" PRId64 ", %" PRIu64,
                (int)length, name, c->names[0], stock->on_hand, stock->reserved, stock->version, c->names[1],
                other.on_hand, other.reserved, other.version);
    return true;
}

static bool count_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    (void)sku;
    (void)stock;
    ++*(uint64_t *)context;
    return true;
}

static bool is_same_sku(const hf_sku *a, const hf_sku *b) {
    size_t a_length, b_length;
    const void *a_name = hf_sku_name(a, &a_length), *b_name = hf_sku_name(b, &b_length);
    return a_length == b_length && memcmp(a_name, b_name, a_length) == 0;
}

/* Lines in any order; a SKU is in one of them. */
static bool has_lines(const hf_reservation_line *wanted, const hf_reservation_line *lines, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        if (!is_same_sku(wanted[i].sku, lines[i].sku))
            while (k < count && !is_same_sku(wanted[i].sku, lines[k].sku))
                k++;
        else
            k = i;
        if (k == count || lines[k].quantity != wanted[i].quantity)
            return false;
    }
    return true;
}

static const char *shown(hf_id id, char text[33]) {
    hf_id_to_text(id, text);
    return text;
}

static bool compare_reservation(void *context, const hf_reservation *one, const hf_reservation_line *lines) {
    comparison *c = context;
    hf_reservation other;
    char id[33];
    c->claims++;
    c->error = hf_reservation_read(c->other, one->id, &other, c->lines, HF_MAX_LINES);
    bool is_live = c->error == HF_SUCCESS && other.state == HF_STATE_LIVE;
    if (c->error == HF_ENOTFOUND)
        c->error = HF_SUCCESS;
    if (c->error)
        return false;
    if (!is_live)
        hf_find(c->findings, "reservation %s: it is live in %s, not in %s", shown(one->id, id), c->names[0],
                c->names[1]);
    else if (one->deadline_ms != other.deadline_ms || one->user != other.user || one->line_count != other.line_count ||
             !has_lines(lines, c->lines, one->line_count))
        hf_find(c->findings, "reservation %s: lines, deadline or user differ between %s and %s", shown(one->id, id),
                c->names[0], c->names[1]);
    return true;
}

static bool count_reservation(void *context, const hf_reservation *one, const hf_reservation_line *lines) {
    (void)one;
    (void)lines;
    ++*(uint64_t *)context;
    return true;
}

int hf_compare_engines(hf_findings *findings, const char *const names[2], hf_session *first, hf_session *second) {
    comparison c = {.findings = findings, .names = names, .other = second};
    uint64_t skus = 0, claims = 0;
    c.lines = calloc(HF_MAX_LINES, sizeof *c.lines);
    int error = c.lines ? hf_sku_each(first, compare_sku, &c) : HF_ENOMEM;
    error = error ? error : c.error;
    error = error ? error : hf_reservation_each(first, compare_reservation, &c);
    error = error ? error : c.error;
    error = error ? error : hf_sku_each(second, count_sku, &skus);
    error = error ? error : hf_reservation_each(second, count_reservation, &claims);
    if (!error && (c.skus != skus || c.claims != claims))
        hf_find(findings, "%s has %" PRIu64 " SKUs and %" PRIu64 " live reservations, %s has %" PRIu64 " and %" PRIu64,
                names[0], c.skus, c.claims, names[1], skus, claims);
    free(c.lines);
    return error;
}

/* ---- an engine against a ledger ---------------------------------------------------------------------------------- */

/* The ledger's SKU at `place`, in the engine. */
static int compare_place(comparison *c, uint32_t place) {
    const hf_ledger_sku *sku = &c->ledger->skus[place];
    const hf_ledger_sum *sum = &c->sums[place];
    hf_stock stock = {0};
    if (!sku->name)
        return HF_SUCCESS;
    int error = hf_sku_find(c->other, sku->name, sku->name_length, &c->handles[place]);
    error = error ? error : hf_sku_read(c->other, c->handles[place], &stock);
    if (error == HF_ENOTFOUND && sum->steps == 0)
        return HF_SUCCESS; /* made, and never stepped */
    if (error == HF_ENOTFOUND) {
        hf_find(c->findings, "SKU %u %s: the log has it, the state does not", sku->number, sku->name);
        return HF_SUCCESS;
    }
    if (!error && (stock.on_hand != sum->on_hand || stock.reserved != sum->reserved || stock.version != sum->steps))
        hf_find(c->findings,
                "SKU %u %s: the log adds up to on_hand %" PRId64 ", reserved %" PRId64 ", version %" PRIu64
                "; the state has %" PRId64 ", %" PRId64 ", %" PRIu64,
                sku->number, sku->name, sum->on_hand, sum->reserved, sum->steps, stock.on_hand, stock.reserved,
                stock.version);
    c->skus += !error;
    return error;
}

static bool has_claim_lines(const comparison *c, const hf_claim *claim, const hf_reservation_line *lines) {
    const hf_ledger_line *wanted = hf_claim_lines(claim);
    for (uint32_t i = 0; i < claim->line_count; i++) {
        uint32_t k = 0;
        const hf_sku *sku = wanted[i].sku < c->ledger->sku_room ? c->handles[wanted[i].sku] : NULL;
        while (k < claim->line_count && lines[k].sku != sku)
            k++;
        if (k == claim->line_count || lines[k].quantity != wanted[i].quantity)
            return false;
    }
    return true;
}

static bool compare_claim(void *context, const hf_reservation *one, const hf_reservation_line *lines) {
    comparison *c = context;
    const hf_claim *claim = hf_ledger_find(c->ledger, one->id);
    char id[33];
    c->claims++;
    if (!claim || claim->state != HF_CLAIM_LIVE)
        hf_find(c->findings, "reservation %s: it is live in the state, but not by the log", shown(one->id, id));
    else if (claim->line_count != one->line_count || !has_claim_lines(c, claim, lines))
        hf_find(c->findings, "reservation %s: its lines are not those of the log", shown(one->id, id));
    else if (claim->deadline_ms != one->deadline_ms || claim->user != one->user)
        hf_find(c->findings,
                "reservation %s: deadline %" PRIu64 ", user %" PRIu64 " in the state; %" PRIu64 ", %" PRIu64
                " by the log",
                shown(one->id, id), one->deadline_ms, one->user, claim->deadline_ms, claim->user);
    return true;
}

int hf_compare_ledger(hf_findings *findings, hf_ledger *ledger, hf_session *session) {
    comparison c = {.findings = findings, .other = session, .ledger = ledger};
    uint64_t skus = 0;
    c.sums = calloc(ledger->sku_room + 1, sizeof *c.sums);
    c.handles = calloc(ledger->sku_room + 1, sizeof *c.handles);
    int error = c.sums && c.handles ? HF_SUCCESS : HF_ENOMEM;
    if (!error)
        hf_ledger_sums(ledger, c.sums);
    for (uint32_t place = 1; !error && place <= ledger->sku_count; place++)
        error = compare_place(&c, place);
    error = error ? error : hf_reservation_each(session, compare_claim, &c);
    error = error ? error : hf_sku_each(session, count_sku, &skus);
    if (!error && c.skus != skus)
        hf_find(findings, "the state has %" PRIu64 " SKUs, the log %" PRIu64, skus, c.skus);
    if (!error && c.claims != ledger->live)
        hf_find(findings, "the state has %" PRIu64 " live reservations, the log %" PRIu64, c.claims, ledger->live);
    free(c.sums);
    free(c.handles);
    return error;
}
