/* holdfast serve: the order gateway. This is the main thread: it opens the engine, accepts and hands connections to the
 * workers, catches signals, writes the log lines, serves metrics, and stops in order.
 *
 * Guarantees
 *   A  Nothing is served before everything that can be wrong with the settings was found, and the engine is open.
 *   B  Without a password, without TLS, only loopback addresses and Unix sockets are listened at.
 *   C  SIGTERM and SIGINT: no new connections; what was carried out is answered once it is durable, within drain_ms;
 *      then the engine is closed, which makes everything durable. A second signal cuts the wait short.
 */
#include "../tool.h"
#include "http.h"
#include "journal.h"
#include "listen.h"
#include "notify.h"
#include "shared.h"
#include "tls.h"
#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, ACCEPTS_A_TURN = 64, SPARE_FILES = 128, WORKER_FILES = 4, FEED_FILES = 3 };

static const char help[] =
    "usage: holdfast serve --dir D [--config FILE] [--NAME VALUE ...]\n"
    "       holdfast serve --make-hash < PASSWORD\n"
    "\n"
    "Serves directory D to clients that speak RESP2 or RESP3: redis-cli, and the Redis client of any\n"
    "language. docs/GATEWAY.md has every command, reply and error.\n"
    "\n"
    "A config file has one setting on a line, its name without dashes before it, then its value; lines\n"
    "that begin with # are skipped. Flags go before the file. Users stand in the file alone:\n"
    "  user NAME [hash sha256:...] classes read,write,admin [prefix SKU-PREFIX]... [throttle N]\n"
    "--make-hash prints the hash of a password that it reads.\n";

static const char help_end[] =
    "\nexit status: 0 stopped in order; 1 D is damaged or not as expected; 2 wrong usage or settings; 3 "
    "system trouble\n";

typedef struct hf_listener {
    uv_poll_t poll;
    int fd;
    bool tls, is_polled;
} hf_listener;

static struct {
    hf_settings settings;
    hf_server server;
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_async_t wake;
    uv_timer_t tick;
    hf_listener listeners[2 * LISTEN_SOCKETS + 1];
    unsigned listener_count;
    int metrics_fd;
    unsigned stops; /* signals that asked to stop */
    uint32_t next_worker;
    uint64_t next_id;
    bool poison_told;
} state = {.metrics_fd = -1};

/* ---- settings that hang together --------------------------------------------------------------------------------- */

static int read_password(hf_settings *settings) {
    char line[ACCESS_PASSWORD + 2];
    struct stat found;
    FILE *file = fopen(settings->password_file, "re");
    if (!file || fstat(fileno(file), &found) != 0) {
        if (file)
            fclose(file);
        return hf_tell(HF_EXIT_USAGE, "password-file: %s: %s", settings->password_file, strerror(errno));
    }
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    size_t length = read ? strcspn(line, "\r\n") : 0;
    bool whole = read && (line[length] != 0 || strlen(line) < sizeof line - 1);
    int exit_code = HF_EXIT_FINE;
    if (!whole || length == 0)
        exit_code = hf_tell(HF_EXIT_USAGE, "password-file: %s: expected a first line of 1 to %d bytes",
                            settings->password_file, ACCESS_PASSWORD);
    else if (found.st_mode & S_IRWXO)
        exit_code =
            hf_tell(HF_EXIT_USAGE, "password-file: %s: others may use it: chmod o= it", settings->password_file);
    else if (access_find(&settings->users, "default", 7))
        exit_code = hf_tell(HF_EXIT_USAGE, "password-file: there is a user line for default too: expected one of them");
    else if (!access_add_default(&settings->users, line, length))
        exit_code = hf_tell(HF_EXIT_SYSTEM, "out of memory");
    OPENSSL_cleanse(line, sizeof line);
    return exit_code;
}

/* With no user at all, everybody is the default user, who may do everything. */
static int set_up_users(hf_settings *settings, hf_server *server) {
    int exit_code = settings->password_file ? read_password(settings) : HF_EXIT_FINE;
    if (exit_code)
        return exit_code;
    if (settings->users.count == 0) {
        if (!access_add_default(&settings->users, "", 0))
            return hf_tell(HF_EXIT_SYSTEM, "out of memory");
        server->default_user = &settings->users.items[0];
    }
    return HF_EXIT_FINE;
}

