"""The audit against the emulator: two of three notices are lost, found with their causes, sent, and delivered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.audit import Audit, AuditError
from emulator.emulator import Delivery, Emulator, example

USERS = ("ann@example.com", "bob@example.com", "eve@example.com")


@pytest.fixture(params=["direct", "queue"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    delivery: Delivery = request.param
    with Emulator(delivery=delivery) as emulator:
        yield emulator


def change_password(emulator: Emulator, address: str) -> None:
    event = example()
    event["user"] = {**event["user"], "email": address, "user_id": f"auth0|{address[:3]}"}
    emulator.run(event)


def statuses(report: Any) -> dict[str, str]:
    return {row["user_id"].removeprefix("auth0|"): row["status"] for row in report["rows"]}


def wait_for_queue(emulator: Emulator) -> None:
    if emulator.cloud_tasks:
        emulator.cloud_tasks.wait_until_empty(45)


def test_lost_notices_are_found_sent_once_and_then_delivered(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("Function", "login page", 2)
    for address in USERS:
        change_password(emulator, address)
    wait_for_queue(emulator)
    audit = Audit(emulator)

    report = audit.run()
    assert (report["exit_status"], report["missing"]) == (1, 2)
    assert statuses(report) == {"ann": "missing", "bob": "missing", "eve": "delivered"}
    causes = [row["reason"] for row in report["rows"] if row["status"] == "missing"]
    assert all("action_error: The notice may not have been sent: HTTP 200, but not from" in cause for cause in causes)

    sent = audit.run(send=True)
    assert (sent["exit_status"], sent["missing"]) == (1, 2)
    accepted = "queued" if emulator.cloud_tasks else "sent"
    assert [row["reason"].rpartition("; ")[2] for row in sent["rows"][:2]] == [f"the function responded {accepted}"] * 2
    wait_for_queue(emulator)

    report = audit.run()
    assert (report["exit_status"], report["delivered"]) == (0, 3)
    assert audit.run(send=True)["exit_status"] == 0
    assert sorted(email.to[0]["email"] for email in emulator.sendgrid.inbox()) == sorted(USERS)


def test_a_notice_that_sendgrids_log_does_not_show_yet_is_not_sent_again(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("Function", "login page")
    change_password(emulator, USERS[0])
    audit = Audit(emulator)
    audit.run(send=True)
    wait_for_queue(emulator)
    emulator.sendgrid.log.clear()
    [row] = audit.run(send=True)["rows"]
    assert row["reason"].endswith("the function responded duplicate")
    wait_for_queue(emulator)
    assert len(emulator.sendgrid.inbox()) == 1


def test_an_address_that_bounced_is_reported_and_its_next_notice_dropped() -> None:
    with Emulator() as emulator:
        emulator.fault_toggles.turn_on("Delivery", "bounced")
        for _ in range(2):
            change_password(emulator, USERS[0])
        report = Audit(emulator).run()
    # Within ten seconds, nothing shows which of a user's two emails belongs to which change.
    assert sorted(row["status"] for row in report["rows"]) == ["bounced", "dropped"]
    assert report["exit_status"] == 1


def test_a_log_that_cannot_be_read_is_an_error_with_the_audits_own_message() -> None:
    with Emulator() as emulator:
        emulator.fault_toggles.turn_on("Auth0's log", "expired token", None)
        with pytest.raises(AuditError, match="AUTH0_TOKEN: Auth0 responded 401 Expired token"):
            Audit(emulator).run()


def test_faults_of_sending_do_not_affect_reading_the_log() -> None:
    with Emulator() as emulator:
        emulator.fault_toggles.turn_on("SendGrid", "server error", None)
        assert json.dumps(Audit(emulator).run()["rows"]) == "[]"
        emulator.fault_toggles.turn_on("SendGrid's log", "missing scope")
        with pytest.raises(AuditError, match="SENDGRID_LOGS_KEY: SendGrid responded 403"):
            Audit(emulator).run()
