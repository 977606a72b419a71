/* What is kept by SKU number, of SKUs that a file names: pages of elements, made as they are needed.
 *
 * Guarantees
 *   A  A number out of nowhere, as a forged file may hold one, costs a page and its place in the directory: at most 8 MiB for the
 *      highest number, never room for all the numbers below it.
 *   B  An element has one address until the end, and was zero at first.
 *
 *     directory  [ 0 ][ 1 ][   ][ 3 ] ...        number >> 8
 *                  |    |         '-> 256 elements
 *                  v    v
 */
#ifndef HF_NUMBERED_H
#define HF_NUMBERED_H

#include <stddef.h>
#include <stdint.h>

#define HF_NUMBERED_PAGE 256u

typedef struct hf_numbered {
    void **pages; /* NULL: nothing there */
    size_t page_count, page_room;
    size_t element; /* bytes; set by the owner, the rest zero */
} hf_numbered;

/* NULL: nothing was made near it. */
static inline void *hf_numbered_at(const hf_numbered *table, uint32_t number) {
    size_t page = number / HF_NUMBERED_PAGE;
    char *elements = page < table->page_count ? table->pages[page] : NULL;
    return elements ? elements + number % HF_NUMBERED_PAGE * table->element : NULL;
}

/* NULL: no memory (hf_error_detail). */
void *hf_numbered_make(hf_numbered *table, uint32_t number);
/* The first element from *number on, which becomes its number; NULL: there is none. */
void *hf_numbered_next(const hf_numbered *table, uint32_t *number);
void hf_numbered_free(hf_numbered *table);

#endif
