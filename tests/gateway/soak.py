#!/usr/bin/python3
"""A soak: half the peak rate for HF_SOAK_SECONDS, with reservations that expire and ids that are forgotten all the time. Memory
must be flat and the time to acknowledge must not drift: the last quarter is compared with the second. Without
HF_SOAK_SECONDS it is skipped; an hour is 3600."""

from common import *

SECONDS = int(os.environ.get("HF_SOAK_SECONDS") or 0)
CONNECTIONS = 16


def load(port):
    """redis-benchmark until it is killed: again and again (-l), since what it counts in one go ends within an hour."""
    command = ["redis-benchmark", "-p", str(port), "-P", "64", "-c", str(CONNECTIONS), "-n", "10000000", "-r", "2000000000",
               "-l", "--csv", "HF.RESERVE", "__rand_int__", "2000", "apple", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    atexit.register(process.kill)
    return process


def peak():
    with Gateway(segment_bytes=64 << 20) as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 1 << 38)
        process = load(gateway.port)
        time.sleep(1)
        before, begin = int(info(wire)["orders"]), time.monotonic()
        time.sleep(4)
        rate = (int(info(wire)["orders"]) - before) / (time.monotonic() - begin)
        process.kill()
        process.wait()
        return rate


def soak():
    if not SECONDS:
        skip("a soak is a long mode: HF_SOAK_SECONDS=3600 runs one")
    if not shutil.which("redis-benchmark"):
        skip("redis-benchmark is not installed")
    rate = peak() / 2
    samples = []
    with Gateway(retention_ms=2000, throttle_per_second=int(rate / CONNECTIONS), checkpoint_bytes=256 << 20,
                 segment_bytes=64 << 20) as gateway:
        with gateway.connect() as wire:
            wire("HF.RECEIVE", "in", "apple", 1 << 38)
            process = load(gateway.port)
            until = time.monotonic() + SECONDS
            last = info(wire)
            while time.monotonic() < until:
                time.sleep(SECONDS / 40)
                check(process.poll() is None, "the load ended")
                now = info(wire)
                orders = int(now["acknowledged"]) - int(last["acknowledged"])
                mean = (int(now["acknowledged_us_sum"]) - int(last["acknowledged_us_sum"])) / max(orders, 1)
                samples.append((int(now["used_memory_rss"]) / 1048576, mean, orders / (SECONDS / 40)))
                print(f"{len(samples):3} resident {samples[-1][0]:8.1f} MiB, acknowledged in {mean:8.0f} us on average, "
                      f"{samples[-1][2]:10,.0f} orders/s, ids {now['ids']}, live {now['live']}, segments {now['segments']}", flush=True)
                last = now
            process.kill()
            process.wait()

    def average(quarter, field):
        part = samples[quarter * len(samples) // 4:(quarter + 1) * len(samples) // 4]
        return sum(sample[field] for sample in part) / len(part)

    memory, latency = average(3, 0) / average(1, 0), average(3, 1) / average(1, 1)
    print(f"{SECONDS} s at {rate:,.0f} orders/s: the last quarter against the second: memory x{memory:.3f}, time to acknowledge "
          f"x{latency:.2f}")
    check(memory < 1.05, "memory is not flat", memory)
    check(latency < 1.5, "latency drifts", latency)


main(soak)
