#!/usr/bin/env bash
# Generated flows of several seeds against the independent model of the order-flow format, byte for byte: the flash sale
# of `holdfast demo`, and flows made to be nasty: few SKUs, few ids, few instants, so that everything meets everything.
# HF_SEED=N replays.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

oracle=$shared/flow_oracle.py
[ -f "$oracle" ] || skip "the model of the format is not here: $oracle"
command -v python3 >/dev/null || skip "python3 is not installed"
seed=${HF_SEED:-$(($(date +%s) % 1000000))}
echo "seed $seed"

cat >"$work/nasty.py" <<'PYTHON'
import random, sys
seed, rows = int(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)
skus = ["S%d" % i for i in range(draw.choice([1, 3, 8, 40]))] + ["a name with spaces", "ä" * 100]
ids = ["id%d" % i for i in range(draw.choice([10, 100, 2000]))] + ["i" * 64, "x" * 15, "x" * 16]
step, spread = draw.choice([0, 1, 5, 1000]), draw.choice([2, 20, 3000])
big = draw.choice([3, 50, 549755813887])
print("time_ms,op,id,sku,quantity,ttl_ms,user")
now, written = draw.choice([0, 1000, 1700000000000]), 0
while written < rows:
    now += draw.randint(0, step) if draw.random() < 0.7 else 0
    op = draw.choices(["receive", "adjust", "count", "purchase", "reserve", "confirm", "cancel", "extend"],
                      [6, 4, 1, 8, 30, 14, 6, 5])[0]
    name, sku = draw.choice(ids), draw.choice(skus)
    ttl = draw.randint(1, spread)
    if op == "receive":
        print(f"{now},{op},{name},{sku},{draw.randint(1, 9)},,")
    elif op == "adjust":
        print(f"{now},{op},{name},{sku},{draw.choice([-9, -3, -1, 1, 5])},,")
    elif op == "count":
        print(f"{now},{op},{name},{sku},{draw.randint(0, 12)},,")
    elif op in ("confirm", "cancel"):
        print(f"{now},{op},{name},,,,")
    elif op == "extend":
        print(f"{now},{op},{name},,,{ttl},")
    else:
        lines = draw.choice([1, 1, 1, 2, 5, 60])
        for _ in range(lines):
            quantity = draw.randint(1, 3) if draw.random() < 0.98 else draw.randint(1, big)
            rest = f"{ttl},u{draw.randint(0, 9)}" if op == "reserve" else ","
            print(f"{now},{op},{name},{draw.choice(skus)},{quantity},{rest}")
        written += lines - 1
    written += 1
PYTHON

check() { # NAME FLOW
    python3 "$oracle" "$2" "$work/expected.o" "$work/expected.s" >/dev/null
    rm -rf "$work/d" "$work/o" "$work/s"
    "$holdfast" run --dir "$work/d" "$2" --outcomes "$work/o" --stock "$work/s" --batch $((1 + RANDOM % 5000)) >"$work/out" ||
        fail "$1: $(cat "$work/out")"
    same "$work/o" "$work/expected.o" "$1: outcomes"
    same "$work/s" "$work/expected.s" "$1: stock"
    "$holdfast" stock --dir "$work/d" --csv | cmp - "$work/s" || fail "$1: the recovered stock differs"
    "$holdfast" verify --dir "$work/d" >"$work/out" || fail "$1: verify: $(cat "$work/out")"
}

for i in 1 2 3; do
    "$holdfast" demo --rows 30000 --seed $((seed + i)) >"$work/flow.csv"
    check "demo --seed $((seed + i))" "$work/flow.csv"
done
for i in $(seq 25); do
    python3 "$work/nasty.py" $((seed + i)) 4000 >"$work/flow.csv"
    check "nasty flow $((seed + i))" "$work/flow.csv"
done
echo "oracle: 3 flash sales and 25 nasty flows as the model says"
