"""The start: from a peer's spawn to the answer that says its first mail was accepted."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.candidate import Candidate


@dataclass(frozen=True)
class Start:
    milliseconds: float
    processor_ms: float
    worker_mb: float  # RSS of the process that answers
    all_mb: float  # PSS of all processes


def run(peer: Candidate, work: Path) -> Start:
    request, began = peer.request(), time.perf_counter()
    with peer.serving(work) as server:
        server.post(request)
        took = time.perf_counter() - began
        return Start(1000 * took, 1000 * server.processor_seconds(), server.worker_megabytes(), server.megabytes())
