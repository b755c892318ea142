"""The Management API of the tenant's log: GET /api/v2/logs by search and by checkpoint, and POST /oauth/token.

Reference: https://auth0.com/docs/deploy-monitor/logs/retrieve-log-events-using-mgmt-api. It is strict: an
unsupported query is an error, so that no client mistakes an empty page for a result.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from emulator.auth0.tenant_log import TenantLog
from emulator.core.faults import Fault
from emulator.core.journal import Journal
from emulator.core.server import Server

Json = dict[str, Any]

SCOPES = ("read:logs", "read:logs_users")
MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE, SEARCH_LIMIT = 100, 50, 1000
TOKEN_SECONDS = 86_400
FIELDS = re.findall(
    r"\w+",
    "client_id client_name connection connection_id description date hostname ip log_id organization_id user_id "
    "user_name user_agent strategy strategy_type type",
)
SEARCH_PARAMETERS = ("q", "page", "per_page", "sort", "fields", "include_fields", "include_totals")
EXPIRED = "Expired token received for JSON Web Token validation"
NO_SCOPE = f"Insufficient scope, expected any of: {', '.join(SCOPES)}"
TOO_MANY = "Global limit has been reached"

_NAMES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
_CLAUSE = re.compile(r'(?P<field>\w+):(?P<value>[\[{]\S+ TO \S+[\]}]|"[^"]*"|[^\s"()\[\]{}]+)')
_RANGE = re.compile(r"(?P<start_kind>[\[{])(?P<start>\S+) TO (?P<end>\S+)(?P<end_kind>[\]}])")


class TenantLogError(Exception):
    """An error response of the Management API."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        error = {"statusCode": status, "error": _NAMES.get(status, "Internal Server Error"), "message": message}
        self.status, self.headers = status, headers or {}
        self.body = json.dumps({**error, **({"errorCode": code} if code else {})})


def _fault(name: str, summary: str, error: TenantLogError) -> Fault:
    headers = {"Content-Type": "application/json", **error.headers}
    return Fault("status", name, status=error.status, headers=headers, body=error.body, summary=summary)


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        _fault("expired token", "401: the token has expired", TenantLogError(401, EXPIRED)),
        _fault("missing scope", "403: the token lacks read:logs", TenantLogError(403, NO_SCOPE, "insufficient_scope")),
        _fault("too many requests", "429: retried", TenantLogError(429, TOO_MANY, "too_many_requests")),
        _fault("server error", "500: the log isn't read completely", TenantLogError(500, "Internal error")),
    )
}


