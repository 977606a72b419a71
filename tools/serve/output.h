/* What a connection has yet to send: bytes in order, of which only a prefix may leave.
 *
 * Guarantees
 *   A  Replies leave in the order they were written, and none before the epoch it was marked with is durable.
 *   B  Bounded: beyond `limit` bytes nothing is added, and `overflowed` says so; the connection has to be closed
 *      then.
 *   C  Nothing is allocated for a reply: the bytes lie in one buffer that grows by doubling and is given back when
 *      idle.
 *   D  What was held back can be replaced by errors, one for each reply, should the log fail (output_refuse_held).
 *
 *      begin          released                            end
 *     |##############|------- mark -------|---- mark ----|        positions count from the connection's first byte
 *       being sent     held: ticket 17      held: ticket 18
 */
#ifndef SERVE_OUTPUT_H
#define SERVE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OUTPUT_MARKS = 32 };

typedef struct output_mark {
    uint64_t end;      /* position behind the last byte it holds */
    uint64_t ticket;   /* the bytes before may leave once this epoch is durable */
    uint64_t since_ns; /* when the first request it answers was read */
    uint32_t replies;
} output_mark;

typedef struct hf_output {
    uint8_t *bytes;
    size_t capacity, limit;
    uint64_t begin, released, end; /* positions; bytes[0] is at `begin - offset` */
    size_t offset;                 /* of `begin` in bytes */
    bool overflowed;
    uint32_t first_mark, mark_count;
    output_mark marks[OUTPUT_MARKS];
} hf_output;

void output_init(hf_output *out, size_t limit);
void output_free(hf_output *out);
/* Gives the buffer back if there is nothing in it. */
void output_shrink(hf_output *out);

static inline size_t output_held(const hf_output *out) { return (size_t)(out->end - out->released); }
static inline size_t output_sendable(const hf_output *out) { return (size_t)(out->released - out->begin); }
static inline size_t output_size(const hf_output *out) { return (size_t)(out->end - out->begin); }
static inline const uint8_t *output_bytes(const hf_output *out) { return out->bytes + out->offset; }

/* Room for `length` bytes, 1 or more, behind the end, or NULL (guarantee B). output_add makes them part of the output.
 */
uint8_t *output_room(hf_output *out, size_t length);
static inline void output_add(hf_output *out, size_t length) { out->end += length; }
/* Takes back what was added behind position `end`, which no mark covers yet. */
void output_cut(hf_output *out, uint64_t end);
void output_sent(hf_output *out, size_t length);

/* Everything up to the end, `replies` more of them, waits for `ticket` (0: only for what is before it). True: it is
 * released already, since nothing held it. */
bool output_mark_replies(hf_output *out, uint64_t ticket, uint64_t durable, uint64_t since_ns, uint32_t replies);
/* Releases what `durable` lets go. Each mark that goes is given to `note`. */
void output_release(hf_output *out, uint64_t durable, void (*note)(void *context, const output_mark *mark),
                    void *context);
/* Takes back everything that is held, and returns how many replies it was. */
uint32_t output_refuse_held(hf_output *out);

#endif
