/* A shop: an engine with SKUs in it, for the programs that measure Holdfast through its public header.
 *
 *     skus=N               SKUs, each with a name of 20 bytes and more units than any run takes
 *     log=off | on         off: HF_VOLATILE
 *     dir=D                with the log on: a directory is made in D, and removed in the end
 *     retention=MS         how long an ended reservation's id is remembered (1)
 *     expected=N           expected_reservations (as many as are live)
 *     checkpoint_bytes=N   0: the default
 *     shards=N ring=BYTES delay_us=N   0: the defaults
 */
#ifndef BENCH_SHOP_H
#define BENCH_SHOP_H

#include <holdfast/holdfast.h>

#include "bench.h"

#define SHOP_TTL_MS (UINT64_C(24) * 3600 * 1000)
enum { SHOP_NAME = 20 };

typedef struct shop {
    hf_engine *engine;
    uint64_t skus;
    bool log;
    char directory[4096]; /* "" without a log */
    hf_sku **handles;
} shop;

/* Reads the settings above; `live` sizes the id index. */
void shop_settings(hf_options *options, uint64_t live);
/* Opens and fills. `keep`: a directory to use as it is, not to be removed; NULL: a new one if the log is on. */
void shop_open(shop *s, const hf_options *options, const char *keep);
/* Makes the SKUs, in the calling thread. shop_open does it. */
void shop_make_skus(shop *s, uint64_t count);
void shop_find_handles(shop *s);
void shop_close(shop *s, bool remove);

void must(int error, const char *what);
/* Whether to ask again; ends the program on any other answer but "ok". */
bool must_ok(int error, const hf_reply *reply, const char *what);

void sku_name(uint64_t number, char name[SHOP_NAME]);
/* Its last byte is 0: never taken for a packed text. `kind` keeps the ids of threads and purposes apart. */
hf_id id_of(uint64_t number, uint32_t kind);

/* The files of a flat directory, and the directory. */
void remove_directory(const char *path);
/* So that what is read next comes from the disk. */
void drop_cached_files(const char *path);
/* Bytes of its files whose names begin with `prefix`. *newest (may be NULL) gets the path of the last by name. */
uint64_t bytes_of_files(const char *path, const char *prefix, char newest[4096]);

#endif
