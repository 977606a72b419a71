/* Two SKUs and one reservation with a line of one unit on each: what reservation.pml and checkpoint.pml share.
 *
 *     taking      reserve, confirm, late confirm: claim the state word, take line by line, decide
 *     releasing   cancel, expire, the give-back of a refused reserve: decide, then return line by line
 *
 * An operation is one read-side section. Every step reads the epoch between its load and its compare-and-swap. What it did
 * is pushed before the section ends, one part for each epoch it saw (an entry here is a step with its own tag, so parts need
 * nothing more). Entries and recovery stand at the end.
 */
#define OPERATIONS 5
#define RESERVE 0
#define RESERVE_AGAIN 1 /* another session, same id, where the first was refused */
#define RELEASE 2
#define CONFIRM 3
#define OTHER 4         /* a purchase or a receive of one unit by somebody else */

/* Entries. A reserve has five; those of RESERVE_AGAIN follow. */
#define TAKE_0 0
#define TAKE_1 1
#define LIVE_DECIDED 2
#define REFUSED_DECIDED 3
#define GIVE_0 4
#define AGAIN 5
#define ENDED_DECIDED 10
#define BACK_0 11
#define BACK_1 12
#define LEAVE_0 13
#define LEAVE_1 14
#define CONFIRMED_DECIDED 15
#define UNDO_0 16
#define OTHER_0 17
#define OTHER_1 18
#define ENTRIES 19
#include "protocol.pml"

#define ABSENT 0
#define PENDING 1
#define LIVE 2
#define CONFIRMING 3
#define CONFIRMED 4
#define ENDED 5 /* cancelled or expired */
#define REVIVING 6
#define RELEASING 7 /* of a broken rule only */

typedef sku_word { byte on_hand; byte reserved; byte version }
sku_word sku[2];
byte units[2];       /* on_hand at the start */
byte state;          /* the reservation's state word */
byte first_state;    /* and at the start */
byte late;           /* the confirm found it expired */
byte ticket[OPERATIONS];
byte told_ended;     /* the ticket of an answer that it had ended already */

hidden byte never_oversold, gapless, acknowledged_kept, told_kept, reserved_is_live, conserved, same_as_log;

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

/* One compare-and-swap loop on a SKU's word, as entry i; leaves done, and the epoch in e. The version decides: it stands for
 * the whole word. (What happens without it: counter.pml.) */
inline step(i, s, needs_available, of_on_hand, of_reserved) {
    do
    :: d_step {
           seen = sku[s].version;
           done = !(needs_available) || sku[s].on_hand > sku[s].reserved
       };
       e = epoch;
       if
       :: !done -> break
       :: else
       fi;
       if
       :: d_step {
              sku[s].version == seen ->
              judge(OVERSOLD, never_oversold, sku[s].on_hand + of_on_hand >= sku[s].reserved + of_reserved &&
                    sku[s].reserved + of_reserved >= 0);
              sku[s].on_hand = sku[s].on_hand + of_on_hand;
              sku[s].reserved = sku[s].reserved + of_reserved;
              sku[s].version++;
              entry[i].tag = e;
              entry[i].version = sku[s].version
          };
          break
       :: else
       fi
    od
}

/* The state word from -> to, as entry i: taken over only if nobody else did. Leaves done, and the epoch in e. */
inline decide(i, from, to) {
#ifdef EPOCH_BEFORE_STATE
    e = epoch;
#endif
    d_step { done = (state == from); seen = (state == ENDED) };
#ifndef EPOCH_BEFORE_STATE
    e = epoch;
#endif
    d_step {
        if
#ifdef END_WITHOUT_CAS
        :: done -> state = to; entry[i].tag = e
#else
        :: done && state == from -> state = to; entry[i].tag = e
#endif
        :: else -> done = 0
        fi
    }
}

hidden byte p_, tag_;

