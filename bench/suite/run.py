"""One run of the suite: its sizes, where its programs and data are, what it has found so far."""
import dataclasses
import os
import sys

from stage import Contestant, Stage


@dataclasses.dataclass
class Run:
    programs: str
    directory: str  # for logs and peers' files: on the disk that is measured
    quick: bool
    figures: dict = dataclasses.field(default_factory=dict)
    skipped: list = dataclasses.field(default_factory=list)

    @property
    def rounds(self):
        return 3 if self.quick else 7

    @property
    def seconds(self):
        return 0.3 if self.quick else 1.0

    @property
    def skus(self):
        """What the goals call 10 k SKUs and 10 k live reservations."""
        return 10_000

    @property
    def many_skus(self):
        return 1_000_000 if self.quick else 10_000_000

    @property
    def many_live(self):
        return 100_000 if self.quick else 1_000_000

    @property
    def sizes(self):
        return "quick: a tenth of the goals' SKUs and reservations, short turns" if self.quick else "as the goals say"

    def program(self, name, **settings):
        """A contestant; those with files get the directory."""
        return Contestant(self.programs, name, **settings)

    def holdfast(self, log="off", **settings):
        """bench_whole_pairs: retention_ms 1, so that the ids held are those of the live reservations and little more."""
        return self.program("whole_pairs", log=log, dir=self.directory, **settings)

    def compare(self, rounds=None, seconds=None, **contestants):
        with Stage(contestants) as stage:
            return stage.rounds(rounds or self.rounds, self.seconds if seconds is None else seconds)

    def best(self, make, candidates):
        """The best of some settings by one short turn each, and what each did."""
        tried = []
        for settings in candidates:
            with Stage({"it": make(**settings)}) as stage:
                answer = stage.rounds(1, 0.5 if self.quick else 1.0, patience=1)["it"][0]
            tried.append({"settings": settings, "operations_per_second": answer["operations_per_second"]})
        return max(tried, key=lambda one: one["operations_per_second"])["settings"], tried

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def skip(self, what, why):
        self.skipped.append({"what": what, "why": str(why)})
        self.say(f"SKIPPED: {what}, {why}")

    def path(self, name):
        return os.path.join(self.directory, name)
