"""What the gateway's test scripts share: starting a gateway in a fresh directory, and a small client that shows replies as
they are. $1 of each script is a build directory. Exit status: 0 passed, 77 skipped with the reason as the last line."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/test-gcc")
HOLDFAST = os.environ.get("HOLDFAST") or os.path.join(BUILD, "tools", "holdfast")
WORK = tempfile.mkdtemp(prefix="gateway-")
SEED = int(os.environ.get("HF_SEED") or random.SystemRandom().randrange(1, 1 << 48))
ROUNDS = int(os.environ.get("HF_ROUNDS") or 0)
SLOW = 10 if os.environ.get("HF_SLOW") else 1  # sanitized builds: more patience
random.seed(SEED)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is registered to be cleaned up is
atexit.register(lambda: shutil.rmtree(WORK, ignore_errors=True))


def sanitizer_options():
    """ThreadSanitizer asks the program, not the shared library, what to pass over: liburcu's own (see wal/section.c)."""
    path = os.path.join(WORK, "suppressions")
    with open(path, "w") as file:
        file.write("race:urcu_common_wake_up_gp\nrace:urcu_memb_synchronize_rcu\n")
    return {"TSAN_OPTIONS": f"suppressions={path} {os.environ.get('TSAN_OPTIONS', '')}"}


class Failed(Exception):
    pass


def fail(message):
    raise Failed(message)


def check(condition, message="", *found):
    if not condition:
        fail(f"{message} {' '.join(brief(f) for f in found)}")


def brief(value):
    shown = repr(value)
    return shown if len(shown) < 600 else f"{shown[:500]} ... {shown[-90:]} ({len(shown)} characters)"


def same(found, expected, message=""):
    if found != expected:
        fail(f"{message}: found {brief(found)}, expected {brief(expected)}")


def skip(reason):
    print(reason)
    sys.exit(77)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- a gateway ------------------------------------------------------------------------------------------------------


