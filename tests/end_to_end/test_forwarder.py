"""The tenant's own action.js, on a real Node, against the function."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from emulator.auth0.runtime import FakeAuth0
from emulator.cloud_run.process import SOURCE, free_port
from emulator.emulator import example, new_signing_key
from emulator.secret_manager.server import FAULTS
from tests.end_to_end.callouts import event, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

SENDER = "security@example.com"
KEPT = 256  # characters of an execution's output that Auth0 keeps


@pytest.fixture(scope="module")
def auth0(stage: Harness) -> Iterator[FakeAuth0]:
    with FakeAuth0(SOURCE / "auth0" / "action.js", stage.journal, {}) as auth0:
        yield auth0


@pytest.fixture(autouse=True)
def _secrets(auth0: FakeAuth0, stage: Harness) -> None:
    auth0.secrets.update({"FUNCTION_URL": stage.function.url, "CALLOUT_SIGNING_KEY": stage.signing_key})


def last_log(stage: Harness) -> str:
    return str(stage.journal.entries(kind="auth0.log")[-1].data["type"])


def test_a_changed_password_becomes_a_mail_and_auth0_logs_the_change(
    stage: Harness, auth0: FakeAuth0, witness: LeakChecker
) -> None:
    address = new_address()
    witness.forbid_address(address)
    execution = auth0.run(event(address))
    assert (execution.status, execution.logs, last_log(stage)) == ("success", (), "scp")
    assert len(stage.mails(address)) == 1


@pytest.mark.parametrize("name", ["minimal", "no-email", "full", "unusual-but-legal", "auth0-default-sample"])
def test_the_action_succeeds_with_every_example(auth0: FakeAuth0, name: str) -> None:
    assert auth0.run(example(name)).status == "success"


def test_what_a_person_has_to_repair_fails_the_execution_at_once(
    stage: Harness, auth0: FakeAuth0, witness: LeakChecker
) -> None:
    address = new_address()
    witness.forbid_address(address)
    stage.sendgrid.unverify(SENDER)
    try:
        execution = auth0.run(event(address))
    finally:
        stage.sendgrid.verify(SENDER)
    assert (execution.status, last_log(stage)) == ("action_error", "actions_execution_failed")
    assert len(execution.fetches) == 1
    assert execution.logs[-1]["text"].startswith(f"Error sending email to {address}: 502 mail_rejected: ")
    assert len(execution.kept) <= KEPT


@pytest.fixture(scope="module")
def eager(witness: LeakChecker) -> Iterator[Harness]:
    """Reads its secrets for each callout: one that it may not read makes it answer 503 at once."""
    with Harness(witness, {"SECRET_MAX_AGE_SECONDS": "0"}) as eager:
        yield eager


def test_a_function_that_asks_to_wait_is_asked_again_with_the_same_id_and_bytes(
    eager: Harness, auth0: FakeAuth0
) -> None:
    address = new_address()
    auth0.secrets.update({"FUNCTION_URL": eager.function.url, "CALLOUT_SIGNING_KEY": eager.signing_key})
    with eager.secret_fault(FAULTS["permission denied"]):
        execution = auth0.run(event(address))
    first, second = execution.fetches
    assert execution.status == "success"
    assert [first["status"], second["status"]] == [503, 200]
    assert first["body"] == second["body"]
    assert dict(first["headers"])["webhook-id"] == dict(second["headers"])["webhook-id"]
    assert len(eager.mails(address)) == 1


def test_what_stays_away_fails_the_execution_after_two_attempts(
    stage: Harness, eager: Harness, auth0: FakeAuth0
) -> None:
    address = new_address()
    auth0.secrets.update({"FUNCTION_URL": eager.function.url, "CALLOUT_SIGNING_KEY": eager.signing_key})
    with eager.secret_fault(replace(FAULTS["permission denied"], count=2)):
        execution = auth0.run(event(address))
    assert [fetch["status"] for fetch in execution.fetches] == [503, 503]
    assert execution.logs[-1]["text"].startswith(f"Error sending email to {address}: 503 secret_unavailable: ")
    assert last_log(stage) == "actions_execution_failed"
    assert not eager.mails(address)


def test_a_wrong_signing_key_in_the_tenant_fails_the_execution(stage: Harness, auth0: FakeAuth0) -> None:
    auth0.secrets["CALLOUT_SIGNING_KEY"] = new_signing_key()
    execution = auth0.run(event(new_address()))
    assert [fetch["status"] for fetch in execution.fetches] == [401]
    assert "401 invalid_signature" in execution.logs[-1]["text"]
    assert last_log(stage) == "actions_execution_failed"


def test_a_function_that_is_not_there_fails_the_execution_after_two_attempts(stage: Harness, auth0: FakeAuth0) -> None:
    auth0.secrets["FUNCTION_URL"] = f"http://127.0.0.1:{free_port()}"
    execution = auth0.run(event(new_address()))
    assert [fetch["status"] for fetch in execution.fetches] == [0, 0]
    assert "cannot reach the function: ECONNREFUSED" in execution.logs[-1]["text"]
