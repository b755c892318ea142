"""Validation errors of mail/send."""

import base64
import time
from typing import Any

import pytest

from emulator.sendgrid.mail_send import is_sandboxed, violations
from tests.emulator.emails import Json, notice, simple

HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"
A, B = {"email": "a@example.org"}, {"email": "b@example.org"}


def to(*emails: Any, **more: Any) -> list[Json]:
    return [{"to": [{"email": email} for email in emails], **more}]


def block(kind: str = "text/plain", value: str = "Hello.") -> Json:
    return {"type": kind, "value": value}


def attachment(**changes: Any) -> list[Json]:
    file = {"content": base64.b64encode(b"file").decode(), "filename": "a.txt", **changes}
    return [{name: value for name, value in file.items() if value is not ...}]


def fields(body: Any) -> list[str | None]:
    return [found["field"] for found in violations(body)]


DYNAMIC, LEGACY = f"d-{'0123456789abcdef' * 2}", "248f521d-52a2-44a5-a31a-8643b262fd53"


@pytest.mark.parametrize(
    "body",
    [
        simple(),
        notice(),
        notice(sandbox=True),
        simple(content=[block(), block("text/html"), block("text/calendar")]),
        simple(content=[block("text/html")]),
        simple(content=..., subject=..., template_id=DYNAMIC),
        simple(
            content=..., subject=..., template_id=LEGACY, personalizations=to("a@b.org", substitutions={"-a-": "b"})
        ),
        simple(content=[block("text/plain"), block("text/html"), block("text/calendar; method=REQUEST")]),
        simple(attachments=attachment(type="text/calendar; method=REQUEST")),
        simple(subject=..., personalizations=to("a@example.org", subject="Hi")),
        simple(reply_to_list=[A, B]),
        simple(attachments=attachment(type="text/plain", disposition="inline", content_id="one")),
        simple(categories=["a", "b"], send_at=int(time.time()) + 3600),
        simple(personalizations=[{"to": [A], "cc": [B]}, {"to": [A]}]),
        simple(asm={"group_id": 1, "groups_to_display": [1, 2]}, ip_pool_name="pool"),
        simple(a_future_field={"x": 1}),
    ],
)
def test_accepts(body: Json) -> None:
    assert violations(body) == []


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (simple(personalizations=...), "personalizations", "The personalizations field is required"),
        (simple(personalizations=[]), "personalizations", "must have at least one personalization."),
        (simple(personalizations=[{}]), "personalizations.0.to", "The to array is required for all personalization"),
        (simple(personalizations=[{"to": []}]), "personalizations.0.to", "The to array is required"),
        (simple(personalizations=[{"to": [{}]}]), "personalizations.0.to.0.email", "The to email parameter is req"),
        (simple(personalizations=to("a@b c")), "personalizations.0.to.0.email", "Does not contain a valid address."),
        (
            simple(personalizations=to("a" * 309 + "@example.org")),
            "personalizations.0.to.0.email",
            "exceeds the maximum total length of 320",
        ),
        (simple(personalizations=[{"to": [A], "cc": [{"email": "b"}]}]), "personalizations.0.cc.0.email", "valid add"),
        (
            simple(personalizations=[{"to": [A], "bcc": [{"email": "A@EXAMPLE.org"}]}]),
            "personalizations.0",
            "We found the first duplicate instance of [A@EXAMPLE.org] in the personalizations.0.bcc field.",
        ),
        (
            simple(personalizations=to(*(f"a{number}@example.org" for number in range(1001)))),
            "personalizations",
            "There is a limit of 1000 total recipients (to + cc + bcc) per request.",
        ),
        (simple(**{"from": ...}), "from.email", "The from object must be provided for every email send."),
        (simple(**{"from": {"email": "a"}}), "from.email", "The from email does not contain a valid address."),
        (simple(personalizations=to("a@b.org", **{"from": {}})), "personalizations.0.from.email", "The from object"),
        (simple(reply_to={"email": "a@"}), "reply_to.email", "The reply_to email does not contain a valid address."),
        (simple(reply_to=A, reply_to_list=[B]), "reply_to", "reply_to is mutually exclusive with reply_to_list."),
        (simple(reply_to_list=[A, A]), "reply_to_list", "should be unique"),
        (simple(reply_to_list=[{"email": "x"}]), "reply_to_list.0.email", "does not contain a valid address"),
        (
            simple(reply_to_list=[{"email": f"a{number}@example.org"} for number in range(1001)]),
            "reply_to_list",
            "There is a limit of 1000 reply_to emails",
        ),
        (simple(subject=...), "subject", "The subject is required. You can get around this requirement if you use"),
        (simple(subject=""), "subject", "must be a string at least one character in length."),
        (simple(personalizations=to("a@b.org", subject="")), "personalizations.0.subject", "at least one character"),
        (simple(content=...), "content", "Unless a valid template_id is provided, the content parameter is required."),
        (simple(content=[]), "content", "There must be at least one defined content block."),
        (simple(content=[block(value="")]), "content.0.value", "must be a string at least one character in length."),
        (simple(content=[{"type": "text/plain"}]), "content.0.value", "The content value must be a string"),
        (
            simple(content=[{"value": "x"}]),
            "content.0.type",
            "The content type must be a string at least one character",
        ),
        (
            simple(content=[block("text/html; charset=utf-8")]),
            "content.0.type",
            "The content type cannot contain ';', or CRLF characters.",
        ),
        (
            simple(content=[block("text/html,")]),
            "content.0.type",
            "The content type cannot contain ';', or CRLF characters.",
        ),
        (
            simple(content=[block("text/html\r\n")]),
            "content.0.type",
            "The content type cannot contain ';', or CRLF characters.",
        ),
        (simple(content=[block("text/html"), block()]), "content", "Following RFC 1341, section 7.2"),
        (simple(content=[block(), block()]), "content", "Following RFC 1341, section 7.2"),
        (simple(content=[block("text/calendar"), block()]), "content", "Following RFC 1341, section 7.2"),
        (simple(attachments=attachment(content=...)), "attachments.0.content", "must be a string at least one char"),
        (simple(attachments=attachment(content="*")), "attachments.0.content", "must be base64 encoded."),
        (simple(attachments=attachment(content="é")), "attachments.0.content", "must be base64 encoded."),
        (simple(attachments=attachment(filename=...)), "attachments.0.filename", "filename is required."),
        (simple(attachments=attachment(filename="a\nb")), "attachments.0.filename", "cannot contain CRLF"),
        (simple(attachments=attachment(type="")), "attachments.0.type", "at least one character in length."),
        (
            simple(attachments=attachment(type="a;b")),
            "attachments.0.type",
            "The attachment type cannot contain ';', or CRLF characters.",
        ),
        (simple(attachments=attachment(content_id="a\r")), "attachments.0.content_id", "cannot contain CRLF"),
        (simple(attachments=attachment(disposition="x")), "attachments.0.disposition", "You provided x."),
        (simple(headers={"X A": "1"}), "headers", "Header keys cannot contain non-ASCII characters or empty spaces."),
        (simple(headers={"X-Ä": "1"}), "headers", "Header keys cannot contain non-ASCII characters"),
        (simple(headers={"X-A": "1", "x-a": "2"}), "headers", "The headers cannot contain duplicate keys."),
        (simple(categories=[str(number) for number in range(11)]), "categories", "You provided 11 categories."),
        (simple(categories=["a", "a"]), "categories", "you have included a more than once."),
        (simple(categories=["a" * 256]), "categories", "must not be longer than 255 characters."),
        (simple(categories=["é"]), "categories", "Categories can not contain non-ASCII characters."),
        (simple(custom_args={"a": "x" * 9993}), "custom_args", "may not exceed 10,000 bytes per personalization."),
        (
            simple(custom_args={"a": "é" * 2500}, personalizations=to("a@b.org", custom_args={"b": "é" * 2500})),
            "personalizations.0.custom_args",
            "may not exceed 10,000 bytes",
        ),
        (simple(personalizations=to("a@b.org", custom_args={})), "personalizations.0.custom_args", "cannot be empty."),
        (simple(send_at=2**70), "send_at", "Scheduling more than 72 hours in advance is forbidden."),
        (
            simple(personalizations=to("a@b.org", substitutions={str(number): "" for number in range(10_001)})),
            "personalizations.0.substitutions",
            "You are limited to 10,000 substitutions.",
        ),
        (
            simple(template_id=DYNAMIC, personalizations=to("a@b.org", substitutions={"-a-": "b"})),
            "personalizations.0.substitutions",
            "Substitutions may not be used with dynamic templating",
        ),
        (simple(asm={}), "asm.group_id", "The ASM group ID must be an integer."),
        (simple(asm={"group_id": 1, "groups_to_display": [1] * 26}), "asm.groups_to_display", "a limit of 25"),
        (simple(ip_pool_name="x"), "ip_pool_name", "must be a valid pool name for your account."),
        (
            simple(
                mail_settings={"bypass_list_management": {"enable": True}, "bypass_spam_management": {"enable": True}}
            ),
            "mail_settings",
            "bypass_list_management is mutually exclusive with",
        ),
    ],
)
def test_rejects_with_field_and_message(body: Json, field: str, message: str) -> None:
    [found] = violations(body)
    assert found["field"] == field
    assert message in (found["message"] or "")


