"""A run: one password change, or one external callout, and everything that it causes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auth0.callout import OutgoingCallout, build_callout
from emulator.auth0.runtime import Execution
from emulator.core.journal import Entry, Journal


@dataclass(eq=False)
class Run:
    """One run, with the journal entries that carry its execution's ID or the webhook-id of its callout.

    `execution` has the status `running` until the forwarder Action ends. An external callout, such as a copied curl
    command, has no execution; a substitute with the same fields describes its responses.
    """

    number: int
    event: Mapping[str, Any]
    started: float  # Unix time in seconds
    journal: Journal = field(repr=False)
    is_external: bool = False
    callout_ids: list[str] = field(default_factory=list)
    _execution: Execution = field(default_factory=lambda: Execution("", "running"))
    _entries: list[Entry] = field(default_factory=list, repr=False)
    changes: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Return the run's current entries; more can follow long after the execution, when a task is retried."""
        return tuple(self._entries)

    @property
    def emails(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == "sendgrid.mail"]

    @property
    def execution(self) -> Execution:
        return self._callout_as_execution() if self.is_external else self._execution

    @property
    def is_running(self) -> bool:
        return self.execution.status == "running"

    @property
    def is_pending(self) -> bool:
        """Return whether Cloud Tasks still has to deliver a task of the run."""
        kinds = [e.kind for e in self.entries if e.kind != "cloud_tasks.exchange" or e.data["status"] == 200]
        return kinds.count("cloud_tasks.exchange") > kinds.count("cloud_tasks.done")

    @property
    def callout_id(self) -> str:
        """Return the callout's ID, or an empty string if the function hasn't received one."""
        return self.callout_ids[0] if self.callout_ids else ""

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.changes += 1

    def end(self, execution: Execution) -> None:
        self._execution = execution
        self.changes += 1

    def await_log(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the function's log, which arrives shortly after its own response."""
        exchanges = [entry.data for entry in self.entries if entry.kind == "function.exchange"]
        if any(exchange["status"] and not exchange["fault"] for exchange in exchanges):
            self.journal.wait(self._is_log, after=self.entries[0].number - 1, timeout=timeout)

    def callout(self) -> OutgoingCallout:
        """Return the callout with the same body and a new ID, so that it isn't a duplicate."""
        fetches = self.execution.fetches
        body = fetches[0]["body"] if fetches else ""
        return OutgoingCallout(body.encode()) if body else build_callout(self.event)

    def _is_log(self, entry: Entry) -> bool:
        return entry.kind == "function.log" and any(entry is each for each in self._entries)

    def _callout_as_execution(self) -> Execution:
        """Return the responses to an external callout in the form of an execution."""
        exchanges = [entry for entry in self.entries if entry.kind == "function.exchange"]
        if not exchanges:
            return Execution("", "running")
        fetches = tuple(_fetch(entry, self.started) for entry in exchanges)
        last = exchanges[-1].data
        if last["status"] in (200, 202):
            return Execution("", "success", fetches=fetches)
        message = f"{last['status'] or 'no response'} {last['response']['body'][:500]}".strip()
        error = {"name": "Error", "message": message, "stack": "", "line": None}
        return Execution("", "action_error", error, fetches=fetches)


def _fetch(exchange: Entry, earliest: float) -> dict[str, Any]:
    """Return an external callout as a fetch of an execution; its start is known only to rounded milliseconds."""
    data = exchange.data
    return {
        "url": data["path"],
        "method": data["method"],
        "headers": data["request"]["headers"],
        "body": data["request"]["body"],
        "status": data["status"],
        "error": None if data["status"] else "no response",
        "duration_ms": data["duration_ms"],
        "started": max(exchange.at - data["duration_ms"] / 1000, earliest),
    }


def event_of(body: str) -> dict[str, Any]:
    """Return the event in a callout's body, or an empty one if the body has none."""
    try:
        event = json.loads(body)["event"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
