/* Memory: resident bytes of the process, less what it had before the engine was opened. One turn of any name
 * answers all.
 *
 *     what=skus            `skus` SKUs with names of 20 bytes, nothing else: bytes for each
 *         =reservations    `live` live reservations of one line over `skus` SKUs: bytes for each, all of the engine
 *                          included
 *         =drift           the same live set, 1/100 of `operations`, then all of them: reserve, confirm, reserve,
 *                          cancel, ...
 *     settings of support/shop.h
 */
#include "../support/picks.h"
#include "../support/shop.h"
#include "../support/turns.h"

#include <stdlib.h>
#include <string.h>

static shop s;
static hf_session *session;
static uint64_t next;

static void reserve(uint32_t sku) {
    char name[SHOP_NAME];
    sku_name(sku, name);
    hf_line line = {.name = name, .name_length = sizeof name, .quantity = 1};
    hf_reply reply;
    /* 15 minutes: what is cancelled lies in the wheels far longer than this program runs, unless it is compacted away
     */
    while (must_ok(hf_reserve(session, id_of(next++, 1), &line, 1, 15 * 60 * 1000, 0, &reply), &reply, "hf_reserve")) {
        next--;
    }
}

static void end_reservation(uint64_t number) {
    hf_reply reply;
    hf_id id = id_of(number, 1);
    while (must_ok(number % 2 ? hf_confirm(session, id, &reply) : hf_cancel(session, id, &reply), &reply, "the end")) {
    }
}

static void drift(uint64_t live, uint64_t operations) {
    uint64_t *table = bench_memory(live * sizeof *table);
    picks p;
    picks_begin(&p, 1, s.skus, live, 0);
    for (uint64_t i = 0; i < live; i++) {
        table[i] = next;
        reserve(picks_choose(&p).sku);
    }
    uint64_t early = 0, done = live;
    while (done < operations) {
        pick later, now = picks_take(&p, &later);
        end_reservation(table[now.position]);
        table[now.position] = next;
        reserve(now.sku);
        done += 2;
        if (done >= operations / 100 && !early) {
            early = resident_bytes();
        }
    }
    report_count("bytes_early", early);
    report_count("bytes_late", resident_bytes());
    report_number("ratio", (double)resident_bytes() / (double)early);
    report_count("operations", done);
}

static void open_engine(const hf_options *options) {
    s.skus = options->expected_skus;
    s.log = !(options->flags & HF_VOLATILE);
    if (s.log) {
        die("memory: only with log=off");
    }
    must(hf_open(NULL, options, &s.engine), "hf_open");
    shop_make_skus(&s, s.skus);
    must(hf_session_open(s.engine, NULL, &session), "hf_session_open");
}

static void fill(uint64_t live) {
    uint64_t state = 1;
    for (uint64_t i = 0; i < live; i++) {
        reserve((uint32_t)random_below(&state, s.skus));
    }
}

int main(int count, char **arguments) {
    hf_options options;
    settings_read(count, arguments);
    const char *what = setting_text("what", "drift");
    uint64_t live = setting_count("live", 10000), operations = setting_count("operations", 100000000);
    shop_settings(&options, live);
    settings_done();
    turn t;
    report_begin();
    report_text("what", what);
    report_end();
    if (!turn_next(&t)) {
        return 0;
    }
    report_begin();
    uint64_t before = resident_bytes();
    open_engine(&options);
    if (strcmp(what, "skus") == 0) {
        report_number("bytes_each", (double)(resident_bytes() - before) / (double)s.skus);
    } else if (strcmp(what, "reservations") == 0) {
        fill(live);
        report_number("bytes_each", (double)(resident_bytes() - before) / (double)live);
    } else if (strcmp(what, "drift") == 0) {
        drift(live, operations);
    } else {
        die("what=%s: expected skus, reservations or drift", what);
    }
    hf_stats stats;
    hf_stats_read(s.engine, &stats);
    report_count("memory_bytes", stats.memory_bytes);
    report_end();
    hf_session_close(session);
    shop_close(&s, false);
    return 0;
}