/* Entries first..last are an operation's; pushed as parts, one for each epoch. */
inline push_all(first, last) {
    d_step {
        tag_ = 0;
        for (p_ : first .. last) {
#if defined(ONE_TAG_FIRST)
            tag_ = (entry[p_].tag != 0 && (tag_ == 0 || entry[p_].tag < tag_) -> entry[p_].tag : tag_)
#elif defined(ONE_TAG_LAST)
            tag_ = (entry[p_].tag > tag_ -> entry[p_].tag : tag_)
#else
            skip
#endif
        }
        for (p_ : first .. last) {
            entry[p_].tag = (entry[p_].tag != 0 && tag_ != 0 -> tag_ : entry[p_].tag);
            push(p_)
        }
        p_ = 0;
        tag_ = 0
    }
}

inline answer(operation, with_ticket) {
    d_step {
        ticket[operation] = with_ticket;
        seen = 0;
        done = 0;
        e = 0
    }
}

/* ---- operations ------------------------------------------------------------------------------------------------------ */

/* The id is free again: a refusal is not remembered. */
inline refuse(first) {
    d_step {
        state = ABSENT;
#ifndef REFUSAL_NOT_LOGGED
        entry[first + REFUSED_DECIDED].tag = e
#endif
    }
}

/* May carry the tag of the last line: it depends on nothing newer. */
#ifdef TAKE_DECIDES_FIRST
#define decide_live(first) skip
#else
#define decide_live(first) d_step { state = LIVE; entry[first + LIVE_DECIDED].tag = e }
#endif

/* Entries first + TAKE_0 .. first + GIVE_0. The state word must have been claimed: PENDING. */
inline reserve_lines(session, first) {
    step(first + TAKE_0, 0, true, 0, 1);
    if
    :: done ->
#ifdef SECTION_PER_LINE
        leave(session);
        enter(session);
#endif
        step(first + TAKE_1, 1, true, 0, 1);
        if
        :: done -> decide_live(first)
        :: else ->
            refuse(first);
            step(first + GIVE_0, 0, false, 0, -1)
        fi
    :: else -> refuse(first)
    fi
}

inline reserve(session, first, operation) {
    enter(session);
    if
#ifdef TAKE_DECIDES_FIRST
    :: e = epoch;
       d_step { state == ABSENT -> state = LIVE; entry[first + LIVE_DECIDED].tag = e };
#else
    :: d_step { state == ABSENT -> state = PENDING };
#endif
       reserve_lines(session, first);
       push_all(first, first + GIVE_0);
       leave(session);
#ifdef TICKET_OF_FIRST_PART
       answer(operation, entry[first + TAKE_0].tag)
#else
       answer(operation, e)
#endif
    :: state != ABSENT -> leave(session) /* in progress, or a duplicate */
    fi
}

/* Cancel or expire. */
inline release(session) {
    enter(session);
#ifdef RELEASE_DECIDES_LAST
    d_step { done = (state == LIVE); state = (done -> RELEASING : state) };
    e = epoch;
#else
    decide(ENDED_DECIDED, LIVE, ENDED);
#endif
    if
    :: done ->
        step(BACK_0, 0, false, 0, -1);
        step(BACK_1, 1, false, 0, -1);
#ifdef RELEASE_DECIDES_LAST
        e = epoch;
        d_step { state = ENDED; entry[ENDED_DECIDED].tag = e };
#endif
        push_all(ENDED_DECIDED, BACK_1);
        leave(session);
        answer(RELEASE, e)
    :: else ->
        leave(session);
        d_step {
            told_ended = (seen -> e : told_ended); /* "already" */
            seen = 0;
            e = 0
        }
    fi
}

/* Confirm, in time or late. That a late one was refused is no entry of its own: entries are an operation's, not an id's, so
 * recovery finds it undecided and gives back what it has not given back. */
