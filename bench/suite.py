"""The suite: every measurement of one run, peers interleaved round by round, so that noise meets all alike."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import imports, load, memory, size, start
from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, NODE_PEER, QUEUED, Candidate
from bench.load import Load, LoadError
from bench.memory import Memory
from bench.process import ServerProcess
from bench.start import Start
from bench.stats import Stats, spread
from bench.upstreams import Upstreams

NOMINAL = 80  # callouts at a time
DELAY = 0.05  # seconds that SendGrid takes
WARM_SECONDS = 1
MOST_PER_SECOND = 4500  # no peer is faster: so many callouts are prepared for each second
SWEEP = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    starts: int
    rounds: int
    seconds: int  # of each load
    sweep_rounds: int
    callouts: int  # of the memory's measurement


FULL = Plan(starts=15, rounds=4, seconds=3, sweep_rounds=2, callouts=100_000)
QUICK = Plan(starts=4, rounds=1, seconds=2, sweep_rounds=0, callouts=10_000)

Case = tuple[str, int, float]  # its name, connections, SendGrid's delay in seconds
CASES: tuple[Case, ...] = (
    ("nominal", NOMINAL, DELAY),
    ("no delay", NOMINAL, 0.0),
    ("one at a time", 1, DELAY),
    ("one at a time, no delay", 1, 0.0),
)


@dataclass
class Results:
    """By peer: starts, and loads by case; the rest is ours alone."""

    starts: dict[str, list[Start]] = field(default_factory=dict)
    loads: dict[str, dict[str, list[Load]]] = field(default_factory=dict)
    sweep: dict[str, dict[int, list[Load]]] = field(default_factory=dict)
    own_ms: list[float] = field(default_factory=list)  # SendGrid's, with DELAY
    memory: Memory | None = None
    imports: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def start(self, peer: str, of: Callable[[Start], float]) -> Stats:
        return spread(of(each) for each in self.starts[peer])

    def load(self, peer: str, case: str, of: Callable[[Load], float]) -> Stats:
        return spread(of(each) for each in self.loads[peer][case])

    def start_ratio(self, peer: str, other: str) -> Stats:
        """Round by round, since what disturbs one round disturbs both."""
        pairs = zip(self.starts[peer], self.starts[other], strict=True)
        return spread(one.milliseconds / two.milliseconds for one, two in pairs)

    def load_ratio(self, peer: str, other: str, of: Callable[[Load], float]) -> Stats:
        """At the nominal load. One that answers nothing in a round counts as nearly nothing."""
        pairs = zip(self.loads[peer]["nominal"], self.loads[other]["nominal"], strict=True)
        return spread(of(one) / max(of(two), 0.001) for one, two in pairs)

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Suite:
    def __init__(self, plan: Plan, peers: dict[str, Candidate], outside: Upstreams, work: Path) -> None:
        self._plan, self._peers, self._outside, self._work = plan, peers, outside, work
        self.results = Results()

    def run(self, say: Callable[[str], None]) -> Results:
        say(f"starts: {self._plan.starts} of each")
        self._starts()
        for number in range(self._plan.rounds):
            say(f"load: round {number + 1} of {self._plan.rounds}")
            self._outside.delay = DELAY
            self.results.own_ms.append(1000 * self._outside.own_seconds())
            for name in (HELLO, NODE_PEER, NAIVE, MOUNTED, QUEUED):
                self._loads(self._peers[name])
        for number in range(self._plan.sweep_rounds):
            say(f"sweep: round {number + 1} of {self._plan.sweep_rounds}")
            for name in (NODE_PEER, MOUNTED):
                self._sweep(self._peers[name])
        say(f"memory: {self._plan.callouts} callouts")
        self._outside.delay = 0.0
        self.results.memory = memory.run(self._peers[MOUNTED], self._outside, self._work, self._plan.callouts)
        self.results.imports = {name: imports.run(self._peers[name], self._work) for name in (MOUNTED, CLIENT)}
        installed = self._peers[MOUNTED].folder
        self.results.sizes = {"own": size.own_megabytes(installed), "packages": size.packages_megabytes()}
        return self.results

    def _starts(self) -> None:
        """The first of each only warms the disk's cache."""
        self._outside.delay = 0.0
        for number in range(self._plan.starts + 1):
            for peer in self._peers.values():
                measured = start.run(peer, self._work)
                if number:
                    self.results.starts.setdefault(peer.name, []).append(measured)

    def _loads(self, peer: Candidate) -> None:
        with peer.serving(self._work) as server:
            server.post(peer.request())
            measured = self.results.loads.setdefault(peer.name, {})
            for name, connections, delay in CASES:
                self._load(server, peer, NOMINAL, delay=0.0, seconds=WARM_SECONDS)
                run = self._load(server, peer, connections, delay=delay)
                measured.setdefault(name, []).append(run)

    def _sweep(self, peer: Candidate) -> None:
        measured = self.results.sweep.setdefault(peer.name, {})
        for connections in SWEEP:
            with peer.with_threads(max(SWEEP)).serving(self._work) as server:
                server.post(peer.request())
                self._load(server, peer, connections, delay=0.0, seconds=WARM_SECONDS)
                measured.setdefault(connections, []).append(self._load(server, peer, connections, delay=DELAY))

    def _load(
        self, server: ServerProcess, peer: Candidate, connections: int, *, delay: float, seconds: int = 0
    ) -> Load:
        self._outside.delay = delay
        fastest = connections / delay if delay else MOST_PER_SECOND
        seconds = seconds or self._plan.seconds
        count = round(seconds * min(fastest, MOST_PER_SECOND)) + connections
        wave = load.Batch(peer.prepare(self._work, count), connections, seconds, peer.mails)
        run = load.run(server, self._outside, wave)
        if run.answers >= count:
            raise LoadError(f"{peer.name} is faster than {MOST_PER_SECOND} callouts/s: MOST_PER_SECOND is too low")
        return run
