"""Recognize requests that a web page of another site sends through the developer's browser."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_foreign(environ: Mapping[str, Any]) -> bool:
    """Return whether a page of another site sent the request, even with DNS rebinding (a WSGI environment).

    A link from another site that the user follows is allowed.
    """
    host = environ.get("HTTP_HOST", "127.0.0.1")
    origin = environ.get("HTTP_ORIGIN", f"http://{host}")
    site, mode = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_SEC_FETCH_MODE")
    is_cross_site = site in ("cross-site", "same-site") and mode != "navigate"
    return not _is_loopback(host) or origin != f"http://{host}" or is_cross_site


def _is_loopback(host: str) -> bool:
    """Return whether the host's name means loopback, which no site's DNS can change (RFC 6761, section 6.3)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in LOOPBACK or name.endswith(".localhost")
