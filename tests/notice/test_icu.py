"""The CLDR data in notice/cldr matches ICU (Node's Intl, with the same CLDR version), except where intended."""

# ruff: noqa: RUF001  (ICU writes the minus sign)

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from notice.compose import _zone_name
from notice.languages import Language, _find, load_cldr, load_language
from scripts.cldr import _regional_locales
from tests.notice.sample import TAGS
from tests.support.npm import node

# Prints the formats of each locale, and the names of zones and countries in each language.
INTL = """
const {locales, languages, zones, countries} = JSON.parse(process.argv[2]);
const gregorian = tag => new Intl.Locale(tag, {calendar: 'gregory', numberingSystem: 'latn'});
const time = (hour, month = 0) => Date.UTC(2026, month, 15, hour, 5);
const zoneName = (format, time) => format.formatToParts(time).find(part => part.type === 'timeZoneName').value;

function formats(tag) {
    const [date, short, full] = [{dateStyle: 'long'}, {timeStyle: 'short'}, {timeStyle: 'full'}]
        .map(style => new Intl.DateTimeFormat(gregorian(tag), {...style, timeZone: 'UTC'}));
    const parts = full.formatToParts(time(13));
    const zone = parts.findIndex(part => part.type === 'timeZoneName');
    return {
        dates: [...Array(12).keys()].map(month => date.format(Date.UTC(2026, month, 3))),
        times: [...Array(24).keys()].map(hour => short.format(time(hour))),
        around_zone: [parts[zone - 1]?.value, parts[zone + 1]?.value ?? ''],
    };
}

function names(tag) {
    const region = style => new Intl.DisplayNames(tag, {type: 'region', style, fallback: 'none'});
    const [long, short] = [region('long'), region('short')];
    const zoneFormat = timeZone => new Intl.DateTimeFormat(gregorian(tag), {timeZone, timeStyle: 'full'});
    const offset = timeZone => new Intl.DateTimeFormat(gregorian(tag), {timeZone, timeZoneName: 'longOffset'});
    return {
        countries: countries.map(code => (['HK', 'MO'].includes(code) ? short : long).of(code)),
        zones: zones.map(zoneFormat).map(format => [zoneName(format, time(12)), zoneName(format, time(12, 6))]),
        offsets: ['America/St_Johns', 'Asia/Kolkata'].map(zone => zoneName(offset(zone), time(12))),
    };
}

const map = (tags, value) => Object.fromEntries(tags.map(tag => [tag, value(tag)]));
console.log(JSON.stringify({formats: map(locales, formats), names: map(languages, names)}));
"""
REGIONAL = sorted(
    identifier.replace("_", "-")
    for identifiers in _regional_locales(load_cldr("common")["tags"]).values()
    for identifier in identifiers
)
COUNTRIES = sorted({code for tag in TAGS for code in load_language(tag).cldr["countries"]})
ZONES = sorted({zone for tag in TAGS for zone in load_language(tag).cldr["zones"]})

# Intended differences. ICU's value is converted to ours, so a difference that disappears, or changes, is found.
MINUS = "support can search for, and a user can type, the ASCII hyphen-minus"
SPACES = "one space, or none, whatever the sign"
OFFSETS: dict[str, tuple[dict[str, str], str]] = {
    **dict.fromkeys(["et", "fa", "fr", "fr-CA", "lt", "sv"], ({"−": "-"}, MINUS)),
    "eu": ({"–": "-"}, MINUS),
    "bs": ({"GMT  ": "GMT "}, SPACES),
    "hr": ({"GMT -": "GMT-"}, SPACES),
    "am": ({"-03": "-03:", "+05": "+05:"}, "hours and minutes are easier to tell apart"),
    "he": ({"-03:30\u200e\u200e": "-03:30\u200e", "\u200e+05": "+05"}, "one mark is enough to keep the direction"),
    "mr": ({"[GMT]": "GMT"}, "the brackets are an error in CLDR"),
    "sl": ({".30": ":30"}, "Slovenian writes times with a colon"),
}
DATES = {"af-NA": "ICU writes the day with two digits, Babel with one"}
ZONE_NAMES = {("ca", "America/Godthab"): "ICU shows an offset, although CLDR has a name"}
UNKNOWN = {("ca", "CQ"): "ICU has no Catalan name of Sark"}
NO_BREAK_SPACES = str.maketrans("\u00a0\u202f", "  ")


