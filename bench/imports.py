"""Measure import time by package, from process start to the first email, with Python's import profiler."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bench.candidate import Candidate

LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")
MAX_PACKAGES = 15
RUNS = 3  # the minimum counts, since noise only adds time


def run(candidate: Candidate, work: Path) -> dict[str, float]:
    """Return each package's own import time in milliseconds, most expensive first.

    Profiling itself adds about 10%.
    """
    runs = [_profile(candidate, work) for _ in range(RUNS)]
    fastest = Counter({package: min(run[package] for run in runs) for package in runs[0]})
    return {package: round(total / 1000, 1) for package, total in fastest.most_common(MAX_PACKAGES)}


def _profile(candidate: Candidate, work: Path) -> Counter[str]:
    profiled = replace(candidate, environment={**candidate.environment, "PYTHONPROFILEIMPORTTIME": "1"})
    spent: Counter[str] = Counter()
    with profiled.running(work) as server:
        server.post(profiled.request())
        for microseconds, module in LINE.findall(server.output()):
            spent[_package(module)] += int(microseconds)
    return spent


def _package(module: str) -> str:
    """Return the top-level package, or the first three components below the namespace package `google`."""
    parts = module.split(".")
    return ".".join(parts[:3]) if parts[0] == "google" else parts[0]
