"""Password changes of the tenant's users: with the reset email from Auth0, or by an administrator."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import Any, Generic, TypeVar

Json = dict[str, Any]

SENDER_DOMAIN = "auth0.example"  # of Auth0's own emails
TICKET_TTL_SECONDS = 5 * 24 * 3600.0
MIN_PASSWORD_LENGTH = 8
CONNECTION = {"id": "con_emulator00000001", "name": "Username-Password-Authentication", "strategy": "auth0"}

# The locations that can be chosen for a request; the IP addresses are reserved for documentation.
PLACES: Mapping[str, Json] = {
    "Stockholm": {
        "ip": "192.0.2.44",
        "geoip": {
            "cityName": "Stockholm",
            "countryCode": "SE",
            "countryName": "Sweden",
            "timeZone": "Europe/Stockholm",
        },
    },
    "São Paulo": {
        "ip": "198.51.100.7",
        "geoip": {
            "cityName": "São Paulo",
            "countryCode": "BR",
            "countryName": "Brazil",
            "timeZone": "America/Sao_Paulo",
        },
    },
    "Tokyo": {
        "ip": "2001:db8::17",
        "geoip": {"cityName": "Tokyo", "countryCode": "JP", "countryName": "Japan", "timeZone": "Asia/Tokyo"},
    },
    "an unknown place": {"ip": "198.51.100.99", "geoip": {}},
}
# The request that Auth0 sees if a program changes a password through the Management API.
ADMINISTRATOR: Json = {
    "ip": "203.0.113.9",
    "geoip": {"cityName": "Dublin", "countryCode": "IE", "countryName": "Ireland", "timeZone": "Europe/Dublin"},
    "user_agent": "python-requests/2.34.2",
    "method": "PATCH",
}


class ChangeRejected(ValueError):
    """The password change was rejected; the message is shown to the person and says what to do."""


@dataclass(frozen=True)
class Ticket:
    """A requested password change."""

    email: str
    expires_at: float  # Unix time in seconds


RunT = TypeVar("RunT")


class Users(Generic[RunT]):
    """Password changes; passwords are validated against Auth0's rules and not stored.

    `run` runs the forwarder Action with an event. `send_email` sends a SendGrid body as Auth0's own email, and returns
    whether SendGrid accepted it.
    """

    def __init__(self, run: Callable[[Json], RunT], send_email: Callable[[Json], bool]) -> None:
        self._run, self._send_email = run, send_email
        self._tickets: dict[str, Ticket] = {}

    def request_reset(self, email: str, page: str) -> None:
        """Send an email with a reset link to `page`. Raise ChangeRejected if the address is invalid."""
        email = _address(email)
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = Ticket(email, time.time() + TICKET_TTL_SECONDS)
        if not self._send_email(_reset_email(email, f"{page}?ticket={ticket}")):
            raise ChangeRejected("The reset email couldn't be sent.")

    def ticket(self, name: str) -> Ticket | None:
        """Return the ticket, or None if it doesn't exist or has expired."""
        ticket = self._tickets.get(name)
        return ticket if ticket and ticket.expires_at > time.time() else None

    def reset(self, name: str, password: str, again: str, request: Mapping[str, Any]) -> None:
        """Change the password with a ticket; `request` has fields of the event's request. Raise ChangeRejected.

        As in Auth0, the user doesn't wait for the trigger: the run continues after the return.
        """
        ticket = self.ticket(name)
        if ticket is None:
            raise ChangeRejected("This link was already used or has expired. Request a new one.")
        _check(password, again)
        del self._tickets[name]
        event = password_change_event(ticket.email, {"method": "POST", **request})
        threading.Thread(target=self._run, args=(event,), name="trigger", daemon=True).start()

    def change(self, email: str) -> RunT:
        """Change a password as an administrator does through the Management API. Raise ChangeRejected."""
        return self._run(password_change_event(_address(email), ADMINISTRATOR))


def password_change_event(email: str, request: Mapping[str, Any]) -> Json:
    """Return the event of a password change."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "connection": CONNECTION,
        "request": {"geoip": {}, "hostname": "example-tenant.auth0.com", **request},
        "secrets": {},
        "tenant": {"id": "example-tenant"},
        "user": {
            "email": email,
            "email_verified": True,
            "last_password_reset": now,
            "user_id": f"auth0|{sha256(email.encode()).hexdigest()[:24]}",
        },
    }


def browser_request(place: str, language: str, user_agent: str) -> Json:
    """Return the request that Auth0 sees from a browser in one of PLACES. Raise ChangeRejected."""
    if place not in PLACES:
        raise ChangeRejected(f"Unknown place {place!r}. Choose one of: {', '.join(PLACES)}")
    known = {"language": language, "user_agent": user_agent}
    return {**PLACES[place], **{name: value for name, value in known.items() if value}}


def _address(email: str) -> str:
    if email.count("@") != 1 or not all(email.strip().split("@")):
        raise ChangeRejected("Enter a valid email address.")
    return email.strip()


def _check(password: str, again: str) -> None:
    if len(password) < MIN_PASSWORD_LENGTH:
        raise ChangeRejected(f"The password must have at least {MIN_PASSWORD_LENGTH} characters.")
    if password != again:
        raise ChangeRejected("The passwords don't match.")


def _reset_email(email: str, link: str) -> Json:
    validity = "The link works once and expires in five days."
    text = f"You requested a password reset. Set a new password here:\n\n{link}\n\n{validity}\n"
    return {
        "personalizations": [{"to": [{"email": email}]}],
        "from": {"email": f"no-reply@{SENDER_DOMAIN}", "name": "Auth0 (your tenant)"},
        "subject": "Reset your password",
        "content": [{"type": "text/plain", "value": text}, {"type": "text/html", "value": _reset_html(link)}],
    }


def _reset_html(link: str) -> str:
    return f"""<!doctype html>
<html lang="en" dir="ltr"><head><meta charset="utf-8"><title>Reset your password</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light"></head>
<body style="margin:0;padding:24px;background:#f3f4f6;font:16px/1.5 -apple-system,'Segoe UI',Roboto,sans-serif">
<main style="max-width:480px;margin:0 auto;padding:24px;background:#fff;color:#111827;border-radius:8px">
<h1 style="margin:0 0 12px;font-size:22px">Reset your password</h1>
<p style="margin:0 0 20px">You requested a password reset. Set a new password here:</p>
<p style="margin:0 0 20px"><a href="{escape(link)}" target="_blank" rel="noopener"
style="display:inline-block;padding:12px 20px;background:#1f4fd8;color:#fff;border-radius:6px;text-decoration:none">
Set a new password</a></p>
<p style="margin:0;color:#4b5563;font-size:14px">The link works once and expires in five days.
This email is from Auth0, not from the function.</p>
</main></body></html>
"""
