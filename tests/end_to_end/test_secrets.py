"""Tests of secrets that are rotated, disabled, denied, or unavailable while the function runs."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from auth0.callout import OutgoingCallout
from emulator.core.faults import Fault
from emulator.emulator import SENDGRID_KEY, SIGNING_KEY, new_signing_key
from emulator.secret_manager.server import FAULTS
from tests.end_to_end.callouts import callout_for, make_callout, make_event, new_address
from tests.end_to_end.harness import LOG_TIMEOUT_SECONDS, Harness, Response
from tests.end_to_end.leak_checker import LeakChecker


@pytest.fixture(scope="module")
def uncached(leak_checker: LeakChecker) -> Iterator[Harness]:
    """Start a function that reads each secret for each callout."""
    with Harness(leak_checker, {"SECRET_MAX_AGE_SECONDS": "0"}) as uncached:
        yield uncached


@pytest.fixture
def fresh_harness(leak_checker: LeakChecker) -> Iterator[Harness]:
    """Start a harness for one test, so that the state of its secret cache is known."""
    with Harness(leak_checker) as fresh_harness:
        yield fresh_harness


# Rotation


def test_the_first_callout_after_a_sendgrid_key_rotation_succeeds(fresh_harness: Harness) -> None:
    address = new_address()
    fresh_harness.send(callout_for(new_address()))
    fresh_harness.rotate_sendgrid_key()
    before = fresh_harness.journal.record("test").number
    assert fresh_harness.send(callout_for(address)).body["status"] == "sent"
    assert [entry.data["status"] for entry in fresh_harness.journal.entries(before, "sendgrid.exchange")] == [401, 202]
    assert len(fresh_harness.emails_to(address)) == 1


def test_an_outage_right_after_a_key_rotation_returns_a_retryable_error(fresh_harness: Harness) -> None:
    """A permanent error would lose the notice, although the new key is stored and can soon be read."""
    callout = callout_for(new_address())
    fresh_harness.send(callout_for(new_address()))
    fresh_harness.rotate_sendgrid_key()
    with fresh_harness.secret_manager_faults(replace(FAULTS["unavailable"], count=None)):
        response = fresh_harness.send(callout)
        assert (response.status, response.code) == (503, "secret_unavailable")
    assert fresh_harness.send(callout).body["status"] == "sent"


def test_concurrent_callouts_after_a_sendgrid_key_rotation_succeed(fresh_harness: Harness) -> None:
    fresh_harness.send(callout_for(new_address()))
    fresh_harness.rotate_sendgrid_key()
    addresses = [new_address() for _ in range(10)]
    responses = fresh_harness.send_all(map(callout_for, addresses))
    assert {response.body["status"] for response in responses} == {"sent"}
    assert [len(fresh_harness.emails_to(address)) for address in addresses] == [1] * 10


def test_a_new_signing_key_works_immediately_and_revokes_the_old_one(fresh_harness: Harness) -> None:
    old = fresh_harness.signing_key
    assert fresh_harness.send(callout_for(new_address())).status == 200
    fresh_harness.set_signing_keys(new_signing_key())
    assert fresh_harness.send(callout_for(new_address()), key=old).status == 200  # nothing has triggered a re-read yet
    assert fresh_harness.send(callout_for(new_address())).status == 200
    assert fresh_harness.send(callout_for(new_address()), key=old).status == 401


def test_a_new_signing_key_works_for_concurrent_callouts(fresh_harness: Harness) -> None:
    assert fresh_harness.send(callout_for(new_address())).status == 200
    fresh_harness.set_signing_keys(new_signing_key())
    responses = fresh_harness.send_all(callout_for(new_address()) for _ in range(10))
    assert {response.status for response in responses} == {200}


def test_during_a_signing_key_rotation_both_keys_are_accepted(fresh_harness: Harness) -> None:
    old, new = fresh_harness.signing_key, new_signing_key()
    fresh_harness.set_signing_keys(new, old)
    assert [fresh_harness.send(callout_for(new_address()), key=key).status for key in (old, new)] == [200, 200]


def test_unknown_signatures_trigger_at_most_one_re_read_of_the_keys(fresh_harness: Harness) -> None:
    fresh_harness.send(callout_for(new_address()))
    before = fresh_harness.journal.record("test").number
    responses = fresh_harness.send_all([callout_for(new_address()) for _ in range(10)], key=new_signing_key())
    assert {response.status for response in responses} == {401}
    assert len(fresh_harness.journal.entries(before, "secret_manager.exchange")) == 1


def test_a_malformed_signing_key_next_to_a_valid_one_is_skipped_and_logged(fresh_harness: Harness) -> None:
    fresh_harness.set_signing_keys(fresh_harness.signing_key, "whsec_not+base64+at+all==x", "whsec_c2hvcnQ=")
    assert fresh_harness.send(callout_for(new_address())).status == 200
    for number in (2, 3):
        line = fresh_harness.find_log_line(
            lambda fields, number=number: fields["message"].startswith(f"skipping key {number} of ")  # type: ignore[misc]
        )
        assert line is not None
        assert line.data["fields"]["severity"] == "ERROR"


# Disabled, denied, malformed


@pytest.mark.parametrize("name", [SIGNING_KEY, SENDGRID_KEY])
def test_a_disabled_version_stops_working_when_the_secret_is_next_read(uncached: Harness, name: str) -> None:
    callout = callout_for(new_address())
    assert uncached.send(callout_for(new_address())).status == 200
    uncached.secret_manager.disable(name)
    try:
        response = uncached.send(callout)
    finally:
        uncached.secret_manager.enable(name)
    assert (response.status, response.code) == (503, "secret_unavailable")
    assert uncached.send(callout).body["status"] == "sent"


@pytest.mark.parametrize("name", [SIGNING_KEY, SENDGRID_KEY])
def test_a_revoked_permission_makes_the_secret_unavailable(uncached: Harness, name: str) -> None:
    assert uncached.send(callout_for(new_address())).status == 200
    uncached.secret_manager.deny(name)
    try:
        response = uncached.send(callout_for(new_address()))
    finally:
        uncached.secret_manager.deny(name, denied=False)
    assert (response.status, response.code) == (503, "secret_unavailable")


@pytest.mark.parametrize("value", ["", "SG.short", "Bearer SG.x", "SG." + "x" * 22 + "." + "y" * 44, "ключ"])
def test_a_malformed_sendgrid_key_returns_503_and_is_not_sent(uncached: Harness, value: str) -> None:
    valid_key = uncached.sendgrid_key
    before = uncached.journal.record("test").number
    uncached.secret_manager.put(SENDGRID_KEY, value)
    try:
        response = uncached.send(callout_for(new_address()))
    finally:
        uncached.set_sendgrid_key(valid_key)
    assert (response.status, response.code) == (503, "secret_unavailable")
    assert not uncached.journal.entries(before, "sendgrid.exchange")


def test_whitespace_around_a_key_is_ignored(uncached: Harness) -> None:
    uncached.secret_manager.put(SENDGRID_KEY, f"  {uncached.sendgrid_key}\r\n")
    uncached.secret_manager.put(SIGNING_KEY, f"\t{uncached.signing_key}\n\n")
    assert uncached.send(callout_for(new_address())).body["status"] == "sent"


def test_without_a_valid_signing_key_no_callout_is_accepted(uncached: Harness) -> None:
    valid_key = uncached.signing_key
    uncached.secret_manager.put(SIGNING_KEY, "whsec_c2hvcnQ=")
    try:
        response = uncached.send(callout_for(new_address()))
    finally:
        uncached.set_signing_keys(valid_key)
    assert (response.status, response.code) == (503, "secret_unavailable")


# Outages


OUTAGES = {"unavailable", "hang", "rate limited", "reset", "permission denied", "not found"}


@dataclass(frozen=True)
class Outcome:
    """The responses to a callout during an outage and to its retry, and the total number of emails."""

    response: Response
    retry: Response
    emails: int


@pytest.fixture(scope="module")
def outcomes(leak_checker: LeakChecker) -> Mapping[str, Outcome]:
    """Run all outages concurrently, each against its own function: some take the whole deadline."""
    # Created sequentially: werkzeug compiles routes with `ast`, which isn't thread-safe.
    harnesses = [Harness(leak_checker) for _ in OUTAGES]
    with ThreadPoolExecutor(len(OUTAGES)) as pool:
        return dict(zip(OUTAGES, pool.map(run_outage, OUTAGES, harnesses), strict=True))


def run_outage(name: str, harness: Harness) -> Outcome:
    address = new_address()
    callout = callout_for(address)
    with harness:
        with harness.secret_manager_faults(replace(FAULTS[name], count=None)):
            response = harness.send(callout)
        return Outcome(response, send_with_retries(harness, callout), len(harness.emails_to(address)))


def send_with_retries(harness: Harness, callout: OutgoingCallout) -> Response:
    """Send the callout up to three times, because a hanging read can take longer than the first attempts."""
    response = harness.send(callout)
    for _ in range(2):
        response = response if response.status != 503 else harness.send(callout)
    return response


@pytest.mark.parametrize("name", sorted(OUTAGES))
def test_an_outage_before_the_first_read_returns_503(outcomes: Mapping[str, Outcome], name: str) -> None:
    response = outcomes[name].response
    assert (response.status, response.code) == (503, "secret_unavailable")
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("name", sorted(OUTAGES))
def test_after_the_outage_the_same_callout_sends_one_email(outcomes: Mapping[str, Outcome], name: str) -> None:
    assert outcomes[name].retry.body["status"] == "sent"
    assert outcomes[name].emails == 1


@pytest.mark.parametrize("name", ["unavailable", "hang"])
def test_a_cached_secret_is_served_stale_during_an_outage(leak_checker: LeakChecker, name: str) -> None:
    address = new_address()
    with Harness(leak_checker, {"SECRET_MAX_AGE_SECONDS": "0"}) as harness:
        assert harness.send(callout_for(new_address())).status == 200
        with harness.secret_manager_faults(replace(FAULTS[name], count=None)):
            assert harness.send(callout_for(address)).body["status"] == "sent"
        assert len(harness.emails_to(address)) == 1
        assert harness.find_log_line(
            lambda fields: fields.get("code") == "stale_secret_served" and fields["severity"] == "WARNING"
        )


# Mounted files


def test_mounted_secrets_work_with_a_trailing_newline(leak_checker: LeakChecker, tmp_path: Path) -> None:
    with Harness(leak_checker, mounted=tmp_path) as harness:
        assert (tmp_path / "sendgrid-api-key").read_bytes().endswith(b"\n")
        assert harness.send(callout_for(new_address())).body["status"] == "sent"
        assert not harness.journal.entries(kind="secret_manager")


def test_a_mounted_secret_can_be_rotated(leak_checker: LeakChecker, tmp_path: Path) -> None:
    with Harness(leak_checker, mounted=tmp_path) as harness:
        harness.send(callout_for(new_address()))
        harness.rotate_sendgrid_key()
        harness.set_signing_keys(new_signing_key())
        assert harness.send(callout_for(new_address())).body["status"] == "sent"


def test_a_missing_mounted_secret_returns_503(leak_checker: LeakChecker, tmp_path: Path) -> None:
    with Harness(leak_checker, mounted=tmp_path) as harness:
        (tmp_path / "sendgrid-api-key").unlink()
        response = harness.send(make_callout(make_event(new_address())))
    assert (response.status, response.code) == (503, "secret_unavailable")


# Reads that hang


Hang = Callable[[Harness, Path], AbstractContextManager[None]]


@contextmanager
def hung_mount(_: Harness, folder: Path) -> Iterator[None]:
    """Make reads of the mounted signing key hang: opening a FIFO that nobody writes to blocks."""
    file = folder / "callout-signing-key"
    file.unlink()
    os.mkfifo(file)
    yield
    file.unlink()


@contextmanager
def dribbling_secret_manager(harness: Harness, _: Path) -> Iterator[None]:
    """Make Secret Manager send one byte every half second: no timeout between two bytes ever expires."""
    with harness.secret_manager_faults(Fault("slow", seconds=0.5, count=None)):
        yield


@pytest.mark.parametrize("hang", [hung_mount, dribbling_secret_manager], ids=lambda hang: hang.__name__)
def test_a_key_rotated_while_its_reads_hang_is_never_rejected_and_works_once_they_do(
    leak_checker: LeakChecker, tmp_path: Path, hang: Hang
) -> None:
    callout = callout_for(new_address())
    with Harness(leak_checker, mounted=tmp_path if hang is hung_mount else None) as harness:
        old, new = harness.signing_key, new_signing_key()
        assert harness.send(callout_for(new_address())).status == 200
        with hang(harness, tmp_path):
            responses = [harness.send(callout, key=new) for _ in range(3)]
            assert {(response.status, response.code) for response in responses} == {(503, "secret_unavailable")}
            assert harness.send(callout_for(new_address()), key=old).status == 200
        harness.set_signing_keys(new)
        response = send_until_available(harness, callout)
    assert (response.status, response.body["status"]) == (200, "sent")


def test_a_first_read_that_hangs_is_replaced_by_the_next_callouts(leak_checker: LeakChecker, tmp_path: Path) -> None:
    callout = callout_for(new_address())
    with Harness(leak_checker, mounted=tmp_path) as harness:
        with hung_mount(harness, tmp_path):
            assert harness.send(callout).code == "secret_unavailable"
        harness.set_signing_keys(harness.signing_key)
        assert harness.send(callout).body["status"] == "sent"


def send_until_available(harness: Harness, callout: OutgoingCallout) -> Response:
    """Send the callout until the response isn't a 503."""
    deadline = time.monotonic() + LOG_TIMEOUT_SECONDS * 3
    while (response := harness.send(callout)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    return response
