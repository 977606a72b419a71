#!/usr/bin/python3
"""Clients as they come: redis-cli, redis-benchmark, python3-redis, hiredis, ioredis, node-redis. One that cannot be installed
is skipped out loud."""

from common import *
from kill import has_redis_py, node_packages

HERE = os.path.dirname(os.path.abspath(__file__))


def redis_cli():
    if not shutil.which("redis-cli"):
        print("SKIPPED: redis-cli, redis-tools is not installed")
        return
    with Gateway() as gateway:

        def cli(*words, stdin=None):
            found = subprocess.run(["redis-cli", "-p", str(gateway.port), *words], input=stdin, capture_output=True, text=True)
            same(found.returncode, 0, found.stderr)
            return found.stdout

        same(cli("PING"), "PONG\n", "PING")
        same(cli("HF.RECEIVE", "in", "apple", "10").splitlines()[0], "ok", "receive")
        check(cli("-3", "HF.RESERVE", "r", "60000", "apple", "2").startswith("outcome ok\n"), "RESP3")
        same(cli("--json", "HF.STOCK", "apple").startswith('[{"sku":"apple","on_hand":10,"reserved":2,"available":8,'), True,
             "--json, which speaks RESP3")
        check("HFARG ttl_ms" in cli("HF.RESERVE", "x", "soon", "apple", "1"), "an error")
        same(cli(stdin='HF.CONFIRM r\nECHO "a b"\n').splitlines()[-1], "a b", "standard input")
        check("redis_version" in cli("INFO", "server"), "INFO")
        piped = subprocess.run(["redis-cli", "-p", str(gateway.port), "--pipe"], capture_output=True,
                               input=b"".join(encode("HF.RECEIVE", f"p{i}", "apple", 1) for i in range(5000)))
        check(b"errors: 0, replies: 5000" in piped.stdout, "--pipe", piped.stdout)
        with gateway.connect() as wire:
            same(pairs(wire("HF.STOCK", "apple")[0])["on_hand"], 5008, "all of them")


def redis_benchmark():
    if not shutil.which("redis-benchmark"):
        print("SKIPPED: redis-benchmark, redis-tools is not installed")
        return
    with Gateway(threads=2) as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "apple", 1 << 38)
        found = subprocess.run(["redis-benchmark", "-p", str(gateway.port), "-P", "64", "-c", "50", "-n", "100000", "-r",
                                "2000000000", "--csv", "HF.RESERVE", "__rand_int__", "3600000", "apple", "1"],
                               capture_output=True, text=True)
        same(found.returncode, 0, found.stderr)
        check("WARNING" not in found.stderr and "rror" not in found.stdout, "trouble", found.stdout, found.stderr)
        reserved = pairs(wire("HF.STOCK", "apple")[0])["reserved"]
        outcomes = info(wire)
        same(int(outcomes["outcome_ok"]) - 1, reserved, "as many as were answered ok")
        # It sends up to one pipeline more on each connection than it counts.
        asked = int(outcomes["outcome_ok"]) - 1 + int(outcomes["outcome_duplicate"])
        check(100000 <= asked <= 100000 + 64 * 50, "asked", asked)
        print(found.stdout.splitlines()[-1])


def redis_py():
    if not has_redis_py():
        print("SKIPPED: python3-redis, it is not installed")
        return
    import redis

    with Gateway() as gateway:
        client = redis.Redis(host="127.0.0.1", port=gateway.port, client_name="py", decode_responses=True)
        same(client.ping(), True, "ping")
        same(client.execute_command("HF.RECEIVE", "in", "apple", 10)[0], "ok", "receive")
        with client.pipeline(transaction=False) as pipeline:
            for i in range(100):
                pipeline.execute_command("HF.RESERVE", f"r{i}", 60000, "apple", 1)
            outcomes = [reply[0] for reply in pipeline.execute()]
        same(outcomes, ["ok"] * 10 + ["out_of_stock"] * 90, "a pipeline")
        try:
            client.execute_command("HF.RESERVE", "x", "soon", "apple", 1)
            fail("a bad request was taken")
        except redis.ResponseError as error:
            check(str(error).startswith("HFARG"), "an error", str(error))
        same(client.client_getname(), "py", "its name")
        same(client.info()["connected_clients"], 1, "info() is parsed")
        same(client.config_get("save"), {"save": ""}, "config_get")
        check(client.command_count() > 30, "command_count")
        same(client.dbsize(), 1, "dbsize")
        same(client.role()[0], "master", "role")
        check(len(client.client_list()) == 1, "client_list is parsed")


def hiredis():
    program = os.path.join(BUILD, "tests", "gateway", "gateway_hiredis_books")
    if not os.path.exists(program):
        print("SKIPPED: hiredis, libhiredis-dev is not installed")
        return
    with Gateway() as gateway, gateway.connect() as wire:
        wire("HF.RECEIVE", "in", "books", 1 << 20)
        book = os.path.join(WORK, "book")
        found = subprocess.run([program, str(gateway.port), "h.", book, "4800"], capture_output=True, text=True)
        same(found.returncode, 0, found.stderr)
        same(len(open(book).read().splitlines()), 4800, "its book")
        same(pairs(wire("HF.STOCK", "books")[0])["reserved"], 4800, "and the stock")


def node():
    packages = node_packages()
    if not packages:
        return
    with Gateway() as gateway:
        found = subprocess.run(["node", os.path.join(HERE, "clients.mjs"), str(gateway.port)], capture_output=True, text=True,
                               env={**os.environ, "NODE_PACKAGES": packages})
        same(found.returncode, 0, found.stderr[-1500:])
        print(found.stdout.strip())


main(redis_cli, redis_benchmark, redis_py, hiredis, node)
