"""Fixtures for the audit's tests: Auth0's log and SendGrid's log, emulated over HTTP."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from audit import auth0_log, sendgrid_log
from audit.__main__ import main
from audit.log_client import LogClient, Period
from emulator.auth0.tenant_log import TenantLog
from emulator.auth0.tenant_log_api import FakeTenantLog
from emulator.core.journal import Journal
from emulator.sendgrid.email import Email
from emulator.sendgrid.email_log import FAULTS, SCOPE
from emulator.sendgrid.server import FakeSendGrid
from tests.conftest import FakeTime

Json = dict[str, Any]
NOW = datetime.fromisoformat("2026-11-23T12:00:00Z")
START = NOW - timedelta(hours=24)
PERIOD: Period = (START, NOW - timedelta(minutes=15))


@dataclass
class Logs:
    """Both services with their logs, and the variables that name them."""

    auth0: FakeTenantLog
    sendgrid: FakeSendGrid
    time: FakeTime
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def auth0_client(self) -> LogClient:
        return auth0_log.open_log(self.environment, clock=self.time.clock)

    @property
    def sendgrid_client(self) -> LogClient:
        return sendgrid_log.open_log(self.environment, clock=self.time.clock)

    def change(self, at: datetime, address: str = "user@example.com", **fields: Any) -> Json:
        """Log a password change, and return its record."""
        user_id = f"auth0|{address.lower()[:4]}" if address else "auth0|none"
        details = {"title": "Change Password", "body": {}, **({"email": address} if address else {})}
        record = {"type": "scp", "date": at.isoformat(), "user_id": user_id, "details": details}
        names = {"tenant_name": "example-tenant", "connection": "Users", "user_name": address, "strategy": "auth0"}
        return self.auth0.log.add({**record, **names, "ip": "192.0.2.7", **fields})

    def email(
        self, at: datetime, address: str = "user@example.com", outcome: str = "delivered", category: str = ""
    ) -> None:
        """Make SendGrid accept an email; `outcome` is `delivered` or one of its faults after acceptance."""
        if outcome in FAULTS:
            self.sendgrid.log.faults.add(FAULTS[outcome])
        request = {
            "personalizations": [{"to": [{"email": address}]}],
            "from": {"email": "security@example.com"},
            "subject": "Your password was changed",
            "categories": [category or "password-notice"],
        }
        number = len(self.sendgrid.log.records())
        self.sendgrid.log.add(Email(number, f"message-{number:019}", at.timestamp(), request))


@pytest.fixture(scope="session")
def services() -> Iterator[tuple[FakeTenantLog, FakeSendGrid]]:
    with FakeTenantLog(TenantLog(), Journal()) as auth0, FakeSendGrid(Journal()) as sendgrid:
        yield auth0, sendgrid


@pytest.fixture
def logs(services: tuple[FakeTenantLog, FakeSendGrid], time: FakeTime) -> Iterator[Logs]:
    """Return empty logs, at the time NOW."""
    auth0, sendgrid = services
    time.now = NOW.timestamp()
    auth0.log.clock = sendgrid.log.clock = sendgrid._clock = lambda: time.now
    environment = {
        "AUTH0_DOMAIN": auth0.url,
        "AUTH0_TOKEN": auth0.new_token(),
        "SENDGRID_URL": sendgrid.url,
        "SENDGRID_LOGS_KEY": sendgrid.new_key(SCOPE),
    }
    yield Logs(auth0, sendgrid, time, environment)
    auth0.rate_limit = sendgrid.rate_limit = None
    auth0._window = 0
    for faults in (auth0.faults, sendgrid.log_faults, sendgrid.log.faults):
        faults.clear()
    for server in (auth0, sendgrid):
        server.journal.clear()
    auth0.log.clear()
    sendgrid.log.clear()


@dataclass(frozen=True)
class Result:
    status: int
    output: str
    errors: str

    @property
    def json(self) -> Json:
        value: Json = json.loads(self.output)
        return value

    @property
    def statuses(self) -> list[str]:
        return [row["status"] for row in self.json["rows"]]


RunAudit = Callable[..., Result]


@pytest.fixture
def run_audit(logs: Logs, capsys: pytest.CaptureFixture[str]) -> RunAudit:
    """Return a function that runs the audit with these arguments; JSON unless `text`."""

    def run(*arguments: str, text: bool = False) -> Result:
        options = [*arguments, *([] if text else ["--json"])]
        status = main(options, environment=logs.environment, clock=logs.time.clock)
        output, errors = capsys.readouterr()
        return Result(status, output, errors)

    return run
