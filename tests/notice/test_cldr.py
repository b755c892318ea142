"""Unicode's data in notice/cldr: as `make cldr` writes it, and as Babel would say it."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.core import Locale
from babel.dates import format_date, format_time, get_timezone_name
from hypothesis import given
from hypothesis import strategies as st

from notice.languages import CLDR, TRANSLATIONS, load_language
from scripts import cldr
from tests.notice.sample import TAGS, mail_in

ZONES = ["Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "Africa/Nairobi"]


def test_the_files_are_those_that_make_cldr_writes() -> None:
    assert {file.name: file.read_text("utf-8") for file in CLDR.iterdir()} == cldr.build_files(), "run make cldr"


@given(
    st.sampled_from(TAGS),
    st.integers(0, 2**31 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_a_moment_is_told_as_babel_tells_it(tag: str, moment: datetime) -> None:
    locale, known = Locale.parse(tag, sep="-"), load_language(tag).cldr
    date = known["dates"][moment.month - 1].format(day=moment.day, year=moment.year)
    time = known["times"][moment.hour].format(minute=moment.minute)
    assert date == format_date(moment, "long", locale=locale)
    if (moment.hour, moment.minute) != (0, 0):  # Babel has a word for that one minute in Chinese
        wanted = format_time(moment, "short", tzinfo=moment.tzinfo, locale=locale)
        assert time == wanted.replace("\u202f", "\u00a0")


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_time_zone_is_called_as_babel_calls_it(tag: str, zone: str) -> None:
    for month in (1, 7):
        moment = datetime(2026, month, 15, 12, tzinfo=UTC)
        name = get_timezone_name(moment.astimezone(ZoneInfo(zone)), locale=Locale.parse(tag, sep="-"))
        shown = mail_in(tag, moment=moment, request__geoip__timeZone=zone).text
        assert name in shown or moment.astimezone(ZoneInfo(zone)).utcoffset() == moment.utcoffset()


@pytest.mark.parametrize("tag", TAGS)
def test_a_country_is_called_as_babel_calls_it(tag: str) -> None:
    babels = Locale.parse(tag, sep="-").territories
    assert {code: babels[code] for code in load_language(tag).cldr["countries"]} == load_language(tag).cldr["countries"]
    assert len(load_language(tag).cldr["countries"]) > 240


def test_a_language_that_was_just_added_tells_its_facts_in_english(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tlh.toml").write_text((TRANSLATIONS / "de.toml").read_text())
    monkeypatch.setattr("notice.languages.TRANSLATIONS", tmp_path)
    added = load_language.__wrapped__("tlh")
    assert added.strings == load_language("de").strings
    assert added.cldr == load_language("en").cldr
