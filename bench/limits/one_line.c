/* The limit of a hot SKU: threads that step one 16-byte word by compare-and-swap, and do nothing else.
 *     threads=N
 *     lines=N     spreads them over that many lines, at random: the limit of a counter's step
 */
#include "../support/bench.h"
#include "../support/crew.h"
#include "../support/lines.h"
#include "../support/random.h"
#include "../support/turns.h"

enum { STEPS_A_LOOK = 256 };

static bare_line *lines;
static uint64_t line_count;

static void work(member *self, void *context) {
    (void)context;
    uint64_t start = now_ns(), state = self->number;
    self->done = 0;
    do {
        for (unsigned i = 0; i < STEPS_A_LOOK; i++) {
            line_step(line_count == 1 ? lines : &lines[random_below(&state, line_count)], 1, 1);
        }
        self->done += STEPS_A_LOOK;
    } while (!crew_is_over());
    self->seconds = seconds_since(start);
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    line_count = setting_count("lines", 1);
    unsigned threads = (unsigned)setting_count("threads", 1);
    settings_done();
    lines = bench_memory(line_count * sizeof *lines);
    crew *team = crew_start(&(crew_plan){.count = threads, .work = work});
    report_begin();
    report_text("what", "bare compare-and-swap");
    report_end();
    for (turn t; turn_next(&t);) {
        crew_run(team, t.seconds);
        report_begin();
        report_number("steps_per_second", crew_rate(team));
        report_end();
    }
    crew_end(team);
    return 0;
}
