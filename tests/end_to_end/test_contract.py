"""The HTTP contract, row by row, through the real process."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from auth0.callout import OutgoingCallout, sign
from emulator.emulator import example
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Answer, Harness
from tests.end_to_end.leak_checker import LeakChecker

LARGEST = 65_536
UNAUTHORIZED = {"error": {"code": "invalid_signature", "message": "the signature does not hold"}}


def padded(size: int, address: str) -> OutgoingCallout:
    """A good callout whose body has `size` bytes."""
    bare = json.dumps({"event": event(address), "padding": ""}).encode()
    return OutgoingCallout(bare[:-2] + b"x" * (size - len(bare)) + bare[-2:])


# Success


def test_a_callout_becomes_one_mail(stage: Harness) -> None:
    address = new_address()
    answer = stage.send(notice_to(address))
    [mail] = stage.mails(address)
    assert answer.status == 200
    assert answer.body["status"] == "sent"
    assert answer.body["message_id"] == mail.message_id
    assert f"The password for your customers account {address} was recently changed." in mail.text
    assert mail.subject == "Your password was changed"


def test_the_answer_tells_the_id_the_times_and_the_actions(stage: Harness) -> None:
    sent = notice_to(new_address())
    answer = stage.send(sent)
    [action] = answer.body["actions"]
    assert answer.body["id"] == sent.id
    assert answer.body["stats"]["total_ms"] >= answer.body["stats"]["network_ms"] > 0
    assert {**action, "duration_ms": 0} == {
        "name": "on_execute_post_change_password",
        "status": "sent",
        "duration_ms": 0,
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_the_log_tells_of_the_callout_by_its_keys_and_the_users_hash(stage: Harness) -> None:
    sent = notice_to(new_address())
    stage.send(sent)
    line = stage.line(lambda fields: fields.get("callout") == sent.id and fields.get("status") == "sent")
    assert line is not None
    fields = line.data["fields"]
    assert {"idempotency_key", "user", "attempts", "duration_ms", "message_id"} <= fields.keys()


@pytest.mark.parametrize("name", ["auth0-default-sample", "full", "unusual-but-legal"])
def test_an_example_event_becomes_a_mail(stage: Harness, name: str) -> None:
    assert stage.send(callout(example(name))).body["status"] == "sent"


@pytest.mark.parametrize(
    "address",
    [
        *("nobody", " ", "\u202e", "a@b@example.com", "a@example.com\r\nBcc: b@example.com"),
        *("a@b.example,c@d.example", "a@b.example;c@d.example", "a@b.example c@d.example", "Eve <eve@example.com>"),
        *("<a@b.example>", "a@b.example\0", "a@b.example?cc=c@d.example", "x" * 64 + "@" + "d" * 256 + ".example"),
    ],
)
def test_an_address_that_sendgrid_refuses_is_told_as_its_refusal(stage: Harness, address: str) -> None:
    answer = stage.send(notice_to(address))
    assert (answer.status, answer.code) == (502, "mail_rejected")
    assert "personalizations.0.to.0.email" in answer.message


@pytest.mark.parametrize("name", ["no-email", "minimal"])
def test_a_user_without_an_address_is_skipped(stage: Harness, name: str) -> None:
    before = len(stage.sendgrid.inbox())
    answer = stage.send(callout(example(name)))
    assert answer.status == 200
    assert (answer.body["status"], answer.body["reason"]) == ("skipped", "no_email")
    assert len(stage.sendgrid.inbox()) == before


@pytest.mark.parametrize("address", [None, ""])
def test_an_address_that_is_null_or_empty_is_none(stage: Harness, address: str | None) -> None:
    answer = stage.send(callout(event(address)))
    assert (answer.status, answer.body["reason"]) == (200, "no_email")


def test_the_same_callout_again_is_a_duplicate_with_the_first_answer(stage: Harness) -> None:
    address = new_address()
    sent = notice_to(address)
    first, second = stage.send(sent), stage.send(sent, at=time.time() - 5)
    assert second.status == 200
    assert second.body == {**first.body, "status": "duplicate"}
    assert len(stage.mails(address)) == 1


def test_another_id_or_another_body_is_another_callout(stage: Harness) -> None:
    address = new_address()
    first = notice_to(address)
    others = [OutgoingCallout(first.body), OutgoingCallout(first.body + b" ", first.id)]
    assert {stage.send(each).body["status"] for each in (first, *others)} == {"sent"}
    assert len(stage.mails(address)) == 3


def test_twenty_at_the_same_moment_become_one_mail_and_get_the_same_answer(stage: Harness) -> None:
    address = new_address()
    with stage.fault(fault("delay", seconds=1)):
        answers = stage.send_all([notice_to(address)] * 20)
    assert {answer.status for answer in answers} == {200}
    assert len({json.dumps({**answer.body, "status": ""}) for answer in answers}) == 1
    assert {answer.body["status"] for answer in answers} <= {"sent", "duplicate"}
    assert len(stage.mails(address)) == 1


def test_who_comes_while_the_first_runs_gets_its_failure_too(stage: Harness) -> None:
    address = new_address()
    slowly_refused = [fault("delay", seconds=1)]
    stage.sendgrid.unverify("security@example.com")
    try:
        with stage.fault(*slowly_refused):
            answers = stage.send_all([notice_to(address)] * 5)
    finally:
        stage.sendgrid.verify("security@example.com")
    assert {answer.code for answer in answers} == {"mail_rejected"}
    assert not stage.mails(address)


def test_a_sandbox_callout_is_checked_by_sendgrid_and_mails_nobody(stage: Harness) -> None:
    address = new_address()
    answer = stage.send(notice_to(address, sandbox=True))
    checked = stage.journal.entries(kind="sendgrid.sandbox")
    assert (answer.status, answer.body["status"]) == (200, "sandbox")
    assert [entry.data["to"] for entry in checked][-1] == [{"email": address}]
    assert not stage.mails(address)


@pytest.mark.parametrize("sandbox", [False, None])
def test_no_sandbox_is_a_real_mail(stage: Harness, sandbox: bool | None) -> None:
    address = new_address()
    assert stage.send(notice_to(address, sandbox=sandbox)).body["status"] == "sent"
    assert len(stage.mails(address)) == 1


# A tolerant reader

ODD: dict[str, dict[str, Any]] = {
    "sandbox": {"sandbox": "yes"},
    "time": {"time": "yesterday"},
    "event.request": {"event": {"request": ["a"]}},
    "event.request.ip": {"event": {"request": {"ip": 7}}},
    "event.request.language": {"event": {"request": {"language": ["en"]}}},
    "event.request.user_agent": {"event": {"request": {"user_agent": {}}}},
    "event.request.geoip": {"event": {"request": {"geoip": "here"}}},
    "event.request.geoip.latitude": {"event": {"request": {"geoip": {"latitude": True}}}},
    "event.request.geoip.timeZone": {"event": {"request": {"geoip": {"timeZone": 1}}}},
    "event.connection": {"event": {"connection": "customers"}},
    "event.connection.name": {"event": {"connection": {"name": 7}}},
    "event.connection.metadata": {"event": {"connection": {"name": "customers", "metadata": 1}}},
    "event.tenant": {"event": {"tenant": []}},
    "event.tenant.id": {"event": {"tenant": {"id": False}}},
    "event.custom_domain": {"event": {"custom_domain": 1}},
    "event.transaction": {"event": {"transaction": 1}},
    "event.authentication": {"event": {"authentication": 1}},
}


@pytest.mark.parametrize("path", ODD)
def test_a_member_of_the_wrong_type_is_told_and_the_mail_is_sent(stage: Harness, path: str) -> None:
    address = new_address()
    members = dict(ODD[path])
    sent = callout(event(address, **members.pop("event", {})), **members)
    answer = stage.send(sent)
    assert (answer.status, answer.body["status"]) == (200, "sent")
    assert stage.line(
        lambda fields: (
            fields.get("callout") == sent.id
            and fields["severity"] == "WARNING"
            and fields["message"].startswith(f"{path}: ")
        )
    )


@pytest.mark.parametrize("member", ["email_verified", "user_id", "username", "phone_verified", "last_password_reset"])
def test_a_users_member_of_the_wrong_type_is_told_and_the_mail_is_sent(stage: Harness, member: str) -> None:
    address = new_address()
    sent = callout(event(address, user={"email": address, member: 7}))
    assert stage.send(sent).body["status"] == "sent"
    assert stage.line(
        lambda fields: fields.get("callout") == sent.id and fields["message"].startswith(f"event.user.{member}: ")
    )


@pytest.mark.parametrize("moment", [None, "2026-11-23T10:15:00Z", "2026-11-23T10:15:00.123456789+05:30", "", 17, "0"])
def test_a_time_of_any_kind_loses_no_notice(stage: Harness, moment: object) -> None:
    address = new_address()
    assert stage.send(notice_to(address, time=moment)).body["status"] == "sent"
    assert len(stage.mails(address)) == 1


def test_unknown_members_are_no_matter(stage: Harness) -> None:
    address = new_address()
    user = {"email": address, "name": "Ada", "app_metadata": {"plan": [1, None, {"a": "b"}]}}
    of = event(address, user=user, new={"deep": [{}]})
    assert stage.send(callout(of, version=2)).body["status"] == "sent"


@pytest.mark.parametrize("number", ["9" * 60_000, "-" + "9" * 60_000, "1e999", "0." + "1" * 60_000])
def test_a_number_of_any_size_loses_no_notice(stage: Harness, number: str) -> None:
    address = new_address()
    body = callout(event(address, request={"geoip": {"latitude": "N"}})).body.replace(b'"N"', number.encode())
    assert stage.send(OutgoingCallout(body)).body["status"] == "sent"


def test_secrets_in_the_body_are_dropped(stage: Harness, witness: LeakChecker) -> None:
    address, planted = new_address(), "SG.planted-by-the-caller-0." + "x" * 43
    witness.forbid_secret(planted)
    answer = stage.send(callout(event(address, secrets={"SENDGRID_API_KEY": planted})))
    assert (answer.status, answer.body["status"]) == (200, "sent")


def test_half_a_character_loses_no_notice(stage: Harness) -> None:
    address = new_address()
    body = callout(event(address, connection={"name": "HALF"})).body.replace(b"HALF", rb"cust\ud83dmers")
    assert stage.send(OutgoingCallout(body)).body["status"] == "sent"


# Refused: 405, 415, 413, 401, 400, in this order

GOOD = {"content-type": "application/json"}
LARGE = b"x" * (LARGEST + 1)


@pytest.mark.parametrize("path", ["/", "/a", "/a/b?c=d", "//a", "/%00%ff", "/deliver"])
def test_any_path_is_served_alike(stage: Harness, path: str) -> None:
    sent = notice_to(new_address())
    answer = stage.request(sent.body, sent.headers(stage.signing_key), path=path)
    assert (answer.status, answer.body["status"]) == (200, "sent")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_only_post_is_allowed(stage: Harness, method: str) -> None:
    sent = notice_to(new_address())
    answer = stage.request(sent.body, sent.headers(stage.signing_key), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or answer.code == "method_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json-patch+json"},
        {**GOOD, "Content-Encoding": "gzip"},
        {**GOOD, "Content-Encoding": "identity"},
    ],
)
def test_another_type_or_any_encoding_is_refused(stage: Harness, headers: dict[str, str]) -> None:
    sent = notice_to(new_address())
    signed = {name: value for name, value in sent.headers(stage.signing_key).items() if name != "content-type"}
    answer = stage.request(sent.body, {**signed, **headers})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])
def test_the_types_spelling_does_not_matter(stage: Harness, kind: str) -> None:
    sent = notice_to(new_address())
    answer = stage.request(sent.body, {**sent.headers(stage.signing_key), "content-type": kind})
    assert answer.status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_exactly_the_limit_is_taken(stage: Harness, chunked: bool) -> None:
    sent = padded(LARGEST, new_address())
    assert len(sent.body) == LARGEST
    assert stage.request(sent.body, sent.headers(stage.signing_key), chunked=chunked).status == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [LARGEST + 1, 1_000_000])
def test_a_larger_body_is_refused(stage: Harness, size: int, chunked: bool) -> None:
    sent = padded(size, new_address())
    answer = stage.request(sent.body, sent.headers(stage.signing_key), chunked=chunked)
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_huge_announced_length_is_refused_before_the_body_comes(stage: Harness) -> None:
    answer = stage.raw(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n{"
    )
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_breaks_off_mails_nobody(stage: Harness) -> None:
    address = new_address()
    sent = notice_to(address)
    lines = [f"{name}: {value}" for name, value in sent.headers(stage.signing_key).items()]
    head = "\r\n".join(["POST / HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(sent.body)}", "", ""])
    answer = stage.raw(head.encode() + sent.body[:-1])
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert not stage.mails(address)


@pytest.mark.parametrize("size", [b"zz", b"-5", b"0x5", b""])
@pytest.mark.parametrize("signed", [True, False])
def test_a_body_that_is_framed_wrongly_is_a_bad_request(stage: Harness, size: bytes, signed: bool) -> None:
    sent = notice_to(new_address())
    headers = sent.headers(stage.signing_key) if signed else GOOD
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["POST / HTTP/1.1", "Host: x", *lines, "Transfer-Encoding: chunked", "", ""])
    assert b" 400 " in stage.raw(head.encode() + size + b"\r\n" + sent.body)[:20]


def test_a_header_that_stands_twice_is_unauthorized(stage: Harness) -> None:
    sent = notice_to(new_address())
    headers = sent.headers(stage.signing_key)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        lines = [f"{name}: {value}" for name, value in [*headers.items(), (name, headers[name])]]
        head = "\r\n".join(["POST / HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(sent.body)}", "", ""])
        assert stage.raw(head.encode() + sent.body).startswith(b"HTTP/1.1 401")


def test_the_method_is_checked_before_the_type(stage: Harness) -> None:
    assert stage.request(LARGE, {"Content-Type": "text/plain"}, method="PUT").status == 405


def test_the_type_is_checked_before_the_size(stage: Harness) -> None:
    assert stage.request(LARGE, {"Content-Type": "text/plain"}).status == 415


def test_the_size_is_checked_before_the_signature(stage: Harness) -> None:
    assert stage.request(LARGE, GOOD).status == 413


def test_the_signature_is_checked_before_the_body(stage: Harness) -> None:
    assert stage.request(b"no JSON", GOOD).status == 401
    assert stage.send(OutgoingCallout(b"no JSON")).status == 400


# Refused: the signature


def signed_with(stage: Harness, **changes: str | None) -> Answer:
    """The answer to a good callout with other headers; None takes one away."""
    sent = notice_to(new_address())
    headers: dict[str, str | None] = dict(sent.headers(stage.signing_key))
    headers.update({f"webhook-{name}": value for name, value in changes.items()})
    return stage.request(sent.body, {name: value for name, value in headers.items() if value is not None})


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("value", [None, "", " ", "x", "ü", "v1,", "v1,AAAA", "9" * 13, "-1", "1e9", "0x10", "é" * 300])
def test_a_missing_or_malformed_header_is_unauthorized(stage: Harness, name: str, value: str | None) -> None:
    encoded = value and value.encode().decode("latin-1")
    answer = signed_with(stage, **{name: encoded})
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("seconds", [-301.5, -3600, 302, 3600])
def test_a_stale_timestamp_is_unauthorized(stage: Harness, seconds: float) -> None:
    answer = stage.send(notice_to(new_address()), at=time.time() + seconds)
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("spelled", ["0{}", "+{}", "{}.0", "{}e0", " 0{}"])
def test_a_timestamp_of_another_spelling_is_unauthorized_although_its_number_is_signed(
    stage: Harness, spelled: str
) -> None:
    assert signed_with(stage, timestamp=spelled.format(int(time.time()))).body == UNAUTHORIZED


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_clock_that_is_a_little_off_is_tolerated(stage: Harness, seconds: float) -> None:
    assert stage.send(notice_to(new_address()), at=time.time() + seconds).status == 200


def test_a_foreign_key_is_unauthorized(stage: Harness) -> None:
    answer = stage.send(notice_to(new_address()), key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


def test_a_changed_body_is_unauthorized(stage: Harness) -> None:
    sent = notice_to(new_address())
    answer = stage.request(sent.body.replace(b"customers", b"Customers"), sent.headers(stage.signing_key))
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)


def test_a_signature_of_another_id_is_unauthorized(stage: Harness) -> None:
    assert signed_with(stage, id="msg_another").body == UNAUTHORIZED


def test_one_good_signature_among_others_is_enough(stage: Harness) -> None:
    sent = notice_to(new_address())
    headers = sent.headers(stage.signing_key)
    good = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1a,abc v2,{good[3:]} v1,AAAA= {good} x"
    assert stage.request(sent.body, headers).status == 200


def test_a_signature_of_another_version_is_unauthorized(stage: Harness) -> None:
    sent = notice_to(new_address())
    good = sign(stage.signing_key, sent.id, str(int(time.time())), sent.body)
    assert signed_with(stage, signature=good.replace("v1,", "v2,")).body == UNAUTHORIZED


@pytest.fixture(scope="module")
def choosy(witness: LeakChecker) -> Iterator[Harness]:
    with Harness(witness, {"ALLOWED_TENANTS": "acme, acme-dev"}) as choosy:
        yield choosy


def test_a_tenant_that_is_not_allowed_is_unauthorized_alike(choosy: Harness) -> None:
    address = new_address()
    answer = choosy.send(callout(event(address, tenant={"id": "other"})))
    assert (answer.status, answer.body) == (401, UNAUTHORIZED)
    assert not choosy.mails(address)
    assert choosy.line(lambda fields: "ALLOWED_TENANTS" in fields.get("cause", ""))


@pytest.mark.parametrize("tenant", ["acme", "acme-dev"])
def test_a_tenant_that_is_allowed_is_served(choosy: Harness, tenant: str) -> None:
    assert choosy.send(callout(event(new_address(), tenant={"id": tenant}))).status == 200


@pytest.mark.parametrize("tenant", [None, "acme", ["acme"], {}, {"id": ["acme"]}, {"id": {}}, {"id": "ACME"}])
def test_an_event_without_a_tenant_is_not_of_an_allowed_one(choosy: Harness, tenant: object) -> None:
    assert choosy.send(callout(event(new_address(), tenant=tenant))).body == UNAUTHORIZED


@pytest.mark.parametrize("of", [None, [], "acme", {}, {"tenant": {"id": "other"}, "user": {"email": 7}}])
def test_the_tenant_is_checked_before_the_event(choosy: Harness, of: Any) -> None:
    assert choosy.send(callout(of)).body == UNAUTHORIZED


# Refused: the body

NO_JSON = {
    "nothing": b"",
    "text": b"password changed",
    "cut off": b'{"event": {',
    "not UTF-8": b'{"event": {"user": {"email": "\xff@example.com"}}}',
    "UTF-16": '{"event": {"user": {}}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"event": {"user": {}}}',
    "a name twice": b'{"event": {"user": {"email": "a@example.com", "email": "b@example.com"}}}',
    "event twice": b'{"event": {"user": {}}, "event": {"user": {}}}',
    "NaN": b'{"event": {"user": {}}, "x": NaN}',
    "Infinity": b'{"event": {"user": {}}, "x": -Infinity}',
    "a control character": b'{"event": {"user": {"email": "a\n@example.com"}}}',
    "two values": b'{"event": {"user": {}}} {}',
    "deep": b'{"event": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
}


@pytest.mark.parametrize("kind", NO_JSON)
def test_what_is_no_json_is_refused(stage: Harness, kind: str) -> None:
    answer = stage.send(OutgoingCallout(NO_JSON[kind]))
    assert (answer.status, answer.code) == (400, "invalid_json")


NOT_ACTIONABLE = {
    "[]": "body: expected an object",
    '"event"': "body: expected an object",
    "null": "body: expected an object",
    "{}": "event: expected an object, got nothing",
    '{"event": null}': "event: expected an object, got nothing",
    '{"event": [1]}': "event: expected an object, got an array",
    '{"event": {}}': "event.user: expected an object, got nothing",
    '{"event": {"user": "ada"}}': "event.user: expected an object, got a string",
    '{"event": {"user": {"email": 4711}}}': "event.user.email: expected a string, got a number",
    '{"event": {"user": {"email": 47.11}}}': "event.user.email: expected a string, got a number",
    '{"event": {"user": {"email": true}}}': "event.user.email: expected a string, got a boolean",
    '{"event": {"user": {"email": ["ada"]}}}': "event.user.email: expected a string, got an array",
    '{"event": {"user": {"email": {"a": 1}}}}': "event.user.email: expected a string, got an object",
}


@pytest.mark.parametrize("body", NOT_ACTIONABLE)
def test_what_cannot_be_acted_on_is_refused_with_the_path(stage: Harness, body: str) -> None:
    answer = stage.send(OutgoingCallout(body.encode()))
    assert (answer.status, answer.code) == (400, "invalid_event")
    assert answer.message.startswith(NOT_ACTIONABLE[body])
    assert not any(value in answer.text for value in ("4711", "47.11", "ada", '"a"'))


def test_a_refused_callout_mails_nobody_and_is_not_remembered(stage: Harness) -> None:
    address = new_address()
    refused = OutgoingCallout(notice_to(address).body[:-1])
    assert [stage.send(refused).status for _ in range(2)] == [400, 400]
    assert not stage.mails(address)
