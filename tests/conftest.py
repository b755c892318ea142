"""What the tests of the product share: settings, a clock that stands still, a signer, and the log's lines."""

import base64
import hashlib
import hmac
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest

from runtime import log
from runtime.clock import Clock
from settings import Settings, load

# How fast this machine is, is no property of the code.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

SIGNING_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MakeSettings = Callable[..., Settings]
Sign = Callable[..., dict[str, str]]
Lines = Callable[[], list[dict[str, Any]]]
Console = Callable[[], AbstractContextManager["Streams"]]


class Stream(io.StringIO):
    """A standard stream of the host's."""

    name = "<host>"
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@dataclass
class Streams:
    out: Stream = field(default_factory=Stream)
    err: Stream = field(default_factory=Stream)


@dataclass
class FakeTime:
    """Time that passes only where a test, or the code's own sleep, lets it."""

    now: float = 1_800_000_000.0
    monotonic: float = 1000.0
    random: float = 0.0
    slept: list[float] = field(default_factory=list)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, lambda: self.monotonic, self.sleep, lambda: self.random)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def environment() -> dict[str, str]:
    """The least that has to be set."""
    return {
        "SENDER_EMAIL": "security@example.com",
        "SUPPORT_CONTACT": "help@example.com",
        "SENDGRID_API_KEY_SECRET": "projects/p/secrets/sendgrid",
        "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/callout",
    }


@pytest.fixture
def make_settings(environment: dict[str, str]) -> MakeSettings:
    """Settings of the least environment and of what a test adds to it."""

    def make(**more: str) -> Settings:
        return load({**environment, **more})

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
def sign(time: FakeTime) -> Sign:
    """The three headers of a callout, made with the standard library alone."""

    def headers(
        body: bytes,
        *,
        webhook_id: str = "msg_1",
        timestamp: int | None = None,
        keys: tuple[str, ...] = (SIGNING_KEY,),
    ) -> dict[str, str]:
        stamp = int(time.now) if timestamp is None else timestamp
        text = b"%s.%d.%s" % (webhook_id.encode(), stamp, body)
        made = [
            base64.b64encode(hmac.new(base64.b64decode(key[6:]), text, hashlib.sha256).digest()).decode()
            for key in keys
        ]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in made),
        }

    return headers


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """The lines of the log since the last call."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return read


@pytest.fixture
def console() -> Console:
    """`with console() as streams:` the log is installed over streams of the test's own."""

    @contextmanager
    def installed() -> Iterator[Streams]:
        root, streams, before = logging.getLogger(), Streams(), (sys.stdout, sys.stderr)
        handlers, root.handlers, level = root.handlers, [], root.level
        sys.stdout, sys.stderr = streams.out, streams.err
        try:
            log.install()
            yield streams
        finally:
            sys.stdout, sys.stderr = before
            root.handlers = handlers
            root.setLevel(level)

    return installed


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """What one test's log hides, the next one's shows."""
    yield
    log._secrets.clear()
