/* The slow model: what every operation answers, on plain arrays, one step after another. It shares no code with the
 * engine.
 *
 * Guarantees
 *   A  The rules are those of the order flow: docs/OPERATIONS.md.
 *   B  Each step of a SKU is one version: receive, adjust, count, and each distinct SKU of a purchase, reserve,
 *      confirm, cancel, expiry and late confirm. What is refused steps nothing.
 *   C  An ended id is remembered for `retention_ms` at least; after that both answers are right, so the model asks
 *      which one it is to give: model_may_forget, model_forget.
 *
 * SKUs and ids are small numbers, the caller has their names. Expiry is exact in effect at any moment, but an engine
 * need not carry it out before somebody looks: the steps that may still be to come are `due`, so that a SKU's version
 * lies in
 *
 *     version .. version + due        and is version + due once whatever is due has been expired
 */
#ifndef MODEL_H
#define MODEL_H

#include <holdfast/holdfast.h>

typedef struct model_line {
    uint32_t sku;
    int64_t quantity;
} model_line;

typedef struct model_sku {
    bool exists;
    int64_t on_hand;
    int64_t reserved;
    uint64_t version;
    uint64_t due;
} model_sku;

typedef struct model_order {
    hf_state state; /* HF_STATE_UNKNOWN: never applied */
    bool forgotten; /* the facts stay, in case a restart brings them back */
    uint64_t deadline_ms;
    uint64_t first_version_low; /* as first answered; the two differ only where the reply itself left it open */
    uint64_t first_version_high;
    uint64_t first_deadline_ms;
    uint64_t ended_ms;
    uint64_t user;
    model_line *lines; /* distinct SKUs, in the order of their first line; kept after the end */
    uint32_t line_count;
    uint32_t last; /* the SKU of the last line as it was given */
} model_order;

typedef struct model {
    uint64_t now_ms;
    uint64_t retention_ms;
    uint32_t sku_count;
    uint32_t order_count;
    model_sku *skus;
    model_order *orders;
} model;

typedef struct model_op {
    hf_op_type type;
    uint32_t order;
    const model_line *lines;
    uint32_t line_count;
    uint64_t ttl_ms;
    uint64_t user;
    uint64_t if_version;
} model_op;

typedef struct model_reply {
    int error;
    hf_outcome outcome;
    hf_state state;
    uint64_t deadline_ms;
    uint32_t stepped; /* 1: `sku` was the last one stepped, its version is in the SKU; 0: nothing was */
    uint32_t sku;
    uint64_t version_low; /* the reply's version lies between these */
    uint64_t version_high;
} model_reply;

model *model_new(uint32_t skus, uint32_t orders, uint64_t now_ms, uint64_t retention_ms);
model *model_copy(const model *from);
void model_free(model *m);

/* Moves the clock (never back) and expires what is due. */
void model_advance(model *m, uint64_t now_ms);
/* Whatever is due has been expired: versions are exact now. */
void model_settle(model *m);
/* Carries out one operation. `op` is well-formed (else the engine says HF_EINVAL, and nobody asks the model). */
model_reply model_apply(model *m, const model_op *op);
/* Whether the line with this SKU is one that a refusal may name. */
bool model_line_refused(const model *m, const model_op *op, hf_outcome outcome, uint32_t sku);
/* The engine's answer said which of the possible versions it was. */
void model_fix_version(model *m, const model_reply *reply, uint64_t version);

bool model_may_forget(const model *m, uint32_t order);
void model_forget(model *m, uint32_t order, bool forgotten);
/* Known to callers now. */
bool model_knows(const model *m, uint32_t order);

/* Every invariant: 0 <= reserved = what live reservations hold, on_hand >= 0. NULL, or what is wrong. */
const char *model_is_valid(const model *m);

#endif
