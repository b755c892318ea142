"""Compare the clock, on which signatures depend, with the Date header of a service's response."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import requests

from doctor.context import CheckContext
from doctor.finding import Finding

MAX_SKEW_SECONDS = 60.0  # the function tolerates 300


def check(context: CheckContext, response: requests.Response) -> Iterator[Finding]:
    """Measure the skew once per context, so that later signatures can be corrected by it."""
    if context.clock_skew is not None:
        return
    context.clock_skew = 0.0
    try:
        remote_time = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return  # no date to compare with
    skew = context.clock.now() - remote_time
    if abs(skew) <= MAX_SKEW_SECONDS:
        yield Finding("ok", "clock", "this machine's clock is accurate")
        return
    context.clock_skew = skew
    yield Finding(
        "error",
        "clock",
        f"this machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}",
        "callouts signed or verified on this machine fail if its clock is off by 300 s",
        "synchronize it with NTP: timedatectl set-ntp true",
    )
