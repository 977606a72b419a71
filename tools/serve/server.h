/* What all threads of the server share: the engine, the settings, the users, and a few flags and tallies. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "registry.h"
#include "settings.h"

#include <holdfast/holdfast.h>
#include <openssl/ssl.h>

struct hf_worker;

typedef struct hf_server {
    const hf_settings *settings;
    hf_engine *engine;
    struct hf_worker *workers;
    uint32_t worker_count;
    const access_user *default_user; /* NULL: everybody has to log in */
    SSL_CTX *tls;
    uint64_t started_ms, started_ns; /* by the wall clock, and by uv_hrtime */
    char run_id[41];

    bool killed;                            /* flag: the kill switch is on */
    uint64_t connections, before_login;     /* tallies: now, from when one is accepted */
    uint64_t feeds, named_sessions;         /* tallies: now */
    uint64_t accepted, refused_connections; /* tallies: ever */
    uint64_t closed_ticket;                 /* tally: the highest ticket of a named session that was closed */

    uint64_t workers_running; /* tally */
    void (*wake)(void);       /* the main thread */

    hf_registry registry;
    pthread_mutex_t names_mutex; /* guards named sessions (session.h) */
    struct named_session *names;
} hf_server;

/* Whether a new connection counts as one before its login. */
static inline bool server_wants_login(const hf_server *server, bool tls) { return !server->default_user || tls; }

/* From a worker's thread that has drained. */
void server_worker_ended(hf_server *server);

/* The file gateway-kill-switch in the data directory is what a restart finds. */
bool server_kill_is_kept(const hf_server *server);
/* Writes it down, or takes it away, durably. 0, or an errno. May wait for the disk. */
int server_kill_keep(const hf_server *server, bool on);

#endif
