"""A queue of the Cloud Tasks stand-in: which task may be sent when. Pure: the caller brings the time and the lock."""

import heapq
import math
from dataclasses import dataclass, field
from itertools import count

from emulator.cloud_tasks.queue_config import RETENTION_SECONDS, RateLimits, RetryConfig
from emulator.cloud_tasks.task import AttemptResponse, Task, format_timestamp
from emulator.core.google_api import ApiError, Json

TASK_NAME_RESERVED_SECONDS = 3600.0  # seconds that the name of a task stays taken after it is gone [Cloud Tasks quotas]

# Back-pressure, a simple rule for "429 and 503 slow the whole queue": after such an answer the queue sends one task at
# a time, `backpressure` seconds after the answer before; that doubles with each such answer, and a 2xx ends it.
INITIAL_BACKPRESSURE_SECONDS, MAX_BACKPRESSURE_SECONDS = 1.0, 60.0


@dataclass(frozen=True)
class AttemptResult:
    """What follows from an attempt: `wait` seconds until the next one, or how the task ended; neither: nothing."""

    wait: float | None = None
    ended: str = ""


@dataclass
class TaskQueue:
    name: str
    retry: RetryConfig = field(default_factory=RetryConfig)
    rate: RateLimits = field(default_factory=RateLimits)
    state: str = "RUNNING"
    purged: float | None = None
    tasks: dict[str, Task] = field(default_factory=dict)  # those that wait or run, by name
    in_flight: int = 0
    backpressure: float = 0.0
    _slowed: float = -math.inf
    _slow_until: float = -math.inf
    _heap: list[tuple[float, int, Task]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _gone: dict[str, float] = field(default_factory=dict)
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
        """Raises ApiError 409 while the name is taken, and for an hour after."""
        if task.name in self.tasks:
            raise ApiError("ALREADY_EXISTS", "Requested entity already exists")
        if now - self._gone.get(task.name, -math.inf) < TASK_NAME_RESERVED_SECONDS:
            message = "The task cannot be created because a task with this name existed too recently."
            raise ApiError("ALREADY_EXISTS", message)
        self.tasks[task.name] = task
        self._wait(task, task.scheduled)

    def get(self, name: str) -> Task:
        """Raises ApiError 404."""
        if name in self.tasks:
            return self.tasks[name]
        if name in self._gone:
            message = "The task no longer exists, though a task with this name existed recently."
            raise ApiError("NOT_FOUND", f"{message} The task either successfully completed or was deleted.")
        raise ApiError("NOT_FOUND", "Requested entity was not found.")

    def remove(self, task: Task, now: float) -> None:
        del self.tasks[task.name]
        task.entry = 0
        self._gone[task.name] = now

    def purge(self, now: float) -> list[Task]:
        self.purged, gone = now, list(self.tasks.values())
        for task in gone:
            self.remove(task, now)
        return gone

    def run_now(self, task: Task, now: float) -> None:
        """Makes a waiting task due, whatever its schedule or backoff was."""
        if task.entry:
            self._wait(task, now)

    def take(self, now: float) -> Task | None:
        """The next task that may be sent now, already counted as under way; None: not yet."""
        if self.next_time(now) > now:
            return None
        self._tokens -= 1
        task = heapq.heappop(self._heap)[2]
        self.start(task)
        return task

    def start(self, task: Task) -> None:
        """Counts an attempt under way, whatever the limits say; `finish` is its counterpart."""
        task.entry = 0
        task.running += 1
        self.in_flight += 1

    def next_time(self, now: float) -> float:
        """When a task may be sent, as far as time decides; infinity: something else has to happen first."""
        while self._heap and self._heap[0][1] != self._heap[0][2].entry:
            heapq.heappop(self._heap)  # deleted, or given another time
        full = self.in_flight >= (1 if self.backpressure else self.rate.concurrent)
        if not self._heap or full or self.state != "RUNNING":
            return math.inf
        return max(self._heap[0][0], self._next_token(now), self._slow_until if self.backpressure else now)

    def finish(self, task: Task, sent: float, answer: AttemptResponse, now: float) -> AttemptResult:
        """What follows from the answer to an attempt that was sent at `sent`."""
        self.in_flight -= 1
        task.running -= 1
        task.end(answer, now)
        self._apply_backpressure(sent, answer, now)
        if self.tasks.get(task.name) is not task:
            return AttemptResult()  # deleted meanwhile, or done by another attempt
        if answer.ok:
            self.remove(task, now)
            return AttemptResult(ended="delivered")
        if task.running or task.entry:
            return AttemptResult()  # another attempt is under way or planned
        return self._again(task, answer, now)

    def _again(self, task: Task, answer: AttemptResponse, now: float) -> AttemptResult:
        elapsed = now - (now if task.first_sent is None else task.first_sent)
        if self.retry.exhausted(task.attempts, elapsed) or now - task.created >= RETENTION_SECONDS:
            self.remove(task, now)
            return AttemptResult(ended="dropped")
        wait = max(self.retry.interval(task.attempts), answer.retry_after)
        self._wait(task, now + wait)
        return AttemptResult(wait=wait)

    def _wait(self, task: Task, until: float) -> None:
        task.scheduled, task.entry = until, next(self._numbers)
        heapq.heappush(self._heap, (until, task.entry, task))

    def _apply_backpressure(self, sent: float, answer: AttemptResponse, now: float) -> None:
        if answer.ok:
            self.backpressure = 0.0
        elif answer.status in (429, 503) and sent >= self._slowed:
            # Answers to what was sent before the last step say nothing new: eighty at once are one step.
            self.backpressure = min(self.backpressure * 2 or INITIAL_BACKPRESSURE_SECONDS, MAX_BACKPRESSURE_SECONDS)
            self._slowed = now
        if self.backpressure:
            self._slow_until = max(self._slow_until, now + max(self.backpressure, answer.retry_after))

    def _next_token(self, now: float) -> float:
        """When the token bucket lets one more through; it is refilled by the time that went by."""
        earned = (now - self._refilled) * self.rate.per_second
        self._tokens, self._refilled = min(self._tokens + earned, self.rate.burst), now
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self.rate.per_second
