/* Restart: how long hf_open takes of a directory that was made before, its files not in the page cache.
 *
 *     dir=D                 the directory itself; made by make=..., else it must be there
 *     make=checkpoint       `skus` SKUs and `live` reservations, then a checkpoint
 *         =log              `skus` SKUs, then `pairs` reserve + confirm with `live` live, and no checkpoint
 *     one_core=1            keep to one processor
 *     settings of support/shop.h (log is on)
 *
 * Turns: open.
 */
#include "../support/picks.h"
#include "../support/shop.h"
#include "../support/turns.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { AT_ONCE = 64 };

static hf_session *session;
static shop s;
static uint64_t next;

static void reserve(uint32_t sku) {
    hf_line line = {.sku = s.handles[sku], .quantity = 1};
    hf_reply reply;
    while (must_ok(hf_reserve(session, id_of(next, 1), &line, 1, SHOP_TTL_MS, 0, &reply), &reply, "hf_reserve")) {
    }
    next++;
}

static void confirm(uint64_t number) {
    hf_reply reply;
    while (must_ok(hf_confirm(session, id_of(number, 1), &reply), &reply, "hf_confirm")) {
    }
}

static void make(const hf_options *options, const char *directory, bool checkpoint, uint64_t live, uint64_t pairs) {
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        die("cannot make %s: %s", directory, strerror(errno));
    }
    shop_open(&s, options, directory);
    must(hf_session_open(s.engine, NULL, &session), "hf_session_open");
    picks p;
    picks_begin(&p, 1, s.skus, live, 0);
    uint64_t *table = bench_memory(live * sizeof *table);
    for (uint64_t i = 0; i < live; i++) {
        table[i] = next;
        reserve(picks_choose(&p).sku);
    }
    for (uint64_t i = 0; i < pairs; i++) {
        pick later, now = picks_take(&p, &later);
        confirm(table[now.position]);
        table[now.position] = next;
        reserve(now.sku);
    }
    bench_memory_free(table, live * sizeof *table);
    if (checkpoint) {
        must(hf_checkpoint(s.engine), "hf_checkpoint");
    }
    hf_session_close(session);
    shop_close(&s, false);
}

static void keep_to_one_core(void) {
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) != 0) {
        die("sched_getaffinity: %s", strerror(errno));
    }
    for (size_t cpu = CPU_SETSIZE; cpu > 0; cpu--) {
        if (CPU_ISSET(cpu - 1, &all)) {
            CPU_SET(cpu - 1, &one);
            break;
        }
    }
    if (sched_setaffinity(0, sizeof one, &one) != 0) {
        die("sched_setaffinity: %s", strerror(errno));
    }
}

static void open_once(const hf_options *options, const char *directory) {
    drop_cached_files(directory);
    hf_engine *engine;
    uint64_t start = now_ns();
    must(hf_open(directory, options, &engine), "hf_open");
    double seconds = seconds_since(start);
    hf_stats stats;
    hf_stats_read(engine, &stats);
    must(hf_close(engine), "hf_close");
    report_begin();
    report_number("seconds", seconds);
    report_count("skus", stats.skus);
    report_count("live", stats.live);
    report_count("replayed_records", stats.replayed_records);
    report_count("replay_ms", stats.replay_ms);
    report_number("records_per_second", (double)stats.replayed_records / seconds);
    report_end();
}

int main(int count, char **arguments) {
    hf_options options;
    settings_read(count, arguments);
    const char *directory = setting_text("dir", NULL), *how = setting_text("make", "");
    uint64_t live = setting_count("live", 10000), pairs = setting_count("pairs", 0);
    bool one_core = setting_count("one_core", 0) != 0;
    shop_settings(&options, live);
    settings_done();
    if (!directory || options.flags & HF_VOLATILE) {
        die("expected dir=D and log=on");
    }
    options.checkpoint_bytes = UINT64_MAX;
    if (*how) {
        make(&options, directory, strcmp(how, "checkpoint") == 0, live, pairs);
    }
    if (one_core) {
        keep_to_one_core();
    }
    char checkpoint[4096];
    uint64_t bytes = bytes_of_files(directory, "checkpoint-", checkpoint);
    report_begin();
    report_text("what", "holdfast restart");
    report_text("checkpoint", checkpoint);
    report_count("checkpoint_bytes", bytes);
    report_count("log_bytes", bytes_of_files(directory, "segment-", NULL));
    report_end();
    for (turn t; turn_next(&t);) {
        open_once(&options, directory);
    }
    return 0;
}
