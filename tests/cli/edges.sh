#!/usr/bin/env bash
# Every atomic of engine/ and wal/ names its edge or says why it has none, and docs/CONCURRENCY.md is right about it:
#   A  an edge that a comment names ("edge W1", "edges R1, R2", "edges H1 and D1") is one of the page's;
#   B  an edge of the page is there at both ends: in each function that the page lists, an access that can be that end names it;
#   C  and every file that has an end of it is listed;
#   D  an acquire, a release or a barrier names its edge, or says "no edge: why", and a relaxed access says "relaxed: why" (or
#      names an edge that is made of relaxed accesses): on its own line or in the two above. "relaxed, all: why" ("and", "both")
#      holds up to the end of its function.
#
# In the page, edges are headings "### W1 ...", and their ends follow as indented lines:
#     store  engine/stock.h: hf_stock_step; engine/replay.c: finish_sku
#     load   engine/read.c: stock_of, look
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"
cd "$top"

page=docs/CONCURRENCY.md
# The names of the atomic accesses, out of the header that has them all.
accesses=$(grep -oE '\bhf_[a-z0-9_]+_(relaxed|acquire|release|acq_rel)\(|\bhf_[a-z_]*barrier[a-z_]*\(' wal/atomic.h | tr -d '(' | sort -u |
    paste -sd'|')
[ "$(tr '|' '\n' <<<"$accesses" | wc -l)" -ge 12 ] || fail "wal/atomic.h: few accesses found: $accesses"

cat >"$work/edges.awk" <<'AWK'
function complain(what) { print what; bad = 1 }

# ---- the page: ends[edge, role] is " file:function file:function ..." --------------------------------------------------

FILENAME == page && /^### / {
    edge = $2
    if (edge !~ /^[A-Z][0-9]+$/) { complain(page ":" FNR ": a heading that is no edge: " $0); next }
    if (edge in defined) complain(page ":" FNR ": edge " edge " is defined twice")
    defined[edge] = 1
    role = ""
    next
}
FILENAME == page && /^#/ { edge = role = "" }
FILENAME == page {
    if (edge == "" || $0 !~ /^    /) { role = ""; next }
    if ($1 == "store" || $1 == "load") { role = $1; file = ""; $1 = "" }
    if (role == "") next
    n = split($0, words, /[ ,;]+/)
    for (i = 1; i <= n; i++) {
        if (words[i] == "") continue
        if (words[i] ~ /:$/) { file = substr(words[i], 1, length(words[i]) - 1); listed[edge, file] = 1; continue }
        ends[edge, role] = ends[edge, role] " " file ":" words[i]
    }
    next
}

# ---- the code ----------------------------------------------------------------------------------------------------------

FNR == 1 { inside = 0; above = above2 = ""; name = ""; all = 0 }

# Splits the line into code and comment.
{
    rest = $0; code = comment = ""
    while (rest != "") {
        if (inside) {
            at = index(rest, "*/")
            comment = comment " " (at ? substr(rest, 1, at - 1) : rest)
            rest = at ? substr(rest, at + 2) : ""
            inside = !at
        } else {
            at = index(rest, "/*")
            code = code (at ? substr(rest, 1, at - 1) : rest)
            rest = at ? substr(rest, at + 2) : ""
            inside = at > 0
        }
    }
}

# The function, or macro, that the line is in.
code ~ /^(#define +)?[A-Za-z_][A-Za-z0-9_ *]*\(/ {
    name = code
    sub(/\(.*/, "", name)
    sub(/.*[^A-Za-z0-9_]/, "", name)
    all = 0
}

# Remembers the edges that the comment names.
function names_in(text, set,    found, n, i, parts) {
    while (match(text, /[Ee]dges? +[A-Z][0-9]+((, *| and )[A-Z][0-9]+)*/)) {
        found = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        n = split(found, parts, /[^A-Z0-9]+/)
        for (i = 1; i <= n; i++) if (parts[i] ~ /^[A-Z][0-9]+$/) set[parts[i]] = 1
    }
}
function nearest(text,    edge, any) {
    split("", here)
    names_in(text, here)
    for (edge in here) any = 1
    return any
}
{
    nearest(comment)
    for (edge in here) {
        used[edge] = used[edge] ? used[edge] : FILENAME ":" FNR
        if (!(edge in defined)) complain(FILENAME ":" FNR ": edge " edge " is not in " page)
    }
}

FILENAME != "wal/atomic.h" && code ~ ("(^|[^A-Za-z0-9_])(" accesses "|HF_TSAN_ACQUIRE|HF_TSAN_RELEASE)\\(") && code !~ /^ *# *define HF_TSAN/ {
    near = above2 " " above " " comment
    any = nearest(comment) || nearest(above) || nearest(above2)
    syncs = relaxes = 0
    rest = code
    while (match(rest, "(" accesses "|HF_TSAN_ACQUIRE|HF_TSAN_RELEASE)\\(")) {
        access = substr(rest, RSTART, RLENGTH - 1)
        rest = substr(rest, RSTART + RLENGTH)
        seen++
        if (access ~ /relaxed$/) relaxes = 1; else syncs = 1
        for (edge in here) {
            if (access ~ /barrier/) continue
            if (access !~ /load|exchange_acquire|TSAN_ACQUIRE/) end[edge, "store", FILENAME ":" name] = 1
            if (access ~ /load|cas|exchange|fetch|TSAN_ACQUIRE/) end[edge, "load", FILENAME ":" name] = 1
            if (!((edge, FILENAME) in listed) && (edge in defined) && !((edge, FILENAME) in told)) {
                complain(page ": edge " edge " has an end in " FILENAME " (line " FNR ", " name "): list it")
                told[edge, FILENAME] = 1
            }
        }
    }
    if (near ~ /[Rr]elaxed, (all|both|and)/) all = 1
    if (syncs && !any && near !~ /[Nn]o edge: /) complain(FILENAME ":" FNR ": names no edge: " $0)
    if (relaxes && !all && near !~ /[Rr]elaxed/ && (syncs || !any)) complain(FILENAME ":" FNR ": does not say why relaxed is enough: " $0)
}

{ above2 = above; above = comment }
/^}/ { name = ""; all = 0 }

END {
    for (edge in defined) {
        edges++
        if (!(edge in used)) complain(page ": edge " edge " is in no comment")
        for (r = 1; r <= 2; r++) {
            role = r == 1 ? "store" : "load"
            n = split(ends[edge, role], words, " ")
            if (n == 0) complain(page ": edge " edge " has no " role " end")
            for (i = 1; i <= n; i++)
                if (!((edge, role, words[i]) in end)) complain(page ": edge " edge ": no " role " end in " words[i])
        }
    }
    if (!bad) printf "edges: %d edges, %d atomic accesses: each named at both ends, or with its reason\n", edges, seen
    if (seen < 100) complain("only " seen " atomic accesses found: this check does not look where it should")
    exit bad
}
AWK

[ -f "$page" ] || fail "there is no $page"
awk -v page="$page" -v accesses="$accesses" -f "$work/edges.awk" "$page" engine/*.[ch] wal/*.[ch] >"$work/found" || fail "$(sort -u "$work/found")"
cat "$work/found"
