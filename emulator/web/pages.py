"""The HTML pages and static files, by URL."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from emulator.auth0.event_schema import findings
from emulator.auth0.samples import DEFAULT, Sample, examples
from emulator.auth0.users import ADMINISTRATOR, PLACES, Users
from emulator.emulator import Emulator
from emulator.fault_toggles import FaultToggle
from emulator.runs.run import Run
from emulator.runs.steps import pretty_json, steps
from emulator.runs.summary import select, summarize
from emulator.sendgrid.email_lint import checks, links
from emulator.web import presenters
from emulator.web.api import body, emails, paging, queue, runs, secrets, state
from emulator.web.code import highlight
from emulator.web.language_gallery import languages
from emulator.web.presenters import Listed
from emulator.web.waterfall import waterfall

CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
VIEWS = (
    ("/", "Runs"),
    ("/inbox", "Inbox"),
    ("/test", "Test"),
    ("/faults", "Faults"),
    ("/audit", "Audit"),
    ("/secrets", "Secrets"),
    ("/queue", "Queue"),
    ("/login", "Change a password"),
)
LOGIN_PATHS = ("/login", "/forgot", "/reset", "/admin")
EMAIL_VIEWS = {
    "html": "HTML",
    "text": "Text",
    "source": "Source",
    "headers": "Headers",
    "json": "SendGrid JSON",
    "checks": "Checks",
}
REQUEST_COUNTS = ((1, "next request"), (3, "next 3 requests"), (10, "next 10 requests"), (None, "every request"))


def routes(emulator: Emulator, users: Users[Run], folders: Sequence[Path]) -> Blueprint:
    blueprint = Blueprint("pages", __name__, template_folder="templates")
    _Pages(emulator, users, folders).register(blueprint)
    return blueprint


class _Pages:
    """One public method per page, plus `register`; `_context` adds what every template needs."""

    def __init__(self, emulator: Emulator, users: Users[Run], folders: Sequence[Path]) -> None:
        self._emulator, self._users, self._folders = emulator, users, folders

    def register(self, blueprint: Blueprint) -> None:
        blueprint.before_app_request(self._remember_last_entry)
        blueprint.app_context_processor(self._context)
        for rule, page in (
            ("/", self.latest),
            ("/runs/<int:number>", self.run),
            ("/runs/<int:number>/result", self.result),
            ("/runs/<int:number>/languages", self.language_gallery),
            ("/test", self.test),
            ("/inbox", self.inbox),
            ("/inbox/<int:number>", self.email),
            ("/inbox/<int:number>/arrived", self.email_arrived),
            ("/faults", self.faults),
            ("/secrets", self.secrets),
            ("/queue", self.queue),
            ("/login", self.login),
            ("/forgot", self.forgot),
            ("/reset", self.reset),
            ("/admin", self.admin),
            ("/static/<name>", static),
        ):
            blueprint.add_url_rule(rule, page.__name__, page, methods=["GET"])

    def _remember_last_entry(self) -> None:
        """Make the live updates start here, because the page may lack what changes while it's rendered."""
        g.last_entry = self._emulator.journal.last_number

    def _context(self) -> dict[str, Any]:
        has_queue = self._emulator.cloud_tasks is not None
        return {
            "now": state.state(self._emulator),
            "last_entry": g.last_entry,
            "has_queue": has_queue,
            "function_url": self._emulator.function.url,
            "faults_by_part": self._faults_by_part(),
            "request_counts": REQUEST_COUNTS,
            "view": presenters,
            "highlight": highlight,
            "views": [view for view in VIEWS if has_queue or view[0] != "/queue"],
            "view_path": _view_path(request.path),
            "path": request.path,
        }

    def _faults_by_part(self) -> dict[str, list[FaultToggle]]:
        parts: dict[str, list[FaultToggle]] = {}
        for fault in self._emulator.fault_toggles.all():
            parts.setdefault(fault.part, []).append(fault)
        return parts

    def latest(self) -> str | AnyResponse:
        kept = self._emulator.runs
        if not kept:
            return render_template("empty.html", run=None, listed=self._listed_runs())
        return _redirect(f"/runs/{kept[-1].number}")

    def run(self, number: int) -> str:
        run = runs.find(self._emulator, number)
        return render_template(
            "run.html",
            run=run,
            summary=summarize(run),
            emails=run.emails,
            waterfall=waterfall(steps(run)),
            event=pretty_json(run.event),
            listed=self._listed_runs(),
        )

    def _listed_runs(self) -> Listed:
        kept, query, outcome = self._emulator.runs, request.args.get("q", ""), request.args.get("outcome", "")
        return _listed(list(select(kept, query, [outcome] if outcome else [])), len(kept), outcome)

    def result(self, number: int) -> str:
        run = runs.find(self._emulator, number)
        return render_template(
            "result.html", run=run, summary=summarize(run), payload=pretty_json(runs.result(run)), emails=run.emails
        )

    def language_gallery(self, number: int) -> str:
        run = runs.find(self._emulator, number)
        selected = {
            "theme": request.args.get("theme", "both"),
            "width": request.args.get("width", "360"),
            "language": request.args.get("language", "all"),
        }
        available, language = languages(), selected["language"]
        shown = available if language == "all" else {language: available.get(language, "")}
        themes = ("light", "dark") if selected["theme"] == "both" else (selected["theme"],)
        widths = ("360", "600") if selected["width"] == "both" else (selected["width"],)
        return render_template(
            "language_gallery.html",
            run=run,
            languages=available,
            shown=shown,
            themes=themes,
            widths=widths,
            selected=selected,
        )

    def test(self) -> str:
        available = examples(self._folders)
        selected = self._selected_example(available)
        return render_template(
            "test.html",
            examples=available,
            selected=selected,
            findings=findings(selected.text),
            save_folder=self._folders[0],
        )

    def _selected_example(self, available: Sequence[Sample]) -> Sample:
        """Return the event of the run in the query, the example in the query, or Auth0's default sample.

        A deleted run isn't an error: the browser still has the event if the user edited it.
        """
        run = self._emulator.run_history.get(request.args.get("run", 0, type=int))
        if run is not None:
            return Sample(f"run {run.number}", pretty_json(run.event), own=True)
        name = request.args.get("example", DEFAULT)
        return next((example for example in available if example.name == name), available[0])

    def inbox(self) -> str | AnyResponse:
        inbox = self._emulator.sendgrid.inbox()
        if not inbox:
            return render_template("inbox.html", email=None, listed=self._listed_emails())
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        return redirect(f"/inbox/{inbox[-1].number}{query}")

    def email(self, number: int) -> str:
        show = request.args.get("show", "html")
        if show not in EMAIL_VIEWS:
            raise body.RequestError(f"unknown view {show!r}; use one of: {', '.join(EMAIL_VIEWS)}", 404)
        accepted = emails.find_email(self._emulator, number)
        email = accepted.as_json()
        source = accepted.eml().decode("utf-8", "replace").replace("\r\n", "\n")
        return render_template(
            "inbox.html",
            email=email,
            brief=emails.summary_json(self._emulator, accepted),
            listed=self._listed_emails(),
            show=show,
            email_views=EMAIL_VIEWS,
            source=source,
            headers=source.partition("\n\n")[0],
            json=json.dumps(email["request"], indent=2, ensure_ascii=False),
            checks=checks(email),
            links=links(email),
        )

    def _listed_emails(self) -> Listed:
        matching = emails.search(self._emulator, request.args.get("q", ""))
        return _listed(matching, len(self._emulator.sendgrid.inbox()))

    def email_arrived(self, number: int) -> str:
        email = emails.find_email(self._emulator, number)
        brief = emails.summary_json(self._emulator, email)
        return render_template("email_arrived.html", email=email.as_json(), brief=brief)

    def faults(self) -> str:
        return render_template("faults.html", groups=self._emulator.fault_toggles.by_group())

    def secrets(self) -> str:
        return render_template("secrets.html", secrets=secrets.to_dicts(self._emulator))

    def queue(self) -> str:
        tasks = self._emulator.cloud_tasks
        return render_template("queue.html", queue=tasks and queue.to_dict(tasks))

    def login(self) -> str:
        return render_template("login.html")

    def forgot(self) -> str:
        return render_template("forgot.html")

    def reset(self) -> str:
        ticket = self._users.ticket(request.args.get("ticket", ""))
        return render_template("reset.html", ticket=ticket, name=request.args.get("ticket", ""), places=PLACES)

    def admin(self) -> str:
        return render_template("admin.html", administrator=ADMINISTRATOR)


