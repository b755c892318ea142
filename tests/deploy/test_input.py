"""The command line and env.yaml: nothing is dropped, and everything is validated before anything is changed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from deploy import config
from deploy.__main__ import COMMANDS, main
from deploy.deployment import DEPLOYMENT_SETTINGS, SECRET_NAMES, Deployment
from tests.deploy.conftest import ENV_YAML, SENDGRID_KEY, SOURCE
from tests.deploy.fake_gcloud import Cloud
from tests.deploy.inside import Inside


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    return Inside(tmp_path, monkeypatch, capsys)


def rejected(inside: Inside, line: str, *words: str) -> str:
    """Return the output of a command that rejects an env.yaml with one more line, and changes nothing."""
    inside.env_yaml = f"{ENV_YAML}{line}\n"
    outcome = inside.run(Cloud(), *words)
    assert (outcome.status, outcome.gcloud.commands) == (1, [])
    return outcome.output


def test_a_file_that_is_named_after_the_command_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stage.yaml").write_text(f"{ENV_YAML}SERVICE: Stage\n")
    monkeypatch.setenv("CALLED_FROM", str(tmp_path))
    for words in (["deploy", "-e", "stage.yaml"], ["-e", "stage.yaml", "deploy"], ["deploy", "--env=stage.yaml"]):
        assert main(words) == 1
        assert "SERVICE is 'Stage'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["deploy", "production"],
        ["versions", "all"],
        ["setup", "--force"],
        ["--dry-run"],
        ["revert", "one", "two"],
        ["rotate-signing-key", "end"],
        ["secret"],
        ["secret", "-x"],
        ["versions", "--", "--limit=1"],
        ["-e"],
    ],
    ids=" ".join,
)
def test_words_that_a_command_does_not_know_are_rejected(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "usage: ./deploy.sh" in capsys.readouterr().err


def test_the_nearest_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["promot"])
    assert "did you mean promote?" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert "--env FILE" in capsys.readouterr().out


def test_an_unknown_setting_is_rejected_with_the_nearest_one(inside: Inside) -> None:
    assert "ALLOWED_TENANT isn't a setting: did you mean ALLOWED_TENANTS?" in rejected(inside, "ALLOWED_TENANT: acme")
    assert "SHOE_SIZE isn't a setting: remove it" in rejected(inside, "SHOE_SIZE: 43")


@pytest.mark.parametrize(
    "line",
    [
        f'SENDGRID_API_KEY: "{SENDGRID_KEY}"',
        f'SENDGRID_API_KEY_SECRET: "{SENDGRID_KEY}"',
        'CALLOUT_SIGNING_KEY: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="',
        'CALLOUT_SIGNING_KEY_SECRET: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="',
        f'CONTEXT: "time {SENDGRID_KEY}"',
        f'OWN_ADDRESSES: "{SENDGRID_KEY}"',
        f'SERVICE: "{SENDGRID_KEY}"',
    ],
)
def test_a_secrets_value_is_rejected_without_being_shown(inside: Inside, line: str) -> None:
    name, _, value = line.partition(": ")
    output = rejected(inside, line)
    assert f"{name} is a secret's value" in output
    assert not any(word in output for word in re.findall(r"\w{12,}", value.replace(name, "")))


def test_a_syntax_error_is_reported_with_its_line_and_without_its_text(inside: Inside) -> None:
    output = rejected(inside, f'SENDGRID_API_KEY: "{SENDGRID_KEY}')
    assert "line 4 isn't YAML" in output or "line 3 isn't YAML" in output
    assert SENDGRID_KEY not in output


@pytest.mark.parametrize("name", config.DEBUGGERS)
def test_a_debugger_is_rejected(inside: Inside, name: str) -> None:
    assert f"{name} would start a debugger" in rejected(inside, f"{name}: 1")


@pytest.mark.parametrize("name", config.SET_BY_DEPLOY)
def test_what_deploy_sh_sets_is_rejected(inside: Inside, name: str) -> None:
    assert f"{name} is set by deploy.sh" in rejected(inside, f"{name}: https://example.com")


@pytest.mark.parametrize(
    "value", ["projects/demo-proj/secrets/", "projects/demo-proj/secrets/a b", "chat-token", "/", "xoxb-123"]
)
def test_a_malformed_secret_is_rejected_before_anything_is_changed(inside: Inside, value: str) -> None:
    output = rejected(inside, f'CHAT_TOKEN_SECRET: "{value}"')
    assert "CHAT_TOKEN_SECRET isn't the name of a secret" in output
    assert value == "/" or value not in output.replace("projects/P/secrets/S", "")


@pytest.mark.parametrize(("name", "value"), [("SERVICE", "x; rm"), ("REGION", "Belgium")])
def test_what_comes_from_the_environment_is_validated_too(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    output = rejected(inside, "")
    assert f"{name} is {value!r}" in output
    assert f"{name} came from the environment" in output


def test_a_setting_from_the_environment_is_reported(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE", "notice-stage")
    assert "notice-stage-deliver" in inside.run(Cloud(), "plan").output


@pytest.mark.parametrize("name", ["REPLICATION", "INGRESS"])
def test_a_setting_of_the_deployment_has_a_closed_vocabulary(inside: Inside, name: str) -> None:
    assert f"{name} is 'internal'" in rejected(inside, f"{name}: internal")


def test_a_value_may_have_quotation_marks(inside: Inside) -> None:
    inside.env_yaml = f"{ENV_YAML}PRODUCT_NAME: 'The \"Acme\" \\ shop'\n"
    assert '# PRODUCT_NAME: "The \\"Acme\\" \\\\ shop"' in inside.run(Cloud(), "plan").output


@pytest.mark.parametrize(
    "value",
    [
        "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",  # without its padding
        "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= whsec_short",
        "whsec_MDEyMw==",
    ],
)
def test_a_signing_key_that_the_function_would_reject_is_not_stored(inside: Inside, value: str) -> None:
    outcome = inside.run(Cloud(), "secret", "CALLOUT_SIGNING_KEY", given=value)
    assert (outcome.status, outcome.gcloud.changes) == (1, [])
    assert value not in outcome.output


def test_a_secret_keeps_its_project_even_if_the_deployments_project_is_unknown() -> None:
    """As for `python -m doctor`."""
    deployment = Deployment({"SENDGRID_API_KEY_SECRET": "projects/other/secrets/key"})
    environment = deployment.environment(deployment.private, mounted=False)
    assert environment["SENDGRID_API_KEY_SECRET"] == "projects/other/secrets/key/versions/latest"


def test_the_settings_are_those_that_the_function_reads() -> None:
    source = (SOURCE / "settings.py").read_text("utf-8")
    read = set(re.findall(r'(?:get|need|need_queue|require)\(\s*"([A-Za-z_]+)"', source))
    assert read - set(config.SET_BY_DEPLOY) == {
        *config.FUNCTION_NAMES,
        *(f"{name}_SECRET" for name in SECRET_NAMES),
    }


def test_the_example_has_every_setting_of_the_deployment() -> None:
    assert set(DEPLOYMENT_SETTINGS) <= set(config.read(SOURCE / "env.yaml.example"))


def test_an_environment_of_an_older_checkout_is_reported_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ModuleNotFoundError(__name__)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [str(SOURCE / "deploy.sh"), "plan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "PyYAML isn't installed: update .venv with the command make .venv/emulator\n"
