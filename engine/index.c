/* The id index: buckets whose header word decides, and tables that succeed one another.
 *
 * Guarantees: A to D of index.h, and
 *   E  Once hf_index_remove has returned, no later look-up or insertion meets the slot, migration or not.
 *   F  `same` and `hash` are called only on slots whose entry was valid within this very section; a slot whose
 *      insertion answered EXISTS was never shown to anybody.
 *   G  Insertions and removals that go on for ever at a bounded number of ids need bounded memory, with
 *      hf_index_grow_if_needed and hf_index_migrate called now and then (see "Overflow lines").
 *
 *     oldest                                          newest
 *     +---------+  next   +---------+  next   +---------+
 *     | closed  | ------> | closed  | ------> | open    |      an id's buckets: closed ones, then one open one, then
 *     | bucket  |         | bucket  |         | bucket  |      buckets that have never held it
 *     +---------+         +---------+         +---------+
 *
 *     header, 64 bits:  { version : 41 | closed : 1 | valid : 22 }     every change is one CAS and one version step
 *     entry,  64 bits:  { fingerprint : 32 | slot + 1 : 32 }           0: free
 *     places:           0..5 in the bucket, 6..13 in its first overflow line, 14..21 in its second
 *
 * Rules of the header
 *   B1  A bit is set only from an open header, and only by whoever put the entry's word there (CAS from 0: "claimed").
 *   B2  A closed header stays closed; it is closed only by those who have seen a next table. So its valid bits only go.
 *   B3  A bit of an id is set in a table only by those who have closed the id's bucket in every older table.
 *   B4  A valid entry's word does not change. Whoever clears the bit sets the word to 0, except for migration: a
 *       look-up that holds the header of before must still meet the word, find the header changed, and go on to the
 *       copy.
 *
 * Why exactly one insertion wins (guarantee A). Inserter a sets its bit in table K by a CAS from the header h. At that
 * instant the id is nowhere else:
 *   newer than K   an entry there needs K's bucket closed (B3), and h is open;
 *   in K           the scan that follows the load of h saw all entries of h, and the version says that h still stood;
 *   older than K   a closed the bucket, then looked and found nothing; a closed bucket gains nothing (B2).
 * So if b closed a's bucket in K and went on to K + 1, a's CAS fails whichever came first: b's closing is a version
 * step, and had a's CAS been before it, b would have found the entry. With three tables and more it is the same three
 * lines.
 *
 * Why a look-up does not miss (guarantee B). An entry goes only from an older to a newer table, its copy valid before
 * the original's bit goes; look-ups go from old to new. They stop at the first open bucket, because of B3.
 *
 * Why no copy outlives a removal (guarantee E). Remover r clears the original's bit in table J; mover m copies it to
 * table M, having closed the id's buckets in J..M-1. m loads M's header h, then sees the original's bit still set, then
 * publishes by CAS from h. After clearing, r goes on through the closed buckets and steps the version of the first open
 * one.
 *   r's step in M before m's CAS     h is of after the step (else the CAS fails): m sees the cleared bit and gives up;
 *   r's step in M after m's CAS      r sees the copy, and the step is the one that clears it;
 *   r stopped before M               at a bucket that m closed later, by a CAS that follows r's step: m sees as much.
 * An insertion of the same id meanwhile either sees the copy (EXISTS: the removal has not returned) or is itself a step
 * between h and m's CAS.
 *
 * Edges (docs/CONCURRENCY.md); a CAS on a header is both ends of I1
 *   I1  header: CAS -> load. Carries the slot's contents, links, closed => next, cleared bits.
 *   I2  entry word: set to 0, claimed (CAS) -> load. A look-up that meets a word of after its header sees the header
 *       changed.
 *   I3  next: store -> load. Carries the new table's fields.
 *   I4  oldest: store -> load. The same.
 *   I5  overflow link: CAS -> load; nothing but the number is needed, the line is zero from the start.
 *
 * Overflow lines. A line stays linked to its bucket as long as the table lives. With ids coming and going at 4 a
 * bucket, each bucket meets its seventh id within a few turnovers, so there is a line for each bucket and an eighth
 * more (memory that is not touched before it is needed). The fifteenth comes to one bucket in some 4,000 a turnover.
 * When the lines run low hf_index_grow_if_needed makes a table that need not be larger, and migration starts anew with
 * no line linked. */
