"""Fixtures for the product's tests: settings, a fake clock, a callout signer, and captured log lines."""

import base64
import hashlib
import hmac
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest

from notice.languages import is_available
from runtime import log
from runtime.clock import Clock
from settings import Settings, load

# A shell ignores SIGINT in what it runs in the background, and every process that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, and no deadline per example: neither chance nor a slow machine must fail a test.
hypothesis.settings.register_profile(
    "exact", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("exact")

SIGNING_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MakeSettings = Callable[..., Settings]
Sign = Callable[..., dict[str, str]]
Lines = Callable[[], list[dict[str, Any]]]
Console = Callable[[], AbstractContextManager[None]]


@dataclass
class FakeTime:
    """A clock that advances only when a test, or the code's own sleep, advances it."""

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
    """Return the required settings."""
    return {
        "SENDER_EMAIL": "security@example.com",
        "SUPPORT_CONTACT": "help@example.com",
        "SENDGRID_API_KEY_SECRET": "projects/p/secrets/sendgrid",
        "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/callout",
    }


@pytest.fixture
def make_settings(environment: dict[str, str]) -> MakeSettings:
    """Return a function that loads the required settings and those given as keyword arguments."""

    def make(**overrides: str) -> Settings:
        return load({**environment, **overrides}, is_language=is_available)

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
def sign(time: FakeTime) -> Sign:
    """Return a function that makes a callout's three webhook headers, using only the standard library."""

    def headers(
        body: bytes,
        *,
        webhook_id: str = "msg_1",
        timestamp: int | None = None,
        keys: tuple[str, ...] = (SIGNING_KEY,),
    ) -> dict[str, str]:
        seconds = int(time.now) if timestamp is None else timestamp
        signed = b"%s.%d.%s" % (webhook_id.encode(), seconds, body)
        signatures = [
            base64.b64encode(hmac.new(base64.b64decode(key[6:]), signed, hashlib.sha256).digest()).decode()
            for key in keys
        ]
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }

    return headers


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """Return a function that reads the log lines written since its last call."""

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return read


@pytest.fixture
def console() -> Console:
    """Return a context manager function that installs the log."""

    @contextmanager
    def installed() -> Iterator[None]:
        root, original = logging.getLogger(), (sys.stdout, sys.stderr)
        handlers, root.handlers, level = root.handlers, [], root.level
        try:
            log.install()
            yield
        finally:
            sys.stdout, sys.stderr = original
            root.handlers = handlers
            root.setLevel(level)

    return installed


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Clear the secrets that the log redacts, so that no test affects the next one."""
    yield
    log._secrets.clear()
