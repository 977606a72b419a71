#!/usr/bin/env python3
"""Who gets in, and what they may do: addresses, passwords, users, prefixes, TLS, certificates; and secrets stay secret."""

import shutil
import ssl

from common import *

DIGITS = "0123456789abcdef"


def run(*flags, stdin=""):
    return subprocess.run([HOLDFAST, "serve", *flags], input=stdin, capture_output=True, text=True, timeout=60 * SLOW)


def make_hash(password):
    found = run("--make-hash", stdin=password + "\n")
    same(found.returncode, 0, found.stderr)
    return found.stdout.strip()


def refused_to_start(part, *flags, status=2, config=None):
    if config is not None:
        path = os.path.join(WORK, "bad-config")
        with open(path, "w") as file:
            file.write(config)
        flags += ("--config", path)
    found = run(*flags)
    same(found.returncode, status, f"exit status of {flags}: {found.stderr}")
    check(part in found.stderr, f"'{part}' is not in", found.stderr)


def bad_settings():
    directory = os.path.join(WORK, "never")
    refused_to_start("dir: it is missing")
    refused_to_start("--colour: there is no such flag", "--dir", directory, "--colour", "blue")
    refused_to_start("--threads: 'x' found, expected a whole number from 0 to 64", "--dir", directory, "--threads", "x")
    refused_to_start("expected HOST:PORT", "--dir", directory, "--listen", "here")
    refused_to_start("bad-config:2: threads: 'x' found", "--dir", directory, config="# a comment\nthreads x\n")
    refused_to_start("password-file", "--dir", directory, "--password-file", "/nowhere")
    refused_to_start("tls-certificate", "--dir", directory, "--tls-listen", "127.0.0.1:0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused_to_start("Address already in use", "--dir", directory, "--listen", f"127.0.0.1:{taken.getsockname()[1]}",
                         status=3)
    check(not os.path.exists(directory), "nothing was made")
    twice = ("--listen", f"127.0.0.1:{free_port()}") * 2  # both can be bound, the second is refused when it is to listen
    refused_to_start("Address already in use", "--dir", os.path.join(WORK, "twice"), *twice, status=3)
    found = run("--help")
    same((found.returncode, "--max-connections" in found.stdout), (0, True), "--help")
    with Gateway() as gateway:
        refused_to_start("is locked by process", "--dir", gateway.directory, "--listen", "127.0.0.1:0", status=3)


def loopback_only():
    directory = os.path.join(WORK, "never")
    for address in ("0.0.0.0:0", "*:0", "[::]:0"):
        refused_to_start("others can reach it", "--dir", directory, "--listen", address)
    refused_to_start("others can reach it", "--dir", directory, "--metrics-listen", "0.0.0.0:0")
    with Gateway(listen="0.0.0.0:0", config="user ann hash %s classes read\n" % make_hash("x")):
        pass
    password = os.path.join(WORK, "password")
    with open(password, "w") as file:
        file.write("open sesame\n")
    os.chmod(password, 0o644)
    refused_to_start("others may use it", "--dir", directory, "--password-file", password)
    os.chmod(password, 0o600)
    with Gateway(listen="0.0.0.0:0", password_file=password) as gateway, gateway.connect() as wire:
        refused(wire("PING"), "NOAUTH")
        refused(wire("HELLO", 3), "NOAUTH")
        refused(wire("AUTH", "open"), "WRONGPASS")
        same(wire("AUTH", "open sesame"), "OK", "AUTH")
        same(wire("PING"), "PONG", "in")
        same(wire("RESET"), "RESET", "RESET")
        refused(wire("PING"), "NOAUTH")
        same(wire("HELLO", 3, "AUTH", "default", "open sesame", "SETNAME", "me")["proto"], 3, "HELLO with AUTH")
    with Gateway(password_file=password, login_timeout_ms=1000) as gateway, gateway.connect() as wire:
        same(wire("AUTH", "open sesame"), "OK", "AUTH")
        time.sleep(1.2)
        begin = time.monotonic()
        same(wire("RESET"), "RESET", "RESET")
        check(wire.ended() and time.monotonic() - begin >= 0.99, "it has as long for a login as a new connection")


