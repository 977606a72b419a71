#!/usr/bin/env bash
# replay: the state as of epochs in the middle is what a run of just so many rows leads to; the same state forwards and,
# where old log was let go of, backwards; by time; into a directory that opens; refusals.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

replay() { # DIRECTORY EPOCH NAME: stock and reservations in $work/NAME.stock and .reservations
    "$holdfast" replay --dir "$1" --to-epoch "$2" --stock "$work/$3.stock" --reservations "$work/$3.reservations" ||
        fail "replay --to-epoch $2 of $1"
}

# ---- forwards, against runs of fewer rows ----

"$holdfast" demo --rows 30000 --seed 12 >"$work/flow.csv"
"$holdfast" run --dir "$work/d" "$work/flow.csv" --batch 1500 --stock "$work/last.stock" >/dev/null
fingerprint "$work/d" >"$work/before"
"$holdfast" dump --dir "$work/d" --json >"$work/json"
# epoch, and the last row that is in it
sed -n 's/^{"epoch":\([0-9]*\),.*"position":\([0-9]*\).*/\1 \2/p' "$work/json" | awk '{ last[$1] = $2 } END { for (e in last) print e, last[e] }' |
    sort -n >"$work/epochs"
count=0
while read -r epoch row; do
    [ $((count % 3)) -eq 0 ] || { count=$((count + 1)); continue; }
    head -n $((row + 1)) "$work/flow.csv" >"$work/part.csv"
    rm -rf "$work/part"
    "$holdfast" run --dir "$work/part" "$work/part.csv" --batch 1500 --stock "$work/part.stock" >/dev/null
    replay "$work/d" "$epoch" past
    same "$work/past.stock" "$work/part.stock" "the stock as of epoch $epoch, row $row"
    "$holdfast" replay --dir "$work/part" --reservations - | cmp - "$work/past.reservations" || fail "reservations of epoch $epoch"
    count=$((count + 1))
done <"$work/epochs"
[ $count -gt 10 ] || fail "only $count epochs"
"$holdfast" replay --dir "$work/d" --stock - | cmp - "$work/last.stock" || fail "the stock as of now"
[ "$(wc -l <"$work/past.reservations")" -gt 100 ] || fail "hardly any reservations: a poor test"
fingerprint "$work/d" | cmp - "$work/before" || fail "replay changed the directory"

# ---- forms, times, refusals ----

read -r epoch row < <(sed -n 9p "$work/epochs")
replay "$work/d" "$epoch" past
latest=$(sed -n "s/^{\"epoch\":$epoch,\"time_ms\":\([0-9]*\).*/\1/p" "$work/json" | sort -n | tail -n 1)
next=$(sed -n "s/^{\"epoch\":$((epoch + 1)),\"time_ms\":\([0-9]*\).*/\1/p" "$work/json" | sort -n | tail -n 1)
for time in "$latest" $((next - 1)) "$(date -u -d "@$((latest / 1000))" +%Y-%m-%dT%H:%M:%S).$(printf %03d $((latest % 1000)))Z"; do
    "$holdfast" replay --dir "$work/d" --to-time "$time" --stock - | cmp - "$work/past.stock" || fail "replay --to-time $time"
done
"$holdfast" replay --dir "$work/d" --to-epoch "$epoch" >"$work/out"
expect_in "$work/out" "epoch $epoch, 2026-01-01T" "the table"
expect_in "$work/out" "HOT-1" "the table"
if command -v python3 >/dev/null; then
    "$holdfast" replay --dir "$work/d" --to-epoch "$epoch" --json >"$work/json.now"
    python3 - "$work/json.now" "$work/past" <<'PY' || fail "replay --json"
import csv, json, sys
state = json.load(open(sys.argv[1]))
stock = {r["sku"]: r for r in csv.DictReader(open(sys.argv[2] + ".stock"))}
assert len(stock) == len(state["skus"])
for sku in state["skus"]:
    row = stock[sku["sku"]]
    assert (int(row["on_hand"]), int(row["reserved"])) == (sku["on_hand"], sku["reserved"])
    assert sku["available"] == sku["on_hand"] - sku["reserved"] and sku["version"] > 0
lines = {(r["id"], r["user"], r["deadline_ms"], r["sku"], r["quantity"]) for r in csv.DictReader(open(sys.argv[2] + ".reservations"))}
found = {(r["id"], str(r["user"]), str(r["deadline_ms"]), l["sku"], str(l["quantity"])) for r in state["reservations"] for l in r["lines"]}
assert lines == found and lines
PY
fi
status "$holdfast" replay --dir "$work/d" --to-epoch 999999; expect_status 1 "an epoch that is not there"
expect_in "$work/err" "is not there yet" "an epoch that is not there"
[ "$("$holdfast" replay --dir "$work/d" --to-time 1999-12-31 --stock -)" = sku,on_hand,reserved ] || fail "before the first operation"
for wrong in "--to-epoch x" "--to-epoch 5 --to-time 5" "--to-time now" "--stock" "more"; do
    # shellcheck disable=SC2086
    status "$holdfast" replay --dir "$work/d" $wrong
    expect_status 2 "replay $wrong"
