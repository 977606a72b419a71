#!/usr/bin/env bash
# history: every step of a SKU with what it led to, the life of an id, a picture; also where the log begins later, and
# beside a writer.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

printf '%s\n' "$header" 1000,receive,in,a,9,, 1001,reserve,r,a,2,50,7 1001,reserve,r,b,1,50,7 1002,receive,in2,b,3,, \
    1003,reserve,r,a,2,50,7 1003,reserve,r,b,1,50,7 1004,purchase,p,a,1,, 1005,extend,r,,,9000, 1006,count,n,a,5,, \
    1007,confirm,r,,,, 1008,reserve,s,a,3,10,8 1020,adjust,x,a,-1,, 1030,confirm,s,,,, 1040,reserve,t,a,1,5000,9 >"$work/flow.csv"
"$holdfast" run --dir "$work/d" "$work/flow.csv" >/dev/null
fingerprint "$work/d" >"$work/before"
"$holdfast" history --dir "$work/d" --sku a | sed 's/  */ /g; s/^ //' >"$work/out"
cat >"$work/expected" <<'END'
version time what on_hand reserved available id
1 1970-01-01T00:00:01.000Z receive 9 0 9 in
2 1970-01-01T00:00:01.003Z reserve 9 2 7 r
3 1970-01-01T00:00:01.004Z purchase 8 2 6 p
4 1970-01-01T00:00:01.006Z count 5 2 3 n
5 1970-01-01T00:00:01.007Z confirm 3 0 3 r
6 1970-01-01T00:00:01.008Z reserve 3 3 0 s
7 1970-01-01T00:00:01.020Z expire 3 0 3 s
8 1970-01-01T00:00:01.020Z adjust 2 0 2 x
9 1970-01-01T00:00:01.040Z reserve 2 1 1 t
END
same "$work/out" "$work/expected" "history of SKU a: $(cat "$work/out")"
"$holdfast" history --dir "$work/d" --sku a --from-time 1007 --to-time 1008 | sed 1d | wc -l | grep -qx 2 || fail "a stretch of time"
"$holdfast" history --dir "$work/d" --sku a --json >"$work/json"
expect_in "$work/json" '"what":"confirm","id":"r","on_hand_change":-2,"reserved_change":-2,"on_hand":3,"reserved":0,"available":3}' "JSON"
[ "$(wc -l <"$work/json")" -eq 9 ] || fail "JSON: $(wc -l <"$work/json") steps"

# expect_life ID END WORD...: the records of an id, in this order, and how it stands.
expect_life() {
    local id=$1 end=$2
    shift 2
    "$holdfast" history --dir "$work/d" --id "$id" >"$work/out"
    [ "$(sed '$d' "$work/out" | awk '{ print $3 }' | paste -sd' ')" = "$*" ] || fail "history of id $id: $(cat "$work/out")"
    [ "$(tail -n 1 "$work/out")" = "$end" ] || fail "id $id stands at: $(tail -n 1 "$work/out")"
}
expect_life in applied receive
expect_life p sold purchase
expect_life r confirmed note reserve extend confirm
expect_life s expired reserve expire note
expect_life t "live until 1970-01-01T00:00:06.040Z" reserve
"$holdfast" history --dir "$work/d" --id r --json | tail -n 1 >"$work/out"
expect_in "$work/out" '"type":"confirm"' "history --id --json"
fingerprint "$work/d" | cmp - "$work/before" || fail "history changed the directory"

status "$holdfast" history --dir "$work/d" --sku nothing; expect_status 1 "a SKU that is not there"
status "$holdfast" history --dir "$work/d" --id nothing; expect_status 1 "an id that is not there"
for wrong in "" "--sku a --id b" "--id a --svg f" "--sku" "--sku a --from-time never" "--sku a more"; do
    # shellcheck disable=SC2086
    status "$holdfast" history --dir "$work/d" $wrong
    expect_status 2 "history $wrong"
done

# ---- the picture ----

