"""The conductor of tools/bench: runs what is asked for and writes one JSON file, plots, and (a full run) the page's tables."""
import argparse
import datetime
import json
import os
import shutil
import signal
import sys
import tempfile
import time

import goals
import machine
import micro
import page
import peers
import plots
import ratios
import whole
from run import Run
from stage import Failed, heard, impatient, priority

NICENESS = -19  # with --priority

# besides the ratios: group -> what it measures
GROUPS = {"parts": micro.parts, "throughput": whole.throughput, "latency": whole.latency, "memory_peers": peers.in_memory}


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures Holdfast, the machine's limits and the peers in turns.")
    parser.add_argument("--quick", action="store_true", help="about 3 minutes: a tenth of the sizes, short turns")
    parser.add_argument("--only", metavar="KEY_OR_GROUP", action="append",
                        help=f"a key of `ratios`, or one of: ratios, {', '.join(GROUPS)}; may be repeated")
    parser.add_argument("--output", metavar="FILE", help="the JSON file (build/bench.json)")
    parser.add_argument("--data", metavar="DIRECTORY", help="where logs and the peers' files go (build/bench-data)")
    parser.add_argument("--priority", action="store_true",
                        help="programs and servers go before all others (root): for a machine that others use meanwhile")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    found = parser.parse_args()
    for name in found.only or []:
        if name not in goals.GOALS and name not in GROUPS and name != "ratios":
            parser.error(f"--only {name}: expected a key of ratios, or one of ratios, {', '.join(GROUPS)}")
    if found.priority:
        if os.geteuid() != 0:
            parser.error("--priority: only root may raise priorities")
        priority[:] = [NICENESS]
    return found


def wants(only, *names):
    return not only or any(name in only for name in names)


def measure_ratios(run, only):
    found = {key: goals.missing(key, "not asked for") for key in goals.GOALS}
    for keys, measure in ratios.MEASUREMENTS:
        if not wants(only, "ratios", *keys):
            continue
        run.say(f"== {', '.join(keys)}")
        started = time.monotonic()
        heard.clear()
        try:
            answers = measure(run)
        except (Failed, KeyError, ZeroDivisionError, TypeError, OSError) as failed:
            answers = {key: Failed(f"{type(failed).__name__ + ': ' if not isinstance(failed, Failed) else ''}{failed}")
                       for key in keys}
        for key in keys:
            if isinstance(answers[key], Failed):
                found[key] = goals.missing(key, str(answers[key]))
                run.skip(key, answers[key])
            else:
                found[key] = goals.entry(key, answers[key], run.sizes, max(heard, default=None))
                one = found[key]
                run.say(f"  {key} {one['value']:.4g} ({one['min']:.4g} to {one['max']:.4g}), goal {one['goal']}: "
                        f"{'met' if one['met'] else 'NOT MET'}" + (f" (others used {one['others']:.2f} processors)" if one["others"] else ""))
        run.say(f"  {time.monotonic() - started:.0f} s")
    return found


def measure(run, only):
    found = measure_ratios(run, only)
    for name, group in GROUPS.items():
        if wants(only, name):
            run.say(f"== {name}")
            started = time.monotonic()
            try:
                group(run)
            except Failed as failed:
                run.skip(name, failed)
            run.say(f"  {time.monotonic() - started:.0f} s")
    return found


def write(path, document):
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    os.replace(path + ".tmp", path)


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that programs and servers are ended, too
    output = os.path.abspath(given.output or os.path.join(given.top, "build", "bench.json"))
    data = os.path.abspath(given.data or os.path.join(given.top, "build", "bench-data"))
    os.makedirs(data, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="run.", dir=data)
    os.chmod(directory, 0o755)  # PostgreSQL's user goes through it
    run = Run(given.programs, directory, given.quick)
    impatient[:] = [True] if given.quick else []
    document = {"date": datetime.date.today().isoformat(), "quick": given.quick, "only": given.only, "priority": given.priority,
                "machine": machine.describe(directory)}
    if not document["machine"]["log"]["durable"]:
        run.skip("durability", f"{document['machine']['log']['file_system']} keeps nothing: what is called durable here is not")
    before, started = machine.processor_seconds(), time.monotonic()
    try:
        document["ratios"] = measure(run, given.only)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    after = machine.processor_seconds()
    used = {name: after[name] - before[name] for name in after}
    document |= {"seconds": time.monotonic() - started, "stolen_seconds": used["stolen"],
                 "others_seconds": max(0, used["machine"] - used["run"]), "figures": run.figures, "skipped": run.skipped}
    write(output, document)
    run.say(f"{output}: {document['seconds']:.0f} s")
    docs = os.path.join(given.top, "docs")
    full = not given.quick and not given.only
    for path in plots.draw(run, docs if full else os.path.dirname(output)):
        run.say(path)
    if full:
        page.rewrite(os.path.join(docs, "BENCHMARKS.md"), document)
        run.say(os.path.join(docs, "BENCHMARKS.md"))


if __name__ == "__main__":
    main()
