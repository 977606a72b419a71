/* The timing wheel.
 *
 * Invariants (hf_wheel_is_valid checks them all)
 *   W1  `position` is a time up to which everything has come out of the buckets. It moves only forward.
 *   W2  An entry with time <= position is on the due list. Any other is on the level of the highest byte in which its
 *       time differs from position, in the bucket that this byte of its time names; if the time differs above byte 4 it
 *       is on the far list.
 *   W3  Hence on every level only buckets above position's own byte hold entries, everything on a level comes before
 *       everything on the levels above it, and the first bucket of the lowest level in use is the next to come. While
 *       position moves inside a stretch in which no bucket begins, every entry's place stays right.
 *   W4  A bit of the occupancy map is set if and only if its bucket holds entries.
 *   W5  A list is a chain of chunks of which only the first may have room.
 *   W6  Slabs hold at least chunks_for(entries) chunks, the most that so many entries can ever take up however they are
 *       spread. So only an add has to allocate, and moving entries cannot fail.
 *
 *     position  0x0000018f 2a 41 7c       entry A  0x0000018f 2a 41 90   differs in byte 0: level 0, bucket 0x90
 *                                         entry B  0x0000018f 2a 45 02   differs in byte 1: level 1, bucket 0x45
 *                                         entry C  0x0000018f 77 00 00   differs in byte 2: level 2, bucket 0x77
 *     When time reaches 0x0000018f 2a 45 01, A is due; B's bucket opens and B moves to level 0, bucket 0x02.
 *     When time jumps past the whole of a bucket, its chain becomes the due list as it is.
 */
#include "wheel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wal/atomic.h"

enum {
    LEVELS = 5,
    BUCKETS = 256,
    FAR = LEVELS * BUCKETS, /* more than 2^40 ms aside */
    DUE,                    /* ready to be handed out */
    LISTS,
    CHUNK_ENTRIES = 31,
    SLAB_CHUNKS = 127,
};

struct chunk {
    struct chunk *next;
    uint32_t count;
    uint32_t place; /* number within its slab */
    hf_wheel_entry entries[CHUNK_ENTRIES];
};
_Static_assert(sizeof(struct chunk) == 512, "eight cache lines");

struct slab {
    struct slab *next, *before;
    struct chunk *free; /* given back ones; those from `fresh` on were never used, and their pages never touched */
    uint32_t fresh;
    uint32_t used;
    bool leaving; /* being emptied by a compaction */
    uint8_t pad[64 - 2 * sizeof(struct slab *) - sizeof(struct chunk *) - 2 * sizeof(uint32_t) - sizeof(bool)];
    struct chunk chunks[SLAB_CHUNKS];
};
_Static_assert(offsetof(struct slab, chunks) == 64, "chunks begin at cache lines");

enum slab_state { SLAB_IDLE, SLAB_PARTIAL, SLAB_FULL, SLAB_STATES };

struct hf_wheel {
    uint64_t position;
    uint64_t newest;    /* highest `now` seen; above position while a take that ran out of room waits to be continued */
    uint64_t far_first; /* no time on the far list is below it; UINT64_MAX if it is empty */
    uint64_t occupied[LEVELS][BUCKETS / 64];
    struct chunk *lists[LISTS];
    struct slab *slabs[SLAB_STATES];
    uint64_t slab_count;
    uint64_t entries;
    int64_t dead; /* below 0 while deaths were met that are counted later */
    uint64_t compactions, moves, opened;
};

#define WHEEL_BYTES ((sizeof(hf_wheel) + 63) / 64 * 64)

void *(*hf_wheel_allocate)(size_t alignment, size_t bytes) = aligned_alloc;
void (*hf_wheel_release)(void *memory) = free;

/* ---- slabs of chunks --------------------------------------------------------------------------------------------- */

/* W6: full chunks, and one with room for each list and for the chain that is being sorted. Few entries need fewer: no
 * chunk is empty but the one that receives an entry. */
