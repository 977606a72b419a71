#include "shop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOCK (HF_MAX_QUANTITY / 2)
enum { ID_OF_RECEIVE = 0xffff, AT_ONCE = 64 };

void must(int error, const char *what) {
    if (error != HF_SUCCESS) {
        die("%s: %s: %s", what, hf_error_name(error), hf_error_detail());
    }
}

bool must_ok(int error, const hf_reply *reply, const char *what) {
    if (error == HF_EAGAIN || (error == HF_SUCCESS && reply->outcome == HF_OUTCOME_IN_PROGRESS)) {
        return true;
    }
    must(error, what);
    if (reply->outcome != HF_OUTCOME_OK) {
        die("%s answered %s", what, hf_outcome_text(reply->outcome));
    }
    return false;
}

hf_id id_of(uint64_t number, uint32_t kind) {
    hf_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    memcpy(id.bytes + 8, &kind, sizeof kind);
    return id;
}

void sku_name(uint64_t number, char name[SHOP_NAME]) {
    memcpy(name, "sku-", 4);
    for (int i = SHOP_NAME - 1; i >= 4; i--) {
        name[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void each_file(const char *path, void (*visit)(int directory, const char *name, void *context), void *context) {
    DIR *directory = opendir(path);
    if (!directory) {
        die("cannot read %s: %s", path, strerror(errno));
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            visit(dirfd(directory), entry->d_name, context);
        }
    }
    closedir(directory);
}

static void remove_file(int directory, const char *name, void *context) {
    (void)context;
    unlinkat(directory, name, 0);
}

void remove_directory(const char *path) {
    each_file(path, remove_file, NULL);
    if (rmdir(path) != 0) {
        die("cannot remove %s: %s", path, strerror(errno));
    }
}

static void drop_file(int directory, const char *name, void *context) {
    (void)context;
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        fsync(file); /* what is dirty stays cached */
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
}

void drop_cached_files(const char *path) { each_file(path, drop_file, NULL); }

struct count {
    const char *prefix;
    char newest[256];
    uint64_t bytes;
};

static void count_file(int directory, const char *name, void *context) {
    struct count *count = context;
    struct stat status;
    size_t length = strlen(count->prefix);
    if (strncmp(name, count->prefix, length) == 0 && fstatat(directory, name, &status, 0) == 0) {
        count->bytes += (uint64_t)status.st_size;
        if (strcmp(name, count->newest) > 0) {
            snprintf(count->newest, sizeof count->newest, "%s", name);
        }
    }
}

uint64_t bytes_of_files(const char *path, const char *prefix, char newest[4096]) {
    struct count count = {.prefix = prefix};
    each_file(path, count_file, &count);
    if (newest) {
        snprintf(newest, 4096, "%s/%s", path, count.newest);
    }
    return count.bytes;
}

/* ---- the engine -------------------------------------------------------------------------------------------------- */

void shop_settings(hf_options *options, uint64_t live) {
    hf_options_init(options);
    options->expected_skus = setting_count("skus", 10000);
    options->expected_reservations = setting_count("expected", live < 65536 ? 65536 : live);
    options->retention_ms = setting_count("retention", 1);
    options->checkpoint_bytes = setting_count("checkpoint_bytes", 0);
    options->shards = (uint32_t)setting_count("shards", 0);
    options->ring_bytes = (uint32_t)setting_count("ring", 0);
    options->batch_delay_us = (uint32_t)setting_count("delay_us", 0);
    const char *log = setting_text("log", "off");
    if (strcmp(log, "off") == 0) {
        options->flags |= HF_VOLATILE;
    } else if (strcmp(log, "on") != 0) {
        die("log=%s: expected on or off", log);
    }
}

void shop_make_skus(shop *s, uint64_t count) {
    hf_session *session;
    must(hf_session_open(s->engine, NULL, &session), "hf_session_open");
    for (uint64_t next = 0; next < count;) {
        char names[AT_ONCE][SHOP_NAME];
        hf_line lines[AT_ONCE];
        hf_op operations[AT_ONCE];
        hf_reply replies[AT_ONCE];
        size_t wanted = count - next < AT_ONCE ? (size_t)(count - next) : AT_ONCE, done = 0;
        for (size_t i = 0; i < wanted; i++) {
            sku_name(next + i, names[i]);
            lines[i] = (hf_line){.name = names[i], .name_length = SHOP_NAME, .quantity = STOCK};
            operations[i] = (hf_op){.type = HF_OP_RECEIVE, .id = id_of(next + i, ID_OF_RECEIVE), .lines = &lines[i]};
            operations[i].line_count = 1;
        }
        int error = hf_submit(session, operations, wanted, replies, &done);
        if (error != HF_EAGAIN) {
            must(error, "hf_submit");
        }
        for (size_t i = 0; i < done; i++) {
            if (must_ok(replies[i].error, &replies[i], "hf_submit of a receive")) {
                die("a receive answered \"ask again\"");
            }
        }
        next += done;
    }
    hf_session_close(session);
}

void shop_find_handles(shop *s) {
    hf_session *session;
    must(hf_session_open(s->engine, NULL, &session), "hf_session_open");
    s->handles = bench_memory(s->skus * sizeof *s->handles);
    for (uint64_t i = 0; i < s->skus; i++) {
        char name[SHOP_NAME];
        sku_name(i, name);
        must(hf_sku_find(session, name, sizeof name, &s->handles[i]), "hf_sku_find");
    }
    hf_session_close(session);
}

void shop_open(shop *s, const hf_options *options, const char *keep) {
    *s = (shop){.skus = options->expected_skus, .log = !(options->flags & HF_VOLATILE)};
    const char *parent = setting_text("dir", "/tmp");
    if (keep) {
        snprintf(s->directory, sizeof s->directory, "%s", keep);
    } else if (s->log) {
        snprintf(s->directory, sizeof s->directory, "%s/shop.XXXXXX", parent);
        if (!mkdtemp(s->directory)) {
            die("cannot make a directory %s: %s", s->directory, strerror(errno));
        }
    }
    must(hf_open(s->log ? s->directory : NULL, options, &s->engine), "hf_open");
    shop_make_skus(s, s->skus);
    shop_find_handles(s);
}

void shop_close(shop *s, bool remove) {
    must(hf_close(s->engine), "hf_close");
    bench_memory_free(s->handles, s->skus * sizeof *s->handles);
    if (s->directory[0] && remove) {
        remove_directory(s->directory);
    }
}
