"""Tests of the function's startup, with valid and with invalid settings."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import settings
from deploy.deployment import DEPLOYMENT_SETTINGS
from emulator.cloud_run.process import PROJECT_ROOT, FunctionError, FunctionProcess
from emulator.core.journal import Journal
from emulator.emulator import SETTINGS
from tests.end_to_end.callouts import callout_for, new_address
from tests.end_to_end.harness import Harness
from tests.end_to_end.leak_checker import LeakChecker

EXAMPLE = dict(re.findall(r'^([A-Z_]+): "(.*)"$', (PROJECT_ROOT / "env.yaml.example").read_text("utf-8"), re.MULTILINE))
VALID = {
    **SETTINGS,
    "SENDGRID_API_KEY_SECRET": "projects/p/secrets/sendgrid-api-key",
    "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/callout-signing-key",
}
# The example, with what deploy.sh adds for each service.
DIRECT = {**EXAMPLE, **{name: VALID[name] for name in VALID if name.endswith("_SECRET")}, "DELIVERY": "direct"}
QUEUE = {
    **DIRECT,
    "DELIVERY": "queue",
    "TASKS_QUEUE": "projects/p/locations/l/queues/q",
    "DELIVER_URL": "https://deliver.example.com",
    "DELIVER_INVOKER": "invoker@example.com",
}
NOT_IN_ENV_YAML = {
    "SECRET_MANAGER_ENDPOINT",  # for the emulator
    "CLOUD_TASKS_ENDPOINT",  # for the emulator
    "FUNCTION_TARGET",  # set by Cloud Run
    "TASKS_QUEUE",  # set by deploy.sh
    "DELIVER_URL",
    "DELIVER_INVOKER",
    "REQUESTS_CA_BUNDLE",  # standard variables, needed in some networks
    "HTTPS_PROXY",
    "NO_PROXY",
}


def failed_start(environment: Mapping[str, str]) -> tuple[int, list[dict[str, str]]]:
    """Start the function with settings that must be rejected; return the exit status and the log lines."""
    framework = Path(sys.executable).with_name("functions-framework")
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    result = subprocess.run(
        [framework, "--target=on_execute_post_change_password", "--port=0"],
        env={**inherited, **environment},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, [json.loads(line) for line in (result.stdout + result.stderr).splitlines()]


def test_missing_and_invalid_settings_are_reported_together_each_with_its_fix() -> None:
    status, lines = failed_start({**VALID, "SUPPORT_CONTACT": "", "SECRET_MAX_AGE_SECONDS": "soon"})
    assert status != 0
    assert {line["setting"]: line["severity"] for line in lines} == {
        "SUPPORT_CONTACT": "CRITICAL",
        "SECRET_MAX_AGE_SECONDS": "CRITICAL",
    }
    messages = {line["setting"]: line["message"] for line in lines}
    assert "is missing: set it to the email address" in messages["SUPPORT_CONTACT"]
    assert "use a number from 0 to 86400" in messages["SECRET_MAX_AGE_SECONDS"]


def test_without_settings_every_required_one_is_reported() -> None:
    status, lines = failed_start({})
    assert status != 0
    assert {line["setting"] for line in lines} == {
        "SENDER_EMAIL",
        "SUPPORT_CONTACT",
        "SENDGRID_API_KEY_SECRET",
        "CALLOUT_SIGNING_KEY_SECRET",
    }


def test_queue_mode_without_its_settings_does_not_start() -> None:
    status, lines = failed_start({**VALID, "DELIVERY": "queue"})
    assert status != 0
    assert lines
    assert {line["severity"] for line in lines} == {"CRITICAL"}


def test_a_secret_value_in_place_of_its_name_is_rejected_and_not_printed() -> None:
    key = "SG." + "a1" * 11 + "." + "b2c" * 14 + "d"
    status, lines = failed_start({**VALID, "SENDGRID_API_KEY_SECRET": key})
    assert status != 0
    assert key not in json.dumps(lines)


def test_the_emulators_function_process_reports_why_it_did_not_start() -> None:
    with (
        pytest.raises(FunctionError, match="SENDER_EMAIL"),
        FunctionProcess(Journal(), {**VALID, "SENDER_EMAIL": "invalid"}),
    ):
        pass


def test_it_starts_with_the_example_settings_and_mounted_secrets(leak_checker: LeakChecker, tmp_path: Path) -> None:
    example = {
        name: value for name, value in EXAMPLE.items() if not name.endswith("_SECRET") and name != "SENDGRID_URL"
    }
    with Harness(leak_checker, {**example, "DELIVERY": "direct"}, mounted=tmp_path) as harness:
        assert harness.send(callout_for(new_address())).body["status"] == "sent"


def test_the_example_lists_exactly_the_settings_that_are_read() -> None:
    read: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.add(name)
            return super().get(name, default)

    settings.load(Environment(DIRECT))
    settings.load(Environment(QUEUE))
    assert {name for name in read if name.isupper()} - NOT_IN_ENV_YAML == EXAMPLE.keys() - DEPLOYMENT_SETTINGS.keys()


@pytest.mark.parametrize("environment", [DIRECT, QUEUE], ids=["direct", "queue"])
def test_the_examples_values_are_valid(environment: dict[str, str]) -> None:
    assert settings.load(environment).threads == int(EXAMPLE["THREADS"])