def users():
    config = "\n".join(("user ann hash %s classes read,write prefix shop1:" % make_hash("a"),
                        "user viewer hash %s classes read" % make_hash("v"),
                        "user boss hash %s classes read,write,admin" % make_hash("b"),
                        "user slow hash %s classes read,write throttle 5" % make_hash("s"), ""))
    with Gateway(config=config) as gateway:
        ann, viewer, boss = (gateway.connect() for _ in range(3))
        same([ann("AUTH", "ann", "a"), viewer("AUTH", "viewer", "v"), boss("AUTH", "boss", "b")], ["OK"] * 3, "AUTH")
        refused(gateway.connect()("AUTH", "nobody", "x"), "WRONGPASS")
        refused(gateway.connect()("AUTH", "ann", "b"), "WRONGPASS")
        boss("HF.RECEIVE", "in1", "shop1:apple", 10)
        boss("HF.RECEIVE", "in2", "shop2:apple", 10)
        # Classes.
        refused(viewer("HF.RECEIVE", "x", "shop1:apple", 1), "NOPERM", "hf.receive")
        refused(viewer("HF.KILL", "ON"), "NOPERM")
        refused(ann("HF.KILL", "ON"), "NOPERM")
        refused(ann("CONFIG", "GET", "*"), "NOPERM")
        refused(ann("CLIENT", "LIST"), "NOPERM")
        same(len(viewer("HF.STOCK", "shop1:apple", "shop2:apple")), 2, "reading is allowed")
        # Prefixes: by name, by id, in reads, in feeds, in mass cancel.
        same(ann.order("HF.RESERVE", "mine", 600000, "USER", 5, "shop1:apple", 1)["outcome"], "ok", "within")
        refused(ann("HF.RESERVE", "r", 600000, "shop1:apple", 1, "shop2:apple", 1), "NOPERM", "argument 5")
        refused(ann("HF.RECEIVE", "x", "shop2:apple", 1), "NOPERM")
        refused(ann("HF.STOCK", "shop1:apple", "shop2:apple"), "NOPERM", "argument 2")
        boss("HF.RESERVE", "other", 600000, "USER", 5, "shop2:apple", 1)
        boss("HF.RESERVE", "both", 600000, "USER", 5, "shop1:apple", 1, "shop2:apple", 1)
        for id in ("other", "both", "nobody"):
            refused(ann("HF.CONFIRM", id), "NOPERM")
            refused(ann("HF.EXTEND", id, 5), "NOPERM")
            same(ann("HF.RESERVATION", id), None, "not seen")
        same(pairs(boss("HF.RESERVATION", "other"))["state"], "live", "untouched")
        events = [pairs(e) for e in pairs(ann("HF.EVENTS", "FROM", 0))["events"]]
        same({line[0] for e in events for line in e["lines"]}, {"shop1:apple"}, "the feed shows its own")
        check([e["id"] for e in events] == ["in1", "mine", "both"], "its events", events)
        same(pairs(ann("HF.CANCELUSER", 5))["cancelled"], 1, "mass cancel reaches its own")
        same(ann.order("HF.CONFIRM", "mine")["outcome"], "conflict", "its own id, cancelled")
        replies = ann.pipeline(("HF.RESERVE", "p", 600000, "shop1:apple", 1), ("HF.CONFIRM", "p"))
        same([fields(r)["outcome"] for r in replies], ["ok", "ok"], "confirming what stands before it in the pipeline")
        # Sessions of different users do not meet.
        ann("HF.SESSION", "s")
        same(pairs(boss("HF.SESSION", "s"))["last"], 0, "another user's session of that name")
        slow = gateway.connect()
        slow("AUTH", "slow", "s")
        same(pairs(slow("HF.THROTTLE"))["orders_per_second"], 5, "its own throttle")
        guesser = gateway.connect()
        for _ in range(5):
            refused(guesser("AUTH", "ann", "guess"), "WRONGPASS")
        check(guesser.ended(), "too many guesses")
        log = open(gateway.log).read()
    for secret in ("guess", "sha256:", make_hash("a")[40:]):
        check(secret not in log, "a secret is in the log", secret)


