"""The pages, by their addresses."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from emulator.auth0.event_schema import findings
from emulator.auth0.samples import FIRST, Sample, examples
from emulator.auth0.users import ADMINISTRATOR, PLACES, Users
from emulator.emulator import Emulator
from emulator.fault_toggles import FaultToggle
from emulator.runs.run import Run
from emulator.runs.steps import pretty
from emulator.sendgrid.email_lint import checks, links
from emulator.web import presenters
from emulator.web.api import body, mails, queue, runs, secrets, state
from emulator.web.language_gallery import languages

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FORMS = ("html", "text", "source", "headers", "json", "checks")
RECENT = 12
COUNTS = ((1, "the next request"), (3, "the next 3"), (10, "the next 10"), (None, "every request"))


def views(emulator: Emulator, tenant: Users, folders: Sequence[Path]) -> Blueprint:
    page = Blueprint("page", __name__, template_folder="templates")
    _Pages(emulator, tenant, folders).register(page)
    return page


class _Pages:
    """Each public method is a page; what all of them show comes with `_page`."""

    def __init__(self, emulator: Emulator, tenant: Users, folders: Sequence[Path]) -> None:
        self._emulator, self._tenant, self._folders = emulator, tenant, folders

    def register(self, page: Blueprint) -> None:
        page.app_context_processor(self._common)
        for rule, show in (
            ("/", self.latest),
            ("/runs/<int:number>", self.run),
            ("/runs/<int:number>/result", self.result),
            ("/runs/<int:number>/sheet", self.sheet),
            ("/test", self.test),
            ("/inbox", self.inbox),
            ("/inbox/<int:number>", self.mail),
            ("/inbox/<int:number>/arrived", self.arrived),
            ("/break", self.breaking),
            ("/secrets", self.secrets),
            ("/queue", self.queue),
            ("/login", self.login),
            ("/forgot", self.forgot),
            ("/reset", self.reset),
            ("/admin", self.admin),
            ("/static/<name>", static),
        ):
            page.add_url_rule(rule, show.__name__, show, methods=["GET"])

    def _common(self) -> dict[str, Any]:
        """For every template."""
        entries = self._emulator.journal.entries()
        return {
            "now": state.state(self._emulator),
            "last_entry": entries[-1].number if entries else 0,
            "has_queue": self._emulator.cloud_tasks is not None,
            "function_url": self._emulator.function.url,
            "switches": self._switches(),
            "counts": COUNTS,
            "view": presenters,
            "path": request.path,
        }

    def _switches(self) -> dict[str, list[FaultToggle]]:
        """By part, in the order of the parts."""
        parts: dict[str, list[FaultToggle]] = {}
        for switch in self._emulator.switches.all():
            parts.setdefault(switch.part, []).append(switch)
        return parts

    def latest(self) -> str:
        run = self._emulator.runs[-1] if self._emulator.runs else None
        return self._run(run) if run else render_template("empty.html")

    def run(self, number: int) -> str:
        return self._run(runs.find(self._emulator, number))

    def _run(self, run: Run) -> str:
        recent = self._emulator.runs[-RECENT:]
        event = pretty(run.event)
        return render_template("run.html", run=run, rows=presenters.rows(run), recent=recent, event=event)

    def result(self, number: int) -> str:
        run = runs.find(self._emulator, number)
        return render_template("result.html", run=run, payload=pretty(runs.result(run)))

    def sheet(self, number: int) -> str:
        run = runs.find(self._emulator, number)
        chosen = {
            "theme": request.args.get("theme", "both"),
            "width": request.args.get("width", "360"),
            "language": request.args.get("language", "all"),
        }
        known = languages()
        shown = known if chosen["language"] == "all" else {chosen["language"]: known.get(chosen["language"], "")}
        themes = ("light", "dark") if chosen["theme"] == "both" else (chosen["theme"],)
        widths = ("360", "600") if chosen["width"] == "both" else (chosen["width"],)
        return render_template(
            "sheet.html", run=run, languages=known, shown=shown, themes=themes, widths=widths, chosen=chosen
        )

    def test(self) -> str:
        known = examples(self._folders)
        chosen = self._chosen(known)
        found = findings(chosen.text)
        return render_template("test.html", examples=known, chosen=chosen, findings=found)

    def _chosen(self, known: Sequence[Sample]) -> Sample:
        """The example that is asked for, or a run's event, or Auth0's default sample."""
        number = request.args.get("run", type=int)
        if number is not None:
            run = runs.find(self._emulator, number)
            return Sample(f"run {run.number}", pretty(run.event), own=True)
        name = request.args.get("example", FIRST)
        return next((example for example in known if example.name == name), known[0])

    def inbox(self) -> str | AnyResponse:
        mails = self._emulator.sendgrid.inbox()
        return redirect(f"/inbox/{mails[-1].id}") if mails else render_template("inbox.html", mails=[], mail=None)

    def mail(self, number: int) -> str:
        show = request.args.get("show", "html")
        if show not in FORMS:
            raise body.RequestError(f"no form {show!r}; there are: {', '.join(FORMS)}", 404)
        data = mails.entry(self._emulator, number).data
        source = mails.mail_of(data).eml().decode("utf-8", "replace").replace("\r\n", "\n")
        return render_template(
            "inbox.html",
            mails=self._emulator.sendgrid.inbox()[::-1],
            mail=data,
            show=show,
            forms=FORMS,
            source=source,
            headers=source.partition("\n\n")[0],
            json=json.dumps(data["request"], indent=2, ensure_ascii=False),
            checks=checks(data),
            links=links(data),
        )

    def arrived(self, number: int) -> str:
        return render_template("arrived.html", mail=mails.entry(self._emulator, number).data)

    def breaking(self) -> str:
        return render_template("break.html")

    def secrets(self) -> str:
        return render_template("secrets.html", secrets=secrets.shown(self._emulator))

    def queue(self) -> str:
        tasks = self._emulator.cloud_tasks
        return render_template("queue.html", queue=tasks and queue.shown(tasks))

    def login(self) -> str:
        return render_template("login.html")

    def forgot(self) -> str:
        return render_template("forgot.html")

    def reset(self) -> str:
        ticket = self._tenant.ticket(request.args.get("ticket", ""))
        return render_template("reset.html", ticket=ticket, name=request.args.get("ticket", ""), places=PLACES)

    def admin(self) -> str:
        return render_template("admin.html", administrator=ADMINISTRATOR)


def static(name: str) -> body.ApiResponse:
    file = files("emulator.web") / "static" / name
    kind = KINDS.get(Path(name).suffix)
    if kind is None or not file.is_file():
        raise body.RequestError(f"no file {name}", 404)
    return body.ApiResponse(file.read_bytes(), content_type=f"{kind}; charset=utf-8")


def error_page(status: int, message: str) -> str:
    return render_template("error.html", status=status, message=message)
