/* Four lives of one log: what it writes, what a crash leaves of it, what the next life believes, and where it goes on.
 *
 *     places on disk     | epoch 1, only part | epoch 2, first part | epoch 2, last part | zeros |
 *
 * An epoch is one part or two. Until an fsync each part may have landed or not, in any order, or as rubbish. A process may be
 * killed, and the page cache lives on, or the power may fail. An fsync may fail; the pages are then clean and no disk has them.
 * Neither the digest chain nor the zeroing of a cut tail is in here: the numbers alone have to tell lives apart.
 */
#define PLACES 5
#define LIVES 4
#include "properties.pml"

#define ONLY_PART 1
#define FIRST_PART 2
#define LAST_PART 3

typedef place_on_disk { byte epoch; byte part; byte life }
place_on_disk cache[PLACES], disk[PLACES];
bool dirty[PLACES];
byte acknowledged;          /* places whose epochs somebody was told are durable */
byte acknowledged_life[PLACES];

hidden byte acknowledged_kept, of_one_life, i_;

#define copy(to, from, i) \
    to[i].epoch = from[i].epoch; \
    to[i].part = from[i].part; \
    to[i].life = from[i].life

inline acknowledge(places) {
    for (i_ : acknowledged .. places - 1) {
        acknowledged_life[i_] = cache[i_].life
    }
    acknowledged = places;
    i_ = 0
}

inline fsync() {
    for (i_ : 0 .. PLACES - 1) {
        if
        :: dirty[i_] -> copy(disk, cache, i_); dirty[i_] = false
        :: else
        fi
    }
    i_ = 0
}

inline fsync_that_fails() {
    for (i_ : 0 .. PLACES - 1) {
        dirty[i_] = false
    }
    i_ = 0
}

/* Reads what the page cache gives. Leaves end (places believed), last (epoch), seen (of any header). */
inline walk() {
    end = 0;
    last = 0;
    do
    :: end < PLACES && cache[end].epoch > last && cache[end].part == ONLY_PART ->
        last = cache[end].epoch;
        end++
    :: end + 1 < PLACES && cache[end].epoch > last && cache[end].part == FIRST_PART &&
       cache[end + 1].epoch == cache[end].epoch && cache[end + 1].part == LAST_PART ->
        judge(MIXED, of_one_life, cache[end].life == cache[end + 1].life);
        last = cache[end].epoch;
        end = end + 2
    :: else -> break
    od;
    seen = last;
    for (i_ : 0 .. PLACES - 1) {
        seen = (cache[i_].epoch > seen -> cache[i_].epoch : seen)
    }
    i_ = 0
}

inline open_log() {
    d_step {
#ifndef NO_FSYNC_ON_OPEN
        fsync();
#endif
#ifndef BELIEVE_PAGE_CACHE
        for (i_ : 0 .. PLACES - 1) {
            if
            :: !dirty[i_] -> copy(cache, disk, i_)
            :: else
            fi
        }
#endif
        walk();
        judge(LOST, acknowledged_kept, end >= acknowledged);
        for (i_ : 0 .. acknowledged - 1) {
            judge(LOST, acknowledged_kept, cache[i_].life == acknowledged_life[i_])
        }
        acknowledge(end);
#ifdef REUSE_EPOCH_NUMBER
        epoch = last;
#else
        epoch = seen;
#endif
        seen = 0;
        last = 0
    }
}

inline write_part(which) {
    d_step {
        cache[end].epoch = epoch;
        cache[end].part = which;
        cache[end].life = life;
        dirty[end] = true;
        end++
    }
}

/* Places that are dirty land, do not, or land as rubbish. */
inline power_loss() {
    place = 0;
    do
    :: place < PLACES ->
        if
        :: dirty[place] -> copy(disk, cache, place)
        :: dirty[place] -> disk[place].epoch = 0; disk[place].part = 0; disk[place].life = 0
        :: true
        fi;
        dirty[place] = false;
        copy(cache, disk, place);
        place++
    :: else -> break
    od;
    place = 0
}

active proctype engine() {
    byte life, end, last, seen, epoch, place;
    bool failed;
    do
    :: life < LIVES ->
        life++;
        failed = false;
        open_log();
        do
        :: !failed && end < PLACES -> /* an epoch */
            epoch++;
            if
            :: write_part(ONLY_PART)
            :: end + 1 < PLACES ->
                write_part(FIRST_PART);
                if
                :: write_part(LAST_PART)
                :: break
                fi
            fi;
            if
            :: d_step { fsync(); acknowledge(end) }
            :: d_step {
                   fsync_that_fails();
#ifdef RETRY_FSYNC
                   fsync();
                   acknowledge(end)
#else
                   failed = true
#endif
               }
            :: break
            fi
        :: break
        od;
        if
        :: skip /* killed */
        :: atomic { power_loss() }
        fi
    :: else -> break
    od
}
