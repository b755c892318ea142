"""Runs: start, inspect, replay, and export them."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from emulator.emulator import Emulator
from emulator.runs.run import Run
from emulator.runs.steps import steps
from emulator.runs.timeline import format_emails, timeline
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("runs", __name__)

    @api.get("/runs")
    def list_runs() -> Response:
        """List all runs in brief, oldest first."""
        return body.json_response({"runs": [_summary(run) for run in emulator.runs]})

    @api.post("/runs")
    def run() -> Response:
        """Run the forwarder with the event in the body; respond when it has finished."""
        return body.json_response(to_dict(emulator.run(_event())))

    @api.get("/runs/<int:number>")
    def show_run(number: int) -> Response:
        """Return a run: the result in Auth0's format, the steps, and all journal entries."""
        return body.json_response(to_dict(find(emulator, number)))

    @api.post("/runs/<int:number>/replay")
    def replay(number: int) -> Response:
        """Run the same event again."""
        return body.json_response(to_dict(emulator.run(find(emulator, number).event)))

    @api.get("/runs/<int:number>/curl")
    def curl(number: int) -> Response:
        """Return the run's callout as a shell command with a new ID and a signature valid for five minutes."""
        command = find(emulator, number).callout().curl(emulator.function.url, emulator.keys.signing_key)
        return body.ApiResponse(command + "\n", content_type="text/plain; charset=utf-8")

    return api


def find(emulator: Emulator, number: int) -> Run:
    """Return the run with this number. Raises RequestError."""
    run = next((run for run in emulator.runs if run.number == number), None)
    if run is None:
        raise body.RequestError(f"run {number} not found; number of runs: {len(emulator.runs)}", 404)
    return run


def _event() -> dict[str, Any]:
    try:
        return body.read_object()
    except body.RequestError as error:
        raise body.RequestError(str(error).replace("the body", "the event")) from None


def _summary(run: Run) -> dict[str, Any]:
    summary = {"number": run.number, "url": f"/runs/{run.number}", "status": run.execution.status}
    return {**summary, "waiting": run.is_pending, "mails": [entry.data["id"] for entry in run.emails]}


def result(run: Run) -> dict[str, Any]:
    """Return the result in the format of Auth0's Test panel."""
    error = {"error": run.execution.error} if run.execution.error else {}
    return {"payload": {**error, "stats": run.execution.stats}}


def to_dict(run: Run) -> dict[str, Any]:
    return {
        **_summary(run),
        "event": run.event,
        "result": result(run),
        "logs": run.execution.logs,
        "kept": run.execution.kept,
        "timeline": timeline(run),
        "mail": format_emails(run),
        "steps": [asdict(step) for step in steps(run)],
        "entries": [asdict(entry) for entry in run.entries],
    }
