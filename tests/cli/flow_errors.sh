#!/usr/bin/env bash
# Every kind of bad row: told with file and row number, exit status 1, everything before it done and durable, nothing of
# its own operation; and a run with the row mended goes on from there.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

cases=0

# bad ROW FRAGMENT APPLE ROWS: after receiving 10 apples (row 1), ROWS (printf form) follow; row ROW is told with FRAGMENT, and
# APPLE is then apple's "on_hand,reserved".
bad() {
    local row=$1 fragment=$2 apple=$3 flow=$work/bad.csv
    rm -rf "$work/d" "$work/o.csv"
    # shellcheck disable=SC2059
    { printf '%s\n' "$header" "5,receive,d,apple,10,,"; printf -- "$4"; } >"$flow"
    status "$holdfast" run --dir "$work/d" "$flow" --outcomes "$work/o.csv"
    expect_status 1 "$4"
    expect_in "$work/err" "holdfast: $flow: row $row: " "$4"
    expect_in "$work/err" "$fragment" "$4"
    expect_in <("$holdfast" stock --dir "$work/d" --csv) "apple,$apple" "$4: stock"
    "$holdfast" verify --dir "$work/d" >/dev/null || fail "$4: verify"
    local answered
    answered=$(tail -n 1 "$work/o.csv" | cut -d, -f1)
    [ "$answered" -lt "$row" ] || fail "$4: row $answered was answered"
    cases=$((cases + 1))
}

long_id=$(printf 'i%.0s' {1..65})
long_name=$(printf 'n%.0s' {1..256})
bad 2 "6 fields, expected 7" 10,0 '5,receive,e,apple,1,\n'
bad 2 "8 fields, expected 7" 10,0 '5,receive,e,apple,1,,,\n'
bad 2 "1 fields, expected 7" 10,0 'x\n'
bad 2 "op is 'recieve', expected receive, adjust" 10,0 '5,recieve,e,apple,1,,\n'
bad 2 "op is empty" 10,0 '5,,e,apple,1,,\n'
bad 2 "time_ms is '5s'" 10,0 '5s,receive,e,apple,1,,\n'
bad 2 "time_ms is '-1'" 10,0 '-1,receive,e,apple,1,,\n'
bad 2 "time_ms is empty" 10,0 ',receive,e,apple,1,,\n'
bad 2 "time_ms is '4398046511104'" 10,0 '4398046511104,receive,e,apple,1,,\n'
bad 2 "time_ms is '99999999999999999999999'" 10,0 '99999999999999999999999,receive,e,apple,1,,\n'
bad 2 "goes back from 5 to 4" 10,0 '4,receive,e,apple,1,,\n'
bad 2 "id is empty" 10,0 '5,receive,,apple,1,,\n'
bad 2 "id is 'iiii" 10,0 "5,receive,$long_id,apple,1,,\n"
bad 2 "sku is empty" 10,0 '5,receive,e,,1,,\n'
bad 2 "sku is 'nnnn" 10,0 "5,receive,e,$long_name,1,,\n"
bad 2 "quantity is empty" 10,0 '5,receive,e,apple,,,\n'
bad 2 "quantity is '0'" 10,0 '5,receive,e,apple,0,,\n'
bad 2 "quantity is '-1'" 10,0 '5,receive,e,apple,-1,,\n'
bad 2 "quantity is '1.5'" 10,0 '5,receive,e,apple,1.5,,\n'
bad 2 "quantity is '+1'" 10,0 '5,receive,e,apple,+1,,\n'
bad 2 "quantity is ' 1'" 10,0 '5,receive,e,apple, 1,,\n'
bad 2 "quantity is '549755813888'" 10,0 '5,receive,e,apple,549755813888,,\n'
bad 2 "quantity is '0', expected a whole number that is not 0" 10,0 '5,adjust,e,apple,0,,\n'
bad 2 "quantity is '-'" 10,0 '5,adjust,e,apple,-,,\n'
bad 2 "quantity is '-1', expected a whole number, 0 to" 10,0 '5,count,e,apple,-1,,\n'
bad 2 "quantity is '0'" 10,0 '5,purchase,e,apple,0,,\n'
bad 2 "quantity is '0'" 10,0 '5,reserve,e,apple,0,9,\n'
bad 2 "ttl_ms is empty" 10,0 '5,reserve,e,apple,1,,u\n'
bad 2 "ttl_ms is '0'" 10,0 '5,reserve,e,apple,1,0,u\n'
bad 2 "ttl_ms is '63244800001'" 10,0 '5,reserve,e,apple,1,63244800001,u\n'
bad 2 "ttl_ms is empty" 10,0 '5,extend,d,,,,\n'
bad 2 "ttl_ms is '9', expected it empty: receive does not use it" 10,0 '5,receive,e,apple,1,9,\n'
bad 2 "ttl_ms is '9', expected it empty: purchase" 10,0 '5,purchase,e,apple,1,9,\n'
bad 2 "sku is 'apple', expected it empty: confirm" 10,0 '5,confirm,d,apple,,,\n'
bad 2 "quantity is '1', expected it empty: cancel" 10,0 '5,cancel,d,,1,,\n'
bad 2 "user is 'u', expected it empty: extend" 10,0 '5,extend,d,,,9,u\n'
bad 2 "a carriage return" 10,0 '5,receive,e,apple,1,,\r\n'
bad 2 "a zero byte" 10,0 '5,receive,e,ap\000ple,1,,\n'
bad 2 "a quote" 10,0 '5,receive,e,"apple",1,,\n'
bad 2 "an empty line" 10,0 '\n5,receive,e,apple,1,,\n'
bad 2 "longer than 4096 bytes" 10,0 "$(printf '%05000d' 5),receive,e,apple,1,,\n"

