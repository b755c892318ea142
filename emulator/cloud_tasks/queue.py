"""A Cloud Tasks queue: which task can be sent when. Pure: the caller provides the time and holds the lock."""

import heapq
import math
from dataclasses import dataclass, field
from itertools import count

from emulator.cloud_tasks.queue_config import RETENTION_SECONDS, RateLimits, RetryConfig
from emulator.cloud_tasks.task import AttemptResponse, Task, format_timestamp
from emulator.core.google_api import ApiError, Json

TASK_NAME_RESERVED_SECONDS = 3600.0  # after the task is gone [Cloud Tasks quotas]

# A simple model of "429 and 503 slow down the whole queue": after such a response, the queue sends one task at a time,
# `backpressure` seconds after the previous response. Each further 429 or 503 doubles the delay, and a 2xx resets it.
INITIAL_BACKPRESSURE_SECONDS, MAX_BACKPRESSURE_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class AttemptResult:
    """The result of an attempt: `wait` seconds until the retry, or how the task ended, or neither."""

    wait: float | None = None
    ended: str = ""


@dataclass
class TaskQueue:
    name: str
    retry: RetryConfig = field(default_factory=RetryConfig)
    rate: RateLimits = field(default_factory=RateLimits)
    state: str = "RUNNING"
    purged: float | None = None
    tasks: dict[str, Task] = field(default_factory=dict)  # waiting and running tasks, by name
    in_flight: int = 0
    backpressure: float = 0.0
    _slowed_at: float = -math.inf
    _slow_until: float = -math.inf
    _heap: list[tuple[float, int, Task]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _reserved: dict[str, float] = field(default_factory=dict)
    _tokens: float = math.inf
    _refilled: float = 0.0

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]

    def resource(self) -> Json:
        purged = {} if self.purged is None else {"purgeTime": format_timestamp(self.purged)}
        settings = {"rateLimits": self.rate.resource(), "retryConfig": self.retry.resource()}
        return {"name": self.name, **settings, "state": self.state, **purged}

    def add(self, task: Task, now: float) -> None:
        """Add a task. Raise ApiError 409 while its name is in use and for an hour afterward."""
        if task.name in self.tasks:
            raise ApiError("ALREADY_EXISTS", "Requested entity already exists")
        if now - self._reserved.get(task.name, -math.inf) < TASK_NAME_RESERVED_SECONDS:
            message = "The task cannot be created because a task with this name existed too recently."
            raise ApiError("ALREADY_EXISTS", message)
        self.tasks[task.name] = task
        self._schedule(task, task.scheduled)

    def get(self, name: str) -> Task:
        """Return a task. Raise ApiError 404 if there is none."""
        if name in self.tasks:
            return self.tasks[name]
        if name in self._reserved:
            message = "The task no longer exists, though a task with this name existed recently."
            raise ApiError("NOT_FOUND", f"{message} The task either successfully completed or was deleted.")
        raise ApiError("NOT_FOUND", "Requested entity was not found.")

    def remove(self, task: Task, now: float) -> None:
        del self.tasks[task.name]
        task.entry = 0
        self._reserved[task.name] = now

    def purge(self, now: float) -> list[Task]:
        self.purged, tasks = now, list(self.tasks.values())
        for task in tasks:
            self.remove(task, now)
        return tasks

    def run_now(self, task: Task, now: float) -> None:
        """Make a waiting task due now, regardless of its schedule or backoff."""
        if task.entry:
            self._schedule(task, now)

    def take(self, now: float) -> Task | None:
        """Return the next task that can be sent now, counted as in flight, or None."""
        if self.next_time(now) > now:
            return None
        self._tokens -= 1
        task = heapq.heappop(self._heap)[2]
        self.start(task)
        return task

    def start(self, task: Task) -> None:
        """Count an attempt as in flight, regardless of limits; `finish` is the counterpart."""
        task.entry = 0
        task.running += 1
        self.in_flight += 1

    def next_time(self, now: float) -> float:
        """Return when the next task can be sent, or infinity if that depends on another event."""
        while self._heap and self._heap[0][1] != self._heap[0][2].entry:
            heapq.heappop(self._heap)  # deleted or rescheduled
        is_full = self.in_flight >= (1 if self.backpressure else self.rate.concurrent)
        if not self._heap or is_full or self.state != "RUNNING":
            return math.inf
        return max(self._heap[0][0], self._next_token(now), self._slow_until if self.backpressure else now)

    def finish(self, task: Task, sent: float, response: AttemptResponse, now: float) -> AttemptResult:
        """Process the response to an attempt that was sent at `sent`."""
        self.in_flight -= 1
        task.running -= 1
        task.end(response, now)
        self._apply_backpressure(sent, response, now)
        if self.tasks.get(task.name) is not task:
            return AttemptResult()  # deleted, or completed by another attempt
        if response.ok:
            self.remove(task, now)
            return AttemptResult(ended="delivered")
        if task.running or task.entry:
            return AttemptResult()  # another attempt is in flight or scheduled
        return self._retry(task, response, now)

    def _retry(self, task: Task, response: AttemptResponse, now: float) -> AttemptResult:
        elapsed = now - (now if task.first_sent is None else task.first_sent)
        if self.retry.is_exhausted(task.attempts, elapsed) or now - task.created >= RETENTION_SECONDS:
            self.remove(task, now)
            return AttemptResult(ended="dropped")
        wait = max(self.retry.backoff(task.attempts), response.retry_after)
        self._schedule(task, now + wait)
        return AttemptResult(wait=wait)

    def _schedule(self, task: Task, until: float) -> None:
        task.scheduled, task.entry = until, next(self._numbers)
        heapq.heappush(self._heap, (until, task.entry, task))

    def _apply_backpressure(self, sent: float, response: AttemptResponse, now: float) -> None:
        if response.ok:
            self.backpressure = 0.0
        elif response.status in (429, 503) and sent >= self._slowed_at:
            # Ignore responses to attempts sent before the last step, so that 80 concurrent ones count as one.
            self.backpressure = min(self.backpressure * 2 or INITIAL_BACKPRESSURE_SECONDS, MAX_BACKPRESSURE_SECONDS)
            self._slowed_at = now
        if self.backpressure:
            self._slow_until = max(self._slow_until, now + max(self.backpressure, response.retry_after))

    def _next_token(self, now: float) -> float:
        """Refill the token bucket for the elapsed time, and return when the next token is available."""
        refill = (now - self._refilled) * self.rate.per_second
        self._tokens, self._refilled = min(self._tokens + refill, self.rate.burst), now
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self.rate.per_second
