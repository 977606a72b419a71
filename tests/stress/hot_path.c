/* The hot path, counted: what a thread allocates, locks and asks of the kernel while it reserves, confirms, cancels, extends,
 * purchases, receives, adjusts, counts and reads SKUs that exist.
 *
 * Guarantees checked
 *   A  No allocation: malloc, calloc, realloc, aligned_alloc, free, mmap, munmap are this program's, and count.
 *   B  No lock: pthread_mutex_lock and pthread_mutex_trylock are this program's, and count.
 *   C  No system call: a seccomp filter on the thread reports each to a supervisor, which counts it and lets it pass. The one that may
 *      be seen is futex: whoever was stopped by the scheduler within a read-side section wakes the grace period that waits for it.
 *      Those are counted and shown, and there are far fewer than grace periods.
 * The counting itself is checked first, on a thread that does all three. With background threads and a log; a full ring is answered
 * HF_EAGAIN (HF_NONBLOCKING), and asked again.
 */
#include "tests/support/harness.h"
#include "wal/atomic.h"

#include <stdio.h>

#if defined(HF_TSAN) || defined(__SANITIZE_ADDRESS__)
int main(void) {
    printf("a sanitizer has its own malloc, locks and system calls\n");
    return 77;
}
#else

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKUS 1000u
#define LIVE 500u
#define WARM_UP 200000u
#define OPERATIONS 1000000u

static _Thread_local bool watched;
static uint64_t allocations, locks, calls, futexes, other_call;

/* ---- A and B: this program's own ------------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

#define COUNT(what)                                                                                                    \
    if (watched)                                                                                                       \
    hf_fetch_add_relaxed(&(what), UINT64_C(1)) /* relaxed: a number */

