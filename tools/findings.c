/* What a check found wrong: findings.h. */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void hf_find(hf_findings *findings, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (findings->count < HF_FINDINGS_TOLD && vasprintf(&findings->text[findings->count], format, arguments) < 0)
        findings->text[findings->count] = NULL;
    va_end(arguments);
    findings->count++;
}

void hf_findings_free(hf_findings *findings) {
    for (unsigned i = 0; i < HF_FINDINGS_TOLD; i++)
        free(findings->text[i]);
    *findings = (hf_findings){0};
}
