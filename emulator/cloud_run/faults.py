"""The faults of the callout between Auth0 and the function, by name."""

from collections.abc import Mapping

from emulator.core.faults import Fault
from emulator.sendgrid.errors import html_page

_HTML = {"Content-Type": "text/html"}
_LOGIN = "<!doctype html><title>Sign in</title><h1>Sign in to continue</h1>"

# The service applies these itself, by name (see service.py).
BAD_SIGNATURE, STALE_SIGNATURE, DUPLICATE = "bad signature", "stale signature", "same callout twice"
SIGNING_KEY_ROTATES, SENDGRID_KEY_ROTATES = "signing key rotates", "SendGrid key rotates"
CALLOUT_FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("delay", BAD_SIGNATURE, summary="401: no known key made the signature"),
        Fault("delay", STALE_SIGNATURE, summary="401: a valid signature that is ten minutes old"),
        Fault("delay", DUPLICATE, summary="the same ID and body arrive twice; one email is sent"),
        Fault("delay", SIGNING_KEY_ROTATES, summary="Auth0 and the function get a new signing key during the callout"),
        Fault("delay", SENDGRID_KEY_ROTATES, summary="the SendGrid key is replaced after the function has read it"),
    )
}

# The server applies these.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("reset", "answer lost", accepted=True, summary="completes its work, but the response is lost; retried"),
        Fault("reset", "connection reset", summary="the callout doesn't reach the function; retried"),
        Fault("delay", "slow", seconds=8, summary="responds eight seconds late, after the Action's timeout"),
        Fault("status", "bad gateway", status=502, body=html_page(502), headers=_HTML, summary="502: HTML, not JSON"),
        Fault("status", "login page", status=200, body=_LOGIN, headers=_HTML, summary="200: an HTML sign-in page"),
    )
}
