/* INFO, CONFIG GET, ROLE. */
#include "journal.h"
#include "shared.h"
#include "worker.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- INFO: sections of "name:value" ------------------------------------------------------------------------------ */

typedef struct hf_report {
    const hf_server *server;
    hf_stats stats;
    worker_counters counters;
} hf_report;

static uint64_t resident_bytes(void) {
    unsigned long long whole, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%llu %llu", &whole, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_server(FILE *out, const hf_report *report) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    fprintf(out,
            "redis_version:7.0.0\r\nredis_mode:standalone\r\nholdfast_version:%s\r\nprocess_id:%d\r\nrun_id:%s\r\n",
            hf_version(), getpid(), report->server->run_id);
    fprintf(out, "uptime_in_seconds:%" PRIu64 "\r\nserver_time_ms:%" PRIu64 "\r\nio_threads:%u\r\n",
            (now_ms - report->server->started_ms) / 1000, now_ms, report->server->worker_count);
}

static void write_clients(FILE *out, const hf_report *report) {
    const hf_server *server = report->server;
    /* relaxed: figures, here and below */
    fprintf(out, "connected_clients:%" PRIu64 "\r\nmaxclients:%" PRIu64 "\r\nbefore_login:%" PRIu64 "\r\n",
            counter_read_relaxed(&server->connections), server->settings->max_connections,
            counter_read_relaxed(&server->before_login));
    fprintf(out, "named_sessions:%" PRIu64 "\r\nfeeds:%" PRIu64 "\r\n", counter_read_relaxed(&server->named_sessions),
            counter_read_relaxed(&server->feeds));
}

static void write_memory(FILE *out, const hf_report *report) {
    fprintf(out, "used_memory:%" PRIu64 "\r\nused_memory_rss:%" PRIu64 "\r\n", report->stats.memory_bytes,
            resident_bytes());
}

static void write_persistence(FILE *out, const hf_report *report) {
    fprintf(out, "loading:0\r\naof_enabled:1\r\naof_last_write_status:%s\r\n",
            hf_health(report->server->engine) == HF_SUCCESS ? "ok" : "err");
}

static void write_stats(FILE *out, const hf_report *report) {
    const worker_counters *counters = &report->counters;
    fprintf(out,
            "total_connections_received:%" PRIu64 "\r\nrejected_connections:%" PRIu64
            "\r\ntotal_commands_processed:%" PRIu64 "\r\n",
            counter_read_relaxed(&report->server->accepted), counter_read_relaxed(&report->server->refused_connections),
            counters->requests);
    fprintf(out, "total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64 "\r\n", counters->bytes_in,
            counters->bytes_out);
}

static void write_engine(FILE *out, const hf_report *report) {
#define X(name, unit, meaning) fprintf(out, "%s:%" PRIu64 "\r\n", #name, report->stats.name);
    HF_STATS_MAP(X)
#undef X
}

static void write_gateway(FILE *out, const hf_report *report) {
    const worker_counters *counters = &report->counters;
    fprintf(out, "kill:%s\r\npoisoned:%s\r\nlog_lines_lost:%" PRIu64 "\r\n",
            flag_is_set_acquire(&report->server->killed) ? "on" : "off",
            hf_health(report->server->engine) == HF_SUCCESS ? "no" : "yes", journal_lost());
#define X(name, help) fprintf(out, "%s:%" PRIu64 "\r\n", #name, counters->name);
    WORKER_COUNTER_MAP(X)
#undef X
    for (hf_outcome outcome = HF_OUTCOME_OK; outcome < HF_OUTCOME_COUNT; outcome++)
        fprintf(out, "outcome_%s:%" PRIu64 "\r\n", hf_outcome_text(outcome), counters->outcomes[outcome]);
    for (unsigned i = 0; i < GATEWAY_ERRORS; i++)
        fprintf(out, "error_%s:%" PRIu64 "\r\n", gateway_error_prefix((gateway_error)i), counters->errors[i]);
    for (unsigned i = 0; i < CONNECTION_ENDS; i++)
        fprintf(out, "ended_%s:%" PRIu64 "\r\n", connection_end_text((connection_end)i), counters->ends[i]);
}