static int check_settings(hf_settings *settings) {
    if (!settings->dir)
        return hf_tell_usage("serve", "dir: it is missing");
    if (settings->listen.count == 0 && settings->tls_listen.count == 0 && !settings->unix)
        settings->listen.items[settings->listen.count++] = strdup("127.0.0.1:7400");
    if (settings->tls_listen.count && (!settings->tls_certificate || !settings->tls_key))
        return hf_tell_usage("serve", "tls-listen: expected tls-certificate and tls-key with it");
    if (settings->tls_name_is_user && settings->tls_clients == TLS_CLIENTS_NONE)
        return hf_tell_usage("serve", "tls-name-is-user: expected tls-clients optional or required with it");
    if (settings->output_pause_bytes > settings->output_limit_bytes / 2)
        return hf_tell_usage("serve", "output-pause-bytes: expected at most half of output-limit-bytes");
    if (settings->threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        settings->threads = processors > 3 ? (uint64_t)processors / 2 : 1;
        settings->threads = settings->threads > 16 ? 16 : settings->threads;
    }
    return HF_EXIT_FINE;
}

/* ---- listening --------------------------------------------------------------------------------------------------- */

/* Guarantee B. */
static int check_exposure(const char *name, const char *text, const listen_address *address, bool tls, bool has_users) {
    if (address->is_loopback || tls || has_users)
        return HF_EXIT_FINE;
    return hf_tell(HF_EXIT_USAGE,
                   "%s: %s: others can reach it: expected a loopback address, or a password (password-file, "
                   "user lines), or TLS (tls-listen)",
                   name, text);
}

static void add_listener(int fd, bool tls) {
    state.listeners[state.listener_count++] = (hf_listener){.fd = fd, .tls = tls};
}

static int bind_list(const settings_list *list, const char *name, bool tls) {
    for (uint32_t i = 0; i < list->count; i++) {
        listen_address address;
        char why[256];
        if (!listen_parse(&address, list->items[i], why, sizeof why))
            return hf_tell(HF_EXIT_USAGE, "%s: %s", name, why);
        int exit_code = check_exposure(name, list->items[i], &address, tls, !state.server.default_user);
        if (exit_code)
            return exit_code;
        int fd = listen_bind(&address, why, sizeof why);
        if (fd < 0)
            return hf_tell(HF_EXIT_SYSTEM, "%s: %s: %s", name, list->items[i], why);
        add_listener(fd, tls);
    }
    return HF_EXIT_FINE;
}

static int bind_metrics(const hf_settings *settings) {
    listen_address address;
    char why[256];
    if (!settings->metrics_listen)
        return HF_EXIT_FINE;
    if (!listen_parse(&address, settings->metrics_listen, why, sizeof why))
        return hf_tell(HF_EXIT_USAGE, "metrics-listen: %s", why);
    if (!address.is_loopback && !settings->metrics_anywhere)
        return hf_tell(HF_EXIT_USAGE,
                       "metrics-listen: %s: others can reach it: expected a loopback address, or "
                       "metrics-anywhere yes",
                       settings->metrics_listen);
    state.metrics_fd = listen_bind(&address, why, sizeof why);
    if (state.metrics_fd < 0)
        return hf_tell(HF_EXIT_SYSTEM, "metrics-listen: %s: %s", settings->metrics_listen, why);
    return HF_EXIT_FINE;
}

