"""The emulator: all the outside parts and the function between them, wired as in production."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from emulator.auth0.action_file import ActionFile
from emulator.auth0.runtime import FakeAuth0
from emulator.auth0.samples import example
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_run.service import PUBLIC, FakeCloudRun
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.journal import Journal
from emulator.core.source import SourceError
from emulator.fault_toggles import FaultToggles
from emulator.runs.run import Run
from emulator.secret_manager.key_rotation import SENDGRID_KEY, SIGNING_KEY, Keys, new_signing_key
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

__all__ = ["SENDGRID_KEY", "SETTINGS", "SIGNING_KEY", "Emulator", "Run", "example", "new_signing_key"]

AUTH0_SENDER = "auth0.example"  # from where the tenant sends its own mails

# What env.yaml says in production; a variable of the same name in the environment goes before.
SETTINGS = {
    "SENDER_EMAIL": "security@example.com",
    "SENDER_NAME": "Example",
    "SUPPORT_CONTACT": "help@example.com",
    "THREADS": "20",
}
LOG_TIMEOUT_SECONDS = 0.2

# Here each run reads the secrets, so that a rotation, or a Secret Manager that is broken on purpose, shows at once.
NO_SECRET_CACHE = {"SECRET_MAX_AGE_SECONDS": "0"}

Delivery = Literal["direct", "queue"]
QUEUE_NAME = "projects/emulator/locations/europe-west1/queues/password-notice"
# As deploy.sh makes it.
QUEUE_CONFIG = {"retryConfig": {"maxAttempts": -1, "minBackoff": "10s", "maxBackoff": "3600s", "maxDoublings": 16}}


def queue_environment(deliver: str, cloud_tasks: str) -> dict[str, str]:
    """The public side's settings where it hands over to Cloud Tasks; the arguments are addresses."""
    return {
        "DELIVERY": "queue",
        "TASKS_QUEUE": QUEUE_NAME,
        "DELIVER_URL": deliver,
        "DELIVER_INVOKER": "deliver-invoker@emulator.iam.gserviceaccount.com",
        "CLOUD_TASKS_ENDPOINT": cloud_tasks,
    }


class Emulator:
    """A context manager: inside, everything listens. `environment` are settings of the function beside SETTINGS;
    with `delivery` "queue" Cloud Tasks and `deliver` stand behind it; `source` is the main.py to serve, `action` the
    code of the Action."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        delivery: Delivery = "direct",
        source: Path = PROJECT_ROOT / "main.py",
        action: Path = PROJECT_ROOT / "auth0" / "action.js",
    ) -> None:
        self.journal = Journal()
        self.secret_manager, self.sendgrid = FakeSecretManager(self.journal), FakeSendGrid(self.journal)
        self.cloud_tasks = FakeCloudTasks(self.journal) if delivery == "queue" else None
        self.action = ActionFile(action, self.journal)
        self.auth0 = FakeAuth0(self.action.path, self.journal, {})
        self.keys = Keys(self.sendgrid, self.secret_manager, self.auth0.secrets)
        self.settings = self._settings(environment or {})
        self.services = list(self._services(delivery, source))
        self.function = self.services[-1]
        self.fault_toggles = self._switches()
        self.runs: list[Run] = []
        self._one_at_a_time = threading.RLock()
        self._stack = ExitStack()

    @property
    def parts(self) -> list[AbstractContextManager[object]]:
        """Everything that has to be started, in order."""
        queue = [self.cloud_tasks] if self.cloud_tasks else []
        return [self.secret_manager, self.sendgrid, *queue, *self.services, self.action, self.auth0]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part)
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, event: Mapping[str, Any]) -> Run:
        """Let a password be changed: Auth0 runs the Action with `event`.

        One at a time, so that the entries between its start and its end are its own.
        """
        with self._one_at_a_time:
            self.refresh()
            first = self._last_entry()
            execution = self.auth0.run(event)
            run = Run(len(self.runs) + 1, event, execution, self.journal, first, self._last_entry())
            run.await_log(LOG_TIMEOUT_SECONDS)
            self.runs.append(run)
            self.journal.record("run.ended", number=run.number, status=execution.status, waiting=run.is_pending)
            return run

    def refresh(self) -> None:
        """Serve what was edited."""
        self.action.refresh()
        for service in self.services:
            service.refresh()

    def source_errors(self) -> list[SourceError]:
        """Why an edit is not used, if so."""
        faults = [*(service.source_error for service in self.services), self.action.source_error]
        return [fault for fault in faults if fault]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Inside, no run goes on and nothing is broken: for what the page itself needs of the parts."""
        with self._one_at_a_time, self.fault_toggles.suspended():
            yield

    def reset(self) -> None:
        """As after the start, but for the numbers: no run, no mail, nothing broken, new keys."""
        with self._one_at_a_time:
            self.fault_toggles.reset()
            if self.cloud_tasks:
                self.cloud_tasks.clear()
            self.sendgrid.clear()
            self.sendgrid.credits = self.sendgrid.rate_limit = None
            self.runs.clear()
            self.journal.clear()
            self._fill()

    def _last_entry(self) -> int:
        entries = self.journal.entries()
        return entries[-1].number if entries else 0

    def _services(self, delivery: Delivery, source: Path) -> Iterator[FakeCloudRun]:
        """`deliver`, where there is a queue, then the function that Auth0 calls."""

        def service(target: str, **settings: str) -> FakeCloudRun:
            environment = {**self.settings, **settings}
            return FakeCloudRun(self.journal, environment, keys=self.keys, target=target, source=source)

        if self.cloud_tasks is None:
            yield service(PUBLIC, DELIVERY=delivery)  # what is neither, the function refuses, with the fix
            return
        deliver = service("deliver")
        yield deliver
        yield service(PUBLIC, **queue_environment(deliver.url, self.cloud_tasks.url))

    def _settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        chosen = {name: os.environ.get(name, value) for name, value in {**SETTINGS, **NO_SECRET_CACHE}.items()}
        return {
            **chosen,
            "SENDGRID_API_KEY_SECRET": SENDGRID_KEY,
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SENDGRID_URL": self.sendgrid.url,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **environment,
        }

    def _switches(self) -> FaultToggles:
        parts = {
            "SendGrid": self.sendgrid.faults,
            "Secret Manager": self.secret_manager.faults,
            "Callout": self.function.callout_faults,
            "Function": self.function.faults,
        }
        queue = {"Cloud Tasks": self.cloud_tasks.faults} if self.cloud_tasks else {}
        return FaultToggles(self.journal, parts | queue)

    def _fill(self) -> None:
        """What a person sets up once: a verified sender, the keys on both sides, the queue."""
        if self.cloud_tasks:
            self.cloud_tasks.create_queue(QUEUE_NAME, QUEUE_CONFIG)
        self.sendgrid.verify(self.settings["SENDER_EMAIL"], AUTH0_SENDER)
        self.auth0.secrets["FUNCTION_URL"] = self.function.url
        self.keys.initialize()
