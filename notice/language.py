"""The language: which one a reader gets, its wording (a file in `languages/`), its dates and its names of countries."""

import os
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from babel.core import Locale, get_global

FOLDER = Path(__file__).parent / "languages"
MOST_WISHES = 10  # of an Accept-Language list; a browser sends fewer

# What Babel's data does not say: bare Portuguese is Brazil's, as it is Unicode's; who reads Norwegian reads Bokmål.
NEAREST = {"pt": "pt_BR", "no": "nb"}


class Language(NamedTuple):
    """`tag` is the file's name, a BCP 47 tag. `words` are by key."""

    tag: str
    direction: str  # ltr or rtl
    locale: Locale
    words: dict[str, str]


@cache
def language(tag: str) -> Language:
    """The language of one file. Raises FileNotFoundError."""
    with (FOLDER / f"{tag}.toml").open("rb") as file:
        words = tomllib.load(file)["notice"]
    locale = Locale.parse(tag, sep="-", resolve_likely_subtags=False)
    return Language(tag, locale.text_direction, locale, words)


@cache
def tags() -> dict[str, str]:
    """Every language that there is: the tag in Babel's spelling → the file's name."""
    names = [name.removesuffix(".toml") for name in os.listdir(FOLDER) if name.endswith(".toml")]  # noqa: PTH208  (faster)
    return {name.replace("-", "_"): name for name in names}


@lru_cache(maxsize=1024)
def choose(wish: str | None, default: str) -> tuple[Language, ...]:
    """The reader's language by `wish` (a tag, or an Accept-Language list), then `default` where it is another.

    The wish is the requester's, who may be an attacker: the default lets the user read the notice all the same.
    """
    found = [tag for tag in (_first(_wishes(wish or "")), _match(default) or "en") if tag]
    return tuple(language(tag) for tag in dict.fromkeys(found))


def _first(wishes: list[str]) -> str | None:
    return next((tag for tag in map(_match, wishes) if tag), None)


def _wishes(header: str) -> list[str]:
    """The tags of an Accept-Language list, the most wanted first (RFC 9110 § 12.5.4)."""
    weighed = [_weighed(item) for item in header.split(",")[:MOST_WISHES]]
    return [tag for weight, tag in sorted(weighed, key=lambda item: -item[0]) if weight > 0 and tag]


def _weighed(item: str) -> tuple[float, str]:
    tag, _, weight = item.partition(";")
    try:
        return float(weight.strip().removeprefix("q=") or 1), tag.strip()
    except ValueError:
        return 0.0, tag


def _match(tag: str) -> str | None:
    """The file for a tag, by way of Unicode's aliases, likely scripts and parents; None where there is none."""
    candidate: str | None = tag if tag in tags() else _canonical(tag)
    while candidate:
        if candidate in tags():
            return tags()[candidate]
        candidate = _parent(candidate)
    return None


def _canonical(tag: str) -> str:
    """`ZH-tw` → `zh_Hant_TW`, `iw` → `he`, `no` → `nb`."""
    parts = tag.replace("_", "-").split("-")
    language_, rest = parts[0].lower(), parts[1:]
    language_ = str(get_global("language_aliases").get(language_, language_)).split("_")[0]
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), "")
    territory = next((part.upper() for part in rest if len(part) == 2 or (len(part) == 3 and part.isdigit())), "")
    if not script:
        likely = get_global("likely_subtags")
        full = str(likely.get(f"{language_}_{territory}") or likely.get(language_) or "").split("_")
        # Only where the script decides about the file: zh_Hans or zh_Hant.
        script = full[1] if len(full) > 1 and f"{language_}_{full[1]}" in tags() else ""
    return "_".join(part for part in (language_, script, territory) if part)


def _parent(tag: str) -> str | None:
    parent = get_global("parent_exceptions").get(tag)
    if parent is None:
        parent = tag.rpartition("_")[0] or NEAREST.get(tag)
    return None if parent in ("root", "", None) else str(parent)
