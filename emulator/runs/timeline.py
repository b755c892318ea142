"""A run as text: its timeline and its email."""

from collections.abc import Mapping
from typing import Any

from emulator.runs.outcome import format_duration
from emulator.runs.run import Run
from emulator.runs.steps import Step, steps

NAME_WIDTH = 16


def timeline(run: Run) -> str:
    """Return one line per step, with the milliseconds since the password change."""
    rows = steps(run)
    started = rows[0].at if rows else 0.0
    return "\n".join(f"{(row.at - started) * 1000:8.1f} ms  {row.who:<{NAME_WIDTH}} {_describe(row)}" for row in rows)


def format_emails(run: Run) -> str:
    """Return the emails of the run as text."""
    return "\n\n".join(_format_email(entry.data) for entry in run.emails)


def _describe(step: Step) -> str:
    took = f" in {format_duration(step.seconds)}" if step.seconds else ""
    return f"{step.what}{took}{f' (injected: {step.fault})' if step.fault else ''}"


def _format_email(email: Mapping[str, Any]) -> str:
    to = ", ".join(person["email"] for person in email["to"])
    head = [f"From: {format_address(email['from'])}", f"To: {to}", f"Subject: {email['subject']}"]
    return "\n".join([*head, "", *str(email["text"]).splitlines()])


def format_address(address: Mapping[str, Any]) -> str:
    return f"{address['name']} <{address['email']}>" if address.get("name") else str(address["email"])
