"""The real audit, run as a process against the emulator's logs of Auth0 and SendGrid."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.cloud_run.process import PROJECT_ROOT
from emulator.emulator import Emulator
from emulator.sendgrid.email_log import SCOPE

TIMEOUT_SECONDS = 120.0
UNTIL_NOW = "--until=0h"  # the emulator's logs don't lag


class AuditError(Exception):
    """The audit couldn't read a log completely; the message is its own."""


class Audit:
    """Runs the audit, with a token and a key of its own, which can only read the logs."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._token, self._key = emulator.tenant_log.new_token(), emulator.sendgrid.new_key(SCOPE)

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that the audit reads."""
        return {
            "AUTH0_DOMAIN": self._emulator.tenant_log.url,
            "AUTH0_TOKEN": self._token,
            "SENDGRID_URL": self._emulator.sendgrid.url,
            "SENDGRID_LOGS_KEY": self._key,
        }

    @property
    def command(self) -> str:
        """Return the command line for a POSIX shell in the project's folder."""
        python = Path(sys.executable)
        if python.is_relative_to(PROJECT_ROOT):
            python = python.relative_to(PROJECT_ROOT)
        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " \\\n  ".join((*assignments, f"{shlex.quote(str(python))} -m audit {UNTIL_NOW}"))

    def run(self, *, send: bool = False) -> Mapping[str, Any]:
        """Run the audit of the last 24 hours, and return its JSON. Raise AuditError."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTH0_")}
        sending = {"FUNCTION_URL": self._emulator.function.url, "CALLOUT_SIGNING_KEY": self._emulator.keys.signing_key}
        done = subprocess.run(
            [sys.executable, "-m", "audit", UNTIL_NOW, "--json", *(["--send"] if send else [])],
            env={**inherited, **self.variables, **(sending if send else {})},
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode not in (0, 1) or not done.stdout:
            raise AuditError(done.stderr.strip())
        found: Mapping[str, Any] = json.loads(done.stdout)
        return {**found, "exit_status": done.returncode}
