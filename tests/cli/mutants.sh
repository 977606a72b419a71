#!/usr/bin/env bash
# The seeded bugs of tests/mutants still apply to the tree, and each says which test finds it. (tools/mutants shows that it does.)
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"
command -v git >/dev/null || skip "git is not installed: it applies the patches"

"$top/tools/mutants" --check
status "$top/tools/mutants" no-mutant-of-this-name
expect_status 1 "a name that no mutant has"

# What no longer applies is told, with the tree left alone.
mkdir -p "$work/t/tools" "$work/t/tests/mutants" "$work/t/wal" "$work/t/tests/unit"
cp "$top/tools/mutants" "$top/tools/packages.bash" "$work/t/tools/"
echo "int x;" >"$work/t/wal/x.c"
touch "$work/t/tests/unit/test_x.c"
printf '# what it breaks: x\n# killed-by: unit_test_x\n--- a/wal/x.c\n+++ b/wal/x.c\n@@ -1 +1 @@\n-%s\n+int y;\n' "int x;" >"$work/patch"
for number in $(seq 11 49); do cp "$work/patch" "$work/t/tests/mutants/$number-x.patch"; done
status "$work/t/tools/mutants" --check
expect_status 1 "thirty-nine"
expect_in "$work/out" "39 mutants, 1 of them not good" "thirty-nine"
cp "$work/patch" "$work/t/tests/mutants/10-x.patch"
for change in 's/int x/int z/' 's/unit_test_x/unit_test_y/' 's/# what/# why/'; do
    sed -i "$change" "$work/t/tests/mutants/$((20 + ${#change}))-x.patch"
done
status "$work/t/tools/mutants" --check
expect_status 1 "three that are not good"
expect_in "$work/out" "40 mutants, 3 of them not good" "three that are not good"
echo "int x;" | cmp - "$work/t/wal/x.c" || fail "--check changed the tree"
