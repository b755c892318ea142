"""The Audit page: each change, its notice, and its delivery, as the real audit reports them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from flask import Blueprint, render_template

from emulator.audit import Audit, AuditError
from emulator.emulator import Emulator

# How each status of the audit is shown; any other needs attention.
STATES: Mapping[str, Literal["ok", "info"]] = {
    "delivered": "ok",
    "accepted": "info",
    "deferred": "info",
    "no_email": "info",
}
LABELS = {"no_email": "no address"}


@dataclass(frozen=True)
class Row:
    """A change: `run` and `email` are numbers of pages, 0 if the emulator no longer has them."""

    log_id: str
    changed_at: str  # ISO 8601, as are the other times
    user: str  # the address, which the audit itself doesn't print
    user_id: str
    status: str
    reason: str
    notified_at: str
    run: int
    email: int
    is_next: bool  # whether to send this one of the user's missing notices next; an email counts for the latest change

    @property
    def state(self) -> str:
        return STATES.get(self.status, "fail")

    @property
    def label(self) -> str:
        return LABELS.get(self.status, self.status)


def routes(emulator: Emulator, audit: Audit) -> Blueprint:
    pages = Blueprint("audit_page", __name__)

    @pages.get("/audit")
    def show() -> str:
        rows, error = [], ""
        try:
            rows = _rows(emulator, audit.run()["rows"])
        except AuditError as raised:
            error = str(raised)
        failed = [row for row in rows if row.state == "fail"]
        return render_template(
            "audit.html",
            failed=failed,
            others=[row for row in rows if row.state != "fail"],
            missing=sum(row.status == "missing" for row in rows),
            error=error,
            command=audit.command,
        )

    return pages


def _rows(emulator: Emulator, reported: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the audit's rows, newest first, with what the emulator knows about them."""
    users = {record["log_id"]: record["user_name"] for _, record in emulator.auth0.log.dated()}
    runs = {
        entry.data["log_id"]: run.number for run in emulator.runs for entry in run.entries if entry.kind == "auth0.log"
    }
    emails = {
        (person["email"].lower(), int(email.time)): email.id
        for email in emulator.sendgrid.inbox()
        for person in email.to
    }
    rows, waiting = [], set()
    for row in reversed(list(reported)):
        user, notified_at = str(users.get(row["log_id"], "")), row["notified_at"] or ""
        sent = int(datetime.fromisoformat(notified_at).timestamp()) if notified_at else 0
        is_next = row["status"] == "missing" and user.lower() not in waiting
        waiting |= {user.lower()} if is_next else set()
        rows.append(
            Row(
                log_id=row["log_id"],
                changed_at=row["changed_at"],
                user=user,
                user_id=row["user_id"] or "",
                status=row["status"],
                reason=row["reason"] or "",
                notified_at=notified_at,
                run=runs.get(row["log_id"], 0),
                email=emails.get((user.lower(), sent), 0),
                is_next=is_next,
            )
        )
    return rows