static uint64_t chunks_for(uint64_t entries) {
    uint64_t spread = entries / CHUNK_ENTRIES + LISTS + 1;
    return entries + 1 < spread ? entries + 1 : spread;
}

static uint64_t slabs_for(uint64_t entries) { return (chunks_for(entries) + SLAB_CHUNKS - 1) / SLAB_CHUNKS; }

static struct slab *slab_of(struct chunk *chunk) {
    return (struct slab *)(void *)((char *)(chunk - chunk->place) - offsetof(struct slab, chunks));
}

static enum slab_state slab_state(const struct slab *slab) {
    return slab->used == 0 ? SLAB_IDLE : slab->used < SLAB_CHUNKS ? SLAB_PARTIAL : SLAB_FULL;
}

static void slab_link(hf_wheel *wheel, struct slab *slab) {
    struct slab **head = &wheel->slabs[slab_state(slab)];
    slab->before = NULL;
    slab->next = *head;
    if (*head)
        (*head)->before = slab;
    *head = slab;
}

/* Call before `used` changes: the list is found by it. */
static void slab_unlink(hf_wheel *wheel, struct slab *slab) {
    if (slab->before)
        slab->before->next = slab->next;
    else
        wheel->slabs[slab_state(slab)] = slab->next;
    if (slab->next)
        slab->next->before = slab->before;
}

static bool slab_new(hf_wheel *wheel) {
    struct slab *slab = hf_wheel_allocate(64, sizeof *slab);
    if (!slab)
        return false;
    memset(slab, 0, offsetof(struct slab, chunks));
    slab_link(wheel, slab);
    wheel->slab_count++;
    return true;
}

static uint64_t bytes_of(const hf_wheel *wheel) { return WHEEL_BYTES + wheel->slab_count * sizeof(struct slab); }

static uint64_t dead_known(const hf_wheel *wheel) {
    uint64_t dead = wheel->dead > 0 ? (uint64_t)wheel->dead : 0;
    return dead < wheel->entries ? dead : wheel->entries;
}

/* One more than needed, so that an add and a take in turn do not allocate and free in turn. */
static uint64_t slabs_needed(const hf_wheel *wheel) { return slabs_for(wheel->entries) + 1; }

/* What guarantee D lets be kept, is: where entries are added and cancelled for ever, memory then neither comes nor goes. */
static uint64_t slabs_to_keep(const hf_wheel *wheel) {
    uint64_t needed = slabs_needed(wheel), living = wheel->entries - dead_known(wheel);
    uint64_t allowed = 2 * living * sizeof(hf_wheel_entry) / sizeof(struct slab);
    return needed > allowed ? needed : allowed;
}

static void slabs_give_back(hf_wheel *wheel) {
    while (wheel->slabs[SLAB_IDLE] && wheel->slab_count > slabs_to_keep(wheel)) {
        struct slab *slab = wheel->slabs[SLAB_IDLE];
        slab_unlink(wheel, slab);
        wheel->slab_count--;
        hf_wheel_release(slab);
    }
}

static struct chunk *chunk_new(hf_wheel *wheel, struct chunk *next) {
    struct slab *slab = wheel->slabs[SLAB_PARTIAL] ? wheel->slabs[SLAB_PARTIAL] : wheel->slabs[SLAB_IDLE];
    assert(slab); /* W6 */
    enum slab_state before = slab_state(slab);
    struct chunk *chunk = slab->free;
    if (chunk) {
        slab->free = chunk->next;
    } else {
        chunk = &slab->chunks[slab->fresh];
        chunk->place = slab->fresh++;
    }
    if (before == SLAB_IDLE || slab->used == SLAB_CHUNKS - 1) {
        slab_unlink(wheel, slab);
        slab->used++;
        slab_link(wheel, slab);
    } else {
        slab->used++;
    }
    chunk->next = next;
    chunk->count = 0;
    return chunk;
}

