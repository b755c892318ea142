"""Secrets as they live: rotated, disabled, withheld and out of reach, without a restart of the function."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from auth0.callout import OutgoingCallout
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, new_signing_key
from emulator.secret_manager.server import FAULTS
from tests.end_to_end.callouts import callout, event, new_address, notice_to
from tests.end_to_end.harness import Answer, Harness
from tests.end_to_end.leak_checker import LeakChecker


@pytest.fixture(scope="module")
def eager(witness: LeakChecker) -> Iterator[Harness]:
    """Reads each secret for each callout."""
    with Harness(witness, {"SECRET_MAX_AGE_SECONDS": "0"}) as eager:
        yield eager


@pytest.fixture
def fresh(witness: LeakChecker) -> Iterator[Harness]:
    """A process that no other test has used: what it has read, and when, is known."""
    with Harness(witness) as fresh:
        yield fresh


# Rotation


def test_the_callout_that_meets_a_rotated_sendgrid_key_succeeds(fresh: Harness) -> None:
    address = new_address()
    fresh.send(notice_to(new_address()))
    fresh.rotate_sendgrid_key()
    before = fresh.journal.record("test").number
    assert fresh.send(notice_to(address)).body["status"] == "sent"
    assert [entry.data["status"] for entry in fresh.journal.entries(before, "sendgrid.exchange")] == [401, 202]
    assert len(fresh.mails(address)) == 1


def test_a_rotated_sendgrid_key_that_cannot_be_read_yet_is_asked_for_again(fresh: Harness) -> None:
    """A final answer would lose the notice, though the new key is there and will be read in a moment."""
    sent = notice_to(new_address())
    fresh.send(notice_to(new_address()))
    fresh.rotate_sendgrid_key()
    with fresh.secret_fault(replace(FAULTS["unavailable"], count=None)):
        answer = fresh.send(sent)
        assert (answer.status, answer.code) == (503, "secret_unavailable")
    assert fresh.send(sent).body["status"] == "sent"


def test_many_callouts_that_meet_a_rotated_sendgrid_key_succeed(fresh: Harness) -> None:
    fresh.send(notice_to(new_address()))
    fresh.rotate_sendgrid_key()
    addresses = [new_address() for _ in range(10)]
    answers = fresh.send_all(map(notice_to, addresses))
    assert {answer.body["status"] for answer in answers} == {"sent"}
    assert [len(fresh.mails(address)) for address in addresses] == [1] * 10


def test_a_new_signing_key_works_at_once_and_the_old_one_no_longer(fresh: Harness) -> None:
    old = fresh.signing_key
    assert fresh.send(notice_to(new_address())).status == 200
    fresh.put_signing_key(new_signing_key())
    assert fresh.send(notice_to(new_address()), key=old).status == 200  # nobody had a reason to read it anew
    assert fresh.send(notice_to(new_address())).status == 200
    assert fresh.send(notice_to(new_address()), key=old).status == 401


def test_a_new_signing_key_works_for_many_at_the_same_moment(fresh: Harness) -> None:
    assert fresh.send(notice_to(new_address())).status == 200
    fresh.put_signing_key(new_signing_key())
    answers = fresh.send_all(notice_to(new_address()) for _ in range(10))
    assert {answer.status for answer in answers} == {200}


def test_while_signing_keys_are_rotated_both_are_accepted(fresh: Harness) -> None:
    old, new = fresh.signing_key, new_signing_key()
    fresh.put_signing_key(new, old)
    assert [fresh.send(notice_to(new_address()), key=key).status for key in (old, new)] == [200, 200]


def test_foreign_signatures_make_it_read_anew_no_more_than_once(fresh: Harness) -> None:
    fresh.send(notice_to(new_address()))
    before = fresh.journal.record("test").number
    answers = fresh.send_all([notice_to(new_address()) for _ in range(10)], key=new_signing_key())
    assert {answer.status for answer in answers} == {401}
    assert len(fresh.journal.entries(before, "secret_manager.exchange")) == 1


def test_a_malformed_signing_key_beside_a_good_one_is_skipped_and_told(fresh: Harness) -> None:
    fresh.put_signing_key(fresh.signing_key, "whsec_not+base64+at+all==x", "whsec_c2hvcnQ=")
    assert fresh.send(notice_to(new_address())).status == 200
    for number in (2, 3):
        line = fresh.line(lambda fields, number=number: fields["message"].startswith(f"key {number} of CALLOUT_SIG"))  # type: ignore[misc]
        assert line is not None
        assert line.data["fields"]["severity"] == "ERROR"


# Withdrawn


@pytest.mark.parametrize("name", [SIGNING_KEY, SENDGRID_KEY])
def test_a_disabled_version_stops_working_when_it_is_read(eager: Harness, name: str) -> None:
    sent = notice_to(new_address())
    assert eager.send(notice_to(new_address())).status == 200
    eager.secret_manager.disable(name)
    try:
        answer = eager.send(sent)
    finally:
        eager.secret_manager.enable(name)
    assert (answer.status, answer.code) == (503, "secret_unavailable")
    assert eager.send(sent).body["status"] == "sent"


@pytest.mark.parametrize("name", [SIGNING_KEY, SENDGRID_KEY])
def test_a_right_that_was_taken_away_stops_the_secret(eager: Harness, name: str) -> None:
    assert eager.send(notice_to(new_address())).status == 200
    eager.secret_manager.deny(name)
    try:
        answer = eager.send(notice_to(new_address()))
    finally:
        eager.secret_manager.deny(name, denied=False)
    assert (answer.status, answer.code) == (503, "secret_unavailable")


@pytest.mark.parametrize("value", ["", "SG.short", "Bearer SG.x", "SG." + "x" * 22 + "." + "y" * 44, "ключ"])
def test_a_malformed_sendgrid_key_is_told_and_not_sent(eager: Harness, value: str) -> None:
    good = eager.sendgrid_key
    before = eager.journal.record("test").number
    eager.secret_manager.put(SENDGRID_KEY, value)
    try:
        answer = eager.send(notice_to(new_address()))
    finally:
        eager.put_sendgrid_key(good)
    assert (answer.status, answer.code) == (503, "secret_unavailable")
    assert not eager.journal.entries(before, "sendgrid.exchange")


def test_white_space_around_a_key_is_no_part_of_it(eager: Harness) -> None:
    eager.secret_manager.put(SENDGRID_KEY, f"  {eager.sendgrid_key}\r\n")
    eager.secret_manager.put(SIGNING_KEY, f"\t{eager.signing_key}\n\n")
    assert eager.send(notice_to(new_address())).body["status"] == "sent"


def test_without_any_usable_signing_key_nobody_is_let_in(eager: Harness) -> None:
    good = eager.signing_key
    eager.secret_manager.put(SIGNING_KEY, "whsec_c2hvcnQ=")
    try:
        answer = eager.send(notice_to(new_address()))
    finally:
        eager.put_signing_key(good)
    assert (answer.status, answer.code) == (503, "secret_unavailable")


# Out of reach


OUTAGES = {"unavailable", "hang", "rate limited", "reset", "permission denied", "not found"}


@dataclass(frozen=True)
class Ordeal:
    first: Answer
    again: Answer
    mails: int


@pytest.fixture(scope="module")
def ordeals(witness: LeakChecker) -> Mapping[str, Ordeal]:
    """All at the same time, each at a function of its own: some of them take the whole deadline."""
    stages = [Harness(witness) for _ in OUTAGES]  # one by one: Flask's routes need `ast`, no friend of threads
    with ThreadPoolExecutor(len(OUTAGES)) as pool:
        return dict(zip(OUTAGES, pool.map(ordeal, OUTAGES, stages), strict=True))


def ordeal(name: str, stage: Harness) -> Ordeal:
    address = new_address()
    sent = notice_to(address)
    with stage:
        with stage.secret_fault(replace(FAULTS[name], count=None)):
            first = stage.send(sent)
        return Ordeal(first, tried_again(stage, sent), len(stage.mails(address)))


def tried_again(stage: Harness, sent: OutgoingCallout) -> Answer:
    """As the Action does; what still hangs at the first time is over at the third."""
    answer = stage.send(sent)
    for _ in range(2):
        answer = answer if answer.status != 503 else stage.send(sent)
    return answer


@pytest.mark.parametrize("name", sorted(OUTAGES))
def test_secrets_that_were_never_read_are_told_as_unavailable(ordeals: Mapping[str, Ordeal], name: str) -> None:
    answer = ordeals[name].first
    assert (answer.status, answer.code) == (503, "secret_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("name", sorted(OUTAGES))
def test_when_secrets_are_back_the_same_callout_brings_one_mail(ordeals: Mapping[str, Ordeal], name: str) -> None:
    assert ordeals[name].again.body["status"] == "sent"
    assert ordeals[name].mails == 1


@pytest.mark.parametrize("name", ["unavailable", "hang"])
def test_what_was_read_once_serves_through_an_outage(witness: LeakChecker, name: str) -> None:
    address = new_address()
    with Harness(witness, {"SECRET_MAX_AGE_SECONDS": "0"}) as stage:
        assert stage.send(notice_to(new_address())).status == 200
        with stage.secret_fault(replace(FAULTS[name], count=None)):
            assert stage.send(notice_to(address)).body["status"] == "sent"
        assert len(stage.mails(address)) == 1
        assert stage.line(lambda fields: fields.get("code") == "secret_old" and fields["severity"] == "WARNING")


# Mounted files


def test_mounted_secrets_work_with_the_line_end_that_editors_leave(witness: LeakChecker, tmp_path: Path) -> None:
    with Harness(witness, mounted=tmp_path) as stage:
        assert (tmp_path / "sendgrid-api-key").read_bytes().endswith(b"\n")
        assert stage.send(notice_to(new_address())).body["status"] == "sent"
        assert not stage.journal.entries(kind="secret_manager")


def test_a_mounted_secret_is_rotated_too(witness: LeakChecker, tmp_path: Path) -> None:
    with Harness(witness, mounted=tmp_path) as stage:
        stage.send(notice_to(new_address()))
        stage.rotate_sendgrid_key()
        stage.put_signing_key(new_signing_key())
        assert stage.send(notice_to(new_address())).body["status"] == "sent"


def test_a_mounted_secret_that_is_missing_is_told(witness: LeakChecker, tmp_path: Path) -> None:
    with Harness(witness, mounted=tmp_path) as stage:
        (tmp_path / "sendgrid-api-key").unlink()
        answer = stage.send(callout(event(new_address())))
    assert (answer.status, answer.code) == (503, "secret_unavailable")
