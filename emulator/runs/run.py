"""A run: one changed password on its way through all the parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from auth0.callout import OutgoingCallout, build_callout
from emulator.auth0.runtime import Execution
from emulator.core.journal import Entry, Journal


@dataclass(frozen=True)
class Run:
    """`first` and `last` number the entries between its start and the end of its execution."""

    number: int
    event: Mapping[str, Any]
    execution: Execution
    journal: Journal = field(repr=False)
    first: int
    last: int

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What happened, and what still happens: a task may be tried long after the execution has ended."""
        after = self.journal.entries(after=self.first)
        own = [entry for entry in after if self._is_own(entry)]
        delivering = [_span(entry) for entry in own if entry.kind == "deliver.exchange"]
        return tuple(entry for entry in after if entry in own or _is_read_within(delivering, entry))

    @property
    def emails(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == "sendgrid.mail"]

    @property
    def is_pending(self) -> bool:
        """Whether Cloud Tasks still has something of it to deliver."""
        kinds = [e.kind for e in self.entries if e.kind != "cloud_tasks.exchange" or e.data["status"] == 200]
        return kinds.count("cloud_tasks.exchange") > kinds.count("cloud_tasks.done")

    @cached_property
    def callout_id(self) -> str:
        """Empty where the Action made no callout."""
        return self._header("webhook-id")

    @property
    def started(self) -> float:
        return next((float(e.data["started"]) for e in self.entries if e.kind == "auth0.execution"), 0.0)

    def await_log(self, seconds: float) -> None:
        """Lines of the function's log come a moment after its answer."""
        if self.callout_id and self.execution.error is None:
            self.journal.wait(self._is_log, after=self.first, timeout=seconds)

    def _is_log(self, entry: Entry) -> bool:
        return entry.kind == "function.log" and entry.data["fields"].get("callout") == self.callout_id

    def callout(self) -> OutgoingCallout:
        """The same bytes under a new id, so that they are no repetition."""
        body = self.execution.fetches[0]["body"] if self.execution.fetches else ""
        return OutgoingCallout(body.encode()) if body else build_callout(self.event)

    def _header(self, wanted: str) -> str:
        pairs = self.execution.fetches[0]["headers"] if self.execution.fetches else ()
        return next((str(value) for name, value in pairs if name == wanted), "")

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        """What in an entry says that it is about this run."""
        if not self.callout_id:
            return ()
        body = self.execution.fetches[0]["body"].encode()
        return (self.callout_id, OutgoingCallout(body, self.callout_id).idempotency_key)

    def _is_own(self, entry: Entry) -> bool:
        named = list(_names(entry))
        mine = any(mark in name for name in named for mark in self._marks)
        # A log line of the run before may come late, into this one's time.
        return mine or (entry.number <= self.last and not (named and entry.kind.endswith(".log")))


def _span(exchange: Entry) -> tuple[float, float]:
    return exchange.at - exchange.data["duration_ms"] / 1000, exchange.at


def _is_read_within(spans: Sequence[tuple[float, float]], entry: Entry) -> bool:
    """A read of a secret names no callout: it belongs to the delivery in whose time it falls."""
    return entry.kind == "secret_manager.exchange" and any(start <= entry.at <= end for start, end in spans)


def _names(entry: Entry) -> Iterator[str]:
    """Where an entry may name its callout."""
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
