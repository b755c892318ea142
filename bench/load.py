"""Run wrk with prepared callouts and measure the server's latency and CPU time."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.process import ServerProcess
from bench.upstreams import Upstreams

SCRIPT = Path(__file__).parent / "replay.lua"


class LoadError(Exception):
    """The load test couldn't run."""


@dataclass(frozen=True)
class Load:
    """The result of one load test. `failed` counts requests that sent no email."""

    responses: int
    failed: int
    responses_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # per callout, gunicorn's main process and workers together
    worker_rss_mb: float  # at the end


def wrk_path() -> str:
    """Return the path of wrk. Raise LoadError if it isn't installed."""
    path = shutil.which("wrk")
    if path is None:
        raise LoadError("wrk isn't installed: run apt-get install wrk (Debian, Ubuntu) or brew install wrk (macOS)")
    return path


@dataclass(frozen=True)
class Batch:
    """What to send: the requests in the file `prepared`, over concurrent `connections`, for up to `seconds`."""

    prepared: Path
    connections: int
    seconds: int
    sends_email: bool  # whether each response must match an email or a task


def run(server: ServerProcess, upstreams: Upstreams, batch: Batch) -> Load:
    cpu_before, accepted_before = server.cpu_seconds(), upstreams.accepted
    command = [wrk_path(), "--threads", "1", "--connections", str(batch.connections), "--timeout", "30s"]
    command += ["--duration", f"{batch.seconds}s", "--script", str(SCRIPT)]
    command += [f"http://127.0.0.1:{server.port}", "--", str(batch.prepared)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (fixed arguments)
    cpu_seconds = server.cpu_seconds() - cpu_before
    line = next((line for line in done.stdout.splitlines() if line.startswith("result ")), None)
    if line is None or done.returncode:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    result = json.loads(line.removeprefix("result "))
    missing = max(result["responses"] - (upstreams.accepted - accepted_before), 0) if batch.sends_email else 0
    return Load(
        responses=result["responses"],
        failed=max(result["error_responses"], missing) + result["socket_errors"],
        responses_per_second=result["responses"] / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        cpu_ms=1000 * cpu_seconds / max(result["responses"], 1),
        worker_rss_mb=server.worker_rss_mb(),
    )