class FakeTenantLog(Server):
    """The API of `log`, a context manager.

    `rate_limit` can be changed at any time: requests per second (None: unlimited). `client_id` and `client_secret`
    belong to an application that may read the log.
    """

    def __init__(self, log: TenantLog, journal: Journal) -> None:
        super().__init__("tenant_log", self._app(), journal)
        self.log = log
        self.rate_limit: int | None = None
        self.client_id, self.client_secret = secrets.token_hex(16), secrets.token_urlsafe(48)
        self._lock = Lock()
        self._tokens: dict[str, tuple[str, ...]] = {}
        self._expired: set[str] = set()
        self._window, self._requests = 0, 0

    def new_token(self, *scopes: str) -> str:
        """Return a new token with `scopes` (default: those that reading the log needs)."""
        token = secrets.token_urlsafe(48)
        with self._lock:
            self._tokens[token] = scopes or SCOPES
        return token

    def expire(self, token: str) -> None:
        with self._lock:
            self._expired.add(token)

    def _app(self) -> Flask:
        app = Flask("tenant_log", static_folder=None)
        app.register_error_handler(TenantLogError, _error_response)
        app.register_error_handler(HTTPException, lambda _: _error_response(TenantLogError(404, "Not Found")))
        app.add_url_rule("/oauth/token", view_func=self._issue_token, methods=["POST"])
        app.add_url_rule("/api/v2/logs", view_func=self._list, methods=["GET"])
        app.add_url_rule("/api/v2/logs/<log_id>", view_func=self._show, methods=["GET"])
        return app

    def _issue_token(self) -> Response:
        grant = request.get_json(silent=True) or request.form.to_dict()
        expected = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "audience": f"{request.host_url}api/v2/",
        }
        if any(grant.get(name) != value for name, value in expected.items()):
            body = {"error": "access_denied", "error_description": "Unauthorized"}
            return Response(json.dumps(body), 401, content_type="application/json")
        token = {"access_token": self.new_token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        return _json_response(token)

    def _list(self) -> Response:
        self._check_access()
        if "from" in request.args or "take" in request.args:
            return self._list_after(request.args.get("from", ""))
        unknown = ", ".join(sorted(request.args.keys() - SEARCH_PARAMETERS))
        if unknown:
            message = f"Query validation error: Additional properties not allowed: {unknown}"
            raise TenantLogError(400, message, "invalid_query_string")
        size = _integer("per_page", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        start = _integer("page", 0, 10**6) * size
        if start >= SEARCH_LIMIT:
            raise TenantLogError(400, f"You can only page through the first {SEARCH_LIMIT} records.", "invalid_paging")
        records = self._search(request.args.get("q", ""), request.args.get("sort", "date:-1"))
        page = [_select_fields(record) for record in islice(records, start, min(start + size, SEARCH_LIMIT))]
        if request.args.get("include_totals") != "true":
            return _json_response(page)
        totals = {"start": start, "limit": size, "length": len(page), "total": len(page)}  # the page's total, too
        return _json_response({**totals, "logs": page})

    def _list_after(self, log_id: str) -> Response:
        """Return the page after a checkpoint, ordered by ID; the search's parameters are ignored."""
        take = _integer("take", DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        ordered = sorted((record for _, record in self.log.dated()), key=lambda record: str(record["log_id"]))
        page = [record for record in ordered if record["log_id"] > log_id][:take]
        last = page[-1]["log_id"] if page else log_id
        response = _json_response(page)
        response.headers["Link"] = f'<{request.base_url}?from={last}&take={take}>; rel="next"'
        return response

    def _show(self, log_id: str) -> Response:
        self._check_access()
        for _, record in self.log.dated():
            if record["log_id"] == log_id:
                return _json_response(record)
        raise TenantLogError(404, "Log event not found", "inexistent_log")

    def _search(self, query: str, sort: str) -> Iterable[Json]:
        if sort not in ("date:1", "date:-1"):
            raise TenantLogError(400, f"Query validation error: sort={sort!r} isn't date:1 or date:-1")
        matches = [_clause(text) for text in query.split(" AND ")] if query else []
        rows = self.log.dated() if sort == "date:1" else reversed(self.log.dated())
        return (record for date, record in rows if all(match(date, record) for match in matches))

    def _check_access(self) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            scopes, is_expired = self._tokens.get(token), token in self._expired
        if scheme.lower() != "bearer" or scopes is None:
            raise TenantLogError(401, "Invalid token", "invalid_token")
        if is_expired:
            raise TenantLogError(401, EXPIRED, "invalid_token")
        if SCOPES[0] not in scopes:
            raise TenantLogError(403, NO_SCOPE, "insufficient_scope")
        self._check_rate()

    def _check_rate(self) -> None:
        with self._lock:
            window = int(self.log.clock())
            self._requests = self._requests + 1 if window == self._window else 1
            self._window = window
            if self.rate_limit is not None and self._requests > self.rate_limit:
                limit = {"X-RateLimit-Limit": str(self.rate_limit), "X-RateLimit-Remaining": "0"}
                reset = {"X-RateLimit-Reset": str(window + 1)}
                raise TenantLogError(429, TOO_MANY, "too_many_requests", {**limit, **reset})


def _clause(text: str) -> Callable[[datetime, Json], bool]:
    """Return the predicate of one clause, such as `type:scp`. Raise TenantLogError if it isn't supported."""
    match = _CLAUSE.fullmatch(text.strip())
    if match is None or match["field"] not in FIELDS:
        raise TenantLogError(400, f"Query validation error: the emulator doesn't support {text!r}", "invalid_query")
    name, value = match["field"], match["value"]
    bounds = _RANGE.fullmatch(value)
    if bounds is None:
        return lambda _, record: str(record.get(name, "")) == value.strip('"')
    if name != "date":
        raise TenantLogError(400, f"Query validation error: {name} has no ranges here", "invalid_query")
    start, end = _parse_date(bounds["start"]), _parse_date(bounds["end"])
    has_start, has_end = bounds["start_kind"] == "[", bounds["end_kind"] == "]"
    return lambda date, _: (start < date or (has_start and start == date)) and (date < end or (has_end and date == end))


def _select_fields(record: Json) -> Json:
    names = request.args.get("fields", "").split(",")
    is_included = request.args.get("include_fields") != "false"
    return {name: value for name, value in record.items() if (name in names) == is_included} if any(names) else record


def _integer(name: str, default: int, largest: int) -> int:
    text = request.args.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > largest:
        raise TenantLogError(400, f"Query validation error: {name} must be at most {largest}", "invalid_query_string")
    return int(text)


def _parse_date(text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise TenantLogError(400, f"Query validation error: {text!r} isn't a date", "invalid_query") from None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _json_response(value: Any) -> Response:
    return Response(json.dumps(value), content_type="application/json; charset=utf-8")


def _error_response(error: TenantLogError) -> Response:
    return Response(error.body, error.status, dict(error.headers), content_type="application/json; charset=utf-8")
