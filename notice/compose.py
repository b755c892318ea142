"""Compose the email, in text and HTML, from the event and the settings, in the recipient's languages."""

import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from notice.context import Context, build_context, clean_address, clean_name
from notice.languages import Language, load_cldr, negotiate
from runtime import log
from runtime.address import ascii_domain
from runtime.event import Event
from settings import Settings


class Message(NamedTuple):
    """An email to one recipient."""

    to: str
    sender_email: str
    sender_name: str
    reply_to: str
    subject: str
    text: str
    html: str


def password_changed(event: Event, settings: Settings) -> Message:
    """Return the notice that the user's password was changed.

    It is in the language of the request, followed by DEFAULT_LANGUAGE if that differs. The subject has no user data.
    """
    languages = negotiate(event.request.language, settings.default_language)
    facts, contact = build_context(event, settings), settings.support_contact
    is_url = "://" in contact
    address = clean_address(event.user.email)
    if address != event.user.email:
        log.redact_address(address, "[address]")  # SendGrid's response may quote the email
    variables = {
        "product": settings.product_name,
        "sections": [_section(language, event, settings, address, facts) for language in languages],
        "contact": contact,
        "link": contact if is_url else f"mailto:{ascii_domain(contact)}",
    }
    return Message(
        to=event.user.email or "",
        sender_email=settings.sender_email,
        sender_name=settings.sender_name,
        reply_to="" if is_url else contact,
        subject=languages[0].strings["subject"],
        text=_templates().get_template("notice.txt").render(variables).strip() + "\n",
        html=_templates().get_template("notice.html").render(variables),
    )


def _section(language: Language, event: Event, settings: Settings, address: str, facts: Context) -> SimpleNamespace:
    """Return the notice's strings in one language, with their placeholders filled in. The templates arrange them."""
    connection = settings.product_name or clean_name(event.connection.name)
    before_contact, _, after_contact = language.strings["step_contact"].partition("{contact}")
    values = {"address": _isolate(language, address)}
    if connection:
        values["connection"] = _isolate(language, connection)
    section = {
        **language.strings,
        "language": language.tag,
        "direction": language.direction,
        "sentence": _format(language, "sentence" if connection else "sentence_without_connection", **values),
        "colon": language.strings["line"].removeprefix("{label}").removesuffix("{value}"),
        "facts": list(_format_facts(language, facts)),
        "style": language.cldr["style"],
        "before_contact": before_contact,
        # The isolate keeps a trailing "/" in place; the space keeps clients from making the isolate part of the link.
        "contact": _isolate(language, f"{settings.support_contact} ").strip(),
        "after_contact": after_contact,
        "code": _isolate(language, event.callout.reference),
    }
    return SimpleNamespace(**section)


def _format(language: Language, key: str, **values: str) -> str:
    """Fill in the placeholders of a string. Braces in a value aren't placeholders."""
    return language.strings[key].format_map(values)


def _isolate(language: Language, value: str) -> str:
    """Wrap a value in Unicode directional isolates if its direction may differ from the surrounding text's."""
    has_rtl = not value.isascii() and any(unicodedata.bidirectional(char) in ("R", "AL") for char in value)
    return f"\u2068{value}\u2069" if has_rtl or language.direction == "rtl" else value


def _isolate_phrase(language: Language, phrase: str) -> str:
    """Isolate a right-to-left phrase, so that the numbers and names in it don't mix with its neighbors."""
    return f"\u2067{phrase}\u2069" if language.direction == "rtl" else phrase


def _format_facts(language: Language, facts: Context) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of each fact."""
    strings = language.strings
    if facts.time:
        yield strings["when"], _format_time(language, facts.time, facts.local_time)
    place = _format_place(language, facts)
    if place:
        yield strings["where"], _format(language, "approximate_place", place=place)
    device = [_isolate(language, name) for name in facts.device or () if name]
    if len(device) == 2:
        yield strings["device"], _format(language, "device_in_words", browser=device[0], system=device[1])
    elif device:
        yield strings["device"], device[0]
    if facts.ip:
        yield strings["ip_address"], _isolate(language, facts.ip)


def _format_time(language: Language, utc: datetime, local: datetime | None) -> str:
    utc_text = _isolate_phrase(language, _format_datetime(language, utc, "UTC"))
    if local is None:
        return utc_text
    format_local = _format_time_of_day if local.date() == utc.date() else _format_datetime
    local_text = _isolate_phrase(language, format_local(language, local, _zone_name(language, local)))
    return _format(language, "two_times", utc=utc_text, local=local_text)


def _format_datetime(language: Language, time: datetime, zone: str) -> str:
    pattern: str = language.cldr["dates"][time.month - 1]
    date = pattern.format(day=time.day, year=time.year)
    return str(language.cldr["date_time"]).format(date=date, time=_format_time_of_day(language, time, zone))


def _format_time_of_day(language: Language, time: datetime, zone: str) -> str:
    pattern: str = language.cldr["times"][time.hour]
    text = _isolate(language, pattern.format(minute=time.minute))
    return str(language.cldr["time_zone"]).format(time=text, zone=zone)


def _zone_name(language: Language, local: datetime) -> str:
    """Return the standard or daylight name of the time zone, or its UTC offset if it has no name."""
    zone = str(local.tzinfo)
    names: list[str] = language.cldr["zones"].get(load_cldr("common")["zones"].get(zone, zone), [""])
    offset = f"{local:%z}"  # +0530; historical offsets include seconds
    name = names[-1] if _is_dst(local) else names[0]
    return name or str(language.cldr["zone_offset"]).format(hours=offset[:3], minutes=offset[3:5])


def _is_dst(local: datetime) -> bool:
    """Return whether daylight saving time is in effect.

    The tz database defines Ireland's summer time as standard time, with negative daylight saving in winter.
    """
    zero = timedelta()
    dst, dst_in_january = local.dst() or zero, local.replace(month=1, day=1).dst() or zero
    return dst > zero or (not dst and dst_in_january < zero)


def _format_place(language: Language, facts: Context) -> str | None:
    country = language.cldr["countries"].get(facts.country_code) or facts.country_name
    city, country = (name and _isolate(language, name) for name in (facts.city, country))
    return _format(language, "place", city=city, country=country) if city and country else city or country


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        optimized=False,  # compiles faster; there are no constant expressions to fold
    )
