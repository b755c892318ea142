"""The report: the figures of a run as a table, against the bars."""

from collections.abc import Iterable

from bench.candidate import CLIENT, HELLO, MOUNTED, NAIVE, NODE_PEER
from bench.stats import Stats, spread
from bench.suite import Results

LONG_RUN = 100_000  # callouts; before a tenth of that the worker is still filling its memory of what it answered


def tables(results: Results) -> str:
    return "\n\n".join((_peers(results), _bars(results), _imports(results), _rest(results)))


def _peers(results: Results) -> str:
    head = ["", "callouts/s", "p50 ms", "p99 ms", "CPU ms/callout", "p50 ms, one at a time", "spawn → first mail, ms"]
    head += ["its CPU ms", "worker RSS MB"]
    return _table(head, [_peer(results, name) for name in results.starts])


def _peer(results: Results, name: str) -> list[str]:
    cells = ["", "", "", "", ""]
    if name in results.loads:
        cells = [
            _cell(results.load(name, "nominal", lambda run: run.per_second)),
            _cell(results.load(name, "nominal", lambda run: run.p50_ms), 1),
            _cell(results.load(name, "nominal", lambda run: run.p99_ms), 1),
            _cell(results.load(name, "nominal", lambda run: run.processor_ms), 2),
            _cell(results.load(name, "one at a time", lambda run: run.p50_ms), 1),
        ]
    return [
        name,
        *cells,
        _cell(results.start(name, lambda start: start.milliseconds)),
        _cell(results.start(name, lambda start: start.processor_ms)),
        _cell(results.start(name, lambda start: start.worker_mb)),
    ]


def _bars(results: Results) -> str:
    rows = [[what, f"{value:.2f}", bar, "yes" if met else "**no**"] for what, value, bar, met in _checks(results)]
    return _table(("", "measured", "bar", "met"), rows)


def _checks(results: Results) -> Iterable[tuple[str, float, str, bool]]:
    mounted, client = (results.start_ratio(name, NODE_PEER).median for name in (MOUNTED, CLIENT))
    yield "spawn → first mail, mounted secret, of Node's", mounted, "≤ 1.2", mounted <= 1.2
    yield "spawn → first mail, Secret Manager client, of Node's", client, "≤ 1.9", client <= 1.9
    throughput = results.load_ratio(MOUNTED, NAIVE, lambda run: run.per_second).median
    yield "callouts/s, of naive Python's", throughput, "≥ 5", throughput >= 5
    p50 = results.load_ratio(MOUNTED, NODE_PEER, lambda run: run.p50_ms).median
    yield "p50, of Node's", p50, "≤ 1.3", p50 <= 1.3
    processor = results.load_ratio(MOUNTED, NODE_PEER, lambda run: run.processor_ms).median
    yield "CPU per callout, of Node's", processor, "≤ 1.5", processor <= 1.5
    overhead = results.load(MOUNTED, "one at a time", lambda run: run.p50_ms).median - spread(results.own_ms).median
    yield "over SendGrid's own delay, one at a time, p50 ms", overhead, "≤ 3", overhead <= 3
    failed = sum(run.failed for runs in results.loads[MOUNTED].values() for run in runs)
    if results.memory:
        failed += results.memory.failed
        if results.memory.callouts >= LONG_RUN:
            growth = 100 * (results.memory.last_mb / results.memory.tenth_mb - 1)
            yield "worker RSS's growth from 10,000 callouts to 100,000, %", growth, "≤ 5", growth <= 5
        yield "worker RSS at the end, MB", results.memory.last_mb, "≤ 90", results.memory.last_mb <= 90
    yield "callouts that failed", failed, "0", failed == 0


def _imports(results: Results) -> str:
    rows = [
        [name, ", ".join(f"{package} {spent:.0f}" for package, spent in found.items())]
        for name, found in results.imports.items()
    ]
    return _table(("", "ms of import up to the first mail, by package"), rows)


def _rest(results: Results) -> str:
    sizes = results.sizes
    return (
        f"Deployed: {sizes['own']:.2f} MB of our own source; its packages take {sizes['packages']:.0f} MB installed.\n"
        f"The floor ({HELLO}) answers without a mail. SendGrid's own delay was {_cell(spread(results.own_ms), 2)} ms."
    )


def _cell(values: Stats, digits: int = 0) -> str:
    if values.low == values.high:
        return f"{values.median:.{digits}f}"
    return f"{values.median:.{digits}f} ({values.low:.{digits}f} to {values.high:.{digits}f})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    first = [f"| {' | '.join(head)} |"]
    first.append("|" + " --- |" * (first[0].count("|") - 1))
    return "\n".join([*first, *(f"| {' | '.join(row)} |" for row in rows)])
