"""The figures to meet: each key of the JSON's `ratios`, in order, with its goal and what it is."""

AT_MOST, AT_LEAST = "<=", ">="

GOALS = {
    "pair_over_roofline_cache": (AT_MOST, 2.0, "reserve+confirm, log off, 10 k SKUs, 10 k live, one thread / two SKU-line and two reservation-line CAS of a bare loop"),
    "pair_over_roofline_dram": (AT_MOST, 1.7, "the same in batches of 32, 10 M SKUs, 1 M live / a bare loop that prefetches as well"),
    "batch_over_single_dram": (AT_LEAST, 2.5, "throughput of hf_submit batches of 32 / single calls, 10 M SKUs, 1 M live"),
    "durable_over_volatile": (AT_LEAST, 0.8, "throughput, log on and acknowledged durable (10 k in flight) / log off, 10 k SKUs, one worker"),
    "two_over_one": (AT_LEAST, 1.8, "two threads / one, spread SKUs, log off"),
    "hot_sku_over_cas": (AT_LEAST, 0.5, "one SKU, two threads, its steps / bare 128-bit CAS of two threads on one line"),
    "vs_redis": (AT_LEAST, 100, "durable reserves+confirms, embedded, two threads / Redis, AOF always"),
    "vs_sqlite": (AT_LEAST, 60, "the same / SQLite, WAL, synchronous=FULL, batches"),
    "vs_rocksdb": (AT_LEAST, 500, "the same / RocksDB TransactionDB"),
    "vs_lmdb": (AT_LEAST, 60, "the same / LMDB, batches"),
    "vs_postgres": (AT_LEAST, 3000, "the same / PostgreSQL"),
    "ack_p50": (AT_MOST, 2, "reply durable, one in flight, p50 / bare write+fdatasync of the same size"),
    "ack_p99": (AT_MOST, 3, "the same, p99"),
    "replay_over_live": (AT_LEAST, 1.0, "records replayed/s on one core / live operations/s of one session, log off"),
    "restart": (AT_MOST, 3, "open of 10 M SKUs and 1 M live from a checkpoint / reading that file and touching as many lines"),
    "expiry_p999": (AT_MOST, 2, "foreground p99.9 while 1 M reservations fall due in one tick / idle"),
    "checkpoint_p999": (AT_MOST, 2, "foreground p99.9 during a checkpoint / idle"),
    "wheel_vs_heap": (AT_LEAST, 10, "add + cancel at 10 M pending / a binary heap"),
    "rss_drift": (AT_MOST, 1.05, "memory after 100 M reserve/confirm/cancel / after 1 M, same live set"),
    "bytes_per_sku": (AT_MOST, 96, "bytes, all in, at 10 M SKUs with names of 20 bytes"),
    "bytes_per_reservation": (AT_MOST, 160, "bytes, all in, at 10 M live single-line reservations"),
    "log_bytes": (AT_MOST, 64, "bytes of log per single-line reserve and its confirm, all in"),
}


def entry(key, values, sizes, others):
    """A measured ratio: the median of its rounds, with the least and the greatest, and what other programs used of a processor."""
    import statistics
    sense, goal, what = GOALS[key]
    value = statistics.median(values)
    met = value <= goal if sense == AT_MOST else value >= goal
    return {"value": value, "min": min(values), "max": max(values), "rounds": list(values), "goal": f"{sense} {goal}",
            "met": met, "what": what, "sizes": sizes, "others": others}


def missing(key, reason):
    """One that could not be measured."""
    sense, goal, what = GOALS[key]
    return {"value": None, "reason": reason, "goal": f"{sense} {goal}", "met": None, "what": what}
