/* Histories: what threads asked and were answered, and when; judged against the log, exactly and without search.
 *
 * The version of a SKU is the witness: each step of a SKU has one of its own, a reply says which, and the log has them
 * all, also those that nobody was answered (expiries, give-backs). So the order in which everything happened is known,
 * and what is left is to check that it could have been answered so.
 *
 * What history_judge checks
 *   A  SKUs. Versions in the log are 1..n, without gap or repeat. Along them on_hand and reserved are what was taken
 *      and given, no step takes what is not there, no epoch is below the one of the step before.
 *   B  Owners. Each operation in the log is one answered operation's, with its lines, its time and its ticket; each
 *      answered one is in the log, once. What was given back is what was taken.
 *   C  Ids. The operations of an id, by their steps, are lives: begun, extended while live, ended once, an expiry
 *      perhaps confirmed late; nothing that needs a live one happens at or after its deadline, and no expiry before
 *      it. Epochs never fall.
 *   D  Answers. out_of_stock, version_mismatch and reads tell of a version of which they are true. duplicate,
 *      already, conflict, not_found and the refusals tell of a state that the id was in; duplicate repeats the first
 *      answer's facts.
 *   E  Real time. Steps and states told of can be put on one line of time, each between the call and the return of
 *      whoever was answered: what returned before another was called comes before it.
 *   F  Exact expiry. out_of_stock is not answered while units are held by a reservation whose deadline the clock had
 *      reached before the call, unless an operation on it was under way.
 *   G  Tickets. A ticket is not below the epoch of anything that its answer tells of.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <holdfast/holdfast.h>

typedef struct history history;
typedef struct history_thread history_thread;

/* For so many threads, each of at most so many events. */
history *history_new(unsigned threads, size_t events);
void history_free(history *all);

/* A SKU that operations will name; before the threads begin. */
void history_sku(history *all, const char *name);
/* The thread's part; its session bears a name, by which the log knows it. */
history_thread *history_open(history *all, unsigned number, hf_engine *engine);
void history_close(history_thread *thread);
hf_session *history_session(const history_thread *thread);

/* Sets the injected clock on, and the engine's with it. One thread at a time. */
void history_clock_on(history *all, hf_engine *engine, uint64_t *clock_ms, uint64_t ms);

/* hf_submit, hf_sku_read, hf_reservation_read, each kept. Lines are by name. What HF_EAGAIN stopped is not kept. */
int history_submit(history_thread *thread, const hf_op *ops, size_t count, hf_reply *replies);
void history_read_sku(history_thread *thread, const char *name);
void history_read_id(history_thread *thread, hf_id id);
bool history_is_full(const history_thread *thread);

/* Reads the whole log, which must begin at its first record. */
void history_load(history *all, const char *directory, uint64_t retention_ms);
/* NULL: it could have been. Else what cannot, until the next call. */
const char *history_judge(history *all);

typedef struct history_figures {
    uint64_t events, steps, deeds, expiries, given_back, straddled, ids, lives;
    uint64_t outcomes[HF_OUTCOME_COUNT];
} history_figures;
void history_count(const history *all, history_figures *figures);

/* For tests of the judge: makes the history one that cannot have been, in the way `number`; false: nothing in it can be
 * spoilt so, or there is no such way (*name is NULL then). history_mend undoes it. */
bool history_spoil(history *all, unsigned number, uint64_t *random, const char **name);
void history_mend(history *all);

#endif
