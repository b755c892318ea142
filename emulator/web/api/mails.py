"""Mails: what SendGrid accepted, in every form."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from emulator.core.journal import Entry
from emulator.emulator import Emulator
from emulator.sendgrid.email import Email
from emulator.sendgrid.email_lint import checks
from emulator.web.api import body
from emulator.web.api.guard import MAIL_POLICY
from emulator.web.api.runs import find
from emulator.web.language_gallery import LanguageGallery, RenderError, in_theme


def routes(emulator: Emulator, sheet: LanguageGallery) -> Blueprint:
    api = Blueprint("mails", __name__)

    @api.get("/mails")
    def list_mails() -> Response:
        """The inbox, the oldest first."""
        return body.answer({"mails": [mail.as_json() for mail in emulator.sendgrid.inbox()]})

    @api.get("/mails/<int:number>")
    def show_mail(number: int) -> Response:
        """One mail, with the JSON that SendGrid got and the checks."""
        mail = entry(emulator, number).data
        return body.answer({**mail, "checks": [asdict(check) for check in checks(mail)]})

    @api.get("/mails/<int:number>.eml")
    def eml(number: int) -> Response:
        """The mail as a file that mail programs open."""
        name = f'attachment; filename="mail-{number}.eml"'
        source = mail_of(entry(emulator, number).data).eml()
        return body.ApiResponse(source, content_type="message/rfc822", headers={"Content-Disposition": name})

    @api.get("/mails/<int:number>/html")
    def html(number: int) -> Response:
        """Its HTML, under a policy that runs no script; links open in a new tab. `theme`: light or dark."""
        return mail_page(entry(emulator, number).data["html"], request.args.get("theme", ""))

    @api.post("/mails/delete")
    def delete_mails() -> Response:
        """Empty the inbox."""
        emulator.sendgrid.clear()
        emulator.journal.record("inbox.emptied")
        return body.done()

    @api.get("/runs/<int:number>/preview")
    def preview(number: int) -> Response:
        """The run's mail in another `language` and `theme`, made by the function in sandbox mode; nobody gets it."""
        try:
            made = sheet.html(find(emulator, number).event, request.args.get("language", "en"))
        except RenderError as error:
            raise body.RequestError(str(error), 502) from None
        return mail_page(made, request.args.get("theme", ""))

    return api


def entry(emulator: Emulator, number: int) -> Entry:
    """The mail's entry, even where the inbox was emptied since. Raises RefusedError."""
    found = [mail for mail in emulator.journal.entries(kind="sendgrid.mail") if mail.data["id"] == number]
    if not found:
        raise body.RequestError(f"no mail {number}", 404)
    return found[0]


def mail_of(data: Mapping[str, Any]) -> Email:
    envelopes = data["request"]["personalizations"]
    index = next(number for number, envelope in enumerate(envelopes) if envelope.get("to", []) == data["to"])
    return Email(data["id"], data["message_id"], data["time"], data["request"], index)


def mail_page(html: str, theme: str) -> Response:
    linked = html.replace("<head>", '<head><base target="_blank">', 1)
    shown = in_theme(linked, theme) if theme in ("light", "dark") else linked
    headers = {"Content-Security-Policy": MAIL_POLICY}
    return body.ApiResponse(shown, content_type="text/html; charset=utf-8", headers=headers)
