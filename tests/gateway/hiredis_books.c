/* A client on hiredis that keeps its own books: hiredis_books PORT PREFIX BOOK [COUNT].
 *
 * It reserves under ids PREFIX0, PREFIX1, ..., 16 at a time in a pipeline, and writes "id outcome" to BOOK for each
 * that was acknowledged. What was not acknowledged (the server died) it asks again, with the same id, until it is. It
 * ends after COUNT orders, or on SIGTERM once its last pipeline is acknowledged. */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIPELINE = 16 };

static volatile sig_atomic_t stopped;
static void on_signal(int number) { stopped = number; }

static redisContext *connect_at_last(int port) {
    for (;;) {
        struct timeval limit = {5, 0};
        redisContext *context = redisConnectWithTimeout("127.0.0.1", port, limit);
        if (context && !context->err) {
            redisSetTimeout(context, limit);
            return context;
        }
        if (context)
            redisFree(context);
        usleep(5000);
    }
}

/* Asks for all that is open; true: all were acknowledged. */
static int ask(redisContext *context, const char *prefix, unsigned long first, int *open, FILE *book) {
    for (int i = 0; i < PIPELINE; i++)
        if (open[i])
            redisAppendCommand(context, "HF.RESERVE %s%lu 3600000 books 1", prefix, first + (unsigned long)i);
    for (int i = 0; i < PIPELINE; i++) {
        redisReply *reply = NULL;
        if (!open[i])
            continue;
        if (redisGetReply(context, (void **)&reply) != REDIS_OK)
            return 0;
        if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 4 &&
            (strcmp(reply->element[0]->str, "ok") == 0 || strcmp(reply->element[0]->str, "duplicate") == 0)) {
            fprintf(book, "%s%lu %s\n", prefix, first + (unsigned long)i, reply->element[0]->str);
            open[i] = 0;
        } else if (reply->type == REDIS_REPLY_ERROR) {
            fprintf(stderr, "%s\n", reply->str); /* the server is stopping: asked again */
        } else if (reply->type != REDIS_REPLY_ARRAY || strcmp(reply->element[0]->str, "in_progress") != 0) {
            fprintf(stderr, "not an order's reply\n");
            exit(1);
        }
        freeReplyObject(reply);
    }
    for (int i = 0; i < PIPELINE; i++)
        if (open[i])
            return 0;
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    int port = atoi(argv[1]);
    unsigned long count = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    FILE *book = fopen(argv[3], "w");
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    redisContext *context = connect_at_last(port);
    for (unsigned long first = 0; book && !stopped && (count == 0 || first < count); first += PIPELINE) {
        int open[PIPELINE];
        for (int i = 0; i < PIPELINE; i++)
            open[i] = 1;
        while (!ask(context, argv[2], first, open, book)) {
            if (context->err) {
                redisFree(context);
                context = connect_at_last(port);
            }
        }
    }
    redisFree(context);
    return book && fclose(book) == 0 ? 0 : 1;
}