#include "index.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "wal/atomic.h"
#include "wal/error.h"
#include "wal/section.h"

enum {
    BUCKET_PLACES = 6,
    LINE_PLACES = 8,
    LINKS = 2,
    PLACES = BUCKET_PLACES + LINKS * LINE_PLACES,
    MIN_BUCKETS = 4,
    IDS_PER_BUCKET = 4, /* at most, for the number of ids a table is made for */
    MAX_TABLES = 40,
    BUCKETS_PER_SECTION = 32, /* of migration */
};

#define VALID ((UINT64_C(1) << PLACES) - 1)
#define VALID_IN_LINE ((UINT64_C(1) << LINE_PLACES) - 1)
#define CLOSED (UINT64_C(1) << PLACES)
#define VERSION (CLOSED << 1) /* one step */
#define MAX_BUCKETS (UINT64_C(1) << 31)
#define HUGE_PAGE (UINT64_C(2) << 20)
#define SMALL_PAGE UINT64_C(4096)

#define HOT static inline __attribute__((always_inline)) /* three look-ups in the life of an id: worth their size */
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct bucket {
    uint64_t header;
    uint64_t entries[BUCKET_PLACES];
    uint32_t links[LINKS]; /* number of an overflow line, from 1; 0: none yet */
};

struct line {
    uint64_t entries[LINE_PLACES];
};

struct table {
    struct table *next;
    struct bucket *buckets;
    struct line *lines;
    uint64_t mask; /* buckets - 1 */
    uint64_t line_count;
    size_t bytes; /* of the mapping, which begins with this */
    uint64_t lines_used __attribute__((aligned(HF_CACHE_LINE)));
};

struct hf_index {
    struct table *oldest;
    hf_index_same same;
    hf_index_hash hash;
    void *context;
    uint64_t grow_at; /* a hint: with more ids held than this, see whether the newest table still does */
    uintptr_t newest_buckets; /* hints, both, for prefetching: no table may be looked into outside of a section */
    uint64_t newest_mask;
    pthread_mutex_t lock __attribute__((aligned(HF_CACHE_LINE))); /* for making and dropping tables, and what follows */
    struct table *newest;
    uint64_t moved; /* buckets of the oldest table that are empty and closed; migration's own */
    size_t bytes;   /* of this mapping */
    hf_index_gauges gauges;
};

_Static_assert(sizeof(struct bucket) == HF_CACHE_LINE, "guarantee D");
_Static_assert(sizeof(struct line) == HF_CACHE_LINE, "an overflow line is a cache line");
_Static_assert(offsetof(struct bucket, links) == 56, "header, 6 entries, links");
_Static_assert(sizeof(struct table) == 2 * HF_CACHE_LINE, "buckets follow it, aligned");
_Static_assert(offsetof(struct table, lines_used) == HF_CACHE_LINE,
               "what is written lies apart from what look-ups read");
_Static_assert(offsetof(struct hf_index, lock) == HF_CACHE_LINE, "what is written lies apart from what look-ups read");
_Static_assert(PLACES + 1 + 41 == 64, "the header is full");

/* ---- one bucket -------------------------------------------------------------------------------------------------- */

static inline uint64_t entry_of(uint64_t hash, uint32_t slot) { return (hash >> 32 << 32) | (slot + UINT64_C(1)); }
static inline uint32_t slot_of(uint64_t word) { return (uint32_t)word - 1; }

static inline struct bucket *bucket_of(const struct table *table, uint64_t hash) {
    return &table->buckets[hash & table->mask];
}
static inline struct table *next_of(const struct table *table) { return hf_load_acquire(&table->next); } /* edge I3 */

/* The word of a place that is valid in a header just loaded: its line is linked. */
static inline uint64_t *word_at(const struct table *table, struct bucket *bucket, unsigned place) {
    if (LIKELY(place < BUCKET_PLACES)) {
        return &bucket->entries[place];
    }
    unsigned beyond = place - BUCKET_PLACES;
    uint32_t number = hf_load_relaxed(&bucket->links[beyond / LINE_PLACES]); /* relaxed: edge I1 carried it */
    assert(number != 0);
    return &table->lines[number - 1].entries[beyond % LINE_PLACES];
}

