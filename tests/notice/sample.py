"""Events, settings and mails, made from the emulator's examples; and what a reader of a mail sees of its HTML."""

import copy
import json
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
MOMENT = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
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
    """The raw event of that name. `request__geoip__cityName=…` changes a member, however deep; `...` takes it away."""
    raw: dict[str, Any] = copy.deepcopy(json.loads((EXAMPLES / f"{name}.json").read_text()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = raw
        for parent in parents:
            place = place[parent]
        if value is ...:
            place.pop(last, None)
        else:
            place[last] = value
    return raw


def callout(raw: Any = None, moment: datetime = MOMENT) -> Callout:
    key = f"{REFERENCE.replace('-', '').lower()}{'0' * 52}"
    return Callout(id="msg_1", key=key, time=moment, sandbox=False, event=raw, deadline=0.0)


def event(name: str = "full", moment: datetime = MOMENT, **changes: Any) -> Event:
    """As the product reads it."""
    brought = callout(example(name, **changes), moment)
    return events.parse(brought, cast(ActionSecrets, None), lambda _: None)


def mail(
    name: str = "full", options: dict[str, str] | None = None, moment: datetime = MOMENT, **changes: Any
) -> Message:
    """The mail for the event; `options` are settings."""
    return password_changed(event(name, moment, **changes), settings(**(options or {})))


def mail_in(tag: str, name: str = "full", **changes: Any) -> Message:
    """The mail for the event in that language alone."""
    changes.setdefault("request__language", tag)
    return mail(name, {"DEFAULT_LANGUAGE": tag}, **changes)


class _Page(HTMLParser):
    """The lines of text that a reader of the page sees, and its tags."""

    BLOCKS = frozenset({"br", "div", "h1", "h2", "li", "ol", "p", "ul"})

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._passed(tag, within=True)

    def handle_endtag(self, tag: str) -> None:
        self._passed(tag, within=False)

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.lines[-1] += data.replace("\n", " ")

    def _passed(self, tag: str, *, within: bool) -> None:
        if tag in ("style", "title"):
            self.hidden = within
        if tag in self.BLOCKS:
            self.lines.append("")


def page(html: str) -> _Page:
    parsed = _Page()
    parsed.feed(html)
    parsed.close()
    return parsed


def html_lines(message: Message) -> list[str]:
    return [line.strip() for line in page(message.html).lines if line.strip()]


def text_lines(message: Message) -> list[str]:
    """The numbers of the steps are the list's own in HTML."""
    lines = [line.strip() for line in message.text.splitlines() if line.strip()]
    return [line[3:] if line[:3] in ("1. ", "2. ", "3. ") else line for line in lines]
