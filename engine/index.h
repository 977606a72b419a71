/* The id index: 128-bit id -> slot number, with unique insertion, removal and growth, all without locks.
 *
 * Guarantees
 *   A  Of any number of concurrent insertions of one id exactly one succeeds; the others are told its slot.
 *   B  An id that is in the index is found by every look-up that begins after its insertion and ends before its
 *      removal, also while the index grows.
 *   C  No operation waits for another thread. A table that is full is succeeded by one of twice the size; making it
 *      (once per doubling) allocates under a lock.
 *   D  A look-up that hits the first bucket touches one cache line of the index.
 *
 * The index holds no ids: entries are { fingerprint, slot }, and the caller's `same` compares the slot's id. Look-ups,
 * insertions and removals are made inside a read-side section (section.h), and a slot must not be reused for another id
 * before a whole grace period after its removal: see hf_index_remove.
 *
 *     bucket, 64 bytes:  { header | 6 entries | links to up to 2 overflow buckets of 8 entries }
 *     header:            { version | closed | one bit per valid entry }
 *
 * An insertion writes its entry into a place that no one uses (CAS from 0), then publishes it by a CAS on the header,
 * whose version makes two insertions into one bucket see each other. The header's idea is that of DLHT (Maheshwari et
 * al., "DLHT: A Non-blocking Resizable Hashtable with Fast Deletes and Memory-awareness", HPDC 2024, section 3). To
 * grow, a new table is put in front; an inserter first closes the id's bucket in each older table, so that no insertion
 * into the old one can be published any more; entries move over by hf_index_migrate, look-ups go from the oldest table
 * to the newest.
 */
#ifndef HF_INDEX_H
#define HF_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hf_index hf_index;

#define HF_INDEX_NONE UINT32_MAX /* no slot; never a slot number */

/* Whether the id of `slot` is the one meant by `key` (16 bytes). Called inside the section, on slots that are or
 * recently were in the index. */
typedef bool (*hf_index_same)(void *context, uint32_t slot, const void *key);
/* The hash of a slot's id, the same that is passed as `hash` below; for hf_index_migrate. More than 22 ids that agree
 * in its low bits make the index grow in vain: where ids come from outside, the hash has a secret seed. */
typedef uint64_t (*hf_index_hash)(void *context, uint32_t slot);

/* Sized for `expected` ids. NULL: out of memory. */
hf_index *hf_index_new(uint64_t expected, hf_index_same same, hf_index_hash hash, void *context);
void hf_index_free(hf_index *index);

/* Brings the id's bucket of the newest table into the cache. Anywhere, also outside of a section. */
void hf_index_prefetch(const hf_index *index, uint64_t hash);

/* The slot that hf_index_find will look at first, for fetching it ahead of time; HF_INDEX_NONE: none, or beyond the bucket's own line,
 * and that is being fetched. Calls nobody, and touches one line. */
uint32_t hf_index_glance(const hf_index *index, uint64_t hash);

/* The slot, or HF_INDEX_NONE. */
uint32_t hf_index_find(const hf_index *index, uint64_t hash, const void *key);

enum hf_index_result { HF_INDEX_INSERTED, HF_INDEX_EXISTS, HF_INDEX_NO_MEMORY };

/* Puts `slot` in for the id unless it is there; *existing is then the slot that is. The slot's id (and all that `same`
 * reads) is written before the call: the insertion publishes it (release), a find acquires it. */
enum hf_index_result hf_index_insert(hf_index *index, uint64_t hash, const void *key, uint32_t slot,
                                     uint32_t *existing);

/* Takes the entry of `slot` out, wherever it is; false if it was not there. A look-up under way may still return the
 * slot: the caller's state word says that it is dead. Once this has returned, nothing that begins later meets the slot,
 * a migration under way or not; so the slot may be reused after one grace period. */
bool hf_index_remove(hf_index *index, uint64_t hash, uint32_t slot);

/* Makes the next table if the newest is more than about 3/4 full with `held` ids (all sessions' together), or short of
 * overflow buckets. Any thread, outside a section; a load and a compare unless it is. Without memory the table is not
 * made and the next call tries again. */
void hf_index_grow_if_needed(hf_index *index, uint64_t held);
/* Makes the next table, for `expected` ids, whatever the size of the newest: to shrink an index after a rush. Any
 * thread, outside a section. false: out of memory. */
bool hf_index_renew(hf_index *index, uint64_t expected);
/* Moves up to `buckets` buckets' entries of the oldest table to the newest, and drops the oldest once it is empty, with
 * a grace period of its own (so: outside a section; enters sections itself). One thread at a time. true: more to do.
 * Without memory (the newest table had to grow meanwhile) nothing is lost, and the next call goes on. */
bool hf_index_migrate(hf_index *index, size_t buckets);

/* Places for entries, used or not; tables; bytes mapped. Any thread, anywhere. */
typedef struct hf_index_gauges {
    uint64_t entries, levels, bytes;
} hf_index_gauges;
void hf_index_gauges_read(const hf_index *index, hf_index_gauges *gauges);

/* Whether all rules hold; *held is the number of ids. Only while nobody else uses the index: for tests. */
bool hf_index_is_valid(const hf_index *index, uint64_t *held);

#endif
