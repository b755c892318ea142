"""Emails that SendGrid accepted, in every format."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, request

from emulator.emulator import Emulator
from emulator.sendgrid.email import Email
from emulator.sendgrid.email_lint import checks
from emulator.web.api import body, paging
from emulator.web.api.content_policy import EMAIL_POLICY
from emulator.web.api.runs import find
from emulator.web.language_gallery import LanguageGallery, RenderError, in_theme


def routes(emulator: Emulator, gallery: LanguageGallery) -> Blueprint:
    api = Blueprint("emails", __name__)

    @api.get("/inbox")
    def list_inbox() -> Response:
        """List the emails in the inbox in brief, newest first: `limit` (50) older than `before` that contain `q`."""
        page = paging.page(search(emulator, request.args.get("q", "")), lambda each: int(each["number"]))
        return body.json_response({"emails": page.items, **page.as_json()})

    @api.get("/mails")
    def list_emails() -> Response:
        """List the emails in the inbox in full, oldest first."""
        return body.json_response({"mails": [email.as_json() for email in emulator.sendgrid.inbox()]})

    @api.get("/mails/<int:number>")
    def show_email(number: int) -> Response:
        """Return an email, with the JSON that SendGrid received and the results of the checks."""
        email = find_email(emulator, number).as_json()
        return body.json_response({**email, "checks": [asdict(check) for check in checks(email)]})

    @api.get("/mails/<int:number>.eml")
    def eml(number: int) -> Response:
        """Download the email as a file for email clients."""
        disposition = f'attachment; filename="email-{number}.eml"'
        source = find_email(emulator, number).eml()
        return body.ApiResponse(source, content_type="message/rfc822", headers={"Content-Disposition": disposition})

    @api.get("/mails/<int:number>/html")
    def html(number: int) -> Response:
        """Return the email's HTML with scripts blocked; links open in a new tab. `theme`: light or dark."""
        return email_page(find_email(emulator, number).html, request.args.get("theme", ""))

    @api.get("/runs/<int:number>/preview")
    def preview(number: int) -> Response:
        """Render the run's email in another `language` and `theme`, in sandbox mode; nothing is sent."""
        try:
            rendered = gallery.html(find(emulator, number).event, request.args.get("language", "en"))
        except RenderError as error:
            raise body.RequestError(str(error), 502) from None
        return email_page(rendered, request.args.get("theme", ""))

    _add_deletion(api, emulator)
    return api


def _add_deletion(api: Blueprint, emulator: Emulator) -> None:
    @api.post("/mails/delete")
    def delete_emails() -> Response:
        """Empty the inbox."""
        emulator.sendgrid.clear()
        emulator.journal.record("inbox.emptied")
        return body.done()

    @api.post("/mails/<int:number>/delete")
    def delete_email(number: int) -> Response:
        """Delete an email from the inbox; the run that sent it still shows it."""
        if not emulator.sendgrid.delete(number):
            raise body.RequestError(f"email {number} isn't in the inbox", 404)
        emulator.journal.record("inbox.deleted", number=number)
        return body.done()


def find_email(emulator: Emulator, number: int) -> Email:
    """Return an email in the inbox, or one that a run still shows. Raise RequestError."""
    email = next((email for email in emulator.sendgrid.inbox() if email.number == number), None)
    sent = (entry for run in reversed(emulator.runs) for entry in run.emails)
    shown = email or next((to_email(entry.data) for entry in sent if entry.data["number"] == number), None)
    if shown is None:
        raise body.RequestError(f"email {number} not found", 404)
    return shown


def summary_json(emulator: Emulator, email: Email) -> dict[str, Any]:
    """Return an email in brief; `run` is the number of the run that sent it, or None."""
    run = emulator.run_history.of_callout(email.custom_args.get("webhook_id", ""))
    return {
        "number": email.number,
        "time": email.time,
        "url": f"/inbox/{email.number}",
        "run": run and run.number,
        "from": email.sender,
        "to": email.to,
        "subject": email.subject,
    }


def search(emulator: Emulator, query: str) -> list[dict[str, Any]]:
    """Return the emails in brief, newest first, whose sender, recipients, and subject contain all words of `query`."""
    newest_first = [summary_json(emulator, email) for email in reversed(emulator.sendgrid.inbox())]
    return [
        summary for summary in newest_first if all(word in _searchable(summary) for word in query.casefold().split())
    ]


def _searchable(summary: Mapping[str, Any]) -> str:
    people = (text for person in [summary["from"], *summary["to"]] for text in person.values())
    return " ".join([*people, summary["subject"]]).casefold()


def to_email(data: Mapping[str, Any]) -> Email:
    personalizations = data["request"]["personalizations"]
    index = next(i for i, personalization in enumerate(personalizations) if personalization.get("to", []) == data["to"])
    return Email(data["number"], data["message_id"], data["time"], data["request"], index)


def email_page(html: str, theme: str) -> Response:
    linked = html.replace("<head>", '<head><base target="_blank">', 1)
    themed = in_theme(linked, theme) if theme in ("light", "dark") else linked
    headers = {"Content-Security-Policy": EMAIL_POLICY}
    return body.ApiResponse(themed, content_type="text/html; charset=utf-8", headers=headers)
