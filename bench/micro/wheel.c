/* The timing wheel: an entry added and one cancelled, with so many pending.
 *     pending=N     entries alive in it, deadlines uniform over an hour
 *     what=cancel   a slot picked at random gets a new entry, and so its old one is dead; compacted when the wheel
 *                   says so. A turn does that pending * 5 / 4 times, so it holds a compaction
 *         =expire   pending entries, all within a second, are added and then taken out
 */
#include "../support/bench.h"
#include "../support/slots.h"
#include "../support/turns.h"

#include "engine/wheel.h"

#include <string.h>

enum { TAKEN_AT_ONCE = 256 };
#define BEGINNING UINT64_C(1750000000000)

static slots all; /* number: the sequence number */

static bool is_dead(void *context, hf_wheel_entry entry) {
    (void)context;
    return all.lines[entry.slot].number != entry.sequence;
}

static void add(hf_wheel *wheel, uint64_t time_ms, uint32_t number) {
    hf_wheel_entry entry = {.time_ms = time_ms, .slot = number, .sequence = all.lines[number].number};
    if (!hf_wheel_add(wheel, entry)) {
        die("out of memory");
    }
}

static void cancel_turn(hf_wheel *wheel, uint64_t pending) {
    uint64_t times = pending + pending / 4, start = now_ns();
    hf_wheel_gauges before, after;
    hf_wheel_gauges_read(wheel, &before);
    for (uint64_t i = 0; i < times; i++) {
        uint32_t number = slots_pick(&all);
        all.lines[number].number++;
        hf_wheel_count_dead(wheel);
        add(wheel, BEGINNING + slots_deadline(&all), number);
        if (hf_wheel_wants_compaction(wheel)) {
            hf_wheel_compact(wheel, is_dead, NULL, all.lines);
        }
    }
    double seconds = seconds_since(start);
    hf_wheel_gauges_read(wheel, &after);
    report_begin();
    report_number("ns_per_add_and_cancel", seconds * 1e9 / (double)times);
    report_count("compactions", after.compactions - before.compactions);
    report_number("bytes_per_live", (double)after.bytes / (double)pending);
    report_end();
}

static void expire_turn(uint64_t pending) {
    hf_wheel *wheel = need(hf_wheel_new(BEGINNING));
    uint64_t start = now_ns(), taken = 0;
    for (uint64_t i = 0; i < pending; i++) {
        add(wheel, BEGINNING + 10000 + random_below(&all.state, 1000), (uint32_t)i);
    }
    double adding = seconds_since(start);
    start = now_ns();
    for (uint64_t now_ms = BEGINNING + 10000; taken < pending; now_ms++) {
        hf_wheel_entry due[TAKEN_AT_ONCE];
        for (size_t n; (n = hf_wheel_take(wheel, now_ms, due, TAKEN_AT_ONCE)) > 0;) {
            taken += n;
        }
    }
    double taking = seconds_since(start);
    report_begin();
    report_number("ns_per_add", adding * 1e9 / (double)pending);
    report_number("ns_per_expire", taking * 1e9 / (double)pending);
    report_end();
    hf_wheel_free(wheel);
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    uint64_t pending = setting_count("pending", 10000000);
    bool expire = strcmp(setting_text("what", "cancel"), "expire") == 0;
    settings_done();
    slots_begin(&all, pending);
    hf_wheel *wheel = need(hf_wheel_new(BEGINNING));
    for (uint64_t i = 0; !expire && i < pending; i++) {
        add(wheel, BEGINNING + slots_deadline(&all), (uint32_t)i);
    }
    report_begin();
    report_text("what", "timing wheel");
    report_end();
    for (turn t; turn_next(&t);) {
        if (expire) {
            expire_turn(pending);
        } else {
            cancel_turn(wheel, pending);
        }
    }
    hf_wheel_free(wheel);
    return 0;
}
