"""The load: as many callouts at a time as the service is set for, then five times as many, and the memory they take."""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import requests_file
from bench.process import ServerProcess
from bench.upstreams import SECRETS, Upstreams
from bench.wire import read_message

ROOT = Path(__file__).parent.parent
THREADS = 80
SENDGRID_SECONDS = 0.05
LONGEST_ANSWER = 7.0  # what the Action waits
WARM_UP = 20_000  # callouts: by then the function remembers as many as it ever does, and memory has grown to its size
STEADY_AFTER = 1 / 4  # of the time: until then memory may grow to the number of callouts at a time
MOST_GROWTH = 0.05


@dataclass(frozen=True)
class SoakResult:
    """`seconds` of `at_a_time` callouts. Times are in milliseconds, memory is the worker's, in megabytes."""

    at_a_time: int
    answers: int
    failed: int
    per_second: float
    median: float
    slowest: float
    steady_megabytes: float
    megabytes: float

    @property
    def holds(self) -> bool:
        is_flat = self.megabytes <= self.steady_megabytes * (1 + MOST_GROWTH)
        return not self.failed and self.slowest < LONGEST_ANSWER * 1000 and is_flat


def run(seconds: float = 60.0, warm_up: int = WARM_UP) -> bool:
    """The table of both loads on standard output. Whether nothing failed, nothing hung, and memory was flat."""
    loads = _measure(seconds, warm_up)
    print(f"{'at a time':>9}{'answers':>9}{'failed':>8}{'each s':>8}{'p50 ms':>8}{'max ms':>8}{'MB then':>9}{'MB':>6}")
    for load in loads:
        print(
            f"{load.at_a_time:>9}{load.answers:>9}{load.failed:>8}{load.per_second:>8.0f}{load.median:>8.0f}"
            f"{load.slowest:>8.0f}{load.steady_megabytes:>9.1f}{load.megabytes:>6.1f}"
        )
    return all(load.holds for load in loads)


def _measure(seconds: float, warm_up: int) -> list[SoakResult]:
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        work = Path(name)
        with Upstreams(work) as outside:
            outside.delay = SENDGRID_SECONDS
            with ServerProcess(_command(), _environment(work, outside), ROOT, work / "said.txt") as server:
                server.post(requests_file.signed_request())
                asyncio.run(_warm_up(server, warm_up))
                return [
                    asyncio.run(_load(server, THREADS, seconds)),
                    asyncio.run(_load(server, 5 * THREADS, seconds / 4)),
                ]


def _command() -> tuple[str, ...]:
    framework = str(Path(sys.executable).parent / "functions-framework")
    target = ("--target", "on_execute_post_change_password", "--source", str(ROOT / "main.py"))
    return (framework, *target, "--host", "127.0.0.1", "--port", "{port}")


def _environment(work: Path, outside: Upstreams) -> dict[str, str]:
    for name, value in SECRETS.items():
        (work / name).write_text(value)
    return {
        "SENDER_EMAIL": "security@example.com",
        "SUPPORT_CONTACT": "help@example.com",
        "SENDGRID_API_KEY_SECRET": str(work / "sendgrid-api-key"),
        "CALLOUT_SIGNING_KEY_SECRET": str(work / "callout-signing-key"),
        "SENDGRID_URL": outside.sendgrid_url,
        "PYTHONPATH": str(outside.certificates.certifi),
        "THREADS": str(THREADS),
    }


async def _warm_up(server: ServerProcess, count: int) -> None:
    async def call() -> None:
        for _ in range(count // THREADS):
            await _post(server.port, requests_file.signed_request())

    await asyncio.gather(*(call() for _ in range(THREADS)))


async def _load(server: ServerProcess, at_a_time: int, seconds: float) -> SoakResult:
    ends = time.monotonic() + seconds
    callers = [asyncio.create_task(_call(server.port, ends)) for _ in range(at_a_time)]
    await asyncio.sleep(seconds * STEADY_AFTER)
    steady = server.worker_megabytes()
    times = [each for caller in callers for each in await caller]
    answered = sorted(1000 * each for each in times if each is not None)
    return SoakResult(
        at_a_time=at_a_time,
        answers=len(answered),
        failed=len(times) - len(answered),
        per_second=len(answered) / seconds,
        median=answered[len(answered) // 2] if answered else 0.0,
        slowest=answered[-1] if answered else 0.0,
        steady_megabytes=steady,
        megabytes=server.worker_megabytes(),
    )


async def _call(port: int, ends: float) -> list[float | None]:
    """One callout after the other: how many seconds each took until its mail was sent; None: it was not."""
    times: list[float | None] = []
    while (began := time.monotonic()) < ends:
        try:
            answer = await _post(port, requests_file.signed_request())
        except (OSError, asyncio.IncompleteReadError):
            answer = b""
        is_sent = answer.startswith(b"HTTP/1.1 200 ") and b'"status": "sent"' in answer
        times.append(time.monotonic() - began if is_sent else None)
    return times


async def _post(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await read_message(reader)
    finally:
        writer.close()
