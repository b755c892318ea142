"""Who may speak to the emulator, and what its answers allow: nothing from elsewhere, and no script but its own."""

from flask import Flask, Request, Response, request

from emulator.web.api import body

HOSTS = ("127.0.0.1", "localhost", "[::1]")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A mail's HTML: its own styles, no script whatever it holds, and links open elsewhere.
MAIL_SANDBOX = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    f"frame-ancestors 'self'; sandbox {MAIL_SANDBOX}"
)


def guard(app: Flask) -> None:
    app.before_request(_refuse_strangers)
    app.after_request(_restrict)


def _refuse_strangers() -> Response | None:
    """A page elsewhere must not drive the emulator through a person's browser, whatever name it gives us."""
    host = request.host.rpartition(":")[0] or request.host
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin != f"http://{request.host}"
    if host not in HOSTS or foreign or _embedded(request):
        return body.answer({"error": "open the emulator at its own address, http://127.0.0.1"}, 403)
    return None


def _embedded(asked: Request) -> bool:
    """Whether another site's page fetches this; a person may well follow a link from there."""
    site, mode = asked.headers.get("Sec-Fetch-Site", "none"), asked.headers.get("Sec-Fetch-Mode", "")
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
