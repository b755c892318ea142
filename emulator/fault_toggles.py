"""The switches: everything that can be broken on purpose, counted, in one list, with one way to repair it all."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from emulator.cloud_run import faults as cloud_run_faults
from emulator.cloud_tasks import server as cloud_tasks
from emulator.core.faults import Fault, Faults
from emulator.core.journal import Journal
from emulator.secret_manager import server as secret_manager
from emulator.sendgrid import faults as sendgrid_faults

Json = dict[str, Any]

# What a person may expect of each, in the order of the page.
WHAT: Mapping[str, Mapping[str, str]] = {
    "SendGrid": {
        "wrong key": "401: the API key is invalid, expired or revoked",
        "unverified sender": "403: SENDER_EMAIL is no verified sender identity",
        "missing scope": "403: the key may not send mail",
        "out of credits": "401: the account has no credits left",
        "too large": "413 from the proxy in front, as HTML",
        "too many requests": "429, and Retry-After says when to come again",
        "too many requests, reset only": "429, and only X-RateLimit-Reset says when",
        "too many requests, no hint": "429, and nothing says when",
        "server error": "500: try again",
        "bad gateway": "502 as HTML: try again",
        "unavailable": "503: try again",
        "delay": "answers two seconds late",
        "time-out": "never answers, and did not take the mail",
        "accepted, never answered": "took the mail, and nobody learns of it",
        "reset": "breaks the connection, and did not take the mail",
        "accepted, then reset": "took the mail, then breaks the connection",
        "slow answer": "takes the mail, then answers byte by byte",
        "cut answer": "takes the mail, then breaks off in mid-answer",
    },
    "Secret Manager": {
        "permission denied": "403: the function's account lost its role; the value is dropped at once",
        "not found": "404: the secret or its version is gone",
        "unauthenticated": "401: Google does not know the caller",
        "rate limited": "429: the last value serves on",
        "internal": "500: the last value serves on",
        "unavailable": "503: the last value serves on",
        "slow": "answers two seconds late",
        "hang": "never answers",
        "reset": "breaks the connection",
    },
    "Callout": {
        cloud_run_faults.BAD_SIGNATURE: "one that no known key made",
        cloud_run_faults.STALE_SIGNATURE: "a good one, ten minutes old",
        cloud_run_faults.DUPLICATE: "the same id and bytes arrive once more: one mail all the same",
        cloud_run_faults.SIGNING_KEY_ROTATES: "a new signing key on both sides while a callout is on its way",
        cloud_run_faults.SENDGRID_KEY_ROTATES: "a new SendGrid key after the function has read the old one",
    },
    "Function": {
        "answer lost": "it did its work, but the connection broke: the Action tries again",
        "connection reset": "the callout does not get through",
        "slow": "8 seconds late: longer than the Action waits",
        "bad gateway": "Google's front answers 502 as HTML",
        "login page": "somebody else's page answers 200",
    },
    "Cloud Tasks": {
        "permission denied": "403: the function may not create tasks",
        "not found": "404: no such queue",
        "queue asleep": "404: a queue that was not used for long",
        "unauthenticated": "401: Google does not know the caller",
        "rate limited": "429: too many tasks at once",
        "internal": "500: try again",
        "unavailable": "503: try again",
        "slow": "answers two seconds late",
        "hang": "never answers",
        "reset": "breaks the connection",
    },
}


@dataclass(frozen=True)
class FaultToggle:
    part: str
    name: str
    what: str


_PRESETS: Mapping[str, Mapping[str, Fault]] = {
    "Secret Manager": secret_manager.FAULTS,
    "Callout": cloud_run_faults.CALLOUT_FAULTS,
    "Function": cloud_run_faults.FAULTS,
    "Cloud Tasks": cloud_tasks.FAULTS,
}


class FaultToggles:
    """`parts`: of the parts of WHAT those that are there, each with where its faults go."""

    def __init__(self, journal: Journal, parts: Mapping[str, Faults]) -> None:
        self._journal, self._parts = journal, parts
        self._lock = threading.RLock()  # what is changed while all is set aside, is changed after

    def all(self) -> list[FaultToggle]:
        return [FaultToggle(part, name, what) for part in self._parts for name, what in WHAT[part].items()]

    def turn_on(self, part: str, name: str, count: int | None = 1) -> None:
        """For the next `count` requests; None: until reset. Raises ValueError for a name or a count that is none."""
        if part not in self._parts or name not in WHAT[part]:
            raise ValueError(f"no switch {name!r} of {part!r}; GET /api/switches lists them")
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 9999):
            raise ValueError(f"count must be a whole number from 1 to 9999, or null until reset, not {count!r}")
        with self._lock:
            self._parts[part].add(_fault(part, name, count))
        self._journal.record("switches.changed", part=part, name=name, count=count)

    def reset(self) -> None:
        with self._lock:
            for faults in self._parts.values():
                faults.clear()
        self._journal.record("switches.changed")

    def pending(self) -> list[Json]:
        """Those that are on, each part's in the order in which they act."""
        return [
            {"part": part, "name": fault.name, "count": fault.count}
            for part, faults in self._parts.items()
            for fault in faults.pending()
        ]

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, nothing is broken and no count goes down; after it, everything is as before."""
        with self._lock:
            kept = [(faults, faults.pending()) for faults in self._parts.values()]
            for faults, _ in kept:
                faults.clear()
            try:
                yield
            finally:
                for faults, pending in kept:
                    faults.add(*pending)


def _fault(part: str, name: str, count: int | None) -> Fault:
    if part == "SendGrid":
        return sendgrid_faults.fault(name, count=count)
    return replace(_PRESETS[part][name], count=count)
