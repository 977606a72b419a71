#!/usr/bin/env bash
# repair: says what would be lost and changes nothing; cuts only when told, to the state of just the epoch it named; keeps
# what it cuts; with checkpoints before, behind and across the damage; not beside a writer; not where no cut helps.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

number() { # NAME: of the JSON in $work/json
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$work/json"
}

damage() { # FILE OFFSET
    printf '\x5a\xa5\x5a\xa5' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# check_cut DIRECTORY WHOLE: reports, cuts, and compares with WHOLE, the same directory without the damage.
check_cut() {
    local directory=$1 whole=$2 kept
    fingerprint "$directory" >"$work/before"
    status "$holdfast" stock --dir "$directory"; expect_status 1 "a damaged directory"
    status "$holdfast" repair --dir "$directory"; expect_status 1 "a report of damage"
    expect_in "$work/out" "damage: $directory/segment-" "a report"
    expect_in "$work/out" "nothing was changed" "a report"
    fingerprint "$directory" | cmp - "$work/before" || fail "a report changed the directory"
    status "$holdfast" repair --dir "$directory" --json; expect_status 1 "a report"
    cp "$work/out" "$work/json"
    kept=$(number kept_epoch)
    [ "$(number lost_epoch)" -gt "$kept" ] || fail "nothing is lost"
    "$holdfast" replay --dir "$whole" --to-epoch "$kept" --stock "$work/then.stock" --reservations "$work/then.reservations"
    status "$holdfast" repair --dir "$directory" --cut; expect_status 0 "a cut"
    expect_in "$work/out" "it opens" "a cut"
    [ "$(find "$directory" -name 'cut-*' | wc -l)" -ge 1 ] || fail "what was cut was not kept"
    "$holdfast" stock --dir "$directory" --csv | cmp - "$work/then.stock" || fail "the stock after a cut is not that of epoch $kept"
    "$holdfast" replay --dir "$directory" --reservations - | cmp - "$work/then.reservations" || fail "reservations after a cut"
    status "$holdfast" verify --dir "$directory"; expect_status 0 "verify after a cut: $(cat "$work/out")"
    [ "$("$holdfast" dump --dir "$directory" | tail -n 1 | cut -d' ' -f1)" -gt "$(number lost_epoch)" ] || fail "an epoch is used twice"
    status "$holdfast" repair --dir "$directory"; expect_status 0 "repair of what was repaired"
    expect_in "$work/out" "nothing to repair" "repair of what was repaired"
}

"$holdfast" demo --rows 60000 --seed 21 >"$work/flow.csv"
"$holdfast" run --dir "$work/whole" "$work/flow.csv" --batch 2000 >/dev/null
status "$holdfast" repair --dir "$work/whole"; expect_status 0 "nothing to repair"
fingerprint "$work/whole" | grep -v '^./LOCK ' >"$work/before"
status "$holdfast" repair --dir "$work/whole" --cut; expect_status 0 "a cut of nothing"
expect_in "$work/out" "nothing to repair" "a cut of nothing"
fingerprint "$work/whole" | grep -v '^./LOCK ' | cmp - "$work/before" || fail "a cut of nothing changed the directory"

# Damage in a payload, in a header, and of a directory that was copied, and so has no page that speaks for it.
log="segment-0000000000000001"
grep -obUa HFBATCH "$work/whole/$log" | cut -d: -f1 >"$work/headers"
header_at() { awk -v from="$1" '$1 >= from { print; exit }' "$work/headers"; } # the first at or behind an offset
for offset in $(($(header_at 400000) + 900)) $(($(header_at 700000) + 50)) 4100; do
    rm -rf "$work/d"
    cp -r "$work/whole" "$work/d"
    damage "$work/d/$log" "$offset"
    check_cut "$work/d" "$work/whole"
done
[ "$("$holdfast" stock --dir "$work/d" --csv | wc -l)" -eq 1 ] || fail "damage of the first batch leaves stock"

# Every record is there again when a copy of the damaged file is put back: nothing but --cut has touched the directory.
rm -rf "$work/d"
cp -r "$work/whole" "$work/d"
damage "$work/d/$log" 500000
status "$holdfast" repair --dir "$work/d"
cp "$work/whole/$log" "$work/d/$log"
status "$holdfast" repair --dir "$work/d"; expect_status 0 "the damaged file put back"

# The page of a directory that was not copied knows the last epoch: that one, damaged, is told from a torn tail.
"$holdfast" run --dir "$work/own" "$work/flow.csv" --batch 2000 >/dev/null
cp -r "$work/own" "$work/twin"
end=$(grep -obUa HFBATCH "$work/own/$log" | tail -n 1 | cut -d: -f1)
damage "$work/own/$log" $((end + 300))
check_cut "$work/own" "$work/twin"
damage "$work/twin/$log" $((end + 300))
status "$holdfast" repair --dir "$work/twin"; expect_status 0 "a torn tail is not repair's"

# Segments and checkpoints: damage behind the newest checkpoint, before it, and in a segment's own header.
"$build/tests/stress_busy" "$work/many" 20 20 500 >/dev/null 2>&1 &
busy=$!
for _ in $(seq 150); do
    sleep 0.1
    [ "$(find "$work/many" -name 'checkpoint-*' 2>/dev/null | wc -l)" -ge 2 ] && [ -e "$work/many/segment-0000000000000004" ] && break
done
sleep 0.7
status "$holdfast" repair --dir "$work/many"; expect_status 3 "a report beside a writer"
expect_in "$work/err" "in use" "a report beside a writer"
status "$holdfast" repair --dir "$work/many" --cut; expect_status 3 "a cut beside a writer"
kill -9 $busy
wait $busy 2>/dev/null || true
rm -f "$work/many/durable"
status "$holdfast" verify --dir "$work/many"; expect_status 0 "the directory of many segments: $(cat "$work/out")"
"$holdfast" repair --dir "$work/many" >/dev/null || fail "what a kill left needs no repair"
newest=$(find "$work/many" -name 'segment-*' | sort | tail -n 1)
batches=$(grep -obUa HFBATCH "$newest" | wc -l)
if [ "$batches" -ge 4 ]; then
    rm -rf "$work/d"
    cp -r "$work/many" "$work/d"
    at=$(grep -obUa HFBATCH "$newest" | sed -n "$((batches / 2))p" | cut -d: -f1)
    damage "$work/d/$(basename "$newest")" $((at + 200))
    check_cut "$work/d" "$work/many"
fi
# A checkpoint reaches behind the damage: it goes aside, and an older one, or none, takes its place; or no cut helps.
tried=0 mended=0
for segment in $(find "$work/many" -name 'segment-*' | sort); do
    rm -rf "$work/d"
    cp -r "$work/many" "$work/d"
    damage "$work/d/$(basename "$segment")" 40
    tried=$((tried + 1))
    status "$holdfast" stock --dir "$work/d" --csv
    if [ "$status" -eq 0 ]; then # no open reads it any more
        status "$holdfast" repair --dir "$work/d"; expect_status 0 "damage that no open meets"
        continue
    fi
    fingerprint "$work/d" >"$work/before"
    status "$holdfast" repair --dir "$work/d" --json
    expect_status 1 "damage of a segment's header"
    if grep -q "no cut helps" "$work/err"; then
        fingerprint "$work/d" | cmp - "$work/before" || fail "where no cut helps something was changed"
        continue
    fi
    aside=$(sed -n 's/.*"checkpoints": \([0-9]*\).*/\1/p' "$work/out")
    check_cut "$work/d" "$work/many"
    [ "$(find "$work/d" -name 'aside-checkpoint-*' | wc -l)" -eq "$aside" ] || fail "$aside checkpoints were to be kept aside"
    mended=$((mended + 1))
done
[ $mended -ge 1 ] || fail "none of $tried damaged segments could be mended: a poor test"

# Killed at any time in its midst, the same command again finishes.
for _ in $(seq 8); do
    rm -rf "$work/d"
    cp -r "$work/whole" "$work/d"
    damage "$work/d/$log" 900000
    "$holdfast" repair --dir "$work/d" --cut >/dev/null 2>&1 &
    pid=$!
    sleep 0.00$((RANDOM % 9))
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    status "$holdfast" repair --dir "$work/d" --cut; expect_status 0 "a cut after a kill"
    status "$holdfast" verify --dir "$work/d"; expect_status 0 "verify after a kill and a cut: $(cat "$work/out")"
    "$holdfast" stock --dir "$work/d" --csv >"$work/stock"
    [ ! -e "$work/first" ] || same "$work/stock" "$work/first" "the stock depends on when the cut was killed"
    cp "$work/stock" "$work/first"
done

for wrong in "--nothing" "more" "--cut=1"; do
    # shellcheck disable=SC2086
    status "$holdfast" repair --dir "$work/whole" $wrong
    expect_status 2 "repair $wrong"
done
status "$holdfast" repair; expect_status 2 "repair without --dir"
status "$holdfast" repair --dir "$work/nothing" --cut; expect_status 1 "repair of nothing"
[ ! -e "$work/nothing" ] || fail "repair made a directory"
echo "repair: reports, cuts, kept aside; checkpoints; $mended of $tried damaged segments mended; killed in its midst"
