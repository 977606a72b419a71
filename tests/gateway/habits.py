#!/usr/bin/env python3
"""The habits of an order gateway: named sessions, acknowledgement, cancel-on-disconnect, kill switch, mass cancel, throttle,
heartbeat, idle limit."""

from common import *


def sessions_tell_the_last_number():
    with Gateway() as gateway:
        with gateway.connect() as wire:
            same(wire("HF.SESSION"), None, "none yet")
            same(pairs(wire("HF.SESSION", "till-1")), {"session": "till-1", "last": 0}, "a new name")
            wire("HF.RECEIVE", "in", "apple", 10)  # number 1
            same(wire("HF.SEQ", 7), "OK", "SEQ")
            wire("HF.RESERVE", "a", 60000, "apple", 1)  # 7
            wire("HF.RESERVE", "b", 60000, "apple", 100)  # 8: refused, and answered
            refused(wire("HF.SEQ", 8), "HFSEQ", "expected more than 8")
            same(pairs(wire("HF.SESSION"))["last"], 8, "the last one")
            refused(wire("HF.RECEIVE", "big", "apple", (1 << 39) - 1), "HFRANGE")  # 9: nothing of it is kept
            same(pairs(wire("HF.SESSION"))["last"], 8, "an error was not applied")
            same(wire("HF.SEQ", 100), "OK", "SEQ")
            same(pairs(wire("HF.SESSION"))["last"], 8, "nor was a number that no order had")
        with gateway.connect() as wire:
            found = wait_for(lambda: not isinstance(wire("HF.SESSION", "till-1"), Error) and wire("HF.SESSION"))
            same(pairs(found)["last"], 8, "after a reconnect")
            with gateway.connect() as other:
                same(pairs(other("HF.SESSION", "till-2"))["last"], 0, "another name")
                refused(other("HF.SESSION", "till-1"), "HFBUSY", "is open on connection")
                refused(other("HF.SESSION", "till-1", "TAKEOVER"), "HFBUSY", "is being closed")
                check(wire.ended(), "the old connection is closed")
                wait_for(lambda: not isinstance(other("HF.SESSION", "till-1"), Error))
                same(pairs(other("HF.SESSION"))["last"], 8, "taken over")
        gateway.kill()
        with Gateway(directory=gateway.directory) as gateway, gateway.connect() as wire:
            same(pairs(wire("HF.SESSION", "till-1"))["last"], 8, "after a crash")
            same(wire.order("HF.RESERVE", "c", 60000, "apple", 1)["outcome"], "ok", "it goes on")
            same(pairs(wire("HF.SESSION"))["last"], 9, "with the next number")
            wire("RESET")
            same(wire("HF.SESSION"), None, "RESET leaves the session")


def sessions_are_limited():
    with Gateway(max_named_sessions=2) as gateway, gateway.connect() as a, gateway.connect() as b, gateway.connect() as c:
        a("HF.SESSION", "a")
        b("HF.SESSION", "b")
        refused(c("HF.SESSION", "c"), "HFLIMIT", "max-named-sessions")
        b("RESET")
        same(pairs(c("HF.SESSION", "c"))["last"], 0, "there is room again")


def acknowledged_now():
    """With a log writer that waits a second for company, only HF.ACK NOW is answered at once."""
    with Gateway(batch_delay_us=700000) as gateway, gateway.connect() as wire, gateway.connect() as now:
        same(now("HF.ACK", "NOW"), "OK", "ACK")
        begin = time.monotonic()
        ticket = now.order("HF.RECEIVE", "a", "apple", 1)["ticket"]
        quick = time.monotonic() - begin
        check(int(info(now)["durable"]) < ticket, "answered before it was durable")
        begin = time.monotonic()
        ticket = wire.order("HF.RECEIVE", "b", "apple", 1)["ticket"]
        check(time.monotonic() - begin > quick, "the other waited")
        check(int(info(wire)["durable"]) >= ticket, "and is durable")
        same(wire("PING"), "PONG", "PING needs no log")


