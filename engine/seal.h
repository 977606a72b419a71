/* The epoch seal, and the log writer that goes from one to the next.
 *
 * Guarantees
 *   A  hf_seal() returned HF_SUCCESS: everything done before the call is durable, whole epochs of it and in their order.
 *   B  durable = e is published only after the sync that covers e; after a failure it never moves again.
 *   C  A reply's ticket becomes durable by itself: the log writer seals when a ring holds records, when an answer without a
 *      record was given in the open epoch, and when somebody waits.
 *
 *      epoch e open ---> E := e+1 ---> grace period ---> rings: tagged e ---> one batch, one sync ---> durable := e
 *                        operations read e+1 from here on, and fill the next one meanwhile
 *
 * After the grace period nobody can still add to e: whoever had read e was inside a section then, and has left it.
 */
#ifndef HF_SEAL_H
#define HF_SEAL_H

#include "engine.h"

/* Seals the open epoch, `even_empty` or only if there is something in it. HF_POISONED and why. Outside a section. */
int hf_seal(hf_engine *engine, bool even_empty);
/* A counted grace period without a seal, for retired cells and lists that wait. Outside a section. */
void hf_grace_turn(hf_engine *engine);

/* Whether the open epoch holds anything that somebody may want durable. */
bool hf_seal_wanted(hf_engine *engine);

/* The log writer's thread, until engine->stopping. */
void *hf_log_writer_run(void *engine);
/* Wakes it if it sleeps. */
void hf_wake_log_writer(hf_engine *engine);

#endif
