"""The emulated Email Logs API over HTTP, and what happens to an accepted email."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from emulator.core.journal import Journal
from emulator.sendgrid.email_log import FAULTS, SCOPE
from emulator.sendgrid.server import FakeSendGrid
from tests.emulator.emails import simple


@pytest.fixture
def sendgrid() -> Iterator[FakeSendGrid]:
    with FakeSendGrid(Journal(), verified=["example.com"]) as sendgrid:
        yield sendgrid


def send(sendgrid: FakeSendGrid, *to: str, outcome: str = "", **fields: Any) -> str:
    """Send an email, and return its X-Message-Id."""
    if outcome:
        sendgrid.log.faults.add(FAULTS[outcome])
    people = [{"email": address} for address in to or ("user@example.com",)]
    body = {**simple(), "personalizations": [{"to": people}], **fields}
    headers = {"Authorization": f"Bearer {sendgrid.new_key('mail.send')}"}
    response = requests.post(f"{sendgrid.url}/v3/mail/send", json=body, headers=headers, timeout=20)
    assert response.status_code == 202
    return response.headers["X-Message-Id"]


def search(
    sendgrid: FakeSendGrid, query: str = "", limit: int | str = 1000, *, scope: str = SCOPE
) -> requests.Response:
    headers = {"Authorization": f"Bearer {sendgrid.new_key(scope)}"}
    body = {"query": query, "limit": limit}
    return requests.post(f"{sendgrid.url}/v3/logs", json=body, headers=headers, timeout=20)


def statuses(sendgrid: FakeSendGrid, query: str = "") -> list[str]:
    """Return the statuses, oldest email first."""
    return [message["status"] for message in reversed(search(sendgrid, query).json()["messages"])]


def details(sendgrid: FakeSendGrid, message_id: str) -> Any:
    headers = {"Authorization": f"Bearer {sendgrid.new_key(SCOPE)}"}
    return requests.get(f"{sendgrid.url}/v3/logs/{message_id}", headers=headers, timeout=20).json()


def test_an_accepted_email_is_in_the_log_with_the_documented_fields(sendgrid: FakeSendGrid) -> None:
    message_id = send(sendgrid, categories=["password-notice"])
    [message] = search(sendgrid).json()["messages"]
    assert set(message) == {
        "from_email",
        "sg_message_id",
        "subject",
        "to_email",
        "status",
        "sg_message_id_created_at",
    }
    assert message["sg_message_id"].partition(".")[0] == message_id
    assert (message["to_email"], message["status"]) == ("user@example.com", "delivered")


def test_an_email_to_two_people_has_two_records(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, "a@example.com", "b@example.com")
    found = search(sendgrid).json()["messages"]
    assert {message["to_email"] for message in found} == {"a@example.com", "b@example.com"}
    assert len({message["sg_message_id"] for message in found}) == 2


@pytest.mark.parametrize("outcome", ["deferred", "bounced", "blocked", "dropped"])
def test_a_fault_decides_what_happens_to_the_next_email(sendgrid: FakeSendGrid, outcome: str) -> None:
    send(sendgrid, outcome=outcome)
    send(sendgrid, "other@example.com")
    assert statuses(sendgrid) == [outcome, "delivered"]
    assert search(sendgrid, f"status IN ('{outcome}')").json()["messages"][0]["reason"]


def test_an_email_that_is_delivered_late_is_processed_until_then(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, outcome="delivered late")
    [record] = sendgrid.log.records()
    assert statuses(sendgrid) == ["processed"]
    sendgrid.log.clock = lambda: record.at
    assert statuses(sendgrid) == ["delivered"]


def test_an_address_that_bounced_is_dropped_from_then_on_unless_bypassed(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, outcome="bounced")
    send(sendgrid, "USER@example.com")
    send(sendgrid, "USER@example.com", mail_settings={"bypass_bounce_management": {"enable": True}})
    assert statuses(sendgrid) == ["bounced", "dropped", "delivered"]
    assert search(sendgrid, "reason = 'Bounced Address'").json()["messages"][0]["status"] == "dropped"
    sendgrid.log.clear()
    send(sendgrid, "Other@example.com", outcome="bounced")
    send(sendgrid, "other@example.com")
    send(sendgrid)
    assert statuses(sendgrid) == ["bounced", "dropped", "delivered"]


def test_an_address_that_blocked_once_gets_the_next_email(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, outcome="blocked")
    send(sendgrid)
    assert statuses(sendgrid) == ["blocked", "delivered"]


def test_a_query_selects_by_time_category_status_and_text(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, categories=["password-notice", "other"])
    send(sendgrid, "b@example.com")
    now = '2099-01-01T00:00:00Z"'
    assert len(statuses(sendgrid, "categories IN ('x', 'password-notice') AND status IN ('delivered')")) == 1
    assert len(statuses(sendgrid, f'sg_message_id_created_at < TIMESTAMP "{now}')) == 2
    assert statuses(sendgrid, f'sg_message_id_created_at >= TIMESTAMP "{now}') == []
    assert len(statuses(sendgrid, "to_email = 'b@example.com'")) == 1


def test_a_response_has_the_newest_emails_and_at_most_the_limit(sendgrid: FakeSendGrid) -> None:
    for number in range(12):
        send(sendgrid, f"user{number}@example.com")
    assert [each["to_email"] for each in search(sendgrid, limit=1).json()["messages"]] == ["user11@example.com"]
    assert search(sendgrid, limit=1001).status_code == search(sendgrid, limit="1").status_code == 400


@pytest.mark.parametrize(
    "query", ["status IN ('lost')", "sender = 'x'", "to_email LIKE 'a%'", 'sg_message_id_created_at > TIMESTAMP "now"']
)
def test_a_query_that_the_emulator_does_not_support_is_an_error(sendgrid: FakeSendGrid, query: str) -> None:
    assert search(sendgrid, query).status_code == 400


def test_the_details_have_the_events_and_custom_args(sendgrid: FakeSendGrid) -> None:
    send(sendgrid, outcome="bounced", custom_args={"webhook_id": "msg_1"}, categories=["password-notice"])
    [record] = sendgrid.log.records()
    found = details(sendgrid, record.message_id)
    assert [event["event"] for event in found["events"]] == ["processed", "bounced"]
    assert (found["custom_args"], found["category"]) == ({"webhook_id": "msg_1"}, ["password-notice"])
    assert details(sendgrid, "unknown")["errors"][0]["message"] == "not found"


def test_the_log_needs_a_permission_that_sending_does_not(sendgrid: FakeSendGrid) -> None:
    assert search(sendgrid, scope="mail.send").status_code == 403


def test_an_email_in_sandbox_mode_is_not_in_the_log(sendgrid: FakeSendGrid) -> None:
    body = {**simple(), "mail_settings": {"sandbox_mode": {"enable": True}}}
    headers = {"Authorization": f"Bearer {sendgrid.new_key('mail.send')}"}
    assert requests.post(f"{sendgrid.url}/v3/mail/send", json=body, headers=headers, timeout=20).status_code == 200
    assert sendgrid.log.records() == []
