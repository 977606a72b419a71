/* RocksDB's TransactionDB: pessimistic transactions with synced writes; many threads share each sync by group commit.
 *     dir=D      the database is made there and destroyed
 *     batch=1    reserve and confirm are a transaction each; above, `batch` pairs are one
 */
#include "peer.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sku {
    int64_t on_hand, reserved;
};
struct reservation {
    uint64_t sku;
    int64_t quantity, state, deadline;
};

static rocksdb_transactiondb_t *database;
static rocksdb_options_t *options;
static rocksdb_writeoptions_t *synced, *lazy;
static rocksdb_readoptions_t *reading;
static rocksdb_transaction_options_t *transaction_options;
static uint64_t sku_count;
static char directory[4000];

static void must(char *error, const char *what) {
    if (error) {
        die("%s: %s", what, error);
    }
}

/* Another transaction has the row, or may have: it is rolled back and tried again. */
static bool is_conflict(char *error) {
    if (error && (strstr(error, "timed out") || strstr(error, "busy") || strstr(error, "Try again"))) {
        free(error);
        return true;
    }
    must(error, "transaction");
    return false;
}

/* Big-endian behind a letter, so that keys sort as numbers do. */
static void make_key(char key[9], char table, uint64_t number) {
    key[0] = table;
    number = __builtin_bswap64(number);
    memcpy(key + 1, &number, 8);
}

static void begin(uint64_t skus) {
    char *error = NULL;
    snprintf(directory, sizeof directory, "%s/peer.rocksdb.XXXXXX", setting_text("dir", "/tmp"));
    if (!mkdtemp(directory)) {
        die("cannot make %s", directory);
    }
    options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, (size_t)256 << 20);
    rocksdb_options_set_recycle_log_file_num(options, 4); /* written over, a log syncs faster than one that grows */
    rocksdb_options_set_enable_pipelined_write(options, (unsigned char)setting_count("pipelined", 0));
    synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(synced, 1);
    lazy = rocksdb_writeoptions_create();
    reading = rocksdb_readoptions_create();
    transaction_options = rocksdb_transaction_options_create();
    rocksdb_transactiondb_options_t *kind = rocksdb_transactiondb_options_create();
    database = rocksdb_transactiondb_open(options, kind, directory, &error);
    must(error, "rocksdb_transactiondb_open");
    rocksdb_transactiondb_options_destroy(kind);
    sku_count = skus;
    for (uint64_t i = 0; i < skus; i++) {
        char key[9];
        struct sku stock = {PEER_STOCK, 0};
        make_key(key, 's', i);
        rocksdb_transactiondb_put(database, lazy, key, sizeof key, (const char *)&stock, sizeof stock, &error);
        must(error, "rocksdb_transactiondb_put");
    }
}

/* Reads a row for an update; size 0: there must be none yet. false: a conflict. */
static bool find(rocksdb_transaction_t *t, const char key[9], void *row, size_t size) {
    char *error = NULL;
    size_t length = 0;
    char *data = rocksdb_transaction_get_for_update(t, reading, key, 9, &length, 1, &error);
    if (is_conflict(error)) {
        return false;
    }
    if ((data != NULL) != (size > 0) || length != size) {
        die("expected a row of %zu bytes, found %zu", size, length);
    }
    if (!data) {
        return true;
    }
    memcpy(row, data, size);
    rocksdb_free(data);
    return true;
}

static bool put(rocksdb_transaction_t *t, const char key[9], const void *row, size_t size) {
    char *error = NULL;
    rocksdb_transaction_put(t, key, 9, row, size, &error);
    return !is_conflict(error);
}

static bool confirm(rocksdb_transaction_t *t, uint64_t number) {
    char key[9], sku_key[9];
    struct reservation r;
    struct sku s;
    make_key(key, 'r', number);
    if (!find(t, key, &r, sizeof r)) {
        return false;
    }
    if (r.state != 0) {
        die("reservation %llu is not live", (unsigned long long)number);
    }
    make_key(sku_key, 's', r.sku);
    if (!find(t, sku_key, &s, sizeof s)) {
        return false;
    }
    r.state = 1;
    s.on_hand -= r.quantity;
    s.reserved -= r.quantity;
    return put(t, key, &r, sizeof r) && put(t, sku_key, &s, sizeof s);
}

static bool reserve(rocksdb_transaction_t *t, uint64_t number, uint64_t sku) {
    char key[9], sku_key[9];
    struct sku s;
    make_key(sku_key, 's', sku);
    if (!find(t, sku_key, &s, sizeof s)) {
        return false;
    }
    if (s.on_hand - s.reserved < 1) {
        die("SKU %llu is out of stock", (unsigned long long)sku);
    }
    s.reserved++;
    struct reservation r = {.sku = sku, .quantity = 1, .deadline = INT64_C(1900000000000)};
    make_key(key, 'r', number);
    return find(t, key, NULL, 0) && put(t, sku_key, &s, sizeof s) && put(t, key, &r, sizeof r);
}

/* Does `all` in one transaction: confirms, reserves, or both. */
static void transact(rocksdb_transaction_t **t, const peer_pair *all, unsigned count, bool confirms, bool reserves) {
    for (bool done = false; !done;) {
        *t = rocksdb_transaction_begin(database, synced, transaction_options, *t);
        done = true;
        for (unsigned i = 0; done && i < count; i++) {
            done = (!confirms || all[i].old == PEER_NONE || confirm(*t, all[i].old)) &&
                   (!reserves || reserve(*t, all[i].number, all[i].sku));
        }
        char *error = NULL;
        if (done) {
            rocksdb_transaction_commit(*t, &error);
            done = !is_conflict(error);
        }
        if (!done) {
            error = NULL;
            rocksdb_transaction_rollback(*t, &error);
            must(error, "rocksdb_transaction_rollback");
        }
    }
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    if (count > 1) {
        transact(connection, all, count, true, true);
        return;
    }
    transact(connection, all, 1, true, false);
    transact(connection, all, 1, false, true);
}

static peer_totals totals(void) {
    peer_totals found = {0, 0};
    for (uint64_t i = 0; i < sku_count; i++) {
        char key[9], *error = NULL;
        size_t length;
        struct sku s;
        make_key(key, 's', i);
        char *data = rocksdb_transactiondb_get(database, reading, key, sizeof key, &length, &error);
        must(error, "rocksdb_transactiondb_get");
        memcpy(&s, need(data), sizeof s);
        rocksdb_free(data);
        found.on_hand += s.on_hand;
        found.reserved += s.reserved;
    }
    return found;
}

static void *connect_one(unsigned thread) {
    (void)thread;
    return need(calloc(1, sizeof(rocksdb_transaction_t *)));
}

static void disconnect(void *connection) {
    rocksdb_transaction_t **t = connection;
    if (*t) {
        rocksdb_transaction_destroy(*t);
    }
    free(t);
}

static void end(void) {
    char *error = NULL;
    rocksdb_transactiondb_close(database);
    rocksdb_destroy_db(options, directory, &error);
    must(error, "rocksdb_destroy_db");
    rmdir(directory);
}

int main(int count, char **arguments) {
    return peer_main(&(peer){"RocksDB TransactionDB", begin, end, connect_one, disconnect, pairs, totals}, count,
                     arguments);
}
