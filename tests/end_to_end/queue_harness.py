"""The queue's stage: the public function, Cloud Tasks and `deliver`, each a part of its own, over real HTTP."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import SOURCE, FunctionProcess
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.faults import Fault
from emulator.emulator import QUEUE, RETRY, SENDGRID_KEY, SETTINGS, SIGNING_KEY, queued
from tests.end_to_end.harness import LINE_SECONDS, Answer, Harness, having
from tests.end_to_end.leak_checker import LeakChecker

SPEED = 50.0  # ten seconds of Cloud Tasks' are a fifth of a real one
DONE_SECONDS = 60.0
DELIVER_SECONDS = 60.0  # what Cloud Tasks waits for an answer
# What Cloud Tasks adds to a request, and anybody else can.
CLAIMS = {"X-CloudTasks-QueueName": "password-notice", "X-CloudTasks-TaskName": "1", "Authorization": "Bearer x"}


class QueueStage(Harness):
    """A context manager. `function` is the public side, which has no setting of the mail at all."""

    def __init__(
        self, witness: LeakChecker, environment: Mapping[str, str] | None = None, *, source: Path = SOURCE / "main.py"
    ) -> None:
        super().__init__(witness)
        self.cloud_tasks = FakeCloudTasks(self.journal, speed=SPEED)
        self.cloud_tasks.create_queue(QUEUE, RETRY)
        both = {
            "THREADS": "32",
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **(environment or {}),
        }
        mail = {**SETTINGS, "SENDGRID_API_KEY_SECRET": SENDGRID_KEY, "SENDGRID_URL": self.sendgrid.url}
        self.deliver = FunctionProcess(self.journal, {**mail, **both}, target="deliver", source=source)
        self.public_environment = {**queued(self.deliver.url, self.cloud_tasks.url), **both}
        self.function = FunctionProcess(self.journal, self.public_environment, source=source)
        self.outside.append(self.cloud_tasks)
        self.functions = [self.deliver, self.function]

    def finish(self) -> None:
        """Return when Cloud Tasks has no task any more."""
        assert self.cloud_tasks.wait_until_empty(DONE_SECONDS), "tasks are left"

    def attempts(self, callout: OutgoingCallout, action: str = "") -> list[int]:
        """The status of each answer that the tasks of this callout got, or the one of this Action; 0: none came."""
        task = f"{callout.idempotency_key}-{action}"
        entries = self.journal.entries(kind="cloud_tasks.attempt")
        return [entry.data["status"] for entry in entries if entry.data["task"].startswith(task)]

    def wait_for_attempts(self, callout: OutgoingCallout, count: int) -> list[int]:
        """Return when its tasks have had that many answers."""
        until(lambda: len(self.attempts(callout)) >= count)
        return self.attempts(callout)

    def dispatch(
        self,
        callout: OutgoingCallout,
        path: str,
        *,
        to: FunctionProcess | None = None,
        key: str = "",
        at: float | None = None,
    ) -> Answer:
        """What a request straight to `deliver`, or to another function, gets, with all that a stranger could add."""
        self._forbid_address(callout.body)
        headers = {**callout.headers(key or self.signing_key, at), **CLAIMS}
        connection = HTTPConnection("127.0.0.1", (to or self.deliver).port, timeout=DELIVER_SECONDS)
        try:
            connection.request("POST", path, callout.body, headers)
            return self._answer(connection.getresponse())
        finally:
            connection.close()

    @contextmanager
    def another(self) -> Iterator[FunctionProcess]:
        """A second instance of the public side."""
        function = FunctionProcess(self.journal, self.public_environment)
        self._witness.listen(function.url, function.said)
        with function:
            yield function

    def tasks_fault(self, *faults: Fault) -> AbstractContextManager[None]:
        """Cloud Tasks has them next, where tasks are made; those that are left at the end are cleared."""
        return having(self.cloud_tasks.faults, faults)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Cloud Tasks takes tasks and sends none."""
        self.cloud_tasks.paused = True
        try:
            yield
        finally:
            self.cloud_tasks.paused = False


def until(holds: Callable[[], Any]) -> None:
    """Return when it holds; what it looks at changes outside of this process, and tells nobody."""
    ends = time.monotonic() + LINE_SECONDS * 3
    while not holds():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.01)
