#!/usr/bin/env bash
# Help, usage errors and exit codes of every command; the forms of stock and stat; read-only commands change nothing;
# verify sees damage.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

for command in run stock stat verify checkpoint demo dump replay repair; do
    status "$holdfast" "$command" --help
    expect_status 0 "$command --help"
    expect_in "$work/out" "usage: holdfast $command" "$command --help"
    expect_in "$work/out" "exit status: 0" "$command --help"
    status "$holdfast" "$command" --nonsense
    expect_status 2 "$command --nonsense"
    expect_in "$work/err" "Try: holdfast $command --help" "$command --nonsense"
    [ "$command" = demo ] && continue
    status "$holdfast" "$command"
    expect_status 2 "$command without --dir"
    status "$holdfast" "$command" --dir
    expect_status 2 "$command with --dir and no value"
    [ "$command" = run ] && continue
    status "$holdfast" "$command" --dir "$work/nothing"
    expect_status 1 "$command of nothing"
    [ ! -e "$work/nothing" ] || fail "$command made a directory"
    mkdir -p "$work/empty"
    status "$holdfast" "$command" --dir "$work/empty"
    expect_status 1 "$command of an empty directory"
    status "$holdfast" "$command" --dir "$work/empty" more
    expect_status 2 "$command with a word too many"
done
status "$holdfast"; expect_status 2 "no command"
status "$holdfast" nonsense; expect_status 2 "no such command"
status "$holdfast" --help; expect_status 0 "--help"
status "$holdfast" --version; expect_status 0 "--version"
expect_in "$work/out" "holdfast 0." "--version"
for arguments in "--batch 0 f" "--batch x f" "--checkpoint-every 0 f" "" "f g"; do
    # shellcheck disable=SC2086
    status "$holdfast" run --dir "$work/nothing" $arguments
    expect_status 2 "run $arguments"
done
status "$holdfast" demo --rows 0; expect_status 2 "demo --rows 0"
status "$holdfast" stock --dir "$work/nothing" --csv --json; expect_status 2 "two forms"
if [ -w /dev/full ]; then
    status bash -c "'$holdfast' demo --rows 10 >/dev/full"
    expect_status 3 "output that cannot be written"
fi

# demo: the same seed gives the same bytes, another gives others, and it has the rows that were asked for.
"$holdfast" demo --rows 3000 --seed 5 >"$work/a.csv"
"$holdfast" demo --rows 3000 --seed 5 | cmp - "$work/a.csv" || fail "demo differs from itself"
! "$holdfast" demo --rows 3000 --seed 6 | cmp -s - "$work/a.csv" || fail "demo does not heed its seed"
[ "$(wc -l <"$work/a.csv")" -eq 3001 ] || fail "demo --rows 3000 has $(wc -l <"$work/a.csv") lines"
for rows in 1 2 199 200 201 250; do
    [ "$("$holdfast" demo --rows $rows | wc -l)" -eq $((rows + 1)) ] || fail "demo --rows $rows"
done

# Names of any bytes.
printf '%s\n' "$header" '1,receive,1,b,2,,' '1,receive,2,B,3,,' '1,receive,3,a\b,4,,' '1,receive,4,aä,5,,' >"$work/n.csv"
printf '1,receive,5,a\xff\xc3,6,,\n1,receive,6,a\tb,7,,\n1,reserve,7,b,1,9,\n' >>"$work/n.csv"
directory=$work/names
"$holdfast" run --dir "$directory" "$work/n.csv" >/dev/null
fingerprint "$directory" >"$work/before"
printf 'sku,on_hand,reserved\nB,3,0\na\tb,7,0\na\\b,4,0\naä,5,0\na\xff\xc3,6,0\nb,2,1\n' >"$work/expected"
"$holdfast" stock --dir "$directory" --csv | cmp - "$work/expected" || fail "stock --csv"
"$holdfast" stock --dir "$directory" --json >"$work/json"
expect_in "$work/json" '{"sku":"a\u0009b","on_hand":7,"reserved":0,"available":7,"version":1}' "stock --json"
expect_in "$work/json" '{"sku":"a\\b",' "stock --json"
expect_in "$work/json" '{"sku":"aä",' "stock --json"
expect_in "$work/json" '{"sku":"a\u00ff\u00c3",' "stock --json"
expect_in "$work/json" '{"sku":"b","on_hand":2,"reserved":1,"available":1,"version":2}' "stock --json"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 6' "$work/json" || fail "stock --json"
    "$holdfast" stat --dir "$directory" --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["skus"] == 6' ||
        fail "stat --json"
    "$holdfast" verify --dir "$directory" --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["verdict"] == "good"' ||
        fail "verify --json"
fi
status "$holdfast" stock --dir "$directory" --sku b --csv; expect_status 0 "stock --sku"
printf 'sku,on_hand,reserved\nb,2,1\n' | cmp - "$work/out" || fail "stock --sku"
status "$holdfast" stock --dir "$directory" --sku nothing; expect_status 1 "stock --sku nothing"
status "$holdfast" stock --dir "$directory"; expect_in "$work/out" "available" "stock"
status "$holdfast" stat --dir "$directory"; expect_in "$work/out" "live reservations" "stat"
status "$holdfast" verify --dir "$directory"; expect_in "$work/out" "verdict: good" "verify"
fingerprint "$directory" | cmp - "$work/before" || fail "a read-only command changed the directory"

# Checkpoints: before, after, and what is recovered from one.
"$holdfast" run --dir "$work/d" "$work/a.csv" --batch 100 --stock "$work/s.csv" >/dev/null
for _ in 1 2 3; do
    status "$holdfast" checkpoint --dir "$work/d"; expect_status 0 "checkpoint"
    expect_in "$work/out" "checkpoint taken" "checkpoint"
    "$holdfast" stock --dir "$work/d" --csv | cmp - "$work/s.csv" || fail "a checkpoint changed the stock"
    status "$holdfast" verify --dir "$work/d"; expect_status 0 "verify after a checkpoint: $(cat "$work/out")"
done
"$holdfast" run --dir "$work/d" "$work/a.csv" >"$work/out"
expect_in "$work/out" "nothing was left to do" "a run after checkpoints"

# In use: to write it twice is refused, to read it is fine. The flow comes from a pipe that stays open meanwhile.
mkfifo "$work/pipe"
"$holdfast" run --dir "$work/busy" "$work/pipe" >/dev/null 2>&1 &
writer=$!
exec 9>"$work/pipe"
cat "$work/n.csv" >&9
for _ in $(seq 200); do [ -e "$work/busy/segment-0000000000000001" ] && break; sleep 0.05; done
status "$holdfast" checkpoint --dir "$work/busy"
busy=$status
exec 9>&-
wait $writer || fail "the run from a pipe"
[ "$busy" -eq 3 ] || fail "checkpoint of a directory in use: exit status $busy, expected 3"

# Damage in the middle of the log: told by verify and by stock, exit status 1.
"$holdfast" run --dir "$work/damaged" "$work/a.csv" --batch 100 >/dev/null
log=$(find "$work/damaged" -name 'segment-*' | sort | head -n 1)
printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of="$log" bs=1 seek=12345 conv=notrunc status=none
status "$holdfast" verify --dir "$work/damaged"; expect_status 1 "verify of a damaged log"
status "$holdfast" stock --dir "$work/damaged"; expect_status 1 "stock of a damaged log"
expect_in "$work/err" "segment-" "stock of a damaged log"
echo "commands: help, exit codes, forms, checkpoints, damage"
