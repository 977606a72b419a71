"""SVG plots by gnuplot, from what a run found. A plot whose figures are not there is not drawn, and said so."""
import os
import shutil
import subprocess

import peers

HEAD = """set terminal svg size 760,420 dynamic enhanced background "white" font "sans,12"
set output "{path}"
set title "{title}"
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set key {key}
set style line 1 lc rgb "#1f6fb4" lw 2 pt 7 ps 0.7
set style line 2 lc rgb "#d95f02" lw 2 pt 5 ps 0.7
set style line 3 lc rgb "#3a923a" lw 2 pt 9 ps 0.8
set style line 4 lc rgb "#7a5195" lw 2 pt 11 ps 0.8
set style line 5 lc rgb "#999999" lw 2 pt 13 ps 0.8
set style line 6 lc rgb "#444444" lw 2 pt 6 ps 0.8
"""


class NotThere(Exception):
    pass


def _draw(directory, name, title, body, key="top left"):
    path = os.path.join(directory, name + ".svg")
    script = HEAD.format(path=path, title=title, key=key) + body
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True)
    if done.returncode != 0 or done.stderr.strip():
        raise NotThere(f"gnuplot: {done.stderr.strip()[:300]}")
    return path


def _block(name, rows):
    return f"${name} << EOD\n" + "\n".join(" ".join(map(str, row)) for row in rows) + "\nEOD\n"


def _axis(run, name):
    """{series: [(x, millions of operations a second)]} of points labelled "X SERIES"."""
    points = run.figures.get("throughput", {}).get(name, {})
    series = {}
    for label, point in points.items():
        rate = isinstance(point, dict) and point.get("operations_per_second")
        if rate:
            x, _, which = label.partition(" ")
            series.setdefault(which, []).append((int(x), rate["median"] / 1e6))
    if not series:
        raise NotThere(f"no throughput along {name} was measured")
    return {which: sorted(rows) for which, rows in series.items()}


def _lines(series, with_what="linespoints"):
    blocks, plots = "", []
    for number, (which, rows) in enumerate(series.items(), 1):
        blocks += _block(f"data{number}", rows)
        plots.append(f'$data{number} using 1:2 with {with_what} ls {number} title "{which}"')
    return blocks + "plot " + ", ".join(plots) + "\n"


def _threads(run, directory):
    body = 'set xlabel "threads"\nset ylabel "million operations/s"\nset xtics 1\nset xrange [0.8:2.2]\nset yrange [0:*]\n'
    return _draw(directory, "throughput_threads", "Throughput against threads: 10 k SKUs, 10 k live",
                 body + _lines(_axis(run, "threads")), key="outside right")


def _skus(run, directory):
    body = 'set xlabel "SKUs"\nset ylabel "million operations/s"\nset logscale x\nset format x "10^{%L}"\nset yrange [0:*]\n'
    return _draw(directory, "throughput_skus", "Throughput against SKUs: one thread, log off, 10 k live",
                 body + _lines(_axis(run, "skus")), key="bottom left")


def _live(run, directory):
    body = ('set xlabel "live reservations"\nset ylabel "million operations/s"\nset logscale x\nset format x "10^{%L}"\n'
            "set yrange [0:*]\n")
    return _draw(directory, "throughput_live", "Throughput against live reservations: one thread, log off, 10 k SKUs",
                 body + _lines(_axis(run, "live")), key="bottom left")


def _latency(run, directory):
    found = {label: one["curve"] for label, one in run.figures.get("latency", {}).items() if isinstance(one, dict)}
    if not found:
        raise NotThere("no latency was measured")
    # the usual axis of percentiles: each further 9 takes as much room
    series = {label: [(1 / (1 - percent / 100), us) for percent, us in curve if 0 < percent < 99.995 and us > 0]
              for label, curve in found.items()}
    body = ('set xlabel "percentile"\nset ylabel "microseconds"\nset logscale xy\nset xrange [1:10000]\n'
            'set xtics ("50" 2, "90" 10, "99" 100, "99.9" 1000, "99.99" 10000)\n')
    return _draw(directory, "latency", "Latency, from when an operation was due", body + _lines(series, "lines"), key="outside right")


NAMES = {"holdfast": "Holdfast", "postgres": "PostgreSQL", "postgres_batched": "PostgreSQL, batches", "rocksdb": "RocksDB",
         "rocksdb_batched": "RocksDB, batches", "sqlite": "SQLite", "sqlite_100": "SQLite, batches of 100", "lmdb": "LMDB",
         "lmdb_100": "LMDB, batches of 100", "redis": "Redis", "redis_without_aof": "Redis, no AOF", "lfht": "cds\\\\_lfht + heap"}


def _short(rate):
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if rate >= size:
            return f"{rate / size:.3g}{letter}"
    return f"{rate:.3g}"


def _bars(run, directory, group, name, title):
    rates = peers.best_rates(run, group)
    if not rates:
        raise NotThere("no peer was measured")
    rows = [(f'"{NAMES.get(one, one)}"', f"{rate:.0f}", position, f'"{_short(rate)}"', 2 if one == "holdfast" else 1)
            for position, (one, rate) in enumerate(reversed(rates))]
    body = _block("data", rows) + (
        'set logscale x\nset format x "10^{%L}"\nset xlabel "operations/s"\nset xrange [500:1e8]\nset yrange [-0.6:*]\nunset key\n'
        'set grid noytics xtics lc rgb "#dddddd"\nset style fill solid\nset lmargin 24\n'
        "plot $data using (500):3:(500):2:($3-0.3):($3+0.3):($5==2 ? 0xd95f02 : 0x1f6fb4):ytic(1) with boxxyerror lc rgb variable, "
        "$data using ($2*1.1):3:4 with labels left\n")
    return _draw(directory, name, title, body)


def draw(run, directory):
    """The paths that were drawn."""
    if not shutil.which("gnuplot"):
        run.skip("the plots", "gnuplot is not installed")
        return []
    drawn = []
    for plot in (_threads, _skus, _live, _latency,
                 lambda r, d: _bars(r, d, "peers_durable", "peers_durable", "Durable reserves and confirms, two threads, each store's best"),
                 lambda r, d: _bars(r, d, "peers_in_memory", "peers_memory", "Reserves and confirms in memory, each store's best")):
        try:
            drawn.append(plot(run, directory))
        except NotThere as why:
            run.skip("a plot", why)
    return drawn
