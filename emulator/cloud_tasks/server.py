"""An emulator of Cloud Tasks: its REST API, complete enough for the official client and gcloud, and task dispatch.

Queues and tasks are kept in memory. IAM policies are stored, but not enforced. Not emulated: App Engine targets,
ramp-up of new queues, idle queues, and the check that an OIDC token's service account exists.
"""

import secrets
from collections.abc import Callable
from typing import Self

from flask import Flask, Response, jsonify, request

from emulator.cloud_tasks.dispatcher import Dispatcher, QueueClock
from emulator.cloud_tasks.queue import TaskQueue
from emulator.cloud_tasks.queue_config import RateLimits, RetryConfig
from emulator.cloud_tasks.task import parse_task
from emulator.core.google_api import (
    ApiError,
    Json,
    Policies,
    api,
    api_faults,
    body,
    granted_permissions,
    message_field,
    page,
    status_fault,
)
from emulator.core.journal import Journal
from emulator.core.server import Server

QUEUE_NAME_RESERVED_SECONDS = 7 * 86_400.0  # after the queue is deleted [Cloud Tasks quotas]
TASKS_PAGE_SIZE, QUEUES_PAGE_SIZE = 1000, 9800
LOCATIONS = ("asia-northeast1", "europe-west1", "us-central1")  # some of Cloud Tasks' locations; queues can be in any

_NO_QUEUE = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
_IDLE = status_fault("queue asleep", ApiError("NOT_FOUND", _NO_QUEUE), "404: the queue wasn't used for a long time")
FAULTS = {_IDLE.name: _IDLE} | api_faults(
    "cloudtasks.googleapis.com",
    "cloudtasks.tasks.create",
    {
        "permission denied": "403: the service account can't create tasks",
        "not found": "404: the queue doesn't exist",
        "unauthenticated": "401: the caller isn't authenticated",
        "rate limited": "429: too many requests",
        "internal": "500: retried",
        "unavailable": "503: retried",
    },
)


