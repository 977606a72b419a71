"""The peers: for each a short search for its best configuration, then all of them and Holdfast in turns.

What is searched is bounded by what Holdfast may have under way itself, 2 threads of 10,000 operations: no peer's batches or
pipelines may hold more than that many operations that are not yet durable.
"""
import contextlib
import statistics

import servers
from stage import Failed, Stage, quotients, spread

# name -> what is tried, what was best elsewhere first: a quick run tries two. PostgreSQL and RocksDB commit each operation, sharing syncs among many clients, as their users do;
# with many operations in a transaction they are measured as well, under names of their own.
DURABLE = {
    "redis": [{"threads": t, "batch": b} for t, b in ((16, 256), (4, 256), (1, 256), (1, 2000), (16, 64), (64, 64))],
    "sqlite": [{"batch": b, "pages": p} for b in (10000, 1000, 100) for p in (1000, 16000)],
    "rocksdb": [{"threads": t, "pipelined": p} for t, p in ((128, 0), (256, 0), (64, 0), (32, 0), (128, 1))],
    "lmdb": [{"batch": b, "writemap": w} for b in (10000, 1000, 100) for w in (0, 1)],
    "postgres": [{"threads": t} for t in (32, 16, 64, 8, 4)],
    "postgres_batched": [{"threads": t, "batch": b} for t, b in ((1, 1000), (2, 1000), (1, 100), (1, 10000), (2, 5000))],
    "rocksdb_batched": [{"threads": t, "batch": b} for t, b in ((1, 100), (1, 1000), (1, 10), (1, 10000))],
    "sqlite_100": [{"batch": 100}],
    "lmdb_100": [{"batch": 100}],
}
IN_MEMORY = {
    "redis_without_aof": [{"threads": t, "batch": b} for t, b in ((4, 256), (1, 256), (1, 2000), (16, 64))],
    "lfht": [{"threads": 1}, {"threads": 2}],
}
HOLDFAST = [{"batch": b, "delay_us": d} for d in (100, 0) for b in (None, 32)]


@contextlib.contextmanager
def _server_of(run, name):
    """Its process, the settings that lead to a peer's data, and how it is configured."""
    if name.startswith("postgres"):
        with servers.postgres(run.directory) as found:
            yield found
    elif name.startswith("redis"):
        with servers.redis(run.directory, durable=name == "redis") as found:
            yield found
    elif name == "lfht":
        yield None, {}, "cds_lfht, malloc, a binary heap under a mutex"
    else:
        yield None, {"dir": run.directory}, {
            "sqlite": "journal_mode=WAL, synchronous=FULL, locking_mode=EXCLUSIVE, cache 256 MiB, one connection",
            "lmdb": "synced commits, integer keys, one writer",
            "rocksdb": "TransactionDB, pessimistic, sync writes, group commit, recycled logs, 256 MiB write buffer",
        }[name.split("_")[0]]


def _program(run, name, server, settings):
    contestant = run.program("peer_" + name.split("_")[0], **settings)
    contestant.servers = (server,) if server else ()
    return contestant


def _candidates(run, all_of):
    return all_of[:2] if run.quick else all_of


def _enter_peers(run, stack, wanted):
    """Starts the servers, searches, and returns {name: (contestant, found so far)}."""
    peers, stopped = {}, {}
    shared = {}
    for name, candidates in wanted.items():
        try:
            server = name.split("_batched")[0].split("_100")[0]
            if server not in shared:
                shared[server] = stack.enter_context(_server_of(run, server))
            process, where, configuration = shared[server]
            best, tried = run.best(lambda **settings: _program(run, name, process, where | settings),
                                   _candidates(run, candidates))
            peers[name] = (_program(run, name, process, where | best),
                           {"best": best, "configuration": configuration, "tried": tried})
            run.say(f"  {name}: best {best}")
        except Failed as failed:
            stopped[name] = str(failed)
            run.skip(f"the peer {name}", failed)
    return peers, stopped


def _measure(run, wanted, holdfast, candidates):
    """Rounds of Holdfast and the peers; {name: figures with "answers"}, and why others could not be measured."""
    found = {}
    with contextlib.ExitStack() as stack:
        peers, stopped = _enter_peers(run, stack, wanted)
        contestants = {}
        try:
            best, tried = run.best(holdfast, candidates)
            contestants["holdfast"] = holdfast(**best)
            found["holdfast"] = {"best": {"threads": 2} | best, "tried": tried}
        except Failed as failed:
            stopped["holdfast"] = str(failed)
        for name, (contestant, about) in peers.items():
            # The server's peers share tables, so each starts in its own turn of the loop below.
            contestants[name] = contestant
            found[name] = about
        answers = _rounds(run, contestants, stopped)
    for name, all_answers in answers.items():
        found[name]["operations_per_second"] = spread([a["operations_per_second"] for a in all_answers])
        found[name]["answers"] = all_answers
    return found, stopped


def _rounds(run, contestants, stopped):
    """In each round every contestant starts afresh, since peers share servers; the round is played again where it was not quiet."""
    answers = {name: [] for name in contestants}
    for _ in range(2 if run.quick else 5):
        for name, contestant in list(contestants.items()):
            try:
                with Stage({name: contestant}) as stage:
                    answers[name] += stage.rounds(1, 0.5 if run.quick else 2.0, patience=0 if run.quick else 1)[name]
                    if name != "holdfast":
                        contestant.turn("check")
            except Failed as failed:
                stopped[name] = str(failed)
                run.skip(f"the contestant {name}", failed)
                del contestants[name]
                answers.pop(name, None)
    return answers


def durable(run):
    """{key: ratio or Failed} for vs_...; all figures go to run.figures["peers"]."""
    # A quick run keeps to those that have a key.
    wanted = {name: tried for name, tried in DURABLE.items() if "_" not in name or not run.quick}
    found, stopped = _measure(
        run, wanted, lambda **settings: run.holdfast(log="on", threads=2, in_flight=10000, retention=1000, warm=1.5, **settings), HOLDFAST)
    run.figures["peers_durable"] = {"figures": _without_answers(found), "not_measured": stopped}
    ratios = {}
    for name in ("redis", "sqlite", "rocksdb", "lmdb", "postgres"):
        if "holdfast" in stopped:
            ratios["vs_" + name] = Failed(stopped["holdfast"])
        elif name in stopped:
            ratios["vs_" + name] = Failed(stopped[name])
        else:
            ratios["vs_" + name] = quotients(found["holdfast"]["answers"], found[name]["answers"], "operations_per_second")
    return ratios


def in_memory(run):
    found, stopped = _measure(run, IN_MEMORY, lambda **settings: run.holdfast(**settings),
                              [{"threads": t, "batch": b} for t in (1, 2) for b in (None, 32)])
    run.figures["peers_in_memory"] = {"figures": _without_answers(found), "not_measured": stopped}


def _without_answers(found):
    return {name: {key: value for key, value in one.items() if key != "answers"} for name, one in found.items()}


def best_rates(run, group):
    """[(name, median operations a second)], fastest first, for plots and pages."""
    figures = run.figures.get(group, {}).get("figures", {})
    rates = [(name, one["operations_per_second"]["median"]) for name, one in figures.items()
             if "operations_per_second" in one]
    return sorted(rates, key=lambda one: -one[1])


def median_rate(answers):
    return statistics.median(one["operations_per_second"] for one in answers)
