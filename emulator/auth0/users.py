"""The tenant's users and how they change a password: by the mail that Auth0 sends, or by an administrator's hand."""

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import Any

import urllib3

from emulator.emulator import AUTH0_SENDER, Emulator
from emulator.runs.run import Run

Json = dict[str, Any]

TICKET_SECONDS = 5 * 24 * 3600.0
SHORTEST_PASSWORD = 8
CONNECTION = {"id": "con_emulator00000001", "name": "Username-Password-Authentication", "strategy": "auth0"}

# From where a person may pretend to come; the addresses are those set aside for documentation.
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
# What Auth0 sees when a program changes it over the Management API.
ADMINISTRATOR: Json = {
    "ip": "203.0.113.9",
    "geoip": {"cityName": "Dublin", "countryCode": "IE", "countryName": "Ireland", "timeZone": "Europe/Dublin"},
    "user_agent": "python-requests/2.34.2",
    "method": "PATCH",
}


class PasswordRejected(ValueError):
    """What a person may do better; the message says what."""


@dataclass(frozen=True)
class Ticket:
    """One asked-for change: who asked, and from where."""

    email: str
    ends: float


class Users:
    """Passwords are held to Auth0's rules and forgotten at once."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._key = emulator.sendgrid.new_key("mail.send")
        self._tickets: dict[str, Ticket] = {}

    def request_reset(self, email: str, page: str) -> None:
        """Mail a link under `page`, by Auth0's own way to SendGrid, which nothing breaks. Raises PasswordRejected."""
        email = _address(email)
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = Ticket(email, time.time() + TICKET_SECONDS)
        body = json.dumps(_reset_mail(email, f"{page}?ticket={ticket}")).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with self._emulator.undisturbed():
            answer = urllib3.request("POST", f"{self._emulator.sendgrid.url}/v3/mail/send", body=body, headers=headers)
        if answer.status != 202:
            raise PasswordRejected("The reset mail could not be sent.")

    def ticket(self, name: str) -> Ticket | None:
        ticket = self._tickets.get(name)
        return ticket if ticket and ticket.ends > time.time() else None

    def reset(self, name: str, password: str, again: str, request: Mapping[str, Any]) -> None:
        """The user sets a new password; `request` are members of the event's request. Raises PasswordRejected.

        As at Auth0, the user does not wait for the trigger: the run goes on after the return.
        """
        ticket = self.ticket(name)
        if ticket is None:
            raise PasswordRejected("This link was used or is too old. Ask for a new one.")
        _check(password, again)
        del self._tickets[name]
        event = changed(ticket.email, {"method": "POST", **request})
        threading.Thread(target=self._emulator.run, args=(event,), name="trigger", daemon=True).start()

    def change(self, email: str) -> Run:
        """An administrator's program sets a new password. Raises PasswordRejected."""
        return self._emulator.run(changed(_address(email), ADMINISTRATOR))


def changed(email: str, request: Mapping[str, Any]) -> Json:
    """The event of a changed password."""
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
    """What Auth0 would see of a browser at one of PLACES. Raises PasswordRejected."""
    if place not in PLACES:
        raise PasswordRejected(f"There is no place {place!r}; there are: {', '.join(PLACES)}")
    known = {"language": language, "user_agent": user_agent}
    return {**PLACES[place], **{name: value for name, value in known.items() if value}}


def _address(email: str) -> str:
    if email.count("@") != 1 or not all(email.strip().split("@")):
        raise PasswordRejected("Enter an e-mail address.")
    return email.strip()


def _check(password: str, again: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise PasswordRejected(f"A password has at least {SHORTEST_PASSWORD} characters.")
    if password != again:
        raise PasswordRejected("The two passwords are not the same.")


def _reset_mail(email: str, link: str) -> Json:
    text = f"You asked to change your password. Set a new one here:\n\n{link}\n\nThe link works once, for five days.\n"
    return {
        "personalizations": [{"to": [{"email": email}]}],
        "from": {"email": f"no-reply@{AUTH0_SENDER}", "name": "Auth0 (your tenant)"},
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
<p style="margin:0 0 20px">You asked to change your password. Set a new one here:</p>
<p style="margin:0 0 20px"><a href="{escape(link)}" target="_blank" rel="noopener"
style="display:inline-block;padding:12px 20px;background:#1f4fd8;color:#fff;border-radius:6px;text-decoration:none">
Set a new password</a></p>
<p style="margin:0;color:#4b5563;font-size:14px">The link works once, for five days. This mail is Auth0's own.</p>
</main></body></html>
"""