/* Bits of those words whose upper 64 - shift bits are `wanted`. No branch: a few entries are looked at in vain, which
 * costs less than a wrong guess. */
#define EQUAL(i) ((uint64_t)(hf_load_acquire(&words[i]) >> shift == wanted) << (i)) /* edge I2 */
HOT uint64_t match_bucket(const uint64_t *words, uint64_t wanted, unsigned shift) {
    return EQUAL(0) | EQUAL(1) | EQUAL(2) | EQUAL(3) | EQUAL(4) | EQUAL(5);
}
static inline uint64_t match_line(const uint64_t *words, uint64_t wanted, unsigned shift) {
    return EQUAL(0) | EQUAL(1) | EQUAL(2) | EQUAL(3) | EQUAL(4) | EQUAL(5) | EQUAL(6) | EQUAL(7);
}
#undef EQUAL

/* Valid places of `header` that match. They mean something only if the bucket's header is still `header` afterwards. */
HOT uint64_t match(const struct table *table, struct bucket *bucket, uint64_t header, uint64_t wanted,
                             unsigned shift) {
    uint64_t found = match_bucket(bucket->entries, wanted, shift);
    for (unsigned first = BUCKET_PLACES; UNLIKELY((header & VALID) >> first); first += LINE_PLACES) {
        if ((header >> first) & VALID_IN_LINE) {
            found |= match_line(word_at(table, bucket, first), wanted, shift) << first;
        }
    }
    return found & header & VALID;
}

/* The id's slot, or HF_INDEX_NONE; *header is the one of which that is true. */
HOT uint32_t find_in(const hf_index *index, const struct table *table, struct bucket *bucket, uint64_t hash,
                               const void *key, uint64_t *header) {
again:
    *header = hf_load_acquire(&bucket->header); /* edge I1, from whoever set the bits */
    for (uint64_t found = match(table, bucket, *header, hash >> 32, 32); found; found &= found - 1) {
        uint64_t word = hf_load_acquire(word_at(table, bucket, (unsigned)__builtin_ctzll(found))); /* edge I2 */
        /* Only a word of this header is known to be published (guarantee F). Relaxed: edge I2 ordered it. */
        if (UNLIKELY(hf_load_relaxed(&bucket->header) != *header)) {
            goto again;
        }
        if (LIKELY(index->same(index->context, slot_of(word), key))) {
            return slot_of(word);
        }
    }
    return HF_INDEX_NONE;
}

static inline void close_bucket(struct bucket *bucket) {
    uint64_t header = hf_load_acquire(&bucket->header); /* edge I1: a search that follows sees what was set before */
    while (!(header & CLOSED) && !hf_cas_acq_rel(&bucket->header, &header, (header | CLOSED) + VERSION)) { /* edge I1 */
    }
}

/* ---- claiming a place -------------------------------------------------------------------------------------------- */

struct place {
    uint64_t *word; /* NULL: none */
    uint64_t bit;
};

/* The number of an unused overflow line; 0: all are used. */
static uint64_t take_line(hf_index *index, struct table *table) {
    uint64_t used = hf_load_relaxed(&table->lines_used); /* relaxed, and the CAS too: only the number counts */
    do {
        if (used == table->line_count) {
            return 0;
        }
    } while (!hf_cas_relaxed(&table->lines_used, &used, used + 1));
    if (used == table->line_count - table->line_count / 16) {
        hf_store_relaxed(&index->grow_at, 0); /* relaxed: a hint, judged under the lock */
    }
    return used + 1;
}

/* The number of the bucket's overflow line, linked now if there was none; 0: no line is left. */
static uint32_t link_line(hf_index *index, struct table *table, struct bucket *bucket, unsigned link) {
    uint32_t number = hf_load_acquire(&bucket->links[link]); /* edge I5 */
    if (number != 0) {
        return number;
    }
    uint64_t taken = take_line(index, table);
    if (taken == 0) {
        return hf_load_acquire(&bucket->links[link]); /* edge I5: somebody may just have linked the last one here */
    }
    /* Edge I5. If somebody else linked one meanwhile, ours is lost until the table is renewed: that takes two at the
     * same bucket in the instant of its seventh id. */
    return hf_cas_acq_rel(&bucket->links[link], &number, (uint32_t)taken) ? (uint32_t)taken : number;
}

