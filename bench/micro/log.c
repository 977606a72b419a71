/* The log without an engine: sealing a batch, writing an epoch durably, reading epochs back.
 *     payload=N              bytes of records in an epoch
 *     dir=D
 *     what=seal              header, digests and staging in memory: what a batch costs before it is written
 *         =bare_seal         the payload copied and hashed once
 *         =write             hf_wal_begin, hf_wal_put, hf_wal_commit  (its limit is bench_limit_write of the same size)
 *         =replay            hf_wal_open of `epochs` epochs, not in the page cache
 *         =bare_replay       the same files read from the disk in pieces of 1 MiB, and hashed once
 */
#include "../support/bench.h"
#include "../support/histogram.h"
#include "../support/turns.h"

#include "wal/batch.h"
#include "wal/error.h"
#include "wal/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <holdfast/holdfast.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static struct bench {
    char directory[3000];
    uint8_t *payload, *staging;
    size_t bytes;
    uint64_t epochs, seen;
    hf_batch_header header;
    hf_wal_options options;
    hf_wal *wal;
    uint64_t epoch;
} b;

static void must(int error) {
    if (error != HF_SUCCESS) {
        die("%s", hf_error_detail());
    }
}

/* ---- sealing ----------------------------------------------------------------------------------------------------- */

static void seal(void) {
    memcpy(b.staging + HF_BATCH_HEADER, b.payload, b.bytes);
    b.header.epoch++;
    b.header.sequence++;
    b.header.payload_length = b.bytes;
    b.header.payload = hf_digest_of(b.staging + HF_BATCH_HEADER, b.bytes);
    b.header.before = b.header.link;
    hf_batch_encode(&b.header, b.staging);
    memset(b.staging + HF_BATCH_HEADER + b.bytes, 0, (size_t)hf_batch_size(b.bytes) - HF_BATCH_HEADER - b.bytes);
}

static void bare_seal(void) {
    memcpy(b.staging, b.payload, b.bytes);
    b.seen += XXH3_128bits(b.staging, b.bytes).low64;
}

