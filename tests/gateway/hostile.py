#!/usr/bin/env python3
"""Connections as they come: cut anywhere, broken, slow, half-open, silent, greedy, and very many."""

import resource
import struct
import threading

from common import *


def cut_at_every_byte():
    """A pipeline that is cut in two at each byte does the same as in one piece."""
    with Gateway() as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 1 << 30)

        def requests(i):
            return (encode("HF.RESERVE", f"r{i}", 600000, "USER", "ann", "apple", 2) + encode("PING", f"p{i}") +
                    b'HF.CONFIRM "r%d"\r\n' % i + encode("HF.STOCK", "apple") + b"ECHO 'a b'\r\n")

        length = len(requests(1000))
        for cut in range(1, length):
            data = requests(1000 + cut)
            check(len(data) == length, "one length")
            wire.send(data[:cut])
            wire.send(data[cut:])
            same(fields(wire.reply())["outcome"], "ok", f"cut at {cut}: reserve")
            same(wire.reply(), f"p{1000 + cut}", f"cut at {cut}: ping")
            same(fields(wire.reply())["outcome"], "ok", f"cut at {cut}: confirm")
            same(pairs(wire.reply()[0])["reserved"], 0, f"cut at {cut}: stock")
            same(wire.reply(), "a b", f"cut at {cut}: echo")
        # Byte by byte, and with whole requests larger than any one read.
        for byte in requests(9999):
            wire.send(bytes([byte]))
        same([wire.reply() is not None for _ in range(5)], [True] * 5, "byte by byte")
        big = encode("HF.PURCHASE", "big", *(word for i in range(4096) for word in (f"{'n' * 200}{i}", 1)))
        for at in range(0, len(big), 50000):
            wire.send(big[at:at + 50000])
            time.sleep(0.002)
        same(fields(wire.reply())["outcome"], "unknown_sku", "an order of a megabyte")


def broken():
    with Gateway() as gateway, gateway.connect() as watcher:
        for data, part in ((b"*x\r\n", "number of arguments"), (b"*1\r\n:1\r\n", "expected '$'"), (b"*1\r\n$-5\r\n", "length"),
                           (b"*1\r\n$1\r\nab\r\n", "line end"), (b"*1000000000\r\n", "max-arguments"),
                           (b"*1\r\n$100000000\r\n", "max-argument-bytes"), (b"x" * 100000, "max-inline-bytes"),
                           (b"*" + b"1" * 100, "number of arguments"), (b"GET \"\r\n", "quotes")):
            with gateway.connect() as wire:
                wire.send(encode("PING", "before") + data)
                same(wire.reply(), "before", "what was whole is answered")
                refused(wire.reply(), "ERR", "Protocol error", part)
                check(wire.ended(), "then it is closed", data[:20])
        with gateway.connect() as wire:  # a browser
            wire.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nHF.KILL ON\r\n")
            refused(wire.reply(), "ERR", "no HTTP")
            check(wire.ended(), "closed")
        same(pairs(watcher("HF.KILL"))["kill"], "off", "nothing of its body was done")
        random_bytes = random.Random(SEED)
        for _ in range(60):
            with gateway.connect() as wire:
                data = bytes(random_bytes.choice(b"*$\r\n0123456789PINGabc \"'\xff\0") for _ in range(300))
                with contextlib.suppress(OSError):
                    wire.send(data)
                    wire.socket.shutdown(socket.SHUT_WR)
                    while wire.socket.recv(65536):
                        pass
        same(watcher("PING"), "PONG", "it lives")


def half_open():
    with Gateway() as gateway, gateway.connect() as watcher:
        wire = gateway.connect()  # sends, closes its half, and still is answered
        wire.send(encode("HF.RECEIVE", "in", "apple", 5) + encode("HF.STOCK", "apple") + b"*1\r\n$4\r\nPI")
        wire.socket.shutdown(socket.SHUT_WR)
        same(fields(wire.reply())["outcome"], "ok", "answered")
        same(pairs(wire.reply()[0])["on_hand"], 5, "all of it")
        check(wire.ended(), "then closed")
        wire = gateway.connect()  # also where another thread has to look something up
        wire.send(encode("HF.RECEIVE", "more", "apple", 1) + encode("HF.CANCELUSER", 7))
        wire.socket.shutdown(socket.SHUT_WR)
        same(fields(wire.reply())["outcome"], "ok", "answered before the job")
        check(not isinstance(wire.reply(), Error), "the job's answer")
        check(wire.ended(), "then closed")
        for _ in range(50):  # resets in the middle of everything
            wire = gateway.connect()
            wire.send(encode("HF.RECEIVE", f"x{random.random()}", "pear", 1) * 1 + b"*2\r\n$4\r\nEC")
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        wait_for(lambda: info(watcher)["connected_clients"] == "1")


