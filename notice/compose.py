"""The message: one mail in text and HTML, made from the event and the settings, in the reader's languages."""

import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from notice.context import Context, clean, context, name
from notice.languages import Language, choose, cldr
from runtime.event import Event
from settings import Settings

LONGEST_ADDRESS = 320


class Message(NamedTuple):
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
    facts, contact = context(event, settings), settings.support_contact
    is_page = "://" in contact
    shown = {
        "product": settings.product_name,
        "parts": [_part(language, event, facts) for language in languages],
        "contact": contact,
        "link": contact if is_page else f"mailto:{contact}",
    }
    return Message(
        to=event.user.email or "",
        sender_email=settings.sender_email,
        sender_name=settings.sender_name,
        reply_to="" if is_page else contact,
        subject=languages[0].words["subject"],
        text=_templates().get_template("notice.txt").render(shown).strip() + "\n",
        html=_templates().get_template("notice.html").render(shown),
    )


def _part(language: Language, event: Event, facts: Context) -> SimpleNamespace:
    """The notice in one language: its words, filled in. The templates put them in order."""
    connection, address = name(event.connection.name), clean(event.user.email, LONGEST_ADDRESS) or ""
    before_contact, _, after_contact = language.words["step_contact"].partition("{contact}")
    known = {"address": _apart(language, address)}
    if connection:
        known["connection"] = _apart(language, connection)
    part = {
        **language.words,
        "language": language.tag,
        "direction": language.direction,
        "sentence": _say(language, "sentence" if connection else "sentence_without_connection", **known),
        "colon": language.words["line"].removeprefix("{label}").removesuffix("{value}"),
        "facts": list(_facts(language, facts)),
        "before_contact": before_contact,
        "after_contact": after_contact,
        "code": _apart(language, event.callout.reference),
    }
    return SimpleNamespace(**part)


def _say(language: Language, key: str, **values: str) -> str:
    """The words of a key with what its braces name, once; braces in a value are only text."""
    return language.words[key].format_map(values)


def _apart(language: Language, value: str) -> str:
    """A value that is not in the language keeps its own direction among text of the other (Unicode's isolates)."""
    turns = language.direction == "rtl" or (not value.isascii() and _has_right_to_left(value))
    return f"\u2068{value}\u2069" if turns else value


def _has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in ("R", "AL") for char in text)


def _together(language: Language, phrase: str) -> str:
    """A phrase in the language, with numbers and names in it, that others stand beside."""
    return f"\u2067{phrase}\u2069" if language.direction == "rtl" else phrase


def _facts(language: Language, facts: Context) -> Iterator[tuple[str, str]]:
    """Label and value of each fact, in words."""
    words = language.words
    if facts.time:
        yield words["when"], _when(language, facts.time, facts.local_time)
    place = _place(language, facts)
    if place:
        yield words["where"], _say(language, "approximate_place", place=place)
    device = [_apart(language, name) for name in facts.device or () if name]
    if len(device) == 2:
        yield words["device"], _say(language, "device_in_words", browser=device[0], system=device[1])
    elif device:
        yield words["device"], device[0]
    if facts.ip:
        yield words["ip_address"], _apart(language, facts.ip)


def _when(language: Language, utc: datetime, local: datetime | None) -> str:
    in_utc = _together(language, _moment(language, utc, "UTC"))
    if local is None:
        return in_utc
    told = _clock if local.date() == utc.date() else _moment
    in_local = _together(language, told(language, local, _zone(language, local)))
    return _say(language, "two_times", utc=in_utc, local=in_local)


def _moment(language: Language, moment: datetime, zone: str) -> str:
    pattern: str = language.cldr["dates"][moment.month - 1]
    date = pattern.format(day=moment.day, year=moment.year)
    return str(language.cldr["date_time"]).format(date=date, time=_clock(language, moment, zone))


def _clock(language: Language, moment: datetime, zone: str) -> str:
    """The time of day and its zone."""
    pattern: str = language.cldr["times"][moment.hour]
    return f"{_apart(language, pattern.format(minute=moment.minute))} {zone}"


def _zone(language: Language, local: datetime) -> str:
    """The name of the time zone, in winter or in summer; its distance from UTC where it has none."""
    zone = str(local.tzinfo)
    names: list[str] = language.cldr["zones"].get(cldr("common")["zones"].get(zone, zone), [""])
    offset = f"{local:%z}"  # +0530; of long ago with seconds
    name = names[-1] if _is_summer(local) else names[0]
    return name or str(language.cldr["zone_offset"]).format(offset=f"{offset[:3]}:{offset[3:5]}")


def _is_summer(local: datetime) -> bool:
    """Ireland's standard time is that of the summer, and what is saved in winter is negative."""
    none = timedelta()
    saved, in_january = local.dst() or none, local.replace(month=1, day=1).dst() or none
    return saved > none or (not saved and in_january < none)


def _place(language: Language, facts: Context) -> str | None:
    country = language.cldr["countries"].get(facts.country_code) or facts.country_name
    city, country = (name and _apart(language, name) for name in (facts.city, country))
    return _say(language, "place", city=city, country=country) if city and country else city or country


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        optimized=False,  # compiles sooner, and there is nothing to work out beforehand
    )
