#!/usr/bin/env bash
# dump: every record once, by epoch, SKU, id, user, time; what is printed for an id or a name is what the options take;
# --follow beside a writer, until a signal.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

"$holdfast" demo --rows 20000 --seed 11 >"$work/flow.csv"
"$holdfast" run --dir "$work/d" "$work/flow.csv" --batch 1000 >/dev/null
fingerprint "$work/d" >"$work/before"
"$holdfast" dump --dir "$work/d" >"$work/text"
"$holdfast" dump --dir "$work/d" --json >"$work/json"
[ "$(wc -l <"$work/text")" -eq "$(wc -l <"$work/json")" ] || fail "text and JSON have not the same number of records"
[ "$(wc -l <"$work/json")" -eq "$("$holdfast" stat --dir "$work/d" --json | sed -n 's/.*"replayed_records": \([0-9]*\).*/\1/p')" ] ||
    fail "not as many records as the engine replays"
fingerprint "$work/d" | cmp - "$work/before" || fail "dump changed the directory"
if command -v python3 >/dev/null; then
    python3 - "$work/json" <<'PY' || fail "dump --json"
import json, sys
last = 0
for line in open(sys.argv[1]):
    record = json.loads(line)
    assert record["epoch"] >= last
    last = record["epoch"]
PY
fi

