"""The environment of a chaos run: the emulated services, the function behind its front end, and the keys."""

import time
from contextlib import AbstractContextManager, ExitStack
from typing import Literal, Self

from chaos.instance import Instance
from chaos.recorder import Recorder
from emulator.auth0.runtime import FakeAuth0
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.emulator import (
    QUEUE_CONFIG,
    QUEUE_NAME,
    SENDGRID_KEY,
    SETTINGS,
    SIGNING_KEY,
    new_signing_key,
    queue_environment,
)
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

Mode = Literal["direct", "queue"]

THREADS = "80"
QUEUE_SPEED = 60.0  # Cloud Tasks runs 60 times as fast: one hour takes one minute
SECRET_MAX_AGE_SECONDS = 1  # short, so that secrets are read often
KEPT_SIGNING_KEYS = {"direct": 2, "queue": 100}  # in queue mode, enough for tasks signed before a rotation


class Environment:
    """Context manager that runs the environment. `signing_key` is the key that currently signs callouts."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self.recorder = Recorder()
        self.secret_manager, self.sendgrid = FakeSecretManager(self.recorder), FakeSendGrid(self.recorder)
        self.cloud_tasks = FakeCloudTasks(self.recorder, speed=QUEUE_SPEED, threads=int(THREADS))
        self.cloud_tasks.create_queue(QUEUE_NAME, QUEUE_CONFIG)
        self._signing_keys = [new_signing_key()]
        self.sendgrid_key = ""
        common = {
            "THREADS": THREADS,
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            "SECRET_MAX_AGE_SECONDS": str(SECRET_MAX_AGE_SECONDS),
        }
        sender = {**SETTINGS, **common, "SENDGRID_API_KEY_SECRET": SENDGRID_KEY, "SENDGRID_URL": self.sendgrid.url}
        self.deliver = Instance(self.recorder, sender, "deliver") if mode == "queue" else None
        public = {**common, **queue_environment(self.deliver.url, self.cloud_tasks.url)} if self.deliver else sender
        self.public = Instance(self.recorder, public, "on_execute_post_change_password")
        self.auth0 = FakeAuth0(PROJECT_ROOT / "auth0" / "action.js", self.recorder, {"FUNCTION_URL": self.public.url})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.sendgrid.verify(SETTINGS["SENDER_EMAIL"])
        self.rotate_sendgrid_key()
        self._put_signing_keys()
        self.use_newest_signing_key()
        services: list[AbstractContextManager[object]] = [self.secret_manager, self.sendgrid, self.cloud_tasks]
        instances = [self.deliver, self.public] if self.deliver else [self.public]
        with ExitStack() as stack:
            for part in (*services, *instances, self.auth0):
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def newest_signing_key(self) -> str:
        return self._signing_keys[0]

    def rotate_sendgrid_key(self) -> None:
        """Store a new SendGrid key and revoke the old one immediately, so that using it returns 401."""
        old, self.sendgrid_key = self.sendgrid_key, self.sendgrid.new_key()
        self.secret_manager.put(SENDGRID_KEY, self.sendgrid_key)
        self.sendgrid.revoke(old)

    def rotate_signing_key(self) -> None:
        """Add a new signing key to the function's secret, in addition to the previous ones."""
        self._signing_keys = [new_signing_key(), *self._signing_keys][: KEPT_SIGNING_KEYS[self.mode]]
        self._put_signing_keys()

    def use_newest_signing_key(self) -> None:
        """Make the tenant sign with the newest key."""
        self.signing_key = self.newest_signing_key
        self.auth0.secrets["CALLOUT_SIGNING_KEY"] = self.signing_key

    def finish(self, seconds: float) -> bool:
        """Clear all faults and run the queue until it's empty. Return False if tasks are left after `seconds`."""
        for service in (self.sendgrid, self.secret_manager, self.cloud_tasks):
            service.faults.clear()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.cloud_tasks.run_now()
            if self.cloud_tasks.wait_until_empty(1):
                return True
        return False

    def _put_signing_keys(self) -> None:
        self.secret_manager.put(SIGNING_KEY, "\n".join(self._signing_keys))
