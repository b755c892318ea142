"""Reject requests from other hosts and sites, and restrict what responses may load: no script but the emulator's."""

from flask import Flask, Request, Response, request

from emulator.web.api import body

HOSTS = ("127.0.0.1", "localhost", "[::1]")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# An email's HTML may have inline styles, but no script; links open in a new tab.
EMAIL_SANDBOX = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    f"frame-ancestors 'self'; sandbox {EMAIL_SANDBOX}"
)


def guard(app: Flask) -> None:
    app.before_request(_reject_foreign_requests)
    app.after_request(_restrict)


def _reject_foreign_requests() -> Response | None:
    """Keep other sites from driving the emulator through the user's browser, even with DNS rebinding."""
    host = request.host.rpartition(":")[0] or request.host
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and origin != f"http://{request.host}"
    if host not in HOSTS or is_foreign or _is_cross_site(request):
        message = "requests for other hosts or from other sites are rejected; open the emulator at http://127.0.0.1"
        return body.json_response({"error": message}, 403)
    return None


def _is_cross_site(received: Request) -> bool:
    """Return whether another site's page sent the request, except when the user followed a link."""
    site, mode = received.headers.get("Sec-Fetch-Site", "none"), received.headers.get("Sec-Fetch-Mode", "")
    return site in ("cross-site", "same-site") and mode != "navigate"


def _restrict(response: Response) -> Response:
    headers = {
        "Content-Security-Policy": PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response
