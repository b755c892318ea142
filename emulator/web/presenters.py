"""Format runs, emails, and faults for the templates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from emulator.auth0.runtime import Execution
from emulator.runs.outcome import OUTCOME_LABELS, Outcome, format_duration
from emulator.runs.steps import MAX_KEPT_CHARACTERS
from emulator.runs.summary import Summary
from emulator.runs.timeline import format_address

OUTCOME_STATES: Mapping[Outcome, str] = {
    "sent": "ok",
    "retried": "warn",
    "not_sent": "info",
    "failed": "fail",
    "queued": "warn",
    "running": "info",
}
STATE_ICONS = {"ok": "check", "warn": "alert", "fail": "cross", "info": "dash"}


@dataclass(frozen=True)
class Listed:
    """What a list shows: `items`, newest first, how many `more` match, and the search that links preserve."""

    items: list[Any]
    more: int
    total: int
    query: str
    outcome: str
    limit: int
    default_limit: int

    @property
    def is_filtered(self) -> bool:
        return bool(self.query or self.outcome)

    @property
    def suffix(self) -> str:
        return self._query(self.limit)

    @property
    def more_url(self) -> str:
        return self._query(self.limit + 4 * self.default_limit)

    def _query(self, limit: int) -> str:
        values = {"q": self.query, "outcome": self.outcome, "limit": "" if limit == self.default_limit else limit}
        kept = {name: value for name, value in values.items() if value}
        return f"?{urlencode(kept)}" if kept else ""


def headline(summary: Summary) -> str:
    """Return the outcome in one sentence, without the place of an error, which the error block shows."""
    place = f" ({summary.error.place})" if summary.error and summary.error.place else ""
    return summary.title.removesuffix(place)


def reason(summary: Summary) -> str:
    """Return why no notice was sent, if the title says so."""
    return headline(summary).partition(": ")[2] if summary.outcome in ("failed", "not_sent") else ""


def outcome_badge(outcome: Outcome) -> tuple[str, str]:
    """Return the outcome's state and label."""
    return OUTCOME_STATES[outcome], OUTCOME_LABELS[outcome]


def format_milliseconds(milliseconds: float) -> str:
    return format_duration(milliseconds / 1000)


def format_tick(seconds: float) -> str:
    """Return a mark on the time axis, without trailing zeros."""
    if not seconds:
        return "0"
    return f"{seconds * 1000:.6g} ms" if seconds < 1 else f"{seconds:.6g} s"


def format_time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp).astimezone().strftime("%H:%M:%S")


def iso_time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")


def remaining(count: int | None) -> str:
    """Return which requests an active fault still applies to."""
    return "every request" if count is None else "next request" if count == 1 else f"next {count} requests"


@dataclass(frozen=True)
class Console:
    """An Action's console output: what Auth0 keeps, and what it truncates; `length` and `limit` in characters."""

    kept: str
    truncated: str
    length: int
    limit: int = MAX_KEPT_CHARACTERS


def console(execution: Execution) -> Console:
    text = "\n".join(line["text"] for line in execution.logs)
    return Console(execution.kept, text[len(execution.kept) :], len(text))


def addresses(people: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(format_address(person) for person in people)
