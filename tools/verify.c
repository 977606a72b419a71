/* holdfast verify: reads a directory's whole log and its state, and checks the one against the other.
 *
 * What is checked
 *   A  Every record kept can be read: the log reader checks digests and the hash chain of batches.
 *   B  Every SKU's versions are gapless, no step leads below zero, none oversells (chains.h); epochs never decrease.
 *   C  The state ends where the log does: each SKU's last version, and what it adds up to.
 *   D  For every SKU, reserved is what the live reservations' lines add up to.
 *   E  Where the log is kept from its first record: the log alone, replayed by the ledger, gives the state that the
 *      engine has from its checkpoint and the log behind it; every SKU, every live reservation.
 *   F  No operation was left undecided by a recovery. Those that are open at the very end, where a crash cut them off
 *      or a writer is at work, are given back or completed by the state as well, and not one more.
 *   G  Two recoveries give the same: two read-only ones the same state; with --recover-copy two of a copy for writing
 *      the same bytes, and a third changes nothing.
 *
 * Memory: the state twice, the ledger, and the largest epoch's steps.
 */
#include "chains.h"
#include "compare.h"
#include "copy.h"
#include "options.h"
#include "read.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: holdfast verify --dir D [--recover-copy DIR] [--json]\n"
    "\n"
    "Reads the whole log of directory D and checks it: every digest; every SKU's versions without a gap; no step\n"
    "below zero or beyond what was available; no operation left undecided; live reservations equal to what is\n"
    "reserved; the log alone equal to checkpoint and log, where all of it is kept; two recoveries equal. Changes\n"
    "nothing; D may be in use.\n"
    "\n"
    "  --recover-copy DIR  also recovers two copies of D for writing, in DIR, which must not exist: the same bytes,\n"
    "                      the same state as in D. DIR is removed if all is well. D must not be in use\n"
    "  --json              an object: verdict (good, bad), problems (the first 20 in words), problem_count, figures\n"
    "\n"
    "exit status: 0 everything holds; 1 something does not; 2 wrong usage; 3 system trouble\n";

/* What the state says of one SKU. */
typedef struct hf_sku_state {
    const hf_sku *sku;
    hf_stock stock;
    int64_t live; /* units in lines of live reservations */
    bool has_chain;
} hf_sku_state;

typedef enum hf_checked { HF_NOT_CHECKED, HF_IN_MEMORY, HF_ON_DISK } hf_checked;

typedef struct hf_verify {
    const char *directory, *copy;
    bool json, is_whole;
    hf_findings findings;
    hf_opened opened;
    hf_stats stats;
    hf_ledger ledger;
    hf_chains chains;
    hf_sku_state *states; /* sorted by handle */
    size_t state_count, state_room;
    uint64_t first_epoch, whole_chains, later_chains, live, live_units;
    hf_checked recoveries;
    bool is_unreadable, out_of_memory;
} hf_verify;

static int memory_trouble(void) { return hf_tell(HF_EXIT_SYSTEM, "out of memory"); }

static int read_command_line(hf_verify *verify, int argc, char **argv) {
    const hf_option options[] = {
        {"dir", .text = &verify->directory, .is_required = true},
        {"recover-copy", .text = &verify->copy},
        {"json", .flag = &verify->json},
        {0},
    };
    return hf_read_options(argc, argv, help, options, false);
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static bool take_record(void *context, const hf_record *record) {
    hf_verify *verify = context;
    if (verify->first_epoch == 0)
        verify->first_epoch = record->epoch;
    hf_ledger_take(&verify->ledger, record);
    hf_chains_take(&verify->chains, record);
    verify->out_of_memory |= verify->ledger.out_of_memory | verify->chains.out_of_memory;
    return !verify->out_of_memory;
}

/* Check A failed: what follows cannot be compared. */
static void unreadable(hf_verify *verify) {
    hf_find(&verify->findings, "%s", hf_error_detail());
    verify->is_unreadable = true;
}

static int read_log(hf_verify *verify) {
    verify->chains =
        (hf_chains){.is_whole = verify->is_whole, .ledger = &verify->ledger, .findings = &verify->findings};
    int error = hf_each_record(verify->directory, verify->is_whole, verify->stats.durable, take_record, verify, NULL);
    hf_ledger_end_epoch(&verify->ledger);
    hf_chains_end_epoch(&verify->chains);
    verify->out_of_memory |= verify->ledger.out_of_memory | verify->chains.out_of_memory;
    if (error == HF_ECORRUPT || error == HF_EVERSION)
        unreadable(verify);
    else if (error)
        return hf_tell_reading(error, verify->directory);
    return verify->out_of_memory ? memory_trouble() : HF_EXIT_FINE;
}

/* ---- the state --------------------------------------------------------------------------------------------------- */

static bool take_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    hf_verify *verify = context;
    if (verify->state_count == verify->state_room) {
        size_t room = verify->state_room ? verify->state_room * 2 : 1024;
        hf_sku_state *grown = reallocarray(verify->states, room, sizeof *grown);
        if (!grown) {
            verify->out_of_memory = true;
            return false;
        }
        verify->states = grown;
        verify->state_room = room;
    }
    verify->states[verify->state_count++] = (hf_sku_state){.sku = sku, .stock = *stock};
    return true;
}

