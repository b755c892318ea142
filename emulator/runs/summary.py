"""A run in brief, as lists show it, and the search for runs."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

from emulator.runs.outcome import Outcome, RunError, duration, error, outcome, title
from emulator.runs.run import Run


@dataclass(frozen=True)
class Summary:
    """A run in brief: `time` is Unix time, `duration_ms` the time until the email, or until the execution's end.

    `changes` increases with each change of the run.
    """

    number: int
    time: float
    outcome: Outcome
    recipient: str
    connection: str
    title: str
    error: RunError | None
    duration_ms: int
    webhook_id: str
    reference: str
    actions: tuple[str, ...]
    outside: bool
    emails: tuple[int, ...]
    changes: int

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "url": f"/runs/{self.number}"}


_summaries: WeakKeyDictionary[Run, Summary] = WeakKeyDictionary()  # the latest one of each run


def summarize(run: Run) -> Summary:
    """Return the summary; it is computed again only after the run has changed."""
    cached, changes = _summaries.get(run), run.changes
    if cached is None or cached.changes != changes:
        _summaries[run] = cached = _summarize(run, changes)
    return cached


def select(runs: Iterable[Run], query: str = "", outcomes: Iterable[str] = ()) -> Iterator[Summary]:
    """Yield the summaries, newest first, of the runs that match.

    `query` is text, in any case, in the recipient, the webhook-id, the email's reference, the connection, an Action's
    name, or the error, or a run's number, such as #1; `outcomes` are the allowed outcomes (none: all).
    """
    words, allowed = query.casefold().split(), set(outcomes)
    for run in sorted(runs, key=lambda kept_run: kept_run.number, reverse=True):
        summary = summarize(run)
        if allowed and summary.outcome not in allowed:
            continue
        text = _searchable(summary)
        if all(word in text or word == f"#{summary.number}" for word in words):
            yield summary


def _searchable(summary: Summary) -> str:
    message = f"{summary.error.cause} {summary.error.message}" if summary.error else ""
    ids = (summary.webhook_id, summary.reference)
    parts = (summary.recipient, *ids, summary.connection, *summary.actions, summary.title, message)
    return " ".join(parts).casefold()


def _summarize(run: Run, changes: int) -> Summary:
    return Summary(
        number=run.number,
        time=run.started,
        outcome=outcome(run),
        recipient=_text(run.event, "user", "email"),
        connection=_text(run.event, "connection", "name"),
        title=title(run),
        error=error(run),
        duration_ms=round(duration(run) * 1000),
        webhook_id=run.callout_id,
        reference=next(iter(_logged(run, "reference")), ""),
        actions=_logged(run, "action"),
        outside=run.is_external,
        emails=tuple(entry.data["number"] for entry in run.emails),
        changes=changes,
    )


def _logged(run: Run, field: str) -> tuple[str, ...]:
    """Return the distinct texts of a field in the run's log lines, in the order in which they were logged."""
    logs = (entry.data["fields"].get(field) for entry in run.entries if entry.kind == "function.log")
    return tuple(dict.fromkeys(value for value in logs if isinstance(value, str)))


def _text(value: Any, *path: str) -> str:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
