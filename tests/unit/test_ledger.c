/* The command's second opinion about a log: the ledger, and the checks of chains. Each check is shown to find what it
 * is for. */
#include "tools/chains.c"
#include "tools/findings.c"
#include "tools/ledger.c"

#include <criterion/criterion.h>

typedef struct book {
    hf_ledger ledger;
    hf_chains chains;
    hf_findings findings;
} book;

static book *begin(bool is_whole) {
    book *b = calloc(1, sizeof *b);
    cr_assert(b);
    hf_ledger_init(&b->ledger);
    b->chains = (hf_chains){.is_whole = is_whole, .ledger = &b->ledger, .findings = &b->findings};
    return b;
}

static void end(book *b) {
    hf_ledger_free(&b->ledger);
    hf_chains_free(&b->chains);
    hf_findings_free(&b->findings);
    free(b);
}

static void take(book *b, hf_record record) {
    hf_ledger_take(&b->ledger, &record);
    hf_chains_take(&b->chains, &record);
}

static void end_epoch(book *b) {
    hf_ledger_end_epoch(&b->ledger);
    hf_chains_end_epoch(&b->chains);
}

static hf_id id_of(const char *text) {
    hf_id id = {{0}};
    memcpy(id.bytes, text, strlen(text) < sizeof id.bytes ? strlen(text) : sizeof id.bytes);
    return id;
}

/* A line of a step: SKU, what it does, the version it leads to. */
static hf_record_line line(uint32_t sku, int64_t quantity, int64_t on_hand, int64_t reserved, uint64_t version) {
    return (hf_record_line){.sku = sku,
                            .quantity = quantity,
                            .on_hand_change = on_hand,
                            .reserved_change = reserved,
                            .version = version,
                            .name = "sku",
                            .name_length = 3};
}

#define RECORD(record_type, record_epoch, record_id, record_step, record_parts, ...)                                   \
    (hf_record) {                                                                                                      \
        .type = HF_RECORD_##record_type, .epoch = (record_epoch), .id = id_of(record_id), .step = (record_step),       \
        .parts = (record_parts), .time_ms = 1000 + (record_epoch), .session = 1,                                       \
        .lines = (hf_record_line[]){__VA_ARGS__},                                                                      \
        .line_count = sizeof((hf_record_line[]){__VA_ARGS__}) / sizeof(hf_record_line), .deadline_ms = 5000, .user = 7 \
    }

static void expect_found(const book *b, const char *text) {
    for (uint64_t i = 0; i < b->findings.count && i < HF_FINDINGS_TOLD; i++) {
        if (strstr(b->findings.text[i], text)) {
            return;
        }
    }
    cr_assert_fail("'%s' was not found; %llu findings, the first: %s", text, (unsigned long long)b->findings.count,
                   b->findings.count ? b->findings.text[0] : "");
}

static void expect_sum(book *b, uint32_t sku, int64_t on_hand, int64_t reserved, uint64_t steps) {
    hf_ledger_sum sums[256];
    uint32_t place = hf_ledger_place(&b->ledger, sku);
    cr_assert_leq(b->ledger.sku_room, 256u);
    hf_ledger_sums(&b->ledger, sums);
    const hf_ledger_sum *sum = &sums[place];
    cr_expect(sum->on_hand == on_hand && sum->reserved == reserved && sum->steps == steps, "SKU %u: %lld, %lld, %llu", sku,
              (long long)sum->on_hand, (long long)sum->reserved, (unsigned long long)sum->steps);
}

static hf_claim_state state_of(const book *b, const char *id) {
    const hf_claim *claim = hf_ledger_find(&b->ledger, id_of(id));
    return claim ? (hf_claim_state)claim->state : HF_CLAIM_FREE;
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

Test(ledger, numbers_far_apart_cost_no_more_than_near_ones) {
    hf_ledger ledger;
    hf_ledger_init(&ledger);
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert_eq(hf_ledger_place(&ledger, UINT32_MAX - 7919 * i), i + 1, "the places are dense");
    }
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert_eq(hf_ledger_place(&ledger, UINT32_MAX - 7919 * i), i + 1, "and stay");
    }
    cr_expect_lt(ledger.sku_room, 20000u);
    cr_expect_lt(ledger.place_room, 40000u);
    hf_ledger_free(&ledger);
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