def cancel_on_disconnect():
    with Gateway() as gateway, gateway.connect() as watcher:
        watcher("HF.RECEIVE", "in", "apple", 1000)

        def reserved():
            return pairs(watcher("HF.STOCK", "apple")[0])["reserved"]

        with gateway.connect() as wire:
            same(pairs(wire("HF.CANCELONDISCONNECT", "ON"))["cancel_on_disconnect"], "on", "on")
            replies = wire.pipeline(*(("HF.RESERVE", f"r{i}", 600000, "apple", 1) for i in range(700)))
            check(all(fields(r)["outcome"] == "ok" for r in replies), "700 reservations")
            wire("HF.CONFIRM", "r0")
            wire("HF.CANCEL", "r1")
            same(pairs(wire("HF.CANCELONDISCONNECT"))["reservations"], 698, "those that are its own")
            same(reserved(), 698, "reserved")
        wait_for(lambda: reserved() == 0)
        same(pairs(watcher("HF.RESERVATION", "r0"))["state"], "confirmed", "what was confirmed stays")
        same(pairs(watcher("HF.RESERVATION", "r5"))["state"], "cancelled", "the others are cancelled")
        with gateway.connect() as wire:
            wire("HF.CANCELONDISCONNECT", "ON")
            wire("HF.RESERVE", "kept", 600000, "apple", 1)
            wire("HF.CANCELONDISCONNECT", "OFF")
        with gateway.connect() as wire:  # a reservation that outlives its connection
            wire("PING")
        same(reserved(), 1, "OFF: it stays")
    with Gateway(max_cancel_ids=300) as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 1000)
        wire("HF.CANCELONDISCONNECT", "ON")
        replies = wire.pipeline(*(("HF.RESERVE", f"r{i}", 600000, "apple", 1) for i in range(400)))
        refused(replies[-1], "HFLIMIT", "max-cancel-ids")
        done = sum(not isinstance(reply, Error) for reply in replies)
        check(0 < done <= 300, "reserved", done)
        with gateway.connect() as other:  # ends elsewhere: forgotten when room is needed
            other.pipeline(*(("HF.CANCEL", f"r{i}") for i in range(done)))
        same(wire.order("HF.RESERVE", "again", 600000, "apple", 1)["outcome"], "ok", "room again")


def kill_switch():
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect() as other:
        wire("HF.RECEIVE", "in", "apple", 10)
        wire("HF.RESERVE", "a", 600000, "apple", 2)
        wire("HF.RESERVE", "b", 600000, "apple", 2)
        same(pairs(wire("HF.KILL")), {"kill": "off"}, "off")
        same(pairs(wire("HF.KILL", "ON")), {"kill": "on"}, "on")
        refused(other("HF.RESERVE", "c", 600000, "apple", 1), "HFKILLED")
        refused(other("HF.PURCHASE", "d", "apple", 1), "HFKILLED")
        for words in (("HF.CONFIRM", "a"), ("HF.CANCEL", "b"), ("HF.RECEIVE", "in2", "apple", 1), ("HF.ADJUST", "x", "apple", -1)):
            same(other.order(*words)["outcome"], "ok", f"{words[0]} still works")
        gateway.kill()
        with Gateway(directory=gateway.directory) as again, again.connect() as wire:
            refused(wire("HF.RESERVE", "c", 600000, "apple", 1), "HFKILLED")
            same(pairs(wire("HF.KILL", "OFF")), {"kill": "off"}, "off again")
            same(wire.order("HF.RESERVE", "c", 600000, "apple", 1)["outcome"], "ok", "orders go on")
        with Gateway(directory=gateway.directory) as again, again.connect() as wire:
            same(pairs(wire("HF.KILL")), {"kill": "off"}, "off after a restart too")


def mass_cancel():
    with Gateway(threads=2) as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 10000)
        wire.pipeline(*(("HF.RESERVE", f"r{i}", 600000, "USER", ["ann", "bob", "7"][i % 3], "apple", 1) for i in range(3000)))
        reply = pairs(wire("HF.CANCELUSER", "ann"))
        same((reply["found"], reply["cancelled"]), (1000, 1000), "ann's")
        same(pairs(wire("HF.STOCK", "apple")[0])["reserved"], 2000, "the others' stay")
        same(pairs(wire("HF.CANCELUSER", "ann"))["found"], 0, "again")
        # Two connections at once, and orders of both users going on meanwhile.
        with gateway.connect() as other:
            wire.send(encode("HF.CANCELUSER", "bob") + encode("PING", "behind"))
            other.send(encode("HF.CANCELUSER", 7) + encode("HF.RESERVE", "new", 600000, "USER", "eve", "apple", 1))
            first, second = pairs(wire.reply()), pairs(other.reply())
            same((first["cancelled"], second["cancelled"]), (1000, 1000), "bob's and 7's")
            same(wire.reply(), "behind", "what came behind waited")
            same(fields(other.reply())["outcome"], "ok", "and was done")
        same(pairs(wire("HF.STOCK", "apple")[0])["reserved"], 1, "eve's")


