"""How the function starts, and how it refuses to."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import settings
from doctor.env_file import OWN
from emulator.cloud_run.process import SOURCE, FunctionError, FunctionProcess
from emulator.core.journal import Journal
from emulator.emulator import SETTINGS
from tests.end_to_end.callouts import new_address, notice_to
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

EXAMPLE = dict(re.findall(r'^([A-Z_]+): "(.*)"$', (SOURCE / "env.yaml.example").read_text("utf-8"), re.MULTILINE))
GOOD = {
    **SETTINGS,
    "SENDGRID_API_KEY_SECRET": "projects/p/secrets/sendgrid-api-key",
    "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/callout-signing-key",
}
# The example, with what deploy.sh adds for a side.
DIRECT = {**EXAMPLE, **{name: GOOD[name] for name in GOOD if name.endswith("_SECRET")}, "DELIVERY": "direct"}
QUEUE = {
    **DIRECT,
    "DELIVERY": "queue",
    "TASKS_QUEUE": "projects/p/locations/l/queues/q",
    "DELIVER_URL": "https://deliver.example.com",
    "DELIVER_INVOKER": "invoker@example.com",
}
NOT_IN_ENV_YAML = {
    "SECRET_MANAGER_ENDPOINT",  # the emulator's
    "CLOUD_TASKS_ENDPOINT",  # the emulator's
    "FUNCTION_TARGET",  # the host says it
    "TASKS_QUEUE",  # deploy.sh knows it
    "DELIVER_URL",
    "DELIVER_INVOKER",
    "REQUESTS_CA_BUNDLE",  # what a network may ask for, as everywhere
    "HTTPS_PROXY",
    "NO_PROXY",
}


def refusal(environment: Mapping[str, str]) -> tuple[int, list[dict[str, str]]]:
    """The exit status of a start that has to fail, and the lines it said."""
    framework = Path(sys.executable).with_name("functions-framework")
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [framework, "--target=on_execute_post_change_password", "--port=0"],
        env={**bare, **environment},
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]


def test_a_missing_and_a_wrong_setting_are_told_together_each_with_its_fix() -> None:
    status, lines = refusal({**GOOD, "SUPPORT_CONTACT": "", "SECRET_MAX_AGE_SECONDS": "soon"})
    assert status != 0
    assert {line["setting"]: line["severity"] for line in lines} == {
        "SUPPORT_CONTACT": "CRITICAL",
        "SECRET_MAX_AGE_SECONDS": "CRITICAL",
    }
    told = {line["setting"]: line["message"] for line in lines}
    assert "is missing: set it to an e-mail address" in told["SUPPORT_CONTACT"]
    assert "use 0 to 86400" in told["SECRET_MAX_AGE_SECONDS"]


def test_without_any_setting_all_that_are_required_are_told() -> None:
    status, lines = refusal({})
    assert status != 0
    assert {line["setting"] for line in lines} == {
        "SENDER_EMAIL",
        "SUPPORT_CONTACT",
        "SENDGRID_API_KEY_SECRET",
        "CALLOUT_SIGNING_KEY_SECRET",
    }


def test_the_queue_alone_is_not_enough() -> None:
    status, lines = refusal({**GOOD, "DELIVERY": "queue"})
    assert status != 0
    assert lines
    assert {line["severity"] for line in lines} == {"CRITICAL"}


def test_a_secret_itself_in_place_of_its_name_is_refused_and_not_repeated() -> None:
    key = "SG." + "a1" * 11 + "." + "b2c" * 14 + "d"
    status, lines = refusal({**GOOD, "SENDGRID_API_KEY_SECRET": key})
    assert status != 0
    assert key not in json.dumps(lines)


def test_the_emulators_function_tells_why_it_did_not_start() -> None:
    with (
        pytest.raises(FunctionError, match="SENDER_EMAIL"),
        FunctionProcess(Journal(), {**GOOD, "SENDER_EMAIL": "nobody"}),
    ):
        pass


def test_it_starts_by_hand_with_the_example_settings_and_mounted_secrets(witness: LeakChecker, tmp_path: Path) -> None:
    ours = {name: value for name, value in EXAMPLE.items() if not name.endswith("_SECRET") and name != "SENDGRID_URL"}
    with Harness(witness, {**ours, "DELIVERY": "direct"}, mounted=tmp_path) as stage:
        assert stage.send(notice_to(new_address())).body["status"] == "sent"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells of processes so")
def test_a_worker_keeps_to_one_processor(witness: LeakChecker) -> None:
    with Harness(witness) as stage:
        stage.send(notice_to(new_address()))
        assert stage.function.process is not None
        master = stage.function.process.pid
        worker = Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]
        status = dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE))
    assert re.fullmatch(r"\d+", status["Cpus_allowed_list"])


def test_every_name_of_the_example_is_read_and_every_name_that_is_read_is_in_the_example() -> None:
    asked: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)

    settings.load(Environment(DIRECT))
    settings.load(Environment(QUEUE))
    assert {name for name in asked if name.isupper()} - NOT_IN_ENV_YAML == EXAMPLE.keys() - OWN.keys()


@pytest.mark.parametrize("environment", [DIRECT, QUEUE], ids=["direct", "queue"])
def test_the_examples_values_are_good_as_they_stand(environment: dict[str, str]) -> None:
    assert settings.load(environment).threads == int(EXAMPLE["THREADS"])
