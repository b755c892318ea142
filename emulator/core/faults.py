"""Deterministic fault injection for the emulated services."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["status", "delay", "hang", "reset", "slow", "cut"]


@dataclass(frozen=True)
class Fault:
    """A fault injected into the next `count` requests (None: into every request until cleared).

    - `status`: respond with `status`, `headers`, and `body` without processing the request.
    - `delay`: wait `seconds`, then process the request normally.
    - `hang`: never respond; with `accepted`, process the request first.
    - `reset`: reset the connection (RST) instead of responding; with `accepted`, process the request first.
    - `slow`: process the request normally, then send the response at one byte per `seconds`.
    - `cut`: process the request normally, then reset the connection in the middle of the response.
    """

    kind: Kind
    name: str = ""  # shown on the page and used by the API, such as "unverified sender"
    count: int | None = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 0.0
    accepted: bool = False
    summary: str = ""  # one line for the page: what the caller sees


class Faults:
    """The pending faults of a service, in the order in which they apply. Thread-safe."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._pending.extend(faults)

    def set(self, fault: Fault) -> None:
        """Replace the pending fault of the same name, or add `fault`, ahead of one that is injected into every request.

        At most one fault is injected into every request, because a second one would never apply.
        """
        with self._lock:
            others = [pending for pending in self._pending if pending.name != fault.name]
            counted = [pending for pending in others if pending.count is not None]
            unlimited = [pending for pending in others if pending.count is None]
            self._pending = [*counted, fault] if fault.count is None else [*counted, fault, *unlimited]

    def clear(self, name: str = "") -> None:
        """Clear the fault named `name`, or all faults."""
        with self._lock:
            self._pending = [fault for fault in self._pending if name and fault.name != name]

    def pending(self) -> list[Fault]:
        with self._lock:
            return list(self._pending)

    def take(self) -> Fault | None:
        """Return the fault for the current request, if any, and decrement its count."""
        with self._lock:
            if not self._pending:
                return None
            fault = self._pending[0]
            if fault.count is not None:
                if fault.count <= 1:
                    del self._pending[0]
                else:
                    self._pending[0] = replace(fault, count=fault.count - 1)
            return fault
