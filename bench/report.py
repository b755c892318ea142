"""Format a run's results as Markdown tables and check them against the targets."""

from collections.abc import Iterable

from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, SAMPLE_ACTION
from bench.stats import Stats, summarize
from bench.suite import Results

MIN_CALLOUTS_FOR_GROWTH = 100_000  # in a shorter run, the idempotency cache is still filling after a tenth of it


def tables(results: Results) -> str:
    return "\n\n".join((_candidate_table(results), _target_table(results), _import_table(results), _remarks(results)))


def _candidate_table(results: Results) -> str:
    head = ["", "callouts/s", "p50 ms", "p99 ms", "CPU ms/callout", "p50 ms, concurrency 1"]
    head += ["cold start to first email, ms", "cold start CPU ms", "worker RSS MB"]
    return _table(head, [_candidate_row(results, name) for name in results.starts])


def _candidate_row(results: Results, name: str) -> list[str]:
    cells = ["", "", "", "", ""]
    if name in results.loads:
        cells = [
            _cell(results.load(name, "nominal", lambda run: run.responses_per_second)),
            _cell(results.load(name, "nominal", lambda run: run.p50_ms), 1),
            _cell(results.load(name, "nominal", lambda run: run.p99_ms), 1),
            _cell(results.load(name, "nominal", lambda run: run.cpu_ms), 2),
            _cell(results.load(name, "sequential", lambda run: run.p50_ms), 1),
        ]
    return [
        name,
        *cells,
        _cell(results.start(name, lambda start: start.milliseconds)),
        _cell(results.start(name, lambda start: start.cpu_ms)),
        _cell(results.start(name, lambda start: start.worker_rss_mb)),
    ]


def _target_table(results: Results) -> str:
    rows = [[name, f"{value:.2f}", target, "yes" if met else "**no**"] for name, value, target, met in _checks(results)]
    return _table(("", "measured", "target", "met"), rows)


def _checks(results: Results) -> Iterable[tuple[str, float, str, bool]]:
    mounted, client = (results.start_ratio(name, SAMPLE_ACTION).median for name in (MOUNTED, CLIENT))
    yield "cold start to first email, mounted secret, relative to Node", mounted, "≤ 1.2", mounted <= 1.2
    yield "cold start to first email, Secret Manager client, relative to Node", client, "≤ 1.9", client <= 1.9
    throughput = results.load_ratio(MOUNTED, NAIVE, lambda run: run.responses_per_second).median
    yield "callouts/s, relative to naive Python", throughput, "≥ 5", throughput >= 5
    p50 = results.load_ratio(MOUNTED, SAMPLE_ACTION, lambda run: run.p50_ms).median
    yield "p50, relative to Node", p50, "≤ 1.3", p50 <= 1.3
    cpu = results.load_ratio(MOUNTED, SAMPLE_ACTION, lambda run: run.cpu_ms).median
    yield "CPU time per callout, relative to Node", cpu, "≤ 1.5", cpu <= 1.5
    overhead = (
        results.load(MOUNTED, "sequential", lambda run: run.p50_ms).median - summarize(results.sendgrid_ms).median
    )
    yield "p50 added to SendGrid's latency, concurrency 1, ms", overhead, "≤ 3", overhead <= 3
    failed = sum(run.failed for runs in results.loads[MOUNTED].values() for run in runs)
    if results.memory:
        failed += results.memory.failed
        if results.memory.callouts >= MIN_CALLOUTS_FOR_GROWTH:
            growth = 100 * (results.memory.final_mb / results.memory.tenth_mb - 1)
            yield "worker RSS growth from 10,000 to 100,000 callouts, %", growth, "≤ 5", growth <= 5
        yield "worker RSS at the end, MB", results.memory.final_mb, "≤ 90", results.memory.final_mb <= 90
    yield "failed callouts", failed, "0", failed == 0


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
        f"The measured latency of the SendGrid stub was {_cell(summarize(results.sendgrid_ms), 2)} ms."
    )


def _cell(values: Stats, digits: int = 0) -> str:
    if values.minimum == values.maximum:
        return f"{values.median:.{digits}f}"
    return f"{values.median:.{digits}f} ({values.minimum:.{digits}f} to {values.maximum:.{digits}f})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(head)} |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
