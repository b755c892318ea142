"""Measure the cold start: from process start to the response that confirms the first email."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.candidate import Candidate


@dataclass(frozen=True)
class Start:
    milliseconds: float
    cpu_ms: float
    worker_rss_mb: float


def run(candidate: Candidate, work: Path) -> Start:
    request, started = candidate.request(), time.perf_counter()
    with candidate.running(work) as server:
        server.post(request)
        elapsed = time.perf_counter() - started
        return Start(1000 * elapsed, 1000 * server.cpu_seconds(), server.worker_rss_mb())
