/* Two states, one against the other: an engine's and an engine's, or an engine's and a ledger's. */
#ifndef HF_COMPARE_H
#define HF_COMPARE_H

#include "findings.h"
#include "ledger.h"

/* Every SKU with its four numbers, every live reservation with its lines, deadline and user. `names`: what the two are
 * called in findings. HF_SUCCESS, also where they differ; else an engine's error, or HF_ENOMEM. */
int hf_compare_engines(hf_findings *findings, const char *const names[2], hf_session *first, hf_session *second);
/* The ledger of a log that is kept from its first record, with undecided operations given back. */
int hf_compare_ledger(hf_findings *findings, hf_ledger *ledger, hf_session *session);

#endif
