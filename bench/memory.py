"""The memory: what the worker holds after ten callouts, after a tenth of the load, and after all of it."""

from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.candidate import Candidate
from bench.process import ServerProcess
from bench.upstreams import Upstreams

LOT_SECONDS, LOT = 8, 12_000  # signed at a time, since a signature is good for five minutes
CONNECTIONS = 80


@dataclass(frozen=True)
class Memory:
    callouts: int
    failed: int
    first_mb: float
    tenth_mb: float
    last_mb: float


def run(peer: Candidate, outside: Upstreams, work: Path, callouts: int) -> Memory:
    with peer.serving(work) as server:
        for _ in range(10):
            server.post(peer.request())
        first, sent, failed = server.worker_megabytes(), 0, 0
        tenth = 0.0
        while sent < callouts:
            lot = _lot(server, outside, peer, work)
            sent, failed = sent + lot.answers, failed + lot.failed
            if not tenth and sent >= callouts / 10:
                tenth = server.worker_megabytes()
        return Memory(sent, failed, first, tenth, server.worker_megabytes())


def _lot(server: ServerProcess, outside: Upstreams, peer: Candidate, work: Path) -> load.Load:
    wave = load.Batch(peer.prepare(work, LOT), CONNECTIONS, LOT_SECONDS, peer.mails)
    return load.run(server, outside, wave)
