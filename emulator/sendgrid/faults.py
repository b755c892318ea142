"""What can go wrong with SendGrid on purpose, by name."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from emulator.core.faults import Fault
from emulator.sendgrid.errors import html_page, sendgrid_error

_HTML = {"Content-Type": "text/html"}
_RATE = {"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "0"}


def _refused(name: str, refused: str = "", seconds: float = 0.0, headers: Mapping[str, str] | None = None) -> Fault:
    answer = sendgrid_error(refused or name)
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    return Fault("status", name, status=answer.status, body=answer.body, headers=all_headers, seconds=seconds)


def _page(name: str, status: int) -> Fault:
    return Fault("status", name, status=status, body=html_page(status), headers=_HTML)


# Name: what happens. `seconds` is what `fault` may change, where it is not 0.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        _refused("wrong key"),
        _refused("out of credits"),
        _refused("missing scope"),
        _refused("unverified sender"),
        _page("too large", 413),
        _refused("too many requests", seconds=1, headers=_RATE),  # Retry-After and X-RateLimit-Reset
        _refused("too many requests, reset only", "too many requests", seconds=1, headers=_RATE),
        _refused("too many requests, no hint", "too many requests"),
        _refused("server error"),
        _page("bad gateway", 502),
        _refused("unavailable"),
        Fault("delay", "delay", seconds=2),
        Fault("hang", "time-out", seconds=60),
        Fault("hang", "accepted, never answered", seconds=60, accepted=True),
        Fault("reset", "reset"),
        Fault("reset", "accepted, then reset", accepted=True),
        Fault("slow", "slow answer", seconds=0.1),  # accepted, then each byte after so many seconds
        Fault("cut", "cut answer", accepted=True),
    )
}


def fault(name: str, *, count: int | None = 1, seconds: float | None = None) -> Fault:
    """The fault for the next `count` requests (None: all until cleared).

    `seconds`: how long it waits or, with 429, asks to wait.
    """
    preset = FAULTS[name]
    wait = preset.seconds if seconds is None else seconds
    return replace(preset, count=count, seconds=wait, headers={**preset.headers, **_hints(name, wait)})


def _hints(name: str, seconds: float) -> dict[str, str]:
    """When to come again. X-RateLimit-Reset is a time, so it is made when the fault is."""
    reset = {"X-RateLimit-Reset": str(math.ceil(time.time() + seconds))}
    return {
        "too many requests": {**reset, "Retry-After": str(math.ceil(seconds))},
        "too many requests, reset only": reset,
    }.get(name, {})
