/* How long hf_checkpoint takes while nothing else goes on, and how large its file is.
 *     live=N, and settings of support/shop.h (log is on)
 */
#include "../support/random.h"
#include "../support/shop.h"
#include "../support/turns.h"

static shop s;

static void make_reservations(uint64_t live) {
    hf_session *session;
    uint64_t state = 1;
    must(hf_session_open(s.engine, NULL, &session), "hf_session_open");
    for (uint64_t i = 0; i < live; i++) {
        hf_line line = {.sku = s.handles[random_below(&state, s.skus)], .quantity = 1};
        hf_reply reply;
        while (must_ok(hf_reserve(session, id_of(i, 1), &line, 1, SHOP_TTL_MS, 0, &reply), &reply, "hf_reserve")) {
        }
    }
    hf_session_close(session);
}

int main(int count, char **arguments) {
    hf_options options;
    settings_read(count, arguments);
    uint64_t live = setting_count("live", 10000);
    shop_settings(&options, live);
    (void)setting_text("dir", NULL);
    settings_done();
    options.flags &= ~(uint32_t)HF_VOLATILE;
    options.checkpoint_bytes = UINT64_MAX;
    shop_open(&s, &options, NULL);
    make_reservations(live);
    must(hf_checkpoint(s.engine), "hf_checkpoint");
    char newest[4096];
    report_begin();
    report_text("what", "holdfast checkpoint");
    report_count("bytes", bytes_of_files(s.directory, "checkpoint-", newest));
    report_end();
    for (turn t; turn_next(&t);) {
        uint64_t start = now_ns();
        must(hf_checkpoint(s.engine), "hf_checkpoint");
        report_begin();
        report_number("seconds", seconds_since(start));
        report_end();
    }
    shop_close(&s, true);
    return 0;
}
