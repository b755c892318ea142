"""The audit of the emulator's own changes, run as a process: what became of each notice, and sending what was lost."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from emulator.audit import Audit, AuditError
from emulator.web.api import body


def routes(audit: Audit) -> Blueprint:
    api = Blueprint("audit", __name__)

    @api.get("/audit")
    def show_audit() -> Response:
        """Run the audit of the last 24 hours, and return its JSON and exit status."""
        return body.json_response(_run(audit, send=False))

    @api.post("/audit/send")
    def send() -> Response:
        """Run the audit with --send: each missing notice is sent through the function."""
        return body.json_response(_run(audit, send=True))

    return api


def _run(audit: Audit, *, send: bool) -> Mapping[str, Any]:
    try:
        return audit.run(send=send)
    except AuditError as error:
        raise body.RequestError(str(error), 502) from None