void *malloc(size_t size) {
    COUNT(allocations);
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    COUNT(allocations);
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    COUNT(allocations);
    return __libc_realloc(old, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
    COUNT(allocations);
    return __libc_memalign(alignment, size);
}
void free(void *memory) {
    COUNT(allocations);
    __libc_free(memory);
}

static int (*real_lock)(pthread_mutex_t *), (*real_trylock)(pthread_mutex_t *);

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    COUNT(locks);
    if (!real_lock) {
        real_lock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    }
    return real_lock(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    COUNT(locks);
    if (!real_trylock) {
        real_trylock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_trylock");
    }
    return real_trylock(mutex);
}

/* ---- C: the supervisor ------------------------------------------------------------------------------------------------- */

static int listener = -1, supervising;

/* Reports every system call of the calling thread from now on, but for those with which it ends. -1: not allowed here. */
static int report_calls(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -1;
    }
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void *supervise(void *context) {
    struct seccomp_notif call;
    struct seccomp_notif_resp pass;
    (void)context;
    while (hf_load_acquire(&supervising)) { /* edge: main's store */
        struct pollfd ready = {.fd = hf_load_acquire(&listener), .events = POLLIN}; /* edge: the watched thread's store */
        if (ready.fd < 0 || poll(&ready, 1, 10) <= 0) {
            continue;
        }
        memset(&call, 0, sizeof call);
        if (ioctl(ready.fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
            continue;
        }
        bool futex = call.data.nr == __NR_futex;
        if (!futex && call.data.nr != __NR_munmap) { /* the last: the harness, after `watched` */
            hf_store_relaxed(&other_call, (uint64_t)call.data.nr); /* relaxed, all: numbers */
        }
        hf_fetch_add_relaxed(futex ? &futexes : &calls, UINT64_C(1));
        pass = (struct seccomp_notif_resp){.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        (void)ioctl(ready.fd, SECCOMP_IOCTL_NOTIF_SEND, &pass);
    }
    return NULL;
}

/* ---- the operations ------------------------------------------------------------------------------------------------------ */

typedef struct work {
    hf_engine *engine;
    hf_sku *skus[SKUS];
    uint64_t allocations, locks, calls, futexes, other_call, again;
    bool reported, counts;
} work;

static uint64_t next_id, again;

static hf_reply carry_out(hf_session *session, hf_op op) {
    hf_reply reply;
    for (;;) {
        int error = hf_submit(session, &op, 1, &reply, NULL);
        if (error != HF_EAGAIN && reply.outcome != HF_OUTCOME_IN_PROGRESS) {
            CHECK(error == HF_SUCCESS && reply.error == HF_SUCCESS, "%s: %s", hf_op_text(op.type),
                  hf_error_name(error ? error : reply.error));
            return reply;
        }
        again++;
        hf_cpu_relax();
    }
}

/* A round of every operation on existing SKUs, the reservations of LIVE rounds ago ended. */
static void one_round(hf_session *session, work *w, uint64_t *random) {
    static uint64_t live[LIVE];
    hf_line lines[3];
    hf_stock stock;
    for (unsigned i = 0; i < 3; i++) {
        lines[i] = (hf_line){.sku = w->skus[harness_below(random, SKUS)], .quantity = 1};
    }
    uint64_t *place = &live[next_id / 8 % LIVE], id = ++next_id * 8;
    if (*place) {
        static const hf_op_type endings[] = {HF_OP_CONFIRM, HF_OP_CONFIRM, HF_OP_CANCEL};
        (void)carry_out(session, (hf_op){.type = HF_OP_EXTEND, .id = harness_id(1, *place), .ttl_ms = 900000});
        (void)carry_out(session, (hf_op){.type = endings[harness_below(random, 3)], .id = harness_id(1, *place)});
    }
    *place = id;
    hf_op op = {.type = HF_OP_RESERVE, .id = harness_id(1, id), .lines = lines, .ttl_ms = 900000};
    op.line_count = harness_chance(random, 20) ? 3 : 1;
    (void)carry_out(session, op);
    static const hf_op_type others[] = {HF_OP_RECEIVE, HF_OP_ADJUST, HF_OP_PURCHASE};
    op = (hf_op){.type = others[id / 8 % 3], .id = harness_id(1, id + 1), .lines = lines, .line_count = 1};
    (void)carry_out(session, op);
    lines[0].quantity = 1 << 30; /* refused by a look */
    op = (hf_op){.type = HF_OP_PURCHASE, .id = harness_id(1, id + 2), .lines = lines, .line_count = 1};
    (void)carry_out(session, op);
    while (hf_sku_read(session, lines[1].sku, &stock) == HF_EAGAIN) {
        again++;
    }
}

static void measure(hf_session *session, work *w, uint64_t *random) {
    uint64_t before[4] = {hf_load_relaxed(&allocations), hf_load_relaxed(&locks), hf_load_relaxed(&calls),
                          hf_load_relaxed(&futexes)}; /* relaxed, all: this thread's, or counted before it goes on */
    watched = true;
    for (unsigned i = 0; i < OPERATIONS / 5; i++) {
        one_round(session, w, random);
    }
    watched = false;
    w->allocations = hf_load_relaxed(&allocations) - before[0];
    w->locks = hf_load_relaxed(&locks) - before[1];
    w->calls = hf_load_relaxed(&calls) - before[2];
    w->futexes = hf_load_relaxed(&futexes) - before[3];
    w->other_call = hf_load_relaxed(&other_call);
}

/* Does all three, which must be seen. */
static bool check_counting(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    watched = true;
    void *volatile memory = malloc(10);
    free(memory);
    pthread_mutex_lock(&mutex);
    watched = false;
    pthread_mutex_unlock(&mutex);
    (void)syscall(SYS_getppid);
    return hf_load_relaxed(&allocations) == 2 && hf_load_relaxed(&locks) == 1 && hf_load_relaxed(&calls) > 0;
}

static void *run(void *context) {
    work *w = context;
    uint64_t random = 1;
    hf_session *session;
    MUST(hf_session_open(w->engine, NULL, &session));
    for (unsigned i = 0; i < SKUS; i++) {
        char name[16];
        hf_reply reply;
        hf_line line = {.name = name, .name_length = (size_t)snprintf(name, sizeof name, "sku-%u", i), .quantity = 1 << 24};
        MUST_AT_LAST(hf_receive(session, harness_id(2, i), line, &reply));
        MUST(hf_sku_find(session, name, line.name_length, &w->skus[i]));
    }
    for (unsigned i = 0; i < WARM_UP / 5; i++) {
        one_round(session, w, &random);
    }
    int fd = report_calls();
    w->reported = fd >= 0;
    if (w->reported) {
        hf_store_release(&listener, fd); /* edge: to the supervisor's load */
        w->counts = check_counting();
        measure(session, w, &random);
    }
    w->again = again;
    hf_session_close(session);
    return NULL;
}

int main(void) {
    static work w;
    char directory[HARNESS_PATH];
    hf_options options;
    hf_stats stats;
    pthread_t worker, supervisor;
    (void)harness_begin("hot_path");
    harness_directory(directory);
    harness_options(&options, HF_NONBLOCKING, NULL);
    options.retention_ms = 20;
    options.segment_bytes = 64 << 20;
    options.expected_reservations = 1 << 20; /* growth is not the hot path */
    MUST(hf_open(directory, &options, &w.engine));
    hf_store_release(&supervising, 1); /* edge: to the supervisor */
    CHECK(pthread_create(&supervisor, NULL, supervise, NULL) == 0, "no thread");
    CHECK(pthread_create(&worker, NULL, run, &w) == 0, "no thread");
    pthread_join(worker, NULL);
    hf_store_release(&supervising, 0); /* edge: to the supervisor */
    pthread_join(supervisor, NULL);
    hf_stats_read(w.engine, &stats);
    MUST(hf_close(w.engine));
    harness_remove(directory);
    if (!w.reported) {
        printf("seccomp notifications are not allowed here: %s\n", strerror(errno));
        return 77;
    }
    CHECK(w.counts, "an allocation, a lock and a system call were not counted");
    CHECK(w.allocations == 0, "%llu allocations", (unsigned long long)w.allocations);
    CHECK(w.locks == 0, "%llu locks", (unsigned long long)w.locks);
    CHECK(w.calls == 0, "%llu system calls, the last was number %llu", (unsigned long long)w.calls,
          (unsigned long long)w.other_call);
    CHECK(w.futexes < stats.epoch, "%llu wakes, %llu epochs", (unsigned long long)w.futexes,
          (unsigned long long)stats.epoch);
    printf("hot_path: about %u operations and reads: 0 allocations, 0 locks, 0 system calls; %llu times a grace period that waited was "
           "woken, of %llu epochs; asked again %llu times\n",
           OPERATIONS, (unsigned long long)w.futexes, (unsigned long long)stats.epoch, (unsigned long long)w.again);
    return 0;
}
#endif
