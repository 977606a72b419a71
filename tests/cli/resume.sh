#!/usr/bin/env bash
# kill -9 of a running `holdfast run` at random moments, at least HF_KILLS (100) times in all. However often a flow is
# cut off, in the end its outcomes and stock are, byte for byte, those of a run that nobody disturbed.
# HF_SEED=N replays the flows and the moments.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

seed=${HF_SEED:-$(($(date +%s) % 1000000))}
wanted=${HF_KILLS:-100}
RANDOM=$seed
echo "seed $seed"
kills=0 rounds=0 torn=0 ahead=0

# One run of the directory, killed after a while: done=1 if it was faster.
run_and_kill() { # OPTION...
    local pid left=0
    "$holdfast" run --dir "$work/d" "$work/flow.csv" --outcomes "$work/o.csv" --stock "$work/s.csv" "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    sleep "$(printf '0.%03d' $((RANDOM % longest)))"
    kill -9 $pid 2>/dev/null || true
    { wait $pid; } 2>/dev/null || left=$?
    case $left in
    0) done=1 ;;
    137) kills=$((kills + 1)) ;;
    *) fail "round $rounds: exit status $left: $(cat "$work/err")" ;;
    esac
}

# What may be left behind: an outcomes file that is ahead, a last line without its end.
look() {
    [ -s "$work/o.csv" ] || return 0
    ahead=$((ahead + 1))
    [ -z "$(tail -c 1 "$work/o.csv")" ] || torn=$((torn + 1))
}

while [ $kills -lt "$wanted" ]; do
    rounds=$((rounds + 1))
    [ $rounds -le 60 ] || fail "$kills kills in 60 rounds: the flow is too short to be killed"
    rm -rf "$work/d" "$work/o.csv" "$work/s.csv" "$work/whole"
    "$holdfast" demo --rows 60000 --seed $((seed + rounds)) >"$work/flow.csv"
    options=(--batch $((1 + RANDOM % 400)))
    [ $((RANDOM % 2)) -eq 0 ] || options+=(--checkpoint-every $((2000 + RANDOM % 20000)))
    from=$(date +%s%N)
    "$holdfast" run --dir "$work/whole" "$work/flow.csv" --outcomes "$work/whole.o" --stock "$work/whole.s" "${options[@]}" >/dev/null
    longest=$((($(date +%s%N) - from) / 2000000)) # half of an undisturbed run, in ms
    longest=$((longest < 60 ? 60 : longest > 900 ? 900 : longest))
    done=0
    while [ $done -eq 0 ]; do
        run_and_kill "${options[@]}"
        look
        if [ $((kills % 10)) -eq 0 ] && [ -e "$work/d/LOCK" ]; then
            status "$holdfast" verify --dir "$work/d"
            [ "$status" -ne 1 ] || grep -q 'HF_ENOTFOUND' "$work/err" ||
                fail "round $rounds, ${options[*]}: verify after a kill: $(cat "$work/out" "$work/err")"
        fi
    done
    same "$work/o.csv" "$work/whole.o" "round $rounds, ${options[*]}: outcomes"
    same "$work/s.csv" "$work/whole.s" "round $rounds, ${options[*]}: stock"
    "$holdfast" verify --dir "$work/d" >"$work/out" || fail "round $rounds: verify: $(cat "$work/out")"
done
echo "resume: $kills kills in $rounds flows (outcomes left $ahead times, torn lines $torn), the same bytes each time"
