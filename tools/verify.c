/* holdfast verify: reads a directory's whole log and its state, and checks the one against the other.
 *
 * What is checked
 *   A  Every record kept can be read: the log reader checks digests and the hash chain of batches.
 *   B  Epochs never decrease.
 *   C  Each SKU's versions are gapless from the first that is kept.
 *   D  Where a SKU's chain is kept from version 1: after no step is on_hand or reserved below zero, and no step that
 *      takes units (purchase, reserve, late confirm, adjust downwards) leaves less than nothing available.
 *   E  The last version, and where D's chain is whole the sums, are those of the state that replay made.
 *   F  For every SKU, reserved is what the live reservations' lines add up to.
 *
 * Steps of one SKU stand in one epoch in any order, so an epoch's steps are collected, sorted by version, then applied:
 * memory is that of the largest epoch, the SKUs, and no more.
 */
#include "progress.h"
#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: holdfast verify --dir D [--json]\n"
    "\n"
    "Reads the whole log of directory D and checks it: every record readable; every SKU's versions without a gap;\n"
    "no step below zero or beyond what was available; the sums equal to the state; live reservations equal to\n"
    "what is reserved. Changes nothing; D may be in use.\n"
    "\n"
    "  --json    an object: verdict (good, bad), problems (the first 20 in words), problem_count, and figures\n"
    "\n"
    "exit status: 0 everything holds; 1 something does not; 2 wrong usage; 3 system trouble\n";

#define PROBLEMS_TOLD 20u

typedef struct hf_step {
    uint32_t sku;
    uint8_t type;
    bool gives;
    uint64_t version;
    int64_t quantity, on_hand_change, reserved_change;
} hf_step;

/* What the log says of one SKU. */
typedef struct hf_chain {
    char *name; /* NULL: not known from what is kept */
    uint32_t name_length;
    uint64_t first, last;      /* versions; 0: no step kept */
    int64_t on_hand, reserved; /* whole chains only: first is 1 */
} hf_chain;

/* What the state says of one SKU. */
typedef struct hf_sku_state {
    const hf_sku *sku;
    hf_stock stock;
    int64_t live; /* units in lines of live reservations */
    bool has_chain;
} hf_sku_state;

typedef struct hf_verify {
    const char *directory;
    hf_opened opened;
    hf_stats stats;
    hf_progress progress;
    hf_chain *chains; /* by the SKU's number */
    size_t chain_room;
    hf_step *steps; /* of the epoch at hand */
    size_t step_count, step_room;
    hf_sku_state *states; /* sorted by handle */
    size_t state_count, state_room;
    uint64_t records, steps_done, first_epoch, epoch, whole_chains, later_chains, live, live_units;
    char *problems[PROBLEMS_TOLD];
    uint64_t problem_count;
    bool out_of_memory;
} hf_verify;

