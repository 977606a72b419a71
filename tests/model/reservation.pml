/* One reservation over two SKUs through its life, and somebody else at the same SKUs; a crash at any moment.
 *
 *     -DRESERVING   a reserve, and a purchase of one of the SKUs
 *     -DRETRYING    a reserve, a second one with the same id, and a receive of what the first lacked
 *     -DRELEASING   live since long: a cancel, an expiry, and a purchase
 *     -DCONFIRMING  live since long: a confirm, an expiry, and a purchase
 *     -DLIVING      a reserve, and an expiry as soon as it is live
 */
#ifndef TURNS
#define TURNS 2
#endif
#define SESSIONS 3
#ifdef OF_RETRY
#define OTHER_DELTA 1
#else
#define OTHER_DELTA -1
#endif
#include "lines.pml"

#if defined(OF_RESERVE) || defined(OF_RETRY) || defined(OF_LIFE)
proctype reserving() {
    byte seen, e;
    bool done;
    reserve(0, 0, RESERVE)
}
#endif

#ifdef OF_RETRY
proctype retrying() {
    byte seen, e;
    bool done;
    reserve(1, AGAIN, RESERVE_AGAIN)
}
#endif

#ifdef OF_RELEASE
proctype cancelling() {
    byte seen, e;
    bool done;
    release(0)
}
#endif

#if defined(OF_RELEASE) || defined(OF_CONFIRM) || defined(OF_LIFE)
proctype expiring() {
    byte seen, e;
    bool done;
    release(1)
}
#endif

#ifdef OF_CONFIRM
proctype confirming() {
    byte seen, e;
    bool done;
    confirm(0)
}
#endif

proctype somebody_else() {
    byte seen, e;
    bool done;
#ifdef OF_RETRY
    other(2, 1, false, OTHER_DELTA)
#else
    if
    :: other(2, 0, true, OTHER_DELTA)
    :: other(2, 1, true, OTHER_DELTA)
    fi
#endif
}

#ifndef NO_CRASH
proctype crash() {
end:
    do
    :: d_step { recover_from_log(synced); judge_recovered(synced) }
    :: d_step { written != synced -> recover_from_log(written); judge_recovered(written) }
    od
}
#endif

init {
    atomic {
#if defined(OF_RESERVE)
        if
        :: units[0] = 1; units[1] = 2
        :: units[0] = 2; units[1] = 1
        fi;
        run reserving();
#elif defined(OF_RETRY)
        if
        :: units[0] = 1
        :: units[0] = 2
        fi;
        run reserving();
        run retrying();
#elif defined(OF_LIFE)
        if
        :: units[0] = 1; units[1] = 2
        :: units[0] = 2; units[1] = 1
        fi;
        run reserving();
        run expiring();
#else
        units[0] = 1;
        units[1] = 2;
        state = LIVE;
        first_state = LIVE;
        sku[0].reserved = 1;
        sku[1].reserved = 1;
#if defined(OF_RELEASE)
        run cancelling();
#else
        run confirming();
#endif
        run expiring();
#endif
        sku[0].on_hand = units[0];
        sku[1].on_hand = units[1];
        run somebody_else();
        run_log
    }
}
