"""The facts that the notice shows about the request, and those that it omits."""

# ruff: noqa: RUF001  (the tests contain look-alikes of a dot)

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notice.context import (
    MAX_ADDRESS_LENGTH,
    MAX_NAME_LENGTH,
    Context,
    build_context,
    clean_address,
    clean_name,
    clean_text,
)
from tests.notice.sample import TIME, event, settings

ONLY_TIME = Context(TIME, None, None, None, None, None, None)
MIN_TIME, MAX_TIME = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)
ALL_FACTS = "time,place,device,ip"


def _context(options: dict[str, str] | None = None, time: datetime = TIME, **changes: Any) -> Context:
    return build_context(event("full", time, **changes), settings(**(options or {})))


def test_a_request_made_in_person_shows_every_fact() -> None:
    context = _context()
    assert context.time == TIME
    assert context.local_time is not None
    assert context.local_time.isoformat() == "2026-11-23T14:05:00+01:00"
    assert (context.city, context.country_code, context.country_name) == ("Stockholm", "SE", "Sweden")
    assert context.device == ("Firefox", "Linux")
    assert context.ip == "192.0.2.44"


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
def test_only_the_time_is_shown_unless_the_user_acted_in_person(changes: dict[str, Any]) -> None:
    assert _context(**changes) == ONLY_TIME


@pytest.mark.parametrize(
    "own_addresses", ["192.0.2.0/24", "198.51.100.0/24, 192.0.2.44/32", "2001:db8::/32,192.0.2.44"]
)
def test_only_the_time_is_shown_for_own_addresses(own_addresses: str) -> None:
    assert _context({"OWN_ADDRESSES": own_addresses}) == ONLY_TIME


@pytest.mark.parametrize(
    ("address", "own_addresses"),
    [
        ("::ffff:192.0.2.44", "192.0.2.0/24"),
        ("::FFFF:C000:22C", "192.0.2.0/24"),
        ("2001:db8::17", "2001:db8::/32"),
        ("2001:0DB8:0000::0017", "2001:db8::/32"),
        ("2001:db8::17%eth0", "2001:db8::/32"),
    ],
)
def test_own_addresses_match_in_any_notation(address: str, own_addresses: str) -> None:
    assert _context({"OWN_ADDRESSES": own_addresses}, request__ip=address) == ONLY_TIME


def test_other_addresses_do_not_match_own_addresses() -> None:
    assert _context({"OWN_ADDRESSES": "198.51.100.0/24,2001:db8::/32"}) == _context()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.44", "192.0.2.44"),
        ("2001:0DB8::0017", "2001:db8::17"),
        ("::ffff:192.0.2.44", "192.0.2.44"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%ANY TEXT\nwww.evil.example", "fe80::1"),
        ("2001:db8::17%" + "x" * 60_000, "2001:db8::17"),
        ("::ffff:192.0.2.44%eth0", "192.0.2.44"),
        ("%eth0", None),
        ("192.0.2.300", None),
        ("192.0.2.44, 10.0.0.1", None),
        ("<b>192.0.2.44</b>", None),
        ("localhost", None),
        ("", None),
        (..., None),
        (3221225516, None),
    ],
)
def test_an_ip_address_is_normalized_or_omitted(address: Any, expected: str | None) -> None:
    assert _context(request__ip=address).ip == expected


@pytest.mark.parametrize("selected", ["time", "place", "device", "ip", "time,ip", "place device", ALL_FACTS])
def test_the_context_setting_selects_the_facts(selected: str) -> None:
    full, context = _context(), _context({"CONTEXT": selected})
    has_place = "place" in selected
    assert context == Context(
        time=full.time if "time" in selected else None,
        local_time=full.local_time if "time" in selected else None,
        city=full.city if has_place else None,
        country_code=full.country_code if has_place else None,
        country_name=full.country_name if has_place else None,
        device=full.device if "device" in selected else None,
        ip=full.ip if "ip" in selected else None,
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
        ],  # same time as UTC in November
        *["Nowhere/Town", "../etc/passwd", "/etc/localtime", "Europe", "Europe/", "..", "", " ", "A" * 10_000],
        *["Europe/Stockholm\x00", "Europe/Stockholm\n", "Européen/Paris", "tzdata.zi", "zone.tab", ..., 5],
        *["a/" * 400 + "a", "a/" * 30_000 + "a", "A" * 60_000, "leapseconds", "posixrules/x", "__init__", "-"],
    ],
)
def test_local_time_is_omitted_for_utc_or_unknown_zones(zone: Any) -> None:
    assert _context(request__geoip__timeZone=zone).local_time is None


