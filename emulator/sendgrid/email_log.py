"""SendGrid's Email Logs API: what happened to each accepted email, POST /v3/logs and GET /v3/logs/{sg_message_id}.

Reference: Twilio's OpenAPI document of the API, tsg_logs_v3. It is strict: a query that it doesn't support is an
error. The document doesn't specify when an email is delivered, or the order: here, immediately, and the newest first.
"""

import operator
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from emulator.core.faults import Fault, Faults
from emulator.sendgrid.email import Email
from emulator.sendgrid.errors import SendGridError

Json = dict[str, Any]

MAX_LIMIT, DEFAULT_LIMIT = 1000, 10
KEPT_RECORDS = 50_000
RETENTION_SECONDS = 30 * 86_400
# The scope that the log needs isn't documented; this is the one of the older Email Activity API.
SCOPE = "messages.read"
STATUSES = ("processed", "delivered", "deferred", "dropped", "bounced", "blocked")
TEXT_FIELDS = ("sg_message_id", "subject", "to_email", "reason")
LATE = "delivered late"
# By status: the reason, as a receiving server or SendGrid words it.
REASONS = {
    "deferred": "Email was deferred due to the following reason(s): [IPs were throttled by recipient server]",
    "bounced": "550 5.1.1 The email account that you tried to reach does not exist.",
    "blocked": "554 5.7.1 Message rejected because of the sending IP's reputation.",
    "dropped": "Invalid",
}
BOUNCE_BYPASSES = ("bypass_bounce_management", "bypass_list_management")
BOUNCED_BEFORE = "Bounced Address"

# What can happen to an email after SendGrid has accepted it: the faults of `EmailLog.faults`.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("delay", LATE, seconds=60, summary="accepted, and delivered a minute later"),
        Fault("status", "deferred", summary="the receiving server defers it; SendGrid retries for 72 hours"),
        Fault("status", "bounced", summary="the address doesn't exist; SendGrid drops every later email to it"),
        Fault("status", "blocked", summary="the receiving server rejects it, but not because of the address"),
        Fault("status", "dropped", summary="SendGrid doesn't try to deliver it, and reports Invalid"),
    )
}

_OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_TIME = re.compile(r'sg_message_id_created_at\s*(>=|<=|>|<)\s*TIMESTAMP\s+"([^"]+)"')
_LIST = re.compile(r"(status|categories)\s+IN\s+\(\s*('[^']*'(?:\s*,\s*'[^']*')*)\s*\)")
_EQUAL = re.compile(r"(\w+)\s*=\s*'([^']*)'")


@dataclass(frozen=True)
class Record:
    """An email in the log. Its status becomes `status` at `at` (Unix seconds); until then, it is processed."""

    message_id: str  # sg_message_id
    accepted_at: float  # Unix seconds
    sender: str
    to: str
    subject: str
    categories: tuple[str, ...]
    custom_args: Mapping[str, str]
    status: str
    at: float
    reason: str = ""

    def status_at(self, now: float) -> str:
        return self.status if now >= self.at else "processed"

    def summary(self, now: float) -> Json:
        """Return the email as POST /v3/logs lists it."""
        status = self.status_at(now)
        fields = {
            "from_email": self.sender,
            "sg_message_id": self.message_id,
            "subject": self.subject,
            "to_email": self.to,
            "status": status,
            "sg_message_id_created_at": _format(self.accepted_at),
        }
        return {**fields, **({"reason": self.reason} if self.reason and status != "processed" else {})}

    def details(self, now: float) -> Json:
        """Return the email as GET /v3/logs/{sg_message_id} shows it."""
        events = [("processed", self.accepted_at)]
        events += [(self.status, self.at)] if self.status_at(now) == self.status else []
        shown = [{"event": name, "timestamp": _format(at)} for name, at in events]
        details = {"events": shown, "category": list(self.categories), "custom_args": dict(self.custom_args)}
        return {**self.summary(now), **details}


