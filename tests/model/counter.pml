/* One SKU, one unit, one word: two sessions and a reader.
 *
 * Session 0 purchases. Session 1 purchases and then receives one unit: with session 0 that is the shortest history in which a
 * word can come back to what it was. The reader changes nothing and is answered with a ticket.
 */
#define SESSIONS 2
#define ENTRIES 3
#ifndef TURNS
#define TURNS 3
#endif
#include "protocol.pml"

#define PURCHASE_0 0
#define PURCHASE_1 1
#define RECEIVE_1 2
#define READ 3 /* answers only */

byte on_hand = 1; /* the word: { on_hand, version } */
byte version;
byte history[ENTRIES + 1] = 1; /* on_hand at each version, from 0: what recovery is compared with */

byte ticket[4]; /* of each answer; 0: not answered yet */
byte told[4];   /* the version an answer tells of */

#ifdef NO_VERSION
#define unchanged (on_hand == seen_on_hand)
#else
#define unchanged (on_hand == seen_on_hand && version == seen_version)
#endif

inline answer(k, with_ticket, of_version) {
    d_step {
        ticket[k] = with_ticket;
        told[k] = of_version;
        seen_on_hand = 0;
        seen_version = 0;
        e = 0
    }
}

/* Entry k: on_hand += delta in one step, or refused. */
inline change(session, k, delta) {
    enter(session);
#ifdef RETRY_KEEPS_EPOCH
    d_step { seen_on_hand = on_hand; seen_version = version };
    e = epoch;
#endif
    do
    ::
#ifdef EPOCH_BEFORE_LOAD
        e = epoch;
#endif
        d_step { seen_on_hand = on_hand; seen_version = version };
#if !defined(EPOCH_BEFORE_LOAD) && !defined(RETRY_KEEPS_EPOCH)
        e = epoch;
#endif
        if
        :: seen_on_hand + delta < 0 -> break
        :: else
        fi;
        if
        :: d_step {
               unchanged ->
               on_hand = on_hand + delta;
               version++;
               history[version] = on_hand;
               entry[k].tag = e;
               entry[k].version = version;
               seen_version = version
           };
           break
        :: else /* read both again */
        fi
    od;
#ifdef PUSH_AFTER_SECTION
    leave(session);
    push(k);
#else
    push(k);
    leave(session);
#endif
    answer(k, e, seen_version)
}

proctype session_0() {
    byte seen_on_hand, seen_version, e;
    change(0, PURCHASE_0, -1)
}

proctype session_1() {
    byte seen_on_hand, seen_version, e;
    change(1, PURCHASE_1, -1);
    change(1, RECEIVE_1, 1)
}

proctype reader() {
    byte seen_on_hand, seen_version, e;
#ifdef TICKET_BEFORE_LOAD
    e = epoch;
    seen_version = version;
#else
    seen_version = version;
    e = epoch;
#endif
    answer(READ, e, seen_version)
}

/* ---- a crash at any moment, and what recovery finds ------------------------------------------------------------------ */

hidden short r_on_hand;
hidden byte r_steps, r_highest, k_;
hidden byte never_oversold, gapless, some_prefix, acknowledged_kept, told_kept;

#ifdef EPOCH_KEPT_IN_PART /* of an epoch that was not synced, only what came from session 0 */
#define there(i, last) (kept(i, last) && !(entry[i].home > synced && i != PURCHASE_0))
#else
#define there(i, last) kept(i, last)
#endif

inline recover(last) {
    r_on_hand = 1;
    r_steps = 0;
    r_highest = 0;
    for (k_ : 0 .. ENTRIES - 1) {
        if
        :: there(k_, last) ->
            r_on_hand = r_on_hand + (k_ == RECEIVE_1 -> 1 : -1);
            r_steps++;
            r_highest = (entry[k_].version > r_highest -> entry[k_].version : r_highest)
        :: else
        fi
    }
    judge(OVERSOLD, never_oversold, r_on_hand >= 0);
    judge(GAP, gapless, r_highest == r_steps);
    judge(NO_PREFIX, some_prefix, r_on_hand == history[r_steps]);
    for (k_ : 0 .. ENTRIES - 1) {
        judge(LOST, acknowledged_kept, !acknowledged(ticket[k_]) || entry[k_].tag == 0 || there(k_, last))
    }
    for (k_ : 0 .. READ) {
        judge(UNTOLD, told_kept, !acknowledged(ticket[k_]) || told[k_] <= r_highest)
    }
    k_ = 0
}

#ifndef NO_CRASH
proctype crash() {
end:
    do
    :: d_step { recover(synced) }
    :: d_step { written != synced -> recover(written) }
    od
}
#endif

init {
    atomic {
        run_log;
        run session_0();
        run session_1();
        run reader()
    }
}
