"""Plot throughput and latency against concurrency as an SVG."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.candidate import MOUNTED, SAMPLE_ACTION
from bench.load import Load
from bench.stats import summarize
from bench.suite import SWEEP_CONCURRENCY, Results

WIDTH, HEIGHT, LEFT, TOP, GAP = 360, 220, 64, 40, 90
COLORS = {MOUNTED: "#1d6fd1", SAMPLE_ACTION: "#c2570c"}  # dashes distinguish them without color
DASHES = {MOUNTED: "", SAMPLE_ACTION: "6 4"}
STYLE = (
    "text{font:12px sans-serif;fill:#1f2328}.axis{stroke:#6b7280}.grid{stroke:#9ca3af55}.back{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}}"
)

Metric = Callable[[Load], float]


def write(results: Results, file: Path) -> None:
    throughput = _panel(results, 0, "callouts/s", lambda run: run.responses_per_second)
    latency = _panel(results, 1, "latency p50, ms (log)", lambda run: run.p50_ms, logarithmic=True)
    width, height = 2 * (WIDTH + GAP) + 20, HEIGHT + TOP + 60
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Throughput and latency by concurrency"><style>{STYLE}</style>'
        f'<rect class="back" width="{width}" height="{height}"/>{throughput}{latency}</svg>\n'
    )


def _panel(results: Results, number: int, title: str, metric: Metric, *, logarithmic: bool = False) -> str:
    lines = {
        name: [summarize(metric(run) for run in runs[concurrency]).median for concurrency in SWEEP_CONCURRENCY]
        for name, runs in results.sweep.items()
    }
    low, high = _range([value for values in lines.values() for value in values], logarithmic=logarithmic)
    scale = (lambda value: math.log10(value / low) / math.log10(high / low)) if logarithmic else (lambda v: v / high)
    left = LEFT + number * (WIDTH + GAP)
    parts = [f'<text x="{left}" y="{TOP - 16}">{title}</text>', *_axes(left, _ticks(low, high, logarithmic), scale)]
    for position, (name, values) in enumerate(lines.items()):
        points = " ".join(f"{_x(left, i):.1f},{_y(scale(value)):.1f}" for i, value in enumerate(values))
        dash = f' stroke-dasharray="{DASHES[name]}"' if DASHES[name] else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLORS[name]}" stroke-width="2"{dash}/>')
        parts.append(
            f'<text x="{left + 12 + 165 * position}" y="{TOP + HEIGHT + 46}">{_line_sample(name)} {name}</text>'
        )
    return "".join(parts)


def _line_sample(name: str) -> str:
    return f'<tspan fill="{COLORS[name]}">{"╌╌" if DASHES[name] else "──"}</tspan>'


def _range(values: Sequence[float], *, logarithmic: bool) -> tuple[float, float]:
    if not logarithmic:
        step = 10 ** math.floor(math.log10(max(values)))
        return 0.0, step * math.ceil(max(values) / step)
    return 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [10.0**power for power in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    return [high * quarter / 4 for quarter in range(5)]


def _axes(left: float, ticks: list[float], scale: Callable[[float], float]) -> list[str]:
    parts = []
    for tick in ticks:
        y = _y(scale(tick))
        parts.append(f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
    for index, concurrency in enumerate(SWEEP_CONCURRENCY):
        position = f'x="{_x(left, index):.1f}" y="{TOP + HEIGHT + 18}"'
        parts.append(f'<text {position} text-anchor="middle">{concurrency}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{left + WIDTH}" y1="{TOP + HEIGHT}" y2="{TOP + HEIGHT}"/>')
    return parts


def _x(left: float, index: int) -> float:
    return left + WIDTH * (index + 0.5) / len(SWEEP_CONCURRENCY)


def _y(fraction: float) -> float:
    return TOP + HEIGHT * (1 - fraction)
