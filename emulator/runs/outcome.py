"""The outcome of a run: whether the notice was sent, in one sentence, and the error if there is one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from emulator.core.journal import Entry
from emulator.runs.run import Run

Outcome = Literal["running", "queued", "sent", "retried", "not_sent", "failed"]
OUTCOME_LABELS: Mapping[Outcome, str] = {
    "sent": "Sent",
    "retried": "Sent after retries",
    "not_sent": "Not sent",
    "failed": "Failed",
    "queued": "Queued",
    "running": "Running",
}

# By the status in the function's response: why no email was sent although nothing failed.
NOT_SENT = {
    "sandbox": "sandbox mode",
    "duplicate": "this callout is a duplicate",
    "in_progress": "this callout is a duplicate of one in progress",
}
SKIPPED = {"no_email": "the user has no email address"}  # by the reason in the response
# By a part of SendGrid's error message: what it rejected.
REJECTIONS = {
    "verified Sender Identity": "SendGrid rejected the sender",
    "authorization grant": "SendGrid rejected the API key",
    "wrong credentials": "SendGrid rejected the API key",
    "access forbidden": "the SendGrid key doesn't have permission to send email",
    "credits exceeded": "the SendGrid account has no credits left",
}
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_LIBRARIES = ("site-packages", "/lib/python", "<frozen")


@dataclass(frozen=True)
class RunError:
    """What went wrong: `cause` in a few words, `message` in full, and where (an empty file and 0 if unknown)."""

    cause: str
    message: str
    file: str = ""
    line: int = 0
    stack: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}" if self.line else self.file

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)


def outcome(run: Run) -> Outcome:
    """Return the current outcome; a late response or a retried task can change it after the execution has ended."""
    if run.is_running:
        return "running"
    if run.is_pending:
        return "queued"
    if run.execution.error or _was_abandoned(run):
        return "failed"
    if not run.emails:
        return "not_sent"
    return "retried" if _had_failures(run) else "sent"


def title(run: Run) -> str:
    """Return one sentence, without a period: what happened to the notice, and why."""
    state, emails = outcome(run), run.emails
    if state == "running":
        return "Running"
    if emails:
        return _sent_title(run, emails, state)
    if state == "queued":
        return f"No notice sent yet: {_queue_state(run)}"
    if state == "failed":
        failure = error(run)
        return f"No notice sent: {failure.cause}" if failure else "No notice sent"
    reason = _not_sent_reason(_last_response(run))
    return f"No notice sent: {reason}" if reason else "No notice sent"


def error(run: Run) -> RunError | None:
    """Return the error that kept the notice from being sent, or that Auth0 reports; None if there is none."""
    if outcome(run) not in ("failed", "queued"):
        return None
    crash = _crash(run)
    if crash is not None:
        return crash
    response = _last_response(run)
    if response.get("status") == "abandoned":
        return RunError("SendGrid rejected the recipient", _rejection(run)[1] or "SendGrid rejected the recipient")
    failed = response.get("error")
    if isinstance(failed, Mapping):
        message = str(failed.get("message") or failed.get("code"))
        return RunError(_cause(run, str(failed.get("code")), message), message)
    if run.execution.error:
        return _action_error(run.execution.error)
    ended = [entry.data["how"] for entry in run.entries if entry.kind == "cloud_tasks.done"]
    lost = next((how for how in ended if how != "delivered"), "")
    return RunError(f"the task was {lost}", f"the task was {lost} before it was delivered") if lost else None


def duration(run: Run) -> float:
    """Return the seconds until the first email was accepted or, without one, until the execution ended."""
    if run.emails:
        return run.emails[0].at - run.started
    ended = [entry.at for entry in run.entries if entry.kind in ("auth0.execution", "function.exchange")]
    return max(ended, default=run.started) - run.started


def format_duration(seconds: float) -> str:
    """Return a duration for people, such as `152 ms`; never 0 ms for something that took time."""
    milliseconds = seconds * 1000
    if milliseconds < 0.1:
        return "under 0.1 ms"
    if milliseconds < 9.95:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s" if seconds < 60 else f"{seconds:.0f} s"


def _sent_title(run: Run, emails: list[Entry], state: Outcome) -> str:
    addresses = [person["email"] for entry in emails for person in entry.data["to"]]
    unique = list(dict.fromkeys(addresses))
    times = "" if len(addresses) == len(unique) else f" {len(addresses)} times"
    sent = f"Notice sent{times} to {', '.join(unique)} in {format_duration(duration(run))}"
    if state == "queued":
        return f"{sent}, but {_queue_state(run)}"
    failure = error(run) if state == "failed" else None
    reporter = "the callout failed" if run.is_external else "Auth0 reports a failure"
    return f"{sent}, but {reporter}: {failure.cause}" if failure else sent


def _queue_state(run: Run) -> str:
    attempts = [entry.data for entry in run.entries if entry.kind == "cloud_tasks.attempt"]
    failed = [attempt for attempt in attempts if not 200 <= attempt["status"] < 300]
    if not failed:
        return "the task is in the queue"
    last = failed[-1]
    number = f"attempt {last['attempt']} failed ({last['status'] or last['problem']})"
    retry = last["next_retry_s"]
    return f"{number}; the next one follows in {retry:.0f} s" if retry is not None else number


def _was_abandoned(run: Run) -> bool:
    ends = [entry.data["how"] for entry in run.entries if entry.kind == "cloud_tasks.done"]
    return any(how != "delivered" for how in ends) or _last_response(run).get("status") == "abandoned"


def _had_failures(run: Run) -> bool:
    """Return whether a request failed, or an email was sent again because its response was lost."""
    sent = [(str(entry.data["to"]), entry.data["subject"]) for entry in run.emails]
    exchanges = (
        entry for entry in run.entries if entry.kind.endswith(".exchange") or entry.kind == "cloud_tasks.attempt"
    )
    return (
        len(sent) > len(set(sent))
        or any(not 200 <= entry.data["status"] < 400 for entry in exchanges)
        or any(fetch["status"] not in (200, 202) for fetch in run.execution.fetches)
    )


def _not_sent_reason(response: Mapping[str, Any]) -> str:
    status, reason = str(response.get("status", "")), str(response.get("reason", ""))
    if status == "skipped":
        return SKIPPED.get(reason, reason or "skipped")
    return NOT_SENT.get(status, "")


def _responses(run: Run) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON responses of the function and of `deliver`, latest first."""
    for entry in reversed(run.entries):
        if entry.kind in ("function.exchange", "deliver.exchange"):
            try:
                body = json.loads(entry.data["response"]["body"])
            except ValueError:
                continue
            if isinstance(body, dict):
                yield body


