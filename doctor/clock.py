"""The clock, on which all signatures hang: compared with the Date of an answer from outside."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import requests

from doctor.context import CheckContext
from doctor.finding import Finding

TOLERATED = 60.0  # seconds; a callout's own tolerance is 300


def check(case: CheckContext, answer: requests.Response) -> Iterator[Finding]:
    """Once for a case: what is signed later is signed by the time outside."""
    if case.ahead is not None:
        return
    case.ahead = 0.0
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return  # no date to compare with
    ahead = case.clock.now() - theirs
    if abs(ahead) <= TOLERATED:
        yield Finding("ok", "clock", "this machine's clock is right")
        return
    case.ahead = ahead
    yield Finding(
        "fault",
        "clock",
        f"this machine's clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}",
        "a callout is refused when its time is 300 s off: what runs or is signed here fails",
        "set it by NTP: timedatectl set-ntp true",
    )