def slow_readers():
    with Gateway(output_pause_bytes=65536, output_limit_bytes=1 << 20, slow_reader_ms=500) as gateway:
        with gateway.connect() as watcher, gateway.connect() as wire:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.socket.settimeout(5)
            with contextlib.suppress(OSError):  # sends and never reads
                for _ in range(4000):
                    wire.send(encode("ECHO", "x" * 30000))
            wait_for(lambda: info(watcher)["ended_slow_reader"] == "1")
            check(int(info(watcher)["output_full"]) > 0, "it was not read while its output was full")
            wire.close()
        with gateway.connect() as watcher, gateway.connect() as wire:  # slow, but it reads
            wire.send(b"".join(encode("ECHO", "y" * 20000) for _ in range(100)))
            for _ in range(100):
                same(len(wire.reply()), 20000, "all of it comes")
            with gateway.connect() as greedy:  # one reply beyond the limit
                greedy.send(encode("HF.STOCK", *["z" * 255] * 4000))
                same(len(greedy.reply()), 4000, "much is all right")


def silent_before_login():
    config = "user ann hash %s classes read\n" % make_hash("secret")
    with Gateway(config=config, login_timeout_ms=3000, max_before_login=20) as gateway:
        silent = [gateway.connect() for _ in range(20)]
        late = gateway.connect()
        refused(late.value(), "HFLIMIT", "max-before-login")
        check(late.ended(), "one too many")
        for wire in silent:
            check(wire.ended(), "who does not log in is closed")
        with gateway.connect() as wire:
            same(wire("AUTH", "ann", "secret"), "OK", "room again")
            time.sleep(3.2)
            same(wire("PING"), "PONG", "who has logged in stays")
        with gateway.connect() as wire:  # little is believed before a login
            wire.send(b"*11\r\n")
            refused(wire.reply(), "ERR", "before a login")
            check(wire.ended(), "closed")
        with gateway.connect() as wire:
            wire.send(b"*2\r\n$4\r\nAUTH\r\n$100000\r\n")
            refused(wire.reply(), "ERR", "before a login")
            check(wire.ended(), "closed")


def greedy_before_login():
    """Who has not logged in and takes no reply keeps little memory: it is no longer read."""
    config = "user boss hash %s classes read,admin\n" % make_hash("secret")
    with Gateway(config=config, login_timeout_ms=60000, slow_reader_ms=60000) as gateway, gateway.connect() as boss:
        same(boss("AUTH", "boss", "secret"), "OK", "AUTH")
        with socket.socket() as greedy:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.connect(("127.0.0.1", gateway.port))
            greedy.settimeout(0.2)
            stop = threading.Event()

            def send():
                while not stop.is_set():
                    with contextlib.suppress(TimeoutError, ConnectionError):
                        greedy.send(b"X\r\n" * 20000)

            thread = threading.Thread(target=send)
            thread.start()
            try:
                id = boss("CLIENT", "ID") + 1
                found = wait_for(lambda: (line := client(boss, id)) and int(line["idle"]) > 0 and int(line["omem"]) > 8192 and line)
                check(int(found["omem"]) < 20000, "unsent output of who is no longer read", found)
            finally:
                stop.set()
                thread.join()


def make_hash(password):
    return subprocess.run([HOLDFAST, "serve", "--make-hash"], input=password + "\n", capture_output=True, text=True,
                          check=True).stdout.strip()


def thousand_connections():
    with Gateway(threads=2) as gateway, gateway.connect() as watcher:
        watcher("HF.RECEIVE", "in", "apple", 1 << 30)
        resident = int(info(watcher)["used_memory_rss"])
        wires = [gateway.connect() for _ in range(1000)]
        for i, wire in enumerate(wires):
            wire.send(encode("HF.RESERVE", f"r{i}", 600000, "apple", 1) + encode("PING"))
        for wire in wires:
            same(fields(wire.reply())["outcome"], "ok", "reserve")
            same(wire.reply(), "PONG", "ping")
        found = info(watcher)
        same(found["connected_clients"], "1001", "connected")
        same(pairs(watcher("HF.STOCK", "apple")[0])["reserved"], 1000, "each of them reserved one")
        grown = int(found["used_memory_rss"]) - resident
        check(grown < 1000 * 40000 * SLOW, "memory for a thousand connections", grown)
        same(len(watcher("CLIENT", "LIST").splitlines()), 1001, "listed")
        for wire in wires:
            wire.close()
        wait_for(lambda: info(watcher)["connected_clients"] == "1")


