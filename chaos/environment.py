"""The world of a fault run: the stand-ins, the function behind its front, and the keys that both sides have."""

import time
from contextlib import AbstractContextManager, ExitStack
from typing import Literal, Self

from chaos.instance import Instance
from chaos.recorder import Recorder
from emulator.auth0.runtime import FakeAuth0
from emulator.cloud_run.process import SOURCE
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.emulator import QUEUE, RETRY, SENDGRID_KEY, SETTINGS, SIGNING_KEY, new_signing_key, queued
from emulator.secret_manager.server import FakeSecretManager
from emulator.sendgrid.server import FakeSendGrid

Mode = Literal["direct", "queue"]

THREADS = "80"
SPEED = 60.0  # of Cloud Tasks' time: its hour is a minute
MAX_AGE_SECONDS = 1  # of a secret, so that it is read often
KEYS_KEPT = {"direct": 2, "queue": 100}  # in queue mode an old key stays until the queue holds nothing that it signed


class Environment:
    """A context manager. `signing_key` is the one that callouts are signed with now."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self.ledger = Recorder()
        self.secret_manager, self.sendgrid = FakeSecretManager(self.ledger), FakeSendGrid(self.ledger)
        self.cloud_tasks = FakeCloudTasks(self.ledger, speed=SPEED, threads=int(THREADS))
        self.cloud_tasks.create_queue(QUEUE, RETRY)
        self._signing_keys = [new_signing_key()]
        self.sendgrid_key = ""
        both = {
            "THREADS": THREADS,
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            "SECRET_MAX_AGE_SECONDS": str(MAX_AGE_SECONDS),
        }
        mail = {**SETTINGS, **both, "SENDGRID_API_KEY_SECRET": SENDGRID_KEY, "SENDGRID_URL": self.sendgrid.url}
        self.deliver = Instance(self.ledger, mail, "deliver") if mode == "queue" else None
        side = {**both, **queued(self.deliver.url, self.cloud_tasks.url)} if self.deliver else mail
        self.public = Instance(self.ledger, side, "on_execute_post_change_password")
        self.auth0 = FakeAuth0(SOURCE / "auth0" / "action.js", self.ledger, {"FUNCTION_URL": self.public.url})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.sendgrid.verify(SETTINGS["SENDER_EMAIL"])
        self.rotate_sendgrid_key()
        self._put_signing_keys()
        self.use_newest_signing_key()
        outside: list[AbstractContextManager[object]] = [self.secret_manager, self.sendgrid, self.cloud_tasks]
        inside = [self.deliver, self.public] if self.deliver else [self.public]
        with ExitStack() as stack:
            for part in (*outside, *inside, self.auth0):
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def newest_signing_key(self) -> str:
        return self._signing_keys[0]

    def rotate_sendgrid_key(self) -> None:
        """The old key is revoked at once: whoever still has it meets SendGrid's 401."""
        old, self.sendgrid_key = self.sendgrid_key, self.sendgrid.new_key()
        self.secret_manager.put(SENDGRID_KEY, self.sendgrid_key)
        self.sendgrid.revoke(old)

    def rotate_signing_key(self) -> None:
        """The function's side of it: the new one beside the old."""
        self._signing_keys = [new_signing_key(), *self._signing_keys][: KEYS_KEPT[self.mode]]
        self._put_signing_keys()

    def use_newest_signing_key(self) -> None:
        """The tenant's side of it."""
        self.signing_key = self.newest_signing_key
        self.auth0.secrets["CALLOUT_SIGNING_KEY"] = self.signing_key

    def finish(self, seconds: float) -> bool:
        """Let Cloud Tasks send all that it has; False where something is left."""
        for part in (self.sendgrid, self.secret_manager, self.cloud_tasks):
            part.faults.clear()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.cloud_tasks.run_now()
            if self.cloud_tasks.wait_until_empty(1):
                return True
        return False

    def _put_signing_keys(self) -> None:
        self.secret_manager.put(SIGNING_KEY, "\n".join(self._signing_keys))
