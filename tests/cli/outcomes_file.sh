#!/usr/bin/env bash
# The outcomes file of a run that goes on: cut back where it is ahead, refused where it is not this run's, the same
# bytes when there is nothing left to do.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

"$holdfast" demo --rows 4000 --seed 7 >"$work/flow.csv"
head -n 2001 "$work/flow.csv" >"$work/half.csv"
"$holdfast" run --dir "$work/whole" "$work/flow.csv" --outcomes "$work/whole.o" --stock "$work/whole.s" >/dev/null

start() { # a directory that has done half of the flow
    rm -rf "$work/d" "$work/o"
    "$holdfast" run --dir "$work/d" "$work/half.csv" --outcomes "$work/o" >/dev/null
}

go_on() { status "$holdfast" run --dir "$work/d" "$work/flow.csv" --outcomes "$work/o" --stock "$work/s"; }

good() { # WHAT
    go_on
    expect_status 0 "$1"
    same "$work/o" "$work/whole.o" "$1: outcomes"
    same "$work/s" "$work/whole.s" "$1: stock"
}

refused() { # TEXT WHAT
    cp "$work/o" "$work/before" 2>/dev/null || : >"$work/before"
    go_on
    expect_status 1 "$2"
    expect_in "$work/err" "$1" "$2"
    [ ! -e "$work/o" ] || same "$work/o" "$work/before" "$2: the file was changed"
}

start; good "half and half"
good "a further run"
expect_in "$work/out" "nothing was left to do" "a further run"
start; printf '2001,ok\n2002,o' >>"$work/o"; good "a torn last line"
start; tail -n +1000 "$work/whole.o" >>"$work/o"; good "ahead of the log"
start; rm "$work/o"; refused "it is missing" "missing"
start; head -n 500 "$work/o" >"$work/x"; mv "$work/x" "$work/o"; refused "it ends before the operation of row" "too short"
start; truncate -s -2 "$work/o"; refused "it ends before the operation of row" "the last done line torn"
start; : >"$work/o"; refused "no outcomes file" "empty"
start; sed -i '300d' "$work/o"; refused "line 300 is no outcome of row" "a line missing"
start; sed -i '300s/,.*/,okay/' "$work/o"; refused "line 300 is no outcome of row" "a word that is none"
start; sed -i '1s/row/line/' "$work/o"; refused "no outcomes file" "another header"
start; cp "$work/flow.csv" "$work/keep"; "$holdfast" demo --rows 4000 --seed 8 >"$work/flow.csv"
refused "is no outcome of row" "another flow"
head -n 1000 "$work/keep" >"$work/flow.csv"
refused "expected the flow of the earlier run" "a shorter flow"
cp "$work/keep" "$work/flow.csv"

# A flow whose operation at the durable position is longer than what was done.
printf '%s\n' "$header" '1,receive,d,a,9,,' '2,reserve,r,a,1,9,' >"$work/short.csv"
{ cat "$work/short.csv"; echo '2,reserve,r,a,1,9,'; } >"$work/longer.csv"
"$holdfast" run --dir "$work/grow" "$work/short.csv" >/dev/null
status "$holdfast" run --dir "$work/grow" "$work/longer.csv"
expect_status 1 "an operation that grew"
expect_in "$work/err" "row 2: its operation goes on to row 3" "an operation that grew"

# A file that is something else is never overwritten.
rm -rf "$work/d"
echo "my diary" >"$work/o"
refused "no outcomes file" "somebody's diary"
# Leftovers of a run whose directory is gone are.
cp "$work/whole.o" "$work/o"
rm -rf "$work/d"
good "leftovers"
status "$holdfast" run --dir "$work/d2" "$work/flow.csv" --outcomes "$work/none/o"
expect_status 3 "a directory that is not there"
if [ -w /dev/full ]; then
    status "$holdfast" run --dir "$work/d3" "$work/flow.csv" --outcomes /dev/full
    [ "$status" -ne 0 ] || fail "/dev/full as outcomes file"
fi

# An outcomes file whose disk is full: no operation is durable whose outcome is not, and with room again the run goes on.
mkdir "$work/small"
if mount -t tmpfs -o size=16k tmpfs "$work/small" 2>/dev/null; then
    trap 'umount "$work/small"; rm -rf "$work"' EXIT
    "$holdfast" demo --rows 8000 --seed 3 >"$work/long.csv"
    "$holdfast" run --dir "$work/undisturbed" "$work/long.csv" --outcomes "$work/long.o" >/dev/null
    status "$holdfast" run --dir "$work/d4" "$work/long.csv" --outcomes "$work/small/o.csv" --batch 100
    expect_status 3 "a full disk under the outcomes file"
    expect_in "$work/err" "o.csv: writing" "a full disk under the outcomes file"
    mount -o remount,size=4m "$work/small"
    status "$holdfast" run --dir "$work/d4" "$work/long.csv" --outcomes "$work/small/o.csv"
    expect_status 0 "with room again"
    same "$work/small/o.csv" "$work/long.o" "with room again"
else
    echo "SKIPPED: a full disk under the outcomes file, a file system cannot be mounted here"
fi
echo "outcomes file: cut back, gone on with, or refused unchanged"
