"""Read Auth0's tenant log: the password changes, and the failed executions of the Action.

Reference: https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api. A search returns pages of at
most 100 records, and at most 1,000 records.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from audit.log_client import (
    SECOND,
    LogClient,
    Period,
    Unreadable,
    format_time,
    halves,
    parse_time,
    redact,
    whole_seconds,
)
from auth0.management_api import ManagementApiError, connect, tenant_name
from runtime.clock import CLOCK, Clock

Json = Mapping[str, Any]

PAGE_SIZE, SEARCH_LIMIT = 100, 1000
CHANGED = "scp"  # success change password
FAILED = ("actions_execution_failed", "fcph")
TRIGGER = "post-change-password"
AUTHORIZE = "authorize the application for the Auth0 Management API, with the scopes read:logs and read:logs_users"
FIXES = {
    401: "get a new token, or set AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET instead: docs/audit.md",
    403: "grant its application the scopes read:logs and read:logs_users; if it has them, check that the tenant's plan "
    "includes its log: docs/audit.md",
    404: "check AUTH0_DOMAIN, which is the tenant's own domain, such as TENANT.eu.auth0.com",
}


@dataclass(frozen=True)
class Change:
    """A password change. An empty text is unknown; only `log_id` and `at` are always known."""

    log_id: str
    at: datetime
    address: str = field(repr=False)
    user_id: str = ""
    connection: str = ""
    tenant: str = ""
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True)
class Failure:
    """A failed execution of the post-change-password trigger. The user may be unknown."""

    at: datetime
    type: str  # one of FAILED
    cause: str  # as Auth0 reports it, without addresses
    user_id: str = ""
    address: str = field(default="", repr=False)


def open_log(
    environment: Mapping[str, str], *, clock: Clock = CLOCK, on_progress: Callable[[str], None] = lambda _: None
) -> LogClient:
    """Return a client of the tenant that AUTH0_DOMAIN names, for `read_changes`.

    Its token is AUTH0_TOKEN or, without that, is requested with AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET. Raise
    Unreadable if a variable is missing or malformed, or if there is no token.
    """
    has_token = environment.get("AUTH0_TOKEN", "").strip()
    variable = "AUTH0_TOKEN" if has_token else "AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET"
    try:
        api = connect(environment)
    except ManagementApiError as error:
        named = "AUTH0_DOMAIN" if "AUTH0_DOMAIN" in error.fix else variable
        fix = AUTHORIZE if str(error).startswith("403") else error.fix
        raise Unreadable(named, redact(str(error)).removeprefix(f"{named} "), fix) from error
    return LogClient("Auth0", api.url, api.token, variable, "AUTH0_DOMAIN", FIXES, clock, on_progress)


def read_changes(log: LogClient, period: Period) -> list[Change]:
    """Return every password change (scp) in the period, in any order. Raise Unreadable if one could be missing."""
    default_tenant = tenant_name(log.url)
    changes = [_change(log, record, default_tenant) for record in _search(log, CHANGED, period, "password changes")]
    return [change for change in changes if period[0] <= change.at < period[1]]


def read_failures(log: LogClient, period: Period) -> list[Failure]:
    """Return what Auth0 reports about failed executions of the trigger in the period. Raise Unreadable."""
    records = [record for kind in FAILED for record in _search(log, kind, period, f"{kind} records")]
    return [_failure(log, record) for record in records if _details(record).get("trigger_id", TRIGGER) == TRIGGER]


def _search(log: LogClient, record_type: str, period: Period, what: str) -> list[Json]:
    """Return all records of one type: a search that reaches its limit goes on with what it hasn't returned."""
    records_by_id: dict[str, Json] = {}
    unread = [whole_seconds(period)]
    while unread:
        part = unread.pop()
        records: list[Json] = []
        page: list[Json] = []
        ids: set[str] = set()
        is_stable = True  # or else the order changed between two pages, and a record may be on neither
        for page in _pages(log, record_type, part):
            new_ids = {_log_id(log, record) for record in page}
            is_stable = is_stable and ids.isdisjoint(new_ids)
            ids |= new_ids
            records += page
            if page:
                log.report_count(len(records_by_id) + len(records), what)
        records_by_id |= {_log_id(log, record): record for record in records if record.get("type") == record_type}
        if not is_stable:
            unread += _split(log, part)
        elif page:  # not even the last page that a search can return was empty
            unread += _rest(log, part, [_at(log, record) for record in records])
    return list(records_by_id.values())


