/* Cancelling in bulk: a connection's own reservations when it ends, and a user's by HF.CANCELUSER.
 *
 * Guarantees
 *   A  With HF.CANCELONDISCONNECT ON, every reservation that this connection made and did not see end is cancelled
 *      when the connection ends, for whatever reason but a crash of the server. Cancelling one that has ended changes
 *      nothing.
 *   B  A bounded number of ids is kept for a connection (max_cancel_ids); beyond it a reserve is refused.
 *   C  Neither makes an I/O thread wait: the first goes in slices between turns, the second in a thread of its own.
 */
#ifndef SERVE_CANCEL_H
#define SERVE_CANCEL_H

#include "connection.h"

typedef struct cancel_set cancel_set;

cancel_set *cancel_set_new(void);
void cancel_set_free(cancel_set *set);
/* Keeps or drops the id of an order that was answered. */
void cancel_set_note(cancel_set *set, const hf_op *op, const hf_reply *reply);
/* Whether another reserve may be taken; forgets ids whose reservation has ended if there is no room. */
bool cancel_set_has_room(hf_connection *connection);

/* Hands the connection's ids to the worker, to be cancelled. */
void cancel_on_disconnect(hf_connection *connection);
/* Cancels a slice of what was handed over. True: there is more, and it could go on now. */
bool cancel_work_go_on(struct hf_worker *worker);
void cancel_work_free(struct hf_worker *worker);

#endif
