#!/usr/bin/python3
"""kill -9 of the gateway under load, again and again, by clients of every kind that keep their own books: whatever was
acknowledged is there exactly once, and stock adds up. HF_ROUNDS kills; 5 without."""

from common import *

HERE = os.path.dirname(os.path.abspath(__file__))


def node_packages():
    """The folder with ioredis and redis, installed once for a build directory; None: it cannot be had here."""
    folder = os.path.join(BUILD, "node_packages")
    if not shutil.which("npm"):
        print("SKIPPED: ioredis and node-redis, npm is not installed")
        return None
    if not os.path.isdir(os.path.join(folder, "node_modules", "redis")):
        os.makedirs(folder, exist_ok=True)
        found = subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "ioredis@5",
                                "redis@5"], cwd=folder, capture_output=True, text=True)
        if found.returncode != 0:
            print("SKIPPED: ioredis and node-redis, npm cannot install them here")
            return None
    return folder


def has_redis_py():
    return subprocess.run(["/usr/bin/python3", "-c", "import redis"], capture_output=True).returncode == 0


def start_clients(port):
    """(name, process, book) of each."""
    books, clients = os.path.join(HERE, "books.py"), []

    def start(name, prefix, *command, env=None):
        book = os.path.join(WORK, f"book-{name}-{prefix}")
        command = [word.replace("BOOK", book) for word in command]
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL,
                                   stderr=open(book + ".err", "w"))
        clients.append((name, process, book))
        atexit.register(process.kill)

    for i in range(2):
        start("wire", f"w{i}.", sys.executable, books, BUILD, str(port), f"w{i}.", "BOOK", "wire")
    hiredis = os.path.join(BUILD, "tests", "gateway", "gateway_hiredis_books")
    if os.path.exists(hiredis):
        start("hiredis", "h.", hiredis, str(port), "h.", "BOOK")
    else:
        print("SKIPPED: hiredis, libhiredis-dev is not installed")
    if has_redis_py():
        start("redis-py", "p.", "/usr/bin/python3", books, BUILD, str(port), "p.", "BOOK", "redis-py")
    else:
        print("SKIPPED: python3-redis, it is not installed")
    if shutil.which("redis-cli"):
        start("redis-cli", "c.", sys.executable, books, BUILD, str(port), "c.", "BOOK", "redis-cli")
    else:
        print("SKIPPED: redis-cli, redis-tools is not installed")
    packages = node_packages()
    for kind, prefix in (("ioredis", "i."), ("node-redis", "n.")) if packages else ():
        start(kind, prefix, "node", os.path.join(HERE, "books.mjs"), str(port), prefix, "BOOK", kind,
              env={"NODE_PACKAGES": packages})
    return clients


def every_event(wire):
    position = 0
    while True:
        reply = pairs(wire("HF.EVENTS", "FROM", position, "COUNT", 5000))
        for event in reply["events"]:
            yield pairs(event)
        position = reply["next"]
        if not reply["events"]:
            return


def check_books(wire, clients):
    """Every order of every book has happened exactly once, and has become what its book says."""
    happened, fate, on_hand, reserved = {}, {}, {}, {}
    for event in every_event(wire):
        if event["event"] in ("reserved", "confirmed", "cancelled", "expired", "received"):
            happened.setdefault((event["event"], event["id"]), 0)
            decided = ("whole", "first" if event["event"] in ("cancelled", "expired") else "last")  # what releases decides first
            happened[event["event"], event["id"]] += event["part"] in decided
            fate[event["id"]] = {"reserved": "live"}.get(event["event"], event["event"])
        for sku, _, on_hand_change, reserved_change, _ in event["lines"]:
            on_hand[sku] = on_hand.get(sku, 0) + on_hand_change
            reserved[sku] = reserved.get(sku, 0) + reserved_change
    for sku, stock in zip(("books", "more"), wire("HF.STOCK", "books", "more")):
        found = pairs(stock)
        same((found["on_hand"], found["reserved"]), (on_hand[sku], reserved[sku]), f"the stock of {sku} and its events")
    total = 0
    for name, _, book in clients:
        lines = [line.split() for line in open(book).read().splitlines()]
        check(lines, f"{name} has an empty book", open(book + ".err").read()[-300:])
        total += len(lines)
        for id, said in lines:
            same(happened.get(("reserved", id)), 1, f"{name}: {id} was acknowledged; times it happened")
            if said in ("live", "confirmed", "cancelled"):
                same(fate[id], said, f"{name}: what {id} has become")
    live = sum(state == "live" for state in fate.values())
    same(live, int(info(wire)["live"]), "live reservations by the events and by the engine")
    for (event, id), times in happened.items():
        check(times <= 1, f"{event} of {id} happened {times} times")
    return total


def kills():
    port, rounds = free_port(), ROUNDS or 5
    flags = {"listen": f"127.0.0.1:{port}", "threads": 2, "retention_ms": 3600000, "checkpoint_bytes": (1 << 64) - 1,
             "segment_bytes": 4 << 20, "throttle_per_second": 3000}  # so that checking the books takes less than the kills
    gateway = Gateway(**flags)
    directory = gateway.directory
    with gateway.connect() as wire:
        wire("HF.RECEIVE", "in1", "books", 1 << 35)
        wire("HF.RECEIVE", "in2", "more", 1 << 35)
    clients = start_clients(port)
    until = time.monotonic() + 30 * SLOW
    while not all(os.path.exists(book) and os.path.getsize(book) for _, _, book in clients):
        check(time.monotonic() < until, "not all clients have begun",
              [(name, open(book + ".err").read()[-200:]) for name, _, book in clients if not os.path.exists(book)])
        time.sleep(0.05)
    for round in range(rounds):
        time.sleep(random.uniform(0.05, 0.6))
        gateway.kill()
        if random.random() < 0.3:
            time.sleep(random.uniform(0, 0.1))
        gateway = Gateway(directory=directory, **flags)
        for name, process, book in clients:
            check(process.poll() is None, f"{name} ended in round {round}", open(book + ".err").read()[-500:])
    for _, process, _ in clients:
        process.send_signal(signal.SIGTERM)
    for name, process, book in clients:
        same(process.wait(60 * SLOW), 0, f"{name}: {open(book + '.err').read()[-500:]}")
    with gateway.connect() as wire:
        total = check_books(wire, clients)
    gateway.stop()
    found = subprocess.run([HOLDFAST, "verify", "--dir", directory], capture_output=True, text=True)
    same(found.returncode, 0, found.stderr)
    print(f"{rounds} kills, {len(clients)} clients, {total} orders acknowledged, each there once (HF_SEED={SEED})")


if __name__ == "__main__":
    main(kills)
