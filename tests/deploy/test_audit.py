"""./deploy.sh audit: it runs the audit with what the deployment knows."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import programs
from tests.deploy.conftest import ENV_YAML
from tests.deploy.fake_gcloud import Cloud
from tests.deploy.inside import Inside
from tests.deploy.test_reads import deployed

FOUND = ("FUNCTION_URL", "CALLOUT_SIGNING_KEY", "SENDGRID_URL")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return `inside` and, once the audit has run, its command and environment. The audit's exit status is 1."""
    found: dict[str, Any] = {"inside": Inside(tmp_path, monkeypatch, capsys)}

    def run(command: list[str], env: dict[str, str], **_: Any) -> SimpleNamespace:
        found.update(command=command, env=env)
        return SimpleNamespace(returncode=1)

    for name in FOUND:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.setattr(programs, "subprocess", SimpleNamespace(run=run))
    found["inside"].env_yaml = f'{ENV_YAML}SENDGRID_URL: "https://api.eu.sendgrid.com"\n'
    return found


def test_it_passes_the_options_on_and_returns_the_exit_status(started: dict[str, Any]) -> None:
    outcome = started["inside"].run(Cloud(), "audit", "--since", "7d", "--until=1h", "--json")
    assert outcome.status == 1
    assert started["command"] == [sys.executable, "-m", "audit", "--since=7d", "--until=1h", "--json"]
    assert started["env"]["SENDGRID_URL"] == "https://api.eu.sendgrid.com"
    assert "FUNCTION_URL" not in started["env"]


def test_to_send_it_finds_the_function_and_its_key(started: dict[str, Any]) -> None:
    cloud = deployed(started["inside"])
    started["inside"].run(cloud, "audit", "--send")
    [key] = cloud.secrets["callout-signing-key"]
    assert started["command"][3:] == ["--since=24h", "--send"]
    assert started["env"]["CALLOUT_SIGNING_KEY"] == key
    assert started["env"]["FUNCTION_URL"].startswith("https://password-notice-")


def test_a_variable_takes_precedence(started: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOUND:
        monkeypatch.setenv(name, f"https://{name.lower()}.example")
    started["inside"].run(Cloud(), "audit", "--send")
    assert {name: started["env"][name] for name in FOUND} == {name: f"https://{name.lower()}.example" for name in FOUND}


def test_to_send_the_function_must_be_deployed(started: dict[str, Any]) -> None:
    outcome = started["inside"].run(Cloud(), "audit", "--send")
    assert (outcome.status, "command" in started) == (2, False)
    assert "password-notice isn't deployed: ./deploy.sh" in outcome.output


@pytest.mark.parametrize(("delivery", "words"), [("queue", ["--send"]), ("queue", []), ("direct", ["--send"])])
def test_nothing_is_sent_while_notices_wait_in_the_queue(
    started: dict[str, Any], delivery: str, words: list[str]
) -> None:
    started["inside"].env_yaml += f"DELIVERY: {delivery}\n"
    cloud = deployed(started["inside"])
    cloud.tasks.append("0123-on_execute_post_change_password")
    outcome = started["inside"].run(cloud, "audit", *words)
    if delivery == "queue" and words:
        assert (outcome.status, "command" in started) == (2, False)
        assert "the queue still contains notices, which would count as missing and be sent twice" in outcome.output
        assert "gcloud tasks list --queue=password-notice --location=" in outcome.output
    else:
        assert (outcome.status, "command" in started) == (1, True)


def test_an_unknown_option_is_rejected(started: dict[str, Any]) -> None:
    with pytest.raises(SystemExit) as raised:
        started["inside"].run(Cloud(), "audit", "--sned")
    assert raised.value.code == 2
