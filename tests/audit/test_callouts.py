"""Sending what was lost: the callout, and what the function's response means."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from audit import callouts
from audit.auth0_log import Change
from audit.callouts import NotSent, Sender, build_callout
from audit.log_client import Unreadable
from auth0.callout import sign
from emulator.core.faults import Fault
from emulator.core.stub import Stub
from runtime.signature import ID
from tests.audit.conftest import START, Logs, RunAudit
from tests.conftest import SIGNING_KEY, FakeTime

CHANGE = Change("900-1", START, "ann@example.com", "auth0|1", "Users", "example-tenant", "192.0.2.7", "Mozilla/5.0")


@pytest.fixture
def function() -> Iterator[Stub]:
    with Stub("function", response=json.dumps({"status": "queued", "id": build_callout(CHANGE).id})) as function:
        yield function


@pytest.fixture
def sender(function: Stub, time: FakeTime) -> Sender:
    environment = {"FUNCTION_URL": function.url, "CALLOUT_SIGNING_KEY": f" {SIGNING_KEY}\nwhsec_old"}
    return callouts.open_sender(environment, clock=time.clock)


def test_the_callout_has_the_records_event_and_date() -> None:
    assert json.loads(build_callout(CHANGE).body) == {
        "event": {
            "tenant": {"id": "example-tenant"},
            "connection": {"name": "Users"},
            "request": {"ip": "192.0.2.7", "user_agent": "Mozilla/5.0"},
            "user": {"email": "ann@example.com", "user_id": "auth0|1"},
        },
        "time": "2026-11-22T12:00:00Z",
    }


def test_what_the_record_does_not_say_is_omitted() -> None:
    body = json.loads(build_callout(Change("900-1", START, "ann@example.com")).body)
    assert body["event"] == {"tenant": {}, "connection": {}, "request": {}, "user": {"email": "ann@example.com"}}


def test_the_callouts_id_depends_on_the_log_id_alone() -> None:
    callout = build_callout(CHANGE)
    assert ID.fullmatch(callout.id)
    assert build_callout(CHANGE) == callout
    assert build_callout(replace(CHANGE, address="bob@example.com")).id == callout.id
    assert build_callout(replace(CHANGE, log_id="900-2")).id != callout.id


def test_a_callout_is_signed_with_the_first_key(sender: Sender, function: Stub, time: FakeTime) -> None:
    assert sender.send(CHANGE) == "queued"
    [received] = function.received
    callout, timestamp = build_callout(CHANGE), str(int(time.now))
    assert received.body.encode() == callout.body
    assert received.headers["Webhook-Signature"] == sign(SIGNING_KEY, callout.id, timestamp, callout.body)


@pytest.mark.parametrize(
    ("response", "problem", "is_general"),
    [
        ((401, '{"error":{"code":"invalid_signature","message":"no"}}'), "401 invalid_signature: no", True),
        ((503, '{"error":{"code":"mail_unavailable","message":"later"}}'), "503 mail_unavailable: later", True),
        ((502, '{"error":{"code":"mail_rejected","message":"for a@b.c"}}'), "502 mail_rejected: for [address]", False),
        ((200, "<html>Sign in</html>"), "but not from the function: check FUNCTION_URL", True),
        ((200, '{"id":"msg_other"}'), "but not from the function: check FUNCTION_URL", True),
        ((302, ""), "302 from", True),
    ],
)
def test_any_other_response_is_a_failure(
    sender: Sender, function: Stub, response: tuple[int, str], problem: str, is_general: bool
) -> None:
    function.faults.add(Fault("status", status=response[0], body=response[1]))
    with pytest.raises(NotSent) as raised:
        sender.send(CHANGE)
    assert problem in str(raised.value)
    assert raised.value.is_general == is_general


def test_no_response_is_a_failure(sender: Sender, function: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    function.faults.add(Fault("reset"), Fault("hang"))
    monkeypatch.setattr(callouts, "TIMEOUT_SECONDS", 0.3)
    for _ in range(2):
        with pytest.raises(NotSent, match="no response from"):
            sender.send(CHANGE)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("FUNCTION_URL", "http://function.example", "FUNCTION_URL: isn't an https URL"),
        ("CALLOUT_SIGNING_KEY", "whsec_short", "CALLOUT_SIGNING_KEY: "),
    ],
)
def test_a_malformed_variable_is_named_without_its_value(variable: str, value: str, problem: str) -> None:
    valid = {"FUNCTION_URL": "https://function.example", "CALLOUT_SIGNING_KEY": SIGNING_KEY}
    with pytest.raises(Unreadable) as raised:
        callouts.open_sender({**valid, variable: value})
    assert str(raised.value).startswith(problem)
    assert value not in str(raised.value)


# ---- the command ----


@pytest.fixture
def sending(logs: Logs, function: Stub) -> Stub:
    """Lose two notices, and return the function that receives them; it accepts the first."""
    logs.change(START, "ann@example.com", log_id=CHANGE.log_id)
    logs.change(START, "bob@example.com", log_id="900-2")
    logs.environment |= {"FUNCTION_URL": function.url, "CALLOUT_SIGNING_KEY": SIGNING_KEY}
    return function


def test_the_command_sends_each_missing_notice_and_reports_it(logs: Logs, sending: Stub, run_audit: RunAudit) -> None:
    sending.faults.add(Fault("status", status=502, body='{"error":{"code":"mail_rejected","message":"no"}}'))
    logs.change(START, "delivered@example.com")
    logs.email(START, "delivered@example.com")
    result = run_audit("--send")
    reasons = {row["log_id"]: (row["reason"] or "").rpartition("; ")[2] for row in result.json["rows"]}
    assert reasons["900-2"] == "not sent: 502 mail_rejected: no"
    assert (reasons["900-1"], result.status) == ("the function responded queued", 1)
    assert len(sending.received) == 2


def test_a_failure_that_would_repeat_ends_the_sending(logs: Logs, sending: Stub, run_audit: RunAudit) -> None:
    sending.faults.add(Fault("status", status=401, body='{"error":{"code":"invalid_signature","message":"no"}}'))
    result = run_audit("--send")
    assert [row["reason"].rpartition("; ")[2] for row in result.json["rows"]] == [
        "not sent",
        "not sent: 401 invalid_signature: no",
    ]
    assert len(sending.received) == 1


def test_a_users_latest_notice_is_sent_first_because_an_email_counts_for_the_latest_change(
    logs: Logs, sending: Stub, run_audit: RunAudit
) -> None:
    later = logs.change(START + timedelta(hours=1), "ann@example.com")
    rejected = Fault("status", status=503, body='{"error":{"code":"mail_unavailable","message":"later"}}')
    sending.faults.add(rejected)
    result = run_audit("--send")
    [attempt] = sending.received
    assert attempt.json["time"] == later["date"].replace("+00:00", "Z")
    assert result.json["rows"][-1]["reason"].endswith("not sent: 503 mail_unavailable: later")


def test_without_send_nothing_is_sent(sending: Stub, run_audit: RunAudit) -> None:
    assert run_audit().status == 1
    assert sending.received == []


def test_a_sent_notice_is_in_the_table(sending: Stub, run_audit: RunAudit) -> None:
    sending.faults.add(Fault("status", status=502, body='{"error":{"code":"mail_rejected","message":"no"}}'))
    output = run_audit("--send", "--until", "2026-11-22T12:00:01Z", text=True).output
    assert "; the function responded queued" in output


def test_sending_needs_two_more_variables(logs: Logs, run_audit: RunAudit) -> None:
    result = run_audit("--send")
    assert result.errors.startswith("audit: FUNCTION_URL, CALLOUT_SIGNING_KEY: not set: ")
    assert "./deploy.sh audit --send finds" in result.errors
    assert logs.auth0.journal.entries() == []


def test_ctrl_c_while_sending_says_how_many_notices_were_handled(
    sending: Stub, run_audit: RunAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sender, "send", interrupt)
    result = run_audit("--send")
    assert (result.status, result.output) == (130, "")
    assert "audit: 0 of 2 notices were handled" in result.errors
