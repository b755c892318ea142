"""What can go wrong with a callout between Auth0 and the function, by name."""

from collections.abc import Mapping

from emulator.core.faults import Fault
from emulator.sendgrid.errors import html_page

_HTML = {"Content-Type": "text/html"}
_LOGIN = "<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>"

# The front does these itself, by their names (see cloud_run.py).
BAD_SIGNATURE, STALE_SIGNATURE, DUPLICATE = "bad signature", "stale signature", "same callout twice"
SIGNING_KEY_ROTATES, SENDGRID_KEY_ROTATES = "signing key rotates", "SendGrid key rotates"
CALLOUT_FAULTS: Mapping[str, Fault] = {
    name: Fault("delay", name)
    for name in (BAD_SIGNATURE, STALE_SIGNATURE, DUPLICATE, SIGNING_KEY_ROTATES, SENDGRID_KEY_ROTATES)
}

# These any server can do.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("reset", "answer lost", accepted=True),
        Fault("reset", "connection reset"),
        Fault("delay", "slow", seconds=8),
        Fault("status", "bad gateway", status=502, body=html_page(502), headers=_HTML),
        Fault("status", "login page", status=200, body=_LOGIN, headers=_HTML),
    )
}
