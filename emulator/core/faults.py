"""Faults: what a stand-in does wrong on purpose, counted, so that a run can be repeated."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["status", "delay", "hang", "reset", "slow", "cut"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next `count` requests (None: with every one until cleared).

    - `status`: answer `status` with `headers` and `body`; the request is not acted on.
    - `delay`: wait `seconds`, then act as usual.
    - `hang`: never answer; with `accepted`, act on the request first.
    - `reset`: break the connection (RST) instead of answering; with `accepted`, act on the request first.
    - `slow`: act as usual, then send the answer one byte each `seconds`.
    - `cut`: act as usual, then break the connection in the middle of the answer.
    """

    kind: Kind
    name: str = ""  # what a person calls it, such as "unverified sender"
    count: int | None = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 0.0
    accepted: bool = False


class Faults:
    """The faults that wait for their request, first in, first out."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._pending.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def pending(self) -> list[Fault]:
        with self._lock:
            return list(self._pending)

    def take(self) -> Fault | None:
        """The fault for this request, counted down."""
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
