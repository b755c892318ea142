"""The emulator's state, and its live event stream."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app, request

from emulator.core.journal import Entry
from emulator.emulator import Emulator
from emulator.runs.steps import entry_steps
from emulator.web.api import body

PING_INTERVAL_SECONDS = 10.0
HIDDEN_KINDS = ("auth0.log",)  # repeats the preceding entry


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("state", __name__)

    @api.get("")
    def index() -> Response:
        """List the API's methods."""
        return body.json_response({"api": sorted(_index(), key=lambda row: (row["path"], row["method"]))})

    @api.get("/state")
    def show_state() -> Response:
        """Return the active faults, errors in edited files, and the number of runs and emails."""
        return body.json_response(state(emulator))

    @api.get("/live")
    def live() -> Response:
        """Stream new journal entries (or all `after` an entry's number) as server-sent events."""
        entries = emulator.journal.entries()
        last = entries[-1].number if entries else 0
        after = request.headers.get("Last-Event-ID", "") or request.args.get("after", "")
        start = int(after) if after.isdecimal() else last
        return Response(_stream(emulator, start), content_type="text/event-stream; charset=utf-8")

    @api.post("/reset")
    def reset() -> Response:
        """Return to the initial state: no runs, no emails, no faults, new keys."""
        emulator.reset()
        return body.done()

    return api


def state(emulator: Emulator) -> dict[str, Any]:
    return {
        "on": emulator.fault_toggles.pending(),
        "faults": [error.as_json() for error in emulator.source_errors()],
        "revision": emulator.function.revision.number,
        "runs": len(emulator.runs),
        "last_run": emulator.runs[-1].number if emulator.runs else 0,
        "mails": len(emulator.sendgrid.inbox()),
    }


def _index() -> Iterator[dict[str, str]]:
    for rule in current_app.url_map.iter_rules():
        if rule.rule.startswith("/api"):
            what = (current_app.view_functions[rule.endpoint].__doc__ or "").strip()
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            yield {"method": method, "path": rule.rule.replace("<int:", "<"), "what": what}


def _stream(emulator: Emulator, after: int) -> Iterator[str]:
    """Yield entries until the client disconnects: the next write then fails, so pings bound the wait."""
    yield "retry: 1000\n\n"
    while True:
        entry = emulator.journal.wait(lambda _: True, after=after, timeout=PING_INTERVAL_SECONDS)
        if entry is None:
            yield ": ping\n\n"
            continue
        after = entry.number
        yield f"id: {entry.number}\nevent: entry\ndata: {json.dumps(_to_dict(entry), default=str)}\n\n"


def _to_dict(entry: Entry) -> dict[str, Any]:
    shown = () if entry.kind in HIDDEN_KINDS else entry_steps(entry)
    steps = [{"who": s.who, "what": s.what, "state": s.state, "on_purpose": s.on_purpose} for s in shown]
    email = {"mail": entry.data["id"]} if entry.kind == "sendgrid.mail" else {}
    run = {name: entry.data[name] for name in ("number", "waiting")} if entry.kind == "run.ended" else {}
    return {"kind": entry.kind, "steps": steps, **email, **run}
