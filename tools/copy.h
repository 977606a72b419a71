/* Copies of a directory of an engine, to try recovery on. */
#ifndef HF_COPY_H
#define HF_COPY_H

#include "findings.h"

#include <stdbool.h>

/* Whether somebody has the directory open for writing. */
bool hf_is_in_use(const char *directory);
/* Makes `to` with a copy of every file of `from` that an open may read: not the lock, the durable page, and what is
 * half made. HF_EXIT_FINE, or it was told why not. */
int hf_copy_directory(const char *from, const char *to);
/* Compares the segments of two directories byte by byte. HF_EXIT_FINE, also where they differ. */
int hf_compare_segments(hf_findings *findings, const char *one, const char *other);
/* A directory of files alone. */
void hf_remove_directory(const char *path);

#endif
