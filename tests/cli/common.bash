# Sourced by every script here. $1 is a build directory. Leaves $holdfast, $work (a directory that goes away), $top, $shared.
set -euo pipefail
build=$(cd "${1:?usage: $0 BUILD_DIRECTORY}" && pwd)
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034
here=$top/tests/cli shared=$top/../shared/data holdfast=$build/tools/holdfast
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
header=time_ms,op,id,sku,quantity,ttl_ms,user

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

# status COMMAND...: its exit status in $status, its output in $work/out and $work/err
status() {
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
}

expect_status() { # NUMBER WHAT
    [ "$status" -eq "$1" ] || fail "$2: exit status $status, expected $1: $(cat "$work/err")"
}

expect_in() { # FILE TEXT WHAT
    grep -qF -- "$2" "$1" || fail "$3: '$2' is not in: $(cat "$1")"
}

same() { # FILE FILE WHAT
    cmp "$1" "$2" >&2 || fail "$3"
}

# The files of a directory with size, time and content, but for the writer's lock: to see that nothing changed.
fingerprint() {
    (cd "$1" && find . -type f -printf '%p %s %T@ ' -exec sha256sum {} \; | sort)
}
