/* Deterministic schedules. The contract is in schedule.h. */
#include "schedule.h"

#include "harness.h"
#include "wal/perturb.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    BURST = 20000, /* points after which one that spins makes way */
    LOOK_NS = 500000,
    PATIENCE = 20000, /* looks at one that does not move, but is not seen asleep either */
};

enum phase { IDLE, ENTER, ACT, LEAVE, END };

typedef struct actor {
    schedule_actor *job;
    pthread_t thread;
    pid_t number; /* of the thread */
    pthread_cond_t wake;
    enum phase phase;
    bool finished;
    bool parked; /* it waits for its turn, or has not begun */
    uint64_t burst;
} actor;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    actor actors[SCHEDULE_ACTORS];
    unsigned count, unfinished;
    unsigned current; /* who may run; `count`: nobody acts */
    uint64_t progress;
    const schedule *plan;
    uint32_t turn, left, used;
} stage = {.mutex = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static _Thread_local actor *self;

/* ---- who goes on; under the mutex -------------------------------------------------------------------------------- */

static void give_to(unsigned next) {
    stage.current = next;
    stage.progress++;
    stage.actors[next].burst = 0;
    pthread_cond_signal(&stage.actors[next].wake);
}

static void give_to_anybody(unsigned after) {
    for (unsigned i = 1; i <= stage.count; i++) {
        unsigned next = (after + i) % stage.count;
        if (!stage.actors[next].finished) {
            give_to(next);
            return;
        }
    }
}

/* The next turn of the plan, past those of actors that have finished. */
static void next_turn(unsigned me) {
    while (++stage.turn < stage.plan->count) {
        const schedule_turn *turn = &stage.plan->turns[stage.turn];
        stage.left = turn->points;
        if (!stage.actors[turn->actor].finished && turn->points > 0) {
            if (turn->actor != me) {
                give_to(turn->actor);
            }
            return;
        }
    }
    if (stage.actors[me].finished) {
        give_to_anybody(me);
        return;
    }
    for (unsigned i = 1; i < stage.count; i++) { /* the last turn was this one's: the others first */
        unsigned next = (me + i) % stage.count;
        if (!stage.actors[next].finished) {
            give_to(next);
            return;
        }
    }
}

/* Whether the kernel has it asleep: it waits for a lock, or for a grace period. */
static bool is_asleep(const actor *a) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)a->number);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[length] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end && (name_end[2] == 'S' || name_end[2] == 'D');
}

/* Whether the one that has the turn is held up by something else. */
static bool is_stuck(unsigned looks) {
    const actor *running = &stage.actors[stage.current];
    return !running->parked && (looks > PATIENCE || (looks > 1 && is_asleep(running)));
}

/* The one that has the turn is held up: its turn is over, and the plan goes on; or `me` does, where the plan has come to its end. */
static void pass_over(unsigned me) {
    unsigned stuck = stage.current;
    bool planned = stage.turn < stage.plan->count && stage.plan->turns[stage.turn].actor == stuck;
    for (uint32_t i = stage.turn + 1; planned && i < stage.plan->count; i++) {
        const schedule_turn *turn = &stage.plan->turns[i];
        if (turn->actor != stuck && !stage.actors[turn->actor].finished && turn->points > 0) {
            stage.turn = i;
            stage.left = turn->points;
            give_to(turn->actor);
            return;
        }
    }
    give_to(me);
}

static void wait_for_turn(void) {
    unsigned me = (unsigned)(self - stage.actors), looks = 0;
    uint64_t seen = stage.progress;
    self->parked = true;
    while (stage.current != me) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int result = pthread_cond_timedwait(&self->wake, &stage.mutex, &until);
        if (stage.progress != seen || stage.current >= stage.count) {
            looks = 0;
        } else if (result == ETIMEDOUT && is_stuck(++looks)) {
            pass_over(me);
        }
        seen = stage.progress;
    }
    self->parked = false;
}

/* ---- the points -------------------------------------------------------------------------------------------------- */

