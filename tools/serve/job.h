/* Work that may take long or wait for a disk, done in libuv's threads for a connection that is paused meanwhile. */
#ifndef SERVE_JOB_H
#define SERVE_JOB_H

#include "connection.h"

typedef struct hf_job {
    uv_work_t work;
    struct hf_worker *worker;
    hf_connection *connection; /* NULL: it is gone */
    void (*run)(struct hf_job *job);
    void (*end)(struct hf_job *job, hf_connection *connection);
} hf_job;

/* `run` in another thread, then `end` in the connection's; `connection` is NULL there if it was closed meanwhile. `end`
 * frees the job. The connection is paused from now until then (PAUSE_JOB), unless `pauses` is false. */
void job_start(hf_connection *connection, hf_job *job, void (*run)(struct hf_job *),
               void (*end)(struct hf_job *, struct hf_connection *));
void job_start_beside(hf_connection *connection, hf_job *job, void (*run)(struct hf_job *),
                      void (*end)(struct hf_job *, struct hf_connection *));

#endif
