"""Tests with SendGrid faults: the function's response within the forwarder's timeout, and the outcome of a retry."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.cloud_run.process import free_port
from emulator.core.faults import Fault
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import callout_for, new_address
from tests.end_to_end.harness import Harness, Response
from tests.end_to_end.leak_checker import LeakChecker

SENDER = "security@example.com"


# Rejected by SendGrid: 502 without a retry


@contextmanager
def revoked_key(harness: Harness) -> Iterator[None]:
    harness.sendgrid.revoke(harness.sendgrid_key)
    yield
    harness.sendgrid.add_key(harness.sendgrid_key)


@contextmanager
def unverified_sender(harness: Harness) -> Iterator[None]:
    harness.sendgrid.unverify(SENDER)
    yield
    harness.sendgrid.verify(SENDER)


@contextmanager
def key_without_the_scope(harness: Harness) -> Iterator[None]:
    harness.sendgrid.add_key(harness.sendgrid_key, "stats.read")
    yield
    harness.sendgrid.add_key(harness.sendgrid_key)


@contextmanager
def no_credits(harness: Harness) -> Iterator[None]:
    harness.sendgrid.credits = 0
    yield
    harness.sendgrid.credits = None


@contextmanager
def too_large(harness: Harness) -> Iterator[None]:
    with harness.sendgrid_faults(fault("too large")):
        yield


@contextmanager
def not_sendgrid(harness: Harness) -> Iterator[None]:
    with harness.sendgrid_faults(Fault("status", "login page", status=200, body="<html>Log in</html>")):
        yield


Rejection = Callable[[Harness], AbstractContextManager[None]]
REJECTIONS: dict[Rejection, str] = {
    revoked_key: "SENDGRID_API_KEY_SECRET",
    unverified_sender: "https://app.sendgrid.com/settings/sender_auth",
    key_without_the_scope: "mail.send",
    no_credits: "credits",
    too_large: "413",
    not_sendgrid: "SENDGRID_URL",
}


@pytest.mark.parametrize("rejection", REJECTIONS, ids=lambda rejection: rejection.__name__)
def test_a_rejected_email_is_reported_with_its_fix_and_sent_once_fixed(harness: Harness, rejection: Rejection) -> None:
    address = new_address()
    callout = callout_for(address)
    with rejection(harness):
        response = harness.send(callout)
    assert (response.status, response.code) == (502, "mail_rejected")
    assert REJECTIONS[rejection] in response.message
    assert "retry-after" not in response.headers
    assert not harness.emails_to(address)
    assert harness.send(callout).body["status"] == "sent"
    assert len(harness.emails_to(address)) == 1


def test_an_unverified_sender_is_reported_with_sendgrids_own_message(harness: Harness) -> None:
    with unverified_sender(harness):
        response = harness.send(callout_for(new_address()))
    assert "does not match a verified Sender Identity" in response.message
    assert "SENDER_EMAIL" in response.message


def test_a_rejected_key_is_read_again_only_once(harness: Harness) -> None:
    before = harness.journal.record("test").number
    with revoked_key(harness):
        harness.send(callout_for(new_address()))
    assert len(harness.journal.entries(before, "sendgrid.exchange")) == 1
    assert len(harness.journal.entries(before, "secret_manager.exchange")) == 1


def test_a_failure_is_logged_as_an_error_and_printed_by_the_action(harness: Harness) -> None:
    callout = callout_for(new_address())
    with unverified_sender(harness):
        harness.send(callout)
    assert harness.find_log_line(
        lambda fields: (
            fields.get("callout") == callout.id
            and fields["severity"] == "ERROR"
            and fields.get("code") == "mail_rejected"
        )
    )
    assert harness.find_log_line(
        lambda fields: (
            fields.get("callout") == callout.id and fields["message"].startswith("Error sending email to user ")
        )
    )


# Transient faults: 200 after a retry, and one email

TRANSIENT = [
    "too many requests",
    "too many requests, no hint",
    "server error",
    "bad gateway",
    "unavailable",
    "delay",
    "reset",
]


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_transient_fault_is_retried_within_the_callout(harness: Harness, name: str) -> None:
    address = new_address()
    with harness.sendgrid_faults(fault(name)):
        response = harness.send(callout_for(address))
    assert (response.status, response.body["status"]) == (200, "sent")
    assert len(harness.emails_to(address)) == 1


def test_a_redirect_is_retried_and_not_followed(harness: Harness) -> None:
    address = new_address()
    before = harness.journal.record("test").number
    redirect = Fault("status", "redirect", status=307, headers={"Location": f"{harness.sendgrid.url}/elsewhere"})
    with harness.sendgrid_faults(redirect):
        assert harness.send(callout_for(address)).body["status"] == "sent"
    exchanges = harness.journal.entries(before, "sendgrid.exchange")
    assert [(entry.data["path"], entry.data["status"]) for entry in exchanges] == [
        ("/v3/mail/send", 307),
        ("/v3/mail/send", 202),
    ]


@pytest.mark.parametrize("name", ["accepted, then reset", "cut answer"])
def test_a_lost_acceptance_is_sent_again_rather_than_dropped(harness: Harness, name: str) -> None:
    address = new_address()
    with harness.sendgrid_faults(fault(name)):
        response = harness.send(callout_for(address))
    assert (response.status, response.body["status"]) == (200, "sent")
    assert 1 <= len(harness.emails_to(address)) <= 2


def test_a_pooled_connection_that_sendgrid_closed_is_replaced(harness: Harness) -> None:
    address = new_address()
    harness.send(callout_for(new_address()))
    harness.sendgrid.drop_connections()
    assert harness.send(callout_for(address)).body["status"] == "sent"
    assert len(harness.emails_to(address)) == 1


# Persistent faults: 503 with Retry-After


@pytest.mark.parametrize("name", ["too many requests", "too many requests, reset only"])
def test_a_long_retry_after_from_sendgrid_is_returned_immediately(harness: Harness, name: str) -> None:
    address = new_address()
    callout = callout_for(address)
    with harness.sendgrid_faults(fault(name, seconds=90)):
        response = harness.send(callout)
    assert (response.status, response.code) == (503, "mail_unavailable")
    assert 80 <= int(response.headers["retry-after"]) <= 91
    assert harness.send(callout).body["status"] == "sent"
    assert len(harness.emails_to(address)) == 1


PERSISTENT = [
    "too many requests, no hint",
    "server error",
    "bad gateway",
    "unavailable",
    "timeout",
    "reset",
    "slow answer",
    "accepted, never answered",
]
HIDES_ACCEPTANCE = ("slow answer", "accepted, never answered")


@dataclass(frozen=True)
class Outcome:
    """The responses to a callout during a fault and to its retry, with the total number of emails after each."""

    response: Response
    emails: int
    retry: Response
    emails_after_retry: int


@pytest.fixture(scope="module")
def outcomes(leak_checker: LeakChecker, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcome]:
    """Run all persistent faults concurrently, each against its own function: each takes the whole deadline."""
    # Created sequentially: werkzeug compiles routes with `ast`, which isn't thread-safe.
    harnesses = [Harness(leak_checker, mounted=tmp_path_factory.mktemp("secrets")) for _ in PERSISTENT]
    with ThreadPoolExecutor(len(PERSISTENT)) as pool:
        return dict(zip(PERSISTENT, pool.map(run_outage, PERSISTENT, harnesses), strict=True))


def run_outage(name: str, harness: Harness) -> Outcome:
    address = new_address()
    callout = callout_for(address)
    with harness:
        with harness.sendgrid_faults(fault(name, count=None)):
            response, emails = harness.send(callout), len(harness.emails_to(address))
        return Outcome(response, emails, harness.send(callout), len(harness.emails_to(address)))


@pytest.mark.parametrize("name", PERSISTENT)
def test_a_persistent_fault_returns_503_within_the_deadline(outcomes: Mapping[str, Outcome], name: str) -> None:
    response = outcomes[name].response
    assert (response.status, response.code) == (503, "mail_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert response.body["stats"]["total_ms"] > 0


@pytest.mark.parametrize("name", [name for name in PERSISTENT if name not in HIDES_ACCEPTANCE])
def test_after_a_persistent_fault_the_same_callout_sends_exactly_one_email(
    outcomes: Mapping[str, Outcome], name: str
) -> None:
    assert outcomes[name].emails == 0
    assert outcomes[name].retry.body["status"] == "sent"
    assert outcomes[name].emails_after_retry == 1


@pytest.mark.parametrize("name", HIDES_ACCEPTANCE)
def test_a_timeout_that_hid_an_acceptance_leads_to_a_second_email(outcomes: Mapping[str, Outcome], name: str) -> None:
    assert outcomes[name].emails == 1
    assert outcomes[name].retry.body["status"] == "sent"
    assert outcomes[name].emails_after_retry == 2


def test_an_unreachable_sendgrid_returns_503_within_the_deadline(leak_checker: LeakChecker, tmp_path: Path) -> None:
    with Harness(leak_checker, {"SENDGRID_URL": f"http://127.0.0.1:{free_port()}"}, mounted=tmp_path) as harness:
        response = harness.send(callout_for(new_address()))
    assert (response.status, response.code) == (503, "mail_unavailable")
    assert "retry-after" in response.headers
