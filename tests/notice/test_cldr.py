"""The CLDR data in notice/cldr matches `make cldr`; tests/notice/test_icu.py compares it with ICU."""

import re
from pathlib import Path

import pytest

from notice.languages import CLDR, TRANSLATIONS, load_cldr, load_language
from scripts import cldr
from tests.notice.sample import TAGS

MAX_REGIONAL_BYTES = 100_000


def test_the_committed_files_match_make_cldr() -> None:
    assert {file.name: file.read_text("utf-8") for file in CLDR.iterdir()} == cldr.build_files(), "run make cldr"


@pytest.mark.parametrize("tag", TAGS)
def test_numbers_of_the_date_and_the_time_are_separated(tag: str) -> None:
    """`2026 13:05` can be read as one number; in Czech, Swedish, and Turkish, that is how it is written."""
    data = load_language(tag).cldr
    text = data["date_time"].format(date=data["dates"][10].format(day=23, year=2026), time=data["times"][13])
    assert not re.search(r"\d[\u00a0 ]\d", text.format(minute=5)) or tag in ("cs", "sv", "tr")


def test_no_file_has_the_narrow_no_break_space() -> None:
    """It is missing in many fonts."""
    assert [file.name for file in CLDR.iterdir() if "\u202f" in file.read_text("utf-8")] == []


def test_regional_formats_are_small() -> None:
    assert sum(len(str(load_cldr(tag)["regions"]).encode()) for tag in TAGS) < MAX_REGIONAL_BYTES


def test_a_language_without_cldr_data_uses_the_english_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tlh.toml").write_text((TRANSLATIONS / "de.toml").read_text())
    monkeypatch.setattr("notice.languages.TRANSLATIONS", tmp_path)
    added = load_language.__wrapped__("tlh")
    assert added.strings == load_language("de").strings
    assert added.cldr == load_language("en").cldr
