"""A callout of the fault run: what was sent, what was answered, and when."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from auth0.callout import OutgoingCallout
from bench.requests_file import event

Kind = Literal["action", "duplicate", "late", "concurrent", "reordered", "clock off", "stale", "forged"]


@dataclass(frozen=True)
class Attempt:
    """`status` 0: no answer came. `word` is the answer's status or its error's code; empty: not known.

    `right`: the answer has what goes with it: our id, or Retry-After.
    """

    began: float
    ended: float
    status: int
    word: str = ""
    right: bool = True

    @property
    def accepted(self) -> bool:
        return self.status in (200, 202)


@dataclass
class ChaosCallout:
    """`kind` says who sends it, and how. The address is of no other callout."""

    number: int
    kind: Kind
    id: str = ""
    key: str = ""  # the idempotency key; as the id, known of an Auth0 execution only when it is over
    attempts: list[Attempt] = field(default_factory=list)
    gave_up: str = ""  # what the Action said when it failed

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.id = "" if self.kind == "action" else f"msg_{self.number:08d}"
        self.body = json.dumps({"event": event(self.address)}).encode()
        if self.id:
            self.know(self.id, self.body)

    @property
    def address(self) -> str:
        return f"reader-{self.number:08d}@example.com"

    @property
    def is_for_mail(self) -> bool:
        return self.kind not in ("stale", "forged")

    def know(self, webhook_id: str, body: bytes) -> None:
        self.id, self.key = webhook_id, OutgoingCallout(body, webhook_id).idempotency_key

    def add(self, attempt: Attempt) -> Attempt:
        with self._lock:
            self.attempts.append(attempt)
        return attempt

    def headers(self, key: str, clock_off: float = 0.0) -> dict[str, str]:
        """Those of an attempt now, by a clock that is so many seconds off."""
        return OutgoingCallout(self.body, self.id).headers(key, time.time() + clock_off)
