#!/usr/bin/env bash
# verify: good directories of every kind are good (whole logs, logs that begin later, in use, killed, copied), recoveries
# of copies give the same bytes, and damage anywhere in the log is BAD or refused.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

good() { # DIRECTORY WHAT [OPTION...]
    local directory=$1 what=$2
    shift 2
    status "$holdfast" verify --dir "$directory" "$@"
    [ "$status" -eq 0 ] || fail "$what: exit status $status: $(cat "$work/out" "$work/err")"
    expect_in "$work/out" "good" "$what"
}

figure() { sed -n "s/.*\"$1\": \"\{0,1\}\([a-z0-9 -]*\).*/\1/p" "$work/out"; }

# expect_figures WHAT NAME=VALUE...
expect_figures() {
    local what=$1 pair
    shift
    for pair in "$@"; do
        [ "$(figure "${pair%%=*}")" = "${pair#*=}" ] || fail "$what: ${pair%%=*} is $(figure "${pair%%=*}"), expected ${pair#*=}"
    done
}

"$holdfast" demo --rows 30000 --seed 31 >"$work/flow.csv"
"$holdfast" run --dir "$work/d" "$work/flow.csv" --batch 1500 >/dev/null
fingerprint "$work/d" >"$work/before"
good "$work/d" "a run" --json
expect_figures "a run" verdict=good problem_count=0 undone=0 log_alone_compared=true recoveries_compared=read-only later_chains=0
[ "$(figure live_units)" -gt 100 ] || fail "figures: $(cat "$work/out")"
[ "$(figure whole_chains)" -ge 200 ] || fail "figures: $(cat "$work/out")"
fingerprint "$work/d" | cmp - "$work/before" || fail "verify changed the directory"

# With checkpoints, all segments kept: what the log alone gives is compared with what the checkpoint gives.
"$holdfast" checkpoint --dir "$work/d" >/dev/null
sed 1d "$work/flow.csv" | tail -n 3000 | cut -d, -f2- | sed 's/^/1900000000000,/; s/,\([a-z]\)-/,\1-again-/' | grep ',receive,' >"$work/more"
cat "$work/more" >>"$work/flow.csv"
"$holdfast" run --dir "$work/d" "$work/flow.csv" >/dev/null
good "$work/d" "a run with a checkpoint" --json
expect_figures "a run with a checkpoint" log_alone_compared=true undone=0
"$holdfast" stat --dir "$work/d" --json | grep -q '"checkpoint_epoch": [1-9]' || fail "there is no checkpoint: a poor test"

# Copies recovered for writing: the same bytes.
good "$work/d" "--recover-copy" --recover-copy "$work/copies" --json
expect_figures "--recover-copy" "recoveries_compared=for writing"
[ ! -e "$work/copies" ] || fail "--recover-copy left its copies though all is well"
mkdir "$work/taken"
status "$holdfast" verify --dir "$work/d" --recover-copy "$work/taken"; expect_status 3 "--recover-copy into what is there"
status "$holdfast" verify --dir "$work/d" --recover-copy; expect_status 2 "--recover-copy and no directory"

# In use, then killed with threads at work, then opened and killed again; each time copied and recovered.
for round in 1 2 3; do
    "$build/tests/stress_busy" "$work/busy" 20 30 600 >/dev/null 2>&1 &
    busy=$!
    for _ in $(seq 100); do [ -e "$work/busy/durable" ] && break; sleep 0.05; done
    sleep 0.7
    for _ in $(seq 5); do # a writer with checkpoints may be faster than who reads
        status "$holdfast" verify --dir "$work/busy"
        if [ "$status" -ne 3 ] || ! grep -q "let go of" "$work/err"; then break; fi
    done
    [ "$status" -eq 0 ] || fail "beside a writer, round $round: exit status $status: $(cat "$work/out" "$work/err")"
    status "$holdfast" verify --dir "$work/busy" --recover-copy "$work/copies"; expect_status 3 "--recover-copy beside a writer"
    expect_in "$work/err" "in use" "--recover-copy beside a writer"
    kill -9 $busy
    wait $busy 2>/dev/null || true
    good "$work/busy" "killed, round $round"
    good "$work/busy" "killed and recovered, round $round" --recover-copy "$work/copies" --json
    [ ! -e "$work/copies" ] || fail "--recover-copy left its copies though all is well"
done
expect_figures "killed" verdict=good "recoveries_compared=for writing"

# A copy taken while it ran, without a checkpoint in between.
"$build/tests/stress_busy" "$work/live" 20 30 0 >/dev/null 2>&1 &
busy=$!
for _ in $(seq 100); do [ -e "$work/live/durable" ] && break; sleep 0.05; done
sleep 0.5
mkdir "$work/copied"
cp "$work"/live/segment-* "$work/copied/"
good "$work/copied" "a copy taken while it ran"
kill -9 $busy
wait $busy 2>/dev/null || true

# Damage: each of the files, at many places.
damaged=0
for offset in 20 4100 4200 $(seq 60000 97001 900000); do
    rm -rf "$work/x"
    cp -r "$work/d" "$work/x"
    printf '\xa5\x5a\xa5' | dd of="$work/x/segment-0000000000000001" bs=1 seek="$offset" conv=notrunc status=none
    cmp -s "$work/x/segment-0000000000000001" "$work/d/segment-0000000000000001" && continue
    status "$holdfast" verify --dir "$work/x"
    # Before the checkpoint no open meets it, and verify says so itself; else the open refuses. Padding is checked, too.
    expect_status 1 "damage at byte $offset"
    grep -qE 'verdict: BAD|HF_ECORRUPT' "$work/out" "$work/err" || fail "damage at byte $offset: $(cat "$work/out" "$work/err")"
    damaged=$((damaged + 1))
done
[ $damaged -gt 5 ] || fail "only $damaged places were damaged"
status "$holdfast" verify --dir "$work/x" --json
[ "$status" -eq 1 ] || fail "--json of a damaged directory"
[ ! -s "$work/out" ] || { expect_figures "damage" verdict=bad; expect_in "$work/out" "segment-" "damage"; }
echo "verify: whole, with checkpoints, beside writers, killed, copied; recovered twice to the same bytes; $damaged damages"
