/* What a timing wheel stands against: a binary heap of deadlines in which every reservation knows its place, so that it
 * can be taken out from the middle.
 *     pending=N     entries in it, deadlines uniform over an hour
 * A turn of any length takes out an entry at random and puts it back with a new deadline, pending / 10 times.
 */
#include "../support/bench.h"
#include "../support/slots.h"
#include "../support/turns.h"

static struct item {
    uint64_t time_ms;
    uint32_t slot;
} * items;
static slots all; /* number: the place in `items` */
static size_t count;

static void put(size_t at, struct item item) {
    items[at] = item;
    all.lines[item.slot].number = (uint32_t)at;
}

static void sift_up(size_t at, struct item item) {
    while (at > 0 && items[(at - 1) / 2].time_ms > item.time_ms) {
        put(at, items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(at, item);
}

static void sift_down(size_t at, struct item item) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && items[child + 1].time_ms < items[child].time_ms;
        if (items[child].time_ms >= item.time_ms) {
            break;
        }
        put(at, items[child]);
    }
    put(at, item);
}

static void add(uint32_t number, uint64_t time_ms) {
    count++;
    sift_up(count - 1, (struct item){time_ms, number});
}

static void take_out(uint32_t number) {
    size_t at = all.lines[number].number;
    struct item last = items[--count];
    if (at == count) {
        return;
    }
    if (at > 0 && items[(at - 1) / 2].time_ms > last.time_ms) {
        sift_up(at, last);
    } else {
        sift_down(at, last);
    }
}

static void must_be_a_heap(void) {
    for (size_t i = 1; i < count; i++) {
        if (items[(i - 1) / 2].time_ms > items[i].time_ms || all.lines[items[i].slot].number != i) {
            die("entry %zu is out of order", i);
        }
    }
}

int main(int argument_count, char **arguments) {
    settings_read(argument_count, arguments);
    uint64_t pending = setting_count("pending", 10000000);
    settings_done();
    slots_begin(&all, pending);
    items = bench_memory(pending * sizeof *items);
    for (uint64_t i = 0; i < pending; i++) {
        add((uint32_t)i, slots_deadline(&all));
    }
    report_begin();
    report_text("what", "binary heap");
    report_end();
    for (turn t; turn_next(&t);) {
        uint64_t times = pending / 10, start = now_ns();
        for (uint64_t i = 0; i < times; i++) {
            uint32_t number = slots_pick(&all);
            take_out(number);
            add(number, slots_deadline(&all));
        }
        double seconds = seconds_since(start);
        must_be_a_heap();
        report_begin();
        report_number("ns_per_add_and_cancel", seconds * 1e9 / (double)times);
        report_end();
    }
    return 0;
}
