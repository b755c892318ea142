"""The journal: one ordered list of events that every service writes to and every view reads."""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One recorded event.

    `kind` is a dotted name such as `sendgrid.exchange`. `data` is JSON-serializable and shown on the page,
    so it never contains a complete secret.
    """

    number: int
    at: float  # Unix time in seconds
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """A thread-safe list of entries that threads can wait on; `limit` is how many of the latest ones it keeps.

    `on_record` is called with each new entry, in order, before anyone else sees it; it must not block.
    """

    def __init__(self, limit: int | None = None, on_record: Callable[[Entry], None] | None = None) -> None:
        self._limit, self._on_record = limit, on_record
        self._entries: list[Entry] = []
        self._next = 1
        self._changed = threading.Condition()

    @property
    def last_number(self) -> int:
        """Return the number of the latest entry, or 0 before the first one."""
        return self._next - 1

    def record(self, kind: str, **data: Any) -> Entry:
        with self._changed:
            entry = Entry(self._next, time.time(), kind, data)
            self._next += 1
            self._entries.append(entry)
            self._trim()
            if self._on_record is not None:
                self._on_record(entry)
            self._changed.notify_all()
            return entry

    def entries(self, after: int = 0, kind: str = "") -> list[Entry]:
        """Return the entries numbered above `after` whose kind is `kind` or starts with `kind` and a dot."""
        with self._changed:
            return [entry for entry in self._after(after) if _has_kind(entry, kind)]

    def wait(self, matches: Callable[[Entry], bool], *, after: int = 0, timeout: float) -> Entry | None:
        """Return the first matching entry numbered above `after`, or None after `timeout` seconds."""
        deadline, seen = time.monotonic() + timeout, after

        def first() -> Entry | None:
            nonlocal seen
            for entry in self._after(seen):
                seen = entry.number
                if matches(entry):
                    return entry
            return None

        with self._changed:
            while (entry := first()) is None and (remaining := deadline - time.monotonic()) > 0:
                self._changed.wait(remaining)
            return entry

    def clear(self) -> None:
        with self._changed:
            self._entries.clear()
            self._changed.notify_all()

    def _after(self, number: int) -> list[Entry]:
        return self._entries[bisect_right(self._entries, number, key=lambda entry: entry.number) :]

    def _trim(self) -> None:
        """Remove the oldest entries, many at a time, because each removal moves all others."""
        if self._limit is not None and len(self._entries) > self._limit * 5 // 4:
            del self._entries[: -self._limit]


def _has_kind(entry: Entry, kind: str) -> bool:
    return not kind or entry.kind == kind or entry.kind.startswith(kind + ".")
