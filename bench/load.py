"""The load: wrk with prepared callouts, and what it cost the server."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.process import ServerProcess
from bench.upstreams import Upstreams

SCRIPT = Path(__file__).parent / "replay.lua"


class LoadError(Exception):
    """The load could not be put on."""


@dataclass(frozen=True)
class Load:
    """One run: `answers` in `seconds`, `failed` of them without a mail."""

    answers: int
    failed: int
    per_second: float
    p50_ms: float
    p99_ms: float
    processor_ms: float  # per callout, of master and workers


def wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk is missing: apt-get install wrk (Debian, Ubuntu) or brew install wrk")
    return found


@dataclass(frozen=True)
class Batch:
    """What is sent: the `prepared` requests, `connections` at a time, for at most `seconds`."""

    prepared: Path
    connections: int
    seconds: int
    mails: bool  # each answer must have brought one


def run(server: ServerProcess, outside: Upstreams, wave: Batch) -> Load:
    processor, accepted = server.processor_seconds(), outside.accepted
    command = [wrk(), "--threads", "1", "--connections", str(wave.connections), "--timeout", "30s"]
    command += ["--duration", f"{wave.seconds}s", "--script", str(SCRIPT)]
    command += [f"http://127.0.0.1:{server.port}", "--", str(wave.prepared)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (a list of our own)
    processor = server.processor_seconds() - processor
    line = next((line for line in done.stdout.splitlines() if line.startswith("result ")), None)
    if line is None or done.returncode:
        raise LoadError(f"wrk: {done.stdout}{done.stderr}")
    said = json.loads(line.removeprefix("result "))
    missing = max(said["answers"] - (outside.accepted - accepted), 0) if wave.mails else 0
    return Load(
        answers=said["answers"],
        failed=max(said["refused"], missing) + said["broken"],
        per_second=said["answers"] / said["seconds"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
        processor_ms=1000 * processor / max(said["answers"], 1),
    )
