/* The id index beside the lines it cannot do without: the bucket's, and the one that holds the slot's id.
 *     held=N             ids in it
 *     what=find          of ids that are there, in random order
 *         =replace       one inserted, and one picked at random removed
 *         =bare_find     two lines loaded
 *         =bare_replace  two lines stepped twice each, by an 8-byte compare-and-swap, and loaded for the id
 */
#include "../support/bench.h"
#include "../support/lines.h"
#include "../support/random.h"
#include "../support/turns.h"

#include "engine/index.h"
#include "wal/section.h"

#include <string.h>

enum { AT_ONCE = 256, SPARE = 4096 };
enum what { FIND, REPLACE, BARE_FIND, BARE_REPLACE, WHATS };
static const char *const names[WHATS] = {"find", "replace", "bare_find", "bare_replace"};

static struct bench {
    enum what what;
    hf_index *index;
    bare_line *slots;      /* lo: the number that is the slot's id */
    bare_line *buckets;    /* of the bare loops */
    uint32_t *live;        /* slots */
    uint32_t spare[SPARE]; /* slots whose ids were removed, used again in turn */
    uint64_t held, next, next_spare, state, seen;
} b;

static uint64_t hash_of(uint64_t number) { return random_mix(number + 1); }
static bool same(void *context, uint32_t slot, const void *key) {
    (void)context;
    return b.slots[slot].word.lo == *(const uint64_t *)key;
}
static uint64_t slot_hash(void *context, uint32_t slot) {
    (void)context;
    return hash_of(b.slots[slot].word.lo);
}

static void insert(uint32_t slot) {
    uint64_t key[2] = {b.next++, 0};
    uint32_t existing;
    b.slots[slot].word.lo = key[0];
    hf_section_enter();
    if (hf_index_insert(b.index, hash_of(key[0]), key, slot, &existing) != HF_INDEX_INSERTED) {
        die("an id was not inserted");
    }
    hf_section_leave();
}

static void replace(uint64_t place) {
    uint32_t *spare = &b.spare[b.next_spare++ % SPARE], old = b.live[place];
    insert(*spare);
    hf_section_enter();
    if (!hf_index_remove(b.index, hash_of(b.slots[old].word.lo), old)) {
        die("an id was not there");
    }
    hf_section_leave();
    b.live[place] = *spare;
    *spare = old;
}

static void find(uint64_t place) {
    uint64_t key[2] = {b.slots[b.live[place]].word.lo, 0};
    hf_section_enter();
    b.seen += hf_index_find(b.index, hash_of(key[0]), key);
    hf_section_leave();
}

static void step64(uint64_t *word) {
    uint64_t seen = hf_load_acquire(word); /* acquire: what an engine pays; one thread */
    while (!hf_cas_acq_rel(word, &seen, seen + 1)) {
    }
}

static void bare_replace(uint64_t place) {
    uint32_t *spare = &b.spare[b.next_spare++ % SPARE], old = b.live[place];
    bare_line *bucket = &b.buckets[random_scale(hash_of(b.next++), b.held)];
    b.slots[*spare].word.lo = b.next;
    step64(&bucket->word.lo);
    step64(&bucket->word.hi);
    bucket = &b.buckets[random_scale(hash_of(b.slots[old].word.lo), b.held)];
    step64(&bucket->word.lo);
    step64(&bucket->word.hi);
    b.live[place] = *spare;
    *spare = old;
}

static void bare_find(uint64_t place) {
    uint64_t number = b.slots[b.live[place]].word.lo;
    b.seen += hf_load_acquire(&b.buckets[random_scale(hash_of(number), b.held)].word.lo); /* acquire: as above */
}

static void take_turn(double wanted) {
    void (*const what[WHATS])(uint64_t) = {find, replace, bare_find, bare_replace};
    uint64_t start = now_ns(), done = 0;
    double seconds;
    do {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            what[b.what](random_below(&b.state, b.held));
        }
        done += AT_ONCE;
        seconds = seconds_since(start);
    } while (seconds < wanted);
    report_begin();
    report_number("ns", seconds * 1e9 / (double)done);
    report_count("seen", b.seen & 1);
    report_end();
}

static void set_up(void) {
    b.slots = bench_memory((b.held + SPARE) * sizeof *b.slots);
    b.live = bench_memory(b.held * sizeof *b.live);
    b.buckets = bench_memory(b.what >= BARE_FIND ? b.held * sizeof *b.buckets : 1);
    for (uint32_t i = 0; i < SPARE; i++) {
        b.spare[i] = (uint32_t)b.held + i;
    }
    if (b.what < BARE_FIND) {
        hf_section_register();
        b.index = need(hf_index_new(b.held, same, slot_hash, NULL));
    }
    for (uint32_t i = 0; i < b.held; i++) {
        b.live[i] = i;
        if (b.index) {
            insert(i);
        } else {
            b.slots[i].word.lo = b.next++;
        }
    }
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    const char *text = setting_text("what", "find");
    b.held = setting_count("held", 10000);
    settings_done();
    while (b.what < WHATS && strcmp(text, names[b.what]) != 0) {
        b.what++;
    }
    if (b.what == WHATS || b.held == 0 || b.held > UINT32_MAX - SPARE - 1) {
        die("expected what=find, replace, bare_find or bare_replace, and held 1..2^32-%d", SPARE + 2);
    }
    set_up();
    report_begin();
    report_text("what", text);
    report_end();
    for (turn t; turn_next(&t);) {
        take_turn(t.seconds);
    }
    return 0;
}
