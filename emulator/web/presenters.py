"""Format runs and emails for the templates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.auth0.runtime import Execution
from emulator.runs.run import Run
from emulator.runs.steps import MAX_KEPT_CHARACTERS, Step, steps
from emulator.runs.timeline import format_address

NO_EMAIL_REASONS = {
    "skipped": "No email sent: the user has no email address.",
    "sandbox": "No email sent: the function ran in sandbox mode.",
    "queued": "No email sent yet: the task is in Cloud Tasks, which retries it until it succeeds.",
    "duplicate": "No second email: this callout was a duplicate.",
}


@dataclass(frozen=True)
class Row:
    """A step in the timeline; `left` and `width` place its bar, in percent of the run's duration."""

    step: Step
    at: str
    duration: str
    left: float
    width: float


def rows(run: Run) -> list[Row]:
    found = steps(run)
    started = min((step.at for step in found), default=0.0)
    ended = max((step.at + step.seconds for step in found if step.who != "Auth0"), default=started)
    total = max(ended - started, 0.001)
    return [_row(step, started, total) for step in found]


def _row(step: Step, started: float, total: float) -> Row:
    seconds = 0.0 if step.who == "Auth0" else step.seconds
    width = max(min(seconds / total, 1.0) * 100, 0.8)
    left = min(max(step.at - started, 0.0) / total * 100, 100 - width)
    duration = format_duration(seconds) if seconds else ""
    return Row(step, format_duration(step.at - started), duration, round(left, 2), round(width, 2))


def format_duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def format_time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp).astimezone().strftime("%H:%M:%S")


def headline(run: Run) -> str:
    """Return the run's outcome in one or two sentences."""
    error, emails = run.execution.error, run.emails
    if emails:
        to = ", ".join(person["email"] for entry in emails for person in entry.data["to"])
        sent = f"Email sent to {to}, {format_duration(emails[0].at - run.started)} after the change."
        return f"{sent} However, Auth0 reports that the Action failed: {error['message']}" if error else sent
    if error:
        return f"No email sent. {error['message']}"
    return NO_EMAIL_REASONS.get("queued" if run.is_pending else _response_status(run), "No email sent.")


def _response_status(run: Run) -> str:
    """Return the status in the last response of the function or `deliver`, or an empty string."""
    bodies = [e.data["response"]["body"] for e in run.entries if e.kind in ("function.exchange", "deliver.exchange")]
    try:
        return str(json.loads(bodies[-1])["status"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def state(run: Run) -> tuple[str, str]:
    """Return the run's state and its label: `warn` if queued, or if a step failed or had a fault injected."""
    if run.execution.error:
        return "fail", "failed"
    if run.is_pending:
        return "warn", "queued"
    if any(step.on_purpose or step.state == "fail" for step in steps(run)):
        return "warn", "succeeded after retries"
    return "ok", "succeeded"


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


def addresses(people: list[Mapping[str, Any]]) -> str:
    return ", ".join(format_address(each) for each in people)
