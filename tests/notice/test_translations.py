"""Rules for every file in notice/translations."""

# ruff: noqa: RUF001  (the tests contain letters of other scripts)

import re
import string
import tomllib
import unicodedata
from typing import Any

import pytest

from notice.languages import TRANSLATIONS, load_language
from scripts import translations
from scripts.translations import transliterate
from tests.notice.sample import TAGS


def _read(tag: str) -> dict[str, Any]:
    return tomllib.loads((TRANSLATIONS / f"{tag}.toml").read_text())


ALL: dict[str, dict[str, Any]] = {tag: _read(tag) for tag in TAGS}
STRINGS: dict[str, dict[str, str]] = {tag: file["notice"] for tag, file in ALL.items()}
ENGLISH = STRINGS["en"]
# Strings that may be the same as in English: patterns without words, and words that both languages share.
WORDLESS = frozenset({"line", "two_times", "place"})
SAME_STRINGS = {
    ("da", "reference"): "Danish has the same word",
    ("fil", "ip_address"): "Filipino uses the English term",
}
RIGHT_TO_LEFT = {"ar", "fa", "he", "ur"}
MIN_LANGUAGES = 40
# Outer quotation marks by language, if different from English.
QUOTES = {
    **dict.fromkeys(["de", "bg", "cs", "et", "is", "ka", "lt", "mk", "sk", "sl", "sr", "sr-Latn"], ("„", "“")),
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


def _placeholders(pattern: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None)


def test_there_are_at_least_forty_languages() -> None:
    assert len(TAGS) >= MIN_LANGUAGES


@pytest.mark.parametrize("tag", TAGS)
class TestEveryLanguage:
    def test_states_its_name_origin_and_review(self, tag: str) -> None:
        about = ALL[tag]["about"]
        assert set(ALL[tag]) == {"about", "notice"}
        assert set(about) == {"name", "made", "reviewed"}
        origins = {"en": "human-written", "sr-Latn": "transliterated from sr.toml"}
        assert about["made"] in (origins.get(tag, "machine-drafted"), "by a native speaker")
        assert about["reviewed"].endswith("by a native speaker") or tag == "en"
        assert about["name"]

    def test_has_no_nested_parentheses(self, tag: str) -> None:
        """Names of time zones and countries may contain parentheses."""
        language = load_language(tag)
        cldr = language.cldr
        zones = [name for names in cldr["zones"].values() for name in names if "(" in name][:1] or [""]
        time = cldr["time_zone"].format(time=cldr["times"][13].format(minute=5), zone=zones[0])
        utc = cldr["date_time"].format(date=cldr["dates"][0].format(day=1, year=2026), time=time)
        assert not re.search(r"\([^)]*\(", STRINGS[tag]["two_times"].format(utc=utc, local=time))

    def test_has_the_keys_and_placeholders_of_the_english_file(self, tag: str) -> None:
        assert {key: _placeholders(text) for key, text in STRINGS[tag].items()} == {
            key: _placeholders(text) for key, text in ENGLISH.items()
        }

    def test_has_no_untranslated_strings(self, tag: str) -> None:
        same = {key for key, text in STRINGS[tag].items() if tag != "en" and text == ENGLISH[key]}
        assert same - WORDLESS - {key for same_tag, key in SAME_STRINGS if same_tag == tag} == set()

    def test_is_in_nfc_without_stray_characters(self, tag: str) -> None:
        for key, text in STRINGS[tag].items():
            assert unicodedata.normalize("NFC", text) == text, key
            assert text == text.strip(), key
            assert "  " not in text, key
            allowed = "\u200c\u200d\u00a0\u202f"
            assert all(char.isprintable() or char in allowed for char in text), key

    def test_uses_its_own_typography(self, tag: str) -> None:
        for key, text in STRINGS[tag].items():
            assert not re.search(r"[\"'`´]", text), f"{key}: straight quotation mark or accent"
            assert "..." not in text, key
        opening, closing = QUOTES.get(tag, ENGLISH_QUOTES)
        quoted = STRINGS[tag]["step_password"]
        assert opening in quoted
        assert closing in quoted
        assert set(ALL_QUOTES.findall(quoted)) <= {*opening, *closing}

    def test_joins_label_and_value_with_its_own_punctuation(self, tag: str) -> None:
        punctuation = {
            **dict.fromkeys(["fr", "fr-CA"], "{label}\u00a0: {value}"),
            **dict.fromkeys(["ja", "zh-Hans", "zh-Hant"], "{label}：{value}"),
            "am": "{label}፦ {value}",
            "hy": "{label}՝ {value}",
            "km": "{label}៖ {value}",
            "my": "{label} - {value}",
        }
        assert STRINGS[tag]["line"] == punctuation.get(tag, "{label}: {value}")

    def test_has_no_exclamation_marks_links_or_markup(self, tag: str) -> None:
        for key, text in STRINGS[tag].items():
            assert not re.search(r"[!！]|http|www\.|://|<|&|%", text), key

    def test_has_no_user_data_in_the_subject(self, tag: str) -> None:
        assert _placeholders(STRINGS[tag]["subject"]) == []
        assert len(STRINGS[tag]["subject"]) <= 78

    def test_separates_the_contact_from_the_surrounding_text(self, tag: str) -> None:
        """Readers, and clients that create links, must see where the contact starts and ends."""
        before, _, after = STRINGS[tag]["step_contact"].partition("{contact}")
        assert before.endswith((": ", "：", "፦ ", "՝ ", "៖ ", "- ", " "))
        assert after == "" or after.startswith(" ")

    def test_has_the_correct_text_direction(self, tag: str) -> None:
        assert load_language(tag).direction == ("rtl" if tag in RIGHT_TO_LEFT else "ltr")

    def test_is_written_in_its_own_script(self, tag: str) -> None:
        script = unicodedata.name(ALL[tag]["about"]["name"][0]).split()[0]
        letters = [char for key in ("subject", "was_you", "step_reuse", "no_link") for char in STRINGS[tag][key]]
        in_script = sum(
            unicodedata.name(char, "").startswith((script, "CJK", "HIRAGANA", "KATAKANA")) for char in letters
        )
        assert in_script > 0.6 * len(letters)


def test_every_exception_is_needed() -> None:
    assert all(STRINGS[tag][key] == ENGLISH[key] for tag, key in SAME_STRINGS)
    assert set(QUOTES) <= set(TAGS)


def test_only_closely_related_languages_share_sentences() -> None:
    """Detect files that were copied but not translated."""
    related = [
        {"bs", "sr-Latn"},
        {"hr", "sr-Latn"},
        {"es", "es-419"},
        {"fr", "fr-CA"},
        {"bs", "hr"},
        {"pt-BR", "pt-PT"},
    ]
    sentences: dict[str, list[str]] = {}
    for tag in TAGS:
        for key in ("subject", "sentence", "was_you", "step_password", "step_reuse", "step_contact", "no_link"):
            sentences.setdefault(STRINGS[tag][key], []).append(tag)
    shared = {frozenset(tags) for tags in sentences.values() if len(tags) > 1}
    assert shared <= {frozenset(pair) for pair in related}


# Serbian in Latin script ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cyrillic", "latin"),
    [
        ("Ђорђе, Љиљана и Његош", "Đorđe, Ljiljana i Njegoš"),
        ("Џеп, фењер, нџ", "Džep, fenjer, ndž"),
        ("ЊЕГОШ, БАЈА ЉУБ, ИЏ", "NJEGOŠ, BAJA LJUB, IDŽ"),
        ("шчћжц „{address}“ Chrome", "ščćžc „{address}“ Chrome"),
    ],
)
def test_serbian_is_transliterated(cyrillic: str, latin: str) -> None:
    assert transliterate(cyrillic) == latin