Test(chains, a_good_log_has_no_findings_in_whatever_order_its_steps_stand) {
    book *b = begin(true);
    take(b, RECORD(RESERVE, 2, "r", 1, 0, line(1, 3, 0, 3, 2)));
    take(b, RECORD(PURCHASE, 2, "p", 1, 0, line(1, 7, -7, 0, 3)));
    take(b, RECORD(RECEIVE, 2, "in", 1, 0, line(1, 10, 10, 0, 1)));
    take(b, RECORD(COUNT, 2, "n", 1, 0, line(1, 1, -2, 0, 4))); /* below what is reserved: that may be */
    take(b, RECORD(EXPIRE, 3, "r", 2, 0, line(1, 3, 0, -3, 5)));
    end_epoch(b);
    cr_expect_eq(b->findings.count, 0u, "%s", b->findings.text[0]);
    expect_sum(b, 1, 1, 0, 5);
    end(b);
}

Test(chains, a_finding_names_the_number_in_the_log) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "a", 1, 0, line(900, 5, 5, 0, 1)));
    take(b, RECORD(RECEIVE, 1, "b", 1, 0, line(7, 1, 1, 0, 1)));
    take(b, RECORD(PURCHASE, 2, "p", 1, 0, line(900, 5, -5, 0, 2)));
    take(b, RECORD(PURCHASE, 2, "q", 1, 0, line(7, 2, -2, 0, 2)));
    end_epoch(b);
    cr_expect_eq(b->findings.count, 1u);
    expect_found(b, "SKU 7 sku");
    expect_sum(b, 900, 0, 0, 2);
    expect_sum(b, 7, -1, 0, 2);
    end(b);
}

Test(chains, gaps_repeats_and_late_beginnings_are_found) {
    static const uint64_t chains[4][3] = {{1, 3, 4}, {1, 2, 2}, {2, 3, 4}, {1, 2, 4}};
    for (int i = 0; i < 4; i++) {
        book *b = begin(true);
        for (int k = 0; k < 3; k++) {
            take(b, RECORD(RECEIVE, (uint64_t)k + 1, "in", 1, 0, line(1, 1, 1, 0, chains[i][k])));
        }
        end_epoch(b);
        expect_found(b, "expected no gap and no repeat");
        end(b);
    }
}

Test(chains, a_step_below_zero_is_found) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 2, 2, 0, 1)));
    take(b, RECORD(CONFIRM, 2, "r", 1, 0, line(1, 3, -3, 0, 2)));
    end_epoch(b);
    expect_found(b, "expected neither below 0");
    end(b);
}

Test(chains, overselling_is_found_and_giving_back_is_not_overselling) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 5, 5, 0, 1)));
    take(b, RECORD(RESERVE, 2, "r", 1, 0, line(1, 5, 0, 5, 2)));
    take(b, RECORD(COUNT, 3, "n", 1, 0, line(1, 3, -2, 0, 3)));
    take(b, RECORD(RESERVE, 4, "q", 1, HF_PART_GIVE | HF_PART_RECOVERY, line(1, 1, 0, -1, 4)));
    end_epoch(b);
    cr_expect_eq(b->findings.count, 0u);
    take(b, RECORD(PURCHASE, 5, "p", 1, 0, line(1, 1, -1, 0, 5)));
    end_epoch(b);
    expect_found(b, "oversold: purchase at version 5");
    end(b);
}

Test(chains, a_count_whose_change_does_not_fit_is_found) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 5, 5, 0, 1)));
    take(b, RECORD(COUNT, 2, "n", 1, 0, line(1, 9, 3, 0, 2)));
    end_epoch(b);
    expect_found(b, "found 9, but its change leads to on_hand 8");
    end(b);
}

Test(chains, epochs_that_decrease_are_found) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 2, "in", 1, 0, line(1, 5, 5, 0, 1)));
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 5, 5, 0, 2)));
    expect_found(b, "epochs never to decrease");
    end(b);
}

