"""The context: when, where and on what device the password was changed, as far as it may and can be told.

The requester need not be the user: it may be an attacker, or an administrator. So the facts are those of the request,
and what could be somebody else's is left out.
"""

import re
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple
from zoneinfo import ZoneInfo

from notice.user_agent import Device, device
from runtime.event import Event
from settings import Settings

LONGEST_NAME = 100  # characters of a name from outside
LINK = re.compile(r"://|www\.", re.IGNORECASE)
DOT = re.compile(r"[.\u3002\uff0e\uff61](?=[^\s.]{2})")  # of a domain, in any width; none of "Washington, D.C."
JOINERS = "\u200c\u200d"  # part of the spelling in Persian and in Indic scripts


class Context(NamedTuple):
    """None is left out of the mail."""

    time: datetime | None  # UTC
    local_time: datetime | None  # the same moment by the clocks of the request's place, where they differ from UTC
    city: str | None
    country_code: str | None  # two capital letters
    country_name: str | None  # as Auth0 says it, for a code that is missing
    device: Device | None
    ip: str | None


def context(event: Event, settings: Settings) -> Context:
    """The facts that CONTEXT asks for. Where the user did not surely act in person, there is only the time."""
    request, wanted, agent = event.request, settings.context, device(event.request.user_agent)
    address = _address(request.ip)
    in_person = agent is not None and event.user.email_verified is True and not _is_own(address, settings)
    geoip, placed = request.geoip, in_person and "place" in wanted
    return Context(
        time=event.callout.time if "time" in wanted else None,
        local_time=_local(event.callout.time, geoip.timeZone) if in_person and "time" in wanted else None,
        city=name(geoip.cityName) if placed else None,
        country_code=_country(geoip.countryCode) if placed else None,
        country_name=name(geoip.countryName) if placed else None,
        device=agent if in_person and "device" in wanted else None,
        ip=str(address) if address and in_person and "ip" in wanted else None,
    )


def name(text: str | None) -> str | None:
    """A name from outside, cleaned; a domain in it is taken apart, since mail clients make links of bare ones too."""
    return clean(DOT.sub(". ", text)) if text else None


def clean(text: str | None, longest: int = LONGEST_NAME) -> str | None:
    """Text from outside as one short line that neither turns the reading direction nor holds the beginning of a link.

    Not printable, and so a space: control, format (bidi among them), surrogate, private and unassigned characters.
    """
    if not text:
        return None
    kept = text[: longest * 4]
    if not kept.isprintable():
        kept = "".join(char if char.isprintable() or char in JOINERS else " " for char in kept)
    line = " ".join(LINK.sub(" ", kept).split())
    return (line if len(line) <= longest else f"{line[: longest - 1]}…") or None


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_own(address: IPv4Address | IPv6Address | None, settings: Settings) -> bool:
    return address is not None and any(address in network for network in settings.own_addresses)


def _country(code: str | None) -> str | None:
    return code.upper() if code and re.fullmatch(r"[A-Za-z]{2}", code) else None


def _local(time: datetime, zone: str | None) -> datetime | None:
    """None where there is no such zone, or its clocks show UTC."""
    try:
        local = time.astimezone(ZoneInfo(zone)) if zone and zone.isascii() and zone.isprintable() else time
    except (KeyError, ValueError, OSError, OverflowError):  # what ZoneInfo raises, and the first and last day of all
        return None
    return local if local.utcoffset() else None
