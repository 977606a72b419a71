/* A SKU's counter: one step, as stock.h makes it, beside a bare compare-and-swap on the same word.
 *     skus=N     steps on SKUs in random order
 *     bare=1     the limit
 */
#include "../support/bench.h"
#include "../support/lines.h"
#include "../support/random.h"
#include "../support/turns.h"

#include "engine/stock.h"

enum { AT_ONCE = 256 };

static bare_line *lines;
static uint64_t epoch = 1; /* stands for the engine's, which a step reads between load and compare-and-swap */

static void step(hf_word128 *place, hf_record_type type) {
    hf_word128 word = hf_load128_acquire(place);
    for (;;) {
        hf_counter counter = hf_counter_of(word);
        if (hf_stock_apply(type, 1, 0, &counter) != HF_STEP_DONE) {
            die("a step was refused");
        }
        (void)hf_load_acquire(&epoch); /* acquire: what an engine pays; one thread */
        if (hf_cas128_acq_rel(place, &word, hf_counter_word(counter))) {
            return;
        }
    }
}

static void take_turn(uint64_t skus, bool bare, double wanted) {
    uint64_t start = now_ns(), done = 0, state = 1;
    double seconds;
    do {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            bare_line *line = &lines[random_below(&state, skus)];
            if (bare) {
                line_step(line, 1, 1);
            } else {
                step(&line->word, i % 2 ? HF_RECORD_RECEIVE : HF_RECORD_PURCHASE);
            }
        }
        done += AT_ONCE;
        seconds = seconds_since(start);
    } while (seconds < wanted);
    report_begin();
    report_number("ns", seconds * 1e9 / (double)done);
    report_end();
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    uint64_t skus = setting_count("skus", 10000);
    bool bare = setting_count("bare", 0) != 0;
    settings_done();
    lines = bench_memory(skus * sizeof *lines);
    for (uint64_t i = 0; i < skus; i++) {
        lines[i].word = hf_counter_word((hf_counter){.on_hand = HF_MAX_QUANTITY / 2, .version = 1});
    }
    report_begin();
    report_text("what", bare ? "compare-and-swap" : "counter step");
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(skus, bare, t.seconds);
    }
    return 0;
}
