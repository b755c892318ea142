"""Nothing that is secret or private leaves the function. The witness checks it after every test of this folder."""

import json

import pytest

from emulator.core.faults import Fault
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker, is_log_line, spellings

ADDRESSES = [
    "o'connor+reader/1@example.com",
    '"quoted \\"reader\\""@example.com',
    "100%reader&co=1@example.com",
    "Mixed.Case.Reader@Example.COM",
    "über.größe+reader@bücher.example",
    "読者のアドレスです@例え.example",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("status", [400, 403, 413, 500])
def test_a_sendgrid_that_echoes_the_address_and_the_key_is_not_echoed(
    stage: Harness, address: str, status: int
) -> None:
    said = " ".join([*sorted(spellings(address)), stage.sendgrid_key])
    body = json.dumps({"errors": [{"message": f"no mail for {said}", "field": f"to.{address}", "help": said}]})
    with stage.fault(Fault("status", status=status, body=body)):
        stage.send(callout(event(address)))


@pytest.mark.parametrize("member", ["id", "user_id", "username"])
def test_an_address_in_another_member_is_not_told(stage: Harness, member: str) -> None:
    address = new_address()
    of = event(address, user={"email": address, member: address}, connection={"name": address}, tenant={"id": address})
    stage.send(callout(of))
    stage.send(callout({**of, "request": address, "transaction": {address: address}}))


def test_an_address_in_what_is_refused_is_not_told(stage: Harness, witness: LeakChecker) -> None:
    address = new_address()
    witness.forbid_address(address)
    good = notice_to(address)
    for body in (good.body[:-3], good.body + good.body, good.body.replace(b'"email"', b'"email": 1, "email"')):
        stage.request(body, good.headers(stage.signing_key), path=f"/{address}?to={address}")
        stage.request(body, good.headers(stage.signing_key), method=address.split("@")[0].replace("+", "-").upper())
    stage.request(good.body, {"Content-Type": address, "webhook-id": address, "webhook-signature": address})


def test_a_key_that_a_caller_knows_is_not_told(stage: Harness) -> None:
    headers = {**notice_to(new_address()).headers(stage.signing_key), "Authorization": stage.sendgrid_key}
    stage.request(b"{}", {**headers, "webhook-signature": stage.signing_key, "webhook-id": stage.signing_key})


# The witness itself


@pytest.fixture
def strict() -> LeakChecker:
    strict = LeakChecker()
    strict.forbid_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    strict.forbid_secret("SG." + "a1" * 11 + "." + "b2c" * 14 + "d")
    strict.forbid_address("größe+reader@example.com")
    return strict


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
def test_the_witness_hears_a_leak_in_an_answer(strict: LeakChecker, leak: str) -> None:
    strict.hear(f"all is well, {leak}.")
    with pytest.raises(AssertionError, match="the function told"):
        strict.check()


def test_the_witness_hears_a_leak_in_the_output_once_and_at_the_last_check_again(strict: LeakChecker) -> None:
    lines: list[str] = []
    strict.listen("a process", lines)
    strict.check()
    lines.append(json.dumps({"severity": "INFO", "message": "größe+reader@example.com"}))
    with pytest.raises(AssertionError, match="an address"):
        strict.check()
    strict.check()
    with pytest.raises(AssertionError, match="an address"):
        strict.check(everything=True)


def test_the_witness_does_not_show_what_it_heard(strict: LeakChecker) -> None:
    strict.hear("größe+reader@example.com")
    with pytest.raises(AssertionError) as raised:
        strict.check()
    assert "größe" not in str(raised.value)


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "[]", "{}", '{"severity": "INFO"}', '{"a'])
def test_a_line_without_severity_and_message_is_no_log_line(line: str) -> None:
    assert not is_log_line(line)