class Gateway:
    """holdfast serve on a free port of 127.0.0.1. `flags` are name=value; a value of None leaves a flag out. `files`: how many it
    may open."""

    running = set()

    def __init__(self, directory=None, config=None, ready=True, env=None, files=None, **flags):
        self.directory = directory or tempfile.mkdtemp(prefix="d-", dir=WORK)
        self.log = os.path.join(WORK, f"log-{time.monotonic_ns()}")
        settings = {"dir": self.directory, "listen": "127.0.0.1:0", "segment_bytes": 2 << 20, **flags}
        command = ["bash", "-c", 'ulimit -n "$0" && exec "$@"', str(files)] if files else []
        command += [HOLDFAST, "serve"]
        for name, value in settings.items():
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    command += ["--" + name.replace("_", "-"), str(one)]
        if config is not None:
            path = os.path.join(WORK, f"config-{time.monotonic_ns()}")
            with open(path, "w") as file:
                file.write(config)
            os.chmod(path, 0o600)
            command += ["--config", path]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **sanitizer_options(), **(env or {})})
        Gateway.running.add(self)
        self.ports = {}
        self.unix = flags.get("unix")
        if ready:
            self.wait_ready()

    def lines(self):
        with open(self.log, errors="replace") as log:
            return log.read().splitlines()

    def events(self, name):
        return [line for line in self.lines() if f" event={name} " in line + " "]

    def wait_ready(self):
        until = time.monotonic() + 60 * SLOW
        while not self.events("ready"):
            if self.process.poll() is not None:
                fail(f"it ended with {self.process.returncode}: {self.lines()}")
            check(time.monotonic() < until, "it does not get ready", self.lines())
            time.sleep(0.01)
        for line in self.events("listening") + self.events("metrics"):
            words = dict(word.split("=", 1) for word in line.split(" "))
            port = words["address"].rsplit(":", 1)[-1]
            if port.isdigit():
                kind = "metrics" if words["event"] == "metrics" else "tls" if words["tls"] == "yes" else "plain"
                self.ports[kind] = int(port)
        self.port = self.ports.get("plain")

    def connect(self, **options):
        return Wire(port=self.port, **options)

    def kill(self):
        self.process.kill()
        self.process.wait()
        Gateway.running.discard(self)
        self.check_sanitizers()

    def check_sanitizers(self):
        for i, line in enumerate(self.lines()):
            if "Sanitizer" in line or "runtime error:" in line:
                fail("a sanitizer found: " + "\n".join(self.lines()[i:i + 40]))

    def stop(self, expected=0):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60 * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            fail(f"it does not stop: {self.lines()[-5:]}")
        Gateway.running.discard(self)
        self.check_sanitizers()
        same(self.process.returncode, expected, f"exit status; {self.lines()[-20:]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self in Gateway.running:
            if kind is None:
                self.stop()
            else:
                self.kill()


def kill_all():
    for gateway in list(Gateway.running):
        gateway.kill()


atexit.register(kill_all)

# ---- a client --------------------------------------------------------------------------------------------------------


class Error(str):
    """An error reply."""


class Push(list):
    """A push message."""


class Closed(Exception):
    pass


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Wire:
    """Replies as Python values: text where it is UTF-8, maps as dicts, errors as Error, pushes apart in .pushes."""

    def __init__(self, port=None, unix=None, tls=None, timeout=30, protocol=2):
        if unix:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout * SLOW)
            self.socket.connect(unix)
        else:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout * SLOW)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket)
        self.bytes = b""
        self.at = 0
        self.pushes = []
        if protocol == 3:
            check("proto" in self("HELLO", 3), "HELLO 3")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("the connection was closed")
        self.bytes = self.bytes[self.at:] + data
        self.at = 0

    def line(self):
        while True:
            end = self.bytes.find(b"\r\n", self.at)
            if end >= 0:
                line = self.bytes[self.at:end]
                self.at = end + 2
                return line
            self.more()

    def exactly(self, length):
        while len(self.bytes) - self.at < length + 2:
            self.more()
        data = self.bytes[self.at:self.at + length]
        check(self.bytes[self.at + length:self.at + length + 2] == b"\r\n", "no line end behind a bulk string", data)
        self.at += length + 2
        return text(data)

    def value(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return text(rest)
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"$":
            return None if rest == b"-1" else self.exactly(int(rest))
        if kind == b"=":
            return self.exactly(int(rest))[4:]
        if kind in b"*~":
            return None if rest == b"-1" else [self.value() for _ in range(int(rest))]
        if kind == b"%":
            return {self.value(): self.value() for _ in range(int(rest))}
        if kind == b">":
            return Push(self.value() for _ in range(int(rest)))
        fail(f"not RESP: {line!r}")

    def reply(self):
        while True:
            value = self.value()
            if not isinstance(value, Push):
                return value
            self.pushes.append(value)

    def push(self):
        if self.pushes:
            return self.pushes.pop(0)
        value = self.value()
        check(isinstance(value, Push), "expected a push, found", value)
        return value

    def __call__(self, *words):
        self.send(encode(*words))
        return self.reply()

    def pipeline(self, *requests):
        self.send(b"".join(encode(*request) for request in requests))
        return [self.reply() for _ in requests]

    def order(self, *words):
        """The fields of an order's reply, whatever the protocol."""
        return fields(self(*words))

    def ended(self):
        """Whether the server closes the connection; what it sends before is dropped."""
        with contextlib.suppress(Closed):
            while True:
                self.value()
        return True


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


ORDER_FIELDS = ("outcome", "ticket", "version", "deadline", "state", "line")


def fields(reply):
    if isinstance(reply, list):
        same(len(reply) in (4, 6), True, f"an order's reply {reply}")
        return dict(zip(ORDER_FIELDS, reply))
    check(isinstance(reply, dict), "not an order's reply", reply)
    return reply


def pairs(reply):
    """A map, whatever the protocol."""
    if isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2]))
    check(isinstance(reply, dict), "not a map", reply)
    return reply


def refused(reply, prefix, *parts):
    check(isinstance(reply, Error), f"expected {prefix}, found", reply)
    same(reply.split(" ")[0], prefix, f"the prefix of {reply!r}")
    for part in parts:
        check(part in reply, f"'{part}' is not in", reply)


def info(wire, section="everything"):
    found = {}
    for line in wire("INFO", section).splitlines():
        if ":" in line:
            name, value = line.split(":", 1)
            found[name] = value
    return found


def client(wire, id):
    """A connection's line of CLIENT LIST, by another one; None: it is gone."""
    for line in wire("CLIENT", "LIST").splitlines():
        found = dict(word.split("=", 1) for word in line.split(" "))
        if found["id"] == str(id):
            return found
    return None


def wait_for(what, seconds=20):
    until = time.monotonic() + seconds * SLOW
    while True:
        found = what()
        if found:
            return found
        check(time.monotonic() < until, "it does not come about within", seconds, "seconds")
        time.sleep(0.02)


def main(*tests):
    """Runs the tests in order; one line each."""
    only = sys.argv[2:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        try:
            test()
        except Exception as error:  # told with the seed
            import traceback

            traceback.print_exc()
            for gateway in Gateway.running:
                print("\n".join(gateway.lines()[-15:]))
            print(f"FAILED: {test.__name__}: {error} (HF_SEED={SEED})")
            kill_all()
            sys.exit(1)
        print(f"{test.__name__}: passed")
        kill_all()
