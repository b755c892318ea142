"""Restrict what the pages may load: no scripts except the emulator's."""

from flask import Response

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# An email's HTML may have inline styles, but no scripts; links open in a new tab.
EMAIL_SANDBOX = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    f"frame-ancestors 'self'; sandbox {EMAIL_SANDBOX}"
)


def restrict(response: Response) -> Response:
    """Add the default headers to the response."""
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
