"""A run as text: what happened, when, and the mail that came of it."""

from collections.abc import Mapping
from typing import Any

from emulator.runs.run import Run
from emulator.runs.steps import Step, steps

WIDTH = 16


def timeline(run: Run) -> str:
    """A line for each step, with milliseconds since the password was changed."""
    rows = steps(run)
    began = rows[0].at if rows else 0.0
    return "\n".join(f"{(row.at - began) * 1000:8.1f} ms  {row.who:<{WIDTH}} {_what(row)}" for row in rows)


def format_emails(run: Run) -> str:
    """The mails of the run, as they were accepted."""
    return "\n\n".join(_mail(entry.data) for entry in run.emails)


def _what(step: Step) -> str:
    took = f" in {step.seconds * 1000:.0f} ms" if step.seconds else ""
    return f"{step.what}{took}{f' (on purpose: {step.on_purpose})' if step.on_purpose else ''}"


def _mail(mail: Mapping[str, Any]) -> str:
    to = ", ".join(person["email"] for person in mail["to"])
    head = [f"From: {person(mail['from'])}", f"To: {to}", f"Subject: {mail['subject']}"]
    return "\n".join([*head, "", *str(mail["text"]).splitlines()])


def person(address: Mapping[str, Any]) -> str:
    return f"{address['name']} <{address['email']}>" if address.get("name") else str(address["email"])
