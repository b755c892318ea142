"""Emails that SendGrid accepted, in every format."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from emulator.core.journal import Entry
from emulator.emulator import Emulator
from emulator.sendgrid.email import Email
from emulator.sendgrid.email_lint import checks
from emulator.web.api import body
from emulator.web.api.content_policy import EMAIL_POLICY
from emulator.web.api.runs import find
from emulator.web.language_gallery import LanguageGallery, RenderError, in_theme


def routes(emulator: Emulator, gallery: LanguageGallery) -> Blueprint:
    api = Blueprint("emails", __name__)

    @api.get("/mails")
    def list_emails() -> Response:
        """List the inbox, oldest first."""
        return body.json_response({"mails": [email.as_json() for email in emulator.sendgrid.inbox()]})

    @api.get("/mails/<int:number>")
    def show_email(number: int) -> Response:
        """Return an email with the JSON that SendGrid received and the results of the checks."""
        email = entry(emulator, number).data
        return body.json_response({**email, "checks": [asdict(check) for check in checks(email)]})

    @api.get("/mails/<int:number>.eml")
    def eml(number: int) -> Response:
        """Download the email as a file for email clients."""
        disposition = f'attachment; filename="mail-{number}.eml"'
        source = to_email(entry(emulator, number).data).eml()
        return body.ApiResponse(source, content_type="message/rfc822", headers={"Content-Disposition": disposition})

    @api.get("/mails/<int:number>/html")
    def html(number: int) -> Response:
        """Return the email's HTML with scripts blocked; links open in a new tab. `theme`: light or dark."""
        return email_page(entry(emulator, number).data["html"], request.args.get("theme", ""))

    @api.post("/mails/delete")
    def delete_emails() -> Response:
        """Empty the inbox."""
        emulator.sendgrid.clear()
        emulator.journal.record("inbox.emptied")
        return body.done()

    @api.get("/runs/<int:number>/preview")
    def preview(number: int) -> Response:
        """Render the run's email in another `language` and `theme`, in sandbox mode; nothing is sent."""
        try:
            rendered = gallery.html(find(emulator, number).event, request.args.get("language", "en"))
        except RenderError as error:
            raise body.RequestError(str(error), 502) from None
        return email_page(rendered, request.args.get("theme", ""))

    return api


def entry(emulator: Emulator, number: int) -> Entry:
    """Return the email's journal entry, which remains when the inbox is emptied. Raises RequestError."""
    found = [email for email in emulator.journal.entries(kind="sendgrid.mail") if email.data["id"] == number]
    if not found:
        raise body.RequestError(f"email {number} not found", 404)
    return found[0]


def to_email(data: Mapping[str, Any]) -> Email:
    personalizations = data["request"]["personalizations"]
    index = next(i for i, personalization in enumerate(personalizations) if personalization.get("to", []) == data["to"])
    return Email(data["id"], data["message_id"], data["time"], data["request"], index)


def email_page(html: str, theme: str) -> Response:
    linked = html.replace("<head>", '<head><base target="_blank">', 1)
    themed = in_theme(linked, theme) if theme in ("light", "dark") else linked
    headers = {"Content-Security-Policy": EMAIL_POLICY}
    return body.ApiResponse(themed, content_type="text/html; charset=utf-8", headers=headers)
