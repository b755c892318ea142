"""Language negotiation: a tag or an Accept-Language header, then the default."""

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from notice import languages
from notice.languages import MAX_ENTRIES, MAX_LENGTH, _negotiate, is_available, load_language, negotiate
from tests.notice.sample import TAGS


def _tags(header: str | None, default: str = "en") -> list[str]:
    return [language.tag for language in negotiate(header, default)]


def _requested_tag(header: str) -> str:
    return _tags(header, "cy")[0]


@pytest.mark.parametrize("tag", ["en", "en-US", "pt_BR", "iw", "no", "ZH-tw", "sr-Cyrl", "kk-Cyrl-KZ", "yue"])
def test_a_tag_with_a_nearest_language_is_available(tag: str) -> None:
    assert is_available(tag)


@pytest.mark.parametrize("tag", ["tlh", "kk-Arab", "kk-CN", "mn-Mong", "sr-Arab", "ja-Latn", "", "*"])
def test_a_tag_for_which_the_email_would_be_in_another_language_or_script_is_not_available(tag: str) -> None:
    assert not is_available(tag)


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_selects_its_own_language(tag: str) -> None:
    assert _tags(tag, tag) == [tag]
    assert _tags(tag.replace("-", "_").upper(), tag) == [tag]


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        *[("pt-PT", "pt-PT"), ("pt-BR", "pt-BR"), ("pt", "pt-BR"), ("pt-AO", "pt-PT"), ("pt-MZ", "pt-PT")],
        *[
            ("zh", "zh-Hans"),
            ("zh-CN", "zh-Hans"),
            ("zh-SG", "zh-Hans"),
            ("zh-Hans-HK", "zh-Hans"),
            ("zh_CN", "zh-Hans"),
        ],
        *[("zh-TW", "zh-Hant"), ("zh-HK", "zh-Hant"), ("zh-MO", "zh-Hant")],
        *[("zh-Hant", "zh-Hant"), ("zh-Hant-TW", "zh-Hant"), ("zh-Hant-HK", "zh-Hant"), ("ZH-hant-cn", "zh-Hant")],
        *[("no", "nb"), ("nb-NO", "nb"), ("no-NO", "nb"), ("nn", "nb"), ("nn-NO", "nb")],
        *[("iw", "he"), ("iw-IL", "he"), ("he-IL", "he"), ("in", "id"), ("in-ID", "id"), ("id-ID", "id")],
        *[("es", "es"), ("es-ES", "es"), ("es-GQ", "es")],
        *[("es-419", "es-419"), ("es-MX", "es-419"), ("es-AR", "es-419"), ("es-US", "es-419"), ("es-CO", "es-419")],
        *[("fr", "fr"), ("fr-FR", "fr"), ("fr-CH", "fr"), ("fr-BE", "fr"), ("fr-CA", "fr-CA")],
        *[("de-CH", "de"), ("de-AT", "de"), ("de-Latn-DE", "de"), ("tl", "fil"), ("tl-PH", "fil"), ("fil-PH", "fil")],
        *[("en-GB", "en"), ("en-US-posix", "en"), ("sr-RS", "sr"), ("mo", "ro"), ("ar-EG", "ar"), ("hi-Latn", "en")],
        *[("sr-Latn-RS", "sr-Latn"), ("sr-ME", "sr-Latn"), ("sh", "sr-Latn"), ("hbs", "sr-Latn"), ("cnr", "sr-Latn")],
        *[("sr-Cyrl-ME", "sr"), ("sh-Cyrl", "sr"), ("bs-Cyrl", "bs"), ("bs-Latn-BA", "bs"), ("mn-Cyrl-CN", "mn")],
        *[("yue", "zh-Hant"), ("yue-HK", "zh-Hant"), ("yue-CN", "zh-Hans"), ("yue-Hant-CN", "zh-Hant")],
        *[("gsw", "de"), ("gsw-CH", "de"), ("lb-LU", "de"), ("ltz", "de"), ("kk-Cyrl-CN", "kk"), ("pa-Guru-PK", "pa")],
        *[("fr-u-ca-gregory", "fr"), ("fr-x-ca", "fr"), ("fr-t-en-ca", "fr"), ("fr-CA-u-ca-gregory", "fr-CA")],
        *[("zh-x-tw", "zh-Hans"), ("de-u", "de")],
        *[
            ("sr-Cyrl-RS", "sr"),
            ("fa-AF", "fa"),
            ("prs", "fa"),
            ("ur-PK", "ur"),
            ("pa-IN", "pa"),
            ("ja-JP-u-ca-japanese", "ja"),
        ],
    ],
)
def test_a_tag_selects_the_nearest_language(header: str, tag: str) -> None:
    assert _requested_tag(header) == tag


