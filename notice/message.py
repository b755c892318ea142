"""The message: one mail in text and HTML, made from the event and the settings, in the reader's languages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_time, get_timezone_name
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from actions.event import Event
from notice.context import Context, clean, context
from notice.language import Language, choose
from settings import Settings

LONGEST_ADDRESS = 320
ISOLATED = "\u2068{}\u2069"  # a value in a right-to-left line keeps its own direction (Unicode's FSI and PDI)


@dataclass(frozen=True)
class Message:
    """A mail to one person."""

    to: str
    sender_email: str
    sender_name: str
    reply_to: str
    subject: str
    text: str
    html: str


def password_changed(event: Event, settings: Settings) -> Message:
    """The notice that the user's password was changed.

    In the language of the request, and in DEFAULT_LANGUAGE where that is another. The subject has no user data.
    """
    languages = choose(event.request.language, settings.default_language)
    facts = context(event, settings)
    details: dict[str, Any] = {
        "connection": clean(event.connection.name),
        "address": clean(event.user.email, LONGEST_ADDRESS),
        "contact": settings.support_contact,
        "reference": event.callout.reference,
    }
    return Message(
        to=event.user.email or "",
        sender_email=settings.sender_email,
        sender_name=settings.sender_name,
        reply_to=settings.support_contact if "://" not in settings.support_contact else "",
        subject=languages[0].words["subject"],
        text=_render("notice.txt", settings, [_part(each, facts, details, html=False) for each in languages]),
        html=_render("notice.html", settings, [_part(each, facts, details, html=True) for each in languages]),
    )


Say = Callable[..., str]  # a key of the wording, and what stands in its braces


def _plain(language: Language) -> Say:
    """Wording as text."""
    insert = ISOLATED.format if language.direction == "rtl" else str

    def say(key: str, **values: object) -> str:
        return language.words[key].format_map({name: insert(value) for name, value in values.items()})

    return say


def _html(language: Language) -> Say:
    """Wording as HTML: whatever is put in is escaped, and keeps its own direction."""

    def say(key: str, **values: object) -> str:
        inserted = {name: _insert(value) for name, value in values.items()}
        return Markup(str.format_map(language.escaped[key], inserted))  # noqa: S704  (all of it is escaped)

    return say


def _insert(value: object) -> str:
    return str(value) if isinstance(value, Markup) else f"<bdi>{escape(value)}</bdi>"


def _part(language: Language, facts: Context, details: dict[str, Any], *, html: bool) -> dict[str, Any]:
    """The whole notice in one language: what the templates put in order."""
    words, say = (language.escaped, _html(language)) if html else (language.words, _plain(language))
    known = {name: details[name] for name in ("connection", "address") if details[name]}
    return {
        "language": language.tag,
        "direction": language.direction,
        "words": words,
        "sentence": say("sentence" if "connection" in known else "sentence_without_connection", **known),
        "facts": [say("line", label=words[key], value=value) for key, value in _facts(language, say, facts)],
        "contact": say("step_contact", contact=details["contact"]),
        "reference": say("line", label=words["reference"], value=details["reference"]),
    }


def _facts(language: Language, say: Say, facts: Context) -> Iterator[tuple[str, str]]:
    """Label's key and value of each fact, in words."""
    if facts.time:
        yield "when", _when(language, say, facts)
    place = _place(language, say, facts)
    if place:
        yield "where", say("approximate_place", place=place)
    if facts.device:
        both = facts.device.browser and facts.device.system
        yield (
            "device",
            (
                say("device_in_words", browser=facts.device.browser, system=facts.device.system)
                if both
                else facts.device.browser or facts.device.system or ""
            ),
        )
    if facts.ip:
        yield "ip_address", facts.ip


def _when(language: Language, say: Say, facts: Context) -> str:
    assert facts.time is not None  # noqa: S101  (for the type checker)
    utc = f"{_moment(language, facts.time)} UTC"
    local = facts.time.astimezone(facts.zone) if facts.zone else None
    if local is None or local.utcoffset() == facts.time.utcoffset():
        return utc
    zone = get_timezone_name(local, locale=language.locale)
    clock = _moment(language, local) if local.date() != facts.time.date() else _time(language, local)
    return say("two_times", utc=utc, local=f"{clock} {zone}")


def _moment(language: Language, moment: datetime) -> str:
    together = str(language.locale.datetime_formats["long"])
    date = format_date(moment, "long", locale=language.locale)
    return together.replace("'", "").format(_time(language, moment), date)


def _time(language: Language, moment: datetime) -> str:
    """The time of day; the narrow no-break space of newer data is missing in many fonts."""
    return format_time(moment, "short", tzinfo=moment.tzinfo, locale=language.locale).replace("\u202f", "\u00a0")


def _place(language: Language, say: Say, facts: Context) -> str | None:
    country = language.locale.territories.get(facts.country_code or "") or facts.country_name
    if facts.city and country:
        return say("place", city=facts.city, country=country)
    return facts.city or country


@cache
def _environment() -> Environment:
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    return Environment(
        loader=folder,
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _render(template: str, settings: Settings, parts: list[dict[str, Any]]) -> str:
    return _environment().get_template(template).render(product=settings.product_name, parts=parts)
