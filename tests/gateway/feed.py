#!/usr/bin/env python3
"""HF.EVENTS: durable facts, in order, gap-free, resumable at any event, by reading, blocking and pushes."""

import threading

from common import *


def read_all(wire, start=0, *options):
    """Every event from `start` on, and where to go on."""
    events, position = [], start
    while True:
        reply = pairs(wire("HF.EVENTS", "FROM", position, *options))
        events += [pairs(event) for event in reply["events"]]
        position = reply["next"]
        if not reply["events"]:
            return events, position


def what_happened():
    for protocol in (2, 3):
        with Gateway() as gateway, gateway.connect(protocol=protocol) as wire:
            wire("HF.RECEIVE", "in", "apple", 10)
            reserved = wire.order("HF.RESERVE", "r", 60000, "USER", 7, "apple", 2)
            wire("HF.CONFIRM", "r")
            wire("HF.RESERVE", "c", 60000, "apple", 1)
            wire("HF.EXTEND", "c", 90000)
            wire("HF.CANCEL", "c")
            wire("HF.RESERVE", "e", 30, "apple", 3)
            wait_for(lambda: pairs(wire("HF.RESERVATION", "e"))["state"] == "expired")
            wire("HF.CONFIRM", "e")
            wire("HF.PURCHASE", "p", "apple", 1)
            wire("HF.ADJUST", "a", "apple", 5)
            wire("HF.COUNT", "k", "apple", 100)
            wire("HF.RESERVE", "no", 60000, "apple", 1000)  # refused: nothing happened
            events, _ = read_all(wire)
            found = [(e["event"], e["id"]) for e in events if e["event"] != "returned"]
            same(found, [("received", "in"), ("reserved", "r"), ("confirmed", "r"), ("reserved", "c"), ("extended", "c"),
                         ("cancelled", "c"), ("reserved", "e"), ("expired", "e"), ("confirmed_late", "e"), ("purchased", "p"),
                         ("adjusted", "a"), ("counted", "k")], "the story")
            by_name = {e["event"]: e for e in events}
            same((by_name["received"]["lines"], by_name["confirmed"]["lines"]),
                 ([["apple", 10, 10, 0, 1]], [["apple", 2, -2, -2, 3]]), "lines: sku, quantity, changes, version")
            first = next(e for e in events if e["id"] == "r")
            same((first["deadline"], first["user"], first["part"]), (reserved["deadline"], "7", "whole"), "of the reserve")
            versions = [line[4] for e in events for line in e["lines"]]
            same(versions, list(range(1, len(versions) + 1)), "every step of the SKU, without a gap")
            stock = pairs(wire("HF.STOCK", "apple")[0])
            same((sum(line[2] for e in events for line in e["lines"]), sum(line[3] for e in events for line in e["lines"])),
                 (stock["on_hand"], stock["reserved"]), "the changes add up")


