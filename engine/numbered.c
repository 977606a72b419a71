/* What is kept by SKU number. The contract is in numbered.h. */
#include "numbered.h"

#include <holdfast/holdfast.h>

#include <stdlib.h>
#include <string.h>

#include "wal/error.h"

static int no_memory(void) { return hf_fail(HF_ENOMEM, "no memory for what is kept of SKUs by number"); }

static int grow_directory(hf_numbered *table, size_t count) {
    if (count > table->page_room) {
        size_t room = table->page_room * 2 > count ? table->page_room * 2 : count + 7;
        void **pages = reallocarray(table->pages, room, sizeof *pages);
        if (!pages) {
            return no_memory();
        }
        table->pages = pages;
        table->page_room = room;
    }
    memset(table->pages + table->page_count, 0, (count - table->page_count) * sizeof *table->pages);
    table->page_count = count;
    return HF_SUCCESS;
}

void *hf_numbered_make(hf_numbered *table, uint32_t number) {
    size_t page = number / HF_NUMBERED_PAGE;
    if (page >= table->page_count && grow_directory(table, page + 1) != HF_SUCCESS) {
        return NULL;
    }
    if (!table->pages[page] && !(table->pages[page] = calloc(HF_NUMBERED_PAGE, table->element))) {
        (void)no_memory();
        return NULL;
    }
    return hf_numbered_at(table, number);
}

void *hf_numbered_next(const hf_numbered *table, uint32_t *number) {
    for (size_t page = *number / HF_NUMBERED_PAGE; page < table->page_count; page++) {
        if (table->pages[page]) {
            uint32_t first = (uint32_t)page * HF_NUMBERED_PAGE;
            *number = *number > first ? *number : first;
            return hf_numbered_at(table, *number);
        }
    }
    return NULL;
}

void hf_numbered_free(hf_numbered *table) {
    for (size_t page = 0; page < table->page_count; page++) {
        free(table->pages[page]);
    }
    free(table->pages);
    *table = (hf_numbered){.element = table->element};
}
