"""Run all measurements, with candidates interleaved so that machine noise affects every candidate equally."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import imports, load, memory, size, start
from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, QUEUED, SAMPLE_ACTION, Candidate
from bench.cpus import Layout, all_cpus, one_cpu, restricted_to
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
    """How much to measure in one run: for the first layout of CPUs, then for the second."""

    starts: tuple[int, int]
    rounds: tuple[int, int]
    seconds: int  # per load test
    sweep_rounds: int
    callouts: int  # in the memory test


FULL = Plan(starts=(15, 9), rounds=(4, 2), seconds=4, sweep_rounds=1, callouts=100_000)
QUICK = Plan(starts=(6, 0), rounds=(1, 0), seconds=4, sweep_rounds=0, callouts=0)

Case = tuple[str, int]  # name, connections
CASES: tuple[Case, ...] = (("nominal", CONCURRENCY), ("sequential", 1))


@dataclass
class Comparison:
    """Measurements by candidate, on one layout of CPUs."""

    starts: dict[str, list[Start]] = field(default_factory=dict)
    loads: dict[str, dict[str, list[Load]]] = field(default_factory=dict)
    sendgrid_ms: list[float] = field(default_factory=list)  # the stub's measured latency at SENDGRID_DELAY_SECONDS

    def start(self, candidate: str, metric: Callable[[Start], float]) -> Stats:
        return summarize(metric(start) for start in self.starts[candidate])

    def load(self, candidate: str, case: str, metric: Callable[[Load], float]) -> Stats:
        return summarize(metric(load) for load in self.loads[candidate][case])

    def start_ratio(self, candidate: str, other: str, metric: Callable[[Start], float]) -> Stats:
        """Return the ratio of cold starts round by round, since noise in a round affects both candidates."""
        pairs = zip(self.starts[candidate], self.starts[other], strict=True)
        return summarize(metric(one) / metric(two) for one, two in pairs)

    def load_ratio(self, candidate: str, other: str, metric: Callable[[Load], float]) -> Stats:
        """Return the ratio of a metric at nominal load, round by round. A zero counts as 0.001."""
        pairs = zip(self.loads[candidate]["nominal"], self.loads[other]["nominal"], strict=True)
        return summarize(metric(one) / max(metric(two), 0.001) for one, two in pairs)


@dataclass
class Results:
    """All measurements. The sweep, memory, imports, and sizes are measured with the server on one CPU."""

    one_cpu: Comparison = field(default_factory=Comparison)
    all_cpus: Comparison = field(default_factory=Comparison)
    sweep: dict[str, dict[int, list[Load]]] = field(default_factory=dict)
    memory: Memory | None = None
    imports: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Suite:
    def __init__(self, plan: Plan, candidates: dict[str, Candidate], upstreams: Upstreams, work: Path) -> None:
        self._plan, self._candidates, self._upstreams, self._work = plan, candidates, upstreams, work

    def run(self, report_progress: Callable[[str], None]) -> Results:
        results = Results()
        layouts = (("one CPU", one_cpu(), results.one_cpu), ("all CPUs", all_cpus(), results.all_cpus))
        for number, (name, layout, comparison) in enumerate(layouts):
            starts, rounds = self._plan.starts[number], self._plan.rounds[number]
            candidates = self._place(layout)
            with restricted_to(layout.load):
                report_progress(f"{name}: {starts} cold starts per candidate")
                self._measure_starts(comparison, candidates, starts)
                for round_number in range(1, rounds + 1):
                    report_progress(f"{name}: load, round {round_number} of {rounds}")
                    self._measure_loads(comparison, candidates)
        candidates = self._place(one_cpu())
        with restricted_to(one_cpu().load):
            for round_number in range(1, self._plan.sweep_rounds + 1):
                report_progress(f"sweep: round {round_number} of {self._plan.sweep_rounds}")
                for name in (SAMPLE_ACTION, MOUNTED):
                    self._measure_sweep(results, candidates[name])
            self._upstreams.delay = 0.0
            if self._plan.callouts:
                report_progress(f"memory: {self._plan.callouts} callouts")
                results.memory = memory.run(candidates[MOUNTED], self._upstreams, self._work, self._plan.callouts)
            report_progress("imports")
            results.imports = {name: imports.run(candidates[name], self._work) for name in (MOUNTED, CLIENT)}
        results.sizes = {"source": size.source_mb(candidates[MOUNTED].folder), "packages": size.packages_mb()}
        return results

    def _place(self, layout: Layout) -> dict[str, Candidate]:
        """Move the stubs to their CPUs, and return the candidates on theirs."""
        self._upstreams.move_to(layout.load)
        return {name: candidate.on(layout.server) for name, candidate in self._candidates.items()}

    def _measure_starts(self, comparison: Comparison, candidates: dict[str, Candidate], count: int) -> None:
        """Measure cold starts. The first of each only warms the disk cache and isn't counted."""
        self._upstreams.delay = 0.0
        for number in range(count + 1):
            for candidate in candidates.values():
                measured = start.run(candidate, self._work)
                if number:
                    comparison.starts.setdefault(candidate.name, []).append(measured)

    def _measure_loads(self, comparison: Comparison, candidates: dict[str, Candidate]) -> None:
        self._upstreams.delay = SENDGRID_DELAY_SECONDS
        comparison.sendgrid_ms.append(1000 * self._upstreams.measure_latency())
        for name in (HELLO, SAMPLE_ACTION, NAIVE, MOUNTED, QUEUED):
            candidate = candidates[name]
            with candidate.running(self._work) as server:
                server.post(candidate.request())
                measured = comparison.loads.setdefault(name, {})
                for case, connections in CASES:
                    self._load(server, candidate, CONCURRENCY, delay=0.0, seconds=WARM_UP_SECONDS)
                    measured.setdefault(case, []).append(self._load(server, candidate, connections))

    def _measure_sweep(self, results: Results, candidate: Candidate) -> None:
        measured = results.sweep.setdefault(candidate.name, {})
        for connections in SWEEP_CONCURRENCY:
            with candidate.with_threads(max(SWEEP_CONCURRENCY)).running(self._work) as server:
                server.post(candidate.request())
                self._load(server, candidate, connections, delay=0.0, seconds=WARM_UP_SECONDS)
                measured.setdefault(connections, []).append(self._load(server, candidate, connections))

    def _load(
        self,
        server: ServerProcess,
        candidate: Candidate,
        connections: int,
        *,
        delay: float = SENDGRID_DELAY_SECONDS,
        seconds: int = 0,
    ) -> Load:
        self._upstreams.delay = delay
        max_per_second = connections / delay if delay else MAX_REQUESTS_PER_SECOND
        seconds = seconds or self._plan.seconds
        count = round(seconds * min(max_per_second, MAX_REQUESTS_PER_SECOND)) + connections
        batch = load.Batch(candidate.write_requests(self._work, count), connections, seconds, candidate.sends_email)
        server.wait_until_idle()
        run = load.run(server, self._upstreams, batch)
        if run.responses >= count:
            raise LoadError(f"{candidate.name} used all {count} prepared requests: raise MAX_REQUESTS_PER_SECOND")
        return run
