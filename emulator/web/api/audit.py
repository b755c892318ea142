"""Run the audit of the emulator's own password changes, and send missing notices."""

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
        return body.json_response(_run(audit))

    @api.post("/audit/send")
    def send() -> Response:
        """Run the audit with --send, which sends the missing notices through the function, or only that of `log_id`."""
        values = body.read_object()
        log_id = body.require_str(values, "log_id") if values else ""
        report = _run(audit, send=True, log_id=log_id)
        reasons = [row["reason"] for row in report["rows"] if row["status"] == "missing"]
        unsent = [reason.partition("; not sent")[2] for reason in reasons if "; not sent" in reason]
        if unsent:
            raise body.RequestError(f"{len(unsent)} notice{'s' * (len(unsent) > 1)} not sent{unsent[0]}", 502)
        return body.json_response(report)

    return api


def _run(audit: Audit, *, send: bool = False, log_id: str = "") -> Mapping[str, Any]:
    try:
        return audit.run(send=send, log_id=log_id)
    except AuditError as error:
        raise body.RequestError(str(error), 502) from None
