#!/usr/bin/env bash
# A flow written by hand, every operation and every outcome of the format in it, against answers that were worked out by
# hand from docs/OPERATIONS.md; plain, compressed, from a pipe, and in batches of every size from one row up.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

flow=$here/data/small.csv

check() { # NAME FLOW OPTION...
    local name=$1 file=$2
    shift 2
    "$holdfast" run --dir "$work/$name" "$file" --outcomes "$work/$name.o" --stock "$work/$name.s" "$@" >"$work/$name.txt"
    same "$work/$name.o" "$here/data/small.outcomes.csv" "$name: outcomes"
    same "$work/$name.s" "$here/data/small.stock.csv" "$name: stock"
    "$holdfast" stock --dir "$work/$name" --csv | cmp - "$work/$name.s" || fail "$name: the recovered stock differs"
    "$holdfast" verify --dir "$work/$name" >"$work/out" || fail "$name: verify: $(cat "$work/out")"
}

check plain "$flow"
expect_in "$work/plain.txt" "rows 45, operations 41" "the summary"
for batch in 1 2 3 5 8 13; do
    check "batch-$batch" "$flow" --batch "$batch"
done
check checkpoints "$flow" --batch 2 --checkpoint-every 4
check pipe - < <(cat "$flow")
head -c -1 "$flow" >"$work/no-end.csv"
check no-end "$work/no-end.csv"
{ cat "$flow"; echo; } >"$work/empty-end.csv"
check empty-end "$work/empty-end.csv"
forms=plain
if command -v zstd >/dev/null; then
    zstd -q "$flow" -o "$work/small.csv.zst"
    cp "$work/small.csv.zst" "$work/named-otherwise"
    check zst "$work/small.csv.zst"
    check zst-by-content "$work/named-otherwise"
    forms+=", zst"
fi
if command -v xz >/dev/null; then
    xz -c "$flow" >"$work/small.csv.xz"
    check xz "$work/small.csv.xz"
    forms+=", xz"
fi
echo "small flow: as worked out by hand, $forms"
