/* The throttle, and HF.THROTTLE. */
#include "throttle.h"

#include "number.h"
#include "worker.h"

static uint64_t cost_of(const hf_throttle *throttle) { return THROTTLE_SECOND / throttle->per_second; }

void throttle_set(hf_throttle *throttle, uint64_t per_second, uint64_t burst, bool refuses, uint64_t now_ns) {
    uint64_t tenth = per_second / 10;
    *throttle = (struct hf_throttle){.per_second = per_second,
                                     .burst = burst   ? burst
                                              : tenth ? tenth
                                                      : 1,
                                     .refuses = refuses,
                                     .filled_ns = now_ns};
    if (per_second)
        throttle->tokens_ns = throttle->burst * cost_of(throttle);
}

uint64_t throttle_take(hf_throttle *throttle, uint64_t now_ns) {
    if (throttle->per_second == 0)
        return 0;
    uint64_t cost = cost_of(throttle), most = throttle->burst * cost;
    uint64_t passed = now_ns > throttle->filled_ns ? now_ns - throttle->filled_ns : 0;
    throttle->filled_ns = now_ns;
    throttle->tokens_ns = passed > most - throttle->tokens_ns ? most : throttle->tokens_ns + passed;
    if (throttle->tokens_ns < cost)
        return cost - throttle->tokens_ns;
    throttle->tokens_ns -= cost;
    return 0;
}

void throttle_give_back(hf_throttle *throttle, uint64_t orders) {
    if (throttle->per_second)
        throttle->tokens_ns += orders * cost_of(throttle);
    if (throttle->per_second && throttle->tokens_ns > throttle->burst * cost_of(throttle))
        throttle->tokens_ns = throttle->burst * cost_of(throttle);
}

static uint64_t most_of(const hf_connection *connection) {
    const hf_settings *settings = connection->worker->server->settings;
    const access_user *user = connection->user;
    return user && user->throttle_per_second ? user->throttle_per_second : settings->throttle_per_second;
}

void throttle_reset(hf_connection *connection) {
    const hf_settings *settings = connection->worker->server->settings;
    throttle_set(&connection->throttle, most_of(connection), settings->throttle_burst,
                 settings->throttle_mode == THROTTLE_REFUSES, uv_hrtime());
}

static void tell(hf_connection *connection) {
    reply_writer *writer = &connection->writer;
    const hf_throttle *throttle = &connection->throttle;
    reply_map(writer, 3);
    reply_text(writer, "orders_per_second");
    reply_integer(writer, (int64_t)throttle->per_second);
    reply_text(writer, "burst");
    reply_integer(writer, (int64_t)throttle->burst);
    reply_text(writer, "mode");
    reply_text(writer, throttle->refuses ? "refuse" : "queue");
}

/* A connection may tighten its throttle, never loosen what settings or its user say; 0 goes back to that. */
command_result throttle_command(hf_connection *connection, const command_request *request) {
    uint64_t per_second, burst = 0, most = most_of(connection);
    bool refuses = connection->throttle.refuses;
    if (request->count == 1) {
        tell(connection);
        return COMMAND_DONE;
    }
    if (!number_read(argument_of(request, 1), 0, THROTTLE_SECOND, &per_second))
        return connection_refuse(connection, GATEWAY_ARGUMENT,
                                 "orders_per_second: expected a whole number from 0 to 1000000000");
    if (per_second == 0) {
        throttle_reset(connection);
        tell(connection);
        return COMMAND_DONE;
    }
    for (uint32_t i = 2; i < request->count; i++) {
        hf_text word = argument_of(request, i);
        if (text_is(word, "REFUSE") || text_is(word, "QUEUE"))
            refuses = text_is(word, "REFUSE");
        else if (!text_is(word, "BURST") || ++i == request->count ||
                 !number_read(argument_of(request, i), 1, THROTTLE_SECOND, &burst))
            return connection_refuse(connection, GATEWAY_ARGUMENT,
                                     "HF.THROTTLE: expected BURST with a whole number from 1, REFUSE or QUEUE");
    }
    if (most && per_second > most)
        return connection_refuse(connection, GATEWAY_NOPERM, "this connection may send %llu orders a second, no more",
                                 (unsigned long long)most);
    uint64_t most_burst = connection->worker->server->settings->throttle_burst;
    if (most && burst > (most_burst ? most_burst : most / 10 + 1))
        return connection_refuse(connection, GATEWAY_NOPERM,
                                 "this connection may not have a larger burst than settings allow");
    throttle_set(&connection->throttle, per_second, burst, refuses, uv_hrtime());
    tell(connection);
    return COMMAND_DONE;
}
