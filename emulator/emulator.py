"""The emulator: all the outside parts and the function between them, wired as in production."""

import base64
import json
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from types import TracebackType
from typing import Any, Self

from emulator.auth0 import Auth0, Execution
from emulator.function import SOURCE, Function
from emulator.journal import Entry, Journal
from emulator.secret_manager import SecretManager
from emulator.sendgrid import SendGrid

EVENTS = Path(__file__).parent / "events"
SENDGRID_KEY = "projects/emulator/secrets/sendgrid-api-key"  # a secret's name, not a secret
SIGNING_KEY = "projects/emulator/secrets/callout-signing-key"

# What env.yaml says in production; a variable of the same name in the environment goes before.
SETTINGS = {
    "SENDER_EMAIL": "security@example.com",
    "SENDER_NAME": "Example",
    "SUPPORT_CONTACT": "help@example.com",
    "THREADS": "20",
}


@dataclass(frozen=True)
class Run:
    """One event on its way through all the parts: how it ended, and what happened meanwhile."""

    number: int
    event: Mapping[str, Any]
    execution: Execution
    entries: tuple[Entry, ...]

    @property
    def mails(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == "sendgrid.mail"]


class Emulator:
    """A context manager: inside, everything listens. `environment` are settings of the function beside SETTINGS."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.journal = Journal()
        self.secret_manager = SecretManager(self.journal)
        self.sendgrid = SendGrid(self.journal)
        self.function = Function(self.journal, self._settings(environment or {}))
        self.auth0 = Auth0(SOURCE / "tenant" / "code.js", self.journal, {})
        self.runs: list[Run] = []
        self._one_at_a_time = threading.Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in (self.secret_manager, self.sendgrid, self.function, self.auth0):
                stack.enter_context(part)
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, event: Mapping[str, Any]) -> Run:
        """Let a password be changed: Auth0 runs the Action with `event`.

        One at a time, so that the entries between its start and its end are its own.
        """
        with self._one_at_a_time:
            entries = self.journal.entries()
            before = entries[-1].number if entries else 0
            execution = self.auth0.run(event)
            run = Run(len(self.runs) + 1, event, execution, tuple(self.journal.entries(after=before)))
            self.runs.append(run)
            return run

    def _settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        chosen = {name: os.environ.get(name, value) for name, value in SETTINGS.items()}
        return {
            **chosen,
            "SENDGRID_API_KEY_SECRET": SENDGRID_KEY,
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SENDGRID_URL": self.sendgrid.url,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **environment,
        }

    def _fill(self) -> None:
        """What a person sets up once: a verified sender, a key in Secret Manager, the signing key on both sides."""
        signing_key = new_signing_key()
        self.sendgrid.verify(self._settings({})["SENDER_EMAIL"])
        self.secret_manager.put(SENDGRID_KEY, self.sendgrid.new_key("mail.send"))
        self.secret_manager.put(SIGNING_KEY, signing_key)
        self.auth0.secrets.update({"FUNCTION_URL": self.function.url, "CALLOUT_SIGNING_KEY": signing_key})


def new_signing_key() -> str:
    """A key of the Standard Webhooks form, of 32 random bytes."""
    return "whsec_" + base64.b64encode(token_bytes(32)).decode()


def example(name: str = "auth0-default-sample") -> dict[str, Any]:
    """An example event, by its file's name. Raises FileNotFoundError."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return event
