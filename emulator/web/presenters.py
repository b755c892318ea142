"""What the templates are given: a run, a mail, in the words and numbers that a person reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator.auth0.runtime import Execution
from emulator.runs.run import Run
from emulator.runs.steps import KEPT, Step, steps
from emulator.runs.timeline import person

WHY_NO_MAIL = {
    "skipped": "Nobody was mailed: the user has no e-mail address.",
    "sandbox": "Nobody was mailed: it ran in sandbox mode.",
    "queued": "Nobody was mailed yet: Cloud Tasks has it, and tries until it is delivered.",
    "duplicate": "Nobody was mailed again: it is a repetition.",
}


@dataclass(frozen=True)
class Row:
    """A step on the page: when it began, and where its bar stands, in hundredths of the run."""

    step: Step
    at: str
    took: str
    left: float
    width: float


def rows(run: Run) -> list[Row]:
    found = steps(run)
    began = min((step.at for step in found), default=0.0)
    ended = max((step.at + step.seconds for step in found if step.who != "Auth0"), default=began)
    whole = max(ended - began, 0.001)
    return [_row(step, began, whole) for step in found]


def _row(step: Step, began: float, whole: float) -> Row:
    seconds = 0.0 if step.who == "Auth0" else step.seconds
    width = max(min(seconds / whole, 1.0) * 100, 0.8)
    left = min(max(step.at - began, 0.0) / whole * 100, 100 - width)
    took = duration(seconds) if seconds else ""
    return Row(step, duration(step.at - began), took, round(left, 2), round(width, 2))


def duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")


def headline(run: Run) -> str:
    """How it ended, in one sentence."""
    error, mails = run.execution.error, run.mails
    if mails:
        to = ", ".join(person["email"] for entry in mails for person in entry.data["to"])
        told = f"{to} was told by mail, {duration(mails[0].at - run.started)} after the change."
        return f"{told} But Auth0 counts it as failed: {error['message']}" if error else told
    if error:
        return f"Nobody was told. {error['message']}"
    return WHY_NO_MAIL.get("queued" if run.waiting else _answered(run), "Nobody was mailed.")


def _answered(run: Run) -> str:
    """The status in the last answer, of the function or of `deliver`."""
    bodies = [e.data["response"]["body"] for e in run.entries if e.kind in ("function.exchange", "deliver.exchange")]
    try:
        return str(json.loads(bodies[-1])["status"])
    except (IndexError, ValueError, KeyError, TypeError):
        return ""


def state(run: Run) -> tuple[str, str]:
    """`fail`, or `ok`; `warn` where it took more than one attempt, or something was broken on purpose; and its name."""
    if run.execution.error:
        return "fail", "failed"
    if run.waiting:
        return "warn", "in the queue"
    if any(step.on_purpose or step.state == "fail" for step in steps(run)):
        return "warn", "success, with trouble"
    return "ok", "success"


@dataclass(frozen=True)
class Console:
    """What an Action wrote, as Auth0 keeps it and as it cuts it."""

    kept: str
    cut: str
    whole: int
    limit: int = KEPT


def console(execution: Execution) -> Console:
    text = "\n".join(line["text"] for line in execution.logs)
    return Console(execution.kept, text[len(execution.kept) :], len(text))


def addresses(people: list[Mapping[str, Any]]) -> str:
    return ", ".join(person(each) for each in people)