static void point(void) {
    if (!self || self->phase != ACT) {
        return;
    }
    unsigned me = (unsigned)(self - stage.actors);
    pthread_mutex_lock(&stage.mutex);
    wait_for_turn(); /* it was taken for blocked, and somebody else has the turn */
    self->job->points++;
    stage.progress++;
    bool planned = stage.turn < stage.plan->count && stage.plan->turns[stage.turn].actor == me;
    if (planned && --stage.left == 0) {
        stage.used += stage.used == stage.turn;
        next_turn(me);
    } else if (++self->burst > BURST) {
        self->burst = 0;
        give_to_anybody(me);
    }
    wait_for_turn();
    pthread_mutex_unlock(&stage.mutex);
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

static void begin_act(void) {
    pthread_mutex_lock(&stage.mutex);
    wait_for_turn();
    pthread_mutex_unlock(&stage.mutex);
}

static void end_act(void) {
    unsigned me = (unsigned)(self - stage.actors);
    pthread_mutex_lock(&stage.mutex);
    self->finished = true;
    self->phase = IDLE;
    stage.unfinished--;
    stage.progress++;
    if (stage.unfinished == 0) {
        stage.current = stage.count;
        pthread_cond_signal(&stage.done);
    } else if (stage.current == me) {
        bool planned = stage.turn < stage.plan->count && stage.plan->turns[stage.turn].actor == me;
        if (planned) {
            next_turn(me);
        } else {
            give_to_anybody(me);
        }
    }
    pthread_mutex_unlock(&stage.mutex);
}

static void *live(void *context) {
    self = context;
    self->number = gettid();
    for (;;) {
        pthread_mutex_lock(&stage.mutex);
        while (self->phase == IDLE) {
            pthread_cond_wait(&self->wake, &stage.mutex);
        }
        enum phase phase = self->phase;
        pthread_mutex_unlock(&stage.mutex);
        if (phase == END) {
            return NULL;
        }
        if (phase == ACT) {
            begin_act();
            self->job->act(self->job->context);
            end_act();
            continue;
        }
        void (*run)(void *) = phase == ENTER ? self->job->enter : self->job->leave;
        if (run) {
            run(self->job->context);
        }
        pthread_mutex_lock(&stage.mutex);
        self->phase = IDLE;
        pthread_cond_signal(&stage.done);
        pthread_mutex_unlock(&stage.mutex);
    }
}

/* Lets one actor do a phase, and waits. Under the mutex. */
static void let(actor *a, enum phase phase) {
    a->phase = phase;
    pthread_cond_signal(&a->wake);
    while (a->phase != IDLE) {
        pthread_cond_wait(&stage.done, &stage.mutex);
    }
}

void schedule_open(unsigned actors) {
    CHECK(actors > 0 && actors <= SCHEDULE_ACTORS, "%u actors", actors);
    stage.count = actors;
    stage.current = actors;
    hf_perturb_ask = point;
    for (unsigned i = 0; i < actors; i++) {
        stage.actors[i] = (actor){.phase = IDLE};
        pthread_cond_init(&stage.actors[i].wake, NULL);
        CHECK(pthread_create(&stage.actors[i].thread, NULL, live, &stage.actors[i]) == 0, "no threads");
    }
}

void schedule_close(void) {
    for (unsigned i = 0; i < stage.count; i++) {
        pthread_mutex_lock(&stage.mutex);
        stage.actors[i].phase = END;
        pthread_cond_signal(&stage.actors[i].wake);
        pthread_mutex_unlock(&stage.mutex);
        pthread_join(stage.actors[i].thread, NULL);
        pthread_cond_destroy(&stage.actors[i].wake);
    }
    hf_perturb_ask = NULL;
}

void schedule_run(schedule_actor *actors, const schedule *plan, uint32_t *used) {
    pthread_mutex_lock(&stage.mutex);
    stage.plan = plan;
    stage.turn = stage.used = 0;
    stage.left = plan->count > 0 ? plan->turns[0].points : 0;
    stage.unfinished = stage.count;
    for (unsigned i = 0; i < stage.count; i++) {
        stage.actors[i].job = &actors[i];
        stage.actors[i].finished = false;
        stage.actors[i].parked = true;
        actors[i].points = 0;
        let(&stage.actors[i], ENTER);
    }
    for (unsigned i = 0; i < stage.count; i++) {
        stage.actors[i].phase = ACT;
        pthread_cond_signal(&stage.actors[i].wake);
    }
    give_to(plan->count > 0 ? plan->turns[0].actor : 0);
    while (stage.unfinished > 0) {
        pthread_cond_wait(&stage.done, &stage.mutex);
    }
    if (used) {
        *used = stage.used;
    }
    for (unsigned i = 0; i < stage.count; i++) {
        let(&stage.actors[i], LEAVE);
    }
    pthread_mutex_unlock(&stage.mutex);
}

const char *schedule_text(const schedule *plan) {
    static char text[SCHEDULE_TURNS * 16 + 1];
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%u", i ? " " : "",
                                 'A' + (int)plan->turns[i].actor, plan->turns[i].points);
    }
    return text;
}
