"""The faults of SendGrid that can be injected, by name."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from emulator.core.faults import Fault
from emulator.sendgrid.errors import html_page, sendgrid_error

_HTML = {"Content-Type": "text/html"}
_RATE = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0"}


def _error(
    name: str, summary: str, error: str = "", seconds: float = 0.0, headers: Mapping[str, str] | None = None
) -> Fault:
    response = sendgrid_error(error or name)
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    fault = Fault("status", name, status=response.status, body=response.body, headers=all_headers)
    return replace(fault, seconds=seconds, summary=summary)


def _page(name: str, status: int, summary: str) -> Fault:
    return Fault("status", name, status=status, body=html_page(status), headers=_HTML, summary=summary)


_TOO_MANY = "too many requests"

# `fault` can replace `seconds` where it isn't 0.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        _error("wrong key", "401: the API key is invalid, expired, or revoked"),
        _error("unverified sender", "403: SENDER_EMAIL isn't a verified sender identity"),
        _error("missing scope", "403: the API key doesn't have permission to send email"),
        _error("out of credits", "401: the account has no credits left"),
        _page("too large", 413, "413: HTML from a proxy"),
        _error(_TOO_MANY, "429: with Retry-After and X-RateLimit-Reset", seconds=1, headers=_RATE),
        _error(f"{_TOO_MANY}, reset only", "429: with X-RateLimit-Reset only", _TOO_MANY, seconds=1, headers=_RATE),
        _error(f"{_TOO_MANY}, no hint", "429: without a retry hint", _TOO_MANY),
        _error("server error", "500: retried"),
        _page("bad gateway", 502, "502: HTML from a proxy; retried"),
        _error("unavailable", "503: retried"),
        Fault("delay", "delay", seconds=2, summary="responds two seconds late"),
        Fault("hang", "timeout", seconds=60, summary="never responds; doesn't accept the email"),
        Fault(
            "hang", "accepted, never answered", seconds=60, accepted=True, summary="accepts the email, never responds"
        ),
        Fault("reset", "reset", summary="resets the connection; doesn't accept the email"),
        Fault("reset", "accepted, then reset", accepted=True, summary="accepts the email, then resets the connection"),
        Fault("slow", "slow answer", seconds=0.1, summary="accepts the email, then responds byte by byte"),
        Fault("cut", "cut answer", accepted=True, summary="accepts the email, then truncates the response"),
    )
}

# The faults of reading the log; `fault` returns them too.
LOG_FAULTS: Mapping[str, Fault] = {
    name: replace(FAULTS[name], summary=summary)
    for name, summary in (
        ("wrong key", "401: the API key is invalid, expired, or revoked"),
        ("missing scope", "403: the API key can't read the log"),
        (_TOO_MANY, "429: with Retry-After and X-RateLimit-Reset"),
        ("unavailable", "503: retried"),
    )
}


def fault(name: str, *, count: int | None = 1, seconds: float | None = None) -> Fault:
    """Return a fault for the next `count` requests (None: for all until cleared).

    `seconds` is how long the fault delays or hangs or, with 429, the wait that it asks for.
    """
    preset = FAULTS[name]
    wait = preset.seconds if seconds is None else seconds
    return replace(preset, count=count, seconds=wait, headers={**preset.headers, **_retry_hints(name, wait)})


def _retry_hints(name: str, seconds: float) -> dict[str, str]:
    """Return the headers that say when to retry; X-RateLimit-Reset is relative to the current time."""
    reset = {"X-RateLimit-Reset": str(math.ceil(time.time() + seconds))}
    return {
        _TOO_MANY: {**reset, "Retry-After": str(math.ceil(seconds))},
        f"{_TOO_MANY}, reset only": reset,
    }.get(name, {})