static void chunk_free(hf_wheel *wheel, struct chunk *chunk) {
    struct slab *slab = slab_of(chunk);
    assert(slab->used > 0);
    chunk->next = slab->free;
    slab->free = chunk;
    if (slab->leaving) { /* in no list */
        slab->used--;
        return;
    }
    if (slab->used == SLAB_CHUNKS || slab->used == 1) {
        slab_unlink(wheel, slab);
        slab->used--;
        slab_link(wheel, slab);
    } else {
        slab->used--;
    }
}

/* ---- where an entry belongs -------------------------------------------------------------------------------------- */

/* W2. */
static unsigned list_for(uint64_t position, uint64_t time) {
    if (time <= position)
        return DUE;
    unsigned level = (63u - (unsigned)__builtin_clzll(time ^ position)) / 8;
    return level < LEVELS ? level * BUCKETS + (unsigned)(time >> (8 * level) & 0xFF) : FAR;
}

static void push(hf_wheel *wheel, hf_wheel_entry entry) {
    unsigned list = list_for(wheel->position, entry.time_ms);
    struct chunk **head = &wheel->lists[list];
    if (!*head || (*head)->count == CHUNK_ENTRIES) {
        *head = chunk_new(wheel, *head);
        if (list < FAR)
            wheel->occupied[list / BUCKETS][list % BUCKETS / 64] |= UINT64_C(1) << (list % 64);
    }
    (*head)->entries[(*head)->count++] = entry;
    if (list == FAR && entry.time_ms < wheel->far_first)
        wheel->far_first = entry.time_ms;
}

/* Takes a list's whole chain out. */
static struct chunk *detach(hf_wheel *wheel, unsigned list) {
    struct chunk *chain = wheel->lists[list];
    wheel->lists[list] = NULL;
    if (list < FAR)
        wheel->occupied[list / BUCKETS][list % BUCKETS / 64] &= ~(UINT64_C(1) << (list % 64));
    else if (list == FAR)
        wheel->far_first = UINT64_MAX;
    return chain;
}

