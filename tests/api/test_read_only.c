/* HF_READ_ONLY: the durable state of a directory, also of one in use, and not a byte of it changed. */
#include "fixture.h"

static void open_reader(fixture *of, fixture *reader) {
    *reader = *of;
    reader->options.flags = HF_NO_THREADS | HF_READ_ONLY;
    reader->options.clock_context = &of->clock;
    fixture_open(reader);
}

Test(read_only, sees_what_is_durable_while_another_writes) {
    fixture f, reader;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    reserve(&f, "r", "sku", 4, 1000);
    MUST(hf_poll(f.engine));
    reserve(&f, "later", "sku", 1, 1000); /* not durable */
    char *before = harness_listing(f.directory);
    open_reader(&f, &reader);
    EXPECT_STOCK(&reader, "sku", 10, 4, 2);
    hf_reservation found;
    MUST(hf_reservation_read(reader.session, id_of("r"), &found, NULL, 0));
    cr_expect_eq(found.state, HF_STATE_LIVE);
    EXPECT_ERROR(hf_reservation_read(reader.session, id_of("later"), &found, NULL, 0), HF_ENOTFOUND);
    fixture_close(&reader);
    char *after = harness_listing(f.directory);
    cr_expect_str_eq(before, after, "the directory changed:\n%s---\n%s", before, after);
    EXPECT_OUTCOME(confirm(&f, "r"), HF_OUTCOME_OK); /* the writer is not disturbed */
    free(before);
    free(after);
    fixture_end(&f);
}

Test(read_only, refuses_every_change) {
    fixture f, reader;
    hf_reply reply;
    hf_session *session;
    hf_line line = line_of("sku", 1);
    hf_op op = {.type = HF_OP_RECEIVE, .id = id_of("x"), .lines = &line, .line_count = 1};
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    reserve(&f, "r", "sku", 1, 1000);
    fixture_close(&f);
    char *before = harness_listing(f.directory);
    open_reader(&f, &reader);
    EXPECT_ERROR(hf_receive(reader.session, id_of("x"), line, &reply), HF_EREADONLY);
    cr_expect_eq(reply.error, HF_EREADONLY);
    EXPECT_ERROR(hf_adjust(reader.session, id_of("x"), line, &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_count(reader.session, id_of("x"), line, &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_purchase(reader.session, id_of("x"), &line, 1, &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_reserve(reader.session, id_of("x"), &line, 1, 10, 0, &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_confirm(reader.session, id_of("r"), &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_cancel(reader.session, id_of("r"), &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_extend(reader.session, id_of("r"), 10, &reply), HF_EREADONLY);
    EXPECT_ERROR(hf_submit(reader.session, &op, 1, &reply, NULL), HF_EREADONLY);
    EXPECT_ERROR(hf_checkpoint(reader.engine), HF_EREADONLY);
    EXPECT_ERROR(hf_poll(reader.engine), HF_EREADONLY);
    EXPECT_ERROR(hf_session_open(reader.engine, "named", &session), HF_EREADONLY);
    EXPECT_STOCK(&reader, "sku", 10, 1, 2);
    fixture_close(&reader);
    char *after = harness_listing(f.directory);
    cr_expect_str_eq(before, after, "the directory changed:\n%s---\n%s", before, after);
    free(before);
    free(after);
    harness_remove(f.directory);
}

Test(read_only, changes_nothing_of_a_directory_left_by_a_crash) {
    fixture f, reader;
    char copy[HARNESS_PATH];
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    MUST(hf_checkpoint(f.engine));
    reserve(&f, "r", "sku", 1, 1000);
    MUST(hf_poll(f.engine));
    reserve(&f, "lost", "sku", 1, 1000);
    harness_copy(f.directory, copy);
    char *before = harness_listing(copy);
    reader = f;
    memcpy(reader.directory, copy, sizeof copy);
    open_reader(&reader, &reader);
    EXPECT_STOCK(&reader, "sku", 10, 1, 2);
    fixture_close(&reader);
    char *after = harness_listing(copy);
    cr_expect_str_eq(before, after, "the directory changed:\n%s---\n%s", before, after);
    free(before);
    free(after);
    harness_remove(copy);
    fixture_end(&f);
}
