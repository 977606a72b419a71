/* PostgreSQL: PL/pgSQL functions called through prepared statements, each thread a client with its own connection.
 *     socket=DIRECTORY user=NAME   of a server that this run owns
 *     batch=1   reserve and confirm are a transaction each; above, `batch` pairs are one call and one transaction
 */
#include "peer.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE sku (id int PRIMARY KEY, on_hand bigint NOT NULL, reserved bigint NOT NULL) WITH (fillfactor = 30);"
    "CREATE TABLE reservation (id bigint PRIMARY KEY, sku int NOT NULL, quantity bigint NOT NULL, state int NOT NULL,"
    " deadline bigint NOT NULL) WITH (fillfactor = 80);"
    "CREATE FUNCTION reserve(i bigint, s int, q bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
    "  UPDATE sku SET reserved = reserved + q WHERE id = s AND on_hand - reserved >= q;"
    "  IF NOT FOUND THEN RETURN false; END IF;"
    "  INSERT INTO reservation VALUES (i, s, q, 0, 1900000000000);"
    "  RETURN true; END $$;"
    "CREATE FUNCTION confirm(i bigint) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE s int; q bigint; BEGIN"
    "  UPDATE reservation SET state = 1 WHERE id = i AND state = 0 RETURNING sku, quantity INTO s, q;"
    "  IF NOT FOUND THEN RETURN false; END IF;"
    "  UPDATE sku SET on_hand = on_hand - q, reserved = reserved - q WHERE id = s;"
    "  RETURN true; END $$;"
    "CREATE FUNCTION pairs(olds bigint[], ids bigint[], skus int[]) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
    "  FOR i IN 1 .. array_length(ids, 1) LOOP"
    "    IF olds[i] >= 0 THEN IF NOT confirm(olds[i]) THEN RAISE 'confirm'; END IF; END IF;"
    "    IF NOT reserve(ids[i], skus[i], 1) THEN RAISE 'reserve'; END IF;"
    "  END LOOP; RETURN true; END $$;";

static PGconn *first;
static char how_to_connect[4200];

static PGconn *open_connection(void) {
    PGconn *connection = PQconnectdb(how_to_connect);
    if (PQstatus(connection) != CONNECTION_OK) {
        die("PostgreSQL: %s", PQerrorMessage(connection));
    }
    return connection;
}

static PGresult *must(PGconn *connection, PGresult *result) {
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        die("PostgreSQL: %s", PQerrorMessage(connection));
    }
    return result;
}

static void run(const char *text) { PQclear(must(first, PQexec(first, text))); }

static void begin(uint64_t skus) {
    char text[200];
    const char *socket = setting_text("socket", NULL), *user = setting_text("user", "postgres");
    if (!socket) {
        die("expected socket=DIRECTORY");
    }
    snprintf(how_to_connect, sizeof how_to_connect, "host=%s user=%s dbname=postgres", socket, user);
    first = open_connection();
    run("SET client_min_messages = warning");
    run("DROP TABLE IF EXISTS sku, reservation; DROP FUNCTION IF EXISTS reserve, confirm, pairs");
    run(schema);
    snprintf(text, sizeof text, "INSERT INTO sku SELECT i, %lld, 0 FROM generate_series(0, %llu) AS i",
             (long long)PEER_STOCK, (unsigned long long)skus - 1);
    run(text);
    run("VACUUM ANALYZE sku");
    run("CHECKPOINT");
}

static void *connect_one(unsigned thread) {
    (void)thread;
    PGconn *connection = open_connection();
    PQclear(must(connection, PQprepare(connection, "r", "SELECT reserve($1::bigint, $2::int, 1)", 2, NULL)));
    PQclear(must(connection, PQprepare(connection, "c", "SELECT confirm($1::bigint)", 1, NULL)));
    PQclear(
        must(connection, PQprepare(connection, "p", "SELECT pairs($1::bigint[], $2::bigint[], $3::int[])", 3, NULL)));
    return connection;
}
static void disconnect(void *connection) { PQfinish(connection); }

static void must_be_true(PGconn *connection, PGresult *result, const char *what) {
    must(connection, result);
    if (PQntuples(result) != 1 || PQgetvalue(result, 0, 0)[0] != 't') {
        die("PostgreSQL: %s was refused", what);
    }
    PQclear(result);
}

static void one_pair(PGconn *connection, const peer_pair *pair) {
    uint64_t number = __builtin_bswap64(pair->number), old = __builtin_bswap64(pair->old);
    uint32_t sku = htonl(pair->sku);
    if (pair->old != PEER_NONE) {
        must_be_true(connection,
                     PQexecPrepared(connection, "c", 1, (const char *const[]){(const char *)&old}, (const int[]){8},
                                    (const int[]){1}, 0),
                     "confirm");
    }
    must_be_true(connection,
                 PQexecPrepared(connection, "r", 2, (const char *const[]){(const char *)&number, (const char *)&sku},
                                (const int[]){8, 4}, (const int[]){1, 1}, 0),
                 "reserve");
}

enum { NUMBER_ROOM = 22 };

static void many_pairs(PGconn *connection, const peer_pair *all, unsigned count) {
    char *arrays[3];
    for (unsigned column = 0; column < 3; column++) {
        char *text = arrays[column] = need(malloc((size_t)count * NUMBER_ROOM + 3));
        for (unsigned i = 0; i < count; i++) {
            int64_t value = (int64_t)(column == 0 ? all[i].old : column == 1 ? all[i].number : all[i].sku);
            text += sprintf(text, "%c%lld", i ? ',' : '{', (long long)value);
        }
        strcpy(text, "}");
    }
    for (;;) {
        PGresult *result = PQexecPrepared(connection, "p", 3, (const char *const *)arrays, NULL, NULL, 0);
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (!state || strcmp(state, "40P01") != 0) {
            must_be_true(connection, result, "a batch");
            break;
        }
        PQclear(result); /* a deadlock with another batch: once more */
    }
    for (unsigned column = 0; column < 3; column++) {
        free(arrays[column]);
    }
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    if (count == 1) {
        one_pair(connection, all);
    } else {
        many_pairs(connection, all, count);
    }
}

static peer_totals totals(void) {
    PGresult *result = must(first, PQexec(first, "SELECT sum(on_hand), sum(reserved) FROM sku"));
    peer_totals found = {atoll(PQgetvalue(result, 0, 0)), atoll(PQgetvalue(result, 0, 1))};
    PQclear(result);
    return found;
}

static void end(void) { PQfinish(first); }

int main(int count, char **arguments) {
    return peer_main(&(peer){"PostgreSQL", begin, end, connect_one, disconnect, pairs, totals}, count, arguments);
}