@pytest.mark.parametrize(
    ("body", "field", "expected", "given_type"),
    [
        ([], "(root)", "object", "array"),
        (None, "(root)", "object", "null"),
        ("{}", "(root)", "object", "string"),
        (simple(personalizations={}), "personalizations", "array", "object"),
        (simple(personalizations=["a"]), "personalizations.0", "object", "string"),
        (simple(personalizations=[{"to": A}]), "personalizations.0.to", "array", "object"),
        (simple(personalizations=[{"to": ["a@b.org"]}]), "personalizations.0.to.0", "object", "string"),
        (simple(personalizations=to(["a@b.org"])), "personalizations.0.to.0.email", "string", "array"),
        (simple(personalizations=to("a@b.org", headers=[])), "personalizations.0.headers", "object", "array"),
        (simple(**{"from": "a@b.org"}), "from", "object", "string"),
        (simple(**{"from": {"email": 5}}), "from.email", "string", "integer"),
        (simple(**{"from": {**A, "name": None}}), "from.name", "string", "null"),
        (simple(subject=1.5), "subject", "string", "number"),
        (simple(content="Hello."), "content", "array", "string"),
        (simple(content=[None]), "content.0", "object", "null"),
        (simple(content=[block(value=True)]), "content.0.value", "string", "boolean"),  # type: ignore[arg-type]
        (simple(headers={"X-A": 5}), "headers.X-A", "string", "integer"),
        (simple(categories="a"), "categories", "array", "string"),
        (simple(categories=[1]), "categories.0", "string", "integer"),
        (simple(custom_args="a"), "custom_args", "object", "string"),
        (simple(send_at=1.5), "send_at", "integer", "number"),
        (simple(send_at=True), "send_at", "integer", "boolean"),
        (simple(attachments=attachment(content=1)), "attachments.0.content", "string", "integer"),
        (simple(mail_settings=[]), "mail_settings", "object", "array"),
        (
            simple(mail_settings={"sandbox_mode": {"enable": "true"}}),
            "mail_settings.sandbox_mode.enable",
            "boolean",
            "string",
        ),
        (simple(tracking_settings={"open_tracking": False}), "tracking_settings.open_tracking", "object", "boolean"),
        (
            simple(tracking_settings={"click_tracking": {"enable_text": 0}}),
            "tracking_settings.click_tracking.enable_text",
            "boolean",
            "integer",
        ),
    ],
)
def test_a_wrong_type_is_the_only_violation_of_its_field(body: Any, field: str, expected: str, given_type: str) -> None:
    [found] = violations(body)
    assert (found["field"], found["message"]) == (field, f"Invalid type. Expected: {expected}, given: {given_type}.")


