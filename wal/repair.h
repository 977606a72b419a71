/* Repair: a damaged log is cut back to the last whole epoch before the damage. Loses what was durable, so it is never
 * done by itself; the contract is that of hf_repair in holdfast.h.
 *
 * Guarantees
 *   A  What opens is left alone: without damage nothing is changed.
 *   B  Nothing is deleted. What is cut lies in cut-..., checkpoints that know too much in aside-...
 *   C  A crash at any point leaves a directory that is still refused, or whose end looks like a torn tail; the same
 *      call again finishes the work, with the same last epoch.
 *   D  Afterwards every epoch that anybody was ever told of is known as seen: the log goes on above it.
 */
#ifndef HF_WAL_REPAIR_H
#define HF_WAL_REPAIR_H

#include "log.h"

#include <holdfast/holdfast.h>

/* Where a replay may start: a checkpoint that is whole, or the log's beginning. */
typedef struct hf_repair_start {
    hf_wal_position position; /* all zero: the beginning */
    const char *name;         /* of the checkpoint's file in the directory; NULL: the beginning */
} hf_repair_start;

/* `wal` is locked and not open, or locked read_only: then it only reports, and answers HF_EBUSY where somebody has the
 * directory for writing. `starts` as an open would try them, the newest first.
 * HF_SUCCESS: the report is filled in, and with a locked wal the log opens now from one of `starts`. HF_ECORRUPT: no
 * cut helps, the detail says why. HF_EVERSION: never cut. HF_ENOTFOUND: there is no log. HF_EIO HF_ENOMEM. */
int hf_wal_repair(hf_wal *wal, const hf_repair_start *starts, size_t count, hf_repair_report *report);

#endif
