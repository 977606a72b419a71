/* SQLite: write-ahead log, synchronous=FULL (each commit synced), one connection that owns the file, `batch` pairs a
 * transaction.
 *     dir=D     the database is made there and removed
 *     pages=N   wal_autocheckpoint
 */
#include "peer.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum statement { BEGIN, COMMIT, MARK, LEAVE, TAKE, INSERT, STATEMENTS };
static const char *const texts[STATEMENTS] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "UPDATE reservation SET state = 1 WHERE id = ?1 AND state = 0 RETURNING sku, quantity",
    "UPDATE sku SET on_hand = on_hand - ?2, reserved = reserved - ?2 WHERE id = ?1",
    "UPDATE sku SET reserved = reserved + ?2 WHERE id = ?1 AND on_hand - reserved >= ?2",
    "INSERT INTO reservation (id, sku, quantity, state, deadline) VALUES (?1, ?2, ?3, 0, ?4)",
};

static sqlite3 *database;
static sqlite3_stmt *statements[STATEMENTS];
static char path[4096];

static void must(int result, const char *what) {
    if (result != SQLITE_OK && result != SQLITE_DONE && result != SQLITE_ROW) {
        die("%s: %s", what, sqlite3_errmsg(database));
    }
}

static void run(const char *text) { must(sqlite3_exec(database, text, NULL, NULL, NULL), text); }

static void begin(uint64_t skus) {
    char text[200];
    snprintf(path, sizeof path - 10, "%s/peer.sqlite.XXXXXX", setting_text("dir", "/tmp"));
    int file = mkstemp(path);
    if (file < 0 || close(file) != 0) {
        die("cannot make %s", path);
    }
    must(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL), "open");
    run("PRAGMA locking_mode = EXCLUSIVE");
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = FULL");
    run("PRAGMA cache_size = -262144");
    snprintf(text, sizeof text, "PRAGMA wal_autocheckpoint = %d", (int)setting_count("pages", 1000));
    run(text);
    run("CREATE TABLE sku (id INTEGER PRIMARY KEY, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL)");
    run("CREATE TABLE reservation (id INTEGER PRIMARY KEY, sku INTEGER NOT NULL, quantity INTEGER NOT NULL,"
        " state INTEGER NOT NULL, deadline INTEGER NOT NULL)");
    snprintf(text, sizeof text,
             "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %llu)"
             " INSERT INTO sku SELECT i, %lld, 0 FROM n",
             (unsigned long long)skus, (long long)PEER_STOCK);
    run(text);
    for (enum statement s = 0; s < STATEMENTS; s++) {
        must(sqlite3_prepare_v3(database, texts[s], -1, SQLITE_PREPARE_PERSISTENT, &statements[s], NULL), texts[s]);
    }
}

/* Runs a statement to its end; `wanted` rows changed. */
static void step(enum statement s, int wanted) {
    must(sqlite3_step(statements[s]), texts[s]);
    if (wanted && sqlite3_changes(database) != wanted) {
        die("%s: no row", texts[s]);
    }
    must(sqlite3_reset(statements[s]), texts[s]);
}

static void confirm(uint64_t number) {
    sqlite3_bind_int64(statements[MARK], 1, (sqlite3_int64)number);
    if (sqlite3_step(statements[MARK]) != SQLITE_ROW) {
        die("%s: no row", texts[MARK]);
    }
    sqlite3_bind_int64(statements[LEAVE], 1, sqlite3_column_int64(statements[MARK], 0));
    sqlite3_bind_int64(statements[LEAVE], 2, sqlite3_column_int64(statements[MARK], 1));
    must(sqlite3_reset(statements[MARK]), texts[MARK]);
    step(LEAVE, 1);
}

static void reserve(uint64_t number, uint32_t sku) {
    sqlite3_bind_int64(statements[TAKE], 1, sku);
    sqlite3_bind_int64(statements[TAKE], 2, 1);
    step(TAKE, 1);
    sqlite3_bind_int64(statements[INSERT], 1, (sqlite3_int64)number);
    sqlite3_bind_int64(statements[INSERT], 2, sku);
    sqlite3_bind_int64(statements[INSERT], 3, 1);
    sqlite3_bind_int64(statements[INSERT], 4, INT64_C(1900000000000));
    step(INSERT, 1);
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    (void)connection;
    step(BEGIN, 0);
    for (unsigned i = 0; i < count; i++) {
        if (all[i].old != PEER_NONE) {
            confirm(all[i].old);
        }
        reserve(all[i].number, all[i].sku);
    }
    step(COMMIT, 0);
}

static peer_totals totals(void) {
    sqlite3_stmt *sum;
    must(sqlite3_prepare_v2(database, "SELECT sum(on_hand), sum(reserved) FROM sku", -1, &sum, NULL), "sum");
    must(sqlite3_step(sum), "sum");
    peer_totals found = {sqlite3_column_int64(sum, 0), sqlite3_column_int64(sum, 1)};
    sqlite3_finalize(sum);
    return found;
}

static void *connect_one(unsigned thread) {
    if (thread > 0) {
        die("one writer at a time: expected threads=1");
    }
    return NULL;
}
static void disconnect(void *connection) { (void)connection; }

static void end(void) {
    for (enum statement s = 0; s < STATEMENTS; s++) {
        sqlite3_finalize(statements[s]);
    }
    sqlite3_close(database);
    unlink(path);
}

int main(int count, char **arguments) {
    return peer_main(&(peer){"SQLite " SQLITE_VERSION, begin, end, connect_one, disconnect, pairs, totals}, count,
                     arguments);
}
