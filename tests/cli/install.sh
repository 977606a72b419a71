#!/usr/bin/env bash
# Installs into a prefix of its own, and builds a separate program against what is there: by pkg-config shared and
# static, and by find_package. Looks at the soname and at what the libraries export.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/log" || fail "cmake --install: $(cat "$work/log")"
mkdir "$work/program"
cat >"$work/program/main.c" <<'C'
#include <holdfast/holdfast.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    hf_options options;
    hf_options_init(&options);
    options.flags = HF_NO_THREADS | HF_VOLATILE;
    hf_engine *engine;
    hf_session *session;
    if (hf_open(NULL, &options, &engine) || hf_session_open(engine, NULL, &session)) {
        puts(hf_error_detail());
        return 1;
    }
    hf_line line = {.name = "apple", .name_length = 5, .quantity = 3};
    hf_reply reply;
    int error = hf_receive(session, hf_id_from_text("d1", 2), line, &reply);
    printf("%s %s\n", hf_version(), error ? hf_error_detail() : hf_outcome_text(reply.outcome));
    hf_session_close(session);
    return hf_close(engine) || error || strcmp(hf_outcome_text(reply.outcome), "ok") != 0;
}
C
cat >"$work/program/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(program LANGUAGES C)
find_package(holdfast 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared PRIVATE holdfast::holdfast)
add_executable(static main.c)
target_link_libraries(static PRIVATE holdfast::holdfast_static)
CMAKE

pc=$(find "$prefix" -name holdfast.pc)
[ -n "$pc" ] || fail "holdfast.pc is not installed"
libraries=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
# The .pc file names the prefix that was configured; this one is another.
sed -i "s|^prefix=.*|prefix=$prefix|" "$pc"
flags() { pkg-config "$@" holdfast; }

works() { # WHAT PROGRAM
    local said
    said=$("$2" 2>&1) || fail "$1: $said"
    [ "$said" = "$("$holdfast" --version | cut -d' ' -f2) ok" ] || fail "$1: it said $said"
}

# shellcheck disable=SC2046
gcc -std=c11 -Wall -Wextra -pedantic "$work/program/main.c" -o "$work/shared" $(flags --cflags --libs) -Wl,-rpath,"$libraries"
works "pkg-config, shared" "$work/shared"
# shellcheck disable=SC2046
gcc -std=c11 "$work/program/main.c" -o "$work/static" $(flags --cflags) "$libraries/libholdfast.a" \
    $(flags --static --libs | sed 's/-lholdfast//')
works "pkg-config, static" "$work/static"
! ldd "$work/static" | grep -q libholdfast || fail "the static program wants the shared library"

cmake -S "$work/program" -B "$work/program/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 || fail "find_package: $(cat "$work/log")"
cmake --build "$work/program/build" >"$work/log" 2>&1 || fail "find_package: $(cat "$work/log")"
works "find_package, shared" "$work/program/build/shared"
works "find_package, static" "$work/program/build/static"
works_installed=$("$prefix/bin/holdfast" --version) || fail "the installed command does not start"
[ "$works_installed" = "$("$holdfast" --version)" ] || fail "the installed command is another one"

if command -v g++ >/dev/null; then
    echo '#include <holdfast/holdfast.h>
int main() { return hf_version() == nullptr; }' >"$work/main.cc"
    # shellcheck disable=SC2046
    g++ -std=c++17 -Wall -Wextra "$work/main.cc" -o "$work/cc" $(flags --cflags --libs) -Wl,-rpath,"$libraries"
    "$work/cc" || fail "a C++ program"
fi

shared_library=$(readlink -f "$libraries/libholdfast.so")
# A program that is running may load it: no thread local of it, nor of what it stands on, may want room from the program's start.
if python3 -c 'import ctypes' 2>/dev/null && ! nm -D "$shared_library" | grep -qE '__[at]san_'; then
    python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$shared_library" || fail "it cannot be loaded by a running program"
fi
readelf -d "$shared_library" | grep -q 'SONAME.*\[libholdfast\.so\.0\]' || fail "soname: $(readelf -d "$shared_library" | grep SONAME)"
others=$(nm -D --defined-only "$shared_library" | awk '{print $3}' | grep -v '^hf_' || true)
[ -z "$others" ] || fail "the shared library exports more than hf_: $others"
# What it exports is what the header declares, no more and no less.
grep -o '\bHF_API [^;(]*(' "$prefix/include/holdfast/holdfast.h" | grep -o 'hf_[a-z_0-9]*($' | tr -d '(' | sort >"$work/declared"
nm -D --defined-only "$shared_library" | awk '{print $3}' | sort | diff "$work/declared" - >"$work/log" ||
    fail "declared (<) and exported (>) differ: $(cat "$work/log")"
# Sanitizers and coverage put their own symbols there; a plain build has only ours.
others=$(nm --defined-only --extern-only "$libraries/libholdfast.a" 2>/dev/null | awk 'NF == 3 {print $3}' | grep -v '^hf_' || true)
[ -z "$others" ] || fail "the static library defines global names that are not hf_: $others"
echo "install: pkg-config shared and static, find_package shared and static, $(wc -l <"$work/declared") exported symbols"
