"""The settings of a Cloud Tasks queue: when to retry failed tasks, and how fast to dispatch.

Pure: no clock, no threads. Times are in seconds. Error messages are the service's.
"""

import math
import re
from dataclasses import dataclass, replace

from emulator.core.google_api import ApiError, Json

RETENTION_SECONDS = 31 * 86_400.0  # maximum age of a task [Cloud Tasks quotas]
_DURATION = re.compile(r"(-?\d+(\.\d+)?)s")


@dataclass(frozen=True)
class RetryConfig:
    """When to retry a failed task. The defaults are those of a new queue."""

    max_attempts: int = 100  # including the first one; -1: unlimited
    max_duration: float = 0.0  # since the first attempt; 0: unlimited
    min_backoff: float = 0.1
    max_backoff: float = 3600.0
    max_doublings: int = 16

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after the given number of failures (from 1).

        `min_backoff` doubles `max_doublings` times, then grows linearly up to `max_backoff`: 10 s with 3 doublings and
        300 s gives 10, 20, 40, 80, 160, 240, 300, 300 [RetryConfig.max_doublings].
        """
        most = min(self.max_doublings, 60)  # more would overflow a float
        doublings = min(failures - 1, most)
        linear_steps = failures - 1 - doublings
        return min(self.min_backoff * 2.0**doublings + linear_steps * self.min_backoff * 2.0**most, self.max_backoff)

    def is_exhausted(self, attempts: int, elapsed: float) -> bool:
        """Return whether to drop a task: every limit that is set must be reached [RetryConfig.max_attempts]."""
        reached = []
        if self.max_attempts != -1:
            reached.append(attempts >= self.max_attempts)
        if self.max_duration > 0:
            reached.append(elapsed >= self.max_duration)
        return bool(reached) and all(reached)

    def merged(self, fields: Json) -> "RetryConfig":
        """Return a copy with these fields of a RetryConfig in JSON. Raise ApiError if one is invalid."""
        attempts, doublings = _number_field(fields, "maxAttempts"), _number_field(fields, "maxDoublings")
        retry = RetryConfig(
            max_attempts=int(attempts) if attempts else self.max_attempts,
            max_duration=_duration_field(fields, "maxRetryDuration", self.max_duration),
            min_backoff=_duration_field(fields, "minBackoff", self.min_backoff),
            max_backoff=_duration_field(fields, "maxBackoff", self.max_backoff),
            max_doublings=self.max_doublings if doublings is None else int(doublings),
        )
        _reject_if(retry.max_attempts < -1, "RetryConfig.maxAttempts must be greater or equal to -1.")
        _reject_if(retry.max_doublings < 0, "RetryConfig.maxDoublings cannot be negative.")
        _reject_if(retry.min_backoff < 0, "RetryConfig.minBackoff cannot be negative.")
        order = "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        _reject_if(retry.min_backoff > retry.max_backoff, order)
        return retry

    def resource(self) -> Json:
        return {
            "maxAttempts": self.max_attempts,
            **({"maxRetryDuration": format_duration(self.max_duration)} if self.max_duration else {}),
            "minBackoff": format_duration(self.min_backoff),
            "maxBackoff": format_duration(self.max_backoff),
            "maxDoublings": self.max_doublings,
        }


@dataclass(frozen=True)
class RateLimits:
    """How fast a queue dispatches. The defaults are those of a new queue."""

    per_second: float = 500.0
    concurrent: int = 1000

    @property
    def burst(self) -> int:
        """Return the size of the token bucket, which the service chooses: 100 for the default rate."""
        return max(10, math.ceil(self.per_second / 5))

    def merged(self, fields: Json) -> "RateLimits":
        """Return a copy with these fields of a RateLimits in JSON. Raise ApiError if one is invalid."""
        per_second, concurrent = (
            _number_field(fields, "maxDispatchesPerSecond"),
            _number_field(fields, "maxConcurrentDispatches"),
        )
        rate = replace(self, per_second=per_second or self.per_second, concurrent=int(concurrent or self.concurrent))
        _reject_if(rate.per_second < 0, "RateLimits.maxDispatchesPerSecond cannot be negative.")
        _reject_if(rate.per_second > 500, "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
        _reject_if(rate.concurrent < 0, "RateLimits.maxConcurrentDispatches cannot be negative.")
        _reject_if(rate.concurrent > 5000, "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
        return rate

    def resource(self) -> Json:
        return {
            "maxDispatchesPerSecond": self.per_second,
            "maxBurstSize": self.burst,
            "maxConcurrentDispatches": self.concurrent,
        }


def format_duration(seconds: float) -> str:
    """Format seconds as a google.protobuf.Duration in JSON."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds:.3f}s"


def parse_duration(text: object, path: str) -> float:
    """Return the seconds of a google.protobuf.Duration in JSON. Raise ApiError if it is invalid."""
    match = _DURATION.fullmatch(str(text))
    if match is None:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{path}' (type.googleapis.com/google.protobuf.Duration)")
    return float(match[1])


def _duration_field(owner: Json, name: str, default: float) -> float:
    return default if owner.get(name) is None else parse_duration(owner[name], name)


def _number_field(owner: Json, name: str) -> float | None:
    try:
        return None if owner.get(name) is None else float(owner[name])
    except (TypeError, ValueError) as error:
        raise ApiError("INVALID_ARGUMENT", f"Invalid value at '{name}'") from error


def _reject_if(invalid: bool, message: str) -> None:
    if invalid:
        raise ApiError("INVALID_ARGUMENT", message)