class FakeCloudTasks(Server):
    """The fake Cloud Tasks, a context manager; FAULTS are the faults of its API that can be added to `faults`.

    Time for schedules, backoffs, rates, and reserved names passes `speed` times as fast as real time. At most `threads`
    attempts are in flight, and none takes longer than `max_attempt_seconds` real seconds.
    """

    def __init__(
        self, journal: Journal, *, speed: float = 1.0, threads: int = 100, max_attempt_seconds: float = 1800
    ) -> None:
        super().__init__("cloud_tasks", self._app(), journal)
        self._clock = QueueClock(speed)
        self._dispatcher = Dispatcher(journal, self._clock, threads=threads, max_attempt_seconds=max_attempt_seconds)
        self._policies = Policies()
        self._deleted: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._dispatcher.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._dispatcher.stop()

    @property
    def speed(self) -> float:
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._dispatcher.changed:
            self._clock.speed = speed
            self._dispatcher.changed.notify_all()

    @property
    def paused(self) -> bool:
        """Return whether all queues are paused, in addition to their individual states."""
        return self._dispatcher.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._dispatcher.changed:
            self._dispatcher.paused = paused
            self._dispatcher.changed.notify_all()

    def create_queue(self, name: str, settings: Json | None = None) -> None:
        """Create or update the queue with the full name `name`; `settings` are fields of a Queue message."""
        with self._dispatcher.changed:
            self._dispatcher.queues[name] = _update(
                self._dispatcher.queues.get(name) or TaskQueue(name), settings or {}
            )
            self._dispatcher.changed.notify_all()

    def run_now(self) -> None:
        """Make every waiting task due now, regardless of its schedule or backoff."""
        with self._dispatcher.changed:
            for queue in self._dispatcher.queues.values():
                for task in queue.tasks.values():
                    queue.run_now(task, self._clock.now())
            self._dispatcher.changed.notify_all()

    def clear(self) -> None:
        """Delete all tasks, release their names, and resume dispatch; keep the queues."""
        with self._dispatcher.changed:
            for name, queue in self._dispatcher.queues.items():
                queue.purge(self._clock.now())
                self._dispatcher.queues[name] = TaskQueue(name, queue.retry, queue.rate)
            self._dispatcher.paused, self._dispatcher.duplicates = False, 0
            self._dispatcher.changed.notify_all()

    def duplicate_next(self, count: int = 1) -> None:
        """Dispatch the next `count` tasks twice, as at-least-once delivery allows."""
        with self._dispatcher.changed:
            self._dispatcher.duplicates += count

    def tasks(self) -> list[Json]:
        """Return the waiting and running tasks as Task messages with bodies."""
        with self._dispatcher.changed:
            return [
                task.resource(full=True) for queue in self._dispatcher.queues.values() for task in queue.tasks.values()
            ]

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until no task is left; return False after `timeout` real seconds."""
        with self._dispatcher.changed:
            return self._dispatcher.changed.wait_for(
                lambda: not any(q.tasks for q in self._dispatcher.queues.values()), timeout
            )

    def _app(self) -> Flask:
        app = api("cloud_tasks")
        locations = "/v2/projects/<project>/locations"
        queues = f"{locations}/<location>/queues"
        queue, task = f"{queues}/<id:queue>", f"{queues}/<id:queue>/tasks/<id:task>"
        for method, rule, view in (
            ("GET", locations, _list_locations),
            ("POST", queues, self._create_queue),
            ("GET", queues, self._list_queues),
            ("GET", queue, self._get_queue),
            ("PATCH", queue, self._update_queue),
            ("DELETE", queue, self._delete_queue),
            ("POST", f"{queue}:pause", self._set_state("PAUSED")),
            ("POST", f"{queue}:resume", self._set_state("RUNNING")),
            ("POST", f"{queue}:purge", self._purge_queue),
            ("POST", f"{queue}:getIamPolicy", self._get_policy),
            ("POST", f"{queue}:setIamPolicy", self._set_policy),
            ("POST", f"{queue}:testIamPermissions", self._test_permissions),
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
            with self._dispatcher.changed:
                result = view(**names)
                self._dispatcher.changed.notify_all()
            return result if isinstance(result, Response) else jsonify(result)

        return locked

    def _queue(self, **names: str) -> TaskQueue:
        name = _name(**names)
        if name not in self._dispatcher.queues:
            raise ApiError("NOT_FOUND", _NO_QUEUE)
        return self._dispatcher.queues[name]

    def _create_queue(self, **names: str) -> Json:
        settings, parent = body(), _name(**names)
        name = str(settings.get("name") or "")
        if not name.startswith(f"{parent}/queues/"):
            raise ApiError("INVALID_ARGUMENT", f"{name} must begin with {parent}.")
        if name in self._dispatcher.queues:
            raise ApiError("ALREADY_EXISTS", "Queue already exists")
        if self._clock.now() - self._deleted.get(name, float("-inf")) < QUEUE_NAME_RESERVED_SECONDS:
            message = "The queue cannot be created because a queue with this name existed too recently."
            raise ApiError("FAILED_PRECONDITION", message)
        self._dispatcher.queues[name] = _update(TaskQueue(name), settings)
        return self._dispatcher.queues[name].resource()

    def _list_queues(self, **names: str) -> Response:
        start = _name(**names) + "/"
        owned = [queue.resource() for name, queue in sorted(self._dispatcher.queues.items()) if name.startswith(start)]
        return page(owned, "queues", QUEUES_PAGE_SIZE)

    def _get_queue(self, **names: str) -> Json:
        return self._queue(**names).resource()

    def _update_queue(self, **names: str) -> Json:
        """Update a queue, or create it if it doesn't exist [CloudTasks.UpdateQueue]."""
        queue = self._dispatcher.queues.get(_name(**names)) or TaskQueue(_name(**names))
        self._dispatcher.queues[queue.name] = _update(queue, _apply_mask(body(), request.args.get("updateMask", "")))
        return queue.resource()

    def _delete_queue(self, **names: str) -> Json:
        name = self._queue(**names).name
        self._purge_queue(**names)
        del self._dispatcher.queues[name]
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
            self._dispatcher.record_end(queue, task, "purged")
        return queue.resource()

    def _get_policy(self, **names: str) -> Json:
        return self._policies.get(self._queue(**names).name)

    def _set_policy(self, **names: str) -> Json:
        return self._policies.set(self._queue(**names).name, message_field(body(), "policy"))

    def _test_permissions(self, **names: str) -> Json:
        return granted_permissions(exists=_name(**names) in self._dispatcher.queues)

    def _create_task(self, **names: str) -> Json:
        fields, queue, now = body(), self._queue(**names), self._clock.now()
        task = parse_task(message_field(fields, "task"), queue.name, str(secrets.randbits(63)), now)
        queue.add(task, now)
        return task.resource(full=_is_full(fields.get("responseView")))

    def _list_tasks(self, **names: str) -> Response:
        full = _is_full(request.args.get("responseView"))
        listed = [task.resource(full=full) for task in self._queue(**names).tasks.values()]
        return page(listed, "tasks", TASKS_PAGE_SIZE)

    def _get_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        return queue.get(f"{queue.name}/tasks/{task}").resource(full=_is_full(request.args.get("responseView")))

    def _delete_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        deleted = queue.get(f"{queue.name}/tasks/{task}")
        queue.remove(deleted, self._clock.now())
        self._dispatcher.record_end(queue, deleted, "deleted")
        return {}

    def _run_task(self, task: str, **names: str) -> Json:
        queue = self._queue(**names)
        started = queue.get(f"{queue.name}/tasks/{task}")
        self._dispatcher.run(queue, started)
        return started.resource(full=_is_full(body().get("responseView")))


def _list_locations(project: str) -> Response:
    named = [{"name": f"projects/{project}/locations/{location}", "locationId": location} for location in LOCATIONS]
    return page(named, "locations", len(named))


def _name(project: str, location: str, queue: str = "") -> str:
    return f"projects/{project}/locations/{location}" + (f"/queues/{queue}" if queue else "")


def _is_full(view: object) -> bool:
    """Return whether the view is FULL, given by name or, as the Python client does, by number."""
    return str(view) in ("FULL", "2")


def _update(queue: TaskQueue, message: Json) -> TaskQueue:
    """Apply the settings of a Queue message. Raise ApiError, and change nothing, if one is invalid."""
    retry = queue.retry.merged(message_field(message, "retryConfig"))
    queue.rate = queue.rate.merged(message_field(message, "rateLimits"))
    queue.retry = retry
    return queue


def _apply_mask(message: Json, mask: str) -> Json:
    """Return the fields of a Queue message that an update mask such as `retryConfig.maxAttempts,rateLimits` selects."""
    paths = {tuple(path.split(".")) for path in mask.split(",") if path}
    retry = {"maxRetryDuration": "0s"} | RetryConfig().resource()
    defaults = {"retryConfig": retry, "rateLimits": RateLimits().resource()}
    return {
        group: {
            name: value
            for name, value in (defaults[group] | message_field(message, group)).items()
            if not paths or (group,) in paths or (group, name) in paths
        }
        for group in defaults
    }
