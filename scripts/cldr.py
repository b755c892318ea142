"""Generate the email's CLDR data: date and time formats, time zones, countries, and how language tags relate.

`make cldr` precomputes the data with Babel, because loading Babel in the function takes 25 ms and 30 MB.
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

Zones = dict[str, tuple[str, str]]  # a zone → its standard and its daylight name


def main() -> None:
    CLDR.mkdir(exist_ok=True)
    for name, text in build_files().items():
        (CLDR / name).write_text(text, "utf-8")


def build_files() -> dict[str, str]:
    """Return the contents of `notice/cldr`: each file's name and its text."""
    locales = {tag: Locale.parse(tag, sep="-") for tag in TAGS}
    zones = {tag: {zone: _zone(locale, zone) for zone in ZONES} for tag, locale in locales.items()}
    representatives = _representatives(list(zones.values()))
    common = {"tags": _tags(), "zones": {zone: first for zone, first in representatives.items() if zone != first}}
    languages = {f"{tag}.json": _language(locales[tag], zones[tag], set(representatives.values())) for tag in TAGS}
    return {name: _to_json(value) for name, value in {"common.json": common, **languages}.items()}


def _language(locale: Locale, zones: Zones, representatives: set[str]) -> dict[str, Any]:
    return {
        "direction": locale.text_direction,
        "date_time": str(locale.datetime_formats["long"]).replace("'", "").format("{time}", "{date}"),
        "dates": [_date(locale, month) for month in range(1, 13)],
        "times": [_time(locale, hour) for hour in range(24)],
        "countries": {code: name for code, name in sorted(locale.territories.items()) if len(code) == 2},
        "zones": {
            zone: list(dict.fromkeys(names)) for zone, names in zones.items() if zone in representatives and any(names)
        },
        "zone_offset": locale.zone_formats["gmt"].replace("%s", "{offset}"),
    }


def _date(locale: Locale, month: int) -> str:
    """Return a month's date pattern: `{day}. Januar {year}`."""
    pattern = format_date(date(2345, month, 27), "long", locale=locale).replace("2345", "{year}").replace("27", "{day}")
    if pattern.format(day=3, year=2026) != format_date(date(2026, month, 3), "long", locale=locale):
        pattern = pattern.replace("{day}", "{day:02}")
    for day in (date(2026, month, 3), date(2031, month, 28)):
        _check_pattern(pattern.format(day=day.day, year=day.year), format_date(day, "long", locale=locale))
    return pattern


def _time(locale: Locale, hour: int) -> str:
    """Return an hour's time pattern: `3:{minute:02} PM`.

    The narrow no-break space in newer CLDR data is missing in many fonts, so a no-break space replaces it.
    """

    def text(minute: int) -> str:
        return format_time(time(hour, minute), "short", locale=locale).replace("\u202f", "\u00a0")

    pattern = text(47).replace("47", "{minute:02}")
    _check_pattern(pattern.format(minute=5), text(5))
    return pattern


def _check_pattern(formatted: str, expected: str) -> None:
    if formatted != expected:
        raise ValueError(f"the pattern gives {formatted}, Babel {expected}: one pattern can't format this language")


def _zone(locale: Locale, zone: str) -> tuple[str, str]:
    """Return the zone's standard and daylight names, or "" for each one it lacks.

    Babel has some zones only under a former name (Asia/Calcutta).
    """
    meta_zones, aliases = get_global("meta_zones"), get_global("zone_aliases")
    current = aliases.get(zone, zone)
    former = next((meta_zones[old] for old, new in aliases.items() if new == current and old in meta_zones), None)
    names = locale.meta_zones.get(former, {}).get("long", {}) if current not in meta_zones else {}
    new_year = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    offset = get_timezone_gmt(new_year, locale=locale)

    def name(variant: Any) -> str:
        found = str(names.get(variant) or get_timezone_name(new_year, locale=locale, zone_variant=variant))
        return "" if found == offset else found

    return name("standard"), name("daylight")


def _representatives(languages: list[Zones]) -> dict[str, str]:
    """Map each zone to the first zone that has the same names in every language."""
    firsts: dict[Any, str] = {}
    return {zone: firsts.setdefault(tuple(names[zone] for names in languages), zone) for zone in ZONES}


def _tags() -> dict[str, dict[str, str]]:
    """Return the data for language negotiation: `iw` is `he`, `zh_TW` implies Hant, `pt_AO` has the parent `pt_PT`."""
    available = {tag.replace("-", "_") for tag in TAGS}
    parents = dict(sorted(_parents(available)))
    return {
        "aliases": dict(sorted(_aliases({tag.split("_")[0] for tag in (*available, *parents)}))),
        "scripts": dict(sorted(_scripts(available))),
        "parents": parents,
    }


def _parents(available: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each tag and its parent, unless the parent is the tag without its last subtag."""
    languages = {*(tag.split("_")[0] for tag in available), "no"}
    for tag, parent in get_global("parent_exceptions").items():
        language = tag.split("_")[0]
        is_root = parent == "root" and language in languages
        is_other_language = parent.split("_")[0] in languages and not parent.startswith(f"{language}_")
        if is_root or parent in available or is_other_language:
            yield tag, parent


def _aliases(languages: set[str]) -> Iterator[tuple[str, str]]:
    for alias, full in get_global("language_aliases").items():
        language = full.split("_")[0]
        if language in languages and "_" not in alias and alias != language:
            yield alias, language


def _scripts(available: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each tag and its likely script, only for languages whose files differ by script: zh_Hans, zh_Hant."""
    for tag, full in get_global("likely_subtags").items():
        language, script, _ = full.split("_")
        if f"{language}_{script}" in available and tag.split("_")[0] == language and script not in tag:
            yield tag, script


def _to_json(value: dict[str, Any]) -> str:
    """Write one field per line, to keep diffs readable."""
    lines = [f"{json.dumps(name)}: {json.dumps(field, ensure_ascii=False)}" for name, field in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
