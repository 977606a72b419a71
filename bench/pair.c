/* The pair: hf_reserve, then hf_confirm, by one session over SKUs in random order, beside the bare steps it is made of.
 *
 * What it measures
 *   A  bare             four 16-byte compare-and-swap a pair: two on the SKU's line, two on a reservation's line
 *   B  log, log-name    the engine with its log on, SKUs by handle and by name. The time includes hf_wait for the last
 *                       ticket, so every pair counted is durable
 *   C  volatile, ...    the same engine with HF_VOLATILE
 *
 * The three take turns, round by round, so that a machine that slows down slows them all. An engine is opened afresh
 * for each round, so no other one's threads run beside what is measured, and it is warmed up for longer than the
 * retention, so that slots are reused and memory is no longer new. One pair is two operations. Nothing is asserted
 * about time.
 *
 *     round 1: A | open B, warm up, by handle, by name, close | open C, ... | round 2: A | ...
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <holdfast/holdfast.h>

#include "wal/atomic.h"

enum {
    RETENTION_MS = 1000,
    TTL_MS = 15 * 60 * 1000,
    BARE_RESERVATIONS = 1 << 16, /* lines handed out in turn */
    PAIRS_A_LOOK = 256,          /* pairs between looks at the clock */
    MOST_ROUNDS = 1000,
};
#define STOCK (HF_MAX_QUANTITY / 2)
#define TMPFS 0x01021994

enum variant { BARE, LOG, LOG_NAME, MEMORY, MEMORY_NAME, VARIANTS };
static const char *const variant_names[VARIANTS] = {"bare", "log", "log-name", "volatile", "volatile-name"};

typedef struct settings {
    const char *directory; /* where directories for the log are made */
    double seconds, warm_up;
    uint64_t skus, expected;
    unsigned rounds;
    bool with_log, json;
} settings;

typedef struct figures {
    double seconds;
    uint64_t pairs, retries, log_bytes, log_payload, fsyncs;
} figures;

typedef struct results {
    figures of[VARIANTS][MOST_ROUNDS];
} results;

static const char *log_directory; /* of the engine that is open; NULL: none */

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench_pair: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (log_directory)
        fprintf(stderr, "bench_pair: the log is left in %s\n", log_directory);
    exit(1);
}

static void must(int error, const char *what) {
    if (error != HF_SUCCESS)
        die("%s: %s: %s", what, hf_error_name(error), hf_error_detail());
}

static double now_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The order of SKUs, the same for every variant: xorshift64, scaled by multiplication. */
static uint64_t next_sku(uint64_t *state, uint64_t skus) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint64_t)(((hf_uint128)*state * skus) >> 64);
}
#define FIRST_STATE UINT64_C(88172645463325252)

static bool measures(const settings *s, unsigned variant) {
    return s->with_log || (variant != LOG && variant != LOG_NAME);
}

/* ---- the bare loop ----------------------------------------------------------------------------------------------- */

struct bare_line {
    hf_word128 word;
    char pad[HF_CACHE_LINE - sizeof(hf_word128)];
};

static struct bare_line *lines_new(uint64_t count) {
    struct bare_line *lines = aligned_alloc(4096, (count * sizeof *lines + 4095) & ~UINT64_C(4095));
    if (!lines)
        die("no memory for %" PRIu64 " lines", count);
    memset(lines, 0, count * sizeof *lines);
    return lines;
}

/* The line is this thread's alone: the orders in the names are what an engine pays, no edge depends on them here. */
static inline void step(struct bare_line *line, uint64_t lo, uint64_t hi) {
    hf_word128 seen = hf_load128_acquire(&line->word);
    while (!hf_cas128_acq_rel(&line->word, &seen, (hf_word128){seen.lo + lo, seen.hi + hi})) {
    }
}

static figures run_bare(const settings *s) {
    struct bare_line *skus = lines_new(s->skus), *reservations = lines_new(BARE_RESERVATIONS);
    figures f = {0};
    uint64_t state = FIRST_STATE;
    double start = now_seconds();
    do {
        for (unsigned i = 0; i < PAIRS_A_LOOK; i++) {
            struct bare_line *sku = &skus[next_sku(&state, s->skus)];
            struct bare_line *reservation = &reservations[f.pairs++ % BARE_RESERVATIONS];
            step(sku, 1, 1);         /* reserved + 1 */
            step(reservation, 1, 1); /* live */
            step(reservation, 1, 1); /* confirmed */
            step(sku, 0, 1);         /* on_hand - 1, reserved - 1 */
        }
        f.seconds = now_seconds() - start;
    } while (f.seconds < s->seconds);
    free(skus);
    free(reservations);
    return f;
}

/* ---- the engine -------------------------------------------------------------------------------------------------- */

enum { NAME_ROOM = 32 };

