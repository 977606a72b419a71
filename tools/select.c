/* Selecting records: select.h. */
#include "select.h"

#include "ids.h"
#include "text.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

void hf_select_init(hf_selection *selection) {
    *selection = (hf_selection){.to_epoch = UINT64_MAX, .to_ms = UINT64_MAX};
}

int hf_select_sku(const char *command, const char *value, void *into) {
    hf_selection *selection = into;
    selection->has_sku = true;
    selection->sku_length = strlen(value) <= sizeof selection->sku ? hf_read_shown(value, selection->sku) : 0;
    if (selection->sku_length < 1 || selection->sku_length > HF_MAX_SKU_NAME)
        return hf_tell_usage(command, "%s: expected a SKU, 1 to %u bytes", value, HF_MAX_SKU_NAME);
    return HF_EXIT_FINE;
}

int hf_select_id(const char *command, const char *value, void *into) {
    hf_selection *selection = into;
    selection->has_id = true;
    return hf_parse_id(value, &selection->id) ? HF_EXIT_FINE : hf_tell_usage(command, "%s: expected an id", value);
}

int hf_select_id_text(const char *command, const char *value, void *into) {
    hf_selection *selection = into;
    (void)command;
    selection->has_id = true;
    selection->id = hf_id_from_text(value, strlen(value));
    return HF_EXIT_FINE;
}

int hf_select_user(const char *command, const char *value, void *into) {
    hf_selection *selection = into;
    (void)command;
    selection->has_user = true;
    selection->user = hf_parse_user(value);
    return HF_EXIT_FINE;
}

/* ---- the ids of a user ------------------------------------------------------------------------------------------- */

static bool is_free(const hf_id *id) {
    static const hf_id none;
    return memcmp(id, &none, sizeof none) == 0;
}

/* Where the id is, or would be. */
static hf_id *find_place(const hf_id_set *set, hf_id id) {
    size_t at = (size_t)hf_id_hash(&id) & (set->room - 1);
    while (!is_free(&set->ids[at]) && !hf_id_equal(&set->ids[at], &id))
        at = (at + 1) & (set->room - 1);
    return &set->ids[at];
}

static bool grow(hf_id_set *set) {
    hf_id_set grown = {.room = set->room ? set->room * 2 : 1024, .count = set->count};
    grown.ids = calloc(grown.room, sizeof *grown.ids);
    if (!grown.ids)
        return false;
    for (size_t i = 0; i < set->room; i++)
        if (!is_free(&set->ids[i]))
            *find_place(&grown, set->ids[i]) = set->ids[i];
    free(set->ids);
    *set = grown;
    return true;
}

static bool add_id(hf_id_set *set, hf_id id) {
    if (set->count * 2 >= set->room && !grow(set))
        return false;
    hf_id *place = find_place(set, id);
    set->count += is_free(place);
    *place = id;
    return true;
}

static bool has_id(const hf_id_set *set, hf_id id) { return set->room && !is_free(find_place(set, id)); }

/* Takes in the reserves of every epoch up to `epoch`. */
static int scout_up_to(hf_selection *selection, uint64_t epoch) {
    for (;;) {
        if (!selection->is_ahead) {
            int result = hf_log_next(selection->scout, &selection->ahead);
            if (result <= 0)
                return result;
            selection->is_ahead = true;
        }
        const hf_record *record = &selection->ahead;
        if (record->epoch > epoch)
            return 0;
        bool is_wanted = record->type == HF_RECORD_RESERVE && record->user == selection->user;
        if (is_wanted && !add_id(&selection->ids, record->id))
            return HF_ENOMEM;
        selection->is_ahead = false;
    }
}

int hf_select_begin(hf_selection *selection, const char *directory) {
    return selection->has_user ? hf_log_open(directory, 0, &selection->scout) : HF_SUCCESS;
}

void hf_select_end(hf_selection *selection) {
    if (selection->scout)
        hf_log_close(selection->scout);
    free(selection->ids.ids);
}

/* ---- a record ---------------------------------------------------------------------------------------------------- */

bool hf_is_sku(const hf_record_line *line, const void *name, size_t length) {
    return line->name && line->name_length == length && memcmp(line->name, name, length) == 0;
}

static bool names_sku(const hf_record *record, const void *name, size_t length) {
    if (record->type == HF_RECORD_SKU)
        return record->name_length == length && memcmp(record->name, name, length) == 0;
    for (uint32_t i = 0; i < record->line_count; i++)
        if (hf_is_sku(&record->lines[i], name, length))
            return true;
    return false;
}

int hf_select_record(hf_selection *selection, const hf_record *record) {
    if (record->epoch < selection->from_epoch || record->epoch > selection->to_epoch)
        return 0;
    if (record->time_ms < selection->from_ms || record->time_ms > selection->to_ms)
        return 0;
    if (selection->has_id && !hf_id_equal(&record->id, &selection->id))
        return 0;
    if (selection->has_sku && !names_sku(record, selection->sku, selection->sku_length))
        return 0;
    if (selection->has_user) {
        int result = scout_up_to(selection, record->epoch);
        return result < 0 ? result : has_id(&selection->ids, record->id);
    }
    return 1;
}
