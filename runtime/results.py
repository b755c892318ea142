"""What Actions return, and how a flow's outcomes combine into one response."""

from typing import Any, NamedTuple

from runtime import http, log
from runtime.callout import Callout
from runtime.errors import NoticeError
from runtime.http import JsonResponse

# The success with the lowest rank represents the flow; an Action's custom status ranks 2.
SUCCESS_PRECEDENCE = {"sent": 0, "sandbox": 1, "queued": 1, "skipped": 3}
# By HTTP status; the error with the highest rank represents the flow: retryable errors before permanent ones.
ERROR_PRECEDENCE = {502: 1, 500: 2, 503: 3}


class Result(NamedTuple):
    """What an Action returns. `status` is one word for the response and the log, such as sent, sandbox, or skipped."""

    status: str
    message_id: str | None = None  # SendGrid's
    reason: str | None = None  # why the Action skipped or abandoned
    attempts: int | None = None  # requests to SendGrid


def skipped(reason: str) -> Result:
    """Report that there was nothing to do. `reason` is a machine-readable code such as `no_email`."""
    return Result("skipped", reason=reason)


class Outcome(NamedTuple):
    """The result of one Action, or its error."""

    name: str
    result: Result
    duration_ms: float
    error: NoticeError | None = None

    def write_log(self) -> None:
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
    """Return one response for all outcomes: the worst error, or else the success with the highest precedence.

    `seconds` is the flow's total duration.
    """
    stats = {"total_ms": milliseconds(seconds), "network_ms": milliseconds(log.network_seconds())}
    actions = [{"name": name, "status": result.status, "duration_ms": ms} for name, result, ms, _ in outcomes]
    common = {"id": callout.id, "stats": stats, "actions": actions}
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        response = http.error_response(max(errors, key=lambda error: ERROR_PRECEDENCE.get(error.status, 2)))
        return response._replace(body={**response.body, **common})
    results = [outcome.result for outcome in outcomes]
    representative = min(results, key=lambda result: SUCCESS_PRECEDENCE.get(result.status, 2))
    status = representative.status
    details: dict[str, Any] = {"message_id": representative.message_id} if status == "sent" else {}
    if representative.reason:
        details["reason"] = representative.reason
    return JsonResponse(202 if status == "queued" else 200, {"status": status, **details, **common})


def severity(error: NoticeError) -> log.Severity:
    """Return WARNING for an error of the caller, ERROR for one of the function."""
    return "WARNING" if error.status < 500 else "ERROR"


def internal_error() -> NoticeError:
    return NoticeError("internal", "internal error; see the function's logs")


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
