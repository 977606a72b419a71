#!/usr/bin/env bash
# Manual pages: one for each command, without a warning, with the options that --help has, no more and no less; installed.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

"$holdfast" --help | sed -n 's/^  \([a-z]*\)  *.*/\1/p' | sort >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 10 ] || fail "--help lists $(wc -l <"$work/commands") commands"
(cd "$top/docs/man" && printf '%s\n' holdfast-*.1) | sed 's/^holdfast-\(.*\)\.1$/\1/' | sort >"$work/pages"
diff "$work/commands" "$work/pages" >"$work/out" || fail "commands (<) and pages (>) differ: $(cat "$work/out")"

while read -r command; do
    page=$top/docs/man/holdfast-$command.1
    { "$holdfast" "$command" --help | grep -oE -- '--[a-z][a-z-]*'; echo --help; } | sort -u >"$work/help"
    grep -oE 'Fl Fl [a-z][a-z-]*' "$page" | sed 's/Fl Fl /--/' | sort -u >"$work/page"
    diff "$work/help" "$work/page" >"$work/out" || fail "options of $command --help (<) and of its page (>) differ: $(cat "$work/out")"
    grep -q "^\.Xr holdfast-$command 1" "$top/docs/man/holdfast.1" || fail "holdfast(1) does not name $command"
    grep -q "^\.Nm holdfast-$command" "$page" || fail "$page is not called holdfast-$command"
done <"$work/commands"

linted=
for page in "$top"/docs/man/*.1; do
    if command -v mandoc >/dev/null; then
        mandoc -Tlint -Wwarning "$page" >"$work/out" 2>&1 || fail "mandoc: $(cat "$work/out")"
        linted=mandoc
    elif command -v groff >/dev/null; then
        groff -mdoc -ww -z "$page" 2>"$work/out"
        [ ! -s "$work/out" ] || fail "groff: $(cat "$work/out")"
        linted=groff
    fi
done
[ -n "$linted" ] || skip "neither mandoc nor groff is here to check the pages"

cmake --install "$build" --prefix "$work/prefix" >"$work/log" || fail "cmake --install: $(cat "$work/log")"
for page in "$top"/docs/man/*.1; do
    cmp "$page" "$work/prefix/share/man/man1/$(basename "$page")" || fail "$(basename "$page") is not installed"
done
echo "man: $(wc -l <"$work/commands") commands, each with its page and its options; $linted has no warning"
