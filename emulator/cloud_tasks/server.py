"""A stand-in for Google Cloud Tasks: its REST surface, enough for the official client and for gcloud, and the sending.

Queues and tasks live in memory. Permissions are kept, not enforced. Not played: App Engine targets, ramp-up of new
queues, queues that fall asleep, and the check that an OIDC token's service account exists.
"""

import secrets
from collections.abc import Callable
from typing import Self

from flask import Flask, Response, jsonify, request

from emulator.cloud_tasks.dispatcher import Dispatcher, QueueClock
from emulator.cloud_tasks.queue import TaskQueue
from emulator.cloud_tasks.queue_config import RateLimits, RetryConfig
from emulator.cloud_tasks.task import parse_task
from emulator.core.google_api import ApiError, Json, Policies, api, api_faults, body, message_field, page, status_fault
from emulator.core.journal import Journal
from emulator.core.server import Server

NAME_BLOCKED = 7 * 86_400.0  # seconds that the name of a deleted queue stays taken [Cloud Tasks quotas]
TASKS_PAGE, QUEUES_PAGE = 1000, 9800

_NO_QUEUE = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
FAULTS = api_faults("cloudtasks.googleapis.com", "cloudtasks.tasks.create") | {
    "queue asleep": status_fault("queue asleep", ApiError("NOT_FOUND", _NO_QUEUE))
}


