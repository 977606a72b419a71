#!/usr/bin/env bash
# The programs that the pages show are real: taken out of docs/EMBEDDING.md and README.md, compiled without a warning,
# and run.
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"

# program PAGE: what stands in the page's first ```c block.
program() { awk '/^```c$/ {inside = 1; next} /^```$/ {if (inside) exit} inside' "$1"; }

for page in docs/EMBEDDING.md README.md; do
    source=$work/$(basename "$page" .md).c
    program "$top/$page" >"$source"
    [ -s "$source" ] || fail "$page: no C program in it"
    for compiler in gcc clang; do
        command -v $compiler >/dev/null || continue
        $compiler -std=c11 -Wall -Wextra -Wshadow -Wconversion -Werror -pedantic -I"$top/include" "$source" -o "$source.$compiler" \
            -L"$build" -lholdfast -Wl,-rpath,"$build" || fail "$page: $compiler"
        (cd "$work" && rm -rf shop && timeout 60 "$source.$compiler") >"$work/out" 2>&1 || fail "$page: $(cat "$work/out")"
    done
    # A page that shows what its program prints shows what it really prints.
    awk '/^```text$/ {inside = 1; next} /^```$/ {if (inside) exit} inside' "$top/$page" >"$work/shown"
    [ ! -s "$work/shown" ] || diff "$work/shown" "$work/out" >"$work/difference" || fail "$page: shown (<) and printed (>): $(cat "$work/difference")"
done
for page in "$top"/docs/*.md "$top/README.md"; do
    { grep -oE '\]\([^)#]+' "$page" || true; } | cut -c3- | while read -r link; do
        case $link in http*) continue ;; esac
        [ -e "$(dirname "$page")/$link" ] || fail "$page: there is no $link"
    done
done
echo "embedding: the programs of docs/EMBEDDING.md and README.md run; no page links to nothing"
