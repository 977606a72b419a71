/* Single steps by the trap flag. */
#include "single_step.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
#define SANITIZES_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZES_THREADS 1
#endif
#endif

#if defined(__x86_64__) && !defined(SANITIZES_THREADS)

#define TRAP_FLAG 0x100

static _Thread_local struct {
    volatile bool armed, steps;
    volatile uint64_t count, at;
    void (*stop)(void *context);
    void *context;
} self;

/* The first is raised by single_step_begin, the others by the processor, each after an instruction. */
static void on_trap(int signal, siginfo_t *info, void *context) {
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    (void)signal;
    if (info->si_code != TRAP_TRACE && self.count == 0) {
        *flags |= TRAP_FLAG;
        return;
    }
    if (self.steps && ++self.count == self.at) {
        self.steps = false;
        self.stop(self.context);
    }
    if (!self.steps) {
        *flags &= ~(greg_t)TRAP_FLAG;
    }
}

bool single_step_can(void) { return true; }

uint64_t single_step(void (*run)(void *context), void *context, uint64_t at, void (*stop)(void *context), void *stop_context) {
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (sigaction(SIGTRAP, &action, NULL) != 0) {
        abort();
    }
    self.count = 0;
    self.at = at;
    self.stop = stop;
    self.context = stop_context;
    self.armed = true;
    run(context);
    self.armed = self.steps = false;
    __asm__ volatile("nop" ::: "memory"); /* the trap behind it clears the flag */
    return self.count;
}

void single_step_begin(void) {
    if (self.armed) {
        self.armed = false;
        self.steps = true;
        raise(SIGTRAP);
    }
}

#else

void single_step_begin(void) {}

bool single_step_can(void) { return false; }

uint64_t single_step(void (*run)(void *context), void *context, uint64_t at, void (*stop)(void *context), void *stop_context) {
    (void)at;
    (void)stop;
    (void)stop_context;
    run(context);
    return 0;
}

#endif