# same_as PATTERN OPTION...: the records with those options are those whose JSON has PATTERN, and there are some.
same_as() {
    local pattern=$1
    shift
    grep -E "$pattern" "$work/json" >"$work/expected" || fail "no record has $pattern"
    "$holdfast" dump --dir "$work/d" --json "$@" | cmp - "$work/expected" || fail "dump $*"
}
same_as '"epoch":7,' --from-epoch 7 --to-epoch 7
same_as '"epoch":(1[5-9]|[2-9][0-9]|[0-9]{3}),' --from-epoch 15
same_as '"epoch":[1-9],' --to-epoch 9
same_as '"sku":"SKU-0042"|"name":"SKU-0042"' --sku SKU-0042
id=$(sed -n 's/.*"type":"confirm".*"id":"\([^"]*\)".*/\1/p' "$work/json" | sed -n 100p)
same_as "\"id\":\"$id\"" --id "$id"
same_as "\"id\":\"$id\"" --id-text "$id"
same_as '"time_ms":17672616[0-9]*,' --from-time 2026-01-01T10:00:00Z --to-time 1767261699999
same_as '"epoch":8,.*"sku":"HOT-1"' --from-epoch 8 --to-epoch 8 --sku HOT-1
user=$(sed -n 's/.*"type":"reserve".*"user":\([0-9]*\).*/\1/p' "$work/json" | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
# Its reservations, from the epoch on in which each was made.
awk -v user="\"user\":${user}[,}]" '{ epoch = $0; sub(/^{"epoch":/, "", epoch); sub(/,.*/, "", epoch); id = "" }
    match($0, /"id":"[^"]*"/) { id = substr($0, RSTART, RLENGTH) }
    NR == FNR { if (id != "" && $0 ~ user && !(id in made)) made[id] = epoch + 0; next }
    id in made && epoch + 0 >= made[id]' "$work/json" "$work/json" >"$work/expected"
"$holdfast" dump --dir "$work/d" --json --user "$user" | cmp - "$work/expected" || fail "dump --user"
grep -qvE '"type":"reserve"' "$work/expected" || fail "user $user has nothing but reserves: a poor test"
[ -z "$("$holdfast" dump --dir "$work/d" --id nobody)" ] || fail "records of an id that is not there"
for wrong in "--from-epoch x" "--from-time tomorrow" "--sku" "--id=" "--user" "more"; do
    # shellcheck disable=SC2086
    status "$holdfast" dump --dir "$work/d" $wrong
    expect_status 2 "dump $wrong"
done

# Ids and names of any bytes: what is printed is taken back.
printf '%s\n' "$header" '1,receive,1,b\x,2,,' '2,receive,an id that is longer than fifteen bytes,c,3,,' >"$work/n.csv"
printf '3,receive,5,a\tb,6,,\n4,reserve,t\x01b,c,1,9,me\n5,cancel,t\x01b,,,,\n' >>"$work/n.csv"
"$holdfast" run --dir "$work/n" "$work/n.csv" >/dev/null
"$holdfast" dump --dir "$work/n" >"$work/text"
expect_in "$work/text" 'a\x09b 6 on_hand+6' "a name with a tab"
expect_in "$work/text" 'b\x5cx 2 on_hand+2' "a name with a backslash"
expect_in "$work/text" 'cancel t\x01b ' "an id with a control character"
[ "$("$holdfast" dump --dir "$work/n" --sku 'a\x09b' | wc -l)" -eq 2 ] || fail "a SKU as it is printed"
[ "$("$holdfast" dump --dir "$work/n" --sku 'b\x5cx' | wc -l)" -eq 2 ] || fail "a SKU as it is printed"
[ "$("$holdfast" dump --dir "$work/n" --id 't\x01b' | wc -l)" -ge 2 ] || fail "an id as it is printed"
[ "$("$holdfast" dump --dir "$work/n" --user me | wc -l)" -ge 2 ] || fail "a user as a flow has it"
long=$(grep ' receive ' "$work/text" | grep -oE '[0-9a-f]{32}')
[ "$("$holdfast" dump --dir "$work/n" --id "$long" | wc -l)" -eq 1 ] || fail "an id of 32 digits"
[ "$("$holdfast" dump --dir "$work/n" --id-text 'an id that is longer than fifteen bytes' | wc -l)" -eq 1 ] || fail "--id-text"
[ -z "$("$holdfast" dump --dir "$work/n" --id-text "$long")" ] || fail "--id-text takes digits for an id"

# --follow: what a writer does turns up; a signal ends it, and that is fine.
"$holdfast" run --dir "$work/f" "$work/n.csv" >/dev/null
set -m
"$holdfast" dump --dir "$work/f" --follow --json >"$work/followed" 2>"$work/err" &
follower=$!
set +m
head -n 3000 "$work/flow.csv" | sed '2,$s/^[0-9]*/1767261600000/' | grep -v ',reserve,' >"$work/more.csv"
cat "$work/n.csv" >"$work/all.csv"
sed 1d "$work/more.csv" >>"$work/all.csv"
"$holdfast" run --dir "$work/f" "$work/all.csv" --batch 100 >/dev/null
wanted=$("$holdfast" dump --dir "$work/f" | wc -l)
for _ in $(seq 200); do [ "$(wc -l <"$work/followed")" -ge "$wanted" ] && break; sleep 0.05; done
kill -INT $follower
status=0
wait $follower || status=$?
expect_status 0 "dump --follow after SIGINT"
"$holdfast" dump --dir "$work/f" --json | cmp - "$work/followed" || fail "dump --follow"
status timeout 20 "$holdfast" dump --dir "$work/f" --follow --to-epoch 2
expect_status 0 "--follow to an epoch that is there"

# Beside a writer with checkpoints: whole records, or the word that the writer was faster.
"$build/tests/stress_busy" "$work/busy" 4 30 400 >/dev/null &
busy=$!
for _ in $(seq 100); do [ -e "$work/busy/durable" ] && break; sleep 0.05; done
for _ in 1 2 3; do
    sleep 0.5
    status "$holdfast" dump --dir "$work/busy" --json
    [ "$status" -eq 0 ] || expect_in "$work/err" "let go of" "dump beside a writer: exit status $status"
    ! grep -qvE '^\{"epoch":.*\}$' "$work/out" || fail "dump beside a writer: a line is not whole"
done
wait $busy || fail "the writer"
echo "dump: $(wc -l <"$work/json") records by everything that can be asked for; followed; beside a writer"
