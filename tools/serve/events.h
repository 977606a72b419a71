/* HF.EVENTS: what happened, from any epoch on, in the order of the log; as a reply, a blocking read, or pushes.
 *
 * Guarantees
 *   A  Durable facts only: events come from the log's durable records, never from memory.
 *   B  Gap-free and resumable: each event stands at EPOCH-INDEX, its record's place in the log, which is the same in
 *      every reading. Whoever asks on from `next` misses nothing and sees nothing twice.
 *   C  Bounded: a slice of the log is read at a time, into SLICE_BYTES or a little more; a feed whose reader is slow
 *      waits.
 *   D  No I/O thread reads the log: slices are read by jobs (job.h).
 *
 *     hf_log_next -> filter -> encode (job's thread) -> slice -> output (connection's thread)
 *                                                        |  empty: wait until the durable epoch moves
 */
#ifndef SERVE_EVENTS_H
#define SERVE_EVENTS_H

#include "connection.h"

/* The durable epoch moved, or enough was sent: a feed that can go on does. `in_any_case`: also where the reader saw
 * nothing new when it was last asked at this durable epoch. */
void events_go_on(hf_connection *connection, bool in_any_case);
/* A blocking read's time is over. */
void events_time_out(hf_connection *connection);
/* Ends the feed; called when the connection ends too. */
void events_stop(hf_connection *connection);
/* A feed that pushes: the connection's protocol will know no pushes any more. */
void events_stop_pushes(hf_connection *connection);
/* What was pushed may be among what will never be sent: a feed that pushes ends, and says so. */
void events_cut(hf_connection *connection);
/* A blocking read waits for events, without a job. */
bool connection_waits_for_events(const hf_connection *connection);

#endif