static int bind_all(const hf_settings *settings) {
    int exit_code = bind_list(&settings->listen, "listen", false);
    if (exit_code == HF_EXIT_FINE)
        exit_code = bind_list(&settings->tls_listen, "tls-listen", true);
    if (exit_code == HF_EXIT_FINE && settings->unix) {
        char why[256];
        int fd = listen_bind_unix(settings->unix, why, sizeof why);
        if (fd < 0)
            return hf_tell(HF_EXIT_SYSTEM, "unix: %s: %s", settings->unix, why);
        add_listener(fd, false);
    }
    return exit_code == HF_EXIT_FINE ? bind_metrics(settings) : exit_code;
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

/* Whether there is room for another connection; where not, it is told so. */
static bool admit(int fd, bool tls) {
    hf_server *server = &state.server;
    const hf_settings *settings = &state.settings;
    const char *limit = NULL;
    if (counter_read_relaxed(&server->connections) >= settings->max_connections) /* relaxed: a gauge is close enough */
        limit = "-HFLIMIT max-connections: no more are taken\r\n";
    else if (server_wants_login(server, tls) &&
             counter_read_relaxed(&server->before_login) >= settings->max_before_login)
        limit = "-HFLIMIT max-before-login: no more are taken\r\n";
    if (!limit)
        return true;
    if (tally_add_relaxed(&server->refused_connections, 1) % 1000 == 1)
        journal(JOURNAL_WARNING, "connection_refused", "limit",
                strstr(limit, "before") ? "max-before-login" : "max-connections", "refused_so_far",
                journal_number(counter_read_relaxed(&server->refused_connections)), NULL);
    if (!tls)
        (void)!send(fd, limit, strlen(limit), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    return false;
}

static void hand_over(int fd, bool tls) {
    hf_server *server = &state.server;
    if (!admit(fd, tls))
        return;
    hf_worker *worker = &server->workers[state.next_worker++ % server->worker_count];
    tally_add_relaxed(&server->connections, 1); /* relaxed: gauges */
    tally_add_relaxed(&server->before_login, server_wants_login(server, tls));
    tally_add_relaxed(&server->accepted, 1);
    worker_message message = {tls ? MESSAGE_TLS_SOCKET : MESSAGE_SOCKET, fd, ++state.next_id};
    if (!worker_post(worker, message)) {
        tally_take_relaxed(&server->connections, 1);
        tally_take_relaxed(&server->before_login, server_wants_login(server, tls));
        close(fd);
    }
}

static void on_listener(uv_poll_t *poll, int status, int events) {
    hf_listener *listener = poll->data;
    (void)status;
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(fd, listener->tls);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            journal(JOURNAL_ERROR, "accept_failed", "error", strerror(errno), NULL);
            uv_poll_stop(&listener->poll); /* the tick tries again */
            listener->is_polled = false;
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void watch_listeners(void) {
    for (unsigned i = 0; i < state.listener_count; i++) {
        hf_listener *listener = &state.listeners[i];
        if (listener->is_polled || listener->fd < 0)
            continue;
        uv_poll_start(&listener->poll, UV_READABLE, on_listener);
        listener->is_polled = true;
    }
}

static int listen_all(void) {
    for (unsigned i = 0; i < state.listener_count; i++) {
        hf_listener *listener = &state.listeners[i];
        char address[256];
        listen_describe(listener->fd, address, sizeof address);
        if (listen(listener->fd, 1024) != 0)
            return hf_tell(HF_EXIT_SYSTEM, "listening at %s: %s", address, strerror(errno));
        uv_poll_init(&state.loop, &listener->poll, listener->fd);
        listener->poll.data = listener;
        journal(JOURNAL_INFO, "listening", "address", address, "tls", listener->tls ? "yes" : "no", NULL);
    }
    watch_listeners();
    if (state.metrics_fd >= 0) {
        char address[256];
        listen_describe(state.metrics_fd, address, sizeof address);
        int error = http_start(&state.loop, &state.server, state.metrics_fd);
        if (error)
            return hf_tell(HF_EXIT_SYSTEM, "listening at %s: %s", address, uv_strerror(error));
        journal(JOURNAL_INFO, "metrics", "address", address, NULL);
    }
    return HF_EXIT_FINE;
}

static void stop_listening(void) {
    for (unsigned i = 0; i < state.listener_count; i++) {
        hf_listener *listener = &state.listeners[i];
        if (listener->fd < 0)
            continue;
        if (listener->poll.loop) /* else the start failed before anybody listened there */
            uv_close((uv_handle_t *)&listener->poll, NULL);
        close(listener->fd);
        listener->fd = -1;
    }
    if (state.settings.unix)
        unlink(state.settings.unix);
}

/* ---- the main thread's events ------------------------------------------------------------------------------------ */

static void on_wake(uv_async_t *wake) {
    (void)wake;
    journal_write();
    if (state.stops && counter_read_relaxed(&state.server.workers_running) == 0) /* relaxed: the join orders it */
        uv_stop(&state.loop);
}

static void wake_main(void) { uv_async_send(&state.wake); }
static void wake_for_journal(void *context) {
    (void)context;
    wake_main();
}

void server_worker_ended(hf_server *server) {
    tally_take_relaxed(&server->workers_running, 1); /* relaxed: the join orders what it did */
    server->wake();
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)signal;
    if (number == SIGHUP) {
        journal_reopen();
        return;
    }
    state.stops++;
    uint64_t drain_ms = state.stops == 1 ? state.settings.drain_ms : 0;
    if (state.stops == 1) {
        journal(JOURNAL_INFO, "stopping", "signal", number == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
        notify("STOPPING=1");
        stop_listening();
    }
    for (uint32_t i = 0; i < state.server.worker_count; i++)
        worker_post(&state.server.workers[i], (worker_message){.type = MESSAGE_DRAIN, .id = drain_ms});
}

static void on_tick(uv_timer_t *tick) {
    (void)tick;
    if (!state.stops)
        watch_listeners();
    if (!state.poison_told && hf_health(state.server.engine) != HF_SUCCESS) {
        state.poison_told = true;
        journal(JOURNAL_ERROR, "poisoned", "detail", hf_error_detail(), NULL);
        notify("STATUS=poisoned: the log could not be written; reads are served");
    }
}

static void start_main_handles(void) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (unsigned i = 0; i < 3; i++) {
        uv_signal_init(&state.loop, &state.signals[i]);
        uv_signal_start(&state.signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&state.loop, &state.tick);
    uv_timer_start(&state.tick, on_tick, TICK_MS, TICK_MS);
}

/* ---- the engine -------------------------------------------------------------------------------------------------- */

static int open_engine(const hf_settings *settings, hf_server *server) {
    hf_options options;
    hf_options_init(&options);
    options.flags = HF_NONBLOCKING;
    options.shards = (uint32_t)settings->shards;
    options.expected_skus = settings->expected_skus;
    options.expected_reservations = settings->expected_reservations;
    options.max_reservations = settings->max_reservations;
    options.retention_ms = settings->retention_ms;
    options.segment_bytes = settings->segment_bytes;
    options.ring_bytes = (uint32_t)settings->ring_bytes;
    options.batch_delay_us = (uint32_t)settings->batch_delay_us;
    options.checkpoint_bytes = settings->checkpoint_bytes;
    int error = hf_open(settings->dir, &options, &server->engine);
    if (error)
        return hf_tell_error(error, settings->dir);
    hf_stats stats;
    hf_stats_read(server->engine, &stats);
    journal(JOURNAL_INFO, "opened", "dir", settings->dir, "durable", journal_number(stats.durable), "skus",
            journal_number(stats.skus), "live", journal_number(stats.live), "replay_ms",
            journal_number(stats.replay_ms), "cut_bytes", journal_number(stats.cut_bytes), NULL);
    return HF_EXIT_FINE;
}

/* As many open files as connections and their feeds may need. Where the system allows fewer, fewer connections are
 * taken: the last files are the log's, which fails for good when it cannot open its next segment. */
static void raise_file_limit(hf_settings *settings) {
    struct rlimit limit;
    uint64_t feeds = settings->max_feeds < settings->max_connections ? settings->max_feeds : settings->max_connections;
    uint64_t own = SPARE_FILES + WORKER_FILES * settings->threads;
    uint64_t wanted = own + settings->max_connections + FEED_FILES * feeds;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    rlim_t allowed = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        allowed = limit.rlim_cur;
    if (allowed >= wanted)
        return;
    uint64_t room = allowed > own + 1 + FEED_FILES ? allowed - own : 1 + FEED_FILES;
    uint64_t each_fed = room / (1 + FEED_FILES);
    settings->max_connections = feeds < each_fed ? room - FEED_FILES * feeds : each_fed;
    journal(JOURNAL_WARNING, "few_files", "files", journal_number(allowed), "wanted", journal_number(wanted),
            "max_connections", journal_number(settings->max_connections), NULL);
}

static int start_workers(const hf_settings *settings, hf_server *server) {
    server->workers = calloc(settings->threads, sizeof *server->workers);
    if (!server->workers)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < settings->threads; i++) {
        tally_add_relaxed(&server->workers_running, 1); /* relaxed: the thread's start orders it */
        bool works = worker_start(&server->workers[i], server, i);
        if (server->workers[i].started)
            server->worker_count = i + 1;
        else
            tally_take_relaxed(&server->workers_running, 1);
        if (!works)
            return hf_tell(HF_EXIT_SYSTEM, "starting an I/O thread: %s", hf_error_text(server->workers[i].error));
    }
    return HF_EXIT_FINE;
}

static void stop_workers(hf_server *server) {
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_join(&server->workers[i]);
}

/* ---- from beginning to end --------------------------------------------------------------------------------------- */

static void name_this_run(hf_server *server) {
    uint8_t random[20];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    server->started_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    server->started_ns = uv_hrtime();
    RAND_bytes(random, sizeof random);
    for (unsigned i = 0; i < sizeof random; i++)
        snprintf(server->run_id + 2 * (size_t)i, 3, "%02x", random[i]);
}

/* Everything that can be found wrong before the engine is opened. */
static int prepare(hf_settings *settings, hf_server *server) {
    char why[512];
    int exit_code = check_settings(settings);
    if (exit_code == HF_EXIT_FINE)
        exit_code = set_up_users(settings, server);
    if (exit_code)
        return exit_code;
    if (!journal_open(settings))
        return hf_tell(HF_EXIT_SYSTEM, "log-file: %s: %s", settings->log_file, strerror(errno));
    if (settings->tls_listen.count && !(server->tls = tls_open(settings, why, sizeof why)))
        return hf_tell(HF_EXIT_USAGE, "%s", why);
    raise_file_limit(settings);
    return bind_all(settings);
}

static int run(hf_settings *settings, hf_server *server) {
    server->settings = settings;
    server->wake = wake_main;
    registry_init(&server->registry);
    pthread_mutex_init(&server->names_mutex, NULL);
    command_table_init();
    name_this_run(server);
    int exit_code = prepare(settings, server);
    if (exit_code == HF_EXIT_FINE)
        exit_code = open_engine(settings, server);
    if (exit_code)
        return exit_code;
    server->killed = server_kill_is_kept(server);
    uv_loop_init(&state.loop);
    uv_async_init(&state.loop, &state.wake, on_wake);
    exit_code = start_workers(settings, server);
    start_main_handles();
    if (exit_code == HF_EXIT_FINE)
        exit_code = listen_all();
    if (exit_code == HF_EXIT_FINE) {
        journal_wake_with(wake_for_journal, NULL);
        journal(JOURNAL_INFO, "ready", "threads", journal_number(server->worker_count), "kill",
                server->killed ? "on" : "off", NULL);
        notify("READY=1");
    } else {
        on_signal(NULL, SIGTERM);
        wake_main(); /* there may be no worker to end */
    }
    uv_run(&state.loop, UV_RUN_DEFAULT);
    stop_workers(server);
    return exit_code;
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int clean_up(hf_settings *settings, hf_server *server, int exit_code) {
    http_stop();
    if (server->engine) {
        int error = hf_close(server->engine);
        if (error && exit_code == HF_EXIT_FINE)
            exit_code = hf_tell_error(error, "closing");
        journal(JOURNAL_INFO, "stopped", "exit_status", journal_number((uint64_t)exit_code), NULL);
    }
    journal_close();
    if (state.tick.loop) {
        uv_walk(&state.loop, close_handle, NULL);
        uv_run(&state.loop, UV_RUN_DEFAULT);
        uv_loop_close(&state.loop);
    }
    free(server->workers);
    SSL_CTX_free(server->tls);
    settings_free(settings);
    return exit_code;
}

static int make_hash(void) {
    char line[ACCESS_PASSWORD + 2], hash[ACCESS_HASH_TEXT + 1];
    size_t length = fgets(line, sizeof line, stdin) ? strcspn(line, "\r\n") : 0;
    if (length == 0 || !access_hash(line, length, hash))
        return hf_tell(HF_EXIT_USAGE, "--make-hash: expected a password of 1 to %d bytes on standard input",
                       ACCESS_PASSWORD);
    OPENSSL_cleanse(line, sizeof line);
    puts(hash);
    return hf_finish_output(HF_EXIT_FINE);
}

/* Nothing is allocated for a request, so few arenas are enough; large buffers go back to the system as soon as they are
 * freed, instead of leaving holes that only look like a leak. */
static void keep_memory_tight(void) {
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

int hf_command_serve(int argc, char **argv) {
    settings_problem problem;
    if (argc == 2 && strcmp(argv[1], "--make-hash") == 0)
        return make_hash();
    signal(SIGPIPE, SIG_IGN);
    keep_memory_tight();
    settings_init(&state.settings);
    int found = settings_read(&state.settings, argc, argv, &problem);
    int exit_code = HF_EXIT_FINE;
    if (found == 1) {
        fputs(help, stdout);
        settings_print_help(stdout);
        fputs(help_end, stdout);
        exit_code = hf_finish_output(HF_EXIT_FINE);
    } else if (found == 2) {
        exit_code = hf_tell_usage("serve", "%s", problem.text);
    } else {
        exit_code = run(&state.settings, &state.server);
    }
    return clean_up(&state.settings, &state.server, exit_code);
}