def test_the_transliteration_matches_cldr() -> None:
    """CLDR spells a few names differently in the two scripts."""
    cyrillic, latin = load_language("sr").cldr, load_language("sr-Latn").cldr
    assert transliterate("".join(cyrillic["dates"])) == "".join(latin["dates"])
    names = cyrillic["countries"].items()
    differences = {code for code, name in names if transliterate(name) != latin["countries"][code]}
    assert len(differences) <= 3, {code: latin["countries"][code] for code in differences}


def test_the_readme_has_the_numbers_of_translations_and_reviews() -> None:
    drafted = [ALL[tag]["about"] for tag in TAGS if ALL[tag]["about"]["made"] == "machine-drafted"]
    reviewed = [about for about in drafted if about["reviewed"].startswith("machine-assisted")]
    native = [about for about in drafted if not about["reviewed"].endswith("not yet by a native speaker")]
    assert not native, "mention them in README.md and in this test"
    numbers = f"The other {len(drafted)} translations are machine-drafted; {len(reviewed)} of them have had"
    assert numbers in (translations.ROOT / "README.md").read_text()


def test_generated_files_match_make_translations() -> None:
    assert translations.LATIN_SERBIAN.read_text("utf-8") == translations.build_latin_serbian()
    assert translations.DOCUMENT.read_text("utf-8") == translations.build_document()