@pytest.mark.parametrize(
    "body",
    [
        simple(custom_args={"user": 5}),
        simple(personalizations=to("a@b.org", custom_args={"user": None})),
        simple(personalizations=to("a@b.org", substitutions={"-a-": 5}), subject=...),
    ],
)
def test_a_custom_argument_of_the_wrong_type_is_a_bare_bad_request(body: Json) -> None:
    assert violations(body) == [{"message": "Bad Request", "field": None, "help": None}]


@pytest.mark.parametrize("template_id", ["", "d-1", f"{{{LEGACY}}}", f"{LEGACY}11", DYNAMIC.upper()])
def test_a_malformed_template_is_rejected_and_counts_as_none(template_id: str) -> None:
    found = violations(simple(content=..., subject=..., template_id=template_id))
    assert [each["field"] for each in found] == ["template_id", "subject", "content"]
    assert found[0]["message"] == f"The template_id must be a valid GUID, you provided '{template_id}'."


def test_a_batch_id_that_sendgrid_did_not_generate_is_rejected() -> None:
    [found] = violations(simple(batch_id="mine"), {"generated"})
    assert (found["field"], found["message"]) == ("batch_id", "The batch_id must be a string.")
    assert violations(simple(batch_id="generated"), {"generated"}) == []


def test_all_violations_are_reported_at_once() -> None:
    body = {"personalizations": [{"to": [{"email": "x"}]}], "from": {"email": "y"}, "content": [block(value="")]}
    assert fields(body) == ["personalizations.0.to.0.email", "from.email", "subject", "content.0.value"]