/* `words` are `count` places from place `first` on. */
HOT bool claim_in(uint64_t *words, unsigned first, unsigned count, uint64_t header, uint64_t word,
                            struct place *place) {
    uint64_t free = ~(header >> first) & ((UINT64_C(1) << count) - 1);
    for (; free; free &= free - 1) {
        unsigned i = (unsigned)__builtin_ctzll(free);
        uint64_t expected = 0;
        /* Relaxed: a glance. The CAS: edge I2, from whoever set it to 0 and to whoever meets our word. */
        if (hf_load_relaxed(&words[i]) == 0 && hf_cas_acq_rel(&words[i], &expected, word)) {
            *place = (struct place){&words[i], UINT64_C(1) << (first + i)};
            return true;
        }
    }
    return false;
}

/* Puts `word` into a place of the bucket that nobody uses; false: there is none. It is seen by nobody before its bit is
 * set, and may be claimed by a header that is out of date: then the CAS that would set the bit fails. */
static inline bool claim(hf_index *index, struct table *table, struct bucket *bucket, uint64_t header, uint64_t word,
                         struct place *place) {
    if (LIKELY(claim_in(bucket->entries, 0, BUCKET_PLACES, header, word, place))) {
        return true;
    }
    for (unsigned link = 0; link < LINKS; link++) {
        uint32_t number = link_line(index, table, bucket, link);
        if (number == 0) {
            return false;
        }
        unsigned first = BUCKET_PLACES + link * LINE_PLACES;
        if (claim_in(table->lines[number - 1].entries, first, LINE_PLACES, header, word, place)) {
            return true;
        }
    }
    return false;
}

