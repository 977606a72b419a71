/* Runs a function instruction by instruction, and stops within it: so that what may happen between any two instructions of a thread
 * can be made to happen there.
 *
 * x86-64 only: the processor's trap flag, one SIGTRAP an instruction. What is called in `stop` runs on the stepping thread within a
 * signal handler, and may do what the interrupted instruction allows: wait for other threads, not take locks.
 */
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this build and processor can. */
bool single_step_can(void);
/* Runs run(context) on this thread. From its first single_step_begin() on it goes by single steps, and after the `at`-th calls
 * stop(stop_context); then on at full speed. at = 0: counts only. Returns how many instructions were stepped. */
uint64_t single_step(void (*run)(void *context), void *context, uint64_t at, void (*stop)(void *context), void *stop_context);
/* From a hook within. A step costs some microseconds, 20 on some virtual machines: begin where it gets interesting. */
void single_step_begin(void);

#endif
