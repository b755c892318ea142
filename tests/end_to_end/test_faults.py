"""SendGrid at its worst: what the function answers in the time that the Action waits, and what comes afterwards."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.cloud_run.process import free_port
from emulator.core.faults import Fault
from emulator.sendgrid.faults import fault
from tests.end_to_end.callouts import new_address, notice_to
from tests.end_to_end.harness import Answer, Harness
from tests.end_to_end.leak_checker import LeakChecker

SENDER = "security@example.com"


# What SendGrid refuses: 502 at once


@contextmanager
def revoked_key(stage: Harness) -> Iterator[None]:
    stage.sendgrid.revoke(stage.sendgrid_key)
    yield
    stage.sendgrid.add_key(stage.sendgrid_key)


@contextmanager
def unverified_sender(stage: Harness) -> Iterator[None]:
    stage.sendgrid.unverify(SENDER)
    yield
    stage.sendgrid.verify(SENDER)


@contextmanager
def key_without_the_scope(stage: Harness) -> Iterator[None]:
    stage.sendgrid.add_key(stage.sendgrid_key, "stats.read")
    yield
    stage.sendgrid.add_key(stage.sendgrid_key)


@contextmanager
def no_credits(stage: Harness) -> Iterator[None]:
    stage.sendgrid.credits = 0
    yield
    stage.sendgrid.credits = None


@contextmanager
def html_413(stage: Harness) -> Iterator[None]:
    with stage.fault(fault("too large")):
        yield


@contextmanager
def no_acceptance(stage: Harness) -> Iterator[None]:
    with stage.fault(Fault("status", "a login page", status=200, body="<html>Log in</html>")):
        yield


Refusal = Callable[[Harness], AbstractContextManager[None]]
REFUSALS: dict[Refusal, str] = {
    revoked_key: "SENDGRID_API_KEY_SECRET",
    unverified_sender: "https://app.sendgrid.com/settings/sender_auth",
    key_without_the_scope: "mail.send",
    no_credits: "credits",
    html_413: "413",
    no_acceptance: "SENDGRID_URL",
}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_a_refused_mail_is_told_with_what_to_do_and_goes_out_once_that_is_done(
    stage: Harness, refusal: Refusal
) -> None:
    address = new_address()
    sent = notice_to(address)
    with refusal(stage):
        answer = stage.send(sent)
    assert (answer.status, answer.code) == (502, "mail_rejected")
    assert REFUSALS[refusal] in answer.message
    assert "retry-after" not in answer.headers
    assert not stage.mails(address)
    assert stage.send(sent).body["status"] == "sent"
    assert len(stage.mails(address)) == 1


def test_an_unverified_sender_is_told_in_sendgrids_own_words(stage: Harness) -> None:
    with unverified_sender(stage):
        answer = stage.send(notice_to(new_address()))
    assert "does not match a verified Sender Identity" in answer.message
    assert "SENDER_EMAIL" in answer.message


def test_a_refused_key_is_read_anew_once_and_no_more(stage: Harness) -> None:
    before = stage.journal.record("test").number
    with revoked_key(stage):
        stage.send(notice_to(new_address()))
    assert len(stage.journal.entries(before, "sendgrid.exchange")) == 1
    assert len(stage.journal.entries(before, "secret_manager.exchange")) == 1


def test_a_failure_is_an_error_in_the_log_and_the_actions_console_says_which(stage: Harness) -> None:
    sent = notice_to(new_address())
    with unverified_sender(stage):
        stage.send(sent)
    assert stage.line(
        lambda fields: (
            fields.get("callout") == sent.id and fields["severity"] == "ERROR" and fields.get("code") == "mail_rejected"
        )
    )
    assert stage.line(
        lambda fields: fields.get("callout") == sent.id and fields["message"].startswith("Error sending email to user ")
    )


# What a second attempt mends: 200, and one mail

BRIEF = [
    "too many requests",
    "too many requests, no hint",
    "server error",
    "bad gateway",
    "unavailable",
    "delay",
    "reset",
]


@pytest.mark.parametrize("name", BRIEF)
def test_a_brief_fault_is_overcome_within_the_callout(stage: Harness, name: str) -> None:
    address = new_address()
    with stage.fault(fault(name)):
        answer = stage.send(notice_to(address))
    assert (answer.status, answer.body["status"]) == (200, "sent")
    assert len(stage.mails(address)) == 1


def test_a_redirect_is_not_followed_and_overcome_likewise(stage: Harness) -> None:
    address = new_address()
    before = stage.journal.record("test").number
    redirect = Fault("status", "redirect", status=307, headers={"Location": f"{stage.sendgrid.url}/elsewhere"})
    with stage.fault(redirect):
        assert stage.send(notice_to(address)).body["status"] == "sent"
    asked = stage.journal.entries(before, "sendgrid.exchange")
    assert [(entry.data["path"], entry.data["status"]) for entry in asked] == [
        ("/v3/mail/send", 307),
        ("/v3/mail/send", 202),
    ]


@pytest.mark.parametrize("name", ["accepted, then reset", "cut answer"])
def test_an_acceptance_that_was_not_heard_is_rather_sent_twice_than_not_at_all(stage: Harness, name: str) -> None:
    address = new_address()
    with stage.fault(fault(name)):
        answer = stage.send(notice_to(address))
    assert (answer.status, answer.body["status"]) == (200, "sent")
    assert 1 <= len(stage.mails(address)) <= 2


def test_a_connection_that_sendgrid_closed_meanwhile_is_no_matter(stage: Harness) -> None:
    address = new_address()
    stage.send(notice_to(new_address()))
    stage.sendgrid.drop_connections()
    assert stage.send(notice_to(address)).body["status"] == "sent"
    assert len(stage.mails(address)) == 1


# What lasts: 503 with Retry-After


@pytest.mark.parametrize("name", ["too many requests", "too many requests, reset only"])
def test_a_long_wait_that_sendgrid_asks_for_is_passed_on_at_once(stage: Harness, name: str) -> None:
    address = new_address()
    sent = notice_to(address)
    with stage.fault(fault(name, seconds=90)):
        answer = stage.send(sent)
    assert (answer.status, answer.code) == (503, "mail_unavailable")
    assert 80 <= int(answer.headers["retry-after"]) <= 91
    assert stage.send(sent).body["status"] == "sent"
    assert len(stage.mails(address)) == 1


LASTING = [
    "too many requests, no hint",
    "server error",
    "bad gateway",
    "unavailable",
    "time-out",
    "reset",
    "slow answer",
    "accepted, never answered",
]
HIDES_ACCEPTANCE = ("slow answer", "accepted, never answered")


@dataclass(frozen=True)
class Ordeal:
    """A callout while the fault lasts, the same callout afterwards, and how many mails there were after each."""

    answer: Answer
    mails: int
    again: Answer
    mails_at_last: int


@pytest.fixture(scope="module")
def ordeals(witness: LeakChecker, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ordeal]:
    """All lasting faults at the same time, each at a function of its own: every one takes the whole deadline."""
    # One by one: Flask's routes need `ast`, no friend of threads.
    stages = [Harness(witness, mounted=tmp_path_factory.mktemp("secrets")) for _ in LASTING]
    with ThreadPoolExecutor(len(LASTING)) as pool:
        return dict(zip(LASTING, pool.map(ordeal, LASTING, stages), strict=True))


def ordeal(name: str, stage: Harness) -> Ordeal:
    address = new_address()
    sent = notice_to(address)
    with stage:
        with stage.fault(fault(name, count=None)):
            answer, mails = stage.send(sent), len(stage.mails(address))
        return Ordeal(answer, mails, stage.send(sent), len(stage.mails(address)))


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_fault_is_told_within_the_deadline(ordeals: Mapping[str, Ordeal], name: str) -> None:
    answer = ordeals[name].answer
    assert (answer.status, answer.code) == (503, "mail_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.body["stats"]["total_ms"] > 0


@pytest.mark.parametrize("name", [name for name in LASTING if name not in HIDES_ACCEPTANCE])
def test_after_a_lasting_fault_the_same_callout_brings_exactly_one_mail(
    ordeals: Mapping[str, Ordeal], name: str
) -> None:
    assert ordeals[name].mails == 0
    assert ordeals[name].again.body["status"] == "sent"
    assert ordeals[name].mails_at_last == 1


@pytest.mark.parametrize("name", HIDES_ACCEPTANCE)
def test_a_time_out_that_hid_an_acceptance_costs_a_second_mail(ordeals: Mapping[str, Ordeal], name: str) -> None:
    assert ordeals[name].mails == 1
    assert ordeals[name].again.body["status"] == "sent"
    assert ordeals[name].mails_at_last == 2


def test_a_sendgrid_that_is_not_there_is_told_within_the_deadline(witness: LeakChecker, tmp_path: Path) -> None:
    with Harness(witness, {"SENDGRID_URL": f"http://127.0.0.1:{free_port()}"}, mounted=tmp_path) as stage:
        answer = stage.send(notice_to(new_address()))
    assert (answer.status, answer.code) == (503, "mail_unavailable")
    assert "retry-after" in answer.headers