static void problem(hf_verify *verify, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(hf_verify *verify, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (verify->problem_count < PROBLEMS_TOLD &&
        vasprintf(&verify->problems[verify->problem_count], format, arguments) < 0)
        verify->problems[verify->problem_count] = NULL;
    va_end(arguments);
    verify->problem_count++;
}

/* The array with room for `count` elements, new ones zero; on trouble as it was, and out_of_memory is set. */
static void *make_room(hf_verify *verify, void *array, size_t *room, size_t size, size_t count) {
    if (count <= *room)
        return array;
    size_t grown = *room * 2 > count ? *room * 2 : count + 1024;
    char *bytes = reallocarray(array, grown, size);
    if (!bytes) {
        verify->out_of_memory = true;
        return array;
    }
    memset(bytes + *room * size, 0, (grown - *room) * size);
    *room = grown;
    return bytes;
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static hf_chain *chain_of(hf_verify *verify, uint32_t number) {
    verify->chains = make_room(verify, verify->chains, &verify->chain_room, sizeof(hf_chain), (size_t)number + 1);
    return number < verify->chain_room ? &verify->chains[number] : NULL;
}

static void learn_name(hf_verify *verify, uint32_t number, const void *name, uint32_t length) {
    hf_chain *chain = chain_of(verify, number);
    if (!chain || chain->name || !name)
        return;
    char *copy = malloc((size_t)length + 1);
    if (!copy) {
        verify->out_of_memory = true;
        return;
    }
    memcpy(copy, name, length);
    copy[length] = 0;
    chain->name = copy;
    chain->name_length = length;
}

static const char *shown_name(const hf_chain *chain) { return chain->name ? chain->name : "(name not kept)"; }

static int by_sku_and_version(const void *left, const void *right) {
    const hf_step *a = left, *b = right;
    if (a->sku != b->sku)
        return a->sku < b->sku ? -1 : 1;
    return (a->version > b->version) - (a->version < b->version);
}

/* Check D. */
static void apply_to_sums(hf_verify *verify, hf_chain *chain, const hf_step *step) {
    if (step->type == HF_RECORD_COUNT && !step->gives)
        chain->on_hand = step->quantity;
    else
        chain->on_hand += step->on_hand_change;
    chain->reserved += step->reserved_change;
    bool takes = !step->gives &&
                 (step->type == HF_RECORD_PURCHASE || step->type == HF_RECORD_RESERVE ||
                  step->type == HF_RECORD_CONFIRM_LATE || (step->type == HF_RECORD_ADJUST && step->on_hand_change < 0));
    if (chain->on_hand < 0 || chain->reserved < 0)
        problem(verify,
                "epoch %" PRIu64 ": SKU %u %s: %s at version %" PRIu64 " leads to on_hand %" PRId64
                ", reserved %" PRId64 ", expected neither below 0",
                verify->epoch, step->sku, shown_name(chain), hf_record_text(step->type), step->version, chain->on_hand,
                chain->reserved);
    else if (takes && chain->on_hand < chain->reserved)
        problem(verify,
                "epoch %" PRIu64 ": SKU %u %s: oversold: %s at version %" PRIu64 " leads to on_hand %" PRId64
                ", reserved %" PRId64,
                verify->epoch, step->sku, shown_name(chain), hf_record_text(step->type), step->version, chain->on_hand,
                chain->reserved);
}

static void apply_step(hf_verify *verify, const hf_step *step) {
    hf_chain *chain = chain_of(verify, step->sku);
    if (!chain)
        return;
    if (chain->last && step->version != chain->last + 1)
        problem(verify,
                "epoch %" PRIu64 ": SKU %u %s: version %" PRIu64 " follows version %" PRIu64
                ", expected no gap and no repeat",
                verify->epoch, step->sku, shown_name(chain), step->version, chain->last);
    if (!chain->first)
        chain->first = step->version;
    chain->last = step->version;
    if (chain->first == 1)
        apply_to_sums(verify, chain, step);
    verify->steps_done++;
}

static void end_epoch(hf_verify *verify) {
    if (verify->step_count)
        qsort(verify->steps, verify->step_count, sizeof(hf_step), by_sku_and_version);
    for (size_t i = 0; i < verify->step_count; i++)
        apply_step(verify, &verify->steps[i]);
    verify->step_count = 0;
    hf_progress_show(&verify->progress, 0, 0, verify->records, "records");
}

static void take_record(hf_verify *verify, const hf_record *record) {
    if (record->epoch < verify->epoch)
        problem(verify, "epoch %" PRIu64 " follows epoch %" PRIu64 ", expected epochs never to decrease", record->epoch,
                verify->epoch);
    if (record->epoch != verify->epoch)
        end_epoch(verify);
    verify->epoch = record->epoch;
    if (!verify->records++)
        verify->first_epoch = record->epoch;
    if (record->type == HF_RECORD_SKU)
        learn_name(verify, record->number, record->name, record->name_length);
    for (uint32_t i = 0; i < record->line_count; i++) {
        const hf_record_line *line = &record->lines[i];
        learn_name(verify, line->sku, line->name, line->name_length);
        verify->steps = make_room(verify, verify->steps, &verify->step_room, sizeof(hf_step), verify->step_count + 1);
        if (verify->out_of_memory)
            return;
        verify->steps[verify->step_count++] = (hf_step){.sku = line->sku,
                                                        .type = (uint8_t)record->type,
                                                        .gives = (record->parts & HF_PART_GIVE) != 0,
                                                        .version = line->version,
                                                        .quantity = line->quantity,
                                                        .on_hand_change = line->on_hand_change,
                                                        .reserved_change = line->reserved_change};
    }
}

static int read_log(hf_verify *verify) {
    hf_log *log;
    int error = hf_log_open(verify->directory, 0, &log);
    if (error)
        return hf_tell_error(error, verify->directory);
    hf_record record;
    int result;
    while ((result = hf_log_next(log, &record)) == 1 && record.epoch <= verify->stats.durable && !verify->out_of_memory)
        take_record(verify, &record);
    end_epoch(verify);
    hf_log_close(log);
    if (result == HF_ECORRUPT || result == HF_EVERSION)
        problem(verify, "%s", hf_error_detail());
    else if (result == HF_ENOTFOUND)
        return hf_tell(HF_EXIT_SYSTEM, "%s: its writer has just let go of log that was still to be read: try again",
                       verify->directory);
    else if (result < 0)
        return hf_tell_error(result, verify->directory);
    return verify->out_of_memory ? hf_tell(HF_EXIT_SYSTEM, "out of memory") : HF_EXIT_FINE;
}

/* ---- the state --------------------------------------------------------------------------------------------------- */

static bool take_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    hf_verify *verify = context;
    verify->states =
        make_room(verify, verify->states, &verify->state_room, sizeof(hf_sku_state), verify->state_count + 1);
    if (verify->out_of_memory)
        return false;
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
            problem(verify, "a live reservation names a SKU that the state does not have");
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
    return verify->out_of_memory ? hf_tell(HF_EXIT_SYSTEM, "out of memory") : HF_EXIT_FINE;
}

/* ---- the one against the other ----------------------------------------------------------------------------------- */

/* Check E. Operations that a crash cut off are given back by replay before the log says so, so with any of them the
 * state may be some steps ahead. */
static void check_chain(hf_verify *verify, uint32_t number, const hf_chain *chain) {
    bool whole = chain->first == 1;
    *(whole ? &verify->whole_chains : &verify->later_chains) += 1;
    if (!whole && verify->stats.checkpoint_epoch == 0)
        problem(verify, "SKU %u %s: its first step kept is version %" PRIu64 ", expected 1: there is no checkpoint",
                number, shown_name(chain), chain->first);
    if (!chain->name)
        return;
    hf_sku *sku;
    hf_sku_state *state = hf_sku_find(verify->opened.session, chain->name, chain->name_length, &sku) == HF_SUCCESS
                              ? state_of(verify, sku)
                              : NULL;
    if (!state) {
        problem(verify, "SKU %u %s: the log has it, the state does not", number, chain->name);
        return;
    }
    state->has_chain = true;
    if (verify->stats.undone && state->stock.version > chain->last)
        return;
    if (state->stock.version != chain->last)
        problem(verify, "SKU %u %s: the state is at version %" PRIu64 ", the log at %" PRIu64, number, chain->name,
                state->stock.version, chain->last);
    else if (whole && (state->stock.on_hand != chain->on_hand || state->stock.reserved != chain->reserved))
        problem(verify,
                "SKU %u %s: the log adds up to on_hand %" PRId64 ", reserved %" PRId64 "; the state has %" PRId64
                " and %" PRId64,
                number, chain->name, chain->on_hand, chain->reserved, state->stock.on_hand, state->stock.reserved);
}

static void compare(hf_verify *verify) {
    for (uint32_t number = 0; number < verify->chain_room; number++)
        if (verify->chains[number].first)
            check_chain(verify, number, &verify->chains[number]);
    for (size_t i = 0; i < verify->state_count; i++) {
        const hf_sku_state *state = &verify->states[i];
        size_t length;
        const char *name = hf_sku_name(state->sku, &length);
        if (state->stock.reserved != state->live) /* check F */
            problem(verify, "SKU %.*s: %" PRId64 " reserved, but live reservations add up to %" PRId64, (int)length,
                    name, state->stock.reserved, state->live);
        if (!state->has_chain && state->stock.version && verify->stats.checkpoint_epoch == 0)
            problem(verify, "SKU %.*s: the state has it, the log does not", (int)length, name);
    }
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

static void print_words(const hf_verify *verify) {
    for (uint64_t i = 0; i < verify->problem_count && i < PROBLEMS_TOLD; i++)
        printf("problem: %s\n", verify->problems[i] ? verify->problems[i] : "(out of memory)");
    if (verify->problem_count > PROBLEMS_TOLD)
        printf("and %" PRIu64 " problems more\n", verify->problem_count - PROBLEMS_TOLD);
    printf("log: epochs %" PRIu64 " to %" PRIu64 ", %" PRIu64 " records, %" PRIu64 " steps\n", verify->first_epoch,
           verify->epoch, verify->records, verify->steps_done);
    printf("chains: %" PRIu64 " SKUs whole from their first step, %" PRIu64 " from a later one\n", verify->whole_chains,
           verify->later_chains);
    printf("state: durable epoch %" PRIu64 ", %zu SKUs, %" PRIu64 " live reservations of %" PRIu64 " units\n",
           verify->stats.durable, verify->state_count, verify->live, verify->live_units);
    if (verify->stats.undone)
        printf("%" PRIu64 " operations that a crash cut off: the next open for writing gives them back\n",
               verify->stats.undone);
    printf("verdict: %s\n", verify->problem_count ? "BAD" : "good");
}

static void print_json(const hf_verify *verify) {
    printf("{\"verdict\": \"%s\",\n \"problem_count\": %" PRIu64 ",\n \"problems\": [",
           verify->problem_count ? "bad" : "good", verify->problem_count);
    for (uint64_t i = 0; i < verify->problem_count && i < PROBLEMS_TOLD; i++) {
        const char *text = verify->problems[i] ? verify->problems[i] : "(out of memory)";
        fputs(i ? ",\n  " : "\n  ", stdout);
        hf_write_json_string(stdout, text, strlen(text));
    }
    printf("],\n \"first_epoch\": %" PRIu64 ",\n \"last_epoch\": %" PRIu64 ",\n \"records\": %" PRIu64
           ",\n \"steps\": %" PRIu64 ",\n \"whole_chains\": %" PRIu64 ",\n \"later_chains\": %" PRIu64
           ",\n \"durable\": %" PRIu64 ",\n \"skus\": %zu,\n \"live\": %" PRIu64 ",\n \"live_units\": %" PRIu64
           ",\n \"undone\": %" PRIu64 "}\n",
           verify->first_epoch, verify->epoch, verify->records, verify->steps_done, verify->whole_chains,
           verify->later_chains, verify->stats.durable, verify->state_count, verify->live, verify->live_units,
           verify->stats.undone);
}

static void free_all(hf_verify *verify) {
    for (size_t i = 0; i < verify->chain_room; i++)
        free(verify->chains[i].name);
    for (unsigned i = 0; i < PROBLEMS_TOLD; i++)
        free(verify->problems[i]);
    free(verify->chains);
    free(verify->steps);
    free(verify->states);
}

int hf_command_verify(int argc, char **argv) {
    hf_arguments arguments;
    int exit_code = hf_read_arguments(argc, argv, HF_TAKES_JSON, help, &arguments);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_verify verify = {.directory = arguments.directory};
    exit_code = hf_open_directory(&verify.opened, arguments.directory, HF_READ_ONLY);
    if (exit_code)
        return exit_code;
    hf_progress_begin(&verify.progress);
    exit_code = read_state(&verify);
    if (exit_code == HF_EXIT_FINE)
        exit_code = read_log(&verify);
    hf_progress_end(&verify.progress);
    if (exit_code == HF_EXIT_FINE) {
        compare(&verify);
        if (arguments.json)
            print_json(&verify);
        else
            print_words(&verify);
        exit_code = hf_finish_output(verify.problem_count ? HF_EXIT_DATA : HF_EXIT_FINE);
    }
    free_all(&verify);
    return hf_close_directory(&verify.opened, exit_code);
}
