"""The period of an audit, from the command line."""

import re
from datetime import datetime, timedelta

from audit.log_client import Period, format_time, parse_time
from audit.sendgrid_log import RETENTION

LAG = timedelta(minutes=15)  # of both logs: what is newer may still be missing from them


class InvalidPeriod(ValueError):
    """A time is malformed, or the period can't be audited."""


def parse_period(since: str, until: str | None, now: datetime) -> Period:
    """Return the period; each time is an age, such as 24h or 7d, or ISO 8601. Raise InvalidPeriod."""
    period = _parse(since, "--since", now), now - LAG if until is None else _parse(until, "--until", now)
    if period[1] > now:
        raise InvalidPeriod("--until is in the future")
    if period[0] >= period[1]:
        raise InvalidPeriod(f"--since isn't before --until, which is {format_time(period[1])}")
    if period[0] < now - RETENTION:
        raise InvalidPeriod(f"--since is more than {RETENTION.days} days ago: SendGrid's log doesn't go back further")
    return period


def _parse(text: str, option: str, now: datetime) -> datetime:
    age = re.fullmatch(r"([0-9]{1,5})([hd])", text)
    if age:
        return now - int(age[1]) * timedelta(hours=1 if age[2] == "h" else 24)
    time = parse_time(text)
    if time is None:
        raise InvalidPeriod(f"{option} is {text!r}: use 24h, 7d, or ISO 8601, such as 2026-11-23T10:15:00Z")
    return time
