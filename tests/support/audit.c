/* The log, replayed by itself. */
#include "audit.h"

#include "harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct audit_step {
    uint32_t sku;
    bool is_count;
    uint64_t version;
    int64_t on_hand;
    int64_t reserved;
} audit_step;

typedef struct audit_work {
    audit *result;
    audit_step *steps;
    size_t count;
    size_t room;
} audit_work;

/* Numbers are from 1 and dense. */
static audit_sku *sku_of(audit *all, uint32_t number) {
    CHECK(number > 0 && number < 1u << 24, "SKU number %u", number);
    if (number > all->sku_count) {
        all->skus = realloc(all->skus, number * sizeof *all->skus);
        CHECK(all->skus, "out of memory");
        memset(all->skus + all->sku_count, 0, (number - all->sku_count) * sizeof *all->skus);
        all->sku_count = number;
    }
    return &all->skus[number - 1];
}

static void name_sku(audit_sku *sku, const void *name, uint32_t length) {
    CHECK(length > 0 && length <= HF_MAX_SKU_NAME, "a name of %u bytes", length);
    CHECK(sku->name_length == 0 || (sku->name_length == length && memcmp(sku->name, name, length) == 0),
          "one number for the SKUs %s and %.*s", sku->name, (int)length, (const char *)name);
    memcpy(sku->name, name, length);
    sku->name_length = length;
}

static void take_record(audit_work *work, const hf_record *record) {
    CHECK(record->type > 0 && record->type < HF_RECORD_TYPE_END, "record type %d", (int)record->type);
    CHECK(record->epoch >= work->result->epoch, "epoch %llu after %llu", (unsigned long long)record->epoch,
          (unsigned long long)work->result->epoch);
    work->result->epoch = record->epoch;
    work->result->records[record->type]++;
    if (record->type == HF_RECORD_SKU) {
        name_sku(sku_of(work->result, record->number), record->name, record->name_length);
    }
    for (uint32_t i = 0; i < record->line_count; i++) {
        const hf_record_line *line = &record->lines[i];
        audit_sku *sku = sku_of(work->result, line->sku);
        if (line->name) {
            name_sku(sku, line->name, line->name_length);
        }
        if (work->count == work->room) {
            work->room = work->room ? work->room * 2 : 1024;
            work->steps = realloc(work->steps, work->room * sizeof *work->steps);
            CHECK(work->steps, "out of memory");
        }
        bool is_count = record->type == HF_RECORD_COUNT;
        work->steps[work->count++] =
            (audit_step){line->sku, is_count, line->version, is_count ? line->quantity : line->on_hand_change,
                         line->reserved_change};
    }
}

static int by_sku_and_version(const void *left, const void *right) {
    const audit_step *a = left, *b = right;
    if (a->sku != b->sku) {
        return a->sku < b->sku ? -1 : 1;
    }
    return a->version < b->version ? -1 : a->version > b->version;
}

static void replay(audit_work *work, bool whole) {
    qsort(work->steps, work->count, sizeof *work->steps, by_sku_and_version);
    for (size_t i = 0; i < work->count; i++) {
        const audit_step *step = &work->steps[i];
        audit_sku *sku = sku_of(work->result, step->sku);
        bool follows = step->version == sku->version + 1 || (!whole && sku->steps == 0);
        CHECK(follows, "SKU %s: version %llu after %llu in the log", sku->name, (unsigned long long)step->version,
              (unsigned long long)sku->version);
        sku->version = step->version;
        sku->steps++;
        sku->on_hand = step->is_count ? step->on_hand : sku->on_hand + step->on_hand;
        sku->reserved += step->reserved;
        CHECK(!whole || (sku->on_hand >= 0 && sku->reserved >= 0), "SKU %s: below zero at version %llu", sku->name,
              (unsigned long long)step->version);
    }
}

audit *audit_log(const char *directory, bool whole) {
    audit_work work = {.result = calloc(1, sizeof(audit))};
    hf_log *log;
    hf_record record;
    int more;
    CHECK(work.result, "out of memory");
    MUST(hf_log_open(directory, 0, &log));
    while ((more = hf_log_next(log, &record)) > 0) {
        take_record(&work, &record);
    }
    CHECK(more == 0, "hf_log_next answered %s", hf_error_name(more));
    CHECK(hf_log_epoch(log) >= work.result->epoch, "hf_log_epoch is behind what was handed out");
    hf_log_close(log);
    replay(&work, whole);
    free(work.steps);
    return work.result;
}

const audit_sku *audit_find(const audit *all, const void *name, size_t length) {
    for (size_t i = 0; i < all->sku_count; i++) {
        if (all->skus[i].name_length == length && memcmp(all->skus[i].name, name, length) == 0) {
            return &all->skus[i];
        }
    }
    return NULL;
}

void audit_free(audit *all) {
    if (all) {
        free(all->skus);
    }
    free(all);
}

typedef struct comparison {
    const audit *all;
    uint64_t steps;
    size_t skus;
} comparison;

static bool compare(void *context, hf_sku *sku, const hf_stock *stock) {
    comparison *with = context;
    size_t length;
    const char *name = hf_sku_name(sku, &length);
    const audit_sku *said = audit_find(with->all, name, length);
    CHECK(said, "the log never named SKU %.*s", (int)length, name);
    CHECK(said->version == stock->version && said->on_hand == stock->on_hand && said->reserved == stock->reserved,
          "SKU %.*s: the log says version %llu on_hand %lld reserved %lld, the engine %llu %lld %lld", (int)length,
          name, (unsigned long long)said->version, (long long)said->on_hand, (long long)said->reserved,
          (unsigned long long)stock->version, (long long)stock->on_hand, (long long)stock->reserved);
    with->steps += said->steps;
    with->skus++;
    return true;
}

uint64_t audit_compare(const char *directory, hf_session *session) {
    comparison with = {.all = audit_log(directory, true)};
    MUST(hf_sku_each(session, compare, &with));
    for (size_t i = 0; i < with.all->sku_count; i++) { /* a SKU that never stepped need not be there */
        with.skus += with.all->skus[i].steps == 0;
    }
    CHECK(with.skus >= with.all->sku_count, "the log names %zu SKUs, the engine has %zu", with.all->sku_count,
          with.skus);
    audit_free((audit *)(uintptr_t)with.all);
    return with.steps;
}
