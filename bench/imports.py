"""The imports: what each package costs on the way from the spawn to the first mail, as Python's own clock tells it."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bench.candidate import Candidate

LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")
LARGEST = 15
TIMES = 3  # the least of so many: what disturbs only adds


def run(peer: Candidate, work: Path) -> dict[str, float]:
    """Milliseconds by package, its own modules alone, the dearest first. The clock itself adds about a tenth."""
    runs = [_once(peer, work) for _ in range(TIMES)]
    least = Counter({package: min(run[package] for run in runs) for package in runs[0]})
    return {package: round(total / 1000, 1) for package, total in least.most_common(LARGEST)}


def _once(peer: Candidate, work: Path) -> Counter[str]:
    timed = replace(peer, environment={**peer.environment, "PYTHONPROFILEIMPORTTIME": "1"})
    spent: Counter[str] = Counter()
    with timed.serving(work) as server:
        server.post(timed.request())
        for microseconds, module in LINE.findall(server.said()):
            spent[_package(module)] += int(microseconds)
    return spent


def _package(module: str) -> str:
    """`google.cloud.secretmanager_v1` and its like are told apart; of all others the first word."""
    words = module.split(".")
    return ".".join(words[:3]) if words[0] == "google" else words[0]
