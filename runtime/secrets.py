"""Secrets: read from Secret Manager, or from the file that Cloud Run mounted; cached, read again, kept in an outage.

An outage (5xx, 429, no network) lets the old value serve, for a day at most. A refusal (403, 404, a disabled version)
is an answer: the value is dropped at once.
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
from runtime.secret_sources import PermanentError, TemporaryError, reader
from settings import Settings

MAX_STALE_SECONDS = 24 * 3600
OUTAGE_SECONDS = 10  # how long an old value serves before an outage is asked about again
PATIENCE_SECONDS = 4.0  # for one reading in all, less than a callout's deadline
SHORT_PATIENCE_SECONDS = 1.0  # the same where an old value can serve


class Secret(str):
    """A secret's value: a string whose repr is masked, and which can be read anew."""

    _renew: Callable[[], "Secret"]

    def __new__(cls, text: str, renew: Callable[[], "Secret"]) -> "Secret":
        secret = super().__new__(cls, text)
        secret._renew = renew
        return secret

    def __repr__(self) -> str:
        return "'[secret]'"

    def refresh(self) -> "Secret":
        """The value as it stands now, read past the cache. Raises Unavailable (secret_unavailable)."""
        return self._renew()


class _Value(NamedTuple):
    text: str
    read_at: float  # monotonic seconds
    asked_at: float  # later than read_at: the last time there was an outage

    def serves(self, now: float, max_age: float, *, in_outage: bool) -> bool:
        asked_lately = self.asked_at > self.read_at and now - self.asked_at < OUTAGE_SECONDS
        return now - self.read_at < max_age or (asked_lately and in_outage)


class SecretCache:
    """The cache of this process. Safe for threads; each secret is read by one thread at a time."""

    def __init__(self, settings: Settings, *, fetch: Callable[[str], str] | None = None, clock: Clock = CLOCK) -> None:
        self._max_age, self._clock = settings.secret_max_age_seconds, clock
        self._fetch = fetch or reader(settings, clock)
        self._values: dict[str, _Value] = {}
        self._reading: dict[str, Future[str]] = {}
        self._lock = threading.Lock()

    def get(
        self, source: str, *, max_age: float | None = None, allow_stale: bool = True, deadline: float = math.inf
    ) -> str:
        """The value at `source`, at most `max_age` seconds old (default: SECRET_MAX_AGE_SECONDS).

        `allow_stale`: in an outage an older one will do. Waits no longer than to `deadline` (monotonic seconds).
        Raises Unavailable (secret_unavailable).
        """
        began = self._clock.monotonic()
        with self._lock:
            value = self._values.get(source)
            age = self._max_age if max_age is None else max_age
            # Who knows that the value is no good (0) has it read, even where the last reading failed a moment ago.
            if value and value.serves(began, age, in_outage=max_age != 0):
                return value.text
            reading = self._reading.get(source) or self._start(source)
        patience = PATIENCE_SECONDS if value is None or max_age is not None else SHORT_PATIENCE_SECONDS
        try:
            return reading.result(min(patience, max(deadline - began, 0)))
        except (FutureTimeoutError, TemporaryError) as error:
            return self._old(source, value if allow_stale else None, str(error) or "no answer in time")
        finally:
            log.add_network_seconds(self._clock.monotonic() - began)

    def _start(self, source: str) -> Future[str]:
        """Read in a thread of its own: whatever hangs outside, who waits has a time-out."""
        reading = self._reading[source] = Future()
        threading.Thread(target=self._read, args=(source, reading), daemon=True).start()
        return reading

    def _read(self, source: str, reading: Future[str]) -> None:
        try:
            result = self._read_now(source)
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it)
            self._reading.pop(source)
            reading.set_exception(error)
        else:
            self._reading.pop(source)
            reading.set_result(result)

    def _read_now(self, source: str) -> str:
        try:
            text = self._fetch(source).strip()
        except PermanentError as refused:
            self._values.pop(source, None)
            raise _unavailable(source, str(refused)) from refused
        for words in (text, *text.split()):
            log.redact_secret(words)
        now = self._clock.monotonic()
        self._values[source] = _Value(text, now, now)
        return text

    def _old(self, source: str, old: _Value | None, cause: str) -> str:
        now = self._clock.monotonic()
        if old is None or now - old.read_at > MAX_STALE_SECONDS:
            raise _unavailable(source, cause)
        with self._lock:
            is_first = self._values.get(source) is old  # and it was not read anew, or dropped, in the meantime
            if is_first:
                self._values[source] = _Value(old.text, old.read_at, now)
        if is_first:
            age = now - old.read_at
            log.write(
                "WARNING", f"{source}: {cause}; the value read {age:.0f} s ago serves", code="stale_secret_served"
            )
        return old.text


def _unavailable(source: str, cause: str) -> Unavailable:
    return Unavailable("secret_unavailable", "a secret cannot be read", cause=f"{source}: {cause}")


class ActionSecrets(Mapping[str, Secret]):
    """`event.secrets`: an Action's secrets by name, read when they are used. The signing key is never among them."""

    def __init__(self, sources: Mapping[str, str], secrets: SecretCache, deadline: float = math.inf) -> None:
        self._sources, self._secrets, self._deadline = sources, secrets, deadline

    def __getattr__(self, name: str) -> Secret:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self._sources)
            raise AttributeError(f"no secret {name}: declare {name}_SECRET; declared: {known}") from None

    def __getitem__(self, name: str) -> Secret:
        return self._get(self._sources[name])

    def _get(self, source: str, **how: Any) -> Secret:
        text = self._secrets.get(source, deadline=self._deadline, **how)
        # Whoever asks anew has been told that this value is none: in an outage it must not stand in for its successor.
        return Secret(text, lambda: self._get(source, max_age=0, allow_stale=False))

    def __iter__(self) -> Any:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __repr__(self) -> str:
        return f"ActionSecrets({', '.join(self._sources)})"
