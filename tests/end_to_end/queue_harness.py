"""The queue-mode test harness: the public function, a fake Cloud Tasks, and `deliver`, over real HTTP."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from auth0.callout import OutgoingCallout
from emulator.cloud_run.process import PROJECT_ROOT, FunctionProcess
from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.core.faults import Fault
from emulator.emulator import QUEUE_CONFIG, QUEUE_NAME, SENDGRID_KEY, SETTINGS, SIGNING_KEY, queue_environment
from tests.end_to_end.harness import LOG_TIMEOUT_SECONDS, Harness, Response, injected
from tests.end_to_end.leak_checker import LeakChecker

SPEED = 50.0  # Cloud Tasks time runs 50 times faster: its 10 s backoff takes 0.2 s
DRAIN_TIMEOUT_SECONDS = 60.0
DELIVER_TIMEOUT_SECONDS = 60.0  # the tasks' dispatch deadline
# Cloud Tasks sends these headers, but so can anyone else: they prove nothing.
CLOUD_TASKS_HEADERS = {
    "X-CloudTasks-QueueName": "password-notice",
    "X-CloudTasks-TaskName": "1",
    "Authorization": "Bearer x",
}


class QueueHarness(Harness):
    """A harness for queue mode; `function` is the public service, which has no email settings."""

    def __init__(
        self,
        leak_checker: LeakChecker,
        environment: Mapping[str, str] | None = None,
        *,
        source: Path = PROJECT_ROOT / "main.py",
    ) -> None:
        super().__init__(leak_checker)
        self.cloud_tasks = FakeCloudTasks(self.journal, speed=SPEED)
        self.cloud_tasks.create_queue(QUEUE_NAME, QUEUE_CONFIG)
        shared = {
            "THREADS": "32",
            "CALLOUT_SIGNING_KEY_SECRET": SIGNING_KEY,
            "SECRET_MANAGER_ENDPOINT": self.secret_manager.url,
            **(environment or {}),
        }
        email_settings = {**SETTINGS, "SENDGRID_API_KEY_SECRET": SENDGRID_KEY, "SENDGRID_URL": self.sendgrid.url}
        self.deliver = FunctionProcess(self.journal, {**email_settings, **shared}, target="deliver", source=source)
        self.public_environment = {**queue_environment(self.deliver.url, self.cloud_tasks.url), **shared}
        self.function = FunctionProcess(self.journal, self.public_environment, source=source)
        self.services.append(self.cloud_tasks)
        self.functions = [self.deliver, self.function]

    def drain(self) -> None:
        """Wait until the queue is empty."""
        assert self.cloud_tasks.wait_until_empty(DRAIN_TIMEOUT_SECONDS), "the queue isn't empty"

    def attempts(self, callout: OutgoingCallout, action: str = "") -> list[int]:
        """Return the status of each attempt of the callout's tasks, or of one Action's task; 0 means no response."""
        task = f"{callout.idempotency_key}-{action}"
        entries = self.journal.entries(kind="cloud_tasks.attempt")
        return [entry.data["status"] for entry in entries if entry.data["task"].startswith(task)]

    def wait_for_attempts(self, callout: OutgoingCallout, count: int) -> list[int]:
        """Wait until the callout's tasks have had at least `count` attempts, and return their statuses."""
        wait_until(lambda: len(self.attempts(callout)) >= count)
        return self.attempts(callout)

    def dispatch(
        self,
        callout: OutgoingCallout,
        path: str,
        *,
        to: FunctionProcess | None = None,
        key: str = "",
        at: float | None = None,
    ) -> Response:
        """Send the callout directly to `deliver`, or to another function, with every header that anyone could add."""
        self._forbid_address(callout.body)
        headers = {**callout.headers(key or self.signing_key, at), **CLOUD_TASKS_HEADERS}
        connection = HTTPConnection("127.0.0.1", (to or self.deliver).port, timeout=DELIVER_TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, callout.body, headers)
            return self._to_response(connection.getresponse())
        finally:
            connection.close()

    @contextmanager
    def second_instance(self) -> Iterator[FunctionProcess]:
        """Start a second instance of the public service."""
        function = FunctionProcess(self.journal, self.public_environment)
        self._leak_checker.watch_output(function.url, function.output)
        with function:
            yield function

    def cloud_tasks_faults(self, *faults: Fault) -> AbstractContextManager[None]:
        """Inject faults into Cloud Tasks' task creation; any left on exit are cleared."""
        return injected(self.cloud_tasks.faults, faults)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Make Cloud Tasks accept tasks without dispatching them."""
        self.cloud_tasks.paused = True
        try:
            yield
        finally:
            self.cloud_tasks.paused = False


def wait_until(condition: Callable[[], Any]) -> None:
    """Poll until the condition is true; raise AssertionError after three times the log timeout."""
    deadline = time.monotonic() + LOG_TIMEOUT_SECONDS * 3
    while not condition():
        assert time.monotonic() < deadline, "the condition didn't become true in time"
        time.sleep(0.01)
