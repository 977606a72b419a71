/* Reads an order flow (docs/OPERATIONS.md), row by row, and groups the rows of one operation.
 *
 * Guarantees
 *   A  An operation is handed out only when it is known to be whole: the next row starts another one, or the flow ends.
 *   B  What is handed out is valid: every number within the engine's limits, every field there that its operation uses
 *      and no other, time never going back.
 *   C  The first bad row ends the flow. Every whole operation before it is handed out first; the operation that the bad
 *      row belongs to, or may belong to, is not.
 *   D  Memory is bounded: a row by HF_FLOW_ROW_BYTES, an operation by HF_MAX_LINES different SKUs.
 */
#ifndef HF_FLOW_H
#define HF_FLOW_H

#include <holdfast/holdfast.h>

#define HF_FLOW_HEADER "time_ms,op,id,sku,quantity,ttl_ms,user"
#define HF_FLOW_ROW_BYTES 4096u
#define HF_FLOW_ID_BYTES 64u

typedef struct hf_flow hf_flow;

/* One operation; its lines and names are the reader's, and live until the next hf_flow_next. */
typedef struct hf_flow_operation {
    hf_op op;
    uint64_t time_ms;
    uint64_t first_row, last_row; /* data rows, from 1 */
} hf_flow_operation;

enum {
    HF_FLOW_OPERATION = 1,
    HF_FLOW_END = 0,
    HF_FLOW_INTERRUPTED = -1, /* a caught signal came while waiting for bytes */
    HF_FLOW_FAILED = -2,      /* a bad row or a file that cannot be read: hf_flow_problem */
};

/* `path` "-" is standard input. NULL: out of memory. A file that cannot be opened fails at the first read. */
hf_flow *hf_flow_open(const char *path);
int hf_flow_next(hf_flow *flow, const hf_flow_operation **operation);
/* "FILE: row N: what is wrong, what was expected", and the exit code that goes with it. */
const char *hf_flow_problem(const hf_flow *flow);
int hf_flow_exit_code(const hf_flow *flow);
/* Data rows read so far. */
uint64_t hf_flow_rows(const hf_flow *flow);
/* Bytes of the file read, and its size (0: not known). */
uint64_t hf_flow_consumed(const hf_flow *flow);
uint64_t hf_flow_size(const hf_flow *flow);
void hf_flow_close(hf_flow *flow);

#endif
