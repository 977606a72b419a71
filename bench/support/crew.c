#include "crew.h"

#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct crew_flag crew_flag;

struct crew {
    crew_plan plan;
    pthread_mutex_t mutex; /* guards what follows, and what members found */
    pthread_cond_t changed;
    unsigned turn;    /* grows by one to begin a turn */
    unsigned working; /* members not yet back from this turn, or not yet prepared */
    bool ending;
    struct seat {
        pthread_t thread;
        member member;
        char pad[HF_CACHE_LINE]; /* a member counts in its own line */
    } * seats;
};

static void report_back(crew *team) {
    pthread_mutex_lock(&team->mutex);
    team->working--;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->mutex);
}

/* Whether there is a turn after `last`; false: the crew ends. */
static bool wait_for_turn(crew *team, unsigned last) {
    pthread_mutex_lock(&team->mutex);
    while (team->turn == last && !team->ending) {
        pthread_cond_wait(&team->changed, &team->mutex);
    }
    bool go_on = !team->ending;
    pthread_mutex_unlock(&team->mutex);
    return go_on;
}

static void *live(void *seat_pointer) {
    struct seat *seat = seat_pointer;
    member *self = &seat->member;
    crew *team = self->crew;
    if (team->plan.prepare) {
        team->plan.prepare(self, team->plan.context);
    }
    report_back(team);
    for (unsigned last = 0; wait_for_turn(team, last); last++) {
        team->plan.work(self, team->plan.context);
        report_back(team);
    }
    if (team->plan.finish) {
        team->plan.finish(self, team->plan.context);
    }
    return NULL;
}

static void wait_for_all(crew *team) {
    pthread_mutex_lock(&team->mutex);
    while (team->working > 0) {
        pthread_cond_wait(&team->changed, &team->mutex);
    }
    pthread_mutex_unlock(&team->mutex);
}

crew *crew_start(const crew_plan *plan) {
    crew *team = need(calloc(1, sizeof *team));
    team->plan = *plan;
    team->working = plan->count;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->changed, NULL);
    team->seats = need(calloc(plan->count, sizeof *team->seats));
    for (unsigned i = 0; i < plan->count; i++) {
        team->seats[i].member = (member){.crew = team, .number = i};
        if (pthread_create(&team->seats[i].thread, NULL, live, &team->seats[i]) != 0) {
            die("cannot start thread %u of %u", i + 1, plan->count);
        }
    }
    wait_for_all(team);
    return team;
}

static void sleep_for(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

void crew_run(crew *team, double seconds) {
    hf_store_relaxed(&crew_flag.over, 0); /* relaxed: the mutex carries it to the members */
    pthread_mutex_lock(&team->mutex);
    team->working = team->plan.count;
    team->turn++;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->mutex);
    sleep_for(seconds);
    hf_store_relaxed(&crew_flag.over, 1); /* relaxed: see crew_is_over */
    wait_for_all(team);
}

member *crew_member(crew *team, unsigned number) { return &team->seats[number].member; }

uint64_t crew_done(crew *team) {
    uint64_t done = 0;
    for (unsigned i = 0; i < team->plan.count; i++) {
        done += team->seats[i].member.done;
    }
    return done;
}

double crew_rate(crew *team) {
    double rate = 0;
    for (unsigned i = 0; i < team->plan.count; i++) {
        rate += (double)team->seats[i].member.done / team->seats[i].member.seconds;
    }
    return rate;
}

double crew_processor_ns(crew *team) {
    double seconds = 0;
    for (unsigned i = 0; i < team->plan.count; i++) {
        seconds += team->seats[i].member.processor_seconds;
    }
    return seconds * 1e9 / (double)crew_done(team);
}

void crew_end(crew *team) {
    pthread_mutex_lock(&team->mutex);
    team->ending = true;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->mutex);
    for (unsigned i = 0; i < team->plan.count; i++) {
        pthread_join(team->seats[i].thread, NULL);
    }
    free(team->seats);
    free(team);
}
