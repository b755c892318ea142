"""Rotate both keys without losing a notice."""

import os
from pathlib import Path

import pytest

from tests.deploy.conftest import SENDGRID_KEY, SOURCE, Bench

NEW_KEY = f"SG.{'c' * 22}.{'d' * 43}"
SIGNING, MAIL = "callout-signing-key", "sendgrid-api-key"


def test_a_new_signing_key_is_added_to_the_old_one(bench: Bench) -> None:
    """The new one comes first, because an Action that has both signs with the first."""
    bench.set_up()
    [old] = bench.cloud.secrets[SIGNING]
    done = bench("rotate-signing-key")
    new, kept = bench.cloud.secrets[SIGNING][-1].split("\n")
    assert (kept, new != old) == (old, True)
    assert "gcloud secrets versions access latest --secret=callout-signing-key" in done.stderr


def test_a_rotation_in_progress_is_not_started_again(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("rotate-signing-key")
    assert bench.succeed("rotate-signing-key") == []


def test_finishing_a_rotation_keeps_only_the_new_key(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("rotate-signing-key")
    new = bench.cloud.secrets[SIGNING][-1].split("\n")[0]
    bench.succeed("rotate-signing-key", "finish")
    assert bench.cloud.secrets[SIGNING] == ["", "", new]


def test_the_old_signing_key_stays_while_the_queue_has_tasks(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("rotate-signing-key")
    bench.cloud.tasks = ["a-notice"]
    assert "the queue still contains notices" in bench.fail("rotate-signing-key", "finish")


def test_the_old_signing_key_stays_if_the_queue_cannot_be_read(bench: Bench) -> None:
    bench.set_up()
    bench.succeed("rotate-signing-key")
    bench.gcloud.failures["tasks list"] = "PERMISSION_DENIED"
    assert "can't read the current state: gcloud tasks list" in bench.fail("rotate-signing-key", "finish")


def test_there_is_nothing_to_finish_without_a_rotation(bench: Bench) -> None:
    bench.set_up()
    assert "no rotation is in progress" in bench.fail("rotate-signing-key", "finish")


@pytest.fixture
def checked(bench: Bench, tmp_path: Path) -> Path:
    """Replace the doctor's check of a new key: it exits with the status in the returned file."""
    result, program = tmp_path / "result", tmp_path / "python"
    real = SOURCE / ".venv" / "bin" / "python"
    program.write_text(
        "#!/usr/bin/env bash\n"
        f'[[ $2 != doctor ]] || {{ cat >"{result}.key" && exit "$(cat "{result}")"; }}\n'
        f'exec "{real}" "$@"\n'
    )
    program.chmod(0o755)
    bench.variables["PYTHON"] = str(program)
    assert os.access(program, os.X_OK)
    return result


def test_a_new_sendgrid_key_is_checked_before_it_is_stored(bench: Bench, checked: Path) -> None:
    bench.set_up()
    checked.write_text("1")
    assert "nothing was stored" in bench.fail("rotate-sendgrid-key", given=NEW_KEY)
    checked.write_text("0")
    done = bench("rotate-sendgrid-key", given=f"{NEW_KEY}\n")
    assert checked.with_name("result.key").read_text() == NEW_KEY
    assert bench.cloud.secrets[MAIL] == [SENDGRID_KEY, NEW_KEY]
    assert "Delete the old key in SendGrid" in done.stderr


def test_finishing_a_sendgrid_rotation_disables_the_old_versions(bench: Bench, checked: Path) -> None:
    bench.set_up()
    checked.write_text("0")
    bench.succeed("rotate-sendgrid-key", given=NEW_KEY)
    bench.succeed("rotate-sendgrid-key", "finish")
    assert bench.cloud.secrets[MAIL] == ["", NEW_KEY]
    assert bench.succeed("rotate-sendgrid-key", "finish") == []
