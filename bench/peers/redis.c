/* Redis: a library of two functions, called through pipelines of `batch` pairs; each thread is a connection.
 *     socket=PATH   of a server that this run owns: all its data is removed
 *
 * A SKU is a hash of two numbers, a reservation a short string. Whether a reply waits for the sync is the server's
 * setting.
 */
#include "peer.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char library[] =
    "#!lua name=inventory\n"
    "redis.register_function('reserve', function(keys, args)\n"
    "  local quantity = tonumber(args[1])\n"
    "  local stock = redis.call('HMGET', keys[1], 'h', 'r')\n"
    "  local reserved = tonumber(stock[2])\n"
    "  if tonumber(stock[1]) - reserved < quantity then return 0 end\n"
    "  if redis.call('EXISTS', keys[2]) == 1 then return 0 end\n"
    "  redis.call('HSET', keys[1], 'r', reserved + quantity)\n"
    "  redis.call('SET', keys[2], 'L' .. args[1] .. ':' .. args[2] .. ':' .. keys[1])\n"
    "  return 1\n"
    "end)\n"
    "redis.register_function('confirm', function(keys, args)\n"
    "  local found = redis.call('GET', keys[1])\n"
    "  local quantity, sku = string.match(found, '^L(%d+):%d+:(.*)$')\n"
    "  if not quantity then return 0 end\n"
    "  local stock = redis.call('HMGET', sku, 'h', 'r')\n"
    "  redis.call('HSET', sku, 'h', tonumber(stock[1]) - quantity, 'r', tonumber(stock[2]) - quantity)\n"
    "  redis.call('SET', keys[1], 'C' .. string.sub(found, 2))\n"
    "  return 1\n"
    "end)\n";

static const char *socket_path;
static redisContext *first;
static uint64_t sku_count;

static redisContext *open_connection(void) {
    redisContext *context = redisConnectUnix(socket_path);
    if (!context || context->err) {
        die("cannot connect to %s: %s", socket_path, context ? context->errstr : "out of memory");
    }
    return context;
}

static redisReply *take_reply(redisContext *context) {
    redisReply *reply = NULL;
    if (redisGetReply(context, (void **)&reply) != REDIS_OK || !reply || reply->type == REDIS_REPLY_ERROR) {
        die("Redis: %s", reply ? reply->str : context->errstr);
    }
    return reply;
}

static void begin(uint64_t skus) {
    socket_path = setting_text("socket", NULL);
    if (!socket_path) {
        die("expected socket=PATH");
    }
    first = open_connection();
    sku_count = skus;
    redisAppendCommand(first, "FLUSHALL");
    freeReplyObject(take_reply(first));
    redisAppendCommand(first, "FUNCTION LOAD REPLACE %s", library);
    freeReplyObject(take_reply(first));
    for (uint64_t i = 0; i < skus; i++) {
        redisAppendCommand(first, "HSET s%llu h %lld r 0", (unsigned long long)i, (long long)PEER_STOCK);
    }
    for (uint64_t i = 0; i < skus; i++) {
        freeReplyObject(take_reply(first));
    }
}

/* Commands in Redis's own format: hiredis's formatter would cost more than the function itself. */
static void append(redisContext *context, const char *function, unsigned keys, const char *const *words,
                   unsigned count) {
    char text[256];
    int length = snprintf(text, sizeof text, "*%u\r\n$5\r\nFCALL\r\n$%zu\r\n%s\r\n$1\r\n%u\r\n", 3 + count,
                          strlen(function), function, keys);
    for (unsigned i = 0; i < count; i++) {
        length += snprintf(text + length, sizeof text - (size_t)length, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    }
    if (redisAppendFormattedCommand(context, text, (size_t)length) != REDIS_OK) {
        die("Redis: %s", context->errstr);
    }
}

static unsigned send_pair(redisContext *context, const peer_pair *pair) {
    char sku[24], number[32];
    unsigned sent = 1;
    if (pair->old != PEER_NONE) {
        snprintf(number, sizeof number, "r%llx", (unsigned long long)pair->old);
        append(context, "confirm", 1, (const char *const[]){number}, 1);
        sent++;
    }
    snprintf(sku, sizeof sku, "s%u", pair->sku);
    snprintf(number, sizeof number, "r%llx", (unsigned long long)pair->number);
    append(context, "reserve", 2, (const char *const[]){sku, number, "1", "1900000000000"}, 4);
    return sent;
}

static void pairs(void *connection, const peer_pair *all, unsigned count) {
    unsigned sent = 0;
    for (unsigned i = 0; i < count; i++) {
        sent += send_pair(connection, &all[i]);
    }
    for (unsigned i = 0; i < sent; i++) {
        redisReply *reply = take_reply(connection);
        if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
            die("Redis: a reserve or confirm was refused");
        }
        freeReplyObject(reply);
    }
}

static peer_totals totals(void) {
    peer_totals found = {0, 0};
    for (uint64_t i = 0; i < sku_count; i++) {
        redisAppendCommand(first, "HMGET s%llu h r", (unsigned long long)i);
    }
    for (uint64_t i = 0; i < sku_count; i++) {
        redisReply *reply = take_reply(first);
        found.on_hand += atoll(reply->element[0]->str);
        found.reserved += atoll(reply->element[1]->str);
        freeReplyObject(reply);
    }
    return found;
}

static void *connect_one(unsigned thread) {
    (void)thread;
    return open_connection();
}
static void disconnect(void *connection) { redisFree(connection); }

static void end(void) {
    redisAppendCommand(first, "FLUSHALL");
    freeReplyObject(take_reply(first));
    redisFree(first);
}

int main(int count, char **arguments) {
    return peer_main(&(peer){"Redis", begin, end, connect_one, disconnect, pairs, totals}, count, arguments);
}