static void abandon(struct place place) {
    if (place.word != NULL) {
        hf_store_release(place.word, 0); /* edge I2, to the next who claims it */
    }
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static uint64_t lines_for(uint64_t buckets) { return buckets + buckets / 8; }
/* 3/4 of the buckets' own places. */
static uint64_t grow_limit(const struct table *table) { return (table->mask + 1) * BUCKET_PLACES * 3 / 4; }

static uint64_t buckets_for(uint64_t ids) {
    uint64_t buckets = MIN_BUCKETS;
    while (buckets < MAX_BUCKETS && buckets * IDS_PER_BUCKET < ids) {
        buckets *= 2;
    }
    return buckets;
}

/* Zero-filled memory; *bytes is rounded up to what was mapped. In huge pages, but for what does not fill one: that is the last
 * overflow lines, which come into use one by one. */
static void *map_zeros(size_t *bytes) {
    *bytes = (*bytes + SMALL_PAGE - 1) & ~(SMALL_PAGE - 1);
    size_t huge = *bytes & ~(HUGE_PAGE - 1), spare = huge != 0 ? HUGE_PAGE : 0; /* so that an aligned part can be cut out */
    char *start = mmap(NULL, *bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        (void)hf_fail_system(-errno, "the id index cannot map %zu bytes of memory", *bytes + spare);
        return NULL;
    }
    if (spare != 0) {
        size_t before = -(uintptr_t)start & (HUGE_PAGE - 1);
        if (before != 0) {
            (void)munmap(start, before);
        }
        (void)munmap(start + before + *bytes, spare - before);
        start += before;
        (void)madvise(start, huge, MADV_HUGEPAGE); /* advice: works without */
    }
    return start;
}

static struct table *table_new(uint64_t buckets) {
    size_t bytes = sizeof(struct table) + buckets * sizeof(struct bucket) + lines_for(buckets) * sizeof(struct line);
    struct table *table = map_zeros(&bytes);
    if (table != NULL) {
        table->buckets = (struct bucket *)(table + 1);
        table->lines = (struct line *)(table->buckets + buckets);
        table->mask = buckets - 1;
        table->line_count = lines_for(buckets);
        table->bytes = bytes;
    }
    return table;
}

/* Under the lock (or before anybody else knows the index). `sign` is 1 or -1. */
static void count_table(hf_index *index, const struct table *table, int sign) {
    uint64_t one = (uint64_t)(int64_t)sign;
    uint64_t places = (table->mask + 1) * BUCKET_PLACES + table->line_count * LINE_PLACES;
    hf_fetch_add_relaxed(&index->gauges.levels, one); /* relaxed, all three: gauges */
    hf_fetch_add_relaxed(&index->gauges.bytes, one * table->bytes);
    hf_fetch_add_relaxed(&index->gauges.entries, one * places);
}

static void set_hints(hf_index *index, const struct table *newest) {
    hf_store_relaxed(&index->grow_at, grow_limit(newest)); /* relaxed, all three: hints */
    hf_store_relaxed(&index->newest_buckets, (uintptr_t)newest->buckets);
    hf_store_relaxed(&index->newest_mask, newest->mask);
}

/* Puts a table of `buckets` buckets in front. Under the lock. */
static bool add_table(hf_index *index, uint64_t buckets) {
    uint64_t levels = hf_load_relaxed(&index->gauges.levels); /* relaxed: written under the lock that we hold */
    if (levels == MAX_TABLES || buckets > MAX_BUCKETS) {
        (void)hf_fail(HF_ENOMEM, "the id index would need table number %u with %llu buckets: at most %d and %llu",
                      (unsigned)levels + 1, (unsigned long long)buckets, MAX_TABLES, (unsigned long long)MAX_BUCKETS);
        return false;
    }
    struct table *table = table_new(buckets);
    if (table == NULL) {
        return false;
    }
    count_table(index, table, 1);
    set_hints(index, table);
    hf_store_release(&index->newest->next, table);        /* edge I3, to next_of */
    index->newest = table;
    return true;
}

/* Sees to it that `table`, which has no place for an id, has a successor. */
static bool succeed(hf_index *index, struct table *table) {
    pthread_mutex_lock(&index->lock);
    bool done = next_of(table) != NULL || add_table(index, (table->mask + 1) * 2);
    pthread_mutex_unlock(&index->lock);
    return done;
}

/* ---- look-up, insertion, removal --------------------------------------------------------------------------------- */

hf_index *hf_index_new(uint64_t expected, hf_index_same same, hf_index_hash hash, void *context) {
    if (expected > MAX_BUCKETS * IDS_PER_BUCKET) {
        (void)hf_fail(HF_ENOMEM, "an id index for %llu ids: at most %llu", (unsigned long long)expected,
                      (unsigned long long)(MAX_BUCKETS * IDS_PER_BUCKET));
        return NULL;
    }
    size_t bytes = sizeof(hf_index);
    hf_index *index = map_zeros(&bytes);
    if (index == NULL) {
        return NULL;
    }
    index->bytes = bytes;
    struct table *table = table_new(buckets_for(expected));
    if (table == NULL) {
        (void)munmap(index, bytes);
        return NULL;
    }
    index->same = same;
    index->hash = hash;
    index->context = context;
    index->gauges.bytes = bytes;
    index->newest = index->oldest = table;
    set_hints(index, table);
    count_table(index, table, 1);
    pthread_mutex_init(&index->lock, NULL);
    return index;
}

void hf_index_free(hf_index *index) {
    for (struct table *table = index->oldest, *next; table != NULL; table = next) {
        next = table->next;
        (void)munmap(table, table->bytes);
    }
    pthread_mutex_destroy(&index->lock);
    (void)munmap(index, index->bytes);
}

static inline struct table *oldest_of(const hf_index *index) { return hf_load_acquire(&index->oldest); } /* edge I4 */

/* The table after one with a closed bucket: whoever closed it had seen that table, and edge I1 carried it here. */
static inline struct table *after_closed(const struct table *table) {
    struct table *next = next_of(table);
    assert(next != NULL);
    return next;
}

void hf_index_prefetch(const hf_index *index, uint64_t hash) {
    /* Relaxed, both: of two tables, or of one that is gone, they name a wrong address, which is only prefetched. */
    uintptr_t buckets = hf_load_relaxed(&index->newest_buckets);
    uint64_t mask = hf_load_relaxed(&index->newest_mask);
    hf_prefetch_write((const void *)(buckets + (hash & mask) * sizeof(struct bucket)));
}

uint32_t hf_index_find(const hf_index *index, uint64_t hash, const void *key) {
    assert(hf_section_inside());
    const struct table *table = oldest_of(index);
    for (;;) {
        uint64_t header;
        uint32_t slot = find_in(index, table, bucket_of(table, hash), hash, key, &header);
        if (LIKELY(slot != HF_INDEX_NONE || !(header & CLOSED))) {
            return slot;
        }
        table = after_closed(table);
    }
}

uint32_t hf_index_glance(const hf_index *index, uint64_t hash) {
    assert(hf_section_inside());
    const struct table *table = oldest_of(index);
    struct bucket *bucket = bucket_of(table, hash);
    uint64_t header = hf_load_acquire(&bucket->header); /* edge I1: what it says is linked, is */
    for (unsigned first = BUCKET_PLACES; UNLIKELY((header & VALID) >> first); first += LINE_PLACES) {
        if ((header >> first) & VALID_IN_LINE) {
            hf_prefetch_write(word_at(table, bucket, first));
        }
    }
    uint64_t found = match_bucket(bucket->entries, hash >> 32, 32) & header & VALID;
    /* No second look at the header: a word of after it names a slot too, or none. */
    return found ? slot_of(hf_load_acquire(&bucket->entries[__builtin_ctzll(found)])) : HF_INDEX_NONE; /* edge I2 */
}

enum publication { PUBLISHED, FOUND, GONE, NO_PLACE, WAS_CLOSED };

/* Sets the bit of an entry { hash, slot } unless the id is in the bucket; *existing is then its slot. */
HOT enum publication publish_id(hf_index *index, struct table *table, struct bucket *bucket, uint64_t hash,
                                          const void *key, uint32_t slot, uint32_t *existing) {
    struct place own = {NULL, 0};
    uint64_t header;
    do {
        *existing = find_in(index, table, bucket, hash, key, &header);
        if (*existing != HF_INDEX_NONE || (header & CLOSED)) {
            abandon(own);
            return *existing != HF_INDEX_NONE ? FOUND : WAS_CLOSED;
        }
        if (own.word == NULL && !claim(index, table, bucket, header, entry_of(hash, slot), &own)) {
            return NO_PLACE;
        }
        /* Edge I1, to find_in. */
    } while (UNLIKELY(!hf_cas_acq_rel(&bucket->header, &header, (header | own.bit) + VERSION)));
    return PUBLISHED;
}

enum hf_index_result hf_index_insert(hf_index *index, uint64_t hash, const void *key, uint32_t slot,
                                     uint32_t *existing) {
    assert(hf_section_inside() && slot != HF_INDEX_NONE);
    struct table *table = oldest_of(index);
    for (;;) {
        struct bucket *bucket = bucket_of(table, hash);
        if (LIKELY(next_of(table) == NULL)) {
            enum publication done = publish_id(index, table, bucket, hash, key, slot, existing);
            if (LIKELY(done == PUBLISHED || done == FOUND)) {
                return done == FOUND ? HF_INDEX_EXISTS : HF_INDEX_INSERTED;
            }
            if (done == NO_PLACE && !succeed(index, table)) {
                return HF_INDEX_NO_MEMORY;
            }
        }
        close_bucket(bucket); /* rule B3 */
        uint64_t header;
        *existing = find_in(index, table, bucket, hash, key, &header);
        if (*existing != HF_INDEX_NONE) {
            return HF_INDEX_EXISTS;
        }
        table = after_closed(table);
    }
}

/* Clears the bit of `word` if it is in the bucket. If it is not but was `removed` from an older table, and this bucket
 * is open, steps the version, so that a copy under way meets the removal (guarantee E). Returns whether it is removed
 * now. */
static bool take_out(const struct table *table, struct bucket *bucket, uint64_t word, bool removed, bool *closed) {
    uint64_t header = hf_load_acquire(&bucket->header); /* edge I1 */
    uint64_t bit;
    do {
        *closed = header & CLOSED;
        bit = match(table, bucket, header, word, 0);
        if (bit == 0 && (!removed || *closed)) {
            return removed;
        }
    } while (!hf_cas_acq_rel(&bucket->header, &header, (header & ~bit) + VERSION)); /* edge I1, to publish_copy */
    if (bit != 0) {
        hf_store_release(word_at(table, bucket, (unsigned)__builtin_ctzll(bit)), 0); /* edge I2, to claim_in */
    }
    return true;
}

bool hf_index_remove(hf_index *index, uint64_t hash, uint32_t slot) {
    assert(hf_section_inside());
    const struct table *table = oldest_of(index);
    bool removed = false;
    for (;;) {
        bool closed;
        removed = take_out(table, bucket_of(table, hash), entry_of(hash, slot), removed, &closed);
        if (LIKELY(!closed)) {
            return removed; /* rule B3: newer tables do not have it */
        }
        table = after_closed(table);
    }
}

/* ---- growth and migration ---------------------------------------------------------------------------------------- */

void hf_index_grow_if_needed(hf_index *index, uint64_t held) {
    if (LIKELY(held <= hf_load_relaxed(&index->grow_at))) { /* relaxed: a hint */
        return;
    }
    pthread_mutex_lock(&index->lock);
    const struct table *newest = index->newest; /* stays: only a table that has a successor is ever dropped */
    uint64_t limit = grow_limit(newest);
    uint64_t used = hf_load_relaxed(&newest->lines_used); /* relaxed: only the number counts */
    if (held > limit) {
        uint64_t twice = (newest->mask + 1) * 2, enough = buckets_for(held);
        (void)add_table(index, twice > enough ? twice : enough);
    } else if (used > newest->line_count - newest->line_count / 16) {
        (void)add_table(index, held > limit / 4 * 3 ? (newest->mask + 1) * 2 : newest->mask + 1);
    } else {
        hf_store_relaxed(&index->grow_at, limit); /* relaxed: a hint */
    }
    pthread_mutex_unlock(&index->lock);
}

bool hf_index_renew(hf_index *index, uint64_t expected) {
    pthread_mutex_lock(&index->lock);
    bool done = add_table(index, buckets_for(expected));
    pthread_mutex_unlock(&index->lock);
    return done;
}

/* Sets the bit of a copy as long as the original's is set. */
static enum publication publish_copy(hf_index *index, struct table *table, struct bucket *bucket, uint64_t word,
                                     const struct bucket *source, uint64_t source_bit) {
    struct place own = {NULL, 0};
    uint64_t header = hf_load_acquire(&bucket->header); /* edge I1, from take_out's step; before the source's */
    do {
        bool gone = !(hf_load_acquire(&source->header) & source_bit); /* edge I1, from take_out's clearing */
        if (gone || (header & CLOSED)) {
            abandon(own);
            return gone ? GONE : WAS_CLOSED;
        }
        if (own.word == NULL && !claim(index, table, bucket, header, word, &own)) {
            return NO_PLACE;
        }
        /* Edge I1, to find_in and take_out. */
    } while (!hf_cas_acq_rel(&bucket->header, &header, (header | own.bit) + VERSION));
    return PUBLISHED;
}

/* Copies an entry of the oldest table to the newest, unless it is removed meanwhile. false: no memory for a larger
 * table. */
static bool copy_entry(hf_index *index, const struct bucket *source, uint64_t source_bit, uint64_t word) {
    uint64_t hash = index->hash(index->context, slot_of(word));
    struct table *table = next_of(index->oldest);
    for (;;) {
        struct bucket *bucket = bucket_of(table, hash);
        if (next_of(table) == NULL) {
            enum publication done = publish_copy(index, table, bucket, word, source, source_bit);
            if (done == PUBLISHED || done == GONE) {
                return true;
            }
            if (done == NO_PLACE && !succeed(index, table)) {
                return false;
            }
        }
        close_bucket(bucket); /* rule B3 */
        table = after_closed(table);
    }
}

/* Closes and empties one bucket of the oldest table; false: no memory. Inside a section. */
static bool move_bucket(hf_index *index, const struct table *table, struct bucket *bucket) {
    close_bucket(bucket);
    uint64_t header;
    while (((header = hf_load_acquire(&bucket->header)) & VALID) != 0) { /* edge I1 */
        unsigned place = (unsigned)__builtin_ctzll(header);
        uint64_t bit = UINT64_C(1) << place;
        uint64_t word = hf_load_acquire(word_at(table, bucket, place)); /* edge I2: a word set to 0 brings its header */
        if (hf_load_relaxed(&bucket->header) != header) { /* relaxed: edge I2 ordered it. A removal came first */
            continue;
        }
        if (!copy_entry(index, bucket, bit, word)) {
            return false;
        }
        /* The copy is in: the original's bit goes, but not its word (rule B4). A bit that is gone already was a
         * removal's, which takes the copy out too. */
        while ((header & bit) && !hf_cas_acq_rel(&bucket->header, &header, (header & ~bit) + VERSION)) { /* edge I1 */
        }
    }
    return true;
}

/* The oldest table is closed and empty throughout. */
static void drop_oldest(hf_index *index) {
    struct table *table = index->oldest;
    pthread_mutex_lock(&index->lock);
    hf_store_release(&index->oldest, next_of(table)); /* edge I4, to oldest_of */
    count_table(index, table, -1);
    pthread_mutex_unlock(&index->lock);
    index->moved = 0;
    hf_grace_period(); /* whoever found it has left it: edge G1 */
    (void)munmap(table, table->bytes);
}

bool hf_index_migrate(hf_index *index, size_t buckets) {
    assert(!hf_section_inside());
    struct table *table = index->oldest; /* changed by migration alone */
    if (next_of(table) == NULL) {
        return false;
    }
    uint64_t end = buckets < table->mask + 1 - index->moved ? index->moved + buckets : table->mask + 1;
    bool room = true;
    while (room && index->moved < end) {
        hf_section_enter();
        for (unsigned i = 0; i < BUCKETS_PER_SECTION && room && index->moved < end; i++) {
            room = move_bucket(index, table, &table->buckets[index->moved]);
            index->moved += room;
        }
        hf_section_leave();
    }
    if (index->moved <= table->mask) {
        return true;
    }
    drop_oldest(index);
    return next_of(index->oldest) != NULL;
}

void hf_index_gauges_read(const hf_index *index, hf_index_gauges *gauges) {
    gauges->entries = hf_load_relaxed(&index->gauges.entries); /* relaxed, all three: gauges */
    gauges->levels = hf_load_relaxed(&index->gauges.levels);
    gauges->bytes = hf_load_relaxed(&index->gauges.bytes);
}

/* ---- the rules, checked ------------------------------------------------------------------------------------------ */

/* One group of places of a bucket. `words` NULL: its line is not linked. */
static bool places_valid(const hf_index *index, const struct table *table, const struct bucket *bucket, unsigned first,
                         unsigned count, const uint64_t *words, uint64_t *held) {
    for (unsigned i = 0; i < count; i++) {
        bool valid = (bucket->header >> (first + i)) & 1;
        if (words == NULL || words[i] == 0 || !valid) {
            bool left_behind = words != NULL && words[i] != 0 && !(bucket->header & CLOSED);
            if (valid || left_behind) {
                return false;
            }
            continue;
        }
        uint64_t hash = index->hash(index->context, slot_of(words[i]));
        if (bucket_of(table, hash) != bucket || entry_of(hash, slot_of(words[i])) != words[i]) {
            return false;
        }
        ++*held;
    }
    return true;
}

bool hf_index_is_valid(const hf_index *index, uint64_t *held) {
    *held = 0;
    for (const struct table *table = index->oldest; table != NULL; table = table->next) {
        bool newest = table->next == NULL;
        if (newest != (table == index->newest) || table->lines_used > table->line_count) {
            return false;
        }
        for (uint64_t i = 0; i <= table->mask; i++) {
            const struct bucket *bucket = &table->buckets[i];
            bool good = !(newest && (bucket->header & CLOSED)) &&
                        places_valid(index, table, bucket, 0, BUCKET_PLACES, bucket->entries, held);
            for (unsigned link = 0; good && link < LINKS; link++) {
                uint32_t number = bucket->links[link];
                good = number <= table->lines_used &&
                       places_valid(index, table, bucket, BUCKET_PLACES + link * LINE_PLACES, LINE_PLACES,
                                    number != 0 ? table->lines[number - 1].entries : NULL, held);
            }
            if (!good) {
                return false;
            }
        }
    }
    return true;
}
