"""Fixtures for the doctor's tests: an emulated deployment, a fake Management API, and a fake DNS resolver."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from doctor import callout, dns
from doctor.__main__ import main
from emulator.core.journal import Journal
from emulator.core.server import Server
from emulator.emulator import QUEUE_NAME, SENDGRID_KEY, SIGNING_KEY, Emulator
from emulator.sendgrid.email_log import SCOPE
from tests.auth0.management_api import CLIENT_SECRET, TENANT_DOMAIN, TOKEN, FakeManagementApi

Finding = dict[str, str]
RunDoctor = Callable[..., list[Finding]]
VALID_DNS = {
    "s1._domainkey.example.com": ["s1.domainkey.u42.wl042.sendgrid.net."],
    "_dmarc.example.com": ['"v=DMARC1; p=reject"'],
}


@dataclass
class Deployment:
    """A healthy deployment that a test can break; `settings` are what the doctor reads as env.yaml."""

    emulator: Emulator
    tenant: FakeManagementApi
    records: dict[str, list[str]]
    patch: pytest.MonkeyPatch
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def action(self) -> dict[str, Any]:
        return self.tenant.actions[0]

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
    """Return a healthy deployment."""
    running.reset()
    monkeypatch.setattr(callout, "TASK_POLL_SECONDS", 0.02)
    monkeypatch.setattr(callout, "MAX_TASK_POLLS", 1000)
    assert running.cloud_tasks is not None

    def run(event: dict[str, Any], secrets: dict[str, str]) -> str:
        running.auth0.secrets.update(secrets)
        error = running.auth0.run(event).error
        return str(error["message"]) if error else ""

    with FakeManagementApi(tmp_path, run) as tenant:
        _resolve_to_loopback(monkeypatch, TENANT_DOMAIN)
        monkeypatch.setenv("AUTH0_DOMAIN", tenant.domain.replace("localhost", TENANT_DOMAIN))
        monkeypatch.setenv("AUTH0_TOKEN", TOKEN)
        for name in ("AUTH0_ACTION", "AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SENDGRID_LOGS_KEY", running.sendgrid.new_key(SCOPE))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tenant.ca_certificate))
        settings = {**running.settings, "TASKS_QUEUE": QUEUE_NAME, "CLOUD_TASKS_ENDPOINT": running.cloud_tasks.url}
        healthy = Deployment(running, tenant, dict(VALID_DNS), monkeypatch, settings, running.function.url)
        tenant.deploy("password-notice", dict(running.auth0.secrets))
        tenant.bind("password-notice")
        yield healthy
    running.cloud_tasks.paused = False
    running.secret_manager.deny(SENDGRID_KEY, denied=False)


@pytest.fixture
def run_doctor(deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[RunDoctor]:
    """Run the doctor as deploy.sh does, check that its output contains no secret, and return its findings."""

    def run(*checks: str) -> list[Finding]:
        env_yaml = tmp_path / "env.yaml"
        env_yaml.write_text("".join(f'{name}: "{value}"\n' for name, value in deployment.settings.items()), "utf-8")
        options = ["--json", "--deployed", f"--env={env_yaml}", f"--url={deployment.url}"]
        status = main([*options, *checks])
        output = capsys.readouterr().out
        assert [secret for secret in secrets(deployment) if secret in output] == []
        report = json.loads(output)
        assert report["ok"] == (status == 0) == ("error" not in {finding["level"] for finding in report["findings"]})
        findings: list[Finding] = report["findings"]
        return findings

    with Server("dns", _create_dns_app(deployment.records), Journal()) as server:
        deployment.patch.setattr(dns, "RESOLVER", server.url)
        yield run


def _resolve_to_loopback(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    resolve = socket.getaddrinfo

    def patched(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == name else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", patched)


def secrets(deployment: Deployment) -> list[str]:
    values = [
        version.data.decode()
        for secret in deployment.emulator.secret_manager.secrets()
        for version in secret.versions
        if version.data
    ]
    return [
        part
        for value in [*values, TOKEN, CLIENT_SECRET, os.environ["SENDGRID_LOGS_KEY"]]
        for part in value.split()
        if len(part) > 12
    ]


def _create_dns_app(records: dict[str, list[str]]) -> Flask:
    """Return an app that serves DNS over HTTPS (JSON API)."""
    app = Flask("dns")

    @app.get("/")
    def _resolve() -> Response:
        answers = [{"name": request.args["name"], "data": data} for data in records.get(request.args["name"], [])]
        return jsonify({"Status": 0, **({"Answer": answers} if answers else {})})

    return app