static int by_handle(const void *left, const void *right) {
    uintptr_t a = (uintptr_t)((const hf_sku_state *)left)->sku, b = (uintptr_t)((const hf_sku_state *)right)->sku;
    return (a > b) - (a < b);
}

static hf_sku_state *state_of(hf_verify *verify, const hf_sku *sku) {
    hf_sku_state key = {.sku = sku};
    return verify->state_count ? bsearch(&key, verify->states, verify->state_count, sizeof key, by_handle) : NULL;
}

static bool take_reservation(void *context, const hf_reservation *reservation, const hf_reservation_line *lines) {
    hf_verify *verify = context;
    verify->live++;
    for (uint32_t i = 0; i < reservation->line_count; i++) {
        hf_sku_state *state = state_of(verify, lines[i].sku);
        if (state)
            state->live += lines[i].quantity;
        else
            hf_find(&verify->findings, "a live reservation names a SKU that the state does not have");
        verify->live_units += (uint64_t)lines[i].quantity;
    }
    return true;
}

static int read_state(hf_verify *verify) {
    hf_stats_read(verify->opened.engine, &verify->stats);
    int error = hf_sku_each(verify->opened.session, take_sku, verify);
    if (!error && verify->state_count)
        qsort(verify->states, verify->state_count, sizeof(hf_sku_state), by_handle);
    if (!error)
        error = hf_reservation_each(verify->opened.session, take_reservation, verify);
    if (error)
        return hf_tell_error(error, verify->directory);
    return verify->out_of_memory ? memory_trouble() : HF_EXIT_FINE;
}

/* ---- the log against the state ----------------------------------------------------------------------------------- */

static hf_sku_state *find_state(hf_verify *verify, uint32_t place) {
    const hf_ledger_sku *sku = &verify->ledger.skus[place];
    hf_sku *found;
    if (!sku->name || hf_sku_find(verify->opened.session, sku->name, sku->name_length, &found) != HF_SUCCESS)
        return NULL;
    return state_of(verify, found);
}

/* Check C, and B for chains that begin later. Steps with which the state gives back or completes what is undecided are
 * not in the log yet. */
static void check_chain(hf_verify *verify, uint32_t place, const hf_ledger_sum *sum) {
    const hf_chain *chain = &verify->chains.chains[place];
    const hf_ledger_sku *sku = &verify->ledger.skus[place];
    bool is_whole = chain->first == 1;
    *(is_whole ? &verify->whole_chains : &verify->later_chains) += 1;
    if (!is_whole && verify->is_whole)
        hf_find(&verify->findings,
                "SKU %u %s: its first step kept is version %" PRIu64
                ", expected 1: the log is kept from its first record",
                sku->number, hf_chains_name(&verify->chains, place), chain->first);
    if (!sku->name)
        return;
    hf_sku_state *state = find_state(verify, place);
    if (!state) {
        hf_find(&verify->findings, "SKU %u %s: the log has it, the state does not", sku->number, sku->name);
        return;
    }
    state->has_chain = true;
    uint64_t ahead = sum->steps - sku->steps;
    if (state->stock.version != chain->last + ahead)
        hf_find(&verify->findings, "SKU %u %s: the state is at version %" PRIu64 ", the log at %" PRIu64, sku->number,
                sku->name, state->stock.version, chain->last + ahead);
    else if (!is_whole && verify->ledger.unresolved == 0)
        hf_chains_judge(&verify->chains, place, state->stock.on_hand - (sum->on_hand - sku->on_hand),
                        state->stock.reserved - (sum->reserved - sku->reserved));
}

static int check_chains(hf_verify *verify) {
    hf_ledger_sum *sums = calloc(verify->ledger.sku_room + 1, sizeof *sums);
    if (!sums)
        return memory_trouble();
    hf_ledger_sums(&verify->ledger, sums);
    for (uint32_t place = 0; place < verify->chains.room && place < verify->ledger.sku_room; place++)
        if (verify->chains.chains[place].first)
            check_chain(verify, place, &sums[place]);
    free(sums);
    return HF_EXIT_FINE;
}