/* The log begins with version 41; what the SKU has at the end says what it had before. */
static book *later_chain(void) {
    book *b = begin(false);
    take(b, RECORD(PURCHASE, 9, "p", 1, 0, line(1, 4, -4, 0, 42)));
    take(b, RECORD(RESERVE, 9, "r", 1, 0, line(1, 2, 0, 2, 41)));
    take(b, RECORD(RECEIVE, 10, "in", 1, 0, line(1, 9, 9, 0, 43)));
    end_epoch(b);
    cr_expect_eq(b->findings.count, 0u);
    return b;
}

Test(chains, one_that_begins_later_is_judged_by_its_end) {
    book *b = later_chain();
    hf_chains_judge(&b->chains, 1, 11, 2); /* it began with 6 on hand, none reserved: 6, 4, 0 available */
    cr_expect_eq(b->findings.count, 0u, "%s", b->findings.text[0]);
    hf_chains_judge(&b->chains, 1, 10, 2); /* with 5: the purchase oversold */
    expect_found(b, "version 42 leads to oversold: available -1");
    end(b);
    b = later_chain();
    hf_chains_judge(&b->chains, 1, 8, 2);
    expect_found(b, "leads to on_hand -1");
    hf_chains_judge(&b->chains, 1, 11, -1);
    expect_found(b, "leads to reserved -1");
    end(b);
}

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

Test(ledger, the_highest_step_of_an_id_counts_whatever_the_order_in_an_epoch) {
    book *b = begin(true);
    hf_record extend = RECORD(EXTEND, 1, "a", 2, 0, line(1, 0, 0, 0, 0));
    extend.line_count = 0;
    extend.deadline_ms = 9000;
    take(b, extend);
    take(b, RECORD(CANCEL, 1, "b", 2, 0, line(1, 2, 0, -2, 4)));
    take(b, RECORD(RESERVE, 1, "a", 1, 0, line(1, 3, 0, 3, 2)));
    take(b, RECORD(RESERVE, 1, "b", 1, 0, line(1, 2, 0, 2, 3)));
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1)));
    end_epoch(b);
    cr_expect_eq(state_of(b, "a"), HF_CLAIM_LIVE);
    cr_expect_eq(hf_ledger_find(&b->ledger, id_of("a"))->deadline_ms, 9000u);
    cr_expect_eq(hf_ledger_find(&b->ledger, id_of("a"))->user, 7u);
    cr_expect_eq(state_of(b, "b"), HF_CLAIM_FREE);
    cr_expect_eq(b->ledger.live, 1u);
    cr_expect_eq(b->ledger.claim_count, 1u, "an ended one is kept");
    expect_sum(b, 1, 10, 3, 4);
    end(b);
}

Test(ledger, gives_an_undecided_reserve_back_and_takes_it_when_it_is_decided) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1)));
    take(b, RECORD(RECEIVE, 1, "in2", 1, 0, line(2, 10, 10, 0, 1)));
    take(b, RECORD(RESERVE, 2, "r", 1, HF_PART_OPEN, line(1, 3, 0, 3, 2)));
    end_epoch(b);
    expect_sum(b, 1, 10, 0, 3); /* with the step that gives it back */
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_FREE);
    take(b, RECORD(RESERVE, 3, "r", 1, HF_PART_CONTINUED, line(2, 4, 0, 4, 2)));
    end_epoch(b);
    expect_sum(b, 1, 10, 3, 2);
    expect_sum(b, 2, 10, 4, 2);
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_LIVE);
    cr_expect_eq(hf_ledger_find(&b->ledger, id_of("r"))->line_count, 2u);
    cr_expect_eq(b->ledger.open_count, 0u);
    end(b);
}

Test(ledger, a_refused_reserve_never_was) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1)));
    take(b, RECORD(RESERVE, 2, "r", 1, HF_PART_OPEN, line(1, 3, 0, 3, 2)));
    take(b, RECORD(RESERVE, 2, "r", 1, HF_PART_CONTINUED | HF_PART_GIVE, line(1, 3, 0, -3, 3)));
    end_epoch(b);
    expect_sum(b, 1, 10, 0, 3);
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_FREE);
    cr_expect(b->ledger.open_count == 0 && b->ledger.live == 0);
    end(b);
}

