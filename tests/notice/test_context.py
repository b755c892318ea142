"""What the notice says of the request, and what it leaves out."""

# ruff: noqa: RUF001  (look-alikes of a dot are among what this is about)

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notice.context import MAX_NAME_LENGTH, Context, build_context, clean_name, clean_text
from tests.notice.sample import MOMENT, event, settings

NOTHING_BUT_TIME = Context(MOMENT, None, None, None, None, None, None)
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)
EVERYTHING = "time,place,device,ip"


def _context(options: dict[str, str] | None = None, moment: datetime = MOMENT, **changes: Any) -> Context:
    return build_context(event("full", moment, **changes), settings(**(options or {})))


def test_a_persons_request_is_told_in_full() -> None:
    told = _context()
    assert told.time == MOMENT
    assert told.local_time is not None
    assert told.local_time.isoformat() == "2026-11-23T14:05:00+01:00"
    assert (told.city, told.country_code, told.country_name) == ("Stockholm", "SE", "Sweden")
    assert told.device == ("Firefox", "Linux")
    assert told.ip == "192.0.2.44"


@pytest.mark.parametrize(
    "changes",
    [
        {"request__user_agent": "curl/8.5.0"},
        {"request__user_agent": "PostmanRuntime/7.36.0"},
        {"request__user_agent": ""},
        {"request__user_agent": ...},
        {"user__email_verified": False},
        {"user__email_verified": ...},
        {"user__email_verified": "true"},
    ],
)
def test_where_the_user_did_not_surely_act_in_person_there_is_only_the_time(changes: dict[str, Any]) -> None:
    assert _context(**changes) == NOTHING_BUT_TIME


@pytest.mark.parametrize("own", ["192.0.2.0/24", "198.51.100.0/24, 192.0.2.44/32", "2001:db8::/32,192.0.2.44"])
def test_a_request_from_ones_own_addresses_tells_only_the_time(own: str) -> None:
    assert _context({"OWN_ADDRESSES": own}) == NOTHING_BUT_TIME


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("::ffff:192.0.2.44", "192.0.2.0/24"),
        ("::FFFF:C000:22C", "192.0.2.0/24"),
        ("2001:db8::17", "2001:db8::/32"),
        ("2001:0DB8:0000::0017", "2001:db8::/32"),
    ],
)
def test_ones_own_addresses_are_known_however_they_are_written(address: str, own: str) -> None:
    assert _context({"OWN_ADDRESSES": own}, request__ip=address) == NOTHING_BUT_TIME


def test_another_address_is_nobody_of_ours() -> None:
    assert _context({"OWN_ADDRESSES": "198.51.100.0/24,2001:db8::/32"}) == _context()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("192.0.2.44", "192.0.2.44"),
        ("2001:0DB8::0017", "2001:db8::17"),
        ("::ffff:192.0.2.44", "192.0.2.44"),
        ("192.0.2.300", None),
        ("192.0.2.44, 10.0.0.1", None),
        ("<b>192.0.2.44</b>", None),
        ("localhost", None),
        ("", None),
        (..., None),
        (3221225516, None),
    ],
)
def test_an_address_is_shown_in_its_usual_form_or_not_at_all(written: Any, shown: str | None) -> None:
    assert _context(request__ip=written).ip == shown


@pytest.mark.parametrize("wanted", ["time", "place", "device", "ip", "time,ip", "place device", EVERYTHING])
def test_context_says_which_facts_are_told(wanted: str) -> None:
    full, told = _context(), _context({"CONTEXT": wanted})
    place = "place" in wanted
    assert told == Context(
        time=full.time if "time" in wanted else None,
        local_time=full.local_time if "time" in wanted else None,
        city=full.city if place else None,
        country_code=full.country_code if place else None,
        country_name=full.country_name if place else None,
        device=full.device if "device" in wanted else None,
        ip=full.ip if "ip" in wanted else None,
    )


@pytest.mark.parametrize(
    "zone",
    [
        *[
            "UTC",
            "Etc/UTC",
            "Africa/Abidjan",
            "Europe/London",
            "Atlantic/Reykjavik",
        ],  # clocks that show UTC, in November
        *["Nowhere/Town", "../etc/passwd", "/etc/localtime", "Europe", "Europe/", "..", "", " ", "A" * 10_000],
        *["Europe/Stockholm\x00", "Europe/Stockholm\n", "Européen/Paris", "tzdata.zi", "zone.tab", ..., 5],
    ],
)
def test_no_local_time_where_clocks_show_utc_or_there_is_no_such_zone(zone: Any) -> None:
    assert _context(request__geoip__timeZone=zone).local_time is None


