"""Tests that provoke leaks of secrets and addresses; the leak checker runs after every test in this folder."""

import json

import pytest

from emulator.core.faults import Fault
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker, encodings, is_log_line

ADDRESSES = [
    "o'connor+reader/1@example.com",
    '"quoted \\"reader\\""@example.com',
    "100%reader&co=1@example.com",
    "Mixed.Case.Reader@Example.COM",
    "über.größe+reader@bücher.example",
    "o'connor+reader/2@bücher.example",
    "読者のアドレスです@例え.example",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("status", [400, 403, 413, 500])
def test_an_address_and_key_echoed_by_sendgrid_are_redacted(harness: Harness, address: str, status: int) -> None:
    local, _, domain = address.rpartition("@")
    sent = f"{local}@{domain.encode('idna').decode()}" if local.isascii() else address
    forms = encodings(address) | encodings(sent)
    keys = [harness.sendgrid_key, harness.sendgrid_key[3:], harness.signing_key, harness.signing_key[6:]]
    echoed = " ".join([*sorted(forms), *keys])
    body = json.dumps({"errors": [{"message": f"no email for {echoed}", "field": f"to.{address}", "help": echoed}]})
    with harness.sendgrid_faults(Fault("status", status=status, body=body)):
        harness.send(make_callout(make_event(address)))


@pytest.mark.parametrize("echo", ["address", "key"])
def test_an_address_or_key_echoed_as_message_id_is_not_reported(harness: Harness, echo: str) -> None:
    address = new_address()
    message_id = address if echo == "address" else harness.sendgrid_key
    with harness.sendgrid_faults(Fault("status", status=202, headers={"X-Message-Id": message_id})):
        response = harness.send(make_callout(make_event(address)))
    assert response.body["status"] == "sent"
    assert response.body["message_id"] is None


@pytest.mark.parametrize("field", ["id", "user_id", "username"])
def test_an_address_in_another_field_is_redacted(harness: Harness, field: str) -> None:
    address = new_address()
    event = make_event(
        address, user={"email": address, field: address}, connection={"name": address}, tenant={"id": address}
    )
    harness.send(make_callout(event))
    harness.send(make_callout({**event, "request": address, "transaction": {address: address}}))


def test_an_address_in_a_rejected_request_is_not_logged(harness: Harness, leak_checker: LeakChecker) -> None:
    address = new_address()
    leak_checker.forbid_address(address)
    valid, method = callout_for(address), address.split("@")[0].replace("+", "-").upper()
    for body in (valid.body[:-3], valid.body + valid.body, valid.body.replace(b'"email"', b'"email": 1, "email"')):
        harness.request(body, valid.headers(harness.signing_key), path=f"/{address}?to={address}")
        harness.request(body, valid.headers(harness.signing_key), method=method)
    harness.request(valid.body, {"Content-Type": address, "webhook-id": address, "webhook-signature": address})


def test_a_key_sent_by_the_caller_is_not_logged(harness: Harness) -> None:
    headers = {**callout_for(new_address()).headers(harness.signing_key), "Authorization": harness.sendgrid_key}
    harness.request(b"{}", {**headers, "webhook-signature": harness.signing_key, "webhook-id": harness.signing_key})


# The leak checker itself


@pytest.fixture
def checker() -> LeakChecker:
    checker = LeakChecker()
    checker.forbid_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    checker.forbid_secret("SG." + "a1" * 11 + "." + "b2c" * 14 + "d")
    checker.forbid_address("größe+reader@example.com")
    return checker


LEAKS = [
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a1" * 11,
    "b2c" * 14 + "d",
    "GRÖSSE+reader@example.com".replace("SS", "ß"),
    "gr\\u00f6\\u00dfe+reader@example.com",
    "gr%C3%B6%C3%9Fe%2Breader",
    "größe+reader",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_the_leak_checker_finds_a_leak_in_a_response(checker: LeakChecker, leak: str) -> None:
    checker.add_response(f"a response with {leak}.")
    with pytest.raises(AssertionError, match="the function leaked"):
        checker.check()


def test_the_leak_checker_reports_a_leak_in_the_output_once_and_again_in_the_final_check(checker: LeakChecker) -> None:
    lines: list[str] = []
    checker.watch_output("a process", lines)
    checker.check()
    lines.append(json.dumps({"severity": "INFO", "message": "größe+reader@example.com"}))
    with pytest.raises(AssertionError, match="an address"):
        checker.check()
    checker.check()
    with pytest.raises(AssertionError, match="an address"):
        checker.check(everything=True)


def test_the_leak_checkers_message_does_not_contain_the_leaked_value(checker: LeakChecker) -> None:
    checker.add_response("größe+reader@example.com")
    with pytest.raises(AssertionError) as raised:
        checker.check()
    assert "größe" not in str(raised.value)


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "[]", "{}", '{"severity": "INFO"}', '{"a'])
def test_a_line_without_severity_and_message_is_not_a_log_line(line: str) -> None:
    assert not is_log_line(line)
