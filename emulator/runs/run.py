"""A run: one password change and everything that it causes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from auth0.callout import OutgoingCallout, build_callout
from emulator.auth0.runtime import Execution
from emulator.core.journal import Entry, Journal


@dataclass(frozen=True)
class Run:
    """One run; the entries numbered above `first` up to `last` were recorded during its execution."""

    number: int
    event: Mapping[str, Any]
    execution: Execution
    journal: Journal = field(repr=False)
    first: int
    last: int

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Return the run's entries so far: its task can be retried long after the execution has ended."""
        after = self.journal.entries(after=self.first)
        own = [entry for entry in after if self._is_own(entry)]
        deliveries = [_span(entry) for entry in own if entry.kind == "deliver.exchange"]
        return tuple(entry for entry in after if entry in own or _is_read_within(deliveries, entry))

    @property
    def emails(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == "sendgrid.mail"]

    @property
    def is_pending(self) -> bool:
        """Return whether Cloud Tasks still has to deliver a task of the run."""
        kinds = [e.kind for e in self.entries if e.kind != "cloud_tasks.exchange" or e.data["status"] == 200]
        return kinds.count("cloud_tasks.exchange") > kinds.count("cloud_tasks.done")

    @cached_property
    def callout_id(self) -> str:
        """Return the callout's ID, or an empty string if the forwarder Action sent none."""
        return self._header("webhook-id")

    @property
    def started(self) -> float:
        return next((float(e.data["started"]) for e in self.entries if e.kind == "auth0.execution"), 0.0)

    def await_log(self, timeout: float) -> None:
        """Wait for the function's log, which arrives shortly after its response, for up to `timeout` seconds."""
        if self.callout_id and self.execution.error is None:
            self.journal.wait(self._is_log, after=self.first, timeout=timeout)

    def _is_log(self, entry: Entry) -> bool:
        return entry.kind == "function.log" and entry.data["fields"].get("callout") == self.callout_id

    def callout(self) -> OutgoingCallout:
        """Return the callout with the same body and a new ID, so that it isn't a duplicate."""
        body = self.execution.fetches[0]["body"] if self.execution.fetches else ""
        return OutgoingCallout(body.encode()) if body else build_callout(self.event)

    def _header(self, wanted: str) -> str:
        pairs = self.execution.fetches[0]["headers"] if self.execution.fetches else ()
        return next((str(value) for name, value in pairs if name == wanted), "")

    @cached_property
    def _identifiers(self) -> tuple[str, ...]:
        """Return the strings that identify entries of this run."""
        if not self.callout_id:
            return ()
        body = self.execution.fetches[0]["body"].encode()
        return (self.callout_id, OutgoingCallout(body, self.callout_id).idempotency_key)

    def _is_own(self, entry: Entry) -> bool:
        mentioned = list(_identifying_texts(entry))
        is_own = any(identifier in text for text in mentioned for identifier in self._identifiers)
        # A log line of the previous run can arrive late, during this run.
        return is_own or (entry.number <= self.last and not (mentioned and entry.kind.endswith(".log")))


def _span(exchange: Entry) -> tuple[float, float]:
    return exchange.at - exchange.data["duration_ms"] / 1000, exchange.at


def _is_read_within(spans: Sequence[tuple[float, float]], entry: Entry) -> bool:
    """Return whether a secret was read during a delivery: such reads have no callout ID."""
    return entry.kind == "secret_manager.exchange" and any(start <= entry.at <= end for start, end in spans)


def _identifying_texts(entry: Entry) -> Iterator[str]:
    """Yield the parts of an entry that can contain the ID of its callout."""
    data = entry.data
    match entry.kind.partition("."):
        case ("function" | "deliver", _, "log") if "callout" in data["fields"]:
            yield str(data["fields"]["callout"])
        case ("sendgrid" | "deliver" | "cloud_tasks", _, "exchange"):
            yield data["request"]["body"]
            yield from (value for name, value in data["request"]["headers"] if name == "Webhook-Id")
        case ("sendgrid", _, "mail"):
            yield str(data["custom_args"].get("webhook_id", ""))
        case ("cloud_tasks", _, _):
            yield str(data.get("task", ""))
