"""The CLDR data in notice/cldr matches `make cldr` and Babel."""

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
from tests.notice.sample import TAGS, email_in

ZONES = ["Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "Africa/Nairobi"]


def test_the_committed_files_match_make_cldr() -> None:
    assert {file.name: file.read_text("utf-8") for file in CLDR.iterdir()} == cldr.build_files(), "run make cldr"


@given(
    st.sampled_from(TAGS),
    st.integers(0, 2**31 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_dates_and_times_match_babel(tag: str, time: datetime) -> None:
    locale, cldr_data = Locale.parse(tag, sep="-"), load_language(tag).cldr
    date = cldr_data["dates"][time.month - 1].format(day=time.day, year=time.year)
    time_of_day = cldr_data["times"][time.hour].format(minute=time.minute)
    assert date == format_date(time, "long", locale=locale)
    if (time.hour, time.minute) != (0, 0):  # for midnight, Babel uses a word in Chinese
        expected = format_time(time, "short", tzinfo=time.tzinfo, locale=locale)
        assert time_of_day == expected.replace("\u202f", "\u00a0")


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("zone", ZONES)
def test_time_zone_names_match_babel(tag: str, zone: str) -> None:
    for month in (1, 7):
        time = datetime(2026, month, 15, 12, tzinfo=UTC)
        name = get_timezone_name(time.astimezone(ZoneInfo(zone)), locale=Locale.parse(tag, sep="-"))
        text = email_in(tag, time=time, request__geoip__timeZone=zone).text
        assert name in text or time.astimezone(ZoneInfo(zone)).utcoffset() == time.utcoffset()


@pytest.mark.parametrize("tag", TAGS)
def test_country_names_match_babel(tag: str) -> None:
    territories, countries = Locale.parse(tag, sep="-").territories, load_language(tag).cldr["countries"]
    assert {code: territories[code] for code in countries} == countries
    assert len(countries) > 240


def test_a_language_without_cldr_data_uses_the_english_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tlh.toml").write_text((TRANSLATIONS / "de.toml").read_text())
    monkeypatch.setattr("notice.languages.TRANSLATIONS", tmp_path)
    added = load_language.__wrapped__("tlh")
    assert added.strings == load_language("de").strings
    assert added.cldr == load_language("en").cldr