def test_an_empty_object_lacks_the_four_required_fields() -> None:
    assert fields({}) == ["personalizations", "from.email", "subject", "content"]


@pytest.mark.parametrize("present", [False, True])
def test_bypass_list_management_excludes_other_filters_even_when_disabled(present: bool) -> None:
    settings = {"bypass_list_management": {"enable": False}}
    body = simple(mail_settings=settings | ({"bypass_spam_management": {"enable": True}} if present else {}))
    assert fields(body) == (["mail_settings"] if present else [])


RESERVED = ["x-sg-id", "x-sg-eid", "received", "dkim-signature", "Content-Type", "Content-Transfer-Encoding"]


@pytest.mark.parametrize("name", [*RESERVED, "To", "From", "Subject", "SUBJECT", "Reply-To", "CC", "BCC"])
@pytest.mark.parametrize("level", ["headers", "personalizations.0.headers"])
def test_reserved_headers_are_rejected(name: str, level: str) -> None:
    headers = {"headers": {name: "x"}}
    body = simple(**headers) if level == "headers" else simple(personalizations=to("a@b.org", **headers))
    assert [found["message"] for found in violations(body)] == ["Header cannot be one of the reserved keys."]
    assert fields(body) == [level]


@pytest.mark.parametrize(
    ("body", "anchor"),
    [
        ([], "-Request-Body-Parameters"),
        (simple(personalizations=[]), "-Personalizations-Errors"),
        (simple(personalizations=to("x")), "message.personalizations.to"),
        (simple(personalizations=to("a@b.org", "a@b.org")), "message.recipient-errors"),
        (simple(**{"from": {"email": "x"}}), "message.from"),
        (simple(content=[block(value="")]), "message.content.value"),
        (simple(subject=...), "message.subject"),
        (simple(send_at="x"), "message.send_at"),
    ],
)
def test_help_links_to_the_field_on_sendgrids_errors_page(body: Any, anchor: str) -> None:
    assert [found["help"] for found in violations(body)] == [HELP + anchor]


@pytest.mark.parametrize(("enable", "expected"), [(True, True), (False, False)])
def test_sandbox_mode_is_what_the_request_enables(enable: bool, expected: bool) -> None:
    assert is_sandboxed(notice(sandbox=enable)) is expected
    assert is_sandboxed(simple()) is False


def test_too_many_personalizations_also_have_too_many_recipients() -> None:
    messages = [found["message"] or "" for found in violations(simple(personalizations=to("a@x.org") * 1001))]
    assert "You have provided 1001 personalizations." in messages[0]
    assert "1000 total recipients" in messages[1]
