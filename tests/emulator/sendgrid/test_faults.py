"""SendGrid's injected faults, as an HTTP client sees them."""

from collections.abc import Iterator

import pytest
import requests

from emulator.core.journal import Journal
from emulator.sendgrid.faults import FAULTS, fault
from emulator.sendgrid.server import FakeSendGrid
from tests.emulator.emails import notice


class Client:
    def __init__(self) -> None:
        self.sendgrid = FakeSendGrid(Journal(), verified=["example.com"])
        self.key = self.sendgrid.new_key()

    def send(self, timeout: float = 20) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(f"{self.sendgrid.url}/v3/mail/send", json=notice(), headers=headers, timeout=timeout)

    def has_sent(self) -> bool:
        """Return whether an email was accepted, after the exchange is recorded: the client may time out earlier."""
        assert self.sendgrid.journal.wait(lambda entry: entry.kind == "sendgrid.exchange", timeout=20)
        return bool(self.sendgrid.inbox())


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    with client.sendgrid:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("wrong key", 401, "The provided authorization grant is invalid, expired, or revoked"),
        ("out of credits", 401, "Maximum credits exceeded"),
        ("missing scope", 403, "access forbidden"),
        ("unverified sender", 403, FAULTS["unverified sender"].body.split('"')[5]),
        ("too many requests", 429, "too many requests"),
        ("too many requests, reset only", 429, "too many requests"),
        ("too many requests, no hint", 429, "too many requests"),
        ("server error", 500, "internal server error"),
        ("unavailable", 503, "service unavailable"),
    ],
)
def test_an_error_response_is_json_and_sends_nothing(client: Client, name: str, status: int, message: str) -> None:
    client.sendgrid.faults.add(fault(name))
    response = client.send()
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/json")
    assert [error["message"] for error in response.json()["errors"]] == [message]
    assert not client.has_sent()
    assert client.send().status_code == 202


@pytest.mark.parametrize(("name", "status"), [("too large", 413), ("bad gateway", 502)])
def test_the_proxy_responds_with_an_html_page(client: Client, name: str, status: int) -> None:
    client.sendgrid.faults.add(fault(name))
    response = client.send()
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html")
    assert f"<title>{status} " in response.text
    assert not client.has_sent()


def test_too_many_requests_can_say_when_to_retry(client: Client) -> None:
    names = ("too many requests", "too many requests, reset only")
    client.sendgrid.faults.add(*(fault(name, seconds=30) for name in names), fault("too many requests, no hint"))
    both, reset, none = (client.send().headers for _ in range(3))
    assert both["Retry-After"] == "30"
    assert int(both["X-RateLimit-Reset"]) <= int(reset["X-RateLimit-Reset"])
    assert "Retry-After" not in reset
    assert reset["X-RateLimit-Remaining"] == "0"
    assert not {"Retry-After", "X-RateLimit-Reset"} & set(none)


@pytest.mark.parametrize(("name", "sent"), [("timeout", False), ("accepted, never answered", True)])
def test_no_response_arrives_whether_or_not_the_email_was_accepted(client: Client, name: str, sent: bool) -> None:
    client.sendgrid.faults.add(fault(name))
    with pytest.raises(requests.ReadTimeout):
        client.send(timeout=0.2)
    assert client.has_sent() is sent


@pytest.mark.parametrize(("name", "sent"), [("reset", False), ("accepted, then reset", True), ("cut answer", True)])
def test_the_connection_is_reset_whether_or_not_the_email_was_accepted(client: Client, name: str, sent: bool) -> None:
    client.sendgrid.faults.add(fault(name))
    with pytest.raises(requests.ConnectionError):
        client.send()
    assert client.has_sent() is sent


@pytest.mark.parametrize("name", ["delay", "slow answer"])
def test_a_late_response_is_complete(client: Client, name: str) -> None:
    client.sendgrid.faults.add(fault(name, seconds=0.0001))
    response = client.send()
    assert response.status_code == 202
    assert client.sendgrid.inbox()[0].message_id == response.headers["X-Message-Id"]


def test_a_slow_response_exceeds_the_read_timeout(client: Client) -> None:
    client.sendgrid.faults.add(fault("slow answer", seconds=20))
    with pytest.raises(requests.ReadTimeout):
        client.send(timeout=0.2)
    assert client.has_sent()


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_created_by_name(name: str) -> None:
    assert fault(name, count=2).count == 2
    assert fault(name).name == name