done
status "$holdfast" replay --dir "$work/d" --stock "$work/nowhere/s.csv"; expect_status 3 "a file that cannot be made"

# ---- into a directory ----

# SKU c is counted below what is reserved; e has none left; the last reservation is overdue in the log, as nothing came after.
printf '%s\n' "$header" 1000,receive,1,c,9,, 1000,receive,2,e,3,, 1000,receive,3,m,5,, 1001,reserve,r,c,7,5000,77 \
    1001,reserve,r,m,2,5000,77 1002,purchase,4,e,3,, 1003,count,5,c,4,, 1004,reserve,q,m,1,1,joe >"$work/n.csv"
"$holdfast" run --dir "$work/n" "$work/n.csv" >/dev/null
into() { # DIRECTORY EPOCH
    rm -rf "$work/made"
    "$holdfast" replay --dir "$1" --to-epoch "$2" --into "$work/made/" >"$work/out" || fail "replay --into, epoch $2"
    replay "$1" "$2" source
    "$holdfast" stock --dir "$work/made" --csv | cmp - "$work/source.stock" || fail "--into: stock of epoch $2"
    "$holdfast" replay --dir "$work/made" --reservations - | cmp - "$work/source.reservations" || fail "--into: reservations, epoch $2"
    status "$holdfast" verify --dir "$work/made"; expect_status 0 "--into: verify: $(cat "$work/out")"
    [ ! -e "$work/made.tmp" ] || fail "--into left made.tmp"
}
into "$work/n" "$("$holdfast" stat --dir "$work/n" --json | sed -n 's/.*"durable": \([0-9]*\).*/\1/p')"
expect_in "$work/source.stock" "c,4,7" "a SKU counted below what is reserved"
expect_in "$work/source.reservations" "r,77,6001,m,2" "a reservation of two lines"
into "$work/d" "$epoch"
status "$holdfast" replay --dir "$work/d" --into "$work/made"; expect_status 1 "--into where something is"
# It is an engine like any other: time goes on, what is due expires.
printf '%s\n' "$header" 1900000000000,receive,new,new,1,, >"$work/later.csv"
"$holdfast" run --dir "$work/made" "$work/later.csv" >"$work/out"
[ "$("$holdfast" replay --dir "$work/made" --reservations - | wc -l)" -eq 1 ] || fail "what was due did not expire in the directory that was made"

# ---- backwards: a directory whose old log is gone, and a copy of it that has all segments ----

"$build/tests/stress_busy" "$work/gone" 20 30 500 >/dev/null 2>&1 &
busy=$!
mkdir "$work/all"
for _ in $(seq 60); do
    sleep 0.1
    cp -ln "$work"/gone/segment-* "$work/all/" 2>/dev/null || true # a segment stays as it is once the next one is begun
    [ ! -e "$work/all/segment-0000000000000007" ] || [ -e "$work/gone/segment-0000000000000002" ] || break
done
kill -9 $busy
wait $busy 2>/dev/null || true
cp -ln "$work"/gone/segment-* "$work/all/"
rm -f "$work/gone/durable" # it would name this directory's file, and the copy has none
"$holdfast" dump --dir "$work/gone" | awk '{ print $1 }' | sort -nu >"$work/epochs"
first=$(head -n 1 "$work/epochs") last=$(tail -n 1 "$work/epochs")
[ "$first" -gt 50 ] || fail "no log was let go of: a poor test"
known() { cut -d, -f1,4,5 "$1" | sort; }
count=0
# Epochs in which nothing was done have no record: at the first of them, too.
empty=$(awk 'NR > 1 && $1 > last + 1 { print last + 1; exit } { last = $1 }' "$work/epochs")
for epoch in $((first - 1)) $empty $(awk -v every=$(($(wc -l <"$work/epochs") / 12 + 1)) 'NR % every == 0' "$work/epochs") "$last"; do
    replay "$work/all" "$epoch" forwards
    replay "$work/gone" "$epoch" backwards
    same "$work/backwards.stock" "$work/forwards.stock" "stock of epoch $epoch, backwards"
    known "$work/forwards.reservations" >"$work/f"
    known "$work/backwards.reservations" | cmp - "$work/f" || fail "reservations of epoch $epoch, backwards"
    # What is said of users and deadlines is right where it is said: only fields that are empty may differ.
    sort "$work/forwards.reservations" >"$work/f"
    sort "$work/backwards.reservations" | comm -23 - "$work/f" | { grep -vE '^[^,]*,,|^[^,]*,[^,]*,,' || true; } >"$work/wrong"
    [ ! -s "$work/wrong" ] || fail "epoch $epoch, backwards: a user or deadline is wrong: $(head -n 3 "$work/wrong")"
    count=$((count + 1))
done
status "$holdfast" replay --dir "$work/gone" --to-epoch $((first - 2)); expect_status 1 "an epoch that is no longer kept"
expect_in "$work/err" "no longer kept" "an epoch that is no longer kept"
status "$holdfast" replay --dir "$work/gone" --to-epoch $((last + 9)); expect_status 1 "an epoch to come, backwards"
into "$work/gone" $(((first + last) / 2))
echo "replay: as runs of fewer rows; by time; into directories; $count epochs backwards as forwards"