inline confirm(session) {
    enter(session);
    d_step {
        late = (state == ENDED);
        done = (state == LIVE || state == ENDED);
        state = (state == LIVE -> CONFIRMING : (state == ENDED -> REVIVING : state))
    };
    if
    :: done && !late ->
        step(LEAVE_0, 0, false, -1, -1);
        step(LEAVE_1, 1, false, -1, -1);
        skip; /* Spin takes no d_step right behind this loop */
        d_step { state = CONFIRMED; entry[CONFIRMED_DECIDED].tag = e }
    :: done && late ->
        step(LEAVE_0, 0, true, -1, 0);
        if
        :: done ->
            step(LEAVE_1, 1, true, -1, 0);
            if
            :: done -> d_step { state = CONFIRMED; entry[CONFIRMED_DECIDED].tag = e }
            :: else -> state = ENDED; step(UNDO_0, 0, false, 1, 0)
            fi
        :: else -> state = ENDED
        fi
    :: else
    fi;
    push_all(LEAVE_0, UNDO_0);
    leave(session);
    if
    :: state == CONFIRMED -> answer(CONFIRM, e)
    :: else /* refused */
    fi
}

/* Somebody else, one line, on SKU s. */
inline other(session, s, needs_available, of_on_hand) {
    enter(session);
    step(OTHER_0 + s, s, needs_available, of_on_hand, 0);
    push_all(OTHER_0, OTHER_1);
    leave(session);
    answer(OTHER, e)
}

/* ---- what recovery finds --------------------------------------------------------------------------------------------- */

hidden short r_on_hand[2], r_reserved[2];
hidden byte r_version[2];  /* lines up to this one are in the words already: 0, or what a checkpoint has scanned */
hidden byte r_steps[2], r_highest[2];
hidden byte r_first;       /* the first epoch replayed */
hidden byte r_live, r_ended, r_confirmed, s_;
hidden byte applied[ENTRIES];

#define there(i, last) (kept(i, last) && entry[i].home >= r_first)

inline replay(i, s, of_on_hand, of_reserved, last) {
    applied[i] = (there(i, last) && entry[i].version > r_version[s]);
    if
    :: applied[i] ->
        r_on_hand[s] = r_on_hand[s] + of_on_hand;
        r_reserved[s] = r_reserved[s] + of_reserved;
        r_steps[s]++;
        r_highest[s] = (entry[i].version > r_highest[s] -> entry[i].version : r_highest[s])
    :: else
    fi
}

/* What an unfinished operation did is settled by what was applied here, not by what the words held already. */
#ifdef COUNT_SKIPPED
#define did(i, last) there(i, last)
#else
#define did(i, last) applied[i]
#endif

/* An undecided reserve gives back what it took; so does a refused one, which has decided to. */
inline settle_reserve(first, last) {
    if
#ifdef REFUSAL_NOT_LOGGED
    :: !r_live -> /* all that recovery can go by is the id */
#elif defined(NO_GIVE_BACK)
    :: false ->
#else
    :: !there(first + LIVE_DECIDED, last) || there(first + REFUSED_DECIDED, last) ->
#endif
        r_reserved[0] = r_reserved[0] - (there(first + GIVE_0, last) -> 0 : did(first + TAKE_0, last));
        r_reserved[1] = r_reserved[1] - did(first + TAKE_1, last)
#ifdef TAKE_DECIDES_FIRST
    :: there(first + LIVE_DECIDED, last) && !there(first + REFUSED_DECIDED, last) -> /* complete it: nothing else is left */
        r_reserved[0] = r_reserved[0] + 1 - did(first + TAKE_0, last);
        r_reserved[1] = r_reserved[1] + 1 - did(first + TAKE_1, last)
#endif
    :: else
    fi
}

/* A decided release is completed. */
inline settle_release(last) {
    if
#ifdef RELEASE_DECIDES_LAST
    :: !there(ENDED_DECIDED, last) -> /* still live: take them again */
        r_reserved[0] = r_reserved[0] + did(BACK_0, last);
        r_reserved[1] = r_reserved[1] + did(BACK_1, last)
#elif !defined(NO_COMPLETION)
    :: there(ENDED_DECIDED, last) && !(there(BACK_0, last) && there(BACK_1, last)) ->
        r_reserved[0] = r_reserved[0] - 1 + did(BACK_0, last);
        r_reserved[1] = r_reserved[1] - 1 + did(BACK_1, last)
#endif
    :: else
    fi
}

