"""Validate URLs from the environment."""

from urllib.parse import urlsplit

from audit.log_client import Unreadable
from settings import is_loopback


def checked_url(variable: str, text: str) -> str:
    """Return the URL without a slash at its end. Raise Unreadable unless it's https, or plain http on loopback."""
    try:
        url = urlsplit(text.strip())
        is_secure = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
        is_valid = bool(is_secure and url.hostname and url.port != 0 and not url.username)
    except ValueError:  # a port that isn't a number, or a bracket without its pair
        is_valid = False
    if not is_valid:
        raise Unreadable(variable, "isn't an https URL", "set it to one; plain http is only for loopback")
    return text.strip().rstrip("/")
