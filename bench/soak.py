"""Soak test: load at the service's concurrency, then at five times that, while memory is measured."""

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
MAX_RESPONSE_SECONDS = 7.0  # the forwarder's timeout for one attempt
WARM_UP = 20_000  # callouts, enough to fill the idempotency cache, so that memory use is steady
STEADY_AFTER_FRACTION = 1 / 4  # of the duration; until then memory can still grow with concurrency
MAX_GROWTH = 0.05


@dataclass(frozen=True)
class SoakResult:
    """Result of a load at one concurrency. Latencies are in milliseconds; memory is the worker's RSS in megabytes."""

    concurrency: int
    responses: int
    failed: int
    responses_per_second: float
    median_ms: float
    max_ms: float
    steady_mb: float
    final_mb: float

    @property
    def passed(self) -> bool:
        is_flat = self.final_mb <= self.steady_mb * (1 + MAX_GROWTH)
        return not self.failed and self.max_ms < MAX_RESPONSE_SECONDS * 1000 and is_flat


def run(seconds: float = 60.0, warm_up: int = WARM_UP) -> bool:
    """Run both loads and print a table. Return whether no callout failed or hung and memory stayed flat."""
    results = _measure(seconds, warm_up)
    header = ("concurrency", "responses", "failed", "per s", "p50 ms", "max ms", "steady MB", "final MB")
    print("".join(f"{name:>12}" for name in header))
    for result in results:
        print(
            f"{result.concurrency:>12}{result.responses:>12}{result.failed:>12}{result.responses_per_second:>12.0f}"
            f"{result.median_ms:>12.0f}{result.max_ms:>12.0f}{result.steady_mb:>12.1f}{result.final_mb:>12.1f}"
        )
    return all(result.passed for result in results)


def _measure(seconds: float, warm_up: int) -> list[SoakResult]:
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        work = Path(name)
        with Upstreams(work) as upstreams:
            upstreams.delay = SENDGRID_SECONDS
            with ServerProcess(_command(), _environment(work, upstreams), ROOT, work / "output.txt") as server:
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


def _environment(work: Path, upstreams: Upstreams) -> dict[str, str]:
    for name, value in SECRETS.items():
        (work / name).write_text(value)
    return {
        "SENDER_EMAIL": "security@example.com",
        "SUPPORT_CONTACT": "help@example.com",
        "SENDGRID_API_KEY_SECRET": str(work / "sendgrid-api-key"),
        "CALLOUT_SIGNING_KEY_SECRET": str(work / "callout-signing-key"),
        "SENDGRID_URL": upstreams.sendgrid_url,
        "REQUESTS_CA_BUNDLE": str(upstreams.certificates.hashed),
        "THREADS": str(THREADS),
    }


async def _warm_up(server: ServerProcess, count: int) -> None:
    async def call() -> None:
        for _ in range(count // THREADS):
            await _post(server.port, requests_file.signed_request())

    await asyncio.gather(*(call() for _ in range(THREADS)))


async def _load(server: ServerProcess, concurrency: int, seconds: float) -> SoakResult:
    deadline = time.monotonic() + seconds
    clients = [asyncio.create_task(_send_callouts(server.port, deadline)) for _ in range(concurrency)]
    await asyncio.sleep(seconds * STEADY_AFTER_FRACTION)
    steady_mb = server.worker_rss_mb()
    durations = [duration for client in clients for duration in await client]
    latencies_ms = sorted(1000 * duration for duration in durations if duration is not None)
    return SoakResult(
        concurrency=concurrency,
        responses=len(latencies_ms),
        failed=len(durations) - len(latencies_ms),
        responses_per_second=len(latencies_ms) / seconds,
        median_ms=latencies_ms[len(latencies_ms) // 2] if latencies_ms else 0.0,
        max_ms=latencies_ms[-1] if latencies_ms else 0.0,
        steady_mb=steady_mb,
        final_mb=server.worker_rss_mb(),
    )


async def _send_callouts(port: int, deadline: float) -> list[float | None]:
    """Send callouts one after another. Return how many seconds each took, or None if no email was sent."""
    durations: list[float | None] = []
    while (started := time.monotonic()) < deadline:
        try:
            response = await _post(port, requests_file.signed_request())
        except (OSError, asyncio.IncompleteReadError):
            response = b""
        is_sent = response.startswith(b"HTTP/1.1 200 ") and b'"status": "sent"' in response
        durations.append(time.monotonic() - started if is_sent else None)
    return durations


async def _post(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await read_message(reader)
    finally:
        writer.close()
