"""Holdfast as a whole: throughput along each axis from one base point, and latency at fixed rates.

The base point: one session, single calls by handle, 10 k SKUs, uniform, 10 k live reservations of one line, all confirmed, log off.
Each axis is one comparison, so its points take turns. Points that could not be measured say why.
"""
from stage import Failed, Stage, median_of, spread

FIELDS = ("operations_per_second", "log_bytes_per_pair", "fsyncs", "expired", "refused")


def _points(run):
    many, live = run.many_skus, run.many_live
    durable = {"log": "on", "in_flight": 10000}
    lives = [1000, 10_000, 100_000, live] + ([] if run.quick else [10_000_000])
    return {
        "threads": {f"{t} {mode}": dict(settings, threads=t) for t in (1, 2)
                    for mode, settings in (("log off", {}), ("at once", {"log": "on"}), ("durable", durable))},
        "skus": {f"{skus} {calls}": {"skus": skus, "batch": batch} for skus in (1, 10_000, live, many)
                 for calls, batch in (("single", None), ("batches", 32))},
        "live": {f"{count} {calls}": {"live": count, "skus": 10_000, "batch": batch} for count in lives
                 for calls, batch in (("single", None), ("batches", 32))},
        "distribution": {f"{skus} {name}": {"skus": skus, "zipf": zipf, "threads": 2} for skus in (10_000, many)
                         for name, zipf in (("uniform", None), ("zipf 0.99", 0.99))},
        "lines": {str(lines): {"lines": lines} for lines in (1, 10)},
        "end": {end: {"end": end} for end in ("confirm", "cancel", "mixed", "expire")},
        "by": {by: {"by": by} for by in ("handle", "name")},
        "batch": {str(batch or 0): {"batch": batch} for batch in (None, 8, 32, 128)},
        "log": {"off": {}, "at once": {"log": "on"}, "durable, 1 in flight": {"log": "on", "in_flight": 1},
                "durable, 64 in flight": {"log": "on", "in_flight": 64}, "durable, 10000 in flight": durable},
    }


def _one_axis(run, name, points):
    """Starts what can be started; the rest is null with its reason."""
    found, started = {}, {}
    try:
        for label, settings in points.items():
            try:
                started[label] = run.holdfast(**settings).start()
            except Failed as failed:
                run.skip(f"{name}: {label}", failed)
                found[label] = {"settings": settings, "operations_per_second": None, "reason": str(failed)}
        answers = Stage(started).rounds(1 if run.quick else 3, 0.3 if run.quick else 0.8, patience=0 if run.quick else 1)
    finally:
        for contestant in started.values():
            contestant.close()
    for label, all_answers in answers.items():
        found[label] = {"settings": points[label]} | {field: median_of(all_answers, field) for field in FIELDS}
        found[label]["operations_per_second"] = spread([a["operations_per_second"] for a in all_answers])
    return found


def throughput(run):
    run.figures["throughput"] = {}
    for name, points in _points(run).items():
        run.say(f"  throughput along {name}")
        try:
            run.figures["throughput"][name] = _one_axis(run, name, points)
        except Failed as failed:
            run.skip(f"throughput along {name}", failed)
            run.figures["throughput"][name] = {"reason": str(failed)}


def _latencies(run):
    log = {"log": "on", "dir": run.directory}
    return {
        "log off, 100 k/s": ("run", {"rate": 100_000}),
        "log off, 1 M/s": ("run", {"rate": 1_000_000}),
        "at once, 100 k/s": ("run", {"rate": 100_000} | log),
        "durable, 100 k/s": ("run", {"rate": 100_000, "ack": "durable"} | log),
        "durable, 1 M/s": ("run", {"rate": 1_000_000, "ack": "durable"} | log),
        "durable, one in flight": ("closed", dict(log)),
    }


def latency(run):
    """Open loop, from the time an operation was due; the last is the closed loop of one in flight."""
    found = run.figures["latency"] = {}
    plan = _latencies(run)
    try:
        with Stage({label: run.program("whole_latency", **settings) for label, (_, settings) in plan.items()}) as stage:
            verbs = {label: verb for label, (verb, _) in plan.items()}
            stage.rounds(1, 0.2, verbs)
            answers = stage.rounds(1 if run.quick else 3, run.seconds * 2, verbs)
    except Failed as failed:
        run.skip("latency", failed)
        found["reason"] = str(failed)
        return
    for label, all_answers in answers.items():
        middle = sorted(all_answers, key=lambda one: one["p99_us"])[len(all_answers) // 2]
        found[label] = {field: median_of(all_answers, field) for field in ("p50_us", "p99_us", "p999_us", "max_us", "samples")}
        found[label]["curve"] = middle["curve"]
