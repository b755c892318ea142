"""The emulator's state, and its live event stream."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app, request

from emulator.core.journal import Entry
from emulator.emulator import Emulator
from emulator.runs.steps import entry_steps
from emulator.runs.summary import summarize
from emulator.web.api import body, emails, runs

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
        """Return the active faults, the errors in edited files, and the numbers of runs, running runs, and emails."""
        return body.json_response(state(emulator))

    @api.get("/live")
    def live() -> Response:
        """Stream new journal entries (or all `after` an entry's number) as server-sent events, with runs and emails."""
        last = emulator.journal.last_number
        after = request.headers.get("Last-Event-ID", "") or request.args.get("after", "")
        start = min(int(after), last) if after.isdecimal() else last
        return Response(_stream(emulator, start), content_type="text/event-stream; charset=utf-8")

    @api.post("/reset")
    def reset() -> Response:
        """Return to the initial state: no runs, no emails, no faults, new keys."""
        emulator.reset()
        return body.done()

    return api


def state(emulator: Emulator) -> dict[str, Any]:
    kept = emulator.runs
    return {
        "instance": emulator.instance,
        "on": emulator.fault_toggles.pending(),
        "faults": [error.as_json() for error in emulator.source_errors()],
        "revision": emulator.function.revision.number,
        "runs": len(kept),
        "last_run": kept[-1].number if kept else 0,
        "running": sum(run.is_running for run in kept),
        "last_entry": emulator.journal.last_number,
        "mails": len(emulator.sendgrid.inbox()),
    }


def _index() -> Iterator[dict[str, str]]:
    for rule in current_app.url_map.iter_rules():
        if rule.rule.startswith("/api"):
            what = (current_app.view_functions[rule.endpoint].__doc__ or "").strip()
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            yield {"method": method, "path": rule.rule.replace("<int:", "<"), "what": what}


def _stream(emulator: Emulator, after: int) -> Iterator[str]:
    """Yield entries until the client disconnects: the next write then fails, so pings limit the wait."""
    hello = {"kind": "hello", "steps": [], "instance": emulator.instance, "after": after}
    yield f"retry: 1000\nevent: hello\ndata: {json.dumps(hello)}\n\n"
    while True:
        entry = emulator.journal.wait(lambda _: True, after=after, timeout=PING_INTERVAL_SECONDS)
        if entry is None:
            yield ": ping\n\n"
            continue
        after = entry.number
        text = json.dumps(_to_dict(emulator, entry), default=str)
        yield f"id: {entry.number}\nevent: entry\ndata: {text}\n\n"


def _to_dict(emulator: Emulator, entry: Entry) -> dict[str, Any]:
    """Return the entry's kind and steps, and what it changed: `run` and `email` in brief."""
    shown = () if entry.kind in HIDDEN_KINDS else entry_steps(entry)
    steps = [{"who": s.who, "what": s.what, "state": s.state, "fault": s.fault} for s in shown]
    data: dict[str, Any] = {"kind": entry.kind, "steps": steps}
    run = emulator.run_history.owner(entry)
    if run is not None:
        data["run"] = runs.summary_json(emulator, summarize(run))
    if entry.kind == "sendgrid.mail":
        email = emails.to_email(entry.data)
        data |= {"mail": email.number, "email": emails.summary_json(emulator, email)}
    names = {"run.ended": ("number", "waiting"), "runs.deleted": ("number",), "inbox.deleted": ("number",)}
    return data | {name: entry.data[name] for name in names.get(entry.kind, ()) if name in entry.data}
