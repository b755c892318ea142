"""The real audit, run as a process against the emulator's logs of Auth0 and SendGrid."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import Emulator
from emulator.sendgrid.email_log import SCOPE

TIMEOUT_SECONDS = 120.0
UNTIL_NOW = "--until=0h"  # the emulator's logs don't lag


class AuditError(Exception):
    """The audit failed; the message is the audit's own if it printed one."""


class Audit:
    """Runs the audit, with an Auth0 token and a SendGrid key that can only read the logs."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._token, self._key = emulator.tenant_log.new_token(), emulator.sendgrid.new_key(SCOPE)

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that the audit reads; the last two are for --send."""
        return {
            "AUTH0_DOMAIN": self._emulator.tenant_log.url,
            "AUTH0_TOKEN": self._token,
            "SENDGRID_URL": self._emulator.sendgrid.url,
            "SENDGRID_LOGS_KEY": self._key,
            "FUNCTION_URL": self._emulator.function.url,
            "CALLOUT_SIGNING_KEY": self._emulator.keys.signing_key,
        }

    @property
    def command(self) -> str:
        """Return the command line for a POSIX shell in the project's folder."""
        python = Path(sys.executable)
        if python.is_relative_to(PROJECT_ROOT):
            python = python.relative_to(PROJECT_ROOT)
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " \\\n  ".join((*assignments, f"{shlex.quote(str(python))} -m audit {UNTIL_NOW}"))

    def run(self, *, send: bool = False, log_id: str = "") -> Mapping[str, Any]:
        """Run the audit of the last 24 hours, or of one change, and return its JSON. Raise AuditError."""
        period = self._period_of(log_id) if log_id else (UNTIL_NOW,)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTH0_")}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "audit", *period, "--json", *(["--send"] if send else [])],
                env={**inherited, **self.variables},
                cwd=PROJECT_ROOT,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AuditError(f"the audit took longer than {TIMEOUT_SECONDS:.0f} s") from None
        if done.returncode not in (0, 1) or not done.stdout:
            raise AuditError(done.stderr.strip())
        report: Mapping[str, Any] = json.loads(done.stdout)
        return {**report, "exit_status": done.returncode}

    def _period_of(self, log_id: str) -> tuple[str, str]:
        """Return the options for a period with only this change."""
        dates = {record["log_id"]: record["date"] for _, record in self._emulator.auth0.log.dated()}
        if log_id not in dates:
            raise AuditError(f"the log has no change {log_id}")
        end = datetime.fromisoformat(dates[log_id]) + timedelta(milliseconds=1)
        return f"--since={dates[log_id]}", f"--until={end.isoformat()}"
