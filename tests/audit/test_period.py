"""The period: ages and ISO 8601."""

from datetime import datetime, timedelta, timezone

import pytest

from audit.log_client import format_time
from audit.period import InvalidPeriod, parse_period
from tests.audit.conftest import NOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-22T10:15:30.5Z", datetime.fromisoformat("2026-11-22T10:15:30.500Z")),
        ("2026-11-22T10:15:30+02:00", datetime.fromisoformat("2026-11-22T08:15:30Z")),
        ("2026-11-22T10:15", datetime.fromisoformat("2026-11-22T10:15:00Z")),
        ("2026-11-22", datetime.fromisoformat("2026-11-22T00:00:00Z")),
    ],
)
def test_a_time_is_an_age_or_iso_8601_in_utc(text: str, expected: datetime) -> None:
    assert parse_period(text, None, NOW)[0] == expected


def test_the_end_is_fifteen_minutes_ago_unless_given() -> None:
    assert parse_period("24h", None, NOW)[1] == NOW - timedelta(minutes=15)
    assert parse_period("24h", "1h", NOW)[1] == NOW - timedelta(hours=1)
    assert parse_period("24h", "0h", NOW)[1] == NOW


@pytest.mark.parametrize(
    ("since", "until", "problem"),
    [
        ("yesterday", None, "--since is 'yesterday': use 24h, 7d, or ISO 8601"),
        ("24h", "10m", "--until is '10m'"),
        ("24h", "2026-11-24", "--until is in the future"),
        ("0h", None, "--since isn't before --until, which is 2026-11-23T11:45:00Z"),
        ("31d", None, "--since is more than 30 days ago"),
        ("0001-01-01T00:00+05:00", None, "--since is '0001-01-01T00:00+05:00'"),
    ],
)
def test_a_period_that_cannot_be_audited_is_an_error(since: str, until: str | None, problem: str) -> None:
    with pytest.raises(InvalidPeriod) as raised:
        parse_period(since, until, NOW)
    assert str(raised.value).startswith(problem)


def test_a_time_is_shown_in_utc_with_milliseconds_only_if_it_has_some() -> None:
    assert format_time(NOW) == "2026-11-23T12:00:00Z"
    assert format_time(NOW + timedelta(milliseconds=123)) == "2026-11-23T12:00:00.123Z"
    assert format_time(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-11-23T12:00:00Z"