/* Check D. */
static void check_reserved(hf_verify *verify) {
    for (size_t i = 0; i < verify->state_count; i++) {
        const hf_sku_state *state = &verify->states[i];
        size_t length;
        const char *name = hf_sku_name(state->sku, &length);
        if (state->stock.reserved != state->live)
            hf_find(&verify->findings, "SKU %.*s: %" PRId64 " reserved, but live reservations add up to %" PRId64,
                    (int)length, name, state->stock.reserved, state->live);
        if (!state->has_chain && state->stock.version && verify->is_whole)
            hf_find(&verify->findings, "SKU %.*s: the state has it, the log does not", (int)length, name);
    }
}

/* Check F. */
static void check_undecided(hf_verify *verify) {
    const hf_ledger *ledger = &verify->ledger;
    char id[33];
    hf_id_to_text(ledger->unsettled_id, id);
    if (ledger->unsettled)
        hf_find(&verify->findings,
                "%" PRIu64 " operations were cut off by a crash, and the recovery behind it did not give them back or "
                "complete them; the last is %s",
                ledger->unsettled, id);
    if (ledger->headless && verify->is_whole)
        hf_find(&verify->findings, "%" PRIu64 " operations go on that never began", ledger->headless);
    if (ledger->doubled)
        hf_find(&verify->findings, "%" PRIu64 " operations began again before they were decided", ledger->doubled);
    if (ledger->open_count != verify->stats.undone)
        hf_find(&verify->findings, "%zu operations are open at the end of the log, the state undid %" PRIu64,
                ledger->open_count, verify->stats.undone);
}

static int compare_all(hf_verify *verify) {
    int exit_code = check_chains(verify);
    if (exit_code)
        return exit_code;
    check_reserved(verify);
    check_undecided(verify);
    int error = verify->is_whole ? hf_compare_ledger(&verify->findings, &verify->ledger, verify->opened.session)
                                 : HF_SUCCESS; /* check E */
    return error ? hf_tell_error(error, verify->directory) : HF_EXIT_FINE;
}

/* ---- check G ----------------------------------------------------------------------------------------------------- */

