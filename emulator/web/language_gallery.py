"""The language gallery: one event's email in every language, rendered by the function in sandbox mode on demand."""

import json
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import urllib3
from babel import Locale, UnknownLocaleError

from auth0.callout import OutgoingCallout, build_callout
from emulator.cloud_run.process import PROJECT_ROOT
from emulator.cloud_run.service import EXECUTION_HEADER
from emulator.core.journal import Entry
from emulator.emulator import Emulator

TRANSLATIONS = PROJECT_ROOT / "notice" / "translations"
EMAIL_TIMEOUT_SECONDS = 10.0
RESPONSE_TIMEOUT_SECONDS = 20.0
MAX_CACHED_EMAILS = 1000

_COLOR_SCHEME = re.compile(r"@media\s*\(\s*prefers-color-scheme:\s*(dark|light)\s*\)")


class RenderError(Exception):
    """The function rendered no email; the message is its response, or the reason."""


class LanguageGallery:
    """Renders emails and caches them by event, language, and revision of the function."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._cache: dict[tuple[str, str, int], str] = {}
        self._lock = threading.Lock()

    def html(self, event: Mapping[str, Any], language: str) -> str:
        """Return the HTML of the event's email in `language`. Raise RenderError."""
        revision = self._emulator.function.revision.number
        key = (json.dumps(event, sort_keys=True, default=str), language, revision)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = self._render(event, language)
            while len(self._cache) > MAX_CACHED_EMAILS:
                del self._cache[next(iter(self._cache))]
            return self._cache[key]

    def _render(self, event: Mapping[str, Any], language: str) -> str:
        queue = self._emulator.cloud_tasks
        if queue and queue.paused:
            raise RenderError("The queue is paused. Resume it to render this email.")
        request = event.get("request")
        request_in_language = {**(request if isinstance(request, dict) else {}), "language": language}
        callout = build_callout({**event, "request": request_in_language}, sandbox=True)
        with self._emulator.undisturbed():
            self._emulator.refresh()
            response = self._send(callout)
            if response.status not in (200, 202) or response.json().get("status") == "skipped":
                raise RenderError(response.data.decode("utf-8", "replace"))
            timeout = EMAIL_TIMEOUT_SECONDS
            email = self._emulator.journal.wait(lambda entry: _is_email_of(entry, callout.id), timeout=timeout)
        if email is None:
            raise RenderError("The function sent no email for this event.")
        return str(email.data["html"])

    def _send(self, callout: OutgoingCallout) -> urllib3.BaseHTTPResponse:
        headers = {**callout.headers(self._emulator.keys.signing_key), EXECUTION_HEADER: "preview"}  # not a run
        timeout = RESPONSE_TIMEOUT_SECONDS
        return urllib3.request("POST", self._emulator.function.url, body=callout.body, headers=headers, timeout=timeout)


def _is_email_of(entry: Entry, callout_id: str) -> bool:
    return entry.kind == "sendgrid.sandbox" and entry.data["custom_args"].get("webhook_id") == callout_id


def languages() -> dict[str, str]:
    """Return the English name of each language that the email is translated into, by tag."""
    return {file.stem: _name(file.stem) for file in sorted(TRANSLATIONS.glob("*.toml"))}


@cache
def _name(tag: str) -> str:
    try:
        return str(Locale.parse(tag, sep="-").get_display_name("en") or tag)
    except (UnknownLocaleError, ValueError):
        return tag


def in_theme(html: str, theme: str) -> str:
    """Rewrite the email's color-scheme media queries so that `theme` applies whatever the browser prefers."""
    return _COLOR_SCHEME.sub(lambda match: "@media all" if match[1] == theme else "@media not all", html)
