/* A connection's output. The contract is in output.h. */
#include "output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_LEAST = 1024 };

void output_init(hf_output *out, size_t limit) { *out = (hf_output){.limit = limit}; }

void output_free(hf_output *out) {
    free(out->bytes);
    output_init(out, out->limit);
}

void output_shrink(hf_output *out) {
    if (out->begin != out->end)
        return;
    free(out->bytes);
    out->bytes = NULL;
    out->capacity = out->offset = 0;
}

static bool make_room(hf_output *out, size_t length) {
    size_t size = output_size(out);
    if (out->overflowed || length > out->limit || size > out->limit - length) {
        out->overflowed = true;
        return false;
    }
    if (size + length <= out->capacity && out->offset >= out->capacity / 2) {
        memmove(out->bytes, out->bytes + out->offset, size);
        out->offset = 0;
        return true;
    }
    size_t capacity = out->capacity ? out->capacity : OUTPUT_LEAST;
    while (capacity < size + length)
        capacity *= 2;
    capacity = capacity == out->capacity ? capacity * 2 : capacity;
    uint8_t *larger = malloc(capacity);
    if (!larger) {
        out->overflowed = true;
        return false;
    }
    if (size)
        memcpy(larger, out->bytes + out->offset, size);
    free(out->bytes);
    out->bytes = larger;
    out->capacity = capacity;
    out->offset = 0;
    return true;
}

uint8_t *output_room(hf_output *out, size_t length) {
    if (out->begin == out->end)
        out->offset = 0;
    size_t used = out->offset + output_size(out);
    if (__builtin_expect(length > out->capacity - used || output_size(out) + length > out->limit, 0)) {
        if (!make_room(out, length))
            return NULL;
        used = out->offset + output_size(out);
    }
    return out->bytes + used;
}

static output_mark *last_mark(hf_output *out) {
    return &out->marks[(out->first_mark + out->mark_count - 1) % OUTPUT_MARKS];
}

void output_cut(hf_output *out, uint64_t end) {
    assert(end >= out->released && (out->mark_count == 0 || last_mark(out)->end <= end));
    out->end = end;
}

void output_sent(hf_output *out, size_t length) {
    assert(length <= output_sendable(out));
    out->begin += length;
    out->offset += length;
}

bool output_mark_replies(hf_output *out, uint64_t ticket, uint64_t durable, uint64_t since_ns, uint32_t replies) {
    if (out->mark_count == 0 && ticket <= durable) {
        out->released = out->end;
        return true;
    }
    output_mark *last = out->mark_count ? last_mark(out) : NULL;
    if (last && (ticket <= last->ticket || out->mark_count == OUTPUT_MARKS)) {
        last->ticket = ticket > last->ticket ? ticket : last->ticket;
        last->end = out->end;
        last->replies += replies;
        return false;
    }
    out->mark_count++;
    *last_mark(out) = (output_mark){.end = out->end, .ticket = ticket, .since_ns = since_ns, .replies = replies};
    return false;
}

void output_release(hf_output *out, uint64_t durable, void (*note)(void *context, const output_mark *mark),
                    void *context) {
    while (out->mark_count && out->marks[out->first_mark].ticket <= durable) {
        const output_mark *mark = &out->marks[out->first_mark];
        out->released = mark->end;
        note(context, mark);
        out->first_mark = (out->first_mark + 1) % OUTPUT_MARKS;
        out->mark_count--;
    }
}

uint32_t output_refuse_held(hf_output *out) {
    uint32_t replies = 0;
    for (; out->mark_count; out->mark_count--) {
        replies += out->marks[out->first_mark].replies;
        out->first_mark = (out->first_mark + 1) % OUTPUT_MARKS;
    }
    out->end = out->released;
    return replies;
}