struct shop {
    const settings *settings;
    char directory[4096]; /* "" for a volatile one */
    hf_engine *engine;
    hf_session *session;
    hf_sku **handles;
    char (*names)[NAME_ROOM];
    uint64_t next_id;
    uint64_t retries; /* answers "ask again" */
};

/* Its last byte is 0: never taken for a packed text. */
static hf_id id_of(uint64_t number) {
    hf_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static void make_skus(struct shop *shop) {
    uint64_t count = shop->settings->skus;
    shop->handles = calloc(count, sizeof *shop->handles);
    shop->names = calloc(count, sizeof *shop->names);
    if (!shop->handles || !shop->names)
        die("no memory for %" PRIu64 " SKUs", count);
    for (uint64_t i = 0; i < count; i++) {
        snprintf(shop->names[i], NAME_ROOM, "sku-%08" PRIu64, i);
        hf_line line = {.name = shop->names[i], .name_length = strlen(shop->names[i]), .quantity = STOCK};
        hf_reply reply;
        must(hf_receive(shop->session, id_of(shop->next_id++), line, &reply), "hf_receive");
        if (reply.outcome != HF_OUTCOME_OK)
            die("hf_receive answered %s", hf_outcome_text(reply.outcome));
        must(hf_sku_find(shop->session, line.name, line.name_length, &shop->handles[i]), "hf_sku_find");
    }
}

static void shop_open(struct shop *shop, const settings *s, bool with_log) {
    *shop = (struct shop){.settings = s, .next_id = 1};
    hf_options options;
    hf_options_init(&options);
    options.retention_ms = RETENTION_MS;
    options.expected_skus = s->skus;
    options.expected_reservations = s->expected;
    options.checkpoint_bytes = UINT64_MAX; /* the log of a round is kept whole and removed with its directory */
    if (with_log) {
        snprintf(shop->directory, sizeof shop->directory, "%s/bench_pair.XXXXXX", s->directory);
        if (!mkdtemp(shop->directory))
            die("cannot make a directory %s: %s", shop->directory, strerror(errno));
        log_directory = shop->directory;
    } else {
        options.flags |= HF_VOLATILE;
    }
    must(hf_open(with_log ? shop->directory : NULL, &options, &shop->engine), "hf_open");
    must(hf_session_open(shop->engine, NULL, &shop->session), "hf_session_open");
    make_skus(shop);
}

/* The directory is flat and this program made it. */
static void remove_directory(const char *path) {
    DIR *directory = opendir(path);
    if (!directory)
        die("cannot read %s: %s", path, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    if (rmdir(path) != 0)
        die("cannot remove %s: %s", path, strerror(errno));
}

static void shop_close(struct shop *shop) {
    hf_session_close(shop->session);
    must(hf_close(shop->engine), "hf_close");
    if (log_directory)
        remove_directory(log_directory);
    log_directory = NULL;
    free(shop->handles);
    free(shop->names);
}

/* Whether to call again; ends the program on any answer but "ok". */
static bool again(struct shop *shop, int error, const hf_reply *reply, const char *what) {
    bool ask_again = error == HF_EAGAIN || (error == HF_SUCCESS && reply->outcome == HF_OUTCOME_IN_PROGRESS);
    shop->retries += ask_again;
    if (ask_again)
        return true;
    must(error, what);
    if (reply->outcome != HF_OUTCOME_OK)
        die("%s answered %s", what, hf_outcome_text(reply->outcome));
    return false;
}

/* One pair; returns the ticket of the confirm, which is not below that of the reserve. */
static uint64_t pair(struct shop *shop, uint64_t sku, bool by_name) {
    hf_line line = {.quantity = 1};
    if (by_name) {
        line.name = shop->names[sku];
        line.name_length = strlen(shop->names[sku]);
    } else {
        line.sku = shop->handles[sku];
    }
    hf_id id = id_of(shop->next_id++);
    hf_reply reply;
    while (again(shop, hf_reserve(shop->session, id, &line, 1, TTL_MS, 0, &reply), &reply, "hf_reserve")) {
    }
    while (again(shop, hf_confirm(shop->session, id, &reply), &reply, "hf_confirm")) {
    }
    return reply.ticket;
}

static figures run_shop(struct shop *shop, double seconds, bool by_name) {
    hf_stats before, after;
    figures f = {0};
    uint64_t state = FIRST_STATE, ticket = 0, retries = shop->retries;
    hf_stats_read(shop->engine, &before);
    double start = now_seconds();
    do {
        for (unsigned i = 0; i < PAIRS_A_LOOK; i++)
            ticket = pair(shop, next_sku(&state, shop->settings->skus), by_name);
        f.pairs += PAIRS_A_LOOK;
    } while (now_seconds() - start < seconds);
    must(hf_wait(shop->engine, ticket, UINT64_MAX), "hf_wait");
    f.seconds = now_seconds() - start;
    hf_stats_read(shop->engine, &after);
    f.retries = shop->retries - retries;
    f.log_bytes = after.log_bytes - before.log_bytes;
    f.log_payload = after.log_payload - before.log_payload;
    f.fsyncs = after.fsyncs - before.fsyncs;
    return f;
}

/* Fills the figures by handle and by name, which stand side by side. */
static void run_engine(const settings *s, bool with_log, figures *by_handle, figures *by_name) {
    struct shop shop;
    shop_open(&shop, s, with_log);
    if (s->warm_up > 0)
        run_shop(&shop, s->warm_up, false);
    *by_handle = run_shop(&shop, s->seconds, false);
    *by_name = run_shop(&shop, s->seconds, true);
    shop_close(&shop);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static double operations(const figures *f) { return 2 * (double)f->pairs / f->seconds; }

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count) {
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

enum quantity { OPERATIONS, RATIO, BYTES_A_PAIR, PAYLOAD_A_PAIR, FSYNCS_A_SECOND, QUANTITIES };

static double quantity(const results *r, unsigned variant, unsigned round, enum quantity which) {
    const figures *f = &r->of[variant][round];
    switch (which) {
    case OPERATIONS:
        return operations(f);
    case RATIO:
        return operations(f) / operations(&r->of[BARE][round]);
    case BYTES_A_PAIR:
        return (double)f->log_bytes / (double)f->pairs;
    case PAYLOAD_A_PAIR:
        return (double)f->log_payload / (double)f->pairs;
    case FSYNCS_A_SECOND:
        return (double)f->fsyncs / f->seconds;
    default:
        return 0;
    }
}

static double median_of(const settings *s, const results *r, unsigned variant, enum quantity which) {
    double values[MOST_ROUNDS];
    for (unsigned round = 0; round < s->rounds; round++)
        values[round] = quantity(r, variant, round, which);
    return median(values, s->rounds);
}

/* A log in memory is durable against nothing, and its fsyncs cost nothing: say so. */
static const char *medium(const settings *s) {
    struct statfs file_system;
    if (!s->with_log)
        return "none";
    if (statfs(s->directory, &file_system) != 0)
        die("cannot use %s: %s", s->directory, strerror(errno));
    return file_system.f_type == TMPFS ? "tmpfs (fsync costs nothing here)" : "a file system on a device";
}

static void print_heading(const settings *s) {
    printf("hf_reserve + hf_confirm, one session, %" PRIu64 " SKUs, %u rounds of %g s after %g s of warming up\n",
           s->skus, s->rounds, s->seconds, s->warm_up);
    printf("holdfast %s; retention_ms %d (the default is 24 hours), expected_reservations %" PRIu64
           ", all else default, no checkpoints\n",
           hf_version(), RETENTION_MS, s->expected);
    printf("log: %s: %s\n", s->with_log ? s->directory : "off", medium(s));
    printf("%5s  %-13s %14s %9s %14s %14s %9s %9s\n", "round", "variant", "operations/s", "of bare", "log B/pair",
           "records B/pair", "fsyncs/s", "retries");
}

static void print_figures(const results *r, unsigned variant, unsigned round) {
    printf("%5u  %-13s %14.0f %9.3f %14.1f %14.1f %9.0f %9" PRIu64 "\n", round + 1, variant_names[variant],
           quantity(r, variant, round, OPERATIONS), quantity(r, variant, round, RATIO),
           quantity(r, variant, round, BYTES_A_PAIR), quantity(r, variant, round, PAYLOAD_A_PAIR),
           quantity(r, variant, round, FSYNCS_A_SECOND), r->of[variant][round].retries);
}

static void print_round(const settings *s, const results *r, unsigned round) {
    for (unsigned variant = 0; variant < VARIANTS; variant++)
        if (measures(s, variant))
            print_figures(r, variant, round);
    fflush(stdout);
}

static void print_medians(const settings *s, const results *r) {
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        if (!measures(s, variant))
            continue;
        double of[QUANTITIES];
        for (unsigned which = 0; which < QUANTITIES; which++)
            of[which] = median_of(s, r, variant, which);
        printf("%6s %-13s %14.0f %9.3f %14.1f %14.1f %9.0f\n", "median", variant_names[variant], of[OPERATIONS],
               of[RATIO], of[BYTES_A_PAIR], of[PAYLOAD_A_PAIR], of[FSYNCS_A_SECOND]);
    }
}

static void print_json_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_json_variant(const settings *s, const results *r, unsigned variant) {
    static const char *const names[QUANTITIES] = {"operations_per_second", "ratio_to_bare", "log_bytes_per_pair",
                                                  "record_bytes_per_pair", "fsyncs_per_second"};
    printf("{\"variant\": \"%s\", \"median\": {", variant_names[variant]);
    for (unsigned which = 0; which < QUANTITIES; which++)
        printf("%s\"%s\": %.3f", which ? ", " : "", names[which], median_of(s, r, variant, which));
    printf("}, \"rounds\": [");
    for (unsigned round = 0; round < s->rounds; round++) {
        const figures *f = &r->of[variant][round];
        printf("%s{\"pairs\": %" PRIu64 ", \"seconds\": %.6f, \"operations_per_second\": %.0f, \"log_bytes\": %" PRIu64
               ", \"record_bytes\": %" PRIu64 ", \"fsyncs\": %" PRIu64 ", \"retries\": %" PRIu64 "}",
               round ? ", " : "", f->pairs, f->seconds, operations(f), f->log_bytes, f->log_payload, f->fsyncs,
               f->retries);
    }
    printf("]}");
}

static void print_json(const settings *s, const results *r) {
    printf("{\"benchmark\": \"pair\", \"version\": \"%s\", \"skus\": %" PRIu64 ", \"rounds\": %u, \"seconds\": %g, "
           "\"warm_up\": %g, \"retention_ms\": %d, \"expected_reservations\": %" PRIu64 ", \"directory\": ",
           hf_version(), s->skus, s->rounds, s->seconds, s->warm_up, RETENTION_MS, s->expected);
    print_json_string(s->with_log ? s->directory : "");
    printf(", \"medium\": \"%s\", \"variants\": [\n", medium(s));
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        if (!measures(s, variant))
            continue;
        fputs(variant == BARE ? "  " : ",\n  ", stdout);
        print_json_variant(s, r, variant);
    }
    printf("\n]}\n");
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "bench_pair [options]: hf_reserve + hf_confirm beside the bare compare-and-swap steps\n"
    "  --dir D        make the log's directories in D (default: $TMPDIR, else /tmp)\n"
    "  --seconds N    of each measurement (1)\n"
    "  --warm-up N    seconds before an engine is measured; below 1 its memory is still new (2)\n"
    "  --rounds N     (5)\n"
    "  --skus N       (10000)\n"
    "  --expected N   expected_reservations of the engine (4194304)\n"
    "  --volatile     leave out the engine with a log\n"
    "  --json         JSON instead of text\n";

static double positive(const char *text, const char *name, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        die("--%s is \"%s\": expected a number from %g to %g", name, text, least, most);
    return value;
}

static settings read_settings(int count, char **arguments) {
    static const struct option known[] = {
        {"dir", 1, NULL, 'd'},  {"seconds", 1, NULL, 's'},  {"warm-up", 1, NULL, 'w'},  {"rounds", 1, NULL, 'r'},
        {"skus", 1, NULL, 'k'}, {"expected", 1, NULL, 'e'}, {"volatile", 0, NULL, 'v'}, {"json", 0, NULL, 'j'},
        {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *temporary = getenv("TMPDIR");
    settings s = {.directory = temporary ? temporary : "/tmp", .seconds = 1, .warm_up = 2, .skus = 10000};
    s.expected = UINT64_C(1) << 22;
    s.rounds = 5;
    s.with_log = true;
    for (int option, which = 0; (option = getopt_long(count, arguments, "", known, &which)) != -1;) {
        const char *name = known[which].name;
        switch (option) {
        case 'd':
            s.directory = optarg;
            break;
        case 's':
            s.seconds = positive(optarg, name, 0.001, 3600);
            break;
        case 'w':
            s.warm_up = positive(optarg, name, 0, 3600);
            break;
        case 'r':
            s.rounds = (unsigned)positive(optarg, name, 1, MOST_ROUNDS);
            break;
        case 'k':
            s.skus = (uint64_t)positive(optarg, name, 1, 99999999);
            break;
        case 'e':
            s.expected = (uint64_t)positive(optarg, name, 1, 1 << 30);
            break;
        case 'v':
            s.with_log = false;
            break;
        case 'j':
            s.json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < count) {
        fprintf(stderr, "bench_pair: unexpected \"%s\"\n%s", arguments[optind], usage);
        exit(2);
    }
    return s;
}

int main(int count, char **arguments) {
    static results r;
    settings s = read_settings(count, arguments);
    if (!hf_cpu_check())
        die("this processor lacks 16-byte atomic loads or compare-and-swap");
    if (!s.json)
        print_heading(&s);
    for (unsigned round = 0; round < s.rounds; round++) {
        r.of[BARE][round] = run_bare(&s);
        if (s.with_log)
            run_engine(&s, true, &r.of[LOG][round], &r.of[LOG_NAME][round]);
        run_engine(&s, false, &r.of[MEMORY][round], &r.of[MEMORY_NAME][round]);
        if (!s.json)
            print_round(&s, &r, round);
    }
    if (s.json)
        print_json(&s, &r);
    else
        print_medians(&s, &r);
    return 0;
}
