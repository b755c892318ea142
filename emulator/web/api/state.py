"""The state of it all, and what happens, live."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app, request

from emulator.core.journal import Entry
from emulator.emulator import Emulator
from emulator.runs.steps import steps_of
from emulator.web.api import body

PING_SECONDS = 10.0
UNSEEN = ("auth0.log",)  # what the entry before says too


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("state", __name__)

    @api.get("")
    def index() -> Response:
        """This list."""
        return body.answer({"api": sorted(_index(), key=lambda row: (row["path"], row["method"]))})

    @api.get("/state")
    def show_state() -> Response:
        """What is broken on purpose, what an edit broke, how many runs and mails there are."""
        return body.answer(state(emulator))

    @api.get("/live")
    def live() -> Response:
        """What happens from now on (or `after` an entry's number), as server-sent events."""
        entries = emulator.journal.entries()
        last = entries[-1].number if entries else 0
        after = request.headers.get("Last-Event-ID", "") or request.args.get("after", "")
        start = int(after) if after.isdecimal() else last
        return Response(_stream(emulator, start), content_type="text/event-stream; charset=utf-8")

    @api.post("/reset")
    def reset() -> Response:
        """As after the start: no run, no mail, nothing broken, new keys."""
        emulator.reset()
        return body.done()

    return api


def state(emulator: Emulator) -> dict[str, Any]:
    return {
        "on": emulator.switches.waiting(),
        "faults": [fault.as_json() for fault in emulator.faults_in_source()],
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
    """Ends when the reader goes: the next write to it fails."""
    yield "retry: 1000\n\n"
    while True:
        entry = emulator.journal.wait(lambda _: True, after=after, timeout=PING_SECONDS)
        if entry is None:
            yield ": still here\n\n"
            continue
        after = entry.number
        yield f"id: {entry.number}\nevent: entry\ndata: {json.dumps(_told(entry), default=str)}\n\n"


def _told(entry: Entry) -> dict[str, Any]:
    seen = () if entry.kind in UNSEEN else steps_of(entry)
    steps = [{"who": s.who, "what": s.what, "state": s.state, "on_purpose": s.on_purpose} for s in seen]
    mail = {"mail": entry.data["id"]} if entry.kind == "sendgrid.mail" else {}
    run = {name: entry.data[name] for name in ("number", "waiting")} if entry.kind == "run.ended" else {}
    return {"kind": entry.kind, "steps": steps, **mail, **run}
