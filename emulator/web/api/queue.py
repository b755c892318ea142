"""The queue: what Cloud Tasks still has to deliver, where the function delivers by queue."""

from typing import Any

from flask import Blueprint, Response

from emulator.cloud_tasks.server import FakeCloudTasks
from emulator.emulator import Emulator
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("queue", __name__)

    @api.get("/queue")
    def show_queue() -> Response:
        """Whether it is paused, and its tasks: state, attempts, next retry."""
        return body.answer(shown(_queue(emulator)))

    @api.post("/queue")
    def change_queue() -> Response:
        """Pause it or let it go on: `paused` is true or false."""
        queue, paused = _queue(emulator), body.read().get("paused")
        if not isinstance(paused, bool):
            raise body.RequestError("paused: expected true or false")
        queue.paused = paused
        return _changed(emulator, queue)

    @api.post("/queue/run")
    def run_now() -> Response:
        """Make every waiting task due now."""
        queue = _queue(emulator)
        queue.run_now()
        return _changed(emulator, queue)

    @api.post("/queue/duplicate")
    def duplicate() -> Response:
        """Deliver the next task twice, as the service rarely does."""
        queue = _queue(emulator)
        queue.duplicate_next()
        return _changed(emulator, queue)

    return api


def _queue(emulator: Emulator) -> FakeCloudTasks:
    if emulator.cloud_tasks is None:
        raise body.RequestError("there is no queue: the function sends within the request", 404)
    return emulator.cloud_tasks


def _changed(emulator: Emulator, queue: FakeCloudTasks) -> Response:
    emulator.journal.record("queue.changed", paused=queue.paused)
    return body.answer(shown(queue))


def shown(queue: FakeCloudTasks) -> dict[str, Any]:
    return {"paused": queue.paused, "tasks": [_task(task) for task in queue.tasks()]}


def _task(task: dict[str, Any]) -> dict[str, Any]:
    last = task.get("lastAttempt", {})
    under_way = "dispatchTime" in last and "responseTime" not in last
    return {
        "name": task["name"].rpartition("/")[2],
        "action": task["httpRequest"]["url"].rpartition("/")[2],
        "url": task["httpRequest"]["url"],
        "state": "running" if under_way else "waiting",
        "attempts": task["dispatchCount"],
        "next": task["scheduleTime"],
        "last": last.get("responseStatus", {}).get("message", ""),
    }