def certificates():
    if not shutil.which("openssl"):
        fail("openssl is not installed")
    directory = os.path.join(WORK, "tls")
    os.makedirs(directory, exist_ok=True)

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=directory)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj",
            "/CN=test ca")
    for name in ("server", "ann", "stranger"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                f"/CN={'localhost' if name == 'server' else name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.crt", "-days", "2")
    return lambda name: os.path.join(directory, name)


def tls():
    file = certificates()
    plain = ssl.create_default_context(cafile=file("ca.crt"))
    plain.check_hostname = False

    def with_certificate(name):
        context = ssl.create_default_context(cafile=file("ca.crt"))
        context.check_hostname = False
        context.load_cert_chain(file(f"{name}.crt"), file(f"{name}.key"))
        return context

    server = {"tls_listen": "127.0.0.1:0", "tls_certificate": file("server.crt"), "tls_key": file("server.key"), "listen": None}
    with Gateway(**server, threads=2) as gateway:
        port = gateway.ports["tls"]
        with Wire(port=port, tls=plain) as wire:
            wire("HF.RECEIVE", "in", "apple", 100000)
            replies = wire.pipeline(*(("HF.RESERVE", f"r{i}", 600000, "apple", 1) for i in range(3000)))
            same({fields(r)["outcome"] for r in replies}, {"ok"}, "a long pipeline over TLS")
            same(len(wire("ECHO", "x" * 60000)), 60000, "large both ways")
            same(wire("QUIT"), "OK", "QUIT")
            check(wire.ended(), "closed")
        with socket.create_connection(("127.0.0.1", port)) as garbage:
            garbage.sendall(b"PING\r\n" * 100)
            with contextlib.suppress(ConnectionError):
                while garbage.recv(4096):
                    pass
        with Wire(port=port, tls=plain) as wire:
            same(info(wire)["ended_tls"], "1", "what is no TLS is closed")
    config = "user ann classes read,write\n"
    with Gateway(**server, tls_clients="required", tls_client_ca=file("ca.crt"), tls_name_is_user="yes",
                 config=config) as gateway:
        port = gateway.ports["tls"]
        with Wire(port=port, tls=with_certificate("ann")) as wire:
            same(wire("PING"), "PONG", "logged in by the certificate")
            check("user=ann " in wire("CLIENT", "INFO"), "as its user")
            refused(wire("HF.KILL", "ON"), "NOPERM")
            wire("RESET")
            check("user=ann " in wire("CLIENT", "INFO"), "after RESET too")
        with Wire(port=port, tls=with_certificate("stranger")) as wire:
            refused(wire("PING"), "NOAUTH")
        try:
            with Wire(port=port, tls=plain) as wire:
                wire("PING")
            fail("without a certificate it got in")
        except (ssl.SSLError, Closed, ConnectionError):
            pass


def unix_socket():
    path = os.path.join(WORK, "s.sock")
    with Gateway(listen=None, unix=path) as gateway, Wire(unix=path) as wire:
        same(wire("PING"), "PONG", "a Unix socket")
        same(os.stat(path).st_mode & 0o007, 0, "not for others")
    check(not os.path.exists(path), "it is taken away")
    with Gateway(listen=None, unix=path) as gateway:
        gateway.kill()
        with Gateway(listen=None, unix=path, directory=gateway.directory), Wire(unix=path) as wire:
            same(wire("PING"), "PONG", "over what a crash left")
    with open(path, "w"):
        pass
    refused_to_start("which is no socket", "--dir", os.path.join(WORK, "never"), "--unix", path, status=3)


main(bad_settings, loopback_only, users, tls, unix_socket)
