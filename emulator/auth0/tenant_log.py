"""The tenant's log: what Auth0 records about each password change."""

import time
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

Json = dict[str, Any]

KEPT_RECORDS = 50_000


@dataclass
class TenantLog:
    """The latest KEPT_RECORDS records, each with its date. `clock` returns Unix time in seconds. Thread-safe."""

    clock: Callable[[], float] = time.time
    _records: list[tuple[datetime, Json]] = field(default_factory=list)  # sorted by date, then by ID
    _next_number: int = 1
    _lock: Lock = field(default_factory=Lock)

    def add(self, record: Mapping[str, Any]) -> Json:
        """Add a record, with an ID and, unless it has one, the current date. Return it as it is logged."""
        with self._lock:
            date = datetime.fromtimestamp(self.clock(), UTC)
            date = datetime.fromisoformat(record["date"]) if "date" in record else date
            # The form of a real one: 900, the date, and a number that increases.
            log_id = f"900{date:%Y%m%d%H%M%S}{date.microsecond // 1000:03}{self._next_number:033}"
            self._next_number += 1
            logged = {"log_id": log_id, "date": _format(date), **record}
            insort(self._records, (date, logged), key=lambda row: (row[0], row[1]["log_id"]))
            del self._records[:-KEPT_RECORDS]
            return logged

    def dated(self) -> list[tuple[datetime, Json]]:
        """Return all records with their dates, oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()


def change(event: Mapping[str, Any], at: float) -> Json:
    """Return the record of a password change (scp) at `at`, Unix time in seconds."""
    email = _text(event, "user", "email")
    details = {"title": "Change Password", "body": {}, "email": email}
    return {**_common(event, at), "type": "scp", "description": "", "details": details}


def failure(event: Mapping[str, Any], at: float, action: str, details: Mapping[str, Any]) -> Json:
    """Return the record of a failed execution of `action`; `details` has its ID, error_class, and action_error."""
    ids = {"action_id": action, "action_name": action, "version_id": "draft", "binding_id": action}
    return {
        **_common(event, at),
        "type": "actions_execution_failed",
        "description": f"{action}: {details['action_error']['message']}",
        "details": {"trigger_id": "post-change-password", **ids, **details},
    }


def _common(event: Mapping[str, Any], at: float) -> Json:
    return {
        "date": _format(datetime.fromtimestamp(at, UTC)),
        "tenant_name": _text(event, "tenant", "id"),
        "environment_name": "emulator",
        "client_name": "",
        "connection": _text(event, "connection", "name"),
        "connection_id": _text(event, "connection", "id"),
        "ip": _text(event, "request", "ip"),
        "user_agent": _text(event, "request", "user_agent"),
        "strategy": _text(event, "connection", "strategy"),
        "strategy_type": "database",
        "user_id": _text(event, "user", "user_id"),
        "user_name": _text(event, "user", "email"),
    }


def _format(date: datetime) -> str:
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(event: Mapping[str, Any], *path: str) -> str:
    """Return the string at `path`, or an empty one if there is none: the event can be arbitrary JSON."""
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
