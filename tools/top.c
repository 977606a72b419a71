/* holdfast top: a gateway's figures, over the wire, as they change. It asks INFO once a second and shows differences.
 *
 *     holdfast top  127.0.0.1:7400   up 1:02:03   kill off   log ok
 *     orders/s 512,345   acknowledged p50 0.4 ms  p99 1.2 ms ...
 */
#include "options.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: holdfast top [--connect HOST:PORT | --connect PATH] [--user NAME] [--password-file FILE]\n"
    "                    [--interval SECONDS] [--once]\n"
    "\n"
    "Shows what a gateway (holdfast serve) does, anew each interval, until SIGINT. The user needs the class read.\n"
    "\n"
    "  --connect      where it listens; a path with a / is a Unix socket; 127.0.0.1:7400\n"
    "  --interval     1 to 3600; 1\n"
    "  --once         two looks one interval apart, then NAME VALUE lines: for scripts\n"
    "\n"
    "exit status: 0 fine; 1 the gateway refused; 2 wrong usage; 3 it cannot be reached\n";

enum { REPLY_BYTES = 1 << 20, ANSWER_MS = 5000 };

typedef struct hf_top {
    const char *where, *user, *password_file;
    uint64_t interval;
    bool once;
    int fd;
    char *before, *now; /* INFO, as texts */
    size_t received;    /* of the reply that is being read */
} hf_top;

/* ---- the wire ---------------------------------------------------------------------------------------------------- */

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int connect_host(const char *where) {
    char host[256] = {0};
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    size_t length = colon ? (size_t)(colon - where) : 0;
    bool bracketed = length > 2 && where[0] == '[' && where[length - 1] == ']';
    if (length == 0 || length >= sizeof host) {
        errno = EINVAL;
        return -1;
    }
    memcpy(host, where + bracketed, length - 2 * bracketed);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static int send_words(hf_top *top, const char *const *words, unsigned count) {
    char *request = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&request, &length);
    if (!out)
        return hf_tell(HF_EXIT_SYSTEM, "out of memory");
    fprintf(out, "*%u\r\n", count);
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    fclose(out);
    bool sent = send(top->fd, request, length, MSG_NOSIGNAL) == (ssize_t)length;
    int saved = errno;
    free(request);
    return sent ? HF_EXIT_FINE : hf_tell(HF_EXIT_SYSTEM, "%s: %s", top->where, strerror(saved));
}

/* More bytes of a reply into text[0..REPLY_BYTES). */
static int receive_more(hf_top *top, char *text) {
    struct pollfd wait = {.fd = top->fd, .events = POLLIN};
    int ready = poll(&wait, 1, ANSWER_MS);
    if (ready < 0 && errno == EINTR)
        return hf_stop_signal ? -1 : HF_EXIT_FINE;
    if (ready == 0)
        return hf_tell(HF_EXIT_SYSTEM, "%s: no answer within %d ms", top->where, ANSWER_MS);
    ssize_t length = ready > 0 ? recv(top->fd, text + top->received, REPLY_BYTES - 1 - top->received, 0) : -1;
    if (length <= 0)
        return hf_tell(HF_EXIT_SYSTEM, "%s: %s", top->where,
                       length == 0 ? "the connection was closed" : strerror(errno));
    top->received += (size_t)length;
    text[top->received] = 0;
    return HF_EXIT_FINE;
}

/* A simple string or a bulk string, whose text is left in `text`; an error is told. */
static int receive_reply(hf_top *top, char *text) {
    top->received = 0;
    text[0] = 0;
    for (;;) {
        char *line_end = strstr(text, "\r\n");
        if (line_end && (text[0] == '-' || text[0] == '+')) {
            *line_end = 0;
            return text[0] == '+' ? HF_EXIT_FINE : hf_tell(HF_EXIT_DATA, "%s: %s", top->where, text + 1);
        }
        if (line_end && text[0] == '$') {
            size_t head = (size_t)(line_end + 2 - text), length = strtoul(text + 1, NULL, 10);
            if (length >= REPLY_BYTES - head - 2)
                return hf_tell(HF_EXIT_DATA, "%s: a reply longer than %d bytes", top->where, REPLY_BYTES);
            if (top->received >= head + length + 2) {
                memmove(text, text + head, length);
                text[length] = 0;
                return HF_EXIT_FINE;
            }
        } else if (line_end) {
            return hf_tell(HF_EXIT_DATA, "%s: not a gateway's reply", top->where);
        }
        int exit_code = receive_more(top, text);
        if (exit_code)
            return exit_code;
    }
}