class FakeCloudTasks(Server):
    """The stand-in, as a context manager; see FAULTS for what `faults` may be given by name (its API side).

    `speed` is how many times as fast as real the time of schedules, backoffs, rates and kept names passes.
    `threads` attempts at most are under way at once, and none lasts longer than `max_attempt_seconds` real seconds.
    """

    def __init__(
        self, journal: Journal, *, speed: float = 1.0, threads: int = 100, max_attempt_seconds: float = 1800
    ) -> None:
        super().__init__("cloud_tasks", self._app(), journal)
        self._clock = QueueClock(speed)
        self._work = Dispatcher(journal, self._clock, threads=threads, max_attempt_seconds=max_attempt_seconds)
        self._policies = Policies()
        self._deleted: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._work.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._work.stop()

    @property
    def speed(self) -> float:
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._work.changed:
            self._clock.speed = speed
            self._work.changed.notify_all()

    @property
    def paused(self) -> bool:
        """Whether nothing at all is sent, whatever the queues' own states are."""
        return self._work.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._work.changed:
            self._work.paused = paused
            self._work.changed.notify_all()

    def create_queue(self, name: str, settings: Json | None = None) -> None:
        """Makes the queue called `name` (full), or gives it other `settings`: a Queue message's members."""
        with self._work.changed:
            self._work.queues[name] = _changed(self._work.queues.get(name) or TaskQueue(name), settings or {})
            self._work.changed.notify_all()

    def run_now(self) -> None:
        """Makes every waiting task due, whatever its schedule or backoff was."""
        with self._work.changed:
            for queue in self._work.queues.values():
                for task in queue.tasks.values():
                    queue.run_now(task, self._clock.now())
            self._work.changed.notify_all()

    def clear(self) -> None:
        """Drops every task, whose names are free again, and goes on where it was paused; the queues stay."""
        with self._work.changed:
            for name, queue in self._work.queues.items():
                queue.purge(self._clock.now())
                self._work.queues[name] = TaskQueue(name, queue.retry, queue.rate)
            self._work.paused, self._work.duplicates = False, 0
            self._work.changed.notify_all()

    def duplicate_next(self, count: int = 1) -> None:
        """The next `count` dispatches are made twice: the service delivers at least once, and rarely more often."""
        with self._work.changed:
            self._work.duplicates += count

    def tasks(self) -> list[Json]:
        """The tasks that wait or run, as Task messages with their bodies."""
        with self._work.changed:
            return [task.resource(full=True) for queue in self._work.queues.values() for task in queue.tasks.values()]

    def wait_until_empty(self, timeout: float) -> bool:
        """Waits until no task waits or runs; False when that took longer than `timeout` real seconds."""
        with self._work.changed:
            return self._work.changed.wait_for(lambda: not any(q.tasks for q in self._work.queues.values()), timeout)

    def _app(self) -> Flask:
        app = api("cloud_tasks")
        place = "/v2/projects/<project>/locations/<location>/queues"
        queue, task = f"{place}/<id:queue>", f"{place}/<id:queue>/tasks/<id:task>"
        for method, rule, view in (
            ("POST", place, self._create_queue),
            ("GET", place, self._list_queues),
            ("GET", queue, self._get_queue),
            ("PATCH", queue, self._update_queue),
            ("DELETE", queue, self._delete_queue),
            ("POST", f"{queue}:pause", self._set_state("PAUSED")),
            ("POST", f"{queue}:resume", self._set_state("RUNNING")),
            ("POST", f"{queue}:purge", self._purge_queue),
            ("POST", f"{queue}:getIamPolicy", self._get_policy),
            ("POST", f"{queue}:setIamPolicy", self._set_policy),
            ("POST", f"{queue}/tasks", self._create_task),
            ("GET", f"{queue}/tasks", self._list_tasks),
            ("GET", task, self._get_task),
            ("DELETE", task, self._delete_task),
            ("POST", f"{task}:run", self._run_task),
        ):
            app.add_url_rule(rule, rule + method, self._locked(view), methods=[method])
        return app

    def _locked(self, view: Callable[..., Json | Response]) -> Callable[..., Response]:
        def locked(**names: str) -> Response:
            with self._work.changed:
                answer = view(**names)
                self._work.changed.notify_all()
            return answer if isinstance(answer, Response) else jsonify(answer)

        return locked

    def _queue(self, **names: str) -> TaskQueue:
        name = _name(**names)
        if name not in self._work.queues:
            raise ApiError("NOT_FOUND", _NO_QUEUE)
        return self._work.queues[name]

    def _create_queue(self, **names: str) -> Json:
        given, parent = body(), _name(**names)
        name = str(given.get("name") or "")
        if not name.startswith(f"{parent}/queues/"):
            raise ApiError("INVALID_ARGUMENT", f"{name} must begin with {parent}.")
        if name in self._work.queues:
            raise ApiError("ALREADY_EXISTS", "Queue already exists")
        if self._clock.now() - self._deleted.get(name, float("-inf")) < NAME_BLOCKED:
            message = "The queue cannot be created because a queue with this name existed too recently."
            raise ApiError("FAILED_PRECONDITION", message)
        self._work.queues[name] = _changed(TaskQueue(name), given)
        return self._work.queues[name].resource()

    def _list_queues(self, **names: str) -> Response:
        start = _name(**names) + "/"
        owned = [queue.resource() for name, queue in sorted(self._work.queues.items()) if name.startswith(start)]
        return page(owned, "queues", QUEUES_PAGE)

    def _get_queue(self, **names: str) -> Json:
        return self._queue(**names).resource()

    def _update_queue(self, **names: str) -> Json:
        """A queue that does not exist is made [CloudTasks.UpdateQueue]."""
        queue = self._work.queues.get(_name(**names)) or TaskQueue(_name(**names))
        self._work.queues[queue.name] = _changed(queue, _masked(body(), request.args.get("updateMask", "")))
        return queue.resource()

    def _delete_queue(self, **names: str) -> Json:
        name = self._queue(**names).name
        self._purge_queue(**names)
        del self._work.queues[name]
        self._policies.drop(name)
        self._deleted[name] = self._clock.now()
        return {}

    def _set_state(self, state: str) -> Callable[..., Json]:
        def set_state(**names: str) -> Json:
            queue = self._queue(**names)
            queue.state = state
            return queue.resource()

        return set_state

    def _purge_queue(self, **names: str) -> Json:
        queue = self._queue(**names)
        for task in queue.purge(self._clock.now()):
            self._work.ended(queue, task, "purged")
        return queue.resource()

    def _get_policy(self, **names: str) -> Json:
        return self._policies.get(self._queue(**names).name)

    def _set_policy(self, **names: str) -> Json:
        return self._policies.set(self._queue(**names).name, message_field(body(), "policy"))

    def _create_task(self, **names: str) -> Json:
        given, queue, now = body(), self._queue(**names), self._clock.now()
        task = parse_task(message_field(given, "task"), queue.name, str(secrets.randbits(63)), now)
        queue.add(task, now)
        return task.resource(full=_full(given.get("responseView")))

    def _list_tasks(self, **names: str) -> Response:
        full = _full(request.args.get("responseView"))
        listed = [task.resource(full=full) for task in self._queue(**names).tasks.values()]
        return page(listed, "tasks", TASKS_PAGE)

    def _get_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        return queue.get(f"{queue.name}/tasks/{task}").resource(full=_full(request.args.get("responseView")))

    def _delete_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        found = queue.get(f"{queue.name}/tasks/{task}")
        queue.remove(found, self._clock.now())
        self._work.ended(queue, found, "deleted")
        return {}

    def _run_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        found = queue.get(f"{queue.name}/tasks/{task}")
        self._work.run(queue, found)
        return found.resource(full=_full(body().get("responseView")))


def _name(project: str, location: str, queue: str = "") -> str:
    return f"projects/{project}/locations/{location}" + (f"/queues/{queue}" if queue else "")


def _full(view: object) -> bool:
    """By name or, as the Python client sends it, by number."""
    return str(view) in ("FULL", "2")


def _changed(queue: TaskQueue, given: Json) -> TaskQueue:
    """`queue` with the settings that a Queue message has. Raises ApiError, and then nothing is changed."""
    retry = queue.retry.changed(message_field(given, "retryConfig"))
    queue.rate = queue.rate.changed(message_field(given, "rateLimits"))
    queue.retry = retry
    return queue


def _masked(given: Json, mask: str) -> Json:
    """What of a Queue message an update mask such as `retryConfig.maxAttempts,rateLimits` lets through."""
    paths = {tuple(path.split(".")) for path in mask.split(",") if path}
    retry = {"maxRetryDuration": "0s"} | RetryConfig().resource()
    defaults = {"retryConfig": retry, "rateLimits": RateLimits().resource()}
    return {
        group: {
            name: value
            for name, value in (defaults[group] | message_field(given, group)).items()
            if not paths or (group,) in paths or (group, name) in paths
        }
        for group in defaults
    }
