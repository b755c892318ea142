"""The facts that the email shows: when, where, and on which device the password was changed.

The requester isn't necessarily the user: it may be an attacker or an administrator. The facts therefore describe the
request, and facts that may belong to someone else are omitted.
"""

import re
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from zoneinfo import ZoneInfo

from notice.user_agent import Device, parse_device
from runtime.event import Event
from settings import Settings

MAX_NAME_LENGTH, MAX_ADDRESS_LENGTH = 100, 320  # of an untrusted name, and of an email address, in characters
NO_LINK = r"[^\s@/\\?:,;\"<>()\[\]\u200c\u200d]+"  # without characters at which a client could start or end a link
PLAIN_ADDRESS = re.compile(f"{NO_LINK}@{NO_LINK}")
ZONE = re.compile(r"[A-Za-z0-9_+-]{1,14}(/[A-Za-z0-9_+-]{1,14}){0,2}")  # as the tz database names them
LINK_START = re.compile(r"://|www\.", re.IGNORECASE)
DOMAIN_DOT = re.compile(r"[.\u3002\uff0e\uff61](?=[^\s.]{2})")  # in any width; doesn't match "Washington, D.C."
JOINERS = "\u200c\u200d"  # required for correct spelling in Persian and Indic scripts


class Context(NamedTuple):
    """The facts of one request; the email omits those that are None."""

    time: datetime | None  # UTC
    local_time: datetime | None  # the same time in the request's time zone, if its offset isn't zero
    city: str | None
    country_code: str | None  # two capital letters
    country_name: str | None  # as sent by Auth0; used if the code is missing or unknown
    device: Device | None
    ip: str | None


def build_context(event: Event, settings: Settings) -> Context:
    """Return the facts that the setting CONTEXT selects.

    If the change can't be attributed to the user in person, only the time is included.
    """
    request, selected, device = event.request, settings.context, parse_device(event.request.user_agent)
    address = _parse_address(request.ip)
    in_person = device is not None and event.user.email_verified is True and not _is_own(address, settings)
    geoip, has_place = request.geoip, in_person and "place" in selected
    return Context(
        time=event.callout.time if "time" in selected else None,
        local_time=_local_time(event.callout.time, geoip.timeZone) if in_person and "time" in selected else None,
        city=clean_name(geoip.cityName) if has_place else None,
        country_code=_country_code(geoip.countryCode) if has_place else None,
        country_name=clean_name(geoip.countryName) if has_place else None,
        device=device if in_person and "device" in selected else None,
        ip=str(address) if address and in_person and "ip" in selected else None,
    )


def clean_name(text: str | None) -> str | None:
    """Clean an untrusted name and split domains at their dots, because email clients turn bare domains into links."""
    return DOMAIN_DOT.sub(". ", clean_text(text) or "") or None


def clean_address(address: str | None) -> str:
    """Clean an untrusted email address, as a name if a part of it, rather than all of it, could become a link."""
    text = clean_text(address, MAX_ADDRESS_LENGTH) or ""
    return text if PLAIN_ADDRESS.fullmatch(text) else DOMAIN_DOT.sub(". ", text)


def clean_text(text: str | None, max_length: int = MAX_NAME_LENGTH) -> str | None:
    """Return untrusted text as one short line that can't start a link or change the text direction.

    Characters that aren't printable (control, format including bidi, surrogate, private use, and unassigned) become
    spaces.
    """
    if not text:
        return None
    printable = text[: max_length * 4]
    if not printable.isprintable():
        printable = "".join(char if char.isprintable() or char in JOINERS else " " for char in printable)
    line = " ".join(LINK_START.sub(" ", printable).split())
    return (line if len(line) <= max_length else f"{line[: max_length - 1]}…") or None


def _parse_address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address((text or "").partition("%")[0])  # a zone ID, which can be any text, follows
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_own(address: IPv4Address | IPv6Address | None, settings: Settings) -> bool:
    return address is not None and any(address in network for network in settings.own_addresses)


def _country_code(code: str | None) -> str | None:
    return code.upper() if code and re.fullmatch(r"[A-Za-z]{2}", code) else None


def _local_time(time: datetime, zone: str | None) -> datetime | None:
    """Return the time in the zone, or None if the zone is unknown or its offset is zero at that time."""
    try:
        local = time.astimezone(ZoneInfo(zone)) if zone and ZONE.fullmatch(zone) else time
    except (KeyError, ValueError, OSError, OverflowError):  # from ZoneInfo; OverflowError: out of datetime's range
        return None
    return local if local.utcoffset() else None
