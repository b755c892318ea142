"""Format a run's results as Markdown tables and check them against the targets."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, SAMPLE_ACTION
from bench.load import Load
from bench.start import Start
from bench.stats import Stats, summarize
from bench.suite import Comparison, Results

COLUMNS = (
    "callouts/s",
    "p50 ms",
    "p99 ms",
    "CPU ms/callout",
    "worker RSS MB",
    "p50 ms, concurrency 1",
    "start to first email, ms",
    "start, CPU ms",
    "start, worker RSS MB",
)


class Target(NamedTuple):
    name: str
    measured: float
    limit: float
    is_minimum: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.limit if self.is_minimum else self.measured <= self.limit


def tables(results: Results) -> str:
    parts = ["The server on one CPU, as deployed; the load and the stubs on another:", _comparison(results.one_cpu)]
    parts += ["Targets, with the server on one CPU:", _target_table(results)]
    if results.all_cpus.starts:
        parts += ["The server, the load, and the stubs share all CPUs:", _comparison(results.all_cpus)]
    return "\n\n".join((*parts, _import_table(results), _remarks(results)))


def _comparison(comparison: Comparison) -> str:
    return _table(("", *COLUMNS), [_candidate_row(comparison, name) for name in comparison.starts])


def _candidate_row(comparison: Comparison, name: str) -> list[str]:
    def load(case: str, metric: Callable[[Load], float], digits: int = 0) -> str:
        return _cell(comparison.load(name, case, metric), digits) if name in comparison.loads else ""

    return [
        name,
        load("nominal", lambda run: run.responses_per_second),
        load("nominal", lambda run: run.p50_ms, 1),
        load("nominal", lambda run: run.p99_ms, 1),
        load("nominal", lambda run: run.cpu_ms, 2),
        load("nominal", lambda run: run.worker_rss_mb),
        load("sequential", lambda run: run.p50_ms, 1),
        _cell(comparison.start(name, lambda start: start.milliseconds)),
        _cell(comparison.start(name, lambda start: start.cpu_ms)),
        _cell(comparison.start(name, lambda start: start.worker_rss_mb)),
    ]


def _target_table(results: Results) -> str:
    rows = [
        [
            target.name,
            f"{target.measured:.2f}",
            f"{'≥' if target.is_minimum else '≤'} {target.limit:g}",
            "yes" if target.is_met else "**no**",
        ]
        for target in _targets(results)
    ]
    return _table(("", "measured", "target", "met"), rows)


def _targets(results: Results) -> Iterable[Target]:
    comparison, failed = results.one_cpu, 0

    def start(name: str, metric: Callable[[Start], float]) -> float:
        return comparison.start_ratio(name, SAMPLE_ACTION, metric).median

    def load(metric: Callable[[Load], float], other: str = SAMPLE_ACTION) -> float:
        return comparison.load_ratio(MOUNTED, other, metric).median

    mounted, client = (start(name, lambda start: start.milliseconds) for name in (MOUNTED, CLIENT))
    yield Target("start to first email, mounted secret, relative to Node", mounted, 1.0)
    yield Target("start to first email, Secret Manager client, relative to Node", client, 1.6)
    yield Target("CPU time per callout, relative to Node", load(lambda run: run.cpu_ms), 1.4)
    yield Target("p50, relative to Node", load(lambda run: run.p50_ms), 1.35)
    yield Target("worker RSS after a start, relative to Node", start(MOUNTED, lambda start: start.worker_rss_mb), 0.5)
    yield Target("worker RSS under load, relative to Node", load(lambda run: run.worker_rss_mb), 0.5)
    throughput = load(lambda run: run.responses_per_second, NAIVE)
    yield Target("callouts/s, relative to naive Python", throughput, 5, is_minimum=True)
    failed += sum(run.failed for runs in comparison.loads[MOUNTED].values() for run in runs)
    if results.memory:
        growth = 100 * (results.memory.final_mb / results.memory.tenth_mb - 1)
        yield Target("worker RSS growth from 10,000 to 100,000 callouts, %", growth, 5)
        yield Target("worker RSS after 100,000 callouts, MB", results.memory.final_mb, 90)
        failed += results.memory.failed
    yield Target("failed callouts", failed, 0)


def _import_table(results: Results) -> str:
    rows = [
        [name, ", ".join(f"{package} {milliseconds:.0f}" for package, milliseconds in packages.items())]
        for name, packages in results.imports.items()
    ]
    return _table(("", "import time to the first email, ms by package"), rows)


def _remarks(results: Results) -> str:
    sizes = results.sizes
    return (
        f"The deployed source is {sizes['source']:.2f} MB; its installed dependencies are {sizes['packages']:.0f} MB.\n"
        f"`{HELLO}` sends no email.\n"
        f"The measured latency of the SendGrid stub was {_cell(summarize(results.one_cpu.sendgrid_ms), 2)} ms."
    )


def _cell(values: Stats, digits: int = 0) -> str:
    if values.minimum == values.maximum:
        return f"{values.median:.{digits}f}"
    return f"{values.median:.{digits}f} ({values.minimum:.{digits}f} to {values.maximum:.{digits}f})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(head)} |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
