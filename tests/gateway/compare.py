#!/usr/bin/python3
"""How fast, as ratios in one run: compare.py BUILD. It is no test: tools/test does not run it, and it judges nothing.

  throughput   redis-benchmark -P 64 -c 50 of durable HF.RESERVE, against the same tool on Redis with a function that does the
               same and appendfsync always, and against Redis doing DECRBY without persistence
  latency      50 connections with one order in flight each, against a bare write and fdatasync of 4 KiB on zeros; and what the
               tool itself takes: the same with DECRBY on Redis without persistence, which waits for no disk

COMPARE_ORDERS (1,000,000) orders a round, COMPARE_ROUNDS (3) rounds, in turns; medians are compared. The directories lie in
$TMPDIR. The build should be a Release one."""

import csv
import io
import statistics

from common import *

ORDERS = int(os.environ.get("COMPARE_ORDERS", 1000000))
TURNS = int(os.environ.get("COMPARE_ROUNDS", 3))

# The same promises as far as a function can give them: an id once, stock never below nothing, a deadline, an answer with fields.
FUNCTION = """#!lua name=inventory
redis.register_function('reserve', function(keys, args)
  local id, sku = keys[1], keys[2]
  local known = redis.call('HMGET', id, 'version', 'deadline')
  if known[1] then return {'duplicate', 0, tonumber(known[1]), tonumber(known[2])} end
  local quantity = tonumber(args[2])
  local stock = redis.call('HMGET', sku, 'on_hand', 'reserved')
  if not stock[1] then return {'unknown_sku', 0, 0, 0} end
  if tonumber(stock[1]) - tonumber(stock[2]) < quantity then return {'out_of_stock', 0, 0, 0} end
  redis.call('HINCRBY', sku, 'reserved', quantity)
  local version = redis.call('HINCRBY', sku, 'version', 1)
  local now = redis.call('TIME')
  local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + args[1]
  redis.call('HSET', id, 'sku', sku, 'quantity', quantity, 'deadline', deadline, 'version', version)
  redis.call('ZADD', 'deadlines', deadline, id)
  return {'ok', 0, version, deadline}
end)
"""


def start_redis(*flags):
    port, directory = free_port(), tempfile.mkdtemp(prefix="redis-", dir=WORK)
    process = subprocess.Popen(["redis-server", "--port", str(port), "--dir", directory, "--save", "", *flags],
                               stdout=subprocess.DEVNULL)
    atexit.register(process.kill)

    def answers():
        with contextlib.suppress(OSError, Closed):
            return Wire(port=port)("PING") == "PONG"

    wait_for(answers)
    return port


def benchmark(port, orders, pipeline, *command):
    """(requests a second, p50, p99 in ms)"""
    found = subprocess.run(["redis-benchmark", "-p", str(port), "-P", str(pipeline), "-c", "50", "-n", str(orders), "-r",
                            "2000000000", "--csv", *command], capture_output=True, text=True)
    row = list(csv.reader(io.StringIO(found.stdout)))[-1]
    return float(row[1]), float(row[4]), float(row[6])


def bare_sync(seconds=3):
    """p50 and p99 of a write of 4 KiB and fdatasync, in ms, on a file of zeros."""
    path, times = os.path.join(WORK, "bare"), []
    with open(path, "wb") as file:
        file.write(b"\0" * (64 << 20))
        file.flush()
        os.fsync(file.fileno())
    fd = os.open(path, os.O_WRONLY)
    until, at = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        begin = time.perf_counter()
        os.pwrite(fd, b"x" * 4096, at % (64 << 20))
        os.fdatasync(fd)
        times.append((time.perf_counter() - begin) * 1000)
        at += 4096
    os.close(fd)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def compare():
    if not shutil.which("redis-benchmark") or not shutil.which("redis-server"):
        skip("redis-server and redis-tools are not installed")
    durable = start_redis("--appendonly", "yes", "--appendfsync", "always")
    volatile = start_redis("--appendonly", "no")
    with Wire(port=durable) as wire:
        wire("FUNCTION", "LOAD", FUNCTION)
        wire("HSET", "apple", "on_hand", 1 << 40, "reserved", 0, "version", 0)
    results = {"holdfast": [], "function": [], "decrby": [], "latency": [], "bare": [], "tool": []}
    with Gateway(threads=int(os.environ.get("COMPARE_THREADS", 1)), segment_bytes=64 << 20,
                 expected_reservations=ORDERS * (TURNS + 1)) as gateway:
        with gateway.connect() as wire:
            wire("HF.RECEIVE", "in", "apple", (1 << 39) - 1)
        for _ in range(TURNS):
            results["holdfast"].append(benchmark(gateway.port, ORDERS, 64, "HF.RESERVE", "__rand_int__", "3600000", "apple", "1"))
            results["function"].append(benchmark(durable, max(ORDERS // 20, 1000), 64, "FCALL", "reserve", "2", "__rand_int__",
                                                 "apple", "3600000", "1"))
            results["decrby"].append(benchmark(volatile, ORDERS, 64, "DECRBY", "apple", "1"))
            results["bare"].append(bare_sync())
            results["tool"].append(benchmark(volatile, max(ORDERS // 10, 1000), 1, "DECRBY", "apple", "1"))
            results["latency"].append(benchmark(gateway.port, max(ORDERS // 10, 1000), 1, "HF.RESERVE", "__rand_int__", "3600000",
                                                "apple", "1"))
        with gateway.connect() as wire:
            found = info(wire)
            check(int(found["outcome_ok"]) > ORDERS * TURNS * 0.99, "the gateway did not reserve", found["outcome_ok"])

    with Wire(port=durable) as wire:
        asked = ORDERS // 20 * TURNS
        check(int(wire("HGET", "apple", "reserved")) > asked * 0.99, "the function did not reserve")

    def median(name, field):
        return statistics.median(row[field] for row in results[name])

    ours, function, decrby = (median(name, 0) for name in ("holdfast", "function", "decrby"))
    print(f"orders/s, pipeline 64, 50 connections: HF.RESERVE durable {ours:,.0f}; Redis function, appendfsync always "
          f"{function:,.0f}; Redis DECRBY without persistence {decrby:,.0f}")
    print(f"  ratio to the function {ours / function:.1f}, to DECRBY {ours / decrby:.2f}")
    p50, p99 = median("latency", 1), median("latency", 2)
    bare50, bare99 = median("bare", 0), median("bare", 1)
    print(f"one in flight, 50 connections: p50 {p50:.3f} ms, p99 {p99:.3f} ms, {median('latency', 0):,.0f} orders/s; bare fdatasync p50 "
          f"{bare50:.3f} ms, p99 {bare99:.3f} ms; ratio of the p99s {p99 / bare99:.2f}")
    print(f"  the tool with DECRBY on Redis without persistence: p50 {median('tool', 1):.3f} ms, p99 {median('tool', 2):.3f} ms, "
          f"{median('tool', 0):,.0f} orders/s")


main(compare)
