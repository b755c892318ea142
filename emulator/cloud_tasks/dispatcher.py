"""The dispatcher of the Cloud Tasks emulator: one thread watches the queues, others send the due tasks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import SimpleQueue

import urllib3

from emulator.cloud_tasks.queue import AttemptResult, TaskQueue
from emulator.cloud_tasks.queue_config import RETENTION_SECONDS
from emulator.cloud_tasks.task import AttemptResponse, Task
from emulator.core.journal import Journal


class QueueClock:
    """The clock of queues and tasks: Unix seconds that pass `speed` times as fast as real time."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._real, self._scaled = speed, time.monotonic(), time.time()

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._scaled, self._real = self.now(), time.monotonic()
        self._speed = speed

    def now(self) -> float:
        return self._scaled + (time.monotonic() - self._real) * self._speed

    def to_real(self, seconds: float) -> float:
        return seconds / self._speed


class Dispatcher:
    """Sends the due tasks of `queues`; hold `changed` for every access to them, and notify it of every change.

    At most `threads` attempts are in flight. An attempt times out at its task's dispatch deadline or after
    `max_attempt_seconds`. Both are real seconds, regardless of the clock's speed, because the target's work is real.
    """

    def __init__(self, journal: Journal, clock: QueueClock, *, threads: int, max_attempt_seconds: float) -> None:
        self.queues: dict[str, TaskQueue] = {}
        self.changed = threading.Condition(threading.RLock())
        self.clock, self.paused, self.duplicates = clock, False, 0
        self._journal, self._max_seconds, self._free, self._stopping = journal, max_attempt_seconds, threads, False
        self._workers = _Workers(threads)
        self._http = urllib3.PoolManager(maxsize=threads, retries=False)
        self._watcher = threading.Thread(target=self._run, name="cloud_tasks_dispatcher", daemon=True)

    def start(self) -> None:
        self._watcher.start()

    def stop(self) -> None:
        """Stop dispatching; ignore the responses of attempts in flight."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        self._watcher.join()
        self._workers.stop()
        self._http.clear()

    def run(self, queue: TaskQueue, task: Task) -> None:
        """Send the task now, regardless of the queue's limits and state."""
        queue.start(task)
        self._send(queue, task)

    def record_end(self, queue: TaskQueue, task: Task, how: str) -> None:
        """Record the end of a task: `delivered`, `dropped` (retries exhausted), `deleted`, or `purged`."""
        names = {"queue": queue.short_name, "task": task.short_name, "webhook_id": task.webhook_id}
        self._journal.record("cloud_tasks.done", **names, attempts=task.attempts, how=how)

    def _run(self) -> None:
        with self.changed:
            while not self._stopping:
                self._send_due()
                self.changed.wait(self._until_next())

    def _send_due(self) -> None:
        for queue in self.queues.values():
            while not self.paused and self._free > 0 and (task := queue.take(self.clock.now())):
                self._send(queue, task)

    def _until_next(self) -> float | None:
        """Return the real seconds until the next task is due, or None if that depends on another event."""
        now = self.clock.now()
        soonest = min((queue.next_time(now) for queue in self.queues.values()), default=float("inf"))
        idle = self.paused or self._free <= 0 or soonest == float("inf")
        return None if idle else min(self.clock.to_real(max(soonest - now, 0)), threading.TIMEOUT_MAX)

    def _send(self, queue: TaskQueue, task: Task) -> None:
        sent = self.clock.now()
        attempt = _Attempt(queue, task, sent, task.begin(sent), task.attempts)
        self._submit(attempt)
        if self.duplicates:
            self.duplicates -= 1
            queue.start(task)
            self._submit(attempt)

    def _submit(self, attempt: "_Attempt") -> None:
        self._free -= 1
        self._workers.submit(lambda: self._attempt(attempt))

    def _attempt(self, attempt: "_Attempt") -> None:
        started = time.monotonic()
        response = self._post(attempt)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        with self.changed:
            self._free += 1
            if self._stopping:
                return
            result = attempt.queue.finish(attempt.task, attempt.sent, response, self.clock.now())
            self._record(attempt, response, result, milliseconds)
            self.changed.notify_all()

    def _record(
        self, attempt: "_Attempt", response: AttemptResponse, result: AttemptResult, milliseconds: float
    ) -> None:
        self._journal.record(
            "cloud_tasks.attempt",
            queue=attempt.queue.short_name,
            task=attempt.task.short_name,
            webhook_id=attempt.task.webhook_id,
            attempt=attempt.number,
            url=attempt.task.url,
            status=response.status,
            problem=response.problem,
            duration_ms=milliseconds,
            next_retry_s=result.wait,
        )
        if result.ended:
            self.record_end(attempt.queue, attempt.task, result.ended)

    def _post(self, attempt: "_Attempt") -> AttemptResponse:
        """Send the request; a redirect is a failure, as is any status other than 2xx."""
        task = attempt.task
        timeout = urllib3.Timeout(total=min(task.deadline, self._max_seconds))
        try:
            response = self._http.request(
                task.method, task.url, body=task.body, headers=attempt.headers, timeout=timeout, redirect=False
            )
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            return AttemptResponse(0, problem=type(error).__name__)
        return AttemptResponse(response.status, retry_after(response.headers.get("Retry-After", "")))


@dataclass(frozen=True)
class _Attempt:
    """One dispatch, with the values of `task` at that time; the task can change while it is in flight."""

    queue: TaskQueue
    task: Task
    sent: float
    headers: dict[str, str]
    number: int


class _Workers:
    """A pool of daemon threads, so that a hanging target doesn't block the exit of the process."""

    def __init__(self, max_threads: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle, self._max_threads, self._count = threading.Semaphore(0), max_threads, 0

    def submit(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._count < self._max_threads:
            self._count += 1
            threading.Thread(target=self._work, name="cloud_tasks_attempt", daemon=True).start()

    def stop(self) -> None:
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._idle.release()


def retry_after(value: str) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 if it is missing or invalid."""
    try:
        if value.strip().isdecimal():
            return min(float(value), RETENTION_SECONDS)
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETENTION_SECONDS)
