"""The SendGrid stand-in over real HTTP: what it answers, and what it keeps."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.core.journal import Journal
from emulator.sendgrid.server import MAX_MESSAGE_BYTES, FakeSendGrid
from tests.emulator.emails import notice, simple

WRONG_KEY = "The provided authorization grant is invalid, expired, or revoked"


class Client:
    """A plain client with a key of its own."""

    def __init__(self, sendgrid: FakeSendGrid, session: requests.Session) -> None:
        self.sendgrid, self.session, self.key = sendgrid, session, sendgrid.new_key("mail.send")

    def send(self, mail: Any = None, *, data: str | bytes | None = None, **headers: str | None) -> requests.Response:
        body = json.dumps(simple() if mail is None else mail) if data is None else data
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **headers}
        return self.session.post(f"{self.sendgrid.url}/v3/mail/send", data=body, headers=sent, timeout=20)

    def get(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.session.get(self.sendgrid.url + path, headers=headers, timeout=20)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    verified = ("example.com", "single@example.net")
    with requests.Session() as session, FakeSendGrid(Journal(), verified=verified) as sendgrid:
        yield Client(sendgrid, session)


@pytest.fixture(autouse=True)
def anew(client: Client) -> None:
    client.sendgrid.clear()
    client.sendgrid.journal.clear()
    client.sendgrid.credits = client.sendgrid.rate_limit = None


def refusal(answer: requests.Response) -> tuple[int, str, str | None]:
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.text == json.dumps(answer.json(), separators=(",", ":"), ensure_ascii=False)
    [error] = answer.json()["errors"]
    assert set(error) == {"message", "field", "help"}
    return answer.status_code, error["message"], error["field"]


def test_accepts_with_an_empty_body_and_a_message_id(client: Client) -> None:
    answer = client.send(notice())
    assert (answer.status_code, answer.content) == (202, b"")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", answer.headers["X-Message-Id"])
    [mail] = client.sendgrid.inbox()
    assert mail.message_id == answer.headers["X-Message-Id"]
    assert mail.request == notice()


def test_an_accepted_mail_is_one_journal_entry(client: Client) -> None:
    client.send(notice())
    [entry] = client.sendgrid.journal.entries(kind="sendgrid.mail")
    assert entry.data["subject"] == "Your password was changed"
    assert entry.data["custom_args"] == {"webhook_id": "msg_2026"}
    assert entry.data["request"] == notice()


def test_each_personalization_is_a_mail_of_its_own(client: Client) -> None:
    people = [{"to": [{"email": "a@b.org"}]}, {"to": [{"email": "b@b.org"}]}]
    answer = client.send(simple(personalizations=people))
    mails = client.sendgrid.inbox()
    assert [mail.to[0]["email"] for mail in mails] == ["a@b.org", "b@b.org"]
    assert {mail.message_id for mail in mails} == {answer.headers["X-Message-Id"]}


def test_sandbox_mode_validates_and_sends_nothing(client: Client) -> None:
    answer = client.send(notice(sandbox=True))
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.sendgrid.inbox() == []
    assert client.sendgrid.journal.entries(kind="sendgrid.mail") == []
    [entry] = client.sendgrid.journal.entries(kind="sendgrid.sandbox")
    assert entry.data["subject"] == "Your password was changed"
    assert client.send(notice(sandbox=True) | {"subject": ""}).status_code == 400
    assert client.send(notice(sandbox=True) | {"from": {"email": "a@other.example"}}).status_code == 403


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer SG." + "x" * 22 + "." + "y" * 43,
        "Bearer nonsense",
        "Bearer ",
        "Bearer  {key}",
        "Bearer {key}x",
        "Bearer {key},{key}",
    ],
)
def test_a_wrong_key_is_refused(client: Client, authorization: str) -> None:
    answer = client.send(Authorization=authorization.format(key=client.key))
    assert refusal(answer) == (401, WRONG_KEY, None)


@pytest.mark.parametrize("authorization", [None, "{key}", "Basic YTpi"])
def test_no_bearer_key_is_refused(client: Client, authorization: str | None) -> None:
    header = authorization.format(key=client.key) if authorization else None
    assert refusal(client.send(Authorization=header)) == (401, "Permission denied, wrong credentials", None)


def test_a_revoked_key_is_refused_and_its_successor_works(client: Client) -> None:
    old, new = client.sendgrid.new_key(), client.sendgrid.new_key()
    assert len(old) == 69
    client.sendgrid.revoke(old)
    assert refusal(client.send(Authorization=f"Bearer {old}")) == (401, WRONG_KEY, None)
    assert client.send(Authorization=f"Bearer {new}").status_code == 202


@pytest.mark.parametrize("key", ["", "SG.short", "SG." + "x" * 22 + "." + "y" * 43 + "\n", "SG_" + "x" * 66])
def test_a_key_that_sendgrid_could_not_have_issued_is_not_taken(client: Client, key: str) -> None:
    with pytest.raises(ValueError, match="a SendGrid key is") as caught:
        client.sendgrid.add_key(key)
    assert "xx" not in str(caught.value)


def test_credits_run_out_by_recipient(client: Client) -> None:
    client.sendgrid.credits = 3
    two = simple(personalizations=[{"to": [{"email": "a@b.org"}], "cc": [{"email": "b@b.org"}]}])
    assert client.send(two).status_code == 202
    assert refusal(client.send(two)) == (401, "Maximum credits exceeded", None)
    assert client.send().status_code == 202
    assert client.sendgrid.credits == 0
    assert client.send(notice(sandbox=True)).status_code == 200


def test_a_key_without_the_scope_is_forbidden(client: Client) -> None:
    key = client.sendgrid.new_key("alerts.read")
    assert refusal(client.send(Authorization=f"Bearer {key}")) == (403, "access forbidden", None)


@pytest.mark.parametrize("email", ["a@example.com", "A@EXAMPLE.COM", "single@example.net", "Single@Example.Net"])
def test_a_verified_sender_may_send(client: Client, email: str) -> None:
    assert client.send(simple(**{"from": {"email": email}})).status_code == 202


@pytest.mark.parametrize("email", ["other@example.net", "a@sub.example.com", "a@notexample.com", "a@example.org"])
def test_an_unverified_sender_is_refused(client: Client, email: str) -> None:
    status, message, field = refusal(client.send(simple(**{"from": {"email": email}})))
    assert (status, field) == (403, "from")
    assert message.startswith("The from address does not match a verified Sender Identity. Mail cannot be sent until")
    assert message.endswith("/sender-identity/ to see the Sender Identity requirements")


def test_the_sender_of_each_personalization_must_be_verified(client: Client) -> None:
    people = [{"to": [{"email": "a@b.org"}], "from": {"email": "a@other.example"}}]
    assert client.send(simple(personalizations=people)).status_code == 403


def test_a_sender_can_be_verified_and_unverified_later(client: Client) -> None:
    mail = simple(**{"from": {"email": "a@later.example"}})
    client.sendgrid.verify("Later.Example")
    assert client.send(mail).status_code == 202
    client.sendgrid.unverify("later.example")
    assert client.send(mail).status_code == 403


@pytest.mark.parametrize("identity", ["", "@example.com", "a@b@c", "a b", "a@"])
def test_what_is_no_sender_identity_is_not_taken(client: Client, identity: str) -> None:
    with pytest.raises(ValueError, match="an address or a domain"):
        client.sendgrid.verify(identity)


@pytest.mark.parametrize(
    "data", ["", "{", "null x", "{'a': 1}", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000, "\ufeff{}", "9" * 5000]
)
def test_what_is_not_json_is_a_bad_request(client: Client, data: str) -> None:
    assert refusal(client.send(data=data.encode())) == (400, "Bad Request", None)


def test_what_is_not_utf8_is_refused(client: Client) -> None:
    assert refusal(client.send(data=b'{"subject": "\xff"}')) == (415, "Invalid UTF8 in request", None)


def test_all_violations_come_at_once(client: Client) -> None:
    answer = client.send({"personalizations": [{"to": [{"email": "x"}]}], "content": "Hello."})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [
        "content",
        "personalizations.0.to.0.email",
        "from.email",
        "subject",
    ]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_sends(client: Client, method: str) -> None:
    answer = client.session.request(method, f"{client.sendgrid.url}/v3/mail/send", timeout=20)
    assert refusal(answer) == (405, "POST method allowed only", None)


def test_other_routes_refuse_other_methods_and_other_paths_are_not_found(client: Client) -> None:
    answer = client.session.post(f"{client.sendgrid.url}/v3/scopes", timeout=20)
    assert refusal(answer) == (405, "method not allowed", None)
    assert refusal(client.get("/v3/mail/send/")) == (404, "not found", None)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_is_refused(client: Client, kind: str | None) -> None:
    answer = client.send(**{"Content-Type": kind})
    assert refusal(answer) == (415, "Content-Type should be application/json.", None)


def test_a_charset_beside_the_content_type_is_no_matter(client: Client) -> None:
    assert client.send(**{"Content-Type": "application/json; charset=utf-8"}).status_code == 202


def test_too_large_a_mail_gets_a_page_and_no_json(client: Client) -> None:
    answer = client.send(data=b" " * (MAX_MESSAGE_BYTES + 1))
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<h1>413 Request Entity Too Large</h1>" in answer.text


def test_the_rate_limit_says_when_to_come_again() -> None:
    now = [1_800_000_010.0]
    with (
        requests.Session() as session,
        FakeSendGrid(Journal(), verified=["example.com"], clock=lambda: now[0]) as sendgrid,
    ):
        client = Client(sendgrid, session)
        sendgrid.rate_limit = 2
        assert [client.send().status_code for _ in range(3)] == [202, 202, 429]
        answer = client.send()
        assert refusal(answer) == (429, "too many requests", None)
        assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("2", "0")
        now[0] = float(answer.headers["X-RateLimit-Reset"])
        assert now[0] == 1_800_000_060
        assert client.send().status_code == 202


def test_scopes_lists_those_of_the_key_and_needs_none(client: Client) -> None:
    key = client.sendgrid.new_key("alerts.read")
    answer = client.session.get(
        f"{client.sendgrid.url}/v3/scopes", headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert answer.status_code == 200
    assert answer.json() == {"scopes": ["alerts.read", "2fa_required", "sender_verification_eligible"]}
    client.sendgrid.revoke(key)
    answer = client.session.get(
        f"{client.sendgrid.url}/v3/scopes", headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert refusal(answer) == (401, WRONG_KEY, None)


def test_verified_senders_lists_single_senders_and_needs_its_scope(client: Client) -> None:
    assert refusal(client.get("/v3/verified_senders")) == (403, "access forbidden", None)
    reader = Client(client.sendgrid, client.session)
    reader.key = client.sendgrid.new_key("sender_verification.read")
    [sender] = reader.get("/v3/verified_senders").json()["results"]
    assert (sender["from_email"], sender["verified"], sender["locked"]) == ("single@example.net", True, False)


def test_no_key_stands_whole_in_journal_or_repr(client: Client) -> None:
    client.send()
    client.send(Authorization="Bearer nonsense")
    assert client.key not in repr(client.sendgrid.journal.entries()) + repr(client.sendgrid)


def test_half_a_character_becomes_a_replacement(client: Client) -> None:
    assert client.send(data=json.dumps(simple(subject="a\ud800b \U0001f600"))).status_code == 202
    assert client.sendgrid.inbox()[0].subject == "a\ufffdb \U0001f600"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
mails = st.dictionaries(st.sampled_from([*notice(), "categories", "attachments", "send_at"]), json_values).map(
    lambda changes: simple(**changes)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(json_values | mails)
def test_any_json_is_accepted_or_gets_a_well_formed_refusal(client: Client, body: Any) -> None:
    answer = client.send(data=json.dumps(body))
    assert answer.status_code in (200, 202, 400, 403)
    for error in answer.json()["errors"] if answer.content else ():
        assert set(error) == {"message", "field", "help"}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary())
def test_any_bytes_get_a_well_formed_refusal(client: Client, data: bytes) -> None:
    answer = client.send(data=data)
    assert answer.status_code in (400, 415)
    assert answer.json()["errors"]
