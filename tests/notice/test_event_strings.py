"""Every string of the event, as long and strange as a callout's body allows: an email is composed, and it is safe."""

import base64
import json
import random
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notice.compose import Message, password_changed
from notice.sendgrid import payload
from runtime import Api, Event, Flow, Result, skipped
from runtime.clock import Clock
from runtime.event import JsonObject
from runtime.http import MAX_BODY_BYTES
from runtime.secrets import SecretCache
from tests.fuzz import ENVIRONMENT, KEY, NOW, HostileRequest, respond, valid_body
from tests.notice.sample import settings as load_settings

MAX_STRING_BYTES = 60_000
MAX_EMAIL_BYTES = 24 * 1024
DOMAIN = re.compile(r"[.\u3002\uff0e\uff61][^\s.]{2}")
CONTROL = re.compile("[\u202a-\u202e\u200b\u200e\u200f\ufeff\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Path = tuple[str, ...]
Send = Callable[[dict[Path, str]], Message | None]


def string_paths(kind: type[JsonObject], *parents: str) -> Iterator[Path]:
    """Yield the path of every string that the event type declares."""
    for name, field in kind._known.items():
        if field.is_object:
            yield from string_paths(field.type, *parents, name)
        elif field.type is str:
            yield (*parents, name)


PATHS = [*string_paths(Event, "event"), ("time",)]
# What the libraries that parse the strings treat specially: ipaddress, zoneinfo, idna, datetime, re, Jinja, and JSON.
PARTS = st.sampled_from(
    [
        *(
            "%",
            ":",
            "::",
            "fe80::1%",
            "::ffff:",
            "1.",
            "f",
            "192.0.2.1",
            "2001:db8::",
            "9",
            "+",
            "T",
            "Z",
            "2026-11-23",
        ),
        *("/", "a/", "../", "Europe/", "Europe/Stockholm", "America/Argentina/", "right/UTC", "posix/", "leapseconds"),
        *("@", ".", "\u3002", "\uff0e", "xn--", "xn--a.", "ü", "ß", "ü.", "\u0660", "\u0301", "\u30fb", "\ufdfa", "İ"),
        *(
            "evil.example",
            "www.",
            "WWW.",
            "://",
            "https://evil.example/x",
            "mailto:",
            "kim@example.org",
            '"',
            "\\",
            "'",
        ),
        *(
            "\r\n",
            "\0",
            "\x1b[31m",
            "\u2028",
            "\u202e",
            "\u2066",
            "\u200b",
            "\u200c",
            "\u200d",
            "\ufeff",
            "\ud800",
            "\t",
        ),
        *(
            "<b>",
            "&",
            "&#46;",
            "{",
            "{0}",
            "{{7*7}}",
            "%s",
            "$x",
            " ",
            "\u3000",
            "x",
            "very ",
            "\U0001d54f",
            "שלום",
            "🏳️‍🌈",
        ),
        *("-", "_", ",", ";q=", "de;q=0.5,", "zh-Hant-", "pt", "*", "Mozilla/5.0 (", "(", "Chrome/1", "Windows", "bot"),
    ]
)
SHORT = st.lists(PARTS | st.text(max_size=5), max_size=4).map("".join)


def encode(value: Any) -> bytes:
    """Return the shortest JSON; a lone surrogate is escaped."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


@st.composite
def long_strings(draw: st.DrawFn) -> str:
    """Repeat a part, up to the maximum length, between two short strings."""
    start, part, end = draw(SHORT), draw(PARTS), draw(SHORT)
    maximum = (MAX_STRING_BYTES - len(encode(start + end))) // len(encode(part))
    return start + part * min(draw(st.sampled_from([13, 400, MAX_STRING_BYTES])), maximum) + end


@pytest.fixture(scope="module")
def send() -> Send:
    """Return a function that sends a callout with these strings, and returns the email that SendGrid would get."""
    settings, messages = load_settings(**ENVIRONMENT), list[Message]()
    key, clock = f"whsec_{base64.b64encode(KEY).decode()}", Clock(now=lambda: NOW)
    flow = Flow(settings, secrets=SecretCache(settings, fetch=lambda _source: key, clock=clock), clock=clock)

    @flow.action
    def on_execute_post_change_password(event: Event, api: Api) -> Result:
        if not event.user.email:
            return skipped("no_email")
        messages.append(password_changed(event, settings))
        encode(payload(messages[-1], event.callout))
        return Result("sent")

    def run(strings: dict[Path, str]) -> Message | None:
        body = valid_body(random.Random(0))
        for path, text in strings.items():
            target: dict[str, Any] = body
            for name in path[:-1]:
                target = target.setdefault(name, {})
            target[path[-1]] = text
        request = HostileRequest(random.Random(), encode(body))
        request.sign()
        assert len(request.body) <= MAX_BODY_BYTES
        messages.clear()
        assert respond(on_execute_post_change_password, request) == 200
        return messages[0] if messages else None

    return run


def links(text: str) -> list[str]:
    """Return the words that an email client could turn into a link, except email addresses and IP addresses."""
    words = [word.strip("\u2066\u2067\u2068\u2069().,:;") for word in text.split()]
    return [
        word for word in words if DOMAIN.search(word) and not re.fullmatch("[^@/:]+@[^@/:]+", word) and not is_ip(word)
    ]


def is_ip(word: str) -> bool:
    try:
        return "%" not in str(ip_address(word))
    except ValueError:
        return False


@settings(max_examples=200)
@example({}, {("event", "request", "ip"): "fe80::1%evil.example" + "\n" * 30_000})
@example({}, {("event", "request", "geoip", "timeZone"): "a/" * 400 + "a"})
@example({}, {("event", "user", "email"): '"evil.example"@example.com'})
@given(
    st.dictionaries(st.sampled_from(PATHS), SHORT, max_size=5),
    st.dictionaries(st.sampled_from(PATHS), long_strings(), min_size=1, max_size=1),
)
def test_no_string_of_the_event_prevents_an_email_or_makes_it_large_or_unsafe(
    send: Send, short: dict[Path, str], long: dict[Path, str]
) -> None:
    message = send(short | long)

    for part in (message.text, message.html.partition("<body")[2]) if message else ():
        assert len(part.encode()) < MAX_EMAIL_BYTES
        assert "://" not in part
        assert "www." not in part.lower()
        assert not CONTROL.search(part)
    assert not message or links(message.text) == []