static void seal_turn(void (*what)(void), double wanted) {
    uint64_t start = now_ns(), done = 0;
    double seconds;
    do {
        for (unsigned i = 0; i < 16; i++) {
            what();
        }
        done += 16;
        seconds = seconds_since(start);
    } while (seconds < wanted);
    report_begin();
    report_number("ns", seconds * 1e9 / (double)done);
    report_number("bytes_per_second", (double)(done * b.bytes) / seconds);
    report_count("seen", b.seen & 1);
    report_end();
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int count_epoch(void *context, const hf_wal_epoch *epoch) {
    (void)context;
    b.seen += epoch->payload[0];
    return HF_SUCCESS;
}

static void open_log(hf_wal_found *found) {
    hf_wal_position position = {0};
    must(hf_wal_lock(b.directory, &b.options, false, &b.wal));
    must(hf_wal_open(b.wal, &position, count_epoch, NULL, found));
    b.epoch = found->highest_seen;
}

static void write_epoch(void) {
    must(hf_wal_begin(b.wal, ++b.epoch, 1750000000000, 1));
    must(hf_wal_put(b.wal, b.payload, b.bytes));
    must(hf_wal_commit(b.wal));
}

static void write_turn(double wanted) {
    static histogram times;
    histogram_clear(&times);
    must(hf_wal_prepare(b.wal, 4) < 0 ? HF_EIO : HF_SUCCESS);
    uint64_t start = now_ns(), before = start, now = start;
    do {
        write_epoch();
        now = now_ns();
        histogram_add(&times, now - before);
        before = now;
        if (hf_wal_spares(b.wal) == 0) {
            must(hf_wal_prepare(b.wal, 4) < 0 ? HF_EIO : HF_SUCCESS); /* as a thread of the engine does; not counted */
            must(hf_wal_release(b.wal, hf_wal_generation(b.wal)));
            before = now_ns();
            start += before - now;
            now = before;
        }
    } while ((double)(now - start) * 1e-9 < wanted);
    report_begin();
    report_number("writes_per_second", (double)times.count / ((double)(now - start) * 1e-9));
    report_histogram(&times);
    report_end();
}

/* ---- reading back ------------------------------------------------------------------------------------------------ */

static uint64_t each_segment(uint64_t (*visit)(int file)) {
    char pattern[4096];
    glob_t found;
    uint64_t sum = 0;
    snprintf(pattern, sizeof pattern, "%s/segment-*", b.directory);
    if (glob(pattern, 0, NULL, &found) != 0) {
        die("no segments in %s", b.directory);
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int file = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
        if (file < 0) {
            die("cannot open %s: %s", found.gl_pathv[i], strerror(errno));
        }
        sum += visit(file);
        close(file);
    }
    globfree(&found);
    return sum;
}

static uint64_t drop(int file) {
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static uint64_t read_and_hash(int file) {
    uint64_t bytes = 0;
    for (ssize_t n; (n = read(file, b.staging, 1 << 20)) > 0; bytes += (uint64_t)n) {
        b.seen += XXH3_128bits(b.staging, (size_t)n).low64;
    }
    return bytes;
}

static void replay_turn(bool bare) {
    each_segment(drop);
    uint64_t start = now_ns(), bytes = b.epochs * b.bytes;
    if (bare) {
        bytes = each_segment(read_and_hash);
    } else {
        hf_wal_found found;
        open_log(&found);
        if (found.epochs < b.epochs) {
            die("%llu epochs were read back", (unsigned long long)found.epochs);
        }
    }
    double seconds = seconds_since(start);
    hf_wal_close(b.wal);
    b.wal = NULL;
    report_begin();
    report_number("seconds", seconds);
    report_number("bytes_per_second", (double)bytes / seconds);
    report_end();
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static void make_log(void) {
    hf_wal_found found;
    open_log(&found);
    for (uint64_t i = 0; i < b.epochs; i++) {
        write_epoch();
    }
}

static void clean_up(void) {
    char command[4096];
    hf_wal_close(b.wal);
    snprintf(command, sizeof command, "rm -r '%s'", b.directory);
    if (system(command) != 0) {
        die("cannot remove %s", b.directory);
    }
}

int main(int count, char **arguments) {
    settings_read(count, arguments);
    const char *what = setting_text("what", "seal");
    b.bytes = setting_count("payload", 65536);
    b.epochs = setting_count("epochs", 1000);
    snprintf(b.directory, sizeof b.directory, "%s/micro_log.XXXXXX", setting_text("dir", "/tmp"));
    settings_done();
    if (b.bytes == 0 || b.bytes > 3 << 20) {
        die("expected payload 1..%d", 3 << 20);
    }
    b.payload = bench_memory(b.bytes);
    b.staging = bench_memory(4 << 20);
    memset(b.payload, 0x5a, b.bytes);
    b.options = (hf_wal_options){.files = hf_files_system(), .segment_bytes = 64 << 20};
    bool writes = strcmp(what, "write") == 0, replays = strcmp(what, "replay") == 0,
         bare = strcmp(what, "bare_replay") == 0;
    if ((writes || replays || bare) && !mkdtemp(b.directory)) {
        die("cannot make %s", b.directory);
    }
    if (replays || bare) {
        make_log();
        hf_wal_close(b.wal);
        b.wal = NULL;
    } else if (writes) {
        hf_wal_found found;
        open_log(&found);
    }
    report_begin();
    report_text("what", what);
    report_count("bytes_on_disk", hf_batch_size(b.bytes));
    report_end();
    for (turn t; turn_next(&t);) {
        if (writes) {
            write_turn(t.seconds);
        } else if (replays || bare) {
            replay_turn(bare);
        } else {
            seal_turn(strcmp(what, "seal") == 0 ? seal : bare_seal, t.seconds);
        }
    }
    if (writes || replays || bare) {
        clean_up();
    }
    return 0;
}
