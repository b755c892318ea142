"""Report each change with its status, as text or as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from audit.auth0_log import Change, Failure
from audit.log_client import Period, format_time, redact
from audit.sendgrid_log import Email

STATUSES = ("delivered", "accepted", "deferred", "bounced", "blocked", "dropped", "missing", "no_email")
FAILED = ("missing", "bounced", "blocked", "dropped")  # what needs a person's attention
NO_CAUSE = (
    "no email in SendGrid's log, and no failed execution in Auth0's: it may be waiting in the queue, "
    "or the Action isn't bound"
)
LIMITS = (
    "The audit can't see changes that leave no scp record in Auth0's log (perhaps administrators'), or anything older "
    "than the logs keep: 1 to 30 days in Auth0, depending on the plan, and 30 days in SendGrid."
)
COLUMNS = ("STATUS", "CHANGED AT", "USER ID", "CONNECTION", "LOG ID", "REASON")


@dataclass(frozen=True)
class Row:
    """A change, its status (one of STATUSES), and the reason for the status, if the logs have one."""

    change: Change
    status: str
    reason: str = ""
    notified_at: str = ""

    @property
    def values(self) -> dict[str, str | None]:
        """Return what is printed, without addresses; None is unknown."""
        change = self.change
        return {
            "log_id": change.log_id,
            "changed_at": format_time(change.at),
            "user_id": redact(change.user_id) or None,
            "connection": redact(change.connection) or None,
            "status": self.status,
            "reason": self.reason or None,
            "notified_at": self.notified_at or None,
        }


@dataclass(frozen=True)
class Report:
    """The rows are in the order of the changes."""

    period: Period
    rows: Sequence[Row]

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(row.status for row in self.rows)
        return {status: counts[status] for status in STATUSES}

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.status in FAILED]

    @property
    def missing(self) -> list[Row]:
        return [row for row in self.rows if row.status == "missing"]

    def with_reasons(self, reasons: Mapping[str, str]) -> "Report":
        """Return the report with additional reasons, by log_id."""
        rows = [
            replace(row, reason="; ".join(filter(None, (row.reason, reasons.get(row.change.log_id)))))
            for row in self.rows
        ]
        return replace(self, rows=rows)

    def to_json(self) -> str:
        since, until = map(format_time, self.period)
        head = {"since": since, "until": until, "changes": len(self.rows), **self.counts}
        return json.dumps({**head, "rows": [row.values for row in self.rows]}, indent=1)

    def to_text(self) -> str:
        """Return a table of what needs attention, the summary, and what the audit can't see."""
        since, until = map(format_time, self.period)
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts.items() if count)
        total = f"{len(self.rows):,} change{'' if len(self.rows) == 1 else 's'}"
        summary = f"{total} from {since} to {until}{f': {counts}' if counts else ''}"
        return "\n".join([*_table(self.failed), summary, LIMITS])


def build(period: Period, changes: Iterable[Change], emails: Mapping[str, Email]) -> Report:
    """Return the report on `changes`; `emails` are those of the notified ones, by log_id."""
    ordered = sorted(changes, key=lambda change: (change.at, change.log_id))
    return Report(period, [_row(change, emails.get(change.log_id)) for change in ordered])


def reason(failure: Failure | None) -> str:
    """Return why a notice is missing, according to Auth0's log."""
    return f"{failure.type}: {failure.cause}" if failure else NO_CAUSE


def _row(change: Change, email: Email | None) -> Row:
    if email:
        return Row(change, email.status, email.reason, format_time(email.at))
    if change.address:
        return Row(change, "missing")
    return Row(change, "no_email", "Auth0's record names no email address")


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    names = [column.lower().replace(" ", "_") for column in COLUMNS]
    cells = [COLUMNS, *(tuple(row.values[name] or "-" for name in names) for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(COLUMNS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return [*lines, ""]
