#!/usr/bin/env python3
"""Every command, its replies and its errors, with RESP2 and RESP3."""

from common import *


def both(test):
    """Runs a test with each protocol on a gateway of its own."""

    def run():
        for protocol in (2, 3):
            with Gateway() as gateway, gateway.connect(protocol=protocol) as wire:
                test(wire)

    run.__name__ = test.__name__
    return run


@both
def orders(wire):
    reply = wire.order("HF.RECEIVE", "in", "apple", 10)
    same((reply["outcome"], reply["version"], reply["deadline"]), ("ok", 1, 0), "receive")
    check(reply["ticket"] > 0, "ticket")
    again = wire.order("HF.RECEIVE", "in", "apple", 10)
    same((again["outcome"], again["version"], again["state"]), ("duplicate", 1, "applied"), "the same id again")
    same(wire.order("HF.ADJUST", "fix", "apple", -1)["outcome"], "ok", "adjust")
    same(wire.order("HF.ADJUST", "fix2", "apple", -100)["outcome"], "out_of_stock", "adjust beyond")
    same(wire.order("HF.COUNT", "count", "pear", 5)["version"], 1, "count makes a SKU")
    reserved = wire.order("HF.RESERVE", "r", 60000, "USER", "ann", "apple", 2, "pear", 1)
    same((reserved["outcome"], reserved["version"]), ("ok", 2), "reserve of two lines: the last one's version")
    check(reserved["deadline"] > time.time() * 1000, "deadline")
    refusal = wire.order("HF.RESERVE", "s", 60000, "apple", 1, "pear", 5)
    same((refusal["outcome"], refusal["line"], refusal["state"]), ("out_of_stock", 1, "unknown"), "the second line")
    refusal = wire.order("HF.RESERVE", "s", 60000, "apple", 1, "plum", 1)
    same((refusal["outcome"], refusal["line"]), ("unknown_sku", 1), "unknown SKU")
    extended = wire.order("HF.EXTEND", "r", 120000)
    check(extended["outcome"] == "ok" and extended["deadline"] > reserved["deadline"], "extend", extended)
    same(wire.order("HF.CONFIRM", "r")["outcome"], "ok", "confirm")
    same(wire.order("HF.CONFIRM", "r")["outcome"], "already", "confirm again")
    same(wire.order("HF.CANCEL", "r")["outcome"], "conflict", "cancel what is confirmed")
    same(wire.order("HF.CANCEL", "nobody")["outcome"], "not_found", "unknown id")
    same(wire.order("HF.PURCHASE", "p", "apple", 1, "pear", 1)["outcome"], "ok", "purchase")
    same(wire.order("HF.RECEIVE", "v", "apple", 1, "IFVERSION", 1)["outcome"], "version_mismatch", "an old version")
    version = pairs(wire("HF.STOCK", "apple")[0])["version"]
    same(wire.order("HF.RECEIVE", "v", "apple", 1, "IFVERSION", version)["outcome"], "ok", "the version there is")


@both
def expiry(wire):
    wire("HF.RECEIVE", "in", "apple", 1)
    same(wire.order("HF.RESERVE", "r", 50, "apple", 1)["outcome"], "ok", "reserve")
    wait_for(lambda: pairs(wire("HF.RESERVATION", "r"))["state"] == "expired")
    same(pairs(wire("HF.STOCK", "apple")[0])["available"], 1, "its units are back")
    same(wire.order("HF.EXTEND", "r", 10)["outcome"], "conflict", "extend what has expired")
    same(wire.order("HF.CONFIRM", "r")["outcome"], "confirmed_late", "a late payment")


@both
def reads(wire):
    wire("HF.RECEIVE", "in", "apple", 10)
    wire("HF.RESERVE", "r", 60000, "USER", 4711, "apple", 3)
    stock = wire("HF.STOCK", "apple", "none", "apple")
    same(len(stock), 3, "an entry for each SKU asked for")
    same(stock[1], None, "a SKU that there is not")
    found = pairs(stock[0])
    check(found.pop("ticket") > 0, "ticket")
    same(found, {"sku": "apple", "on_hand": 10, "reserved": 3, "available": 7, "version": 2}, "stock")
    found = pairs(wire("HF.RESERVATION", "r"))
    same((found["id"], found["state"], found["user"], found["lines"]), ("r", "live", "4711", [["apple", 3]]), "reservation")
    same(wire("HF.RESERVATION", "nobody"), None, "an id that there is not")
    same(wire("DBSIZE"), 1, "DBSIZE")


