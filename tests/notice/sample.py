"""Sample events, settings, and emails based on the emulator's examples, and the visible text of an email's HTML."""

import copy
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import settings as product_settings
from notice.compose import Message, password_changed
from notice.languages import TRANSLATIONS
from runtime import event as events
from runtime.callout import Callout
from runtime.event import Event
from runtime.secrets import ActionSecrets
from settings import Settings

EXAMPLES = Path(__file__).parents[2] / "emulator" / "auth0" / "samples"
TAGS = sorted(file.stem for file in TRANSLATIONS.glob("*.toml"))
TIME = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
REFERENCE = "1A2B-3C4D-5E6F"
CONTACT = "help@acme.example"
ENVIRONMENT = {
    "SENDER_EMAIL": "security@acme.example",
    "SENDER_NAME": "Acme Security",
    "SUPPORT_CONTACT": CONTACT,
    "SENDGRID_API_KEY_SECRET": "projects/p/secrets/sendgrid",
    "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/signing",
}


def settings(**changes: str) -> Settings:
    return product_settings.load({**ENVIRONMENT, **changes})


def example(name: str = "full", **changes: Any) -> dict[str, Any]:
    """Return the raw example. `request__geoip__cityName=…` sets a field at any depth; the value `...` removes it."""
    raw: dict[str, Any] = copy.deepcopy(json.loads((EXAMPLES / f"{name}.json").read_text()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = raw
        for parent in parents:
            target = target[parent]
        if value is ...:
            target.pop(last, None)
        else:
            target[last] = value
    return raw


def callout(raw: Any = None, time: datetime = TIME) -> Callout:
    key = f"{REFERENCE.replace('-', '').lower()}{'0' * 52}"
    return Callout(id="msg_1", key=key, time=time, sandbox=False, event=raw, deadline=0.0)


def event(name: str = "full", time: datetime = TIME, **changes: Any) -> Event:
    """Return the example as the product parses it."""
    received = callout(example(name, **changes), time)
    return events.parse(received, cast(ActionSecrets, None), lambda _: None)


def email(name: str = "full", options: dict[str, str] | None = None, time: datetime = TIME, **changes: Any) -> Message:
    """Return the email for the event; `options` are settings."""
    return password_changed(event(name, time, **changes), settings(**(options or {})))


def email_in(tag: str, name: str = "full", **changes: Any) -> Message:
    """Return the email for the event in a single language."""
    changes.setdefault("request__language", tag)
    return email(name, {"DEFAULT_LANGUAGE": tag}, **changes)


class _Page(HTMLParser):
    """Collects a page's visible lines of text, and its tags."""

    BLOCKS = frozenset({"br", "div", "h1", "h2", "li", "ol", "p", "ul"})

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.is_hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._handle_tag(tag, is_start=True)

    def handle_endtag(self, tag: str) -> None:
        self._handle_tag(tag, is_start=False)

    def handle_data(self, data: str) -> None:
        if not self.is_hidden:
            self.lines[-1] += data.replace("\n", " ")

    def _handle_tag(self, tag: str, *, is_start: bool) -> None:
        if tag in ("style", "title"):
            self.is_hidden = is_start
        if tag in self.BLOCKS:
            self.lines.append("")


def parse_page(html: str) -> _Page:
    parsed = _Page()
    parsed.feed(html)
    parsed.close()
    return parsed


def html_lines(message: Message) -> list[str]:
    return [line.strip() for line in parse_page(message.html).lines if line.strip()]


def text_lines(message: Message) -> list[str]:
    """Return the lines of the text part without the steps' numbers and the contact's isolates, which HTML generates."""
    text = re.sub("\u2068(.*) \u2069", r"\1", message.text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line[3:] if line[:3] in ("1. ", "2. ", "3. ") else line for line in lines]
