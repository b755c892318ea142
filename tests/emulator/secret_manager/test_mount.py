"""The function with mounted secrets, as `deploy.sh` deploys it by default."""

from collections.abc import Iterator

import pytest

from emulator.emulator import SENDGRID_KEY, Emulator, example
from emulator.runs.run import Run


@pytest.fixture(scope="module")
def running_emulator() -> Iterator[Emulator]:
    with Emulator({"SECRETS": "mounted"}) as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: Emulator) -> Emulator:
    running_emulator.reset()
    return running_emulator


def codes(run: Run) -> list[object]:
    return [entry.data["fields"].get("code") for entry in run.entries if entry.kind == "function.log"]


def test_secrets_are_read_from_files_without_secret_manager(emulator: Emulator) -> None:
    run = emulator.run(example())
    assert run.execution.status == "success"
    assert not [entry for entry in run.entries if entry.kind.startswith("secret_manager")]


def test_rotated_keys_are_used_in_the_next_run(emulator: Emulator) -> None:
    emulator.keys.rotate_sendgrid_key()
    emulator.keys.rotate_signing_key()
    emulator.keys.retire_signing_key()
    run = emulator.run(example())
    assert run.execution.status == "success"
    assert len(run.emails) == 1


def test_a_sendgrid_key_that_is_rotated_during_a_run_is_read_again(emulator: Emulator) -> None:
    emulator.fault_toggles.turn_on("Callout", "SendGrid key rotates")
    assert emulator.run(example()).execution.status == "success"


def test_a_disabled_version_cant_be_read_until_it_is_enabled(emulator: Emulator) -> None:
    emulator.secret_manager.disable(SENDGRID_KEY)
    failed = emulator.run(example())
    emulator.secret_manager.enable(SENDGRID_KEY)
    assert "secret_unavailable" in codes(failed)
    assert emulator.run(example()).execution.status == "success"


def test_faults_of_secret_manager_are_not_offered(emulator: Emulator) -> None:
    assert "Secret Manager" not in {toggle.part for toggle in emulator.fault_toggles.all()}
