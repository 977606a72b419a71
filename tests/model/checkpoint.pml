/* A fuzzy checkpoint while a reserve, its cancel and a purchase go on; a crash at any moment. Once the checkpoint is valid,
 * recovery from it and the epochs that follow must give what recovery from the whole log gives.
 *
 *     start := E, grace period | scan word 0, word 1, reservation | grace period, end := E | durable >= end: valid
 *              everything before start is in the words      what the scan saw half done is done, and in an epoch <= end
 */
#ifndef TURNS
#define TURNS 3
#endif
#define SESSIONS 2
#define OTHER_DELTA -1
#include "lines.pml"

sku_word scanned[2];
byte scanned_state;
byte start;
bool valid;

inline scan(s) {
    d_step {
        scanned[s].on_hand = sku[s].on_hand;
        scanned[s].reserved = sku[s].reserved;
        scanned[s].version = sku[s].version
    }
}

proctype checkpoint() {
    byte end_epoch;
#ifdef START_NOTED_AFTER_GRACE
    grace_period(observer_awaits);
#endif
    start = epoch;
#if !defined(NO_FIRST_GRACE) && !defined(START_NOTED_AFTER_GRACE)
    grace_period(observer_awaits);
#endif
    if
    :: scanned_state = state; scan(0); scan(1)
    :: scan(0); scan(1); scanned_state = state
    fi;
#ifndef NO_SECOND_GRACE
    grace_period(observer_awaits);
#endif
#ifdef END_NOTED_BEFORE_SCAN
    end_epoch = start;
#else
    end_epoch = epoch;
#endif
#ifndef NO_WAIT_FOR_DURABLE
end: /* the model's epochs may be over before */
    durable >= end_epoch;
#endif
    valid = true;
    end_epoch = 0
}

#ifdef OF_RESERVE
proctype reserving() {
    byte seen, e;
    bool done;
    reserve(0, 0, RESERVE)
}
#else
proctype cancelling() {
    byte seen, e;
    bool done;
    release(0)
}
#endif

proctype somebody_else() {
    byte seen, e;
    bool done;
    if
    :: other(1, 0, true, OTHER_DELTA)
    :: other(1, 1, true, OTHER_DELTA)
    fi
}

hidden short l_on_hand[2], l_reserved[2];
hidden byte l_version[2], l_live;

inline recover_from_checkpoint(last) {
    for (s_ : 0 .. 1) {
        r_on_hand[s_] = scanned[s_].on_hand;
        r_reserved[s_] = scanned[s_].reserved;
#ifdef REPLAY_EVERY_LINE
        r_version[s_] = 0;
#else
        r_version[s_] = scanned[s_].version;
#endif
        r_steps[s_] = 0;
        r_highest[s_] = scanned[s_].version
    }
    r_first = start;
    r_live = (scanned_state == LIVE || scanned_state == ENDED);
    r_ended = (scanned_state == ENDED);
    r_confirmed = 0;
    recover(last)
}

inline crash_and_compare(last) {
    recover_from_log(last);
    judge_recovered(last);
    if
    :: valid ->
        for (s_ : 0 .. 1) {
            l_on_hand[s_] = r_on_hand[s_];
            l_reserved[s_] = r_reserved[s_];
            l_version[s_] = r_highest[s_]
        }
        l_live = r_live;
        recover_from_checkpoint(last);
        for (s_ : 0 .. 1) {
            judge(NOT_SAME, same_as_log, r_on_hand[s_] == l_on_hand[s_] && r_reserved[s_] == l_reserved[s_] &&
                  r_highest[s_] == l_version[s_] && r_live == l_live)
        }
        s_ = 0
    :: else
    fi
}

#ifndef NO_CRASH
proctype crash() {
end:
    do
    :: d_step { crash_and_compare(synced) }
    :: d_step { written != synced -> crash_and_compare(written) }
    od
}
#endif

init {
    atomic {
        units[0] = 2;
        units[1] = 1;
        sku[0].on_hand = 2;
        sku[1].on_hand = 1;
#ifdef OF_RESERVE
        run reserving();
#else
        state = LIVE;
        first_state = LIVE;
        sku[0].reserved = 1;
        sku[1].reserved = 1;
        run cancelling();
#endif
        run somebody_else();
        run checkpoint();
        run_log
    }
}
