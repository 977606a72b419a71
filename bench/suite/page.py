"""The tables of docs/BENCHMARKS.md that a full run writes anew, between two marks each."""
import re

from plots import NAMES


def _number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def _ratios(document):
    rows = []
    for key, one in document["ratios"].items():
        if one["value"] is None:
            rows.append((f"`{key}`", one["goal"], "not measured", "", one["reason"]))
        else:
            rows.append((f"`{key}`", one["goal"], _number(one["value"]), f"{_number(one['min'])} to {_number(one['max'])}",
                         "met" if one["met"] else "**not met**"))
    return _table(("key", "goal", "median", "rounds", ""), rows)


def _machine(document):
    machine = document["machine"]
    log = machine["log"]
    rows = [("processor", f"{machine['processors']} x {machine['processor']}" + (", virtual" if machine["virtual"] else "")),
            ("caches", ", ".join(f"{level} {size}" for level, size in machine["caches"].items())),
            ("memory", f"{machine['memory_gib']} GiB, huge pages: {machine['huge_pages']}"),
            ("system", f"{machine['system']}, Linux {machine['kernel']}"),
            ("log and peers' files", f"{log['file_system']} on {log['device']}, write cache: {log['write_cache']}"),
            ("run", f"{document['date']}, {document['seconds']:.0f} s; meanwhile other programs used {document['others_seconds']:.0f} s of "
                    f"processor time, other guests of the host took {document['stolen_seconds']:.0f} s"
                    + (" (--priority: they stood behind)" if document["priority"] else ""))]
    return _table(("", ""), rows)


def _peers(document):
    rows = []
    for group, kind in (("peers_durable", "durable"), ("peers_in_memory", "in memory")):
        figures = document["figures"].get(group, {}).get("figures", {})
        ordered = sorted((one for one in figures.items() if "operations_per_second" in one[1]),
                         key=lambda one: -one[1]["operations_per_second"]["median"])
        for name, one in ordered:
            rate = one["operations_per_second"]
            best = ", ".join(f"{key} {value}" for key, value in one["best"].items() if value is not None)
            rows.append((kind, NAMES.get(name, name).replace("\\", ""), _number(rate["median"]),
                         f"{_number(rate['min'])} to {_number(rate['max'])}", best))
    return _table(("", "store", "operations/s", "rounds", "best found"), rows)


def _throughput(document):
    rows = []
    for axis, points in document["figures"].get("throughput", {}).items():
        for label, point in points.items():
            if isinstance(point, dict) and point.get("operations_per_second"):
                rate = point["operations_per_second"]
                rows.append((axis, label, _number(rate["median"]), f"{_number(rate['min'])} to {_number(rate['max'])}"))
    return _table(("along", "point", "operations/s", "rounds"), rows)


def _latency(document):
    rows = [(label, *(_number(one[field]) for field in ("p50_us", "p99_us", "p999_us", "max_us")))
            for label, one in document["figures"].get("latency", {}).items() if isinstance(one, dict)]
    return _table(("", "p50 us", "p99 us", "p99.9 us", "max us"), rows)


def _parts(document):
    units = {"ns": "ns", "p50_us": "us (p50)", "seconds": "s"}
    rows = [(name, _number(one["part"]["median"]), _number(one["limit"]["median"]), units[one["unit"]], _number(one["over"]))
            for name, one in document["figures"].get("parts", {}).items() if one.get("part")]
    return _table(("part", "Holdfast", "limit", "", "times the limit"), rows)


TABLES = {"ratios": _ratios, "machine": _machine, "peers": _peers, "throughput": _throughput, "latency": _latency,
          "parts": _parts}


def rewrite(path, document):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, table in TABLES.items():
        begin, end = f"<!-- tools/bench writes {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{path} has no place for the table {name}: expected \"{begin}\" and \"{end}\"")
        text = pattern.sub(lambda _: f"{begin}\n\n{table(document)}\n\n{end}", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
