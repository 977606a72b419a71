/* LMDB: synced commits, `batch` pairs a transaction, integer keys.
 *     dir=D       the environment is made there and removed
 *     writemap=1  MDB_WRITEMAP
 */
#include "peer.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sku {
    int64_t on_hand, reserved;
};
struct reservation {
    uint64_t sku;
    int64_t quantity, state, deadline;
};

static MDB_env *environment;
static MDB_dbi skus_table, reservations_table;
static char directory[4000];

static void must(int result, const char *what) {
    if (result != 0) {
        die("%s: %s", what, mdb_strerror(result));
    }
}

static void begin(uint64_t skus) {
    snprintf(directory, sizeof directory, "%s/peer.lmdb.XXXXXX", setting_text("dir", "/tmp"));
    if (!mkdtemp(directory)) {
        die("cannot make %s", directory);
    }
    must(mdb_env_create(&environment), "mdb_env_create");
    must(mdb_env_set_mapsize(environment, (size_t)16 << 30), "mdb_env_set_mapsize");
    must(mdb_env_set_maxdbs(environment, 2), "mdb_env_set_maxdbs");
    must(mdb_env_open(environment, directory, setting_count("writemap", 0) ? MDB_WRITEMAP : 0, 0600), "mdb_env_open");
    MDB_txn *transaction;
    must(mdb_txn_begin(environment, NULL, 0, &transaction), "mdb_txn_begin");
    must(mdb_dbi_open(transaction, "sku", MDB_CREATE | MDB_INTEGERKEY, &skus_table), "mdb_dbi_open");
    must(mdb_dbi_open(transaction, "reservation", MDB_CREATE | MDB_INTEGERKEY, &reservations_table), "mdb_dbi_open");
    for (uint64_t i = 0; i < skus; i++) {
        struct sku stock = {PEER_STOCK, 0};
        must(mdb_put(transaction, skus_table, &(MDB_val){sizeof i, &i}, &(MDB_val){sizeof stock, &stock}, 0),
             "mdb_put");
    }
    must(mdb_txn_commit(transaction), "mdb_txn_commit");
}

/* One row, found once: what it holds is copied out, changed by the caller, and put back where the cursor stands. */
static void find(MDB_cursor *cursor, uint64_t key, void *row, size_t size) {
    MDB_val name = {sizeof key, &key}, data;
    must(mdb_cursor_get(cursor, &name, &data, MDB_SET_KEY), "mdb_cursor_get");
    __builtin_memcpy(row, data.mv_data, size);
}
static void put_back(MDB_cursor *cursor, uint64_t key, void *row, size_t size) {
    must(mdb_cursor_put(cursor, &(MDB_val){sizeof key, &key}, &(MDB_val){size, row}, MDB_CURRENT), "mdb_cursor_put");
}

static void confirm(MDB_cursor *skus, MDB_cursor *reservations, uint64_t number) {
    struct reservation r;
    struct sku s;
    find(reservations, number, &r, sizeof r);
    if (r.state != 0) {
        die("reservation %llu is not live", (unsigned long long)number);
    }
    r.state = 1;
    put_back(reservations, number, &r, sizeof r);
    find(skus, r.sku, &s, sizeof s);
    s.on_hand -= r.quantity;
    s.reserved -= r.quantity;
    put_back(skus, r.sku, &s, sizeof s);
}

static void reserve(MDB_cursor *skus, MDB_cursor *reservations, uint64_t number, uint64_t sku) {
    struct sku s;
    find(skus, sku, &s, sizeof s);
    if (s.on_hand - s.reserved < 1) {
        die("SKU %llu is out of stock", (unsigned long long)sku);
    }
    s.reserved++;
    put_back(skus, sku, &s, sizeof s);
    struct reservation r = {.sku = sku, .quantity = 1, .deadline = INT64_C(1900000000000)};
    must(mdb_cursor_put(reservations, &(MDB_val){sizeof number, &number}, &(MDB_val){sizeof r, &r}, MDB_NOOVERWRITE),
         "insert");
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    (void)connection;
    MDB_txn *transaction;
    MDB_cursor *skus, *reservations;
    must(mdb_txn_begin(environment, NULL, 0, &transaction), "mdb_txn_begin");
    must(mdb_cursor_open(transaction, skus_table, &skus), "mdb_cursor_open");
    must(mdb_cursor_open(transaction, reservations_table, &reservations), "mdb_cursor_open");
    for (unsigned i = 0; i < count; i++) {
        if (all[i].old != PEER_NONE) {
            confirm(skus, reservations, all[i].old);
        }
        reserve(skus, reservations, all[i].number, all[i].sku);
    }
    mdb_cursor_close(skus);
    mdb_cursor_close(reservations);
    must(mdb_txn_commit(transaction), "mdb_txn_commit");
}

static peer_totals totals(void) {
    peer_totals found = {0, 0};
    MDB_txn *transaction;
    MDB_cursor *cursor;
    MDB_val key, data;
    must(mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction), "mdb_txn_begin");
    must(mdb_cursor_open(transaction, skus_table, &cursor), "mdb_cursor_open");
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        struct sku s;
        __builtin_memcpy(&s, data.mv_data, sizeof s);
        found.on_hand += s.on_hand;
        found.reserved += s.reserved;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(transaction);
    return found;
}

/* Writers take turns in LMDB, so one thread with large transactions is its best. */
static void *connect_one(unsigned thread) {
    if (thread > 0) {
        die("one writer at a time: expected threads=1");
    }
    return NULL;
}
static void disconnect(void *connection) { (void)connection; }

static void end(void) {
    char file[4096];
    mdb_env_close(environment);
    snprintf(file, sizeof file, "%s/data.mdb", directory);
    unlink(file);
    snprintf(file, sizeof file, "%s/lock.mdb", directory);
    unlink(file);
    rmdir(directory);
}

int main(int count, char **arguments) {
    return peer_main(&(peer){MDB_VERSION_STRING, begin, end, connect_one, disconnect, pairs, totals}, count, arguments);
}
