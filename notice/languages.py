"""The language: which one a reader gets, its wording (a file in `languages/`) and Unicode's data on it (`cldr/`)."""

import json
import os
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "translations"
CLDR = Path(__file__).parent / "cldr"  # written by `make cldr`
MOST_WISHES, LONGEST_WISHES = 10, 500  # entries and characters of an Accept-Language list; a browser sends fewer

# What Unicode's parents leave open: bare Portuguese is Brazil's; who reads Norwegian reads Bokmål.
NEAREST = {"pt": "pt_BR", "no": "nb"}


class Language(NamedTuple):
    """`tag` is the file's name, a BCP 47 tag. `words` are by key. `cldr`: its dates, times, zones and countries."""

    tag: str
    direction: str  # ltr or rtl
    words: dict[str, str]
    cldr: dict[str, Any]


@cache
def language(tag: str) -> Language:
    """The language of one file. Raises FileNotFoundError."""
    with (FOLDER / f"{tag}.toml").open("rb") as file:
        words = tomllib.load(file)["notice"]
    known = cldr(tag) or cldr("en")  # a file that was just added has none yet; its mail must not fail for that
    return Language(tag, known["direction"], words, known)


@cache
def cldr(name: str) -> dict[str, Any]:
    """One file of Unicode's data; empty where there is none."""
    file = CLDR / f"{name}.json"
    return dict(json.loads(file.read_bytes())) if file.exists() else {}


@cache
def tags() -> dict[str, str]:
    """Every language that there is: the tag in Unicode's spelling → the file's name."""
    names = [name.removesuffix(".toml") for name in os.listdir(FOLDER) if name.endswith(".toml")]  # noqa: PTH208  (faster)
    return {name.replace("-", "_"): name for name in names}


def choose(wish: str | None, default: str) -> tuple[Language, ...]:
    """The reader's language by `wish` (a tag, or an Accept-Language list), then `default` where it is another.

    The wish is the requester's, who may be an attacker: the default lets the user read the notice all the same.
    """
    return _choose((wish or "")[:LONGEST_WISHES], default)


@lru_cache(maxsize=1024)
def _choose(wish: str, default: str) -> tuple[Language, ...]:
    found = [tag for tag in (_first(_wishes(wish)), _match(default) or "en") if tag]
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
    parts, known = tag.replace("_", "-").split("-"), cldr("common")["tags"]
    language_, rest = known["aliases"].get(parts[0].lower(), parts[0].lower()), parts[1:]
    script = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), "")
    territory = next((part.upper() for part in rest if len(part) == 2 or (len(part) == 3 and part.isdigit())), "")
    if not script:  # only where it decides about the file: zh_Hans or zh_Hant
        scripts = known["scripts"]
        script = scripts.get(f"{language_}_{territory}") or scripts.get(language_, "")
    return "_".join(part for part in (language_, script, territory) if part)


def _parent(tag: str) -> str | None:
    parent = cldr("common")["tags"]["parents"].get(tag) or tag.rpartition("_")[0] or NEAREST.get(tag)
    return None if parent == "root" else parent
