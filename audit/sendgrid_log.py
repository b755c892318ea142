"""Read SendGrid's Email Logs API: what happened to each notice.

Reference: https://www.twilio.com/docs/sendgrid/api-reference/email-logs. A response has at most 1,000 emails, there is
no paging, and the log goes back 30 days.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from audit.log_client import LogClient, Period, format_time, halves, parse_time, redact, whole_seconds
from audit.urls import checked_url
from notice.sendgrid import CATEGORY
from runtime.clock import CLOCK, Clock

LIMIT = 1000
RETENTION = timedelta(days=30)
DEFAULT_URL = "https://api.sendgrid.com"
# SendGrid's name of each status → the audit's. SendGrid reports engagement only after a delivery.
STATUSES = {
    "processed": "accepted",
    "delivered": "delivered",
    "opened": "delivered",
    "clicked": "delivered",
    "deferred": "deferred",
    "bounced": "bounced",
    "blocked": "blocked",
    "dropped": "dropped",
}
FIXES = {
    401: "copy the whole key again, or create a new one; an EU account needs SENDGRID_URL: docs/audit.md",
    403: "give the key permission to read the email logs; if it has it, check that the account's plan includes them: "
    "docs/audit.md",
    404: "check SENDGRID_URL, and that the account has the Email Logs API: docs/audit.md",
}


@dataclass(frozen=True)
class Email:
    """An email with the notices' category."""

    message_id: str
    at: datetime
    address: str = field(repr=False)
    status: str  # a value of STATUSES
    reason: str = ""  # SendGrid's, without addresses


def open_log(
    environment: Mapping[str, str], *, clock: Clock = CLOCK, on_progress: Callable[[str], None] = lambda _: None
) -> LogClient:
    """Return a client for `read_emails`, of SENDGRID_URL with the key SENDGRID_LOGS_KEY. Raise Unreadable."""
    url = checked_url("SENDGRID_URL", environment.get("SENDGRID_URL") or DEFAULT_URL)
    key = environment.get("SENDGRID_LOGS_KEY", "").strip()
    return LogClient("SendGrid", url, key, "SENDGRID_LOGS_KEY", "SENDGRID_URL", FIXES, clock, on_progress)


def read_emails(log: LogClient, period: Period) -> list[Email]:
    """Return every email with the category in the period, in any order. Raise Unreadable if one could be missing."""
    emails_by_id: dict[str, Email] = {}  # by ID: an email that is listed twice must not count as two notices
    unread = [whole_seconds(period)]
    while unread:
        part = unread.pop()
        emails = _read(log, part)
        if len(emails) < LIMIT:
            emails_by_id |= {email.message_id: email for email in emails}
            log.report_count(len(emails_by_id), "emails")
            continue
        parts = halves(part)
        if parts == [part]:
            raise log.failure(
                f"has {LIMIT:,} emails or more in one second, {format_time(part[0])}", "audit another period"
            )
        unread += parts
    return list(emails_by_id.values())


def _read(log: LogClient, period: Period) -> list[Email]:
    start, end = (time.strftime('TIMESTAMP "%Y-%m-%dT%H:%M:%SZ"') for time in period)
    field_name = "sg_message_id_created_at"
    query = f"{field_name} >= {start} AND {field_name} < {end} AND categories IN ('{CATEGORY}')"
    body = log.read("POST", "/v3/logs", json={"query": query, "limit": LIMIT})
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        raise log.failure("responded 200, but without a list of messages", "check SENDGRID_URL")
    return [_email(log, message) for message in messages]


def _email(log: LogClient, message: Any) -> Email:
    record = message if isinstance(message, dict) else {}
    at, status = parse_time(record.get("sg_message_id_created_at")), STATUSES.get(str(record.get("status")))
    message_id, address = record.get("sg_message_id"), record.get("to_email")
    if at is None or not isinstance(message_id, str) or not isinstance(address, str):
        raise log.failure("has an email without an ID, recipient, or time", "report it to this project")
    if status is None:
        problem = f"has an email with an unknown status, {redact(str(record.get('status')))}"
        raise log.failure(problem, "report it to this project")
    return Email(message_id, at, address.strip(), status, redact(str(record.get("reason") or "")))