@both
def any_bytes(wire):
    sku, id = bytes(range(256))[1:], b"\0\r\n$*\xff"
    same(wire.order("HF.RECEIVE", id, sku, 5)["outcome"], "ok", "receive")
    found = pairs(wire("HF.STOCK", sku)[0])
    same(found["sku"], sku, "the SKU's name")
    same(wire.order("HF.RESERVE", id * 10, 1000, "USER", b"\0\xff", sku, 1)["outcome"], "ok", "an id of 60 bytes")
    same(pairs(wire("HF.RESERVATION", id * 10))["lines"], [[sku, 1]], "its lines")


@both
def bad_arguments(wire):
    wire("HF.RECEIVE", "in", "apple", 10)
    before = wire("HF.STOCK", "apple")
    for words, part in (
        (("HF.RECEIVE", "", "apple", 1), "id: 0 bytes found, expected 1 to 64"),
        (("HF.RECEIVE", "x" * 65, "apple", 1), "id: 65 bytes found"),
        (("HF.RECEIVE", "a", "", 1), "sku (argument 2): 0 bytes found"),
        (("HF.RECEIVE", "a", "x" * 256, 1), "sku (argument 2): 256 bytes found"),
        (("HF.RECEIVE", "a", "apple", 0), "quantity (argument 3): expected a whole number from 1"),
        (("HF.RECEIVE", "a", "apple", "1.5"), "quantity (argument 3)"),
        (("HF.RECEIVE", "a", "apple", 1 << 39), "quantity (argument 3)"),
        (("HF.ADJUST", "a", "apple", 0), "not 0"),
        (("HF.COUNT", "a", "apple", -1), "from 0"),
        (("HF.RECEIVE", "a", "apple", 1, "IFVERSION"), "behind the quantity"),
        (("HF.RECEIVE", "a", "apple", 1, "IFVERSION", 0), "behind the quantity"),
        (("HF.RESERVE", "a", 0, "apple", 1), "ttl_ms"),
        (("HF.RESERVE", "a", "soon", "apple", 1), "ttl_ms"),
        (("HF.RESERVE", "a", 10, "apple", 1, "pear"), "lines: expected a quantity for each SKU"),
        (("HF.RESERVE", "a", 10, "USER", "ann"), "lines"),
        (("HF.RESERVE", "a", 10, "USER", "x" * 256, "apple", 1), "user: 256 bytes"),
        (("HF.PURCHASE", "a", "apple", 1, "pear", "x"), "quantity (argument 5)"),
        (("HF.EXTEND", "a", -1), "ttl_ms"),
        (("HF.STOCK", "x" * 256), "sku (argument 1)"),
        (("HF.RESERVATION", "x" * 65), "id"),
        (("HF.ACK", "LATER"), "DURABLE or NOW"),
        (("HF.KILL", "MAYBE"), "ON or OFF"),
        (("HF.CANCELONDISCONNECT", "MAYBE"), "ON or OFF"),
        (("HF.HEARTBEAT", 5), "from 100"),
        (("HF.THROTTLE", "x"), "orders_per_second"),
        (("HF.THROTTLE", 1, "BURST"), "BURST"),
        (("HF.EVENTS", "SINCE", 1), "expected FROM"),
        (("HF.EVENTS", "FROM", "x"), "FROM"),
        (("HF.EVENTS", "FROM", 1, "COUNT", 0), "COUNT"),
        (("HF.EVENTS", "FROM", 1, "BLOCK"), "a value"),
        (("HF.EVENTS", "FROM", 1, "SKU", ""), "SKU"),
        (("HF.EVENTS", "FROM", 1, "FOO", 1), "expected COUNT"),
        (("HF.SESSION", ""), "session"),
        (("HF.SESSION", "x" * 60), "session"),
        (("HF.CANCELUSER", ""), "user"),
    ):
        refused(wire(*words), "HFARG", part)
    lines = [word for i in range(4097) for word in (f"s{i}", 1)]
    refused(wire("HF.PURCHASE", "a", *lines), "HFLIMIT", "4097 found, expected at most 4096")
    same([pairs(s) | {"ticket": 0} for s in wire("HF.STOCK", "apple")], [pairs(s) | {"ticket": 0} for s in before],
         "nothing happened")
    refused(wire("HF.SEQ", 1), "HFSEQ", "no named session")
    for words in (("HF.RECEIVE", "a", "b"), ("HF.CONFIRM",), ("HF.CONFIRM", "a", "b"), ("HF.STOCK",), ("ECHO",)):
        refused(wire(*words), "ERR", "wrong number of arguments for")
    refused(wire("GET", "x"), "ERR", "unknown command 'GET', with args beginning with: 'x'")
    refused(wire("NO\r\nSUCH"), "ERR", "unknown command")
    refused(wire("HF.RECEIVE", "big", "apple", (1 << 39) - 1), "HFRANGE")


