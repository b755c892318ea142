"""`api`: what Auth0 gives a post-change-password Action beside the event: a cache, and nothing else.

Limits and error codes are Auth0's: https://auth0.com/docs/customize/actions/limitations (a default lifetime of
15 minutes and a longest one of 24 hours, 20 entries, keys of 64 bytes, values of 4 kB, 8 kB in all).
"""

import threading
from typing import NamedTuple

from runtime.clock import CLOCK, Clock

DEFAULT_MILLISECONDS = 15 * 60 * 1000
LONGEST_MILLISECONDS = 24 * 60 * 60 * 1000
LARGEST_KEY, LARGEST_VALUE, LARGEST_CACHE, MOST_ENTRIES = 64, 4096, 8192, 20  # bytes, bytes, bytes, entries


class CacheRecord(NamedTuple):
    value: str
    expires_at: float  # unix milliseconds


class CacheWrite(NamedTuple):
    """What a write says: `type` is success or error, `code` one of Auth0's error codes."""

    type: str
    code: str | None = None
    record: CacheRecord | None = None


class Cache:
    """`api.cache`: strings, shared by the Actions of this instance; another instance has its own."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._records: dict[str, CacheRecord] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> CacheRecord | None:
        """The record, or None where there is none or it has expired."""
        with self._lock:
            self._drop_expired()
            return self._records.get(key)

    def set(self, key: str, value: str, *, ttl: float | None = None, expires_at: float | None = None) -> CacheWrite:
        """Keep `value` for `ttl` milliseconds, or until `expires_at` (unix milliseconds); the earlier of the two."""
        now = self._clock.now() * 1000
        lives = [moment for moment in (ttl and now + ttl, expires_at) if moment is not None]
        record = CacheRecord(value, min(lives, default=now + DEFAULT_MILLISECONDS))
        with self._lock:
            self._drop_expired()
            code = self._fault(key, record, now)
            if code is not None:
                return CacheWrite("error", code)
            self._records[key] = record
            return CacheWrite("success", record=record)

    def delete(self, key: str) -> CacheWrite:
        with self._lock:
            self._drop_expired()
            found = self._records.pop(key, None)
            return CacheWrite("success") if found else CacheWrite("error", "CacheKeyDoesNotExist")

    def _fault(self, key: str, record: CacheRecord, now: float) -> str | None:
        others = {name: kept for name, kept in self._records.items() if name != key}
        faults = {
            "CacheKeySizeExceeded": _size(key) > LARGEST_KEY,
            "CacheValueSizeExceeded": _size(record.value) > LARGEST_VALUE,
            "ItemAlreadyExpired": record.expires_at <= now,
            "InvalidExpiry": record.expires_at > now + LONGEST_MILLISECONDS,
            "MaxSideEffectsExceeded": len(others) >= MOST_ENTRIES,
            "CacheSizeExceeded": _cost(others) + _cost({key: record}) > LARGEST_CACHE,
        }
        return next((code for code, wrong in faults.items() if wrong), None)

    def _drop_expired(self) -> None:
        now = self._clock.now() * 1000
        self._records = {key: record for key, record in self._records.items() if record.expires_at > now}


class Api:
    """What an Action gets as `api`."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self.cache = Cache(clock)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _cost(records: dict[str, CacheRecord]) -> int:
    return sum(_size(key) + _size(record.value) for key, record in records.items())
