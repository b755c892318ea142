"""The emulator: the function between all emulated services, wired as in production."""

import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import urllib3

from emulator.auth0.action_file import ActionFile
from emulator.auth0.runtime import FakeAuth0
from emulator.auth0.samples import example
from emulator.auth0.tenant_log_api import FakeTenantLog
from emulator.auth0.users import SENDER_DOMAIN
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_run.service import PUBLIC, FakeCloudRun
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.journal import Journal
from emulator.core.source import SourceError
from emulator.fault_toggles import FaultToggles
from emulator.runs.run import Run
from emulator.runs.runs import KEPT_RUNS, Runs
from emulator.secret_manager.key_rotation import SECRET_PREFIX, SENDGRID_KEY, SIGNING_KEY, Keys, new_signing_key
from emulator.secret_manager.mount import SecretMount
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

__all__ = ["SENDGRID_KEY", "SETTINGS", "SIGNING_KEY", "Emulator", "Run", "example", "new_signing_key"]

# The settings that env.yaml defines in production; environment variables override them.
SETTINGS = {
    "SENDER_EMAIL": "security@example.com",
    "SENDER_NAME": "Example",
    "SUPPORT_CONTACT": "help@example.com",
    "THREADS": "20",
}
LOG_TIMEOUT_SECONDS = 5.0

# Every run reads the secrets, so that key rotations and faults in Secret Manager take effect immediately.
NO_SECRET_CACHE = {"SECRET_MAX_AGE_SECONDS": "0"}

Delivery = Literal["direct", "queue"]
QUEUE_NAME = "projects/emulator/locations/europe-west1/queues/password-notice"
# As created by deploy.sh.
QUEUE_CONFIG = {"retryConfig": {"maxAttempts": -1, "minBackoff": "10s", "maxBackoff": "3600s", "maxDoublings": 16}}


def queue_environment(deliver: str, cloud_tasks: str) -> dict[str, str]:
    """Return the public service's settings in queue mode; the arguments are URLs."""
    return {
        "DELIVERY": "queue",
        "TASKS_QUEUE": QUEUE_NAME,
        "DELIVER_URL": deliver,
        "DELIVER_INVOKER": "deliver-invoker@emulator.iam.gserviceaccount.com",
        "CLOUD_TASKS_ENDPOINT": cloud_tasks,
    }


