"""SendGrid's error responses: their statuses, messages, JSON, and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

SENDER_IDENTITY = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. "
    "Visit https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity "
    "requirements"
)

# By name: status, message, field.
ERRORS: Mapping[str, tuple[int, str, str | None]] = {
    "wrong key": (401, "The provided authorization grant is invalid, expired, or revoked", None),
    "no key": (401, "Permission denied, wrong credentials", None),
    "out of credits": (401, "Maximum credits exceeded", None),
    "missing scope": (403, "access forbidden", None),
    "unverified sender": (403, SENDER_IDENTITY, "from"),
    "bad request": (400, "Bad Request", None),
    "not found": (404, "not found", None),
    "POST only": (405, "POST method allowed only", None),
    "wrong method": (405, "method not allowed", None),
    "wrong type": (415, "Content-Type should be application/json.", None),
    "not UTF-8": (415, "Invalid UTF8 in request", None),
    "too many requests": (429, "too many requests", None),
    "server error": (500, "internal server error", None),
    "unavailable": (503, "service unavailable", None),
}


@dataclass
class SendGridError(Exception):
    """An error response that ends a request."""

    status: int
    errors: Sequence[Mapping[str, Any]]
    headers: Mapping[str, str]

    @property
    def body(self) -> str:
        return compact({"errors": self.errors})


def sendgrid_error(name: str, headers: Mapping[str, str] | None = None) -> SendGridError:
    """Return the error named `name` in ERRORS."""
    status, message, field = ERRORS[name]
    return SendGridError(status, [{"message": message, "field": field, "help": None}], headers or {})


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_NGINX_PHRASES = {413: "Request Entity Too Large", 503: "Service Temporarily Unavailable"}


def html_page(status: int) -> str:
    """Return the HTML error page of the proxy in front of SendGrid, which doesn't respond with JSON."""
    title = f"{status} {_NGINX_PHRASES.get(status, HTTPStatus(status).phrase)}"
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n"
    return f"{head}<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
