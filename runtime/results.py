"""The outcome: what came of one Action, and what the outcomes of a flow make together."""

from typing import Any, NamedTuple

from runtime import http, log
from runtime.callout import Callout
from runtime.errors import NoticeError
from runtime.http import JsonResponse

TELLING = {
    "sent": 0,
    "sandbox": 1,
    "queued": 1,
    "skipped": 3,
}  # which success speaks for all; an Action's own word is 2
WORST = {502: 1, 500: 2, 503: 3}  # what may be tried again before what is final


class Result(NamedTuple):
    """`status` is one word for the answer and the log, such as sent, sandbox or skipped."""

    status: str
    message_id: str | None = None  # SendGrid's
    reason: str | None = None  # why it was skipped
    attempts: int | None = None  # how often SendGrid was asked


def skipped(reason: str) -> Result:
    """Nothing was to be done, and that is right: `reason` is a word for machines, such as no_email."""
    return Result("skipped", reason=reason)


class Outcome(NamedTuple):
    """`result` of the Action called `name`; with `error` where it failed."""

    name: str
    result: Result
    duration_ms: float
    error: NoticeError | None = None

    def body(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.result.status, "duration_ms": self.duration_ms}

    def write(self) -> None:
        """The one line of the log that tells of it."""
        error, result = self.error, self.result
        log.write(
            severity(error) if error else "ERROR" if result.status == "abandoned" else "INFO",
            f"{self.name}: {error.message if error else result.status}",
            action=self.name,
            status=result.status,
            code=error and error.code,
            cause=(error and error.cause) or None,
            reason=result.reason,
            attempts=result.attempts,
            message_id=result.message_id,
            duration_ms=self.duration_ms,
            network_ms=milliseconds(log.network_seconds()),
        )


def combine(callout: Callout, outcomes: list[Outcome], seconds: float) -> JsonResponse:
    """One answer for all, after `seconds` in all: the worst failure, else the success that tells most."""
    stats = {"total_ms": milliseconds(seconds), "network_ms": milliseconds(log.network_seconds())}
    common = {"id": callout.id, "stats": stats, "actions": [outcome.body() for outcome in outcomes]}
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        answer = http.error_response(max(errors, key=lambda error: WORST.get(error.status, 2)))
        return answer._replace(body={**answer.body, **common})
    told = min((outcome.result for outcome in outcomes), key=lambda result: TELLING.get(result.status, 2))
    details: dict[str, Any] = {"message_id": told.message_id} if told.status == "sent" else {}
    if told.reason:
        details["reason"] = told.reason
    return JsonResponse(202 if told.status == "queued" else 200, {"status": told.status, **details, **common})


def severity(error: NoticeError) -> log.Severity:
    return "WARNING" if error.status < 500 else "ERROR"


def internal_error() -> NoticeError:
    return NoticeError("internal", "an unforeseen failure; the log of the function says more")


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
