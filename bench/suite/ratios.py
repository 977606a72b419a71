"""How each figure to meet is measured. A measurement gives {key: [value of each round]} and leaves what it saw on the way in
run.figures.
"""
import os
import shutil

import peers
from stage import QUIET, Failed, Stage, heard, impatient, median_of, priority, quotients, spread


def pair_cache(run):
    """10 k SKUs and 10 k live reservations: all of it within the cache of one core."""
    answers = run.compare(bare=run.program("limit_pair", skus=run.skus, live=run.skus), holdfast=run.holdfast(),
                          by_name=run.holdfast(by="name"), batch=run.holdfast(batch=32))
    run.figures["pair_cache"] = {name: {field: spread([a[field] for a in all_answers]) for field in ("ns_per_pair", "cpu_ns_per_pair")}
                                 for name, all_answers in answers.items()}
    return {"pair_over_roofline_cache": quotients(answers["holdfast"], answers["bare"], "cpu_ns_per_pair")}


def pair_dram(run):
    """SKUs and reservations far beyond the caches of a core."""
    sizes = {"skus": run.many_skus, "live": run.many_live}
    answers = run.compare(bare=run.program("limit_pair", batch=32, **sizes), bare_single=run.program("limit_pair", **sizes),
                          batch=run.holdfast(batch=32, **sizes), single=run.holdfast(**sizes))
    run.figures["pair_dram"] = {name: {field: spread([a[field] for a in all_answers]) for field in ("ns_per_pair", "cpu_ns_per_pair")}
                                for name, all_answers in answers.items()} | {"sizes": sizes}
    return {"pair_over_roofline_dram": quotients(answers["batch"], answers["bare"], "cpu_ns_per_pair"),
            "batch_over_single_dram": quotients(answers["single"], answers["batch"], "cpu_ns_per_pair")}


def durable(run):
    def make(**settings):
        return run.holdfast(log="on", in_flight=10000, **settings)

    best, tried = run.best(make, [{"delay_us": delay} for delay in (0, 50, 100, 200)])
    answers = run.compare(durable=make(**best), volatile=run.holdfast())
    run.figures["durable"] = {"best": best, "tried": tried} | {
        name: {field: median_of(all_answers, field)
               for field in ("operations_per_second", "log_bytes_per_pair", "record_bytes_per_pair", "epochs")}
        for name, all_answers in answers.items()}
    return {"durable_over_volatile": quotients(answers["durable"], answers["volatile"], "operations_per_second"),
            "log_bytes": [a["log_bytes_per_pair"] for a in answers["durable"]]}


def two_threads(run):
    """So many SKUs that the two hardly ever meet: with 10 k, each finds half of the lines in the other's cache, and bare threads
    gain nothing either."""
    skus = 1_000_000
    answers = run.compare(two=run.holdfast(threads=2, skus=skus), one=run.holdfast(skus=skus),
                          bare_two=run.program("limit_one_line", threads=2, lines=skus),
                          bare_one=run.program("limit_one_line", threads=1, lines=skus))
    run.figures["two_threads"] = {
        "skus": skus,
        "one": median_of(answers["one"], "operations_per_second"),
        "two": median_of(answers["two"], "operations_per_second"),
        "bare_two_over_one": spread(quotients(answers["bare_two"], answers["bare_one"], "steps_per_second"))}
    return {"two_over_one": quotients(answers["two"], answers["one"], "operations_per_second")}


def hot_sku(run):
    """One SKU: each operation is one step of it."""
    answers = run.compare(holdfast=run.holdfast(skus=1, threads=2), bare=run.program("limit_one_line", threads=2))
    run.figures["hot_sku"] = {"steps_per_second": median_of(answers["holdfast"], "operations_per_second"),
                              "bare_steps_per_second": median_of(answers["bare"], "steps_per_second")}
    return {"hot_sku_over_cas": quotients(answers["holdfast"], answers["bare"], "operations_per_second", "steps_per_second")}