static int log_in(hf_top *top) {
    char password[514] = {0};
    if (!top->password_file)
        return HF_EXIT_FINE;
    FILE *file = fopen(top->password_file, "re");
    bool read = file && fgets(password, sizeof password, file);
    if (file)
        fclose(file);
    if (!read)
        return hf_tell(HF_EXIT_USAGE, "--password-file: %s: it cannot be read", top->password_file);
    password[strcspn(password, "\r\n")] = 0;
    const char *words[] = {"AUTH", top->user ? top->user : "default", password};
    int exit_code = send_words(top, words, 3);
    return exit_code ? exit_code : receive_reply(top, top->now);
}

static int ask(hf_top *top) {
    char *swap = top->before;
    top->before = top->now;
    top->now = swap;
    const char *words[] = {"INFO"};
    int exit_code = send_words(top, words, 1);
    return exit_code ? exit_code : receive_reply(top, top->now);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

/* The text behind "name:" in an INFO; "" where there is none. Ends at the line's end. */
static const char *find(const char *info, const char *name) {
    size_t length = strlen(name);
    for (const char *line = info; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1;
    }
    return "";
}

static double number(const hf_top *top, const char *name) { return strtod(find(top->now, name), NULL); }
static double rate(const hf_top *top, const char *name) {
    double seconds = (number(top, "server_time_ms") - strtod(find(top->before, "server_time_ms"), NULL)) / 1000;
    double change = number(top, name) - strtod(find(top->before, name), NULL);
    return seconds > 0 ? change / seconds : 0;
}
static int word(const hf_top *top, const char *name) { return (int)strcspn(find(top->now, name), "\r\n"); }

static void print_once(const hf_top *top) {
    static const char *const rates[] = {"orders",           "requests",  "fsyncs", "log_bytes",  "expired",
                                        "bytes_in",         "bytes_out", "events", "outcome_ok", "outcome_out_of_stock",
                                        "outcome_duplicate"};
    static const char *const levels[] = {"connected_clients",
                                         "before_login",
                                         "named_sessions",
                                         "feeds",
                                         "skus",
                                         "ids",
                                         "live",
                                         "epoch",
                                         "durable",
                                         "wheel_lag_ms",
                                         "ring_used",
                                         "ring_size",
                                         "memory_bytes",
                                         "used_memory_rss",
                                         "ring_full",
                                         "throttled",
                                         "acknowledged_us_p50",
                                         "acknowledged_us_p99",
                                         "acknowledged_us_p999"};
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++)
        printf("%s_per_second %.1f\n", rates[i], rate(top, rates[i]));
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++)
        printf("%s %.*s\n", levels[i], word(top, levels[i]), find(top->now, levels[i]));
    printf("kill %.*s\npoisoned %.*s\n", word(top, "kill"), find(top->now, "kill"), word(top, "poisoned"),
           find(top->now, "poisoned"));
}

static void print_outcomes(const hf_top *top) {
    printf("\033[1moutcomes/s\033[0m\033[K\n");
    for (hf_outcome outcome = HF_OUTCOME_OK; outcome < HF_OUTCOME_COUNT; outcome++) {
        char name[64];
        snprintf(name, sizeof name, "outcome_%s", hf_outcome_text(outcome));
        if (number(top, name) > 0)
            printf("  %-18s %'14.0f   %'18.0f in all\033[K\n", hf_outcome_text(outcome), rate(top, name),
                   number(top, name));
    }
}