# The whole operations before the bad row are done, whatever they are.
bad 3 "op is 'x'" 9,0 '5,purchase,p,apple,1,,\n5,x,r,apple,1,9,\n'
bad 3 "quantity is 'x'" 10,2 '5,reserve,r,apple,2,9,\n5,reserve,q,apple,x,9,\n'
bad 3 "goes back" 10,2 '5,reserve,r,apple,2,9,\n4,reserve,q,apple,1,9,\n'
# A bad third row of an operation: none of it. So too where the bad row does not say whose it is.
bad 4 "quantity is 'x'" 10,0 '5,reserve,r,apple,2,9,\n5,reserve,r,apple,1,9,\n5,reserve,r,apple,x,9,\n'
bad 4 "ttl_ms is empty" 10,0 '5,reserve,r,apple,2,9,\n5,reserve,r,apple,1,9,\n5,reserve,r,apple,1,,\n'
bad 3 "2 fields" 10,0 '5,reserve,r,apple,2,9,\n5,reserve\n'
bad 3 "a zero byte" 10,0 '5,purchase,r,apple,2,,\n\000\n'
# Before the first bad row nothing was held back: mended, the flow goes on.
bad 3 "quantity is 'x'" 10,2 '5,reserve,r,apple,2,9,\n5,reserve,q,apple,x,9,\n'
sed -i 's/apple,x,9/apple,3,9/' "$work/bad.csv"
"$holdfast" run --dir "$work/d" "$work/bad.csv" --outcomes "$work/o.csv" --stock "$work/s.csv" >"$work/out"
expect_in "$work/out" "went on after row 2" "mended"
expect_in "$work/s.csv" "apple,10,5" "mended"
printf 'row,outcome\n1,ok\n2,ok\n3,ok\n' | cmp - "$work/o.csv" || fail "mended: outcomes"

# More than 4,096 different SKUs in one operation; as many rows of fewer SKUs are fine.
bad 2 "more than 4096 different SKUs" 10,0 "$(seq -f '5,reserve,r,s%.0f,1,9,' 4097 | sed 's/$/\\n/' | tr -d '\n')"
{ printf '%s\n' "$header" "5,receive,d,apple,9999,,"; yes '5,reserve,r,apple,1,9,' | head -n 9000; } >"$work/many.csv" || true
"$holdfast" run --dir "$work/many" "$work/many.csv" --stock "$work/s.csv" >/dev/null
expect_in "$work/s.csv" "apple,9999,9000" "9,000 rows of one SKU"

# Files that are no flows at all.
whole() { # TEXT WHAT FILE
    rm -rf "$work/d"
    status "$holdfast" run --dir "$work/d" "$3"
    expect_status 1 "$2"
    expect_in "$work/err" "$1" "$2"
    cases=$((cases + 1))
}
printf 'time,op\n1,receive,a,b,1,,\n' >"$work/f"
whole "expected the header line $header" "another header" "$work/f"
: >"$work/f"
whole "expected the header line $header" "an empty file" "$work/f"
printf '%s\r\n' "$header" >"$work/f"
whole "expected the header line $header" "a header with a carriage return" "$work/f"
whole "No such file" "a missing file" "$work/nothing"
cp "$here/data/small.csv" "$work/false.zst"
whole "the zstd stream is damaged" "a .zst that is none" "$work/false.zst"
cp "$here/data/small.csv" "$work/false.xz"
whole "the xz stream is damaged" "a .xz that is none" "$work/false.xz"
for tool in zstd xz; do
    command -v "$tool" >/dev/null || { echo "SKIPPED: cut $tool streams, $tool is not installed"; continue; }
    "$holdfast" demo --rows 50000 | "$tool" -qc >"$work/cut.$tool"
    truncate -s -100 "$work/cut.$tool"
    whole "stream is cut short" "a cut $tool stream" "$work/cut.$tool"
done
echo "flow errors: $cases bad rows and files, each told"
