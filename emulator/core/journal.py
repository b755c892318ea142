"""The journal: one ordered list of events that every service writes to and every view reads."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One recorded event.

    `kind` is a dotted name such as `sendgrid.exchange`. `data` is JSON-serializable and shown in the page,
    so it never contains a complete secret.
    """

    number: int
    at: float  # Unix time in seconds
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """A thread-safe, append-only list of entries that threads can wait on."""

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
        """Return the entries numbered above `after` whose kind is `kind` or starts with `kind` and a dot."""
        with self._changed:
            return [e for e in self._entries if e.number > after and _has_kind(e, kind)]

    def wait(self, matches: Callable[[Entry], bool], *, after: int = 0, timeout: float) -> Entry | None:
        """Return the first matching entry numbered above `after`, or None after `timeout` seconds."""

        def first() -> Entry | None:
            return next((e for e in self._entries if e.number > after and matches(e)), None)

        with self._changed:
            self._changed.wait_for(lambda: first() is not None, timeout)
            return first()

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._changed.notify_all()


def _has_kind(entry: Entry, kind: str) -> bool:
    return not kind or entry.kind == kind or entry.kind.startswith(kind + ".")
