"""The settings of a Cloud Tasks queue: when a failed task is tried again, how fast and how wide the queue sends.

Pure: no clock, no threads. Times are seconds. Messages of refusals are those that the service gives.
"""

import math
import re
from dataclasses import dataclass, replace

from emulator.core.google_api import ApiError, Json

RETENTION_SECONDS = 31 * 86_400.0  # how long a task is kept at most [Cloud Tasks quotas]
_DURATION = re.compile(r"(-?\d+(\.\d+)?)s")


@dataclass(frozen=True)
class RetryConfig:
    """When a failed task is tried again. The defaults are those of a new queue."""

    max_attempts: int = 100  # the first one included; -1: unlimited
    max_duration: float = 0.0  # since the first attempt; 0: unlimited
    min_backoff: float = 0.1
    max_backoff: float = 3600.0
    max_doublings: int = 16

    def interval(self, failures: int) -> float:
        """How long to wait after the failure number `failures` (from 1).

        `min_backoff`, doubled `max_doublings` times, then growing by the last step, never over `max_backoff`: 10 s
        with 3 doublings and 300 s gives 10, 20, 40, 80, 160, 240, 300, 300 [RetryConfig.max_doublings].
        """
        most = min(self.max_doublings, 60)  # beyond any cap, and still a float
        doublings = min(failures - 1, most)
        further = failures - 1 - doublings
        return min(self.min_backoff * 2.0**doublings + further * self.min_backoff * 2.0**most, self.max_backoff)

    def exhausted(self, attempts: int, elapsed: float) -> bool:
        """Whether a task is given up: every limit that is set must be reached [RetryConfig.max_attempts]."""
        reached = []
        if self.max_attempts != -1:
            reached.append(attempts >= self.max_attempts)
        if self.max_duration > 0:
            reached.append(elapsed >= self.max_duration)
        return bool(reached) and all(reached)

    def changed(self, given: Json) -> "RetryConfig":
        """With the members that `given`, a RetryConfig in JSON, has. Raises ApiError."""
        attempts, doublings = _number(given, "maxAttempts"), _number(given, "maxDoublings")
        retry = RetryConfig(
            max_attempts=int(attempts) if attempts else self.max_attempts,
            max_duration=_seconds_of(given, "maxRetryDuration", self.max_duration),
            min_backoff=_seconds_of(given, "minBackoff", self.min_backoff),
            max_backoff=_seconds_of(given, "maxBackoff", self.max_backoff),
            max_doublings=self.max_doublings if doublings is None else int(doublings),
        )
        _refuse_if(retry.max_attempts < -1, "RetryConfig.maxAttempts must be greater or equal to -1.")
        _refuse_if(retry.max_doublings < 0, "RetryConfig.maxDoublings cannot be negative.")
        _refuse_if(retry.min_backoff < 0, "RetryConfig.minBackoff cannot be negative.")
        order = "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        _refuse_if(retry.min_backoff > retry.max_backoff, order)
        return retry

    def resource(self) -> Json:
        return {
            "maxAttempts": self.max_attempts,
            **({"maxRetryDuration": duration(self.max_duration)} if self.max_duration else {}),
            "minBackoff": duration(self.min_backoff),
            "maxBackoff": duration(self.max_backoff),
            "maxDoublings": self.max_doublings,
        }


@dataclass(frozen=True)
class RateLimits:
    """How fast and how wide a queue sends. The defaults are those of a new queue."""

    per_second: float = 500.0
    concurrent: int = 1000

    @property
    def burst(self) -> int:
        """The size of the token bucket. The service picks it; 100 for the default rate."""
        return max(10, math.ceil(self.per_second / 5))

    def changed(self, given: Json) -> "RateLimits":
        """With the members that `given`, a RateLimits in JSON, has. Raises ApiError."""
        speed, width = _number(given, "maxDispatchesPerSecond"), _number(given, "maxConcurrentDispatches")
        rate = replace(self, per_second=speed or self.per_second, concurrent=int(width or self.concurrent))
        _refuse_if(rate.per_second < 0, "RateLimits.maxDispatchesPerSecond cannot be negative.")
        _refuse_if(rate.per_second > 500, "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
        _refuse_if(rate.concurrent < 0, "RateLimits.maxConcurrentDispatches cannot be negative.")
        _refuse_if(rate.concurrent > 5000, "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
        return rate

    def resource(self) -> Json:
        return {
            "maxDispatchesPerSecond": self.per_second,
            "maxBurstSize": self.burst,
            "maxConcurrentDispatches": self.concurrent,
        }


def duration(seconds: float) -> str:
    """A google.protobuf.Duration in JSON."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds:.3f}s"


def seconds(text: object, path: str) -> float:
    """The seconds of a google.protobuf.Duration in JSON. Raises ApiError."""
    match = _DURATION.fullmatch(str(text))
    if match is None:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{path}' (type.googleapis.com/google.protobuf.Duration)")
    return float(match[1])


def _seconds_of(owner: Json, name: str, default: float) -> float:
    return default if owner.get(name) is None else seconds(owner[name], name)


def _number(owner: Json, name: str) -> float | None:
    try:
        return None if owner.get(name) is None else float(owner[name])
    except (TypeError, ValueError) as error:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{name}'") from error


def _refuse_if(wrong: bool, message: str) -> None:
    if wrong:
        raise ApiError("INVALID_ARGUMENT", message)
