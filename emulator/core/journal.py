"""The journal: what happened, in order, in one list that every part writes to and every view reads."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One thing that happened.

    `kind` is a dotted word such as `sendgrid.exchange`; `data` is JSON-ready and may be shown to a person,
    so it never holds a whole secret.
    """

    number: int
    at: float  # unix seconds
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """An append-only list that threads may write to and wait on."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._next = 1
        self._changed = threading.Condition()

    def record(self, kind: str, **data: Any) -> Entry:
        with self._changed:
            entry = Entry(self._next, time.time(), kind, data)
            self._next += 1
            self._entries.append(entry)
            self._changed.notify_all()
            return entry

    def entries(self, after: int = 0, kind: str = "") -> list[Entry]:
        """The entries numbered above `after` whose kind is `kind` or starts with it and a dot."""
        with self._changed:
            return [e for e in self._entries if e.number > after and _is(e.kind, kind)]

    def wait(self, fits: Callable[[Entry], bool], *, after: int = 0, timeout: float) -> Entry | None:
        """The first entry above `after` that fits; None when none came within `timeout` seconds."""

        def first() -> Entry | None:
            return next((e for e in self._entries if e.number > after and fits(e)), None)

        with self._changed:
            self._changed.wait_for(lambda: first() is not None, timeout)
            return first()

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._changed.notify_all()


def _is(kind: str, wanted: str) -> bool:
    return not wanted or kind == wanted or kind.startswith(wanted + ".")