/* Puts every entry of a detached chain where it belongs now. */
static void sort_in(hf_wheel *wheel, struct chunk *chain) {
    while (chain) {
        struct chunk *next = chain->next;
        for (uint32_t i = 0; i < chain->count; i++)
            push(wheel, chain->entries[i]);
        wheel->moves += chain->count;
        chunk_free(wheel, chain);
        chain = next;
    }
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

static uint64_t span(unsigned level) { return UINT64_C(1) << (8 * level); }

/* The occupied bucket that comes next (W3), and when it begins; FAR for the far list; LISTS if there is none. */
static unsigned next_list(const hf_wheel *wheel, uint64_t *begin) {
    for (unsigned level = 0; level < LEVELS; level++) {
        for (unsigned i = 0; i < BUCKETS / 64; i++) {
            if (wheel->occupied[level][i] == 0)
                continue;
            unsigned bucket = i * 64 + (unsigned)__builtin_ctzll(wheel->occupied[level][i]);
            *begin = (wheel->position & ~(span(level + 1) - 1)) | bucket * span(level);
            return level * BUCKETS + bucket;
        }
    }
    *begin = wheel->far_first & ~(span(LEVELS) - 1);
    return wheel->lists[FAR] ? FAR : LISTS;
}

/* Moves position on to `newest`, or to the end of the next bucket that makes something due. */
static void advance(hf_wheel *wheel) {
    assert(!wheel->lists[DUE]);
    while (!wheel->lists[DUE]) {
        uint64_t begin;
        unsigned list = next_list(wheel, &begin);
        if (list == LISTS || begin > wheel->newest) {
            wheel->position = wheel->newest;
            return;
        }
        wheel->opened++;
        uint64_t end = list == FAR ? UINT64_MAX : begin + (span(list / BUCKETS) - 1);
        if (list != FAR && end <= wheel->newest) {
            wheel->lists[DUE] = detach(wheel, list);
            wheel->position = end;
        } else {
            struct chunk *chain = detach(wheel, list);
            wheel->position = wheel->newest;
            sort_in(wheel, chain);
        }
    }
}

/* Hands out up to `room` entries of the due list. */
static size_t drain(hf_wheel *wheel, hf_wheel_entry *due, size_t room) {
    size_t taken = 0;
    while (taken < room && wheel->lists[DUE]) {
        struct chunk *chunk = wheel->lists[DUE];
        size_t count = chunk->count < room - taken ? chunk->count : room - taken;
        chunk->count -= (uint32_t)count;
        memcpy(due + taken, chunk->entries + chunk->count, count * sizeof *due);
        taken += count;
        if (chunk->count == 0) {
            wheel->lists[DUE] = chunk->next;
            chunk_free(wheel, chunk);
        }
    }
    wheel->entries -= taken;
    return taken;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

hf_wheel *hf_wheel_new(uint64_t now_ms) {
    hf_wheel *wheel = hf_wheel_allocate(64, WHEEL_BYTES);
    if (!wheel)
        return NULL;
    memset(wheel, 0, sizeof *wheel);
    wheel->position = wheel->newest = now_ms;
    wheel->far_first = UINT64_MAX;
    if (!slab_new(wheel)) { /* W6 holds from the start */
        hf_wheel_release(wheel);
        return NULL;
    }
    return wheel;
}

void hf_wheel_free(hf_wheel *wheel) {
    if (!wheel)
        return;
    for (unsigned state = 0; state < SLAB_STATES; state++) {
        while (wheel->slabs[state]) {
            struct slab *slab = wheel->slabs[state];
            wheel->slabs[state] = slab->next;
            hf_wheel_release(slab);
        }
    }
    hf_wheel_release(wheel);
}

bool hf_wheel_add(hf_wheel *wheel, hf_wheel_entry entry) {
    if (wheel->slab_count < slabs_for(wheel->entries + 1) && !slab_new(wheel))
        return false;
    push(wheel, entry);
    wheel->entries++;
    return true;
}

size_t hf_wheel_take(hf_wheel *wheel, uint64_t now_ms, hf_wheel_entry *due, size_t room) {
    if (now_ms > wheel->newest)
        wheel->newest = now_ms;
    size_t taken = drain(wheel, due, room);
    while (taken < room && wheel->position < wheel->newest) {
        advance(wheel);
        taken += drain(wheel, due + taken, room - taken);
    }
    slabs_give_back(wheel);
    return taken;
}

uint64_t hf_wheel_next(const hf_wheel *wheel) {
    if (wheel->lists[DUE])
        return 0;
    uint64_t begin;
    return next_list(wheel, &begin) == LISTS ? UINT64_MAX : begin;
}

/* ---- dead entries ------------------------------------------------------------------------------------------------ */

void hf_wheel_count_dead(hf_wheel *wheel) { wheel->dead++; }

void hf_wheel_met_dead(hf_wheel *wheel) { wheel->dead--; }

/* The second reason is the promise itself: it also covers chunks that stay behind here and there as entries leave. */
bool hf_wheel_wants_compaction(const hf_wheel *wheel) {
    uint64_t dead = dead_known(wheel);
    if (dead >= HF_WHEEL_COMPACT_MIN && dead > wheel->entries / 2)
        return true;
    return bytes_of(wheel) > 2 * (wheel->entries - dead) * sizeof(hf_wheel_entry) + HF_WHEEL_SLACK_BYTES;
}

/* Chooses so many slabs to stay, the full ones first, and takes the others out of their lists. Returns the chain of those. */
static struct slab *choose_leaving(hf_wheel *wheel, uint64_t stay) {
    struct slab *leaving = NULL;
    for (unsigned state = SLAB_STATES; state-- > 0;) {
        for (struct slab *slab = wheel->slabs[state], *next; slab; slab = next) {
            next = slab->next;
            if (stay > 0) {
                stay--;
                continue;
            }
            slab_unlink(wheel, slab);
            slab->leaving = true;
            slab->next = leaving;
            leaving = slab;
        }
    }
    return leaving;
}

/* Moves chunks out of sparsely used slabs and gives those back. */
static void defragment(hf_wheel *wheel, uint64_t stay) {
    struct slab *leaving = choose_leaving(wheel, stay);
    if (!leaving)
        return;
    for (unsigned list = 0; list < LISTS; list++) {
        for (struct chunk **link = &wheel->lists[list]; *link; link = &(*link)->next) {
            struct chunk *old = *link;
            if (!slab_of(old)->leaving)
                continue;
            *link = chunk_new(wheel, old->next);
            (*link)->count = old->count;
            memcpy((*link)->entries, old->entries, old->count * sizeof *old->entries);
            chunk_free(wheel, old);
        }
    }
    while (leaving) {
        struct slab *next = leaving->next;
        assert(leaving->used == 0);
        wheel->slab_count--;
        hf_wheel_release(leaving);
        leaving = next;
    }
}

/* Fetches the lines that `dead` will read for a chunk's entries, and the chunk after it. */
static void fetch_ahead(const struct chunk *chunk, const void *lines) {
    if (!chunk)
        return;
    for (unsigned i = 0; chunk->next && i < sizeof(struct chunk); i += HF_CACHE_LINE)
        hf_prefetch_read((const char *)chunk->next + i);
    for (uint32_t i = 0; lines && i < chunk->count; i++)
        hf_prefetch_read((const char *)lines + (size_t)chunk->entries[i].slot * HF_CACHE_LINE);
}

/* Puts a chain back whose entries are the list's. */
static void attach(hf_wheel *wheel, unsigned list, struct chunk *chain) {
    wheel->lists[list] = chain;
    if (chain && list < FAR)
        wheel->occupied[list / BUCKETS][list % BUCKETS / 64] |= UINT64_C(1) << (list % 64);
    for (; list == FAR && chain; chain = chain->next) {
        for (uint32_t i = 0; i < chain->count; i++) {
            uint64_t time = chain->entries[i].time_ms;
            wheel->far_first = time < wheel->far_first ? time : wheel->far_first;
        }
    }
}

/* Takes the dead off a list; returns how many. The living stay on it (W2), in the chunks that they have: a chunk is let go
 * as soon as those met so far do not fill one. So there is one for those left over in the end. */
static uint64_t keep_living(hf_wheel *wheel, unsigned list, bool (*dead)(void *, hf_wheel_entry), void *context,
                            const void *lines) {
    hf_wheel_entry living[2 * CHUNK_ENTRIES];
    uint32_t count = 0;
    uint64_t dropped = 0;
    struct chunk *chain = detach(wheel, list), *kept = NULL;
    fetch_ahead(chain, lines);
    while (chain) {
        struct chunk *chunk = chain;
        chain = chunk->next;
        fetch_ahead(chain, lines);
        dropped += count + chunk->count;
        for (uint32_t i = 0; i < chunk->count; i++) { /* without a branch: who is dead cannot be foreseen */
            living[count] = chunk->entries[i];
            count += !dead(context, chunk->entries[i]);
        }
        dropped -= count;
        if (count < CHUNK_ENTRIES) {
            chunk_free(wheel, chunk);
            continue;
        }
        count -= CHUNK_ENTRIES;
        memcpy(chunk->entries, living + count, sizeof chunk->entries);
        chunk->count = CHUNK_ENTRIES;
        chunk->next = kept;
        kept = chunk;
    }
    if (count > 0) {
        kept = chunk_new(wheel, kept); /* W5: the one with room is the first */
        memcpy(kept->entries, living, count * sizeof *living);
        kept->count = count;
    }
    attach(wheel, list, kept);
    return dropped;
}

void hf_wheel_compact(hf_wheel *wheel, bool (*dead)(void *context, hf_wheel_entry entry), void *context,
                      const void *lines) {
    uint64_t dropped = 0;
    for (unsigned list = 0; list < LISTS; list++)
        dropped += keep_living(wheel, list, dead, context, lines);
    wheel->entries -= dropped;
    wheel->dead -= (int64_t)dropped;
    if (wheel->dead > 0) /* none is left: a count too many must not compact for ever */
        wheel->dead = 0;
    wheel->compactions++;
    bool many = dropped >= wheel->entries / 2; /* else it is not the dead that take the room, but thinly used slabs */
    defragment(wheel, many ? slabs_to_keep(wheel) : slabs_needed(wheel));
}

void hf_wheel_gauges_read(const hf_wheel *wheel, hf_wheel_gauges *gauges) {
    *gauges = (hf_wheel_gauges){.entries = wheel->entries,
                                .dead = dead_known(wheel),
                                .compactions = wheel->compactions,
                                .bytes = bytes_of(wheel),
                                .moves = wheel->moves,
                                .opened = wheel->opened};
}

/* ---- invariants -------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the list; adds up what is on it. */
static const char *check_list(const hf_wheel *wheel, unsigned list, uint64_t *entries, uint64_t *chunks) {
    for (struct chunk *chunk = wheel->lists[list]; chunk; chunk = chunk->next) {
        if (chunk->place >= SLAB_CHUNKS || slab_of(chunk)->leaving)
            return "a chunk does not belong to a slab";
        if (chunk->count == 0 || chunk->count > CHUNK_ENTRIES)
            return "a chunk on a list holds no entry or too many";
        if (chunk != wheel->lists[list] && chunk->count < CHUNK_ENTRIES)
            return "W5: a chunk that is not the first has room";
        for (uint32_t i = 0; i < chunk->count; i++) {
            if (list_for(wheel->position, chunk->entries[i].time_ms) != list)
                return "W2: an entry is not where it belongs";
            if (list == FAR && chunk->entries[i].time_ms < wheel->far_first)
                return "far_first is later than an entry";
        }
        *entries += chunk->count;
        *chunks += 1;
    }
    if (list < FAR) {
        bool bit = wheel->occupied[list / BUCKETS][list % BUCKETS / 64] >> (list % 64) & 1;
        if (bit != (wheel->lists[list] != NULL))
            return "W4: the occupancy map does not tell which buckets hold entries";
    }
    return NULL;
}

static const char *check_slabs(const hf_wheel *wheel, uint64_t chunks) {
    uint64_t slabs = 0, used = 0;
    for (unsigned state = 0; state < SLAB_STATES; state++) {
        for (const struct slab *slab = wheel->slabs[state], *before = NULL; slab; before = slab, slab = slab->next) {
            uint32_t free_chunks = 0;
            for (const struct chunk *chunk = slab->free; chunk && free_chunks <= SLAB_CHUNKS; chunk = chunk->next)
                free_chunks++;
            if (slab->fresh > SLAB_CHUNKS || slab->used + free_chunks != slab->fresh)
                return "a slab's chunks are not all used, free or fresh";
            if (slab_state(slab) != state || slab->leaving || slab->before != before)
                return "a slab is in a wrong list";
            slabs++;
            used += slab->used;
        }
    }
    if (used != chunks)
        return "chunks in use are not those on the lists";
    if (slabs != wheel->slab_count)
        return "slab_count is wrong";
    return slabs < slabs_for(wheel->entries) ? "W6: there are fewer chunks than the entries may need" : NULL;
}

bool hf_wheel_is_valid(const hf_wheel *wheel, const char **why) {
    uint64_t entries = 0, chunks = 0;
    const char *wrong = wheel->position > wheel->newest ? "W1: position is ahead of time" : NULL;
    for (unsigned list = 0; list < LISTS && !wrong; list++)
        wrong = check_list(wheel, list, &entries, &chunks);
    if (!wrong && entries != wheel->entries)
        wrong = "the count of entries is not what the lists hold";
    if (!wrong)
        wrong = check_slabs(wheel, chunks);
    *why = wrong;
    return !wrong;
}
