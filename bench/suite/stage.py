"""The stage: programs that take turns, A B A B ..., while all others are stopped.

A contestant is a process that speaks support/turns.h. Between its turns it is stopped (SIGSTOP), so that neither it nor a
background thread of its own runs beside what is measured.

What other programs of the machine used of its processors is read before and after each turn. Where that was much, further rounds are
played, and of all rounds the quietest count: chosen by what others did, never by what came out.
"""
import ctypes
import json
import os
import platform
import select
import signal
import statistics
import struct
import subprocess
import time

import machine

QUIET = 0.10  # of one processor: what others may use in a round that is called quiet
impatient = []  # not empty: no further rounds in search of quiet ones
heard = []  # what others used in the noisiest of the rounds that counted, one entry for each call of Stage.rounds
PATIENCE = 2  # times as many rounds again, in search of quiet ones
priority = []  # a niceness, where programs and servers shall have one of their own
SLICE_NS = 100_000
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
SETTLE_SECONDS = 0.03  # after a switch, for what the last one left to the kernel


class Failed(Exception):
    """A program could not do what was asked; the message is for whoever reads the JSON."""


def raise_priority(leader):
    """Of a session's leader and all it will start: a niceness, for its session too where the kernel schedules sessions as groups
    (autogroup), and short slices, so that whoever wakes up there goes at once before what has longer ones."""
    for niceness in priority:
        # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, two clamps
        attributes = struct.pack("IIQiIQQQII", 56, 0, 0, niceness, 0, SLICE_NS, 0, 0, 0, 0)
        ctypes.CDLL(None).syscall(SCHED_SETATTR[platform.machine()], leader, attributes, 0)
        try:
            with open(f"/proc/{leader}/autogroup", "w", encoding="ascii") as file:
                file.write(str(niceness))
        except OSError:
            pass  # no such groups here


class Contestant:
    servers = ()  # processes that work for it: a peer's server

    def __init__(self, programs, program, limit=300, **settings):
        self.path = os.path.join(programs, "bench_" + program)
        self.settings = {name: value for name, value in settings.items() if value is not None}
        self.limit = limit
        self.process = None
        self.told = b""
        self.about = None

    def start(self):
        if not os.path.exists(self.path):
            raise Failed(f"{os.path.basename(self.path)} was not built: its library is not installed")
        words = [self.path] + [f"{name}={value}" for name, value in self.settings.items()]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True)
        raise_priority(self.process.pid)
        self.about = self._answer()
        self._signal(signal.SIGSTOP)
        return self

    def _signal(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def _complain(self, why):
        self.process.kill()
        said = self.process.stderr.read().decode(errors="replace").strip()
        raise Failed(f"{os.path.basename(self.path)}: {said or why}")

    def _answer(self):
        end = time.monotonic() + self.limit
        while b"\n" not in self.told:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self._complain(f"no answer within {self.limit} s")
            read = os.read(self.process.stdout.fileno(), 65536)
            if not read:
                self.process.wait()
                self._complain(f"ended with status {self.process.returncode}")
            self.told += read
        line, self.told = self.told.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            self._complain(f"answered {line!r}")

    def turn(self, verb="run", seconds=0.0):
        self._signal(signal.SIGCONT)
        time.sleep(SETTLE_SECONDS)
        before, started = machine.used_by_others(self._own()), time.monotonic()
        try:
            self.process.stdin.write(f"{verb} {seconds}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            self._complain("ended early")
        answer = self._answer()
        answer["others"] = (machine.used_by_others(self._own()) - before) / (time.monotonic() - started)
        self._signal(signal.SIGSTOP)
        return answer

    def _own(self):
        return {os.getpid(), self.process.pid, *self.servers}

    def close(self):
        """Lets it clean up after itself; kills it if it does not within a minute."""
        if self.process is None:
            return
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.close()
            self.process.wait(60)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process = None


class Stage:
    """Contestants by name, started in order, closed whatever happens."""

    def __init__(self, contestants):
        self.contestants = contestants

    def __enter__(self):
        try:
            for contestant in self.contestants.values():
                contestant.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for contestant in self.contestants.values():
            contestant.close()

    def rounds(self, count, seconds, verbs=None, patience=PATIENCE):
        """`count` rounds of one turn each; {name: [answer of each round]}. The quietest of up to 1 + patience times as many."""
        played = []
        most = count * (1 + (0 if priority or impatient else patience))
        while len(played) < count or (_quiet(played) < count and len(played) < most):
            played.append({name: contestant.turn((verbs or {}).get(name, "run"), seconds)
                           for name, contestant in self.contestants.items()})
        heard.append(max(sorted(map(_noise, played))[:count]))
        chosen = sorted(sorted(range(len(played)), key=lambda one: _noise(played[one]))[:count])
        return {name: [played[one][name] for one in chosen] for name in self.contestants}


def _noise(answers):
    return max(answer["others"] for answer in answers.values())


def _quiet(played):
    return sum(_noise(answers) <= QUIET for answers in played)


def median_of(answers, field):
    return statistics.median(answer[field] for answer in answers)


def spread(values):
    """The median with the least and the greatest of the rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def quotients(above, below, field, field_below=None):
    """above / below, round by round."""
    return [a[field] / b[field_below or field] for a, b in zip(above, below)]