def throttle():
    with Gateway(throttle_per_second=1000, throttle_burst=10, throttle_mode="refuse") as gateway, gateway.connect() as wire:
        replies = wire.pipeline(*(("HF.CONFIRM", f"n{i}") for i in range(200)))
        check(all(not isinstance(r, Error) for r in replies[:10]), "the burst passes")
        refused(next(r for r in replies if isinstance(r, Error)), "HFTHROTTLED", "1000 orders a second")
        same(pairs(wire("HF.THROTTLE"))["orders_per_second"], 1000, "told")
        refused(wire("HF.THROTTLE", 5000), "NOPERM")
        same(pairs(wire("HF.THROTTLE", 100, "BURST", 1, "QUEUE"))["mode"], "queue", "tightened")
        begin = time.monotonic()
        replies = wire.pipeline(*(("HF.CONFIRM", f"n{i}") for i in range(20)), ("PING",))
        check(all(not isinstance(r, Error) for r in replies), "none is refused", replies)
        check(time.monotonic() - begin > 0.15, "they wait")  # 19 of 10 ms: never sooner
        same(replies[-1], "PONG", "in order")
        check(int(info(wire)["throttled"]) > 0, "it is counted")
        same(wire("HF.STOCK", "x"), [None], "reads are not throttled")
    with Gateway() as gateway, gateway.connect() as wire:  # no throttle but one's own
        same(pairs(wire("HF.THROTTLE"))["orders_per_second"], 0, "none")
        same(pairs(wire("HF.THROTTLE", 1, "REFUSE"))["burst"], 1, "one a second")
        same(wire.order("HF.CONFIRM", "x")["outcome"], "not_found", "the first")
        refused(wire("HF.CONFIRM", "x"), "HFTHROTTLED")
        same(pairs(wire("HF.THROTTLE", 0))["orders_per_second"], 0, "back to none")
        same(wire.order("HF.CONFIRM", "x")["outcome"], "not_found", "free again")


def heartbeat_and_idle():
    with Gateway() as gateway, gateway.connect(protocol=3) as wire, gateway.connect() as silent, gateway.connect() as idle:
        same(pairs(silent("HF.HEARTBEAT", 300)), {"heartbeat_ms": 300}, "silent")
        same(wire("HF.HEARTBEAT", 1000), {"heartbeat_ms": 1000}, "RESP3")
        for _ in range(2):
            push = wire.push()
            same((push[0], isinstance(push[1], int)), ("hf.heartbeat", True), "a heartbeat")
            same(wire("PING"), "PONG", "answered")
        check(silent.ended(), "who falls silent is closed")
        same(idle("PING"), "PONG", "who promised nothing stays")
        check(info(idle)["ended_heartbeat"] == "1", "it is counted")
        with gateway.connect() as reader:  # who waits for an answer is not silent: its time begins anew behind that
            reader("HF.HEARTBEAT", 250)
            begin = time.monotonic()
            reader("HF.EVENTS", "FROM", "$", "BLOCK", 1000)
            check(reader.ended() and time.monotonic() - begin >= 1.49, "closed 500 ms after the answer, not at once")
    with Gateway(idle_timeout_ms=300) as gateway, gateway.connect() as wire, gateway.connect() as busy:
        while not wait_ended(wire, 0.05):
            same(busy("PING"), "PONG", "who says something stays")
        same(info(busy)["ended_idle"], "1", "it is counted")


def wait_ended(wire, seconds):
    wire.socket.settimeout(seconds)
    try:
        return wire.socket.recv(1) == b""
    except (TimeoutError, socket.timeout):
        return False


main(sessions_tell_the_last_number, sessions_are_limited, acknowledged_now, cancel_on_disconnect, kill_switch, mass_cancel,
     throttle, heartbeat_and_idle)