class Emulator:
    """A context manager that starts the function and every emulated service.

    `environment` overrides SETTINGS. With `delivery` "queue", Cloud Tasks and `deliver` are started too. `source` is
    the main.py to run, `action` the file of the forwarder Action. The latest `keep` runs and emails are kept.

    As in env.yaml, the setting SECRETS is mounted (the function reads its secrets from files) or client (from Secret
    Manager), but client by default, so that the reads can be seen and can fail. Raise ValueError for another value.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        delivery: Delivery = "direct",
        source: Path = PROJECT_ROOT / "main.py",
        action: Path = PROJECT_ROOT / "auth0" / "action.js",
        keep: int = KEPT_RUNS,
    ) -> None:
        self.instance = uuid.uuid4().hex  # lets pages detect a restart
        self.run_history = Runs(keep)
        self.journal = self.run_history.journal
        self.secret_manager, self.sendgrid = FakeSecretManager(self.journal), FakeSendGrid(self.journal, keep=keep)
        self.cloud_tasks = FakeCloudTasks(self.journal) if delivery == "queue" else None
        self.action = ActionFile(action, self.journal)
        self.auth0 = FakeAuth0(self.action.path, self.journal, {})
        self.tenant_log = FakeTenantLog(self.auth0.log, Journal())  # requests for the log don't belong to a run
        self.keys = Keys(self.sendgrid, self.secret_manager, self.auth0.secrets)
        self.settings = self._settings(environment or {})
        self.mount = self._mount(self.settings.pop("SECRETS") or "client")
        self.services = list(self._services(delivery, source))
        self.function = self.services[-1]
        self.fault_toggles = self._fault_toggles()
        self._auth0_key = self.sendgrid.new_key("mail.send")
        self._executions, self._is_exclusive, self._changed = 0, False, threading.Condition()
        self._stack = ExitStack()

    @property
    def runs(self) -> list[Run]:
        """Return the runs that are kept, oldest first."""
        return self.run_history.all()

    @property
    def parts(self) -> list[AbstractContextManager[object]]:
        """Return everything that has to be started, in order."""
        optional = [part for part in (self.mount, self.cloud_tasks) if part]
        fakes = [self.secret_manager, self.sendgrid, *optional]
        return [*fakes, *self.services, self.action, self.auth0, self.tenant_log]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for part in self.parts:
                stack.enter_context(part)
            self._initialize()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, event: Mapping[str, Any]) -> Run:
        """Run the forwarder Action with `event`, as Auth0 does after a password change.

        As in Auth0, executions can overlap. Raise ValueError or TypeError if the event can't be encoded as JSON.
        """
        with self._execution():
            self.refresh()
            run, execution_id = self.run_history.start(event)
            self.journal.record("run.started", number=run.number)
            try:
                run.end(self.auth0.run(event, execution_id))
            except (ValueError, TypeError):
                self.run_history.delete(run.number)
                raise
            run.await_log(LOG_TIMEOUT_SECONDS)
            self.journal.record("run.ended", number=run.number, status=run.execution.status, waiting=run.is_pending)
            return run

    def send_auth0_email(self, body: Mapping[str, Any]) -> bool:
        """Send one of Auth0's own emails, unaffected by faults, and return whether SendGrid accepted it."""
        headers = {"Authorization": f"Bearer {self._auth0_key}", "Content-Type": "application/json"}
        with self.undisturbed():
            url = f"{self.sendgrid.url}/v3/mail/send"
            content = json.dumps(body).encode()
            return urllib3.request("POST", url, body=content, headers=headers, timeout=20).status == 202

    def refresh(self) -> None:
        """Apply edits to the source files."""
        self.action.refresh()
        for service in self.services:
            service.refresh()

    def source_errors(self) -> list[SourceError]:
        """Return the errors that keep edited files from being used."""
        errors = [*(service.source_error for service in self.services), self.action.source_error]
        return [error for error in errors if error]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Suspend all faults while no execution is in progress, for requests that the emulator itself makes."""
        with self._without_executions(), self.fault_toggles.suspended():
            yield

    @contextmanager
    def _execution(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_exclusive)
            self._executions += 1
        try:
            yield
        finally:
            with self._changed:
                self._executions -= 1
                self._changed.notify_all()

    @contextmanager
    def _without_executions(self) -> Iterator[None]:
        """Wait until all executions have ended, each after 22 seconds at most, and block new ones."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_exclusive and not self._executions)
            self._is_exclusive = True
        try:
            yield
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()

    def reset(self) -> None:
        """Restore the initial state, with new keys, and without runs, emails, faults, and the user's own secrets."""
        with self._without_executions():
            self.fault_toggles.reset()
            if self.cloud_tasks:
                self.cloud_tasks.clear()
            self.sendgrid.reset()
            self.secret_manager.clear()
            self.run_history.reset()
            self.auth0.log.clear()
            self.journal.clear()
            self._initialize()
            self.journal.record("emulator.reset")

    def _services(self, delivery: Delivery, source: Path) -> Iterator[FakeCloudRun]:
        """Yield `deliver`, in queue mode, and then the function that Auth0 calls."""

        def service(target: str, **settings: str) -> FakeCloudRun:
            environment = {**self.settings, **settings, **self._mounted_secrets()}
            return FakeCloudRun(self.journal, environment, keys=self.keys, target=target, source=source)

        if self.cloud_tasks is None:
            yield service(PUBLIC, DELIVERY=delivery)  # the function itself rejects an invalid value
            return
        deliver = service("deliver")
        yield deliver
        yield service(PUBLIC, **queue_environment(deliver.url, self.cloud_tasks.url))

    def _settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        defaults = {**SETTINGS, **NO_SECRET_CACHE, "SECRETS": "client"}
        return {
            **{name: os.environ.get(name, value) for name, value in defaults.items()},
            "GOOGLE_CLOUD_PROJECT": "emulator",  # log lines then include the trace of their request
            "SENDGRID_API_KEY_SECRET": SENDGRID_KEY,
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SENDGRID_URL": self.sendgrid.url,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **environment,
        }

    def _mount(self, secrets: str) -> SecretMount | None:
        if secrets not in ("client", "mounted"):
            raise ValueError(f"SECRETS must be client or mounted, not {secrets!r}")
        return SecretMount(self.secret_manager) if secrets == "mounted" else None

    def _mounted_secrets(self) -> dict[str, str]:
        """Return the settings whose value is a secret's name, with the mounted file's path as their value."""
        if self.mount is None:
            return {}
        named = {
            name: value
            for name, value in {**os.environ, **self.settings}.items()
            if name.endswith("_SECRET") and value.startswith(SECRET_PREFIX) and "/versions/" not in value
        }
        return {name: self.mount.path(value) for name, value in named.items()}

    def _fault_toggles(self) -> FaultToggles:
        # Mounted files don't fail.
        secrets = {} if self.mount else {"Secret Manager": self.secret_manager.faults}
        queue = {"Cloud Tasks": self.cloud_tasks.faults} if self.cloud_tasks else {}
        parts = {
            "SendGrid": self.sendgrid.faults,
            "Delivery": self.sendgrid.log.faults,
            **secrets,
            "Callout": self.function.callout_faults,
            "Function": self.function.faults,
            **queue,
            "Auth0's log": self.tenant_log.faults,
            "SendGrid's log": self.sendgrid.log_faults,
        }
        return FaultToggles(self.journal, parts)

    def _initialize(self) -> None:
        """Do the one-time setup of production: the queue, the verified senders, the function's URL, and the keys."""
        if self.cloud_tasks:
            self.cloud_tasks.create_queue(QUEUE_NAME, QUEUE_CONFIG)
        self.sendgrid.verify(self.settings["SENDER_EMAIL"], SENDER_DOMAIN)
        self.auth0.secrets["FUNCTION_URL"] = self.function.url
        self.keys.initialize()
