/* Which records of a log are meant: by epoch, time, SKU, id, user. A record is selected if everything that was asked
 * for holds.
 *
 * Guarantees
 *   A  Selecting needs no memory, but for --user: 16 bytes for each reservation of that user found in the log.
 *   B  --user means the records of that user's reservations, whatever their order within an epoch. (Only a reserve
 *      bears a user, so one whose reserve is no longer kept is not found.)
 */
#ifndef HF_SELECT_H
#define HF_SELECT_H

#include "options.h"

#include <holdfast/holdfast.h>

typedef struct hf_id_set {
    hf_id *ids; /* all zero: free */
    size_t count, room;
} hf_id_set;

typedef struct hf_selection {
    uint64_t from_epoch, to_epoch; /* 0, UINT64_MAX: not asked for */
    uint64_t from_ms, to_ms;
    bool has_sku, has_id, has_user;
    uint8_t sku[4 * HF_MAX_SKU_NAME];
    size_t sku_length;
    hf_id id;
    uint64_t user;

    /* --user: a second reader, ahead of the first by the rest of an epoch. */
    hf_log *scout;
    hf_record ahead;
    bool is_ahead; /* `ahead` was read, and is not taken in yet */
    hf_id_set ids;
} hf_selection;

/* The options of a selection, for a subcommand's own table; --user is dump's. */
#define HF_SELECT_OPTIONS(s)                                                                                           \
    {"from-epoch", .number = &(s)->from_epoch, .most = UINT64_MAX, .expected = HF_EXPECTED_EPOCH},                     \
        {"to-epoch", .number = &(s)->to_epoch, .most = UINT64_MAX, .expected = HF_EXPECTED_EPOCH},                     \
        {"from-time", .read = hf_read_time, .into = &(s)->from_ms},                                                    \
        {"to-time", .read = hf_read_time, .into = &(s)->to_ms}, {"sku", .read = hf_select_sku, .into = (s)},           \
        {"id", .read = hf_select_id, .into = (s)}, {                                                                   \
        "id-text", .read = hf_select_id_text, .into = (s)                                                              \
    }
int hf_select_sku(const char *command, const char *value, void *selection);
int hf_select_id(const char *command, const char *value, void *selection);
int hf_select_id_text(const char *command, const char *value, void *selection);
int hf_select_user(const char *command, const char *value, void *selection);

void hf_select_init(hf_selection *selection);
/* Opens the second reader, if there is one. HF_SUCCESS, or as hf_log_open. */
int hf_select_begin(hf_selection *selection, const char *directory);
/* 1: the record is selected; 0: it is not; negative: as hf_log_next. */
int hf_select_record(hf_selection *selection, const hf_record *record);
void hf_select_end(hf_selection *selection);

/* Whether a line names that SKU. */
bool hf_is_sku(const hf_record_line *line, const void *name, size_t length);

#endif
