"""The sheet: the mail of one event in every language, made by the function itself in sandbox mode, when asked for."""

import json
import re
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import urllib3
from babel import Locale, UnknownLocaleError

from auth0.callout import OutgoingCallout, build_callout
from emulator.cloud_run.process import SOURCE
from emulator.core.journal import Entry
from emulator.emulator import Emulator

LANGUAGES = SOURCE / "notice" / "translations"
ARRIVAL_SECONDS = 10.0
KEPT = 1000  # mails

_DARK = re.compile(r"@media\s*\(\s*prefers-color-scheme:\s*(dark|light)\s*\)")


class RenderError(Exception):
    """The function made no mail; the message says what it said."""


class LanguageGallery:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._made: dict[tuple[str, str, int], str] = {}
        self._lock = threading.Lock()

    def html(self, event: Mapping[str, Any], language: str) -> str:
        """Raises RenderError."""
        revision = self._emulator.function.revision.number
        key = (json.dumps(event, sort_keys=True, default=str), language, revision)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(event, language)
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
            return self._made[key]

    def _make(self, event: Mapping[str, Any], language: str) -> str:
        queue = self._emulator.cloud_tasks
        if queue and queue.paused:
            raise RenderError("The queue is paused: let it go on, and this mail can be made.")
        request = event.get("request")
        asked = {**(request if isinstance(request, dict) else {}), "language": language}
        callout = build_callout({**event, "request": asked}, sandbox=True)
        with self._emulator.undisturbed():
            self._emulator.refresh()
            answer = self._send(callout)
            if answer.status not in (200, 202) or answer.json().get("status") == "skipped":
                raise RenderError(answer.data.decode("utf-8", "replace"))
            mail = self._emulator.journal.wait(lambda entry: _is_of(entry, callout.id), timeout=ARRIVAL_SECONDS)
        if mail is None:
            raise RenderError("The function sends no mail for this event.")
        return str(mail.data["html"])

    def _send(self, callout: OutgoingCallout) -> urllib3.BaseHTTPResponse:
        headers = callout.headers(self._emulator.keys.signing_key)
        return urllib3.request("POST", self._emulator.function.url, body=callout.body, headers=headers, timeout=20.0)


def _is_of(entry: Entry, callout_id: str) -> bool:
    return entry.kind == "sendgrid.sandbox" and entry.data["custom_args"].get("webhook_id") == callout_id


def languages() -> dict[str, str]:
    """Each language of the mail, by its tag, with its name in English."""
    return {file.stem: _name(file.stem) for file in sorted(LANGUAGES.glob("*.toml"))}


@cache
def _name(tag: str) -> str:
    try:
        return str(Locale.parse(tag, sep="-").get_display_name("en") or tag)
    except (UnknownLocaleError, ValueError):
        return tag


def in_theme(html: str, theme: str) -> str:
    """The mail as a reader with this preference sees it, whatever the preference of the browser that shows it."""
    return _DARK.sub(lambda match: "@media all" if match[1] == theme else "@media not all", html)