"$holdfast" demo --rows 40000 --seed 13 >"$work/big.csv"
"$holdfast" run --dir "$work/big" "$work/big.csv" --stock "$work/stock" >/dev/null
"$holdfast" history --dir "$work/big" --sku HOT-1 --svg "$work/hot.svg" >"$work/out"
last=$(tail -n 1 "$work/out" | awk '{ print $4 "," $5 }')
grep -qx "HOT-1,$last" "$work/stock" || fail "the history ends with $last, the stock is $(grep HOT-1 "$work/stock")"
awk 'NR > 1 && $1 != NR - 1 { exit 1 }' "$work/out" || fail "versions have a gap"
for text in "HOT-1" "on_hand, at last" "reserved, at last" "available, at last" "$(wc -l <"$work/out" | awk '{ print $1 - 1 }') steps"; do
    expect_in "$work/hot.svg" "$text" "the picture"
done
[ "$(wc -c <"$work/hot.svg")" -lt 400000 ] || fail "the picture has $(wc -c <"$work/hot.svg") bytes"
if command -v python3 >/dev/null; then
    python3 - "$work/hot.svg" "$work/out" <<'PY' || fail "the picture is no XML, or does not end with the last values"
import re, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
paths = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path")]
assert len(paths) == 3
# The lines' ends, on the scale that the labels of the axis give, are the last values.
labels = {}
for text in root.iter("{http://www.w3.org/2000/svg}text"):
    if text.get("text-anchor") == "end" and re.fullmatch(r"-?[0-9,]+", text.text):
        labels[float(text.text.replace(",", ""))] = float(text.get("y")) - 4
low, high = min(labels), max(labels)
def value(y): return low + (labels[low] - y) / (labels[low] - labels[high]) * (high - low)
last = [float(w) for w in open(sys.argv[2]).readlines()[-1].split()[3:6]]
for path, wanted in zip(paths, last):
    ys = [float(v) for v in re.findall(r"V(-?[0-9.]+)", path)]
    assert abs(value(ys[-1]) - wanted) < (high - low) / 1000, (value(ys[-1]), wanted)
PY
fi
printf '%s\n' "$header" '1000,receive,1,<&>ä,1,,' >"$work/one.csv"
"$holdfast" run --dir "$work/one" "$work/one.csv" >/dev/null
"$holdfast" history --dir "$work/one" --sku '<&>ä' --svg "$work/one.svg" >/dev/null || fail "one step"
! command -v python3 >/dev/null || python3 -c 'import sys, xml.etree.ElementTree as t; t.parse(sys.argv[1])' "$work/one.svg" || fail "one step: no XML"
status "$holdfast" history --dir "$work/one" --sku '<&>ä' --svg "$work/nowhere/f.svg"; expect_status 3 "a picture that cannot be made"

# ---- a log that begins later, and beside a writer ----

"$build/tests/stress_busy" "$work/gone" 20 12 400 >/dev/null 2>&1 &
busy=$!
for _ in $(seq 100); do
    sleep 0.1
    [ -e "$work/gone/durable" ] && [ ! -e "$work/gone/segment-0000000000000001" ] && break
done
for _ in 1 2; do
    status "$holdfast" history --dir "$work/gone" --sku sku-3 --json
    [ "$status" -eq 0 ] || expect_in "$work/err" "let go of" "history beside a writer: exit status $status"
done
kill -9 $busy
wait $busy 2>/dev/null || true
[ ! -e "$work/gone/segment-0000000000000001" ] || fail "no log was let go of: a poor test"
undone=$("$holdfast" stat --dir "$work/gone" --json | sed -n 's/.*"undone": \([0-9]*\).*/\1/p')
"$holdfast" stock --dir "$work/gone" --csv >"$work/stock"
for sku in sku-0 sku-3 sku-7; do
    "$holdfast" history --dir "$work/gone" --sku $sku >"$work/out"
    expect_in "$work/out" "begins behind version" "a log that begins later"
    tail -n +3 "$work/out" | awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 } $4 < 0 || $5 < 0 { exit 1 }' || fail "$sku: versions or values"
    last=$(tail -n 1 "$work/out" | awk '{ print $4 "," $5 }')
    [ "$undone" -gt 0 ] || grep -qx "$sku,$last" "$work/stock" || fail "$sku ends with $last, the stock is $(grep "^$sku," "$work/stock")"
done
echo "history: steps, lives, a picture; from the first step and from a later one; beside a writer"
