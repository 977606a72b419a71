#!/usr/bin/python3
"""Clients that keep their own books, as hiredis_books.c does: books.py BUILD PORT PREFIX BOOK KIND.

  redis-py   pipelines of 16 by python3-redis
  redis-cli  lines into redis-cli's standard input
  wire       pipelines of random length of reservations with confirm and cancel behind them, with a named session: its
             book says what each id must have become
"""

import os
import signal
import socket
import subprocess
import sys
import time

sys.argv, (BUILD, PORT, PREFIX, BOOK, KIND) = [sys.argv[0], sys.argv[1]], sys.argv[1:6]
from common import Closed, Error, Wire, fields, pairs, random

stopped = False


def stop(*_):
    global stopped
    stopped = True


signal.signal(signal.SIGTERM, stop)
PORT = int(PORT)
ACKNOWLEDGED = ("ok", "duplicate")


def in_batches(ask):
    """Orders 16 ids at a time; `ask` gives the outcomes of as many as were answered."""
    first = 0
    with open(BOOK, "w") as book:
        while not stopped:
            ids = [f"{PREFIX}{first + i}" for i in range(16)]
            while ids:
                left = []
                outcomes = ask(ids)
                for id, outcome in zip(ids, outcomes):
                    if outcome in ACKNOWLEDGED:
                        book.write(f"{id} {outcome}\n")
                    elif outcome == "in_progress" or outcome.startswith("HF"):
                        left.append(id)
                    else:
                        sys.exit(f"{id}: {outcome}")
                ids = left + ids[len(outcomes):]
                if ids:
                    time.sleep(0.005)
            first += 16


def with_redis_py():
    import redis

    client = redis.Redis(host="127.0.0.1", port=PORT, socket_timeout=10)

    def ask(ids):
        pipeline = client.pipeline(transaction=False)
        for id in ids:
            pipeline.execute_command("HF.RESERVE", id, 3600000, "books", 1)
        try:
            replies = pipeline.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            return []
        return [str(reply) if isinstance(reply, Exception) else reply[0].decode() for reply in replies]

    in_batches(ask)


def with_redis_cli():
    """redis-cli goes on with the next line when a connection breaks, so that an echo behind each order says whose reply it was."""

    def ask(ids):
        lines = "".join(f"HF.RESERVE {id} 3600000 books 1\nECHO {id}\n" for id in ids)
        found = subprocess.run(["redis-cli", "-p", str(PORT)], input=lines, capture_output=True, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
        block, outcomes = [], {}
        for line in found.stdout.split("\n"):
            if line in ids:
                whole = block and len(block) == (4 if block[0] == "ok" else 6)
                outcomes[line] = block[0] if whole else "in_progress"
                block = []
            elif line and not line.startswith("Error"):
                block.append(line)
        return [outcomes.get(id, "in_progress") for id in ids]

    in_batches(ask)


class Orders:
    """One client's orders over Wire, and what has become of them by its own books."""

    def __init__(self):
        self.seed = random.Random(PREFIX)
        self.wire = None
        self.sequence = 0  # of the last order acknowledged
        self.sent = 0

    def connect(self):
        while True:
            try:
                self.wire = Wire(port=PORT, timeout=10)
                while True:
                    reply = self.wire("HF.SESSION", PREFIX)
                    if not isinstance(reply, Error):
                        break
                    time.sleep(0.005)
                last = pairs(reply)["last"]
                if not self.sequence <= last <= self.sent:
                    sys.exit(f"{PREFIX}: it is told {last}; acknowledged {self.sequence}, sent {self.sent}")
                return last
            except (Closed, OSError):
                time.sleep(0.005)

    def ask(self, requests):
        """Sends requests with numbers self.sent + 1 on, and gives each one's outcome; over crashes, until all have one."""
        first, outcomes = self.sent + 1, []
        self.sent += len(requests)
        while len(outcomes) < len(requests):
            try:
                if self.wire is None:
                    last = self.connect()
                    if last < first + len(outcomes) - 1:
                        sys.exit(f"{PREFIX}: {last} is told, {first + len(outcomes) - 1} was acknowledged")
                    # What was applied but not acknowledged is asked again: by id, under a new number.
                    if last >= first + len(outcomes):
                        first = last + 1 - len(outcomes)
                        self.sent = last + len(requests) - len(outcomes)
                for request in requests[len(outcomes):]:
                    self.wire.send(b"".join(b"%s" % part for part in request))
                while len(outcomes) < len(requests):
                    reply = self.wire.reply()
                    if isinstance(reply, Error):
                        raise Closed(reply)
                    outcomes.append(fields(reply)["outcome"])
                    self.sequence = first + len(outcomes) - 1
            except (Closed, OSError):
                if self.wire:
                    self.wire.close()
                self.wire = None
        return outcomes


def with_wire():
    from common import encode

    orders, number = Orders(), 0
    with open(BOOK, "w") as book:
        while not stopped:
            count = orders.seed.randrange(1, 40)
            ids = [f"{PREFIX}{number + i}" for i in range(count)]
            number += count
            skus = ["books" if orders.seed.random() < 0.7 else "more" for _ in ids]
            lines = [(sku, 1) if orders.seed.random() < 0.8 else ("books", 1, "more", 1) for sku in skus]
            outcomes = orders.ask([(encode("HF.RESERVE", id, 3600000, *line),) for id, line in zip(ids, lines)])
            for id, outcome in zip(ids, outcomes):
                if outcome not in ACKNOWLEDGED + ("in_progress",):
                    sys.exit(f"{id}: {outcome}")
            ends = [(id, orders.seed.choice(("HF.CONFIRM", "HF.CANCEL", None))) for id in ids]
            ended = [(id, command) for id, command in ends if command]
            outcomes = orders.ask([(encode(command, id),) for id, command in ended])
            for (id, command), outcome in zip(ended, outcomes):
                if outcome not in ("ok", "already"):
                    sys.exit(f"{id}: {command} {outcome}")
            for id, command in ends:
                book.write(f"{id} {'confirmed' if command == 'HF.CONFIRM' else 'cancelled' if command else 'live'}\n")


{"redis-py": with_redis_py, "redis-cli": with_redis_cli, "wire": with_wire}[KIND]()
