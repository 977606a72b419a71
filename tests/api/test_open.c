/* Opening: every option's limits, who may have a directory, and what NULL may stand for. */
#include "fixture.h"

#include <sys/stat.h>
#include <unistd.h>

typedef struct wrong {
    const char *what;
    size_t offset;
    size_t size;
    uint64_t value;
} wrong;

#define WRONG(field, value)                                                                                            \
    { #field " = " #value, offsetof(hf_options, field), sizeof(((hf_options *)0)->field), value }

static void set(hf_options *options, const wrong *w) {
    uint32_t narrow = (uint32_t)w->value;
    void *place = (char *)options + w->offset;
    memcpy(place, w->size == 4 ? (void *)&narrow : (void *)(uintptr_t)&w->value, w->size);
}

Test(open, each_wrong_option_is_refused_and_leaves_nothing_open) {
    static const wrong all[] = {
        WRONG(flags, 0x80000000u),           WRONG(shards, 3),
        WRONG(shards, 2 * HF_MAX_SHARDS),    WRONG(segment_bytes, (1 << 20) - 4096),
        WRONG(segment_bytes, (1 << 20) + 1), WRONG(segment_bytes, (UINT64_C(1) << 30) + 4096),
        WRONG(ring_bytes, 256 << 10),        WRONG(ring_bytes, (512 << 10) + 4096),
        WRONG(ring_bytes, 512u << 20),       WRONG(batch_delay_us, 1000001),
    };
    fixture f;
    fixture_begin(&f);
    fixture_close(&f);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        hf_options options = f.options;
        hf_engine *engine = NULL;
        set(&options, &all[i]);
        int error = hf_open(f.directory, &options, &engine);
        cr_expect_eq(error, HF_EINVAL, "%s: %s", all[i].what, hf_error_name(error));
        cr_expect_neq(hf_error_detail()[0], 0, "%s: no detail", all[i].what);
        if (error == HF_SUCCESS) {
            MUST(hf_close(engine));
        }
    }
    fixture_open(&f);
    fixture_end(&f);
}

Test(open, each_limit_itself_is_allowed) {
    static const wrong all[] = {
        WRONG(shards, 1),
        WRONG(shards, HF_MAX_SHARDS),
        WRONG(segment_bytes, 1 << 20),
        WRONG(segment_bytes, (1 << 20) + 4096),
        WRONG(ring_bytes, 512 << 10),
        WRONG(batch_delay_us, 1000000),
        WRONG(retention_ms, 1),
        WRONG(expected_skus, 1),
        WRONG(expected_reservations, 1),
        WRONG(max_reservations, 100),
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        fixture f;
        fixture_begin(&f);
        fixture_close(&f);
        set(&f.options, &all[i]);
        fixture_open(&f);
        EXPECT_OUTCOME(receive(&f, "r", "sku", 1), HF_OUTCOME_OK);
        fixture_end(&f);
    }
}

Test(open, defaults_for_null_options_and_a_directory_that_is_made) {
    char parent[HARNESS_PATH], directory[HARNESS_PATH + 8];
    hf_engine *engine;
    hf_session *session;
    hf_reply reply;
    harness_directory(parent);
    snprintf(directory, sizeof directory, "%s/new", parent);
    MUST(hf_open(directory, NULL, &engine));
    MUST(hf_session_open(engine, NULL, &session));
    MUST(hf_receive(session, id_of("r"), line_of("sku", 1), &reply));
    MUST(hf_wait(engine, reply.ticket, UINT64_MAX)); /* background threads are there by default */
    hf_session_close(session);
    MUST(hf_close(engine));
    harness_remove(directory);
    harness_remove(parent);
}

Test(open, null_where_it_is_allowed) {
    MUST(hf_close(NULL));
    hf_session_close(NULL);
}

Test(open, must_exist) {
    char directory[HARNESS_PATH], missing[HARNESS_PATH + 8];
    hf_options options;
    hf_engine *engine;
    harness_directory(directory);
    snprintf(missing, sizeof missing, "%s/none", directory);
    harness_options(&options, HF_NO_THREADS | HF_MUST_EXIST, NULL);
    EXPECT_ERROR(hf_open(missing, &options, &engine), HF_ENOTFOUND);
    EXPECT_ERROR(hf_open(directory, &options, &engine), HF_ENOTFOUND);
    options.flags = HF_NO_THREADS | HF_READ_ONLY;
    EXPECT_ERROR(hf_open(missing, &options, &engine), HF_ENOTFOUND);
    EXPECT_ERROR(hf_open(directory, &options, &engine), HF_ENOTFOUND);
    cr_expect_neq(access(missing, F_OK), 0, "a directory was made");
    options.flags = HF_NO_THREADS;
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_close(engine));
    options.flags = HF_NO_THREADS | HF_MUST_EXIST;
    MUST(hf_open(directory, &options, &engine));
    MUST(hf_close(engine));
    harness_remove(directory);
}

Test(open, a_path_that_is_no_directory) {
    char directory[HARNESS_PATH], path[HARNESS_PATH + 8];
    hf_engine *engine;
    harness_directory(directory);
    snprintf(path, sizeof path, "%s/file", directory);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fclose(file);
    EXPECT_ERROR(hf_open(path, NULL, &engine), HF_EIO);
    cr_expect(strstr(hf_error_detail(), path), "the detail does not name the path: %s", hf_error_detail());
    harness_remove(directory);
}

Test(open, one_engine_a_directory) {
    fixture f;
    hf_engine *second;
    fixture_begin(&f);
    EXPECT_ERROR(hf_open(f.directory, &f.options, &second), HF_EBUSY);
    EXPECT_OUTCOME(receive(&f, "r", "sku", 1), HF_OUTCOME_OK);
    fixture_close(&f);
    fixture_open(&f);
    fixture_end(&f);
}

Test(open, close_with_open_sessions_does_nothing) {
    fixture f;
    fixture_begin(&f);
    EXPECT_ERROR(hf_close(f.engine), HF_EBUSY);
    EXPECT_OUTCOME(receive(&f, "r", "sku", 1), HF_OUTCOME_OK);
    fixture_end(&f);
}

Test(open, volatile_needs_no_directory) {
    fixture f;
    fixture_begin(&f);
    fixture_close(&f);
    hf_options options = f.options;
    options.flags = HF_NO_THREADS | HF_VOLATILE;
    MUST(hf_open(NULL, &options, &f.engine));
    MUST(hf_session_open(f.engine, "named", &f.session));
    hf_reply reply = receive(&f, "r", "sku", 5);
    EXPECT_OUTCOME(reply, HF_OUTCOME_OK);
    MUST(hf_poll(f.engine));
    cr_expect_geq(hf_durable(f.engine), reply.ticket);
    MUST(hf_wait(f.engine, reply.ticket, 0));
    EXPECT_ERROR(hf_checkpoint(f.engine), HF_EINVAL);
    EXPECT_STOCK(&f, "sku", 5, 0, 1);
    fixture_end(&f);
}