def resumable_at_every_event():
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect() as other:
        wire("HF.RECEIVE", "in", "apple", 10000)
        for _ in range(20):
            wire.pipeline(*(("HF.PURCHASE", f"p{random.random()}", "apple", 1) for _ in range(random.randrange(1, 30))))
        events, end = read_all(wire)
        same(events, read_all(other, 0, "COUNT", 1)[0], "one at a time")
        same(events, read_all(other, 0, "COUNT", 7)[0], "seven at a time")
        for i in random.sample(range(len(events)), 25):
            found, _ = read_all(other, events[i]["at"])
            same(found, events[i:], f"from {events[i]['at']}")
        epoch = int(events[len(events) // 2]["at"].split("-")[0])
        found, _ = read_all(other, epoch)
        same(found, [e for e in events if int(e["at"].split("-")[0]) >= epoch], "from an epoch")
        same(read_all(other, end)[0], [], "nothing new")
        gateway.kill()
        with Gateway(directory=gateway.directory) as again, again.connect() as wire:
            same(read_all(wire)[0], events, "the same places after a crash")
            wire("HF.RECEIVE", "more", "apple", 1)
            found, _ = read_all(wire, end)
            same([e["id"] for e in found], ["more"], "and it goes on")


def prefixes():
    with Gateway() as gateway, gateway.connect() as wire:
        for i, sku in enumerate(("a:1", "b:1", "a:2", "b:2")):
            wire("HF.RECEIVE", f"in{i}", sku, 10)
        wire("HF.PURCHASE", "p", "a:1", 1, "b:1", 2)
        events, _ = read_all(wire, 0, "SKU", "b:")
        same([(e["id"], [line[0] for line in e["lines"]]) for e in events],
             [("in1", ["b:1"]), ("in3", ["b:2"]), ("p", ["b:1"])], "of b: alone")
        same(read_all(wire, 0, "SKU", "c")[0], [], "of nothing")


def blocking():
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect() as writer:
        begin = time.monotonic()
        reply = pairs(wire("HF.EVENTS", "FROM", "$", "BLOCK", 200))
        same(reply["events"], [], "nothing happened")
        check(time.monotonic() - begin >= 0.19, "it waited")
        wire.send(encode("HF.EVENTS", "FROM", reply["next"], "BLOCK", 0) + encode("PING", "behind"))
        time.sleep(0.1)
        writer("HF.RECEIVE", "in", "apple", 1)
        same([pairs(e)["id"] for e in pairs(wire.reply())["events"]], ["in"], "woken")
        same(wire.reply(), "behind", "what came behind waited")
        with gateway.connect() as gone:  # a blocked reader that goes away
            gone.send(encode("HF.EVENTS", "FROM", "$", "BLOCK", 0))
            time.sleep(0.1)
        wait_for(lambda: info(wire)["feeds"] == "1")
        wire.send(encode("HF.EVENTS", "FROM", "$", "BLOCK", 0))
        time.sleep(0.05)
        gateway.stop()
        same(pairs(wire.reply())["events"], [], "a stop answers who waits")
        check(wire.ended(), "and closes")


def pushed():
    with Gateway(threads=2) as gateway, gateway.connect(protocol=3) as wire, gateway.connect() as writer:
        refused(writer("HF.EVENTS", "FROM", 0, "PUSH"), "HFARG", "needs RESP3")
        refused(wire("HF.EVENTS", "FROM", 0, "PUSH", "BLOCK", 5), "HFARG")
        same(wire("HF.EVENTS", "FROM", 0, "PUSH"), "OK", "subscribed")
        refused(wire("HF.EVENTS", "FROM", 0), "HFARG", "STOP first")
        stop, written = threading.Event(), []

        def write():
            writer("HF.RECEIVE", "in", "apple", 1 << 30)
            for i in range(2000):
                writer.pipeline(*(("HF.PURCHASE", f"p{i}-{k}", "apple", 1) for k in range(10)))
                written.append(i)
                if stop.is_set():
                    return

        thread = threading.Thread(target=write)
        thread.start()
        versions, position = [], None
        while len(versions) < 3000:
            push = wire.push()
            if push[0] == "hf.event":
                versions.append(push[1]["lines"][0][4])
                position = push[1]["at"]
            if len(versions) % 500 == 0:
                same(wire("PING"), "PONG", "other commands go on")
        stop.set()
        thread.join()
        same(versions, list(range(1, len(versions) + 1)), "each event once, in order")
        same(wire("HF.EVENTS", "STOP"), "OK", "STOP")
        wire.pushes.clear()
        same(wire("PING"), "PONG", "PING")
        events, _ = read_all(wire, position)
        same([e["lines"][0][4] for e in events][:1], versions[-1:], "resumed by reading where pushes ended")
        same(len(events) + len(versions) - 1, 10 * len(written) + 1, "nothing is missing")


def limits():
    with Gateway(max_feeds=2) as gateway:
        wires = [gateway.connect() for _ in range(3)]
        for wire in wires[:2]:
            wire("HF.EVENTS", "FROM", 0)
        refused(wires[2]("HF.EVENTS", "FROM", 0), "HFLIMIT", "max-feeds")
        wires[0].close()
        wait_for(lambda: not isinstance(wires[2]("HF.EVENTS", "FROM", 0), Error))
        wires[1]("HF.EVENTS", "STOP")
        same(info(wires[2])["feeds"], "1", "STOP gives its place back")


def old_log_is_gone():
    """After checkpoints the oldest epochs are no longer kept, and that is said."""
    with Gateway(segment_bytes=1 << 20, checkpoint_bytes=1 << 20) as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 1 << 30)

        def gone():
            wire.pipeline(*(("HF.PURCHASE", f"p{random.random()}", "apple", 1) for _ in range(3000)))
            reply = wire("HF.EVENTS", "FROM", 1)
            return isinstance(reply, Error) and reply

        refused(wait_for(gone, 60), "HFGONE", "no longer kept")
        oldest = pairs(wire("HF.EVENTS", "FROM", 0, "COUNT", 1))["events"][0]
        check(int(pairs(oldest)["at"].split("-")[0]) > 1, "0 is the oldest kept")


def pushes_end_with_the_protocol():
    """RESP2 knows no pushes: none comes behind HELLO 2, where it would be taken for a reply."""
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect() as other:
        wire("HELLO", 3)
        wire("HF.EVENTS", "FROM", "$", "SKU", "nothing", "PUSH")
        wire("HELLO", 2)
        until = time.monotonic() + 1.5  # positions are told once a second
        while time.monotonic() < until:
            other.order("HF.RECEIVE", f"r{random.random()}", "apple", 1)
        same(wire("PING"), "PONG", "the reply of the request before it")
        same(info(other)["feeds"], "0", "it has ended")


main(pushes_end_with_the_protocol, what_happened, resumable_at_every_event, prefixes, blocking, pushed, limits, old_log_is_gone)
