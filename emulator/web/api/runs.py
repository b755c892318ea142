"""Runs: let a password be changed, look at what came of it, and take it along."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from emulator.emulator import Emulator
from emulator.runs.run import Run
from emulator.runs.steps import steps
from emulator.runs.timeline import mails, timeline
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("runs", __name__)

    @api.get("/runs")
    def list_runs() -> Response:
        """All runs, the oldest first, in brief."""
        return body.answer({"runs": [_brief(run) for run in emulator.runs]})

    @api.post("/runs")
    def run() -> Response:
        """Run the event that is the body; the answer comes when the Action has ended."""
        return body.answer(shown(emulator.run(_event())))

    @api.get("/runs/<int:number>")
    def show_run(number: int) -> Response:
        """One run: the result in Auth0's shape, the steps, and every entry of the journal."""
        return body.answer(shown(find(emulator, number)))

    @api.post("/runs/<int:number>/replay")
    def replay(number: int) -> Response:
        """Run the same event once more."""
        return body.answer(shown(emulator.run(find(emulator, number).event)))

    @api.get("/runs/<int:number>/curl")
    def curl(number: int) -> Response:
        """The run's callout as a shell command, under a new id and signed now: it works for five minutes."""
        command = find(emulator, number).callout().curl(emulator.function.url, emulator.keys.signing_key)
        return body.ApiResponse(command + "\n", content_type="text/plain; charset=utf-8")

    return api


def find(emulator: Emulator, number: int) -> Run:
    """Raises RefusedError."""
    run = next((run for run in emulator.runs if run.number == number), None)
    if run is None:
        raise body.RequestError(f"no run {number}; there are {len(emulator.runs)}", 404)
    return run


def _event() -> dict[str, Any]:
    try:
        return body.read()
    except body.RequestError as error:
        raise body.RequestError(str(error).replace("the body", "the event")) from None


def _brief(run: Run) -> dict[str, Any]:
    brief = {"number": run.number, "url": f"/runs/{run.number}", "status": run.execution.status}
    return {**brief, "waiting": run.waiting, "mails": [entry.data["id"] for entry in run.mails]}


def result(run: Run) -> dict[str, Any]:
    """As Auth0's Test panel gives it."""
    error = {"error": run.execution.error} if run.execution.error else {}
    return {"payload": {**error, "stats": run.execution.stats}}


def shown(run: Run) -> dict[str, Any]:
    return {
        **_brief(run),
        "event": run.event,
        "result": result(run),
        "logs": run.execution.logs,
        "kept": run.execution.kept,
        "timeline": timeline(run),
        "mail": mails(run),
        "steps": [asdict(step) for step in steps(run)],
        "entries": [asdict(entry) for entry in run.entries],
    }
