#!/usr/bin/env bash
# SIGINT and SIGTERM: what was done is made durable, the exit status says which, and the same command goes on.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

"$holdfast" demo --rows 20000 --seed 3 >"$work/flow.csv"
"$holdfast" run --dir "$work/whole" "$work/flow.csv" --outcomes "$work/whole.o" --stock "$work/whole.s" >/dev/null
mkfifo "$work/pipe"

for signal in INT TERM; do
    rm -rf "$work/d" "$work/o" "$work/s"
    [ $signal = INT ] && expected=130 || expected=143
    # Job control, so that the background process does not ignore SIGINT. It waits for rows that do not come.
    set -m
    "$holdfast" run --dir "$work/d" "$work/pipe" --outcomes "$work/o" >"$work/out" 2>"$work/err" &
    pid=$!
    set +m
    exec 9>"$work/pipe"
    head -n 5001 "$work/flow.csv" >&9
    sleep 0.3
    kill -$signal $pid
    left=0
    wait $pid || left=$?
    exec 9>&-
    [ $left -eq $expected ] || fail "SIG$signal: exit status $left, expected $expected: $(cat "$work/err")"
    expect_in "$work/out" "run the same command again to go on" "SIG$signal"
    "$holdfast" run --dir "$work/d" "$work/flow.csv" --outcomes "$work/o" --stock "$work/s" >"$work/out"
    expect_in "$work/out" "went on after row" "SIG$signal"
    same "$work/o" "$work/whole.o" "SIG$signal: outcomes"
    same "$work/s" "$work/whole.s" "SIG$signal: stock"
done
echo "signals: stopped by SIGINT and SIGTERM, gone on, the same bytes"
