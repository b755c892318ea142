"""Language negotiation: a tag or an Accept-Language header, then the default."""

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from notice import languages
from notice.languages import MAX_ENTRIES, MAX_LENGTH, _negotiate, available, load_language, negotiate
from tests.notice.sample import TAGS


def _tags(header: str | None, default: str = "en") -> list[str]:
    return [language.tag for language in negotiate(header, default)]


def _requested_tag(header: str) -> str:
    return _tags(header, "cy")[0]


def test_the_available_tags_are_sorted() -> None:
    assert available() == TAGS


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
        *[("en-GB", "en"), ("en-US-posix", "en"), ("sr-RS", "sr"), ("sh", "sr"), ("mo", "ro"), ("ar-EG", "ar")],
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
    assert negotiate("de", "en")[0] is negotiate("de-AT", "en")[0]


def test_a_path_outside_the_translations_is_not_loaded() -> None:
    with pytest.raises(FileNotFoundError):
        load_language("../../settings")


@pytest.mark.parametrize(("removed", "header"), [("pt_BR", "pt"), ("pt_BR", "pt-BR"), ("nb", "no"), ("nb", "nb-NO")])
def test_a_removed_language_is_unavailable(monkeypatch: pytest.MonkeyPatch, removed: str, header: str) -> None:
    """A user may delete the languages that they don't need."""
    remaining = {locale: tag for locale, tag in languages._tags_by_locale().items() if locale != removed}
    monkeypatch.setattr(languages, "_tags_by_locale", lambda: remaining)

    assert languages._match(header) is None


@given(st.text(max_size=60) | st.lists(st.text(alphabet="abzhtwDEpt-_;q=0.19, *", max_size=12)).map(",".join))
def test_any_header_ends_with_the_default(header: str) -> None:
    tags = _tags(header, "fi")
    assert tags[-1] == "fi"
    assert len(tags) == len(set(tags)) <= 2
    assert set(tags) <= set(TAGS)


@given(st.sampled_from(sorted(get_global("likely_subtags"))))
def test_every_cldr_tag_selects_an_available_language(tag: str) -> None:
    assert _requested_tag(tag.replace("_", "-")) in available()


@given(st.text(max_size=30))
def test_any_default_selects_an_available_language(default: str) -> None:
    """The settings reject unknown languages, but composing must not fail on one."""
    assert set(_tags(None, default)) <= set(TAGS)
