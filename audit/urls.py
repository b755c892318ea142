"""URLs from the environment."""

import re
from urllib.parse import urlsplit

from audit.log_client import Unreadable

_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


def checked_url(variable: str, text: str) -> str:
    """Return the URL without a slash at its end. Raise Unreadable unless it's https, or plain http on loopback."""
    url = urlsplit(text.strip())
    try:
        is_secure = url.scheme == "https" or (url.scheme == "http" and _LOOPBACK.fullmatch(url.hostname or ""))
        is_valid = bool(is_secure and url.hostname and url.port != 0 and not url.username)
    except ValueError:  # the port isn't a number
        is_valid = False
    if not is_valid:
        raise Unreadable(variable, "isn't an https URL", "set it to one; plain http is only for loopback")
    return text.strip().rstrip("/")