static void print_screen(const hf_top *top) {
    uint64_t up = (uint64_t)number(top, "uptime_in_seconds");
    printf("\033[H\033[1mholdfast top\033[0m  %s   up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64
           "   kill %.*s   log %s\033[K\n\033[K\n",
           top->where, up / 3600, up / 60 % 60, up % 60, word(top, "kill"), find(top->now, "kill"),
           strncmp(find(top->now, "poisoned"), "no", 2) == 0 ? "ok" : "\033[31mPOISONED\033[0m");
    printf("orders/s       %'14.0f   acknowledged us  p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f\033[K\n",
           rate(top, "orders"), number(top, "acknowledged_us_p50"), number(top, "acknowledged_us_p90"),
           number(top, "acknowledged_us_p99"), number(top, "acknowledged_us_p999"));
    printf("fsyncs/s       %'14.0f   log MB/s %.1f   epochs not durable %.0f\033[K\n", rate(top, "fsyncs"),
           rate(top, "log_bytes") / 1e6, number(top, "epoch") - number(top, "durable"));
    printf("connections    %'14.0f   before login %.0f   sessions %.0f   feeds %.0f\033[K\n",
           number(top, "connected_clients"), number(top, "before_login"), number(top, "named_sessions"),
           number(top, "feeds"));
    double ring = number(top, "ring_size") > 0 ? 100 * number(top, "ring_used") / number(top, "ring_size") : 0;
    printf("ring fill      %13.1f%%   waits for it/s %.1f   throttled/s %.1f   output full/s %.1f\033[K\n", ring,
           rate(top, "ring_full"), rate(top, "throttled"), rate(top, "output_full"));
    printf("live           %'14.0f   expired/s %.0f   wheel lag %.0f ms   ids %'.0f   SKUs %'.0f\033[K\n",
           number(top, "live"), rate(top, "expired"), number(top, "wheel_lag_ms"), number(top, "ids"),
           number(top, "skus"));
    printf("memory MiB     %14.1f   resident %.1f\033[K\n\033[K\n", number(top, "memory_bytes") / 1048576,
           number(top, "used_memory_rss") / 1048576);
    print_outcomes(top);
    printf("\033[J");
    fflush(stdout);
}

/* ---- from beginning to end --------------------------------------------------------------------------------------- */

static void wait_interval(const hf_top *top) {
    struct timespec left = {.tv_sec = (time_t)top->interval};
    while (!hf_stop_signal && nanosleep(&left, &left) != 0) {
    }
}

static int watch(hf_top *top) {
    int exit_code = log_in(top);
    if (exit_code == HF_EXIT_FINE)
        exit_code = ask(top);
    while (exit_code == HF_EXIT_FINE && !hf_stop_signal) {
        wait_interval(top);
        if (hf_stop_signal)
            break;
        exit_code = ask(top);
        if (exit_code == HF_EXIT_FINE && top->once) {
            print_once(top);
            break;
        }
        if (exit_code == HF_EXIT_FINE)
            print_screen(top);
    }
    return exit_code < 0 ? HF_EXIT_FINE : exit_code;
}

static int read_interval(const char *command, const char *value, void *seconds) {
    return hf_parse_count(value, 1, 3600, seconds)
               ? HF_EXIT_FINE
               : hf_tell_usage(command, "--interval: '%s' found, expected seconds from 1 to 3600", value);
}

static int read_command_line(hf_top *top, int argc, char **argv) {
    *top = (hf_top){.where = "127.0.0.1:7400", .interval = 1, .fd = -1};
    const hf_option options[] = {
        {"connect", .text = &top->where},
        {"user", .text = &top->user},
        {"password-file", .text = &top->password_file},
        {"interval", .read = read_interval, .into = &top->interval},
        {"once", .flag = &top->once},
        {0},
    };
    return hf_read_options(argc, argv, help, options, false);
}

int hf_command_top(int argc, char **argv) {
    hf_top top;
    int exit_code = read_command_line(&top, argc, argv);
    if (exit_code)
        return exit_code < 0 ? hf_finish_output(HF_EXIT_FINE) : exit_code;
    hf_catch_signals();
    top.before = calloc(1, REPLY_BYTES);
    top.now = calloc(1, REPLY_BYTES);
    top.fd = strchr(top.where, '/') ? connect_unix(top.where) : connect_host(top.where);
    if (!top.before || !top.now)
        exit_code = hf_tell(HF_EXIT_SYSTEM, "out of memory");
    else if (top.fd < 0)
        exit_code = hf_tell(HF_EXIT_SYSTEM, "%s: %s", top.where, strerror(errno));
    else
        exit_code = watch(&top);
    if (top.fd >= 0)
        close(top.fd);
    free(top.before);
    free(top.now);
    return hf_finish_output(exit_code);
}
