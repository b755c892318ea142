"""Run all measurements, with candidates interleaved so that machine noise affects every candidate equally."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import imports, load, memory, size, start
from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, QUEUED, SAMPLE_ACTION, Candidate
from bench.load import Load, LoadError
from bench.memory import Memory
from bench.process import ServerProcess
from bench.start import Start
from bench.stats import Stats, summarize
from bench.upstreams import Upstreams

CONCURRENCY = 80  # concurrent callouts at nominal load
SENDGRID_DELAY_SECONDS = 0.05
WARM_UP_SECONDS = 1
MAX_REQUESTS_PER_SECOND = 4500  # callouts prepared for each second of load; no candidate is faster
SWEEP_CONCURRENCY = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Plan:
    """The amount of measuring in one run."""

    starts: int
    rounds: int
    seconds: int  # per load test
    sweep_rounds: int
    callouts: int  # in the memory test


FULL = Plan(starts=15, rounds=4, seconds=3, sweep_rounds=2, callouts=100_000)
QUICK = Plan(starts=4, rounds=1, seconds=2, sweep_rounds=0, callouts=10_000)

Case = tuple[str, int, float]  # name, connections, SendGrid's delay in seconds
CASES: tuple[Case, ...] = (
    ("nominal", CONCURRENCY, SENDGRID_DELAY_SECONDS),
    ("no delay", CONCURRENCY, 0.0),
    ("sequential", 1, SENDGRID_DELAY_SECONDS),
    ("sequential, no delay", 1, 0.0),
)


@dataclass
class Results:
    """Measurements by candidate. Memory, imports, and sizes are measured for password-notice only."""

    starts: dict[str, list[Start]] = field(default_factory=dict)
    loads: dict[str, dict[str, list[Load]]] = field(default_factory=dict)
    sweep: dict[str, dict[int, list[Load]]] = field(default_factory=dict)
    sendgrid_ms: list[float] = field(default_factory=list)  # the stub's measured latency at SENDGRID_DELAY_SECONDS
    memory: Memory | None = None
    imports: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def start(self, candidate: str, metric: Callable[[Start], float]) -> Stats:
        return summarize(metric(each) for each in self.starts[candidate])

    def load(self, candidate: str, case: str, metric: Callable[[Load], float]) -> Stats:
        return summarize(metric(each) for each in self.loads[candidate][case])

    def start_ratio(self, candidate: str, other: str) -> Stats:
        """Return the ratio of cold starts round by round, since noise in a round affects both candidates."""
        pairs = zip(self.starts[candidate], self.starts[other], strict=True)
        return summarize(a.milliseconds / b.milliseconds for a, b in pairs)

    def load_ratio(self, candidate: str, other: str, metric: Callable[[Load], float]) -> Stats:
        """Return the ratio of a metric at nominal load, round by round. A zero counts as 0.001."""
        pairs = zip(self.loads[candidate]["nominal"], self.loads[other]["nominal"], strict=True)
        return summarize(metric(one) / max(metric(two), 0.001) for one, two in pairs)

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Suite:
    def __init__(self, plan: Plan, candidates: dict[str, Candidate], upstreams: Upstreams, work: Path) -> None:
        self._plan, self._candidates, self._upstreams, self._work = plan, candidates, upstreams, work
        self.results = Results()

    def run(self, report_progress: Callable[[str], None]) -> Results:
        report_progress(f"cold starts: {self._plan.starts} per candidate")
        self._measure_starts()
        for number in range(self._plan.rounds):
            report_progress(f"load: round {number + 1} of {self._plan.rounds}")
            self._upstreams.delay = SENDGRID_DELAY_SECONDS
            self.results.sendgrid_ms.append(1000 * self._upstreams.measure_latency())
            for name in (HELLO, SAMPLE_ACTION, NAIVE, MOUNTED, QUEUED):
                self._measure_loads(self._candidates[name])
        for number in range(self._plan.sweep_rounds):
            report_progress(f"sweep: round {number + 1} of {self._plan.sweep_rounds}")
            for name in (SAMPLE_ACTION, MOUNTED):
                self._measure_sweep(self._candidates[name])
        report_progress(f"memory: {self._plan.callouts} callouts")
        self._upstreams.delay = 0.0
        self.results.memory = memory.run(self._candidates[MOUNTED], self._upstreams, self._work, self._plan.callouts)
        self.results.imports = {name: imports.run(self._candidates[name], self._work) for name in (MOUNTED, CLIENT)}
        product = self._candidates[MOUNTED].folder
        self.results.sizes = {"source": size.source_mb(product), "packages": size.packages_mb()}
        return self.results

    def _measure_starts(self) -> None:
        """Measure cold starts. The first of each only warms the disk cache and isn't counted."""
        self._upstreams.delay = 0.0
        for number in range(self._plan.starts + 1):
            for candidate in self._candidates.values():
                measured = start.run(candidate, self._work)
                if number:
                    self.results.starts.setdefault(candidate.name, []).append(measured)

    def _measure_loads(self, candidate: Candidate) -> None:
        with candidate.running(self._work) as server:
            server.post(candidate.request())
            measured = self.results.loads.setdefault(candidate.name, {})
            for name, connections, delay in CASES:
                self._load(server, candidate, CONCURRENCY, delay=0.0, seconds=WARM_UP_SECONDS)
                run = self._load(server, candidate, connections, delay=delay)
                measured.setdefault(name, []).append(run)

    def _measure_sweep(self, candidate: Candidate) -> None:
        measured = self.results.sweep.setdefault(candidate.name, {})
        for connections in SWEEP_CONCURRENCY:
            with candidate.with_threads(max(SWEEP_CONCURRENCY)).running(self._work) as server:
                server.post(candidate.request())
                self._load(server, candidate, connections, delay=0.0, seconds=WARM_UP_SECONDS)
                measured.setdefault(connections, []).append(
                    self._load(server, candidate, connections, delay=SENDGRID_DELAY_SECONDS)
                )

    def _load(
        self, server: ServerProcess, candidate: Candidate, connections: int, *, delay: float, seconds: int = 0
    ) -> Load:
        self._upstreams.delay = delay
        max_per_second = connections / delay if delay else MAX_REQUESTS_PER_SECOND
        seconds = seconds or self._plan.seconds
        count = round(seconds * min(max_per_second, MAX_REQUESTS_PER_SECOND)) + connections
        batch = load.Batch(candidate.write_requests(self._work, count), connections, seconds, candidate.sends_email)
        run = load.run(server, self._upstreams, batch)
        if run.responses >= count:
            raise LoadError(f"{candidate.name} used all {count} prepared requests: raise MAX_REQUESTS_PER_SECOND")
        return run