Test(ledger, completes_a_release_that_was_decided) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1), line(2, 10, 10, 0, 1)));
    take(b, RECORD(RESERVE, 1, "r", 1, 0, line(1, 3, 0, 3, 2), line(2, 4, 0, 4, 2)));
    take(b, RECORD(CANCEL, 2, "r", 2, HF_PART_OPEN, line(1, 3, 0, -3, 3)));
    end_epoch(b);
    expect_sum(b, 1, 10, 0, 3);
    expect_sum(b, 2, 10, 0, 3); /* completed */
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_ENDED, "its lines are needed until the last is back");
    cr_expect_eq(b->ledger.live, 0u);
    take(b, RECORD(CANCEL, 3, "r", 2, HF_PART_CONTINUED, line(2, 4, 0, -4, 3)));
    end_epoch(b);
    expect_sum(b, 2, 10, 0, 3);
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_FREE);
    end(b);
}

Test(ledger, an_undecided_confirm_leaves_the_reservation_live) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1), line(2, 10, 10, 0, 1)));
    take(b, RECORD(RESERVE, 1, "r", 1, 0, line(1, 3, 0, 3, 2), line(2, 4, 0, 4, 2)));
    take(b, RECORD(CONFIRM, 2, "r", 2, HF_PART_OPEN, line(1, 3, -3, -3, 3)));
    end_epoch(b);
    expect_sum(b, 1, 10, 3, 4);
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_LIVE);
    take(b, RECORD(CONFIRM, 3, "r", 2, HF_PART_CONTINUED, line(2, 4, -4, -4, 3)));
    end_epoch(b);
    expect_sum(b, 1, 7, 0, 3);
    cr_expect_eq(state_of(b, "r"), HF_CLAIM_FREE);
    end(b);
}

/* What a crash cut off, and a recovery that gives back `quantity` of the 3 that were taken. */
static book *recovered(int64_t quantity) {
    book *b = begin(true);
    take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1)));
    take(b, RECORD(RESERVE, 2, "r", 1, HF_PART_OPEN, line(1, 3, 0, 3, 2)));
    take(b, (hf_record){.type = HF_RECORD_RECOVERY, .epoch = 9, .number = 2});
    if (quantity) {
        take(b, RECORD(RESERVE, 9, "r", 1, HF_PART_GIVE | HF_PART_RECOVERY, line(1, quantity, 0, -quantity, 3)));
    }
    end_epoch(b);
    cr_expect_eq(b->ledger.open_count, 0u);
    return b;
}

/* As recovery does: on_hand stays as it was counted after the units were taken; before that it is corrected by the count. */
Test(ledger, a_count_since_the_taking_is_not_added_to) {
    for (int after = 0; after < 2; after++) {
        for (int recovered = 0; recovered < 2; recovered++) {
            book *b = begin(true);
            take(b, RECORD(RECEIVE, 1, "in", 1, 0, line(1, 10, 10, 0, 1)));
            if (after) {
                take(b, RECORD(PURCHASE, 2, "p", 1, HF_PART_OPEN, line(1, 3, -3, 0, 2)));
                take(b, RECORD(COUNT, 2, "n", 1, 0, line(1, 12, 5, 0, 3)));
            } else {
                take(b, RECORD(COUNT, 2, "n", 1, 0, line(1, 15, 5, 0, 2)));
                take(b, RECORD(PURCHASE, 2, "p", 1, HF_PART_OPEN, line(1, 3, -3, 0, 3)));
            }
            end_epoch(b);
            expect_sum(b, 1, after ? 12 : 15, 0, 4); /* with the step that gives it back */
            if (recovered) {
                take(b, (hf_record){.type = HF_RECORD_RECOVERY, .epoch = 3, .number = 2});
                take(b, RECORD(PURCHASE, 3, "p", 1, HF_PART_GIVE | HF_PART_RECOVERY, line(1, 3, after ? 0 : 3, 0, 4)));
                end_epoch(b);
                expect_sum(b, 1, after ? 12 : 15, 0, 4);
                cr_expect_eq(b->ledger.unsettled, 0u, "it was given back");
            }
            end(b);
        }
    }
}

