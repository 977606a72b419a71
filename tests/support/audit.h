/* Reads a directory's log with hf_log_* and replays it by itself, SKU by SKU in the order of versions: a second way to
 * the same totals.
 *
 * Guarantees
 *   A  Every SKU's versions are checked to be a chain without gap or repeat, from 1 (`whole`) or from the first one
 *      kept.
 *   B  Epochs are checked never to decrease.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include <holdfast/holdfast.h>

typedef struct audit_sku {
    char name[HF_MAX_SKU_NAME + 1]; /* ends in a zero byte */
    size_t name_length;
    uint64_t steps;
    uint64_t version;
    int64_t on_hand;
    int64_t reserved;
} audit_sku;

typedef struct audit {
    audit_sku *skus;
    size_t sku_count;
    uint64_t records[HF_RECORD_TYPE_END];
    uint64_t epoch; /* the last */
} audit;

/* Fails the program where a guarantee does not hold. */
audit *audit_log(const char *directory, bool whole);
/* NULL: the log never named it. */
const audit_sku *audit_find(const audit *all, const void *name, size_t length);
void audit_free(audit *all);

/* Audits the whole log and compares every SKU of an open engine with what it says; the session's engine must be polled
 * or idle. Returns how many steps the log holds. */
uint64_t audit_compare(const char *directory, hf_session *session);

#endif
