/* Room in a ring, and tickets: does every wait end? Two sessions and the log's writer, for ever.
 *
 * A ring has room for one record. An operation waits for room, changes something in a section, and then waits for its ticket
 * or does not; or it changes nothing and waits for the ticket of what it was told. A session may stop at any time, for good.
 * Only the parity of an epoch is kept: tags are of the epoch being sealed or of the next.
 *
 * Checked: no state from which nobody gets on (invalid end states); with -DLIVENESS, under weak fairness, that session 0 is
 * never in a wait that does not end.
 */
#define SESSIONS 2
#define NOTHING 2

bit epoch;
byte open_sections, writer_awaits;
byte ring[SESSIONS] = NOTHING;   /* the tag of the record in it */
byte ticket[SESSIONS] = NOTHING; /* not yet durable */
bool waits_for_ticket[SESSIONS];
bool waits[SESSIONS];            /* for room or ticket */

inline enter(me) { open_sections = open_sections | (1 << me) }

inline leave(me) {
    d_step {
        open_sections = open_sections & ~(1 << me);
        writer_awaits = writer_awaits & ~(1 << me)
    }
}

inline wait_for_room(me) {
    waits[me] = true;
    ring[me] == NOTHING;
    waits[me] = false
}

inline wait_for_ticket(me) {
    d_step { waits[me] = true; waits_for_ticket[me] = true };
    ticket[me] == NOTHING;
    d_step { waits[me] = false; waits_for_ticket[me] = false }
}

active [SESSIONS] proctype session() {
end:
    do
    :: /* changes something */
#ifdef ROOM_IN_SECTION
        enter(_pid);
        wait_for_room(_pid);
#else
        wait_for_room(_pid);
        enter(_pid);
#endif
        ticket[_pid] = epoch; /* may be ahead of the record: the section is open */
        ring[_pid] = ticket[_pid];
#ifdef TICKET_IN_SECTION
        wait_for_ticket(_pid);
        leave(_pid)
#else
        leave(_pid);
        if
        :: wait_for_ticket(_pid)
        :: ticket[_pid] = NOTHING
        fi
#endif
    :: /* changes nothing */
        enter(_pid);
        ticket[_pid] = epoch;
        leave(_pid);
        if
        :: wait_for_ticket(_pid)
        :: ticket[_pid] = NOTHING
        fi
    :: break
    od
}

#ifdef EMPTY_EPOCH_NOT_SEALED
#define work (ring[0] != NOTHING || ring[1] != NOTHING)
#else
#define work (ring[0] != NOTHING || ring[1] != NOTHING || waits_for_ticket[0] || waits_for_ticket[1])
#endif

active proctype log_writer() {
    bit e;
end:
    do
    :: work ->
        e = epoch;
        epoch = 1 - e;
#ifdef GRACE_AWAITS_NEW_SECTIONS
        open_sections == 0;
#else
        writer_awaits = open_sections;
        writer_awaits == 0;
#endif
        d_step {
            ring[0] = (ring[0] == e -> NOTHING : ring[0]);
            ring[1] = (ring[1] == e -> NOTHING : ring[1])
        };
        d_step { /* write, fsync, publish */
            ticket[0] = (ticket[0] == e -> NOTHING : ticket[0]);
            ticket[1] = (ticket[1] == e -> NOTHING : ticket[1])
        }
    od
}

#ifdef LIVENESS
ltl every_wait_ends { [] <> !waits[0] }
#endif
