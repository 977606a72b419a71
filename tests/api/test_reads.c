/* Reading one id, iterating, and the gauges. */
#include "fixture.h"

Test(reads, a_reservation_through_its_life) {
    fixture f;
    hf_reservation found;
    hf_reservation_line lines[4];
    hf_reply reply;
    fixture_begin(&f);
    receive(&f, "1", "a", 9);
    receive(&f, "2", "b", 9);
    hf_line wanted[] = {line_of("a", 1), line_of("b", 2), line_of("a", 3)};
    MUST(hf_reserve(f.session, id_of("r"), wanted, 3, 100, 4711, &reply));
    MUST(hf_reservation_read(f.session, id_of("r"), &found, lines, 4));
    cr_expect_eq(found.state, HF_STATE_LIVE);
    cr_expect_eq(found.user, 4711u);
    cr_expect_eq(found.deadline_ms, HARNESS_EPOCH_MS + 100);
    cr_expect_eq(found.ended_ms, 0u);
    cr_expect_eq(found.version, reply.version);
    cr_assert_eq(found.line_count, 2u);
    for (unsigned i = 0; i < 2; i++) {
        size_t length;
        const char *name = hf_sku_name(lines[i].sku, &length);
        cr_expect_eq(lines[i].quantity, name[0] == 'a' ? 4 : 2);
    }
    lines[1].quantity = 77;
    MUST(hf_reservation_read(f.session, id_of("r"), &found, lines, 1)); /* less room than lines */
    cr_expect_eq(found.line_count, 2u);
    cr_expect_eq(lines[1].quantity, 77, "written beyond the room");
    MUST(hf_reservation_read(f.session, id_of("r"), &found, NULL, 0));
    fixture_pass(&f, 100);
    MUST(hf_reservation_read(f.session, id_of("r"), &found, lines, 4));
    cr_expect_eq(found.state, HF_STATE_EXPIRED);
    cr_expect_eq(found.deadline_ms, 0u);
    cr_expect_eq(found.ended_ms, HARNESS_EPOCH_MS + 100);
    MUST(hf_confirm(f.session, id_of("r"), &reply));
    MUST(hf_reservation_read(f.session, id_of("r"), &found, lines, 4));
    cr_expect_eq(found.state, HF_STATE_CONFIRMED);
    cr_expect_eq(found.line_count, 0u);
    MUST(hf_reservation_read(f.session, id_of("1"), &found, lines, 4));
    cr_expect_eq(found.state, HF_STATE_APPLIED);
    EXPECT_ERROR(hf_reservation_read(f.session, id_of("none"), &found, lines, 4), HF_ENOTFOUND);
    fixture_end(&f);
}

typedef struct seen {
    fixture *f;
    unsigned count, stop, nested;
    uint64_t users;
} seen;

static bool visit_reservation(void *context, const hf_reservation *found, const hf_reservation_line *lines) {
    seen *s = context;
    hf_reservation again;
    cr_expect_eq(found->state, HF_STATE_LIVE);
    cr_expect_eq(found->line_count, 1u);
    cr_expect_eq(lines[0].quantity, 1);
    s->users += found->user;
    s->nested += hf_reservation_read(s->f->session, found->id, &again, NULL, 0) == HF_SUCCESS;
    return ++s->count != s->stop;
}

static bool visit_sku(void *context, hf_sku *sku, const hf_stock *stock) {
    seen *s = context;
    hf_stock again;
    s->nested += hf_sku_read(s->f->session, sku, &again) == HF_SUCCESS && again.version == stock->version;
    return ++s->count != s->stop;
}

Test(reads, iterations_visit_each_once_stop_when_told_and_may_use_the_session) {
    fixture f;
    hf_reply reply;
    fixture_begin(&f);
    for (uint64_t i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "sku-%u", (unsigned)i);
        hf_line line = line_of(name, 1);
        MUST(hf_receive(f.session, harness_id(1, i), line, &reply));
        MUST(hf_reserve(f.session, harness_id(2, i), &line, 1, 10 + i % 2, i, &reply));
    }
    seen skus = {.f = &f}, live = {.f = &f}, one = {.f = &f, .stop = 1};
    MUST(hf_sku_each(f.session, visit_sku, &skus));
    cr_expect(skus.count == 500 && skus.nested == 500, "%u SKUs, %u read inside", skus.count, skus.nested);
    MUST(hf_reservation_each(f.session, visit_reservation, &live));
    cr_expect(live.count == 500 && live.nested == 500 && live.users == 499 * 500 / 2, "%u live", live.count);
    MUST(hf_reservation_each(f.session, visit_reservation, &one));
    cr_expect_eq(one.count, 1u);
    fixture_pass(&f, 10);
    live = (seen){.f = &f};
    MUST(hf_reservation_each(f.session, visit_reservation, &live));
    cr_expect_eq(live.count, 250u, "half are due, %u visited", live.count);
    fixture_end(&f);
}

static const struct {
    const char *name;
    size_t offset;
} gauges[] = {
#define X(name, unit, meaning) {#name, offsetof(hf_stats, name)},
    HF_STATS_MAP(X)
#undef X
};

Test(reads, gauges_are_plausible) {
    fixture f;
    fixture_begin(&f);
    receive(&f, "in", "sku", 10);
    reserve(&f, "a", "sku", 1, 100);
    reserve(&f, "b", "sku", 1, 100);
    cancel(&f, "b");
    hf_stats stats = stats_of(&f);
    cr_expect_eq(stats.skus, 1u);
    cr_expect_eq(stats.ids, 3u);
    cr_expect_eq(stats.live, 1u);
    cr_expect_eq(stats.sessions, 1u);
    cr_expect_eq(stats.term, 1u);
    cr_expect_eq(stats.now_ms, HARNESS_EPOCH_MS);
    cr_expect_gt(stats.epoch, stats.durable);
    cr_expect_gt(stats.ring_used, 0u);
    cr_expect_geq(stats.ring_size, 512u << 10);
    cr_expect_geq(stats.sku_slots, 1u);
    cr_expect_geq(stats.id_slots, 3u);
    cr_expect_gt(stats.memory_bytes, 0u);
    MUST(hf_poll(f.engine));
    hf_stats polled = stats_of(&f);
    cr_expect_eq(polled.ring_used, 0u);
    cr_expect_gt(polled.epochs_written, stats.epochs_written);
    cr_expect_gt(polled.fsyncs, stats.fsyncs);
    cr_expect_gt(polled.records, stats.records);
    cr_expect_gt(polled.log_payload, stats.log_payload);
    cr_expect_geq(polled.log_bytes, polled.log_payload);
    cr_expect_geq(polled.segments, 1u);
    fixture_pass(&f, 100);
    MUST(hf_poll(f.engine));
    cr_expect_eq(stats_of(&f).expired, 1u);
    cr_expect_eq(stats_of(&f).live, 0u);
    fixture_reopen(&f);
    cr_expect_eq(stats_of(&f).term, 2u);
    cr_expect_gt(stats_of(&f).replayed_records, 0u);
    cr_expect_eq(stats_of(&f).cut_bytes, 0u);
    cr_expect_eq(stats_of(&f).undone, 0u);
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) { /* nothing uninitialised or below zero */
        uint64_t value;
        hf_stats now = stats_of(&f);
        memcpy(&value, (char *)&now + gauges[i].offset, sizeof value);
        cr_expect_lt(value, UINT64_C(1) << 48, "%s is %llu", gauges[i].name, (unsigned long long)value);
    }
    fixture_end(&f);
}
