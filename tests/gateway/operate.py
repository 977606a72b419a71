#!/usr/bin/env python3
"""What people who operate it need: metrics, holdfast top, readiness, log lines, a stop that drains, and a disk that fails."""

import json
import re
import urllib.error
import urllib.request

from common import *


def fetch(port, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics():
    with Gateway(metrics_listen="127.0.0.1:0") as gateway, gateway.connect() as wire:
        port = gateway.ports["metrics"]
        wire("HF.RECEIVE", "in", "apple", 10)
        for i in range(20):
            wire("HF.RESERVE", f"r{i}", 600000, "apple", 1)
        wire("HF.RESERVE", "bad", 0, "apple", 1)
        status, body = fetch(port, "/metrics")
        same(status, 200, "/metrics")
        values, types = {}, {}
        for line in body.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                check(name not in types, "a metric twice", name)
                types[name] = kind
            elif not line.startswith("#"):
                check(re.fullmatch(r'[a-z_0-9]+(\{[a-z]+="[^"]+"\})? [0-9.e+-]+', line), "not a sample", line)
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        for name, expected in (('holdfast_gateway_commands_total{command="hf.reserve"}', 21),
                               ('holdfast_gateway_outcomes_total{outcome="out_of_stock"}', 10),
                               ('holdfast_gateway_errors_total{prefix="HFARG"}', 1), ("holdfast_gateway_connections", 1),
                               ("holdfast_live", 10), ("holdfast_skus", 1), ("holdfast_gateway_orders_total", 21),
                               ("holdfast_gateway_poisoned", 0)):
            same(values[name], expected, name)
        for name in ("holdfast_wheel_lag_ms", "holdfast_ring_fill", "holdfast_epoch_age", "holdfast_memory_bytes",
                     "holdfast_gateway_feeds_limit", "holdfast_gateway_connections_limit"):
            check(name in values, "no metric", name)
        buckets = [value for name, value in values.items() if name.startswith("holdfast_gateway_acknowledged_seconds_bucket")]
        check(buckets == sorted(buckets) and buckets[-1] == values["holdfast_gateway_acknowledged_seconds_count"] > 0,
              "the histogram")
        same(fetch(port, "/health"), (200, "ok\n"), "/health")
        same(fetch(port, "/")[0], 404, "/")
        same(fetch(port, "/metrics", "HEAD"), (200, ""), "HEAD")
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET /metrics HTTP/1.1\r\n" + b"x" * 10000)
            raw.settimeout(20)
            with contextlib.suppress(ConnectionError):
                check(len(raw.recv(100)) == 0, "a request that is too long is closed")
        with socket.create_connection(("127.0.0.1", port)) as raw:
            for part in (b"GE", b"T /health HT", b"TP/1.1\r\nHost: x\r\n", b"\r\n"):
                raw.sendall(part)
                time.sleep(0.02)
            check(raw.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n"), "in pieces")


def top():
    with Gateway() as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 10)
        found = subprocess.run([HOLDFAST, "top", "--connect", f"127.0.0.1:{gateway.port}", "--once"], capture_output=True,
                               text=True)
        same(found.returncode, 0, found.stderr)
        lines = dict(line.split(" ", 1) for line in found.stdout.splitlines())
        same((lines["skus"], lines["kill"], lines["poisoned"]), ("1", "off", "no"), "figures")
        check(float(lines["orders_per_second"]) == 0, "a rate", lines["orders_per_second"])
        live = subprocess.Popen([HOLDFAST, "top", "--connect", f"127.0.0.1:{gateway.port}"], stdout=subprocess.PIPE)
        time.sleep(1.5)
        live.send_signal(signal.SIGINT)
        same(live.wait(20), 0, "top ends by SIGINT")
        check(b"holdfast top" in live.stdout.read(), "the screen")
    found = subprocess.run([HOLDFAST, "top", "--connect", "127.0.0.1:1"], capture_output=True, text=True)
    same(found.returncode, 3, "nobody there")
    password = os.path.join(WORK, "top-password")
    with open(password, "w") as file:
        file.write("secret\n")
    os.chmod(password, 0o600)
    with Gateway(password_file=password) as gateway:
        where = ["--connect", f"127.0.0.1:{gateway.port}", "--once"]
        found = subprocess.run([HOLDFAST, "top", *where], capture_output=True, text=True)
        same((found.returncode, "NOAUTH" in found.stderr), (1, True), "without the password")
        found = subprocess.run([HOLDFAST, "top", *where, "--password-file", password], capture_output=True, text=True)
        same(found.returncode, 0, found.stderr)


def readiness():
    path = os.path.join(WORK, "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(30)
        with Gateway(env={"NOTIFY_SOCKET": path}) as gateway:
            same(systemd.recv(100), b"READY=1", "ready")
            with gateway.connect() as wire:
                same(wire("PING"), "PONG", "it is")
        same(systemd.recv(100), b"STOPPING=1", "stopping")


def log_lines():
    with Gateway(log_format="json", log_level="debug", ready=False) as gateway:
        wait_for(lambda: any('"event":"ready"' in line for line in gateway.lines()))
        port = next(json.loads(line)["address"] for line in gateway.lines() if '"listening"' in line).split(":")[1]
        with Wire(port=int(port)) as wire:
            wire("CLIENT", "SETNAME", "na\"me=\\")
            wire("QUIT")
        lines = [json.loads(line) for line in wait_for(
            lambda: any("connection_closed" in line for line in gateway.lines()) and gateway.lines())]
        check(all({"time", "level", "event"} <= set(line) for line in lines), "each line has time, level, event")
        closed = next(line for line in lines if line["event"] == "connection_closed")
        same((closed["reason"], closed["name"]), ("quit", 'na"me=\\'), "an escaped name")
    path = os.path.join(WORK, "log-file")
    with Gateway(log_file=path, ready=False) as gateway:
        wait_for(lambda: os.path.exists(path) and "event=ready" in open(path).read())
        os.rename(path, path + ".1")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: os.path.exists(path))
    check("event=stopped" in open(path).read(), "the new file goes on")


def a_stop_drains():
    """What was sent before the stop is answered once it is durable, over a log writer that takes its time."""
    for _ in range(3):
        with Gateway(batch_delay_us=300000) as gateway, gateway.connect() as wire:
            wire("HF.RECEIVE", "in", "apple", 100000)
            requests = [("HF.RESERVE", f"r{i}", 600000, "apple", 1) for i in range(500)]
            wire.send(b"".join(encode(*request) for request in requests))
            time.sleep(0.1)  # they are read, and not durable yet
            gateway.process.send_signal(signal.SIGTERM)
            same([fields(wire.reply())["outcome"] for _ in requests], ["ok"] * 500, "all are answered")
            check(wire.ended(), "then it closes")
            same(gateway.process.wait(30 * SLOW), 0, "exit status")
            Gateway.running.discard(gateway)
            with Gateway(directory=gateway.directory) as again, again.connect() as wire:
                same(pairs(wire("HF.STOCK", "apple")[0])["reserved"], 500, "and there")


def a_slow_stop_is_cut_short():
    with Gateway(drain_ms=300, slow_reader_ms=60000) as gateway, gateway.connect() as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire("HF.RECEIVE", "in", "apple", 10)
        wire("HF.CANCELONDISCONNECT", "ON")
        same(wire.order("HF.RESERVE", "r", 600000, "apple", 1)["outcome"], "ok", "a reservation")
        wire.send(encode("ECHO", "x" * 60000) * 100)  # and reads nothing
        time.sleep(0.2)
        gateway.stop()
    with Gateway(directory=gateway.directory) as gateway, gateway.connect() as wire:
        same(pairs(wire("HF.RESERVATION", "r"))["state"], "cancelled", "its connection was closed, however late")


def failed_disk():
    """fsync fails: what was held is refused, later orders too, reads are served, and a restart has all that was durable."""
    shim = os.path.join(BUILD, "tests", "gateway", "libgateway_broken_disk.so")
    if not os.path.exists(shim) or "asan" in BUILD or "tsan" in BUILD:
        print("SKIPPED: failed_disk, a sanitized program cannot be given a preloaded library")
        return
    trigger = os.path.join(WORK, "broken")
    with Gateway(env={"LD_PRELOAD": shim, "BROKEN_DISK": trigger}, metrics_listen="127.0.0.1:0", batch_delay_us=200000,
                 threads=2) as gateway, gateway.connect() as wire, gateway.connect() as other, gateway.connect() as fed:
        wire("HF.RECEIVE", "in", "apple", 10)
        fed("HELLO", 3)
        fed("HF.EVENTS", "FROM", 1, "PUSH")
        same(fed.push()[1]["id"], "in", "an event")
        same(pairs(wire("HF.SESSION", "s"))["last"], 0, "a session")
        same(wire.order("HF.RESERVE", "durable", 600000, "apple", 1)["outcome"], "ok", "before")
        open(trigger, "w").close()
        same(fed.push()[1]["id"], "durable", "another event")
        fed.send(encode("HF.RESERVE", "c", 600000, "apple", 1))
        wire.send(encode("HF.RESERVE", "a", 600000, "apple", 1) + encode("HF.RESERVE", "b", 600000, "apple", 1) +
                  encode("PING"))
        refused(fed.reply(), "HFPOISONED", "known after a restart")  # an order that was held
        end = fed.push()
        check(end[0] == "hf.end" and end[1].startswith("HFPOISONED"), "what was pushed behind it may be lost: told", end)
        refused(wire.reply(), "HFPOISONED", "known after a restart")
        refused(wire.reply(), "HFPOISONED")
        wire.reply()  # PING: behind them, refused with them or answered
        refused(wire("HF.SESSION"), "HFPOISONED", "known after a restart")  # its last number will never be durable
        same(pairs(wire("HF.STOCK", "apple")[0])["reserved"], 4, "reads are served on that connection too")
        wait_for(lambda: isinstance(other("HF.CONFIRM", "durable"), Error))
        refused(other("HF.CONFIRM", "durable"), "HFPOISONED")
        check(pairs(other("HF.STOCK", "apple")[0])["on_hand"] == 10, "reads are served")
        same(info(other)["poisoned"], "yes", "INFO")
        same(fetch(gateway.ports["metrics"], "/health"), (503, "poisoned\n"), "/health")
        wait_for(lambda: gateway.events("poisoned"))
        gateway.kill()
    os.unlink(trigger)
    with Gateway(directory=gateway.directory) as gateway, gateway.connect() as wire:
        same(pairs(wire("HF.RESERVATION", "durable"))["state"], "live", "what was acknowledged is there")
        check(pairs(wire("HF.SESSION", "s"))["last"] in (1, 2, 3), "so is its number")
        for id in ("a", "b", "c"):
            check(wire.order("HF.RESERVE", id, 600000, "apple", 1)["outcome"] in ("ok", "duplicate"), "asked again")
        same(pairs(wire("HF.STOCK", "apple")[0])["reserved"], 4, "each once")


main(metrics, top, readiness, log_lines, a_stop_drains, a_slow_stop_is_cut_short, failed_disk)
