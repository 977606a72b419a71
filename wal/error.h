/* Errors are values; the sentence that goes with the last one is kept per thread. */
#ifndef HF_ERROR_H
#define HF_ERROR_H

#include <holdfast/holdfast.h>

/* Keeps the detail (printf-like, cut at 511 bytes) and returns `error`, so that a failing path reads
 *     return hf_fail(HF_EINVAL, "ring_bytes is %u: expected a power of two", n); */
int hf_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a system call: adds ": " and strerror(-negative_errno). ENOMEM becomes HF_ENOMEM, all else HF_EIO. */
int hf_fail_system(int negative_errno, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Gives the detail of another thread's failure to this one (the poison of the log writer). */
void hf_error_keep(const char *detail);

#endif
