"""What the tests of the doctor share: a whole deployment, played by the emulator, and a tenant and a DNS beside it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from doctor import callout
from doctor.__main__ import main
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import QUEUE, SENDGRID_KEY, SIGNING_KEY, Emulator
from tests.auth0.management_api import TOKEN, Management

Finding = dict[str, str]
Examine = Callable[..., list[Finding]]
GOOD_DNS = {
    "s1._domainkey.example.com": ["s1.domainkey.u42.wl042.sendgrid.net."],
    "_dmarc.example.com": ['"v=DMARC1; p=reject"'],
}


@dataclass
class Deployment:
    """Everything in order, until a test plants a fault in it; `settings` are what the doctor reads as env.yaml."""

    emulator: Emulator
    tenant: Management
    records: dict[str, list[str]]
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def put_sendgrid_key(self, key: str) -> str:
        self.emulator.secret_manager.put(SENDGRID_KEY, key)
        return key

    def put_signing_key(self, text: str) -> None:
        self.emulator.secret_manager.put(SIGNING_KEY, text)


@pytest.fixture(scope="session")
def running() -> Iterator[Emulator]:
    with Emulator(delivery="queue") as emulator:
        yield emulator


@pytest.fixture
def deployment(running: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """One that has no fault."""
    running.reset()
    monkeypatch.setattr(callout, "QUEUED_PAUSE", 0.02)
    monkeypatch.setattr(callout, "QUEUED_POLLS", 1000)
    assert running.cloud_tasks is not None

    def run(event: dict[str, Any], secrets: dict[str, str]) -> str:
        running.auth0.secrets.update(secrets)
        error = running.auth0.run(event).error
        return str(error["message"]) if error else ""

    with Management(tmp_path, run) as tenant:
        monkeypatch.setenv("AUTH0_DOMAIN", tenant.domain)
        monkeypatch.setenv("AUTH0_TOKEN", TOKEN)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tenant.authority))
        settings = {**running.settings, "TASKS_QUEUE": QUEUE, "CLOUD_TASKS_ENDPOINT": running.cloud_tasks.url}
        made = Deployment(running, tenant, dict(GOOD_DNS), settings, running.function.url)
        tenant.deploy("password-notice", dict(running.auth0.secrets))
        tenant.bind("password-notice")
        yield made
    running.cloud_tasks.paused = False
    running.secret_manager.deny(SENDGRID_KEY, denied=False)


@pytest.fixture
def examine(deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Examine]:
    """Runs the doctor as deploy.sh does, and returns its findings; none of them may show a secret."""

    def run(*checks: str) -> list[Finding]:
        env_yaml = tmp_path / "env.yaml"
        env_yaml.write_text("".join(f'{name}: "{value}"\n' for name, value in deployment.settings.items()), "utf-8")
        words = ["--json", "--deployed", f"--env={env_yaml}", f"--url={deployment.url}", f"--resolver={dns.url}"]
        status = main([*words, *checks])
        said = capsys.readouterr().out
        assert [secret for secret in secrets(deployment) if secret in said] == []
        told = json.loads(said)
        assert told["ok"] == (status == 0) == ("fault" not in {finding["level"] for finding in told["findings"]})
        findings: list[Finding] = told["findings"]
        return findings

    with Server("dns", _dns(deployment.records), Journal()) as dns:
        yield run


def secrets(deployment: Deployment) -> list[str]:
    values = [
        version.data.decode()
        for secret in deployment.emulator.secret_manager.secrets()
        for version in secret.versions
        if version.data
    ]
    return [word for value in [*values, TOKEN] for word in value.split() if len(word) > 12]


def _dns(records: dict[str, list[str]]) -> Flask:
    """DNS over HTTPS, in its JSON form."""
    app = Flask("dns")

    @app.get("/")
    def _resolve() -> Response:
        answers = [{"name": request.args["name"], "data": data} for data in records.get(request.args["name"], [])]
        return jsonify({"Status": 0, **({"Answer": answers} if answers else {})})

    return app
