/* An engine in a fresh directory with one session and the test's clock, and the calls that nearly every test makes. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <criterion/criterion.h>

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    char directory[HARNESS_PATH];
    harness_clock clock;
    hf_options options;
    hf_engine *engine;
    hf_session *session;
} fixture;

static inline void fixture_open(fixture *f) {
    MUST(hf_open(f->directory, &f->options, &f->engine));
    MUST(hf_session_open(f->engine, NULL, &f->session));
}

/* Without threads: nothing is durable, and no time passes, but by the test. */
static inline void fixture_begin(fixture *f) {
    memset(f, 0, sizeof *f);
    harness_clock_set(&f->clock, HARNESS_EPOCH_MS);
    harness_directory(f->directory);
    harness_options(&f->options, HF_NO_THREADS, &f->clock);
    fixture_open(f);
}

static inline void fixture_close(fixture *f) {
    hf_session_close(f->session);
    MUST(hf_close(f->engine));
}

static inline void fixture_reopen(fixture *f) {
    fixture_close(f);
    fixture_open(f);
}

static inline void fixture_end(fixture *f) {
    fixture_close(f);
    harness_remove(f->directory);
}

static inline void fixture_pass(fixture *f, uint64_t milliseconds) {
    harness_clock_set(&f->clock, harness_clock_read(&f->clock) + milliseconds);
    hf_refresh_clock(f->engine);
}

static inline hf_line line_of(const char *name, int64_t quantity) {
    return (hf_line){.name = name, .name_length = strlen(name), .quantity = quantity};
}

static inline hf_id id_of(const char *text) { return hf_id_from_text(text, strlen(text)); }

static inline hf_reply receive(fixture *f, const char *id, const char *sku, int64_t quantity) {
    hf_reply reply;
    MUST(hf_receive(f->session, id_of(id), line_of(sku, quantity), &reply));
    return reply;
}

static inline hf_reply reserve(fixture *f, const char *id, const char *sku, int64_t quantity, uint64_t ttl_ms) {
    hf_reply reply;
    hf_line line = line_of(sku, quantity);
    MUST(hf_reserve(f->session, id_of(id), &line, 1, ttl_ms, 42, &reply));
    return reply;
}

static inline hf_reply purchase(fixture *f, const char *id, const char *sku, int64_t quantity) {
    hf_reply reply;
    hf_line line = line_of(sku, quantity);
    MUST(hf_purchase(f->session, id_of(id), &line, 1, &reply));
    return reply;
}

static inline hf_reply confirm(fixture *f, const char *id) {
    hf_reply reply;
    MUST(hf_confirm(f->session, id_of(id), &reply));
    return reply;
}

static inline hf_reply cancel(fixture *f, const char *id) {
    hf_reply reply;
    MUST(hf_cancel(f->session, id_of(id), &reply));
    return reply;
}

static inline hf_reply submit(fixture *f, hf_op op) {
    hf_reply reply;
    MUST(hf_submit(f->session, &op, 1, &reply, NULL));
    return reply;
}

static inline hf_stock stock_of(fixture *f, const char *name) {
    hf_sku *sku;
    hf_stock stock;
    MUST(hf_sku_find(f->session, name, strlen(name), &sku));
    MUST(hf_sku_read(f->session, sku, &stock));
    return stock;
}

static inline hf_stats stats_of(fixture *f) {
    hf_stats stats;
    hf_stats_read(f->engine, &stats);
    return stats;
}

#define EXPECT_ERROR(call, error)                                                                                      \
    do {                                                                                                               \
        int expect_got = (call);                                                                                       \
        cr_expect_eq(expect_got, (error), "%s: %s, expected %s (%s)", #call, hf_error_name(expect_got),                \
                     hf_error_name(error), hf_error_detail());                                                         \
    } while (0)
#define EXPECT_OUTCOME(reply, expected)                                                                                \
    do {                                                                                                               \
        hf_reply expect_reply = (reply);                                                                               \
        cr_expect_eq(expect_reply.error, HF_SUCCESS, "%s: %s", #reply, hf_error_name(expect_reply.error));             \
        cr_expect_eq(expect_reply.outcome, (expected), "%s: %s, expected %s", #reply,                                  \
                     hf_outcome_text(expect_reply.outcome), hf_outcome_text(expected));                                \
    } while (0)
#define EXPECT_STOCK(f, sku, expected_on_hand, expected_reserved, expected_version)                                    \
    do {                                                                                                               \
        hf_stock expect_stock = stock_of((f), (sku));                                                                  \
        cr_expect_eq(expect_stock.on_hand, (expected_on_hand), "%s: on_hand %lld", (sku),                              \
                     (long long)expect_stock.on_hand);                                                                 \
        cr_expect_eq(expect_stock.reserved, (expected_reserved), "%s: reserved %lld", (sku),                           \
                     (long long)expect_stock.reserved);                                                                \
        cr_expect_eq(expect_stock.available, (expected_on_hand) - (expected_reserved), "%s: available", (sku));        \
        cr_expect_eq(expect_stock.version, (uint64_t)(expected_version), "%s: version %llu", (sku),                    \
                     (unsigned long long)expect_stock.version);                                                        \
    } while (0)

#endif
