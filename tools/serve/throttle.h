/* The throttle: how many orders a second one connection may send. A bucket of saved-up time; an order costs its share.
 */
#ifndef SERVE_THROTTLE_H
#define SERVE_THROTTLE_H

#include "connection.h"

#define THROTTLE_SECOND UINT64_C(1000000000)

void throttle_set(hf_throttle *throttle, uint64_t per_second, uint64_t burst, bool refuses, uint64_t now_ns);
/* Takes one order's share. 0: taken; else how many nanoseconds it will be before there is one. */
uint64_t throttle_take(hf_throttle *throttle, uint64_t now_ns);
void throttle_give_back(hf_throttle *throttle, uint64_t orders);
/* What settings and the user say. */
void throttle_reset(hf_connection *connection);

#endif
