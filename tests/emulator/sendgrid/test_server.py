"""The SendGrid emulator over HTTP: its responses and its inbox."""

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
    """A plain HTTP client with its own API key."""

    def __init__(self, sendgrid: FakeSendGrid, session: requests.Session) -> None:
        self.sendgrid, self.session, self.key = sendgrid, session, sendgrid.new_key("mail.send")

    def send(self, request: Any = None, *, data: str | bytes | None = None, **headers: str | None) -> requests.Response:
        body = json.dumps(simple() if request is None else request) if data is None else data
        all_headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **headers}
        return self.session.post(f"{self.sendgrid.url}/v3/mail/send", data=body, headers=all_headers, timeout=20)

    def get(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.session.get(self.sendgrid.url + path, headers=headers, timeout=20)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    verified = ("example.com", "single@example.net")
    with requests.Session() as session, FakeSendGrid(Journal(), verified=verified) as sendgrid:
        yield Client(sendgrid, session)


@pytest.fixture(autouse=True)
def reset(client: Client) -> None:
    client.sendgrid.clear()
    client.sendgrid.journal.clear()
    client.sendgrid.credits = client.sendgrid.rate_limit = None


def error_of(response: requests.Response) -> tuple[int, str, str | None]:
    assert response.headers["Content-Type"] == "application/json"
    assert response.text == json.dumps(response.json(), separators=(",", ":"), ensure_ascii=False)
    [error] = response.json()["errors"]
    assert set(error) == {"message", "field", "help"}
    return response.status_code, error["message"], error["field"]


def test_an_accepted_email_gets_an_empty_response_and_a_message_id(client: Client) -> None:
    response = client.send(notice())
    assert (response.status_code, response.content) == (202, b"")
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", response.headers["X-Message-Id"])
    [email] = client.sendgrid.inbox()
    assert email.message_id == response.headers["X-Message-Id"]
    assert email.request == notice()


def test_an_accepted_email_is_one_journal_entry(client: Client) -> None:
    client.send(notice())
    [entry] = client.sendgrid.journal.entries(kind="sendgrid.mail")
    assert entry.data["subject"] == "Your password was changed"
    assert entry.data["custom_args"] == {"webhook_id": "msg_2026"}
    assert entry.data["request"] == notice()


def test_each_personalization_is_a_separate_email(client: Client) -> None:
    people = [{"to": [{"email": "a@b.org"}]}, {"to": [{"email": "b@b.org"}]}]
    response = client.send(simple(personalizations=people))
    emails = client.sendgrid.inbox()
    assert [email.to[0]["email"] for email in emails] == ["a@b.org", "b@b.org"]
    assert {email.message_id for email in emails} == {response.headers["X-Message-Id"]}


def test_sandbox_mode_validates_and_sends_nothing(client: Client) -> None:
    response = client.send(notice(sandbox=True))
    assert (response.status_code, response.content) == (200, b"")
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
def test_a_wrong_key_is_rejected(client: Client, authorization: str) -> None:
    response = client.send(Authorization=authorization.format(key=client.key))
    assert error_of(response) == (401, WRONG_KEY, None)


@pytest.mark.parametrize("authorization", [None, "{key}", "Basic YTpi"])
def test_a_missing_bearer_key_is_rejected(client: Client, authorization: str | None) -> None:
    header = authorization.format(key=client.key) if authorization else None
    assert error_of(client.send(Authorization=header)) == (401, "Permission denied, wrong credentials", None)


def test_a_revoked_key_is_rejected_and_a_new_one_works(client: Client) -> None:
    old, new = client.sendgrid.new_key(), client.sendgrid.new_key()
    assert len(old) == 69
    client.sendgrid.revoke(old)
    assert error_of(client.send(Authorization=f"Bearer {old}")) == (401, WRONG_KEY, None)
    assert client.send(Authorization=f"Bearer {new}").status_code == 202


@pytest.mark.parametrize("key", ["", "SG.short", "SG." + "x" * 22 + "." + "y" * 43 + "\n", "SG_" + "x" * 66])
def test_a_malformed_key_cannot_be_added(client: Client, key: str) -> None:
    with pytest.raises(ValueError, match="malformed SendGrid key") as error:
        client.sendgrid.add_key(key)
    assert "xx" not in str(error.value)


def test_each_recipient_costs_one_credit(client: Client) -> None:
    client.sendgrid.credits = 3
    two = simple(personalizations=[{"to": [{"email": "a@b.org"}], "cc": [{"email": "b@b.org"}]}])
    assert client.send(two).status_code == 202
    assert error_of(client.send(two)) == (401, "Maximum credits exceeded", None)
    assert client.send().status_code == 202
    assert client.sendgrid.credits == 0


def test_an_account_without_credits_rejects_every_email(client: Client) -> None:
    client.sendgrid.credits = 0
    for request in (simple(), notice(sandbox=True), {}):
        assert error_of(client.send(request)) == (401, "Maximum credits exceeded", None)
    client.sendgrid.credits = 1
    assert client.send(notice(sandbox=True)).status_code == 200


def test_a_key_with_the_scope_reads_the_credits(client: Client) -> None:
    assert error_of(client.get("/v3/user/credits")) == (403, "access forbidden", None)
    key = client.sendgrid.new_key("user.credits.read")
    client.sendgrid.credits = 7
    headers = {"Authorization": f"Bearer {key}"}
    balance = client.session.get(f"{client.sendgrid.url}/v3/user/credits", headers=headers, timeout=20).json()
    assert (balance["remain"], balance["overage"]) == (7, 0)
    assert balance["used"] == balance["total"] - 7
    assert balance["last_reset"] < balance["next_reset"]


def test_only_a_generated_batch_id_is_accepted(client: Client) -> None:
    key = client.sendgrid.new_key("mail.send", "mail.batch.create")
    headers = {"Authorization": f"Bearer {key}"}
    created = client.session.post(f"{client.sendgrid.url}/v3/mail/batch", headers=headers, timeout=20)
    assert created.status_code == 201
    assert client.send(simple(batch_id=created.json()["batch_id"])).status_code == 202
    assert error_of(client.send(simple(batch_id="another"))) == (400, "The batch_id must be a string.", "batch_id")


def test_a_key_without_the_scope_is_forbidden(client: Client) -> None:
    key = client.sendgrid.new_key("alerts.read")
    assert error_of(client.send(Authorization=f"Bearer {key}")) == (403, "access forbidden", None)


@pytest.mark.parametrize("email", ["a@example.com", "A@EXAMPLE.COM", "single@example.net", "Single@Example.Net"])
def test_a_verified_sender_may_send(client: Client, email: str) -> None:
    assert client.send(simple(**{"from": {"email": email}})).status_code == 202


@pytest.mark.parametrize("email", ["other@example.net", "a@sub.example.com", "a@notexample.com", "a@example.org"])
def test_an_unverified_sender_is_rejected(client: Client, email: str) -> None:
    status, message, field = error_of(client.send(simple(**{"from": {"email": email}})))
    assert (status, field) == (403, "from")
    assert message.startswith("The from address does not match a verified Sender Identity. Mail cannot be sent until")
    assert message.endswith("/sender-identity/ to see the Sender Identity requirements")


def test_the_sender_of_each_personalization_must_be_verified(client: Client) -> None:
    people = [{"to": [{"email": "a@b.org"}], "from": {"email": "a@other.example"}}]
    assert client.send(simple(personalizations=people)).status_code == 403


def test_a_sender_can_be_verified_and_unverified_later(client: Client) -> None:
    request = simple(**{"from": {"email": "a@later.example"}})
    client.sendgrid.verify("Later.Example")
    assert client.send(request).status_code == 202
    client.sendgrid.unverify("later.example")
    assert client.send(request).status_code == 403


@pytest.mark.parametrize("identity", ["", "@example.com", "a@b@c", "a b", "a@"])
def test_an_invalid_sender_identity_cannot_be_verified(client: Client, identity: str) -> None:
    with pytest.raises(ValueError, match="an address or a domain"):
        client.sendgrid.verify(identity)


@pytest.mark.parametrize(
    "data", ["", "{", "null x", "{'a': 1}", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000, "\ufeff{}", "9" * 5000]
)
def test_invalid_json_is_a_bad_request(client: Client, data: str) -> None:
    assert error_of(client.send(data=data.encode())) == (400, "Bad Request", None)


def test_invalid_utf8_is_rejected(client: Client) -> None:
    assert error_of(client.send(data=b'{"subject": "\xff"}')) == (415, "Invalid UTF8 in request", None)


def test_all_violations_are_reported_at_once(client: Client) -> None:
    response = client.send({"personalizations": [{"to": [{"email": "x"}]}], "content": "Hello."})
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [
        "content",
        "personalizations.0.to.0.email",
        "from.email",
        "subject",
    ]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_sends(client: Client, method: str) -> None:
    response = client.session.request(method, f"{client.sendgrid.url}/v3/mail/send", timeout=20)
    assert error_of(response) == (405, "POST method allowed only", None)


def test_unknown_methods_and_paths_are_rejected(client: Client) -> None:
    response = client.session.post(f"{client.sendgrid.url}/v3/scopes", timeout=20)
    assert error_of(response) == (405, "method not allowed", None)
    assert error_of(client.get("/v3/mail/send/")) == (404, "not found", None)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_other_content_types_are_rejected(client: Client, kind: str | None) -> None:
    response = client.send(**{"Content-Type": kind})
    assert error_of(response) == (415, "Content-Type should be application/json.", None)


def test_a_charset_in_the_content_type_is_accepted(client: Client) -> None:
    assert client.send(**{"Content-Type": "application/json; charset=utf-8"}).status_code == 202


def test_an_oversized_email_gets_an_html_page(client: Client) -> None:
    response = client.send(data=b" " * (MAX_MESSAGE_BYTES + 1))
    assert response.status_code == 413
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<h1>413 Request Entity Too Large</h1>" in response.text


def test_the_rate_limit_response_says_when_to_retry() -> None:
    now = [1_800_000_010.0]
    with (
        requests.Session() as session,
        FakeSendGrid(Journal(), verified=["example.com"], clock=lambda: now[0]) as sendgrid,
    ):
        client = Client(sendgrid, session)
        sendgrid.rate_limit = 2
        assert [client.send().status_code for _ in range(3)] == [202, 202, 429]
        response = client.send()
        assert error_of(response) == (429, "too many requests", None)
        assert (response.headers["X-RateLimit-Limit"], response.headers["X-RateLimit-Remaining"]) == ("2", "0")
        now[0] = float(response.headers["X-RateLimit-Reset"])
        assert now[0] == 1_800_000_060
        assert client.send().status_code == 202


def test_the_scopes_endpoint_lists_the_scopes_of_the_key_and_requires_none(client: Client) -> None:
    key = client.sendgrid.new_key("alerts.read")
    response = client.session.get(
        f"{client.sendgrid.url}/v3/scopes", headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert response.status_code == 200
    assert response.json() == {"scopes": ["alerts.read", "2fa_required", "sender_verification_eligible"]}
    client.sendgrid.revoke(key)
    response = client.session.get(
        f"{client.sendgrid.url}/v3/scopes", headers={"Authorization": f"Bearer {key}"}, timeout=20
    )
    assert error_of(response) == (401, WRONG_KEY, None)


def test_the_verified_senders_endpoint_lists_single_senders_and_requires_its_scope(client: Client) -> None:
    assert error_of(client.get("/v3/verified_senders")) == (403, "access forbidden", None)
    reader = Client(client.sendgrid, client.session)
    reader.key = client.sendgrid.new_key("sender_verification.read")
    [sender] = reader.get("/v3/verified_senders").json()["results"]
    assert (sender["from_email"], sender["verified"], sender["locked"]) == ("single@example.net", True, False)


def test_no_complete_key_is_in_the_journal_or_repr(client: Client) -> None:
    client.send()
    client.send(Authorization="Bearer nonsense")
    assert client.key not in repr(client.sendgrid.journal.entries()) + repr(client.sendgrid)


def test_a_lone_surrogate_becomes_a_replacement_character(client: Client) -> None:
    assert client.send(data=json.dumps(simple(subject="a\ud800b \U0001f600"))).status_code == 202
    assert client.sendgrid.inbox()[0].subject == "a\ufffdb \U0001f600"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
request_bodies = st.dictionaries(st.sampled_from([*notice(), "categories", "attachments", "send_at"]), json_values).map(
    lambda changes: simple(**changes)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(json_values | request_bodies)
def test_any_json_is_accepted_or_gets_a_well_formed_error(client: Client, body: Any) -> None:
    response = client.send(data=json.dumps(body))
    assert response.status_code in (200, 202, 400, 403)
    for error in response.json()["errors"] if response.content else ():
        assert set(error) == {"message", "field", "help"}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary())
def test_any_bytes_get_a_well_formed_error(client: Client, data: bytes) -> None:
    response = client.send(data=data)
    assert response.status_code in (400, 415)
    assert response.json()["errors"]
