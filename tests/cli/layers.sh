#!/usr/bin/env bash
# Dependencies go down only: tools, bench and API tests stand on the public header, engine on wal, wal on nothing above
# it. And atomics stand in wal/atomic.h alone.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"
cd "$top"

# below FOLDER ALLOWED...: every include in FOLDER that is a file of the project is FOLDER's own, or begins with one of ALLOWED.
seen=0
below() {
    local folder=$1 file header from found allowed
    shift
    compgen -G "$folder/*.[ch]" >/dev/null || return 0
    while read -r file header; do
        found=
        for from in "$(dirname "$file")" . include; do
            [ ! -f "$from/$header" ] || { found=$(realpath --relative-to=. "$from/$header"); break; }
        done
        [ -n "$found" ] || continue # a system header
        seen=$((seen + 1))
        for allowed in "$folder/" include/ "$@"; do
            [ "${found#"$allowed"}" = "$found" ] || continue 2
        done
        fail "$file includes $found: $folder may include only its own, the public header${*:+, $*}"
    done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1/; T; F; p' "$folder"/*.[ch] | paste -d' ' - -)
}

below wal
below engine wal/
below tools
# Bare loops and peers need atomics to stand beside the engine; micro measures the engine's parts, and so looks inside.
below bench/support wal/atomic.h
for folder in limits whole peers; do below bench/$folder bench/support/ wal/atomic.h; done
below bench/micro bench/support/ engine/ wal/
below tools/serve tools/
below tests/api tests/support/
[ $seen -gt 20 ] || fail "only $seen includes found: this check does not look where it should"
! grep -nE '#[[:space:]]*include' include/holdfast/holdfast.h | grep -vE '<std(bool|def|int)\.h>' ||
    fail "the public header includes more than the C standard's"

raw=$(grep -nE '(__atomic_|__sync_)[a-z_0-9]+ *\(|\batomic_(load|store|exchange|fetch_[a-z]+|compare_exchange_[a-z]+)(_explicit)? *\(|\b_Atomic\b|<stdatomic\.h>' \
    engine/*.[ch] wal/*.[ch] | grep -v '^wal/atomic\.h:' || true)
[ -z "$raw" ] || fail "atomics outside wal/atomic.h: $raw"
echo "layers: $seen includes, none upwards; atomics in wal/atomic.h only"
