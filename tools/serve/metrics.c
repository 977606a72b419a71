/* Counters and histograms, and the text that Prometheus reads. The contract is in metrics.h. */
#include "metrics.h"

#include "journal.h"
#include "server.h"
#include "shared.h"
#include "worker.h"

#include <inttypes.h>
#include <string.h>

/* ---- histograms -------------------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns) {
    if (ns < UINT64_C(1) << HISTOGRAM_FIRST)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    if (power >= HISTOGRAM_LAST)
        return HISTOGRAM_BUCKETS - 1;
    unsigned quarter = (unsigned)(ns >> (power - 2)) & 3;
    return 1 + (power - HISTOGRAM_FIRST) * 4 + quarter;
}

/* Below this are all times of the bucket. */
static uint64_t bucket_end(unsigned bucket) {
    unsigned power = HISTOGRAM_FIRST + (bucket - 1) / 4, quarter = (bucket - 1) % 4;
    return bucket == 0 ? UINT64_C(1) << HISTOGRAM_FIRST : ((UINT64_C(5) + quarter) << power) >> 2;
}

void histogram_add(hf_histogram *histogram, uint64_t ns, uint64_t count) {
    counter_add_relaxed(&histogram->buckets[bucket_of(ns)], count); /* relaxed: figures */
    counter_add_relaxed(&histogram->count, count);
    counter_add_relaxed(&histogram->sum_ns, ns * count);
}

uint64_t histogram_quantile(const hf_histogram *histogram, double q) {
    uint64_t count = 0, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram->buckets[i];
    for (unsigned i = 0; count && i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if ((double)seen >= q * (double)count)
            return bucket_end(i);
    }
    return 0;
}

void metrics_collect(const hf_server *server, worker_counters *sum) {
    _Static_assert(sizeof *sum % sizeof(uint64_t) == 0, "counters and nothing else");
    memset(sum, 0, sizeof *sum);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        const uint64_t *counters = (const uint64_t *)&server->workers[i].counters;
        uint64_t *into = (uint64_t *)sum;
        for (size_t k = 0; k < sizeof *sum / sizeof *into; k++)
            into[k] += counter_read_relaxed(&counters[k]); /* relaxed: each is right by itself */
    }
}

/* ---- Prometheus -------------------------------------------------------------------------------------------------- */

static void head(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, uint64_t value) {
    head(out, name, type, help);
    fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void write_engine(FILE *out, const hf_stats *stats) {
#define X(name, unit, meaning) one(out, "holdfast_" #name, "gauge", meaning " (" unit ")", stats->name);
    HF_STATS_MAP(X)
#undef X
    one(out, "holdfast_epoch_age", "gauge", "epochs sealed or open that are not durable yet",
        stats->epoch > stats->durable ? stats->epoch - stats->durable : 0);
    head(out, "holdfast_ring_fill", "gauge", "how full the fullest log ring is, 0 to 1");
    fprintf(out, "holdfast_ring_fill %.6f\n",
            stats->ring_size ? (double)stats->ring_used / (double)stats->ring_size : 0.0);
}

static void write_connections(FILE *out, const hf_server *server) {
    /* relaxed: figures */
    one(out, "holdfast_gateway_connections", "gauge", "connections open", counter_read_relaxed(&server->connections));
    one(out, "holdfast_gateway_connections_limit", "gauge", "max-connections", server->settings->max_connections);
    one(out, "holdfast_gateway_before_login", "gauge", "connections that have not logged in",
        counter_read_relaxed(&server->before_login));
    one(out, "holdfast_gateway_before_login_limit", "gauge", "max-before-login", server->settings->max_before_login);
    one(out, "holdfast_gateway_named_sessions", "gauge", "named sessions open",
        counter_read_relaxed(&server->named_sessions));
    one(out, "holdfast_gateway_named_sessions_limit", "gauge", "max-named-sessions",
        server->settings->max_named_sessions);
    one(out, "holdfast_gateway_feeds", "gauge", "event feeds open", counter_read_relaxed(&server->feeds));
    one(out, "holdfast_gateway_feeds_limit", "gauge", "max-feeds", server->settings->max_feeds);
    one(out, "holdfast_gateway_accepted_total", "counter", "connections accepted",
        counter_read_relaxed(&server->accepted));
    one(out, "holdfast_gateway_refused_connections_total", "counter", "connections refused, for a limit",
        counter_read_relaxed(&server->refused_connections));
    one(out, "holdfast_gateway_kill", "gauge", "1: the kill switch is on", flag_is_set_acquire(&server->killed));
    one(out, "holdfast_gateway_poisoned", "gauge", "1: the log failed", hf_health(server->engine) != HF_SUCCESS);
    one(out, "holdfast_gateway_log_lines_lost_total", "counter", "log lines that did not fit their queue",
        journal_lost());
}

static void write_counters(FILE *out, const worker_counters *counters) {
#define X(field, help) one(out, "holdfast_gateway_" #field "_total", "counter", help, counters->field);
    WORKER_COUNTER_MAP(X)
#undef X
    head(out, "holdfast_gateway_commands_total", "counter", "requests by command");
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(out, "holdfast_gateway_commands_total{command=\"%s\"} %" PRIu64 "\n", command_table[i].name,
                counters->commands[i]);
    head(out, "holdfast_gateway_outcomes_total", "counter", "orders by outcome");
    for (hf_outcome outcome = HF_OUTCOME_OK; outcome < HF_OUTCOME_COUNT; outcome++)
        fprintf(out, "holdfast_gateway_outcomes_total{outcome=\"%s\"} %" PRIu64 "\n", hf_outcome_text(outcome),
                counters->outcomes[outcome]);
    head(out, "holdfast_gateway_errors_total", "counter", "errors answered, by prefix");
    for (unsigned i = 0; i < GATEWAY_ERRORS; i++)
        fprintf(out, "holdfast_gateway_errors_total{prefix=\"%s\"} %" PRIu64 "\n",
                gateway_error_prefix((gateway_error)i), counters->errors[i]);
    head(out, "holdfast_gateway_connections_ended_total", "counter", "connections ended, by reason");
    for (unsigned i = 0; i < CONNECTION_ENDS; i++)
        fprintf(out, "holdfast_gateway_connections_ended_total{reason=\"%s\"} %" PRIu64 "\n",
                connection_end_text((connection_end)i), counters->ends[i]);
}

static void write_histogram(FILE *out, const char *name, const char *help, const hf_histogram *histogram) {
    uint64_t seen = 0;
    head(out, name, "histogram", help);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += histogram->buckets[i];
        fprintf(out, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name, (double)bucket_end(i) / 1e9, seen);
    }
    seen += histogram->buckets[HISTOGRAM_BUCKETS - 1];
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n", name, seen, name,
            (double)histogram->sum_ns / 1e9, name, seen);
}

void metrics_write(const hf_server *server, FILE *out) {
    hf_stats stats;
    worker_counters counters;
    hf_stats_read(server->engine, &stats);
    metrics_collect(server, &counters);
    write_engine(out, &stats);
    write_connections(out, server);
    write_counters(out, &counters);
    write_histogram(out, "holdfast_gateway_acknowledged_seconds",
                    "from the read that brought a request to the release of its reply", &counters.acknowledged);
}
