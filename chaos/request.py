"""A callout of a chaos run: what was sent, the responses, and when."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from auth0.callout import OutgoingCallout
from bench.requests_file import event

Kind = Literal["forwarder", "duplicate", "late", "concurrent", "reordered", "clock skew", "stale", "forged"]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a callout, in monotonic seconds.

    `status` is 0 if there was no response. `code` is the body's `status` or `error.code`, or empty if unknown.
    `is_well_formed` means that a success has our ID and that a 503 has a valid Retry-After.
    """

    started: float
    ended: float
    status: int
    code: str = ""
    is_well_formed: bool = True

    @property
    def is_accepted(self) -> bool:
        return self.status in (200, 202)


@dataclass
class ChaosCallout:
    """A callout with a unique email address. `kind` determines who sends it and how."""

    number: int
    kind: Kind
    id: str = ""
    idempotency_key: str = ""  # for the forwarder, this and the ID are only known after the execution
    attempts: list[Attempt] = field(default_factory=list)
    forwarder_error: str = ""  # what the forwarder logged when it failed

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.id = "" if self.kind == "forwarder" else f"msg_{self.number:08d}"
        self.body = json.dumps({"event": event(self.address)}).encode()
        if self.id:
            self.identify(self.id, self.body)

    @property
    def address(self) -> str:
        return f"reader-{self.number:08d}@example.com"

    @property
    def expects_email(self) -> bool:
        return self.kind not in ("stale", "forged")

    def identify(self, webhook_id: str, body: bytes) -> None:
        self.id, self.idempotency_key = webhook_id, OutgoingCallout(body, webhook_id).idempotency_key

    def add(self, attempt: Attempt) -> Attempt:
        with self._lock:
            self.attempts.append(attempt)
        return attempt

    def headers(self, key: str, clock_skew: float = 0.0) -> dict[str, str]:
        """Return the headers of an attempt, signed with a clock that is off by `clock_skew` seconds."""
        return OutgoingCallout(self.body, self.id).headers(key, time.time() + clock_skew)
