/* What the models of the epoch protocol share: the epoch, read-side sections and grace periods, the log's writer, the disk
 * as a crash finds it.
 *
 * Before it is included: SESSIONS, how many have sections; ENTRIES, how many steps and decisions can be logged; TURNS, how
 * often the epoch turns.
 *
 *     entry:  nowhere --(pushed, inside the section)--> IN_RING --(the writer takes it)--> in the batch of epoch e
 *     disk:   [ every epoch <= synced: there ] [ synced + 1 .. written: there or not, but whole ]
 *
 * A crash is an observation: at every state, what a recovery would find is worked out and judged, and nothing changes. So
 * "at any moment" costs no state.
 */

#include "properties.pml"

/* ---- epoch, sections, grace periods ---------------------------------------------------------------------------------- */

byte epoch = 1;       /* E */
byte open_sections;   /* a bit for each session */
byte writer_awaits;   /* of those that were open when the writer's grace period began, the ones still open */
byte observer_awaits; /* the same for the checkpoint's grace periods */

inline enter(session) { open_sections = open_sections | (1 << session) }

inline leave(session) {
    d_step {
        open_sections = open_sections & ~(1 << session);
        writer_awaits = writer_awaits & ~(1 << session);
        observer_awaits = observer_awaits & ~(1 << session)
    }
}

inline grace_period(awaits) {
    awaits = open_sections;
    awaits == 0
}

/* ---- rings, batches, disk -------------------------------------------------------------------------------------------- */

#define IN_RING 15

typedef log_entry {
    byte tag;     /* the epoch read for its CAS; 0: has not happened */
    byte version; /* of the SKU, right after the step; decisions have none */
    byte home     /* 0: nowhere yet; IN_RING; else the epoch whose batch holds it */
}
log_entry entry[ENTRIES];

byte written; /* handed to the disk, whole */
byte synced;  /* the disk has said so */
byte durable; /* published: what acknowledgements go by */

#define kept(i, last) (entry[i].home != 0 && entry[i].home <= last)
#define push(i) entry[i].home = (entry[i].tag != 0 -> IN_RING : 0)

#ifdef ACK_ONE_EPOCH_EARLY
#define acknowledged(ticket) (ticket != 0 && ticket <= durable + 1)
#else
#define acknowledged(ticket) (ticket != 0 && ticket <= durable)
#endif

hidden byte i_;

/* Everything tagged <= last, as one batch, handed to the disk. (Building a batch touches nothing that others see.) */
inline write_batch(last) {
    d_step {
        for (i_ : 0 .. ENTRIES - 1) {
            if
#ifdef TAKE_WHATEVER_IS_THERE
            :: entry[i_].home == IN_RING -> entry[i_].home = last
#else
            :: entry[i_].home == IN_RING && entry[i_].tag <= last -> entry[i_].home = last
#endif
            :: else
            fi
        }
        i_ = 0;
        written = last
    }
}

proctype log_writer() {
    byte e;
    do
    :: epoch <= TURNS ->
        e = epoch;
#ifdef GRACE_BEFORE_TURN
        grace_period(writer_awaits);
#endif
        epoch = e + 1;
#if !defined(NO_GRACE_IN_SEAL) && !defined(GRACE_BEFORE_TURN)
        grace_period(writer_awaits);
#endif
        write_batch(e);
#ifdef PUBLISH_BEFORE_FSYNC
        durable = e;
        synced = e
#else
        d_step { synced = e; durable = e } /* in between, less is promised than after */
#endif
    :: else -> break
    od
}

/* What each model's init begins with, once the words are set. */
#ifdef NO_CRASH
#define run_log run log_writer()
#else
#define run_log run log_writer(); run crash()
#endif
