/* The order-flow reader under a fuzzer: the input is a file, plain or compressed.
 *
 * What must hold for any bytes: whatever is handed out keeps the engine's limits and uses the fields of its operation
 * (flow.h, guarantee B), time never goes back, rows follow one another; a refusal has a sentence; a second reading
 * hands out the same. An input that begins with
 * "#" gets the header line before it, so that rows are reached. */
#include "tests/fuzz/kit.h"
#include "tools/flow.h"

#include <sys/mman.h>
#include <unistd.h>

/* Of tools/copy.c; tools/tool.c wants it where it opens a directory, which no reader of flows does. */
bool hf_is_in_use(const char *directory);
bool hf_is_in_use(const char *directory) {
    DEMAND(false, "%s is opened", directory);
    return false;
}

static void check_operation(const hf_flow_operation *operation) {
    const hf_op *op = &operation->op;
    DEMAND(op->type >= HF_OP_RECEIVE && op->type < HF_OP_TYPE_END, "type %d", (int)op->type);
    DEMAND(op->line_count <= HF_MAX_LINES && op->ttl_ms <= HF_MAX_TTL_MS, "%zu lines", op->line_count);
    DEMAND(operation->time_ms <= HF_MAX_TIME_MS && operation->first_row <= operation->last_row, "a time, or rows");
    bool lines = op->type != HF_OP_CONFIRM && op->type != HF_OP_CANCEL && op->type != HF_OP_EXTEND;
    DEMAND(lines == (op->line_count > 0), "type %d with %zu lines", (int)op->type, op->line_count);
    for (size_t i = 0; i < op->line_count; i++) {
        const hf_line *line = &op->lines[i];
        DEMAND(line->name_length >= 1 && line->name_length <= HF_MAX_SKU_NAME, "a name");
        DEMAND(line->quantity >= -HF_MAX_QUANTITY && line->quantity <= HF_MAX_QUANTITY, "a quantity");
        if (op->type != HF_OP_ADJUST && op->type != HF_OP_COUNT)
            DEMAND(line->quantity >= 1, "a quantity below 1");
    }
}

static uint64_t mix(uint64_t digest, const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        digest = (digest ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001B3);
    return digest;
}

static uint64_t mix_operation(uint64_t digest, const hf_flow_operation *operation) {
    const hf_op *op = &operation->op;
    digest = mix(digest, &op->type, sizeof op->type);
    digest = mix(digest, &operation->time_ms, sizeof operation->time_ms);
    digest = mix(digest, &op->id, sizeof op->id);
    for (size_t i = 0; i < op->line_count; i++) {
        digest = mix(digest, op->lines[i].name, op->lines[i].name_length);
        digest = mix(digest, &op->lines[i].quantity, sizeof op->lines[i].quantity);
    }
    return digest;
}

/* A digest of what is read, and of how it ends. */
static uint64_t read_all(const char *path) {
    hf_flow *flow = hf_flow_open(path);
    DEMAND(flow, "no memory");
    const hf_flow_operation *operation;
    uint64_t digest = 0, time_ms = 0, row = 0;
    int result;
    while ((result = hf_flow_next(flow, &operation)) == HF_FLOW_OPERATION) {
        check_operation(operation);
        DEMAND(operation->time_ms >= time_ms && operation->first_row > row, "time or rows go back");
        time_ms = operation->time_ms;
        row = operation->last_row;
        digest = mix_operation(digest, operation);
    }
    DEMAND(result == HF_FLOW_END || result == HF_FLOW_FAILED, "result %d", result);
    if (result == HF_FLOW_FAILED) {
        DEMAND(hf_flow_problem(flow)[0] && hf_flow_exit_code(flow), "a refusal without a word");
        digest = mix(digest, hf_flow_problem(flow), strlen(hf_flow_problem(flow)));
    }
    hf_flow_close(flow);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("flow", 0);
        DEMAND(file >= 0, "memfd_create");
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    const char header[] = HF_FLOW_HEADER "\n";
    bool with_header = size > 0 && data[0] == '#';
    size_t length = with_header ? sizeof header - 1 : 0;
    DEMAND(ftruncate(file, 0) == 0, "ftruncate");
    DEMAND(pwrite(file, header, length, 0) == (ssize_t)length, "pwrite");
    data += with_header;
    size -= with_header;
    DEMAND(pwrite(file, data, size, (off_t)length) == (ssize_t)size, "pwrite");
    uint64_t first = read_all(path);
    if (size % 8 == 0) /* a reading is slow: a megabyte of buffer is made */
        DEMAND(read_all(path) == first, "two readings differ");
    return 0;
}
