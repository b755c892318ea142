"""Secrets, cached and shared by all threads, read from Secret Manager or from the file that Cloud Run mounts.

During an outage (5xx, 429, no network, a read that hangs), the cached value is served stale, for a day at most. A
permanent error (403, 404, a disabled version) isn't an outage: the value is dropped immediately.
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
MAX_READS = 20  # concurrent; while so many hang, a source is read again only every HUNG_RETRY_SECONDS
HUNG_RETRY_SECONDS = 600
STALE_READ_TIMEOUT_SECONDS = 1.0  # how long to wait for a read if a stale value is available


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
        """Return the current value, bypassing the cache. Raise Unavailable (secret_unavailable)."""
        return self._refresh()


class _CachedValue(NamedTuple):
    text: str  # empty if there is none, or after a permanent error
    read_at: float  # when the read that returned it started, in monotonic seconds
    failed_at: float = -math.inf  # when a later read last failed, in monotonic seconds

    def is_fresh(self, now: float, max_age: float) -> bool:
        """Return whether to use the value without reading again: it's young enough, or a read has just failed."""
        return bool(self.text) and (now - self.read_at < max_age or now - self.failed_at < OUTAGE_RETRY_SECONDS)


_NO_VALUE = _CachedValue("", -math.inf)


class _Read(NamedTuple):
    """A read, in a separate thread, so that callers can time out even if the source hangs."""

    started: float  # monotonic seconds
    text: Future[str]

    def can_be_joined(self, now: float, min_interval: float, max_age: float) -> bool:
        age = now - self.started
        return age < min_interval or (age < max_age and not self.text.done())


class SecretCache:
    """The secret cache of this process. Thread-safe; concurrent callers share one read."""

    def __init__(self, settings: Settings, *, fetch: Callable[[str], str] | None = None, clock: Clock = CLOCK) -> None:
        self._max_age, self._clock = settings.secret_max_age_seconds, clock
        self._fetch = fetch or build_reader(settings, clock)
        self._values: dict[str, _CachedValue] = {}
        self._reads: dict[tuple[str, bool], _Read] = {}  # the latest, by source and whether it is a refresh
        self._running = 0  # reads, including those that hang
        self._lock = threading.Lock()

    def get(self, source: str, *, max_age: float | None = None, deadline: float = math.inf) -> str:
        """Return the value at `source`, at most `max_age` seconds old (default: SECRET_MAX_AGE_SECONDS), or an older
        one during an outage. Wait until `deadline` (monotonic seconds) at most.

        Raise Unavailable (secret_unavailable).
        """
        now, value = self._clock.monotonic(), self._values.get(source, _NO_VALUE)
        if value.is_fresh(now, self._max_age if max_age is None else max_age):
            return value.text
        try:
            return self._read(source, min(deadline, now + STALE_READ_TIMEOUT_SECONDS) if value.text else deadline)
        except TemporaryError as error:
            return self._serve_stale(source, str(error))

    def refresh(self, source: str, *, min_interval: float = 0.0, deadline: float = math.inf) -> str:
        """Read the value at `source` again, because the caller knows that the cached one is outdated.

        Within `min_interval` seconds of the previous refresh, its result counts instead, even if it failed, unless a
        value has been read since. Raise Unavailable (secret_unavailable).
        """
        now, value, previous = self._clock.monotonic(), self._values.get(source), self._reads.get((source, True))
        if value and value.text and previous and now - min_interval < previous.started < value.read_at:
            return value.text
        try:
            return self._read(source, deadline, refresh=True, min_interval=min_interval)
        except TemporaryError as error:
            raise _unavailable(source, str(error)) from error

    def _read(self, source: str, deadline: float, *, refresh: bool = False, min_interval: float = 0.0) -> str:
        """Return the result of the latest read if it can be joined, or of a new one.

        A refresh joins only a refresh: another read may have started before the value changed.
        """
        started = self._clock.monotonic()
        with self._lock:
            read = self._reads.get((source, refresh))
            max_age = READ_TIMEOUT_SECONDS if self._running < MAX_READS else HUNG_RETRY_SECONDS
            if read is None or not read.can_be_joined(started, min_interval, max_age):
                read = self._reads[source, refresh] = self._start_read(source, started)
        try:
            # Not result(): one exception, raised for every caller, would keep all of their stack frames in memory.
            error = read.text.exception(max(0, min(deadline, read.started + READ_TIMEOUT_SECONDS) - started))
        except FutureTimeoutError:
            raise TemporaryError("timed out") from None
        finally:
            log.add_network_seconds(self._clock.monotonic() - started)
        if isinstance(error, PermanentError):
            raise _unavailable(source, str(error)) from error
        if error is not None:
            raise (TemporaryError if isinstance(error, TemporaryError) else RuntimeError)(str(error)) from error
        return read.text.result()

    def _start_read(self, source: str, started: float) -> _Read:
        read = _Read(started, Future())
        try:
            threading.Thread(target=self._run, args=(source, read), daemon=True).start()
        except RuntimeError as error:  # no more threads
            raise TemporaryError(str(error)) from error
        self._running += 1
        return read

    def _run(self, source: str, read: _Read) -> None:
        try:
            text = self._fetch(source).strip()
            for value in (text, *text.split()):  # a secret can contain several keys
                log.redact_secret(value)
            self._store(source, _CachedValue(text, read.started))
        except BaseException as error:  # noqa: BLE001  (raised in every waiting thread)
            if isinstance(error, PermanentError):
                self._store(source, _CachedValue("", read.started))
            read.text.set_exception(error)
        else:
            read.text.set_result(text)
        with self._lock:
            self._running -= 1

    def _store(self, source: str, value: _CachedValue) -> None:
        with self._lock:  # a read that took long doesn't replace the result of one that started later
            self._values[source] = max(value, self._values.get(source, _NO_VALUE), key=lambda stored: stored.read_at)

    def _serve_stale(self, source: str, cause: str) -> str:
        now = self._clock.monotonic()
        with self._lock:
            value = self._values.get(source, _NO_VALUE)
            if not value.text or now - value.read_at > MAX_STALE_SECONDS:
                raise _unavailable(source, cause)
            self._values[source] = value._replace(failed_at=now)
        if not value.is_fresh(now, 0):  # the first of several callers
            age = now - value.read_at
            log.write(
                "WARNING", f"{source}: {cause}; serving the value read {age:.0f} s ago", code="stale_secret_served"
            )
        return value.text


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
        source = self._sources[name]
        return self._secret(source, self._secrets.get(source, deadline=self._deadline))

    def _secret(self, source: str, text: str) -> Secret:
        return Secret(text, lambda: self._secret(source, self._secrets.refresh(source, deadline=self._deadline)))

    def __iter__(self) -> Any:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __repr__(self) -> str:
        return f"ActionSecrets({', '.join(self._sources)})"
