"""The emulator's local API, which its page and `--send` use. Loopback only."""

import json
from dataclasses import asdict
from typing import Any

from flask import Flask, Response, request

from emulator.emulator import Emulator, Run
from emulator.timeline import mails, timeline

HOSTS = ("127.0.0.1", "localhost", "[::1]")


def app(emulator: Emulator) -> Flask:
    """`POST /api/runs` with an event runs it; `GET /api/runs/N` shows one again."""
    flask = Flask(__name__, static_folder=None)
    flask.json.sort_keys = False  # type: ignore[attr-defined]

    @flask.before_request
    def _refuse_strangers() -> Response | None:
        """A page elsewhere must not drive the emulator through a person's browser, whatever name it gives us."""
        host = request.host.rpartition(":")[0] or request.host
        origin = request.headers.get("Origin")
        if host not in HOSTS or (origin is not None and origin != f"http://{request.host}"):
            return _error(403, "open the emulator at its own address, http://127.0.0.1")
        return None

    @flask.post("/api/runs")
    def _run() -> Response:
        try:
            event = json.loads(request.get_data())
        except ValueError as error:
            return _error(400, f"the event is not JSON: {error}")
        if not isinstance(event, dict):
            return _error(400, "the event is not a JSON object")
        return _shown(emulator.run(event))

    @flask.get("/api/runs/<int:number>")
    def _show(number: int) -> Response:
        if not 1 <= number <= len(emulator.runs):
            return _error(404, f"no run {number}; there are {len(emulator.runs)}")
        return _shown(emulator.runs[number - 1])

    return flask


def _shown(run: Run) -> Response:
    body: dict[str, Any] = {
        "number": run.number,
        "status": run.execution.status,
        "timeline": timeline(run),
        "mails": mails(run),
        "entries": [asdict(entry) for entry in run.entries],
    }
    return Response(json.dumps(body, indent=1, default=str), content_type="application/json")


def _error(status: int, message: str) -> Response:
    return Response(json.dumps({"error": message}), status, content_type="application/json")