def acknowledgement(run):
    """One operation in flight; the log's smallest write is one block of 4,096 bytes."""
    answers = {"holdfast": [], "bare": []}
    with Stage({"holdfast": run.program("whole_latency", log="on", dir=run.directory),
                "bare": run.program("limit_write", dir=run.directory, bytes=4096)}) as stage:
        stage.rounds(1, 0.2, {"holdfast": "closed"})
        answers = stage.rounds(run.rounds, 2 * run.seconds, {"holdfast": "closed"})
    run.figures["acknowledgement"] = {
        name: {field: median_of(all_answers, field) for field in ("p50_us", "p99_us", "p999_us", "max_us")}
        for name, all_answers in answers.items()}
    return {"ack_p50": quotients(answers["holdfast"], answers["bare"], "p50_us"),
            "ack_p99": quotients(answers["holdfast"], answers["bare"], "p99_us")}


def _fresh(run, name):
    path = run.path(name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def replay(run):
    directory = _fresh(run, "replay")
    pairs = 500_000 if run.quick else 5_000_000
    try:
        # Made by a process of its own, so that the one that is measured keeps to one core from its start.
        with Stage({"make": run.program("whole_restart", dir=directory, log="on", make="log", pairs=pairs)}):
            pass
        answers = run.compare(rounds=3 if run.quick else 5,
                              replay=run.program("whole_restart", dir=directory, log="on", one_core=1), live=run.holdfast())
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if median_of(answers["replay"], "replayed_records") < 2 * pairs:
        raise Failed(f"only {answers['replay'][0]['replayed_records']} records were replayed: expected {2 * pairs} at least")
    for answer in answers["live"]:
        answer["operations_per_processor_second"] = 2e9 / answer["cpu_ns_per_pair"]
    run.figures["replay"] = {"records_per_second": median_of(answers["replay"], "records_per_second"),
                             "records": answers["replay"][0]["replayed_records"],
                             "live_operations_per_second": median_of(answers["live"], "operations_per_processor_second")}
    return {"replay_over_live": quotients(answers["replay"], answers["live"], "records_per_second",
                                          "operations_per_processor_second")}


def restart(run):
    directory = _fresh(run, "restart")
    sizes = {"skus": run.many_skus, "live": run.many_live}
    try:
        with Stage({"make": run.program("whole_restart", dir=directory, log="on", make="checkpoint", **sizes)}) as stage:
            about = stage.contestants["make"].about
        answers = run.compare(rounds=3, holdfast=run.program("whole_restart", dir=directory, log="on", **sizes),
                              bare=run.program("limit_restart", file=about["checkpoint"], lines=sum(sizes.values())))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for answer in answers["holdfast"]:
        if (answer["skus"], answer["live"]) != (sizes["skus"], sizes["live"]):
            raise Failed(f"opened with {answer['skus']} SKUs and {answer['live']} live reservations, not {sizes}")
    run.figures["restart"] = {"seconds": median_of(answers["holdfast"], "seconds"),
                              "bare_seconds": median_of(answers["bare"], "seconds"),
                              "checkpoint_bytes": about["checkpoint_bytes"], "sizes": sizes,
                              "replayed_records": answers["holdfast"][0]["replayed_records"]}
    return {"restart": quotients(answers["holdfast"], answers["bare"], "seconds")}


def _beside_idle(run, contestant, verb, rounds):
    """Foreground latency, idle and beside `verb`, in turns of one process; each idle turn lasts as long as the other."""
    idle, beside, most = [], [], rounds if priority or impatient else 3 * rounds
    with Stage({"holdfast": contestant}):
        contestant.turn("run", 0.3)
        seconds = 1.0
        played = []
        while len(played) < rounds or (sum(noise <= QUIET for noise, *_ in played) < rounds and len(played) < most):
            pair = contestant.turn("run", max(seconds, 0.2)), contestant.turn(verb)
            played.append((max(one["others"] for one in pair), *pair))
            seconds = pair[1]["seconds"]
        heard.append(sorted(noise for noise, *_ in played)[rounds - 1])
        for _, one, other in sorted(played, key=lambda one: one[0])[:rounds]:
            idle.append(one)
            beside.append(other)
    fields = ("p50_us", "p99_us", "p999_us", "max_us", "seconds", "samples")
    return idle, beside, {name: {field: median_of(answers, field) for field in fields}
                          for name, answers in (("idle", idle), (verb, beside))}


def expiry(run):
    """Ids are remembered for an hour: nothing is forgotten while it is measured."""
    contestant = run.program("whole_latency", pending=run.many_live, retention=3600000, rate=500000)
    idle, beside, run.figures["expiry"] = _beside_idle(run, contestant, "burst", 3 if run.quick else 5)
    return {"expiry_p999": quotients(beside, idle, "p999_us")}


def checkpoint(run):
    contestant = run.program("whole_latency", log="on", dir=run.directory, skus=run.many_live, live=run.many_live, rate=100000,
                             checkpoint_bytes=2**64 - 1)
    idle, beside, run.figures["checkpoint"] = _beside_idle(run, contestant, "checkpoint", 3 if run.quick else 5)
    return {"checkpoint_p999": quotients(beside, idle, "p999_us")}


def wheel(run):
    pending = run.many_live * 10
    answers = run.compare(rounds=3, seconds=0, wheel=run.program("micro_wheel", pending=pending),
                          heap=run.program("limit_heap", pending=pending))
    run.figures["wheel"] = {name: {"ns_per_add_and_cancel": median_of(all_answers, "ns_per_add_and_cancel")}
                            for name, all_answers in answers.items()} | {"pending": pending}
    return {"wheel_vs_heap": quotients(answers["heap"], answers["wheel"], "ns_per_add_and_cancel")}


def _memory(run, **settings):
    contestant = run.program("whole_memory", **settings)
    with Stage({"it": contestant}):
        return contestant.turn()


def drift(run):
    """100 k live; what 10 k live show stands beside it, where ids that wait to be forgotten weigh more than those that live."""
    answers = {live: _memory(run, what="drift", live=live, operations=run.many_live * 100) for live in (100_000, 10_000)}
    run.figures["rss_drift"] = answers
    return {"rss_drift": [answers[100_000]["ratio"]]}


def bytes_per_sku(run):
    answer = _memory(run, what="skus", skus=run.many_skus)
    run.figures["bytes_per_sku"] = answer | {"skus": run.many_skus}
    return {"bytes_per_sku": [answer["bytes_each"]]}


def bytes_per_reservation(run):
    live = run.many_skus
    answer = _memory(run, what="reservations", live=live)
    run.figures["bytes_per_reservation"] = answer | {"live": live}
    return {"bytes_per_reservation": [answer["bytes_each"]]}


# keys -> measurement, in the order they are run
MEASUREMENTS = [
    (("pair_over_roofline_cache",), pair_cache),
    (("pair_over_roofline_dram", "batch_over_single_dram"), pair_dram),
    (("durable_over_volatile", "log_bytes"), durable),
    (("two_over_one",), two_threads),
    (("hot_sku_over_cas",), hot_sku),
    (("vs_redis", "vs_sqlite", "vs_rocksdb", "vs_lmdb", "vs_postgres"), peers.durable),
    (("ack_p50", "ack_p99"), acknowledgement),
    (("replay_over_live",), replay),
    (("restart",), restart),
    (("expiry_p999",), expiry),
    (("checkpoint_p999",), checkpoint),
    (("wheel_vs_heap",), wheel),
    (("rss_drift",), drift),
    (("bytes_per_sku",), bytes_per_sku),
    (("bytes_per_reservation",), bytes_per_reservation),
]
