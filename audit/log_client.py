"""One service's log over HTTP: each response is complete, or Unreadable is raised."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from auth0.deadline import within
from runtime.clock import CLOCK, Clock
from runtime.http_client import root_cause

Period = tuple[datetime, datetime]  # from, until: the end isn't part of it

RESPONSE_TIMEOUT_SECONDS = 60.0  # for one response, however slowly it arrives
READ_TIMEOUT_SECONDS = 1800.0  # for a whole log, including the waits between attempts
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)  # before each further attempt, unless a response asks for more
MAX_WAIT_SECONDS = 300.0
TEMPORARY = (429, 502, 503, 504)  # a rate limit, or an outage that may last only seconds
SECOND = timedelta(seconds=1)  # the resolution of both query languages

_ATOM = r"[^\s|<>\"']+"
_ADDRESS = re.compile(rf"(\"[^\"]*\"|{_ATOM}('{_ATOM})*)(@|%40){_ATOM}")


class Unreadable(Exception):
    """A log that can't be read completely. `variable` names the setting to check, and `fix` says what to do."""

    def __init__(self, variable: str, problem: str, fix: str) -> None:
        super().__init__(f"{variable}: {problem}: {fix}")
        self.variable, self.problem, self.fix = variable, problem, fix


@dataclass
class LogClient:
    """Reads one service's log.

    `key_variable` and `url_variable` name the settings that `key` and `url` came from. `fixes` say what to do about an
    error response, by status. `on_progress` gets one line of text.
    """

    service: str
    url: str
    key: str = field(repr=False)
    key_variable: str
    url_variable: str
    fixes: Mapping[int, str]
    clock: Clock = CLOCK
    on_progress: Callable[[str], None] = lambda _text: None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]+", self.key):  # requests quotes an invalid header, and so the key
            raise Unreadable(self.key_variable, "contains a character that isn't allowed there", "copy it again")
        self._session = requests.Session()
        self._session.auth = self._authorize  # or else a .netrc would override the header
        self._deadline = self.clock.monotonic() + READ_TIMEOUT_SECONDS

    def read(self, method: str, path: str, **parts: Any) -> Any:
        """Return the JSON of a successful response; wait for a rate limit or a short outage. Raise Unreadable."""
        response = self._send(method, path, parts)
        for backoff in BACKOFF_SECONDS:
            if response.status_code not in TEMPORARY:
                break
            self._wait(response, backoff)
            response = self._send(method, path, parts)
        return self._parse(response)

    def failure(self, what: str, fix: str) -> Unreadable:
        """Return the error to raise; `what` says what the service did."""
        return Unreadable(self.key_variable, f"{self.service} {what}", fix)

    def report_count(self, count: int, what: str) -> None:
        self.on_progress(f"{self.service}'s log: {count:,} {what}")

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def _send(self, method: str, path: str, parts: Mapping[str, Any]) -> requests.Response:
        seconds = min(RESPONSE_TIMEOUT_SECONDS, self._deadline - self.clock.monotonic())
        if seconds <= 0:
            raise self.failure("took longer than half an hour", "audit a shorter period")

        def send() -> requests.Response:
            return self._session.request(method, f"{self.url}{path}", timeout=seconds, allow_redirects=False, **parts)

        try:
            return within(seconds, send)
        except (OSError, ValueError) as error:  # of requests, and of a CA bundle or host name that it can't use
            access = "firewall, HTTPS_PROXY, REQUESTS_CA_BUNDLE"
            fix = f"check {self.url_variable}, and this machine's internet access: {access}"
            raise Unreadable(
                self.url_variable, f"no complete response from {self.url}: {redact(root_cause(error))}", fix
            ) from error

    def _parse(self, response: requests.Response) -> Any:
        status = response.status_code
        if status == 200:
            try:
                return response.json()
            except ValueError:
                raise self.failure("responded 200, but not with JSON", f"check {self.url_variable}") from None
        is_temporary = status in TEMPORARY or status >= 500
        fix = self.fixes.get(status) or ("try again later" if is_temporary else f"check {self.url_variable}")
        raise self.failure(f"responded {status} {_reason(response)}", fix)

    def _wait(self, response: requests.Response, backoff: float) -> None:
        """Wait as long as the response asks, at least `backoff` seconds. Raise Unreadable if that is too long."""
        seconds = max(_requested_wait(response.headers, self.clock.now()), backoff)
        if seconds > MAX_WAIT_SECONDS or self.clock.monotonic() + seconds > self._deadline:
            raise self.failure(
                f"responded {response.status_code} and requests a wait of {seconds:.0f} s", "try again later"
            )
        self.on_progress(f"{self.service} responded {response.status_code}: waiting {seconds:.0f} s")
        self.clock.sleep(seconds)


def halves(period: Period) -> list[Period]:
    """Return both halves of a period of whole seconds; only one if it is one second, which can't be split."""
    start, end = period
    middle = start + timedelta(seconds=(end - start) // SECOND // 2)
    return [(start, middle), (middle, end)] if middle > start else [period]


def whole_seconds(period: Period) -> Period:
    """Return the shortest period of whole seconds that contains `period`."""
    start, end = (time.astimezone(UTC) for time in period)
    last = end.replace(microsecond=0)
    return start.replace(microsecond=0), last if last == end else last + SECOND


def redact(text: str) -> str:
    """Return one printable line without email addresses."""
    line = "".join(char if char.isprintable() else " " for char in _ADDRESS.sub("[address]", text))
    return " ".join(line.split())[:300]


def parse_time(text: object) -> datetime | None:
    """Return the time of an ISO 8601 text, in UTC; None if it isn't one."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        if time is None:
            return None
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or one whose UTC is before year 1 or after 9999
        return None


def format_time(time: datetime) -> str:
    """Return ISO 8601 in UTC, with milliseconds only where there are some."""
    precision = "milliseconds" if time.microsecond >= 1000 else "seconds"
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _requested_wait(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds to wait, by Retry-After (seconds) or X-RateLimit-Reset (Unix time); 0 if both are absent.

    Sources: RFC 9110, section 10.2.3; both services' documentation of their rate limits.
    """
    retry_after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    return float(reset) - now if re.fullmatch(r"[0-9]{1,12}", reset) else 0.0


def _reason(response: requests.Response) -> str:
    """Return the message of an error response, of Auth0's form or SendGrid's."""
    try:
        body = response.json()
        errors = body.get("errors")
        text = "; ".join(str(error["message"]) for error in errors) if errors else body["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        text = response.reason
    return redact(str(text or ""))
