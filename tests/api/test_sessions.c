/* Sessions: names, how many, and the position that a named one keeps. */
#include "fixture.h"

static hf_op receive_at(const char *id, const hf_line *line, uint64_t position) {
    return (hf_op){.type = HF_OP_RECEIVE, .id = id_of(id), .lines = line, .line_count = 1, .position = position};
}

static void name_session(fixture *f, const char *name) {
    hf_session_close(f->session);
    MUST(hf_session_open(f->engine, name, &f->session));
}

Test(sessions, names_have_limits) {
    fixture f;
    hf_session *session;
    char name[HF_MAX_SESSION_NAME + 2];
    fixture_begin(&f);
    memset(name, 'n', sizeof name);
    name[HF_MAX_SESSION_NAME + 1] = 0;
    EXPECT_ERROR(hf_session_open(f.engine, name, &session), HF_EINVAL);
    EXPECT_ERROR(hf_session_open(f.engine, "", &session), HF_EINVAL);
    name[HF_MAX_SESSION_NAME] = 0;
    MUST(hf_session_open(f.engine, name, &session));
    cr_expect_eq(hf_session_position(session), 0u);
    hf_session_close(session);
    fixture_end(&f);
}

Test(sessions, a_name_is_open_once) {
    fixture f;
    hf_session *first, *second;
    fixture_begin(&f);
    MUST(hf_session_open(f.engine, "gateway", &first));
    EXPECT_ERROR(hf_session_open(f.engine, "gateway", &second), HF_EBUSY);
    MUST(hf_session_open(f.engine, "gateway-2", &second));
    hf_session_close(first);
    MUST(hf_session_open(f.engine, "gateway", &first));
    hf_session_close(first);
    hf_session_close(second);
    fixture_end(&f);
}

Test(sessions, as_many_as_the_limit) {
    fixture f;
    static hf_session *all[HF_MAX_SESSIONS];
    unsigned count = 0;
    fixture_begin(&f);
    hf_session_close(f.session);
    f.session = NULL;
    fixture_close(&f);
    f.options.ring_bytes = 512 << 10;
    fixture_open(&f);
    int error = HF_SUCCESS;
    while (count < HF_MAX_SESSIONS && (error = hf_session_open(f.engine, NULL, &all[count])) == HF_SUCCESS) {
        count++;
    }
    cr_expect_eq(count, HF_MAX_SESSIONS - 1, "%u sessions beside the first", count); /* the fixture has one */
    cr_expect_eq(error, HF_ESESSIONS, "%s", hf_error_name(error));
    cr_expect_eq(stats_of(&f).sessions, HF_MAX_SESSIONS);
    hf_session_close(all[--count]);
    MUST(hf_session_open(f.engine, NULL, &all[count++]));
    while (count > 0) {
        hf_session_close(all[--count]);
    }
    cr_expect_eq(stats_of(&f).sessions, 1u);
    fixture_end(&f);
}

Test(sessions, a_position_is_given_back_after_a_restart) {
    fixture f;
    hf_line line = line_of("sku", 1);
    fixture_begin(&f);
    name_session(&f, "file");
    EXPECT_OUTCOME(submit(&f, receive_at("a", &line, 7)), HF_OUTCOME_OK);
    cr_expect_eq(hf_session_position(f.session), 7u);
    EXPECT_OUTCOME(submit(&f, receive_at("b", &line, 1000000007)), HF_OUTCOME_OK);
    fixture_reopen(&f);
    name_session(&f, "other");
    cr_expect_eq(hf_session_position(f.session), 0u, "one session's position is another's");
    name_session(&f, "file");
    cr_expect_eq(hf_session_position(f.session), 1000000007u);
    fixture_end(&f);
}

Test(sessions, refusals_move_the_position_too) {
    fixture f;
    hf_line line = line_of("sku", 1), unknown = line_of("nobody", 1);
    fixture_begin(&f);
    name_session(&f, "file");
    EXPECT_OUTCOME(submit(&f, receive_at("a", &line, 1)), HF_OUTCOME_OK);
    EXPECT_OUTCOME(submit(&f, receive_at("a", &line, 2)), HF_OUTCOME_DUPLICATE);
    hf_op op = {.type = HF_OP_PURCHASE, .id = id_of("p"), .lines = &unknown, .line_count = 1, .position = 3};
    EXPECT_OUTCOME(submit(&f, op), HF_OUTCOME_UNKNOWN_SKU);
    hf_op none = {.type = HF_OP_CONFIRM, .id = id_of("none"), .position = 4};
    EXPECT_OUTCOME(submit(&f, none), HF_OUTCOME_NOT_FOUND);
    cr_expect_eq(hf_session_position(f.session), 4u);
    fixture_reopen(&f);
    name_session(&f, "file");
    cr_expect_eq(hf_session_position(f.session), 4u);
    fixture_reopen(&f);
    MUST(hf_checkpoint(f.engine));
    MUST(hf_checkpoint(f.engine));
    fixture_reopen(&f);
    name_session(&f, "file");
    cr_expect_eq(hf_session_position(f.session), 4u, "after a checkpoint: %llu",
                 (unsigned long long)hf_session_position(f.session));
    fixture_end(&f);
}

Test(sessions, only_what_was_durable_is_given_back) {
    fixture f, copy;
    hf_line line = line_of("sku", 1);
    fixture_begin(&f);
    name_session(&f, "file");
    submit(&f, receive_at("a", &line, 1));
    MUST(hf_poll(f.engine));
    submit(&f, receive_at("b", &line, 2));
    copy = f;
    harness_copy(f.directory, copy.directory);
    fixture_end(&f);
    copy.options.clock_context = &copy.clock;
    fixture_open(&copy);
    name_session(&copy, "file");
    cr_expect_eq(hf_session_position(copy.session), 1u);
    EXPECT_STOCK(&copy, "sku", 1, 0, 1);
    fixture_end(&copy);
}