/* Opens `directory` read-only beside D, and compares. False in *is_same_epoch: a writer went on in between. */
static int compare_with(hf_verify *verify, const char *directory, bool must_be_same, bool *is_same_epoch) {
    const char *const names[2] = {verify->directory, directory};
    hf_opened other;
    hf_stats stats;
    int exit_code = hf_open_directory(&other, directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    hf_stats_read(other.engine, &stats);
    *is_same_epoch = stats.durable == verify->stats.durable;
    if (*is_same_epoch || !must_be_same) {
        int error = hf_compare_engines(&verify->findings, names, verify->opened.session, other.session);
        exit_code = error ? hf_tell_error(error, directory) : HF_EXIT_FINE;
    }
    return hf_close_directory(&other, exit_code);
}

static int recover_for_writing(const char *directory) {
    hf_opened opened;
    int exit_code = hf_open_directory(&opened, directory, 0);
    return exit_code ? exit_code : hf_close_directory(&opened, HF_EXIT_FINE);
}

static int recover_copies(hf_verify *verify, const char *first, const char *second) {
    bool ignored;
    int exit_code = hf_copy_directory(verify->directory, first);
    exit_code = exit_code ? exit_code : hf_copy_directory(verify->directory, second);
    exit_code = exit_code ? exit_code : recover_for_writing(first);
    exit_code = exit_code ? exit_code : recover_for_writing(second);
    exit_code = exit_code ? exit_code : hf_compare_segments(&verify->findings, first, second);
    exit_code = exit_code ? exit_code : recover_for_writing(first); /* once more */
    exit_code = exit_code ? exit_code : compare_with(verify, first, false, &ignored);
    return exit_code ? exit_code : compare_with(verify, second, false, &ignored);
}

static int recover_twice(hf_verify *verify) {
    char *first = NULL, *second = NULL;
    if (mkdir(verify->copy, 0777) != 0)
        return hf_tell(HF_EXIT_SYSTEM, "%s: %s", verify->copy, strerror(errno));
    if (asprintf(&first, "%s/first", verify->copy) < 0 || asprintf(&second, "%s/second", verify->copy) < 0)
        return memory_trouble();
    int exit_code = recover_copies(verify, first, second);
    verify->recoveries = HF_ON_DISK;
    if (exit_code == HF_EXIT_FINE && verify->findings.count == 0) {
        hf_remove_directory(first);
        hf_remove_directory(second);
        rmdir(verify->copy);
    }
    free(first);
    free(second);
    return exit_code;
}

static int check_recoveries(hf_verify *verify) {
    bool is_same_epoch;
    int exit_code = compare_with(verify, verify->directory, true, &is_same_epoch);
    verify->recoveries = is_same_epoch ? HF_IN_MEMORY : HF_NOT_CHECKED;
    return exit_code || !verify->copy ? exit_code : recover_twice(verify);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static const char *const recoveries_in_words[] = {
    [HF_NOT_CHECKED] = "not compared",
    [HF_IN_MEMORY] = "two read-only ones were compared",
    [HF_ON_DISK] = "two read-only ones and two for writing were compared",
};

static void print_words(const hf_verify *verify) {
    const hf_ledger *ledger = &verify->ledger;
    for (uint64_t i = 0; i < verify->findings.count && i < HF_FINDINGS_TOLD; i++)
        printf("problem: %s\n", verify->findings.text[i] ? verify->findings.text[i] : "(out of memory)");
    if (verify->findings.count > HF_FINDINGS_TOLD)
        printf("and %" PRIu64 " problems more\n", verify->findings.count - HF_FINDINGS_TOLD);
    printf("log: epochs %" PRIu64 " to %" PRIu64 ", %" PRIu64 " records, %" PRIu64 " steps\n", verify->first_epoch,
           ledger->epoch, ledger->records, ledger->steps);
    printf("chains: %" PRIu64 " SKUs whole from their first step, %" PRIu64 " from a later one\n", verify->whole_chains,
           verify->later_chains);
    printf("state: durable epoch %" PRIu64 ", %zu SKUs, %" PRIu64 " live reservations of %" PRIu64 " units\n",
           verify->stats.durable, verify->state_count, verify->live, verify->live_units);
    printf("log alone: %s\n", verify->is_unreadable ? "not compared: it cannot be read"
                              : verify->is_whole    ? "compared with checkpoint and log"
                                                    : "not compared: its first records are no longer kept");
    printf("recoveries: %s\n", recoveries_in_words[verify->recoveries]);
    if (verify->stats.undone)
        printf("%" PRIu64 " operations that a crash cut off: the next open for writing gives them back\n",
               verify->stats.undone);
    printf("verdict: %s\n", verify->findings.count ? "BAD" : "good");
}

static void print_json(const hf_verify *verify) {
    static const char *const recoveries[] = {"none", "read-only", "for writing"};
    printf("{\"verdict\": \"%s\",\n \"problem_count\": %" PRIu64 ",\n \"problems\": [",
           verify->findings.count ? "bad" : "good", verify->findings.count);
    for (uint64_t i = 0; i < verify->findings.count && i < HF_FINDINGS_TOLD; i++) {
        const char *text = verify->findings.text[i] ? verify->findings.text[i] : "(out of memory)";
        fputs(i ? ",\n  " : "\n  ", stdout);
        hf_write_json_string(stdout, text, strlen(text));
    }
    printf("],\n \"first_epoch\": %" PRIu64 ",\n \"last_epoch\": %" PRIu64 ",\n \"records\": %" PRIu64
           ",\n \"steps\": %" PRIu64 ",\n \"whole_chains\": %" PRIu64 ",\n \"later_chains\": %" PRIu64
           ",\n \"durable\": %" PRIu64 ",\n \"skus\": %zu,\n \"live\": %" PRIu64 ",\n \"live_units\": %" PRIu64
           ",\n \"undone\": %" PRIu64 ",\n \"log_alone_compared\": %s,\n \"recoveries_compared\": \"%s\"}\n",
           verify->first_epoch, verify->ledger.epoch, verify->ledger.records, verify->ledger.steps,
           verify->whole_chains, verify->later_chains, verify->stats.durable, verify->state_count, verify->live,
           verify->live_units, verify->stats.undone, verify->is_whole && !verify->is_unreadable ? "true" : "false",
           recoveries[verify->recoveries]);
}

static int verify_all(hf_verify *verify) {
    int error = hf_is_log_whole(verify->directory, &verify->is_whole);
    if (error == HF_ECORRUPT || error == HF_EVERSION)
        unreadable(verify);
    else if (error)
        return hf_tell_error(error, verify->directory);
    int exit_code = read_state(verify);
    if (!exit_code && !verify->is_unreadable)
        exit_code = read_log(verify);
    if (exit_code || verify->is_unreadable)
        return exit_code;
    exit_code = compare_all(verify);
    return exit_code ? exit_code : check_recoveries(verify);
}

int hf_command_verify(int argc, char **argv) {
    hf_verify verify = {0};
    int exit_code = read_command_line(&verify, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    if (verify.copy && hf_is_in_use(verify.directory))
        return hf_tell(HF_EXIT_SYSTEM, "%s is in use: --recover-copy wants one that is not", verify.directory);
    exit_code = hf_open_directory(&verify.opened, verify.directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    exit_code = verify_all(&verify);
    if (exit_code == HF_EXIT_FINE) {
        (verify.json ? print_json : print_words)(&verify);
        exit_code = hf_finish_output(verify.findings.count ? HF_EXIT_DATA : HF_EXIT_FINE);
    }
    hf_ledger_free(&verify.ledger);
    hf_chains_free(&verify.chains);
    hf_findings_free(&verify.findings);
    free(verify.states);
    return hf_close_directory(&verify.opened, exit_code);
}