def too_many_connections():
    with Gateway(max_connections=10) as gateway:
        wires = [gateway.connect() for _ in range(10)]
        for wire in wires:
            same(wire("PING"), "PONG", "within the limit")
        with gateway.connect() as late:
            refused(late.value(), "HFLIMIT", "max-connections")
            check(late.ended(), "one too many")
        same(info(wires[0])["rejected_connections"], "1", "it is counted")
        wires[1].close()

        def again():
            with gateway.connect() as wire, contextlib.suppress(Closed, OSError):
                return wire("PING") == "PONG"

        wait_for(again)


def few_files():
    """Where few files may be open, fewer connections are taken, and the log always finds one for its next segment."""
    with Gateway(files=260, segment_bytes=1 << 20, threads=1) as gateway, gateway.connect() as wire:
        check(gateway.events("few_files"), "it is told")
        most = int(pairs(wire("CONFIG", "GET", "max-connections"))["max-connections"])
        check(10 < most < 260, "fewer", most)
        wires = [gateway.connect() for _ in range(most - 1)]
        for other in wires:
            same(other("PING"), "PONG", "within the limit")
        idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(300)]
        wait_for(lambda: info(wire)["rejected_connections"] == "300")
        for i, other in enumerate(wires[:64]):
            check(not isinstance(other("HF.EVENTS", "FROM", 0), Error), "with as many feeds as may be", i)
        names = [f"sku-{i}" for i in range(300)]
        wire.pipeline(*(("HF.RECEIVE", f"in-{name}", name, 1 << 20) for name in names))
        lines = [word for name in names for word in (name, 1)]
        for i in range(10):
            replies = wire.pipeline(*(("HF.PURCHASE", f"p{i}-{k}", *lines) for k in range(100)))
            same({fields(reply)["outcome"] for reply in replies}, {"ok"}, "purchases")
        check(int(info(wire)["segments"]) > 2, "one segment held all of it: this test does not test")
        for other in idle + wires:
            other.close()


def no_file_to_accept_with():
    """Whoever cannot be accepted for want of a file waits, and is accepted once there is one."""
    with Gateway(threads=1) as gateway:
        pid, before = gateway.process.pid, resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
        wires = [gateway.connect() for _ in range(40)]
        wait_for(lambda: gateway.events("accept_failed"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for wire in wires:
            same(wire("PING"), "PONG", "accepted in the end")


def full_rings():
    """With the smallest ring, long pipelines of large orders wait for room, in order, and nothing is lost or doubled."""
    with Gateway(ring_bytes=524288, batch_delay_us=200000 if SLOW == 1 else 1000000) as gateway, gateway.connect() as wire:
        names = [f"sku-{i}" for i in range(300)]
        wire.pipeline(*(("HF.RECEIVE", f"in-{name}", name, 1000) for name in names))
        lines = [word for name in names for word in (name, 1)]
        requests = [("HF.RESERVE", f"r{i}", 600000, *lines) for i in range(900)]
        data, replies = b"".join(encode(*request) for request in requests), []
        thread = threading.Thread(target=wire.send, args=(data,))
        thread.start()
        for _ in requests:
            replies.append(fields(wire.reply())["outcome"])
        thread.join()
        same(set(replies), {"ok"}, "all of them, once")
        check(int(info(wire)["ring_full"]) > 0, "the ring was never full: this test does not test")
        same({pairs(s)["reserved"] for s in wire("HF.STOCK", *names)}, {900}, "reserved")
        wire.send(b"".join(b"HF.CONFIRM r%d\r\n" % i for i in range(900)))  # inline, they too wait
        same({fields(wire.reply())["outcome"] for _ in range(900)}, {"ok"}, "confirmed")
        same({pairs(s)["on_hand"] for s in wire("HF.STOCK", *names)}, {100}, "on hand")


main(cut_at_every_byte, broken, half_open, slow_readers, silent_before_login, greedy_before_login, thousand_connections, too_many_connections,
     few_files, no_file_to_accept_with, full_rings)
