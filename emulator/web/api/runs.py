"""Runs: list, start, inspect, replay, export, and delete them."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from emulator.emulator import Emulator
from emulator.runs.run import Run
from emulator.runs.steps import steps
from emulator.runs.summary import Summary, select, summarize
from emulator.runs.timeline import format_emails, timeline
from emulator.web.api import body, paging


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("runs", __name__)

    @api.get("/runs")
    def list_runs() -> Response:
        """List the runs in brief, newest first: up to `limit` (50) older than `before` that match `q` and `outcome`."""
        text, outcomes = request.args.get("q", ""), request.args.getlist("outcome")
        matching = list(select(emulator.runs, text, outcomes))
        page = paging.page(matching, lambda summary: summary.number)
        return body.json_response(
            {"runs": [summary_json(emulator, summary) for summary in page.items], **page.as_json()}
        )

    @api.post("/runs")
    def run() -> Response:
        """Run the forwarder with the event in the body; respond when it has finished."""
        return body.json_response(to_dict(emulator, emulator.run(_event())))

    @api.post("/runs/delete")
    def delete_runs() -> Response:
        """Delete all runs; their emails stay in the inbox."""
        emulator.run_history.clear()
        emulator.journal.record("runs.deleted")
        return body.done()

    @api.post("/runs/<int:number>/delete")
    def delete_run(number: int) -> Response:
        """Delete a run; its emails stay in the inbox."""
        find(emulator, number)
        emulator.run_history.delete(number)
        emulator.journal.record("runs.deleted", number=number)
        return body.done()

    @api.get("/runs/<int:number>")
    def show_run(number: int) -> Response:
        """Return a run: the result in Auth0's format, the steps, and all journal entries."""
        return body.json_response(to_dict(emulator, find(emulator, number)))

    @api.post("/runs/<int:number>/replay")
    def replay(number: int) -> Response:
        """Run the same event again."""
        return body.json_response(to_dict(emulator, emulator.run(find(emulator, number).event)))

    @api.get("/runs/<int:number>/curl")
    def curl(number: int) -> Response:
        """Return the run's callout as a shell command with a new ID and a signature valid for five minutes."""
        command = find(emulator, number).callout().curl(emulator.function.url, emulator.keys.signing_key)
        return body.ApiResponse(command + "\n", content_type="text/plain; charset=utf-8")

    return api


def find(emulator: Emulator, number: int) -> Run:
    """Return the run with this number. Raise RequestError."""
    run = emulator.run_history.get(number)
    if run is None:
        raise body.RequestError(f"run {number} not found; {_kept(emulator)}", 404)
    return run


def _kept(emulator: Emulator) -> str:
    runs = emulator.runs
    return f"runs {runs[0].number} to {runs[-1].number} are kept" if runs else "there are no runs"


def _event() -> dict[str, Any]:
    try:
        return body.read_object()
    except body.RequestError as error:
        raise body.RequestError(str(error).replace("the body", "the event")) from None


def summary_json(emulator: Emulator, summary: Summary) -> dict[str, Any]:
    """Return a run in brief; `status`, `waiting`, and `mails` are the fields of release 1.0.0."""
    run = emulator.run_history.get(summary.number)
    status = run.execution.status if run else ""
    compatible = {"status": status, "waiting": summary.outcome == "queued", "mails": summary.emails}
    return {**summary.as_json(), **compatible}


def result(run: Run) -> dict[str, Any]:
    """Return the result in the format of Auth0's Test panel."""
    error = {"error": run.execution.error} if run.execution.error else {}
    return {"payload": {**error, "stats": run.execution.stats}}


def to_dict(emulator: Emulator, run: Run) -> dict[str, Any]:
    return {
        **summary_json(emulator, summarize(run)),
        "event": run.event,
        "result": result(run),
        "logs": run.execution.logs,
        "kept": run.execution.kept,
        "timeline": timeline(run),
        "mail": format_emails(run),
        "steps": [asdict(step) for step in steps(run)],
        "entries": [asdict(entry) for entry in run.entries],
    }
