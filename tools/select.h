/* Which records of a log are meant: by epoch, time, SKU, id, user. A record is selected if everything that was asked
 * for holds.
 *
 * Guarantees
 *   A  Selecting needs no memory, but for --user: 16 bytes for each reservation of that user found in the log.
 *   B  --user means the records of that user's reservations, whatever their order within an epoch. (Only a reserve
 * bears a user, so one whose reserve is no longer kept is not found.)
 */
#ifndef HF_SELECT_H
#define HF_SELECT_H

#include <holdfast/holdfast.h>

#include <getopt.h>

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

/* The options of a selection, for a command's own list; the letters are hf_select_option's, which knows --user as 'u',
 * too. */
#define HF_SELECT_OPTIONS                                                                                              \
    {"from-epoch", required_argument, NULL, 'a'}, {"to-epoch", required_argument, NULL, 'b'},                          \
        {"from-time", required_argument, NULL, 'A'}, {"to-time", required_argument, NULL, 'B'},                        \
        {"sku", required_argument, NULL, 's'}, {"id", required_argument, NULL, 'i'}, {                                 \
        "id-text", required_argument, NULL, 'I'                                                                        \
    }

void hf_select_init(hf_selection *selection);
/* HF_EXIT_FINE: the option was one of these; -1: it is none; else it was told what is wrong with it. */
int hf_select_option(hf_selection *selection, const char *command, int letter, const char *value);
/* Opens the second reader, if there is one. HF_SUCCESS, or as hf_log_open. */
int hf_select_begin(hf_selection *selection, const char *directory);
/* 1: the record is selected; 0: it is not; negative: as hf_log_next. */
int hf_select_record(hf_selection *selection, const hf_record *record);
void hf_select_end(hf_selection *selection);

/* Whether a line names that SKU. */
bool hf_is_sku(const hf_record_line *line, const void *name, size_t length);

#endif