static void write_latency(FILE *out, const hf_report *report) {
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    for (unsigned i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        fprintf(out, "acknowledged_us_%s:%.1f\r\n", quantiles[i].name,
                (double)histogram_quantile(&report->counters.acknowledged, quantiles[i].q) / 1000.0);
    fprintf(out, "acknowledged:%" PRIu64 "\r\nacknowledged_us_sum:%" PRIu64 "\r\n", report->counters.acknowledged.count,
            report->counters.acknowledged.sum_ns / 1000);
}

static void write_replication(FILE *out, const hf_report *report) {
    (void)report;
    fputs("role:master\r\nconnected_slaves:0\r\n", out);
}

static void write_keyspace(FILE *out, const hf_report *report) {
    if (report->stats.skus)
        fprintf(out, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", report->stats.skus);
}

static const struct section {
    const char *name;
    void (*write)(FILE *out, const hf_report *report);
} sections[] = {
    {"Server", write_server},           {"Clients", write_clients}, {"Memory", write_memory},
    {"Persistence", write_persistence}, {"Stats", write_stats},     {"Engine", write_engine},
    {"Gateway", write_gateway},         {"Latency", write_latency}, {"Replication", write_replication},
    {"Keyspace", write_keyspace},
};

static bool is_wanted(const command_request *request, const char *name) {
    char upper[32] = {0};
    for (size_t i = 0; name[i]; i++)
        upper[i] = (char)(name[i] & ~0x20);
    for (uint32_t i = 1; i < request->count; i++) {
        hf_text asked = argument_of(request, i);
        if (text_is(asked, upper) || text_is(asked, "ALL") || text_is(asked, "EVERYTHING") || text_is(asked, "DEFAULT"))
            return true;
    }
    return request->count == 1;
}

command_result info_command(hf_connection *connection, const command_request *request) {
    char *bytes = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&bytes, &length);
    if (!out)
        return connection_refuse(connection, GATEWAY_LIMIT, "out of memory");
    hf_report report = {.server = connection->worker->server};
    hf_stats_read(report.server->engine, &report.stats);
    metrics_collect(report.server, &report.counters);
    bool first = true;
    for (unsigned i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(request, sections[i].name))
            continue;
        fprintf(out, "%s# %s\r\n", first ? "" : "\r\n", sections[i].name);
        sections[i].write(out, &report);
        first = false;
    }
    fclose(out);
    reply_verbatim(&connection->writer, bytes, length);
    free(bytes);
    return COMMAND_DONE;
}

/* ---- CONFIG GET -------------------------------------------------------------------------------------------------- */

/* What clients of Redis ask for: there is no snapshot schedule, and the log is always written. */
static const char *const redis_settings[][2] = {
    {"save", ""}, {"appendonly", "yes"}, {"maxmemory", "0"}, {"databases", "1"}};
enum { REDIS_SETTINGS = sizeof redis_settings / sizeof redis_settings[0] };

static bool next_setting(const hf_connection *connection, unsigned index, const char **name, char value[1024]) {
    if (index < REDIS_SETTINGS) {
        *name = redis_settings[index][0];
        snprintf(value, 1024, "%s", redis_settings[index][1]);
        return true;
    }
    return settings_show(connection->worker->server->settings, index - REDIS_SETTINGS, name, value, 1024);
}

static bool matches(const command_request *request, const char *name) {
    for (uint32_t i = 2; i < request->count; i++) {
        char pattern[128] = {0};
        hf_text asked = argument_of(request, i);
        if (asked.length < sizeof pattern) {
            memcpy(pattern, asked.bytes, asked.length);
            if (fnmatch(pattern, name, FNM_CASEFOLD) == 0)
                return true;
        }
    }
    return false;
}

command_result config_command(hf_connection *connection, const command_request *request) {
    if (text_is(argument_of(request, 1), "RESETSTAT"))
        return connection_refuse(connection, GATEWAY_GENERAL, "figures are never reset: take differences");
    if (!text_is(argument_of(request, 1), "GET") || request->count < 3)
        return connection_refuse(connection, GATEWAY_GENERAL,
                                 "CONFIG: only CONFIG GET pattern ... ; settings are of the config file and flags");
    const char *name;
    char value[1024];
    size_t found = 0;
    for (unsigned i = 0; next_setting(connection, i, &name, value); i++)
        found += matches(request, name);
    reply_map(&connection->writer, found);
    for (unsigned i = 0; next_setting(connection, i, &name, value); i++) {
        if (matches(request, name)) {
            reply_text(&connection->writer, name);
            reply_text(&connection->writer, value);
        }
    }
    return COMMAND_DONE;
}

command_result role_command(hf_connection *connection, const command_request *request) {
    (void)request;
    reply_array(&connection->writer, 3);
    reply_text(&connection->writer, "master");
    reply_integer(&connection->writer, (int64_t)hf_durable(connection->worker->server->engine));
    reply_array(&connection->writer, 0);
    return COMMAND_DONE;
}
