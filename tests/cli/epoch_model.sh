#!/usr/bin/env bash
# The models of the epoch protocol (tests/model, docs/MODEL.md): each holds as designed, searched to the end, and each rule
# that is broken is caught, by the property named. A line for each run.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"
models=$top/tests/model
command -v spin >/dev/null || skip "spin is not installed: the models of the epoch protocol were not run"
command -v gcc >/dev/null || skip "gcc is not installed: Spin's verifiers cannot be built"

# holds MODEL UNREACHED SWITCH...
#   No state breaks any property, the search was complete, and all but UNREACHED statements were reached (-: not looked at).
# breaks MODEL PROPERTY SWITCH...
#   With these switches there is a run that breaks that property. DEADLOCK: nobody gets on. STARVED: a wait never ends.
runs() {
    holds counter 0 TURNS=3
    breaks counter OVERSOLD EPOCH_BEFORE_LOAD
    breaks counter GAP EPOCH_BEFORE_LOAD
    breaks counter OVERSOLD RETRY_KEEPS_EPOCH
    breaks counter OVERSOLD NO_VERSION
    breaks counter NO_PREFIX NO_VERSION
    breaks counter OVERSOLD NO_GRACE_IN_SEAL
    breaks counter LOST NO_GRACE_IN_SEAL
    breaks counter LOST GRACE_BEFORE_TURN
    breaks counter LOST PUSH_AFTER_SECTION
    breaks counter GAP TAKE_WHATEVER_IS_THERE
    breaks counter OVERSOLD EPOCH_KEPT_IN_PART
    breaks counter LOST PUBLISH_BEFORE_FSYNC
    breaks counter LOST ACK_ONE_EPOCH_EARLY
    breaks counter UNTOLD TICKET_BEFORE_LOAD

    holds reservation 0 OF_RESERVE TURNS=3
    holds reservation 0 OF_RETRY TURNS=2
    holds reservation 0 OF_RELEASE TURNS=2
    holds reservation 0 OF_CONFIRM TURNS=2
    holds reservation 0 OF_LIFE TURNS=2
    breaks reservation GAP OF_RESERVE ONE_TAG_FIRST
    breaks reservation GAP OF_RESERVE ONE_TAG_LAST
    breaks reservation GAP OF_RESERVE SECTION_PER_LINE
    breaks reservation LOST OF_RESERVE TICKET_OF_FIRST_PART
    breaks reservation OVERSOLD OF_RESERVE TAKE_DECIDES_FIRST
    breaks reservation MISCOUNTED OF_RESERVE NO_GIVE_BACK
    breaks reservation NOT_CONSERVED OF_CONFIRM NO_GIVE_BACK
    breaks reservation MISCOUNTED OF_RETRY REFUSAL_NOT_LOGGED
    breaks reservation OVERSOLD OF_RELEASE RELEASE_DECIDES_LAST
    breaks reservation MISCOUNTED OF_RELEASE NO_COMPLETION
    breaks reservation OVERSOLD OF_RELEASE END_WITHOUT_CAS
    breaks reservation UNTOLD OF_RELEASE EPOCH_BEFORE_STATE
    breaks reservation OVERSOLD OF_LIFE EPOCH_BEFORE_STATE

    holds checkpoint 0 OF_RESERVE TURNS=3
    holds checkpoint 2 OF_RELEASE TURNS=3 # nobody else releases: two statements of being too late
    holds checkpoint 0 OF_RESERVE TURNS=2 COUNT_SKIPPED NO_SECOND_GRACE
    holds checkpoint 2 OF_RELEASE TURNS=2 COUNT_SKIPPED NO_SECOND_GRACE
    breaks checkpoint NOT_SAME OF_RESERVE TURNS=2 NO_FIRST_GRACE
    breaks checkpoint NOT_SAME OF_RESERVE TURNS=2 START_NOTED_AFTER_GRACE
    breaks checkpoint NOT_SAME OF_RESERVE NO_SECOND_GRACE
    breaks checkpoint NOT_SAME OF_RELEASE NO_SECOND_GRACE
    breaks checkpoint NOT_SAME OF_RESERVE END_NOTED_BEFORE_SCAN
    breaks checkpoint NOT_SAME OF_RESERVE NO_WAIT_FOR_DURABLE
    breaks checkpoint NOT_SAME OF_RESERVE REPLAY_EVERY_LINE

    holds restart 0
    breaks restart MIXED REUSE_EPOCH_NUMBER
    breaks restart LOST NO_FSYNC_ON_OPEN
    breaks restart LOST BELIEVE_PAGE_CACHE
    breaks restart LOST RETRY_FSYNC

    holds room 0
    holds room 0 LIVENESS
    breaks room DEADLOCK ROOM_IN_SECTION
    breaks room DEADLOCK TICKET_IN_SECTION
    breaks room DEADLOCK EMPTY_EPOCH_NOT_SEALED
    breaks room STARVED GRACE_AWAITS_NEW_SECTIONS

    # Where crashes are observed somebody can always move; so deadlocks are looked for without.
    holds counter - NO_CRASH TURNS=2
    holds reservation - OF_LIFE NO_CRASH TURNS=1
    holds reservation - OF_CONFIRM NO_CRASH TURNS=1
    holds checkpoint - OF_RESERVE NO_CRASH TURNS=1
}