def test_local_time_follows_the_season() -> None:
    told = _context(moment=datetime(2026, 7, 1, 12, tzinfo=UTC), request__geoip__timeZone="Europe/London")
    assert told.local_time is not None
    assert told.local_time.isoformat() == "2026-07-01T13:00:00+01:00"


@pytest.mark.parametrize(
    ("moment", "zone"),
    [(FIRST, "America/Los_Angeles"), (LAST, "Asia/Tokyo"), (LAST, "Etc/GMT-14")],
)
def test_the_ends_of_the_calendar_have_no_local_time(moment: datetime, zone: str) -> None:
    told = _context(moment=moment, request__geoip__timeZone=zone)
    assert told.time == moment
    assert told.local_time is None


@pytest.mark.parametrize(
    ("code", "read"), [("se", "SE"), ("SE", "SE"), ("SWE", None), ("S", None), ("<b", None), ("åä", None)]
)
def test_a_country_is_known_by_two_letters(code: str, read: str | None) -> None:
    assert _context(request__geoip__countryCode=code).country_code == read


@pytest.mark.parametrize("name", ["minimal", "unusual-but-legal", "no-email", "auth0-default-sample"])
def test_these_examples_tell_only_the_time(name: str) -> None:
    assert build_context(event(name), settings()) == NOTHING_BUT_TIME


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, None),
        ("", None),
        (" \t\n ", None),
        ("\u202e\u2066\u200b", None),
        ("  Bad   Aussee ", "Bad Aussee"),
        ("Bad\r\nBcc: eve@example.com", "Bad Bcc: eve@example.com"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("see https://evil.example/x", "see https evil.example/x"),
        ("WWW.evil.example", "evil.example"),
        ("hTTp://wWw.wwW.evil.example", "hTTp evil.example"),
        ("ww\u200bw.evil.example", "ww w.evil.example"),
        (":\u200b//evil.example", ": //evil.example"),
        ("\ud800x\ue000y\ufdd0z", "x y z"),
        ("می‌خواهم", "می‌خواهم"),
        ("São Paulo 🏙️", "São Paulo 🏙️"),
        ("{0.__class__} {{7*7}} %s ${x}", "{0.__class__} {{7*7}} %s ${x}"),
        ("x" * MAX_NAME_LENGTH, "x" * MAX_NAME_LENGTH),
        ("x" * 10_000, "x" * (MAX_NAME_LENGTH - 1) + "…"),
        (" " * 10_000 + "x", None),
    ],
)
def test_a_name_from_outside_becomes_one_short_line_that_is_no_link(text: str | None, line: str | None) -> None:
    assert clean_text(text) == line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, None),
        ("evil.example", "evil. example"),
        ("EVIL.co.uk/login", "EVIL. co. uk/login"),
        ("www.evil.example", "evil. example"),
        ("https://evil.example/x", "https evil. example/x"),
        ("eve@evil.example", "eve@evil. example"),
        ("evil\u200b.\u200cexample", "evil . \u200cexample"),
        ("evil．example", "evil. example"),
        ("evil。example", "evil. example"),
        ("evil｡example", "evil. example"),
        ("bücher.рф", "bücher. рф"),
        ("St. John's", "St. John's"),
        ("Washington, D.C.", "Washington, D.C."),
        ("Username-Password-Authentication", "Username-Password-Authentication"),
    ],
)
def test_a_name_holds_no_domain_that_a_mail_client_could_make_a_link_of(text: str | None, told: str | None) -> None:
    assert clean_name(text) == told


@given(
    st.text() | st.lists(st.sampled_from([".", "．", "。", "a", "evil", "com", "\u200c", "\u200b", " "])).map("".join)
)
def test_no_name_has_two_letters_after_a_dot(text: str) -> None:
    assert not re.search(r"[.．。｡][^\s.]{2}", clean_name(text) or "")


@given(
    st.text() | st.lists(st.sampled_from(["://", "www.", "w", ":", "/", ".", "\u202e", "a", " ", "\n"])).map("".join)
)
def test_a_cleaned_name_is_harmless_whatever_it_was(text: str) -> None:
    line = clean_text(text)
    if line is not None:
        assert 0 < len(line) <= MAX_NAME_LENGTH
        assert "://" not in line
        assert "www." not in line.lower()
        assert line == " ".join(line.split())
        assert all(char.isprintable() or char in "\u200c\u200d" for char in line)
