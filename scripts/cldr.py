"""Unicode's data (CLDR) for the mail: dates, times, time zones and countries of each language, and how tags relate.

Babel knows all that, but takes 25 ms and 30 MB for it: `make cldr` asks it once, here, and writes the answers down.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.core import Locale, get_global
from babel.dates import format_date, format_time, get_timezone_gmt, get_timezone_name

ROOT = Path(__file__).parents[1]
CLDR = ROOT / "notice" / "cldr"
TAGS = sorted(file.stem for file in (ROOT / "notice" / "translations").glob("*.toml"))
ZONES = sorted(files("tzdata").joinpath("zones").read_text().split())

Zones = dict[str, tuple[str, str]]  # a zone → what it is called in winter and in summer


def main() -> None:
    CLDR.mkdir(exist_ok=True)
    for name, text in texts().items():
        (CLDR / name).write_text(text, "utf-8")


def texts() -> dict[str, str]:
    """What `notice/cldr` must hold: a file's name → its text."""
    locales = {tag: Locale.parse(tag, sep="-") for tag in TAGS}
    zones = {tag: {zone: _zone(locale, zone) for zone in ZONES} for tag, locale in locales.items()}
    same = _same(list(zones.values()))
    common = {"tags": _tags(), "zones": {zone: first for zone, first in same.items() if zone != first}}
    made = {f"{tag}.json": _language(locales[tag], zones[tag], set(same.values())) for tag in TAGS}
    return {name: _json(value) for name, value in {"common.json": common, **made}.items()}


def _language(locale: Locale, zones: Zones, firsts: set[str]) -> dict[str, Any]:
    return {
        "direction": locale.text_direction,
        "date_time": str(locale.datetime_formats["long"]).replace("'", "").format("{time}", "{date}"),
        "dates": [_date(locale, month) for month in range(1, 13)],
        "times": [_time(locale, hour) for hour in range(24)],
        "countries": {code: name for code, name in sorted(locale.territories.items()) if len(code) == 2},
        "zones": {zone: list(dict.fromkeys(names)) for zone, names in zones.items() if zone in firsts and any(names)},
        "zone_offset": locale.zone_formats["gmt"].replace("%s", "{offset}"),
    }


def _date(locale: Locale, month: int) -> str:
    """A month's pattern: `{day}. Januar {year}`."""
    pattern = format_date(date(2345, month, 27), "long", locale=locale).replace("2345", "{year}").replace("27", "{day}")
    if pattern.format(day=3, year=2026) != format_date(date(2026, month, 3), "long", locale=locale):
        pattern = pattern.replace("{day}", "{day:02}")
    for day in (date(2026, month, 3), date(2031, month, 28)):
        _agree(pattern.format(day=day.day, year=day.year), format_date(day, "long", locale=locale))
    return pattern


def _time(locale: Locale, hour: int) -> str:
    """An hour's pattern: `3:{minute:02} PM`. The narrow no-break space of newer data is missing in many fonts."""
    pattern = (
        format_time(time(hour, 47), "short", locale=locale).replace("\u202f", "\u00a0").replace("47", "{minute:02}")
    )
    _agree(pattern.format(minute=5), format_time(time(hour, 5), "short", locale=locale).replace("\u202f", "\u00a0"))
    return pattern


def _agree(made: str, wanted: str) -> None:
    if made != wanted:
        raise ValueError(f"{made} is not {wanted}: the patterns are too simple for this language")


def _zone(locale: Locale, zone: str) -> tuple[str, str]:
    """An empty name where there is none. Babel knows some zones under a former one alone (Asia/Calcutta)."""
    known, renamed = get_global("meta_zones"), get_global("zone_aliases")
    current = renamed.get(zone, zone)
    former = next((known[old] for old, new in renamed.items() if new == current and old in known), None)
    names = locale.meta_zones.get(former, {}).get("long", {}) if current not in known else {}
    moment = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    unnamed = get_timezone_gmt(moment, locale=locale)

    def name(variant: Any) -> str:
        found = str(names.get(variant) or get_timezone_name(moment, locale=locale, zone_variant=variant))
        return "" if found == unnamed else found

    return name("standard"), name("daylight")


def _same(languages: list[Zones]) -> dict[str, str]:
    """Each zone → the first of those that are called the same in every language."""
    firsts: dict[Any, str] = {}
    return {zone: firsts.setdefault(tuple(names[zone] for names in languages), zone) for zone in ZONES}


def _tags() -> dict[str, dict[str, str]]:
    """What the choice of a language asks: `iw` is `he`, `zh_TW` is written in Hant, and `pt_AO` goes by `pt_PT`."""
    ours = {tag.replace("-", "_") for tag in TAGS}
    parents = dict(sorted(_parents(ours)))
    return {
        "aliases": dict(sorted(_aliases({tag.split("_")[0] for tag in (*ours, *parents)}))),
        "scripts": dict(sorted(_scripts(ours))),
        "parents": parents,
    }


def _parents(ours: set[str]) -> Iterator[tuple[str, str]]:
    """Only where it is not the tag without its last part."""
    languages = {*(tag.split("_")[0] for tag in ours), "no"}
    for tag, parent in get_global("parent_exceptions").items():
        language = tag.split("_")[0]
        is_root = parent == "root" and language in languages
        if is_root or parent in ours or (parent.split("_")[0] in languages and not parent.startswith(f"{language}_")):
            yield tag, parent


def _aliases(languages: set[str]) -> Iterator[tuple[str, str]]:
    for alias, full in get_global("language_aliases").items():
        language = full.split("_")[0]
        if language in languages and "_" not in alias and alias != language:
            yield alias, language


def _scripts(ours: set[str]) -> Iterator[tuple[str, str]]:
    """Only where the script decides about the file: zh_Hans or zh_Hant."""
    for tag, full in get_global("likely_subtags").items():
        language, script, _ = full.split("_")
        if f"{language}_{script}" in ours and tag.split("_")[0] == language and script not in tag:
            yield tag, script


def _json(value: dict[str, Any]) -> str:
    """One member a line, so that a difference can be read."""
    lines = [f"{json.dumps(name)}: {json.dumps(member, ensure_ascii=False)}" for name, member in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
