"""Secrets, cached and shared by all threads, read from Secret Manager or from the file that Cloud Run mounts.

During an outage (5xx, 429, no network), the cached value is served stale, for a day at most. A permanent error (403,
404, a disabled version) isn't an outage: the value is dropped immediately.
"""

import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, NamedTuple

from runtime import log
from runtime.clock import CLOCK, Clock
from runtime.errors import Unavailable
from runtime.secret_sources import PermanentError, TemporaryError, build_reader
from settings import Settings

MAX_STALE_SECONDS = 24 * 3600
OUTAGE_RETRY_SECONDS = 10  # how long to serve a stale value before reading again
READ_TIMEOUT_SECONDS = 4.0  # for one read, including its retry; less than a callout's deadline
STALE_READ_TIMEOUT_SECONDS = 1.0  # the same, if a stale value is available


class Secret(str):
    """A secret's value: a string that can be refreshed and whose repr is redacted."""

    _refresh: Callable[[], "Secret"]

    def __new__(cls, text: str, refresh: Callable[[], "Secret"]) -> "Secret":
        secret = super().__new__(cls, text)
        secret._refresh = refresh
        return secret

    def __repr__(self) -> str:
        return "'[secret]'"

    def refresh(self) -> "Secret":
        """Return the current value, bypassing the cache. Raises Unavailable (secret_unavailable)."""
        return self._refresh()


class _CachedValue(NamedTuple):
    text: str
    read_at: float  # monotonic seconds
    checked_at: float  # monotonic seconds; later than read_at if the last read failed in an outage

    def is_fresh(self, now: float, max_age: float, *, tolerate_outage: bool) -> bool:
        """Return whether to use the value without reading again: it is young enough, or the last read, which failed
        in an outage, is too recent to retry."""
        failed_recently = self.checked_at > self.read_at and now - self.checked_at < OUTAGE_RETRY_SECONDS
        return now - self.read_at < max_age or (failed_recently and tolerate_outage)


class SecretCache:
    """The secret cache of this process. Thread-safe; only one thread at a time reads a secret."""

    def __init__(self, settings: Settings, *, fetch: Callable[[str], str] | None = None, clock: Clock = CLOCK) -> None:
        self._max_age, self._clock = settings.secret_max_age_seconds, clock
        self._fetch = fetch or build_reader(settings, clock)
        self._values: dict[str, _CachedValue] = {}
        self._reads: dict[str, Future[str]] = {}  # in progress, by source
        self._lock = threading.Lock()

    def get(
        self, source: str, *, max_age: float | None = None, allow_stale: bool = True, deadline: float = math.inf
    ) -> str:
        """Return the value at `source`, at most `max_age` seconds old (default: SECRET_MAX_AGE_SECONDS).

        `max_age=0` means the caller knows the value is invalid: always read again, even right after a failed read.
        `allow_stale`: return an older value during an outage. Waits until `deadline` (monotonic seconds) at most.
        Raises Unavailable (secret_unavailable).
        """
        started = self._clock.monotonic()
        with self._lock:
            value = self._values.get(source)
            age = self._max_age if max_age is None else max_age
            if value and value.is_fresh(started, age, tolerate_outage=max_age != 0):
                return value.text
            read = self._reads.get(source) or self._start_read(source)
        timeout = READ_TIMEOUT_SECONDS if value is None or max_age is not None else STALE_READ_TIMEOUT_SECONDS
        try:
            return read.result(min(timeout, max(deadline - started, 0)))
        except (FutureTimeoutError, TemporaryError) as error:
            return self._serve_stale(source, value if allow_stale else None, str(error) or "timed out")
        finally:
            log.add_network_seconds(self._clock.monotonic() - started)

    def _start_read(self, source: str) -> Future[str]:
        """Read in a separate thread, so that callers can time out even if the source hangs."""
        read = self._reads[source] = Future()
        threading.Thread(target=self._read, args=(source, read), daemon=True).start()
        return read

    def _read(self, source: str, read: Future[str]) -> None:
        try:
            text = self._fetch_and_store(source)
        except BaseException as error:  # noqa: BLE001  (raised in every waiting thread)
            self._reads.pop(source)
            read.set_exception(error)
        else:
            self._reads.pop(source)
            read.set_result(text)

    def _fetch_and_store(self, source: str) -> str:
        try:
            text = self._fetch(source).strip()
        except PermanentError as error:
            self._values.pop(source, None)
            raise _unavailable(source, str(error)) from error
        for part in (text, *text.split()):
            log.redact_secret(part)
        now = self._clock.monotonic()
        self._values[source] = _CachedValue(text, now, now)
        return text

    def _serve_stale(self, source: str, stale: _CachedValue | None, cause: str) -> str:
        now = self._clock.monotonic()
        if stale is None or now - stale.read_at > MAX_STALE_SECONDS:
            raise _unavailable(source, cause)
        with self._lock:
            is_current = self._values.get(source) is stale  # not replaced or dropped in the meantime
            if is_current:
                self._values[source] = _CachedValue(stale.text, stale.read_at, now)
        if is_current:
            age = now - stale.read_at
            log.write(
                "WARNING", f"{source}: {cause}; serving the value read {age:.0f} s ago", code="stale_secret_served"
            )
        return stale.text


def _unavailable(source: str, cause: str) -> Unavailable:
    return Unavailable("secret_unavailable", "can't read a secret", cause=f"{source}: {cause}")


class ActionSecrets(Mapping[str, Secret]):
    """`event.secrets`: an Action's secrets by name, read on first use. The signing key is never among them."""

    def __init__(self, sources: Mapping[str, str], secrets: SecretCache, deadline: float = math.inf) -> None:
        self._sources, self._secrets, self._deadline = sources, secrets, deadline

    def __getattr__(self, name: str) -> Secret:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self._sources)
            raise AttributeError(f"no secret named {name}: declare {name}_SECRET; declared: {known}") from None

    def __getitem__(self, name: str) -> Secret:
        return self._get(self._sources[name])

    def _get(self, source: str, **options: Any) -> Secret:
        text = self._secrets.get(source, deadline=self._deadline, **options)
        # A caller that refreshes knows the cached value was rejected, so don't fall back to it during an outage.
        return Secret(text, lambda: self._get(source, max_age=0, allow_stale=False))

    def __iter__(self) -> Any:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __repr__(self) -> str:
        return f"ActionSecrets({', '.join(self._sources)})"
