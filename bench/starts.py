"""Start the function many times, several at once, and check that every worker responds and that SIGTERM ends it.

Exit with status 1 if a worker was silent or a SIGTERM was lost. gunicorn reports a SIGTERM that arrives while a worker
replaces its signal handlers; that is printed.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bench.candidate import MOUNTED, Candidate, candidates
from bench.process import ServerError, ServerProcess
from bench.upstreams import Upstreams

CONCURRENT_STARTS = 8  # the load: far more than the CPUs can run at once
START_TIMEOUT_SECONDS = 60.0
MAX_SIGTERM_DELAY_SECONDS = 0.1  # after the function listens
SIGTERM_TIMEOUT_SECONDS = 25.0  # after 30, gunicorn kills a worker that has ignored SIGTERM


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.starts", description=__doc__, allow_abbrev=False)
    parser.add_argument("--starts", type=int, default=500, help="how many, with one worker and with two (default: 500)")
    parser.add_argument("--sigterms", type=int, default=40, help="how many starts end with SIGTERM (default: 40)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starts-") as folder, Upstreams(Path(folder)) as upstreams:
        function = candidates(Path(folder), upstreams)[MOUNTED]
        failures = 0
        for workers in (1, 2):
            candidate = replace(function, environment={**function.environment, "WORKERS": str(workers)})
            silent = _run(_silent_workers, arguments.starts, candidate, Path(folder))
            lost = _run(_lost_sigterms, arguments.sigterms, candidate, Path(folder))
            print(f"workers {workers}: {arguments.starts} starts, {silent} silent workers", end="; ")
            print(f"{arguments.sigterms} times SIGTERM, {lost} lost", flush=True)
            failures += silent + lost
    sys.exit(1 if failures else 0)


def _run(check: Callable[[ServerProcess, Candidate], int], count: int, candidate: Candidate, folder: Path) -> int:
    """Check `count` starts, several at a time. Return the sum of the failures."""

    def start(_: int) -> int:
        with tempfile.TemporaryDirectory(dir=folder) as work, candidate.running(Path(work)) as server:
            return check(server, candidate)

    with ThreadPoolExecutor(CONCURRENT_STARTS) as executor:
        return sum(executor.map(start, range(count)))


def _silent_workers(server: ServerProcess, candidate: Candidate) -> int:
    """Return how many workers don't respond. Each gets a callout while the others are stopped."""
    expected, deadline = int(candidate.environment["WORKERS"]), time.monotonic() + START_TIMEOUT_SECONDS
    while len(workers := server.pids()[1:]) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    silent = expected - len(workers)
    if silent:
        print(f"{silent} workers didn't start: {server.output()}", file=sys.stderr)
    for worker in workers:
        others = [other for other in workers if other != worker]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            server.post(candidate.request())
        except (ServerError, OSError) as error:
            print(f"worker {worker} is silent: {error}", file=sys.stderr)
            silent += 1
        for other in others:
            os.kill(other, signal.SIGCONT)
    return silent


def _lost_sigterms(server: ServerProcess, _: Candidate) -> int:
    """Return 1 if SIGTERM, soon after the function has started to listen, doesn't end it."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", server.port), 1).close()
            break
        time.sleep(0.001)
    time.sleep(random.uniform(0, MAX_SIGTERM_DELAY_SECONDS))  # noqa: S311  (not for cryptography)
    try:
        status = server.terminate(SIGTERM_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        status = None
    if status != 0 or server.output():
        print(f"after SIGTERM: exit status {status}, output {server.output()!r}", file=sys.stderr)
    return int(status != 0)


if __name__ == "__main__":
    main()