@dataclass
class EmailLog:
    """What happened to each accepted email. Add faults to `faults` to decide it for the next emails. Thread-safe.

    The latest KEPT_RECORDS are kept.
    """

    clock: Callable[[], float] = time.time
    faults: Faults = field(default_factory=Faults)
    _records: deque[Record] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    _bounced: set[str] = field(default_factory=set)  # addresses, in lowercase
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, email: Email) -> None:
        """Decide what happens to an email that was just accepted: one record for each recipient."""
        with self._lock:
            recipients = [person["email"] for person in (*email.to, *email.cc, *email.bcc)]
            self._records += [self._record(email, number, to) for number, to in enumerate(recipients)]

    def records(self) -> list[Record]:
        """Return the log, oldest first."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Delete all emails and bounced addresses."""
        with self._lock:
            self._records.clear()
            self._bounced.clear()

    def search(self, body: Any) -> Json:
        """Return the response to POST /v3/logs. Raise SendGridError if the query isn't supported."""
        query, limit = (body.get("query", ""), body.get("limit", DEFAULT_LIMIT)) if isinstance(body, dict) else ("", 0)
        if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
            raise _bad_request(f"limit must be an integer from 1 to {MAX_LIMIT}", "limit")
        if not isinstance(query, str):
            raise _bad_request("query must be a string", "query")
        now = self.clock()
        matches = [_clause(text.strip(), now) for text in query.split(" AND ")] if query else []
        kept = [record for record in self.records() if record.accepted_at >= now - RETENTION_SECONDS]
        matching = [record for record in kept if all(match(record) for match in matches)]
        matching.sort(key=lambda record: record.accepted_at, reverse=True)
        return {"messages": [record.summary(now) for record in matching[:limit]]}

    def find(self, message_id: str) -> Json | None:
        """Return the response to GET /v3/logs/{sg_message_id}, or None if the log has no such email."""
        record = next((record for record in self.records() if record.message_id == message_id), None)
        return None if record is None else record.details(self.clock())

    def _record(self, email: Email, number: int, to: str) -> Record:
        status, at, reason = self._outcome(email, to)
        return Record(
            message_id=f"{email.message_id}.recvd-emulator-{email.index}.{number}",
            accepted_at=email.time,
            sender=email.sender["email"],
            to=to,
            subject=email.subject,
            categories=(*email.request.get("categories", []), *email.envelope.get("categories", [])),
            custom_args=email.custom_args,
            status=status,
            at=at,
            reason=reason,
        )

    def _outcome(self, email: Email, to: str) -> tuple[str, float, str]:
        """Return the final status, since when, and why."""
        fault, settings = self.faults.take(), email.request.get("mail_settings", {})
        is_bypassed = any(settings.get(name, {}).get("enable") for name in BOUNCE_BYPASSES)
        if to.lower() in self._bounced and not is_bypassed:
            return "dropped", email.time, BOUNCED_BEFORE
        if fault is None or fault.name == LATE:
            return "delivered", email.time + (fault.seconds if fault else 0.0), ""
        if fault.name == "bounced":
            self._bounced.add(to.lower())
        return fault.name, email.time, REASONS[fault.name]


def _clause(text: str, now: float) -> Callable[[Record], bool]:
    """Return the predicate of one clause of a query. Raise SendGridError if it isn't supported."""
    if match := _TIME.fullmatch(text):
        compare, bound = _OPERATORS[match[1]], _parse(match[2])
        return lambda record: bool(compare(record.accepted_at, bound))
    if match := _LIST.fullmatch(text):
        values = set(re.findall(r"'([^']*)'", match[2]))
        if match[1] == "categories":
            return lambda record: bool(values & set(record.categories))
        if values <= set(STATUSES):
            return lambda record: record.status_at(now) in values
    match = _EQUAL.fullmatch(text)
    if match and match[1] in TEXT_FIELDS:
        name, value = match[1], match[2]
        return lambda record: record.summary(now).get(name) == value
    raise _bad_request(f"the emulator doesn't support {text!r}", "query")


def _parse(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_request(f"{text!r} isn't a timestamp", "query") from None
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).timestamp()


def _format(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")


def _bad_request(message: str, name: str) -> SendGridError:
    return SendGridError(400, [{"message": message, "field": name, "help": None}], {})
