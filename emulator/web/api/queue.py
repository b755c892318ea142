"""The Cloud Tasks queue, if the function delivers through one: list, run, and duplicate its tasks, and pause it."""

from typing import Any

from flask import Blueprint, Response

from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.emulator import Emulator
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("queue", __name__)

    @api.get("/queue")
    def show_queue() -> Response:
        """Return whether the queue is paused, and its tasks: state, attempts, next attempt."""
        return body.json_response(to_dict(_queue(emulator)))

    @api.post("/queue")
    def change_queue() -> Response:
        """Pause or resume the queue: `paused` is true or false."""
        queue, paused = _queue(emulator), body.read_object().get("paused")
        if not isinstance(paused, bool):
            raise body.RequestError("paused: expected true or false")
        queue.paused = paused
        return _record_change(emulator, queue)

    @api.post("/queue/run")
    def run_now() -> Response:
        """Run every waiting task now."""
        queue = _queue(emulator)
        queue.run_now()
        return _record_change(emulator, queue)

    @api.post("/queue/duplicate")
    def duplicate() -> Response:
        """Deliver the next task twice, as Cloud Tasks occasionally does."""
        queue = _queue(emulator)
        queue.duplicate_next()
        return _record_change(emulator, queue)

    return api


def _queue(emulator: Emulator) -> FakeCloudTasks:
    if emulator.cloud_tasks is None:
        raise body.RequestError("there is no queue; start the emulator with --delivery queue", 404)
    return emulator.cloud_tasks


def _record_change(emulator: Emulator, queue: FakeCloudTasks) -> Response:
    emulator.journal.record("queue.changed", paused=queue.paused)
    return body.json_response(to_dict(queue))


def to_dict(queue: FakeCloudTasks) -> dict[str, Any]:
    return {"paused": queue.paused, "tasks": [_task(task) for task in queue.tasks()]}


def _task(task: dict[str, Any]) -> dict[str, Any]:
    last = task.get("lastAttempt", {})
    is_running = "dispatchTime" in last and "responseTime" not in last
    return {
        "name": task["name"].rpartition("/")[2],
        "action": task["httpRequest"]["url"].rpartition("/")[2],
        "url": task["httpRequest"]["url"],
        "state": "running" if is_running else "waiting",
        "attempts": task["dispatchCount"],
        "next": task["scheduleTime"],
        "last": last.get("responseStatus", {}).get("message", ""),
    }
