"""Measure the worker's memory after ten callouts, after a tenth of the load, and after all of it."""

from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.candidate import Candidate
from bench.process import ServerProcess
from bench.upstreams import Upstreams

BATCH_SECONDS, BATCH_SIZE = 8, 12_000  # callouts are signed batch by batch: a signature expires after five minutes
CONNECTIONS = 80


@dataclass(frozen=True)
class Memory:
    """RSS of the worker in megabytes."""

    callouts: int
    failed: int
    initial_mb: float
    tenth_mb: float
    final_mb: float


def run(candidate: Candidate, upstreams: Upstreams, work: Path, callouts: int) -> Memory:
    with candidate.running(work) as server:
        for _ in range(10):
            server.post(candidate.request())
        initial, sent, failed = server.worker_rss_mb(), 0, 0
        tenth = 0.0
        while sent < callouts:
            result = _send_batch(server, upstreams, candidate, work)
            sent, failed = sent + result.responses, failed + result.failed
            if not tenth and sent >= callouts / 10:
                tenth = server.worker_rss_mb()
        return Memory(sent, failed, initial, tenth, server.worker_rss_mb())


def _send_batch(server: ServerProcess, upstreams: Upstreams, candidate: Candidate, work: Path) -> load.Load:
    batch = load.Batch(candidate.write_requests(work, BATCH_SIZE), CONNECTIONS, BATCH_SECONDS, candidate.sends_email)
    return load.run(server, upstreams, batch)