def _listed(matching: list[Any], total: int, outcome: str = "") -> Listed:
    """Return the part of a list that the query selects."""
    limit = max(request.args.get("limit", paging.DEFAULT_LIMIT, type=int), 1)
    more, query = max(len(matching) - limit, 0), request.args.get("q", "")
    return Listed(matching[:limit], more, total, query, outcome, limit, paging.DEFAULT_LIMIT)


def _redirect(path: str) -> AnyResponse:
    """Redirect to another page with the same query."""
    query = request.query_string.decode("latin-1")
    return redirect(f"{path}?{query}" if query else path)


def _view_path(path: str) -> str:
    """Return the path of the view that the page belongs to, as in VIEWS."""
    if path in LOGIN_PATHS:
        return "/login"
    first = "/" + path.split("/")[1]
    return "/" if first == "/runs" else first


def static(name: str) -> body.ApiResponse:
    file = files("emulator.web") / "static" / name
    content_type = CONTENT_TYPES.get(Path(name).suffix)
    if content_type is None or not file.is_file():
        raise body.RequestError(f"no static file named {name}", 404)
    return body.ApiResponse(file.read_bytes(), content_type=f"{content_type}; charset=utf-8")


def error_page(status: int, message: str) -> str:
    return render_template("error.html", status=status, message=message)