@pytest.fixture(scope="module")
def icu() -> dict[str, Any]:
    languages = {"locales": [*TAGS, *REGIONAL], "languages": TAGS, "zones": ZONES, "countries": COUNTRIES}
    done = node(INTL, json.dumps(languages), modules=Path(__file__))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.translate(NO_BREAK_SPACES)))


def _language(tag: str) -> Language:
    language = _find(tag)
    assert language, tag
    return language


def _plain(texts: list[str]) -> list[str]:
    return [text.translate(NO_BREAK_SPACES) for text in texts]


@pytest.mark.parametrize("tag", [*TAGS, *REGIONAL])
def test_dates_and_times_match_icu(icu: dict[str, Any], tag: str) -> None:
    cldr, expected = _language(tag).cldr, icu["formats"][tag]
    dates = _plain([pattern.format(day=3, year=2026) for pattern in cldr["dates"]])
    assert (dates == expected["dates"]) == (tag not in DATES), DATES.get(tag, dates)
    assert _plain([pattern.format(minute=5) for pattern in cldr["times"]]) == expected["times"]


@pytest.mark.parametrize("tag", [*TAGS, *REGIONAL])
def test_times_and_time_zones_are_joined_as_in_icu(icu: dict[str, Any], tag: str) -> None:
    before, after = icu["formats"][tag]["around_zone"]
    first, _, rest = _language(tag).cldr["time_zone"].partition("{zone}")
    if not first:
        assert (before, f"{after}{{time}}") == (None, rest)
    else:
        assert before.endswith(first.removeprefix("{time}"))
        assert after == rest


@pytest.mark.parametrize("tag", TAGS)
def test_country_names_match_icu(icu: dict[str, Any], tag: str) -> None:
    """Hong Kong and Macao have their short names, from scripts/short_names.json."""
    names = load_language(tag).cldr["countries"]
    expected = {code: name for code, name in zip(COUNTRIES, icu["names"][tag]["countries"], strict=True) if name}
    ours = {code: name.translate(NO_BREAK_SPACES) for code, name in names.items() if (tag, code) not in UNKNOWN}
    assert ours == expected
    assert len(COUNTRIES) > 240


@pytest.mark.parametrize("tag", TAGS)
def test_time_zone_names_match_icu(icu: dict[str, Any], tag: str) -> None:
    language, differences = load_language(tag), set()
    for zone, expected in zip(ZONES, icu["names"][tag]["zones"], strict=True):
        for month, name in zip((1, 7), expected, strict=True):
            local = datetime(2026, month, 15, 12, tzinfo=UTC).astimezone(ZoneInfo(zone))
            ours = _zone_name(language, local).translate(NO_BREAK_SPACES)
            if ours != name and not any(char.isdigit() for char in ours):  # offsets have their own test
                differences.add((tag, zone))
    assert differences == {known for known in ZONE_NAMES if known[0] == tag}


@pytest.mark.parametrize("tag", TAGS)
def test_offsets_match_icu(icu: dict[str, Any], tag: str) -> None:
    pattern = load_language(tag).cldr["zone_offset"]
    ours = [pattern.format(hours=hours, minutes="30").translate(NO_BREAK_SPACES) for hours in ("-03", "+05")]
    expected, (changes, reason) = icu["names"][tag]["offsets"], OFFSETS.get(tag, ({}, ""))
    assert (ours != expected) == (tag in OFFSETS), reason
    for theirs, intended in changes.items():
        expected = [offset.replace(theirs, intended) for offset in expected]
    assert ours == expected, reason
