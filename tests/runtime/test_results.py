from datetime import UTC, datetime

import pytest

from runtime import log
from runtime.callout import Callout
from runtime.errors import InvalidCallout, NoticeError, Rejected, Unavailable
from runtime.results import Outcome, Result, combine, internal_error, milliseconds, severity, skipped
from tests.conftest import Lines

CALLOUT = Callout("msg_1", "0" * 64, datetime(2026, 11, 23, tzinfo=UTC), sandbox=False, event={}, deadline=0)
SENT = Result("sent", message_id="m", attempts=2)


def outcome(result: Result | NoticeError, name: str = "a") -> Outcome:
    if isinstance(result, NoticeError):
        return Outcome(name, Result("failed", reason=result.code), 1.5, result)
    return Outcome(name, result, 1.5)


def test_a_single_success_is_the_response() -> None:
    with log.context():
        log.add_network_seconds(0.0204)
        response = combine(CALLOUT, [outcome(SENT)], 0.0307)

    assert response.status == 200
    assert response.body == {
        "status": "sent",
        "message_id": "m",
        "id": "msg_1",
        "stats": {"total_ms": 30.7, "network_ms": 20.4},
        "actions": [{"name": "a", "status": "sent", "duration_ms": 1.5}],
    }


@pytest.mark.parametrize(
    ("results", "status", "expected"),
    [
        ([skipped("no_email")], 200, {"status": "skipped", "reason": "no_email"}),
        ([skipped("no_email"), skipped("other")], 200, {"status": "skipped", "reason": "no_email"}),
        ([skipped("no_email"), SENT], 200, {"status": "sent", "message_id": "m"}),
        ([skipped("no_email"), Result("done")], 200, {"status": "done"}),
        ([Result("sent")], 200, {"status": "sent", "message_id": None}),
        ([Result("sandbox", message_id="m")], 200, {"status": "sandbox"}),
        ([Result("done"), SENT], 200, {"status": "sent", "message_id": "m"}),
        ([Result("done"), Result("sandbox")], 200, {"status": "sandbox"}),
        ([Result("queued")], 202, {"status": "queued"}),
        ([Result("duplicate"), Result("queued")], 202, {"status": "queued"}),
        ([Result("duplicate"), Result("duplicate")], 200, {"status": "duplicate"}),
        (
            [Result("abandoned", reason="recipient_refused")],
            200,
            {"status": "abandoned", "reason": "recipient_refused"},
        ),
    ],
)
def test_the_success_with_the_highest_precedence_represents_the_flow(
    results: list[Result], status: int, expected: dict[str, str | None]
) -> None:
    response = combine(CALLOUT, [outcome(result) for result in results], 0)

    assert response.status == status
    assert {name: value for name, value in response.body.items() if name not in ("id", "stats", "actions")} == expected


REJECTED = Rejected("rejected")
UNAVAILABLE = Unavailable("mail_unavailable", "down", retry_after=7)


@pytest.mark.parametrize(
    ("results", "worst"),
    [
        ([SENT, REJECTED], REJECTED),
        ([REJECTED, UNAVAILABLE, SENT], UNAVAILABLE),
        ([UNAVAILABLE, REJECTED], UNAVAILABLE),
        ([REJECTED, NoticeError("internal", "m")], NoticeError("internal", "m")),
        ([NoticeError("internal", "m"), UNAVAILABLE], UNAVAILABLE),
        ([REJECTED, InvalidCallout("own", 418, "an Action's own")], InvalidCallout("own", 418, "an Action's own")),
    ],
)
def test_the_worst_error_is_the_response_and_every_action_is_reported(
    results: list[Result | NoticeError], worst: NoticeError
) -> None:
    response = combine(CALLOUT, [outcome(result, str(number)) for number, result in enumerate(results)], 0)

    assert response.status == worst.status
    assert response.body["error"] == {"code": worst.code, "message": worst.message}
    assert response.headers == ({"Retry-After": "7"} if worst is UNAVAILABLE else {})
    assert response.body["id"] == "msg_1"
    assert [action["status"] for action in response.body["actions"]] == [
        "failed" if isinstance(result, NoticeError) else result.status for result in results
    ]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (SENT, {"severity": "INFO", "message": "a: sent", "status": "sent", "attempts": 2, "message_id": "m"}),
        (skipped("r"), {"severity": "INFO", "message": "a: skipped", "status": "skipped", "reason": "r"}),
        (
            Result("abandoned", reason="r"),
            {"severity": "ERROR", "message": "a: abandoned", "status": "abandoned", "reason": "r"},
        ),
        (
            Unavailable("mail_unavailable", "down", cause="c"),
            {
                "severity": "ERROR",
                "message": "a: down",
                "status": "failed",
                "reason": "mail_unavailable",
                "code": "mail_unavailable",
                "cause": "c",
            },
        ),
        (
            InvalidCallout("own", 418, "m"),
            {"severity": "WARNING", "message": "a: m", "status": "failed", "reason": "own", "code": "own"},
        ),
    ],
)
def test_an_outcome_is_one_log_line(lines: Lines, result: Result | NoticeError, line: dict[str, object]) -> None:
    outcome(result).write_log()

    assert lines() == [{"action": "a", "duration_ms": 1.5, "network_ms": 0.0, **line}]


def test_milliseconds_have_one_decimal() -> None:
    assert milliseconds(1.23456) == 1234.6


def test_severity_depends_on_whether_the_caller_caused_the_error() -> None:
    assert severity(InvalidCallout("c", 401, "m")) == "WARNING"
    assert severity(internal_error()) == severity(UNAVAILABLE) == "ERROR"


def test_skipped_has_a_reason() -> None:
    assert skipped("no_email") == Result("skipped", reason="no_email")
