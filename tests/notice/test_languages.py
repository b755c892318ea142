"""The choice of the language: a tag or an Accept-Language list, then the default."""

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from notice.languages import MAX_ENTRIES, MAX_LENGTH, _negotiate, available, load_language, negotiate
from tests.notice.sample import TAGS


def _chosen(wish: str | None, default: str = "en") -> list[str]:
    return [each.tag for each in negotiate(wish, default)]


def _wished(wish: str) -> str:
    return _chosen(wish, "cy")[0]


@pytest.mark.parametrize("tag", TAGS)
def test_every_file_is_chosen_by_its_own_name(tag: str) -> None:
    assert _chosen(tag, tag) == [tag]
    assert _chosen(tag.replace("-", "_").upper(), tag) == [tag]


@pytest.mark.parametrize(
    ("wish", "tag"),
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
def test_a_wish_finds_the_nearest_file(wish: str, tag: str) -> None:
    assert _wished(wish) == tag


@pytest.mark.parametrize(
    ("wish", "tag"),
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
def test_a_list_is_followed_by_weight_and_then_by_order(wish: str, tag: str) -> None:
    assert _wished(wish) == tag


def test_a_long_list_is_read_in_part() -> None:
    assert _wished(",".join(["xx"] * MAX_ENTRIES + ["de"])) == "cy"


def test_what_is_remembered_of_wishes_is_bounded() -> None:
    before = _negotiate.cache_info().misses
    for rest in ("x", "y"):
        assert _wished("de," + "-" * MAX_LENGTH + rest) == "de"
    assert _negotiate.cache_info().misses == before + 1
    assert _negotiate.cache_info().maxsize == 1024


@pytest.mark.parametrize(
    "wish", [None, "", " ", "*", "xx", "tlh", "de;q=0", "../../etc/passwd", "en/../de", "\x00", "🇸🇪"]
)
def test_what_names_no_language_of_ours_leaves_the_default_alone(wish: str | None) -> None:
    assert _chosen(wish, "fi") == ["fi"]


@pytest.mark.parametrize(
    ("wish", "default", "both"),
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
def test_the_default_follows_where_it_is_another(wish: str, default: str, both: list[str]) -> None:
    assert _chosen(wish, default) == both


def test_a_language_is_read_once() -> None:
    assert load_language("de") is load_language("de")
    assert negotiate("de", "en")[0] is negotiate("de-AT", "en")[0]


def test_no_other_file_can_be_read() -> None:
    with pytest.raises(FileNotFoundError):
        load_language("../../settings")


@given(st.text(max_size=60) | st.lists(st.text(alphabet="abzhtwDEpt-_;q=0.19, *", max_size=12)).map(",".join))
def test_any_wish_ends_with_the_default(wish: str) -> None:
    chosen = _chosen(wish, "fi")
    assert chosen[-1] == "fi"
    assert len(chosen) == len(set(chosen)) <= 2
    assert set(chosen) <= set(TAGS)


@given(st.sampled_from(sorted(get_global("likely_subtags"))))
def test_every_tag_that_unicode_knows_is_answered(tag: str) -> None:
    found = _wished(tag.replace("_", "-"))
    assert found in available()


@given(st.text(max_size=30))
def test_any_default_is_answered(default: str) -> None:
    """Settings refuse what is no language; the mail goes out all the same."""
    assert set(_chosen(None, default)) <= set(TAGS)
