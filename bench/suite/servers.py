"""The two peers that are servers, started for this run alone: data in a directory of their own, a socket, no network."""
import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import time

from stage import Failed, raise_priority

START_SECONDS = 30


def _wait_for(ready, process, what):
    end = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise Failed(f"{what} did not start: {process.stderr.read().decode(errors='replace').strip()[-400:]}")
        if time.monotonic() > end:
            process.kill()
            raise Failed(f"{what} was not ready within {START_SECONDS} s")
        time.sleep(0.05)


@contextlib.contextmanager
def _running(words, ready, what, **how):
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, **how)
    raise_priority(process.pid)
    try:
        _wait_for(ready, process, what)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


@contextlib.contextmanager
def redis(directory, durable):
    """Yields (process, settings for bench_peer_redis, configuration)."""
    program = shutil.which("redis-server")
    if not program:
        raise Failed("redis-server is not installed")
    home = os.path.join(directory, "redis")
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    socket = os.path.join(home, "socket")
    configuration = ["--port", "0", "--unixsocket", socket, "--dir", home, "--save", "", "--auto-aof-rewrite-percentage", "0"]
    configuration += ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
    try:
        with _running([program] + configuration, lambda: os.path.exists(socket), "redis-server") as server:
            yield server, {"socket": socket}, "a function library; no snapshots; AOF " + (
                "appendfsync always, no rewrites" if durable else "off")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _postgres_programs():
    for found in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True):
        return os.path.dirname(found)
    found = shutil.which("initdb")
    if not found:
        raise Failed("PostgreSQL is not installed")
    return os.path.dirname(found)


POSTGRES = {
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "wal_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
    "max_connections": "300",
    "listen_addresses": "",
    "log_min_messages": "fatal",
}


@contextlib.contextmanager
def postgres(directory):
    """Yields (process, settings for bench_peer_postgres, configuration)."""
    programs = _postgres_programs()
    home = os.path.join(directory, "postgres")
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    how = {"cwd": "/"}
    if os.geteuid() == 0:  # it refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            owner = pwd.getpwnam("nobody")
        os.chown(home, owner.pw_uid, owner.pw_gid)
        how |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = os.path.join(home, "data")
    try:
        made = subprocess.run([f"{programs}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **how)
        if made.returncode != 0:
            raise Failed(f"initdb: {made.stderr.decode(errors='replace').strip()[-400:]}")
        words = [f"{programs}/postgres", "-D", data, "-k", home]
        for name, value in POSTGRES.items():
            words += ["-c", f"{name}={value}"]

        def ready():
            return subprocess.run([f"{programs}/pg_isready", "-q", "-h", home]).returncode == 0

        with _running(words, ready, "postgres", **how) as server:
            yield server, {"socket": home, "user": "postgres"}, ", ".join(f"{name}={value}" for name, value in POSTGRES.items())
    finally:
        shutil.rmtree(home, ignore_errors=True)