def _pages(log: LogClient, kind: str, period: Period) -> Iterator[list[Json]]:
    """Yield the pages of one search up to an empty one, newest first: a record that expires meanwhile is the last one.

    A page that isn't full may have a successor.
    """
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%S") for time in period)
    query = f"type:{kind} AND date:[{start} TO {end}}}"
    for number in range(SEARCH_LIMIT // PAGE_SIZE):
        parameters = {"q": query, "sort": "date:-1", "page": number, "per_page": PAGE_SIZE}
        page = log.read("GET", "/api/v2/logs", params=parameters)
        if not isinstance(page, list) or not all(isinstance(record, dict) for record in page):
            raise log.failure("responded 200, but not with a list of log records", FIXES[404])
        yield page
        if not page:
            return


def _split(log: LogClient, period: Period) -> list[Period]:
    """Return the halves of a period whose records moved from one page to another while they were read."""
    parts = halves(period)
    if parts == [period]:
        raise log.failure(
            f"changed the order of its records while {format_time(period[0])} was read", "run the audit again"
        )
    return parts


def _rest(log: LogClient, period: Period, times: list[datetime]) -> list[Period]:
    """Return the parts of the period that a search at its limit may not have returned."""
    is_sorted = all(newer >= older for newer, older in pairwise(times))
    end = times[-1].replace(microsecond=0) + SECOND
    rest = [(period[0], end)] if is_sorted and end < period[1] else halves(period)
    if rest == [period]:
        raise log.failure(
            f"has {SEARCH_LIMIT:,} records or more in one second, {format_time(period[0])}", "audit another period"
        )
    return rest


def _change(log: LogClient, record: Json, default_tenant: str) -> Change:
    query = _details(record).get("query")
    queried = query.get("email") if isinstance(query, dict) else ""
    user_name = _text(record, "user_name")
    candidates = (_text(_details(record), "email"), queried, user_name if "@" in user_name else "")
    return Change(
        log_id=_log_id(log, record),
        at=_at(log, record),
        address=next((text.strip() for text in candidates if isinstance(text, str) and text.strip()), ""),
        user_id=_text(record, "user_id"),
        connection=_text(record, "connection"),
        tenant=_text(record, "tenant_name") or default_tenant,
        ip=_text(record, "ip"),
        user_agent=_text(record, "user_agent"),
    )


def _failure(log: LogClient, record: Json) -> Failure:
    details = _details(record)
    error = details.get("action_error")
    message = _text(error, "message") if isinstance(error, dict) else ""
    parts = (_text(details, "error_class"), message or _text(record, "description"))
    return Failure(
        at=_at(log, record),
        type=_text(record, "type"),
        cause=redact(": ".join(part for part in parts if part)),
        user_id=_text(record, "user_id"),
        address=_text(record, "user_name"),
    )


def _log_id(log: LogClient, record: Json) -> str:
    log_id = _text(record, "log_id") or _text(record, "_id")
    if not log_id:
        raise log.failure("has a record without log_id", "report it to this project")
    return log_id


def _at(log: LogClient, record: Json) -> datetime:
    time = parse_time(record.get("date"))
    if time is None:
        raise log.failure(f"has a record without a date, {_log_id(log, record)}", "report it to this project")
    return time


def _details(record: Json) -> Json:
    details = record.get("details")
    return details if isinstance(details, dict) else {}


def _text(record: Json, name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
