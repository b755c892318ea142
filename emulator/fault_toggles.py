"""The fault toggles: every fault that can be injected, in one list that can be cleared at once."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from emulator.auth0 import tenant_log_api
from emulator.cloud_run import faults as cloud_run_faults
from emulator.cloud_tasks import server as cloud_tasks
from emulator.core.faults import Fault, Faults
from emulator.core.journal import Journal
from emulator.secret_manager import server as secret_manager
from emulator.sendgrid import email_log
from emulator.sendgrid import faults as sendgrid_faults

Json = dict[str, Any]

# By part and name, in the order of the page.
FAULTS: Mapping[str, Mapping[str, Fault]] = {
    "SendGrid": sendgrid_faults.FAULTS,
    "Delivery": email_log.FAULTS,
    "Secret Manager": secret_manager.FAULTS,
    "Callout": cloud_run_faults.CALLOUT_FAULTS,
    "Function": cloud_run_faults.FAULTS,
    "Cloud Tasks": cloud_tasks.FAULTS,
    "Auth0's log": tenant_log_api.FAULTS,
    "SendGrid's log": sendgrid_faults.LOG_FAULTS,
}


# What happens to the request or its response, in the order of the page.
REJECTED, SLOW, LOST, ACCEPTED, CHANGED = "Rejected", "Slow", "Lost", "After acceptance", "Duplicated or rotated"
GROUPS = (REJECTED, SLOW, LOST, ACCEPTED, CHANGED)
_GROUP_OF_KIND = {"status": REJECTED, "delay": SLOW, "slow": SLOW, "hang": LOST, "reset": LOST, "cut": LOST}
_GROUP_OF_CALLOUT_FAULT = {cloud_run_faults.BAD_SIGNATURE: REJECTED, cloud_run_faults.STALE_SIGNATURE: REJECTED}


@dataclass(frozen=True)
class FaultToggle:
    """One fault that can be injected; `what` is its summary, `group` what happens to the request."""

    part: str
    name: str
    what: str
    group: str


class FaultToggles:
    """The faults of the running parts; `parts` maps a key of FAULTS to the queue of that part's pending faults."""

    def __init__(self, journal: Journal, parts: Mapping[str, Faults]) -> None:
        self._journal, self._parts = journal, parts
        self._lock = threading.RLock()  # held while faults are suspended, so changes apply afterward

    def all(self) -> list[FaultToggle]:
        return [
            FaultToggle(part, name, fault.summary, _group(part, fault))
            for part in self._parts
            for name, fault in FAULTS[part].items()
        ]

    def by_group(self) -> dict[str, list[FaultToggle]]:
        """Return all faults by their group, in the order of the page."""
        groups = {group: [toggle for toggle in self.all() if toggle.group == group] for group in GROUPS}
        return {group: toggles for group, toggles in groups.items() if toggles}

    def turn_on(self, part: str, name: str, count: int | None = 1) -> None:
        """Inject a fault into the next `count` requests (None: until cleared), replacing its previous count.

        Faults with a count apply before the one for every request. Raise ValueError for invalid arguments.
        """
        self._check(part, name)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 9999):
            raise ValueError(f"count must be an integer from 1 to 9999, or null (until cleared), not {count!r}")
        with self._lock:
            self._parts[part].set(_fault(part, name, count))
        self._journal.record("switches.changed", part=part, name=name, count=count)

    def turn_off(self, part: str, name: str) -> None:
        """Clear one fault. Raise ValueError if there is no such fault."""
        self._check(part, name)
        with self._lock:
            self._parts[part].clear(name)
        self._journal.record("switches.changed", part=part, name=name, count=0)

    def reset(self) -> None:
        """Clear all faults."""
        with self._lock:
            for faults in self._parts.values():
                faults.clear()
        self._journal.record("switches.changed")

    def pending(self) -> list[Json]:
        """Return the active faults, each part's in the order in which they apply."""
        return [
            {"part": part, "name": fault.name, "count": fault.count}
            for part, faults in self._parts.items()
            for fault in faults.pending()
        ]

    def _check(self, part: str, name: str) -> None:
        if part not in self._parts or name not in FAULTS[part]:
            raise ValueError(f"unknown fault {name!r} for {part!r}; GET /api/switches lists all faults")

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend all faults without changing their counts, and restore them afterward."""
        with self._lock:
            suspended = [(faults, faults.pending()) for faults in self._parts.values()]
            for faults, _ in suspended:
                faults.clear()
            try:
                yield
            finally:
                for faults, pending in suspended:
                    faults.add(*pending)


def _group(part: str, fault: Fault) -> str:
    if part == "Delivery":
        return ACCEPTED
    if part == "Callout":
        return _GROUP_OF_CALLOUT_FAULT.get(fault.name, CHANGED)
    return _GROUP_OF_KIND[fault.kind]


def _fault(part: str, name: str, count: int | None) -> Fault:
    if part in ("SendGrid", "SendGrid's log"):
        return sendgrid_faults.fault(name, count=count)
    return replace(FAULTS[part][name], count=count)