def test_local_time_includes_daylight_saving() -> None:
    context = _context(time=datetime(2026, 7, 1, 12, tzinfo=UTC), request__geoip__timeZone="Europe/London")
    assert context.local_time is not None
    assert context.local_time.isoformat() == "2026-07-01T13:00:00+01:00"


@pytest.mark.parametrize(
    ("time", "zone"),
    [(MIN_TIME, "America/Los_Angeles"), (MAX_TIME, "Asia/Tokyo"), (MAX_TIME, "Etc/GMT-14")],
)
def test_local_time_is_omitted_if_out_of_range(time: datetime, zone: str) -> None:
    context = _context(time=time, request__geoip__timeZone=zone)
    assert context.time == time
    assert context.local_time is None


@pytest.mark.parametrize(
    ("code", "expected"), [("se", "SE"), ("SE", "SE"), ("SWE", None), ("S", None), ("<b", None), ("åä", None)]
)
def test_a_country_code_has_two_letters(code: str, expected: str | None) -> None:
    assert _context(request__geoip__countryCode=code).country_code == expected


@pytest.mark.parametrize("name", ["minimal", "unusual-but-legal", "no-email", "auth0-default-sample"])
def test_these_examples_show_only_the_time(name: str) -> None:
    assert build_context(event(name), settings()) == ONLY_TIME


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_untrusted_text_becomes_one_short_line_without_links(text: str | None, expected: str | None) -> None:
    assert clean_text(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_domains_in_names_are_split_so_that_clients_do_not_link_them(name: str | None, expected: str | None) -> None:
    assert clean_name(name) == expected


@given(
    st.text() | st.lists(st.sampled_from([".", "．", "。", "a", "evil", "com", "\u200c", "\u200b", " "])).map("".join)
)
def test_a_clean_name_never_has_two_characters_after_a_dot(text: str) -> None:
    assert not re.search(r"[.．。｡][^\s.]{2}", clean_name(text) or "")


@given(
    st.text() | st.lists(st.sampled_from(["://", "www.", "w", ":", "/", ".", "\u202e", "a", " ", "\n"])).map("".join)
)
def test_clean_text_is_safe_for_arbitrary_input(text: str) -> None:
    line = clean_text(text)
    if line is not None:
        assert 0 < len(line) <= MAX_NAME_LENGTH
        assert "://" not in line
        assert "www." not in line.lower()
        assert line == " ".join(line.split())
        assert all(char.isprintable() or char in "\u200c\u200d" for char in line)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (None, ""),
        ("ada.lovelace@example.co.uk", "ada.lovelace@example.co.uk"),
        ("o'connor+news_1.x&y=z~!#$%^*{}|`@mail-1.example.com", "o'connor+news_1.x&y=z~!#$%^*{}|`@mail-1.example.com"),
        ("søren.ö@bücher.example", "søren.ö@bücher.example"),
        ("उपयोगकर्ता.नाम@उदाहरण.भारत", "उपयोगकर्ता.नाम@उदाहरण.भारत"),
        ("evil.example/login@example.com", "evil. example/login@example. com"),
        ("evil.example:80@example.com", "evil. example:80@example. com"),
        ('"see evil.example now"@example.com', '"see evil. example now"@example. com'),
        ("see evil.example @example.com", "see evil. example @example. com"),
        ("see\u200bevil.example\u200b@example.com", "see evil. example @example. com"),
        ("evil.example\u200c@example.com", "evil. example\u200c@example. com"),
        ("a@evil.example@example.com", "a@evil. example@example. com"),
        ("a@example.com/login", "a@example. com/login"),
        ("evil.example", "evil. example"),
        ("www.evil.example@example.com", "evil.example@example.com"),
    ],
)
def test_an_address_stays_intact_unless_a_part_of_it_could_become_a_link(address: str | None, expected: str) -> None:
    assert clean_address(address) == expected


@given(st.text() | st.lists(st.sampled_from([".", "evil", "com", "@", "/", " ", "\u200b", "\u200c", '"'])).map("".join))
def test_a_clean_address_has_no_bare_domain(text: str) -> None:
    words = clean_address(text).split()
    assert not any(re.search(r"[.．。｡][^\s.]{2}", word) for word in words if not re.fullmatch("[^@]+@[^@/:]+", word))
    assert sum(map(len, words)) <= MAX_ADDRESS_LENGTH
