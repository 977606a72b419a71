/* A log of three segments with every kind of damage: each bit flipped, cut at each byte, forged with right checksums,
 * its segments missing, swapped, repeated and stale.
 *
 * Guarantees, of every damaged log
 *   A  No crash, and no epoch that is not, byte for byte, one that was written, in its place.
 *   B  Damage before the last epoch is refused: HF_ECORRUPT, and the words name the file. So is damage to the last
 *      epoch where the durable page or a checkpoint vouches for it.
 *   C  Otherwise damage to the last epoch, and behind it, is a torn tail: all before it is there.
 *   D  A recovery finds what a read-only look finds; what it refuses it leaves as it was.
 *
 * By default one bit in some, one byte in some, spread evenly from a seeded start. HF_ROUNDS=n: every n-th;
 * HF_ROUNDS=1: each (3 million flips: some minutes). The forgeries are all tried, always. */
#define KIT_PLAIN
#include "tests/support/log_kit.c"
#include "tests/support/simulated_files.c"
#include "wal/atomic.h"
#include "wal/error.h"
#include "wal/segment.h"

enum { SEGMENTS = 3, MOST_BATCHES = 256, LOG_BYTES = SEGMENTS * (int)KIT_SEGMENT };
#if defined(HF_TSAN)
enum { EVERY_BIT = 12007, EVERY_CUT = 4001, RECOVERIES = 40 };
#elif defined(KIT_SLOW)
enum { EVERY_BIT = 1201, EVERY_CUT = 401, RECOVERIES = 40 };
#else
enum { EVERY_BIT = 89, EVERY_CUT = 29, RECOVERIES = 100 };
#endif

