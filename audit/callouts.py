"""Send missing notices as Auth0 would have sent them: as signed callouts to the function."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from audit.auth0_log import Change
from audit.log_client import Unreadable, format_time, redact
from audit.urls import checked_url
from auth0.callout import OutgoingCallout
from auth0.deadline import within
from runtime.clock import CLOCK, Clock
from runtime.http_client import root_cause
from runtime.signature import parse_signing_key

TIMEOUT_SECONDS = 10.0  # the function responds within 5.5 s
MAX_FIELD = 1000  # characters, as in the forwarder
FUNCTION_URL, SIGNING_KEY = "FUNCTION_URL", "CALLOUT_SIGNING_KEY"


class NotSent(Exception):
    """A notice that the function didn't accept. `is_general`: the next one would fail the same way."""

    def __init__(self, problem: str, *, is_general: bool) -> None:
        super().__init__(problem)
        self.is_general = is_general


@dataclass
class Sender:
    """Sends callouts to the function at `url`, signed with `key` (whsec_…)."""

    url: str
    key: str = field(repr=False)
    clock: Clock = CLOCK

    def send(self, change: Change) -> str:
        """Send the notice of a change, and return the function's status, such as sent or queued. Raise NotSent."""
        callout = build_callout(change)
        headers = callout.headers(self.key, self.clock.now())

        def post() -> requests.Response:
            return requests.post(
                self.url, callout.body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )

        try:
            response = within(TIMEOUT_SECONDS, post)
        except (OSError, ValueError) as error:
            raise NotSent(f"no response from {self.url}: {redact(root_cause(error))}", is_general=True) from error
        body = json_object(response)
        if response.status_code in (200, 202) and body.get("id") == callout.id:
            return redact(str(body.get("status")))
        raise _not_sent(self.url, response.status_code, body.get("error"))


def open_sender(environment: Mapping[str, str], *, clock: Clock = CLOCK) -> Sender:
    """Return the sender for FUNCTION_URL and CALLOUT_SIGNING_KEY. Raise Unreadable if one is missing or malformed."""
    url = checked_url(FUNCTION_URL, environment.get(FUNCTION_URL, ""))
    key = environment.get(SIGNING_KEY, "").split()[0]
    try:
        parse_signing_key(key)
    except ValueError as error:
        raise Unreadable(SIGNING_KEY, str(error), "copy it from the secret again") from error
    return Sender(url, key, clock)


def build_callout(change: Change) -> OutgoingCallout:
    """Return the callout of a change: for the same record of Auth0's log, always the same ID and bytes.

    The function therefore recognizes a second one as a duplicate, as long as it remembers the first.
    """
    event = {
        "tenant": {"id": change.tenant},
        "connection": {"name": change.connection},
        "request": {"ip": change.ip, "user_agent": change.user_agent},
        "user": {"email": change.address, "user_id": change.user_id},
    }
    known = {part: {name: text[:MAX_FIELD] for name, text in fields.items() if text} for part, fields in event.items()}
    body = json.dumps({"event": known, "time": format_time(change.at)}).encode()
    return OutgoingCallout(body, f"audit_{hashlib.sha256(change.log_id.encode()).hexdigest()}")


def json_object(response: requests.Response) -> dict[str, Any]:
    """Return the response's JSON object, or an empty one if it has none."""
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _not_sent(url: str, status: int, error: object) -> NotSent:
    if isinstance(error, dict) and isinstance(error.get("code"), str):
        problem = f"{status} {error['code']}: {redact(str(error.get('message')))}"
        return NotSent(problem, is_general=status not in (400, 500, 502))
    return NotSent(f"{status} from {url}, but not from the function: check {FUNCTION_URL}", is_general=True)
