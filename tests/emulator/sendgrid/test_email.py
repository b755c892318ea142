"""Accepted emails, and arbitrary JSON as input."""

import base64
import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.sendgrid.email import Email
from emulator.sendgrid.mail_send import SHAPE, violations
from tests.emulator.emails import Json, notice, simple

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("a@example.org"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
STRINGS = st.text(max_size=20) | st.sampled_from(["a@example.org", "text/plain", "text/html", "YQ=="])
SCALARS = {"string": STRINGS, "boolean": st.booleans(), "integer": st.integers()}
HEADERS = st.dictionaries(st.text(alphabet=st.characters(codec="ascii"), min_size=1), st.text())


def email_of(request: Json, index: int = 0) -> Email:
    return Email(7, "x" * 22, 1_800_000_000.0, request, index)


def parsed(request: Json, index: int = 0) -> EmailMessage:
    return message_from_bytes(email_of(request, index).eml(), policy=policy.default)


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def test_an_eml_is_plain_text_then_html_with_every_header() -> None:
    message = parsed(notice())
    assert message["From"] == "Acme Sicherheit für alle <security@example.com>"
    assert message["To"] == "ada@example.org"
    assert message["Reply-To"] == "help@example.com"
    assert message["Subject"] == "Your password was changed"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == 1_800_000_000
    assert message["Message-ID"].startswith("<" + "x" * 22)
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert part(message, "plain") == "The password was changed.\n"
    assert part(message, "html") == "<p>The password was changed.</p>\n"


def test_an_eml_omits_bcc_and_includes_attachments() -> None:
    people = [{"to": [{"email": "a@b.org"}], "cc": [{"email": "c@b.org"}], "bcc": [{"email": "hidden@b.org"}]}]
    files = [{"content": base64.b64encode(b"file").decode(), "filename": "ä.bin", "type": "message/x"}]
    request = simple(personalizations=people, attachments=files)
    message = parsed(request)
    assert message["Cc"] == "c@b.org"
    assert b"hidden" not in email_of(request).eml()
    [attachment] = message.iter_attachments()
    assert attachment.get_filename() == "ä.bin"
    assert attachment.get_content() == b"file"
    assert attachment.get_content_type() == "application/octet-stream"


def test_a_header_with_line_breaks_stays_one_header() -> None:
    message = parsed(simple(subject="Hi\r\nBcc: eve@example.org", headers={"X-A": "1\nX-B: 2", "Date": "soon"}))
    assert message["Subject"] == "Hi Bcc: eve@example.org"
    assert message["X-A"] == "1 X-B: 2"
    assert message["Bcc"] is None
    assert message["X-B"] is None
    assert message.get_all("Date") == ["soon"]


def test_headers_with_a_special_meaning_are_kept_unparsed() -> None:
    given = {"MIME-Version": "2", "Sender": "<<>", "Content-ID": "x", "List-Unsubscribe": "<https://example.com>"}
    message = parsed(simple(headers=given))
    assert [message[name] for name in given if name != "Sender"] == ["2", "x", "<https://example.com>"]


def test_a_personalization_overrides_the_common_fields() -> None:
    own = {"from": {"email": "own@example.com"}, "subject": "Own", "headers": {"X-B": "2"}, "custom_args": {"b": "2"}}
    people = [{"to": [{"email": "a@b.org"}]}, {"to": [{"email": "b@b.org"}], **own}]
    request = simple(personalizations=people, headers={"X-A": "1", "X-B": "1"}, custom_args={"a": "1"})
    first, second = email_of(request), email_of(request, 1)
    assert (first.subject, second.subject) == ("Hello", "Own")
    assert (first.sender["email"], second.sender["email"]) == ("security@example.com", "own@example.com")
    assert (first.headers, second.headers) == ({"X-A": "1", "X-B": "1"}, {"X-A": "1", "X-B": "2"})
    assert (first.custom_args, second.custom_args) == ({"a": "1"}, {"a": "1", "b": "2"})
    assert (first.to, second.to) == ([{"email": "a@b.org"}], [{"email": "b@b.org"}])


def test_the_json_contains_the_derived_fields_and_the_request() -> None:
    shown = email_of(notice()).as_json()
    assert shown["request"] == notice()
    assert shown["from"] == notice()["from"]
    assert shown["text"] == "The password was changed.\n"
    assert shown["html"] == "<p>The password was changed.</p>"
    assert shown["custom_args"] == {"webhook_id": "msg_2026"}
    assert json.loads(json.dumps(shown)) == shown


def test_an_email_from_a_template_has_no_content() -> None:
    shown = email_of(simple(subject=..., content=..., template_id="d-1"))
    assert (shown.subject, shown.text, shown.html) == ("", "", "")
    assert b"From: security@example.com" in shown.eml()


def like(shape: Any) -> st.SearchStrategy[Any]:
    """Generate values of almost the valid shape: valid or invalid at every level."""
    if isinstance(shape, list):
        valid: st.SearchStrategy[Any] = st.lists(like(shape[0]), max_size=3)
    elif isinstance(shape, dict):
        valid = st.fixed_dictionaries({}, optional={name: like(field) for name, field in shape.items()})
    elif isinstance(shape, str):
        valid = SCALARS[shape]
    else:
        valid = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
    return st.one_of(valid, valid, valid, JSON_VALUES)


@given(like(SHAPE) | like(SHAPE).map(lambda body: simple(**body) if isinstance(body, dict) else body))
def test_any_body_is_accepted_or_gets_well_formed_violations(body: Any) -> None:
    found = violations(body)
    for entry in found:
        assert set(entry) == {"message", "field", "help"}
        assert isinstance(entry["message"], str)
    for index in range(0 if found else len(body["personalizations"])):
        assert json.dumps(email_of(body, index).as_json())
        assert parsed(body, index)["From"]


@given(st.text(min_size=1), st.text(), st.text(min_size=1), HEADERS)
def test_every_accepted_email_can_be_exported_as_eml(subject: str, name: str, value: str, headers: Json) -> None:
    kinds = ("text/plain", "text/html", "text/x-amp", "message/rfc822", "x")
    filename = f"{name}.txt".translate(dict.fromkeys(map(ord, ";,\r\n")))
    request = simple(
        subject=subject,
        content=[{"type": kind, "value": value} for kind in kinds],
        headers=headers,
        attachments=[{"content": "YQ==", "filename": filename, "content_id": "ä"}],
        **{"from": {"email": "a@example.org", "name": name}},
    )
    if not violations(request):
        assert len(list(parsed(request).walk())) == 2 + len(kinds) + 1


def test_the_source_is_the_same_each_time() -> None:
    email = email_of({**notice(), "attachments": [{"content": "YQ==", "filename": "a.txt"}]})
    assert email.eml() == email.eml()
    assert email.eml().count(b"boundary=") == 2