@both
def largest_order(wire):
    names = [f"sku-{i}" for i in range(4096)]
    for reply in wire.pipeline(*(("HF.RECEIVE", f"in-{name}", name, 2) for name in names)):
        same(fields(reply)["outcome"], "ok", "receive")
    lines = [word for name in names for word in (name, 1)]
    same(wire.order("HF.RESERVE", "all", 60000, *lines)["outcome"], "ok", "4,096 lines")
    same(len(pairs(wire("HF.RESERVATION", "all"))["lines"]), 4096, "its lines")
    same(wire.order("HF.CONFIRM", "all")["outcome"], "ok", "confirm")
    same(sum(pairs(s)["on_hand"] for s in wire("HF.STOCK", *names)), 4096, "one of each is gone")


@both
def pipelines_keep_order(wire):
    wire("HF.RECEIVE", "in", "apple", 1000)
    requests, expected = [], []
    for i in range(3000):
        kind = random.randrange(6)
        if kind == 0:
            requests.append(("PING", f"p{i}"))
            expected.append(f"p{i}")
        elif kind == 1:
            requests.append(("HF.CONFIRM", ""))
            expected.append("HFARG")
        elif kind == 2:
            requests.append(("NOSUCH",))
            expected.append("ERR")
        elif kind == 3:
            requests.append(("HF.CONFIRM", f"nobody{i}"))
            expected.append("not_found")
        elif kind == 4:
            requests.append(("HF.RESERVE", f"r{i}", 60000, "none", 1))
            expected.append("unknown_sku")
        else:
            requests.append(("ECHO", i))
            expected.append(str(i))
    for reply, wanted in zip(wire.pipeline(*requests), expected):
        if isinstance(reply, (list, dict)):
            reply = fields(reply)["outcome"]
        found = reply.split(" ")[0] if isinstance(reply, Error) else reply
        same(found, wanted, "a reply out of order")


def hello_and_reset():
    with Gateway() as gateway, gateway.connect() as wire:
        hello = pairs(wire("HELLO"))
        same((hello["server"], hello["proto"], hello["role"], hello["modules"]), ("holdfast", 2, "master", []), "HELLO")
        hello = wire("HELLO", 3, "SETNAME", "me")
        same((hello["proto"], isinstance(hello, dict)), (3, True), "HELLO 3")
        same(wire("CLIENT", "GETNAME"), "me", "SETNAME")
        refused(wire("HELLO", 4), "NOPROTO")
        refused(wire("HELLO", "x"), "NOPROTO")
        refused(wire("HELLO", 3, "SETNAME"), "ERR", "Syntax error")
        refused(wire("HELLO", 3, "AUTH", "nobody", "x"), "WRONGPASS")
        refused(wire("AUTH", "x"), "ERR", "without any password configured")
        same(wire("RESET"), "RESET", "RESET")
        same(isinstance(wire("HELLO"), list), True, "RESET goes back to RESP2")
        same(wire("CLIENT", "GETNAME"), None, "RESET takes the name away")
        same(wire("SELECT", 0), "OK", "SELECT 0")
        refused(wire("SELECT", 1), "ERR", "out of range")
        same(wire("PING"), "PONG", "PING")
        same(wire("PING", "x"), "x", "PING x")
        same(wire("QUIT"), "OK", "QUIT")
        check(wire.ended(), "QUIT closes")


def client_commands():
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect() as other:
        check(wire("CLIENT", "ID") != other("CLIENT", "ID"), "ids differ")
        same(wire("CLIENT", "SETNAME", "n"), "OK", "SETNAME")
        refused(wire("CLIENT", "SETNAME", "a b"), "ERR", "cannot contain spaces")
        same(wire("CLIENT", "SETINFO", "LIB-NAME", "lib"), "OK", "SETINFO")
        refused(wire("CLIENT", "SETINFO", "FOO", "x"), "ERR", "Unrecognized option")
        same(wire("CLIENT", "NO-EVICT", "on"), "OK", "NO-EVICT")
        check("name=n " in wire("CLIENT", "INFO") and "lib-name=lib " in wire("CLIENT", "INFO"), "CLIENT INFO")
        same(len(wire("CLIENT", "LIST").splitlines()), 2, "CLIENT LIST")
        check(isinstance(wire("CLIENT", "HELP"), list), "CLIENT HELP")
        refused(wire("CLIENT", "TRACKING", "on"), "ERR", "Try CLIENT HELP")
        same(wire("CLIENT", "KILL", "ID", other("CLIENT", "ID")), 1, "CLIENT KILL")
        check(other.ended(), "it is closed")
        same(wire("CLIENT", "KILL", "ID", 999999), 0, "CLIENT KILL of nobody")
        wire.send(encode("CLIENT", "REPLY", "OFF") + encode("PING", "off") + encode("HF.RECEIVE", "i", "s", 1) +
                  encode("CLIENT", "REPLY", "ON"))
        same(wire.reply(), "OK", "REPLY ON is the first answer")
        wire.send(encode("CLIENT", "REPLY", "SKIP") + encode("HF.RECEIVE", "j", "s", 1) + encode("PING", "on"))
        same(wire.reply(), "on", "REPLY SKIP swallows one")
        same(pairs(wire("HF.STOCK", "s")[0])["on_hand"], 2, "what was not answered was done")


