"""Tests of each row of the HTTP contract, against the real process."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from auth0.callout import OutgoingCallout, sign
from emulator.emulator import example
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import Harness, Response
from tests.end_to_end.leak_checker import LeakChecker

MAX_BODY_BYTES = 65_536
INVALID_SIGNATURE = {"error": {"code": "invalid_signature", "message": "invalid signature"}}


def callout_of_size(size: int, address: str) -> OutgoingCallout:
    """Return a valid callout whose body has `size` bytes."""
    unpadded = json.dumps({"event": make_event(address), "padding": ""}).encode()
    return OutgoingCallout(unpadded[:-2] + b"x" * (size - len(unpadded)) + unpadded[-2:])


# Success


def test_a_callout_sends_one_email(harness: Harness) -> None:
    address = new_address()
    response = harness.send(callout_for(address))
    [email] = harness.emails_to(address)
    assert response.status == 200
    assert response.body["status"] == "sent"
    assert response.body["message_id"] == email.message_id
    assert f"The password for your customers account {address} was recently changed." in email.text
    assert email.subject == "Your password was changed"


def test_the_response_has_the_id_the_timings_and_the_actions(harness: Harness) -> None:
    callout = callout_for(new_address())
    response = harness.send(callout)
    [action] = response.body["actions"]
    assert response.body["id"] == callout.id
    assert response.body["stats"]["total_ms"] >= response.body["stats"]["network_ms"] > 0
    assert {**action, "duration_ms": 0} == {
        "name": "on_execute_post_change_password",
        "status": "sent",
        "duration_ms": 0,
    }
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


def test_the_log_line_identifies_the_callout_by_its_keys_and_the_users_hash(harness: Harness) -> None:
    callout = callout_for(new_address())
    harness.send(callout)
    line = harness.find_log_line(lambda fields: fields.get("callout") == callout.id and fields.get("status") == "sent")
    assert line is not None
    fields = line.data["fields"]
    assert {"idempotency_key", "user", "attempts", "duration_ms", "message_id"} <= fields.keys()


@pytest.mark.parametrize("name", ["auth0-default-sample", "full", "unusual-but-legal"])
def test_a_sample_event_sends_an_email(harness: Harness, name: str) -> None:
    assert harness.send(make_callout(example(name))).body["status"] == "sent"


@pytest.mark.parametrize(
    "address",
    [
        *("no-at-sign", " ", "\u202e", "a@b@example.com", "a@example.com\r\nBcc: b@example.com"),
        *("a@b.example,c@d.example", "a@b.example;c@d.example", "a@b.example c@d.example", "Eve <eve@example.com>"),
        *("<a@b.example>", "a@b.example\0", "a@b.example?cc=c@d.example", "x" * 64 + "@" + "d" * 256 + ".example"),
    ],
)
def test_an_address_that_sendgrid_rejects_returns_sendgrids_error(harness: Harness, address: str) -> None:
    response = harness.send(callout_for(address))
    assert (response.status, response.code) == (502, "mail_rejected")
    assert "personalizations.0.to.0.email" in response.message


@pytest.mark.parametrize("name", ["no-email", "minimal"])
def test_a_user_without_an_address_is_skipped(harness: Harness, name: str) -> None:
    before = len(harness.sendgrid.inbox())
    response = harness.send(make_callout(example(name)))
    assert response.status == 200
    assert (response.body["status"], response.body["reason"]) == ("skipped", "no_email")
    assert len(harness.sendgrid.inbox()) == before


@pytest.mark.parametrize("address", [None, ""])
def test_a_null_or_empty_address_counts_as_absent(harness: Harness, address: str | None) -> None:
    response = harness.send(make_callout(make_event(address)))
    assert (response.status, response.body["reason"]) == (200, "no_email")


def test_a_repeated_callout_returns_the_first_response_as_a_duplicate(harness: Harness) -> None:
    address = new_address()
    callout = callout_for(address)
    first, second = harness.send(callout), harness.send(callout, at=time.time() - 5)
    assert second.status == 200
    assert second.body == {**first.body, "status": "duplicate"}
    assert len(harness.emails_to(address)) == 1


def test_a_different_id_or_body_is_a_different_callout(harness: Harness) -> None:
    address = new_address()
    first = callout_for(address)
    others = [OutgoingCallout(first.body), OutgoingCallout(first.body + b" ", first.id)]
    assert {harness.send(callout).body["status"] for callout in (first, *others)} == {"sent"}
    assert len(harness.emails_to(address)) == 3


def test_twenty_concurrent_callouts_send_one_email_and_get_the_same_response(harness: Harness) -> None:
    address = new_address()
    with harness.sendgrid_faults(fault("delay", seconds=1)):
        responses = harness.send_all([callout_for(address)] * 20)
    assert {response.status for response in responses} == {200}
    assert len({json.dumps({**response.body, "status": ""}) for response in responses}) == 1
    assert {response.body["status"] for response in responses} <= {"sent", "duplicate"}
    assert len(harness.emails_to(address)) == 1


def test_concurrent_duplicates_get_the_failure_of_the_first(harness: Harness) -> None:
    address = new_address()
    harness.sendgrid.unverify("security@example.com")
    try:
        with harness.sendgrid_faults(fault("delay", seconds=1)):
            responses = harness.send_all([callout_for(address)] * 5)
    finally:
        harness.sendgrid.verify("security@example.com")
    assert {response.code for response in responses} == {"mail_rejected"}
    assert not harness.emails_to(address)


def test_a_sandbox_callout_is_validated_by_sendgrid_and_sends_no_email(harness: Harness) -> None:
    address = new_address()
    response = harness.send(callout_for(address, sandbox=True))
    checked = harness.journal.entries(kind="sendgrid.sandbox")
    assert (response.status, response.body["status"]) == (200, "sandbox")
    assert [entry.data["to"] for entry in checked][-1] == [{"email": address}]
    assert not harness.emails_to(address)


@pytest.mark.parametrize("sandbox", [False, None])
def test_a_sandbox_field_of_false_or_null_sends_a_real_email(harness: Harness, sandbox: bool | None) -> None:
    address = new_address()
    assert harness.send(callout_for(address, sandbox=sandbox)).body["status"] == "sent"
    assert len(harness.emails_to(address)) == 1


# Tolerant reader

WRONG_TYPES: dict[str, dict[str, Any]] = {
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


@pytest.mark.parametrize("path", WRONG_TYPES)
def test_a_field_of_the_wrong_type_logs_a_warning_and_the_email_is_sent(harness: Harness, path: str) -> None:
    address = new_address()
    fields = dict(WRONG_TYPES[path])
    callout = make_callout(make_event(address, **fields.pop("event", {})), **fields)
    response = harness.send(callout)
    assert (response.status, response.body["status"]) == (200, "sent")
    assert harness.find_log_line(
        lambda fields: (
            fields.get("callout") == callout.id
            and fields["severity"] == "WARNING"
            and fields["message"].startswith(f"{path}: ")
        )
    )


@pytest.mark.parametrize("field", ["email_verified", "user_id", "username", "phone_verified", "last_password_reset"])
def test_a_user_field_of_the_wrong_type_logs_a_warning_and_the_email_is_sent(harness: Harness, field: str) -> None:
    address = new_address()
    callout = make_callout(make_event(address, user={"email": address, field: 7}))
    assert harness.send(callout).body["status"] == "sent"
    assert harness.find_log_line(
        lambda fields: fields.get("callout") == callout.id and fields["message"].startswith(f"event.user.{field}: ")
    )


@pytest.mark.parametrize(
    "timestamp", [None, "2026-11-23T10:15:00Z", "2026-11-23T10:15:00.123456789+05:30", "", 17, "0"]
)
def test_any_value_of_time_still_sends_the_notice(harness: Harness, timestamp: object) -> None:
    address = new_address()
    assert harness.send(callout_for(address, time=timestamp)).body["status"] == "sent"
    assert len(harness.emails_to(address)) == 1


def test_unknown_fields_are_accepted(harness: Harness) -> None:
    address = new_address()
    user = {"email": address, "name": "Ada", "app_metadata": {"plan": [1, None, {"a": "b"}]}}
    event = make_event(address, user=user, new={"deep": [{}]})
    assert harness.send(make_callout(event, version=2)).body["status"] == "sent"


@pytest.mark.parametrize("number", ["9" * 60_000, "-" + "9" * 60_000, "1e999", "0." + "1" * 60_000])
def test_a_number_of_any_size_still_sends_the_notice(harness: Harness, number: str) -> None:
    address = new_address()
    body = make_callout(make_event(address, request={"geoip": {"latitude": "N"}})).body.replace(b'"N"', number.encode())
    assert harness.send(OutgoingCallout(body)).body["status"] == "sent"


def test_secrets_in_the_body_are_dropped(harness: Harness, leak_checker: LeakChecker) -> None:
    address, planted = new_address(), "SG.planted-by-the-caller-0." + "x" * 43
    leak_checker.forbid_secret(planted)
    response = harness.send(make_callout(make_event(address, secrets={"SENDGRID_API_KEY": planted})))
    assert (response.status, response.body["status"]) == (200, "sent")


def test_a_lone_surrogate_still_sends_the_notice(harness: Harness) -> None:
    address = new_address()
    body = make_callout(make_event(address, connection={"name": "NAME"})).body.replace(b"NAME", rb"cust\ud83dmers")
    assert harness.send(OutgoingCallout(body)).body["status"] == "sent"


# Rejected: 405, 415, 413, 401, 400, checked in this order

JSON_TYPE = {"content-type": "application/json"}
TOO_LARGE = b"x" * (MAX_BODY_BYTES + 1)


PATHS = ["/", "/a", "/a/b?c=d", "//a", "/%00%ff", "/deliver", "/robots.txt", "/favicon.ico", "/static/a"]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_handled_identically(harness: Harness, path: str) -> None:
    callout = callout_for(new_address())
    response = harness.request(callout.body, callout.headers(harness.signing_key), path=path)
    assert (response.status, response.body["status"]) == (200, "sent")


@pytest.mark.parametrize("path", PATHS)
def test_only_post_is_allowed_on_every_path(harness: Harness, path: str) -> None:
    assert harness.request(b"", {}, method="GET", path=path).code == "method_not_allowed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_only_post_is_allowed(harness: Harness, method: str) -> None:
    callout = callout_for(new_address())
    response = harness.request(callout.body, callout.headers(harness.signing_key), method=method)
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or response.code == "method_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json-patch+json"},
        {**JSON_TYPE, "Content-Encoding": "gzip"},
        {**JSON_TYPE, "Content-Encoding": "identity"},
    ],
)
def test_another_content_type_or_any_content_encoding_is_rejected(harness: Harness, headers: dict[str, str]) -> None:
    callout = callout_for(new_address())
    signed = {name: value for name, value in callout.headers(harness.signing_key).items() if name != "content-type"}
    response = harness.request(callout.body, {**signed, **headers})
    assert (response.status, response.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
)
def test_case_and_parameters_of_the_content_type_are_ignored(harness: Harness, content_type: str) -> None:
    callout = callout_for(new_address())
    response = harness.request(callout.body, {**callout.headers(harness.signing_key), "content-type": content_type})
    assert response.status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_exactly_the_maximum_size_is_accepted(harness: Harness, chunked: bool) -> None:
    callout = callout_of_size(MAX_BODY_BYTES, new_address())
    assert len(callout.body) == MAX_BODY_BYTES
    assert harness.request(callout.body, callout.headers(harness.signing_key), chunked=chunked).status == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 1_000_000])
def test_a_larger_body_is_rejected(harness: Harness, size: int, chunked: bool) -> None:
    callout = callout_of_size(size, new_address())
    response = harness.request(callout.body, callout.headers(harness.signing_key), chunked=chunked)
    assert (response.status, response.code) == (413, "too_large")


def test_a_huge_content_length_is_rejected_before_the_body_arrives(harness: Harness) -> None:
    response = harness.send_raw(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n{"
    )
    assert response.startswith(b"HTTP/1.1 413")


def test_a_truncated_body_sends_no_email(harness: Harness) -> None:
    address = new_address()
    callout = callout_for(address)
    header_lines = [f"{name}: {value}" for name, value in callout.headers(harness.signing_key).items()]
    head = "\r\n".join(["POST / HTTP/1.1", "Host: x", *header_lines, f"Content-Length: {len(callout.body)}", "", ""])
    response = harness.send_raw(head.encode() + callout.body[:-1])
    assert not response or response.startswith(b"HTTP/1.1 4")
    assert not harness.emails_to(address)


@pytest.mark.parametrize("size", [b"zz", b"-5", b"0x5", b""])
@pytest.mark.parametrize("signed", [True, False])
def test_malformed_chunked_framing_is_a_bad_request(harness: Harness, size: bytes, signed: bool) -> None:
    callout = callout_for(new_address())
    headers = callout.headers(harness.signing_key) if signed else JSON_TYPE
    header_lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(["POST / HTTP/1.1", "Host: x", *header_lines, "Transfer-Encoding: chunked", "", ""])
    assert b" 400 " in harness.send_raw(head.encode() + size + b"\r\n" + callout.body)[:20]


def test_a_duplicate_webhook_header_is_unauthorized(harness: Harness) -> None:
    callout = callout_for(new_address())
    headers = callout.headers(harness.signing_key)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        header_lines = [f"{name}: {value}" for name, value in [*headers.items(), (name, headers[name])]]
        head = "\r\n".join(
            ["POST / HTTP/1.1", "Host: x", *header_lines, f"Content-Length: {len(callout.body)}", "", ""]
        )
        assert harness.send_raw(head.encode() + callout.body).startswith(b"HTTP/1.1 401")


def test_the_method_is_checked_before_the_content_type(harness: Harness) -> None:
    assert harness.request(TOO_LARGE, {"Content-Type": "text/plain"}, method="PUT").status == 405


def test_the_content_type_is_checked_before_the_size(harness: Harness) -> None:
    assert harness.request(TOO_LARGE, {"Content-Type": "text/plain"}).status == 415


def test_the_size_is_checked_before_the_signature(harness: Harness) -> None:
    assert harness.request(TOO_LARGE, JSON_TYPE).status == 413


def test_the_signature_is_checked_before_the_body(harness: Harness) -> None:
    assert harness.request(b"not JSON", JSON_TYPE).status == 401
    assert harness.send(OutgoingCallout(b"not JSON")).status == 400


# Rejected: the signature


def send_with_headers(harness: Harness, **changes: str | None) -> Response:
    """Send a valid callout with changed webhook headers; None removes one."""
    callout = callout_for(new_address())
    headers: dict[str, str | None] = dict(callout.headers(harness.signing_key))
    headers.update({f"webhook-{name}": value for name, value in changes.items()})
    return harness.request(callout.body, {name: value for name, value in headers.items() if value is not None})


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("value", [None, "", " ", "x", "ü", "v1,", "v1,AAAA", "9" * 13, "-1", "1e9", "0x10", "é" * 300])
def test_a_missing_or_malformed_header_is_unauthorized(harness: Harness, name: str, value: str | None) -> None:
    encoded = value and value.encode().decode("latin-1")
    response = send_with_headers(harness, **{name: encoded})
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


@pytest.mark.parametrize("seconds", [-301.5, -3600, 302, 3600])
def test_a_stale_timestamp_is_unauthorized(harness: Harness, seconds: float) -> None:
    response = harness.send(callout_for(new_address()), at=time.time() + seconds)
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


@pytest.mark.parametrize("template", ["0{}", "+{}", "{}.0", "{}e0", " 0{}"])
def test_a_signed_timestamp_in_noncanonical_form_is_unauthorized(harness: Harness, template: str) -> None:
    assert send_with_headers(harness, timestamp=template.format(int(time.time()))).body == INVALID_SIGNATURE


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_small_clock_skew_is_tolerated(harness: Harness, seconds: float) -> None:
    assert harness.send(callout_for(new_address()), at=time.time() + seconds).status == 200


def test_a_signature_with_an_unknown_key_is_unauthorized(harness: Harness) -> None:
    response = harness.send(callout_for(new_address()), key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


def test_a_changed_body_is_unauthorized(harness: Harness) -> None:
    callout = callout_for(new_address())
    response = harness.request(callout.body.replace(b"customers", b"Customers"), callout.headers(harness.signing_key))
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)


def test_a_signature_for_another_id_is_unauthorized(harness: Harness) -> None:
    assert send_with_headers(harness, id="msg_another").body == INVALID_SIGNATURE


def test_one_valid_signature_among_others_is_enough(harness: Harness) -> None:
    callout = callout_for(new_address())
    headers = callout.headers(harness.signing_key)
    valid = headers["webhook-signature"]
    headers["webhook-signature"] = f"v1a,abc v2,{valid[3:]} v1,AAAA= {valid} x"
    assert harness.request(callout.body, headers).status == 200


def test_a_signature_of_another_scheme_version_is_unauthorized(harness: Harness) -> None:
    callout = callout_for(new_address())
    valid = sign(harness.signing_key, callout.id, str(int(time.time())), callout.body)
    assert send_with_headers(harness, signature=valid.replace("v1,", "v2,")).body == INVALID_SIGNATURE


@pytest.fixture(scope="module")
def restricted(leak_checker: LeakChecker) -> Iterator[Harness]:
    with Harness(leak_checker, {"ALLOWED_TENANTS": "acme, acme-dev"}) as restricted:
        yield restricted


def test_a_tenant_that_is_not_allowed_gets_the_same_401(restricted: Harness) -> None:
    address = new_address()
    response = restricted.send(make_callout(make_event(address, tenant={"id": "other"})))
    assert (response.status, response.body) == (401, INVALID_SIGNATURE)
    assert not restricted.emails_to(address)
    assert restricted.find_log_line(lambda fields: "ALLOWED_TENANTS" in fields.get("cause", ""))


@pytest.mark.parametrize("tenant", ["acme", "acme-dev"])
def test_an_allowed_tenant_is_accepted(restricted: Harness, tenant: str) -> None:
    assert restricted.send(make_callout(make_event(new_address(), tenant={"id": tenant}))).status == 200


@pytest.mark.parametrize("tenant", [None, "acme", ["acme"], {}, {"id": ["acme"]}, {"id": {}}, {"id": "ACME"}])
def test_an_event_without_a_valid_tenant_id_is_unauthorized(restricted: Harness, tenant: object) -> None:
    assert restricted.send(make_callout(make_event(new_address(), tenant=tenant))).body == INVALID_SIGNATURE


@pytest.mark.parametrize("event", [None, [], "acme", {}, {"tenant": {"id": "other"}, "user": {"email": 7}}])
def test_the_tenant_is_checked_before_the_event(restricted: Harness, event: Any) -> None:
    assert restricted.send(make_callout(event)).body == INVALID_SIGNATURE


# Rejected: the body

INVALID_JSON = {
    "empty": b"",
    "text": b"password changed",
    "truncated": b'{"event": {',
    "not UTF-8": b'{"event": {"user": {"email": "\xff@example.com"}}}',
    "UTF-16": '{"event": {"user": {}}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"event": {"user": {}}}',
    "duplicate key": b'{"event": {"user": {"email": "a@example.com", "email": "b@example.com"}}}',
    "duplicate event": b'{"event": {"user": {}}, "event": {"user": {}}}',
    "NaN": b'{"event": {"user": {}}, "x": NaN}',
    "Infinity": b'{"event": {"user": {}}, "x": -Infinity}',
    "a control character": b'{"event": {"user": {"email": "a\n@example.com"}}}',
    "trailing value": b'{"event": {"user": {}}} {}',
    "deeply nested": b'{"event": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
}


@pytest.mark.parametrize("kind", INVALID_JSON)
def test_invalid_json_is_rejected(harness: Harness, kind: str) -> None:
    response = harness.send(OutgoingCallout(INVALID_JSON[kind]))
    assert (response.status, response.code) == (400, "invalid_json")


INVALID_EVENTS = {
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


@pytest.mark.parametrize("body", INVALID_EVENTS)
def test_an_invalid_event_is_rejected_with_the_path_of_the_field(harness: Harness, body: str) -> None:
    response = harness.send(OutgoingCallout(body.encode()))
    assert (response.status, response.code) == (400, "invalid_event")
    assert response.message.startswith(INVALID_EVENTS[body])
    assert not any(value in response.text for value in ("4711", "47.11", "ada", '"a"'))


def test_a_rejected_callout_sends_no_email_and_is_not_cached(harness: Harness) -> None:
    address = new_address()
    rejected = OutgoingCallout(callout_for(address).body[:-1])
    assert [harness.send(rejected).status for _ in range(2)] == [400, 400]
    assert not harness.emails_to(address)
