"""The dispatcher of the Cloud Tasks stand-in: one thread that watches the queues, others that send what is due."""

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
    """The one door to the time of queues and tasks: unix seconds that pass `speed` times as fast as real ones."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed, self._real, self._shown = speed, time.monotonic(), time.time()

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._shown, self._real = self.now(), time.monotonic()
        self._speed = speed

    def now(self) -> float:
        return self._shown + (time.monotonic() - self._real) * self._speed

    def real(self, seconds: float) -> float:
        return seconds / self._speed


class Dispatcher:
    """Sends what the queues have due; every access to `queues` holds `changed`, which is notified of each change.

    `threads` attempts at most are under way at once. An attempt ends with its task's dispatch deadline, or after
    `max_attempt_seconds` seconds: both are real seconds, whatever the clock's speed is, since the target's work is real.
    """

    def __init__(self, journal: Journal, clock: QueueClock, *, threads: int, max_attempt_seconds: float) -> None:
        self.queues: dict[str, TaskQueue] = {}
        self.changed = threading.Condition(threading.RLock())
        self.clock, self.paused, self.duplicates = clock, False, 0
        self._journal, self._longest, self._free, self._stopping = journal, max_attempt_seconds, threads, False
        self._workers = _Workers(threads)
        self._http = urllib3.PoolManager(maxsize=threads, retries=False)
        self._watch = threading.Thread(target=self._run, name="cloud_tasks_dispatcher", daemon=True)

    def start(self) -> None:
        self._watch.start()

    def stop(self) -> None:
        """What is under way is let go: its answer is of no interest any more."""
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
        self._watch.join()
        self._workers.stop()
        self._http.clear()

    def run(self, queue: TaskQueue, task: Task) -> None:
        """Sends the task now, whatever the queue's limits and state say."""
        queue.start(task)
        self._send(queue, task)

    def ended(self, queue: TaskQueue, task: Task, how: str) -> None:
        """Records the end of a task: `delivered`, `dropped` (given up), `deleted` or `purged`."""
        facts = {"queue": queue.short_name, "task": task.short_name, "attempts": task.attempts, "how": how}
        self._journal.record("cloud_tasks.done", **facts)

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
        """Real seconds until time alone makes a task due; None: something else has to happen first."""
        now = self.clock.now()
        soonest = min((queue.next_time(now) for queue in self.queues.values()), default=float("inf"))
        idle = self.paused or self._free <= 0 or soonest == float("inf")
        return None if idle else min(self.clock.real(max(soonest - now, 0)), threading.TIMEOUT_MAX)

    def _send(self, queue: TaskQueue, task: Task) -> None:
        sent = self.clock.now()
        attempt = _Attempt(queue, task, sent, task.begin(sent), task.attempts)
        self._do(attempt)
        if self.duplicates:
            self.duplicates -= 1
            queue.start(task)
            self._do(attempt)

    def _do(self, attempt: "_Attempt") -> None:
        self._free -= 1
        self._workers.do(lambda: self._attempt(attempt))

    def _attempt(self, attempt: "_Attempt") -> None:
        started = time.monotonic()
        answer = self._post(attempt)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        with self.changed:
            self._free += 1
            if self._stopping:
                return
            verdict = attempt.queue.finish(attempt.task, attempt.sent, answer, self.clock.now())
            self._record(attempt, answer, verdict, milliseconds)
            self.changed.notify_all()

    def _record(
        self, attempt: "_Attempt", answer: AttemptResponse, verdict: AttemptResult, milliseconds: float
    ) -> None:
        self._journal.record(
            "cloud_tasks.attempt",
            queue=attempt.queue.short_name,
            task=attempt.task.short_name,
            attempt=attempt.number,
            url=attempt.task.url,
            status=answer.status,
            problem=answer.problem,
            duration_ms=milliseconds,
            next_retry_s=verdict.wait,
        )
        if verdict.ended:
            self.ended(attempt.queue, attempt.task, verdict.ended)

    def _post(self, attempt: "_Attempt") -> AttemptResponse:
        """Redirects are not followed: a 3xx is a failure, as any answer that is no 2xx."""
        task = attempt.task
        timeout = urllib3.Timeout(total=min(task.deadline, self._longest))
        try:
            answer = self._http.request(
                task.method, task.url, body=task.body, headers=attempt.headers, timeout=timeout, redirect=False
            )
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            return AttemptResponse(0, problem=type(error).__name__)
        return AttemptResponse(answer.status, retry_after(answer.headers.get("Retry-After", "")))


@dataclass(frozen=True)
class _Attempt:
    """One dispatch; the state of `task` moves on while it is under way."""

    queue: TaskQueue
    task: Task
    sent: float
    headers: dict[str, str]
    number: int


class _Workers:
    """Threads that do one job after another; they are daemons, so a target that hangs keeps nobody from leaving."""

    def __init__(self, most: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle, self._most, self._count = threading.Semaphore(0), most, 0

    def do(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._count < self._most:
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
    """The seconds that a Retry-After header asks for, a number or a date; 0 for none and for nonsense."""
    try:
        if value.strip().isdecimal():
            return min(float(value), RETENTION_SECONDS)
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETENTION_SECONDS)