@pytest.mark.parametrize(
    "header",
    [
        *["kk-CN", "kk-Arab", "kk-Latn", "mn-Mong", "mn-CN", "pa-Arab", "pa-PK", "az-Cyrl", "az-IR", "ms-Arab"],
        *["zh-Latn", "ja-Latn", "ru-Latn", "mo-Cyrl", "en-Shaw", "yue-Latn", "sr-Arab", "x-de", "i-klingon", "x"],
    ],
)
def test_a_language_in_another_script_is_unavailable(header: str) -> None:
    """Not everyone who reads a language in one script reads it in another."""
    assert _tags(header, "fi") == ["fi"]


@pytest.mark.parametrize(
    ("header", "default", "date", "time"),
    [
        ("en", "en", "November 23, 2026", "1:05\u00a0PM"),
        ("en-US", "en", "November 23, 2026", "1:05\u00a0PM"),
        ("en-GB", "en", "23 November 2026", "13:05"),
        ("en-AU", "en", "23 November 2026", "1:05\u00a0pm"),
        ("en-IN", "en", "23 November 2026", "1:05\u00a0pm"),
        ("en-150", "en", "23 November 2026", "13:05"),
        ("xx", "en-GB", "23 November 2026", "13:05"),
        ("en-u-rg-gbzzzz", "en", "November 23, 2026", "1:05\u00a0PM"),
        ("fr-CH", "en", "23 novembre 2026", "13:05"),
        ("de-AT", "en", "23. November 2026", "13:05"),
        ("es-AR", "en", "23 de noviembre de 2026", "1:05\u00a0p.\u00a0m."),
        ("es-MX", "en", "23 de noviembre de 2026", "1:05\u00a0p.m."),
        ("pt-AO", "en", "23 de novembro de 2026", "13:05"),
        ("pt-MO", "en", "23 de novembro de 2026", "1:05\u00a0da tarde"),
        ("ar-LB", "en", "23 تشرين الثاني 2026", "1:05 م"),
        ("zh-HK", "en", "2026年11月23日", "下午1:05"),
    ],
)
def test_dates_and_times_are_those_of_the_region(header: str, default: str, date: str, time: str) -> None:
    data = negotiate(header, default)[0].cldr
    assert (data["dates"][10].format(day=23, year=2026), data["times"][13].format(minute=5)) == (date, time)


def test_austria_has_its_own_name_of_january() -> None:
    assert negotiate("de-AT", "en")[0].cldr["dates"][0] == "{day}. Jänner {year}"
    assert negotiate("de-DE", "en")[0].cldr["dates"][0] == "{day}. Januar {year}"


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("en;q=0.2,de;q=0.9", "de"),
        ("en; q=0.2 , de ; q = 0.9", "en"),
        ("de,fr", "de"),
        ("de;q=0.5,fr;q=0.5", "de"),
        ("de;q=0,fr", "fr"),
        ("de;q=0.0,sv;q=0.1", "sv"),
        ("tlh,sv", "sv"),
        ("*,sv;q=0.1", "sv"),
        ("de;q=NaN,sv", "sv"),
        ("de;q=high,sv", "sv"),
        (",,sv,", "sv"),
    ],
)
def test_a_list_is_ordered_by_weight_then_position(header: str, tag: str) -> None:
    assert _requested_tag(header) == tag


def test_a_long_list_is_truncated() -> None:
    assert _requested_tag(",".join(["xx"] * MAX_ENTRIES + ["de"])) == "cy"


