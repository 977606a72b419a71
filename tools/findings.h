/* What a check found wrong: the first few in words, all of them counted. */
#ifndef HF_FINDINGS_H
#define HF_FINDINGS_H

#include <stdint.h>

#define HF_FINDINGS_TOLD 20u

typedef struct hf_findings {
    char *text[HF_FINDINGS_TOLD]; /* NULL: there was no memory for it */
    uint64_t count;
} hf_findings;

void hf_find(hf_findings *findings, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hf_findings_free(hf_findings *findings);

#endif