static uint64_t seed;
#define MUST(condition, ...)                                                                                           \
    ((condition) ? (void)0                                                                                             \
                 : (fprintf(stderr, "HF_SEED=%llu: %s: ", (unsigned long long)seed, what),                             \
                    kit_fail(__LINE__, #condition, __VA_ARGS__)))
static char what[160]; /* is being tried */

/* ---- the log that is damaged ------------------------------------------------------------------------------------- */

typedef struct place {
    unsigned segment; /* from 0 */
    size_t offset, size;
    size_t content; /* of `size`, up to the last byte that is not zero */
    hf_batch_header header;
} place;

static hf_simulated *disk;
static uint8_t *log_[SEGMENTS]; /* the bytes of the segments on `disk` */
static kit_list written;
static place batches[MOST_BATCHES];
static size_t batch_count;
static size_t last_epoch_batch;  /* the first of the last epoch */
static hf_wal_position vouching; /* a checkpoint that knows the last epoch durable */

/* Who vouches for the last epoch. */
enum voucher { NOBODY, CHECKPOINT, PAGE, VOUCHERS };

static void append(hf_wal *wal, uint64_t epoch, size_t length) {
    written.epochs[written.count] = epoch;
    written.lengths[written.count++] = length;
    MUST(kit_append(wal, epoch, length) == HF_SUCCESS, "%s", hf_error_detail());
}

static size_t content_of(const uint8_t *bytes, size_t size) {
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    return size;
}

static void find_batches(void) {
    for (unsigned s = 0; s < SEGMENTS; s++) {
        size_t at = HF_SEGMENT_PAGE;
        hf_batch_header header;
        while (at < KIT_SEGMENT && hf_batch_decode(log_[s] + at, &header) == NULL) {
            size_t size = (size_t)hf_batch_size(header.payload_length);
            MUST(batch_count < MOST_BATCHES, "too many batches");
            batches[batch_count++] = (place){s, at, size, content_of(log_[s] + at, size), header};
            at += size;
        }
    }
    last_epoch_batch = batch_count - 1;
    while (batches[last_epoch_batch].header.part > 0) {
        last_epoch_batch--;
    }
}

/* Three segments: epochs of many lengths, one in parts over a turn, one that ends a segment early, an empty one. */
static void write_log(void) {
    static const size_t lengths[] = {10,    5000,  0,   3936,  20000, 150000, 1,   9000,
                                     40000, 30000, 100, 12000, 250,   8000,   700, 6000};
    disk = hf_simulated_new();
    hf_wal *wal;
    MUST(kit_open(disk, NULL, &wal, NULL, NULL) == HF_SUCCESS, "%s", hf_error_detail());
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        append(wal, 10 + 3 * i, lengths[i]);
    }
    vouching = (hf_wal_position){.epoch = 1, .generation = 1, .durable = hf_wal_committed(wal)};
    MUST(hf_wal_generation(wal) == SEGMENTS, "%d segments", (int)hf_wal_generation(wal));
    hf_wal_close(wal);
    for (unsigned s = 0; s < SEGMENTS; s++) {
        log_[s] = hf_simulated_bytes(disk, kit_segment(s + 1), NULL);
    }
    find_batches();
    MUST(batches[batch_count - 1].segment == SEGMENTS - 1 && last_epoch_batch == batch_count - 1,
         "where the last one is");
}

/* ---- a damaged log is read --------------------------------------------------------------------------------------- */

enum { REFUSED = -1 };

static struct { uint64_t flips, truncations, cuts, forgeries, segments, refused, torn, whole, recoveries; } counted;

/* The page says what it says only on the disk where it was made; elsewhere it is a copy. */
static int look_at(hf_simulated *on, enum voucher voucher, kit_list *list) {
    return kit_open_read_only(on, voucher == CHECKPOINT ? &vouching : NULL, list, NULL);
}

static void hide_page(hf_simulated *on, bool hidden) {
    uint8_t *page = hf_simulated_bytes(on, KIT_DIRECTORY "/durable", NULL);
    page[0] = hidden ? 'h' : 'H';
}

/* A recovery of a copy finds what `list` has, or refuses as `error` says and changes nothing. */
static void recover_copy(enum voucher voucher, int error, const kit_list *list) {
    static const char *const left_out[] = {"LOCK", "durable", NULL};
    hf_simulated *copy = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    const hf_wal_position *position = voucher == CHECKPOINT ? &vouching : NULL;
    hf_wal *wal;
    hf_wal_found found;
    kit_list recovered;
    counted.recoveries++;
    int result = kit_open(copy, position, &wal, &recovered, &found);
    MUST(result == error, "the recovery: %s, %s", hf_error_name(result), hf_error_detail());
    if (error != HF_SUCCESS) {
        const char *differs = hf_simulated_differ(disk, copy, left_out);
        MUST(differs == NULL, "refused, but it changed %s", differs);
    } else {
        MUST(recovered.count == list->count && kit_is_prefix(&recovered, list), "%zu epochs recovered, %zu seen",
             recovered.count, list->count);
        MUST(kit_append(wal, found.highest_seen + 1, 5000) == HF_SUCCESS, "%s", hf_error_detail());
        hf_wal_close(wal);
        MUST(kit_open(copy, NULL, &wal, &recovered, &found) == HF_SUCCESS && recovered.count == list->count + 1, "%s",
             hf_error_detail());
        MUST(found.cut_bytes == 0, "cut again");
    }
    hf_wal_close(wal);
    hf_simulated_free(copy);
}

static bool forging;

/* The damaged log is refused (`epochs` = REFUSED), or read up to so many epochs. */
static void expect_code(int epochs, int code, enum voucher voucher, unsigned segment) {
    static uint64_t turn;
    kit_list list;
    hide_page(disk, voucher != PAGE);
    int error = look_at(disk, voucher, &list);
    /* A forged header is believed until the next batch denies it; the open is refused then. */
    MUST(kit_is_prefix(&list, &written) || (forging && epochs == REFUSED), "other epochs than were written");
    if (epochs == REFUSED) {
        MUST(error == code, "%s, %zu epochs, %s", hf_error_name(error), list.count, hf_error_detail());
        const char *name = segment < SEGMENTS ? kit_segment(segment + 1) : "/log/segment-";
        MUST(strstr(hf_error_detail(), name) != NULL, "the file is not named: %s", hf_error_detail());
        counted.refused++;
    } else {
        MUST(error == HF_SUCCESS, "%s: %s", hf_error_name(error), hf_error_detail());
        MUST(list.count == (size_t)epochs, "%zu epochs instead of %d", list.count, epochs);
        counted.torn += list.count < written.count;
        counted.whole += list.count == written.count;
    }
    if (turn++ % RECOVERIES == 0) {
        recover_copy(voucher, error, &list);
    }
    hide_page(disk, false);
}

static void expect(int epochs, enum voucher voucher, unsigned segment) {
    expect_code(epochs, HF_ECORRUPT, voucher, segment);
}

/* ---- each bit ---------------------------------------------------------------------------------------------------- */

/* What a changed byte means, by where it is. */
static int due_at(unsigned segment, size_t offset, enum voucher voucher) {
    const place *last = &batches[last_epoch_batch];
    if (segment < last->segment || offset < last->offset) {
        return REFUSED; /* something behind it vouches for it; a header page and a gap between two segments, too */
    }
    if (offset < last->offset + last->size) {
        return voucher == NOBODY ? (int)written.count - 1 : REFUSED;
    }
    return (int)written.count; /* behind the last epoch */
}

static void flip_bit(uint64_t bit, enum voucher voucher) {
    unsigned segment = (unsigned)(bit / 8 / KIT_SEGMENT);
    size_t offset = (size_t)(bit / 8 % KIT_SEGMENT);
    uint8_t mask = (uint8_t)(1 << bit % 8);
    snprintf(what, sizeof what, "segment %u, offset %zu, bit %u flipped, voucher %d", segment + 1, offset,
             (unsigned)(bit % 8), voucher);
    log_[segment][offset] ^= mask;
    expect(due_at(segment, offset, voucher), voucher, segment);
    log_[segment][offset] ^= mask;
    counted.flips++;
}

static void flip_bits(uint64_t every, uint64_t start) {
    uint64_t turn = 0;
    for (uint64_t bit = start % every; bit < (uint64_t)LOG_BYTES * 8; bit += every) {
        flip_bit(bit, NOBODY);
        if (turn++ % 8 == 0) {
            flip_bit(bit, turn / 8 % 2 ? PAGE : CHECKPOINT);
        }
    }
}

/* ---- cut at each byte -------------------------------------------------------------------------------------------- */

/* A file that is shorter than it was made. */
static void truncate_files(uint64_t every, uint64_t start) {
    const hf_files *files = hf_simulated_files(disk);
    for (unsigned s = 0; s < SEGMENTS; s++) {
        static uint8_t whole[KIT_SEGMENT];
        memcpy(whole, log_[s], KIT_SEGMENT);
        int file = files->open(files->context, kit_segment(s + 1), HF_OPEN_WRITE);
        MUST(file >= 0, "open");
        for (uint64_t length = start % every; length < KIT_SEGMENT; length += every) {
            snprintf(what, sizeof what, "segment %u is %d bytes long", s + 1, (int)length);
            MUST(files->truncate(files->context, file, length) == 0, "truncate");
            expect(REFUSED, NOBODY, s);
            MUST(files->truncate(files->context, file, KIT_SEGMENT) == 0, "truncate");
            memcpy(log_[s] + length, whole + length, KIT_SEGMENT - length);
            counted.truncations++;
        }
        files->close(files->context, file);
    }
}

/* How many epochs are whole if all from there on is zeros. */
static size_t whole_before(unsigned segment, size_t offset) {
    size_t epochs = 0;
    for (size_t i = 0; i < batch_count; i++) {
        const place *p = &batches[i];
        if (p->segment > segment || (p->segment == segment && p->offset + p->content > offset)) {
            break;
        }
        epochs += (p->header.flags & HF_BATCH_LAST) != 0;
    }
    return epochs;
}

/* Bytes whose writes never came: zeros from there to the segment's end, and later segments not begun. */
static void cut_log(uint64_t every, uint64_t start) {
    uint64_t turn = 0;
    hf_simulated *whole = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
    for (unsigned s = SEGMENTS; s-- > 0;) {
        for (uint64_t at = KIT_SEGMENT; at-- > HF_SEGMENT_PAGE;) {
            log_[s][at] = 0;
            if ((at + start) % every != 0) {
                continue;
            }
            size_t epochs = whole_before(s, (size_t)at);
            snprintf(what, sizeof what, "zeros from segment %u, offset %d on", s + 1, (int)at);
            expect((int)epochs, NOBODY, SEGMENTS);
            if (turn++ % 8 == 0) {
                expect(epochs < written.count ? REFUSED : (int)epochs, turn / 8 % 2 ? PAGE : CHECKPOINT, SEGMENTS);
            }
            counted.cuts++;
        }
    }
    for (unsigned s = 0; s < SEGMENTS; s++) {
        memcpy(log_[s], hf_simulated_bytes(whole, kit_segment(s + 1), NULL), KIT_SEGMENT);
    }
    /* The same, but later segments are there: they vouch for what is gone. */
    for (unsigned s = SEGMENTS - 1; s-- > 0;) {
        size_t content = content_of(log_[s], KIT_SEGMENT);
        for (uint64_t at = content; at-- > HF_SEGMENT_PAGE;) {
            log_[s][at] = 0;
            if ((at + start) % every != 0 || log_[s][at] == hf_simulated_bytes(whole, kit_segment(s + 1), NULL)[at]) {
                continue;
            }
            snprintf(what, sizeof what, "zeros from segment %u, offset %d to its end", s + 1, (int)at);
            expect(REFUSED, NOBODY, SEGMENTS);
            counted.cuts++;
        }
        memcpy(log_[s], hf_simulated_bytes(whole, kit_segment(s + 1), NULL), KIT_SEGMENT);
    }
    hf_simulated_free(whole);
}

/* ---- forged, with right checksums -------------------------------------------------------------------------------- */

static void seal_batch(uint8_t *bytes) {
    hf_digest digest = hf_digest_of(bytes, 144);
    memcpy(bytes + 144, digest.bytes, 16);
}

enum due { ACCEPTED, TORN, NEVER, OTHER_VERSION }; /* of the last batch; any other is refused */

typedef struct forgery {
    const char *field;
    unsigned at, length;
    uint64_t value;
    bool relative; /* value is added */
    enum due due;
} forgery;

static const forgery forgeries[] = {
    {"magic", 0, 1, 'h', false, TORN},
    {"magic of a segment", 2, 5, 0x544d474553, false, TORN},
    {"version 0", 8, 2, 0, false, OTHER_VERSION},
    {"version 2", 8, 2, 2, false, OTHER_VERSION},
    {"version 65535", 8, 2, 65535, false, OTHER_VERSION},
    {"header size 0", 10, 2, 0, false, TORN},
    {"header size 159", 10, 2, 159, false, TORN},
    {"header size 4096", 10, 2, 4096, false, TORN},
    {"not the last part", 12, 4, 0, false, TORN},
    {"flag 1", 12, 4, 3, false, TORN},
    {"flag 31", 12, 4, 0x80000001, false, TORN},
    {"UUID, first byte", 16, 1, 1, true, NEVER},
    {"UUID, last byte", 31, 1, 1, true, NEVER},
    {"term 0xffff", 32, 8, 0xffff, false, ACCEPTED},
    {"term, the highest", 32, 8, UINT64_MAX, false, ACCEPTED},
    {"generation 0", 40, 8, 0, false, NEVER},
    {"generation before", 40, 8, UINT64_MAX, true, NEVER},
    {"generation after", 40, 8, 1, true, NEVER},
    {"generation, the highest", 40, 8, UINT64_MAX, false, NEVER},
    {"epoch 0", 48, 8, 0, false, TORN},
    {"epoch before", 48, 8, (uint64_t)-3, true, TORN}, /* then it knows itself durable */
    {"epoch above all", 48, 8, HF_BATCH_MAX_NUMBER + 1, false, TORN},
    {"epoch, the highest", 48, 8, UINT64_MAX, false, TORN},
    {"durable is its own epoch", 56, 8, 3, true, TORN},
    {"durable above its epoch", 56, 8, 4, true, TORN},
    {"durable, the highest", 56, 8, UINT64_MAX, false, TORN},
    {"part 1", 64, 4, 1, false, NEVER},
    {"part, the highest", 64, 4, UINT32_MAX, false, NEVER},
    {"reserved behind part", 68, 4, 1, false, TORN},
    {"length 0", 72, 8, 0, false, TORN},
    {"length less by 1", 72, 8, UINT64_MAX, true, TORN},
    {"length more by 1", 72, 8, 1, true, TORN},
    {"length more by a page", 72, 8, 4096, true, TORN},
    {"length of all that is left, and 1", 72, 8, KIT_SEGMENT, false, TORN},
    {"length, the most", 72, 8, HF_BATCH_MAX_PAYLOAD, false, TORN},
    {"length above the most", 72, 8, HF_BATCH_MAX_PAYLOAD + 1, false, TORN},
    {"length 2^32", 72, 8, UINT64_C(1) << 32, false, TORN},
    {"length 2^63", 72, 8, UINT64_C(1) << 63, false, TORN},
    {"length, its size runs over", 72, 8, UINT64_MAX - 160, false, TORN},
    {"length, the highest", 72, 8, UINT64_MAX, false, TORN},
    {"sequence 0", 88, 8, 0, false, TORN},
    {"sequence 1", 88, 8, 1, false, NEVER},
    {"sequence skipped", 88, 8, 1, true, NEVER},
    {"sequence repeated", 88, 8, UINT64_MAX, true, NEVER},
    {"sequence, the most", 88, 8, HF_BATCH_MAX_NUMBER, false, NEVER},
    {"sequence, the highest", 88, 8, UINT64_MAX, false, TORN},
    {"link before, first byte", 96, 1, 1, true, NEVER},
    {"link before, last byte", 111, 1, 1, true, NEVER},
    {"payload's digest", 112, 1, 1, true, TORN},
    {"reserved, first byte", 128, 1, 1, false, TORN},
    {"reserved, last byte", 143, 1, 1, false, TORN},
};
enum { FORGERIES = sizeof forgeries / sizeof forgeries[0] };
_Static_assert(FORGERIES >= 40, "at least forty");

static void forge(uint8_t *bytes, const forgery *f) {
    uint8_t value[8];
    uint64_t before = 0;
    for (unsigned i = f->length; i-- > 0;) {
        before = before << 8 | bytes[f->at + i];
    }
    hf_put64(value, f->relative ? before + f->value : f->value);
    memcpy(bytes + f->at, value, f->length);
}

static void forge_batches(void) {
    for (size_t i = 0; i < FORGERIES; i++) {
        const forgery *f = &forgeries[i];
        for (size_t b = 0; b < batch_count; b++) {
            const place *p = &batches[b];
            uint8_t *bytes = log_[p->segment] + p->offset, kept[HF_BATCH_HEADER];
            bool last = b == batch_count - 1;
            snprintf(what, sizeof what, "forged %s, batch %zu", f->field, b);
            memcpy(kept, bytes, sizeof kept);
            forge(bytes, f);
            if (memcmp(kept, bytes, sizeof kept) == 0) {
                continue; /* it was so before */
            }
            seal_batch(bytes);
            for (int v = 0; v < VOUCHERS; v++) {
                bool refused = !last || f->due == NEVER || (f->due == TORN && v != NOBODY);
                if (f->due == OTHER_VERSION) {
                    expect_code(REFUSED, HF_EVERSION, (enum voucher)v, p->segment);
                } else {
                    expect(refused ? REFUSED : (int)written.count - (f->due == TORN), (enum voucher)v, SEGMENTS);
                }
                counted.forgeries++;
            }
            memcpy(bytes, kept, sizeof kept);
        }
    }
}

static const forgery page_forgeries[] = {
    {"magic", 0, 1, 'h', false, NEVER},
    {"version 2", 8, 2, 2, false, OTHER_VERSION},
    {"reserved behind version", 10, 1, 1, false, NEVER},
    {"reserved, last byte of six", 15, 1, 1, false, NEVER},
    {"UUID", 20, 1, 1, true, NEVER},
    {"generation 0", 32, 8, 0, false, NEVER},
    {"generation after", 32, 8, 1, true, NEVER},
    {"generation, the highest", 32, 8, UINT64_MAX, false, NEVER},
    {"size 0", 40, 8, 0, false, NEVER},
    {"size less by a page", 40, 8, (uint64_t)-4096, true, NEVER},
    {"size more by a page", 40, 8, 4096, true, NEVER},
    {"size not of whole pages", 40, 8, 1, true, NEVER},
    {"size, the most", 40, 8, HF_SEGMENT_MAX, false, NEVER},
    {"size above the most", 40, 8, HF_SEGMENT_MAX + 4096, false, NEVER},
    {"size, the highest", 40, 8, UINT64_MAX, false, NEVER},
    {"reserved behind size", 48, 1, 1, false, NEVER},
    {"reserved before the digest", 4079, 1, 1, false, NEVER},
};

static void forge_pages(void) {
    for (size_t i = 0; i < sizeof page_forgeries / sizeof page_forgeries[0]; i++) {
        const forgery *f = &page_forgeries[i];
        for (unsigned s = 0; s < SEGMENTS; s++) {
            uint8_t kept[HF_SEGMENT_PAGE];
            snprintf(what, sizeof what, "forged page of segment %u: %s", s + 1, f->field);
            memcpy(kept, log_[s], sizeof kept);
            forge(log_[s], f);
            hf_digest digest = hf_digest_of(log_[s], 4080);
            memcpy(log_[s] + 4080, digest.bytes, 16);
            /* The UUID of the first segment is the log's: then the others are another's. */
            bool others = s == 0 && f->at == 20;
            expect_code(REFUSED, f->due == OTHER_VERSION ? HF_EVERSION : HF_ECORRUPT, NOBODY, others ? SEGMENTS : s);
            memcpy(log_[s], kept, sizeof kept);
            counted.forgeries++;
        }
    }
}

/* Whole batches of this log behind its end, where none of them belongs; and one that does. */
static void forge_tails(void) {
    const place *last = &batches[batch_count - 1];
    uint8_t *end = log_[last->segment] + last->offset + last->size;
    for (size_t b = 0; b < batch_count; b++) {
        const place *p = &batches[b];
        if (p->size > KIT_SEGMENT - last->offset - last->size) {
            continue;
        }
        snprintf(what, sizeof what, "batch %zu again behind the end", b);
        memcpy(end, log_[p->segment] + p->offset, p->size);
        expect(REFUSED, NOBODY, last->segment);
        hf_put64(end + 40, last->header.generation); /* ... made a batch of this segment */
        seal_batch(end);
        expect(REFUSED, NOBODY, last->segment);
        memset(end, 0, p->size);
        counted.forgeries += 2;
    }
    snprintf(what, sizeof what, "a batch that continues the log");
    hf_batch_header next = last->header;
    next.epoch++;
    next.time_ms = kit_time(next.epoch);
    next.durable = last->header.epoch;
    next.sequence++;
    next.before = last->header.link;
    next.payload_length = 0;
    next.payload = hf_digest_of("", 0);
    hf_batch_encode(&next, end);
    written.epochs[written.count] = next.epoch;
    written.lengths[written.count++] = 0;
    expect((int)written.count, NOBODY, SEGMENTS);
    written.count--;
    memset(end, 0, HF_BATCH_HEADER);
    counted.forgeries++;
}

/* The durable page speaks only for its own log, on its own disk; and has no checksum: what it claims too much is told.
 */
static void forge_durable_page(void) {
    static const struct {
        const char *field;
        unsigned at, length;
        uint64_t value;
        bool refused;
    } pages[] = {
        {"magic", 0, 1, 'h', false},      {"version", 8, 8, 2, false},
        {"UUID", 20, 1, 0, false},        {"identity", 56, 8, 12345, false},
        {"committed 0", 40, 8, 0, false}, {"durable", 32, 8, 1000, false},
        {"committed", 40, 8, 1000, true}, {"committed", 40, 8, UINT64_MAX, true},
        {"process", 48, 8, 1, false},
    };
    uint8_t *page = hf_simulated_bytes(disk, KIT_DIRECTORY "/durable", NULL), kept[64], value[8];
    memcpy(kept, page, sizeof kept);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        snprintf(what, sizeof what, "the durable page, forged: %s", pages[i].field);
        hf_put64(value, pages[i].value);
        memcpy(page + pages[i].at, value, pages[i].length);
        kit_list list;
        int error = look_at(disk, PAGE, &list);
        MUST(error == (pages[i].refused ? HF_ECORRUPT : HF_SUCCESS), "%s: %s", hf_error_name(error), hf_error_detail());
        MUST(pages[i].refused ? strstr(hf_error_detail(), "durable page") != NULL : list.count == written.count, "%s",
             hf_error_detail());
        memcpy(page, kept, sizeof kept);
        counted.forgeries++;
    }
}

/* ---- whole segments ---------------------------------------------------------------------------------------------- */

static void put_segment(unsigned segment, const uint8_t *bytes) { memcpy(log_[segment], bytes, KIT_SEGMENT); }

static void exchange_segments(void) {
    static uint8_t kept[SEGMENTS][KIT_SEGMENT];
    for (unsigned s = 0; s < SEGMENTS; s++) {
        memcpy(kept[s], log_[s], KIT_SEGMENT);
    }
    for (unsigned a = 0; a < SEGMENTS; a++) {
        for (unsigned b = 0; b < SEGMENTS; b++) {
            if (a == b) {
                continue;
            }
            snprintf(what, sizeof what, "segment %u in the place of %u", a + 1, b + 1);
            put_segment(b, kept[a]); /* repeated */
            expect(REFUSED, NOBODY, SEGMENTS);
            put_segment(a, kept[b]); /* swapped */
            expect(REFUSED, NOBODY, SEGMENTS);
            put_segment(a, kept[a]);
            /* The same with a page that fits the name: the batches do not. */
            memcpy(log_[b], kept[b], HF_SEGMENT_PAGE);
            expect(REFUSED, NOBODY, SEGMENTS);
            put_segment(b, kept[b]);
            counted.segments += 3;
        }
    }
}

static void miss_segments(void) {
    for (unsigned s = 0; s < SEGMENTS; s++) {
        snprintf(what, sizeof what, "segment %u is missing", s + 1);
        for (int v = 0; v < VOUCHERS; v++) {
            hf_simulated *copy = hf_simulated_crash(disk, HF_CRASH_KEEP, 0);
            kit_list list;
            hide_page(copy, v != PAGE);
            hf_simulated_remove(copy, kit_segment(s + 1));
            int error = look_at(copy, (enum voucher)v, &list);
            /* The last one is missed only where somebody vouches for what it had, or its first batch is an epoch's
             * later part. */
            bool known = s < SEGMENTS - 1 || v != NOBODY;
            MUST(known ? error == HF_ECORRUPT : error == HF_SUCCESS, "voucher %d: %s, %s", v, hf_error_name(error),
                 hf_error_detail());
            MUST(!known || strstr(hf_error_detail(), "segment-000000000000000"), "%s", hf_error_detail());
            MUST(kit_is_prefix(&list, &written) && (known || list.count == whole_before(s, 0)), "%zu epochs",
                 list.count);
            hf_simulated_free(copy);
            counted.segments++;
        }
    }
}

/* An older state of a segment: with all later ones it is refused; as the last it is an older log, unless somebody
 * vouches. */
static void stale_segments(void) {
    static uint8_t kept[KIT_SEGMENT];
    for (unsigned s = 0; s < SEGMENTS; s++) {
        memcpy(kept, log_[s], KIT_SEGMENT);
        for (size_t b = 0; b < batch_count; b++) {
            if (batches[b].segment != s) {
                continue;
            }
            snprintf(what, sizeof what, "segment %u as it was before batch %zu", s + 1, b);
            memset(log_[s] + batches[b].offset, 0, KIT_SEGMENT - batches[b].offset);
            bool last = s == SEGMENTS - 1;
            expect(last ? (int)whole_before(s, batches[b].offset) : REFUSED, NOBODY, SEGMENTS);
            expect(REFUSED, PAGE, SEGMENTS);
            expect(REFUSED, CHECKPOINT, SEGMENTS);
            put_segment(s, kept);
            counted.segments += 3;
        }
    }
}

int main(void) {
    seed = kit_seed(1);
    const char *text = getenv("HF_ROUNDS");
    uint64_t every = text != NULL ? strtoull(text, NULL, 0) : 0;
    uint64_t every_bit = every > 0 ? every : EVERY_BIT, every_cut = every > 0 ? every : EVERY_CUT;
    snprintf(what, sizeof what, "the log");
    write_log();
    expect((int)written.count, PAGE, SEGMENTS);
    forging = true;
    forge_batches();
    forge_pages();
    forge_tails();
    forge_durable_page();
    forging = false;
    exchange_segments();
    miss_segments();
    stale_segments();
    flip_bits(every_bit, seed * 7919);
    truncate_files(every_cut, seed * 7919);
    cut_log(every_cut, seed * 7919);
    snprintf(what, sizeof what, "the log, mended");
    expect((int)written.count, PAGE, SEGMENTS);
    hf_simulated_free(disk);
    printf("wal_damage: %llu flips (every %llu-th bit of %d), %llu truncations and %llu cuts (every %llu-th byte), "
           "%llu forgeries "
           "of %d kinds, %llu exchanges of segments; %llu were refused, %llu a torn tail, %llu did not matter; %llu "
           "recovered "
           "(HF_SEED=%llu)\n",
           (unsigned long long)counted.flips, (unsigned long long)every_bit, LOG_BYTES * 8,
           (unsigned long long)counted.truncations, (unsigned long long)counted.cuts, (unsigned long long)every_cut,
           (unsigned long long)counted.forgeries, (int)(FORGERIES + sizeof page_forgeries / sizeof page_forgeries[0]),
           (unsigned long long)counted.segments, (unsigned long long)counted.refused, (unsigned long long)counted.torn,
           (unsigned long long)counted.whole, (unsigned long long)counted.recoveries, (unsigned long long)seed);
    return 0;
}