/* An undecided confirm puts back what it had let leave; where it was late, to the available units. */
inline settle_confirm(last) {
    if
#ifndef NO_GIVE_BACK
    :: !there(CONFIRMED_DECIDED, last) ->
        r_on_hand[0] = r_on_hand[0] + did(LEAVE_0, last) - did(UNDO_0, last);
        r_on_hand[1] = r_on_hand[1] + did(LEAVE_1, last);
        r_reserved[0] = r_reserved[0] + (late -> 0 : did(LEAVE_0, last));
        r_reserved[1] = r_reserved[1] + (late -> 0 : did(LEAVE_1, last))
#endif
    :: else
    fi
}

/* From the words and the reservation in r_..., and the epochs r_first..last of the log. */
inline recover(last) {
    replay(TAKE_0, 0, 0, 1, last);
    replay(TAKE_1, 1, 0, 1, last);
    replay(GIVE_0, 0, 0, -1, last);
    replay(AGAIN + TAKE_0, 0, 0, 1, last);
    replay(AGAIN + TAKE_1, 1, 0, 1, last);
    replay(AGAIN + GIVE_0, 0, 0, -1, last);
    replay(BACK_0, 0, 0, -1, last);
    replay(BACK_1, 1, 0, -1, last);
    replay(LEAVE_0, 0, -1, (late -> 0 : -1), last);
    replay(LEAVE_1, 1, -1, (late -> 0 : -1), last);
    replay(UNDO_0, 0, 1, 0, last);
    replay(OTHER_0, 0, OTHER_DELTA, 0, last);
    replay(OTHER_1, 1, OTHER_DELTA, 0, last);
    r_live = r_live || there(LIVE_DECIDED, last) || there(AGAIN + LIVE_DECIDED, last);
    r_ended = r_ended || there(ENDED_DECIDED, last);
    r_confirmed = r_confirmed || there(CONFIRMED_DECIDED, last);
#ifdef TAKE_DECIDES_FIRST
    r_live = r_live && !there(REFUSED_DECIDED, last);
#endif
    settle_reserve(0, last);
    settle_reserve(AGAIN, last);
    settle_release(last);
    settle_confirm(last);
    r_live = r_live && !r_ended && !r_confirmed
}

inline recover_from_log(last) {
    for (s_ : 0 .. 1) {
        r_on_hand[s_] = units[s_];
        r_reserved[s_] = (first_state == LIVE);
        r_version[s_] = 0;
        r_steps[s_] = 0;
        r_highest[s_] = 0
    }
    r_first = 1;
    r_live = (first_state == LIVE);
    r_ended = 0;
    r_confirmed = 0;
    recover(last)
}

/* An operation that was acknowledged, and did do that, has it kept. */
#define kept_if(operation, i, last) (!acknowledged(ticket[operation]) || entry[i].tag == 0 || kept(i, last))

inline judge_recovered(last) {
    for (s_ : 0 .. 1) {
        judge(OVERSOLD, never_oversold, r_reserved[s_] >= 0 && r_reserved[s_] <= r_on_hand[s_]);
        judge(GAP, gapless, r_highest[s_] == r_steps[s_]);
        judge(MISCOUNTED, reserved_is_live, r_reserved[s_] == r_live);
        judge(NOT_CONSERVED, conserved,
              r_on_hand[s_] == units[s_] + OTHER_DELTA * kept(OTHER_0 + s_, last) - r_confirmed)
    }
    judge(LOST, acknowledged_kept,
          kept_if(RESERVE, LIVE_DECIDED, last) && kept_if(RESERVE_AGAIN, AGAIN + LIVE_DECIDED, last) &&
          kept_if(RELEASE, ENDED_DECIDED, last) && kept_if(CONFIRM, CONFIRMED_DECIDED, last) &&
          kept_if(OTHER, OTHER_0, last) && kept_if(OTHER, OTHER_1, last));
    judge(UNTOLD, told_kept, !acknowledged(told_ended) || kept(ENDED_DECIDED, last));
    s_ = 0
}
