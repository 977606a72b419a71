"""The parts, each beside its bare limit, in turns. `over` is part / limit where less is better, limit / part where more is: always
how many times the limit's cost the part costs.
"""
from stage import Failed, Stage, median_of, spread

NS, US, SECONDS, PER_SECOND = "ns", "p50_us", "seconds", "writes_per_second"


def _comparisons(run):
    """name -> (field, part, limit)"""
    p, d = run.program, {"dir": run.directory}
    found = {}
    for held in (10_000, run.many_live):
        for what in ("find", "replace"):
            found[f"id index, {what}, {held} held"] = (NS, p("micro_index", what=what, held=held),
                                                       p("micro_index", what=f"bare_{what}", held=held))
    for skus in (10_000, run.many_skus):
        found[f"SKU by name, {skus} SKUs"] = (NS, p("whole_lookup", what="find", skus=skus),
                                              p("whole_lookup", what="bare_find", skus=skus))
        found[f"stock by handle, {skus} SKUs"] = (NS, p("whole_lookup", what="read", skus=skus),
                                                  p("whole_lookup", what="bare_read", skus=skus))
        found[f"counter step, {skus} SKUs"] = (NS, p("micro_counter", skus=skus), p("micro_counter", skus=skus, bare=1))
    found["counter step, one SKU"] = (NS, p("micro_counter", skus=1), p("micro_counter", skus=1, bare=1))
    found["record encode"] = (NS, p("micro_record", what="encode"), p("micro_record", what="bare_encode"))
    found["ring append"] = (NS, p("micro_record", what="append"), p("micro_record", what="bare_append"))
    for payload in (3936, 65536, 1_000_000):
        found[f"batch seal, {payload} bytes"] = (NS, p("micro_log", what="seal", payload=payload),
                                                 p("micro_log", what="bare_seal", payload=payload))
    for payload in (3936, 65376, 1_048_416):
        size = payload + 160
        found[f"segment write, {size} bytes"] = (US, p("micro_log", what="write", payload=payload, **d),
                                                 p("limit_write", bytes=size, **d))
    found["log read back"] = (SECONDS, p("micro_log", what="replay", epochs=4000, **d),
                              p("micro_log", what="bare_replay", epochs=4000, **d))
    return found


def _compare(run, name, field, part, limit):
    with Stage({"part": part, "limit": limit}) as stage:
        answers = stage.rounds(1 if run.quick else 5, 0.2 if run.quick else 0.5)
    found = {one: spread([a[field] for a in all_answers]) for one, all_answers in answers.items()}
    found["unit"] = field
    found["over"] = found["part"]["median"] / found["limit"]["median"]
    return found


def _writes(run):
    """Other ways to make the same bytes durable, which say what the choice of one costs."""
    found = {}
    for size in (4096, 65536, 1 << 20):
        contestants = {how: run.program("limit_write", dir=run.directory, bytes=size, how=how)
                       for how in ("fdatasync", "dsync", "direct")}
        answers = run.compare(rounds=1 if run.quick else 3, seconds=0.2 if run.quick else 0.5, **contestants)
        found[size] = {how: median_of(all_answers, "p50_us") for how, all_answers in answers.items()}
    return found


def _checkpoint(run):
    sizes = {"skus": run.many_skus // 10, "live": run.many_live}
    part = run.program("whole_checkpoint", dir=run.directory, log="on", **sizes)
    with Stage({"part": part}) as stage:
        size = part.about["bytes"]
        with Stage({"limit": run.program("limit_file", dir=run.directory, bytes=size)}) as other:
            rounds = [(stage.rounds(1, 0)["part"][0]["seconds"], other.rounds(1, 0)["limit"][0]["seconds"]) for _ in range(3)]
    found = {"part": spread([one[0] for one in rounds]), "limit": spread([one[1] for one in rounds]), "unit": SECONDS}
    return found | {"over": found["part"]["median"] / found["limit"]["median"], "bytes": size, "sizes": sizes}


def parts(run):
    found = run.figures["parts"] = {}
    for name, (field, part, limit) in _comparisons(run).items():
        try:
            found[name] = _compare(run, name, field, part, limit)
        except Failed as failed:
            run.skip(name, failed)
            found[name] = {"part": None, "reason": str(failed)}
    for name, measure in (("checkpoint", _checkpoint), ("wheel, expire", _expire)):
        try:
            found[name] = measure(run)
        except Failed as failed:
            run.skip(name, failed)
            found[name] = {"part": None, "reason": str(failed)}
    run.figures["ways_to_write_p50_us"] = _writes(run)


def _expire(run):
    answers = run.compare(rounds=3, seconds=0, wheel=run.program("micro_wheel", what="expire", pending=run.many_live))["wheel"]
    return {"ns_per_add": median_of(answers, "ns_per_add"), "ns_per_expire": median_of(answers, "ns_per_expire")}
