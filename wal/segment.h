/* The segment: one file of the log, of a fixed size, made of real zeros before it is used.
 *
 * Guarantees
 *   A  A file named segment-... or spare-... is whole: its header page and its zeros were synced before it got that name.
 *   B  Whatever is read from one is bounded by what the file's size and its checked header page say.
 *
 *       0      4,096                                                  bytes
 *       | page | batch    | batch  | batch ...            | 0 0 0 ... |
 *
 * The header page (little-endian):
 *   offset  size
 *        0     8  magic "HFSEGMT\n"
 *        8     2  format version, 1
 *       10     6  zero
 *       16    16  log UUID
 *       32     8  generation, from 1; also in the file's name
 *       40     8  segment size in bytes, this page included
 *       48  4032  zero
 *     4080    16  XXH3-128 of bytes 0..4079, canonical form
 * Magic, version and digest stay where they are in every later version.
 */
#ifndef HF_SEGMENT_H
#define HF_SEGMENT_H

#include "batch.h"
#include "file.h"

#define HF_SEGMENT_PAGE 4096u
#define HF_SEGMENT_MIN (UINT64_C(128) << 10)
#define HF_SEGMENT_MAX (UINT64_C(1) << 30)
#define HF_PATH_ROOM 4096u     /* for a path with its final zero */
#define HF_DIRECTORY_MAX 3800u /* longest name of a directory: the longest of a file in it fits behind it */
_Static_assert(HF_DIRECTORY_MAX + 1 + 255 + 1 <= HF_PATH_ROOM, "a directory, a slash, a name, a zero");

typedef struct hf_segment_header {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t bytes;
} hf_segment_header;

void hf_segment_encode(const hf_segment_header *header, uint8_t page[HF_SEGMENT_PAGE]);
/* Reads a page that nothing is believed of; NULL if it is valid, else what is wrong in a few words. */
const char *hf_segment_decode(const uint8_t page[HF_SEGMENT_PAGE], hf_segment_header *header);
/* What hf_segment_decode answers, by this very pointer, for a page that is whole but of another format version. */
extern const char hf_segment_other_version[];
bool hf_segment_size_allowed(uint64_t bytes);

/* "<directory>/<prefix>-<generation, 16 hexadecimal digits><suffix>" */
void hf_segment_path(char path[HF_PATH_ROOM], const char *directory, const char *prefix, uint64_t generation,
                     const char *suffix);

/* The numbers in the names of a directory's files: generations, or a checkpoint's epochs. Ascending. */
typedef struct hf_generations {
    uint64_t *items;
    size_t count, room;
} hf_generations;
/* Those of "<prefix>-<16 lower-case hexadecimal digits>", from 1. HF_ENOTFOUND (no such directory) HF_EIO HF_ENOMEM. Fills
 * `list`, whose items are to be freed in any case. */
int hf_generations_read(const hf_files *files, const char *directory, const char *prefix, hf_generations *list);

typedef struct hf_listing {
    hf_generations segments, spares;
} hf_listing;
/* HF_ENOTFOUND (no such directory) HF_EIO HF_ENOMEM. Fills `listing`, to be freed in any case. */
int hf_listing_read(const hf_files *files, const char *directory, hf_listing *listing);
void hf_listing_free(hf_listing *listing);

/* Makes spare-<generation>: zeros under a temporary name, sync, rename; the new name is the caller's to make durable. Asks
 * `give_up` (may be NULL) now and then. HF_EIO HF_ENOMEM; HF_EPOISONED: gave up. */
int hf_segment_make(const hf_files *files, const char *directory, const hf_segment_header *header,
                    bool (*give_up)(const void *context), const void *context);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* An open segment and a window of its bytes. Zero `file` + 1 by hf_segment_init before use. */
typedef struct hf_segment {
    const hf_files *files;
    int file; /* -1: not open */
    uint64_t generation;
    uint64_t bytes;
    uint8_t *window;
    size_t room;          /* allocated */
    size_t held;          /* valid bytes of the window */
    uint64_t held_offset; /* of the window's first byte */
    char path[HF_PATH_ROOM];
} hf_segment;

void hf_segment_init(hf_segment *segment, const hf_files *files);
/* Opens segment-<generation> and checks its page: generation, size, and the UUID where `uuid` is not NULL; where it is,
 * and `found` is not, the page's UUID goes there. HF_ENOTFOUND: no such file. HF_ECORRUPT HF_EVERSION HF_EIO HF_ENOMEM.
 */
int hf_segment_open(hf_segment *segment, const char *directory, const char *prefix, uint64_t generation,
                    const uint8_t *uuid, uint8_t *found);
/* Bytes [offset, offset + length) of the segment, which must not lie behind its end; valid until the next call.
 * HF_EIO HF_ENOMEM. */
int hf_segment_read(hf_segment *segment, uint64_t offset, size_t length, const uint8_t **data);
/* The file may have changed: read afresh from now on. */
void hf_segment_forget(hf_segment *segment);
/* Where the last byte that is not zero ends, at `from` or behind it; `from` if there is none. */
int hf_segment_content_end(hf_segment *segment, uint64_t from, uint64_t *end);
/* Closes the file, keeps the window's memory. */
void hf_segment_close(hf_segment *segment);
void hf_segment_free(hf_segment *segment);

#endif
