"""Tests of the forwarder (auth0/action.js) on a real Node, against the function."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from emulator.auth0.runtime import FakeAuth0
from emulator.cloud_run.process import PROJECT_ROOT, free_port
from emulator.emulator import example, new_signing_key
from emulator.secret_manager.server import FAULTS
from tests.end_to_end.callouts import make_event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

SENDER = "security@example.com"
MAX_LOG_CHARACTERS = 256  # what Auth0 keeps of an execution's output


@pytest.fixture(scope="module")
def auth0(harness: Harness) -> Iterator[FakeAuth0]:
    with FakeAuth0(PROJECT_ROOT / "auth0" / "action.js", harness.journal, {}) as auth0:
        yield auth0


@pytest.fixture(autouse=True)
def _secrets(auth0: FakeAuth0, harness: Harness) -> None:
    auth0.secrets.update({"FUNCTION_URL": harness.function.url, "CALLOUT_SIGNING_KEY": harness.signing_key})


def last_log(harness: Harness) -> str:
    return str(harness.journal.entries(kind="auth0.log")[-1].data["type"])


def test_a_changed_password_sends_an_email_and_auth0_logs_the_change(
    harness: Harness, auth0: FakeAuth0, leak_checker: LeakChecker
) -> None:
    address = new_address()
    leak_checker.forbid_address(address)
    execution = auth0.run(make_event(address))
    assert (execution.status, execution.logs, last_log(harness)) == ("success", (), "scp")
    assert len(harness.emails_to(address)) == 1


@pytest.mark.parametrize("name", ["minimal", "no-email", "full", "unusual-but-legal", "auth0-default-sample"])
def test_the_forwarder_succeeds_with_every_sample_event(auth0: FakeAuth0, name: str) -> None:
    assert auth0.run(example(name)).status == "success"


def test_a_permanent_error_fails_the_execution_without_a_retry(
    harness: Harness, auth0: FakeAuth0, leak_checker: LeakChecker
) -> None:
    address = new_address()
    leak_checker.forbid_address(address)
    harness.sendgrid.unverify(SENDER)
    try:
        execution = auth0.run(make_event(address))
    finally:
        harness.sendgrid.verify(SENDER)
    assert (execution.status, last_log(harness)) == ("action_error", "actions_execution_failed")
    assert len(execution.fetches) == 1
    assert execution.logs[-1]["text"].startswith(f"Error sending email to {address}: 502 mail_rejected: ")
    assert len(execution.kept) <= MAX_LOG_CHARACTERS


@pytest.fixture(scope="module")
def uncached(leak_checker: LeakChecker) -> Iterator[Harness]:
    """Start a function that reads its secrets for each callout, so that a denied read returns 503 immediately."""
    with Harness(leak_checker, {"SECRET_MAX_AGE_SECONDS": "0"}) as uncached:
        yield uncached


def test_a_retryable_error_is_retried_with_the_same_id_and_body(uncached: Harness, auth0: FakeAuth0) -> None:
    address = new_address()
    auth0.secrets.update({"FUNCTION_URL": uncached.function.url, "CALLOUT_SIGNING_KEY": uncached.signing_key})
    with uncached.secret_manager_faults(FAULTS["permission denied"]):
        execution = auth0.run(make_event(address))
    first, second = execution.fetches
    assert execution.status == "success"
    assert [first["status"], second["status"]] == [503, 200]
    assert first["body"] == second["body"]
    assert dict(first["headers"])["webhook-id"] == dict(second["headers"])["webhook-id"]
    assert len(uncached.emails_to(address)) == 1


def test_a_persistent_outage_fails_the_execution_after_two_attempts(
    harness: Harness, uncached: Harness, auth0: FakeAuth0
) -> None:
    address = new_address()
    auth0.secrets.update({"FUNCTION_URL": uncached.function.url, "CALLOUT_SIGNING_KEY": uncached.signing_key})
    with uncached.secret_manager_faults(replace(FAULTS["permission denied"], count=2)):
        execution = auth0.run(make_event(address))
    assert [fetch["status"] for fetch in execution.fetches] == [503, 503]
    assert execution.logs[-1]["text"].startswith(f"Error sending email to {address}: 503 secret_unavailable: ")
    assert last_log(harness) == "actions_execution_failed"
    assert not uncached.emails_to(address)


def test_a_wrong_signing_key_in_the_tenant_fails_the_execution(harness: Harness, auth0: FakeAuth0) -> None:
    auth0.secrets["CALLOUT_SIGNING_KEY"] = new_signing_key()
    execution = auth0.run(make_event(new_address()))
    assert [fetch["status"] for fetch in execution.fetches] == [401]
    assert "401 invalid_signature" in execution.logs[-1]["text"]
    assert last_log(harness) == "actions_execution_failed"


def test_an_unreachable_function_fails_the_execution_after_two_attempts(harness: Harness, auth0: FakeAuth0) -> None:
    auth0.secrets["FUNCTION_URL"] = f"http://127.0.0.1:{free_port()}"
    execution = auth0.run(make_event(new_address()))
    assert [fetch["status"] for fetch in execution.fetches] == [0, 0]
    assert "can't reach the function: ECONNREFUSED" in execution.logs[-1]["text"]