def test_the_negotiation_cache_is_bounded() -> None:
    misses = _negotiate.cache_info().misses
    for suffix in ("x", "y"):
        assert _requested_tag("de," + "-" * MAX_LENGTH + suffix) == "de"
    assert _negotiate.cache_info().misses == misses + 1
    assert _negotiate.cache_info().maxsize == 1024


@pytest.mark.parametrize(
    "header", [None, "", " ", "*", "xx", "tlh", "de;q=0", "../../etc/passwd", "en/../de", "\x00", "🇸🇪"]
)
def test_unavailable_languages_leave_only_the_default(header: str | None) -> None:
    assert _tags(header, "fi") == ["fi"]


@pytest.mark.parametrize(
    ("header", "default", "expected"),
    [
        ("sv", "en", ["sv", "en"]),
        ("en-GB", "en", ["en"]),
        ("pt", "pt-BR", ["pt-BR"]),
        ("pt-PT", "pt-BR", ["pt-PT", "pt-BR"]),
        ("zh-TW", "zh-Hans", ["zh-Hant", "zh-Hans"]),
        ("no", "nb-NO", ["nb"]),
        ("de", "de_AT", ["de"]),
        ("de", "zz", ["de", "en"]),
    ],
)
def test_the_default_follows_if_it_differs(header: str, default: str, expected: list[str]) -> None:
    assert _tags(header, default) == expected


def test_a_language_is_loaded_once() -> None:
    assert load_language("de") is load_language("de")
    assert negotiate("de", "en")[0] is negotiate("de-DE", "en")[0]
    assert negotiate("de", "en")[0].strings is negotiate("de-AT", "en")[0].strings


def test_a_path_outside_the_translations_is_not_loaded() -> None:
    with pytest.raises(FileNotFoundError):
        load_language("../../settings")


@pytest.mark.parametrize(
    ("removed", "header"), [("pt_BR", "pt"), ("pt_BR", "pt-BR"), ("nb", "no"), ("nb", "nb-NO"), ("zh_Hans", "zh")]
)
def test_a_removed_language_is_unavailable(monkeypatch: pytest.MonkeyPatch, removed: str, header: str) -> None:
    """A user may delete the languages that they don't need."""
    _remove(monkeypatch, removed)
    assert languages._find(header) is None


def test_no_chain_of_parents_is_endless() -> None:
    for locale in languages.load_cldr("common")["tags"]["parents"]:
        chain = [locale]
        while chain[-1]:
            chain.append(languages._parent(chain[-1]))
            assert len(chain) < 6, chain


def test_serbian_in_cyrillic_replaces_a_removed_latin_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its readers know both scripts."""
    _remove(monkeypatch, "sr_Latn")
    found = languages._find("sr-Latn-RS")
    assert found
    assert found.tag == "sr"


def _remove(monkeypatch: pytest.MonkeyPatch, removed: str) -> None:
    remaining = {locale: tag for locale, tag in languages._tags_by_locale().items() if locale != removed}
    monkeypatch.setattr(languages, "_tags_by_locale", lambda: remaining)


@given(st.text(max_size=60) | st.lists(st.text(alphabet="abzhtwDEpt-_;q=0.19, *", max_size=12)).map(",".join))
def test_any_header_ends_with_the_default(header: str) -> None:
    tags = _tags(header, "fi")
    assert tags[-1] == "fi"
    assert len(tags) == len(set(tags)) <= 2
    assert set(tags) <= set(TAGS)


def test_no_cldr_tag_selects_another_script() -> None:
    """In Bosnian, readers know both; test_a_tag_selects_the_nearest_language has what they get."""
    likely = get_global("likely_subtags")
    wrong = {}
    for tag, full in likely.items():
        selected, requested = _requested_tag(tag.replace("_", "-")), full.split("_")
        language, _, script = selected.partition("-")
        if selected != "cy" and requested[0] not in ("bs", "cy"):
            usual = likely.get(selected.replace("-", "_"), likely[language]).split("_")[1]
            if requested[1] != (script if len(script) == 4 else usual):
                wrong[tag] = selected
    assert wrong == {}


@given(st.text(max_size=30))
def test_any_default_selects_an_available_language(default: str) -> None:
    """The settings reject unknown languages, but composing must not fail on one."""
    assert set(_tags(None, default)) <= set(TAGS)
