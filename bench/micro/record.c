/* A record, encoded and put into a session's log ring: a reserve of one line and its confirm in turn.
 *     what=encode        hf_record_encode into the same place
 *         =bare_encode   the bytes that come out, copied
 *         =append        hf_ring_append, and hf_ring_take when the ring is full
 *         =bare_append   the bytes copied into a ring as large, its end published by a release store
 */
#include "../support/bench.h"
#include "../support/turns.h"

#include "engine/ring.h"

#include <string.h>

enum { AT_ONCE = 256, RING = 1 << 20 };
enum what { ENCODE, BARE_ENCODE, APPEND, BARE_APPEND, WHATS };
static const char *const names[WHATS] = {"encode", "bare_encode", "append", "bare_append"};

static struct bench {
    hf_ring ring;
    uint8_t *bytes; /* of the bare ring */
    uint64_t tail, epoch;
    struct {
        hf_step step;
        hf_entry entry;
        uint8_t bytes[HF_RECORD_HEAD_MAX + HF_RECORD_LINE_MAX];
        size_t length;
    } of[2];
    hf_record_context context;
} b;

static int discard(void *context, const void *data, size_t length) {
    (void)context;
    (void)data;
    (void)length;
    return HF_SUCCESS;
}

static void encode(unsigned i) { hf_record_encode(b.of[i].bytes, &b.of[i].entry, &b.context); }

static void bare_encode(unsigned i) {
    static uint8_t place[HF_RECORD_HEAD_MAX];
    memcpy(place, b.of[i].bytes, b.of[i].length);
    __asm__ volatile("" ::"r"(place) : "memory");
}

static void append(unsigned i) {
    if (!hf_ring_room(&b.ring, hf_record_need(1))) {
        bool any;
        if (hf_ring_take(&b.ring, b.epoch, 1, discard, NULL, &any) != HF_SUCCESS) {
            die("a ring was not emptied");
        }
        b.epoch++;
    }
    hf_ring_append(&b.ring, b.epoch, &b.of[i].entry);
}

static void bare_append(unsigned i) {
    uint64_t tail = b.tail;
    memcpy(b.bytes + tail % RING, b.of[i].bytes, b.of[i].length);
    hf_store_release(&b.tail, tail + b.of[i].length); /* release: what a ring pays; nobody reads it */
}

static void fill(unsigned i, hf_record_type type) {
    b.of[i].step = (hf_step){.sku = 4711, .quantity = 1, .version = 123456 + i};
    b.of[i].entry = (hf_entry){.type = type,
                               .time_ms = UINT64_C(1750000000000),
                               .ttl_ms = type == HF_RECORD_RESERVE ? 900000 : 0,
                               .step = type == HF_RECORD_CONFIRM ? UINT64_C(1750000000000) << 18 : 0,
                               .steps = &b.of[i].step,
                               .step_count = 1};
    memset(b.of[i].entry.id.bytes, 0x5a, 12);
    b.context = (hf_record_context){.time_ms = UINT64_C(1750000000000)};
    b.of[i].length = (size_t)(hf_record_encode(b.of[i].bytes, &b.of[i].entry, &b.context) - b.of[i].bytes);
}

static void take_turn(void (*what)(unsigned), double wanted) {
    uint64_t start = now_ns(), done = 0;
    double seconds;
    do {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            what(i % 2);
        }
        done += AT_ONCE;
        seconds = seconds_since(start);
    } while (seconds < wanted);
    report_begin();
    report_number("ns", seconds * 1e9 / (double)done);
    report_end();
}

int main(int count, char **arguments) {
    void (*const functions[WHATS])(unsigned) = {encode, bare_encode, append, bare_append};
    settings_read(count, arguments);
    const char *text = setting_text("what", "encode");
    enum what what = 0;
    settings_done();
    while (what < WHATS && strcmp(text, names[what]) != 0) {
        what++;
    }
    if (what == WHATS || hf_ring_open(&b.ring, RING) != HF_SUCCESS) {
        die("expected what=encode, bare_encode, append or bare_append, and memory");
    }
    b.bytes = bench_memory(RING + sizeof b.of[0].bytes);
    b.epoch = 1;
    fill(0, HF_RECORD_RESERVE);
    fill(1, HF_RECORD_CONFIRM);
    report_begin();
    report_text("what", text);
    report_count("reserve_bytes", b.of[0].length);
    report_count("confirm_bytes", b.of[1].length);
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(functions[what], t.seconds);
    }
    hf_ring_close(&b.ring);
    return 0;
}