Test(ledger, a_recovery_that_gives_back_too_little_or_nothing_is_found) {
    book *b = recovered(3);
    cr_expect_eq(b->ledger.unsettled, 0u);
    expect_sum(b, 1, 10, 0, 3);
    end(b);
    for (int64_t quantity = 0; quantity < 5; quantity++) {
        b = recovered(quantity);
        cr_expect_eq(b->ledger.unsettled, quantity != 3, "%lld given back", (long long)quantity);
        end(b);
    }
}

Test(ledger, parts_without_a_beginning_or_an_end_are_counted) {
    book *b = begin(true);
    take(b, RECORD(RESERVE, 1, "r", 1, HF_PART_OPEN, line(1, 3, 0, 3, 2)));
    take(b, RECORD(RESERVE, 2, "q", 1, HF_PART_OPEN, line(1, 3, 0, 3, 3)));
    cr_expect_eq(b->ledger.doubled, 1u);
    take(b, RECORD(RESERVE, 2, "q", 1, HF_PART_CONTINUED, line(1, 3, 0, 3, 4)));
    cr_expect_eq(b->ledger.headless, 0u);
    take(b, RECORD(PURCHASE, 3, "p", 1, HF_PART_CONTINUED, line(1, 1, -1, 0, 5)));
    cr_expect_eq(b->ledger.headless, 1u);
    end(b);
}

static unsigned unborn_lines;
static void note_unborn(void *context, const hf_claim *claim) {
    ++*(unsigned *)context;
    unborn_lines += claim->line_count;
}

Test(ledger, tells_of_ends_whose_beginning_is_not_kept) {
    unsigned unborn = 0;
    book *b = begin(false);
    b->ledger.unborn_ended = note_unborn;
    b->ledger.context = &unborn;
    unborn_lines = 0;
    take(b, RECORD(EXPIRE, 5, "old", 9, 0, line(1, 3, 0, -3, 20), line(2, 3, 0, -3, 20)));
    take(b, RECORD(EXPIRE, 5, "new", 9, 0, line(1, 1, 0, -1, 22)));
    take(b, RECORD(RESERVE, 5, "new", 8, 0, line(1, 1, 0, 1, 21)));
    take(b, RECORD(CONFIRM_LATE, 5, "older", 9, 0, line(1, 1, -1, 0, 23)));
    end_epoch(b);
    cr_expect(unborn == 1 && unborn_lines == 2, "%u ends, %u lines", unborn, unborn_lines);
    take(b, RECORD(CANCEL, 6, "older still", 9, HF_PART_OPEN, line(1, 2, 0, -2, 24)));
    end_epoch(b);
    cr_expect_eq(unborn, 1u);
    take(b, RECORD(CANCEL, 7, "older still", 9, HF_PART_CONTINUED, line(2, 2, 0, -2, 21)));
    end_epoch(b);
    cr_expect(unborn == 2 && unborn_lines == 4, "%u ends, %u lines", unborn, unborn_lines);
    end(b);
}

/* Thousands of ids that come and go: the table against what is expected. */
Test(ledger, keeps_every_live_id_and_no_other) {
    enum { IDS = 20000 };
    static bool live[IDS];
    book *b = begin(true);
    uint64_t random = 5, count = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t which = (uint32_t)(random >> 33) % IDS;
        char text[16];
        snprintf(text, sizeof text, "id-%u", which);
        count += live[which] ? UINT64_MAX : 1;
        if (live[which]) {
            take(b, RECORD(CANCEL, i / 50 + 1, text, 2 * i, 0, line(1, 1, 0, -1, i)));
        } else {
            take(b, RECORD(RESERVE, i / 50 + 1, text, 2 * i, 0, line(1, 1, 0, 1, i)));
        }
        live[which] = !live[which];
    }
    end_epoch(b);
    cr_expect_eq(b->ledger.live, count);
    cr_expect_eq(b->ledger.claim_count, count);
    for (uint32_t which = 0; which < IDS; which++) {
        char text[16];
        snprintf(text, sizeof text, "id-%u", which);
        cr_assert_eq(state_of(b, text), live[which] ? HF_CLAIM_LIVE : HF_CLAIM_FREE);
    }
    end(b);
}
