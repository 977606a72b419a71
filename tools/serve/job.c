/* Work in other threads. The contract is in job.h. */
#include "job.h"

#include "events.h"
#include "worker.h"

#include <assert.h>

static void run(uv_work_t *work) {
    hf_job *job = work->data;
    job->run(job);
}

static void end(uv_work_t *work, int status) {
    (void)status; /* nothing is ever cancelled */
    hf_job *job = work->data;
    hf_connection *connection = job->connection;
    job->worker->jobs--;
    if (connection)
        connection->job = NULL;
    job->end(job, connection);
    if (connection && (connection->paused & PAUSE_JOB) && !connection->job && !connection_waits_for_events(connection))
        connection_resume(connection, PAUSE_JOB);
}

static void start(hf_connection *connection, hf_job *job, void (*run_it)(struct hf_job *),
                  void (*end_it)(struct hf_job *, struct hf_connection *)) {
    assert(!connection->job);
    job->worker = connection->worker;
    job->connection = connection;
    job->run = run_it;
    job->end = end_it;
    job->work.data = job;
    connection->job = job;
    connection->worker->jobs++;
    uv_queue_work(&connection->worker->loop, &job->work, run, end);
}

void job_start(hf_connection *connection, hf_job *job, void (*run_it)(struct hf_job *),
               void (*end_it)(struct hf_job *, struct hf_connection *)) {
    connection->paused |= PAUSE_JOB;
    start(connection, job, run_it, end_it);
}

void job_start_beside(hf_connection *connection, hf_job *job, void (*run_it)(struct hf_job *),
                      void (*end_it)(struct hf_job *, struct hf_connection *)) {
    start(connection, job, run_it, end_it);
}
