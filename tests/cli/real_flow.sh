#!/usr/bin/env bash
# A year of a real shop's orders: outcomes and stock as the model says, byte for byte, and so again after recovery.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

flow=$shared/online_retail.csv.zst
[ -f "$flow" ] || skip "the real flow is not here: $flow"
command -v zstd >/dev/null || skip "zstd is not installed"
zstd -dcq "$shared/online_retail.outcomes.csv.zst" >"$work/expected.o"
"$holdfast" run --dir "$work/d" "$flow" --outcomes "$work/o" --stock "$work/s" --checkpoint-every 200000 >"$work/out"
same "$work/o" "$work/expected.o" "outcomes"
same "$work/s" "$shared/online_retail.stock.csv" "stock"
"$holdfast" stock --dir "$work/d" --csv | cmp - "$work/s" || fail "the recovered stock differs"
"$holdfast" verify --dir "$work/d" >"$work/verify" || fail "verify: $(cat "$work/verify")"
echo "real flow: as the model says; $(grep '^seconds' "$work/out")"