held=0 caught=0 all_states=0 most_megabytes=0 used=

# search MODEL OPTIMIZATION SWITCH...: what the verifier said is in $said then, the switches in $switches.
said=$work/said
search() {
    local model=$1 optimization=$2 spin_flags=() gcc_flags=(-w "$2" -DCOLLAPSE -DMEMLIM=2000) pan_flags=(-m200000) megabytes
    shift 2
    switches=$*
    spin_flags=("${@/#/-D}")
    case " $* " in
    *" LIVENESS "*) pan_flags+=(-a -f) ;;
    *)
        gcc_flags+=(-DSAFETY)
        # A search that ends early: a small table, and the order that happens to get there sooner.
        [ "$optimization" != -O0 ] || { gcc_flags+=(-DREVERSE -DT_REVERSE) && pan_flags+=(-w20); }
        ;;
    esac
    rm -rf "$work/pan" && mkdir "$work/pan"
    (cd "$work/pan" && spin "${spin_flags[@]}" -a "$models/$model.pml" && gcc "${gcc_flags[@]}" -o pan pan.c) >"$said" 2>&1 ||
        fail "$model $switches: cannot be built: $(cat "$said")"
    (cd "$work/pan" && timeout 300 ./pan "${pan_flags[@]}") >"$said" 2>&1 ||
        fail "$model $switches: the search ended with status $? (124: not within 300 seconds): $(tail -n 5 "$said")"
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$said")
    megabytes=$(sed -n 's/^ *\([0-9]*\)[.0-9]*\ttotal actual memory usage$/\1/p' "$said")
    [ -n "$states" ] && [ -n "$megabytes" ] || fail "$model $switches: no figures: $(tail -n 5 "$said")"
    [ "$megabytes" -le "$most_megabytes" ] || most_megabytes=$megabytes
    all_states=$((all_states + states))
}

holds() {
    local model=$1 unreached=$2 found
    shift 2
    used+=" $* "
    search "$model" -O1 "$@"
    grep -q 'errors: 0$' "$said" || fail "$model $switches: $(grep '^pan:1' "$said"): docs/MODEL.md says how to see the run"
    grep -q '^Full statespace search' "$said" || fail "$model $switches: not a full search: $(cat "$said")"
    ! grep -iE 'too small|out of memory|memlim|not completed|truncat' "$said" >&2 || fail "$model $switches: the search was cut short"
    found=$(grep -P '^\t.*, state \d+, ' "$said" | grep -vc '"-end-"' || true)
    [ "$unreached" = - ] || [ "$found" -eq "$unreached" ] ||
        fail "$model $switches: $found statements were never reached, expected $unreached: $(grep -P '^\t.*, state ' "$said")"
    printf 'holds   %-11s %-48s %8d states, all\n' "$model" "$switches" "$states"
    held=$((held + 1))
}

breaks() {
    local model=$1 property=$2 expected
    shift 2
    used+=" $property $* "
    case $property in
    DEADLOCK) expected='invalid end state' ;;
    STARVED) expected='acceptance cycle' && set -- "$@" LIVENESS ;;
    *)
        expected=$(sed -n "s/.*judge($property, \([a-z_]*\),.*/assertion violated \1/p" "$models"/*.pml | sort -u)
        set -- "$@" "ONLY=$property"
        ;;
    esac
    search "$model" -O0 "$@"
    grep -qF "pan:1: $expected (at depth" "$said" ||
        fail "$model $switches: expected '$expected', found: $(grep -E '^pan:1|errors: ' "$said")"
    printf 'caught  %-11s %-48s %8d states, %s\n' "$model" "${switches% ONLY=*}" "$states" "$property"
    caught=$((caught + 1))
}

# What no run uses is no test: each property is broken by some rule, each rule is broken in some run.
all_used() {
    local name
    for name in $(sed -n 's/^#define \([A-Z_]*\) [0-9].*/\1/p' "$models/properties.pml") \
        $(sed -nE '/^#(el)?if/ { s/[^A-Z_]+/ /g; p }' "$models"/*.pml); do
        case "$name" in ONLY | TURNS | _ | "") continue ;; esac
        [[ "$used" =~ [\ ]$name([\ =]) ]] || fail "$name is in tests/model, but no run here uses it"
    done
}

runs
all_used
[ $((held * caught)) -gt 0 ] || fail "nothing was run"
echo "epoch model: $held runs hold, $caught runs with a broken rule are caught; $all_states states, at most $most_megabytes MiB"
