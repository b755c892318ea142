"""`api`: what Auth0 passes to a post-change-password Action in addition to the event, which is only a cache.

Limits and error codes are Auth0's, https://auth0.com/docs/customize/actions/limitations: a default lifetime of 15
minutes and a maximum of 24 hours, 20 entries, keys of 64 bytes, values of 4 kB, and 8 kB in total.
"""

import threading
from typing import NamedTuple

from runtime.clock import CLOCK, Clock

DEFAULT_TTL_MS = 15 * 60 * 1000
MAX_TTL_MS = 24 * 60 * 60 * 1000
MAX_KEY_BYTES, MAX_VALUE_BYTES, MAX_CACHE_BYTES, MAX_ENTRIES = 64, 4096, 8192, 20


class CacheRecord(NamedTuple):
    value: str
    expires_at: float  # Unix milliseconds


class CacheWrite(NamedTuple):
    """The result of a write: `type` is success or error, `code` is one of Auth0's error codes."""

    type: str
    code: str | None = None
    record: CacheRecord | None = None


class Cache:
    """`api.cache`: strings, shared by the Actions of this instance; each instance has its own cache."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self._clock = clock
        self._records: dict[str, CacheRecord] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> CacheRecord | None:
        """Return the record, or None if it doesn't exist or has expired."""
        with self._lock:
            self._drop_expired()
            return self._records.get(key)

    def set(self, key: str, value: str, *, ttl: float | None = None, expires_at: float | None = None) -> CacheWrite:
        """Store `value` for `ttl` milliseconds or until `expires_at` (Unix milliseconds), whichever is earlier."""
        now = self._clock.now() * 1000
        expiries = [expiry for expiry in (ttl and now + ttl, expires_at) if expiry is not None]
        record = CacheRecord(value, min(expiries, default=now + DEFAULT_TTL_MS))
        with self._lock:
            self._drop_expired()
            code = self._error_code(key, record, now)
            if code is not None:
                return CacheWrite("error", code)
            self._records[key] = record
            return CacheWrite("success", record=record)

    def delete(self, key: str) -> CacheWrite:
        with self._lock:
            self._drop_expired()
            record = self._records.pop(key, None)
            return CacheWrite("success") if record else CacheWrite("error", "CacheKeyDoesNotExist")

    def _error_code(self, key: str, record: CacheRecord, now: float) -> str | None:
        others = {name: other for name, other in self._records.items() if name != key}
        errors = {
            "CacheKeySizeExceeded": _size(key) > MAX_KEY_BYTES,
            "CacheValueSizeExceeded": _size(record.value) > MAX_VALUE_BYTES,
            "ItemAlreadyExpired": record.expires_at <= now,
            "InvalidExpiry": record.expires_at > now + MAX_TTL_MS,
            "MaxSideEffectsExceeded": len(others) >= MAX_ENTRIES,
            "CacheSizeExceeded": _total_size(others) + _total_size({key: record}) > MAX_CACHE_BYTES,
        }
        return next((code for code, is_error in errors.items() if is_error), None)

    def _drop_expired(self) -> None:
        now = self._clock.now() * 1000
        self._records = {key: record for key, record in self._records.items() if record.expires_at > now}


class Api:
    """The `api` argument of an Action."""

    def __init__(self, clock: Clock = CLOCK) -> None:
        self.cache = Cache(clock)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _total_size(records: dict[str, CacheRecord]) -> int:
    return sum(_size(key) + _size(record.value) for key, record in records.items())