def command_tables():
    with Gateway() as gateway, gateway.connect() as wire, gateway.connect(protocol=3) as three:
        count = wire("COMMAND", "COUNT")
        table = wire("COMMAND")
        same(len(table), count, "COMMAND")
        by_name = {entry[0]: entry for entry in table}
        same(by_name["hf.reserve"][1:2] + by_name["hf.reserve"][3:6], [-5, 3, -2, 2], "hf.reserve's arity and keys")
        check("movablekeys" in by_name["hf.reserve"][2], "flags")
        same(wire("COMMAND", "INFO", "hf.stock", "none"), [by_name["hf.stock"], None], "COMMAND INFO")
        docs = three("COMMAND", "DOCS", "hf.confirm")
        same(docs["hf.confirm"]["group"], "holdfast", "COMMAND DOCS")
        same(len(three("COMMAND", "DOCS")), count, "COMMAND DOCS of all")
        same(sorted(wire("COMMAND", "LIST")), sorted(by_name), "COMMAND LIST")
        for words, keys in ((("HF.RESERVE", "i", 1, "USER", "u", "a", 1, "b", 2), ["a", "b"]),
                            (("HF.RESERVE", "i", 1, "a", 1, "b", 2), ["a", "b"]), (("HF.PURCHASE", "i", "a", 1), ["a"]),
                            (("HF.COUNT", "i", "a", 1), ["a"]), (("HF.STOCK", "a", "b", "c"), ["a", "b", "c"])):
            same(wire("COMMAND", "GETKEYS", *words), keys, f"GETKEYS of {words}")
        refused(wire("COMMAND", "GETKEYS", "HF.CONFIRM", "i"), "ERR", "no key arguments")
        refused(wire("COMMAND", "GETKEYS", "HF.RESERVE", "i", 1, "USER", "u"), "ERR")
        refused(wire("COMMAND", "GETKEYS", "none"), "ERR")
        refused(wire("COMMAND", "FOO"), "ERR")
        # Every command of the table has a section of its own in the page.
        page = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/GATEWAY.md")).read()
        for name in by_name:
            check(f"`{name.upper()}" in page, "docs/GATEWAY.md lacks", name)
        for kind in info(wire):
            if kind.startswith("error_"):
                check(f"`{kind[6:]}`" in page, "docs/GATEWAY.md lacks the error", kind[6:])


def server_commands():
    with Gateway() as gateway, gateway.connect() as wire:
        same(pairs(wire("CONFIG", "GET", "save")), {"save": ""}, "CONFIG GET save")
        same(pairs(wire("CONFIG", "GET", "appendonly")), {"appendonly": "yes"}, "CONFIG GET appendonly")
        found = pairs(wire("CONFIG", "GET", "max-*", "dir"))
        same(found["dir"], gateway.directory, "CONFIG GET dir")
        check("max-connections" in found and "threads" not in found, "CONFIG GET max-*")
        refused(wire("CONFIG", "SET", "dir", "x"), "ERR")
        same(wire("ROLE")[0], "master", "ROLE")
        found = info(wire)
        same((found["loading"], found["role"], found["kill"], found["poisoned"]), ("0", "master", "off", "no"), "INFO")
        only = wire("INFO", "clients")
        check("connected_clients:1" in only and "# Engine" not in only, "INFO clients")


def inline():
    with Gateway() as gateway, gateway.connect() as wire:
        for request, expected in ((b"PING\r\n", "PONG"), (b"ping\n", "PONG"), (b'ECHO "a b"\r\n', "a b"),
                                  (b"ECHO '\\''\r\n", "'"), (b'ECHO "\\x41\\n"\r\n', "A\n"), (b"\r\n\r\nPING\r\n", "PONG")):
            wire.send(request)
            same(wire.reply(), expected, repr(request))
        wire.send(b'HF.RECEIVE "in 1" "green apple" 5\r\nHF.RESERVE \'r 1\' 60000 "green apple" 2\r\n')
        same([fields(wire.reply())["outcome"] for _ in range(2)], ["ok", "ok"], "orders")
        same(pairs(wire("HF.STOCK", "green apple")[0])["reserved"], 2, "what they did")
        wire.send(b'ECHO "open\r\n')
        refused(wire.reply(), "ERR", "Protocol error", "unbalanced quotes")
        check(wire.ended(), "a protocol error closes")


main(orders, expiry, reads, any_bytes, bad_arguments, largest_order, pipelines_keep_order, hello_and_reset, client_commands,
     command_tables, server_commands, inline)