def _last_response(run: Run) -> Mapping[str, Any]:
    """Return the latest response, preferably of `deliver`, because that of the function only says `queued`."""
    responses = list(_responses(run))
    return next(
        (response for response in responses if response.get("status") != "queued"), responses[0] if responses else {}
    )


def _cause(run: Run, code: str, message: str) -> str:
    """Return the reason in a few words; a rejection by SendGrid is named by what it rejected."""
    status, rejection = _rejection(run)
    if code == "mail_rejected" and status:
        known = (cause for text, cause in REJECTIONS.items() if text in rejection)
        return next(known, f"SendGrid rejected the email ({status})")
    return message.partition(". ")[0]


def _rejection(run: Run) -> tuple[int, str]:
    """Return the status and the messages of SendGrid's latest error response; 0 if there is none."""
    for entry in reversed(run.entries):
        if entry.kind == "sendgrid.exchange" and entry.data["status"] >= 400:
            status = int(entry.data["status"])
            try:
                errors = json.loads(entry.data["response"]["body"])["errors"]
                return status, "; ".join(str(error["message"]) for error in errors)
            except (ValueError, LookupError, TypeError):
                return status, ""
    return 0, ""


def _crash(run: Run) -> RunError | None:
    """Return the latest unexpected exception in the function, from its traceback in the log."""
    for entry in reversed(run.entries):
        if entry.kind == "function.log":
            text = str(entry.data["fields"].get("message", ""))
            if "Traceback (most recent call last)" in text:
                return _from_traceback(text)
    return None


def _from_traceback(text: str) -> RunError:
    """Return the exception of a traceback, and its innermost frame outside of libraries."""
    exception = text.rstrip().rpartition("\n")[2]
    frames = [(match["file"], int(match["line"])) for match in _FRAME.finditer(text)]
    own = [frame for frame in frames if not any(library in frame[0] for library in _LIBRARIES)]
    file, line = (own or frames or [("", 0)])[-1]
    name = Path(file).name if Path(file).is_absolute() else file
    cause = f"{exception} ({name}, line {line})" if line else exception
    return RunError(cause, exception, name, line, text)


def _action_error(error: Mapping[str, Any]) -> RunError:
    """Return an error of the forwarder Action; its own errors about a callout start with a general sentence."""
    message = str(error["message"])
    cause = message.removeprefix("The notice may not have been sent: ")
    line = int(error["line"] or 0)
    if cause == message and line:
        cause = f"{error['name']}: {message} (action.js, line {line})"
    return RunError(cause, message, "action.js" if line else "", line, str(error["stack"] or ""))
