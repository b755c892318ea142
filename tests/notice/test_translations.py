"""The wording: what holds for every file in notice/languages."""

# ruff: noqa: RUF001  (letters of other scripts are what this is about)

import re
import string
import tomllib
import unicodedata
from typing import Any

import pytest

from notice.languages import TRANSLATIONS, load_language
from tests.notice.sample import TAGS


def _read(tag: str) -> dict[str, Any]:
    return tomllib.loads((TRANSLATIONS / f"{tag}.toml").read_text())


ALL: dict[str, dict[str, Any]] = {tag: _read(tag) for tag in TAGS}
WORDS: dict[str, dict[str, str]] = {tag: file["notice"] for tag, file in ALL.items()}
ENGLISH = WORDS["en"]
# What may read as in English: patterns with nothing to translate, and words that are the same in the language.
PATTERNS = frozenset({"line", "two_times", "place"})
SAME_WORD = {
    ("da", "reference"): "Danish has the same word",
    ("fil", "ip_address"): "Filipino uses the English term",
}
WRITTEN_FROM_RIGHT = {"ar", "fa", "he", "ur"}
FEWEST = 40
# Outer quotation marks by language, where they are not the English ones.
QUOTES = {
    **dict.fromkeys(["de", "bg", "cs", "et", "is", "ka", "lt", "mk", "sk", "sl", "sr"], ("„", "“")),
    **dict.fromkeys(["bs", "hr", "hu", "lv", "pl", "ro"], ("„", "”")),
    **dict.fromkeys(["da", "fi", "sv"], ("”", "”")),
    **dict.fromkeys(
        ["am", "ar", "ca", "el", "es", "eu", "fa", "gl", "hy", "kk", "nb", "pt-PT", "ru", "uk"], ("«", "»")
    ),
    **dict.fromkeys(["ja", "zh-Hant"], ("「", "」")),
    "fr": ("«\u00a0", "\u00a0»"),
    "fr-CA": ("«\u00a0", "\u00a0»"),
    "he": ("”", "”"),
    "ko": ("‘", "’"),
    "nl": ("‘", "’"),
    "sl": ("»", "«"),
    "ur": ("”", "“"),
}
ENGLISH_QUOTES = ("“", "”")
ALL_QUOTES = re.compile(r"[„“”«»「」‘]")


def _names(pattern: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None)


def test_there_are_forty_languages_at_least() -> None:
    assert len(TAGS) >= FEWEST


@pytest.mark.parametrize("tag", TAGS)
class TestEveryLanguage:
    def test_says_what_it_is_and_how_it_was_made_and_reviewed(self, tag: str) -> None:
        about = ALL[tag]["about"]
        assert set(ALL[tag]) == {"about", "notice"}
        assert set(about) == {"name", "made", "reviewed"}
        assert about["made"] in ("written by hand", "machine-drafted")
        assert (about["made"] == "written by hand") == (tag == "en"), (
            "who translates by hand says so in README.md and docs/email.md too, and here"
        )
        assert all(about.values())

    def test_has_the_keys_and_placeholders_of_the_english_file(self, tag: str) -> None:
        assert {key: _names(text) for key, text in WORDS[tag].items()} == {
            key: _names(text) for key, text in ENGLISH.items()
        }

    def test_leaves_nothing_in_english_by_accident(self, tag: str) -> None:
        same = {key for key, text in WORDS[tag].items() if tag != "en" and text == ENGLISH[key]}
        assert same - PATTERNS - {key for where, key in SAME_WORD if where == tag} == set()

    def test_is_in_unicodes_composed_form_without_stray_characters(self, tag: str) -> None:
        for key, text in WORDS[tag].items():
            assert unicodedata.normalize("NFC", text) == text, key
            assert text == text.strip(), key
            assert "  " not in text, key
            allowed = "\u200c\u200d\u00a0\u202f"
            assert all(char.isprintable() or char in allowed for char in text), key

    def test_uses_its_own_typography(self, tag: str) -> None:
        for key, text in WORDS[tag].items():
            assert not re.search(r"[\"'`´]", text), f"{key}: a typewriter's quotation mark"
            assert "..." not in text, key
        opening, closing = QUOTES.get(tag, ENGLISH_QUOTES)
        quoted = WORDS[tag]["step_password"]
        assert opening in quoted
        assert closing in quoted
        assert set(ALL_QUOTES.findall(quoted)) <= {*opening, *closing}

    def test_joins_label_and_value_in_its_own_way(self, tag: str) -> None:
        own = {
            **dict.fromkeys(["fr", "fr-CA"], "{label}\u00a0: {value}"),
            **dict.fromkeys(["ja", "zh-Hans", "zh-Hant"], "{label}：{value}"),
            "am": "{label}፦ {value}",
            "hy": "{label}՝ {value}",
            "km": "{label}៖ {value}",
            "my": "{label} - {value}",
        }
        assert WORDS[tag]["line"] == own.get(tag, "{label}: {value}")

    def test_keeps_calm_and_links_nowhere(self, tag: str) -> None:
        for key, text in WORDS[tag].items():
            assert not re.search(r"[!！]|http|www\.|://|<|&|%", text), key

    def test_has_no_user_data_in_the_subject(self, tag: str) -> None:
        assert _names(WORDS[tag]["subject"]) == []
        assert len(WORDS[tag]["subject"]) <= 78

    def test_keeps_the_contact_apart_from_the_words(self, tag: str) -> None:
        """So that a reader, and a client that makes links, see where it begins and ends."""
        before, _, after = WORDS[tag]["step_contact"].partition("{contact}")
        assert before.endswith((": ", "：", "፦ ", "՝ ", "៖ ", "- ", " "))
        assert after == "" or after.startswith(" ")

    def test_has_its_direction(self, tag: str) -> None:
        assert load_language(tag).direction == ("rtl" if tag in WRITTEN_FROM_RIGHT else "ltr")

    def test_is_written_in_its_own_script(self, tag: str) -> None:
        script = unicodedata.name(ALL[tag]["about"]["name"][0]).split()[0]
        letters = [char for key in ("subject", "was_you", "step_reuse", "no_link") for char in WORDS[tag][key]]
        own = sum(unicodedata.name(char, "").startswith((script, "CJK", "HIRAGANA", "KATAKANA")) for char in letters)
        assert own > 0.6 * len(letters)


def test_every_allowance_is_needed() -> None:
    assert all(WORDS[tag][key] == ENGLISH[key] for tag, key in SAME_WORD)
    assert set(QUOTES) <= set(TAGS)


def test_two_languages_share_no_sentence_unless_they_are_neighbours() -> None:
    """A file that was copied and not translated would show here."""
    neighbours = [{"es", "es-419"}, {"fr", "fr-CA"}, {"bs", "hr"}, {"pt-BR", "pt-PT"}]
    sentences: dict[str, list[str]] = {}
    for tag in TAGS:
        for key in ("subject", "sentence", "was_you", "step_password", "step_reuse", "step_contact", "no_link"):
            sentences.setdefault(WORDS[tag][key], []).append(tag)
    shared = {frozenset(tags) for tags in sentences.values() if len(tags) > 1}
    assert shared <= {frozenset(pair) for pair in neighbours}
